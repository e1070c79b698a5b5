//! Signers that fail, and retries, one rule a test.

use std::time::Duration;

use alloy::primitives::Bytes;
use storage::{AttemptFees, Record};
use uuid::Uuid;

use super::super::event::{Action, Event, Now, SignJob, Waiter};
use super::super::gas_price::MarketPrice;
use super::super::outcome::{Outcome, Reason};
use super::tests::{Desk, FROM, accept, answers, bound, records, replies, sent, ticket};
use crate::config::TxmgrConfig;

fn waiter(number: u32) -> Waiter {
    Waiter { queue_number: u64::from(number), id: Uuid::from_u128(u128::from(number) + 1), row: accept(number).row }
}

/// A desk whose signer is away for a nonce, with so many submissions that were accepted all the same and have been read back.
fn unsigned(config: TxmgrConfig, count: u32) -> Desk {
    let mut desk = Desk::ready(config);
    desk.sign_fails = vec![7];
    let actions = desk.submit(count);
    assert!(bound(&actions).is_empty(), "nothing binds behind what has no signature: {actions:?}");
    let accepted = records(&actions).iter().filter(|record| matches!(record, Record::Accepted { .. })).count();
    assert_eq!(accepted, count as usize);
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert!(replies(&actions).iter().all(Result::is_ok), "{actions:?}");
    desk.now += Duration::from_millis(250);
    desk.run([Event::Tick]);
    desk.run([Event::Loaded(FROM, Some((0..count).map(waiter).collect()))]);
    desk
}

#[test]
fn what_the_signer_does_not_sign_is_accepted_and_bound_in_order_when_it_does() {
    let mut desk = unsigned(TxmgrConfig::default(), 3);
    desk.sign_fails.clear();
    desk.now += Duration::from_secs(1);
    let actions = desk.run([Event::Tick]);
    let ids: Vec<Uuid> = records(&actions).iter().filter_map(|r| if let Record::Bound { id, .. } = r { Some(*id) } else { None }).collect();
    assert_eq!(ids, [1, 2, 3].map(Uuid::from_u128));
    assert_eq!(bound(&actions).iter().map(|bound| bound.0).collect::<Vec<_>>(), [7, 8, 9]);
}

#[test]
fn a_failing_signer_is_asked_again_with_backoff_and_not_before() {
    let mut desk = unsigned(TxmgrConfig::default(), 1);
    let before = desk.signatures();
    desk.run([Event::Tick]);
    assert_eq!(desk.signatures(), before, "the pause is not over");
    desk.now += Duration::from_secs(1);
    desk.run([Event::Tick]);
    assert_eq!(desk.signatures(), before + 1);
}

#[test]
fn after_the_limit_a_request_without_a_signature_has_failed_and_the_next_takes_its_nonce() {
    let mut desk = unsigned(TxmgrConfig { sign_tries: 3, ..TxmgrConfig::default() }, 2);
    // The desk's signer fails for a nonce; the next request fails there once, too, unless it is back.
    desk.now += Duration::from_secs(1);
    let actions = desk.run([Event::Tick]);
    let failed = records(&actions)
        .into_iter()
        .find_map(|r| if let Record::Failed { id, failure, .. } = r { Some((*id, &failure.reason)) } else { None });
    let (id, reason) = failed.unwrap_or_else(|| panic!("a failure: {actions:?}"));
    assert_eq!((id, reason.as_str()), (Uuid::from_u128(1), "no signature: the signer is away"));
    desk.sign_fails.clear();
    desk.now += Duration::from_secs(1);
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }, Event::Tick]);
    assert_eq!(bound(&actions).iter().map(|bound| bound.0).collect::<Vec<_>>(), [7]);
}

#[test]
fn without_a_signature_for_a_further_attempt_the_earlier_one_stands_and_the_next_try_comes_with_backoff() {
    let mut desk = Desk::ready(TxmgrConfig { resubmit_interval_ms: 10_000, ..TxmgrConfig::default() });
    let actions = desk.submit(1);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    desk.sign_fails = vec![7];
    desk.now += Duration::from_secs(10);
    assert!(records(&desk.run([Event::Tick])).is_empty());
    desk.sign_fails.clear();
    assert!(records(&desk.run([Event::Tick])).is_empty(), "not before the pause is over");
    desk.now += Duration::from_millis(250);
    let actions = desk.run([Event::Tick]);
    assert!(matches!(records(&actions)[..], [Record::Attempt { .. }]), "{actions:?}");
}

/// A transaction that was sent once.
fn sent_once(config: TxmgrConfig) -> (Desk, Vec<(super::Slot, Bytes)>) {
    let mut desk = Desk::ready(config);
    let actions = desk.submit(1);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    (desk, attempts)
}

const NO: Outcome = Outcome::FailedRequiresRetry(Reason::Other);

