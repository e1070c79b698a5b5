//! Orders about accepted transactions, one rule a test (rows A6, A17).

use storage::{Dependency, ReceiptRow, Timeline};

use super::super::super::event::Waiter;
use super::super::super::order::{CANCELLED, Case, Change, Command, Done, Verdict};
use super::*;

const ID: Uuid = Uuid::from_u128(1);

fn order(command: Command) -> Event {
    Event::Order { id: ID, from: FROM, command, ask: Some(5) }
}

fn told(actions: &[Action]) -> Vec<Result<Done, SubmitError>> {
    actions.iter().filter_map(|action| if let Action::Ordered { ask: 5, result } = action { Some(result.clone()) } else { None }).collect()
}

fn words(actions: &[Action]) -> String {
    match &told(actions)[..] {
        [Err(error)] => error.to_string(),
        other => panic!("one refusal: {other:?}"),
    }
}

fn asks_for_case(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::LoadCase { id: ID, .. }))
}

fn case(place: Place, in_line: Option<u64>) -> Case {
    let row = TransactionRow { place, ..accept(0).row };
    Case { row, in_line, bound: false, receipt: None, failure: None, dependencies: Vec::new(), generations: Vec::new() }
}

fn bound_case() -> Case {
    Case { bound: true, ..case(Place::Nowhere, None) }
}

/// Gives the order, and tells what the disk holds.
fn ordered(desk: &mut Desk, command: Command, case: Case) -> Vec<Action> {
    let actions = desk.run([order(command)]);
    assert!(asks_for_case(&actions) && told(&actions).is_empty(), "{actions:?}");
    desk.run([Event::Case(ID, Some(Box::new(case)))])
}

/// One transaction that waits on disk, unread.
fn waiting() -> Desk {
    let mut desk = Desk::new(TxmgrConfig::default());
    let actions = desk.submit(1);
    desk.run([Event::Durable { ticket: ticket(&actions) }]);
    desk
}

/// One transaction that is with the node, and its hash.
fn sent_one() -> (Desk, B256) {
    let mut desk = Desk::ready(TxmgrConfig { finality_depth: 2, ..TxmgrConfig::default() });
    let actions = desk.submit(1);
    let hash = bound(&actions)[0].1;
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    (desk, hash)
}

