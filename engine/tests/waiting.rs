//! What the heap holds for a transaction, and what one more costs.
//!
//! - A million accepted transactions wait in ten thousand queues while the node is away: they are on disk and not in the heap, and one
//!   more costs what the first ones did (row A2).
//! - As many as a hundred addresses may have in flight are bound and sent, and wait for a block: below a kibibyte of heap each, the signed bytes included.
//!
//! The production manager and writer on a RocksDB of their own. Counted is what Rust code allocates; RocksDB's memtables and caches are
//! of a fixed size and not in it. CPU is that of the one thread that does it all here; compactions run on others.

#[path = "support/heap.rs"]
mod heap;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use alloy::primitives::{Address, B256, Bytes, U256};
use engine::config::{GasConfig, TxmgrConfig};
use engine::txmgr::gas_price::MarketPrice;
use engine::txmgr::outcome::Outcome;
use engine::txmgr::{Accept, Action, Event, Manager, Now, ReplyTo, SendEnd, Settings, SignJob, Signed};
use heap::HELD;
use parking_lot::Mutex;
use storage::{Commit, Fees, Options, Request, RocksStore, ShardLink, TransactionRow, Writer, read};
use uuid::Uuid;

/// Held by the test that counts: what another one allocates would be counted too.
static ALONE: Mutex<()> = Mutex::new(());

const ADDRESSES: u64 = 10_000;
const WAITING: u64 = 1_000_000;
/// Transactions in one commit.
const BATCH: u64 = 1_000;
/// Heap for one that waits, at most. It would take 200 to keep a request.
const MOST_BYTES: f64 = 1.0;
/// What one costs when a million wait, compared with when 10,000 do, at most: log n would be 1.5. Memory that is not in a cache any more
/// and a neighbour on the machine are in it too.
const MOST_GROWTH: f64 = 3.0;

/// Heap for one that is bound and sent, at most.
const MOST_BYTES_BOUND: f64 = 1024.0;

/// One shard's way from a submission to its acknowledgement.
struct Desk {
    manager: Manager,
    writer: Writer<RocksStore>,
    link: ShardLink,
    actions: Vec<Action>,
}

impl Desk {
    fn new(store: RocksStore) -> Self {
        let settings =
            Settings { gas: GasConfig::default(), txmgr: TxmgrConfig::default(), lanes: 1, batch_calls: 100, batch_bytes: 1 << 20 };
        let (writer, mut links) = storage::writer(store, vec![Arc::new(|| ())], 16).expect("an open store");
        let link = links.pop().expect("one shard");
        Self { manager: Manager::new(settings), writer, link, actions: Vec::new() }
    }

    /// Submits these numbers, one commit a batch, and returns how many were acknowledged.
    fn submit(&mut self, numbers: std::ops::Range<u64>) -> usize {
        let mut acknowledged = 0;
        for first in numbers.clone().step_by(BATCH as usize) {
            let now = Now { elapsed: std::time::Duration::from_micros(first), unix_us: 1_800_000_000_000_000 + first };
            for number in first..(first + BATCH).min(numbers.end) {
                let reply_to = ReplyTo { batch: first, index: (number - first) as u32 };
                self.manager.handle(Event::Submit(accept(number), reply_to), now, &mut self.actions);
            }
            self.manager.flush(now, &mut self.actions);
            for action in std::mem::take(&mut self.actions) {
                let Action::Commit { ticket, records } = action else { continue };
                assert!(self.link.submit(Commit { ticket, epoch: 0, records }).is_ok(), "one commit at a time");
            }
            self.writer.turn();
            while let Some(ack) = self.link.next_ack() {
                assert_eq!(ack.outcome, storage::Outcome::Durable);
                self.manager.handle(Event::Durable { ticket: ack.ticket }, now, &mut self.actions);
            }
            self.manager.flush(now, &mut self.actions);
            acknowledged += self.actions.iter().filter(|action| matches!(action, Action::Reply { result: Ok(_), .. })).count();
            self.actions = Vec::new();
        }
        acknowledged
    }
}

fn address(number: u64) -> Address {
    Address::from_word(alloy::primitives::keccak256(number.to_be_bytes()))
}

fn accept(number: u64) -> Accept {
    let from = address(number % ADDRESSES);
    let to = Some(Address::repeat_byte(0xbb));
    let request = Request { from, to, value: U256::from(number), data: Bytes::new(), gas: Some(21_000), fees: Fees::Market, extras: None };
    let row = TransactionRow::new(request, Some(format!("order-{number:010}")), 1);
    Accept { id: Uuid::from_u128(u128::from(number) << 64), row, body_hash: B256::ZERO }
}

/// CPU of this thread so far, ns.
fn cpu() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux tells it");
    text.split(' ').next().and_then(|ns| ns.parse().ok()).expect("a number")
}

/// As long as a transfer's.
fn signed(job: &SignJob) -> Signed {
    // It begins as one of type 2 does.
    let raw = Bytes::from(vec![2; 115]);
    let hash = alloy::primitives::keccak256([job.slot.nonce.to_be_bytes(), job.number.to_be_bytes()].concat());
    job.answer(Ok((raw, hash)))
}

