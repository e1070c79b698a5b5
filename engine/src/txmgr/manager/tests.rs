//! The manager as a whole, one rule a test.

mod arrivals;
mod blobs;
mod crowd;
mod nonces;
mod orders;
mod pause;
mod pool;
mod prices;

use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256};
use storage::{AttemptFees, Fees, Place, Record, Request, TransactionRow};
use uuid::Uuid;

use super::super::estimate::NoEstimate;
use super::super::event::{
    Accept, Action, BoundRow, Counted, Event, Now, Recovered, ReplyTo, SeenBlock, SeenReceipt, SendEnd, SignJob, Signed,
};
use super::super::gas_price::MarketPrice;
use super::super::outcome::{Outcome, Reason};
use super::{Manager, Settings};
use crate::config::{GasConfig, TxmgrConfig};
use crate::engine::SubmitError;

pub(super) const FROM: Address = Address::repeat_byte(0xaa);

/// A manager with somebody who plays shard: signs, and keeps what was asked for.
pub(super) struct Desk {
    pub(super) manager: Manager,
    pub(super) now: Duration,
    next: u128,
    pub(super) sign_fails: Vec<u64>,
    /// What every address holds, told at once when asked; `None` leaves the question open.
    pub(super) holds: Option<U256>,
}

impl Desk {
    pub(super) fn new(txmgr: TxmgrConfig) -> Self {
        let gas = GasConfig { cap_max_fee_per_gas: Some(200), ..GasConfig::default() };
        let settings = Settings { gas, txmgr, lanes: 1, batch_calls: 100, batch_bytes: 1 << 20 };
        Self { manager: Manager::new(settings), now: Duration::ZERO, next: 0, sign_fails: Vec::new(), holds: Some(U256::MAX) }
    }

    /// Ready to bind: node healthy, chain read, price and nonce known.
    pub(super) fn ready(txmgr: TxmgrConfig) -> Self {
        let mut desk = Self::new(txmgr);
        desk.run([
            Event::Node { healthy: true, chain_id: Some(1) },
            Event::BlockStored { number: 10, newest: true },
            Event::Price(Some(MarketPrice::Legacy(100))),
            Event::ChainNonce(FROM, Some(7)),
        ]);
        desk
    }

    pub(super) fn run(&mut self, events: impl IntoIterator<Item = Event>) -> Vec<Action> {
        let mut actions = Vec::new();
        let now = Now { elapsed: self.now, unix_us: 1 + self.now.as_micros() as u64 };
        for event in events {
            // The two questions leave together, and so do their answers.
            if let (Event::ChainNonce(address, Some(_)), Some(_)) = (&event, self.holds) {
                self.manager.handle(Event::Balance(*address, self.holds), now, &mut actions);
            }
            self.manager.handle(event, now, &mut actions);
        }
        self.tell_balances(now, &mut actions);
        loop {
            let jobs = self.manager.sign();
            if jobs.is_empty() {
                break;
            }
            let signed = jobs.iter().map(|job| self.signature(job)).collect();
            self.manager.handle(Event::Signed(signed), now, &mut actions);
        }
        self.manager.flush(now, &mut actions);
        actions
    }

    fn tell_balances(&mut self, now: Now, actions: &mut Vec<Action>) {
        let Some(holds) = self.holds else { return };
        let mut told = 0;
        while let Some(place) = actions[told..].iter().position(|action| matches!(action, Action::FetchBalance(_))) {
            told += place + 1;
            let Action::FetchBalance(address) = actions[told - 1] else { return };
            self.manager.handle(Event::Balance(address, Some(holds)), now, actions);
        }
    }

    /// Signatures that were asked for.
    pub(super) fn signatures(&self) -> u128 {
        self.next
    }

    fn signature(&mut self, job: &SignJob) -> Signed {
        self.next += 1;
        let raw = Bytes::from(blobs::signed_bytes(job));
        let fails = self.sign_fails.contains(&job.slot.nonce);
        let result = if fails { Err("the signer is away".into()) } else { Ok((raw.clone(), alloy::primitives::keccak256(&raw))) };
        job.answer(result)
    }

