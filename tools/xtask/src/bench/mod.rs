//! `cargo xtask bench`: instruction counts against their limits, two revisions against each other, and the engine against what a user
//! would otherwise do.
//!
//! Times are not compared with anything that is written down: the machines are small and noisy. What is committed are instruction
//! counts, which repeat; what is compared are revisions, or systems, that run in turn on the same machine.

mod compare;
mod counts;
mod end_to_end;
mod limits;
mod spread;

use std::path::Path;

use clap::Args;

/// Options of `cargo xtask bench`.
#[derive(Args, Clone, Debug)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(crate) struct BenchOptions {
    /// Count the instructions of the pure stages, and fail if one is above its limit in `bench/counts.toml`.
    #[arg(long, group = "what")]
    counts: bool,
    /// Write the counts as the new limits.
    #[arg(long, requires = "counts")]
    renew: bool,
    /// Run the stages of this revision and of the working tree in turn, and report the ratios of their times.
    #[arg(long, group = "what", value_name = "REV")]
    compare: Option<String>,
    /// Only the benches whose name contains this.
    #[arg(long, requires = "compare")]
    filter: Option<String>,
    /// How often each revision, or each system, runs.
    #[arg(long, conflicts_with = "counts", default_value_t = 5, value_parser = clap::value_parser!(u32).range(2..=100))]
    rounds: u32,
    /// Run the engine, a blast at the node and an alloy provider in turn, and report costs, throughput and their ratios.
    #[arg(long, group = "what")]
    end_to_end: bool,
    #[command(flatten)]
    systems: end_to_end::EndToEndOptions,
}

/// Carries out `cargo xtask bench`.
pub(crate) fn bench(root: &Path, options: &BenchOptions) -> anyhow::Result<()> {
    crate::setup::build_tools()?;
    match &options.compare {
        None if options.end_to_end => end_to_end::end_to_end(root, &options.systems, options.rounds),
        Some(revision) => compare::compare(root, revision, options.filter.as_deref(), options.rounds),
        None if options.renew => counts::renew(root),
        None => counts::check(root),
    }
}

pub(crate) use counts::check as counts;
