//! What ties the private transactions of a contract.

use std::hint::black_box;

use alloy::primitives::B256;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use engine::sequencer::dependencies::{Assembly, Dependencies};
use uuid::Uuid;

/// Transactions of a chain, each of which spends what the one before it makes.
const CHAIN: u64 = 10_000;

fn state(number: u64) -> B256 {
    B256::left_padding_from(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes())
}

fn id(number: u64) -> Uuid {
    Uuid::from_u128(number.into())
}

fn chain() -> Dependencies {
    let mut dependencies = Dependencies::default();
    for number in 1..=CHAIN {
        let assembly = Assembly { inputs: vec![state(number - 1)], reads: Vec::new(), outputs: vec![state(number)] };
        dependencies.assembled(id(number), assembly, &[]).expect("a chain has no conflicts");
    }
    dependencies
}

/// A chain of 10,000: assembled; dispatched and confirmed in its order; taken back from its first.
pub(crate) fn dependencies(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sequencer");
    group.throughput(Throughput::Elements(CHAIN));
    group.sample_size(20);
    group.bench_function(BenchmarkId::new("assembled", "chain_of_10000"), |bencher| bencher.iter(|| black_box(chain())));
    group.bench_function(BenchmarkId::new("confirmed", "chain_of_10000"), |bencher| {
        bencher.iter_batched_ref(
            chain,
            |dependencies| {
                for number in 1..=CHAIN {
                    black_box(dependencies.ready(id(number)));
                    black_box(dependencies.confirmed(id(number)));
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function(BenchmarkId::new("taken_back", "chain_of_10000"), |bencher| {
        bencher.iter_batched_ref(chain, |dependencies| black_box(dependencies.take_back(id(1))), BatchSize::LargeInput);
    });
    group.finish();
}
