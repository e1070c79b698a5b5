//! Runs calls that leave no trace: `eth_call` and `eth_estimateGas`, as geth runs them.

use alloy::{
    eips::{eip2930::AccessList, eip4844::DATA_GAS_PER_BLOB, eip7702::SignedAuthorization, eip7825::MAX_TX_GAS_LIMIT_OSAKA},
    primitives::{Address, B256, Bytes, TxKind, U64, U128, U256},
};
use alloy_evm::{EthEvmFactory, Evm, EvmEnv, EvmFactory};
use revm::{
    context::TxEnv,
    context_interface::{
        either::Either,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction},
    },
    database_interface::WrapDatabaseRef,
};
use serde::Deserialize;

use super::{Block, Chain, StateAt};
use crate::error::RpcError;

/// Gas of a call that names none (geth's `--rpc.gascap`).
const CALL_GAS: u64 = 50_000_000;
/// Gas of a plain transfer, which is tried first.
const TRANSFER_GAS: u64 = 21_000;
/// Gas that a call with value hands on, which an estimate must have to spare.
const CALL_STIPEND: u64 = 2_300;
/// An estimate is good when it is within this share of the upper bound (geth's `estimateGasErrorRatio`).
const ESTIMATE_ERROR_PERCENT: f64 = 1.5;

/// The transaction object of `eth_call` and `eth_estimateGas`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct CallRequest {
    from: Option<Address>,
    to: Option<Address>,
    gas: Option<U64>,
    gas_price: Option<U128>,
    max_fee_per_gas: Option<U128>,
    max_priority_fee_per_gas: Option<U128>,
    value: Option<U256>,
    data: Option<Bytes>,
    input: Option<Bytes>,
    access_list: Option<AccessList>,
    authorization_list: Option<Vec<SignedAuthorization>>,
    blob_versioned_hashes: Option<Vec<B256>>,
    max_fee_per_blob_gas: Option<U128>,
}

impl CallRequest {
    fn fee_cap(&self) -> u128 {
        self.max_fee_per_gas.or(self.gas_price).unwrap_or_default().to()
    }

    fn blob_fee_cap(&self) -> u128 {
        self.max_fee_per_blob_gas.unwrap_or_default().to()
    }

    /// What its blobs may cost at most, wei.
    fn blob_cost(&self) -> U256 {
        let blobs = self.blob_versioned_hashes.as_ref().map_or(0, Vec::len);
        U256::from(self.blob_fee_cap()).saturating_mul(U256::from(blobs as u64 * DATA_GAS_PER_BLOB))
    }

    /// EIP-2718 type by what is present, so that revm reads the same fields.
    fn tx_type(&self) -> u8 {
        let some = |list: Option<usize>| list.is_some_and(|length| length > 0);
        if some(self.authorization_list.as_ref().map(Vec::len)) {
            4
        } else if some(self.blob_versioned_hashes.as_ref().map(Vec::len)) {
            3
        } else if self.max_fee_per_gas.is_some() || self.max_priority_fee_per_gas.is_some() {
            2
        } else {
            u8::from(self.access_list.is_some())
        }
    }

    fn tx_env(&self, gas_limit: u64) -> TxEnv {
        let tx_type = self.tx_type();
        let authorizations = self.authorization_list.clone().unwrap_or_default();
        TxEnv {
            tx_type,
            caller: self.from.unwrap_or_default(),
            gas_limit,
            gas_price: self.fee_cap(),
            gas_priority_fee: (tx_type >= 2).then(|| self.max_priority_fee_per_gas.unwrap_or_default().to()),
            kind: self.to.map_or(TxKind::Create, TxKind::Call),
            value: self.value.unwrap_or_default(),
            data: self.input.clone().or_else(|| self.data.clone()).unwrap_or_default(),
            access_list: self.access_list.clone().unwrap_or_default(),
            authorization_list: authorizations.into_iter().map(Either::Left).collect(),
            blob_hashes: self.blob_versioned_hashes.clone().unwrap_or_default(),
            max_fee_per_blob_gas: self.blob_fee_cap(),
            // The nonce is not checked, nor is the chain id of a call without one.
            chain_id: None,
            ..TxEnv::default()
        }
    }
}

impl Chain {
    /// Runs a call on the state after `block` and returns its output; a revert is the error of geth.
    pub(crate) fn call(&self, request: &CallRequest, block: &Block, state: StateAt<'_>) -> Result<Bytes, RpcError> {
        let gas = request.gas.map_or(CALL_GAS, |gas| gas.to::<u64>().min(CALL_GAS));
        // geth's words for a call that could not even begin; an estimate has others.
        let unable = |error: RpcError| RpcError::new(error.code, format!("err: {}", error.message));
        match run(request, gas, self.env(block), state).map_err(unable)? {
            ExecutionResult::Success { output, .. } => Ok(output.into_data()),
            ExecutionResult::Revert { output, .. } => Err(RpcError::reverted(output)),
            ExecutionResult::Halt { reason, .. } => Err(halted(&reason)),
        }
    }

