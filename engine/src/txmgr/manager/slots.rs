//! Who may bind: the state of each orchestrator, its slot, and the line for one (rows A1, A2).
//!
//! What holds at every moment, and what nothing here has to look for therefore: who has something that waits and could bind it has
//! a slot or stands in line; and what is bound but unsent belongs to an address with a slot.

use std::time::Duration;

use super::super::event::{Action, Counted, Now, Slot};
use super::super::orchestrator::NonceState;
use super::super::orchestrator::state::{Cause, State, next};
use super::Manager;

/// Why an address with work cannot use a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocked {
    Paused,
    Funds,
    Stale,
    Displaced(u64),
    ChainAhead,
    Signer,
    OtherKind,
    WindowFull,
}

impl Manager {
    /// The one way in which a state changes; false if the table has nothing for this cause.
    pub(super) fn change(&mut self, number: u32, cause: Cause) -> bool {
        let address = &mut self.addresses[number as usize];
        let Some(state) = next(address.state, cause) else { return false };
        let before = std::mem::replace(&mut address.state, state);
        self.states[before as usize] -= 1;
        self.states[state as usize] += 1;
        true
    }

    /// What keeps an address from binding, apart from what keeps all of them.
    pub(super) fn blocked(&self, number: u32) -> Option<Blocked> {
        let address = &self.addresses[number as usize];
        match address.state {
            State::Paused => return Some(Blocked::Paused),
            State::Waiting => return Some(Blocked::Funds),
            State::Stale if !address.standing.has_slot() => return Some(Blocked::Stale),
            _ => {}
        }
        if let Some(nonce) = address.displaced {
            return Some(Blocked::Displaced(nonce));
        }
        if matches!(address.nonce, NonceState::Ahead(_)) {
            return Some(Blocked::ChainAhead);
        }
        if address.refusals.pause() {
            return Some(Blocked::Signer);
        }
        if address.other_kind {
            return Some(Blocked::OtherKind);
        }
        (address.unconfirmed >= address.window_size()).then_some(Blocked::WindowFull)
    }

    /// True if the address has a slot it may use, or gets one now. Otherwise it stands in line, if a slot would help it.
    pub(super) fn may_bind(&mut self, number: u32, now: Now) -> bool {
        let blocked = self.blocked(number).is_some();
        let address = &mut self.addresses[number as usize];
        if address.standing.has_slot() {
            if blocked || address.leaving {
                self.settle(number, now);
                return false;
            }
            if address.state != State::Stale {
                self.pool.use_slot(number, &mut address.standing);
            }
            if address.state == State::Idle {
                self.change(number, Cause::NewTransaction);
                self.wake(number, now.elapsed + self.stale_timeout());
            }
            return true;
        }
        if blocked {
            self.pool.leave_line(&mut address.standing);
            return false;
        }
        if !address.standing.in_line() && (self.pool.wanted() || !(self.pool.has_room() || self.pool.evictable().is_some())) {
            self.pool.queue(number, &mut address.standing);
        }
        self.change(number, Cause::Created);
        if self.addresses[number as usize].standing.in_line() {
            return false;
        }
        if !self.pool.has_room() {
            self.evict(now);
        }
        self.enter(number, now);
        true
    }

    fn enter(&mut self, number: u32, now: Now) {
        let address = &mut self.addresses[number as usize];
        address.progress_at = now.elapsed;
        self.pool.enter(number, &mut address.standing, now.elapsed);
        self.change(number, Cause::StartProcessing);
        self.wake(number, now.elapsed + self.stale_timeout());
    }

    /// Takes a slot from one that does not use it. False if all are in use.
    fn evict(&mut self, now: Now) -> bool {
        let Some(number) = self.pool.evictable() else { return false };
        self.release(number, Cause::SwappedOut, now);
        true
    }

    /// Takes the slot of an address; what it had read stays on disk only. With work that it could do it goes to the end of the line.
    fn release(&mut self, number: u32, cause: Cause, now: Now) {
        let address = &mut self.addresses[number as usize];
        debug_assert_eq!(address.unsent, 0, "what is bound but unsent keeps its slot");
        self.pool.leave(number, &mut address.standing);
        address.leaving = false;
        address.waiting.unload();
        if address.in_flight.is_empty() {
            // An address that does nothing shall cost a few hundred bytes, whatever it did before.
            address.in_flight = std::collections::VecDeque::new();
        }
        self.change(number, cause);
        if !self.at(number).waiting.is_empty() && self.blocked(number).is_none() {
            self.change(number, Cause::Created);
            let address = &mut self.addresses[number as usize];
            self.pool.queue(number, &mut address.standing);
        }
        if self.at(number).state == State::Stale {
            self.wake(number, now.elapsed + self.stale_timeout());
        }
    }

    /// Looks whether an address still needs its slot.
    pub(super) fn settle(&mut self, number: u32, now: Now) {
        let stuck = self.blocked(number).is_some();
        let address = &mut self.addresses[number as usize];
        if address.unsent > 0 || !address.standing.has_slot() || self.arrivals.has(number) {
            return;
        }
        if address.leaving {
            self.release(number, Cause::SwappedOut, now);
        } else if address.waiting.is_empty() && matches!(address.state, State::Running | State::Idle) {
            self.pool.rest(number, &mut address.standing, now.elapsed);
            self.change(number, Cause::NoTransactions);
        } else if stuck || address.state == State::Stale {
            self.pool.block(number, &mut address.standing);
        }
    }

