//! Requests that race, that need an estimate, that revert, or that no node can take.

use serde_json::{Value, json};

use crate::on_both_executors;
use crate::support::error_of;
use crate::support::node::text;
use crate::support::world::{SIGNERS, World, transfer};

on_both_executors!(
    a_key_that_many_callers_use_at_once_gives_one_transaction,
    a_request_without_gas_is_estimated,
    a_request_whose_estimate_reverts_ends_with_the_reason_and_holds_nothing_up,
    a_request_that_no_node_can_take_ends_with_its_words_and_its_nonce_is_closed,
    a_request_above_the_block_gas_limit_ends_and_its_nonce_is_closed,
    a_mined_transaction_that_reverted_is_confirmed_without_success,
);

/// Callers that use one key at once.
const CALLERS: usize = 8;
/// Largest gas limit of a transaction (EIP-7825).
const GAS_CAP: u64 = 1 << 24;

fn a_key_that_many_callers_use_at_once_gives_one_transaction(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    world.flow();
    let ask = || world.millrace().call("ptx_sendTransaction", &json!([transfer(0)]));
    let replies: Vec<Value> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(ask)).collect();
        callers.into_iter().map(|caller| caller.join().expect("an answer")).collect()
    });
    let id = text(&replies[0]["result"]);
    assert!(replies.iter().all(|reply| reply["result"] == id), "{replies:?}");
    let mut other = transfer(0);
    other["value"] = json!(7);
    let conflict = world.millrace().call("ptx_sendTransaction", &json!([other]));
    assert_eq!(error_of(&conflict).0, -32012);
    assert_eq!(conflict["error"]["data"]["id"], id);
    world.exactly_once(&[id]);
}

fn a_request_without_gas_is_estimated(executor: &str) {
    let Some(world) = World::start(executor, "gas.limit_factor = 2.0\n") else { return };
    world.flow();
    let mut request = transfer(0);
    request.as_object_mut().expect("an object").remove("gas");
    let id = world.send(&request);
    world.exactly_once(std::slice::from_ref(&id));
    let full = world.full(&id);
    assert_eq!((&full["gas"], &full["receipt"]["gasUsed"]), (&json!("0xa410"), &json!("0x5208")), "twice the estimate: {full:#}");
}

/// Init code that reverts with `Error("no entry")`.
fn reverting() -> String {
    // codecopy(0, 12, 100); revert(0, 100)
    let code = "6064600c60003960646000fd".to_owned();
    let word = |number: u8| format!("{number:064x}");
    // Selector of Error(string), offset, length, text.
    code + "08c379a0" + &word(32) + &word(8) + &format!("{:0<64}", alloy::hex::encode("no entry"))
}

fn a_request_whose_estimate_reverts_ends_with_the_reason_and_holds_nothing_up(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    world.flow();
    let id = world.send(&json!({"from": SIGNERS[0], "data": format!("0x{}", reverting())}));
    let behind = world.send(&transfer(0));
    let failed = world.wait_for_status(&id, "fatal_error");
    let reason = text(&failed["failureReason"]);
    assert!(reason.contains("execution reverted") && reason.contains("no entry"), "{reason}");
    assert_eq!((&failed["nonce"], &failed["attempts"]), (&Value::Null, &json!([])), "it never had a nonce");
    world.wait_for_status(&behind, "confirmed");
    world.node.gapless();
}

/// A request with this gas ends as failed in these words; its nonce is closed by a transfer to itself, and what is behind it is mined.
fn refused(world: &World, gas: u64, words: &str) {
    world.flow();
    let mut too_much = transfer(0);
    too_much["gas"] = json!(gas);
    let id = world.send(&too_much);
    let behind: Vec<_> = [3, 6, 9].map(|number| world.send(&transfer(number))).into();
    let failed = world.wait_for_status(&id, "fatal_error");
    let reason = text(&failed["failureReason"]);
    assert!(reason.contains(words), "{reason}");
    for id in &behind {
        world.wait_for_status(id, "confirmed");
    }
    world.node.gapless();
    let mined = &world.node.mined()[SIGNERS[0]];
    assert_eq!(mined.len(), 4, "{mined:#?}");
    assert_eq!((text(&mined[0]["to"]), &mined[0]["value"]), (SIGNERS[0].to_owned(), &json!("0x0")), "the nonce is closed");
    let attempts = failed["attempts"].as_array().expect("attempts");
    assert_eq!(text(&attempts[attempts.len() - 1]["closing"]), reason);
}

fn a_request_that_no_node_can_take_ends_with_its_words_and_its_nonce_is_closed(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    refused(&world, GAS_CAP + 1, "gas limit too high");
}

fn a_request_above_the_block_gas_limit_ends_and_its_nonce_is_closed(executor: &str) {
    // Even where no price above the first one is allowed.
    let Some(world) = World::start(executor, "gas.cap_max_fee_per_gas = 2750000000\n") else { return };
    world.node.ask("devnet_setGasLimit", &json!(["0x7a120"]));
    refused(&world, 600_000, "exceeds block gas limit");
}

fn a_mined_transaction_that_reverted_is_confirmed_without_success(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    world.flow();
    let id = world.send(&json!({"from": SIGNERS[0], "data": format!("0x{}", reverting()), "gas": 200_000}));
    let full = world.wait_for_status(&id, "confirmed");
    assert_eq!(full["receipt"]["success"], false, "{full:#}");
}
