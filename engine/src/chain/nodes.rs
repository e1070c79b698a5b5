//! Which of several nodes is used (row B8): one at a time, so that nonces, prices and receipts come from one consistent view.
//!
//! ```text
//!   unknown ──chain id right, head known──► healthy ◄──caught up──┐
//!      │  ▲                                  │    └──head too low──► lagging
//!      │  └────────── no answer ◄────────────┴───────────────────────┘ (failing: unknown again once it answers)
//!      └─chain id wrong─► quarantined: never used, asked again at intervals
//! ```
//!
//! | the current node | what follows |
//! |---|---|
//! | is shunned by a shard: its breaker there is open, or it asked that one for a long pause | the first healthy one |
//! | fails several times in a row, is left alone by its breaker, or is found on another chain | the first healthy one; if there is none, the first that answers |
//! | lags behind the best other one for a while | the first healthy one |
//! | is fine, and one of higher priority has been healthy for a while | that one |
//!
//! It cannot fail: where no node is usable, the current one stays, and whoever asks it says what is wrong.

use std::time::Duration;

/// Failures in a row after which another node is used.
const FAILURES: u32 = 3;
/// With two failures in a row it has failed long enough when they lie so far apart: a node that swallows requests takes a time-out for each.
pub(super) const FAILING_FOR: Duration = Duration::from_secs(5);
/// A node that answered and could not be followed for [`FAILING_FOR`] is not chosen again for this long.
const AVOIDED_FOR: Duration = Duration::from_secs(60);
/// Probe intervals that the current node may lag before another one is used.
const LAG_PROBES: u32 = 3;
/// Probe intervals that a better node must have been healthy before it is used again.
const STEADY_PROBES: u32 = 10;

/// What a node is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It has not said enough yet.
    Unknown,
    /// It is on the right chain, answers, and is not behind.
    Healthy,
    /// It does not answer.
    Failing,
    /// It answers, and its head is too far behind the best other one.
    Lagging,
    /// It is on this other chain, and not used.
    Quarantined(u64),
}

/// What a node did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeEvent {
    /// It named its chain.
    Chain(u64),
    /// It named its head.
    Head(u64),
    /// It gave no answer.
    Failed,
    /// It was not asked, and is not for a while: it has failed too often, or wants to be left alone for longer than a failing one is used.
    LeftAlone,
    /// A shard leaves it alone for so long, whoever else it answers.
    Shunned(Duration),
    /// All up to its head has been read and stored.
    Followed,
    /// It answered, and what it said cannot be followed: its chain is not ours below what is final, or it tells no receipts.
    Useless,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeAction {
    /// This node is the current one from now on.
    Use(usize),
    /// This node's health is another one now.
    Changed(usize, Health),
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    chain_known: bool,
    other_chain: Option<u64>,
    head: Option<u64>,
    failures: u32,
    failing_since: Duration,
    behind_since: Option<Duration>,
    healthy_since: Option<Duration>,
    /// It answers, and cannot be followed.
    useless_since: Option<Duration>,
    /// It could not be followed for so long, or a shard has to leave it alone, so that another one is to be tried until then.
    avoided_until: Option<Duration>,
}

impl State {
    const fn health(&self) -> Health {
        if self.avoided_until.is_some() && self.other_chain.is_none() {
            return Health::Failing;
        }
        match (self.other_chain, self.failures, self.chain_known, self.head, self.behind_since) {
            (Some(id), ..) => Health::Quarantined(id),
            (None, 1.., ..) => Health::Failing,
            (None, 0, false, ..) | (None, 0, true, None, _) => Health::Unknown,
            (None, 0, true, Some(_), Some(_)) => Health::Lagging,
            (None, 0, true, Some(_), None) => Health::Healthy,
        }
    }
}

/// The nodes, in order of priority.
#[derive(Debug)]
pub struct Nodes {
    chain_id: Option<u64>,
    max_lag: u64,
    probe_interval: Duration,
    states: Vec<State>,
    current: usize,
}

impl Nodes {
    /// So many nodes, of which nothing is known; the first one is the current one. Without `chain_id` the first chain that a current
    /// node names is the right one.
    #[must_use]
    pub fn new(count: usize, chain_id: Option<u64>, max_lag: u64, probe_interval: Duration) -> Self {
        Self { chain_id, max_lag, probe_interval, states: vec![State::default(); count], current: 0 }
    }

    /// The chain that all nodes have to be on, once that is known.
    #[must_use]
    pub const fn chain_id(&self) -> Option<u64> {
        self.chain_id
    }

    /// Whether the node has to name its chain before it is used: at first, and each time it has come back.
    #[must_use]
    pub fn wants_chain(&self, node: usize) -> bool {
        !self.states[node].chain_known
    }

