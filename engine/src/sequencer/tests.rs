//! Originators and a coordinator under a seeded network that loses, repeats and reorders, with crashes of both, upon a chain that spends
//! nothing twice and takes no intent twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use alloy::primitives::B256;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use super::coordinator::transaction::Mined;
use super::coordinator::{self, Coordinator};
use super::dependencies::{Assembly, StateId};
use super::messages::{Assembled, Attestation, Message, Node, Outcome, Try};
use super::originator::{self, Originator};
use super::settings::Settings;

const NODES: usize = 4;
const TRANSACTIONS: u64 = 60;
const COIN: u64 = 100;
const COINS: u64 = 5;
const LIMIT: Duration = Duration::from_secs(600);

const SETTINGS: Settings = Settings {
    heartbeat: Duration::from_millis(100),
    grace: Duration::from_millis(500),
    request_timeout: Duration::from_millis(200),
    assemble_timeout: Duration::from_secs(1),
    retry_min: Duration::from_millis(20),
    retry_max: Duration::from_secs(1),
    run_max: 8,
};

/// What is asked for.
#[derive(Clone, Debug)]
struct Intent {
    from: usize,
    to: usize,
    amount: u64,
    names: Vec<Uuid>,
    is_valid: bool,
    parks: bool,
}

/// What is to happen at some time.
#[derive(Debug)]
enum Due {
    Message { from: Node, to: usize, message: Message },
    Originator { node: usize, process: u32, event: originator::Event },
    Create(Uuid),
    Resume(Uuid),
    Block,
    Tick,
}

