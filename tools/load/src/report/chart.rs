//! Line and bar charts as SVG.
//!
//! Colours are CSS variables of the page. Every line has a legend entry, and every point a tooltip of the browser.

use std::fmt::Write as _;

/// Size of a chart's drawing in SVG units; the page scales it.
const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 250.0;
/// Room for the labels of the axes.
const LEFT: f64 = 66.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 36.0;
/// Lines of the grid, about.
const GRID: f64 = 5.0;
/// Points up to which each is drawn as a dot.
const DOTS_MAX: usize = 40;

/// A line, or a set of bars: points by x; `None` is a gap.
pub(super) struct Line {
    /// Name in the legend.
    pub(super) name: &'static str,
    /// Points.
    pub(super) points: Vec<(f64, Option<f64>)>,
    /// Drawn dashed and without dots: a goal or a limit.
    pub(super) is_limit: bool,
    /// Drawn as bars from zero.
    pub(super) is_bars: bool,
}

impl Line {
    /// A plain line.
    pub(super) fn new(name: &'static str, points: Vec<(f64, Option<f64>)>) -> Self {
        Self { name, points, is_limit: false, is_bars: false }
    }
}

/// A chart.
pub(super) struct Chart {
    /// Heading.
    pub(super) title: &'static str,
    /// What the x axis is.
    pub(super) x_label: &'static str,
    /// Unit of y.
    pub(super) unit: &'static str,
    /// Lines.
    pub(super) lines: Vec<Line>,
    /// Labels of x where it is not a number: (place, text).
    pub(super) ticks: Option<Vec<(f64, String)>>,
    /// Where the x axis ends at least.
    pub(super) x_end: f64,
    /// Where something began, as (x, name): stages.
    pub(super) marks: Vec<(f64, String)>,
}

/// The straight map from values to drawing units.
struct Scale {
    x: (f64, f64),
    y_max: f64,
}

impl Scale {
    fn x(&self, x: f64) -> f64 {
        LEFT + (x - self.x.0) / (self.x.1 - self.x.0) * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, y: f64) -> f64 {
        HEIGHT - BOTTOM - y / self.y_max * (HEIGHT - TOP - BOTTOM)
    }
}

