//! The section `node`: which Ethereum nodes there are, and how they are talked to.

use std::fmt;
use std::path::PathBuf;

use netio::Endpoint;
use serde::{Deserialize, Serialize};

use super::show;

/// The Ethereum nodes and how they are talked to.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct NodeConfig {
    /// The one node: `http://host:port/path`. Where there are several, they stand in `endpoints` instead.
    #[serde(serialize_with = "show::address")]
    pub url: String,
    /// Where that node tells of new heads: `ws://host:port/path`. Without it the head is polled.
    #[serde(serialize_with = "show::optional_address")]
    pub ws_url: Option<String>,
    /// A file with further certificate authorities (PEM) that are trusted for https and wss, beside those of this machine.
    pub ca_file: Option<PathBuf>,
    /// Several nodes, the most wanted first. One is used at a time; another one takes over when it fails or falls behind.
    pub endpoints: Vec<EndpointConfig>,
    /// Chain id the nodes must have; learned from the first one that is used where it is not given.
    pub chain_id: Option<u64>,
    /// Signed transactions also go to every other healthy node. What those answer decides nothing.
    pub send_to_all: bool,
    /// A node whose head is further than this behind the best other one is left when that lasts. More than the blocks of one `probe_interval_ms`.
    pub max_lag_blocks: u64,
    /// How often a node that is not used now is asked for its head, in milliseconds. One that fell behind is left after three times this, and
    /// a better one that came back is used again after ten times this.
    pub probe_interval_ms: u64,
    /// Connections of each shard that carry transactions; an address always uses the same one.
    pub connections: usize,
    /// Most calls in one HTTP request.
    pub batch_calls: usize,
    /// Most bytes in one HTTP request.
    pub batch_bytes: usize,
    /// How long a reply may take, in milliseconds, before the outcome counts as unknown.
    pub request_timeout_ms: u64,
    /// A shard leaves a node alone when so many of its requests in a row, over all connections, found no connection or no reply in time.
    /// More than `connections` + 3, or a node that restarts is left alone at once.
    pub breaker_failures: u32,
    /// How long at first, in milliseconds, less up to half of it by chance; then one request finds out whether the node is back. It doubles
    /// while that fails.
    pub breaker_pause_min_ms: u64,
    /// The longest such pause, in milliseconds.
    pub breaker_pause_max_ms: u64,
    /// The longest `Retry-After` that is heeded in full, in milliseconds; a node that wants to be left alone for longer is asked again then.
    pub retry_after_max_ms: u64,
    /// How often the head is asked for, in milliseconds.
    pub poll_interval_ms: u64,
    /// How often it is asked for while heads come by WebSocket, in milliseconds: for what a head may not have told.
    pub ws_poll_interval_ms: u64,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            ws_url: None,
            ca_file: None,
            endpoints: Vec::new(),
            chain_id: None,
            send_to_all: false,
            max_lag_blocks: 5,
            probe_interval_ms: 1000,
            connections: 4,
            batch_calls: 200,
            batch_bytes: 512 * 1024,
            request_timeout_ms: 10_000,
            breaker_failures: 8,
            breaker_pause_min_ms: 500,
            breaker_pause_max_ms: 5000,
            retry_after_max_ms: 60_000,
            poll_interval_ms: 100,
            ws_poll_interval_ms: 2000,
        }
    }
}

/// One of several nodes.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    /// `http://host:port/path`.
    #[serde(serialize_with = "show::address")]
    pub url: String,
    /// Where it tells of new heads: `ws://host:port/path`. Without it the head is polled.
    #[serde(default, serialize_with = "show::optional_address")]
    pub ws_url: Option<String>,
}

/// Shows the address without its path, where providers put access keys.
impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("url", &self.url.parse::<Endpoint>())
            .field("ws_url", &self.ws_url.as_ref().map(|url| url.parse::<Endpoint>()))
            .finish()
    }
}

impl NodeConfig {
    /// The nodes, each with the place of its settings, the most wanted first: `url`, or `endpoints`.
    #[must_use]
    pub fn nodes(&self) -> Vec<(String, EndpointConfig)> {
        if self.endpoints.is_empty() {
            return vec![("node.".into(), EndpointConfig { url: self.url.clone(), ws_url: self.ws_url.clone() })];
        }
        let key = |place: usize| format!("node.endpoints[{place}].");
        self.endpoints.iter().enumerate().map(|(place, endpoint)| (key(place), endpoint.clone())).collect()
    }
}

/// Shows addresses without their paths, where providers put access keys.
impl fmt::Debug for NodeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeConfig")
            .field("url", &self.url.parse::<Endpoint>())
            .field("ws_url", &self.ws_url.as_ref().map(|url| url.parse::<Endpoint>()))
            .field("ca_file", &self.ca_file)
            .field("endpoints", &self.endpoints)
            .field("chain_id", &self.chain_id)
            .field("send_to_all", &self.send_to_all)
            .field("max_lag_blocks", &self.max_lag_blocks)
            .field("probe_interval_ms", &self.probe_interval_ms)
            .field("connections", &self.connections)
            .field("batch_calls", &self.batch_calls)
            .field("batch_bytes", &self.batch_bytes)
            .field("request_timeout_ms", &self.request_timeout_ms)
            .field("breaker_failures", &self.breaker_failures)
            .field("breaker_pause_min_ms", &self.breaker_pause_min_ms)
            .field("breaker_pause_max_ms", &self.breaker_pause_max_ms)
            .field("retry_after_max_ms", &self.retry_after_max_ms)
            .field("poll_interval_ms", &self.poll_interval_ms)
            .field("ws_poll_interval_ms", &self.ws_poll_interval_ms)
            .finish()
    }
}
