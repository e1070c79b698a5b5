//! The load of a demo, as child processes: fund, run, verify, and the floor of signing.

use std::io::{BufRead as _, BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use super::report::{LoadResult, Verified};
use crate::process::{self, Child};

/// Between two progress lines where there is no terminal for a live one.
const PLAIN_INTERVAL: Duration = Duration::from_secs(5);
/// Status with which `load` says that it worked and found a transaction that was not executed exactly once.
const STATUS_NOT_EXACTLY_ONCE: i32 = 2;

/// Where everything of a demo's load is.
#[derive(Debug)]
pub(crate) struct Load<'a> {
    /// The binary.
    pub(crate) binary: &'a Path,
    /// Directory for keys, record and result.
    pub(crate) room: &'a Path,
    /// The chain's JSON-RPC.
    pub(crate) node: &'a str,
    /// Seed of keys and recipients.
    pub(crate) seed: u64,
}

/// Whom a run drives.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    /// The engine whose JSON-RPC is there.
    Engine(&'a str),
    /// The node itself, with transactions that are signed beforehand.
    Node,
}

/// How a run is paced.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// At most so many transactions between offer and block.
    Closed(u64),
    /// So many a second, whatever becomes of them.
    Rate(f64),
}

/// A line of `load run --progress json`.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
pub(crate) struct ProgressLine {
    elapsed_s: f64,
    /// Transactions the engine has accepted.
    pub(crate) accepted: u64,
    included: u64,
    open: Option<u64>,
}

impl Load<'_> {
    /// The key file.
    pub(crate) fn keys(&self) -> PathBuf {
        self.room.join("keys.txt")
    }

    fn record(&self) -> PathBuf {
        self.room.join("record.json")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binary);
        command.args(arguments);
        command
    }

    /// Funds `addresses` addresses and writes their keys.
    pub(crate) fn fund(&self, addresses: u64) -> anyhow::Result<()> {
        let mut command =
            self.command(&["fund", "--node", self.node, "--addresses", &addresses.to_string(), "--seed", &self.seed.to_string()]);
        // The chain was started with the mnemonic that `load` takes by default.
        command.arg("--keys-out").arg(self.keys()).env_remove("LOAD_MNEMONIC");
        process::run("load fund", &command)
    }

    /// Starts a run of `transactions`.
    pub(crate) fn run(&self, target: Target<'_>, transactions: u64, pace: Pace) -> anyhow::Result<Run> {
        let mut command =
            self.command(&["run", "--node", self.node, "--seed", &self.seed.to_string(), "--progress", "json", "--no-verify"]);
        match target {
            Target::Engine(api) => command.args(["--api", api]),
            Target::Node => command.args(["--direct", "--sign-beforehand"]),
        };
        match pace {
            Pace::Closed(outstanding) => command.args(["--outstanding", &outstanding.to_string()]),
            Pace::Rate(rate) => command.args(["--rate", &rate.to_string()]),
        };
        command.args(["--transactions", &transactions.to_string()]);
        command.arg("--keys").arg(self.keys()).arg("--record").arg(self.record());
        Run::start(&command, transactions)
    }

    /// The part of its gas limit that the fullest block of the run has used.
    pub(crate) fn fullest_block(&self) -> anyhow::Result<f64> {
        let record = self.record();
        let text = std::fs::read_to_string(&record).with_context(|| format!("reading {}", record.display()))?;
        fullest(&text)?.with_context(|| format!("{} tells of no block", record.display()))
    }

    /// Checks the run against the chain. That not every transaction was executed exactly once is a result here, and no error.
    pub(crate) fn verify(&self, target: Target<'_>) -> anyhow::Result<Verified> {
        let result = self.room.join("result.json");
        let mut command = self.command(&["verify", "--node", self.node]);
        if let Target::Engine(api) = target {
            command.args(["--api", api]);
        }
        command.arg("--keys").arg(self.keys()).arg("--record").arg(self.record());
        command.arg("--report").arg(format!("json:{}", result.display()));
        let status = Child::start("load verify", &command)?.wait()?;
        ensure!(status.success() || status.code() == Some(STATUS_NOT_EXACTLY_ONCE), "load verify failed ({status})");
        let text = std::fs::read(&result).with_context(|| format!("reading {}", result.display()))?;
        let result: LoadResult = serde_json::from_slice(&text)
            .context("load verify wrote a result that this xtask does not know; build both from one commit")?;
        Ok(Verified { result, is_approved: status.success() })
    }
}

/// The part of its gas limit that the fullest block of a record has used; none if the record has no block.
fn fullest(record: &str) -> anyhow::Result<Option<f64>> {
    #[derive(Deserialize)]
    #[serde(tag = "event", rename_all = "snake_case")]
    enum Line {
        Block {
            gas_used: u64,
            gas_limit: u64,
        },
        #[serde(other)]
        Other,
    }
    let mut fullest = None;
    for line in record.lines() {
        if let Line::Block { gas_used, gas_limit } = serde_json::from_str(line).context("the load's record is not of the known form")? {
            let part = gas_used as f64 / gas_limit as f64;
            fullest = Some(fullest.map_or(part, |fullest: f64| fullest.max(part)));
        }
    }
    Ok(fullest)
}

