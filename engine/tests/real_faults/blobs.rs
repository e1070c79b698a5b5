//! Transactions with blobs (EIP-4844) and with access lists (EIP-2930), on nodes that verify them.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::support::chain::Kind;
use crate::support::node::{quantity, text};
use crate::support::world::{SIGNERS, World, recipient, transfer};
use crate::{on_anvil_and_geth, start};

on_anvil_and_geth!(
    blobs_are_mined_with_what_proves_them_and_after_a_crash_too,
    a_blob_transaction_that_stays_out_is_replaced_at_twice_all_three_prices,
    a_cancelled_blob_transaction_gives_its_nonce_to_one_with_an_empty_blob,
    an_update_of_a_blob_transaction_pays_twice_or_is_refused_with_the_least,
    one_address_has_blobs_or_none_in_flight_and_both_are_mined,
    an_access_list_makes_a_transaction_of_type_1_or_2,
);

/// Two levels down to what is final, so that a change of kind does not take long.
const SHALLOW: &str = "txmgr.finality_depth = 2\n";

/// A blob with something in it.
static BLOB: LazyLock<String> = LazyLock::new(|| format!("0x00{}{}", hex_text("millrace"), "00".repeat(131_072 - 9)));
/// Versioned hash of a blob of zeros (EIP-4844): its commitment is the point at infinity.
const EMPTY: &str = "0x010657f37554c781402a22917dee2f75def7ab966d7b770905398eba3c444014";

