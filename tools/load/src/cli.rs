//! The command line of `load`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::mix::Mix;
use crate::stage::TRANSACTIONS_MAX;

/// The mnemonic every dev chain funds by default.
pub(crate) const DEV_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// Load for Ethereum: submits, follows, and checks every transaction against the chain.
#[derive(Debug, Parser)]
#[command(name = "load", version)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The steps of a load test.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Derive fresh addresses from a seed and fund them from the chain's rich accounts.
    Fund(FundOptions),
    /// Offer transactions to the engine until all of them are archived, then verify.
    Run(RunOptions),
    /// Check every transaction of a recorded run against the chain's blocks.
    Verify(VerifyOptions),
    /// Measure what signing and encoding one transfer costs on this machine, on the thread's CPU clock.
    SignFloor(FloorOptions),
}

/// Options of `load fund`.
#[derive(Args)]
pub(crate) struct FundOptions {
    /// HTTP JSON-RPC address of the chain's node.
    #[arg(long)]
    pub(crate) node: String,
    /// How many addresses to derive.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) addresses: u64,
    /// Seed of the addresses: the same seed gives the same keys.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// File for the private keys, one a line, readable by its owner only.
    #[arg(long)]
    pub(crate) keys_out: PathBuf,
    /// Mnemonic of the rich accounts.
    #[arg(long, default_value = DEV_MNEMONIC, env = "LOAD_MNEMONIC", hide_env_values = true)]
    pub(crate) mnemonic: String,
    /// Put the contracts of the scenarios erc20 and storage on the chain too.
    #[arg(long)]
    pub(crate) contracts: bool,
    /// How many accounts of the mnemonic pay.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) funders: u32,
    /// What each address holds afterwards, in whole ether.
    #[arg(long, default_value_t = 10)]
    pub(crate) ether: u64,
    /// Transfers in flight for one paying account; nodes limit how many they keep for one sender.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub(crate) in_flight: u64,
}

impl std::fmt::Debug for FundOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The mnemonic stays out: it is a secret wherever it is not the well-known one.
        f.debug_struct("FundOptions").field("node", &self.node).field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Options of `load run`.
#[derive(Args, Debug, Clone)]
pub(crate) struct RunOptions {
    /// HTTP address of the engine's JSON-RPC.
    #[arg(long, required_unless_present = "direct")]
    pub(crate) api: Option<String>,
    /// Leave the engine out: sign here, and put transactions into the node's pool.
    #[arg(long, conflicts_with = "api")]
    pub(crate) direct: bool,
    /// Sign everything before the first transaction is offered, so that the run measures the node alone.
    #[arg(long, requires = "direct", conflicts_with = "api")]
    pub(crate) sign_beforehand: bool,
    /// HTTP JSON-RPC address of the chain's node.
    #[arg(long)]
    pub(crate) node: String,
    /// Key file written by `load fund`.
    #[arg(long)]
    pub(crate) keys: PathBuf,
    /// What to offer, and when.
    #[command(flatten)]
    pub(crate) shape: Shape,
    /// Connections to the engine, or to the node.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1024))]
    pub(crate) connections: u64,
    /// File for the run's events, one JSON object a line, which `load verify` reads.
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
    /// Go on with the run of --record, which ended before all was done.
    #[arg(long, requires = "record", conflicts_with_all = Shape::NAMES)]
    pub(crate) resume: bool,
    /// Stop after the last transaction is archived; `load verify` checks the chain later.
    #[arg(long, requires = "record")]
    pub(crate) no_verify: bool,
    /// Write the result as `json:PATH` or `html:PATH`. Repeatable.
    #[arg(long)]
    pub(crate) report: Vec<ReportTarget>,
    /// How to tell the progress: a live line on stderr, or JSON lines on stdout for a parent process.
    #[arg(long, value_enum, default_value_t = ProgressStyle::Line)]
    pub(crate) progress: ProgressStyle,
    /// Give up after this many seconds in which nothing was accepted, refused, included or archived.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) patience: u64,
    /// Process of the engine on this machine, for its CPU in the report.
    #[arg(long, value_name = "PID")]
    pub(crate) engine_pid: Option<u32>,
    /// Process of the node on this machine, for its CPU in the report.
    #[arg(long, value_name = "PID")]
    pub(crate) node_pid: Option<u32>,
}

