//! How a call ends, in three ways, of which only the first two say anything about its effect.
//!
//! For a transaction: an answer decides its nonce one way or the other; before send, the nonce is untouched; ambiguous, the nonce
//! may be taken, and only the chain or the same bytes sent again can tell.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::wire::Endpoint;

/// Wait of one who was refused while another one's request finds out whether the node is back.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How one call ended.
#[derive(Debug)]
pub enum End {
    /// The node's word: the result, or its refusal.
    Answered(Result<Box<RawValue>, RpcError>),
    /// No byte of the request reached a socket.
    BeforeSend(Fault),
    /// It may have taken effect.
    Ambiguous(Fault),
}

/// What became of the calls of one exchange.
#[derive(Debug)]
pub struct Exchange {
    /// One end for each call, in call order.
    pub ends: Vec<End>,
    /// How long the next request should wait: the node asked for it, or is left alone.
    pub retry_after: Option<Duration>,
}

impl Exchange {
    /// Whether nothing was sent because the endpoint is left alone: it has failed too often, or asked for it.
    pub fn is_put_off(&self) -> bool {
        matches!(self.ends.first(), Some(End::BeforeSend(Fault::Open { .. } | Fault::Throttled { .. })))
    }
}

/// The error object of a JSON-RPC reply.
#[derive(Clone, Debug, Deserialize, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct RpcError {
    /// JSON-RPC's or the node's own code.
    pub code: i64,
    /// The node's words.
    #[serde(default)]
    pub message: String,
    /// More of it, such as the bytes a contract reverted with.
    #[serde(default)]
    pub data: Option<Box<RawValue>>,
}

/// What kept a call from being answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The connection could not be opened.
    #[error("cannot connect to {0}")]
    Connect(String),
    /// The connection ended before the reply or the subscription did.
    #[error("the node closed the connection")]
    Closed,
    /// The time limit for connecting, replying or a sign of life passed.
    #[error("the node did not reply in time")]
    TimedOut,
    /// The endpoint has failed too often and is left alone for a while: see [`Breaker`](super::Breaker).
    #[error("the node has failed several times in a row and is left alone {}", rest(*wait))]
    Open {
        /// What is left of the pause; zero while one request finds out whether the node is back.
        wait: Duration,
    },
    /// The node, or a proxy before it, asks for fewer requests.
    #[error("the node asks for fewer requests{}", wait(*retry_after))]
    Throttled {
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// An HTTP error in place of a JSON-RPC answer.
    #[error("HTTP status {status}{}{detail}", if detail.is_empty() { "" } else { ": " })]
    Http {
        /// The status code.
        status: u16,
        /// The beginning of the body, or the message of its error object.
        detail: String,
    },
    /// The node's word against a subscription.
    #[error("the node refuses: {message} (code {code})")]
    Refused {
        /// JSON-RPC's or the node's own code.
        code: i64,
        /// The node's words.
        message: String,
    },
    /// Neither JSON-RPC nor an HTTP error, or a reply that leaves a call out.
    #[error("the reply is not what JSON-RPC allows: {0}")]
    Malformed(String),
    /// The reply is longer than allowed, or the node refuses a single call as too large.
    #[error("too large: {0}")]
    TooLarge(String),
}

impl Fault {
    /// How long the next request should wait: the node asked for it, or is left alone. Never zero for one that is left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled { retry_after } => *retry_after,
            Self::Open { wait } => Some((*wait).max(LOOK_AGAIN)),
            _ => None,
        }
    }

    /// Without the path of `endpoint`, which may be a key: servers like to repeat it in the body of an error.
    pub(crate) fn concealing(self, endpoint: &Endpoint) -> Self {
        match (self, endpoint.target().path()) {
            (Self::Http { status, detail }, secret) if secret.len() > 1 => Self::Http { status, detail: detail.replace(secret, "/…") },
            (fault, _) => fault,
        }
    }
}

fn rest(wait: Duration) -> String {
    if wait.is_zero() {
        "until one request has found out whether it is back".to_owned()
    } else {
        format!("for {} ms more", wait.as_millis().max(1))
    }
}

fn wait(retry_after: Option<Duration>) -> String {
    retry_after.map_or_else(String::new, |wait| format!(", the next one in {} s", wait.as_secs()))
}

/// Why a single call has no result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The node's word.
    #[error("{method} at {endpoint} was refused: {error}")]
    Rejected {
        /// The method called.
        method: String,
        /// Where, without its path.
        endpoint: String,
        /// The node's error.
        error: RpcError,
    },
    /// No answer came.
    #[error("{method} at {endpoint} has no answer: {fault}")]
    Unanswered {
        /// The method called.
        method: String,
        /// Where, without its path.
        endpoint: String,
        /// What kept it.
        fault: Fault,
        /// How long the next request should wait: the node asked for it, or is left alone.
        retry_after: Option<Duration>,
    },
    /// The result is not of the type asked for.
    #[error("{method} at {endpoint} gave a result that cannot be read: {reason}")]
    Unreadable {
        /// The method called.
        method: String,
        /// Where, without its path.
        endpoint: String,
        /// What the decoder says.
        reason: String,
    },
}

impl CallError {
    pub(super) fn rejected(method: &str, endpoint: &Endpoint, error: RpcError) -> Self {
        Self::Rejected { method: method.to_owned(), endpoint: endpoint.to_string(), error }
    }

    pub(super) fn unanswered(method: &str, endpoint: &Endpoint, fault: Fault, retry_after: Option<Duration>) -> Self {
        Self::Unanswered { method: method.to_owned(), endpoint: endpoint.to_string(), fault, retry_after }
    }

    pub(super) fn unreadable(method: &str, endpoint: &Endpoint, reason: &impl fmt::Display) -> Self {
        Self::Unreadable { method: method.to_owned(), endpoint: endpoint.to_string(), reason: reason.to_string() }
    }
}
