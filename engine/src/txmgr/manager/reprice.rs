//! From stage to stage: what a transaction needs next, higher prices among it (rows A5, A8).

use std::time::Duration;

use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::Decodable2718;
use alloy::primitives::{Bytes, U256};
use storage::AttemptFees;

use super::super::balance::cost;
use super::super::event::{Action, Counted, Now, SignJob, Slot};
use super::super::extras::{self, extras};
use super::super::gas_price::MarketPrice;
use super::super::increase::{Caps, Increase, Strategy, blob_cap, fee_cap, increase, replacement_minimum};
use super::super::stage::Stage;
use super::super::transaction::{Held, Short, Work};
use super::Manager;
use crate::blobs::has_blobs;
use crate::sabotage::{self, Sabotage};

/// Gas of a transfer without data: what closes a nonce (yellow paper, G_transaction).
pub(super) const TRANSFER_GAS: u64 = 21_000;

/// What a chain without gas prices is paid; a blob costs a wei even there (EIP-4844).
pub(super) const fn zero_fees(blobs: bool) -> AttemptFees {
    if blobs {
        AttemptFees::Blob { max_fee_per_gas: 0, max_priority_fee_per_gas: 0, max_fee_per_blob_gas: 1 }
    } else {
        AttemptFees::Legacy { gas_price: 0 }
    }
}

/// What replaces these attempts there: a pool takes blobs in the place of others for twice their price only.
pub(super) fn zero_replacement(earlier: &[AttemptFees]) -> AttemptFees {
    if !earlier.iter().any(|fees| matches!(fees, AttemptFees::Blob { .. })) {
        return zero_fees(false);
    }
    let (_, _, max_fee_per_blob_gas) = replacement_minimum(earlier);
    AttemptFees::Blob { max_fee_per_gas: 0, max_priority_fee_per_gas: 0, max_fee_per_blob_gas }
}

impl Manager {
    /// Starts the next stage of a transaction, unless something is being done with it.
    pub(super) fn advance(&mut self, slot: Slot, now: Now, actions: &mut Vec<Action>) {
        let Some(tx) = self.get_mut(slot).filter(|tx| tx.work == Work::None && !tx.taken() && tx.is_bound()) else { return };
        let not_before = tx.not_before;
        let stage = tx.stage();
        match stage {
            Stage::RetrieveGasPrice | Stage::StatusUpdate | Stage::Submitting if now.elapsed < not_before => {
                self.wake(slot.address, not_before);
            }
            // Closing it costs more than there is: it goes on when the balance suffices, as below.
            Stage::StatusUpdate if matches!(tx.short, Short::Increase(_)) => {}
            Stage::RetrieveGasPrice | Stage::StatusUpdate => self.reprice(slot, now, actions),
            // It goes on when the balance, read again, suffices.
            Stage::Submitting if tx.short == Short::Send => {}
            Stage::Submitting => self.enqueue(slot),
            Stage::Tracking => {
                let due = tx.sign_again_at.unwrap_or(tx.raise_at);
                self.wake(slot.address, due);
            }
            // A transaction that is bound is signed; the others are not looked at again.
            Stage::Queued | Stage::Signing | Stage::Complete => {}
        }
    }

    /// Looks at every transaction of an address whose time has come.
    pub(super) fn look(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        let interval = self.resubmit_interval();
        let address = self.at(number);
        let (first, end) = (address.base, address.next_nonce());
        for nonce in first..end {
            let slot = Slot { address: number, nonce };
            if let Some(tx) = self.get_mut(slot).filter(|tx| !tx.taken() && tx.work == Work::None) {
                if sabotage::on(Sabotage::DroppedNotSent) {
                    tx.raise_at = now.elapsed + interval;
                }
                // After a signature that failed its own pause counts, not the interval, which has passed.
                let due = match tx.sign_again_at {
                    Some(at) => now.elapsed >= at,
                    None => tx.submitted && now.elapsed >= tx.raise_at,
                };
                if due {
                    tx.resubmit_due = true;
                    tx.sign_again_at = None;
                }
                self.advance(slot, now, actions);
            }
        }
    }

