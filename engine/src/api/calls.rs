//! From a body to its reply.
//!
//! ```text
//! body ─► requests ─► one plan each ─► sends of all plans, in order ─► Engine::submit, once
//!                                                                          │ on disk, or why not
//!                     reply ◄── each plan's result, in order ◄── look-ups ─┘
//! ```
//!
//! The sends of a body are made first, so a look-up in the same batch finds what was sent in it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::vec;

use alloy::primitives::Address;
use serde::Serialize;
use serde_json::value::RawValue;
use storage::Store;
use uuid::Uuid;

use super::control::Order;
use super::envelope::{Body, Call, Request};
use super::error::{INTERNAL, INVALID_REQUEST, METHOD_NOT_FOUND, RpcError};
use super::params::PauseEnd;
use super::render::{Full, Receipt, SigningAddress, Transaction, Transactions};
use super::{Api, envelope, params};
use crate::engine::{Submission, SubmitError};
use crate::query::{Query, QueryError};
use crate::view::TransactionView;

/// Look-ups of a batch end with an error once its reply is this long: a small request must not make a huge reply.
const MAX_REPLY_BYTES: usize = 64 * 1024 * 1024;
/// What one reply takes, about, to make room for it at once.
const REPLY_BYTES: usize = 96;

/// How long a shard is waited for when it is asked about a transaction; many runs of it.
const LIVE_WAIT: Duration = Duration::from_millis(500);

/// The methods, as an unknown one is told.
const METHODS: &str = "ptx_sendTransaction, ptx_sendTransactions, ptx_getTransaction, ptx_getTransactionFull, \
     ptx_getTransactionByIdempotencyKey, ptx_getTransactionReceipt, ptx_queryTransactions, ptx_getAddress, ptx_pauseAddress, \
     ptx_resumeAddress, ptx_cancelTransaction, ptx_suspendTransaction, ptx_resumeTransaction, ptx_updateTransaction, \
     ptx_clearGasPriceCache";

/// What is to be done for one request.
enum Plan {
    Refused(RpcError),
    /// The next submission is its.
    Send,
    /// For each element: the next submission is its, or why there is none.
    SendMany(Vec<Result<(), RpcError>>),
    Look(Look),
    ClearGasPrice,
    Signer(Signer),
    Order(Order),
}

/// A question to the store.
enum Look {
    Transaction(Uuid),
    Full(Uuid),
    ByKey(String),
    Receipt(Uuid),
    Query(Query),
}

/// A question or an order about a signing address.
enum Signer {
    Show(Address),
    Pause(Address, PauseEnd),
    Resume(Address),
}

/// What a reader found.
enum Found {
    /// The answer.
    Answer(Box<RawValue>),
    /// An open transaction, of which its shard knows more; and whether all of it is asked for.
    Open(Box<TransactionView>, bool),
}

type Outcomes = vec::IntoIter<Result<Uuid, SubmitError>>;

/// An element of the reply to `ptx_sendTransactions`.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Sent {
    Id(Uuid),
    Error(RpcError),
}

/// The reply to a body; empty if it had only notifications.
pub(super) async fn answer<S: Store>(api: &Api<S>, body: &[u8]) -> Vec<u8> {
    match envelope::read(body, api.limits.batch) {
        Ok(Body::Single(request)) => answer_all(api, vec![request], false).await,
        Ok(Body::Batch(requests)) => answer_all(api, requests, true).await,
        Err(error) => {
            api.metrics.api_errors.increment(1);
            error_reply(&error)
        }
    }
}

/// A whole reply that is one error to nobody in particular.
pub(super) fn error_reply(error: &RpcError) -> Vec<u8> {
    let mut out = Vec::with_capacity(REPLY_BYTES + error.message.len());
    write_reply(&mut out, RawValue::NULL, Err::<(), _>(error));
    out
}

