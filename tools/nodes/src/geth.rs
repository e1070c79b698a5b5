//! geth, built from its pinned source by the project's set-up into the user's cache.
//!
//! It runs in its developer mode, which makes blocks without a consensus client. Its chain begins with geth's own developer
//! genesis (which brings the system contracts its rules ask for), with the accounts of the test mnemonic made rich, the
//! project's chain id, and the forks up to Osaka, as the project's dev chain has them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::{ACCOUNTS, CHAIN_ID, NodeError, Running, cache};

/// The pinned version. Newer ones depend on a module that cannot always be had.
pub const VERSION: &str = "v1.17.8";
/// The program's module, as `go install` takes it.
pub const MODULE: &str = "github.com/ethereum/go-ethereum/cmd/geth";
/// The oldest Go that the module builds with, by its `go.mod`.
pub const GO_LEAST: (u32, u32) = (1, 25);

/// Forks after Osaka that geth's developer genesis may switch on. The project's dev chain does not know them.
const LATER_FORKS: [&str; 3] = ["bogotaTime", "amsterdamTime", "ubtTime"];
/// Seconds between two blocks where blocks come on demand: longer than any test.
const NEVER_S: &str = "100000000";

/// Where a geth keeps its data, in the directory of its process.
const DATA: &str = "data";
/// What was in its pool, in its data: read again at its start.
const POOL_JOURNAL: &str = "geth/transactions.rlp";

/// When blocks come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocks {
    /// One a second.
    EverySecond,
    /// Only when `testing_commitBlockV1` asks for one.
    OnDemand,
}

/// The settings of a geth.
#[derive(Clone, Debug)]
pub struct Config {
    /// When blocks come.
    pub blocks: Blocks,
    /// Gas limit of a block.
    pub gas_limit: u64,
    /// Balance of each account of the mnemonic in ether.
    pub balance_ether: u64,
    /// Whether the pool has room for a load: as many transactions as are offered, from any account. Otherwise it has geth's own limits.
    pub wide_pool: bool,
    /// Whether geth's own limit on what a transaction may cost holds: one ether.
    pub fee_cap: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { blocks: Blocks::EverySecond, gas_limit: 60_000_000, balance_ether: 1_000_000, wide_pool: false, fee_cap: false }
    }
}

/// Where the set-up puts the pinned version: `$XDG_CACHE_HOME/millrace/geth/VERSION`, in `~/.cache` if that is not set.
///
/// # Errors
///
/// When the environment names neither.
pub fn directory() -> Result<PathBuf, NodeError> {
    Ok(cache()?.join("geth").join(VERSION))
}

/// The installed program.
///
/// # Errors
///
/// When it is not installed.
pub fn program() -> Result<PathBuf, NodeError> {
    let place = directory()?;
    let program = place.join("geth");
    if program.is_file() { Ok(program) } else { Err(NodeError::Missing { program: format!("geth {VERSION}"), place }) }
}

/// Writes the first block of the chain into `data`, an empty or missing directory.
///
/// # Errors
///
/// When geth fails, or its own developer genesis is not of the known form.
pub fn prepare(program: &Path, data: &Path, config: &Config) -> Result<(), NodeError> {
    let own = run("geth dumpgenesis", Command::new(program).args(["--dev", "dumpgenesis"]))?;
    let own = serde_json::from_str(&own).map_err(|source| NodeError::Form { what: "geth's developer genesis".to_owned(), source })?;
    std::fs::create_dir_all(data).map_err(NodeError::system(format!("creating {}", data.display())))?;
    let file = data.join("genesis.json");
    std::fs::write(&file, genesis(own, config).to_string()).map_err(NodeError::system(format!("writing {}", file.display())))?;
    run("geth init", Command::new(program).arg("init").arg("--datadir").arg(data).arg(&file)).map(drop)
}

