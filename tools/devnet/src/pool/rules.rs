//! What makes a transaction acceptable at all: geth's checks in geth's order, with geth's words.
//!
//! The order matters: clients and tests see the first rule that fails. It is that of `ValidateTransaction` in
//! go-ethereum's `core/txpool/validation.go`, for a chain with the rules of Osaka.

use alloy::{consensus::Transaction, eips::eip7825::MAX_TX_GAS_LIMIT_OSAKA, primitives::Address};
use revm::{context_interface::cfg::gas_params::GasParams, primitives::eip3860::MAX_INITCODE_SIZE};

use crate::{
    blobs,
    chain::SPEC,
    error::RpcError,
    tx::{self, Envelope},
};

/// Largest transaction in bytes (geth's `txMaxSize`): four slots of 32 KiB.
const SIZE_MAX_BYTES: usize = 128 * 1024;

/// The settings that the checks need.
#[derive(Debug)]
pub(crate) struct Rules {
    chain_id: u64,
    min_tip_wei: u128,
    gas: GasParams,
}

impl Rules {
    pub(crate) fn new(chain_id: u64, min_tip_wei: u128) -> Self {
        Self { chain_id, min_tip_wei, gas: GasParams::new_spec(SPEC) }
    }

    /// Checks a transaction without looking at the state, and recovers its sender.
    ///
    /// `raw_length` is the length of the encoding in bytes, `gas_limit` that of the head block.
    pub(crate) fn check(&self, tx: &Envelope, raw_length: usize, gas_limit: u64) -> Result<Address, RpcError> {
        if tx.is_legacy() && tx.chain_id().is_none() {
            return Err(RpcError::server("only replay-protected (EIP-155) transactions allowed over RPC"));
        }
        let limit = if tx.is_eip4844() { blobs::SIZE_MAX_BYTES } else { SIZE_MAX_BYTES };
        if raw_length > limit {
            return Err(RpcError::server(format!("oversized data: transaction size {raw_length}, limit {limit}")));
        }
        let code_size = tx.input().len();
        if tx.is_create() && code_size > MAX_INITCODE_SIZE {
            return Err(RpcError::server(format!("max initcode size exceeded: code size {code_size} limit {MAX_INITCODE_SIZE}")));
        }
        self.check_gas_limit(tx, gas_limit)?;
        if tx.max_priority_fee_per_gas().is_some_and(|tip| tip > tx.max_fee_per_gas()) {
            return Err(RpcError::server("max priority fee per gas higher than max fee per gas"));
        }
        let sender = tx::recover(tx, self.chain_id)?;
        if tx.nonce() == u64::MAX {
            return Err(RpcError::server("nonce has max value"));
        }
        self.check_intrinsic_gas(tx)?;
        let tip = tx.max_priority_fee_per_gas().unwrap_or_else(|| tx.max_fee_per_gas());
        if tip < self.min_tip_wei {
            let needed = self.min_tip_wei;
            return Err(RpcError::server(format!("transaction gas price below minimum: gas tip cap {tip}, minimum needed {needed}")));
        }
        if tx.authorization_list().is_some_and(<[_]>::is_empty) {
            return Err(RpcError::server("set code tx must have at least one authorization tuple"));
        }
        Ok(sender)
    }

    fn check_gas_limit(&self, tx: &Envelope, gas_limit: u64) -> Result<(), RpcError> {
        let gas = tx.gas_limit();
        if gas > MAX_TX_GAS_LIMIT_OSAKA {
            return Err(RpcError::server(format!("transaction gas limit too high (cap: {MAX_TX_GAS_LIMIT_OSAKA}, tx: {gas})")));
        }
        if gas > gas_limit {
            return Err(RpcError::server("exceeds block gas limit"));
        }
        Ok(())
    }

    fn check_intrinsic_gas(&self, tx: &Envelope) -> Result<(), RpcError> {
        let list = tx.access_list();
        let needed = self.gas.initial_tx_gas(
            tx.input(),
            tx.is_create(),
            list.map_or(0, |list| list.len() as u64),
            list.map_or(0, |list| list.iter().map(|item| item.storage_keys.len() as u64).sum()),
            tx.authorization_list().map_or(0, |list| list.len() as u64),
            None,
        );
        let gas = tx.gas_limit();
        if gas < needed.initial_regular_gas {
            let needed = needed.initial_regular_gas;
            return Err(RpcError::server(format!("intrinsic gas too low: gas {gas}, minimum needed {needed}")));
        }
        if gas < needed.floor_gas {
            let floor = needed.floor_gas;
            return Err(RpcError::server(format!("insufficient gas for floor data gas cost: gas {gas}, minimum needed {floor}")));
        }
        Ok(())
    }
}
