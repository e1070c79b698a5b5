//! The writer's thread: turns the writer, sleeps when there is nothing to do, ends when told to.
//!
//! It sleeps by parking and is woken by the next submit, so an idle writer costs nothing and a busy one is never woken at all: the
//! submitting side only unparks a thread that has said it sleeps. The one pause by the clock is the one between two tries to open a
//! failed store, where there is no event to wait for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering, fence},
    },
    thread::{self, Thread},
    time::Duration,
};

use crate::{
    store::Store,
    writer::{Turn, Writer},
};

/// Pause after the first failed try to open the store again.
const REOPEN_PAUSE_MIN: Duration = Duration::from_millis(10);

/// Wakes a parked thread, and costs one load when it is awake.
struct Parking {
    asleep: AtomicBool,
    thread: Thread,
}

impl Parking {
    fn wake(&self) {
        // Pairs with the fence in `park_unless`: either this sees `asleep`, or the sleeper sees what was submitted before.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            self.thread.unpark();
        }
    }

    fn park_unless(&self, awake: impl Fn() -> bool) {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !awake() {
            thread::park();
        }
        self.asleep.store(false, Ordering::Relaxed);
    }
}

/// Turns `writer` on this thread until there is nothing left to do and either `stop` is set or every shard's end of the links is
/// gone. Who sets `stop` then calls [`WriterState::wake`](crate::WriterState::wake).
///
/// When it is told to stop while the store cannot be opened, it tries once more and ends; the tickets it could not settle are never
/// answered, and the next start finds out.
#[expect(clippy::needless_pass_by_value, reason = "the thread owns its end of the flag and the writer")]
pub fn run<S: Store>(mut writer: Writer<S>, stop: Arc<AtomicBool>, reopen_pause_max: Duration) {
    let parking = Arc::new(Parking { asleep: AtomicBool::new(false), thread: thread::current() });
    let bell = Arc::clone(&parking);
    writer.on_submit(Arc::new(move || bell.wake()));
    let ending = |writer: &Writer<S>| stop.load(Ordering::Acquire) || writer.is_deserted();
    let mut pause = REOPEN_PAUSE_MIN.min(reopen_pause_max);
    loop {
        match writer.turn() {
            Turn::Wrote => pause = REOPEN_PAUSE_MIN,
            // Read `ending` before looking for work: what was submitted before the flag was set is still written.
            Turn::Idle if ending(&writer) && writer.is_idle() => return,
            Turn::Idle => parking.park_unless(|| !writer.is_idle() || ending(&writer)),
            Turn::Recovering if ending(&writer) => {
                if writer.turn() == Turn::Recovering {
                    tracing::error!("stopped with an append whose outcome is unknown; the next start finds out");
                    return;
                }
            }
            Turn::Recovering => {
                thread::park_timeout(pause);
                pause = (2 * pause).min(reopen_pause_max);
            }
        }
    }
}
