//! Funds, one rule a test.

use std::time::Duration;

use alloy::primitives::{Address, Bytes, U256};
use storage::Record;
use uuid::Uuid;

use super::super::balance::Unavailable;
use super::super::event::{Action, Counted, Event, ReplyTo, Slot, Waiter};
use super::super::gas_price::MarketPrice;
use super::super::outcome::{Outcome, Reason};
use super::tests::{Desk, FROM, accept, answers, bound, records, sent, ticket};
use crate::config::TxmgrConfig;

/// A transfer of the desk: 21,000 gas at 100 wei, and its number in wei.
const GAS: u64 = 2_100_000;

fn desk(config: TxmgrConfig, holds: u64) -> Desk {
    let mut desk = Desk::ready(config);
    desk.holds = None;
    desk.run([Event::Balance(FROM, Some(U256::from(holds)))]);
    desk
}

fn asks(actions: &[Action]) -> usize {
    actions.iter().filter(|action| matches!(action, Action::FetchBalance(_))).count()
}

fn waiter(number: u32) -> Waiter {
    Waiter { queue_number: u64::from(number), id: Uuid::from_u128(u128::from(number) + 1), row: accept(number).row }
}

/// Submits `count` more than can be paid for: they wait in the queue, read from disk.
fn queue(desk: &mut Desk, count: u32) -> Vec<Action> {
    let actions = desk.submit(count);
    assert!(bound(&actions).is_empty(), "{actions:?}");
    desk.run([Event::Durable { ticket: ticket(&actions) }]);
    desk.run([Event::Loaded(FROM, Some((0..count).map(waiter).collect()))])
}

/// Submits and sends so many; gives what was sent.
fn send(desk: &mut Desk, count: u32) -> Vec<(Slot, Bytes)> {
    let actions = desk.submit(count);
    sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]))
}

fn shortage(desk: &Desk) -> Option<String> {
    desk.manager.addresses[0].balance.shortage().map(|shortage| shortage.to_string())
}

const REFUSED: Outcome = Outcome::FailedRequiresRetry(Reason::InsufficientFunds);

#[test]
fn nothing_is_bound_before_the_balance_is_known() {
    let mut desk = Desk::new(TxmgrConfig::default());
    desk.holds = None;
    desk.run([
        Event::Node { healthy: true, chain_id: Some(1) },
        Event::BlockStored { number: 10, newest: true },
        Event::Price(Some(MarketPrice::Legacy(100))),
    ]);
    let actions = desk.submit(1);
    let asked = |action: &Action| matches!(action, Action::FetchBalance(_) | Action::FetchNonce(..));
    assert_eq!(actions.iter().filter(|action| asked(action)).count(), 2, "both questions leave together: {actions:?}");
    assert!(records(&desk.run([Event::ChainNonce(FROM, Some(0))])).is_empty());
    assert_eq!(shortage(&desk), None, "that an answer is on its way is no shortage");
    assert_eq!(bound(&desk.run([Event::Balance(FROM, Some(U256::from(GAS)))])).len(), 1);
}

#[test]
fn what_the_balance_does_not_cover_waits_says_why_and_goes_on_by_itself() {
    let mut desk = desk(TxmgrConfig::default(), GAS - 1);
    let actions = queue(&mut desk, 2);
    assert!(bound(&actions).is_empty());
    assert!(actions.iter().any(|action| matches!(action, Action::Count(Counted::WaitingForFunds(1)))), "{actions:?}");
    assert_eq!(shortage(&desk).as_deref(), Some("insufficient funds: needs 2100000 wei, has 2099999 wei"));
    let actions = desk.run([Event::BlockStored { number: 11, newest: true }]);
    assert_eq!(asks(&actions), 1);
    let actions = desk.run([Event::Balance(FROM, Some(U256::from(2 * GAS)))]);
    assert_eq!(bound(&actions).iter().map(|bound| bound.0).collect::<Vec<_>>(), [7], "the second needs one wei more");
    desk.run([Event::BlockStored { number: 12, newest: true }]);
    let actions = desk.run([Event::Balance(FROM, Some(U256::from(2 * GAS + 1)))]);
    assert_eq!(bound(&actions).iter().map(|bound| bound.0).collect::<Vec<_>>(), [8]);
    assert!(actions.iter().any(|action| matches!(action, Action::Count(Counted::WaitingForFunds(-1)))), "{actions:?}");
    assert_eq!(shortage(&desk), None);
}

#[test]
fn nothing_later_overtakes_what_waits_for_funds() {
    let mut desk = desk(TxmgrConfig::default(), GAS);
    let mut dear = accept(0);
    dear.row.request.value = U256::from(1);
    let actions = desk.run([Event::Submit(dear, ReplyTo { batch: 1, index: 0 }), Event::Submit(accept(0), ReplyTo { batch: 1, index: 1 })]);
    assert!(bound(&actions).is_empty(), "the second could be paid for: {actions:?}");
}

