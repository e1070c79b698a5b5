//! Contract ABIs as callers write them: calls encoded from a function and its parameters, and bytes told in words.
//!
//! ```text
//! function + params (+ abi) ─► JsonAbi item ─► checked values ─► bytes
//! bytes ─► selector ─► stored item ─► values by name
//! ```
//!
//! A function is named by its signature (`transfer(address,uint256)`, with results behind it if they are to be decoded:
//! `balanceOf(address)(uint256)`), or by its name beside an ABI. Numbers are told as decimal strings, since they may be longer than JSON's.
//!
//! **How it fails.** What does not parse, fit or exist is named with its value; nothing is guessed where a name is overloaded.

use alloy::hex;
use alloy::json_abi::{Constructor, Function, JsonAbi, Param};
use alloy::primitives::Bytes;
use alloy_dyn_abi::{DynSolType, DynSolValue, JsonAbiExt, Specifier};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::types;
use crate::jsonrpc::error::RpcError;
use crate::jsonrpc::quantity::shortened;

/// What a transaction is to call, as it was written.
pub(super) struct Wanted<'a> {
    pub(super) function: Option<&'a str>,
    pub(super) params: Option<&'a RawValue>,
    pub(super) abi: Option<&'a RawValue>,
}

impl Wanted<'_> {
    /// The call data, or the init code of a creation, from what was written and the data beside it; and the function, if it is one.
    ///
    /// # Errors
    /// What does not fit together.
    pub(super) fn encode(&self, data: &Bytes, creates: bool) -> Result<(Bytes, Option<Function>), RpcError> {
        let abi = self.abi.map(read_abi).transpose()?;
        let values = match self.params {
            Some(params) => serde_json::from_str(params.get()).map_err(|error| RpcError::params(format!("params: {error}")))?,
            None => Value::Array(Vec::new()),
        };
        if let Some(name) = self.function {
            if !data.is_empty() {
                return Err(RpcError::params("function and data are both given; leave one of them out"));
            }
            let function = find(name, abi.as_ref())?;
            let encoded = function.abi_encode_input(&coerce(&function.inputs, &values)?).map_err(|error| misfit(&error))?;
            return Ok((encoded.into(), Some(function)));
        }
        let Some(abi) = abi else {
            return Err(RpcError::params("params are given without function; name the function, or give the abi of a contract to create"));
        };
        if !creates || data.is_empty() {
            return Err(RpcError::params(
                "abi is given without function: name the function, or leave `to` out and give the contract's bytecode as data",
            ));
        }
        let constructor = abi.constructor.unwrap_or_else(|| Constructor { inputs: Vec::new(), state_mutability: Default::default() });
        let arguments = constructor.abi_encode_input(&coerce(&constructor.inputs, &values)?).map_err(|error| misfit(&error))?;
        Ok(([data.as_ref(), &arguments].concat().into(), None))
    }
}

/// An ABI: the list that compilers write.
///
/// # Errors
/// It is not one, or its types are over their bounds.
pub(super) fn read_abi(abi: &RawValue) -> Result<JsonAbi, RpcError> {
    let abi: JsonAbi = serde_json::from_str(abi.get())
        .map_err(|error| RpcError::params(format!("abi: {error}; give the list that the compiler wrote")))?;
    bounded(&abi).map_err(|error| misfit(&error))?;
    Ok(abi)
}

fn bounded(abi: &JsonAbi) -> Result<(), String> {
    let constructor = abi.constructor().map(|constructor| &constructor.inputs).into_iter();
    let functions = abi.functions().flat_map(|function| [&function.inputs, &function.outputs]);
    let errors = abi.errors().map(|error| &error.inputs);
    constructor.chain(functions).chain(errors).try_for_each(|params| types::params(params))?;
    abi.events().try_for_each(|event| types::params(&event.inputs))
}

fn find(name: &str, abi: Option<&JsonAbi>) -> Result<Function, RpcError> {
    let Some(abi) = abi else {
        let function = Function::parse(name).map_err(|error| {
            let message = format!(
                "function: \"{}\" is no signature ({error}); write for example transfer(address,uint256), or give the abi",
                shortened(name)
            );
            RpcError::params(message)
        })?;
        let bounded = types::params(&function.inputs).and_then(|()| types::params(&function.outputs));
        bounded.map_err(|error| RpcError::params(format!("function: {error}")))?;
        return Ok(function);
    };
    let bare = name.split('(').next().unwrap_or_default();
    let called: Vec<_> =
        abi.functions().filter(|function| function.name == bare && (bare == name || function.signature() == name)).collect();
    match called[..] {
        [one] => Ok(one.clone()),
        [] => Err(RpcError::params(format!("function: \"{}\" is not in the abi", shortened(name)))),
        _ => {
            let all: Vec<_> = called.iter().map(|function| function.signature()).collect();
            Err(RpcError::params(format!("function: \"{}\" is overloaded; name one of {}", shortened(name), all.join(", "))))
        }
    }
}

