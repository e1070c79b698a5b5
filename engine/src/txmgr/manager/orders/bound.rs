//! Orders about what has a nonce: only another transaction at that nonce can do anything about it.

use std::time::Duration;

use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::Decodable2718;
use storage::{AttemptFees, Fees, Place, Request};

use super::super::super::balance::{Unavailable, cost};
use super::super::super::event::{Action, Now, SignJob, Slot};
use super::super::super::increase::{Caps, Increase, Strategy, increase};
use super::super::super::order::{CANCELLED, Case, Change, Command, Done, Refusal, replaces};
use super::super::super::transaction::{InFlight, Short, Updating, Work};
use super::super::Manager;
use super::super::reprice::zero_replacement;
use super::line::{changed, next_generation};
use super::{Decision, Phase, Until};
use crate::sabotage::{self, Sabotage};

impl Manager {
    pub(super) fn decide_bound(&mut self, slot: Slot, case: &Case, command: &Command, now: Now, actions: &mut Vec<Action>) -> Decision {
        let Some(tx) = self.get_mut(slot) else { return Decision::Busy };
        let nonce = slot.nonce;
        if let Some(included) = tx.included {
            if included.closing && *command == Command::Cancel {
                return Decision::Answer(Ok(Done::Cancelling));
            }
            let begun = tx.work == Work::Signing || tx.attempts.iter().any(|mark| mark.closing);
            if tx.closing_unsaved && !begun && tx.closing.as_deref() == Some(CANCELLED) {
                // Whoever cancels hears now that it was too late; should the block leave the chain, the request goes on. Once a transfer to
                // oneself is being made there is no way back: further attempts are made of the newest bytes, which are its.
                (tx.closing, tx.closing_unsaved) = (None, false);
            }
            return Decision::Answer(Err(Refusal::Mined(included.block)));
        }
        if let Some(rival) = tx.rival {
            return Decision::Answer(Err(Refusal::Displaced { nonce, block: rival.block }));
        }
        match command {
            Command::Suspend | Command::Resume => Decision::Answer(Err(Refusal::Bound(nonce))),
            Command::Check => Decision::Answer(Ok(Done::Resumed)),
            Command::Cancel => self.cancel_bound(slot, now, actions),
            Command::Update(change) => self.update_bound(slot, case, change, now, actions),
        }
    }

    fn cancel_bound(&mut self, slot: Slot, now: Now, actions: &mut Vec<Action>) -> Decision {
        let Some(tx) = self.get_mut(slot) else { return Decision::Busy };
        if tx.closes() {
            return Decision::Answer(Ok(Done::Cancelling));
        }
        if tx.closing.is_none() {
            tx.closing = Some(CANCELLED.into());
            tx.closing_unsaved = true;
            tx.not_before = now.elapsed;
            if matches!(tx.short, Short::Increase(_)) {
                // What it lacked was for a higher price of its own.
                tx.short = Short::No;
                self.recount(slot.address);
            }
            self.advance(slot, now, actions);
        }
        if sabotage::on(Sabotage::CancelledUnsaved) {
            return Decision::Answer(Ok(Done::Cancelling));
        }
        Decision::Attempt(Phase::Closing(slot))
    }

    fn update_bound(&mut self, slot: Slot, case: &Case, change: &Change, now: Now, actions: &mut Vec<Action>) -> Decision {
        let Some(tx) = self.get_mut(slot) else { return Decision::Busy };
        if let Some(reason) = &tx.closing {
            return Decision::Answer(Err(Refusal::Closing { nonce: slot.nonce, reason: reason.to_string() }));
        }
        if tx.work != Work::None {
            return Decision::Wait(Until::AtRest(slot));
        }
        let request = match changed(change, case) {
            Ok(Some(request)) => request,
            Ok(None) => return Decision::Answer(Ok(Done::Updated(case.row.generation))),
            Err(refusal) => return Decision::Answer(Err(refusal)),
        };
        let known = gas_limit(tx, &case.row.request, &request);
        let id = tx.id;
        let line = self.orders.lines.get_mut(&id);
        let estimate = line.as_ref().filter(|line| line.asked.as_deref() == Some(&request)).and_then(|line| line.estimate);
        let Some(gas) = known.or(estimate) else {
            if let Some(line) = line {
                (line.asked, line.estimate) = (Some(Box::new(request.clone())), None);
            }
            actions.push(Action::Estimate(id, request));
            return Decision::Attempt(Phase::Estimating);
        };
        match self.replacement(slot, request.fees, now, actions) {
            Ok(Some(fees)) => self.sign_update(slot, case, request, gas, fees, now),
            Ok(None) => {
                // The price is on its way.
                let at = now.elapsed + Duration::from_millis(self.settings.txmgr.retry_min_ms);
                Decision::Wait(Until::Time(at))
            }
            Err(refusal) => Decision::Answer(Err(refusal)),
        }
    }

