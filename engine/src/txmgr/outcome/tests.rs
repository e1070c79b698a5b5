//! The table against whole messages, with the numbers and prefixes that nodes put around the words: from anvil and geth mostly as they
//! came, from the others as the formats in their sources make them.

use std::collections::HashSet;

use super::table::Source;
use super::table::{CODES, ROWS};
use super::*;

/// Client, JSON-RPC code, message as it comes, reason.
const MESSAGES: &[(&str, i64, &str, Reason)] = &[
    ("geth", -32000, "already known", Reason::KnownTransaction),
    ("geth", -32000, "nonce too low: next nonce 7, tx nonce 3", Reason::NonceTooLow),
    ("geth", -32000, "nonce too high: tx nonce 9, gapped nonce 7", Reason::PoolLimit),
    ("geth", -32000, "transaction underpriced: gas tip cap 1, minimum needed 2", Reason::Underpriced),
    ("geth", -32000, "transaction gas price below minimum: gas tip cap 0, minimum needed 1", Reason::Underpriced),
    (
        "geth",
        -32000,
        "replacement transaction underpriced: new tx gas fee cap 7 < 8 queued + 100% replacement penalty",
        Reason::Underpriced,
    ),
    ("geth", -32000, "insufficient funds for gas * price + value: balance 0, tx cost 21001, overshot 21001", Reason::InsufficientFunds),
    (
        "geth",
        -32000,
        "insufficient funds for gas * price + value: balance 5, queued cost 4, tx cost 3, overshot 2",
        Reason::InsufficientFunds,
    ),
    ("geth", -32000, "txpool is full", Reason::PoolLimit),
    ("geth", -32000, "account limit exceeded: pooled 64 txs", Reason::PoolLimit),
    ("geth", -32000, "in-flight transaction limit reached for delegated accounts", Reason::PoolLimit),
    ("geth", -32000, "future transaction tries to replace pending", Reason::PoolLimit),
    ("geth", -32000, "intrinsic gas too low: gas 20999, minimum needed 21000", Reason::InvalidInputs),
    ("geth", -32000, "insufficient gas for floor data gas cost: gas 22000, minimum needed 25000", Reason::InvalidInputs),
    ("geth", -32000, "exceeds block gas limit", Reason::InvalidInputs),
    ("geth", -32000, "transaction gas limit too high (cap: 16777216, tx: 20000000)", Reason::InvalidInputs),
    ("geth", -32000, "oversized data: transaction size 140000, limit 131072", Reason::InvalidInputs),
    ("geth", -32000, "max initcode size exceeded: code size 60000, limit 49152", Reason::InvalidInputs),
    ("geth", -32000, "invalid sender: invalid transaction v, r, s values", Reason::InvalidInputs),
    ("geth", -32000, "invalid sender: invalid chain id for signer: have 5 want 1337", Reason::DownstreamDown),
    ("geth", -32000, "tx fee (2.10 ether) exceeds the configured cap (1.00 ether)", Reason::NodeLimit),
    ("geth", -32000, "transaction type not supported: type 4 rejected, pool not yet in Prague", Reason::NodeLimit),
    ("geth", -32000, "transaction blob limit exceeded: blob count 9, limit 7", Reason::NodeLimit),
    ("geth", -32000, "rlp: value size exceeds available input length", Reason::InvalidInputs),
    ("geth", -32601, "the method eth_sendRawTransaction does not exist/is not available", Reason::DownstreamDown),
    ("reth", -32000, "already known", Reason::KnownTransaction),
    ("reth", -32000, "nonce too low: next nonce 7, tx nonce 3", Reason::NonceTooLow),
    ("reth", -32000, "replacement transaction underpriced", Reason::Underpriced),
    ("reth", -32003, "transaction priority fee below minimum required priority fee 1000000", Reason::Underpriced),
    ("reth", -32003, "insufficient funds for gas * price + value: have 1 want 2", Reason::InsufficientFunds),
    ("reth", -32003, "txpool is full", Reason::PoolLimit),
    ("reth", -32000, "invalid chain ID", Reason::DownstreamDown),
    ("reth", -32000, "exceeds max transaction gas limit", Reason::NodeLimit),
    ("reth", -32003, "gas limit too high", Reason::InvalidInputs),
    ("reth", -32000, "tx fee (2100000000000000000 wei) exceeds the configured cap (1000000000000000000 wei)", Reason::NodeLimit),
    ("reth", -32602, "failed to decode signed transaction", Reason::InvalidInputs),
    ("anvil", -32003, "transaction already imported", Reason::KnownTransaction),
    ("anvil", -32003, "nonce too low", Reason::NonceTooLow),
    ("anvil", -32003, "replacement transaction underpriced", Reason::Underpriced),
    ("anvil", -32003, "max fee per gas less than block base fee", Reason::Underpriced),
    ("anvil", -32003, "Insufficient funds for gas * price + value", Reason::InsufficientFunds),
    ("anvil", -32000, "intrinsic gas too low", Reason::InvalidInputs),
    ("anvil", -32000, "intrinsic gas too high -- tx.gas_limit > env.block.gas_limit", Reason::InvalidInputs),
    ("anvil", -32000, "intrinsic gas too high -- GasFloorMoreThanGasLimit", Reason::InvalidInputs),
    ("anvil", -32003, "invalid chain id for signer", Reason::DownstreamDown),
    ("anvil", -32602, "Unknown transaction type not supported", Reason::NodeLimit),
    ("anvil", -32602, "Failed to decode transaction", Reason::InvalidInputs),
    ("Nethermind", -32000, "already known", Reason::KnownTransaction),
    ("Nethermind", -32000, "nonce too low", Reason::NonceTooLow),
    ("Nethermind", -32000, "nonce too far in future", Reason::PoolLimit),
    ("Nethermind", -32000, "NonceTooHigh: Nonce exceeds max nonce", Reason::InvalidInputs),
    (
        "Nethermind",
        -32000,
        "transaction underpriced, FeePerGas needs to be higher than 100 to be added to the TxPool. FeePerGas of rejected tx: 50.",
        Reason::Underpriced,
    ),
    ("Nethermind", -32000, "insufficient funds for gas * price + value, Account balance: 1, cumulative cost: 2", Reason::InsufficientFunds),
    ("Nethermind", -32000, "gas limit reached, Gas limit: 30000000, gas limit of rejected tx: 40000000", Reason::InvalidInputs),
    ("Nethermind", -32000, "transaction invalid, InvalidTxChainId: Expected 1, got 5.", Reason::DownstreamDown),
    (
        "Nethermind",
        -32000,
        "transaction invalid, TxGasLimitCapExceeded: Gas limit 20000000 exceeded cap of 16777216.",
        Reason::InvalidInputs,
    ),
    ("Nethermind", -32000, "pending transaction type conflict", Reason::PoolLimit),
    ("Nethermind", -32000, "node is syncing", Reason::DownstreamDown),
    ("Nethermind of old", -32000, "AlreadyKnown", Reason::KnownTransaction),
    ("Nethermind of old", -32000, "OldNonce", Reason::NonceTooLow),
    (
        "Nethermind of old",
        -32000,
        "FeeTooLow, FeePerGas needs to be higher than 100 to be added to the TxPool. FeePerGas of rejected tx: 50.",
        Reason::Underpriced,
    ),
    ("Nethermind of old", -32000, "FeeTooLowToCompete", Reason::Underpriced),
    ("Nethermind of old", -32000, "ReplacementNotAllowed", Reason::Underpriced),
    ("Nethermind of old", -32000, "InsufficientFunds, Account balance: 1, cumulative cost: 2", Reason::InsufficientFunds),
    ("Nethermind of old", -32000, "GasLimitExceeded, Gas limit: 100, gas limit of rejected tx: 150", Reason::InvalidInputs),
    (
        "Nethermind of old",
        -32000,
        "Invalid, BlobTxGasLimitExceeded: Transaction's totalDataGas=9 exceeded MaxBlobGas per transaction=8.",
        Reason::NodeLimit,
    ),
    ("Besu", -32000, "Known transaction", Reason::KnownTransaction),
    ("Besu", -32001, "Nonce too low", Reason::NonceTooLow),
    ("Besu", -32000, "Replacement transaction underpriced", Reason::Underpriced),
    ("Besu", -32009, "Gas price below configured minimum gas price", Reason::Underpriced),
    ("Besu", -32009, "blob gas price below current blob base fee", Reason::Underpriced),
    ("Besu", -32004, "Upfront cost exceeds account balance", Reason::InsufficientFunds),
    ("Besu", -32000, "Transaction nonce is too distant from current sender nonce", Reason::PoolLimit),
    ("Besu", -32003, "Intrinsic gas exceeds gas limit", Reason::InvalidInputs),
    ("Besu", -32005, "Transaction gas limit exceeds block gas limit", Reason::InvalidInputs),
    ("Besu", -32002, "Invalid signature", Reason::InvalidInputs),
    ("Besu", -32602, "Invalid transaction type", Reason::NodeLimit),
    ("Besu", -32007, "Sender account not authorized to send transactions", Reason::NodeLimit),
    ("Besu", -32000, "Transaction fee cap exceeded", Reason::NodeLimit),
    ("Besu", -32000, "Plugin has marked the transaction as invalid", Reason::NodeLimit),
    ("Besu", -32000, "Wrong chainId", Reason::DownstreamDown),
    ("Besu", -32008, "Initial sync is still in progress", Reason::DownstreamDown),
    ("Besu", -32002, "Transaction pool not enabled. (Either txpool explicitly disabled, or node not yet in sync).", Reason::DownstreamDown),
    ("Besu", 3, "Execution reverted", Reason::Reverted),
    ("Besu", -32000, "Transaction processing could not be completed due to an exception", Reason::Reverted),
    ("Besu", -32000, "Block not found", Reason::NotFound),
    ("Besu", -32000, "World state unavailable", Reason::NotFound),
    ("Erigon", -32000, "ALREADY_EXISTS: already known", Reason::KnownTransaction),
    ("Erigon", -32000, "INTERNAL_ERROR: existing txn with same hash", Reason::KnownTransaction),
    ("Erigon", -32000, "INTERNAL_ERROR: nonce too low", Reason::NonceTooLow),
    ("Erigon", -32000, "INTERNAL_ERROR: mined", Reason::NonceTooLow),
    ("Erigon", -32000, "FEE_TOO_LOW: underpriced", Reason::Underpriced),
    ("Erigon", -32000, "INTERNAL_ERROR: could not replace existing tx", Reason::Underpriced),
    ("Erigon", -32000, "INTERNAL_ERROR: insufficient funds", Reason::InsufficientFunds),
    ("Erigon", -32000, "INTERNAL_ERROR: baseFee sub-pool is full", Reason::PoolLimit),
    ("Erigon", -32000, "INTERNAL_ERROR: IntrinsicGas", Reason::InvalidInputs),
    ("Erigon", -32000, "INTERNAL_ERROR: gas limit is too high", Reason::InvalidInputs),
    ("Erigon", -32000, "INVALID: RLPTooLong", Reason::InvalidInputs),
    ("Erigon", -32000, "INVALID: fork supporting this transaction type is not activated yet", Reason::NodeLimit),
    ("Erigon", -32000, "invalid chain id, expected: 1 got: 5", Reason::DownstreamDown),
    (
        "Alchemy",
        429,
        "Your app has exceeded its compute units per second capacity. If you have retries enabled, you can safely ignore this message.",
        Reason::DownstreamDown,
    ),
    ("Infura", 402, "Payment Required", Reason::DownstreamDown),
    ("Infura", -32005, "daily request count exceeded, request rate limited", Reason::DownstreamDown),
    ("a provider", -32005, "limit exceeded", Reason::DownstreamDown),
    ("a provider", -32001, "no such thing here", Reason::NotFound),
    ("nobody", -32000, "the dog ate it", Reason::Other),
];

