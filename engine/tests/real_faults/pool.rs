//! The pool forgets what it was given.

use serde_json::json;

use crate::support::chain::Kind;
use crate::support::world::{LOAD, World};
use crate::{loaded, mine, on_anvil_and_geth, start};

on_anvil_and_geth!(
    a_node_that_starts_again_without_its_pool_is_given_everything_again,
    a_node_that_starts_again_in_the_middle_of_a_load_mines_the_rest_once,
);

fn sent(world: &World) -> u64 {
    world.metric("millrace_attempts_sent_total")
}

fn a_node_that_starts_again_without_its_pool_is_given_everything_again(kind: Kind) {
    let (mut chain, world, ids) = loaded(kind);
    assert_eq!(sent(&world), LOAD);
    chain.restart_without_its_pool();
    chain.flow();
    world.exactly_once(&ids);
    assert!(sent(&world) >= 2 * LOAD, "each was sent again");
}

fn a_node_that_starts_again_in_the_middle_of_a_load_mines_the_rest_once(kind: Kind) {
    let (mut chain, world) = start(kind, "txmgr.max_in_flight = 5\n");
    let ids = world.submit(0..LOAD);
    chain.node.wait_for_pending(3 * 5);
    mine(&chain, &world, 1);
    world.wait_for_status(&ids[0], "confirmed");
    chain.node.wait_for_pending(3 * 5);
    chain.restart_without_its_pool();
    chain.flow();
    world.exactly_once(&ids);
}

// geth has no method that drops a transaction from its pool.

#[test]
fn on_anvil_one_transaction_that_the_pool_drops_is_sent_again() {
    let (mut chain, world, ids) = loaded(Kind::Anvil);
    // The fourth of its address: those behind it go with it.
    let hash = world.full(&ids[9])["transactionHash"].clone();
    chain.node.ask("anvil_dropTransaction", &json!([hash]));
    assert!(chain.node.pending() < LOAD);
    chain.flow();
    world.exactly_once(&ids);
}

#[test]
fn on_anvil_everything_that_the_pool_drops_is_sent_again() {
    let (mut chain, world, ids) = loaded(Kind::Anvil);
    chain.node.ask("anvil_dropAllTransactions", &json!([]));
    assert_eq!(chain.node.pending(), 0);
    chain.flow();
    world.exactly_once(&ids);
}