    pub(super) fn submit(&mut self, count: u32) -> Vec<Action> {
        let events: Vec<Event> = (0..count).map(|index| Event::Submit(accept(index), ReplyTo { batch: 1, index })).collect();
        self.run(events)
    }

    /// Two submissions that have nonces 7 and 8 and are being signed: their jobs, when, and what the manager has asked for.
    pub(super) fn being_signed(&mut self) -> (Vec<SignJob>, Now, Vec<Action>) {
        let now = Now { elapsed: self.now, unix_us: 1 };
        let mut actions = Vec::new();
        for index in 0..2 {
            self.manager.handle(Event::Submit(accept(index), ReplyTo { batch: 1, index }), now, &mut actions);
        }
        let jobs = self.manager.sign();
        assert_eq!(jobs.iter().map(|job| job.slot.nonce).collect::<Vec<_>>(), [7, 8]);
        (jobs, now, actions)
    }

    pub(super) fn block(&mut self, number: u64, hashes: &[B256]) -> Vec<Action> {
        let receipts = hashes.iter().map(|hash| receipt(*hash)).collect();
        let mut actions =
            self.run([Event::Block(SeenBlock { number, hash: B256::ZERO, seen_at: 9, receipts, authorizations: Vec::new() })]);
        actions.extend(self.run([Event::BlockStored { number, newest: true }]));
        actions
    }
}

pub(super) fn accept(index: u32) -> Accept {
    let value = U256::from(index);
    let request =
        Request { from: FROM, to: Some(Address::ZERO), value, data: Bytes::new(), gas: Some(21_000), fees: Fees::Market, extras: None };
    let row = TransactionRow::new(request, None, 1);
    Accept { id: Uuid::from_u128(u128::from(index) + 1), row, body_hash: B256::ZERO }
}

fn receipt(transaction_hash: B256) -> SeenReceipt {
    SeenReceipt {
        from: FROM,
        transaction_hash,
        transaction_index: 0,
        success: true,
        gas_used: 21_000,
        effective_gas_price: 1,
        contract_address: None,
        authorizes: false,
    }
}

pub(super) fn ticket(actions: &[Action]) -> u64 {
    actions.iter().find_map(|action| if let Action::Commit { ticket, .. } = action { Some(*ticket) } else { None }).expect("a commit")
}

pub(super) fn records(actions: &[Action]) -> Vec<&Record> {
    actions.iter().flat_map(|action| if let Action::Commit { records, .. } = action { records.as_slice() } else { &[] }).collect()
}

pub(super) fn bound(actions: &[Action]) -> Vec<(u64, B256)> {
    let attempt = |record: &&Record| match record {
        Record::Bound { attempt, .. } | Record::Attempt { attempt, .. } => Some((attempt.nonce, attempt.hash)),
        _ => None,
    };
    records(actions).iter().filter_map(attempt).collect()
}

pub(super) fn sent(actions: &[Action]) -> Vec<(super::Slot, Bytes)> {
    let attempts = |action: &Action| if let Action::Send { attempts, .. } = action { attempts.clone() } else { Vec::new() };
    actions.iter().flat_map(attempts).collect()
}

pub(super) fn replies(actions: &[Action]) -> Vec<Result<Uuid, SubmitError>> {
    let reply = |action: &Action| if let Action::Reply { result, .. } = action { Some(result.clone()) } else { None };
    actions.iter().filter_map(reply).collect()
}

pub(super) fn answers(attempts: &[(super::Slot, Bytes)], outcome: &Outcome) -> Event {
    let ends = attempts.iter().map(|(slot, _)| (*slot, SendEnd::Answered(outcome.clone(), "as said".into()))).collect();
    Event::Sent { lane: 0, ends, pause: None }
}

#[test]
fn what_one_node_makes_a_lane_wait_for_does_not_hold_up_the_next_one() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let actions = desk.submit(3);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    let ends = attempts.iter().map(|(slot, _)| (*slot, SendEnd::BeforeSend)).collect();
    desk.run([Event::Sent { lane: 0, ends, pause: Some(Duration::from_secs(3600)) }]);
    desk.now = Duration::from_secs(60);
    assert!(sent(&desk.run([Event::Tick])).is_empty(), "that node is left alone");
    assert_eq!(sent(&desk.run([Event::Switched])), attempts);
}

