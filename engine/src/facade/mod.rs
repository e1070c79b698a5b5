//! The interface of an Ethereum node in front of the engine: any Ethereum tool points here and has its transactions managed (row E2).
//!
//! ```text
//!              ┌─ eth_sendTransaction ──────────► send: engine, until it is bound ─► hash
//!              ├─ personal_sign, typed data ────► sign: a managed key
//! client ─────►├─ eth_accounts, eth_chainId ────► what the engine knows
//!  HTTP, WS    ├─ counts, hashes, raw bytes ────► follow: the engine's truth, then the node's
//!              ├─ eth_subscribe (WebSocket) ────► session: a WebSocket of its own to the node
//!              └─ what facade.allow names ──────► upstream: the node that is used now
//! ```
//!
//! | method | here |
//! |---|---|
//! | `eth_sendTransaction` | from a managed address. Answers once the transaction is bound and on disk. Nonce and price: `facade.nonces`, `facade.fees` |
//! | `eth_sendRawTransaction` | passed on, unless a managed key has signed it: its nonce would collide with the engine's |
//! | `eth_getTransactionCount` | of a managed address at `pending`: the nonce that the next transaction gets, behind all that is bound and all that waits, whatever the node's pool holds. All else is the node's |
//! | `eth_getTransactionByHash` | of any hash that was ever bound: what was mined, or the newest attempt, also while no node has it |
//! | `eth_getTransactionReceipt` | of any hash that was ever bound: the receipt of what was mined, which names its own hash; `null` until then; an error with the reason if the transaction has failed for good |
//! | what else begins with `eth_send`, `eth_sign`, `eth_resend`, `personal_` | refused: it would use keys of the node, or go past the engine |
//!
//! **How it fails.** As `jsonrpc` does. The node's errors are handed on as they are. A node that does not answer is an error
//! too, never a guess. `eth_sendTransaction` has no idempotency key unless `facade.nonces = "check"`: a client that hears nothing must look
//! before it sends again.

mod budget;
mod follow;
mod send;
mod session;
mod sign;
mod typed;

use std::rc::Rc;
use std::sync::Arc;

use futures_util::future::join_all;
use netio::EpollRoom;
use serde::Serialize;
use serde_json::value::RawValue;
use storage::Store;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use self::budget::Budget;
use self::session::Session;
use crate::config::{Config, FacadeConfig};
use crate::engine::Engine;
use crate::jsonrpc::envelope::{self, Body, Call, Request};
use crate::jsonrpc::error::{METHOD_NOT_FOUND, READ_RETRY_MS, RpcError};
use crate::jsonrpc::http::{self, Reply};
use crate::jsonrpc::quantity::shortened;
use crate::jsonrpc::reply::{REPLY_BYTES, close, error_reply, write_reply};
use crate::jsonrpc::upstream::Upstream;
use crate::jsonrpc::{Limits, Outbox, Service};
use crate::metrics::Metrics;

/// Methods that the engine answers in the node's place because it has the keys; `facade.off` names some of them.
pub(crate) const OWN_METHODS: [&str; 5] = ["eth_sendTransaction", "eth_accounts", "eth_chainId", "eth_signTypedData_v4", "personal_sign"];
/// How the names of methods begin that send or sign with a key of a node, or past the engine: never passed on, whatever `facade.allow` says.
const NEVER_PASSED_ON: [&str; 5] = ["eth_send", "eth_sign", "eth_resend", "eth_requestAccounts", "personal_"];
/// The one of them that is looked at, and then passed on.
const SEND_RAW: &str = "eth_sendRawTransaction";

/// What every connection works with.
pub struct Facade<S: Store> {
    engine: Engine<S>,
    metrics: Metrics,
    limits: Limits,
    config: FacadeConfig,
    required_confirmations: u64,
    upstream: Upstream<EpollRoom>,
    /// How many more clients may have a WebSocket of their own to the node.
    links: Arc<Semaphore>,
}

impl<S: Store> Facade<S> {
    /// The interface of a node in front of the engine. Must be made within a [`tokio::task::LocalSet`] with timers and I/O enabled.
    pub fn new(config: &Config, engine: Engine<S>, metrics: Metrics) -> Rc<Self> {
        let upstream = Upstream::new(EpollRoom::new(), engine.roster().clone(), config.facade.connections);
        Rc::new(Self {
            engine,
            metrics,
            limits: Limits::from(&config.api),
            config: config.facade.clone(),
            required_confirmations: config.txmgr.required_confirmations,
            upstream,
            links: Arc::new(Semaphore::new(config.facade.subscribers)),
        })
    }

    async fn reply(&self, session: Option<&Session>, budget: &Budget, request: Request<'_>) -> Vec<u8> {
        let id = request.id;
        let result = match request.call.and_then(|call| budget.check().map(|()| call)) {
            Ok(call) => self.dispatch(session, &call).await.and_then(|result| budget.take(result)),
            Err(error) => Err(error),
        };
        if result.is_err() {
            self.metrics.api_errors.increment(1);
        }
        let Some(id) = id else { return Vec::new() };
        let mut out = Vec::with_capacity(REPLY_BYTES + result.as_ref().map_or(0, |result| result.get().len()));
        write_reply(&mut out, id, result.as_deref());
        out
    }

