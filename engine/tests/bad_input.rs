//! Bad input against the real binary: each mistake gets a clear error with the standard code, and the process stays up where it can.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::net::TcpListener;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use storage::{Options, RocksStore};
use support::{LIMIT, Millrace, Place, SIGNER, STRANGER, any_port, devnet, error_of, failure};

/// Pause between two looks at what can only be asked for.
const POLL: Duration = Duration::from_millis(20);

/// A running engine with its chain, ready for work.
struct Ready {
    millrace: Millrace,
    _chain: devnet::Handle,
    _place: Place,
}

impl Ready {
    fn start(more: &str) -> Self {
        let (place, chain) = (Place::new(), devnet(any_port()));
        let mut millrace = Millrace::start(&place, &place.config(&chain.url(), more));
        millrace.wait_for("ready");
        Self { millrace, _chain: chain, _place: place }
    }

    /// What bad input must never cost: the next good transaction is mined.
    fn still_works(&self) {
        assert_eq!(self.millrace.get("/livez").0, 200);
        let reply = self.millrace.call("ptx_sendTransaction", &json!([transfer()]));
        let id = reply["result"].as_str().unwrap_or_else(|| panic!("not accepted: {reply}"));
        let deadline = Instant::now() + LIMIT;
        loop {
            let full = self.millrace.call("ptx_getTransactionFull", &json!([id]));
            match full["result"]["status"].as_str().expect("a status") {
                "confirmed" => return,
                "fatal_error" => panic!("{full}"),
                _ => assert!(Instant::now() < deadline, "not mined: {full}"),
            }
            sleep(POLL);
        }
    }
}

fn transfer() -> Value {
    json!({"from": SIGNER, "to": STRANGER, "value": "1", "gas": 21000})
}

fn transfer_with(field: &str, value: impl Into<Value>) -> Value {
    let mut transaction = transfer();
    transaction[field] = value.into();
    transaction
}

#[test]
fn what_is_not_json_rpc_is_answered_with_the_standard_codes() {
    let ready = Ready::start("");
    for (body, code) in [
        ("", -32700),
        ("{", -32700),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"m\"", -32700),
        ("[{\"jsonrpc\":\"2.0\"},", -32700),
        ("1", -32600),
        ("[]", -32600),
        ("{}", -32600),
        ("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"m\"}", -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":1}", -32600),
        ("{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"eth_sendTransaction\"}", -32601),
    ] {
        let reply = ready.millrace.post(body);
        assert_eq!(error_of(&reply).0, code, "{body}: {reply}");
        assert_eq!(reply["jsonrpc"], "2.0");
    }
    let (_, message) = ready.millrace.error("ptx_sendTransactoin", &json!([]));
    assert!(message.contains("ptx_sendTransactoin") && message.contains("ptx_sendTransaction,"), "{message}");
    ready.still_works();
}

#[test]
fn in_a_batch_each_request_is_answered_by_itself() {
    let ready = Ready::start("");
    let good = json!({"jsonrpc": "2.0", "id": "good", "method": "ptx_sendTransaction", "params": [transfer()]});
    let unknown = json!({"jsonrpc": "2.0", "id": 2, "method": "nothing"});
    let silent = json!({"jsonrpc": "2.0", "method": "ptx_getTransaction", "params": ["x"]});
    let replies = ready.millrace.post(&json!([good, 1, silent, unknown]).to_string());
    let replies = replies.as_array().expect("a batch");
    assert_eq!(replies.len(), 3, "a notification is not answered: {replies:?}");
    assert!(replies[0]["result"].is_string(), "{}", replies[0]);
    assert_eq!((replies[1]["id"].clone(), error_of(&replies[1]).0), (Value::Null, -32600));
    assert_eq!((replies[2]["id"].clone(), error_of(&replies[2]).0), (json!(2), -32601));
}

