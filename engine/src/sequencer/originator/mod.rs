//! The side of who wants a transaction: it keeps it until its receipt is on the chain, whoever coordinates it (rows C2, C3, C9).
//!
//! ```text
//!   created ──► delegate ──► assemble ──► sign ──► reply ──► persist ──► agree to the dispatch ──► mined
//!                  ▲                                                                                │
//!                  └── left out by a heartbeat, no heartbeat, another coordinator, reverted ◄───────┘
//! ```
//!
//! What was delegated and is not seen again is delegated again; that it may be mined twice is what the contract's exactly-once ids are for.

pub mod state;
pub mod transaction;

use std::collections::BTreeMap;
use std::time::Duration;

use uuid::Uuid;

use self::state::Facts;
use self::transaction::{Event as Change, State};
use super::coordinator::transaction::{Mined, State as Coordinated};
use super::dependencies::StateId;
use super::messages::{Delegation, Message, Node, Outcome, Try};
use super::settings::Settings;

/// What comes to an originator.
#[derive(Clone, Debug)]
pub enum Event {
    /// A transaction is on disk: new, or read again at a start.
    Created {
        /// Its id.
        id: Uuid,
        /// Transactions of the same contract that have to be assembled before it.
        names: Vec<Uuid>,
        /// Assemblies of it that are on disk.
        tries: u32,
    },
    /// A message of a coordinator.
    Received(Node, Message),
    /// The domain has assembled a run, as far as it could.
    Assembled {
        /// The coordinator's number of it.
        run: u64,
        /// Outcomes, in the order of the request.
        outcomes: Vec<(Try, Outcome)>,
    },
    /// What was assembled is signed.
    Signed {
        /// The coordinator's number of the run.
        run: u64,
        /// Outcomes, in the order of the request.
        outcomes: Vec<(Try, Outcome)>,
    },
    /// What [`Action::Persist`] asked for is on disk.
    Persisted(Try),
    /// The chain has mined a transaction.
    Mined(Uuid, Mined),
    /// A parked transaction is to go on.
    Resumed(Uuid),
    /// Another node coordinates.
    Coordinator(Node),
    /// Time has passed.
    Tick,
}

/// What an originator wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this.
    Send(Node, Message),
    /// Have the domain assemble these in their order; answered by [`Event::Assembled`].
    Assemble {
        /// The coordinator's number of it.
        run: u64,
        /// What is to be assembled.
        tries: Vec<Try>,
        /// States that must not be spent: others do.
        spent: Vec<StateId>,
        /// States that may be spent beside the chain's.
        pending: Vec<StateId>,
    },
    /// Sign what was assembled; answered by [`Event::Signed`].
    Sign {
        /// The coordinator's number of it.
        run: u64,
        /// Outcomes, in the order of the request.
        outcomes: Vec<(Try, Outcome)>,
    },
    /// Write that this try may be dispatched; answered by [`Event::Persisted`].
    Persist(Try),
    /// It has ended: write that.
    Ended(Uuid, Result<(), String>),
    /// It is parked: write that.
    Parked(Uuid),
}

#[derive(Clone, Debug)]
struct Transaction {
    state: State,
    names: Vec<Uuid>,
    /// Something that it named has ended since it was created: the coordinator may still wait for that.
    names_less: bool,
    /// Number of the newest assembly that it knows of.
    tries: u32,
    /// When it was delegated last, or seen in a heartbeat.
    seen_at: Duration,
}

/// A run that the domain or the signer has.
#[derive(Clone, Debug)]
struct Run {
    from: Node,
    run: u64,
    tries: Vec<Try>,
}

/// What was answered to a request for a run.
#[derive(Clone, Debug)]
struct Replied {
    to: Node,
    run: u64,
    outcomes: Vec<(Try, Outcome)>,
}

/// The originator of one contract at one node.
#[derive(Clone, Debug)]
pub struct Originator {
    settings: Settings,
    state: state::State,
    coordinator: Node,
    heard_at: Duration,
    transactions: BTreeMap<Uuid, Transaction>,
    run: Option<Run>,
    /// The newest reply to a run, in case it is lost.
    replied: Option<Replied>,
}

