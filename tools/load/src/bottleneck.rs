//! What limited a run: the place with a queue in front of it.
//!
//! ```text
//! due ─[source]─► sent ─[engine takes in]─► accepted ─[engine]─► handed to the node ─[node]─► in a block
//! ```
//!
//! How many wait at each place, divided by the throughput, is how long they wait there (Little's law). A queue that is full pushes
//! back on the places before it, so of several places with a queue the last one is what limits. Where nothing waits longer than
//! it must, the system did what was asked of it, and the rate is the limit. Only the time in which load was offered counts.

use serde::Serialize;

use crate::event::{BlockSeen, Sample};
use crate::record::Record;
use crate::stage::StagePace;

/// A wait shorter than this is no queue: gauges are read every 0.2 s, and the engine shows those of the reading before.
const WAIT_LEAST_S: f64 = 0.6;
/// A transaction waits for a block half an interval in the mean; one that comes in bursts, up to this many.
const BLOCKS_NATURAL: f64 = 1.5;
/// Blocks as full as this are full: the last transaction rarely fits.
const FULL: f64 = 0.9;
/// A process of one thread that is as busy as this does no more.
const CORE_BUSY: f64 = 0.85;
/// Connections that wait for answers for this share of the time leave the load nothing to send with.
const CONNECTIONS_BUSY: f64 = 0.8;

/// What limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Limit {
    /// The load could not offer as fast as it was told to.
    Source,
    /// What was asked for was done.
    Rate,
    /// The engine.
    Engine,
    /// The node or its chain.
    Node,
    /// The run was too short to tell.
    Unknown,
}

/// What limits, and why that is thought.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Bottleneck {
    /// What.
    pub(crate) limit: Limit,
    /// Why, for a person.
    pub(crate) reason: String,
}

/// Means over the time in which load was offered.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Means {
    included_per_s: f64,
    source_wait_s: f64,
    engine_wait_s: f64,
    node_wait_s: f64,
    block_interval_s: f64,
    fullness: f64,
    waiting: f64,
    load_cpu: Option<f64>,
    engine_cpu: Option<f64>,
    node_cpu: Option<f64>,
    machine_cpu: Option<f64>,
    cores: f64,
}

/// Names what limited the run.
pub(crate) fn find(record: &Record) -> Bottleneck {
    let Some(means) = means(record) else {
        let reason = "there are not two samples and two blocks from the time in which load was offered; make the run longer".to_owned();
        return Bottleneck { limit: Limit::Unknown, reason };
    };
    let (limit, mut reason) = judge(&means, record);
    if let Some(machine) = means.machine_cpu.filter(|machine| *machine > FULL * means.cores) {
        let parts = [("load", means.load_cpu), ("engine", means.engine_cpu), ("node", means.node_cpu)];
        let parts: Vec<String> = parts.iter().filter_map(|(name, cpu)| cpu.map(|cpu| format!("{name} {cpu:.2}"))).collect();
        reason.push_str(&format!(
            " This machine has no CPU left: {machine:.2} of {} cores are busy ({}), so what shares it slows the rest.",
            means.cores,
            parts.join(", ")
        ));
    }
    Bottleneck { limit, reason }
}

fn judge(means: &Means, record: &Record) -> (Limit, String) {
    let is_direct = record.begin.direct.is_some();
    let natural_s = BLOCKS_NATURAL * means.block_interval_s;
    let least_s = WAIT_LEAST_S.max(means.block_interval_s / 4.0);
    let rate = means.included_per_s;
    let fullness = 100.0 * means.fullness;
    if means.node_wait_s > natural_s + least_s {
        let why = if means.fullness > FULL { "they have no room for more" } else { "they have room, so its pool or its CPU is slow" };
        let reason = format!(
            "Transactions are with the node for {:.1} s before they are in a block, at a block every {:.1} s; blocks are {fullness:.0} % full: {why}. {rate:.0}/s got in.",
            means.node_wait_s, means.block_interval_s
        );
        return (Limit::Node, reason);
    }
    if means.engine_wait_s > least_s {
        let (limit, who) = if is_direct { (Limit::Node, "node") } else { (Limit::Engine, "engine") };
        let reason = format!(
            "Transactions wait {:.1} s in and before the {who}, and then {:.1} s for a block; blocks are {fullness:.0} % full. {rate:.0}/s got in.",
            means.engine_wait_s, means.node_wait_s
        );
        return (limit, reason);
    }
    if means.source_wait_s > least_s {
        return late(means, record, is_direct);
    }
    (Limit::Rate, kept_up(means, record))
}

