//! Small records that can be told apart, a profile that flushes often, and a store whose appends fail when told to.

use std::{
    collections::VecDeque,
    path::Path,
    sync::{Arc, Mutex},
};

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use millrace_storage::{
    Append, AttemptFees, AttemptRow, Direction, Family, Fees, HeadRow, Options, Pair, Place, ReceiptRow, Record, Request, RocksStore,
    Store, StoreError, Timeline, TransactionRow, read,
};
use uuid::Uuid;

/// Records in each append of [`append_numbered`].
pub(crate) const PER_APPEND: u64 = 5;

/// A profile so small that a few hundred records flush, compact and recycle logs.
pub(crate) fn tiny() -> Options {
    let mut options = Options::default();
    options.database.memtables_bytes_max = 256 * 1024;
    options.database.wal_bytes_max = 256 * 1024;
    for family in [&mut options.ordered, &mut options.scattered, &mut options.small] {
        family.memtable_bytes = 64 * 1024;
        family.level0_files = 2;
    }
    options
}

pub(crate) fn id(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(number) + 1)
}

pub(crate) fn address(number: u64) -> Address {
    Address::from_word(keccak256(number.to_be_bytes()))
}

pub(crate) fn hash(number: u64) -> B256 {
    keccak256((number + 1_000_000).to_be_bytes())
}

pub(crate) fn key(number: u64) -> String {
    format!("key-{number:08}")
}

pub(crate) fn transaction(from: Address, number: u64) -> TransactionRow {
    let request = Request {
        from,
        to: Some(address(number + 1)),
        value: U256::from(number),
        data: Bytes::from(vec![number as u8; 40]),
        gas: None,
        fees: Fees::Market,
        extras: None,
    };
    TransactionRow::new(request, Some(key(number)), 1_000_000 + number)
}

pub(crate) fn attempt(number: u64, nonce: u64) -> AttemptRow {
    AttemptRow {
        generation: 0,
        attempt: 0,
        nonce,
        hash: hash(number),
        raw: Bytes::from(vec![number as u8; 115]),
        gas: 21_000,
        fees: AttemptFees::Legacy { gas_price: 7 },
        signed_at: 2_000_000 + number,
        closing: None,
    }
}

/// Transaction `number`, bound at once to `nonce` of `from`.
pub(crate) fn bound(from: Address, number: u64, nonce: u64) -> Record {
    let accepted = Some((transaction(from, number), hash(number)));
    Record::Bound { id: id(number), from, accepted, queue_number: None, attempt: attempt(number, nonce) }
}

/// Transaction `number`, waiting at `queue_number` of `from`.
pub(crate) fn accepted(from: Address, number: u64, queue_number: u64) -> Record {
    let transaction = TransactionRow { place: Place::Line(queue_number), ..transaction(from, number) };
    Record::Accepted { id: id(number), transaction, body_hash: hash(number) }
}

pub(crate) fn head(number: u64) -> HeadRow {
    HeadRow { hash: hash(number), parent_hash: hash(number + 1), timestamp: number, seen_at: number }
}

pub(crate) fn receipt(number: u64, nonce: u64) -> ReceiptRow {
    ReceiptRow {
        transaction_hash: hash(number),
        generation: 0,
        attempt: 0,
        nonce,
        block_number: 9,
        block_hash: hash(9),
        transaction_index: 3,
        success: true,
        gas_used: 21_000,
        effective_gas_price: 7,
        contract_address: None,
        timeline: Timeline { durable_at: Some(1), sent_at: None, included_at: Some(3) },
    }
}

/// The records of append `sequence`: the sequence says which.
pub(crate) fn numbered(sequence: u64) -> Vec<Record> {
    (0..PER_APPEND).map(|index| bound(address(index), sequence * PER_APPEND + index, sequence)).collect()
}

/// Appends `numbered(expected + 1)`, which must become durable.
pub(crate) fn append_numbered(store: &impl Store, expected: u64) -> u64 {
    match store.append(expected, &numbered(expected + 1)) {
        Append::Durable { sequence } => sequence,
        other => panic!("append after {expected} was {other:?}"),
    }
}

