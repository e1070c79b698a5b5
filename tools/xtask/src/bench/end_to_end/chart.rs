//! The chart of an end-to-end bench: throughput and CPU of each system, side by side, with the spread of the rounds.

use std::fmt::Write as _;

use super::figures::{Figures, Row};
use crate::bench::spread::Spread;

/// Sizes in SVG units.
const WIDTH: f64 = 1080.0;
const NAMES: f64 = 290.0;
const PANEL: f64 = 370.0;
/// Room behind a bar for its figure.
const FIGURE: f64 = 80.0;
const TOP: f64 = 76.0;
const LINE: f64 = 34.0;
const BAR: f64 = 18.0;

/// A bar: whose, how much, and its colour.
struct Bar {
    name: String,
    spread: Option<Spread>,
    colour: &'static str,
}

/// The chart as an SVG file.
pub(super) fn svg(figures: &Figures) -> String {
    let bars = |figure: fn(&Row) -> Option<Spread>, floor: Option<Spread>| {
        let floor = Bar { name: "bare sign and encode".to_owned(), spread: floor, colour: "#8a8f98" };
        let rows = figures.rows.iter().map(|row| Bar { name: row.system.name(), spread: figure(row), colour: colour(row) });
        std::iter::once(floor).chain(rows).collect::<Vec<_>>()
    };
    let (tps, cpu) = (bars(|row| row.tps, None), bars(|row| row.cpu_us, Some(figures.floor_us)));
    let height = TOP + LINE * tps.len() as f64 + 14.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\" fill=\"#1c2128\">\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"26\" font-size=\"16\">millrace, end to end: {} transfers from {} addresses into {}, {} rounds</text>\n",
        figures.transactions, figures.addresses, figures.node, figures.rounds
    );
    // Writing to a string cannot fail.
    for (place, bar) in tps.iter().enumerate() {
        let _ = writeln!(out, "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>", NAMES - 10.0, middle(place) + 4.5, bar.name);
    }
    panel(&mut out, NAMES, "transactions a second", 0, &tps);
    panel(&mut out, NAMES + PANEL + 20.0, "CPU for a transaction, µs", 1, &cpu);
    out.push_str("</svg>\n");
    out
}

fn colour(row: &Row) -> &'static str {
    use super::figures::System::{Alloy, Blast, Embedded, Served};
    match row.system {
        Blast => "#8a8f98",
        Alloy => "#c8762b",
        Embedded(_) => "#2f6fb5",
        Served(_) => "#5b9bd8",
    }
}

fn middle(place: usize) -> f64 {
    TOP + LINE * (place as f64 + 0.5)
}

/// Bars from `left` on, the greatest of which fills the panel.
fn panel(out: &mut String, left: f64, title: &str, decimals: usize, bars: &[Bar]) {
    let _ = writeln!(out, "<text x=\"{left}\" y=\"58\" fill=\"#57606a\">{title}</text>");
    let most = bars.iter().filter_map(|bar| bar.spread).map(|spread| spread.greatest).fold(f64::MIN_POSITIVE, f64::max);
    let wide = |value: f64| (PANEL - FIGURE) * value / most;
    for (place, bar) in bars.iter().enumerate() {
        let Some(Spread { median, least, greatest }) = bar.spread else { continue };
        let y = middle(place);
        let _ = writeln!(
            out,
            "<rect x=\"{left}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{}\"><title>{}: {median:.decimals$}, {least:.decimals$} to {greatest:.decimals$}</title></rect>",
            y - BAR / 2.0,
            wide(median),
            bar.colour,
            bar.name
        );
        let (from, to) = (left + wide(least), left + wide(greatest));
        let _ = writeln!(
            out,
            "<path d=\"M{from:.1} {y:.1}H{to:.1}M{from:.1} {:.1}v8M{to:.1} {:.1}v8\" stroke=\"#1c2128\" fill=\"none\"/>",
            y - 4.0,
            y - 4.0
        );
        let _ = writeln!(out, "<text x=\"{:.1}\" y=\"{:.1}\">{median:.decimals$}</text>", to + 8.0, y + 4.5);
    }
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::figures;
    use super::*;

    #[test]
    fn the_chart_has_a_bar_for_each_figure_and_stays_within_its_frame() {
        let svg = svg(&figures());
        // Three throughputs, the floor and two CPU times, and the ground.
        assert_eq!((svg.matches("<rect").count(), svg.matches("<title>").count()), (7, 6));
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n") && svg.contains(">1350</text>"), "{svg}");
        let right = |text: &str| text.split("x=\"").skip(1).filter_map(|rest| rest.split('"').next()?.parse().ok()).fold(0.0, f64::max);
        assert!(right(&svg) < WIDTH - 20.0);
    }
}
