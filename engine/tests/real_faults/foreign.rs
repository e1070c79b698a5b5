//! Somebody else signs with our keys.

use std::collections::BTreeSet;

use alloy::primitives::{Address, U256};
use serde_json::json;

use crate::support::chain::{Chain, Kind};
use crate::support::world::{LOAD, SIGNERS};
use crate::{engine_on, mine, on_anvil_and_geth, start};

on_anvil_and_geth!(
    nonces_that_others_used_before_the_start_are_left_alone,
    a_transaction_of_others_that_waits_in_the_pool_at_the_start_costs_no_request,
    nonces_that_others_use_while_the_engine_is_idle_cost_no_request,
    nonces_that_others_use_during_a_load_cost_no_request,
);

fn nonces_that_others_used_before_the_start_are_left_alone(kind: Kind) {
    let mut chain = Chain::start(kind);
    let mut foreign = chain.use_nonces(0, 3);
    foreign.append(&mut chain.use_nonces(1, 1));
    let world = engine_on(&chain, &chain.url(), "");
    let ids = world.submit(0..LOAD);
    chain.flow();
    world.exactly_once_beside(&ids, &foreign);
    for id in &ids {
        assert_eq!(world.full(id)["displacedBy"], json!([]), "its nonce was free");
    }
}

/// It has not been seen in a block, so the engine gives its nonce away; the node decides which of the two is mined.
fn a_transaction_of_others_that_waits_in_the_pool_at_the_start_costs_no_request(kind: Kind) {
    let mut chain = Chain::start(kind);
    let foreign = chain.send_foreign(0, 0, Address::repeat_byte(0x77), U256::ZERO).expect("taken");
    chain.node.wait_for_pending(1);
    let world = engine_on(&chain, &chain.url(), "");
    let ids = world.submit(0..LOAD);
    chain.flow();
    world.wait_for_confirmed(&ids);
    assert!(chain.is_mined(&foreign), "it bids more");
    world.exactly_once_beside(&ids, &BTreeSet::from([foreign]));
}

fn nonces_that_others_use_while_the_engine_is_idle_cost_no_request(kind: Kind) {
    let (mut chain, world) = start(kind, "");
    let mut ids = world.submit(0..LOAD / 2);
    chain.node.wait_for_pending(LOAD / 2);
    mine(&chain, &world, 1);
    world.wait_for_confirmed(&ids);
    let foreign = chain.use_nonces(0, 2);
    // Accepted before the engine can have read the block with the foreign ones, or after: both must do.
    ids.append(&mut world.submit(LOAD / 2..LOAD));
    chain.flow();
    world.exactly_once_beside(&ids, &foreign);
}

fn nonces_that_others_use_during_a_load_cost_no_request(kind: Kind) {
    let (mut chain, world) = start(kind, "txmgr.max_in_flight = 4\n");
    let mut ids = world.submit(0..LOAD / 2);
    chain.flow();
    let mut sent = BTreeSet::new();
    for part in 0..6 {
        // Refused where the pool has one of ours that cannot be outbid, or where its nonce was mined a moment ago.
        sent.extend(chain.send_foreign(0, chain.nonce(SIGNERS[0]) + part % 3, Address::repeat_byte(0x77), U256::ZERO));
        let first = LOAD / 2 + part * 5;
        ids.append(&mut world.submit(first..first + 5));
    }
    world.wait_for_confirmed(&ids);
    let mined: BTreeSet<_> = sent.into_iter().filter(|hash| chain.is_mined(hash)).collect();
    assert!(!mined.is_empty(), "none of the foreign ones was mined");
    world.exactly_once_beside(&ids, &mined);
}
