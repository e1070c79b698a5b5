//! A transaction as the pool and the blocks hold it: decoded once, its sender recovered once.
//!
//! Fails with geth's words: bytes that are no transaction, a type this chain does not run, a signature of another
//! chain or of nobody.

use std::rc::Rc;

use alloy::{
    consensus::{EthereumTxEnvelope, Transaction, TxEip4844, transaction::SignerRecoverable},
    eips::Decodable2718,
    primitives::{Address, B256, U256},
};

use crate::{
    blobs::{self, BLOB_TYPE},
    error::RpcError,
};

/// The envelope of a transaction without room for blobs: they are checked when it comes, and belong to no block.
pub(crate) type Envelope = EthereumTxEnvelope<TxEip4844>;

/// A transaction whose sender is known. Shared between the pool, the blocks and the index.
pub(crate) type SharedTx = Rc<PooledTx>;

/// A decoded transaction with what the pool asks of it again and again.
#[derive(Debug)]
pub(crate) struct PooledTx {
    pub(crate) hash: B256,
    pub(crate) sender: Address,
    pub(crate) nonce: u64,
    pub(crate) gas_limit: u64,
    /// `maxFeePerGas`, or `gasPrice` of a transaction without fee market.
    pub(crate) fee_cap: u128,
    /// `maxPriorityFeePerGas`, or `gasPrice` of a transaction without fee market.
    pub(crate) tip_cap: u128,
    /// Value plus gas limit times fee cap; `U256::MAX` if that overflows, which nobody can pay.
    pub(crate) cost: U256,
    /// Length of the EIP-2718 encoding in bytes.
    pub(crate) encoded_length: usize,
    /// Order of arrival, which decides between equal tips.
    pub(crate) arrival: u64,
    pub(crate) envelope: Envelope,
}

impl PooledTx {
    /// It carries blobs.
    pub(crate) fn has_blobs(&self) -> bool {
        self.envelope.is_eip4844()
    }

    /// What the miner gets for a unit of gas in a block with this base fee; `None` if the fee cap is below it.
    pub(crate) fn effective_tip(&self, base_fee: u64) -> Option<u128> {
        self.fee_cap.checked_sub(u128::from(base_fee)).map(|room| room.min(self.tip_cap))
    }

    /// What the sender pays for a unit of gas in a block with this base fee.
    pub(crate) fn effective_gas_price(&self, base_fee: u64) -> u128 {
        self.envelope.effective_gas_price(Some(base_fee))
    }

    /// The address a creating transaction deploys to.
    pub(crate) fn created_contract(&self) -> Option<Address> {
        self.envelope.to().is_none().then(|| self.sender.create(self.nonce))
    }
}

/// Decodes the EIP-2718 encoding of a transaction. All bytes must be used.
pub(crate) fn decode(raw: &[u8]) -> Result<Envelope, RpcError> {
    match raw.first() {
        None => return Err(RpcError::server("typed transaction too short")),
        // The network form, with blobs, is another encoding than the one in blocks.
        Some(&BLOB_TYPE) => return blobs::decode(raw),
        Some(&ty) if (5..0x80).contains(&ty) => return Err(RpcError::server("transaction type not supported")),
        Some(_) => {}
    }
    let mut rest = raw;
    let envelope = Envelope::decode_2718(&mut rest).map_err(RpcError::rlp)?;
    if rest.is_empty() { Ok(envelope) } else { Err(RpcError::rlp("input contains more than one value")) }
}

/// Recovers the sender of a transaction for this chain.
pub(crate) fn recover(envelope: &Envelope, chain_id: u64) -> Result<Address, RpcError> {
    match envelope.chain_id() {
        Some(id) if id != chain_id => Err(RpcError::invalid_sender(format_args!("invalid chain id for signer: have {id} want {chain_id}"))),
        _ => envelope.recover_signer().map_err(|_| RpcError::invalid_sender("invalid transaction v, r, s values")),
    }
}

/// Value plus gas limit times fee cap, and the same of blob gas, or `U256::MAX` when it overflows.
pub(crate) fn cost(envelope: &Envelope) -> U256 {
    let gas = U256::from(envelope.gas_limit()) * U256::from(envelope.max_fee_per_gas());
    let cost = gas.saturating_add(envelope.value());
    match envelope.max_fee_per_blob_gas() {
        None => cost,
        Some(fee) => cost.saturating_add(U256::from(fee) * U256::from(blobs::gas(envelope))),
    }
}
