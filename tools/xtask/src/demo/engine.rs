//! The engine of a demo, through all its incarnations.
//!
//! A kill ends an incarnation, not the account: CPU time, peak memory and counters are summed over all of them. Counters live in
//! the process and die with it, so they are read often, and once more right before a kill. CPU time is read after the end, from
//! the process that is dead and not yet reaped, so nothing of it is lost.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ureq::Agent;

use super::chain::{CHAIN_ID, free_port, log_file};
use super::http;
use super::options::Executor;
use crate::process::Child;
use crate::usage::{self, CpuTime};

/// How long the engine may take from its start until it is ready, also with work to recover.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at an engine that is not ready yet.
const READY_INTERVAL: Duration = Duration::from_millis(20);
/// How long a clean stop may take.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// Lines of the log that are shown when the engine ends by itself.
const LOG_TAIL_LINES: usize = 20;

/// The engine's counters that a report is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counters {
    /// HTTP requests to the node.
    pub(crate) http_requests: Option<f64>,
    /// JSON-RPC calls in them.
    pub(crate) rpc_calls: Option<f64>,
    /// fsyncs of the store.
    pub(crate) fsyncs: Option<f64>,
}

impl Counters {
    fn read(text: &str) -> Self {
        Self {
            http_requests: http::metric(text, "millrace_rpc_http_requests_total"),
            rpc_calls: http::metric(text, "millrace_rpc_calls_total"),
            fsyncs: http::metric(text, "millrace_fsyncs_total"),
        }
    }

    fn plus(self, other: Self) -> Self {
        let sum = |a: Option<f64>, b: Option<f64>| a.map_or(b, |a| Some(a + b.unwrap_or(0.0)));
        Self {
            http_requests: sum(self.http_requests, other.http_requests),
            rpc_calls: sum(self.rpc_calls, other.rpc_calls),
            fsyncs: sum(self.fsyncs, other.fsyncs),
        }
    }
}

/// What all incarnations have used together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Used {
    /// CPU time, user and system.
    pub(crate) cpu: CpuTime,
    /// Largest resident memory of any incarnation, KiB.
    pub(crate) peak_memory_kib: u64,
    /// Counters.
    pub(crate) counters: Counters,
}

/// The engine.
#[derive(Debug)]
pub(crate) struct Engine {
    command: Command,
    room: PathBuf,
    agent: Agent,
    /// Where its JSON-RPC is.
    pub(crate) url: String,
    child: Child,
    ended_cpu: CpuTime,
    ended_counters: Counters,
    counters: Counters,
    peak_memory_kib: u64,
}

impl Engine {
    /// Writes a configuration into `room`, starts the engine with it, and waits until it is ready.
    pub(crate) fn start(binary: &Path, room: &Path, node: &str, keys: &Path, executor: Executor) -> anyhow::Result<Self> {
        let port = free_port()?;
        let config = room.join("millrace.toml");
        std::fs::write(&config, configuration(room, port, node, keys, executor))
            .with_context(|| format!("writing {}", config.display()))?;
        let mut command = Command::new(binary);
        command.arg("run").arg("--config").arg(&config);
        let child = start_child(&command, room)?;
        let mut engine = Self {
            command,
            room: room.to_owned(),
            agent: http::agent(),
            url: format!("http://127.0.0.1:{port}"),
            child,
            ended_cpu: CpuTime::default(),
            ended_counters: Counters::default(),
            counters: Counters::default(),
            peak_memory_kib: 0,
        };
        engine.wait_until_ready()?;
        Ok(engine)
    }

    /// Reads counters and memory of the present incarnation. An engine that does not answer now is read next time.
    pub(crate) fn sample(&mut self) {
        if let Some(peak) = usage::peak_memory_kib(self.child.id()) {
            self.peak_memory_kib = self.peak_memory_kib.max(peak);
        }
        if let Ok((200, text)) = http::get(&self.agent, &format!("{}/metrics", self.url)) {
            self.counters = Counters::read(&text);
        }
    }

    /// Kills the engine (SIGKILL), starts it again with the same configuration, and waits until it is ready.
    pub(crate) fn kill_and_restart(&mut self) -> anyhow::Result<()> {
        self.sample();
        self.ended_cpu = self.ended_cpu + self.child.kill()?;
        self.ended_counters = self.ended_counters.plus(self.counters);
        self.counters = Counters::default();
        self.child = start_child(&self.command, &self.room)?;
        self.wait_until_ready()
    }

    /// What all incarnations have used until now.
    pub(crate) fn used(&mut self) -> anyhow::Result<Used> {
        let cpu = self.ended_cpu + usage::cpu_time(self.child.id())?;
        self.sample();
        Ok(Used { cpu, peak_memory_kib: self.peak_memory_kib, counters: self.ended_counters.plus(self.counters) })
    }

    /// An error with the end of the log if the engine has ended by itself.
    pub(crate) fn check_alive(&mut self) -> anyhow::Result<()> {
        match self.child.poll()? {
            None => Ok(()),
            Some(status) => bail!("the engine ended by itself ({status}); its last words:\n{}", self.last_words()),
        }
    }

    /// Asks the engine to stop, which must be clean.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        let status = self.child.stop(STOP_PATIENCE)?;
        if !status.success() {
            bail!("the engine did not stop cleanly ({status}); its last words:\n{}", self.last_words());
        }
        Ok(())
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            self.check_alive()?;
            let reason = match http::get(&self.agent, &format!("{}/readyz", self.url)) {
                Ok((200, _)) => return Ok(()),
                Ok((status, body)) => format!("{status} {}", body.trim()),
                Err(error) => format!("{error:#}"),
            };
            if Instant::now() > deadline {
                bail!("the engine was not ready within {} s: {reason}; its last words:\n{}", READY_PATIENCE.as_secs(), self.last_words());
            }
            std::thread::sleep(READY_INTERVAL);
        }
    }

    fn last_words(&self) -> String {
        let text = std::fs::read_to_string(self.room.join("engine.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }
}

fn start_child(command: &Command, room: &Path) -> anyhow::Result<Child> {
    let log = log_file(room, "engine.log")?;
    Child::start_with_output("the engine", command, Stdio::null(), log.into())
}

fn configuration(room: &Path, port: u16, node: &str, keys: &Path, executor: Executor) -> String {
    // A JSON string is a TOML basic string.
    let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    format!(
        "data_dir = {}\n\n[api]\nlisten = \"127.0.0.1:{port}\"\n\n[node]\nurl = \"{node}\"\nchain_id = {CHAIN_ID}\n\n[keys]\nfile = {}\n\n[shards]\nexecutor = \"{}\"\n",
        quoted(&room.join("data")),
        quoted(keys),
        executor.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_incarnations_add_up_and_a_missing_one_stays_missing() {
        let first = Counters::read("millrace_rpc_http_requests_total 5\nmillrace_fsyncs_total 2\n");
        let second = Counters::read("millrace_rpc_http_requests_total 7\n");
        let sum = Counters::default().plus(first).plus(second);
        assert_eq!(sum, Counters { http_requests: Some(12.0), rpc_calls: None, fsyncs: Some(2.0) });
    }

    #[test]
    fn the_configuration_quotes_its_paths() {
        let text = configuration(Path::new("/a \"b\""), 7, "http://n", Path::new("/k"), Executor::Epoll);
        assert!(text.contains(r#"data_dir = "/a \"b\"/data""#), "{text}");
        assert!(text.contains("executor = \"epoll\"") && text.contains("listen = \"127.0.0.1:7\""), "{text}");
    }
}
