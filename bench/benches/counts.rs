//! Instructions of the pure stages, counted by callgrind. They repeat, so each has a limit in `counts.toml`: see `cargo xtask bench
//! --counts`.
//!
//! Left out is what does not repeat or is not the project's: the curve (C, so the count is the C compiler's), and whatever waits.
//! Names are `group/function/parameter`, as in `stages`; each bench there says which regime it means.
#![allow(unused_qualifications, missing_docs, reason = "gungraun's macros write paths in full, and public items without a word")]

use std::hint::black_box;

use alloy::primitives::{Address, B256, Bytes, Signature, U256};
use engine::api::submissions;
use engine::chain::{receipts_from_json, route as split};
use engine::shard::{Unsigned, shard_of};
use engine::txmgr::stage::{Facts, Stage, next_stage};
use engine::txmgr::{Accept, Manager, SeenBlock};
use gungraun::{library_benchmark, library_benchmark_group, main};
use millrace_bench::manager::{manager, walk};
use millrace_bench::record::{Bytecount, attempt, block, bound};
use millrace_bench::transfer::{accept, addresses, sign_job, unsigned};
use millrace_bench::window::FullWindow;
use millrace_bench::wire;
use netio::Calls;
use netio::rpc::{End, read_reply};
use storage::codec::{decode as decode_row, encode as encode_row};
use storage::{AttemptRow, Record, Scratch, project as project_record};

const SENDER: Address = Address::repeat_byte(0xaa);

#[library_benchmark]
#[bench::submitting(Facts { has_price: true, has_hash: true, hash_matches_state: true, ..Facts::default() })]
fn next(facts: Facts) -> Stage {
    next_stage(black_box(&facts))
}

library_benchmark_group!(name = stage, benchmarks = next);

#[library_benchmark]
#[bench::eip1559(Unsigned::of(&sign_job(SENDER, 7)))]
fn digest(unsigned: Unsigned) -> B256 {
    black_box(&unsigned).digest()
}

#[library_benchmark]
#[bench::eip1559(Unsigned::of(&sign_job(SENDER, 7)), Signature::new(U256::from(7), U256::from(9), false))]
fn transfer(unsigned: Unsigned, signature: Signature) -> (Bytes, B256) {
    black_box(unsigned).encode(black_box(signature))
}

library_benchmark_group!(name = encode, benchmarks = [digest, transfer]);

/// A manager that has archived a transfer for each of its addresses, and transfers for the next run.
fn warm(count: u64, run: u64) -> (Manager, Vec<Accept>) {
    let from = addresses(count);
    let mut manager = manager(&from, Some(from.len()));
    let accepts = |begin: u64| (begin..begin + run).map(|number| accept(from[(number % count) as usize], number)).collect::<Vec<_>>();
    walk(&mut manager, accepts(0), 2, unsigned);
    (manager, accepts(run))
}

#[library_benchmark]
#[bench::one(warm(1, 1))]
#[bench::hundred_thousand(warm(100_000, 1))]
fn step((mut manager, accepts): (Manager, Vec<Accept>)) -> Manager {
    walk(black_box(&mut manager), accepts, 3, unsigned);
    manager
}

#[library_benchmark]
#[bench::full(FullWindow::new())]
fn window(mut window: FullWindow) -> FullWindow {
    black_box(&mut window).step();
    window
}

library_benchmark_group!(name = orchestrator, benchmarks = [step, window]);

#[library_benchmark]
#[bench::addresses_1(warm(1, 256))]
#[bench::addresses_64(warm(64, 256))]
fn accept_to_archive((mut manager, accepts): (Manager, Vec<Accept>)) -> Manager {
    walk(black_box(&mut manager), accepts, 3, unsigned);
    manager
}

library_benchmark_group!(name = transaction, benchmarks = accept_to_archive);

#[library_benchmark]
#[bench::bound(bound(SENDER, 7))]
#[bench::block_of_200(block(1_000, 200))]
fn project(record: Record) -> Bytecount {
    let (mut scratch, mut out) = (Scratch::default(), Bytecount::default());
    project_record(black_box(&record), &mut scratch, &mut out);
    out
}

fn encoded() -> Vec<u8> {
    let mut value = Vec::new();
    encode_row(&attempt(7), &mut value);
    value
}

#[library_benchmark]
#[bench::attempt(encoded())]
fn decode(value: Vec<u8>) -> AttemptRow {
    decode_row(black_box(&value)).expect("what was encoded can be decoded")
}

library_benchmark_group!(name = record, benchmarks = [project, decode]);

#[library_benchmark]
#[bench::batch_of_200(attempt(7).raw)]
fn calls(raw: Bytes) -> Calls {
    let mut calls = Calls::new();
    for _ in 0..200 {
        calls.push_raw_transaction(black_box(&raw));
    }
    calls
}

#[library_benchmark]
#[bench::batch_of_200(wire::taken(200))]
fn reply(body: String) -> Vec<End> {
    read_reply(black_box(body).into(), 200)
}

library_benchmark_group!(name = rpc, benchmarks = [calls, reply]);

fn seen(count: u64) -> SeenBlock {
    let receipts = receipts_from_json(&wire::receipts(count)).expect("well formed").expect("not null");
    SeenBlock { number: 1_000, hash: B256::ZERO, seen_at: 1, receipts, authorizations: Vec::new() }
}

#[library_benchmark]
#[bench::of_200(wire::receipts(200))]
fn receipts(text: String) -> usize {
    receipts_from_json(black_box(&text)).expect("well formed").map_or(0, |receipts| receipts.len())
}

#[library_benchmark]
#[bench::of_200(seen(200))]
fn route(seen: SeenBlock) -> Vec<SeenBlock> {
    split(black_box(seen), 4, |address| shard_of(address, 4))
}

library_benchmark_group!(name = blocks, benchmarks = [receipts, route]);

#[library_benchmark]
#[bench::one(wire::sends(1))]
#[bench::batch_of_200(wire::sends(200))]
#[bench::call_of_200(wire::send_many(200))]
fn bodies(body: String) -> usize {
    submissions(black_box(body.as_bytes()), 200).expect("well formed").len()
}

library_benchmark_group!(name = api, benchmarks = bodies);

main!(library_benchmark_groups = [stage, encode, orchestrator, transaction, record, rpc, blocks, api]);
