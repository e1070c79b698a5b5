//! The physical floor of the engine's work: signing one transfer with libsecp256k1 and encoding it, on the thread's CPU clock.
//!
//! Wall-clock time would count what other processes take; the CPU clock of this thread does not. Twenty transfers are timed
//! together so that reading the clock costs next to nothing, and the median block is the result, so that an interrupt in one
//! block does not move it.
//!
//! It is measured twice: on one thread while the other cores are idle, and on all cores at once. Where cores share their units (two
//! hardware threads of one core, or two virtual cores that the host has put there) the second is dearer, and it is what an engine that
//! keeps all cores busy is fairly held against.

use std::hint::black_box;
use std::num::NonZero;
use std::sync::Barrier;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, TxKind, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::Secp256k1Signer;
use anyhow::anyhow;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::cli::FloorOptions;
use crate::keys;
use crate::scenario::TRANSFER_GAS;

/// Transfers that are timed together.
const TRANSFERS_PER_BLOCK: u32 = 20;
/// Blocks that only warm the caches and the branch predictor.
const WARM_UP_BLOCKS: u32 = 10;

/// What `load sign-floor` prints.
#[derive(Debug, Serialize)]
struct Floor {
    /// CPU time to sign and encode one transfer, µs.
    sign_us: f64,
    /// The same while all cores do it, µs: the median of them.
    busy_us: f64,
    /// Transfers measured on one thread.
    transfers: u64,
}

/// Carries out `load sign-floor`: prints one line of JSON.
pub(crate) fn report(options: &FloorOptions) -> anyhow::Result<()> {
    let (_, signer) = keys::derive(0, 0)?;
    let transfers = u64::from(options.blocks) * u64::from(TRANSFERS_PER_BLOCK);
    let floor = Floor { sign_us: measure(&signer, options.blocks)?, busy_us: on_all_cores(&signer, options.blocks)?, transfers };
    println!("{}", serde_json::to_string(&floor)?);
    Ok(())
}

/// CPU time to sign and encode one transfer, in µs: the median of `blocks` blocks.
fn measure(signer: &Secp256k1Signer, blocks: u32) -> anyhow::Result<f64> {
    let mut costs = Vec::new();
    let mut nonce = 0;
    for block in 0..WARM_UP_BLOCKS + blocks {
        let before = thread_cpu_us();
        for _ in 0..TRANSFERS_PER_BLOCK {
            black_box(sign_and_encode(signer, nonce)?);
            nonce += 1;
        }
        let cost = (thread_cpu_us() - before) / f64::from(TRANSFERS_PER_BLOCK);
        if block >= WARM_UP_BLOCKS {
            costs.push(cost);
        }
    }
    Ok(median(&mut costs))
}

/// The same on as many threads at once as there are cores.
fn on_all_cores(signer: &Secp256k1Signer, blocks: u32) -> anyhow::Result<f64> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let start = Barrier::new(cores);
    let costs: anyhow::Result<Vec<f64>> = std::thread::scope(|scope| {
        let one = || {
            start.wait();
            measure(signer, blocks)
        };
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|thread| thread.join().map_err(|_| anyhow!("a thread that signs has panicked"))?).collect()
    });
    Ok(median(&mut costs?))
}

fn sign_and_encode(signer: &Secp256k1Signer, nonce: u64) -> anyhow::Result<Vec<u8>> {
    let transaction = TxEip1559 {
        chain_id: 31337,
        nonce,
        gas_limit: TRANSFER_GAS,
        max_fee_per_gas: 2_000_000_000,
        max_priority_fee_per_gas: 1_000_000_000,
        to: TxKind::Call(Address::repeat_byte(7)),
        value: U256::from(nonce),
        ..TxEip1559::default()
    };
    let signature = signer.sign_hash_sync(&transaction.signature_hash())?;
    Ok(TxEnvelope::from(transaction.into_signed(signature)).encoded_2718())
}

/// CPU time of this thread, µs.
fn thread_cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// The middle value; of an even count, the upper of the two. `values` must not be empty.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_median_is_not_moved_by_one_outlier() {
        assert!((median(&mut [18.0, 900.0, 17.0]) - 18.0).abs() < f64::EPSILON);
    }

    #[test]
    fn signing_costs_some_cpu_time_and_the_clock_counts_only_this_thread() {
        let (_, signer) = keys::derive(0, 0).unwrap();
        let before = thread_cpu_us();
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(thread_cpu_us() - before < 10_000.0, "sleeping is no CPU time");
        let cost = measure(&signer, 5).unwrap();
        assert!((1.0..10_000.0).contains(&cost), "{cost} µs");
        let busy = on_all_cores(&signer, 5).unwrap();
        assert!((1.0..10_000.0).contains(&busy), "{busy} µs");
    }
}
