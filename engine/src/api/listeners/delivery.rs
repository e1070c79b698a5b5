//! What a listener is sent, and when: the decisions, without I/O or clock.
//!
//! ```text
//!                    Idle ── started, somebody is in line ──► Reading ── a batch, for the first in line ──► InFlight ── ack ──► Saving
//!                     ▲ ▲                                      │  ▲ │                                        │  ▲                │ │
//!                     │ └──────────── nothing there ───────────┘  │ └─ cannot be read ─► Resting ◄── nack ───┘  └── not saved ───┘ │
//!                     │                                           └───────── Tick ──────────┘                                      │
//!                     └───────────────────────────────────── saved: the checkpoint moves ──────────────────────────────────────────┘
//! ```
//!
//! * One batch is in flight at most. It begins behind the checkpoint, and the checkpoint moves once it has been acknowledged and that is on disk.
//! * Subscriptions stand in line, and the first one is delivered to. When it leaves, what was in flight goes to the next one, from the checkpoint on.
//! * A listener that is stopped is read no further. What is in flight then can still be acknowledged.
//! * A batch that was refused (nack) comes again as it was, after a pause that grows with every refusal in a row.

use std::collections::VecDeque;
use std::time::Duration;

use thiserror::Error;
use uuid::Uuid;

/// Pause after the first refusal of a batch, and after a read that failed.
const REST_MIN: Duration = Duration::from_millis(100);
/// The longest pause after a refusal.
const REST_MAX: Duration = Duration::from_secs(10);

/// What has happened.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// A subscription stands in line.
    Joined(Uuid),
    /// It does no longer: unsubscribed, or its connection has ended.
    Left(Uuid),
    Started,
    Stopped,
    /// There may be more in the feed, up to this sequence.
    News(u64),
    /// What was asked to be read; `None` if it cannot be now.
    Read(Option<Found>),
    /// Whether what was asked to be saved is on disk.
    Saved(bool),
    /// The rest is over.
    Tick,
}

/// What was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Sequence of the last ending in the batch; `None` if there is none to deliver.
    pub(super) last: Option<u64>,
    /// Up to here there is nothing else.
    pub(super) covered: u64,
    /// There may be more behind it already.
    pub(super) more: bool,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Read a batch from what stands above, and not above `through`; answered by [`Event::Read`].
    Read { above: u64, through: u64 },
    /// Send the batch that was read.
    Send(Uuid),
    /// [`Event::Tick`] after this time.
    Rest(Duration),
    /// Put this checkpoint on disk; answered by [`Event::Saved`].
    Save(u64),
}

/// Why an acknowledgement, or a refusal, does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error("no batch is in flight: wait for the next ptx_subscription notification")]
    NothingInFlight,
    #[error("batch {given} is not in flight, batch {in_flight} is: answer that one, and pass by what you have seen of it before")]
    OtherBatch { given: u64, in_flight: u64 },
    #[error("batch {0} is being acknowledged already")]
    BeingSaved(u64),
    #[error("another subscription of the listener is delivered to; this one stands in line until that has ended")]
    InLine,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    Reading,
    Resting,
    /// Up to this sequence.
    InFlight(u64),
    /// The same, acknowledged by this subscription.
    Saving(u64, Uuid),
}

/// The delivery of one listener to whoever subscribes to it.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    started: bool,
    /// Acknowledged, and on disk.
    checkpoint: u64,
    /// Up to here nothing behind the checkpoint is to be delivered.
    covered: u64,
    line: VecDeque<Uuid>,
    state: State,
    /// A batch that was refused ends here, so that it comes again as it was.
    again: Option<u64>,
    refused: u32,
    /// News came while it was being read.
    news: bool,
}

impl Delivery {
    pub(super) const fn new(started: bool, checkpoint: u64) -> Self {
        Self { started, checkpoint, covered: checkpoint, line: VecDeque::new(), state: State::Idle, again: None, refused: 0, news: false }
    }

