//! Orders about accepted transactions: cancel, suspend, resume, update, and the release of what depended on others (rows A6, A17).
//!
//! ```text
//!   order ─► its transaction's line ─► case read from disk ─► decided ─┬─► refused, or nothing to do ─► answered
//!                   ▲                        ▲                         ├─► one record ──────────► on disk: answered
//!                   │                        └── not now: held ◄───────┤
//!                   └── the next order about it ◄──────────────────────└─► a signed attempt ────► on disk: answered
//! ```
//!
//! Orders about one transaction are carried out one after the other, each on what the disk holds after the one before it; so a repeat
//! finds what the first one did and gives the same answer. What is in memory wins over what was read: a transaction may be bound while its
//! case is on the way. A shard that has no order under way pays one look at an empty map for each run.
//!
//! It may lose nothing: an order is answered once its effect is on disk. One whose process dies before was not answered. Checks are ordered
//! anew at each start for all that is blocked.

mod bound;
mod line;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use alloy::primitives::Address;
use storage::{Dependency, Place, Record, Request};
use uuid::Uuid;

use self::line::Moves;
use super::super::estimate::NoEstimate;
use super::super::event::{Action, Counted, Event, Now, Slot};
use super::super::order::{CANCELLED, Case, Command, Done, Refusal};
use super::super::transaction::{Ending, Work};
use super::Manager;
use super::commit::NOT_STORED;
use crate::engine::{RETRY_AFTER_MS, SubmitError};
use crate::sabotage::{self, Sabotage};

/// Cases that are read at once: a part of the readers' queue, so that a flood of orders leaves room for queries.
const READS: usize = 16;
/// Orders about one transaction that may wait; more are told to come back.
const ORDERS: usize = 64;

/// An order to look whether something is free of what it depends on.
pub(super) const fn check(id: Uuid, from: Address) -> Event {
    Event::Order { id, from, command: Command::Check, ask: None }
}

#[derive(Debug)]
struct Order {
    command: Command,
    ask: Option<u64>,
}

/// The orders about one transaction; the first is being carried out.
#[derive(Debug)]
struct Line {
    from: Address,
    orders: VecDeque<Order>,
    phase: Phase,
    /// What the node was asked to estimate for the first order.
    asked: Option<Box<Request>>,
    /// The gas limit of that, once the node has told it.
    estimate: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// To be read.
    Ready,
    /// Being read.
    Reading,
    /// Not now: to be read anew after this.
    Held(Until),
    /// The node is asked for the gas of its new content.
    Estimating,
    /// A record is on its way to the disk.
    Saving,
    /// A transfer to oneself has to bid for its nonce.
    Closing(Slot),
    /// A new generation is being signed and stored.
    Updating(Slot, u16),
}

/// What an order waits for before its case is read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// The transaction is bound, or has its nonce no longer.
    Bound(Slot),
    /// Nothing is being done with the transaction.
    AtRest(Slot),
    /// The queue of this address is not being read.
    Loaded(u32),
    /// A time.
    Time(Duration),
}

/// All orders of a shard.
#[derive(Debug, Default)]
pub(super) struct Orders {
    lines: BTreeMap<Uuid, Line>,
    ready: VecDeque<Uuid>,
    reading: usize,
    /// Those whose first order waits for something else than a read or a write.
    waiting: BTreeSet<Uuid>,
}

/// Transactions of this shard on which others depend, and how many of them.
#[derive(Debug, Default)]
pub(super) struct Watched(BTreeMap<Uuid, i64>);

impl Watched {
    /// So many more, or fewer. They come by several ways, in any order, so one may leave before it has come.
    pub(super) fn more(&mut self, id: Uuid, more: i64) {
        let count = self.0.entry(id).or_default();
        *count += more;
        if *count == 0 {
            self.0.remove(&id);
        }
    }

    /// Something depends on it.
    pub(super) fn contains(&self, id: &Uuid) -> bool {
        !self.0.is_empty() && self.0.contains_key(id)
    }
}

/// What an order writes, and what is true in memory once that is on disk.
#[derive(Debug)]
pub(super) struct Ordered {
    id: Uuid,
    /// Number of its address.
    pub(super) address: u32,
    end: Result<Done, Refusal>,
    moves: Moves,
    /// What it no longer depends on.
    free: Vec<Dependency>,
    /// It has ended.
    ended: bool,
}

