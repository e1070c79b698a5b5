//! Blocks: receipts end transactions, depth archives them, and silence sends the oldest one again.

use std::collections::BTreeSet;

use storage::{ReceiptRow, Record, Timeline};
use uuid::Uuid;

use super::super::event::{Action, BlockEffects, Counted, Now, SeenBlock, SeenReceipt, Slot};
use super::super::orchestrator::NonceState;
use super::super::transaction::{InFlight, Included};
use super::Manager;
use crate::sabotage::{self, Sabotage};

impl Manager {
    /// What a block does to this shard's transactions; told in one [`BlockEffects`], even if that is nothing.
    pub(super) fn block(&mut self, block: &SeenBlock, actions: &mut Vec<Action>) {
        let mut effects = BlockEffects { number: block.number, ..BlockEffects::default() };
        self.seen = block.number;
        let mut touched = BTreeSet::new();
        for receipt in &block.receipts {
            let Some(number) = self.numbers.get(&receipt.from).copied() else { continue };
            let Some(nonce) = self.at(number).find(&receipt.transaction_hash) else {
                if self.is_stranger(receipt) {
                    effects.strangers.push(receipt.transaction_hash);
                }
                continue;
            };
            touched.insert(number);
            self.included(Slot { address: number, nonce }, block, receipt, &mut effects);
        }
        for named in &block.authorizations {
            if let Some(number) = self.numbers.get(&named.address).copied() {
                let nonce = &mut self.at(number).nonce;
                // Whether the account has delegated code now is asked with the nonce.
                *nonce = if *nonce == NonceState::Known { NonceState::Unknown } else { *nonce };
            }
        }
        effects.authorizations = block.authorizations.iter().filter(|seen| self.names_ours(seen)).copied().collect();
        effects.floors = std::mem::take(&mut self.floors)
            .into_iter()
            .map(|number| {
                let address = &mut self.addresses[number as usize];
                address.floor_moved = false;
                let floor = if sabotage::on(Sabotage::FloorTooHigh) { address.next_nonce() } else { address.base };
                (address.address, floor)
            })
            .collect();
        if !touched.is_empty() {
            self.touched.entry(block.number).or_default().extend(touched);
        }
        actions.push(Action::Effects(effects));
    }

    fn included(&mut self, slot: Slot, block: &SeenBlock, receipt: &SeenReceipt, effects: &mut BlockEffects) {
        let address = &mut self.addresses[slot.address as usize];
        let Some(tx) = address.get_mut(slot.nonce) else { return };
        let first_time = !tx.taken();
        let attempt = tx.attempts.iter().position(|mark| mark.hash == receipt.transaction_hash).unwrap_or_default();
        let (closing, value) = (tx.attempts[attempt].closing, tx.attempts[attempt].value);
        tx.included = Some(Included { block: block.number, seen_at: block.seen_at, stored: false, confirmed: false, closing });
        if !receipt.success {
            self.gas_price.invalidate();
        }
        effects.receipts.push((tx.id, receipt_row(tx, slot.nonce, attempt, block, receipt)));
        if address.displaced == Some(slot.nonce) {
            address.displaced = None;
        }
        if first_time {
            address.unconfirmed -= 1;
            address.window.grow();
            self.paid(slot, value, receipt);
        }
        self.first_sent(slot);
    }

    /// The block's write is on disk: its transactions are in, older ones reach their depths, and the window moves on.
    pub(super) fn block_stored(&mut self, number: u64, newest: bool, now: Now, actions: &mut Vec<Action>) {
        self.head = self.head.max(number);
        let start = newest && !self.caught_up;
        self.caught_up |= newest;
        let (required, finality) = (self.settings.txmgr.required_confirmations, self.settings.txmgr.finality_depth);
        // What could not be ended or filled so far is tried again with each block.
        let mut changed = std::mem::take(&mut self.chores);
        for (block, addresses) in &self.touched {
            let depth = (number + 1).saturating_sub(*block);
            if depth == 1 || depth == required || depth >= finality {
                changed.extend(addresses.iter().copied());
            }
        }
        for address in &changed {
            self.depths(*address, number, now, actions);
            self.fill(*address, now, actions);
        }
        self.touched.retain(|block, _| (number + 1).saturating_sub(*block) < finality);
        self.resend_oldest(now, actions);
        if newest {
            self.funds_at_head(now, actions);
        }
        for address in changed {
            self.pump(address, now, actions);
        }
        if start {
            self.start(now, actions);
        }
    }

    /// The chain has been read up to its head for the first time: now what the disk held may be sent again.
    fn start(&mut self, now: Now, actions: &mut Vec<Action>) {
        for number in self.active.clone() {
            self.look(number, now, actions);
        }
        self.pump_all(now, actions);
    }

