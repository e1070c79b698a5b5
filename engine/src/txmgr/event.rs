//! What the manager is told and what it asks for: its whole contact with the world.

use std::time::Duration;

use alloy::primitives::{Address, B256, Bytes, U256};
use storage::{AttemptFees, AttemptRow, Extras, ReceiptRow, Record, Request, RivalRow, TransactionRow};
use uuid::Uuid;

use super::estimate::NoEstimate;
use super::gas_price::MarketPrice;
use super::orchestrator::state::State;
use super::order::{Case, Command, Done};
use super::outcome::Outcome;
use crate::engine::SubmitError;

/// The time an event is handled at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, since the room opened: for deadlines.
    pub elapsed: Duration,
    /// Since the Unix epoch, µs: for records.
    pub unix_us: u64,
}

/// Names a submission while its caller waits: a batch and a place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyTo {
    /// The batch.
    pub batch: u64,
    /// The place in the batch.
    pub index: u32,
}

/// A checked submission, ready to be accepted.
#[derive(Clone, Debug)]
pub struct Accept {
    /// The new transaction's id.
    pub id: Uuid,
    /// What is stored of it.
    pub row: TransactionRow,
    /// Digest of the body, to tell a repeat from a conflict (row A16).
    pub body_hash: B256,
}

/// One transaction at one nonce, named so that it survives others leaving the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot {
    /// Number of the address in the manager.
    pub address: u32,
    /// The nonce.
    pub nonce: u64,
}

/// What has to be signed.
#[derive(Clone, Debug)]
pub struct SignJob {
    /// Names the job.
    pub number: u64,
    /// Whom it is for.
    pub slot: Slot,
    /// The transaction at that slot: a nonce may change hands while a signer works.
    pub id: Uuid,
    /// Signer.
    pub from: Address,
    /// Chain it is valid on (EIP-155).
    pub chain_id: u64,
    /// Recipient; `None` creates a contract.
    pub to: Option<Address>,
    /// Wei.
    pub value: U256,
    /// Call data or init code.
    pub data: Bytes,
    /// Gas limit.
    pub gas: u64,
    /// Price; its kind chooses the transaction type.
    pub fees: AttemptFees,
    /// It closes the nonce instead of carrying the request.
    pub closing: bool,
    /// What makes it one of type 1, 3 or 4, as far as its price does not.
    pub extras: Option<Box<Extras>>,
}

impl SignJob {
    /// The answer to this job: EIP-2718 bytes and transaction hash, or why there is no signature.
    #[must_use]
    pub const fn answer(&self, result: Result<(Bytes, B256), String>) -> Signed {
        Signed { number: self.number, slot: self.slot, id: self.id, fees: self.fees, gas: self.gas, closing: self.closing, result }
    }
}

/// A signature's result: the bytes to send and their hash.
#[derive(Clone, Debug)]
pub struct Signed {
    /// The job that this answers.
    pub number: u64,
    /// Whom it is for.
    pub slot: Slot,
    /// The transaction it was signed for.
    pub id: Uuid,
    /// Price it was signed over.
    pub fees: AttemptFees,
    /// Gas limit it was signed over.
    pub gas: u64,
    /// It closes the nonce instead of carrying the request.
    pub closing: bool,
    /// EIP-2718 bytes and transaction hash, or why the signer gave none.
    pub result: Result<(Bytes, B256), String>,
}

/// How sending one attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendEnd {
    /// The node answered.
    Answered(Outcome, String),
    /// No byte of it reached a socket.
    BeforeSend,
    /// It may have been taken: the same bytes again.
    Ambiguous,
    /// It has no answer by a fault of its own: the same bytes again, by themselves; the lane is well.
    LeftOpen,
}