/// How to start it on prepared `data`, with HTTP and WebSocket on one port of the loopback interface.
pub fn command(program: &Path, data: &Path, port: u16, config: &Config) -> Command {
    let mut command = Command::new(program);
    let period = if config.blocks == Blocks::OnDemand { NEVER_S } else { "1" };
    command.args(["--dev", "--dev.period", period, "--networkid", &CHAIN_ID.to_string()]).arg("--datadir").arg(data);
    command.args(["--nodiscover", "--maxpeers", "0", "--ipcdisable", "--cache", "512", "--verbosity", "3"]);
    command.args(["--miner.gaslimit", &config.gas_limit.to_string()]);
    // geth's limits on what a call may cost protect a public node; here they would only hide what a test or a load is about.
    command.args(["--rpc.batch-request-limit", "0", "--rpc.batch-response-max-size", "0"]);
    if !config.fee_cap {
        command.args(["--rpc.txfeecap", "0"]);
    }
    // A request may name its host as it likes, as on every other node.
    command.args(["--http.vhosts", "*"]);
    let port = port.to_string();
    for (transport, modules) in [("http", "eth,net,web3,txpool,debug,testing"), ("ws", "eth,net,web3,txpool")] {
        command.arg(format!("--{transport}")).args([format!("--{transport}.addr"), "127.0.0.1".to_owned()]);
        command.args([format!("--{transport}.port"), port.clone(), format!("--{transport}.api"), modules.to_owned()]);
    }
    if config.wide_pool {
        for limit in ["accountslots", "globalslots", "accountqueue", "globalqueue"] {
            command.args([format!("--txpool.{limit}"), "1000000".to_owned()]);
        }
    }
    command
}

/// Starts one, and waits until it answers.
///
/// # Errors
///
/// When it is not installed or does not run.
pub fn start(config: &Config) -> Result<Running, NodeError> {
    let program = program()?;
    Running::start("geth", |directory, port| {
        let data = directory.path().join(DATA);
        prepare(&program, &data, config)?;
        Ok(command(&program, &data, port, config))
    })
}

/// Has a stopped geth forget what was in its pool. For [`Running::restart`].
///
/// # Errors
///
/// When there is no journal of its pool: it has not run yet, or keeps its pool elsewhere.
pub fn forget_pool(directory: &Path) -> std::io::Result<()> {
    std::fs::remove_file(directory.join(DATA).join(POOL_JOURNAL))
}

/// geth's own developer genesis with the project's chain id, forks, gas limit and rich accounts.
fn genesis(mut genesis: Value, config: &Config) -> Value {
    genesis["gasLimit"] = json!(format!("{:#x}", config.gas_limit));
    genesis["config"]["chainId"] = json!(CHAIN_ID);
    if let Some(forks) = genesis["config"].as_object_mut() {
        forks.retain(|name, _| !LATER_FORKS.contains(&name.as_str()));
    }
    let balance = format!("{:#x}", u128::from(config.balance_ether) * 1_000_000_000_000_000_000);
    for account in ACCOUNTS {
        genesis["alloc"][account] = json!({"balance": balance});
    }
    if let Some(members) = genesis.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    genesis
}

/// Runs a command to its end and gives its output.
fn run(what: &str, command: &mut Command) -> Result<String, NodeError> {
    let output = command.output().map_err(NodeError::system(format!("starting {what}")))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let output_text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(NodeError::Failed { what: what.to_owned(), status: output.status, output: output_text })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_genesis_keeps_the_system_contracts_and_ends_at_osaka() {
        let own = json!({
            "config": {"chainId": 1337, "osakaTime": 0, "bogotaTime": 0},
            "gasLimit": "0x1", "slotNumber": null, "alloc": {"0x01": {"code": "0x00", "balance": "0x0"}}
        });
        let amended = genesis(own, &Config { gas_limit: 16, balance_ether: 1, ..Config::default() });
        assert_eq!(amended["config"], json!({"chainId": 31_337, "osakaTime": 0}));
        assert_eq!((&amended["gasLimit"], amended.get("slotNumber")), (&json!("0x10"), None));
        assert_eq!(amended["alloc"]["0x01"]["code"], "0x00");
        assert_eq!(amended["alloc"][ACCOUNTS[9]]["balance"], "0xde0b6b3a7640000");
    }
}
