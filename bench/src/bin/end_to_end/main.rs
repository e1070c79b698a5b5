//! `end_to_end`: what `cargo xtask bench --end-to-end` measures in a process of its own, so that its CPU time is its own.
//!
//! ```text
//! alloy     keys ─► alloy provider, recommended fillers, cached nonces ─► node ─► receipts       CPU, TPS
//! past      records ─► the production writer ─► a data directory with work or history in it
//! restart   that directory ─► engine ready                                                          CPU
//! embedded  keys ─► Engine::submit ─► … ─► archived, then every block is read and each found once  CPU, TPS, requests, fsyncs
//! ```
//!
//! Each role prints one line of JSON and ends with an error unless all went well. The allocator is the engine's in all.
#![allow(clippy::print_stderr, reason = "a command-line tool tells its user on stderr how it is getting on")]

// Brings the engine's allocator.
use millrace_bench as _;

mod audit;
mod clock;
mod embedded;
mod meter;
mod past;
mod restart;
mod rival;
mod transfers;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The parts of the end-to-end bench that need a process of their own.
#[derive(Debug, Parser)]
#[command(name = "end_to_end")]
struct Cli {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Print the executors that this machine allows.
    Executors,
    /// What a user would write instead: an alloy provider that waits for each receipt.
    Alloy(rival::AlloyOptions),
    /// The engine as a library.
    Embedded(embedded::EmbeddedOptions),
    /// Write a past into a data directory.
    Past(past::PastOptions),
    /// Start the engine and stop it when it is ready.
    Restart(restart::RestartOptions),
}

fn main() -> ExitCode {
    // As the engine's binary does, for the rival too.
    engine::allocator::keep_pages();
    let outcome = match Cli::parse().role {
        Role::Executors => executors(),
        Role::Alloy(options) => on_one_thread(rival::alloy(&options)),
        Role::Embedded(options) => on_one_thread(embedded::embedded(&options)),
        Role::Past(options) => on_one_thread(past::past(&options)),
        Role::Restart(options) => on_one_thread(restart::restart(&options)),
    };
    match outcome {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("end_to_end: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The cheapest runtime there is: nobody pays for threads that steal work from each other.
fn on_one_thread(role: impl Future<Output = anyhow::Result<String>>) -> anyhow::Result<String> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(role)
}

fn executors() -> anyhow::Result<String> {
    let allowed = [netio::Executor::IoUring, netio::Executor::Epoll].into_iter().filter_map(|executor| netio::choose(executor).ok());
    Ok(serde_json::to_string(&allowed.map(|executor| executor.to_string()).collect::<Vec<_>>())?)
}