/// Why batches were sent late.
fn late(means: &Means, record: &Record, is_direct: bool) -> (Limit, String) {
    let connections = record.begin.connections;
    let waiting = 100.0 * means.waiting;
    let is_own = means.load_cpu.is_some_and(|cpu| cpu > CORE_BUSY);
    if means.waiting > CONNECTIONS_BUSY && !is_own {
        let (limit, who) = if is_direct { (Limit::Node, "node") } else { (Limit::Engine, "engine") };
        let reason = format!(
            "Batches are sent {:.1} s late because the {connections} connections wait for the {who}'s answers {waiting:.0} % of the time. More --connections tell whether it could do more.",
            means.source_wait_s
        );
        return (limit, reason);
    }
    let cpu = means.load_cpu.map_or_else(|| "an unknown part".to_owned(), |cpu| format!("{:.0} %", 100.0 * cpu));
    let reason = format!(
        "The load sends {:.1} s after it should: it takes {cpu} of one core, and its connections wait for answers only {waiting:.0} % of the time. Give it a machine of its own, larger batches, or less to do.",
        means.source_wait_s
    );
    (Limit::Source, reason)
}

fn kept_up(means: &Means, record: &Record) -> String {
    let total_s = means.source_wait_s + means.engine_wait_s + means.node_wait_s;
    let rate = means.included_per_s;
    let is_closed = record.begin.stages.iter().all(|stage| matches!(stage.pace, StagePace::Closed(_)));
    if is_closed {
        return format!(
            "The loop is closed, and what is in it takes {total_s:.1} s to a block, most of it the wait for one: {rate:.0}/s. A wider loop (--outstanding) would let more in."
        );
    }
    format!(
        "Everything that was due got in, {rate:.0}/s in the mean, within {total_s:.1} s: nothing waits longer than for its block. A higher rate would find the limit."
    )
}

fn means(record: &Record) -> Option<Means> {
    let total = record.transactions();
    let end = record.samples.iter().position(|sample| sample.offered >= total).map_or(record.samples.len(), |last| last + 1);
    let samples = &record.samples[..end];
    let (first, last) = (samples.first()?, samples.last()?);
    last.at_us.checked_sub(first.at_us).filter(|us| *us > 0)?;
    let during = |block: &&BlockSeen| (first.at_us..=last.at_us).contains(&block.seen_us);
    let blocks: Vec<&BlockSeen> = record.blocks.iter().filter(during).collect();
    // Where the blocks of the time hold nothing yet, all of the run must tell the throughput.
    let throughput = |samples: &[Sample]| {
        let (first, last) = (samples.first()?, samples.last()?);
        let s = (last.at_us - first.at_us) as f64 / 1e6;
        (last.included > first.included && s > 0.0).then(|| (last.included - first.included) as f64 / s)
    };
    let included_per_s = throughput(samples).or_else(|| throughput(&record.samples))?;
    let mean = |value: &dyn Fn(&Sample) -> u64| samples.iter().map(|sample| value(sample) as f64).sum::<f64>() / samples.len() as f64;
    let wait_s = |value: &dyn Fn(&Sample) -> u64| mean(value) / included_per_s;
    let cpu = |value: &dyn Fn(&Sample) -> Option<u64>| {
        let known: Vec<(u64, u64)> = samples.iter().filter_map(|sample| Some((sample.at_us, value(sample)?))).collect();
        let ((at0, cpu0), (at1, cpu1)) = (*known.first()?, *known.last()?);
        (at1 > at0).then(|| cpu1.saturating_sub(cpu0) as f64 / (at1 - at0) as f64)
    };
    Some(Means {
        included_per_s,
        source_wait_s: wait_s(&|sample| sample.due.saturating_sub(sample.sent)),
        engine_wait_s: wait_s(&|sample| before_node(sample)),
        node_wait_s: wait_s(&|sample| with_node(sample)),
        block_interval_s: interval_s(&record.blocks)?,
        fullness: blocks.iter().map(|block| block.gas_used as f64 / block.gas_limit.max(1) as f64).sum::<f64>()
            / blocks.len().max(1) as f64,
        waiting: samples.iter().map(|sample| sample.waiting).sum::<f64>() / samples.len() as f64,
        load_cpu: cpu(&|sample| sample.load_cpu_us),
        engine_cpu: cpu(&|sample| sample.engine_cpu_us),
        node_cpu: cpu(&|sample| sample.node_cpu_us),
        machine_cpu: cpu(&|sample| sample.machine_cpu_us),
        cores: last.cores.max(1) as f64,
    })
}

