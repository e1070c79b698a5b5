//! The race between load and chain: offer everything, and wait until all of it is archived.
//!
//! ```text
//! connections ──► engine or node   pace hands out batches; each connection offers one at a time
//! blocks      ◄── node             makes room in the closed loop
//! open work   ◄── engine or node   says when all is archived
//! samples     ──► record           counts and CPU, for the report
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
use crate::begin::Start;
use crate::cli::RunOptions;
use crate::cpu;
use crate::event::{Event, Sample};
use crate::follow::{self, Blocks, Seen};
use crate::pace::Pace;
use crate::progress::{PROGRESS_INTERVAL, Progress, Snapshot};
use crate::submit::{self, Common, Tally};

/// An engine without open work although the chain lacks transactions has lost them; after this long that is final.
const LOST_PATIENCE: Duration = Duration::from_secs(10);
/// Time between two samples: fine enough for a chart, and a few hundred bytes each.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(500);

/// A run under way. Dropping it ends its tasks.
pub(crate) struct Race {
    common: Arc<Common>,
    seen: Arc<Seen>,
    transactions: u64,
    /// Seconds that passed before this process took the run over.
    before_s: f64,
    connections: JoinSet<anyhow::Result<()>>,
    followers: JoinSet<anyhow::Result<()>>,
}

impl Race {
    /// Starts connections and followers.
    pub(crate) fn start(options: &RunOptions, node: RpcClient, start: Start) -> anyhow::Result<Self> {
        let Start { plan, target, journal, begin, before, clock } = start;
        let (pace, tally) = match &before {
            None => (Pace::new(plan.clone(), begin.batch, clock, journal.clone()), Tally::default()),
            Some(record) => (Pace::resume(record, plan.clone(), clock, journal.clone()), Tally::resume(record)),
        };
        let (pace, seen) = (Arc::new(pace), Arc::new(Seen::default()));
        let mut followers = JoinSet::new();
        let blocks = Blocks {
            node: node.clone(),
            first_block: begin.first_block,
            recorded: before.as_ref().and_then(|record| record.blocks.last()).map_or(0, |block| block.number),
            pace: pace.clone(),
            seen: seen.clone(),
            journal: journal.clone(),
            clock,
        };
        followers.spawn(blocks.follow());
        let url = match &options.api {
            Some(api) => {
                followers.spawn(follow::gauges(Client::new(api)?, seen.clone()));
                api
            }
            None => {
                followers.spawn(follow::nonces(node, plan.clone(), begin.base_nonces.clone(), pace.clone(), seen.clone()));
                &options.node
            }
        };
        let common = Arc::new(Common { target, pace, tally: Arc::new(tally), journal, clock });
        let mut connections = JoinSet::new();
        for index in 0..options.connections {
            connections.spawn(submit::work(Client::new(url)?, common.clone(), begin.seed.wrapping_add(index)));
        }
        let before_s = clock.start_us().saturating_sub(begin.at_us) as f64 / 1e6;
        Ok(Self { common, seen, transactions: plan.transactions(), before_s, connections, followers })
    }

    /// How many transactions were refused, and the first of them, for a person.
    pub(crate) fn refusals(&self) -> Option<String> {
        self.common.tally.refusals()
    }

    /// Watches until everything is accepted and archived.
    pub(crate) async fn watch(&mut self, options: &RunOptions) -> anyhow::Result<()> {
        let progress = Progress::new(options.progress, self.transactions);
        let mut stillness = Stillness::new(Duration::from_secs(options.patience));
        let mut idle_since = None;
        let mut sampler = Sampler::new(options);
        let mut ticks = tokio::time::interval(PROGRESS_INTERVAL);
        loop {
            ticks.tick().await;
            while let Some(ended) = self.connections.try_join_next() {
                ended.context("a connection's task failed")??;
            }
            while let Some(ended) = self.followers.try_join_next() {
                ended.context("a follower's task failed")??;
            }
            let snapshot = self.snapshot();
            progress.show(&snapshot)?;
            let is_over = self.connections.is_empty() && is_settled(&snapshot, &mut idle_since);
            sampler.tick(self, &snapshot, is_over)?;
            if is_over {
                self.common.journal.write(&Event::Settled { at_us: self.common.clock.now_us() })?;
                progress.finish();
                return Ok(());
            }
            if stillness.lasts(&snapshot) {
                bail!(
                    "nothing moved for {} s: {}",
                    options.patience,
                    standstill(&snapshot, self.refusals(), self.seen.chain_error.lock().clone())
                );
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        let Common { pace, tally, clock, .. } = &*self.common;
        Snapshot {
            event: "progress",
            elapsed_s: self.before_s + clock.elapsed().as_secs_f64(),
            offered: pace.handed_out(),
            sent: tally.sent.load(Ordering::Relaxed),
            accepted: tally.accepted.load(Ordering::Relaxed),
            included: pace.included(),
            refused: pace.refused(),
            open: self.seen.work().open,
            repeated: tally.repeated.load(Ordering::Relaxed),
        }
    }
}

/// Writes samples into the record.
struct Sampler {
    engine_pid: Option<u32>,
    node_pid: Option<u32>,
    connections: u64,
    cores: u64,
    due: Instant,
    waiting_sum: u64,
    ticks: u64,
}

impl Sampler {
    fn new(options: &RunOptions) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let (engine_pid, node_pid) = (options.engine_pid, options.node_pid);
        Self { engine_pid, node_pid, connections: options.connections, cores, due: Instant::now(), waiting_sum: 0, ticks: 0 }
    }

    /// Notes how many connections wait, and writes a sample where one is due, or is the last.
    fn tick(&mut self, race: &Race, at: &Snapshot, is_last: bool) -> anyhow::Result<()> {
        self.ticks += 1;
        self.waiting_sum += race.common.tally.waiting.load(Ordering::Relaxed);
        if Instant::now() < self.due && !is_last {
            return Ok(());
        }
        let sample = Sample {
            at_us: race.common.clock.now_us(),
            due: race.common.pace.due(),
            offered: at.offered,
            sent: at.sent,
            accepted: at.accepted,
            refused: at.refused,
            included: at.included,
            repeated: at.repeated,
            open: at.open,
            tracking: race.seen.work().tracking,
            waiting: self.waiting_sum as f64 / (self.ticks * self.connections) as f64,
            load_cpu_us: cpu::own_us(),
            engine_cpu_us: self.engine_pid.and_then(cpu::process_us),
            node_cpu_us: self.node_pid.and_then(cpu::process_us),
            machine_cpu_us: cpu::machine_us(),
            cores: self.cores,
        };
        (self.waiting_sum, self.ticks, self.due) = (0, 0, Instant::now() + SAMPLE_INTERVAL);
        race.common.journal.write(&Event::Sample(sample))
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
