//! A sealed block with its transactions and compact receipts.

use std::rc::Rc;

use alloy::{
    consensus::Header,
    primitives::{B256, Bloom, Log},
    rlp::Encodable,
};

use crate::{blobs, tx::SharedTx};

/// A block, shared between the chain, the index of hashes and replies being written.
pub(crate) type SharedBlock = Rc<Block>;

/// What running a transaction left behind, without what block and transaction already say.
#[derive(Debug)]
pub(crate) struct Receipt {
    pub(crate) success: bool,
    pub(crate) gas_used: u64,
    pub(crate) cumulative_gas_used: u64,
    /// Number of logs in the block before this transaction's.
    pub(crate) first_log: u64,
    pub(crate) logs: Box<[Log]>,
}

impl Receipt {
    /// The bloom filter of the logs; most receipts have none.
    pub(crate) fn bloom(&self) -> Bloom {
        let mut bloom = Bloom::ZERO;
        bloom.accrue_logs(&self.logs);
        bloom
    }
}

/// A sealed block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) hash: B256,
    pub(crate) header: Header,
    pub(crate) txs: Vec<SharedTx>,
    pub(crate) receipts: Vec<Receipt>,
    /// Length of the RLP encoding in bytes.
    pub(crate) size: u64,
}

impl Block {
    pub(crate) fn new(header: Header, txs: Vec<SharedTx>, receipts: Vec<Receipt>) -> Self {
        let hash = header.hash_slow();
        let size = encoded_length(&header, &txs);
        Self { hash, header, txs, receipts, size }
    }

    pub(crate) fn number(&self) -> u64 {
        self.header.number
    }

    /// What a unit of blob gas costs in it, wei.
    pub(crate) fn blob_price(&self) -> u128 {
        blobs::price(self.header.excess_blob_gas.unwrap_or_default())
    }

    pub(crate) fn base_fee(&self) -> u64 {
        self.header.base_fee_per_gas.expect("every block here has a base fee")
    }
}

/// Length of `rlp([header, transactions, uncles, withdrawals])`; the last two are empty lists.
fn encoded_length(header: &Header, txs: &[SharedTx]) -> u64 {
    let list = |payload_length: usize| alloy::rlp::Header { list: true, payload_length }.length_with_payload();
    let string = |payload_length: usize| alloy::rlp::Header { list: false, payload_length }.length_with_payload();
    let payload = txs.iter().map(|tx| if tx.envelope.is_legacy() { tx.encoded_length } else { string(tx.encoded_length) }).sum();
    list(header.length() + list(payload) + 1 + 1) as u64
}
