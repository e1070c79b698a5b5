//! `cargo xtask bench --end-to-end`: what a transaction costs, and how many a second there are, beside what a user would otherwise do.
//!
//! ```text
//! round:  floor ─► blast ─► alloy ─► embedded ─► through JSON-RPC ─► floor      the next round the other way round
//! then:   through JSON-RPC at half of the throughput, open loop                 latencies
//! ```
//!
//! | system | does | counts |
//! |---|---|---|
//! | floor | signs and encodes, nothing else; on one core while the others are idle, and on all at once | CPU |
//! | blast | offers the same transfers to the node, signed before the clock starts | TPS |
//! | alloy | sends and waits for the receipt, at the concurrency that was the best of a sweep in the first round | CPU of its process, TPS |
//! | embedded | a process that has the engine as a library | CPU of its process, TPS, requests, fsyncs |
//! | JSON-RPC | the engine's own process; the load is another one | CPU of the engine's process, TPS, requests, fsyncs |
//!
//! Every run has a chain of its own, and every one of the engine is held against the chain: each transfer exactly once, or the bench
//! fails. CPU is counted until the last transfer is archived, and TPS until the last one is confirmed. Ratios are taken within a round.
//! With `--targets` the same costs are measured with more of everything, see [`growth`], and each target is held against what was reached.
//! A run that comes before the rounds finds a gas limit of which the blast uses less than half, so that the chain is not what limits.

mod arena;
mod chart;
mod client;
mod figures;
mod growth;
mod table;
mod targets;

use std::path::Path;

use anyhow::{Context, bail};
use clap::Args;

use self::arena::Arena;
use self::figures::{Figures, Round, Sample, Step, System};
use super::spread::Spread;
use crate::cargo;
use crate::demo::load::sign_floor;
use crate::demo::options::{NodeKind, ReportTarget};

/// Half of the throughput that was reached is offered for so long, s.
const HALF_LOAD_S: f64 = 8.0;
/// Transactions at a time in the steps of alloy's sweep.
const CONCURRENCIES: [u16; 6] = [1, 4, 16, 64, 256, 1024];
/// The part of its gas limit that a block of the first blast may use: less than half, with some room for the next ones.
const ROOM: f64 = 0.4;
/// How often devnet is measured alone.
const DEVNET_RUNS: u32 = 3;
/// How often the gas limit is doubled before it is given up.
const DOUBLINGS: u32 = 4;

/// Options of `cargo xtask bench --end-to-end`.
#[derive(Args, Clone, Debug)]
pub(crate) struct EndToEndOptions {
    /// How many transactions each run of the engine and of the blast has.
    #[arg(long, requires = "end_to_end", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    transactions: u64,
    /// How many signing addresses.
    #[arg(long, requires = "end_to_end", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    addresses: u64,
    /// The chain.
    #[arg(long, requires = "end_to_end", value_enum, default_value_t = NodeKind::Devnet)]
    node: NodeKind,
    /// Write the figures, as `json:PATH`, and a chart beside them.
    #[arg(long, requires = "end_to_end")]
    report: Option<ReportTarget>,
    /// Measure what the project's targets need besides: starts with work on disk, many addresses, a long history, devnet. Some ten minutes.
    #[arg(long, requires = "end_to_end")]
    targets: bool,
    /// Write figures and chart into `profiles/`.
    #[arg(long, requires = "end_to_end")]
    profiles: bool,
}

/// Carries out `cargo xtask bench --end-to-end`.
pub(super) fn end_to_end(root: &Path, options: &EndToEndOptions, rounds: u32) -> anyhow::Result<()> {
    let foreign = crate::demo::foreign(options.node, root)?;
    let binaries = cargo::build_binaries(root)?;
    let parent = root.join(".millrace");
    std::fs::create_dir_all(&parent).with_context(|| format!("creating {}", parent.display()))?;
    let program = foreign.as_deref().unwrap_or(&binaries.devnet);
    let mut arena = Arena::new(&binaries, program, &parent, options);
    let figures = measure(root, &mut arena, options, rounds)?;
    print!("{}", table::table(&figures));
    let profile = options.profiles.then(|| root.join(format!("profiles/end-to-end-{}.json", options.node.name())));
    options.report.iter().map(|target| target.0.clone()).chain(profile).try_for_each(|path| write(&figures, &path))
}

