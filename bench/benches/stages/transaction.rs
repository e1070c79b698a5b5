//! A whole transaction without I/O.

use alloy::primitives::Address;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use engine::shard::sign;
use millrace_bench::manager::{manager, walk};
use millrace_bench::transfer::{accept, keyring};

/// Transfers in one run: what a shard takes in at once.
const RUN: u64 = 256;

/// From accept to archive: everything the manager decides, and the signature. Runs of 256 transfers, spread over all the addresses, each
/// run archived before the next begins. With 50 slots most addresses of a run wait on disk for their turn.
pub(crate) fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("manager");
    group.throughput(Throughput::Elements(RUN));
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
