//! `millrace doctor`: whether this machine, as it is set up, runs the engine well, and what to change where it does not.
//!
//! ```text
//! settings ─► facts (what the system tells) ──┐
//!             measure (disk, signing) ────────┴─► findings: pure ─► Report ─► table or JSON, and the exit code
//! ```
//!
//! It opens no database and takes no port, so it can be asked beside a running engine. **How it fails:** not. What the system does not
//! tell is unknown, which is no verdict; a disk that cannot be measured is a finding.

mod facts;
mod findings;
mod measure;

use std::fmt;

use serde::Serialize;

use crate::config::Config;

pub use facts::Facts;
pub use findings::{Finding, Verdict, judge};
pub use measure::{Figures, SyncFigures};

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The worst verdict of all findings.
    pub verdict: Verdict,
    /// The profile that the settings name.
    pub profile: String,
    /// One for each check, in a fixed order.
    pub findings: Vec<Finding>,
    /// What was measured.
    pub figures: Figures,
}

/// Looks at this machine as an engine with these settings would. Takes a few seconds at most.
#[must_use]
pub fn examine(config: &Config) -> Report {
    let facts = Facts::read(config);
    let figures = Figures::measure(facts.disk_directory.as_deref());
    let findings = judge(config, &facts, &figures);
    let verdict = findings.iter().map(|finding| finding.verdict).max().unwrap_or(Verdict::Unknown);
    Report { verdict, profile: config.profile.clone(), findings, figures }
}

impl Report {
    /// Whether something keeps the engine from running, or from running well.
    #[must_use]
    pub fn has_problem(&self) -> bool {
        self.verdict == Verdict::Problem
    }
}

/// The table.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = |of: fn(&Finding) -> usize, head: &str| self.findings.iter().map(of).max().unwrap_or(0).max(head.len());
        let check = width(|finding| finding.check.len(), "check");
        let found = width(|finding| finding.found.chars().count(), "found");
        let verdict = Verdict::WIDTH;
        writeln!(f, "{:check$} | {:found$} | {:verdict$} | what to change", "check", "found", "verdict")?;
        writeln!(f, "{:-<check$}-|-{:-<found$}-|-{:-<verdict$}-|---------------", "", "", "")?;
        for finding in &self.findings {
            let line = format!(
                "{:check$} | {:found$} | {:verdict$} | {}",
                finding.check,
                finding.found,
                finding.verdict.word(),
                finding.change.as_deref().unwrap_or_default()
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        let count = |verdict| self.findings.iter().filter(|finding| finding.verdict == verdict).count();
        let (problems, advice) = (count(Verdict::Problem), count(Verdict::Advice));
        write!(f, "\n{problems} problems, {advice} pieces of advice; profile {}", self.profile)
    }
}
