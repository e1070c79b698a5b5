//! Orders about a transaction that has been accepted: cancel, suspend, resume, update (rows A6, A17).
//!
//! An order is decided by what the disk holds of its transaction ([`Case`]) and by what its shard is doing with it. What may be sent is
//! never forgotten by an order: from the bind on a transaction can only be replaced at its own nonce.

mod case;
mod change;

pub use case::{Case, Verdict};
pub use change::{Change, replaces};

use thiserror::Error;

/// Why a transaction that was cancelled has ended, as its failure and the self-send that closes its nonce say it.
pub const CANCELLED: &str = "cancelled by its caller";

/// What is ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// It shall not be mined. Before it is bound it ends at once; afterwards a transfer to oneself bids for its nonce.
    Cancel,
    /// It shall not be bound before it is resumed.
    Suspend,
    /// It may be bound again.
    Resume,
    /// A new generation with other content, at the same nonce if it has one.
    Update(Change),
    /// Something that it depends on may have ended: release it, or fail it with that. Ordered by shards.
    Check,
}

/// What an order has brought about; it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// It has ended as cancelled and will not be mined.
    Cancelled,
    /// A transfer to oneself bids for its nonce: it ends as cancelled if that one is mined, and is mined otherwise.
    Cancelling,
    /// It is not bound before it is resumed.
    Suspended,
    /// It is bound when its turn comes.
    Resumed,
    /// This is its generation now.
    Updated(u16),
}

/// Why an order about a transaction cannot be carried out; the message is for its user.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// It has ended.
    #[error("the transaction has ended ({0}); nothing can be changed about it")]
    Ended(String),
    /// A block holds it.
    #[error("the transaction was mined in block {0}; it can be neither cancelled nor changed")]
    Mined(u64),
    /// Another wallet has its nonce.
    #[error(
        "nonce {nonce} of the transaction was used by another wallet in block {block}, which is not final yet: try again when it is, and the transaction is queued again or has failed"
    )]
    Displaced {
        /// The nonce.
        nonce: u64,
        /// The block that holds the other transaction.
        block: u64,
    },
    /// It has a nonce: it may have been sent.
    #[error("the transaction is bound to nonce {0} and may have been sent: it can only be cancelled (ptx_cancelTransaction) or updated")]
    Bound(u64),
    /// Its nonce is being closed.
    #[error("nonce {nonce} of the transaction is being closed ({reason}); it cannot be updated any more")]
    Closing {
        /// The nonce.
        nonce: u64,
        /// Why.
        reason: String,
    },
    /// Its dependency has failed.
    #[error("{0}")]
    Dependency(String),
    /// The new content cannot be mined, or its price replaces nothing.
    #[error("{0}")]
    Content(String),
}