    /// What the next attempt pays; `None` while no price is known.
    fn replacement(&mut self, slot: Slot, fees: Fees, now: Now, actions: &mut Vec<Action>) -> Result<Option<AttemptFees>, Refusal> {
        let Some(earlier) = self.get_mut(slot).map(|tx| tx.fees()) else { return Ok(None) };
        let gas = &self.settings.gas;
        if gas.zero {
            return Ok(Some(zero_replacement(&earlier)));
        }
        if fees != Fees::Market {
            return replaces(fees, if sabotage::on(Sabotage::UpdateTooLow) { &[] } else { &earlier }).map(Some);
        }
        let strategy = gas.increase_step_wei.map_or(Strategy::Percent(gas.increase_percent), Strategy::Step);
        let caps = Caps::from(gas);
        let blobs = self.at(slot.address).blobs;
        let Some(market) = self.market_for(blobs, now, actions) else { return Ok(None) };
        if sabotage::on(Sabotage::UpdateTooLow) {
            return Ok(Some(market));
        }
        match increase(&earlier, Some(market), strategy, caps) {
            Increase::Price(fees) => Ok(Some(fees)),
            Increase::Held { needed, cap } => Err(Refusal::Content(format!(
                "a replacement needs {needed} wei per gas and gas.cap_max_fee_per_gas is {cap}: raise the cap, or give a price"
            ))),
            Increase::HeldBlob { needed, cap } => Err(Refusal::Content(format!(
                "a replacement needs {needed} wei per blob gas and gas.cap_max_fee_per_blob_gas is {cap}: raise the cap, or give a price"
            ))),
        }
    }

    fn sign_update(&mut self, slot: Slot, case: &Case, request: Request, gas: u64, fees: AttemptFees, now: Now) -> Decision {
        let chain_id = self.chain_id.expect("it is bound, so the chain is known");
        let continues = self.settings.txmgr.balance_unavailable == Unavailable::Continue;
        let address = self.at(slot.address);
        let from = address.address;
        let Some(tx) = address.in_flight.get_mut(usize::try_from(slot.nonce - address.base).expect("in memory")) else {
            return Decision::Busy;
        };
        let more = cost(&fees, gas, request.value, request.blob_hashes().len()).saturating_sub(tx.cost);
        let balance = &mut address.balance;
        if !more.is_zero() && balance.known().is_some() && !balance.fits(more) && !continues {
            let (needed, known) = (balance.reserved().saturating_add(more), balance.known().unwrap_or_default());
            return Decision::Answer(Err(Refusal::Content(format!(
                "with this update {from} needs {needed} wei for what is bound and has {known}: add funds to it, or ask for less"
            ))));
        }
        balance.reserve(more);
        tx.cost = tx.cost.saturating_add(more);
        let (to, value, data) = (request.to, request.value, request.data.clone());
        let extras = request.extras.clone();
        let (row, replaced) = next_generation(&case.row, request, Place::Nowhere, now);
        let generation = row.generation;
        tx.updating = Some(Box::new(Updating { row, replaced, more }));
        tx.work = Work::Signing;
        let id = tx.id;
        self.ask_signature(SignJob { number: 0, slot, id, from, chain_id, to, value, data, gas, fees, closing: false, extras });
        Decision::Attempt(Phase::Updating(slot, generation))
    }

    /// There is no signature for a new generation: the one before it stands, and whoever asked may ask again.
    pub(in super::super) fn update_unsigned(&mut self, slot: Slot, reason: &str, now: Now, actions: &mut Vec<Action>) {
        let Some(tx) = self.get_mut(slot) else { return };
        tracing::warn!(id = %tx.id, nonce = slot.nonce, reason, "no signature for an update; the generation before it stands");
        tx.work = Work::None;
        let id = tx.id;
        self.not_updated(slot);
        self.answer_order(id, Err(super::NOT_STORED), actions);
        self.advance(slot, now, actions);
    }

    /// A new generation is not on disk, and will not be.
    pub(in super::super) fn not_updated(&mut self, slot: Slot) {
        let address = self.at(slot.address);
        let Some(place) = slot.nonce.checked_sub(address.base).and_then(|place| usize::try_from(place).ok()) else { return };
        let Some(tx) = address.in_flight.get_mut(place) else { return };
        if let Some(updating) = tx.updating.take() {
            tx.cost = tx.cost.saturating_sub(updating.more);
            if !tx.taken() {
                address.balance.release(updating.more);
            }
        }
    }
}

/// The gas limit of a new generation: its own, or what was signed where the same is to be executed; otherwise the node has to say.
fn gas_limit(tx: &InFlight, present: &Request, next: &Request) -> Option<u64> {
    let same = (present.to, present.value, &present.data) == (next.to, next.value, &next.data);
    let signed = || Some(TxEnvelope::decode_2718(&mut tx.raw.as_ref()).ok()?.gas_limit());
    next.gas.or_else(|| if same { signed() } else { None })
}
