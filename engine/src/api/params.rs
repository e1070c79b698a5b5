//! Parameters of the methods: read from the body, then checked into what the engine takes.
//!
//! Reading is one pass into borrowed text. Only when that fails is the text read again to find out *where*: the error then names
//! the place (`[0].from`) and what was expected. Whether a value can be read is decided here; whether it makes sense (keys, chain, gas) by the engine, for every way in.

use std::borrow::Cow;

use alloy::hex;
use alloy::primitives::{Address, B256, Bytes, U256};
use serde::Deserialize;
use serde_json::value::RawValue;
use storage::{Direction, Fees, Request};
use uuid::Uuid;

use super::authorizations::{AuthorizationParams, authorizations};
use super::envelope::{Bounded, bounded};
use super::error::RpcError;
use super::quantity::{Quantity, Text, shortened};
use crate::engine::Submission;
use crate::query::{Cursor, DEFAULT_PAGE, MAX_PAGE, Query};
use crate::view::Status;

/// Longest idempotency key, in bytes: it is stored twice and compared often; a hash or a UUID fits well.
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 256;

/// A transaction as callers write it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TransactionParams<'a> {
    #[serde(borrow)]
    from: Option<Text<'a>>,
    #[serde(borrow)]
    to: Option<Text<'a>>,
    #[serde(borrow)]
    value: Option<Quantity<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    /// What newer clients call `data`.
    #[serde(borrow)]
    input: Option<Text<'a>>,
    #[serde(borrow)]
    gas: Option<Quantity<'a>>,
    #[serde(borrow)]
    gas_price: Option<Quantity<'a>>,
    #[serde(borrow)]
    max_fee_per_gas: Option<Quantity<'a>>,
    #[serde(borrow)]
    max_priority_fee_per_gas: Option<Quantity<'a>>,
    #[serde(borrow)]
    chain_id: Option<Quantity<'a>>,
    #[serde(borrow)]
    idempotency_key: Option<Text<'a>>,
    #[serde(borrow)]
    depends_on: Option<Vec<Text<'a>>>,
    #[serde(borrow)]
    authorization_list: Option<Vec<AuthorizationParams<'a>>>,
}

impl TransactionParams<'_> {
    pub(super) fn submission(self) -> Result<Submission, RpcError> {
        let from = self.from.as_ref().ok_or_else(|| RpcError::params("from: missing; name the signing address of the transaction"))?;
        let from = address("from", &from.0)?;
        let to = self.to.as_ref().map(|to| address("to", &to.0)).transpose()?;
        let value = self.value.as_ref().map_or(Ok(U256::ZERO), |value| value.u256("value"))?;
        let data = payload(self.data.as_ref(), self.input.as_ref())?.unwrap_or_default();
        let gas = self.gas.as_ref().map(|gas| gas.u64("gas")).transpose()?;
        let fees = fees(self.gas_price.as_ref(), self.max_fee_per_gas.as_ref(), self.max_priority_fee_per_gas.as_ref())?;
        let chain_id = self.chain_id.as_ref().map(|id| id.u64("chainId")).transpose()?;
        let idempotency_key = self.idempotency_key.map(|key| idempotency_key(key.0)).transpose()?;
        let authorizations = self.authorization_list.map_or(Ok(Vec::new()), authorizations)?;
        let depends_on = self.depends_on.map_or(Ok(Vec::new()), |ids| super::control::ids("dependsOn", &ids))?;
        Ok(Submission { request: Request { from, to, value, data, gas, fees, authorizations }, chain_id, idempotency_key, depends_on })
    }
}

/// Call data under either name; `None` where there is none.
pub(super) fn payload(data: Option<&Text<'_>>, input: Option<&Text<'_>>) -> Result<Option<Bytes>, RpcError> {
    let (field, text) = match (data, input) {
        (Some(data), Some(input)) if data != input => {
            return Err(RpcError::params("data and input differ; leave one of them out"));
        }
        (Some(data), _) => ("data", data),
        (None, Some(input)) => ("input", input),
        (None, None) => return Ok(None),
    };
    let bytes = text.0.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
    bytes.map(|bytes| Some(Bytes::from(bytes))).ok_or_else(|| {
        RpcError::params(format!("{field}: \"{}\" is not hexadecimal; write 0x and two digits for each byte", shortened(&text.0)))
    })
}

