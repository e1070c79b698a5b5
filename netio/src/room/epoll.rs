//! The room on tokio's current-thread runtime, which waits in epoll. It runs wherever Linux runs, so it is the insurance.
//!
//! Fails only when the process is out of file descriptors. Timers have a resolution of 1 ms.

use std::future::Future;
use std::io;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::LocalSet;

use super::{Room, RoomError, Tenant, choice};

/// Name look-ups are all that blocks, and a shard dials one node at a time.
const BLOCKING_THREADS_MAX: usize = 1;

/// Runs the tenant on a runtime of its own. Tasks that outlive it are dropped with the [`LocalSet`].
pub(super) fn run(tenant: impl Tenant) -> Result<(), RoomError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .map_err(|source| RoomError::Epoll { source })?;
    let room = EpollRoom::new();
    let tasks = LocalSet::new();
    // On the heap: the runtime would otherwise carry a shard's whole state through its stack frames.
    tasks.block_on(&runtime, Box::pin(tenant.live(room)));
    Ok(())
}

/// The room of tokio's current-thread runtime. [`open`](super::open) makes one for a tenant; whoever runs such a runtime already, within a
/// [`LocalSet`] and with timers and I/O enabled, can make one for itself.
#[derive(Clone, Debug)]
pub struct EpollRoom {
    opened: Instant,
}

impl EpollRoom {
    /// A room that opens now.
    pub fn new() -> Self {
        Self { opened: Instant::now() }
    }
}

impl Default for EpollRoom {
    fn default() -> Self {
        Self::new()
    }
}

impl Room for EpollRoom {
    type Stream = TokioIo<TcpStream>;

    fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    fn unix_time(&self) -> Duration {
        choice::unix_time()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        tokio::time::sleep(duration)
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        // The handle is only for those who want to wait; dropping it leaves the task running.
        drop(tokio::task::spawn_local(task));
    }

    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>> + 'static {
        let host = host.to_owned();
        async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            Ok(TokioIo::new(stream))
        }
    }
}
