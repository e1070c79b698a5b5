//! Everything at once.

use std::num::NonZeroU64;

use devnet::proxy::{self, Proxy, ProxyConfig};
use devnet::{Action, Rule};

use crate::support::chain::{Chain, Kind};
use crate::support::world::LOAD;
use crate::{engine_on, on_anvil_and_geth, read_beyond};

on_anvil_and_geth!(replies_are_cut_the_node_forgets_blocks_vanish_and_the_process_is_killed_and_each_is_mined_once);

/// How often it all comes, each time with a part of the load.
const ROUNDS: u64 = 3;
const PART: u64 = LOAD / ROUNDS;

/// Some replies do not come, though what was asked is done; receipts are late.
fn worsen(proxy: &Proxy) {
    let three = NonZeroU64::new(3).expect("not zero");
    proxy.add_fault(Rule::new("eth_sendRawTransaction", Action::Cut).after_effect().count(three)).expect("room");
    proxy.add_fault(Rule::new("*", Action::Cut).count(three)).expect("room");
    proxy.set_receipt_lag(2, Some(10));
}

fn replies_are_cut_the_node_forgets_blocks_vanish_and_the_process_is_killed_and_each_is_mined_once(kind: Kind) {
    let mut chain = Chain::start(kind);
    let proxy = proxy::start(ProxyConfig::new(chain.url())).expect("a free port");
    let mut world = engine_on(&chain, &proxy.url(), "txmgr.max_in_flight = 5\n");
    let mut ids = Vec::new();
    for round in 0..ROUNDS {
        chain.flow();
        worsen(&proxy);
        ids.append(&mut world.submit(round * PART..(round + 1) * PART));
        world.wait_for_status(&ids[ids.len() - 1], "confirmed");
        worsen(&proxy);
        chain.halt();
        let height = chain.node.head();
        chain.set_back(2.min(height));
        chain.restart_without_its_pool();
        world.kill();
        chain.flow();
        world.restart();
        read_beyond(&world, height);
    }
    world.exactly_once(&ids);
    assert!(proxy.status().faults_struck >= ROUNDS);
}
