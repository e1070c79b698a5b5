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
