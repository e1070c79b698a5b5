//! The page: the verdict, the counts, what limited the run, charts, tables.

use std::fmt::Write as _;

use super::chart::{Chart, Line, escape, number};
use super::series::Series;
use crate::latency::{LatencyReport, Quantiles};
use crate::ledger::Execution;
use crate::outcome::{Outcome, Told};
use crate::plan::Plan;
use crate::record::Record;

const STYLE: &str = include_str!("page.css");

/// The report of a run as one HTML file.
pub(super) fn page(outcome: &Outcome, record: &Record, plan: &Plan, executed: &[Option<Execution>], told: &[Option<Told>]) -> String {
    let series = Series::new(record, executed, told);
    let mut out =
        String::from("<!doctype html>\n<html lang=en><head><meta charset=utf-8><meta name=viewport content=\"width=device-width\">");
    let _ = writeln!(out, "<title>millrace load: {:.0} TPS</title><style>{STYLE}</style></head><body><main>", outcome.tps);
    head(&mut out, outcome, record);
    counts(&mut out, outcome);
    for chart in charts(&series, record, plan) {
        out.push_str(&chart.svg());
    }
    stages(&mut out, outcome);
    latencies(&mut out, &outcome.latency_ms);
    problems(&mut out, outcome);
    out.push_str("</main></body></html>\n");
    out
}

fn head(out: &mut String, outcome: &Outcome, record: &Record) {
    let begin = &record.begin;
    let (class, verdict) = if outcome.is_exactly_once() {
        ("good", "every transaction was mined exactly once")
    } else {
        ("bad", "NOT every transaction was mined exactly once")
    };
    let whom = if begin.direct.is_some() { "a node, signed by the load" } else { "the engine" };
    let length_s = record.end_us().saturating_sub(begin.at_us) as f64 / 1e6;
    let resumed = match record.resumed_us.len() {
        0 => String::new(),
        times => format!(", resumed {times} times"),
    };
    let _ = writeln!(
        out,
        "<h1>Load on {whom}</h1><p class={class}>{verdict}</p><p>{} transactions from {} addresses over {} connections in {} s{resumed}; seed {}</p>",
        outcome.offered,
        begin.base_nonces.len(),
        begin.connections,
        number(length_s),
        begin.seed
    );
    let limit = format!("{:?}", outcome.bottleneck.limit).to_lowercase();
    let _ = writeln!(out, "<p class=limit><b>Bottleneck: {limit}.</b> {}</p>", escape(&outcome.bottleneck.reason));
}

fn counts(out: &mut String, outcome: &Outcome) {
    let counts = [
        ("TPS", outcome.tps.round() as u64, false),
        ("offered", outcome.offered, false),
        ("sent", outcome.sent, false),
        ("accepted", outcome.accepted, false),
        ("included", outcome.included, false),
        ("confirmed", outcome.confirmed, false),
        ("dropped", outcome.dropped, true),
        ("refused", outcome.refused, true),
        ("duplicated", outcome.duplicated, true),
        ("failed", outcome.failed, true),
        ("requests repeated", outcome.repeated, false),
    ];
    out.push_str("<dl>");
    for (name, count, is_trouble) in counts {
        let class = if is_trouble && count > 0 { " class=bad" } else { "" };
        let _ = write!(out, "<div{class}><dt>{name}</dt><dd>{count}</dd></div>");
    }
    out.push_str("</dl>\n");
}

fn charts(series: &Series<'_>, record: &Record, plan: &Plan) -> Vec<Chart> {
    let mut marks: Vec<(f64, String)> = Vec::new();
    if plan.stages().len() > 1 {
        let begin = |(first, stage): &(u64, crate::stage::Stage)| Some((series.at_s(record.intended_us(*first)?), stage.name.clone()));
        marks.extend(plan.stages().iter().filter_map(begin));
    }
    marks.extend(record.resumed_us.iter().map(|at_us| (series.at_s(*at_us), "resumed".to_owned())));
    let x_end = series.at_s(record.end_us());
    let over_time = |title, unit, lines: Vec<Line>| Chart { title, x_label: "s", unit, lines, ticks: None, x_end, marks: marks.clone() };
    let nines = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
    let percentiles = series.percentiles();
    let widest = percentiles.iter().flat_map(|line| &line.points).map(|(x, _)| *x).fold(0.0, f64::max);
    let ticks = nines.iter().enumerate().map(|(at, text)| (at as f64, (*text).to_owned())).filter(|(at, _)| *at <= widest).collect();
    vec![
        over_time("Transactions a second", "/s", series.throughput()),
        over_time("Latency from the intended time to a block, over time", "ms", series.latency()),
        Chart {
            title: "Latency from the intended time, by percentile",
            x_label: "of transactions are faster",
            unit: "ms",
            lines: percentiles,
            ticks: Some(ticks),
            x_end: 0.0,
            marks: Vec::new(),
        },
        over_time("Gas of the blocks", "million", series.gas()),
        over_time("Transactions of the blocks", "transactions", series.block_sizes()),
        over_time("Transactions under way", "transactions", series.queues()),
        over_time("CPU", "busy cores", series.cpu()),
    ]
}

