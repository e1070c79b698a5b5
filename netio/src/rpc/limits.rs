//! The bounds of a lane.

use std::time::Duration;

/// Bounds on what one lane sends, waits for and takes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Calls in one request, at least 1. More calls than this in one exchange go out in several requests.
    pub batch_calls: usize,
    /// Bytes in one request's body. [`Calls::fits`](super::Calls::fits) tells whether a call still has room.
    pub batch_bytes: usize,
    /// From handing a request to the connection to the last byte of its reply.
    pub request_timeout: Duration,
    /// For looking up the name, opening the connection and TLS.
    pub connect_timeout: Duration,
    /// Wait after a first broken or failed connection, before jitter. It doubles with each further one.
    pub backoff_min: Duration,
    /// The longest such wait.
    pub backoff_max: Duration,
    /// Bytes in one reply's body; a longer one is not read to its end.
    pub reply_bytes_max: usize,
}

impl Default for Limits {
    /// For a node in the same data centre: a block's receipts fit a reply, a batch fits what nodes take by default
    /// (geth: 1,000 calls; reth: 160 MiB; the usual proxy: 1 MiB), and a node that restarts is back within a second of being up.
    fn default() -> Self {
        Self {
            batch_calls: 500,
            batch_bytes: 1 << 20,
            request_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(3),
            backoff_min: Duration::from_millis(20),
            backoff_max: Duration::from_secs(1),
            reply_bytes_max: 256 << 20,
        }
    }
}
