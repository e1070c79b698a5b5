//! A real anvil, as the project's set-up installs it.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::json;

use super::node::Node;
use super::{LIMIT, any_port};

/// Where the set-up of this repository puts anvil's packages: a wrapper, and beside it one with the program itself. The
/// wrapper would leave the program behind when it is killed.
const PACKAGES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tools/npm/node_modules/@foundry-rs");

/// A running anvil with a block a second; ended with the test.
pub(crate) struct Anvil {
    process: Child,
    pub(crate) node: Node,
}

fn program() -> PathBuf {
    let packages = std::fs::read_dir(PACKAGES).into_iter().flatten().flatten();
    packages.map(|package| package.path().join("bin/anvil")).find(|program| program.exists()).unwrap_or_else(|| {
        panic!("no anvil in {PACKAGES}: run `npm install --prefix tools/npm --no-save @foundry-rs/anvil@1.7.1` in the repository")
    })
}

impl Anvil {
    pub(crate) fn start() -> Self {
        let free = TcpListener::bind(any_port()).and_then(|listener| listener.local_addr());
        let address: SocketAddr = free.expect("a free port");
        let process = Command::new(program())
            .args(["--silent", "--block-time", "1", "--chain-id", "31337", "--port", &address.port().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("anvil starts");
        let anvil = Self { process, node: Node::new(address) };
        let start = Instant::now();
        while let Err(error) = anvil.node.try_ask("eth_chainId", &json!([])) {
            assert!(start.elapsed() < LIMIT, "anvil does not listen on {address}: {error}");
            std::thread::sleep(super::world::POLL);
        }
        anvil
    }
}

impl Drop for Anvil {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