fn hex_text(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// One whose recipient and value tell its number, with so many blobs.
fn with_blobs(number: u64, blobs: usize) -> Value {
    let mut transaction = transfer(number);
    transaction["blobs"] = (0..blobs).map(|_| json!(*BLOB)).collect();
    transaction
}

fn attempts(full: &Value) -> Vec<Value> {
    full["attempts"].as_array().expect("attempts").clone()
}

fn prices(attempt: &Value) -> [u64; 3] {
    ["maxFeePerGas", "maxPriorityFeePerGas", "maxFeePerBlobGas"].map(|field| quantity(&attempt[field]))
}

fn broadcast(world: &World, id: &str, attempt: usize) {
    world.wait_until("the pool has it", || world.full(id)["attempts"][attempt]["status"] == "broadcast");
}

fn blobs_are_mined_with_what_proves_them_and_after_a_crash_too(kind: Kind) {
    let (mut chain, mut world) = start(kind, SHALLOW);
    let first = world.send(&with_blobs(0, 2));
    broadcast(&world, &first, 0);
    let second = world.send(&with_blobs(3, 1));
    world.kill();
    world.restart();
    chain.flow();
    for (id, blobs) in [(&first, 2), (&second, 1)] {
        let full = world.wait_for_status(id, "confirmed");
        assert_eq!(full["blobVersionedHashes"].as_array().map(Vec::len), Some(blobs), "{full:#}");
    }
    let mined = &chain.node.mined()[SIGNERS[0]];
    for (transaction, number) in mined.iter().zip([0, 3]) {
        assert_eq!((text(&transaction["type"]), text(&transaction["to"])), ("0x3".into(), recipient(number)), "{transaction:#}");
    }
    assert_eq!(mined.len(), 2);
    assert_eq!(mined[0]["blobVersionedHashes"], world.full(&first)["blobVersionedHashes"]);
}

fn a_blob_transaction_that_stays_out_is_replaced_at_twice_all_three_prices(kind: Kind) {
    let (mut chain, world) = start(kind, &format!("{SHALLOW}txmgr.resubmit_interval_ms = 500\ngas.cache_ms = 100\n"));
    let id = world.send(&with_blobs(0, 1));
    broadcast(&world, &id, 1);
    chain.flow();
    let attempts = attempts(&world.wait_for_status(&id, "confirmed"));
    for pair in attempts.windows(2) {
        let (old, new) = (prices(&pair[0]), prices(&pair[1]));
        assert!(old.iter().zip(new).all(|(old, new)| new >= 2 * old), "{pair:#?}");
    }
    assert_eq!(chain.node.mined()[SIGNERS[0]].len(), 1);
}

fn a_cancelled_blob_transaction_gives_its_nonce_to_one_with_an_empty_blob(kind: Kind) {
    let (mut chain, world) = start(kind, SHALLOW);
    let id = world.send(&with_blobs(0, 1));
    broadcast(&world, &id, 0);
    let reply = world.millrace().call("ptx_cancelTransaction", &json!([id]));
    assert_eq!(reply["result"]["state"], "cancelling", "{reply}");
    broadcast(&world, &id, 1);
    chain.flow();
    let full = world.wait_for_status(&id, "fatal_error");
    assert!(text(&full["failureReason"]).contains("cancelled"), "{full:#}");
    let mined = &chain.node.mined()[SIGNERS[0]];
    assert_eq!(mined.len(), 1);
    assert_eq!((text(&mined[0]["to"]), mined[0]["blobVersionedHashes"].clone()), (SIGNERS[0].into(), json!([EMPTY])));
}

fn an_update_of_a_blob_transaction_pays_twice_or_is_refused_with_the_least(kind: Kind) {
    let (mut chain, world) = start(kind, SHALLOW);
    let id = world.send(&with_blobs(0, 1));
    broadcast(&world, &id, 0);
    let [fee, tip, blob] = prices(&attempts(&world.full(&id))[0]);
    let price = |blob: u64| json!({"maxFeePerGas": 2 * fee, "maxPriorityFeePerGas": 2 * tip, "maxFeePerBlobGas": blob});
    let (code, message) = world.millrace().error("ptx_updateTransaction", &json!([id, price(2 * blob - 1)]));
    assert!(code == -32602 && message.contains(&format!("maxFeePerBlobGas {}", 2 * blob)), "{message}");
    let (_, message) = world.millrace().error("ptx_updateTransaction", &json!([id, {"gasPrice": 20 * fee}]));
    assert!(message.contains("gasPrice"), "{message}");
    let mut change = price(2 * blob);
    change["value"] = json!(99);
    let reply = world.millrace().call("ptx_updateTransaction", &json!([id, change]));
    assert_eq!(reply["result"]["generation"], 1, "{reply}");
    broadcast(&world, &id, 1);
    chain.flow();
    world.wait_for_status(&id, "confirmed");
    let mined = &chain.node.mined()[SIGNERS[0]];
    assert_eq!(mined.iter().map(|transaction| quantity(&transaction["value"])).collect::<Vec<_>>(), [99]);
}

fn one_address_has_blobs_or_none_in_flight_and_both_are_mined(kind: Kind) {
    let (mut chain, world) = start(kind, SHALLOW);
    let ids: Vec<String> = [with_blobs(0, 1), transfer(3), with_blobs(6, 1)].iter().map(|transaction| world.send(transaction)).collect();
    broadcast(&world, &ids[0], 0);
    world.wait_until("the transfer waits and says why", || {
        let address = world.millrace().call("ptx_getAddress", &json!([SIGNERS[0]]))["result"].clone();
        address["reason"].as_str().is_some_and(|reason| reason.contains("has no blobs"))
    });
    chain.flow();
    world.wait_for_confirmed_among(&ids);
    let kinds: Vec<String> = chain.node.mined()[SIGNERS[0]].iter().map(|transaction| text(&transaction["type"])).collect();
    assert_eq!(kinds, ["0x3", "0x2", "0x3"]);
    chain.node.gapless();
}

fn an_access_list_makes_a_transaction_of_type_1_or_2(kind: Kind) {
    let (mut chain, world) = start(kind, "");
    let list = json!([{"address": recipient(0), "storageKeys": [format!("0x{}", "01".repeat(32))]}]);
    let listed = |number: u64| {
        let mut transaction = transfer(number);
        transaction["accessList"] = list.clone();
        transaction["gas"] = json!(21_000 + 2400 + 1900);
        transaction
    };
    let mut priced = listed(0);
    priced["gasPrice"] = json!(50_000_000_000_u64);
    let ids = [world.send(&priced), world.send(&listed(3))];
    chain.flow();
    world.wait_for_confirmed_among(&ids);
    assert_eq!(world.full(&ids[0])["accessList"], list);
    let mined = &chain.node.mined()[SIGNERS[0]];
    let kinds: Vec<String> = mined.iter().map(|transaction| text(&transaction["type"])).collect();
    assert_eq!(kinds, ["0x1", "0x2"]);
    assert!(mined.iter().all(|transaction| transaction["accessList"] == list), "{mined:#?}");
    let (_, message) =
        world.millrace().error("ptx_sendTransaction", &json!([{"from": SIGNERS[0], "to": SIGNERS[0], "gas": 21_000, "accessList": list}]));
    assert!(message.contains("25300"), "{message}");
}
