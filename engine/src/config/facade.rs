//! The section `facade`: the interface of an Ethereum node, for any Ethereum tool.

use serde::{Deserialize, Serialize};

/// The interface of an Ethereum node (row E2). Bodies, batches and connections have the bounds of `api`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct FacadeConfig {
    /// Address to listen on; without it there is no facade. Port 0 picks a free one.
    pub listen: Option<String>,
    /// Methods of the engine's own that are refused: of `eth_sendTransaction`, `eth_accounts`, `eth_chainId`, `eth_signTypedData_v4` and
    /// `personal_sign`.
    pub off: Vec<String>,
    /// Methods that are passed on to the node: names, or beginnings of names with a `*` behind. What signs with a node's own keys never is.
    pub allow: Vec<String>,
    /// What a nonce in `eth_sendTransaction` means.
    pub nonces: GivenNonces,
    /// What a price in `eth_sendTransaction` means.
    pub fees: GivenFees,
    /// How long `eth_sendTransaction` waits until its transaction has a nonce and so a hash, in milliseconds; after that the error names its id.
    /// Shorter than clients wait for an answer: one that gives up (viem after 10 s) sends the same again, which is then a second transaction.
    pub bind_timeout_ms: u64,
    /// Connections to the node for what is passed on.
    pub connections: usize,
    /// Clients that may have subscriptions at once: each has a WebSocket of its own to the node.
    pub subscribers: usize,
}

/// What a nonce in `eth_sendTransaction` means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GivenNonces {
    /// Nothing: every call is a new transaction, and the engine gives its nonce. For tools that fill it in from the mined transactions only.
    #[default]
    Ignore,
    /// It is the next one, or the call is a repeat of the one that gave it before and has its answer; anything else is refused.
    Check,
}

/// What a price in `eth_sendTransaction` means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GivenFees {
    /// It is fixed: never exceeded, and so never raised.
    #[default]
    Fixed,
    /// Nothing: the market's price is used, and raised where it must be. For tools that fill a price in without being asked.
    Ignore,
}

impl Default for FacadeConfig {
    fn default() -> Self {
        Self {
            listen: None,
            off: Vec::new(),
            allow: ["eth_*", "net_*", "web3_*"].map(String::from).to_vec(),
            nonces: GivenNonces::default(),
            fees: GivenFees::default(),
            bind_timeout_ms: 8_000,
            connections: 16,
            subscribers: 64,
        }
    }
}

impl FacadeConfig {
    /// Whether a method of the engine's own is refused.
    #[must_use]
    pub fn is_off(&self, method: &str) -> bool {
        self.off.iter().any(|off| off == method)
    }

    /// Whether a method is passed on.
    #[must_use]
    pub fn allows(&self, method: &str) -> bool {
        self.allow.iter().any(|allowed| allowed.strip_suffix('*').map_or(allowed == method, |prefix| method.starts_with(prefix)))
    }
}
