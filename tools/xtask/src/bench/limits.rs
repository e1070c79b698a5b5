//! Limits of instruction counts, as they are committed in `bench/counts.toml`.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use super::counts::Counts;

/// A count may be above its limit by this much: counts repeat to 0.01 %, and code that did not change moves by less than this
/// when code beside it is inlined another way.
const TOLERANCE_PERCENT: u64 = 2;

const HEAD: &str = "\
# Instructions of the pure stages, as callgrind counts them in the release profile on x86_64. `cargo xtask bench --counts` fails when
# one is exceeded by 2 %; `cargo xtask bench --counts --renew` writes this file.
";

/// The limits.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    /// The compiler they were counted with.
    rustc: String,
    instructions: Counts,
}

impl Limits {
    pub(super) fn of(instructions: Counts, rustc: String) -> Self {
        Self { rustc, instructions }
    }

    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading {}; `cargo xtask bench --counts --renew` writes it", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not of the known form", path.display()))
    }

    pub(super) fn write(&self, path: &Path) -> anyhow::Result<()> {
        std::fs::write(path, self.text()).with_context(|| format!("writing {}", path.display()))
    }

    fn text(&self) -> String {
        let mut text = format!("{HEAD}rustc = \"{}\"\n\n[instructions]\n", self.rustc);
        for (name, count) in &self.instructions {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "\"{name}\" = {count}");
        }
        text
    }

    /// A table of all counts beside their limits, and what is wrong with them.
    pub(super) fn judge(&self, counts: &Counts) -> (String, Vec<String>) {
        let (mut table, mut findings) = (String::new(), Vec::new());
        let _ = writeln!(table, "{:<48} {:>12} {:>12} {:>8}", "bench", "instructions", "limit", "by");
        for (name, count) in counts {
            let Some(limit) = self.instructions.get(name) else {
                let _ = writeln!(table, "{name:<48} {count:>12} {:>12} {:>8}", "none", "");
                findings.push(format!("{name} has no limit"));
                continue;
            };
            let percent = 100.0 * (*count as f64 / *limit as f64 - 1.0);
            let _ = writeln!(table, "{name:<48} {count:>12} {limit:>12} {percent:>+7.2}%");
            if u128::from(*count) * 100 > u128::from(*limit) * u128::from(100 + TOLERANCE_PERCENT) {
                findings.push(format!("{name} takes {count} instructions, {percent:.1} % more than its limit of {limit}"));
            }
        }
        for name in self.instructions.keys().filter(|name| !counts.contains_key(*name)) {
            findings.push(format!("{name} has a limit and is not a bench any more"));
        }
        (table, findings)
    }

    /// What to say of limits that another compiler's code was counted for.
    pub(super) fn of_another_compiler(&self, rustc: &str) -> Option<String> {
        (self.rustc != rustc).then(|| format!("the limits are of {} and this is {rustc}, which may be all there is to it; ", self.rustc))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn counts(all: &[(&str, u64)]) -> Counts {
        all.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    #[test]
    fn two_percent_more_pass_and_no_more() {
        let limits = Limits::of(counts(&[("a/b/c", 1_000)]), "rustc 1".into());
        assert!(limits.judge(&counts(&[("a/b/c", 1_020)])).1.is_empty());
        assert!(limits.judge(&counts(&[("a/b/c", 10)])).1.is_empty());
        let (_, findings) = limits.judge(&counts(&[("a/b/c", 1_021)]));
        assert!(findings[0].contains("a/b/c") && findings[0].contains("2.1 %") && findings[0].contains("1000"), "{findings:?}");
    }

    #[test]
    fn a_bench_without_a_limit_and_a_limit_without_a_bench_are_findings() {
        let limits = Limits::of(counts(&[("old", 1)]), "rustc 1".into());
        assert_eq!(limits.judge(&counts(&[("new", 1)])).1.len(), 2);
    }

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("counts.toml");
        let limits = Limits::of(counts(&[("a/b/c", 7), ("a/b/d", 8)]), "rustc 1.2.3 (abc 2026-01-01)".into());
        limits.write(&path).unwrap();
        assert_eq!(Limits::read(&path).unwrap(), limits);
        assert_eq!(limits.of_another_compiler("rustc 1.2.3 (abc 2026-01-01)"), None);
        assert!(limits.of_another_compiler("rustc 2").is_some());
    }
}
