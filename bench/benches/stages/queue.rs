//! Queues between threads: the mailbox of a shard, and its link to the writer. Both sides run, so times hold what it costs to move cache
//! lines between cores; on a machine whose cores are busy with other things they hold the scheduler too.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alloy::primitives::Address;
use criterion::{BenchmarkId, Criterion, Throughput};
use engine::shard::mailbox::Mailbox;
use engine::shard::{Mail, SubmitBatch};
use engine::txmgr::Accept;
use millrace_bench::record::bound;
use millrace_bench::store::Forgetful;
use millrace_bench::transfer::accept;
use netio::Bell;
use storage::{Commit, Outcome, Record, writer};

/// Submissions a mailbox admits: the engine's default order of magnitude.
const HELD_MAX: usize = 16_384;
/// Longest sleep of a shard that waits for an ack. It is woken; this only ends a bench that has lost a wake.
const PATIENCE: Duration = Duration::from_secs(10);

/// Submissions handed from a caller's thread to a shard's: how long until the shard has taken the last one, for each message. `1`: every
/// submission alone; `200`: as many in one message. As many as a mailbox admits go in one burst, so it is never full, and the shard
/// sleeps only before a burst.
pub(crate) fn mailbox(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    for size in [1_usize, 200] {
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::new("mailbox", size), |bencher| bencher.iter_custom(|rounds| hand_over(rounds as usize, size)));
    }
    group.finish();
}

fn hand_over(rounds: usize, size: usize) -> Duration {
    let (mailbox, mails, held) = Mailbox::new(Bell::new(), HELD_MAX);
    let (finished, burst_end) = flume::bounded(1);
    let burst_max = HELD_MAX / size;
    let bursts: Vec<usize> = (0..rounds).step_by(burst_max).map(|begin| burst_max.min(rounds - begin)).collect();
    let plan = bursts.clone();
    let taker = std::thread::spawn(move || {
        for burst in plan {
            for _ in 0..burst {
                let Ok(Mail::Submit(batch)) = mails.recv() else { panic!("a submission was sent") };
                held.fetch_sub(batch.items.len(), Ordering::AcqRel);
            }
            finished.send(Instant::now()).expect("the caller waits for it");
        }
    });
    let (reply, _answers) = flume::bounded(1);
    let items: Vec<Accept> = (0_u64..).take(size).map(|number| accept(Address::repeat_byte(0xaa), number)).collect();
    let mut took = Duration::ZERO;
    for burst in bursts {
        let batches: Vec<_> = (0..burst).map(|_| SubmitBatch { items: items.clone(), reply: reply.clone() }).collect();
        let begin = Instant::now();
        for batch in batches {
            mailbox.submit(batch).expect("a burst is no more than it admits");
        }
        took += burst_end.recv().expect("the taker says when it is done") - begin;
    }
    taker.join().expect("the taker ends");
    took
}

/// Commits of one record from a shard to the writer and their acks back, with so many in the air; the store says yes at once. With one
/// in the air each waits for two threads to wake; with 1,024 neither sleeps.
pub(crate) fn link(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue");
    group.throughput(Throughput::Elements(1));
    for depth in [1_usize, 64, 1_024] {
        group.bench_function(BenchmarkId::new("link", depth), |bencher| bencher.iter_custom(|rounds| round_trips(rounds, depth)));
    }
    group.finish();
}

fn round_trips(rounds: u64, depth: usize) -> Duration {
    let shard = std::thread::current();
    let (writer, mut links) = writer(Forgetful, vec![Arc::new(move || shard.unpark())], depth).expect("a store that knows its sequence");
    let link = links.pop().expect("one link");
    let stop = Arc::new(AtomicBool::new(false));
    let owner = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || storage::run(writer, stop, Duration::from_secs(1))
    });
    let record: Record = bound(Address::repeat_byte(0xaa), 7);
    let (mut sent, mut durable) = (0, 0);
    let begin = Instant::now();
    while durable < rounds {
        while sent < rounds && link.in_the_air() < depth {
            link.submit(Commit { ticket: sent, epoch: 0, records: vec![record.clone()] }).expect("there is room");
            sent += 1;
        }
        while let Some(ack) = link.next_ack() {
            assert_eq!(ack.outcome, Outcome::Durable);
            durable += 1;
        }
        if durable < rounds && link.in_the_air() == depth.min((rounds - durable) as usize) {
            std::thread::park_timeout(PATIENCE);
        }
    }
    let took = begin.elapsed();
    // A writer whose last shard has left ends.
    drop(link);
    owner.join().expect("the writer ends");
    took
}
