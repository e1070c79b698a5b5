//! What the broadcaster and the confirmer of seed 002 guarantee: a test for each, in the seed's order, under faults.

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use crate::on_both_executors;
use crate::support::chain::foreign_transfer;
use crate::support::node::{quantity, text};
use crate::support::world::{LOAD, SIGNERS, World, transfer};

on_both_executors!(
    for_each_account_the_nonces_are_gapless_and_increase_in_the_order_of_acceptance,
    a_transaction_goes_from_unstarted_to_either_fatal_error_or_unconfirmed,
    after_a_fatal_error_without_a_nonce_nothing_was_ever_signed,
    after_a_fatal_error_with_a_nonce_that_nonce_is_used_for_good_by_something_else,
    what_is_unconfirmed_has_a_persisted_attempt,
    what_is_unconfirmed_was_accepted_by_a_node_at_least_once,
    all_are_eventually_confirmed_on_the_canonical_chain_whatever_reorg_up_to_the_finality_depth_comes,
    a_reorg_deeper_than_the_finality_depth_is_no_reorg_and_stops_the_engine,
    where_an_external_wallet_used_the_nonce_a_transaction_exists_at_it_also_after_a_reorg,
);

/// Gas that no block of any chain has (EIP-7825).
const TOO_MUCH_GAS: u64 = (1 << 24) + 1;

fn for_each_account_the_nonces_are_gapless_and_increase_in_the_order_of_acceptance(executor: &str) {
    let Some(mut world) = World::start(executor, "") else { return };
    for when in ["before", "after"] {
        world.fault(&json!({"method": "eth_sendRawTransaction", "action": "cut", "when": when, "count": 3}));
    }
    let mut ids = world.submit(0..LOAD / 2);
    world.kill();
    world.restart();
    world.flow();
    ids.extend(world.submit(LOAD / 2..LOAD));
    world.exactly_once(&ids);
    for place in 0..SIGNERS.len() {
        let nonces: Vec<u64> = ids.iter().skip(place).step_by(SIGNERS.len()).map(|id| quantity(&world.full(id)["nonce"])).collect();
        assert!(nonces.iter().copied().eq(0..LOAD / SIGNERS.len() as u64), "{nonces:?}");
    }
}

/// A creation whose init code reverts: its gas cannot be estimated.
fn reverting() -> Value {
    json!({"from": SIGNERS[0], "data": "0x60006000fd"})
}

fn a_transaction_goes_from_unstarted_to_either_fatal_error_or_unconfirmed(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    let paused = world.millrace().call("ptx_pauseAddress", &json!([{"address": SIGNERS[0]}]));
    assert!(paused["error"].is_null(), "{paused}");
    let [doomed, good] = [reverting(), transfer(0)].map(|request| world.send(&request));
    for id in [&doomed, &good] {
        assert_eq!(world.full(id)["status"], "unstarted", "nothing is bound while the address is paused");
    }
    let resumed = world.millrace().call("ptx_resumeAddress", &json!([SIGNERS[0]]));
    assert!(resumed["error"].is_null(), "{resumed}");
    world.wait_for_status(&doomed, "fatal_error");
    world.wait_for_status(&good, "unconfirmed");
}

fn after_a_fatal_error_without_a_nonce_nothing_was_ever_signed(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    let id = world.send(&reverting());
    let failed = world.wait_for_status(&id, "fatal_error");
    assert_eq!((&failed["nonce"], &failed["attempts"]), (&Value::Null, &json!([])));
    let next = world.send(&transfer(0));
    assert_eq!(quantity(&world.wait_for_status(&next, "unconfirmed")["nonce"]), 0, "the next one has the nonce that it never had");
}

fn after_a_fatal_error_with_a_nonce_that_nonce_is_used_for_good_by_something_else(executor: &str) {
    let Some(world) = World::start(executor, "txmgr.finality_depth = 3\n") else { return };
    let mut too_much = transfer(0);
    too_much["gas"] = json!(TOO_MUCH_GAS);
    let [doomed, good] = [too_much, transfer(3)].map(|request| world.send(&request));
    world.node.wait_for_pending(2);
    world.mine(2);
    let waiting = world.full(&doomed);
    assert_ne!(waiting["status"], "fatal_error", "a reorg could still bring it back: {waiting:#}");
    // Two blocks are no longer there, and neither is what they held.
    world.node.ask("devnet_reorg", &json!([{"depth": 2, "length": 1, "requeue": false}]));
    world.node.wait_for_pending(2);
    world.mine(3);
    let failed = world.wait_for_status(&doomed, "fatal_error");
    let holder = &world.node.mined()[SIGNERS[0]][0];
    assert_eq!(
        (&holder["hash"], text(&holder["to"]).as_str()),
        (&failed["receipt"]["transactionHash"], SIGNERS[0]),
        "a self-send holds it"
    );
    world.wait_for_status(&good, "confirmed");
    world.node.gapless();
}

