//! Runs the production shards, writer and client under a seeded simulator.
//!
//! ```text
//!   seed ─► world: one thread, a virtual clock, random order of ready tasks
//!             ├─ callers ──────► engine::Engine::submit          (production)
//!             ├─ engine ───────► shards, follower, front         (production)
//!             ├─ writer ───────► storage::Writer::turn           (production) ─► store in memory, which can fail and tear
//!             ├─ client ───────► netio::Lane, hyper              (production) ─► streams in memory
//!             └─ node ─────────  pool, blocks, receipts (simulated), which cuts, delays, repeats, drops and lags
//!   faults for a while, then none ─► everything must end: exactly once, no gaps, status as on chain, no work left
//! ```
//!
//! One seed is one run: the same seed gives the same run to the last step. A failing seed prints the command that repeats it.

mod check;
mod executor;
mod faults;
mod load;
mod node;
mod room;
mod signer;
mod store;
mod world;

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use parking_lot::Mutex;

use crate::world::{Outcome, run_seed};

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
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without words"))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.verbose {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter("debug,hyper=warn").without_time().init();
    }
    let next = AtomicU64::new(arguments.from);
    let end = arguments.from.saturating_add(arguments.seeds);
    let failed: Mutex<Vec<(u64, String)>> = Mutex::new(Vec::new());
    let total: Mutex<Outcome> = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let run = std::panic::catch_unwind(|| run_seed(seed));
                    match run.unwrap_or_else(|panic| Err(words(panic.as_ref()))) {
                        Ok(outcome) => total.lock().add(&outcome),
                        Err(failure) => failed.lock().push((seed, failure)),
                    }
                }
            });
        }
    });
    let total = total.into_inner();
    println!("{total}");
    let mut failed = failed.into_inner();
    failed.sort();
    for (seed, failure) in failed.iter().take(10) {
        println!("seed {seed} FAILED: {failure}\n  repeat with: cargo xtask simulate --from {seed} --seeds 1");
    }
    println!("{} passed, {} failed", arguments.seeds - failed.len() as u64, failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