/// JSON values as the types of parameters: a list in their order, or an object with their names.
fn coerce(params: &[Param], values: &Value) -> Result<Vec<DynSolValue>, RpcError> {
    let missing = |name: &str| RpcError::params(format!("params: {name} is missing"));
    let given: Vec<&Value> = match values {
        Value::Array(values) if values.len() == params.len() => values.iter().collect(),
        Value::Array(values) => {
            return Err(RpcError::params(format!("params: {} are given, and there are {}", values.len(), params.len())));
        }
        Value::Object(named) => {
            if let Some(unknown) = named.keys().find(|name| params.iter().all(|param| param.name != **name)) {
                return Err(RpcError::params(format!("params: there is none named {}", shortened(unknown))));
            }
            params.iter().map(|param| named.get(&param.name).ok_or_else(|| missing(&param.name))).collect::<Result<_, _>>()?
        }
        _ => return Err(RpcError::params("params: write a list of the values, or an object with their names")),
    };
    params.iter().zip(given).map(|(param, value)| coerce_one(param, value)).collect()
}

fn coerce_one(param: &Param, value: &Value) -> Result<DynSolValue, RpcError> {
    let kind: DynSolType = param.resolve().map_err(|error| misfit(&error))?;
    // Tuples by name become tuples by place.
    let placed = by_place(param, value);
    kind.coerce_json(&placed).map_err(|_| {
        let named = if param.name.is_empty() { String::new() } else { format!("{}: ", param.name) };
        RpcError::params(format!("params: {named}{} is no {}", shortened(&value.to_string()), param.ty))
    })
}

/// A tuple, or a list of such, with names: its values in the order of its type.
fn by_place(param: &Param, value: &Value) -> Value {
    match value {
        Value::Array(values) if param.ty.ends_with(']') => Value::Array(values.iter().map(|value| by_place(param, value)).collect()),
        Value::Object(named) if !param.components.is_empty() => {
            let placed = |component: &Param| named.get(&component.name).map_or(Value::Null, |value| by_place(component, value));
            Value::Array(param.components.iter().map(placed).collect())
        }
        Value::Array(values) if !param.components.is_empty() && values.len() == param.components.len() => {
            Value::Array(param.components.iter().zip(values).map(|(component, value)| by_place(component, value)).collect())
        }
        other => other.clone(),
    }
}

fn misfit(error: &impl std::fmt::Display) -> RpcError {
    RpcError::params(format!("abi: {error}"))
}

/// Values as JSON: by name, and by place where there is none.
pub(super) fn told(params: &[Param], values: &[DynSolValue]) -> Value {
    let named = params.iter().zip(values).enumerate();
    Value::Object(
        named.map(|(place, (param, value))| (name(&param.name, place), told_one(&param.components, value))).collect::<Map<_, _>>(),
    )
}

pub(super) fn name(name: &str, place: usize) -> String {
    if name.is_empty() { place.to_string() } else { name.to_owned() }
}

