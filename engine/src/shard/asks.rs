//! Questions of a shard to the node: transaction counts, gas estimates. Gathered while one request is under way, so
//! that 100,000 addresses ask in full batches.
//!
//! A question that could not be put, because the node is left alone, waits until it can be, to that node or to the one that takes over:
//! it says nothing about a balance or a nonce.

use alloy::eips::eip2930::AccessListItem;
use alloy::eips::eip7702::SignedAuthorization;
use alloy::primitives::{Address, B256, Bytes, U64, U256};
use netio::{Calls, End, Room};
use serde::Serialize;
use serde_json::value::RawValue;
use storage::Request;
use uuid::Uuid;

use super::inbox::Inbox;
use super::run::Home;
use crate::chain::{Gates, Roster};
use crate::txmgr::Event;
use crate::txmgr::authorization::{authorizations, is_delegation};
use crate::txmgr::estimate::NoEstimate;

/// A question.
#[derive(Debug)]
pub(super) enum Ask {
    /// The transaction count, not older than of this block.
    Nonce(Address, u64),
    Balance(Address),
    Estimate(Uuid, Request),
}

/// Answers questions until the shard is gone: by the node that is used, which may ask for a pause.
pub(super) async fn answer<R: Room>(room: R, roster: Roster, gates: Gates, questions: Inbox<Ask>, bell: netio::Bell, home: Inbox<Home<R>>) {
    let mut using = roster.current();
    let mut lane = roster.lane(room.clone(), &gates, using);
    loop {
        bell.wait().await;
        while let Some((asked, calls)) = gather(&questions, lane.calls_max()) {
            let exchange = loop {
                let current = roster.current();
                if std::mem::replace(&mut using, current) != current {
                    lane = roster.lane(room.clone(), &gates, current);
                }
                let exchange = lane.exchange(&calls).await;
                if !exchange.is_put_off() {
                    break exchange;
                }
                roster.rest(&room, using, exchange.retry_after.unwrap_or_default()).await;
            };
            let mut ends = exchange.ends.into_iter();
            for ask in asked {
                let address = if let Ask::Nonce(address, _) = &ask { Some(*address) } else { None };
                let event = read(ask, &mut ends);
                // What is known of the code comes first: a window that is too wide for it must not be filled.
                if let Some(delegated) = address.and_then(|_| delegated(ends.next())) {
                    home.push(Home::Event(Event::Delegated(address.unwrap_or_default(), delegated)));
                }
                home.push(Home::Event(event));
            }
            if let Some(pause) = exchange.retry_after {
                roster.rest(&room, using, pause).await;
            }
        }
    }
}

fn gather(questions: &Inbox<Ask>, most: usize) -> Option<(Vec<Ask>, Calls)> {
    let mut asked = Vec::new();
    let mut calls = Calls::new();
    // A question is three calls at most.
    while asked.is_empty() || calls.len() + 3 <= most {
        let Some(ask) = questions.pop() else { break };
        match &ask {
            Ask::Nonce(address, head) => {
                // A node that lags does not know that block and says so, where its latest one would be believed: what blocks up to there
                // took of the address's nonces has been looked at already, and nobody would look again.
                calls.push("eth_getTransactionCount", &(address, U64::from(*head)));
                calls.push("eth_getTransactionCount", &(address, "latest"));
                // Pools take one transaction at a time of an account with delegated code (EIP-7702).
                calls.push("eth_getCode", &(address, "latest"));
            }
            Ask::Balance(address) => calls.push("eth_getBalance", &(address, "latest")),
            Ask::Estimate(_, request) => calls.push("eth_estimateGas", &[Call::from(request)]),
        }
        asked.push(ask);
    }
    (!asked.is_empty()).then_some((asked, calls))
}

/// Whether this answer is delegated code; `None` where the node did not tell.
fn delegated(end: Option<End>) -> Option<bool> {
    let Some(End::Answered(Ok(json))) = end else { return None };
    serde_json::from_str::<Bytes>(json.get()).ok().map(|code| is_delegation(&code))
}

fn read(ask: Ask, ends: &mut impl Iterator<Item = End>) -> Event {
    let mut next = || match ends.next() {
        Some(End::Answered(answer)) => Some(answer),
        Some(End::BeforeSend(_) | End::Ambiguous(_)) | None => None,
    };
    match ask {
        Ask::Nonce(address, _) => {
            let mut count = || next().and_then(Result::ok).and_then(|json| serde_json::from_str::<U64>(json.get()).ok());
            let (at_head, latest) = (count(), count());
            Event::ChainNonce(address, at_head.map(|at_head| at_head.max(latest.unwrap_or_default()).to()))
        }
        Ask::Balance(address) => {
            let wei = next().and_then(Result::ok).and_then(|json| serde_json::from_str::<U256>(json.get()).ok());
            Event::Balance(address, wei)
        }
        Ask::Estimate(id, request) => {
            let estimate = match next() {
                None => Err(NoEstimate::Unanswered),
                Some(Ok(json)) => match serde_json::from_str::<U64>(json.get()) {
                    Ok(gas) => Ok(gas.to()),
                    Err(_) => Err(NoEstimate::Unavailable(format!("its answer is no quantity: {}", json.get()))),
                },
                Some(Err(error)) => Err(NoEstimate::of(error.code, &error.message, error.data.as_deref().map(RawValue::get))),
            };
            Event::Estimated(id, Box::new(request), estimate)
        }
    }
}

/// A call object as nodes take it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    from: Address,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Address>,
    value: U256,
    input: Bytes,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_list: Vec<SignedAuthorization>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    access_list: Vec<AccessListItem>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    blob_versioned_hashes: Vec<B256>,
}

impl From<&Request> for Call {
    fn from(request: &Request) -> Self {
        Self {
            from: request.from,
            to: request.to,
            value: request.value,
            input: request.data.clone(),
            authorization_list: authorizations(request),
            access_list: request.extras.as_ref().map_or_else(Vec::new, |extras| extras.access_list.0.clone()),
            blob_versioned_hashes: request.blob_hashes().to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(hex: &str) -> End {
        End::Answered(Ok(serde_json::value::to_raw_value(hex).expect("JSON")))
    }

    fn count(ends: Vec<End>) -> Option<u64> {
        let Event::ChainNonce(_, count) = read(Ask::Nonce(Address::ZERO, 9), &mut ends.into_iter()) else { panic!("a count") };
        count
    }

    #[test]
    fn a_transaction_count_of_a_node_that_does_not_know_the_newest_block_is_not_believed() {
        let unknown = End::Answered(Err(serde_json::from_str(r#"{"code":-32000,"message":"header not found"}"#).expect("an error")));
        assert_eq!(count(vec![unknown, number("0x22")]), None);
        assert_eq!(count(vec![number("0x22"), number("0x23")]), Some(0x23), "later blocks count too");
        assert_eq!(count(vec![number("0x22"), number("0x21")]), Some(0x22), "a machine behind the same door may lag");
    }
}