/// A receipt as the follower reads it from a block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenReceipt {
    /// Sender.
    pub from: Address,
    /// Hash of the transaction.
    pub transaction_hash: B256,
    /// Place in the block.
    pub transaction_index: u64,
    /// False if it reverted.
    pub success: bool,
    /// Gas it used.
    pub gas_used: u64,
    /// Wei for a unit of gas.
    pub effective_gas_price: u128,
    /// Contract it created.
    pub contract_address: Option<Address>,
    /// It carries authorizations, which may take nonces of their signers (EIP-7702).
    pub authorizes: bool,
}

/// What a shard has to do for one block: the receipts of its addresses.
#[derive(Clone, Debug)]
pub struct SeenBlock {
    /// Number.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// When the follower saw it, µs since the epoch.
    pub seen_at: u64,
    /// Receipts of this shard's addresses.
    pub receipts: Vec<SeenReceipt>,
    /// Nonces of this shard's addresses that authorizations in the block name (EIP-7702).
    pub authorizations: Vec<SeenNonce>,
}

/// A nonce of an address that a transaction in a block names, as its sender's or in an authorization (EIP-7702).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenNonce {
    /// Whose nonce.
    pub address: Address,
    /// The nonce.
    pub nonce: u64,
    /// Hash of the transaction.
    pub transaction_hash: B256,
}

/// One shard's part of the write that stores a block.
#[derive(Clone, Debug, Default)]
pub struct BlockEffects {
    /// Number of the block.
    pub number: u64,
    /// Transactions that the block completed.
    pub receipts: Vec<(Uuid, ReceiptRow)>,
    /// Transactions in the block that our addresses sent and nobody here signed: their nonces are to be looked up.
    pub strangers: Vec<B256>,
    /// Authorizations in the block that name a nonce of ours: whether they took it is to be looked up.
    pub authorizations: Vec<SeenNonce>,
    /// Others' transactions that took nonces of ours.
    pub rivals: Vec<(Uuid, RivalRow)>,
    /// Addresses whose first nonce that is not archived has moved.
    pub floors: Vec<(Address, u64)>,
    /// Transactions whose block has left the chain; their receipts are orphans.
    pub undone: Vec<Uuid>,
    /// Rivals whose block has left the chain: the transactions they had displaced, and the nonce.
    pub undone_rivals: Vec<(Uuid, u64)>,
}

/// A transaction that waits on disk, as read from there.
#[derive(Clone, Debug)]
pub struct Waiter {
    /// Its place in the address's queue.
    pub queue_number: u64,
    /// Its id.
    pub id: Uuid,
    /// What was accepted.
    pub row: TransactionRow,
}

/// A bound transaction, as read from disk at start.
#[derive(Clone, Debug)]
pub struct BoundRow {
    /// Its id.
    pub id: Uuid,
    /// When it was accepted, µs.
    pub accepted_at: u64,
    /// True if its user fixed the price.
    pub fixed_price: bool,
    /// All its attempts, oldest first.
    pub attempts: Vec<AttemptRow>,
    /// Its receipt, if a block holds it.
    pub receipt: Option<ReceiptRow>,
    /// Who took its nonce in a block instead.
    pub rival: Option<RivalRow>,
    /// Its last record at this nonce is on disk: it has failed, or waits again.
    pub ended: bool,
}

/// What the disk holds of one address at start.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The address.
    pub address: Address,
    /// First nonce that is not archived.
    pub floor: u64,
    /// Bound from the floor on, gapless.
    pub bound: Vec<BoundRow>,
    /// Paused by hand until then, µs since the epoch; `u64::MAX` without an end.
    pub paused_until: Option<u64>,
    /// Last number of the queue, if anything waits.
    pub last_queue_number: Option<u64>,
    /// How many wait.
    pub waiting_count: u64,
}

