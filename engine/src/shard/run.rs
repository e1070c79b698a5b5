//! The loop of a shard: feeds events to its manager and carries out what that asks for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use alloy::primitives::Address;
use flume::{Receiver, Sender};
use netio::{Bell, Room};
use storage::{Commit, Outcome as Written, Record, ShardLink, Store, WriterState, read};
use uuid::Uuid;

use super::asks::{Ask, answer};
use super::batches::Batches;
use super::dependents::Neighbours;
use super::follow::FollowParts;
use super::inbox::Inbox;
use super::keep::{KEPT_TICKET, KeepOrder, Kept};
use super::mailbox::{Mail, Mailbox};
use super::price::PriceDesk;
use super::questions::Waiting;
use super::send::{Sends, UsedLane};
use super::signing::Signing;
use super::watches::Watches;
use crate::chain::Roster;
use crate::engine::{RETRY_AFTER_MS, Reservations, SubmitError};
use crate::feed::News;
use crate::keys::Signer;
use crate::metrics::Metrics;
use crate::point::{self, Point};
use crate::readers::Readers;
use crate::sabotage::{self, Sabotage};
use crate::txmgr::order::{Case, Done};
use crate::txmgr::{Action, BlockEffects, Census, Counted, Event, Manager, Now, Recovered, Settings, Signed, Slot, Waiter};

/// Tickets of blocks; the manager's count from 1 and never get here.
const BLOCK_TICKET: u64 = 1 << 63;

/// What a shard is made of.
pub struct ShardParts<S: Store> {
    /// Its mailbox.
    pub mailbox: Receiver<Mail>,
    /// Rung when something is in one of its queues.
    pub bell: Bell,
    /// Its way to the writer.
    pub link: ShardLink,
    /// Signs for its addresses, and for others.
    pub signer: Arc<dyn Signer>,
    /// How long a signature may take.
    pub sign_timeout: std::time::Duration,
    /// Where it has the disk read.
    pub readers: Readers<S>,
    /// What its manager depends on.
    pub settings: Settings,
    /// A run ends when it has this many signatures to make or submissions taken in, so that nothing waits longer.
    pub run: usize,
    /// The nodes.
    pub roster: Roster,
    /// Transactions go to every healthy node.
    pub send_to_all: bool,
    /// Where it asks for gas prices.
    pub prices: PriceDesk,
    /// What is counted.
    pub metrics: Metrics,
    /// Idempotency keys whose submissions have no certain end.
    pub reservations: Arc<Reservations>,
    /// Submissions that are not answered, shared with the mailbox's other end.
    pub held: Arc<AtomicUsize>,
    /// What the writer knows.
    pub writer: Arc<WriterState>,
    /// Set when the shard shall end.
    pub stop: Arc<AtomicBool>,
    /// Blobs go with proofs of their cells (`txmgr.blob_proofs`).
    pub blob_cells: bool,
    /// Transactions whose blobs nobody needs: they are dropped at the start.
    pub stale_blobs: Vec<Uuid>,
    /// What the disk holds of its addresses.
    pub recovered: Vec<Recovered>,
    /// What the disk holds of its transactions on which others depend, and how many of them.
    pub watched: BTreeMap<Uuid, i64>,
    /// Every shard's mailbox, in order.
    pub mailboxes: Vec<Mailbox>,
    /// The follower, on shard 0.
    pub follow: Option<FollowParts>,
    /// Its number, and where it tells how many transactions are in each stage.
    pub census: (usize, Arc<Census>),
    /// Rung when endings, or a block, have got to disk.
    pub news: News,
}

/// What a shard's own tasks bring home.
pub(super) enum Home<R: Room> {
    Event(Event),
    Sent(UsedLane<R>, Event),
    /// The address's job with this number, in the order asked.
    Signed(Address, u64, Box<Signed>),
    StoreBlock(Record, Sender<()>),
}

