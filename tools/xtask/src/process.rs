//! Children that never outlive this process.
//!
//! Three nets, because a process can end in three ways. An error or a panic drops the [`Child`] guards, which kill and reap. A
//! signal (Ctrl-C, termination, hang-up) is taken by a thread that kills every registered child and exits. And where util-linux's
//! `setpriv` is installed, each child is started through it with a parent-death signal, so that the kernel ends it even when this
//! process is killed outright; for that the children must be started on the main thread, which is the one that lives longest.
//!
//! Each child leads a process group of its own, and every signal goes to the group: cargo's compilers, and the chain and the
//! engine that a test under `cargo test` started, end with cargo. The last net alone catches only the child itself.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::usage::{self, CpuTime};

/// Ids of the children that run, each also the id of its process group. Held while one is started, ended or reaped, so that no id
/// in it can be another process's.
static LIVE: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Time between two looks at a child that was asked to stop.
const STOP_INTERVAL: Duration = Duration::from_millis(20);

fn live() -> MutexGuard<'static, Vec<u32>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the thread that ends all children and this process when a signal asks for it.
pub(crate) fn end_children_on_signals() -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("taking over signals")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Never released: nothing may be started between here and the exit.
            let children = live();
            for child in children.iter().copied().filter_map(pid) {
                // A group that has just ended by itself is what was wanted.
                let _ = kill_process_group(child, Signal::KILL);
            }
            eprintln!("xtask: ended by signal {signal}; its {} children too", children.len());
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

fn pid(id: u32) -> Option<Pid> {
    i32::try_from(id).ok().and_then(Pid::from_raw)
}

/// A running child; killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Child {
    name: &'static str,
    inner: std::process::Child,
    ended: Option<ExitStatus>,
}

impl Child {
    /// Starts `command` as a child that ends with this process. Call it on the main thread.
    pub(crate) fn start(name: &'static str, command: &Command) -> anyhow::Result<Self> {
        Self::start_with_output(name, command, Stdio::inherit(), Stdio::inherit())
    }

    /// As [`Child::start`], with the child's stdout and stderr going where they are told.
    pub(crate) fn start_with_output(name: &'static str, command: &Command, stdout: Stdio, stderr: Stdio) -> anyhow::Result<Self> {
        let mut bound = bind_to_parent(command);
        bound.stdin(Stdio::null()).stdout(stdout).stderr(stderr).process_group(0);
        let mut children = live();
        let inner = bound.spawn().with_context(|| format!("starting {name} ({})", command.get_program().display()))?;
        children.push(inner.id());
        drop(children);
        Ok(Self { name, inner, ended: None })
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.inner.id()
    }

    /// The child's stdout, if it was piped and not yet taken.
    pub(crate) fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.inner.stdout.take()
    }

    /// Waits until the child ends by itself.
    pub(crate) fn wait(&mut self) -> anyhow::Result<ExitStatus> {
        if self.ended.is_none() {
            // Waited for without reaping, so that the id stays ours until the registry is locked.
            self.look(WaitIdOptions::empty())?;
        }
        self.reap()
    }

    /// How the child ended, or `None` while it runs.
    pub(crate) fn poll(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        if self.ended.is_some() {
            return Ok(self.ended);
        }
        if self.look(WaitIdOptions::NOHANG)? { self.reap().map(Some) } else { Ok(None) }
    }

    /// Kills the child at once (SIGKILL), and returns the CPU time it had used in all.
    pub(crate) fn kill(&mut self) -> anyhow::Result<CpuTime> {
        self.signal(Signal::KILL)?;
        self.look(WaitIdOptions::empty())?;
        // A process that has ended and is not yet reaped still has its account.
        let used = usage::cpu_time(self.id());
        self.reap()?;
        used
    }

    /// Asks the child to stop (SIGTERM); an error if it is still there after `patience`.
    pub(crate) fn stop(&mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.poll()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("{} did not stop within {} s of SIGTERM", self.name, patience.as_secs());
            }
            std::thread::sleep(STOP_INTERVAL);
        }
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        if self.ended.is_some() {
            bail!("{} has already ended", self.name);
        }
        let group = pid(self.id()).context("a process id fits")?;
        kill_process_group(group, signal).with_context(|| format!("sending a signal to {}", self.name))
    }

    /// Whether the child has ended, which it is waited for unless `how` says `NOHANG`. It is not reaped.
    fn look(&self, how: WaitIdOptions) -> anyhow::Result<bool> {
        let target = pid(self.id()).context("a process id fits")?;
        loop {
            match waitid(WaitId::Pid(target), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | how) {
                Err(rustix::io::Errno::INTR) => {}
                other => return other.map(|status| status.is_some()).with_context(|| format!("waiting for {}", self.name)),
            }
        }
    }

    /// Reaps the child, which has ended, and ends what it left behind in its group.
    fn reap(&mut self) -> anyhow::Result<ExitStatus> {
        if let Some(status) = self.ended {
            return Ok(status);
        }
        let mut children = live();
        // Until the child is reaped nobody else can get the group's id. Most children leave nobody there.
        if let Some(group) = pid(self.inner.id()) {
            let _ = kill_process_group(group, Signal::KILL);
        }
        let status = self.inner.wait().with_context(|| format!("reaping {}", self.name))?;
        children.retain(|id| *id != self.inner.id());
        self.ended = Some(status);
        Ok(status)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.ended.is_none() && self.signal(Signal::KILL).is_ok() {
            // Nobody is left to tell of an error here; the process is dead either way.
            let _ = self.reap();
        }
    }
}

