//! Slots, the line, states and windows, one rule a test (rows A1, A2, A3).

use super::super::super::event::Waiter;
use super::super::super::orchestrator::state::State;
use super::*;

const OTHER: Address = Address::repeat_byte(0xbb);
const THIRD: Address = Address::repeat_byte(0xcc);

/// Ready, with one slot, and the nonces of three addresses known.
fn desk(txmgr: TxmgrConfig) -> Desk {
    let mut desk = Desk::ready(TxmgrConfig { max_orchestrators: 1, ..txmgr });
    desk.run([Event::ChainNonce(OTHER, Some(0)), Event::ChainNonce(THIRD, Some(0))]);
    desk
}

fn submission(from: Address, number: u32) -> Event {
    let mut accept = accept(number);
    accept.row.request.from = from;
    Event::Submit(accept, ReplyTo { batch: u64::from(number), index: 0 })
}

fn waiter(from: Address, queue_number: u64, number: u32) -> Waiter {
    let mut row = accept(number).row;
    row.request.from = from;
    Waiter { queue_number, id: Uuid::from_u128(u128::from(number) + 1), row }
}

fn loads(actions: &[Action]) -> Vec<Address> {
    actions.iter().filter_map(|action| if let Action::Load { address, .. } = action { Some(*address) } else { None }).collect()
}

fn state(desk: &Desk, address: Address) -> State {
    desk.manager.addresses[desk.manager.numbers[&address] as usize].state
}

fn has_slot(desk: &Desk, address: Address) -> bool {
    desk.manager.addresses[desk.manager.numbers[&address] as usize].standing.has_slot()
}

/// Stores what was committed and has the node take what is sent then.
fn through(desk: &mut Desk, actions: &[Action]) -> Vec<Action> {
    let stored = desk.run([Event::Durable { ticket: ticket(actions) }]);
    let attempts = sent(&stored);
    desk.run([answers(&attempts, &Outcome::SubmittedNew)])
}

#[test]
fn a_slot_lasts_to_the_last_send_and_then_goes_to_the_one_that_has_waited_longest() {
    let mut desk = desk(TxmgrConfig::default());
    let first = desk.run([submission(FROM, 0)]);
    assert_eq!(bound(&first).len(), 1);
    for (number, from) in [(1, OTHER), (2, THIRD)] {
        let queued = desk.run([submission(from, number)]);
        assert!(bound(&queued).is_empty(), "the slot is taken");
        assert!(loads(&desk.run([Event::Durable { ticket: ticket(&queued) }])).is_empty());
    }
    assert_eq!([FROM, OTHER, THIRD].map(|from| state(&desk, from)), [State::Running, State::New, State::New]);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&first) }]));
    assert!(has_slot(&desk, FROM), "bound but unsent");
    let turn = desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    assert_eq!(loads(&turn), [OTHER]);
    let second = desk.run([Event::Loaded(OTHER, Some(vec![waiter(OTHER, 0, 1)]))]);
    assert_eq!(loads(&through(&mut desk, &second)), [THIRD]);
    assert_eq!([FROM, OTHER, THIRD].map(|from| state(&desk, from)), [State::Stopped, State::Stopped, State::Running]);
}

#[test]
fn who_stands_in_line_asks_for_nothing_before_its_turn() {
    let mut desk = Desk::ready(TxmgrConfig { max_orchestrators: 1, ..TxmgrConfig::default() });
    desk.run([submission(FROM, 0)]);
    let queued = desk.run([submission(OTHER, 1)]);
    let mut actions = desk.run([Event::Durable { ticket: ticket(&queued) }]);
    actions.extend(desk.block(11, &[]));
    desk.now += Duration::from_secs(2);
    actions.extend(desk.run([Event::Tick, Event::Price(Some(MarketPrice::Legacy(100)))]));
    let about_other =
        |action: &&Action| matches!(action, Action::FetchNonce(address, _) | Action::Load { address, .. } if *address == OTHER);
    assert_eq!(actions.iter().find(about_other).map(|action| format!("{action:?}")), None);
}

#[test]
fn an_idle_address_keeps_its_slot_for_a_while_unless_another_wants_it() {
    let mut desk = desk(TxmgrConfig::default());
    let first = desk.run([submission(FROM, 0)]);
    through(&mut desk, &first);
    assert_eq!((state(&desk, FROM), has_slot(&desk, FROM)), (State::Idle, true));
    desk.now += Duration::from_millis(999);
    desk.run([Event::Tick]);
    assert_eq!(state(&desk, FROM), State::Idle);
    desk.now += Duration::from_millis(1);
    desk.run([Event::Tick]);
    assert_eq!((state(&desk, FROM), has_slot(&desk, FROM)), (State::Stopped, false));
    let again = desk.run([submission(FROM, 1)]);
    through(&mut desk, &again);
    assert_eq!(bound(&desk.run([submission(OTHER, 2)])).len(), 1, "taken from the idle one, and bound at once");
    assert_eq!(state(&desk, FROM), State::Stopped);
}