/// What a body asks to be sent, as the engine would be given it: everything between the socket and [`Engine::submit`](crate::Engine::submit).
/// For whoever looks at the decoder without a server: benches and fuzzers.
///
/// # Errors
/// The words of the first error that a request of it would be answered with.
pub fn submissions(body: &[u8], batch_max: usize) -> Result<Vec<Submission>, String> {
    let requests = match envelope::read(body, batch_max) {
        Ok(Body::Single(request)) => vec![request],
        Ok(Body::Batch(requests)) => requests,
        Err(error) => return Err(error.message),
    };
    let mut submissions = Vec::new();
    for request in requests {
        match plan(request.call, batch_max, &mut submissions) {
            Plan::Refused(error) => return Err(error.message),
            Plan::SendMany(elements) => elements.into_iter().collect::<Result<(), _>>().map_err(|error| error.message)?,
            _ => {}
        }
    }
    Ok(submissions)
}

async fn answer_all<S: Store>(api: &Api<S>, requests: Vec<Request<'_>>, batch: bool) -> Vec<u8> {
    api.metrics.api_calls.increment(requests.len() as u64);
    let mut submissions = Vec::new();
    let plans: Vec<_> = requests.into_iter().map(|request| (request.id, plan(request.call, api.limits.batch, &mut submissions))).collect();
    let mut out = Vec::with_capacity(REPLY_BYTES * (plans.len() + submissions.len()));
    let mut outcomes = if submissions.is_empty() { Vec::new().into_iter() } else { api.engine.submit(submissions).await.into_iter() };
    for (id, plan) in plans {
        let start = out.len();
        out.push(if out.is_empty() { b'[' } else { b',' });
        carry_out(api, plan, id, &mut outcomes, &mut out).await;
        if id.is_none() {
            // A notification: done, and nothing is said about it.
            out.truncate(start);
        }
    }
    close(out, batch)
}

/// Ends the list of replies, or takes the one reply out of it.
fn close(mut out: Vec<u8>, batch: bool) -> Vec<u8> {
    match (out.is_empty(), batch) {
        (true, _) => {}
        (false, true) => out.push(b']'),
        (false, false) => {
            out.remove(0);
        }
    }
    out
}

fn plan(call: Result<Call<'_>, RpcError>, most: usize, submissions: &mut Vec<Submission>) -> Plan {
    let planned = call.and_then(|call| {
        let params = call.params;
        Ok(match call.method.as_ref() {
            "ptx_sendTransaction" => {
                submissions.push(params::transaction(params)?);
                Plan::Send
            }
            "ptx_sendTransactions" => {
                let elements = params::transactions(params, most)?.into_iter();
                Plan::SendMany(elements.map(|element| element.map(|submission| submissions.push(submission))).collect())
            }
            "ptx_getTransaction" => Plan::Look(Look::Transaction(params::id(params)?)),
            "ptx_getTransactionFull" => Plan::Look(Look::Full(params::id(params)?)),
            "ptx_getTransactionByIdempotencyKey" => Plan::Look(Look::ByKey(params::key(params)?)),
            "ptx_getTransactionReceipt" => Plan::Look(Look::Receipt(params::id(params)?)),
            "ptx_clearGasPriceCache" => Plan::ClearGasPrice,
            "ptx_getAddress" => Plan::Signer(Signer::Show(params::signing_address(params)?)),
            "ptx_pauseAddress" => {
                let (address, end) = params::pause(params)?;
                Plan::Signer(Signer::Pause(address, end))
            }
            "ptx_resumeAddress" => Plan::Signer(Signer::Resume(params::resume(params)?)),
            "ptx_queryTransactions" => Plan::Look(Look::Query(params::query(params)?)),
            other => {
                if let Some(order) = Order::read(other, params) {
                    return order.map(Plan::Order);
                }
                let message = format!("unknown method \"{}\"; there are {METHODS}", super::quantity::shortened(other));
                return Err(RpcError::new(METHOD_NOT_FOUND, message));
            }
        })
    });
    planned.unwrap_or_else(Plan::Refused)
}

