//! What is appended (records) and what is kept (rows).
//!
//! A [`Record`] is one step in the life of a transaction or of the chain, as the engine decided it. It is the only thing the store
//! is ever given to write. [`project`](crate::project()) turns it into rows and index entries of the families; nothing else writes
//! them, so that the families can always be made again from the records.
//!
//! Rows are immutable facts: what was asked, what was signed, what the chain did. What can be derived (stages, statuses) is not
//! stored. Times are microseconds since the Unix epoch by the engine's clock, unless the field says otherwise; amounts are wei.

use alloy::eips::eip2930::AccessList;
use alloy::primitives::{Address, B256, Bytes, U256};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What the caller asked for: the content of one Ethereum transaction before nonce, price and signature.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Signing address.
    pub from: Address,
    /// Called address; `None` creates a contract.
    pub to: Option<Address>,
    /// Wei sent along.
    pub value: U256,
    /// Call data, or the init code of a creation.
    pub data: Bytes,
    /// Gas limit given by the caller; `None` leaves it to the engine's estimate.
    pub gas: Option<u64>,
    /// Price the caller fixed, or the market's.
    pub fees: Fees,
    /// What hardly any transaction carries; `None` where all of it would be empty.
    pub extras: Option<Box<Extras>>,
}

impl Request {
    /// Versioned hashes of its blobs (EIP-4844); none for nearly all.
    #[must_use]
    pub fn blob_hashes(&self) -> &[B256] {
        self.extras.as_ref().map_or(&[], |extras| &extras.blob_hashes)
    }

    /// Its authorizations (EIP-7702); none for nearly all.
    #[must_use]
    pub fn authorizations(&self) -> &[Authorization] {
        self.extras.as_ref().map_or(&[], |extras| &extras.authorizations)
    }
}

/// What makes a transaction one of a type that hardly anybody sends.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Authorizations to set the code of accounts (EIP-7702); with any it is a transaction of type 4.
    pub authorizations: Vec<Authorization>,
    /// Addresses and storage slots that it names beforehand (EIP-2930); with one price a transaction with any is of type 1.
    pub access_list: AccessList,
    /// Versioned hashes of its blobs (EIP-4844); with any it is a transaction of type 3, and [`SidecarRow`] has the blobs.
    pub blob_hashes: Vec<B256>,
}

impl Extras {
    /// As a [`Request`] has them: `None` if there is nothing in them.
    #[must_use]
    pub fn boxed(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }
}

/// The blobs of a transaction and what proves them (EIP-4844, EIP-7594), kept until its nonce is final.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct SidecarRow {
    /// It has proofs of cells, 128 for each blob (EIP-7594); otherwise one proof for each blob (EIP-4844).
    pub cells: bool,
    /// The blobs, 131,072 bytes each.
    pub blobs: Bytes,
    /// Their commitments, 48 bytes each.
    pub commitments: Bytes,
    /// The proofs, 48 bytes each.
    pub proofs: Bytes,
}

/// A signed authorization to set the code of its signer's account (EIP-7702).
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// Chain it is valid on; 0 for any.
    pub chain_id: U256,
    /// Whose code the account gets; zero ends a delegation.
    pub address: Address,
    /// Nonce of the signer, which it takes.
    pub nonce: u64,
    /// Parity of the signature's point.
    pub y_parity: u8,
    /// The signature.
    pub r: U256,
    /// The signature.
    pub s: U256,
}

/// How the caller wants a transaction priced, wei per gas.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fees {
    /// The engine's gas price source decides, again for each attempt.
    Market,
    /// A fixed price in a transaction without EIP-1559 fields.
    Legacy {
        /// Wei per gas.
        gas_price: u128,
    },
    /// Fixed caps (EIP-1559).
    Dynamic {
        /// Most the transaction pays per gas, wei.
        max_fee_per_gas: u128,
        /// Most it pays the block's proposer per gas, wei.
        max_priority_fee_per_gas: u128,
    },
    /// Fixed caps of a transaction with blobs (EIP-4844).
    Blob {
        /// Most the transaction pays per gas, wei.
        max_fee_per_gas: u128,
        /// Most it pays the block's proposer per gas, wei.
        max_priority_fee_per_gas: u128,
        /// Most it pays per blob gas, wei.
        max_fee_per_blob_gas: u64,
    },
}

/// One accepted transaction, immutable for a generation.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct TransactionRow {
    /// Generation of the request: 0 when accepted, one more whenever its content is replaced.
    pub generation: u16,
    /// What was asked.
    pub request: Request,
    /// The caller's key; the same key never makes a second transaction.
    pub idempotency_key: Option<String>,
    /// When it was accepted, µs since the Unix epoch.
    pub accepted_at: u64,
    /// Where it stands before it is bound.
    pub place: Place,
    /// What has to succeed before it may be bound.
    pub depends_on: Vec<Dependency>,
}

