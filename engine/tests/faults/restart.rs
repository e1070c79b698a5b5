//! The process ends in the middle, by force or told to, and starts again on its directory.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::on_both_executors;
use crate::support::http;
use crate::support::world::{LOAD, World, transfer};

on_both_executors!(
    killed_before_any_block_it_goes_on_with_bound_and_waiting_ones,
    killed_while_blocks_come_it_mines_each_once,
    killed_while_a_caller_submits_it_has_what_it_acknowledged,
    told_to_stop_while_a_caller_submits_it_has_what_it_acknowledged,
    told_to_stop_while_busy_it_ends_cleanly_and_goes_on,
);

/// Clean stops in a row: what goes wrong at the end of a process goes wrong rarely.
const STOPS: u64 = 8;

/// With a window this small most of the load waits.
const NARROW: &str = "txmgr.max_in_flight = 5\n";

fn killed_before_any_block_it_goes_on_with_bound_and_waiting_ones(executor: &str) {
    for more in ["", NARROW] {
        let Some(mut world) = World::start(executor, more) else { return };
        let ids = world.submit(0..LOAD);
        world.node.wait_for_pending(if more.is_empty() { LOAD } else { 3 * 5 });
        world.kill();
        world.restart();
        assert_eq!(world.submit(0..LOAD), ids, "the same keys have the same ids");
        world.flow();
        world.exactly_once(&ids);
    }
}

fn killed_while_blocks_come_it_mines_each_once(executor: &str) {
    for more in ["", NARROW] {
        let Some(mut world) = World::start(executor, more) else { return };
        let ids = world.submit(0..LOAD);
        world.flow();
        for confirmed in [1, 20] {
            world.wait_until("some are confirmed", || {
                let transactions = world.transactions();
                let transactions = transactions.as_array().expect("transactions");
                transactions.iter().filter(|transaction| transaction["status"] == "confirmed").count() >= confirmed
            });
            world.kill();
            world.restart();
        }
        assert_eq!(world.submit(0..LOAD), ids, "the same keys have the same ids");
        world.exactly_once(&ids);
    }
}

/// Submits transfers one by one until the engine is gone; counts them, gives the ids it was told.
fn submit_until_it_ends(world: &World, told: &AtomicU64) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..LOAD {
        let request = http::post("Content-Type: application/json\r\n", &http::call("ptx_sendTransaction", &json!([transfer(number)])));
        let reply = http::exchange(world.millrace().address(), request.as_bytes()).ok();
        let reply: Option<Value> = reply.and_then(|(_, body)| serde_json::from_str(&body).ok());
        // The one that was under way is unknown; those after it are not sent.
        let Some(id) = reply.and_then(|reply| Some(reply["result"].as_str()?.to_owned())) else { return ids };
        ids.push(id);
        told.fetch_add(1, Ordering::Relaxed);
    }
    ids
}

/// The signal comes while a caller submits; what it was told is there afterwards, under the same ids.
fn ended_while_a_caller_submits(executor: &str, signal: Signal) {
    for more in ["", NARROW] {
        let Some(mut world) = World::start(executor, more) else { return };
        world.flow();
        let told = AtomicU64::new(0);
        let ids = std::thread::scope(|scope| {
            let caller = scope.spawn(|| submit_until_it_ends(&world, &told));
            while told.load(Ordering::Relaxed) < LOAD / 3 {
                std::thread::yield_now();
            }
            world.millrace().signal(signal);
            caller.join().expect("no panic")
        });
        if signal == Signal::SIGTERM {
            assert_eq!(world.stop(), Some(0));
        } else {
            world.kill();
        }
        world.restart();
        let again = world.submit(0..LOAD);
        assert_eq!(again[..ids.len()], ids[..], "what was acknowledged is there");
        world.exactly_once(&again);
    }
}

fn killed_while_a_caller_submits_it_has_what_it_acknowledged(executor: &str) {
    ended_while_a_caller_submits(executor, Signal::SIGKILL);
}

fn told_to_stop_while_a_caller_submits_it_has_what_it_acknowledged(executor: &str) {
    ended_while_a_caller_submits(executor, Signal::SIGTERM);
}

fn told_to_stop_while_busy_it_ends_cleanly_and_goes_on(executor: &str) {
    let Some(mut world) = World::start(executor, NARROW) else { return };
    world.flow();
    let part = LOAD / STOPS;
    let mut ids = Vec::new();
    for stop in 0..STOPS {
        let end = if stop + 1 == STOPS { LOAD } else { (stop + 1) * part };
        ids.append(&mut world.submit(stop * part..end));
        // A query is under way when it is told to stop.
        let address = world.millrace().address();
        let query = std::thread::spawn(move || {
            let query = http::post("Content-Type: application/json\r\n", &http::call("ptx_queryTransactions", &json!([{}])));
            // It is answered, or the connection comes too late: either is fine.
            let _ = http::exchange(address, query.as_bytes());
        });
        assert_eq!(world.stop(), Some(0), "stop {stop}");
        query.join().expect("no panic");
        world.restart();
    }
    world.exactly_once(&ids);
}
