//! A real geth in its development mode, where one is installed.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use serde_json::json;
use tempfile::TempDir;

use super::node::Node;
use super::{LIMIT, any_port};

/// A running geth with a block a second; ended with the test.
pub(crate) struct Geth {
    process: Child,
    pub(crate) node: Node,
    _data: TempDir,
}

fn free_port() -> SocketAddr {
    TcpListener::bind(any_port()).and_then(|listener| listener.local_addr()).expect("a free port")
}

impl Geth {
    /// Starts the program that the variable GETH names, else the one on the PATH.
    pub(crate) fn start() -> Self {
        let program = std::env::var_os("GETH").unwrap_or_else(|| OsString::from("geth"));
        let data = tempfile::tempdir().expect("a temporary directory");
        let (http, engine_api) = (free_port(), free_port());
        let process = Command::new(&program)
            .args(["--dev", "--dev.period", "1", "--nodiscover", "--maxpeers", "0", "--port", "0", "--ipcdisable"])
            .args([
                "--http",
                "--http.addr",
                "127.0.0.1",
                "--http.port",
                &http.port().to_string(),
                "--http.api",
                "eth",
                "--http.vhosts",
                "*",
            ])
            .args(["--authrpc.addr", "127.0.0.1", "--authrpc.port", &engine_api.port().to_string(), "--datadir"])
            .arg(data.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "{} does not start: {error}; let GETH name one (go install github.com/ethereum/go-ethereum/cmd/geth@v1.17.8)",
                    program.display()
                )
            });
        let geth = Self { process, node: Node::new(http), _data: data };
        let start = Instant::now();
        while let Err(error) = geth.node.try_ask("eth_chainId", &json!([])) {
            assert!(start.elapsed() < LIMIT, "geth does not listen on {http}: {error}");
            std::thread::sleep(super::world::POLL);
        }
        geth
    }
}

impl Drop for Geth {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
