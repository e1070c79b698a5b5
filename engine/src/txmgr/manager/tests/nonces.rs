//! Nonces that went to something else than what was bound to them: rivals, closings, holes (rows A4, B5, B6).

use super::*;
use crate::config::Displaced;
use crate::txmgr::{SeenNonce, Waiter};
use storage::RivalRow;

/// A ready desk with transactions bound from nonce 7 on, sent and taken by the node; their hashes.
fn sent_desk(count: u32, txmgr: TxmgrConfig) -> (Desk, Vec<B256>) {
    let mut desk = Desk::ready(txmgr);
    let actions = desk.submit(count);
    let hashes = bound(&actions).into_iter().map(|(_, hash)| hash).collect();
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    (desk, hashes)
}

fn effects(actions: &[Action]) -> Vec<&super::super::super::event::BlockEffects> {
    actions.iter().filter_map(|action| if let Action::Effects(effects) = action { Some(effects) } else { None }).collect()
}

/// A block in which another wallet's transaction took a nonce of ours, as the follower tells it.
fn rival_block(desk: &mut Desk, number: u64, nonce: u64) -> Vec<Action> {
    let stranger = B256::repeat_byte(0xee);
    let block = SeenBlock {
        number,
        hash: B256::repeat_byte(number as u8),
        seen_at: 9,
        receipts: vec![receipt(stranger)],
        authorizations: Vec::new(),
    };
    let told = desk.run([Event::Block(block)]);
    assert_eq!(effects(&told)[0].strangers, [stranger], "the follower has to look the stranger up");
    let taken = vec![SeenNonce { address: FROM, nonce, transaction_hash: stranger }];
    let mut actions = desk.run([Event::Rivals { number, hash: B256::repeat_byte(number as u8), taken }]);
    actions.extend(desk.run([Event::BlockStored { number, newest: true }]));
    actions
}

fn failed(actions: &[Action]) -> Vec<String> {
    let reason = |record: &&Record| if let Record::Failed { failure, .. } = record { Some(failure.reason.clone()) } else { None };
    records(actions).iter().filter_map(reason).collect()
}

fn asked_for(actions: &[Action]) -> Vec<(super::super::Slot, Uuid)> {
    actions.iter().filter_map(|action| if let Action::LoadRequest(slot, id) = action { Some((*slot, *id)) } else { None }).collect()
}

#[test]
fn a_closed_request_is_failed_only_once_the_self_send_is_final() {
    let mut desk = Desk::ready(TxmgrConfig { finality_depth: 3, ..TxmgrConfig::default() });
    let actions = desk.submit(1);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    let actions = desk.run([answers(&attempts, &Outcome::Invalid)]);
    let closing = bound(&actions)[0].1;
    desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert!(failed(&desk.block(11, &[closing])).is_empty(), "the request itself could still be mined");
    assert!(failed(&desk.block(12, &[])).is_empty());
    let actions = desk.block(13, &[]);
    assert_eq!(failed(&actions), ["as said"]);
    assert_eq!(desk.manager.open().0, 1, "its nonce stays until the failure is on disk");
    desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert_eq!(desk.manager.open().0, 0);
}

