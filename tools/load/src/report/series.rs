//! What the charts show: a run's record and its verified transactions as points over time.

use std::collections::HashMap;

use hdrhistogram::Histogram;

use super::chart::Line;
use crate::bottleneck::interval_s;
use crate::event::Sample;
use crate::latency::Timeline;
use crate::ledger::Execution;
use crate::outcome::Told;
use crate::record::Record;

/// A chart over time has about this many points at most.
const POINTS: f64 = 120.0;
/// A chart over time has at least about this many points.
const POINTS_LEAST: f64 = 8.0;
/// Widths of a point in seconds, the smallest that gives few enough points is taken.
const WIDTHS_S: [f64; 12] = [0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0];
/// Longest latency told apart, µs: one hour.
const LONGEST_US: u64 = 3_600_000_000;
/// Bars of blocks at most; more blocks than that are drawn every so many.
const BARS: usize = 300;

/// Reads one milestone of a timeline.
type Milestone = fn(&Timeline) -> Option<u64>;

/// All that is known of a run, ready to be drawn.
pub(super) struct Series<'a> {
    record: &'a Record,
    executed: &'a [Option<Execution>],
    told: &'a [Option<Told>],
    width_s: f64,
    points: usize,
}

impl<'a> Series<'a> {
    /// `executed` and `told` are indexed by number.
    pub(super) fn new(record: &'a Record, executed: &'a [Option<Execution>], told: &'a [Option<Told>]) -> Self {
        let length_s = record.end_us().saturating_sub(record.begin.at_us) as f64 / 1e6;
        // Narrower than a block's interval, a point would show blocks and gaps between them in place of a rate.
        let block_s = interval_s(&record.blocks).unwrap_or(0.0).min(length_s / POINTS_LEAST);
        let fits = |width_s: &f64| length_s / width_s <= POINTS && *width_s > 0.9 * block_s;
        let width_s = WIDTHS_S.into_iter().find(fits).unwrap_or(WIDTHS_S[WIDTHS_S.len() - 1]);
        Self { record, executed, told, width_s, points: (length_s / width_s).ceil().max(1.0) as usize }
    }

    /// Seconds from the begin of the run.
    pub(super) fn at_s(&self, at_us: u64) -> f64 {
        at_us.saturating_sub(self.record.begin.at_us) as f64 / 1e6
    }

    fn place(&self, at_us: u64) -> usize {
        ((self.at_s(at_us) / self.width_s) as usize).min(self.points - 1)
    }

    fn middle_s(&self, place: usize) -> f64 {
        (place as f64 + 0.5) * self.width_s
    }

    /// Transactions a second: due, accepted, in blocks.
    pub(super) fn throughput(&self) -> Vec<Line> {
        let mut counts = [(); 3].map(|()| vec![0_u64; self.points]);
        for batch in &self.record.batches {
            counts[0][self.place(batch.intended_us)] += batch.count;
        }
        for at_us in self.record.accepted_us.iter().filter(|at_us| **at_us > 0) {
            counts[1][self.place(*at_us)] += 1;
        }
        let seen_us: HashMap<u64, u64> = self.record.blocks.iter().map(|block| (block.number, block.seen_us)).collect();
        for at_us in self.executed.iter().flatten().filter_map(|execution| seen_us.get(&execution.block)) {
            counts[2][self.place(*at_us)] += 1;
        }
        let line = |(name, counts): (&'static str, &Vec<u64>)| {
            let rate = |(place, count): (usize, &u64)| (self.middle_s(place), Some(*count as f64 / self.width_s));
            Line::new(name, counts.iter().enumerate().map(rate).collect())
        };
        ["due", "accepted", "in blocks"].into_iter().zip(&counts).map(line).collect()
    }

    /// Intended time and timeline of each number of which both are known.
    fn timelines(&self) -> impl Iterator<Item = (u64, &Timeline)> {
        (0..).zip(self.told).filter_map(|(number, told)| Some((self.record.intended_us(number)?, &told.as_ref()?.timeline)))
    }

