//! The transaction manager of one shard: all its addresses as one pure state machine.
//!
//! ```text
//!            submit ─► can it be bound now? ──no──► Accepted record ──► queue on disk ─┐
//!                            │ yes                                                     │ window, nonce, price free
//!                            ▼                                                         ▼
//!                     nonce, sign job ◄──────────────────────── pump ◄───────────── load
//!                            ▼
//!                    Bound record ──► durable: acknowledge *and* send ──► lane ──► node
//!                            ▲                                              │
//!          higher price ─────┘◄── resubmission due, underpriced ◄───────────┤
//!                                                                           ▼
//!                              block ──► effects ──► stored ──► confirmed ──► archived
//! ```
//!
//! It promises: nothing is acknowledged or sent before its record is on disk; a nonce is given to other bytes only while no
//! record of it is on disk; bytes whose fate is unknown are sent again as they are. It may lose nothing. What it cannot do
//! now it keeps and says so in the metrics, and goes on when the cause has gone.
//!
//! Each file holds what one kind of event does: `submit`, `arrivals`, `bind`, `commit`, `send`, `reprice`, `block`, `displaced`, `holes`, `pause`, `orders`, `switch`,
//! `recover`, `funds`, `signer`; `slots` and `resend` decide whose turn it is. Events are handled in runs; [`Manager::flush`] ends a run with one commit and full
//! requests.

mod arrivals;
mod bind;
mod block;
mod census;
mod commit;
mod displaced;
mod funds;
#[cfg(test)]
mod funds_tests;
mod holes;
mod inspect;
mod orders;
mod pause;
mod recover;
mod reprice;
mod resend;
mod send;
mod signer;
#[cfg(test)]
mod signer_tests;
mod slots;
mod submit;
mod switch;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use holes::filler_id;
pub use holes::is_filler;
pub use signer::Refusals;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use alloy::primitives::Address;
use alloy::primitives::map::AddressMap;
use storage::Record;

use self::arrivals::Arrivals;
use self::commit::{Pending, Saved};
use self::orders::{Orders, Watched, check};
use self::send::LaneQueue;
use super::event::{Action, Event, Now, SignJob, Slot};
use super::gas_price::GasPrice;
use super::orchestrator::state::State;
use super::orchestrator::{NonceState, Orchestrator};
use super::pool::Pool;
use super::transaction::InFlight;
use crate::config::{GasConfig, TxmgrConfig};

/// What the manager depends on.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Gas price.
    pub gas: GasConfig,
    /// Transactions.
    pub txmgr: TxmgrConfig,
    /// Connections that carry transactions.
    pub lanes: usize,
    /// Most attempts in one request.
    pub batch_calls: usize,
    /// Most bytes of attempts in one request, before hex encoding.
    pub batch_bytes: usize,
}

/// All addresses of one shard.
#[derive(Debug)]
pub struct Manager {
    settings: Settings,
    /// Boxed: while many new addresses come, a list that grows moves pointers and not the addresses' states.
    #[allow(clippy::vec_box)]
    addresses: Vec<Box<Orchestrator>>,
    numbers: AddressMap<u32>,
    gas_price: GasPrice,
    chain_id: Option<u64>,
    node_healthy: bool,
    caught_up: bool,
    store_healthy: bool,
    bind_again_at: Option<Duration>,
    head: u64,
    /// The newest block whose receipts were looked at; it may not be on disk yet.
    seen: u64,
    lanes: Vec<LaneQueue>,
    jobs: Vec<SignJob>,
    next_job: u64,
    records: Vec<Record>,
    saved: Vec<Saved>,
    next_ticket: u64,
    pending: VecDeque<Pending>,
    price_waiters: BTreeSet<u32>,
    active: BTreeSet<u32>,
    chores: BTreeSet<u32>,
    unfunded: BTreeSet<u32>,
    touched: BTreeMap<u64, BTreeSet<u32>>,
    floors: BTreeSet<u32>,
    timers: BTreeSet<(Duration, u32)>,
    armed: BTreeSet<Duration>,
    pool: Pool,
    /// How many addresses are in each state, in the order of [`State::ALL`]; and what the metrics were told of that.
    states: [i64; State::ALL.len()],
    states_told: [i64; State::ALL.len()],
    /// Addresses whose oldest transaction is looked at when a block with this number is stored.
    resends: BTreeMap<u64, Vec<u32>>,
    /// Transactions that a lower market price lets go on.
    held: BTreeSet<Slot>,
    orders: Orders,
    arrivals: Arrivals,
    /// Transactions on which others depend.
    watched: Watched,
}

