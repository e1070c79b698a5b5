//! kill -9 at named points of the way of a transaction, at real nodes: each accepted transaction is mined exactly once and no nonce is
//! left out, wherever the process ended and however often.
//!
//! The process ends itself: `MILLRACE_DIE_AT=signed:3` has it die when it comes to the point `signed` for the third time. Only an engine
//! with the feature `points` does that, so this needs it too:
//! `cargo test --release --workspace --features millrace-engine/points --test kill_points`.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::ops::Range;

use engine::point::Point;
use serde_json::{Value, json};
use support::chain::{Chain, Kind};
use support::http;
use support::world::{LOAD, World, transfer};

/// How often the process dies at its point, each time one passage later than before.
const DEATHS: u64 = 4;
/// Requests that are new in each life of the process.
const PART: u64 = LOAD / (DEATHS + 1);
/// Most of the load waits for its turn, so that every life has something to bind.
const NARROW: &str = "txmgr.max_in_flight = 5\n";

macro_rules! at_each_point {
    ($($name:ident: $point:ident,)+) => {
        mod on_anvil {
            $(#[test] fn $name() { super::dies_at(super::Kind::Anvil, super::Point::$point); })+
        }
        mod on_geth {
            $(#[test] fn $name() { super::dies_at(super::Kind::Geth, super::Point::$point); })+
        }
        /// A point without a test would look like one that passed.
        #[test]
        fn every_point_has_its_test() {
            assert_eq!(Point::ALL, &[$(Point::$point),+]);
        }
    };
}

at_each_point!(
    killed_with_a_nonce_taken_and_nothing_signed: NonceTaken,
    killed_with_signatures_that_no_disk_has: Signed,
    killed_with_a_record_on_disk_that_nobody_was_told_of: Persisted,
    killed_with_bytes_sent_and_no_reply: Sent,
    killed_with_a_reply_that_was_not_acted_upon: Replied,
    killed_with_a_block_read_and_not_stored: MinedUnseen,
);

/// Submits transfers in lists, until the engine is gone; what it was told stands in `told`.
fn submit_until_it_ends(world: &World, numbers: Range<u64>, told: &mut Vec<(u64, String)>) {
    for number in numbers {
        let request = http::post("Content-Type: application/json\r\n", &http::call("ptx_sendTransaction", &json!([transfer(number)])));
        let reply = http::exchange(world.millrace().address(), request.as_bytes()).ok();
        let reply: Option<Value> = reply.and_then(|(_, body)| serde_json::from_str(&body).ok());
        // The one that was under way is unknown; those after it are not sent.
        let Some(reply) = reply else { return };
        if let Some(id) = reply["result"].as_str() {
            told.push((number, id.to_owned()));
        }
    }
}

fn dies_at(kind: Kind, point: Point) {
    let mut chain = Chain::start(kind);
    let mut world = World::with_node(chain.node, &chain.url(), "auto", NARROW, None).expect("auto runs anywhere");
    let mut told: Vec<_> = (0..).zip(world.submit(0..PART)).collect();
    chain.flow();
    assert_eq!(world.stop(), Some(0));
    for death in 1..=DEATHS {
        world.place.die_at = Some(format!("{}:{death}", point.name()));
        if world.start_to_die() {
            submit_until_it_ends(&world, death * PART..(death + 1) * PART, &mut told);
        }
        world.wait_for_its_crash();
    }
    world.place.die_at = None;
    world.restart();
    let ids = world.submit(0..PART * (DEATHS + 1));
    for (number, id) in told {
        assert_eq!(ids[usize::try_from(number).expect("a small number")], id, "what was acknowledged is there");
    }
    world.exactly_once(&ids);
}
