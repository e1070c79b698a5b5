//! A past for the engine to start with, written by the production writer into a data directory that nobody uses yet.
//!
//! ```text
//! waiting and bound:  of the run's own addresses, signed with their keys        what a start has to read
//! history:            of other addresses, mined in the block that is the head    what a start and a load must not notice
//! ```
//!
//! History is of other addresses because the run's own begin at nonce 0 on their new chain. It has all that a mined transaction
//! leaves behind: request, attempt, receipt, and its place under address, hash and idempotency key.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::eip2718::Encodable2718;
use alloy::primitives::{Address, B256, Bytes, TxKind, U256, keccak256};
use alloy::providers::Provider as _;
use alloy::signers::SignerSync;
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, bail, ensure};
use clap::Args;
use engine::Config;
use serde::Serialize;
use storage::{
    AttemptFees, AttemptRow, Commit, HeadRow, Outcome, Place, ReceiptRow, Record, RocksStore, ShardLink, Timeline, TransactionRow, Writer,
};
use uuid::Uuid;

use crate::audit;
use crate::transfers::{TRANSFER_GAS, Transfers, signers};

/// Transactions of one commit: a full one of a busy writer.
const BATCH: u64 = 1_000;
/// Addresses that the history belongs to.
const STRANGERS: u64 = 1_000;
/// When the past began, µs since the Unix epoch.
const BEGAN_US: u64 = 1_750_000_000_000_000;

/// Options of `end_to_end past`.
#[derive(Args, Debug)]
pub(crate) struct PastOptions {
    /// The engine's settings; they name the data directory.
    #[arg(long)]
    config: PathBuf,
    /// Key file written by `load fund`, the one that the settings name.
    #[arg(long)]
    keys: PathBuf,
    /// HTTP JSON-RPC address of the node.
    #[arg(long)]
    node: String,
    /// Bound transactions that were never sent.
    #[arg(long, default_value_t = 0)]
    bound: u64,
    /// Transactions that wait behind them.
    #[arg(long, default_value_t = 0)]
    waiting: u64,
    /// Transactions that were mined long ago.
    #[arg(long, default_value_t = 0)]
    history: u64,
}

/// What `end_to_end past` prints.
#[derive(Debug, Serialize)]
struct Written {
    records: u64,
}

/// The writer and its only shard.
struct Desk {
    writer: Writer<RocksStore>,
    link: ShardLink,
    tickets: u64,
}

impl Desk {
    fn open(config: &Config) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&config.data_dir).with_context(|| format!("creating {}", config.data_dir.display()))?;
        let store = RocksStore::open(&config.data_dir, &config.storage)?;
        let (writer, mut links) = storage::writer(store, vec![Arc::new(|| ())], 16)?;
        let link = links.pop().context("the writer has a shard")?;
        Ok(Self { writer, link, tickets: 0 })
    }

    fn write(&mut self, records: Vec<Record>) -> anyhow::Result<()> {
        self.tickets += 1;
        let commit = Commit { ticket: self.tickets, epoch: 0, records };
        ensure!(self.link.submit(commit).is_ok(), "the writer takes one commit at a time");
        self.writer.turn();
        match self.link.next_ack() {
            Some(ack) if ack.outcome == Outcome::Durable => Ok(()),
            other => bail!("the writer answered {other:?}"),
        }
    }
}

/// Carries out `end_to_end past`.
pub(crate) async fn past(options: &PastOptions) -> anyhow::Result<String> {
    let config = Config::load(&options.config, &[])?;
    let signers = signers(&options.keys)?;
    let node = audit::node(&options.node)?;
    let block = node.get_block_by_number(alloy::eips::BlockNumberOrTag::Latest).await?.context("the node has no head")?;
    let head = HeadRow {
        hash: block.header.hash,
        parent_hash: block.header.parent_hash,
        timestamp: block.header.timestamp,
        seen_at: micros(SystemTime::now().duration_since(UNIX_EPOCH)?),
    };
    let mut desk = Desk::open(&config)?;
    let written = Past { transfers: Transfers::new(signers.iter().map(PrivateKeySigner::address).collect()), signers, number: 0 };
    let written = written.write(&mut desk, options, (block.header.number, head), node.get_chain_id().await?)?;
    Ok(serde_json::to_string(&Written { records: written })?)
}

/// What is written.
struct Past {
    transfers: Transfers,
    signers: Vec<PrivateKeySigner>,
    /// Transactions so far.
    number: u64,
}

