//! Signing and encoding.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use engine::shard::Unsigned;
use millrace_bench::transfer::{keyring, sign_job};

/// Digest, signature, bytes and hash of one transfer: the floor under everything else.
pub(crate) fn sign(criterion: &mut Criterion) {
    let keys = keyring(1);
    let from = keys.addresses().next().expect("one address");
    let job = sign_job(from, 7);
    let mut group = criterion.benchmark_group("sign");
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::new("transfer", "eip1559"), |bencher| {
        bencher.iter(|| engine::shard::sign(black_box(&job), &keys));
    });
    group.finish();
}

/// What signing does beside the curve: the digest to sign, and bytes and hash with a signature that is there already.
pub(crate) fn encode(criterion: &mut Criterion) {
    let keys = keyring(1);
    let from = keys.addresses().next().expect("one address");
    let unsigned = Unsigned::of(&sign_job(from, 7));
    let signature = keys.sign(&from, &unsigned.digest()).expect("the key is there");
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(1));
    group.bench_function(BenchmarkId::new("digest", "eip1559"), |bencher| bencher.iter(|| black_box(&unsigned).digest()));
    group.bench_function(BenchmarkId::new("transfer", "eip1559"), |bencher| {
        bencher.iter_batched(|| unsigned.clone(), |unsigned| unsigned.encode(black_box(signature)), BatchSize::SmallInput);
    });
    group.finish();
}
