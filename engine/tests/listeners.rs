//! Receipt listeners on a dev chain: whatever becomes of consumer, engine and chain, every ending is delivered until it is acknowledged, in
//! order, and a repeat can be told.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::node::text;
use support::socket::Socket;
use support::world::{SIGNERS, World, transfer};

/// Init code of a contract that reverts with a selector and a number, whatever is asked.
const REFUSER: &str = "0x60138060095f395ff363590a515160e01b5f52600760045260245ffd";

/// A consumer: its connection, its subscription, and what it was told, by sequence.
struct Consumer {
    socket: Socket,
    subscription: Value,
    told: BTreeMap<u64, Value>,
}

/// A batch: its number, and the receipts in it.
type Batch = (u64, Vec<Value>);

impl Consumer {
    fn subscribe(world: &World, listener: &str) -> Self {
        let mut socket = Socket::connect(world.millrace().address());
        let subscription = socket.call("ptx_subscribe", &json!(["receipts", listener]))["result"].clone();
        assert!(subscription.is_string(), "{subscription}");
        Self { socket, subscription, told: BTreeMap::new() }
    }

    fn batch(&mut self) -> Batch {
        let mut told = self.socket.notification();
        assert_eq!(told["method"], "ptx_subscription", "{told}");
        assert_eq!(told["params"]["subscription"], self.subscription, "{told}");
        let mut batch = told["params"]["result"].take();
        let Value::Array(receipts) = batch["receipts"].take() else { panic!("{batch}") };
        let sequences: Vec<_> = receipts.iter().map(sequence).collect();
        assert!(sequences.is_sorted_by(|a, b| a < b) && sequences.len() <= 100, "{sequences:?}");
        assert_eq!(sequences.last().copied(), batch["batchId"].as_u64());
        (sequences[sequences.len() - 1], receipts)
    }

    fn ack(&mut self) {
        assert_eq!(self.socket.call("ptx_ack", &json!([self.subscription]))["result"], true);
    }

    /// Takes batches until it knows so many endings.
    fn take(&mut self, count: usize) {
        while self.told.len() < count {
            let (_, receipts) = self.batch();
            for receipt in receipts {
                let newest = self.told.keys().next_back().copied();
                assert!(newest.is_none_or(|newest| newest < sequence(&receipt)), "{receipt} after {newest:?}");
                self.told.insert(sequence(&receipt), receipt);
            }
            self.ack();
        }
    }

    fn ids(&self) -> Vec<String> {
        self.told.values().map(|receipt| text(&receipt["id"])).collect()
    }
}

fn sequence(receipt: &Value) -> u64 {
    receipt["sequence"].as_u64().unwrap_or_else(|| panic!("no sequence: {receipt}"))
}

fn world(more: &str) -> World {
    World::start("epoll", more).expect("epoll runs anywhere")
}

fn create(world: &World, listener: &Value) {
    let reply = world.millrace().call("ptx_createReceiptListener", &json!([listener]));
    assert_eq!(reply["result"], true, "{reply}");
}

fn shown(world: &World, name: &str) -> Value {
    world.millrace().call("ptx_getReceiptListener", &json!([name]))["result"].clone()
}

