//! What the lanes of one endpoint share in a room: its [`Breaker`], and how they pass it.
//!
//! A pass is given for one request. One that is dropped without a report, because its caller has gone, reports that itself, so that a
//! probe never stays out for ever.
//!
//! Cannot fail; what it refuses was not sent.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use super::breaker::{Admission, Breaker, BreakerLimits, Outcome, Phase};
use super::end::Fault;

/// A breaker for one endpoint in one room. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Gate(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    breaker: RefCell<Breaker>,
    standing: Arc<Standing>,
}

/// How the breakers of one endpoint stand in all rooms, for whoever shows it. Orders nothing, so relaxed atomics are enough.
#[derive(Debug, Default)]
pub struct Standing {
    open: AtomicUsize,
    half_open: AtomicUsize,
    opened: AtomicU64,
}

impl Standing {
    /// Rooms in which it is open.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Rooms in which it is half-open.
    pub fn half_open(&self) -> usize {
        self.half_open.load(Ordering::Relaxed)
    }

    /// How often one that was closed has opened.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    fn number(&self, phase: Phase) -> Option<&AtomicUsize> {
        match phase {
            Phase::Closed => None,
            Phase::Open => Some(&self.open),
            Phase::HalfOpen => Some(&self.half_open),
        }
    }

    fn moved(&self, from: Phase, to: Phase) {
        if from == to {
            return;
        }
        if let Some(number) = self.number(to) {
            number.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(number) = self.number(from) {
            number.fetch_sub(1, Ordering::Relaxed);
        }
        if from == Phase::Closed {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Gate {
    /// A closed breaker, which lets everybody through. It tells `standing` where it stands.
    pub fn new(limits: BreakerLimits, standing: Arc<Standing>) -> Self {
        Self(Rc::new(Inner { breaker: RefCell::new(Breaker::new(limits)), standing }))
    }

    /// Whether the endpoint has failed too often and no probe has been answered since.
    pub fn is_open(&self) -> bool {
        self.0.breaker.borrow().is_open()
    }

    pub(super) fn enter(&self, now: Duration) -> Result<Pass, Fault> {
        match self.step(|breaker| breaker.admit(now)) {
            Admission::Pass => Ok(Pass { gate: self.clone(), probe: false, reported: false }),
            Admission::Probe => Ok(Pass { gate: self.clone(), probe: true, reported: false }),
            Admission::Open(wait) => Err(Fault::Open { wait }),
            Admission::Quiet(wait) => Err(Fault::Throttled { retry_after: Some(wait) }),
        }
    }

    pub(super) fn quiet(&self, wait: Duration, now: Duration) {
        self.step(|breaker| breaker.quiet(wait, now));
    }

    pub(super) fn heeded(&self, wait: Duration) -> Duration {
        self.0.breaker.borrow().heeded(wait)
    }

    fn step<T>(&self, step: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = self.0.breaker.borrow_mut();
        let from = breaker.phase();
        let done = step(&mut breaker);
        self.0.standing.moved(from, breaker.phase());
        done
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.standing.moved(self.breaker.get_mut().phase(), Phase::Closed);
    }
}

/// One request's way through.
#[derive(Debug)]
pub(super) struct Pass {
    gate: Gate,
    probe: bool,
    reported: bool,
}

impl Pass {
    /// Whether it is the one that finds out for all.
    pub(super) fn is_probe(&self) -> bool {
        self.probe
    }

    pub(super) fn report(mut self, outcome: Outcome, now: Duration) {
        self.reported = true;
        self.gate.step(|breaker| breaker.report(outcome, self.probe, now));
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.reported {
            // Without a time: an abandoned request only gives the probe's place back.
            self.gate.step(|breaker| breaker.report(Outcome::Abandoned, self.probe, Duration::ZERO));
        }
    }
}
