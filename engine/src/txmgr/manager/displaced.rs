//! Nonces that went to something else than the request that was bound to them (rows A4, B6).
//!
//! ```text
//!   bound ──► another wallet's transaction in a canonical block took the nonce: suspected ──► that block is final ──► queued again, or failed
//!                 ▲                                                              │
//!                 └───────── the rival's block left the chain: same bytes again ◄┘
//!   bound ──► called invalid: closing ──► the self-send is in a block ──► that block is final ──► failed
//!   being signed ──► another wallet's transaction took the nonce: given back at once, bound anew with a fresh one
//! ```
//!
//! Evidence is a transaction in a block, never a count or a refusal alone. Until the block is final the request stays bound: its own
//! bytes could still be mined if the chain changes. Its last record is written before its nonce leaves the memory.

use std::collections::BTreeMap;

use alloy::primitives::B256;
use storage::{FailureRow, Place, Record, RivalRow, TransactionRow};
use uuid::Uuid;

use super::super::event::{Action, BlockEffects, Now, SeenNonce, SeenReceipt, Slot};
use super::super::orchestrator::NonceState;
use super::super::transaction::{Ending, InFlight, Origin, Rival, Work};
use super::Manager;
use super::commit::Saved;
use super::holes::is_filler;
use crate::config::Displaced;
use crate::sabotage::{self, Sabotage};

impl Manager {
    /// A transaction of one of our addresses that nobody here signed. It is evidence, also where nothing is in flight: a nonce that is
    /// asked for now may be told by a node that does not know this block yet.
    pub(super) fn is_stranger(&self, receipt: &SeenReceipt) -> bool {
        let Some(number) = self.numbers.get(&receipt.from).filter(|_| !sabotage::on(Sabotage::RivalUnseen)) else { return false };
        self.addresses[*number as usize].find(&receipt.transaction_hash).is_none()
    }

    /// An authorization in a block names a nonce of one of our addresses that nothing of ours is known to have used.
    pub(super) fn names_ours(&self, seen: &SeenNonce) -> bool {
        let number = self.numbers.get(&seen.address);
        number.is_some_and(|number| !self.addresses[*number as usize].get(seen.nonce).is_some_and(InFlight::taken))
    }

    /// Others' transactions have taken these nonces in a block.
    pub(super) fn rivals(&mut self, number: u64, hash: B256, taken: &[SeenNonce], now: Now, actions: &mut Vec<Action>) {
        let mut effects = BlockEffects { number, ..BlockEffects::default() };
        let mut unsigned = BTreeMap::<u32, u64>::new();
        for seen in taken {
            let Some(address_number) = self.numbers.get(&seen.address).copied() else { continue };
            let address = &mut self.addresses[address_number as usize];
            let at_least = address.chain_at_least.map_or(0, |(count, _)| count);
            if at_least <= seen.nonce {
                address.chain_at_least = Some((seen.nonce + 1, number));
            }
            address.doubt_used_nonce();
            self.touched.entry(number).or_default().insert(address_number);
            let address = &mut self.addresses[address_number as usize];
            let from = address.address;
            let Some(tx) = address.get_mut(seen.nonce).filter(|tx| !tx.taken()) else { continue };
            if tx.work == Work::Signing && !tx.is_bound() {
                // No bytes of it exist: nothing is to be waited for, and nothing behind it has a record either.
                unsigned.entry(address_number).and_modify(|first| *first = seen.nonce.min(*first)).or_insert(seen.nonce);
                continue;
            }
            tx.rival = Some(Rival { block: number, hash: seen.transaction_hash, stored: false });
            let cost = tx.cost;
            let row = RivalRow { nonce: seen.nonce, transaction_hash: seen.transaction_hash, block_number: number, block_hash: hash };
            effects.rivals.push((tx.id, row));
            tracing::error!(id = %tx.id, %from, nonce = seen.nonce, by = %seen.transaction_hash, block = number,
                "another wallet's transaction took the nonce: displaced if that block becomes final; somebody else has the key");
            address.unconfirmed -= 1;
            // What the rival took is not known: the balance is read again before it is relied on.
            address.balance.release(cost);
            address.balance.doubt();
            if address.displaced == Some(seen.nonce) {
                address.displaced = None;
            }
            self.first_sent(Slot { address: address_number, nonce: seen.nonce });
        }
        actions.push(Action::Effects(effects));
        for (address, nonce) in unsigned {
            let slot = Slot { address, nonce };
            if self.get_mut(slot).is_some_and(|tx| tx.unsaved.as_ref().is_some_and(|unsaved| unsaved.origin == Origin::Hole)) {
                self.unfill(address);
                continue;
            }
            let tail = self.discard(slot);
            self.rebind(address, tail, now, actions);
        }
    }

    /// Writes the last record of what is final at `head` and was not ended by its own request.
    pub(super) fn conclude(&mut self, number: u32, head: u64, now: Now, actions: &mut Vec<Action>) {
        let finality = if sabotage::on(Sabotage::DisplacedBeforeFinal) { 1 } else { self.settings.txmgr.finality_depth };
        let is_final = |tx: &InFlight| tx.taken_in().is_some_and(|block| block + finality <= head + 1);
        let address = &self.addresses[number as usize];
        let due = address.in_flight.iter().enumerate().take_while(|(_, tx)| is_final(tx));
        let places: Vec<usize> = due.filter(|(_, tx)| tx.needs_ending() && tx.ending != Ending::Done).map(|(place, _)| place).collect();
        if places.is_empty() {
            return;
        }
        self.chores.insert(number);
        for place in places {
            let slot = Slot { address: number, nonce: self.addresses[number as usize].base + place as u64 };
            self.end(slot, now, actions);
        }
    }

