//! The submit stage: attempts leave in full requests, lowest nonce first, one order for an address.
//!
//! A lane carries one request at a time. What may not have arrived goes back to the front of its lane, as it is: the same
//! bytes can be sent any number of times.

use std::collections::VecDeque;
use std::time::Duration;

use super::super::event::{Action, Counted, Now, SendEnd, Slot};
use super::super::increase::fee_cap;
use super::super::outcome::{Outcome, Reason};
use super::super::transaction::{Held, Work};
use super::Manager;
use crate::blobs::has_blobs;
use crate::sabotage::{self, Sabotage};

/// What waits for one connection.
#[derive(Clone, Debug, Default)]
pub(super) struct LaneQueue {
    queue: VecDeque<Slot>,
    busy: bool,
    not_before: Duration,
    failures: u32,
}

impl LaneQueue {
    /// Another node is behind it: no pause, no failures.
    pub(super) const fn starts_anew(&mut self) {
        self.not_before = Duration::ZERO;
        self.failures = 0;
    }
}

impl Manager {
    pub(super) fn enqueue(&mut self, slot: Slot) {
        let lane = self.at(slot.address).lane;
        if let Some(tx) = self.get_mut(slot) {
            tx.work = Work::Sending;
            self.lanes[lane].queue.push_back(slot);
        }
    }

    /// A request for every lane that is free and has something to send.
    pub(super) fn dispatch(&mut self, now: Now, actions: &mut Vec<Action>) {
        let node_healthy = self.node_healthy || self.chain_id.is_some() && sabotage::on(Sabotage::SentWithoutChain);
        if !(node_healthy && self.caught_up && self.store_healthy) {
            return;
        }
        for lane in 0..self.lanes.len() {
            if self.lanes[lane].busy || now.elapsed < self.lanes[lane].not_before {
                continue;
            }
            let mut attempts = Vec::new();
            let mut bytes = 0;
            while attempts.len() < self.settings.batch_calls && bytes < self.settings.batch_bytes {
                let Some(slot) = self.lanes[lane].queue.pop_front() else { break };
                let Some(tx) = self.get_mut(slot).filter(|tx| tx.work == Work::Sending) else { continue };
                if tx.taken() {
                    tx.work = Work::None;
                    continue;
                }
                if has_blobs(&tx.raw) {
                    // Its blobs are as much as a request takes, and are read when it is sent.
                    if attempts.is_empty() {
                        actions.push(Action::SendBlobs { lane, slot, id: tx.id, raw: tx.raw.clone() });
                        self.lanes[lane].busy = true;
                    } else {
                        self.lanes[lane].queue.push_front(slot);
                    }
                    break;
                }
                bytes += tx.raw.len();
                attempts.push((slot, tx.raw.clone()));
            }
            if !attempts.is_empty() {
                self.lanes[lane].busy = true;
                actions.push(Action::Send { lane, attempts });
            }
        }
    }

    pub(super) fn sent(&mut self, lane: usize, ends: Vec<(Slot, SendEnd)>, pause: Option<Duration>, now: Now, actions: &mut Vec<Action>) {
        self.lanes[lane].busy = false;
        // A node that answers anything is there: what it left open waits by itself and holds up nobody else.
        let well = ends.iter().any(|(_, end)| matches!(end, SendEnd::Answered(..) | SendEnd::LeftOpen));
        let mut again = Vec::new();
        for (slot, end) in ends {
            match end {
                SendEnd::Answered(outcome, message) => self.answered(slot, &outcome, &message, now, actions),
                SendEnd::Ambiguous if sabotage::on(Sabotage::LostReplyDrops) => {}
                SendEnd::Ambiguous if sabotage::on(Sabotage::AmbiguousNonceReused) && self.get_mut(slot).is_some() => {
                    drop(self.discard(slot));
                }
                SendEnd::BeforeSend | SendEnd::Ambiguous | SendEnd::LeftOpen => again.push(slot),
            }
        }
        if well {
            self.lanes[lane].failures = 0;
            if let Some(pause) = pause {
                self.lanes[lane].not_before = now.elapsed + pause;
            }
            for slot in again {
                self.left_open(slot, now, actions);
            }
            return;
        }
        for slot in again.into_iter().rev() {
            self.lanes[lane].queue.push_front(slot);
        }
        self.lanes[lane].failures += 1;
        let wait = pause.unwrap_or_default().max(self.backoff(self.lanes[lane].failures, lane as u64));
        self.lanes[lane].not_before = now.elapsed + wait;
    }

