//! What is measured on this machine: a synced append, and a signature. Both are bounded in number and in time.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use alloy::primitives::{B256, keccak256};
use serde::Serialize;

use crate::keys::Keyring;

/// One page: a small group commit.
const APPEND_BYTES: usize = 4096;
/// Enough for a p99 with three samples behind it.
const APPENDS_MAX: usize = 300;
/// A disk so slow that it takes longer has shown it by then.
const APPENDS_FOR: Duration = Duration::from_secs(3);
/// About 40 ms of signing.
const SIGNATURES_MAX: usize = 2_000;
/// A processor so slow that it takes longer has shown it by then.
const SIGNATURES_FOR: Duration = Duration::from_millis(500);

/// What was measured.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Appends with their sync.
    pub fsync: Option<SyncFigures>,
    /// Why there are none.
    pub fsync_error: Option<String>,
    /// The median signature, in microseconds.
    pub sign_us: Option<f64>,
}

/// How long an append of 4 KiB and its sync took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct SyncFigures {
    /// Appends.
    pub count: usize,
    /// The median, in microseconds.
    pub p50_us: f64,
    /// One in a hundred took longer, in microseconds.
    pub p99_us: f64,
}

impl Figures {
    /// Measures the disk in this directory, and signing.
    #[must_use]
    pub fn measure(directory: Option<&Path>) -> Self {
        let (fsync, fsync_error) = match directory.map(appends) {
            Some(Ok(figures)) => (Some(figures), None),
            Some(Err(error)) => (None, Some(error.to_string())),
            None => (None, None),
        };
        Self { fsync, fsync_error, sign_us: signatures() }
    }
}

/// Appends as the log of the store does it: to a file that grows, with the data synced after each. The file has no name, so that nothing
/// is left behind whatever happens.
fn appends(directory: &Path) -> io::Result<SyncFigures> {
    let mut file: File = tempfile::tempfile_in(directory)?;
    let page = [0x5a; APPEND_BYTES];
    let mut took = Vec::with_capacity(APPENDS_MAX);
    let start = Instant::now();
    while took.len() < APPENDS_MAX && (took.is_empty() || start.elapsed() < APPENDS_FOR) {
        let begun = Instant::now();
        file.write_all(&page)?;
        file.sync_data()?;
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Ok(SyncFigures { count: took.len(), p50_us: quantile_us(&took, 50), p99_us: quantile_us(&took, 99) })
}

/// Signs with a key made for this alone: the operator's are not needed.
fn signatures() -> Option<f64> {
    let keyring = Keyring::from_secrets(vec![keccak256("doctor")]).ok()?;
    let address = keyring.addresses().next()?;
    let mut digest = B256::ZERO;
    let mut took = Vec::with_capacity(SIGNATURES_MAX);
    let start = Instant::now();
    while took.len() < SIGNATURES_MAX && start.elapsed() < SIGNATURES_FOR {
        digest = keccak256(digest);
        let begun = Instant::now();
        std::hint::black_box(keyring.sign(&address, &digest).ok()?);
        took.push(begun.elapsed());
    }
    took.sort_unstable();
    Some(quantile_us(&took, 50))
}

/// The value that so many percent do not exceed; `sorted` is not empty.
fn quantile_us(sorted: &[Duration], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).map_or(0.0, |time| time.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_value_that_so_many_do_not_exceed() {
        let times: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!((quantile_us(&times, 50).round(), quantile_us(&times, 99).round()), (100.0, 198.0));
        assert_eq!(quantile_us(&times[..1], 99).round(), 1.0);
    }

    #[test]
    fn measuring_leaves_nothing_behind_and_a_missing_directory_is_told() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let figures = Figures::measure(Some(directory.path()));
        let sync = figures.fsync.expect("a disk");
        assert!(sync.count > 0 && sync.p50_us > 0.0 && sync.p99_us >= sync.p50_us, "{sync:?}");
        assert!(figures.sign_us.is_some_and(|us| us > 0.0));
        assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0);
        assert!(Figures::measure(Some(&directory.path().join("none"))).fsync_error.is_some());
    }
}
