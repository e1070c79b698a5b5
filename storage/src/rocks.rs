//! The store in production: RocksDB, one column family for each [`Family`].
//!
//! ```text
//!   append(expected, records)
//!      │ is `expected` the last sequence?  no ─► Refused
//!      ▼
//!   project each record ─► one WriteBatch in the order of keys, the new sequence in it ─► log, fsync ─► memtables ─► Durable
//!                                                                     └─ error ─► Unknown, closed until `reopen`
//! ```
//!
//! **What durability rests on** (no setting changes it). The log is always on and every batch is synced before `append` returns. A
//! batch is one log record with a checksum, so after a crash it is there as a whole or not at all, over all families; that is why
//! `atomic_flush` is not needed.
//!
//! **Recovery mode: point in time, with recycled logs.** Reading the log ends at the first record that is not whole. A torn tail is by
//! construction behind everything that was synced, so nothing acknowledged is lost, whatever the tail looks like: cut short, zeros
//! (blocks allocated and not written), or the old content of a recycled file. The stricter modes
//! accept only a tail that is cut short: they refuse to open after a power loss that left zeros, and RocksDB turns recycling off under
//! them. What point in time cannot tell from a torn tail is a record damaged later in the middle of the newest log, by the disk; that
//! much log is at most `memtables_bytes_max`, and finished logs are checked against the manifest.
//!
//! **After a failed write.** The batch may be in the log's cached pages though its sync failed. Opening again reads the log, and RocksDB
//! writes what it read into table files and syncs those before it opens, so the sequence that `reopen` tells is durable even when
//! the log's own pages never reach the disk.
//!
//! **One process.** `millrace.lock` in the directory is locked while the store is open, also while it is reopened; the lock goes with the
//! process, however it ends.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use rocksdb::{ColumnFamily, ColumnFamilyDescriptor, DB, ReadOptions, WaitForCompactOptions, WriteBatch, WriteOptions};

use crate::{
    batch::Batch,
    keys,
    options::Options,
    project::{Scratch, project_all},
    record::Record,
    store::{Append, Direction, Family, Pair, Puts, Store, StoreError},
};

/// Version of the families' layout as a whole. A store with a newer one is not opened. Rows have versions of their own.
pub const SCHEMA_VERSION: u32 = 4;

/// Locked by the process that has the store open.
const LOCK_FILE: &str = "millrace.lock";
/// RocksDB creates this family by itself; nothing is kept in it.
const ROCKSDB_DEFAULT: &str = "default";

/// Why a directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it open.
    #[error("data directory {dir} is in use by another process; stop that process, or choose another data_dir")]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// Written by a newer millrace.
    #[error(
        "data directory {dir} has schema version {found}, and this millrace knows versions up to {supported}; run the newer millrace that wrote it, or choose another data_dir"
    )]
    NewerVersion {
        /// The directory.
        dir: PathBuf,
        /// Its version.
        found: u32,
        /// The newest this crate knows.
        supported: u32,
    },
    /// A RocksDB that millrace did not write.
    #[error("data directory {dir} holds a database that is not millrace's (it has the column family {family}); choose another data_dir")]
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// A family millrace does not have.
        family: String,
    },
    /// The file system or RocksDB failed.
    #[error("cannot open data directory {dir}: {reason}; check that it exists, is writable and has space")]
    Io {
        /// The directory.
        dir: PathBuf,
        /// The system's or RocksDB's words.
        reason: String,
    },
}

/// RocksDB as a [`Store`]. Clones share it; it closes with the last one.
#[derive(Clone)]
pub struct RocksStore(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    options: Options,
    /// `None` while it could not be opened again.
    db: RwLock<Option<DB>>,
    log: Mutex<Log>,
    batch_bytes: AtomicU64,
    /// Keeps the directory locked.
    _lock: File,
}

/// What the writing side keeps from append to append.
struct Log {
    /// Sequence of the last append; `None` from an unknown append until the store has been reopened.
    sequence: Option<u64>,
    /// Sequence of the last ending; what it is after an unknown append, the reopening tells.
    last_ending: u64,
    scratch: Scratch,
    batch: Batch,
    /// Capacity for the next batch: what the last one needed.
    capacity: usize,
}

