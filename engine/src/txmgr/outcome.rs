//! What a node's answer to `eth_sendRawTransaction` means (row A12): one table of the messages that clients really send.

/// Why a node refused a transaction, and so what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The nonce is used: mined already, ours or another's. Keep tracking.
    NonceTooLow,
    /// These bytes are in the pool already. Keep tracking.
    AlreadyKnown,
    /// The price is too low, for the pool or as a replacement: clear the price cache, sign at a higher price.
    Underpriced,
    /// The account cannot pay: wait, then send the same bytes again.
    InsufficientFunds,
    /// The pool has no room for it now: wait, then send the same bytes again.
    PoolLimit,
    /// These bytes can never be mined: end the request, close the nonce.
    InvalidInputs,
    /// Nothing known: wait, then send the same bytes again.
    Other,
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

/// Part of a message (in lower case), what it means, and the client that says it; "run" marks what was seen from a
/// running node, the others are the clients' documented words.
const MESSAGES: &[(&str, Reason, &str)] = &[
    ("already known", Reason::AlreadyKnown, "geth core/txpool/errors.go ErrAlreadyKnown; Nethermind AlreadyKnown"),
    ("already imported", Reason::AlreadyKnown, "anvil 1.7 TransactionAlreadyImported, run"),
    ("known transaction", Reason::AlreadyKnown, "Besu TRANSACTION_ALREADY_KNOWN"),
    ("nonce too low", Reason::NonceTooLow, "geth core/error.go ErrNonceTooLow; anvil 1.7, run"),
    ("nonce below", Reason::NonceTooLow, "Besu NONCE_TOO_LOW \"Nonce too low\"/\"below current nonce\""),
    ("oldnonce", Reason::NonceTooLow, "Nethermind AcceptTxResult.OldNonce"),
    ("replacement transaction underpriced", Reason::Underpriced, "geth ErrReplaceUnderpriced; anvil 1.7, run"),
    ("transaction underpriced", Reason::Underpriced, "geth ErrUnderpriced"),
    ("underpriced", Reason::Underpriced, "reth, Erigon and Besu variants"),
    ("fee too low", Reason::Underpriced, "Nethermind FeeTooLow"),
    ("less than block base fee", Reason::Underpriced, "geth ErrFeeCapTooLow; anvil 1.7, run"),
    ("below minimum", Reason::Underpriced, "geth and reth: gas tip cap below the pool's minimum; devnet, run"),
    ("below the minimum", Reason::Underpriced, "Besu GAS_PRICE_TOO_LOW"),
    ("insufficient funds", Reason::InsufficientFunds, "geth ErrInsufficientFunds; anvil 1.7, run"),
    ("upfront cost exceeds", Reason::InsufficientFunds, "Besu UPFRONT_COST_EXCEEDS_BALANCE"),
    ("txpool is full", Reason::PoolLimit, "geth ErrTxPoolOverflow"),
    ("limit exceeded", Reason::PoolLimit, "geth ErrAccountLimitExceeded"),
    ("pool is full", Reason::PoolLimit, "Erigon, Nethermind"),
    ("nonce too high", Reason::PoolLimit, "geth with a bounded queue, Besu NONCE_TOO_FAR_IN_FUTURE"),
    ("nonce too distant", Reason::PoolLimit, "Besu"),
    ("intrinsic gas too low", Reason::InvalidInputs, "geth ErrIntrinsicGas; anvil 1.7, run"),
    ("insufficient gas for floor data gas", Reason::InvalidInputs, "geth ErrFloorDataGas (EIP-7623)"),
    ("exceeds block gas limit", Reason::InvalidInputs, "geth ErrGasLimit"),
    ("intrinsic gas too high", Reason::InvalidInputs, "anvil 1.7, run"),
    ("max initcode size exceeded", Reason::InvalidInputs, "geth ErrMaxInitCodeSizeExceeded; anvil 1.7, run"),
    ("oversized data", Reason::InvalidInputs, "geth ErrOversizedData"),
    ("invalid sender", Reason::InvalidInputs, "geth ErrInvalidSender"),
    ("invalid chain id", Reason::InvalidInputs, "anvil 1.7, run"),
    ("transaction type not supported", Reason::InvalidInputs, "geth ErrTxTypeNotSupported"),
    ("priority fee per gas higher than", Reason::InvalidInputs, "geth ErrTipAboveFeeCap"),
    ("gas limit too high", Reason::InvalidInputs, "EIP-7825 limit in geth and reth"),
];

/// What a refusal with this message means.
#[must_use]
pub fn classify(message: &str) -> Reason {
    let message = message.to_ascii_lowercase();
    MESSAGES.iter().find(|(part, _, _)| message.contains(part)).map_or(Reason::Other, |row| row.1)
}

/// The outcome of a submission that the node refused with this message.
#[must_use]
pub fn refused(message: &str) -> Outcome {
    match classify(message) {
        Reason::AlreadyKnown => Outcome::AlreadyKnown,
        Reason::NonceTooLow => Outcome::NonceTooLow,
        Reason::InvalidInputs => Outcome::Invalid,
        reason => Outcome::FailedRequiresRetry(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_messages_mean_what_the_seed_says() {
        for (message, outcome) in [
            ("already known", Outcome::AlreadyKnown),
            ("transaction already imported", Outcome::AlreadyKnown),
            ("nonce too low: next nonce 7, tx nonce 3", Outcome::NonceTooLow),
            ("replacement transaction underpriced", Outcome::FailedRequiresRetry(Reason::Underpriced)),
            ("Insufficient funds for gas * price + value", Outcome::FailedRequiresRetry(Reason::InsufficientFunds)),
            ("intrinsic gas too low", Outcome::Invalid),
            ("txpool is full", Outcome::FailedRequiresRetry(Reason::PoolLimit)),
            ("the dog ate it", Outcome::FailedRequiresRetry(Reason::Other)),
        ] {
            assert_eq!(refused(message), outcome, "{message}");
        }
    }
}