impl Originator {
    /// One that delegates to `coordinator`, as long as nobody says otherwise.
    #[must_use]
    pub fn new(settings: Settings, coordinator: Node) -> Self {
        Self {
            settings,
            state: state::State::Idle,
            coordinator,
            heard_at: Duration::ZERO,
            transactions: BTreeMap::new(),
            run: None,
            replied: None,
        }
    }

    /// State of a transaction that has not ended.
    #[must_use]
    pub fn state_of(&self, id: Uuid) -> Option<State> {
        self.transactions.get(&id).map(|transaction| transaction.state)
    }

    /// Its own state.
    #[must_use]
    pub const fn state(&self) -> state::State {
        self.state
    }

    /// How many transactions have not ended.
    #[must_use]
    pub fn open(&self) -> usize {
        self.transactions.len()
    }

    /// Handles one event; what has to be done is appended to `actions`.
    pub fn handle(&mut self, event: Event, now: Duration, actions: &mut Vec<Action>) {
        match event {
            Event::Created { id, names, tries } => self.created(id, names, tries, now, actions),
            Event::Received(from, message) => self.received(from, message, now, actions),
            Event::Assembled { run, outcomes } => self.assembled(run, outcomes, actions),
            Event::Signed { run, outcomes } => self.signed(run, outcomes, now, actions),
            Event::Persisted(which) => self.persisted(which, actions),
            Event::Mined(id, mined) => self.mined(id, mined, now, actions),
            Event::Resumed(id) => {
                if self.change(id, Change::Resumed, false) {
                    self.delegate(&[id], now, actions);
                }
            }
            Event::Coordinator(node) => self.coordinated_by(node, now, actions),
            Event::Tick => self.tick(now, actions),
        }
    }

    /// When [`Event::Tick`] has something to do at the latest.
    #[must_use]
    pub const fn wake_after(&self) -> Duration {
        self.settings.heartbeat
    }

    /// The one way in which a transaction's state changes; false if the table has nothing for this.
    fn change(&mut self, id: Uuid, change: Change, retryable: bool) -> bool {
        let Some(transaction) = self.transactions.get_mut(&id) else { return false };
        let Some(state) = transaction::next(transaction.state, change, transaction::Facts { retryable }) else { return false };
        transaction.state = state;
        true
    }

    fn moves(&mut self, event: state::Event, now: Duration) {
        let silent = now.saturating_sub(self.heard_at) >= self.settings.grace;
        let facts = Facts { silent, open: self.transactions.len() };
        self.state = state::next(self.state, event, facts).unwrap_or(self.state);
    }

    fn created(&mut self, id: Uuid, names: Vec<Uuid>, tries: u32, now: Duration, actions: &mut Vec<Action>) {
        if self.transactions.contains_key(&id) {
            return;
        }
        self.transactions.insert(id, Transaction { state: State::Initial, names, names_less: false, tries, seen_at: now });
        self.change(id, Change::Created, false);
        self.moves(state::Event::TransactionCreated, now);
        self.delegate(&[id], now, actions);
    }

    /// Gives transactions to the coordinator, for the first time or again.
    fn delegate(&mut self, ids: &[Uuid], now: Duration, actions: &mut Vec<Action>) {
        let mut delegations = Vec::with_capacity(ids.len());
        for id in ids {
            let change = if self.state_of(*id) == Some(State::Pending) { Change::Delegated } else { Change::CoordinatorChanged };
            // One that is parked is nobody's until it is resumed.
            if !self.change(*id, change, false) && self.state_of(*id) != Some(State::Delegated) {
                continue;
            }
            let Some(transaction) = self.transactions.get_mut(id) else { continue };
            transaction.seen_at = now;
            let names = transaction.names.clone();
            delegations.push(Delegation { id: *id, names, tries: transaction.tries });
        }
        if !delegations.is_empty() {
            actions.push(Action::Send(self.coordinator.clone(), Message::Delegate(delegations)));
        }
    }

    fn received(&mut self, from: Node, message: Message, now: Duration, actions: &mut Vec<Action>) {
        if from != self.coordinator {
            // It was left. What it asks for is refused by silence; what it has dispatched is told by the chain.
            if let Message::DispatchRequest(which) = message {
                actions.push(Action::Send(from, Message::DispatchReply(which, false)));
            }
            return;
        }
        self.heard_at = now;
        match message {
            Message::AssembleRequest { run, tries, spent, pending } => self.assemble(from, run, tries, spent, pending, actions),
            Message::DispatchRequest(which) => self.may_dispatch(from, which, actions),
            Message::Heartbeat { transactions, .. } => self.heartbeat(&transactions, now, actions),
            _ => {}
        }
    }

