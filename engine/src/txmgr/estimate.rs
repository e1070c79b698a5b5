//! Why a node gives no gas estimate, and what that says of the request (row A9).
//!
//! | the node says | then |
//! |---|---|
//! | the call reverts, runs out of gas, breaks a rule | the request fails after `txmgr.estimate_tries` such answers, with the reason in words |
//! | the account cannot pay | the request waits for funds |
//! | it syncs, limits rates, lacks a block, has an inner error | the node is asked again, later each time |
//! | nothing | the same |
//!
//! Only the first is about the request, and only it is counted.

use std::fmt;

use super::outcome::{Reason, classify};
use super::revert::{decoded, returned, shortened};

/// Code of a revert at OpenEthereum, and at Nethermind of old.
const VM_ERROR: i64 = -32015;
/// Words of a node that speaks of itself, not of the call.
const OF_ITSELF: [&str; 5] = ["internal error", "internal eth error", "timeout", "timed out", "deadline exceeded"];
/// Words that clients put before what a contract said.
const REVERTED: &str = "execution reverted";

/// Most gas that a transaction may take (EIP-7825): a factor must not push an estimate above it.
const GAS_CAP: u64 = 1 << 24;

/// The gas limit that an estimate gives: times `factor`, for what changes until it is mined.
#[must_use]
pub fn with_factor(estimate: u64, factor: f64) -> u64 {
    // Gas limits are far below 2^52, where a product of floats is exact enough.
    estimate.max(((estimate as f64 * factor).ceil() as u64).min(GAS_CAP))
}

/// Why there is no estimate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoEstimate {
    /// It would fail if it were mined: why, in words.
    Fails(String),
    /// The account cannot pay for it: the node's words.
    InsufficientFunds(String),
    /// The node cannot say now: its words.
    Unavailable(String),
    /// The node did not answer.
    Unanswered,
}

impl fmt::Display for NoEstimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fails(words) | Self::InsufficientFunds(words) | Self::Unavailable(words) => f.write_str(words),
            Self::Unanswered => f.write_str("the node did not answer"),
        }
    }
}

impl NoEstimate {
    /// Reads a node's error object: its code, its message, and the JSON of its `data`.
    #[must_use]
    pub fn of(code: i64, message: &str, data: Option<&str>) -> Self {
        let reason = classify(message, code);
        // Rates and the like come from before the node: whatever else is said, nothing was run.
        if matches!(reason, Reason::DownstreamDown | Reason::NotFound) {
            return Self::Unavailable(shortened(message));
        }
        let lower = message.to_ascii_lowercase();
        if reason == Reason::Reverted || code == VM_ERROR {
            return Self::Fails(reverted(message, lower.find(REVERTED), data));
        }
        match reason {
            Reason::InsufficientFunds => Self::InsufficientFunds(shortened(message)),
            Reason::Other if OF_ITSELF.iter().any(|words| lower.contains(words)) => Self::Unavailable(shortened(message)),
            _ => Self::Fails(format!("{} (code {code})", shortened(message))),
        }
    }
}

