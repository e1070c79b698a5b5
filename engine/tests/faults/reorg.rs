//! The node's chain is the truth at every height, also sideways and down; a node that lags changes nothing.

use serde_json::json;

use crate::on_both_executors;
use crate::support::node::{Node, quantity};
use crate::support::world::{LOAD, World};

on_both_executors!(
    a_reorg_to_the_same_height_is_seen_without_a_further_block,
    a_reorg_to_a_lower_head_is_seen_without_a_further_block,
    safe_and_finalized_blocks_are_shown,
    a_reorg_below_the_finalized_block_stops_the_engine_and_says_so,
);

/// The load is mined in the first of three blocks, the others are empty; then the chain is reorganised.
fn after_a_reorg(executor: &str, length: u64) {
    let Some(world) = World::start(executor, "") else { return };
    let ids = world.submit(0..LOAD);
    world.node.wait_for_pending(LOAD);
    world.mine(1);
    world.wait_for_confirmed(&ids);
    world.mine(2);
    let before = world.full(&ids[0])["receipt"]["blockHash"].clone();
    world.node.ask("devnet_reorg", &json!([{"depth": 3, "length": length, "requeue": false}]));
    world.wait_for_status(&ids[0], "unconfirmed");
    world.wait_until("the engine is where the node is", || world.metric("millrace_head_block_number") == world.node.head());
    // No block has come since, and the pool has all of them again: the engine has sent them.
    world.node.wait_for_pending(LOAD);
    world.flow();
    world.exactly_once(&ids);
    assert_eq!(world.full(&ids[0])["orphanedReceipts"][0]["blockHash"], before);
}

fn a_reorg_to_the_same_height_is_seen_without_a_further_block(executor: &str) {
    after_a_reorg(executor, 3);
}

fn a_reorg_to_a_lower_head_is_seen_without_a_further_block(executor: &str) {
    after_a_reorg(executor, 1);
}

/// A chain whose safe block is two below the head and whose finalized one is four below it.
fn with_tags(executor: &str) -> Option<World> {
    let config = devnet::Config { block_time: std::time::Duration::ZERO, safe_depth: 2, finalized_depth: 4, ..devnet::Config::default() };
    let chain = devnet::start(config).expect("a dev chain");
    let node = Node::new(chain.addr());
    World::with_node(node, &node.url(), executor, "", Some(chain))
}

fn safe_and_finalized_blocks_are_shown(executor: &str) {
    let Some(world) = with_tags(executor) else { return };
    let ids = world.submit(0..LOAD);
    world.node.wait_for_pending(LOAD);
    // The tagged blocks are empty at first, and then the one with the load.
    world.mine(1);
    world.mine(3);
    for (metric, tag) in [("millrace_safe_block", "safe"), ("millrace_finalized_block", "finalized")] {
        let block = world.node.ask("eth_getBlockByNumber", &json!([tag, false]));
        world.wait_until(tag, || world.metric(metric) == quantity(&block["number"]));
    }
    world.mine(1);
    world.wait_until("the block of the load is finalized", || world.metric("millrace_finalized_block") == 1);
    world.exactly_once(&ids);
}

fn a_reorg_below_the_finalized_block_stops_the_engine_and_says_so(executor: &str) {
    let Some(world) = with_tags(executor) else { return };
    world.mine(8);
    world.wait_until("a block is finalized", || world.metric("millrace_finalized_block") == 4);
    world.node.ask("devnet_reorg", &json!([{"depth": 6, "length": 6}]));
    world.wait_until("the engine is not ready", || world.millrace().get("/readyz").0 == 503);
    let (_, reasons) = world.millrace().get("/readyz");
    assert!(reasons.contains("differ from block 4 on") && reasons.contains("another chain"), "{reasons}");
}
