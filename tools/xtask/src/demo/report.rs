//! The report of a demo: a table for people, and the same figures as JSON.

use std::fmt::Write as _;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::engine::Used;

/// What `load verify` writes, as far as a report needs it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct LoadResult {
    offered: u64,
    sent: u64,
    accepted: u64,
    included: u64,
    confirmed: u64,
    dropped: u64,
    duplicated: u64,
    repeated: u64,
    failed: u64,
    refused: u64,
    gaps: u64,
    strangers: u64,
    disagreements: u64,
    /// Confirmed transactions ÷ seconds from the start to the last confirmation.
    pub(crate) tps: f64,
    latency_ms: LoadLatencies,
}

/// Latencies as `load verify` writes them.
#[derive(Clone, Debug, Deserialize)]
struct LoadLatencies {
    #[serde(flatten)]
    milestones: Milestones<LoadQuantiles>,
    durable_to_sent: LoadQuantiles,
}

impl LoadResult {
    /// The steps of a transaction's way: what each is, and the quantiles. The first two are the engine's own doing.
    pub(crate) fn steps(&self) -> [(&'static str, &Quantiles); 3] {
        let LoadLatencies { milestones, durable_to_sent } = &self.latency_ms;
        [
            ("request to durable", &milestones.durable.quantiles),
            ("durable to sent", &durable_to_sent.quantiles),
            ("request to confirmed, waits for a block", &milestones.confirmed.quantiles),
        ]
    }

    /// Everything that must not happen to a transaction, by name.
    fn troubles(&self) -> [(&'static str, u64); 8] {
        [
            ("not confirmed", self.offered.saturating_sub(self.confirmed)),
            ("refused", self.refused),
            ("dropped", self.dropped),
            ("duplicated", self.duplicated),
            ("failed", self.failed),
            ("nonces out of step", self.gaps),
            ("strangers", self.strangers),
            ("told otherwise by the engine", self.disagreements),
        ]
    }
}

/// The result of `load verify`, and what it thinks of it.
#[derive(Clone, Debug)]
pub(crate) struct Verified {
    /// The figures.
    pub(crate) result: LoadResult,
    /// Whether `load verify` ended with success.
    pub(crate) is_approved: bool,
}

impl Verified {
    /// Whether every transaction was mined exactly once and nothing else was, by the figures and by `load verify` itself.
    pub(crate) fn is_exactly_once(&self) -> bool {
        let LoadResult { offered, accepted, confirmed, .. } = self.result;
        self.is_approved && offered == accepted && accepted == confirmed && self.result.troubles().into_iter().all(|(_, count)| count == 0)
    }

    /// That in words, with what is wrong.
    pub(crate) fn verdict(&self) -> String {
        if self.is_exactly_once() {
            return "every transaction was mined exactly once".to_owned();
        }
        let troubles = self.result.troubles().into_iter().filter(|(_, count)| *count > 0);
        let mut reasons: Vec<String> = troubles.map(|(name, count)| format!("{name} {count}")).collect();
        if reasons.is_empty() {
            reasons.push("load verify says so".to_owned());
        }
        format!("NOT every transaction was mined exactly once: {}", reasons.join(", "))
    }
}

/// One value for each milestone of a transaction.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Milestones<T> {
    durable: T,
    sent: T,
    included: T,
    confirmed: T,
}

/// Quantiles as `load verify` writes them, in milliseconds.
#[derive(Clone, Debug, Deserialize)]
struct LoadQuantiles {
    #[serde(flatten)]
    quantiles: Quantiles,
    unknown: u64,
}

/// Quantiles in milliseconds; null where nothing is known.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub(crate) struct Quantiles {
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    p999: Option<f64>,
    max: Option<f64>,
}

impl Quantiles {
    /// A cell of ten characters for each, with so many decimals.
    pub(crate) fn cells(&self, decimals: usize) -> String {
        let Self { p50, p90, p99, p999, max } = self;
        let cell = |value: &Option<f64>| value.map_or_else(|| format!("{:>10}", "-"), |value| format!("{value:>10.decimals$}"));
        [p50, p90, p99, p999, max].map(cell).concat()
    }
}