/// Refused this often, each time after the longest pause that the backoff may have.
fn refuse(desk: &mut Desk, attempts: &[(super::Slot, Bytes)], times: u32) {
    for time in 0..times {
        desk.run([answers(attempts, &NO)]);
        if time + 1 < times {
            desk.now += Duration::from_secs(1);
            assert_eq!(sent(&desk.run([Event::Tick])), attempts);
        }
    }
}

#[test]
fn after_the_tries_the_stage_starts_again_after_its_retry_with_the_same_bytes_while_the_market_has_not_risen() {
    let (mut desk, attempts) = sent_once(TxmgrConfig { stage_retry_ms: 7000, ..TxmgrConfig::default() });
    refuse(&mut desk, &attempts, 3);
    desk.now += Duration::from_millis(6999);
    assert!(sent(&desk.run([Event::Tick])).is_empty());
    desk.now += Duration::from_millis(1);
    let actions = desk.run([Event::Tick]);
    assert!(actions.iter().any(|action| matches!(action, Action::FetchPrice)), "a fresh look at the price: {actions:?}");
    let actions = desk.run([Event::Price(Some(MarketPrice::Legacy(100)))]);
    assert_eq!(sent(&actions), attempts);
}

#[test]
fn when_the_stage_starts_again_on_a_risen_market_a_higher_price_is_signed() {
    let (mut desk, attempts) = sent_once(TxmgrConfig::default());
    refuse(&mut desk, &attempts, 3);
    desk.now += Duration::from_secs(10);
    desk.run([Event::Tick]);
    let actions = desk.run([Event::Price(Some(MarketPrice::Legacy(150)))]);
    let Some(Record::Attempt { attempt, .. }) = records(&actions).first().copied() else { panic!("a further attempt: {actions:?}") };
    assert_eq!(attempt.fees, AttemptFees::Legacy { gas_price: 150 });
}

#[test]
fn after_a_refused_write_nothing_is_bound_for_the_persistence_retry() {
    let mut desk = Desk::ready(TxmgrConfig { persist_retry_ms: 4000, ..TxmgrConfig::default() });
    desk.submit(1);
    desk.run([Event::Refused]);
    desk.now += Duration::from_millis(3999);
    assert!(bound(&desk.submit(1)).is_empty());
    desk.run([Event::Refused]);
    desk.now += Duration::from_millis(4000);
    desk.run([Event::Tick]);
    assert_eq!(bound(&desk.submit(1)).len(), 1);
}

#[test]
fn the_backoff_grows_fourfold_to_its_longest_and_never_by_more_than_a_quarter_less() {
    let desk = Desk::ready(TxmgrConfig::default());
    for salt in 0..100 {
        for (failures, longest_ms) in [(1, 250), (2, 1000), (3, 4000), (4, 10_000), (40, 10_000)] {
            let pause = desk.manager.backoff(failures, salt);
            assert!(pause <= Duration::from_millis(longest_ms) && pause >= Duration::from_millis(longest_ms * 3 / 4), "{pause:?}");
            assert_eq!(pause, desk.manager.backoff(failures, salt), "no chance in it");
        }
    }
    let different: std::collections::BTreeSet<Duration> = (0..100).map(|salt| desk.manager.backoff(1, salt)).collect();
    assert!(different.len() > 90, "what failed together comes back apart");
}

#[test]
fn a_late_signature_of_a_job_that_was_given_up_binds_nothing() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let (jobs, now, mut actions) = desk.being_signed();
    let fail = |job: &SignJob| job.answer(Err("away".into()));
    desk.manager.handle(Event::Signed(vec![fail(&jobs[0])]), now, &mut actions);
    desk.manager.flush(now, &mut actions);
    let queued = ticket(&actions);
    desk.manager.handle(Event::Durable { ticket: queued }, now, &mut actions);
    let now = Now { elapsed: desk.now + Duration::from_secs(1), ..now };
    desk.manager.handle(Event::Tick, now, &mut actions);
    desk.manager.handle(Event::Loaded(FROM, Some(vec![waiter(0), waiter(1)])), now, &mut actions);
    let again = desk.manager.sign();
    assert_eq!(again.iter().map(|job| (job.slot.nonce, job.id)).collect::<Vec<_>>(), [(7, jobs[0].id), (8, jobs[1].id)]);
    // The first answer to what was behind it comes only now, while the signer works on the same nonce again.
    let raw = Bytes::from_static(&[1]);
    let late = jobs[1].answer(Ok((raw.clone(), alloy::primitives::keccak256(&raw))));
    let mut actions = Vec::new();
    desk.manager.handle(Event::Signed(vec![late]), now, &mut actions);
    desk.manager.flush(now, &mut actions);
    assert!(bound(&actions).is_empty(), "nothing is bound behind nonce 7: {:?}", records(&actions));
}
