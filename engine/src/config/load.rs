//! From file, environment and flags to one [`Config`].
//!
//! Fails with [`ConfigError`]: each names where the wrong setting stands and which it is. What was found under `keys`
//! is never repeated in an error: it may be a secret in the wrong place.

use std::ops::Range;
use std::path::{Path, PathBuf};

use figment::providers::Serialized;
use figment::util::nest;
use figment::value::{Dict, Map, Value};
use figment::{Figment, Metadata, Profile, Provider};
use thiserror::Error;

use super::{Config, profile};
use crate::point;

/// Environment variables that begin so are settings: `MILLRACE_API__LISTEN` is `api.listen`.
const ENVIRONMENT_PREFIX: &str = "MILLRACE_";

/// A setting that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {}: {source}; give an existing file with --config", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file has a syntax error, an unknown key, or a value of the wrong type.
    #[error("{}:{line}:{column}: {}{message}", path.display(), key_prefix(key))]
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// Dotted key; empty where the text is not TOML at all.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// An environment variable or a `--set` flag has an unknown key or a value of the wrong type.
    #[error("{origin}: {}{message}", key_prefix(key))]
    Setting {
        /// Where it was given.
        origin: String,
        /// Dotted key.
        key: String,
        /// What is wrong.
        message: String,
    },
    /// The tuning profile is unknown, or sets what it may not.
    #[error("profile = \"{named}\": {reason}")]
    Profile {
        /// Name or path, as it was given.
        named: String,
        /// What is wrong, and what there is.
        reason: String,
    },
    /// The settings do not work together; one line for each finding.
    #[error("{}", .0.join("\n"))]
    Invalid(Vec<String>),
}

fn key_prefix(key: &str) -> String {
    if key.is_empty() { String::new() } else { format!("key `{key}`: ") }
}

impl Config {
    /// Reads `file`, then the environment, then `sets` (`section.key=value`); a later one wins. Below them is the profile that they name.
    /// Checks the whole.
    pub fn load(file: &Path, sets: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Read { path: file.to_owned(), source })?;
        let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let settings = environment.filter(|(name, _)| Some(name.as_str()) != point::VARIABLE);
        Self::merge(file, &text, settings, sets)
    }

    /// [`Config::load`] with everything it reads given.
    pub(crate) fn merge(
        file: &Path,
        text: &str,
        environment: impl Iterator<Item = (String, String)>,
        sets: &[String],
    ) -> Result<Self, ConfigError> {
        check_file::<Self>(file, text)?;
        let table = check_file::<toml::Table>(file, text)?;
        let mut own = Figment::from(Serialized::defaults(table));
        for setting in environment_settings(environment) {
            own = own.merge(setting);
        }
        for set in sets {
            own = own.merge(Setting::from_flag(set)?);
        }
        let figment = match own.find_value("profile") {
            Ok(_) => layers(&own.extract_inner::<String>("profile").map_err(|error| setting_error(&error))?)?.merge(own),
            Err(_) => layers(&Self::default().profile)?.merge(own),
        };
        let config: Self = figment.extract().map_err(|error| setting_error(&error))?;
        config.validate().map_err(ConfigError::Invalid)?;
        Ok(config)
    }
}

/// What stands below the operator's own settings.
fn layers(profile: &str) -> Result<Figment, ConfigError> {
    let default = profile::read(&Config::default().profile)?;
    Ok(Figment::from(Serialized::defaults(default)).merge(Serialized::defaults(profile::read(profile)?)))
}

/// Reads the file by itself: only here are line and column known.
pub(super) fn check_file<T: serde::de::DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    let fail = |key: String, span: Option<Range<usize>>, message: &str| {
        let (line, column) = position(text, span.map_or(0, |span| span.start));
        let message = redact(&key, message);
        ConfigError::File { path: path.to_owned(), line, column, key: shown(&key).into(), message }
    };
    let deserializer = toml::Deserializer::parse(text).map_err(|error| fail(String::new(), error.span(), error.message()))?;
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let key = error.path().to_string();
        let key = if key == "." { String::new() } else { key };
        fail(key, error.inner().span(), error.inner().message())
    })
}

