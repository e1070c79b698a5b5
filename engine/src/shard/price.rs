//! The feed of gas prices (row A7): asked by whichever shard wants a price, it asks the sources once for all of them.
//!
//! ```text
//!   shards ─► desk ─► oracle, if there is one ─► node: eth_feeHistory, else eth_gasPrice ─► every shard
//! ```
//!
//! A source that gives no price falls through to the next one, and says so once, until it gives one again. With no price at all the
//! shards hear that, too, and go on with the last one that was good.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alloy::primitives::{U64, U128};
use netio::{Bell, Calls, End, Endpoint, Lane, Room};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::mailbox::{Mail, Mailbox};
use crate::chain::{Gates, Roster};
use crate::config::GasConfig;
use crate::txmgr::Event;
use crate::txmgr::gas_price::MarketPrice;
use crate::txmgr::oracle;

/// Where a shard says that it wants a price. Clones are the same desk.
#[derive(Clone, Debug, Default)]
pub struct PriceDesk {
    wanted: Arc<AtomicBool>,
    /// What blobs cost is wanted too.
    blobs: Arc<AtomicBool>,
    bell: Bell,
}

impl PriceDesk {
    /// The price of blobs, too, from now on: who sends one sends more.
    pub(super) fn want_blobs(&self) {
        self.blobs.store(true, Ordering::Release);
        self.want();
    }

    pub(super) fn want(&self) {
        self.wanted.store(true, Ordering::Release);
        self.bell.ring();
    }
}

/// Whether a source gave a price when it was last asked.
#[derive(Debug)]
struct Source {
    name: &'static str,
    gives: bool,
}

impl Source {
    const fn new(name: &'static str) -> Self {
        Self { name, gives: true }
    }

    fn told(&mut self, price: Result<MarketPrice, String>) -> Option<MarketPrice> {
        let gave = std::mem::replace(&mut self.gives, price.is_ok());
        match price {
            Ok(price) => {
                if !gave {
                    tracing::info!(source = self.name, "the source of gas prices gives one again");
                }
                Some(price)
            }
            Err(reason) => {
                if gave {
                    tracing::warn!(source = self.name, reason, "no gas price from this source; the next one is used");
                }
                None
            }
        }
    }
}

/// The feed, on shard 0.
pub(super) struct Feed<R: Room> {
    room: R,
    roster: Roster,
    gates: Gates,
    using: usize,
    lane: Lane<R>,
    gas: GasConfig,
    oracle: Option<Arc<Endpoint>>,
    from_oracle: Source,
    from_node: Source,
}

impl<R: Room> Feed<R> {
    pub(super) fn new(room: R, roster: Roster, gates: Gates, gas: GasConfig, oracle: Option<Arc<Endpoint>>) -> Self {
        let using = roster.current();
        let lane = roster.lane(room.clone(), &gates, using);
        Self { room, roster, gates, using, lane, gas, oracle, from_oracle: Source::new("oracle"), from_node: Source::new("node") }
    }

    /// Answers the desk until the engine stops.
    pub(super) async fn run(mut self, desk: PriceDesk, mailboxes: Vec<Mailbox>) {
        loop {
            desk.bell.wait().await;
            while desk.wanted.load(Ordering::Acquire) {
                let blobs = desk.blobs.load(Ordering::Acquire);
                let (price, blob_base_fee, pause) = self.price(blobs).await;
                // Whoever asked until now is answered by this; whoever asks from now on is answered by the next one.
                desk.wanted.store(false, Ordering::Release);
                for mailbox in &mailboxes {
                    if let Some(wei) = blob_base_fee.filter(|_| blobs) {
                        let _ = mailbox.send(Mail::Tell(Box::new(Event::BlobBaseFee(wei)))).await;
                    }
                    // A shard that is gone ends the engine; nobody else has to hear of it.
                    let _ = mailbox.send(Mail::Tell(Box::new(Event::Price(price)))).await;
                }
                if let Some(pause) = pause {
                    self.roster.rest(&self.room, self.using, pause).await;
                }
            }
        }
    }

    /// The price, what a unit of blob gas costs where that is known, and a pause that the node asks for.
    async fn price(&mut self, blobs: bool) -> (Option<MarketPrice>, Option<u64>, Option<std::time::Duration>) {
        if let Some(oracle) = &self.oracle {
            let reply = netio::get(&self.room, oracle, self.roster.limits()).await;
            let price = reply.map_err(|fault| fault.to_string()).and_then(|reply| oracle::price(&reply, &self.gas));
            if let Some(price) = self.from_oracle.told(price) {
                // Oracles do not tell of blobs.
                let (node, pause) = if blobs { self.ask_node().await } else { (Err(String::new()), None) };
                return (Some(price), node.ok().and_then(|(_, blob_base_fee)| blob_base_fee), pause);
            }
        }
        let (answer, pause) = self.ask_node().await;
        let blob_base_fee = answer.as_ref().ok().and_then(|(_, blob_base_fee)| *blob_base_fee);
        (self.from_node.told(answer.map(|(price, _)| price)), blob_base_fee, pause)
    }

