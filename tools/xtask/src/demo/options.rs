//! The command line of `cargo xtask demo`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

/// The engine's own.
pub(crate) const DEFAULT_PROFILE: &str = "default";

/// Options of `cargo xtask demo`.
#[derive(Args, Clone, Debug)]
pub(crate) struct DemoOptions {
    /// How many transactions.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    pub(crate) transactions: u64,
    /// How many signing addresses.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) addresses: u64,
    /// The chain: the project's own, foundry's, or geth.
    #[arg(long, value_enum, default_value_t = NodeKind::Devnet)]
    pub(crate) node: NodeKind,
    /// Kill the engine (SIGKILL) this many times and start it again.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1000))]
    pub(crate) kill: u32,
    /// Seed of keys, recipients and kill moments; drawn and printed when it is not given.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// What the engine's shards run on.
    #[arg(long, value_enum, default_value_t = Executor::Auto)]
    pub(crate) executor: Executor,
    /// The engine's tuning profile: a name, or the path of a file.
    #[arg(long, default_value = DEFAULT_PROFILE)]
    pub(crate) profile: String,
    /// Also write the figures, as `json:PATH`.
    #[arg(long)]
    pub(crate) report: Option<ReportTarget>,
}

impl DemoOptions {
    /// A short demo for `cargo xtask test`.
    pub(crate) fn small(node: NodeKind, transactions: u64, kill: u32, executor: Executor) -> Self {
        Self { transactions, addresses: 64, node, kill, seed: None, executor, profile: DEFAULT_PROFILE.to_owned(), report: None }
    }
}

/// A chain to run against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum NodeKind {
    /// The project's embedded dev chain.
    Devnet,
    /// anvil, from npm.
    Anvil,
    /// geth, built from its source.
    Geth,
}

impl NodeKind {
    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Devnet => "devnet",
            Self::Anvil => "anvil",
            Self::Geth => "geth",
        }
    }
}

/// What the engine's shards run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Executor {
    /// io_uring where the machine allows it.
    Auto,
    /// glommio.
    #[value(name = "io_uring")]
    IoUring,
    /// tokio's current-thread runtime.
    Epoll,
}

impl Executor {
    /// Its name in the engine's configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::IoUring => "io_uring",
            Self::Epoll => "epoll",
        }
    }
}

/// Where a report goes: `json:PATH`. `load` takes the same form; nothing is shared with it, for the reason in [`super::http`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ReportTarget(pub(crate) PathBuf);

impl FromStr for ReportTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("json", path)) if !path.is_empty() => Ok(Self(PathBuf::from(path))),
            _ => Err(format!("`{text}` is not of the form json:PATH")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: DemoOptions,
    }

    fn parse(arguments: &[&str]) -> Result<DemoOptions, clap::Error> {
        Line::try_parse_from(std::iter::once(&"demo").chain(arguments)).map(|line| line.options)
    }

    #[test]
    fn without_options_a_hundred_thousand_go_from_64_addresses_into_devnet() {
        let options = parse(&[]).unwrap();
        assert_eq!((options.transactions, options.addresses, options.kill), (100_000, 64, 0));
        assert_eq!((options.node, options.executor), (NodeKind::Devnet, Executor::Auto));
    }

    #[test]
    fn every_option_is_taken() {
        let line =
            ["--node", "anvil", "--executor", "io_uring", "--kill", "5", "--seed", "9", "--profile", "laptop", "--report", "json:r.json"];
        let options = parse(&line).unwrap();
        assert_eq!((options.node, options.executor, options.kill, options.seed), (NodeKind::Anvil, Executor::IoUring, 5, Some(9)));
        assert_eq!(options.profile, "laptop");
        assert_eq!(options.report, Some(ReportTarget(PathBuf::from("r.json"))));
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(parse(&["--transactions", "0"]).is_err());
        assert!(parse(&["--report", "r.json"]).is_err());
        assert!(parse(&["--node", "mainnet"]).is_err());
    }
}
