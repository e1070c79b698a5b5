//! Submissions that wait in memory for what the chain is asked about their address.

use super::*;

/// Ready to bind, but for what is to be asked about [`FROM`].
fn unknown_address(txmgr: TxmgrConfig) -> Desk {
    let mut desk = Desk::new(txmgr);
    desk.run([
        Event::Node { healthy: true, chain_id: Some(1) },
        Event::BlockStored { number: 10, newest: true },
        Event::Price(Some(MarketPrice::Legacy(100))),
    ]);
    desk
}

/// Ids of what was queued, in the order of their numbers, which start at 0.
fn queued(actions: &[Action]) -> Vec<Uuid> {
    let place = |record: &Record| match record {
        Record::Accepted { id, transaction: TransactionRow { place: Place::Line(number), .. }, .. } => Some((*number, *id)),
        _ => None,
    };
    let (numbers, ids): (Vec<u64>, Vec<Uuid>) = records(actions).into_iter().filter_map(place).unzip();
    assert!(numbers.iter().copied().eq(0..numbers.len() as u64), "{numbers:?}");
    ids
}

fn ids(count: u32) -> Vec<Uuid> {
    (0..count).map(|index| accept(index).id).collect()
}

#[test]
fn what_waits_for_the_chains_answer_is_written_once_and_bound_in_order() {
    let mut desk = unknown_address(TxmgrConfig::default());
    let asked = desk.submit(3);
    assert!(records(&asked).is_empty() && replies(&asked).is_empty(), "{asked:?}");
    assert_eq!(asked.iter().filter(|action| matches!(action, Action::FetchNonce(..))).count(), 1);
    let actions = desk.run([Event::ChainNonce(FROM, Some(7))]);
    let bound: Vec<_> = records(&actions).into_iter().map(|record| matches!(record, Record::Bound { accepted: Some(_), .. })).collect();
    assert_eq!(bound, [true; 3], "{actions:?}");
    assert!(replies(&actions).is_empty(), "not before it is on disk");
    assert_eq!(replies(&desk.run([Event::Durable { ticket: ticket(&actions) }])), ids(3).into_iter().map(Ok).collect::<Vec<_>>());
}

#[test]
fn when_the_chain_is_slow_the_queue_on_disk_takes_them() {
    let mut desk = unknown_address(TxmgrConfig::default());
    let asked = desk.submit(3);
    let due = asked.iter().find_map(|action| if let Action::WakeAt(at) = action { Some(*at) } else { None });
    assert_eq!(due, Some(Duration::from_millis(100)), "{asked:?}");
    desk.now = Duration::from_millis(99);
    assert!(records(&desk.run([Event::Tick])).is_empty());
    desk.now = Duration::from_millis(100);
    let actions = desk.run([Event::Tick]);
    assert_eq!(queued(&actions), ids(3));
    assert_eq!(replies(&desk.run([Event::Durable { ticket: ticket(&actions) }])).len(), 3);
}

#[test]
fn a_chain_that_does_not_answer_is_not_waited_for() {
    let mut desk = unknown_address(TxmgrConfig::default());
    desk.submit(2);
    assert_eq!(queued(&desk.run([Event::ChainNonce(FROM, None)])), ids(2));
}

#[test]
fn what_cannot_wait_in_memory_does_not_overtake_what_does() {
    let mut desk = unknown_address(TxmgrConfig::default());
    desk.submit(2);
    let mut without_gas = accept(2);
    without_gas.row.request.gas = None;
    assert_eq!(queued(&desk.run([Event::Submit(without_gas, ReplyTo { batch: 2, index: 0 })])), ids(3));
}

#[test]
fn many_of_one_address_and_large_ones_go_to_the_disk() {
    let mut desk = unknown_address(TxmgrConfig::default());
    assert!(records(&desk.submit(16)).is_empty());
    assert_eq!(queued(&desk.run([Event::Submit(accept(16), ReplyTo { batch: 2, index: 0 })])), ids(17));
    let mut desk = unknown_address(TxmgrConfig::default());
    let mut large = accept(0);
    large.row.request.data = vec![0; 4097].into();
    assert_eq!(queued(&desk.run([Event::Submit(large, ReplyTo { batch: 1, index: 0 })])), ids(1));
}

#[test]
fn a_store_that_fails_lets_their_callers_know_and_a_shutdown_writes_them() {
    let mut desk = unknown_address(TxmgrConfig::default());
    desk.submit(2);
    let actions = desk.run([Event::Store { healthy: false }]);
    assert!(replies(&actions).iter().all(|reply| matches!(reply, Err(SubmitError::Busy { .. }))) && records(&actions).is_empty());
    assert_eq!(replies(&actions).len(), 2);
    let mut desk = unknown_address(TxmgrConfig::default());
    desk.submit(2);
    assert_eq!(queued(&desk.run([Event::Shutdown])), ids(2));
}

#[test]
fn who_is_asked_about_keeps_the_slot_meanwhile() {
    let mut desk = unknown_address(TxmgrConfig { max_orchestrators: 1, ..TxmgrConfig::default() });
    desk.submit(1);
    let mut other = accept(1);
    other.row.request.from = Address::repeat_byte(0xbb);
    let actions = desk.run([Event::Submit(other, ReplyTo { batch: 2, index: 0 })]);
    assert_eq!(queued(&actions).len(), 1, "the other one stands in line");
    desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert_eq!(bound(&desk.run([Event::ChainNonce(FROM, Some(7))])).len(), 1);
}

#[test]
fn an_earlier_timer_of_the_address_does_not_take_theirs_away() {
    let mut desk = unknown_address(TxmgrConfig { stale_timeout_ms: 50, ..TxmgrConfig::default() });
    desk.submit(1);
    desk.now = Duration::from_millis(50);
    let actions = desk.run([Event::Tick]);
    assert!(records(&actions).is_empty());
    assert!(actions.iter().any(|action| matches!(action, Action::WakeAt(at) if *at == Duration::from_millis(100))), "{actions:?}");
    desk.now = Duration::from_millis(100);
    assert_eq!(queued(&desk.run([Event::Tick])), ids(1));
}
