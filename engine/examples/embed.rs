//! The engine inside a program: 10,000 transfers from Rust, without JSON-RPC, on a chain in the same process.
//!
//! ```sh
//! cargo run --release --example embed
//! ```
//!
//! 1. [`Config::load`] reads the settings that `millrace run` reads; [`engine::start`] opens the store and starts the threads.
//! 2. [`Engine::submit`] takes a batch and answers for each element, when it is on disk: an id, or an error that says whether anything was
//!    accepted. A repeat with the same idempotency key gives the same id.
//! 3. [`Engine::endings`] is the feed of how transactions ended, in order and without a gap, from any place on; [`Engine::news`] tells when
//!    there is more. It survives the process: what is noted of it is where the next one goes on.
//! 4. [`Running::stop`](engine::Running::stop) ends the threads; what was accepted is on disk.

use std::collections::HashSet;
use std::time::Duration;

use alloy::primitives::{Address, Bytes, U256};
use anyhow::{Context, bail, ensure};
use engine::feed::End;
use engine::metrics::Metrics;
use engine::{Config, Engine, Fees, Request, Submission, SubmitError};
use storage::RocksStore;

/// The dev accounts' phrase: keys for whom nothing real is kept.
const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// How many transfers, and how many in one call.
const TRANSFERS: u64 = 10_000;
const BATCH: u64 = 500;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // A chain with ten rich accounts. In earnest this is a node of yours.
    let chain = devnet::start(devnet::Config { block_time: Duration::from_millis(200), ..devnet::Config::default() })?;
    let room = tempfile::tempdir()?;
    let settings = format!(
        "data_dir = {:?}\n[node]\nurl = {:?}\n[keys]\nmnemonic = {MNEMONIC:?}\ncount = 10\n",
        room.path().join("data"),
        chain.url(),
    );
    let file = room.path().join("millrace.toml");
    std::fs::write(&file, settings)?;

    let (engine, running) = engine::start(&Config::load(&file, &[])?, Metrics::new())?;
    let outcome = transfer(&engine).await;
    drop(engine);
    running.stop()?;
    chain.stop();
    outcome
}

async fn transfer(engine: &Engine<RocksStore>) -> anyhow::Result<()> {
    let senders: Vec<Address> = engine.addresses().collect();
    let mut accepted = 0;
    for first in (0..TRANSFERS).step_by(BATCH as usize) {
        let mut missing: Vec<u64> = (first..first + BATCH).collect();
        while !missing.is_empty() {
            let answers = engine.submit(missing.iter().map(|number| submission(&senders, *number)).collect()).await;
            let mut again = Vec::new();
            for (number, answer) in missing.iter().zip(answers) {
                match answer {
                    Ok(_) => accepted += 1,
                    // Its key makes it safe to send it again.
                    Err(SubmitError::Busy { .. } | SubmitError::Unknown) => again.push(*number),
                    Err(error) => return Err(error).with_context(|| format!("transfer {number}")),
                }
            }
            missing = again;
        }
    }
    println!("{accepted} transfers are on disk");
    let confirmed = confirmed(engine).await?;
    println!("{confirmed} are mined, each exactly once");
    Ok(())
}

/// Transfer `number`: one wei more than the one before, from one account to another.
fn submission(senders: &[Address], number: u64) -> Submission {
    let pick = |number: u64| senders[(number % senders.len() as u64) as usize];
    let request = Request {
        from: pick(number),
        to: Some(pick(number + 1)),
        value: U256::from(number),
        data: Bytes::new(),
        gas: Some(21_000),
        fees: Fees::Market,
        extras: None,
    };
    Submission { request, chain_id: None, idempotency_key: Some(format!("transfer-{number}")), depends_on: Vec::new(), blobs: None }
}

/// Follows the feed of endings until every transfer has one; tells how many were mined.
async fn confirmed(engine: &Engine<RocksStore>) -> anyhow::Result<usize> {
    let mut news = engine.news();
    // By id: one that a reorg takes back comes again, with a new sequence.
    let (mut mined, mut above) = (HashSet::new(), 0);
    while mined.len() < TRANSFERS as usize {
        let page = engine.endings(above).await?;
        for ending in page.endings {
            match ending.end {
                End::Mined(receipt) => ensure!(receipt.success && mined.insert(ending.id), "{} reverted, or came twice", ending.id),
                End::Failed(failure) => bail!("{} failed: {}", ending.id, failure.reason),
            }
        }
        // Whoever keeps this number goes on from here after a crash.
        above = page.covered;
        if !page.more {
            news.changed().await?;
        }
    }
    Ok(mined.len())
}
