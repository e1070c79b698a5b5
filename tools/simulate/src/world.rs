//! One seed: callers, an engine that crashes and starts again, a node, faults for a while, and the end.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy::primitives::{B256, keccak256};
use engine::config::{Config, GasConfig, NodeConfig, ShardsConfig, TxmgrConfig};
use engine::engine::{Assembly, Clock, Surroundings, assemble};
use engine::keys::Keyring;
use engine::metrics::Metrics;
use engine::readers::Readers;
use engine::shard::Shard;
use netio::{Bell, Room};
use storage::{Turn, Writer};

use crate::check::invariants;
use crate::executor::{Executor, Process};
use crate::faults::{Fault, Tally, draw};
use crate::load::{Book, Plan, Present, caller};
use crate::node::{CHAIN_ID, Node, WORLD};
use crate::room::{EPOCH, SimRoom};
use crate::store::{MemoryStore, NextAppend};

/// Addresses of one seed.
const ADDRESSES: u64 = 5;
/// Transactions of one seed.
const TRANSACTIONS: u64 = 200;
/// Faults of one seed.
const FAULTS: u64 = 10;
/// Callers of one seed.
const CALLERS: usize = 4;
/// Faults happen within this much virtual time.
const FAULTY: Duration = Duration::from_secs(15);
/// All must have ended by this virtual time: a hundred times what a calm run takes.
const LIMIT: Duration = Duration::from_secs(1200);

/// What runs did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    seeds: u64,
    blocks: u64,
    starts: u64,
    faults: Tally,
}

impl Outcome {
    /// Sums.
    pub(crate) fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.blocks += other.blocks;
        self.starts += other.starts;
        self.faults.add(&other.faults);
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transactions = self.seeds * TRANSACTIONS;
        writeln!(f, "{} seeds, {transactions} transactions, {} blocks, {} starts of the engine", self.seeds, self.blocks, self.starts)?;
        write!(f, "{}", self.faults)
    }
}

struct World {
    executor: Executor,
    node: Rc<Node>,
    store: MemoryStore,
    keys: Keyring,
    config: Config,
    shards: usize,
    present: Present,
    process: Cell<Process>,
    starts: Cell<u32>,
    clock_us: Arc<AtomicU64>,
}

