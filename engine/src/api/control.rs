//! Orders about accepted transactions: their parameters and replies (rows A6, A17).
//!
//! | method | parameters | reply |
//! |---|---|---|
//! | `ptx_cancelTransaction` | `[id]` | `{id, state}`: `cancelled`, or `cancelling` while a transfer to oneself bids for its nonce |
//! | `ptx_suspendTransaction` | `[id]` | `{id, state: "suspended"}` |
//! | `ptx_resumeTransaction` | `[id]` | `{id, state: "resumed"}` |
//! | `ptx_updateTransaction` | `[id, {to?, value?, data?, gas?, price?, marketPrice?, generation?}]` | `{id, state: "updated", generation}` |
//!
//! Each is answered once it is on disk, and a repeat gives the same answer.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use storage::{Fees, Store};
use uuid::Uuid;

use super::Api;
use super::extras::with_blob_price;
use super::params::{address, elements, fees, payload};
use crate::jsonrpc::error::{OUTCOME_UNKNOWN, RpcError};
use crate::jsonrpc::quantity::{Quantity, Text, shortened};
use crate::jsonrpc::schema;
use crate::txmgr::order::{Change, Done};

/// How long an order is waited for: a node that is away can keep a bound transaction from being replaced for as long as it likes.
const WAIT: Duration = Duration::from_secs(10);

/// An order about a transaction.
pub(super) enum Order {
    Cancel(Uuid),
    Suspend(Uuid),
    Resume(Uuid),
    Update(Uuid, Change),
}

/// The reply to an order.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ordered {
    #[schemars(with = "schema::Id")]
    id: Uuid,
    /// What became of it: see the method.
    state: &'static str,
    /// The new generation, after an update.
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u16>,
}

impl Order {
    /// Carries it out.
    pub(super) async fn carry_out<S: Store>(self, api: &Api<S>) -> Result<Ordered, RpcError> {
        let engine = &api.engine;
        let (id, done) = match self {
            Self::Cancel(id) => (id, tokio::time::timeout(WAIT, engine.cancel(id)).await),
            Self::Suspend(id) => (id, tokio::time::timeout(WAIT, engine.suspend(id)).await),
            Self::Resume(id) => (id, tokio::time::timeout(WAIT, engine.resume_transaction(id)).await),
            Self::Update(id, change) => (id, tokio::time::timeout(WAIT, engine.update(id, change)).await),
        };
        let Ok(done) = done else {
            let message = "the order is under way and has not come to its end yet, as when the node does not answer; give it again to hear";
            return Err(RpcError::new(OUTCOME_UNKNOWN, message));
        };
        let (state, generation) = match done? {
            Done::Cancelled => ("cancelled", None),
            Done::Cancelling => ("cancelling", None),
            Done::Suspended => ("suspended", None),
            Done::Resumed => ("resumed", None),
            Done::Updated(generation) => ("updated", Some(generation)),
        };
        Ok(Ordered { id, state, generation })
    }
}

/// Ids in a list.
pub(super) fn ids(field: &str, texts: &[Text<'_>]) -> Result<Vec<Uuid>, RpcError> {
    let id = |text: &Text<'_>| {
        Uuid::try_parse(&text.0).map_err(|_| {
            RpcError::params(format!("{field}: \"{}\" is no UUID; give ids that ptx_sendTransaction returned", shortened(&text.0)))
        })
    };
    texts.iter().map(id).collect()
}

/// What an update changes; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ChangeParams<'a> {
    #[serde(borrow)]
    #[schemars(with = "Option<schema::Address>")]
    to: Option<Text<'a>>,
    #[serde(borrow)]
    value: Option<Quantity<'a>>,
    #[serde(borrow)]
    #[schemars(with = "Option<schema::Hex>")]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    #[schemars(with = "Option<schema::Hex>")]
    input: Option<Text<'a>>,
    #[serde(borrow)]
    gas: Option<Quantity<'a>>,
    #[serde(borrow)]
    gas_price: Option<Quantity<'a>>,
    #[serde(borrow)]
    max_fee_per_gas: Option<Quantity<'a>>,
    #[serde(borrow)]
    max_priority_fee_per_gas: Option<Quantity<'a>>,
    /// Of one with blobs, beside both others.
    #[serde(borrow)]
    max_fee_per_blob_gas: Option<Quantity<'a>>,
    /// Ends a fixed price.
    market_price: Option<bool>,
    /// The earlier generation to restore; the other fields change that one.
    generation: Option<u16>,
}

