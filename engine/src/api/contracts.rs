//! Questions about contracts: calls that are not sent, and bytes told in words by the ABIs that are stored.
//!
//! **How it fails.** A call that reverts is an error with what the contract said, in the words of a stored ABI where one knows them. Bytes that
//! no stored ABI knows are an error that says so.

use alloy::json_abi::{Error as AbiError, Event, Function};
use alloy::primitives::{B256, Bytes, U64, keccak256};
use alloy_dyn_abi::{EventExt, FunctionExt, JsonAbiExt};
use netio::EpollRoom;
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use storage::{AbiRow, Record, Request, Store, keys};

use super::Api;
use super::abi::{name, told, told_one};
use super::types::{self, Typed};
use crate::engine::Engine;
use crate::jsonrpc::error::{INVALID_PARAMS, RpcError};
use crate::jsonrpc::schema;
use crate::jsonrpc::upstream::Upstream;
use crate::txmgr::revert;

/// Most items of one ABI that is stored: the largest contracts have some hundreds.
const ITEMS_MAX: usize = 4096;
/// Items with the same selector that are tried; more than one only where two contracts name the parts of a thing differently.
const SAME_MAX: usize = 16;

/// Items of an ABI with their keys.
type Items = Vec<(Vec<u8>, AbiRow)>;

/// What is asked.
pub(super) enum Contract {
    /// The call, the function whose results it gives, and the block.
    Call(Box<(Request, Option<Box<Function>>, Box<RawValue>)>),
    Prepare(Box<Request>),
    StoreAbi(B256, Items),
    DecodeCall(Bytes),
    DecodeEvent(Vec<B256>, Bytes),
    DecodeError(Bytes),
}

/// The object of `ptx_call`.
#[derive(JsonSchema, Serialize)]
pub(super) struct Called {
    /// What the call returned.
    #[schemars(with = "schema::Hex")]
    data: Bytes,
    /// The same by the function's results: by name, and by place where there is none. `null` if they are not known.
    outputs: Option<Value>,
}

/// The object of `ptx_prepareTransaction`: what would be sent.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Prepared {
    #[schemars(with = "schema::Address")]
    from: alloy::primitives::Address,
    #[schemars(with = "Option<schema::Address>")]
    to: Option<alloy::primitives::Address>,
    #[schemars(with = "schema::HexQuantity")]
    value: alloy::primitives::U256,
    /// Call data or init code, encoded.
    #[schemars(with = "schema::Hex")]
    data: Bytes,
    /// The limit that was given, or what the node estimates times `gas.limit_factor`, as it would be when it is bound.
    #[schemars(with = "schema::HexQuantity")]
    gas: U64,
}

/// The object of `ptx_storeABI`.
#[derive(JsonSchema, Serialize)]
pub(super) struct StoredAbi {
    /// Digest of the ABI: the same for the same items in the same order.
    #[schemars(with = "schema::Hash")]
    hash: B256,
    /// How many functions, events and errors it has.
    items: usize,
}

/// The object of `ptx_decodeCall`, `ptx_decodeEvent` and `ptx_decodeError`.
#[derive(JsonSchema, Serialize)]
pub(super) struct Decoded {
    /// Name and types.
    signature: String,
    /// The item of the ABI that knew it.
    definition: Value,
    /// The values: by name, and by place where there is none.
    data: Value,
}

impl Contract {
    /// The answer, as JSON.
    pub(super) async fn answer<S: Store>(self, api: &Api<S>) -> Result<Box<RawValue>, RpcError> {
        match self {
            Self::Call(call) => raw(called(api, *call).await?),
            Self::Prepare(request) => raw(prepared(api, *request).await?),
            Self::StoreAbi(hash, items) => {
                let count = items.len();
                api.engine.keep(Record::Abi { items }).await?;
                raw(StoredAbi { hash, items: count })
            }
            Self::DecodeCall(data) => {
                let (selector, rest) = split(&data)?;
                raw(decoded::<S, Function>(&api.engine, keys::FUNCTION, selector, move |function| {
                    bounded(&function.inputs)?;
                    Some((function.signature(), told(&function.inputs, &function.abi_decode_input(&rest).ok()?)))
                })
                .await?)
            }
            Self::DecodeError(data) => raw(error_of(&api.engine, &data).await?),
            Self::DecodeEvent(topics, data) => {
                let selector = topics.first().map(|topic| topic.to_vec()).unwrap_or_default();
                raw(decoded::<S, Event>(&api.engine, keys::EVENT, selector, move |event| told_event(event, &topics, &data)).await?)
            }
        }
    }
}

