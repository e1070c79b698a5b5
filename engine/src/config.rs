//! Settings: what an operator can choose, with the defaults users of such systems know.
//!
//! ```text
//! defaults → profile → file (TOML) → environment (MILLRACE_<SECTION>__<KEY>) → --set section.key=value
//!            each checked by itself        each later one wins                    → checked as a whole
//! ```
//!
//! File and profile are read by themselves first, so that an unknown key or a wrong type is reported with file, line and
//! column; then the sources are merged; then [`Config::validate`] looks at what they say together.
//! A setting that cannot work is refused at start with its key, its value and what to do: nothing is adjusted silently.

mod facade;
mod load;
mod node;
mod profile;
mod shards;
mod show;
mod validate;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use alloy::primitives::Address;
use netio::{Endpoint, EndpointError};
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize};

pub use crate::txmgr::balance::Unavailable;
pub use facade::{FacadeConfig, GivenFees, GivenNonces};
pub use load::ConfigError;
pub use node::{EndpointConfig, NodeConfig};
pub use profile::BUILT_IN;
pub use shards::{Pin, ShardsConfig, WriterConfig};

/// Everything `millrace run` is told.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Tuning profile whose settings stand below all others: one of [`BUILT_IN`], or the path of a file of one's own.
    pub profile: String,
    /// Directory of the database. Made if it is missing.
    pub data_dir: PathBuf,
    /// What is logged, and how.
    pub log: LogConfig,
    /// The JSON-RPC interface.
    pub api: ApiConfig,
    /// The interface of an Ethereum node (row E2).
    pub facade: FacadeConfig,
    /// The Ethereum node.
    pub node: NodeConfig,
    /// Where signing keys come from.
    pub keys: KeysConfig,
    /// Threads of the hot path.
    pub shards: ShardsConfig,
    /// What the submission writer does at once.
    pub writer: WriterConfig,
    /// RocksDB's settings.
    pub storage: storage::Options,
    /// Gas price sources and increases (rows A7, A8).
    pub gas: GasConfig,
    /// The public transaction manager.
    pub txmgr: TxmgrConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            profile: "default".into(),
            data_dir: PathBuf::new(),
            log: LogConfig::default(),
            api: ApiConfig::default(),
            facade: FacadeConfig::default(),
            node: NodeConfig::default(),
            keys: KeysConfig::default(),
            shards: ShardsConfig::default(),
            writer: WriterConfig::default(),
            storage: storage::Options::default(),
            gas: GasConfig::default(),
            txmgr: TxmgrConfig::default(),
        }
    }
}

impl Config {
    /// All settings as they are in effect, as TOML. Access keys and secrets are not shown.
    ///
    /// # Errors
    /// A path that is no text.
    pub fn shown(&self) -> Result<String, toml::ser::Error> {
        toml::to_string(self)
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Which events: a level, or `target=level` pairs after commas (`info,netio=debug`).
    pub filter: String,
    /// How an event is written to standard error.
    pub format: LogFormat,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Human }
    }
}

/// How a log event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One line for people.
    Human,
    /// One JSON object a line.
    Json,
}

/// The JSON-RPC interface.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ApiConfig {
    /// Address to listen on; loopback unless told otherwise. Port 0 picks a free one.
    pub listen: String,
    /// Longest request body, in bytes.
    pub max_body_bytes: u32,
    /// Most entries of a JSON-RPC batch, and most elements of one `ptx_sendTransactions`.
    pub max_batch: u32,
    /// Most open connections; further ones wait to be accepted.
    pub max_connections: u32,
    /// Threads that read the database for queries, so that no other thread waits for a disk.
    pub readers: usize,
    /// Questions that may wait for a reader; more are answered with busy.
    pub reader_queue: usize,
}

impl Default for ApiConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:7545".into(),
            max_body_bytes: 10 * 1024 * 1024,
            max_batch: 1000,
            max_connections: 256,
            readers: 2,
            reader_queue: 1024,
        }
    }
}

/// Where signing keys come from: exactly one of a file and a mnemonic.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct KeysConfig {
    /// A file with one `0x…` private key a line, or one mnemonic; `#` starts a comment.
    pub file: Option<PathBuf>,
    /// A BIP-39 mnemonic. Give it through the environment rather than in a file that others can read.
    #[serde(serialize_with = "show::secret")]
    pub mnemonic: Option<String>,
    /// How many addresses are derived from the mnemonic (`m/44'/60'/0'/0/i`).
    pub count: Option<u32>,
    /// How long a signer may take for a signature, in milliseconds, before that counts as an error. Keys in memory sign at once.
    pub sign_timeout_ms: u64,
}

impl Default for KeysConfig {
    fn default() -> Self {
        Self { file: None, mnemonic: None, count: None, sign_timeout_ms: 10_000 }
    }
}

