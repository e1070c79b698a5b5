//! The slots of a shard and the line of those who want one (row A2).
//!
//! ```text
//!   has work ──► line (longest first) ──► slot: binds, sends for the first time ──► all sent ──► idle ──► timeout
//!                  ▲                        │ another waits, and it cannot go on, or has had `swap_timeout`
//!                  └────── has work left ◄──┘ and nothing of it is bound but unsent
//! ```
//!
//! A slot is what it takes to bind and to send for the first time; what is bound and sent needs none. Who stands in line is one
//! number here and its queue on disk: nothing looks at it before its turn.
//!
//! Every operation is O(log n); only [`Pool::place`], which people ask for, counts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What an address is to the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Has a slot since then.
    pub slot_since: Option<Duration>,
    /// Its number in line.
    line: Option<u64>,
    /// Idle in its slot since then.
    idle_since: Option<Duration>,
    /// Has a slot and cannot use it.
    stuck: bool,
}

impl Standing {
    /// It has a slot.
    #[must_use]
    pub const fn has_slot(&self) -> bool {
        self.slot_since.is_some()
    }

    /// It stands in line.
    #[must_use]
    pub const fn in_line(&self) -> bool {
        self.line.is_some()
    }
}

/// The slots and the line.
#[derive(Debug)]
pub struct Pool {
    slots: usize,
    holders: BTreeSet<(Duration, u32)>,
    idle: BTreeSet<(Duration, u32)>,
    stuck: BTreeSet<u32>,
    line: BTreeMap<u64, u32>,
    next_in_line: u64,
}

impl Pool {
    /// A pool of so many slots.
    #[must_use]
    pub const fn new(slots: usize) -> Self {
        Self { slots, holders: BTreeSet::new(), idle: BTreeSet::new(), stuck: BTreeSet::new(), line: BTreeMap::new(), next_in_line: 0 }
    }

    /// There is a slot that nobody has.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.holders.len() < self.slots
    }

    /// Somebody stands in line.
    #[must_use]
    pub fn wanted(&self) -> bool {
        !self.line.is_empty()
    }

    /// Who has a slot.
    pub fn holders(&self) -> impl Iterator<Item = u32> + '_ {
        self.holders.iter().map(|holder| holder.1)
    }

    /// Gives a slot, out of the line or straight.
    pub fn enter(&mut self, number: u32, standing: &mut Standing, now: Duration) {
        debug_assert!(!standing.has_slot(), "one slot for an address");
        self.leave_line(standing);
        standing.slot_since = Some(now);
        self.holders.insert((now, number));
    }

    /// Takes the slot back.
    pub fn leave(&mut self, number: u32, standing: &mut Standing) {
        self.use_slot(number, standing);
        if let Some(since) = standing.slot_since.take() {
            self.holders.remove(&(since, number));
        }
    }

    /// Puts it at the end of the line, unless it stands there.
    pub fn queue(&mut self, number: u32, standing: &mut Standing) {
        if standing.line.is_none() {
            standing.line = Some(self.next_in_line);
            self.line.insert(self.next_in_line, number);
            self.next_in_line += 1;
        }
    }

    /// Takes it out of the line.
    pub fn leave_line(&mut self, standing: &mut Standing) {
        if let Some(place) = standing.line.take() {
            self.line.remove(&place);
        }
    }

    /// Who has waited longest.
    #[must_use]
    pub fn first_in_line(&self) -> Option<u32> {
        self.line.first_key_value().map(|first| *first.1)
    }

    /// How many stand before it; counts them.
    #[must_use]
    pub fn place(&self, standing: &Standing) -> Option<usize> {
        standing.line.map(|place| self.line.range(..place).count())
    }

    /// It has a slot and nothing to do with it.
    pub fn rest(&mut self, number: u32, standing: &mut Standing, now: Duration) {
        if standing.has_slot() && standing.idle_since.is_none() {
            standing.idle_since = Some(now);
            self.idle.insert((now, number));
        }
    }

    /// It has a slot, cannot go on, and has nothing bound but unsent.
    pub fn block(&mut self, number: u32, standing: &mut Standing) {
        if standing.has_slot() && !standing.stuck {
            standing.stuck = true;
            self.stuck.insert(number);
        }
    }

    /// It goes on.
    pub fn use_slot(&mut self, number: u32, standing: &mut Standing) {
        if let Some(since) = standing.idle_since.take() {
            self.idle.remove(&(since, number));
        }
        if std::mem::take(&mut standing.stuck) {
            self.stuck.remove(&number);
        }
    }

    /// Whose slot can be taken at once: the one idle longest, else one that cannot go on.
    #[must_use]
    pub fn evictable(&self) -> Option<u32> {
        let idle = self.idle.first().map(|first| first.1);
        idle.or_else(|| self.stuck.first().copied())
    }

    /// Who has been idle until this time or longer.
    #[must_use]
    pub fn idle_until(&self, time: Duration) -> Option<u32> {
        self.idle.first().filter(|first| first.0 <= time).map(|first| first.1)
    }

    /// Since when the one that has been idle longest is.
    #[must_use]
    pub fn idle_since(&self) -> Option<Duration> {
        self.idle.first().map(|first| first.0)
    }

    /// Who has had a slot since this time or longer, the oldest first.
    pub fn held_until(&self, time: Duration) -> impl Iterator<Item = u32> + '_ {
        self.holders.range(..=(time, u32::MAX)).map(|holder| holder.1)
    }

    /// Since when the oldest holder that came after this time, if one is given, has its slot.
    #[must_use]
    pub fn held_after(&self, time: Option<Duration>) -> Option<Duration> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = time.map_or(Unbounded, |time| Excluded((time, u32::MAX)));
        self.holders.range((from, Unbounded)).next().map(|holder| holder.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Duration = Duration::from_secs(1);

    #[test]
    fn the_line_is_in_the_order_of_waiting_and_nobody_stands_twice() {
        let mut pool = Pool::new(1);
        let mut standings = [Standing::default(); 3];
        for number in [2_u32, 0, 1, 2] {
            pool.queue(number, &mut standings[number as usize]);
        }
        assert_eq!(pool.place(&standings[1]), Some(2));
        assert_eq!(pool.first_in_line(), Some(2));
        pool.enter(2, &mut standings[2], AT);
        assert_eq!((pool.first_in_line(), pool.has_room()), (Some(0), false));
        pool.leave(2, &mut standings[2]);
        pool.queue(2, &mut standings[2]);
        assert_eq!(pool.place(&standings[2]), Some(2), "who was swapped out stands at the end");
    }

    #[test]
    fn the_one_idle_longest_goes_first_then_one_that_cannot_go_on() {
        let mut pool = Pool::new(3);
        let mut standings = [Standing::default(); 3];
        for (number, standing) in standings.iter_mut().enumerate() {
            pool.enter(number as u32, standing, AT);
        }
        assert_eq!(pool.evictable(), None, "who works keeps its slot");
        pool.block(0, &mut standings[0]);
        assert_eq!(pool.evictable(), Some(0));
        pool.rest(2, &mut standings[2], AT);
        assert_eq!(pool.evictable(), Some(2));
        pool.use_slot(2, &mut standings[2]);
        pool.use_slot(0, &mut standings[0]);
        assert_eq!(pool.evictable(), None);
    }
}
