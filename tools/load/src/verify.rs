//! Verification: the chain's blocks first, then what the engine says of each transaction.
//!
//! The chain alone decides what was executed, how often, at which nonces, and whether anything else left our addresses. Only then
//! is the engine asked, page by page, and each of its answers is held against the chain: a transaction is confirmed when it was
//! executed once and succeeded, the engine says so, and names the hash that is in the block. Where the load drove a node there is no
//! engine to ask, and the chain's word is all.

use std::collections::{HashMap, HashSet};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::json;

use crate::api::{Client, excerpt};
use crate::begin::check_keys;
use crate::chain;
use crate::cli::VerifyOptions;
use crate::keys;
use crate::latency::Timeline;
use crate::ledger::{Execution, Findings, Ledger};
use crate::outcome::{Told, conclude};
use crate::plan::Plan;
use crate::record::Record;
use crate::report;

/// Transactions in one page of the engine's answers.
const PAGE: u64 = 1000;

/// Carries out `load verify`.
pub(crate) async fn verify(options: &VerifyOptions) -> anyhow::Result<bool> {
    let record = Record::read(&options.record)?;
    ensure!(
        record.settled_us.is_some(),
        "the run of {} ended early, with {} of {} transactions offered; go on with `load run --resume`, then verify",
        options.record.display(),
        record.offered(),
        record.transactions()
    );
    let senders = keys::addresses(&options.keys)?;
    check_keys(&record, senders.len(), &options.keys)?;
    let plan = Plan::new(record.begin.seed, record.begin.stages.clone(), senders)?;
    let (findings, executed) = scan(&options.node, &plan, &record).await?;
    let mut told = match (&record.begin.direct, &options.api) {
        (Some(_), _) => seen_by_load(&record, &executed),
        (None, Some(api)) => ask(api, &plan).await?,
        (None, None) => bail!("the run of {} drove an engine; name it with --api", options.record.display()),
    };
    for (number, told) in (0..).zip(&mut told) {
        if let Some(told) = told {
            told.timeline.accepted = record.accepted_us(number);
        }
    }
    let outcome = conclude(&record, &plan, findings, &executed, &told);
    for target in &options.report {
        report::write(target, &outcome, &record, &plan, &executed, &told)?;
    }
    outcome.print();
    Ok(outcome.is_exactly_once())
}

/// Reads all blocks from the one before the run to the head.
async fn scan(node: &str, plan: &Plan, record: &Record) -> anyhow::Result<(Findings, Vec<Option<Execution>>)> {
    let node = chain::connect(node)?;
    let head = chain::head(&node).await?;
    let mut ledger = Ledger::new(plan, &record.begin.base_nonces);
    for number in record.begin.first_block..=head {
        ledger.enter(number, &chain::block(&node, number).await?);
    }
    Ok(ledger.close())
}

/// What the load itself saw of each number, where there is no engine: the answer, and the block when it came.
fn seen_by_load(record: &Record, executed: &[Option<Execution>]) -> Vec<Option<Told>> {
    let seen_us: HashMap<u64, u64> = record.blocks.iter().map(|block| (block.number, block.seen_us)).collect();
    let told = |(number, execution): (u64, &Option<Execution>)| {
        let execution = execution.as_ref()?;
        let included = seen_us.get(&execution.block).copied();
        let timeline = Timeline { sent: record.accepted_us(number), included, confirmed: included, ..Timeline::default() };
        Some(Told { idempotency_key: None, status: "confirmed".to_owned(), transaction_hash: Some(execution.hash), timeline })
    };
    (0..).zip(executed).map(told).collect()
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
