//! A run: begin or go on, race to the end, verify.

use crate::begin::{begin, unnamed_record};
use crate::chain;
use crate::cli::{RunOptions, VerifyOptions};
use crate::race::Race;
use crate::verify;

/// Carries out `load run`.
pub(crate) async fn run(options: &RunOptions) -> anyhow::Result<bool> {
    let node = chain::connect(&options.node)?;
    let (_unnamed, path) = match &options.record {
        Some(path) => (None, path.clone()),
        None => unnamed_record().map(|(dir, path)| (Some(dir), path))?,
    };
    let start = begin(options, &node, &path).await?;
    let transactions = start.plan.transactions();
    let mut refusals = None;
    if start.before.as_ref().is_none_or(|record| record.settled_us.is_none()) {
        let mut race = Race::start(options, node, start)?;
        race.watch(options).await?;
        refusals = race.refusals();
    }
    if options.no_verify {
        // Verification names them otherwise.
        if let Some(refusals) = refusals {
            eprintln!("load: of {transactions} transactions {refusals}");
        }
        return Ok(true);
    }
    let then = VerifyOptions {
        api: options.api.clone(),
        node: options.node.clone(),
        keys: options.keys.clone(),
        record: path,
        report: options.report.clone(),
    };
    verify::verify(&then).await
}
