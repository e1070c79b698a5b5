//! One stage a bench. Instruction caches are warm and nothing waits: these are the costs that add up on a shard's thread.

use std::hint::black_box;
use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, keccak256};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use engine::shard::sign;
use engine::txmgr::stage::{Facts, next_stage};
use engine::txmgr::{Event, Now, SeenBlock, SignJob};
use millrace_bench::{Bytecount, FEES, accept, crowd, keyring, manager, sign_job, turn, walk};
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
    // Fewer slots than a run has addresses: most of it waits on disk for its turn.
    let regimes = [("accept_to_archive", 1_u64, None), ("accept_to_archive", 64, None), ("accept_to_archive", 10_000, None)];
    for (name, addresses, slots) in
        regimes.into_iter().chain([("accept_to_archive_50_slots", 64, Some(50)), ("accept_to_archive_50_slots", 10_000, Some(50))])
    {
        let keys = keyring(addresses);
        let from: Vec<Address> = keys.addresses().collect();
        let mut manager = manager(&from, slots);
        let (mut number, mut block) = (0_u64, 1_u64);
        group.bench_function(BenchmarkId::new(name, addresses), |bencher| {
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

/// What addresses with nothing to do cost when a block is stored and a deadline comes: the same whether there are 100 or 100,000.
fn idle(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("idle");
    for addresses in [100_u64, 100_000] {
        let from: Vec<Address> = (0..addresses).map(|number| Address::left_padding_from(&number.to_be_bytes())).collect();
        let mut manager = manager(&from, None);
        let (mut block, mut actions) = (1_u64, Vec::new());
        group.bench_function(BenchmarkId::new("block_and_tick", addresses), |bencher| {
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

/// Turns out of a long line: 1,000,000 transfers wait, and 16 addresses at a time bind one each and stand behind the others again.
fn admission(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pool");
    group.throughput(Throughput::Elements(16));
    for addresses in [100_u64, 10_000] {
        let from: Vec<Address> = (0..addresses).map(|number| Address::left_padding_from(&number.to_be_bytes())).collect();
        let (mut manager, mut actions) = crowd(&from, 1_000_000 / addresses, 16);
        let mut block = 1_u64;
        // Any bytes will do: nothing here looks into them.
        let raw = Bytes::from_static(&[1]);
        let result = Ok((raw.clone(), keccak256(&raw)));
        let fake = |job: &SignJob| job.answer(result.clone());
        group.bench_function(BenchmarkId::new("turn", addresses), |bencher| {
            bencher.iter(|| {
                block += 1;
                let mined = turn(&mut manager, &mut actions, block, fake);
                assert!(mined > 0, "the line does not move");
            });
        });
    }
    group.finish();
}

criterion_group!(benches, stage, signing, record, whole, idle, admission);
criterion_main!(benches);
