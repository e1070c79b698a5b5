//! The public interface: JSON-RPC 2.0 over HTTP, with health and metrics beside it, on one port.
//!
//! ```text
//! connection (jsonrpc) ─ POST / or a message of a WebSocket ─► envelope ─► methods ─► params ─► calls ─ sends of the whole body, together ─► Engine::submit
//!      │                                       │                                                      on disk, or why not
//!      │                                       ├─ look-ups ─► Readers ─► view ─► render
//!      │                                       └─ listeners ─► feed, and notifications over the WebSocket
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

mod abi;
mod authorizations;
mod calls;
mod contracts;
mod control;
mod extras;
mod listeners;
mod look;
mod methods;
pub(crate) mod params;
mod pauses;
mod queries;
mod render;
pub(crate) mod types;

use std::rc::Rc;

use hyper::StatusCode;
use metrics_exporter_prometheus::PrometheusHandle;
use netio::EpollRoom;
use storage::Store;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::Config;
use crate::engine::Engine;
use crate::jsonrpc::http::{self, Reply, text};
use crate::jsonrpc::upstream::Upstream;
use crate::jsonrpc::{Limits, Outbox, Service};
use crate::metrics::Metrics;

pub use calls::submissions;

use self::listeners::{Listeners, Session};

/// Connections to the node for what only it can answer.
const UPSTREAM_CONNECTIONS: usize = 4;

/// What every connection works with.
pub struct Api<S: Store> {
    engine: Engine<S>,
    metrics: Metrics,
    prometheus: PrometheusHandle,
    limits: Limits,
    /// Depth at which a transaction is shown as confirmed.
    required_confirmations: u64,
    /// A gas estimate is multiplied by this.
    limit_factor: f64,
    upstream: Rc<Upstream<EpollRoom>>,
    listeners: Rc<Listeners<S>>,
}

impl<S: Store> Api<S> {
    /// An interface to the engine with the bounds of the settings. Must be made within a [`tokio::task::LocalSet`] with timers and I/O enabled.
    pub fn new(config: &Config, engine: Engine<S>, metrics: Metrics, prometheus: PrometheusHandle) -> Rc<Self> {
        let limits = Limits::from(&config.api);
        let required_confirmations = config.txmgr.required_confirmations;
        let upstream = Rc::new(Upstream::new(EpollRoom::new(), engine.roster().clone(), UPSTREAM_CONNECTIONS));
        let limit_factor = config.gas.limit_factor;
        let listeners = Listeners::new(engine.clone(), Rc::clone(&upstream), metrics.clone());
        Rc::new(Self { engine, metrics, prometheus, limits, required_confirmations, limit_factor, upstream, listeners })
    }
}

/// Serves until `stop` holds `true` or its sender is gone, then lets requests under way finish within five seconds.
///
/// Must run inside a [`tokio::task::LocalSet`] with timers and I/O enabled.
pub async fn serve<S: Store>(listener: TcpListener, api: Rc<Api<S>>, stop: watch::Receiver<bool>) {
    http::serve(listener, api, stop).await;
}

impl<S: Store> Service for Api<S> {
    type Session = Session<S>;

    const PAGES: &'static [&'static str] = &["/livez", "/readyz", "/metrics"];

    fn limits(&self) -> Limits {
        self.limits
    }

    fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    fn page(&self, path: &str) -> Option<Reply> {
        Some(match path {
            "/livez" => text(StatusCode::OK, "ok\n"),
            "/readyz" => readiness(&self.engine.not_ready(), &self.engine.remarks()),
            "/metrics" => {
                self.engine.refresh_gauges();
                self.listeners.measure();
                text(StatusCode::OK, self.prometheus.render())
            }
            _ => return None,
        })
    }

    async fn answer(&self, body: &[u8]) -> Vec<u8> {
        calls::answer(self, None, body).await
    }

    fn open(&self, outbox: Outbox) -> Session<S> {
        Session::new(Rc::clone(&self.listeners), outbox)
    }

    async fn hear(&self, session: &Session<S>, message: &[u8]) -> Vec<u8> {
        let asked = session.message();
        let reply = calls::answer(self, Some(&asked), message).await;
        asked.answered();
        reply
    }
}

/// `ok`, or the reasons why not; behind it what does not keep the engine from being ready, a line each.
fn readiness(reasons: &[String], remarks: &[String]) -> Reply {
    let (status, first) =
        if reasons.is_empty() { (StatusCode::OK, "ok".to_owned()) } else { (StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n")) };
    text(status, [std::slice::from_ref(&first), remarks].concat().join("\n") + "\n")
}
