//! The project's targets, each with what was reached.

use serde::Serialize;

use super::figures::{Figures, Row, System};
use crate::bench::spread::Spread;
use crate::demo::options::NodeKind;

/// A target and what was reached.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Target {
    /// What is measured.
    pub(super) what: String,
    /// Whether more is better; else less is.
    pub(super) at_least: bool,
    /// The bound.
    pub(super) bound: f64,
    /// What was reached; none where this run did not measure it.
    pub(super) reached: Option<Spread>,
}

impl Target {
    /// Whether the median keeps the bound; none where it was not measured.
    pub(super) fn met(&self) -> Option<bool> {
        let median = self.reached?.median;
        Some(if self.at_least { median >= self.bound } else { median <= self.bound })
    }
}

/// All targets, in the order of the systems.
pub(super) fn targets(figures: &Figures) -> Vec<Target> {
    let at_most = |what: String, bound, reached| Target { what, at_least: false, bound, reached };
    let at_least = |what: String, bound, reached| Target { what, at_least: true, bound, reached };
    let mut targets = Vec::new();
    for row in figures.rows.iter().filter(|row| row.system.is_engine()) {
        let name = row.system.name();
        let bound = if matches!(row.system, System::Embedded(_)) { 1.5 } else { 2.0 };
        targets.push(at_most(format!("CPU ÷ bare sign and encode, {name}"), bound, row.cpu_to_floor));
        targets.push(at_most(format!("CPU ÷ the same on all cores at once, {name}"), bound, row.cpu_to_busy_floor));
        if matches!(row.system, System::Embedded(_)) {
            targets.push(at_most(format!("the shards' threads ÷ bare sign and encode, {name}"), 1.4, row.shard_cpu_to_floor));
            targets.push(at_most(format!("the shards' threads ÷ the same on all cores at once, {name}"), 1.4, row.shard_cpu_to_busy_floor));
        }
    }
    if let Some(devnet) = figures.devnet_to_recovery {
        targets.push(at_most("devnet's CPU ÷ recovering one sender".to_owned(), 1.6, Some(devnet)));
    }
    let engine = |figure: fn(&Row) -> Option<Spread>| {
        let rows = figures.rows.iter().filter(move |row| row.system.is_engine());
        rows.filter_map(move |row| Some((row.system.name(), Some(figure(row)?)))).collect::<Vec<_>>()
    };
    // devnet shares its cores with the engine and is as fast as it: there the blast says how little the engine leaves it.
    if figures.node != NodeKind::Devnet.name() {
        targets.extend(
            engine(|row| row.tps_to_blast).into_iter().map(|(name, reached)| at_least(format!("TPS ÷ blast, {name}"), 0.9, reached)),
        );
    }
    targets.extend(
        engine(|row| row.alloy_cpu_to_ours)
            .into_iter()
            .map(|(name, reached)| at_least(format!("alloy's CPU ÷ ours, {name}"), 8.0, reached)),
    );
    targets.extend(
        engine(|row| row.http_requests).into_iter().map(|(name, reached)| at_most(format!("HTTP requests, {name}"), 0.05, reached)),
    );
    targets.extend(engine(|row| row.fsyncs).into_iter().map(|(name, reached)| at_most(format!("fsyncs, {name}"), 0.01, reached)));
    if let Some(growth) = figures.growth {
        targets.push(at_most("start with 50,000 bound and 950,000 waiting, µs of CPU for each".to_owned(), 5.0, Some(growth.start_us)));
        targets.push(at_most("100,000 addresses ÷ 100".to_owned(), 1.3, Some(growth.addresses)));
        targets.push(at_most("after 10,000,000 in history ÷ empty".to_owned(), 1.2, Some(growth.history)));
    }
    targets
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::figures::tests::figures;
    use super::*;

    #[test]
    fn a_target_is_met_by_the_median() {
        let targets = targets(&figures());
        let met = |what: &str| targets.iter().find(|target| target.what.starts_with(what)).unwrap().met();
        // 1.62 and not 1.5; 15 times and not 8.
        assert_eq!((met("CPU ÷ bare"), met("alloy's CPU"), met("the shards' threads")), (Some(false), Some(true), None));
    }
}