fn raw(value: impl Serialize) -> Result<Box<RawValue>, RpcError> {
    serde_json::value::to_raw_value(&value).map_err(RpcError::internal)
}

fn as_call(request: &Request) -> Value {
    let mut call = json!({ "from": request.from, "value": request.value, "data": request.data });
    if let Some(to) = request.to {
        call["to"] = json!(to);
    }
    if let Some(gas) = request.gas {
        call["gas"] = json!(U64::from(gas));
    }
    call
}

async fn called<S: Store>(
    api: &Api<S>,
    (request, function, block): (Request, Option<Box<Function>>, Box<RawValue>),
) -> Result<Called, RpcError> {
    let params = raw((as_call(&request), &block))?;
    let result = api.upstream.call("eth_call", Some(&params)).await;
    let result = match result {
        Ok(result) => result,
        Err(error) => return Err(explained(&api.engine, error).await),
    };
    let data: Bytes = serde_json::from_str(result.get()).map_err(RpcError::internal)?;
    let outputs = function.filter(|function| !function.outputs.is_empty()).and_then(|function| {
        let values = function.abi_decode_output(&data).ok()?;
        Some(told(&function.outputs, &values))
    });
    Ok(Called { data, outputs })
}

async fn prepared<S: Store>(api: &Api<S>, request: Request) -> Result<Prepared, RpcError> {
    let gas = match request.gas {
        Some(gas) => gas,
        None => {
            let params = raw([as_call(&request)])?;
            let estimate = match api.upstream.call("eth_estimateGas", Some(&params)).await {
                Ok(estimate) => estimate,
                Err(error) => return Err(explained(&api.engine, error).await),
            };
            let estimate: U64 = serde_json::from_str(estimate.get()).map_err(RpcError::internal)?;
            crate::txmgr::estimate::with_factor(estimate.to(), api.limit_factor)
        }
    };
    let Request { from, to, value, data, .. } = request;
    Ok(Prepared { from, to, value, data, gas: U64::from(gas) })
}

/// What a contract says to a request after a block, if it reverts; `None` where the node does not tell.
pub(super) async fn why<S: Store>(engine: &Engine<S>, upstream: &Upstream<EpollRoom>, request: &Request, block: u64) -> Option<String> {
    let params = raw((as_call(request), U64::from(block))).ok()?;
    let error = upstream.call("eth_call", Some(&params)).await.err()?;
    // A node that does not know the block any more says nothing of the contract.
    let said = said(&error)?;
    Some(words(engine, &said).await)
}

/// The bytes that a contract reverted with, in a node's error.
fn said(error: &RpcError) -> Option<Vec<u8>> {
    revert::returned(raw(error.data.as_ref()?).ok()?.get())
}

/// What the contract said, if that is in the node's error, in the words of an ABI that knows it.
async fn explained<S: Store>(engine: &Engine<S>, error: RpcError) -> RpcError {
    match said(&error) {
        Some(said) => RpcError { message: format!("reverted: {}", words(engine, &said).await), ..error },
        None => error,
    }
}

/// What a contract said, by a stored ABI where one knows it.
async fn words<S: Store>(engine: &Engine<S>, said: &[u8]) -> String {
    match error_of(engine, &Bytes::copy_from_slice(said)).await {
        Ok(known) => format!("{} {}", known.signature, known.data),
        Err(_) => revert::decoded(said),
    }
}

/// What a contract said when it reverted, by name.
async fn error_of<S: Store>(engine: &Engine<S>, data: &Bytes) -> Result<Decoded, RpcError> {
    if let Some(known) = standard(data) {
        return Ok(known);
    }
    let (selector, rest) = split(data)?;
    decoded::<S, AbiError>(engine, keys::ERROR, selector, move |error| {
        bounded(&error.inputs)?;
        Some((error.signature(), told(&error.inputs, &error.abi_decode_input(&rest).ok()?)))
    })
    .await
}

fn split(data: &Bytes) -> Result<(Vec<u8>, Vec<u8>), RpcError> {
    let Some((selector, rest)) = data.split_first_chunk::<4>() else {
        return Err(RpcError::params(format!("data: {data} is shorter than a selector, which has 4 bytes")));
    };
    Ok((selector.to_vec(), rest.to_vec()))
}