impl Past {
    fn write(mut self, desk: &mut Desk, options: &PastOptions, head: (u64, HeadRow), chain_id: u64) -> anyhow::Result<u64> {
        // The oldest first, as they came.
        let strangers: Vec<Address> = (0..STRANGERS).map(|index| Address::from_word(keccak256(index.to_be_bytes()))).collect();
        for count in runs(options.history) {
            let bound: Vec<Record> = (0..count).map(|_| self.mined(&strangers)).collect();
            let receipts = bound.iter().enumerate().filter_map(|(index, record)| receipt(record, index as u64, head)).collect();
            let mut floors: Vec<(Address, u64)> = bound.iter().filter_map(floor).collect();
            floors.sort_unstable();
            floors.dedup_by_key(|(address, _)| *address);
            desk.write(bound)?;
            let (number, head) = head;
            desk.write(vec![Record::Block { number, head, receipts, rivals: Vec::new(), floors, prune_heads_below: None }])?;
        }
        let first = self.number;
        for count in runs(options.bound) {
            let records: anyhow::Result<Vec<Record>> = (0..count).map(|_| self.bound(first, chain_id)).collect();
            desk.write(records?)?;
        }
        for count in runs(options.waiting) {
            let records = (0..count).map(|_| self.waiting()).collect();
            desk.write(records)?;
        }
        Ok(self.number)
    }

    fn row(&mut self, from: Option<Address>) -> (Uuid, TransactionRow, B256) {
        let number = self.number;
        self.number += 1;
        let mut request = self.transfers.submission(number).request;
        request.from = from.unwrap_or(request.from);
        let accepted_at = BEGAN_US + number;
        let key = Some(format!("past-{number:010}"));
        let body_hash = keccak256(number.to_be_bytes());
        // As the engine makes them: in the order of time, and then of a count.
        let id = Uuid::from_u128(u128::from(accepted_at / 1000) << 80 | 0x7000 << 64 | 0x8 << 60 | u128::from(number));
        (id, TransactionRow::new(request, key, accepted_at), body_hash)
    }

    fn mined(&mut self, strangers: &[Address]) -> Record {
        let number = self.number;
        let from = strangers[usize::try_from(number % STRANGERS).expect("a small remainder fits an index")];
        let (id, row, body_hash) = self.row(Some(from));
        // Nobody sends it again, so nobody sees what it is; its length is a transfer's.
        let raw: Vec<u8> = body_hash.iter().copied().cycle().take(115).collect();
        let attempt = attempt(number / STRANGERS, raw.into(), &row);
        Record::Bound { id, from, accepted: Some((row, body_hash)), queue_number: None, attempt }
    }

    fn bound(&mut self, first: u64, chain_id: u64) -> anyhow::Result<Record> {
        // Each address in turn, whatever was written before.
        let turn = self.number - first;
        let signer = &self.signers[usize::try_from(turn % self.signers.len() as u64)?];
        let (from, nonce) = (signer.address(), turn / self.signers.len() as u64);
        let (to, value) = (Address::repeat_byte(0xbb), U256::from(turn));
        let transaction = TxEip1559 {
            chain_id,
            nonce,
            gas_limit: TRANSFER_GAS,
            max_fee_per_gas: 2_000_000_000,
            max_priority_fee_per_gas: 1_000_000_000,
            to: TxKind::Call(to),
            value,
            ..TxEip1559::default()
        };
        let signature = signer.sign_hash_sync(&transaction.signature_hash())?;
        let raw = TxEnvelope::from(transaction.into_signed(signature)).encoded_2718();
        let (id, mut row, body_hash) = self.row(Some(from));
        (row.request.to, row.request.value) = (Some(to), value);
        let attempt = attempt(nonce, raw.into(), &row);
        Ok(Record::Bound { id, from, accepted: Some((row, body_hash)), queue_number: None, attempt })
    }

    fn waiting(&mut self) -> Record {
        let number = self.number;
        let (id, mut transaction, body_hash) = self.row(None);
        transaction.place = Place::Line(number);
        Record::Accepted { id, transaction, body_hash }
    }
}

fn attempt(nonce: u64, raw: Bytes, row: &TransactionRow) -> AttemptRow {
    AttemptRow {
        generation: 0,
        attempt: 0,
        nonce,
        hash: keccak256(&raw),
        raw,
        gas: TRANSFER_GAS,
        fees: AttemptFees::Dynamic { max_fee_per_gas: 2_000_000_000, max_priority_fee_per_gas: 1_000_000_000 },
        signed_at: row.accepted_at,
        closing: None,
    }
}

fn receipt(record: &Record, transaction_index: u64, (block_number, head): (u64, HeadRow)) -> Option<(Uuid, ReceiptRow)> {
    let Record::Bound { id, attempt, .. } = record else { return None };
    let at = Some(attempt.signed_at);
    let row = ReceiptRow {
        transaction_hash: attempt.hash,
        generation: 0,
        attempt: 0,
        nonce: attempt.nonce,
        block_number,
        block_hash: head.hash,
        transaction_index,
        success: true,
        gas_used: TRANSFER_GAS,
        effective_gas_price: 1_500_000_000,
        contract_address: None,
        timeline: Timeline { durable_at: at, sent_at: at, included_at: at },
    };
    Some((*id, row))
}

fn floor(record: &Record) -> Option<(Address, u64)> {
    let Record::Bound { from, attempt, .. } = record else { return None };
    Some((*from, attempt.nonce + 1))
}

/// The sizes of the commits of `count` transactions.
fn runs(count: u64) -> impl Iterator<Item = u64> {
    (0..count).step_by(usize::try_from(BATCH).expect("a small number fits")).map(move |first| BATCH.min(count - first))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