#[test]
fn nothing_is_acknowledged_or_sent_before_its_record_is_on_disk() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let actions = desk.submit(3);
    assert!(replies(&actions).is_empty() && sent(&actions).is_empty());
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert_eq!(replies(&actions).len(), 3);
    assert_eq!(sent(&actions).len(), 3);
}

#[test]
fn a_run_binds_in_nonce_order_in_one_commit_and_leaves_in_one_request() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let actions = desk.submit(5);
    assert_eq!(bound(&actions).iter().map(|bound| bound.0).collect::<Vec<_>>(), [7, 8, 9, 10, 11]);
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert_eq!(sent(&actions).iter().map(|(slot, _)| slot.nonce).collect::<Vec<_>>(), [7, 8, 9, 10, 11]);
    assert_eq!(actions.iter().filter(|action| matches!(action, Action::Send { .. })).count(), 1);
}

#[test]
fn without_a_nonce_the_request_alone_is_stored_acknowledged_and_bound_later() {
    let mut desk = Desk::new(TxmgrConfig::default());
    let actions = desk.submit(1);
    assert!(matches!(records(&actions)[..], [Record::Accepted { transaction: TransactionRow { place: Place::Line(0), .. }, .. }]));
    let actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
    assert_eq!(replies(&actions), [Ok(Uuid::from_u128(1))]);
    let actions = desk.run([
        Event::Node { healthy: true, chain_id: Some(1) },
        Event::BlockStored { number: 1, newest: true },
        Event::Price(Some(MarketPrice::Legacy(100))),
        Event::ChainNonce(FROM, Some(0)),
    ]);
    assert!(actions.iter().any(|action| matches!(action, Action::Load { after: None, .. })));
    let waiter = super::super::event::Waiter { queue_number: 0, id: Uuid::from_u128(1), row: accept(0).row };
    let actions = desk.run([Event::Loaded(FROM, Some(vec![waiter]))]);
    assert!(matches!(records(&actions)[..], [Record::Bound { accepted: None, queue_number: Some(0), .. }]));
}

#[test]
fn the_window_bounds_what_is_bound_and_opens_as_blocks_are_stored() {
    let mut desk = Desk::ready(TxmgrConfig { max_in_flight: 2, ..TxmgrConfig::default() });
    let actions = desk.submit(3);
    let hashes: Vec<B256> = bound(&actions).iter().map(|bound| bound.1).collect();
    assert_eq!(hashes.len(), 2);
    assert!(records(&actions).iter().any(|record| matches!(record, Record::Accepted { .. })));
    desk.run([Event::Durable { ticket: ticket(&actions) }]);
    let actions = desk.block(11, &hashes[..1]);
    assert!(actions.iter().any(|action| matches!(action, Action::Load { .. })) || !bound(&actions).is_empty());
}

#[test]
fn an_unknown_append_stops_sending_and_a_refused_one_gives_every_nonce_back() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    desk.submit(2);
    let second = desk.submit(1);
    let actions = desk.run([Event::Store { healthy: false }]);
    assert_eq!(replies(&actions), [Err(SubmitError::Unknown), Err(SubmitError::Unknown), Err(SubmitError::Unknown)]);
    assert!(matches!(replies(&desk.submit(1))[..], [Err(SubmitError::Busy { .. })]), "nothing is accepted meanwhile");
    let actions = desk.run([Event::Refused]);
    assert!(replies(&actions).iter().all(|reply| matches!(reply, Err(SubmitError::Busy { .. }))));
    assert_eq!(replies(&actions).len(), 3);
    assert!(sent(&actions).is_empty());
    assert_eq!(bound(&second).len(), 1);
    desk.now += Duration::from_secs(5);
    desk.run([Event::Store { healthy: true }, Event::Tick]);
    let actions = desk.submit(1);
    assert_eq!(bound(&actions)[0].0, 7, "the nonce that no record holds is used again");
}

