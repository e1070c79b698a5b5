//! The base fee rises above what was bid.
//!
//! A chain that starts at a base fee of one gwei makes the engine bid 2.75 gwei: twice the 0.875 gwei that follow an empty block, plus a
//! tip of one.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::on_both_executors;
use crate::support::node::{Node, quantity, text};
use crate::support::world::{World, transfer};

on_both_executors!(
    an_outbid_transaction_is_sent_again_at_ten_percent_more,
    at_the_price_cap_a_transaction_is_held_until_the_fee_falls,
    no_bid_is_above_the_price_cap,
    a_price_that_the_request_names_is_never_raised,
    a_price_that_the_settings_fix_is_raised,
    a_bid_below_the_smallest_tip_of_the_pool_is_raised,
);

const GWEI: u64 = 1_000_000_000;
/// Short intervals: a higher price is due at once, and the market is asked anew.
const HASTY: &str = "txmgr.resubmit_interval_ms = 300\ngas.cache_ms = 100\n";

fn next_base_fees(world: &World, gwei: &[u64]) {
    let wei: Vec<_> = gwei.iter().map(|gwei| gwei * GWEI).collect();
    world.node.ask("devnet_setNextBaseFees", &json!([wei]));
}

fn attempts(full: &Value) -> Vec<Value> {
    full["attempts"].as_array().expect("attempts").clone()
}

/// Sends the transfer with this number at the market's price.
fn send(world: &World, number: u64) -> String {
    world.send(&transfer(number))
}

/// Each attempt bids at least 10 % more than the one before, in both fees.
fn assert_rising(attempts: &[Value]) {
    for pair in attempts.windows(2) {
        for fee in ["maxFeePerGas", "maxPriorityFeePerGas"] {
            let (before, after) = (quantity(&pair[0][fee]), quantity(&pair[1][fee]));
            assert!(after * 100 >= before * 110, "{fee}: {after} after {before}");
        }
    }
}

fn an_outbid_transaction_is_sent_again_at_ten_percent_more(executor: &str) {
    let Some(world) = World::start(executor, HASTY) else { return };
    let ids: Vec<_> = (0..6).map(|number| send(&world, number)).collect();
    world.node.wait_for_pending(6);
    next_base_fees(&world, &[100]);
    world.mine(1);
    for id in &ids {
        world.wait_until("there is a further attempt", || attempts(&world.full(id)).len() >= 2);
    }
    world.flow();
    world.exactly_once(&ids);
    let on_chain = world.node.gapless();
    for id in &ids {
        let full = world.full(id);
        let attempts = attempts(&full);
        assert!(attempts.len() >= 2, "{full:#}");
        assert_rising(&attempts);
        let hashes: BTreeSet<_> = attempts.iter().map(|attempt| text(&attempt["hash"])).collect();
        assert_eq!(hashes.intersection(&on_chain).count(), 1, "one of the attempts is mined");
        let named = text(&full["receipt"]["transactionHash"]);
        assert!(hashes.contains(&named) && on_chain.contains(&named), "{full:#}");
        assert_eq!(text(&full["transactionHash"]), named);
    }
}

fn at_the_price_cap_a_transaction_is_held_until_the_fee_falls(executor: &str) {
    // A replacement would need 3.025 gwei.
    let Some(world) = World::start(executor, &format!("{HASTY}gas.cap_max_fee_per_gas = 3000000000\n")) else { return };
    let id = send(&world, 0);
    world.node.wait_for_pending(1);
    next_base_fees(&world, &[10]);
    world.mine(1);
    world.wait_until("it is held", || world.metric("millrace_transactions_held_total") > 0);
    assert_eq!(world.full(&id)["status"], "unconfirmed");
    next_base_fees(&world, &[1]);
    world.flow();
    world.exactly_once(std::slice::from_ref(&id));
    assert_eq!(attempts(&world.full(&id)).len(), 1);
}

fn no_bid_is_above_the_price_cap(executor: &str) {
    const CAP: u64 = 5 * GWEI;
    let Some(world) = World::start(executor, &format!("{HASTY}gas.cap_max_fee_per_gas = {CAP}\n")) else { return };
    next_base_fees(&world, &[100, 100, 100, 100, 1]);
    world.mine(1);
    let id = send(&world, 0);
    world.flow();
    world.exactly_once(std::slice::from_ref(&id));
    for attempt in attempts(&world.full(&id)) {
        assert!(quantity(&attempt["maxFeePerGas"]) <= CAP, "{attempt:#}");
    }
}

fn a_price_that_the_request_names_is_never_raised(executor: &str) {
    let Some(world) = World::start(executor, HASTY) else { return };
    let (mut legacy, mut dynamic) = (transfer(0), transfer(1));
    legacy["gasPrice"] = json!(3 * GWEI);
    dynamic["maxFeePerGas"] = json!(3 * GWEI);
    dynamic["maxPriorityFeePerGas"] = json!(GWEI);
    let ids = [world.send(&legacy), world.send(&dynamic)];
    world.node.wait_for_pending(2);
    next_base_fees(&world, &[100]);
    world.mine(1);
    // Some resubmission intervals have passed when the same bytes have gone out that often.
    world.wait_until("the same bytes are sent again", || world.metric("millrace_attempts_sent_total") >= 8);
    next_base_fees(&world, &[1]);
    world.flow();
    world.exactly_once(&ids);
    for (id, field) in ids.iter().zip(["gasPrice", "maxFeePerGas"]) {
        let attempts = attempts(&world.full(id));
        assert_eq!(attempts.len(), 1, "{attempts:#?}");
        assert_eq!(quantity(&attempts[0][field]), 3 * GWEI);
    }
}

fn a_price_that_the_settings_fix_is_raised(executor: &str) {
    let fixed = format!("{HASTY}gas.max_fee_per_gas = 2750000000\ngas.max_priority_fee_per_gas = \"1000000000\"\n");
    let Some(world) = World::start(executor, &fixed) else { return };
    let id = send(&world, 0);
    world.node.wait_for_pending(1);
    // One step of a tenth is enough for this fee.
    next_base_fees(&world, &[3; 20]);
    world.flow();
    world.exactly_once(std::slice::from_ref(&id));
    let attempts = attempts(&world.full(&id));
    assert!(attempts.len() >= 2, "{attempts:#?}");
    assert_rising(&attempts);
}

fn a_bid_below_the_smallest_tip_of_the_pool_is_raised(executor: &str) {
    // The engine bids a tip of one gwei; two steps of a tenth are enough.
    let config = devnet::Config { min_tip_wei: 1_200_000_000, block_time: Duration::ZERO, ..devnet::Config::default() };
    let chain = devnet::start(config).expect("a dev chain");
    let node = Node::new(chain.addr());
    let Some(world) = World::with_node(node, &node.url(), executor, HASTY, Some(chain)) else { return };
    world.flow();
    let id = send(&world, 0);
    world.exactly_once(std::slice::from_ref(&id));
    let attempts = attempts(&world.full(&id));
    assert!(attempts.len() >= 3, "{attempts:#?}");
    assert_rising(&attempts);
}
