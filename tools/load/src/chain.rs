//! The chain's node through alloy: heads, nonces, balances, and whole blocks with their receipts.

use std::collections::HashMap;

use alloy::consensus::Transaction as _;
use alloy::primitives::{Address, B256, Bytes, U64, U256};
use alloy::rpc::client::RpcClient;
use alloy::rpc::json_rpc::{RpcRecv, RpcSend};
use alloy::rpc::types::{Block, TransactionReceipt};
use anyhow::{Context, bail};
use serde::Deserialize;

use crate::event::BlockSeen;
use crate::plan::Call;

/// Calls in one JSON-RPC batch; geth refuses more than 1,000.
const CALLS_PER_BATCH: usize = 200;

/// A transaction as a block holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mined {
    /// Transaction hash.
    pub(crate) hash: B256,
    /// Nonce of the sender.
    pub(crate) nonce: u64,
    /// Sender, recipient, value and input.
    pub(crate) call: Call,
    /// Whether the receipt says that it succeeded.
    pub(crate) success: bool,
}

/// A client of the node at `url`.
pub(crate) fn connect(url: &str) -> anyhow::Result<RpcClient> {
    let url = url.parse().with_context(|| format!("`{url}` is not an address"))?;
    Ok(RpcClient::new_http(url))
}

/// Number of the node's newest block.
pub(crate) async fn head(node: &RpcClient) -> anyhow::Result<u64> {
    let number: U64 = node.request_noparams("eth_blockNumber").await.context("eth_blockNumber")?;
    Ok(number.to())
}

/// The chain id.
pub(crate) async fn chain_id(node: &RpcClient) -> anyhow::Result<u64> {
    let id: U64 = node.request_noparams("eth_chainId").await.context("eth_chainId")?;
    Ok(id.to())
}

/// The price the node suggests, in wei.
pub(crate) async fn gas_price(node: &RpcClient) -> anyhow::Result<u128> {
    let price: U256 = node.request_noparams("eth_gasPrice").await.context("eth_gasPrice")?;
    u128::try_from(price).context("eth_gasPrice is beyond 128 bits")
}

/// What block `number` holds in sum; `seen_us` is when it was first seen.
pub(crate) async fn block_seen(node: &RpcClient, number: u64, seen_us: u64) -> anyhow::Result<BlockSeen> {
    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Header {
        transactions: Vec<B256>,
        gas_used: U64,
        gas_limit: U64,
    }
    let block: Option<Header> = node.request("eth_getBlockByNumber", (U64::from(number), false)).await.context("eth_getBlockByNumber")?;
    let block = block.with_context(|| format!("the node has no block {number} below its own head"))?;
    let transactions = block.transactions.len() as u64;
    Ok(BlockSeen { number, seen_us, transactions, gas_used: block.gas_used.to(), gas_limit: block.gas_limit.to() })
}

/// Whether there is code at each of `addresses`, in order.
pub(crate) async fn have_code(node: &RpcClient, addresses: &[Address]) -> anyhow::Result<Vec<bool>> {
    let params: Vec<_> = addresses.iter().map(|address| (*address, "latest")).collect();
    let codes: Vec<Bytes> = call_all(node, "eth_getCode", &params).await?;
    Ok(codes.iter().map(|code| !code.is_empty()).collect())
}

/// Makes one call for each element of `params`, in batches, and returns the results in order.
pub(crate) async fn call_all<P: RpcSend, R: RpcRecv>(node: &RpcClient, method: &'static str, params: &[P]) -> anyhow::Result<Vec<R>> {
    let mut results = Vec::with_capacity(params.len());
    for chunk in params.chunks(CALLS_PER_BATCH) {
        let mut batch = node.new_batch();
        let waiters = chunk.iter().map(|params| batch.add_call::<_, R>(method, params)).collect::<Result<Vec<_>, _>>().context(method)?;
        batch.send().await.context(method)?;
        for waiter in waiters {
            results.push(waiter.await.context(method)?);
        }
    }
    Ok(results)
}

/// Nonces of `addresses` in the newest block, in order.
pub(crate) async fn nonces(node: &RpcClient, addresses: &[Address]) -> anyhow::Result<Vec<u64>> {
    let params: Vec<_> = addresses.iter().map(|address| (*address, "latest")).collect();
    let nonces: Vec<U64> = call_all(node, "eth_getTransactionCount", &params).await?;
    Ok(nonces.into_iter().map(|nonce| nonce.to()).collect())
}

/// Balances of `addresses` in the newest block, in wei and in order.
pub(crate) async fn balances(node: &RpcClient, addresses: &[Address]) -> anyhow::Result<Vec<U256>> {
    let params: Vec<_> = addresses.iter().map(|address| (*address, "latest")).collect();
    call_all(node, "eth_getBalance", &params).await
}

/// All transactions of block `number`, in order, with what their receipts say.
pub(crate) async fn block(node: &RpcClient, number: u64) -> anyhow::Result<Vec<Mined>> {
    let block: Option<Block> = node.request("eth_getBlockByNumber", (U64::from(number), true)).await.context("eth_getBlockByNumber")?;
    let block = block.with_context(|| format!("the node has no block {number} below its own head"))?;
    if block.transactions.is_empty() {
        return Ok(Vec::new());
    }
    let receipts: Option<Vec<TransactionReceipt>> =
        node.request("eth_getBlockReceipts", (U64::from(number),)).await.context("eth_getBlockReceipts")?;
    let receipts = receipts.with_context(|| format!("the node has no receipts of block {number}"))?;
    let success: HashMap<B256, bool> = receipts.iter().map(|receipt| (receipt.transaction_hash, receipt.status())).collect();
    let transactions = block.transactions.as_transactions().context("the node gave hashes where whole transactions were asked for")?;
    let mut mined = Vec::with_capacity(transactions.len());
    for transaction in transactions {
        let hash = *transaction.inner.tx_hash();
        let Some(&success) = success.get(&hash) else { bail!("block {number} has no receipt of its transaction {hash}") };
        let call =
            Call { from: transaction.inner.signer(), to: transaction.to(), value: transaction.value(), input: transaction.input().clone() };
        mined.push(Mined { hash, nonce: transaction.nonce(), call, success });
    }
    Ok(mined)
}
