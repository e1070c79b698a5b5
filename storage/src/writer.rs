//! The submission writer: all shards' commits meet in one append.
//!
//! ```text
//!   shard 0 ─ commits ─►┐                                     ┌─► acks, wake ─ shard 0
//!   shard 1 ─ commits ─►┼─ one turn ─► Store::append ─ fsync ─┼─► acks, wake ─ shard 1
//!   shard n ─ commits ─►┘   (bounded)                         └─► acks, wake ─ shard n
//! ```
//!
//! A [`Writer`] is pure of threads and clocks: [`Writer::turn`] makes one group commit and returns. [`run`](crate::run()) turns it on
//! a thread of its own; the simulator turns it between its other steps. The size of a commit follows the load: a turn takes what has
//! arrived while the one before it was being synced, and never waits for more.
//!
//! How it fails. An append that failed is *unknown*, neither written nor not. The writer then
//!
//! 1. marks itself unhealthy and wakes every shard at once, so that none sends, whether it had a part in the append or not;
//! 2. opens the store again, as often as it takes, and asks which sequence is on disk; no ticket is answered until then;
//! 3. the batch is atomic, so the sequence decides for all of it: one more than before is [`Outcome::Durable`], the same as before is
//!    [`Outcome::Refused`]; and after a refusal everything that the same shards had queued behind it is refused too (see
//!    [`link`](crate::link)'s epochs).
//!
//! Any other sequence on disk means that acknowledged appends are gone or that somebody else wrote. The writer then refuses
//! everything and stays unhealthy: it keeps the sequence it knows, so the store refuses each of its appends.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{
    link::{Ack, Commit, Lane, Outcome, ShardLink, Wake},
    record::Record,
    sabotage::{self, Sabotage},
    store::{Append, Store, StoreError},
};

/// How much goes into one append, give or take the commit that reaches a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AppendLimits {
    /// Records. A flood delays its own first acks by no more than these take.
    pub records_max: usize,
    /// Bytes, by [`Record::weight`]: keeps a batch of large call data well below a memtable.
    pub bytes_max: usize,
}

impl Default for AppendLimits {
    /// About 10 ms of work for the store.
    fn default() -> Self {
        Self { records_max: 2_000, bytes_max: 4 * 1024 * 1024 }
    }
}

/// What a turn did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Nothing had been submitted.
    Idle,
    /// Commits were answered; more may be there.
    Wrote,
    /// An append is unknown and the store could not be opened again: call again after a pause.
    Recovering,
}

/// Counters and health of a writer, shared with metrics and readiness.
pub struct WriterState {
    healthy: AtomicBool,
    appends: AtomicU64,
    records: AtomicU64,
    bytes: AtomicU64,
    fsyncs: AtomicU64,
    bell: Arc<OnceLock<Wake>>,
}

impl WriterState {
    /// Wakes the writer, as a submit does. For who has just told it to stop.
    pub fn wake(&self) {
        if let Some(bell) = self.bell.get() {
            bell();
        }
    }

    /// `false` from an unknown or refused append until the writer can append again. Not ready then: stop sending.
    #[must_use]
    pub fn healthy(&self) -> bool {
        self.healthy.load(Ordering::Acquire)
    }

    /// Appends that became durable.
    #[must_use]
    pub fn appends_total(&self) -> u64 {
        self.appends.load(Ordering::Relaxed)
    }

