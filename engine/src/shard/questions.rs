//! Questions and orders to a shard that are not submissions: what it knows, pauses, and orders about what was accepted.

use std::collections::HashMap;

use alloy::primitives::Address;
use alloy::primitives::map::FbBuildHasher;
use flume::Sender;
use uuid::Uuid;

use crate::engine::SubmitError;
use crate::txmgr::Manager;
use crate::txmgr::inspect::{AddressView, Asked, LiveTransaction};
use crate::txmgr::order::{Command, Done};

/// Something to be told at once, from memory.
#[derive(Debug)]
pub enum Question {
    /// What is known of an address.
    Address(Address, Sender<AddressView>),
    /// What is known of an open transaction.
    Transaction(Asked, Sender<Option<LiveTransaction>>),
}

impl Question {
    /// Answers; whoever asked may have gone.
    pub(super) fn answer(self, manager: &Manager) {
        match self {
            Self::Address(address, reply) => drop(reply.send(manager.inspect_address(address))),
            Self::Transaction(asked, reply) => drop(reply.send(manager.inspect_transaction(&asked))),
        }
    }
}

/// A pause, or its end, to be put on disk.
#[derive(Debug)]
pub struct PauseOrder {
    /// Whom it concerns.
    pub address: Address,
    /// Until when, µs since the epoch, `u64::MAX` without an end; `None` resumes.
    pub until: Option<u64>,
    /// Where it is told that it is on disk, or why not.
    pub reply: Sender<Result<(), SubmitError>>,
}

/// An order about a transaction.
#[derive(Debug)]
pub struct TransactionOrder {
    /// Its id.
    pub id: Uuid,
    /// Its signing address.
    pub from: Address,
    /// What is ordered.
    pub command: Command,
    /// Where it is told what is on disk, or why nothing is.
    pub reply: Sender<Result<Done, SubmitError>>,
}

/// Who waits for the end of an order.
pub(super) struct Waiting<T> {
    waiting: HashMap<u64, Sender<Result<T, SubmitError>>, FbBuildHasher<8>>,
    next: u64,
}

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self { waiting: HashMap::default(), next: 0 }
    }
}

impl<T> Waiting<T> {
    /// Gives an order a name.
    pub(super) fn open(&mut self, reply: Sender<Result<T, SubmitError>>) -> u64 {
        self.next += 1;
        self.waiting.insert(self.next, reply);
        self.next
    }

    /// Tells how it ended, once.
    pub(super) fn answer(&mut self, ask: u64, result: Result<T, SubmitError>) {
        if let Some(reply) = self.waiting.remove(&ask) {
            // Who ordered it may have gone; it holds all the same.
            let _ = reply.send(result);
        }
    }
}
