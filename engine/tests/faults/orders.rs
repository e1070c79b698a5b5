//! Orders about accepted transactions, and what depends on others: kept also by an engine that is killed in between.

use serde_json::{Value, json};

use crate::on_both_executors;
use crate::support::node::text;
use crate::support::world::{SIGNERS, World, recipient, transfer};

on_both_executors!(
    what_is_cancelled_before_it_is_bound_ends_at_once_and_is_never_mined,
    what_is_cancelled_after_it_was_sent_ends_as_cancelled_once_its_nonce_is_closed,
    what_is_mined_cannot_be_cancelled_or_updated,
    what_is_suspended_waits_also_after_a_crash_until_it_is_resumed,
    what_depends_on_another_address_is_bound_once_that_has_succeeded_also_after_a_crash,
    what_depends_on_a_cancelled_or_reverted_one_fails_and_names_it,
    an_update_replaces_what_was_sent_and_its_history_can_be_read,
    an_update_before_the_bind_replaces_the_request,
    orders_that_make_no_sense_say_why,
);

/// A success counts in its block, and is final in the one after it.
const SHALLOW: &str = "txmgr.finality_depth = 2\n";

fn order(world: &World, method: &str, id: &str) -> Value {
    let reply = world.millrace().call(method, &json!([id]));
    assert!(reply["result"].is_object(), "{method}: {reply}");
    assert_eq!(reply["result"]["id"], id);
    reply["result"]["state"].clone()
}

fn refused(world: &World, method: &str, params: &Value, words: &str) {
    let (code, message) = world.millrace().error(method, params);
    assert_eq!(code, -32602, "{message}");
    assert!(message.contains(words), "{method}: {message}");
}

fn paused(world: &World, address: &str) {
    world.millrace().call("ptx_pauseAddress", &json!([{"address": address}]));
}

fn resumed(world: &World, address: &str) {
    world.millrace().call("ptx_resumeAddress", &json!([{"address": address}]));
}

/// How often the recipient of this transfer was paid, and how much.
fn paid(world: &World, number: u64) -> Vec<Value> {
    let mined = world.node.mined();
    let all = mined.values().flatten();
    all.filter(|transaction| transaction["to"] == recipient(number)).map(|transaction| transaction["value"].clone()).collect()
}

fn what_is_cancelled_before_it_is_bound_ends_at_once_and_is_never_mined(executor: &str) {
    let Some(mut world) = World::start(executor, SHALLOW) else { return };
    paused(&world, SIGNERS[0]);
    let ids = [0, 3, 6].map(|number| world.send(&transfer(number)));
    for _ in 0..2 {
        assert_eq!(order(&world, "ptx_cancelTransaction", &ids[1]), "cancelled", "again is as good as once");
    }
    assert_eq!(world.full(&ids[1])["status"], "fatal_error");
    world.kill();
    world.restart();
    world.flow();
    resumed(&world, SIGNERS[0]);
    world.wait_for_confirmed_among(&[ids[0].clone(), ids[2].clone()]);
    assert_eq!((paid(&world, 0).len(), paid(&world, 3).len(), paid(&world, 6).len()), (1, 0, 1));
    assert!(text(&world.full(&ids[1])["failureReason"]).contains("cancelled"));
    assert_eq!(order(&world, "ptx_cancelTransaction", &ids[1]), "cancelled");
}

fn what_is_cancelled_after_it_was_sent_ends_as_cancelled_once_its_nonce_is_closed(executor: &str) {
    let Some(mut world) = World::start(executor, SHALLOW) else { return };
    let id = world.send(&transfer(0));
    world.node.wait_for_pending(1);
    assert_eq!(order(&world, "ptx_cancelTransaction", &id), "cancelling");
    world.kill();
    world.restart();
    assert_eq!(order(&world, "ptx_cancelTransaction", &id), "cancelling", "it survives a crash");
    world.wait_until("the self-send is in the pool", || {
        world.node.mined().is_empty() && world.full(&id)["attempts"][1]["status"] == "broadcast"
    });
    world.mine(1);
    assert_eq!(world.full(&id)["status"], "unconfirmed", "the block could still leave the chain");
    world.mine(2);
    let full = world.wait_for_status(&id, "fatal_error");
    assert!(text(&full["failureReason"]).contains("cancelled"), "{full:#}");
    assert_eq!(order(&world, "ptx_cancelTransaction", &id), "cancelled");
    assert!(paid(&world, 0).is_empty());
    assert_eq!(world.node.mined()[SIGNERS[0]].len(), 1, "its nonce is closed");
}

