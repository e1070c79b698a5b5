//! The sockets: limits, WebSocket, new heads, the program itself.

#![allow(clippy::needless_pass_by_value, reason = "parameters are written in place, as json!([…])")]

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use async_tungstenite::{tokio::connect_async, tungstenite::Message};
use devnet::{Config, Mnemonic, StartError};
use futures_util::StreamExt;
use hyper::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;

mod kit;

use kit::{ANSWER_MAX, Client};

type Socket = async_tungstenite::WebSocketStream<async_tungstenite::tokio::ConnectStream>;

fn manual() -> Config {
    Config { block_time: Duration::ZERO, ..Config::default() }
}

async fn connect(url: String) -> Socket {
    connect_async(url).await.expect("the node takes the upgrade").0
}

async fn next(socket: &mut Socket) -> Value {
    let message = timeout(ANSWER_MAX, socket.next()).await.expect("a message in time").expect("an open socket");
    serde_json::from_str(message.expect("a whole message").to_text().expect("text")).expect("JSON")
}

async fn send(socket: &mut Socket, call: Value) {
    socket.send(Message::text(call.to_string())).await.expect("an open socket");
}

fn call(method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

#[tokio::test(flavor = "current_thread")]
async fn new_heads_come_over_websocket_with_both_branches_of_a_reorg() {
    let node = devnet::start(manual()).expect("a free port");
    let mut socket = connect(node.ws_url()).await;
    send(&mut socket, call("eth_subscribe", json!(["newHeads"]))).await;
    let subscription = next(&mut socket).await["result"].clone();
    let mut heads = Vec::new();
    for command in [call("devnet_mine", json!([2])), call("devnet_reorg", json!([{"depth": 1, "length": 2}]))] {
        send(&mut socket, command).await;
        let mut seen = 0;
        // Two heads and one reply, in whatever order.
        while seen < 3 {
            let message = next(&mut socket).await;
            seen += 1;
            if message["method"] == "eth_subscription" {
                assert_eq!(message["params"]["subscription"], subscription);
                heads.push(message["params"]["result"].clone());
            }
        }
    }
    let numbers: Vec<_> = heads.iter().map(|head| head["number"].clone()).collect();
    assert_eq!(numbers, ["0x1", "0x2", "0x2", "0x3"]);
    assert_eq!(heads[2]["parentHash"], heads[0]["hash"], "the new branch starts where the old one did");
    assert_ne!(heads[2]["hash"], heads[1]["hash"]);

    send(&mut socket, call("eth_unsubscribe", json!([subscription]))).await;
    assert_eq!(next(&mut socket).await["result"], true);
    send(&mut socket, call("devnet_mine", json!([]))).await;
    assert_eq!(next(&mut socket).await["result"], "0x4", "the next message is the reply and no head");
    node.stop();
}

#[tokio::test(flavor = "current_thread")]
async fn blocks_come_by_the_clock_and_the_clock_can_be_changed() {
    let node = devnet::start(Config { block_time: Duration::from_millis(20), ..Config::default() }).expect("a free port");
    let mut socket = connect(node.ws_url()).await;
    send(&mut socket, call("eth_subscribe", json!(["newHeads"]))).await;
    next(&mut socket).await;
    let first = next(&mut socket).await["params"]["result"]["hash"].clone();
    assert_eq!(next(&mut socket).await["params"]["result"]["parentHash"], first);
    send(&mut socket, call("devnet_setBlockTime", json!([0]))).await;
    while next(&mut socket).await["method"] == "eth_subscription" {}
    send(&mut socket, call("eth_blockNumber", json!([]))).await;
    let stopped = next(&mut socket).await["result"].clone();
    assert!(timeout(Duration::from_millis(200), socket.next()).await.is_err(), "no block after {stopped}");
    node.stop();
}

#[tokio::test(flavor = "current_thread")]
async fn a_cut_ends_a_websocket() {
    let node = devnet::start(manual()).expect("a free port");
    let mut socket = connect(node.ws_url()).await;
    send(&mut socket, call("devnet_addFault", json!([{"method": "eth_chainId", "action": "cut"}]))).await;
    assert_eq!(next(&mut socket).await["result"], "0x0");
    send(&mut socket, call("eth_chainId", json!([]))).await;
    let end = timeout(ANSWER_MAX, socket.next()).await.expect("the end comes in time");
    assert!(end.is_none_or(|message| message.is_err() || message.is_ok_and(|message| message.is_close())));
    node.stop();
}

#[tokio::test(flavor = "current_thread")]
async fn websockets_are_cut_and_taken_again() {
    let node = devnet::start(manual()).expect("a free port");
    let mut socket = connect(node.ws_url()).await;
    send(&mut socket, call("devnet_cutWebSockets", json!([]))).await;
    let end = async { while let Some(Ok(_)) = socket.next().await {} };
    timeout(ANSWER_MAX, end).await.expect("the end comes in time");
    assert!(connect_async(node.ws_url()).await.is_err());
    let url = node.url();
    let allow = move || Client::new(&url).ask("devnet_allowWebSockets", json!([]));
    std::thread::spawn(allow).join().expect("no panic");
    connect(node.ws_url()).await;
    node.stop();
}

#[test]
fn a_subscription_over_http_is_refused() {
    let node = devnet::start(manual()).expect("a free port");
    let error = Client::new(&node.url()).call("eth_subscribe", json!(["newHeads"])).expect_err("nowhere to send heads");
    assert_eq!((error.code, error.message.as_str()), (-32_001, "notifications not supported"));
    node.stop();
}

#[test]
fn notifications_get_no_reply_and_an_id_of_null_is_an_id() {
    let node = devnet::start(manual()).expect("a free port");
    let client = Client::new(&node.url());
    let body = |json: &str| String::from_utf8(client.post(json).expect("a response").body().to_vec()).expect("UTF-8");
    assert_eq!(body(r#"{"jsonrpc":"2.0","method":"eth_chainId"}"#), "");
    assert_eq!(body(r#"[{"jsonrpc":"2.0","method":"eth_chainId"}]"#), "");
    assert_eq!(
        body(r#"[{"jsonrpc":"2.0","method":"eth_chainId"},{"jsonrpc":"2.0","id":null,"method":"eth_chainId"},5]"#),
        r#"[{"jsonrpc":"2.0","id":null,"result":"0x7a69"},{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"invalid request"}}]"#
    );
    assert_eq!(body("[]"), r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32600,"message":"empty batch"}}"#);
    node.stop();
}

#[test]
fn a_body_over_the_limit_is_refused_before_it_is_read() {
    let node = devnet::start(Config { max_body_bytes: 100, ..manual() }).expect("a free port");
    let response = Client::new(&node.url()).post(&"x".repeat(101)).expect("a response");
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    node.stop();
}

#[test]
fn a_taken_port_and_a_wrong_phrase_are_clear_errors() {
    let node = devnet::start(manual()).expect("a free port");
    let taken = devnet::start(Config { listen: node.addr(), ..manual() }).expect_err("the port is taken");
    assert!(matches!(&taken, StartError::Listen { addr, .. } if *addr == node.addr()), "{taken}");
    let config = Config { mnemonic: Mnemonic::new("no such words"), ..manual() };
    let error = devnet::start(config).expect_err("the phrase is none");
    assert!(error.to_string().contains("the mnemonic is not valid") && !error.to_string().contains("no such words"), "{error}");
    node.stop();
}

/// The program, ended with the test however that ends.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts the program and reads off its first line where it listens.
fn program(arguments: &[&str]) -> (Program, String) {
    let child = Command::new(env!("CARGO_BIN_EXE_devnet")).args(arguments).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut program = Program(child);
    let mut line = String::new();
    BufReader::new(program.0.stdout.take().expect("it is piped")).read_line(&mut line).expect("a line");
    let addr = line.trim().strip_prefix("listening on ").expect("the line says the address").to_owned();
    (program, addr)
}

fn ends_on_sigterm(mut program: Program) {
    let killed = Command::new("kill").arg(program.0.id().to_string()).status().expect("kill runs");
    assert!(killed.success());
    assert!(program.0.wait().expect("it ends").success());
}

#[test]
fn the_program_is_a_proxy_as_well_and_ends_on_sigterm() {
    let node = devnet::start(manual()).expect("a free port");
    let (program, addr) = program(&["proxy", "--listen", "127.0.0.1:0", "--upstream", &node.url()]);
    let client = Client::new(&format!("http://{addr}"));
    client.ask("devnet_mine", json!([3]));
    client.ask("devnet_lagHead", json!([2]));
    assert_eq!((client.head(), Client::new(&node.url()).head()), (1, 3));
    ends_on_sigterm(program);
}

#[test]
fn the_program_says_where_it_listens_and_ends_on_sigterm() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("addr");
    let name = file.to_str().expect("UTF-8");
    let (program, addr) = program(&["--listen", "127.0.0.1:0", "--accounts", "3", "--balance-ether", "7", "--addr-file", name]);
    assert_eq!(std::fs::read_to_string(&file).expect("the file is written"), addr);
    let client = Client::new(&format!("http://{addr}"));
    let accounts = client.ask("eth_accounts", json!([]));
    assert_eq!(accounts.as_array().map(Vec::len), Some(3));
    assert_eq!(client.ask("eth_getBalance", json!([accounts[2], "latest"])), "0x6124fee993bc0000");
    ends_on_sigterm(program);
}
