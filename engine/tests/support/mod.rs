//! A real `millrace` process in a directory of its own, and a minimal HTTP client that can also speak wrongly.
//!
//! Everything waits for an event with a limit: a line of the log, the end of the process, a reply.

// Each test program uses its part of this.
#![allow(dead_code)]

pub(crate) mod chain;
pub(crate) mod disk;
pub(crate) mod http;
pub(crate) mod node;
pub(crate) mod schema;
pub(crate) mod socket;
pub(crate) mod world;

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use flume::{Receiver, RecvTimeoutError};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use self::disk::SmallDisk;

/// Longest wait for anything: many times what a busy machine needs.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// The first account of the test mnemonic.
pub(crate) const SIGNER: &str = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
/// An address without a key here.
pub(crate) const STRANGER: &str = "0x000000000000000000000000000000000000dead";

/// Where one test keeps its files.
pub(crate) struct Place {
    directory: TempDir,
    /// Where the database is, if not on the disk of everybody.
    pub(crate) disk: Option<SmallDisk>,
    /// `POINT:TIMES`: where the next process ends itself. Only a build with the feature `points` knows of it.
    pub(crate) die_at: Option<String>,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self { directory: tempfile::tempdir().expect("a temporary directory"), disk: None, die_at: None }
    }

    /// Puts the database on a disk of its own with room for so many bytes.
    pub(crate) fn on_a_small_disk(&mut self, bytes: u64) {
        self.disk = Some(SmallDisk::mount(&self.data_dir(), bytes));
    }

    /// A command for the process of this place.
    fn command(&self, arguments: &[&str], config: &Path) -> Command {
        let program = OsString::from(env!("CARGO_BIN_EXE_millrace"));
        let mut command = self.disk.as_ref().map_or_else(|| Command::new(&program), |disk| disk.enter(&program));
        complete(&mut command, arguments, config);
        command.envs(self.die_at.as_ref().map(|at| ("MILLRACE_DIE_AT", at)));
        command
    }

    /// Where a file that the process calls `path` is for others.
    fn seen_from_outside(&self, path: &Path) -> PathBuf {
        self.disk.as_ref().map_or_else(|| path.to_owned(), |disk| disk.seen_from_outside(path))
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// Writes a configuration for this node; `more` is appended.
    pub(crate) fn config(&self, node: &str, more: &str) -> PathBuf {
        let data_dir = self.data_dir();
        let text = format!(
            "data_dir = {data_dir:?}\n\
             log = {{ format = \"json\" }}\n\
             node = {{ url = \"{node}\" }}\n\
             keys = {{ mnemonic = \"test test test test test test test test test test test junk\", count = 2 }}\n\
             shards = {{ count = 1, executor = \"epoll\" }}\n\
             {more}\n"
        );
        let file = self.directory.path().join("millrace.toml");
        std::fs::write(&file, text).expect("a writable directory");
        file
    }

    /// Writes a configuration with three addresses, this executor and short intervals; `more` has dotted keys and may not repeat these.
    pub(crate) fn hasty_config(&self, node: &str, executor: &str, more: &str) -> PathBuf {
        let data_dir = self.data_dir();
        let text = format!(
            "data_dir = {data_dir:?}\n\
             log = {{ format = \"json\" }}\n\
             keys = {{ mnemonic = \"test test test test test test test test test test test junk\", count = 3 }}\n\
             shards = {{ count = 2, executor = \"{executor}\" }}\n\
             node.url = \"{node}\"\n\
             node.poll_interval_ms = 20\n\
             node.request_timeout_ms = 500\n\
             txmgr.retry_min_ms = 20\n\
             txmgr.retry_max_ms = 200\n\
             txmgr.stage_retry_ms = 500\n\
             txmgr.persist_retry_ms = 200\n\
             txmgr.resend_after_blocks = 2\n\
             {more}\n"
        );
        let file = self.directory.path().join("millrace.toml");
        std::fs::write(&file, text).expect("a writable directory");
        file
    }
}

/// A dev chain with short blocks.
pub(crate) fn devnet(listen: SocketAddr) -> devnet::Handle {
    let config = devnet::Config { listen, block_time: Duration::from_millis(200), ..devnet::Config::default() };
    devnet::start(config).expect("a dev chain")
}

/// A free port on the loopback interface.
pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn command(arguments: &[&str], config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_millrace"));
    complete(&mut command, arguments, config);
    command
}

fn complete(command: &mut Command, arguments: &[&str], config: &Path) {
    command.args(arguments).arg("--config").arg(config);
    // The settings of whoever runs the tests are not the test's.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MILLRACE_") {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
}

/// Runs a process that is expected to end by itself with exit code 1; gives what it said.
pub(crate) fn failure(subcommand: &str, config: &Path) -> String {
    let mut process = Millrace::spawn(command(&[subcommand], config));
    let said = process.rest_of_the_log();
    assert_eq!(process.wait().code(), Some(1), "{said}");
    said
}

