//! RocksDB's settings, from a tuning profile.
//!
//! A profile is a TOML file in `profiles/`, and what is here is its section `storage`. `profiles/default.toml` is built in and explains
//! each setting; what another profile leaves out is as there, and an unknown setting is an error. What durability rests on is not a
//! setting: see [`rocks`](crate::rocks).

use std::{fmt::Display, fs, path::Path};

use figment::{Figment, providers::Serialized};
use rocksdb::{BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel};
use serde::{Deserialize, Serialize};

use crate::store::Family;

/// The profile that is built in.
const DEFAULT: &str = include_str!("../../profiles/default.toml");

const MIB: usize = 1024 * 1024;

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
    /// Not TOML, or a setting that is unknown or of the wrong type. The message has line and key.
    #[error("storage profile {path}: {reason}")]
    Invalid {
        /// The file.
        path: String,
        /// What is wrong, with line and key.
        reason: String,
    },
}

/// RocksDB's settings; [`Options::default`] is the profile that is built in.
///
/// What is read of a part of them has nothing (0) where the part is silent. That serves to find what is wrong with a part; what is used
/// has been laid over the built-in profile, and [`Options::problems`] tells of a nothing.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Options {
    /// For the database as a whole.
    #[serde(default)]
    pub database: DatabaseOptions,
    /// For families whose keys arrive in order.
    #[serde(default)]
    pub ordered: FamilyOptions,
    /// For families whose keys arrive in any order.
    #[serde(default)]
    pub scattered: FamilyOptions,
    /// For families that are hardly written.
    #[serde(default)]
    pub small: FamilyOptions,
}

/// Settings of the database as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
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
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As they are.
    #[default]
    None,
    /// LZ4: fast, about half for rows, little for hashes.
    Lz4,
}

/// What is read of a profile here, to find what is wrong with it; its other sections are for others.
#[derive(Deserialize)]
struct Profile {
    #[serde(default, rename = "storage")]
    _storage: Options,
}

impl Default for Options {
    fn default() -> Self {
        layered(&[DEFAULT]).expect("the built-in profile is read by a test")
    }
}

/// The section `storage` of these profiles, each laid over the one before it.
fn layered(profiles: &[&str]) -> Result<Options, String> {
    let mut figment = Figment::new();
    for profile in profiles {
        let table: toml::Table = toml::from_str(profile).map_err(|error| error.to_string())?;
        figment = figment.merge(Serialized::defaults(table));
    }
    figment.extract_inner("storage").map_err(|error| error.to_string())
}

impl Options {
    /// The section `storage` of the profile in the file `path`, over the profile that is built in.
    ///
    /// # Errors
    /// When it cannot be read, or a setting is unknown or of the wrong type.
    pub fn load(path: &Path) -> Result<Self, OptionsError> {
        let name = || path.display().to_string();
        let invalid = |reason| OptionsError::Invalid { path: name(), reason };
        let text = fs::read_to_string(path).map_err(|source| OptionsError::Read { path: name(), source })?;
        // By itself first: only here are line and column known.
        toml::from_str::<Profile>(&text).map_err(|error| invalid(error.to_string()))?;
        layered(&[DEFAULT, &text]).map_err(invalid)
    }

    /// What RocksDB would not take, or would quietly change: each with its key below `storage`, its value and the bound.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let database = &self.database;
        let mut problems = Problems::default();
        problems.within("database.background_threads", database.background_threads, 1, 256);
        problems.within("database.memtables_bytes_max", database.memtables_bytes_max, MIB, usize::MAX);
        problems.within("database.wal_bytes_max", database.wal_bytes_max, MIB as u64, u64::MAX);
        problems.within("database.wal_recycled_files", database.wal_recycled_files, 0, 1024);
        problems.within("database.block_cache_bytes", database.block_cache_bytes, MIB, usize::MAX);
        problems.within("database.open_files_max", database.open_files_max, 64, u16::MAX);
        for (name, family) in [("ordered", &self.ordered), ("scattered", &self.scattered), ("small", &self.small)] {
            problems.within(&format!("{name}.memtable_bytes"), family.memtable_bytes, 64 * 1024, usize::MAX);
            problems.within(&format!("{name}.memtables_max"), family.memtables_max, 2, 64);
            problems.within(&format!("{name}.memtable_filter_ratio"), family.memtable_filter_ratio, 0.0, 0.25);
            problems.within(&format!("{name}.filter_bits_per_key"), family.filter_bits_per_key, 1.0, 100.0);
            problems.within(&format!("{name}.block_bytes"), family.block_bytes, 1024, 16 * MIB);
            problems.within(&format!("{name}.level0_files"), family.level0_files, 1, 20);
            problems.within(&format!("{name}.level_base_bytes"), family.level_base_bytes, MIB as u64, u64::MAX);
            problems.within(&format!("{name}.file_bytes"), family.file_bytes, 64 * 1024, u64::MAX);
        }
        problems.0
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
            Family::Transactions | Family::Attempts | Family::ByAddress | Family::Heads | Family::Receipts | Family::Endings => {
                &self.ordered
            }
            Family::ByHash | Family::Idempotency => &self.scattered,
            Family::Failures
            | Family::Rivals
            | Family::Abis
            | Family::Dependents
            | Family::Generations
            | Family::EndedIn
            | Family::Listeners
            | Family::Sidecars
            | Family::Meta => &self.small,
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

#[derive(Default)]
struct Problems(Vec<String>);

impl Problems {
    fn within<T: PartialOrd + Display + Copy>(&mut self, key: &str, value: T, least: T, most: T) {
        if !(least..=most).contains(&value) {
            self.0.push(format!("{key} = {value} must be at least {least} and at most {most}"));
        }
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
    fn the_built_in_profile_gives_every_setting() {
        let table: toml::Table = toml::from_str(DEFAULT).expect("TOML");
        let all = toml::Table::try_from(Options::default()).expect("a table");
        assert_eq!(table["storage"].as_table().expect("a section"), &all);
        assert_eq!(Options::default().problems(), [] as [&str; 0]);
    }

    #[test]
    fn what_a_profile_leaves_out_is_as_in_the_built_in_one() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("profile.toml");
        fs::write(&path, "[storage.scattered]\nblock_bytes = 8192\n[shards]\ncount = 1\n").expect("written");
        let mut expected = Options::default();
        expected.scattered.block_bytes = 8192;
        assert_eq!(Options::load(&path).expect("a profile"), expected);
    }

    #[test]
    fn what_rocksdb_would_change_is_a_problem_with_its_value() {
        let mut options = Options::default();
        options.small.memtables_max = 1;
        options.scattered.memtable_filter_ratio = 0.5;
        options.ordered.filter_bits_per_key = f64::NAN;
        let problems = options.problems().join("; ");
        for part in ["small.memtables_max = 1", "scattered.memtable_filter_ratio = 0.5", "ordered.filter_bits_per_key = NaN"] {
            assert!(problems.contains(part), "{part} in {problems}");
        }
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