    /// How long an attempt may wait for a block before a higher price is due.
    pub(super) const fn resubmit_interval(&self) -> Duration {
        Duration::from_millis(self.settings.txmgr.resubmit_interval_ms)
    }

    /// The market's price, if it is known; asks the node where nobody has.
    pub(super) fn market(&mut self, now: Now, actions: &mut Vec<Action>) -> Option<AttemptFees> {
        let quote = self.gas_price.quote(now.elapsed);
        if quote.ask_node {
            actions.push(Action::FetchPrice);
        }
        quote.price.map(MarketPrice::fees)
    }

    /// The same for one that carries blobs, or none.
    pub(super) fn market_for(&mut self, blobs: bool, now: Now, actions: &mut Vec<Action>) -> Option<AttemptFees> {
        if !blobs {
            return self.market(now, actions);
        }
        let (fees, ask_node) = self.gas_price.quote_blob(now.elapsed);
        if ask_node {
            actions.push(Action::FetchBlobPrice);
        }
        fees
    }

    /// Looks at the address again when the answer on its way comes, or when the node may be asked again.
    pub(super) fn wait_for_price(&mut self, number: u32) {
        self.price_waiters.insert(number);
        if let Some(at) = self.gas_price.retry_at() {
            self.wake(number, at);
        }
    }

    /// A further attempt at a higher price, or the same bytes once more where there can be none.
    fn reprice(&mut self, slot: Slot, now: Now, actions: &mut Vec<Action>) {
        let blobs = self.at(slot.address).blobs;
        let market = self.market_for(blobs, now, actions);
        let gas = &self.settings.gas;
        let strategy = gas.increase_step_wei.map_or(Strategy::Percent(gas.increase_percent), Strategy::Step);
        let caps = Caps::from(gas);
        // On a chain without gas prices there is nothing to raise; only what closes a nonce is signed anew, once.
        let zero = gas.zero;
        let Some(tx) = self.get_mut(slot) else { return };
        let closing = tx.closing.is_some();
        if zero && closing && !tx.attempts.iter().any(|mark| mark.closing) {
            let fees = zero_replacement(&tx.fees());
            self.sign_again(slot, fees, closing, now, actions);
            return;
        }
        if zero || (tx.fixed_price && !closing) {
            self.send_again(slot, now, actions);
            return;
        }
        if market.is_none() {
            self.wait_for_price(slot.address);
            return;
        }
        let again = std::mem::take(&mut tx.starts_again);
        let highest = tx.attempts.iter().map(|mark| fee_cap(&mark.fees)).max();
        let highest_blob = tx.attempts.iter().map(|mark| blob_cap(&mark.fees)).max();
        if again && !closing && market.as_ref().map(fee_cap) <= highest && market.as_ref().map(blob_cap) <= highest_blob {
            self.send_again(slot, now, actions);
            return;
        }
        // A nonce that is being closed blocks its address: closing it is worth more than the cap.
        match increase(&tx.fees(), market, strategy, if closing { Caps::default() } else { caps }) {
            Increase::Price(fees) => self.sign_again(slot, fees, closing, now, actions),
            Increase::Held { needed, cap } => self.hold_at_cap(slot, Held::PriceCap { needed, cap }, now, actions),
            Increase::HeldBlob { needed, cap } => self.hold_at_cap(slot, Held::BlobPriceCap { needed, cap }, now, actions),
        }
    }

    /// A cap leaves no price: the same bytes stay where they are until the market falls.
    fn hold_at_cap(&mut self, slot: Slot, held: Held, now: Now, actions: &mut Vec<Action>) {
        let Some(tx) = self.get_mut(slot) else { return };
        // Told once; it shows for as long as it lasts.
        if tx.held.as_deref() != Some(&held) {
            tracing::warn!(id = %tx.id, nonce = slot.nonce, %held, "held: the price cap is below what a replacement needs");
            actions.push(Action::Count(Counted::Held));
        }
        tx.held = Some(Box::new(held));
        if sabotage::on(Sabotage::HoldForgotten) {
            tx.work = Work::Sending;
            return;
        }
        self.held.insert(slot);
        self.send_again(slot, now, actions);
    }

