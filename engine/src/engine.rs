//! The engine as others use it: one handle to submit and to ask, and what starts and stops the threads behind it.
//!
//! ```text
//!   submit ─► check ─► idempotency key reserved, then looked up ─► shard of the signer ─► … on disk ─► Ok(id)
//! ```
//!
//! A submission ends as `Ok(id)`: on disk, will be mined or reported failed. As an error of which [`SubmitError`] says whether
//! anything was accepted. A caller that goes away loses its answer, not its transaction.

mod blobs;
mod control;
mod endings;
mod follow;
mod ids;
mod reservations;
mod start;

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256, keccak256};
use storage::{Fees, Record, Request, Store, TransactionRow, WriterState, read};
use thiserror::Error;
use uuid::Uuid;

pub use follow::Settled;
pub use ids::Ids;
pub use reservations::Reservations;
pub use start::{Assembly, Running, Surroundings, assemble, start};

use self::control::Dependencies;
use self::reservations::{Guard, Reserved};
use crate::blobs::Blobs;
use crate::chain::{ChainStatus, Roster};
use crate::feed::News;
use crate::keys::{Keyring, Signer};
use crate::metrics::Metrics;
use crate::readers::Readers;
use crate::sabotage::{self, Sabotage};
use crate::shard::mailbox::{Mail, Mailbox};
use crate::shard::{PauseOrder, Question, SubmitBatch, shard_of};
use crate::txmgr::check::check;
use crate::txmgr::inspect::{AddressView, Asked, LiveTransaction};
use crate::txmgr::{Accept, Census, Event};

/// Pause that a busy engine asks its callers for, ms: about a commit and a run.
pub(crate) const RETRY_AFTER_MS: u64 = 20;

/// How long a caller waits for a record to be on disk before it hears that this is not known.
const KEEP_WAIT: Duration = Duration::from_secs(10);

/// What a caller wants done.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The transaction.
    pub request: Request,
    /// The chain the caller believes to be on.
    pub chain_id: Option<u64>,
    /// Makes a repeat harmless: the same key and body give the same id (row A16).
    pub idempotency_key: Option<String>,
    /// Accepted transactions that have to succeed before this one is bound (row A17).
    pub depends_on: Vec<Uuid>,
    /// What makes it a transaction of type 3 (EIP-4844); its request names them once they are proven.
    pub blobs: Option<Box<Blobs>>,
}

/// Why a submission was not accepted; the message is for the user.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SubmitError {
    /// It can never be accepted as it is.
    #[error("{0}")]
    Invalid(String),
    /// Nothing was accepted: a queue is full, or the disk refused the write.
    #[error("busy: nothing was accepted; send it again in {retry_after_ms} ms")]
    Busy {
        /// When to try again.
        retry_after_ms: u64,
    },
    /// It may be on disk or not.
    #[error("outcome unknown: a write has not been confirmed; ask by idempotency key, or send it again with the same key")]
    Unknown,
    /// The key belongs to another body.
    #[error("the idempotency key belongs to transaction {existing}, which has another body: use another key")]
    Conflict {
        /// Whose key it is.
        existing: Uuid,
    },
    /// The process ends.
    #[error("the process is shutting down; nothing was accepted")]
    Closed,
}

/// A shared handle to a running engine.
pub struct Engine<S: Store> {
    inner: Arc<Inner<S>>,
}

impl<S: Store> Clone for Engine<S> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

/// What a handle is made of.
pub struct EngineParts<S: Store> {
    /// Every shard's mailbox, in order.
    pub mailboxes: Vec<Mailbox>,
    /// Where reads are done.
    pub readers: Readers<S>,
    /// Where blobs are proven, which takes long: nobody who reads waits for it.
    pub provers: Readers<S>,
    /// Idempotency keys without a certain end.
    pub reservations: Arc<Reservations>,
    /// Where new ids come from.
    pub ids: Ids,
    /// Whose addresses there are.
    pub keys: Keyring,
    /// What signs with them.
    pub signer: Arc<dyn Signer>,
    /// How long a signature may take.
    pub sign_timeout: Duration,
    /// What the follower knows.
    pub status: Arc<ChainStatus>,
    /// The chain id by configuration.
    pub chain_id: Option<u64>,
    /// What the writer knows.
    pub writer: Arc<WriterState>,
    /// The nodes.
    pub roster: Roster,
    /// What is counted.
    pub metrics: Metrics,
    /// The wall clock, since the Unix epoch.
    pub clock: Clock,
    /// Transactions by stage.
    pub census: Arc<Census>,
    /// Rung when there may be more in the feed.
    pub news: News,
    /// Depth at which a transaction counts as confirmed; 1 is its own block.
    pub required_confirmations: u64,
    /// Blobs go with proofs of their cells (`txmgr.blob_proofs`).
    pub blob_cells: bool,
}

