//! Tuning profiles: settings for a kind of machine or load, below what the operator says himself.
//!
//! `profile` names one of those that are built in, or a file. A profile is a configuration file of the sections in [`SECTIONS`];
//! what it leaves out is as in `profiles/default.toml`. Fails where the name is unknown, or the file cannot be read or says what no
//! profile may.

use std::path::{Path, PathBuf};

use super::load::check_file;
use super::{Config, ConfigError};

/// The profiles that are built in, and their files.
pub const BUILT_IN: [(&str, &str); 5] = [
    ("default", include_str!("../../../profiles/default.toml")),
    ("laptop", include_str!("../../../profiles/laptop.toml")),
    ("latency", include_str!("../../../profiles/latency.toml")),
    ("throughput", include_str!("../../../profiles/throughput.toml")),
    ("many-addresses", include_str!("../../../profiles/many-addresses.toml")),
];

/// What a profile may set. Keys, prices, what is logged and where the data is are the operator's business.
const SECTIONS: [&str; 6] = ["api", "node", "shards", "storage", "txmgr", "writer"];

/// The settings of the profile of this name, or in this file.
pub(super) fn read(named: &str) -> Result<toml::Table, ConfigError> {
    let fail = |reason: String| ConfigError::Profile { named: named.to_owned(), reason };
    let (path, text) = match BUILT_IN.iter().find(|(name, _)| *name == named) {
        Some((name, text)) => (PathBuf::from(format!("profiles/{name}.toml (built in)")), (*text).to_owned()),
        None if is_path(named) => {
            let path = PathBuf::from(named);
            let text = std::fs::read_to_string(&path)
                .map_err(|error| fail(format!("cannot read this file: {error}; give an existing one, or a name: {}", names())))?;
            (path, text)
        }
        None => {
            return Err(fail(format!(
                "there is no profile of this name; there are {}, or give the path of a file: ./{named}.toml",
                names()
            )));
        }
    };
    check_file::<Config>(&path, &text)?;
    let table = check_file::<toml::Table>(&path, &text)?;
    match table.keys().find(|key| !SECTIONS.contains(&key.as_str())) {
        Some(key) => Err(fail(format!("a profile cannot set `{key}`, only {}: put it into the configuration file", SECTIONS.join(", ")))),
        None => Ok(table),
    }
}

/// What is no bare word is a path.
fn is_path(named: &str) -> bool {
    named.contains('/') || Path::new(named).extension().is_some_and(|extension| extension == "toml")
}

fn names() -> String {
    BUILT_IN.map(|(name, _)| name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "data_dir = \"d\"\nnode.url = \"http://127.0.0.1:8545\"\nkeys.file = \"keys.txt\"\n";

    fn load(text: &str, sets: &[&str]) -> Result<Config, ConfigError> {
        let sets: Vec<_> = sets.iter().map(|set| (*set).to_owned()).collect();
        Config::merge(Path::new("millrace.toml"), &format!("{GOOD}{text}"), std::iter::empty(), &sets)
    }

    fn load_file(profile: &str) -> Result<Config, ConfigError> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let file = directory.path().join("mine.toml");
        std::fs::write(&file, profile).expect("written");
        load("", &[&format!("profile={}", file.display())])
    }

    #[test]
    fn every_profile_that_is_built_in_is_good_and_none_but_the_default_is_the_default() {
        let plain = Config::default();
        for (name, _) in BUILT_IN {
            let config = load("", &[&format!("profile={name}")]).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(config.profile, name);
            let same = format!("{:?}", (&config.storage, &config.shards, &config.writer, &config.api, &config.txmgr))
                == format!("{:?}", (&plain.storage, &plain.shards, &plain.writer, &plain.api, &plain.txmgr));
            assert_eq!(same, name == "default", "{name}");
        }
    }

    #[test]
    fn the_file_and_flags_win_over_the_profile_and_the_profile_over_the_default() {
        let own = "[shards]\nmailbox = 7\n[storage.database]\nbackground_threads = 3\n";
        let config = load(own, &["profile=throughput", "storage.ordered.level0_files=9"]).expect("good settings");
        let profile = load("", &["profile=throughput"]).expect("good settings");
        assert_eq!((config.shards.mailbox, config.storage.database.background_threads, config.storage.ordered.level0_files), (7, 3, 9));
        assert_ne!(config.node.batch_calls, Config::default().node.batch_calls);
        assert_eq!(config.node.batch_calls, profile.node.batch_calls);
        assert_eq!(config.storage.small, storage::Options::default().small);
    }

    #[test]
    fn a_profile_of_ones_own_is_a_file_and_what_it_leaves_out_is_the_default() {
        let config = load_file("shards.run = 11\nstorage.scattered.memtable_bytes = 1000000\n").expect("good settings");
        assert_eq!((config.shards.run, config.storage.scattered.memtable_bytes), (11, 1_000_000));
        let mut rest = config.storage;
        rest.scattered.memtable_bytes = storage::Options::default().scattered.memtable_bytes;
        assert_eq!(rest, storage::Options::default());
    }

    #[test]
    fn an_unknown_name_is_told_which_there_are() {
        let error = load("profile = \"fast\"\n", &[]).expect_err("no such profile").to_string();
        for part in ["profile = \"fast\"", "default, laptop, latency, throughput, many-addresses", "./fast.toml"] {
            assert!(error.contains(part), "{part} in {error}");
        }
    }

    #[test]
    fn a_bad_file_is_named_with_line_and_key() {
        let missing = load("", &["profile=./nowhere.toml"]).expect_err("no file").to_string();
        assert!(missing.contains("./nowhere.toml") && missing.contains("cannot read"), "{missing}");
        let unknown = load_file("[storage.database]\n\nwal_byte_max = 1\n").expect_err("unknown").to_string();
        assert!(unknown.contains("mine.toml:3:1: key `storage.database.wal_byte_max`"), "{unknown}");
        let keys = load_file("keys.file = \"k\"\n").expect_err("not a profile's").to_string();
        assert!(keys.contains("`keys`") && keys.contains("configuration file"), "{keys}");
        let bad = load_file("storage.database.background_threads = 0\n").expect_err("out of range").to_string();
        assert!(bad.contains("storage.database.background_threads = 0"), "{bad}");
    }
}
