//! `eth_sendTransaction` and `eth_sendRawTransaction`.
//!
//! **How it fails.** What cannot be taken is refused before anything is accepted. Once a transaction is accepted it is on disk: an error after
//! that names its id, and says that it must not be sent again.

use std::time::Duration;

use alloy::consensus::TxEnvelope;
use alloy::consensus::transaction::SignerRecoverable;
use alloy::eips::Decodable2718;
use alloy::primitives::{Address, B256, Bytes};
use serde::Deserialize;
use serde_json::value::RawValue;
use storage::{Fees, Store, StoreError, read};
use tokio::time::timeout;

use super::Facade;
use crate::api::params::{TransactionParams, single};
use crate::config::{GivenFees, GivenNonces};
use crate::engine::{Settled, Submission};
use crate::jsonrpc::error::{OUTCOME_UNKNOWN, RpcError};
use crate::jsonrpc::quantity::{Quantity, Text, shortened};

/// The code that nodes use for a transaction they do not take.
const REJECTED: i32 = -32000;

/// A transaction as Ethereum clients write it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct EthTransaction<'a> {
    #[serde(borrow)]
    from: Option<Text<'a>>,
    #[serde(borrow)]
    to: Option<Text<'a>>,
    #[serde(borrow)]
    value: Option<Quantity<'a>>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    #[serde(borrow)]
    input: Option<Text<'a>>,
    #[serde(borrow)]
    gas: Option<Quantity<'a>>,
    #[serde(borrow)]
    gas_price: Option<Quantity<'a>>,
    #[serde(borrow)]
    max_fee_per_gas: Option<Quantity<'a>>,
    #[serde(borrow)]
    max_priority_fee_per_gas: Option<Quantity<'a>>,
    #[serde(borrow)]
    chain_id: Option<Quantity<'a>>,
    #[serde(borrow)]
    nonce: Option<Quantity<'a>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Quantity<'a>>,
    #[serde(borrow)]
    access_list: Option<&'a RawValue>,
    #[serde(borrow)]
    blobs: Option<&'a RawValue>,
    #[serde(borrow)]
    commitments: Option<&'a RawValue>,
    #[serde(borrow)]
    proofs: Option<&'a RawValue>,
    #[serde(borrow)]
    blob_versioned_hashes: Option<&'a RawValue>,
    #[serde(borrow)]
    max_fee_per_blob_gas: Option<&'a RawValue>,
}

impl EthTransaction<'_> {
    /// What the engine takes, and the nonce that was given.
    fn read(self, fees: GivenFees) -> Result<(Submission, Option<u64>), RpcError> {
        let kind = self.kind.as_ref().map(|kind| kind.u64("type")).transpose()?;
        match kind {
            None | Some(0 | 2) => {}
            Some(1) if self.gas_price.is_some() => {}
            Some(1) => return Err(RpcError::params("type: 1 is priced by gasPrice, which is missing; give it, or leave the type out")),
            Some(3) if self.blobs.is_some() => {}
            Some(3) => return Err(RpcError::params("type: 3 is sent with blobs, which are missing; give them, or leave the type out")),
            Some(kind) => {
                return Err(RpcError::params(format!("type: {kind} is not carried by this method; send 0x0 to 0x3, or leave it out")));
            }
        }
        let nonce = self.nonce.as_ref().map(|nonce| nonce.u64("nonce")).transpose()?;
        let mut submission = TransactionParams {
            from: self.from,
            to: self.to,
            value: self.value,
            data: self.data,
            input: self.input,
            gas: self.gas,
            gas_price: self.gas_price,
            max_fee_per_gas: self.max_fee_per_gas,
            max_priority_fee_per_gas: self.max_priority_fee_per_gas,
            chain_id: self.chain_id,
            access_list: self.access_list,
            blobs: self.blobs,
            commitments: self.commitments,
            proofs: self.proofs,
            blob_versioned_hashes: self.blob_versioned_hashes,
            max_fee_per_blob_gas: self.max_fee_per_blob_gas,
            ..TransactionParams::default()
        }
        .submission()?;
        if fees == GivenFees::Ignore {
            submission.request.fees = Fees::Market;
        }
        Ok((submission, nonce))
    }
}

impl<S: Store> Facade<S> {
    /// `eth_sendTransaction([tx])`: the hash of what was bound for it.
    pub(super) async fn send(&self, params: Option<&RawValue>) -> Result<B256, RpcError> {
        let (mut submission, nonce) = single::<EthTransaction<'_>>(params, "[transaction]")?.read(self.config.fees)?;
        let from = submission.request.from;
        if let (Some(nonce), GivenNonces::Check) = (nonce, self.config.nonces) {
            submission.idempotency_key = Some(self.nonce_key(from, nonce).await?);
        }
        let ended = self.engine.submit(vec![submission]).await.pop();
        let id = ended.unwrap_or(Err(crate::engine::SubmitError::Unknown))?;
        let limit = Duration::from_millis(self.config.bind_timeout_ms);
        let kept = |why: String| {
            let message =
                format!("transaction {id} is accepted and on disk, but {why}: do not send it again, follow it with ptx_getTransaction");
            RpcError::new(OUTCOME_UNKNOWN, message)
        };
        match timeout(limit, self.engine.settled(&from, id)).await {
            Ok(Ok(Settled::Bound(hash))) => Ok(hash),
            Ok(Ok(Settled::Failed(reason))) => Err(RpcError::new(REJECTED, reason)),
            Ok(Err(error)) => Err(kept(format!("its hash is not known ({error})"))),
            Err(_) => Err(kept(format!("has no nonce yet after {} ms (facade.bind_timeout_ms)", limit.as_millis()))),
        }
    }