impl Chart {
    /// The chart as a `figure`.
    pub(super) fn svg(&self) -> String {
        let known = || self.lines.iter().flat_map(|line| &line.points).filter_map(|(x, y)| y.map(|y| (*x, y)));
        let mut out = format!("<figure><figcaption>{} <small>{}</small></figcaption>", escape(self.title), escape(self.unit));
        if known().count() == 0 {
            out.push_str("<p class=none>nothing was measured</p></figure>\n");
            return out;
        }
        self.legend(&mut out);
        let x_min = known().map(|(x, _)| x).fold(f64::INFINITY, f64::min).min(0.0);
        let x_max = known().map(|(x, _)| x).fold(self.x_end, f64::max).max(x_min + 1e-9);
        let step = nice(known().map(|(_, y)| y).fold(0.0, f64::max).max(1e-9) / GRID);
        // Room for the names of the marks above what is drawn.
        let room = if self.marks.is_empty() { 1.0 } else { 1.1 };
        let top = room * known().map(|(_, y)| y).fold(0.0, f64::max);
        let scale = Scale { x: (x_min, x_max), y_max: ((top / step).ceil() * step).max(step) };
        let _ = write!(out, r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#, escape(self.title));
        self.axes(&mut out, &scale, step);
        for (index, line) in self.lines.iter().enumerate() {
            draw(&mut out, line, index, &scale, self.unit, self.x_label);
        }
        self.marks(&mut out, &scale);
        out.push_str("</svg></figure>\n");
        out
    }

    fn legend(&self, out: &mut String) {
        if self.lines.len() < 2 {
            return;
        }
        out.push_str("<p class=legend>");
        for (index, line) in self.lines.iter().enumerate() {
            let kind = if line.is_limit { " dash" } else { "" };
            let _ = write!(out, r#"<span><i class="c{index}{kind}"></i>{}</span>"#, escape(line.name));
        }
        out.push_str("</p>");
    }

    fn axes(&self, out: &mut String, scale: &Scale, step: f64) {
        let (left, right, bottom) = (LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM);
        let mut y = 0.0;
        while y <= scale.y_max + step / 2.0 {
            let at = scale.y(y);
            let _ = write!(
                out,
                r#"<path class=grid d="M{left} {at:.1}H{right}"/><text x="{:.0}" y="{:.1}" class=y>{}</text>"#,
                left - 8.0,
                at + 4.0,
                number(y)
            );
            y += step;
        }
        let ticks = self.ticks.clone().unwrap_or_else(|| {
            let step = nice((scale.x.1 - scale.x.0) / 8.0);
            let count = ((scale.x.1 - scale.x.0) / step) as u32;
            (0..=count).map(|n| scale.x.0 + f64::from(n) * step).map(|x| (x, number(x))).collect()
        });
        for (x, text) in ticks {
            let _ = write!(out, r#"<text x="{:.1}" y="{:.0}" class=x>{}</text>"#, scale.x(x), bottom + 16.0, escape(&text));
        }
        let _ = write!(out, r#"<text x="{right}" y="{:.0}" class=xl>{}</text>"#, HEIGHT - 4.0, escape(self.x_label));
    }

    fn marks(&self, out: &mut String, scale: &Scale) {
        let bottom = HEIGHT - BOTTOM;
        for (x, name) in self.marks.iter().filter(|(x, _)| (scale.x.0..=scale.x.1).contains(x)) {
            let at = scale.x(*x);
            let _ = write!(
                out,
                r#"<path class=mark d="M{at:.1} {TOP}V{bottom}"/><text x="{:.1}" y="{:.0}" class=m>{}</text>"#,
                at + 4.0,
                TOP + 10.0,
                escape(name)
            );
        }
    }
}

fn draw(out: &mut String, line: &Line, index: usize, scale: &Scale, unit: &str, x_label: &str) {
    let class = if line.is_limit { "l dash" } else { "l" };
    let tip = |x: f64, y: f64| {
        format!("<title>{}: {} {} at {} {}</title>", escape(line.name), number(y), escape(unit), number(x), escape(x_label))
    };
    if line.is_bars {
        let width = ((WIDTH - LEFT - RIGHT) / line.points.len().max(1) as f64 * 0.7).clamp(0.6, 24.0);
        for (x, y) in line.points.iter().filter_map(|(x, y)| y.map(|y| (*x, y))) {
            let (at, top) = ((scale.x(x) - width / 2.0).max(LEFT), scale.y(y));
            let height = HEIGHT - BOTTOM - top;
            let _ = write!(
                out,
                r#"<rect class="c{index}" x="{at:.1}" y="{top:.1}" width="{width:.1}" height="{height:.1}">{}</rect>"#,
                tip(x, y)
            );
        }
        return;
    }
    let mut path = String::new();
    let mut is_pen_up = true;
    for (x, y) in &line.points {
        match y {
            Some(y) => {
                let _ = write!(path, "{}{:.1} {:.1}", if is_pen_up { 'M' } else { 'L' }, scale.x(*x), scale.y(*y));
                is_pen_up = false;
            }
            None => is_pen_up = true,
        }
    }
    let _ = write!(out, r#"<path class="{class} c{index}" d="{path}"/>"#);
    if line.is_limit {
        return;
    }
    let radius = if line.points.len() <= DOTS_MAX { 2.5 } else { 1.2 };
    for (x, y) in line.points.iter().filter_map(|(x, y)| y.map(|y| (*x, y))) {
        let _ =
            write!(out, r#"<circle class="c{index}" cx="{:.1}" cy="{:.1}" r="{radius}">{}</circle>"#, scale.x(x), scale.y(y), tip(x, y));
    }
}

/// The next of 1, 2, 5 times a power of ten that is not below `step`.
fn nice(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|digit| digit * power).find(|nice| *nice >= step * 0.999).unwrap_or(10.0 * power)
}

/// A number as short as it can be told: 12.5k, 3.2, 0.05.
pub(super) fn number(value: f64) -> String {
    let (value, unit) = match value.abs() {
        size if size >= 1e9 => (value / 1e9, "G"),
        size if size >= 1e6 => (value / 1e6, "M"),
        size if size >= 1e4 => (value / 1e3, "k"),
        _ => (value, ""),
    };
    let digits = match value.abs() {
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

/// Text for HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, Option<f64>)>) -> String {
        let lines = vec![Line::new("a<b", points), Line { is_limit: true, ..Line::new("limit", vec![(0.0, Some(4.0))]) }];
        Chart { title: "t", x_label: "s", unit: "/s", lines, ticks: None, x_end: 0.0, marks: vec![(1.0, "two & more".into())] }.svg()
    }

    #[test]
    fn a_gap_in_a_line_is_not_bridged() {
        let svg = chart(vec![(0.0, Some(1.0)), (1.0, None), (2.0, Some(3.0)), (3.0, Some(2.0))]);
        let path = svg.split("class=\"l c0\" d=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
    }

    #[test]
    fn names_are_escaped_and_marks_are_shown() {
        let svg = chart(vec![(0.0, Some(1.0)), (2.0, Some(2.0))]);
        assert!(svg.contains("a&lt;b") && !svg.contains("a<b") && svg.contains("two &amp; more"));
    }

    #[test]
    fn a_chart_without_a_point_says_so() {
        let svg = Chart {
            title: "t",
            x_label: "s",
            unit: "",
            lines: vec![Line::new("a", vec![(0.0, None)])],
            ticks: None,
            x_end: 0.0,
            marks: Vec::new(),
        }
        .svg();
        assert!(svg.contains("nothing was measured"));
    }

    #[test]
    fn steps_of_the_grid_are_round_and_numbers_short() {
        assert_eq!([0.013, 1.0, 2.3, 70.0].map(nice), [0.02, 1.0, 5.0, 100.0]);
        assert_eq!([0.0, 0.05, 12.5, 12_345.0, 30_000_000.0].map(number), ["0", "0.05", "12.5", "12.3k", "30M"]);
    }
}