#[test]
fn whole_messages_of_every_client_mean_what_the_seed_says() {
    for (client, code, message, reason) in MESSAGES {
        assert_eq!(classify(message, *code), *reason, "{client}: {message}");
    }
}

#[test]
fn no_row_is_shadowed_by_one_that_means_something_else() {
    for row in ROWS {
        let code = row.code.unwrap_or(-32000);
        assert_eq!(classify(row.words, code), row.reason, "{} of {}", row.words, row.source.client);
        assert_eq!(classify(&row.words.to_ascii_uppercase(), code), row.reason, "{}", row.words);
    }
}

#[test]
fn every_row_is_in_lower_case_said_once_and_has_a_source() {
    let mut words = HashSet::new();
    for row in ROWS {
        assert_eq!(row.words, row.words.to_ascii_lowercase());
        assert!(words.insert((row.words, row.code)), "twice: {}", row.words);
        let Source { client, release, file } = row.source;
        assert!([client, release, file, row.name].iter().all(|part| !part.is_empty()), "{}", row.words);
    }
}

#[test]
fn every_reason_of_the_seed_and_every_client_is_in_the_table() {
    let reasons: HashSet<Reason> = ROWS.iter().map(|row| row.reason).collect();
    for reason in [
        Reason::NonceTooLow,
        Reason::KnownTransaction,
        Reason::Underpriced,
        Reason::Reverted,
        Reason::InsufficientFunds,
        Reason::InvalidInputs,
        Reason::DownstreamDown,
        Reason::NotFound,
    ] {
        assert!(reasons.contains(&reason), "{reason:?}");
    }
    let clients: HashSet<&str> = ROWS.iter().map(|row| row.source.client).collect();
    for client in ["geth", "reth", "anvil", "Nethermind", "Besu", "Erigon"] {
        assert!(clients.contains(client), "{client}");
    }
}

