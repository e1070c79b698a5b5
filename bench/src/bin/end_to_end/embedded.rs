//! The engine as a library: submissions from Rust, without JSON-RPC, until the last transfer is archived.
//!
//! ```text
//! build all submissions ─► [ submit in batches, closed loop ─► all confirmed ─► all archived ] ─► read every block
//!                            └──────────── CPU of the whole process is counted ────────────┘
//! ```
//!
//! What is offered is built before the clocks start, so that the measured time holds no work of a load. What is left on this thread
//! is `Engine::submit` itself and waiting; its part is told besides.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::providers::Provider as _;
use anyhow::{Context, bail, ensure};
use clap::Args;
use engine::engine::Running;
use engine::metrics::Metrics;
use engine::{Config, Engine, Submission, SubmitError};
use serde::Serialize;
use storage::RocksStore;
use tokio::sync::Mutex;

use crate::audit;
use crate::clock::{process_cpu_us, thread_cpu_us, threads_cpu_us};
use crate::meter::Meter;
use crate::transfers::{Transfers, signers};

/// Transfers in one call, and calls at a time: those of the load.
const BATCH: usize = 200;
const CALLS: usize = 4;
/// What the names of the shards' threads begin with.
const SHARD_THREADS: &str = "shard-";
/// How long the engine may take until it is ready.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at an engine that is not ready: there is no event to wait for.
const READY_INTERVAL: Duration = Duration::from_millis(20);
/// How long nothing may move.
const PATIENCE: Duration = Duration::from_secs(60);

/// Options of `end_to_end embedded`.
#[derive(Args, Debug)]
pub(crate) struct EmbeddedOptions {
    /// The engine's settings.
    #[arg(long)]
    config: PathBuf,
    /// Key file written by `load fund`, the one that the settings name.
    #[arg(long)]
    keys: PathBuf,
    /// HTTP JSON-RPC address of the node.
    #[arg(long)]
    node: String,
    /// How many transfers.
    #[arg(long)]
    transactions: usize,
    /// Most transfers submitted and not confirmed.
    #[arg(long)]
    outstanding: usize,
}

/// What `end_to_end embedded` prints.
#[derive(Debug, Serialize)]
struct Embedded {
    /// What the shards ran on.
    executor: String,
    accepted: u64,
    confirmed: u64,
    /// From the first submission until the last transfer was confirmed, s.
    seconds: f64,
    /// CPU time of all threads from the first submission until the last transfer was archived, µs.
    cpu_us: f64,
    /// The part of it of the thread that submits, µs.
    submit_cpu_us: f64,
    /// The part of it of the shards' threads, µs.
    shard_cpu_us: f64,
    http_requests: u64,
    fsyncs: u64,
}

/// The engine's counts that this run needs.
struct Meters {
    accepted: Arc<Meter>,
    confirmed: Arc<Meter>,
    open: Arc<Meter>,
    http_requests: Arc<Meter>,
    fsyncs: Arc<Meter>,
}

impl Meters {
    fn new() -> Self {
        let [accepted, confirmed, open, http_requests, fsyncs] = std::array::from_fn(|_| Meter::new());
        Self { accepted, confirmed, open, http_requests, fsyncs }
    }

    /// Metrics without a recorder but for these.
    fn metrics(&self) -> Metrics {
        Metrics {
            accepted: self.accepted.counter(),
            confirmed: self.confirmed.counter(),
            open: self.open.gauge(),
            rpc_http_requests: self.http_requests.counter(),
            fsyncs: self.fsyncs.counter(),
            ..Metrics::new()
        }
    }
}

/// Carries out `end_to_end embedded`.
pub(crate) async fn embedded(options: &EmbeddedOptions) -> anyhow::Result<String> {
    let config = Config::load(&options.config, &[])?;
    let executor = netio::choose(config.shards.executor)?.to_string();
    let transfers = Transfers::new(signers(&options.keys)?.iter().map(alloy::signers::local::PrivateKeySigner::address).collect());
    let node = audit::node(&options.node)?;
    let before = node.get_block_number().await.context("eth_blockNumber")?;
    let meters = Meters::new();
    let (engine, running) = engine::start(&config, meters.metrics())?;
    let run = run(options, &engine, &running, &meters, &transfers).await?;
    audit::audit(&node, before, &transfers, options.transactions).await.context("the chain does not hold every transfer exactly once")?;
    drop(engine);
    running.stop()?;
    Ok(serde_json::to_string(&Embedded { executor, ..run })?)
}

