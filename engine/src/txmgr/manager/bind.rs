//! Binding: the next nonce of an address, a signature, and one record of both (row A4).
//!
//! Nonces bind in order and never behind an unsigned one: see `signer`.

use std::time::Duration;

use alloy::primitives::{Address, B256, U256};
use storage::{AttemptFees, AttemptRow, FailureRow, Fees, Record, Request};
use uuid::Uuid;

use super::super::balance::cost;
use super::super::estimate::{NoEstimate, with_factor};
use super::super::event::{Accept, Action, Now, SignJob, Signed, Slot, Waiter};
use super::super::increase::{Caps, first_bid};
use super::super::orchestrator::NonceState;
use super::super::transaction::{InFlight, Mark, Origin, Unsaved, Work};
use super::Manager;
use super::commit::Saved;
use super::reprice::zero_fees;
use crate::point::{self, Point};
use crate::sabotage::{self, Sabotage};

/// Waiting transactions read from disk at once: enough for a run, little enough for 100,000 addresses.
const LOAD: usize = 256;
/// An address that had nothing to do for this long may have been used by another wallet: the chain is asked again.
const NONCE_TRUSTED_FOR: Duration = Duration::from_secs(10);

impl Manager {
    /// Everything that binding needs and that does not depend on the transaction.
    pub(super) fn window_open(&self, number: u32) -> bool {
        let address = &self.addresses[number as usize];
        self.node_healthy
            && self.caught_up
            && self.store_healthy
            && self.bind_again_at.is_none()
            && self.chain_id.is_some()
            && address.nonce == NonceState::Known
            && address.standing.has_slot()
            && !address.leaving
            && self.blocked(number).is_none()
    }

    /// Forgets a nonce that has not been used for a while.
    pub(super) fn freshen(&mut self, number: u32, now: Now) {
        let address = self.at(number);
        let unused_for = now.elapsed.saturating_sub(address.active_at);
        address.doubt_used_nonce();
        if address.nonce == NonceState::Known && address.in_flight.is_empty() && unused_for > NONCE_TRUSTED_FOR {
            address.nonce = NonceState::Unknown;
        }
        address.active_at = now.elapsed;
    }

    pub(super) fn ask_nonce(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        if self.node_healthy && self.caught_up && self.at(number).nonce == NonceState::Unknown {
            self.ask_balance_with_nonce(number, now, actions);
            let newest = self.head.max(self.seen);
            let address = self.at(number);
            address.nonce = NonceState::Asking;
            actions.push(Action::FetchNonce(address.address, newest));
        }
    }