fn what_is_unconfirmed_has_a_persisted_attempt(executor: &str) {
    let Some(mut world) = World::start(executor, "") else { return };
    let ids = world.submit(0..LOAD);
    let before: Vec<Value> = ids.iter().map(|id| world.wait_for_status(id, "unconfirmed")).collect();
    world.kill();
    world.restart();
    for (id, before) in ids.iter().zip(&before) {
        let after = world.full(id);
        assert_eq!((&after["transactionHash"], &after["nonce"]), (&before["transactionHash"], &before["nonce"]), "{after:#}");
        assert_eq!(after["attempts"][0]["hash"], before["attempts"][0]["hash"], "{after:#}");
    }
    world.flow();
    world.exactly_once(&ids);
}

fn what_is_unconfirmed_was_accepted_by_a_node_at_least_once(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    world.fault(&json!({"method": "eth_sendRawTransaction", "action": "cut", "when": "before", "count": 1000}));
    let id = world.send(&transfer(0));
    world.wait_until("it has been sent in vain", || world.metric("millrace_attempts_sent_total") >= 3);
    assert_eq!((world.full(&id)["status"].clone(), world.node.pending()), (json!("in_progress"), 0));
    world.node.ask("devnet_clearFaults", &json!([]));
    world.wait_for_status(&id, "unconfirmed");
    world.node.wait_for_pending(1);
    world.flow();
    world.exactly_once(&[id]);
}

fn all_are_eventually_confirmed_on_the_canonical_chain_whatever_reorg_up_to_the_finality_depth_comes(executor: &str) {
    let Some(world) = World::start(executor, "txmgr.finality_depth = 5\n") else { return };
    let ids = world.submit(0..LOAD);
    world.node.wait_for_pending(LOAD);
    world.mine(1);
    for depth in 1..=4_u64 {
        world.mine(depth - 1);
        world.wait_for_confirmed(&ids);
        world.node.ask("devnet_reorg", &json!([{"depth": depth, "length": depth, "requeue": false}]));
        world.wait_for_status(&ids[0], "unconfirmed");
        world.node.wait_for_pending(LOAD);
        world.mine(1);
    }
    world.exactly_once(&ids);
}

fn a_reorg_deeper_than_the_finality_depth_is_no_reorg_and_stops_the_engine(executor: &str) {
    let Some(world) = World::start(executor, "txmgr.finality_depth = 3\n") else { return };
    world.mine(6);
    world.node.ask("devnet_reorg", &json!([{"depth": 5, "length": 6}]));
    world.wait_until("the engine is not ready", || world.millrace().get("/readyz").0 == 503);
    let (_, reasons) = world.millrace().get("/readyz");
    assert!(reasons.contains("another chain"), "{reasons}");
}

fn where_an_external_wallet_used_the_nonce_a_transaction_exists_at_it_also_after_a_reorg(executor: &str) {
    let Some(world) = World::start(executor, "txmgr.finality_depth = 4\n") else { return };
    let id = world.send(&transfer(0));
    world.node.wait_for_pending(1);
    let ours = world.full(&id)["transactionHash"].clone();
    let raw = foreign_transfer(0, 0, Address::repeat_byte(0x77), U256::ZERO);
    let theirs = world.node.ask("eth_sendRawTransaction", &json!([raw]));
    world.mine(2);
    assert_eq!(text(&world.node.mined()[SIGNERS[0]][0]["hash"]), text(&theirs), "theirs took the nonce");
    // Their block leaves the chain, and they do not care any more.
    world.node.ask("devnet_reorg", &json!([{"depth": 2, "length": 2, "requeue": false}]));
    world.node.wait_for_pending(1);
    world.flow();
    world.exactly_once(std::slice::from_ref(&id));
    assert_eq!(world.full(&id)["transactionHash"], ours, "the same bytes hold the nonce");
}