/// Line and column, from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The settings of the section whose keys and values are not repeated.
const KEYS_SETTINGS: [&str; 3] = ["keys.file", "keys.mnemonic", "keys.count"];

/// Whether this key is in the section where anything may be a secret in the wrong place.
fn is_secret(key: &str) -> bool {
    key.split('.').next().is_some_and(|section| section.trim().eq_ignore_ascii_case("keys"))
}

/// What an error may show of a key: under `keys` only what is a setting; anything else may be words of a mnemonic.
fn shown(key: &str) -> &str {
    if is_secret(key) && !KEYS_SETTINGS.contains(&key) { "keys" } else { key }
}

/// What an error may say about a key: nothing that was found under `keys`.
fn redact(key: &str, message: &str) -> String {
    if !is_secret(key) {
        message.into()
    } else if message.contains("unknown field") {
        "has an unknown key (not repeated here, it may be a secret); there are `file`, `mnemonic` and `count`".into()
    } else {
        "has a value of the wrong type (not repeated here, it may be a secret)".into()
    }
}

/// One value from outside the file, named after where it came from.
struct Setting {
    origin: String,
    key: String,
    value: String,
}

impl Setting {
    fn from_flag(flag: &str) -> Result<Self, ConfigError> {
        let (key, value) = flag.split_once('=').ok_or_else(|| ConfigError::Setting {
            origin: "--set".into(),
            // What follows the first word may be the value.
            key: shown(flag.split_whitespace().next().unwrap_or_default()).into(),
            message: "has no value; write --set section.key=value".into(),
        })?;
        Ok(Self { origin: format!("--set {}", shown(key)), key: key.into(), value: value.into() })
    }
}

fn environment_settings(variables: impl Iterator<Item = (String, String)>) -> Vec<Setting> {
    let mut settings: Vec<_> = variables
        .filter_map(|(name, value)| {
            let key = name.strip_prefix(ENVIRONMENT_PREFIX)?.to_ascii_lowercase().replace("__", ".");
            let secret = shown(&key) != key;
            let name = if secret { "MILLRACE_KEYS__…" } else { name.as_str() };
            Some(Setting { origin: format!("environment variable {name}"), key, value })
        })
        .collect();
    // The order of the environment is not defined; errors and results should be.
    settings.sort_by(|a, b| a.key.cmp(&b.key));
    settings
}

impl Provider for Setting {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.origin.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        // Reads numbers and booleans as such, and everything else as a string: it cannot fail.
        let value: Value = self.value.parse().unwrap_or_else(|never| match never {});
        let dict = nest(&self.key, value).into_dict().unwrap_or_default();
        Ok(Profile::Default.collect(dict))
    }
}

