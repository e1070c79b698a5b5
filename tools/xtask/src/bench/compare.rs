//! `cargo xtask bench --compare REV`: the stages of another revision and of the working tree, run in turn.
//!
//! ```text
//! git worktree of REV ─► build ─┐
//! working tree ────────► build ─┴─► round: REV, this, then this, REV, … ─► median of each ─► ratio, and its spread over the rounds
//! ```
//!
//! In turn, so that what else the machine does falls on both. A ratio is taken within a round; the spread tells what a ratio
//! is worth. Both are built into one target directory, so that no dependency is compiled twice; the binaries are copied out of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::Deserialize;

use super::spread::Spread;
use crate::cargo::cargo;
use crate::process::{self, Child};

/// The bench that is run.
const BENCH: &str = "stages";
/// criterion's own times, in seconds: short, because the rounds repeat them.
const WARM_UP: &str = "0.3";
const MEASUREMENT: &str = "1";

/// A ratio that is nearer to one than this says nothing, even if all rounds agree: the same code moves by as much when what stands
/// beside it in the binary does.
const MARGIN: f64 = 0.05;

/// Median time of each bench, in ns.
type Times = BTreeMap<String, f64>;

/// Carries out `cargo xtask bench --compare`.
pub(super) fn compare(root: &Path, revision: &str, filter: Option<&str>, rounds: u32) -> anyhow::Result<()> {
    let parent = root.join(".millrace");
    std::fs::create_dir_all(&parent).with_context(|| format!("creating {}", parent.display()))?;
    let room = tempfile::Builder::new().prefix("compare-").tempdir_in(&parent).context("creating a directory for the other revision")?;
    let commit = resolve(root, revision)?;
    let other = Worktree::add(root, &commit, room.path().join("tree"))?;
    let before = build(&other.path, &room.path().join("before"))?;
    let after = build(root, &room.path().join("after"))?;
    let mut pairs = Vec::new();
    for round in 0..rounds {
        eprintln!("xtask: round {} of {rounds}", round + 1);
        // Who goes first changes, so that neither always runs on the warmer machine.
        let (old, new) = if round % 2 == 0 {
            let old = run(&before, room.path(), filter)?;
            (old, run(&after, room.path(), filter)?)
        } else {
            let new = run(&after, room.path(), filter)?;
            (run(&before, room.path(), filter)?, new)
        };
        pairs.push((old, new));
    }
    println!("ratios of the working tree's times to those of {revision} ({}), over {rounds} rounds", &commit[..commit.len().min(12)]);
    print!("{}", table(&pairs));
    Ok(())
}

fn resolve(root: &Path, revision: &str) -> anyhow::Result<String> {
    let name = format!("{revision}^{{commit}}");
    let output = Command::new("git").args(["rev-parse", "--verify", "--quiet", "--end-of-options", &name]).current_dir(root).output();
    let output = output.context("starting git")?;
    ensure!(output.status.success(), "`{revision}` is no revision of this repository");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// A worktree of another revision; removed when dropped.
struct Worktree<'a> {
    root: &'a Path,
    path: PathBuf,
}

impl<'a> Worktree<'a> {
    fn add(root: &'a Path, commit: &str, path: PathBuf) -> anyhow::Result<Self> {
        let mut git = Command::new("git");
        git.args(["worktree", "add", "--quiet", "--detach"]).arg(&path).arg(commit).current_dir(root);
        process::run("git worktree add", &git)?;
        Ok(Self { root, path })
    }
}

impl Drop for Worktree<'_> {
    fn drop(&mut self) {
        let mut git = Command::new("git");
        git.args(["worktree", "remove", "--force"]).arg(&self.path).current_dir(self.root);
        if let Err(error) = process::run("git worktree remove", &git) {
            eprintln!("xtask: {error:#}; `git worktree prune` forgets it");
        }
    }
}

/// Builds the bench of the workspace at `root` and copies it to `target`.
fn build(root: &Path, target: &Path) -> anyhow::Result<PathBuf> {
    let command = cargo(root, &["bench", "--workspace", "--bench", BENCH, "--no-run", "--message-format", "json-render-diagnostics"])?;
    let mut child = Child::start_with_output("cargo bench", &command, Stdio::piped(), Stdio::inherit())?;
    let messages = std::io::read_to_string(child.take_stdout().context("the output is piped")?)?;
    let status = child.wait()?;
    ensure!(status.success(), "cargo bench failed ({status}): {}", process::describe(&command));
    let built = messages.lines().filter_map(executable).next_back();
    let built = built.with_context(|| format!("{} has no bench `{BENCH}`", root.display()))?;
    std::fs::copy(&built, target).with_context(|| format!("copying {}", built.display()))?;
    Ok(target.to_owned())
}

/// The bench that a message of cargo's tells of.
fn executable(message: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        target: Option<Target>,
        executable: Option<PathBuf>,
    }
    #[derive(Deserialize)]
    struct Target {
        name: String,
    }
    let message: Message = serde_json::from_str(message).ok()?;
    message.executable.filter(|_| message.target.is_some_and(|target| target.name == BENCH))
}

