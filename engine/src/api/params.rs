//! Parameters of the methods: read from the body, then checked into what the engine takes.
//!
//! Reading is one pass into borrowed text. Only when that fails is the text read again to find out *where*: the error then names
//! the place (`[0].from`) and what was expected. Whether a value can be read is decided here; whether it makes sense (keys, chain, gas) by the engine, for every way in.

use std::borrow::Cow;

use alloy::eips::eip2930::AccessList;
use alloy::hex;
use alloy::json_abi::Function;
use alloy::primitives::{Address, B256, Bytes, U256};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;
use storage::{Extras, Fees, Request};
use uuid::Uuid;

use super::abi::{Wanted, read_abi};
use super::authorizations::{AuthorizationParams, authorizations};
use super::contracts::{self, Contract};
use super::extras::{AccessItemParams, access_list, given_blobs, raw, with_blob_price};
use crate::engine::Submission;
use crate::jsonrpc::envelope::{Bounded, bounded};
use crate::jsonrpc::error::RpcError;
use crate::jsonrpc::quantity::{Quantity, Text, shortened};
use crate::jsonrpc::schema;

/// Longest idempotency key, in bytes: it is stored twice and compared often; a hash or a UUID fits well.
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 256;

/// A transaction as callers write it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct TransactionParams<'a> {
    /// Signing address; must be given.
    #[serde(borrow)]
    #[schemars(with = "schema::Address", required)]
    pub(crate) from: Option<Text<'a>>,
    /// Called address; without it a contract is created.
    #[serde(borrow)]
    #[schemars(with = "Option<schema::Address>")]
    pub(crate) to: Option<Text<'a>>,
    /// Wei sent along.
    #[serde(borrow)]
    pub(crate) value: Option<Quantity<'a>>,
    /// Call data, or the init code of a creation.
    #[serde(borrow)]
    #[schemars(with = "Option<schema::Hex>")]
    pub(crate) data: Option<Text<'a>>,
    /// What newer clients call `data`.
    #[serde(borrow)]
    #[schemars(with = "Option<schema::Hex>")]
    pub(crate) input: Option<Text<'a>>,
    /// Gas limit; without it the node's estimate is used.
    #[serde(borrow)]
    pub(crate) gas: Option<Quantity<'a>>,
    /// Fixed price in wei of a legacy transaction; never raised.
    #[serde(borrow)]
    pub(crate) gas_price: Option<Quantity<'a>>,
    /// Fixed fee cap in wei, with the tip; never raised. Without a price the market's is used, and raised where it must be.
    #[serde(borrow)]
    pub(crate) max_fee_per_gas: Option<Quantity<'a>>,
    /// Fixed tip in wei, with the fee cap.
    #[serde(borrow)]
    pub(crate) max_priority_fee_per_gas: Option<Quantity<'a>>,
    /// The chain the caller believes to be on; another one than the engine's is refused.
    #[serde(borrow)]
    pub(crate) chain_id: Option<Quantity<'a>>,
    /// In place of data: the function to call, by its signature, or by its name beside `abi`.
    #[serde(borrow)]
    pub(crate) function: Option<Text<'a>>,
    /// Its parameters: a list of them, or an object with their names. Without `function`, those of the constructor in `abi`.
    #[serde(borrow)]
    #[schemars(with = "Option<serde_json::Value>")]
    pub(crate) params: Option<&'a RawValue>,
    /// The contract's ABI, as the compiler wrote it.
    #[serde(borrow)]
    #[schemars(with = "Option<Vec<serde_json::Map<String, serde_json::Value>>>")]
    pub(crate) abi: Option<&'a RawValue>,
    /// 1 to 256 bytes. The same key with the same transaction gives the same id, however often it is sent.
    #[serde(borrow)]
    #[schemars(length(min = 1, max = 256))]
    pub(crate) idempotency_key: Option<Text<'a>>,
    /// Ids of accepted transactions: it waits until all of them have succeeded, and fails with the first that does not.
    #[serde(borrow)]
    #[schemars(with = "Option<Vec<schema::Id>>")]
    pub(crate) depends_on: Option<Vec<Text<'a>>>,
    /// Addresses and storage slots that are named beforehand (EIP-2930); with `gasPrice` it is a transaction of type 1.
    #[serde(borrow)]
    #[schemars(with = "Option<Vec<AccessItemParams<'_>>>")]
    pub(crate) access_list: Option<&'a RawValue>,
    /// 1 to 6 blobs of 131,072 bytes each (EIP-4844). Their commitments and proofs are computed where they are not given.
    #[serde(borrow)]
    #[schemars(with = "Option<Vec<schema::Blob>>")]
    pub(crate) blobs: Option<&'a RawValue>,
    /// Commitments to the blobs, 48 bytes each; verified.
    #[serde(borrow)]
    #[schemars(with = "Option<Vec<schema::Kzg>>")]
    pub(crate) commitments: Option<&'a RawValue>,
    /// Their proofs, beside commitments: one for each blob (EIP-4844), or 128 (EIP-7594); verified.
    #[serde(borrow)]
    #[schemars(with = "Option<Vec<schema::Kzg>>")]
    pub(crate) proofs: Option<&'a RawValue>,
    /// What the blobs are named by; compared with what is computed.
    #[serde(borrow)]
    #[schemars(with = "Option<Vec<schema::Hash>>")]
    pub(crate) blob_versioned_hashes: Option<&'a RawValue>,
    /// Fixed price of a blob's gas in wei, with both other fixed prices; never raised.
    #[serde(borrow)]
    #[schemars(with = "Option<Quantity<'_>>")]
    pub(crate) max_fee_per_blob_gas: Option<&'a RawValue>,
    /// Authorizations of EIP-7702, signed by those who give them.
    #[serde(borrow)]
    pub(crate) authorization_list: Option<Vec<AuthorizationParams<'a>>>,
}

