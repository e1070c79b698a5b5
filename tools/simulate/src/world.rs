//! One seed: callers, an engine that crashes and starts again, a node, faults for a while, and the end.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy::primitives::{Address, B256, keccak256};
use engine::config::{BlobProofs, Config};
use engine::engine::{Assembly, Clock, Surroundings, assemble};
use engine::keys::Keyring;
use engine::metrics::Metrics;
use engine::readers::Readers;
use engine::shard::Shard;
use engine::txmgr::stage::Stage;
use netio::{Bell, Room, within};
use storage::{Turn, Writer};

use crate::check::invariants;
use crate::executor::{Executor, Process};
use crate::faults::{Fault, Tally, draw};
use crate::feed::follower;
use crate::finality;
use crate::load::{Book, Plan, Present, Running, caller, pauser, sidecar};
use crate::meddler::meddler;
use crate::node::{Node, WORLD};
use crate::points::Points;
use crate::room::SimRoom;
use crate::settings::config;
use crate::signer::{Signatures, SimSigner, deliver};
use crate::store::{DiskFault, MemoryStore};

/// Addresses of one seed.
pub(crate) const ADDRESSES: u64 = 5;
/// Transactions of one seed.
const TRANSACTIONS: u64 = 200;
/// Faults of one seed.
const FAULTS: u64 = 12;
/// Callers of one seed.
const CALLERS: usize = 4;
/// Those, who pauses, who changes his mind, and who follows the feed.
const TASKS: usize = CALLERS + 3;
/// Longest wait of a fault for the stage it is aimed at.
pub(crate) const AIM: Duration = Duration::from_secs(3);
/// Longest time between two faults.
const BETWEEN_FAULTS: Duration = Duration::from_secs(2);
/// Virtual time between two looks at whether all has ended.
const LOOK: Duration = Duration::from_millis(200);
/// All must have ended by this virtual time: twenty times what a calm run takes.
const LIMIT: Duration = Duration::from_secs(300);

/// What runs did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    seeds: u64,
    blocks: u64,
    last_block: B256,
    starts: u64,
    faults: Tally,
}

impl Outcome {
    /// Cells of the matrix fault × stage that no seed has met, although they can be.
    pub(crate) fn unmet(&self) -> Vec<String> {
        self.faults.unmet()
    }