#[test]
fn blobs_are_proven_only_where_nothing_else_refuses_or_answers() {
    let ready = Ready::start("");
    // Commitments of no blob: who proves these blobs finds out and says so, who does not cannot know.
    let point = format!("0xc0{}", "00".repeat(47));
    let carrying = |byte: u8, key: &str, commitments: bool| {
        let mut transaction = transfer_with("blobs", json!([format!("0x00{byte:02x}{}", "00".repeat(131_070))]));
        transaction["idempotencyKey"] = json!(key);
        if commitments {
            transaction["commitments"] = json!([point]);
        }
        transaction
    };
    let send = |transaction: Value| ready.millrace.call("ptx_sendTransaction", &json!([transaction]))["result"].clone();
    let refused = |transaction: Value| ready.millrace.error("ptx_sendTransaction", &json!([transaction])).1;
    let id = send(carrying(1, "a", false));
    assert!(id.is_string());
    assert_eq!(send(carrying(1, "a", true)), id, "a repeat");
    let conflict = refused(carrying(2, "a", true));
    assert!(conflict.contains("idempotency key"), "{conflict}");
    let mut cheap = carrying(1, "b", true);
    cheap["gas"] = json!(20_999);
    let gas = refused(cheap);
    assert!(gas.contains("20999"), "{gas}");
    let proven = refused(carrying(1, "b", true));
    assert!(proven.contains("commitments[0]"), "{proven}");
    assert!(send(carrying(1, "b", false)).is_string(), "a key whose submission was refused is free");
}

#[test]
fn a_transaction_that_cannot_be_is_refused_with_its_value() {
    let ready = Ready::start("");
    for (transaction, shown) in [
        (transfer_with("from", STRANGER), &["dEaD", "unknown signer"][..]),
        (transfer_with("chainId", 1), &["chainId 1", "31337"]),
        (transfer_with("gas", 20999), &["20999", "21000"]),
        (json!({"from": SIGNER, "value": 1}), &["init code"]),
        (json!({"from": SIGNER, "to": STRANGER, "maxFeePerGas": 1, "maxPriorityFeePerGas": 2}), &["maxPriorityFeePerGas 2"]),
        (transfer_with("nonce", 1), &["unknown field `nonce`"]),
        (transfer_with("value", "one"), &["value", "one"]),
        (transfer_with("data", "0xz"), &["data", "0xz"]),
        (transfer_with("blobs", json!([])), &["blobs: 0 are given", "1 to 6"]),
        (transfer_with("blobs", json!(["0x00"])), &["blobs[0]", "1 bytes", "131072"]),
        (transfer_with("blobs", json!([format!("0x{}", "ff".repeat(131_072))])), &["blobs[0]", "no field element"]),
        (transfer_with("blobVersionedHashes", json!([format!("0x01{}", "00".repeat(31))])), &["blobs: missing beside blobVersionedHashes"]),
        (transfer_with("maxFeePerBlobGas", 1), &["maxFeePerBlobGas", "give all three"]),
        (transfer_with("accessList", json!([{"address": STRANGER, "storageKeys": []}])), &["gas 21000", "23400"]),
        (json!({"to": STRANGER}), &["from: missing"]),
        (json!("transfer"), &["invalid type", "[transaction]"]),
    ] {
        let (code, message) = ready.millrace.error("ptx_sendTransaction", &json!([transaction]));
        assert_eq!(code, -32602, "{message}");
        for part in shown {
            assert!(message.contains(part), "{part} in {message}");
        }
    }
    for (method, params) in [
        ("ptx_sendTransaction", json!([])),
        ("ptx_sendTransactions", json!([transfer()])),
        ("ptx_getTransaction", json!(["no id"])),
        ("ptx_getTransactionReceipt", json!({"id": 1})),
        ("ptx_getTransactionByIdempotencyKey", json!([7])),
        ("ptx_queryTransactions", json!([{"state": "confirmed"}])),
        ("ptx_queryTransactions", json!([{"limit": 1_000_000}])),
    ] {
        let (code, message) = ready.millrace.error(method, &params);
        assert_eq!(code, -32602, "{method} {params}: {message}");
    }
    ready.still_works();
}

#[test]
fn a_bad_transaction_in_a_list_does_not_spoil_the_others() {
    let ready = Ready::start("");
    let list = json!([[transfer(), transfer_with("from", STRANGER), transfer_with("gass", 1), transfer()]]);
    let reply = ready.millrace.call("ptx_sendTransactions", &list);
    let elements = reply["result"].as_array().expect("a list");
    let accepted: Vec<_> = elements.iter().map(|element| element["id"].is_string()).collect();
    assert_eq!(accepted, [true, false, false, true], "{reply}");
    assert_eq!((error_of(&elements[1]).0, error_of(&elements[2]).0), (-32602, -32602));
}

