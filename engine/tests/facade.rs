//! The interface of an Ethereum node: what it takes, what it tells, and what it refuses.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use alloy::primitives::U256;
use serde_json::{Value, json};
use support::chain::foreign_transfer;
use support::node::{quantity, text};
use support::world::{SIGNERS, World};
use support::{STRANGER, error_of, http};

const FACADE: &str = "facade.listen = \"127.0.0.1:0\"\n";

fn world(more: &str) -> World {
    World::start("epoll", &format!("{FACADE}{more}")).expect("epoll runs anywhere")
}

fn eth(world: &World, method: &str, params: &Value) -> Value {
    let reply = world.eth(method, params);
    reply.get("result").unwrap_or_else(|| panic!("{method}: {reply}")).clone()
}

#[track_caller]
fn refused(world: &World, method: &str, params: &Value, shown: &[&str]) -> i64 {
    let (code, message) = error_of(&world.eth(method, params));
    for part in shown {
        assert!(message.contains(part), "{part} in {message}");
    }
    code
}

fn transfer(value: u64) -> Value {
    json!({"from": SIGNERS[0], "to": STRANGER, "value": format!("{value:#x}"), "gas": "0x5208"})
}

#[test]
fn what_the_engine_knows_is_answered_here_and_the_rest_by_the_node() {
    let world = world("");
    assert_eq!(eth(&world, "eth_chainId", &json!([])), "0x7a69");
    assert_eq!(eth(&world, "eth_accounts", &json!([])).as_array().expect("addresses").iter().map(text).collect::<Vec<_>>(), SIGNERS);
    world.node.ask("devnet_mine", &json!([3]));
    assert_eq!(eth(&world, "eth_blockNumber", &json!([])), world.node.ask("eth_blockNumber", &json!([])));
    // Clients leave out what is empty.
    let body = json!({"jsonrpc": "2.0", "id": 7, "method": "eth_blockNumber"}).to_string();
    let (status, reply) =
        http::exchange(world.facade(), http::post("Content-Type: application/json\r\n", &body).as_bytes()).expect("a reply");
    let reply: Value = serde_json::from_str(&reply).expect("JSON");
    assert_eq!((status, &reply["id"], quantity(&reply["result"])), (200, &json!(7), 3));
    // The node's own error comes as it is.
    let theirs = world.node.try_ask("eth_getBlockByNumber", &json!(["nonsense", false])).expect_err("refused");
    let (code, message) = error_of(&world.eth("eth_getBlockByNumber", &json!(["nonsense", false])));
    let theirs: Value = serde_json::from_str(&theirs).expect("the node's reply");
    assert_eq!((code, message), error_of(&theirs));
}

#[test]
fn a_batch_is_answered_in_its_order_and_its_sends_all_get_hashes() {
    let world = world("");
    world.flow();
    let call = |id: u64, method: &str, params: Value| json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params});
    let batch: Vec<_> = (0..10)
        .map(|id| if id % 2 == 0 { call(id, "eth_sendTransaction", json!([transfer(id + 1)])) } else { call(id, "eth_chainId", json!([])) })
        .collect();
    let (_, reply) = http::exchange(world.facade(), http::post("Content-Type: application/json\r\n", &json!(batch).to_string()).as_bytes())
        .expect("a reply");
    let replies: Vec<Value> = serde_json::from_str(&reply).expect("a list");
    assert_eq!(replies.iter().map(|reply| reply["id"].as_u64().expect("an id")).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
    let hashes: std::collections::BTreeSet<_> = replies.iter().step_by(2).map(|reply| text(&reply["result"])).collect();
    assert_eq!(hashes.len(), 5, "{replies:?}");
}

#[test]
fn an_access_list_without_gas_is_estimated_and_mined() {
    let world = world("");
    world.flow();
    let list = json!([{"address": STRANGER, "storageKeys": [format!("0x{}", "01".repeat(32))]}]);
    let hash = eth(&world, "eth_sendTransaction", &json!([{"from": SIGNERS[0], "to": STRANGER, "value": "0x1", "accessList": list}]));
    world.wait_until("it is mined", || !world.eth("eth_getTransactionReceipt", &json!([hash]))["result"].is_null());
    let receipt = eth(&world, "eth_getTransactionReceipt", &json!([hash]));
    assert_eq!((quantity(&receipt["status"]), quantity(&receipt["gasUsed"])), (1, 21_000 + 2_400 + 1_900));
    assert_eq!(eth(&world, "eth_getTransactionByHash", &json!([hash]))["accessList"], list);
}

