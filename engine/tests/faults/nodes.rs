//! Several nodes: one is used at a time, and another one takes over.

use serde_json::json;

use crate::on_both_executors;
use crate::support::node::Node;
use crate::support::world::{LOAD, SIGNERS, World, quiet_chain, recipient};
use crate::view::View;

on_both_executors!(
    another_node_takes_over_and_the_first_one_is_used_again_when_it_is_back,
    a_new_node_gets_what_the_one_before_it_lost,
    a_node_of_another_chain_is_not_used_until_it_is_on_the_right_one,
    two_nodes_five_blocks_apart_confuse_nothing,
    a_node_that_falls_behind_is_left,
    transactions_go_to_every_node_if_that_is_wanted,
);

/// An engine that knows a chain by two views of it, and probes them often.
struct Two {
    world: World,
    views: [View; 2],
}

impl Two {
    fn start(executor: &str, prepare: impl FnOnce(&[View; 2]), more: &str) -> Option<Self> {
        let chain = quiet_chain();
        let node = Node::new(chain.addr());
        let views = [View::of(chain.addr()), View::of(chain.addr())];
        prepare(&views);
        let [first, second] = &views;
        let more = format!(
            "node.endpoints = [{{ url = \"{}\" }}, {{ url = \"{}\" }}]\nnode.probe_interval_ms = 50\n{more}",
            first.url(),
            second.url()
        );
        let world = World::with_node(node, "", executor, &more, Some(chain))?;
        Some(Self { world, views })
    }

    fn wait_for_current(&self, node: u64) {
        self.world.wait_until("the other node is used", || self.world.metric("millrace_node_current") == node);
    }

    fn wait_for_healthy(&self, count: u64) {
        self.world.wait_until("the nodes are healthy", || self.world.metric("millrace_nodes_healthy") == count);
    }
}

fn another_node_takes_over_and_the_first_one_is_used_again_when_it_is_back(executor: &str) {
    let Some(two) = Two::start(executor, |_| {}, "") else { return };
    two.wait_for_healthy(2);
    two.world.flow();
    let mut ids = two.world.submit(0..LOAD / 3);
    two.views[0].set_down(true);
    ids.append(&mut two.world.submit(LOAD / 3..LOAD * 2 / 3));
    two.wait_for_current(1);
    two.world.wait_for_confirmed(&ids);
    assert_eq!(two.world.millrace().get("/readyz"), (200, "ok\n".to_owned()));
    two.views[0].set_down(false);
    two.wait_for_current(0);
    ids.append(&mut two.world.submit(LOAD * 2 / 3..LOAD));
    two.world.exactly_once(&ids);
    assert_eq!(two.world.metric("millrace_node_switches_total"), 2);
}

fn a_new_node_gets_what_the_one_before_it_lost(executor: &str) {
    let Some(two) = Two::start(executor, |_| {}, "") else { return };
    two.wait_for_healthy(2);
    let ids = two.world.submit(0..LOAD);
    two.world.node.wait_for_pending(LOAD);
    for id in &ids {
        let hash = two.world.full(id)["transactionHash"].clone();
        assert_eq!(two.world.node.ask("devnet_dropTransaction", &json!([hash])), true);
    }
    assert_eq!((two.world.node.pending(), two.views[1].raw_transactions()), (0, 0));
    two.views[0].set_down(true);
    // No block has come: it is the change of nodes that sends them again.
    two.world.node.wait_for_pending(LOAD);
    assert_eq!(two.views[1].raw_transactions(), LOAD);
    two.world.flow();
    two.world.exactly_once(&ids);
}

fn a_node_of_another_chain_is_not_used_until_it_is_on_the_right_one(executor: &str) {
    let Some(two) = Two::start(executor, |views| views[0].set_chain_id(5), "node.chain_id = 31337\n") else { return };
    two.wait_for_current(1);
    let (status, body) = two.world.millrace().get("/readyz");
    assert_eq!(status, 200, "{body}");
    assert!(body.starts_with("ok\n") && body.contains("is on chain 5"), "{body}");
    assert_eq!(two.world.metric("millrace_nodes_quarantined"), 1);
    two.world.flow();
    let mut ids = two.world.submit(0..LOAD / 2);
    two.world.wait_for_confirmed(&ids);
    assert_eq!(two.views[0].raw_transactions(), 0);
    two.views[0].set_chain_id(0);
    two.wait_for_current(0);
    ids.append(&mut two.world.submit(LOAD / 2..LOAD));
    two.world.exactly_once(&ids);
    assert!(two.views[0].raw_transactions() > 0);
}

fn two_nodes_five_blocks_apart_confuse_nothing(executor: &str) {
    let Some(two) = Two::start(executor, |views| views[1].set_lag(5), "node.max_lag_blocks = 10\n") else { return };
    let world = &two.world;
    two.wait_for_healthy(2);
    let mut ids = world.submit(0..20);
    world.node.wait_for_pending(20);
    world.mine(1);
    world.mine(6);
    world.wait_for_confirmed(&ids);
    let head = world.metric("millrace_head_block_number");
    two.views[0].set_down(true);
    two.wait_for_current(1);
    // The nonces that the lagging node names are older than ours, and so are its blocks.
    ids.append(&mut world.submit(20..40));
    world.node.wait_for_pending(20);
    assert_eq!(world.metric("millrace_head_block_number"), head);
    world.wait_for_confirmed(&ids[..20]);
    world.flow();
    world.wait_for_confirmed(&ids);
    two.views[0].set_down(false);
    two.wait_for_current(0);
    ids.append(&mut world.submit(40..LOAD));
    world.exactly_once(&ids);
    let orphans = ids.iter().filter(|id| world.full(id)["orphanedReceipts"].as_array().is_some_and(|orphans| !orphans.is_empty()));
    assert_eq!(orphans.count(), 0, "a lagging node is no reorg");
}

fn a_node_that_falls_behind_is_left(executor: &str) {
    let Some(two) = Two::start(executor, |_| {}, "") else { return };
    two.wait_for_healthy(2);
    two.world.mine(20);
    two.views[0].set_lag(20);
    two.wait_for_current(1);
    assert_eq!(two.world.metric("millrace_nodes_healthy"), 1);
    two.world.flow();
    let ids = two.world.submit(0..LOAD);
    two.world.exactly_once(&ids);
    assert_eq!(two.views[0].raw_transactions(), 0);
}

fn transactions_go_to_every_node_if_that_is_wanted(executor: &str) {
    let Some(two) = Two::start(executor, |_| {}, "node.send_to_all = true\n") else { return };
    two.wait_for_healthy(2);
    let ids = two.world.submit(0..LOAD);
    two.world.wait_until("both nodes have all", || two.views.iter().all(|view| view.raw_transactions() >= LOAD));
    two.world.wait_until("copies are counted", || two.world.metric("millrace_copies_sent_total") >= LOAD);
    two.world.flow();
    two.world.exactly_once(&ids);
    // Its end does not hold anything up.
    two.views[1].set_down(true);
    let last = two.world.send(&json!({"from": SIGNERS[0], "to": recipient(LOAD), "gas": 21000}));
    two.world.wait_for_status(&last, "confirmed");
    assert!(two.views[1].calls() > 0);
}
