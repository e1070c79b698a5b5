//! What every room promises, checked on both executors.

#![allow(clippy::unwrap_used)]

mod kit;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io::ErrorKind;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use kit::node::{Node, free_port};
use netio::{Bell, Chosen, Executor, Room, RoomError, Tenant, choose, open, within};
use rustix::time::{ClockId, clock_gettime};

const MS: Duration = Duration::from_millis(1);

/// What a loaded two-core machine may add to any wait. A promise broken for good takes far longer.
const SLACK: Duration = Duration::from_millis(400);

behaviour!(a_sleep_lasts_as_long_as_asked(room) {
    for wait in [Duration::ZERO, MS, 50 * MS] {
        let before = room.now();
        room.sleep(wait).await;
        let slept = room.now() - before;
        assert!(slept >= wait && slept < wait + SLACK, "{slept:?} for {wait:?}");
    }
});

behaviour!(the_wall_clock_is_the_systems(room) {
    let system = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(room.unix_time().abs_diff(system) < Duration::from_secs(5));
});

behaviour!(a_spawned_task_runs_beside_its_parent_and_not_inside_spawn(room) {
    let log = Rc::new(RefCell::new(Vec::new()));
    {
        let mut held = log.borrow_mut();
        let (own, clock) = (Rc::clone(&log), room.clone());
        room.spawn(async move {
            own.borrow_mut().push("task begins");
            clock.sleep(5 * MS).await;
            own.borrow_mut().push("task ends");
        });
        held.push("parent");
    }
    room.sleep(100 * MS).await;
    assert_eq!(*log.borrow(), ["parent", "task begins", "task ends"]);
});

/// Adds one when dropped.
struct Drops(Arc<AtomicU64>);

impl Drop for Drops {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

struct LeavesTasksBehind(Arc<AtomicU64>);

impl Tenant for LeavesTasksBehind {
    async fn live<R: Room>(self, room: R) {
        for _ in 0..3 {
            let (drops, clock) = (Drops(Arc::clone(&self.0)), room.clone());
            room.spawn(async move {
                let _drops = drops;
                clock.sleep(Duration::from_secs(3600)).await;
            });
        }
        let drops = Drops(Arc::clone(&self.0));
        let sleeper = Bell::new(); // rung by nobody
        room.spawn(async move {
            let _drops = drops;
            sleeper.wait().await;
        });
        room.sleep(MS).await;
        assert_eq!(self.0.load(Ordering::SeqCst), 0);
    }
}

#[test]
fn tasks_that_outlive_the_tenant_are_dropped_when_the_room_closes() {
    for executor in [Executor::IoUring, Executor::Epoll] {
        let drops = Arc::new(AtomicU64::new(0));
        if choose(executor).is_ok() {
            kit::lives(executor, LeavesTasksBehind(Arc::clone(&drops)));
            assert_eq!(drops.load(Ordering::SeqCst), 4, "{executor:?}");
        }
    }
}

behaviour!(connecting_reaches_a_listener_by_address_and_by_name(room, node: Node = Node::echo()) {
    room.connect("127.0.0.1", node.port()).await.unwrap();
    room.connect("localhost", node.port()).await.unwrap();
});

behaviour!(connecting_to_nobody_gives_the_systems_error(room, port: u16 = free_port()) {
    let Err(error) = room.connect("127.0.0.1", port).await else {
        panic!("somebody answered");
    };
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(room.connect("no-such-name.invalid", port).await.is_err());
});

behaviour!(work_is_given_up_after_its_limit(room) {
    let before = room.now();
    assert_eq!(within(&room, 30 * MS, pending::<()>()).await, None);
    let waited = room.now() - before;
    assert!(waited >= 30 * MS && waited < 30 * MS + SLACK, "{waited:?}");
    assert_eq!(within(&room, 30 * MS, async { 7 }).await, Some(7));
    let clock = room.clone();
    let late = async move {
        clock.sleep(MS).await;
        8
    };
    assert_eq!(within(&room, Duration::from_secs(20), late).await, Some(8));
});

behaviour!(a_bell_rung_by_another_thread_wakes_an_idle_room_promptly(room) {
    let (bell, rung) = (Bell::new(), Arc::new(Mutex::new(Instant::now())));
    let (ask, asked) = mpsc::channel::<()>();
    let ringer = {
        let (bell, rung) = (bell.clone(), Arc::clone(&rung));
        thread::spawn(move || {
            while asked.recv().is_ok() {
                thread::sleep(20 * MS); // until the room sleeps in the kernel, which nothing announces
                *rung.lock().unwrap() = Instant::now();
                bell.ring();
            }
        })
    };
    let mut waits = Vec::new();
    for _ in 0..20 {
        ask.send(()).unwrap();
        within(&room, Duration::from_secs(10), bell.wait()).await.expect("a ring was lost");
        waits.push(rung.lock().unwrap().elapsed());
    }
    drop(ask);
    ringer.join().unwrap();
    waits.sort();
    assert!(waits[10] < 5 * MS, "median {:?}", waits[10]);
});

behaviour!(no_ring_is_lost_when_another_thread_rings_as_fast_as_it_can(room) {
    const WORK: u64 = 200_000; // far more than glommio's 32,767 references of a task
    let (bell, done) = (Bell::new(), Arc::new(AtomicU64::new(0)));
    let ringer = {
        let (bell, done) = (bell.clone(), Arc::clone(&done));
        thread::spawn(move || {
            for _ in 0..WORK {
                done.fetch_add(1, Ordering::Release);
                bell.ring();
            }
        })
    };
    let mut seen = 0;
    while seen < WORK {
        within(&room, Duration::from_secs(10), bell.wait()).await.expect("a ring was lost");
        seen = done.load(Ordering::Acquire);
    }
    ringer.join().unwrap();
});

behaviour!(an_idle_room_uses_no_cpu(room) {
    let cpu = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
    };
    // Something of each kind to wait for: a bell, a timer, a far timer.
    let bell = Bell::new();
    let ringless = bell.clone();
    room.spawn(async move { ringless.wait().await });
    let clock = room.clone();
    room.spawn(async move { clock.sleep(Duration::from_secs(3600)).await });
    room.sleep(50 * MS).await;
    let before = cpu();
    room.sleep(Duration::from_secs(1)).await;
    let used = cpu() - before;
    assert!(used < 5 * MS, "{used:?} in one idle second");
});

