//! Methods about receipt listeners, and what is said to their subscriptions.

use schemars::SchemaGenerator;
use serde_json::{Value, json};

use super::super::calls::Plan;
use super::super::listeners::{Batch, Call, CreateParams, Ended, Listener, QueryParams};
use super::{Method, Param};
use crate::jsonrpc::schema;

const NAME: Param = Param { name: "name", summary: "The name of a listener.", required: true, schema: schema::of::<String> };

const SUBSCRIPTION: Param = Param {
    name: "subscription",
    summary: "What ptx_subscribe returned on this connection.",
    required: true,
    schema: schema::of::<schema::Id>,
};

const BATCH: Param = Param {
    name: "batchId",
    summary: "Which batch is meant; without it the one in flight.",
    required: false,
    schema: schema::of::<Option<u64>>,
};

/// The messages to a subscription.
pub(super) fn notifications(results: &mut SchemaGenerator) -> Value {
    json!([
        {
            "name": "ptx_subscription",
            "summary": "A batch of receipts, in the order of their sequences. It comes again, as do those behind it, until it has been acknowledged. A sequence that was seen before is a repeat; an id that was seen before with a smaller sequence has ended again after a reorg.",
            "params": { "name": "batch", "schema": schema::of::<Batch<'_>>(results) },
        },
        {
            "name": "ptx_subscriptionEnded",
            "summary": "The subscription has ended, because its listener was deleted. What was not acknowledged is not kept for anybody.",
            "params": { "name": "end", "schema": schema::of::<Ended>(results) },
        },
    ])
}

pub(super) static METHODS: [Method; 10] = [
    Method {
        name: "ptx_createReceiptListener",
        summary: "Makes a receipt listener: a named place, kept on disk, in the sequence of all that ends. It begins with the oldest ending there is, or above a sequence.",
        params: &[Param { name: "listener", summary: "What to make.", required: true, schema: schema::of::<CreateParams<'_>> }],
        result: ("created", schema::of::<bool>),
        example: (r#"[{ "name": "orders", "filters": { "sequenceAbove": 0 } }]"#, "true"),
        plan: |args| Call::create(args.params).map(Plan::Listener),
    },
    Method {
        name: "ptx_getReceiptListener",
        summary: "A receipt listener, how far it has been acknowledged, and how far it could be.",
        params: &[NAME],
        result: ("listener", schema::of::<Listener>),
        example: (
            r#"["orders"]"#,
            r#"{ "name": "orders", "created": 1795291200000000, "started": true, "filters": { "sequenceAbove": 0 }, "checkpoint": 0,
                "newest": 2, "subscriptions": 0 }"#,
        ),
        plan: |args| Call::name(args.params).map(Call::Get).map(Plan::Listener),
    },
    Method {
        name: "ptx_queryReceiptListeners",
        summary: "Receipt listeners, by name.",
        params: &[Param { name: "query", summary: "Which ones; without it all.", required: false, schema: schema::of::<QueryParams> }],
        result: ("listeners", schema::of::<Vec<Listener>>),
        example: (
            r#"[{ "started": true, "limit": 10 }]"#,
            r#"[{ "name": "orders", "created": 1795291200000000, "started": true, "filters": { "sequenceAbove": 0 }, "checkpoint": 0,
                "newest": 2, "subscriptions": 0 }]"#,
        ),
        plan: |args| Call::query(args.params).map(Plan::Listener),
    },
    Method {
        name: "ptx_stopReceiptListener",
        summary: "Stops the delivery to whoever subscribes to a receipt listener; what is in flight can still be acknowledged.",
        params: &[NAME],
        result: ("stopped", schema::of::<bool>),
        example: (r#"["orders"]"#, "true"),
        plan: |args| Call::name(args.params).map(Call::Stop).map(Plan::Listener),
    },
    Method {
        name: "ptx_startReceiptListener",
        summary: "Starts the delivery again, from where it was acknowledged.",
        params: &[NAME],
        result: ("started", schema::of::<bool>),
        example: (r#"["orders"]"#, "true"),
        plan: |args| Call::name(args.params).map(Call::Start).map(Plan::Listener),
    },
    Method {
        name: "ptx_subscribe",
        summary: "Over a WebSocket only: has the receipts of a listener brought to this connection, in batches (ptx_subscription), each of which is to be acknowledged before the next one comes. Of several subscriptions to a listener the oldest is delivered to, and the next one when that has ended.",
        params: &[
            Param { name: "type", summary: "\"receipts\".", required: true, schema: schema::of::<String> },
            Param { name: "name", summary: "The name of a listener.", required: true, schema: schema::of::<String> },
        ],
        result: ("subscription", schema::of::<schema::Id>),
        example: (r#"["receipts", "orders"]"#, r#""019aa7c5-9a32-7000-8000-3b6ee1a40009""#),
        plan: |args| Call::subscribe(args.params).map(Plan::Listener),
    },
    Method {
        name: "ptx_nack",
        summary: "Over a WebSocket only: the batch in flight is to come again. It does, as it was, after a pause that doubles with each refusal in a row, from 100 ms to 10 s.",
        params: &[SUBSCRIPTION, BATCH],
        result: ("refused", schema::of::<bool>),
        example: (r#"["019aa7c5-9a32-7000-8000-3b6ee1a40009"]"#, "true"),
        plan: |args| Call::batch(args.params).map(|(id, batch)| Plan::Listener(Call::Nack(id, batch))),
    },
    Method {
        name: "ptx_ack",
        summary: "Over a WebSocket only: the batch in flight has been dealt with. The answer means that this is on disk; the next batch follows.",
        params: &[SUBSCRIPTION, BATCH],
        result: ("acknowledged", schema::of::<bool>),
        example: (r#"["019aa7c5-9a32-7000-8000-3b6ee1a40009"]"#, "true"),
        plan: |args| Call::batch(args.params).map(|(id, batch)| Plan::Listener(Call::Ack(id, batch))),
    },
    Method {
        name: "ptx_unsubscribe",
        summary: "Over a WebSocket only: ends a subscription; what is not acknowledged goes to the next one. False if there was none.",
        params: &[SUBSCRIPTION],
        result: ("ended", schema::of::<bool>),
        example: (r#"["019aa7c5-9a32-7000-8000-3b6ee1a40009"]"#, "true"),
        plan: |args| Call::unsubscribe(args.params).map(Plan::Listener),
    },
    Method {
        name: "ptx_deleteReceiptListener",
        summary: "Deletes a receipt listener, and ends the subscriptions to it, which are told so (ptx_subscriptionEnded).",
        params: &[NAME],
        result: ("deleted", schema::of::<bool>),
        example: (r#"["orders"]"#, "true"),
        plan: |args| Call::name(args.params).map(Call::Delete).map(Plan::Listener),
    },
];
