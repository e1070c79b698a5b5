//! Blocks, transactions, receipts and logs as JSON, with geth's fields.

use alloy::{
    consensus::{EMPTY_OMMER_ROOT_HASH, EthereumTxEnvelope, Header, Transaction, Typed2718},
    primitives::{Bloom, Log, U256},
};

use crate::{
    chain::{Block, Receipt},
    json::{self, Object},
    tx::{Envelope, PooledTx},
};

/// Bytes of a receipt without logs as JSON; most of it is the bloom filter.
pub(super) const RECEIPT_BYTES: usize = 1_200;

/// Where a transaction stands in a block.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) block: &'a Block,
    pub(super) index: usize,
}

impl<'a> Place<'a> {
    pub(super) fn tx(self) -> &'a PooledTx {
        &self.block.txs[self.index]
    }

    fn receipt(self) -> &'a Receipt {
        &self.block.receipts[self.index]
    }

    fn write(self, object: &mut Object<'_>) {
        object.data("blockHash", self.block.hash);
        object.quantity("blockNumber", self.block.number());
        object.quantity("transactionIndex", self.index as u64);
    }
}

/// All places of a block, in order.
pub(super) fn places(block: &Block) -> impl Iterator<Item = Place<'_>> {
    (0..block.txs.len()).map(move |index| Place { block, index })
}

/// A block with its transactions in full or as hashes.
pub(super) fn block(out: &mut Vec<u8>, block: &Block, full: bool) {
    let mut object = Object::begin(out);
    header(&mut object, block);
    object.quantity("size", block.size);
    let list = object.name("transactions");
    if full {
        json::array(list, places(block), |out, place| transaction(out, place.tx(), Some(place)));
    } else {
        json::array(list, &block.txs, |out, tx| json::data(out, tx.hash.as_slice()));
    }
    object.raw("uncles", "[]");
    object.raw("withdrawals", "[]");
    object.end();
}

