//! The writer: group commit, back-pressure, order, and the rule of a failed append.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use millrace_storage::{
    Ack, AppendLimits, Commit,
    Outcome::{self, Durable, Refused},
    Record, ShardLink, Store, Turn, Wake, Writer, read, run, writer,
};

use crate::kit::{Fault, Flaky, accepted, address, bound, id, open};

const CAPACITY: usize = 64;
/// Longer than any of these appends; reached only when a test fails.
const PATIENCE: Duration = Duration::from_secs(30);

struct Bench {
    store: Flaky,
    writer: Writer<Flaky>,
    links: Vec<ShardLink>,
    rings: Arc<AtomicUsize>,
}

fn bench(dir: &Path, shards: usize, plan: &[Fault]) -> Bench {
    let store = Flaky::new(open(dir), plan);
    let rings = Arc::new(AtomicUsize::new(0));
    let wakes = (0..shards)
        .map(|_| -> Wake {
            let rings = Arc::clone(&rings);
            Arc::new(move || {
                rings.fetch_add(1, Ordering::Relaxed);
            })
        })
        .collect();
    let (writer, links) = writer(store.clone(), wakes, CAPACITY).unwrap();
    Bench { store, writer, links, rings }
}

/// Transaction `number` alone in a commit of its own; its ticket is the number.
fn commit(number: u64, epoch: u32) -> Commit {
    Commit { ticket: number, epoch, records: vec![bound(address(number), number, 0)] }
}

fn acks(link: &ShardLink) -> Vec<(u64, u32, Outcome)> {
    std::iter::from_fn(|| link.next_ack()).map(|Ack { ticket, epoch, outcome }| (ticket, epoch, outcome)).collect()
}

fn present(store: &impl Store, numbers: &[u64]) -> Vec<bool> {
    numbers.iter().map(|n| read::transaction(store, id(*n)).unwrap().is_some()).collect()
}

#[test]
fn many_commits_of_many_shards_become_one_append_and_each_shard_is_rung_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path(), 3, &[]);
    for (shard, link) in bench.links.iter().enumerate() {
        for number in 0..20 {
            link.submit(commit(shard as u64 * 100 + number, 0)).unwrap();
        }
    }
    assert_eq!(bench.writer.turn(), Turn::Wrote);
    assert_eq!(*bench.store.sizes.lock().unwrap(), [60]);
    assert_eq!(bench.rings.load(Ordering::Relaxed), 3);
    for (shard, link) in bench.links.iter().enumerate() {
        let expected: Vec<_> = (0..20).map(|n| (shard as u64 * 100 + n, 0, Durable)).collect();
        assert_eq!(acks(link), expected);
    }
    let state = bench.writer.state();
    assert_eq!((state.appends_total(), state.records_total(), state.fsyncs_total()), (1, 60, 1));
    assert_eq!(bench.writer.turn(), Turn::Idle);
    assert_eq!(bench.rings.load(Ordering::Relaxed), 3);
}

#[test]
fn a_batch_is_bounded_and_takes_from_every_shard_in_turn() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path(), 2, &[]);
    let large =
        |ticket: u64| Commit { ticket, epoch: 0, records: (0..300).map(|n| accepted(address(ticket), ticket * 300 + n, n)).collect() };
    for ticket in 0..8 {
        bench.links[0].submit(large(ticket)).unwrap();
    }
    bench.links[1].submit(large(100)).unwrap();
    assert_eq!(bench.writer.turn(), Turn::Wrote);
    // Seven commits reach the bound of 2,000 records; the other shard's one is among them, though it came last.
    assert_eq!(*bench.store.sizes.lock().unwrap(), [2_100]);
    assert_eq!(acks(&bench.links[1]), [(100, 0, Durable)]);
    assert_eq!(acks(&bench.links[0]).len(), 6);
    assert_eq!(bench.writer.turn(), Turn::Wrote);
    assert_eq!(acks(&bench.links[0]), [(6, 0, Durable), (7, 0, Durable)]);
}

#[test]
fn the_bounds_of_a_batch_can_be_set() {
    for (limits, sizes) in [
        (AppendLimits { records_max: 3, ..AppendLimits::default() }, [3, 2]),
        // The record that reaches a bound is still taken, so the least bound is one record an append.
        (AppendLimits { bytes_max: 4 * bound(address(0), 0, 0).weight(), ..AppendLimits::default() }, [4, 1]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let bench = bench(directory.path(), 1, &[]);
        let mut writer = bench.writer.with_limits(limits);
        for number in 0..5 {
            bench.links[0].submit(commit(number, 0)).unwrap();
        }
        assert_eq!([writer.turn(), writer.turn(), writer.turn()], [Turn::Wrote, Turn::Wrote, Turn::Idle]);
        assert_eq!(*bench.store.sizes.lock().unwrap(), sizes, "{limits:?}");
    }
}

#[test]
fn a_full_link_hands_the_commit_back_until_an_ack_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path(), 1, &[]);
    let link = &bench.links[0];
    for number in 0..CAPACITY as u64 {
        link.submit(commit(number, 0)).unwrap();
    }
    assert_eq!(link.submit(commit(999, 0)), Err(commit(999, 0)));
    bench.writer.turn();
    // Answered, but not taken: still in the air, so that acks always have room.
    assert_eq!(link.submit(commit(999, 0)), Err(commit(999, 0)));
    assert_eq!(link.next_ack().unwrap().ticket, 0);
    assert_eq!(link.in_the_air(), CAPACITY - 1);
    link.submit(commit(999, 0)).unwrap();
    bench.writer.turn();
    assert_eq!(acks(link).last(), Some(&(999, 0, Durable)));
    assert_eq!(link.in_the_air(), 0);
}

