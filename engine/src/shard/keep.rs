//! Records that are no business of the manager, put on disk in the shard's turn: what people have told the engine to remember.

use std::collections::VecDeque;

use flume::Sender;
use storage::Record;

use crate::engine::{RETRY_AFTER_MS, SubmitError};

/// Tickets of these records; those of blocks are higher, and the manager's never get here.
pub(super) const KEPT_TICKET: u64 = 1 << 62;

/// A record to be put on disk.
#[derive(Debug)]
pub struct KeepOrder {
    /// The record. It must hold nothing that the shard itself decides.
    pub record: Record,
    /// Where it is told that it is on disk, or why not.
    pub reply: Sender<Result<(), SubmitError>>,
}

/// Who waits for a record to be on disk, in the order of their tickets.
#[derive(Default)]
pub(super) struct Kept {
    waiting: VecDeque<(u64, Sender<Result<(), SubmitError>>)>,
    next: u64,
}

impl Kept {
    /// The ticket for a record.
    pub(super) fn open(&mut self, reply: Sender<Result<(), SubmitError>>) -> u64 {
        let ticket = KEPT_TICKET | self.next;
        self.next += 1;
        self.waiting.push_back((ticket, reply));
        ticket
    }

    /// A write has failed, and nobody can say when it will be certain what is on disk: nobody waits for it.
    pub(super) fn unknown(&mut self) {
        for (_, reply) in self.waiting.drain(..) {
            // Who ordered it may have gone.
            let _ = reply.send(Err(SubmitError::Unknown));
        }
    }

    /// Tells how the record with this ticket ended.
    pub(super) fn ended(&mut self, ticket: u64, durable: bool) {
        let Some(place) = self.waiting.iter().position(|(waiting, _)| *waiting == ticket) else { return };
        if let Some((_, reply)) = self.waiting.remove(place) {
            // Who ordered it may have gone; it holds all the same.
            let _ = reply.send(if durable { Ok(()) } else { Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS }) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_for_a_disk_that_has_failed_and_who_comes_later_is_told_how_it_ends() {
        let mut kept = Kept::default();
        let [(first, one), (second, two), (third, three)] = [(); 3].map(|()| flume::bounded(1));
        kept.open(first);
        let ticket = kept.open(second);
        kept.unknown();
        assert_eq!([one.try_recv(), two.try_recv()], [Ok(Err(SubmitError::Unknown)), Ok(Err(SubmitError::Unknown))]);
        let later = kept.open(third);
        kept.ended(ticket, true);
        assert!(three.try_recv().is_err(), "that was another's");
        kept.ended(later, true);
        assert_eq!(three.try_recv(), Ok(Ok(())));
    }
}
