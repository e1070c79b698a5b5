//! One stage a bench. Instruction caches are warm and nothing waits: these are the costs that add up on a shard's thread.

use std::hint::black_box;

use alloy::primitives::{Address, B256};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::shard::sign;
use engine::txmgr::stage::{Facts, next_stage};
use millrace_bench::{Bytecount, FEES, accept, keyring, manager, sign_job, walk};
use storage::{AttemptRow, Record, Scratch, project};

/// Transfers in one run: what a shard takes in at once.
const RUN: u64 = 256;

/// The pure decision, on facts the compiler cannot see.
fn stage(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("stage");
    group.throughput(Throughput::Elements(1));
    let facts = Facts { has_price: true, has_hash: true, hash_matches_state: true, ..Facts::default() };
    group.bench_function("next/submitting", |bencher| bencher.iter(|| next_stage(black_box(&facts))));
    group.finish();
}

/// Digest, signature, bytes and hash of one transfer: the floor under everything else.
fn signing(criterion: &mut Criterion) {
    let keys = keyring(1);
    let from = keys.addresses().next().expect("one address");
    let job = sign_job(from, 7);
    let mut group = criterion.benchmark_group("sign");
    group.throughput(Throughput::Elements(1));
    group.bench_function("transfer/eip1559", |bencher| bencher.iter(|| sign(black_box(&job), &keys)));
    group.finish();
}

/// One record of a bound transfer, projected and encoded as the writer does it; the puts themselves are not counted.
fn record(criterion: &mut Criterion) {
    let keys = keyring(1);
    let from = keys.addresses().next().expect("one address");
    let (raw, hash) = sign(&sign_job(from, 7), &keys).result.expect("the key is there");
    let accepted = accept(from, 7);
    let attempt = AttemptRow { generation: 0, attempt: 0, nonce: 7, hash, raw, gas: 21_000, fees: FEES, signed_at: 1, closing: None };
    let accepted_parts = Some((accepted.row, B256::ZERO));
    let record = Record::Bound { id: accepted.id, from, accepted: accepted_parts, queue_number: None, attempt };
    let mut group = criterion.benchmark_group("record");
    group.throughput(Throughput::Elements(1));
    let (mut scratch, mut out) = (Scratch::default(), Bytecount::default());
    group.bench_function("project/bound", |bencher| bencher.iter(|| project(black_box(&record), &mut scratch, &mut out)));
    group.finish();
}

/// A transfer from accept to archive without I/O: everything the manager decides, and the signature in the second one. Runs of
/// 256 transfers, spread over all the addresses, each run archived before the next begins.
fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("manager");
    group.throughput(Throughput::Elements(RUN));
    for addresses in [1_u64, 64, 10_000] {
        let keys = keyring(addresses);
        let from: Vec<Address> = keys.addresses().collect();
        let mut manager = manager(&from);
        let (mut number, mut block) = (0_u64, 1_u64);
        group.bench_function(BenchmarkId::new("accept_to_archive", addresses), |bencher| {
            bencher.iter_batched(
                || {
                    let run = (number..number + RUN).map(|number| accept(from[(number % addresses) as usize], number)).collect::<Vec<_>>();
                    number += RUN;
                    block += 1;
                    (run, block)
                },
                |(run, block)| walk(&mut manager, run, block, |job| sign(job, &keys)),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, stage, signing, record, whole);
criterion_main!(benches);
