//! What the engine allocates, by heaptrack.
//!
//! heaptrack's library is loaded into the engine before the C library and writes down each allocation; its interpreter adds the names.
//! That sees the system's allocator only, so the engine that is watched is built on that one. Counts are those of the engine
//! that ships; times are not, and are not looked at.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};

use super::stacks::Stacks;
use crate::process::{self, Child};

/// Directories where distributions put heaptrack's own files.
const DIRECTORIES: [&str; 4] =
    ["/usr/lib/heaptrack", "/usr/lib64/heaptrack", "/usr/lib/x86_64-linux-gnu/heaptrack", "/usr/local/lib/heaptrack"];
/// The raw account, in the run's directory.
const RAW: &str = "heaptrack.raw";

/// heaptrack, as it is installed.
pub(super) struct Heaptrack {
    directory: PathBuf,
}

impl Heaptrack {
    pub(super) fn find() -> anyhow::Result<Self> {
        let has = |directory: &PathBuf| directory.join("libheaptrack_preload.so").is_file();
        let directory = DIRECTORIES.into_iter().map(PathBuf::from).find(has);
        Ok(Self { directory: directory.context("heaptrack is not there; install it (Debian's package heaptrack)")? })
    }

    /// `engine`, watched. `env` sets the variables for the engine alone: nothing between here and there is to be watched.
    pub(super) fn command(&self, engine: &Path, room: &Path) -> Command {
        let mut command = Command::new("env");
        command.arg(format!("LD_PRELOAD={}", self.directory.join("libheaptrack_preload.so").display()));
        command.arg(format!("DUMP_HEAPTRACK_OUTPUT={}", room.join(RAW).display())).arg(engine);
        command
    }

    /// The account of an engine that has ended: allocations by stack.
    pub(super) fn read(&self, room: &Path) -> anyhow::Result<Stacks> {
        let (raw, named, folded) = (room.join(RAW), room.join("heaptrack.txt"), room.join("heaptrack.folded"));
        let open = |path: &Path| std::fs::File::open(path).with_context(|| format!("reading {}", path.display()));
        let create = |path: &Path| std::fs::File::create(path).with_context(|| format!("creating {}", path.display()));
        let mut interpret = Command::new("sh");
        interpret.args(["-c", "exec \"$0\" < \"$1\""]).arg(self.directory.join("libexec/heaptrack_interpret")).arg(&raw);
        open(&raw)?;
        let status = Child::start_with_output("heaptrack_interpret", &interpret, create(&named)?.into(), Stdio::null())?.wait()?;
        ensure!(status.success(), "heaptrack_interpret failed ({status}): {}", process::describe(&interpret));
        let mut print = Command::new("heaptrack_print");
        print.args(["--print-peaks", "0", "--print-allocators", "0", "--print-temporary", "0", "--flamegraph-cost-type", "allocations"]);
        print.arg("--print-flamegraph").arg(&folded).arg("--file").arg(&named);
        let status = Child::start_with_output("heaptrack_print", &print, Stdio::null(), Stdio::null())?.wait()?;
        ensure!(status.success(), "heaptrack_print failed ({status}): {}", process::describe(&print));
        let text = std::fs::read(&folded).with_context(|| format!("reading {}", folded.display()))?;
        Ok(Stacks::folded(&String::from_utf8_lossy(&text)))
    }
}