/// A wall clock: time since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> Duration + Send + Sync>;

struct Inner<S: Store> {
    parts: EngineParts<S>,
}

impl<S: Store> Engine<S> {
    /// A handle to these parts.
    #[must_use]
    pub fn new(parts: EngineParts<S>) -> Self {
        Self { inner: Arc::new(Inner { parts }) }
    }

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

    /// Pauses an address: nothing new is bound for it until then. `Ok`: on disk, and so after a restart. `until`: µs since the Unix
    /// epoch, `None` without an end.
    ///
    /// # Errors
    /// An address without a key here, a time that is past, and those of every write.
    pub async fn pause(&self, address: Address, until: Option<u64>) -> Result<(), SubmitError> {
        let now = u64::try_from((self.inner.parts.clock)().as_micros()).unwrap_or(u64::MAX);
        if let Some(until) = until.filter(|until| *until <= now) {
            return Err(SubmitError::Invalid(format!(
                "the end of the pause, {} ms after the Unix epoch, is not in the future: it is {} now",
                until / 1000,
                now / 1000
            )));
        }
        self.order(address, Some(until.unwrap_or(u64::MAX))).await
    }

    /// Ends the pause of an address, if there is one. `Ok`: on disk.
    ///
    /// # Errors
    /// An address without a key here, and those of every write.
    pub async fn resume(&self, address: Address) -> Result<(), SubmitError> {
        self.order(address, None).await
    }

