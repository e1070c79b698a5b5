//! Runs the production shards, writer and client under a seeded simulator.
//!
//! ```text
//!   seed ─► world: one thread, a virtual clock, random order of ready tasks
//!             ├─ callers ──────► engine::Engine::submit          (production)
//!             ├─ engine ───────► shards, follower, front         (production)
//!             ├─ writer ───────► storage::Writer::turn           (production) ─► store in memory, which can fail and tear
//!             ├─ client ───────► netio::Lane, hyper              (production) ─► streams in memory
//!             └─ node ─────────  pool, blocks, receipts (simulated), which cuts, delays, repeats, drops and lags
//!   faults for a while, then none ─► everything must end: exactly once, no gaps, status as on chain, each ending told once, no work left
//!   in one seed of eight: a reorg past finality, and then the engine must stop, say so, and take nothing back
//! ```
//!
//! Each fault notes in which stages it found transactions, as the engine itself counts them; half of the faults wait for a stage drawn
//! by the seed. The matrix of both is printed, and over 2,000 seeds no cell of it may be empty.
//!
//! With the feature `points` the engine also ends at exactly the named points of [`engine::point`], and with the feature
//! `sabotage` it can be made to make mistakes on purpose: a check that sees none of them would prove nothing.
//!
//! One seed is one run: the same seed gives the same run to the last step. A failing seed prints the command that repeats it.

mod chain;
mod check;
mod executor;
mod faults;
mod feed;
mod finality;
mod heads;
mod load;
mod meddler;
mod node;
mod order;
mod points;
mod room;
#[cfg(feature = "sabotage")]
mod sabotages;
mod settings;
mod signer;
mod store;
mod world;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use parking_lot::Mutex;

use crate::world::{Outcome, run_seed};

/// A seed allocates half a million times: an eighth of its time with the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// From this many seeds on, a cell of the matrix fault × stage that none has met is a failure.
const MATRIX_SEEDS: u64 = 2_000;
/// Failures that are shown.
const SHOWN: usize = 10;

/// Runs seeds and says which failed.
#[derive(Parser)]
#[command(name = "simulate", about)]
struct Arguments {
    /// How many seeds to run.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Threads; each runs its own seeds.
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, std::num::NonZero::get))]
    threads: usize,
    /// Log what the engine says, with the virtual time.
    #[arg(long)]
    verbose: bool,
    /// Make this mistake on purpose.
    #[cfg(feature = "sabotage")]
    #[arg(long, value_name = "NAME", conflicts_with = "sabotages")]
    sabotage: Option<String>,
    /// Make every mistake there is, one after the other, each until the first seed that sees it.
    #[cfg(feature = "sabotage")]
    #[arg(long)]
    sabotages: bool,
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without words"))
}

/// What seeds did, and which failed how, lowest first.
pub(crate) struct Report {
    total: Outcome,
    failed: Vec<(u64, String)>,
}

/// Runs `seeds` seeds from `from` on; with `first` only until the lowest seed that fails is known.
pub(crate) fn run(from: u64, seeds: u64, threads: usize, first: bool) -> Report {
    let next = AtomicU64::new(from);
    let end = AtomicU64::new(from.saturating_add(seeds));
    let report = Mutex::new(Report { total: Outcome::default(), failed: Vec::new() });
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end.load(Ordering::Relaxed) {
                        return;
                    }
                    let run = std::panic::catch_unwind(|| run_seed(seed));
                    match run.unwrap_or_else(|panic| Err(words(panic.as_ref()))) {
                        Ok(outcome) => report.lock().total.add(&outcome),
                        Err(failure) => {
                            if first {
                                end.fetch_min(seed, Ordering::Relaxed);
                            }
                            report.lock().failed.push((seed, failure));
                        }
                    }
                }
            });
        }
    });
    let mut report = report.into_inner();
    report.failed.sort();
    report
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.verbose {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("debug,hyper=warn").without_time().init();
    }
    #[cfg(feature = "sabotage")]
    if arguments.sabotages {
        return sabotages::all(arguments.from, arguments.seeds, arguments.threads);
    }
    #[cfg(feature = "sabotage")]
    if let Some(name) = &arguments.sabotage
        && let Err(unknown) = sabotages::choose(name)
    {
        println!("{unknown}");
        return ExitCode::FAILURE;
    }
    let Report { total, failed } = run(arguments.from, arguments.seeds, arguments.threads, false);
    println!("{total}");
    for (seed, failure) in failed.iter().take(SHOWN) {
        println!("seed {seed} FAILED: {failure}\n  repeat with: cargo xtask simulate --from {seed} --seeds 1");
    }
    let unmet = if arguments.seeds < MATRIX_SEEDS { Vec::new() } else { total.unmet() };
    for cell in &unmet {
        println!("NEVER MET: {cell}");
    }
    println!("{} passed, {} failed", arguments.seeds - failed.len() as u64, failed.len());
    if failed.is_empty() && unmet.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
