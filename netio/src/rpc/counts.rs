//! What all lanes of a process did, for its metrics.
//!
//! Every count only grows and none of them orders anything, so relaxed atomics are enough.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows, shared by threads.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Its value now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn add(&self, more: usize) {
        self.0.fetch_add(more as u64, Ordering::Relaxed);
    }
}

/// Shared by the lanes of all threads.
#[derive(Debug, Default)]
pub struct Counts {
    /// HTTP requests handed to a connection.
    pub http_requests: Count,
    /// JSON-RPC calls in those requests.
    pub rpc_calls: Count,
    /// Bytes of request bodies handed to a connection.
    pub bytes_sent: Count,
    /// Bytes of reply bodies received.
    pub bytes_received: Count,
    /// Connections opened.
    pub connects: Count,
    /// Attempts to connect that failed, and requests that left a call without an answer.
    pub faults: Count,
}

impl Counts {
    /// All zero.
    pub fn new() -> Self {
        Self::default()
    }
}