/// Sends these transfers and has them mined.
fn mined(world: &World, numbers: std::ops::Range<u64>) -> Vec<String> {
    let count = numbers.end - numbers.start;
    let ids = world.submit(numbers);
    world.node.wait_for_pending(count);
    world.mine(1);
    world.wait_for_confirmed_among(&ids);
    ids
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

#[test]
fn a_thousand_endings_come_in_order_none_missed_and_none_extra() {
    let world = world("");
    create(&world, &json!({"name": "before"}));
    let mut before = Consumer::subscribe(&world, "before");
    world.flow();
    let ids = world.submit(0..1000);
    before.take(1000);
    assert_eq!(sorted(before.ids()), sorted(ids.clone()));
    let receipt = world.millrace().call("ptx_getTransactionReceipt", &json!([ids[7]]))["result"].clone();
    let mut told = before.told.values().find(|told| text(&told["id"]) == ids[7]).expect("told").clone();
    let fields = told.as_object_mut().expect("an object");
    fields.remove("sequence");
    fields.remove("id");
    assert_eq!(told, receipt, "as it is shown elsewhere");
    // One that is made later begins with the oldest, or above a sequence.
    create(&world, &json!({"name": "after"}));
    let mut after = Consumer::subscribe(&world, "after");
    after.take(1000);
    assert_eq!(after.told, before.told);
    let middle = *before.told.keys().nth(499).expect("500");
    create(&world, &json!({"name": "above", "filters": {"sequenceAbove": middle, "type": "public"}}));
    let mut above = Consumer::subscribe(&world, "above");
    above.take(500);
    assert!(above.told.iter().eq(before.told.range(middle + 1..)));
    for (name, consumer) in [("before", &before), ("after", &after), ("above", &above)] {
        let shown = shown(&world, name);
        assert_eq!((&shown["checkpoint"], &shown["newest"]), (&shown["newest"], &json!(consumer.told.keys().next_back())), "{shown}");
        assert_eq!(consumer.socket.untaken(), 0);
    }
}

#[test]
fn a_consumer_that_is_gone_before_it_acknowledges_hears_the_same_again() {
    let world = world("");
    create(&world, &json!({"name": "orders"}));
    let ids = mined(&world, 0..5);
    let mut first = Consumer::subscribe(&world, "orders");
    let batch = first.batch();
    drop(first);
    let mut second = Consumer::subscribe(&world, "orders");
    assert_eq!(second.batch(), batch, "the same batch, to be told by its sequences");
    assert_eq!(sorted(batch.1.iter().map(|receipt| text(&receipt["id"])).collect()), sorted(ids));
    second.ack();
    drop(second);
    let more = mined(&world, 5..7);
    let mut third = Consumer::subscribe(&world, "orders");
    third.take(2);
    assert_eq!(sorted(third.ids()), sorted(more), "what was acknowledged does not come again");
}

#[test]
fn an_engine_that_is_killed_delivers_what_was_not_acknowledged_and_what_ended_meanwhile() {
    let mut world = world("");
    create(&world, &json!({"name": "orders"}));
    let ids = mined(&world, 0..60);
    let mut consumer = Consumer::subscribe(&world, "orders");
    let (_, first) = consumer.batch();
    consumer.ack();
    assert_eq!(first.len(), 60);
    let more = mined(&world, 60..70);
    let (batch, second) = consumer.batch();
    world.kill();
    // Mined while there is no engine.
    world.restart();
    let mut consumer = Consumer::subscribe(&world, "orders");
    assert_eq!(consumer.batch(), (batch, second.clone()));
    consumer.ack();
    world.kill();
    world.restart();
    let last = mined(&world, 70..80);
    let mut consumer = Consumer::subscribe(&world, "orders");
    consumer.take(10);
    assert_eq!(sorted(consumer.ids()), sorted(last));
    assert!(*consumer.told.keys().next().expect("told") > batch, "sequences go on where they were");
    assert_eq!(sorted(first.iter().chain(&second).map(|receipt| text(&receipt["id"])).collect()), sorted([ids, more].concat()));
}

#[test]
fn a_listener_that_is_never_acknowledged_has_one_batch_and_holds_up_nobody() {
    let world = world("");
    for name in ["silent", "good", "nobody"] {
        create(&world, &json!({"name": name}));
    }
    let mut silent = Consumer::subscribe(&world, "silent");
    let mut good = Consumer::subscribe(&world, "good");
    world.flow();
    let mut ids = world.submit(0..10);
    good.take(10);
    let held = silent.batch();
    ids.extend(world.submit(10..400));
    good.take(400);
    assert_eq!(sorted(good.ids()), sorted(ids));
    assert_eq!(silent.socket.call("ptx_getReceiptListener", &json!(["silent"]))["result"]["checkpoint"], 0);
    assert_eq!(silent.socket.untaken(), 0, "one batch is in flight");
    // The lag is shown from the second look on.
    let lag = |name: &str| format!("millrace_receipt_listener_lag{{listener=\"{name}\"}} {}\n", if name == "good" { 0 } else { 400 });
    world.wait_until("the lag is shown", || {
        let (_, metrics) = world.millrace().get("/metrics");
        ["silent", "good", "nobody"].iter().all(|name| metrics.contains(&lag(name)))
    });
    silent.ack();
    silent.told.extend(held.1.into_iter().map(|receipt| (sequence(&receipt), receipt)));
    silent.take(400);
    assert_eq!(silent.told, good.told);
}

#[test]
fn a_refused_batch_comes_again_as_it_was() {
    let world = world("");
    create(&world, &json!({"name": "orders"}));
    let mut consumer = Consumer::subscribe(&world, "orders");
    mined(&world, 0..3);
    let batch = consumer.batch();
    for again in 0..3 {
        assert_eq!(consumer.socket.call("ptx_nack", &json!([consumer.subscription, batch.0]))["result"], true);
        let (code, message) = consumer.socket.error("ptx_ack", &json!([consumer.subscription]));
        assert!(code == -32602 && message.contains("no batch is in flight"), "{message}");
        // What ends meanwhile comes behind it.
        mined(&world, 10 + again..11 + again);
        assert_eq!(consumer.batch(), batch);
    }
    consumer.ack();
    consumer.take(3);
}

#[test]
fn a_listener_is_stopped_and_started_while_somebody_subscribes() {
    let mut world = world("");
    create(&world, &json!({"name": "orders", "started": false}));
    let mut consumer = Consumer::subscribe(&world, "orders");
    let first = mined(&world, 0..3);
    let order = |world: &World, method: &str| assert_eq!(world.millrace().call(method, &json!(["orders"]))["result"], true);
    assert_eq!(consumer.socket.call("ptx_getReceiptListener", &json!(["orders"]))["result"]["started"], false);
    assert_eq!(consumer.socket.untaken(), 0, "nothing comes while it is stopped");
    order(&world, "ptx_startReceiptListener");
    let (batch, receipts) = consumer.batch();
    assert_eq!(sorted(receipts.iter().map(|receipt| text(&receipt["id"])).collect()), sorted(first));
    order(&world, "ptx_stopReceiptListener");
    consumer.ack();
    let second = mined(&world, 3..5);
    assert_eq!(shown(&world, "orders")["checkpoint"], batch, "what was in flight could be acknowledged");
    assert_eq!(consumer.socket.call("ptx_queryReceiptListeners", &json!([{"started": true}]))["result"], json!([]));
    assert_eq!(consumer.socket.untaken(), 0);
    world.kill();
    world.restart();
    assert_eq!(shown(&world, "orders")["started"], false, "after a restart too");
    let mut consumer = Consumer::subscribe(&world, "orders");
    order(&world, "ptx_startReceiptListener");
    consumer.take(2);
    assert_eq!(sorted(consumer.ids()), sorted(second));
}

#[test]
fn a_listener_that_is_deleted_takes_its_subscriptions_along_and_its_name_begins_anew() {
    let world = world("");
    create(&world, &json!({"name": "orders"}));
    let ids = mined(&world, 0..3);
    let mut old = Consumer::subscribe(&world, "orders");
    let batch = old.batch();
    assert_eq!(world.millrace().call("ptx_deleteReceiptListener", &json!(["orders"]))["result"], true);
    let told = old.socket.notification();
    let expected = json!({"subscription": old.subscription, "reason": "the listener \"orders\" has been deleted"});
    assert_eq!((&told["method"], &told["params"]), (&json!("ptx_subscriptionEnded"), &expected));
    let (code, message) = old.socket.error("ptx_ack", &json!([old.subscription]));
    assert!(code == -32602 && message.contains("has ended with its listener"), "{message}");
    create(&world, &json!({"name": "orders"}));
    let mut new = Consumer::subscribe(&world, "orders");
    assert_eq!(new.batch(), batch, "from the beginning");
    let (_, message) = old.socket.error("ptx_ack", &json!([old.subscription, batch.0]));
    assert!(message.contains("has ended with its listener"), "{message}");
    assert_eq!(old.socket.call("ptx_unsubscribe", &json!([old.subscription]))["result"], false, "it has ended by itself");
    // It has made room for another one.
    for _ in 1..16 {
        assert!(old.socket.call("ptx_subscribe", &json!(["receipts", "orders"]))["result"].is_string());
    }
    new.ack();
    assert_eq!(ids.len(), 3);
}

#[test]
fn of_two_subscriptions_the_older_one_is_delivered_to_and_the_other_one_when_that_ends() {
    let world = world("");
    create(&world, &json!({"name": "orders"}));
    let mut first = Consumer::subscribe(&world, "orders");
    let mut second = Consumer::subscribe(&world, "orders");
    mined(&world, 0..3);
    let batch = first.batch();
    let (code, message) = second.socket.error("ptx_ack", &json!([second.subscription]));
    assert!(code == -32602 && message.contains("stands in line"), "{message}");
    assert_eq!(second.socket.untaken(), 0);
    assert_eq!(shown(&world, "orders")["subscriptions"], 2);
    assert_eq!(first.socket.call("ptx_unsubscribe", &json!([first.subscription]))["result"], true);
    assert_eq!(second.batch(), batch);
    second.ack();
    assert_eq!(shown(&world, "orders")["subscriptions"], 1);
}

#[test]
fn what_a_reorg_takes_back_comes_again_with_new_sequences() {
    let world = world("");
    create(&world, &json!({"name": "orders"}));
    let mut consumer = Consumer::subscribe(&world, "orders");
    let ids = mined(&world, 0..6);
    consumer.take(6);
    let before = std::mem::take(&mut consumer.told);
    world.mine(2);
    world.node.ask("devnet_reorg", &json!([{"depth": 3, "length": 3, "requeue": false}]));
    world.wait_for_status(&ids[0], "unconfirmed");
    world.node.wait_for_pending(6);
    world.mine(1);
    consumer.take(6);
    assert_eq!(sorted(consumer.ids()), sorted(ids), "each once more");
    let newest = before.keys().next_back().expect("told");
    assert!(consumer.told.keys().all(|sequence| sequence > newest));
    for told in consumer.told.values() {
        let earlier = before.values().find(|earlier| earlier["id"] == told["id"]).expect("told before");
        assert_eq!(earlier["transactionHash"], told["transactionHash"]);
        assert_ne!(earlier["blockHash"], told["blockHash"]);
    }
    // One that begins now hears of each once: what was taken back is void.
    create(&world, &json!({"name": "late"}));
    let mut late = Consumer::subscribe(&world, "late");
    late.take(6);
    assert_eq!(late.told, consumer.told);
}

#[test]
fn an_ending_is_delivered_at_the_required_depth_and_not_if_a_reorg_comes_before_that() {
    let world = world("txmgr.required_confirmations = 3\n");
    create(&world, &json!({"name": "orders"}));
    let mut consumer = Consumer::subscribe(&world, "orders");
    let ids = world.submit(0..3);
    world.node.wait_for_pending(3);
    world.mine(2);
    assert_eq!(consumer.socket.call("ptx_getReceiptListener", &json!(["orders"]))["result"]["newest"], 3);
    world.node.ask("devnet_reorg", &json!([{"depth": 2, "length": 2, "requeue": false}]));
    world.node.wait_for_pending(3);
    world.mine(1);
    assert!(ids.iter().all(|id| world.full(id)["status"] == "unconfirmed"));
    world.mine(1);
    assert_eq!(consumer.socket.call("rpc.discover", &json!([]))["result"]["openrpc"], "1.3.2");
    assert_eq!(consumer.socket.untaken(), 0, "nothing is deep enough");
    world.mine(1);
    consumer.take(3);
    assert_eq!(sorted(consumer.ids()), sorted(ids));
    assert_eq!(consumer.told.keys().copied().collect::<Vec<_>>(), [4, 5, 6], "what was taken back was never told");
}

#[test]
fn failures_are_delivered_with_their_reason() {
    let world = world("");
    create(&world, &json!({"name": "orders"}));
    let mut consumer = Consumer::subscribe(&world, "orders");
    world.millrace().call("ptx_pauseAddress", &json!([SIGNERS[0]]));
    let id = world.send(&transfer(0));
    let reply = world.millrace().call("ptx_cancelTransaction", &json!([id]));
    assert_eq!(reply["result"]["state"], "cancelled", "{reply}");
    consumer.take(1);
    let told = consumer.told.values().next().expect("told");
    let reason = world.full(&id)["failureReason"].clone();
    assert_eq!(*told, json!({"sequence": 1, "id": id, "success": false, "failureMessage": reason}));
    // A cancel that takes a transfer to oneself is one ending: its failure, once that is final.
    let world = self::world("txmgr.finality_depth = 2\n");
    create(&world, &json!({"name": "orders"}));
    let mut consumer = Consumer::subscribe(&world, "orders");
    let id = world.send(&transfer(0));
    world.node.wait_for_pending(1);
    world.millrace().call("ptx_cancelTransaction", &json!([id]));
    world.wait_until("the pool has the self-send", || world.full(&id)["attempts"][1]["status"] == "broadcast");
    world.flow();
    consumer.take(1);
    let told = consumer.told.values().next().expect("told");
    assert_eq!((&told["id"], &told["success"]), (&json!(id), &json!(false)), "{told}");
    assert!(text(&told["failureMessage"]).contains("cancelled"), "{told}");
}

#[test]
fn what_reverted_is_delivered_with_the_words_of_its_contract_or_without_where_the_node_does_not_tell() {
    let world = world("");
    create(&world, &json!({"name": "orders"}));
    let deployed = world.send(&json!({"from": SIGNERS[0], "data": REFUSER, "gas": 200_000}));
    world.node.wait_for_pending(1);
    world.mine(1);
    let contract = world.wait_for_status(&deployed, "confirmed")["receipt"]["contractAddress"].clone();
    let call = || json!({"from": SIGNERS[0], "to": contract, "data": "0x00", "gas": 100_000});
    let ids = [world.send(&call()), world.send(&transfer(1)), world.send(&call())];
    world.node.wait_for_pending(3);
    world.mine(1);
    world.wait_for_confirmed_among(&ids);
    let mut consumer = Consumer::subscribe(&world, "orders");
    consumer.take(4);
    let told = |consumer: &Consumer, id: &str| consumer.told.values().find(|told| told["id"] == id).expect("told").clone();
    for id in [&ids[0], &ids[2]] {
        let receipt = world.millrace().call("ptx_getTransactionReceipt", &json!([id]))["result"].clone();
        assert!(receipt["revertReason"].as_str().is_some_and(|reason| reason.contains("0x590a5151")), "{receipt}");
        let mut told = told(&consumer, id);
        let fields = told.as_object_mut().expect("an object");
        assert!(fields.remove("sequence").is_some() && fields.remove("id").is_some());
        assert_eq!(told, receipt, "as it is shown elsewhere");
    }
    assert_eq!(told(&consumer, &ids[1]).get("revertReason"), None);
    // A node that hangs holds up nothing.
    world.fault(&json!({"method": "eth_call", "action": "hold", "count": 100_000}));
    let silent = [world.send(&call()), world.send(&call())];
    world.node.wait_for_pending(2);
    world.mine(1);
    consumer.take(6);
    for id in &silent {
        let told = told(&consumer, id);
        assert_eq!((&told["success"], told.get("revertReason")), (&json!(false), None), "{told}");
    }
}

#[test]
fn mistakes_are_told_with_what_to_do_and_change_nothing() {
    let world = world("");
    create(&world, &json!({"name": "orders"}));
    let http = |method: &str, params: &Value| world.millrace().error(method, params);
    let long = "x".repeat(65);
    for (method, params, shown) in [
        ("ptx_createReceiptListener", json!([{"name": "orders"}]), "\"orders\" is taken"),
        ("ptx_createReceiptListener", json!([{"name": ""}]), "1 to 64 letters"),
        ("ptx_createReceiptListener", json!([{"name": long}]), "1 to 64 letters"),
        ("ptx_createReceiptListener", json!([{"name": "a b"}]), "\"a b\" is no name"),
        ("ptx_createReceiptListener", json!([{}]), "missing field `name`"),
        ("ptx_createReceiptListener", json!([{"name": "a", "filters": {"sequenceAbove": -1}}]), "[0].filters.sequenceAbove"),
        ("ptx_createReceiptListener", json!([{"name": "a", "filters": {"type": "private"}}]), "expected `public`"),
        ("ptx_createReceiptListener", json!([{"name": "a", "filters": {"domain": "noto"}}]), "unknown field `domain`"),
        ("ptx_createReceiptListener", json!([{"name": "a", "options": {}}]), "unknown field `options`"),
        ("ptx_getReceiptListener", json!(["unknown"]), "no listener \"unknown\""),
        ("ptx_startReceiptListener", json!(["unknown"]), "no listener \"unknown\""),
        ("ptx_stopReceiptListener", json!(["unknown"]), "no listener \"unknown\""),
        ("ptx_deleteReceiptListener", json!(["unknown"]), "no listener \"unknown\""),
        ("ptx_queryReceiptListeners", json!([{"limit": 0}]), "limit: 0 is not between"),
        ("ptx_queryReceiptListeners", json!([{"equal": []}]), "unknown field `equal`"),
    ] {
        let (code, message) = http(method, &params);
        assert!(code == -32602 && message.contains(shown), "{method} {params}: {message}");
    }
    for (method, params) in [
        ("ptx_subscribe", json!(["receipts", "orders"])),
        ("ptx_unsubscribe", json!(["0198f9aa-0000-7000-8000-000000000001"])),
        ("ptx_ack", json!(["0198f9aa-0000-7000-8000-000000000001"])),
        ("ptx_nack", json!(["0198f9aa-0000-7000-8000-000000000001"])),
    ] {
        let (code, message) = http(method, &params);
        assert!(code == -32601 && message.contains("WebSocket only"), "{method}: {message}");
    }
    let mut consumer = Consumer::subscribe(&world, "orders");
    let subscription = consumer.subscription.clone();
    for (method, params, shown) in [
        ("ptx_subscribe", json!(["receipts", "unknown"]), "no listener \"unknown\""),
        ("ptx_subscribe", json!(["blockchainevents", "orders"]), "write \"receipts\""),
        ("ptx_subscribe", json!(["receipts"]), "write [\"receipts\", name]"),
        ("ptx_ack", json!([subscription]), "no batch is in flight"),
        ("ptx_nack", json!([subscription]), "no batch is in flight"),
        ("ptx_ack", json!(["0198f9aa-0000-7000-8000-000000000001"]), "none of this connection"),
        ("ptx_ack", json!(["x"]), "\"x\" is no UUID"),
        ("ptx_ack", json!([]), "write [subscription, batchId?]"),
    ] {
        let (code, message) = consumer.socket.error(method, &params);
        assert!(code == -32602 && message.contains(shown), "{method} {params}: {message}");
    }
    // A subscription of one connection is none of another one's.
    let mut other = Socket::connect(world.millrace().address());
    let (_, message) = other.error("ptx_ack", &json!([subscription]));
    assert!(message.contains("none of this connection"), "{message}");
    mined(&world, 0..2);
    let (batch, _) = consumer.batch();
    let (_, message) = consumer.socket.error("ptx_ack", &json!([subscription, batch + 5]));
    assert!(message.contains(&format!("batch {} is not in flight, batch {batch} is", batch + 5)), "{message}");
    consumer.ack();
    let (_, message) = consumer.socket.error("ptx_ack", &json!([subscription, batch]));
    assert!(message.contains("no batch is in flight"), "the same one twice: {message}");
    for _ in 1..16 {
        consumer.socket.call("ptx_subscribe", &json!(["receipts", "orders"]));
    }
    let (_, message) = consumer.socket.error("ptx_subscribe", &json!(["receipts", "orders"]));
    assert!(message.contains("has 16 subscriptions, which is the limit"), "{message}");
    let (_, message) = other.error("ptx_subscribe", &json!(["receipts", "orders"]));
    assert!(message.contains("which is the limit"), "{message}");
}
