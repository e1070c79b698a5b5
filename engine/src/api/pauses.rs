//! Parameters about signing addresses: which one, and until when it is paused (row A17).

use alloy::primitives::Address;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::params::{address, single};
use crate::jsonrpc::error::RpcError;
use crate::jsonrpc::quantity::Text;
use crate::jsonrpc::schema;

/// `[address]`.
pub(super) fn signing_address(params: Option<&RawValue>) -> Result<Address, RpcError> {
    address("address", &single::<Text<'_>>(params, "[address]")?.0)
}

/// A pause as callers write it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct PauseParams<'a> {
    /// Signing address.
    #[serde(borrow)]
    #[schemars(with = "schema::Address")]
    address: Text<'a>,
    /// When the pause ends, ms since the Unix epoch.
    until_ms: Option<u64>,
    /// When the pause ends, ms from now; without either it has no end.
    #[schemars(range(min = 1))]
    for_ms: Option<u64>,
}

/// When a pause ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PauseEnd {
    Never,
    /// ms since the Unix epoch.
    AtMs(u64),
    /// ms from now.
    AfterMs(u64),
}

/// An address alone, or the object of an order that names it: `ptx_pauseAddress` and `ptx_resumeAddress` take both.
fn named<'a>(params: Option<&'a RawValue>, usage: &str) -> Result<PauseParams<'a>, RpcError> {
    let raw = single::<&RawValue>(params, usage)?;
    if raw.get().starts_with('"') {
        let address = single::<Text<'_>>(params, usage)?;
        return Ok(PauseParams { address, until_ms: None, for_ms: None });
    }
    single(params, usage)
}

/// `ptx_resumeAddress([{address}])`, or `[address]`.
pub(super) fn resume(params: Option<&RawValue>) -> Result<Address, RpcError> {
    let raw = named(params, "[{address}] or [address]")?;
    if raw.until_ms.is_some() || raw.for_ms.is_some() {
        return Err(RpcError::params("untilMs and forMs belong to ptx_pauseAddress: a resumption has no end; leave them out"));
    }
    address("address", &raw.address.0)
}

/// `ptx_pauseAddress([{address, untilMs? or forMs?}])`, or `[address]` for a pause without an end.
pub(super) fn pause(params: Option<&RawValue>) -> Result<(Address, PauseEnd), RpcError> {
    let raw = named(params, "[{address, untilMs? or forMs?}] or [address]")?;
    let end = match (raw.until_ms, raw.for_ms) {
        (None, None) => PauseEnd::Never,
        (Some(until), None) => PauseEnd::AtMs(until),
        (None, Some(0)) => {
            return Err(RpcError::params("forMs: 0 is no time; give at least 1, or leave it out for a pause without an end"));
        }
        (None, Some(time)) => PauseEnd::AfterMs(time),
        (Some(_), Some(_)) => return Err(RpcError::params("untilMs and forMs: give one of them, or neither for a pause without an end")),
    };
    Ok((address("address", &raw.address.0)?, end))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    #[test]
    fn a_pause_has_one_end_or_none() {
        let read = |fields: &str| pause(Some(&raw(&format!("[{{\"address\":\"{FROM}\"{fields}}}]"))));
        assert_eq!(read("").expect("a pause").1, PauseEnd::Never);
        assert_eq!(read(",\"untilMs\":7").expect("a pause").1, PauseEnd::AtMs(7));
        assert_eq!(read(",\"forMs\":7").expect("a pause").1, PauseEnd::AfterMs(7));
        for (fields, shown) in
            [(",\"forMs\":0", "forMs: 0"), (",\"forMs\":1,\"untilMs\":1", "one of them"), (",\"for\":1", "unknown field `for`")]
        {
            let error = read(fields).expect_err(fields);
            assert!(error.message.contains(shown), "{fields}: {}", error.message);
        }
    }

    #[test]
    fn pausing_and_resuming_take_an_address_in_the_same_shapes() {
        for json in [format!("[\"{FROM}\"]"), format!("[{{\"address\":\"{FROM}\"}}]")] {
            let params = raw(&json);
            assert_eq!(resume(Some(&params)).expect("an address").to_string(), FROM);
            assert_eq!(
                pause(Some(&params)).map(|(address, end)| (address.to_string(), end)).expect("a pause"),
                (FROM.to_owned(), PauseEnd::Never)
            );
        }
        let timed = raw(&format!("[{{\"address\":\"{FROM}\",\"forMs\":1}}]"));
        assert!(resume(Some(&timed)).expect_err("no end").message.contains("ptx_pauseAddress"));
    }
}