    /// Whether a node is good for being used.
    #[must_use]
    pub fn health(&self, node: usize) -> Health {
        self.states[node].health()
    }

    /// Takes in what a node did.
    pub fn handle(&mut self, node: usize, event: NodeEvent, now: Duration, actions: &mut Vec<NodeAction>) {
        for state in &mut self.states {
            state.avoided_until = state.avoided_until.filter(|until| now < *until);
        }
        let before = self.health(node);
        match event {
            NodeEvent::Chain(id) => self.chain(node, id),
            NodeEvent::Head(number) => self.head(node, number, now),
            NodeEvent::Failed => self.failed(node, 1, now),
            NodeEvent::LeftAlone => self.failed(node, FAILURES, now),
            NodeEvent::Shunned(pause) => {
                let until = &mut self.states[node].avoided_until;
                *until = (*until).max(Some(now + pause));
            }
            NodeEvent::Followed => self.states[node].useless_since = None,
            NodeEvent::Useless => self.useless(node, now),
        }
        let health = self.health(node);
        let state = &mut self.states[node];
        state.healthy_since = (health == Health::Healthy).then_some(state.healthy_since.unwrap_or(now));
        if health != before {
            actions.push(NodeAction::Changed(node, health));
        }
        if let Some(better) = self.better(now) {
            self.current = better;
            actions.push(NodeAction::Use(better));
        }
    }

    fn chain(&mut self, node: usize, id: u64) {
        if self.chain_id.is_none() && node == self.current {
            self.chain_id = Some(id);
        }
        let Some(right) = self.chain_id else { return };
        let state = &mut self.states[node];
        state.failures = 0;
        if state.other_chain.is_some() {
            // The head it named was that of the other chain.
            state.head = None;
        }
        state.chain_known = id == right;
        state.other_chain = (id != right).then_some(id);
    }

    fn head(&mut self, node: usize, number: u64, now: Duration) {
        let answers = |state: &&State| matches!(state.health(), Health::Healthy | Health::Lagging);
        let others = self.states.iter().enumerate().filter(|(other, _)| *other != node);
        let best = others.map(|(_, state)| state).filter(answers).filter_map(|state| state.head).max();
        let state = &mut self.states[node];
        state.head = Some(number);
        state.failures = 0;
        let behind = best.is_some_and(|best| best > number.saturating_add(self.max_lag));
        state.behind_since = behind.then_some(state.behind_since.unwrap_or(now));
    }

    fn failed(&mut self, node: usize, times: u32, now: Duration) {
        let state = &mut self.states[node];
        if state.failures == 0 {
            state.failing_since = now;
        }
        state.failures = state.failures.saturating_add(times);
        // It may come back as another one: a restored machine, an address given to somebody else.
        state.chain_known = false;
        state.behind_since = None;
    }

    /// The current node answers, and cannot be followed: it is of a branch that others have left, or tells no receipts.
    fn useless(&mut self, node: usize, now: Duration) {
        let state = &mut self.states[node];
        let since = *state.useless_since.get_or_insert(now);
        if now.saturating_sub(since) >= FAILING_FOR {
            state.useless_since = None;
            state.avoided_until = Some(now + AVOIDED_FOR);
        }
    }

    /// A node to use in place of the current one.
    fn better(&self, now: Duration) -> Option<usize> {
        let current = &self.states[self.current];
        let first =
            |wanted: &dyn Fn(&State) -> bool| (0..self.states.len()).find(|node| *node != self.current && wanted(&self.states[*node]));
        let healthy = |state: &State| state.health() == Health::Healthy;
        let answers = |state: &State| matches!(state.health(), Health::Healthy | Health::Lagging);
        let for_probes = |since: Duration, probes: u32| now.saturating_sub(since) >= self.probe_interval.saturating_mul(probes);
        match current.health() {
            Health::Quarantined(_) => first(&healthy).or_else(|| first(&answers)),
            Health::Failing => {
                let long = current.failures > 1 && now.saturating_sub(current.failing_since) >= FAILING_FOR;
                let leave = current.failures >= FAILURES || long;
                match (leave, current.avoided_until) {
                    (true, _) => first(&healthy).or_else(|| first(&answers)),
                    (false, Some(_)) => first(&healthy),
                    (false, None) => None,
                }
            }
            Health::Lagging if current.behind_since.is_some_and(|since| for_probes(since, LAG_PROBES)) => first(&healthy),
            Health::Lagging | Health::Unknown | Health::Healthy => {
                let steady = |state: &State| healthy(state) && state.healthy_since.is_some_and(|since| for_probes(since, STEADY_PROBES));
                first(&steady).filter(|node| *node < self.current)
            }
        }
    }
}

#[cfg(test)]
mod tests;