/// The figures of a demo. The fields are the keys of its JSON.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    offered: u64,
    sent: u64,
    accepted: u64,
    included: u64,
    confirmed: u64,
    dropped: u64,
    duplicated: u64,
    tps: f64,
    cpu_us_per_tx: f64,
    sign_us: f64,
    cpu_ratio: f64,
    http_requests_per_tx: f64,
    rpc_calls_per_tx: f64,
    fsyncs_per_tx: f64,
    peak_rss_mb: f64,
    latency_ms: Milestones<Quantiles>,
}

/// What a table says beside the figures.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Name of the chain.
    pub(crate) node: &'static str,
    /// Signing addresses.
    pub(crate) addresses: u64,
    /// The executor that ran, for a person.
    pub(crate) executor: String,
    /// The engine's tuning profile.
    pub(crate) profile: String,
    /// Kills asked for and done.
    pub(crate) kills: u32,
    /// The seed.
    pub(crate) seed: u64,
    /// CPU cores of the machine.
    pub(crate) cores: usize,
    /// Signing and encoding before and after the run, µs.
    pub(crate) sign_us: [f64; 2],
}

impl Report {
    /// Puts together what the load found and what the engine used.
    pub(crate) fn new(load: &LoadResult, used: &Used, sign_us: [f64; 2]) -> anyhow::Result<Self> {
        // Without a confirmed transaction there is no cost of one; the counts below then tell the story.
        let per_tx = |total: f64| {
            if load.confirmed == 0 { 0.0 } else { total / load.confirmed as f64 }
        };
        let counter = |value: Option<f64>, name: &str| value.with_context(|| format!("the engine's /metrics has no {name}"));
        // The floor is the smaller one: whatever else the machine did meanwhile can only have made the other one larger, and
        // the ratio smaller than it is.
        let sign_us = sign_us[0].min(sign_us[1]);
        let cpu_us_per_tx = per_tx(used.cpu.micros() as f64);
        let of = |milestone: &LoadQuantiles| milestone.quantiles.clone();
        let milestones = &load.latency_ms.milestones;
        Ok(Self {
            offered: load.offered,
            sent: load.sent,
            accepted: load.accepted,
            included: load.included,
            confirmed: load.confirmed,
            dropped: load.dropped,
            duplicated: load.duplicated,
            tps: load.tps,
            cpu_us_per_tx,
            sign_us,
            cpu_ratio: cpu_us_per_tx / sign_us,
            http_requests_per_tx: per_tx(counter(used.counters.http_requests, "millrace_rpc_http_requests_total")?),
            rpc_calls_per_tx: per_tx(counter(used.counters.rpc_calls, "millrace_rpc_calls_total")?),
            fsyncs_per_tx: per_tx(counter(used.counters.fsyncs, "millrace_fsyncs_total")?),
            peak_rss_mb: used.peak_memory_kib as f64 / 1024.0,
            latency_ms: Milestones {
                durable: of(&milestones.durable),
                sent: of(&milestones.sent),
                included: of(&milestones.included),
                confirmed: of(&milestones.confirmed),
            },
        })
    }