/// Shows that there is a mnemonic, never the words.
impl fmt::Debug for KeysConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeysConfig")
            .field("file", &self.file)
            .field("mnemonic", &self.mnemonic.as_ref().map(|_| "redacted"))
            .field("count", &self.count)
            .field("sign_timeout_ms", &self.sign_timeout_ms)
            .finish()
    }
}

/// Gas price sources and increases. The first of these that is given decides: `zero`, the transaction's own price, the fixed price, the
/// cache, the oracle, the node, the last price that was good.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GasConfig {
    /// The chain takes no gas price: every transaction is a legacy one at price 0, whatever it names, and none is ever raised. Never
    /// guessed from what a node says.
    pub zero: bool,
    /// An HTTP oracle of prices that is asked before the node: `http://host:port/path`, answers with JSON.
    pub oracle_url: Option<HiddenUrl>,
    /// JSON pointer (RFC 6901) to the fee cap in the oracle's reply, or to its one price where there is no tip. Needed with `oracle_url`.
    pub oracle_max_fee: Option<String>,
    /// JSON pointer to the tip in the oracle's reply; without it the oracle's price is one for legacy transactions.
    pub oracle_tip: Option<String>,
    /// Unit of the oracle's numbers: `wei` or `gwei`.
    pub oracle_unit: PriceUnit,
    /// Fixed price for every transaction that names none: fee cap in wei. Without it the market's price is used.
    #[serde(deserialize_with = "wei", serialize_with = "show::wei")]
    pub max_fee_per_gas: Option<u128>,
    /// Tip that goes with `max_fee_per_gas`, in wei.
    #[serde(deserialize_with = "wei", serialize_with = "show::wei")]
    pub max_priority_fee_per_gas: Option<u128>,
    /// How long a price of the market (oracle or node) is used, in milliseconds; it is asked for anew after half of that.
    pub cache_ms: u64,
    /// Blocks of fee history that are read.
    pub history_blocks: u64,
    /// Percentile of the tips in those blocks.
    pub percentile: f64,
    /// Increase of a resubmission, in percent (at least 10, the replacement rule of the pools).
    pub increase_percent: u32,
    /// Fixed increase of a resubmission, in wei, in place of the percentage; never less than the pools' 10 %.
    #[serde(deserialize_with = "wei", serialize_with = "show::wei")]
    pub increase_step_wei: Option<u128>,
    /// No price that millrace chooses goes above this fee cap, in wei. Closing a nonce that can no longer carry its request is exempt.
    /// A bid that leaves a pool's replacement rule no room below the cap bids the cap: what is paid is the base fee and the tip.
    #[serde(deserialize_with = "wei", serialize_with = "show::wei")]
    pub cap_max_fee_per_gas: Option<u128>,
    /// The same of a blob's gas, in wei.
    pub cap_max_fee_per_blob_gas: Option<u64>,
    /// A gas estimate is multiplied by this.
    pub limit_factor: f64,
}

impl Default for GasConfig {
    fn default() -> Self {
        Self {
            zero: false,
            oracle_url: None,
            oracle_max_fee: None,
            oracle_tip: None,
            oracle_unit: PriceUnit::Wei,
            max_fee_per_gas: None,
            max_priority_fee_per_gas: None,
            cache_ms: 30_000,
            history_blocks: 20,
            percentile: 85.0,
            increase_percent: 10,
            increase_step_wei: None,
            cap_max_fee_per_gas: None,
            cap_max_fee_per_blob_gas: None,
            limit_factor: 1.5,
        }
    }
}

impl GasConfig {
    /// The oracle's address, if there is one.
    #[must_use]
    pub fn oracle(&self) -> Option<Result<Endpoint, EndpointError>> {
        self.oracle_url.as_ref().map(|url| url.0.parse())
    }
}

/// Unit of a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PriceUnit {
    /// 1e-18 of the chain's currency.
    Wei,
    /// 1e9 wei.
    Gwei,
}

/// An address that is not shown: access keys stand in paths and queries.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct HiddenUrl(#[serde(serialize_with = "show::address")] pub String);

impl fmt::Debug for HiddenUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.parse::<Endpoint>().fmt(f)
    }
}