    /// Records in them.
    #[must_use]
    pub fn records_total(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Bytes in them, by [`Record::weight`].
    #[must_use]
    pub fn bytes_total(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Log syncs asked of the store: one for each append that was tried and not refused.
    #[must_use]
    pub fn fsyncs_total(&self) -> u64 {
        self.fsyncs.load(Ordering::Relaxed)
    }

    fn set_healthy(&self, healthy: bool) -> bool {
        self.healthy.swap(healthy, Ordering::AcqRel) != healthy
    }

    fn count_fsync(&self) {
        self.fsyncs.fetch_add(1, Ordering::Relaxed);
    }

    fn count_append(&self, records: usize, bytes: usize) {
        self.appends.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// The writer's end of one link.
struct Port {
    lane: Arc<Lane>,
    wake: Wake,
    epoch: u32,
    /// Acks were put here in this turn: wake the shard at its end.
    rang: bool,
}

impl Port {
    fn answer(&mut self, ticket: u64, outcome: Outcome) {
        let ack = Ack { ticket, epoch: self.epoch, outcome };
        let full = self.lane.acks.push(ack).is_err();
        assert!(!full, "a link holds fewer tickets than it has room for acks");
        self.rang = true;
    }
}

/// A commit whose records are in the batch.
#[derive(Clone, Copy)]
struct Ticket {
    port: usize,
    ticket: u64,
}

/// What one append carries.
#[derive(Default)]
struct Batch {
    records: Vec<Record>,
    tickets: Vec<Ticket>,
    bytes: usize,
}

impl Batch {
    fn is_full(&self, limits: AppendLimits) -> bool {
        self.records.len() >= limits.records_max || self.bytes >= limits.bytes_max
    }

    fn take(&mut self, port: usize, commit: Commit) {
        self.bytes += commit.records.iter().map(Record::weight).sum::<usize>();
        self.records.extend(commit.records);
        self.tickets.push(Ticket { port, ticket: commit.ticket });
    }

    fn clear(&mut self) {
        self.records.clear();
        self.tickets.clear();
        self.bytes = 0;
    }
}

/// Makes group commits of what the shards submit. One for a store.
pub struct Writer<S> {
    store: S,
    ports: Vec<Port>,
    /// The port that the next batch starts with, so that no shard is always last.
    first: usize,
    batch: Batch,
    limits: AppendLimits,
    /// Sequence of the last append known to be durable.
    sequence: u64,
    /// The batch was appended and its outcome is unknown.
    unresolved: bool,
    state: Arc<WriterState>,
    bell: Arc<OnceLock<Wake>>,
}

/// A writer for `store` with one link for each of `wakes`, which ring the shards. At most `capacity` tickets are in the air on each
/// link.
///
/// # Errors
/// When the store cannot tell its sequence.
///
/// # Panics
/// When `capacity` is 0.
pub fn writer<S: Store>(store: S, wakes: Vec<Wake>, capacity: usize) -> Result<(Writer<S>, Vec<ShardLink>), StoreError> {
    let sequence = store.sequence()?;
    let bell = Arc::new(OnceLock::new());
    let ports: Vec<Port> =
        wakes.into_iter().map(|wake| Port { lane: Arc::new(Lane::new(capacity)), wake, epoch: 0, rang: false }).collect();
    let links = ports.iter().map(|port| ShardLink::new(Arc::clone(&port.lane), Arc::clone(&bell))).collect();
    let state = WriterState {
        healthy: AtomicBool::new(true),
        appends: AtomicU64::new(0),
        records: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        fsyncs: AtomicU64::new(0),
        bell: Arc::clone(&bell),
    };
    let writer = Writer {
        store,
        ports,
        first: 0,
        batch: Batch::default(),
        limits: AppendLimits::default(),
        sequence,
        unresolved: false,
        state: Arc::new(state),
        bell,
    };
    Ok((writer, links))
}

impl<S> Drop for Writer<S> {
    /// Nobody appends any more: shards that wait for an answer must hear of it.
    fn drop(&mut self) {
        self.set_healthy(false);
        self.wake_shards();
    }
}

impl<S> Writer<S> {
    /// Health is everybody's business: a change wakes all shards.
    fn set_healthy(&mut self, healthy: bool) {
        if self.state.set_healthy(healthy) {
            self.ports.iter_mut().for_each(|port| port.rang = true);
        }
    }

    fn wake_shards(&mut self) {
        for port in &mut self.ports {
            if std::mem::take(&mut port.rang) {
                (port.wake)();
            }
        }
    }
}

impl<S: Store> Writer<S> {
    /// The same writer with other limits of an append.
    #[must_use]
    pub fn with_limits(mut self, limits: AppendLimits) -> Self {
        self.limits = limits;
        self
    }

    /// Counters and health, to share with metrics and readiness.
    #[must_use]
    pub fn state(&self) -> Arc<WriterState> {
        Arc::clone(&self.state)
    }

    /// Sets what is called after each submit, to wake whoever turns this writer. Once: [`run`](crate::run()) sets its own.
    ///
    /// # Panics
    /// When it has been set before.
    pub fn on_submit(&self, wake: Wake) {
        assert!(self.bell.set(wake).is_ok(), "a writer is turned by one owner, which sets its bell once");
    }

    /// One group commit: drains all links fairly up to its [`AppendLimits`], appends once, answers, wakes.
    pub fn turn(&mut self) -> Turn {
        let turn = if self.unresolved { self.recover() } else { self.commit() };
        self.wake_shards();
        turn
    }

    /// Takes what the next turn will append, as that turn would at its beginning. For an owner without a thread, whose shards go on
    /// while a commit is being synced: what they submit after this is behind that commit, as it is in production.
    pub fn begin(&mut self) {
        if !self.unresolved && self.batch.tickets.is_empty() {
            self.gather();
        }
    }

    /// Nothing has been submitted and nothing is unresolved.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        !self.unresolved && self.batch.tickets.is_empty() && self.ports.iter().all(|port| port.lane.commits.is_empty())
    }

    /// All shards' ends are gone: nothing will be submitted any more.
    #[must_use]
    pub fn is_deserted(&self) -> bool {
        self.ports.iter().all(|port| port.lane.left.load(Ordering::Acquire))
    }

    fn commit(&mut self) -> Turn {
        // What `begin` has taken goes alone: what came since belongs to the next turn.
        let refused = self.batch.tickets.is_empty() && self.gather();
        if self.batch.tickets.is_empty() {
            return if refused { Turn::Wrote } else { Turn::Idle };
        }
        match self.store.append(self.sequence, &self.batch.records) {
            Append::Durable { sequence } => {
                self.state.count_fsync();
                self.durable(sequence);
                Turn::Wrote
            }
            Append::Refused(error) => {
                tracing::error!(%error, sequence = self.sequence, "an append was refused");
                self.set_healthy(false);
                self.refuse();
                Turn::Wrote
            }
            Append::Unknown(error) => {
                tracing::error!(%error, sequence = self.sequence, "an append failed with unknown outcome; opening the store again");
                self.state.count_fsync();
                self.set_healthy(false);
                if sabotage::on(Sabotage::UnknownAcknowledged) {
                    self.answer(Outcome::Durable);
                    self.batch.clear();
                }
                self.wake_shards();
                self.unresolved = true;
                self.recover()
            }
        }
    }

    /// Fills the batch, one commit from each link in turn. Commits of an older epoch are refused here; tells whether there were any.
    fn gather(&mut self) -> bool {
        let ports = self.ports.len();
        let (mut refused, mut empty) = (false, 0);
        let mut next = self.first;
        while empty < ports && !self.batch.is_full(self.limits) {
            let port = &mut self.ports[next];
            match port.lane.commits.pop() {
                Some(commit) if commit.epoch == port.epoch || sabotage::on(Sabotage::StaleCommitWritten) => {
                    self.batch.take(next, commit);
                    empty = 0;
                }
                Some(stale) => {
                    port.answer(stale.ticket, Outcome::Refused);
                    refused = true;
                    empty = 0;
                }
                None => empty += 1,
            }
            next = (next + 1) % ports;
        }
        self.first = next;
        refused
    }

    /// Opens the store again and settles the batch by the sequence found on disk.
    fn recover(&mut self) -> Turn {
        let found = match self.store.reopen() {
            Ok(found) => found,
            Err(error) => {
                tracing::error!(%error, "the store cannot be opened again yet");
                return Turn::Recovering;
            }
        };
        self.unresolved = false;
        if sabotage::on(Sabotage::UnknownIsRefused) {
            self.sequence = found;
        }
        if found == self.sequence + 1 {
            tracing::warn!(sequence = found, "the unknown append is on disk");
            self.durable(found);
        } else if found == self.sequence && sabotage::on(Sabotage::UnknownIsDurable) {
            self.durable(found);
        } else if found == self.sequence {
            tracing::warn!(sequence = found, "the unknown append is not on disk");
            self.set_healthy(true);
            self.refuse();
        } else {
            tracing::error!(
                found,
                known = self.sequence,
                "the store lost acknowledged appends or has another writer; nothing more is written, restart after finding out"
            );
            self.refuse();
        }
        Turn::Wrote
    }

    fn durable(&mut self, sequence: u64) {
        self.sequence = sequence;
        self.state.count_append(self.batch.records.len(), self.batch.bytes);
        self.set_healthy(true);
        self.answer(Outcome::Durable);
        self.batch.clear();
    }

    /// Refuses the batch. Every link that had a part in it moves to its next epoch, which fences what is queued there.
    fn refuse(&mut self) {
        let mut moved = vec![false; self.ports.len()];
        for ticket in &self.batch.tickets {
            if !std::mem::replace(&mut moved[ticket.port], true) {
                self.ports[ticket.port].epoch += 1;
            }
        }
        self.answer(Outcome::Refused);
        self.batch.clear();
    }

    fn answer(&mut self, outcome: Outcome) {
        for ticket in &self.batch.tickets {
            self.ports[ticket.port].answer(ticket.ticket, outcome);
        }
    }
}
