//! A call of [`Engine::submit`], in rounds: what is admitted in one goes to its shards, and what has to wait for another one's key comes again
//! in the next.
//!
//! ```text
//!         ┌───────────────────── their keys were reserved by other bodies, which did not get them ◄────────────────────┐
//!         ▼                                                                                                            │
//! submissions ─► admit: check, reserve the key ─► look_up: the key on disk ─► keep_blobs ─► hand_over ─► shards ─► finish ─► ends
//! ```

use std::sync::Arc;

use alloy::primitives::{B256, keccak256};
use storage::{Fees, Record, Request, Store, TransactionRow, read};
use uuid::Uuid;

use super::control::Dependencies;
use super::reservations::{Guard, Reserved};
use super::{Engine, RETRY_AFTER_MS, Submission, SubmitError};
use crate::blobs::Blobs;
use crate::sabotage::{self, Sabotage};
use crate::shard::{SubmitBatch, shard_of};
use crate::txmgr::Accept;
use crate::txmgr::check::check;

pub(super) type End = Result<Uuid, SubmitError>;

/// The answers of one call, as they come in.
pub(super) struct Round<'a> {
    pub(super) ends: &'a mut [Option<End>],
    shards: Vec<(Vec<usize>, flume::Receiver<Vec<End>>)>,
    joined: Vec<(usize, flume::Receiver<End>)>,
    others: Vec<(usize, Submission, flume::Receiver<End>)>,
    /// Blobs of what was admitted.
    pub(super) blobs: Vec<(Uuid, Blobs)>,
    /// Whose blobs are on disk.
    pub(super) kept: Vec<(usize, Uuid)>,
    /// Blobs that go to the disk too late: a mistake made on purpose.
    pub(super) late: Vec<Record>,
}

impl<'a> Round<'a> {
    const fn new(ends: &'a mut [Option<End>]) -> Self {
        Self { ends, shards: Vec::new(), joined: Vec::new(), others: Vec::new(), blobs: Vec::new(), kept: Vec::new(), late: Vec::new() }
    }
}

impl Round<'_> {
    /// One ends before a shard has it: its key is free again.
    pub(super) fn end(&mut self, place: usize, accept: &Accept, end: End, guard: &mut Guard) {
        if let Some(key) = &accept.row.idempotency_key {
            guard.release(key, &end);
        }
        self.ends[place] = Some(end);
    }

    /// Waits for all answers; gives back what has to be tried again.
    async fn finish(self) -> Vec<(usize, Submission)> {
        for (places, answers) in self.shards {
            // A shard that has gone took the answers along: they may be on disk or not.
            let mut answers = answers.recv_async().await.unwrap_or_default().into_iter();
            for place in places {
                self.ends[place] = Some(answers.next().unwrap_or(Err(SubmitError::Unknown)));
            }
        }
        for (place, end) in self.joined {
            self.ends[place] = Some(end.recv_async().await.unwrap_or(Err(SubmitError::Unknown)));
        }
        let mut again = Vec::new();
        for (place, submission, end) in self.others {
            match end.recv_async().await {
                Ok(Ok(existing)) => self.ends[place] = Some(Err(SubmitError::Conflict { existing })),
                Ok(Err(_)) => again.push((place, submission)),
                Err(_) => self.ends[place] = Some(Err(SubmitError::Unknown)),
            }
        }
        again
    }
}

impl<S: Store> Engine<S> {
    /// Submits; each ends on its own, in the order given. `Ok`: that id is on disk.
    pub async fn submit(&self, submissions: Vec<Submission>) -> Vec<Result<Uuid, SubmitError>> {
        let mut ends = vec![None; submissions.len()];
        let dependencies = self.dependencies(&submissions).await;
        let mut open: Vec<(usize, Submission)> = submissions.into_iter().enumerate().collect();
        open.retain(|(place, submission)| match dependencies.of(submission) {
            Ok(_) => true,
            Err(error) => {
                ends[*place] = Some(Err(error));
                false
            }
        });
        // A further round is only for those whose key was reserved by another body that then did not get it.
        while !open.is_empty() {
            open = self.round(open, &dependencies, &mut ends).await;
        }
        let busy = ends.iter().filter(|end| matches!(end, Some(Err(SubmitError::Busy { .. })))).count();
        self.inner.parts.metrics.busy.increment(busy as u64);
        ends.into_iter().map(|end| end.unwrap_or(Err(SubmitError::Unknown))).collect()
    }

