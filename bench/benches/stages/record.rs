//! Records and rows, encoded and decoded.

use std::hint::black_box;

use alloy::primitives::Address;
use criterion::{BenchmarkId, Criterion, Throughput};
use millrace_bench::record::{Bytecount, attempt, block, bound, receipt, waiting};
use millrace_bench::transfer::accept;
use storage::codec::{Row, decode, encode};
use storage::{Record, Scratch, project};

/// Receipts in the block that is projected.
const RECEIPTS: u64 = 200;

/// A record, projected and encoded as the writer does it, into puts that are not carried out. `bound` is a transfer's heaviest one;
/// `block` confirms 200 transfers, and is given for each of them.
pub(crate) fn project_puts(criterion: &mut Criterion) {
    let from = Address::repeat_byte(0xaa);
    let mut group = criterion.benchmark_group("record");
    for (name, record, transfers) in
        [("waiting", waiting(from, 7), 1), ("bound", bound(from, 7), 1), ("block", block(1_000, RECEIPTS), RECEIPTS)]
    {
        group.throughput(Throughput::Elements(transfers));
        group.bench_function(BenchmarkId::new("project", name), |bencher| bencher.iter(projection(&record)));
    }
    group.finish();
}

fn projection(record: &Record) -> impl FnMut() {
    let (mut scratch, mut out) = (Scratch::default(), Bytecount::default());
    move || project(black_box(record), &mut scratch, &mut out)
}

/// The rows of one transfer, each by itself: into a buffer that is there already, and out of a value into memory of its own.
pub(crate) fn rows(criterion: &mut Criterion) {
    row(criterion, "transaction", &accept(Address::repeat_byte(0xaa), 7).row);
    row(criterion, "attempt", &attempt(7));
    row(criterion, "receipt", &receipt(7));
}

fn row<R: Row>(criterion: &mut Criterion, name: &str, row: &R) {
    let mut value = Vec::new();
    encode(row, &mut value);
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Bytes(value.len() as u64));
    let mut out = Vec::with_capacity(value.len());
    group.bench_function(BenchmarkId::new("encode", name), |bencher| {
        bencher.iter(|| {
            out.clear();
            encode(black_box(row), &mut out);
        });
    });
    group.bench_function(BenchmarkId::new("decode", name), |bencher| {
        bencher.iter(|| decode::<R>(black_box(&value)).expect("what was encoded can be decoded"));
    });
    group.finish();
}
