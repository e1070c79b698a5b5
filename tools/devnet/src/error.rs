//! JSON-RPC errors with the codes and words of geth.
//!
//! geth answers almost everything that goes wrong in its pool with code −32000 and a sentence; clients match on the
//! sentence. So each rule of the pool has one constructor here, and the text stands in one place.

use std::{borrow::Cow, fmt};

use alloy::primitives::{Bytes, U256};

/// The request is not valid JSON.
pub(crate) const PARSE_ERROR: i64 = -32_700;
/// The JSON is not a JSON-RPC request.
pub(crate) const INVALID_REQUEST: i64 = -32_600;
/// No such method.
pub(crate) const METHOD_NOT_FOUND: i64 = -32_601;
/// Wrong parameters.
pub(crate) const INVALID_PARAMS: i64 = -32_602;
/// geth's code for every error without one of its own, the pool's among them.
pub(crate) const SERVER_ERROR: i64 = -32_000;
/// EIP-1474: a limit is exceeded.
pub(crate) const LIMIT_EXCEEDED: i64 = -32_005;
/// A subscription was asked for where none can be delivered.
pub(crate) const NO_NOTIFICATIONS: i64 = -32_001;
/// geth's code for a call that reverted; the data is the output.
pub(crate) const REVERTED: i64 = 3;

/// A JSON-RPC error object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcError {
    /// The code: JSON-RPC 2.0, EIP-1474, or geth's.
    pub code: i64,
    /// The sentence, in geth's words where geth has some.
    pub message: Cow<'static, str>,
    /// Output of a reverted call.
    pub data: Option<Bytes>,
}

impl RpcError {
    pub(crate) fn new(code: i64, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    pub(crate) fn server(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(SERVER_ERROR, message)
    }

    pub(crate) fn params(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(INVALID_PARAMS, message)
    }

    pub(crate) fn method_not_found(method: &str) -> Self {
        Self::new(METHOD_NOT_FOUND, format!("the method {method} does not exist/is not available"))
    }

    pub(crate) fn missing(index: usize) -> Self {
        Self::params(format!("missing value for required argument {index}"))
    }

    pub(crate) fn invalid(index: usize, reason: impl fmt::Display) -> Self {
        Self::params(format!("invalid argument {index}: {reason}"))
    }

    pub(crate) fn already_known() -> Self {
        Self::server("already known")
    }

    pub(crate) fn nonce_too_low(next: u64, nonce: u64) -> Self {
        Self::server(format!("nonce too low: next nonce {next}, tx nonce {nonce}"))
    }

    pub(crate) fn underpriced_replacement() -> Self {
        Self::server("replacement transaction underpriced")
    }

    pub(crate) fn insufficient_funds(balance: U256, cost: U256) -> Self {
        let overshot = cost - balance;
        Self::server(format!("insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {overshot}"))
    }

    pub(crate) fn insufficient_funds_queued(balance: U256, queued: U256, cost: U256, overshot: U256) -> Self {
        Self::server(format!(
            "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}, overshot {overshot}"
        ))
    }

    pub(crate) fn insufficient_funds_bumped(balance: U256, queued: U256, bump: U256, overshot: U256) -> Self {
        Self::server(format!(
            "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx bumped {bump}, overshot {overshot}"
        ))
    }

    pub(crate) fn type_not_supported(ty: u8) -> Self {
        Self::server(format!("transaction type not supported: tx type {ty} not supported by this pool"))
    }

    pub(crate) fn invalid_sender(reason: impl fmt::Display) -> Self {
        Self::server(format!("invalid sender: {reason}"))
    }

    pub(crate) fn rlp(reason: impl fmt::Display) -> Self {
        Self::server(format!("rlp: {reason}"))
    }

    pub(crate) fn reverted(output: Bytes) -> Self {
        let message = match revert_reason(&output) {
            Some(reason) => Cow::from(format!("execution reverted: {reason}")),
            None => Cow::from("execution reverted"),
        };
        Self { code: REVERTED, message, data: Some(output) }
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} (code {})", self.message, self.code)
    }
}

impl std::error::Error for RpcError {}

/// The text of `Error(string)` in the output of a reverted call, if it is one.
fn revert_reason(output: &[u8]) -> Option<String> {
    const SELECTOR: [u8; 4] = [0x08, 0xc3, 0x79, 0xa0];
    let words = output.strip_prefix(&SELECTOR)?;
    let length = U256::try_from_be_slice(words.get(32..64)?)?;
    let length = usize::try_from(length).ok()?;
    let text = words.get(64..)?.get(..length)?;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::bytes;

    use super::*;

    #[test]
    fn a_revert_with_a_reason_says_it() {
        let output = bytes!(
            "0x08c379a00000000000000000000000000000000000000000000000000000000000000020"
            "00000000000000000000000000000000000000000000000000000000000000046e6f7065"
            "00000000000000000000000000000000000000000000000000000000"
        );
        assert_eq!(RpcError::reverted(output).message, "execution reverted: nope");
    }

    #[test]
    fn a_revert_with_a_truncated_reason_says_only_that_it_reverted() {
        assert_eq!(RpcError::reverted(bytes!("0x08c379a000")).message, "execution reverted");
    }
}
