//! Verification: the chain's blocks first, then what the engine says of each transaction.
//!
//! The chain alone decides what was executed, how often, at which nonces, and whether anything else left our addresses. Only then
//! is the engine asked, page by page, and each of its answers is held against the chain: a transaction is confirmed when it was
//! executed once and succeeded, the engine says so, and names the hash that is in the block.

use std::collections::HashSet;

use alloy::primitives::B256;
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::api::{Client, excerpt};
use crate::chain;
use crate::cli::{ReportTarget, VerifyOptions};
use crate::keys;
use crate::latency::{Latencies, LatencyReport, Timeline};
use crate::ledger::{Execution, Findings, Ledger};
use crate::plan::Plan;
use crate::record::Record;

/// Transactions in one page of the engine's answers.
const PAGE: u64 = 1000;

/// The result of a run.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Outcome {
    /// Transactions the load set out to submit.
    pub(crate) offered: u64,
    /// Transactions whose request was written to the engine at least once.
    pub(crate) sent: u64,
    /// Transactions the engine acknowledged.
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

    /// Writes the result to `target`.
    pub(crate) fn write(&self, target: &ReportTarget) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec_pretty(self)?;
        std::fs::write(&target.0, bytes).with_context(|| format!("writing the report {}", target.0.display()))
    }

    /// Tells a person.
    pub(crate) fn print(&self) {
        eprintln!(
            "load: offered {}, sent {}, accepted {}, refused {}, included {}, confirmed {}, dropped {}, duplicated {}; {:.0} tps",
            self.offered, self.sent, self.accepted, self.refused, self.included, self.confirmed, self.dropped, self.duplicated, self.tps
        );
        for problem in &self.problems {
            eprintln!("load: {problem}");
        }
    }
}

/// Carries out `load verify`.
pub(crate) async fn verify(options: &VerifyOptions) -> anyhow::Result<bool> {
    let record = Record::read(&options.record)?;
    let plan = Plan::new(record.seed, record.transactions, keys::addresses(&options.keys)?);
    ensure!(
        plan.senders().len() == record.base_nonces.len(),
        "the record is of a run with {} addresses and {} holds {}",
        record.base_nonces.len(),
        options.keys.display(),
        plan.senders().len()
    );
    let (findings, executed) = scan(&options.node, &plan, &record).await?;
    let told = ask(&options.api, &plan).await?;
    let outcome = conclude(&record, findings, &executed, &told);
    if let Some(target) = &options.report {
        outcome.write(target)?;
    }
    outcome.print();
    Ok(outcome.is_exactly_once())
}

/// Reads all blocks from the one before the run to the head.
async fn scan(node: &str, plan: &Plan, record: &Record) -> anyhow::Result<(Findings, Vec<Option<Execution>>)> {
    let node = chain::connect(node)?;
    let head = chain::head(&node).await?;
    let mut ledger = Ledger::new(plan, &record.base_nonces);
    for number in record.first_block..=head {
        ledger.enter(number, &chain::block(&node, number).await?);
    }
    Ok(ledger.close())
}

/// What the engine says of a transaction.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    idempotency_key: Option<String>,
    status: String,
    transaction_hash: Option<B256>,
    #[serde(default)]
    timeline: Timeline,
}

#[derive(Deserialize)]
struct PageReply {
    result: Option<Page>,
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Page {
    transactions: Vec<Told>,
    cursor: Option<serde_json::Value>,
}

/// Asks the engine for all transactions of the run; the result is indexed by number.
async fn ask(api: &str, plan: &Plan) -> anyhow::Result<Vec<Option<Told>>> {
    let mut client = Client::new(api)?;
    let mut told = vec![None; usize::try_from(plan.transactions())?];
    let mut cursor = serde_json::Value::Null;
    let mut cursors_seen = HashSet::new();
    loop {
        let page = page(&mut client, plan, &cursor).await?;
        for transaction in page.transactions {
            let number = transaction.idempotency_key.as_deref().and_then(|key| plan.number_of_key(key));
            if let Some(number) = number {
                let slot = &mut told[usize::try_from(number)?];
                ensure!(slot.is_none(), "the engine lists transaction {number} twice");
                *slot = Some(transaction);
            }
        }
        match page.cursor {
            None => return Ok(told),
            Some(next) => {
                ensure!(cursors_seen.insert(next.to_string()), "the engine's cursor {next} came a second time");
                cursor = next;
            }
        }
    }
}

async fn page(client: &mut Client, plan: &Plan, cursor: &serde_json::Value) -> anyhow::Result<Page> {
    let mut filter = json!({ "idempotencyKeyPrefix": plan.key_prefix(), "sort": "asc", "limit": PAGE });
    if !cursor.is_null() {
        filter["cursor"] = cursor.clone();
    }
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "ptx_queryTransactions", "params": [filter] });
    let reply = client.post(Bytes::from(serde_json::to_vec(&body)?)).await?;
    if !reply.status.is_success() {
        bail!("ptx_queryTransactions: HTTP {}: {}", reply.status, excerpt(&reply.body));
    }
    let parsed: PageReply =
        serde_json::from_slice(&reply.body).with_context(|| format!("ptx_queryTransactions: {}", excerpt(&reply.body)))?;
    match (parsed.result, parsed.error) {
        (Some(page), None) => Ok(page),
        (_, error) => bail!("ptx_queryTransactions: {}", error.unwrap_or_default()),
    }
}

/// Holds the engine's words against the chain. `executed` and `told` are indexed by number.
fn conclude(record: &Record, mut findings: Findings, executed: &[Option<Execution>], told: &[Option<Told>]) -> Outcome {
    let refused: HashSet<u64> = record.refused.iter().map(|(number, _)| *number).collect();
    let mut refusals = record.refused.iter().map(|(number, reason)| format!("transaction {number} was refused: {reason}"));
    if let Some(first) = refusals.next() {
        findings.tell_first(first);
    }
    refusals.for_each(|refusal| findings.tell(refusal));
    let mut latencies = Latencies::new();
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
            last_us = last_us.max(told.timeline.confirmed.unwrap_or(0));
        }
    }
    let seconds =
        if last_us > record.started_us { last_us - record.started_us } else { record.settled_us.saturating_sub(record.started_us) } as f64
            / 1e6;
    Outcome {
        offered: record.transactions,
        sent: record.sent,
        accepted: record.transactions - refused.len() as u64,
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
    use super::*;

    fn record(transactions: u64) -> Record {
        Record {
            seed: 1,
            transactions,
            batch: 2,
            started_us: 1_000_000,
            settled_us: 9_000_000,
            first_block: 0,
            base_nonces: vec![0],
            intended_us: vec![1_000_000, 1_500_000],
            sent: transactions,
            repeated: 0,
            refused: Vec::new(),
        }
    }

    fn hash(number: u8) -> B256 {
        B256::with_last_byte(number + 1)
    }

    fn clean(number: u8) -> Option<Execution> {
        Some(Execution { hash: hash(number), clean: true })
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