/// What the manager is told.
#[derive(Debug)]
pub enum Event {
    /// What the disk holds of an address; only before anything else.
    Recovered(Recovered),
    /// A submission to accept.
    Submit(Accept, ReplyTo),
    /// Results of sign jobs, in the order of the jobs.
    Signed(Vec<Signed>),
    /// A commit is on disk.
    Durable {
        /// The commit's ticket.
        ticket: u64,
    },
    /// Nothing of any commit that has no answer yet reached the disk (row A15).
    Refused,
    /// A request on a lane ended.
    Sent {
        /// The lane, free again.
        lane: usize,
        /// Each attempt's end, in order.
        ends: Vec<(Slot, SendEnd)>,
        /// The node asked for a pause, or is left alone for a while.
        pause: Option<Duration>,
    },
    /// The node's gas price; `None` if it gave none.
    Price(Option<MarketPrice>),
    /// What blobs cost now, wei per blob gas; told before the price.
    BlobBaseFee(u64),
    /// The cached gas price is not to be used any more.
    ClearPrice,
    /// Transaction count of an address at the head; `None` if the node gave none.
    ChainNonce(Address, Option<u64>),
    /// Whether the account of an address has delegated code (EIP-7702).
    Delegated(Address, bool),
    /// Wei that an address holds at the head; `None` if the node did not tell.
    Balance(Address, Option<U256>),
    /// How much gas this request of a transaction takes: the limit, or why there is none. The request, because an order may have given the
    /// transaction another one meanwhile.
    Estimated(Uuid, Box<Request>, Result<u64, NoEstimate>),
    /// Waiting transactions, read from disk; `None` if they could not be read.
    Loaded(Address, Option<Vec<Waiter>>),
    /// A block to take effect of.
    Block(SeenBlock),
    /// Nonces that others' transactions in a block have taken. The block is the one told last.
    Rivals {
        /// Number of the block.
        number: u64,
        /// Hash of the block.
        hash: B256,
        /// Whose nonces, and by what.
        taken: Vec<SeenNonce>,
    },
    /// The request of a displaced transaction, read from disk; `None` if it could not be read.
    Request(Slot, Uuid, Option<TransactionRow>),
    /// Blocks above this number have left the chain.
    Rewind {
        /// The highest block that is still on it.
        to: u64,
    },
    /// That block, with everyone's effects, is on disk.
    BlockStored {
        /// Its number.
        number: u64,
        /// The node had no newer block when this one was read.
        newest: bool,
    },
    /// Appends succeed, or have stopped to (row A15): until they do again nothing is accepted, bound or sent, and whoever waits for
    /// an answer hears that the outcome is unknown.
    Store {
        /// They do.
        healthy: bool,
    },
    /// The node answers, or has stopped to; its chain id is known from the first time on.
    Node {
        /// It answers, and is on the right chain.
        healthy: bool,
        /// Its chain id.
        chain_id: Option<u64>,
    },
    /// Another node is used from now on; its pool knows nothing of what the one before it was sent.
    Switched,
    /// Pause an address until then, µs since the epoch, `u64::MAX` without an end; `None` resumes it.
    Pause {
        /// Whom.
        address: Address,
        /// Until when.
        until: Option<u64>,
        /// Names the order in [`Action::Paused`].
        ask: u64,
    },
    /// An order about an accepted transaction.
    Order {
        /// Its id.
        id: Uuid,
        /// Its signing address.
        from: Address,
        /// What is ordered.
        command: Command,
        /// Names the order in [`Action::Ordered`], where somebody waits.
        ask: Option<u64>,
    },
    /// What the disk holds of a transaction that an order is about; `None` if it could not be read.
    Case(Uuid, Option<Box<Case>>),
    /// One more depends on this transaction: to be checked now, and whenever it has an outcome.
    Watch {
        /// The transaction.
        dependency: Uuid,
        /// What depends on it.
        dependent: Uuid,
        /// The signing address of the dependent.
        from: Address,
    },
    /// One less depends on this transaction.
    Unwatch(Uuid),
    /// So many that the disk holds depend on this transaction; only after a start.
    Watched(Uuid, i64),
    /// The process ends: nothing is bound or sent any more.
    Shutdown,
    /// A deadline asked for by [`Action::WakeAt`] has come.
    Tick,
}

