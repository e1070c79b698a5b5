//! The side of who orders the transactions of a contract: it has them assembled and endorsed, and hands them to the public pipeline (rows C4,
//! C5, C9 to C13).
//!
//! ```text
//!   delegated ──► pool ──► run to its originator ──► endorsers ──► originator agrees ──► dispatch ──► mined
//!                  ▲            one at a time            │                                              │
//!                  └──── refused, timed out, assembled upon what will not be, reverted ◄────────────────┘
//! ```
//!
//! One run is assembled at a time, for what it may spend depends on what those before it spend; endorsement and dispatch of earlier runs go on
//! meanwhile. Nothing here is on disk: a coordinator that starts anew is delegated what it had.

mod assemble;
mod dispatch;
mod pool;
pub mod state;
pub mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use self::pool::{Pool, Turn};
use self::state::State;
use self::transaction::{Event as Change, Facts, Mined, State as Stage};
use super::dependencies::{Assembly, Dependencies};
use super::messages::{Assembled, Delegation, Message, Node, Try};
use super::settings::Settings;

/// What comes to a coordinator.
#[derive(Clone, Debug)]
pub enum Event {
    /// A message of another node, or of this one.
    Received(Node, Message),
    /// The public pipeline has taken a try.
    Collected(Try),
    /// A try was sent to the chain.
    Submitted(Try),
    /// The chain has mined a try.
    Mined(Try, Mined),
    /// Time has passed.
    Tick,
}

/// What a coordinator wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this.
    Send(Node, Message),
    /// Hand this to the public pipeline, once for each try; answered by [`Event::Collected`]. What it depends on was handed over before it.
    Dispatch(Try, Box<Assembled>),
}

#[derive(Clone, Debug)]
struct Transaction {
    stage: Stage,
    originator: Node,
    names: Vec<Uuid>,
    /// Number of its newest assembly.
    tries: u32,
    assembled: Option<Box<Assembled>>,
    endorsed_by: BTreeSet<Node>,
    /// When the request that is not answered was sent last.
    asked_at: Duration,
    failures: u32,
    /// Its place in the pool, while it is there.
    turn: Option<Turn>,
    not_before: Duration,
    mined: Mined,
}

impl Transaction {
    const fn newest(&self, id: Uuid) -> Try {
        Try { id, number: self.tries }
    }
}

/// A run that an originator assembles.
#[derive(Clone, Debug)]
struct Run {
    number: u64,
    originator: Node,
    tries: Vec<Try>,
    since: Duration,
    asked_at: Duration,
}

/// The coordinator of one contract at one node.
#[derive(Clone, Debug)]
pub struct Coordinator {
    settings: Settings,
    state: State,
    transactions: BTreeMap<Uuid, Transaction>,
    /// How many of them are in each state.
    stages: [usize; Stage::ALL.len()],
    /// Who names whom.
    named_by: BTreeMap<Uuid, BTreeSet<Uuid>>,
    pool: Pool,
    /// Those that wait for an endorser or for their originator, by when they were asked last.
    asked: BTreeSet<(Duration, Uuid)>,
    dependencies: Dependencies,
    run: Option<Run>,
    runs: u64,
    heartbeat_at: Duration,
}

impl Coordinator {
    /// One that coordinates nothing yet. `first_run` is higher than any number of a run that this node has used before, so that replies to a
    /// former process are told apart.
    #[must_use]
    pub fn new(settings: Settings, first_run: u64) -> Self {
        Self {
            settings,
            state: State::Idle,
            transactions: BTreeMap::new(),
            stages: [0; Stage::ALL.len()],
            named_by: BTreeMap::new(),
            pool: Pool::default(),
            asked: BTreeSet::new(),
            dependencies: Dependencies::default(),
            run: None,
            runs: first_run,
            heartbeat_at: Duration::ZERO,
        }
    }

    /// Its state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// State of one of its transactions.
    #[must_use]
    pub fn state_of(&self, id: Uuid) -> Option<Stage> {
        self.transactions.get(&id).map(|transaction| transaction.stage)
    }

    /// Handles one event; what has to be done is appended to `actions`.
    pub fn handle(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        match event {
            Event::Received(from, Message::Delegate(delegations)) => self.delegated(&from, delegations, now),
            Event::Received(from, Message::AssembleReply { run, outcomes }) => self.replied(&from, run, outcomes, now, actions),
            Event::Received(from, Message::EndorseReply(which, answer)) => self.endorsed(from, which, &answer, now, actions),
            Event::Received(from, Message::DispatchReply(which, agrees)) => self.answered(&from, which, agrees, now, actions),
            Event::Received(..) => {}
            Event::Collected(which) => self.told(which, Change::Collected),
            Event::Submitted(which) => {
                // It may be sent before it was told that it was taken.
                self.told(which, Change::Collected);
                self.told(which, Change::Submitted);
            }
            Event::Mined(which, mined) => self.mined(which, mined, now, actions),
            Event::Tick => self.tick(now, actions),
        }
        self.select(now, actions);
    }