impl Manager {
    /// A manager with no addresses.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            gas_price: GasPrice::new(&settings.gas),
            lanes: (0..settings.lanes).map(|_| LaneQueue::default()).collect(),
            pool: Pool::new(settings.txmgr.max_orchestrators),
            settings,
            addresses: Vec::new(),
            numbers: AddressMap::default(),
            chain_id: None,
            node_healthy: false,
            caught_up: false,
            store_healthy: true,
            bind_again_at: None,
            head: 0,
            seen: 0,
            jobs: Vec::new(),
            next_job: 0,
            records: Vec::new(),
            saved: Vec::new(),
            next_ticket: 1,
            pending: VecDeque::new(),
            price_waiters: BTreeSet::new(),
            active: BTreeSet::new(),
            chores: BTreeSet::new(),
            unfunded: BTreeSet::new(),
            touched: BTreeMap::new(),
            floors: BTreeSet::new(),
            timers: BTreeSet::new(),
            armed: BTreeSet::new(),
            states: [0; State::ALL.len()],
            states_told: [0; State::ALL.len()],
            resends: BTreeMap::new(),
            held: BTreeSet::new(),
            orders: Orders::default(),
            arrivals: Arrivals::default(),
            watched: Watched::default(),
        }
    }

    /// Handles one event. What has to be done is appended to `actions`; records and sign jobs are gathered until
    /// [`Self::sign`] and [`Self::flush`].
    pub fn handle(&mut self, event: Event, now: Now, actions: &mut Vec<Action>) {
        match event {
            Event::Recovered(address) => self.recovered(&address, now, actions),
            Event::Submit(accept, reply_to) => self.submit(accept, reply_to, now, actions),
            Event::Signed(results) => self.signed(results, now, actions),
            Event::Durable { ticket } => self.durable(ticket, now, actions),
            Event::Refused => self.refused(now, actions),
            Event::Store { healthy } => self.store(healthy, now, actions),
            Event::Sent { lane, ends, pause } => self.sent(lane, ends, pause, now, actions),
            Event::Price(price) => self.priced(price, now, actions),
            Event::BlobBaseFee(wei) => self.gas_price.blobs_cost(wei),
            Event::ClearPrice => self.gas_price.invalidate(),
            Event::ChainNonce(address, count) => self.chain_nonce(address, count, now, actions),
            Event::Delegated(address, delegated) => {
                let number = self.number(address);
                self.at(number).delegated = delegated;
            }
            Event::Balance(address, wei) => self.balance_read(address, wei, now, actions),
            Event::Estimated(id, request, estimate) => self.estimated(id, &request, estimate, now, actions),
            Event::Loaded(address, waiters) => self.loaded(address, waiters, now, actions),
            Event::Block(block) => self.block(&block, actions),
            Event::Rivals { number, hash, taken } => self.rivals(number, hash, &taken, now, actions),
            Event::Request(slot, id, row) => self.request(slot, id, row, now),
            Event::Rewind { to } => self.rewind(to, now, actions),
            Event::BlockStored { number, newest } => self.block_stored(number, newest, now, actions),
            Event::Node { healthy, chain_id } => self.node(healthy, chain_id, now, actions),
            Event::Switched => self.switched(now, actions),
            Event::Pause { address, until, ask } => self.pause(address, until, ask, actions),
            Event::Order { id, from, command, ask } => self.order(id, from, command, ask, actions),
            Event::Case(id, case) => self.case(id, case.map(|case| *case), now, actions),
            Event::Watch { dependency, dependent, from } => {
                self.watched.more(dependency, 1);
                actions.push(Action::Tell(from, Box::new(check(dependent, from))));
            }
            Event::Unwatch(dependency) => self.watched.more(dependency, -1),
            Event::Watched(dependency, count) => self.watched.more(dependency, count),
            Event::Shutdown => {
                self.node_healthy = false;
                self.all_arrived(now, actions);
                self.shutdown();
            }
            Event::Tick => self.tick(now, actions),
        }
        self.rotate(now, actions);
    }

    /// Takes the sign jobs gathered so far; to be signed before the run ends, so that one commit carries the run.
    pub fn sign(&mut self) -> Vec<SignJob> {
        take_run(&mut self.jobs)
    }

    /// Ends a run: one commit with all its records, and a request for every free lane that has something to send.
    pub fn flush(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.orders_due(now, actions);
        self.commit(actions);
        self.dispatch(now, actions);
        self.tell_states(actions);
        let timer = self.timers.first().map(|timer| timer.0);
        let next = [timer, self.lane_due(now), self.bind_again_at, self.pool_wake(now), self.held_wake()].into_iter().flatten().min();
        // A later one that is armed already still comes; only an earlier one needs a sleeper of its own.
        if let Some(at) = next.filter(|at| self.armed.first().is_none_or(|armed| at < armed)) {
            self.armed.insert(at);
            actions.push(Action::WakeAt(at));
        }
    }

    /// Sign jobs gathered so far: bounds a run.
    #[must_use]
    pub fn jobs(&self) -> usize {
        self.jobs.len()
    }

    /// The address of a slot, if there is one.
    #[must_use]
    pub fn address(&self, slot: Slot) -> Option<Address> {
        self.addresses.get(slot.address as usize).map(|orchestrator| orchestrator.address)
    }

    /// Transactions that are bound, and ones that wait, over all addresses.
    #[cfg(test)]
    pub(crate) fn open(&self) -> (usize, u64) {
        self.addresses.iter().fold((0, 0), |(bound, waiting), address| {
            let queue = &address.waiting;
            (bound + address.in_flight.len(), waiting + queue.count())
        })
    }

    /// The address's state, made on first use.
    fn number(&mut self, address: Address) -> u32 {
        if let Some(number) = self.numbers.get(&address) {
            return *number;
        }
        let number = u32::try_from(self.addresses.len()).expect("fewer addresses than fit the memory");
        self.numbers.insert(address, number);
        let lane = lane_of(&address, self.settings.lanes);
        let max_in_flight = self.settings.txmgr.max_in_flight_of(&address);
        self.addresses.push(Box::new(Orchestrator::new(address, lane, max_in_flight)));
        self.states[State::Stopped as usize] += 1;
        number
    }

    fn at(&mut self, number: u32) -> &mut Orchestrator {
        &mut self.addresses[number as usize]
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut InFlight> {
        self.addresses.get_mut(slot.address as usize)?.get_mut(slot.nonce)
    }

    /// Looks at the address again at this time, or earlier.
    fn wake(&mut self, number: u32, at: Duration) {
        let address = &mut self.addresses[number as usize];
        if address.wake_at.is_none_or(|earlier| at < earlier) {
            if let Some(earlier) = address.wake_at.replace(at) {
                self.timers.remove(&(earlier, number));
            }
            self.timers.insert((at, number));
        }
    }

    fn tick(&mut self, now: Now, actions: &mut Vec<Action>) {
        self.armed = self.armed.split_off(&(now.elapsed + Duration::from_nanos(1)));
        if self.bind_again_at.is_some_and(|at| at <= now.elapsed) {
            self.bind_again_at = None;
            self.pump_all(now, actions);
        }
        self.pool_due(now);
        self.held_due(now, actions);
        while let Some((at, number)) = self.timers.first().copied() {
            if at > now.elapsed {
                break;
            }
            self.timers.remove(&(at, number));
            self.at(number).wake_at = None;
            self.look(number, now, actions);
            self.arrivals_due(number, now, actions);
            self.pump(number, now, actions);
            self.stale_due(number, now, actions);
            self.pause_due(number, now, actions);
        }
    }

    fn store(&mut self, healthy: bool, now: Now, actions: &mut Vec<Action>) {
        let was = std::mem::replace(&mut self.store_healthy, healthy);
        match (was, healthy) {
            (false, true) => self.pump_all(now, actions),
            (true, false) => {
                self.unknown(actions);
                self.all_arrived(now, actions);
            }
            (true, true) | (false, false) => {}
        }
    }

    fn node(&mut self, healthy: bool, chain_id: Option<u64>, now: Now, actions: &mut Vec<Action>) {
        self.chain_id = self.chain_id.or(chain_id);
        let was = std::mem::replace(&mut self.node_healthy, healthy);
        if healthy && !was {
            self.pump_all(now, actions);
        }
    }

    fn chain_nonce(&mut self, address: Address, count: Option<u64>, now: Now, actions: &mut Vec<Action>) {
        let number = self.number(address);
        match count {
            Some(count) => {
                self.look_for_hole(number, count, now, actions);
                let address = self.at(number);
                address.chain_nonce(count);
                // It is the answer that is fresh now, however long the question has waited.
                address.active_at = now.elapsed;
            }
            None => {
                self.at(number).nonce = NonceState::Unknown;
                let retry = Duration::from_millis(self.settings.txmgr.retry_min_ms);
                self.wake(number, now.elapsed + retry);
                self.chain_answered(number, now, actions);
                return;
            }
        }
        self.chain_answered(number, now, actions);
        self.pump(number, now, actions);
    }
}

/// The lane of an address: always the same, so that its transactions keep one order.
fn lane_of(address: &Address, lanes: usize) -> usize {
    // The last bytes of an address are as good as a hash; placement uses the first ones.
    let tail = u64::from_be_bytes(address[12..20].try_into().expect("eight bytes"));
    usize::try_from(tail % lanes.max(1) as u64).expect("below the number of lanes")
}

/// Takes what a run has gathered. The next run is likely to gather as much, and a list that grows step by step is copied at each.
fn take_run<T>(run: &mut Vec<T>) -> Vec<T> {
    let next = Vec::with_capacity(run.len());
    std::mem::replace(run, next)
}
