//! Submissions with blobs: proven, and on disk before what carries them is accepted (row A10).
//!
//! ```text
//!   submit ─► check, key, look-up ─► prove, on a thread for that ─► blobs on disk ─► shard ─► … accepted ─► Ok(id)
//!                                                                                       └─► not accepted: blobs dropped again
//! ```
//!
//! A proof takes a fifth of a second of CPU for each blob. So everything that can be refused without one is, a repeat has its id without one,
//! and no more than a few wait for theirs.
//!
//! **How it fails.** Too many proofs at once: busy, and nothing was accepted. Blobs of which nobody knows whether they were accepted stay;
//! the next start drops what no transaction has.

use storage::{Record, Store};
use uuid::Uuid;

use super::{End, Engine, Guard, RETRY_AFTER_MS, Round, Submission, SubmitError};
use crate::blobs::{Blobs, Sidecar};
use crate::readers::ReadError;
use crate::sabotage::{self, Sabotage};
use crate::shard::KeepOrder;
use crate::shard::mailbox::Mail;
use crate::txmgr::Accept;

/// Submissions whose blobs wait to be proven, at most: each may take a second and has up to 800 KiB.
pub(super) const PROOFS_WAITING: usize = 8;
/// Pause that a caller is asked for when as many wait, ms: a proof of all the blobs that a transaction may have.
const PROOF_RETRY_MS: u64 = 1_000;

impl<S: Store> Engine<S> {
    /// How many blobs a submission has; refuses what can be refused of them without a proof.
    pub(super) fn check_blobs(&self, submission: &Submission) -> Result<usize, String> {
        match submission.blobs.as_deref() {
            None if submission.request.blob_hashes().is_empty() => return Ok(0),
            None => return Err("blobs: missing beside blobVersionedHashes; a transaction is sent with its blobs: give them".into()),
            Some(Blobs::Given(given)) => given.check()?,
            Some(Blobs::Proven(sidecar)) if sidecar.has_cells() == self.inner.parts.blob_cells => {}
            Some(Blobs::Proven(_)) => return Err("blobs: proven otherwise than txmgr.blob_proofs says: prove them so".into()),
        }
        Ok(submission.blobs.as_ref().map_or(0, |blobs| blobs.count()))
    }

    async fn sidecar(&self, blobs: Blobs) -> Result<Sidecar, SubmitError> {
        let given = match blobs {
            Blobs::Proven(sidecar) => return Ok(sidecar),
            Blobs::Given(given) => given,
        };
        let cells = self.inner.parts.blob_cells;
        match self.inner.parts.provers.run(move |_| Sidecar::prove(&given, cells)).await {
            Ok(proven) => proven.map_err(SubmitError::Invalid),
            Err(ReadError::Busy) => Err(SubmitError::Busy { retry_after_ms: PROOF_RETRY_MS }),
            Err(ReadError::Closed) => Err(SubmitError::Closed),
        }
    }

    /// Proves the blobs of what is about to be accepted, has the requests name them, and puts them on disk. What has none passes; one of
    /// which that fails ends here.
    pub(super) async fn keep_blobs(&self, accepts: Vec<(usize, Accept)>, round: &mut Round<'_>, guard: &mut Guard) -> Vec<(usize, Accept)> {
        let mut kept = Vec::with_capacity(accepts.len());
        for (place, mut accept) in accepts {
            let found = round.blobs.iter().position(|(id, _)| *id == accept.id);
            let Some((_, blobs)) = found.map(|found| round.blobs.swap_remove(found)) else {
                kept.push((place, accept));
                continue;
            };
            match self.keep_blobs_of(&mut accept, blobs, &mut round.late).await {
                Ok(()) => {
                    round.kept.push((place, accept.id));
                    kept.push((place, accept));
                }
                Err(error) => round.end(place, &accept, Err(error), guard),
            }
        }
        kept
    }