    /// The request had answers, but none for this one: the same bytes again, a little later.
    fn left_open(&mut self, slot: Slot, now: Now, actions: &mut Vec<Action>) {
        let Some(tx) = self.get_mut(slot).filter(|tx| tx.work == Work::Sending) else { return };
        tx.failures += 1;
        let (failures, id) = (tx.failures, tx.id);
        let not_before = now.elapsed + self.backoff(failures, salt(slot));
        if failures >= 4 && failures.is_power_of_two() {
            tracing::warn!(%id, nonce = slot.nonce, failures, "sent without an answer; the same bytes go out again");
        }
        if let Some(tx) = self.get_mut(slot) {
            tx.work = Work::None;
            tx.not_before = not_before;
        }
        self.advance(slot, now, actions);
    }

    /// When the first lane that pauses with something to send may go on.
    pub(super) fn lane_due(&self, now: Now) -> Option<Duration> {
        let pausing = |lane: &&LaneQueue| !lane.busy && !lane.queue.is_empty() && lane.not_before > now.elapsed;
        self.lanes.iter().filter(pausing).map(|lane| lane.not_before).min()
    }

    /// Pause before try number `failures` + 1: four times longer each time, up to the longest; less up to a quarter, which `salt` and
    /// the try decide, so that what failed together does not come back together.
    pub(super) fn backoff(&self, failures: u32, salt: u64) -> Duration {
        let config = &self.settings.txmgr;
        let factor = 4_u64.saturating_pow(failures.saturating_sub(1));
        let longest = Duration::from_millis(config.retry_min_ms.saturating_mul(factor).min(config.retry_max_ms));
        // The high bits of a product with 2^64 / golden ratio spread neighbours far apart (Fibonacci hashing).
        let spread = (salt ^ u64::from(failures).rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48;
        longest - longest.mul_f64(spread as f64 / 65536.0 / 4.0)
    }

    fn answered(&mut self, slot: Slot, outcome: &Outcome, message: &str, now: Now, actions: &mut Vec<Action>) {
        let head = self.head;
        let Some(tx) = self.get_mut(slot).filter(|tx| tx.work == Work::Sending) else { return };
        tx.work = Work::None;
        self.first_sent(slot);
        self.progressed(slot.address, now, actions);
        let Some(tx) = self.get_mut(slot) else { return };
        match outcome {
            Outcome::SubmittedNew | Outcome::AlreadyKnown | Outcome::NonceTooLow => {
                let newest = tx.durable.saturating_sub(1);
                if let Some(mark) = tx.attempts.get_mut(newest) {
                    mark.broadcast = true;
                }
                // At its cap it is held all the same: the node has it, but at a price that did not get it into a block.
                if !matches!(tx.held.as_deref(), Some(Held::PriceCap { .. } | Held::BlobPriceCap { .. })) {
                    tx.held = None;
                }
                let dropped = tx.resending && *outcome == Outcome::SubmittedNew;
                tx.submitted = true;
                tx.nonce_used = *outcome == Outcome::NonceTooLow;
                tx.resending = false;
                tx.failures = 0;
                tx.sent_before_block = Some(head);
                if tx.sent_at == 0 {
                    tx.sent_at = now.unix_us;
                    actions.push(Action::Count(Counted::Sent(now.unix_us.saturating_sub(tx.accepted_at))));
                }
                if dropped {
                    self.resend_after(slot, now, actions);
                }
                self.resend_later(slot.address, head);
            }
            Outcome::FailedRequiresRetry(reason) => self.retry(slot, *reason, message, now, actions),
            Outcome::Invalid => self.invalid(slot, message, now),
        }
        self.advance(slot, now, actions);
        self.settle(slot.address, now);
    }

    /// The pool had dropped this one, so it has dropped what came after it too.
    fn resend_after(&mut self, slot: Slot, now: Now, actions: &mut Vec<Action>) {
        for nonce in slot.nonce + 1..self.at(slot.address).next_nonce() {
            let later = Slot { nonce, ..slot };
            if let Some(tx) = self.get_mut(later).filter(|tx| tx.is_bound() && tx.submitted && tx.work == Work::None) {
                tx.submitted = false;
                self.advance(later, now, actions);
            }
        }
    }

    fn retry(&mut self, slot: Slot, reason: Reason, message: &str, now: Now, actions: &mut Vec<Action>) {
        let Some(tx) = self.get_mut(slot) else { return };
        tx.failures += 1;
        let (id, failures, fixed_price, blobs) = (tx.id, tx.failures, tx.fixed_price, has_blobs(&tx.raw));
        let was_held = tx.held.take_if(|held| matches!(**held, Held::OtherHash { .. })).is_some();
        match reason {
            // At its cap it is held for longer than a node is wrong.
            Reason::OtherHash if tx.held.is_none() => {
                tx.held = Some(Box::new(Held::OtherHash { message: message.to_owned() }));
                if !was_held {
                    actions.push(Action::Count(Counted::Held));
                }
            }
            Reason::Underpriced if fixed_price => {
                let price = tx.fees().iter().map(fee_cap).max().unwrap_or_default();
                tx.held = Some(Box::new(Held::FixedPrice { price, message: message.to_owned() }));
                self.held.insert(slot);
            }
            Reason::PoolLimit => {
                let head = self.head;
                let address = self.at(slot.address);
                address.window.shrink(address.unconfirmed, head);
            }
            _ => {}
        }
        let config = &self.settings.txmgr;
        let submit_tries = config.submit_tries;
        let (round, tries) = (failures / submit_tries, failures % submit_tries);
        // A refusal for a price or for funds has a way of its own on.
        let own_way = matches!(reason, Reason::Underpriced | Reason::InsufficientFunds);
        let again = tries == 0 && !own_way;
        let wait = if again {
            Duration::from_millis(config.stage_retry_ms)
        } else {
            self.backoff(if own_way { failures } else { tries }, salt(slot))
        };
        // Nothing is retried for ever without saying so; nor said at every try.
        if failures == 1 || (tries == 0 && round.is_power_of_two()) {
            tracing::warn!(%id, nonce = slot.nonce, ?reason, message, failures, "the node refused the transaction; it will be tried again");
        }
        if again {
            self.gas_price.invalidate();
        }
        // A pool of blobs takes nothing behind a gap: what lies open below ours shows as a refusal, not as a transaction that stays out.
        let gapped = reason == Reason::PoolLimit && blobs;
        if (reason == Reason::Underpriced || gapped) && failures >= submit_tries {
            // Another wallet's transaction may lie at its nonce that no block takes, because nobody holds one below: it would never be sent.
            self.suspect_hole(slot, actions);
        }
        if reason.clears_price_cache() {
            self.gas_price.invalidate();
            let quote = self.gas_price.quote(now.elapsed);
            if quote.ask_node {
                actions.push(Action::FetchPrice);
            }
        }
        let Some(tx) = self.get_mut(slot) else { return };
        tx.not_before = now.elapsed + wait;
        tx.resubmit_due |= reason == Reason::Underpriced && !fixed_price;
        tx.starts_again = again && !fixed_price;
        tx.resubmit_due |= again;
        if reason == Reason::InsufficientFunds && !tx.cost.is_zero() {
            self.refused_for_funds(slot, message, now, actions);
        }
    }

    /// These bytes can never be mined: the request ends as failed, and a transfer to itself takes the nonce (rows A4, A13).
    fn invalid(&mut self, slot: Slot, message: &str, now: Now) {
        let Some(tx) = self.get_mut(slot) else { return };
        tracing::warn!(id = %tx.id, nonce = slot.nonce, message, "the node can never take the transaction; closing its nonce");
        tx.failures += 1;
        if tx.closing.is_none() {
            tx.closing = Some(message.into());
            tx.closing_unsaved = !sabotage::on(Sabotage::NonceNotClosed);
            return;
        }
        // The self-send itself was refused as invalid: nothing better can be sent, so it is tried again, later.
        let failures = tx.failures;
        let not_before = now.elapsed + self.backoff(failures, salt(slot));
        if let Some(tx) = self.get_mut(slot) {
            tx.not_before = not_before;
        }
    }
}

/// Tells the pauses of one transaction from those of another.
pub(super) const fn salt(slot: Slot) -> u64 {
    slot.nonce ^ (slot.address as u64).rotate_left(40)
}
