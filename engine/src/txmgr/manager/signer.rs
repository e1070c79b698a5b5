//! When there is no signature: tried again with backoff, in order, up to a limit (rows A13, D9).
//!
//! | what was to be signed | what follows |
//! |---|---|
//! | a caller's request | it is accepted into the queue of its address, and tried again from there |
//! | the front of a queue | it goes back; after `txmgr.sign_tries` it ends as failed; nothing of it was on disk but the request |
//! | a further attempt | the earlier one stands; signed when the signer is back |
//!
//! Nothing is bound behind what has no signature: nonces bind in order, and the address waits with it. No other address does.

use std::time::Duration;

use storage::{Place, Record};
use uuid::Uuid;

use super::super::event::{Accept, Action, Now, ReplyTo, SignJob, Slot, Waiter};
use super::super::transaction::{Held, Origin, Work};
use super::Manager;
use super::commit::Saved;
use super::send::salt;

/// What of an address has no signature.
#[derive(Clone, Copy, Debug, Default)]
pub struct Refusals {
    /// The request that was refused last.
    id: Uuid,
    /// How often in a row.
    failures: u32,
    /// Nothing is bound before this time.
    until: Option<Duration>,
}

impl Refusals {
    /// Nothing of the address can be bound for now.
    #[must_use]
    pub const fn pause(&self) -> bool {
        self.until.is_some()
    }
}

impl Manager {
    /// Asks for a signature. Jobs are numbered, so that a late answer to one that was given up is never taken for that of the next at the
    /// same nonce: what is bound behind an unsigned nonce could otherwise reach the disk, and then be given back.
    pub(super) fn ask_signature(&mut self, mut job: SignJob) {
        self.next_job += 1;
        job.number = self.next_job;
        if let Some(tx) = self.get_mut(job.slot) {
            tx.job = job.number;
        }
        self.jobs.push(job);
    }

    /// Ends a pause whose time has come.
    pub(super) fn end_signer_pause(&mut self, number: u32, now: Now) {
        let refusals = &mut self.at(number).refusals;
        refusals.until = refusals.until.filter(|until| now.elapsed < *until);
        if let Some(until) = refusals.until {
            self.wake(number, until);
        }
    }

    /// Accepts a request into the queue of its address; acknowledged when that is on disk.
    pub(super) fn queue(&mut self, number: u32, accept: Accept, reply_to: ReplyTo) {
        let Accept { id, mut row, body_hash } = accept;
        let address = self.at(number);
        let queue_number = address.waiting.next_number;
        address.waiting.next_number += 1;
        address.waiting.unsaved += 1;
        row.place = Place::Line(queue_number);
        self.records.push(Record::Accepted { id, transaction: row, body_hash });
        self.saved.push(Saved::Queued { address: number, id, reply_to });
    }

    /// No signature for a transaction without a record: what is behind it is bound anew when it is signed, or has failed.
    pub(super) fn unsigned(&mut self, slot: Slot, reason: &str, now: Now, actions: &mut Vec<Action>) {
        let number = slot.address;
        if self.get_mut(slot).is_some_and(|tx| tx.unsaved.as_ref().is_some_and(|unsaved| unsaved.origin == Origin::Hole)) {
            self.unfill(number);
            return;
        }
        let mut tail = self.discard(slot);
        let failed = tail.remove(0);
        let refusals = self.at(number).refusals;
        let failures = if refusals.id == failed.id { refusals.failures + 1 } else { 1 };
        let until = now.elapsed + self.backoff(failures, salt(slot));
        self.at(number).refusals = Refusals { id: failed.id, failures, until: Some(until) };
        let from = self.at(number).address;
        if failures.is_power_of_two() {
            tracing::warn!(id = %failed.id, %from, reason, failures, "no signature; the address waits and tries again");
        }
        if let Some(unsaved) = failed.unsaved {
            match unsaved.origin {
                Origin::Caller(to) => self.queue(number, Accept { id: failed.id, row: unsaved.row, body_hash: unsaved.body_hash }, to),
                Origin::Queue(queue_number) => {
                    self.at(number).waiting.put_back(Waiter { queue_number, id: failed.id, row: unsaved.row });
                    if failures >= self.settings.txmgr.sign_tries {
                        self.at(number).refusals.until = None;
                        self.fail_front(number, format!("no signature: {reason}"), now);
                    }
                }
                Origin::Hole => {}
            }
        }
        self.rebind(number, tail, now, actions);
    }

    /// No signature for a further attempt: the earlier one stands, and the next try comes with backoff.
    pub(super) fn unsigned_again(&mut self, slot: Slot, reason: &str, now: Now, actions: &mut Vec<Action>) {
        let Some(tx) = self.get_mut(slot) else { return };
        tx.work = Work::None;
        tx.sign_failures += 1;
        let (id, failures) = (tx.id, tx.sign_failures);
        let again_at = now.elapsed + self.backoff(failures, salt(slot));
        let Some(tx) = self.get_mut(slot) else { return };
        if failures.is_power_of_two() {
            tracing::warn!(%id, nonce = slot.nonce, reason, failures, "no signature for a further attempt; the earlier one stands, tried again");
        }
        tx.held = Some(Box::new(Held::Signer { message: reason.to_owned() }));
        if tx.closing_unsaved {
            tx.not_before = again_at;
        } else {
            tx.resubmit_due = false;
            tx.sign_again_at = Some(again_at);
        }
        self.wake(slot.address, again_at);
        self.advance(slot, now, actions);
    }
}