/// What a run offers, and when.
#[derive(Args, Debug, Clone)]
pub(crate) struct Shape {
    /// TOML file with the stages of the run.
    #[arg(long, conflicts_with_all = ["transactions", "seconds", "rate", "ramp", "outstanding"])]
    pub(crate) stages: Option<PathBuf>,
    /// How many transactions to offer.
    #[arg(long, required_unless_present_any = ["seconds", "stages", "resume"], value_parser = clap::value_parser!(u64).range(1..=TRANSACTIONS_MAX))]
    pub(crate) transactions: Option<u64>,
    /// How long to offer them at --rate or --ramp.
    #[arg(long, conflicts_with = "transactions")]
    pub(crate) seconds: Option<f64>,
    /// Offer this many transactions a second, whatever the engine does; without it the loop is closed.
    #[arg(long, conflicts_with_all = ["outstanding", "ramp"])]
    pub(crate) rate: Option<f64>,
    /// Offer at a rate that goes from one to another in a straight line, such as 100:2000.
    #[arg(long, conflicts_with = "outstanding")]
    pub(crate) ramp: Option<Ramp>,
    /// Closed loop: at most this many transactions offered and neither refused nor yet in a block.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) outstanding: u64,
    /// Scenarios with their weights, such as transfer=8,erc20=2: transfer, erc20, deploy, calldata, storage. All transfers by default.
    #[arg(long)]
    pub(crate) mix: Option<Mix>,
    /// Most transactions in one request.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) batch: u64,
    /// Seed of idempotency keys, recipients, the mix and retry jitter.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Shape {
    /// The names of its options: a run that is resumed has them from its record.
    const NAMES: [&str; 9] = ["stages", "transactions", "seconds", "rate", "ramp", "outstanding", "mix", "batch", "seed"];
}

/// A rate that changes: `FROM:TO`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Ramp {
    /// Transactions a second at the begin.
    pub(crate) from: f64,
    /// Transactions a second at the end.
    pub(crate) to: f64,
}

impl FromStr for Ramp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ends = text.split_once(':').and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        let (from, to) = ends.ok_or_else(|| format!("`{text}` is not of the form FROM:TO in transactions a second, such as 100:2000"))?;
        Ok(Self { from, to })
    }
}

/// Options of `load verify`.
#[derive(Args, Debug, Clone)]
pub(crate) struct VerifyOptions {
    /// HTTP address of the engine's JSON-RPC; not needed for a run that drove a node.
    #[arg(long)]
    pub(crate) api: Option<String>,
    /// HTTP JSON-RPC address of the chain's node.
    #[arg(long)]
    pub(crate) node: String,
    /// Key file written by `load fund`.
    #[arg(long)]
    pub(crate) keys: PathBuf,
    /// Record written by `load run`.
    #[arg(long)]
    pub(crate) record: PathBuf,
    /// Write the result as `json:PATH` or `html:PATH`. Repeatable.
    #[arg(long)]
    pub(crate) report: Vec<ReportTarget>,
}

/// Options of `load sign-floor`.
#[derive(Args, Debug)]
pub(crate) struct FloorOptions {
    /// Blocks of twenty transfers to time; the result is the median block.
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u32).range(3..=100_000))]
    pub(crate) blocks: u32,
}

/// How `load run` tells its progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressStyle {
    /// A live line on stderr, where stderr is a terminal.
    Line,
    /// The live line, and one JSON object a line on stdout.
    Json,
}

/// Where a result goes, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ReportTarget {
    /// Figures for programs.
    Json(PathBuf),
    /// One page with charts.
    Html(PathBuf),
}

