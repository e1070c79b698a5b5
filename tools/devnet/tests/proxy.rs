//! The proxy: what it passes on, and each thing it can do worse, once.

#![allow(clippy::needless_pass_by_value, reason = "parameters are written in place, as json!([…])")]

use std::{num::NonZeroU64, thread, time::Duration};

use alloy::{
    consensus::TxEip1559,
    hex,
    primitives::{Address, TxKind, U256},
    signers::local::PrivateKeySigner,
};
use async_tungstenite::{
    tokio::connect_async,
    tungstenite::{self, Message},
};
use devnet::{
    Action, Config, Handle, Refusal, Rule, StartError, accounts,
    proxy::{self, Proxy, ProxyConfig},
};
use futures_util::StreamExt;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

mod kit;

use kit::{ANSWER_MAX, Client, GWEI, number, sign, transfer};

/// How often to look whether another thread's request took effect.
const POLL: Duration = Duration::from_millis(5);

/// A dev chain that seals only on request, asked directly, and a proxy in front of it.
struct World {
    proxy: Proxy,
    client: Client,
    node: Client,
    _chain: Handle,
}

fn pair() -> (Handle, Proxy) {
    let chain = devnet::start(Config { block_time: Duration::ZERO, ..Config::default() }).expect("a free port");
    let proxy = proxy::start(ProxyConfig::new(chain.url())).expect("a free port");
    (chain, proxy)
}

fn world() -> World {
    let (chain, proxy) = pair();
    World { client: Client::new(&proxy.url()), node: Client::new(&chain.url()), proxy, _chain: chain }
}

fn account(index: usize) -> PrivateKeySigner {
    accounts::derive(&Config::default().mnemonic, 2).expect("the test phrase").swap_remove(index)
}

fn raw(nonce: u64) -> Vec<u8> {
    sign(&account(0), transfer(31_337, nonce))
}

