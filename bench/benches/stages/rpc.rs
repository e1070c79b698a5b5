//! JSON-RPC with a node, without a socket.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use millrace_bench::record::attempt;
use millrace_bench::wire::taken;
use netio::Calls;
use netio::rpc::read_reply;

/// Calls in one request: alone, and a full batch.
const SIZES: [u64; 2] = [1, 200];

/// Signed transfers written into the send buffer, which is kept from request to request.
pub(crate) fn calls(criterion: &mut Criterion) {
    let raw = attempt(7).raw;
    let mut group = criterion.benchmark_group("rpc");
    for size in SIZES {
        group.throughput(Throughput::Elements(size));
        let mut calls = Calls::new();
        group.bench_function(BenchmarkId::new("encode", size), |bencher| {
            bencher.iter(|| {
                calls.clear();
                for _ in 0..size {
                    calls.push_raw_transaction(black_box(&raw));
                }
                calls.bytes()
            });
        });
    }
    group.finish();
}

/// The node's answers to them, all of which it took, from the body of the reply to one end for each call.
pub(crate) fn replies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rpc");
    for size in SIZES {
        group.throughput(Throughput::Elements(size));
        let body = bytes(taken(size));
        group.bench_function(BenchmarkId::new("decode", size), |bencher| {
            bencher.iter(|| read_reply(black_box(body.clone()), size as usize));
        });
    }
    group.finish();
}

/// Shared as hyper hands it over, so that a clone copies nothing.
fn bytes(body: String) -> bytes::Bytes {
    body.into()
}