/// Transactions with the node: no more than are accepted and in no block.
fn with_node(sample: &Sample) -> u64 {
    let ours = sample.accepted.saturating_sub(sample.included);
    sample.tracking.map_or(ours, |tracking| tracking.min(ours))
}

/// Transactions sent, and not with the node yet.
fn before_node(sample: &Sample) -> u64 {
    sample.sent.saturating_sub(sample.refused + sample.included).saturating_sub(with_node(sample))
}

/// Mean time between blocks; those before the first come late, when the follower catches up.
pub(crate) fn interval_s(blocks: &[BlockSeen]) -> Option<f64> {
    let (first, last) = (blocks.first()?, blocks.last()?);
    let count = last.number.checked_sub(first.number).filter(|count| *count > 0)?;
    Some((last.seen_us.saturating_sub(first.seen_us)) as f64 / 1e6 / count as f64)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::event::Event;
    use crate::record::tests::lines;

    /// Ten seconds at 100/s and a block a second, as `change` makes it.
    fn found(change: impl Fn(&mut Sample, &mut BlockSeen)) -> Bottleneck {
        let events: Vec<Event> = (0..=10)
            .flat_map(|second| {
                let at_us = 1_000_000 * (second + 1);
                let done = 100 * second;
                let mut sample = Sample { at_us, due: done, offered: done, sent: done, accepted: done, cores: 8, ..Sample::default() };
                sample.included = done.saturating_sub(50);
                sample.tracking = Some(50.min(done));
                let mut block = BlockSeen { number: second, seen_us: at_us, transactions: 100, gas_used: 40, gas_limit: 100 };
                change(&mut sample, &mut block);
                [Event::Sample(sample), Event::Block(block)]
            })
            .collect();
        find(&Record::parse(&lines(5_000, &events)).unwrap())
    }

    #[test]
    fn where_nothing_waits_the_rate_is_the_limit() {
        let bottleneck = found(|_, _| {});
        assert_eq!(bottleneck.limit, Limit::Rate, "{}", bottleneck.reason);
    }

    #[test]
    fn full_blocks_and_a_queue_before_them_are_the_nodes() {
        let bottleneck = found(|sample, block| {
            sample.tracking = Some(sample.accepted);
            sample.included /= 2;
            block.gas_used = 99;
        });
        assert_eq!(bottleneck.limit, Limit::Node, "{}", bottleneck.reason);
        assert!(bottleneck.reason.contains("99 % full"), "{}", bottleneck.reason);
    }

    #[test]
    fn a_queue_between_the_answer_and_the_node_is_the_engines() {
        let bottleneck = found(|sample, _| {
            sample.included /= 2;
            sample.tracking = Some(50);
        });
        assert_eq!(bottleneck.limit, Limit::Engine, "{}", bottleneck.reason);
    }

    #[test]
    fn a_queue_pushes_back_and_the_last_place_with_one_is_named() {
        let bottleneck = found(|sample, _| {
            sample.included /= 3;
            sample.tracking = Some(sample.accepted / 2);
            sample.due = sample.sent * 2;
        });
        assert_eq!(bottleneck.limit, Limit::Node, "{}", bottleneck.reason);
    }

    #[test]
    fn a_load_that_is_late_by_itself_is_the_source_and_one_that_waits_for_answers_is_not() {
        let late = |waiting: f64, cpu: f64| {
            found(move |sample, _| {
                sample.due = sample.sent * 3;
                sample.waiting = waiting;
                sample.load_cpu_us = Some((sample.at_us as f64 * cpu) as u64);
            })
        };
        assert_eq!(late(0.1, 0.99).limit, Limit::Source);
        assert_eq!(late(0.95, 0.99).limit, Limit::Source);
        let bottleneck = late(0.95, 0.2);
        assert_eq!(bottleneck.limit, Limit::Engine);
        assert!(bottleneck.reason.contains("--connections"), "{}", bottleneck.reason);
    }

    #[test]
    fn a_machine_without_cpu_left_is_told() {
        let bottleneck = found(|sample, _| {
            sample.cores = 2;
            sample.machine_cpu_us = Some(2 * sample.at_us);
        });
        assert!(bottleneck.reason.contains("2.00 of 2 cores"), "{}", bottleneck.reason);
    }

    #[test]
    fn a_run_without_samples_is_too_short_to_tell() {
        assert_eq!(find(&Record::parse(&lines(1, &[])).unwrap()).limit, Limit::Unknown);
    }
}