    /// Latency from the intended time to the block, by the intended time.
    pub(super) fn latency(&self) -> Vec<Line> {
        let mut histograms: Vec<Option<Histogram<u64>>> = vec![None; self.points];
        for (intended_us, timeline) in self.timelines() {
            if let Some(included_us) = timeline.included {
                histograms[self.place(intended_us)]
                    .get_or_insert_with(histogram)
                    .saturating_record(included_us.saturating_sub(intended_us).max(1));
            }
        }
        let line = |(name, quantile): (&'static str, f64)| {
            let at = |(place, histogram): (usize, &Option<Histogram<u64>>)| {
                (self.middle_s(place), histogram.as_ref().map(|histogram| histogram.value_at_quantile(quantile) as f64 / 1e3))
            };
            Line::new(name, histograms.iter().enumerate().map(at).collect())
        };
        [("50 %", 0.5), ("90 %", 0.9), ("99 %", 0.99), ("slowest", 1.0)].into_iter().map(line).collect()
    }

    /// Latency by percentile, to each milestone; x is the number of nines.
    pub(super) fn percentiles(&self) -> Vec<Line> {
        let milestones: [(&'static str, Milestone); 4] = [
            ("to the answer", |timeline| timeline.accepted),
            ("to the disk", |timeline| timeline.durable),
            ("to the node", |timeline| timeline.sent),
            ("to a block", |timeline| timeline.included),
        ];
        let is_direct = self.record.begin.direct.is_some();
        let known = milestones.into_iter().filter(|(name, _)| !is_direct || !matches!(*name, "to the disk" | "to the node"));
        known
            .map(|(name, milestone)| {
                let mut all = histogram();
                for (intended_us, timeline) in self.timelines() {
                    if let Some(at_us) = milestone(timeline) {
                        all.saturating_record(at_us.saturating_sub(intended_us).max(1));
                    }
                }
                let nines_max = (all.len() as f64).max(1.0).log10().min(5.0);
                let points = (0..=(nines_max * 10.0) as u32).map(|tenth| f64::from(tenth) / 10.0);
                let value = |nines: f64| (!all.is_empty()).then(|| all.value_at_quantile(1.0 - 10_f64.powf(-nines)) as f64 / 1e3);
                Line::new(name, points.map(|nines| (nines, value(nines))).collect())
            })
            .collect()
    }

    /// Gas of each block, and the limit.
    pub(super) fn gas(&self) -> Vec<Line> {
        let every = self.record.blocks.len().div_ceil(BARS).max(1);
        let blocks = || self.record.blocks.iter().step_by(every);
        let used = blocks().map(|block| (self.at_s(block.seen_us), Some(block.gas_used as f64 / 1e6))).collect();
        let limit = blocks().map(|block| (self.at_s(block.seen_us), Some(block.gas_limit as f64 / 1e6))).collect();
        vec![Line { is_bars: true, ..Line::new("gas used", used) }, Line { is_limit: true, ..Line::new("gas limit", limit) }]
    }

    /// Transactions of each block.
    pub(super) fn block_sizes(&self) -> Vec<Line> {
        let every = self.record.blocks.len().div_ceil(BARS).max(1);
        let sizes = self.record.blocks.iter().step_by(every).map(|block| (self.at_s(block.seen_us), Some(block.transactions as f64)));
        vec![Line { is_bars: true, ..Line::new("transactions", sizes.collect()) }]
    }

    /// Where transactions are: due and not sent, on the way to the node, with the node.
    pub(super) fn queues(&self) -> Vec<Line> {
        let line = |name, value: &dyn Fn(&Sample) -> u64| {
            Line::new(name, self.record.samples.iter().map(|sample| (self.at_s(sample.at_us), Some(value(sample) as f64))).collect())
        };
        vec![
            line("due, not sent", &|sample| sample.due.saturating_sub(sample.sent)),
            line("sent, not accepted", &|sample| sample.sent.saturating_sub(sample.accepted + sample.refused)),
            line("accepted, not in a block", &|sample| sample.accepted.saturating_sub(sample.included)),
        ]
    }

    /// Busy cores: of the load, the engine, the node, the machine.
    pub(super) fn cpu(&self) -> Vec<Line> {
        let mut lines = vec![
            self.busy("load", |sample| sample.load_cpu_us),
            self.busy("engine", |sample| sample.engine_cpu_us),
            self.busy("node", |sample| sample.node_cpu_us),
            self.busy("whole machine", |sample| sample.machine_cpu_us),
        ];
        lines.retain(|line| line.points.iter().any(|(_, busy)| busy.is_some()));
        let cores = self.record.samples.last().map_or(1, |sample| sample.cores) as f64;
        let ends = self.record.samples.iter().take(1).chain(self.record.samples.last());
        lines.push(Line { is_limit: true, ..Line::new("cores", ends.map(|sample| (self.at_s(sample.at_us), Some(cores))).collect()) });
        lines
    }

    fn busy(&self, name: &'static str, time_us: fn(&Sample) -> Option<u64>) -> Line {
        let every = self.record.samples.len().div_ceil(POINTS as usize).max(1);
        let samples: Vec<&Sample> = self.record.samples.iter().step_by(every).collect();
        let point = |pair: &[&Sample]| {
            let [from, to] = pair else { return (0.0, None) };
            let passed_us = to.at_us.saturating_sub(from.at_us).max(1);
            let used_us = time_us(to).zip(time_us(from)).and_then(|(to, from)| to.checked_sub(from));
            (self.at_s(to.at_us), used_us.map(|used_us| used_us as f64 / passed_us as f64))
        };
        Line::new(name, samples.windows(2).map(point).collect())
    }
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_US, 2).expect("the bounds are constant and valid")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::event::{BlockSeen, Event};
    use crate::record::tests::{accepted, batch, lines};