/// A fixed price of either kind, or the market's.
pub(super) fn fees(price: Option<&Quantity<'_>>, cap: Option<&Quantity<'_>>, tip: Option<&Quantity<'_>>) -> Result<Fees, RpcError> {
    match (price, cap, tip) {
        (None, None, None) => Ok(Fees::Market),
        (Some(price), None, None) => Ok(Fees::Legacy { gas_price: price.u128("gasPrice")? }),
        (None, Some(cap), Some(tip)) => {
            Ok(Fees::Dynamic { max_fee_per_gas: cap.u128("maxFeePerGas")?, max_priority_fee_per_gas: tip.u128("maxPriorityFeePerGas")? })
        }
        (Some(_), _, _) => {
            Err(RpcError::params("gasPrice: cannot stand beside maxFeePerGas or maxPriorityFeePerGas; leave one kind of price out"))
        }
        (None, Some(_), None) => Err(RpcError::params("maxPriorityFeePerGas: missing beside maxFeePerGas; give both or neither")),
        (None, None, Some(_)) => Err(RpcError::params("maxFeePerGas: missing beside maxPriorityFeePerGas; give both or neither")),
    }
}

pub(super) fn address(field: &str, text: &str) -> Result<Address, RpcError> {
    fixed(field, text, "an address: write 0x and 40 hexadecimal digits").map(Address::from)
}

/// Exactly `N` bytes in hexadecimal.
fn fixed<const N: usize>(field: &str, text: &str, expected: &str) -> Result<[u8; N], RpcError> {
    let mut bytes = [0; N];
    let decoded = text.strip_prefix("0x").map(|digits| hex::decode_to_slice(digits, &mut bytes));
    match decoded {
        Some(Ok(())) => Ok(bytes),
        _ => Err(RpcError::params(format!("{field}: \"{}\" is not {expected}", shortened(text)))),
    }
}

fn idempotency_key(key: Cow<'_, str>) -> Result<String, RpcError> {
    if key.is_empty() || key.len() > MAX_IDEMPOTENCY_KEY_BYTES {
        return Err(RpcError::params(format!("idempotencyKey: has {} bytes; it must have 1 to {MAX_IDEMPOTENCY_KEY_BYTES}", key.len())));
    }
    Ok(key.into_owned())
}

/// `params` must be there; `usage` shows what it should be.
fn given<'a>(params: Option<&'a RawValue>, usage: &str) -> Result<&'a str, RpcError> {
    params.map(RawValue::get).ok_or_else(|| RpcError::params(format!("params: missing; write {usage}")))
}

/// An array with exactly one element.
fn single<'a, T: Deserialize<'a>>(params: Option<&'a RawValue>, usage: &str) -> Result<T, RpcError> {
    elements::<(T,)>(params, usage).map(|(value,)| value)
}

/// An array with the elements of the tuple `T`.
pub(super) fn elements<'a, T: Deserialize<'a>>(params: Option<&'a RawValue>, usage: &str) -> Result<T, RpcError> {
    let text = given(params, usage)?;
    parse::<T>(text).map_err(|error| RpcError::params(format!("params: {error}; write {usage}")))
}

/// Reads JSON; on failure reads it again to name the place.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
    serde_json::from_str(text).map_err(|first| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        match serde_path_to_error::deserialize::<_, T>(&mut deserializer) {
            Err(error) if error.path().iter().next().is_some() => format!("{}: {}", error.path(), error.inner()),
            _ => first.to_string(),
        }
    })
}

/// `ptx_sendTransaction([tx])`.
pub(super) fn transaction(params: Option<&RawValue>) -> Result<Submission, RpcError> {
    single::<TransactionParams<'_>>(params, "[transaction]")?.submission()
}

/// `ptx_sendTransactions([[tx, …]])`: the outer error answers the call, an inner one its element.
pub(super) fn transactions(params: Option<&RawValue>, most: usize) -> Result<Vec<Result<Submission, RpcError>>, RpcError> {
    let list = single::<&RawValue>(params, "[[transaction, …]]")?.get();
    let over = |count| {
        RpcError::params(format!("params: {count} transactions are over the limit of {most} (api.max_batch); send them in several calls"))
    };
    match bounded::<TransactionParams<'_>>(list, most) {
        Ok(Bounded::All(all)) => Ok(all.into_iter().map(TransactionParams::submission).collect()),
        Ok(Bounded::TooMany(count)) => Err(over(count)),
        // Some element is wrong: find out which, and let the others pass.
        Err(_) => match bounded::<&RawValue>(list, most) {
            Ok(Bounded::All(all)) => Ok(all.into_iter().map(element).collect()),
            Ok(Bounded::TooMany(count)) => Err(over(count)),
            Err(error) => Err(RpcError::params(format!("params: {error}; write [[transaction, …]]"))),
        },
    }
}

fn element(raw: &RawValue) -> Result<Submission, RpcError> {
    parse::<TransactionParams<'_>>(raw.get()).map_err(RpcError::params)?.submission()
}