    fn end(&mut self, slot: Slot, now: Now, actions: &mut Vec<Action>) {
        let policy = self.settings.txmgr.displaced;
        let from = self.at(slot.address).address;
        // A first record that is on its way to the disk comes first.
        let Some(tx) = self.get_mut(slot).filter(|tx| tx.ending == Ending::Open && tx.is_bound()) else { return };
        tx.ending = Ending::Writing;
        let id = tx.id;
        let reason = match (tx.closing.as_deref(), tx.rival) {
            (Some(reason), _) => reason.to_owned(),
            (None, Some(_)) if policy == Displaced::Requeue => {
                actions.push(Action::LoadRequest(slot, id));
                return;
            }
            (None, Some(rival)) => format!("displaced: nonce {} of {from} was used by {} in block {}", slot.nonce, rival.hash, rival.block),
            (None, None) => "its nonce was closed by a transfer to itself".to_owned(),
        };
        self.fail_bound(slot, id, reason, now);
    }

    fn fail_bound(&mut self, slot: Slot, id: Uuid, reason: String, now: Now) {
        let from = self.at(slot.address).address;
        let failure = FailureRow { reason, failed_at: now.unix_us };
        self.records.push(Record::Failed { id, from, accepted: None, queue_number: None, depends_on: Vec::new(), failure });
        self.saved.push(Saved::Ended { slot, id });
    }

    /// The request of a displaced transaction, to be queued again under its next generation: once, with a fresh nonce.
    pub(super) fn request(&mut self, slot: Slot, id: Uuid, row: Option<TransactionRow>, now: Now) {
        let waiting = |tx: &InFlight| tx.id == id && tx.ending == Ending::Writing;
        if !self.get_mut(slot).is_some_and(|tx| waiting(tx)) {
            return;
        }
        let filler = row.as_ref().is_some_and(|row| is_filler(id, &row.request.from, slot.nonce, row.accepted_at));
        if filler {
            // What it was for is done: somebody else has used the nonce.
            self.fail_bound(slot, id, "another transaction has filled the nonce".to_owned(), now);
            return;
        }
        let Some(mut transaction) = row else {
            // The disk still has it: asked again with the next block.
            if let Some(tx) = self.get_mut(slot) {
                tx.ending = Ending::Open;
            }
            return;
        };
        transaction.generation += 1;
        let line = &mut self.at(slot.address).waiting;
        let queue_number = line.next_number;
        line.next_number += 1;
        line.unsaved += 1;
        transaction.place = Place::Line(queue_number);
        self.records.push(Record::Changed { id, transaction, left: None, replaced: None });
        self.saved.push(Saved::Requeued { slot, id });
    }

    /// The last record is on disk: the nonce may leave the memory.
    pub(super) fn ended(&mut self, slot: Slot, id: Uuid, now: Now, actions: &mut Vec<Action>) {
        if let Some(tx) = self.get_mut(slot).filter(|tx| tx.id == id) {
            tx.ending = Ending::Done;
        }
        let head = self.head;
        let waits = self.at(slot.address).other_kind;
        self.depths(slot.address, head, now, actions);
        if waits {
            // It may have been the last of its kind.
            self.pump(slot.address, now, actions);
        }
    }

    /// The last record did not reach the disk: it is written again with the next block.
    pub(super) fn not_ended(&mut self, slot: Slot, id: Uuid) {
        if let Some(tx) = self.get_mut(slot).filter(|tx| tx.id == id) {
            tx.ending = Ending::Open;
        }
    }

    /// What of an address's transactions and rivals was in blocks above `to` is in none now.
    pub(super) fn undo(&mut self, number: u32, to: u64, effects: &mut BlockEffects) {
        let address = &mut self.addresses[number as usize];
        if address.chain_at_least.is_some_and(|(_, block)| block > to) {
            address.chain_at_least = None;
            if address.nonce == NonceState::Known {
                address.nonce = NonceState::Unknown;
            }
        }
        if let NonceState::Ahead(_) = address.nonce {
            // What used the nonces up to there may have left with the blocks.
            address.nonce = NonceState::Unknown;
        }
        for (nonce, tx) in (address.base..).zip(&mut address.in_flight) {
            if let Some(rival) = tx.rival.filter(|rival| rival.block > to) {
                tx.rival = None;
                if rival.stored {
                    effects.undone_rivals.push((tx.id, nonce));
                }
                address.unconfirmed += 1;
                tx.submitted = false;
            } else if tx.included.is_some_and(|included| included.block > to) {
                tx.included = None;
                tx.submitted = false;
                if sabotage::on(Sabotage::OrphansNotSent) {
                    tx.work = Work::Sending;
                }
                address.unconfirmed += 1;
                effects.undone.push(tx.id);
            }
        }
    }
}
