//! The result of a run: what the chain executed and what the engine says of it, number by number.

use std::collections::HashSet;

use alloy::primitives::B256;
use serde::{Deserialize, Serialize};

use crate::bottleneck::{self, Bottleneck};
use crate::latency::{Latencies, LatencyReport, Timeline};
use crate::ledger::{Execution, Findings};
use crate::plan::Plan;
use crate::record::Record;
use crate::stage::{Stage, describe};

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    /// Transactions the load set out to offer.
    pub(crate) offered: u64,
    /// Transactions whose request was answered at least once.
    pub(crate) sent: u64,
    /// Transactions that were acknowledged.
    pub(crate) accepted: u64,
    /// Transactions found in a block.
    pub(crate) included: u64,
    /// Transactions executed once with success, and confirmed by the engine under the hash the block shows.
    pub(crate) confirmed: u64,
    /// Accepted transactions that are in no block.
    pub(crate) dropped: u64,
    /// Executions of a transaction beyond its first.
    pub(crate) duplicated: u64,
    /// Executed transactions that failed.
    pub(crate) failed: u64,
    /// Transactions the engine refused.
    pub(crate) refused: u64,
    /// Nonces out of step.
    pub(crate) gaps: u64,
    /// Transactions of our addresses that nobody offered, or that the engine had refused.
    pub(crate) strangers: u64,
    /// Transactions of which the engine says something else than the chain.
    pub(crate) disagreements: u64,
    /// Requests that had to be repeated.
    pub(crate) repeated: u64,
    /// Confirmed transactions ÷ seconds from the start to the last known confirmation.
    pub(crate) tps: f64,
    /// Latencies from the intended start.
    pub(crate) latency_ms: LatencyReport,
    /// What limited the run.
    pub(crate) bottleneck: Bottleneck,
    /// The stages one by one.
    pub(crate) stages: Vec<StageResult>,
    /// The first problems in words.
    pub(crate) problems: Vec<String>,
}

impl Outcome {
    /// Whether every transaction offered was mined exactly once, and nothing else was.
    pub(crate) fn is_exactly_once(&self) -> bool {
        self.offered == self.accepted
            && self.accepted == self.confirmed
            && [self.dropped, self.duplicated, self.failed, self.gaps, self.strangers, self.disagreements].iter().all(|count| *count == 0)
    }

    /// Tells a person.
    pub(crate) fn print(&self) {
        eprintln!(
            "load: offered {}, sent {}, accepted {}, refused {}, included {}, confirmed {}, dropped {}, duplicated {}; {:.0} tps",
            self.offered, self.sent, self.accepted, self.refused, self.included, self.confirmed, self.dropped, self.duplicated, self.tps
        );
        eprintln!("load: bottleneck: {:?}. {}", self.bottleneck.limit, self.bottleneck.reason);
        for problem in &self.problems {
            eprintln!("load: {problem}");
        }
    }
}

/// The result of one stage.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StageResult {
    /// Its name.
    pub(crate) name: String,
    /// Its pace, for a person.
    pub(crate) pace: String,
    /// Its mix.
    pub(crate) mix: String,
    /// Transactions it offered.
    pub(crate) offered: u64,
    /// Transactions of it that are in blocks after its first ÷ seconds from that block to its last: the wait for the first block is
    /// latency and no lack of throughput. With one block only: all of them ÷ seconds from the first due time.
    pub(crate) tps: f64,
    /// Latencies from the intended start.
    pub(crate) latency_ms: LatencyReport,
}

/// Transactions that are seen within this time are of one block; several threads note them.
const ONE_BLOCK_US: u64 = 50_000;

/// A stage being summed up.
struct StageSum<'a> {
    stage: &'a Stage,
    latencies: Latencies,
    included_us: Vec<u64>,
    first_us: u64,
}

impl<'a> StageSum<'a> {
    fn new(stage: &'a Stage) -> Self {
        Self { stage, latencies: Latencies::new(), included_us: Vec::new(), first_us: u64::MAX }
    }

    fn add(&mut self, intended_us: u64, timeline: &Timeline) {
        self.latencies.record(intended_us, timeline);
        self.first_us = self.first_us.min(intended_us);
        self.included_us.extend(timeline.included);
    }

    fn tps(&self) -> f64 {
        let included = || self.included_us.iter().copied();
        let (Some(first_us), Some(last_us)) = (included().min(), included().max()) else { return 0.0 };
        let later = included().filter(|at_us| *at_us > first_us + ONE_BLOCK_US).count();
        let (count, us) =
            if later > 0 { (later, last_us - first_us) } else { (self.included_us.len(), last_us.saturating_sub(self.first_us)) };
        count as f64 / (us.max(1) as f64 / 1e6)
    }