    /// When [`Event::Tick`] has something to do at the latest.
    #[must_use]
    pub fn wake_after(&self) -> Duration {
        self.settings.heartbeat.min(self.settings.retry_min)
    }

    fn delegated(&mut self, from: &Node, delegations: Vec<Delegation>, now: Duration) {
        for Delegation { id, names, tries } in delegations {
            if let Some(known) = self.transactions.get_mut(&id) {
                // A repeat; what it named may have ended meanwhile. Numbers that another coordinator has used are not used again.
                known.tries = known.tries.max(if known.stage == Stage::Pooled { tries } else { 0 });
                self.name(id, names);
                self.change(id, Change::DependencyAssembled);
                continue;
            }
            let transaction = Transaction {
                stage: Stage::Pooled,
                originator: from.clone(),
                names: Vec::new(),
                tries,
                assembled: None,
                endorsed_by: BTreeSet::new(),
                asked_at: now,
                failures: 0,
                turn: None,
                not_before: now,
                mined: Mined::Success,
            };
            self.stages[Stage::Pooled as usize] += 1;
            self.transactions.insert(id, transaction);
            self.name(id, names);
            let stage = transaction::next(None, Change::Received, self.facts(id)).expect("one of two guards holds");
            self.enter(id, stage);
        }
        self.moves(state::Event::TransactionsDelegated);
    }

    /// It is the try that is wanted now, in this state.
    fn is(&self, which: Try, stage: Stage) -> bool {
        self.transactions.get(&which.id).is_some_and(|transaction| transaction.tries == which.number && transaction.stage == stage)
    }

    fn facts(&self, id: Uuid) -> Facts {
        let Some(transaction) = self.transactions.get(&id) else { return Facts::default() };
        // What is not here is parked, or somebody else has it. Its originator names it no longer once it has ended well.
        let missing = |other: &Uuid| !self.transactions.get(other).is_some_and(|other| other.stage.is_assembled());
        let attestation = transaction.assembled.as_ref().map(|assembled| &assembled.attestation);
        Facts {
            dependencies_assembled: !transaction.names.iter().any(missing),
            dependencies_ready: self.dependencies.may_be_dispatched(id),
            endorsed: attestation.is_some_and(|attestation| transaction.endorsed_by.len() >= attestation.threshold),
            assemble_timed_out: false,
            mined: transaction.mined,
        }
    }

    /// The one way in which a transaction's state changes; false if the table has nothing for this.
    fn change(&mut self, id: Uuid, change: Change) -> bool {
        let facts = self.facts(id);
        self.change_with(id, change, facts)
    }

    fn change_with(&mut self, id: Uuid, change: Change, facts: Facts) -> bool {
        let Some(stage) = self.state_of(id) else { return false };
        let Some(next) = transaction::next(Some(stage), change, facts) else { return false };
        if next != stage {
            self.enter(id, next);
        }
        true
    }

    fn enter(&mut self, id: Uuid, stage: Stage) {
        let Some(transaction) = self.transactions.get_mut(&id) else { return };
        self.stages[transaction.stage as usize] -= 1;
        self.stages[stage as usize] += 1;
        transaction.stage = stage;
        self.asked.remove(&(transaction.asked_at, id));
        self.pool.leave(&transaction.originator, transaction.turn.take());
        if !stage.is_assembled() {
            transaction.assembled = None;
            transaction.endorsed_by.clear();
        }
        match stage {
            Stage::Pooled => transaction.turn = Some(self.pool.enter(&transaction.originator, transaction.not_before, id)),
            Stage::Final => {
                self.name(id, Vec::new());
                self.stages[Stage::Final as usize] -= 1;
                self.transactions.remove(&id);
            }
            _ => {}
        }
    }

    /// It names these from now on.
    fn name(&mut self, id: Uuid, names: Vec<Uuid>) {
        let Some(transaction) = self.transactions.get_mut(&id) else { return };
        for name in std::mem::replace(&mut transaction.names, names) {
            if let Some(naming) = self.named_by.get_mut(&name) {
                naming.remove(&id);
                if naming.is_empty() {
                    self.named_by.remove(&name);
                }
            }
        }
        for name in &self.transactions[&id].names {
            self.named_by.entry(*name).or_default().insert(id);
        }
    }

