//! The chain of a demo: devnet or anvil, with the same accounts, chain id, block time and block size.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::http;
use crate::process::Child;

/// The mnemonic every dev chain uses.
const MNEMONIC: &str = "test test test test test test test test test test test junk";
/// Chain id of both.
pub(crate) const CHAIN_ID: u64 = 31337;
/// Gas of a block: 47,000 transfers, so that a full load fills less than half and the base fee falls.
const BLOCK_GAS: &str = "1000000000";
/// Balance of each rich account, enough to fund 100,000 addresses.
const BALANCE_ETHER: &str = "1000000";
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

impl Chain {
    /// Starts devnet with blocks of one second, which remembers `transactions`. Its log goes to `room`.
    pub(crate) fn devnet(binary: &Path, room: &Path, transactions: u64) -> anyhow::Result<Self> {
        let mut command = Command::new(binary);
        command.args(["--listen", "127.0.0.1:0", "--block-time-ms", "1000", "--chain-id", &CHAIN_ID.to_string()]);
        command.args(["--gas-limit", BLOCK_GAS, "--mnemonic", MNEMONIC, "--accounts", "10", "--balance-ether", BALANCE_ETHER]);
        command.args(["--history-transactions", &transactions.to_string()]);
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

    /// Starts anvil with blocks of one second. Its log goes to `room`.
    pub(crate) fn anvil(binary: &Path, room: &Path) -> anyhow::Result<Self> {
        let port = free_port()?;
        let mut command = Command::new(binary);
        command.args(["--port", &port.to_string(), "--block-time", "1", "--chain-id", &CHAIN_ID.to_string(), "--order", "fifo", "--quiet"]);
        command.args(["--gas-limit", BLOCK_GAS, "--mnemonic", MNEMONIC, "--accounts", "10", "--balance", BALANCE_ETHER]);
        let log = log_file(room, "anvil.log")?;
        let child = Child::start_with_output("anvil", &command, Stdio::null(), log.into())?;
        Self { child, url: format!("http://127.0.0.1:{port}") }.wait_until_it_answers(room, "anvil.log")
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

/// A port that was free a moment ago. For anvil alone, which does not tell the port it took in a form to rely on.
fn free_port() -> anyhow::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("looking for a free port")?;
    Ok(listener.local_addr()?.port())
}
