//! The cases against a real anvil. Fails when there is none.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

mod cases;

use cases::{Anvil, CHAIN_ID, Commands, GAS_LIMIT, World, kit::Client};

/// Where the set-up of this repository puts anvil's packages: a wrapper, and beside it one with the program itself. The
/// wrapper would leave the program behind when it is killed.
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../npm/node_modules/@foundry-rs");
/// anvil listens within a second; a busy machine takes longer.
const START_MAX: Duration = Duration::from_secs(30);
/// How often to ask whether it listens: a process started elsewhere tells no event.
const START_POLL: Duration = Duration::from_millis(50);

/// A running anvil, ended with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> PathBuf {
    let packages = fs::read_dir(PACKAGES).into_iter().flatten().flatten();
    packages.map(|package| package.path().join("bin/anvil")).find(|program| program.exists()).unwrap_or_else(|| {
        panic!("no anvil in {PACKAGES}: run `npm install --prefix tools/npm --no-save @foundry-rs/anvil@1.7.1` in the repository")
    })
}

fn start() -> (Running, String) {
    let program = program();
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let port = free.expect("a free port").port().to_string();
    let gas_limit = GAS_LIMIT.to_string();
    let chain_id = CHAIN_ID.to_string();
    let child = Command::new(program)
        .args(["--silent", "--block-time", "1", "--port", &port, "--gas-limit", &gas_limit, "--chain-id", &chain_id])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("anvil starts");
    (Running(child), format!("http://127.0.0.1:{port}"))
}

#[test]
fn every_case_shows_what_the_table_says() {
    let (running, url) = start();
    let client = Client::new(&url);
    let asked = Instant::now();
    while client.post(r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#).is_err() {
        assert!(asked.elapsed() < START_MAX, "anvil does not listen on {url} after {START_MAX:?}");
        thread::sleep(START_POLL);
    }
    // From here on blocks come only when a case mines one.
    client.ask("evm_setIntervalMining", json!([0]));
    let commands = Commands { mine: "evm_mine", set_balance: "anvil_setBalance" };
    cases::run(&World { client, commands }, |case| match case.anvil {
        Anvil::Same => case.devnet,
        Anvil::Differs(seen) => seen,
    });
    drop(running);
}
