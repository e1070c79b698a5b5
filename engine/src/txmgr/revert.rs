//! What a contract said when it reverted, in words (row A9): `Error(string)`, `Panic(uint256)`, or a custom error as it is.
//!
//! The bytes come in an error object's `data`, whose form differs: a hex string (geth, reth, anvil, Nethermind, Erigon, Besu), a hex
//! string behind a word (`"Reverted 0x…"`, Nethermind of old), or an object that holds one somewhere inside, as proxies and test
//! chains send it.

use std::fmt::Write;

use alloy::hex;
use alloy::primitives::Selector;
use alloy_sol_types::{Panic, Revert, SolError};
use serde_json::Value;

/// A contract chooses how much it says; this much of it is kept, in bytes.
const SAID_BYTES_MAX: usize = 512;
/// Objects are looked into this deep; the deepest known holds its bytes at 2.
const DEPTH_MAX: u8 = 4;
/// Under these names objects hold the bytes, or an object that does. Others hold hashes and addresses, which look the same.
const HOLDERS: [&str; 6] = ["data", "output", "return", "result", "originalError", "error"];

/// The bytes that a contract reverted with, from the JSON of an error object's `data`; `None` if there are none in it.
#[must_use]
pub fn returned(data: &str) -> Option<Vec<u8>> {
    inside(&serde_json::from_str(data).ok()?, DEPTH_MAX)
}

fn inside(data: &Value, depth: u8) -> Option<Vec<u8>> {
    match data {
        Value::String(text) => hex::decode(&text[text.find("0x")?..]).ok(),
        Value::Object(object) if depth > 0 => HOLDERS.iter().find_map(|holder| inside(object.get(*holder)?, depth - 1)),
        _ => None,
    }
}

/// What these bytes say.
#[must_use]
pub fn decoded(returned: &[u8]) -> String {
    if returned.is_empty() {
        return "without a reason".to_owned();
    }
    if let Ok(revert) = Revert::abi_decode(returned) {
        return shortened(revert.reason());
    }
    if let Ok(panic) = Panic::abi_decode(returned) {
        let meaning = panic.kind().map_or("a code that Solidity does not define", alloy_sol_types::PanicKind::as_str);
        return format!("panic {:#04x}: {meaning}", panic.code);
    }
    let Some((selector, arguments)) = returned.split_first_chunk::<4>() else {
        return format!("with {}", hex::encode_prefixed(returned));
    };
    let mut said = format!("custom error {}", Selector::from(*selector));
    if !arguments.is_empty() {
        let shown = &arguments[..arguments.len().min(SAID_BYTES_MAX)];
        let more = if shown.len() < arguments.len() { "…" } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(said, " with {}{more}", hex::encode_prefixed(shown));
    }
    said
}

/// As much of a text as is kept, without characters that would break a line of a log.
pub(super) fn shortened(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().map(|character| if character.is_control() { ' ' } else { character }) {
        if shown.len() + character.len_utf8() > SAID_BYTES_MAX {
            shown.push('…');
            break;
        }
        shown.push(character);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy::primitives::U256;

    const NO_ENTRY: &str = "0x08c379a0\
        0000000000000000000000000000000000000000000000000000000000000020\
        0000000000000000000000000000000000000000000000000000000000000008\
        6e6f20656e747279000000000000000000000000000000000000000000000000";

    fn said(data: &str) -> Option<String> {
        returned(data).map(|bytes| decoded(&bytes))
    }

    #[test]
    fn the_bytes_are_found_in_every_form_in_which_they_are_sent() {
        let hash = format!("0x{}", "ab".repeat(32));
        for data in [
            format!(r#""{NO_ENTRY}""#),
            format!(r#""Reverted {NO_ENTRY}""#),
            format!(r#"{{"data":"{NO_ENTRY}"}}"#),
            format!(r#"{{"originalError":{{"code":3,"data":"{NO_ENTRY}","message":"execution reverted: no entry"}}}}"#),
            format!(r#"{{"message":"Error","txHash":"{hash}","data":"{NO_ENTRY}"}}"#),
        ] {
            assert_eq!(said(&data).as_deref(), Some("no entry"), "{data}");
        }
    }

    #[test]
    fn what_is_no_bytes_is_not_taken_for_some() {
        for data in [
            "null",
            "17",
            r#""no""#,
            r#""0xzz""#,
            "[]",
            r#"{"hash":"0x08c379a0"}"#,
            "{",
            r#"{"data":{"data":{"data":{"data":{"data":"0x00"}}}}}"#,
        ] {
            assert_eq!(returned(data), None, "{data}");
        }
    }

    #[test]
    fn a_panic_is_told_with_its_meaning() {
        let panic = |code: u64| decoded(&Panic { code: U256::from(code) }.abi_encode());
        assert_eq!(panic(0x11), "panic 0x11: arithmetic underflow or overflow");
        assert_eq!(panic(0x01), "panic 0x01: assertion failed");
        assert_eq!(panic(0x99), "panic 0x99: a code that Solidity does not define");
    }

    #[test]
    fn a_custom_error_is_shown_as_selector_and_data() {
        assert_eq!(decoded(&hex!("cf479181")), "custom error 0xcf479181");
        assert_eq!(decoded(&hex!("cf4791810000002a")), "custom error 0xcf479181 with 0x0000002a");
        assert_eq!(decoded(&hex!("cf47")), "with 0xcf47");
        assert_eq!(decoded(&[]), "without a reason");
        // The selector of Error(string) with something else behind it.
        assert_eq!(decoded(&hex!("08c379a0ff")), "custom error 0x08c379a0 with 0xff");
    }

    #[test]
    fn a_contract_cannot_fill_the_store_or_the_log() {
        let long = decoded(&Revert::from("é\n".repeat(10_000)).abi_encode());
        assert!(long.len() <= SAID_BYTES_MAX + '…'.len_utf8() && !long.contains('\n'), "{}", long.len());
        assert!(decoded(&[0xcf; 100_000]).len() < 2 * SAID_BYTES_MAX + 64);
    }
}