/// What bare signing and encoding costs.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) struct Floor {
    /// CPU time of one transfer while the other cores are idle, µs.
    pub(crate) sign_us: f64,
    /// The same while all cores do it, µs.
    pub(crate) busy_us: f64,
}

impl Floor {
    /// The smaller of each: what else the machine did can only have made the other one larger.
    pub(crate) fn min(self, other: Self) -> Self {
        Self { sign_us: self.sign_us.min(other.sign_us), busy_us: self.busy_us.min(other.busy_us) }
    }
}

/// CPU time of signing and encoding one transfer on this machine, now, in µs.
pub(crate) fn sign_floor(binary: &Path) -> anyhow::Result<Floor> {
    let mut command = Command::new(binary);
    command.arg("sign-floor");
    let mut child = Child::start_with_output("load sign-floor", &command, Stdio::piped(), Stdio::inherit())?;
    let text = std::io::read_to_string(child.take_stdout().context("the output is piped")?)?;
    let status = child.wait()?;
    ensure!(status.success(), "load sign-floor failed ({status})");
    serde_json::from_str(&text).with_context(|| format!("load sign-floor printed `{}`", text.trim()))
}

/// A run under way; ends when dropped.
#[derive(Debug)]
pub(crate) struct Run {
    child: Child,
    lines: Receiver<std::io::Result<String>>,
    transactions: u64,
    last_shown: Instant,
    is_terminal: bool,
}

impl Run {
    fn start(command: &Command, transactions: u64) -> anyhow::Result<Self> {
        let mut child = Child::start_with_output("load run", command, Stdio::piped(), Stdio::inherit())?;
        let stdout = child.take_stdout().context("the output is piped")?;
        let (sender, lines) = channel();
        // Ends with the child's output, or when nobody listens any more.
        std::thread::spawn(move || BufReader::new(stdout).lines().try_for_each(|line| sender.send(line)));
        Ok(Self { child, lines, transactions, last_shown: Instant::now(), is_terminal: std::io::stderr().is_terminal() })
    }

    /// The next progress line, waited for no longer than `patience`: `Ok(Some(None))` if none came, `Ok(None)` when the run is over.
    pub(crate) fn next(&mut self, patience: Duration) -> anyhow::Result<Option<Option<ProgressLine>>> {
        match self.lines.recv_timeout(patience) {
            Ok(line) => {
                let line = line.context("reading the load's progress")?;
                let progress = parse(&line)?;
                self.show(&progress);
                Ok(Some(Some(progress)))
            }
            Err(RecvTimeoutError::Timeout) => Ok(Some(None)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
        }
    }

    /// Waits for the end, which must be a good one.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        let status = self.child.wait()?;
        if !status.success() {
            bail!("load run failed ({status})");
        }
        Ok(())
    }

    /// The load draws a live line itself where stderr is a terminal; elsewhere a plain one now and then tells that all is well.
    fn show(&mut self, progress: &ProgressLine) {
        if self.is_terminal || self.last_shown.elapsed() < PLAIN_INTERVAL {
            return;
        }
        self.last_shown = Instant::now();
        let open = progress.open.map_or_else(|| "engine away".to_owned(), |open| format!("{open} open"));
        eprintln!(
            "xtask: {:.0} s: {} of {} accepted, {} in blocks, {open}",
            progress.elapsed_s, progress.accepted, self.transactions, progress.included
        );
    }
}

fn parse(line: &str) -> anyhow::Result<ProgressLine> {
    serde_json::from_str(line).with_context(|| format!("the load printed `{line}` in place of its progress"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_progress_line_is_read_also_while_the_engine_is_away() {
        let line = r#"{"event":"progress","elapsed_s":1.5,"offered":400,"sent":400,"accepted":200,"included":0,"open":null,"repeated":2}"#;
        assert_eq!(parse(line).unwrap(), ProgressLine { elapsed_s: 1.5, accepted: 200, included: 0, open: None });
        assert!(parse("something else").is_err());
    }

    #[test]
    fn the_fullest_block_is_found_among_the_lines_of_a_record() {
        let block = |used: u64| format!(r#"{{"event":"block","number":1,"seen_us":2,"transactions":3,"gas_used":{used},"gas_limit":100}}"#);
        let record = [block(20), r#"{"event":"settled","at_us":5}"#.to_owned(), block(40), block(30)].join("\n");
        assert_eq!(fullest(&record).unwrap(), Some(0.4));
        assert_eq!(fullest("").unwrap(), None);
        assert!(fullest("nonsense").is_err());
    }
}
