//! Latencies from the intended start of a request to each of the engine's milestones.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart, in µs: one hour. Longer ones count as that.
const LONGEST_US: u64 = 3_600_000_000;

/// When each milestone was reached, in µs since the Unix epoch; null where nobody knows any more.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) struct Timeline {
    /// The answer was here, by the load's clock; all others are by the engine's where there is one.
    #[serde(skip)]
    pub(crate) accepted: Option<u64>,
    /// On disk.
    pub(crate) durable: Option<u64>,
    /// Handed to the node.
    pub(crate) sent: Option<u64>,
    /// Seen in a block.
    pub(crate) included: Option<u64>,
    /// Deep enough.
    pub(crate) confirmed: Option<u64>,
}

/// Quantiles of one milestone, in milliseconds; all null where nothing is known.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub(crate) struct Quantiles {
    /// Median.
    pub(crate) p50: Option<f64>,
    /// 90 %.
    pub(crate) p90: Option<f64>,
    /// 99 %.
    pub(crate) p99: Option<f64>,
    /// 99.9 %.
    pub(crate) p999: Option<f64>,
    /// The longest.
    pub(crate) max: Option<f64>,
    /// Transactions whose milestone is known.
    pub(crate) known: u64,
    /// Transactions whose milestone the engine no longer knows, after a restart.
    pub(crate) unknown: u64,
}

/// Quantiles of all milestones.
#[derive(Clone, Debug, Serialize, PartialEq)]
pub(crate) struct LatencyReport {
    /// To the answer.
    pub(crate) accepted: Quantiles,
    /// To disk.
    pub(crate) durable: Quantiles,
    /// To the node.
    pub(crate) sent: Quantiles,
    /// Into a block.
    pub(crate) included: Quantiles,
    /// To confirmation.
    pub(crate) confirmed: Quantiles,
    /// From disk to the node, not from the intended start.
    pub(crate) durable_to_sent: Quantiles,
}

/// One milestone's histogram.
struct Milestone {
    histogram: Histogram<u64>,
    unknown: u64,
}

impl Milestone {
    fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LONGEST_US, 3).expect("the bounds are constant and valid");
        Self { histogram, unknown: 0 }
    }

    fn record(&mut self, intended_us: u64, reached_us: Option<u64>) {
        match reached_us {
            Some(reached_us) => self.histogram.saturating_record(reached_us.saturating_sub(intended_us).max(1)),
            None => self.unknown += 1,
        }
    }

    /// A step is known where both its ends are.
    fn record_step(&mut self, from_us: Option<u64>, to_us: Option<u64>) {
        self.record(from_us.unwrap_or(0), to_us.filter(|_| from_us.is_some()));
    }

    fn quantiles(&self) -> Quantiles {
        let known = self.histogram.len();
        let at = |quantile: f64| (known > 0).then(|| self.histogram.value_at_quantile(quantile) as f64 / 1000.0);
        let max = (known > 0).then(|| self.histogram.max() as f64 / 1000.0);
        Quantiles { p50: at(0.5), p90: at(0.9), p99: at(0.99), p999: at(0.999), max, known, unknown: self.unknown }
    }
}

impl LatencyReport {
    /// All milestones by name, in their order.
    pub(crate) fn milestones(&self) -> [(&'static str, &Quantiles); 5] {
        [
            ("accepted", &self.accepted),
            ("durable", &self.durable),
            ("sent", &self.sent),
            ("included", &self.included),
            ("confirmed", &self.confirmed),
        ]
    }
}

/// Collects latencies.
pub(crate) struct Latencies {
    accepted: Milestone,
    durable: Milestone,
    sent: Milestone,
    included: Milestone,
    confirmed: Milestone,
    durable_to_sent: Milestone,
}

impl Latencies {
    /// Nothing collected yet.
    pub(crate) fn new() -> Self {
        let [accepted, durable, sent, included, confirmed, durable_to_sent] = std::array::from_fn(|_| Milestone::new());
        Self { accepted, durable, sent, included, confirmed, durable_to_sent }
    }

    /// Adds one transaction that was due at `intended_us`.
    pub(crate) fn record(&mut self, intended_us: u64, timeline: &Timeline) {
        self.accepted.record(intended_us, timeline.accepted);
        self.durable.record(intended_us, timeline.durable);
        self.sent.record(intended_us, timeline.sent);
        self.included.record(intended_us, timeline.included);
        self.confirmed.record(intended_us, timeline.confirmed);
        self.durable_to_sent.record_step(timeline.durable, timeline.sent);
    }

    /// The quantiles so far.
    pub(crate) fn report(&self) -> LatencyReport {
        LatencyReport {
            accepted: self.accepted.quantiles(),
            durable: self.durable.quantiles(),
            sent: self.sent.quantiles(),
            included: self.included.quantiles(),
            confirmed: self.confirmed.quantiles(),
            durable_to_sent: self.durable_to_sent.quantiles(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn latencies_count_from_the_intended_start() {
        let mut latencies = Latencies::new();
        latencies.record(1_000_000, &Timeline { durable: Some(1_003_000), sent: Some(1_010_000), ..Timeline::default() });
        let report = latencies.report();
        assert!((report.durable.max.unwrap() - 3.0).abs() < 0.01);
        assert!((report.sent.p50.unwrap() - 10.0).abs() < 0.02);
    }

    #[test]
    fn what_the_engine_no_longer_knows_is_counted_and_not_guessed() {
        let mut latencies = Latencies::new();
        latencies.record(5, &Timeline { durable: Some(1000), ..Timeline::default() });
        latencies.record(5, &Timeline::default());
        let report = latencies.report();
        assert_eq!((report.durable.known, report.durable.unknown), (1, 1));
        assert_eq!((report.confirmed.known, report.confirmed.unknown, report.confirmed.p50), (0, 2, None));
    }

    #[test]
    fn a_step_between_milestones_counts_from_the_first_of_them_and_is_unknown_without_it() {
        let mut latencies = Latencies::new();
        latencies.record(1, &Timeline { durable: Some(5_000), sent: Some(9_000), ..Timeline::default() });
        latencies.record(1, &Timeline { sent: Some(9_000), ..Timeline::default() });
        let step = latencies.report().durable_to_sent;
        assert!((step.max.unwrap() - 4.0).abs() < 0.01);
        assert_eq!((step.known, step.unknown), (1, 1));
    }

    #[test]
    fn quantiles_are_in_order() {
        let mut latencies = Latencies::new();
        for ms in 1..=1000 {
            latencies.record(0, &Timeline { durable: Some(ms * 1000), ..Timeline::default() });
        }
        let durable = latencies.report().durable;
        let values = [durable.p50, durable.p90, durable.p99, durable.p999, durable.max].map(Option::unwrap);
        assert!(values.is_sorted());
        assert!((values[0] - 500.0).abs() < 1.0 && (values[4] - 1000.0).abs() < 1.0, "{values:?}");
    }
}