behaviour!(several_tasks_sleep_and_wake_in_the_order_of_their_times(room) {
    let order = Rc::new(RefCell::new(Vec::new()));
    let left = Rc::new(Cell::new(3));
    let all = Bell::new();
    for wait_ms in [60, 20, 40] {
        let (clock, order, left, all) = (room.clone(), Rc::clone(&order), Rc::clone(&left), all.clone());
        room.spawn(async move {
            clock.sleep(wait_ms * MS).await;
            order.borrow_mut().push(wait_ms);
            left.set(left.get() - 1);
            if left.get() == 0 {
                all.ring();
            }
        });
    }
    all.wait().await;
    assert_eq!(*order.borrow(), [20, 40, 60]);
});

struct Nobody;

impl Tenant for Nobody {
    async fn live<R: Room>(self, _room: R) {}
}

struct SaysWhichCpu(mpsc::Sender<usize>);

impl Tenant for SaysWhichCpu {
    async fn live<R: Room>(self, _room: R) {
        self.0.send(rustix::thread::sched_getcpu()).unwrap();
    }
}

#[test]
fn a_pinned_room_runs_where_it_was_told() {
    let cpus = rustix::thread::sched_getaffinity(None).unwrap();
    let cpu = (0..rustix::thread::CpuSet::MAX_CPU).rev().find(|&cpu| cpus.is_set(cpu)).unwrap();
    for executor in [Executor::Auto, Executor::Epoll] {
        let (tell, told) = mpsc::channel();
        let chosen = choose(executor).unwrap();
        thread::spawn(move || open(chosen, Some(cpu), SaysWhichCpu(tell)).unwrap()).join().unwrap();
        assert_eq!(told.recv().unwrap(), cpu);
    }
}

#[test]
fn a_processor_that_does_not_exist_is_named() {
    for cpu in [900, 1_000_000] {
        let error = open(Chosen::Epoll, Some(cpu), Nobody).unwrap_err();
        assert!(matches!(error, RoomError::Cpu { .. }));
        assert!(error.to_string().contains(&format!("processor {cpu}")), "{error}");
    }
}

#[test]
fn rooms_can_be_opened_one_after_another_and_side_by_side_on_threads() {
    for executor in [Executor::Auto, Executor::Epoll] {
        let chosen = choose(executor).unwrap();
        open(chosen, None, Nobody).unwrap();
        open(chosen, None, Nobody).unwrap();
        let rooms: Vec<_> = (0..8).map(|_| thread::spawn(move || open(chosen, None, Nobody))).collect();
        for room in rooms {
            room.join().unwrap().unwrap();
        }
    }
}
