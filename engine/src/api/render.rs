//! Transactions as callers read them.
//!
//! What Ethereum counts (nonce, gas, wei, block numbers) is a `0x` quantity, as every Ethereum tool expects it; what only millrace
//! counts (generation, attempt, times) is a JSON integer. Times are µs since the Unix epoch by the engine's clock.

use alloy::primitives::{Address, B256, Bytes, U64, U128, U256};
use schemars::JsonSchema;
use serde::Serialize;
use storage::read::Dependent;
use storage::{AttemptFees, AttemptRow, Fees, GenerationRow, Place, ReceiptRow, RivalRow, TransactionRow};
use uuid::Uuid;

use super::authorizations::Authorized;
use super::extras::Listed;
use crate::jsonrpc::schema;
use crate::query::Page;
use crate::txmgr::inspect::AddressView;
use crate::txmgr::orchestrator::state::State;
use crate::txmgr::stage::Stage;
use crate::view::{AttemptStatus, Status, TransactionView};

/// The object of `ptx_getTransactionDependencies`.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Dependencies {
    /// What it was sent to wait for, released or not.
    #[schemars(with = "Vec<schema::Id>")]
    depends_on: Vec<Uuid>,
    /// Those that wait for it and for which that has not been decided yet.
    #[schemars(with = "Vec<schema::Id>")]
    prereq_of: Vec<Uuid>,
}

impl Dependencies {
    pub(super) fn new(row: &TransactionRow, waiting: &[Dependent]) -> Self {
        let depends_on = row.depends_on.iter().map(|dependency| dependency.id).collect();
        Self { depends_on, prereq_of: waiting.iter().map(|dependent| dependent.id).collect() }
    }
}

/// The object of `ptx_getTransaction`.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Transaction<'a> {
    #[schemars(with = "schema::Id")]
    id: Uuid,
    idempotency_key: Option<&'a str>,
    #[schemars(with = "schema::Address")]
    from: Address,
    #[schemars(with = "Option<schema::Address>")]
    to: Option<Address>,
    #[schemars(with = "schema::HexQuantity")]
    value: U256,
    #[schemars(with = "schema::Hex")]
    data: &'a Bytes,
    /// Signed limit; before signing the one that was asked for, if any.
    #[schemars(with = "Option<schema::HexQuantity>")]
    gas: Option<U64>,
    #[schemars(with = "Option<schema::HexQuantity>")]
    nonce: Option<U64>,
    status: Status,
    stage: Stage,
    /// Of the attempt that was mined, else of the newest that carries the request.
    #[schemars(with = "Option<schema::Hash>")]
    transaction_hash: Option<B256>,
    generation: u16,
    created: u64,
    /// Why it ended without being mined.
    failure_reason: Option<&'a str>,
    /// Why it does not go on by itself now.
    held: Option<&'a str>,
    /// What has to succeed before it is bound.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<schema::Id>>")]
    depends_on: Vec<Uuid>,
    /// Authorizations of EIP-7702 that it carries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    authorization_list: Vec<Authorized>,
    /// Addresses and storage slots that it names beforehand (EIP-2930).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    access_list: Vec<Listed>,
    /// What its blobs are named by (EIP-4844).
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schemars(with = "Option<Vec<schema::Hash>>")]
    blob_versioned_hashes: &'a [B256],
}

/// The object of `ptx_getTransactionFull`.
#[derive(JsonSchema, Serialize)]
pub(super) struct Full<'a> {
    #[serde(flatten)]
    transaction: Transaction<'a>,
    /// What earlier generations asked for, oldest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    generations: Vec<Generation<'a>>,
    attempts: Vec<Attempt>,
    receipt: Option<Receipt>,
    /// Of blocks that have left the chain since.
    #[serde(rename = "orphanedReceipts")]
    orphaned_receipts: Vec<Receipt>,
    /// Others' transactions that took nonces it was bound to.
    #[serde(rename = "displacedBy")]
    displaced_by: Vec<Rival>,
    timeline: Timeline,
}