#[test]
fn a_full_window_needs_no_slot_and_an_open_one_stands_in_line_again() {
    let mut desk = desk(TxmgrConfig { max_in_flight: 1, ..TxmgrConfig::default() });
    let first = desk.run([submission(FROM, 0), submission(FROM, 1)]);
    let hash = bound(&first)[0].1;
    through(&mut desk, &first);
    assert!(has_slot(&desk, FROM), "nobody else wants it");
    let other = desk.run([submission(OTHER, 2)]);
    assert_eq!(bound(&other).len(), 1);
    assert!(!has_slot(&desk, FROM));
    desk.block(11, &[hash]);
    assert_eq!((state(&desk, FROM), has_slot(&desk, FROM)), (State::New, false));
    assert_eq!(loads(&through(&mut desk, &other)), [FROM]);
}

#[test]
fn one_that_goes_on_and_on_is_swapped_out_after_the_timeout_once_all_that_is_bound_is_sent() {
    let mut desk = desk(TxmgrConfig { swap_timeout_ms: 1000, ..TxmgrConfig::default() });
    let first = desk.run([submission(FROM, 0)]);
    let queued = desk.run([submission(OTHER, 1)]);
    desk.run([Event::Durable { ticket: ticket(&queued) }]);
    desk.now += Duration::from_secs(1);
    desk.run([Event::Tick]);
    assert!(has_slot(&desk, FROM), "bound but unsent");
    let more = desk.run([submission(FROM, 2)]);
    assert!(bound(&more).is_empty(), "nothing new is bound by who has to leave");
    desk.run([Event::Durable { ticket: ticket(&more) }]);
    through(&mut desk, &first);
    assert!(has_slot(&desk, OTHER));
    assert_eq!((state(&desk, FROM), desk.manager.pool.wanted()), (State::New, true), "at the end of the line with what it has left");
}

#[test]
fn what_was_read_for_one_that_is_swapped_out_is_on_disk_only_and_is_read_again_in_order() {
    let mut desk = desk(TxmgrConfig { max_in_flight: 1, ..TxmgrConfig::default() });
    let recovered =
        Recovered { address: FROM, floor: 7, bound: Vec::new(), paused_until: None, last_queue_number: Some(4), waiting_count: 2 };
    desk.run([Event::Recovered(recovered), Event::ChainNonce(FROM, Some(7))]);
    let first = desk.run([Event::Loaded(FROM, Some(vec![waiter(FROM, 3, 0), waiter(FROM, 4, 1)]))]);
    let hash = bound(&first)[0].1;
    through(&mut desk, &first);
    let other = desk.run([submission(OTHER, 2)]);
    through(&mut desk, &other);
    let actions = desk.block(11, &[hash]);
    let load = actions.iter().find_map(|action| if let Action::Load { after, .. } = action { Some(*after) } else { None });
    assert_eq!(load, Some(Some(3)));
    assert_eq!(bound(&desk.run([Event::Loaded(FROM, Some(vec![waiter(FROM, 4, 1)]))])).len(), 1);
    assert_eq!(desk.manager.open().1, 0);
}

#[test]
fn work_without_progress_makes_an_address_stale_until_something_goes_on() {
    let mut desk = desk(TxmgrConfig { stale_timeout_ms: 5000, ..TxmgrConfig::default() });
    let first = desk.run([submission(FROM, 0)]);
    let hash = bound(&first)[0].1;
    through(&mut desk, &first);
    desk.now += Duration::from_secs(5);
    desk.run([Event::Tick]);
    assert_eq!(state(&desk, FROM), State::Stale);
    desk.now += Duration::from_secs(60);
    desk.run([Event::Tick]);
    assert_eq!(state(&desk, FROM), State::Stale, "for as long as its cause lasts");
    desk.block(11, &[hash]);
    assert_ne!(state(&desk, FROM), State::Stale);
}

#[test]
fn an_address_without_funds_binds_nothing_more_until_its_balance_suffices() {
    let mut desk = desk(TxmgrConfig::default());
    let first = desk.run([submission(FROM, 0)]);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&first) }]));
    desk.holds = Some(U256::ZERO);
    desk.run([answers(&attempts, &Outcome::FailedRequiresRetry(Reason::InsufficientFunds))]);
    assert_eq!(state(&desk, FROM), State::Waiting);
    let queued = desk.run([submission(FROM, 1)]);
    assert!(bound(&queued).is_empty());
    desk.run([Event::Durable { ticket: ticket(&queued) }]);
    desk.holds = Some(U256::MAX);
    let mut actions = desk.block(11, &[]);
    desk.now += Duration::from_secs(1);
    actions.extend(desk.run([Event::Tick]));
    assert_eq!(sent(&actions)[0], attempts[0], "the same bytes, once the head brings the money");
    assert_ne!(state(&desk, FROM), State::Waiting);
}