#[test]
fn a_lost_reply_sends_the_same_bytes_again_and_never_another() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let actions = desk.submit(1);
    let first = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    let ends = vec![(first[0].0, SendEnd::Ambiguous)];
    desk.run([Event::Sent { lane: 0, ends, pause: None }]);
    desk.now += Duration::from_secs(1);
    let again = sent(&desk.run([Event::Tick]));
    assert_eq!(again, first);
}

#[test]
fn an_underpriced_transaction_is_signed_again_at_ten_percent_more() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let actions = desk.submit(1);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    let outcome = Outcome::FailedRequiresRetry(Reason::Underpriced);
    let actions = desk.run([answers(&attempts, &outcome)]);
    assert!(actions.iter().any(|action| matches!(action, Action::FetchPrice)), "the cached price is cleared");
    desk.now += Duration::from_secs(1);
    let actions = desk.run([Event::Price(Some(MarketPrice::Legacy(100))), Event::Tick]);
    let Some(Record::Attempt { attempt, .. }) = records(&actions).first().copied() else { panic!("a further attempt: {actions:?}") };
    assert_eq!((attempt.nonce, attempt.fees), (7, AttemptFees::Legacy { gas_price: 110 }));
}

#[test]
fn a_submission_that_reverts_clears_the_price_and_goes_out_again_as_it_is() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let actions = desk.submit(1);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    let actions = desk.run([answers(&attempts, &Outcome::FailedRequiresRetry(Reason::Reverted))]);
    assert!(actions.iter().any(|action| matches!(action, Action::FetchPrice)), "the cached price is cleared");
    desk.now += Duration::from_secs(1);
    assert_eq!(sent(&desk.run([Event::Tick])), attempts);
}

#[test]
fn what_the_node_or_its_pool_cannot_take_now_goes_out_again_as_it_is() {
    for reason in [Reason::DownstreamDown, Reason::NotFound, Reason::PoolLimit, Reason::NodeLimit, Reason::InsufficientFunds, Reason::Other]
    {
        let mut desk = Desk::ready(TxmgrConfig::default());
        let actions = desk.submit(1);
        let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
        let actions = desk.run([answers(&attempts, &Outcome::FailedRequiresRetry(reason))]);
        assert!(!actions.iter().any(|action| matches!(action, Action::FetchPrice)), "{reason:?} says nothing of the price");
        assert!(sent(&actions).is_empty(), "{reason:?}: after a pause");
        desk.now += Duration::from_secs(1);
        assert_eq!(sent(&desk.run([Event::Tick])), attempts, "{reason:?}");
    }
}

#[test]
fn above_the_cap_it_is_held_with_its_old_bytes() {
    let mut desk = Desk::ready(TxmgrConfig { resubmit_interval_ms: 1000, ..TxmgrConfig::default() });
    desk.run([Event::Price(Some(MarketPrice::Legacy(195)))]);
    let actions = desk.submit(1);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    desk.now += Duration::from_secs(2);
    let actions = desk.run([Event::Tick]);
    assert!(bound(&actions).is_empty());
    assert_eq!(sent(&actions), attempts);
}

#[test]
fn a_permanent_rejection_closes_the_nonce_with_a_self_send() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let actions = desk.submit(1);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    let actions = desk.run([answers(&attempts, &Outcome::Invalid)]);
    let Some(Record::Attempt { attempt, .. }) = records(&actions).first().copied() else { panic!("a self-send: {actions:?}") };
    assert_eq!((attempt.nonce, attempt.closing.as_deref()), (7, Some("as said")));
    let self_sends = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    assert_eq!(self_sends.len(), 1);
}

#[test]
fn completion_matches_any_hash_ever_sent_for_the_nonce() {
    let mut desk = Desk::ready(TxmgrConfig { resubmit_interval_ms: 1000, ..TxmgrConfig::default() });
    let actions = desk.submit(1);
    let first = bound(&actions)[0].1;
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    desk.now += Duration::from_secs(2);
    let actions = desk.run([Event::Tick]);
    desk.run([Event::Durable { ticket: ticket(&actions) }]);
    let actions = desk.block(11, &[first]);
    let effects = actions.iter().find_map(|action| if let Action::Effects(effects) = action { Some(effects) } else { None });
    assert_eq!(effects.map(|effects| (effects.receipts[0].1.attempt, effects.receipts[0].1.nonce)), Some((0, 7)));
}

