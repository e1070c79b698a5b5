//! Results on disk: figures as JSON, or one page of HTML.
//!
//! The page needs no network and no script: its charts are SVG drawn here, its colours follow the reader's light or dark mode.

mod chart;
mod page;
mod series;

use anyhow::Context;

use crate::cli::ReportTarget;
use crate::ledger::Execution;
use crate::outcome::{Outcome, Told};
use crate::plan::Plan;
use crate::record::Record;

/// Writes the result of a run to `target`.
pub(crate) fn write(
    target: &ReportTarget,
    outcome: &Outcome,
    record: &Record,
    plan: &Plan,
    executed: &[Option<Execution>],
    told: &[Option<Told>],
) -> anyhow::Result<()> {
    let (path, bytes) = match target {
        ReportTarget::Json(path) => (path, serde_json::to_vec_pretty(outcome)?),
        ReportTarget::Html(path) => (path, page::page(outcome, record, plan, executed, told).into_bytes()),
    };
    std::fs::write(path, bytes).with_context(|| format!("writing the report {}", path.display()))
}