/// One run of a bench; the medians that criterion writes.
fn run(bench: &Path, room: &Path, filter: Option<&str>) -> anyhow::Result<Times> {
    let home = tempfile::tempdir_in(room).context("creating a directory for criterion")?;
    let mut command = Command::new(bench);
    command.args(["--bench", "--noplot", "--warm-up-time", WARM_UP, "--measurement-time", MEASUREMENT]).args(filter);
    command.env("CRITERION_HOME", home.path()).current_dir(room);
    let log = room.join("criterion.log");
    let file = std::fs::File::create(&log).with_context(|| format!("creating {}", log.display()))?;
    let status = Child::start_with_output("the bench", &command, file.try_clone()?.into(), file.into())?.wait()?;
    let words = || std::fs::read_to_string(&log).unwrap_or_default();
    ensure!(status.success(), "the bench failed ({status}):\n{}", words());
    let mut times = Times::new();
    collect(home.path(), &mut times)?;
    ensure!(!times.is_empty(), "no bench has a name that contains `{}`", filter.unwrap_or_default());
    Ok(times)
}

/// Every `new/` below `directory` holds what one bench came to.
fn collect(directory: &Path, times: &mut Times) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    struct Benchmark {
        full_id: String,
    }
    #[derive(Deserialize)]
    struct Estimates {
        median: Estimate,
    }
    #[derive(Deserialize)]
    struct Estimate {
        point_estimate: f64,
    }
    for entry in std::fs::read_dir(directory).with_context(|| format!("reading {}", directory.display()))? {
        let path = entry?.path();
        if path.ends_with("new") {
            let read = |name| std::fs::read(path.join(name)).with_context(|| format!("reading {}", path.join(name).display()));
            let benchmark: Benchmark = serde_json::from_slice(&read("benchmark.json")?)?;
            let estimates: Estimates = serde_json::from_slice(&read("estimates.json")?)?;
            times.insert(benchmark.full_id, estimates.median.point_estimate);
        } else if path.is_dir() {
            collect(&path, times)?;
        }
    }
    Ok(())
}

/// For each bench of both revisions the median time before, and the ratio after ÷ before: median, least and greatest of the rounds.
fn table(rounds: &[(Times, Times)]) -> String {
    let mut out = format!("{:<48} {:>12} {:>8} {:>17}\n", "bench", "before, ns", "ratio", "least…greatest");
    let Some((first, _)) = rounds.first() else { return out };
    for name in first.keys() {
        let pairs: Vec<(f64, f64)> = rounds.iter().filter_map(|(old, new)| Some((*old.get(name)?, *new.get(name)?))).collect();
        let (Some(before), Some(ratios)) =
            (Spread::of(pairs.iter().map(|(old, _)| *old)), Spread::of(pairs.iter().map(|(old, new)| new / old)))
        else {
            continue;
        };
        let Spread { median, least, greatest } = ratios;
        // All rounds agree, and by more than where code happens to lie makes.
        let verdict = if least > 1.0 + MARGIN {
            " slower in each"
        } else if greatest < 1.0 - MARGIN {
            " faster in each"
        } else {
            ""
        };
        let range = format!("{least:.3}…{greatest:.3}");
        out.push_str(&format!("{name:<48} {:>12.1} {median:>8.3} {range:>17}{verdict}\n", before.median));
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn times(all: &[(&str, f64)]) -> Times {
        all.iter().map(|(name, time)| ((*name).to_owned(), *time)).collect()
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let rounds = [
            (times(&[("a/b/c", 100.0), ("only/before", 1.0)]), times(&[("a/b/c", 110.0), ("only/after", 1.0)])),
            (times(&[("a/b/c", 200.0)]), times(&[("a/b/c", 240.0)])),
            (times(&[("a/b/c", 100.0)]), times(&[("a/b/c", 130.0)])),
        ];
        let table = table(&rounds);
        assert!(table.contains("1.200") && table.contains("1.100…1.300") && table.contains("slower in each"), "{table}");
        assert!(!table.contains("only"), "{table}");
    }

    #[test]
    fn a_small_difference_is_no_verdict_though_all_rounds_agree() {
        let round = |ratio: f64| (times(&[("a/b/c", 100.0)]), times(&[("a/b/c", 100.0 * ratio)]));
        assert!(!table(&[round(1.04), round(1.2)]).contains("in each"));
        assert!(table(&[round(0.94), round(0.8)]).contains("faster in each"));
    }

    #[test]
    fn what_criterion_writes_is_found() {
        let home = tempfile::tempdir().unwrap();
        let place = home.path().join("record/project/new");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("benchmark.json"), r#"{"group_id":"record","full_id":"record/project/bound"}"#).unwrap();
        std::fs::write(place.join("estimates.json"), r#"{"mean":{"point_estimate":9.0},"median":{"point_estimate":7.5}}"#).unwrap();
        let mut found = Times::new();
        collect(home.path(), &mut found).unwrap();
        assert_eq!(found, times(&[("record/project/bound", 7.5)]));
    }

    #[test]
    fn the_executable_is_that_of_the_bench() {
        let message = |name: &str| format!(r#"{{"reason":"compiler-artifact","target":{{"name":"{name}"}},"executable":"/t/x"}}"#);
        assert_eq!(executable(&message("stages")), Some(PathBuf::from("/t/x")));
        assert_eq!(executable(&message("counts")), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