/// What follows from a case.
enum Decision {
    Answer(Result<Done, Refusal>),
    /// Not now.
    Wait(Until),
    /// The node's price is not known, or something of that kind: the caller may come back.
    Busy,
    Write(Box<(Record, Ordered)>),
    /// A further attempt answers it.
    Attempt(Phase),
}

impl Manager {
    /// Takes an order in.
    pub(super) fn order(&mut self, id: Uuid, from: Address, command: Command, ask: Option<u64>, actions: &mut Vec<Action>) {
        let line = self.orders.lines.entry(id).or_insert_with(|| Line {
            from,
            orders: VecDeque::new(),
            phase: Phase::Ready,
            asked: None,
            estimate: None,
        });
        let full = line.orders.len() >= ORDERS || !self.store_healthy;
        if let (true, Some(ask)) = (full, ask) {
            actions.push(Action::Ordered { ask, result: Err(NOT_STORED) });
            if line.orders.is_empty() {
                self.orders.lines.remove(&id);
            }
            return;
        }
        // A check that waits sees what this one would.
        if command == Command::Check && line.orders.iter().skip(1).any(|order| order.command == Command::Check) {
            return;
        }
        line.orders.push_back(Order { command, ask });
        if line.orders.len() == 1 {
            self.orders.ready.push_back(id);
        }
    }

    /// Looks what orders wait for, and has the next cases read.
    pub(super) fn orders_due(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.orders.lines.is_empty() {
            return;
        }
        for id in self.orders.waiting.clone() {
            self.order_due(id, now, actions);
        }
        while self.orders.reading < READS
            && let Some(id) = self.orders.ready.pop_front()
        {
            let Some(line) = self.orders.lines.get_mut(&id).filter(|line| line.phase == Phase::Ready) else { continue };
            line.phase = Phase::Reading;
            self.orders.reading += 1;
            let (required, finality) = (self.settings.txmgr.required_confirmations, self.settings.txmgr.finality_depth);
            actions.push(Action::LoadCase { id, required, finality });
        }
    }

    fn order_due(&mut self, id: Uuid, now: Now, actions: &mut Vec<Action>) {
        let Some((phase, from)) = self.orders.lines.get(&id).map(|line| (line.phase, line.from)) else { return };
        match phase {
            Phase::Held(until) if self.is_over(id, until, now) => self.again(id),
            Phase::Held(Until::Time(at)) => {
                // An address has one alarm, and it may have been for something earlier.
                let number = self.number(from);
                self.wake(number, at);
            }
            Phase::Closing(slot) => match self.get_mut(slot).filter(|tx| tx.id == id && !tx.taken() && tx.closing.is_some()) {
                Some(tx) if tx.closes() => self.answer_order(id, Ok(Done::Cancelling), actions),
                Some(_) => {}
                None => self.again(id),
            },
            Phase::Updating(slot, generation) => match self.get_mut(slot).filter(|tx| tx.id == id) {
                Some(tx) if tx.updating.is_some() => {}
                Some(tx) if tx.generation == generation => self.answer_order(id, Ok(Done::Updated(generation)), actions),
                // It was taken back, or a block holds the transaction.
                Some(_) | None => self.again(id),
            },
            Phase::Held(_) | Phase::Ready | Phase::Reading | Phase::Estimating | Phase::Saving => {}
        }
    }

    fn is_over(&mut self, id: Uuid, until: Until, now: Now) -> bool {
        match until {
            Until::Bound(slot) => self.get_mut(slot).is_none_or(|tx| tx.id != id || tx.is_bound()),
            Until::AtRest(slot) => self.get_mut(slot).is_none_or(|tx| tx.id != id || tx.taken() || tx.work == Work::None),
            Until::Loaded(number) => self.at(number).waiting.loading.is_none(),
            Until::Time(at) => at <= now.elapsed,
        }
    }

    /// Its case is read anew.
    fn again(&mut self, id: Uuid) {
        if let Some(line) = self.orders.lines.get_mut(&id) {
            line.phase = Phase::Ready;
            self.orders.waiting.remove(&id);
            self.orders.ready.push_back(id);
        }
    }

