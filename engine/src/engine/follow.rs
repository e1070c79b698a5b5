//! What a caller of the engine can wait for: a signature, and the moment in which a transaction gets its nonce.

use alloy::primitives::{Address, B256, Signature};
use storage::{Store, StoreError, read};
use uuid::Uuid;

use super::{Engine, RETRY_AFTER_MS, SubmitError};
use crate::keys::{Answer, SignError};
use crate::shard::Watch;
use crate::shard::mailbox::Mail;

/// What has become of an accepted transaction, as far as its sender waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is bound, on disk: the hash of its newest attempt.
    Bound(B256),
    /// It has ended as failed: why.
    Failed(String),
}

impl<S: Store> Engine<S> {
    /// Signs a digest with the key of an address. For what is no transaction: only the shards sign those.
    ///
    /// # Errors
    /// No key here, or a signer that fails, signs with another key or takes longer than `keys.sign_timeout_ms`.
    pub async fn sign(&self, address: &Address, digest: &B256) -> Result<Signature, SignError> {
        let parts = &self.inner.parts;
        let promise = match parts.signer.sign(address, digest) {
            Answer::Now(signed) => return signed,
            Answer::Later(promise) => promise,
        };
        let limit = parts.sign_timeout;
        let signature = tokio::time::timeout(limit, promise).await.map_err(|_| SignError::TimedOut(limit))??;
        match signature.recover_address_from_prehash(digest) {
            Ok(signed_by) if signed_by == *address => Ok(signature),
            _ => Err(SignError::Stranger { expected: *address }),
        }
    }

    /// Waits until an accepted transaction of this address is bound or has failed. Nothing limits its time: whoever drops it changes nothing.
    ///
    /// # Errors
    /// The disk cannot be read now, or too many wait already.
    pub async fn settled(&self, from: &Address, id: Uuid) -> Result<Settled, SubmitError> {
        // Nearly always so: what can be sent is bound by the record that accepts it.
        if let Some(settled) = self.read_settled(id).await? {
            return Ok(settled);
        }
        let (reply, told) = flume::bounded(2);
        let busy = || SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS };
        if !self.mailbox(from).ask(Mail::Watch(Watch { id, reply })) {
            return Err(busy());
        }
        told.recv_async().await.map_err(|_| busy())?;
        loop {
            if let Some(settled) = self.read_settled(id).await? {
                return Ok(settled);
            }
            told.recv_async().await.map_err(|_| SubmitError::Closed)?;
        }
    }

    async fn read_settled(&self, id: Uuid) -> Result<Option<Settled>, SubmitError> {
        let look = move |store: &S| -> Result<Option<Settled>, StoreError> {
            if let Some(failure) = read::failures(store, &[id])?.pop().flatten() {
                return Ok(Some(Settled::Failed(failure.reason)));
            }
            Ok(read::attempts(store, id)?.last().map(|attempt| Settled::Bound(attempt.hash)))
        };
        match self.readers().run(look).await {
            Ok(Ok(settled)) => Ok(settled),
            Ok(Err(_)) | Err(_) => Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS }),
        }
    }
}
