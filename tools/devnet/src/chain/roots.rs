//! The roots in a header.
//!
//! Transactions and receipts have their true Merkle roots, so that a client can verify a block's body. The state has no
//! trie here: its root is a commitment to the parent's root and to what this block did, the same for the same history
//! and different for any other, but no proof can be made against it.

use alloy::{
    consensus::{
        Eip658Value, EthereumTxEnvelope, Receipt as ConsensusReceipt, ReceiptEnvelope, ReceiptWithBloom, constants::EMPTY_ROOT_HASH,
        proofs::ordered_trie_root_with_encoder,
    },
    eips::Encodable2718,
    primitives::{B256, keccak256},
};

use super::block::{Block, Receipt};
use crate::tx::SharedTx;

/// Merkle root of the transactions.
pub(super) fn transactions(txs: &[SharedTx]) -> B256 {
    ordered_trie_root_with_encoder(txs, |tx: &SharedTx, out| tx.envelope.encode_2718(out))
}

/// Merkle root of the receipts.
pub(super) fn receipts(txs: &[SharedTx], receipts: &[Receipt]) -> B256 {
    let pairs: Vec<_> = txs.iter().zip(receipts).collect();
    ordered_trie_root_with_encoder(&pairs, |(tx, receipt), out| {
        let consensus = ConsensusReceipt {
            status: Eip658Value::Eip658(receipt.success),
            cumulative_gas_used: receipt.cumulative_gas_used,
            logs: receipt.logs.to_vec(),
        };
        let with_bloom = ReceiptWithBloom::new(consensus, receipt.bloom());
        let typed = match tx.envelope {
            EthereumTxEnvelope::Legacy(_) => ReceiptEnvelope::Legacy(with_bloom),
            EthereumTxEnvelope::Eip2930(_) => ReceiptEnvelope::Eip2930(with_bloom),
            EthereumTxEnvelope::Eip1559(_) => ReceiptEnvelope::Eip1559(with_bloom),
            EthereumTxEnvelope::Eip4844(_) => ReceiptEnvelope::Eip4844(with_bloom),
            EthereumTxEnvelope::Eip7702(_) => ReceiptEnvelope::Eip7702(with_bloom),
        };
        typed.encode_2718(out);
    })
}

/// Commitment to the history of the state: the parent's, unless the block did something.
pub(super) fn state(parent: &Block, body_roots: &[B256; 2]) -> B256 {
    if body_roots == &[EMPTY_ROOT_HASH; 2] {
        return parent.header.state_root;
    }
    keccak256([parent.header.state_root, body_roots[0], body_roots[1]].concat())
}

/// What `PREVRANDAO` gives in a block: known in advance, and another one on another branch.
pub(super) fn randomness(parent: B256, branch: u64) -> B256 {
    keccak256([parent.as_slice(), &branch.to_be_bytes()].concat())
}
