//! Who waits until a transaction is bound or has failed.
//!
//! A shard has no memory of what it has answered, so whoever watches asks the disk too, and after its watch is heard: what was settled before
//! is on disk then, and what is settled later is told. A watch that nobody waits for any more is forgotten when there are many.

use std::collections::HashMap;

use alloy::primitives::map::FbBuildHasher;
use flume::Sender;
use uuid::Uuid;

/// Most watches of one shard; each is a caller that waits for an answer.
const WATCHES_MAX: usize = 4096;

/// Somebody wants to know when a transaction is bound or has failed.
#[derive(Debug)]
pub struct Watch {
    /// The transaction.
    pub id: Uuid,
    /// Told once when the watch begins, and once when the transaction is bound or has failed, on disk. Closed if there are too many. Must
    /// have room for both.
    pub reply: Sender<()>,
}

/// The watches of a shard.
#[derive(Default)]
pub(super) struct Watches {
    waiting: HashMap<Uuid, Vec<Sender<()>>, FbBuildHasher<16>>,
}

impl Watches {
    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Begins a watch, if there is room for it.
    pub(super) fn open(&mut self, watch: Watch) {
        if self.waiting.len() >= WATCHES_MAX {
            self.waiting.retain(|_, watchers| {
                watchers.retain(|reply| !reply.is_disconnected());
                !watchers.is_empty()
            });
        }
        if self.waiting.len() < WATCHES_MAX && watch.reply.try_send(()).is_ok() {
            self.waiting.entry(watch.id).or_default().push(watch.reply);
        }
    }

    /// A transaction is bound or has failed, on disk.
    pub(super) fn settled(&mut self, id: &Uuid) {
        for reply in self.waiting.remove(id).unwrap_or_default() {
            // Whoever waited may have gone.
            let _ = reply.try_send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(id: Uuid) -> (Watch, flume::Receiver<()>) {
        let (reply, told) = flume::bounded(2);
        (Watch { id, reply }, told)
    }

    #[test]
    fn whoever_waits_is_told_that_the_watch_began_and_that_it_is_settled() {
        let mut watches = Watches::default();
        let (id, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let ((first, first_told), (second, second_told)) = (watch(id), watch(id));
        watches.open(first);
        watches.open(second);
        watches.settled(&other);
        assert_eq!((first_told.drain().count(), second_told.drain().count()), (1, 1), "begun");
        watches.settled(&id);
        assert_eq!((first_told.drain().count(), second_told.drain().count()), (1, 1), "settled");
        assert!(watches.is_empty() && first_told.is_disconnected());
    }

    #[test]
    fn too_many_are_refused_until_some_have_gone() {
        let mut watches = Watches::default();
        let told: Vec<_> = (0..WATCHES_MAX as u128)
            .map(|number| {
                let (begun, told) = watch(Uuid::from_u128(number));
                watches.open(begun);
                told
            })
            .collect();
        let (refused, told_nothing) = watch(Uuid::max());
        watches.open(refused);
        assert!(told_nothing.is_disconnected() && told_nothing.is_empty());
        drop(told);
        let (taken, begun) = watch(Uuid::max());
        watches.open(taken);
        assert_eq!(begun.drain().count(), 1);
    }
}