/// A running shard.
pub struct Shard<R: Room, S: Store> {
    room: R,
    mailbox: Receiver<Mail>,
    bell: Bell,
    link: ShardLink,
    epoch: u32,
    signing: Signing,
    readers: Readers<S>,
    manager: Manager,
    run: usize,
    metrics: Metrics,
    batches: Batches,
    sends: Sends<R, S>,
    prices: PriceDesk,
    pauses: Waiting<()>,
    orders: Waiting<Done>,
    neighbours: Neighbours<R, S>,
    watches: Watches,
    kept: Kept,
    home: Inbox<Home<R>>,
    asks: Inbox<Ask>,
    outbox: VecDeque<Commit>,
    block: Option<(Record, Sender<()>)>,
    block_effects: Option<Sender<BlockEffects>>,
    actions: Vec<Action>,
    writer: Arc<WriterState>,
    store_healthy: bool,
    stop: Arc<AtomicBool>,
    stopping: bool,
    census: (usize, Arc<Census>),
    news: News,
}

impl<R: Room, S: Store> Shard<R, S> {
    /// Runs a shard until it is told to stop.
    pub async fn run(room: R, mut parts: ShardParts<S>) {
        let home = Inbox::new(parts.bell.clone());
        let asks_bell = Bell::new();
        let asks = Inbox::new(asks_bell.clone());
        let gates = parts.roster.gates();
        room.spawn(answer(room.clone(), parts.roster.clone(), gates.clone(), asks.clone(), asks_bell, home.clone()));
        if let Some(follow) = parts.follow.take() {
            follow.start(&room, &parts, &gates, &home);
        }
        let mut shard = Self {
            sends: Sends::new(&room, &parts, gates, &home),
            prices: parts.prices,
            manager: Manager::new(parts.settings),
            run: parts.run,
            batches: Batches::new(parts.reservations, parts.held),
            pauses: Waiting::default(),
            orders: Waiting::default(),
            neighbours: Neighbours::new(room.clone(), parts.readers.clone(), parts.mailboxes),
            watches: Watches::default(),
            kept: Kept::default(),
            mailbox: parts.mailbox,
            bell: parts.bell,
            link: parts.link,
            epoch: 0,
            signing: Signing::new(parts.signer, parts.sign_timeout),
            readers: parts.readers,
            metrics: parts.metrics,
            home,
            asks,
            outbox: VecDeque::new(),
            block: None,
            block_effects: None,
            actions: Vec::new(),
            writer: parts.writer,
            store_healthy: true,
            stop: parts.stop,
            stopping: false,
            census: parts.census,
            news: parts.news,
            room,
        };
        shard.drop_blobs(parts.stale_blobs);
        for recovered in parts.recovered {
            shard.handle(Event::Recovered(recovered));
        }
        for (dependency, count) in parts.watched {
            shard.handle(Event::Watched(dependency, count));
        }
        // One shard looks at what is blocked for all of them.
        if shard.census.0 == 0 && !sabotage::on(Sabotage::DependentsForgotten) {
            shard.neighbours.check_dependents(None);
        }
        let now = shard.now();
        shard.manager.flush(now, &mut shard.actions);
        shard.perform();
        shard.turns().await;
    }

    /// Whether that reaches the disk matters to nobody: the next start looks again.
    fn drop_blobs(&mut self, stale: Vec<Uuid>) {
        for id in stale {
            let (reply, _) = flume::bounded(1);
            let ticket = self.kept.open(reply);
            self.commit(Commit { ticket, epoch: self.epoch, records: vec![Record::SidecarDropped { id }] });
        }
    }

    async fn turns(&mut self) {
        loop {
            self.bell.wait().await;
            while self.turn() {
                // Replies and other tasks of this core get their turn between two runs.
                yield_now().await;
            }
            // A store that cannot answer is not waited for: what it has not confirmed was never acknowledged.
            let handed_over = self.link.in_the_air() == 0 && self.outbox.is_empty();
            if self.stopping && (handed_over || !self.store_healthy) {
                return;
            }
        }
    }