    /// The smallest gas limit, within geth's tolerance, with which the transaction succeeds.
    pub(crate) fn estimate_gas(&self, request: &CallRequest, block: &Block, state: StateAt<'_>) -> Result<u64, RpcError> {
        let env = self.env(block);
        let mut high = estimate_bound(request, block, state)?;
        let attempt = |gas: u64| run(request, gas, env.clone(), state);
        let succeeds = |gas: u64| match attempt(gas) {
            Ok(result) => Ok(result.is_success()),
            // Below the intrinsic gas the transaction is refused rather than run.
            Err(error) if error.message.starts_with("intrinsic gas") => Ok(false),
            Err(error) => Err(error),
        };
        // Run, not assumed: what a transfer carries along costs more, even if it is not used.
        if is_transfer(request, state) && high >= TRANSFER_GAS && succeeds(TRANSFER_GAS)? {
            return Ok(TRANSFER_GAS);
        }
        let (used, refunded) = match attempt(high)? {
            ExecutionResult::Success { gas, .. } => (gas.tx_gas_used(), gas.inner_refunded()),
            ExecutionResult::Revert { output, .. } => return Err(RpcError::reverted(output)),
            ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } => return Err(exceeds_allowance(high)),
            ExecutionResult::Halt { reason, .. } => return Err(halted(&reason)),
        };
        let mut low = used.saturating_sub(1);
        // A call may hand on at most 63/64 of its gas: this usually is the answer.
        let likely = (used + refunded + CALL_STIPEND) * 64 / 63;
        if likely < high {
            if succeeds(likely)? { high = likely } else { low = likely }
        }
        while low + 1 < high && (high - low) as f64 * 100.0 / high as f64 >= ESTIMATE_ERROR_PERCENT {
            let middle = (low + (high - low) / 2).min(low.saturating_mul(2).max(1));
            if succeeds(middle)? { high = middle } else { low = middle }
        }
        Ok(high)
    }
}

/// What the transaction may use at most: its own limit, the block's, the protocol's, and what its sender can pay for.
fn estimate_bound(request: &CallRequest, block: &Block, state: StateAt<'_>) -> Result<u64, RpcError> {
    let named = request.gas.map(|gas| gas.to::<u64>()).filter(|gas| *gas >= TRANSFER_GAS);
    let mut high = named.unwrap_or(block.header.gas_limit).min(MAX_TX_GAS_LIMIT_OSAKA);
    let fee_cap = request.fee_cap();
    if fee_cap > 0 {
        let account = state.account(&request.from.unwrap_or_default()).unwrap_or_default();
        let Some(available) = account.balance.checked_sub(request.value.unwrap_or_default()) else {
            return Err(RpcError::server("insufficient funds for transfer"));
        };
        let Some(available) = available.checked_sub(request.blob_cost()) else {
            return Err(RpcError::server("insufficient funds for gas * price + value"));
        };
        let allowance = available / U256::from(fee_cap);
        high = high.min(u64::try_from(allowance).unwrap_or(u64::MAX));
        if high < TRANSFER_GAS {
            return Err(exceeds_allowance(high));
        }
    }
    Ok(high)
}

fn is_transfer(request: &CallRequest, state: StateAt<'_>) -> bool {
    let without_data = request.input.as_ref().or(request.data.as_ref()).is_none_or(|data| data.is_empty());
    without_data && request.to.is_some_and(|to| state.account(&to).is_none_or(|account| account.is_empty_code_hash()))
}

fn run(request: &CallRequest, gas: u64, mut env: EvmEnv, state: StateAt<'_>) -> Result<ExecutionResult, RpcError> {
    let tx = request.tx_env(gas);
    env.cfg_env.disable_nonce_check = true;
    env.cfg_env.disable_eip3607 = true;
    env.cfg_env.disable_block_gas_limit = true;
    env.cfg_env.tx_gas_limit_cap = Some(u64::MAX);
    env.cfg_env.tx_chain_id_check = false;
    // A call that offers no price runs without one, as in geth.
    env.cfg_env.disable_base_fee = tx.gas_price == 0;
    if tx.max_fee_per_blob_gas == 0
        && let Some(blobs) = &mut env.block_env.blob_excess_gas_and_price
    {
        blobs.blob_gasprice = 0;
    }
    let (caller, limit) = (tx.caller, tx.gas_limit);
    let mut evm = EthEvmFactory::default().create_evm(WrapDatabaseRef(state), env);
    match evm.transact_raw(tx) {
        Ok(outcome) => Ok(outcome.result),
        Err(EVMError::Transaction(invalid)) => Err(refused(&invalid, caller, limit)),
        Err(other) => Err(RpcError::server(other.to_string())),
    }
}

fn refused(invalid: &InvalidTransaction, caller: Address, gas: u64) -> RpcError {
    match invalid {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => RpcError::server(format!(
            "insufficient funds for gas * price + value: address {caller} have {balance} want {fee} (supplied gas {gas})"
        )),
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit }
        | InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor: initial_gas, gas_limit } => {
            RpcError::server(format!("intrinsic gas too low: have {gas_limit}, want {initial_gas} (supplied gas {gas})"))
        }
        InvalidTransaction::BlobGasPriceGreaterThanMax { block_blob_gas_price, tx_max_fee_per_blob_gas } => RpcError::server(format!(
            "max fee per blob gas less than block blob gas fee: address {caller} blobGasFeeCap: {tx_max_fee_per_blob_gas}, \
             blobBaseFee: {block_blob_gas_price} (supplied gas {gas})"
        )),
        InvalidTransaction::GasPriceLessThanBasefee => {
            RpcError::server(format!("max fee per gas less than block base fee: address {caller} (supplied gas {gas})"))
        }
        other => RpcError::server(format!("{other} (supplied gas {gas})")),
    }
}

fn halted(reason: &HaltReason) -> RpcError {
    match reason {
        HaltReason::OutOfGas(_) => RpcError::server("out of gas"),
        other => RpcError::server(format!("execution halted: {other:?}")),
    }
}

fn exceeds_allowance(gas: u64) -> RpcError {
    RpcError::server(format!("gas required exceeds allowance ({gas})"))
}