impl RocksStore {
    /// Opens the store in `dir`, which is created when it is not there.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing in the directory is changed when it is in use, foreign or of a newer version.
    pub fn open(dir: &Path, options: &Options) -> Result<Self, OpenError> {
        let failed = |reason: String| OpenError::Io { dir: dir.to_owned(), reason };
        fs::create_dir_all(dir).map_err(|error| failed(error.to_string()))?;
        let lock = lock(dir)?;
        let db = open_database(dir, options)?;
        let sequence = number(&db, keys::META_SEQUENCE).map_err(|error| failed(error.to_string()))?;
        let last_ending = number(&db, keys::META_ENDINGS).map_err(|error| failed(error.to_string()))?;
        let log = Log { sequence: Some(sequence), last_ending, scratch: Scratch::default(), batch: Batch::default(), capacity: 0 };
        Ok(Self(Arc::new(Inner {
            dir: dir.to_owned(),
            options: options.clone(),
            db: RwLock::new(Some(db)),
            log: Mutex::new(log),
            batch_bytes: AtomicU64::new(0),
            _lock: lock,
        })))
    }

    /// Bytes of all batches appended since the store was opened: what the log was given.
    #[must_use]
    pub fn log_bytes_total(&self) -> u64 {
        self.0.batch_bytes.load(Ordering::Relaxed)
    }

    /// Writes all memtables to table files and waits until compactions rest. Not needed for durability: for measuring, and before a
    /// copy.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn settle(&self) -> Result<(), StoreError> {
        self.reading(|db| {
            let mut options = WaitForCompactOptions::default();
            options.set_flush(true);
            db.wait_for_compact(&options).map_err(|error| io("compact", &error))
        })
    }

    fn reading<T>(&self, read: impl FnOnce(&DB) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let db: RwLockReadGuard<'_, Option<DB>> = self.0.db.read();
        read(db.as_ref().ok_or(StoreError::Closed)?)
    }

    fn write(&self, log: &mut Log, sequence: u64, records: &[Record]) -> Append {
        let db = self.0.db.read();
        let Some(db) = db.as_ref() else {
            return Append::Refused(StoreError::Closed);
        };
        let last_ending = project_all(records, log.last_ending, &mut log.scratch, &mut log.batch);
        log.batch.put(Family::Meta, keys::META_SEQUENCE, &sequence.to_be_bytes());
        let mut batch = WriteBatch::with_capacity_bytes(log.capacity);
        log.batch.drain_to(|family| handle(db, family), &mut batch);
        log.capacity = batch.size_in_bytes();
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        match db.write_opt(batch, &synced) {
            Ok(()) => {
                self.0.batch_bytes.fetch_add(log.capacity as u64, Ordering::Relaxed);
                log.last_ending = last_ending;
                Append::Durable { sequence }
            }
            Err(error) => Append::Unknown(io("append", &error)),
        }
    }
}

impl Store for RocksStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.reading(|db| db.get_cf(handle(db, family), key).map_err(|error| io("read", &error)))
    }

    fn get_many(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.reading(|db| {
            db.batched_multi_get_cf(handle(db, family), keys, false)
                .into_iter()
                .map(|value| Ok(value.map_err(|error| io("read", &error))?.map(|v| v.to_vec())))
                .collect()
        })
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Result<Vec<Pair>, StoreError> {
        if from >= to || limit == 0 {
            return Ok(Vec::new());
        }
        self.reading(|db| {
            let mut cursor = db.raw_iterator_cf_opt(handle(db, family), between(from, to));
            match direction {
                Direction::Forward => cursor.seek_to_first(),
                Direction::Backward => cursor.seek_to_last(),
            }
            let mut pairs = Vec::new();
            while let Some((key, value)) = cursor.item() {
                pairs.push((key.into(), value.into()));
                if pairs.len() == limit {
                    break;
                }
                match direction {
                    Direction::Forward => cursor.next(),
                    Direction::Backward => cursor.prev(),
                }
            }
            cursor.status().map_err(|error| io("scan", &error))?;
            Ok(pairs)
        })
    }

    fn scan_keys(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Box<[u8]>>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        self.reading(|db| {
            let mut cursor = db.raw_iterator_cf_opt(handle(db, family), between(from, to));
            cursor.seek_to_first();
            let mut keys = Vec::new();
            while let Some(key) = cursor.key().filter(|_| keys.len() < limit) {
                keys.push(key.into());
                cursor.next();
            }
            cursor.status().map_err(|error| io("scan", &error))?;
            Ok(keys)
        })
    }

    fn append(&self, expected: u64, records: &[Record]) -> Append {
        let mut log = self.0.log.lock();
        let Some(found) = log.sequence else {
            return Append::Refused(StoreError::Closed);
        };
        if found != expected {
            return Append::Refused(StoreError::Sequence { expected, found });
        }
        let append = self.write(&mut log, expected + 1, records);
        match append {
            Append::Durable { sequence } => log.sequence = Some(sequence),
            Append::Unknown(_) => log.sequence = None,
            Append::Refused(_) => {}
        }
        append
    }

    fn reopen(&self) -> Result<u64, StoreError> {
        let mut log = self.0.log.lock();
        let mut db = self.0.db.write();
        log.sequence = None;
        // Closed before it is opened again: a database whose log failed stays failed.
        drop(db.take());
        let opened = open_database(&self.0.dir, &self.0.options)
            .map_err(|error| StoreError::Io { action: "open again", reason: error.to_string() })?;
        let sequence = number(&opened, keys::META_SEQUENCE)?;
        log.last_ending = number(&opened, keys::META_ENDINGS)?;
        *db = Some(opened);
        log.sequence = Some(sequence);
        Ok(sequence)
    }

    fn sequence(&self) -> Result<u64, StoreError> {
        self.0.log.lock().sequence.ok_or(StoreError::Closed)
    }
}