    async fn order(&self, address: Address, until: Option<u64>) -> Result<(), SubmitError> {
        self.known(address)?;
        let (reply, answer) = flume::bounded(1);
        if !self.mailbox(&address).ask(Mail::Pause(PauseOrder { address, until, reply })) {
            return Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS });
        }
        answer.recv_async().await.unwrap_or(Err(SubmitError::Unknown))
    }

    /// Puts a record on disk that no shard decides about. `Ok`: on disk.
    ///
    /// # Errors
    /// Those of every write.
    pub async fn keep(&self, record: Record) -> Result<(), SubmitError> {
        // A store that has failed is opened again and asked, which can last.
        tokio::time::timeout(KEEP_WAIT, self.kept(record)).await.unwrap_or(Err(SubmitError::Unknown))
    }

    /// What the shard of an address knows of it.
    ///
    /// # Errors
    /// An address without a key here; a shard that has no room for the question.
    pub async fn address(&self, address: Address) -> Result<AddressView, SubmitError> {
        self.known(address)?;
        let (reply, answer) = flume::bounded(1);
        if !self.mailbox(&address).ask(Mail::Question(Question::Address(address, reply))) {
            return Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS });
        }
        answer.recv_async().await.map_err(|_| SubmitError::Closed)
    }

    /// What the shard of an open transaction knows of it; `None` if it does not answer, or has it no longer.
    pub async fn live(&self, asked: Asked) -> Option<LiveTransaction> {
        let (reply, answer) = flume::bounded(1);
        let asked_it = self.mailbox(&asked.from).ask(Mail::Question(Question::Transaction(asked, reply)));
        if asked_it { answer.recv_async().await.ok().flatten() } else { None }
    }

    /// Whether this engine signs for an address.
    #[must_use]
    pub fn signs_for(&self, address: &Address) -> bool {
        self.inner.parts.keys.contains(address)
    }

    /// The nodes.
    #[must_use]
    pub fn roster(&self) -> &Roster {
        &self.inner.parts.roster
    }

    fn mailbox(&self, address: &Address) -> &Mailbox {
        let mailboxes = &self.inner.parts.mailboxes;
        &mailboxes[shard_of(address, mailboxes.len())]
    }

    fn known(&self, address: Address) -> Result<(), SubmitError> {
        if self.inner.parts.keys.contains(&address) {
            return Ok(());
        }
        Err(SubmitError::Invalid(format!(
            "unknown address {address}: no key of this engine signs for it; add its key or correct the address"
        )))
    }

    /// Where reads are done.
    #[must_use]
    pub fn readers(&self) -> &Readers<S> {
        &self.inner.parts.readers
    }

    /// Why the engine is not ready, a reason each; nothing if it is.
    #[must_use]
    pub fn not_ready(&self) -> Vec<String> {
        let mut reasons: Vec<String> = self.inner.parts.status.trouble().into_iter().collect();
        if !self.inner.parts.writer.healthy() {
            reasons.push("the store: a write has failed and is being resolved; check the disk under data_dir".into());
        }
        reasons
    }

    /// What an operator should know although the engine is ready: nodes that are not used because they are of another chain.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        self.inner.parts.roster.remarks()
    }

    /// Every shard forgets the gas price it has: the next one that is needed is asked for anew.
    pub async fn clear_gas_price(&self) {
        for mailbox in &self.inner.parts.mailboxes {
            // A shard that is gone has no price to forget.
            let _ = mailbox.send(Mail::Tell(Box::new(Event::ClearPrice))).await;
        }
    }

    /// The chain's id, once the node has told it.
    #[must_use]
    pub fn chain_id(&self) -> Option<u64> {
        self.inner.parts.status.chain_id()
    }

    /// Highest block whose effects are on disk.
    #[must_use]
    pub fn head(&self) -> Option<u64> {
        self.inner.parts.status.head()
    }

    /// Addresses that the engine signs for.
    pub fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        self.inner.parts.keys.addresses()
    }

    /// Open transactions by stage, as the shards count them.
    #[must_use]
    pub fn census(&self) -> &Arc<Census> {
        &self.inner.parts.census
    }

    /// Copies what others count into the metrics; to be called before they are shown.
    pub fn refresh_gauges(&self) {
        let parts = &self.inner.parts;
        let metrics = &parts.metrics;
        metrics.head.set(self.head().unwrap_or(0) as f64);
        metrics.safe.set(parts.status.safe() as f64);
        metrics.finalized.set(parts.status.finalized() as f64);
        let (healthy, quarantined) = parts.roster.tally();
        metrics.nodes_healthy.set(healthy as f64);
        metrics.nodes_quarantined.set(quarantined as f64);
        metrics.node_current.set(parts.roster.current() as f64);
        metrics.node_switches.absolute(parts.roster.switches());
        for (node, standing) in parts.roster.standings().enumerate() {
            metrics.node_breakers_open.of(node).set(standing.open() as f64);
            metrics.node_breakers_half_open.of(node).set(standing.half_open() as f64);
            metrics.node_breaker_openings.of(node).absolute(standing.opened());
        }
        let (heads, cuts) = parts.roster.heads_and_cuts();
        metrics.ws_subscribed.set(f64::from(u8::from(parts.roster.subscribed())));
        metrics.ws_heads.absolute(heads);
        metrics.ws_cuts.absolute(cuts);
        let counts = parts.roster.counts();
        metrics.rpc_http_requests.absolute(counts.http_requests.get());
        metrics.rpc_calls.absolute(counts.rpc_calls.get());
        metrics.rpc_bytes_sent.absolute(counts.bytes_sent.get());
        metrics.rpc_bytes_received.absolute(counts.bytes_received.get());
        metrics.rpc_connects.absolute(counts.connects.get());
        metrics.rpc_faults.absolute(counts.faults.get());
        metrics.fsyncs.absolute(parts.writer.fsyncs_total());
        metrics.records.absolute(parts.writer.records_total());
        metrics.store_bytes.absolute(parts.writer.bytes_total());
        for (gauge, count) in metrics.by_stage.iter().zip(parts.census.by_stage()) {
            gauge.set(count as f64);
        }
        parts.census.ask();
        parts.mailboxes.iter().for_each(Mailbox::wake);
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

type End = Result<Uuid, SubmitError>;

/// The answers of one call, as they come in.
struct Round<'a> {
    ends: &'a mut [Option<End>],
    shards: Vec<(Vec<usize>, flume::Receiver<Vec<End>>)>,
    joined: Vec<(usize, flume::Receiver<End>)>,
    others: Vec<(usize, Submission, flume::Receiver<End>)>,
    /// Blobs of what was admitted.
    blobs: Vec<(Uuid, Blobs)>,
    /// Whose blobs are on disk.
    kept: Vec<(usize, Uuid)>,
    /// Blobs that go to the disk too late: a mistake made on purpose.
    late: Vec<Record>,
}

impl<'a> Round<'a> {
    const fn new(ends: &'a mut [Option<End>]) -> Self {
        Self { ends, shards: Vec::new(), joined: Vec::new(), others: Vec::new(), blobs: Vec::new(), kept: Vec::new(), late: Vec::new() }
    }
}

impl Round<'_> {
    /// One ends before a shard has it: its key is free again.
    fn end(&mut self, place: usize, accept: &Accept, end: End, guard: &mut Guard) {
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
