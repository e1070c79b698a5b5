//! The errors of the interface: JSON-RPC's own codes, and three of millrace's for which trying again is right or asking is needed.
//!
//! | code | meaning | what the caller does |
//! |---|---|---|
//! | -32700 … -32603 | JSON-RPC 2.0, section 5.1 | corrects the request |
//! | -32010 | busy; nothing was accepted | sends it again after `data.retryAfterMs` |
//! | -32011 | the outcome is not known | sends it again, or asks, with the same idempotency key |
//! | -32012 | the idempotency key belongs to another transaction | uses another key; `data.id` is the other transaction |

use std::fmt::Display;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use storage::StoreError;
use uuid::Uuid;

use super::schema;
use crate::engine::SubmitError;
use crate::readers::ReadError;

pub(crate) const PARSE: i32 = -32700;
pub(crate) const INVALID_REQUEST: i32 = -32600;
pub(crate) const METHOD_NOT_FOUND: i32 = -32601;
pub(crate) const INVALID_PARAMS: i32 = -32602;
pub(crate) const INTERNAL: i32 = -32603;
pub(crate) const BUSY: i32 = -32010;
pub(crate) const OUTCOME_UNKNOWN: i32 = -32011;
pub(crate) const IDEMPOTENCY_CONFLICT: i32 = -32012;

/// Pause suggested when readers or memory for bodies are taken, in milliseconds: a few disk reads.
pub(crate) const READ_RETRY_MS: u64 = 50;
/// Pause suggested while the process shuts down, in milliseconds: about a restart.
const RESTART_RETRY_MS: u64 = 1000;

/// The `error` member of a reply.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct RpcError {
    pub(crate) code: i32,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<ErrorData>,
}

/// What a program needs to act on an error.
#[derive(Debug, JsonSchema, Serialize)]
#[serde(untagged)]
pub(crate) enum ErrorData {
    Retry {
        #[serde(rename = "retryAfterMs")]
        retry_after_ms: u64,
    },
    /// What the node said beside its message, as it said it.
    Node(#[schemars(with = "serde_json::Value")] Box<RawValue>),
    Existing {
        #[schemars(with = "schema::Id")]
        id: Uuid,
    },
}

impl RpcError {
    pub(crate) fn new(code: i32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub(crate) fn params(message: impl Into<String>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    pub(crate) fn busy(message: impl Into<String>, retry_after_ms: u64) -> Self {
        Self { data: Some(ErrorData::Retry { retry_after_ms }), ..Self::new(BUSY, message) }
    }

    /// Something that should not happen: logged here, since the caller cannot mend it.
    pub(crate) fn internal(error: impl Display) -> Self {
        tracing::error!(%error, "a call failed inside");
        Self::new(INTERNAL, error.to_string())
    }
}

/// The node's word, handed on.
impl From<netio::RpcError> for RpcError {
    fn from(error: netio::RpcError) -> Self {
        // JSON-RPC leaves the width of a code open; all that are in use fit.
        let code = i32::try_from(error.code).unwrap_or(INTERNAL);
        Self { code, message: error.message, data: error.data.map(ErrorData::Node) }
    }
}

impl From<SubmitError> for RpcError {
    fn from(error: SubmitError) -> Self {
        let message = error.to_string();
        match error {
            SubmitError::Invalid(_) => Self::params(message),
            SubmitError::Busy { retry_after_ms } => Self::busy(message, retry_after_ms),
            SubmitError::Unknown => Self::new(OUTCOME_UNKNOWN, message),
            SubmitError::Conflict { existing } => {
                let data = Some(ErrorData::Existing { id: existing });
                Self { data, ..Self::new(IDEMPOTENCY_CONFLICT, message) }
            }
            // Nothing was accepted, and it can be once the process is back: to a caller that is the same as busy.
            SubmitError::Closed => Self::busy(message, RESTART_RETRY_MS),
        }
    }
}

impl From<ReadError> for RpcError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Busy => Self::busy(error.to_string(), READ_RETRY_MS),
            ReadError::Closed => Self::busy(error.to_string(), RESTART_RETRY_MS),
        }
    }
}

impl From<StoreError> for RpcError {
    fn from(error: StoreError) -> Self {
        match error {
            // A failed write is being resolved; reads work again after that.
            StoreError::Closed => Self::busy(error.to_string(), RESTART_RETRY_MS),
            other => Self::internal(other),
        }
    }
}
