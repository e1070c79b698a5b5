//! Faults of the node and of the connection to it.

use std::num::NonZeroU64;

use devnet::Refusal;
use devnet::proxy::{self, Proxy, ProxyConfig};
use serde_json::json;

use crate::on_both_executors;
use crate::support::node::Node;
use crate::support::world::{LOAD, SIGNERS, World, quiet_chain};

on_both_executors!(
    what_the_pool_drops_is_sent_again,
    what_a_reorg_takes_back_is_unconfirmed_again_and_mined_again,
    everything_the_pool_drops_is_sent_again,
    a_request_cut_before_it_took_effect_is_sent_again,
    a_request_cut_after_it_took_effect_does_no_harm,
    replies_later_than_the_time_limit_do_no_harm,
    a_node_that_asks_for_a_pause_gets_it,
    questions_wait_as_long_as_the_node_asks,
    receipts_that_come_blocks_later_are_waited_for,
    an_address_that_cannot_pay_goes_on_when_it_can,
    a_node_that_refuses_batches_is_asked_one_by_one,
    a_node_that_stops_taking_batches_is_asked_one_by_one,
    a_node_without_block_receipts_is_asked_for_each_receipt,
);

/// The whole load is in the pool; no block has come.
fn loaded(executor: &str) -> Option<(World, Vec<String>)> {
    let world = World::start(executor, "")?;
    let ids = world.submit(0..LOAD);
    world.node.wait_for_pending(LOAD);
    Some((world, ids))
}

fn hash(world: &World, id: &str) -> serde_json::Value {
    world.full(id)["transactionHash"].clone()
}

fn what_the_pool_drops_is_sent_again(executor: &str) {
    let Some((world, ids)) = loaded(executor) else { return };
    // The fourth of its address: those behind it can no longer be mined.
    assert_eq!(world.node.ask("devnet_dropTransaction", &json!([hash(&world, &ids[9])])), true);
    world.flow();
    world.exactly_once(&ids);
}

fn what_a_reorg_takes_back_is_unconfirmed_again_and_mined_again(executor: &str) {
    let Some((world, ids)) = loaded(executor) else { return };
    world.mine(1);
    world.wait_for_confirmed(&ids);
    let before = world.full(&ids[0])["receipt"]["blockHash"].clone();
    // The block and all it held are gone, and the pool does not have them either.
    world.node.ask("devnet_reorg", &json!([{"depth": 1, "length": 2, "requeue": false}]));
    let unconfirmed = world.wait_for_status(&ids[0], "unconfirmed");
    assert_eq!(unconfirmed["receipt"], json!(null));
    world.flow();
    world.exactly_once(&ids);
    let full = world.full(&ids[0]);
    assert_eq!(full["orphanedReceipts"][0]["blockHash"], before, "{full:#}");
    assert_ne!(full["receipt"]["blockHash"], before);
}

fn everything_the_pool_drops_is_sent_again(executor: &str) {
    let Some((world, ids)) = loaded(executor) else { return };
    for id in &ids {
        assert_eq!(world.node.ask("devnet_dropTransaction", &json!([hash(&world, id)])), true);
    }
    assert_eq!(world.node.pending(), 0);
    world.flow();
    world.exactly_once(&ids);
}

/// A load whose requests suffer from this on the way to the pool.
fn under(executor: &str, fault: &serde_json::Value) {
    let Some(world) = World::start(executor, "") else { return };
    world.flow();
    world.fault(fault);
    let ids = world.submit(0..LOAD);
    world.exactly_once(&ids);
    let faults = world.node.ask("devnet_clearFaults", &json!([]));
    assert_eq!(faults, "0x0", "every fault has struck");
}

fn a_request_cut_before_it_took_effect_is_sent_again(executor: &str) {
    under(executor, &json!({"method": "eth_sendRawTransaction", "action": "cut", "when": "before", "count": 3}));
}

fn a_request_cut_after_it_took_effect_does_no_harm(executor: &str) {
    under(executor, &json!({"method": "eth_sendRawTransaction", "action": "cut", "when": "after", "count": 3}));
}