/// An earlier generation: what it asked for, until another one took its place.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Generation<'a> {
    generation: u16,
    #[schemars(with = "Option<schema::Address>")]
    to: Option<Address>,
    #[schemars(with = "schema::HexQuantity")]
    value: U256,
    #[schemars(with = "schema::Hex")]
    data: &'a Bytes,
    #[schemars(with = "Option<schema::HexQuantity>")]
    gas: Option<U64>,
    #[serde(flatten)]
    price: Price,
    replaced: u64,
}

/// A price, in the fields of its kind; none for the market's.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Price {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::HexQuantity>")]
    gas_price: Option<U128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::HexQuantity>")]
    max_fee_per_gas: Option<U128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::HexQuantity>")]
    max_priority_fee_per_gas: Option<U128>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<schema::HexQuantity>")]
    max_fee_per_blob_gas: Option<U64>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Attempt {
    generation: u16,
    attempt: u16,
    status: AttemptStatus,
    #[schemars(with = "schema::Hash")]
    hash: B256,
    #[serde(flatten)]
    price: Price,
    /// Set on a self-send that closes the nonce: why the request itself can never be mined.
    #[serde(skip_serializing_if = "Option::is_none")]
    closing: Option<String>,
    created: u64,
}

/// Another wallet's transaction at a nonce this one was bound to.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rival {
    #[schemars(with = "schema::HexQuantity")]
    nonce: U64,
    #[schemars(with = "schema::Hash")]
    transaction_hash: B256,
    #[schemars(with = "schema::HexQuantity")]
    block_number: U64,
    #[schemars(with = "schema::Hash")]
    block_hash: B256,
}

/// The object of `ptx_getTransactionReceipt`.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Receipt {
    #[schemars(with = "schema::Hash")]
    transaction_hash: B256,
    /// Whose content was mined, and which of its attempts.
    generation: u16,
    attempt: u16,
    #[schemars(with = "schema::HexQuantity")]
    block_number: U64,
    #[schemars(with = "schema::Hash")]
    block_hash: B256,
    #[schemars(with = "schema::HexQuantity")]
    transaction_index: U64,
    success: bool,
    #[schemars(with = "schema::HexQuantity")]
    gas_used: U64,
    #[schemars(with = "schema::HexQuantity")]
    effective_gas_price: U128,
    #[schemars(with = "Option<schema::Address>")]
    contract_address: Option<Address>,
    /// Where it has reverted: what the contract says to the same call after the block before, which is nearly always what it said.
    /// Asked of the node by `ptx_getTransactionReceipt`, and for the batches of receipt listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) revert_reason: Option<String>,
}

/// When each step was reached; `null` where it was not, or where the engine did not see it.
#[derive(JsonSchema, Serialize)]
struct Timeline {
    received: u64,
    durable: Option<u64>,
    sent: Option<u64>,
    included: Option<u64>,
    confirmed: Option<u64>,
}

/// The object of `ptx_queryTransactions`.
#[derive(JsonSchema, Serialize)]
pub(super) struct Transactions<'a> {
    transactions: Vec<Full<'a>>,
    cursor: Option<String>,
}

/// The object of `ptx_getAddress`, `ptx_pauseAddress` and `ptx_resumeAddress`.
#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SigningAddress {
    #[schemars(with = "schema::Address")]
    address: Address,
    state: State,
    /// Why it binds nothing now.
    reason: Option<String>,
    /// ms since the Unix epoch; `null` without an end, and where it is not paused.
    paused_until_ms: Option<u64>,
    slot: bool,
    /// How many stand before it.
    place_in_line: Option<usize>,
    #[schemars(with = "Option<schema::HexQuantity>")]
    next_nonce: Option<U64>,
    /// Most that may be bound and in no block, now and by configuration.
    window: usize,
    max_in_flight: usize,
    in_flight: usize,
    waiting: u64,
}

