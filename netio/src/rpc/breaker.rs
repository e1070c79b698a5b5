//! When an endpoint is left alone: a circuit breaker (row A14). No I/O, no clock: times are those of the room.
//!
//! ```text
//!                 failures_max failures in a row
//!      ┌────────┐ ───────────────────────────────► ┌──────┐ the pause is over  ┌───────────┐
//!      │ closed │                                  │ open │ ─────────────────► │ half-open │
//!      └────────┘ ◄─────────── a reply ─────────── └──────┘ ◄── the probe fails └───────────┘
//!           ▲                                         the next pause is twice as long  │
//!           └───────────────────────── the probe gets a reply ─────────────────────────┘
//! ```
//!
//! | state | who asks |
//! |---|---|
//! | closed | goes on |
//! | open | is refused, with the time that is left |
//! | half-open | goes on as the one probe; all others are refused until it has ended |
//! | closed, and the node asked to be left alone | is refused until then |
//!
//! A failure is a connection that cannot be opened, one that is cut or speaks no HTTP, and a request without a reply in time. Any HTTP reply is none,
//! whatever it says; one that names a `Retry-After` and answers nothing is a pause, of [`BreakerLimits::retry_after_max`] at most.
//!
//! A lane's own backoff spaces its attempts to dial while the breaker is closed; once it is open, its pauses are all that counts.
//!
//! Cannot fail.

use std::time::Duration;

use super::backoff::Backoff;

/// Bounds of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerLimits {
    /// Failures in a row, of all lanes together, that open it; at least 1.
    pub failures_max: u32,
    /// The first pause, before jitter: between half of it and all of it is waited. It doubles with each probe that fails.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
    /// The longest `Retry-After` that is honoured in full; after so long the node is asked again.
    pub retry_after_max: Duration,
}

impl Default for BreakerLimits {
    /// A node that restarts is asked again within five seconds of being up; the lanes of a shard that all break at once,
    /// as they do when it restarts, are not yet a reason to leave it alone.
    fn default() -> Self {
        Self {
            failures_max: 8,
            pause_min: Duration::from_millis(500),
            pause_max: Duration::from_secs(5),
            retry_after_max: Duration::from_secs(60),
        }
    }
}

/// The state machine. Lanes share it through a [`Gate`](super::Gate).
#[derive(Debug)]
pub struct Breaker {
    limits: BreakerLimits,
    state: State,
    /// Until when the node asked to be left alone.
    quiet_until: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed { failures: u32 },
    Open { pause: Backoff },
    HalfOpen { pause: Backoff },
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Requests pass.
    Closed,
    /// Requests are refused.
    Open,
    /// One request finds out whether the endpoint is back; all others are refused.
    HalfOpen,
}

/// What a breaker says to one who wants to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Go on.
    Pass,
    /// Go on, alone: what becomes of it decides for all.
    Probe,
    /// The endpoint has failed too often; ask again after this time.
    Open(Duration),
    /// The node asked to be left alone for this time.
    Quiet(Duration),
}

/// How one request ended, or the attempt to connect for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With an HTTP reply, whatever it says.
    Replied,
    /// Without a connection, or without a whole reply.
    Failed,
    /// Nobody knows: whoever asked has gone.
    Abandoned,
}

impl Breaker {
    /// A closed one.
    pub fn new(limits: BreakerLimits) -> Self {
        Self { limits, state: State::Closed { failures: 0 }, quiet_until: Duration::ZERO }
    }

    /// What one who asks at `now` may do.
    pub fn admit(&mut self, now: Duration) -> Admission {
        let quiet = self.quiet_until.saturating_sub(now);
        if !quiet.is_zero() {
            return Admission::Quiet(quiet);
        }
        match self.state {
            State::Closed { .. } => Admission::Pass,
            State::HalfOpen { .. } => Admission::Open(Duration::ZERO),
            State::Open { pause } => {
                let left = pause.remainder(now);
                if !left.is_zero() {
                    return Admission::Open(left);
                }
                self.state = State::HalfOpen { pause };
                Admission::Probe
            }
        }
    }

    /// What became of a request that was admitted, as the probe if `probe`.
    pub fn report(&mut self, outcome: Outcome, probe: bool, now: Duration) {
        self.state = match (outcome, self.state) {
            (Outcome::Replied, _) => State::Closed { failures: 0 },
            (Outcome::Failed, State::Closed { failures }) if failures + 1 < self.limits.failures_max => {
                State::Closed { failures: failures + 1 }
            }
            (Outcome::Failed, State::Closed { .. }) => self.open(Backoff::default(), now),
            (Outcome::Failed, State::HalfOpen { pause }) if probe => self.open(pause, now),
            // The pause is over; the next one who asks is the probe.
            (Outcome::Abandoned, State::HalfOpen { pause }) if probe => State::Open { pause },
            // Late ends of what was admitted before it opened.
            (Outcome::Failed | Outcome::Abandoned, state) => state,
        };
    }

    /// The node asked at `now` to be left alone for `wait`.
    pub fn quiet(&mut self, wait: Duration, now: Duration) {
        self.quiet_until = self.quiet_until.max(now + self.heeded(wait));
    }

    /// Where it stands. An open one stays open after its pause, until somebody asks.
    pub fn phase(&self) -> Phase {
        match self.state {
            State::Closed { .. } => Phase::Closed,
            State::Open { .. } => Phase::Open,
            State::HalfOpen { .. } => Phase::HalfOpen,
        }
    }

