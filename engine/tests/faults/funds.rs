//! The money of an address is gone, and comes back.

use serde_json::{Value, json};

use crate::on_both_executors;
use crate::support::world::{SIGNERS, World, transfer};

on_both_executors!(
    without_funds_one_address_waits_and_goes_on_by_itself_when_money_comes,
    bound_bytes_that_cannot_be_paid_for_go_out_as_they_are_when_money_comes,
);

const WAITING: &str = "millrace_addresses_waiting_for_funds";

/// Sets what the first signer holds, in ether.
fn hold(world: &World, ether: u64) {
    let wei = format!("{:#x}", u128::from(ether) * 1_000_000_000_000_000_000);
    world.node.ask("devnet_setBalance", &json!([SIGNERS[0], wei]));
}

/// Numbers of transfers by the first signer, or by the others.
fn numbers(first: bool) -> impl Iterator<Item = u64> {
    (0..30).filter(move |number| (transfer(*number)["from"].as_str() == Some(SIGNERS[0])) == first)
}

fn attempts(full: &Value) -> usize {
    full["attempts"].as_array().map_or(0, Vec::len)
}

fn without_funds_one_address_waits_and_goes_on_by_itself_when_money_comes(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    hold(&world, 0);
    let poor = world.submit(numbers(true));
    let rich = world.submit(numbers(false));
    world.flow();
    for id in &rich {
        world.wait_for_status(id, "confirmed");
    }
    world.wait_until("the address waits for funds", || world.metric(WAITING) == 1);
    for id in &poor {
        assert_eq!(attempts(&world.full(id)), 0, "nothing is bound that cannot be paid for");
    }
    hold(&world, 1000);
    world.exactly_once(&[poor, rich].concat());
    world.node.gapless();
    assert_eq!(world.metric(WAITING), 0);
}

fn bound_bytes_that_cannot_be_paid_for_go_out_as_they_are_when_money_comes(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    // The balance is read now, and is what the next ones rely on.
    let mut ids = world.submit(0..1);
    world.node.wait_for_pending(1);
    world.mine(1);
    hold(&world, 0);
    ids.extend(world.submit(1..30));
    world.wait_until("the address waits for funds", || world.metric(WAITING) == 1);
    let bound: Vec<_> = ids.iter().map(|id| world.full(id)["attempts"].clone()).collect();
    assert!(numbers(true).skip(1).any(|number| attempts(&world.full(&ids[number as usize])) > 0), "{bound:#?}");
    hold(&world, 1000);
    world.flow();
    world.exactly_once(&ids);
    world.node.gapless();
    for (id, before) in ids.iter().zip(&bound).filter(|(_, before)| before.as_array().is_some_and(|list| !list.is_empty())) {
        assert_eq!(world.full(id)["attempts"][0]["hash"], before[0]["hash"]);
    }
    assert_eq!(world.metric(WAITING), 0);
}