/// `ptx_updateTransaction([id, change])`.
pub(super) fn update(params: Option<&RawValue>) -> Result<Order, RpcError> {
    const USAGE: &str = "[id, {to?, value?, data?, gas?, gasPrice? or maxFeePerGas?, maxPriorityFeePerGas? and maxFeePerBlobGas? or marketPrice?, generation?}]";
    let (id, raw) = elements::<(Text<'_>, ChangeParams<'_>)>(params, USAGE)?;
    let id = ids("id", std::slice::from_ref(&id))?.pop().ok_or_else(|| RpcError::params(format!("params: no id; write {USAGE}")))?;
    let fixed = fees(raw.gas_price.as_ref(), raw.max_fee_per_gas.as_ref(), raw.max_priority_fee_per_gas.as_ref())?;
    let fixed = raw.max_fee_per_blob_gas.as_ref().map_or(Ok(fixed), |price| with_blob_price(fixed, price))?;
    let fees = match (fixed, raw.market_price) {
        (Fees::Market, Some(true)) => Some(Fees::Market),
        (Fees::Market, _) => None,
        (_, Some(true)) => return Err(RpcError::params("marketPrice: true cannot stand beside a price; leave one of them out")),
        (fixed, _) => Some(fixed),
    };
    let change = Change {
        generation: raw.generation,
        to: raw.to.as_ref().map(|to| address("to", &to.0)).transpose()?,
        value: raw.value.as_ref().map(|value| value.u256("value")).transpose()?,
        data: payload(raw.data.as_ref(), raw.input.as_ref())?,
        gas: raw.gas.as_ref().map(|gas| gas.u64("gas")).transpose()?,
        fees,
    };
    if change == Change::default() {
        return Err(RpcError::params(format!("an update without a change; write {USAGE}")));
    }
    Ok(Order::Update(id, change))
}

#[cfg(test)]
mod tests {
    use alloy::primitives::U256;

    use super::*;

    fn read(json: &str) -> Result<Order, RpcError> {
        update(Some(&RawValue::from_string(json.to_owned()).expect("JSON")))
    }

    const ID: &str = "0198f9aa-0000-7000-8000-000000000001";

    #[test]
    fn an_update_is_read_and_what_is_left_out_stays() {
        let Ok(Order::Update(id, change)) = read(&format!("[\"{ID}\",{{\"value\":\"0x5\",\"gasPrice\":7,\"generation\":2}}]")) else {
            panic!("an update")
        };
        assert_eq!(id.to_string(), ID);
        let expected =
            Change { generation: Some(2), value: Some(U256::from(5)), fees: Some(Fees::Legacy { gas_price: 7 }), ..Change::default() };
        assert_eq!(change, expected);
        let market = read(&format!("[\"{ID}\",{{\"marketPrice\":true}}]"));
        assert!(matches!(market, Ok(Order::Update(_, Change { fees: Some(Fees::Market), .. }))));
    }

    #[test]
    fn a_mistake_in_an_order_is_named() {
        for (json, shown) in [
            ("[\"x\",{\"gas\":1}]".to_owned(), "id: \"x\" is no UUID"),
            (format!("[\"{ID}\",{{}}]"), "without a change"),
            (format!("[\"{ID}\"]"), "write [id, {"),
            (format!("[\"{ID}\",{{\"nonce\":1}}]"), "unknown field `nonce`"),
            (format!("[\"{ID}\",{{\"gasPrice\":1,\"marketPrice\":true}}]"), "marketPrice"),
            (format!("[\"{ID}\",{{\"maxFeePerGas\":1}}]"), "maxPriorityFeePerGas: missing"),
            (format!("[\"{ID}\",{{\"to\":\"0x1\"}}]"), "to: \"0x1\" is not an address"),
        ] {
            let error = read(&json).err().unwrap_or_else(|| panic!("{json} was taken"));
            assert!(error.message.contains(shown), "{json}: {}", error.message);
        }
    }
}
