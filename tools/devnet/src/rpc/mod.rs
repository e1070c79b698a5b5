//! JSON-RPC 2.0: takes requests apart, runs the calls of a batch in order, and writes replies.
//!
//! Fails as geth does: broken JSON is −32700, JSON that is no request −32600 (one reply for it, the rest of a batch still
//! runs), an unknown method −32601, wrong parameters −32602. A call that fails writes nothing but its error.

mod control;
mod eth;
mod logs;
mod params;
mod txpool;
mod write;

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

pub(crate) use self::{params::Params, write::new_head};
use crate::{
    error::{INVALID_REQUEST, LIMIT_EXCEEDED, METHOD_NOT_FOUND, NO_NOTIFICATIONS, PARSE_ERROR, RpcError},
    json,
    node::Node,
};

/// Bytes set aside for the reply to a call, enough for most.
const REPLY_BYTES: usize = 128;

/// Subscriptions one connection can have: each costs a message for every block.
const SUBSCRIPTIONS_MAX: usize = 64;

/// The subscriptions of one connection. Only `newHeads` exists.
#[derive(Debug, Default)]
pub(crate) struct Session {
    subscriptions: Vec<u64>,
    last: u64,
}

impl Session {
    /// Ids of the subscriptions to new heads.
    pub(crate) fn subscriptions(&self) -> &[u64] {
        &self.subscriptions
    }

    fn subscribe(&mut self) -> Result<u64, RpcError> {
        if self.subscriptions.len() >= SUBSCRIPTIONS_MAX {
            return Err(RpcError::new(LIMIT_EXCEEDED, format!("a connection has at most {SUBSCRIPTIONS_MAX} subscriptions")));
        }
        self.last += 1;
        self.subscriptions.push(self.last);
        Ok(self.last)
    }

    fn unsubscribe(&mut self, id: u64) -> bool {
        let before = self.subscriptions.len();
        self.subscriptions.retain(|known| *known != id);
        self.subscriptions.len() < before
    }
}

/// One call of a request.
#[derive(Deserialize)]
pub(crate) struct Call<'a> {
    #[serde(borrow)]
    jsonrpc: &'a RawValue,
    #[serde(borrow)]
    pub(crate) method: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) params: Option<&'a RawValue>,
    /// `None`: a notification. An id of `null` is an id.
    #[serde(borrow, default, deserialize_with = "present")]
    pub(crate) id: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Call<'_> {
    fn is_valid(&self) -> bool {
        self.jsonrpc.get() == "\"2.0\"" && !self.id.is_some_and(|id| id.get().starts_with(['{', '[']))
    }
}

/// The methods called by a request, for choosing faults. A request that is none has none.
pub(crate) fn methods(body: &[u8]) -> Vec<Cow<'_, str>> {
    match serde_json::from_slice::<Vec<Call<'_>>>(body) {
        Ok(calls) => calls.into_iter().map(|call| call.method).collect(),
        Err(_) => serde_json::from_slice::<Call<'_>>(body).map(|call| vec![call.method]).unwrap_or_default(),
    }
}

/// Answers a request or a batch. `None` when nothing in it wants a reply.
pub(crate) fn respond(node: &mut Node, body: &[u8], session: Option<&mut Session>) -> Option<Vec<u8>> {
    let mut session = session;
    if body.trim_ascii_start().first() == Some(&b'[') {
        return respond_batch(node, body, &mut session);
    }
    let mut out = Vec::with_capacity(REPLY_BYTES);
    match serde_json::from_slice::<Call<'_>>(body) {
        Ok(call) => reply(node, &mut session, &call, &mut out),
        Err(_) => {
            let syntax = serde_json::from_slice::<IgnoredAny>(body).is_err();
            write_error(&mut out, None, &if syntax { parse_error() } else { invalid_request() });
        }
    }
    (!out.is_empty()).then_some(out)
}

