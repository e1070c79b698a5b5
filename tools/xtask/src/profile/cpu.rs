//! Where the engine's CPU time goes, by `perf`.
//!
//! Sampled by the kernel's CPU clock, which every machine has, with stacks unwound from what the compiler wrote for panics: nothing is
//! built anew for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::stacks::{Stacks, short};
use crate::process::{self, Child};

/// Samples for each second of CPU time; no divisor of anything that happens every second.
pub(super) const HERTZ: u64 = 499;
/// Bytes of stack that are copied with each sample: deep enough for the frames of an async call.
const STACK_BYTES: u32 = 16_384;
/// How long perf may take to write what it has in memory.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// A recording under way; ends when dropped.
#[derive(Debug)]
pub(super) struct Recording {
    child: Child,
    file: PathBuf,
}

impl Recording {
    /// Records all threads of process `id` from now on.
    pub(super) fn start(id: u32, room: &Path) -> anyhow::Result<Self> {
        let file = room.join("perf.data");
        let mut command = Command::new("perf");
        command.args(["record", "--quiet", "--event", "cpu-clock", "--freq", &HERTZ.to_string(), "--pid", &id.to_string()]);
        command.args(["--call-graph", &format!("dwarf,{STACK_BYTES}"), "--output"]).arg(&file);
        let child = Child::start("perf record", &command).context("install perf (Debian's package linux-perf)")?;
        Ok(Self { child, file })
    }

    /// Stops, and sorts what was recorded by kind of thread.
    pub(super) fn finish(mut self) -> anyhow::Result<BTreeMap<Kind, Stacks>> {
        if let Some(status) = self.child.poll()? {
            bail!("perf ended by itself ({status}); it may need to be root, or kernel.perf_event_paranoid at 1 or less");
        }
        // perf ends by the signal that it was asked to stop with.
        self.child.stop(STOP_PATIENCE)?;
        let mut script = Command::new("perf");
        script.args(["script", "--no-inline", "--fields", "comm,tid,ip,sym", "--input"]).arg(&self.file);
        let mut child = Child::start_with_output("perf script", &script, Stdio::piped(), Stdio::null())?;
        let text = std::io::read_to_string(child.take_stdout().context("the output is piped")?)?;
        let status = child.wait()?;
        ensure!(status.success(), "perf script failed ({status}): {}", process::describe(&script));
        let threads = read(&text);
        ensure!(!threads.is_empty(), "perf recorded nothing; try `perf record --event cpu-clock true`");
        Ok(threads)
    }
}

/// A kind of thread of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Runs a part of the addresses.
    Shard,
    /// Makes group commits.
    Writer,
    /// The control thread: the interface.
    Api,
    /// Reads the store.
    Reader,
    /// RocksDB's own: flushes and compactions.
    Rocksdb,
}

impl Kind {
    /// In file names and tables.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Shard => "shard",
            Self::Writer => "writer",
            Self::Api => "api",
            Self::Reader => "reader",
            Self::Rocksdb => "rocksdb",
        }
    }

    /// By the thread's name; the main thread has the program's.
    fn of(name: &str) -> Self {
        let name = name.trim();
        if name.starts_with("shard") {
            Self::Shard
        } else if name.starts_with("writer") {
            Self::Writer
        } else if name.starts_with("reader") {
            Self::Reader
        } else if name.starts_with("rocksdb") {
            Self::Rocksdb
        } else {
            Self::Api
        }
    }
}

/// Reads perf's text: for each sample a line with thread name and id, then a line for each frame, innermost first, then an empty one.
fn read(text: &str) -> BTreeMap<Kind, Stacks> {
    let mut threads: BTreeMap<Kind, Stacks> = BTreeMap::new();
    for sample in text.split("\n\n") {
        let mut lines = sample.lines().filter(|line| !line.trim().is_empty());
        let Some((name, _id)) = lines.next().and_then(|head| head.trim().rsplit_once(' ')) else { continue };
        let mut frames: Vec<String> = lines.map(frame).collect();
        frames.dedup_by(|a, b| a == b && a == "[unknown]");
        frames.reverse();
        let stack = if frames.is_empty() { "[unknown]".to_owned() } else { frames.join(";") };
        threads.entry(Kind::of(name)).or_default().add(stack, 1);
    }
    threads
}

/// `    7f12ab symbol`
fn frame(line: &str) -> String {
    line.trim().split_once(' ').map_or_else(|| "[unknown]".to_owned(), |(_, symbol)| short(symbol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_sorted_by_kind_of_thread() {
        let text = "shard-0  101 \n\t 55aa engine::sign::h0123456789abcdef\n\t 55ab engine::run\n\nrocksdb:low  7 \n\t 1 compact\n\n\
                    shard-1  102 \n\t 55aa engine::sign::h0123456789abcdef\n\t 55ab engine::run\n\nmillrace 100\n\t 9 [unknown]\n\t 8 [unknown]\n";
        let threads = read(text);
        assert_eq!(threads[&Kind::Shard], Stacks::folded("engine::run;engine::sign 2"));
        assert_eq!(threads[&Kind::Rocksdb].total(), 1);
        assert_eq!(threads[&Kind::Api], Stacks::folded("[unknown] 1"));
    }
}