#[test]
fn a_displaced_request_is_suspected_until_final_and_then_queued_again_once_with_a_fresh_nonce() {
    let (mut desk, hashes) = sent_desk(2, TxmgrConfig { finality_depth: 3, ..TxmgrConfig::default() });
    let actions = rival_block(&mut desk, 11, 7);
    let rivals = &effects(&actions)[0].rivals;
    assert_eq!((rivals.len(), rivals[0].0, rivals[0].1.nonce), (1, Uuid::from_u128(1), 7));
    desk.block(12, &[hashes[1]]);
    let asked = asked_for(&desk.block(13, &[]));
    let [(slot, id)] = asked[..] else { panic!("the request is read once its rival is final: {asked:?}") };
    assert_eq!((slot.nonce, id), (7, Uuid::from_u128(1)));
    assert!(asked_for(&desk.block(14, &[])).is_empty(), "once");
    let actions = desk.run([Event::Request(slot, id, Some(accept(0).row))]);
    let requeued = records(&actions).into_iter().find_map(|record| match record {
        Record::Changed { id, transaction, .. } => Some((*id, transaction.clone())),
        _ => None,
    });
    let (id, row) = requeued.expect("queued again");
    let Place::Line(queue_number) = row.place else { panic!("in line: {row:?}") };
    assert_eq!((id, row.generation), (Uuid::from_u128(1), 1));
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert!(actions.iter().any(|action| matches!(action, Action::Load { .. })), "{actions:?}");
    let waiter = Waiter { queue_number, id, row };
    let actions = desk.run([Event::Loaded(FROM, Some(vec![waiter]))]);
    let Some(Record::Bound { id, attempt, .. }) = records(&actions).first().copied() else { panic!("bound again: {actions:?}") };
    assert_eq!((*id, attempt.nonce, attempt.generation), (Uuid::from_u128(1), 9, 1));
}

#[test]
fn a_displaced_request_fails_where_the_policy_says_so() {
    let (mut desk, _) = sent_desk(1, TxmgrConfig { finality_depth: 2, displaced: Displaced::Fail, ..TxmgrConfig::default() });
    rival_block(&mut desk, 11, 7);
    let reasons = failed(&desk.block(12, &[]));
    assert!(reasons.len() == 1 && reasons[0].contains("displaced") && reasons[0].contains("nonce 7"), "{reasons:?}");
}

#[test]
fn when_the_rival_is_orphaned_our_bytes_are_sent_again() {
    let (mut desk, _) = sent_desk(1, TxmgrConfig { finality_depth: 5, ..TxmgrConfig::default() });
    rival_block(&mut desk, 11, 7);
    desk.block(12, &[]);
    let actions = desk.run([Event::Rewind { to: 10 }]);
    assert_eq!(effects(&actions)[0].undone_rivals, [(Uuid::from_u128(1), 7)]);
    let again = sent(&actions);
    assert_eq!(again.iter().map(|(slot, _)| slot.nonce).collect::<Vec<_>>(), [7], "the same bytes, at the same nonce");
    assert!(asked_for(&desk.block(20, &[])).is_empty(), "and it is not queued again");
}

#[test]
fn a_foreign_nonce_before_ours_is_skipped_even_if_the_node_lags() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    rival_block(&mut desk, 11, 7);
    let actions = desk.submit(1);
    assert!(bound(&actions).is_empty(), "nonce 7 is gone");
    let actions = desk.run([Event::ChainNonce(FROM, Some(7))]);
    assert_eq!(bound(&actions).first().map(|bound| bound.0), Some(8), "the lagging count does not hold it up: {actions:?}");
}

#[test]
fn an_unknown_hash_of_another_nonce_displaces_nothing() {
    let (mut desk, hashes) = sent_desk(1, TxmgrConfig { finality_depth: 2, ..TxmgrConfig::default() });
    let actions = rival_block(&mut desk, 11, 5);
    assert!(effects(&actions)[0].rivals.is_empty());
    let actions = desk.block(12, &hashes);
    assert_eq!(effects(&actions)[0].receipts.len(), 1);
}