#[test]
fn an_idempotency_key_with_another_body_is_a_conflict() {
    let ready = Ready::start("");
    let first = transfer_with("idempotencyKey", "k");
    let id = ready.millrace.call("ptx_sendTransaction", &json!([first]))["result"].clone();
    assert_eq!(ready.millrace.call("ptx_sendTransaction", &json!([first]))["result"], id);
    let mut other = first;
    other["value"] = json!(2);
    let reply = ready.millrace.call("ptx_sendTransaction", &json!([other]));
    assert_eq!(error_of(&reply).0, -32012);
    assert_eq!(reply["error"]["data"]["id"], id);
}

#[test]
fn bodies_batches_and_lists_over_their_limits_are_refused_naming_the_limit() {
    let ready = Ready::start("[api]\nmax_body_bytes = 2000\nmax_batch = 3\n");
    let long = format!("[\"{}\"]", "x".repeat(3000));
    let (status, reply) = ready.millrace.post_with("Content-Type: application/json\r\n", &long);
    assert_eq!(status, 413);
    let (code, message) = error_of(&serde_json::from_str(&reply).expect("a JSON-RPC error"));
    assert!(code == -32600 && message.contains("2000 bytes"), "{message}");

    let (code, message) = error_of(&ready.millrace.post("[1,2,3,4]"));
    assert!(code == -32600 && message.contains("limit of 3"), "{message}");

    let (code, message) = ready.millrace.error("ptx_sendTransactions", &json!([[1, 2, 3, 4]]));
    assert!(code == -32602 && message.contains("limit of 3"), "{message}");
    ready.still_works();
}

#[test]
fn web_pages_and_other_paths_are_refused() {
    let ready = Ready::start("");
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": "ptx_sendTransaction", "params": [transfer()]}).to_string();
    let json_type = "Content-Type: application/json\r\n";
    assert_eq!(ready.millrace.post_with("Content-Type: text/plain\r\n", &body).0, 415);
    assert_eq!(ready.millrace.post_with(&format!("{json_type}Origin: http://example.com\r\n"), &body).0, 403);
    assert_eq!(ready.millrace.get("/").0, 405);
    assert_eq!(ready.millrace.get("/nothing").0, 404);
    assert_eq!(ready.millrace.exchange(b"nonsense\r\n\r\n").0, 400);
    let metrics = ready.millrace.get("/metrics");
    assert!(metrics.0 == 200 && metrics.1.contains("\nmillrace_transactions_accepted_total 0\n"), "{}", metrics.1);
}

#[test]
fn a_mistake_in_the_settings_is_named_with_file_line_and_key() {
    let place = Place::new();
    let config = place.config("http://127.0.0.1:1", "[api]\nlisen = \"127.0.0.1:0\"\n");
    for subcommand in ["run", "check-config"] {
        let said = failure(subcommand, &config);
        assert!(said.contains("millrace.toml:7:1: key `api.lisen`"), "{said}");
    }
    let config = place.config("http://127.0.0.1:1", "[gas]\nincrease_percent = 3\n");
    assert!(failure("run", &config).contains("gas.increase_percent = 3 must be at least 10"));
    let config = place.config("http://127.0.0.1:1", "log.filter = \"=loud=\"\n");
    let text = std::fs::read_to_string(&config).expect("the settings").replace("log = { format = \"json\" }\n", "");
    std::fs::write(&config, text).expect("a writable file");
    for subcommand in ["run", "check-config"] {
        let said = failure(subcommand, &config);
        assert!(said.contains("log.filter = \"=loud=\" is no filter"), "{said}");
    }
    assert!(!place.data_dir().exists(), "nothing is started with wrong settings");
}

#[test]
fn a_taken_port_ends_the_start_and_names_the_port() {
    let (place, taken) = (Place::new(), TcpListener::bind(any_port()).expect("a free port"));
    let address = taken.local_addr().expect("an address");
    let config = place.config("http://127.0.0.1:1", &format!("[api]\nlisten = \"{address}\"\n"));
    let said = failure("run", &config);
    assert!(said.contains(&address.to_string()) && said.contains("api.listen"), "{said}");
}

#[test]
fn without_its_node_it_waits_and_says_so_until_the_node_appears() {
    let place = Place::new();
    let node = TcpListener::bind(any_port()).expect("a free port").local_addr().expect("an address");
    let mut millrace = Millrace::start(&place, &place.config(&format!("http://{node}"), ""));
    // The first reason may be that nothing was tried yet.
    while !millrace.wait_for("not ready").contains(&node.to_string()) {}
    let (status, reasons) = millrace.get("/readyz");
    assert_eq!(status, 503);
    assert!(reasons.contains(&node.to_string()), "{reasons}");
    assert_eq!(millrace.get("/livez").0, 200);
    let accepted = millrace.call("ptx_sendTransaction", &json!([transfer()]));
    assert!(accepted["result"].is_string(), "accepted on disk, to be sent later: {accepted}");

    let chain = devnet(node);
    millrace.wait_for("ready");
    assert_eq!(millrace.get("/readyz"), (200, "ok\n".to_owned()));
    let ready = Ready { millrace, _chain: chain, _place: place };
    ready.still_works();
}

