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
mod submit;

use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::Address;
use storage::{Record, Request, Store, WriterState};
use thiserror::Error;
use uuid::Uuid;

pub use follow::Settled;
pub use ids::Ids;
pub use reservations::Reservations;
pub use start::{Assembly, Running, Surroundings, assemble, start};

use self::reservations::Guard;
use self::submit::{End, Round};
use crate::blobs::Blobs;
use crate::chain::{ChainStatus, Roster};
use crate::feed::News;
use crate::keys::{Keyring, Signer};
use crate::metrics::Metrics;
use crate::readers::Readers;
use crate::shard::mailbox::{Mail, Mailbox};
use crate::shard::{PauseOrder, Question, shard_of};
use crate::txmgr::inspect::{AddressView, Asked, LiveTransaction};
use crate::txmgr::{Census, Event};

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