#[test]
fn an_address_without_funds_delays_no_other() {
    let mut desk = desk(TxmgrConfig::default(), 0);
    let other = Address::repeat_byte(0xbb);
    desk.run([Event::ChainNonce(other, Some(0)), Event::Balance(other, Some(U256::from(GAS)))]);
    queue(&mut desk, 1);
    let mut rich = accept(0);
    rich.row.request.from = other;
    assert_eq!(bound(&desk.run([Event::Submit(rich, ReplyTo { batch: 2, index: 0 })])).len(), 1);
}

#[test]
fn a_waiting_address_is_read_once_per_head_however_often_it_is_looked_at() {
    let mut desk = desk(TxmgrConfig::default(), 0);
    queue(&mut desk, 1);
    for _ in 0..5 {
        assert_eq!(asks(&desk.run([Event::ChainNonce(FROM, Some(7)), Event::Balance(FROM, Some(U256::ZERO))])), 0);
    }
    assert_eq!(asks(&desk.run([Event::BlockStored { number: 11, newest: true }])), 1);
    assert_eq!(asks(&desk.run([Event::BlockStored { number: 12, newest: true }])), 0, "one question at a time");
}

#[test]
fn on_a_chain_that_stands_still_a_waiting_address_is_read_after_the_stage_retry() {
    let mut desk = desk(TxmgrConfig { stage_retry_ms: 4000, ..TxmgrConfig::default() }, 0);
    queue(&mut desk, 1);
    desk.now += Duration::from_millis(3999);
    assert_eq!(asks(&desk.run([Event::Tick])), 0);
    desk.now += Duration::from_millis(1);
    assert_eq!(asks(&desk.run([Event::Tick])), 1);
    assert_eq!(bound(&desk.run([Event::Balance(FROM, Some(U256::from(GAS)))])).len(), 1);
}

#[test]
fn an_inclusion_costs_what_it_really_took_and_frees_what_was_reserved() {
    let mut desk = desk(TxmgrConfig::default(), GAS + 100);
    let actions = desk.submit(1);
    let hash = bound(&actions)[0].1;
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    assert_eq!(desk.manager.addresses[0].balance.reserved(), U256::from(GAS));
    // 21,000 gas at the effective price of 1 wei.
    desk.block(11, &[hash]);
    let balance = &desk.manager.addresses[0].balance;
    assert_eq!((balance.known(), balance.reserved()), (Some(U256::from(GAS + 100 - 21_000)), U256::ZERO));
}

#[test]
fn a_reorg_reserves_again_and_reads_the_balance() {
    let mut desk = desk(TxmgrConfig::default(), GAS);
    let actions = desk.submit(1);
    let hash = bound(&actions)[0].1;
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    desk.block(11, &[hash]);
    let actions = desk.run([Event::Rewind { to: 10 }]);
    assert_eq!(asks(&actions), 1);
    assert_eq!(desk.manager.addresses[0].balance.reserved(), U256::from(GAS));
}

#[test]
fn bound_bytes_refused_for_funds_are_held_until_the_balance_suffices_and_go_out_as_they_are() {
    let mut desk = desk(TxmgrConfig::default(), 3 * GAS + 3);
    let attempts = send(&mut desk, 3);
    assert_eq!(attempts.len(), 3);
    let actions = desk.run([answers(&attempts, &REFUSED)]);
    assert_eq!(asks(&actions), 1, "one question for all three");
    desk.run([Event::Balance(FROM, Some(U256::ZERO))]);
    assert!(shortage(&desk).is_some_and(|words| words.contains("has 0 wei")));
    desk.now += Duration::from_secs(3600);
    assert!(sent(&desk.run([Event::Tick])).is_empty(), "nothing goes out blindly");
    // Money for the first two.
    let actions = desk.run([Event::Balance(FROM, Some(U256::from(2 * GAS + 1)))]);
    assert_eq!(sent(&actions), attempts[..2]);
    desk.run([Event::Balance(FROM, Some(U256::from(3 * GAS + 3)))]);
    let actions = desk.run([answers(&attempts[..2], &Outcome::SubmittedNew)]);
    assert_eq!(sent(&actions), attempts[2..], "as soon as the lane is free");
    assert_eq!(shortage(&desk), None);
}

#[test]
fn while_bound_bytes_wait_for_funds_nothing_more_is_bound() {
    let mut desk = desk(TxmgrConfig::default(), 10 * GAS);
    let attempts = send(&mut desk, 1);
    desk.run([answers(&attempts, &REFUSED)]);
    assert!(bound(&desk.submit(1)).is_empty());
}

