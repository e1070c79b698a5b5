//! A block's receipts, on their way to the shards.

use std::hint::black_box;

use alloy::primitives::B256;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use engine::chain::{receipts_from_json, route as split};
use engine::shard::shard_of;
use engine::txmgr::SeenBlock;
use millrace_bench::wire::receipts as json;

/// Shards that a block is split for.
const SHARDS: usize = 4;

/// `eth_getBlockReceipts` of a block with so many transfers, read for what matters of it. The text is about 1 kB for each, half of it
/// the bloom.
pub(crate) fn receipts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("block");
    for count in [200_u64, 1_000] {
        let text = json(count);
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("receipts", count), |bencher| {
            bencher.iter(|| receipts_from_json(black_box(&text)).expect("well formed"));
        });
    }
    group.finish();
}

/// Those receipts split by the shard of their sender, for four shards; every sender is another one.
pub(crate) fn route(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("block");
    for count in [200_u64, 1_000] {
        let receipts = receipts_from_json(&json(count)).expect("well formed").expect("not null");
        let seen = SeenBlock { number: 1_000, hash: B256::ZERO, seen_at: 1, receipts, authorizations: Vec::new() };
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::new("route", count), |bencher| {
            bencher.iter_batched(|| seen.clone(), |seen| split(seen, SHARDS, |address| shard_of(address, SHARDS)), BatchSize::LargeInput);
        });
    }
    group.finish();
}
