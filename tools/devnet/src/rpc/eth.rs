//! `eth_*`, `net_*` and `web3_*`.

use alloy::primitives::{Address, B256, Bytes, U64, U256};
use serde_json::value::RawValue;

use super::{
    logs,
    params::{BlockId, Params},
    write::{self, Place},
};
use crate::{
    blobs,
    chain::{CallRequest, SharedBlock, StateAt},
    error::RpcError,
    json::{self, Object},
    lies,
    node::Node,
};

/// What `web3_clientVersion` answers.
const CLIENT_VERSION: &str = concat!("millrace-devnet/v", env!("CARGO_PKG_VERSION"));

type Answer = Result<(), RpcError>;

/// Runs a method of the namespaces.
pub(super) fn run(node: &mut Node, method: &str, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    match method {
        "eth_sendRawTransaction" => return send_raw_transaction(node, params, out),
        "eth_blockNumber" => json::quantity(out, node.chain.head().number()),
        "eth_chainId" => json::quantity(out, node.chain_id),
        "eth_getTransactionReceipt" => return get_transaction_receipt(node, params, out),
        "eth_getBlockReceipts" => return get_block_receipts(node, params, out),
        "eth_getTransactionCount" => return get_transaction_count(node, params, out),
        "eth_getTransactionByHash" => return get_transaction(node, params, out),
        "eth_getTransactionByBlockNumberAndIndex" => return get_transaction_in_block(node, params, out),
        "eth_getBlockByNumber" | "eth_getBlockByHash" => return get_block(node, params, out),
        "eth_getBalance" => return get_balance(node, params, out),
        "eth_getCode" => return get_code(node, params, out),
        "eth_getStorageAt" => return get_storage(node, params, out),
        "eth_getLogs" => return logs::get_logs(node, params, out),
        "eth_call" => return call(node, params, out),
        "eth_estimateGas" => return estimate_gas(node, params, out),
        "eth_feeHistory" => return fee_history(node, params, out),
        "eth_maxPriorityFeePerGas" => json::quantity_wide(out, U256::from(node.chain.suggested_tip())),
        "eth_gasPrice" => {
            let price = node.chain.suggested_tip() + u128::from(node.chain.head().base_fee());
            json::quantity_wide(out, U256::from(price));
        }
        "eth_blobBaseFee" => json::quantity_wide(out, U256::from(blobs::price(node.chain.next_excess_blob_gas()))),
        "eth_syncing" => out.extend_from_slice(b"false"),
        "eth_accounts" => json::array(out, &node.dev_accounts, |out, address| json::data(out, address.as_slice())),
        "net_version" => json::text(out, &node.chain_id.to_string()),
        "web3_clientVersion" => json::text(out, CLIENT_VERSION),
        _ => return Err(RpcError::method_not_found(method)),
    }
    Ok(())
}

impl Node {
    /// The number a block id stands for; that of a hash must be known.
    pub(super) fn number_of(&self, id: BlockId) -> Result<u64, RpcError> {
        Ok(match id {
            BlockId::Latest | BlockId::Pending => self.chain.head().number(),
            BlockId::Earliest => self.chain.earliest_number(),
            BlockId::Safe => self.chain.safe_number(),
            BlockId::Finalized => self.chain.finalized_number(),
            BlockId::Number(number) => number,
            BlockId::Hash(hash) => self.chain.block_by_hash(&hash).ok_or_else(unknown_block)?.number(),
        })
    }

    fn block_at(&self, id: BlockId) -> Option<SharedBlock> {
        match id {
            BlockId::Hash(hash) => self.block_by_hash(&hash),
            id => self.chain.block(self.number_of(id).ok()?).cloned(),
        }
    }

    /// A block and the state after it.
    fn state_at(&self, id: BlockId) -> Result<(SharedBlock, StateAt<'_>), RpcError> {
        let block = self.block_at(id).ok_or_else(unknown_block)?;
        let state = self.chain.is_canonical(&block).then(|| self.chain.state.at(block.number())).flatten();
        let number = block.number();
        let state = state
            .ok_or_else(|| RpcError::server(format!("historical state of block {number} is not available: it is too old or abandoned")))?;
        Ok((block, state))
    }
}

fn unknown_block() -> RpcError {
    RpcError::server("header not found")
}

fn null(out: &mut Vec<u8>) -> Answer {
    out.extend_from_slice(b"null");
    Ok(())
}

fn send_raw_transaction(node: &mut Node, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    let raw: Bytes = params.required(0)?;
    json::data(out, node.send_raw(&raw)?.as_slice());
    Ok(())
}

fn get_transaction(node: &Node, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    let hash: B256 = params.required(0)?;
    if let Some(tx) = node.pool.get(&hash) {
        write::transaction(out, tx, None);
    } else if let Some(mined) = node.chain.mined(&hash) {
        let place = Place { block: &mined.block, index: mined.index };
        write::transaction(out, place.tx(), Some(place));
    } else {
        return null(out);
    }
    Ok(())
}

fn get_transaction_in_block(node: &Node, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    let (block, index): (Option<SharedBlock>, U64) = (node.block_at(params.required(0)?), params.required(1)?);
    let place = block.as_ref().and_then(|block| write::places(block).nth(index.to()));
    let Some(place) = place else { return null(out) };
    write::transaction(out, place.tx(), Some(place));
    Ok(())
}

