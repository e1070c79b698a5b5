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
    /// It could not be followed for so long that another one is to be tried until then.
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
                if current.avoided_until.is_some() {
                    return first(&healthy);
                }
                let long = current.failures > 1 && now.saturating_sub(current.failing_since) >= FAILING_FOR;
                let leave = current.failures >= FAILURES || long;
                if leave { first(&healthy).or_else(|| first(&answers)) } else { None }
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
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Nodes that are probed every second, with an allowed lag of 3, and the time.
    struct Case {
        nodes: Nodes,
        now: Duration,
    }

    impl Case {
        /// All are healthy at block 100.
        fn healthy(count: usize) -> Self {
            let mut case = Self { nodes: Nodes::new(count, Some(1), 3, SECOND), now: Duration::ZERO };
            for node in 0..count {
                case.tell(node, NodeEvent::Chain(1));
                case.tell(node, NodeEvent::Head(100));
            }
            case
        }

        /// The node that is used after this, if it is another one.
        fn tell(&mut self, node: usize, event: NodeEvent) -> Option<usize> {
            let mut actions = Vec::new();
            self.nodes.handle(node, event, self.now, &mut actions);
            actions.iter().find_map(|action| if let NodeAction::Use(node) = action { Some(*node) } else { None })
        }

        fn fail(&mut self, node: usize) -> Option<usize> {
            (0..FAILURES).filter_map(|_| self.tell(node, NodeEvent::Failed)).last()
        }
    }

    #[test]
    fn the_next_healthy_node_takes_over_when_the_current_one_fails_in_a_row() {
        let mut case = Case::healthy(3);
        assert_eq!(case.tell(0, NodeEvent::Failed), None);
        assert_eq!(case.tell(0, NodeEvent::Head(100)), None, "one failure is none");
        assert_eq!(case.tell(1, NodeEvent::Failed), None);
        assert_eq!(case.fail(0), Some(2), "the second one fails too");
    }

    #[test]
    fn two_time_outs_are_failures_enough() {
        let mut case = Case::healthy(2);
        assert_eq!(case.tell(0, NodeEvent::Failed), None);
        case.now += FAILING_FOR;
        assert_eq!(case.tell(0, NodeEvent::Failed), Some(1));
    }

    #[test]
    fn a_node_that_is_left_alone_is_no_longer_used_at_once() {
        let mut case = Case::healthy(2);
        assert_eq!(case.tell(0, NodeEvent::LeftAlone), Some(1));
        assert_eq!(case.nodes.health(0), Health::Failing);
        assert_eq!(case.tell(1, NodeEvent::LeftAlone), None, "there is nobody else");
        assert_eq!(case.tell(0, NodeEvent::Chain(1)), Some(0), "it is back");
    }

    #[test]
    fn a_better_node_is_used_again_only_when_it_has_been_healthy_for_a_while() {
        let mut case = Case::healthy(2);
        assert_eq!(case.fail(0), Some(1));
        assert_eq!(case.tell(0, NodeEvent::Chain(1)), None);
        assert_eq!(case.tell(0, NodeEvent::Head(100)), None, "just back");
        case.now += SECOND * STEADY_PROBES / 2;
        assert_eq!(case.tell(0, NodeEvent::Failed), None, "and away again");
        assert_eq!((case.tell(0, NodeEvent::Chain(1)), case.tell(0, NodeEvent::Head(101))), (None, None));
        case.now += SECOND * STEADY_PROBES / 2;
        assert_eq!(case.tell(0, NodeEvent::Head(102)), None, "counted from the second return");
        case.now += SECOND * STEADY_PROBES / 2;
        assert_eq!(case.tell(0, NodeEvent::Head(103)), Some(0));
    }

    #[test]
    fn a_node_that_came_back_has_to_name_its_chain_first() {
        let mut case = Case::healthy(2);
        case.fail(0);
        assert_eq!(case.tell(0, NodeEvent::Head(100)), None);
        assert!(case.nodes.wants_chain(0));
        assert_eq!(case.nodes.health(0), Health::Unknown);
        case.tell(0, NodeEvent::Chain(5));
        assert_eq!(case.nodes.health(0), Health::Quarantined(5));
    }

    #[test]
    fn a_node_of_another_chain_is_never_used_until_it_is_on_the_right_one() {
        let mut case = Case::healthy(1);
        case.nodes.states.push(State::default());
        case.tell(1, NodeEvent::Chain(5));
        case.tell(1, NodeEvent::Head(1000));
        assert_eq!(case.fail(0), None, "there is nobody else");
        assert_eq!(case.tell(1, NodeEvent::Chain(1)), None, "the head it named was another chain's");
        assert_eq!(case.tell(1, NodeEvent::Head(100)), Some(1));
    }

    #[test]
    fn the_head_of_a_node_of_another_chain_says_nothing_about_who_lags() {
        let mut case = Case::healthy(2);
        case.tell(1, NodeEvent::Chain(5));
        case.tell(1, NodeEvent::Head(1000));
        case.tell(0, NodeEvent::Head(100));
        assert_eq!(case.nodes.health(0), Health::Healthy);
    }

    #[test]
    fn a_current_node_that_lags_for_a_while_is_left() {
        let mut case = Case::healthy(2);
        case.tell(1, NodeEvent::Head(105));
        assert_eq!(case.tell(0, NodeEvent::Head(100)), None);
        case.now += SECOND * LAG_PROBES;
        assert_eq!(case.tell(0, NodeEvent::Head(100)), Some(1));
        assert_eq!(case.nodes.health(0), Health::Lagging);
        // It has caught up, but that was just now.
        assert_eq!(case.tell(0, NodeEvent::Head(104)), None);
    }

    #[test]
    fn a_node_that_lags_within_bounds_or_for_a_moment_stays() {
        let mut case = Case::healthy(2);
        case.tell(1, NodeEvent::Head(103));
        case.tell(0, NodeEvent::Head(100));
        assert_eq!(case.nodes.health(0), Health::Healthy);
        case.tell(1, NodeEvent::Head(110));
        assert_eq!(case.tell(0, NodeEvent::Head(101)), None);
        case.now += SECOND;
        assert_eq!(case.tell(0, NodeEvent::Head(110)), None);
        case.now += SECOND * LAG_PROBES;
        assert_eq!(case.tell(0, NodeEvent::Head(110)), None);
    }

    #[test]
    fn a_lagging_node_is_better_than_one_that_fails() {
        let mut case = Case::healthy(2);
        case.tell(1, NodeEvent::Head(90));
        assert_eq!(case.nodes.health(1), Health::Lagging);
        assert_eq!(case.fail(0), Some(1));
    }

    #[test]
    fn without_a_configured_chain_the_current_node_names_it() {
        let mut nodes = Nodes::new(2, None, 3, SECOND);
        let mut actions = Vec::new();
        nodes.handle(1, NodeEvent::Chain(5), Duration::ZERO, &mut actions);
        assert_eq!(nodes.chain_id(), None);
        nodes.handle(0, NodeEvent::Chain(7), Duration::ZERO, &mut actions);
        nodes.handle(1, NodeEvent::Chain(5), Duration::ZERO, &mut actions);
        assert_eq!((nodes.chain_id(), nodes.health(1)), (Some(7), Health::Quarantined(5)));
    }

    #[test]
    fn a_node_that_answers_and_cannot_be_followed_gives_way_for_a_while_to_one_that_can() {
        let mut case = Case::healthy(2);
        assert_eq!(case.tell(0, NodeEvent::Useless), None);
        case.now += FAILING_FOR;
        case.tell(0, NodeEvent::Head(100));
        assert_eq!(case.tell(0, NodeEvent::Followed), None, "it was followed in between");
        assert_eq!(case.tell(0, NodeEvent::Useless), None);
        case.now += FAILING_FOR;
        case.tell(0, NodeEvent::Head(100));
        assert_eq!(case.tell(0, NodeEvent::Useless), Some(1));
        case.now += SECOND;
        assert_eq!(case.tell(0, NodeEvent::Head(101)), None, "that it answers is not enough");
        case.now += AVOIDED_FOR;
        for _ in 0..=STEADY_PROBES {
            if case.tell(0, NodeEvent::Head(102)) == Some(0) {
                return;
            }
            case.now += SECOND;
        }
        panic!("it is tried again");
    }
}
