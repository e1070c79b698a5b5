//! Signs of life of a connection that may have nothing to say.
//!
//! No clock inside: times are those of the room. Cannot fail.

use std::time::Duration;

/// When the other side was last heard, and whether it has been asked since.
#[derive(Debug)]
pub(super) struct Pulse {
    heard: Duration,
    asked: Option<Duration>,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Listen, for this long at most.
    Listen(Duration),
    /// Ask for a sign of life.
    Ask,
    /// Give the connection up.
    GiveUp,
}

impl Pulse {
    /// A connection that has just spoken.
    pub(super) const fn new(now: Duration) -> Self {
        Self { heard: now, asked: None }
    }

    /// It has spoken.
    pub(super) fn hear(&mut self, now: Duration) {
        *self = Self::new(now);
    }

    /// It was asked to.
    pub(super) fn ask(&mut self, now: Duration) {
        self.asked = Some(now);
    }

    /// It is asked after half of `silence`, and has the other half to speak. The second half begins when it is asked in fact, so that a
    /// caller who did not listen for a while does not take that for the other's silence.
    pub(super) fn next(&self, now: Duration, silence: Duration) -> Next {
        let half = silence / 2;
        let left = |since: Duration| (since + half).checked_sub(now).filter(|left| !left.is_zero());
        match self.asked {
            None => left(self.heard).map_or(Next::Ask, Next::Listen),
            Some(asked) => left(asked).map_or(Next::GiveUp, Next::Listen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SILENCE: Duration = Duration::from_secs(10);

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn half_of_the_silence_is_waited_then_it_is_asked_and_has_the_other_half() {
        let mut pulse = Pulse::new(at(100));
        assert_eq!(pulse.next(at(102), SILENCE), Next::Listen(at(3)));
        assert_eq!(pulse.next(at(105), SILENCE), Next::Ask);
        pulse.ask(at(105));
        assert_eq!(pulse.next(at(106), SILENCE), Next::Listen(at(4)));
        assert_eq!(pulse.next(at(110), SILENCE), Next::GiveUp);
    }

    #[test]
    fn any_word_begins_the_silence_anew() {
        let mut pulse = Pulse::new(at(0));
        pulse.ask(at(5));
        pulse.hear(at(9));
        assert_eq!(pulse.next(at(10), SILENCE), Next::Listen(at(4)));
        assert_eq!(pulse.next(at(14), SILENCE), Next::Ask);
    }

    #[test]
    fn who_comes_back_late_asks_before_giving_up() {
        let mut pulse = Pulse::new(at(0));
        assert_eq!(pulse.next(at(1000), SILENCE), Next::Ask);
        pulse.ask(at(1000));
        assert_eq!(pulse.next(at(1004), SILENCE), Next::Listen(at(1)));
    }
}
