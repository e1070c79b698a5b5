//! The runtime room: everything a shard may ask of its surroundings, and the only place that knows an executor.
//!
//! ```text
//!   choose(executor) ─► Chosen ─► open(chosen, cpu, tenant)      the calling thread
//!                                   │ pins the thread, builds the executor
//!                                   ▼
//!                        tenant.live(room) ── room.spawn(task) ─► tasks of the same thread
//!                                   │                                   │
//!                                   ▼ done                              ▼ dropped
//!                                 open returns when no task is left
//! ```
//!
//! The contract, which every room keeps and `tests/rooms.rs` checks:
//! - one thread: nothing in a room is `Send`, and whatever crosses threads comes in through a [`Bell`](crate::Bell);
//! - the clock never goes back, and a sleep lasts at least as long as asked (not much longer; on io_uring the first sleep of a
//!   room may last 10 ms too long);
//! - tasks end with the room: those that outlive the tenant are dropped before [`open`] returns;
//! - an idle room uses no CPU: it sleeps in the kernel until a socket, a timer or a bell wakes it.
//!
//! How it fails: [`choose`] and [`open`] say which setting keeps an executor from starting; `connect` gives the system's error.
//! A tenant that panics takes its thread along.

mod choice;
mod epoll;
mod glommio;
mod pin;

use std::future::Future;
use std::io;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

pub use choice::{Chosen, Executor, RoomError, choose};
pub use epoll::EpollRoom;
pub use pin::processors;

/// What a tenant may ask of its surroundings. Clones are the same room.
pub trait Room: Clone + 'static {
    /// A connected byte stream.
    type Stream: hyper::rt::Read + hyper::rt::Write + Unpin + 'static;

    /// Time since the room opened. Monotonic.
    fn now(&self) -> Duration;

    /// Wall-clock time since 1970-01-01T00:00:00Z. May jump; never use it to measure.
    fn unix_time(&self) -> Duration;

    /// Completes `duration` from now or a little later.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static;

    /// Runs `task` beside the caller on the same thread. It is dropped when it is done or when the room closes.
    fn spawn(&self, task: impl Future<Output = ()> + 'static);

    /// Opens a byte stream to `host` (a name or an address literal, without brackets) at `port`. The addresses of a name are
    /// tried in the resolver's order; the error is that of the last one. Nothing limits its time: see [`within`].
    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>> + 'static;
}

/// What lives in a room: it gets the room and runs until it is done.
pub trait Tenant: Send + 'static {
    /// The whole life of the tenant. The room closes when it ends.
    fn live<R: Room>(self, room: R) -> impl Future<Output = ()>;
}

/// Runs the tenant to its end on this thread, which stays pinned to `cpu` if one is given (numbered as in `/proc/cpuinfo`).
///
/// # Errors
/// The processor cannot be used, or the executor that was available when chosen no longer is. The tenant has then not begun.
pub fn open(chosen: Chosen, cpu: Option<usize>, tenant: impl Tenant) -> Result<(), RoomError> {
    if let Some(cpu) = cpu {
        pin::this_thread(cpu)?;
    }
    match chosen {
        Chosen::IoUring => glommio::run(tenant),
        Chosen::Epoll => epoll::run(tenant),
    }
}

/// `work`'s outcome, or `None` if it took longer than `limit`; it is dropped then. Work that is ready at once costs no timer.
pub async fn within<R: Room, T>(room: &R, limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    if let std::task::Poll::Ready(outcome) = futures_util::poll!(work.as_mut()) {
        return Some(outcome);
    }
    match select(work, pin!(room.sleep(limit))).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(((), _)) => None,
    }
}
