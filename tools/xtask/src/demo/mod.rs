//! `cargo xtask demo`: transactions in, each mined exactly once, and one table.
//!
//! ```text
//! set-up ─► build ─► chain ─► fund ─► engine ─► load run ─► (all archived) ─► load verify ─► table
//!                                       ▲           │
//!                                       └── kill ◄──┘ accepted transactions reach a drawn number
//! ```
//!
//! What the engine used is read between the end of the run and verification, so that it pays for its work and not for being
//! examined. Whatever fails, the children end with their guards, and the directory with data and logs is kept and named.

pub(crate) mod chain;
pub(crate) mod engine;
mod http;
mod kill;
pub(crate) mod load;
pub(crate) mod options;
pub(crate) mod report;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use self::chain::{Chain, ChainSize};
use self::engine::Engine;
use self::kill::Kills;
use self::load::{Load, Pace, Run, Target, sign_floor};
use self::options::{DemoOptions, Executor, NodeKind};
use self::report::{Report, Setting};
use crate::cargo::{self, Binaries};
use crate::setup;

/// Time between two readings of the engine's counters and memory.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(100);

/// Transactions between offer and block, where the engine is not killed: several blocks' worth.
pub(crate) const OUTSTANDING: u64 = 20_000;

/// Smallest room of the loop: one request for each of the load's connections.
const OUTSTANDING_LEAST: u64 = 800;

/// Carries out `cargo xtask demo`; returns the executor that ran.
pub(crate) fn demo(options: &DemoOptions) -> anyhow::Result<Executor> {
    let root = cargo::workspace_root()?;
    setup::build_tools()?;
    let foreign = foreign(options.node, &root)?;
    let binaries = cargo::build_binaries(&root)?;
    let chain = foreign.as_ref().unwrap_or(&binaries.devnet);
    let parent = root.join(".millrace");
    std::fs::create_dir_all(&parent).with_context(|| format!("creating {}", parent.display()))?;
    let room = tempfile::Builder::new().prefix("demo-").tempdir_in(&parent).context("creating a directory for the demo")?;
    let outcome = play(options, &binaries, chain, room.path());
    if outcome.is_err() {
        eprintln!("xtask: data and logs are kept in {}", room.keep().display());
    }
    outcome
}

/// The program of a node that is not one of the project's own, installed if it is not there.
pub(crate) fn foreign(node: NodeKind, root: &Path) -> anyhow::Result<Option<PathBuf>> {
    match node {
        NodeKind::Devnet => Ok(None),
        NodeKind::Anvil => setup::anvil(root).map(Some),
        NodeKind::Geth => setup::geth().map(Some),
    }
}

/// `chain` is the node's program.
fn play(options: &DemoOptions, binaries: &Binaries, chain: &Path, room: &Path) -> anyhow::Result<Executor> {
    let seed = options.seed.unwrap_or_else(draw_seed);
    let mut kills = Kills::draw(seed, options.kill, options.transactions);
    announce(options, seed, &kills);

    let sign_before = sign_floor(&binaries.load)?.sign_us;
    let mut chain = Chain::start(options.node, chain, room, ChainSize::usual(history(options.transactions, options.addresses)))?;
    let node = chain.url.clone();
    let load = Load { binary: &binaries.load, room, node: &node, seed };
    load.fund(options.addresses)?;
    let mut engine = Engine::start(Command::new(&binaries.millrace), room, &node, &load.keys(), (options.executor, &options.profile))?;

    let pace = Pace::Closed(outstanding(options));
    let run = load.run(Target::Engine(&engine.url), options.transactions, pace)?;
    watch(run, &mut chain, &mut engine, &mut kills)?;
    let used = engine.used()?;
    let sign_us = [sign_before, sign_floor(&binaries.load)?.sign_us];
    let verified = load.verify(Target::Engine(&engine.url))?;

    let report = Report::new(&verified.result, &used, sign_us)?;
    let setting = Setting {
        node: options.node.name(),
        addresses: options.addresses,
        executor: named(options.executor, engine.executor),
        profile: options.profile.clone(),
        kills: options.kill,
        seed,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        sign_us,
    };
    print!("{}", report.table(&verified, &setting));
    if let Some(target) = &options.report {
        write_report(&report, &target.0)?;
    }
    // After the table: whatever ails the engine's end, its figures have been seen.
    engine.stop()?;
    ensure!(verified.is_exactly_once(), "the demo failed: {}", verified.verdict());
    Ok(engine.executor)
}

