//! Another node is used from now on (row B8): its pool does not know what the one before it was sent.

use super::super::event::{Action, Now};
use super::Manager;

impl Manager {
    /// Every bound and unconfirmed transaction is sent to the new node: the same bytes, which do no harm where they are known. What the
    /// node before it made the lanes wait for is nothing to this one.
    pub(super) fn switched(&mut self, now: Now, actions: &mut Vec<Action>) {
        for lane in &mut self.lanes {
            lane.starts_anew();
        }
        for number in self.active.clone() {
            for tx in self.at(number).in_flight.iter_mut().filter(|tx| !tx.taken() && tx.is_bound()) {
                tx.submitted = false;
            }
            self.look(number, now, actions);
        }
    }
}
