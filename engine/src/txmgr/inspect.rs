//! What a shard knows of an address and of an open transaction at this moment, for people to read (rows A1, A5, A8, B9).

use alloy::primitives::{Address, B256};
use uuid::Uuid;

use super::orchestrator::state::State;
use super::stage::Stage;

/// One signing address as its shard has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressView {
    /// The address.
    pub address: Address,
    /// Its state.
    pub state: State,
    /// Why it does not bind now, in words; `None` if it can, or has nothing to bind.
    pub reason: Option<String>,
    /// Until when it is paused, µs since the epoch; `u64::MAX` without an end.
    pub paused_until: Option<u64>,
    /// It has a slot.
    pub has_slot: bool,
    /// How many stand before it in line, if it stands there.
    pub place_in_line: Option<usize>,
    /// Nonce of the next bind, once the chain has told it.
    pub next_nonce: Option<u64>,
    /// Behind everything that is bound: the next bind takes this nonce, or a greater one where the chain is ahead.
    pub next_nonce_at_least: u64,
    /// Most transactions that may be bound and in no block, now.
    pub window: usize,
    /// The same by configuration.
    pub max_in_flight: usize,
    /// Bound and in no block.
    pub in_flight: usize,
    /// Accepted and not bound.
    pub waiting: u64,
}

/// What is asked about a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Signing address.
    pub from: Address,
    /// Its id.
    pub id: Uuid,
    /// Its nonce, if the disk has one.
    pub nonce: Option<u64>,
}

/// An open transaction as its shard has it: what is on no disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTransaction {
    /// What is being done with it, or has to be done next.
    pub stage: Stage,
    /// Why it does not go on by itself, in words.
    pub held: Option<String>,
    /// A node has said, since the start of the process, that it has an attempt of it.
    pub answered: bool,
    /// Hashes of the attempts that a node has said it has.
    pub broadcast: Vec<B256>,
}
