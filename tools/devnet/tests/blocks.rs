//! Blocks and receipts are what other libraries expect: they decode, and hashes and roots can be checked.

use std::time::Duration;

use alloy::{
    consensus::{Header, TxLegacy, proofs::ordered_trie_root_encoded},
    eips::{BlockNumberOrTag, Encodable2718},
    hex,
    primitives::{Address, B256, Bloom, Bytes, TxKind, U256},
    rpc::types::{Block, FeeHistory, Log, Transaction, TransactionReceipt},
};
use devnet::{Config, Handle, accounts};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

mod kit;

use kit::{Client, GWEI, sign, transfer};

const CHAIN_ID: u64 = 31_337;
/// Deploys a contract without code and emits a log without topics on the way: PUSH1 0, PUSH1 0, LOG0.
const LOGGING_INIT_CODE: &[u8] = &hex!("60006000a0");

fn decoded<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error} in {value}"))
}

/// A chain with one block of a transfer, a legacy transfer and a deployment, and their encodings in the block's order.
fn chain_with_block() -> (Handle, Client, Vec<Vec<u8>>) {
    let node = devnet::start(Config { block_time: Duration::ZERO, ..Config::default() }).expect("a free port");
    let client = Client::new(&node.url());
    let signer = &accounts::derive(&Config::default().mnemonic, 1).expect("the test phrase")[0];
    let legacy = TxLegacy {
        chain_id: Some(CHAIN_ID),
        nonce: 1,
        gas_price: 5 * GWEI,
        gas_limit: 21_000,
        to: TxKind::Call(Address::ZERO),
        ..TxLegacy::default()
    };
    let mut deployment = transfer(CHAIN_ID, 2);
    (deployment.to, deployment.gas_limit, deployment.value) = (TxKind::Create, 100_000, U256::ZERO);
    deployment.input = Bytes::from_static(LOGGING_INIT_CODE);
    let raws = vec![sign(signer, transfer(CHAIN_ID, 0)), sign(signer, legacy), sign(signer, deployment)];
    for raw in &raws {
        client.send(raw).expect("accepted");
    }
    client.ask("devnet_mine", json!([]));
    (node, client, raws)
}

#[test]
fn a_header_hashes_to_its_hash_and_the_body_to_its_roots() {
    let (_node, client, raws) = chain_with_block();
    let block = client.ask("eth_getBlockByNumber", json!(["latest", false]));
    let header: Header = decoded(&block);
    assert_eq!(header.hash_slow(), decoded::<B256>(&block["hash"]));
    assert_eq!(header.transactions_root, ordered_trie_root_encoded(&raws));

    let receipts: Vec<TransactionReceipt> = decoded(&client.ask("eth_getBlockReceipts", json!(["latest"])));
    let encoded: Vec<_> = receipts.iter().map(|receipt| receipt.inner.clone().map_logs(|log| log.inner).encoded_2718()).collect();
    assert_eq!(header.receipts_root, ordered_trie_root_encoded(&encoded));
    let bloom = receipts.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.inner.logs_bloom());
    assert!(!bloom.is_zero());
    assert_eq!(header.logs_bloom, bloom);
    assert_eq!(header.gas_used, receipts.iter().map(|receipt| receipt.gas_used).sum::<u64>());
}

#[test]
fn a_block_has_the_size_of_its_encoding() {
    let (_node, client, _) = chain_with_block();
    let full = client.ask("eth_getBlockByNumber", json!(["latest", true]));
    let size = kit::number(&full["size"]);
    let block: Block = decoded(&full);
    let block = block.into_consensus().map_transactions(|tx| tx.inner.into_inner());
    assert_eq!(size, alloy::rlp::encode(&block).len() as u64);
}

#[test]
fn every_answer_decodes_with_the_types_of_alloy() {
    let (_node, client, raws) = chain_with_block();
    let block: Block = decoded(&client.ask("eth_getBlockByNumber", json!([BlockNumberOrTag::Latest, true])));
    let encoded: Vec<_> = block.transactions.txns().map(|tx| tx.inner.encoded_2718()).collect();
    assert_eq!(encoded, raws, "the transactions come back as they were sent");
    for tx in block.transactions.txns() {
        let hash = *tx.inner.tx_hash();
        let single: Transaction = decoded(&client.ask("eth_getTransactionByHash", json!([hash])));
        assert_eq!(single.block_hash, Some(block.header.hash));
        let receipt: TransactionReceipt = decoded(&client.receipt(hash));
        assert_eq!(receipt.from, tx.inner.signer());
    }
    let logs: Vec<Log> = decoded(&client.ask("eth_getLogs", json!([{"blockHash": block.header.hash}])));
    assert_eq!((logs.len(), logs[0].transaction_index), (1, Some(2)));
    let history: FeeHistory = decoded(&client.ask("eth_feeHistory", json!(["0x2", "latest", [10.0, 90.0]])));
    assert_eq!(history.reward.map(|rewards| rewards.len()), Some(2));
}
