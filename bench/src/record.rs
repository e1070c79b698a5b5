//! Records as the writer gets them.

use alloy::primitives::{Address, B256, Bytes, keccak256};
use storage::{AttemptRow, Family, HeadRow, Place, Puts, ReceiptRow, Record, Timeline, TransactionRow};
use uuid::Uuid;

use crate::transfer::{FEES, accept};

/// Length of a signed transfer: an EIP-1559 transaction without data.
const RAW_BYTES: usize = 112;

/// The id of transfer `number`. Ids are in order, as the engine's are.
#[must_use]
pub fn id(number: u64) -> Uuid {
    Uuid::from_u128(u128::from(number))
}

/// A hash, scattered as hashes are.
fn hash(number: u64) -> B256 {
    keccak256(number.to_be_bytes())
}

/// What was signed for transfer `number`.
#[must_use]
pub fn attempt(number: u64) -> AttemptRow {
    let raw = Bytes::from(vec![0xab; RAW_BYTES]);
    AttemptRow { generation: 0, attempt: 0, nonce: number, hash: hash(number), raw, gas: 21_000, fees: FEES, signed_at: 1, closing: None }
}

/// Transfer `number`, accepted and bound in one record.
#[must_use]
pub fn bound(from: Address, number: u64) -> Record {
    let accepted = accept(from, number);
    Record::Bound {
        id: accepted.id,
        from,
        accepted: Some((accepted.row, accepted.body_hash)),
        queue_number: None,
        attempt: attempt(number),
    }
}

/// Transfer `number`, accepted and waiting.
#[must_use]
pub fn waiting(from: Address, number: u64) -> Record {
    let accepted = accept(from, number);
    let transaction = TransactionRow { place: Place::Line(number), ..accepted.row };
    Record::Accepted { id: accepted.id, transaction, body_hash: accepted.body_hash }
}

/// A block that confirms `count` transfers of as many addresses.
#[must_use]
pub fn block(number: u64, count: u64) -> Record {
    let head = HeadRow { hash: hash(number), parent_hash: hash(number - 1), timestamp: number, seen_at: 1 };
    let receipts = (0..count).map(|number| (id(number), receipt(number))).collect();
    let floors = (0..count).map(|number| (Address::left_padding_from(&number.to_be_bytes()), 1)).collect();
    Record::Block { number, head, receipts, rivals: Vec::new(), floors, prune_heads_below: number.checked_sub(24) }
}

/// The receipt of transfer `number`.
#[must_use]
pub fn receipt(number: u64) -> ReceiptRow {
    ReceiptRow {
        transaction_hash: hash(number),
        generation: 0,
        attempt: 0,
        nonce: number,
        block_number: 1_000,
        block_hash: B256::repeat_byte(0x22),
        transaction_index: number,
        success: true,
        gas_used: 21_000,
        effective_gas_price: 1_000_000_007,
        contract_address: None,
        timeline: Timeline { durable_at: Some(1), sent_at: Some(2), included_at: Some(3) },
    }
}

/// Puts that are counted and forgotten.
#[derive(Debug, Default)]
pub struct Bytecount(pub usize);

impl Puts for Bytecount {
    fn put(&mut self, _family: Family, key: &[u8], value: &[u8]) {
        self.0 += key.len() + value.len();
    }

    fn delete(&mut self, _family: Family, key: &[u8]) {
        self.0 += key.len();
    }
}