impl From<AddressView> for SigningAddress {
    fn from(view: AddressView) -> Self {
        Self {
            address: view.address,
            state: view.state,
            reason: view.reason,
            paused_until_ms: view.paused_until.filter(|until| *until != u64::MAX).map(|until| until / 1000),
            slot: view.has_slot,
            place_in_line: view.place_in_line,
            next_nonce: view.next_nonce.map(U64::from),
            window: view.window,
            max_in_flight: view.max_in_flight,
            in_flight: view.in_flight,
            waiting: view.waiting,
        }
    }
}

impl<'a> From<&'a TransactionView> for Transaction<'a> {
    fn from(view: &'a TransactionView) -> Self {
        let request = &view.transaction.request;
        let newest = view.attempts.last();
        let carrying = view.attempts.iter().rfind(|attempt| attempt.closing.is_none());
        let mined = view.receipt.as_ref();
        Self {
            id: view.id,
            idempotency_key: view.transaction.idempotency_key.as_deref(),
            from: request.from,
            to: request.to,
            value: request.value,
            data: &request.data,
            gas: newest.map(|attempt| attempt.gas).or(request.gas).map(U64::from),
            nonce: newest.filter(|attempt| attempt.generation == view.transaction.generation).map(|attempt| U64::from(attempt.nonce)),
            status: view.status(),
            stage: view.stage(),
            transaction_hash: mined.map(|receipt| receipt.transaction_hash).or(carrying.map(|attempt| attempt.hash)),
            generation: view.transaction.generation,
            created: view.transaction.accepted_at,
            failure_reason: view.failure.as_ref().map(|failure| failure.reason.as_str()),
            held: match (view.status(), view.transaction.place) {
                (Status::Unstarted, Place::Suspended) => Some("suspended by hand, until it is resumed (ptx_resumeTransaction)"),
                (Status::Unstarted, Place::Blocked) => Some("something that it depends on has not succeeded yet"),
                _ => view.live.as_ref().and_then(|live| live.held.as_deref()),
            },
            authorization_list: request.authorizations().iter().map(Authorized::from).collect(),
            access_list: request.extras.iter().flat_map(|extras| &extras.access_list.0).map(Listed::from).collect(),
            blob_versioned_hashes: request.blob_hashes(),
            depends_on: view.transaction.depends_on.iter().map(|dependency| dependency.id).collect(),
        }
    }
}

impl<'a> From<&'a TransactionView> for Full<'a> {
    fn from(view: &'a TransactionView) -> Self {
        let seen = view.receipt.as_ref().map(|receipt| receipt.timeline).unwrap_or_default();
        Self {
            transaction: view.into(),
            generations: view.generations.iter().map(|(generation, row)| Generation::new(*generation, row)).collect(),
            attempts: view.attempts.iter().map(|row| Attempt::new(row, view.attempt_status(&row.hash))).collect(),
            receipt: view.receipt.as_ref().map(Receipt::from),
            orphaned_receipts: view.orphans.iter().map(Receipt::from).collect(),
            displaced_by: view.rivals.iter().map(Rival::from).collect(),
            timeline: Timeline {
                received: view.transaction.accepted_at,
                durable: seen.durable_at,
                sent: seen.sent_at,
                included: seen.included_at,
                confirmed: view.confirmed_at,
            },
        }
    }
}

impl From<AttemptFees> for Price {
    fn from(fees: AttemptFees) -> Self {
        match fees {
            AttemptFees::Legacy { gas_price } => Fees::Legacy { gas_price },
            AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => {
                Fees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas }
            }
            AttemptFees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas } => {
                Fees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas }
            }
        }
        .into()
    }
}

impl From<Fees> for Price {
    fn from(fees: Fees) -> Self {
        let (gas_price, max_fee_per_gas, max_priority_fee_per_gas, blob) = match fees {
            Fees::Market => (None, None, None, None),
            Fees::Legacy { gas_price } => (Some(gas_price), None, None, None),
            Fees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => {
                (None, Some(max_fee_per_gas), Some(max_priority_fee_per_gas), None)
            }
            Fees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas } => {
                (None, Some(max_fee_per_gas), Some(max_priority_fee_per_gas), Some(max_fee_per_blob_gas))
            }
        };
        Self {
            gas_price: gas_price.map(U128::from),
            max_fee_per_gas: max_fee_per_gas.map(U128::from),
            max_priority_fee_per_gas: max_priority_fee_per_gas.map(U128::from),
            max_fee_per_blob_gas: blob.map(U64::from),
        }
    }
}

