//! The real binary against a real anvil. Fails when there is none.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use support::anvil::Anvil;
use support::world::{LOAD, World};

#[test]
fn a_load_with_a_kill_in_the_middle_is_mined_exactly_once() {
    let anvil = Anvil::start();
    let node = anvil.node;
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
