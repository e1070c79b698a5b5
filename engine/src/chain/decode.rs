//! What the follower reads of blocks and receipts; everything else in them is skipped, not parsed.

use alloy::primitives::{Address, B256, U64, U128};
use serde::Deserialize;

use crate::txmgr::SeenReceipt;

/// What is needed of a block.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "WireHeader")]
pub struct Header {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
    /// Hash of the block before it.
    pub parent_hash: B256,
    /// Seconds since the Unix epoch.
    pub timestamp: u64,
    /// Hashes of its transactions.
    pub transactions: Vec<B256>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireHeader {
    number: U64,
    hash: B256,
    parent_hash: B256,
    timestamp: U64,
    #[serde(default)]
    transactions: Vec<B256>,
}

impl From<WireHeader> for Header {
    fn from(wire: WireHeader) -> Self {
        Self {
            number: wire.number.to(),
            hash: wire.hash,
            parent_hash: wire.parent_hash,
            timestamp: wire.timestamp.to(),
            transactions: wire.transactions,
        }
    }
}

/// The type of a transaction that carries authorizations (EIP-7702).
const SET_CODE: U64 = U64::from_limbs([4]);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireReceipt {
    from: Address,
    #[serde(default)]
    block_hash: Option<B256>,
    transaction_hash: B256,
    transaction_index: U64,
    #[serde(default, rename = "type")]
    kind: U64,
    #[serde(default)]
    status: Option<U64>,
    gas_used: U64,
    #[serde(default)]
    effective_gas_price: U128,
    #[serde(default)]
    contract_address: Option<Address>,
}

impl From<WireReceipt> for SeenReceipt {
    fn from(wire: WireReceipt) -> Self {
        Self {
            from: wire.from,
            transaction_hash: wire.transaction_hash,
            transaction_index: wire.transaction_index.to(),
            // Receipts from before EIP-658 have a state root in place of a status; they did not fail.
            success: wire.status.is_none_or(|status| status == U64::ONE),
            gas_used: wire.gas_used.to(),
            effective_gas_price: wire.effective_gas_price.to(),
            contract_address: wire.contract_address,
            authorizes: wire.kind == SET_CODE,
        }
    }
}

/// A receipt, read from what a node sends.
#[derive(Deserialize)]
#[serde(from = "WireReceipt")]
struct Receipt(SeenReceipt);

impl From<WireReceipt> for Receipt {
    fn from(wire: WireReceipt) -> Self {
        Self(wire.into())
    }
}

/// The result of `eth_getBlockReceipts`.
#[derive(Deserialize)]
pub(super) struct BlockReceipts(Option<Vec<Receipt>>);

impl BlockReceipts {
    /// The receipts; `None` for null, which means not known yet.
    pub(super) fn into_seen(self) -> Option<Vec<SeenReceipt>> {
        // In place: a receipt and what is in it have one layout.
        self.0.map(|receipts| receipts.into_iter().map(|receipt| receipt.0).collect())
    }
}

/// Receipts of a block, from the result of `eth_getBlockReceipts`; `None` for null, which means not known yet.
///
/// # Errors
/// What the decoder says of a result of another shape.
pub fn receipts_from_json(json: &str) -> Result<Option<Vec<SeenReceipt>>, serde_json::Error> {
    serde_json::from_str::<BlockReceipts>(json).map(BlockReceipts::into_seen)
}

/// One receipt, from the result of `eth_getTransactionReceipt`; `None` for null, and for one of another block than `block`: the
/// chain has moved in between.
pub(super) fn receipt_from_json(json: &str, block: &B256) -> Result<Option<SeenReceipt>, serde_json::Error> {
    let wire: Option<WireReceipt> = serde_json::from_str(json)?;
    Ok(wire.filter(|receipt| receipt.block_hash.is_none_or(|hash| hash == *block)).map(Into::into))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_is_not_an_empty_block() {
        assert!(receipts_from_json("null").expect("null is allowed").is_none());
        assert_eq!(receipts_from_json("[]").expect("so is an empty list").map(|list| list.len()), Some(0));
    }

    #[test]
    fn a_receipt_is_read_from_what_a_node_sends() {
        let json = r#"[{"status":"0x1","cumulativeGasUsed":"0x5208","logs":[],"logsBloom":"0x00","type":"0x2",
            "transactionHash":"0x1111111111111111111111111111111111111111111111111111111111111111","transactionIndex":"0x3",
            "blockHash":"0x2222222222222222222222222222222222222222222222222222222222222222","blockNumber":"0x9","gasUsed":"0x5208",
            "effectiveGasPrice":"0x3b9aca07","from":"0x3333333333333333333333333333333333333333","to":null,"contractAddress":null}]"#;
        let receipts = receipts_from_json(json).expect("well formed").expect("not null");
        assert_eq!(receipts[0].transaction_index, 3);
        assert_eq!((receipts[0].gas_used, receipts[0].effective_gas_price), (21_000, 1_000_000_007));
        assert!(receipts[0].success);
    }
}