    /// The table.
    pub(crate) fn table(&self, verified: &Verified, setting: &Setting) -> String {
        let load = &verified.result;
        let mut table = String::new();
        let Setting { node, addresses, executor, profile, kills, seed, cores, sign_us } = setting;
        let mut line = |text: String| {
            writeln!(table, "{}", text.trim_end()).expect("writing to a String cannot fail");
        };
        let rule = || "─".repeat(84);
        line(rule());
        line(format!("millrace demo   {} transfers from {addresses} addresses into {node}, blocks of 1 s", self.offered));
        line(format!("                executor {executor}, profile {profile}, {kills} kills, seed {seed}"));
        line(format!("                {cores} CPU cores, shared by engine, chain and load"));
        line(rule());
        line(format!(
            "{:<12}{:>10}   {:<12}{:>10}   {:<12}{:>10}",
            "offered", self.offered, "included", self.included, "dropped", self.dropped
        ));
        line(format!(
            "{:<12}{:>10}   {:<12}{:>10}   {:<12}{:>10}",
            "sent", self.sent, "confirmed", self.confirmed, "duplicated", self.duplicated
        ));
        line(format!(
            "{:<12}{:>10}   {:<12}{:>10.0}   {:<12}{:>10}",
            "accepted", self.accepted, "TPS", self.tps, "repeated", load.repeated
        ));
        line(rule());
        line(format!("{:<22}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}", "latency, ms", "p50", "p90", "p99", "p99.9", "max", "unknown"));
        let milestones = &load.latency_ms.milestones;
        for (name, milestone) in [
            ("request to durable", &milestones.durable),
            ("request to sent", &milestones.sent),
            ("request to included", &milestones.included),
            ("request to confirmed", &milestones.confirmed),
        ] {
            line(format!("{name:<22}{}{:>10}", milestone.quantiles.cells(1), milestone.unknown));
        }
        line(rule());
        let [before, after] = sign_us;
        line(format!("{:<44}{:>10.1} µs", "engine CPU for a transaction", self.cpu_us_per_tx));
        line(format!("{:<44}{:>10.1} µs   (before {before:.1}, after {after:.1})", "bare sign and encode", self.sign_us));
        line(format!("{:<44}{:>10.2}", "ratio", self.cpu_ratio));
        line(format!("{:<44}{:>10.4}", "HTTP requests to the node for a transaction", self.http_requests_per_tx));
        line(format!("{:<44}{:>10.4}", "RPC calls to the node for a transaction", self.rpc_calls_per_tx));
        line(format!("{:<44}{:>10.4}", "fsyncs for a transaction", self.fsyncs_per_tx));
        line(format!("{:<44}{:>10.1} MB", "peak memory of the engine", self.peak_rss_mb));
        line(rule());
        line(verified.verdict());
        table
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::engine::Counters;
    use super::*;
    use crate::usage::CpuTime;

    fn load_result() -> LoadResult {
        let quantiles = serde_json::json!({"p50": 1.0, "p90": 2.0, "p99": 3.0, "p999": 4.0, "max": null, "known": 9, "unknown": 1});
        serde_json::from_value(serde_json::json!({
            "offered": 10, "sent": 10, "accepted": 10, "included": 10, "confirmed": 10, "dropped": 0, "duplicated": 0,
            "repeated": 3, "failed": 0, "refused": 0, "gaps": 0, "strangers": 0, "disagreements": 0, "tps": 123.4,
            "latency_ms": {"durable": quantiles, "sent": quantiles, "included": quantiles, "confirmed": quantiles,
                "durable_to_sent": quantiles},
        }))
        .unwrap()
    }

    fn used() -> Used {
        let counters = Counters { http_requests: Some(5.0), rpc_calls: Some(20.0), fsyncs: Some(1.0), seen_to_confirmed_s: None };
        Used { cpu: CpuTime::default(), peak_memory_kib: 2048, counters }
    }

    #[test]
    fn the_json_has_exactly_the_promised_keys() {
        let report = serde_json::to_value(Report::new(&load_result(), &used(), [17.0, 19.0]).unwrap()).unwrap();
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let expected = set(&[
            "offered",
            "sent",
            "accepted",
            "included",
            "confirmed",
            "dropped",
            "duplicated",
            "tps",
            "cpu_us_per_tx",
            "sign_us",
            "cpu_ratio",
            "http_requests_per_tx",
            "rpc_calls_per_tx",
            "fsyncs_per_tx",
            "peak_rss_mb",
            "latency_ms",
        ]);
        assert_eq!(keys(&report), expected);
        assert_eq!(keys(&report["latency_ms"]), set(&["durable", "sent", "included", "confirmed"]));
        assert_eq!(keys(&report["latency_ms"]["sent"]), set(&["p50", "p90", "p99", "p999", "max"]));
        assert_eq!(
            (report["sign_us"].as_f64(), report["rpc_calls_per_tx"].as_f64(), report["peak_rss_mb"].as_f64()),
            (Some(17.0), Some(2.0), Some(2.0))
        );
    }

    type Spoil = fn(&mut Verified);

    /// The verdict on a result that is good but for what `spoil` does to it.
    fn judged(spoil: Spoil) -> (bool, String) {
        let mut verified = Verified { result: load_result(), is_approved: true };
        spoil(&mut verified);
        (verified.is_exactly_once(), verified.verdict())
    }

    #[test]
    fn a_result_without_trouble_that_load_verify_approves_is_exactly_once() {
        assert_eq!(judged(|_| {}), (true, "every transaction was mined exactly once".to_owned()));
    }

    #[test]
    fn each_trouble_alone_is_enough_for_a_no_and_is_named() {
        let cases: [(Spoil, &str); 10] = [
            (|it| it.result.confirmed = 9, "not confirmed 1"),
            (|it| it.result.refused = 2, "refused 2"),
            (|it| it.result.dropped = 1, "dropped 1"),
            (|it| it.result.duplicated = 1, "duplicated 1"),
            (|it| it.result.failed = 1, "failed 1"),
            (|it| it.result.gaps = 3, "nonces out of step 3"),
            (|it| it.result.strangers = 1, "strangers 1"),
            (|it| it.result.disagreements = 1, "told otherwise by the engine 1"),
            (|it| it.result.accepted = 9, "load verify says so"),
            (|it| it.is_approved = false, "load verify says so"),
        ];
        for (spoil, expected) in cases {
            let (is_exactly_once, verdict) = judged(spoil);
            assert!(!is_exactly_once, "{expected}");
            assert!(verdict.starts_with("NOT") && verdict.ends_with(expected), "{verdict}");
        }
    }

    #[test]
    fn a_result_that_lacks_a_count_is_not_read() {
        let error = serde_json::from_str::<LoadResult>(r#"{"offered": 1}"#).unwrap_err();
        assert!(error.to_string().contains("missing field"), "{error}");
    }

    #[test]
    fn the_table_ends_with_the_verdict() {
        let mut verified = Verified { result: load_result(), is_approved: true };
        verified.result.strangers = 1;
        let table = Report::new(&verified.result, &used(), [18.0; 2]).unwrap().table(&verified, &setting());
        assert_eq!(table.lines().last(), Some("NOT every transaction was mined exactly once: strangers 1"));
    }

    fn setting() -> Setting {
        let executor = "io_uring (auto)".to_owned();
        Setting {
            node: "devnet",
            addresses: 64,
            executor,
            profile: "default".to_owned(),
            kills: 5,
            seed: 99,
            cores: 2,
            sign_us: [17.0, 19.0],
        }
    }

    #[test]
    fn a_counter_the_engine_does_not_have_is_an_error_and_not_a_zero() {
        let mut used = used();
        used.counters.fsyncs = None;
        let message = format!("{:#}", Report::new(&load_result(), &used, [18.0; 2]).unwrap_err());
        assert!(message.contains("millrace_fsyncs_total"), "{message}");
    }

    #[test]
    fn the_table_names_the_settings_and_says_what_is_unknown() {
        let verified = Verified { result: load_result(), is_approved: true };
        let table = Report::new(&verified.result, &used(), setting().sign_us).unwrap().table(&verified, &setting());
        for expected in [
            "devnet",
            "64 addresses",
            "executor io_uring (auto), profile default, 5 kills, seed 99",
            "2 CPU cores",
            "before 17.0, after 19.0",
            "exactly once",
            "unknown",
        ] {
            assert!(table.contains(expected), "no `{expected}` in\n{table}");
        }
        let widths: Vec<usize> = table.lines().filter(|line| line.starts_with("request to")).map(|line| line.chars().count()).collect();
        assert_eq!(widths, [82; 4]);
    }
}