fn call(id: u64, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn send_call(id: u64, raw: &[u8]) -> Value {
    call(id, "eth_sendRawTransaction", json!([hex::encode_prefixed(raw)]))
}

#[test]
fn what_nobody_lies_about_is_passed_on_byte_by_byte() {
    let world = world();
    let bodies = [
        r#"{"jsonrpc":"2.0","id":"a","method":"eth_chainId"}"#,
        r#"[{"jsonrpc":"2.0","id":null,"method":"eth_chainId","params":[]},{"jsonrpc":"2.0","method":"eth_chainId"},5]"#,
        r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#,
        r#"{"a":1}"#,
        "{",
        "[]",
    ];
    for body in bodies {
        let (direct, proxied) = (world.node.post(body).expect("a reply"), world.client.post(body).expect("a reply"));
        assert_eq!((direct.status(), direct.body()), (proxied.status(), proxied.body()), "{body}");
    }
    // A control method that the proxy does not know is the dev chain's.
    assert_eq!(world.client.ask("devnet_mine", json!([2])), "0x2");
    assert_eq!(world.node.head(), 2);
}

#[test]
fn a_reply_cut_before_reaches_no_node_and_one_cut_after_does() {
    let world = world();
    for (when, pending) in [("before", "0x0"), ("after", "0x1")] {
        world.client.ask("devnet_addFault", json!([{"method": "eth_sendRawTransaction", "action": "cut", "when": when}]));
        let batch = json!([call(1, "eth_chainId", json!([])), send_call(2, &raw(0))]);
        assert!(world.client.post(&batch.to_string()).is_err(), "a batch is struck as a whole");
        assert_eq!(world.node.ask("txpool_status", json!([]))["pending"], pending);
    }
}

#[test]
fn a_held_reply_comes_when_it_is_released() {
    let world = world();
    world.proxy.add_fault(Rule::new("eth_sendRawTransaction", Action::Hold).after_effect()).expect("room");
    let url = world.proxy.url();
    let held = thread::spawn(move || Client::new(&url).send(&raw(0)));
    while world.node.ask("txpool_status", json!([]))["pending"] == "0x0" {
        thread::sleep(POLL);
    }
    assert!(!held.is_finished());
    // Released again and again: the reply may be on its way from the node to where it is held.
    while !held.is_finished() {
        world.client.ask("devnet_releaseHeld", json!([]));
        thread::sleep(POLL);
    }
    assert!(held.join().expect("no panic").is_ok());
}

#[test]
fn too_many_requests_says_when_to_come_back_and_clearing_ends_it() {
    let world = world();
    let often = NonZeroU64::new(100).expect("not zero");
    world.proxy.add_fault(Rule::new("*", Action::TooManyRequests).retry_after(7).count(often)).expect("room");
    let response = world.client.post(&call(1, "eth_chainId", json!([])).to_string()).expect("a response");
    assert_eq!((response.status(), &response.headers()["retry-after"]), (StatusCode::TOO_MANY_REQUESTS, &"7".parse().expect("ASCII")));
    assert_eq!(world.client.ask("devnet_clearFaults", json!([])), "0x1");
    assert_eq!(world.client.ask("eth_chainId", json!([])), "0x7a69");
}

#[test]
fn receipts_of_the_newest_blocks_are_null_for_so_many_calls() {
    let world = world();
    let hash = world.client.send(&raw(0)).expect("accepted");
    world.node.ask("devnet_mine", json!([2]));
    let truth = world.node.ask("eth_getBlockReceipts", json!(["0x1"]));
    world.client.ask("devnet_setReceiptLag", json!([2, 3]));
    assert!(world.client.receipt(hash).is_null());
    let batch = json!([call(1, "eth_getBlockReceipts", json!(["0x1"])), call(2, "eth_getBlockReceipts", json!([truth[0]["blockHash"]]))]);
    let replies = world.client.exchange(&batch);
    assert!(replies[0]["result"].is_null() && replies[1]["result"].is_null(), "{replies}");
    assert_eq!(world.client.ask("eth_getBlockReceipts", json!(["0x1"])), truth, "the fourth call hears the truth");
    world.proxy.set_receipt_lag(1, None);
    assert_eq!(world.client.ask("eth_getBlockReceipts", json!(["0x1"])), truth, "the block before the newest is not hidden");
}

#[test]
fn the_last_receipt_of_a_block_is_left_out_until_cleared() {
    let world = world();
    for nonce in 0..3 {
        world.client.send(&raw(nonce)).expect("accepted");
    }
    world.node.ask("devnet_mine", json!([]));
    let count = || world.client.ask("eth_getBlockReceipts", json!(["0x1"])).as_array().map(Vec::len);
    world.client.ask("devnet_shortenReceipts", json!([]));
    assert_eq!((count(), count()), (Some(2), Some(2)));
    world.client.ask("devnet_clearFaults", json!([]));
    assert_eq!(count(), Some(3));
}

#[test]
fn nonces_are_wrong_by_so_much_but_never_below_zero() {
    let world = world();
    for nonce in 0..2 {
        world.client.send(&raw(nonce)).expect("accepted");
    }
    let nonce = || world.client.nonce(account(0).address(), "pending");
    world.client.ask("devnet_skewNonces", json!([5, 1]));
    assert_eq!((nonce(), nonce()), (7, 2));
    world.proxy.skew_nonces(-9, None);
    assert_eq!((nonce(), nonce()), (0, 0));
    world.proxy.skew_nonces(0, None);
    assert_eq!(nonce(), 2);
}

#[test]
fn two_proxies_show_one_chain_five_blocks_apart() {
    let world = world();
    let hash = world.client.send(&raw(0)).expect("accepted");
    world.node.ask("devnet_mine", json!([8]));
    let behind = proxy::start(ProxyConfig::new(world.proxy.url())).expect("a free port");
    behind.lag_head(5);
    let lagging = Client::new(&behind.url());
    assert_eq!((world.client.head(), lagging.head()), (8, 3));

    let latest = lagging.ask("eth_getBlockByNumber", json!(["latest", false]));
    assert_eq!(latest, world.node.ask("eth_getBlockByNumber", json!(["0x3", false])));
    let newest = world.node.ask("eth_getBlockByNumber", json!(["0x4", false]));
    assert!(lagging.ask("eth_getBlockByNumber", json!(["0x4", false])).is_null());
    assert!(lagging.ask("eth_getBlockByHash", json!([newest["hash"], false])).is_null());
    assert!(lagging.ask("eth_getBlockReceipts", json!(["0x4"])).is_null());
    assert!(!lagging.receipt(hash).is_null(), "block 1 is there");
    assert_eq!(lagging.nonce(account(0).address(), "latest"), 1);

    behind.lag_head(8);
    assert!(lagging.receipt(hash).is_null());
    assert_eq!(lagging.nonce(account(0).address(), "latest"), 0);
    assert_eq!(lagging.call("eth_getBalance", json!([Address::ZERO, "0x1"])).expect_err("no such block").message, "header not found");
    let transaction = lagging.ask("eth_getTransactionByHash", json!([hash]));
    assert!(transaction.is_object() && transaction["blockHash"].is_null(), "{transaction}");
    behind.clear_faults();
    assert_eq!(lagging.head(), 8);
}

#[test]
fn a_replacement_needs_ten_percent_more_of_both_fees_until_it_is_too_late() {
    let world = world();
    replacement_rule(&world.client, || drop(world.node.ask("devnet_mine", json!([]))));
    // The first, its replacement, and the one after it is mined: the refused ones never came to the node.
    let status = world.node.ask("devnet_status", json!([]));
    assert_eq!((&status["admitted"], &status["refused"]), (&json!("0x2"), &json!("0x1")));
}

/// Sends replacements through a proxy that is to enforce the rule.
fn replacement_rule(client: &Client, mine: impl Fn()) {
    client.ask("devnet_enforceReplacementRule", json!([]));
    let signer = account(1);
    let send = |cap: u128, tip: u128| {
        let fees = TxEip1559 { max_fee_per_gas: cap * GWEI, max_priority_fee_per_gas: tip * GWEI, ..transfer(31_337, 0) };
        client.send(&sign(&signer, TxEip1559 { to: TxKind::Call(Address::ZERO), value: U256::from(cap + tip), ..fees }))
    };
    send(100, 10).expect("the first is taken");
    for (cap, tip) in [(109, 20), (200, 10), (100, 10 + 1)] {
        let error = send(cap, tip).expect_err("too little");
        assert_eq!((error.code, error.message.as_str()), (-32_000, "replacement transaction underpriced"), "{cap} {tip}");
    }
    send(110, 11).expect("enough");
    mine();
    let error = send(111, 12).expect_err("the node refuses it now, not the proxy");
    assert!(error.message.contains("nonce too low"), "{error}");
}

#[test]
fn a_refused_call_fails_alone_in_its_batch_and_a_sender_alone_among_others() {
    let world = world();
    let twice = NonZeroU64::new(2).expect("not zero");
    let refusal =
        |method: &str, from| Refusal { method: method.to_owned(), code: -32_077, message: "not today".to_owned(), count: twice, from };
    world.proxy.fail(refusal("eth_gasPrice", None)).expect("room");
    let batch = json!([call(1, "eth_chainId", json!([])), call(2, "eth_gasPrice", json!([])), call(3, "eth_blockNumber", json!([]))]);
    for error in [json!({"code": -32_077, "message": "not today"}), json!({"code": -32_077, "message": "not today"}), Value::Null] {
        let replies = world.client.exchange(&batch);
        assert_eq!((&replies[0]["result"], &replies[1]["error"], &replies[2]["result"]), (&json!("0x7a69"), &error, &json!("0x0")));
    }
    let refusal = json!({"method": "eth_sendRawTransaction", "code": -32_000, "message": "no", "from": account(1).address()});
    world.client.ask("devnet_fail", json!([refusal]));
    let from = |index, nonce| world.client.send(&sign(&account(index), transfer(31_337, nonce)));
    assert!(from(0, 0).is_ok());
    assert_eq!(from(1, 0).expect_err("refused").message, "no");
    assert!(from(1, 0).is_ok(), "once");
}

#[test]
fn requests_and_calls_are_counted_by_method_and_control_is_not() {
    let world = world();
    let batch = json!([call(1, "eth_chainId", json!([])), call(2, "eth_gasPrice", json!([])), call(3, "eth_chainId", json!([]))]);
    world.client.exchange(&batch);
    world.client.ask("eth_gasPrice", json!([]));
    let status = world.client.ask("devnet_status", json!([]));
    assert_eq!(status["callsByMethod"], json!({"eth_chainId": "0x2", "eth_gasPrice": "0x2"}));
    assert_eq!((&status["requests"], &status["calls"]), (&json!("0x2"), &json!("0x4")));
    assert_eq!(world.proxy.status().calls["eth_chainId"], 2);
}

#[test]
fn a_node_that_is_not_there_is_a_bad_gateway_and_its_path_stays_secret() {
    let gone = devnet::start(Config::default()).expect("a free port");
    let url = format!("{}/secret", gone.url());
    gone.stop();
    let proxy = proxy::start(ProxyConfig::new(url)).expect("a free port");
    let response = Client::new(&proxy.url()).post(&call(1, "eth_chainId", json!([])).to_string()).expect("a response");
    let words = String::from_utf8_lossy(response.body()).into_owned();
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    assert!(words.contains("does not answer") && !words.contains("secret"), "{words}");
    let error = proxy::start(ProxyConfig::new("https://user:secret@host")).expect_err("no plain address");
    assert!(matches!(error, StartError::Upstream) && !error.to_string().contains("secret"), "{error}");
}

type Socket = async_tungstenite::WebSocketStream<async_tungstenite::tokio::ConnectStream>;

async fn next(socket: &mut Socket) -> Value {
    let message = timeout(ANSWER_MAX, socket.next()).await.expect("a message in time").expect("an open socket");
    serde_json::from_str(message.expect("a whole message").to_text().expect("text")).expect("JSON")
}

async fn ask(socket: &mut Socket, call: Value) {
    socket.send(Message::text(call.to_string())).await.expect("an open socket");
}

#[tokio::test(flavor = "current_thread")]
async fn websockets_carry_calls_lies_and_heads_that_lag() {
    let (_chain, proxy) = pair();
    let (mut socket, _) = connect_async(proxy.ws_url()).await.expect("an upgrade");
    ask(&mut socket, call(1, "eth_subscribe", json!(["newHeads"]))).await;
    let subscription = next(&mut socket).await["result"].clone();
    let mut head = async |calls: Value| {
        ask(&mut socket, calls).await;
        let mut heads = Vec::new();
        loop {
            let message = next(&mut socket).await;
            if message["method"] != "eth_subscription" {
                return (message["result"].clone(), heads);
            }
            assert_eq!(message["params"]["subscription"], subscription);
            heads.push(message["params"]["result"]["number"].clone());
        }
    };
    proxy.skew_nonces(3, Some(1));
    let (nonce, _) = head(call(2, "eth_getTransactionCount", json!([Address::ZERO, "latest"]))).await;
    assert_eq!(nonce, "0x3");
    // The reply to the command comes before the heads it makes; they come with the reply to the next one.
    head(call(3, "devnet_mine", json!([2]))).await;
    let (_, heads) = head(call(4, "eth_chainId", json!([]))).await;
    assert_eq!(heads, ["0x1", "0x2"]);
    proxy.lag_head(2);
    head(call(5, "devnet_mine", json!([3]))).await;
    let (number, heads) = head(call(6, "eth_blockNumber", json!([]))).await;
    let (_, more) = head(call(7, "eth_chainId", json!([]))).await;
    assert_eq!((number, [heads, more].concat()), (json!("0x3"), vec![json!("0x1"), json!("0x2"), json!("0x3")]));
}

#[tokio::test(flavor = "current_thread")]
async fn websockets_that_are_cut_end_and_none_is_taken_until_they_are_allowed() {
    let (_chain, proxy) = pair();
    let (mut socket, _) = connect_async(proxy.ws_url()).await.expect("an upgrade");
    ask(&mut socket, call(1, "eth_chainId", json!([]))).await;
    assert_eq!(next(&mut socket).await["result"], "0x7a69");
    proxy.cut_websockets();
    let end = timeout(ANSWER_MAX, socket.next()).await.expect("the end comes in time");
    assert!(end.is_none_or(|message| message.is_err()), "it ends without a word");
    match connect_async(proxy.ws_url()).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 503),
        other => panic!("{other:?}"),
    }
    proxy.allow_websockets();
    assert!(connect_async(proxy.ws_url()).await.is_ok());
}

