//! Faults on request: each does what it says, once, and nothing else.

use std::{thread, time::Duration};

use alloy::{
    consensus::TxEip1559,
    primitives::{B256, U256},
};
use devnet::{Config, Handle, accounts};
use hyper::StatusCode;
use serde_json::{Value, json};

mod kit;

use kit::{Client, number, sign, signer, transfer};

/// How often to look whether another thread's request took effect.
const POLL: Duration = Duration::from_millis(5);

/// A chain that seals only on request.
fn chain(config: Config) -> (Handle, Client) {
    let node = devnet::start(Config { block_time: Duration::ZERO, ..config }).expect("a free port");
    let client = Client::new(&node.url());
    (node, client)
}

/// A transfer of the first dev account.
fn raw(nonce: u64) -> Vec<u8> {
    let signer = &accounts::derive(&Config::default().mnemonic, 1).expect("the test phrase")[0];
    sign(signer, transfer(31_337, nonce))
}

fn send(client: &Client, nonce: u64) -> B256 {
    client.send(&raw(nonce)).expect("the transaction is accepted")
}

fn block(client: &Client, id: &str) -> Value {
    client.ask("eth_getBlockByNumber", json!([id, false]))
}

#[test]
fn a_reorg_gives_transactions_back_and_they_are_mined_again_in_other_blocks() {
    let (_node, client) = chain(Config::default());
    let hash = send(&client, 0);
    client.ask("devnet_mine", json!([3]));
    let old = block(&client, "0x1");
    client.ask("devnet_reorg", json!([{"depth": 3}]));

    assert_eq!(client.head(), 3);
    let new = block(&client, "0x1");
    assert_ne!(old["hash"], new["hash"]);
    assert_eq!(new["transactions"], json!([]));
    assert!(client.receipt(hash).is_null());
    assert_eq!(client.ask("eth_getBlockByHash", json!([old["hash"], false])), old, "orphans can be had by hash");
    let pooled = client.ask("eth_getTransactionByHash", json!([hash]));
    assert!(pooled.is_object() && pooled["blockHash"].is_null());

    client.ask("devnet_mine", json!([]));
    assert_eq!(number(&client.receipt(hash)["blockNumber"]), 4);
}

#[test]
fn a_reorg_without_requeue_loses_transactions_and_what_depends_on_them_waits() {
    let (_node, client) = chain(Config::default());
    send(&client, 0);
    client.ask("devnet_mine", json!([]));
    send(&client, 1);
    client.ask("devnet_reorg", json!([{"depth": 1, "length": 2, "requeue": false, "include": true}]));

    assert_eq!(client.head(), 2);
    let address = client.ask("eth_accounts", json!([]))[0].as_str().and_then(|text| text.parse().ok()).expect("one");
    assert_eq!((client.nonce(address, "latest"), client.nonce(address, "pending")), (0, 0));
    assert_eq!(client.ask("txpool_status", json!([])), json!({"pending": "0x0", "queued": "0x1"}));
}

#[test]
fn a_reorg_deeper_than_the_chain_is_refused() {
    let (_node, client) = chain(Config::default());
    client.ask("devnet_mine", json!([2]));
    let error = client.call("devnet_reorg", json!([{"depth": 3}])).expect_err("the genesis stays");
    assert_eq!((error.code, error.message.as_str()), (-32_602, "a reorg of 3 blocks is not possible: 1 to 2 are"));
}

#[test]
fn a_dropped_transaction_is_gone_and_later_ones_are_queued() {
    let (_node, client) = chain(Config::default());
    let hashes: Vec<_> = (0..3).map(|nonce| send(&client, nonce)).collect();
    assert_eq!(client.ask("devnet_dropTransaction", json!([hashes[1]])), json!(true));
    assert_eq!(client.ask("devnet_dropTransaction", json!([hashes[1]])), json!(false));
    assert_eq!(client.ask("txpool_status", json!([])), json!({"pending": "0x1", "queued": "0x1"}));
    client.ask("devnet_mine", json!([]));
    let mined: Vec<_> = hashes.iter().map(|hash| !client.receipt(*hash).is_null()).collect();
    assert_eq!(mined, [true, false, false]);
}

