//! The event stream of a run: one JSON object a line, written as things happen.
//!
//! It is a log for people and programs, the record that verification and the report read, and what a run resumes from after a crash
//! of its own. A line is handed to the operating system before what it announces is done: a batch is in the file before it is
//! offered. So a process that is killed loses nothing; should a machine lose the last lines, the same numbers are offered again
//! with the same idempotency keys (or nonces).

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::Context;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::stage::Stage;

/// Version of the lines' meaning.
pub(crate) const FORMAT: u32 = 1;

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The run began. The first line.
    Begin(Begin),
    /// The run goes on after its process ended early.
    Resumed {
        /// When, µs since the Unix epoch.
        at_us: u64,
    },
    /// A batch is about to be offered for the first time.
    Batch(Batch),
    /// The other side answered an offer.
    Answer(Answer),
    /// The chain has a new block.
    Block(BlockSeen),
    /// Where the run stands.
    Sample(Sample),
    /// Everything is offered, answered and archived. The last line.
    Settled {
        /// When, µs since the Unix epoch.
        at_us: u64,
    },
}

/// What does not change in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Begin {
    /// [`FORMAT`].
    pub(crate) format: u32,
    /// When, µs since the Unix epoch.
    pub(crate) at_us: u64,
    /// Seed of keys, recipients and draws.
    pub(crate) seed: u64,
    /// The stages.
    pub(crate) stages: Vec<Stage>,
    /// Most transactions in one request.
    pub(crate) batch: u64,
    /// Connections.
    pub(crate) connections: u64,
    /// The chain's head before the first transaction.
    pub(crate) first_block: u64,
    /// Nonce of each address before the run, in the order of the key file.
    pub(crate) base_nonces: Vec<u64>,
    /// Set where the load signs by itself and drives the node.
    pub(crate) direct: Option<Terms>,
}

/// What transactions that the load signs itself have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Terms {
    /// Chain id.
    pub(crate) chain_id: u64,
    /// `maxFeePerGas` in wei.
    pub(crate) max_fee_per_gas: u64,
    /// `maxPriorityFeePerGas` in wei.
    pub(crate) max_priority_fee_per_gas: u64,
}

/// Numbers `first..first + count`, and when they were due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// First number.
    pub(crate) first: u64,
    /// How many numbers.
    pub(crate) count: u64,
    /// When it was due, µs since the Unix epoch.
    pub(crate) intended_us: u64,
}

/// An answer to an offer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Answer {
    /// When it came, µs since the Unix epoch.
    pub(crate) at_us: u64,
    /// First number of the batch.
    pub(crate) first: u64,
    /// Numbers taken, as first number and count of each run of them.
    pub(crate) accepted: Vec<(u64, u64)>,
    /// Numbers refused for good, with the reasons.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) refused: Vec<(u64, String)>,
    /// How many are to be offered again.
    #[serde(default)]
    pub(crate) again: u64,
}

/// A block when it was first seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BlockSeen {
    /// Number.
    pub(crate) number: u64,
    /// When, µs since the Unix epoch.
    pub(crate) seen_us: u64,
    /// Transactions in it, whoever sent them.
    pub(crate) transactions: u64,
    /// Gas used.
    pub(crate) gas_used: u64,
    /// Gas limit.
    pub(crate) gas_limit: u64,
}

/// Counts and CPU at one moment. Counts are sums since the run began; CPU times are sums of a process and unknown where it is away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// When, µs since the Unix epoch.
    pub(crate) at_us: u64,
    /// Transactions that should have been offered by now.
    pub(crate) due: u64,
    /// Handed to a connection.
    pub(crate) offered: u64,
    /// Written to the other side at least once.
    pub(crate) sent: u64,
    /// Acknowledged.
    pub(crate) accepted: u64,
    /// Refused for good.
    pub(crate) refused: u64,
    /// In blocks.
    pub(crate) included: u64,
    /// Requests repeated.
    pub(crate) repeated: u64,
    /// Accepted and not yet archived.
    pub(crate) open: Option<u64>,
    /// Handed to the node by the engine and in no block yet.
    pub(crate) tracking: Option<u64>,
    /// Share of connections that wait for an answer, 0 to 1, the mean since the sample before.
    pub(crate) waiting: f64,
    /// CPU time of the load, µs.
    pub(crate) load_cpu_us: Option<u64>,
    /// CPU time of the engine, µs.
    pub(crate) engine_cpu_us: Option<u64>,
    /// CPU time of the node, µs.
    pub(crate) node_cpu_us: Option<u64>,
    /// CPU time of the whole machine that was not idle, µs.
    pub(crate) machine_cpu_us: Option<u64>,
    /// Cores of the machine.
    pub(crate) cores: u64,
}

/// Writes events to a file.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Mutex<File>,
}

impl Journal {
    /// A new file; one that exists is an error, because it may be the only record of a run.
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => anyhow::anyhow!(
                "--record {} is the record of an earlier run; add --resume to go on with it, or name another file",
                path.display()
            ),
            _ => anyhow::Error::from(error).context(format!("creating the run's record {}", path.display())),
        })?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Goes on in a file of which the first `whole_bytes` are good.
    pub(crate) fn reopen(path: &Path, whole_bytes: u64) -> anyhow::Result<Self> {
        let open = || {
            let mut file = OpenOptions::new().write(true).open(path)?;
            file.set_len(whole_bytes)?;
            file.seek(SeekFrom::End(0))?;
            Ok::<_, std::io::Error>(file)
        };
        let file = open().with_context(|| format!("going on with the run's record {}", path.display()))?;
        Ok(Self { file: Mutex::new(file) })
    }

    /// Adds a line. When this returns, a crash of the process does not lose it.
    pub(crate) fn write(&self, event: &Event) -> anyhow::Result<()> {
        let mut line = serde_json::to_vec(event)?;
        line.push(b'\n');
        self.file.lock().write_all(&line).context("writing the run's record")
    }
}
