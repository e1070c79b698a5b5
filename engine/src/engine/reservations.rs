//! Idempotency keys on their way to disk (row A16): reserved from the first look until the outcome is certain.
//!
//! Whoever comes with a reserved key waits for the first one's end: with the same body it is the end of both. With another
//! body it tells whose the key is, if that is certain; otherwise the key is tried again, for what reserved it may itself
//! turn out to be in conflict with what is on disk. Nobody waits for a write that has failed with unknown outcome: a disk may be full
//! for days.

use std::collections::HashSet;
use std::sync::Arc;

use alloy::primitives::B256;
use dashmap::{DashMap, Entry};
use flume::{Receiver, Sender};
use uuid::Uuid;

use super::SubmitError;

type End = Result<Uuid, SubmitError>;

struct Reservation {
    body_hash: B256,
    waiting: Vec<Sender<End>>,
    /// Its write has failed with unknown outcome. Nobody can say when that will be certain: nobody waits for it.
    unknown: bool,
}

/// All keys that have no certain end.
#[derive(Default)]
pub struct Reservations {
    keys: DashMap<String, Reservation>,
}

/// Whose a key is.
pub(super) enum Reserved {
    /// The caller's.
    Ours,
    /// Somebody else's with the same body; here comes the end.
    Joined(Receiver<End>),
    /// Somebody else's with another body; here comes the end.
    Other(Receiver<End>),
    /// Somebody else's, and it may be long until its end is certain.
    Unknown,
}

impl Reservations {
    /// The outcome is certain: frees the key and tells who waits for it.
    pub fn release(&self, key: &str, end: &End) {
        if let Some((_, reservation)) = self.keys.remove(key) {
            for waiting in reservation.waiting {
                // A caller that has gone away does not mind.
                let _ = waiting.send(end.clone());
            }
        }
    }

    /// The outcome is not known yet: who waits is told so, and who comes later; the key stays reserved.
    pub fn unknown(&self, key: &str) {
        if let Some(mut reservation) = self.keys.get_mut(key) {
            reservation.unknown = true;
            for waiting in reservation.waiting.drain(..) {
                // A caller that has gone away does not mind.
                let _ = waiting.send(Err(SubmitError::Unknown));
            }
        }
    }

    fn reserve(&self, key: &str, body_hash: B256) -> Reserved {
        match self.keys.entry(key.to_owned()) {
            Entry::Vacant(free) => {
                free.insert(Reservation { body_hash, waiting: Vec::new(), unknown: false });
                Reserved::Ours
            }
            Entry::Occupied(taken) if taken.get().unknown => Reserved::Unknown,
            Entry::Occupied(mut taken) => {
                let (sender, end) = flume::bounded(1);
                taken.get_mut().waiting.push(sender);
                if taken.get().body_hash == body_hash { Reserved::Joined(end) } else { Reserved::Other(end) }
            }
        }
    }
}

/// Keys reserved by one call. What it has not handed to a shard when it ends is freed.
pub(super) struct Guard {
    reservations: Arc<Reservations>,
    ours: HashSet<String>,
}

impl Guard {
    pub(super) fn new(reservations: Arc<Reservations>) -> Self {
        Self { reservations, ours: HashSet::new() }
    }

    pub(super) fn reserve(&mut self, key: &str, body_hash: B256) -> Reserved {
        let reserved = self.reservations.reserve(key, body_hash);
        if matches!(reserved, Reserved::Ours) {
            self.ours.insert(key.to_owned());
        }
        reserved
    }

    pub(super) fn release(&mut self, key: &str, end: &End) {
        self.ours.remove(key);
        self.reservations.release(key, end);
    }

    /// A shard has them now, and frees them when it is certain.
    pub(super) fn handed_over(&mut self, keys: &[String]) {
        for key in keys {
            self.ours.remove(key);
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        for key in &self.ours {
            self.reservations.release(key, &Err(SubmitError::Busy { retry_after_ms: super::RETRY_AFTER_MS }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_key_waits_for_the_first_whatever_its_body() {
        let reservations = Arc::new(Reservations::default());
        let mut first = Guard::new(Arc::clone(&reservations));
        let mut second = Guard::new(Arc::clone(&reservations));
        let id = Uuid::from_u128(1);
        assert!(matches!(first.reserve("k", B256::ZERO), Reserved::Ours));
        let Reserved::Joined(same) = second.reserve("k", B256::ZERO) else { panic!("the key is taken") };
        let Reserved::Other(other) = second.reserve("k", B256::repeat_byte(1)) else { panic!("the key is taken") };
        first.release("k", &Ok(id));
        assert_eq!((same.try_recv(), other.try_recv()), (Ok(Ok(id)), Ok(Ok(id))));
        assert!(matches!(second.reserve("k", B256::repeat_byte(1)), Reserved::Ours));
    }

    #[test]
    fn nobody_waits_for_a_write_whose_outcome_is_unknown() {
        let reservations = Arc::new(Reservations::default());
        let (mut first, mut second) = (Guard::new(Arc::clone(&reservations)), Guard::new(Arc::clone(&reservations)));
        assert!(matches!(first.reserve("k", B256::ZERO), Reserved::Ours));
        first.handed_over(&["k".to_owned()]);
        let Reserved::Joined(waiting) = second.reserve("k", B256::ZERO) else { panic!("the key is taken") };
        reservations.unknown("k");
        assert_eq!(waiting.try_recv(), Ok(Err(SubmitError::Unknown)));
        for body_hash in [B256::ZERO, B256::repeat_byte(1)] {
            assert!(matches!(second.reserve("k", body_hash), Reserved::Unknown));
        }
        reservations.release("k", &Ok(Uuid::from_u128(1)));
        assert!(matches!(second.reserve("k", B256::ZERO), Reserved::Ours), "the disk is asked now");
    }

    #[test]
    fn a_call_that_ends_early_frees_what_it_has_not_handed_over() {
        let reservations = Arc::new(Reservations::default());
        let mut first = Guard::new(Arc::clone(&reservations));
        first.reserve("kept", B256::ZERO);
        first.reserve("freed", B256::ZERO);
        first.handed_over(&["kept".to_owned()]);
        drop(first);
        let mut second = Guard::new(reservations);
        assert!(matches!(second.reserve("freed", B256::ZERO), Reserved::Ours));
        assert!(matches!(second.reserve("kept", B256::ZERO), Reserved::Joined(_)));
    }
}
