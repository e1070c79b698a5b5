//! Submissions that come while the chain is being asked about their address: they wait in memory for its answers.
//!
//! ```text
//!   submit ─► address asked? ──no──► bound at once, or queued
//!                   │ yes
//!                   ▼             nonce and balance told, or PATIENCE over
//!              arrivals (memory) ───────────────────────────────────────────► bound at once, or queued
//! ```
//!
//! With many addresses most submissions are the first of theirs for some time. Queued, each would be written, read back and written
//! again, for want of an answer that takes a few milliseconds. Nobody is told that such a submission is accepted before its one record
//! is on disk; a crash loses only what was never acknowledged.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::event::{Accept, Action, Now, ReplyTo};
use super::super::orchestrator::NonceState;
use super::Manager;
use super::commit::NOT_STORED;

/// How long the chain's answers are waited for: after that its caller has waited long enough, and the queue on disk is the place for it.
const PATIENCE: Duration = Duration::from_millis(100);
/// Most that wait so for one address, for all of a shard, and the most bytes of one: 16 MiB in all.
const MOST_OF_ONE: usize = 16;
const MOST: usize = 4096;
const MOST_BYTES: usize = 4096;

/// What was submitted, and who is answered.
type Submission = (Accept, ReplyTo);

/// The submissions that wait in memory, by address.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    waiting: BTreeMap<u32, Arriving>,
    count: usize,
}

#[derive(Debug)]
struct Arriving {
    until: Duration,
    submissions: Vec<Submission>,
}

impl Arrivals {
    /// Something of the address waits here.
    pub(super) fn has(&self, number: u32) -> bool {
        !self.waiting.is_empty() && self.waiting.contains_key(&number)
    }

    /// There is room for this one.
    fn may_keep(&self, number: u32, accept: &Accept) -> bool {
        let request = &accept.row.request;
        let small = request.data.len() <= MOST_BYTES && request.extras.is_none();
        let of_one = self.waiting.get(&number).map_or(0, |arriving| arriving.submissions.len());
        // What needs an estimate goes through its queue anyhow.
        request.gas.is_some() && small && of_one < MOST_OF_ONE && self.count < MOST
    }

    /// Keeps a submission; tells until when, at the latest.
    fn keep(&mut self, number: u32, submission: Submission, now: Now) -> Duration {
        self.count += 1;
        let first = || Arriving { until: now.elapsed + PATIENCE, submissions: Vec::with_capacity(1) };
        let arriving = self.waiting.entry(number).or_insert_with(first);
        arriving.submissions.push(submission);
        arriving.until
    }

    fn take(&mut self, number: u32) -> Vec<Submission> {
        if self.waiting.is_empty() {
            return Vec::new();
        }
        let taken = self.waiting.remove(&number).map(|arriving| arriving.submissions).unwrap_or_default();
        self.count -= taken.len();
        taken
    }

    fn until(&self, number: u32) -> Option<Duration> {
        self.waiting.get(&number).map(|arriving| arriving.until)
    }
}

impl Manager {
    /// What keeps the address from binding this may be answers that are under way, and it can wait for them in memory.
    pub(super) fn may_await_answers(&self, number: u32, accept: &Accept) -> bool {
        self.awaits_answers(number) && self.arrivals.may_keep(number, accept)
    }

    fn awaits_answers(&self, number: u32) -> bool {
        let address = &self.addresses[number as usize];
        address.nonce == NonceState::Asking || address.balance.is_first_asked()
    }

    /// Keeps a submission in memory until the answers are there.
    pub(super) fn await_answers(&mut self, number: u32, submission: Submission, now: Now) {
        let until = self.arrivals.keep(number, submission, now);
        self.wake(number, until);
    }

    /// The chain has answered something about the address: what waited for it goes on once nothing more is awaited.
    pub(super) fn chain_answered(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        if self.arrivals.has(number) && !self.awaits_answers(number) {
            self.arrived(number, now, actions);
        }
    }

    /// The address is looked at: has the chain not answered in time? If there is time left, it is looked at again then.
    pub(super) fn arrivals_due(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        match self.arrivals.until(number) {
            Some(until) if until <= now.elapsed => self.arrived(number, now, actions),
            Some(until) => self.wake(number, until),
            None => {}
        }
    }

    /// Binds or queues what waited, in the order in which it came.
    pub(super) fn arrived(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        for submission in self.arrivals.take(number) {
            if self.store_healthy {
                let admitted = self.at(number).waiting.is_empty() && self.may_bind(number, now);
                self.take_in(number, admitted, submission, now, actions);
            } else {
                actions.push(Action::Reply { to: submission.1, result: Err(NOT_STORED), last: true });
            }
        }
    }

    /// As [`Self::arrived`], for all addresses.
    pub(super) fn all_arrived(&mut self, now: Now, actions: &mut Vec<Action>) {
        while let Some(number) = self.arrivals.waiting.first_key_value().map(|first| *first.0) {
            self.arrived(number, now, actions);
        }
    }
}