impl TransactionParams<'_> {
    pub(crate) fn submission(self) -> Result<Submission, RpcError> {
        let mut function = None;
        self.read(&mut function)
    }

    /// The same; puts the function that it calls into `function`, where one was named. Not returned, because what is returned is copied, and
    /// hardly any transaction names one.
    fn read(self, function: &mut Option<Box<Function>>) -> Result<Submission, RpcError> {
        let from = self.from.as_ref().ok_or_else(|| RpcError::params("from: missing; name the signing address of the transaction"))?;
        let from = address("from", &from.0)?;
        let to = self.to.as_ref().map(|to| address("to", &to.0)).transpose()?;
        let value = self.value.as_ref().map_or(Ok(U256::ZERO), |value| value.u256("value"))?;
        let mut data = payload(self.data.as_ref(), self.input.as_ref())?.unwrap_or_default();
        let gas = self.gas.as_ref().map(|gas| gas.u64("gas")).transpose()?;
        let mut fees = fees(self.gas_price.as_ref(), self.max_fee_per_gas.as_ref(), self.max_priority_fee_per_gas.as_ref())?;
        if let Some(price) = self.max_fee_per_blob_gas {
            fees = with_blob_price(fees, &raw("maxFeePerBlobGas", price)?)?;
        }
        let chain_id = self.chain_id.as_ref().map(|id| id.u64("chainId")).transpose()?;
        if self.function.is_some() || self.params.is_some() || self.abi.is_some() {
            data = self.encoded(&data, to.is_none(), function)?;
        }
        let (access_list, blobs) = match (self.access_list, self.blobs, self.blob_versioned_hashes, self.commitments, self.proofs) {
            (None, None, None, None, None) => (AccessList::default(), None),
            _ => (access_list(self.access_list)?, given_blobs(&self)?),
        };
        let idempotency_key = self.idempotency_key.map(|key| idempotency_key(key.0)).transpose()?;
        let authorizations = self.authorization_list.map_or(Ok(Vec::new()), authorizations)?;
        let depends_on = self.depends_on.map_or(Ok(Vec::new()), |ids| super::control::ids("dependsOn", &ids))?;
        let extras = if authorizations.is_empty() && access_list.0.is_empty() {
            None
        } else {
            Extras { authorizations, access_list, blob_hashes: Vec::new() }.boxed()
        };
        let request = Request { from, to, value, data, gas, fees, extras };
        Ok(Submission { request, chain_id, idempotency_key, depends_on, blobs })
    }

    /// The call data by function, parameters and ABI.
    #[cold]
    fn encoded(&self, data: &Bytes, creates: bool, function: &mut Option<Box<Function>>) -> Result<Bytes, RpcError> {
        let wanted = Wanted { function: self.function.as_ref().map(|function| &*function.0), params: self.params, abi: self.abi };
        let (data, called) = wanted.encode(data, creates)?;
        *function = called.map(Box::new);
        Ok(data)
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
    hexadecimal(field, &text.0).map(Some)
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

pub(crate) fn address(field: &str, text: &str) -> Result<Address, RpcError> {
    fixed(field, text, "an address: write 0x and 40 hexadecimal digits").map(Address::from)
}

/// Any number of bytes in hexadecimal.
pub(super) fn hexadecimal(field: &str, text: &str) -> Result<Bytes, RpcError> {
    let bytes = text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok());
    bytes.map(Bytes::from).ok_or_else(|| {
        RpcError::params(format!("{field}: \"{}\" is not hexadecimal; write 0x and two digits for each byte", shortened(text)))
    })
}