impl TransactionRow {
    /// A request as it was accepted at `accepted_at` (µs since the Unix epoch): its first generation, in no line, dependent on nothing.
    #[must_use]
    pub const fn new(request: Request, idempotency_key: Option<String>, accepted_at: u64) -> Self {
        Self { generation: 0, request, idempotency_key, accepted_at, place: Place::Nowhere, depends_on: Vec::new() }
    }
}

/// Where a transaction stands before it is bound. Binding does not write the row again, so of one that is bound it tells where it stood.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// It never had to wait, or was accepted by a version that did not note its place.
    #[default]
    Nowhere,
    /// In the line of its address, at this queue number.
    Line(u64),
    /// In no line, until it is resumed (row A17).
    Suspended,
    /// In no line, until everything it depends on has succeeded (row A17).
    Blocked,
}

/// A transaction on which another one depends.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Its id.
    pub id: Uuid,
    /// Its signing address, which tells where it lives.
    pub from: Address,
}

/// One that depends on another: the value of an entry of `dependents`.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct DependentRow {
    /// Signing address of the one that depends.
    pub from: Address,
    /// Signing address of what it depends on.
    pub dependency_from: Address,
}

/// What an earlier generation asked for (row A6).
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct GenerationRow {
    /// What was asked.
    pub request: Request,
    /// When the next generation took its place, µs since the Unix epoch.
    pub replaced_at: u64,
}

/// One signed set of bytes bound to a nonce.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct AttemptRow {
    /// Generation whose content was signed.
    pub generation: u16,
    /// Number of the attempt within its generation, from 0.
    pub attempt: u16,
    /// Nonce of the signing address.
    pub nonce: u64,
    /// Transaction hash: keccak-256 of `raw`.
    pub hash: B256,
    /// The signed transaction as it is sent (EIP-2718 envelope); one with blobs as it stands in a block, without them.
    pub raw: Bytes,
    /// Gas limit that was signed.
    pub gas: u64,
    /// Price that was signed.
    pub fees: AttemptFees,
    /// When it was signed, µs since the Unix epoch.
    pub signed_at: u64,
    /// Why the request can never be mined, if this attempt is the self-send that closes its nonce.
    pub closing: Option<String>,
}

/// The price one attempt was signed with, wei per gas.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptFees {
    /// A transaction without EIP-1559 fields.
    Legacy {
        /// Wei per gas.
        gas_price: u128,
    },
    /// EIP-1559 caps.
    Dynamic {
        /// Most the transaction pays per gas, wei.
        max_fee_per_gas: u128,
        /// Most it pays the block's proposer per gas, wei.
        max_priority_fee_per_gas: u128,
    },
    /// Caps of a transaction with blobs (EIP-4844).
    Blob {
        /// Most the transaction pays per gas, wei.
        max_fee_per_gas: u128,
        /// Most it pays the block's proposer per gas, wei.
        max_priority_fee_per_gas: u128,
        /// Most it pays per blob gas, wei. 64 bits keep the price of every other transaction as small as it was, and 18 ether for a unit of
        /// blob gas is more than there will ever be a reason to pay.
        max_fee_per_blob_gas: u64,
    },
}

/// What the chain did with a transaction: the receipt of the attempt that was mined.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct ReceiptRow {
    /// Hash of the attempt that was mined.
    pub transaction_hash: B256,
    /// Generation of that attempt.
    pub generation: u16,
    /// Number of that attempt.
    pub attempt: u16,
    /// Nonce it was mined with.
    pub nonce: u64,
    /// Block that holds it.
    pub block_number: u64,
    /// Hash of that block.
    pub block_hash: B256,
    /// Place in that block, from 0.
    pub transaction_index: u64,
    /// `true` when execution did not revert (EIP-658 status 1).
    pub success: bool,
    /// Gas the transaction used.
    pub gas_used: u64,
    /// Wei per gas that was paid.
    pub effective_gas_price: u128,
    /// Address of the contract it created.
    pub contract_address: Option<Address>,
    /// When each step was reached.
    pub timeline: Timeline,
}

/// When a transaction reached each step, µs since the Unix epoch; `None` where the engine did not see it (a restart in between).
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Its bound record was on disk.
    pub durable_at: Option<u64>,
    /// A node took the attempt.
    pub sent_at: Option<u64>,
    /// Its block was read.
    pub included_at: Option<u64>,
}

/// A block the follower has read.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadRow {
    /// Block hash.
    pub hash: B256,
    /// Hash of the block before it.
    pub parent_hash: B256,
    /// The block's own time, seconds since the Unix epoch.
    pub timestamp: u64,
    /// When it was read, µs since the Unix epoch.
    pub seen_at: u64,
}