#[test]
fn an_increase_that_the_balance_does_not_cover_is_held_with_the_old_bytes_and_signed_when_money_comes() {
    let mut desk = desk(TxmgrConfig { resubmit_interval_ms: 1000, ..TxmgrConfig::default() }, GAS);
    let attempts = send(&mut desk, 1);
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    desk.now += Duration::from_secs(2);
    let actions = desk.run([Event::Tick]);
    assert!(bound(&actions).is_empty(), "no further attempt");
    assert!(actions.iter().any(|action| matches!(action, Action::Count(Counted::Held))));
    assert_eq!(sent(&actions), attempts);
    desk.run([answers(&attempts, &Outcome::AlreadyKnown)]);
    let actions = desk.run([Event::Balance(FROM, Some(U256::from(GAS + GAS / 10)))]);
    let Some(Record::Attempt { attempt, .. }) = records(&actions).first().copied() else { panic!("a further attempt: {actions:?}") };
    assert_eq!(attempt.fees, storage::AttemptFees::Legacy { gas_price: 110 });
    assert_eq!(desk.manager.addresses[0].balance.reserved(), U256::from(GAS + GAS / 10), "the dearest attempt counts, once");
    assert_eq!(shortage(&desk), None);
}

#[test]
fn a_self_send_that_the_balance_does_not_cover_waits_for_money_too() {
    let mut desk = desk(TxmgrConfig::default(), GAS);
    let attempts = send(&mut desk, 1);
    let actions = desk.run([answers(&attempts, &Outcome::Invalid)]);
    assert!(bound(&actions).is_empty() && sent(&actions).is_empty(), "{actions:?}");
    let actions = desk.run([Event::Balance(FROM, Some(U256::from(2 * GAS)))]);
    let Some(Record::Attempt { attempt, .. }) = records(&actions).first().copied() else { panic!("a self-send: {actions:?}") };
    assert!(attempt.closing.is_some());
}

#[test]
fn a_discarded_nonce_gives_back_what_was_reserved_for_it() {
    let mut desk = desk(TxmgrConfig::default(), 10 * GAS);
    desk.submit(2);
    desk.run([Event::Refused]);
    assert_eq!(desk.manager.addresses[0].balance.reserved(), U256::ZERO);
}

#[test]
fn where_gas_costs_nothing_no_balance_is_asked_for() {
    let mut desk = Desk::new(TxmgrConfig::default());
    desk.holds = None;
    desk.manager.settings.gas.max_fee_per_gas = Some(0);
    let mut free = accept(0);
    free.row.request.fees = storage::Fees::Legacy { gas_price: 0 };
    let actions = desk.run([
        Event::Node { healthy: true, chain_id: Some(1) },
        Event::BlockStored { number: 10, newest: true },
        Event::ChainNonce(FROM, Some(7)),
        Event::Submit(free, ReplyTo { batch: 1, index: 0 }),
    ]);
    assert_eq!((bound(&actions).len(), asks(&actions)), (1, 0));
}

/// A desk whose one address waits for a balance that the node does not tell.
fn untold(policy: Unavailable) -> Desk {
    let mut desk = Desk::ready(TxmgrConfig { balance_unavailable: policy, ..TxmgrConfig::default() });
    desk.holds = None;
    desk.run([Event::Balance(FROM, Some(U256::ZERO))]);
    queue(&mut desk, 1);
    desk.run([Event::BlockStored { number: 11, newest: true }]);
    desk
}

#[test]
fn a_balance_that_cannot_be_read_is_asked_for_again_with_backoff_and_at_each_head() {
    let mut desk = untold(Unavailable::Wait);
    assert!(bound(&desk.run([Event::Balance(FROM, None)])).is_empty());
    assert_eq!(asks(&desk.run([Event::Tick])), 0);
    desk.now += Duration::from_millis(250);
    assert_eq!(asks(&desk.run([Event::Tick])), 1);
    desk.run([Event::Balance(FROM, None)]);
    assert_eq!(asks(&desk.run([Event::BlockStored { number: 12, newest: true }])), 1, "a head ends the pause");
    assert_eq!(bound(&desk.run([Event::Balance(FROM, Some(U256::from(GAS)))])).len(), 1);
}

#[test]
fn by_choice_an_address_stops_when_its_balance_cannot_be_read_until_it_is_resumed() {
    let mut desk = untold(Unavailable::Stop);
    for _ in 0..3 {
        desk.run([Event::Balance(FROM, None)]);
        desk.now += Duration::from_secs(5);
        desk.run([Event::Tick]);
    }
    assert!(shortage(&desk).is_some_and(|words| words.contains("stopped")), "{:?}", shortage(&desk));
    assert_eq!(asks(&desk.run([Event::BlockStored { number: 12, newest: true }])), 0);
    assert!(bound(&desk.run([Event::Balance(FROM, Some(U256::from(GAS)))])).is_empty());
    let order = desk.run([Event::Pause { address: FROM, until: None, ask: 1 }]);
    desk.run([Event::Durable { ticket: ticket(&order) }]);
    assert_eq!(bound(&desk.run([Event::Balance(FROM, Some(U256::from(GAS))), Event::ChainNonce(FROM, Some(7))])).len(), 1);
}

#[test]
fn by_choice_an_address_goes_on_as_if_a_balance_that_cannot_be_read_sufficed() {
    let mut desk = untold(Unavailable::Continue);
    assert_eq!(bound(&desk.run([Event::Balance(FROM, None)])).len(), 1);
}