#[test]
fn a_dropped_transaction_and_all_behind_it_are_sent_again_as_they_are() {
    let mut desk = Desk::ready(TxmgrConfig { resend_after_blocks: 2, ..TxmgrConfig::default() });
    let actions = desk.submit(3);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    assert!(sent(&desk.block(11, &[])).is_empty());
    let probe = sent(&desk.block(12, &[]));
    assert_eq!(probe, attempts[..1], "the oldest alone asks whether the pool still has it");
    assert_eq!(sent(&desk.run([answers(&probe, &Outcome::SubmittedNew)])), attempts[1..], "it did not, so neither did it have the others");
}

#[test]
fn after_a_restart_a_bound_attempt_counts_as_maybe_sent_and_goes_out_again_once_the_chain_is_read() {
    let mut desk = Desk::new(TxmgrConfig::default());
    let attempt = |nonce: u64| storage::AttemptRow {
        generation: 0,
        attempt: 0,
        nonce,
        hash: B256::with_last_byte(nonce as u8),
        raw: Bytes::from(vec![nonce as u8]),
        gas: 21_000,
        fees: AttemptFees::Legacy { gas_price: 1 },
        signed_at: 1,
        closing: None,
    };
    let row = |nonce: u64| BoundRow {
        id: Uuid::from_u128(u128::from(nonce)),
        accepted_at: 1,
        fixed_price: false,
        attempts: vec![attempt(nonce)],
        receipt: None,
        rival: None,
        ended: false,
    };
    let recovered =
        Recovered { address: FROM, floor: 4, bound: vec![row(4), row(5)], paused_until: None, last_queue_number: None, waiting_count: 0 };
    assert!(sent(&desk.run([Event::Recovered(recovered), Event::Node { healthy: true, chain_id: Some(1) }])).is_empty());
    let actions = desk.run([Event::BlockStored { number: 3, newest: true }]);
    assert_eq!(sent(&actions).iter().map(|(slot, _)| slot.nonce).collect::<Vec<_>>(), [4, 5]);
    desk.run([Event::Price(Some(MarketPrice::Legacy(1))), Event::ChainNonce(FROM, Some(2))]);
    assert_eq!(bound(&desk.submit(1))[0].0, 6, "a node that lags moves nothing back");
}

#[test]
fn what_is_final_leaves_the_memory_and_its_floor_goes_into_the_next_block() {
    let mut desk = Desk::ready(TxmgrConfig { finality_depth: 2, ..TxmgrConfig::default() });
    let actions = desk.submit(1);
    let hash = bound(&actions)[0].1;
    desk.run([Event::Durable { ticket: ticket(&actions) }]);
    desk.block(11, &[hash]);
    assert_eq!(desk.manager.open(), (1, 0));
    desk.block(12, &[]);
    assert_eq!(desk.manager.open(), (0, 0));
    let actions = desk.block(13, &[]);
    let effects = actions.iter().find_map(|action| if let Action::Effects(effects) = action { Some(effects) } else { None });
    assert_eq!(effects.map(|effects| effects.floors.clone()), Some(vec![(FROM, 8)]));
}

#[test]
fn a_price_that_the_node_did_not_give_is_asked_for_again_without_a_new_submission() {
    let mut desk = Desk::new(TxmgrConfig::default());
    let actions = desk.submit(1);
    desk.run([Event::Durable { ticket: ticket(&actions) }]);
    desk.run([
        Event::Node { healthy: true, chain_id: Some(1) },
        Event::BlockStored { number: 1, newest: true },
        Event::ChainNonce(FROM, Some(0)),
    ]);
    let waiter = super::super::event::Waiter { queue_number: 0, id: Uuid::from_u128(1), row: accept(0).row };
    let actions = desk.run([Event::Loaded(FROM, Some(vec![waiter]))]);
    assert!(actions.iter().any(|action| matches!(action, Action::FetchPrice)));
    let actions = desk.run([Event::Price(None)]);
    let wake = actions.iter().find_map(|action| if let Action::WakeAt(at) = action { Some(*at) } else { None });
    // Another look in between asks nothing, and must not lose the wake either.
    desk.run([Event::ChainNonce(FROM, Some(0))]);
    desk.now = wake.expect("somebody has to ask again");
    let actions = desk.run([Event::Tick]);
    assert!(actions.iter().any(|action| matches!(action, Action::FetchPrice)));
    let actions = desk.run([Event::Price(Some(MarketPrice::Legacy(100)))]);
    assert_eq!(bound(&actions).len(), 1);
}

