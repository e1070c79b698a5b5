//! Group commit on a real disk.

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::Address;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use millrace_bench::record::bound;
use storage::{Commit, Options, Outcome, RocksStore, Turn, writer};

/// One commit of so many bound transfers: projected, put into one batch, logged and synced by RocksDB with the default profile, in a
/// directory beside the build. 2,000 is the most one append takes. The store grows while it is measured, so its flushes and compactions
/// run beside it as they do in production. What one record pays for the sync is what the sizes are compared for.
pub(crate) fn group(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    // A commit is long and criterion's defaults would write gigabytes.
    group.sample_size(20).warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    let from = Address::repeat_byte(0xaa);
    for size in [1_u64, 16, 256, 2_000] {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory beside the build");
        let store = RocksStore::open(directory.path(), &Options::default()).expect("an empty directory can be opened");
        let (mut writer, links) = writer(store, vec![Arc::new(|| {})], 1).expect("a store that knows its sequence");
        let (mut number, mut ticket) = (0, 0);
        group.throughput(Throughput::Elements(size));
        group.bench_function(BenchmarkId::new("group", size), |bencher| {
            bencher.iter_batched(
                || {
                    let records = (number..number + size).map(|number| bound(from, number)).collect();
                    (number, ticket) = (number + size, ticket + 1);
                    Commit { ticket, epoch: 0, records }
                },
                |commit| {
                    links[0].submit(commit).expect("nothing else is in the air");
                    assert_eq!(writer.turn(), Turn::Wrote);
                    assert_eq!(links[0].next_ack().map(|ack| ack.outcome), Some(Outcome::Durable));
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}
