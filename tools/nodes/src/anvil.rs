//! anvil, from npm, as the project's set-up installs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{CHAIN_ID, MNEMONIC, NodeError, Running};

/// Where the set-up puts anvil's packages, below the project's root: a wrapper, and beside it one with the program itself. The wrapper
/// would leave the program behind when it is killed.
const PACKAGES: &str = "node_modules/@foundry-rs";

/// Where its chain is written when it is told to stop, in its directory: a restart goes on with it. Its pool is not kept.
const STATE: &str = "state.json";

/// The settings of an anvil.
#[derive(Clone, Debug)]
pub struct Config {
    /// Gas limit of a block; anvil's own if not set.
    pub gas_limit: Option<u64>,
    /// Balance of each account of the mnemonic in ether.
    pub balance_ether: u64,
    /// Whether transactions are taken in the order of their arrival and not by their fees.
    pub first_come_first_served: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { gas_limit: None, balance_ether: 10_000, first_come_first_served: false }
    }
}

/// The installed program. `npm` is the directory of the project that pins it, `tools/npm`.
///
/// # Errors
///
/// When it is not installed.
pub fn program(npm: &Path) -> Result<PathBuf, NodeError> {
    packaged(npm, "anvil")
}

/// A native program of Foundry's packages.
pub(crate) fn packaged(npm: &Path, name: &str) -> Result<PathBuf, NodeError> {
    let packages = npm.join(PACKAGES);
    let entries = std::fs::read_dir(&packages).into_iter().flatten().flatten();
    let found = entries.map(|package| package.path().join("bin").join(name)).find(|program| program.is_file());
    found.ok_or(NodeError::Missing { program: name.to_owned(), place: packages })
}

/// How to start it with a block a second on a port of the loopback interface. It logs nothing.
pub fn command(program: &Path, port: u16, config: &Config) -> Command {
    let mut command = Command::new(program);
    command.args(["--quiet", "--block-time", "1", "--port", &port.to_string(), "--chain-id", &CHAIN_ID.to_string()]);
    command.args(["--mnemonic", MNEMONIC, "--accounts", "10", "--balance", &config.balance_ether.to_string()]);
    if let Some(gas) = config.gas_limit {
        command.args(["--gas-limit", &gas.to_string()]);
    }
    if config.first_come_first_served {
        command.args(["--order", "fifo"]);
    }
    command
}

/// Starts one, and waits until it answers.
///
/// # Errors
///
/// When it is not installed or does not run.
pub fn start(config: &Config) -> Result<Running, NodeError> {
    let program = program(crate::clients::npm())?;
    Running::start("anvil", |directory, port| {
        let mut command = command(&program, port, config);
        command.arg("--state").arg(directory.path().join(STATE));
        Ok(command)
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_missing_anvil_is_named_with_its_place_and_the_remedy() {
        let error = program(Path::new("/nowhere")).unwrap_err().to_string();
        assert_eq!(error, "no anvil in /nowhere/node_modules/@foundry-rs: run `cargo xtask setup`");
    }
}