    fn moves(&mut self, event: state::Event) {
        let count = |stages: &[Stage]| stages.iter().map(|stage| self.stages[*stage as usize]).sum::<usize>();
        let facts = state::Facts {
            open: self.transactions.len() - count(&[Stage::Confirmed, Stage::Reverted]),
            dispatched: count(&[Stage::ReadyForDispatch, Stage::Dispatched, Stage::Submitted]),
            ..state::Facts::default()
        };
        self.state = state::next(self.state, event, &facts).unwrap_or(self.state);
    }

    /// A transaction will not be mined as it was assembled: it goes where `change` leads, for a pause, and what was assembled upon it goes back
    /// with it; what names one of these waits.
    fn take_back(&mut self, id: Uuid, change: Change, now: Duration) {
        self.pause(id, now);
        self.change(id, change);
        self.gone(id);
    }

    /// What a transaction was assembled to is not to be had any more.
    fn gone(&mut self, id: Uuid) {
        let mut gone = self.dependencies.take_back(id);
        gone.retain(|other| *other != id);
        for other in &gone {
            self.change(*other, Change::DependencyReverted);
        }
        gone.push(id);
        for other in gone.into_iter().flat_map(|gone| self.naming(gone)).collect::<Vec<_>>() {
            self.change(other, Change::DependencyReverted);
        }
    }

    /// Those that name a transaction as one that has to be assembled before them.
    fn naming(&self, id: Uuid) -> Vec<Uuid> {
        self.named_by.get(&id).into_iter().flatten().copied().collect()
    }

    /// It is not assembled again before a pause, four times longer each time.
    fn pause(&mut self, id: Uuid, now: Duration) {
        let settings = self.settings;
        if let Some(transaction) = self.transactions.get_mut(&id) {
            let pause = settings.retry_min.saturating_mul(4_u32.saturating_pow(transaction.failures)).min(settings.retry_max);
            transaction.failures += 1;
            transaction.not_before = now + pause;
        }
    }

    fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.ask_again(now, actions);
        if now.saturating_sub(self.heartbeat_at) < self.settings.heartbeat {
            return;
        }
        self.heartbeat_at = now;
        let mut by_originator = BTreeMap::<Node, Vec<(Try, Stage)>>::new();
        for (id, transaction) in &self.transactions {
            by_originator.entry(transaction.originator.clone()).or_default().push((transaction.newest(*id), transaction.stage));
        }
        for (originator, transactions) in by_originator {
            actions.push(Action::Send(originator, Message::Heartbeat { state: self.state, transactions }));
        }
        // What has ended was shown once.
        let ended = |transaction: &Transaction| matches!(transaction.stage, Stage::Confirmed | Stage::Reverted);
        let gone: Vec<Uuid> = self.transactions.iter().filter(|(_, transaction)| ended(transaction)).map(|(id, _)| *id).collect();
        for id in gone {
            self.change(id, Change::HeartbeatInterval);
        }
        self.moves(state::Event::TransactionStateTransition);
    }

    /// Sends the requests again that were not answered.
    fn ask_again(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.assemble_again(now, actions);
        let timeout = self.settings.request_timeout;
        let due = self.asked.iter().take_while(|(at, _)| now.saturating_sub(*at) >= timeout);
        for id in due.map(|(_, id)| *id).collect::<Vec<_>>() {
            self.change(id, Change::RequestTimeoutInterval);
            self.ask(id, now, actions);
        }
    }

    /// Asks for what a transaction needs next: endorsements, or its originator's word.
    fn ask(&mut self, id: Uuid, now: Duration, actions: &mut Vec<Action>) {
        let Some(transaction) = self.transactions.get_mut(&id) else { return };
        self.asked.remove(&(transaction.asked_at, id));
        transaction.asked_at = now;
        if matches!(transaction.stage, Stage::EndorsementGathering | Stage::ConfirmingDispatch) {
            self.asked.insert((now, id));
        }
        let which = transaction.newest(id);
        match (transaction.stage, &transaction.assembled) {
            (Stage::EndorsementGathering, Some(assembled)) => {
                let missing = assembled.attestation.endorsers.iter().filter(|node| !transaction.endorsed_by.contains(*node));
                let request = || Message::EndorseRequest(which, Box::new(Assembly::clone(&assembled.assembly)));
                actions.extend(missing.map(|node| Action::Send(node.clone(), request())));
            }
            (Stage::ConfirmingDispatch, _) => {
                actions.push(Action::Send(transaction.originator.clone(), Message::DispatchRequest(which)));
            }
            _ => {}
        }
    }
}