/// Runs `command` to its end; an error names it if it fails.
pub(crate) fn run(name: &'static str, command: &Command) -> anyhow::Result<()> {
    let status = Child::start(name, command)?.wait()?;
    if !status.success() {
        bail!("{name} failed ({status}): {}", describe(command));
    }
    Ok(())
}

/// The command as a person would type it.
pub(crate) fn describe(command: &Command) -> String {
    std::iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// The same command, started through `setpriv --pdeathsig KILL` where that exists; it keeps the process id.
fn bind_to_parent(command: &Command) -> Command {
    let mut bound = if has_setpriv() {
        let mut wrapper = Command::new("setpriv");
        wrapper.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
        wrapper
    } else {
        Command::new(command.get_program())
    };
    bound.args(command.get_args());
    for (key, value) in command.get_envs() {
        match value {
            Some(value) => bound.env(key, value),
            None => bound.env_remove(key),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        bound.current_dir(directory);
    }
    bound
}

fn has_setpriv() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        let output = Command::new("setpriv").arg("--help").output();
        output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("--pdeathsig"))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{BufRead as _, BufReader};

    use super::*;

    fn sleeper() -> Command {
        let mut command = Command::new("sleep");
        command.arg("600");
        command
    }

    fn is_gone(id: u32) -> bool {
        !std::path::Path::new(&format!("/proc/{id}")).exists()
    }

    #[test]
    fn a_dropped_child_is_gone() {
        let child = Child::start("sleep", &sleeper()).unwrap();
        let id = child.id();
        assert!(live().contains(&id));
        drop(child);
        assert!(is_gone(id) && !live().contains(&id));
    }

    /// A shell with a child of its own, and the id of that one.
    fn family() -> (Child, u32) {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        let mut child = Child::start_with_output("the shell", &command, Stdio::piped(), Stdio::inherit()).unwrap();
        let mut line = String::new();
        BufReader::new(child.take_stdout().unwrap()).read_line(&mut line).unwrap();
        (child, line.trim().parse().unwrap())
    }

    /// Whether process `id` has ended within ten seconds; one that no one reaps counts.
    fn ends(id: u32) -> bool {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            match std::fs::read_to_string(format!("/proc/{id}/stat")) {
                Ok(stat) if !stat.contains(") Z ") => std::thread::sleep(STOP_INTERVAL),
                _ => return true,
            }
        }
        false
    }

    #[test]
    fn what_a_child_has_started_ends_with_it() {
        let (child, grandchild) = family();
        assert!(!is_gone(grandchild));
        drop(child);
        assert!(ends(grandchild), "{grandchild} lives on after its parent was dropped");

        let (mut child, grandchild) = family();
        child.kill().unwrap();
        assert!(ends(grandchild), "{grandchild} lives on after its parent was killed");

        let (mut child, grandchild) = family();
        child.stop(Duration::from_secs(10)).unwrap();
        assert!(ends(grandchild), "{grandchild} lives on after its parent was stopped");
    }

    #[test]
    fn a_child_that_ends_by_itself_leaves_nobody_behind() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 >&- & echo $!"]);
        let mut child = Child::start_with_output("the shell", &command, Stdio::piped(), Stdio::inherit()).unwrap();
        let text = std::io::read_to_string(child.take_stdout().unwrap()).unwrap();
        assert!(child.wait().unwrap().success());
        assert!(ends(text.trim().parse().unwrap()), "{} lives on", text.trim());
    }

    #[test]
    fn a_killed_child_leaves_its_account_and_cannot_be_killed_twice() {
        let mut child = Child::start("sleep", &sleeper()).unwrap();
        assert!(child.kill().unwrap().micros() < 1_000_000);
        assert!(is_gone(child.id()));
        assert!(child.kill().is_err());
    }

    #[test]
    fn a_child_that_is_asked_to_stop_stops() {
        let mut child = Child::start("sleep", &sleeper()).unwrap();
        assert!(child.poll().unwrap().is_none());
        assert!(!child.stop(Duration::from_secs(10)).unwrap().success(), "ended by a signal");
    }

    #[test]
    fn a_command_that_fails_is_named() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3"]);
        let message = format!("{:#}", run("the shell", &command).unwrap_err());
        assert!(message.contains("the shell") && message.contains("exit 3"), "{message}");
    }
}