/// Runs a process that ends by itself; how it ended, and what it said on either stream.
pub(crate) fn said(arguments: &[&str], config: &Path) -> Output {
    command(arguments, config).stdout(Stdio::piped()).output().expect("the built binary")
}

/// Runs the engine on a free port.
const RUN: [&str; 3] = ["run", "--set", "api.listen=127.0.0.1:0"];

/// A running process; killed when dropped.
pub(crate) struct Millrace {
    process: Child,
    log: Receiver<String>,
    address: SocketAddr,
}

impl Millrace {
    fn spawn(mut command: Command) -> Self {
        let mut process = command.spawn().expect("the built binary");
        let (lines, log) = flume::unbounded();
        let stderr = BufReader::new(process.stderr.take().expect("a piped standard error"));
        std::thread::spawn(move || {
            // Ends with the process, or with the test.
            let _ = stderr.lines().map_while(Result::ok).try_for_each(|line| lines.send(line));
        });
        Self { process, log, address: any_port() }
    }

    /// Starts it on a free port and waits until it listens.
    pub(crate) fn start(place: &Place, config: &Path) -> Self {
        let mut millrace = Self::spawn(place.command(&RUN, config));
        millrace.wait_for("listening");
        millrace.read_address(place);
        millrace
    }

    /// Starts it as [`Millrace::start`] does; an error if it has ended before it listens.
    pub(crate) fn try_start(place: &Place, config: &Path) -> Result<Self, ExitStatus> {
        let mut millrace = Self::spawn(place.command(&RUN, config));
        if millrace.listens() {
            millrace.read_address(place);
            return Ok(millrace);
        }
        Err(millrace.wait())
    }

    /// Whether it has come to listen; otherwise it has ended.
    fn listens(&mut self) -> bool {
        let deadline = Instant::now() + LIMIT;
        loop {
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains("\"listening\"") => return true,
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => panic!("it neither listens nor ends"),
            }
        }
    }

    fn read_address(&mut self, place: &Place) {
        let file = place.seen_from_outside(&place.data_dir().join("api.addr"));
        let address = std::fs::read_to_string(file).expect("the address file");
        self.address = address.trim().parse().expect("an address");
    }

    /// Waits until it ends by itself; how, and what it said.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let said = self.rest_of_the_log();
        (self.wait(), said)
    }

    /// Waits for this message in the log; gives its whole line.
    pub(crate) fn wait_for(&mut self, message: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        let mut seen = String::new();
        loop {
            let line = match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => line,
                Err(error) => panic!("no \"{message}\" in the log ({error}); it said:\n{seen}"),
            };
            let event: Value = serde_json::from_str(&line).unwrap_or_default();
            if event["fields"]["message"] == message {
                return line;
            }
            seen = seen + &line + "\n";
        }
    }

    /// What it still says until it ends.
    fn rest_of_the_log(&mut self) -> String {
        let deadline = Instant::now() + LIMIT;
        let mut said = String::new();
        loop {
            match self.log.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => said = said + &line + "\n",
                Err(RecvTimeoutError::Disconnected) => return said,
                Err(RecvTimeoutError::Timeout) => panic!("it does not end; it said:\n{said}"),
            }
        }
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.rest_of_the_log();
        self.wait()
    }

    fn wait(&mut self) -> ExitStatus {
        self.process.wait().expect("a process of our own")
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    /// Sends a signal, while others may be asking it; does not wait.
    pub(crate) fn signal(&self, signal: Signal) {
        let id = nix::unistd::Pid::from_raw(self.process.id().try_into().expect("a process id"));
        nix::sys::signal::kill(id, signal).expect("a process of our own");
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends bytes as they are and reads until the server closes; status and body.
    pub(crate) fn exchange(&self, request: &[u8]) -> (u16, String) {
        http::exchange(self.address, request).unwrap_or_else(|error| panic!("no reply from {}: {error}", self.address))
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        self.exchange(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
    }

    /// Posts a body as JSON, with further header lines.
    pub(crate) fn post_with(&self, headers: &str, body: &str) -> (u16, String) {
        self.exchange(http::post(headers, body).as_bytes())
    }

    /// Posts a body that is answered with status 200; gives the reply.
    pub(crate) fn post(&self, body: &str) -> Value {
        let (status, reply) = self.post_with("Content-Type: application/json\r\n", body);
        assert_eq!(status, 200, "{reply}");
        serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{error}: {reply}"))
    }

    /// Calls a method; gives the whole reply.
    pub(crate) fn call(&self, method: &str, params: &Value) -> Value {
        self.post(&http::call(method, params))
    }

    /// Calls a method that must fail; gives code and message.
    pub(crate) fn error(&self, method: &str, params: &Value) -> (i64, String) {
        error_of(&self.call(method, params))
    }
}

impl Drop for Millrace {
    fn drop(&mut self) {
        // Fails only where it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Code and message of an error reply.
pub(crate) fn error_of(reply: &Value) -> (i64, String) {
    let error = &reply["error"];
    let code = error["code"].as_i64().unwrap_or_else(|| panic!("no error: {reply}"));
    (code, error["message"].as_str().expect("a message").to_owned())
}