/// Why a transaction ended without its request being mined.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct FailureRow {
    /// For the caller to read.
    pub reason: String,
    /// When it was given up, µs since the Unix epoch.
    pub failed_at: u64,
}

/// A transaction of somebody else that took a nonce of ours in a block: the evidence that ours is displaced.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct RivalRow {
    /// The nonce it took.
    pub nonce: u64,
    /// Its hash; that of the carrying transaction where an authorization (EIP-7702) took the nonce.
    pub transaction_hash: B256,
    /// Block that holds it.
    pub block_number: u64,
    /// Hash of that block.
    pub block_hash: B256,
}

/// A function, event or error of a contract's ABI.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct AbiRow {
    /// The item as JSON, as compilers write it.
    pub definition: String,
}

/// Transactions that ended in one append: what receipt listeners are told of (row E1).
///
/// Each has a sequence of its own: the row's key is that of the first, and those behind it follow without a gap. The sequence of a row is
/// greater than all that were ever given before, also where a reorg has undone those.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
pub struct EndingsRow {
    /// The block that holds them: they end when it is deep enough, unless it leaves the chain before. `None`: they have failed.
    pub block: Option<u64>,
    /// Which, in the order of their sequences.
    pub ids: Vec<Uuid>,
}

/// A receipt listener: a place in the sequence of endings that somebody keeps up to date (row E1).
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerRow {
    /// When it was made, µs since the Unix epoch.
    pub created_at: u64,
    /// Whether it is delivered to.
    pub started: bool,
    /// The sequence above which it began.
    pub above: u64,
    /// Whether it is told of public transactions alone, as all are so far.
    pub public_only: bool,
    /// The sequence up to which everything has been acknowledged.
    pub checkpoint: u64,
}

/// One step, appended atomically with all others of its [`Commit`](crate::Commit).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Accepted and not bound yet: its place says where it waits. A queue number is greater than all that wait there.
    Accepted {
        /// Transaction id.
        id: Uuid,
        /// What was accepted.
        transaction: TransactionRow,
        /// Digest of the request as received, to tell a repeat from a conflict of its idempotency key.
        body_hash: B256,
    },
    /// Request (when it was not accepted earlier), nonce, price, signed bytes and hash, in one record.
    Bound {
        /// Transaction id.
        id: Uuid,
        /// Signing address, whose nonce this takes.
        from: Address,
        /// The request and the digest of its body, when no [`Record::Accepted`] came before.
        accepted: Option<(TransactionRow, B256)>,
        /// The waiting entry this ends.
        queue_number: Option<u64>,
        /// What was signed, and with which nonce.
        attempt: AttemptRow,
    },
    /// A further attempt (higher price) at a nonce that is bound.
    Attempt {
        /// Transaction id.
        id: Uuid,
        /// What was signed.
        attempt: AttemptRow,
    },
    /// Its row is another one from now on: it was displaced for good and waits again, was suspended, resumed or released, or has a new
    /// generation.
    Changed {
        /// Transaction id.
        id: Uuid,
        /// The row from now on.
        transaction: TransactionRow,
        /// The waiting entry this ends.
        left: Option<u64>,
        /// The generation that this one takes the place of, and what it asked for.
        replaced: Option<(u16, GenerationRow)>,
    },
    /// Ended for good: before it was bound, or with another transaction final at its nonce.
    Failed {
        /// Transaction id.
        id: Uuid,
        /// Signing address.
        from: Address,
        /// As in [`Record::Bound`].
        accepted: Option<(TransactionRow, B256)>,
        /// The waiting entry this ends.
        queue_number: Option<u64>,
        /// What it depended on; nothing where it was bound.
        depends_on: Vec<Dependency>,
        /// Why it ended.
        failure: FailureRow,
    },
    /// Paused by hand, or resumed.
    Paused {
        /// Signing address.
        address: Address,
        /// Until when, µs since the Unix epoch, `u64::MAX` without an end; `None` resumes it.
        until: Option<u64>,
    },
    /// The blobs of a transaction that is about to be accepted. It is on disk before that is, so that no blob transaction is without them.
    Sidecar {
        /// Transaction id.
        id: Uuid,
        /// The blobs and their proofs.
        sidecar: SidecarRow,
    },
    /// The blobs of a transaction are not needed any more: its nonce is final, or it was not accepted.
    SidecarDropped {
        /// Transaction id.
        id: Uuid,
    },
    /// Items of an ABI that was given to be kept.
    Abi {
        /// Each with its key, as [`keys::abi_item`](crate::keys::abi_item) makes it.
        items: Vec<(Vec<u8>, AbiRow)>,
    },
    /// A receipt listener as it is from now on; `None`: it is deleted.
    Listener {
        /// Its name.
        name: String,
        /// What it is.
        row: Option<ListenerRow>,
    },
    /// A block the follower has read, with what it completed.
    Block {
        /// Block number.
        number: u64,
        /// The block.
        head: HeadRow,
        /// Receipts of the transactions it completed, by transaction id.
        receipts: Vec<(Uuid, ReceiptRow)>,
        /// Transactions of others that took nonces of ours, by the id of the transaction that was bound there.
        rivals: Vec<(Uuid, RivalRow)>,
        /// New floors: the first nonce of an address that is not archived yet.
        floors: Vec<(Address, u64)>,
        /// Heads below this number are no longer needed. The [`HEADS_PRUNED_PER_BLOCK`] numbers below it are deleted, so a follower
        /// that passes this at least once in so many blocks keeps the family bounded.
        prune_heads_below: Option<u64>,
    },
    /// Blocks that have left the chain: everything above `to` is undone. Their receipts are kept as orphans.
    Rewind {
        /// The highest block that is still on the chain.
        to: u64,
        /// That block. It may be older than the first one that was read.
        head: HeadRow,
        /// The highest block that was stored.
        from: u64,
        /// The highest block that was ever stored.
        highest: u64,
        /// Receipts of the blocks that left, by transaction id.
        orphans: Vec<(Uuid, ReceiptRow)>,
        /// Rivals in the blocks that left: transaction id and nonce.
        rivals: Vec<(Uuid, u64)>,
    },
}

