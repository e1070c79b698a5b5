//! The table of an end-to-end bench: for each system the medians, and below them the least and the greatest.

use std::fmt::Write as _;

use super::figures::{Figures, Row, best};
use super::targets::targets;
use crate::bench::spread::Spread;

/// Width of the names.
const NAME: usize = 40;
/// Width of a target.
const TARGET: usize = 92;
/// Width of a figure.
const CELL: usize = 16;

/// A column: heading, decimals, and the figure of a row.
type Column = (&'static str, usize, fn(&Row) -> Option<Spread>);

/// The columns.
const COLUMNS: [Column; 8] = [
    ("TPS", 0, |row| row.tps),
    ("CPU, µs", 1, |row| row.cpu_us),
    ("CPU ÷ floor", 2, |row| row.cpu_to_floor),
    ("CPU ÷ busy", 2, |row| row.cpu_to_busy_floor),
    ("TPS ÷ blast", 3, |row| row.tps_to_blast),
    ("alloy's CPU ÷", 1, |row| row.alloy_cpu_to_ours),
    ("HTTP requests", 4, |row| row.http_requests),
    ("fsyncs", 4, |row| row.fsyncs),
];

/// The figures for a person.
pub(super) fn table(figures: &Figures) -> String {
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{}", text.trim_end()).expect("writing to a String cannot fail");
    let rule = || "─".repeat(NAME + COLUMNS.len() * CELL);
    let Figures { node, transactions, addresses, rounds, cores, .. } = figures;
    line(rule());
    line(format!("millrace, end to end   {transactions} transfers from {addresses} addresses into {node}, blocks of 1 s, {rounds} rounds"));
    line(format!("                       {cores} CPU cores, shared by all; medians of the rounds, and below them least…greatest"));
    line(rule());
    line(format!("{:<NAME$}{}", "for a transaction", COLUMNS.map(|(name, _, _)| format!("{name:>CELL$}")).concat()));
    for (name, floor) in
        [("bare sign and encode: the floor", figures.floor_us), ("on all cores at once: the busy floor", figures.busy_floor_us)]
    {
        let floor = COLUMNS.map(|(column, decimals, _)| cell(Some(floor).filter(|_| column == "CPU, µs"), decimals));
        line(format!("{name:<NAME$}{}", floor.each_ref().map(|(median, _)| median.as_str()).concat()));
        line(format!("{:NAME$}{}", "", floor.each_ref().map(|(_, range)| range.as_str()).concat()));
    }
    for row in &figures.rows {
        let cells = COLUMNS.map(|(_, decimals, figure)| cell(figure(row), decimals));
        line(format!("{:<NAME$}{}", row.system.name(), cells.each_ref().map(|(median, _)| median.as_str()).concat()));
        line(format!("{:NAME$}{}", "", cells.each_ref().map(|(_, range)| range.as_str()).concat()));
    }
    line(rule());
    let half = &figures.half_load;
    let title = format!("at {} a second, {}; ms", half.rate, half.executor);
    line(format!("{title:<NAME$}{}", ["p50", "p90", "p99", "p99.9", "max"].map(|name| format!("{name:>10}")).concat()));
    for (name, quantiles) in &half.latency_ms {
        line(format!("{name:<NAME$}{}", quantiles.cells(2)));
    }
    if let Some(ms) = half.seen_to_confirmed_ms {
        line(format!("{:<NAME$}{:>10}", "block seen to confirmed, the mean", format!("{ms:.2}")));
    }
    line(rule());
    let steps: Vec<String> = figures.sweep.iter().map(|step| format!("{}: {:.0}", step.concurrency, step.tps())).collect();
    let chosen = best(&figures.sweep).map_or(0, |step| step.concurrency);
    line(format!("alloy, TPS by transactions at a time: {}; {chosen} is taken", steps.join(", ")));
    for (step, error) in figures.sweep.iter().filter_map(|step| Some((step, step.error.as_ref()?))) {
        line(format!("alloy, {} at a time: {} tasks failed: {error}", step.concurrency, step.failed));
    }
    for (row, spread) in figures.rows.iter().filter_map(|row| Some((row, row.submit_cpu_us?))) {
        line(format!("{}: {:.1} µs of its CPU on the thread that submits", row.system.name(), spread.median));
    }
    let note = if figures.fullest_block < 0.5 { "" } else { ": THE CHAIN WAS WHAT LIMITED" };
    line(format!("fullest block of a blast: {:.0} % of {} gas{note}", figures.fullest_block * 100.0, figures.block_gas));
    line(rule());
    line(format!("{:<TARGET$}{:>8}{:>12}{:>18}", "target", "", "reached", "least…greatest"));
    for target in targets(figures) {
        let sign = if target.at_least { '≥' } else { '≤' };
        let (median, range) = cell(target.reached, if target.bound < 0.1 { 4 } else { 2 });
        let verdict = match target.met() {
            Some(true) => "",
            Some(false) => "   MISSED",
            None => "   not measured",
        };
        line(format!(
            "{:<TARGET$}{:>8}{:>12}{:>18}{verdict}",
            target.what,
            format!("{sign} {}", target.bound),
            median.trim(),
            range.trim()
        ));
    }
    line(rule());
    line("every transaction of every run of millrace was mined exactly once".to_owned());
    out
}

/// The median, and the range below it.
fn cell(spread: Option<Spread>, decimals: usize) -> (String, String) {
    spread.map_or_else(
        || (format!("{:>CELL$}", "-"), " ".repeat(CELL)),
        |Spread { median, least, greatest }| {
            let range = format!("{least:.decimals$}…{greatest:.decimals$}");
            (format!("{median:>CELL$.decimals$}"), format!("{range:>CELL$}"))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::figures;
    use super::*;

    #[test]
    fn each_system_has_its_medians_and_below_them_their_spread() {
        let table = table(&figures());
        let lines: Vec<&str> = table.lines().collect();
        let place = lines.iter().position(|line| line.starts_with("millrace embedded, epoll")).expect("the engine has a row");
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(lines[place])[3..], ["1350", "37.5", "1.62", "1.25", "1.050", "15.0", "-", "-"]);
        assert_eq!(words(lines[place + 1]), ["900…1800", "25.0…50.0", "1.25…2.00", "0.83…1.67", "0.900…1.200", "10.0…20.0"]);
        for expected in ["20.0…25.0", "1: 5, 4: 20, 16: 10; 4 is taken", "request to durable", "25 % of 1000 gas\n"] {
            assert!(table.contains(expected), "no `{expected}` in\n{table}");
        }
    }

    #[test]
    fn a_chain_that_limits_is_said() {
        assert!(table(&Figures { fullest_block: 0.6, ..figures() }).contains("THE CHAIN WAS WHAT LIMITED"));
    }
}
