//! Blocks are taken away. Neither node gives what was in them back to its pool.

use std::collections::BTreeSet;

use alloy::primitives::{Address, U256};
use nix::sys::signal::Signal;
use serde_json::json;

use crate::support::chain::{Chain, Kind};
use crate::support::world::{LOAD, SIGNERS, World};
use crate::{loaded, mine, on_anvil_and_geth, read_beyond, start};

on_anvil_and_geth!(
    what_a_shorter_chain_takes_back_is_unconfirmed_again_and_mined_once,
    what_chains_in_a_row_take_back_is_mined_once,
    requests_whose_nonces_go_to_rivals_after_a_reorg_are_queued_again_and_done_once,
    requests_whose_rivals_a_second_reorg_takes_away_are_sent_again_at_their_nonces,
);

/// The load is in the first of three blocks.
fn mined(kind: Kind) -> (Chain, World, Vec<String>) {
    let (chain, world, ids) = loaded(kind);
    mine(&chain, &world, 1);
    world.wait_for_confirmed(&ids);
    mine(&chain, &world, 2);
    (chain, world, ids)
}

fn what_a_shorter_chain_takes_back_is_unconfirmed_again_and_mined_once(kind: Kind) {
    let (mut chain, world, ids) = mined(kind);
    let before = world.full(&ids[0])["receipt"]["blockHash"].clone();
    chain.set_back(3);
    // A head among our blocks may be that of a node that lags. The next block shows that it is not, though the chain is still shorter.
    chain.mine(1);
    world.wait_for_status(&ids[0], "unconfirmed");
    // No block has come since: it is the reorg that has the engine send them.
    chain.node.wait_for_pending(LOAD);
    chain.flow();
    world.exactly_once(&ids);
    let full = world.full(&ids[0]);
    assert_eq!(full["orphanedReceipts"][0]["blockHash"], before, "{full:#}");
}

fn what_chains_in_a_row_take_back_is_mined_once(kind: Kind) {
    let (mut chain, world) = start(kind, "txmgr.max_in_flight = 5\n");
    let ids = world.submit(0..LOAD);
    chain.flow();
    for confirmed in [1, LOAD as usize / 3, LOAD as usize * 2 / 3] {
        world.wait_until("some are confirmed", || {
            let transactions = world.transactions();
            let transactions = transactions.as_array().expect("transactions");
            transactions.iter().filter(|transaction| transaction["status"] == "confirmed").count() >= confirmed
        });
        chain.halt();
        let height = chain.node.head();
        chain.set_back(2.min(height));
        chain.flow();
        read_beyond(&world, height);
    }
    world.exactly_once(&ids);
}

/// The engine sleeps while its blocks are taken away and the first nonces of two of its addresses go to others. It has seen the new
/// chain when this returns; hashes of the rivals.
fn rivals(chain: &Chain, world: &World, ids: &[String]) -> BTreeSet<String> {
    world.millrace().signal(Signal::SIGSTOP);
    chain.set_back(3);
    let send = |(account, nonce)| chain.send_foreign(account, nonce, Address::repeat_byte(0x77), U256::ZERO).expect("taken");
    let rivals: BTreeSet<_> = [(0, 0), (0, 1), (1, 0)].map(send).into();
    chain.mine_until("the rivals are mined", || rivals.iter().all(|hash| chain.is_mined(hash)));
    assert_eq!([0, 1, 2].map(|account| chain.nonce(SIGNERS[account])), [2, 1, 0]);
    world.millrace().signal(Signal::SIGCONT);
    world.wait_until("the rivals are known", || displaced(world, ids) == rivals.len());
    rivals
}

fn displaced(world: &World, ids: &[String]) -> usize {
    ids.iter().filter(|id| world.full(id)["displacedBy"] != json!([])).count()
}

fn requests_whose_nonces_go_to_rivals_after_a_reorg_are_queued_again_and_done_once(kind: Kind) {
    let (mut chain, world, ids) = mined(kind);
    let rivals = rivals(&chain, &world, &ids);
    chain.flow();
    // The rivals are final after twelve blocks.
    world.exactly_once_beside(&ids, &rivals);
    assert_eq!(displaced(&world, &ids), rivals.len());
}

fn requests_whose_rivals_a_second_reorg_takes_away_are_sent_again_at_their_nonces(kind: Kind) {
    let (mut chain, world, ids) = mined(kind);
    let first = |world: &World| world.full(&ids[0])["nonce"].clone();
    let before = first(&world);
    let rivals = rivals(&chain, &world, &ids);
    chain.set_back(chain.node.head());
    chain.flow();
    world.exactly_once(&ids);
    assert_eq!(first(&world), before);
    assert!(!rivals.iter().any(|hash| chain.is_mined(hash)));
}

// geth has no method that puts another chain of the same length in place of the newest blocks; one that is shorter and grows is above.

#[test]
fn on_anvil_what_a_reorg_to_the_same_height_takes_back_is_mined_once() {
    let (mut chain, world, ids) = mined(Kind::Anvil);
    let head = chain.node.head();
    chain.node.ask("anvil_reorg", &json!([3, []]));
    assert_eq!(chain.node.head(), head);
    world.wait_for_status(&ids[0], "unconfirmed");
    chain.flow();
    world.exactly_once(&ids);
}