/// The public transaction manager.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TxmgrConfig {
    /// Transactions of one address that are bound and in no block.
    pub max_in_flight: usize,
    /// What is different for single addresses: `[txmgr.addresses."0x…"]`.
    pub addresses: BTreeMap<Address, AddressConfig>,
    /// Addresses of one shard that bind and send at the same time; others stand in line, and who waited longest is next.
    /// A transaction whose address stands in line is written twice, first into its queue and then bound, so there should be a slot for
    /// every address that sends within the time a commit and a request to the node take: a run of a shard takes in 256 submissions, a
    /// request some runs. A slot costs what is read ahead for it, at most 256 waiting transactions.
    pub max_orchestrators: usize,
    /// An address that has nothing to bind or send gives its slot back after this long, in milliseconds; at once if another waits.
    pub idle_timeout_ms: u64,
    /// An address with work counts as stale when nothing of it was bound, answered or mined for this long, in milliseconds.
    pub stale_timeout_ms: u64,
    /// An address that has had its slot for this long gives it to one that waits, in milliseconds.
    pub swap_timeout_ms: u64,
    /// A transaction unconfirmed for this long gets a higher price, in milliseconds.
    pub resubmit_interval_ms: u64,
    /// The oldest transaction of an address is sent again, same bytes, when this many blocks have passed without it.
    pub resend_after_blocks: u64,
    /// First pause after a failed submission, in milliseconds; four times longer each time, and up to a quarter shorter by chance.
    pub retry_min_ms: u64,
    /// Longest pause between tries, in milliseconds.
    pub retry_max_ms: u64,
    /// How often in a row a node refuses a submission before the transaction pauses for `stage_retry_ms`; and how often in a row it does not
    /// tell a balance before `balance_unavailable = "stop"` stops an address.
    pub submit_tries: u32,
    /// Pause after `submit_tries` refusals, in milliseconds; then price and balance are looked at anew. A balance that is too low
    /// is read again after this time even when no block comes.
    pub stage_retry_ms: u64,
    /// Pause after a write that the store refused, and the longest one between two tries to open a store that failed, in milliseconds.
    pub persist_retry_ms: u64,
    /// How often a signature is asked for before a request that has none ends as failed; the first time is before it is accepted.
    pub sign_tries: u32,
    /// What an address does while the node does not tell its balance: `wait`, `stop` or `continue`.
    pub balance_unavailable: Unavailable,
    /// How often a gas estimate that reverts is tried before the request fails.
    pub estimate_tries: u32,
    /// Depth at which a transaction counts as confirmed; 1 is its own block.
    pub required_confirmations: u64,
    /// Depth at which a transaction is archived: no longer watched.
    pub finality_depth: u64,
    /// What becomes of a transaction whose nonce another wallet's transaction took for good: `requeue` (once more, with a fresh nonce)
    /// or `fail`.
    pub displaced: Displaced,
    /// What the chain's pools take blobs with: `cells`, proofs of their cells (EIP-7594, since Osaka), or `blobs`, one proof for each
    /// (EIP-4844).
    pub blob_proofs: BlobProofs,
}

/// What proves a blob.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BlobProofs {
    /// 128 proofs of its cells (EIP-7594).
    #[default]
    Cells,
    /// One proof of all of it (EIP-4844).
    Blobs,
}

/// What becomes of a displaced transaction (row B6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Displaced {
    /// Its request is queued again and bound to a fresh nonce.
    #[default]
    Requeue,
    /// It ends as failed.
    Fail,
}

impl Default for TxmgrConfig {
    fn default() -> Self {
        Self {
            max_in_flight: 500,
            addresses: BTreeMap::new(),
            max_orchestrators: 1000,
            idle_timeout_ms: 1000,
            stale_timeout_ms: 300_000,
            swap_timeout_ms: 600_000,
            resubmit_interval_ms: 300_000,
            resend_after_blocks: 3,
            retry_min_ms: 250,
            retry_max_ms: 10_000,
            submit_tries: 3,
            stage_retry_ms: 10_000,
            persist_retry_ms: 5000,
            sign_tries: 10,
            balance_unavailable: Unavailable::Wait,
            estimate_tries: 3,
            required_confirmations: 1,
            finality_depth: 12,
            displaced: Displaced::default(),
            blob_proofs: BlobProofs::default(),
        }
    }
}

impl TxmgrConfig {
    /// Most transactions of this address that may be bound and in no block.
    #[must_use]
    pub fn max_in_flight_of(&self, address: &Address) -> usize {
        self.addresses.get(address).and_then(|own| own.max_in_flight).unwrap_or(self.max_in_flight)
    }
}

/// What is different for one address.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AddressConfig {
    /// In place of `txmgr.max_in_flight`.
    pub max_in_flight: Option<usize>,
}

/// An amount of wei: an integer, or a decimal string where it is longer than TOML's 64 bits.
fn wei<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u128>, D::Error> {
    struct Wei;

    impl de::Visitor<'_> for Wei {
        type Value = u128;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an amount of wei: a whole number, or a decimal string")
        }

        fn visit_u64<E: de::Error>(self, value: u64) -> Result<u128, E> {
            Ok(value.into())
        }

        fn visit_u128<E: de::Error>(self, value: u128) -> Result<u128, E> {
            Ok(value)
        }

        fn visit_i64<E: de::Error>(self, value: i64) -> Result<u128, E> {
            u128::try_from(value).map_err(|_| E::invalid_value(de::Unexpected::Signed(value), &self))
        }

        fn visit_str<E: de::Error>(self, value: &str) -> Result<u128, E> {
            value.parse().map_err(|_| E::invalid_value(de::Unexpected::Str(value), &self))
        }
    }

    deserializer.deserialize_any(Wei).map(Some)
}