    /// One bounded run. True if there is more to do.
    fn turn(&mut self) -> bool {
        self.acks();
        self.health();
        while self.manager.jobs() < self.run
            && let Some(home) = self.home.pop()
        {
            match home {
                Home::Event(event) => self.handle(event),
                Home::Sent(lane, event) => {
                    point::reached(Point::Replied);
                    self.sends.back(lane);
                    self.handle(event);
                }
                Home::Signed(address, number, signed) => {
                    let signed = self.signing.came(address, number, *signed);
                    self.handle(Event::Signed(signed));
                }
                Home::StoreBlock(record, done) => self.store_block(record, done),
            }
        }
        let more = self.mail();
        self.sign();
        let now = self.now();
        self.manager.flush(now, &mut self.actions);
        self.perform();
        self.census.1.run_ended(self.census.0, || self.manager.by_stage());
        more || !self.home.is_empty()
    }

    fn now(&self) -> Now {
        Now { elapsed: self.room.now(), unix_us: u64::try_from(self.room.unix_time().as_micros()).unwrap_or(u64::MAX) }
    }

    fn handle(&mut self, event: Event) {
        let now = self.now();
        self.manager.handle(event, now, &mut self.actions);
    }

    /// Looks whether the store can be written and whether the shard shall end: both stop binding and sending.
    fn health(&mut self) {
        let healthy = self.writer.healthy();
        if healthy != std::mem::replace(&mut self.store_healthy, healthy) {
            if !healthy {
                self.kept.unknown();
            }
            if !self.stopping {
                self.handle(Event::Store { healthy });
            }
        }
        if !self.stopping && self.stop.load(Ordering::Acquire) {
            self.stopping = true;
            self.handle(Event::Shutdown);
        }
    }

    fn acks(&mut self) {
        while let Some(ack) = self.link.next_ack() {
            if ack.epoch > self.epoch && sabotage::on(Sabotage::RefusalUnheard) {
                self.epoch = ack.epoch;
            }
            if ack.epoch > self.epoch {
                self.epoch = ack.epoch;
                // What has not been handed over builds on what was refused; a block builds on nothing.
                let block_lost = self.outbox.iter().any(|commit| commit.ticket & BLOCK_TICKET != 0);
                for commit in self.outbox.drain(..).filter(|commit| commit.ticket & KEPT_TICKET != 0) {
                    self.kept.ended(commit.ticket, false);
                }
                self.handle(Event::Refused);
                if block_lost {
                    self.submit_block();
                }
            }
            let (ticket, block) = (ack.ticket, ack.ticket & BLOCK_TICKET != 0);
            if !block && ticket & KEPT_TICKET != 0 {
                self.kept.ended(ticket, ack.outcome == Written::Durable);
                continue;
            }
            match (ack.outcome, block) {
                (Written::Durable, true) => {
                    if let Some((_, done)) = self.block.take() {
                        // The follower may have ended with the room.
                        let _ = done.send(());
                    }
                    self.news.ring();
                }
                (Written::Refused, true) => self.submit_block(),
                (Written::Durable, false) => {
                    point::reached(Point::Persisted);
                    self.handle(Event::Durable { ticket });
                }
                // Told once, when the epoch moved.
                (Written::Refused, false) => {}
            }
        }
        while let Some(commit) = self.outbox.pop_front() {
            if let Err(commit) = self.link.submit(commit) {
                self.outbox.push_front(commit);
                break;
            }
        }
    }