fn replies_later_than_the_time_limit_do_no_harm(executor: &str) {
    // The limit is 500 ms. What is held before its effect takes effect long after it was sent again.
    for when in ["before", "after"] {
        under(executor, &json!({"method": "eth_sendRawTransaction", "action": "hold", "when": when, "holdMs": 1500, "count": 2}));
    }
}

fn a_node_that_asks_for_a_pause_gets_it(executor: &str) {
    under(executor, &json!({"method": "eth_sendRawTransaction", "action": "tooManyRequests", "retryAfter": 1, "count": 2}));
    under(executor, &json!({"method": "*", "action": "tooManyRequests", "retryAfter": 1, "count": 2}));
}

fn questions_wait_as_long_as_the_node_asks(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    world.fault(&json!({"method": "eth_getTransactionCount", "action": "tooManyRequests", "retryAfter": 2}));
    let start = std::time::Instant::now();
    let ids = world.submit(0..1);
    world.node.wait_for_pending(1);
    // Without the pause the question comes again after 20 ms.
    assert!(start.elapsed() >= std::time::Duration::from_secs(2), "{:?}", start.elapsed());
    world.flow();
    world.exactly_once(&ids);
}

fn receipts_that_come_blocks_later_are_waited_for(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    world.node.ask("devnet_setReceiptLag", &json!([3]));
    let ids = world.submit(0..LOAD);
    world.flow();
    world.exactly_once(&ids);
}

fn an_address_that_cannot_pay_goes_on_when_it_can(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    world.flow();
    let balance = world.node.ask("eth_getBalance", &json!([SIGNERS[0], "latest"]));
    world.node.ask("devnet_setBalance", &json!([SIGNERS[0], "0x0"]));
    let ids = world.submit(0..LOAD);
    // The others do not wait for it.
    world.wait_for_status(&ids[1], "confirmed");
    assert_eq!(world.full(&ids[0])["status"], "unstarted", "it has no nonce");
    world.node.ask("devnet_setBalance", &json!([SIGNERS[0], balance]));
    world.exactly_once(&ids);
}

fn a_node_that_refuses_batches_is_asked_one_by_one(executor: &str) {
    let chain = quiet_chain();
    let node = Node::new(chain.addr());
    node.ask("devnet_setMaxBatch", &json!([1]));
    let Some(world) = World::with_node(node, &node.url(), executor, "", Some(chain)) else { return };
    world.flow();
    let mut ids = world.submit(0..LOAD - 1);
    // One without gas: its price and its estimate are asked for, too.
    let mut last = crate::support::world::transfer(LOAD - 1);
    last.as_object_mut().expect("an object").remove("gas");
    ids.push(world.send(&last));
    world.exactly_once(&ids);
}

fn a_node_that_stops_taking_batches_is_asked_one_by_one(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    world.flow();
    let mut ids = world.submit(0..LOAD / 2);
    world.node.ask("devnet_setMaxBatch", &json!([1]));
    ids.append(&mut world.submit(LOAD / 2..LOAD));
    world.exactly_once(&ids);
}

fn a_node_without_block_receipts_is_asked_for_each_receipt(executor: &str) {
    let chain = quiet_chain();
    let node = Node::new(chain.addr());
    let proxy = without("eth_getBlockReceipts", &chain);
    let refused = || proxy.status().calls.get("eth_getBlockReceipts").copied().unwrap_or(0);
    let Some(world) = World::with_node(node, &proxy.url(), executor, "", Some(chain)) else { return };
    world.flow();
    let ids = world.submit(0..LOAD);
    world.exactly_once(&ids);
    assert!(refused() > 0, "the engine asked for block receipts first");
    // Once is enough to know.
    let before = refused();
    let more = world.send(&json!({"from": SIGNERS[0], "to": SIGNERS[1], "gas": 21000}));
    world.wait_for_status(&more, "confirmed");
    assert_eq!(refused(), before);
}

/// A proxy that answers calls of `method` as a node does that never heard of it, and passes all others on.
fn without(method: &str, chain: &devnet::Handle) -> Proxy {
    let proxy = proxy::start(ProxyConfig::new(chain.url())).expect("a free port");
    let message = format!("the method {method} does not exist/is not available");
    let refusal = Refusal { method: method.to_owned(), code: -32_601, message, count: NonZeroU64::MAX, from: None };
    proxy.fail(refusal).expect("room for one");
    proxy
}
