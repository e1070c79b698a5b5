//! Transactions with blobs: their price, their place in line, what closes their nonces, and how long blobs are kept (rows A8, A10, A11).

use super::*;
use crate::blobs::EMPTY_BLOB;
use crate::shard::Unsigned;
use crate::txmgr::{Waiter, order};
use storage::Extras;

/// What carries `count` blobs, or none.
fn carrying(index: u32, count: usize) -> Accept {
    let mut accept = accept(index);
    let blob_hashes = vec![B256::repeat_byte(1); count];
    accept.row.request.extras = Extras { blob_hashes, ..Extras::default() }.boxed();
    accept
}

fn submit(accept: Accept, index: u32) -> Event {
    Event::Submit(accept, ReplyTo { batch: 1, index })
}

/// A desk without caps that knows what blobs cost: 5 wei.
fn desk(txmgr: TxmgrConfig) -> Desk {
    let mut desk = Desk::ready(txmgr);
    desk.manager.settings.gas.cap_max_fee_per_gas = None;
    desk.run([Event::BlobBaseFee(5)]);
    desk
}

const fn blob(max_fee_per_gas: u128, max_fee_per_blob_gas: u64) -> AttemptFees {
    AttemptFees::Blob { max_fee_per_gas, max_priority_fee_per_gas: max_fee_per_gas, max_fee_per_blob_gas }
}

/// Prices and blobs of the attempts that were recorded.
fn attempts(actions: &[Action]) -> Vec<(u64, AttemptFees, bool)> {
    let attempt = |record: &&Record| match record {
        Record::Bound { attempt, .. } | Record::Attempt { attempt, .. } => Some((attempt.nonce, attempt.fees, attempt.closing.is_some())),
        _ => None,
    };
    records(actions).iter().filter_map(attempt).collect()
}

/// What was sent with blobs: nonce and bytes.
fn sent_blobs(actions: &[Action]) -> Vec<(super::super::Slot, Bytes)> {
    let sent = |action: &Action| if let Action::SendBlobs { slot, raw, .. } = action { Some((*slot, raw.clone())) } else { None };
    actions.iter().filter_map(sent).collect()
}

/// Submitted, bound, sent and taken.
fn in_pool(desk: &mut Desk, accept: Accept) -> B256 {
    let actions = desk.run([submit(accept, 0)]);
    let hash = bound(&actions)[0].1;
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    let attempts = [sent(&actions), sent_blobs(&actions)].concat();
    assert_eq!(attempts.len(), 1);
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    hash
}

#[test]
fn blobs_bid_twice_what_they_cost_and_are_reserved_for() {
    let mut desk = desk(TxmgrConfig::default());
    let actions = desk.run([submit(carrying(0, 2), 0)]);
    assert_eq!(attempts(&actions), [(7, blob(100, 10), false)]);
    let reserved = desk.manager.addresses[0].balance.reserved();
    assert_eq!(reserved, U256::from(21_000 * 100 + 2 * 131_072 * 10));
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert_eq!(sent_blobs(&actions).len(), 1, "in a request of its own");
    assert_eq!(sent(&actions), []);
}

#[test]
fn without_the_price_of_blobs_what_carries_them_waits_and_the_node_is_asked() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let asks = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::FetchBlobPrice));
    let first = carrying(0, 1);
    let waiter = Waiter { queue_number: 0, id: first.id, row: first.row.clone() };
    let actions = desk.run([submit(first, 0)]);
    assert!(bound(&actions).is_empty(), "accepted, not bound");
    desk.run([Event::Durable { ticket: ticket(&actions) }]);
    desk.now += Duration::from_secs(2);
    assert!(asks(&desk.run([Event::Loaded(FROM, Some(vec![waiter]))])));
    let actions = desk.run([Event::BlobBaseFee(5), Event::Price(Some(MarketPrice::Legacy(100)))]);
    assert_eq!(attempts(&actions), [(7, blob(100, 10), false)]);
}

#[test]
fn a_pending_blob_transaction_is_replaced_at_twice_all_three_prices() {
    let mut desk = desk(TxmgrConfig { resubmit_interval_ms: 1000, ..TxmgrConfig::default() });
    in_pool(&mut desk, carrying(0, 1));
    desk.now += Duration::from_secs(2);
    assert_eq!(attempts(&desk.run([Event::Tick])), [(7, blob(200, 20), false)]);
}