#[test]
fn a_reply_cut_before_has_no_effect_and_one_cut_after_has() {
    let (_node, client) = chain(Config::default());
    for (when, pending) in [("before", "0x0"), ("after", "0x1")] {
        client.ask("devnet_addFault", json!([{"method": "eth_sendRawTransaction", "action": "cut", "when": when}]));
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction",
            "params": [alloy::hex::encode_prefixed(raw(0))]});
        assert!(client.post(&call.to_string()).is_err(), "there is no reply");
        assert_eq!(client.ask("txpool_status", json!([]))["pending"], pending);
    }
    let again = client.send(&raw(0)).expect_err("the lost reply was to a transaction that is there");
    assert_eq!(again.message, "already known");
}

#[test]
fn a_held_reply_comes_when_it_is_released_and_its_request_took_effect_at_once() {
    let (node, client) = chain(Config::default());
    client.ask("devnet_addFault", json!([{"method": "eth_sendRawTransaction", "action": "hold", "when": "after"}]));
    let url = node.url();
    let held = thread::spawn(move || Client::new(&url).send(&raw(0)));
    while client.ask("txpool_status", json!([]))["pending"] == "0x0" {
        thread::sleep(POLL);
    }
    assert!(!held.is_finished());
    client.ask("devnet_releaseHeld", json!([]));
    assert!(held.join().expect("no panic").is_ok());
}

#[test]
fn a_reply_held_for_a_time_takes_that_time() {
    let (_node, client) = chain(Config::default());
    client.ask("devnet_addFault", json!([{"method": "eth_chainId", "action": "hold", "holdMs": 200}]));
    let start = std::time::Instant::now();
    client.ask("eth_chainId", json!([]));
    assert!(start.elapsed() >= Duration::from_millis(200));
}

#[test]
fn too_many_requests_says_when_to_come_back_and_has_no_effect() {
    let (_node, client) = chain(Config::default());
    client.ask("devnet_addFault", json!([{"method": "*", "action": "tooManyRequests", "retryAfter": 7, "count": 2}]));
    let batch = json!([{"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction",
        "params": [alloy::hex::encode_prefixed(raw(0))]}]);
    for _ in 0..2 {
        let response = client.post(&batch.to_string()).expect("a response");
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], "7");
    }
    assert_eq!(client.ask("txpool_status", json!([]))["pending"], "0x0");
}

#[test]
fn cleared_faults_strike_nobody() {
    let (_node, client) = chain(Config::default());
    client.ask("devnet_addFault", json!([{"method": "*", "action": "cut", "count": 100}]));
    assert_eq!(client.ask("devnet_clearFaults", json!([])), "0x1");
    assert_eq!(client.head(), 0);
}

#[test]
fn a_wrong_fault_is_refused() {
    let (_node, client) = chain(Config::default());
    let error = client.call("devnet_addFault", json!([{"method": "*", "action": "explode"}])).expect_err("no such action");
    assert_eq!(error.code, -32_602);
}

#[test]
fn lagging_receipts_come_blocks_later() {
    let (_node, client) = chain(Config::default());
    client.ask("devnet_setReceiptLag", json!([2]));
    let hash = send(&client, 0);
    let seen: Vec<_> = (0..3)
        .map(|_| {
            client.ask("devnet_mine", json!([]));
            (client.receipt(hash).is_null(), client.ask("eth_getBlockReceipts", json!(["0x1"])).is_null())
        })
        .collect();
    assert_eq!(seen, [(true, true), (true, true), (false, false)]);
}