#[test]
fn a_code_counts_only_where_the_words_are_not_known() {
    for (code, reason, _) in CODES {
        assert_eq!(classify("nothing known", *code), *reason, "{code}");
        assert_eq!(classify("nonce too low", *code), Reason::NonceTooLow, "{code}");
    }
}

#[test]
fn geths_limit_of_an_account_is_not_a_providers_limit() {
    assert_eq!(classify("account limit exceeded: pooled 64 txs", -32000), Reason::PoolLimit);
    assert_eq!(classify("limit exceeded", -32005), Reason::DownstreamDown);
    assert_eq!(classify("limit exceeded", -32000), Reason::Other);
}

#[test]
fn a_contract_that_speaks_like_a_node_has_still_reverted() {
    for words in ["nonce too low", "already known", "intrinsic gas too low", "rate limit"] {
        assert_eq!(classify(&format!("execution reverted: {words}"), 3), Reason::Reverted, "{words}");
    }
}

#[test]
fn only_what_can_never_be_mined_ends_a_request() {
    assert_eq!(refused("already known", -32000), Outcome::AlreadyKnown);
    assert_eq!(refused("nonce too low: next nonce 7, tx nonce 3", -32000), Outcome::NonceTooLow);
    assert_eq!(refused("intrinsic gas too low", -32000), Outcome::Invalid);
    for (_, code, message, reason) in MESSAGES {
        assert_eq!(refused(message, *code) == Outcome::Invalid, *reason == Reason::InvalidInputs, "{message}");
    }
    for passing in [
        "invalid sender: invalid chain id for signer: have 5 want 1",
        "transaction type not supported",
        "tx fee (2.10 ether) exceeds the configured cap (1.00 ether)",
    ] {
        assert!(matches!(refused(passing, -32000), Outcome::FailedRequiresRetry(_)), "{passing}");
    }
}
