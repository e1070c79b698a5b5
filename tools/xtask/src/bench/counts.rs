//! `cargo xtask bench --counts`: the instructions of the pure stages, against the limits that are committed.
//!
//! ```text
//! cargo bench --bench counts ─► gungraun-runner ─► valgrind, once for each bench ─► a line of JSON each ─► limits
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;

use super::limits::Limits;
use crate::cargo::cargo;
use crate::process::{self, Child};
use crate::setup;

/// Instructions by the name of the bench, `group/function/parameter`.
pub(super) type Counts = BTreeMap<String, u64>;

/// Counts and compares.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    let limits = Limits::read(&file(root))?;
    let counts = count(root)?;
    let (table, findings) = limits.judge(&counts);
    print!("{table}");
    if findings.is_empty() {
        return Ok(());
    }
    let hint = limits.of_another_compiler(&rustc()?).unwrap_or_default();
    bail!(
        "{}\n{hint}find out why; if it is meant to be so, renew the limits with `cargo xtask bench --counts --renew`, commit bench/counts.toml and say why",
        findings.join("\n")
    )
}

/// Counts and writes the limits.
pub(super) fn renew(root: &Path) -> anyhow::Result<()> {
    let path = file(root);
    let counts = count(root)?;
    if let Ok(limits) = Limits::read(&path) {
        print!("{}", limits.judge(&counts).0);
    }
    Limits::of(counts, rustc()?).write(&path)?;
    eprintln!("xtask: wrote {}", path.display());
    Ok(())
}

fn file(root: &Path) -> PathBuf {
    root.join("bench/counts.toml")
}

/// The compiler, as it names itself in short.
fn rustc() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("--version").stdin(Stdio::null()).output().context("starting rustc")?;
    ensure!(output.status.success(), "rustc does not tell its version");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs all benches under callgrind.
fn count(root: &Path) -> anyhow::Result<Counts> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        "the limits are instructions of x86_64, and this machine is {}; run this on x86_64",
        std::env::consts::ARCH
    );
    let runner = setup::gungraun(root)?;
    let mut command = cargo(root, &["bench", "--workspace", "--bench", "counts"])?;
    command.env("GUNGRAUN_RUNNER", runner).env("GUNGRAUN_OUTPUT_FORMAT", "json").env("GUNGRAUN_CALLGRIND_ARGS", "--cache-sim=no");
    let mut child = Child::start_with_output("cargo bench", &command, Stdio::piped(), Stdio::inherit())?;
    let text = std::io::read_to_string(child.take_stdout().context("the output is piped")?)?;
    let status = child.wait()?;
    ensure!(status.success(), "cargo bench failed ({status}): {}\n{text}", process::describe(&command));
    read(&text)
}

/// One bench, of what the runner tells of it.
#[derive(Deserialize)]
struct Summary {
    group: String,
    function_name: String,
    id: Option<String>,
    profiles: Vec<Profile>,
}

#[derive(Deserialize)]
struct Profile {
    tool: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    total: Total,
}

#[derive(Deserialize)]
struct Total {
    metrics: Metrics,
}

#[derive(Deserialize)]
struct Metrics {
    #[serde(rename = "Ir")]
    instructions: Metric,
}

#[derive(Deserialize)]
struct Metric {
    values: Values,
}

#[derive(Deserialize)]
struct Values {
    new: u64,
}

impl Summary {
    fn name(&self) -> String {
        let function = format!("{}/{}", self.group, self.function_name);
        self.id.as_ref().map_or_else(|| function.clone(), |id| format!("{function}/{id}"))
    }

    fn instructions(&self) -> Option<u64> {
        let callgrind = self.profiles.iter().find(|profile| profile.tool == "Callgrind")?;
        Some(callgrind.data.total.metrics.instructions.values.new)
    }
}

fn read(text: &str) -> anyhow::Result<Counts> {
    let mut counts = Counts::new();
    for line in text.lines().filter(|line| line.starts_with('{')) {
        let summary: Summary = serde_json::from_str(line).with_context(|| format!("gungraun-runner printed `{line}`"))?;
        let instructions = summary.instructions().with_context(|| format!("{} was not run under callgrind", summary.name()))?;
        counts.insert(summary.name(), instructions);
    }
    ensure!(!counts.is_empty(), "no bench was counted");
    Ok(counts)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_summary_is_read() {
        let line = r#"{"group":"stage","function_name":"next","id":"submitting","module_path":"counts::stage::next","profiles":[{"tool":"Callgrind",
            "data":{"parts":[],"total":{"metrics":{"Ir":{"values":{"new":37,"old":36}}},"regressions":[]}}}]}"#
            .replace('\n', "");
        assert_eq!(read(&line).unwrap(), Counts::from([("stage/next/submitting".to_owned(), 37)]));
        assert!(read("nothing").is_err() && read("{}").is_err());
    }
}