#[test]
fn commits_of_a_shard_are_applied_in_the_order_of_their_submission() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path(), 2, &[]);
    // The same nonce again and again: the last one to be applied is what is left, within a batch and over batches.
    for batch in 0..3 {
        for number in 0..10 {
            let number = batch * 10 + number;
            let records = vec![bound(address(1), number, 7)];
            bench.links[0].submit(Commit { ticket: number, epoch: 0, records }).unwrap();
            bench.links[1].submit(commit(1_000 + number, 0)).unwrap();
        }
        bench.writer.turn();
        let last = read::bound(&bench.store, &address(1), 7, 1).unwrap();
        assert_eq!(last, [(7, id(batch * 10 + 9))]);
    }
    let tickets: Vec<u64> = acks(&bench.links[0]).iter().map(|ack| ack.0).collect();
    assert_eq!(tickets, (0..30).collect::<Vec<_>>());
}

#[test]
fn an_unknown_append_that_was_written_is_durable() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path(), 1, &[Fault::UnknownWritten]);
    let link = &bench.links[0];
    link.submit(commit(1, 0)).unwrap();
    link.submit(commit(2, 0)).unwrap();
    assert_eq!(bench.writer.turn(), Turn::Wrote);
    assert_eq!(acks(link), [(1, 0, Durable), (2, 0, Durable)]);
    assert!(bench.writer.state().healthy());
    assert_eq!(present(&bench.store, &[1, 2]), [true, true]);
    link.submit(commit(3, 0)).unwrap();
    bench.writer.turn();
    assert_eq!(acks(link), [(3, 0, Durable)]);
}

#[test]
fn an_unknown_append_that_was_not_written_is_refused_with_all_that_was_queued_behind_it() {
    let directory = tempfile::tempdir().unwrap();
    let plan = [Fault::UnknownAndShut(2)];
    let mut bench = bench(directory.path(), 2, &plan);
    let (first, second) = (&bench.links[0], &bench.links[1]);
    let state = bench.writer.state();
    first.submit(commit(1, 0)).unwrap();
    first.submit(commit(2, 0)).unwrap();
    let rings = bench.rings.load(Ordering::Relaxed);
    assert_eq!(bench.writer.turn(), Turn::Recovering);
    assert_eq!(acks(first), [], "nobody knows yet");
    assert_eq!(bench.rings.load(Ordering::Relaxed), rings + 2, "and all shards have to hear that");
    assert_eq!(first.in_the_air(), 2);
    assert!(!state.healthy());

    // Queued while nobody knows: what builds on the unknown batch, and what another shard does.
    first.submit(commit(3, 0)).unwrap();
    second.submit(commit(4, 0)).unwrap();
    assert_eq!(bench.writer.turn(), Turn::Recovering);
    assert_eq!(bench.writer.turn(), Turn::Wrote);
    assert_eq!(acks(first), [(1, 1, Refused), (2, 1, Refused)]);
    assert!(state.healthy());

    // Still the old epoch, because the shard had not heard yet.
    first.submit(commit(5, 0)).unwrap();
    // The shard has heard, discarded, and goes on.
    first.submit(commit(6, 1)).unwrap();
    assert_eq!(bench.writer.turn(), Turn::Wrote);
    assert_eq!(acks(first), [(3, 1, Refused), (5, 1, Refused), (6, 1, Durable)]);
    assert_eq!(acks(second), [(4, 0, Durable)]);
    let expected = [false, false, false, true, false, true];
    assert_eq!(present(&bench.store, &[1, 2, 3, 4, 5, 6]), expected);
    assert_eq!(first.in_the_air(), 0);
}

#[test]
fn a_turn_that_only_refuses_writes_nothing_and_still_rings() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path(), 1, &[Fault::UnknownNotWritten]);
    let link = &bench.links[0];
    link.submit(commit(1, 0)).unwrap();
    bench.writer.turn();
    link.submit(commit(2, 0)).unwrap();
    let rings = bench.rings.load(Ordering::Relaxed);
    assert_eq!(bench.writer.turn(), Turn::Wrote);
    assert_eq!(bench.rings.load(Ordering::Relaxed), rings + 1);
    assert_eq!(acks(link), [(1, 1, Refused), (2, 1, Refused)]);
    assert_eq!(*bench.store.sizes.lock().unwrap(), [1]);
}