fn get_transaction_receipt(node: &mut Node, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    let hash: B256 = params.required(0)?;
    let until = node.receipts_until();
    let mined = node.chain.mined(&hash).filter(|mined| Some(mined.block.number()) <= until);
    let Some(mined) = mined else { return null(out) };
    write::receipt(out, Place { block: &mined.block, index: mined.index });
    Ok(())
}

fn get_block_receipts(node: &mut Node, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    let (until, short) = (node.receipts_until(), node.tricks.lies.is_short());
    let Some(block) = node.block_at(params.required(0)?).filter(|block| Some(block.number()) <= until) else { return null(out) };
    out.reserve(block.txs.len() * write::RECEIPT_BYTES);
    let shown = block.txs.len() - usize::from(short && !block.txs.is_empty());
    json::array(out, write::places(&block).take(shown), write::receipt);
    Ok(())
}

fn get_block(node: &Node, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    let id: BlockId = params.required(0)?;
    let full = params.optional(1)?.unwrap_or(false);
    let Some(block) = node.block_at(id) else { return null(out) };
    write::block(out, &block, full);
    Ok(())
}

fn get_transaction_count(node: &mut Node, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    let address: Address = params.required(0)?;
    let id: BlockId = params.optional(1)?.unwrap_or_default();
    let pooled = node.pool.sender(&address).filter(|_| id == BlockId::Pending);
    let nonce = match pooled {
        Some(sender) => sender.executable_end(),
        None => node.state_at(id)?.1.account(&address).map_or(0, |account| account.nonce),
    };
    json::quantity(out, lies::skewed(nonce, node.tricks.lies.nonce_skew()));
    Ok(())
}

fn get_balance(node: &Node, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    let address: Address = params.required(0)?;
    let (_, state) = node.state_at(params.optional(1)?.unwrap_or_default())?;
    json::quantity_wide(out, state.account(&address).map_or(U256::ZERO, |account| account.balance));
    Ok(())
}

fn get_code(node: &Node, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    let address: Address = params.required(0)?;
    let (_, state) = node.state_at(params.optional(1)?.unwrap_or_default())?;
    let code = state.account(&address).map(|account| state.code(&account.code_hash).original_bytes());
    json::data(out, &code.unwrap_or_default());
    Ok(())
}

fn get_storage(node: &Node, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    let (address, slot): (Address, U256) = (params.required(0)?, params.required(1)?);
    let (_, state) = node.state_at(params.optional(2)?.unwrap_or_default())?;
    write::word(out, state.slot(address, slot));
    Ok(())
}

fn call(node: &Node, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    let (request, id) = call_params(params)?;
    let (block, state) = node.state_at(id)?;
    json::data(out, &node.chain.call(&request, &block, state)?);
    Ok(())
}

fn estimate_gas(node: &Node, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    let (request, id) = call_params(params)?;
    let (block, state) = node.state_at(id)?;
    json::quantity(out, node.chain.estimate_gas(&request, &block, state)?);
    Ok(())
}

fn call_params(params: &Params<'_>) -> Result<(CallRequest, BlockId), RpcError> {
    let overrides: Option<&RawValue> = params.optional(2)?;
    if overrides.is_some_and(|overrides| overrides.get() != "{}") {
        return Err(RpcError::invalid(2, "state overrides are not supported by this chain"));
    }
    Ok((params.required(0)?, params.optional(1)?.unwrap_or_default()))
}

fn fee_history(node: &Node, params: &Params<'_>, out: &mut Vec<u8>) -> Answer {
    let count: U64 = params.required(0)?;
    let newest = node.number_of(params.required(1)?)?;
    let percentiles: Vec<f64> = params.optional(2)?.unwrap_or_default();
    if newest > node.chain.head().number() || newest < node.chain.earliest_number() {
        let head = node.chain.head().number();
        return Err(RpcError::server(format!("request beyond head block: requested {newest}, head {head}")));
    }
    if !percentiles.is_sorted() || percentiles.iter().any(|percentile| !(0.0..=100.0).contains(percentile)) {
        return Err(RpcError::server("invalid reward percentile: each is 0 to 100, in rising order"));
    }
    let history = node.chain.fee_history(count.to(), newest, &percentiles);
    let mut object = Object::begin(out);
    object.quantity("oldestBlock", history.oldest);
    json::array(object.name("baseFeePerGas"), &history.base_fees, |out, fee| json::quantity(out, *fee));
    json::array(object.name("gasUsedRatio"), &history.gas_used_ratios, |out, ratio| {
        serde_json::to_writer(out, ratio).expect("a ratio is finite and a Vec always takes it");
    });
    json::array(object.name("baseFeePerBlobGas"), &history.blob_prices, |out, wei| json::quantity_wide(out, U256::from(*wei)));
    json::array(object.name("blobGasUsedRatio"), &history.blob_gas_used_ratios, |out, ratio| {
        serde_json::to_writer(out, ratio).expect("a ratio is finite and a Vec always takes it");
    });
    if !percentiles.is_empty() {
        json::array(object.name("reward"), &history.rewards, |out, tips| {
            json::array(out, tips, |out, tip| json::quantity_wide(out, U256::from(*tip)));
        });
    }
    object.end();
    Ok(())
}