impl<'a> Generation<'a> {
    fn new(generation: u16, row: &'a GenerationRow) -> Self {
        let request = &row.request;
        Self {
            generation,
            to: request.to,
            value: request.value,
            data: &request.data,
            gas: request.gas.map(U64::from),
            price: request.fees.into(),
            replaced: row.replaced_at,
        }
    }
}

impl Attempt {
    fn new(row: &AttemptRow, status: AttemptStatus) -> Self {
        Self {
            generation: row.generation,
            attempt: row.attempt,
            status,
            hash: row.hash,
            price: row.fees.into(),
            closing: row.closing.clone(),
            created: row.signed_at,
        }
    }
}

impl From<&RivalRow> for Rival {
    fn from(row: &RivalRow) -> Self {
        Self {
            nonce: U64::from(row.nonce),
            transaction_hash: row.transaction_hash,
            block_number: U64::from(row.block_number),
            block_hash: row.block_hash,
        }
    }
}

impl From<&ReceiptRow> for Receipt {
    fn from(row: &ReceiptRow) -> Self {
        Self {
            transaction_hash: row.transaction_hash,
            generation: row.generation,
            attempt: row.attempt,
            block_number: U64::from(row.block_number),
            block_hash: row.block_hash,
            transaction_index: U64::from(row.transaction_index),
            success: row.success,
            gas_used: U64::from(row.gas_used),
            effective_gas_price: U128::from(row.effective_gas_price),
            contract_address: row.contract_address,
            revert_reason: None,
        }
    }
}

impl<'a> From<&'a Page> for Transactions<'a> {
    fn from(page: &'a Page) -> Self {
        Self { transactions: page.transactions.iter().map(Full::from).collect(), cursor: page.cursor.as_ref().map(ToString::to_string) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::view::testing::History;

    #[test]
    fn a_mined_transaction_is_shown_in_full() {
        let mut history = History::new();
        let id = history.bound(1, 5, Some("key"));
        history.block(12, &[id]);
        let view = history.view(id, 1);
        let hash = view.attempts[0].hash;
        let shown = serde_json::to_value(Full::from(&view)).expect("JSON");
        let expected = json!({
            "id": id, "idempotencyKey": "key", "from": History::address(1), "to": Address::ZERO, "value": "0x1",
            "data": "0x", "gas": "0x5208", "nonce": "0x5", "status": "confirmed", "stage": "complete",
            "transactionHash": hash, "generation": 0, "created": 2, "failureReason": null, "held": null,
            "attempts": [{
                "generation": 0, "attempt": 0, "status": "broadcast", "hash": hash, "maxFeePerGas": "0x9", "maxPriorityFeePerGas": "0x1", "created": 3,
            }],
            "receipt": {
                "transactionHash": hash, "generation": 0, "attempt": 0, "blockNumber": "0xc", "blockHash": B256::with_last_byte(1), "transactionIndex": "0x0",
                "success": true, "gasUsed": "0x5208", "effectiveGasPrice": "0x7", "contractAddress": null,
            },
            "orphanedReceipts": [],
            "displacedBy": [],
            "timeline": {
                "received": 2, "durable": null, "sent": null, "included": 12_000_000, "confirmed": 12_000_000,
            },
        });
        assert_eq!(shown, expected);
    }

    #[test]
    fn what_is_not_known_yet_is_null() {
        let mut history = History::new();
        let id = history.waiting(1, None);
        let shown = serde_json::to_value(Full::from(&history.view(id, 1))).expect("JSON");
        for field in ["nonce", "transactionHash", "idempotencyKey", "receipt", "failureReason"] {
            assert_eq!(shown[field], json!(null), "{field}");
        }
        assert_eq!(shown["status"], "unstarted");
        assert_eq!(shown["gas"], "0x5208");
    }
}
