//! The interface describes itself: the OpenRPC document (OpenRPC 1.3, which names this method `rpc.discover`).

use std::sync::LazyLock;

use schemars::SchemaGenerator;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::calls::Plan;
use super::super::params;
use super::{Method, Param, all, listeners};
use crate::jsonrpc::schema;

/// The version of OpenRPC that the document keeps to.
const OPENRPC: &str = "1.3.2";

pub(super) static METHODS: [Method; 1] = [Method {
    name: "rpc.discover",
    summary: "This document: every method with its parameters, its result and an example, in the form of OpenRPC.",
    params: &[],
    result: ("document", schema::of::<serde_json::Map<String, Value>>),
    example: ("[]", r#"{ "openrpc": "1.3.2" }"#),
    plan: |args| params::none(args.params).map(|()| Plan::Known(document())),
}];

static DOCUMENT: LazyLock<Box<RawValue>> = LazyLock::new(|| serde_json::value::to_raw_value(&made()).expect("a JSON value is JSON"));

/// The document; made when it is first asked for.
fn document() -> &'static RawValue {
    &DOCUMENT
}

fn made() -> Value {
    let (mut params, mut results) = (schema::of_params(), schema::of_results());
    let methods: Vec<_> = all().map(|method| described(method, &mut params, &mut results)).collect();
    json!({
        "openrpc": OPENRPC,
        "info": {
            "title": "millrace",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Takes Ethereum transactions and gets each one mined exactly once. Parameters are given by position.",
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "methods": methods,
        // OpenRPC has no word for what is said without being asked.
        "x-notifications": listeners::notifications(&mut results),
    })
}

fn described(method: &Method, params: &mut SchemaGenerator, results: &mut SchemaGenerator) -> Value {
    let (result_name, result_schema) = method.result;
    let (given, gave): (Vec<Value>, Value) = (parsed(method.example.0), parsed(method.example.1));
    let given: Vec<_> = method.params.iter().zip(given).map(|(param, value)| json!({ "name": param.name, "value": value })).collect();
    let described = |param: &Param| json!({ "name": param.name, "summary": param.summary, "required": param.required, "schema": (param.schema)(params) });
    json!({
        "name": method.name,
        "summary": method.summary,
        "paramStructure": "by-position",
        "params": method.params.iter().map(described).collect::<Vec<_>>(),
        "result": { "name": result_name, "schema": result_schema(results) },
        "examples": [{ "name": method.name, "params": given, "result": { "name": result_name, "value": gave } }],
    })
}

fn parsed<T: serde::de::DeserializeOwned>(json: &str) -> T {
    serde_json::from_str(json).expect("a test has read every example")
}
