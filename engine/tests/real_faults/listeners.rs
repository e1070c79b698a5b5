//! A consumer that crashes, an engine that is killed and blocks that are taken away: every ending is heard of, and repeats can be told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::support::chain::Kind;
use crate::support::node::text;
use crate::support::socket::Socket;
use crate::support::world::{LOAD, World};
use crate::{mine, on_anvil_and_geth, read_beyond, start};

on_anvil_and_geth!(
    a_consumer_and_an_engine_that_crash_miss_no_ending,
    what_a_shorter_chain_takes_back_is_delivered_again_with_new_sequences,
);

fn listener(world: &World) {
    let reply = world.millrace().call("ptx_createReceiptListener", &json!([{"name": "orders"}]));
    assert_eq!(reply["result"], true, "{reply}");
}

fn subscribe(world: &World) -> (Socket, Value) {
    let mut socket = Socket::connect(world.millrace().address());
    let subscription = socket.call("ptx_subscribe", &json!(["receipts", "orders"]))["result"].clone();
    (socket, subscription)
}

/// The receipts of the next batch.
fn batch(socket: &mut Socket) -> Vec<(u64, Value)> {
    let told = socket.notification();
    let receipts = told["params"]["result"]["receipts"].as_array().unwrap_or_else(|| panic!("no batch: {told}"));
    receipts.iter().map(|receipt| (receipt["sequence"].as_u64().expect("a sequence"), receipt.clone())).collect()
}

/// Takes and acknowledges batches until so many endings are known.
fn take(world: &World, count: usize) -> BTreeMap<u64, Value> {
    let (mut socket, subscription) = subscribe(world);
    let mut told = BTreeMap::new();
    while told.len() < count {
        told.extend(batch(&mut socket));
        assert_eq!(socket.call("ptx_ack", &json!([subscription]))["result"], true);
    }
    told
}

fn ids(told: &BTreeMap<u64, Value>) -> BTreeSet<String> {
    told.values().map(|receipt| text(&receipt["id"])).collect()
}

fn a_consumer_and_an_engine_that_crash_miss_no_ending(kind: Kind) {
    let (mut chain, mut world) = start(kind, "");
    listener(&world);
    let sent = world.submit(0..LOAD);
    chain.node.wait_for_pending(LOAD);
    chain.flow();
    let mut told = BTreeMap::new();
    while told.len() < LOAD as usize {
        // What it was told it keeps; it crashes before it acknowledges, and then the engine does.
        let (mut socket, _) = subscribe(&world);
        let first = batch(&mut socket);
        drop(socket);
        world.kill();
        world.restart();
        let (mut socket, subscription) = subscribe(&world);
        let again = batch(&mut socket);
        assert_eq!(again[..first.len()], first, "it can be told from what is new");
        told.extend(again);
        assert_eq!(socket.call("ptx_ack", &json!([subscription]))["result"], true);
    }
    assert_eq!(told.len(), LOAD as usize, "each with one sequence");
    assert_eq!(ids(&told), sent.iter().cloned().collect());
    world.exactly_once(&sent);
}

fn what_a_shorter_chain_takes_back_is_delivered_again_with_new_sequences(kind: Kind) {
    let (mut chain, world) = start(kind, "");
    listener(&world);
    let start = chain.node.head();
    let sent = world.submit(0..LOAD);
    chain.node.wait_for_pending(LOAD);
    chain.mine_until("the load is mined", || chain.node.pending() == 0);
    let before = take(&world, LOAD as usize);
    mine(&chain, &world, 1);
    let height = chain.node.head();
    chain.set_back(height - start);
    chain.flow();
    read_beyond(&world, height);
    let after = take(&world, LOAD as usize);
    assert_eq!((ids(&before), ids(&after)), (sent.iter().cloned().collect(), sent.iter().cloned().collect()));
    assert!(before.keys().next_back() < after.keys().next());
    world.exactly_once(&sent);
}