    /// The price of a new transaction: its own, or the market's if that is known.
    pub(super) fn price_for(&mut self, fees: Fees, blobs: bool, now: Now, actions: &mut Vec<Action>) -> Option<AttemptFees> {
        match fees {
            _ if self.settings.gas.zero => Some(zero_fees(blobs)),
            Fees::Legacy { gas_price } => Some(AttemptFees::Legacy { gas_price }),
            Fees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => {
                Some(AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas })
            }
            Fees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas } => {
                Some(AttemptFees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas })
            }
            Fees::Market => Some(first_bid(self.market_for(blobs, now, actions)?, Caps::from(&self.settings.gas))),
        }
    }

    /// Gives the transaction the next nonce and asks for its signature.
    pub(super) fn bind(&mut self, number: u32, id: Uuid, unsaved: Unsaved, gas: u64, fees: AttemptFees) {
        let chain_id = self.chain_id.expect("the window is open only on a known chain");
        let request = &unsaved.row.request;
        let (to, value, data) = (request.to, request.value, request.data.clone());
        let (extras, blobs) = (request.extras.clone(), request.blob_hashes().len());
        let address = &mut self.addresses[number as usize];
        let slot = Slot { address: number, nonce: address.next_nonce() };
        let from = address.address;
        let mut tx = Box::new(InFlight::new(id, unsaved));
        tx.cost = cost(&fees, gas, value, blobs);
        address.blobs = blobs > 0;
        address.balance.reserve(tx.cost);
        address.in_flight.push_back(tx);
        address.unconfirmed += 1;
        address.unsent += 1;
        self.pool.use_slot(number, &mut address.standing);
        self.active.insert(number);
        point::reached(Point::NonceTaken);
        self.ask_signature(SignJob { number: 0, slot, id, from, chain_id, to, value, data, gas, fees, closing: false, extras });
    }

    /// Binds what waits, as far as the window reaches, and reads more of the queue when its buffer is empty.
    pub(super) fn pump(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        self.funds_again(number, now, actions);
        self.end_signer_pause(number, now);
        if self.at(number).waiting.is_empty() {
            self.nothing_is_next(number, now, actions);
            self.settle(number, now);
            return;
        }
        if !self.may_bind(number, now) {
            return;
        }
        self.freshen(number, now);
        self.ask_nonce(number, now, actions);
        while self.window_open(number) {
            let Some(front) = self.at(number).waiting.buffer.front() else { break };
            let request = &front.row.request;
            let (id, fees, gas, value, blobs) = (front.id, request.fees, request.gas, request.value, request.blob_hashes().len());
            let address = self.at(number);
            if !address.fits_kind(blobs) {
                address.other_kind = true;
                break;
            }
            let Some(gas) = gas.or(self.at(number).waiting.estimate) else {
                self.estimate(number, actions);
                break;
            };
            let Some(fees) = self.price_for(fees, blobs > 0, now, actions) else {
                self.wait_for_price(number);
                break;
            };
            if !self.covers_front(number, cost(&fees, gas, value, blobs), now, actions) {
                break;
            }
            let Some(waiter) = self.at(number).waiting.pop() else { break };
            let unsaved = Unsaved { row: waiter.row, body_hash: B256::ZERO, origin: Origin::Queue(waiter.queue_number) };
            self.bind(number, id, unsaved, gas, fees);
        }
        // What cannot be bound yet stays on disk: only an open window reads ahead.
        if self.window_open(number) {
            self.load(number, actions);
        }
        self.settle(number, now);
    }

    /// What kept all of them has gone: who has a slot goes on, and the line behind them.
    pub(super) fn pump_all(&mut self, now: Now, actions: &mut Vec<Action>) {
        let holders: Vec<u32> = self.pool.holders().collect();
        for number in holders {
            self.pump(number, now, actions);
        }
    }

    fn load(&mut self, number: u32, actions: &mut Vec<Action>) {
        let address = self.at(number);
        let waiting = &mut address.waiting;
        if waiting.buffer.is_empty() && waiting.unread > 0 && waiting.loading.is_none() && waiting.changing == 0 {
            waiting.loading = Some((waiting.unread, waiting.read_up_to));
            actions.push(Action::Load { address: address.address, after: waiting.read_up_to, limit: LOAD });
        }
    }

    pub(super) fn loaded(&mut self, address: Address, waiters: Option<Vec<Waiter>>, now: Now, actions: &mut Vec<Action>) {
        let number = self.number(address);
        let retry = Duration::from_millis(self.settings.txmgr.retry_min_ms);
        let waiting = &mut self.at(number).waiting;
        let (expected, after) = waiting.loading.take().unwrap_or_default();
        let stale = waiting.read_up_to != after;
        if !self.at(number).standing.has_slot() {
            // Its turn is over; the disk still has them.
            return;
        }
        if stale {
            // What had been read before was given back meanwhile, and comes first.
            self.pump(number, now, actions);
            return;
        }
        let waiting = &mut self.at(number).waiting;
        let Some(waiters) = waiters else {
            // The disk still has them.
            self.wake(number, now.elapsed + retry);
            return;
        };
        // A page that is not full held everything there was when it was asked for.
        let left = if waiters.len() < LOAD { 0 } else { expected.saturating_sub(waiters.len() as u64) };
        waiting.unread = waiting.unread.saturating_sub(expected) + left;
        waiting.read_up_to = waiters.last().map(|last| last.queue_number).or(waiting.read_up_to);
        waiting.buffer.extend(waiters);
        self.pump(number, now, actions);
    }

    fn estimate(&mut self, number: u32, actions: &mut Vec<Action>) {
        let waiting = &mut self.at(number).waiting;
        if let (false, Some(front)) = (waiting.estimating, waiting.buffer.front()) {
            waiting.estimating = true;
            actions.push(Action::Estimate(front.id, front.row.request.clone()));
        }
    }

    pub(super) fn estimated(
        &mut self,
        id: Uuid,
        request: &Request,
        estimate: Result<u64, NoEstimate>,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        if self.update_estimated(id, request, &estimate, actions) {
            return;
        }
        let address = request.from;
        let number = self.number(address);
        let tries = self.settings.txmgr.estimate_tries;
        let retry = Duration::from_millis(self.settings.txmgr.retry_min_ms);
        let factor = self.settings.gas.limit_factor;
        let waiting = &mut self.at(number).waiting;
        // What was asked for before an update says nothing about what the transaction is now; its own answer is still to come.
        if waiting.buffer.front().is_none_or(|front| front.id != id || front.row.request != *request) {
            return;
        }
        waiting.estimating = false;
        match estimate {
            Ok(gas) => waiting.estimate = Some(with_factor(gas, factor)),
            Err(NoEstimate::Fails(reason)) => {
                waiting.estimate_failures += 1;
                if waiting.estimate_failures < tries {
                    self.wake(number, now.elapsed + retry);
                    return;
                }
                self.fail_front(number, format!("the gas estimate failed: {reason}"), now);
            }
            Err(put_off) => {
                // Nothing about the request: it waits, and that is said, but not at every try.
                waiting.estimate_waits += 1;
                let waits = waiting.estimate_waits;
                if waits.is_power_of_two() {
                    tracing::warn!(%id, from = %address, reason = %put_off, "no gas estimate yet; the node will be asked again");
                }
                let wait = self.backoff(waits, u64::from(number));
                self.wake(number, now.elapsed + wait);
                return;
            }
        }
        self.pump(number, now, actions);
    }

    /// Ends the front of the queue as failed; it never had a nonce.
    pub(super) fn fail_front(&mut self, number: u32, reason: String, now: Now) {
        let address = self.at(number);
        let from = address.address;
        let Some(waiter) = address.waiting.pop() else { return };
        let failure = FailureRow { reason, failed_at: now.unix_us };
        let (id, queue_number, depends_on) = (waiter.id, Some(waiter.queue_number), waiter.row.depends_on.clone());
        self.records.push(Record::Failed { id, from, accepted: None, queue_number, depends_on, failure });
        self.saved.push(Saved::Failed { address: number, waiter: Box::new(waiter) });
    }

    /// Results of sign jobs: each becomes a record, in nonce order.
    pub(super) fn signed(&mut self, results: Vec<Signed>, now: Now, actions: &mut Vec<Action>) {
        for signed in results {
            let awaited = |tx: &InFlight| tx.job == signed.number || sabotage::on(Sabotage::LateSignatureBinds);
            let Some(tx) = self.get_mut(signed.slot).filter(|tx| awaited(tx) && tx.work == Work::Signing) else { continue };
            if tx.included.is_some() || tx.updating.is_some() && tx.taken() {
                // A block came while a slow signer worked: no further attempt is wanted.
                tx.work = Work::None;
                tx.updating = None;
                continue;
            }
            match signed.result {
                Ok((ref raw, hash)) => {
                    let generation = tx.updating.as_ref().map_or(tx.generation, |updating| updating.row.generation);
                    let number = tx.attempts.iter().filter(|mark| mark.generation == generation).count();
                    let attempt = AttemptRow {
                        generation,
                        attempt: u16::try_from(number).expect("prices end before attempts do"),
                        nonce: signed.slot.nonce,
                        hash,
                        raw: raw.clone(),
                        gas: signed.gas,
                        fees: signed.fees,
                        signed_at: now.unix_us,
                        closing: if signed.closing { tx.closing.as_deref().map(Into::into) } else { None },
                    };
                    self.record_attempt(signed.slot, attempt, now, actions);
                    if sabotage::on(Sabotage::SentBeforeDurable) {
                        self.get_mut(signed.slot).into_iter().for_each(|tx| tx.raw = raw.clone());
                        self.enqueue(signed.slot);
                    }
                }
                Err(reason) if tx.updating.is_some() => self.update_unsigned(signed.slot, &reason, now, actions),
                Err(reason) if tx.is_bound() => self.unsigned_again(signed.slot, &reason, now, actions),
                Err(reason) => self.unsigned(signed.slot, &reason, now, actions),
            }
        }
    }

    fn record_attempt(&mut self, slot: Slot, attempt: AttemptRow, now: Now, actions: &mut Vec<Action>) {
        let number = slot.address;
        let raise_at = now.elapsed + self.resubmit_interval();
        self.progressed(number, now, actions);
        let address = &mut self.addresses[number as usize];
        let from = address.address;
        let Some(tx) = address.get_mut(slot.nonce) else { return };
        tx.work = Work::Persisting;
        tx.raise_at = raise_at;
        tx.sign_failures = 0;
        // A further attempt moves what the newest that carries the request does.
        let asked = tx.updating.as_ref().map(|updating| &updating.row).or(tx.unsaved.as_ref().map(|unsaved| &unsaved.row));
        let value = match asked {
            _ if attempt.closing.is_some() => U256::ZERO,
            Some(row) => row.request.value,
            None => tx.attempts.iter().rfind(|mark| !mark.closing).map_or(U256::ZERO, |mark| mark.value),
        };
        tx.attempts.push(Mark {
            generation: attempt.generation,
            hash: attempt.hash,
            fees: attempt.fees,
            value,
            closing: attempt.closing.is_some(),
            broadcast: false,
        });
        let id = tx.id;
        let raw = attempt.raw.clone();
        if tx.is_bound() {
            if let Some(updating) = &tx.updating {
                let (transaction, replaced) = (updating.row.clone(), Some(updating.replaced.clone()));
                self.records.push(Record::Changed { id, transaction, left: None, replaced });
            }
            self.records.push(Record::Attempt { id, attempt });
            self.saved.push(Saved::Attempt { slot, id, raw });
            return;
        }
        let unsaved = tx.unsaved.as_ref().expect("kept until the first record is on disk");
        let (accepted, queue_number) = match unsaved.origin {
            Origin::Caller(_) => (Some((unsaved.row.clone(), unsaved.body_hash)), None),
            Origin::Queue(number) => (None, Some(number)),
            Origin::Hole => (Some((unsaved.row.clone(), unsaved.body_hash)), None),
        };
        self.records.push(Record::Bound { id, from, accepted, queue_number, attempt });
        self.saved.push(Saved::Bound { slot, id, raw });
    }

    /// Takes everything from this nonce on, none of which has a record on disk, out of the sequence.
    #[allow(clippy::vec_box)] // the boxes are those of the queue it is cut from
    pub(super) fn discard(&mut self, from: Slot) -> Vec<Box<InFlight>> {
        let address = self.at(from.address);
        let keep = usize::try_from(from.nonce - address.base).expect("in memory");
        let tail: Vec<Box<InFlight>> = address.in_flight.drain(keep..).collect();
        debug_assert!(tail.iter().all(|tx| !tx.is_bound()), "a nonce on disk is never given back");
        address.unsent -= tail.iter().filter(|tx| tx.unsent).count();
        // What a rival took does not count already.
        for tx in tail.iter().filter(|tx| !tx.taken()) {
            address.unconfirmed -= 1;
            address.balance.release(tx.cost);
        }
        address.other_kind &= !address.in_flight.is_empty();
        address.doubt_used_nonce();
        tail
    }

    /// Binds discarded transactions anew, in their order.
    #[allow(clippy::vec_box)] // the boxes are those of the queue it was cut from
    pub(super) fn rebind(&mut self, number: u32, tail: Vec<Box<InFlight>>, now: Now, actions: &mut Vec<Action>) {
        for tx in tail {
            let Some(unsaved) = tx.unsaved else { continue };
            match unsaved.origin {
                Origin::Caller(to) => {
                    let accept = Accept { id: tx.id, row: unsaved.row, body_hash: unsaved.body_hash };
                    self.submit(accept, to, now, actions);
                }
                Origin::Queue(queue_number) => {
                    self.at(number).waiting.put_back(Waiter { queue_number, id: tx.id, row: unsaved.row });
                }
                Origin::Hole => {}
            }
        }
        self.pump(number, now, actions);
    }
}
