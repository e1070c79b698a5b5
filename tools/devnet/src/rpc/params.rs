//! Parameters of a call: by position, as geth reads them.

use alloy::{
    consensus::transaction::SignerRecoverable,
    primitives::{Address, B256, Bytes, U64},
};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

use crate::{
    error::RpcError,
    tx::{self, Envelope},
};

/// The positional parameters of a call, each still JSON.
pub(crate) struct Params<'a>(Vec<&'a RawValue>);

impl<'a> Params<'a> {
    /// Takes the `params` member; absent or `null` is no parameters.
    pub(crate) fn parse(raw: Option<&'a RawValue>) -> Result<Self, RpcError> {
        match raw.map(RawValue::get) {
            None | Some("null") => Ok(Self(Vec::new())),
            Some(json) => serde_json::from_str(json).map(Self).map_err(|_| RpcError::params("non-array args")),
        }
    }

    /// The parameter at `index`.
    pub(crate) fn required<T: Deserialize<'a>>(&self, index: usize) -> Result<T, RpcError> {
        self.optional(index)?.ok_or_else(|| RpcError::missing(index))
    }

    /// The parameter at `index`, or `None` when it is absent or `null`.
    pub(crate) fn optional<T: Deserialize<'a>>(&self, index: usize) -> Result<Option<T>, RpcError> {
        match self.0.get(index).map(|raw| raw.get()) {
            None | Some("null") => Ok(None),
            Some(json) => serde_json::from_str(json).map(Some).map_err(|error| RpcError::invalid(index, error)),
        }
    }
}

impl Params<'_> {
    /// The transaction that `eth_sendRawTransaction` carries, and who signed it; `None` when there is none.
    pub(crate) fn raw_transaction(&self) -> Option<(Envelope, Address)> {
        let raw: Bytes = self.required(0).ok()?;
        let envelope = tx::decode(&raw).ok()?;
        let sender = envelope.recover_signer().ok()?;
        Some((envelope, sender))
    }

    /// Who signed the transaction that `eth_sendRawTransaction` carries.
    pub(crate) fn raw_sender(&self) -> Option<Address> {
        self.raw_transaction().map(|(_, sender)| sender)
    }
}

/// Which block a call means: a tag, a number, a hash, or the object of EIP-1898.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BlockId {
    /// The head. `pending` means it too: this chain shows no block before it is sealed.
    #[default]
    Latest,
    /// The state of the head with the pool's transactions on top, for nonces.
    Pending,
    Earliest,
    Safe,
    Finalized,
    Number(u64),
    Hash(B256),
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Text(String),
            #[serde(rename_all = "camelCase")]
            Hash {
                block_hash: B256,
            },
            #[serde(rename_all = "camelCase")]
            Number {
                block_number: U64,
            },
        }
        match Form::deserialize(deserializer)? {
            Form::Text(text) => parse_text(&text).map_err(D::Error::custom),
            Form::Hash { block_hash } => Ok(Self::Hash(block_hash)),
            Form::Number { block_number } => Ok(Self::Number(block_number.to())),
        }
    }
}

/// Characters of a hash with its prefix; anything shorter is a number.
const HASH_CHARS: usize = 66;

fn parse_text(text: &str) -> Result<BlockId, String> {
    match text {
        "latest" => Ok(BlockId::Latest),
        "pending" => Ok(BlockId::Pending),
        "earliest" => Ok(BlockId::Earliest),
        "safe" => Ok(BlockId::Safe),
        "finalized" => Ok(BlockId::Finalized),
        _ if text.len() == HASH_CHARS => text.parse().map(BlockId::Hash).map_err(|error| error.to_string()),
        _ => match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).map(BlockId::Number).map_err(|error| format!("block number {text:?}: {error}")),
            None => Err(format!("block {text:?} is no tag, and a number starts with 0x")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(json: &str) -> Result<BlockId, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn a_block_is_a_tag_a_number_a_hash_or_an_object() {
        let hash = B256::repeat_byte(7);
        assert_eq!(block("\"safe\"").ok(), Some(BlockId::Safe));
        assert_eq!(block("\"0x10\"").ok(), Some(BlockId::Number(16)));
        assert_eq!(block(&format!("\"{hash}\"")).ok(), Some(BlockId::Hash(hash)));
        assert_eq!(block(&format!("{{\"blockHash\":\"{hash}\"}}")).ok(), Some(BlockId::Hash(hash)));
        assert_eq!(block("{\"blockNumber\":\"0x2\"}").ok(), Some(BlockId::Number(2)));
        assert!(block("\"16\"").is_err());
        assert!(block("\"newest\"").is_err());
    }

    #[test]
    fn absent_and_null_parameters_are_none_and_wrong_ones_an_error() {
        let raw: &RawValue = serde_json::from_str("[null, 5]").expect("valid JSON");
        let params = Params::parse(Some(raw)).expect("an array");
        assert_eq!(params.optional::<u64>(0), Ok(None));
        assert_eq!(params.optional::<u64>(1), Ok(Some(5)));
        assert_eq!(params.required::<u64>(2), Err(RpcError::missing(2)));
        assert!(params.required::<String>(1).is_err());
    }
}