fn measure(root: &Path, arena: &mut Arena<'_>, options: &EndToEndOptions, rounds: u32) -> anyhow::Result<Figures> {
    let executors = arena.executors()?;
    let first = *executors.first().context("this machine allows no executor")?;
    raise_gas_limit(arena)?;
    let mut systems = vec![System::Blast, System::Alloy];
    systems.extend(executors.iter().copied().map(System::Embedded));
    systems.extend(executors.iter().copied().map(System::Served));
    let (mut done, mut sweep, mut fullest) = (Vec::new(), Vec::new(), 0.0_f64);
    for number in 0..rounds {
        eprintln!("xtask: round {} of {rounds}", number + 1);
        let floor = sign_floor(arena.load_binary())?;
        let mut samples = Vec::new();
        for system in &systems {
            eprintln!("xtask: {}", system.name());
            let sample = match system {
                System::Blast => {
                    let (sample, part) = arena.blast()?;
                    fullest = fullest.max(part);
                    sample
                }
                System::Alloy => alloy(arena, &mut sweep)?,
                System::Embedded(executor) => arena.embedded(*executor)?,
                System::Served(executor) => arena.served(*executor)?,
            };
            samples.push((*system, sample));
        }
        done.push(Round { floor: floor.min(sign_floor(arena.load_binary())?), samples });
        // Who goes first changes, so that nobody always runs on the warmer machine.
        systems.reverse();
    }
    let rows = figures::rows(&done);
    let reached = rows.iter().find(|row| row.system == System::Served(first)).and_then(|row| row.tps);
    let rate = (reached.context("the engine was not measured")?.median / 2.0).round();
    eprintln!("xtask: half of the load, {rate} a second");
    let half_load = arena.half_load(first, rate, (rate * HALF_LOAD_S).ceil() as u64)?;
    let (devnet_to_recovery, growth) = if options.targets {
        eprintln!("xtask: devnet alone");
        (Some(devnet_to_recovery(root)?), Some(growth::measure(arena, first, options.addresses)?))
    } else {
        (None, None)
    };
    Ok(Figures {
        node: options.node.name(),
        transactions: options.transactions,
        addresses: options.addresses,
        rounds,
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        floor_us: Spread::of(done.iter().map(|round| round.floor.sign_us)).context("there was no round")?,
        busy_floor_us: Spread::of(done.iter().map(|round| round.floor.busy_us)).context("there was no round")?,
        rows,
        sweep,
        block_gas: arena.block_gas(),
        fullest_block: fullest,
        half_load,
        devnet_to_recovery,
        growth,
    })
}

/// devnet's CPU time for a transfer over HTTP ÷ recovering one sender, some times.
fn devnet_to_recovery(root: &Path) -> anyhow::Result<Spread> {
    let ratio = || {
        let mut command = cargo::cargo(root, &["run", "--quiet", "--release", "--example", "transfer_cpu"])?;
        let output = command.output().context("starting cargo")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().find(|line| line.starts_with("over HTTP"));
        let ratio = line.and_then(|line| line.split_whitespace().last()).and_then(|ratio| ratio.parse().ok());
        ratio.with_context(|| format!("transfer_cpu failed ({}): {}{text}", output.status, String::from_utf8_lossy(&output.stderr)))
    };
    let ratios: anyhow::Result<Vec<f64>> = (0..DEVNET_RUNS).map(|_| ratio()).collect();
    Spread::of(ratios?).context("devnet was not measured")
}

/// In the first round all of the sweep, of which the best step counts; from then on that concurrency alone.
fn alloy(arena: &Arena<'_>, sweep: &mut Vec<Step>) -> anyhow::Result<Sample> {
    if let Some(best) = figures::best(sweep) {
        return arena.alloy(&[best.concurrency])?.first().map(Step::sample).context("alloy made no step");
    }
    *sweep = arena.alloy(&CONCURRENCIES)?;
    figures::best(sweep).map(Step::sample).context("alloy made no step")
}

/// Doubles the chain's gas limit until the blast uses less than half of it.
fn raise_gas_limit(arena: &mut Arena<'_>) -> anyhow::Result<()> {
    for _ in 0..DOUBLINGS {
        eprintln!("xtask: a first blast, with blocks of {} gas", arena.block_gas());
        let (_, part) = arena.blast()?;
        if part < ROOM {
            return Ok(());
        }
        arena.double_block_gas();
    }
    bail!("the blast fills more than {:.0} % of a block of {} gas", ROOM * 100.0, arena.block_gas())
}

/// Writes the figures to `path`, and the chart beside them.
fn write(figures: &Figures, path: &Path) -> anyhow::Result<()> {
    let chart = path.with_extension("svg");
    std::fs::write(path, serde_json::to_vec_pretty(figures)?).with_context(|| format!("writing {}", path.display()))?;
    std::fs::write(&chart, chart::svg(figures)).with_context(|| format!("writing {}", chart.display()))?;
    eprintln!("xtask: the figures are in {}, a chart in {}", path.display(), chart.display());
    Ok(())
}
