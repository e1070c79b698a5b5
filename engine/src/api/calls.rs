//! From a body to its reply.
//!
//! ```text
//! body ─► requests ─► one plan each ─► sends of all plans, in order ─► Engine::submit, once
//!                                                                          │ on disk, or why not
//!                     reply ◄── each plan's result, in order ◄── look-ups ─┘
//! ```
//!
//! The sends of a body are made first, so a look-up in the same batch finds what was sent in it.

use std::time::{SystemTime, UNIX_EPOCH};
use std::vec;

use alloy::primitives::Address;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use storage::Store;
use uuid::Uuid;

use super::contracts::Contract;
use super::control::Order;
use super::listeners::{self, Message};
use super::look::Look;
use super::methods::Args;
use super::pauses::PauseEnd;
use super::render::SigningAddress;
use super::{Api, methods};
use crate::engine::{Submission, SubmitError};
use crate::jsonrpc::envelope::{Body, Call, Request};
use crate::jsonrpc::error::{INTERNAL, INVALID_REQUEST, RpcError};
use crate::jsonrpc::reply::{REPLY_BYTES, close, error_reply, write_reply};
use crate::jsonrpc::{envelope, schema};

/// Look-ups of a batch end with an error once its reply is this long: a small request must not make a huge reply.
const MAX_REPLY_BYTES: usize = 64 * 1024 * 1024;
/// What is to be done for one request.
pub(super) enum Plan {
    Refused(RpcError),
    /// The next submission is its.
    Send,
    /// For each element: the next submission is its, or why there is none.
    SendMany(Vec<Result<(), RpcError>>),
    Look(Look),
    Contract(Contract),
    /// The answer is known.
    Known(&'static RawValue),
    ClearGasPrice,
    Signer(Signer),
    Order(Order),
    Listener(listeners::Call),
}

/// A question or an order about a signing address.
pub(super) enum Signer {
    Show(Address),
    Pause(Address, PauseEnd),
    Resume(Address),
}

type Outcomes = vec::IntoIter<Result<Uuid, SubmitError>>;

/// An element of the reply to `ptx_sendTransactions`.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Sent {
    /// It is on disk.
    Id(#[schemars(with = "schema::Id")] Uuid),
    /// It was not accepted.
    Error(RpcError),
}

/// The reply to a body; empty if it had only notifications. `message`: the one of a WebSocket that it is.
pub(super) async fn answer<S: Store>(api: &Api<S>, message: Option<&Message<'_, S>>, body: &[u8]) -> Vec<u8> {
    match envelope::read(body, api.limits.batch) {
        Ok(Body::Single(request)) => answer_all(api, message, vec![request], false).await,
        Ok(Body::Batch(requests)) => answer_all(api, message, requests, true).await,
        Err(error) => {
            api.metrics.api_errors.increment(1);
            error_reply(&error)
        }
    }
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

async fn answer_all<S: Store>(api: &Api<S>, message: Option<&Message<'_, S>>, requests: Vec<Request<'_>>, batch: bool) -> Vec<u8> {
    api.metrics.api_calls.increment(requests.len() as u64);
    let mut submissions = Vec::new();
    let plans: Vec<_> = requests.into_iter().map(|request| (request.id, plan(request.call, api.limits.batch, &mut submissions))).collect();
    let mut out = Vec::with_capacity(REPLY_BYTES * (plans.len() + submissions.len()));
    let mut outcomes = if submissions.is_empty() { Vec::new().into_iter() } else { api.engine.submit(submissions).await.into_iter() };
    for (id, plan) in plans {
        let start = out.len();
        out.push(if out.is_empty() { b'[' } else { b',' });
        carry_out(api, message, plan, id, &mut outcomes, &mut out).await;
        if id.is_none() {
            // A notification: done, and nothing is said about it.
            out.truncate(start);
        }
    }
    close(out, batch)
}

fn plan(call: Result<Call<'_>, RpcError>, most: usize, submissions: &mut Vec<Submission>) -> Plan {
    let planned = call.and_then(|call| {
        let method = methods::find(call.method.as_ref())?;
        (method.plan)(Args { params: call.params, most, submissions })
    });
    planned.unwrap_or_else(Plan::Refused)
}

/// Finishes one request and writes its reply.
async fn carry_out<S: Store>(
    api: &Api<S>,
    message: Option<&Message<'_, S>>,
    plan: Plan,
    id: Option<&RawValue>,
    outcomes: &mut Outcomes,
    out: &mut Vec<u8>,
) {
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
        Plan::Known(answer) => write_reply(out, id, Ok(answer)),
        Plan::ClearGasPrice => {
            api.engine.clear_gas_price().await;
            write_reply(out, id, Ok(true));
        }
        Plan::Contract(contract) => {
            // On the heap: hardly any call is one, and each call's future has room for all it can be.
            let result = Box::pin(contract.answer(api)).await.inspect_err(|_| errors.increment(1));
            write_reply(out, id, result.as_deref());
        }
        Plan::Signer(signer) => {
            let result = signer.answer(api).await.inspect_err(|_| errors.increment(1));
            write_reply(out, id, result.as_ref());
        }
        Plan::Order(order) => {
            let result = order.carry_out(api).await.inspect_err(|_| errors.increment(1));
            write_reply(out, id, result.as_ref());
        }
        Plan::Listener(call) => {
            // On the heap, as above.
            let result = Box::pin(call.answer(&api.listeners, message)).await.inspect_err(|_| errors.increment(1));
            write_reply(out, id, result.as_deref());
        }
        Plan::Look(look) => {
            let result = if out.len() > MAX_REPLY_BYTES {
                let message = format!("the replies of this batch are over {MAX_REPLY_BYTES} bytes; ask in smaller batches");
                Err(RpcError::new(INVALID_REQUEST, message))
            } else {
                look.up(api).await
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_of_a_list_is_an_id_or_an_error() {
        let sent = [Sent::Id(Uuid::nil()), Sent::Error(RpcError::params("no"))];
        let text = serde_json::to_string(&sent).expect("JSON");
        assert_eq!(text, r#"[{"id":"00000000-0000-0000-0000-000000000000"},{"error":{"code":-32602,"message":"no"}}]"#);
    }
}
