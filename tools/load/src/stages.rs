//! A run's stages from a TOML file.
//!
//! ```toml
//! mix = { transfer = 8, erc20 = 2 }      # of every stage that names none; transfers where it is left out
//! [[stage]]
//! name = "warm up"
//! ramp = [100, 2000]                     # transactions a second, from and to
//! seconds = 10
//! [[stage]]
//! rate = 2000
//! seconds = 60
//! [[stage]]
//! outstanding = 5000                     # closed loop
//! transactions = 100000
//! mix = { transfer = 1 }
//! ```

use std::path::Path;

use anyhow::{Context, anyhow, bail, ensure};
use serde::Deserialize;

use crate::mix::Mix;
use crate::scenario::Scenario;
use crate::stage::{Stage, StagePace, TRANSACTIONS_MAX};

/// Most stages of a file; a report shows a row for each.
const STAGES_MAX: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    mix: Option<Mix>,
    #[serde(default)]
    stage: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: Option<String>,
    rate: Option<f64>,
    ramp: Option<[f64; 2]>,
    outstanding: Option<u64>,
    seconds: Option<f64>,
    transactions: Option<u64>,
    mix: Option<Mix>,
}

/// Reads the stages of `path`; those that name no mix get the file's, else `mix`.
pub(crate) fn read(path: &Path, mix: Option<&Mix>) -> anyhow::Result<Vec<Stage>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading the stages {}", path.display()))?;
    parse(&text, mix).with_context(|| format!("the stages {}", path.display()))
}

fn parse(text: &str, mix: Option<&Mix>) -> anyhow::Result<Vec<Stage>> {
    let file: File = toml::from_str(text).map_err(|error| anyhow!("{}", error.to_string().trim_end()))?;
    ensure!(!file.stage.is_empty(), "there is no stage in it; write a table [[stage]] with for example rate = 100 and seconds = 10");
    ensure!(file.stage.len() <= STAGES_MAX, "{} stages are more than {STAGES_MAX}", file.stage.len());
    let mix = file.mix.as_ref().or(mix).cloned().unwrap_or_else(|| Mix::only(Scenario::Transfer));
    let stages = (1..).zip(file.stage).map(|(number, entry)| stage(number, entry, &mix)).collect::<anyhow::Result<Vec<_>>>()?;
    total(&stages)?;
    Ok(stages)
}

/// Transactions of all stages together.
pub(crate) fn total(stages: &[Stage]) -> anyhow::Result<u64> {
    let total = stages.iter().fold(0_u64, |sum, stage| sum.saturating_add(stage.transactions));
    ensure!(total <= TRANSACTIONS_MAX, "the stages have {total} transactions and a run at most {TRANSACTIONS_MAX}; make them shorter");
    Ok(total)
}

fn stage(number: usize, entry: Entry, mix: &Mix) -> anyhow::Result<Stage> {
    let name = entry.name.unwrap_or_else(|| format!("stage {number}"));
    let mix = entry.mix.unwrap_or_else(|| mix.clone());
    let pace = match (entry.rate, entry.ramp, entry.outstanding) {
        (Some(rate), None, None) => Ok(StagePace::Rate(rate)),
        (None, Some([from, to]), None) => Ok(StagePace::Ramp(from, to)),
        (None, None, Some(outstanding)) => Ok(StagePace::Closed(outstanding)),
        (None, None, None) => Err(anyhow!("it has no pace; give rate, ramp or outstanding")),
        _ => Err(anyhow!("rate, ramp and outstanding exclude each other; keep one")),
    };
    let built = pace.and_then(|pace| match (entry.seconds, entry.transactions) {
        (Some(seconds), None) => Stage::lasting(name.clone(), pace, seconds, mix),
        (None, Some(transactions)) => Stage::of(name.clone(), pace, transactions, mix),
        (None, None) => bail!("it has no end; give seconds or transactions"),
        (Some(_), Some(_)) => bail!("seconds and transactions exclude each other; keep one"),
    });
    built.with_context(|| format!("stage {number} (`{name}`)"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_has_stages_of_all_kinds_with_their_mixes() {
        let text = "mix = { transfer = 3, deploy = 1 }\n[[stage]]\nname = 'up'\nramp = [0, 100]\nseconds = 10\n\
                    [[stage]]\nrate = 50\nseconds = 2\nmix = { erc20 = 1 }\n[[stage]]\noutstanding = 7\ntransactions = 70\n";
        let stages = parse(text, None).unwrap();
        let seen: Vec<_> =
            stages.iter().map(|stage| (stage.name.as_str(), stage.pace, stage.transactions, stage.mix.to_string())).collect();
        assert_eq!(
            seen,
            [
                ("up", StagePace::Ramp(0.0, 100.0), 500, "transfer=3,deploy=1".to_owned()),
                ("stage 2", StagePace::Rate(50.0), 100, "erc20=1".to_owned()),
                ("stage 3", StagePace::Closed(7), 70, "transfer=3,deploy=1".to_owned()),
            ]
        );
    }

    #[test]
    fn the_mix_of_the_command_line_is_that_of_a_file_without_one() {
        let mix: Mix = "storage".parse().unwrap();
        assert_eq!(parse("[[stage]]\nrate = 1\nseconds = 1\n", Some(&mix)).unwrap()[0].mix, mix);
    }

    #[test]
    fn an_error_names_the_stage_the_value_and_what_to_do() {
        for (text, parts) in [
            ("", &["no stage", "[[stage]]"][..]),
            ("[[stage]]\nrate = 1\nsecond = 1\n", &["line 3", "second", "seconds"]),
            ("[[stage]]\nrate = 'fast'\nseconds = 1\n", &["line 2", "fast"]),
            ("[[stage]]\nrate = 1\nseconds = 1\n[[stage]]\nname = 'b'\nrate = -4\nseconds = 1\n", &["stage 2 (`b`)", "rate -4"]),
            ("[[stage]]\nseconds = 1\n", &["stage 1", "give rate, ramp or outstanding"]),
            ("[[stage]]\nrate = 1\nramp = [1, 2]\nseconds = 1\n", &["stage 1", "exclude"]),
            ("[[stage]]\nrate = 1\n", &["stage 1", "give seconds or transactions"]),
            ("[[stage]]\nrate = 1\nseconds = 1\ntransactions = 1\n", &["stage 1", "keep one"]),
            ("[[stage]]\noutstanding = 5\nseconds = 1\n", &["stage 1", "give `transactions`"]),
            ("[[stage]]\nramp = [1]\nseconds = 1\n", &["line 2"]),
            ("[[stage]]\nrate = 1\nseconds = 1\nmix = { swap = 1 }\n", &["unknown scenario `swap`"]),
            ("[[stage]]\nrate = 5000000\nseconds = 15\n[[stage]]\nrate = 5000000\nseconds = 15\n", &["150000000", "shorter"]),
            ("rate = 1", &["unknown field `rate`"]),
        ] {
            let message = format!("{:#}", parse(text, None).unwrap_err());
            for part in parts {
                assert!(message.contains(part), "no `{part}` for\n{text}\nin: {message}");
            }
        }
    }
}
