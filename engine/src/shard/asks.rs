//! Questions of a shard to the node: prices, transaction counts, gas estimates. Gathered while one request is under way, so
//! that 100,000 addresses ask in full batches.

use alloy::primitives::{Address, U64, U128, U256};
use netio::{Calls, End, Endpoint, Lane, Limits, Room};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::sync::Arc;
use storage::Request;
use uuid::Uuid;

use super::inbox::Inbox;
use super::run::Home;
use crate::config::GasConfig;
use crate::txmgr::Event;
use crate::txmgr::gas_price::MarketPrice;

/// How to reach the node.
#[derive(Clone)]
pub struct Node {
    /// Where.
    pub endpoint: Arc<Endpoint>,
    /// Bounds of a request.
    pub limits: Limits,
    /// What was counted.
    pub counts: Arc<netio::Counts>,
}

impl Node {
    /// A connection of its own.
    pub fn lane<R: Room>(&self, room: R) -> Lane<R> {
        Lane::new(room, Arc::clone(&self.endpoint), self.limits, Arc::clone(&self.counts))
    }
}

/// A question.
#[derive(Debug)]
pub(super) enum Ask {
    Price,
    Nonce(Address),
    Balance(Address),
    Estimate(Uuid, Request),
}

/// Answers questions until the shard is gone.
pub(super) async fn answer<R: Room>(mut lane: Lane<R>, questions: Inbox<Ask>, bell: netio::Bell, gas: GasConfig, home: Inbox<Home<R>>) {
    loop {
        bell.wait().await;
        while let Some((asked, calls)) = gather(&questions, &gas, lane.calls_max()) {
            let mut ends = lane.exchange(&calls).await.ends.into_iter();
            for ask in asked {
                home.push(Home::Event(read(ask, &mut ends)));
            }
        }
    }
}

fn gather(questions: &Inbox<Ask>, gas: &GasConfig, most: usize) -> Option<(Vec<Ask>, Calls)> {
    let mut asked = Vec::new();
    let mut calls = Calls::new();
    // A price takes two calls.
    while calls.len() + 1 < most.max(2) {
        let Some(ask) = questions.pop() else { break };
        match &ask {
            Ask::Price => {
                calls.push("eth_feeHistory", &(U64::from(gas.history_blocks), "latest", [gas.percentile]));
                calls.push("eth_gasPrice", &[(); 0]);
            }
            Ask::Nonce(address) => calls.push("eth_getTransactionCount", &(address, "latest")),
            Ask::Balance(address) => calls.push("eth_getBalance", &(address, "latest")),
            Ask::Estimate(_, request) => calls.push("eth_estimateGas", &[Call::from(request)]),
        }
        asked.push(ask);
    }
    (!asked.is_empty()).then_some((asked, calls))
}

fn read(ask: Ask, ends: &mut impl Iterator<Item = End>) -> Event {
    let mut next = || match ends.next() {
        Some(End::Answered(answer)) => Some(answer),
        Some(End::BeforeSend(_) | End::Ambiguous(_)) | None => None,
    };
    match ask {
        Ask::Price => {
            let (history, gas_price) = (next(), next());
            let history = history.and_then(Result::ok).and_then(|json| from_history(&json));
            let legacy = || gas_price.and_then(Result::ok).and_then(|json| serde_json::from_str::<U128>(json.get()).ok());
            Event::Price(history.or_else(|| legacy().map(|wei| MarketPrice::Legacy(wei.to()))))
        }
        Ask::Nonce(address) => {
            let count = next().and_then(Result::ok).and_then(|json| serde_json::from_str::<U64>(json.get()).ok());
            Event::ChainNonce(address, count.map(|count| count.to()))
        }
        Ask::Balance(address) => {
            let wei = next().and_then(Result::ok).and_then(|json| serde_json::from_str::<U256>(json.get()).ok());
            Event::Balance(address, wei)
        }
        Ask::Estimate(id, request) => {
            let estimate = next().and_then(|answer| match answer {
                Ok(json) => serde_json::from_str::<U64>(json.get()).ok().map(|gas| Ok(gas.to())),
                Err(error) => Some(Err(error.to_string())),
            });
            Event::Estimated(request.from, id, estimate)
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeeHistory {
    #[serde(default)]
    base_fee_per_gas: Vec<U128>,
    #[serde(default)]
    reward: Option<Vec<Vec<U128>>>,
}

/// The market's price from `eth_feeHistory`; `None` on a chain without a base fee.
fn from_history(json: &RawValue) -> Option<MarketPrice> {
    let history: FeeHistory = serde_json::from_str(json.get()).ok()?;
    let next: u128 = history.base_fee_per_gas.last()?.to();
    let tips: Vec<u128> = history.reward.unwrap_or_default().iter().filter_map(|block| block.first()).map(|tip| tip.to()).collect();
    (next > 0).then(|| MarketPrice::from_history(next, &tips))
}

/// A call object as nodes take it.
#[derive(Serialize)]
struct Call {
    from: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Address>,
    value: U256,
    input: alloy::primitives::Bytes,
}

impl From<&Request> for Call {
    fn from(request: &Request) -> Self {
        Self { from: request.from, to: request.to, value: request.value, input: request.data.clone() }
    }
}
