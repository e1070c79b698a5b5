//! The next stage of a transaction.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use engine::txmgr::stage::{Facts, next_stage};

/// The pure decision, on facts the compiler cannot see: a transaction on its way out, and one whose price was raised.
pub(crate) fn next(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stage");
    group.throughput(Throughput::Elements(1));
    let submitting = Facts { has_price: true, has_hash: true, hash_matches_state: true, ..Facts::default() };
    let signing = Facts { hash_matches_state: false, ..submitting };
    for (name, facts) in [("submitting", submitting), ("signing", signing)] {
        group.bench_function(BenchmarkId::new("next", name), |bencher| bencher.iter(|| next_stage(black_box(&facts))));
    }
    group.finish();
}
