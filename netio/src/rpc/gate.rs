//! What the lanes of one endpoint share in a room: its [`Breaker`], and how they pass it.
//!
//! A pass is given for one request. One that is dropped without a report, because its caller has gone, reports that itself, so that a
//! probe never stays out for ever.
//!
//! Cannot fail; what it refuses was not sent.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::breaker::{Admission, Breaker, BreakerLimits, Outcome};
use super::end::Fault;

/// A breaker for one endpoint in one room. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Gate(Rc<RefCell<Breaker>>);

impl Gate {
    /// A closed breaker, which lets everybody through.
    pub fn new(limits: BreakerLimits) -> Self {
        Self(Rc::new(RefCell::new(Breaker::new(limits))))
    }

    /// Whether the endpoint has failed too often and no probe has been answered since.
    pub fn is_open(&self) -> bool {
        self.0.borrow().is_open()
    }

    pub(super) fn enter(&self, now: Duration) -> Result<Pass, Fault> {
        let admission = self.0.borrow_mut().admit(now);
        match admission {
            Admission::Pass => Ok(Pass { gate: self.clone(), probe: false, reported: false }),
            Admission::Probe => Ok(Pass { gate: self.clone(), probe: true, reported: false }),
            Admission::Open(wait) => Err(Fault::Open { wait }),
            Admission::Quiet(wait) => Err(Fault::Throttled { retry_after: Some(wait) }),
        }
    }

    pub(super) fn quiet(&self, wait: Duration, now: Duration) {
        self.0.borrow_mut().quiet(wait, now);
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
        self.gate.0.borrow_mut().report(outcome, self.probe, now);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if !self.reported {
            // Without a time: an abandoned request only gives the probe's place back.
            self.gate.0.borrow_mut().report(Outcome::Abandoned, self.probe, Duration::ZERO);
        }
    }
}
