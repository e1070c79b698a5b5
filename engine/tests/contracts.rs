//! Contracts by their ABI: calls, sends and reverts in words.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use serde_json::{Value, json};
use support::world::{SIGNERS, World};
use support::{STRANGER, error_of};

/// Counts: `increment()` adds one, anything else returns the count. Its source stands beside the clients that deploy it.
const COUNTER: &str = "0x601f8060095f395ff35f3560e01c63d09de08a146016575f545f5260205ff35b60015f54015f5500";
/// Reverts with the selector of `Refused(uint256)` and 7, whatever is asked: PUSH4, PUSH1 e0, SHL, MSTORE at 0, 7 at 4, REVERT 36 bytes.
const REFUSER: &str = "0x60138060095f395ff363590a515160e01b5f52600760045260245ffd";

fn result(world: &World, method: &str, params: &Value) -> Value {
    let reply = world.millrace().call(method, params);
    reply.get("result").unwrap_or_else(|| panic!("{method}: {reply}")).clone()
}

fn deploy(world: &World, code: &str) -> Value {
    let id = world.send(&json!({"from": SIGNERS[0], "data": code}));
    let full = world.wait_for_status(&id, "confirmed");
    assert_eq!(full["receipt"]["success"], true, "{full}");
    full["receipt"]["contractAddress"].clone()
}

#[test]
fn a_contract_is_called_and_sent_to_by_its_functions() {
    let world = World::start("epoll", "").expect("epoll runs anywhere");
    world.flow();
    let contract = deploy(&world, COUNTER);
    let abi = json!([{"type": "function", "name": "increment", "inputs": [], "outputs": [], "stateMutability": "nonpayable"},
        {"type": "function", "name": "count", "inputs": [], "outputs": [{"name": "count", "type": "uint256"}], "stateMutability": "view"}]);
    for (count, call) in [(1, json!({"function": "increment()"})), (2, json!({"function": "increment", "abi": abi, "params": []}))] {
        let mut transaction = call;
        transaction["from"] = json!(SIGNERS[0]);
        transaction["to"] = contract.clone();
        let id = world.send(&transaction);
        assert_eq!(world.wait_for_status(&id, "confirmed")["data"], "0xd09de08a");
        let asked = result(&world, "ptx_call", &json!([{"to": contract, "function": "count", "abi": abi}]));
        assert_eq!(asked["outputs"], json!({"count": count.to_string()}), "{asked}");
        let asked = result(&world, "ptx_call", &json!([{"to": contract, "function": "count()(uint256)"}, "latest"]));
        assert_eq!(asked["outputs"], json!({"0": count.to_string()}), "{asked}");
    }
}

#[test]
fn a_revert_is_told_in_the_words_of_a_stored_abi_after_a_restart_too() {
    let mut world = World::start("epoll", "").expect("epoll runs anywhere");
    world.flow();
    let contract = deploy(&world, REFUSER);
    let call = json!([{"from": SIGNERS[0], "to": contract, "function": "anything()"}]);
    // With a gas limit it is sent without an estimate, and mined as reverted.
    let id = world.send(&json!({"from": SIGNERS[0], "to": contract, "data": "0x00", "gas": 100_000}));
    assert_eq!(world.wait_for_status(&id, "confirmed")["receipt"]["success"], false);
    let receipt = result(&world, "ptx_getTransactionReceipt", &json!([id]));
    assert!(receipt["revertReason"].as_str().is_some_and(|reason| reason.contains("custom error 0x590a5151")), "{receipt}");
    let (_, before) = error_of(&world.millrace().call("ptx_call", &call));
    assert!(before.contains("0x590a5151"), "only its selector is known: {before}");
    let abi = json!([{"type": "error", "name": "Refused", "inputs": [{"name": "left", "type": "uint256"}]}]);
    let stored = result(&world, "ptx_storeABI", &json!([abi]));
    assert_eq!(result(&world, "ptx_storeABI", &json!([abi])), stored, "the same again is the same");
    world.kill();
    world.restart();
    let receipt = result(&world, "ptx_getTransactionReceipt", &json!([id]));
    assert_eq!(receipt["revertReason"], "Refused(uint256) {\"left\":\"7\"}");
    for method in ["ptx_call", "ptx_prepareTransaction"] {
        let (_, after) = error_of(&world.millrace().call(method, &call));
        assert!(after.contains("Refused(uint256)") && after.contains("\"left\":\"7\""), "{after}");
    }
}

#[test]
fn a_mistake_about_a_contract_is_named() {
    let world = World::start("epoll", "").expect("epoll runs anywhere");
    let to = |more: Value| {
        let mut transaction = json!({"from": SIGNERS[0], "to": STRANGER});
        transaction.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!([transaction])
    };
    for (method, params, shown) in [
        ("ptx_sendTransaction", to(json!({"function": "f(uint8)", "params": [300]})), "300 is no uint8"),
        ("ptx_sendTransaction", to(json!({"function": "f", "params": []})), "is no signature"),
        ("ptx_sendTransaction", to(json!({"function": "f()", "data": "0x00"})), "leave one of them out"),
        ("ptx_sendTransaction", to(json!({"params": [1]})), "params are given without function"),
        ("ptx_sendTransaction", to(json!({"abi": []})), "abi is given without function"),
        ("ptx_sendTransaction", to(json!({"abi": {"type": 7}, "function": "f"})), "abi: "),
        ("ptx_prepareTransaction", json!([]), "write [transaction]"),
        ("ptx_call", json!([]), "write [transaction, block?]"),
        ("ptx_storeABI", json!([[]]), "it must have 1 to"),
        ("ptx_storeABI", json!(["nonsense"]), "abi: "),
        ("ptx_storeABI", json!([[{"type": "function", "name": "f", "inputs": [{"name": "x", "type": "uint999"}]}]]), "abi: "),
        ("ptx_decodeCall", json!(["0x01"]), "shorter than a selector"),
        ("ptx_decodeCall", json!(["0x01020304"]), "no stored ABI knows 0x01020304"),
        ("ptx_decodeEvent", json!([[], "0x"]), "0 are given"),
        ("ptx_decodeError", json!(["nonsense"]), "nonsense"),
    ] {
        let (code, message) = error_of(&world.millrace().call(method, &params));
        assert_eq!(code, -32602, "{method} {params}: {message}");
        assert!(message.contains(shown), "{method} {params}: {message}");
    }
    assert_eq!(world.transactions(), json!([]));
}