fn respond_batch(node: &mut Node, body: &[u8], session: &mut Option<&mut Session>) -> Option<Vec<u8>> {
    let single = |error: &RpcError| {
        let mut out = Vec::with_capacity(REPLY_BYTES);
        write_error(&mut out, None, error);
        Some(out)
    };
    // Taken as bare JSON first only when something in it is not a call.
    let calls: Vec<Option<Call<'_>>> = match serde_json::from_slice::<Vec<Call<'_>>>(body) {
        Ok(calls) => calls.into_iter().map(Some).collect(),
        Err(_) => match serde_json::from_slice::<Vec<&RawValue>>(body) {
            Ok(items) => items.into_iter().map(|item| serde_json::from_str(item.get()).ok()).collect(),
            Err(_) => return single(&parse_error()),
        },
    };
    if calls.is_empty() {
        return single(&RpcError::new(INVALID_REQUEST, "empty batch"));
    }
    if calls.len() > node.max_batch {
        return single(&RpcError::new(INVALID_REQUEST, "batch too large"));
    }
    let mut out = Vec::with_capacity(REPLY_BYTES * calls.len());
    for call in &calls {
        out.push(if out.is_empty() { b'[' } else { b',' });
        let before = out.len();
        match call {
            Some(call) => reply(node, session, call, &mut out),
            None => write_error(&mut out, None, &invalid_request()),
        }
        if out.len() == before {
            out.pop();
        }
    }
    if out.is_empty() {
        return None;
    }
    out.push(b']');
    Some(out)
}

fn reply(node: &mut Node, session: &mut Option<&mut Session>, call: &Call<'_>, out: &mut Vec<u8>) {
    node.counts.calls += 1;
    node.tricks.counts.count(&call.method);
    if !call.is_valid() {
        return write_error(out, call.id, &invalid_request());
    }
    let start = out.len();
    begin(out, call.id);
    out.extend_from_slice(b"\"result\":");
    let result = Params::parse(call.params).and_then(|params| {
        refuse(node, &call.method, &params)?;
        run(node, session, &call.method, &params, out)
    });
    match (result, call.id) {
        (_, None) => out.truncate(start),
        (Ok(()), Some(_)) => out.push(b'}'),
        (Err(error), Some(_)) => {
            out.truncate(start);
            write_error(out, call.id, &error);
        }
    }
}

/// Fails when a refusal waits for this call.
fn refuse(node: &mut Node, method: &str, params: &Params<'_>) -> Result<(), RpcError> {
    let sender = if node.tricks.lies.asks_for_sender(method) { params.raw_sender() } else { None };
    node.tricks.lies.refused(method, sender).map_or(Ok(()), Err)
}

fn run(node: &mut Node, session: &mut Option<&mut Session>, method: &str, params: &Params<'_>, out: &mut Vec<u8>) -> Result<(), RpcError> {
    match method {
        "eth_subscribe" | "eth_unsubscribe" => subscription(session.as_deref_mut(), method, params, out),
        _ if method.starts_with("devnet_") => control::run(node, method, params, out),
        _ if method.starts_with("txpool_") => txpool::run(node, method, params, out),
        _ => eth::run(node, method, params, out),
    }
}

fn subscription(session: Option<&mut Session>, method: &str, params: &Params<'_>, out: &mut Vec<u8>) -> Result<(), RpcError> {
    let Some(session) = session else {
        return Err(RpcError::new(NO_NOTIFICATIONS, "notifications not supported"));
    };
    if method == "eth_subscribe" {
        let kind: String = params.required(0)?;
        if kind != "newHeads" {
            return Err(RpcError::new(METHOD_NOT_FOUND, format!("no \"{kind}\" subscription in eth namespace")));
        }
        json::quantity(out, session.subscribe()?);
        return Ok(());
    }
    let id: alloy::primitives::U64 = params.required(0)?;
    if !session.unsubscribe(id.to()) {
        return Err(RpcError::server("subscription not found"));
    }
    out.extend_from_slice(b"true");
    Ok(())
}

fn parse_error() -> RpcError {
    RpcError::new(PARSE_ERROR, "parse error")
}

fn invalid_request() -> RpcError {
    RpcError::new(INVALID_REQUEST, "invalid request")
}

/// Writes a reply up to its result or error.
pub(crate) fn begin(out: &mut Vec<u8>, id: Option<&RawValue>) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.map_or("null", RawValue::get).as_bytes());
    out.push(b',');
}

/// Writes an error reply.
pub(crate) fn write_error(out: &mut Vec<u8>, id: Option<&RawValue>, error: &RpcError) {
    begin(out, id);
    let mut object = json::Object::begin({
        out.extend_from_slice(b"\"error\":");
        out
    });
    object.raw("code", &error.code.to_string());
    object.text("message", &error.message);
    if let Some(data) = &error.data {
        object.data("data", data);
    }
    object.end();
    out.push(b'}');
}