#[test]
fn a_waiting_transaction_that_is_cancelled_ends_at_once_and_is_never_read_again() {
    let mut desk = waiting();
    let actions = ordered(&mut desk, Command::Cancel, case(Place::Line(0), Some(0)));
    let [Record::Failed { id: ID, queue_number: Some(0), failure, .. }] = records(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(failure.reason, CANCELLED);
    assert!(told(&actions).is_empty(), "not before it is on disk");
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert_eq!(told(&actions), [Ok(Done::Cancelled)]);
    assert_eq!(desk.manager.open(), (0, 0));
    let ended = Case { failure: Some(CANCELLED.into()), ..case(Place::Line(0), None) };
    assert_eq!(told(&ordered(&mut desk, Command::Cancel, ended.clone())), [Ok(Done::Cancelled)], "again is as good as once");
    assert!(words(&ordered(&mut desk, Command::Suspend, ended)).contains("has ended (cancelled"));
}

#[test]
fn an_order_that_the_disk_refuses_changes_nothing() {
    for command in [Command::Cancel, Command::Suspend] {
        let mut desk = waiting();
        ordered(&mut desk, command, case(Place::Line(0), Some(0)));
        assert_eq!(desk.manager.open().1, 0);
        let actions = desk.run([Event::Refused]);
        assert!(matches!(told(&actions)[..], [Err(SubmitError::Busy { .. })]));
        assert_eq!(desk.manager.open().1, 1, "it waits as before");
    }
}

#[test]
fn what_has_been_read_leaves_the_buffer_and_its_line_is_not_read_while_that_is_written() {
    let mut desk = Desk::new(TxmgrConfig::default());
    let actions = desk.submit(2);
    desk.run([Event::Durable { ticket: ticket(&actions) }]);
    let row = |index: u32| {
        let Accept { id, row, .. } = accept(index);
        Waiter { queue_number: index.into(), id, row }
    };
    desk.run([Event::Node { healthy: true, chain_id: Some(1) }, Event::BlockStored { number: 1, newest: true }]);
    desk.run([Event::ChainNonce(FROM, Some(0))]);
    let loading = desk.run([order(Command::Suspend)]);
    assert!(asks_for_case(&loading));
    let held = desk.run([Event::Case(ID, Some(Box::new(case(Place::Line(0), Some(0)))))]);
    assert!(records(&held).is_empty(), "what is being read may hold it");
    let again = desk.run([Event::Loaded(FROM, Some(vec![row(0), row(1)]))]);
    assert!(asks_for_case(&again));
    let actions = desk.run([Event::Case(ID, Some(Box::new(case(Place::Line(0), Some(0)))))]);
    assert!(matches!(
        records(&actions)[..],
        [Record::Changed { left: Some(0), transaction: TransactionRow { place: Place::Suspended, .. }, .. }]
    ));
    let actions = desk.run([Event::Price(Some(MarketPrice::Legacy(100))), Event::Durable { ticket: ticket(&actions) }]);
    assert_eq!(told(&actions), [Ok(Done::Suspended)]);
    let bound: Vec<Uuid> =
        records(&actions).iter().filter_map(|record| if let Record::Bound { id, .. } = record { Some(*id) } else { None }).collect();
    assert!(!bound.contains(&ID), "{bound:?}");
}

#[test]
fn a_suspended_transaction_goes_to_the_end_of_its_line_when_it_is_resumed() {
    let mut desk = waiting();
    assert_eq!(told(&ordered(&mut desk, Command::Suspend, case(Place::Suspended, None))), [Ok(Done::Suspended)]);
    let actions = ordered(&mut desk, Command::Resume, case(Place::Suspended, None));
    assert!(matches!(records(&actions)[..], [Record::Changed { transaction: TransactionRow { place: Place::Line(1), .. }, .. }]));
    assert_eq!(told(&desk.run([Event::Durable { ticket: ticket(&actions) }])), [Ok(Done::Resumed)]);
    assert_eq!(told(&ordered(&mut desk, Command::Resume, case(Place::Line(1), Some(1)))), [Ok(Done::Resumed)]);
}

#[test]
fn what_is_bound_cannot_be_suspended_or_resumed_and_the_error_names_cancel() {
    for command in [Command::Suspend, Command::Resume] {
        let (mut desk, _) = sent_one();
        let words = words(&ordered(&mut desk, command, bound_case()));
        assert!(words.contains("nonce 7") && words.contains("ptx_cancelTransaction"), "{words}");
    }
}

/// One that is being cancelled: hashes of the request and of the transfer to oneself.
fn cancelling() -> (Desk, B256, B256) {
    let (mut desk, first) = sent_one();
    let actions = ordered(&mut desk, Command::Cancel, bound_case());
    let Some(Record::Attempt { attempt, .. }) = records(&actions).first().copied() else { panic!("{actions:?}") };
    assert_eq!((attempt.nonce, attempt.fees, attempt.closing.as_deref()), (7, AttemptFees::Legacy { gas_price: 110 }, Some(CANCELLED)));
    let closing = attempt.hash;
    assert!(told(&actions).is_empty(), "not before it is on disk");
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert_eq!(told(&actions), [Ok(Done::Cancelling)]);
    (desk, first, closing)
}

fn reasons(actions: &[Action]) -> Vec<&str> {
    let reason = |record: &Record| if let Record::Failed { failure, .. } = record { Some(failure.reason.clone()) } else { None };
    let found: Vec<String> = records(actions).into_iter().filter_map(reason).collect();
    found.into_iter().map(|reason| if reason == CANCELLED { CANCELLED } else { "something else" }).collect()
}

#[test]
fn a_bound_transaction_is_cancelled_by_a_transfer_to_oneself_if_that_is_mined() {
    let (mut desk, _, closing) = cancelling();
    assert_eq!(told(&ordered(&mut desk, Command::Cancel, bound_case())), [Ok(Done::Cancelling)], "again is as good as once");
    let update = Command::Update(Change { gas: Some(50_000), ..Change::default() });
    assert!(words(&ordered(&mut desk, update, bound_case())).contains("being closed"));
    desk.block(11, &[closing]);
    assert_eq!(told(&ordered(&mut desk, Command::Cancel, bound_case())), [Ok(Done::Cancelling)], "it could be undone");
    assert_eq!(reasons(&desk.block(12, &[])), [CANCELLED]);
}

#[test]
fn a_transaction_that_is_mined_before_the_transfer_that_would_have_cancelled_it_is_not_cancelled() {
    let (mut desk, first, _) = cancelling();
    desk.block(11, &[first]);
    assert!(words(&ordered(&mut desk, Command::Cancel, bound_case())).contains("mined in block 11"));
    assert!(reasons(&desk.block(12, &[])).is_empty());
}

#[test]
fn a_cancel_that_came_too_late_never_turns_its_transfer_into_the_request_when_the_block_leaves_the_chain() {
    let mut desk = Desk::ready(TxmgrConfig { resubmit_interval_ms: 1000, finality_depth: 5, ..TxmgrConfig::default() });
    let actions = desk.submit(1);
    let first = bound(&actions)[0].1;
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    // The transfer to oneself is on its way to the disk when a block holds the request.
    let closing = ordered(&mut desk, Command::Cancel, bound_case());
    let again = desk.block(11, &[first]);
    assert!(asks_for_case(&again), "the order is looked at anew");
    assert!(words(&desk.run([Event::Case(ID, Some(Box::new(bound_case())))])).contains("mined in block 11"));
    desk.run([Event::Durable { ticket: ticket(&closing) }]);
    let resent = sent(&desk.run([Event::Rewind { to: 10 }]));
    desk.run([answers(&resent, &Outcome::SubmittedNew)]);
    desk.now += Duration::from_secs(2);
    let actions = desk.run([Event::Tick, Event::Price(Some(MarketPrice::Legacy(100)))]);
    let Some(Record::Attempt { attempt, .. }) = records(&actions).first().copied() else { panic!("{actions:?}") };
    assert_eq!(attempt.closing.as_deref(), Some(CANCELLED), "what is to oneself is never taken for the request");
}

#[test]
fn a_cancel_that_comes_while_a_higher_price_is_signed_is_not_forgotten() {
    let mut desk = Desk::ready(TxmgrConfig { resubmit_interval_ms: 1000, ..TxmgrConfig::default() });
    let actions = desk.submit(1);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    desk.now += Duration::from_secs(2);
    let raised = desk.run([Event::Tick]);
    assert!(matches!(records(&raised)[..], [Record::Attempt { .. }]));
    ordered(&mut desk, Command::Cancel, bound_case());
    let actions = desk.run([Event::Durable { ticket: ticket(&raised) }]);
    let Some(Record::Attempt { attempt, .. }) = records(&actions).first().copied() else { panic!("{actions:?}") };
    assert_eq!((attempt.attempt, attempt.closing.as_deref()), (2, Some(CANCELLED)));
}

#[test]
fn an_update_of_a_bound_transaction_is_one_commit_with_its_replacement_and_the_receipt_names_what_was_mined() {
    for (newer, mined) in [(true, (1, 0)), (false, (0, 0))] {
        let (mut desk, first) = sent_one();
        let change = Change { value: Some(U256::from(9)), gas: Some(30_000), ..Change::default() };
        let actions = ordered(&mut desk, Command::Update(change), bound_case());
        let [Record::Changed { transaction, replaced: Some((0, before)), left: None, .. }, Record::Attempt { attempt, .. }] =
            records(&actions)[..]
        else {
            panic!("{actions:?}")
        };
        assert_eq!((transaction.generation, transaction.request.value, before.request.value), (1, U256::from(9), U256::ZERO));
        assert_eq!((attempt.generation, attempt.attempt, attempt.nonce, attempt.gas), (1, 0, 7, 30_000));
        assert_eq!(attempt.fees, AttemptFees::Legacy { gas_price: 110 });
        let second = attempt.hash;
        assert!(told(&actions).is_empty());
        let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
        assert_eq!(told(&actions), [Ok(Done::Updated(1))]);
        assert_eq!(sent(&actions).len(), 1);
        let actions = desk.block(11, &[if newer { second } else { first }]);
        assert_eq!(in_receipt(&actions), Some(mined), "an attempt of an earlier generation counts too");
    }
}

/// Generation and attempt that the receipt names.
fn in_receipt(actions: &[Action]) -> Option<(u16, u16)> {
    let receipts = actions.iter().find_map(|action| if let Action::Effects(effects) = action { effects.receipts.first() } else { None });
    receipts.map(|(_, row)| (row.generation, row.attempt))
}

#[test]
fn a_price_that_replaces_nothing_is_refused_with_the_minimum() {
    let (mut desk, _) = sent_one();
    let change = |gas_price| Command::Update(Change { fees: Some(Fees::Legacy { gas_price }), ..Change::default() });
    let words = words(&ordered(&mut desk, change(109), bound_case()));
    assert!(words.contains("109 wei") && words.contains("maxFeePerGas 110") && words.contains("gasPrice 110"), "{words}");
    assert_eq!(records(&ordered(&mut desk, change(110), bound_case())).len(), 2);
}

#[test]
fn an_update_without_a_signature_or_without_a_disk_leaves_the_generation_before_it() {
    let (mut desk, first) = sent_one();
    let update = || Command::Update(Change { gas: Some(30_000), ..Change::default() });
    desk.sign_fails.push(7);
    let actions = ordered(&mut desk, update(), bound_case());
    assert!(records(&actions).is_empty() && matches!(told(&actions)[..], [Err(SubmitError::Busy { .. })]), "{actions:?}");
    desk.sign_fails.clear();
    ordered(&mut desk, update(), bound_case());
    desk.run([Event::Refused]);
    let actions = desk.block(11, &[first]);
    assert_eq!(in_receipt(&actions), Some((0, 0)));
}

#[test]
fn new_content_without_a_gas_limit_of_its_own_is_estimated_and_one_that_reverts_is_refused() {
    let (mut desk, _) = sent_one();
    let mut estimated = bound_case();
    estimated.row.request.gas = None;
    let update = || Command::Update(Change { data: Some(Bytes::from_static(&[1])), ..Change::default() });
    let asks = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::Estimate(ID, _)));
    let old = Box::new(estimated.row.request.clone());
    let new = Box::new(Request { data: Bytes::from_static(&[1]), ..estimated.row.request.clone() });
    let reverts = || Err(NoEstimate::Fails("execution reverted: no".into()));
    assert!(asks(&ordered(&mut desk, update(), estimated.clone())));
    let actions = desk.run([Event::Estimated(ID, old, reverts())]);
    assert!(actions.is_empty(), "an estimate of the content before says nothing: {actions:?}");
    let refused = desk.run([Event::Estimated(ID, new.clone(), reverts())]);
    assert!(words(&refused).contains("execution reverted: no"));
    assert!(asks(&ordered(&mut desk, update(), estimated.clone())));
    assert!(asks_for_case(&desk.run([Event::Estimated(ID, new, Ok(40_000))])));
    let actions = desk.run([Event::Case(ID, Some(Box::new(estimated)))]);
    let [Record::Changed { transaction, .. }, Record::Attempt { attempt, .. }] = records(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!((transaction.request.gas, attempt.gas), (None, 60_000));
}

