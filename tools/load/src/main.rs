//! `load`: puts transactions through a transaction manager, and then asks the chain what became of each.
//!
//! ```text
//! fund ─► run ─► verify ─► report
//!          │        ├─ chain: every block since the run began (truth)
//!          │        └─ engine: what it says of each transaction (checked against the chain)
//!          └─ record: what was offered, when it was intended, what was answered; a run that was killed goes on from it
//! ```
//!
//! What is offered is a plan: stages (open or closed loop, ramps) of mixes of scenarios. Whom it is offered to is the engine, or
//! with `--direct` a node, to which the load sends transactions that it signs itself.
//!
//! Nothing here shares code with the engine: it knows the JSON-RPC methods from the outside, and recognises its transactions
//! on the chain by sender, recipient and value alone. A run that cannot account for every transaction ends with a non-zero
//! status and says which one.
#![allow(clippy::print_stderr, reason = "a command-line tool tells its user on stderr how it is getting on")]

mod api;
mod begin;
mod bottleneck;
mod chain;
mod cli;
mod contracts;
mod cpu;
mod event;
mod floor;
mod follow;
mod fund;
mod keys;
mod latency;
mod ledger;
mod mix;
mod outcome;
mod pace;
mod plan;
mod progress;
mod race;
mod record;
mod report;
mod run;
mod scenario;
mod stage;
mod stages;
mod submit;
mod target;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(dispatch(cli.command)),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(2),
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs one command. `Ok(false)` means it worked, and found that not every transaction was executed exactly once.
async fn dispatch(command: Command) -> anyhow::Result<bool> {
    match command {
        Command::Fund(options) => fund::fund(&options).await.map(|()| true),
        Command::Run(options) => run::run(&options).await,
        Command::Verify(options) => verify::verify(&options).await,
        Command::SignFloor(options) => floor::report(&options).map(|()| true),
    }
}
