//! How settings are shown: access keys and secrets are not.

use netio::Endpoint;
use serde::Serializer;

/// Stands where a secret is.
const REDACTED: &str = "(not shown)";

/// An address without its path, where providers put access keys.
pub(super) fn address<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match url.parse::<Endpoint>() {
        Ok(endpoint) => serializer.collect_str(&endpoint),
        Err(_) if url.is_empty() => serializer.serialize_str(""),
        Err(_) => serializer.serialize_str(REDACTED),
    }
}

/// [`address`] where there may be none.
#[allow(clippy::ref_option)] // serde calls it with the field
pub(super) fn optional_address<S: Serializer>(url: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    match url {
        Some(url) => address(url, serializer),
        None => serializer.serialize_none(),
    }
}

/// That there is a secret, and nothing of it.
#[allow(clippy::ref_option)] // serde calls it with the field
pub(super) fn secret<S: Serializer>(secret: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(_) => serializer.serialize_str(REDACTED),
        None => serializer.serialize_none(),
    }
}

/// An amount of wei as a decimal string: TOML's integers end at 64 bits.
#[allow(clippy::ref_option)] // serde calls it with the field
pub(super) fn wei<S: Serializer>(amount: &Option<u128>, serializer: S) -> Result<S::Ok, S::Error> {
    match amount {
        Some(amount) => serializer.collect_str(amount),
        None => serializer.serialize_none(),
    }
}