/// Exactly `N` bytes in hexadecimal.
pub(crate) fn fixed<const N: usize>(field: &str, text: &str, expected: &str) -> Result<[u8; N], RpcError> {
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
pub(crate) fn given<'a>(params: Option<&'a RawValue>, usage: &str) -> Result<&'a str, RpcError> {
    params.map(RawValue::get).ok_or_else(|| RpcError::params(format!("params: missing; write {usage}")))
}

/// An array with exactly one element.
pub(crate) fn single<'a, T: Deserialize<'a>>(params: Option<&'a RawValue>, usage: &str) -> Result<T, RpcError> {
    elements::<(T,)>(params, usage).map(|(value,)| value)
}

/// An array with the elements of the tuple `T`.
pub(super) fn elements<'a, T: Deserialize<'a>>(params: Option<&'a RawValue>, usage: &str) -> Result<T, RpcError> {
    let text = given(params, usage)?;
    parse::<T>(text).map_err(|error| RpcError::params(format!("params: {error}; write {usage}")))
}

/// Reads JSON; on failure reads it again to name the place.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, String> {
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

/// `ptx_call([tx, block?])`: the call, and the block as JSON, the latest one if none is given.
pub(super) fn call(params: Option<&RawValue>) -> Result<Contract, RpcError> {
    const USAGE: &str = "[transaction, block?]";
    let usage = |error: &str| RpcError::params(format!("params: {error}; write {USAGE}"));
    let given: Vec<&RawValue> = parse(given(params, USAGE)?).map_err(|error| usage(&error))?;
    let (transaction, block) = match given[..] {
        [transaction] => (transaction, "\"latest\""),
        [transaction, block] => (transaction, block.get()),
        _ => return Err(usage("one or two are needed")),
    };
    let mut transaction = parse::<TransactionParams<'_>>(transaction.get()).map_err(|error| usage(&error))?;
    // Whoever only asks needs no key.
    transaction.from.get_or_insert(Text("0x0000000000000000000000000000000000000000".into()));
    let mut function = None;
    let submission = transaction.read(&mut function)?;
    let block = RawValue::from_string(block.to_owned()).map_err(RpcError::internal)?;
    Ok(Contract::Call(Box::new((submission.request, function, block))))
}

/// `ptx_storeABI([abi])`.
pub(super) fn abi(params: Option<&RawValue>) -> Result<Contract, RpcError> {
    let abi = read_abi(single::<&RawValue>(params, "[abi]")?)?;
    contracts::items(&abi).map(|(hash, items)| Contract::StoreAbi(hash, items))
}

/// `[data]`.
pub(super) fn data(params: Option<&RawValue>) -> Result<Bytes, RpcError> {
    hexadecimal("data", &single::<Text<'_>>(params, "[data]")?.0)
}

/// `ptx_decodeEvent([topics, data])`.
pub(super) fn event(params: Option<&RawValue>) -> Result<Contract, RpcError> {
    const USAGE: &str = "[topics, data]";
    let (topics, data) = parse::<(Vec<Text<'_>>, Text<'_>)>(given(params, USAGE)?)
        .map_err(|error| RpcError::params(format!("params: {error}; write {USAGE}")))?;
    if topics.is_empty() || topics.len() > 4 {
        return Err(RpcError::params(format!("topics: {} are given; an event has 1 to 4", topics.len())));
    }
    let topic = |text: &Text<'_>| fixed("topics", &text.0, "a topic: write 0x and 64 hexadecimal digits").map(B256::from);
    Ok(Contract::DecodeEvent(topics.iter().map(topic).collect::<Result<_, _>>()?, hexadecimal("data", &data.0)?))
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

/// `[]`, or no parameters at all.
pub(super) fn none(params: Option<&RawValue>) -> Result<(), RpcError> {
    let Some(params) = params else { return Ok(()) };
    parse::<[(); 0]>(params.get()).map(drop).map_err(|error| RpcError::params(format!("params: {error}; this method takes none")))
}

/// `[key]`.
pub(super) fn key(params: Option<&RawValue>) -> Result<String, RpcError> {
    idempotency_key(single::<Text<'_>>(params, "[idempotencyKey]")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jsonrpc::error::INVALID_PARAMS;

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
}
