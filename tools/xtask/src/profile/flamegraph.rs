//! A flamegraph as one small SVG without scripts: a frame's width is its share, its tooltip says name and share.
//!
//! Written here because the one library for it has a licence of its own and brings features into crates that the engine is built with.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::stacks::Stacks;

const WIDTH: f64 = 1_200.0;
const ROW: f64 = 16.0;
/// Room above the frames for the title.
const TITLE: f64 = 24.0;
/// Width of a letter, about.
const LETTER: f64 = 6.2;
/// Frames narrower than this are left out: nobody sees them, and they are most of the file.
const NARROWEST: f64 = 1.2;

/// A function as it was called by those below it.
#[derive(Default)]
struct Frame {
    weight: u64,
    calls: BTreeMap<String, Frame>,
}

impl Frame {
    fn add(&mut self, stack: &str, weight: u64) {
        self.weight += weight;
        let mut frame = self;
        for name in stack.split(';') {
            frame = frame.calls.entry(name.to_owned()).or_default();
            frame.weight += weight;
        }
    }

    /// Frames above this one that are wide enough to be drawn, in the highest pile.
    fn depth(&self, least: u64) -> usize {
        self.calls.values().filter(|call| call.weight >= least).map(|call| 1 + call.depth(least)).max().unwrap_or(0)
    }
}

/// The flamegraph of `stacks`, whose weights are `unit`s.
pub(super) fn svg(title: &str, unit: &str, stacks: &Stacks) -> String {
    let mut root = Frame::default();
    for (stack, weight) in &stacks.0 {
        root.add(stack, *weight);
    }
    let scale = WIDTH / root.weight.max(1) as f64;
    let rows = root.depth((NARROWEST / scale).ceil() as u64) as f64;
    let height = TITLE + (rows + 1.0) * ROW;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" font-size=\"10\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<text x=\"4\" y=\"15\" font-size=\"13\">{}: {} {unit}</text>\n",
        escaped(title),
        root.weight
    );
    let mut painter = Painter { out: &mut out, scale, total: root.weight, bottom: height };
    painter.paint("all", &root, 0.0, 0);
    out.push_str("</svg>\n");
    out
}

struct Painter<'a> {
    out: &'a mut String,
    scale: f64,
    total: u64,
    bottom: f64,
}

impl Painter<'_> {
    fn paint(&mut self, name: &str, frame: &Frame, left: f64, row: usize) {
        let width = frame.weight as f64 * self.scale;
        if width < NARROWEST {
            return;
        }
        let top = self.bottom - (row as f64 + 1.0) * ROW;
        let percent = 100.0 * frame.weight as f64 / self.total.max(1) as f64;
        // Writing to a string cannot fail.
        let _ = write!(
            self.out,
            "<g><title>{} {percent:.1}%</title><rect x=\"{left:.1}\" y=\"{top:.0}\" width=\"{:.1}\" height=\"15\" fill=\"{}\"/>",
            escaped(name),
            width - 0.3,
            colour(name)
        );
        let letters = ((width - 4.0) / LETTER) as usize;
        if letters > 3 {
            let _ = write!(self.out, "<text x=\"{:.1}\" y=\"{:.0}\">{}</text>", left + 2.0, top + 11.0, escaped(&label(name, letters)));
        }
        self.out.push_str("</g>\n");
        let mut left = left;
        for (name, call) in &frame.calls {
            self.paint(name, call, left, row + 1);
            left += call.weight as f64 * self.scale;
        }
    }
}

/// The end of a name, which tells more than its beginning, in at most `letters`.
fn label(name: &str, letters: usize) -> String {
    let count = name.chars().count();
    if count <= letters { name.to_owned() } else { format!("…{}", name.chars().skip(count - letters + 1).collect::<String>()) }
}

/// Warm colours; the same for a name in every graph.
fn colour(name: &str) -> String {
    let hash = name.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    format!("#{:02x}{:02x}{:02x}", 225 + hash % 30, 120 + (hash >> 8) % 100, 60 + (hash >> 16) % 60)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_wide_as_its_share_and_narrow_ones_are_left_out() {
        let svg = svg("a & b", "samples", &Stacks::folded("main;wide 9999\nmain;narrow<T> 1\n"));
        assert!(svg.contains("a &amp; b: 10000 samples") && svg.contains("wide 100.0%"), "{svg}");
        assert!(!svg.contains("narrow"), "{svg}");
    }

    #[test]
    fn a_label_keeps_the_end_of_the_name() {
        assert_eq!(label("engine::shard::sign", 7), "…::sign");
        assert_eq!(label("sign", 7), "sign");
    }
}
