//! The messages by which nodes refuse a raw transaction, as their sources say them.
//!
//! The first row that fits counts, so a longer message stands before a shorter one that it contains; a test holds every row to its
//! own reason.

use super::Reason;
use super::Reason::{
    DownstreamDown, InsufficientFunds, InvalidInputs, KnownTransaction, NodeLimit, NonceTooLow, NotFound, PoolLimit, Reverted, Underpriced,
};

/// How a row is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A running node was made to say it; `tests/outcomes.rs` does so again.
    Run,
    /// It stands in the client's source.
    Read,
}

/// Where a message comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// The client, or the provider in front of one.
    pub client: &'static str,
    /// Its release, or the commit of its source where that is all that is known.
    pub release: &'static str,
    /// The file.
    pub file: &'static str,
}

const GETH_TXPOOL: Source = Source { client: "geth", release: "v1.17.8", file: "core/txpool/errors.go" };
const GETH_LEGACYPOOL: Source = Source { client: "geth", release: "v1.17.8", file: "core/txpool/legacypool/legacypool.go" };
const GETH_VALIDATION: Source = Source { client: "geth", release: "v1.17.8", file: "core/txpool/validation.go" };
const GETH_CORE: Source = Source { client: "geth", release: "v1.17.8", file: "core/error.go" };
const GETH_TYPES: Source = Source { client: "geth", release: "v1.17.8", file: "core/types/transaction.go" };
const GETH_SIGNING: Source = Source { client: "geth", release: "v1.17.8", file: "core/types/transaction_signing.go" };
const GETH_POOLS: Source = Source { client: "geth", release: "v1.17.8", file: "core/txpool/txpool.go" };
const GETH_CONVERSION: Source = Source { client: "geth", release: "v1.17.8", file: "core/txpool/blobpool/conversion.go" };
const GETH_API: Source = Source { client: "geth", release: "v1.17.8", file: "internal/ethapi/api.go" };
const GETH_RLP: Source = Source { client: "geth", release: "v1.17.8", file: "rlp/decode.go" };
const GETH_RPC: Source = Source { client: "geth", release: "v1.17.8", file: "rpc/errors.go" };
const GETH_VM: Source = Source { client: "geth", release: "v1.17.8", file: "core/vm/errors.go" };
const RETH_RPC: Source = Source { client: "reth", release: "00971c29", file: "crates/rpc/rpc-eth-types/src/error/mod.rs" };
const RETH_POOL: Source = Source { client: "reth", release: "026c71a5", file: "crates/transaction-pool/src/error.rs" };
const ANVIL: Source = Source { client: "anvil", release: "1.7.1", file: "crates/anvil/src/eth/error.rs" };
const NETHERMIND_POOL: Source =
    Source { client: "Nethermind", release: "cbea1e0d", file: "src/Nethermind/Nethermind.TxPool/TxPoolErrorMessages.cs" };
/// Earlier releases of Nethermind give the names of their results, and words only behind them.
const NETHERMIND_OLD: Source =
    Source { client: "Nethermind", release: "07870f1e", file: "src/Nethermind/Nethermind.TxPool/AcceptTxResult.cs" };
const NETHERMIND_TX: Source =
    Source { client: "Nethermind", release: "0c816d5d", file: "src/Nethermind/Nethermind.Core/Messages/TxErrorMessages.cs" };
const BESU: Source = Source {
    client: "Besu",
    release: "49026aaf",
    file: "ethereum/api/src/main/java/org/hyperledger/besu/ethereum/api/jsonrpc/internal/response/RpcErrorType.java",
};
const ERIGON_POOL: Source = Source { client: "Erigon", release: "05916db2", file: "txnprovider/txpool/txpoolcfg/txpoolcfg.go" };
const ERIGON_SERVER: Source = Source { client: "Erigon", release: "0958eb38", file: "txnprovider/txpool/txpool_grpc_server.go" };
const ALCHEMY: Source = Source { client: "Alchemy", release: "its documentation", file: "docs.alchemy.com/reference/throughput" };
const INFURA: Source =
    Source { client: "Infura", release: "its documentation", file: "docs.metamask.io/services/how-to/avoid-rate-limiting" };
