//! The record of a run: all that verification needs to know from the time of the run, as JSON.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// What a run leaves behind for `load verify`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    /// Seed of keys and recipients.
    pub(crate) seed: u64,
    /// Transactions offered.
    pub(crate) transactions: u64,
    /// Transactions in one request; `intended_us` has an entry for each batch.
    pub(crate) batch: u64,
    /// When the run began, µs since the Unix epoch.
    pub(crate) started_us: u64,
    /// When all work was archived, µs since the Unix epoch.
    pub(crate) settled_us: u64,
    /// The chain's head before the first transaction.
    pub(crate) first_block: u64,
    /// Nonce of each address before the run, in the order of the key file.
    pub(crate) base_nonces: Vec<u64>,
    /// When each batch was due, µs since the Unix epoch.
    pub(crate) intended_us: Vec<u64>,
    /// Transactions whose request was written to a live connection.
    pub(crate) sent: u64,
    /// Requests that were repeated.
    pub(crate) repeated: u64,
    /// Numbers the engine refused, with its reasons.
    pub(crate) refused: Vec<(u64, String)>,
}

impl Record {
    /// Writes the record to `path`.
    pub(crate) fn write(&self, path: &Path) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(self)?;
        std::fs::write(path, bytes).with_context(|| format!("writing the run's record {}", path.display()))
    }

    /// Reads a record from `path`.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("reading the run's record {}", path.display()))?;
        serde_json::from_slice(&bytes).with_context(|| format!("{} is not a record of `load run`", path.display()))
    }

    /// When transaction `number` was due, µs since the Unix epoch.
    pub(crate) fn intended_us(&self, number: u64) -> Option<u64> {
        self.intended_us.get(usize::try_from(number / self.batch).ok()?).copied()
    }
}