    async fn round(
        &self,
        submissions: Vec<(usize, Submission)>,
        dependencies: &Dependencies,
        ends: &mut [Option<End>],
    ) -> Vec<(usize, Submission)> {
        let mut round = Round::new(&mut *ends);
        let mut guard = Guard::new(Arc::clone(&self.inner.parts.reservations));
        let accepts = self.admit(submissions, dependencies, &mut round, &mut guard);
        let accepts = self.look_up(accepts, &mut round, &mut guard).await;
        // On the heap: hardly any call carries blobs.
        let accepts = if round.blobs.is_empty() { accepts } else { Box::pin(self.keep_blobs(accepts, &mut round, &mut guard)).await };
        self.hand_over(accepts, &mut round, &mut guard);
        // Whoever waits for a key of this list, itself included, must not wait for the list.
        drop(guard);
        let (kept, late) = (std::mem::take(&mut round.kept), std::mem::take(&mut round.late));
        let again = round.finish().await;
        if !kept.is_empty() {
            Box::pin(self.drop_refused(kept, ends)).await;
        }
        for record in late {
            let _ = Box::pin(self.kept(record)).await;
        }
        again
    }

    /// Checks each submission and reserves its key. What remains is to be looked up and handed to its shard.
    fn admit(
        &self,
        submissions: Vec<(usize, Submission)>,
        dependencies: &Dependencies,
        round: &mut Round<'_>,
        guard: &mut Guard,
    ) -> Vec<(usize, Accept)> {
        let parts = &self.inner.parts;
        let now = (parts.clock)();
        let accepted_at = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        let mut accepts = Vec::with_capacity(submissions.len());
        for (place, submission) in submissions {
            if let Err(error) = self.check(&submission) {
                round.ends[place] = Some(Err(error));
                continue;
            }
            let body_hash = body_hash(&submission);
            if let Some(key) = &submission.idempotency_key {
                match guard.reserve(key, body_hash) {
                    Reserved::Ours => {}
                    Reserved::Joined(end) => {
                        round.joined.push((place, end));
                        continue;
                    }
                    Reserved::Other(end) => {
                        round.others.push((place, submission, end));
                        continue;
                    }
                    Reserved::Unknown => {
                        round.ends[place] = Some(Err(SubmitError::Unknown));
                        continue;
                    }
                }
            }
            let id = parts.ids.next(now);
            // Looked up before the first round.
            let depends_on = dependencies.of(&submission).unwrap_or_default();
            if let Some(blobs) = submission.blobs {
                round.blobs.push((id, *blobs));
            }
            let row = TransactionRow { depends_on, ..TransactionRow::new(submission.request, submission.idempotency_key, accepted_at) };
            accepts.push((place, Accept { id, row, body_hash }));
        }
        accepts
    }

    fn check(&self, submission: &Submission) -> Result<(), SubmitError> {
        let from = submission.request.from;
        if !self.inner.parts.keys.contains(&from) {
            return Err(SubmitError::Invalid(format!(
                "unknown signer {from}: no key of this engine signs for it; add its key or correct `from`"
            )));
        }
        let blobs = self.check_blobs(submission).map_err(SubmitError::Invalid)?;
        check(&submission.request, blobs, submission.chain_id, self.chain_id().or(self.inner.parts.chain_id)).map_err(SubmitError::Invalid)
    }

    /// Asks the disk for the keys: a repeat gets the id it got, another body is a conflict.
    async fn look_up(&self, accepts: Vec<(usize, Accept)>, round: &mut Round<'_>, guard: &mut Guard) -> Vec<(usize, Accept)> {
        let keys: Vec<String> = accepts.iter().filter_map(|(_, accept)| accept.row.idempotency_key.clone()).collect();
        if keys.is_empty() || sabotage::on(Sabotage::KeyNotLookedUp) {
            return accepts;
        }
        let found = self.inner.parts.readers.run(move |store| {
            let keys: Vec<Vec<u8>> = keys.into_iter().map(String::into_bytes).collect();
            read::by_keys(store, &keys)
        });
        let mut found = match found.await {
            Ok(Ok(found)) => found.into_iter(),
            Ok(Err(_)) | Err(_) => {
                let end = Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS });
                for (place, accept) in accepts {
                    round.end(place, &accept, end.clone(), guard);
                }
                return Vec::new();
            }
        };
        let mut new = Vec::with_capacity(accepts.len());
        for (place, accept) in accepts {
            let existing = accept.row.idempotency_key.as_ref().and_then(|_| found.next().flatten());
            let Some((existing, body_hash)) = existing else {
                new.push((place, accept));
                continue;
            };
            let end = if body_hash == accept.body_hash || sabotage::on(Sabotage::ConflictUnseen) {
                Ok(existing)
            } else {
                Err(SubmitError::Conflict { existing })
            };
            round.end(place, &accept, end, guard);
        }
        new
    }

    /// Gives each shard its part. From here on the shards release the keys.
    fn hand_over(&self, accepts: Vec<(usize, Accept)>, round: &mut Round<'_>, guard: &mut Guard) {
        let mailboxes = &self.inner.parts.mailboxes;
        let mut parts: Vec<(Vec<usize>, Vec<Accept>)> = mailboxes.iter().map(|_| (Vec::new(), Vec::new())).collect();
        for (place, accept) in accepts {
            let (places, items) = &mut parts[shard_of(&accept.row.request.from, mailboxes.len())];
            places.push(place);
            items.push(accept);
        }
        for (mailbox, (places, items)) in mailboxes.iter().zip(parts) {
            if items.is_empty() {
                continue;
            }
            let keys: Vec<String> = items.iter().filter_map(|item| item.row.idempotency_key.clone()).collect();
            let (reply, answers) = flume::bounded(1);
            match mailbox.submit(SubmitBatch { items, reply }) {
                Ok(()) => {
                    if sabotage::on(Sabotage::KeyReleasedEarly) {
                        keys.iter().for_each(|key| guard.release(key, &Err(SubmitError::Unknown)));
                    }
                    guard.handed_over(&keys);
                    round.shards.push((places, answers));
                }
                Err(batch) => {
                    let busy = SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS };
                    for (place, item) in places.into_iter().zip(batch.items) {
                        round.end(place, &item, Err(busy.clone()), guard);
                    }
                }
            }
        }
    }
}