    fn result(self) -> StageResult {
        StageResult {
            name: self.stage.name.clone(),
            pace: describe(self.stage.pace),
            mix: self.stage.mix.to_string(),
            offered: self.stage.transactions,
            tps: self.tps(),
            latency_ms: self.latencies.report(),
        }
    }
}

/// What the engine says of a transaction.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    /// Key of the request.
    pub(crate) idempotency_key: Option<String>,
    /// Status.
    pub(crate) status: String,
    /// Hash under which it is confirmed.
    pub(crate) transaction_hash: Option<B256>,
    /// Milestones.
    #[serde(default)]
    pub(crate) timeline: Timeline,
}

/// Holds the engine's words against the chain. `executed` and `told` are indexed by number.
pub(crate) fn conclude(
    record: &Record,
    plan: &Plan,
    mut findings: Findings,
    executed: &[Option<Execution>],
    told: &[Option<Told>],
) -> Outcome {
    let refused: HashSet<u64> = record.refused.iter().map(|(number, _)| *number).collect();
    let mut refusals = record.refused.iter().map(|(number, reason)| format!("transaction {number} was refused: {reason}"));
    if let Some(first) = refusals.next() {
        findings.tell_first(first);
    }
    refusals.for_each(|refusal| findings.tell(refusal));
    let mut latencies = Latencies::new();
    let mut stages: Vec<StageSum<'_>> = plan.stages().iter().map(|(_, stage)| StageSum::new(stage)).collect();
    let (mut confirmed, mut dropped, mut disagreements, mut last_us) = (0, 0, 0, 0);
    for (number, (executed, told)) in (0..).zip(executed.iter().zip(told)) {
        if refused.contains(&number) {
            if executed.is_some() {
                findings.strangers += 1;
                findings.tell(format!("transaction {number} was refused and executed all the same"));
            }
            continue;
        }
        if executed.is_none() {
            dropped += 1;
            findings.tell(format!("transaction {number} was accepted and is in no block; the engine says {}", said(told.as_ref())));
        }
        if let Some(execution) = executed {
            if is_confirmed_by(told.as_ref(), execution.hash) {
                confirmed += u64::from(execution.clean);
            } else {
                disagreements += 1;
                findings.tell(format!(
                    "transaction {number} is in a block under {}; the engine says {}",
                    execution.hash,
                    said(told.as_ref())
                ));
            }
        }
        if let (Some(told), Some(intended_us)) = (told, record.intended_us(number)) {
            latencies.record(intended_us, &told.timeline);
            stages[plan.stage_of(number)].add(intended_us, &told.timeline);
            last_us = last_us.max(told.timeline.confirmed.unwrap_or(0));
        }
    }
    let began_us = record.begin.at_us;
    let seconds = if last_us > began_us { last_us } else { record.end_us() }.saturating_sub(began_us) as f64 / 1e6;
    Outcome {
        offered: record.transactions(),
        sent: record.sent,
        accepted: record.transactions() - refused.len() as u64,
        included: findings.included,
        confirmed,
        dropped,
        duplicated: findings.duplicated,
        failed: findings.failed,
        refused: refused.len() as u64,
        gaps: findings.gaps,
        strangers: findings.strangers,
        disagreements,
        repeated: record.repeated,
        tps: if seconds > 0.0 { confirmed as f64 / seconds } else { 0.0 },
        latency_ms: latencies.report(),
        bottleneck: bottleneck::find(record),
        stages: stages.into_iter().map(StageSum::result).collect(),
        problems: findings.problems,
    }
}

/// Whether the engine says that the transaction is confirmed under `hash`.
fn is_confirmed_by(told: Option<&Told>, hash: B256) -> bool {
    told.is_some_and(|told| told.status == "confirmed" && told.transaction_hash == Some(hash))
}