    /// Takes mail in, up to a run; none while commits wait for room at the writer.
    fn mail(&mut self) -> bool {
        let mut taken = 0;
        while taken < self.run && self.outbox.is_empty() && !self.stopping {
            let Ok(mail) = self.mailbox.try_recv() else { return false };
            match mail {
                Mail::Submit(batch) => {
                    taken += batch.items.len();
                    for (item, reply_to) in self.batches.open(batch) {
                        self.handle(Event::Submit(item, reply_to));
                    }
                }
                Mail::Block(block, effects) => {
                    self.block_effects = Some(effects);
                    self.handle(Event::Block(block));
                }
                Mail::Rivals(number, hash, taken, effects) => {
                    self.block_effects = Some(effects);
                    self.handle(Event::Rivals { number, hash, taken });
                }
                Mail::Rewind(to, effects) => {
                    self.block_effects = Some(effects);
                    self.handle(Event::Rewind { to });
                }
                Mail::Question(question) => question.answer(&self.manager),
                Mail::Keep(order) => {
                    let KeepOrder { record, reply } = *order;
                    if !self.store_healthy {
                        // Who ordered it may have gone.
                        let _ = reply.send(Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS }));
                        continue;
                    }
                    let ticket = self.kept.open(reply);
                    self.commit(Commit { ticket, epoch: self.epoch, records: vec![record] });
                }
                Mail::Watch(watch) => self.watches.open(watch),
                Mail::Pause(order) => {
                    let (address, until) = (order.address, order.until);
                    let ask = self.pauses.open(order.reply);
                    self.handle(Event::Pause { address, until, ask });
                }
                Mail::Order(order) => {
                    let ask = self.orders.open(order.reply);
                    self.handle(Event::Order { id: order.id, from: order.from, command: order.command, ask: Some(ask) });
                }
                Mail::Tell(event) => self.handle(*event),
            }
        }
        self.outbox.is_empty() && !self.stopping
    }

    fn sign(&mut self) {
        loop {
            let jobs = self.manager.sign();
            if jobs.is_empty() {
                return;
            }
            let signed = self.signing.start(&jobs, &self.room, &self.home);
            if !signed.is_empty() {
                point::reached(Point::Signed);
            }
            self.handle(Event::Signed(signed));
        }
    }

    fn store_block(&mut self, record: Record, done: Sender<()>) {
        self.block = Some((record, done));
        self.submit_block();
    }

    fn submit_block(&mut self) {
        if let Some((record, _)) = &self.block {
            let commit = Commit { ticket: BLOCK_TICKET, epoch: self.epoch, records: vec![record.clone()] };
            self.commit(commit);
        }
    }

    fn commit(&mut self, commit: Commit) {
        if !self.outbox.is_empty() {
            self.outbox.push_back(commit);
        } else if let Err(commit) = self.link.submit(commit) {
            self.outbox.push_back(commit);
        }
    }

    fn perform(&mut self) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            match action {
                Action::Commit { ticket, records } => {
                    self.commit(Commit { ticket, epoch: self.epoch, records });
                    if sabotage::on(Sabotage::AcknowledgedBeforeSync) {
                        self.home.push(Home::Event(Event::Durable { ticket }));
                    }
                }
                Action::Send { lane, attempts } => self.sends.send(lane, attempts),
                Action::SendBlobs { lane, slot, id, raw } => self.sends.send_blobs(lane, slot, id, raw),
                Action::FetchPrice => self.prices.want(),
                Action::FetchBlobPrice => self.prices.want_blobs(),
                Action::FetchBalance(address) => self.asks.push(Ask::Balance(address)),
                Action::FetchNonce(address, head) => self.asks.push(Ask::Nonce(address, head)),
                Action::Estimate(id, request) => self.asks.push(Ask::Estimate(id, request)),
                Action::Load { address, after, limit } => self.load(address, after, limit),
                Action::LoadRequest(slot, id) => self.load_request(slot, id),
                Action::Reply { to, result, last } => self.batches.answer(to, result, last),
                Action::Paused { ask, result } => self.pauses.answer(ask, result),
                Action::Ordered { ask, result } => self.orders.answer(ask, result),
                Action::LoadCase { id, required, finality } => self.load_case(id, required, finality),
                Action::Tell(address, event) => self.neighbours.tell(&address, event),
                Action::Settled(id) => self.neighbours.check_dependents(Some(id)),
                Action::Effects(effects) => {
                    if let Some(reply) = self.block_effects.take() {
                        // The follower may have ended with the room.
                        let _ = reply.send(effects);
                    }
                }
                Action::WakeAt(at) => self.wake_at(at),
                Action::Count(counted) => {
                    if let (false, Counted::Bound(id, _) | Counted::Failed(id)) = (self.watches.is_empty(), counted) {
                        self.watches.settled(&id);
                    }
                    if matches!(counted, Counted::Failed(_)) {
                        self.news.ring();
                    }
                    count(&self.metrics, counted);
                }
            }
        }
        // The vector is kept for its memory.
        self.actions = actions;
    }

    fn load(&self, address: Address, after: Option<u64>, limit: usize) {
        let (readers, home) = (self.readers.clone(), self.home.clone());
        self.room.spawn(async move {
            let read = readers.run(move |store| crate::recover::waiters(store, &address, after, limit)).await;
            let waiters: Option<Vec<Waiter>> = match read {
                Ok(Ok(waiters)) => Some(waiters),
                Ok(Err(error)) => {
                    tracing::error!(%address, %error, "the queue of the address cannot be read; trying again");
                    None
                }
                Err(_) => None,
            };
            home.push(Home::Event(Event::Loaded(address, waiters)));
        });
    }

    fn load_request(&self, slot: Slot, id: Uuid) {
        let (readers, home) = (self.readers.clone(), self.home.clone());
        self.room.spawn(async move {
            let row = match readers.run(move |store| read::transaction(store, id)).await {
                Ok(Ok(row)) => row,
                Ok(Err(error)) => {
                    tracing::error!(%id, %error, "the displaced request cannot be read; trying again with the next block");
                    None
                }
                Err(_) => None,
            };
            home.push(Home::Event(Event::Request(slot, id, row)));
        });
    }

    fn load_case(&self, id: Uuid, required: u64, finality: u64) {
        let (readers, home) = (self.readers.clone(), self.home.clone());
        self.room.spawn(async move {
            let case = match readers.run(move |store| Case::read(store, id, required, finality)).await {
                Ok(Ok(case)) => case,
                Ok(Err(error)) => {
                    tracing::error!(%id, %error, "a transaction that an order is about cannot be read");
                    None
                }
                Err(_) => None,
            };
            home.push(Home::Event(Event::Case(id, case.map(Box::new))));
        });
    }

    fn wake_at(&self, at: std::time::Duration) {
        let (home, sleep) = (self.home.clone(), self.room.sleep(at.saturating_sub(self.room.now())));
        self.room.spawn(async move {
            sleep.await;
            home.push(Home::Event(Event::Tick));
        });
    }
}

