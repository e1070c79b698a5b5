//! Runs the transactions of a block through revm, one after the other, straight on the state.
//!
//! The sender is known from the pool and the nonce order too, so a transaction costs its execution and nothing else. One
//! that revm refuses changes nothing and is reported; the block goes on without it.

use alloy::primitives::Bloom;
use alloy_evm::{EthEvm, EthEvmFactory, Evm, EvmEnv, EvmFactory, FromRecoveredTx, precompiles::PrecompilesMap};
use revm::{context::TxEnv, context_interface::result::ExecutionResult, inspector::NoOpInspector};

use super::{block::Receipt, state::State};
use crate::{
    blobs::{self, PARAMS},
    tx::SharedTx,
};

/// Gas of the cheapest transaction: with less left, a block is full.
const GAS_MIN: u64 = 21_000;

/// What became of a transaction offered to a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// It is in the block.
    Taken,
    /// Its gas limit is above what is left.
    NoRoom,
    /// The EVM refused it in this state; the pool follows the state after the block and drops it if it must.
    Refused,
}

/// A block that is being filled.
pub(crate) struct Filler<'a> {
    evm: EthEvm<&'a mut State, NoOpInspector, PrecompilesMap>,
    gas_limit: u64,
    body: Body,
}

/// What a filled block contains.
#[derive(Debug, Default)]
pub(crate) struct Body {
    pub(crate) txs: Vec<SharedTx>,
    pub(crate) receipts: Vec<Receipt>,
    pub(crate) gas_used: u64,
    pub(crate) blob_gas_used: u64,
    pub(crate) bloom: Bloom,
    logs: u64,
}

impl<'a> Filler<'a> {
    pub(crate) fn new(state: &'a mut State, env: EvmEnv) -> Self {
        let gas_limit = env.block_env.gas_limit;
        Self { evm: EthEvmFactory::default().create_evm(state, env), gas_limit, body: Body::default() }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.gas_left() < GAS_MIN
    }

    /// Runs a transaction and keeps its receipt.
    pub(crate) fn offer(&mut self, tx: &SharedTx) -> Offer {
        let blob_gas = blobs::gas(&tx.envelope);
        if tx.gas_limit > self.gas_left() || self.body.blob_gas_used + blob_gas > PARAMS.max_blob_gas_per_block() {
            return Offer::NoRoom;
        }
        match self.evm.transact_commit(TxEnv::from_recovered_tx(&tx.envelope, tx.sender)) {
            Ok(result) => {
                self.body.blob_gas_used += blob_gas;
                self.body.push(tx, result);
                Offer::Taken
            }
            Err(_) => Offer::Refused,
        }
    }

    pub(crate) fn finish(self) -> Body {
        self.body
    }

    fn gas_left(&self) -> u64 {
        self.gas_limit - self.body.gas_used
    }
}

impl Body {
    fn push(&mut self, tx: &SharedTx, result: ExecutionResult) {
        let gas_used = result.tx_gas_used();
        self.gas_used += gas_used;
        let success = result.is_success();
        let first_log = self.logs;
        // The logs before a revert or a halt never happened.
        let logs = if success { result.into_logs().into_boxed_slice() } else { Box::default() };
        self.bloom.accrue_logs(&logs);
        self.logs += logs.len() as u64;
        self.receipts.push(Receipt { success, gas_used, cumulative_gas_used: self.gas_used, first_log, logs });
        self.txs.push(SharedTx::clone(tx));
    }
}