    fn assemble(&mut self, from: Node, run: u64, tries: Vec<Try>, spent: Vec<StateId>, pending: Vec<StateId>, actions: &mut Vec<Action>) {
        if self.run.as_ref().is_some_and(|known| known.run == run && known.from == from) {
            // It is being assembled.
            return;
        }
        if let Some(replied) = self.replied.as_ref().filter(|replied| replied.run == run && replied.to == from) {
            let outcomes = replied.outcomes.clone();
            actions.push(Action::Send(from, Message::AssembleReply { run, outcomes }));
            return;
        }
        let mut wanted = Vec::with_capacity(tries.len());
        for which in tries {
            let newer = self.transactions.get(&which.id).is_some_and(|transaction| transaction.tries < which.number);
            if newer && self.change(which.id, Change::AssembleRequestReceived, false) {
                if let Some(transaction) = self.transactions.get_mut(&which.id) {
                    transaction.tries = which.number;
                }
                wanted.push(which);
            }
        }
        if wanted.is_empty() {
            return;
        }
        self.run = Some(Run { from, run, tries: wanted.clone() });
        actions.push(Action::Assemble { run, tries: wanted, spent, pending });
    }

    /// It is the try that is wanted now, in this state.
    fn is(&self, which: Try, state: State) -> bool {
        self.transactions.get(&which.id).is_some_and(|transaction| transaction.tries == which.number && transaction.state == state)
    }

    fn assembled(&mut self, run: u64, outcomes: Vec<(Try, Outcome)>, actions: &mut Vec<Action>) {
        if self.run.as_ref().is_none_or(|known| known.run != run) {
            return;
        }
        for (which, outcome) in &outcomes {
            if self.is(*which, State::Assembling) && matches!(outcome, Outcome::Assembled(_)) {
                self.change(which.id, Change::AssembleSuccess, false);
            }
        }
        actions.push(Action::Sign { run, outcomes });
    }

    fn signed(&mut self, run: u64, outcomes: Vec<(Try, Outcome)>, now: Duration, actions: &mut Vec<Action>) {
        let Some(known) = self.run.take_if(|known| known.run == run) else { return };
        let mut answered = Vec::with_capacity(outcomes.len());
        for (which, outcome) in outcomes.into_iter().filter(|(which, _)| known.tries.contains(which)) {
            if !(self.is(which, State::Signing) || self.is(which, State::Assembling)) {
                continue;
            }
            let change = match &outcome {
                Outcome::Assembled(_) => Change::AssembleAndSignSuccess,
                Outcome::Revert(_) => Change::AssembleRevert,
                Outcome::Park => Change::AssemblePark,
                Outcome::Error(_) => Change::AssembleError,
            };
            self.change(which.id, change, false);
            match &outcome {
                Outcome::Revert(reason) => self.end(which.id, Err(reason.clone()), now, actions),
                Outcome::Park => actions.push(Action::Parked(which.id)),
                _ => {}
            }
            answered.push((which, outcome));
        }
        self.replied = Some(Replied { to: known.from.clone(), run, outcomes: answered.clone() });
        actions.push(Action::Send(known.from, Message::AssembleReply { run, outcomes: answered }));
    }

    fn may_dispatch(&mut self, from: Node, which: Try, actions: &mut Vec<Action>) {
        let state =
            self.transactions.get(&which.id).filter(|transaction| transaction.tries == which.number).map(|transaction| transaction.state);
        match state {
            Some(State::EndorsementGathering) => actions.push(Action::Persist(which)),
            // The reply was lost.
            Some(state) if state.may_be_mined() => actions.push(Action::Send(from, Message::DispatchReply(which, true))),
            _ => actions.push(Action::Send(from, Message::DispatchReply(which, false))),
        }
    }

    fn persisted(&mut self, which: Try, actions: &mut Vec<Action>) {
        // It may have been delegated to another one meanwhile.
        let agrees =
            self.is(which, State::EndorsementGathering) && self.change(which.id, Change::DispatchConfirmationRequestReceived, false);
        let agrees = agrees || self.is(which, State::Prepared);
        actions.push(Action::Send(self.coordinator.clone(), Message::DispatchReply(which, agrees)));
    }