#[test]
fn a_sent_transaction_is_known_by_its_hash_before_and_after_its_block() {
    let world = world("");
    let hash = eth(&world, "eth_sendTransaction", &json!([transfer(5)]));
    assert_eq!(eth(&world, "eth_getTransactionReceipt", &json!([hash])), Value::Null);
    let pending = eth(&world, "eth_getTransactionByHash", &json!([hash]));
    assert_eq!((&pending["hash"], &pending["blockHash"], quantity(&pending["value"])), (&hash, &Value::Null, 5));
    assert_eq!(eth(&world, "eth_getTransactionCount", &json!([SIGNERS[0], "pending"])), "0x1");
    assert_eq!(eth(&world, "eth_getTransactionCount", &json!([SIGNERS[0], "latest"])), "0x0");
    world.flow();
    world.wait_until("it is mined", || !eth(&world, "eth_getTransactionReceipt", &json!([hash])).is_null());
    let receipt = eth(&world, "eth_getTransactionReceipt", &json!([hash]));
    assert_eq!((&receipt["transactionHash"], &receipt["status"]), (&hash, &json!("0x1")));
    let unknown = json!([format!("0x{}", "12".repeat(32))]);
    assert_eq!(eth(&world, "eth_getTransactionReceipt", &unknown), Value::Null);
    assert_eq!(eth(&world, "eth_getTransactionByHash", &unknown), Value::Null);
}

#[test]
fn a_transaction_that_no_node_has_is_told_from_our_own_bytes() {
    let world = world("");
    // The node loses every transaction it is sent, and says nothing.
    world.fault(&json!({"method": "eth_sendRawTransaction", "action": "cut", "count": 100_000}));
    let hash = eth(&world, "eth_sendTransaction", &json!([transfer(9)]));
    let shown = eth(&world, "eth_getTransactionByHash", &json!([hash]));
    assert_eq!((&shown["hash"], text(&shown["from"]), quantity(&shown["value"])), (&hash, SIGNERS[0].to_owned(), 9), "{shown}");
    assert_eq!((&shown["blockNumber"], quantity(&shown["nonce"])), (&Value::Null, 0));
}

#[test]
fn the_first_hash_finds_what_was_mined_after_the_price_was_raised() {
    let world = world("txmgr.resubmit_interval_ms = 100\n");
    let first = eth(&world, "eth_sendTransaction", &json!([transfer(3)]));
    let attempts = || {
        let transactions = world.transactions();
        transactions[0]["attempts"].as_array().expect("attempts").iter().map(|attempt| text(&attempt["hash"])).collect::<Vec<_>>()
    };
    world.wait_until("its price is raised", || attempts().len() > 1);
    world.flow();
    world.wait_until("it is mined", || !eth(&world, "eth_getTransactionReceipt", &json!([first])).is_null());
    let receipt = eth(&world, "eth_getTransactionReceipt", &json!([first]));
    assert_ne!(receipt["transactionHash"], first, "a later attempt was mined");
    for hash in attempts() {
        assert_eq!(eth(&world, "eth_getTransactionReceipt", &json!([hash])), receipt);
        assert_eq!(eth(&world, "eth_getTransactionByHash", &json!([hash]))["hash"], receipt["transactionHash"]);
    }
}

#[test]
fn a_transaction_that_waits_is_answered_when_it_is_bound_and_counts_for_the_next_nonce() {
    let world = world("");
    let pause = |method: &str, param: Value| world.millrace().call(method, &json!([param]));
    pause("ptx_pauseAddress", json!({"address": SIGNERS[0]}));
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| eth(&world, "eth_sendTransaction", &json!([transfer(1)])));
        world.wait_until("it waits", || {
            eth(&world, "eth_getTransactionCount", &json!([SIGNERS[0], "pending"])) == "0x1" && !world.transactions()[0].is_null()
        });
        assert!(!sent.is_finished(), "it has no hash yet");
        pause("ptx_resumeAddress", json!(SIGNERS[0]));
        let hash = sent.join().expect("a hash");
        assert_eq!(world.transactions()[0]["transactionHash"], hash);
    });
}

