//! What a chain really holds, asked of the node without the engine in between.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{Value, json};

use super::{LIMIT, http};

/// A node, spoken to directly.
#[derive(Clone, Copy)]
pub(crate) struct Node {
    address: SocketAddr,
}

impl Node {
    pub(crate) const fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    pub(crate) fn url(self) -> String {
        format!("http://{}", self.address)
    }

    /// The node's result, or why there is none.
    pub(crate) fn try_ask(self, method: &str, params: &Value) -> Result<Value, String> {
        let request = http::post("Content-Type: application/json\r\n", &http::call(method, params));
        let (status, body) = http::exchange(self.address, request.as_bytes()).map_err(|error| error.to_string())?;
        let mut reply: Value = serde_json::from_str(&body).map_err(|error| format!("{status} {error}: {body}"))?;
        match reply.get_mut("result") {
            Some(result) => Ok(result.take()),
            None => Err(reply.to_string()),
        }
    }

    pub(crate) fn ask(self, method: &str, params: &Value) -> Value {
        self.try_ask(method, params).unwrap_or_else(|error| panic!("{method} {params}: {error}"))
    }

    pub(crate) fn head(self) -> u64 {
        quantity(&self.ask("eth_blockNumber", &json!([])))
    }

    /// Transactions in the pool that could be mined now.
    pub(crate) fn pending(self) -> u64 {
        quantity(&self.ask("txpool_status", &json!([]))["pending"])
    }

    /// Waits until the pool holds so many.
    pub(crate) fn wait_for_pending(self, count: u64) {
        let start = Instant::now();
        while self.pending() != count {
            assert!(start.elapsed() < LIMIT, "the pool holds {} instead of {count}", self.ask("txpool_status", &json!([])));
            std::thread::sleep(super::world::POLL);
        }
    }

    /// Every transaction on the chain, by sender, in the order of the blocks.
    pub(crate) fn mined(self) -> BTreeMap<String, Vec<Value>> {
        let mut mined = BTreeMap::<String, Vec<Value>>::new();
        for number in 0..=self.head() {
            let block = self.ask("eth_getBlockByNumber", &json!([format!("{number:#x}"), true]));
            for transaction in block["transactions"].as_array().expect("transactions") {
                mined.entry(text(&transaction["from"])).or_default().push(transaction.clone());
            }
        }
        mined
    }

    /// Each sender's nonces on the chain are 0, 1, 2, …; gives every hash.
    pub(crate) fn gapless(self) -> BTreeSet<String> {
        let mined = self.mined();
        for (from, transactions) in &mined {
            let nonces: Vec<_> = transactions.iter().map(|transaction| quantity(&transaction["nonce"])).collect();
            assert_eq!(nonces, (0..nonces.len() as u64).collect::<Vec<_>>(), "nonces of {from}");
        }
        mined.values().flatten().map(|transaction| text(&transaction["hash"])).collect()
    }
}

/// A `0x` quantity as a number.
pub(crate) fn quantity(value: &Value) -> u64 {
    let digits = value.as_str().and_then(|text| text.strip_prefix("0x"));
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_else(|| panic!("no quantity: {value}"))
}

/// A string in lower case.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_lowercase()
}
