//! Higher prices and further tries, one rule a test (rows A8, A12, A13).

use super::*;
use storage::AttemptRow;

/// The attempts that these actions put on disk.
fn signed(actions: &[Action]) -> Vec<AttemptRow> {
    let attempt = |record: &&Record| match record {
        Record::Bound { attempt, .. } | Record::Attempt { attempt, .. } => Some(attempt.clone()),
        _ => None,
    };
    records(actions).iter().filter_map(attempt).collect()
}

#[test]
fn the_wait_for_a_higher_price_goes_on_after_a_restart() {
    let attempts = signed(&Desk::ready(TxmgrConfig::default()).submit(1));
    let row = BoundRow { id: Uuid::from_u128(1), accepted_at: 1, fixed_price: false, attempts, receipt: None, rival: None, ended: false };
    let recovered = Recovered { address: FROM, floor: 7, bound: vec![row], paused_until: None, last_queue_number: None, waiting_count: 0 };
    let mut desk = Desk::new(TxmgrConfig { resubmit_interval_ms: 300_000, ..TxmgrConfig::default() });
    // The clock on the wall says that the attempt was signed so long ago.
    desk.now = Duration::from_secs(200);
    let actions = desk.run([
        Event::Recovered(recovered),
        Event::Node { healthy: true, chain_id: Some(1) },
        Event::BlockStored { number: 10, newest: true },
        Event::Price(Some(MarketPrice::Legacy(100))),
        Event::ChainNonce(FROM, Some(7)),
    ]);
    desk.run([answers(&sent(&actions), &Outcome::AlreadyKnown)]);
    for (seconds, raised) in [(299, 0), (300, 1)] {
        desk.now = Duration::from_secs(seconds);
        let actions = desk.run([Event::Price(Some(MarketPrice::Legacy(100))), Event::Tick]);
        assert_eq!(signed(&actions).len(), raised, "after {seconds} s");
    }
}

/// How long after a refusal something is sent or signed again, for each of so many refusals in a row; and what was signed meanwhile.
fn pauses(desk: &mut Desk, reason: Reason, count: usize) -> (Vec<Duration>, Vec<AttemptRow>, Vec<Action>) {
    let actions = desk.submit(1);
    let mut attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    let (mut pauses, mut rows, mut all) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let market = || Event::Price(Some(MarketPrice::Legacy(1)));
        let mut actions = desk.run([answers(&attempts, &Outcome::FailedRequiresRetry(reason)), market()]);
        assert!(sent(&actions).is_empty() && signed(&actions).is_empty(), "not before its pause is over");
        let refused_at = desk.now;
        while sent(&actions).is_empty() {
            if signed(&actions).is_empty() {
                all.extend(actions);
                desk.now += Duration::from_millis(50);
                actions = desk.run([market(), Event::Tick]);
            } else {
                rows.extend(signed(&actions));
                actions = desk.run([Event::Durable { ticket: ticket(&actions) }]);
            }
        }
        attempts = sent(&actions);
        pauses.push(desk.now - refused_at);
        all.extend(actions);
    }
    (pauses, rows, all)
}

#[test]
fn a_node_that_calls_every_price_too_low_is_given_a_higher_one_at_growing_intervals() {
    let config = TxmgrConfig { retry_min_ms: 250, retry_max_ms: 10_000, ..TxmgrConfig::default() };
    let mut desk = Desk::ready(config);
    let (pauses, rows, _) = pauses(&mut desk, Reason::Underpriced, 6);
    assert!(pauses[0] < Duration::from_millis(400), "{pauses:?}");
    assert!(pauses[3..].iter().all(|pause| *pause >= Duration::from_millis(7_500)), "{pauses:?}");
    let mut prices: Vec<_> = rows.iter().map(|row| format!("{:?}", row.fees)).collect();
    prices.dedup();
    assert_eq!(prices.len(), rows.len(), "a row for every price, and none for the same bytes");
}

#[test]
fn another_hash_than_ours_is_shown_counted_once_and_asked_for_again_at_growing_intervals() {
    let mut desk = Desk::ready(TxmgrConfig { retry_min_ms: 250, retry_max_ms: 10_000, stage_retry_ms: 10_000, ..TxmgrConfig::default() });
    let (pauses, rows, actions) = pauses(&mut desk, Reason::OtherHash, 3);
    assert!(pauses[1] > pauses[0] && pauses[2] >= Duration::from_secs(10), "{pauses:?}");
    assert!(rows.is_empty(), "the same bytes");
    let counted = |action: &&Action| matches!(action, Action::Count(Counted::Held));
    assert_eq!(actions.iter().filter(counted).count(), 1);
    let asked = crate::txmgr::inspect::Asked { from: FROM, id: Uuid::from_u128(1), nonce: Some(7) };
    let held = |desk: &Desk| desk.manager.inspect_transaction(&asked).and_then(|live| live.held).unwrap_or_default();
    assert!(held(&desk).contains("another hash than ours (as said)"), "{}", held(&desk));
    let slot = super::super::Slot { address: 0, nonce: 7 };
    desk.run([answers(&[(slot, Bytes::new())], &Outcome::SubmittedNew)]);
    assert_eq!(held(&desk), "");
}

#[test]
fn a_cleared_or_doubtful_price_is_asked_for_before_the_next_bind() {
    let asks = |actions: &[Action]| actions.iter().any(|action| matches!(action, Action::FetchPrice));
    let block = |success, hash| {
        Event::Block(SeenBlock {
            number: 11,
            hash: B256::ZERO,
            seen_at: 9,
            receipts: vec![SeenReceipt { success, ..receipt(hash) }],
            authorizations: Vec::new(),
        })
    };
    let causes: [(bool, &dyn Fn(B256) -> Event); 3] =
        [(false, &|hash| block(true, hash)), (true, &|hash| block(false, hash)), (true, &|_| Event::ClearPrice)];
    for (doubtful, cause) in causes {
        let mut desk = Desk::ready(TxmgrConfig::default());
        let actions = desk.submit(1);
        assert!(!asks(&actions), "the cache serves");
        desk.run([Event::Durable { ticket: ticket(&actions) }, cause(bound(&actions)[0].1)]);
        assert_eq!(asks(&desk.submit(1)), doubtful);
    }
}

#[test]
fn on_a_chain_without_gas_prices_a_closing_is_signed_once_and_nothing_is_raised() {
    let mut desk = Desk::ready(TxmgrConfig { resubmit_interval_ms: 1000, ..TxmgrConfig::default() });
    desk.manager.settings.gas.zero = true;
    let actions = desk.submit(1);
    let attempts = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    let price = |actions: &[Action]| match records(actions)[..] {
        [Record::Bound { attempt, .. } | Record::Attempt { attempt, .. }] => Some(attempt.fees),
        _ => None,
    };
    assert_eq!(price(&actions), Some(AttemptFees::Legacy { gas_price: 0 }));
    let actions = desk.run([answers(&attempts, &Outcome::Invalid)]);
    assert_eq!(price(&actions), Some(AttemptFees::Legacy { gas_price: 0 }), "the nonce is closed at price 0, too");
    let closing = sent(&desk.run([Event::Durable { ticket: ticket(&actions) }]));
    desk.run([answers(&closing, &Outcome::SubmittedNew)]);
    desk.now += Duration::from_secs(2);
    let actions = desk.run([Event::Tick]);
    assert_eq!((bound(&actions).len(), sent(&actions)), (0, closing));
}