    /// Takes note of what has happened; gives what is to be done.
    pub(super) fn handle(&mut self, event: Event) -> Option<Action> {
        match event {
            Event::Joined(subscription) => {
                self.line.push_back(subscription);
                self.go_on()
            }
            Event::Left(subscription) => self.left(subscription),
            Event::Started => {
                self.started = true;
                self.go_on()
            }
            Event::Stopped => {
                self.started = false;
                None
            }
            // Most blocks end nothing: then nobody reads.
            Event::News(newest) if newest > self.covered => {
                self.news = true;
                self.go_on()
            }
            Event::Read(found) if self.state == State::Reading => self.read(found),
            Event::Saved(saved) => self.saved(saved),
            Event::Tick if self.state == State::Resting => {
                self.state = State::Idle;
                self.go_on()
            }
            // Of a rest or a reading that was cut short; and what is known already.
            Event::Read(_) | Event::Tick | Event::News(_) => None,
        }
    }

    /// A subscription has dealt with the batch in flight; with `batch` it says which one that is.
    pub(super) fn ack(&mut self, subscription: Uuid, batch: Option<u64>) -> Result<Action, Refusal> {
        let in_flight = self.in_flight(subscription, batch)?;
        self.state = State::Saving(in_flight, subscription);
        Ok(Action::Save(in_flight))
    }

    /// A subscription wants the batch in flight again.
    pub(super) fn nack(&mut self, subscription: Uuid, batch: Option<u64>) -> Result<Action, Refusal> {
        let in_flight = self.in_flight(subscription, batch)?;
        self.again = Some(in_flight);
        let pause = REST_MIN.saturating_mul(2_u32.saturating_pow(self.refused)).min(REST_MAX);
        self.refused += 1;
        self.state = State::Resting;
        Ok(Action::Rest(pause))
    }

    fn in_flight(&self, subscription: Uuid, batch: Option<u64>) -> Result<u64, Refusal> {
        if self.line.front() != Some(&subscription) {
            return Err(Refusal::InLine);
        }
        match (self.state, batch) {
            (State::InFlight(in_flight), Some(given)) if given != in_flight => Err(Refusal::OtherBatch { given, in_flight }),
            (State::InFlight(in_flight), _) => Ok(in_flight),
            (State::Saving(in_flight, by), _) if by == subscription => Err(Refusal::BeingSaved(in_flight)),
            _ => Err(Refusal::NothingInFlight),
        }
    }

    fn left(&mut self, subscription: Uuid) -> Option<Action> {
        let was_first = self.line.front() == Some(&subscription);
        self.line.retain(|other| *other != subscription);
        if was_first && matches!(self.state, State::InFlight(_) | State::Resting) {
            self.state = State::Idle;
            self.again = None;
            self.refused = 0;
        }
        self.go_on()
    }

    fn read(&mut self, found: Option<Found>) -> Option<Action> {
        self.state = State::Idle;
        let Some(found) = found else {
            self.state = State::Resting;
            return Some(Action::Rest(REST_MIN));
        };
        let Some(last) = found.last else {
            self.covered = self.covered.max(found.covered);
            // What was refused has become void: what stands behind it was not asked for.
            let behind = self.again.take().is_some();
            return if found.more || behind || self.news { self.go_on() } else { None };
        };
        let first = self.line.front().filter(|_| self.started)?;
        self.state = State::InFlight(last);
        Some(Action::Send(*first))
    }

    fn saved(&mut self, saved: bool) -> Option<Action> {
        let State::Saving(last, by) = self.state else { return None };
        self.state = State::Idle;
        if saved {
            self.checkpoint = last;
            self.covered = last;
            self.again = None;
            self.refused = 0;
        } else if self.line.front() == Some(&by) {
            self.state = State::InFlight(last);
        }
        self.go_on()
    }

    /// Reads on if it may.
    fn go_on(&mut self) -> Option<Action> {
        if self.state != State::Idle || !self.started || self.line.is_empty() {
            return None;
        }
        self.state = State::Reading;
        self.news = false;
        Some(Action::Read { above: self.covered, through: self.again.unwrap_or(u64::MAX) })
    }
}

#[cfg(test)]
mod tests;