/// The sequence on disk, after checking that every append up to it is there as a whole, in all families, and nothing beyond it.
pub(crate) fn check_numbered(store: &impl Store) -> u64 {
    let last = store.sequence().unwrap();
    for sequence in 1..=last + 1 {
        let expected = if sequence <= last { PER_APPEND as usize } else { 0 };
        let numbers: Vec<u64> = (0..PER_APPEND).map(|n| sequence * PER_APPEND + n).collect();
        let ids: Vec<Uuid> = numbers.iter().map(|number| id(*number)).collect();
        let hashes: Vec<B256> = numbers.iter().map(|number| hash(*number)).collect();
        let keys: Vec<Vec<u8>> = numbers.iter().map(|number| key(*number).into_bytes()).collect();
        let nonces = (0..PER_APPEND)
            .filter(|n| {
                let found = read::bound(store, &address(*n), sequence, 1).unwrap();
                found == [(sequence, id(sequence * PER_APPEND + n))]
            })
            .count();
        let found = [
            read::transactions(store, &ids).unwrap().iter().flatten().count(),
            read::attempts_of(store, &ids).unwrap().iter().flatten().count(),
            hashes.iter().filter(|hash| read::by_hash(store, hash).unwrap().is_some()).count(),
            read::by_keys(store, &keys).unwrap().iter().flatten().count(),
            nonces,
        ];
        assert_eq!(found, [expected; 5], "append {sequence} of {last}");
    }
    last
}

pub(crate) fn open(dir: &Path) -> RocksStore {
    RocksStore::open(dir, &Options::default()).unwrap()
}

/// How the next append of a [`Flaky`] store fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not; the records are written.
    None,
    /// Written, and the answer is lost.
    UnknownWritten,
    /// Not written, and the answer is lost.
    UnknownNotWritten,
    /// The answer is lost, and the store cannot be opened again so many times.
    UnknownAndShut(u32),
}

/// RocksDB with faults, one for each append, and the sizes of the appends that were asked of it.
#[derive(Clone)]
pub(crate) struct Flaky {
    pub(crate) inner: RocksStore,
    pub(crate) plan: Arc<Mutex<VecDeque<Fault>>>,
    pub(crate) sizes: Arc<Mutex<Vec<usize>>>,
    shut: Arc<Mutex<u32>>,
}

impl Flaky {
    pub(crate) fn new(inner: RocksStore, plan: &[Fault]) -> Self {
        Self { inner, plan: Arc::new(Mutex::new(plan.iter().copied().collect())), sizes: Arc::default(), shut: Arc::default() }
    }
}

fn lost() -> Append {
    Append::Unknown(StoreError::Io { action: "append", reason: "injected".to_owned() })
}

impl Store for Flaky {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(family, key)
    }

    fn get_many(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.inner.get_many(family, keys)
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Result<Vec<Pair>, StoreError> {
        self.inner.scan(family, from, to, direction, limit)
    }

    fn scan_keys(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Box<[u8]>>, StoreError> {
        self.inner.scan_keys(family, from, to, limit)
    }

    fn append(&self, expected: u64, records: &[Record]) -> Append {
        self.sizes.lock().unwrap().push(records.len());
        let fault = self.plan.lock().unwrap().pop_front().unwrap_or(Fault::None);
        match fault {
            Fault::None => self.inner.append(expected, records),
            Fault::UnknownWritten => {
                assert!(matches!(self.inner.append(expected, records), Append::Durable { .. }));
                lost()
            }
            Fault::UnknownNotWritten => lost(),
            Fault::UnknownAndShut(times) => {
                *self.shut.lock().unwrap() = times;
                lost()
            }
        }
    }

    fn reopen(&self) -> Result<u64, StoreError> {
        let mut shut = self.shut.lock().unwrap();
        if *shut > 0 {
            *shut -= 1;
            return Err(StoreError::Io { action: "open again", reason: "injected".to_owned() });
        }
        self.inner.reopen()
    }

    fn sequence(&self) -> Result<u64, StoreError> {
        self.inner.sequence()
    }
}
