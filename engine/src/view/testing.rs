//! A store with a history, written record by record, for the tests of the reading side.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use storage::store::Pair;
use storage::{
    Append, AttemptFees, AttemptRow, Direction, FailureRow, Family, Fees, HeadRow, Options, Place, ReceiptRow, Record, Request, RocksStore,
    Store, StoreError, Timeline, TransactionRow,
};
use uuid::Uuid;

use super::TransactionView;

/// A database in a temporary directory and what was written to it.
pub(crate) struct History {
    store: RocksStore,
    sequence: u64,
    next_id: u128,
    queue_number: u64,
    /// Removes the directory at the end.
    _directory: tempfile::TempDir,
}

impl History {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = RocksStore::open(directory.path(), &Options::default()).expect("a new store");
        Self { store, sequence: 0, next_id: 1, queue_number: 0, _directory: directory }
    }

    pub(crate) fn store(&self) -> &RocksStore {
        &self.store
    }

    pub(crate) fn view(&self, id: Uuid, required_confirmations: u64) -> TransactionView {
        TransactionView::read(&self.store, id, required_confirmations).expect("a read").expect("a known id")
    }

    pub(crate) fn address(number: u8) -> Address {
        Address::repeat_byte(number)
    }

    /// When block `number` was seen, µs.
    pub(crate) fn seen_at(number: u64) -> u64 {
        1_000_000 * number
    }

    /// Accepts a transaction that waits.
    pub(crate) fn waiting(&mut self, from: u8, key: Option<&str>) -> Uuid {
        let id = self.id();
        self.queue_number += 1;
        let queue_number = self.queue_number;
        let transaction = TransactionRow { place: Place::Line(queue_number), ..row(from, key) };
        self.append(&[Record::Accepted { id, transaction, body_hash: B256::ZERO }]);
        id
    }

    /// Accepts and binds a transaction.
    pub(crate) fn bound(&mut self, from: u8, nonce: u64, key: Option<&str>) -> Uuid {
        let id = self.id();
        self.append(&[bound(id, from, nonce, key)]);
        id
    }

    /// Accepts and binds transactions with the nonces from 0, in one commit.
    pub(crate) fn many_bound(&mut self, from: u8, count: usize) -> Vec<Uuid> {
        let ids: Vec<_> = (0..count).map(|_| self.id()).collect();
        let records: Vec<_> = ids.iter().zip(0..).map(|(id, nonce)| bound(*id, from, nonce, None)).collect();
        self.append(&records);
        ids
    }

    /// Accepts a transaction that ends at once.
    pub(crate) fn failed(&mut self, from: u8, reason: &str) -> Uuid {
        let id = self.id();
        let failure = FailureRow { reason: reason.into(), failed_at: 3 };
        let accepted = Some((row(from, None), B256::ZERO));
        self.append(&[Record::Failed { id, from: Self::address(from), accepted, queue_number: None, depends_on: Vec::new(), failure }]);
        id
    }

    /// A block in which these transactions were mined.
    pub(crate) fn block(&mut self, number: u64, mined: &[Uuid]) {
        let receipts = mined.iter().map(|id| (*id, self.receipt(*id, number))).collect();
        let head = HeadRow { hash: B256::with_last_byte(1), parent_hash: B256::ZERO, timestamp: number, seen_at: Self::seen_at(number) };
        self.append(&[Record::Block { number, head, receipts, rivals: Vec::new(), floors: Vec::new(), prune_heads_below: None }]);
    }

    /// Blocks above `to`, in which these were mined, leave the chain; `from` was the newest.
    pub(crate) fn rewind(&mut self, from: u64, to: u64, mined: &[Uuid]) {
        let orphans = mined.iter().filter_map(|id| Some((*id, self.view(*id, 1).receipt?))).collect();
        let head = HeadRow { hash: B256::with_last_byte(1), parent_hash: B256::ZERO, timestamp: to, seen_at: Self::seen_at(to) };
        self.append(&[Record::Rewind { to, head, from, highest: from, orphans, rivals: Vec::new() }]);
    }

    fn receipt(&self, id: Uuid, block_number: u64) -> ReceiptRow {
        let attempt = self.view(id, 1).attempts.pop().expect("a bound transaction");
        ReceiptRow {
            transaction_hash: attempt.hash,
            generation: attempt.generation,
            attempt: attempt.attempt,
            nonce: attempt.nonce,
            block_number,
            block_hash: B256::with_last_byte(1),
            transaction_index: 0,
            success: true,
            gas_used: 21_000,
            effective_gas_price: 7,
            contract_address: None,
            timeline: Timeline { included_at: Some(Self::seen_at(block_number)), ..Timeline::default() },
        }
    }

    fn id(&mut self) -> Uuid {
        self.next_id += 1;
        Uuid::from_u128(self.next_id)
    }

    fn append(&mut self, records: &[Record]) {
        use storage::Store;
        match self.store.append(self.sequence, records) {
            Append::Durable { sequence } => self.sequence = sequence,
            other => panic!("not appended: {other:?}"),
        }
    }
}

fn row(from: u8, key: Option<&str>) -> TransactionRow {
    let request = Request {
        from: History::address(from),
        to: Some(Address::ZERO),
        value: U256::from(1),
        data: Bytes::new(),
        gas: Some(21_000),
        fees: Fees::Market,
        extras: None,
    };
    TransactionRow::new(request, key.map(str::to_owned), 2)
}

fn bound(id: Uuid, from: u8, nonce: u64, key: Option<&str>) -> Record {
    let attempt = AttemptRow {
        generation: 0,
        attempt: 0,
        nonce,
        hash: keccak256(id.as_bytes()),
        raw: Bytes::from_static(b"signed"),
        gas: 21_000,
        fees: AttemptFees::Dynamic { max_fee_per_gas: 9, max_priority_fee_per_gas: 1 },
        signed_at: 3,
        closing: None,
    };
    let accepted = Some((row(from, key), B256::ZERO));
    Record::Bound { id, from: History::address(from), accepted, queue_number: None, attempt }
}

/// A store that counts the bytes of the values it gives out.
#[derive(Clone)]
pub(crate) struct CountedStore(RocksStore, Arc<AtomicUsize>);

impl CountedStore {
    pub(crate) fn new(store: &RocksStore) -> Self {
        Self(store.clone(), Arc::default())
    }

    /// Bytes since the last time.
    pub(crate) fn bytes_read(&self) -> usize {
        self.1.swap(0, Ordering::Relaxed)
    }

    fn count<'a>(&self, values: impl Iterator<Item = &'a [u8]>) {
        self.1.fetch_add(values.map(<[u8]>::len).sum(), Ordering::Relaxed);
    }
}

impl Store for CountedStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(family, key).inspect(|value| self.count(value.iter().map(Vec::as_slice)))
    }

    fn get_many(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        self.0.get_many(family, keys).inspect(|values| self.count(values.iter().flatten().map(Vec::as_slice)))
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Result<Vec<Pair>, StoreError> {
        self.0.scan(family, from, to, direction, limit).inspect(|pairs| self.count(pairs.iter().map(|(_, value)| value.as_ref())))
    }

    fn scan_keys(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Box<[u8]>>, StoreError> {
        self.0.scan_keys(family, from, to, limit)
    }

    fn append(&self, expected: u64, records: &[Record]) -> Append {
        self.0.append(expected, records)
    }

    fn reopen(&self) -> Result<u64, StoreError> {
        self.0.reopen()
    }

    fn sequence(&self) -> Result<u64, StoreError> {
        self.0.sequence()
    }
}