/// Digest of what a request asks for: tells a repeat from a conflict. It is stored, so its layout never changes: what is
/// added to a request later is appended, and only where it is not the default.
fn body_hash(submission: &Submission) -> B256 {
    let (request, blobs) = (&submission.request, submission.blobs.as_deref());
    let mut bytes = Vec::with_capacity(160 + request.data.len());
    bytes.extend_from_slice(request.from.as_slice());
    bytes.push(u8::from(request.to.is_some()));
    bytes.extend_from_slice(request.to.unwrap_or_default().as_slice());
    bytes.extend_from_slice(&request.value.to_be_bytes::<32>());
    bytes.extend_from_slice(&(request.data.len() as u64).to_be_bytes());
    bytes.extend_from_slice(&request.data);
    bytes.extend_from_slice(&request.gas.unwrap_or_default().to_be_bytes());
    let (kind, first, second) = match request.fees {
        Fees::Market => (0, 0, 0),
        Fees::Legacy { gas_price } => (1, gas_price, 0),
        Fees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => (2, max_fee_per_gas, max_priority_fee_per_gas),
        Fees::Blob { max_fee_per_gas, max_priority_fee_per_gas, .. } => (3, max_fee_per_gas, max_priority_fee_per_gas),
    };
    bytes.push(kind);
    bytes.extend_from_slice(&first.to_be_bytes());
    bytes.extend_from_slice(&second.to_be_bytes());
    for authorization in request.authorizations() {
        bytes.push(b'a');
        bytes.extend_from_slice(&authorization.chain_id.to_be_bytes::<32>());
        bytes.extend_from_slice(authorization.address.as_slice());
        bytes.extend_from_slice(&authorization.nonce.to_be_bytes());
        bytes.push(authorization.y_parity);
        bytes.extend_from_slice(&authorization.r.to_be_bytes::<32>());
        bytes.extend_from_slice(&authorization.s.to_be_bytes::<32>());
    }
    if request.extras.is_some() || blobs.is_some() {
        extras_hashed(request, blobs, &mut bytes);
    }
    for id in &submission.depends_on {
        bytes.push(b'd');
        bytes.extend_from_slice(id.as_bytes());
    }
    keccak256(bytes)
}

#[cold]
fn extras_hashed(request: &Request, blobs: Option<&Blobs>, bytes: &mut Vec<u8>) {
    for item in request.extras.iter().flat_map(|extras| &extras.access_list.0) {
        bytes.push(b'l');
        bytes.extend_from_slice(item.address.as_slice());
        bytes.extend_from_slice(&(item.storage_keys.len() as u64).to_be_bytes());
        bytes.extend(item.storage_keys.iter().flatten());
    }
    // The blobs themselves: what names them in the transaction is known only when they are proven.
    for digest in blobs.map(Blobs::digests).unwrap_or_default() {
        bytes.push(b'b');
        bytes.extend_from_slice(digest.as_slice());
    }
    if let Fees::Blob { max_fee_per_blob_gas, .. } = request.fees {
        bytes.push(b'f');
        bytes.extend_from_slice(&max_fee_per_blob_gas.to_be_bytes());
    }
}