#[test]
fn a_transaction_that_gets_no_nonce_in_time_is_named_and_kept() {
    let world = world("facade.bind_timeout_ms = 200\n");
    world.millrace().call("ptx_pauseAddress", &json!([{"address": SIGNERS[0]}]));
    let (code, message) = error_of(&world.eth("eth_sendTransaction", &json!([transfer(1)])));
    let id = world.transactions()[0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(code, -32011);
    assert!(message.contains(&id) && message.contains("do not send it again"), "{message}");
}

#[test]
fn a_transaction_that_always_reverts_is_refused_with_the_reason() {
    let world = world("txmgr.estimate_tries = 1\n");
    world.flow();
    // Init code that reverts.
    let code = refused(&world, "eth_sendTransaction", &json!([{"from": SIGNERS[0], "data": "0x5f5ffd"}]), &["revert"]);
    assert_eq!(code, -32000);
}

#[test]
fn what_could_harm_the_engine_or_the_node_is_refused_and_nothing_is_disturbed() {
    let world = world("");
    let raw = foreign_transfer(0, 0, STRANGER.parse().expect("an address"), U256::ONE);
    let typed = json!({"types": {"EIP712Domain": [{"name": "chainId", "type": "uint256"}], "Mail": [{"name": "text", "type": "string"}]},
        "primaryType": "Mail", "domain": {"chainId": 1}, "message": {"text": "hello"}});
    for (method, params, shown) in [
        ("eth_sendRawTransaction", json!([raw]), &["signed by 0xf39Fd6", "eth_sendTransaction"][..]),
        ("eth_sign", json!([SIGNERS[0], "0x00"]), &["key of the node"]),
        ("eth_signTransaction", json!([transfer(1)]), &["key of the node"]),
        ("debug_traceTransaction", json!([]), &["debug_traceTransaction", "facade.allow"]),
        ("devnet_mine", json!([1]), &["facade.allow"]),
        ("personal_unlockAccount", json!([]), &["key of the node"]),
        ("eth_subscribe", json!(["newHeads"]), &["WebSocket"]),
        ("eth_sendTransaction", json!([{"from": STRANGER, "to": STRANGER}]), &["unknown signer"]),
        ("eth_sendTransaction", json!([{"to": STRANGER}]), &["from: missing"]),
        ("eth_sendTransaction", json!([]), &["write [transaction]"]),
        ("eth_sendTransaction", json!([{"from": SIGNERS[0], "to": STRANGER, "type": "0x3"}]), &["type: 3"]),
        ("eth_sendTransaction", json!([{"from": SIGNERS[0], "to": STRANGER, "blobs": ["0x00"]}]), &["blobs[0]", "131072"]),
        ("eth_sendTransaction", json!([{"from": SIGNERS[0], "to": STRANGER, "chainId": "0x1"}]), &["chainId 1"]),
        ("personal_sign", json!(["0x00", STRANGER]), &["unknown signer"]),
        ("personal_sign", json!(["0x00"]), &["write [message, address]"]),
        ("eth_signTypedData_v4", json!([SIGNERS[0], "{}"]), &["typedData"]),
        ("eth_signTypedData_v4", json!([SIGNERS[0], typed]), &["domain.chainId 1"]),
        ("eth_getTransactionReceipt", json!(["0x12"]), &["hash: \"0x12\""]),
    ] {
        let code = refused(&world, method, &params, shown);
        assert!([-32601, -32602].contains(&code), "{method}: {code}");
    }
    assert_eq!(world.transactions(), json!([]), "nothing was sent");
    assert_eq!(world.node.pending(), 0);
    world.flow();
    let hash = eth(&world, "eth_sendTransaction", &json!([transfer(1)]));
    world.wait_until("the next one is mined", || !eth(&world, "eth_getTransactionReceipt", &json!([hash])).is_null());
}

#[test]
fn a_strangers_raw_transaction_is_passed_on() {
    let world = world("");
    // The fourth account of the mnemonic: the engine has the first three.
    let raw = foreign_transfer(3, 0, STRANGER.parse().expect("an address"), U256::ONE);
    let hash = eth(&world, "eth_sendRawTransaction", &json!([raw]));
    assert_eq!(world.node.ask("eth_getTransactionByHash", &json!([hash]))["hash"], hash);
}

#[test]
fn what_is_turned_off_is_refused_and_what_is_allowed_is_passed_on() {
    let world = world("facade.off = [\"eth_sendTransaction\", \"eth_accounts\"]\nfacade.allow = [\"eth_blockNumber\", \"txpool_*\"]\n");
    for method in ["eth_sendTransaction", "eth_accounts"] {
        assert_eq!(refused(&world, method, &json!([transfer(1)]), &["turned off", "facade.off"]), -32601);
    }
    assert_eq!(refused(&world, "eth_getBalance", &json!([SIGNERS[0], "latest"]), &["facade.allow"]), -32601);
    assert_eq!(quantity(&eth(&world, "eth_blockNumber", &json!([]))), world.node.head());
    assert_eq!(eth(&world, "txpool_status", &json!([])), world.node.ask("txpool_status", &json!([])));
}

#[test]
fn without_checking_a_nonce_means_nothing_and_with_it_a_repeat_is_no_second_transaction() {
    let numbered = |nonce: u64, value: u64| {
        let mut transaction = transfer(value);
        transaction["nonce"] = json!(format!("{nonce:#x}"));
        json!([transaction])
    };
    let world_of_tools = world("");
    eth(&world_of_tools, "eth_sendTransaction", &numbered(0, 1));
    eth(&world_of_tools, "eth_sendTransaction", &numbered(0, 1));
    assert_eq!(eth(&world_of_tools, "eth_getTransactionCount", &json!([SIGNERS[0], "pending"])), "0x2");

    let world = world("facade.nonces = \"check\"\n");
    let hash = eth(&world, "eth_sendTransaction", &numbered(0, 1));
    assert_eq!(eth(&world, "eth_sendTransaction", &numbered(0, 1)), hash, "a repeat has the first one's answer");
    assert_eq!(refused(&world, "eth_sendTransaction", &numbered(0, 2), &["another body"]), -32012);
    assert_eq!(refused(&world, "eth_sendTransaction", &numbered(5, 1), &["nonce 5", "which is 1"]), -32000);
    let next = eth(&world, "eth_sendTransaction", &numbered(1, 1));
    assert_eq!(quantity(&eth(&world, "eth_getTransactionByHash", &json!([next]))["nonce"]), 1);
    eth(&world, "eth_sendTransaction", &json!([transfer(1)]));
    assert_eq!(eth(&world, "eth_getTransactionCount", &json!([SIGNERS[0], "pending"])), "0x3");
}

#[test]
fn a_checked_nonce_whose_transaction_failed_before_it_was_bound_can_be_used_again() {
    let world = world("facade.nonces = \"check\"\ntxmgr.estimate_tries = 1\n");
    world.flow();
    // Init code that reverts.
    let refused_one = |nonce: &str| json!([{"from": SIGNERS[0], "data": "0x5f5ffd", "nonce": nonce}]);
    let mut good = transfer(7);
    for nonce in ["0x0", "0x1"] {
        for _ in 0..12 {
            assert_eq!(refused(&world, "eth_sendTransaction", &refused_one(nonce), &["revert"]), -32000, "it is tried each time");
        }
        good["nonce"] = json!(nonce);
        let hash = eth(&world, "eth_sendTransaction", &json!([good]));
        assert_eq!(eth(&world, "eth_getTransactionByHash", &json!([hash]))["nonce"], nonce);
        assert_eq!(eth(&world, "eth_sendTransaction", &json!([good])), hash, "a repeat has its answer");
        let mut other = good.clone();
        other["value"] = json!("0x63");
        assert_eq!(refused(&world, "eth_sendTransaction", &json!([other]), &["another body"]), -32012);
    }
}

#[test]
fn the_next_nonce_is_behind_what_is_bound_also_after_a_restart_at_a_node_that_has_lost_it() {
    let mut world = world("facade.nonces = \"check\"\n");
    // The node loses every transaction it is sent, and says nothing.
    world.fault(&json!({"method": "eth_sendRawTransaction", "action": "cut", "count": 100_000}));
    for value in 1..4 {
        eth(&world, "eth_sendTransaction", &json!([transfer(value)]));
    }
    world.kill();
    world.restart();
    assert_eq!(world.node.pending(), 0);
    assert_eq!(eth(&world, "eth_getTransactionCount", &json!([SIGNERS[0], "pending"])), "0x3");
    // What others have put into the pool binds nothing.
    world.node.ask("devnet_clearFaults", &json!([]));
    world.node.ask("eth_sendRawTransaction", &json!([foreign_transfer(1, 0, STRANGER.parse().expect("an address"), U256::ONE)]));
    assert_eq!(eth(&world, "eth_getTransactionCount", &json!([SIGNERS[1], "pending"])), "0x0");
}

#[test]
fn a_price_that_is_given_is_kept_unless_it_is_to_be_ignored() {
    let mut priced = transfer(1);
    priced["gasPrice"] = json!("0x174876e800");
    for (setting, kept) in [("", true), ("facade.fees = \"ignore\"\n", false)] {
        let world = world(setting);
        let hash = eth(&world, "eth_sendTransaction", &json!([priced]));
        let shown = eth(&world, "eth_getTransactionByHash", &json!([hash]));
        assert_eq!(shown["gasPrice"] == priced["gasPrice"] && shown["type"] == "0x0", kept, "{shown}");
    }
}

#[test]
fn without_its_node_what_is_passed_on_fails_and_what_is_accepted_is_kept() {
    let world = world("");
    world.fault(&json!({"method": "*", "action": "cut", "count": 100_000}));
    let (code, message) = error_of(&world.eth("eth_getBalance", &json!([SIGNERS[0], "latest"])));
    assert!([-32603, -32010].contains(&code) && message.contains("no answer of the node"), "{code} {message}");
    assert_eq!(eth(&world, "eth_chainId", &json!([])), "0x7a69");
}
