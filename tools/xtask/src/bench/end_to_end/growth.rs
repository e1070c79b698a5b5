//! The same cost with more of everything: signing addresses, history, work on disk at a start.
//!
//! Ratios are of runs that follow each other, in turn; the history is written once, because ten million transactions take minutes.

use serde::Serialize;

use super::arena::{Arena, Past};
use crate::bench::spread::Spread;
use crate::demo::options::{DEFAULT_PROFILE, Executor};

/// How often few and many addresses run in turn.
const ROUNDS: u32 = 2;
/// Transactions of a run.
const TRANSACTIONS: u64 = 300_000;
/// Few signing addresses, and many.
const ADDRESSES: (u64, u64) = (100, 100_000);
/// The tuning profile for many addresses; both run with it.
const MANY_ADDRESSES: &str = "many-addresses";
/// What is on disk at the start.
const AT_THE_START: Past = Past { bound: 50_000, waiting: 950_000, history: 0 };
/// Mined transactions on disk before the run.
const HISTORY: Past = Past { bound: 0, waiting: 0, history: 10_000_000 };

/// What was measured.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Growth {
    /// CPU time of a start for each transaction on disk, µs.
    pub(super) start_us: Spread,
    /// CPU time for a transaction with many addresses ÷ with few.
    pub(super) addresses: Spread,
    /// CPU time for a transaction after a long history ÷ when empty.
    pub(super) history: Spread,
}

/// Measures all of it.
pub(super) fn measure(arena: &Arena<'_>, executor: Executor, own_addresses: u64) -> anyhow::Result<Growth> {
    let mut starts = Vec::new();
    let (mut addresses, mut empty) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        eprintln!("xtask: growth, {} of {ROUNDS}: a start with work on disk", round + 1);
        starts.push(arena.restart(executor, AT_THE_START)?);
        let run = |addresses, profile| {
            eprintln!("xtask: growth, {} of {ROUNDS}: {addresses} addresses", round + 1);
            arena.embedded_with(executor, TRANSACTIONS, addresses, profile, None)
        };
        let (few, many) = (run(ADDRESSES.0, MANY_ADDRESSES)?, run(ADDRESSES.1, MANY_ADDRESSES)?);
        addresses.extend(Some(many.cpu_us.zip(few.cpu_us).map(|(many, few)| many / few)).flatten());
        empty.extend(run(own_addresses, DEFAULT_PROFILE)?.cpu_us);
    }
    eprintln!("xtask: growth: {} transactions of history", HISTORY.history);
    let old = arena.embedded_with(executor, TRANSACTIONS, own_addresses, DEFAULT_PROFILE, Some(HISTORY))?;
    let history = empty.iter().filter_map(|empty| Some(old.cpu_us? / empty));
    let some = |values: Option<Spread>| values.ok_or_else(|| anyhow::anyhow!("nothing was measured"));
    Ok(Growth { start_us: some(Spread::of(starts))?, addresses: some(Spread::of(addresses))?, history: some(Spread::of(history))? })
}
