//! One orchestrator's step, and what those cost that have nothing to do.

use std::hint::black_box;
use std::time::Duration;

use alloy::primitives::B256;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use engine::txmgr::{Event, Now, SeenBlock};
use millrace_bench::manager::{manager, walk};
use millrace_bench::transfer::{accept, addresses, unsigned};
use millrace_bench::window::{FullWindow, STEP};

/// One transfer from accept to archive, alone in its run and its block, without its signature: everything that is paid for a run or a block
/// is paid for one transfer. `1` and `100000`: addresses with an orchestrator, taken in turn, each with nothing else in flight. `full`: one
/// address has all in flight that it may, and transfers wait in line; runs and blocks of 250.
pub(crate) fn step(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("orchestrator");
    group.throughput(Throughput::Elements(1));
    for count in [1_u64, 100_000] {
        let from = addresses(count);
        let mut manager = manager(&from, Some(from.len()));
        let (mut number, mut block) = (0_u64, 1_u64);
        group.bench_function(BenchmarkId::new("step", count), |bencher| {
            bencher.iter_batched(
                || {
                    (number, block) = (number + 1, block + 1);
                    (vec![accept(from[(number % count) as usize], number)], block)
                },
                |(one, block)| walk(&mut manager, one, block, unsigned),
                BatchSize::SmallInput,
            );
        });
    }
    group.throughput(Throughput::Elements(STEP));
    let mut window = FullWindow::new();
    group.bench_function(BenchmarkId::new("step", "full"), |bencher| bencher.iter(|| window.step()));
    group.finish();
}

/// What addresses with nothing to do cost when a block is stored and a deadline comes: the same whether there are 100 or 100,000.
pub(crate) fn idle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("idle");
    group.throughput(Throughput::Elements(1));
    for count in [100_u64, 100_000] {
        let mut manager = manager(&addresses(count), None);
        let (mut block, mut actions) = (1_u64, Vec::new());
        group.bench_function(BenchmarkId::new("block_and_tick", count), |bencher| {
            bencher.iter(|| {
                block += 1;
                let now = Now { elapsed: Duration::from_millis(block), unix_us: block };
                let seen = SeenBlock { number: block, hash: B256::ZERO, seen_at: 1, receipts: Vec::new(), authorizations: Vec::new() };
                manager.handle(Event::Block(seen), now, &mut actions);
                manager.handle(Event::BlockStored { number: block, newest: true }, now, &mut actions);
                manager.handle(Event::Tick, now, &mut actions);
                manager.flush(now, &mut actions);
                black_box(actions.drain(..).count())
            });
        });
    }
    group.finish();
}
