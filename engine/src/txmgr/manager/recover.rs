//! After a start: what the disk holds. The store is read before the chain is asked (row B7).

use super::super::event::{Action, Counted, Now, Recovered};
use super::super::orchestrator::NonceState;
use super::super::transaction::InFlight;
use super::Manager;
use crate::blobs::has_blobs;

impl Manager {
    /// Puts an address back as the disk holds it. Its bound transactions count as maybe sent and are sent again, as they
    /// are, once the chain has been read up to its head.
    pub(super) fn recovered(&mut self, recovered: &Recovered, now: Now, actions: &mut Vec<Action>) {
        let number = self.number(recovered.address);
        let interval = self.resubmit_interval();
        let address = &mut self.addresses[number as usize];
        let newest = recovered.bound.iter().rev().find_map(|bound| bound.attempts.last());
        address.blobs = newest.is_some_and(|attempt| has_blobs(&attempt.raw));
        address.base = recovered.floor;
        address.nonce = NonceState::Unknown;
        address.waiting.next_number = recovered.last_queue_number.map_or(0, |last| last + 1);
        address.waiting.unread = recovered.waiting_count;
        let mut open = i64::try_from(recovered.waiting_count).unwrap_or(i64::MAX);
        for bound in &recovered.bound {
            open += 1;
            let tx = Box::new(InFlight::recovered(bound, interval, now));
            if let Some(block) = tx.taken_in() {
                self.touched.entry(block).or_default().insert(number);
            } else {
                address.unconfirmed += 1;
                address.balance.reserve(tx.cost);
            }
            address.in_flight.push_back(tx);
        }
        if address.unconfirmed > 0 {
            self.active.insert(number);
        }
        actions.push(Action::Count(Counted::Open(open)));
        let address = self.at(number);
        if address.unconfirmed > 0 {
            address.progress_at = now.elapsed;
            self.wake(number, now.elapsed + self.stale_timeout());
        }
        if let Some(until) = recovered.paused_until {
            self.at(number).paused_until = Some(until);
            self.stand_still(number, now, actions);
        }
        self.pump(number, now, actions);
    }
}