#[test]
fn an_earlier_generation_is_restored_by_an_update_that_names_it() {
    let mut desk = waiting();
    let before = storage::GenerationRow { request: accept(3).row.request, replaced_at: 1 };
    let mut now = case(Place::Line(0), Some(0));
    now.row.generation = 2;
    // The first one has no row of its own: it asked for what the second did.
    now.generations = vec![(1, before)];
    let restored = |generation| Command::Update(Change { generation: Some(generation), ..Change::default() });
    let actions = ordered(&mut desk, restored(0), now.clone());
    let [Record::Changed { transaction, replaced: Some((2, _)), .. }] = records(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!((transaction.generation, transaction.request.value), (3, U256::from(3)));
    assert_eq!(told(&desk.run([Event::Durable { ticket: ticket(&actions) }])), [Ok(Done::Updated(3))]);
    assert!(words(&ordered(&mut desk, restored(3), now.clone())).contains("its newest is 2"));
    assert_eq!(told(&ordered(&mut desk, restored(2), now)), [Ok(Done::Updated(2))], "nothing changes");
}

#[test]
fn what_depends_on_others_is_stored_and_released_when_all_have_succeeded() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let other = Dependency { id: Uuid::from_u128(9), from: Address::repeat_byte(9) };
    let mut dependent = accept(0);
    dependent.row.depends_on = vec![other];
    let actions = desk.run([Event::Submit(dependent, ReplyTo { batch: 1, index: 0 })]);
    let [Record::Accepted { transaction, .. }] = records(&actions)[..] else { panic!("{actions:?}") };
    assert_eq!(transaction.place, Place::Blocked);
    let mut blocked = case(Place::Blocked, None);
    blocked.row = transaction.clone();
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert_eq!(replies(&actions), [Ok(ID)]);
    let watch = |action: &Action| matches!(action, Action::Tell(to, event) if *to == other.from && matches!(**event, Event::Watch { dependent: ID, .. }));
    assert!(actions.iter().any(watch), "{actions:?}");
    let check = |desk: &mut Desk, verdict| {
        desk.run([super::super::orders::check(ID, FROM)]);
        desk.run([Event::Case(ID, Some(Box::new(Case { dependencies: vec![verdict], ..blocked.clone() })))])
    };
    assert!(records(&check(&mut desk, Verdict::Open)).is_empty());
    let actions = check(&mut desk, Verdict::Succeeded);
    assert!(matches!(records(&actions)[..], [Record::Changed { transaction: TransactionRow { place: Place::Line(0), .. }, .. }]));
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert!(actions.iter().any(|action| matches!(action, Action::Load { .. })), "it waits for its turn");
    let unwatch = |action: &Action| matches!(action, Action::Tell(_, event) if matches!(**event, Event::Unwatch(_)));
    assert_eq!(actions.iter().filter(|action| unwatch(action)).count(), 1);
}

