//! `check`, `test` and `simulate`.
//!
//! `check` takes minutes and belongs before every commit. `test` is what continuous integration runs: it ends with cargo's own
//! result lines, and a test that was skipped fails it, because a chain that is missing must not look like a chain that passed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use clap::Args;

use crate::cargo::{FAULTS, build_simulator, cargo};
use crate::contracts::{ContractsOptions, contracts};
use crate::demo::options::{DemoOptions, Executor, NodeKind};
use crate::process::{self, Child};
use crate::{bench, demo, setup};

/// Seeds in `check` that are the same each time: as many as show that every fault meets every stage, in less than a minute.
const FIXED_SEEDS: u64 = 2_000;
/// Seeds in `check` that nobody has run before: half a minute's worth.
const FRESH_SEEDS: u64 = 1_000;
/// Transactions of the demos in `test`.
const TEST_TRANSACTIONS: u64 = 5_000;
/// The demos in `test`: chain, kills, executor. Both executors meet devnet and anvil, and each is killed on one of them; `auto` is
/// io_uring on every machine that allows it.
const TEST_DEMOS: [(NodeKind, u32, Executor); 5] = [
    (NodeKind::Devnet, 0, Executor::Auto),
    (NodeKind::Devnet, 2, Executor::Epoll),
    (NodeKind::Anvil, 0, Executor::Epoll),
    (NodeKind::Anvil, 2, Executor::Auto),
    (NodeKind::Geth, 2, Executor::Auto),
];

/// What a run of cargo's tests is called in messages.
const CARGO_TEST: &str = "cargo test";

/// Options of `simulate`.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct SimulateOptions {
    /// How many seeds.
    #[arg(long)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Make every mistake of `sabotage.rs` on purpose, each until the first of the seeds that sees it; one that none sees is a failure.
    #[arg(long)]
    sabotages: bool,
}

/// Carries out `cargo xtask check`.
pub(crate) fn check(root: &Path) -> anyhow::Result<()> {
    setup::build_tools()?;
    process::run("cargo fmt", &cargo(root, &["fmt", "--all", "--check"])?)?;
    process::run("cargo clippy", &cargo(root, &["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"])?)?;
    // What only the simulator and the tests of crashes have.
    let with_faults = ["clippy", "--release", "--workspace", "--all-targets", "--features", FAULTS, "--", "-D", "warnings"];
    process::run("cargo clippy with faults", &cargo(root, &with_faults)?)?;
    let mut docs = cargo(root, &["doc", "--release", "--workspace", "--no-deps", "--document-private-items"])?;
    docs.env("RUSTDOCFLAGS", "-D warnings");
    process::run("cargo doc", &docs)?;
    run_tests(CARGO_TEST, &cargo(root, &["test", "--release", "--workspace", "--lib", "--bins"])?)?;
    simulate(root, &SimulateOptions { seeds: FIXED_SEEDS, from: 0, sabotages: false })?;
    let from = fresh_seed()?;
    println!("fresh seeds: --from {from} --seeds {FRESH_SEEDS}");
    simulate(root, &SimulateOptions { seeds: FRESH_SEEDS, from, sabotages: false })
}

/// Carries out `cargo xtask test`.
pub(crate) fn test(root: &Path) -> anyhow::Result<()> {
    // Before the long part: a machine on which a chain cannot be had should say so at once.
    setup::anvil(root)?;
    setup::geth()?;
    setup::clients(root)?;
    setup::gungraun(root)?;
    contracts(root, ContractsOptions { renew: false })?;
    check(root)?;
    simulate(root, &SimulateOptions { seeds: FIXED_SEEDS, from: 0, sabotages: true })?;
    for (node, kills, executor) in TEST_DEMOS {
        let ran = demo::demo(&DemoOptions::small(node, TEST_TRANSACTIONS, kills, executor))?;
        if executor == Executor::Auto && ran != Executor::IoUring {
            eprintln!("xtask: this machine does not allow io_uring, so this demo ran on {} too", ran.name());
        }
    }
    run_tests(CARGO_TEST, &cargo(root, &["test", "--release", "--workspace", "--tests"])?)?;
    process::run("the example of embedding", &cargo(root, &["run", "--quiet", "--release", "--example", "embed"])?)?;
    bench::counts(root)?;
    // Last: it leaves an engine behind that can end itself at named points, until the next build.
    let points = ["test", "--release", "--workspace", "--features", "millrace-engine/points", "--test", "kill_points"];
    run_tests(CARGO_TEST, &cargo(root, &points)?)
}

/// Carries out `cargo xtask simulate`.
pub(crate) fn simulate(root: &Path, options: &SimulateOptions) -> anyhow::Result<()> {
    let mut command = Command::new(build_simulator(root)?);
    command.args(["--seeds", &options.seeds.to_string(), "--from", &options.from.to_string()]);
    if options.sabotages {
        command.arg("--sabotages");
    }
    process::run("the simulator", &command)
}

/// A seed from the clock, far above the fixed ones.
fn fresh_seed() -> anyhow::Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(now.as_secs() * 1_000)
}

/// Runs a `cargo test` or a `node --test` that reports by `spec`, shows its output as it comes, and fails if a test failed or was skipped.
pub(crate) fn run_tests(name: &'static str, command: &Command) -> anyhow::Result<()> {
    let mut child = Child::start_with_output(name, command, Stdio::piped(), Stdio::inherit())?;
    let output = BufReader::new(child.take_stdout().context("the output of tests is piped")?);
    let mut count = Count::default();
    for line in output.lines() {
        let line = line.with_context(|| format!("reading the output of {name}"))?;
        count.read(&line);
        writeln!(std::io::stdout().lock(), "{line}")?;
    }
    let status = child.wait()?;
    ensure!(status.success(), "{name} failed ({status}): {}", process::describe(command));
    if count.ignored > 0 {
        bail!("{} tests were skipped; a test that does not run proves nothing", count.ignored);
    }
    ensure!(count.passed > 0, "{name} ran no test: {}", process::describe(command));
    Ok(())
}

/// Sums of the result lines of cargo and node.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    ignored: u64,
}

impl Count {
    fn read(&mut self, line: &str) {
        if let Some(summary) = line.strip_prefix("ℹ ") {
            self.read_node(summary);
        }
        let Some(results) = line.strip_prefix("test result: ") else {
            return;
        };
        for part in results.split([';', '.']) {
            match part.trim().split_once(' ') {
                Some((number, "passed")) => self.passed += number.parse::<u64>().unwrap_or(0),
                Some((number, "ignored")) => self.ignored += number.parse::<u64>().unwrap_or(0),
                _ => {}
            }
        }
    }

    /// Node tells each sum on a line of its own.
    fn read_node(&mut self, summary: &str) {
        match summary.split_once(' ') {
            Some(("pass", number)) => self.passed += number.parse::<u64>().unwrap_or(0),
            Some(("skipped" | "todo" | "cancelled", number)) => self.ignored += number.parse::<u64>().unwrap_or(0),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_summed() {
        let mut count = Count::default();
        count.read("running 3 tests");
        count.read("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        count.read("test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s");
        assert_eq!(count, Count { passed: 15, ignored: 1 });
    }

    #[test]
    fn nodes_result_lines_are_summed() {
        let mut count = Count::default();
        for line in ["✔ it passes (1.5ms)", "ℹ tests 7", "ℹ pass 4", "ℹ fail 0", "ℹ cancelled 0", "ℹ skipped 2", "ℹ todo 1"] {
            count.read(line);
        }
        assert_eq!(count, Count { passed: 4, ignored: 3 });
    }
}
