//! The real binary against the nodes that others have written. Fails where one is not installed.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use nodes::{NodeError, Running, anvil, geth};
use support::node::Node;
use support::world::{LOAD, World};

#[test]
fn on_anvil_a_load_with_a_kill_in_the_middle_is_mined_exactly_once() {
    survives_a_kill(anvil::start(&anvil::Config::default()));
}

#[test]
fn on_geth_a_load_with_a_kill_in_the_middle_is_mined_exactly_once() {
    survives_a_kill(geth::start(&geth::Config::default()));
}

fn survives_a_kill(started: Result<Running, NodeError>) {
    let process = started.unwrap_or_else(|error| panic!("{error}"));
    let node = Node::new(process.address());
    let mut world = World::with_node(node, &node.url(), "auto", "txmgr.max_in_flight = 10\n", None).expect("auto runs anywhere");
    let ids = world.submit(0..LOAD);
    let confirmed = |world: &World| {
        let transactions = world.transactions();
        transactions.as_array().expect("transactions").iter().filter(|transaction| transaction["status"] == "confirmed").count()
    };
    world.wait_until("some are confirmed", || confirmed(&world) > 0);
    world.kill();
    world.restart();
    assert_eq!(world.submit(0..LOAD), ids, "the same keys have the same ids");
    world.exactly_once(&ids);
    assert_eq!(world.stop(), Some(0));
}