/// Follows the run to its end, kills the engine when it is time, and keeps the engine's account.
fn watch(mut run: Run, chain: &mut Chain, engine: &mut Engine, kills: &mut Kills) -> anyhow::Result<()> {
    let mut last_sample = Instant::now();
    while let Some(progress) = run.next(SAMPLE_INTERVAL)? {
        chain.check_alive()?;
        engine.check_alive()?;
        if progress.is_some_and(|progress| kills.is_due(progress.accepted)) {
            eprintln!("xtask: killing the engine");
            let killed = Instant::now();
            engine.kill_and_restart()?;
            eprintln!("xtask: the engine is ready again after {:.2} s", killed.elapsed().as_secs_f64());
        }
        if last_sample.elapsed() >= SAMPLE_INTERVAL {
            engine.sample();
            last_sample = Instant::now();
        }
    }
    run.finish()?;
    ensure!(kills.left() == 0, "the run was over before {} of the kills; give it more transactions", kills.left());
    Ok(())
}

/// The executor that ran, and that it was left to the engine if it was.
fn named(asked: Executor, ran: Executor) -> String {
    if asked == ran { ran.name().to_owned() } else { format!("{} ({})", ran.name(), asked.name()) }
}

/// With kills the loop is narrower, so that their moments spread over the run and do not all fall into its first second.
fn outstanding(options: &DemoOptions) -> u64 {
    if options.kill == 0 { OUTSTANDING } else { (options.transactions / 10).clamp(OUTSTANDING_LEAST, OUTSTANDING) }
}

/// What devnet must remember so that verification finds it: the run and the funding, and as much again for what goes wrong.
pub(crate) fn history(transactions: u64, addresses: u64) -> u64 {
    2 * (transactions + addresses)
}

fn draw_seed() -> u64 {
    /// Small enough to type.
    const SEEDS: u64 = 1_000_000;
    rand::random::<u64>() % SEEDS
}

fn announce(options: &DemoOptions, seed: u64, kills: &Kills) {
    eprintln!(
        "xtask: {} transactions from {} addresses into {}; seed {seed}",
        options.transactions,
        options.addresses,
        options.node.name()
    );
    if options.kill > 0 {
        let moments: Vec<String> = kills.moments().map(|moment| moment.to_string()).collect();
        eprintln!("xtask: the engine is killed when this many are accepted: {}", moments.join(", "));
    }
}

fn write_report(report: &Report, path: &PathBuf) -> anyhow::Result<()> {
    std::fs::write(path, serde_json::to_vec_pretty(report)?).with_context(|| format!("writing the report {}", path.display()))?;
    eprintln!("xtask: the figures are in {}", path.display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_with_kills_has_a_narrower_loop() {
        let demo = |transactions, kills| outstanding(&DemoOptions::small(NodeKind::Devnet, transactions, kills, Executor::Auto));
        assert_eq!(demo(100_000, 0), 20_000);
        assert_eq!(demo(100_000, 5), 10_000);
        assert_eq!(demo(5_000, 2), 800);
    }

    #[test]
    fn the_executor_is_named_by_what_ran() {
        assert_eq!(named(Executor::Auto, Executor::IoUring), "io_uring (auto)");
        assert_eq!(named(Executor::Auto, Executor::Epoll), "epoll (auto)");
        assert_eq!(named(Executor::Epoll, Executor::Epoll), "epoll");
    }
}