    /// The first order about it has ended.
    fn answer_order(&mut self, id: Uuid, end: Result<Done, SubmitError>, actions: &mut Vec<Action>) {
        self.orders.waiting.remove(&id);
        let Some(line) = self.orders.lines.get_mut(&id) else { return };
        (line.asked, line.estimate) = (None, None);
        if let Some(Order { ask: Some(ask), .. }) = line.orders.pop_front() {
            actions.push(Action::Ordered { ask, result: end });
        }
        if line.orders.is_empty() {
            self.orders.lines.remove(&id);
        } else {
            self.again(id);
        }
    }

    /// The node's word on the gas of an update; false if no update of this transaction to this request waits for one.
    pub(super) fn update_estimated(
        &mut self,
        id: Uuid,
        request: &Request,
        estimate: &Result<u64, NoEstimate>,
        actions: &mut Vec<Action>,
    ) -> bool {
        let factor = self.settings.gas.limit_factor;
        let waits = |line: &&mut Line| line.phase == Phase::Estimating && line.asked.as_deref() == Some(request);
        let Some(line) = self.orders.lines.get_mut(&id).filter(waits) else { return false };
        match estimate {
            Ok(gas) => {
                line.estimate = Some(super::super::estimate::with_factor(*gas, factor));
                self.again(id);
            }
            Err(NoEstimate::Fails(reason)) => {
                let refusal = Refusal::Content(format!("the gas estimate of the new content failed: {reason}; the one before it stands"));
                self.answer_order(id, Err(refusal.into()), actions);
            }
            Err(_) => self.answer_order(id, Err(NOT_STORED), actions),
        }
        true
    }

    /// Appends have stopped to succeed: whoever waits for an order hears that its outcome is unknown. It is carried out all the same.
    pub(super) fn orders_unknown(&mut self, actions: &mut Vec<Action>) {
        for order in self.orders.lines.values_mut().flat_map(|line| &mut line.orders) {
            if let Some(ask) = order.ask.take() {
                actions.push(Action::Ordered { ask, result: Err(SubmitError::Unknown) });
            }
        }
    }

