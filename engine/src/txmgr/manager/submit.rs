//! A submission: bound at once if everything for that is at hand, otherwise written to the queue of its address.

use super::super::balance::cost;
use super::super::event::{Accept, Action, Now, ReplyTo};
use super::super::transaction::{Origin, Unsaved};
use super::Manager;
use super::commit::NOT_STORED;

impl Manager {
    pub(super) fn submit(&mut self, accept: Accept, reply_to: ReplyTo, now: Now, actions: &mut Vec<Action>) {
        if !self.store_healthy {
            actions.push(Action::Reply { to: reply_to, result: Err(NOT_STORED), last: true });
            return;
        }
        if !accept.row.depends_on.is_empty() {
            self.block_by(accept, reply_to);
            return;
        }
        let Accept { id, row, body_hash } = accept;
        let number = self.number(row.request.from);
        self.freshen(number, now);
        let blobs = row.request.blob_hashes().len();
        let bindable = self.at(number).waiting.is_empty()
            && self.at(number).fits_kind(blobs)
            && self.may_bind(number, now)
            && self.window_open(number);
        // A price is asked for only by what can use it now.
        let fees = if bindable { self.price_for(row.request.fees, blobs > 0, now, actions) } else { None };
        if let (Some(gas), Some(fees)) = (row.request.gas, fees)
            && self.covers(number, cost(&fees, gas, row.request.value, blobs))
        {
            let unsaved = Unsaved { row, body_hash, origin: Origin::Caller(reply_to) };
            self.bind(number, id, unsaved, gas, fees);
            return;
        }
        self.queue(number, Accept { id, row, body_hash }, reply_to);
        // Who stands in line asks when its turn comes.
        if self.at(number).standing.has_slot() {
            self.ask_nonce(number, now, actions);
        }
    }
}
