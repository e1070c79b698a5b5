//! Receipt listeners as they cross the interface: parameters, and what is shown and delivered.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use storage::ListenerRow;
use uuid::Uuid;

use super::batch::{Reasons, reverted};
use crate::api::render::Receipt;
use crate::feed::{End, Ending, Page};
use crate::jsonrpc::error::RpcError;
use crate::jsonrpc::quantity::{Text, shortened};
use crate::jsonrpc::schema;

/// Longest name of a listener, in bytes: it is a label of a metric.
const NAME_MAX: usize = 64;

/// A listener as callers write it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct CreateParams<'a> {
    /// 1 to 64 letters, digits, and `.`, `_`, `-`.
    #[serde(borrow)]
    #[schemars(length(min = 1, max = 64))]
    name: Text<'a>,
    /// Whether it is delivered to at once, as it is unless this is false.
    started: Option<bool>,
    /// What is delivered; everything unless this is given.
    filters: Option<Filters>,
}

/// Which endings a listener is told of.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filters {
    /// Only what has a greater sequence.
    sequence_above: Option<u64>,
    /// Only of such transactions.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<Kind>,
}

/// Kinds of transactions that there are.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Public,
}

/// A listener to be made.
#[derive(Debug)]
pub(crate) struct New {
    pub(super) name: String,
    pub(super) started: bool,
    pub(super) above: u64,
    pub(super) public_only: bool,
}

impl CreateParams<'_> {
    pub(super) fn checked(self) -> Result<New, RpcError> {
        let filters = self.filters.unwrap_or_default();
        Ok(New {
            name: name(self.name)?,
            started: self.started.unwrap_or(true),
            above: filters.sequence_above.unwrap_or(0),
            public_only: filters.kind.is_some(),
        })
    }
}

/// The name of a listener.
pub(super) fn name(text: Text<'_>) -> Result<String, RpcError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if text.0.is_empty() || text.0.len() > NAME_MAX || !text.0.bytes().all(allowed) {
        return Err(RpcError::params(format!(
            "name: \"{}\" is no name of a listener; write 1 to {NAME_MAX} letters, digits, and . _ -",
            shortened(&text.0)
        )));
    }
    Ok(text.0.into_owned())
}

/// Which listeners are listed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct QueryParams {
    /// Only those that are started, or stopped.
    started: Option<bool>,
    /// Most in the list.
    #[schemars(range(min = 1, max = 1000))]
    limit: Option<usize>,
}

impl QueryParams {
    pub(super) fn checked_limit(&self, most: usize) -> Result<usize, RpcError> {
        match self.limit {
            Some(limit) if limit == 0 || limit > most => Err(RpcError::params(format!("limit: {limit} is not between 1 and {most}"))),
            limit => Ok(limit.unwrap_or(most)),
        }
    }

    pub(super) fn wants(&self, row: &ListenerRow) -> bool {
        self.started.is_none_or(|started| started == row.started)
    }
}

/// The object of `ptx_getReceiptListener`.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Listener {
    name: String,
    created: u64,
    started: bool,
    filters: Filters,
    /// Everything up to this sequence has been acknowledged.
    checkpoint: u64,
    /// The sequence of the newest ending there is.
    newest: u64,
    /// Those that are open: one is delivered to, the others stand in line.
    subscriptions: usize,
}

impl Listener {
    pub(super) fn new(name: &str, row: ListenerRow, newest: u64, subscriptions: usize) -> Self {
        Self {
            name: name.to_owned(),
            created: row.created_at,
            started: row.started,
            filters: Filters { sequence_above: Some(row.above), kind: row.public_only.then_some(Kind::Public) },
            checkpoint: row.checkpoint,
            newest,
            subscriptions,
        }
    }
}

/// What `ptx_subscription` brings as `params`.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Batch<'a> {
    #[schemars(with = "schema::Id")]
    subscription: Uuid,
    result: BatchResult<'a>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct BatchResult<'a> {
    /// The sequence of its last receipt: what is acknowledged with it.
    batch_id: u64,
    /// At most 100, in the order of their sequences.
    #[schemars(with = "Vec<EndedReceipt>")]
    receipts: &'a RawValue,
}