/// What the manager asks for.
#[derive(Debug)]
pub enum Action {
    /// Write these records in one commit, then tell [`Event::Durable`], or [`Event::Refused`] for all that are unanswered.
    Commit {
        /// Names the commit.
        ticket: u64,
        /// What to write.
        records: Vec<Record>,
    },
    /// Send, in order, in one request; then tell [`Event::Sent`].
    Send {
        /// Connection to use; it is free.
        lane: usize,
        /// Bytes and whose they are.
        attempts: Vec<(Slot, Bytes)>,
    },
    /// Send one with blobs, which are read from disk, by itself; then tell [`Event::Sent`].
    SendBlobs {
        /// Connection to use; it is free.
        lane: usize,
        /// Whose it is.
        slot: Slot,
        /// The transaction, by which its blobs are found.
        id: Uuid,
        /// It as it stands in a block.
        raw: Bytes,
    },
    /// Ask the node for its price.
    FetchPrice,
    /// Ask the node for its price, and for what blobs cost.
    FetchBlobPrice,
    /// Ask the node for an address's transaction count: at this block, the newest that was read, or later.
    FetchNonce(Address, u64),
    /// Ask the node what an address holds at the head.
    FetchBalance(Address),
    /// Ask the node how much gas a request takes.
    Estimate(Uuid, Request),
    /// Read what waits behind this number of the queue.
    Load {
        /// Whose queue.
        address: Address,
        /// Read from the number after this on; `None` from the start.
        after: Option<u64>,
        /// At most this many.
        limit: usize,
    },
    /// Read the request of a displaced transaction.
    LoadRequest(Slot, Uuid),
    /// Tell the caller how a submission ended.
    Reply {
        /// Which.
        to: ReplyTo,
        /// `Ok`: on disk.
        result: Result<Uuid, SubmitError>,
        /// False for "unknown": the end is told later to whoever asks.
        last: bool,
    },
    /// Tell how an order to pause or to resume ended.
    Paused {
        /// Which.
        ask: u64,
        /// `Ok`: on disk.
        result: Result<(), SubmitError>,
    },
    /// Read what an order is about; then tell [`Event::Case`].
    LoadCase {
        /// The transaction.
        id: Uuid,
        /// Depth at which a success counts.
        required: u64,
        /// Depth at which it is final.
        finality: u64,
    },
    /// Tell how an order ended.
    Ordered {
        /// Which.
        ask: u64,
        /// `Ok`: on disk.
        result: Result<Done, SubmitError>,
    },
    /// Tell the shard of this address.
    Tell(Address, Box<Event>),
    /// Have everything checked that depends on this transaction: it has an outcome, on disk.
    Settled(Uuid),
    /// This shard's part of the write of a block.
    Effects(BlockEffects),
    /// Tell [`Event::Tick`] at this time.
    WakeAt(Duration),
    /// Count something.
    Count(Counted),
}

/// What is counted for the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Open transactions: accepted, not archived or failed yet. More, or fewer.
    Open(i64),
    /// On disk as accepted.
    Accepted,
    /// Bound to a nonce and on disk: which one, and how many µs after it was accepted.
    Bound(Uuid, u64),
    /// A node has taken it, this many µs after it was accepted.
    Sent(u64),
    /// A block that holds it is on disk; the block was seen this many µs after it was accepted.
    Included(u64),
    /// At the required depth.
    Confirmed {
        /// µs since it was accepted.
        accepted_us: u64,
        /// µs since its block was seen.
        seen_us: u64,
    },
    /// Ended as failed, on disk.
    Failed(Uuid),
    /// Another wallet's transaction took its nonce for good.
    Displaced,
    /// A further attempt at a higher price.
    Resubmitted,
    /// Held, because the price cap leaves no replacement, the balance does not cover it, or the node names another hash than its own.
    Held,
    /// So many orchestrators more or fewer are in each state, in the order of [`State::ALL`].
    States([i64; State::ALL.len()]),
    /// Addresses that wait for funds. More, or fewer.
    WaitingForFunds(i64),
}
