//! A run: offer everything, and wait until the engine has archived it.
//!
//! ```text
//! connections ──► engine          pace hands out batches; each connection offers one at a time
//! blocks      ◄── node            makes room in the closed loop
//! gauges      ◄── engine          says when all work is archived
//! ```
//!
//! All of it runs on one thread. The loop below only watches: it shows the progress, ends the run when everything is accepted
//! and archived, and gives up with a reason when nothing has moved for `--patience` seconds.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use alloy::rpc::client::RpcClient;
use anyhow::{Context, bail};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::api::Client;
use crate::chain;
use crate::cli::{RunOptions, VerifyOptions};
use crate::follow::{self, Seen};
use crate::keys;
use crate::pace::{Clock, Pace, Regime};
use crate::plan::Plan;
use crate::progress::{PROGRESS_INTERVAL, Progress, Snapshot};
use crate::record::Record;
use crate::submit::{self, Tally};
use crate::verify;

/// How long the engine may take to become ready before the run begins.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// Time between two looks at an engine that is not ready yet.
const READY_INTERVAL: Duration = Duration::from_millis(50);
/// An engine without open work although the chain lacks transactions has lost them; after this long that is final.
const LOST_PATIENCE: Duration = Duration::from_secs(10);

/// Carries out `load run`.
pub(crate) async fn run(options: &RunOptions) -> anyhow::Result<bool> {
    if let Some(rate) = options.rate
        && !(rate.is_finite() && rate > 0.0)
    {
        bail!("--rate {rate} is not a number of transactions a second");
    }
    let node = chain::connect(&options.node)?;
    let plan = Arc::new(Plan::new(options.seed, options.transactions, keys::addresses(&options.keys)?));
    wait_until_ready(&options.api).await?;
    let first_block = chain::head(&node).await?;
    let base_nonces = chain::nonces(&node, plan.senders()).await?;

    let mut race = Race::start(options, node, &plan, first_block)?;
    race.watch(options).await?;
    let record = race.record(options, first_block, base_nonces);
    let refusals = race.tally.refusals();
    drop(race);

    let unnamed = tempfile::Builder::new().prefix("load-record-").suffix(".json").tempfile()?;
    let path = options.record.clone().unwrap_or_else(|| unnamed.path().to_owned());
    record.write(&path)?;
    if options.no_verify {
        // Verification names them otherwise.
        if let Some(refusals) = refusals {
            eprintln!("load: of {} transactions {refusals}", options.transactions);
        }
        return Ok(true);
    }
    let report = options.report.clone();
    let then = VerifyOptions { api: options.api.clone(), node: options.node.clone(), keys: options.keys.clone(), record: path, report };
    verify::verify(&then).await
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

/// A run under way. Dropping it ends its tasks.
struct Race {
    clock: Clock,
    pace: Arc<Pace>,
    tally: Arc<Tally>,
    seen: Arc<Seen>,
    connections: JoinSet<anyhow::Result<()>>,
    _followers: JoinSet<()>,
}

impl Race {
    fn start(options: &RunOptions, node: RpcClient, plan: &Arc<Plan>, first_block: u64) -> anyhow::Result<Self> {
        let regime = options.rate.map_or(Regime::Closed(options.outstanding), Regime::Rate);
        let clock = Clock::start();
        let pace = Arc::new(Pace::new(regime, options.transactions, options.batch, clock));
        let tally = Arc::new(Tally::default());
        let seen = Arc::new(Seen::default());
        let mut followers = JoinSet::new();
        followers.spawn(follow::blocks(node, first_block, pace.clone(), seen.clone()));
        followers.spawn(follow::gauges(Client::new(&options.api)?, seen.clone()));
        let mut connections = JoinSet::new();
        for index in 0..options.connections {
            let client = Client::new(&options.api)?;
            let jitter_seed = options.seed.wrapping_add(index);
            connections.spawn(submit::work(client, plan.clone(), pace.clone(), tally.clone(), jitter_seed));
        }
        Ok(Self { clock, pace, tally, seen, connections, _followers: followers })
    }

    /// Watches until everything is accepted and archived.
    async fn watch(&mut self, options: &RunOptions) -> anyhow::Result<()> {
        let progress = Progress::new(options.progress, options.transactions);
        let mut stillness = Stillness::new(Duration::from_secs(options.patience));
        let mut idle_since = None;
        let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
        loop {
            ticks.tick().await;
            while let Some(ended) = self.connections.try_join_next() {
                ended.context("a connection's task failed")??;
            }
            let snapshot = self.snapshot();
            progress.show(&snapshot)?;
            if self.connections.is_empty() && is_settled(&snapshot, &mut idle_since) {
                progress.finish();
                return Ok(());
            }
            if stillness.lasts(&snapshot) {
                bail!(
                    "nothing moved for {} s: {}",
                    options.patience,
                    standstill(&snapshot, self.tally.refusals(), self.seen.chain_error.lock().clone())
                );
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            event: "progress",
            elapsed_s: self.clock.elapsed().as_secs_f64(),
            offered: self.pace.handed_out(),
            sent: self.tally.sent.load(Ordering::Relaxed),
            accepted: self.tally.accepted.load(Ordering::Relaxed),
            included: self.pace.included(),
            refused: self.pace.refused(),
            open: self.seen.open(),
            repeated: self.tally.repeated.load(Ordering::Relaxed),
        }
    }

    fn record(&self, options: &RunOptions, first_block: u64, base_nonces: Vec<u64>) -> Record {
        let mut refused = self.tally.refused.lock().clone();
        refused.sort();
        Record {
            seed: options.seed,
            transactions: options.transactions,
            batch: options.batch,
            started_us: self.clock.start_us(),
            settled_us: self.clock.now_us(),
            first_block,
            base_nonces,
            intended_us: self.pace.intended_us(),
            sent: self.tally.sent.load(Ordering::Relaxed),
            repeated: self.tally.repeated.load(Ordering::Relaxed),
            refused,
        }
    }
}

/// Whether all work is done: nothing is open, and the chain has everything, or has lacked it for too long to be only late.
fn is_settled(snapshot: &Snapshot, idle_since: &mut Option<Instant>) -> bool {
    if snapshot.open != Some(0) {
        *idle_since = None;
        return false;
    }
    let since = *idle_since.get_or_insert_with(Instant::now);
    snapshot.included >= snapshot.accepted || since.elapsed() > LOST_PATIENCE
}

/// Where a run stands that does not move, and what is known of the reason.
fn standstill(at: &Snapshot, refusals: Option<String>, chain_error: Option<String>) -> String {
    let open = at.open.map_or_else(|| "is away or not ready".to_owned(), |open| format!("has {open} open"));
    let mut text = format!("{} offered, {} accepted, {} in blocks, the engine {open}", at.offered, at.accepted, at.included);
    let reasons = [refusals, chain_error.map(|error| format!("last error of the node: {error}"))];
    for reason in reasons.into_iter().flatten() {
        text.push_str("; ");
        text.push_str(&reason);
    }
    text
}

/// Notices when nothing moves.
struct Stillness {
    patience: Duration,
    last: Option<[u64; 4]>,
    since: Instant,
}

impl Stillness {
    fn new(patience: Duration) -> Self {
        Self { patience, last: None, since: Instant::now() }
    }

    /// Whether nothing has been accepted, refused, included or archived for longer than the patience.
    fn lasts(&mut self, snapshot: &Snapshot) -> bool {
        let now = [snapshot.accepted, snapshot.refused, snapshot.included, snapshot.open.unwrap_or(u64::MAX)];
        if self.last != Some(now) {
            (self.last, self.since) = (Some(now), Instant::now());
        }
        self.since.elapsed() > self.patience
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(accepted: u64, included: u64, open: Option<u64>) -> Snapshot {
        Snapshot { event: "progress", elapsed_s: 1.0, offered: accepted, sent: accepted, accepted, included, refused: 0, open, repeated: 0 }
    }

    #[tokio::test(start_paused = true)]
    async fn a_run_is_settled_when_nothing_is_open_and_the_chain_has_everything() {
        let mut idle = None;
        assert!(!is_settled(&snapshot(10, 10, Some(3)), &mut idle));
        assert!(!is_settled(&snapshot(10, 10, None), &mut idle), "an engine that is away has said nothing");
        assert!(is_settled(&snapshot(10, 10, Some(0)), &mut idle));
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_forgot_its_work_ends_the_run_after_a_while() {
        let mut idle = None;
        assert!(!is_settled(&snapshot(10, 8, Some(0)), &mut idle));
        tokio::time::advance(LOST_PATIENCE * 2).await;
        assert!(is_settled(&snapshot(10, 8, Some(0)), &mut idle));
    }

    #[tokio::test(start_paused = true)]
    async fn patience_starts_again_with_every_movement() {
        let mut stillness = Stillness::new(Duration::from_secs(10));
        assert!(!stillness.lasts(&snapshot(1, 0, None)));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(!stillness.lasts(&snapshot(1, 1, None)));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(!stillness.lasts(&snapshot(1, 1, None)));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(stillness.lasts(&snapshot(1, 1, None)));
        assert!(!stillness.lasts(&Snapshot { refused: 1, ..snapshot(1, 1, None) }), "a refusal is a movement");
    }

    #[test]
    fn a_standstill_names_the_first_refusal_and_the_nodes_last_error() {
        let text = standstill(&snapshot(5, 3, Some(2)), Some("1 refused, the first was transaction 4: no".into()), Some("gone".into()));
        assert_eq!(
            text,
            "5 offered, 5 accepted, 3 in blocks, the engine has 2 open; 1 refused, the first was transaction 4: no; \
             last error of the node: gone"
        );
        assert_eq!(standstill(&snapshot(5, 3, None), None, None), "5 offered, 5 accepted, 3 in blocks, the engine is away or not ready");
    }
}