    fn heartbeat(&mut self, shown: &[(Try, Coordinated)], now: Duration, actions: &mut Vec<Action>) {
        self.moves(state::Event::HeartbeatReceived, now);
        let shown: BTreeMap<Uuid, (u32, Coordinated)> = shown.iter().map(|(which, state)| (which.id, (which.number, *state))).collect();
        let mut left_out = Vec::new();
        for (id, transaction) in &mut self.transactions {
            match shown.get(id) {
                Some((number, state)) => {
                    transaction.seen_at = now;
                    // After a start it names only what is left.
                    let fewer = transaction.names_less || transaction.names.is_empty();
                    if *state == Coordinated::PreAssemblyBlocked && fewer {
                        left_out.push(*id);
                    }
                    let changes: &[Change] = match state {
                        Coordinated::Dispatched => &[Change::Dispatched],
                        Coordinated::Submitted => &[Change::Dispatched, Change::Submitted],
                        _ => &[],
                    };
                    for change in changes.iter().filter(|_| *number == transaction.tries) {
                        let next = transaction::next(transaction.state, *change, transaction::Facts::default());
                        transaction.state = next.unwrap_or(transaction.state);
                    }
                }
                None if transaction.state != State::Parked && now.saturating_sub(transaction.seen_at) >= self.settings.request_timeout => {
                    left_out.push(*id);
                }
                None => {}
            }
        }
        self.delegate(&left_out, now, actions);
    }

    fn mined(&mut self, id: Uuid, mined: Mined, now: Duration, actions: &mut Vec<Action>) {
        let change = if mined == Mined::Success { Change::ConfirmedSuccess } else { Change::ConfirmedReverted };
        if !self.change(id, change, mined == Mined::Retryable) {
            return;
        }
        match mined {
            Mined::Success => self.end(id, Ok(()), now, actions),
            Mined::Final => self.end(id, Err("the chain has reverted it for good".to_owned()), now, actions),
            // The coordinator sees the same, and has it assembled anew.
            Mined::Retryable => self.moves(state::Event::BaseLedgerTransactionReverted, now),
        }
    }

    /// It has ended. What names it goes on without it, or ends with it: unless it may be mined already, which the chain decides.
    fn end(&mut self, id: Uuid, how: Result<(), String>, now: Duration, actions: &mut Vec<Action>) {
        self.transactions.remove(&id);
        self.moves(state::Event::TransactionConfirmed, now);
        let naming = self.transactions.iter().filter(|(_, other)| other.names.contains(&id));
        let naming: Vec<Uuid> = naming.map(|(other, _)| *other).collect();
        let cascade = how.as_ref().err().map(|reason| format!("it depends on {id}, which has ended: {reason}"));
        actions.push(Action::Ended(id, how));
        let mut shorter = Vec::new();
        for other in naming {
            let Some(transaction) = self.transactions.get_mut(&other) else { continue };
            transaction.names.retain(|name| *name != id);
            transaction.names_less = true;
            match &cascade {
                Some(reason) if !transaction.state.may_be_mined() => self.end(other, Err(reason.clone()), now, actions),
                Some(_) => {}
                // The coordinator may have forgotten what was named, and waits for it.
                None if transaction.state == State::Delegated => shorter.push(other),
                None => {}
            }
        }
        self.delegate(&shorter, now, actions);
    }

    fn coordinated_by(&mut self, node: Node, now: Duration, actions: &mut Vec<Action>) {
        if node == self.coordinator {
            return;
        }
        self.coordinator = node;
        (self.run, self.replied) = (None, None);
        let ids: Vec<Uuid> = self.transactions.keys().copied().collect();
        self.delegate(&ids, now, actions);
    }

    fn tick(&mut self, now: Duration, actions: &mut Vec<Action>) {
        self.moves(state::Event::HeartbeatInterval, now);
        // Nobody is heard: a coordinator that has started anew knows nothing of what was delegated to it before.
        if now.saturating_sub(self.heard_at) >= self.settings.grace {
            let timeout = self.settings.grace;
            let unseen = |transaction: &Transaction| now.saturating_sub(transaction.seen_at) >= timeout;
            let ids: Vec<Uuid> = self.transactions.iter().filter(|(_, transaction)| unseen(transaction)).map(|(id, _)| *id).collect();
            self.delegate(&ids, now, actions);
        }
    }
}
