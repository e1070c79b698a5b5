//! The sections `shards` and `writer`: threads of the hot path, where they run, and what they take at once.

use std::fmt;

use netio::Executor;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

/// From this number of cores on, shards are pinned where the settings leave it open; below it they would compete with the writer for theirs.
const PINNED_FROM_CORES: usize = 4;

/// Threads of the hot path.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShardsConfig {
    /// Number of shards; one per core where it is not given.
    pub count: Option<usize>,
    /// Whether each shard is bound to one processor: `auto` (from 4 processors on), `true` or `false`.
    pub pin: Pin,
    /// `auto`, `io_uring` (glommio) or `epoll` (tokio).
    pub executor: Executor,
    /// Most submissions a shard holds that are not on disk yet; more are refused as busy.
    pub mailbox: usize,
    /// A run of a shard ends when it has this many signatures to make or submissions taken in. What arrives meanwhile waits for its end:
    /// 256 signatures take about 5 ms.
    pub run: usize,
}

impl Default for ShardsConfig {
    fn default() -> Self {
        Self { count: None, pin: Pin::Auto, executor: Executor::Auto, mailbox: 8192, run: 256 }
    }
}

impl ShardsConfig {
    /// How many shards run where this process may use `cores` cores' worth of time.
    #[must_use]
    pub fn count_on(&self, cores: usize) -> usize {
        self.count.unwrap_or(cores)
    }
}

/// Whether shards are bound to processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pin {
    /// Where there are enough processors that the other threads find room beside the shards.
    #[default]
    Auto,
    /// Each shard to one; shards beyond their number share them.
    Always,
    /// As the system places them.
    Never,
}

impl Pin {
    /// Whether shards are bound where the process may use so many processors.
    #[must_use]
    pub fn on(self, processors: usize) -> bool {
        match self {
            Self::Auto => processors >= PINNED_FROM_CORES,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

impl<'de> Deserialize<'de> for Pin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;

        impl de::Visitor<'_> for Words {
            type Value = Pin;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"auto\", true or false")
            }

            fn visit_bool<E: de::Error>(self, pin: bool) -> Result<Pin, E> {
                Ok(if pin { Pin::Always } else { Pin::Never })
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Pin, E> {
                match word {
                    "auto" => Ok(Pin::Auto),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }
        }

        deserializer.deserialize_any(Words)
    }
}

impl Serialize for Pin {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Always => serializer.serialize_bool(true),
            Self::Never => serializer.serialize_bool(false),
        }
    }
}

/// What the submission writer puts into one append: one write to the log, one sync.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct WriterConfig {
    /// Commits of one shard that may be on their way to disk: many more than fit one append, few enough to bound memory.
    pub commits_in_flight: usize,
    /// Most records in one append, give or take a commit. What arrives meanwhile waits for its end, and it bounds what one sync carries.
    pub records_max: usize,
    /// Most bytes in one append, give or take a commit: keeps a batch of large call data well below a memtable.
    pub bytes_max: usize,
}

impl Default for WriterConfig {
    fn default() -> Self {
        let storage::AppendLimits { records_max, bytes_max } = storage::AppendLimits::default();
        Self { commits_in_flight: 256, records_max, bytes_max }
    }
}

impl WriterConfig {
    /// The limits of one append.
    #[must_use]
    pub fn limits(&self) -> storage::AppendLimits {
        storage::AppendLimits { records_max: self.records_max, bytes_max: self.bytes_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_pinned_as_told_and_else_where_there_is_room() {
        let read = |text: &str| toml::from_str::<ShardsConfig>(text).map(|shards| shards.pin);
        assert_eq!(read("pin = true").expect("a word"), Pin::Always);
        assert_eq!(read("pin = false").expect("a word"), Pin::Never);
        assert_eq!(read("pin = \"auto\"").expect("a word"), Pin::Auto);
        let error = read("pin = \"yes\"").expect_err("no such word").to_string();
        assert!(error.contains("yes") && error.contains("\"auto\", true or false"), "{error}");
        assert_eq!([Pin::Auto.on(2), Pin::Auto.on(4), Pin::Always.on(1), Pin::Never.on(64)], [false, true, true, false]);
    }
}