fn what_is_mined_cannot_be_cancelled_or_updated(executor: &str) {
    let Some(world) = World::start(executor, SHALLOW) else { return };
    let id = world.send(&transfer(0));
    world.node.wait_for_pending(1);
    world.mine(1);
    let again = |world: &World| {
        refused(world, "ptx_cancelTransaction", &json!([id]), "was mined in block 1");
        refused(world, "ptx_updateTransaction", &json!([id, {"value": "0x9"}]), "was mined in block 1");
    };
    again(&world);
    // It leaves the memory of the engine.
    world.mine(3);
    again(&world);
    assert_eq!(world.full(&id)["status"], "confirmed");
}

fn what_is_suspended_waits_also_after_a_crash_until_it_is_resumed(executor: &str) {
    let Some(mut world) = World::start(executor, "") else { return };
    paused(&world, SIGNERS[0]);
    let ids = [0, 3].map(|number| world.send(&transfer(number)));
    for _ in 0..2 {
        assert_eq!(order(&world, "ptx_suspendTransaction", &ids[0]), "suspended");
    }
    world.kill();
    world.restart();
    world.flow();
    resumed(&world, SIGNERS[0]);
    world.wait_for_status(&ids[1], "confirmed");
    let full = world.full(&ids[0]);
    assert_eq!(full["status"], "unstarted");
    assert!(full["held"].as_str().is_some_and(|held| held.contains("ptx_resumeTransaction")), "{full:#}");
    assert_eq!(order(&world, "ptx_resumeTransaction", &ids[0]), "resumed");
    world.wait_for_status(&ids[0], "confirmed");
    refused(&world, "ptx_suspendTransaction", &json!([ids[0]]), "was mined");
}

fn what_depends_on_another_address_is_bound_once_that_has_succeeded_also_after_a_crash(executor: &str) {
    let Some(mut world) = World::start(executor, "txmgr.required_confirmations = 2\n") else { return };
    // Different addresses, on different shards.
    let first: Vec<String> = (0..3).map(|number| world.send(&transfer(number))).collect();
    world.node.wait_for_pending(3);
    let dependent = |number: u64, on: &[String]| {
        let mut request = transfer(number);
        request["dependsOn"] = json!(on);
        request
    };
    let second: Vec<String> = (3..6).map(|number| world.send(&dependent(number, &first))).collect();
    let third = world.send(&dependent(6, &second));
    world.kill();
    world.restart();
    world.mine(1);
    let full = world.full(&second[0]);
    assert_eq!((&full["status"], &full["dependsOn"]), (&json!("unstarted"), &json!(first)), "one block is not deep enough");
    assert!(text(&full["held"]).contains("depends"), "{full:#}");
    world.mine(1);
    world.node.wait_for_pending(3);
    assert_eq!(world.full(&third)["status"], "unstarted");
    let dependencies = |id: &str| world.millrace().call("ptx_getTransactionDependencies", &json!([id]))["result"].clone();
    assert_eq!(dependencies(&second[0]), json!({"dependsOn": first, "prereqOf": [third]}));
    assert_eq!(dependencies(&first[0])["prereqOf"], json!([]), "what waited for it has been released");
    assert_eq!(dependencies("0198f9aa-0000-7000-8000-000000000001"), json!(null));
    world.flow();
    let all: Vec<String> = first.into_iter().chain(second).chain([third]).collect();
    world.exactly_once(&all);
    // What has succeeded already holds nothing up.
    let late = world.send(&dependent(7, &all));
    world.wait_for_status(&late, "confirmed");
}

fn what_depends_on_a_cancelled_or_reverted_one_fails_and_names_it(executor: &str) {
    let Some(world) = World::start(executor, SHALLOW) else { return };
    paused(&world, SIGNERS[0]);
    let cancelled = world.send(&transfer(0));
    let dependent = |number: u64, on: &str| {
        let mut request = transfer(number);
        request["dependsOn"] = json!([on]);
        world.send(&request)
    };
    let second = dependent(1, &cancelled);
    let third = dependent(2, &second);
    order(&world, "ptx_cancelTransaction", &cancelled);
    for (id, named) in [(&second, &cancelled), (&third, &second)] {
        let reason = text(&world.wait_for_status(id, "fatal_error")["failureReason"]);
        assert!(reason.contains(named.as_str()) && reason.contains("depends"), "{reason}");
    }
    world.flow();
    // revert(0, 0) as init code
    let reverted = world.send(&json!({"from": SIGNERS[1], "data": "0x60006000fd", "gas": 100_000}));
    let behind = dependent(5, &reverted);
    let reason = text(&world.wait_for_status(&behind, "fatal_error")["failureReason"]);
    assert!(reason.contains(&reverted) && reason.contains("reverted"), "{reason}");
    // One that has failed already fails what comes later.
    let late = dependent(8, &cancelled);
    world.wait_for_status(&late, "fatal_error");
    assert!((0..9).all(|number| paid(&world, number).is_empty()));
}