    /// What the disk holds of a transaction: its first order is decided.
    pub(super) fn case(&mut self, id: Uuid, case: Option<Case>, now: Now, actions: &mut Vec<Action>) {
        self.orders.reading = self.orders.reading.saturating_sub(1);
        let Some(line) = self.orders.lines.get(&id).filter(|line| line.phase == Phase::Reading) else { return };
        let from = line.from;
        let Some(command) = line.orders.front().map(|order| order.command.clone()) else { return };
        let number = self.number(from);
        let retry_at = now.elapsed + Duration::from_millis(self.settings.txmgr.retry_min_ms);
        let decision = match case {
            Some(case) => self.decide(id, number, &case, &command, now, actions),
            None => Decision::Busy,
        };
        match decision {
            Decision::Answer(end) => self.answer_order(id, end.map_err(SubmitError::from), actions),
            Decision::Busy if command != Command::Check => {
                let busy = SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS };
                self.answer_order(id, Err(busy), actions);
            }
            Decision::Busy => self.hold_order(id, number, Until::Time(retry_at)),
            Decision::Wait(until) => self.hold_order(id, number, until),
            Decision::Attempt(phase) => self.set_phase(id, phase, true),
            Decision::Write(write) => {
                let (record, ordered) = *write;
                self.set_phase(id, Phase::Saving, false);
                self.records.push(record);
                self.saved.push(super::commit::Saved::Ordered(Box::new(ordered)));
            }
        }
    }

    fn hold_order(&mut self, id: Uuid, number: u32, until: Until) {
        if let Until::Time(at) = until {
            self.wake(number, at);
        }
        self.set_phase(id, Phase::Held(until), true);
    }

    fn set_phase(&mut self, id: Uuid, phase: Phase, waits: bool) {
        if let Some(line) = self.orders.lines.get_mut(&id) {
            line.phase = phase;
        }
        if waits {
            self.orders.waiting.insert(id);
        }
    }

    fn decide(&mut self, id: Uuid, number: u32, case: &Case, command: &Command, now: Now, actions: &mut Vec<Action>) -> Decision {
        let later = Decision::Wait(Until::Time(now.elapsed + Duration::from_millis(self.settings.txmgr.retry_min_ms)));
        let address = &self.addresses[number as usize];
        // What is queued again has left its nonce, though it is remembered until that is final.
        let there = |tx: &&super::InFlight| tx.id == id && !(tx.rival.is_some() && tx.ending == Ending::Done);
        let place = address.in_flight.iter().rposition(|tx| there(&tx.as_ref()));
        if let Some((place, tx)) = place.and_then(|place| Some((place, address.in_flight.get(place)?))) {
            let slot = Slot { address: number, nonce: address.base + place as u64 };
            return match command {
                // It would not be bound if anything were outstanding.
                Command::Check => Decision::Answer(Ok(Done::Resumed)),
                _ if !tx.is_bound() => Decision::Wait(Until::Bound(slot)),
                // After a start nothing can be signed before the chain is known.
                _ if self.chain_id.is_none() => later,
                _ => self.decide_bound(slot, case, command, now, actions),
            };
        }
        if let Some(reason) = &case.failure {
            return Decision::Answer(match command {
                Command::Cancel if reason == CANCELLED => Ok(Done::Cancelled),
                _ => Err(Refusal::Ended(reason.clone())),
            });
        }
        if case.bound {
            // It has left the memory, so it is final; a case without a receipt was read before that.
            let Some(receipt) = &case.receipt else { return later };
            return Decision::Answer(Err(Refusal::Mined(receipt.block_number)));
        }
        match (case.row.place, case.in_line) {
            (Place::Suspended | Place::Blocked, _) => self.decide_parked(id, number, case, command, now),
            (Place::Nowhere | Place::Line(_), Some(queue_number)) => {
                self.decide_waiting(id, number, queue_number, case, command, now, actions)
            }
            // It moves at this moment.
            (Place::Nowhere | Place::Line(_), None) => later,
        }
    }

    /// What an order wrote is on disk.
    pub(super) fn ordered(&mut self, ordered: Ordered, now: Now, actions: &mut Vec<Action>) {
        let Ordered { id, address, end, moves, free, ended } = ordered;
        let open = self.moved(address, moves);
        if ended {
            self.failed(id, actions);
        }
        if open != 0 {
            actions.push(Action::Count(Counted::Open(open)));
        }
        for dependency in free {
            actions.push(Action::Tell(dependency.from, Box::new(Event::Unwatch(dependency.id))));
        }
        self.answer_order(id, end.map_err(SubmitError::from), actions);
        self.pump(address, now, actions);
    }

    /// What an order wrote is not on disk, and will not be.
    pub(super) fn not_ordered(&mut self, ordered: Ordered, now: Now, actions: &mut Vec<Action>) {
        let Ordered { id, address, moves, .. } = ordered;
        self.not_moved(address, moves);
        let check = self.orders.lines.get(&id).and_then(|line| line.orders.front()).is_some_and(|order| order.command == Command::Check);
        if check {
            let retry = Duration::from_millis(self.settings.txmgr.persist_retry_ms);
            self.hold_order(id, address, Until::Time(now.elapsed + retry));
        } else {
            self.answer_order(id, Err(NOT_STORED), actions);
        }
    }

    /// This transaction has an outcome: who depends on it is checked.
    pub(super) fn settled(&self, id: Uuid, actions: &mut Vec<Action>) {
        if self.watched.contains(&id) {
            actions.push(Action::Settled(id));
        }
    }

    /// That it has failed is on disk.
    pub(super) fn failed(&self, id: Uuid, actions: &mut Vec<Action>) {
        self.settled(id, actions);
        actions.push(Action::Count(Counted::Failed(id)));
    }

    /// What is final at this head has its last outcome: a success that was taken back, or a revert, counts from here on.
    pub(super) fn settle_final(&self, number: u32, head: u64, actions: &mut Vec<Action>) {
        if self.watched.0.is_empty() {
            return;
        }
        let finality = self.settings.txmgr.finality_depth;
        let is_final = |tx: &&super::InFlight| tx.taken_in().is_some_and(|block| block + finality <= head + 1);
        for tx in self.addresses[number as usize].in_flight.iter().map(Box::as_ref).take_while(is_final) {
            self.settled(tx.id, actions);
        }
    }
}

impl From<Refusal> for SubmitError {
    fn from(refusal: Refusal) -> Self {
        Self::Invalid(refusal.to_string())
    }
}

/// A mistake made on purpose: what leaves its line is put into it again.
fn kept_in_line(ended: bool) -> bool {
    sabotage::on(if ended { Sabotage::CancelledStillBound } else { Sabotage::SuspendedStillBound })
}