#[test]
fn at_the_cap_for_blobs_it_is_held_with_that_reason_and_goes_on_when_they_are_cheaper() {
    let mut desk = desk(TxmgrConfig { resubmit_interval_ms: 1000, ..TxmgrConfig::default() });
    desk.manager.settings.gas.cap_max_fee_per_blob_gas = Some(19);
    in_pool(&mut desk, carrying(0, 1));
    desk.now += Duration::from_secs(2);
    desk.run([Event::BlobBaseFee(10), Event::Price(Some(MarketPrice::Legacy(100)))]);
    let again = desk.run([Event::Tick]);
    assert!(bound(&again).is_empty());
    let asked = crate::txmgr::inspect::Asked { from: FROM, id: Uuid::from_u128(1), nonce: Some(7) };
    let held = desk.manager.inspect_transaction(&asked).and_then(|live| live.held).expect("held");
    assert!(held.contains("38 wei per blob gas") && held.contains("cap_max_fee_per_blob_gas is 19"), "{held}");
    desk.run([answers(&sent_blobs(&again), &Outcome::AlreadyKnown)]);
    let actions = desk.run([Event::BlobBaseFee(5), Event::Price(Some(MarketPrice::Legacy(100)))]);
    assert_eq!(sent_blobs(&actions).len(), 1, "the same bytes once more");
}