fn stages(out: &mut String, outcome: &Outcome) {
    out.push_str(
        "<h2>Stages</h2><table><tr><th>stage<th>pace<th>mix<th class=n>offered<th class=n>TPS<th class=n>to a block: 50 %, ms<th class=n>99 %, ms<th class=n>max, ms</tr>\n",
    );
    for stage in &outcome.stages {
        let included = &stage.latency_ms.included;
        let _ = writeln!(
            out,
            "<tr><td>{}<td>{}<td>{}<td class=n>{}<td class=n>{:.0}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
            escape(&stage.name),
            escape(&stage.pace),
            escape(&stage.mix),
            stage.offered,
            stage.tps,
            ms(included.p50),
            ms(included.p99),
            ms(included.max)
        );
    }
    out.push_str("</table>\n");
}

fn latencies(out: &mut String, report: &LatencyReport) {
    out.push_str(
        "<h2>Latency from the intended time, ms</h2><table><tr><th>to<th class=n>50 %<th class=n>90 %<th class=n>99 %<th class=n>99.9 %<th class=n>max<th class=n>known<th class=n>unknown</tr>\n",
    );
    for (name, Quantiles { p50, p90, p99, p999, max, known, unknown }) in report.milestones() {
        if *known == 0 {
            continue;
        }
        let _ = write!(out, "<tr><td>{name}");
        for value in [p50, p90, p99, p999, max] {
            let _ = write!(out, "<td class=n>{}", ms(*value));
        }
        let _ = writeln!(out, "<td class=n>{known}<td class=n>{unknown}</tr>");
    }
    out.push_str(
        "</table><p class=note>In an open loop a transaction is timed from when it was due, sent late or not; in a closed loop from when there was room for it.</p>\n",
    );
}

fn ms(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"))
}

fn problems(out: &mut String, outcome: &Outcome) {
    if outcome.problems.is_empty() {
        return;
    }
    out.push_str("<h2>First problems</h2><ul>");
    for problem in &outcome.problems {
        let _ = write!(out, "<li>{}", escape(problem));
    }
    out.push_str("</ul>\n");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy::primitives::Address;

    use super::*;
    use crate::ledger::Findings;
    use crate::outcome::conclude;
    use crate::record::tests::{accepted, batch, lines};

    fn shown(findings: Findings) -> String {
        let record = Record::parse(&lines(2, &[batch(0, 2), accepted(0, 2)])).unwrap();
        let plan = Plan::new(1, record.begin.stages.clone(), vec![Address::repeat_byte(1)]).unwrap();
        let outcome = conclude(&record, &plan, findings, &[None, None], &[None, None]);
        page(&outcome, &record, &plan, &[None, None], &[None, None])
    }

    #[test]
    fn a_page_needs_nothing_from_elsewhere() {
        let page = shown(Findings::default());
        for outside in ["http://", "https://", "<script", "@import", "url(", "<link"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<figure>").count(), 7);
    }

    #[test]
    fn a_page_names_verdict_bottleneck_and_problems_and_escapes_them() {
        let mut findings = Findings::default();
        findings.tell("<b>0x1</b> is lost".to_owned());
        let page = shown(findings);
        assert!(page.contains("NOT every transaction") && page.contains("Bottleneck: unknown"));
        assert!(page.contains("&lt;b&gt;0x1&lt;/b&gt; is lost"));
        assert!(page.contains("<div class=bad><dt>dropped</dt><dd>2</dd>"));
    }
}