    async fn keep_blobs_of(&self, accept: &mut Accept, blobs: Blobs, late: &mut Vec<Record>) -> Result<(), SubmitError> {
        let sidecar = self.sidecar(blobs).await?;
        let mut extras = accept.row.request.extras.take().unwrap_or_default();
        extras.blob_hashes = sidecar.hashes().to_vec();
        accept.row.request.extras = extras.boxed();
        let record = Record::Sidecar { id: accept.id, sidecar: sidecar.into_row() };
        if sabotage::on(Sabotage::SidecarNotAwaited) {
            late.push(record);
            return Ok(());
        }
        // Whether they are on disk or not: nothing was accepted.
        self.kept(record).await.map_err(|_| SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS })
    }

    /// Drops the blobs of what was not accepted for certain.
    pub(super) async fn drop_refused(&self, kept: Vec<(usize, Uuid)>, ends: &[Option<End>]) {
        for (place, id) in kept {
            if !matches!(ends[place], Some(Ok(_) | Err(SubmitError::Unknown)) | None) {
                // If it fails, the next start drops them.
                let _ = self.kept(Record::SidecarDropped { id }).await;
            }
        }
    }

    /// Puts a record on disk. Waits as long as the disk takes, but not for one that has failed.
    pub(super) async fn kept(&self, record: Record) -> Result<(), SubmitError> {
        let (reply, answer) = flume::bounded(1);
        // Any shard has a way to the writer.
        if !self.inner.parts.mailboxes[0].ask(Mail::Keep(Box::new(KeepOrder { record, reply }))) {
            return Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS });
        }
        answer.recv_async().await.unwrap_or(Err(SubmitError::Unknown))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::time::Duration;

    use alloy::eips::eip4844::BYTES_PER_BLOB;
    use alloy::primitives::{Address, B256, Bytes, U256};
    use storage::{Fees, Options, Request, RocksStore};

    use super::*;
    use crate::blobs::GivenBlobs;
    use crate::config::Config;
    use crate::engine::{Surroundings, assemble};
    use crate::keys::Keyring;
    use crate::metrics::Metrics;
    use crate::readers::Readers;

    fn with_a_blob(from: Address, gas: u64) -> Submission {
        let given = GivenBlobs { blobs: vec![Bytes::from(vec![0; BYTES_PER_BLOB])], ..GivenBlobs::default() };
        let (value, data) = (U256::ZERO, Bytes::new());
        let request = Request { from, to: Some(from), value, data, gas: Some(gas), fees: Fees::Market, extras: None };
        let blobs = Some(Box::new(Blobs::Given(given)));
        Submission { request, chain_id: None, idempotency_key: None, depends_on: Vec::new(), blobs }
    }

    #[test]
    fn no_more_than_may_wait_for_a_proof_and_neither_refusals_nor_reads_wait_for_one() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = RocksStore::open(directory.path(), &Options::default()).expect("a new store");
        let (readers, _) = Readers::threads("reader", store.clone(), 1, 4).expect("a reader");
        let (provers, _) = Readers::threads("prover", store.clone(), 1, 1).expect("a prover");
        let keys = Keyring::from_secrets(vec![B256::with_last_byte(1)]).expect("a key");
        let from = keys.addresses().next().expect("its address");
        let mut config = Config::default();
        config.node.url = "http://127.0.0.1:1".into();
        let surroundings = Surroundings {
            store,
            readers,
            provers: provers.clone(),
            signer: Arc::new(keys.clone()),
            keys,
            clock: Arc::new(|| Duration::from_secs(1)),
            salt: 0,
            metrics: Metrics::new(),
        };
        let engine = assemble(&config, 1, surroundings).expect("an engine without threads of its own").engine;
        let (begun, has_begun) = mpsc::channel();
        let (finish, finished) = mpsc::channel::<()>();
        let proof = provers.run(move |_| {
            begun.send(()).expect("the test waits");
            finished.recv().expect("the test lets it finish");
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut proof = std::pin::pin!(proof);
            assert!(futures_util::poll!(proof.as_mut()).is_pending());
            has_begun.recv().expect("the proof has begun");
            let mut waiting = std::pin::pin!(engine.submit(vec![with_a_blob(from, 21_000)]));
            assert!(futures_util::poll!(waiting.as_mut()).is_pending(), "it waits for the proof before it");
            assert_eq!(engine.submit(vec![with_a_blob(from, 21_000)]).await, [Err(SubmitError::Busy { retry_after_ms: PROOF_RETRY_MS })]);
            let refused = engine.submit(vec![with_a_blob(from, 20_999)]).await;
            assert!(matches!(&refused[..], [Err(SubmitError::Invalid(why))] if why.contains("20999")), "{refused:?}");
            assert_eq!(engine.readers().run(|_| 7).await, Ok(7));
            finish.send(()).expect("the proof waits");
            proof.await.expect("the prover answers");
        });
    }
}