#[test]
fn a_node_without_room_halves_the_window_and_inclusions_widen_it() {
    let mut desk = desk(TxmgrConfig { max_in_flight: 8, ..TxmgrConfig::default() });
    let first = desk.run((0..4).map(|number| submission(FROM, number)));
    let hashes: Vec<B256> = bound(&first).iter().map(|bound| bound.1).collect();
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&first) }]));
    desk.run([answers(&attempts, &Outcome::FailedRequiresRetry(Reason::PoolLimit))]);
    let window = |desk: &Desk| desk.manager.addresses[desk.manager.numbers[&FROM] as usize].window.size();
    assert_eq!(window(&desk), 2, "four refusals at one head count once");
    assert!(bound(&desk.run([submission(FROM, 9)])).is_empty());
    desk.block(11, &hashes);
    assert_eq!(window(&desk), 6);
}

#[test]
fn an_address_may_have_a_window_of_its_own() {
    let own = crate::config::AddressConfig { max_in_flight: Some(1) };
    let mut desk = desk(TxmgrConfig { addresses: [(FROM, own)].into(), ..TxmgrConfig::default() });
    assert_eq!(bound(&desk.run([submission(FROM, 0), submission(FROM, 1)])).len(), 1);
}

#[test]
fn every_one_of_many_addresses_with_more_work_than_a_window_comes_to_its_turn() {
    let mut desk = Desk::ready(TxmgrConfig { max_orchestrators: 3, max_in_flight: 2, ..TxmgrConfig::default() });
    let address = |number: u64| Address::with_last_byte(number as u8);
    let mut left: std::collections::BTreeMap<Address, Vec<u64>> = (0..50).map(|number| (address(number), (0..5).collect())).collect();
    let mut todo: std::collections::VecDeque<Action> = std::collections::VecDeque::new();
    for from in left.keys() {
        let recovered =
            Recovered { address: *from, floor: 0, bound: Vec::new(), paused_until: None, last_queue_number: Some(4), waiting_count: 5 };
        todo.extend(desk.run([Event::Recovered(recovered)]));
    }
    let (mut block, mut pooled) = (11, Vec::new());
    let mut mined: std::collections::BTreeMap<Address, u64> = std::collections::BTreeMap::new();
    for _ in 0..10_000 {
        let Some(action) = todo.pop_front() else {
            if pooled.is_empty() {
                break;
            }
            let receipts = std::mem::take(&mut pooled);
            todo.extend(desk.run([Event::Block(SeenBlock {
                number: block,
                hash: B256::ZERO,
                seen_at: 9,
                receipts,
                authorizations: Vec::new(),
            })]));
            todo.extend(desk.run([Event::BlockStored { number: block, newest: true }]));
            block += 1;
            continue;
        };
        let event = match action {
            Action::FetchNonce(from, _) => Event::ChainNonce(from, Some(mined.get(&from).copied().unwrap_or(0))),
            Action::Load { address: from, after, .. } => {
                let rest = left[&from].iter().filter(|number| after.is_none_or(|after| **number > after));
                Event::Loaded(from, Some(rest.map(|number| waiter(from, *number, *number as u32 + 10 * u32::from(from[19]))).collect()))
            }
            Action::Commit { ticket, records } => {
                for record in &records {
                    let Record::Bound { from, queue_number: Some(number), .. } = record else { panic!("{record:?}") };
                    left.get_mut(from).expect("known").retain(|other| other != number);
                }
                Event::Durable { ticket }
            }
            Action::Send { lane, attempts } => {
                for (slot, raw) in &attempts {
                    let from = desk.manager.address(*slot).expect("known");
                    *mined.entry(from).or_default() += 1;
                    pooled.push(SeenReceipt { from, ..receipt(alloy::primitives::keccak256(raw)) });
                }
                let ends = attempts.iter().map(|(slot, _)| (*slot, SendEnd::Answered(Outcome::SubmittedNew, String::new()))).collect();
                Event::Sent { lane, ends, pause: None }
            }
            _ => continue,
        };
        todo.extend(desk.run([event]));
        assert!(desk.manager.pool.holders().count() <= 3, "never more than there are slots");
    }
    assert!(left.values().all(Vec::is_empty), "{left:?}");
    assert_eq!(mined.values().sum::<u64>(), 250);
}