struct World {
    random: StdRng,
    now: Duration,
    due: BTreeMap<(Duration, u64), Due>,
    count: u64,
    names: Vec<Node>,
    originators: Vec<(u32, Originator)>,
    coordinator: Coordinator,
    runs: u64,
    intents: BTreeMap<Uuid, Intent>,
    created: BTreeSet<Uuid>,
    ended: BTreeMap<Uuid, Result<(), String>>,
    parked: BTreeSet<Uuid>,
    /// What originators have on disk: the newest try that may be dispatched.
    persisted: BTreeMap<Uuid, u32>,
    contents: BTreeMap<StateId, (usize, u64)>,
    unspent: BTreeSet<StateId>,
    applied: BTreeSet<Uuid>,
    public: VecDeque<(Try, Assembly)>,
    dispatched: BTreeSet<Try>,
    reverted: u64,
    most_in_block: usize,
    calm: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let names: Vec<Node> = (0..NODES).map(|number| Node::from(format!("node{number}"))).collect();
        let mut intents = BTreeMap::<Uuid, Intent>::new();
        for number in 1..=TRANSACTIONS {
            let (from, to) = (random.random_range(0..NODES), random.random_range(0..NODES));
            let earlier = Uuid::from_u128(u128::from(random.random_range(0..number)));
            // A transaction may name another one of its node.
            let nameable = intents.get(&earlier).is_some_and(|other| other.from == from);
            let names = if nameable && random.random_bool(0.5) { vec![earlier] } else { Vec::new() };
            let (is_valid, parks) = (random.random_bool(0.95), random.random_bool(0.1));
            let amount = random.random_range(1..COIN / 4);
            intents.insert(Uuid::from_u128(number.into()), Intent { from, to, amount, names, is_valid, parks });
        }
        let originators = (0..NODES).map(|_| (0, Originator::new(SETTINGS, names[0].clone()))).collect();
        let mut world = Self {
            random,
            now: Duration::ZERO,
            due: BTreeMap::new(),
            count: 0,
            names,
            originators,
            coordinator: Coordinator::new(SETTINGS, 0),
            runs: 0,
            intents,
            created: BTreeSet::new(),
            ended: BTreeMap::new(),
            parked: BTreeSet::new(),
            persisted: BTreeMap::new(),
            contents: BTreeMap::new(),
            unspent: BTreeSet::new(),
            applied: BTreeSet::new(),
            public: VecDeque::new(),
            dispatched: BTreeSet::new(),
            reverted: 0,
            most_in_block: 0,
            calm: false,
        };
        for node in 0..NODES {
            for _ in 0..COINS {
                let state = world.content(node, COIN);
                world.unspent.insert(state);
            }
        }
        for id in world.intents.keys().copied().collect::<Vec<_>>() {
            let at = Duration::from_millis(world.random.random_range(0..2_000));
            world.at(at, Due::Create(id));
        }
        world.at(Duration::from_millis(300), Due::Block);
        world.at(Duration::from_millis(10), Due::Tick);
        world
    }

    fn at(&mut self, after: Duration, due: Due) {
        self.count += 1;
        self.due.insert((self.now + after, self.count), due);
    }

    fn soon(&mut self) -> Duration {
        Duration::from_millis(self.random.random_range(1..60))
    }

    fn content(&mut self, owner: usize, value: u64) -> StateId {
        let state = B256::from(self.random.random::<[u8; 32]>());
        self.contents.insert(state, (owner, value));
        state
    }

    fn send(&mut self, from: &Node, to: &Node, message: &Message) {
        let to = self.names.iter().position(|name| name == to).expect("a node");
        let copies = match self.random.random_range(0..100) {
            0..10 if !self.calm => 0,
            10..15 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let after = self.soon();
            self.at(after, Due::Message { from: from.clone(), to, message: message.clone() });
        }
    }

    fn coordinate(&mut self, event: coordinator::Event) {
        let mut actions = Vec::new();
        self.coordinator.handle(event, self.now, &mut actions);
        let from = self.names[0].clone();
        for action in actions {
            match action {
                coordinator::Action::Send(to, message) => self.send(&from, &to, &message),
                coordinator::Action::Dispatch(which, assembled) => {
                    assert!(
                        self.persisted.get(&which.id).is_some_and(|number| *number >= which.number),
                        "dispatched without its originator's word"
                    );
                    let before = |name: &Uuid| self.dispatched.iter().any(|other| other.id == *name);
                    assert!(self.intents[&which.id].names.iter().all(before), "{which:?} was handed over before what it names");
                    assert!(self.dispatched.insert(which), "{which:?} was handed over twice");
                    self.public.push_back((which, assembled.assembly));
                    self.coordinator.handle(coordinator::Event::Collected(which), self.now, &mut Vec::new());
                }
            }
        }
    }

    fn originate(&mut self, node: usize, event: originator::Event) {
        let mut actions = Vec::new();
        self.originators[node].1.handle(event, self.now, &mut actions);
        let process = self.originators[node].0;
        for action in actions {
            let event = match action {
                originator::Action::Send(to, message) => {
                    self.send(&self.names[node].clone(), &to, &message);
                    continue;
                }
                originator::Action::Assemble { run, tries, spent, pending } => {
                    originator::Event::Assembled { run, outcomes: self.assemble(node, &tries, &spent, &pending) }
                }
                originator::Action::Sign { run, outcomes } => originator::Event::Signed { run, outcomes },
                originator::Action::Persist(which) => {
                    self.persisted.insert(which.id, which.number);
                    originator::Event::Persisted(which)
                }
                originator::Action::Ended(id, how) => {
                    assert!(self.ended.insert(id, how).is_none(), "{id} ended twice");
                    continue;
                }
                originator::Action::Parked(id) => {
                    self.parked.insert(id);
                    self.at(Duration::from_secs(1), Due::Resume(id));
                    continue;
                }
            };
            let after = self.soon();
            self.at(after, Due::Originator { node, process, event });
        }
    }

    /// The domain: each upon what those before it make and leave.
    fn assemble(&mut self, node: usize, tries: &[Try], spent: &[StateId], pending: &[StateId]) -> Vec<(Try, Outcome)> {
        let mut view: BTreeSet<StateId> = self.unspent.iter().chain(pending).copied().collect();
        view.retain(|state| !spent.contains(state));
        let mut outcomes = Vec::new();
        for which in tries {
            let intent = self.intents[&which.id].clone();
            if !intent.is_valid {
                outcomes.push((*which, Outcome::Revert("not a valid intent".to_owned())));
                continue;
            }
            if intent.parks && !self.parked.contains(&which.id) {
                outcomes.push((*which, Outcome::Park));
                continue;
            }
            let (mut inputs, mut sum) = (Vec::new(), 0);
            for state in view.iter().filter(|state| self.contents[*state].0 == node) {
                if sum < intent.amount {
                    inputs.push(*state);
                    sum += self.contents[state].1;
                }
            }
            if sum < intent.amount || self.random.random_bool(0.02) {
                outcomes.push((*which, Outcome::Error("not enough to spend now".to_owned())));
                continue;
            }
            view.retain(|state| !inputs.contains(state));
            let mut outputs = vec![self.content(intent.to, intent.amount)];
            if sum > intent.amount {
                outputs.push(self.content(node, sum - intent.amount));
            }
            view.extend(&outputs);
            let endorsers: Vec<Node> = self.names[..which.id.as_u128() as usize % 4].to_vec();
            let attestation = Attestation { threshold: endorsers.len().div_ceil(2), endorsers };
            outcomes
                .push((*which, Outcome::Assembled(Assembled { assembly: Assembly { inputs, reads: Vec::new(), outputs }, attestation })));
        }
        outcomes
    }

    fn block(&mut self) {
        let most = self.random.random_range(0..30);
        let mut applied = 0;
        for _ in 0..most {
            let Some((which, assembly)) = self.public.pop_front() else { break };
            let value = |states: &[StateId]| states.iter().map(|state| self.contents[state].1).sum::<u64>();
            assert_eq!(value(&assembly.inputs), value(&assembly.outputs), "value is conserved");
            let mined = if self.applied.contains(&which.id) {
                // The contract refuses a second one; whoever looks finds the first.
                Mined::Success
            } else if assembly.inputs.iter().all(|state| self.unspent.contains(state)) {
                assembly.inputs.iter().for_each(|state| assert!(self.unspent.remove(state)));
                self.unspent.extend(&assembly.outputs);
                self.applied.insert(which.id);
                applied += 1;
                Mined::Success
            } else {
                self.reverted += 1;
                Mined::Retryable
            };
            self.coordinate(coordinator::Event::Mined(which, mined));
            let node = self.intents[&which.id].from;
            if self.originators[node].1.state_of(which.id).is_some() {
                self.originate(node, originator::Event::Mined(which.id, mined));
            }
        }
        self.most_in_block = self.most_in_block.max(applied);
    }

    /// A caller submits it, or it is read from disk: with what it names, as far as that has not ended.
    fn create(&mut self, id: Uuid) {
        let intent = self.intents[&id].clone();
        for name in &intent.names {
            if !self.created.contains(name) {
                self.create(*name);
            }
        }
        self.created.insert(id);
        if self.ended.contains_key(&id) {
            return;
        }
        if intent.names.iter().any(|name| self.ended.get(name).is_some_and(Result::is_err)) && !self.persisted.contains_key(&id) {
            self.ended.insert(id, Err("what it depends on has failed".to_owned()));
            return;
        }
        let names = intent.names.into_iter().filter(|name| !self.ended.contains_key(name)).collect();
        let tries = self.persisted.get(&id).copied().unwrap_or(0);
        self.originate(intent.from, originator::Event::Created { id, names, tries });
    }

    /// It and everything it depends on is valid.
    fn succeeds(&self, id: &Uuid) -> bool {
        let intent = &self.intents[id];
        intent.is_valid && intent.names.iter().all(|name| self.succeeds(name))
    }

    fn crash(&mut self) {
        if self.random.random_bool(0.5) {
            self.runs += 1_000_000;
            self.coordinator = Coordinator::new(SETTINGS, self.runs);
            return;
        }
        let node = self.random.random_range(0..NODES);
        self.originators[node] = (self.originators[node].0 + 1, Originator::new(SETTINGS, self.names[0].clone()));
        for id in self.created.iter().copied().filter(|id| self.intents[id].from == node).collect::<Vec<_>>() {
            self.create(id);
            if self.applied.contains(&id) && !self.ended.contains_key(&id) {
                // What the chain did while it was down.
                self.originate(node, originator::Event::Mined(id, Mined::Success));
            }
        }
    }

    fn happens(&mut self, due: Due) {
        match due {
            Due::Message { from, to, message } => match message {
                Message::EndorseRequest(which, _) => {
                    let answer = if self.random.random_bool(0.05) { Err("busy".to_owned()) } else { Ok(()) };
                    self.send(&self.names[to].clone(), &from, &Message::EndorseReply(which, answer));
                }
                Message::Delegate(_) | Message::AssembleReply { .. } | Message::EndorseReply(..) | Message::DispatchReply(..) => {
                    self.coordinate(coordinator::Event::Received(from, message));
                }
                Message::AssembleRequest { .. } | Message::DispatchRequest(_) | Message::Heartbeat { .. } => {
                    self.originate(to, originator::Event::Received(from, message));
                }
            },
            Due::Originator { node, process, event } if self.originators[node].0 == process => self.originate(node, event),
            Due::Originator { .. } => {}
            Due::Create(id) => self.create(id),
            Due::Resume(id) => self.originate(self.intents[&id].from, originator::Event::Resumed(id)),
            Due::Block => {
                self.block();
                let after = Duration::from_millis(self.random.random_range(100..400));
                self.at(after, Due::Block);
            }
            Due::Tick => {
                self.calm = self.now > Duration::from_secs(8);
                if !self.calm && self.random.random_bool(0.005) {
                    self.crash();
                }
                self.coordinate(coordinator::Event::Tick);
                (0..NODES).for_each(|node| self.originate(node, originator::Event::Tick));
                self.at(Duration::from_millis(10), Due::Tick);
            }
        }
    }

    fn run(&mut self) {
        while self.ended.len() < self.intents.len() {
            let ((at, _), due) = self.due.pop_first().expect("ticks go on");
            self.now = at;
            assert!(at < LIMIT, "not ended: {:?}", self.open());
            self.happens(due);
        }
    }

    fn open(&self) -> Vec<String> {
        let open = self.intents.iter().filter(|(id, _)| !self.ended.contains_key(*id));
        open.map(|(id, intent)| {
            format!(
                "{id}: {:?} at its originator, {:?} at the coordinator",
                self.originators[intent.from].1.state_of(*id),
                self.coordinator.state_of(*id)
            )
        })
        .collect()
    }

    fn check(&self) {
        for id in self.intents.keys() {
            assert_eq!(self.ended[id].is_ok(), self.succeeds(id), "{id}: {:?}", self.ended[id]);
            assert_eq!(self.applied.contains(id), self.succeeds(id), "{id}");
        }
        let sum: u64 = self.unspent.iter().map(|state| self.contents[state].1).sum();
        assert_eq!(sum, NODES as u64 * COINS * COIN, "value is conserved");
    }
}

#[test]
fn whatever_is_lost_repeated_or_crashes_every_valid_intent_is_done_once_and_every_other_is_reverted() {
    let (mut reverted, mut most_in_block) = (0, 0);
    for seed in 0..300 {
        let mut world = World::new(seed);
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.run();
            world.check();
        }));
        assert!(ran.is_ok(), "seed {seed}");
        reverted += world.reverted;
        most_in_block = most_in_block.max(world.most_in_block);
    }
    assert!(reverted > 0, "no seed met a revert on the chain");
    assert!(most_in_block > 10, "chains do not land together: {most_in_block} in a block");
}
