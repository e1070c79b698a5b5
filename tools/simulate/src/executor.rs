//! One thread, a virtual clock, and tasks that run in an order drawn from the seed.
//!
//! Time moves only when nothing can run. Tasks belong to a process; a crash drops all tasks of one between two steps.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::points::Died;

/// The wall clock at virtual time zero, since the Unix epoch.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// Most steps at one moment: hundreds of times what the busiest one takes.
const STEPS_AT_ONCE: u64 = 200_000;

/// Whose tasks end together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process(pub(crate) u32);

type Task = Pin<Box<dyn Future<Output = ()>>>;

struct TaskWaker {
    task: u64,
    ready: Arc<Mutex<BTreeSet<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.lock().insert(self.task);
    }
}

/// The executor. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Executor(Rc<Inner>);

struct Inner {
    tasks: RefCell<BTreeMap<u64, (Process, Option<Task>)>>,
    ready: Arc<Mutex<BTreeSet<u64>>>,
    timers: RefCell<BTreeMap<(Duration, u64), Waker>>,
    now: Cell<Duration>,
    /// The wall clock at time zero, since the Unix epoch.
    epoch: Cell<Duration>,
    next: Cell<u64>,
    random: RefCell<StdRng>,
    killed: RefCell<BTreeSet<Process>>,
}

impl Executor {
    /// An executor at time zero.
    pub(crate) fn new(seed: u64) -> Self {
        Self(Rc::new(Inner {
            tasks: RefCell::default(),
            ready: Arc::default(),
            timers: RefCell::default(),
            now: Cell::default(),
            epoch: Cell::new(EPOCH),
            next: Cell::default(),
            random: RefCell::new(StdRng::seed_from_u64(seed)),
            killed: RefCell::default(),
        }))
    }

    /// The virtual time.
    pub(crate) fn now(&self) -> Duration {
        self.0.now.get()
    }

    /// What the wall clock shows, since the Unix epoch.
    pub(crate) fn unix_time(&self) -> Duration {
        self.0.epoch.get() + self.0.now.get()
    }

    /// The wall clock jumps up to an hour, forwards or back.
    pub(crate) fn jump(&self) {
        let most = Duration::from_secs(3600);
        let jump = self.between(Duration::ZERO, 2 * most);
        self.0.epoch.set(self.0.epoch.get() + jump - most);
    }

    /// A number below `end`, from the seed.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.0.random.borrow_mut().random_range(0..end.max(1))
    }

    /// A duration between the two, from the seed.
    pub(crate) fn between(&self, from: Duration, to: Duration) -> Duration {
        let span = u64::try_from(to.saturating_sub(from).as_micros()).unwrap_or(u64::MAX);
        from + Duration::from_micros(self.below(span + 1))
    }

    /// Adds a task to a process.
    pub(crate) fn spawn(&self, process: Process, task: impl Future<Output = ()> + 'static) {
        let number = self.0.next.get();
        self.0.next.set(number + 1);
        self.0.tasks.borrow_mut().insert(number, (process, Some(Box::pin(task))));
        self.0.ready.lock().insert(number);
    }

    /// Completes after `duration` of virtual time.
    pub(crate) fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        let executor = self.clone();
        let due = self.now() + duration;
        let number = self.0.next.get();
        self.0.next.set(number + 1);
        std::future::poll_fn(move |context| {
            if executor.now() >= due {
                return Poll::Ready(());
            }
            executor.0.timers.borrow_mut().insert((due, number), context.waker().clone());
            Poll::Pending
        })
    }

    /// Drops everything that waits. Tasks hold the executor they run on, so a world that is not cleared would stay for ever.
    pub(crate) fn clear(&self) {
        let tasks = std::mem::take(&mut *self.0.tasks.borrow_mut());
        let timers = std::mem::take(&mut *self.0.timers.borrow_mut());
        drop((tasks, timers));
    }

    /// Ends a process before its next step.
    pub(crate) fn kill(&self, process: Process) {
        self.0.killed.borrow_mut().insert(process);
    }

    /// Runs until `done` says so, or nothing can ever run again, or the virtual time passes `limit`, or stands still for too many
    /// steps: somebody works for ever at one moment. True if done.
    pub(crate) fn run_until(&self, limit: Duration, mut done: impl FnMut() -> bool) -> bool {
        let mut steps = 0;
        loop {
            if done() {
                return true;
            }
            self.bury();
            let ready = {
                let ready = self.0.ready.lock();
                let place = usize::try_from(self.below(ready.len() as u64)).unwrap_or(0);
                ready.iter().nth(place).copied()
            };
            match ready {
                Some(_) if steps == STEPS_AT_ONCE => return false,
                Some(task) => {
                    steps += 1;
                    self.step(task);
                }
                None if !self.advance(limit) => return false,
                None => steps = 0,
            }
        }
    }

    fn step(&self, number: u64) {
        self.0.ready.lock().remove(&number);
        let task = self.0.tasks.borrow_mut().get_mut(&number).and_then(|entry| entry.1.take());
        let Some(mut task) = task else { return };
        let waker = Waker::from(Arc::new(TaskWaker { task: number, ready: Arc::clone(&self.0.ready) }));
        let poll = || task.as_mut().poll(&mut Context::from_waker(&waker));
        let polled = match std::panic::catch_unwind(std::panic::AssertUnwindSafe(poll)) {
            Ok(polled) => polled,
            // Its process ends; the rest of it is buried before the next step.
            Err(end) if end.is::<Died>() => Poll::Ready(()),
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let mut tasks = self.0.tasks.borrow_mut();
        match (polled, tasks.get_mut(&number)) {
            (Poll::Pending, Some(entry)) => entry.1 = Some(task),
            _ => {
                tasks.remove(&number);
                drop(tasks);
                drop(task);
            }
        }
    }

    /// Moves the clock to the next timer. False if there is none, or it is past the limit.
    fn advance(&self, limit: Duration) -> bool {
        let Some(due) = self.0.timers.borrow().keys().next().map(|key| key.0).filter(|due| *due <= limit) else { return false };
        self.0.now.set(self.now().max(due));
        loop {
            let first = self.0.timers.borrow().keys().next().copied().filter(|key| key.0 <= due);
            let Some(key) = first else { return true };
            if let Some(waker) = self.0.timers.borrow_mut().remove(&key) {
                waker.wake();
            }
        }
    }

    /// Drops the tasks of processes that were killed.
    fn bury(&self) {
        let killed = std::mem::take(&mut *self.0.killed.borrow_mut());
        if killed.is_empty() {
            return;
        }
        let dead: Vec<_> = {
            let mut tasks = self.0.tasks.borrow_mut();
            let numbers: Vec<u64> = tasks.iter().filter(|(_, task)| killed.contains(&task.0)).map(|(number, _)| *number).collect();
            numbers.into_iter().filter_map(|number| tasks.remove(&number)).collect()
        };
        drop(dead);
    }
}
