//! Cases of receipts, logs and contracts.

use alloy::{
    consensus::{TxEip1559, TxEip2930, TxEip7702},
    eips::{
        eip2930::{AccessList, AccessListItem},
        eip7702::Authorization,
    },
    hex,
    primitives::{Address, B256, Bloom, Bytes, TxKind, U256, address},
    signers::{SignerSync, local::PrivateKeySigner},
};
use serde_json::{Value, json};

use super::{
    Anvil::Same,
    CHAIN_ID, Case, World,
    kit::{GWEI, number, sign, transfer},
    lower,
};

/// Deploys a contract whose code is the rest of the init code after these eleven bytes.
fn init_code(runtime: &[u8]) -> Bytes {
    let length = u8::try_from(runtime.len()).expect("the contracts here are short");
    // PUSH1 length, DUP1, PUSH1 11, PUSH1 0, CODECOPY, PUSH1 0, RETURN
    let mut code = vec![0x60, length, 0x80, 0x60, 0x0b, 0x60, 0x00, 0x39, 0x60, 0x00, 0xf3];
    code.extend_from_slice(runtime);
    code.into()
}

/// Puts 32 bytes of ones into memory, then emits LOG2 with them and the topics 1 and 2.
const LOGS: &[u8] = &hex!("6000196000526002600160206000a200");
/// Reverts with the text "no".
const REVERTS: &[u8] = &hex!(
    "7f08c379a00000000000000000000000000000000000000000000000000000000060005260206004526002602452"
    "616e6f60f01b60445260646000fd"
);
/// Loops for ever.
const LOOPS: &[u8] = &hex!("5b600056");

fn deploy(world: &World, name: &str, runtime: &[u8]) -> (PrivateKeySigner, Address, Value) {
    let signer = world.rich(name);
    let tx = TxEip1559 { to: TxKind::Create, value: U256::ZERO, gas_limit: 500_000, input: init_code(runtime), ..transfer(CHAIN_ID, 0) };
    let hash = world.accepted(&signer, tx);
    world.mine();
    let receipt = world.client.receipt(hash);
    let contract = receipt["contractAddress"].as_str().and_then(|text| text.parse().ok()).expect("a contract");
    (signer, contract, receipt)
}

fn call_contract(contract: Address, nonce: u64) -> TxEip1559 {
    TxEip1559 { to: TxKind::Call(contract), value: U256::ZERO, gas_limit: 100_000, ..transfer(CHAIN_ID, nonce) }
}

fn mined(world: &World, signer: &PrivateKeySigner, tx: TxEip1559) -> Value {
    let hash = world.accepted(signer, tx);
    world.mine();
    world.client.receipt(hash)
}

pub(super) fn cases() -> Vec<Case> {
    [transfers(), contracts(), logs(), types()].into_iter().flatten().collect()
}

fn transfers() -> Vec<Case> {
    vec![
        Case {
            name: "a transfer's receipt says what it used and paid",
            run: |world| {
                let receipt = mined(world, &world.rich("receipt"), transfer(CHAIN_ID, 0));
                let paid = u128::from(number(&receipt["effectiveGasPrice"])) == world.base_fee() + GWEI;
                format!(
                    "status {} gas {} type {} contract {} logs {} price right: {paid}",
                    receipt["status"], receipt["gasUsed"], receipt["type"], receipt["contractAddress"], receipt["logs"],
                )
            },
            devnet: r#"status "0x1" gas "0x5208" type "0x2" contract null logs [] price right: true"#,
            anvil: Same,
        },
        Case {
            name: "gas adds up over the receipts of a block",
            run: |world| {
                let hashes = ["sum one", "sum two", "sum three"].map(|name| world.accepted(&world.rich(name), transfer(CHAIN_ID, 0)));
                world.mine();
                let mut sums: Vec<_> = hashes
                    .map(|hash| world.client.receipt(hash))
                    .iter()
                    .map(|receipt| (number(&receipt["transactionIndex"]), number(&receipt["cumulativeGasUsed"])))
                    .collect();
                sums.sort_unstable();
                format!("{sums:?}")
            },
            devnet: "[(0, 21000), (1, 42000), (2, 63000)]",
            anvil: Same,
        },
        Case {
            name: "the sender pays value and gas, the receiver gets the value",
            run: |world| {
                let signer = world.rich("balance");
                let to = Address::repeat_byte(0x77);
                let tx = TxEip1559 { to: TxKind::Call(to), value: U256::from(5), ..transfer(CHAIN_ID, 0) };
                let balance = |address: Address| -> U256 {
                    let text = world.client.ask("eth_getBalance", json!([address, "latest"]));
                    text.as_str().and_then(|text| text.parse().ok()).expect("a balance")
                };
                let before = balance(signer.address());
                let receipt = mined(world, &signer, tx);
                let fee = number(&receipt["gasUsed"]) * number(&receipt["effectiveGasPrice"]);
                format!("{} {}", before - balance(signer.address()) == U256::from(5 + fee), balance(to))
            },
            devnet: "true 5",
            anvil: Same,
        },
        Case {
            name: "what is unknown is null",
            run: |world| {
                let hash = B256::repeat_byte(0xee);
                let methods = ["eth_getTransactionReceipt", "eth_getTransactionByHash", "eth_getBlockReceipts"];
                let mut answers: Vec<Value> = methods.map(|method| world.client.ask(method, json!([hash]))).into();
                answers.push(world.client.ask("eth_getBlockByHash", json!([hash, false])));
                answers.push(world.client.ask("eth_getBlockByNumber", json!(["0xffffff", false])));
                answers.push(world.client.ask("eth_getBlockReceipts", json!(["0xffffff"])));
                Value::from(answers).to_string()
            },
            devnet: "[null,null,null,null,null,null]",
            anvil: Same,
        },
        Case {
            name: "a block's receipts are the same by number, by hash and one by one",
            run: |world| {
                let hashes: Vec<B256> =
                    ["by block one", "by block two"].map(|name| world.accepted(&world.rich(name), transfer(CHAIN_ID, 0))).into();
                world.mine();
                let block = world.client.ask("eth_getBlockByNumber", json!(["latest", false]));
                let by = |id: Value| world.client.ask("eth_getBlockReceipts", json!([id]));
                let all = by(block["number"].clone());
                let same = all == by(block["hash"].clone()) && all == by(json!({"blockHash": block["hash"]}));
                let each = all
                    .as_array()
                    .expect("receipts")
                    .iter()
                    .all(|receipt| hashes.iter().any(|hash| world.client.receipt(*hash) == *receipt));
                format!("same: {same}; each: {each}")
            },
            devnet: "same: true; each: true",
            anvil: Same,
        },
    ]
}

