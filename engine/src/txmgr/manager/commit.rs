//! Commits: what becomes true when a record is on disk, and what is taken back when it is certain that it is not (row A15).

use std::collections::BTreeSet;
use std::time::Duration;

use alloy::primitives::{Address, Bytes};
use storage::{Dependency, Fees, Place, Record};
use uuid::Uuid;

use super::super::event::{Accept, Action, Counted, Event, Now, ReplyTo, Slot, Waiter};
use super::super::transaction::{Origin, Work};
use super::orders::Ordered;
use super::{Manager, take_run};
use crate::engine::{RETRY_AFTER_MS, SubmitError};
use crate::sabotage::{self, Sabotage};

/// Answer to those whose record the store has refused.
pub(super) const NOT_STORED: SubmitError = SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS };

/// What a record makes true once it is on disk.
#[derive(Debug)]
pub(super) enum Saved {
    /// The transaction waits in its queue.
    Queued { address: u32, id: Uuid, reply_to: ReplyTo },
    /// The transaction is bound: it may be acknowledged and sent.
    Bound { slot: Slot, id: Uuid, raw: Bytes },
    /// A further attempt may be sent.
    Attempt { slot: Slot, id: Uuid, raw: Bytes },
    /// The address is paused, or no longer.
    Paused { address: u32, until: Option<u64>, ask: u64 },
    /// The front of a queue has ended.
    Failed { address: u32, waiter: Box<Waiter> },
    /// A bound request has ended as failed: something else is final at its nonce.
    Ended { slot: Slot, id: Uuid },
    /// A displaced request waits again.
    Requeued { slot: Slot, id: Uuid },
    /// The transaction is blocked by what it depends on.
    Blocked { id: Uuid, from: Address, depends_on: Vec<Dependency>, reply_to: ReplyTo },
    /// An order has been carried out.
    Ordered(Box<Ordered>),
}

/// A commit that has not been answered.
#[derive(Debug)]
pub(super) struct Pending {
    ticket: u64,
    saved: Vec<Saved>,
}