#[test]
fn in_front_of_a_real_anvil_lies_and_the_replacement_rule_hold_as_well() {
    let anvil = nodes::anvil::start(&nodes::anvil::Config::default()).unwrap_or_else(|error| panic!("{error}"));
    let proxy = proxy::start(ProxyConfig::new(anvil.url())).expect("a free port");
    let (client, node) = (Client::new(&proxy.url()), Client::new(&anvil.url()));
    node.ask("evm_setIntervalMining", json!([0]));
    replacement_rule(&client, || drop(node.ask("evm_mine", json!([]))));
    let head = node.head();
    let receipts = node.ask("eth_getBlockReceipts", json!([format!("{head:#x}")]));
    assert_eq!(receipts.as_array().map(Vec::len), Some(1));
    proxy.shorten_receipts(Some(1));
    assert_eq!(client.ask("eth_getBlockReceipts", json!([receipts[0]["blockHash"]])), json!([]));
    proxy.set_receipt_lag(1, Some(1));
    assert!(client.ask("eth_getBlockReceipts", json!([receipts[0]["blockHash"]])).is_null());
    proxy.skew_nonces(-1, Some(1));
    assert_eq!((client.nonce(account(1).address(), "latest"), client.nonce(account(1).address(), "latest")), (0, 1));
    proxy.lag_head(1);
    assert_eq!(client.head(), head - 1);
    assert_eq!(number(&client.ask("eth_getBlockByNumber", json!(["latest", false]))["number"]), head - 1);
}
