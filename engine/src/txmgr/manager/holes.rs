//! Nonces below ours that nobody holds any more: the chain's sequence must have no gap, so each is filled with a transfer to oneself (row A4).
//!
//! A hole comes about where another wallet's transactions had been counted, ours were bound behind them, and their blocks then left the
//! chain: a nonce has opened again. What is bound behind it can never be mined until somebody fills it. It is looked for only where the oldest
//! transaction of an address stays out of block after block although a node has it, and believed once two heads show it: a node may lag.
//!
//! Holes are filled from the top down, one at a time, so that what has no record yet is the front alone.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use storage::{Fees, Request, TransactionRow};
use uuid::{Builder, Uuid};

use super::super::balance::cost;
use super::super::event::{Action, Now, SignJob, Slot};
use super::super::extras::closing;
use super::super::increase::{Caps, first_bid};
use super::super::transaction::{InFlight, Origin, Unsaved};
use super::Manager;
use super::reprice::TRANSFER_GAS;
use crate::sabotage::{self, Sabotage};

/// Times that the oldest transaction is sent again for nothing before the chain is asked whether there is a hole below it.
const PROBES: u8 = 2;

impl Manager {
    /// The oldest transaction of an address is overdue again: asks the chain's count where that could show a hole.
    pub(super) fn suspect_hole(&mut self, slot: Slot, actions: &mut Vec<Action>) {
        let head = self.head.max(self.seen);
        let address = self.at(slot.address);
        let (from, base) = (address.address, address.base);
        let Some(tx) = address.get_mut(slot.nonce) else { return };
        tx.probes = tx.probes.saturating_add(1);
        if tx.probes >= PROBES && slot.nonce == base {
            actions.push(Action::FetchNonce(from, head));
        }
    }

    /// The chain's transaction count of an address: below what is in flight there may be a hole.
    pub(super) fn look_for_hole(&mut self, number: u32, count: u64, now: Now, actions: &mut Vec<Action>) {
        let address = self.at(number);
        let stuck = address.oldest_unconfirmed() == Some(address.base) && address.in_flight.front().is_some_and(|tx| tx.probes >= PROBES);
        if !stuck || count >= address.base {
            (address.hole_seen, address.hole_from) = (None, None);
            return;
        }
        if address.hole_seen == Some(count) && address.hole_from.replace(count) != Some(count) {
            tracing::warn!(from = %address.address, first = count, last = address.base - 1,
                "nonces below ours are open again on chain, and nobody holds them: filling each with a transfer to oneself");
        }
        address.hole_seen = Some(count);
        self.fill(number, now, actions);
    }

    /// Binds a transfer to oneself to the highest nonce of the hole, if that is to be done and nothing of the kind is under way.
    pub(super) fn fill(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        let address = self.at(number);
        // What blocks have shown to be used is no hole any more.
        let used = address.chain_at_least.map_or(0, |(count, _)| count);
        let Some(from_nonce) = address.hole_from.map(|from_nonce| from_nonce.max(used)) else { return };
        let under_way = address.in_flight.front().is_some_and(|tx| !tx.is_bound());
        if address.base <= from_nonce && !under_way {
            // Filled: what leaves the memory from here on leaves no hole.
            (address.hole_seen, address.hole_from) = (None, None);
        }
        if address.base <= from_nonce || under_way || sabotage::on(Sabotage::HoleNotFilled) {
            return;
        }
        // What is bound behind it says which pool holds the address.
        let blobs = address.blobs && !address.in_flight.is_empty();
        self.chores.insert(number);
        let (Some(chain_id), Some(fees)) = (self.chain_id, self.market_for(blobs, now, actions)) else { return };
        let fees = first_bid(fees, Caps::from(&self.settings.gas));
        let address = self.at(number);
        address.blobs = blobs;
        address.base -= 1;
        let (from, nonce) = (address.address, address.base);
        let id = filler_id(&from, nonce, now.unix_us);
        let request = Request {
            from,
            to: Some(from),
            value: U256::ZERO,
            data: Bytes::new(),
            gas: Some(TRANSFER_GAS),
            fees: Fees::Market,
            extras: closing(blobs),
        };
        let row = TransactionRow::new(request, None, now.unix_us);
        let unsaved = Unsaved { row, body_hash: B256::ZERO, origin: Origin::Hole };
        // It takes nobody's turn: what is bound above it waits for it.
        let cost = cost(&fees, TRANSFER_GAS, U256::ZERO, usize::from(blobs));
        address.balance.reserve(cost);
        address.in_flight.push_front(Box::new(InFlight { unsent: false, cost, ..InFlight::new(id, unsaved) }));
        address.unconfirmed += 1;
        self.floors.insert(number);
        let slot = Slot { address: number, nonce };
        let (to, value, data) = (Some(from), U256::ZERO, Bytes::new());
        self.ask_signature(SignJob {
            number: 0,
            slot,
            id,
            from,
            chain_id,
            to,
            value,
            data,
            gas: TRANSFER_GAS,
            fees,
            closing: false,
            extras: closing(blobs),
        });
    }

    /// A filler without a record is taken out again; the next block tries anew.
    pub(super) fn unfill(&mut self, number: u32) {
        let address = self.at(number);
        let unsaved = address.in_flight.front().and_then(|tx| tx.unsaved.as_ref());
        if unsaved.is_some_and(|unsaved| unsaved.origin == Origin::Hole) {
            if let Some(filler) = address.in_flight.pop_front().filter(|filler| !filler.taken()) {
                address.balance.release(filler.cost);
                address.unconfirmed -= 1;
            }
            address.base += 1;
            address.other_kind &= !address.in_flight.is_empty();
        }
    }
}

/// An id for a transaction that no caller asked for: like the others it sorts by time.
pub(crate) fn filler_id(from: &Address, nonce: u64, accepted_at: u64) -> Uuid {
    let digest = keccak256([from.as_slice(), &nonce.to_be_bytes(), &accepted_at.to_be_bytes()].concat());
    let random: [u8; 10] = digest[..10].try_into().expect("a digest has 32 bytes");
    Builder::from_unix_timestamp_millis(accepted_at / 1000, &random).into_uuid()
}

/// Whether this id was made for a transfer that fills this nonce.
#[must_use]
pub fn is_filler(id: Uuid, from: &Address, nonce: u64, accepted_at: u64) -> bool {
    id == filler_id(from, nonce, accepted_at)
}
