//! What a node shows is older than the chain.

use std::num::NonZeroU64;

use devnet::proxy::{self, Proxy, ProxyConfig};
use devnet::{Action, Rule};

use crate::support::chain::{Chain, Kind};
use crate::support::world::{LOAD, World};
use crate::{engine_on, mine, on_anvil_and_geth};

on_anvil_and_geth!(
    two_nodes_five_blocks_apart_confuse_nothing,
    receipts_that_are_missing_for_five_questions_are_asked_for_again,
    receipts_that_come_five_blocks_later_are_waited_for,
);

fn proxy_of(chain: &Chain) -> Proxy {
    proxy::start(ProxyConfig::new(chain.url())).expect("a free port")
}

fn two_nodes_five_blocks_apart_confuse_nothing(kind: Kind) {
    let mut chain = Chain::start(kind);
    let [first, behind] = [proxy_of(&chain), proxy_of(&chain)];
    behind.lag_head(5);
    let more = format!(
        "node.endpoints = [{{ url = \"{}\" }}, {{ url = \"{}\" }}]\nnode.probe_interval_ms = 50\nnode.max_lag_blocks = 10\n",
        first.url(),
        behind.url()
    );
    let world = engine_on(&chain, "", &more);
    let current = |node| world.wait_until("the other node is used", || world.metric("millrace_node_current") == node);
    world.wait_until("both are healthy", || world.metric("millrace_nodes_healthy") == 2);
    let mut ids = world.submit(0..LOAD / 3);
    chain.node.wait_for_pending(LOAD / 3);
    mine(&chain, &world, 7);
    world.wait_for_confirmed(&ids);
    let head = world.metric("millrace_head_block_number");
    first.add_fault(Rule::new("*", Action::Cut).count(NonZeroU64::MAX)).expect("room for one");
    current(1);
    // The nonces that it names are older than ours, and so are its blocks.
    ids.append(&mut world.submit(LOAD / 3..LOAD * 2 / 3));
    chain.node.wait_for_pending(LOAD / 3);
    assert_eq!(world.metric("millrace_head_block_number"), head);
    chain.flow();
    world.wait_for_confirmed(&ids);
    first.clear_faults();
    current(0);
    ids.append(&mut world.submit(LOAD * 2 / 3..LOAD));
    world.exactly_once(&ids);
    assert!(!ids.iter().any(|id| is_orphaned(&world, id)), "a node that lags is no reorg");
}

fn is_orphaned(world: &World, id: &str) -> bool {
    world.full(id)["orphanedReceipts"].as_array().is_some_and(|orphans| !orphans.is_empty())
}

/// A load behind a proxy that lies about receipts.
fn under(kind: Kind, lie: impl FnOnce(&Proxy)) -> (World, Proxy, Chain) {
    let mut chain = Chain::start(kind);
    let proxy = proxy_of(&chain);
    let world = engine_on(&chain, &proxy.url(), "");
    lie(&proxy);
    let ids = world.submit(0..LOAD);
    chain.flow();
    world.exactly_once(&ids);
    assert!(!ids.iter().any(|id| is_orphaned(&world, id)));
    (world, proxy, chain)
}

fn receipts_that_are_missing_for_five_questions_are_asked_for_again(kind: Kind) {
    let (_, proxy, _) = under(kind, |proxy| proxy.set_receipt_lag(1_000_000, Some(5)));
    assert!(proxy.status().calls["eth_getBlockReceipts"] > 5);
}

fn receipts_that_come_five_blocks_later_are_waited_for(kind: Kind) {
    under(kind, |proxy| proxy.set_receipt_lag(5, None));
}
