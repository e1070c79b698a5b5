//! Which node is used, one rule a test.

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

#[test]
fn a_node_that_any_shard_has_to_leave_alone_gives_way_for_as_long_to_one_that_is_healthy() {
    let mut case = Case::healthy(2);
    assert_eq!(case.tell(0, NodeEvent::Shunned(SECOND * 30)), Some(1));
    case.now += SECOND * 29;
    assert_eq!(case.tell(0, NodeEvent::Head(101)), None, "that it answers others is not enough");
    assert_eq!(case.nodes.health(0), Health::Failing);
    assert_eq!(case.tell(1, NodeEvent::Shunned(SECOND * 30)), None, "there is nobody else");
    case.now += SECOND;
    assert_eq!(case.tell(0, NodeEvent::Head(102)), Some(0), "it may be asked again, and the other one may not");
}

#[test]
fn a_node_that_is_shunned_and_fails_gives_way_to_one_that_lags() {
    let mut case = Case::healthy(2);
    case.tell(0, NodeEvent::Head(200));
    case.tell(1, NodeEvent::Head(100));
    assert_eq!(case.nodes.health(1), Health::Lagging);
    assert_eq!(case.tell(0, NodeEvent::Shunned(SECOND * 30)), None);
    assert_eq!(case.fail(0), Some(1));
}
