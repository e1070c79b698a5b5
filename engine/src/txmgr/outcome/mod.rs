//! What a node's answer to `eth_sendRawTransaction` means (row A12): one [`table`] of the messages that clients really send.
//!
//! | reason | in seed 003 | what is done |
//! |---|---|---|
//! | [`KnownTransaction`](Reason::KnownTransaction) | `ErrorKnownTransaction` → `SubmissionOutcomeAlreadyKnown` | tracked on |
//! | [`NonceTooLow`](Reason::NonceTooLow) | `ErrorReasonNonceTooLow` → `SubmissionOutcomeNonceTooLow` | tracked on: a block shows whose transaction took the nonce |
//! | [`Underpriced`](Reason::Underpriced) | `ErrorReasonTransactionUnderpriced` | price cache cleared; signed again at a higher price, unless the user fixed it |
//! | [`Reverted`](Reason::Reverted) | `ErrorReasonTransactionReverted` | price cache cleared; the same bytes again after a pause |
//! | [`InsufficientFunds`](Reason::InsufficientFunds) | `ErrorReasonInsufficientFunds` | the same bytes again after a pause, until the account can pay |
//! | [`InvalidInputs`](Reason::InvalidInputs) | `ErrorReasonInvalidInputs` | the request ends as failed; a self-send closes its nonce |
//! | [`DownstreamDown`](Reason::DownstreamDown) | `ErrorReasonDownstreamDown` | the same bytes again after a pause |
//! | [`NotFound`](Reason::NotFound) | `ErrorReasonNotFound` | the same bytes again after a pause |
//! | [`PoolLimit`](Reason::PoolLimit) | none: added | the same bytes again after a pause, when the pool has room |
//! | [`NodeLimit`](Reason::NodeLimit) | none: added | the same bytes again after a pause: the node's operator can lift it |
//! | [`OtherHash`](Reason::OtherHash) | none: added | held, with the two hashes for the user; the same bytes again after a pause |
//! | [`Other`](Reason::Other) | none: added | the same bytes again after a pause |
//!
//! A pause grows with every try up to a bound, and the log says why at the 1st, 2nd, 4th, 8th… refusal: nothing is retried for ever
//! in silence.
//!
//! # Final, or not yet
//!
//! `InvalidInputs` is the only reason that gives a request up, so it takes what no wait can cure *and* what a user wants to hear at
//! once. A wrong "final" fails somebody's transaction; a wrong "not yet" holds up the nonces behind it, visibly.
//!
//! - What the signed bytes themselves decide is final: intrinsic and floor gas, EIP-7825's gas cap, sizes of data and init code, fields
//!   that contradict each other, a signature or an encoding that the node cannot read.
//! - A gas limit above the block's is final too. The block's limit moves by a 1024th a block, if at all; until then every nonce of the address
//!   would wait behind this one, and only its user can choose a smaller limit.
//! - A setting of the node is not final (`NodeLimit`): a cap on the whole fee (`--rpc.txfeecap`), a gas cap of its own, an allow list, a plugin.
//!   Another node may take the bytes as they are, and the operator can change the setting.
//! - Neither is a transaction type that the chain does not know: a fork can be a minute away, and the self-send that would close the nonce
//!   is of the same type.
//! - Nor are blobs beyond the present schedule: it is raised by forks.
//! - A node on another chain says nothing about the transaction: a wrongly routed request must not fail anything (`DownstreamDown`).
//! - Neither does a provider that limits rates (`DownstreamDown`).

pub mod table;
#[cfg(test)]
mod tests;

use self::table::{CODES, ROWS, Row};

/// Why a node refused a transaction, and so what to do next: the seed's error reasons, and four more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The nonce is used: mined already, ours or another's.
    NonceTooLow,
    /// These bytes are in the pool already.
    KnownTransaction,
    /// The price is too low, for the pool or as a replacement.
    Underpriced,
    /// The node ran it before it took it, and it reverted.
    Reverted,
    /// The account cannot pay.
    InsufficientFunds,
    /// These bytes can never be mined.
    InvalidInputs,
    /// The node, or what stands before it, is not at work: it syncs, it is on another chain, it limits rates.
    DownstreamDown,
    /// The node misses something that it needs for an answer.
    NotFound,
    /// The pool has no room for it now: for this account, or at all.
    PoolLimit,
    /// A limit of this node or a rule of the present fork is against it, and both can change.
    NodeLimit,
    /// It was no refusal: the node named another hash than that of the bytes. It may have them or not.
    OtherHash,
    /// Nothing known.
    Other,
}

impl Reason {
    /// The price that is cached has a part in it, so that it is not to be used again (rows A7 and A12).
    #[must_use]
    pub const fn clears_price_cache(self) -> bool {
        matches!(self, Self::Underpriced | Self::Reverted)
    }
}

/// How a submission ended, in the words of the seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The node took it as new.
    SubmittedNew,
    /// The node had it.
    AlreadyKnown,
    /// Its nonce is used.
    NonceTooLow,
    /// It must be tried again after what the reason asks for.
    FailedRequiresRetry(Reason),
    /// It can never be mined.
    Invalid,
}

/// The first row that fits a message and its JSON-RPC code.
#[must_use]
pub fn row(message: &str, code: i64) -> Option<&'static Row> {
    let message = message.to_ascii_lowercase();
    ROWS.iter().find(|row| row.code.is_none_or(|only| only == code) && message.contains(row.words))
}

/// What a refusal with this message and JSON-RPC code means: its words decide; where no row knows them, its code.
#[must_use]
pub fn classify(message: &str, code: i64) -> Reason {
    let by_code = || CODES.iter().find(|(known, _, _)| *known == code).map(|(_, reason, _)| *reason);
    row(message, code).map(|row| row.reason).or_else(by_code).unwrap_or(Reason::Other)
}

/// The outcome of a submission that the node refused with this message and JSON-RPC code.
#[must_use]
pub fn refused(message: &str, code: i64) -> Outcome {
    match classify(message, code) {
        Reason::KnownTransaction => Outcome::AlreadyKnown,
        Reason::NonceTooLow => Outcome::NonceTooLow,
        Reason::InvalidInputs => Outcome::Invalid,
        reason => Outcome::FailedRequiresRetry(reason),
    }
}
