//! How a run begins, or goes on: the plan, the record, and everything that must be true of engine and chain before the first offer.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use alloy::rpc::client::RpcClient;
use alloy::signers::local::Secp256k1Signer;
use anyhow::{Context, bail, ensure};
use tokio::time::Instant;

use crate::api::Client;
use crate::chain;
use crate::cli::{RunOptions, Shape};
use crate::event::{Begin, Event, FORMAT, Journal, Terms};
use crate::keys;
use crate::mix::Mix;
use crate::pace::Clock;
use crate::plan::Plan;
use crate::record::Record;
use crate::scenario::Scenario;
use crate::stage::{Stage, StagePace};
use crate::stages;
use crate::target::{Direct, Target};

/// How long the engine may take to become ready before the run begins.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at an engine that is not ready yet.
const READY_INTERVAL: Duration = Duration::from_millis(50);
/// A tip every dev chain takes, in wei for each gas.
const TIP: u64 = 1_000_000_000;
/// The fee cap is this many times the price of now, so that twenty full blocks at EIP-1559's 12.5 % do not reach it.
const PRICE_HEADROOM: u128 = 10;

/// A run that can begin.
pub(crate) struct Start {
    /// What to offer.
    pub(crate) plan: Arc<Plan>,
    /// Whom to.
    pub(crate) target: Target,
    /// Where to write down what happens.
    pub(crate) journal: Arc<Journal>,
    /// How it began.
    pub(crate) begin: Begin,
    /// What has happened already, where a run goes on.
    pub(crate) before: Option<Record>,
    /// The clock of this part of the run.
    pub(crate) clock: Clock,
}

/// Begins the run that `options` describe, with its record at `path`.
pub(crate) async fn begin(options: &RunOptions, node: &RpcClient, path: &Path) -> anyhow::Result<Start> {
    if options.resume {
        return resume(options, node, path).await;
    }
    let stages = stages_of(&options.shape)?;
    let signers = keys::signers(&options.keys)?;
    let plan = Arc::new(Plan::new(options.shape.seed, stages.clone(), addresses(&signers))?);
    if let Some(api) = &options.api {
        wait_until_ready(api).await?;
    }
    check_contracts(node, &plan).await?;
    let direct = if options.direct { Some(terms(node).await?) } else { None };
    let first_block = chain::head(node).await?;
    let base_nonces = chain::nonces(node, plan.senders()).await?;
    let target = target(direct, &base_nonces, &plan, signers, options.sign_beforehand)?;
    let journal = Arc::new(Journal::create(path)?);
    let clock = Clock::start();
    let begin = Begin {
        format: FORMAT,
        at_us: clock.start_us(),
        seed: options.shape.seed,
        stages,
        batch: options.shape.batch,
        connections: options.connections,
        first_block,
        base_nonces,
        direct,
    };
    journal.write(&Event::Begin(begin.clone()))?;
    Ok(Start { plan, target, journal, begin, before: None, clock })
}

async fn resume(options: &RunOptions, node: &RpcClient, path: &Path) -> anyhow::Result<Start> {
    let record = Record::read(path)?;
    let begin = record.begin.clone();
    ensure!(
        begin.direct.is_some() == options.direct,
        "the run of {} drives {}; resume it {} --direct",
        path.display(),
        if begin.direct.is_some() { "a node" } else { "the engine" },
        if begin.direct.is_some() { "with" } else { "without" }
    );
    let signers = keys::signers(&options.keys)?;
    check_keys(&record, signers.len(), &options.keys)?;
    let plan = Arc::new(Plan::new(begin.seed, begin.stages.clone(), addresses(&signers))?);
    if let Some(api) = &options.api {
        wait_until_ready(api).await?;
    }
    let head = chain::head(node).await?;
    ensure!(
        head >= begin.first_block,
        "the chain's head is {head} and the run began at block {}; this is another chain",
        begin.first_block
    );
    let target = target(begin.direct, &begin.base_nonces, &plan, signers, options.sign_beforehand)?;
    let journal = Arc::new(Journal::reopen(path, record.whole_bytes)?);
    let clock = Clock::start();
    if record.settled_us.is_none() {
        journal.write(&Event::Resumed { at_us: clock.start_us() })?;
    }
    Ok(Start { plan, target, journal, begin, before: Some(record), clock })
}

