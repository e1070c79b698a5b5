//! gungraun's runner and valgrind: what counts instructions.
//!
//! The runner must have the version of the library that the benches are linked with, so the lock file says which one. It is built into
//! the user's cache, a directory for each version, where another clone finds it again.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::{Need, provide};
use crate::cargo::{cache_dir, cargo};
use crate::process;

/// The runner of the version in the lock file, built if it is not there.
pub(crate) fn gungraun(root: &Path) -> anyhow::Result<PathBuf> {
    provide(&[Need::Valgrind])?;
    let version = locked(&std::fs::read_to_string(root.join("Cargo.lock")).context("reading Cargo.lock")?)?;
    let directory = cache_dir()?.join(format!("gungraun-{version}"));
    let runner = directory.join("bin/gungraun-runner");
    if runner.is_file() {
        return Ok(runner);
    }
    // In a directory of its own, so that it shares no artifact with the workspace.
    let room = tempfile::tempdir().context("creating a directory to build gungraun-runner in")?;
    let mut install = cargo(root, &["install", "--locked", "gungraun-runner", "--version", &version, "--root"])?;
    install.arg(&directory).env("CARGO_TARGET_DIR", room.path());
    process::run("cargo install", &install).with_context(|| format!("gungraun-runner {version} cannot be built"))?;
    ensure!(runner.is_file(), "cargo install left no {}", runner.display());
    Ok(runner)
}

/// The version of the package `gungraun-runner` in a lock file.
fn locked(lock: &str) -> anyhow::Result<String> {
    let lines = lock.lines().skip_while(|line| *line != "name = \"gungraun-runner\"").nth(1);
    let version = lines.and_then(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
    version.map(str::to_owned).context("Cargo.lock names no version of gungraun-runner")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_says_which_runner() {
        let version = locked(include_str!("../../../../Cargo.lock")).expect("the benches are linked with gungraun");
        assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{version}");
        assert!(locked("name = \"other\"\nversion = \"1.0.0\"\n").is_err());
    }
}