#[test]
fn a_submission_that_cannot_be_bound_now_asks_for_no_price() {
    let mut desk = Desk::new(TxmgrConfig::default());
    assert!(!desk.submit(1).iter().any(|action| matches!(action, Action::FetchPrice)));
}

#[test]
fn a_nonce_is_closed_even_when_the_cap_leaves_no_replacement() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    desk.run([Event::Price(Some(MarketPrice::Legacy(195)))]);
    let actions = desk.submit(1);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    let actions = desk.run([answers(&attempts, &Outcome::Invalid)]);
    let Some(Record::Attempt { attempt, .. }) = records(&actions).first().copied() else { panic!("a self-send: {actions:?}") };
    assert_eq!(attempt.fees, AttemptFees::Legacy { gas_price: 215 });
}

#[test]
fn an_append_that_turns_out_durable_lets_every_address_go_on() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let first = desk.submit(1);
    let other = Address::repeat_byte(0xbb);
    let mut accept = accept(9);
    accept.row.request.from = other;
    accept.row.request.gas = None;
    let queued = desk.run([Event::Submit(accept, ReplyTo { batch: 2, index: 0 })]);
    desk.run([Event::Store { healthy: false }]);
    desk.run([Event::ChainNonce(other, Some(0)), Event::Durable { ticket: ticket(&queued) }]);
    let actions = desk.run([Event::Durable { ticket: ticket(&first) }, Event::Store { healthy: true }]);
    assert!(actions.iter().any(|action| matches!(action, Action::Load { address, .. } if *address == other)), "{actions:?}");
}

#[test]
fn a_refusal_forgets_what_was_estimated_for_another_request() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let waiter = |number: u64| {
        let mut row = accept(number as u32).row;
        row.request.gas = None;
        super::super::event::Waiter { queue_number: number, id: Uuid::from_u128(u128::from(number) + 1), row }
    };
    let recovered =
        Recovered { address: FROM, floor: 7, bound: Vec::new(), paused_until: None, last_queue_number: Some(1), waiting_count: 2 };
    desk.run([Event::Recovered(recovered), Event::ChainNonce(FROM, Some(7))]);
    desk.run([Event::Loaded(FROM, Some(vec![waiter(0), waiter(1)]))]);
    let estimated = |number: u64, gas| Event::Estimated(waiter(number).id, Box::new(waiter(number).row.request), Ok(gas));
    let first = desk.run([estimated(0, 100_000)]);
    assert_eq!(bound(&first).len(), 1);
    desk.run([Event::Refused]);
    desk.run([estimated(1, 900_000)]);
    desk.now += Duration::from_secs(5);
    let actions = desk.run([Event::Tick]);
    assert!(bound(&actions).is_empty(), "the estimate was another one's");
    assert!(actions.iter().any(|action| matches!(action, Action::Estimate(id, _) if *id == Uuid::from_u128(1))), "{actions:?}");
}