fn contracts() -> Vec<Case> {
    vec![
        Case {
            name: "a deployment's receipt names the contract and its code is there",
            run: |world| {
                let (signer, contract, receipt) = deploy(world, "deploy", LOOPS);
                let code = world.client.ask("eth_getCode", json!([contract, "latest"]));
                format!("{} {} {code}", contract == signer.address().create(0), receipt["to"])
            },
            devnet: r#"true null "0x5b600056""#,
            anvil: Same,
        },
        Case {
            name: "a reverted transaction has status 0 and gives gas back",
            run: |world| {
                let (signer, contract, _) = deploy(world, "revert", REVERTS);
                let receipt = mined(world, &signer, call_contract(contract, 1));
                format!("status {} logs {} all gas: {}", receipt["status"], receipt["logs"], receipt["gasUsed"] == "0x186a0")
            },
            devnet: r#"status "0x0" logs [] all gas: false"#,
            anvil: Same,
        },
        Case {
            name: "a transaction that runs out of gas has status 0 and uses all",
            run: |world| {
                let (signer, contract, _) = deploy(world, "out of gas", LOOPS);
                let receipt = mined(world, &signer, call_contract(contract, 1));
                format!("status {} gas {}", receipt["status"], receipt["gasUsed"])
            },
            devnet: r#"status "0x0" gas "0x186a0""#,
            anvil: Same,
        },
        Case {
            name: "a call that reverts has code 3, the reason and the data",
            run: |world| {
                let (_, contract, _) = deploy(world, "call reverts", REVERTS);
                let error = world.client.call("eth_call", json!([{"to": contract}, "latest"])).expect_err("it reverts");
                format!("{} {} data: {}", error.code, error.message, error.data.is_some_and(|data| data.starts_with("0x08c379a0")))
            },
            devnet: "3 execution reverted: no data: true",
            anvil: Same,
        },
        Case {
            name: "an estimate of a transfer is its cost, one of a revert its error",
            run: |world| {
                let (signer, contract, _) = deploy(world, "estimate", REVERTS);
                let transfer =
                    world.client.ask("eth_estimateGas", json!([{"from": signer.address(), "to": Address::ZERO, "value": "0x1"}]));
                let error =
                    world.client.call("eth_estimateGas", json!([{"from": signer.address(), "to": contract}])).expect_err("it reverts");
                format!("{transfer} {error}")
            },
            devnet: r#""0x5208" 3 execution reverted: no"#,
            anvil: Same,
        },
        Case {
            name: "an estimate has room for an access list, for authorizations and for blobs, and hardly more",
            run: |world| {
                let signer = world.rich("estimate extras");
                let list = json!([{"address": Address::ZERO, "storageKeys": [B256::ZERO]}]);
                let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: Address::repeat_byte(0x42), nonce: 0 };
                let signature = signer.sign_hash_sync(&authorization.signature_hash()).expect("a signature");
                let hash = format!("0x01{}", "11".repeat(31));
                let fits = |field: &str, value: Value, least: u64| {
                    let call = json!({"from": signer.address(), "to": Address::repeat_byte(0x43), "value": "0x1", field: value});
                    let gas = number(&world.client.ask("eth_estimateGas", json!([call])));
                    if gas >= least && gas * 100 <= least * 102 { "yes".to_owned() } else { format!("{gas} for {least}") }
                };
                format!(
                    "access list {} authorization {} blobs {}",
                    fits("accessList", list, 21_000 + 2_400 + 1_900),
                    fits("authorizationList", json!([authorization.into_signed(signature)]), 21_000 + 25_000),
                    fits("blobVersionedHashes", json!([hash]), 21_000),
                )
            },
            devnet: "access list yes authorization yes blobs yes",
            anvil: Same,
        },
    ]
}