    fn record() -> Record {
        let block = BlockSeen { number: 7, seen_us: 3_000_000, transactions: 4, gas_used: 21_000_000, gas_limit: 30_000_000 };
        let sample = |at_us, load| Event::Sample(Sample { at_us, load_cpu_us: Some(load), cores: 2, ..Sample::default() });
        let events = [batch(0, 4), accepted(0, 4), Event::Block(block), sample(1_000_000, 0), sample(2_000_000, 500_000)];
        Record::parse(&lines(4, &[&events[..], &[Event::Settled { at_us: 4_000_000 }]].concat())).unwrap()
    }

    fn told() -> Vec<Option<Told>> {
        let timeline = Timeline { included: Some(3_000_000), ..Timeline::default() };
        let told = Told { idempotency_key: None, status: "confirmed".into(), transaction_hash: None, timeline };
        vec![Some(told); 4]
    }

    #[test]
    fn transactions_are_counted_where_they_were_due_accepted_and_included() {
        let (record, told) = (record(), told());
        let executed = vec![Some(Execution { hash: alloy::primitives::B256::ZERO, block: 7, clean: true }); 4];
        let series = Series::new(&record, &executed, &told);
        let peaks: Vec<_> = series.throughput().iter().map(|line| line.points.iter().position(|(_, y)| *y == Some(16.0))).collect();
        assert_eq!(peaks, [Some(0), Some(4), Some(8)], "4 in a quarter of a second is 16 a second");
    }

    #[test]
    fn latency_is_shown_at_the_time_it_was_due_and_nothing_where_nothing_was() {
        let (record, told) = (record(), told());
        let series = Series::new(&record, &[], &told);
        let median = &series.latency()[0].points;
        assert!((median[0].1.unwrap() - 2000.0).abs() < 30.0 && median[1].1.is_none());
        let to_block = &series.percentiles()[3].points;
        assert!(to_block.iter().all(|(_, y)| (y.unwrap() - 2000.0).abs() < 30.0));
    }

    #[test]
    fn cpu_is_in_cores_and_a_process_that_was_not_named_has_no_line() {
        let record = record();
        let lines = Series::new(&record, &[], &[]).cpu();
        assert_eq!(lines.iter().map(|line| line.name).collect::<Vec<_>>(), ["load", "cores"]);
        assert_eq!(lines[0].points[0].1, Some(0.5));
    }
}
