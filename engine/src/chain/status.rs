//! What is known of the node and the chain, for readiness, metrics and checks at the door. Written by the follower only.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;

/// Shared between the follower and whoever wants to know.
#[derive(Debug, Default)]
pub struct ChainStatus {
    chain_id: AtomicU64,
    head: AtomicU64,
    caught_up: AtomicBool,
    safe: AtomicU64,
    finalized: AtomicU64,
    trouble: Mutex<Option<String>>,
}

impl ChainStatus {
    /// A status before the first word of a node.
    #[must_use]
    pub fn new() -> Self {
        Self { trouble: Mutex::new(Some("the node has not been asked yet".into())), ..Self::default() }
    }

    /// The chain's id, once the node has told it.
    #[must_use]
    pub fn chain_id(&self) -> Option<u64> {
        // Zero is not a valid chain id (EIP-155 signatures need one).
        Some(self.chain_id.load(Ordering::Relaxed)).filter(|id| *id != 0)
    }

    /// Highest block whose effects are on disk.
    #[must_use]
    pub fn head(&self) -> Option<u64> {
        self.caught_up.load(Ordering::Acquire).then(|| self.head.load(Ordering::Relaxed))
    }

    /// The node's `safe` block; 0 while it names none.
    #[must_use]
    pub fn safe(&self) -> u64 {
        self.safe.load(Ordering::Relaxed)
    }

    /// The node's `finalized` block; 0 while it names none.
    #[must_use]
    pub fn finalized(&self) -> u64 {
        self.finalized.load(Ordering::Relaxed)
    }

    /// Why the chain cannot be used right now.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().clone();
        let behind = || (!self.caught_up.load(Ordering::Acquire)).then(|| "the chain is still being read up to its head".to_owned());
        trouble.or_else(behind)
    }

    pub(super) fn set_chain_id(&self, id: u64) {
        self.chain_id.store(id, Ordering::Relaxed);
    }

    pub(super) fn set_safe(&self, number: u64) {
        self.safe.store(number, Ordering::Relaxed);
    }

    pub(super) fn set_finalized(&self, number: u64) {
        self.finalized.store(number, Ordering::Relaxed);
    }

    pub(super) fn set_head(&self, number: u64, newest: bool) {
        self.head.store(number, Ordering::Relaxed);
        if newest {
            self.caught_up.store(true, Ordering::Release);
        }
    }

    /// Notes a trouble, or that there is none. True if that is news.
    pub(super) fn set_trouble(&self, trouble: Option<String>) -> bool {
        let mut now = self.trouble.lock();
        let news = *now != trouble;
        *now = trouble;
        news
    }
}
