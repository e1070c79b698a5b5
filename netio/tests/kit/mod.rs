//! The tests' kit: one behaviour, checked in a room on each executor, against a real HTTP server.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test file uses a part of it

pub mod feed;
pub mod node;
pub mod tls;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use netio::{Executor, Tenant, choose, open};

/// No test takes longer; one that does hangs.
const TEST_SECONDS_MAX: u64 = 30;

/// Runs the tenant on `executor` and passes its panic on. Does nothing but say so where the machine forbids the executor.
pub fn lives(executor: Executor, tenant: impl Tenant) {
    let chosen = match choose(executor) {
        Ok(chosen) => chosen,
        Err(error) => {
            #[allow(clippy::print_stderr)]
            {
                eprintln!("not tested here: {error}");
            }
            return;
        }
    };
    let (done, is_done) = mpsc::channel();
    let room = thread::spawn(move || {
        let _done = done; // dropped at the end, panic or not
        open(chosen, None, tenant).expect("the executor was there a moment ago");
    });
    let limit = Duration::from_secs(TEST_SECONDS_MAX);
    let waited = is_done.recv_timeout(limit);
    assert_ne!(waited, Err::<(), _>(mpsc::RecvTimeoutError::Timeout), "the room hangs");
    if let Err(panic) = room.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Declares a behaviour of rooms and checks it on both executors:
/// `behaviour!(it_does_this(room) { … });`, with something to bring along: `behaviour!(it_does_that(room, node: Node = start()) { … });`
#[macro_export]
macro_rules! behaviour {
    ($name:ident($room:ident $(, $what:ident: $kind:ty = $make:expr)*) $body:block) => {
        mod $name {
            use super::*;

            struct Guest {
                $($what: $kind,)*
            }

            impl netio::Tenant for Guest {
                async fn live<R: netio::Room>(self, $room: R) {
                    let Self { $($what,)* } = self;
                    $body
                }
            }

            #[test]
            fn on_io_uring() {
                $crate::kit::lives(netio::Executor::IoUring, Guest { $($what: $make,)* });
            }

            #[test]
            fn on_epoll() {
                $crate::kit::lives(netio::Executor::Epoll, Guest { $($what: $make,)* });
            }
        }
    };
}