/// What `ptx_subscriptionEnded` brings as `params`: nothing more comes, and the subscription takes no acknowledgement.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Ended {
    #[schemars(with = "schema::Id")]
    subscription: Uuid,
    /// Why it has ended.
    reason: String,
}

/// How a transaction ended: its receipt as `ptx_getTransactionReceipt` gives it, or why it failed.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct EndedReceipt {
    sequence: u64,
    #[schemars(with = "schema::Id")]
    id: Uuid,
    #[serde(flatten)]
    end: EndObject,
}

#[derive(JsonSchema, Serialize)]
#[serde(untagged)]
enum EndObject {
    Mined(Box<Receipt>),
    #[serde(rename_all = "camelCase")]
    Failed {
        success: bool,
        failure_message: String,
    },
}

impl EndedReceipt {
    fn new(ending: &Ending, reasons: &Reasons) -> Self {
        let end = match &ending.end {
            End::Mined(row) => {
                let said = reverted(ending.id, &ending.end).and_then(|reverted| reasons.get(&reverted).cloned().flatten());
                let mut receipt = Receipt::from(&**row);
                receipt.revert_reason = said;
                EndObject::Mined(Box::new(receipt))
            }
            End::Failed(row) => EndObject::Failed { success: false, failure_message: row.reason.clone() },
        };
        Self { sequence: ending.sequence, id: ending.id, end }
    }
}

/// The endings of a page as they are delivered.
pub(super) fn receipts(page: &Page, reasons: &Reasons) -> serde_json::Result<Box<RawValue>> {
    serde_json::value::to_raw_value(&page.endings.iter().map(|ending| EndedReceipt::new(ending, reasons)).collect::<Vec<_>>())
}

/// A batch as a message.
pub(super) fn notification(subscription: Uuid, batch_id: u64, receipts: &RawValue) -> Vec<u8> {
    message("ptx_subscription", Batch { subscription, result: BatchResult { batch_id, receipts } })
}

/// The end of a subscription, as a message.
pub(super) fn ended(subscription: Uuid, reason: String) -> Vec<u8> {
    message("ptx_subscriptionEnded", Ended { subscription, reason })
}

fn message(method: &'static str, params: impl Serialize) -> Vec<u8> {
    #[derive(Serialize)]
    struct Notification<T> {
        jsonrpc: &'static str,
        method: &'static str,
        params: T,
    }
    let notification = Notification { jsonrpc: "2.0", method, params };
    serde_json::to_vec(&notification).expect("these types have string keys, and a Vec takes every byte")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use storage::FailureRow;

    use super::*;
    use crate::view::testing::History;

    #[test]
    fn a_batch_shows_receipts_as_the_interface_does_and_failures_with_their_reason() {
        let mut history = History::new();
        let id = history.bound(1, 5, None);
        history.block(12, &[id]);
        let mut page = Page::read(history.store(), 0, u64::MAX, 1).expect("a read");
        let receipt = serde_json::to_value(Receipt::from(&history.view(id, 1).receipt.expect("mined"))).expect("JSON");
        let failed = Uuid::from_u128(9);
        let failure = FailureRow { reason: "no".into(), failed_at: 3 };
        page.endings.push(Ending { sequence: 4, id: failed, end: End::Failed(failure) });
        let said = notification(Uuid::nil(), 4, &receipts(&page, &Reasons::new()).expect("JSON"));
        let mut said: Value = serde_json::from_slice(&said).expect("JSON");
        assert_eq!((&said["method"], &said["params"]["subscription"]), (&json!("ptx_subscription"), &json!(Uuid::nil())));
        let mut told = said["params"]["result"].take();
        assert_eq!(told["batchId"], 4);
        let first = told["receipts"][0].as_object_mut().expect("an object");
        assert_eq!((first.remove("sequence"), first.remove("id")), (Some(json!(1)), Some(json!(id))));
        assert_eq!(Value::Object(first.clone()), receipt);
        assert_eq!(told["receipts"][1], json!({ "sequence": 4, "id": failed, "success": false, "failureMessage": "no" }));
    }
}
