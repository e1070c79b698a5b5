//! The store: the seam between what millrace remembers and what remembers it.
//!
//! ```text
//!   reads ── get, get_many, scan ──►  ┌───────┐
//!                                     │ Store │  RocksStore in production, memory in the simulator
//!   writer ── append(expected, …) ──► └───────┘
//!                  │
//!                  ├─► Durable { sequence }   on disk, all of it
//!                  ├─► Refused                nothing of it is, nor will be
//!                  └─► Unknown                ask `reopen`: all of it or nothing
//! ```
//!
//! There is one way to write. `append` names the sequence it expects to follow, as an append to a replicated log does, so that a
//! writer that lost its place is refused and never overwrites. All records of an append are on disk together or not at all.
//!
//! How it fails: a read says [`StoreError`], sorted by what the caller should do. An append whose outcome cannot be known (a failed
//! write or fsync) is [`Append::Unknown`]; from then on the store refuses appends until [`Store::reopen`] has told what is on disk.

use std::fmt;

use crate::record::Record;

/// A family of keys with one kind of value. `SCHEMA.md` describes each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// id → [`TransactionRow`](crate::TransactionRow)
    Transactions,
    /// id ++ generation ++ attempt → [`AttemptRow`](crate::AttemptRow)
    Attempts,
    /// address ++ tag ++ number → floor, bound id, or waiting id
    ByAddress,
    /// transaction hash → id ++ generation ++ attempt
    ByHash,
    /// idempotency key → id ++ body hash
    Idempotency,
    /// block number → [`HeadRow`](crate::HeadRow)
    Heads,
    /// id → [`ReceiptRow`](crate::ReceiptRow)
    Receipts,
    /// id → [`FailureRow`](crate::FailureRow)
    Failures,
    /// id ++ nonce → [`RivalRow`](crate::RivalRow)
    Rivals,
    /// kind ++ selector ++ digest → [`AbiRow`](crate::AbiRow)
    Abis,
    /// dependency id ++ dependent id → [`DependentRow`](crate::DependentRow)
    Dependents,
    /// id ++ generation → [`GenerationRow`](crate::GenerationRow)
    Generations,
    /// sequence of the first → [`EndingsRow`](crate::EndingsRow)
    Endings,
    /// block number → sequence of its row in `endings`
    EndedIn,
    /// name → [`ListenerRow`](crate::ListenerRow)
    Listeners,
    /// id → [`SidecarRow`](crate::SidecarRow)
    Sidecars,
    /// schema version and sequence of the last append
    Meta,
}

impl Family {
    /// All families; a family's place here is `family as usize`.
    pub const ALL: [Self; 17] = [
        Self::Transactions,
        Self::Attempts,
        Self::ByAddress,
        Self::ByHash,
        Self::Idempotency,
        Self::Heads,
        Self::Receipts,
        Self::Failures,
        Self::Rivals,
        Self::Abis,
        Self::Dependents,
        Self::Generations,
        Self::Endings,
        Self::EndedIn,
        Self::Listeners,
        Self::Sidecars,
        Self::Meta,
    ];

    /// Name on disk and in messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Transactions => "transactions",
            Self::Attempts => "attempts",
            Self::ByAddress => "by_address",
            Self::ByHash => "by_hash",
            Self::Idempotency => "idempotency",
            Self::Heads => "heads",
            Self::Receipts => "receipts",
            Self::Failures => "failures",
            Self::Rivals => "rivals",
            Self::Abis => "abis",
            Self::Dependents => "dependents",
            Self::Generations => "generations",
            Self::Endings => "endings",
            Self::EndedIn => "ended_in",
            Self::Listeners => "listeners",
            Self::Sidecars => "sidecars",
            Self::Meta => "meta",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A key and its value.
pub type Pair = (Box<[u8]>, Box<[u8]>);

/// Order of a scan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Smallest key first.
    Forward,
    /// Greatest key first.
    Backward,
}

/// What keeps the families. Clones share one store.
pub trait Store: Clone + Send + Sync + 'static {
    /// The value of `key`, if it is there.
    ///
    /// # Errors
    /// [`StoreError::Io`] or [`StoreError::Closed`].
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// The values of `keys`, in their order.
    ///
    /// # Errors
    /// As [`Store::get`]; the first error ends the call.
    fn get_many(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError>;

    /// Pairs with `from <= key < to`, at most `limit`, in the given direction.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn scan(&self, family: Family, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Result<Vec<Pair>, StoreError>;

    /// Keys with `from <= key < to`, at most `limit`, smallest first: for families whose values are large.
    ///
    /// # Errors
    /// As [`Store::get`].
    fn scan_keys(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Box<[u8]>>, StoreError>;

    /// The store's one way to write: all records, atomically and synced, as sequence `expected + 1`. Refused when the last
    /// append was not `expected`.
    fn append(&self, expected: u64, records: &[Record]) -> Append;

    /// After [`Append::Unknown`]: closes, opens again, makes what was found durable, and tells the sequence on disk.
    ///
    /// # Errors
    /// When it cannot be opened (yet); call again after a pause.
    fn reopen(&self) -> Result<u64, StoreError>;

    /// Sequence of the last append; 0 before the first.
    ///
    /// # Errors
    /// [`StoreError::Closed`] between an unknown append and the reopening that resolves it.
    fn sequence(&self) -> Result<u64, StoreError>;
}

/// How an append ended.
#[derive(Debug)]
pub enum Append {
    /// All records are on disk.
    Durable {
        /// The sequence they were given: expected + 1.
        sequence: u64,
    },
    /// Nothing was written, nor will be: e.g. `expected` is not the last sequence.
    Refused(StoreError),
    /// On disk or not: a write or an fsync failed. Only [`Store::reopen`] tells.
    Unknown(StoreError),
}

/// Where a projection writes: the RocksDB batch, or the maps of a store in memory.
pub trait Puts {
    /// Sets `key` to `value`.
    fn put(&mut self, family: Family, key: &[u8], value: &[u8]);
    /// Removes `key`, which need not be there.
    fn delete(&mut self, family: Family, key: &[u8]);
}

/// Why the store did not answer, sorted by what the caller should do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk or the file system failed: stop what depends on it, and tell the operator.
    #[error("the store failed to {action}: {reason}; check the disk under data_dir (space, permissions, kernel log)")]
    Io {
        /// What was being done.
        action: &'static str,
        /// RocksDB's or the system's words.
        reason: String,
    },
    /// A value cannot be read: a bug, or a damaged disk. Retrying does not help.
    #[error("the value of {family}/{key} cannot be read: {reason}; restore data_dir from a backup, or report this as a bug")]
    Corrupt {
        /// Where.
        family: Family,
        /// The key in hexadecimal.
        key: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// An append has an unknown outcome and the store has not been opened again yet: retry later.
    #[error("the store is closed while a failed write is being resolved; retry when the engine is ready again")]
    Closed,
    /// An append expected another last sequence: its writer is not the store's only one. Stop writing.
    #[error(
        "append refused: it expects sequence {expected} as the last one, the store has {found}; another writer appended, so this one must stop"
    )]
    Sequence {
        /// What the append named.
        expected: u64,
        /// What the store has.
        found: u64,
    },
}

impl StoreError {
    /// A value of `family` under `key` that cannot be read, and why.
    #[must_use]
    pub fn corrupt(family: Family, key: &[u8], reason: impl fmt::Display) -> Self {
        Self::Corrupt { family, key: alloy::primitives::hex::encode(key), reason: reason.to_string() }
    }
}