/// `[id]`.
pub(super) fn id(params: Option<&RawValue>) -> Result<Uuid, RpcError> {
    let text = single::<Text<'_>>(params, "[id]")?;
    Uuid::try_parse(&text.0)
        .map_err(|_| RpcError::params(format!("id: \"{}\" is no UUID; give an id that ptx_sendTransaction returned", shortened(&text.0))))
}

/// `[address]`.
pub(super) fn signing_address(params: Option<&RawValue>) -> Result<Address, RpcError> {
    address("address", &single::<Text<'_>>(params, "[address]")?.0)
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PauseParams<'a> {
    #[serde(borrow)]
    address: Text<'a>,
    until_ms: Option<u64>,
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

/// `[key]`.
pub(super) fn key(params: Option<&RawValue>) -> Result<String, RpcError> {
    idempotency_key(single::<Text<'_>>(params, "[idempotencyKey]")?.0)
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct QueryParams<'a> {
    #[serde(borrow)]
    from: Option<Text<'a>>,
    status: Option<Status>,
    #[serde(borrow)]
    hash: Option<Text<'a>>,
    #[serde(borrow)]
    idempotency_key_prefix: Option<Text<'a>>,
    sort: Option<Sort>,
    limit: Option<usize>,
    #[serde(borrow)]
    cursor: Option<Text<'a>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Sort {
    Asc,
    Desc,
}

/// `ptx_queryTransactions([{…}])`; without params: everything, oldest first.
pub(super) fn query(params: Option<&RawValue>) -> Result<Query, RpcError> {
    const USAGE: &str = "[{from?, status?, hash?, idempotencyKeyPrefix?, sort?, limit?, cursor?}]";
    let raw = match params {
        Some(_) => single::<QueryParams<'_>>(params, USAGE)?,
        None => QueryParams::default(),
    };
    let limit = raw.limit.unwrap_or(DEFAULT_PAGE);
    if limit == 0 || limit > MAX_PAGE {
        return Err(RpcError::params(format!("limit: {limit} is not between 1 and {MAX_PAGE}; use the cursor for more")));
    }
    let hash = |text: &Text<'_>| fixed("hash", &text.0, "a transaction hash: write 0x and 64 hexadecimal digits");
    let cursor = |text: &Text<'_>| text.0.parse::<Cursor>().map_err(|error| RpcError::params(error.to_string()));
    Ok(Query {
        from: raw.from.as_ref().map(|text| address("from", &text.0)).transpose()?,
        status: raw.status,
        hash: raw.hash.as_ref().map(hash).transpose()?.map(B256::from),
        idempotency_key_prefix: raw.idempotency_key_prefix.map(|text| text.0.into_owned()),
        sort: if matches!(raw.sort, Some(Sort::Desc)) { Direction::Backward } else { Direction::Forward },
        limit,
        cursor: raw.cursor.as_ref().map(cursor).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::super::error::INVALID_PARAMS;
    use super::*;

    const FROM: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
    const TO: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).expect("JSON")
    }

    fn send(fields: &str) -> Result<Submission, RpcError> {
        transaction(Some(&raw(&format!("[{{\"from\":\"{FROM}\",\"to\":\"{TO}\"{fields}}}]"))))
    }

    #[test]
    fn every_field_of_a_transaction_is_read() {
        let fields = r#","value":"0x10","input":"0xC0ffee","gas":21000,"maxFeePerGas":"30000000000",
            "maxPriorityFeePerGas":"0x1","chainId":"31337","idempotencyKey":"a\nb""#;
        let submission = send(fields).expect("a transaction");
        assert_eq!(submission.chain_id, Some(31_337));
        assert_eq!(submission.idempotency_key.as_deref(), Some("a\nb"));
        let request = submission.request;
        assert_eq!(request.from.to_string(), FROM);
        assert_eq!(request.to.map(|to| to.to_string()).as_deref(), Some(TO));
        assert_eq!(request.value, U256::from(16));
        assert_eq!(request.data, Bytes::from_static(&[0xc0, 0xff, 0xee]));
        assert_eq!(request.gas, Some(21_000));
        assert_eq!(request.fees, Fees::Dynamic { max_fee_per_gas: 30_000_000_000, max_priority_fee_per_gas: 1 });
    }

    #[test]
    fn what_is_left_out_or_null_has_its_default() {
        let request = send(r#","value":null,"gas":null,"data":null,"idempotencyKey":null"#).expect("a transaction").request;
        assert_eq!((request.value, request.gas, request.fees), (U256::ZERO, None, Fees::Market));
        assert!(matches!(send(r#","gasPrice":7"#).expect("legacy").request.fees, Fees::Legacy { gas_price: 7 }));
    }

    #[test]
    fn a_mistake_in_a_transaction_names_the_field_and_the_value() {
        for (fields, shown) in [
            (r#","gass":1"#, "unknown field `gass`"),
            (r#","nonce":1"#, "unknown field `nonce`"),
            (r#","gas":"-1""#, "gas: \"-1\""),
            (r#","gas":{}"#, "[0].gas"),
            (r#","data":"0x1""#, "data: \"0x1\""),
            (r#","data":"c0ffee""#, "data: \"c0ffee\""),
            (r#","data":"0x01","input":"0x02""#, "data and input differ"),
            (r#","gasPrice":1,"maxFeePerGas":1"#, "gasPrice: cannot stand beside"),
            (r#","maxFeePerGas":1"#, "maxPriorityFeePerGas: missing"),
            (r#","maxPriorityFeePerGas":1"#, "maxFeePerGas: missing"),
            (r#","idempotencyKey":"""#, "idempotencyKey: has 0 bytes"),
            (r#","chainId":"mainnet""#, "chainId: \"mainnet\""),
            (r#","value":1e30"#, "value: 1000000000000000000000000000000 is"),
        ] {
            let error = send(fields).expect_err(fields);
            assert_eq!(error.code, INVALID_PARAMS);
            assert!(error.message.contains(shown), "{fields}: {}", error.message);
        }
    }

    #[test]
    fn addresses_and_parameters_that_are_wrong_or_missing_are_named() {
        for (json, shown) in [
            ("[{}]", "from: missing"),
            (r#"[{"from":"0x12"}]"#, "from: \"0x12\" is not an address"),
            (r#"[{"from":5}]"#, "[0].from"),
            ("[]", "write [transaction]"),
            ("[{},{}]", "write [transaction]"),
            ("{}", "write [transaction]"),
        ] {
            let error = transaction(Some(&raw(json))).expect_err(json);
            assert_eq!(error.code, INVALID_PARAMS);
            assert!(error.message.contains(shown), "{json}: {}", error.message);
        }
        assert!(transaction(None).expect_err("no params").message.contains("params: missing"));
        assert!(id(Some(&raw("[\"x\"]"))).expect_err("no id").message.contains("id: \"x\""));
        assert!(id(Some(&raw("[7]"))).expect_err("no id").message.contains("write [id]"));
    }

    #[test]
    fn a_bad_element_of_a_list_does_not_spoil_the_others() {
        let good = format!("{{\"from\":\"{FROM}\",\"to\":\"{TO}\"}}");
        let list = raw(&format!("[[{good},{{\"form\":1}},{good},7,{{\"from\":\"x\"}}]]"));
        let results = transactions(Some(&list), 10).expect("a list");
        let good: Vec<_> = results.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, false, true, false, false]);
        let message = |index: usize| results[index].as_ref().expect_err("bad").message.clone();
        assert!(message(1).contains("unknown field `form`"), "{}", message(1));
        assert!(message(4).contains("from: \"x\""), "{}", message(4));
    }

    #[test]
    fn a_list_over_the_limit_is_refused_naming_the_limit() {
        for list in ["[[{},{},{}]]", "[[1,2,3]]"] {
            let error = transactions(Some(&raw(list)), 2).expect_err("too long");
            assert!(error.message.contains("3 transactions") && error.message.contains("limit of 2"), "{}", error.message);
        }
        assert!(transactions(Some(&raw("[{}]")), 2).is_err());
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

    #[test]
    fn a_query_is_read_and_its_mistakes_are_named() {
        let parsed = query(Some(&raw(r#"[{"status":"unconfirmed","sort":"desc","limit":5}]"#))).expect("a query");
        assert_eq!((parsed.status, parsed.sort, parsed.limit), (Some(Status::Unconfirmed), Direction::Backward, 5));
        assert_eq!(query(None).expect("a query").limit, DEFAULT_PAGE);
        for (json, shown) in [
            (r#"[{"stat":1}]"#, "unknown field `stat`"),
            (r#"[{"status":"done"}]"#, "unknown variant `done`"),
            (r#"[{"limit":0}]"#, "limit: 0"),
            (r#"[{"limit":100000}]"#, "limit: 100000"),
            (r#"[{"cursor":"zzz"}]"#, "cursor: "),
            (r#"[{"hash":"0x1"}]"#, "hash: \"0x1\""),
        ] {
            let error = query(Some(&raw(json))).expect_err(json);
            assert!(error.message.contains(shown), "{json}: {}", error.message);
        }
    }
}