    async fn reply_all(&self, session: Option<&Session>, body: &[u8]) -> Vec<u8> {
        let budget = Budget::new();
        match envelope::read(body, self.limits.batch) {
            Ok(Body::Single(request)) => {
                self.metrics.api_calls.increment(1);
                self.reply(session, &budget, request).await
            }
            Ok(Body::Batch(requests)) => {
                self.metrics.api_calls.increment(requests.len() as u64);
                let replies = join_all(requests.into_iter().map(|request| self.reply(session, &budget, request))).await;
                let mut out = Vec::with_capacity(replies.iter().map(|reply| reply.len() + 1).sum::<usize>() + 1);
                for reply in replies.iter().filter(|reply| !reply.is_empty()) {
                    out.push(if out.is_empty() { b'[' } else { b',' });
                    out.extend_from_slice(reply);
                }
                close(out, true)
            }
            Err(error) => {
                self.metrics.api_errors.increment(1);
                error_reply(&error)
            }
        }
    }

    async fn dispatch(&self, session: Option<&Session>, call: &Call<'_>) -> Result<Box<RawValue>, RpcError> {
        let (method, params) = (call.method.as_ref(), call.params);
        if self.config.is_off(method) {
            return Err(RpcError::new(METHOD_NOT_FOUND, format!("{method} is turned off here (facade.off)")));
        }
        match method {
            "eth_sendTransaction" => json(self.send(params).await?),
            "eth_accounts" => json(self.engine.addresses().collect::<Vec<_>>()),
            "eth_chainId" => json(alloy::primitives::U64::from(self.chain_id()?)),
            "personal_sign" => json(self.personal_sign(params).await?),
            "eth_signTypedData_v4" => json(self.sign_typed_data(params).await?),
            _ if is_never_passed_on(method) => Err(RpcError::new(
                METHOD_NOT_FOUND,
                format!(
                    "{} would use a key of the node, or go past the engine: send with {} or {SEND_RAW}, sign with {}, list addresses with \
                     eth_accounts",
                    shortened(method),
                    OWN_METHODS[0],
                    OWN_METHODS[3..].join(" or ")
                ),
            )),
            _ if !self.config.allows(method) => {
                let message = format!(
                    "unknown method \"{}\": it is not one of {}, and facade.allow does not name it",
                    shortened(method),
                    OWN_METHODS.join(", ")
                );
                Err(RpcError::new(METHOD_NOT_FOUND, message))
            }
            "eth_subscribe" | "eth_unsubscribe" => match session {
                Some(session) => session.call(&self.upstream, method, params).await,
                None => {
                    Err(RpcError::new(METHOD_NOT_FOUND, format!("{method} works over a WebSocket only: connect with ws:// to this port")))
                }
            },
            SEND_RAW => self.send_raw(params).await,
            "eth_getTransactionCount" => self.transaction_count(params).await,
            "eth_getTransactionByHash" => self.transaction_by_hash(params).await,
            "eth_getTransactionReceipt" => self.transaction_receipt(params).await,
            _ => self.upstream.call(method, params).await,
        }
    }

    fn chain_id(&self) -> Result<u64, RpcError> {
        let unknown = || RpcError::busy("the chain id is not known yet: no node has answered", READ_RETRY_MS);
        self.engine.chain_id().ok_or_else(unknown)
    }
}

/// Serves until `stop` holds `true` or its sender is gone, then lets requests under way finish within five seconds.
///
/// Must run inside a [`tokio::task::LocalSet`] with timers and I/O enabled.
pub async fn serve<S: Store>(listener: TcpListener, facade: Rc<Facade<S>>, stop: watch::Receiver<bool>) {
    http::serve(listener, facade, stop).await;
}

impl<S: Store> Service for Facade<S> {
    type Session = Session;

    const PAGES: &'static [&'static str] = &[];

    fn limits(&self) -> Limits {
        self.limits
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn page(&self, _: &str) -> Option<Reply> {
        None
    }

    async fn answer(&self, body: &[u8]) -> Vec<u8> {
        self.reply_all(None, body).await
    }

    fn open(&self, outbox: Outbox) -> Session {
        Session::new(outbox, Arc::clone(&self.links))
    }

    async fn hear(&self, session: &Session, message: &[u8]) -> Vec<u8> {
        self.reply_all(Some(session), message).await
    }
}

fn is_never_passed_on(method: &str) -> bool {
    method != SEND_RAW && NEVER_PASSED_ON.iter().any(|beginning| method.starts_with(beginning))
}

fn json(value: impl Serialize) -> Result<Box<RawValue>, RpcError> {
    serde_json::value::to_raw_value(&value).map_err(RpcError::internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_sends_or_signs_past_the_engine_is_passed_on() {
        for method in [
            "eth_sign",
            "eth_signTransaction",
            "eth_signTypedData_v3",
            "eth_sendRawTransactionSync",
            "eth_sendRawTransactionConditional",
            "eth_sendBundle",
            "eth_sendPrivateTransaction",
            "eth_resend",
            "eth_requestAccounts",
            "personal_sendTransaction",
            "personal_unlockAccount",
        ] {
            assert!(is_never_passed_on(method), "{method}");
        }
        for method in [SEND_RAW, "eth_call", "eth_subscribe", "eth_simulateV1", "eth_getTransactionReceipt"] {
            assert!(!is_never_passed_on(method), "{method}");
        }
    }
}