/// Finishes one request and writes its reply.
async fn carry_out<S: Store>(api: &Api<S>, plan: Plan, id: Option<&RawValue>, outcomes: &mut Outcomes, out: &mut Vec<u8>) {
    let id = id.unwrap_or(RawValue::NULL);
    let errors = &api.metrics.api_errors;
    match plan {
        Plan::Refused(error) => {
            errors.increment(1);
            write_reply(out, id, Err::<(), _>(&error));
        }
        Plan::Send => {
            let result = next(outcomes).inspect_err(|_| errors.increment(1));
            write_reply(out, id, result.as_ref());
        }
        Plan::SendMany(elements) => {
            let sent: Vec<_> = elements
                .into_iter()
                .map(|element| match element.and_then(|()| next(outcomes)) {
                    Ok(id) => Sent::Id(id),
                    Err(error) => {
                        errors.increment(1);
                        Sent::Error(error)
                    }
                })
                .collect();
            write_reply(out, id, Ok(&sent));
        }
        Plan::ClearGasPrice => {
            api.engine.clear_gas_price().await;
            write_reply(out, id, Ok(true));
        }
        Plan::Signer(signer) => {
            let result = signer.answer(api).await.inspect_err(|_| errors.increment(1));
            write_reply(out, id, result.as_ref());
        }
        Plan::Order(order) => {
            let result = order.carry_out(api).await.inspect_err(|_| errors.increment(1));
            write_reply(out, id, result.as_ref());
        }
        Plan::Look(look) => {
            let result = if out.len() > MAX_REPLY_BYTES {
                let message = format!("the replies of this batch are over {MAX_REPLY_BYTES} bytes; ask in smaller batches");
                Err(RpcError::new(INVALID_REQUEST, message))
            } else {
                look_up(api, look).await
            };
            let result = result.inspect_err(|_| errors.increment(1));
            write_reply(out, id, result.as_deref());
        }
    }
}

/// The engine's word on the next submission of the body.
fn next(outcomes: &mut Outcomes) -> Result<Uuid, RpcError> {
    match outcomes.next() {
        Some(outcome) => outcome.map_err(RpcError::from),
        None => Err(RpcError::new(INTERNAL, "the engine answered fewer submissions than it was given")),
    }
}

/// Asks a reader; the answer is written as JSON there, off the control thread.
async fn look_up<S: Store>(api: &Api<S>, look: Look) -> Result<Box<RawValue>, RpcError> {
    let required = api.required_confirmations;
    match api.engine.readers().run(move |store| look.answer(store, required)).await?? {
        Found::Answer(answer) => Ok(answer),
        Found::Open(mut view, full) => {
            // A shard that is busy for so long is not waited for: what is on disk is true as well.
            view.live = tokio::time::timeout(LIVE_WAIT, api.engine.live(view.asked())).await.unwrap_or_default();
            shown(&view, full)
        }
    }
}

fn shown(view: &TransactionView, full: bool) -> Result<Box<RawValue>, RpcError> {
    if full { json(Some(Full::from(view))) } else { json(Some(Transaction::from(view))) }
}

/// An open transaction is shown once its shard has been asked; any other one at once.
fn found(view: Option<TransactionView>, full: bool) -> Result<Found, RpcError> {
    match view {
        Some(view) if view.is_open() => Ok(Found::Open(Box::new(view), full)),
        Some(view) => shown(&view, full).map(Found::Answer),
        None => json(()).map(Found::Answer),
    }
}

