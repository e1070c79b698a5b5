//! What a consumer that never acknowledges costs the heap: one batch, however much ends meanwhile.
//!
//! Four hundred listeners, each with one batch in flight that is never acknowledged, while twenty thousand transactions end. Engine, interface and
//! clients are all in this process, and the chain stands still: what ends is cancelled before it is bound. Counted is what Rust code
//! allocates; RocksDB's memtables and caches are of a fixed size and not in it.

#![allow(clippy::expect_used, clippy::unwrap_used)]

#[path = "support/heap.rs"]
mod heap;
mod support;

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use alloy::primitives::{Address, Bytes, U256};
use engine::api::{self, Api};
use engine::metrics::Metrics;
use engine::{Config, Engine, Fees, Request, Submission};
use flume::Receiver;
use futures_util::future::join_all;
use heap::HELD;
use serde_json::{Value, json};
use storage::RocksStore;
use support::socket::Socket;
use support::world::quiet_chain;
use support::{Place, http};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::LocalSet;

/// So many that what the load itself leaves behind, up to 120 KiB of sums and samples, is little for each of them.
const LISTENERS: usize = 400;
/// Subscriptions of one connection, which has 16 at most.
const ON_ONE: usize = 15;
const ENDINGS: usize = 20_000;
/// Endings before there is anybody to tell: they fill the batches, and bring whatever grows with load alone to its size.
const FIRST: usize = 5_000;
/// Transactions in one call.
const TOGETHER: usize = 500;
/// Heap that may be held more for each listener once all of it has ended. A list of what it has missed would be 160,000 bytes with the
/// sequences alone, and 12 MB with the receipts.
const MOST_BYTES: f64 = 1024.0;

/// An engine with its interface in threads of this process.
struct House {
    engine: Engine<RocksStore>,
    address: SocketAddr,
    stop: watch::Sender<bool>,
    thread: std::thread::JoinHandle<()>,
}

fn house(config: Config) -> House {
    let (told, started): (_, Receiver<(Engine<RocksStore>, SocketAddr)>) = flume::bounded(1);
    let (stop, stopped) = watch::channel(false);
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        LocalSet::new().block_on(&runtime, async move {
            let (metrics, prometheus) = Metrics::install().expect("the only one here");
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let (engine, running) = engine::start(&config, metrics.clone()).expect("an engine");
            let api = Api::new(&config, engine.clone(), metrics, prometheus);
            told.send((engine, listener.local_addr().expect("an address"))).expect("the test waits");
            api::serve(listener, api, stopped).await;
            running.stop().expect("a clean end");
        });
    });
    let (engine, address) = started.recv().expect("it starts");
    House { engine, address, stop, thread }
}

fn submission(from: Address, number: usize) -> Submission {
    let request = Request {
        from,
        to: Some(from),
        value: U256::from(number),
        data: Bytes::new(),
        gas: Some(21_000),
        fees: Fees::Market,
        extras: None,
    };
    Submission { request, chain_id: None, idempotency_key: None, depends_on: Vec::new(), blobs: None }
}

/// So many transactions are accepted, and end as cancelled.
async fn end(engine: &Engine<RocksStore>, from: Address, count: usize) {
    for first in (0..count).step_by(TOGETHER) {
        let numbers = first..count.min(first + TOGETHER);
        let ids = engine.submit(numbers.map(|number| submission(from, number)).collect()).await;
        let ends = join_all(ids.into_iter().map(|id| engine.cancel(id.expect("accepted")))).await;
        assert!(ends.iter().all(Result::is_ok), "{ends:?}");
    }
}

/// The heap once so many endings are on disk, and what is sampled for the metrics has been summed up.
fn heap_at(address: SocketAddr, socket: &mut Socket, newest: usize) -> f64 {
    let start = std::time::Instant::now();
    while socket.call("ptx_getReceiptListener", &json!(["first"]))["result"]["newest"] != newest {
        assert!(start.elapsed() < support::LIMIT, "never {newest} endings");
        std::thread::sleep(support::world::POLL);
    }
    let (status, _) = http::exchange(address, b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").expect("metrics");
    assert_eq!(status, 200);
    HELD.load(Ordering::Relaxed) as f64
}

#[test]
fn four_hundred_listeners_that_are_never_acknowledged_hold_one_batch_each_while_twenty_thousand_transactions_end() {
    let chain = quiet_chain();
    let place = Place::new();
    let file = place.hasty_config(&chain.url(), "epoll", "");
    let house = house(Config::load(&file, &[]).expect("settings"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let from = house.engine.addresses().next().expect("a key");
    runtime.block_on(house.engine.pause(from, None)).expect("paused");
    let mut sockets: Vec<Socket> = (0..LISTENERS.div_ceil(ON_ONE)).map(|_| Socket::connect(house.address)).collect();
    assert_eq!(sockets[0].call("ptx_createReceiptListener", &json!([{"name": "first"}]))["result"], true);
    runtime.block_on(end(&house.engine, from, FIRST));
    let alone = heap_at(house.address, &mut sockets[0], FIRST);
    for number in 0..LISTENERS {
        let name = format!("silent-{number}");
        let socket = &mut sockets[number / ON_ONE];
        assert_eq!(socket.call("ptx_createReceiptListener", &json!([{"name": name}]))["result"], true);
        assert!(socket.call("ptx_subscribe", &json!(["receipts", name]))["result"].is_string());
    }
    let mut batches: Vec<(usize, Value, Value)> = Vec::new();
    for number in 0..LISTENERS {
        let told = sockets[number / ON_ONE].notification();
        batches.push((number / ON_ONE, told["params"]["subscription"].clone(), told["params"]["result"]["batchId"].clone()));
    }
    let before = heap_at(house.address, &mut sockets[0], FIRST);
    println!(
        "{:.0} bytes of heap for each of {LISTENERS} listeners with a batch in flight, its client's end included",
        (before - alone) / LISTENERS as f64
    );
    for part in 1..=4 {
        runtime.block_on(end(&house.engine, from, ENDINGS / 4));
        let each = (heap_at(house.address, &mut sockets[0], FIRST + part * ENDINGS / 4) - before) / LISTENERS as f64;
        println!("{:>6} endings later: {each:.0} bytes more for each", part * ENDINGS / 4);
        assert!(each < MOST_BYTES, "{each} bytes of heap more for a listener that is not acknowledged");
    }
    assert!(sockets.iter().all(|socket| socket.untaken() == 0), "one batch is in flight");
    // They are all there still.
    for (connection, subscription, batch) in &batches {
        let socket = &mut sockets[*connection];
        assert_eq!(socket.call("ptx_ack", &json!([subscription, batch]))["result"], true);
        let next = socket.notification();
        assert_eq!(&next["params"]["subscription"], subscription);
        assert!(next["params"]["result"]["batchId"].as_u64() > batch.as_u64());
    }
    drop(sockets);
    house.stop.send(true).expect("it serves");
    drop(house.engine);
    house.thread.join().expect("a clean end");
}
