//! The chain of a demo: devnet, anvil or geth, with the same accounts, chain id, block time and block size.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::http;
use super::options::NodeKind;
use crate::process::Child;

/// Chain id of all.
pub(crate) const CHAIN_ID: u64 = nodes::CHAIN_ID;
/// Gas of a block: 47,000 transfers, so that a full load fills less than half and the base fee falls.
pub(crate) const BLOCK_GAS: u64 = 1_000_000_000;
/// Balance of each rich account, enough to fund 100,000 addresses.
const BALANCE_ETHER: u64 = 1_000_000;
/// How long a chain may take to answer.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// Time between two looks at a chain that does not answer yet.
const START_INTERVAL: Duration = Duration::from_millis(50);

/// A running chain; ends when dropped.
#[derive(Debug)]
pub(crate) struct Chain {
    child: Child,
    /// Where its JSON-RPC is.
    pub(crate) url: String,
}

/// What a chain is started with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChainSize {
    /// Gas of a block.
    pub(crate) block_gas: u64,
    /// Transactions that devnet remembers; the others remember all.
    pub(crate) history: u64,
}

impl ChainSize {
    /// Blocks of the usual size, and a memory of `history` transactions.
    pub(crate) fn usual(history: u64) -> Self {
        Self { block_gas: BLOCK_GAS, history }
    }
}

impl Chain {
    /// Starts `kind` from its program with blocks of one second. Its log, and geth's data, go to `room`.
    pub(crate) fn start(kind: NodeKind, program: &Path, room: &Path, size: ChainSize) -> anyhow::Result<Self> {
        match kind {
            NodeKind::Devnet => Self::devnet(program, room, size),
            NodeKind::Anvil => Self::anvil(program, room, size.block_gas),
            NodeKind::Geth => Self::geth(program, room, size.block_gas),
        }
    }

    fn devnet(binary: &Path, room: &Path, size: ChainSize) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command.args(["--listen", "127.0.0.1:0", "--block-time-ms", "1000", "--chain-id", &CHAIN_ID.to_string()]);
        command.args(["--gas-limit", &size.block_gas.to_string(), "--mnemonic", nodes::MNEMONIC, "--accounts", "10"]);
        command.args(["--balance-ether", &BALANCE_ETHER.to_string(), "--history-transactions", &size.history.to_string()]);
        let log = log_file(room, "devnet.log")?;
        let mut child = Child::start_with_output("devnet", &command, Stdio::piped(), log.into())?;
        let stdout = child.take_stdout().context("devnet's output is piped")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).context("reading devnet's first line")?;
        let address = line.trim().strip_prefix("listening on ").with_context(|| {
            format!("devnet did not say where it listens but `{}`; see {}", line.trim(), room.join("devnet.log").display())
        })?;
        let url = format!("http://{address}");
        Self { child, url }.wait_until_it_answers(room, "devnet.log")
    }

    fn anvil(binary: &Path, room: &Path, block_gas: u64) -> anyhow::Result<Self> {
        let port = free_port()?;
        let config = nodes::anvil::Config { gas_limit: Some(block_gas), balance_ether: BALANCE_ETHER, first_come_first_served: true };
        let command = nodes::anvil::command(binary, port, &config);
        let log = log_file(room, "anvil.log")?;
        let child = Child::start_with_output("anvil", &command, Stdio::null(), log.into())?;
        Self { child, url: format!("http://127.0.0.1:{port}") }.wait_until_it_answers(room, "anvil.log")
    }

    /// With room in its pool for the load.
    fn geth(binary: &Path, room: &Path, block_gas: u64) -> anyhow::Result<Self> {
        let port = free_port()?;
        let data = room.join("geth");
        let blocks = nodes::geth::Blocks::EverySecond;
        let config = nodes::geth::Config { blocks, gas_limit: block_gas, balance_ether: BALANCE_ETHER, wide_pool: true, fee_cap: false };
        nodes::geth::prepare(binary, &data, &config)?;
        let command = nodes::geth::command(binary, &data, port, &config);
        let log = log_file(room, "geth.log")?;
        let child = Child::start_with_output("geth", &command, Stdio::null(), log.into())?;
        Self { child, url: format!("http://127.0.0.1:{port}") }.wait_until_it_answers(room, "geth.log")
    }

    fn wait_until_it_answers(mut self, room: &Path, log: &str) -> anyhow::Result<Self> {
        let agent = http::agent();
        let deadline = Instant::now() + START_PATIENCE;
        while !http::node_answers(&agent, &self.url) {
            self.check_alive()?;
            if Instant::now() > deadline {
                bail!("the chain at {} does not answer; see {}", self.url, room.join(log).display());
            }
            std::thread::sleep(START_INTERVAL);
        }
        Ok(self)
    }

    /// An error if the chain has ended.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.poll()? {
            None => Ok(()),
            Some(status) => bail!("the chain ended by itself ({status})"),
        }
    }
}

/// Opens `name` in `room` for appending.
pub(crate) fn log_file(room: &Path, name: &str) -> anyhow::Result<File> {
    let path = room.join(name);
    File::options().create(true).append(true).open(&path).with_context(|| format!("opening {}", path.display()))
}

/// A port that was free a moment ago. For anvil and geth, which do not tell the port they took in a form to rely on.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr()?.port())
}
