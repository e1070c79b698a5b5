//! The money of an address is gone, and comes back.

use std::collections::BTreeSet;

use alloy::primitives::{Address, U256};
use serde_json::{Value, json};

use crate::support::chain::{BANK, Chain, GWEI, Kind, key};
use crate::support::world::{LOAD, SIGNERS, World};
use crate::{mine, on_anvil_and_geth, start};

on_anvil_and_geth!(an_address_that_somebody_else_emptied_waits_until_money_comes);

const WAITING: &str = "millrace_addresses_waiting_for_funds";

/// Splits a load into the ids of the first signer and those of the others.
fn by_signer(ids: &[String]) -> (Vec<String>, Vec<String>) {
    let (first, others): (Vec<_>, Vec<_>) = ids.iter().cloned().enumerate().partition(|(number, _)| number % SIGNERS.len() == 0);
    let strip = |list: Vec<(usize, String)>| list.into_iter().map(|(_, id)| id).collect();
    (strip(first), strip(others))
}

/// Moves all but a rest that pays for nothing.
fn drain(chain: &Chain) -> String {
    let held = chain.balance(SIGNERS[0]);
    // What the foreign transfer may cost at most; most of it comes back as change.
    let cost = U256::from(21_000 * 500 * GWEI);
    let hash = chain.send_foreign(0, chain.nonce(SIGNERS[0]), Address::repeat_byte(0x77), held - cost).expect("taken");
    chain.mine_until("the money is gone", || chain.is_mined(&hash));
    hash
}

fn an_address_that_somebody_else_emptied_waits_until_money_comes(kind: Kind) {
    let (mut chain, world) = start(kind, "");
    let drained = drain(&chain);
    // What is left does not pay for these.
    chain.raise_base_fee(20 * GWEI as u64);
    mine(&chain, &world, 1);
    let ids = world.submit(0..LOAD);
    let (poor, rich) = by_signer(&ids);
    chain.flow();
    world.wait_for_confirmed_among(&rich);
    world.wait_until("the address waits for funds", || world.metric(WAITING) == 1);
    let bound = |id: &String| world.full(id)["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty());
    assert!(!poor.iter().all(bound), "not all are bound");
    let bank = key(BANK);
    let nonce = chain.nonce(&format!("{:#x}", bank.address()));
    let ether = U256::from(10).pow(U256::from(18));
    chain.send_foreign(BANK, nonce, SIGNERS[0].parse().expect("an address"), ether).expect("taken");
    world.exactly_once_beside(&ids, &BTreeSet::from([drained]));
    assert_eq!(world.metric(WAITING), 0);
}

// geth has no method that sets a balance, and a transfer that empties an account takes the nonce that a bound transaction has.

#[test]
fn on_anvil_bound_bytes_that_lose_their_money_are_mined_as_they_are_when_it_is_back() {
    let (mut chain, world) = start(Kind::Anvil, "");
    let ids = world.submit(0..LOAD);
    chain.node.wait_for_pending(LOAD);
    let hashes = |world: &World| ids.iter().map(|id| world.full(id)["attempts"][0]["hash"].clone()).collect::<Vec<Value>>();
    let before = hashes(&world);
    let held = chain.balance(SIGNERS[0]);
    chain.node.ask("anvil_setBalance", &json!([SIGNERS[0], "0x0"]));
    chain.flow();
    let (_, rich) = by_signer(&ids);
    world.wait_for_confirmed_among(&rich);
    chain.node.ask("anvil_setBalance", &json!([SIGNERS[0], held]));
    world.exactly_once(&ids);
    assert_eq!(hashes(&world), before);
}
