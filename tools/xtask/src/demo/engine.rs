//! The engine of a demo, through all its incarnations.
//!
//! A kill ends an incarnation, not the account: CPU time, peak memory and counters are summed over all of them. Counters live in
//! the process and die with it, so they are read often, and once more right before a kill. CPU time is read after the end, from
//! the process that is dead and not yet reaped, so nothing of it is lost.
//!
//! The first incarnation takes any free port and says which; the next ones are told to take the same, so that the load finds them.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ureq::Agent;

use super::chain::{CHAIN_ID, log_file};
use super::http;
use super::options::Executor;
use crate::process::Child;
use crate::usage::{self, CpuTime};

/// The engine's log, in the demo's directory.
const LOG: &str = "engine.log";
/// The engine's data directory, in the demo's directory.
const DATA: &str = "data";
/// How long the engine may take from its start until it is ready, also with work to recover.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at an engine that is not ready yet.
const READY_INTERVAL: Duration = Duration::from_millis(20);
/// How long a clean stop may take.
const STOP_PATIENCE: Duration = Duration::from_secs(30);
/// Any free port of the loopback interface.
pub(crate) const ANY_PORT: &str = "127.0.0.1:0";
/// What the names of the environment variables that are settings of the engine begin with.
const SETTINGS_PREFIX: &str = "MILLRACE_";
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
    /// From a block seen to its transactions confirmed, all of them together, s.
    pub(crate) seen_to_confirmed_s: Option<f64>,
}

impl Counters {
    fn read(text: &str) -> Self {
        Self {
            http_requests: http::metric(text, "millrace_rpc_http_requests_total"),
            rpc_calls: http::metric(text, "millrace_rpc_calls_total"),
            fsyncs: http::metric(text, "millrace_fsyncs_total"),
            seen_to_confirmed_s: http::metric(text, "millrace_seen_to_confirmed_seconds_sum"),
        }
    }