fn an_update_replaces_what_was_sent_and_its_history_can_be_read(executor: &str) {
    let Some(mut world) = World::start(executor, SHALLOW) else { return };
    let id = world.send(&transfer(0));
    world.node.wait_for_pending(1);
    refused(
        &world,
        "ptx_updateTransaction",
        &json!([id, {"maxFeePerGas": 1, "maxPriorityFeePerGas": 1}]),
        "does not replace what was sent: it takes at least maxFeePerGas",
    );
    let update = |world: &World, change: Value| world.millrace().call("ptx_updateTransaction", &json!([id, change]))["result"].clone();
    for _ in 0..2 {
        assert_eq!(
            update(&world, json!({"value": "0x63"})),
            json!({"id": id, "state": "updated", "generation": 1}),
            "again is as good as once"
        );
    }
    world.kill();
    world.restart();
    assert_eq!(update(&world, json!({"generation": 0}))["generation"], 2, "the first content is restored");
    assert_eq!(update(&world, json!({"generation": 1, "gas": 30_000}))["generation"], 3);
    world.wait_until("the newest is in the pool", || {
        world.full(&id)["attempts"].as_array().is_some_and(|attempts| attempts.last().is_some_and(|last| last["status"] == "broadcast"))
    });
    world.flow();
    let full = world.wait_for_status(&id, "confirmed");
    assert_eq!(paid(&world, 0), ["0x63"], "once, and the newest content");
    assert_eq!((&full["generation"], &full["value"], &full["gas"]), (&json!(3), &json!("0x63"), &json!("0x7530")), "{full:#}");
    assert_eq!((&full["receipt"]["generation"], &full["receipt"]["attempt"]), (&json!(3), &json!(0)));
    let history: Vec<_> = full["generations"].as_array().expect("a history").iter().map(|earlier| earlier["value"].clone()).collect();
    assert_eq!(history, ["0x1", "0x63", "0x1"]);
    let nonces: Vec<_> = full["attempts"].as_array().expect("attempts").iter().map(|attempt| attempt["generation"].clone()).collect();
    assert_eq!(nonces, [0, 1, 2, 3]);
    world.node.gapless();
}

fn an_update_before_the_bind_replaces_the_request(executor: &str) {
    let Some(mut world) = World::start(executor, "") else { return };
    paused(&world, SIGNERS[0]);
    let ids = [0, 3].map(|number| world.send(&transfer(number)));
    let reply = world.millrace().call("ptx_updateTransaction", &json!([ids[0], {"value": 99, "gasPrice": 50_000_000_000_u64}]));
    assert_eq!(reply["result"]["generation"], 1, "{reply}");
    world.kill();
    world.restart();
    world.flow();
    resumed(&world, SIGNERS[0]);
    world.wait_for_confirmed_among(&ids);
    assert_eq!((paid(&world, 0), paid(&world, 3)), (vec![json!("0x63")], vec![json!("0x4")]));
    let full = world.full(&ids[0]);
    assert_eq!((&full["attempts"][0]["gasPrice"], &full["nonce"]), (&json!("0xba43b7400"), &json!("0x0")), "it kept its place: {full:#}");
}

fn orders_that_make_no_sense_say_why(executor: &str) {
    let Some(world) = World::start(executor, "") else { return };
    let nobody = "0198f9aa-0000-7000-8000-000000000001";
    for method in ["ptx_cancelTransaction", "ptx_suspendTransaction", "ptx_resumeTransaction"] {
        refused(&world, method, &json!([nobody]), "no transaction has the id");
    }
    refused(&world, "ptx_updateTransaction", &json!([nobody, {"gas": 21_000}]), "no transaction has the id");
    let mut dependent = transfer(1);
    dependent["dependsOn"] = json!([nobody]);
    refused(&world, "ptx_sendTransaction", &json!([dependent]), "dependsOn: no transaction has the id");
    dependent["dependsOn"] = json!(["x"]);
    refused(&world, "ptx_sendTransaction", &json!([dependent]), "dependsOn: \"x\" is no UUID");
    dependent["dependsOn"] = json!(vec![nobody; 101]);
    refused(&world, "ptx_sendTransaction", &json!([dependent]), "over the limit of 100");
    let id = world.send(&transfer(0));
    world.node.wait_for_pending(1);
    refused(&world, "ptx_suspendTransaction", &json!([id]), "ptx_cancelTransaction");
    refused(&world, "ptx_updateTransaction", &json!([id, {"generation": 7}]), "generation 7");
    refused(&world, "ptx_updateTransaction", &json!([id, {"gas": 20_000}]), "intrinsic gas");
}
