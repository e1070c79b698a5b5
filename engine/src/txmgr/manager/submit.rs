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
        let number = self.number(accept.row.request.from);
        self.freshen(number, now);
        let admitted = self.at(number).waiting.is_empty() && self.may_bind(number, now);
        if admitted {
            self.ask_nonce(number, now, actions);
            if self.may_await_answers(number, &accept) {
                self.await_answers(number, (accept, reply_to), now);
                return;
            }
        }
        // None overtakes what came before it.
        self.arrived(number, now, actions);
        self.take_in(number, admitted, (accept, reply_to), now, actions);
    }

    /// Binds a submission with what is known now, if its address is admitted; otherwise queues it.
    pub(super) fn take_in(
        &mut self,
        number: u32,
        admitted: bool,
        (accept, reply_to): (Accept, ReplyTo),
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let blobs = accept.row.request.blob_hashes().len();
        let address = self.at(number);
        let bindable = admitted && address.waiting.is_empty() && address.fits_kind(blobs) && self.window_open(number);
        // A price is asked for only by what can use it now.
        let fees = if bindable { self.price_for(accept.row.request.fees, blobs > 0, now, actions) } else { None };
        if let (Some(gas), Some(fees)) = (accept.row.request.gas, fees)
            && self.covers(number, cost(&fees, gas, accept.row.request.value, blobs))
        {
            let Accept { id, row, body_hash } = accept;
            let unsaved = Unsaved { row, body_hash, origin: Origin::Caller(reply_to) };
            self.bind(number, id, unsaved, gas, fees);
            return;
        }
        self.queue(number, accept, reply_to);
        // Who stands in line asks when its turn comes.
        if self.at(number).standing.has_slot() {
            self.ask_nonce(number, now, actions);
        }
    }
}