#[test]
fn only_an_estimate_that_fails_is_counted_and_ends_the_request() {
    let mut desk = Desk::ready(TxmgrConfig { estimate_tries: 2, ..TxmgrConfig::default() });
    let mut row = accept(0).row;
    row.request.gas = None;
    let asked = Box::new(row.request.clone());
    let waiter = super::super::event::Waiter { queue_number: 0, id: Uuid::from_u128(1), row };
    let recovered =
        Recovered { address: FROM, floor: 7, bound: Vec::new(), paused_until: None, last_queue_number: Some(0), waiting_count: 1 };
    desk.run([Event::Recovered(recovered), Event::ChainNonce(FROM, Some(7))]);
    desk.run([Event::Loaded(FROM, Some(vec![waiter]))]);
    let failed = |actions: &[Action]| {
        let failure = |record: &&Record| if let Record::Failed { failure, .. } = record { Some(failure.reason.clone()) } else { None };
        records(actions).iter().find_map(failure)
    };
    let put_off = [NoEstimate::Unanswered, NoEstimate::Unavailable("syncing".into()), NoEstimate::InsufficientFunds("poor".into())];
    let reverts = NoEstimate::Fails("execution reverted: no entry".into());
    for no_estimate in [&put_off[..], &put_off[..], std::slice::from_ref(&reverts)].concat() {
        let actions = desk.run([Event::Estimated(Uuid::from_u128(1), asked.clone(), Err(no_estimate.clone()))]);
        assert_eq!(failed(&actions), None, "{no_estimate}");
        desk.now += Duration::from_secs(20);
        let actions = desk.run([Event::Price(Some(MarketPrice::Legacy(100))), Event::ChainNonce(FROM, Some(7)), Event::Tick]);
        assert!(actions.iter().any(|action| matches!(action, Action::Estimate(..))), "asked again after {no_estimate}: {actions:?}");
    }
    let actions = desk.run([Event::Estimated(Uuid::from_u128(1), asked, Err(reverts))]);
    assert_eq!(failed(&actions).as_deref(), Some("the gas estimate failed: execution reverted: no entry"));
}

#[test]
fn waiting_transactions_go_on_with_the_last_known_good_price() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    desk.now += Duration::from_secs(60);
    desk.submit(1);
    let queued = desk.run([Event::ChainNonce(FROM, Some(7))]);
    let waiter = super::super::event::Waiter { queue_number: 0, id: Uuid::from_u128(1), row: accept(0).row };
    desk.run([Event::Durable { ticket: ticket(&queued) }, Event::Loaded(FROM, Some(vec![waiter]))]);
    assert_eq!(bound(&desk.run([Event::Price(None)])).len(), 1);
}

#[test]
fn a_nonce_that_another_wallet_has_used_stops_its_address_and_says_so() {
    let mut desk = Desk::ready(TxmgrConfig { resend_after_blocks: 2, ..TxmgrConfig::default() });
    let actions = desk.submit(1);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::NonceTooLow)]);
    desk.block(11, &[]);
    desk.block(12, &[]);
    assert!(bound(&desk.submit(1)).is_empty());
}

#[test]
fn after_a_change_of_nodes_what_is_unconfirmed_is_sent_again_as_it_is() {
    let mut desk = Desk::ready(TxmgrConfig::default());
    let actions = desk.submit(2);
    let hashes: Vec<B256> = bound(&actions).iter().map(|bound| bound.1).collect();
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&attempts, &Outcome::SubmittedNew)]);
    desk.block(11, &hashes[..1]);
    let actions = desk.run([Event::Switched]);
    assert_eq!(sent(&actions), attempts[1..], "not what a block holds");
    assert!(bound(&actions).is_empty());
}

#[test]
fn times_are_counted_to_the_moment_in_which_the_block_was_seen_and_from_there_to_the_confirmation() {
    let mut desk = Desk::ready(TxmgrConfig { required_confirmations: 2, ..TxmgrConfig::default() });
    let actions = desk.submit(1);
    desk.run([Event::Durable { ticket: ticket(&actions) }]);
    let times = |actions: &[Action]| {
        let of = |action: &Action| match action {
            Action::Count(Counted::Included(us)) => Some((0, *us)),
            Action::Count(Counted::Confirmed { accepted_us, seen_us }) => Some((*accepted_us, *seen_us)),
            _ => None,
        };
        actions.iter().find_map(of)
    };
    // Blocks are seen at 9 µs, and the transaction was accepted at 1 µs.
    assert_eq!(times(&desk.block(11, &[bound(&actions)[0].1])), Some((0, 8)));
    desk.now = Duration::from_micros(99);
    assert_eq!(times(&desk.block(12, &[])), Some((99, 91)));
}