fn handle(db: &DB, family: Family) -> &ColumnFamily {
    db.cf_handle(family.name()).expect("opening a store opens or creates every family")
}

fn between(from: &[u8], to: &[u8]) -> ReadOptions {
    let mut bounds = ReadOptions::default();
    bounds.set_iterate_lower_bound(from);
    bounds.set_iterate_upper_bound(to);
    bounds
}

fn io(action: &'static str, error: &rocksdb::Error) -> StoreError {
    StoreError::Io { action, reason: error.to_string() }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let failed = |error: std::io::Error| OpenError::Io { dir: dir.to_owned(), reason: format!("{LOCK_FILE}: {error}") };
    let file = File::options().create(true).truncate(false).write(true).open(dir.join(LOCK_FILE)).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// Opens the families that are there, checks whose they are, and only then creates the missing ones.
fn open_database(dir: &Path, options: &Options) -> Result<DB, OpenError> {
    let failed = |error: rocksdb::Error| OpenError::Io { dir: dir.to_owned(), reason: error.to_string() };
    let cache = options.block_cache();
    let mut database = options.database();
    let present = if dir.join("CURRENT").exists() {
        DB::list_cf(&database, dir).map_err(failed)?
    } else {
        database.create_if_missing(true);
        vec![ROCKSDB_DEFAULT.to_owned()]
    };
    let ours = |name: &str| Family::ALL.into_iter().find(|family| family.name() == name);
    let descriptors = present.iter().map(|name| {
        // RocksDB's own family is empty: the settings of a small one.
        let family = ours(name).unwrap_or(Family::Meta);
        ColumnFamilyDescriptor::new(name, options.family(family, &cache))
    });
    let mut db = DB::open_cf_descriptors(&database, dir, descriptors).map_err(failed)?;
    let schema = schema_version(&db).map_err(failed)?;
    if let Some(found) = schema.filter(|found| *found > SCHEMA_VERSION) {
        return Err(OpenError::NewerVersion { dir: dir.to_owned(), found, supported: SCHEMA_VERSION });
    }
    let stranger = present.iter().find(|name| ours(name).is_none() && *name != ROCKSDB_DEFAULT);
    if let Some(family) = stranger {
        return Err(OpenError::Foreign { dir: dir.to_owned(), family: family.clone() });
    }
    for family in Family::ALL {
        if db.cf_handle(family.name()).is_none() {
            db.create_cf(family.name(), &options.family(family, &cache)).map_err(failed)?;
        }
    }
    if schema != Some(SCHEMA_VERSION) {
        let mut synced = WriteOptions::default();
        synced.set_sync(true);
        let version = SCHEMA_VERSION.to_be_bytes();
        db.put_cf_opt(handle(&db, Family::Meta), keys::META_SCHEMA, version, &synced).map_err(failed)?;
    }
    Ok(db)
}

/// The schema version on disk; `None` in a directory that was never opened to the end.
fn schema_version(db: &DB) -> Result<Option<u32>, rocksdb::Error> {
    let Some(meta) = db.cf_handle(Family::Meta.name()) else {
        return Ok(None);
    };
    let value = db.get_cf(meta, keys::META_SCHEMA)?;
    // A value of another length can only come from a version that changed it.
    Ok(value.map(|value| value.as_slice().try_into().map_or(u32::MAX, u32::from_be_bytes)))
}

/// A number of `meta` on disk; 0 before the first append that wrote it.
fn number(db: &DB, key: &[u8]) -> Result<u64, StoreError> {
    let value = db.get_cf(handle(db, Family::Meta), key).map_err(|error| io("read the sequence", &error))?;
    match value {
        None => Ok(0),
        Some(value) => {
            value.as_slice().try_into().map(u64::from_be_bytes).map_err(|_| StoreError::corrupt(Family::Meta, key, "it is not 8 bytes"))
        }
    }
}
