//! What became of a transaction, by any hash that was ever bound, and the next nonce of an address.
//!
//! A transaction that is priced up has several hashes, of which one is mined. A client knows the first. So a hash of ours is turned into the
//! one that was mined, or into that of the newest attempt, and the node is asked about that one.
//!
//! **How it fails.** A receipt is never told of a transaction that only closed the nonce: the request it was made for has failed, and that is an
//! error with the reason. Where a node lags behind the engine, a transaction is told from the engine's own bytes.

use alloy::consensus::Transaction as _;
use alloy::consensus::TxEnvelope;
use alloy::consensus::transaction::{Recovered, SignerRecoverable};
use alloy::eips::Decodable2718;
use alloy::primitives::{Address, B256, U64};
use alloy::rpc::types::Transaction;
use serde_json::value::RawValue;
use storage::{AttemptRow, Store};

use super::{Facade, json};
use crate::api::params::{address, fixed, given, parse, single};
use crate::jsonrpc::error::RpcError;
use crate::jsonrpc::quantity::Text;
use crate::view::TransactionView;

/// The code of a transaction that will never be mined.
const FAILED: i32 = -32000;

impl<S: Store> Facade<S> {
    /// `eth_getTransactionCount([address, block])`.
    pub(super) async fn transaction_count(&self, params: Option<&RawValue>) -> Result<Box<RawValue>, RpcError> {
        const USAGE: &str = "[address, block]";
        let asked = parse::<Vec<&RawValue>>(given(params, USAGE)?).unwrap_or_default();
        if let [of, block] = asked[..]
            && block.get() == "\"pending\""
        {
            let of = parse::<Text<'_>>(of.get()).map_err(|error| RpcError::params(format!("params: {error}; write {USAGE}")))?;
            let of = address("address", &of.0)?;
            if self.engine.signs_for(&of) {
                return json(U64::from(self.next_nonce(of).await?));
            }
        }
        self.upstream.call("eth_getTransactionCount", params).await
    }

    /// The nonce that the next transaction of an address gets: behind all that is bound, and all that waits.
    ///
    /// As long as the engine has had no reason to ask the chain since its start, or is asking it again, the chain is asked here, and the rule is the
    /// one by which the engine will decide: the greater one of the chain's count at its newest block and what is bound. The node's pool has no say,
    /// since it may have lost what is bound, or hold what others have signed.
    ///
    /// # Errors
    /// A shard that is busy; a node that is needed and does not answer.
    pub(super) async fn next_nonce(&self, of: Address) -> Result<u64, RpcError> {
        let view = self.engine.address(of).await?;
        let next = match view.next_nonce {
            Some(next) => next,
            None => self.chain_count(of).await?.max(view.next_nonce_at_least),
        };
        Ok(next + view.waiting)
    }

    async fn chain_count(&self, of: Address) -> Result<u64, RpcError> {
        let params = json((of, "latest"))?;
        let count = self.upstream.call("eth_getTransactionCount", Some(&params)).await?;
        serde_json::from_str::<U64>(count.get()).map(|count| count.to()).map_err(RpcError::internal)
    }

    /// `eth_getTransactionByHash([hash])`.
    pub(super) async fn transaction_by_hash(&self, params: Option<&RawValue>) -> Result<Box<RawValue>, RpcError> {
        let Some(ours) = self.ours(params).await? else { return self.upstream.call("eth_getTransactionByHash", params).await };
        let mined = ours.receipt.as_ref().map(|receipt| receipt.transaction_hash);
        let newest = ours.attempts.iter().rfind(|attempt| attempt.closing.is_none()).or(ours.attempts.last());
        let Some(hash) = mined.or(newest.map(|attempt| attempt.hash)) else { return json(()) };
        let found = self.upstream.call("eth_getTransactionByHash", Some(&*json([hash])?)).await;
        match found {
            Ok(found) if found.get() != "null" => Ok(found),
            // The node has not got it, or not yet; it exists all the same.
            Ok(_) => json(ours.attempts.iter().find(|attempt| attempt.hash == hash).and_then(|attempt| told(&ours, attempt))),
            Err(error) => Err(error),
        }
    }

    /// `eth_getTransactionReceipt([hash])`.
    pub(super) async fn transaction_receipt(&self, params: Option<&RawValue>) -> Result<Box<RawValue>, RpcError> {
        const METHOD: &str = "eth_getTransactionReceipt";
        let Some(ours) = self.ours(params).await? else { return self.upstream.call(METHOD, params).await };
        if let Some(failure) = &ours.failure {
            let message = format!("transaction {} was given up and will not be mined: {}", ours.id, failure.reason);
            return Err(RpcError::new(FAILED, message));
        }
        let Some(receipt) = &ours.receipt else { return json(()) };
        let mined = ours.attempts.iter().find(|attempt| attempt.hash == receipt.transaction_hash);
        if mined.is_some_and(|attempt| attempt.closing.is_some()) {
            // What took its nonce is not final yet; then it has failed.
            return json(());
        }
        self.upstream.call(METHOD, Some(&*json([receipt.transaction_hash])?)).await
    }

    /// The transaction of ours that has this hash among its attempts.
    async fn ours(&self, params: Option<&RawValue>) -> Result<Option<TransactionView>, RpcError> {
        let text = single::<Text<'_>>(params, "[hash]")?;
        let hash = B256::from(fixed("hash", &text.0, "a transaction hash: write 0x and 64 hexadecimal digits")?);
        let required = self.required_confirmations;
        let look = move |store: &S| match storage::read::by_hash(store, &hash)? {
            Some(entry) => TransactionView::read(store, entry.id, required),
            None => Ok(None),
        };
        Ok(self.engine.readers().run(look).await??)
    }
}

/// An attempt of ours as a node would tell it.
fn told(ours: &TransactionView, attempt: &AttemptRow) -> Option<Transaction> {
    let envelope = TxEnvelope::decode_2718(&mut attempt.raw.as_ref()).ok()?;
    let receipt = ours.receipt.as_ref().filter(|receipt| receipt.transaction_hash == attempt.hash);
    let effective_gas_price = receipt.map(|receipt| receipt.effective_gas_price).or(envelope.gas_price());
    let signer = envelope.recover_signer().ok()?;
    Some(Transaction {
        inner: Recovered::new_unchecked(envelope, signer),
        block_hash: receipt.map(|receipt| receipt.block_hash),
        block_number: receipt.map(|receipt| receipt.block_number),
        transaction_index: receipt.map(|receipt| receipt.transaction_index),
        effective_gas_price,
        block_timestamp: None,
    })
}
