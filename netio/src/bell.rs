//! A bell wakes one sleeping task from any thread.
//!
//! A queue that crosses threads carries the work; the bell only says *look again*. Rings that come before the sleeper looks
//! are one ring, so a ringer never blocks, never allocates, and wakes an executor once however often it rings.
//!
//! It cannot fail. What it does not promise: one wait for each ring, or fairness among several waiters (there is one waiter).

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use futures_util::task::AtomicWaker;

/// Wakes one sleeping task from any thread. Clones are the same bell.
#[derive(Clone, Debug, Default)]
pub struct Bell {
    rope: Arc<Rope>,
}

#[derive(Debug, Default)]
struct Rope {
    rung: AtomicBool,
    sleeper: AtomicWaker,
}

impl Bell {
    /// A bell that has not been rung.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes the waiter, or lets the next wait complete at once. Callable from any thread, in any state of the waiter's room.
    pub fn ring(&self) {
        // Whoever turns the flag from false to true wakes; the others can rely on that one.
        if !self.rope.rung.swap(true, Ordering::AcqRel) {
            self.rope.sleeper.wake();
        }
    }

    /// Completes when rung, at once if rung since the last wait completed. One waiter at a time: a second one takes the place
    /// of the first. Dropping the future loses no ring.
    pub fn wait(&self) -> impl Future<Output = ()> {
        poll_fn(|context| {
            if self.take() {
                return Poll::Ready(());
            }
            self.rope.sleeper.register(context.waker());
            // A ring between the look and the registration would have found nobody to wake.
            if self.take() { Poll::Ready(()) } else { Poll::Pending }
        })
    }

    fn take(&self) -> bool {
        self.rope.rung.swap(false, Ordering::AcqRel)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_ring_before_the_wait_is_not_lost() {
        let bell = Bell::new();
        let same = bell.clone();
        same.ring();
        assert_eq!(bell.wait().now_or_never(), Some(()));
    }

    #[test]
    fn rings_nobody_waited_for_are_one_ring() {
        let bell = Bell::new();
        bell.ring();
        bell.ring();
        assert_eq!(bell.wait().now_or_never(), Some(()));
        assert_eq!(bell.wait().now_or_never(), None);
    }

    #[test]
    fn a_wait_given_up_loses_no_ring() {
        let bell = Bell::new();
        assert_eq!(bell.wait().now_or_never(), None);
        bell.ring();
        assert_eq!(bell.wait().now_or_never(), Some(()));
    }
}
