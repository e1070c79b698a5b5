//! Transactions with blobs (EIP-4844): nothing that happens to the process or the chain takes their blobs away.

use serde_json::{Value, json};

use crate::on_both_executors;
use crate::support::node::{quantity, text};
use crate::support::world::{SIGNERS, World, recipient, transfer};

on_both_executors!(blobs_are_mined_also_after_a_crash_and_again_after_a_reorg, one_address_has_blobs_or_none_in_flight_and_all_is_mined);

/// What is final comes soon, so that a change of kind does not take long.
const SHALLOW: &str = "txmgr.finality_depth = 3\n";

fn with_blobs(number: u64, blobs: usize) -> Value {
    let mut transaction = transfer(number);
    transaction["blobs"] = (0..blobs).map(|blob| json!(format!("0x00{:02x}{}", blob + 1, "00".repeat(131_070)))).collect();
    transaction
}

fn broadcast(world: &World, id: &str) {
    world.wait_until("the pool has it", || world.full(id)["attempts"][0]["status"] == "broadcast");
}

fn blobs_are_mined_also_after_a_crash_and_again_after_a_reorg(executor: &str) {
    let Some(mut world) = World::start(executor, SHALLOW) else { return };
    let ids = [world.send(&with_blobs(0, 2)), world.send(&with_blobs(3, 1))];
    broadcast(&world, &ids[0]);
    world.kill();
    world.restart();
    world.node.wait_for_pending(2);
    world.mine(1);
    let full = world.wait_for_status(&ids[0], "confirmed");
    assert_eq!(full["blobVersionedHashes"].as_array().map(Vec::len), Some(2), "{full:#}");
    let hash = full["receipt"]["transactionHash"].clone();
    let receipt = world.node.ask("eth_getTransactionReceipt", &json!([hash]));
    assert_eq!((quantity(&receipt["blobGasUsed"]), text(&receipt["type"])), (2 * 131_072, "0x3".into()), "{receipt:#}");
    // The block leaves the chain, and the pool has forgotten what was in it: only the engine still has the blobs.
    world.node.ask("devnet_reorg", &json!([{"depth": 1, "length": 2, "requeue": false}]));
    world.node.wait_for_pending(2);
    world.flow();
    world.wait_for_confirmed_among(&ids);
    let mined = &world.node.mined()[SIGNERS[0]];
    let kinds: Vec<_> = mined.iter().map(|transaction| (text(&transaction["type"]), text(&transaction["to"]))).collect();
    assert_eq!(kinds, [("0x3".to_owned(), recipient(0)), ("0x3".to_owned(), recipient(3))]);
}

fn one_address_has_blobs_or_none_in_flight_and_all_is_mined(executor: &str) {
    let Some(world) = World::start(executor, SHALLOW) else { return };
    let ids: Vec<String> = [with_blobs(0, 1), transfer(3), with_blobs(6, 1)].iter().map(|transaction| world.send(transaction)).collect();
    broadcast(&world, &ids[0]);
    world.flow();
    world.wait_for_confirmed_among(&ids);
    let kinds: Vec<String> = world.node.mined()[SIGNERS[0]].iter().map(|transaction| text(&transaction["type"])).collect();
    assert_eq!(kinds, ["0x3", "0x2", "0x3"]);
    world.node.gapless();
}