#[test]
fn a_nonce_that_has_opened_again_below_ours_is_filled_with_a_self_send_once_two_heads_show_it() {
    let (mut desk, ours) = sent_desk(1, TxmgrConfig { resend_after_blocks: 1, finality_depth: 2, ..TxmgrConfig::default() });
    let mut number = 10;
    let mut probe = |desk: &mut Desk| {
        number += 1;
        let actions = desk.block(number, &[]);
        let attempts = sent(&actions);
        assert_eq!(attempts.len(), 1, "the oldest asks whether the pool has it");
        desk.run([answers(&attempts, &Outcome::AlreadyKnown)]);
        actions.iter().any(|action| matches!(action, Action::FetchNonce(..)))
    };
    assert!(!probe(&mut desk));
    assert!(probe(&mut desk), "the second time for nothing: is there a hole?");
    assert!(records(&desk.run([Event::ChainNonce(FROM, Some(5))])).is_empty(), "one answer may be a node that lags");
    assert!(probe(&mut desk));
    let mut filled = Vec::new();
    let mut actions = desk.run([Event::ChainNonce(FROM, Some(5))]);
    for _ in 0..2 {
        let Some(Record::Bound { accepted: Some((row, _)), attempt, .. }) = records(&actions).first().copied() else {
            panic!("a filler: {actions:?}")
        };
        assert_eq!((row.request.from, row.request.to, row.request.value), (FROM, Some(FROM), U256::ZERO));
        filled.push((attempt.nonce, attempt.hash));
        actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    }
    assert_eq!(filled.iter().map(|(nonce, _)| *nonce).collect::<Vec<_>>(), [6, 5], "from the top down, each on disk before the next");
    assert!(records(&actions).is_empty());
    assert_eq!(desk.manager.open().0, 3);
    let mined: Vec<B256> = filled.iter().rev().map(|(_, hash)| *hash).chain(ours).collect();
    desk.block(20, &mined);
    for number in 21..24 {
        assert!(bound(&desk.block(number, &[])).is_empty(), "a hole is filled once, whatever leaves the memory behind it");
    }
    assert_eq!(desk.manager.open().0, 0);
}

#[test]
fn a_refused_filler_gives_its_nonce_back_and_what_is_bound_above_it_stays() {
    let (mut desk, _) = sent_desk(1, TxmgrConfig { resend_after_blocks: 1, ..TxmgrConfig::default() });
    for number in 11..14 {
        let attempts = sent(&desk.block(number, &[]));
        desk.run([answers(&attempts, &Outcome::AlreadyKnown)]);
    }
    desk.run([Event::ChainNonce(FROM, Some(6))]);
    assert_eq!(bound(&desk.run([Event::ChainNonce(FROM, Some(6))]))[0].0, 6);
    assert_eq!(desk.manager.open().0, 2);
    desk.run([Event::Refused]);
    assert_eq!(desk.manager.open().0, 1);
    assert_eq!(bound(&desk.block(14, &[]))[0].0, 6, "tried again with the next block");
}

#[test]
fn after_a_restart_a_displaced_request_that_waits_again_is_not_queued_twice() {
    let mut desk = Desk::new(TxmgrConfig { finality_depth: 2, ..TxmgrConfig::default() });
    let attempt = storage::AttemptRow {
        generation: 0,
        attempt: 0,
        nonce: 4,
        hash: B256::with_last_byte(4),
        raw: Bytes::from(vec![4]),
        gas: 21_000,
        fees: AttemptFees::Legacy { gas_price: 1 },
        signed_at: 1,
        closing: None,
    };
    let rival = RivalRow { nonce: 4, transaction_hash: B256::repeat_byte(0xee), block_number: 2, block_hash: B256::ZERO };
    let row = BoundRow {
        id: Uuid::from_u128(4),
        accepted_at: 1,
        fixed_price: false,
        attempts: vec![attempt],
        receipt: None,
        rival: Some(rival),
        ended: true,
    };
    let recovered =
        Recovered { address: FROM, floor: 4, bound: vec![row], paused_until: None, last_queue_number: Some(0), waiting_count: 1 };
    desk.run([Event::Recovered(recovered), Event::Node { healthy: true, chain_id: Some(1) }]);
    let actions = desk.block(9, &[]);
    assert!(asked_for(&actions).is_empty() && sent(&actions).is_empty(), "{actions:?}");
    assert_eq!(desk.manager.open(), (0, 1), "its old nonce has left the memory; it waits");
}