#[test]
fn a_node_of_another_chain_is_not_used() {
    let (place, chain) = (Place::new(), devnet(any_port()));
    let config = place.config(&chain.url(), "");
    let text = std::fs::read_to_string(&config).expect("the settings");
    std::fs::write(&config, text.replace("node = { ", "node = { chain_id = 1, ")).expect("a writable file");
    let mut millrace = Millrace::start(&place, &config);
    millrace.wait_for("not ready");
    let deadline = Instant::now() + LIMIT;
    loop {
        let (status, reasons) = millrace.get("/readyz");
        assert_eq!(status, 503);
        if reasons.contains("31337") {
            return;
        }
        assert!(Instant::now() < deadline, "the chain id is not named: {reasons}");
        sleep(POLL);
    }
}

#[test]
fn a_data_directory_in_use_is_refused_and_its_owner_goes_on() {
    let (place, chain) = (Place::new(), devnet(any_port()));
    let config = place.config(&chain.url(), "[api]\nlisten = \"127.0.0.1:0\"\n");
    let mut millrace = Millrace::start(&place, &config);
    millrace.wait_for("ready");
    let said = failure("run", &config);
    assert!(said.contains("in use") && said.contains(&*place.data_dir().to_string_lossy()), "{said}");
    let ready = Ready { millrace, _chain: chain, _place: place };
    ready.still_works();
}

#[test]
fn a_data_directory_of_a_newer_version_is_refused() {
    let place = Place::new();
    let data_dir = place.data_dir();
    drop(RocksStore::open(&data_dir, &Options::default()).expect("a new store"));
    let newer = storage::rocks::SCHEMA_VERSION + 1;
    {
        let options = rocksdb::Options::default();
        let families = rocksdb::DB::list_cf(&options, &data_dir).expect("a database");
        let database = rocksdb::DB::open_cf(&options, &data_dir, families).expect("a database");
        let meta = database.cf_handle("meta").expect("the family");
        database.put_cf(meta, storage::keys::META_SCHEMA, newer.to_be_bytes()).expect("a write");
    }
    let config = place.config("http://127.0.0.1:1", "[api]\nlisten = \"127.0.0.1:0\"\n");
    let said = failure("run", &config);
    assert!(said.contains(&format!("schema version {newer}")), "{said}");
}

#[test]
fn told_to_stop_it_stops_cleanly_and_what_was_accepted_stays() {
    let (place, chain) = (Place::new(), devnet(any_port()));
    let config = place.config(&chain.url(), "");
    let mut millrace = Millrace::start(&place, &config);
    millrace.wait_for("ready");
    let id = millrace.call("ptx_sendTransaction", &json!([transfer()]))["result"].clone();
    assert_eq!(millrace.stop().code(), Some(0));
    assert!(!place.data_dir().join("api.addr").exists());
    let millrace = Millrace::start(&place, &config);
    let found = millrace.call("ptx_getTransaction", &json!([id]));
    assert_eq!(found["result"]["id"], id, "{found}");
}

#[test]
fn an_order_for_an_unknown_address_or_with_a_wrong_end_names_it() {
    let ready = Ready::start("");
    for (method, param, shown) in [
        ("ptx_pauseAddress", json!({"address": STRANGER}), "unknown address"),
        ("ptx_resumeAddress", json!(STRANGER), "unknown address"),
        ("ptx_getAddress", json!(STRANGER), "unknown address"),
        ("ptx_getAddress", json!("0x12"), "address: \"0x12\""),
        ("ptx_pauseAddress", json!({"address": SIGNER, "untilMs": 7}), "7 ms after the Unix epoch, is not in the future"),
        ("ptx_pauseAddress", json!({"address": SIGNER, "forMs": 0}), "forMs: 0"),
    ] {
        let (code, message) = ready.millrace.error(method, &json!([param]));
        assert_eq!(code, -32602, "{message}");
        assert!(message.contains(shown), "{method} {param}: {message}");
    }
    ready.still_works();
}