impl FromStr for ReportTarget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some(("json", path)) if !path.is_empty() => Ok(Self::Json(PathBuf::from(path))),
            Some(("html", path)) if !path.is_empty() => Ok(Self::Html(PathBuf::from(path))),
            _ => Err(format!("`{text}` is not of the form json:PATH or html:PATH")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn run_options(extra: &[&str]) -> Result<RunOptions, clap::Error> {
        bare(&[&["--api", "http://127.0.0.1:1", "--transactions", "10"], extra].concat())
    }

    fn bare(extra: &[&str]) -> Result<RunOptions, clap::Error> {
        let base = ["load", "run", "--node", "http://127.0.0.1:2", "--keys", "k"];
        Cli::try_parse_from(base.iter().chain(extra)).map(|cli| match cli.command {
            Command::Run(options) => options,
            other => panic!("parsed as {other:?}"),
        })
    }

    #[test]
    fn the_loop_is_closed_at_twenty_thousand_unless_a_rate_is_given() {
        let RunOptions { shape: closed, connections, .. } = run_options(&[]).unwrap();
        assert_eq!((closed.rate, closed.outstanding, closed.batch, connections), (None, 20_000, 200, 4));
        assert_eq!(run_options(&["--rate", "2500"]).unwrap().shape.rate, Some(2500.0));
    }

    #[test]
    fn a_rate_and_a_closed_loop_exclude_each_other() {
        assert!(run_options(&["--rate", "10", "--outstanding", "10"]).is_err());
    }

    #[test]
    fn leaving_verification_out_needs_a_record_to_verify_later() {
        assert!(run_options(&["--no-verify"]).is_err());
        assert!(run_options(&["--no-verify", "--record", "r.json"]).is_ok());
    }

    #[test]
    fn a_run_drives_either_the_engine_or_the_node() {
        assert!(bare(&["--transactions", "1"]).is_err());
        assert!(bare(&["--transactions", "1", "--direct"]).unwrap().direct);
        assert!(run_options(&["--direct"]).is_err());
        assert!(bare(&["--transactions", "1", "--direct", "--sign-beforehand"]).unwrap().sign_beforehand);
        assert!(run_options(&["--sign-beforehand"]).is_err(), "the engine signs");
    }

    #[test]
    fn a_run_says_how_much_it_offers_in_one_way() {
        let direct = |extra: &[&str]| bare(&[&["--direct"], extra].concat());
        assert!(direct(&[]).is_err());
        assert!(direct(&["--rate", "5", "--seconds", "2"]).is_ok());
        assert!(direct(&["--stages", "s.toml"]).is_ok());
        assert!(direct(&["--stages", "s.toml", "--rate", "5"]).is_err());
        assert!(direct(&["--resume", "--record", "r"]).is_ok());
        assert!(direct(&["--resume", "--record", "r", "--seed", "2"]).is_err(), "the record has the seed");
    }

    #[test]
    fn a_ramp_has_two_rates() {
        assert_eq!("0:250.5".parse(), Ok(Ramp { from: 0.0, to: 250.5 }));
        assert!("100".parse::<Ramp>().unwrap_err().contains("`100` is not of the form FROM:TO"));
    }

    #[test]
    fn a_report_target_names_its_format() {
        assert_eq!("json:/a/b.json".parse(), Ok(ReportTarget::Json(PathBuf::from("/a/b.json"))));
        assert_eq!("html:b".parse(), Ok(ReportTarget::Html(PathBuf::from("b"))));
        assert!("/a/b.json".parse::<ReportTarget>().is_err());
        assert!("json:".parse::<ReportTarget>().is_err());
    }

    #[test]
    fn a_mnemonic_is_not_shown_by_debug() {
        let cli = Cli::parse_from(["load", "fund", "--node", "http://n", "--keys-out", "k", "--mnemonic", "top secret words"]);
        assert!(!format!("{cli:?}").contains("secret"));
    }
}
