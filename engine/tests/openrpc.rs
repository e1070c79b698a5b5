//! The document at `rpc.discover`, held against an engine that runs on a chain: every example of it is called, in its order, over a WebSocket,
//! where all methods work.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::error_of;
use support::node::text;
use support::schema;
use support::socket::Socket;
use support::world::{SIGNERS, World};

/// The address of the dev mnemonic that the examples pause.
const PAUSED: &str = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8";
/// What examples call a transaction that waits.
const WAITS: &str = "0198f9aa-0000-7000-8000-000000000001";

/// What stands in an example and is different in every run, and what it is in this one.
#[derive(Default)]
struct Names(BTreeMap<String, String>);

impl Names {
    /// Learns the ids and hashes of this run from an answer, beside the one that the document shows.
    fn learn(&mut self, shown: &Value, real: &Value) {
        match (shown, real) {
            (Value::String(shown), Value::String(real)) if is_name(shown) && is_name(real) => {
                self.0.insert(shown.clone(), real.clone());
            }
            (Value::Array(shown), Value::Array(real)) => shown.iter().zip(real).for_each(|(shown, real)| self.learn(shown, real)),
            (Value::Object(shown), Value::Object(real)) => {
                shown.iter().for_each(|(key, shown)| self.learn(shown, real.get(key).unwrap_or(&Value::Null)));
            }
            _ => {}
        }
    }

    /// Parameters of an example, as they are in this run.
    fn put_into(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Some(real) = self.0.get(text) {
                    real.clone_into(text);
                }
            }
            Value::Array(values) => values.iter_mut().for_each(|value| self.put_into(value)),
            Value::Object(members) => members.values_mut().for_each(|value| self.put_into(value)),
            _ => {}
        }
    }
}

/// Ids are UUIDs, hashes 32 bytes.
fn is_name(text: &str) -> bool {
    let uuid = text.len() == 36 && text.split('-').map(str::len).eq([8, 4, 4, 4, 12]);
    uuid || (text.len() == 66 && text.starts_with("0x"))
}

#[track_caller]
fn fits(what: &str, schema: &Value, value: &Value) {
    if let Err(misfit) = schema::check(schema, value) {
        panic!("{what}{misfit}\nin {value:#}\nby {schema:#}");
    }
}

#[test]
fn every_method_has_an_example_that_works_and_fits_its_schemas() {
    let world = World::start("epoll", "").expect("epoll runs anywhere");
    world.flow();
    let document = world.millrace().call("rpc.discover", &json!([]))["result"].clone();
    let notification = document["x-notifications"][0].clone();
    let mut socket = Socket::connect(world.millrace().address());
    let mut names = Names::default();
    // What the orders are given for: a transaction that waits, because its address is paused.
    let paused = world.millrace().call("ptx_pauseAddress", &json!([PAUSED]));
    assert_eq!(paused["result"]["state"], "paused", "{paused}");
    let waits = world.millrace().call("ptx_sendTransaction", &json!([{ "from": PAUSED, "to": PAUSED, "value": "1" }]));
    names.0.insert(WAITS.to_owned(), text(&waits["result"]));
    for method in document["methods"].as_array().expect("methods") {
        let name = method["name"].as_str().expect("a name").to_owned();
        let example = &method["examples"][0];
        let (params, given) = (method["params"].as_array().expect("params"), example["params"].as_array().expect("an example"));
        let mut arguments = Vec::new();
        for (param, given) in params.iter().zip(given) {
            assert_eq!(param["name"], given["name"], "{name}");
            fits(&format!("{name}: {}", param["name"]), &param["schema"], &given["value"]);
            let mut argument = given["value"].clone();
            names.put_into(&mut argument);
            arguments.push(argument);
        }
        let required = params.iter().filter(|param| param["required"] == true).count();
        assert!(given.len() >= required, "{name}: a parameter is missing in the example");
        let shown = &example["result"]["value"];
        let schema = &method["result"]["schema"];
        fits(&format!("{name}: the result shown"), schema, shown);
        if name == "ptx_ack" || name == "ptx_nack" {
            let told = socket.notification();
            assert_eq!(told["method"], notification["name"]);
            fits(&format!("before {name}: what was said"), &notification["params"]["schema"], &told["params"]);
        }
        let reply = socket.call(&name, &json!(arguments));
        let result = reply.get("result").unwrap_or_else(|| panic!("{name}: {reply}"));
        fits(&format!("{name}: the result"), schema, result);
        assert_eq!(result.is_null(), shown.is_null(), "{name}: the example does not show what comes: {result}");
        names.learn(shown, result);
        if name == "ptx_sendTransaction" {
            world.wait_for_status(&text(result), "confirmed");
        }
    }
}

#[test]
fn a_blob_as_the_document_describes_it_is_taken_and_mined() {
    let world = World::start("epoll", "").expect("epoll runs anywhere");
    world.flow();
    let document = world.millrace().call("rpc.discover", &json!([]))["result"].clone();
    let sent = document["methods"].as_array().expect("methods").iter().find(|method| method["name"] == "ptx_sendTransaction");
    let schema = &sent.expect("there")["params"][0]["schema"];
    let blob = &schema["properties"]["blobs"]["items"];
    let digits = blob["minLength"].as_u64().unwrap_or_else(|| panic!("no length: {blob}")) as usize - 2;
    let element = format!("00{}", "a7".repeat(31));
    let filled = format!("0x{element}{}", "0".repeat(digits - element.len()));
    let transaction = json!({"from": SIGNERS[0], "to": PAUSED, "value": "1", "blobs": [filled]});
    fits("a send with a blob", schema, &transaction);
    let full = world.wait_for_status(&world.send(&transaction), "confirmed");
    fits("its hash", &json!({"pattern": "^0x01[0-9a-f]{62}$"}), &full["blobVersionedHashes"][0]);
    for wrong in [&filled[..filled.len() - 2], "0x"] {
        assert!(schema::check(blob, &json!(wrong)).is_err(), "a blob that is too short does not fit");
    }
}

#[test]
fn the_document_is_openrpc_and_names_every_method() {
    let world = World::start("epoll", "").expect("epoll runs anywhere");
    let document = world.millrace().call("rpc.discover", &json!([]))["result"].clone();
    assert_eq!(document["openrpc"], "1.3.2");
    assert_eq!(document["info"]["title"], "millrace");
    let (_, message) = error_of(&world.millrace().call("nothing", &json!([])));
    let methods = document["methods"].as_array().expect("methods");
    for method in methods {
        assert!(message.contains(method["name"].as_str().expect("a name")), "{message}");
        assert!(method["summary"].as_str().is_some_and(|summary| summary.ends_with('.')), "{method}");
        for param in method["params"].as_array().expect("params") {
            assert!((param["schema"].is_object() || param["schema"] == true) && param["summary"].is_string(), "{method}");
        }
    }
    assert_eq!(message.matches(", ").count() + 1, methods.len(), "{message}");
    // Every parameter of a method is described, those inside an object too.
    let sent = methods.iter().find(|method| method["name"] == "ptx_sendTransaction").expect("there");
    let fields = sent["params"][0]["schema"]["properties"].as_object().expect("fields");
    assert!(fields.values().all(|field| field["description"].is_string()), "{fields:#?}");
}
