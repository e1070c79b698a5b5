//! `cargo xtask`: the project's own commands.
//!
//! | command | does |
//! |---|---|
//! | `setup` | checks what the machine lacks and installs it where it may |
//! | `demo` | set-up, build, a chain, the engine, load, and one table |
//! | `check` | format, clippy, docs, unit tests, some simulator seeds |
//! | `test` | set-up, contracts, check, demos and integration tests on devnet, anvil and geth |
//! | `contracts` | compiles the Solidity contracts, compares their artifacts and gas, and tests them |
//! | `simulate` | seeds of the simulator |
//! | `bench` | instruction counts against their limits; two revisions against each other; the engine against what users would otherwise do |
//! | `profile` | flamegraphs and an allocation profile of the main job |
//!
//! Everything is built into one target directory outside the checkout, because RocksDB takes long to compile and a fresh clone
//! should find it again. Every process started here ends with this one, however it ends (see [`process`]).
#![allow(clippy::print_stderr, reason = "a command-line tool tells its user on stderr how it is getting on")]

mod bench;
mod cargo;
mod check;
mod contracts;
mod demo;
mod process;
mod profile;
mod setup;
mod usage;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check what this machine lacks to build and test, and install it where that is allowed.
    Setup,
    /// Put transactions through the engine into a chain, and print what became of each.
    Demo(demo::options::DemoOptions),
    /// Format, clippy and docs without warnings, unit tests, some simulator seeds.
    Check,
    /// Set-up, contracts, check, and then demos and integration tests on devnet, anvil and geth.
    Test,
    /// Compile the Solidity contracts, compare their artifacts and gas with what is committed, and test them on anvil.
    Contracts(contracts::ContractsOptions),
    /// Run seeds of the simulator.
    Simulate(check::SimulateOptions),
    /// Instruction counts against their limits, two revisions against each other, or the engine against what users would otherwise do.
    Bench(bench::BenchOptions),
    /// Flamegraphs for each kind of thread and an allocation profile of the main job, into `profiles/`.
    Profile(profile::ProfileOptions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = process::end_children_on_signals().and_then(|()| match cli.command {
        Command::Setup => setup::everything(&cargo::workspace_root()?),
        Command::Demo(options) => demo::demo(&options).map(|_| ()),
        Command::Check => check::check(&cargo::workspace_root()?),
        Command::Test => check::test(&cargo::workspace_root()?),
        Command::Contracts(options) => contracts::contracts(&cargo::workspace_root()?, options),
        Command::Simulate(options) => check::simulate(&cargo::workspace_root()?, &options),
        Command::Bench(options) => bench::bench(&cargo::workspace_root()?, &options),
        Command::Profile(options) => profile::profile(&cargo::workspace_root()?, &options),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