/// What every contract can say, without an ABI.
fn standard(data: &Bytes) -> Option<Decoded> {
    [("Error(string)", "message"), ("Panic(uint256)", "code")].into_iter().find_map(|(signature, part)| {
        let mut error = AbiError::parse(signature).ok()?;
        part.clone_into(&mut error.inputs[0].name);
        let rest = data.strip_prefix(error.selector().as_slice())?;
        let values = error.abi_decode_input(rest).ok()?;
        let definition = serde_json::to_value(&error).ok()?;
        Some(Decoded { signature: error.signature(), definition, data: told(&error.inputs, &values) })
    })
}

/// The first stored item with this selector that the bytes fit.
async fn decoded<S: Store, T: DeserializeOwned>(
    engine: &Engine<S>,
    kind: u8,
    selector: Vec<u8>,
    tell: impl Fn(&T) -> Option<(String, Value)> + Send + 'static,
) -> Result<Decoded, RpcError> {
    let shown = alloy::hex::encode_prefixed(&selector);
    let look = move |store: &S| storage::read::abi_items(store, kind, &selector, SAME_MAX);
    for row in engine.readers().run(look).await?? {
        let Ok(item) = serde_json::from_str::<T>(&row.definition) else { continue };
        if let Some((signature, data)) = tell(&item) {
            let definition = serde_json::from_str(&row.definition).map_err(RpcError::internal)?;
            return Ok(Decoded { signature, definition, data });
        }
    }
    Err(RpcError::new(
        INVALID_PARAMS,
        format!("no stored ABI knows {shown}, or the bytes do not fit it; store the contract's with ptx_storeABI"),
    ))
}

/// Nothing for what was stored before there were bounds, which is then as good as unknown.
fn bounded<T: Typed>(params: &[T]) -> Option<()> {
    types::params(params).ok()
}

fn told_event(event: &Event, topics: &[B256], data: &[u8]) -> Option<(String, Value)> {
    bounded(&event.inputs)?;
    let decoded = event.decode_log_parts(topics.iter().copied(), data).ok()?;
    let (mut indexed, mut body) = (decoded.indexed.iter(), decoded.body.iter());
    let mut values = Map::new();
    for (place, input) in event.inputs.iter().enumerate() {
        let value = if input.indexed { indexed.next()? } else { body.next()? };
        values.insert(name(&input.name, place), told_one(&input.components, value));
    }
    Some((event.signature(), Value::Object(values)))
}

/// The items of an ABI as they are stored, and its digest.
///
/// # Errors
/// There is nothing in it, or too much.
pub(super) fn items(abi: &alloy::json_abi::JsonAbi) -> Result<(B256, Items), RpcError> {
    let mut items = Vec::new();
    let mut add = |kind: u8, selector: &[u8], definition: serde_json::Result<String>| -> Result<(), RpcError> {
        let definition = definition.map_err(RpcError::internal)?;
        items.push((keys::abi_item(kind, selector, &keccak256(&definition)), AbiRow { definition }));
        Ok(())
    };
    for function in abi.functions() {
        add(keys::FUNCTION, function.selector().as_slice(), serde_json::to_string(function))?;
    }
    for event in abi.events().filter(|event| !event.anonymous) {
        add(keys::EVENT, event.selector().as_slice(), serde_json::to_string(event))?;
    }
    for error in abi.errors() {
        add(keys::ERROR, error.selector().as_slice(), serde_json::to_string(error))?;
    }
    if items.is_empty() || items.len() > ITEMS_MAX {
        return Err(RpcError::params(format!("abi: has {} functions, events and errors; it must have 1 to {ITEMS_MAX}", items.len())));
    }
    let hash = keccak256(items.iter().flat_map(|(key, _)| key.iter().copied()).collect::<Vec<u8>>());
    Ok((hash, items))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_event_over_the_bounds_is_not_known() {
        let topics = [B256::ZERO];
        let data = [0; 64];
        let event = |kind: &str| -> Event {
            let input = json!({"name": "x", "type": kind, "indexed": false});
            serde_json::from_value(json!({"type": "event", "name": "e", "inputs": [input], "anonymous": true})).expect("an event")
        };
        assert!(told_event(&event("uint256"), &[], &data).is_some());
        assert!(told_event(&event(&format!("uint256{}", "[]".repeat(400_000))), &topics, &data).is_none());
    }
}