/// Plays signer, disk and node until the manager asks for nothing more; tells how many attempts were sent.
fn carry_out(manager: &mut Manager, now: Now, actions: &mut Vec<Action>) -> u64 {
    let mut sent = 0;
    loop {
        let jobs = manager.sign();
        manager.handle(Event::Signed(jobs.iter().map(signed).collect()), now, actions);
        manager.flush(now, actions);
        if actions.is_empty() {
            return sent;
        }
        for action in std::mem::take(actions) {
            let event = match action {
                Action::Commit { ticket, .. } => Event::Durable { ticket },
                Action::Send { lane, attempts } => {
                    sent += attempts.len() as u64;
                    let took = SendEnd::Answered(Outcome::SubmittedNew, String::new());
                    Event::Sent { lane, ends: attempts.into_iter().map(|(slot, _)| (slot, took.clone())).collect(), pause: None }
                }
                _ => continue,
            };
            manager.handle(event, now, actions);
        }
    }
}

#[test]
fn a_transaction_that_is_bound_and_sent_holds_less_than_a_kibibyte() {
    let _alone = ALONE.lock();
    const SENDERS: u64 = 100;
    let now = Now { elapsed: std::time::Duration::ZERO, unix_us: 1_800_000_000_000_000 };
    let settings = Settings { gas: GasConfig::default(), txmgr: TxmgrConfig::default(), lanes: 4, batch_calls: 200, batch_bytes: 1 << 20 };
    let count = SENDERS * settings.txmgr.max_in_flight as u64;
    let mut manager = Manager::new(settings);
    let mut actions = Vec::new();
    manager.handle(Event::Node { healthy: true, chain_id: Some(31_337) }, now, &mut actions);
    manager.handle(Event::BlockStored { number: 1, newest: true }, now, &mut actions);
    manager.handle(Event::Price(Some(MarketPrice::from_history(1_000_000_000, &[1]))), now, &mut actions);
    for number in 0..SENDERS {
        manager.handle(Event::Balance(address(number), Some(U256::MAX)), now, &mut actions);
        manager.handle(Event::ChainNonce(address(number), Some(0)), now, &mut actions);
    }
    actions.clear();
    let before = HELD.load(Ordering::Relaxed);
    let mut sent = 0;
    // A run at a time, as a shard does it.
    for first in (0..count).step_by(SENDERS as usize) {
        for number in first..first + SENDERS {
            let mut accept = accept(number);
            accept.row.request.from = address(number % SENDERS);
            manager.handle(Event::Submit(accept, ReplyTo { batch: 1, index: number as u32 }), now, &mut actions);
        }
        sent += carry_out(&mut manager, now, &mut actions);
    }
    assert_eq!(sent, count, "each is bound and has been sent");
    let each = (HELD.load(Ordering::Relaxed) - before) as f64 / count as f64;
    println!("{count} are bound and sent: {each:.0} bytes of heap each");
    assert!(each < MOST_BYTES_BOUND, "{each} bytes of heap for one that is bound");
    drop(manager);
}

#[test]
fn a_million_that_wait_are_on_disk_and_one_more_costs_what_the_first_ones_did() {
    let _alone = ALONE.lock();
    let directory = tempfile::tempdir().expect("a directory");
    let store = RocksStore::open(directory.path(), &Options::default()).expect("a store");
    let mut desk = Desk::new(store.clone());
    // One for each address: from here on nothing but the queues grows.
    let mut acknowledged = desk.submit(0..ADDRESSES);
    let first_heap = HELD.load(Ordering::Relaxed);
    let mut first_cost = None;
    let mut waiting = ADDRESSES;
    for until in [2 * ADDRESSES, 10 * ADDRESSES, WAITING] {
        acknowledged += desk.submit(waiting..until - ADDRESSES);
        let before = cpu();
        acknowledged += desk.submit((until - ADDRESSES).max(waiting)..until);
        let cost = (cpu() - before) as f64 / ADDRESSES as f64 / 1_000.0;
        waiting = until;
        let heap = (HELD.load(Ordering::Relaxed) - first_heap) as f64 / (waiting - ADDRESSES) as f64;
        let growth = cost / *first_cost.get_or_insert(cost);
        println!(
            "{waiting:>9} wait: {heap:>6.3} bytes of heap for one more, {cost:>6.2} µs of CPU to take one in, {growth:.2} of the first"
        );
        assert!(heap < MOST_BYTES, "{heap} bytes of heap for each of {waiting} that wait");
        assert!(growth < MOST_GROWTH, "{waiting} wait, and one more costs {growth} times what it did");
    }
    assert_eq!(acknowledged as u64, WAITING);
    for number in [0, ADDRESSES / 2, ADDRESSES - 1] {
        let queue = read::waiting(&store, &address(number), None, 1_000).expect("a queue on disk");
        assert_eq!(queue.len() as u64, WAITING / ADDRESSES);
    }
}
