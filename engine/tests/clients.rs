//! The clients that others have written, unchanged, in front of the facade: each deploys a contract, calls it, waits for receipts, and
//! sends 200 transactions at once. Behind it is anvil. Fails where a client is not installed.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::process::{Child, Command, Stdio};
use std::time::Instant;

use nodes::clients;
use serde_json::Value;
use support::LIMIT;
use support::chain::{Chain, Kind};
use support::node::{quantity, text};
use support::world::{SIGNERS, World};

/// Transactions that a client sends at once.
const MANY: u64 = 200;
/// Recipient of a client's first transfer.
const FIRST: u64 = 0x2000_0000;
/// Processes of cast that run at the same time: each takes a core for a moment.
const CASTS: usize = 16;

/// anvil under its own clock, and an engine with a facade in front of it.
fn world() -> (Chain, World) {
    let mut chain = Chain::start(Kind::Anvil);
    // anvil takes requests and WebSockets on one port.
    let ws = chain.url().replacen("http", "ws", 1);
    let more = format!("node.ws_url = \"{ws}\"\nfacade.listen = \"127.0.0.1:0\"\n");
    let world = World::with_node(chain.node, &chain.url(), "auto", &more, None).expect("auto runs anywhere");
    chain.flow();
    (chain, world)
}

/// Runs a client to its end, within the limit of all tests.
fn run(mut command: Command) {
    let mut child = command.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let ended = Instant::now() + 2 * LIMIT;
    let status = loop {
        match child.try_wait().expect("a process of our own") {
            Some(status) => break status,
            None if Instant::now() > ended => {
                child.kill().expect("a process of our own");
                panic!("{command:?} does not end");
            }
            None => std::thread::sleep(support::world::POLL),
        }
    };
    assert!(status.success(), "{command:?}: {status}");
}

/// Every one of so many transfers is on the chain once, and nothing of the address is missing before it.
fn each_is_mined_once(chain: &Chain, world: &World, transfers: u64) {
    chain.node.gapless();
    let mined = chain.node.mined();
    let paid = |mined: &Value| {
        // A creation has no recipient, and a contract's address is longer than a number.
        let to = u64::from_str_radix(mined["to"].as_str()?.trim_start_matches("0x"), 16).ok()?;
        to.checked_sub(FIRST).filter(|number| *number < 0x1000)
    };
    let mut numbers: Vec<_> = mined[SIGNERS[0]].iter().filter_map(|mined| Some((paid(mined)?, quantity(&mined["value"])))).collect();
    numbers.sort_unstable();
    assert_eq!(numbers.iter().map(|(number, _)| *number).collect::<Vec<_>>(), (0..transfers).collect::<Vec<_>>());
    assert!(numbers.iter().take(200).all(|(number, value)| number + 1 == *value), "{numbers:?}");
    let known = world.transactions();
    assert_eq!(known.as_array().map(Vec::len), mined.get(SIGNERS[0]).map(Vec::len), "all of them are the engine's");
}

#[test]
fn viem_works_unchanged() {
    let (chain, world) = world();
    let mut node = Command::new("node");
    node.arg(clients::script(clients::npm(), "viem").unwrap_or_else(|error| panic!("{error}")));
    let facade = world.facade();
    run({
        node.args([format!("http://{facade}"), format!("ws://{facade}"), FIRST.to_string()]);
        node
    });
    // One more went over WebSocket.
    each_is_mined_once(&chain, &world, MANY + 1);
}

#[test]
fn ethers_works_unchanged() {
    let (chain, world) = world();
    let mut node = Command::new("node");
    node.arg(clients::script(clients::npm(), "ethers").unwrap_or_else(|error| panic!("{error}")));
    run({
        node.args([format!("http://{}", world.facade()), FIRST.to_string()]);
        node
    });
    each_is_mined_once(&chain, &world, MANY);
}

#[test]
fn web3_py_works_unchanged() {
    let (chain, world) = world();
    let mut python = Command::new(clients::python().unwrap_or_else(|error| panic!("{error}")));
    python.arg(clients::npm().join("clients/web3_py.py"));
    run({
        python.args([format!("http://{}", world.facade()), FIRST.to_string()]);
        python
    });
    each_is_mined_once(&chain, &world, MANY);
}

/// A command of cast that sends from the first signer, without a key of its own.
fn cast(world: &World, arguments: &[&str]) -> Command {
    let mut cast = Command::new(clients::cast(clients::npm()).unwrap_or_else(|error| panic!("{error}")));
    cast.args(["send", "--rpc-url", &format!("http://{}", world.facade()), "--unlocked", "--from", SIGNERS[0]]);
    cast.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    cast
}

fn json_of(child: Child) -> Value {
    let output = child.wait_with_output().expect("a process of our own");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

#[test]
fn cast_works_unchanged() {
    // The contract that the other clients deploy.
    const COUNTER: &str = "0x601f8060095f395ff35f3560e01c63d09de08a146016575f545f5260205ff35b60015f54015f5500";
    let (chain, world) = world();
    let deployed = json_of(cast(&world, &["--json", "--create", COUNTER]).spawn().expect("cast runs"));
    assert_eq!(deployed["status"], "0x1", "{deployed}");
    let contract = text(&deployed["contractAddress"]);
    let called = json_of(cast(&world, &["--json", &contract, "increment()"]).spawn().expect("cast runs"));
    assert_eq!(called["status"], "0x1", "{called}");
    assert_eq!(quantity(&chain.node.ask("eth_call", &serde_json::json!([{"to": contract, "data": "0x06661abd"}, "latest"]))), 1);
    let numbers: Vec<u64> = (0..MANY).collect();
    for some in numbers.chunks(CASTS) {
        let started: Vec<_> = some
            .iter()
            .map(|number| {
                let (to, value) = (format!("0x{:040x}", FIRST + number), (number + 1).to_string());
                cast(&world, &["--async", &to, "--value", &value]).spawn().expect("cast runs")
            })
            .collect();
        for child in started {
            let output = child.wait_with_output().expect("a process of our own");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    world.wait_until("all are confirmed", || {
        let transactions = world.transactions();
        let transactions = transactions.as_array().expect("transactions");
        transactions.len() as u64 == MANY + 2 && transactions.iter().all(|transaction| transaction["status"] == "confirmed")
    });
    each_is_mined_once(&chain, &world, MANY);
}
