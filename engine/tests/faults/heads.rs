//! Heads by WebSocket: they come without polling, and polling goes on while there is no subscription.

use devnet::proxy::{self, Proxy, ProxyConfig};

use crate::on_both_executors;
use crate::support::node::Node;
use crate::support::world::{LOAD, World, quiet_chain};

on_both_executors!(
    a_head_by_web_socket_is_read_without_polling,
    nothing_is_lost_while_the_web_socket_is_cut_for_twenty_blocks_and_then_it_is_used_again,
);

/// An engine that would look at the head by itself once in an hour while heads come by WebSocket.
fn start(executor: &str) -> Option<(World, Proxy)> {
    let chain = quiet_chain();
    let node = Node::new(chain.addr());
    let wire = proxy::start(ProxyConfig::new(chain.url())).expect("a free port");
    let more = format!("node.ws_url = \"{}\"\nnode.ws_poll_interval_ms = 3600000\n", wire.ws_url());
    let world = World::with_node(node, &node.url(), executor, &more, Some(chain))?;
    world.wait_until("heads come by WebSocket", || world.metric("millrace_ws_subscribed") == 1);
    Some((world, wire))
}

fn a_head_by_web_socket_is_read_without_polling(executor: &str) {
    let Some((world, _wire)) = start(executor) else { return };
    let ids = world.submit(0..LOAD);
    world.node.wait_for_pending(LOAD);
    for _ in 0..5 {
        world.mine(1);
    }
    world.exactly_once(&ids);
    assert!(world.metric("millrace_ws_heads_total") >= 5);
    assert_eq!(world.metric("millrace_ws_cuts_total"), 0);
}

fn nothing_is_lost_while_the_web_socket_is_cut_for_twenty_blocks_and_then_it_is_used_again(executor: &str) {
    let Some((world, wire)) = start(executor) else { return };
    let mut ids = world.submit(0..LOAD / 2);
    world.node.wait_for_pending(LOAD / 2);
    wire.cut_websockets();
    world.wait_until("the cut is seen", || world.metric("millrace_ws_subscribed") == 0);
    for _ in 0..20 {
        world.mine(1);
    }
    world.wait_for_confirmed(&ids);
    let heads = world.metric("millrace_ws_heads_total");
    assert!(world.metric("millrace_ws_cuts_total") > 0);
    wire.allow_websockets();
    world.wait_until("heads come by WebSocket again", || world.metric("millrace_ws_subscribed") == 1);
    ids.append(&mut world.submit(LOAD / 2..LOAD));
    world.node.wait_for_pending(LOAD / 2);
    world.mine(1);
    world.exactly_once(&ids);
    assert!(world.metric("millrace_ws_heads_total") > heads);
}