fn said(told: Option<&Told>) -> String {
    told.map_or_else(
        || "nothing".to_owned(),
        |told| format!("{} under {}", told.status, told.transaction_hash.map_or_else(|| "no hash".to_owned(), |hash| hash.to_string())),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use alloy::primitives::Address;

    use super::*;
    use crate::record::tests::{accepted, batch, lines};

    fn record(transactions: u64) -> Record {
        let mut record = Record::parse(&lines(transactions, &[batch(0, 2), accepted(0, transactions)])).unwrap();
        record.settled_us = Some(9_000_000);
        record
    }

    fn conclude(record: &Record, findings: Findings, executed: &[Option<Execution>], told: &[Option<Told>]) -> Outcome {
        let plan = Plan::new(1, record.begin.stages.clone(), vec![Address::repeat_byte(1)]).unwrap();
        super::conclude(record, &plan, findings, executed, told)
    }

    fn hash(number: u8) -> B256 {
        B256::with_last_byte(number + 1)
    }

    fn clean(number: u8) -> Option<Execution> {
        Some(Execution { hash: hash(number), block: 1, clean: true })
    }

    fn confirmed(number: u8) -> Option<Told> {
        let timeline = Timeline { confirmed: Some(3_000_000), ..Timeline::default() };
        Some(Told { idempotency_key: None, status: "confirmed".into(), transaction_hash: Some(hash(number)), timeline })
    }

    #[test]
    fn a_run_on_which_chain_and_engine_agree_is_exactly_once() {
        let findings = Findings { included: 2, ..Findings::default() };
        let outcome = conclude(&record(2), findings, &[clean(0), clean(1)], &[confirmed(0), confirmed(1)]);
        assert!(outcome.is_exactly_once(), "{outcome:?}");
        assert!((outcome.tps - 1.0).abs() < 1e-9, "two in two seconds");
    }

    #[test]
    fn the_wait_for_the_first_block_is_no_lack_of_throughput() {
        let record = record(2);
        let mut sum = StageSum::new(&record.begin.stages[0]);
        let mut add = |included_us| sum.add(1_000_000, &Timeline { included: Some(included_us), ..Timeline::default() });
        (0..10).for_each(|n| add(3_000_000 + n));
        (0..10).for_each(|_| add(4_000_000));
        assert!((sum.tps() - 10.0).abs() < 1e-6, "{}", sum.tps());
        let mut one = StageSum::new(&record.begin.stages[0]);
        (0..10).for_each(|_| one.add(1_000_000, &Timeline { included: Some(3_000_000), ..Timeline::default() }));
        assert!((one.tps() - 5.0).abs() < 1e-6, "{}", one.tps());
        assert!(StageSum::new(&record.begin.stages[0]).tps() < 1e-9);
    }

    #[test]
    fn a_transaction_that_is_in_no_block_is_dropped_even_if_the_engine_confirms_it() {
        let findings = Findings { included: 1, ..Findings::default() };
        let outcome = conclude(&record(2), findings, &[clean(0), None], &[confirmed(0), confirmed(1)]);
        assert_eq!((outcome.dropped, outcome.confirmed), (1, 1));
        assert!(!outcome.is_exactly_once());
    }

    #[test]
    fn a_hash_that_is_not_the_blocks_is_a_disagreement() {
        let findings = Findings { included: 2, ..Findings::default() };
        let outcome = conclude(&record(2), findings, &[clean(0), clean(9)], &[confirmed(0), confirmed(1)]);
        assert_eq!((outcome.disagreements, outcome.confirmed), (1, 1));
        assert!(!outcome.is_exactly_once());
    }

    #[test]
    fn an_engine_that_forgot_a_transaction_is_a_disagreement() {
        let findings = Findings { included: 1, ..Findings::default() };
        let outcome = conclude(&record(1), findings, &[clean(0)], &[None]);
        assert_eq!((outcome.disagreements, outcome.dropped), (1, 0));
    }

    #[test]
    fn a_refused_transaction_is_neither_accepted_nor_dropped_and_must_not_be_executed() {
        let mut record = record(2);
        record.refused.push((1, "unknown signer".into()));
        let findings = Findings { included: 2, ..Findings::default() };
        let outcome = conclude(&record, findings, &[clean(0), clean(1)], &[confirmed(0), None]);
        assert_eq!((outcome.accepted, outcome.dropped, outcome.strangers), (1, 0, 1));
        assert!(!outcome.is_exactly_once());
    }

    #[test]
    fn the_first_refusal_is_named_however_many_other_problems_there_are() {
        let mut record = record(2);
        record.refused = vec![(0, "unknown signer".into()), (1, "unknown signer".into())];
        let mut findings = Findings::default();
        (0..1000).for_each(|n| findings.tell(format!("problem {n}")));
        let told = findings.problems.len();
        let outcome = conclude(&record, findings, &[None, None], &[None, None]);
        assert_eq!((outcome.refused, outcome.accepted, outcome.dropped), (2, 0, 0));
        assert_eq!(outcome.problems[0], "transaction 0 was refused: unknown signer");
        assert_eq!((outcome.problems.len(), outcome.problems[1].as_str()), (told, "problem 0"));
    }

    #[test]
    fn a_duplicate_takes_a_confirmation_away() {
        let findings = Findings { included: 1, duplicated: 1, ..Findings::default() };
        let outcome = conclude(&record(1), findings, &[clean(0).map(|once| Execution { clean: false, ..once })], &[confirmed(0)]);
        assert_eq!((outcome.confirmed, outcome.duplicated), (0, 1));
    }
}