    fn send_again(&mut self, slot: Slot, now: Now, actions: &mut Vec<Action>) {
        let raise_at = now.elapsed + self.resubmit_interval();
        if let Some(tx) = self.get_mut(slot) {
            tx.resubmit_due = false;
            tx.submitted = false;
            tx.raise_at = raise_at;
            self.advance(slot, now, actions);
        }
    }

    /// The request is read back from the newest attempt's bytes: they are what is certain.
    fn sign_again(&mut self, slot: Slot, fees: AttemptFees, closing: bool, now: Now, actions: &mut Vec<Action>) {
        let from = self.at(slot.address).address;
        let chain_id = self.chain_id.expect("something was sent, so the chain is known");
        let Some(tx) = self.get_mut(slot) else { return };
        let signed = TxEnvelope::decode_2718(&mut tx.raw.as_ref()).expect("these bytes were encoded by the sign stage");
        let (to, value, data, gas, extras) = if closing {
            let blobs = has_blobs(&tx.raw) && !sabotage::on(Sabotage::BlobNonceClosedPlain);
            (Some(from), U256::ZERO, Bytes::new(), TRANSFER_GAS, extras::closing(blobs))
        } else {
            (signed.to(), signed.value(), signed.input().clone(), signed.gas_limit(), extras(&signed))
        };
        let blobs = extras.as_ref().map_or(0, |extras| extras.blob_hashes.len());
        if !self.raise(slot, cost(&fees, gas, value, blobs), now, actions) {
            actions.push(Action::Count(Counted::Held));
            self.send_again(slot, now, actions);
            return;
        }
        let Some(tx) = self.get_mut(slot) else { return };
        tx.work = Work::Signing;
        let id = tx.id;
        self.ask_signature(SignJob { number: 0, slot, id, from, chain_id, to, value, data, gas, fees, closing, extras });
    }

    /// What is held goes on when the market has come down to its price: the same bytes, at once (row A8).
    fn release_held(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(market) = self.gas_price.known().map(MarketPrice::fees) else { return };
        let blob_market = self.gas_price.known_blob().map_or(0, |fees| blob_cap(&fees));
        for slot in std::mem::take(&mut self.held) {
            let Some(tx) = self.get_mut(slot).filter(|tx| !tx.taken()) else { continue };
            if !matches!(tx.held.as_deref(), Some(Held::PriceCap { .. } | Held::BlobPriceCap { .. } | Held::FixedPrice { .. })) {
                continue;
            }
            let fees = tx.fees();
            let (price, blob_price) = (fees.iter().map(fee_cap).max(), fees.iter().map(blob_cap).max());
            let blob_market = if has_blobs(&tx.raw) { blob_market } else { 0 };
            if Some(fee_cap(&market)) > price || Some(blob_market) > blob_price {
                self.held.insert(slot);
                continue;
            }
            tx.held = None;
            // What is on its way to a node needs no second push.
            if tx.work == Work::None {
                tx.not_before = now.elapsed;
                self.send_again(slot, now, actions);
            }
        }
    }

    /// When the node is asked for its price for what is held.
    pub(super) fn held_wake(&self) -> Option<Duration> {
        if self.held.is_empty() { None } else { self.gas_price.refresh_at(|| self.holds_blobs()) }
    }

    /// Asks the node for its price while something is held, at the pace of the cache.
    pub(super) fn held_due(&mut self, now: Now, actions: &mut Vec<Action>) {
        if self.held_wake().is_some_and(|at| at <= now.elapsed) {
            self.market_for(self.holds_blobs(), now, actions);
        }
    }

    fn holds_blobs(&self) -> bool {
        self.held.iter().any(|slot| self.addresses[slot.address as usize].blobs)
    }

    pub(super) fn priced(&mut self, price: Option<MarketPrice>, now: Now, actions: &mut Vec<Action>) {
        self.gas_price.answered(price, now.elapsed);
        self.release_held(now, actions);
        // With no price at all they wait again; with the last known good one they go on.
        for number in std::mem::take(&mut self.price_waiters) {
            self.look(number, now, actions);
            self.pump(number, now, actions);
        }
    }
}
