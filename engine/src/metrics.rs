//! What operators watch: one struct, and each field's documentation *is* the metric's description,
//! so what `/metrics` says and what the code says cannot drift apart.
//!
//! A metric of nodes has one series for each, labelled with the node's place in the order of priority, from 0: `{node="0"}`; one of receipt
//! listeners is labelled with their names.
//!
//! Counters only grow, over the life of the process; a restart begins at zero. Histograms are in seconds.

use metrics::{Counter, Gauge, Histogram, Unit};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

use crate::txmgr::stage::Stage;

/// Upper bounds of the latency buckets, in seconds: from one fast fsync to a chain that stands still.
const LATENCY_BUCKETS_S: [f64; 16] = [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0];

/// A gauge for each stage, in the order of [`Stage::ALL`].
pub type StageGauges = [Gauge; Stage::ALL.len()];

/// A counter for each node.
#[derive(Clone, Copy)]
pub struct NodeCounter(&'static str);

impl NodeCounter {
    /// That of the node at this place.
    pub fn of(self, node: usize) -> Counter {
        metrics::counter!(self.0, "node" => node.to_string())
    }
}

/// A gauge for each node.
#[derive(Clone, Copy)]
pub struct NodeGauge(&'static str);

impl NodeGauge {
    /// That of the node at this place.
    pub fn of(self, node: usize) -> Gauge {
        metrics::gauge!(self.0, "node" => node.to_string())
    }
}

/// A gauge for each receipt listener.
#[derive(Clone, Copy)]
pub struct ListenerGauge(&'static str);

impl ListenerGauge {
    /// That of the listener with this name.
    pub fn of(self, name: &str) -> Gauge {
        metrics::gauge!(self.0, "listener" => name.to_owned())
    }
}

macro_rules! metrics {
    ($($(#[doc = $doc:literal])+ $field:ident: $kind:ident = $name:literal, $unit:expr;)+) => {
        /// Every metric of the process. A clone shares the same counters.
        #[derive(Clone)]
        pub struct Metrics {
            $($(#[doc = $doc])+ pub $field: $kind,)+
        }

        impl Metrics {
            /// Registers every metric with the current recorder (none: the handles do nothing).
            pub fn new() -> Self {
                Self { $($field: metrics!(@register $kind, $name, $unit, concat!($($doc),+)),)+ }
            }
        }
    };
    (@register Counter, $name:literal, $unit:expr, $text:expr) => {{
        metrics::describe_counter!($name, $unit, $text.trim_start());
        metrics::counter!($name)
    }};
    (@register Gauge, $name:literal, $unit:expr, $text:expr) => {{
        metrics::describe_gauge!($name, $unit, $text.trim_start());
        metrics::gauge!($name)
    }};
    (@register StageGauges, $name:literal, $unit:expr, $text:expr) => {{
        metrics::describe_gauge!($name, $unit, $text.trim_start());
        Stage::ALL.map(|stage| metrics::gauge!($name, "stage" => stage.name()))
    }};
    (@register NodeCounter, $name:literal, $unit:expr, $text:expr) => {{
        metrics::describe_counter!($name, $unit, $text.trim_start());
        NodeCounter($name)
    }};
    (@register NodeGauge, $name:literal, $unit:expr, $text:expr) => {{
        metrics::describe_gauge!($name, $unit, $text.trim_start());
        NodeGauge($name)
    }};
    (@register ListenerGauge, $name:literal, $unit:expr, $text:expr) => {{
        metrics::describe_gauge!($name, $unit, $text.trim_start());
        ListenerGauge($name)
    }};
    (@register Histogram, $name:literal, $unit:expr, $text:expr) => {{
        metrics::describe_histogram!($name, $unit, $text.trim_start());
        metrics::histogram!($name)
    }};
}

metrics! {
    /// Transactions that were put on disk and acknowledged.
    accepted: Counter = "millrace_transactions_accepted_total", Unit::Count;
    /// Transactions that got their nonce, price and signature.
    bound: Counter = "millrace_transactions_bound_total", Unit::Count;
    /// Transactions that reached the required number of confirmations.
    confirmed: Counter = "millrace_transactions_confirmed_total", Unit::Count;
    /// Transactions that ended without being mined; each has a reason.
    failed: Counter = "millrace_transactions_failed_total", Unit::Count;
    /// Transactions whose nonce another wallet's transaction took for good; queued again with a fresh one.
    displaced: Counter = "millrace_transactions_displaced_total", Unit::Count;
    /// Transactions that were sent again at a higher price.
    resubmitted: Counter = "millrace_transactions_resubmitted_total", Unit::Count;
    /// Addresses that wait for funds, each with the reason in the log.
    waiting_for_funds: Gauge = "millrace_addresses_waiting_for_funds", Unit::Count;
    /// Times that a transaction was held because the price cap leaves no replacement, the balance does not cover one, or the node names another
    /// hash than that of its bytes.
    held: Counter = "millrace_transactions_held_total", Unit::Count;
    /// Signed transactions that were handed to the node, repetitions included.
    attempts_sent: Counter = "millrace_attempts_sent_total", Unit::Count;
    /// Copies of signed transactions that were handed to nodes besides the one that is used (`node.send_to_all`).
    copies_sent: Counter = "millrace_copies_sent_total", Unit::Count;
    /// Copies that were left out because their node was too slow, or could not be reached.
    copies_dropped: Counter = "millrace_copies_dropped_total", Unit::Count;
    /// 1 while heads come by WebSocket, 0 while the head is polled.
    ws_subscribed: Gauge = "millrace_ws_subscribed", Unit::Count;
    /// Heads that came by WebSocket.
    ws_heads: Counter = "millrace_ws_heads_total", Unit::Count;
    /// Times that no subscription to heads could be had, or that one was lost.
    ws_cuts: Counter = "millrace_ws_cuts_total", Unit::Count;
    /// Nodes that answer, are on the right chain and not behind.
    nodes_healthy: Gauge = "millrace_nodes_healthy", Unit::Count;
    /// Nodes of another chain, which are not used.
    nodes_quarantined: Gauge = "millrace_nodes_quarantined", Unit::Count;
    /// Place of the node that is used in the order of priority, from 0.
    node_current: Gauge = "millrace_node_current", Unit::Count;
    /// Times that another node has become the one that is used.
    node_switches: Counter = "millrace_node_switches_total", Unit::Count;
    /// Shards that leave the node alone because it failed too often in a row.
    node_breakers_open: NodeGauge = "millrace_node_breakers_open", Unit::Count;
    /// Shards in which one request finds out whether the node that failed is back.
    node_breakers_half_open: NodeGauge = "millrace_node_breakers_half_open", Unit::Count;
    /// Times that a shard has begun to leave the node alone.
    node_breaker_openings: NodeCounter = "millrace_node_breaker_openings_total", Unit::Count;
    /// Submissions that were refused because a queue was full.
    busy: Counter = "millrace_submissions_refused_busy_total", Unit::Count;
    /// Transactions accepted and not yet archived or failed.
    open: Gauge = "millrace_transactions_open", Unit::Count;
    /// Signing addresses with work that stand in line for a slot.
    orchestrators_new: Gauge = "millrace_orchestrators_new", Unit::Count;
    /// Signing addresses that have a slot and bind and send.
    orchestrators_running: Gauge = "millrace_orchestrators_running", Unit::Count;
    /// Signing addresses that wait for funds.
    orchestrators_waiting: Gauge = "millrace_orchestrators_waiting", Unit::Count;
    /// Signing addresses that have a slot and nothing to do.
    orchestrators_idle: Gauge = "millrace_orchestrators_idle", Unit::Count;
    /// Signing addresses whose work makes no progress.
    orchestrators_stale: Gauge = "millrace_orchestrators_stale", Unit::Count;
    /// Signing addresses that were paused by hand.
    orchestrators_paused: Gauge = "millrace_orchestrators_paused", Unit::Count;
    /// Signing addresses without anything to bind or to send for the first time.
    orchestrators_stopped: Gauge = "millrace_orchestrators_stopped", Unit::Count;
    /// Transactions in each stage, as they were when the metrics were shown the time before: they are counted when asked for.
    by_stage: StageGauges = "millrace_transactions_by_stage", Unit::Count;
    /// Number of the highest block that was read and stored.
    head: Gauge = "millrace_head_block_number", Unit::Count;
    /// Number of the block that the node calls safe; 0 where it names none.
    safe: Gauge = "millrace_safe_block", Unit::Count;
    /// Number of the block that the node calls finalized; 0 where it names none.
    finalized: Gauge = "millrace_finalized_block", Unit::Count;
    /// HTTP requests to the node.
    rpc_http_requests: Counter = "millrace_rpc_http_requests_total", Unit::Count;
    /// JSON-RPC calls to the node; a batch has many.
    rpc_calls: Counter = "millrace_rpc_calls_total", Unit::Count;
    /// Bytes of request bodies handed to connections to the node.
    rpc_bytes_sent: Counter = "millrace_rpc_bytes_sent_total", Unit::Bytes;
    /// Bytes of reply bodies received from the node.
    rpc_bytes_received: Counter = "millrace_rpc_bytes_received_total", Unit::Bytes;
    /// Connections to the node that were opened.
    rpc_connects: Counter = "millrace_rpc_connects_total", Unit::Count;
    /// Attempts to connect to the node that failed, and requests that left a call without an answer.
    rpc_faults: Counter = "millrace_rpc_faults_total", Unit::Count;
    /// Synced writes of the database.
    fsyncs: Counter = "millrace_fsyncs_total", Unit::Count;
    /// Records written to the database.
    records: Counter = "millrace_store_records_total", Unit::Count;
    /// Bytes handed to the database in batches.
    store_bytes: Counter = "millrace_store_bytes_total", Unit::Bytes;
    /// How far the checkpoint of the receipt listener is behind the newest ending, in sequences, as it was when the metrics were shown the time
    /// before; 0 once it is deleted.
    listener_lag: ListenerGauge = "millrace_receipt_listener_lag", Unit::Count;
    /// Requests to the JSON-RPC interface, over HTTP.
    api_http_requests: Counter = "millrace_api_http_requests_total", Unit::Count;
    /// JSON-RPC calls to the interface; a batch has many.
    api_calls: Counter = "millrace_api_calls_total", Unit::Count;
    /// JSON-RPC calls to the interface, or elements of one, that were answered with an error.
    api_errors: Counter = "millrace_api_errors_total", Unit::Count;
    /// Open connections to the interface.
    api_connections: Gauge = "millrace_api_connections", Unit::Count;
    /// From the arrival of a submission to its commit on disk.
    durable_seconds: Histogram = "millrace_durable_seconds", Unit::Seconds;
    /// From the arrival of a submission to the node's acceptance of its first attempt.
    sent_seconds: Histogram = "millrace_sent_seconds", Unit::Seconds;
    /// From the arrival of a submission to the moment its block was seen.
    included_seconds: Histogram = "millrace_included_seconds", Unit::Seconds;
    /// From the arrival of a submission to its confirmation.
    confirmed_seconds: Histogram = "millrace_confirmed_seconds", Unit::Seconds;
    /// From the moment in which a transaction's block was seen to its confirmation: writing the block, and the blocks on top of it.
    seen_to_confirmed_seconds: Histogram = "millrace_seen_to_confirmed_seconds", Unit::Seconds;
}

impl Metrics {
    /// The gauges of the orchestrators' states, in the order of [`State::ALL`](crate::txmgr::orchestrator::state::State::ALL).
    pub const fn orchestrators(&self) -> [&Gauge; 7] {
        [
            &self.orchestrators_new,
            &self.orchestrators_running,
            &self.orchestrators_waiting,
            &self.orchestrators_idle,
            &self.orchestrators_stale,
            &self.orchestrators_paused,
            &self.orchestrators_stopped,
        ]
    }

    /// Makes a Prometheus recorder the recorder of this process and registers with it.
    /// Fails where the process has one already.
    pub fn install() -> Result<(Self, PrometheusHandle), BuildError> {
        let handle =
            PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &LATENCY_BUCKETS_S)?.install_recorder()?;
        Ok((Self::new(), handle))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_field_is_what_prometheus_shows() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let metrics = Metrics::new();
            metrics.accepted.increment(3);
            metrics.open.set(2.0);
            metrics.node_breakers_open.of(1).set(3.0);
        });
        let text = handle.render();
        assert!(text.contains("# HELP millrace_transactions_accepted_total Transactions that were put on disk"), "{text}");
        assert!(text.contains("\nmillrace_transactions_accepted_total 3\n"), "{text}");
        assert!(text.contains("\nmillrace_transactions_open 2\n"), "{text}");
        assert!(text.contains("\nmillrace_node_breakers_open{node=\"1\"} 3\n"), "{text}");
    }
}