/// One value; the names of its parts, if it is a tuple or a list of such.
pub(super) fn told_one(components: &[Param], value: &DynSolValue) -> Value {
    match value {
        DynSolValue::Bool(value) => Value::Bool(*value),
        DynSolValue::Int(value, _) => Value::String(value.to_string()),
        DynSolValue::Uint(value, _) => Value::String(value.to_string()),
        DynSolValue::FixedBytes(word, length) => Value::String(hex::encode_prefixed(&word[..*length])),
        DynSolValue::Address(address) => Value::String(format!("{address:#x}")),
        DynSolValue::Function(function) => Value::String(hex::encode_prefixed(function)),
        DynSolValue::Bytes(bytes) => Value::String(hex::encode_prefixed(bytes)),
        DynSolValue::String(text) => Value::String(text.clone()),
        DynSolValue::Array(values) | DynSolValue::FixedArray(values) => values.iter().map(|value| told_one(components, value)).collect(),
        DynSolValue::Tuple(values) | DynSolValue::CustomStruct { tuple: values, .. } => told(components, values),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn raw(json: &Value) -> Box<RawValue> {
        serde_json::value::to_raw_value(json).expect("JSON")
    }

    fn encode(function: &str, params: &Value, abi: Option<&Value>) -> Result<(Bytes, Option<Function>), RpcError> {
        let (params, abi) = (raw(params), abi.map(raw));
        let wanted = Wanted { function: Some(function), params: Some(&params), abi: abi.as_deref() };
        wanted.encode(&Bytes::new(), false)
    }

    #[test]
    fn a_signature_and_an_abi_give_the_same_bytes() {
        let abi = json!([{"type": "function", "name": "transfer", "stateMutability": "nonpayable", "outputs": [],
            "inputs": [{"name": "to", "type": "address"}, {"name": "value", "type": "uint256"}]}]);
        let to = "0x00000000000000000000000000000000000000aa";
        let (by_signature, _) = encode("transfer(address,uint256)", &json!([to, "1000000000000000000000"]), None).expect("bytes");
        let (by_name, function) = encode("transfer", &json!({"value": "1000000000000000000000", "to": to}), Some(&abi)).expect("bytes");
        assert_eq!(by_signature, by_name);
        assert_eq!(by_name[..4], [0xa9, 0x05, 0x9c, 0xbb]);
        let function = function.expect("a function");
        let values = function.abi_decode_input(&by_name[4..]).expect("values");
        assert_eq!(told(&function.inputs, &values), json!({"to": to, "value": "1000000000000000000000"}));
    }

    #[test]
    fn tuples_are_read_by_name_and_by_place() {
        let abi = json!([{"type": "function", "name": "f", "stateMutability": "view", "outputs": [], "inputs": [
            {"name": "list", "type": "tuple[]", "components": [{"name": "a", "type": "uint8"}, {"name": "b", "type": "bytes2"}]}]}]);
        let (by_name, function) = encode("f", &json!([[{"b": "0x0102", "a": 1}]]), Some(&abi)).expect("bytes");
        let (by_place, _) = encode("f", &json!([[[1, "0x0102"]]]), Some(&abi)).expect("bytes");
        assert_eq!(by_name, by_place);
        let function = function.expect("a function");
        let values = function.abi_decode_input(&by_name[4..]).expect("values");
        assert_eq!(told(&function.inputs, &values), json!({"list": [{"a": "1", "b": "0x0102"}]}));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let overloaded = json!([
            {"type": "function", "name": "f", "stateMutability": "view", "outputs": [], "inputs": []},
            {"type": "function", "name": "f", "stateMutability": "view", "outputs": [], "inputs": [{"name": "x", "type": "bool"}]}]);
        for (function, params, abi, shown) in [
            ("transfer", json!([]), None, "is no signature"),
            ("f(uint8)", json!([]), None, "0 are given, and there are 1"),
            ("f(uint8)", json!([256]), None, "256 is no uint8"),
            ("f(address)", json!(["0x12"]), None, "0x12"),
            ("f(uint8)", json!(7), None, "write a list"),
            ("f", json!([]), Some(&overloaded), "overloaded"),
            ("g", json!([]), Some(&overloaded), "not in the abi"),
            ("f(bool)", json!({"y": true}), Some(&overloaded), "none named y"),
            ("f(bool)", json!({}), Some(&overloaded), "x is missing"),
            ("f(nonsense)", json!([1]), None, "nonsense"),
        ] {
            let error = encode(function, &params, abi).expect_err(function);
            assert!(error.message.contains(shown), "{function} {params}: {}", error.message);
        }
        assert!(encode("f(bool)", &json!([true]), Some(&overloaded)).is_ok());
    }

    #[test]
    fn types_over_their_bounds_are_refused_wherever_they_stand() {
        let deep = format!("uint256{}", "[]".repeat(400_000));
        for function in [format!("f({deep})"), format!("f()({deep})"), format!("f((bool,{deep}))")] {
            let error = encode(&function, &json!([]), None).expect_err("refused");
            assert!(error.message.contains("over the limit"), "{}", error.message);
        }
        let part = json!([{"name": "x", "type": deep}]);
        for item in [
            json!({"type": "function", "name": "f", "stateMutability": "view", "inputs": part, "outputs": []}),
            json!({"type": "function", "name": "f", "stateMutability": "view", "inputs": [], "outputs": part}),
            json!({"type": "function", "name": "f", "stateMutability": "view", "inputs": [{"name": "x", "type": "tuple", "components": part}],
                "outputs": []}),
            json!({"type": "event", "name": "e", "inputs": [{"name": "x", "type": deep, "indexed": false}], "anonymous": false}),
            json!({"type": "error", "name": "e", "inputs": part}),
            json!({"type": "constructor", "stateMutability": "nonpayable", "inputs": part}),
        ] {
            let error = read_abi(&raw(&json!([item]))).expect_err("refused");
            assert!(error.message.starts_with("abi: type") && error.message.contains("over the limit"), "{}", error.message);
        }
    }
}