/// The key file must be the one of the run.
pub(crate) fn check_keys(record: &Record, keys: usize, path: &Path) -> anyhow::Result<()> {
    let addresses = record.begin.base_nonces.len();
    ensure!(keys == addresses, "the record is of a run with {addresses} addresses and {} holds {keys}", path.display());
    Ok(())
}

/// Made before the clock of the run starts, because signing beforehand takes its time.
fn target(
    direct: Option<Terms>,
    base_nonces: &[u64],
    plan: &Arc<Plan>,
    signers: Vec<Secp256k1Signer>,
    sign_beforehand: bool,
) -> anyhow::Result<Target> {
    let Some(terms) = direct else { return Ok(Target::Engine(plan.clone())) };
    let mut node = Direct::new(plan.clone(), signers, base_nonces.to_vec(), terms);
    if sign_beforehand {
        node.sign_all()?;
    }
    Ok(Target::Node(node))
}

fn addresses(signers: &[Secp256k1Signer]) -> Vec<alloy::primitives::Address> {
    signers.iter().map(Secp256k1Signer::address).collect()
}

/// The stages that the command line asks for.
fn stages_of(shape: &Shape) -> anyhow::Result<Vec<Stage>> {
    if let Some(path) = &shape.stages {
        return stages::read(path, shape.mix.as_ref());
    }
    let mix = shape.mix.clone().unwrap_or_else(|| Mix::only(Scenario::Transfer));
    let pace = match (shape.rate, shape.ramp) {
        (Some(rate), _) => StagePace::Rate(rate),
        (None, Some(ramp)) => StagePace::Ramp(ramp.from, ramp.to),
        (None, None) => StagePace::Closed(shape.outstanding),
    };
    let name = "all".to_owned();
    let stage = match (shape.transactions, shape.seconds) {
        (Some(transactions), _) => Stage::of(name, pace, transactions, mix),
        (None, Some(seconds)) => Stage::lasting(name, pace, seconds, mix),
        (None, None) => bail!("it is not said how much to offer; give --transactions, --seconds or --stages"),
    };
    Ok(vec![stage?])
}

async fn check_contracts(node: &RpcClient, plan: &Plan) -> anyhow::Result<()> {
    if !plan.needs_contracts() {
        return Ok(());
    }
    let at = plan.contracts();
    let present = chain::have_code(node, &[at.token, at.storage]).await?;
    ensure!(
        present == [true, true],
        "the mix has erc20 or storage and their contracts {} and {} are not on this chain; run `load fund --contracts` first",
        at.token,
        at.storage
    );
    Ok(())
}

async fn terms(node: &RpcClient) -> anyhow::Result<Terms> {
    let price = chain::gas_price(node).await?.saturating_mul(PRICE_HEADROOM).saturating_add(TIP.into());
    let max_fee_per_gas = u64::try_from(price).with_context(|| format!("the node's price of {price} wei is beyond 64 bits"))?;
    Ok(Terms { chain_id: chain::chain_id(node).await?, max_fee_per_gas, max_priority_fee_per_gas: TIP.min(max_fee_per_gas) })
}

async fn wait_until_ready(api: &str) -> anyhow::Result<()> {
    let mut client = Client::new(api)?;
    let deadline = Instant::now() + READY_PATIENCE;
    loop {
        let reason = match client.get("/readyz").await {
            Ok(reply) if reply.status.is_success() => return Ok(()),
            Ok(reply) => String::from_utf8_lossy(&reply.body).trim().to_owned(),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            bail!("the engine at {api} was not ready within {} s: {reason}", READY_PATIENCE.as_secs());
        }
        tokio::time::sleep(READY_INTERVAL).await;
    }
}

/// Where a run's record is when nobody asked for one.
pub(crate) fn unnamed_record() -> anyhow::Result<(tempfile::TempDir, PathBuf)> {
    let dir = tempfile::Builder::new().prefix("load-record-").tempdir()?;
    let path = dir.path().join("record.ndjson");
    Ok((dir, path))
}
