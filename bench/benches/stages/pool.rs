//! The line of addresses that wait for an orchestrator.

use criterion::{BenchmarkId, Criterion, Throughput};
use millrace_bench::manager::{crowd, turn as take_turns};
use millrace_bench::transfer::{addresses, unsigned};

/// Turns out of a long line: 1,000,000 transfers wait, and 16 addresses at a time bind one each and stand behind the others again.
pub(crate) fn turn(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool");
    group.throughput(Throughput::Elements(16));
    for count in [100_u64, 10_000] {
        let (mut manager, mut actions) = crowd(&addresses(count), 1_000_000 / count, 16);
        let mut block = 1_u64;
        group.bench_function(BenchmarkId::new("turn", count), |bencher| {
            bencher.iter(|| {
                block += 1;
                let mined = take_turns(&mut manager, &mut actions, block, unsigned);
                assert!(mined > 0, "the line does not move");
            });
        });
    }
    group.finish();
}