    fn plus(self, other: Self) -> Self {
        let sum = |a: Option<f64>, b: Option<f64>| a.map_or(b, |a| Some(a + b.unwrap_or(0.0)));
        Self {
            http_requests: sum(self.http_requests, other.http_requests),
            rpc_calls: sum(self.rpc_calls, other.rpc_calls),
            fsyncs: sum(self.fsyncs, other.fsyncs),
            seen_to_confirmed_s: sum(self.seen_to_confirmed_s, other.seen_to_confirmed_s),
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
    /// What its shards run on.
    pub(crate) executor: Executor,
    child: Child,
    ended_cpu: CpuTime,
    ended_counters: Counters,
    counters: Counters,
    peak_memory_kib: u64,
}

impl Engine {
    /// Writes a configuration into `room`, starts the engine with it, and waits until it is ready. `command` is the engine's program,
    /// or what runs it and takes its arguments behind its own.
    pub(crate) fn start(
        mut command: Command,
        room: &Path,
        node: &str,
        keys: &Path,
        (executor, profile): (Executor, &str),
    ) -> anyhow::Result<Self> {
        let configure = |listen: &str| write_configuration(room, listen, node, keys, (executor, profile));
        let config = configure(ANY_PORT)?;
        command.arg("run").arg("--config").arg(&config);
        without_settings(&mut command);
        let child = start_child(&command, room)?;
        let mut engine = Self {
            command,
            room: room.to_owned(),
            agent: http::agent(),
            url: String::new(),
            executor,
            child,
            ended_cpu: CpuTime::default(),
            ended_counters: Counters::default(),
            counters: Counters::default(),
            peak_memory_kib: 0,
        };
        let address = engine.wait_for_address()?;
        engine.url = format!("http://{address}");
        configure(&address)?;
        engine.wait_until_ready()?;
        engine.executor = executor_in(&engine.log()).with_context(|| format!("{LOG} does not say which executor runs"))?;
        Ok(engine)
    }

    /// The process id of the present incarnation.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
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

    /// The address the first incarnation has bound, from the file it writes.
    fn wait_for_address(&mut self) -> anyhow::Result<String> {
        let file = self.room.join(DATA).join("api.addr");
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            self.check_alive()?;
            match std::fs::read_to_string(&file) {
                Ok(address) => return Ok(address.trim().to_owned()),
                Err(error) if Instant::now() > deadline => bail!(
                    "the engine did not say within {} s where it listens: {}: {error}; its last words:\n{}",
                    READY_PATIENCE.as_secs(),
                    file.display(),
                    self.last_words()
                ),
                Err(_) => std::thread::sleep(READY_INTERVAL),
            }
        }
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
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    /// The log of all incarnations; empty if it cannot be read.
    fn log(&self) -> String {
        std::fs::read_to_string(self.room.join(LOG)).unwrap_or_default()
    }
}

fn start_child(command: &Command, room: &Path) -> anyhow::Result<Child> {
    let log = log_file(room, LOG)?;
    Child::start_with_output("the engine", command, Stdio::null(), log.into())
}

/// Keeps the settings of this process's environment from `command`: the environment wins over the file, and an engine started here is
/// to run with what its file says.
pub(crate) fn without_settings(command: &mut Command) {
    remove_settings(command, std::env::vars_os().map(|(name, _)| name));
}

/// Keeps those of the environment's `names` that are settings of the engine from `command`.
fn remove_settings(command: &mut Command, names: impl Iterator<Item = OsString>) {
    for name in names.filter(|name| name.as_encoded_bytes().starts_with(SETTINGS_PREFIX.as_bytes())) {
        command.env_remove(name);
    }
}

/// The executor that the engine's log last told of, as `executor=…` in any spelling.
fn executor_in(log: &str) -> Option<Executor> {
    let told = log.split_whitespace().filter_map(|word| word.strip_prefix("executor=")).next_back()?;
    let letters = told.replace(['_', '"'], "").to_ascii_lowercase();
    match letters.as_str() {
        "iouring" => Some(Executor::IoUring),
        "epoll" => Some(Executor::Epoll),
        _ => None,
    }
}

/// Writes the settings of an engine whose data is in `room`, and says where.
pub(crate) fn write_configuration(
    room: &Path,
    listen: &str,
    node: &str,
    keys: &Path,
    (executor, profile): (Executor, &str),
) -> anyhow::Result<PathBuf> {
    let path = room.join("millrace.toml");
    let settings = configuration(room, listen, node, keys, (executor, profile));
    std::fs::write(&path, settings).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn configuration(room: &Path, listen: &str, node: &str, keys: &Path, (executor, profile): (Executor, &str)) -> String {
    // A JSON string is a TOML basic string.
    let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    format!(
        "data_dir = {}\nprofile = {}\n\n[api]\nlisten = \"{listen}\"\n\n[node]\nurl = \"{node}\"\nchain_id = {CHAIN_ID}\n\n[keys]\nfile = {}\n\n[shards]\nexecutor = \"{}\"\n",
        quoted(&room.join(DATA)),
        quoted(Path::new(profile)),
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
        assert_eq!(sum, Counters { http_requests: Some(12.0), rpc_calls: None, fsyncs: Some(2.0), seen_to_confirmed_s: None });
    }

    #[test]
    fn no_setting_of_the_environment_reaches_the_engine() {
        let mut command = Command::new("millrace");
        let names = ["PATH", "MILLRACE_API__LISTEN", "MILLRACE_NONSENSE", "MILLRACEX"];
        remove_settings(&mut command, names.into_iter().map(OsString::from));
        let removed: Vec<_> = command.get_envs().collect();
        assert_eq!(removed, [("MILLRACE_API__LISTEN".as_ref(), None), ("MILLRACE_NONSENSE".as_ref(), None)]);
    }

    #[test]
    fn the_executor_is_the_one_the_log_names_last() {
        let first = "2026-01-01T00:00:00Z  INFO millrace_engine::engine::start: running shards=2 executor=IoUring pinned=false\n";
        assert_eq!(executor_in(first), Some(Executor::IoUring));
        assert_eq!(executor_in(&format!("{first}x INFO y: running executor=epoll shards=2\n")), Some(Executor::Epoll));
        assert_eq!(executor_in("running executor=io_uring"), Some(Executor::IoUring));
        assert_eq!(executor_in("running shards=2\n"), None);
    }

    #[test]
    fn the_configuration_quotes_its_paths() {
        let text = configuration(Path::new("/a \"b\""), "127.0.0.1:7", "http://n", Path::new("/k"), (Executor::Epoll, "laptop"));
        assert!(text.contains(r#"data_dir = "/a \"b\"/data""#), "{text}");
        assert!(text.contains("profile = \"laptop\""), "{text}");
        assert!(text.contains("executor = \"epoll\"") && text.contains("listen = \"127.0.0.1:7\""), "{text}");
    }
}
