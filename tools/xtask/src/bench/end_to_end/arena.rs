//! Runs of each system, each on a chain of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::figures::{HalfLoad, Sample, Step};
use super::{EndToEndOptions, client};
use crate::cargo::Binaries;
use crate::demo::chain::{BLOCK_GAS, Chain, ChainSize};
use crate::demo::engine::{ANY_PORT, Engine, write_configuration};
use crate::demo::load::{Load, Pace, Run, Target};
use crate::demo::options::{DEFAULT_PROFILE, Executor};
use crate::demo::report::Verified;
use crate::demo::{OUTSTANDING, history};

/// Seed of keys and recipients: the same job each time.
const SEED: u64 = 5;
/// Transactions of a blast between offer and block: more than a block takes, so that its end never waits for it.
const BLASTED: u64 = 3 * OUTSTANDING;
/// How long a step of alloy begins new transactions, s: some blocks.
const STEP_S: &str = "5";
/// What devnet remembers at least: a sweep of alloy.
const HISTORY_LEAST: u64 = 100_000;
/// Signing addresses of a start with work on disk: what is bound fits the window of each.
const RESTART_ADDRESSES: u64 = 128;
/// Between two looks at chain and engine.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Where systems run.
pub(super) struct Arena<'a> {
    binaries: &'a Binaries,
    /// The node's program.
    program: &'a Path,
    /// Directory for the runs' directories.
    parent: &'a Path,
    options: &'a EndToEndOptions,
    block_gas: u64,
}

/// Transactions on disk before a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    /// Bound and never sent.
    pub(super) bound: u64,
    /// Waiting behind them.
    pub(super) waiting: u64,
    /// Mined long ago.
    pub(super) history: u64,
}

/// What a run works with.
struct Stage<'a> {
    chain: Chain,
    room: &'a Path,
    node: &'a str,
}

impl<'a> Arena<'a> {
    /// With blocks of the usual size.
    pub(super) fn new(binaries: &'a Binaries, program: &'a Path, parent: &'a Path, options: &'a EndToEndOptions) -> Self {
        Self { binaries, program, parent, options, block_gas: BLOCK_GAS }
    }

    /// The load's program.
    pub(super) fn load_binary(&self) -> &Path {
        &self.binaries.load
    }

    /// Gas limit of a block.
    pub(super) fn block_gas(&self) -> u64 {
        self.block_gas
    }

    /// The next chains have blocks of twice the size.
    pub(super) fn double_block_gas(&mut self) {
        self.block_gas *= 2;
    }

    /// The executors that this machine allows, the preferred one first.
    pub(super) fn executors(&self) -> anyhow::Result<Vec<Executor>> {
        let names: Vec<String> = client::run(&self.binaries.end_to_end, &["executors".to_owned()], None)?;
        let known = [Executor::IoUring, Executor::Epoll];
        Ok(known.into_iter().filter(|executor| names.iter().any(|name| name == executor.name())).collect())
    }

    /// The same transfers, signed beforehand, at the node; and the part of its gas limit that the fullest block has used.
    pub(super) fn blast(&self) -> anyhow::Result<(Sample, f64)> {
        let transactions = self.options.transactions;
        self.on_a_chain(transactions, |mut stage, load| {
            follow(load.run(Target::Node, transactions, Pace::Closed(BLASTED))?, || stage.chain.check_alive())?;
            let tps = exactly_once(&load.verify(Target::Node)?)?;
            Ok((Sample { tps: Some(tps), ..Sample::default() }, load.fullest_block()?))
        })
    }

    /// An alloy provider, so many transactions at a time in each step.
    pub(super) fn alloy(&self, concurrencies: &[u16]) -> anyhow::Result<Vec<Step>> {
        self.on_a_chain(HISTORY_LEAST, |stage, load| {
            let step = |concurrency: &u16| {
                let keys = load.keys().display().to_string();
                let numbers = ["--concurrency".to_owned(), concurrency.to_string(), "--seconds".to_owned(), STEP_S.to_owned()];
                let places = ["alloy".to_owned(), "--node".to_owned(), stage.node.to_owned(), "--keys".to_owned(), keys];
                let step: Step = client::run(&self.binaries.end_to_end, &[&places[..], &numbers[..]].concat(), None)?;
                let error = step.error.as_deref().map(|error| format!("; {} tasks failed: {error}", step.failed)).unwrap_or_default();
                eprintln!("xtask: alloy, {concurrency} at a time: {:.0} TPS{error}", step.tps());
                Ok(step)
            };
            concurrencies.iter().map(step).collect()
        })
    }