impl Manager {
    /// Hands the records of a run on, as one commit.
    pub(super) fn commit(&mut self, actions: &mut Vec<Action>) {
        if self.records.is_empty() {
            return;
        }
        if !self.store_healthy {
            for saved in &self.saved {
                self.say_unknown(saved, actions);
            }
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.pending.push_back(Pending { ticket, saved: take_run(&mut self.saved) });
        actions.push(Action::Commit { ticket, records: take_run(&mut self.records) });
    }

    fn take(&mut self, ticket: u64) -> Option<Pending> {
        let place = self.pending.iter().position(|pending| pending.ticket == ticket)?;
        self.pending.remove(place)
    }

    pub(super) fn durable(&mut self, ticket: u64, now: Now, actions: &mut Vec<Action>) {
        let Some(pending) = self.take(ticket) else { return };
        let mut pump = BTreeSet::new();
        for saved in pending.saved {
            match saved {
                Saved::Queued { address, id, reply_to } => {
                    let waiting = &mut self.at(address).waiting;
                    waiting.unsaved -= 1;
                    waiting.unread += 1;
                    pump.insert(address);
                    actions.push(Action::Reply { to: reply_to, result: Ok(id), last: true });
                    actions.push(Action::Count(Counted::Open(1)));
                    actions.push(Action::Count(Counted::Accepted));
                }
                Saved::Paused { address, until, ask } => self.pause_saved(address, until, ask, now, actions),
                Saved::Bound { slot, id, raw } => self.bound(slot, id, raw, now, actions),
                Saved::Attempt { slot, id, raw } => self.attempt_saved(slot, id, raw, now, actions),
                Saved::Blocked { id, from, depends_on, reply_to } => {
                    actions.push(Action::Reply { to: reply_to, result: Ok(id), last: true });
                    actions.push(Action::Count(Counted::Accepted));
                    for dependency in depends_on {
                        let watch = Event::Watch { dependency: dependency.id, dependent: id, from };
                        actions.push(Action::Tell(dependency.from, Box::new(watch)));
                    }
                }
                Saved::Ordered(ordered) => self.ordered(*ordered, now, actions),
                Saved::Failed { address, waiter } => {
                    pump.insert(address);
                    self.failed(waiter.id, actions);
                    actions.push(Action::Count(Counted::Open(-1)));
                }
                Saved::Ended { slot, id } => {
                    self.failed(id, actions);
                    self.ended(slot, id, now, actions);
                }
                Saved::Requeued { slot, id } => {
                    let waiting = &mut self.at(slot.address).waiting;
                    waiting.unsaved -= 1;
                    waiting.unread += 1;
                    pump.insert(slot.address);
                    actions.push(Action::Count(Counted::Displaced));
                    actions.push(Action::Count(Counted::Open(1)));
                    self.ended(slot, id, now, actions);
                }
            }
        }
        for number in pump {
            self.pump(number, now, actions);
        }
    }

    /// Accepts a request that waits for others; acknowledged when that is on disk.
    pub(super) fn block_by(&mut self, accept: Accept, reply_to: ReplyTo) {
        let Accept { id, mut row, body_hash } = accept;
        row.place = Place::Blocked;
        let (from, depends_on) = (row.request.from, row.depends_on.clone());
        self.saved.push(Saved::Blocked { id, from, depends_on, reply_to });
        self.records.push(Record::Accepted { id, transaction: row, body_hash });
    }

    /// The record that binds is on disk: that is the acknowledgement and the permission to send.
    fn bound(&mut self, slot: Slot, id: Uuid, raw: Bytes, now: Now, actions: &mut Vec<Action>) {
        let Some(tx) = self.get_mut(slot).filter(|tx| tx.id == id) else { return };
        tx.durable = tx.attempts.len();
        tx.raw = raw;
        tx.work = Work::None;
        tx.durable_at = now.unix_us;
        let waited = now.unix_us.saturating_sub(tx.accepted_at);
        let origin = tx.unsaved.take().map(|unsaved| unsaved.origin);
        if let Some(to) = origin.and_then(Origin::caller) {
            actions.push(Action::Reply { to, result: Ok(id), last: true });
            actions.push(Action::Count(Counted::Open(1)));
            actions.push(Action::Count(Counted::Accepted));
        }
        if origin == Some(Origin::Hole) {
            actions.push(Action::Count(Counted::Open(1)));
            self.fill(slot.address, now, actions);
        }
        actions.push(Action::Count(Counted::Bound(id, waited)));
        self.advance(slot, now, actions);
    }

    fn attempt_saved(&mut self, slot: Slot, id: Uuid, raw: Bytes, now: Now, actions: &mut Vec<Action>) {
        let Some(tx) = self.get_mut(slot).filter(|tx| tx.id == id) else { return };
        tx.durable = tx.attempts.len();
        tx.raw = raw;
        // A cancel may have come while a higher price was being signed.
        tx.closing_unsaved &= !tx.attempts.last().is_some_and(|mark| mark.closing);
        if let Some(updating) = tx.updating.take() {
            tx.generation = updating.row.generation;
            tx.fixed_price = updating.row.request.fees != Fees::Market;
            tx.failures = 0;
        }
        tx.resubmit_due = false;
        tx.submitted = false;
        tx.resending = false;
        tx.held = None;
        tx.work = Work::None;
        actions.push(Action::Count(Counted::Resubmitted));
        self.advance(slot, now, actions);
    }

    /// Appends have stopped to succeed: whether what is unanswered reaches the disk is not known, and callers are told so; also those whose
    /// transaction is being signed, which cannot reach it for now.
    pub(super) fn unknown(&mut self, actions: &mut Vec<Action>) {
        self.orders_unknown(actions);
        for saved in self.pending.iter().flat_map(|pending| &pending.saved) {
            self.say_unknown(saved, actions);
        }
        let unsaved = self.pool.holders().flat_map(|number| self.addresses[number as usize].in_flight.iter());
        for tx in unsaved.filter(|tx| tx.work == Work::Signing) {
            if let Some(to) = tx.unsaved.as_ref().and_then(|unsaved| unsaved.origin.caller()) {
                actions.push(Action::Reply { to, result: Err(SubmitError::Unknown), last: false });
            }
        }
    }

    fn say_unknown(&self, saved: &Saved, actions: &mut Vec<Action>) {
        if let Some(to) = self.waits(saved) {
            actions.push(Action::Reply { to, result: Err(SubmitError::Unknown), last: false });
        }
        if let Saved::Paused { ask, .. } = saved {
            actions.push(Action::Paused { ask: *ask, result: Err(SubmitError::Unknown) });
        }
    }

    fn waits(&self, saved: &Saved) -> Option<ReplyTo> {
        match saved {
            Saved::Queued { reply_to, .. } | Saved::Blocked { reply_to, .. } => Some(*reply_to),
            Saved::Bound { slot, id, .. } => {
                let tx = self.addresses[slot.address as usize].get(slot.nonce).filter(|tx| tx.id == *id)?;
                tx.unsaved.as_ref()?.origin.caller()
            }
            Saved::Attempt { .. }
            | Saved::Failed { .. }
            | Saved::Ended { .. }
            | Saved::Requeued { .. }
            | Saved::Ordered(_)
            | Saved::Paused { .. } => None,
        }
    }

    /// Nothing of what is unanswered is on disk: every nonce without a record is given back, and every caller without one
    /// hears that nothing was accepted.
    pub(super) fn refused(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.records.clear();
        // A disk that refuses one write may refuse the next: a pause, or signing and refusing would be all that is done.
        self.bind_again_at = Some(now.elapsed + Duration::from_millis(self.settings.txmgr.persist_retry_ms));
        let mut lost: Vec<Saved> = self.pending.drain(..).flat_map(|pending| pending.saved).collect();
        lost.append(&mut self.saved);
        let mut changed = BTreeSet::new();
        for saved in lost {
            match saved {
                Saved::Queued { address, reply_to, .. } => {
                    self.at(address).waiting.unsaved -= 1;
                    actions.push(Action::Reply { to: reply_to, result: Err(NOT_STORED), last: true });
                }
                Saved::Failed { address, waiter } => {
                    self.at(address).waiting.put_back(*waiter);
                    changed.insert(address);
                }
                Saved::Attempt { slot, id, .. } => {
                    if let Some(tx) = self.get_mut(slot).filter(|tx| tx.id == id) {
                        if !sabotage::on(Sabotage::RefusedAttemptKept) {
                            tx.attempts.truncate(tx.durable);
                        }
                        tx.work = Work::None;
                        changed.insert(slot.address);
                    }
                    self.not_updated(slot);
                }
                Saved::Ended { slot, id } => self.not_ended(slot, id),
                Saved::Requeued { slot, id } => {
                    self.at(slot.address).waiting.unsaved -= 1;
                    self.not_ended(slot, id);
                }
                Saved::Blocked { reply_to, .. } => actions.push(Action::Reply { to: reply_to, result: Err(NOT_STORED), last: true }),
                Saved::Ordered(ordered) => {
                    changed.insert(ordered.address);
                    self.not_ordered(*ordered, now, actions);
                }
                Saved::Paused { ask, .. } => actions.push(Action::Paused { ask, result: Err(NOT_STORED) }),
                Saved::Bound { slot, .. } => {
                    changed.insert(slot.address);
                }
            }
        }
        // What has a nonce and no record on disk belongs to an address with a slot, but for what fills a hole.
        changed.extend(self.pool.holders());
        for number in changed {
            self.give_back(number, now, actions);
            // Nothing is bound until the pause is over; who has something to bind has a slot or stands in line for one.
            self.pump(number, now, actions);
        }
    }

    /// Takes every nonce of an address that has no record on disk back.
    fn give_back(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        self.unfill(number);
        let address = self.at(number);
        let first = address.in_flight.iter().take_while(|tx| tx.is_bound()).count();
        if first == address.in_flight.len() {
            self.look(number, now, actions);
            return;
        }
        let slot = Slot { address: number, nonce: address.base + first as u64 };
        for tx in self.discard(slot) {
            let Some(unsaved) = tx.unsaved else { continue };
            match unsaved.origin {
                Origin::Caller(to) => actions.push(Action::Reply { to, result: Err(NOT_STORED), last: true }),
                Origin::Queue(queue_number) => {
                    self.at(number).waiting.put_back(Waiter { queue_number, id: tx.id, row: unsaved.row });
                }
                Origin::Hole => {}
            }
        }
        self.look(number, now, actions);
    }
}
