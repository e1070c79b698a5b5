//! `contracts`: the Solidity contracts in `tools/contracts`.
//!
//! Says whether the committed artifacts are what the sources give and whether transactions cost the gas that is written down, and
//! tests the artifacts on anvil. With `--renew` it writes the artifacts and the figures instead of comparing them.

use std::path::Path;
use std::process::Command;

use clap::Args;

use crate::check::run_tests;
use crate::{process, setup};

/// Options of `contracts`.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ContractsOptions {
    /// Write the artifacts and the figures of gas instead of comparing them.
    #[arg(long)]
    pub(crate) renew: bool,
}

/// Carries out `cargo xtask contracts`.
pub(crate) fn contracts(root: &Path, options: ContractsOptions) -> anyhow::Result<()> {
    let directory = setup::contracts(root)?;
    let node = |arguments: &[&str]| {
        let mut command = Command::new("node");
        command.args(arguments).current_dir(&directory);
        command
    };
    let renew: &[&str] = if options.renew { &["--renew"] } else { &[] };
    process::run("the compiler of contracts", &node(&[&["build.mjs"], renew].concat()))?;
    process::run("the measurement of gas", &node(&[&["gas.mjs"], renew].concat()))?;
    run_tests("the tests of contracts", &node(&["--test", "--test-reporter=spec"]))
}