/// The notification of a new head for one subscription.
pub(crate) fn new_head(block: &Block, subscription: u64) -> String {
    let mut out = Vec::with_capacity(2 * RECEIPT_BYTES);
    out.extend_from_slice(br#"{"jsonrpc":"2.0","method":"eth_subscription","params":"#);
    let mut params = Object::begin(&mut out);
    params.quantity("subscription", subscription);
    let mut object = Object::begin(params.name("result"));
    header(&mut object, block);
    object.end();
    params.end();
    out.push(b'}');
    String::from_utf8(out).expect("JSON written here is ASCII")
}

fn header(object: &mut Object<'_>, block: &Block) {
    let Header { number, timestamp, gas_limit, gas_used, .. } = block.header;
    let header = &block.header;
    object.quantity("number", number);
    object.data("hash", block.hash);
    object.data("parentHash", header.parent_hash);
    object.data("sha3Uncles", EMPTY_OMMER_ROOT_HASH);
    object.data("miner", header.beneficiary);
    object.data("stateRoot", header.state_root);
    object.data("transactionsRoot", header.transactions_root);
    object.data("receiptsRoot", header.receipts_root);
    bloom(object, &header.logs_bloom);
    object.quantity_wide("difficulty", header.difficulty);
    object.quantity("gasLimit", gas_limit);
    object.quantity("gasUsed", gas_used);
    object.quantity("timestamp", timestamp);
    object.data("extraData", &header.extra_data);
    object.data("mixHash", header.mix_hash);
    object.data("nonce", header.nonce);
    object.quantity("baseFeePerGas", block.base_fee());
    object.data("withdrawalsRoot", header.withdrawals_root.unwrap_or_default());
    object.quantity("blobGasUsed", header.blob_gas_used.unwrap_or_default());
    object.quantity("excessBlobGas", header.excess_blob_gas.unwrap_or_default());
    object.data("parentBeaconBlockRoot", header.parent_beacon_block_root.unwrap_or_default());
    object.data("requestsHash", header.requests_hash.unwrap_or_default());
}

/// A transaction, pending when it has no place.
pub(super) fn transaction(out: &mut Vec<u8>, tx: &PooledTx, place: Option<Place<'_>>) {
    let envelope = &tx.envelope;
    let mut object = Object::begin(out);
    match place {
        Some(place) => place.write(&mut object),
        None => ["blockHash", "blockNumber", "transactionIndex"].iter().for_each(|name| object.raw(name, "null")),
    }
    object.data("hash", tx.hash);
    object.quantity("type", u64::from(envelope.ty()));
    object.quantity("nonce", tx.nonce);
    object.data("from", tx.sender);
    match envelope.to() {
        Some(to) => object.data("to", to),
        None => object.raw("to", "null"),
    }
    object.quantity_wide("value", envelope.value());
    object.quantity("gas", tx.gas_limit);
    let price = place.map_or(tx.fee_cap, |place| tx.effective_gas_price(place.block.base_fee()));
    object.quantity_wide("gasPrice", price);
    if let Some(tip) = envelope.max_priority_fee_per_gas() {
        object.quantity_wide("maxFeePerGas", tx.fee_cap);
        object.quantity_wide("maxPriorityFeePerGas", tip);
    }
    object.data("input", envelope.input());
    if let (Some(fee), Some(hashes)) = (envelope.max_fee_per_blob_gas(), envelope.blob_versioned_hashes()) {
        object.quantity_wide("maxFeePerBlobGas", U256::from(fee));
        json::array(object.name("blobVersionedHashes"), hashes, |out, hash| json::data(out, hash.as_slice()));
    }
    signed_fields(&mut object, envelope);
    object.end();
}

fn signed_fields(object: &mut Object<'_>, envelope: &Envelope) {
    let serialised = "a list of the transaction always serialises and a Vec always takes it";
    if let Some(chain_id) = envelope.chain_id() {
        object.quantity("chainId", chain_id);
    }
    if let Some(list) = envelope.access_list() {
        serde_json::to_writer(object.name("accessList"), list).expect(serialised);
    }
    if let Some(list) = envelope.authorization_list() {
        serde_json::to_writer(object.name("authorizationList"), list).expect(serialised);
    }
    let signature = envelope.signature();
    let parity = u64::from(signature.v());
    match envelope {
        // EIP-155. Admission refuses legacy transactions without a chain id.
        EthereumTxEnvelope::Legacy(_) => object.quantity("v", 2 * envelope.chain_id().unwrap_or_default() + 35 + parity),
        _ => {
            object.quantity("yParity", parity);
            object.quantity("v", parity);
        }
    }
    object.quantity_wide("r", signature.r());
    object.quantity_wide("s", signature.s());
}

/// The receipt of a mined transaction.
pub(super) fn receipt(out: &mut Vec<u8>, place: Place<'_>) {
    let (tx, receipt) = (place.tx(), place.receipt());
    let mut object = Object::begin(out);
    object.data("transactionHash", tx.hash);
    place.write(&mut object);
    object.data("from", tx.sender);
    match tx.envelope.to() {
        Some(to) => object.data("to", to),
        None => object.raw("to", "null"),
    }
    match tx.created_contract() {
        Some(contract) => object.data("contractAddress", contract),
        None => object.raw("contractAddress", "null"),
    }
    object.quantity("status", u64::from(receipt.success));
    object.quantity("gasUsed", receipt.gas_used);
    object.quantity("cumulativeGasUsed", receipt.cumulative_gas_used);
    object.quantity_wide("effectiveGasPrice", tx.effective_gas_price(place.block.base_fee()));
    object.quantity("type", u64::from(tx.envelope.ty()));
    if let Some(gas) = tx.envelope.blob_gas_used() {
        object.quantity("blobGasUsed", gas);
        object.quantity_wide("blobGasPrice", U256::from(place.block.blob_price()));
    }
    bloom(&mut object, &receipt.bloom());
    json::array(object.name("logs"), receipt.logs.iter().enumerate(), |out, (position, entry)| {
        log(out, place, position, entry);
    });
    object.end();
}

/// The log at `position` among those of its transaction.
pub(super) fn log(out: &mut Vec<u8>, place: Place<'_>, position: usize, log: &Log) {
    let mut object = Object::begin(out);
    object.data("address", log.address);
    json::array(object.name("topics"), log.topics(), |out, topic| json::data(out, topic.as_slice()));
    object.data("data", &log.data.data);
    place.write(&mut object);
    object.data("transactionHash", place.tx().hash);
    object.quantity("blockTimestamp", place.block.header.timestamp);
    object.quantity("logIndex", place.receipt().first_log + position as u64);
    object.raw("removed", "false");
    object.end();
}

/// Logs of a place with their position.
pub(super) fn logs(place: Place<'_>) -> impl Iterator<Item = (usize, &Log)> {
    place.receipt().logs.iter().enumerate()
}

fn bloom(object: &mut Object<'_>, bloom: &Bloom) {
    object.data("logsBloom", bloom);
}

/// A 32-byte word.
pub(super) fn word(out: &mut Vec<u8>, value: U256) {
    json::data(out, &value.to_be_bytes::<32>());
}