    /// The engine as a library.
    pub(super) fn embedded(&self, executor: Executor) -> anyhow::Result<Sample> {
        self.embedded_with(executor, self.options.transactions, self.options.addresses, DEFAULT_PROFILE, None)
    }

    /// The engine as a library, with a past on disk or without. Its process holds the chain's blocks against what it has submitted.
    pub(super) fn embedded_with(
        &self,
        executor: Executor,
        transactions: u64,
        addresses: u64,
        profile: &str,
        past: Option<Past>,
    ) -> anyhow::Result<Sample> {
        #[derive(Deserialize)]
        struct Embedded {
            executor: String,
            accepted: u64,
            confirmed: u64,
            seconds: f64,
            cpu_us: f64,
            submit_cpu_us: f64,
            shard_cpu_us: f64,
            http_requests: u64,
            fsyncs: u64,
        }
        let run: Embedded = self.on_a_chain_of(transactions, addresses, |stage, load| {
            let config = write_configuration(stage.room, ANY_PORT, stage.node, &load.keys(), (executor, profile))?;
            if let Some(past) = past {
                self.write_past(&stage, load, &config, past)?;
            }
            let mut arguments = vec!["embedded".to_owned()];
            let (config, keys) = (config.display().to_string(), load.keys().display().to_string());
            let (count, outstanding) = (transactions.to_string(), OUTSTANDING.to_string());
            for (name, value) in [
                ("config", config.as_str()),
                ("keys", &keys),
                ("node", stage.node),
                ("transactions", &count),
                ("outstanding", &outstanding),
            ] {
                arguments.extend([format!("--{name}"), value.to_owned()]);
            }
            client::run(&self.binaries.end_to_end, &arguments, Some(&stage.room.join("embedded.log")))
        })?;
        ensure!(run.executor == executor.name(), "the shards ran on {} and not on {}", run.executor, executor.name());
        ensure!(
            run.accepted == transactions && run.confirmed == transactions,
            "of {transactions} transactions {} were accepted and {} confirmed",
            run.accepted,
            run.confirmed
        );
        let each = |total: f64| Some(total / transactions as f64);
        Ok(Sample {
            tps: Some(transactions as f64 / run.seconds),
            cpu_us: each(run.cpu_us),
            submit_cpu_us: each(run.submit_cpu_us),
            shard_cpu_us: each(run.shard_cpu_us),
            http_requests: each(run.http_requests as f64),
            fsyncs: each(run.fsyncs as f64),
            seen_to_confirmed_s: None,
        })
    }

    /// CPU time of a start with `past` on disk until the engine is ready, for each transaction, µs.
    pub(super) fn restart(&self, executor: Executor, past: Past) -> anyhow::Result<f64> {
        #[derive(Deserialize)]
        struct Restart {
            cpu_us: f64,
        }
        let run: Restart = self.on_a_chain_of(HISTORY_LEAST, RESTART_ADDRESSES, |stage, load| {
            let config = write_configuration(stage.room, ANY_PORT, stage.node, &load.keys(), (executor, DEFAULT_PROFILE))?;
            self.write_past(&stage, load, &config, past)?;
            let arguments = ["restart".to_owned(), "--config".to_owned(), config.display().to_string()];
            client::run(&self.binaries.end_to_end, &arguments, Some(&stage.room.join("restart.log")))
        })?;
        Ok(run.cpu_us / (past.bound + past.waiting) as f64)
    }

    fn write_past(&self, stage: &Stage<'_>, load: &Load<'_>, config: &Path, past: Past) -> anyhow::Result<()> {
        #[derive(Deserialize)]
        struct Written {
            records: u64,
        }
        let mut arguments = vec!["past".to_owned()];
        let (config, keys) = (config.display().to_string(), load.keys().display().to_string());
        let [bound, waiting, history] = [past.bound, past.waiting, past.history].map(|count| count.to_string());
        let node = stage.node.to_owned();
        for (name, value) in
            [("config", config), ("keys", keys), ("node", node), ("bound", bound), ("waiting", waiting), ("history", history)]
        {
            arguments.extend([format!("--{name}"), value]);
        }
        let written: Written = client::run(&self.binaries.end_to_end, &arguments, Some(&stage.room.join("past.log")))?;
        ensure!(written.records == past.bound + past.waiting + past.history, "only {} transactions were written", written.records);
        Ok(())
    }