fn setting_error(error: &figment::Error) -> ConfigError {
    let key = error.path.join(".");
    let origin = error.metadata.as_ref().map_or_else(|| "settings".into(), |metadata| metadata.name.to_string());
    let message = redact(&key, &error.kind.to_string());
    ConfigError::Setting { origin, key: shown(&key).into(), message }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "data_dir = \"d\"\n[node]\nurl = \"http://127.0.0.1:8545\"\n[keys]\nfile = \"keys.txt\"\n";

    fn load(text: &str, environment: &[(&str, &str)], sets: &[&str]) -> Result<Config, ConfigError> {
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let sets: Vec<_> = sets.iter().map(|set| (*set).to_owned()).collect();
        Config::merge(Path::new("millrace.toml"), text, environment, &sets)
    }

    fn error(text: &str, environment: &[(&str, &str)], sets: &[&str]) -> String {
        load(text, environment, sets).expect_err("the settings must be refused").to_string()
    }

    #[test]
    fn flags_win_over_the_environment_and_the_environment_over_the_file() {
        let text = format!("{GOOD}[api]\nlisten = \"127.0.0.1:1\"\nmax_batch = 1\nmax_body_bytes = 2000\n");
        let environment = [("MILLRACE_API__LISTEN", "127.0.0.1:2"), ("MILLRACE_API__MAX_BATCH", "2"), ("PATH", "x")];
        let config = load(&text, &environment, &["api.listen=127.0.0.1:3"]).expect("good settings");
        assert_eq!(config.api.listen, "127.0.0.1:3");
        assert_eq!(config.api.max_batch, 2);
        assert_eq!(config.api.max_body_bytes, 2000);
        assert_eq!(config.api.max_connections, 256);
    }

    #[test]
    fn what_the_file_must_say_can_come_from_outside_it() {
        let environment = [("MILLRACE_DATA_DIR", "elsewhere"), ("MILLRACE_KEYS__FILE", "keys.txt")];
        let config = load("", &environment, &["node.url=http://127.0.0.1:1"]).expect("good settings");
        assert_eq!(config.data_dir, Path::new("elsewhere"));
    }

    #[test]
    fn an_unknown_key_in_the_file_is_named_with_file_line_and_column() {
        let message = error(&format!("{GOOD}[api]\nlisen = \"127.0.0.1:1\"\n"), &[], &[]);
        assert!(message.starts_with("millrace.toml:7:1: key `api.lisen`: unknown field `lisen`"), "{message}");
        assert!(message.contains("`listen`"), "{message}");
    }

    #[test]
    fn an_unknown_section_is_named() {
        let message = error(&format!("{GOOD}[aip]\nlisten = \"127.0.0.1:1\"\n"), &[], &[]);
        assert!(message.contains("millrace.toml:6:"), "{message}");
        assert!(message.contains("unknown field `aip`"), "{message}");
    }

    #[test]
    fn a_wrong_type_in_the_file_is_named_with_file_line_and_key() {
        let message = error(&format!("{GOOD}[txmgr]\nmax_in_flight = \"many\"\n"), &[], &[]);
        assert!(message.starts_with("millrace.toml:7:17: key `txmgr.max_in_flight`: "), "{message}");
        assert!(message.contains("many"), "{message}");
    }

    #[test]
    fn broken_toml_is_named_with_file_and_line() {
        let message = error("data_dir = \n", &[], &[]);
        assert!(message.starts_with("millrace.toml:1:"), "{message}");
    }

    #[test]
    fn an_unknown_environment_variable_or_flag_is_named() {
        let message = error(GOOD, &[("MILLRACE_API__LISEN", "x")], &[]);
        assert!(message.contains("MILLRACE_API__LISEN") && message.contains("unknown field"), "{message}");
        let message = error(GOOD, &[], &["gas.percentil=3"]);
        assert!(message.contains("--set gas.percentil") && message.contains("unknown field"), "{message}");
        let message = error(GOOD, &[], &["gas.percentile"]);
        assert!(message.contains("--set section.key=value"), "{message}");
    }

    #[test]
    fn a_wrong_type_in_a_flag_names_key_and_value() {
        let message = error(GOOD, &[], &["api.max_batch=many"]);
        assert!(message.contains("api.max_batch") && message.contains("many"), "{message}");
    }

    #[test]
    fn wei_is_an_integer_or_a_decimal_string_from_every_source() {
        let text = format!("{GOOD}[gas]\nmax_fee_per_gas = 30000000000\nmax_priority_fee_per_gas = \"1000000000\"\n");
        let sets = ["gas.cap_max_fee_per_gas=340282366920938463463374607431768211455"];
        let config = load(&text, &[("MILLRACE_GAS__MAX_FEE_PER_GAS", "40000000000")], &sets).expect("good settings");
        assert_eq!(config.gas.max_fee_per_gas, Some(40_000_000_000));
        assert_eq!(config.gas.max_priority_fee_per_gas, Some(1_000_000_000));
        assert_eq!(config.gas.cap_max_fee_per_gas, Some(u128::MAX));
        let message = error(&format!("{GOOD}[gas]\nmax_fee_per_gas = \"30 gwei\"\n"), &[], &[]);
        assert!(message.contains("gas.max_fee_per_gas") && message.contains("30 gwei"), "{message}");
    }

    #[test]
    fn an_address_has_a_table_of_its_own_and_a_mistake_in_it_is_named() {
        let table = "[txmgr.addresses.\"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266\"]\n";
        let config = load(&format!("{GOOD}{table}max_in_flight = 3\n"), &[], &[]).expect("good settings");
        let own = alloy::primitives::address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
        assert_eq!((config.txmgr.max_in_flight_of(&own), config.txmgr.max_in_flight_of(&Default::default())), (3, 500));
        let zero = error(&format!("{GOOD}{table}max_in_flight = 0\n"), &[], &[]);
        assert!(zero.contains("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266") && zero.contains("max_in_flight = 0"), "{zero}");
        let unknown = error(&format!("{GOOD}{table}max_inflight = 1\n"), &[], &[]);
        assert!(unknown.contains("unknown field `max_inflight`"), "{unknown}");
        assert!(error(&format!("{GOOD}[txmgr.addresses.\"0x12\"]\nmax_in_flight = 1\n"), &[], &[]).contains("txmgr.addresses"));
    }

    #[test]
    fn what_is_in_effect_is_shown_as_settings_without_secrets() {
        let text = "data_dir = \"d\"\nkeys.mnemonic = \"hush\"\n[[node.endpoints]]\nurl = \"https://a/KEY\"\nws_url = \"wss://a/KEY\"\n[gas]\n\
                    oracle_url = \"http://b/KEY\"\noracle_max_fee = \"/fast\"\ncap_max_fee_per_gas = 7\n\
                    [txmgr.addresses.\"0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266\"]\nmax_in_flight = 3\n";
        let config = load(text, &[("MILLRACE_SHARDS__PIN", "true")], &["shards.count=3"]).expect("good settings");
        let shown = config.shown().expect("text");
        for part in [
            "profile = \"default\"",
            "url = \"https://a:443\"",
            "cap_max_fee_per_gas = \"7\"",
            "pin = true",
            "[storage.scattered]",
            "count = 3",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains("KEY") && !shown.contains("hush"), "{shown}");
        check_file::<Config>(Path::new("shown"), &shown).expect("what is shown are settings");
    }

    #[test]
    fn a_secret_never_shows_in_an_error_or_in_debug() {
        let words = "test test test test test test test test test test test junk";
        let wrong_place = error(&format!("data_dir = \"d\"\n[keys]\ncount = \"{words}\"\n"), &[], &[]);
        assert!(wrong_place.contains("keys.count") && !wrong_place.contains("junk"), "{wrong_place}");
        let wrong_place = error(GOOD, &[("MILLRACE_KEYS__COUNT", words)], &[]);
        assert!(wrong_place.contains("MILLRACE_KEYS__COUNT") && !wrong_place.contains("junk"), "{wrong_place}");
        let unclosed = error(&format!("data_dir = \"d\"\n[keys]\nmnemonic = \"{words}\n"), &[], &[]);
        assert!(!unclosed.contains("junk"), "{unclosed}");
        for (text, environment, set) in [
            (format!("data_dir = \"d\"\n[keys]\n\"{words}\" = 1\n"), ("X", ""), "api.readers=1"),
            (format!("data_dir = \"d\"\n[keys]\n{words}\n"), ("X", ""), "api.readers=1"),
            (format!("data_dir = \"d\"\nkeys = \"{words}\"\n"), ("X", ""), "api.readers=1"),
            (GOOD.to_owned(), ("MILLRACE_KEYS__TEST TEST JUNK", "1"), "api.readers=1"),
            (GOOD.to_owned(), ("X", ""), "keys.mnemonic test test junk"),
            (GOOD.to_owned(), ("X", ""), "keys test test junk"),
            (GOOD.to_owned(), ("X", ""), "keys.test test junk=1"),
            (GOOD.to_owned(), ("X", ""), "keys.mnemonic.test test junk=1"),
            (GOOD.to_owned(), ("X", ""), "keys=test test junk"),
        ] {
            let told = error(&text, &[environment], &[set]);
            assert!(told.contains("keys") || told.contains("millrace.toml:3:"), "{told}");
            assert!(!told.to_lowercase().contains("junk"), "{told}");
        }
        let text = "data_dir = \"d\"\n[node]\nurl = \"http://127.0.0.1:8545\"\n";
        let config = load(text, &[("MILLRACE_KEYS__MNEMONIC", words)], &[]).expect("good settings");
        let debug = format!("{config:?}");
        assert!(debug.contains("redacted") && !debug.contains("junk"), "{debug}");
    }
}