fn logs() -> Vec<Case> {
    vec![
        Case {
            name: "a log is in the receipt with its topics, data and place, and in the bloom",
            run: |world| {
                let (signer, contract, _) = deploy(world, "logs", LOGS);
                let receipt = mined(world, &signer, call_contract(contract, 1));
                let log = &receipt["logs"][0];
                let bloom: Bloom = receipt["logsBloom"].as_str().and_then(|text| text.parse().ok()).expect("a bloom");
                let mut expected = Bloom::ZERO;
                expected.accrue_raw_log(contract, &[B256::with_last_byte(1), B256::with_last_byte(2)]);
                format!(
                    "address {} topics {} data {} index {} bloom {}",
                    log["address"] == lower(contract),
                    log["topics"].as_array().map_or(0, Vec::len),
                    log["data"] == format!("0x{}", "ff".repeat(32)),
                    log["logIndex"],
                    bloom == expected,
                )
            },
            devnet: r#"address true topics 2 data true index "0x0" bloom true"#,
            anvil: Same,
        },
        Case {
            name: "logs are found by address and topic, and by no other",
            run: |world| {
                let (signer, contract, _) = deploy(world, "filter", LOGS);
                mined(world, &signer, call_contract(contract, 1));
                let count = |topics: Value| {
                    let filter = json!([{"fromBlock": "earliest", "address": contract, "topics": topics}]);
                    world.client.ask("eth_getLogs", filter).as_array().map_or(0, Vec::len)
                };
                let (one, two) = (B256::with_last_byte(1), B256::with_last_byte(2));
                format!("{} {} {} {}", count(json!([])), count(json!([null, two])), count(json!([[two, one]])), count(json!([two])),)
            },
            devnet: "1 1 1 0",
            anvil: Same,
        },
    ]
}

fn types() -> Vec<Case> {
    vec![
        Case {
            name: "an access list costs what it lists",
            run: |world| {
                let item = AccessListItem { address: Address::repeat_byte(9), storage_keys: vec![B256::ZERO] };
                let tx = TxEip2930 {
                    chain_id: CHAIN_ID,
                    gas_price: 100 * GWEI,
                    gas_limit: 50_000,
                    to: TxKind::Call(Address::repeat_byte(0x42)),
                    access_list: AccessList(vec![item]),
                    ..TxEip2930::default()
                };
                let hash = world.client.send(&sign(&world.rich("access list"), tx)).expect("it is accepted");
                world.mine();
                let receipt = world.client.receipt(hash);
                format!("type {} gas {} price {}", receipt["type"], number(&receipt["gasUsed"]), number(&receipt["effectiveGasPrice"]))
            },
            devnet: r#"type "0x1" gas 25300 price 100000000000"#,
            anvil: Same,
        },
        Case {
            name: "a set-code transaction delegates its authority",
            run: |world| {
                let authority = super::kit::signer("authority");
                let target = address!("0x00000000000000000000000000000000000000aa");
                let authorization = Authorization { chain_id: U256::from(CHAIN_ID), address: target, nonce: 0 };
                let signature = authority.sign_hash_sync(&authorization.signature_hash()).expect("signing succeeds");
                let tx = TxEip7702 {
                    chain_id: CHAIN_ID,
                    gas_limit: 100_000,
                    max_fee_per_gas: 100 * GWEI,
                    max_priority_fee_per_gas: GWEI,
                    authorization_list: vec![authorization.into_signed(signature)],
                    ..TxEip7702::default()
                };
                let hash = world.client.send(&sign(&world.rich("set code"), tx)).expect("it is accepted");
                world.mine();
                let code = world.client.ask("eth_getCode", json!([authority.address(), "latest"]));
                format!("{} {} {code}", world.client.receipt(hash)["type"], world.client.nonce(authority.address(), "latest"))
            },
            devnet: r#""0x4" 1 "0xef010000000000000000000000000000000000000000aa""#,
            anvil: Same,
        },
    ]
}