    async fn ask_node(&mut self) -> (Result<(MarketPrice, Option<u64>), String>, Option<std::time::Duration>) {
        let current = self.roster.current();
        if std::mem::replace(&mut self.using, current) != current {
            self.lane = self.roster.lane(self.room.clone(), &self.gates, current);
        }
        let mut calls = Calls::new();
        calls.push("eth_feeHistory", &(U64::from(self.gas.history_blocks), "latest", [self.gas.percentile]));
        calls.push("eth_gasPrice", &[(); 0]);
        let exchange = self.lane.exchange(&calls).await;
        (from_node(exchange.ends), exchange.retry_after)
    }
}

/// The price of `eth_feeHistory`, with that of blobs where the chain has them; where there is none (an older node, a chain without a base fee) that of `eth_gasPrice`.
fn from_node(ends: Vec<End>) -> Result<(MarketPrice, Option<u64>), String> {
    let mut words = ends.into_iter().map(|end| match end {
        End::Answered(Ok(json)) => Ok(json),
        End::Answered(Err(error)) => Err(error.to_string()),
        End::BeforeSend(fault) | End::Ambiguous(fault) => Err(fault.to_string()),
    });
    let mut next = || words.next().unwrap_or_else(|| Err("no answer".into()));
    let (history, gas_price) = (next(), next());
    let (price, blobs) = history.ok().and_then(|json| from_history(&json)).unwrap_or_default();
    if let Some(price) = price {
        return Ok((price, blobs));
    }
    let wei: U128 = serde_json::from_str(gas_price?.get()).map_err(|error| format!("eth_gasPrice cannot be read: {error}"))?;
    Ok((MarketPrice::Legacy(wei.to()), blobs))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FeeHistory {
    #[serde(default)]
    base_fee_per_gas: Vec<U128>,
    #[serde(default)]
    reward: Option<Vec<Vec<U128>>>,
    #[serde(default)]
    base_fee_per_blob_gas: Option<Vec<U128>>,
}

/// The market's price from `eth_feeHistory`, which a chain without a base fee does not have, and that of blobs.
fn from_history(json: &RawValue) -> Option<(Option<MarketPrice>, Option<u64>)> {
    let history: FeeHistory = serde_json::from_str(json.get()).ok()?;
    let next: u128 = history.base_fee_per_gas.last()?.to();
    let tips: Vec<u128> = history.reward.unwrap_or_default().iter().filter_map(|block| block.first()).map(|tip| tip.to()).collect();
    let blob = history.base_fee_per_blob_gas.and_then(|fees| fees.last().copied()).map(|wei| u64::try_from(wei).unwrap_or(u64::MAX));
    Some(((next > 0).then(|| MarketPrice::from_history(next, &tips)), blob))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> End {
        End::Answered(Ok(RawValue::from_string(text.into()).expect("JSON")))
    }

    fn refused() -> End {
        End::Answered(Err(netio::RpcError { code: -32601, message: "no such method".into(), data: None }))
    }

    #[test]
    fn the_fee_history_goes_before_the_gas_price() {
        let history = r#"{"baseFeePerGas": ["0x1", "0x5"], "reward": [["0x2"]]}"#;
        assert_eq!(from_node(vec![json(history), json("\"0x9\"")]), Ok((MarketPrice::from_history(5, &[2]), None)));
        let history = r#"{"baseFeePerGas": ["0x1", "0x5"], "reward": [["0x2"]], "baseFeePerBlobGas": ["0x1", "0x7"]}"#;
        assert_eq!(from_node(vec![json(history), json("\"0x9\"")]), Ok((MarketPrice::from_history(5, &[2]), Some(7))));
    }

    #[test]
    fn a_node_without_a_fee_history_is_taken_by_its_gas_price() {
        assert_eq!(from_node(vec![refused(), json("\"0x9\"")]), Ok((MarketPrice::Legacy(9), None)));
        assert_eq!(from_node(vec![json(r#"{"baseFeePerGas": ["0x0"]}"#), json("\"0x9\"")]), Ok((MarketPrice::Legacy(9), None)));
        let free = r#"{"baseFeePerGas": ["0x0"], "baseFeePerBlobGas": ["0x3"]}"#;
        assert_eq!(from_node(vec![json(free), json("\"0x9\"")]), Ok((MarketPrice::Legacy(9), Some(3))));
    }

    #[test]
    fn a_node_that_tells_neither_gives_no_price() {
        assert!(from_node(vec![refused(), refused()]).expect_err("no price").contains("no such method"));
    }

    #[test]
    fn a_source_that_fails_falls_through() {
        let mut source = Source::new("oracle");
        assert_eq!(source.told(Err("down".into())), None);
        assert!(!source.gives);
        assert_eq!(source.told(Ok(MarketPrice::Legacy(7))), Some(MarketPrice::Legacy(7)));
        assert!(source.gives);
    }
}
