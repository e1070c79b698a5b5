//! Where gas prices come from: each source that fails falls through to the next one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::on_both_executors;
use crate::support::any_port;
use crate::support::node::{Node, quantity};
use crate::support::world::{LOAD, World, transfer};

on_both_executors!(
    the_oracle_is_asked_before_the_node,
    an_oracle_that_is_down_falls_through_to_the_node_and_is_used_again_when_it_is_back,
    with_no_source_left_the_last_good_price_is_used,
    one_request_serves_all_who_wait,
    a_price_of_the_request_goes_before_the_oracle,
    on_a_chain_without_gas_prices_everything_goes_out_at_price_zero,
);

const GWEI: u64 = 1_000_000_000;
/// What the engine bids on a dev chain whose only block is empty: twice the 0.875 gwei to come, plus a tip of one.
const NODES_PRICE: u64 = 2_750_000_000;

/// An oracle whose fee cap, in gwei, and status can be chosen.
struct Oracle {
    address: SocketAddr,
    state: Arc<(AtomicU16, AtomicU64, AtomicU64)>,
    /// Its end is the oracle's.
    _stop: oneshot::Sender<()>,
}

impl Oracle {
    fn at_gwei(gwei: u64) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(any_port())).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new((AtomicU16::new(200), AtomicU64::new(gwei), AtomicU64::new(0)));
        let shared = Arc::clone(&state);
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, state, _stop: stop }
    }

    fn set_status(&self, status: u16) {
        self.state.0.store(status, Ordering::Release);
    }

    fn set_gwei(&self, gwei: u64) {
        self.state.1.store(gwei, Ordering::Release);
    }

    /// How often it was asked.
    fn asked(&self) -> u64 {
        self.state.2.load(Ordering::Acquire)
    }

    fn settings(&self) -> String {
        format!(
            "gas.oracle_url = \"http://{}/prices?key=SECRET\"\n\
             gas.oracle_max_fee = \"/fast/maxFee\"\n\
             gas.oracle_tip = \"/fast/tip\"\n\
             gas.oracle_unit = \"gwei\"\n",
            self.address
        )
    }
}

async fn serve(listener: TcpListener, state: Arc<(AtomicU16, AtomicU64, AtomicU64)>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |_request| {
            state.2.fetch_add(1, Ordering::AcqRel);
            let body = json!({"fast": {"maxFee": format!("{}.5", state.1.load(Ordering::Acquire)), "tip": 1.5}});
            let reply = Response::builder().status(state.0.load(Ordering::Acquire)).body(Full::<Bytes>::from(body.to_string()));
            async move { reply }
        });
        tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

fn start(executor: &str, oracle: &Oracle, more: &str) -> Option<World> {
    World::start(executor, &format!("{}{more}", oracle.settings()))
}

/// The fee cap of the first attempt at the transfer with this number.
fn bid(world: &World, number: u64) -> u64 {
    let id = world.send(&transfer(number));
    world.wait_until("it is bound", || !attempts(world, &id).is_empty());
    quantity(&attempts(world, &id)[0]["maxFeePerGas"])
}

fn attempts(world: &World, id: &str) -> Vec<Value> {
    world.full(id)["attempts"].as_array().expect("attempts").clone()
}

fn clear(world: &World) {
    assert_eq!(world.millrace().call("ptx_clearGasPriceCache", &json!([]))["result"], true);
}

fn the_oracle_is_asked_before_the_node(executor: &str) {
    let oracle = Oracle::at_gwei(7);
    let Some(world) = start(executor, &oracle, "") else { return };
    assert_eq!(bid(&world, 0), 7_500_000_000);
    oracle.set_gwei(8);
    assert_eq!(bid(&world, 3), 7_500_000_000, "the cache serves");
    clear(&world);
    assert_eq!(bid(&world, 6), 8_500_000_000);
}

fn an_oracle_that_is_down_falls_through_to_the_node_and_is_used_again_when_it_is_back(executor: &str) {
    let oracle = Oracle::at_gwei(7);
    oracle.set_status(500);
    let Some(world) = start(executor, &oracle, "") else { return };
    assert_eq!(bid(&world, 0), NODES_PRICE);
    assert!(oracle.asked() > 0);
    oracle.set_status(200);
    clear(&world);
    assert_eq!(bid(&world, 3), 7_500_000_000);
}

fn with_no_source_left_the_last_good_price_is_used(executor: &str) {
    let oracle = Oracle::at_gwei(7);
    let Some(world) = start(executor, &oracle, "gas.cache_ms = 50\n") else { return };
    assert_eq!(bid(&world, 0), 7_500_000_000);
    oracle.set_status(503);
    for method in ["eth_feeHistory", "eth_gasPrice"] {
        world.fault(&json!({"method": method, "action": "cut", "count": 1000}));
    }
    clear(&world);
    assert_eq!(bid(&world, 3), 7_500_000_000);
}

fn one_request_serves_all_who_wait(executor: &str) {
    let oracle = Oracle::at_gwei(7);
    let Some(world) = start(executor, &oracle, "") else { return };
    let ids = world.submit(0..LOAD);
    world.node.wait_for_pending(LOAD);
    // One for each of the two shards at most, where they ask one right after the other.
    assert!(oracle.asked() <= 2, "asked {} times", oracle.asked());
    world.flow();
    world.exactly_once(&ids);
}

fn a_price_of_the_request_goes_before_the_oracle(executor: &str) {
    let oracle = Oracle::at_gwei(7);
    let Some(world) = start(executor, &oracle, "") else { return };
    let mut priced = transfer(0);
    priced["gasPrice"] = json!(3 * GWEI);
    let id = world.send(&priced);
    world.wait_until("it is bound", || !attempts(&world, &id).is_empty());
    assert_eq!(quantity(&attempts(&world, &id)[0]["gasPrice"]), 3 * GWEI);
}

fn on_a_chain_without_gas_prices_everything_goes_out_at_price_zero(executor: &str) {
    let config = devnet::Config { base_fee_wei: 0, min_tip_wei: 0, block_time: Duration::ZERO, ..devnet::Config::default() };
    let chain = devnet::start(config).expect("a dev chain");
    let node = Node::new(chain.addr());
    // Resubmission is due all the time, and raises nothing.
    let more = "gas.zero = true\ntxmgr.resubmit_interval_ms = 50\n";
    let Some(world) = World::with_node(node, &node.url(), executor, more, Some(chain)) else { return };
    let mut ids = world.submit(0..LOAD - 1);
    let mut priced = transfer(LOAD - 1);
    priced["gasPrice"] = json!(3 * GWEI);
    ids.push(world.send(&priced));
    world.node.wait_for_pending(LOAD);
    world.wait_until("the same bytes are sent again", || world.metric("millrace_attempts_sent_total") >= 2 * LOAD);
    world.flow();
    world.exactly_once(&ids);
    for id in [&ids[0], &ids[ids.len() - 1]] {
        let attempts = attempts(&world, id);
        assert_eq!(attempts.len(), 1, "{attempts:#?}");
        assert_eq!(quantity(&attempts[0]["gasPrice"]), 0);
    }
}
