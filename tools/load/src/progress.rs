//! The live line, and the JSON lines for a parent process.

use std::io::Write as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle as BarStyle};
use serde::Serialize;

use crate::cli::ProgressStyle;

/// Where a run stands. The fields are the keys of a JSON progress line.
#[derive(Clone, Copy, Debug, Serialize, PartialEq)]
pub(crate) struct Snapshot {
    /// Always `progress`, so that a line says what it is.
    pub(crate) event: &'static str,
    /// Seconds since the run began.
    pub(crate) elapsed_s: f64,
    /// Transactions handed out so far.
    pub(crate) offered: u64,
    /// Transactions whose request was written at least once.
    pub(crate) sent: u64,
    /// Transactions the engine has accepted.
    pub(crate) accepted: u64,
    /// Transactions in blocks since the run began.
    pub(crate) included: u64,
    /// Transactions the engine has refused.
    pub(crate) refused: u64,
    /// The engine's open work; null while it is away.
    pub(crate) open: Option<u64>,
    /// Requests repeated so far.
    pub(crate) repeated: u64,
}

/// Shows snapshots.
pub(crate) struct Progress {
    style: ProgressStyle,
    bar: ProgressBar,
}

impl Progress {
    /// A progress display for `transactions`. The bar draws itself only where stderr is a terminal.
    pub(crate) fn new(style: ProgressStyle, transactions: u64) -> Self {
        let bar = ProgressBar::new(transactions);
        bar.set_style(
            BarStyle::with_template("{bar:32} {pos}/{len} in blocks, {msg} [{elapsed_precise}]")
                .expect("the template is constant and valid"),
        );
        Self { style, bar }
    }

    /// Shows `snapshot`.
    pub(crate) fn show(&self, snapshot: &Snapshot) -> anyhow::Result<()> {
        let rate = snapshot.included as f64 / snapshot.elapsed_s.max(0.001);
        let open = snapshot.open.map_or_else(|| "engine away".to_owned(), |open| format!("{open} open"));
        let refused = if snapshot.refused == 0 { String::new() } else { format!("{} refused, ", snapshot.refused) };
        self.bar.set_message(format!("{} accepted, {refused}{open}, {rate:.0}/s", snapshot.accepted));
        self.bar.set_position(snapshot.included);
        if self.style == ProgressStyle::Json {
            let mut line = serde_json::to_vec(snapshot)?;
            line.push(b'\n');
            let mut out = std::io::stdout().lock();
            out.write_all(&line)?;
            out.flush()?;
        }
        Ok(())
    }

    /// Removes the live line.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// Time between two progress lines.
pub(crate) const PROGRESS_INTERVAL: Duration = Duration::from_millis(50);
