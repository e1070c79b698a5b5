//! What callers send.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use engine::api::submissions;
use millrace_bench::wire::{send_many, sends};

/// Transfers of a large body.
const MANY: u64 = 200;

/// A body, from its bytes to what the engine is given: one call, a batch of 200 calls, and one call that carries 200 transfers.
pub(crate) fn bodies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("api");
    for (name, body, transfers) in [("one", sends(1), 1), ("batch_of_200", sends(MANY), MANY), ("call_of_200", send_many(MANY), MANY)] {
        group.throughput(Throughput::Elements(transfers));
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| submissions(black_box(body.as_bytes()), MANY as usize).expect("well formed"));
        });
    }
    group.finish();
}
