//! RocksDB's settings, from a tuning profile.
//!
//! A profile is a TOML file in `profiles/`; `profiles/default.toml` is built in and explains each setting. Every setting must be
//! given and an unknown one is an error, so a profile says all that it means. What durability rests on is not a setting: see
//! [`rocks`](crate::rocks).

use std::{fs, path::Path};

use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel};
use serde::Deserialize;

use crate::store::Family;

/// The profile that is built in.
const DEFAULT: &str = include_str!("../../profiles/default.toml");

/// Why a profile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The file cannot be read.
    #[error("cannot read the storage profile {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Not TOML, or a setting that is unknown, missing or of the wrong type. The message has line and key.
    #[error("storage profile {path}: {reason}")]
    Invalid {
        /// The file.
        path: String,
        /// What is wrong, with line and key.
        reason: String,
    },
}

/// RocksDB's settings; [`Options::default`] is the profile that is built in.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// For the database as a whole.
    pub database: DatabaseOptions,
    /// For families whose keys arrive in order.
    pub ordered: FamilyOptions,
    /// For families whose keys arrive in any order.
    pub scattered: FamilyOptions,
    /// For families that are hardly written.
    pub small: FamilyOptions,
}

/// Settings of the database as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseOptions {
    /// Threads for flushes and compactions.
    pub background_threads: u16,
    /// Bytes of all memtables together.
    pub memtables_bytes_max: usize,
    /// Bytes of all log files together.
    pub wal_bytes_max: u64,
    /// Log files kept to be written over.
    pub wal_recycled_files: usize,
    /// Bytes of blocks, indexes and filters in memory.
    pub block_cache_bytes: usize,
    /// Step, in bytes, in which table files are handed to the disk.
    pub bytes_per_sync: u64,
    /// Table files kept open.
    pub open_files_max: u16,
}

/// Settings of one kind of family.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyOptions {
    /// Bytes of a memtable before it is flushed.
    pub memtable_bytes: usize,
    /// Memtables held, the one written to included.
    pub memtables_max: u16,
    /// Part of a memtable given to a filter for absent keys; 0 for none.
    pub memtable_filter_ratio: f64,
    /// Bits for each key in the filters of table files.
    pub filter_bits_per_key: f64,
    /// Bytes of a block before compression.
    pub block_bytes: usize,
    /// Compression of table files.
    pub compression: Compression,
    /// Flushed files that start a compaction.
    pub level0_files: u16,
    /// Bytes of the first level that is kept sorted.
    pub level_base_bytes: u64,
    /// Bytes of a table file below level 0.
    pub file_bytes: u64,
}

/// Compression of table files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As they are.
    None,
    /// LZ4: fast, about half for rows, little for hashes.
    Lz4,
}

impl Default for Options {
    fn default() -> Self {
        toml::from_str(DEFAULT).expect("the built-in profile is read by a test")
    }
}

impl Options {
    /// The profile in the file `path`.
    ///
    /// # Errors
    /// When it cannot be read, or a setting is unknown, missing or of the wrong type.
    pub fn load(path: &Path) -> Result<Self, OptionsError> {
        let name = || path.display().to_string();
        let text = fs::read_to_string(path).map_err(|source| OptionsError::Read { path: name(), source })?;
        toml::from_str(&text).map_err(|error| OptionsError::Invalid { path: name(), reason: error.to_string() })
    }

    /// The settings of the database for RocksDB.
    pub(crate) fn database(&self) -> rocksdb::Options {
        let settings = &self.database;
        let mut options = rocksdb::Options::default();
        options.set_max_background_jobs(i32::from(settings.background_threads));
        options.set_db_write_buffer_size(settings.memtables_bytes_max);
        options.set_max_total_wal_size(settings.wal_bytes_max);
        options.set_recycle_log_file_num(settings.wal_recycled_files);
        options.set_bytes_per_sync(settings.bytes_per_sync);
        options.set_max_open_files(i32::from(settings.open_files_max));
        // The mode that goes with recycled logs and survives every torn tail; `rocks` says why.
        options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
        options.set_track_and_verify_wals_in_manifest(true);
        // One thread writes, so what lets several insert at once is only cost.
        options.set_allow_concurrent_memtable_write(false);
        options.set_enable_write_thread_adaptive_yield(false);
        // RocksDB's own log: what goes wrong, in a few files, and no statistics thread.
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(4);
        options.set_stats_dump_period_sec(0);
        options.set_stats_persist_period_sec(0);
        options.set_skip_stats_update_on_db_open(true);
        options
    }

    /// The settings of `family` for RocksDB, with the block cache that all families share.
    pub(crate) fn family(&self, family: Family, cache: &Cache) -> rocksdb::Options {
        let settings = match family {
            Family::Transactions | Family::Attempts | Family::ByAddress | Family::Heads | Family::Receipts => &self.ordered,
            Family::ByHash | Family::Idempotency => &self.scattered,
            Family::Failures | Family::Rivals | Family::Meta => &self.small,
        };
        settings.build(cache)
    }

    /// The block cache that all families share.
    pub(crate) fn block_cache(&self) -> Cache {
        Cache::new_lru_cache(self.database.block_cache_bytes)
    }
}

impl FamilyOptions {
    fn build(&self, cache: &Cache) -> rocksdb::Options {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(cache);
        table.set_block_size(self.block_bytes);
        table.set_bloom_filter(self.filter_bits_per_key, false);
        // Filters and indexes grow with the history. In the cache they are bounded, and in parts of a block's size they do not push
        // each other out of it: a whole file's filter is larger than a shard of the cache.
        table.set_cache_index_and_filter_blocks(true);
        table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
        table.set_partition_filters(true);
        table.set_pin_top_level_index_and_filter(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        let mut options = rocksdb::Options::default();
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_size(self.memtable_bytes);
        options.set_max_write_buffer_number(i32::from(self.memtables_max));
        options.set_memtable_prefix_bloom_ratio(self.memtable_filter_ratio);
        options.set_memtable_whole_key_filtering(self.memtable_filter_ratio > 0.0);
        options.set_compression_type(match self.compression {
            Compression::None => DBCompressionType::None,
            Compression::Lz4 => DBCompressionType::Lz4,
        });
        options.set_level_zero_file_num_compaction_trigger(i32::from(self.level0_files));
        options.set_max_bytes_for_level_base(self.level_base_bytes);
        options.set_target_file_size_base(self.file_bytes);
        options
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_profile_is_read() {
        assert!(Options::default().database.memtables_bytes_max > 0);
    }

    #[test]
    fn an_unknown_setting_is_an_error_with_line_and_key() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("profile.toml");
        fs::write(&path, DEFAULT.replace("wal_bytes_max", "wal_byte_max")).expect("written");
        let error = Options::load(&path).expect_err("refused").to_string();
        assert!(error.contains("wal_byte_max") && error.contains("line"), "{error}");
    }
}