#[test]
fn base_fees_step_as_asked_and_then_follow_the_rule() {
    let (_node, client) = chain(Config::default());
    client.ask("devnet_setNextBaseFees", json!([["0x77359400", 8_000_000_000_u64]]));
    client.ask("devnet_mine", json!([3]));
    let fees: Vec<_> = ["0x1", "0x2", "0x3"].map(|id| number(&block(&client, id)["baseFeePerGas"])).into();
    assert_eq!(fees, [2_000_000_000, 8_000_000_000, 7_000_000_000], "an empty block lowers the fee by an eighth");
}

#[test]
fn a_transaction_below_the_base_fee_waits_until_the_fee_falls() {
    let (_node, client) = chain(Config::default());
    client.ask("devnet_setNextBaseFees", json!([[1_000_000_000_000_u64, 1_000_000_000]]));
    let hash = send(&client, 0);
    client.ask("devnet_mine", json!([]));
    assert!(client.receipt(hash).is_null());
    client.ask("devnet_mine", json!([]));
    assert_eq!(number(&client.receipt(hash)["blockNumber"]), 2);
}

#[test]
fn a_node_that_takes_no_batches_says_so() {
    let (_node, client) = chain(Config::default());
    client.ask("devnet_setMaxBatch", json!([1]));
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []});
    assert_eq!(client.exchange(&json!([call, call]))["error"], json!({"code": -32_600, "message": "batch too large"}));
    assert_eq!(client.exchange(&json!([call]))[0]["result"], "0x7a69");
}

#[test]
fn a_balance_set_by_request_holds_until_a_reorg_takes_it_back() {
    let (_node, client) = chain(Config::default());
    let address = signer("somebody").address();
    client.ask("devnet_mine", json!([]));
    client.ask("devnet_setBalance", json!([address, "0x5"]));
    client.ask("devnet_mine", json!([]));
    let balance = |id: &str| client.ask("eth_getBalance", json!([address, id]));
    assert_eq!((balance("latest"), balance("0x1"), balance("0x2")), (json!("0x5"), json!("0x0"), json!("0x5")));
    client.ask("devnet_reorg", json!([{"depth": 1}]));
    assert_eq!(balance("latest"), "0x0");
}

#[test]
fn an_account_over_its_queue_limit_loses_its_highest_nonces_silently() {
    let (_node, client) = chain(Config { account_queue: 2, ..Config::default() });
    let hashes: Vec<_> = [1, 2, 3].map(|nonce| send(&client, nonce)).into();
    assert_eq!(client.ask("txpool_status", json!([])), json!({"pending": "0x0", "queued": "0x2"}));
    assert!(client.ask("eth_getTransactionByHash", json!([hashes[2]])).is_null());
}

#[test]
fn a_pool_over_its_limit_cuts_the_busiest_account_to_its_slots() {
    let (_node, client) = chain(Config { account_slots: 2, global_slots: 4, ..Config::default() });
    let modest = signer("modest");
    client.ask("devnet_setBalance", json!([modest.address(), U256::from(10).pow(U256::from(20))]));
    for nonce in 0..2 {
        client.send(&sign(&modest, transfer(31_337, nonce))).expect("accepted");
    }
    for nonce in 0..6 {
        send(&client, nonce);
    }
    let content = client.ask("txpool_contentFrom", json!([modest.address()]));
    assert_eq!(content["pending"].as_object().map(|txs| txs.len()), Some(2), "who is within his slots loses nothing");
    assert_eq!(client.ask("txpool_status", json!([]))["pending"], "0x4");
}

#[test]
fn history_is_bounded_and_what_is_forgotten_is_null() {
    let (_node, client) = chain(Config { history_blocks: 2, state_history_blocks: 1, ..Config::default() });
    let hash = send(&client, 0);
    client.ask("devnet_mine", json!([3]));
    assert!(block(&client, "0x1").is_null());
    assert!(client.receipt(hash).is_null());
    let earliest = block(&client, "earliest");
    assert_eq!(earliest["number"], "0x2");
    let address = signer("anybody").address();
    let error = client.call("eth_getBalance", json!([address, "0x1"])).expect_err("its state is gone");
    assert_eq!(error.message, "header not found");
}

