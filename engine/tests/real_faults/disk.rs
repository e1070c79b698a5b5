//! The disk is full for a while.

use serde_json::{Value, json};

use crate::on_anvil_and_geth;
use crate::support::Place;
use crate::support::chain::{Chain, Kind};
use crate::support::world::{LOAD, World, transfer};

on_anvil_and_geth!(while_the_disk_is_full_nothing_is_acknowledged_and_afterwards_all_goes_on,);

/// Room for the database of a load, and some more.
const DISK_BYTES: u64 = 64 << 20;

fn start(kind: Kind) -> (Chain, World) {
    let chain = Chain::start(kind);
    let mut place = Place::new();
    place.on_a_small_disk(DISK_BYTES);
    let world = World::in_place(place, chain.node, &chain.url(), "auto", "", None);
    (chain, world)
}

/// What a caller is told about the transfer with this number: an id, or an error.
fn submit_one(world: &World, number: u64) -> Result<String, Value> {
    let reply = world.millrace().call("ptx_sendTransaction", &json!([transfer(number)]));
    reply["result"].as_str().map(str::to_owned).ok_or_else(|| reply["error"].clone())
}

fn while_the_disk_is_full_nothing_is_acknowledged_and_afterwards_all_goes_on(kind: Kind) {
    let (mut chain, world) = start(kind);
    let mut ids = world.submit(0..LOAD / 2);
    chain.flow();
    world.wait_for_confirmed(&ids);
    let disk = world.place.disk.as_ref().expect("a small disk");
    disk.fill();
    for number in LOAD / 2..LOAD {
        println!("{kind:?} {number}: {:?}", submit_one(&world, number));
    }
    println!("{:?}", world.millrace().get("/readyz"));
    disk.free();
    ids.append(&mut world.submit(LOAD / 2..LOAD));
    world.exactly_once(&ids);
}
