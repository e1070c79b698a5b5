//! `cargo xtask profile`: the main job under `perf`, then under heaptrack, and what they saw into `profiles/`.
//!
//! ```text
//! devnet ─► fund ─► engine ─► load run, recorded ─► stacks by kind of thread ─► cpu-KIND.svg  ┐
//! devnet ─► fund ─► engine on the system's allocator ─► load run, watched ────► allocations.svg┴─► figures.md
//! ```
//!
//! The job is the demo's: transfers through JSON-RPC into devnet, as fast as they are taken. Two runs, because watching
//! allocations costs time and recording costs none worth counting.

mod cpu;
mod flamegraph;
mod heap;
mod stacks;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use clap::Args;

use self::cpu::{HERTZ, Kind, Recording};
use self::heap::Heaptrack;
use self::stacks::Stacks;
use crate::cargo::{self, Binaries};
use crate::demo::chain::{Chain, ChainSize};
use crate::demo::engine::Engine;
use crate::demo::load::{Load, Pace, Target, sign_floor};
use crate::demo::options::{DEFAULT_PROFILE, Executor, NodeKind};
use crate::demo::{OUTSTANDING, history};
use crate::{setup, usage};

/// Between two looks at a run.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Seed of keys and recipients: the same job each time.
const SEED: u64 = 4;
/// The watched run is this much smaller: heaptrack unwinds at each allocation.
const WATCHED_PART: u64 = 5;

/// What costs are sorted into, by words in the names of functions. The first that fits wins.
const PARTS: [(&str, &[&str]); 8] = [
    ("signing", &["secp256k1", "shard::sign", "shard::signing"]),
    ("store", &["rocksdb", "storage::"]),
    ("blocks and receipts", &["engine::chain", "receipts_from_json"]),
    ("decisions", &["txmgr"]),
    ("JSON-RPC with the node", &["netio::rpc", "netio::ws", "netio::wire"]),
    ("interface", &["engine::api"]),
    ("HTTP", &["hyper"]),
    ("executor and kernel", &["glommio", "tokio", "io_uring", "syscall", "entry_SYSCALL"]),
];

/// What allocations are sorted into: threads, by the source files that only their stacks go through.
const ALLOCATING: [(&str, &[&str]); 5] = [
    ("opening the store, once", &["open_database"]),
    ("reader", &["(readers.rs)"]),
    ("shard", &["(glommio.rs)", "(epoll.rs)"]),
    ("writer", &["(writer.rs)"]),
    ("api", &["(main.rs)"]),
];

/// Options of `profile`.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProfileOptions {
    /// How many transactions.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1_000..=100_000_000))]
    transactions: u64,
    /// How many signing addresses.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    addresses: u64,
    /// What the engine's shards run on.
    #[arg(long, value_enum, default_value_t = Executor::Auto)]
    executor: Executor,
}

/// What a run came to.
struct Job {
    executor: Executor,
    cpu_us: u64,
}

/// Carries out `cargo xtask profile`.
pub(crate) fn profile(root: &Path, options: &ProfileOptions) -> anyhow::Result<()> {
    setup::build_tools()?;
    let heaptrack = Heaptrack::find()?;
    // First, so that what is left behind is the engine that ships.
    let watched = cargo::build_engine_to_watch(root)?;
    let binaries = cargo::build_binaries(root)?;
    let parent = root.join(".millrace");
    std::fs::create_dir_all(&parent).with_context(|| format!("creating {}", parent.display()))?;
    let directory = |name| tempfile::Builder::new().prefix(name).tempdir_in(&parent).context("creating a directory for the run");

    let room = directory("profile-")?;
    let floor_us = sign_floor(&binaries.load)?.sign_us;
    let mut threads = BTreeMap::new();
    let engine = Command::new(&binaries.millrace);
    let job = play(options, options.transactions, &binaries, engine, room.path(), Some(&mut threads))?;

    let room = directory("profile-")?;
    let few = options.transactions / WATCHED_PART;
    play(options, few, &binaries, heaptrack.command(&watched, room.path()), room.path(), None)?;
    let allocations = heaptrack.read(room.path())?;

    let target = root.join("profiles");
    let write = |name: &str, text: &str| std::fs::write(target.join(name), text).with_context(|| format!("writing profiles/{name}"));
    for (kind, stacks) in &threads {
        let title = format!("CPU time of the {} threads", kind.name());
        write(&format!("cpu-{}.svg", kind.name()), &flamegraph::svg(&title, &format!("samples, {HERTZ} a second"), stacks))?;
    }
    write("allocations.svg", &flamegraph::svg(&format!("allocations for {few} transactions"), "allocations", &allocations))?;
    let figures = figures(options, &job, floor_us, &threads, (few, &allocations));
    write("figures.md", &figures)?;
    print!("{figures}");
    Ok(())
}