/// Runs one seed.
///
/// # Errors
/// The promise that was broken.
pub(crate) fn run_seed(seed: u64) -> Result<Outcome, String> {
    let executor = Executor::new(seed);
    let secrets = (0..ADDRESSES).map(|number| keccak256(number.to_be_bytes())).collect::<Vec<B256>>();
    let keys = Keyring::from_secrets(secrets).map_err(|error| error.to_string())?;
    let plan = Rc::new(Plan { addresses: keys.addresses().collect(), transactions: TRANSACTIONS });
    let world = Rc::new(World {
        node: Rc::new(Node::new(executor.clone())),
        store: MemoryStore::default(),
        shards: usize::try_from(executor.below(3) + 1).unwrap_or(1),
        config: config(&executor),
        keys,
        present: Rc::default(),
        process: Cell::new(WORLD),
        starts: Cell::default(),
        clock_us: Arc::default(),
        executor,
    });
    world.executor.spawn(WORLD, Rc::clone(&world.node).mine());
    world.start()?;
    let book = Rc::new(RefCell::new(Book::default()));
    for number in 0..CALLERS as u64 {
        let numbers = (0..TRANSACTIONS).filter(|transaction| transaction % CALLERS as u64 == number).collect();
        let (present, book, plan) = (Rc::clone(&world.present), Rc::clone(&book), Rc::clone(&plan));
        world.executor.spawn(WORLD, caller(world.executor.clone(), present, book, plan, numbers));
    }
    let calm = Rc::new(Cell::new(false));
    world.executor.spawn(WORLD, trouble(Rc::clone(&world), Rc::clone(&calm)));
    let mut failure = None;
    let ended = world.executor.run_until(LIMIT, || {
        let now = EPOCH + world.executor.now();
        world.clock_us.store(u64::try_from(now.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if world.store.take_death() {
            world.crash();
        }
        if !book.borrow().broken.is_empty() {
            return true;
        }
        calm.get() && book.borrow().done == CALLERS && {
            failure = invariants(&book.borrow(), &plan, &world.node, &world.store).err();
            failure.is_none()
        }
    });
    let outcome =
        Outcome { seeds: 1, blocks: world.node.blocks().len() as u64, starts: u64::from(world.starts.get()), faults: world.node.tally() };
    world.executor.kill(world.process.get());
    world.present.borrow_mut().take();
    if let Some(broken) = book.borrow().broken.first() {
        return Err(broken.clone());
    }
    if ended {
        return Ok(outcome);
    }
    Err(failure.unwrap_or_else(|| format!("not ended after {LIMIT:?}: {} of {CALLERS} callers done", book.borrow().done)))
}

fn config(executor: &Executor) -> Config {
    Config {
        node: NodeConfig {
            url: "http://node:1".into(),
            chain_id: Some(CHAIN_ID),
            connections: usize::try_from(executor.below(3) + 1).unwrap_or(1),
            batch_calls: usize::try_from(executor.below(20) + 2).unwrap_or(2),
            request_timeout_ms: 1000,
            ..NodeConfig::default()
        },
        shards: ShardsConfig { mailbox: 64, ..ShardsConfig::default() },
        gas: GasConfig { cache_ms: 2000, ..GasConfig::default() },
        txmgr: TxmgrConfig {
            max_in_flight: usize::try_from(executor.below(40) + 1).unwrap_or(1),
            resubmit_interval_ms: 4000,
            retry_min_ms: 50,
            retry_max_ms: 2000,
            finality_depth: executor.below(4) + 1,
            ..TxmgrConfig::default()
        },
        ..Config::default()
    }
}

/// Faults at random times, then none; then whatever is down comes up.
async fn trouble(world: Rc<World>, calm: Rc<Cell<bool>>) {
    let mut times: Vec<Duration> = (0..FAULTS).map(|_| world.executor.between(Duration::ZERO, FAULTY)).collect();
    times.sort();
    for time in times {
        world.executor.sleep(time.saturating_sub(world.executor.now())).await;
        match draw(&world.executor) {
            Fault::Crash => {
                world.node.note(Fault::Crash);
                world.crash();
            }
            fault @ Fault::CrashInCommit => {
                world.node.note(fault);
                world.store.next_append(NextAppend::Die { written: world.executor.below(2) == 0 });
            }
            fault @ Fault::CommitUnknownThere => {
                world.node.note(fault);
                world.store.next_append(NextAppend::Unknown { written: true });
            }
            fault @ Fault::CommitUnknownGone => {
                world.node.note(fault);
                world.store.next_append(NextAppend::Unknown { written: false });
            }
            fault => world.node.fault(fault),
        }
    }
    world.node.calm();
    world.store.next_append(NextAppend::Succeed);
    calm.set(true);
}

impl World {
    /// Ends the engine between two steps, and starts it again a little later.
    fn crash(self: &Rc<Self>) {
        if self.present.borrow_mut().take().is_none() {
            return;
        }
        self.executor.kill(self.process.get());
        let world = Rc::clone(self);
        self.executor.spawn(WORLD, async move {
            world.executor.sleep(world.executor.between(Duration::from_millis(1), Duration::from_secs(2))).await;
            world.start().expect("a store that was written by the engine can be read by it");
        });
    }

    /// A new process: everything from the store, nothing from memory.
    fn start(self: &Rc<Self>) -> Result<(), String> {
        let number = self.starts.get() + 1;
        self.starts.set(number);
        self.store.open_again();
        let process = Process(number);
        self.process.set(process);
        let room = SimRoom::new(self.executor.clone(), process, Rc::clone(&self.node));
        let (readers, serve) = Readers::detached(self.store.clone(), 256);
        room.spawn(serve);
        let now = Arc::clone(&self.clock_us);
        let clock: Clock = Arc::new(move || Duration::from_micros(now.load(Ordering::Relaxed)));
        let surroundings =
            Surroundings { store: self.store.clone(), readers, keys: self.keys.clone(), clock, salt: number, metrics: Metrics::new() };
        let Assembly { engine, shards, writer, .. } =
            assemble(&self.config, self.shards, surroundings).map_err(|error| format!("{error:#}"))?;
        for parts in shards {
            room.spawn(Shard::run(room.clone(), parts));
        }
        room.spawn(write(writer, room.clone(), self.executor.clone()));
        *self.present.borrow_mut() = Some(engine);
        Ok(())
    }
}

/// The writer's thread, as a task: a turn takes as long as a sync does.
async fn write(mut writer: Writer<MemoryStore>, room: SimRoom, executor: Executor) {
    let bell = Bell::new();
    let ring = bell.clone();
    writer.on_submit(Arc::new(move || ring.ring()));
    loop {
        bell.wait().await;
        loop {
            room.sleep(executor.between(Duration::from_micros(300), Duration::from_millis(4))).await;
            match writer.turn() {
                Turn::Idle => break,
                Turn::Wrote | Turn::Recovering => {}
            }
        }
    }
}