#[test]
fn the_failure_of_one_fails_what_depends_on_it_and_so_on() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    desk.run([Event::Watched(ID, 1)]);
    let blocked = Case {
        dependencies: vec![Verdict::Open, Verdict::Failed("transaction x, on which it depends, has failed".into())],
        ..case(Place::Blocked, None)
    };
    desk.run([super::super::orders::check(ID, FROM)]);
    let actions = desk.run([Event::Case(ID, Some(Box::new(blocked)))]);
    let [Record::Failed { failure, .. }] = records(&actions)[..] else { panic!("{actions:?}") };
    assert!(failure.reason.contains("on which it depends"), "{failure:?}");
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert!(actions.iter().any(|action| matches!(action, Action::Settled(ID))), "what depends on it hears of it");
}

#[test]
fn who_is_depended_on_tells_when_it_succeeds_and_when_that_is_final() {
    let (mut desk, hash) = sent_one();
    desk.run([Event::Watched(ID, 1)]);
    let settled = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::Settled(ID)));
    assert!(settled(&desk.block(11, &[hash])));
    assert!(settled(&desk.block(12, &[])));
}

#[test]
fn orders_about_one_transaction_are_carried_out_one_after_the_other() {
    let mut desk = waiting();
    let actions = desk.run([order(Command::Suspend), order(Command::Cancel)]);
    assert_eq!(actions.iter().filter(|action| matches!(action, Action::LoadCase { .. })).count(), 1);
    let actions = desk.run([Event::Case(ID, Some(Box::new(case(Place::Line(0), Some(0)))))]);
    assert!(!asks_for_case(&actions));
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert_eq!(told(&actions), [Ok(Done::Suspended)]);
    assert!(asks_for_case(&actions), "the second one is decided on what the first one wrote");
}

#[test]
fn what_is_final_and_forgotten_was_mined() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let receipt = ReceiptRow {
        transaction_hash: B256::ZERO,
        generation: 0,
        attempt: 0,
        nonce: 1,
        block_number: 8,
        block_hash: B256::ZERO,
        transaction_index: 0,
        success: true,
        gas_used: 1,
        effective_gas_price: 1,
        contract_address: None,
        timeline: Timeline::default(),
    };
    let mined = Case { receipt: Some(receipt), ..bound_case() };
    assert!(words(&ordered(&mut desk, Command::Cancel, mined)).contains("mined in block 8"));
}
