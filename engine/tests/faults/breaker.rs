//! A node that fails too often in a row is left alone for a while (row A14).

use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use devnet::proxy::{self, Proxy, ProxyConfig};
use devnet::{Action, Rule};
use serde_json::json;

use crate::on_both_executors;
use crate::support::node::Node;
use crate::support::world::{LOAD, World, quiet_chain};
use crate::view::View;

on_both_executors!(
    a_node_that_fails_repeatedly_is_left_alone_until_a_probe_succeeds,
    an_open_breaker_of_one_node_does_not_stop_sending_to_another,
    a_node_that_asks_to_be_left_alone_for_long_does_not_stop_sending_to_another,
    a_node_that_asks_to_be_left_alone_for_a_day_is_asked_again_after_the_longest_wait,
    a_breaker_never_turns_an_unknown_answer_into_a_failure,
);

/// Longer than any test waits: whoever waits for its end fails.
const FOR_EVER: &str = "node.breaker_pause_min_ms = 3600000\nnode.breaker_pause_max_ms = 3600000\n";

/// How many breakers of the node are open, half-open, and how often one has opened.
fn breakers(world: &World, node: usize) -> (u64, u64, u64) {
    let metric = |name: &str| world.metric(&format!("{name}{{node=\"{node}\"}}"));
    (metric("millrace_node_breakers_open"), metric("millrace_node_breakers_half_open"), metric("millrace_node_breaker_openings_total"))
}

/// An engine whose only node is a view of a chain.
fn through_a_view(executor: &str, more: &str) -> Option<(World, View)> {
    let chain = quiet_chain();
    let view = View::of(chain.addr());
    let world = World::with_node(Node::new(chain.addr()), &view.url(), executor, more, Some(chain))?;
    Some((world, view))
}

/// An engine that prefers to know a chain through a proxy, and the chain itself as its second node.
fn with_a_second_node(executor: &str) -> Option<(World, Proxy)> {
    let chain = quiet_chain();
    let proxy = proxy::start(ProxyConfig::new(chain.url())).expect("a free port");
    let more = format!(
        "node.endpoints = [{{ url = \"{}\" }}, {{ url = \"{}\" }}]\nnode.probe_interval_ms = 50\nnode.breaker_failures = 1\n{FOR_EVER}",
        proxy.url(),
        chain.url()
    );
    let world = World::with_node(Node::new(chain.addr()), "", executor, &more, Some(chain))?;
    world.wait_until("both nodes are healthy", || world.metric("millrace_nodes_healthy") == 2);
    Some((world, proxy))
}

fn a_node_that_fails_repeatedly_is_left_alone_until_a_probe_succeeds(executor: &str) {
    const PAUSE: Duration = Duration::from_millis(2000);
    let settings =
        format!("node.breaker_failures = 3\nnode.breaker_pause_min_ms = {0}\nnode.breaker_pause_max_ms = {0}\n", PAUSE.as_millis());
    let Some((world, view)) = through_a_view(executor, &settings) else { return };
    world.flow();
    let mut ids = world.submit(0..LOAD / 2);
    world.wait_for_confirmed(&ids);
    assert_eq!(breakers(&world, 0), (0, 0, 0));
    view.set_down(true);
    world.wait_until("the node is left alone", || breakers(&world, 0).2 > 0);
    let (opened, before) = (Instant::now(), view.requests());
    let (status, body) = world.millrace().get("/readyz");
    assert_eq!(status, 503, "{body}");
    // What is accepted meanwhile is not sent at it.
    ids.append(&mut world.submit(LOAD / 2..LOAD));
    world.wait_until("it is probed", || view.requests() >= before + 3);
    // Between three probes of a breaker lie two pauses, each at least half as long as it may be.
    assert!(opened.elapsed() >= PAUSE, "{:?}", opened.elapsed());
    let (open, half_open, openings) = breakers(&world, 0);
    assert!(open + half_open > 0 && openings <= 2, "the same outage, for each of two shards");
    view.set_down(false);
    world.exactly_once(&ids);
    world.wait_until("the breakers are closed", || matches!(breakers(&world, 0), (0, 0, _)));
}

fn an_open_breaker_of_one_node_does_not_stop_sending_to_another(executor: &str) {
    let Some((world, proxy)) = with_a_second_node(executor) else { return };
    world.flow();
    let mut ids = world.submit(0..LOAD / 2);
    world.wait_for_confirmed(&ids);
    proxy.add_fault(Rule::new("*", Action::Cut).count(NonZeroU64::MAX)).expect("room for one");
    ids.append(&mut world.submit(LOAD / 2..LOAD));
    // One failure opens it, and it stays open: only what does not wait for it gets on.
    world.exactly_once(&ids);
    assert_eq!(world.metric("millrace_node_current"), 1);
    assert!(breakers(&world, 0).0 > 0);
    assert_eq!(breakers(&world, 1), (0, 0, 0));
}

fn a_node_that_asks_to_be_left_alone_for_long_does_not_stop_sending_to_another(executor: &str) {
    let Some((world, proxy)) = with_a_second_node(executor) else { return };
    world.flow();
    let mut ids = world.submit(0..LOAD / 2);
    world.wait_for_confirmed(&ids);
    // The follower hears of it.
    proxy.add_fault(Rule::new("eth_blockNumber", Action::TooManyRequests).retry_after(3600)).expect("room for one");
    ids.append(&mut world.submit(LOAD / 2..LOAD));
    world.exactly_once(&ids);
    world.wait_until("the other node is used", || world.metric("millrace_node_current") == 1);
    assert_eq!(breakers(&world, 0), (0, 0, 0), "a node that answers has not failed");
}

fn a_node_that_asks_to_be_left_alone_for_a_day_is_asked_again_after_the_longest_wait(executor: &str) {
    let Some(world) = World::start(executor, "node.retry_after_max_ms = 300\n") else { return };
    world.flow();
    world.fault(&json!({"method": "eth_sendRawTransaction", "action": "tooManyRequests", "retryAfter": 86400, "count": 2}));
    let ids = world.submit(0..LOAD);
    world.exactly_once(&ids);
    assert_eq!(world.node.ask("devnet_clearFaults", &json!([])), "0x0", "every fault has struck");
}

fn a_breaker_never_turns_an_unknown_answer_into_a_failure(executor: &str) {
    let settings = "node.breaker_failures = 1\nnode.breaker_pause_min_ms = 200\nnode.breaker_pause_max_ms = 400\n";
    let Some(world) = World::start(executor, settings) else { return };
    world.flow();
    // The node takes them, and nobody hears of it; then nobody can ask.
    for when in ["after", "before", "after"] {
        world.fault(&json!({"method": "eth_sendRawTransaction", "action": "cut", "when": when, "count": 1}));
    }
    let ids = world.submit(0..LOAD);
    world.exactly_once(&ids);
    assert_eq!(world.node.ask("devnet_clearFaults", &json!([])), "0x0", "every fault has struck");
    assert!(breakers(&world, 0).2 > 0, "one cut is enough");
    assert_eq!(world.metric("millrace_transactions_failed_total"), 0);
}
