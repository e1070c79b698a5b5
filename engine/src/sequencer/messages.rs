//! What originators, coordinators and endorsers of a contract say to each other: in one process, and between nodes (rows C9, C13, C15).
//!
//! Messages may be lost, repeated or reordered. Each names the transaction and the number of its assembly, so that what comes late is told from
//! what is meant; whoever waits for an answer asks again.

use std::sync::Arc;

use uuid::Uuid;

use super::coordinator::{state, transaction};
use super::dependencies::{Assembly, StateId};

/// Name of a node.
pub type Node = Arc<str>;

/// One attempt at a transaction: its id, and how often it was asked to be assembled, this time included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Try {
    /// The transaction.
    pub id: Uuid,
    /// Number of the assembly, from 1.
    pub number: u32,
}

/// What is delegated of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegation {
    /// The transaction.
    pub id: Uuid,
    /// Transactions of the same contract that have to be assembled and dispatched before it. What must not be mined unless another one has
    /// succeeded is not delegated before that.
    pub names: Vec<Uuid>,
    /// Assemblies of it that the originator knows of: the next one has a higher number, whoever coordinates it.
    pub tries: u32,
}

/// Who has to endorse an assembly (row C14).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attestation {
    /// Those who are asked.
    pub endorsers: Vec<Node>,
    /// How many of them have to agree: all of them, or fewer.
    pub threshold: usize,
}

/// An assembled and signed transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembled {
    /// What it spends, reads and makes.
    pub assembly: Assembly,
    /// Who has to endorse it.
    pub attestation: Attestation,
}

/// What came of assembling a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is assembled.
    Assembled(Assembled),
    /// Its intent is not valid, and why: it ends.
    Revert(String),
    /// It is not ready: it goes on when it is resumed.
    Park,
    /// It could not be assembled now, and why; that says nothing about the intent.
    Error(String),
}

/// A message between two nodes about one contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Originator to coordinator: order these.
    Delegate(Vec<Delegation>),
    /// Coordinator to originator: assemble these, in this order, each upon what those before it make.
    AssembleRequest {
        /// Number of the request.
        run: u64,
        /// What is to be assembled.
        tries: Vec<Try>,
        /// States that others spend.
        spent: Vec<StateId>,
        /// States that nobody has mined yet and nobody spends.
        pending: Vec<StateId>,
    },
    /// Originator to coordinator: what came of it.
    AssembleReply {
        /// Number of the request.
        run: u64,
        /// Outcomes, in the order of the request.
        outcomes: Vec<(Try, Outcome)>,
    },
    /// Coordinator to endorser: do you agree?
    EndorseRequest(Try, Box<Assembly>),
    /// Endorser to coordinator: yes, or no and why.
    EndorseReply(Try, Result<(), String>),
    /// Coordinator to originator: may it be dispatched?
    DispatchRequest(Try),
    /// Originator to coordinator: yes (that is on disk), or no.
    DispatchReply(Try, bool),
    /// Coordinator to originators: that it lives, and what it has of them.
    Heartbeat {
        /// Its state.
        state: state::State,
        /// The receiver's transactions, each with its try and state.
        transactions: Vec<(Try, transaction::State)>,
    },
}