    /// Sums.
    pub(crate) fn add(&mut self, other: &Self) {
        self.last_block ^= other.last_block;
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

/// One seed's world.
pub(crate) struct World {
    /// Time and chance.
    pub(crate) executor: Executor,
    /// The node.
    pub(crate) node: Rc<Node>,
    /// The disk.
    pub(crate) store: MemoryStore,
    keys: Keyring,
    signer: Arc<SimSigner>,
    /// The engine's configuration.
    pub(crate) config: Config,
    shards: usize,
    /// The engine.
    pub(crate) present: Present,
    process: Cell<Process>,
    starts: Cell<u32>,
    clock_us: Arc<AtomicU64>,
    points: Points,
    /// A fault that strikes as soon as a transaction is in that stage.
    pub(crate) aimed: Cell<Option<(Stage, Fault)>>,
    /// Rung when it has struck.
    pub(crate) struck: Bell,
    /// The engine's newest block when the chain went past what is final.
    pub(crate) stands_at: Cell<Option<(u64, B256)>>,
    /// How a run ended that ends otherwise than by the end of all work.
    pub(crate) verdict: RefCell<Option<Result<(), String>>>,
}

/// Runs one seed.
///
/// # Errors
/// The promise that was broken.
pub(crate) fn run_seed(seed: u64) -> Result<Outcome, String> {
    let executor = Executor::new(seed);
    let outcome = run(executor.clone());
    executor.clear();
    outcome
}

fn run(executor: Executor) -> Result<Outcome, String> {
    let secrets = (0..ADDRESSES).map(|number| keccak256(number.to_be_bytes())).collect::<Vec<B256>>();
    let keys = Keyring::from_secrets(secrets).map_err(|error| error.to_string())?;
    let addresses: Vec<Address> = keys.addresses().collect();
    let used_before = addresses.iter().map(|address| (*address, executor.below(3) * executor.below(4))).collect();
    let clock_us = Arc::new(AtomicU64::default());
    // One seed in sixteen recovers every sender.
    let signatures = Signatures::new(executor.below(16) > 0);
    // One seed in three has a signer on another machine.
    let (signer, promised) = SimSigner::new(keys.clone(), signatures.clone(), Arc::clone(&clock_us), executor.below(3) == 0);
    if let Some(promised) = promised {
        executor.spawn(WORLD, deliver(executor.clone(), promised));
    }
    let world = Rc::new(World {
        node: Rc::new(Node::new(executor.clone(), keys.clone(), signatures)),
        store: MemoryStore::default(),
        shards: usize::try_from(executor.below(3) + 1).unwrap_or(1),
        config: config(&executor),
        keys,
        signer: Arc::new(signer),
        present: Rc::default(),
        process: Cell::new(WORLD),
        starts: Cell::default(),
        clock_us,
        points: Points::default(),
        aimed: Cell::default(),
        struck: Bell::new(),
        stands_at: Cell::default(),
        verdict: RefCell::default(),
        executor,
    });
    // Half of the seeds send blobs.
    let cells = world.config.txmgr.blob_proofs == BlobProofs::Cells;
    let blobs = (world.executor.below(2) == 0).then(|| sidecar(cells));
    let plan = Rc::new(Plan { addresses, transactions: TRANSACTIONS, used_before, blobs });
    plan.used_before.iter().for_each(|(address, count)| world.node.used_before(*address, *count));
    world.store.watch(world.config.txmgr.required_confirmations, world.config.txmgr.finality_depth);
    world.points.watch();
    world.node.reorg_depth_max.set(world.config.txmgr.finality_depth - 1);
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
    let (present, pauses) = (Rc::clone(&world.present), Rc::clone(&calm));
    world.executor.spawn(WORLD, pauser(world.executor.clone(), present, Rc::clone(&book), Rc::clone(&plan), pauses));
    let (present, orders) = (Rc::clone(&world.present), Rc::clone(&calm));
    let store = world.store.clone();
    world.executor.spawn(WORLD, meddler(world.executor.clone(), present, Rc::clone(&book), Rc::clone(&plan), store, orders));
    let (present, ends) = (Rc::clone(&world.present), Rc::clone(&calm));
    world.executor.spawn(WORLD, follower(world.executor.clone(), present, Rc::clone(&book), world.store.clone(), ends));
    let (mut failure, mut next_look) = (None, Duration::ZERO);
    let ended = world.executor.run_until(LIMIT, || {
        let now = world.executor.unix_time();
        world.clock_us.store(u64::try_from(now.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        for fault in world.store.take_happened() {
            world.node.note(fault);
        }
        for fault in world.signer.take_happened() {
            world.node.note(fault);
        }
        if world.store.take_death() {
            world.crash(None);
        }
        if let Some(fault) = world.points.take_death() {
            world.crash(Some(fault));
        }
        world.strike_if_aimed();
        book.borrow_mut().broken.extend(world.store.take_broken());
        // Once the chain has gone past what is final, what was final may be in the pool again.
        let broken = world.node.take_broken();
        if world.stands_at.get().is_none() {
            book.borrow_mut().broken.extend(broken);
        }
        if !book.borrow().broken.is_empty() {
            return true;
        }
        if let Some(verdict) = world.verdict.borrow_mut().take() {
            failure = verdict.err();
            return true;
        }
        let look = calm.get() && book.borrow().done == TASKS && world.executor.now() >= next_look;
        look && {
            // Ever more rarely: a world that has stopped is looked at to the end.
            next_look = world.executor.now() + LOOK + world.executor.now() / 64;
            failure = invariants(&book.borrow(), &plan, &world.node, &world.store, &world.config.txmgr).err();
            failure.is_none()
        }
    });
    let outcome = Outcome {
        seeds: 1,
        blocks: world.node.blocks().len() as u64,
        last_block: world.node.blocks().last().map_or(B256::ZERO, |block| block.hash),
        starts: u64::from(world.starts.get()),
        faults: world.node.tally(),
    };
    let stands = if ended { String::new() } else { stands(&world, &plan) };
    world.present.borrow_mut().take();
    if let Some(broken) = book.borrow().broken.first() {
        return Err(broken.clone());
    }
    if ended {
        return failure.map_or(Ok(outcome), Err);
    }
    let open = format!("not ended after {:?}: {} of {} callers done", world.executor.now(), book.borrow().done, TASKS);
    Err(failure.map_or(open.clone(), |failure| format!("{open}; {failure}")) + &stands)
}

/// What the engine says of each address that has something open: why a world does not end.
fn stands(world: &World, plan: &Plan) -> String {
    let Some(running) = world.present.borrow().clone() else { return "; no engine runs".to_owned() };
    let (addresses, stands) = (plan.addresses.clone(), Rc::new(RefCell::new(String::new())));
    let told = Rc::clone(&stands);
    world.executor.spawn(WORLD, async move {
        for address in addresses {
            match running.engine.address(address).await {
                Ok(view) if view.waiting == 0 && view.in_flight == 0 => {}
                Ok(view) => told.borrow_mut().push_str(&format!("; {view:?}")),
                Err(error) => told.borrow_mut().push_str(&format!("; {address}: {error}")),
            }
        }
    });
    world.executor.run_until(world.executor.now() + LOOK, || false);
    stands.take()
}

/// Faults at random times until enough have taken effect, then none; then whatever is down comes up. Half of them wait for a
/// transaction in a stage that is drawn too: some stages last for milliseconds.
async fn trouble(world: Rc<World>, calm: Rc<Cell<bool>>) {
    let room = world.room();
    // One seed in eight ends in another chain, while there is work to do still.
    let other_chain = world.executor.below(8) == 0;
    let enough = if other_chain { world.executor.below(FAULTS) } else { FAULTS };
    while world.node.tally().total() < enough {
        world.executor.sleep(world.executor.between(Duration::ZERO, BETWEEN_FAULTS)).await;
        let fault = draw(&world.executor);
        let stage = world.stage();
        if world.executor.below(2) == 0 {
            world.strike(fault);
            if matches!(fault, Fault::Rival | Fault::Authorized) && world.executor.below(2) == 0 {
                // What the other wallet used opens again when something of ours may be bound behind it.
                world.executor.sleep(world.executor.between(Duration::from_secs(1), Duration::from_secs(4))).await;
                world.strike(Fault::Reorg);
            }
            continue;
        }
        world.lead_to(stage);
        world.aimed.set(Some((stage, fault)));
        within(&room, AIM, world.struck.wait()).await;
        world.aimed.set(None);
    }
    world.node.calm();
    world.store.arm(None);
    world.points.arm(None);
    world.signer.calm();
    if other_chain {
        return finality::end(world).await;
    }
    calm.set(true);
}

impl World {
    /// A room of what is not the engine.
    pub(crate) fn room(&self) -> SimRoom {
        SimRoom::new(self.executor.clone(), WORLD, Rc::clone(&self.node))
    }

    /// One stage, drawn from the seed.
    pub(crate) fn stage(&self) -> Stage {
        Stage::ALL[usize::try_from(self.executor.below(Stage::ALL.len() as u64)).unwrap_or(0)]
    }

    /// Brings a transaction into a stage that is rarely met by itself.
    pub(crate) fn lead_to(&self, stage: Stage) {
        match stage {
            Stage::StatusUpdate => self.node.fault(Fault::Invalid),
            // What is in the pool stays there until its resubmission is due, and then nobody knows a price.
            Stage::RetrieveGasPrice => {
                self.node.fault(Fault::FeeSpike);
                self.node.fault(Fault::PriceUnknown);
            }
            Stage::Queued | Stage::Signing | Stage::Submitting | Stage::Tracking | Stage::Complete => {}
        }
    }

    /// The aimed fault strikes if its stage is met.
    fn strike_if_aimed(self: &Rc<Self>) {
        let Some((stage, fault)) = self.aimed.get() else { return };
        if self.node.stages()[stage as usize] > 0 && (!fault.is_last() || finality::follows(self).is_some()) {
            self.aimed.set(None);
            self.strike(fault);
            self.struck.ring();
        }
    }

    /// The fault strikes now, or as soon as what it concerns happens.
    pub(crate) fn strike(self: &Rc<Self>, fault: Fault) {
        let below = |end: u64| u32::try_from(self.executor.below(end)).unwrap_or(0);
        match fault {
            Fault::Crash => self.crash(Some(Fault::Crash)),
            Fault::ClockJumps => {
                self.executor.jump();
                self.node.note(fault);
            }
            Fault::CrashInCommit => self.store.arm(Some(DiskFault { fault, written: below(2) == 0, times: 1, again: false, shut: 0 })),
            Fault::CommitUnknownThere | Fault::CommitUnknownGone | Fault::DiskSlow => {
                self.store.arm(Some(DiskFault { fault, written: fault == Fault::CommitUnknownThere, times: 1, again: false, shut: 0 }));
            }
            Fault::DiskFails => {
                self.store.arm(Some(DiskFault { fault, written: below(2) == 0, times: below(4) + 2, again: false, shut: below(8) }));
            }
            Fault::SignerHangs | Fault::SignerFails => {
                let place = usize::try_from(self.executor.below(ADDRESSES)).unwrap_or(0);
                let time = self.executor.between(Duration::from_millis(200), Duration::from_secs(6));
                if let Some(address) = self.keys.addresses().nth(place) {
                    self.signer.arm(fault, address, time);
                }
            }
            Fault::ReorgFinal | Fault::ReorgsFinal => finality::strike(self, fault),
            fault if fault.point().is_some() => self.points.arm(Some((fault, self.executor.below(6) + 1))),
            fault => self.node.fault(fault),
        }
    }

    /// Ends the engine between two steps, and starts it again a little later. Nothing happens while it is down.
    pub(crate) fn crash(self: &Rc<Self>, fault: Option<Fault>) {
        if self.present.borrow_mut().take().is_none() {
            return;
        }
        if let Some(fault) = fault {
            self.node.note(fault);
        }
        self.executor.kill(self.process.get());
        self.node.watch(None);
        self.points.arm(None);
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
        let surroundings = Surroundings {
            store: self.store.clone(),
            provers: readers.clone(),
            readers,
            keys: self.keys.clone(),
            signer: self.signer.clone(),
            clock,
            salt: number,
            metrics: Metrics::new(),
        };
        let Assembly { engine, shards, writer, .. } =
            assemble(&self.config, self.shards, surroundings).map_err(|error| format!("{error:#}"))?;
        for parts in shards {
            room.spawn(Shard::run(room.clone(), parts));
        }
        room.spawn(write(writer, room.clone(), self.executor.clone(), self.store.clone()));
        engine.census().keep_current();
        self.node.watch(Some(Arc::clone(engine.census())));
        *self.present.borrow_mut() = Some(Running { engine, process });
        Ok(())
    }
}

/// The writer's thread, as a task: a turn takes as long as a sync does.
async fn write(mut writer: Writer<MemoryStore>, room: SimRoom, executor: Executor, store: MemoryStore) {
    let bell = Bell::new();
    let ring = bell.clone();
    writer.on_submit(Arc::new(move || ring.ring()));
    loop {
        bell.wait().await;
        loop {
            // A disk that fails is often slow before.
            let slow = !writer.is_idle() && (store.take_slow() || (store.will_fail() && executor.below(2) == 0));
            writer.begin();
            let longest = if slow { Duration::from_secs(4) } else { Duration::from_millis(4) };
            room.sleep(executor.between(longest / 16, longest)).await;
            match writer.turn() {
                Turn::Idle => break,
                Turn::Wrote => {}
                Turn::Recovering => room.sleep(executor.between(Duration::from_millis(10), Duration::from_millis(500))).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::run_seed;

    #[test]
    fn the_same_seed_gives_the_same_run_and_another_one_does_not() {
        let (first, again, other) = (run_seed(7), run_seed(7), run_seed(8));
        assert_eq!(first, again);
        assert_ne!(first, other);
    }
}