    pub(super) fn depths(&mut self, number: u32, head: u64, now: Now, actions: &mut Vec<Action>) {
        self.progressed(number, now, actions);
        let (required, finality) = (self.settings.txmgr.required_confirmations, self.settings.txmgr.finality_depth);
        let mut settled = Vec::new();
        let address = &mut self.addresses[number as usize];
        for tx in &mut address.in_flight {
            if let Some(rival) = tx.rival.as_mut() {
                rival.stored |= rival.block <= head;
            }
            let Some(included) = tx.included.as_mut() else { continue };
            if !included.stored && included.block <= head {
                included.stored = true;
                actions.push(Action::Count(Counted::Included(included.seen_at.saturating_sub(tx.accepted_at))));
            }
            // At every look: blocks on top of it may have left the chain and come again.
            if included.stored && included.block + required <= head + 1 && self.watched.contains(&tx.id) {
                settled.push(tx.id);
            }
            if included.stored && !included.confirmed && included.block + required <= head + 1 {
                included.confirmed = true;
                if !included.closing {
                    let since = |moment| now.unix_us.saturating_sub(moment);
                    let (accepted_us, seen_us) = (since(tx.accepted_at), since(included.seen_at));
                    actions.push(Action::Count(Counted::Confirmed { accepted_us, seen_us }));
                }
            }
        }
        for id in settled {
            self.settled(id, actions);
        }
        self.conclude(number, head, now, actions);
        self.settle_final(number, head, actions);
        let address = &mut self.addresses[number as usize];
        let blobs = if address.blobs { self.with_blobs(number) } else { Vec::new() };
        let address = &mut self.addresses[number as usize];
        let archived = address.archive(head, finality);
        address.other_kind &= !address.in_flight.is_empty();
        if archived > 0 {
            self.drop_blobs(&blobs[..archived.min(blobs.len())]);
            actions.push(Action::Count(Counted::Open(-i64::try_from(archived).expect("fits the memory"))));
            self.floors.insert(number);
        }
        if self.addresses[number as usize].unconfirmed == 0 {
            self.active.remove(&number);
        }
    }

    /// What of an address is in flight, in order: each with whether its own blobs are in a block.
    fn with_blobs(&mut self, number: u32) -> Vec<(Uuid, bool)> {
        let mined = |tx: &InFlight| tx.included.is_some_and(|included| included.stored && !included.closing);
        let all: Vec<(Uuid, bool)> = self.at(number).in_flight.iter().map(|tx| (tx.id, mined(tx))).collect();
        if sabotage::on(Sabotage::SidecarDroppedEarly) {
            self.drop_blobs(&all);
        }
        all
    }

    /// These are final: nobody sends them again. What ended otherwise was dropped with its failure, or waits again with its blobs. A drop
    /// that does not reach the disk is made up for at the next start.
    fn drop_blobs(&mut self, archived: &[(Uuid, bool)]) {
        self.records.extend(archived.iter().filter(|(_, mined)| *mined).map(|(id, _)| Record::SidecarDropped { id: *id }));
    }

    /// Blocks above `to` have left the chain: what they held is unconfirmed again and is sent again as it is (row B5). Nothing
    /// of it has been archived, because the follower goes back less than the finality depth.
    pub(super) fn rewind(&mut self, to: u64, now: Now, actions: &mut Vec<Action>) {
        let mut effects = BlockEffects { number: to, ..BlockEffects::default() };
        let touched: BTreeSet<u32> = self.touched.split_off(&(to + 1)).into_values().flatten().collect();
        self.head = self.head.min(to);
        self.seen = self.seen.min(to);
        self.resend_rewound(to);
        for number in &touched {
            if sabotage::on(Sabotage::ReorgNotTakenBack) {
                continue;
            }
            self.undo(*number, to, &mut effects);
            self.active.insert(*number);
        }
        for number in self.active.clone() {
            for tx in &mut self.at(number).in_flight {
                tx.sent_before_block = tx.sent_before_block.map(|block| block.min(to));
            }
        }
        actions.push(Action::Effects(effects));
        for number in touched {
            self.unpaid(number, now, actions);
            self.look(number, now, actions);
        }
    }

    /// The oldest transaction of an address has been left out of several blocks: the same bytes again tell whether the pool
    /// dropped it.
    fn resend_oldest(&mut self, now: Now, actions: &mut Vec<Action>) {
        if sabotage::on(Sabotage::DroppedNotSent) {
            return;
        }
        for slot in self.overdue() {
            let Some(tx) = self.get_mut(slot) else { continue };
            let (id, used) = (tx.id, tx.nonce_used);
            tx.submitted = false;
            tx.resending = true;
            if used && self.at(slot.address).displaced.replace(slot.nonce).is_none() {
                let from = self.at(slot.address).address;
                tracing::error!(%id, %from, nonce = slot.nonce, "the nonce is used on chain, and by no transaction of ours: another wallet has the key; nothing more is bound for this address");
            }
            self.suspect_hole(slot, actions);
            self.advance(slot, now, actions);
        }
    }
}

fn receipt_row(tx: &InFlight, nonce: u64, attempt: usize, block: &SeenBlock, receipt: &SeenReceipt) -> ReceiptRow {
    let known = |at: u64| (at > 0).then_some(at);
    ReceiptRow {
        transaction_hash: receipt.transaction_hash,
        generation: if sabotage::on(Sabotage::ReceiptOfNewest) { tx.generation } else { tx.attempts[attempt].generation },
        attempt: tx.number_of(attempt),
        nonce,
        block_number: block.number,
        block_hash: block.hash,
        transaction_index: receipt.transaction_index,
        success: receipt.success,
        gas_used: receipt.gas_used,
        effective_gas_price: receipt.effective_gas_price,
        contract_address: receipt.contract_address,
        timeline: Timeline { durable_at: known(tx.durable_at), sent_at: known(tx.sent_at), included_at: Some(block.seen_at) },
    }
}