const QUICKNODE: Source =
    Source { client: "QuickNode", release: "its documentation", file: "quicknode.com/docs/ethereum/error-references" };
const ETHERSCAN: Source =
    Source { client: "Etherscan", release: "its documentation", file: "docs.etherscan.io/etherscan/support/common-error-messages" };
const EIP_1474: Source = Source { client: "any", release: "EIP-1474", file: "Error codes" };

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Part of the message, in lower case.
    pub words: &'static str,
    /// The JSON-RPC code that must come with it, where the words alone are ambiguous.
    pub code: Option<i64>,
    /// What it means.
    pub reason: Reason,
    /// Where it comes from.
    pub source: Source,
    /// Its name there.
    pub name: &'static str,
    /// How it is known.
    pub seen: Seen,
}

const fn run(words: &'static str, reason: Reason, source: Source, name: &'static str) -> Row {
    Row { words, code: None, reason, source, name, seen: Seen::Run }
}

const fn read(words: &'static str, reason: Reason, source: Source, name: &'static str) -> Row {
    Row { words, code: None, reason, source, name, seen: Seen::Read }
}

const fn with_code(code: i64, row: Row) -> Row {
    Row { code: Some(code), ..row }
}

/// All messages known, in the order in which they are looked through. Clients that took over geth's words have no row of their own
/// for them: reth and Nethermind say most as geth does.
pub const ROWS: &[Row] = &[
    // The node ran it. What follows these words was chosen by a contract, so they go before everything else.
    read("execution reverted", Reverted, BESU, "REVERT_ERROR; every client's word for a revert"),
    read("could not be completed due to an exception", Reverted, BESU, "EXECUTION_HALTED"),
    read("unknown transaction type", NodeLimit, ANVIL, "BlockchainError::UnknownTransactionType"),
    // The pool has these bytes.
    run("already known", KnownTransaction, GETH_TXPOOL, "ErrAlreadyKnown"),
    run("already imported", KnownTransaction, ANVIL, "PoolError::AlreadyImported"),
    read("existing txn with same hash", KnownTransaction, ERIGON_POOL, "DuplicateHash"),
    read("already_exists", KnownTransaction, ERIGON_SERVER, "ImportResult_ALREADY_EXISTS"),
    read("known transaction", KnownTransaction, BESU, "ETH_SEND_TX_ALREADY_KNOWN"),
    read("alreadyknown", KnownTransaction, NETHERMIND_OLD, "AlreadyKnown"),
    // The nonce is used.
    run("nonce too low", NonceTooLow, GETH_CORE, "ErrNonceTooLow"),
    read("internal_error: mined", NonceTooLow, ERIGON_POOL, "Mined"),
    read("oldnonce", NonceTooLow, NETHERMIND_OLD, "OldNonce"),
    // Rates and providers: before anything that speaks of limits.
    read("compute units per second", DownstreamDown, ALCHEMY, "429"),
    read("monthly capacity limit exceeded", DownstreamDown, ALCHEMY, "429"),
    read("rate limit", DownstreamDown, ETHERSCAN, "max rate limit"),
    read("too many requests", DownstreamDown, QUICKNODE, "429"),
    read("payment required", DownstreamDown, INFURA, "402"),
    with_code(-32005, read("limit exceeded", DownstreamDown, EIP_1474, "-32005, also Infura's")),
    // The node is not at work, or not the one that is meant.
    run("invalid chain id", DownstreamDown, GETH_SIGNING, "ErrInvalidChainId"),
    read("incompatible eip-155 transaction", DownstreamDown, ANVIL, "InvalidTransactionError::IncompatibleEIP155"),
    read("invalidtxchainid", DownstreamDown, NETHERMIND_TX, "InvalidTxChainId"),
    read("wrong chainid", DownstreamDown, BESU, "WRONG_CHAIN_ID"),
    read("chainid not supported", DownstreamDown, BESU, "REPLAY_PROTECTED_SIGNATURES_NOT_SUPPORTED"),
    read("node is syncing", DownstreamDown, NETHERMIND_POOL, "NodeIsSyncing"),
    read("initial sync is still in progress", DownstreamDown, BESU, "CHAIN_HEAD_WORLD_STATE_NOT_AVAILABLE"),
    read("transaction pool not enabled", DownstreamDown, BESU, "TX_POOL_DISABLED"),
    read("txpool disabled", DownstreamDown, ERIGON_SERVER, "ErrPoolDisabled"),
    read("pool already terminated", DownstreamDown, GETH_POOLS, "loop"),
    read("conversion queue", DownstreamDown, GETH_CONVERSION, "errors of the queue"),
    read("unauthorized", DownstreamDown, BESU, "UNAUTHORIZED"),
    read("method not enabled", DownstreamDown, BESU, "METHOD_NOT_ENABLED"),
    read("does not exist/is not available", DownstreamDown, GETH_RPC, "methodNotFoundError"),
    read("method not found", DownstreamDown, BESU, "METHOD_NOT_FOUND"),
    // The account cannot pay.
    run("insufficient funds", InsufficientFunds, GETH_CORE, "ErrInsufficientFunds, ErrInsufficientFundsForTransfer"),
    read("transaction overdraws from account", InsufficientFunds, RETH_POOL, "InvalidPoolTransactionError::Overdraft"),
    read("upfront cost exceeds account balance", InsufficientFunds, BESU, "TRANSACTION_UPFRONT_COST_EXCEEDS_BALANCE"),
    read("insufficientfunds", InsufficientFunds, NETHERMIND_OLD, "InsufficientFunds"),
    // The pool has no room.
    read("txpool is full", PoolLimit, GETH_LEGACYPOOL, "ErrTxPoolOverflow"),
    read("future transaction tries to replace pending", PoolLimit, GETH_LEGACYPOOL, "ErrFutureReplacePending"),
    read("account limit exceeded", PoolLimit, GETH_TXPOOL, "ErrAccountLimitExceeded"),
    read("out of capacity", PoolLimit, GETH_TXPOOL, "ErrOutOfCapacity"),
    read("in-flight transaction limit reached", PoolLimit, GETH_TXPOOL, "ErrInflightTxLimitReached"),
    read("gapped-nonce tx from delegated accounts", PoolLimit, GETH_LEGACYPOOL, "ErrOutOfOrderTxFromDelegated"),
    read("authority already reserved", PoolLimit, GETH_LEGACYPOOL, "ErrAuthorityReserved"),
    read("address already reserved", PoolLimit, GETH_TXPOOL, "ErrAlreadyReserved"),
    read("identified as a spammer", PoolLimit, RETH_POOL, "PoolErrorKind::SpammerExceededCapacity"),
    read("discarded outright due to pool size", PoolLimit, RETH_POOL, "PoolErrorKind::DiscardedOnInsert"),
    read("conflicts with existing transaction", PoolLimit, RETH_POOL, "PoolErrorKind::ExistingConflictingTransactionType"),
    read("pending transaction type conflict", PoolLimit, NETHERMIND_POOL, "PendingTransactionTypeConflict"),
    read("delegation nonce gap", PoolLimit, NETHERMIND_POOL, "DelegationNonceGap"),
    read("delegation authority has pending transaction", PoolLimit, NETHERMIND_POOL, "DelegationAuthorityHasPendingTx"),
    read("sub-pool is full", PoolLimit, ERIGON_POOL, "PendingPoolOverflow, BaseFeePoolOverflow, QueuedPoolOverflow"),
    read("blobs limit in txpool is full", PoolLimit, ERIGON_POOL, "BlobPoolOverflow"),
    read("spammer", PoolLimit, ERIGON_POOL, "Spammer"),
    read("can't replace blob-txn", PoolLimit, ERIGON_POOL, "BlobTxReplace"),
    read("transaction nonce is too distant", PoolLimit, BESU, "NONCE_TOO_FAR_IN_FUTURE_FOR_SENDER"),
    read("invalid transaction with a lower nonce exists", PoolLimit, BESU, "LOWER_NONCE_INVALID_TRANSACTION_EXISTS"),
    read("nonce too far in future", PoolLimit, NETHERMIND_POOL, "NonceTooFarInFuture"),
    read("noncegap", PoolLimit, NETHERMIND_OLD, "NonceGap"),
    read("ownnoncealreadyused", PoolLimit, NETHERMIND_OLD, "OwnNonceAlreadyUsed"),
    read("pendingtxsofothertype", PoolLimit, NETHERMIND_OLD, "PendingTxsOfOtherType"),
    read("nonce has max value", InvalidInputs, GETH_CORE, "ErrNonceMax (EIP-2681)"),
    read("nonce exceeds max nonce", InvalidInputs, NETHERMIND_TX, "NonceTooHigh (EIP-2681)"),
    read("nonce too high", PoolLimit, GETH_CORE, "ErrNonceTooHigh: a gap that is not filled yet"),
    // The price is too low.
    run("underpriced", Underpriced, GETH_TXPOOL, "ErrUnderpriced, ErrReplaceUnderpriced; Erigon's UnderPriced"),
    run("transaction gas price below minimum", Underpriced, GETH_TXPOOL, "ErrTxGasPriceTooLow"),
    run("max fee per gas less than block base fee", Underpriced, ANVIL, "InvalidTransactionError::FeeCapTooLow; geth's ErrFeeCapTooLow"),
    read("fee cap less than base fee", Underpriced, GETH_TYPES, "ErrGasFeeCapTooLow"),
    read("max fee per blob gas less than block blob gas fee", Underpriced, GETH_CORE, "ErrBlobFeeCapTooLow"),
    read("is greater than tx-specified `max_fee_per_blob_gas`", Underpriced, ANVIL, "InvalidTransactionError::BlobFeeCapTooLow"),
    read("insufficient gas price to replace", Underpriced, RETH_POOL, "PoolErrorKind::ReplacementUnderpriced"),
    read("below chain minimum", Underpriced, RETH_POOL, "PoolErrorKind::FeeCapBelowMinimumProtocolFeeCap"),
    read("priority fee below minimum", Underpriced, RETH_RPC, "RpcInvalidTransactionError::PriorityFeeBelowMinimum"),
    read("gas price below configured minimum", Underpriced, BESU, "GAS_PRICE_TOO_LOW"),
    read("gas price below current", Underpriced, BESU, "GAS_PRICE_BELOW_CURRENT_BASE_FEE, BLOB_GAS_PRICE_BELOW_CURRENT_BLOB_BASE_FEE"),
    read("could not replace existing tx", Underpriced, ERIGON_POOL, "NotReplaced"),
    read("replaced by transaction with higher tip", Underpriced, ERIGON_POOL, "ReplacedByHigherTip"),
    read("fee too low", Underpriced, ERIGON_POOL, "FeeTooLow"),
    read("feetoolow", Underpriced, NETHERMIND_OLD, "FeeTooLow, FeeTooLowToCompete"),
    read("replacementnotallowed", Underpriced, NETHERMIND_OLD, "ReplacementNotAllowed"),
    // Gas: first what the bytes or the block decide, then what one node does.
    run("intrinsic gas too low", InvalidInputs, GETH_CORE, "ErrIntrinsicGas"),
    run("insufficient gas for floor data gas", InvalidInputs, GETH_CORE, "ErrFloorDataGas (EIP-7623)"),
    run("exceeds block gas limit", InvalidInputs, GETH_TXPOOL, "ErrGasLimit; Besu's EXCEEDS_BLOCK_GAS_LIMIT"),
    run(
        "intrinsic gas too high",
        InvalidInputs,
        ANVIL,
        "InvalidTransactionError::GasTooHigh: above the block's limit, or below what it takes",
    ),
    run("gas limit too high", InvalidInputs, GETH_CORE, "ErrGasLimitTooHigh (EIP-7825)"),
    read(
        "gas limit is greater than the block gas limit",
        InvalidInputs,
        ANVIL,
        "InvalidTransactionError::TxGasLimitGreaterThanCap (EIP-7825)",
    ),
    read("exceeds block's gas limit", InvalidInputs, RETH_POOL, "InvalidPoolTransactionError::ExceedsGasLimit"),
    read("exceeds max transaction gas limit", NodeLimit, RETH_RPC, "RpcPoolError::MaxTxGasLimitExceeded: a setting"),
    read("gas limit reached", InvalidInputs, NETHERMIND_POOL, "GasLimitReached: above the block's limit"),
    read("blobtxgaslimitexceeded", NodeLimit, NETHERMIND_TX, "BlobTxGasLimitExceeded"),
    read("gaslimitexceeded", InvalidInputs, NETHERMIND_OLD, "GasLimitExceeded: above the block's limit"),
    read("txgaslimitcapexceeded", InvalidInputs, NETHERMIND_TX, "TxGasLimitCapExceeded (EIP-7825)"),
    read("intrinsic gas exceeds gas limit", InvalidInputs, BESU, "INTRINSIC_GAS_EXCEEDS_LIMIT"),
    read("transaction gas limit cap exceeded", InvalidInputs, BESU, "EXCEEDS_TRANSACTION_GAS_LIMIT (EIP-7825)"),
    read("gas limit is too high", InvalidInputs, ERIGON_POOL, "GasLimitTooHigh"),
    read("intrinsicgas", InvalidInputs, ERIGON_POOL, "IntrinsicGas"),
    read("gas uint64 overflow", InvalidInputs, GETH_CORE, "ErrGasUintOverflow"),
    read("gasuintoverflow", InvalidInputs, ERIGON_POOL, "GasUintOverflow"),
    // Limits of the node and rules of the fork.
    run("exceeds the configured cap", NodeLimit, GETH_API, "checkTxFee; Erigon's and reth's cap too"),
    read("transaction fee cap exceeded", NodeLimit, BESU, "TX_FEECAP_EXCEEDED"),
    run("only replay-protected", NodeLimit, GETH_API, "SubmitTransaction"),
    read("chainid is required", NodeLimit, BESU, "REPLAY_PROTECTED_SIGNATURE_REQUIRED"),
    read("not authorized to send transactions", NodeLimit, BESU, "TX_SENDER_NOT_AUTHORIZED"),
    read("plugin has marked the transaction", NodeLimit, BESU, "PLUGIN_TX_VALIDATOR, PLUGIN_TX_POOL_VALIDATOR"),
    run("transaction type not supported", NodeLimit, GETH_TYPES, "ErrTxTypeNotSupported"),
    read("unsupported transaction type", NodeLimit, NETHERMIND_POOL, "UnsupportedTransactionType"),
    read("invalidtxtype", NodeLimit, NETHERMIND_TX, "InvalidTxType"),
    read("invalid transaction type", NodeLimit, BESU, "INVALID_TRANSACTION_TYPE"),
    read("is not activated yet", NodeLimit, ERIGON_POOL, "TypeNotActivated"),
    read(
        "not supported before the",
        NodeLimit,
        ANVIL,
        "AccessListNotSupported, AuthorizationListNotSupported, BlobVersionedHashesNotSupported",
    ),
    read("not supported for blocks before the", NodeLimit, RETH_RPC, "MaxFeePerBlobGasNotSupported, BlobVersionedHashesNotSupported"),
    read(
        "not supported by the current hardfork",
        NodeLimit,
        ANVIL,
        "BlockchainError::EIP1559TransactionUnsupportedAtHardfork and its like",
    ),
    read("authorization list not supported", NodeLimit, RETH_RPC, "RpcInvalidTransactionError::AuthorizationListNotSupported"),
    read("transaction blob limit exceeded", NodeLimit, GETH_TXPOOL, "ErrTxBlobLimitExceeded"),
    read("too many blobs", NodeLimit, GETH_CORE, "ErrTooManyBlobs; reth's and anvil's too"),
    read("exceeds max blobs per block", NodeLimit, RETH_RPC, "RpcInvalidTransactionError::TooManyBlobs"),
    read("total blob gas too high", NodeLimit, BESU, "TOTAL_BLOB_GAS_TOO_HIGH"),
    read("max number of blobs exceeded", NodeLimit, ERIGON_POOL, "TooManyBlobs"),
    // Sizes.
    run("oversized data", InvalidInputs, GETH_TXPOOL, "ErrOversizedData"),
    read("input data too large", InvalidInputs, RETH_POOL, "InvalidPoolTransactionError::OversizedData"),
    read("transaction too large", InvalidInputs, NETHERMIND_POOL, "TransactionTooLarge"),
    read("rlptoolong", InvalidInputs, ERIGON_POOL, "RLPTooLong"),
    run("max initcode size exceeded", InvalidInputs, GETH_VM, "ErrMaxInitCodeSizeExceeded (EIP-3860)"),
    read("exceeds max_init_code_size", InvalidInputs, RETH_POOL, "InvalidPoolTransactionError::ExceedsMaxInitCodeSize"),
    read("initcode too large", InvalidInputs, ERIGON_POOL, "InitCodeTooLarge"),
    // Fields that contradict each other or a rule.
    run("max priority fee per gas higher than max fee per gas", InvalidInputs, GETH_CORE, "ErrTipAboveFeeCap"),
    read("max priority fee per gas exceeds max fee per gas", InvalidInputs, BESU, "MAX_PRIORITY_FEE_PER_GAS_EXCEEDS_MAX_FEE_PER_GAS"),
    read("invalidmaxpriorityfeepergas", InvalidInputs, NETHERMIND_TX, "InvalidMaxPriorityFeePerGas"),
    read("higher than 2^256-1", InvalidInputs, GETH_CORE, "ErrTipVeryHigh, ErrFeeCapVeryHigh"),
    read("transaction cost overflow", InvalidInputs, NETHERMIND_POOL, "TransactionOverflow"),
    read("negative value", InvalidInputs, GETH_TXPOOL, "ErrNegativeValue"),
    read("must have at least one authorization", InvalidInputs, GETH_VALIDATION, "validateTx"),
    read("empty auth", InvalidInputs, GETH_CORE, "ErrEmptyAuthList; Erigon's NoAuthorizations"),
    read("no items in authorization list", InvalidInputs, RETH_POOL, "Eip7702PoolTransactionError::MissingEip7702AuthorizationList"),
    read("authorization list has invalid fields", InvalidInputs, RETH_RPC, "RpcInvalidTransactionError::AuthorizationListInvalidFields"),
    read("missingauthorizationlist", InvalidInputs, NETHERMIND_TX, "MissingAuthorizationList"),
    read("cannot be used to create contract", InvalidInputs, GETH_CORE, "ErrSetCodeTxCreate"),
    read("form of a create transaction", InvalidInputs, ERIGON_POOL, "InvalidCreateTxn"),
    read("blob transaction of type create", InvalidInputs, GETH_CORE, "ErrBlobTxCreate"),
    read("blob transaction is a create transaction", InvalidInputs, RETH_RPC, "RpcInvalidTransactionError::BlobTransactionIsCreate"),
    read("notallowedcreatetransaction", InvalidInputs, NETHERMIND_TX, "NotAllowedCreateTransaction"),
    read("missing sidecar in blob transaction", InvalidInputs, GETH_VALIDATION, "validateBlobTx"),
    read("blob sidecar not found", InvalidInputs, RETH_POOL, "Eip4844PoolTransactionError::MissingEip4844BlobSidecar"),
    read("blobless blob transaction", InvalidInputs, GETH_VALIDATION, "validateBlobTx"),
    read("blob transaction missing blob hashes", InvalidInputs, GETH_CORE, "ErrMissingBlobHashes"),
    read("must have at least one blob", InvalidInputs, ERIGON_POOL, "NoBlobs; Besu's INVALID_BLOB_COUNT"),
    read("wrong sidecar format", InvalidInputs, GETH_TXPOOL, "ErrSidecarFormatError"),
    read("unexpected sidecar version", InvalidInputs, GETH_VALIDATION, "validateBlobSidecarLegacy"),
    read("kzg verification error", InvalidInputs, GETH_TXPOOL, "ErrKZGVerificationError"),
    read("blob hash version mismatch", InvalidInputs, RETH_RPC, "RpcInvalidTransactionError::BlobHashVersionMismatch"),
    read("invalidblob", InvalidInputs, NETHERMIND_TX, "InvalidBlobVersionedHashSize and its like"),
    read("blobs failed kzg validation", InvalidInputs, BESU, "INVALID_BLOBS"),
    read("kzgcommitment", InvalidInputs, ERIGON_POOL, "BlobHashCheckFail, UnmatchedBlobTxExt"),
    read("must have equal number", InvalidInputs, ERIGON_POOL, "UnequalBlobTxExt"),
    read("int256overflow", InvalidInputs, NETHERMIND_OLD, "Int256Overflow"),
    // Who signed it, and whether it can be read.
    read("invalid sender", InvalidInputs, GETH_TXPOOL, "ErrInvalidSender"),
    read("failed to recover sender", InvalidInputs, NETHERMIND_POOL, "FailedToRecoverSender"),
    read("failedtoresolvesender", InvalidInputs, NETHERMIND_OLD, "FailedToResolveSender"),
    read("senderiscontract", InvalidInputs, NETHERMIND_OLD, "SenderIsContract"),
    read("sender not an eoa", InvalidInputs, GETH_CORE, "ErrSenderNoEOA"),
    read("sender is not an eoa", InvalidInputs, RETH_RPC, "RpcInvalidTransactionError::SenderNoEOA"),
    read("invalid transaction signature", InvalidInputs, RETH_RPC, "EthApiError::InvalidTransactionSignature"),
    read("invalid transaction v, r, s values", InvalidInputs, GETH_TYPES, "ErrInvalidSig"),
    read("invalidtxsignature", InvalidInputs, NETHERMIND_TX, "InvalidTxSignature"),
    with_code(-32002, read("invalid signature", InvalidInputs, BESU, "INVALID_TRANSACTION_SIGNATURE")),
    read("transaction invalid", InvalidInputs, NETHERMIND_POOL, "TransactionInvalid"),
    read("failed to decode signed transaction", InvalidInputs, RETH_RPC, "EthApiError::FailedToDecodeSignedTransaction"),
    run("failed to decode transaction", InvalidInputs, ANVIL, "BlockchainError::FailedToDecodeTransaction"),
    run("empty transaction data", InvalidInputs, ANVIL, "BlockchainError::EmptyRawTransactionData"),
    run("typed transaction too short", InvalidInputs, GETH_TYPES, "errShortTypedTx"),
    run("rlp: ", InvalidInputs, GETH_RLP, "errors of the decoder"),
    // Something is missing.
    read("block not found", NotFound, BESU, "BLOCK_NOT_FOUND; reth's HeaderNotFound"),
    read("unknown block", NotFound, BESU, "UNKNOWN_BLOCK"),
    read("header not found", NotFound, RETH_RPC, "EthApiError::HeaderNotFound"),
    read("resource not found", NotFound, ANVIL, "BlockchainError::BlockNotFound"),
    read("transaction not found", NotFound, BESU, "TRANSACTION_NOT_FOUND"),
    read("world state unavailable", NotFound, BESU, "WORLD_STATE_UNAVAILABLE"),
];

/// What a code says where no row knows the words.
pub(super) const CODES: &[(i64, Reason, &str)] = &[
    (3, Reverted, "geth internal/ethapi/errors.go revertError"),
    (402, DownstreamDown, "Infura: the day's credit is used"),
    (429, DownstreamDown, "HTTP's code in providers' errors"),
    (-32001, NotFound, "EIP-1474: resource not found"),
    (-32002, DownstreamDown, "EIP-1474: resource unavailable"),
    (-32004, DownstreamDown, "EIP-1474: method not supported"),
    (-32005, DownstreamDown, "EIP-1474: limit exceeded"),
    (-32016, DownstreamDown, "Nethermind src/Nethermind/Nethermind.JsonRpc/ErrorCodes.cs Timeout"),
    (-32017, DownstreamDown, "Nethermind src/Nethermind/Nethermind.JsonRpc/ErrorCodes.cs ModuleTimeout"),
    (-32601, DownstreamDown, "JSON-RPC 2.0: method not found"),
];
