//! The base fee rises above what was bid. On geth it cannot be set: blocks full of burnt gas raise it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::chain::Kind;
use crate::support::node::{quantity, text};
use crate::{on_anvil_and_geth, start};

on_anvil_and_geth!(
    an_outbid_load_is_sent_again_at_ten_percent_more_and_mined_once,
    above_the_cap_a_load_is_held_until_the_fee_falls_and_mined_once,
);

/// Short intervals: a higher price is due at once, and the market is asked anew.
const HASTY: &str = "txmgr.resubmit_interval_ms = 300\ngas.cache_ms = 100\n";
const GWEI: u64 = 1_000_000_000;
const FEW: u64 = 6;

fn attempts(full: &Value) -> Vec<Value> {
    full["attempts"].as_array().expect("attempts").clone()
}

fn bid(attempt: &Value) -> u64 {
    quantity(&attempt["maxFeePerGas"])
}

fn an_outbid_load_is_sent_again_at_ten_percent_more_and_mined_once(kind: Kind) {
    let (mut chain, world) = start(kind, HASTY);
    let ids = world.submit(0..FEW);
    chain.node.wait_for_pending(FEW);
    chain.raise_base_fee(2 * bid(&attempts(&world.full(&ids[0]))[0]));
    chain.flow();
    world.exactly_once(&ids);
    let on_chain = chain.node.gapless();
    for id in &ids {
        let attempts = attempts(&world.full(id));
        assert!(attempts.len() >= 2, "{attempts:#?}");
        for pair in attempts.windows(2) {
            assert!(bid(&pair[1]) * 100 >= bid(&pair[0]) * 110, "{pair:#?}");
        }
        let hashes: BTreeSet<_> = attempts.iter().map(|attempt| text(&attempt["hash"])).collect();
        assert_eq!(hashes.intersection(&on_chain).count(), 1, "one of the attempts is mined");
    }
}

fn above_the_cap_a_load_is_held_until_the_fee_falls_and_mined_once(kind: Kind) {
    const CAP: u64 = 3 * GWEI;
    let (mut chain, world) = start(kind, &format!("{HASTY}gas.cap_max_fee_per_gas = {CAP}\n"));
    let ids = world.submit(0..FEW);
    chain.node.wait_for_pending(FEW);
    chain.raise_base_fee(3 * CAP);
    world.wait_until("they are held", || world.metric("millrace_transactions_held_total") >= FEW);
    assert_eq!(chain.nonce(crate::support::SIGNER), 0, "nothing was mined at that fee");
    // Empty blocks lower the fee.
    chain.flow();
    world.exactly_once(&ids);
    for attempt in ids.iter().flat_map(|id| attempts(&world.full(id))) {
        assert!(bid(&attempt) <= CAP, "{attempt:#}");
    }
}
