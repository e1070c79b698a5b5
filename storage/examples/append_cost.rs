//! What an append costs: process CPU for a transaction, all threads, flushes and compactions included.
//!
//! Appends bound transfers in batches, as the writer does at load, and after every block's worth of them the block with their
//! receipts. The records are made beforehand, so that only the store is measured. The idempotency keys come in order, the
//! hashes at random, the nonces round robin over the addresses.
//!
//! ```text
//! cargo run --release --example append_cost -- [--transactions 200000] [--addresses 64] [--batch 200] [--profile FILE]
//! ```
//!
//! Wall time is the disk's and is printed only to tell whether the machine was busy. The lines behind show look-ups while much is in
//! memtables (and compactions may still run), a start that reads the log, what is left to flush and compact, and the same look-ups
//! in table files.

use std::{
    error::Error,
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use millrace_storage::{
    Append, AttemptFees, AttemptRow, Fees, HeadRow, Options, ReceiptRow, Record, Request, RocksStore, Store, Timeline, TransactionRow, read,
};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A transfer as it is sent: EIP-1559 envelope with a signature.
const RAW_BYTES: usize = 115;
/// Transactions in a block: a busy chain's.
const BLOCK_TRANSACTIONS: usize = 2_000;
/// Look-ups measured at the end.
const LOOKUPS: usize = 50_000;
/// Linux counts a process's CPU in hundredths of a second (`USER_HZ`).
const TICK: Duration = Duration::from_millis(10);

struct Arguments {
    transactions: usize,
    addresses: usize,
    batch: usize,
    options: Options,
}

fn arguments() -> Result<Arguments, Box<dyn Error>> {
    let mut parsed = Arguments { transactions: 200_000, addresses: 64, batch: 200, options: Options::default() };
    let mut given = std::env::args().skip(1);
    while let Some(name) = given.next() {
        let value = given.next().ok_or_else(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--transactions" => parsed.transactions = value.parse()?,
            "--addresses" => parsed.addresses = value.parse()?,
            "--batch" => parsed.batch = value.parse()?,
            "--profile" => parsed.options = Options::load(&PathBuf::from(value))?,
            _ => return Err(format!("unknown option {name}").into()),
        }
    }
    Ok(parsed)
}

/// The `number`-th value of its kind: spread over all values, and the same in every run.
fn spread(kind: &str, number: usize) -> B256 {
    keccak256(format!("{kind} {number}"))
}

fn address(number: usize) -> Address {
    Address::from_word(spread("address", number))
}

fn id(number: usize) -> Uuid {
    let random = spread("id", number);
    let mut bytes: [u8; 16] = random[..16].try_into().expect("a hash holds 16 bytes");
    bytes[..6].copy_from_slice(&(1_700_000_000_000 + number as u64 / 20).to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

fn key(number: usize) -> String {
    format!("order-{number:010}")
}

fn bound(number: usize, addresses: usize) -> Record {
    let from = address(number % addresses);
    let request = Request {
        from,
        to: Some(address(number % 1_000)),
        value: U256::from(1_000_000_000_000_u64 + number as u64),
        data: Bytes::new(),
        gas: Some(21_000),
        fees: Fees::Market,
        extras: None,
    };
    let transaction = TransactionRow::new(request, Some(key(number)), 1_700_000_000_000_000 + number as u64);
    let raw: Vec<u8> = spread("raw", number).iter().copied().cycle().take(RAW_BYTES).collect();
    let attempt = AttemptRow {
        generation: 0,
        attempt: 0,
        nonce: (number / addresses) as u64,
        hash: spread("hash", number),
        raw: raw.into(),
        gas: 21_000,
        fees: AttemptFees::Dynamic { max_fee_per_gas: 2_000_000_000, max_priority_fee_per_gas: 1_000_000_000 },
        signed_at: 1_700_000_000_000_000 + number as u64,
        closing: None,
    };
    let accepted = Some((transaction, spread("body", number)));
    Record::Bound { id: id(number), from, accepted, queue_number: None, attempt }
}

fn block(number: usize, from: usize, to: usize, addresses: usize) -> Record {
    let receipts = (from..to).map(|transaction| {
        let time = Some(1_700_000_000_000_000 + transaction as u64);
        let row = ReceiptRow {
            transaction_hash: spread("hash", transaction),
            generation: 0,
            attempt: 0,
            nonce: (transaction / addresses) as u64,
            block_number: number as u64,
            block_hash: spread("block", number),
            transaction_index: (transaction - from) as u64,
            success: true,
            gas_used: 21_000,
            effective_gas_price: 1_500_000_000,
            contract_address: None,
            timeline: Timeline { durable_at: time, sent_at: time, included_at: time },
        };
        (id(transaction), row)
    });
    let floor = (to / addresses) as u64;
    Record::Block {
        number: number as u64,
        head: HeadRow {
            hash: spread("block", number),
            parent_hash: spread("block", number.wrapping_sub(1)),
            timestamp: 1_700_000_000 + number as u64,
            seen_at: 1_700_000_000_000_000 + to as u64,
        },
        receipts: receipts.collect(),
        rivals: Vec::new(),
        floors: (0..addresses.min(to - from)).map(|n| (address(n), floor)).collect(),
        prune_heads_below: (number as u64).checked_sub(64),
    }
}

/// The appends of a run, in order.
fn appends(arguments: &Arguments) -> Vec<Vec<Record>> {
    let mut appends = Vec::new();
    let mut mined = 0;
    for from in (0..arguments.transactions).step_by(arguments.batch) {
        let to = (from + arguments.batch).min(arguments.transactions);
        appends.push((from..to).map(|number| bound(number, arguments.addresses)).collect());
        if to - mined >= BLOCK_TRANSACTIONS || to == arguments.transactions {
            let number = appends.len();
            appends.push(vec![block(number, mined, to, arguments.addresses)]);
            mined = to;
        }
    }
    appends
}

/// User and system time of this process, all threads, those that ended included.
fn process_cpu() -> Result<(Duration, Duration), Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // The name in parentheses may hold spaces; the fields behind it do not. Fields 14 and 15 of proc(5), 11 and 12 from there.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks =
        |index: usize| -> Result<Duration, Box<dyn Error>> { Ok(TICK * fields.get(index).ok_or("short /proc/self/stat")?.parse::<u32>()?) };
    Ok((ticks(11)?, ticks(12)?))
}

/// Runs `work` and prints its CPU for each of `count`.
fn measure<T>(what: &str, count: usize, work: impl FnOnce() -> Result<T, Box<dyn Error>>) -> Result<T, Box<dyn Error>> {
    let (user, system) = process_cpu()?;
    let start = Instant::now();
    let result = work()?;
    let wall = start.elapsed();
    let (user_end, system_end) = process_cpu()?;
    let each = |time: Duration| time.as_secs_f64() * 1e6 / count as f64;
    let (user, system) = (each(user_end - user), each(system_end - system));
    println!("{what:<28} {:>7.2} us CPU each (user {user:.2}, system {system:.2}), wall {:.2} s", user + system, wall.as_secs_f64());
    Ok(result)
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = arguments()?;
    let appends = appends(&arguments);
    let count = arguments.transactions;
    let directory = tempfile::tempdir()?;
    let store = RocksStore::open(directory.path(), &arguments.options)?;
    measure("append", count, || {
        let mut expected = 0;
        for records in &appends {
            match store.append(expected, records) {
                Append::Durable { sequence } => expected = sequence,
                Append::Refused(error) | Append::Unknown(error) => return Err(error.into()),
            }
        }
        Ok(())
    })?;
    println!(
        "{:<28} {:>7.0} bytes of log each, {:.4} fsyncs each",
        "",
        store.log_bytes_total() as f64 / count as f64,
        appends.len() as f64 / count as f64
    );
    lookups(&store, count)?;
    drop(store);
    let store = measure("open again, log read", count, || Ok(RocksStore::open(directory.path(), &arguments.options)?))?;
    measure("flush and compact the rest", count, || Ok(store.settle()?))?;
    lookups(&store, count)
}

/// Look-ups of single keys, of the kinds the engine makes most.
fn lookups(store: &RocksStore, count: usize) -> Result<(), Box<dyn Error>> {
    let lookups = LOOKUPS.min(count);
    let spaced = |number: usize| number * (count / lookups);
    measure("  absent idempotency key", lookups, || {
        let found = (0..lookups).filter_map(|n| read::by_key(store, &key(count + n)).transpose());
        assert_eq!(found.count(), 0);
        Ok(())
    })?;
    measure("  absent hash", lookups, || {
        let hashes = (0..lookups).map(|number| spread("stranger", number));
        let found = hashes.filter_map(|hash| read::by_hash(store, &hash).transpose());
        assert_eq!(found.count(), 0);
        Ok(())
    })?;
    measure("  present hash", lookups, || {
        let hashes = (0..lookups).map(|number| spread("hash", spaced(number)));
        let found = hashes.filter_map(|hash| read::by_hash(store, &hash).transpose());
        assert_eq!(found.count(), lookups);
        Ok(())
    })?;
    measure("  present transaction", lookups, || {
        let found = (0..lookups).filter_map(|n| read::transaction(store, id(spaced(n))).transpose());
        assert_eq!(found.count(), lookups);
        Ok(())
    })
}