impl Signer {
    async fn answer<S: Store>(self, api: &Api<S>) -> Result<SigningAddress, RpcError> {
        let address = match self {
            Self::Show(address) => address,
            Self::Pause(address, end) => {
                let now_ms =
                    || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
                let until_ms = match end {
                    PauseEnd::Never => None,
                    PauseEnd::AtMs(until) => Some(until),
                    PauseEnd::AfterMs(time) => Some(now_ms().saturating_add(time)),
                };
                // The latest time that can be stored means "without an end".
                api.engine.pause(address, until_ms.map(|until| until.saturating_mul(1000).min(u64::MAX - 1))).await?;
                address
            }
            Self::Resume(address) => {
                api.engine.resume(address).await?;
                address
            }
        };
        Ok(api.engine.address(address).await?.into())
    }
}

impl Look {
    fn answer<S: Store>(&self, store: &S, required: u64) -> Result<Found, RpcError> {
        match self {
            Self::Transaction(id) => found(TransactionView::read(store, *id, required)?, false),
            Self::Full(id) => found(TransactionView::read(store, *id, required)?, true),
            Self::ByKey(key) => {
                let view = match storage::read::by_key(store, key)? {
                    Some((id, _)) => TransactionView::read(store, id, required)?,
                    None => None,
                };
                found(view, false)
            }
            Self::Receipt(id) => json(storage::read::receipt(store, *id)?.as_ref().map(Receipt::from)).map(Found::Answer),
            Self::Query(query) => match query.run(store, required) {
                Ok(page) => json(Transactions::from(&page)).map(Found::Answer),
                Err(QueryError::Store(error)) => Err(error.into()),
                Err(error) => Err(RpcError::params(error.to_string())),
            },
        }
    }
}

fn json(value: impl Serialize) -> Result<Box<RawValue>, RpcError> {
    serde_json::value::to_raw_value(&value).map_err(RpcError::internal)
}

fn write_reply<T: Serialize>(out: &mut Vec<u8>, id: &RawValue, result: Result<T, &RpcError>) {
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    out.extend_from_slice(id.get().as_bytes());
    let written = match result {
        Ok(result) => {
            out.extend_from_slice(b",\"result\":");
            serde_json::to_writer(&mut *out, &result)
        }
        Err(error) => {
            out.extend_from_slice(b",\"error\":");
            serde_json::to_writer(&mut *out, error)
        }
    };
    written.expect("these types have string keys, and a Vec takes every byte");
    out.push(b'}');
}

#[cfg(test)]
mod tests {
    use super::super::error::BUSY;
    use super::*;

    #[test]
    fn a_reply_repeats_the_id_as_it_was_written() {
        let id = RawValue::from_string("\"a\\u0062\"".into()).expect("JSON");
        let mut out = Vec::new();
        write_reply(&mut out, &id, Ok(Uuid::nil()));
        let text = String::from_utf8(out).expect("UTF-8");
        assert_eq!(text, r#"{"jsonrpc":"2.0","id":"a\u0062","result":"00000000-0000-0000-0000-000000000000"}"#);
    }

    #[test]
    fn an_error_carries_its_code_message_and_data() {
        let text = String::from_utf8(error_reply(&RpcError::busy("full", 20))).expect("UTF-8");
        let expected = format!(r#"{{"jsonrpc":"2.0","id":null,"error":{{"code":{BUSY},"message":"full","data":{{"retryAfterMs":20}}}}}}"#);
        assert_eq!(text, expected);
    }

    #[test]
    fn an_element_of_a_list_is_an_id_or_an_error() {
        let sent = [Sent::Id(Uuid::nil()), Sent::Error(RpcError::params("no"))];
        let text = serde_json::to_string(&sent).expect("JSON");
        assert_eq!(text, r#"[{"id":"00000000-0000-0000-0000-000000000000"},{"error":{"code":-32602,"message":"no"}}]"#);
    }

    #[test]
    fn a_batch_is_a_list_and_silence_is_empty() {
        assert_eq!(close(b"[1,2".to_vec(), true), b"[1,2]");
        assert_eq!(close(b"[1".to_vec(), false), b"1");
        assert_eq!(close(Vec::new(), true), b"");
    }
}
