//! The room on glommio, which waits in io_uring. The only file that names it.
//!
//! What was read in glommio 0.9.0 and is relied on:
//! - a wake from another thread goes through an unbounded channel and an eventfd that is armed before the executor sleeps, so it
//!   is never lost and needs no polling; each such wake of one task holds one of 32,767 references, so foreign wakes must be merged,
//!   which a [`Bell`] does;
//! - freeing a task whose join handle is alive races with a foreign thread that drops the task's last waker. So nothing that is
//!   woken from outside runs in the executor's main future, and every handle is detached at once;
//! - an executor never drops tasks that are asleep when it ends: their sockets would stay open. So the room keeps a register of
//!   its tasks and ends them before it closes;
//! - only file I/O uses registered buffers, so the least is registered ([`REGISTERED_BYTES`], in each of three rings).
//!
//! Fails where io_uring is missing, forbidden or short of locked memory: see [`RoomError::IoUring`].

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::{Duration, Instant};

use ::glommio::net::TcpStream;
use ::glommio::timer::Timer;
use ::glommio::{LocalExecutor, LocalExecutorBuilder, Placement, TaskQueueHandle};
use futures_util::future::{AbortHandle, Abortable};
use hyper_util::rt::TokioIo;
use rustix::process::{Resource, getrlimit};
use tokio_util::compat::{Compat, FuturesAsyncReadCompatExt};

use super::{Room, RoomError, Tenant, choice};
use crate::Bell;

/// Locked memory registered with each of an executor's three rings, for file I/O that does not happen here: the least that
/// glommio takes. With the rings themselves that is about 240 KiB a shard, so that 34 shards fit the usual limit of 8 MiB
/// (counted on Linux 6.18 without privileges; a privileged process is not limited).
const REGISTERED_BYTES: usize = 64 * 1024;

/// glommio starts no executor where less memory may be locked.
const LOCKED_BYTES_MIN: u64 = 512 * 1024;

/// Submissions one ring holds before it enters the kernel. A shard has a few sockets and one timer in flight.
const RING_DEPTH: usize = 128;

/// Submissions that the ring of a mere trial holds.
const PROBE_RING_DEPTH: u32 = 2;

/// Builds an executor and lets it turn once, to find out whether this machine allows it.
pub(super) fn probe() -> Result<(), RoomError> {
    build()?.run(async {});
    Ok(())
}

/// Runs the tenant on an executor of its own; ends the tasks that outlive it.
pub(super) fn run(tenant: impl Tenant) -> Result<(), RoomError> {
    build()?.run(async {
        let room = UringRoom { opened: Instant::now(), tasks: Rc::default() };
        let done = Bell::new();
        let life = {
            let (room, done) = (room.clone(), done.clone());
            // On the heap: a task is moved several times while it is set up, and a shard's state is large.
            Box::pin(async move {
                tenant.live(room).await;
                done.ring();
            })
        };
        schedule(life);
        done.wait().await;
        room.tasks.end_all().await;
    });
    Ok(())
}

/// Lets `task` run when its turn comes. glommio's plain spawn would poll it inside the caller's own turn, with whatever the
/// caller has borrowed.
fn schedule(task: impl Future<Output = ()> + 'static) {
    ::glommio::spawn_local_into(task, TaskQueueHandle::default()).expect("an executor keeps its default queue to its end").detach();
}

fn build() -> Result<LocalExecutor, RoomError> {
    may_run()?;
    // Unbound: the thread is pinned already, for both executors in the same way.
    let builder = LocalExecutorBuilder::new(Placement::Unbound).io_memory(REGISTERED_BYTES).ring_depth(RING_DEPTH);
    match catch_unwind(AssertUnwindSafe(|| builder.make())) {
        Ok(made) => made.map_err(|error| choice::io_uring_refused(&error.into())),
        Err(_) => Err(choice::library_panicked()),
    }
}

/// Whether io_uring would start an executor here. glommio looks too, but panics at the usual refusals, or passes them on as
/// errors that do not say what is needed.
fn may_run() -> Result<(), RoomError> {
    let allowed_bytes = getrlimit(Resource::Memlock).current;
    if let Some(allowed_bytes) = allowed_bytes.filter(|&bytes| bytes < LOCKED_BYTES_MIN) {
        return Err(choice::too_little_locked_memory(allowed_bytes, LOCKED_BYTES_MIN));
    }
    io_uring::IoUring::new(PROBE_RING_DEPTH).map(drop).map_err(|error| choice::io_uring_refused(&error))
}

#[derive(Clone)]
struct UringRoom {
    opened: Instant,
    tasks: Rc<Tasks>,
}

impl Room for UringRoom {
    type Stream = TokioIo<Compat<TcpStream>>;

    fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    fn unix_time(&self) -> Duration {
        choice::unix_time()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        let timer = Timer::new(duration); // its time runs from here on, polled or not
        async move {
            timer.await;
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        Tasks::spawn(&self.tasks, task);
    }

    fn connect(&self, host: &str, port: u16) -> impl Future<Output = io::Result<Self::Stream>> + 'static {
        let host = host.to_owned();
        async move {
            let mut outcome = Err(io::Error::new(io::ErrorKind::NotFound, format!("the name {host} has no address")));
            for address in resolve(host, port).await? {
                outcome = dial(address).await;
                if outcome.is_ok() {
                    break;
                }
            }
            outcome
        }
    }
}

async fn dial(address: SocketAddr) -> io::Result<TokioIo<Compat<TcpStream>>> {
    let stream = TcpStream::connect(address).await.map_err(io::Error::from)?;
    stream.set_nodelay(true).map_err(io::Error::from)?;
    Ok(TokioIo::new(stream.compat()))
}

/// The addresses of `host`. Names are looked up on glommio's helper thread, because the system's resolver blocks.
async fn resolve(host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    ::glommio::executor().spawn_blocking(move || Ok((host.as_str(), port).to_socket_addrs()?.collect())).await
}

/// The register of a room's tasks.
#[derive(Default)]
struct Tasks {
    running: RefCell<BTreeMap<u64, AbortHandle>>,
    next: Cell<u64>,
}

impl Tasks {
    fn spawn(tasks: &Rc<Self>, task: impl Future<Output = ()> + 'static) {
        let (handle, registration) = AbortHandle::new_pair();
        let id = tasks.next.get();
        tasks.next.set(id + 1);
        tasks.running.borrow_mut().insert(id, handle);
        let register = Rc::downgrade(tasks);
        let task = Abortable::new(task, registration);
        schedule(async move {
            // Whether it ran to its end or was aborted makes no difference to the register.
            let _ = task.await;
            if let Some(tasks) = register.upgrade() {
                tasks.running.borrow_mut().remove(&id);
            }
        });
    }

    /// Drops every task's future. A task may spawn another one while it goes, hence the loop.
    async fn end_all(&self) {
        while !self.running.borrow().is_empty() {
            for handle in self.running.borrow().values() {
                handle.abort();
            }
            ::glommio::executor().yield_task_queue_now().await;
        }
    }
}
