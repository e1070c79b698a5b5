//! Submissions with blobs: proven, and on disk before what carries them is accepted (row A10).
//!
//! ```text
//!   submit ─► prove, on a reader ─► check, key, look-up ─► blobs on disk ─► shard ─► … accepted ─► Ok(id)
//!                                                                             └─► not accepted: blobs dropped again
//! ```
//!
//! **How it fails.** Blobs of which nobody knows whether they were accepted stay; the next start drops what no transaction has.

use storage::{Record, Store};
use uuid::Uuid;

use super::{End, Engine, Guard, RETRY_AFTER_MS, Round, Submission, SubmitError};
use crate::blobs::{Blobs, Sidecar};
use crate::sabotage::{self, Sabotage};
use crate::shard::KeepOrder;
use crate::shard::mailbox::Mail;
use crate::txmgr::Accept;

/// True for one that carries blobs, or says so.
pub(super) fn carries(submission: &Submission) -> bool {
    submission.blobs.is_some() || !submission.request.blob_hashes().is_empty()
}

impl<S: Store> Engine<S> {
    /// Proves the blobs of those that have any, and has the requests name them; what cannot be proven ends here.
    pub(super) async fn prove(&self, submissions: Vec<(usize, Submission)>, ends: &mut [Option<End>]) -> Vec<(usize, Submission)> {
        let mut proven = Vec::with_capacity(submissions.len());
        for (place, mut submission) in submissions {
            // What no key signs for ends without the work of a proof.
            if !carries(&submission) || !self.signs_for(&submission.request.from) {
                proven.push((place, submission));
                continue;
            }
            match self.sidecar(submission.blobs.take()).await {
                Ok(sidecar) => {
                    let mut extras = submission.request.extras.take().unwrap_or_default();
                    extras.blob_hashes = sidecar.hashes().to_vec();
                    submission.request.extras = extras.boxed();
                    submission.blobs = Some(Box::new(Blobs::Proven(sidecar)));
                    proven.push((place, submission));
                }
                Err(error) => ends[place] = Some(Err(error)),
            }
        }
        proven
    }

    async fn sidecar(&self, blobs: Option<Box<Blobs>>) -> Result<Sidecar, SubmitError> {
        let cells = self.inner.parts.blob_cells;
        match blobs.map(|blobs| *blobs) {
            None => Err(SubmitError::Invalid(
                "blobs: missing beside blobVersionedHashes; a transaction is sent with its blobs: give them".into(),
            )),
            Some(Blobs::Proven(sidecar)) if sidecar.has_cells() == cells => Ok(sidecar),
            Some(Blobs::Proven(_)) => {
                Err(SubmitError::Invalid("blobs: proven otherwise than txmgr.blob_proofs says: prove them so".into()))
            }
            Some(Blobs::Given(given)) => match self.inner.parts.readers.run(move |_| Sidecar::prove(&given, cells)).await {
                Ok(proven) => proven.map_err(SubmitError::Invalid),
                Err(_) => Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS }),
            },
        }
    }

    /// Puts the blobs of what is about to be accepted on disk. What has none passes; one whose blobs are not there ends here.
    pub(super) async fn keep_blobs(&self, accepts: Vec<(usize, Accept)>, round: &mut Round<'_>, guard: &mut Guard) -> Vec<(usize, Accept)> {
        let mut kept = Vec::with_capacity(accepts.len());
        for (place, accept) in accepts {
            let found = round.blobs.iter().position(|(id, _)| *id == accept.id);
            let Some((id, sidecar)) = found.map(|found| round.blobs.swap_remove(found)) else {
                kept.push((place, accept));
                continue;
            };
            let record = Record::Sidecar { id, sidecar: sidecar.into_row() };
            if sabotage::on(Sabotage::SidecarNotAwaited) {
                round.late.push(record);
                kept.push((place, accept));
            } else if self.kept(record).await.is_ok() {
                round.kept.push((place, id));
                kept.push((place, accept));
            } else {
                // Whether they are on disk or not: nothing was accepted.
                let end = Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS });
                if let Some(key) = &accept.row.idempotency_key {
                    guard.release(key, &end);
                }
                round.ends[place] = Some(end);
            }
        }
        kept
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

    /// Puts a record on disk, however long that takes.
    pub(super) async fn kept(&self, record: Record) -> Result<(), SubmitError> {
        let (reply, answer) = flume::bounded(1);
        // Any shard has a way to the writer.
        if !self.inner.parts.mailboxes[0].ask(Mail::Keep(Box::new(KeepOrder { record, reply }))) {
            return Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS });
        }
        answer.recv_async().await.unwrap_or(Err(SubmitError::Unknown))
    }
}