    /// Lets those in line in, the one that has waited longest first, for as long as there are slots to be had.
    pub(super) fn rotate(&mut self, now: Now, actions: &mut Vec<Action>) {
        while let Some(number) = self.pool.first_in_line() {
            if !self.pool.has_room() && !self.evict(now) {
                return;
            }
            self.enter(number, now);
            self.pump(number, now, actions);
        }
    }

    /// What time alone changes: idle addresses leave the pool, and who has had a slot for long gives it to who waits.
    pub(super) fn pool_due(&mut self, now: Now) {
        if let Some(until) = now.elapsed.checked_sub(self.idle_timeout()) {
            while let Some(number) = self.pool.idle_until(until) {
                self.release(number, Cause::IdleTimeout, now);
            }
        }
        let swap = now.elapsed.checked_sub(self.swap_timeout()).filter(|_| self.pool.wanted());
        let old: Vec<u32> = swap.map(|since| self.pool.held_until(since).collect()).unwrap_or_default();
        for number in old {
            self.at(number).leaving = true;
            self.settle(number, now);
        }
    }

    /// When [`Self::pool_due`] has something to do next.
    pub(super) fn pool_wake(&self, now: Now) -> Option<Duration> {
        let idle = self.pool.idle_since().map(|since| since + self.idle_timeout());
        let swap = if self.pool.wanted() {
            let due = now.elapsed.checked_sub(self.swap_timeout());
            self.pool.held_after(due).map(|since| since + self.swap_timeout())
        } else {
            None
        };
        idle.into_iter().chain(swap).min()
    }

    /// The first answer for a transaction: what it needed the slot for is done.
    pub(super) fn first_sent(&mut self, slot: Slot) {
        let address = self.at(slot.address);
        if address.get_mut(slot.nonce).is_some_and(|tx| std::mem::take(&mut tx.unsent)) {
            address.unsent -= 1;
        }
    }

    /// Something of the address went on.
    pub(super) fn progressed(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        let address = self.at(number);
        address.progress_at = now.elapsed;
        if address.state == State::Stale {
            self.change(number, Cause::ProgressDetected);
            self.runs_again(number, now, actions);
        }
    }

    /// What kept the address has gone: it goes on in its slot, or stands in line for one.
    pub(super) fn runs_again(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        if self.addresses[number as usize].balance.is_said() && self.change(number, Cause::InsufficientBalance) {
            // A pause or a standstill has ended, the shortage has not.
            self.leave_turn(number, now);
            return;
        }
        let address = &mut self.addresses[number as usize];
        if address.standing.has_slot() {
            self.pool.use_slot(number, &mut address.standing);
        } else {
            // Only who has a slot runs.
            self.change(number, Cause::SwappedOut);
        }
        self.pump(number, now, actions);
    }

    /// The address cannot pay for what is next: nothing more is bound for it until [`Self::funded`].
    pub(super) fn lacks_funds(&mut self, number: u32, now: Now) {
        if self.change(number, Cause::InsufficientBalance) {
            self.leave_turn(number, now);
        }
    }

    /// The address can pay again.
    pub(super) fn funded(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        if self.change(number, Cause::BalanceAvailable) {
            self.runs_again(number, now, actions);
        }
    }

    /// The address can use neither a slot nor a place in line for now.
    pub(super) fn leave_turn(&mut self, number: u32, now: Now) {
        let address = &mut self.addresses[number as usize];
        self.pool.use_slot(number, &mut address.standing);
        self.pool.leave_line(&mut address.standing);
        self.settle(number, now);
    }

    /// Looks whether an address with work has stood still for too long, and when to look again.
    pub(super) fn stale_due(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        let timeout = self.stale_timeout();
        let address = self.at(number);
        let busy = address.standing.has_slot() && !(address.waiting.is_empty() && address.unsent == 0);
        let retry = address.state == State::Stale && !address.standing.has_slot() && !address.waiting.is_empty();
        if !busy && !retry && address.unconfirmed == 0 {
            return;
        }
        let due = address.progress_at + timeout;
        if now.elapsed < due {
            self.wake(number, due);
            return;
        }
        address.progress_at = now.elapsed;
        if retry {
            self.change(number, Cause::StaleTimeout);
            self.pump(number, now, actions);
        } else if self.change(number, Cause::NoProgress) {
            let address = self.at(number);
            let (from, bound, waiting) = (address.address, address.unconfirmed, address.waiting.count());
            tracing::warn!(%from, bound, waiting, timeout_ms = timeout.as_millis(), "stale: nothing was bound, answered or mined for this long");
            self.leave_turn(number, now);
        }
        self.wake(number, now.elapsed + timeout);
    }

    /// Everything stops with the process.
    pub(super) fn shutdown(&mut self) {
        for number in 0..self.addresses.len() {
            self.change(u32::try_from(number).expect("numbered by u32"), Cause::Shutdown);
        }
    }

    /// Tells the metrics what has changed since the last time.
    pub(super) fn tell_states(&mut self, actions: &mut Vec<Action>) {
        if self.states != self.states_told {
            let mut change = self.states;
            change.iter_mut().zip(self.states_told).for_each(|(now, told)| *now -= told);
            self.states_told = self.states;
            actions.push(Action::Count(Counted::States(change)));
        }
    }

    const fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.settings.txmgr.idle_timeout_ms)
    }

    pub(super) const fn stale_timeout(&self) -> Duration {
        Duration::from_millis(self.settings.txmgr.stale_timeout_ms)
    }

    const fn swap_timeout(&self) -> Duration {
        Duration::from_millis(self.settings.txmgr.swap_timeout_ms)
    }
}