    /// Whether the endpoint has failed too often and no probe has been answered since.
    pub fn is_open(&self) -> bool {
        self.phase() != Phase::Closed
    }

    /// How much is heeded of the time that a node asks to be left alone for.
    pub fn heeded(&self, wait: Duration) -> Duration {
        wait.min(self.limits.retry_after_max)
    }

    fn open(&self, mut pause: Backoff, now: Duration) -> State {
        pause.fail(now, self.limits.pause_min, self.limits.pause_max);
        State::Open { pause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn breaker() -> Breaker {
        Breaker::new(BreakerLimits { failures_max: 3, pause_min: 100 * MS, pause_max: 300 * MS, retry_after_max: 10_000 * MS })
    }

    fn fail(breaker: &mut Breaker, times: u32, now: Duration) {
        for _ in 0..times {
            breaker.report(Outcome::Failed, false, now);
        }
    }

    /// The pause it is in.
    fn pause(breaker: &mut Breaker, now: Duration) -> Duration {
        match breaker.admit(now) {
            Admission::Open(left) => left,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_reply_between_them_does_not_count_towards_it() {
        let mut breaker = breaker();
        fail(&mut breaker, 2, MS);
        breaker.report(Outcome::Replied, false, MS);
        fail(&mut breaker, 2, MS);
        assert_eq!(breaker.admit(MS), Admission::Pass);
        fail(&mut breaker, 1, MS);
        assert!(breaker.is_open());
        assert!(matches!(breaker.admit(MS), Admission::Open(left) if left >= 50 * MS && left <= 100 * MS));
    }

    #[test]
    fn after_the_pause_one_probe_goes_out_and_all_others_are_refused() {
        let mut breaker = breaker();
        fail(&mut breaker, 3, MS);
        let now = MS + pause(&mut breaker, MS);
        assert_eq!(breaker.admit(now), Admission::Probe);
        assert_eq!(breaker.admit(now), Admission::Open(Duration::ZERO));
        assert_eq!(breaker.admit(now + 10_000 * MS), Admission::Open(Duration::ZERO));
        breaker.report(Outcome::Replied, true, now);
        assert_eq!(breaker.admit(now), Admission::Pass);
        assert!(!breaker.is_open());
    }

    #[test]
    fn pauses_double_up_to_the_bound_and_begin_anew_after_a_reply() {
        let mut breaker = breaker();
        let mut now = 7 * MS;
        fail(&mut breaker, 3, now);
        for whole in [100, 200, 300, 300] {
            let left = pause(&mut breaker, now);
            assert!(left >= whole * MS / 2 && left <= whole * MS, "{left:?} of {whole} ms");
            now += left;
            assert_eq!(breaker.admit(now), Admission::Probe);
            breaker.report(Outcome::Failed, true, now);
        }
        breaker.report(Outcome::Replied, false, now);
        fail(&mut breaker, 3, now);
        assert!(pause(&mut breaker, now) <= 100 * MS);
    }

    #[test]
    fn late_failures_of_what_was_admitted_before_change_nothing_and_a_late_reply_closes_it() {
        let mut breaker = breaker();
        fail(&mut breaker, 3, MS);
        let left = pause(&mut breaker, MS);
        fail(&mut breaker, 100, 2 * MS);
        assert_eq!(pause(&mut breaker, MS), left);
        assert_eq!(breaker.admit(MS + left), Admission::Probe);
        breaker.report(Outcome::Failed, false, MS + left);
        assert_eq!(breaker.admit(MS + left), Admission::Open(Duration::ZERO), "the probe is still out");
        breaker.report(Outcome::Replied, false, MS + left);
        assert_eq!(breaker.admit(MS + left), Admission::Pass);
    }

    #[test]
    fn a_probe_that_is_abandoned_makes_room_for_another() {
        let mut breaker = breaker();
        fail(&mut breaker, 3, MS);
        let now = MS + pause(&mut breaker, MS);
        assert_eq!(breaker.admit(now), Admission::Probe);
        breaker.report(Outcome::Abandoned, true, now);
        assert_eq!(breaker.admit(now), Admission::Probe);
    }

    #[test]
    fn a_request_that_is_abandoned_says_nothing() {
        let mut breaker = breaker();
        fail(&mut breaker, 2, MS);
        breaker.report(Outcome::Abandoned, false, MS);
        assert_eq!(breaker.admit(MS), Admission::Pass);
        fail(&mut breaker, 1, MS);
        assert!(breaker.is_open());
    }

    #[test]
    fn a_node_that_asks_to_be_left_alone_is_within_the_bound_and_has_not_failed() {
        let mut breaker = breaker();
        breaker.report(Outcome::Replied, false, MS);
        breaker.quiet(2000 * MS, MS);
        breaker.quiet(1000 * MS, MS); // a shorter word does not take back a longer one
        assert_eq!(breaker.admit(501 * MS), Admission::Quiet(1500 * MS));
        assert!(!breaker.is_open());
        assert_eq!(breaker.admit(2001 * MS), Admission::Pass);
        breaker.quiet(Duration::MAX, 2001 * MS);
        assert_eq!(breaker.admit(2001 * MS), Admission::Quiet(10_000 * MS));
    }
}