#[test]
fn the_nonce_of_a_blob_transaction_is_closed_by_another_one_with_an_empty_blob() {
    let mut desk = desk(TxmgrConfig::default());
    let actions = desk.run([submit(carrying(0, 3), 0)]);
    let attempts_sent = sent_blobs(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    let actions = desk.run([answers(&attempts_sent, &Outcome::Invalid)]);
    assert_eq!(attempts(&actions), [(7, blob(200, 20), true)]);
    let sent = sent_blobs(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    assert!(crate::blobs::is_empty(&sent[0].1), "{:?}", *EMPTY_BLOB);
}

#[test]
fn without_gas_prices_what_closes_the_nonce_of_blobs_bids_twice_their_price_and_no_gas() {
    let mut desk = Desk::new(TxmgrConfig::default());
    desk.manager.settings.gas.zero = true;
    desk.run([
        Event::Node { healthy: true, chain_id: Some(1) },
        Event::BlockStored { number: 10, newest: true },
        Event::ChainNonce(FROM, Some(7)),
    ]);
    let actions = desk.run([submit(carrying(0, 3), 0)]);
    assert_eq!(attempts(&actions), [(7, blob(0, 1), false)]);
    let first = sent_blobs(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    let actions = desk.run([answers(&first, &Outcome::Invalid)]);
    assert_eq!(attempts(&actions), [(7, blob(0, 2), true)]);
}

#[test]
fn a_transaction_of_the_other_kind_waits_until_what_is_in_flight_is_final() {
    for first in [1, 0] {
        let mut desk = desk(TxmgrConfig { finality_depth: 3, ..TxmgrConfig::default() });
        let hash = in_pool(&mut desk, carrying(0, first));
        let other = carrying(1, 1 - first);
        let row = other.row.clone();
        let actions = desk.run([submit(other, 1)]);
        assert!(bound(&actions).is_empty(), "it waits on disk");
        let loads = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::Load { .. }));
        let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
        assert!(loads(&actions));
        let waiter = Waiter { queue_number: 0, id: Uuid::from_u128(2), row };
        assert!(bound(&desk.run([Event::Loaded(FROM, Some(vec![waiter.clone()]))])).is_empty());
        let why = desk.manager.inspect_address(FROM).reason.expect("a reason");
        assert!(why.contains("final"), "{why}");
        assert!(bound(&desk.block(11, &[hash])).is_empty(), "a block may leave the chain again");
        assert!(bound(&desk.block(12, &[])).is_empty());
        let mut actions = desk.block(13, &[]);
        if loads(&actions) {
            actions = desk.run([Event::Loaded(FROM, Some(vec![waiter]))]);
        }
        assert_eq!(bound(&actions).iter().map(|bound| bound.0).collect::<Vec<_>>(), [8], "first {first}");
    }
}

#[test]
fn sixteen_blob_transactions_of_an_address_are_in_flight_at_most() {
    let mut desk = desk(TxmgrConfig::default());
    let actions = desk.run((0..20).map(|index| submit(carrying(index, 1), index)).collect::<Vec<_>>());
    assert_eq!(bound(&actions).len(), 16);
}

#[test]
fn blobs_are_dropped_when_their_transaction_is_final_and_not_before() {
    let mut desk = desk(TxmgrConfig { finality_depth: 3, ..TxmgrConfig::default() });
    let hash = in_pool(&mut desk, carrying(0, 1));
    let dropped = |actions: &[Action]| records(actions).iter().any(|record| matches!(record, Record::SidecarDropped { .. }));
    assert!(!dropped(&desk.block(11, &[hash])) && !dropped(&desk.block(12, &[])));
    assert!(dropped(&desk.block(13, &[])));
}

#[test]
fn an_update_must_pay_twice_as_much_and_the_refusal_names_all_three() {
    let earlier = [blob(100, 10)];
    let update = |max_fee_per_gas, max_fee_per_blob_gas| {
        order::replaces(Fees::Blob { max_fee_per_gas, max_priority_fee_per_gas: max_fee_per_gas, max_fee_per_blob_gas }, &earlier)
    };
    assert_eq!(update(200, 20), Ok(blob(200, 20)));
    for (fee, blob_fee) in [(199, 20), (200, 19)] {
        let refusal = update(fee, blob_fee).expect_err("too little").to_string();
        assert!(refusal.contains("maxFeePerGas 200") && refusal.contains("maxFeePerBlobGas 20"), "{refusal}");
    }
}

#[test]
fn after_a_restart_the_kind_in_flight_is_known_and_so_is_what_it_costs() {
    let mut desk = Desk::new(TxmgrConfig::default());
    let mut first = self::desk(TxmgrConfig::default());
    let actions = first.run([submit(carrying(0, 2), 0)]);
    let attempt = records(&actions).into_iter().find_map(|record| match record {
        Record::Bound { attempt, .. } => Some(attempt.clone()),
        _ => None,
    });
    let bound = BoundRow {
        id: Uuid::from_u128(1),
        accepted_at: 1,
        fixed_price: false,
        attempts: attempt.into_iter().collect(),
        receipt: None,
        rival: None,
        ended: false,
    };
    desk.run([Event::Recovered(Recovered {
        address: FROM,
        floor: 7,
        bound: vec![bound],
        paused_until: None,
        last_queue_number: None,
        waiting_count: 0,
    })]);
    let address = &desk.manager.addresses[0];
    assert!(address.blobs);
    assert_eq!(address.balance.reserved(), U256::from(21_000 * 100 + 2 * 131_072 * 10));
    assert_eq!((address.fits_kind(0), address.fits_kind(1)), (false, true));
}

/// What a signer makes of a job, with a signature that says nothing.
pub(super) fn signed_bytes(job: &SignJob) -> Vec<u8> {
    Unsigned::of(job).encode(alloy::primitives::Signature::new(U256::from(1), U256::from(1), false)).0.to_vec()
}

#[test]
fn blobs_that_no_node_answers_for_hold_up_nobody_else() {
    let mut desk = desk(TxmgrConfig { retry_min_ms: 1_000, retry_max_ms: 1_000, ..TxmgrConfig::default() });
    let other = Address::repeat_byte(0xbb);
    desk.run([Event::ChainNonce(other, Some(0))]);
    let bound = desk.run([submit(carrying(0, 1), 0)]);
    let first = sent_blobs(&desk.run([Event::Durable { ticket: ticket(&bound) }]));
    let mut plain = accept(1);
    plain.row.request.from = other;
    let actions = desk.run([submit(plain, 1)]);
    assert!(sent(&desk.run([Event::Durable { ticket: ticket(&actions) }])).is_empty(), "the lane waits for the answer");
    // A proxy has refused the request for its size, or the blobs could not be read.
    let open = || Event::Sent { lane: 0, ends: vec![(first[0].0, SendEnd::LeftOpen)], pause: None };
    let actions = desk.run([open()]);
    assert_eq!(sent(&actions).len(), 1, "the next one goes at once: {actions:?}");
    desk.run([answers(&sent(&actions), &Outcome::SubmittedNew)]);
    desk.now += Duration::from_secs(1);
    assert_eq!(sent_blobs(&desk.run([Event::Tick])), first, "the same bytes again, by themselves");
    assert!(sent_blobs(&desk.run([open()])).is_empty(), "after a pause of their own");
}
