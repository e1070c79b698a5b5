//! A node's process: waited for until it answers, killed when dropped.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use ureq::Agent;

use crate::NodeError;

/// How long a node may take until it answers: a second or two, and many more on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often to ask whether it answers: a process started elsewhere tells no event.
const INTERVAL: Duration = Duration::from_millis(50);
/// Attempts to start: a port that was free may be taken a moment later.
const ATTEMPTS: u32 = 3;
/// What of a node's log is shown when it fails.
const SHOWN_BYTES: u64 = 2_000;
/// The node's log in its directory.
const LOG: &str = "node.log";

/// A running node with a directory of its own. Both are gone when this is dropped.
#[derive(Debug)]
pub struct Running {
    name: &'static str,
    /// How it was started, and is started again.
    command: Command,
    child: Child,
    address: SocketAddr,
    /// Removed after the process has ended.
    directory: TempDir,
}

impl Running {
    /// Starts what `command` gives for a directory and a port, and waits until it answers `eth_chainId` there.
    pub(crate) fn start(
        name: &'static str,
        mut command: impl FnMut(&TempDir, u16) -> Result<Command, NodeError>,
    ) -> Result<Self, NodeError> {
        let mut attempts = 1;
        loop {
            let directory = tempfile::tempdir().map_err(NodeError::system("creating a temporary directory"))?;
            let port = free_port()?;
            let mut command = command(&directory, port)?;
            let log = File::create(directory.path().join(LOG)).map_err(NodeError::system("creating a log"))?;
            let errors = log.try_clone().map_err(NodeError::system("creating a log"))?;
            command.stdin(Stdio::null()).stdout(log).stderr(errors);
            let child = command.spawn().map_err(NodeError::system(format!("starting {name}")))?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let mut running = Self { name, command, child, address, directory };
            match running.wait_until_it_answers() {
                Err(NodeError::Failed { .. }) if attempts < ATTEMPTS => attempts += 1,
                outcome => return outcome.map(|()| running),
            }
        }
    }

    /// Where it listens, for HTTP and for WebSocket.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its JSON-RPC over HTTP.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its JSON-RPC over WebSocket.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.address)
    }

    /// Its process id, for a test that stops it for a while.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Tells it to stop, waits until it has ended, does `meanwhile` with its directory, and starts it again at the same place.
    ///
    /// # Errors
    ///
    /// When it does not end, `meanwhile` fails, or it does not run again.
    pub fn restart(&mut self, meanwhile: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), NodeError> {
        let name = self.name;
        let system = |what: &str| NodeError::system(format!("{what} {name}"));
        let id = self.child.id().try_into().map(Pid::from_raw).map_err(io::Error::other).map_err(system("naming"))?;
        kill(id, Signal::SIGTERM).map_err(io::Error::from).map_err(system("stopping"))?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().map_err(system("waiting for"))?.is_none() {
            if Instant::now() > deadline {
                return Err(system("stopping")(io::ErrorKind::TimedOut.into()));
            }
            std::thread::sleep(INTERVAL);
        }
        meanwhile(self.directory.path()).map_err(system("preparing the restart of"))?;
        self.child = self.command.spawn().map_err(system("starting"))?;
        self.wait_until_it_answers()
    }

    fn wait_until_it_answers(&mut self) -> Result<(), NodeError> {
        let agent: Agent = Agent::config_builder().timeout_global(Some(PATIENCE)).build().new_agent();
        let deadline = Instant::now() + PATIENCE;
        while !answers(&agent, &self.url()) {
            if let Some(status) = self.child.try_wait().map_err(NodeError::system(format!("waiting for {}", self.name)))? {
                return Err(NodeError::Failed { what: self.name.to_owned(), status, output: self.log_end() });
            }
            if Instant::now() > deadline {
                let (what, port) = (self.name.to_owned(), self.address.port());
                return Err(NodeError::Silent { what, port, patience: PATIENCE, output: self.log_end() });
            }
            std::thread::sleep(INTERVAL);
        }
        Ok(())
    }

    /// The end of what it wrote.
    pub fn log_end(&self) -> String {
        let read = || -> io::Result<String> {
            let mut file = File::open(self.directory.path().join(LOG))?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(SHOWN_BYTES)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_else(|error| format!("(its log cannot be read: {error})"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn answers(agent: &Agent, url: &str) -> bool {
    let request = r#"{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[]}"#;
    let response = agent.post(url).header("content-type", "application/json").send(request);
    response.is_ok_and(|mut response| response.body_mut().read_to_string().is_ok_and(|body| body.contains("\"result\"")))
}

/// A port that was free a moment ago: neither node tells the port it took in a form to rely on.
fn free_port() -> Result<u16, NodeError> {
    let what = "looking for a free port";
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(NodeError::system(what))?;
    Ok(listener.local_addr().map_err(NodeError::system(what))?.port())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_node_that_ends_at_once_is_an_error_with_its_words() {
        let command = |_: &TempDir, _: u16| {
            let mut command = Command::new("sh");
            command.args(["-c", "echo the port is taken; exit 3"]);
            Ok(command)
        };
        let error = Running::start("a shell", command).unwrap_err().to_string();
        assert!(error.contains("a shell") && error.contains("the port is taken") && error.contains('3'), "{error}");
    }
}
