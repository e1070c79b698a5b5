//! What the interface tells of transactions that went well, over HTTP.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use support::node::{quantity, text};
use support::world::{SIGNERS, World, key, recipient, transfer};

/// An engine with seven confirmed transfers, and their ids.
fn world() -> (World, Vec<String>) {
    let world = World::start("epoll", "").expect("epoll runs anywhere");
    world.flow();
    let ids = world.submit(0..7);
    world.wait_for_confirmed(&ids);
    (world, ids)
}

fn call(world: &World, method: &str, param: &Value) -> Value {
    let reply = world.millrace().call(method, &json!([param]));
    reply.get("result").unwrap_or_else(|| panic!("{reply}")).clone()
}

#[test]
fn a_receipt_is_what_the_chain_says() {
    let (world, ids) = world();
    let receipt = call(&world, "ptx_getTransactionReceipt", &json!(ids[0]));
    let theirs = world.node.ask("eth_getTransactionReceipt", &json!([receipt["transactionHash"]]));
    for field in ["transactionHash", "blockNumber", "blockHash", "transactionIndex", "gasUsed", "effectiveGasPrice", "contractAddress"] {
        assert_eq!(receipt[field], theirs[field], "{field}");
    }
    assert_eq!((&receipt["success"], &theirs["status"]), (&json!(true), &json!("0x1")));
    assert_eq!(receipt, world.full(&ids[0])["receipt"]);
}

#[test]
fn a_created_contract_is_named_in_the_receipt() {
    let (world, _) = world();
    // Init code that returns one byte, STOP.
    let id = world.send(&json!({"from": SIGNERS[0], "data": "0x60016000f3", "gas": 100_000}));
    world.wait_for_status(&id, "confirmed");
    let receipt = call(&world, "ptx_getTransactionReceipt", &json!(id));
    let theirs = world.node.ask("eth_getTransactionReceipt", &json!([receipt["transactionHash"]]));
    assert_eq!(text(&receipt["contractAddress"]), text(&theirs["contractAddress"]));
    assert_eq!(world.node.ask("eth_getCode", &json!([receipt["contractAddress"], "latest"])), "0x00");
}

#[test]
fn before_its_block_a_transaction_has_no_receipt_and_an_unknown_one_is_null() {
    let world = World::start("epoll", "").expect("epoll runs anywhere");
    let id = world.send(&transfer(0));
    assert_eq!(call(&world, "ptx_getTransactionReceipt", &json!(id)), Value::Null);
    let unknown = json!("00000000-0000-0000-0000-000000000001");
    for method in ["ptx_getTransaction", "ptx_getTransactionFull", "ptx_getTransactionReceipt"] {
        assert_eq!(call(&world, method, &unknown), Value::Null, "{method}");
    }
    assert_eq!(call(&world, "ptx_getTransactionByIdempotencyKey", &json!("nobody's")), Value::Null);
}

#[test]
fn an_idempotency_key_finds_its_transaction() {
    let (world, ids) = world();
    let found = call(&world, "ptx_getTransactionByIdempotencyKey", &json!(key(3)));
    assert_eq!(found["id"], ids[3]);
    assert_eq!((text(&found["to"]), quantity(&found["value"])), (recipient(3), 4));
    assert_eq!((text(&found["from"]), &found["idempotencyKey"]), (SIGNERS[0].to_owned(), &json!(key(3))));
    assert_eq!((&found["status"], &found["stage"], &found["nonce"]), (&json!("confirmed"), &json!("complete"), &json!("0x1")));
    // The whole object says the same, and more.
    let full = world.full(&ids[3]);
    for (field, value) in found.as_object().expect("an object") {
        assert_eq!(&full[field], value, "{field}");
    }
}

#[test]
fn the_times_of_a_transaction_follow_each_other() {
    let (world, ids) = world();
    for id in &ids {
        let timeline = &world.full(id)["timeline"];
        let times: Vec<_> = ["received", "durable", "sent", "included", "confirmed"].map(|step| timeline[step].as_u64()).into();
        assert!(times.iter().all(Option::is_some) && times.is_sorted(), "{timeline}");
    }
}