#[test]
fn a_nonce_that_a_rival_took_while_it_was_being_signed_is_given_back_and_the_late_signature_binds_nothing() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let (jobs, now, mut actions) = desk.being_signed();
    let taken = vec![SeenNonce { address: FROM, nonce: 7, transaction_hash: B256::repeat_byte(0xee) }];
    actions.clear();
    desk.manager.handle(Event::Rivals { number: 11, hash: B256::repeat_byte(11), taken }, now, &mut actions);
    assert!(effects(&actions)[0].rivals.is_empty(), "no bytes of it exist, so there is nothing to displace");
    let raw = Bytes::from_static(&[1]);
    let late = jobs.iter().map(|job| job.answer(Ok((raw.clone(), alloy::primitives::keccak256(&raw))))).collect();
    desk.manager.handle(Event::Signed(late), now, &mut actions);
    desk.manager.flush(now, &mut actions);
    assert!(bound(&actions).is_empty(), "{:?}", records(&actions));
    // The chain's count is asked for, and what was given back is bound behind it, in its order.
    assert!(actions.iter().any(|action| matches!(action, Action::FetchNonce(FROM, _))), "{actions:?}");
    let actions = desk.run([Event::ChainNonce(FROM, Some(8))]);
    assert_eq!(bound(&actions).iter().map(|bound| bound.0).collect::<Vec<_>>(), [8, 9]);
}

#[test]
fn a_nonce_that_an_authorization_took_before_anything_was_bound_to_it_is_not_bound() {
    let (mut desk, hashes) = sent_desk(1, TxmgrConfig { finality_depth: 2, ..TxmgrConfig::default() });
    desk.block(11, &hashes);
    // Another wallet's transaction carries an authorization of the next nonce: the address has none in flight there.
    let named = SeenNonce { address: FROM, nonce: 8, transaction_hash: B256::repeat_byte(0xee) };
    let block = SeenBlock { number: 12, hash: B256::repeat_byte(12), seen_at: 9, receipts: Vec::new(), authorizations: vec![named] };
    let told = desk.run([Event::Block(block)]);
    assert_eq!(effects(&told)[0].authorizations, [named], "the follower has to look whether it was valid");
    desk.run([Event::Rivals { number: 12, hash: B256::repeat_byte(12), taken: vec![named] }]);
    let actions = desk.run([Event::BlockStored { number: 12, newest: true }]);
    assert!(bound(&actions).is_empty());
    let actions = desk.submit(1);
    assert!(bound(&actions).is_empty(), "8 is used");
    assert!(actions.iter().any(|action| matches!(action, Action::FetchNonce(FROM, 12))), "{actions:?}");
}

#[test]
fn a_count_is_asked_for_as_of_the_newest_block_that_was_looked_at_on_disk_or_not() {
    let mut desk = Desk::new(TxmgrConfig::default());
    desk.run([Event::BlockStored { number: 10, newest: true }, Event::Node { healthy: true, chain_id: Some(1) }]);
    let block = SeenBlock { number: 11, hash: B256::repeat_byte(11), seen_at: 9, receipts: Vec::new(), authorizations: Vec::new() };
    desk.run([Event::Block(block)]);
    let actions = desk.submit(1);
    assert!(actions.iter().any(|action| matches!(action, Action::FetchNonce(FROM, 11))), "{actions:?}");
}

#[test]
fn what_was_given_back_while_the_disk_was_read_is_read_again_first() {
    let mut desk = Desk::ready(TxmgrConfig { max_in_flight: 1, ..TxmgrConfig::default() });
    let waiter = |number: u32| Waiter { queue_number: u64::from(number), id: accept(number).id, row: accept(number).row };
    desk.sign_fails = vec![7];
    let actions = desk.submit(2);
    desk.run([Event::Durable { ticket: ticket(&actions) }]);
    desk.now += Duration::from_secs(1);
    desk.run([Event::Tick]);
    let number = desk.manager.number(FROM);
    // A read is under way behind what was given back.
    let waiting = &mut desk.manager.at(number).waiting;
    assert!(waiting.loading.is_some(), "the queue is read");
    waiting.read_up_to = Some(0);
    let actions = desk.run([Event::Loaded(FROM, Some(vec![waiter(1)]))]);
    assert!(bound(&actions).is_empty(), "what lies before it is not passed over");
    assert!(actions.iter().any(|action| matches!(action, Action::Load { after: Some(0), .. })), "{actions:?}");
}
