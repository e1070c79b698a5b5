//! Pausing and resuming by hand (row A1): true once it is on disk, and over by itself where it has an end.

use std::time::Duration;

use alloy::primitives::Address;
use storage::Record;

use super::super::event::{Action, Now};
use super::super::orchestrator::state::Cause;
use super::Manager;
use super::commit::{NOT_STORED, Saved};

/// `until` of a pause without an end.
pub(super) const NO_END: u64 = u64::MAX;
/// Longest sleep towards the end of a pause: the wall clock may be set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(3600);

impl Manager {
    /// Writes a pause, or its end where `until` is `None`; answered once that is on disk.
    pub(super) fn pause(&mut self, address: Address, until: Option<u64>, ask: u64, actions: &mut Vec<Action>) {
        if !self.store_healthy {
            actions.push(Action::Paused { ask, result: Err(NOT_STORED) });
            return;
        }
        let number = self.number(address);
        self.records.push(Record::Paused { address, until });
        self.saved.push(Saved::Paused { address: number, until, ask });
    }

    pub(super) fn pause_saved(&mut self, number: u32, until: Option<u64>, ask: u64, now: Now, actions: &mut Vec<Action>) {
        self.at(number).paused_until = until;
        if until.is_some() {
            self.stand_still(number, now, actions);
        } else {
            // What stopped because its balance could not be read is resumed by the same order.
            self.at(number).balance.resume();
            if self.change(number, Cause::ManualResume) {
                self.runs_again(number, now, actions);
            } else {
                self.pump(number, now, actions);
            }
        }
        actions.push(Action::Paused { ask, result: Ok(()) });
    }

    /// Binds nothing for the address from now on.
    pub(super) fn stand_still(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        if self.change(number, Cause::ManualPause) {
            self.leave_turn(number, now);
        }
        self.pause_due(number, now, actions);
    }

    /// Ends a pause whose time has come, or looks again when it will have.
    pub(super) fn pause_due(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        let address = self.at(number);
        let Some(until) = address.paused_until.filter(|until| *until != NO_END) else { return };
        if until > now.unix_us {
            let left = Duration::from_micros(until - now.unix_us).min(LOOK_AGAIN);
            self.wake(number, now.elapsed + left);
            return;
        }
        address.paused_until = None;
        let address = address.address;
        // Nobody waits for this one: should it not reach the disk, an end in the past means nothing after a restart.
        self.records.push(Record::Paused { address, until: None });
        tracing::info!(%address, "the pause has ended");
        if self.change(number, Cause::ManualResume) {
            self.runs_again(number, now, actions);
        }
    }
}