#[test]
fn a_writer_whose_place_was_taken_refuses_everything_and_stays_unhealthy() {
    let directory = tempfile::tempdir().unwrap();
    let mut bench = bench(directory.path(), 1, &[]);
    let link = &bench.links[0];
    let stranger: &[Record] = &[bound(address(9), 9, 9)];
    bench.store.inner.append(0, stranger);
    for (ticket, epoch) in [(1, 0), (2, 1)] {
        link.submit(commit(ticket, epoch)).unwrap();
        assert_eq!(bench.writer.turn(), Turn::Wrote);
        assert_eq!(acks(link), [(ticket, epoch + 1, Refused)]);
        assert!(!bench.writer.state().healthy());
    }
    assert_eq!(present(&bench.store, &[1, 2, 9]), [false, false, true]);
}

/// A link to a writer on its own thread, and what ends the thread. The thread is waited for: a process that ends while RocksDB
/// closes on another thread is aborted by RocksDB.
struct Threaded {
    link: Option<ShardLink>,
    woken: mpsc::Receiver<()>,
    stop: Arc<AtomicBool>,
    state: Arc<millrace_storage::WriterState>,
    ended: mpsc::Receiver<()>,
    thread: Option<JoinHandle<()>>,
}

fn threaded(dir: &Path, plan: &[Fault]) -> Threaded {
    let (wake, woken) = mpsc::channel();
    let wake: Wake = Arc::new(move || wake.send(()).unwrap_or_default());
    let store = Flaky::new(open(dir), plan);
    let (writer, mut links) = writer(store, vec![wake], CAPACITY).unwrap();
    let state = writer.state();
    let stop = Arc::new(AtomicBool::new(false));
    let (end, ended) = mpsc::channel();
    let flag = Arc::clone(&stop);
    let thread = thread::spawn(move || {
        run(writer, flag, Duration::from_millis(100));
        end.send(()).unwrap_or_default();
    });
    Threaded { link: Some(links.remove(0)), woken, stop, state, ended, thread: Some(thread) }
}

impl Threaded {
    fn next_ack(&self) -> Ack {
        loop {
            if let Some(ack) = self.link().next_ack() {
                return ack;
            }
            self.woken.recv_timeout(PATIENCE).expect("the writer rings after it has answered");
        }
    }

    fn link(&self) -> &ShardLink {
        self.link.as_ref().expect("the shard has not left")
    }

    fn shard_leaves(&mut self) {
        drop(self.link.take());
    }

    fn wait_for_the_end(&self) {
        self.ended.recv_timeout(PATIENCE).expect("the writer ends");
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        self.shard_leaves();
        let joined = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(joined, Some(Ok(()))), "the writer's thread panicked");
    }
}

#[test]
fn the_thread_sleeps_wakes_for_every_submit_and_stops_when_told() {
    let directory = tempfile::tempdir().unwrap();
    let threaded = threaded(directory.path(), &[]);
    for number in 0..200 {
        threaded.link().submit(commit(number, 0)).unwrap();
        assert_eq!(threaded.next_ack(), Ack { ticket: number, epoch: 0, outcome: Durable });
    }
    threaded.stop.store(true, Ordering::Release);
    threaded.state.wake();
    threaded.wait_for_the_end();
}

#[test]
fn the_thread_ends_by_itself_when_the_shards_have_left_and_leaves_nothing_unwritten() {
    let directory = tempfile::tempdir().unwrap();
    let mut threaded = threaded(directory.path(), &[]);
    for number in 0..CAPACITY as u64 {
        threaded.link().submit(commit(number, 0)).unwrap();
    }
    threaded.shard_leaves();
    threaded.wait_for_the_end();
    assert_eq!(threaded.state.records_total(), CAPACITY as u64);
    let numbers: Vec<u64> = (0..CAPACITY as u64).collect();
    assert!(present(&open(directory.path()), &numbers).iter().all(|present| *present));
}

#[test]
fn the_thread_opens_a_failed_store_again_until_it_can() {
    let directory = tempfile::tempdir().unwrap();
    let threaded = threaded(directory.path(), &[Fault::None, Fault::UnknownAndShut(3)]);
    threaded.link().submit(commit(1, 0)).unwrap();
    assert_eq!(threaded.next_ack().outcome, Durable);
    threaded.link().submit(commit(2, 0)).unwrap();
    assert_eq!(threaded.next_ack(), Ack { ticket: 2, epoch: 1, outcome: Refused });
    threaded.link().submit(commit(2, 1)).unwrap();
    assert_eq!(threaded.next_ack(), Ack { ticket: 2, epoch: 1, outcome: Durable });
    assert!(threaded.state.healthy());
}