fn count(metrics: &Metrics, counted: Counted) {
    // µs to s; exact enough below 2^52.
    let seconds = |us: u64| us as f64 / 1e6;
    match counted {
        Counted::Open(change) => metrics.open.increment(change as f64),
        Counted::Accepted => metrics.accepted.increment(1),
        Counted::Bound(_, us) => {
            metrics.bound.increment(1);
            metrics.durable_seconds.record(seconds(us));
        }
        Counted::Sent(us) => metrics.sent_seconds.record(seconds(us)),
        Counted::Included(us) => metrics.included_seconds.record(seconds(us)),
        Counted::Confirmed { accepted_us, seen_us } => {
            metrics.confirmed.increment(1);
            metrics.confirmed_seconds.record(seconds(accepted_us));
            metrics.seen_to_confirmed_seconds.record(seconds(seen_us));
        }
        Counted::Failed(_) => metrics.failed.increment(1),
        Counted::Displaced => metrics.displaced.increment(1),
        Counted::Resubmitted => metrics.resubmitted.increment(1),
        Counted::Held => metrics.held.increment(1),
        Counted::States(changes) => {
            metrics.orchestrators().iter().zip(changes).for_each(|(gauge, change)| gauge.increment(change as f64));
        }
        Counted::WaitingForFunds(change) => metrics.waiting_for_funds.increment(change as f64),
    }
}

/// Lets the other tasks of the room run.
async fn yield_now() {
    let mut yielded = false;
    std::future::poll_fn(|context| {
        if yielded {
            return std::task::Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
