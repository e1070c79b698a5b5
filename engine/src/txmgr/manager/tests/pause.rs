//! Pauses, and what is told to people, one rule a test (rows A1, A5, A8, B9).

use super::super::super::inspect::Asked;
use super::super::super::orchestrator::state::State;
use super::super::super::stage::Stage;
use super::*;

const HOUR_US: u64 = 3_600_000_000;

fn order(until: Option<u64>) -> Event {
    Event::Pause { address: FROM, until, ask: 5 }
}

fn told(actions: &[Action]) -> Vec<Result<(), SubmitError>> {
    actions.iter().filter_map(|action| if let Action::Paused { ask: 5, result } = action { Some(result.clone()) } else { None }).collect()
}

fn paused(desk: &mut Desk, until: Option<u64>) -> Vec<Action> {
    let written = desk.run([order(until)]);
    assert!(told(&written).is_empty(), "not before it is on disk");
    assert!(matches!(records(&written)[..], [Record::Paused { address: FROM, .. }]));
    desk.run([Event::Durable { ticket: ticket(&written) }])
}

fn asked(index: u32, nonce: Option<u64>) -> Asked {
    Asked { from: FROM, id: Uuid::from_u128(u128::from(index) + 1), nonce }
}

#[test]
fn a_paused_address_binds_nothing_new_and_what_is_bound_goes_on() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let first = desk.submit(1);
    assert_eq!(told(&paused(&mut desk, Some(u64::MAX))), [Ok(())]);
    let queued = desk.submit(1);
    assert!(matches!(records(&queued)[..], [Record::Accepted { .. }]), "it waits on disk");
    desk.run([Event::Durable { ticket: ticket(&queued) }]);
    assert_eq!(sent(&desk.run([Event::Durable { ticket: ticket(&first) }])).len(), 1);
    let view = desk.manager.inspect_address(FROM);
    assert_eq!((view.state, view.waiting, view.in_flight), (State::Paused, 1, 1));
    assert!(view.reason.expect("a reason").contains("paused by hand"));
    assert_eq!(told(&paused(&mut desk, Some(u64::MAX))), [Ok(())], "again is as good as once");
    let resumed = paused(&mut desk, None);
    assert_eq!(told(&resumed), [Ok(())]);
    assert!(resumed.iter().any(|action| matches!(action, Action::Load { .. })));
    assert_eq!(desk.manager.inspect_address(FROM).state, State::Running);
}

#[test]
fn a_pause_with_an_end_ends_by_itself() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    paused(&mut desk, Some(HOUR_US));
    desk.now = Duration::from_micros(HOUR_US - 2);
    desk.run([Event::Tick]);
    assert_eq!(desk.manager.inspect_address(FROM).state, State::Paused);
    desk.now = Duration::from_micros(HOUR_US);
    let actions = desk.run([Event::Tick]);
    assert!(matches!(records(&actions)[..], [Record::Paused { until: None, .. }]));
    assert_ne!(desk.manager.inspect_address(FROM).state, State::Paused);
}

#[test]
fn a_pause_survives_a_restart_unless_its_end_has_passed() {
    for (until, state) in [(u64::MAX, State::Paused), (HOUR_US, State::Paused), (1, State::New)] {
        let mut desk = Desk::new(TxmgrConfig { max_orchestrators: 1, ..TxmgrConfig::default() });
        desk.now = Duration::from_secs(1);
        let other = Address::repeat_byte(1);
        let recovered = |address, paused_until| {
            Event::Recovered(Recovered { address, floor: 0, bound: Vec::new(), paused_until, last_queue_number: Some(0), waiting_count: 1 })
        };
        desk.run([recovered(other, None), recovered(FROM, Some(until))]);
        assert_eq!(desk.manager.inspect_address(FROM).state, state, "{until}");
    }
}

#[test]
fn a_pause_that_the_disk_refuses_is_no_pause() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    desk.run([order(Some(u64::MAX))]);
    let actions = desk.run([Event::Refused]);
    assert!(matches!(told(&actions)[..], [Err(SubmitError::Busy { .. })]));
    assert_eq!(desk.manager.inspect_address(FROM).state, State::Stopped);
    desk.now += Duration::from_secs(1);
    desk.run([Event::Tick, order(Some(u64::MAX))]);
    assert_eq!(told(&desk.run([Event::Store { healthy: false }])), [Err(SubmitError::Unknown)]);
}

#[test]
fn the_shard_shows_each_stage_and_what_a_node_is_known_to_have() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let show = |desk: &Desk, nonce| desk.manager.inspect_transaction(&asked(0, nonce));
    let mut actions = Vec::new();
    let now = Now { elapsed: desk.now, unix_us: 1 };
    desk.manager.handle(Event::Submit(accept(0), ReplyTo { batch: 1, index: 0 }), now, &mut actions);
    assert_eq!(show(&desk, None).map(|live| live.stage), Some(Stage::Signing));
    let actions = desk.run([]);
    let hash = bound(&actions)[0].1;
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    let live = show(&desk, Some(7)).expect("open");
    assert_eq!((live.stage, live.answered, live.broadcast), (Stage::Submitting, false, Vec::new()));
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    let live = show(&desk, Some(7)).expect("open");
    assert_eq!((live.stage, live.answered, live.broadcast), (Stage::Tracking, true, vec![hash]));
    assert_eq!(desk.manager.inspect_transaction(&asked(1, Some(7))), None, "another's nonce");
    desk.block(11, &[hash]);
    assert_eq!(show(&desk, Some(7)).map(|live| live.stage), Some(Stage::Complete));
}

#[test]
fn what_is_held_at_the_cap_says_so_asks_for_the_price_and_goes_on_when_the_market_falls() {
    let mut desk = Desk::ready(TxmgrConfig { resubmit_interval_ms: 1000, ..TxmgrConfig::default() });
    desk.run([Event::Price(Some(MarketPrice::Legacy(195)))]);
    let actions = desk.submit(1);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::SubmittedNew), Event::Price(Some(MarketPrice::Legacy(300)))]);
    desk.now += Duration::from_secs(2);
    let again = sent(&desk.run([Event::Tick]));
    desk.run([answers(&again, &Outcome::FailedRequiresRetry(Reason::Other))]);
    let held = |desk: &Desk| desk.manager.inspect_transaction(&asked(0, Some(7))).expect("open").held;
    let words = held(&desk).expect("held");
    assert!(words.contains("needs 215") && words.contains("200"), "{words}");
    desk.run([Event::Price(Some(MarketPrice::Legacy(196)))]);
    assert!(held(&desk).is_some(), "still above its price");
    desk.now += Duration::from_secs(16);
    assert!(desk.run([Event::Tick]).iter().any(|action| matches!(action, Action::FetchPrice)), "the price is asked at the cache's pace");
    desk.run([Event::Price(Some(MarketPrice::Legacy(195)))]);
    assert_eq!(held(&desk), None);
}

#[test]
fn a_fixed_price_that_the_node_calls_too_low_is_shown_as_held() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let mut fixed = accept(0);
    fixed.row.request.fees = Fees::Legacy { gas_price: 3 };
    let actions = desk.run([Event::Submit(fixed, ReplyTo { batch: 1, index: 0 })]);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::FailedRequiresRetry(Reason::Underpriced))]);
    let words = desk.manager.inspect_transaction(&asked(0, Some(7))).and_then(|live| live.held).expect("held");
    assert!(words.contains("fixed price of 3 wei") && words.contains("as said"), "{words}");
}