    /// The engine behind its JSON-RPC, as fast as it goes.
    pub(super) fn served(&self, executor: Executor) -> anyhow::Result<Sample> {
        let (sample, _) = self.serve(executor, self.options.transactions, Pace::Closed(OUTSTANDING))?;
        Ok(sample)
    }

    /// The engine behind its JSON-RPC, `transactions` at `rate` a second: the latencies.
    pub(super) fn half_load(&self, executor: Executor, rate: f64, transactions: u64) -> anyhow::Result<HalfLoad> {
        let (sample, verified) = self.serve(executor, transactions, Pace::Rate(rate))?;
        let latency_ms = verified.result.steps().map(|(name, quantiles)| (name, quantiles.clone())).to_vec();
        let seen_to_confirmed_ms = sample.seen_to_confirmed_s.map(|seconds| seconds * 1e3);
        Ok(HalfLoad { executor: executor.name(), rate, latency_ms, seen_to_confirmed_ms })
    }

    fn serve(&self, executor: Executor, transactions: u64, pace: Pace) -> anyhow::Result<(Sample, Verified)> {
        self.on_a_chain(transactions, |mut stage, load| {
            let mut engine =
                Engine::start(Command::new(&self.binaries.millrace), stage.room, stage.node, &load.keys(), (executor, DEFAULT_PROFILE))?;
            let before = engine.used()?;
            let run = load.run(Target::Engine(&engine.url), transactions, pace)?;
            follow(run, || stage.chain.check_alive().and_then(|()| engine.check_alive()))?;
            // Before verification: the engine pays for its work, and not for being examined.
            let used = engine.used()?;
            let verified = load.verify(Target::Engine(&engine.url))?;
            let tps = exactly_once(&verified)?;
            engine.stop()?;
            let each = |total: f64| total / transactions as f64;
            let counted = |after: Option<f64>, before: Option<f64>| Some(each(after? - before?));
            let sample = Sample {
                tps: Some(tps),
                cpu_us: Some(each((used.cpu.micros() - before.cpu.micros()) as f64)),
                submit_cpu_us: None,
                shard_cpu_us: None,
                http_requests: counted(used.counters.http_requests, before.counters.http_requests),
                fsyncs: counted(used.counters.fsyncs, before.counters.fsyncs),
                seen_to_confirmed_s: counted(used.counters.seen_to_confirmed_s, Some(0.0)),
            };
            Ok((sample, verified))
        })
    }

    fn on_a_chain<T>(&self, transactions: u64, play: impl FnOnce(Stage<'_>, &Load<'_>) -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.on_a_chain_of(transactions, self.options.addresses, play)
    }

    /// Starts a chain that remembers `transactions`, funds the addresses, and lets `play` run. Where that fails, data and logs are kept.
    fn on_a_chain_of<T>(
        &self,
        transactions: u64,
        addresses: u64,
        play: impl FnOnce(Stage<'_>, &Load<'_>) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let room = tempfile::Builder::new().prefix("end-to-end-").tempdir_in(self.parent).context("creating a directory for the run")?;
        let outcome = self.chain(room.path(), history(transactions, addresses)).and_then(|chain| {
            let node = chain.url.clone();
            let load = Load { binary: &self.binaries.load, room: room.path(), node: &node, seed: SEED };
            load.fund(addresses)?;
            play(Stage { chain, room: room.path(), node: &node }, &load)
        });
        if outcome.is_err() {
            let kept: PathBuf = room.keep();
            eprintln!("xtask: data and logs are kept in {}", kept.display());
        }
        outcome
    }

    fn chain(&self, room: &Path, history: u64) -> anyhow::Result<Chain> {
        let size = ChainSize { block_gas: self.block_gas, history };
        Chain::start(self.options.node, self.program, room, size)
    }
}

/// Follows a run to its good end.
fn follow(mut run: Run, mut check: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<()> {
    while run.next(LOOK_INTERVAL)?.is_some() {
        check()?;
    }
    run.finish()
}

/// The throughput of a run that is what it must be.
fn exactly_once(verified: &Verified) -> anyhow::Result<f64> {
    ensure!(verified.is_exactly_once(), "{}", verified.verdict());
    Ok(verified.result.tps)
}
