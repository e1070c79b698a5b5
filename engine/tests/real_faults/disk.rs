//! The disk is full for a while.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::on_anvil_and_geth;
use crate::support::Place;
use crate::support::chain::{Chain, Kind};
use crate::support::disk::SmallDisk;
use crate::support::world::{LOAD, World, transfer};

on_anvil_and_geth!(
    while_the_disk_is_full_it_refuses_and_stays_up_and_afterwards_all_goes_on,
    killed_while_the_disk_is_full_it_has_what_it_acknowledged,
);

/// Room for the database of these loads.
const DISK_BYTES: u64 = 32 << 20;
/// Call data of a large request: some dozens of them fill what the database's log has reserved already.
const DATA_BYTES: usize = 48 << 10;
/// Intrinsic gas of that many zeros, and some more.
const DATA_GAS: u64 = 600_000;
/// More large requests than that.
const LARGE_MAX: u64 = 400;
/// How often the disk is filled.
const FILLS: u32 = 3;
/// The write's outcome is unknown, or there is no room for a further one now.
const UNKNOWN_OR_BUSY: [i64; 2] = [-32_011, -32_010];

fn start(kind: Kind) -> (Chain, World) {
    let chain = Chain::start(kind);
    let mut place = Place::new();
    place.on_a_small_disk(DISK_BYTES);
    let world = World::in_place(place, chain.node, &chain.url(), "auto", "", None);
    (chain, world)
}

fn disk(world: &World) -> &SmallDisk {
    world.place.disk.as_ref().expect("a small disk")
}

fn large(number: u64) -> Value {
    let mut request = transfer(number);
    request["data"] = json!(format!("0x{}", "00".repeat(DATA_BYTES)));
    request["gas"] = json!(DATA_GAS);
    request
}

/// What a caller is told about this request: an id, or code and message.
fn submit(world: &World, request: &Value) -> Result<String, (i64, String)> {
    let reply = world.millrace().call("ptx_sendTransaction", &json!([request]));
    reply["result"].as_str().map(str::to_owned).ok_or_else(|| crate::support::error_of(&reply))
}

/// Large requests from this number on until one is refused for want of room; adds the ids of those that were acknowledged.
fn submit_until_refused(world: &World, first: u64, acknowledged: &mut BTreeMap<u64, String>) {
    for number in first..first + LARGE_MAX {
        match submit(world, &large(number)) {
            Ok(id) => drop(acknowledged.insert(number, id)),
            Err((code, message)) => {
                assert!(UNKNOWN_OR_BUSY.contains(&code), "{code} {message}");
                return;
            }
        }
    }
    panic!("{LARGE_MAX} requests have found room on a full disk");
}

/// Half a load is confirmed, and large requests have met the end of the disk: once more after each time that the database was opened
/// again, which gives some of its own room back.
fn with_a_full_disk(kind: Kind) -> (Chain, World, Vec<String>, BTreeMap<u64, String>) {
    let (mut chain, world) = start(kind);
    let ids = world.submit(0..LOAD / 2);
    chain.flow();
    world.wait_for_confirmed(&ids);
    let mut acknowledged = BTreeMap::new();
    for _ in 0..FILLS {
        disk(&world).fill();
        let first = acknowledged.keys().last().map_or(LOAD / 2, |last| last + 1);
        submit_until_refused(&world, first, &mut acknowledged);
        assert_eq!(world.millrace().get("/livez").0, 200, "it stays up");
    }
    (chain, world, ids, acknowledged)
}

/// All of it once more, by the same keys: what was acknowledged has its id, the rest is taken now, and everything is mined once.
fn goes_on(world: &World, mut ids: Vec<String>, acknowledged: &BTreeMap<u64, String>) {
    assert_eq!(world.submit(0..LOAD / 2), ids, "the same keys have the same ids");
    let last = acknowledged.keys().last().map_or(LOAD / 2, |last| last + 3);
    for number in LOAD / 2..last {
        let id = submit(world, &large(number)).expect("there is room");
        assert_eq!(acknowledged.get(&number).unwrap_or(&id), &id, "what was acknowledged is there");
        ids.push(id);
    }
    world.exactly_once(&ids);
}

fn while_the_disk_is_full_it_refuses_and_stays_up_and_afterwards_all_goes_on(kind: Kind) {
    let (_chain, world, ids, acknowledged) = with_a_full_disk(kind);
    world.wait_until("it says that it is not ready", || world.millrace().get("/readyz").0 == 503);
    disk(&world).free();
    world.wait_until("it is ready again", || world.millrace().get("/readyz").0 == 200);
    goes_on(&world, ids, &acknowledged);
}

fn killed_while_the_disk_is_full_it_has_what_it_acknowledged(kind: Kind) {
    let (_chain, mut world, ids, acknowledged) = with_a_full_disk(kind);
    world.kill();
    disk(&world).free();
    world.restart();
    goes_on(&world, ids, &acknowledged);
}