/// A revert in words: those in its bytes, else those of the node.
fn reverted(message: &str, at: Option<usize>, data: Option<&str>) -> String {
    let words = at.map(|at| message[at + REVERTED.len()..].trim_start_matches([':', ' ']).trim());
    match (data.and_then(returned), words) {
        (Some(bytes), _) if !bytes.is_empty() => format!("{REVERTED}: {}", decoded(&bytes)),
        (_, Some("")) => format!("{REVERTED}: {}", decoded(&[])),
        (_, Some(words)) => format!("{REVERTED}: {}", shortened(words)),
        // Not every failure that is reported as a revert is one: the data may tell, as in "Out of gas".
        (bytes, None) => match data.and_then(|data| serde_json::from_str::<String>(data).ok()) {
            Some(said) if bytes.is_none() => format!("{} {}", shortened(message), shortened(&said)),
            _ => format!("{} {}", shortened(message), decoded(&[])),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PANIC: &str = "\"0x4e487b710000000000000000000000000000000000000000000000000000000000000011\"";
    const NO_ENTRY: &str = "0x08c379a0\
        0000000000000000000000000000000000000000000000000000000000000020\
        0000000000000000000000000000000000000000000000000000000000000008\
        6e6f20656e747279000000000000000000000000000000000000000000000000";

    fn fails(words: &str) -> NoEstimate {
        NoEstimate::Fails(words.to_owned())
    }

    #[test]
    fn every_clients_revert_is_told_by_its_reason() {
        let no_entry = format!("\"{NO_ENTRY}\"");
        let reverted_no_entry = format!("\"Reverted {NO_ENTRY}\"");
        let wrapped = format!(r#"{{"originalError":{{"code":3,"data":"{NO_ENTRY}","message":"execution reverted: no entry"}}}}"#);
        for (client, code, message, data, reason) in [
            ("geth", 3, "execution reverted: no entry", Some(no_entry.as_str()), "execution reverted: no entry"),
            ("geth", 3, "execution reverted", Some("\"0x\""), "execution reverted: without a reason"),
            (
                "geth",
                3,
                "execution reverted: arithmetic underflow or overflow",
                Some(PANIC),
                "execution reverted: panic 0x11: arithmetic underflow or overflow",
            ),
            ("geth of old", -32000, "execution reverted: no entry", None, "execution reverted: no entry"),
            (
                "anvil",
                3,
                "execution reverted: custom error 0xcf479181",
                Some("\"0xcf479181\""),
                "execution reverted: custom error 0xcf479181",
            ),
            ("reth", 3, "execution reverted: no entry", Some(no_entry.as_str()), "execution reverted: no entry"),
            ("Nethermind", 3, "execution reverted: no entry", Some(no_entry.as_str()), "execution reverted: no entry"),
            ("Nethermind of old", -32015, "VM execution error.", Some(reverted_no_entry.as_str()), "execution reverted: no entry"),
            ("Nethermind of old", -32015, "VM execution error.", Some("\"Reverted 0x\""), "VM execution error. without a reason"),
            ("Nethermind of old", -32015, "VM execution error.", Some("\"Out of gas\""), "VM execution error. Out of gas"),
            ("Besu", 3, "Execution reverted: no entry", Some(no_entry.as_str()), "execution reverted: no entry"),
            ("Besu of old", -32000, "Execution reverted", Some(no_entry.as_str()), "execution reverted: no entry"),
            ("a wallet's proxy", 3, "execution reverted", Some(wrapped.as_str()), "execution reverted: no entry"),
        ] {
            assert_eq!(NoEstimate::of(code, message, data), fails(reason), "{client}");
        }
    }

    #[test]
    fn a_contract_that_speaks_like_a_node_has_still_reverted() {
        for words in ["insufficient funds", "rate limit", "already known", "internal error"] {
            let message = format!("execution reverted: {words}");
            assert_eq!(NoEstimate::of(3, &message, None), fails(&message));
        }
    }

    #[test]
    fn who_cannot_pay_waits_and_who_needs_too_much_gas_fails() {
        for message in [
            "insufficient funds for transfer",
            "insufficient funds for gas * price + value: have 1 want 2",
            "Upfront cost exceeds account balance",
        ] {
            assert_eq!(NoEstimate::of(-32000, message, None), NoEstimate::InsufficientFunds(message.to_owned()));
        }
        assert_eq!(
            NoEstimate::of(-32000, "gas required exceeds allowance (50000000)", None),
            fails("gas required exceeds allowance (50000000) (code -32000)")
        );
        assert_eq!(NoEstimate::of(-32603, "EVM error InvalidFEOpcode", None), fails("EVM error InvalidFEOpcode (code -32603)"));
    }

    #[test]
    fn a_node_that_cannot_answer_says_nothing_of_the_request() {
        for (code, message) in [
            (429, "Your app has exceeded its compute units per second capacity."),
            (-32005, "daily request count exceeded, request rate limited"),
            (-32601, "the method eth_estimateGas does not exist/is not available"),
            (-32000, "header not found"),
            (-32603, "Internal error"),
            (-32000, "execution aborted (timeout = 5s)"),
            (-32000, "node is syncing"),
        ] {
            assert!(matches!(NoEstimate::of(code, message, None), NoEstimate::Unavailable(_)), "{message}");
        }
    }
}