#[test]
fn a_full_block_leaves_the_rest_for_the_next() {
    let (_node, client) = chain(Config { gas_limit: 50_000, ..Config::default() });
    let hashes: Vec<_> = (0..3).map(|nonce| send(&client, nonce)).collect();
    client.ask("devnet_mine", json!([2]));
    let blocks: Vec<_> = hashes.iter().map(|hash| number(&client.receipt(*hash)["blockNumber"])).collect();
    assert_eq!(blocks, [1, 1, 2]);
    let fees = ["0x1", "0x2"].map(|id| number(&block(&client, id)["baseFeePerGas"]));
    assert!(fees[1] > fees[0], "a block more than half full raises the base fee");
}

#[test]
fn fee_history_tells_fees_fullness_and_tips() {
    let (_node, client) = chain(Config { gas_limit: 42_000, ..Config::default() });
    let signer = &accounts::derive(&Config::default().mnemonic, 1).expect("the test phrase")[0];
    let tx = TxEip1559 { max_priority_fee_per_gas: 3 * kit::GWEI, ..transfer(31_337, 0) };
    client.send(&sign(signer, tx)).expect("accepted");
    client.ask("devnet_mine", json!([]));
    let history = client.ask("eth_feeHistory", json!(["0x1", "latest", [50.0]]));
    assert_eq!(history["oldestBlock"], "0x1");
    assert_eq!(history["gasUsedRatio"], json!([0.5]));
    assert_eq!(history["reward"], json!([["0xb2d05e00"]]));
    assert_eq!(history["baseFeePerGas"].as_array().map(Vec::len), Some(2));
    assert_eq!(client.ask("eth_maxPriorityFeePerGas", json!([])), "0xb2d05e00");
}

#[test]
fn the_chain_lies_about_nonces_and_receipts_as_a_proxy_does() {
    let (_node, client) = chain(Config::default());
    for nonce in 0..2 {
        send(&client, nonce);
    }
    client.ask("devnet_mine", json!([]));
    let address = accounts::derive(&Config::default().mnemonic, 1).expect("the test phrase")[0].address();
    client.ask("devnet_skewNonces", json!([-1, 1]));
    assert_eq!([client.nonce(address, "latest"), client.nonce(address, "latest")], [1, 2]);
    client.ask("devnet_shortenReceipts", json!([1]));
    let receipts = || client.ask("eth_getBlockReceipts", json!(["0x1"])).as_array().map(Vec::len);
    assert_eq!([receipts(), receipts()], [Some(1), Some(2)]);
    client.ask("devnet_setReceiptLag", json!([1, 1]));
    assert_eq!([receipts(), receipts()], [None, Some(2)]);
}

#[test]
fn a_refused_transaction_never_comes_to_the_pool_and_its_sender_alone_is_refused() {
    let (_node, client) = chain(Config::default());
    let signers = accounts::derive(&Config::default().mnemonic, 2).expect("the test phrase");
    let refusal = json!({"method": "*", "code": -32_050, "message": "no", "count": 2, "from": signers[0].address()});
    assert_eq!(client.ask("devnet_fail", json!([refusal])), "0x0");
    for _ in 0..2 {
        let error = client.send(&raw(0)).expect_err("it is refused");
        assert_eq!((error.code, error.message.as_str()), (-32_050, "no"));
        assert_eq!(client.ask("txpool_status", json!([]))["pending"], "0x0");
    }
    assert!(client.send(&sign(&signers[1], transfer(31_337, 0))).is_ok());
    assert!(client.send(&raw(0)).is_ok());
    assert_eq!(client.ask("devnet_status", json!([]))["callsByMethod"]["eth_sendRawTransaction"], "0x4");
}