async fn run(
    options: &EmbeddedOptions,
    engine: &Engine<RocksStore>,
    running: &Running,
    meters: &Meters,
    transfers: &Transfers,
) -> anyhow::Result<Embedded> {
    ready(engine).await?;
    let count = i64::try_from(options.transactions)?;
    let source = Source::new(transfers, options);
    let counts = || {
        engine.refresh_gauges();
        (meters.http_requests.count(), meters.fsyncs.count())
    };
    let (http_before, fsyncs_before) = counts();
    let (cpu_us, thread_us, shard_us, began) = (process_cpu_us(), thread_cpu_us(), threads_cpu_us(SHARD_THREADS)?, Instant::now());
    let calls: [_; CALLS] = std::array::from_fn(|_| submit(engine, &source, &meters.confirmed, options.outstanding));
    let [a, b, c, d] = calls;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    [a, b, c, d].into_iter().collect::<anyhow::Result<()>>()?;
    patiently("confirmed", &meters.confirmed, running, || meters.confirmed.at_least(count)).await?;
    let seconds = began.elapsed().as_secs_f64();
    patiently("archived", &meters.open, running, || meters.open.at_most(0)).await?;
    let (cpu_us, submit_cpu_us) = (process_cpu_us() - cpu_us, thread_cpu_us() - thread_us);
    let shard_cpu_us = threads_cpu_us(SHARD_THREADS)? - shard_us;
    let (http, fsyncs) = counts();
    let (accepted, confirmed) = (meters.accepted.count(), meters.confirmed.count());
    ensure!(accepted == count && confirmed == count, "of {count} transfers {accepted} were accepted and {confirmed} confirmed");
    Ok(Embedded {
        executor: String::new(),
        accepted: u64::try_from(accepted)?,
        confirmed: u64::try_from(confirmed)?,
        seconds,
        cpu_us,
        submit_cpu_us,
        shard_cpu_us,
        http_requests: u64::try_from(http - http_before)?,
        fsyncs: u64::try_from(fsyncs - fsyncs_before)?,
    })
}

/// Waits until the engine is ready.
pub(crate) async fn ready(engine: &Engine<RocksStore>) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_PATIENCE;
    loop {
        let reasons = engine.not_ready();
        if reasons.is_empty() {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the engine was not ready within {} s: {}", READY_PATIENCE.as_secs(), reasons.join("; "));
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

/// Waits for `what`, as long as the meter moves.
async fn patiently<F: Future<Output = ()>>(what: &str, meter: &Meter, running: &Running, wait: impl Fn() -> F) -> anyhow::Result<()> {
    loop {
        let before = meter.count();
        if tokio::time::timeout(PATIENCE, wait()).await.is_ok() {
            return Ok(());
        }
        if let Some(reason) = running.died() {
            bail!("{reason}");
        }
        ensure!(meter.count() != before, "not all transfers were {what}: the count has stood at {before} for {} s", PATIENCE.as_secs());
    }
}

/// Batches, ready to be submitted.
struct Source<'a> {
    transfers: &'a Transfers,
    state: Mutex<SourceState>,
}

struct SourceState {
    batches: std::vec::IntoIter<Vec<Submission>>,
    taken: usize,
}

impl<'a> Source<'a> {
    fn new(transfers: &'a Transfers, options: &EmbeddedOptions) -> Self {
        let numbers: Vec<u64> = (0..options.transactions as u64).collect();
        let batches: Vec<Vec<_>> =
            numbers.chunks(BATCH).map(|numbers| numbers.iter().map(|number| transfers.submission(*number)).collect()).collect();
        Self { transfers, state: Mutex::new(SourceState { batches: batches.into_iter(), taken: 0 }) }
    }

    /// The next batch with the number of its first transfer, once there is room for it.
    async fn take(&self, confirmed: &Meter, outstanding: usize) -> anyhow::Result<Option<(usize, Vec<Submission>)>> {
        // Held while it waits: only one task may wait for the meter, and the others would wait for the same.
        let mut state = self.state.lock().await;
        let Some(batch) = state.batches.next() else { return Ok(None) };
        let first = state.taken;
        state.taken += batch.len();
        let needed = i64::try_from(state.taken)? - i64::try_from(outstanding)?;
        let wait = tokio::time::timeout(PATIENCE, confirmed.at_least(needed));
        wait.await.with_context(|| format!("of {first} submitted transfers only {} are confirmed", confirmed.count()))?;
        Ok(Some((first, batch)))
    }
}

/// Submits batch after batch.
async fn submit(engine: &Engine<RocksStore>, source: &Source<'_>, confirmed: &Meter, outstanding: usize) -> anyhow::Result<()> {
    while let Some((first, batch)) = source.take(confirmed, outstanding).await? {
        let mut numbers: Vec<u64> = (first as u64..).take(batch.len()).collect();
        let mut batch = batch;
        while !batch.is_empty() {
            let (mut again, mut pause_ms) = (Vec::new(), 0);
            for (number, end) in numbers.iter().zip(engine.submit(batch).await) {
                match end {
                    Ok(_) => {}
                    Err(SubmitError::Busy { retry_after_ms }) => {
                        pause_ms = pause_ms.max(retry_after_ms);
                        again.push(*number);
                    }
                    Err(SubmitError::Unknown) => again.push(*number),
                    Err(error) => return Err(error).with_context(|| format!("submitting transfer {number}")),
                }
            }
            if !again.is_empty() {
                // As long as the engine asks for.
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            }
            batch = again.iter().map(|number| source.transfers.submission(*number)).collect();
            numbers = again;
        }
    }
    Ok(())
}
