//! The WebSocket that tells of heads is cut.

use devnet::proxy::{self, ProxyConfig};

use crate::support::chain::{Chain, Kind};
use crate::support::world::LOAD;
use crate::{engine_on, mine, on_anvil_and_geth};

on_anvil_and_geth!(nothing_is_lost_while_the_web_socket_is_cut_for_twenty_blocks_and_then_it_is_used_again);

fn nothing_is_lost_while_the_web_socket_is_cut_for_twenty_blocks_and_then_it_is_used_again(kind: Kind) {
    let chain = Chain::start(kind);
    let wire = proxy::start(ProxyConfig::new(chain.url())).expect("a free port");
    // It would look at the head by itself once in an hour while heads come.
    let more = format!("node.ws_url = \"{}\"\nnode.ws_poll_interval_ms = 3600000\n", wire.ws_url());
    let world = engine_on(&chain, &chain.url(), &more);
    let subscribed = || world.metric("millrace_ws_subscribed");
    world.wait_until("heads come by WebSocket", || subscribed() == 1);
    let mut ids = world.submit(0..LOAD / 2);
    chain.node.wait_for_pending(LOAD / 2);
    wire.cut_websockets();
    world.wait_until("the cut is seen", || subscribed() == 0);
    for _ in 0..20 {
        mine(&chain, &world, 1);
    }
    world.wait_for_confirmed(&ids);
    assert!(world.metric("millrace_ws_cuts_total") > 0);
    let heads = world.metric("millrace_ws_heads_total");
    wire.allow_websockets();
    world.wait_until("heads come by WebSocket again", || subscribed() == 1);
    ids.append(&mut world.submit(LOAD / 2..LOAD));
    chain.node.wait_for_pending(LOAD / 2);
    mine(&chain, &world, 1);
    world.exactly_once(&ids);
    assert!(world.metric("millrace_ws_heads_total") > heads);
}
