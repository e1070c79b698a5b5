//! JSON-RPC 2.0 over HTTP and WebSocket, whatever it is that answers.
//!
//! ```text
//!            ┌─ http: connections, bodies, pages ─┐
//! client ───►│                                    ├─► Service::answer ─► envelope ─► … ─► reply
//!            └─ ws: messages, notifications ──────┘   Service::hear
//! ```
//!
//! Two services stand behind this: millrace's own interface ([`api`](crate::api)) and the one of an Ethereum node
//! ([`facade`](crate::facade)), each on a port of its own.
//!
//! **How it fails.** Every mistake of a caller is a JSON-RPC error with the standard code and a message that names the value and what to do;
//! the connection and the process go on. Bodies, batches, connections, headers, messages and waiting times are all bounded.

pub(crate) mod envelope;
pub(crate) mod error;
pub(crate) mod http;
pub(crate) mod quantity;
pub(crate) mod reply;
pub(crate) mod schema;
pub(crate) mod upstream;
pub(crate) mod ws;

use std::future::Future;

use flume::Sender;

use self::http::Reply;
use crate::config::ApiConfig;
use crate::metrics::Metrics;

/// Bounds on what a client may ask for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) body_bytes: usize,
    pub(crate) batch: usize,
    pub(crate) connections: usize,
}

impl From<&ApiConfig> for Limits {
    fn from(config: &ApiConfig) -> Self {
        // The settings are 32 bits wide and so is the smallest platform this runs on.
        Self { body_bytes: config.max_body_bytes as usize, batch: config.max_batch as usize, connections: config.max_connections as usize }
    }
}

/// What a service says over a WebSocket without being asked.
pub(crate) enum Outgoing {
    /// A notification.
    Say(Vec<u8>),
    /// The connection has no use any more.
    End,
}

/// Where it is put. Bounded: whoever puts one in waits for the client.
pub(crate) type Outbox = Sender<Outgoing>;

/// What answers on a port.
pub(crate) trait Service: 'static {
    /// What is kept for a WebSocket while it is open; dropped with it.
    type Session: 'static;

    /// Paths that are read with GET.
    const PAGES: &'static [&'static str];

    /// Its bounds.
    fn limits(&self) -> Limits;

    /// What is counted.
    fn metrics(&self) -> &Metrics;

    /// The page at a path; `None` where there is none.
    fn page(&self, path: &str) -> Option<Reply>;

    /// The reply to a body; empty if it had only notifications.
    fn answer(&self, body: &[u8]) -> impl Future<Output = Vec<u8>>;

    /// A WebSocket has opened.
    fn open(&self, outbox: Outbox) -> Self::Session;

    /// The reply to a message of a WebSocket; empty if it had only notifications.
    fn hear(&self, session: &Self::Session, message: &[u8]) -> impl Future<Output = Vec<u8>>;
}