    /// The idempotency key of a nonce that the client counts: the next one, or one it has given before, whose transaction the key then finds.
    ///
    /// A transaction that has failed before it was bound has used no nonce: what comes with the same one is a new transaction, with a key of its
    /// own. So of all the keys of a nonce at most one, the last, belongs to a transaction that has taken it or will.
    async fn nonce_key(&self, from: Address, nonce: u64) -> Result<String, RpcError> {
        let first = format!("{from:#x}/{nonce}");
        let look = move |store: &S| last_send(store, first);
        let (key, sent) = self.engine.readers().run(look).await??;
        if sent == Some(Used::Yes) {
            return Ok(key.text());
        }
        let next = self.next_nonce(from).await?;
        if next == nonce {
            return Ok(if sent.is_some() { key.next() } else { key }.text());
        }
        let message = format!(
            "nonce {nonce} is not the next one of {from}, which is {next}: leave it out, or ask eth_getTransactionCount at pending"
        );
        Err(RpcError::new(REJECTED, message))
    }

    /// `eth_sendRawTransaction([bytes])`: passed on, unless it is signed by a managed key.
    pub(super) async fn send_raw(&self, params: Option<&RawValue>) -> Result<Box<RawValue>, RpcError> {
        let raw = single::<Text<'_>>(params, "[bytes]")?;
        let bytes: Bytes = raw.0.parse().map_err(|_| {
            RpcError::params(format!("bytes: \"{}\" is not hexadecimal; write 0x and two digits for each byte", shortened(&raw.0)))
        })?;
        // What cannot be read is for the node to refuse: nothing of ours can be in it.
        let signer = TxEnvelope::decode_2718(&mut bytes.as_ref()).ok().and_then(|envelope| envelope.recover_signer().ok());
        if let Some(signer) = signer.filter(|signer| self.engine.signs_for(signer)) {
            return Err(RpcError::params(format!(
                "the transaction is signed by {signer}, whose nonces this engine gives: send it with eth_sendTransaction"
            )));
        }
        self.upstream.call("eth_sendRawTransaction", params).await
    }
}

/// The idempotency keys of a nonce: `ADDRESS/NONCE`, and behind it the number of the try from the second one on.
struct NonceKey {
    first: String,
    /// From 1.
    attempt: u64,
}

impl NonceKey {
    fn text(&self) -> String {
        match self.attempt {
            1 => self.first.clone(),
            // As many digits as the greatest number has, so that the order of the keys is that of the tries.
            attempt => format!("{}/{attempt:020}", self.first),
        }
    }

    fn next(self) -> Self {
        Self { attempt: self.attempt.saturating_add(1), ..self }
    }
}

/// Whether a transaction has its nonce, or may get one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Used {
    Yes,
    /// It has failed before it was bound.
    Never,
}

/// The last key of a nonce that a transaction has, and what became of that; the first one, where none has.
fn last_send(store: &impl Store, first: String) -> Result<(NonceKey, Option<Used>), StoreError> {
    let retried = read::last_key_with_prefix(store, &format!("{first}/"))?;
    let attempt = retried.as_ref().and_then(|(key, _)| key[first.len() + 1..].parse().ok());
    let (key, id) = match (attempt, retried) {
        (Some(attempt), Some((_, id))) => (NonceKey { first, attempt }, Some(id)),
        _ => {
            let id = read::by_key(store, &first)?.map(|(id, _)| id);
            (NonceKey { first, attempt: 1 }, id)
        }
    };
    let Some(id) = id else { return Ok((key, None)) };
    let failed = read::failures(store, &[id])?.pop().flatten().is_some();
    let used = if failed && read::attempts(store, id)?.is_empty() { Used::Never } else { Used::Yes };
    Ok((key, Some(used)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(members: &str) -> Result<Submission, RpcError> {
        let address = "0x00000000000000000000000000000000000000aa";
        let text = format!(r#"{{"from":"{address}","to":"{address}"{members}}}"#);
        let transaction: EthTransaction<'_> = serde_json::from_str(&text).expect("a transaction");
        transaction.read(GivenFees::Fixed).map(|(submission, _)| submission)
    }

    #[test]
    fn an_access_list_is_carried_and_a_type_that_does_not_fit_is_refused_by_name() {
        let listed = r#","accessList":[{"address":"0x00000000000000000000000000000000000000aa","storageKeys":[]}]"#;
        let submission = read(&format!(r#","type":"0x1","gasPrice":"0x7"{listed}"#)).expect("a transaction");
        assert_eq!(submission.request.extras.expect("extras").access_list.0.len(), 1);
        for members in ["", r#","type":"0x0","accessList":null"#, r#","type":"0x2","accessList":[]"#] {
            assert_eq!(read(members).expect(members).request.extras, None);
        }
        for (members, shown) in [
            (r#","type":"0x1""#, "type: 1"),
            (r#","type":"0x3""#, "type: 3"),
            (r#","type":"0x4""#, "type: 4"),
            (r#","accessList":[{"address":"0x"}]"#, "accessList"),
            (r#","blobVersionedHashes":[]"#, "blobs: missing beside blobVersionedHashes"),
            (r#","blobs":["0x0"]"#, "blobs[0]"),
            (r#","blobs":["0x00"],"maxFeePerBlobGas":"0x1""#, "maxFeePerBlobGas"),
        ] {
            let error = read(members).expect_err(members);
            assert!(error.message.starts_with(shown), "{error:?}");
        }
    }
}