/// Heads deleted by one [`Record::Block`] that prunes. A projection may not read, so it deletes by number; 64 deletes cost about
/// as much as 64 puts in order, once per block, and forgive a follower that prunes only now and then.
pub const HEADS_PRUNED_PER_BLOCK: u64 = 64;

/// Bytes a record takes in the store beyond its payload: keys, index entries and fixed fields. An estimate for the bounds of a batch.
const OVERHEAD_BYTES: usize = 400;

impl Record {
    /// About how many bytes this record adds to a batch. Bounds a group commit; not an exact size.
    #[must_use]
    pub fn weight(&self) -> usize {
        let transaction = |row: &TransactionRow| {
            row.request.data.len()
                + row.idempotency_key.as_ref().map_or(0, |key| 2 * key.len())
                + row.depends_on.len() * DEPENDENCY_BYTES
                + row.request.extras.as_ref().map_or(0, |extras| extras_bytes(extras))
        };
        let accepted = |accepted: &Option<(TransactionRow, B256)>| accepted.as_ref().map_or(0, |(row, _)| transaction(row));
        OVERHEAD_BYTES
            + match self {
                Self::Accepted { transaction: row, .. } => transaction(row),
                Self::Bound { accepted: row, attempt, .. } => accepted(row) + attempt.raw.len(),
                Self::Attempt { attempt, .. } => attempt.raw.len(),
                Self::Failed { accepted: row, failure, depends_on, .. } => {
                    accepted(row) + failure.reason.len() + depends_on.len() * DEPENDENCY_BYTES
                }
                Self::Paused { .. } | Self::SidecarDropped { .. } => 0,
                Self::Sidecar { sidecar, .. } => sidecar.blobs.len() + sidecar.commitments.len() + sidecar.proofs.len(),
                Self::Listener { name, .. } => name.len(),
                Self::Abi { items } => items.iter().map(|(key, row)| key.len() + row.definition.len()).sum(),
                Self::Changed { transaction: row, replaced, .. } => {
                    transaction(row) + replaced.as_ref().map_or(0, |(_, row)| OVERHEAD_BYTES + row.request.data.len())
                }
                Self::Rewind { orphans, rivals, .. } => orphans.len() * RECEIPT_BYTES + rivals.len() * FLOOR_BYTES,
                Self::Block { receipts, rivals, floors, .. } => {
                    (receipts.len() + rivals.len()) * RECEIPT_BYTES + floors.len() * FLOOR_BYTES
                }
            }
    }
}

/// Bytes of one receipt with its key, two hashes, an id, and numbers, and of its id among the endings.
const RECEIPT_BYTES: usize = 180;
/// What extras add to a row.
fn extras_bytes(extras: &Extras) -> usize {
    let keys: usize = extras.access_list.0.iter().map(|item| 24 + 33 * item.storage_keys.len()).sum();
    extras.authorizations.len() * AUTHORIZATION_BYTES + keys + 33 * extras.blob_hashes.len()
}

/// Bytes of one authorization.
const AUTHORIZATION_BYTES: usize = 130;
/// Bytes of one dependency: what is in the row, and its entry in `dependents`.
const DEPENDENCY_BYTES: usize = 120;
/// Bytes of one floor: address, tag, number, value.
const FLOOR_BYTES: usize = 40;