/// The ids on all pages of a query.
fn pages(world: &World, mut query: Value) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let page = call(world, "ptx_queryTransactions", &query);
        ids.extend(page["transactions"].as_array().expect("transactions").iter().map(|transaction| text(&transaction["id"])));
        if page["cursor"].is_null() {
            return ids;
        }
        assert!(ids.len() < 100, "the pages have no end");
        query["cursor"] = page["cursor"].clone();
    }
}

#[test]
fn queries_give_every_transaction_once_by_pages_in_either_order() {
    let (world, ids) = world();
    let mut sorted = ids;
    sorted.sort();
    assert_eq!(pages(&world, json!({"limit": 3})), sorted);
    sorted.reverse();
    assert_eq!(pages(&world, json!({"limit": 3, "sort": "desc"})), sorted);
}

#[test]
fn queries_find_by_address_status_hash_and_key_prefix() {
    let (world, ids) = world();
    let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    let found = |query| set(&pages(&world, query));
    assert_eq!(found(json!({"from": SIGNERS[1]})), set(&[ids[1].clone(), ids[4].clone()]));
    assert_eq!(found(json!({"status": "confirmed"})), set(&ids));
    assert_eq!(found(json!({"status": "unconfirmed"})), BTreeSet::new());
    let hash = world.full(&ids[2])["transactionHash"].clone();
    assert_eq!(pages(&world, json!({"hash": hash})), [ids[2].clone()]);
    assert_eq!(pages(&world, json!({"idempotencyKeyPrefix": "load-", "limit": 2})), ids, "by key");
    assert_eq!(pages(&world, json!({"idempotencyKeyPrefix": key(5)})), [ids[5].clone()]);
    assert_eq!(found(json!({"idempotencyKeyPrefix": "other"})), BTreeSet::new());
}

#[test]
fn a_paused_address_shows_it_keeps_what_it_accepts_and_stays_paused_over_a_restart() {
    let mut world = World::start("epoll", "").expect("epoll runs anywhere");
    world.flow();
    let paused = call(&world, "ptx_pauseAddress", &json!({"address": SIGNERS[0]}));
    assert_eq!((&paused["state"], &paused["pausedUntilMs"]), (&json!("paused"), &Value::Null));
    let kept = world.send(&transfer(0));
    let other = world.send(&transfer(1));
    world.wait_for_status(&other, "confirmed");
    world.kill();
    world.restart();
    let shown = call(&world, "ptx_getAddress", &json!(SIGNERS[0]));
    assert_eq!((&shown["state"], &shown["waiting"], &shown["inFlight"]), (&json!("paused"), &json!(1), &json!(0)), "{shown}");
    let full = world.full(&kept);
    assert_eq!((&full["status"], &full["stage"]), (&json!("unstarted"), &json!("queued")), "{full:#}");
    assert!(text(&full["held"]).contains("paused by hand"), "{full:#}");
    call(&world, "ptx_resumeAddress", &json!(SIGNERS[0]));
    assert_eq!(world.wait_for_status(&kept, "confirmed")["attempts"][0]["status"], "broadcast");
    let idle = call(&world, "ptx_getAddress", &json!(SIGNERS[0]));
    assert_eq!((&idle["nextNonce"], &idle["reason"], &idle["waiting"]), (&json!("0x1"), &Value::Null, &json!(0)), "{idle}");
}

#[test]
fn before_its_block_a_transaction_is_unconfirmed_once_the_node_has_it() {
    let world = World::start("epoll", "").expect("epoll runs anywhere");
    let id = world.send(&transfer(0));
    let full = world.wait_for_status(&id, "unconfirmed");
    assert_eq!((&full["stage"], &full["attempts"][0]["status"]), (&json!("tracking"), &json!("broadcast")), "{full:#}");
}

#[test]
fn the_metrics_count_what_goes_to_the_node_and_comes_from_it() {
    let (world, ids) = world();
    assert_eq!(world.metric("millrace_transactions_confirmed_total"), ids.len() as u64);
    for counted in ["http_requests", "calls", "bytes_sent", "bytes_received", "connects"] {
        assert!(world.metric(&format!("millrace_rpc_{counted}_total")) > 0, "{counted}");
    }
    assert_eq!(world.metric("millrace_rpc_faults_total"), 0);
    world.fault(&json!({"method": "*", "action": "cut"}));
    world.wait_until("the cut is counted", || world.metric("millrace_rpc_faults_total") > 0);
}
