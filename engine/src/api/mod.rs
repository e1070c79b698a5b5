//! The public interface: JSON-RPC 2.0 over HTTP, with health and metrics beside it, on one port.
//!
//! ```text
//! connection (http) ─ POST / ─► envelope ─► params ─► calls ─ sends of the whole body, together ─► Engine::submit
//!      │                                       │                                                      on disk, or why not
//!      │                                       └─ look-ups ─► Readers ─► view ─► render
//!      ├─ GET /livez    the process works
//!      ├─ GET /readyz   ok, or the reasons why not
//!      └─ GET /metrics  Prometheus text
//! ```
//!
//! Runs on the control thread. A body is parsed once into typed, borrowed structures; all sends of a body go to the engine in
//! one call, so that they share one commit; the reply is written straight as JSON.
//!
//! **How it fails.** Every mistake of a caller is a JSON-RPC error with the standard code and a message that names the value and
//! what to do; the connection and the process go on. A full queue is the error -32010: nothing was accepted. A reply to a send
//! is given only after the engine said that it is on disk; a caller that hears nothing asks again with the same idempotency key.
//! Bodies, batches, connections, headers, pages and waiting times are all bounded, so a slow or greedy client pins little.

mod authorizations;
mod calls;
mod control;
mod envelope;
mod error;
mod http;
mod params;
mod quantity;
mod render;

use std::rc::Rc;

use metrics_exporter_prometheus::PrometheusHandle;
use storage::Store;

use crate::config::Config;
use crate::engine::Engine;
use crate::metrics::Metrics;

pub use calls::submissions;
pub use http::serve;

/// What every connection works with.
pub struct Api<S: Store> {
    engine: Engine<S>,
    metrics: Metrics,
    prometheus: PrometheusHandle,
    limits: Limits,
    /// Depth at which a transaction is shown as confirmed.
    required_confirmations: u64,
}

/// Bounds on what a client may ask for.
#[derive(Clone, Copy, Debug)]
struct Limits {
    body_bytes: usize,
    batch: usize,
    connections: usize,
}

impl<S: Store> Api<S> {
    /// An interface to the engine with the bounds of the settings.
    pub fn new(config: &Config, engine: Engine<S>, metrics: Metrics, prometheus: PrometheusHandle) -> Rc<Self> {
        // The settings are 32 bits wide and so is the smallest platform this runs on.
        let limits = Limits {
            body_bytes: config.api.max_body_bytes as usize,
            batch: config.api.max_batch as usize,
            connections: config.api.max_connections as usize,
        };
        let required_confirmations = config.txmgr.required_confirmations;
        Rc::new(Self { engine, metrics, prometheus, limits, required_confirmations })
    }
}