/// One run of the main job. With `threads`, where its CPU time goes is recorded there, and its end is verified.
fn play(
    options: &ProfileOptions,
    transactions: u64,
    binaries: &Binaries,
    engine: Command,
    room: &Path,
    threads: Option<&mut BTreeMap<Kind, Stacks>>,
) -> anyhow::Result<Job> {
    let mut chain = Chain::start(NodeKind::Devnet, &binaries.devnet, room, ChainSize::usual(history(transactions, options.addresses)))?;
    let node = chain.url.clone();
    let load = Load { binary: &binaries.load, room, node: &node, seed: SEED };
    load.fund(options.addresses)?;
    let mut engine = Engine::start(engine, room, &node, &load.keys(), (options.executor, DEFAULT_PROFILE))?;
    let before = usage::cpu_time(engine.id())?;
    let recording = threads.is_some().then(|| Recording::start(engine.id(), room)).transpose()?;
    let mut run = load.run(Target::Engine(&engine.url), transactions, Pace::Closed(OUTSTANDING))?;
    while run.next(LOOK_INTERVAL)?.is_some() {
        chain.check_alive()?;
        engine.check_alive()?;
    }
    run.finish()?;
    let cpu_us = usage::cpu_time(engine.id())?.micros() - before.micros();
    // Not of a watched engine: verification asks about every transaction, and its allocations are not the job's.
    if let (Some(recording), Some(threads)) = (recording, threads) {
        *threads = recording.finish()?;
        let verified = load.verify(Target::Engine(&engine.url))?;
        ensure!(verified.is_exactly_once(), "the run is no example: {}", verified.verdict());
    }
    engine.stop()?;
    Ok(Job { executor: engine.executor, cpu_us })
}

/// The figures as a page.
fn figures(
    options: &ProfileOptions,
    job: &Job,
    floor_us: f64,
    threads: &BTreeMap<Kind, Stacks>,
    (few, allocations): (u64, &Stacks),
) -> String {
    let transactions = options.transactions as f64;
    let mut out = format!(
        "# Figures of the last profile\n\nWritten by `cargo xtask profile`: {} transfers from {} addresses through JSON-RPC into devnet, shards on {}.\n\n",
        options.transactions,
        options.addresses,
        job.executor.name()
    );
    let cpu = job.cpu_us as f64 / transactions;
    // Writing to a string cannot fail.
    let _ =
        writeln!(out, "CPU for a transaction: {cpu:.1} µs, {:.2} times signing and encoding alone ({floor_us:.1} µs).\n", cpu / floor_us);
    let _ = writeln!(out, "| thread | part | µs for a transaction | share of all |\n|---|---|---|---|");
    let all: u64 = threads.values().map(Stacks::total).sum();
    let mut row = |thread: &str, part: &str, samples: u64| {
        let us = samples as f64 * 1e6 / HERTZ as f64 / transactions;
        let _ = writeln!(out, "| {thread} | {part} | {us:.2} | {:.1} % |", 100.0 * samples as f64 / all.max(1) as f64);
    };
    for (kind, stacks) in threads {
        row(&format!("**{}**", kind.name()), "all", stacks.total());
        for (part, samples) in stacks.parts(&PARTS).into_iter().filter(|(_, samples)| samples * 200 > all) {
            row(kind.name(), part, samples);
        }
    }
    let each = |count: u64| count as f64 / few as f64;
    let _ =
        writeln!(out, "\nAllocations for a transaction: {:.1}, all of the process over {few} transactions.\n", each(allocations.total()));
    let _ = writeln!(out, "| thread | allocations for a transaction |\n|---|---|");
    for (part, count) in allocations.parts(&ALLOCATING) {
        let _ = writeln!(out, "| {part} | {:.2} |", each(count));
    }
    out
}
