//! Cases of admission, replacement, gaps, limits and order.

use alloy::{
    consensus::{TxEip1559, TxEip4844, TxEip7702, TxLegacy},
    eips::eip2930::AccessList,
    primitives::{Address, B256, Bytes, TxKind, U256},
};
use serde_json::json;

use super::{
    Anvil::{Differs, Same},
    CHAIN_ID, Case, GAS_LIMIT, World,
    kit::{GWEI, number, sign, transfer},
    lower, verdict,
};

/// A transfer with other fees, in gwei.
fn priced(nonce: u64, cap: u128, tip: u128) -> TxEip1559 {
    TxEip1559 { max_fee_per_gas: cap * GWEI, max_priority_fee_per_gas: tip * GWEI, ..transfer(CHAIN_ID, nonce) }
}

/// Sends a transfer at 100 and 10 gwei, then a replacement, and says what became of both.
fn replacement(world: &World, name: &str, cap: u128, tip: u128) -> String {
    let signer = world.rich(name);
    let first = world.accepted(&signer, priced(0, 100, 10));
    let second = TxEip1559 { value: U256::from(2), ..priced(0, cap, tip) };
    let verdict = verdict(world.client.send(&sign(&signer, second)));
    let known = !world.client.ask("eth_getTransactionByHash", json!([first])).is_null();
    world.mine();
    format!("{verdict}; the first is {}", if known { "still there" } else { "gone" })
}

/// Says what the node thinks of one transaction from a rich account.
fn refusal(world: &World, name: &str, change: impl FnOnce(&mut TxEip1559)) -> String {
    let signer = world.rich(name);
    let mut tx = transfer(CHAIN_ID, 0);
    change(&mut tx);
    let verdict = verdict(world.client.send(&sign(&signer, tx)));
    world.mine();
    verdict
}

pub(super) fn cases() -> Vec<Case> {
    [admission(), replacements(), gaps(), funds(), shapes()].into_iter().flatten().collect()
}

fn admission() -> Vec<Case> {
    vec![
        Case {
            name: "a pending duplicate is already known",
            run: |world| {
                let raw = sign(&world.rich("duplicate"), transfer(CHAIN_ID, 0));
                world.client.send(&raw).expect("the first is accepted");
                let verdict = verdict(world.client.send(&raw));
                world.mine();
                verdict
            },
            devnet: "-32000 already known",
            anvil: Differs("-32003 transaction already imported"),
        },
        Case {
            name: "a mined duplicate has a nonce too low",
            run: |world| {
                let raw = sign(&world.rich("mined duplicate"), transfer(CHAIN_ID, 0));
                world.client.send(&raw).expect("the first is accepted");
                world.mine();
                verdict(world.client.send(&raw))
            },
            devnet: "-32000 nonce too low: next nonce 1, tx nonce 0",
            anvil: Differs("-32003 nonce too low"),
        },
        Case {
            name: "another transaction at a mined nonce has a nonce too low",
            run: |world| {
                let signer = world.rich("old nonce");
                world.accepted(&signer, transfer(CHAIN_ID, 0));
                world.mine();
                verdict(world.client.send(&sign(&signer, priced(0, 200, 20))))
            },
            devnet: "-32000 nonce too low: next nonce 1, tx nonce 0",
            anvil: Differs("-32003 nonce too low"),
        },
        Case {
            name: "a transaction of another chain is refused",
            run: |world| refusal(world, "other chain", |tx| tx.chain_id = 5),
            devnet: "-32000 invalid sender: invalid chain id for signer: have 5 want 31337",
            anvil: Differs("-32003 invalid chain id for signer"),
        },
        Case {
            name: "a legacy transaction without a chain id is refused",
            run: |world| {
                let tx = TxLegacy { gas_price: 100 * GWEI, gas_limit: 21_000, to: TxKind::Call(Address::ZERO), ..TxLegacy::default() };
                let verdict = verdict(world.client.send(&sign(&world.rich("unprotected"), tx)));
                world.mine();
                verdict
            },
            devnet: "-32000 only replay-protected (EIP-155) transactions allowed over RPC",
            anvil: Differs("ok"),
        },
        Case {
            name: "a tip above the fee cap is refused",
            run: |world| refusal(world, "tip above cap", |tx| tx.max_priority_fee_per_gas = 101 * GWEI),
            devnet: "-32000 max priority fee per gas higher than max fee per gas",
            anvil: Differs("-32003 max priority fee per gas higher than max fee per gas"),
        },
        Case {
            name: "no tip at all is below the pool's minimum",
            run: |world| refusal(world, "no tip", |tx| tx.max_priority_fee_per_gas = 0),
            devnet: "-32000 transaction gas price below minimum: gas tip cap 0, minimum needed 1",
            anvil: Differs("ok"),
        },
        Case {
            name: "a fee cap below the base fee waits in the pool",
            run: |world| {
                let signer = world.rich("low cap");
                let cap = world.base_fee() / 2;
                let tx = TxEip1559 { max_fee_per_gas: cap, max_priority_fee_per_gas: 1, ..transfer(CHAIN_ID, 0) };
                let sent = world.client.send(&sign(&signer, tx));
                let hash = sent.clone().unwrap_or_default();
                world.mine();
                let known = !world.client.ask("eth_getTransactionByHash", json!([hash])).is_null();
                format!("{}; known: {known}; mined: {}", verdict(sent), world.is_mined(hash))
            },
            devnet: "ok; known: true; mined: false",
            anvil: Differs("-32003 max fee per gas less than block base fee; known: false; mined: false"),
        },
    ]
}

fn replacements() -> Vec<Case> {
    vec![
        Case {
            name: "a replacement with the same fees is underpriced",
            run: |world| replacement(world, "same fees", 100, 10),
            devnet: "-32000 replacement transaction underpriced; the first is still there",
            anvil: Differs("-32003 replacement transaction underpriced; the first is still there"),
        },
        Case {
            name: "a replacement with 9 % more is underpriced",
            run: |world| {
                let signer = world.rich("nine percent");
                world.accepted(&signer, priced(0, 100, 100));
                let verdict = verdict(world.client.send(&sign(&signer, priced(0, 109, 109))));
                world.mine();
                verdict
            },
            devnet: "-32000 replacement transaction underpriced",
            anvil: Differs("ok"),
        },
        Case {
            name: "a replacement with 10 % more of both fees is taken",
            run: |world| replacement(world, "ten percent", 110, 11),
            devnet: "ok; the first is gone",
            anvil: Same,
        },
        Case {
            name: "a replacement with a higher tip alone is underpriced",
            run: |world| replacement(world, "tip alone", 100, 20),
            devnet: "-32000 replacement transaction underpriced; the first is still there",
            anvil: Differs("-32003 replacement transaction underpriced; the first is still there"),
        },
        Case {
            name: "a replacement with a higher cap alone is underpriced",
            run: |world| replacement(world, "cap alone", 200, 10),
            devnet: "-32000 replacement transaction underpriced; the first is still there",
            anvil: Differs("ok; the first is gone"),
        },
        Case {
            name: "only the replacement is mined",
            run: |world| {
                let signer = world.rich("one nonce once");
                let first = world.accepted(&signer, priced(0, 100, 10));
                let second = world.accepted(&signer, priced(0, 110, 11));
                world.mine();
                world.mine();
                let nonce = world.client.nonce(signer.address(), "latest");
                format!("first: {}, second: {}, nonce {nonce}", world.is_mined(first), world.is_mined(second))
            },
            devnet: "first: false, second: true, nonce 1",
            anvil: Same,
        },
    ]
}

fn gaps() -> Vec<Case> {
    vec![
        Case {
            name: "a transaction behind a gap is queued and not mined",
            run: |world| {
                let signer = world.rich("gap");
                let hash = world.accepted(&signer, transfer(CHAIN_ID, 1));
                world.mine();
                let content = world.client.ask("txpool_content", json!([]));
                // Nodes differ in the case of the addresses.
                let mut senders = content["queued"].as_object().expect("an object").iter();
                let own = senders.find(|(address, _)| address.eq_ignore_ascii_case(&lower(signer.address())));
                let queued = own.is_some_and(|(_, txs)| txs["1"].is_object());
                let pending = world.client.nonce(signer.address(), "pending");
                format!("queued: {queued}; mined: {}; pending nonce {pending}", world.is_mined(hash))
            },
            devnet: "queued: true; mined: false; pending nonce 0",
            anvil: Same,
        },
        Case {
            name: "filling the gap mines all in one block",
            run: |world| {
                let signer = world.rich("filled gap");
                let hashes: Vec<B256> = [2, 1, 0].map(|nonce| world.accepted(&signer, transfer(CHAIN_ID, nonce))).into();
                world.mine();
                let blocks: Vec<_> = hashes.iter().map(|hash| world.client.receipt(*hash)["blockNumber"].clone()).collect();
                format!("mined: {}; one block: {}", !blocks[0].is_null(), blocks.iter().all(|block| *block == blocks[0]))
            },
            devnet: "mined: true; one block: true",
            anvil: Same,
        },
        Case {
            name: "the pending nonce counts what is executable",
            run: |world| {
                let signer = world.rich("pending nonce");
                for nonce in [0, 1, 3] {
                    world.accepted(&signer, transfer(CHAIN_ID, nonce));
                }
                let (latest, pending) = (world.client.nonce(signer.address(), "latest"), world.client.nonce(signer.address(), "pending"));
                world.mine();
                format!("latest {latest}, pending {pending}, then {}", world.client.nonce(signer.address(), "latest"))
            },
            devnet: "latest 0, pending 2, then 2",
            anvil: Same,
        },
        Case {
            name: "the calls of a batch run in order",
            run: |world| {
                let signer = world.rich("batch");
                let mut calls: Vec<_> = (0..20)
                    .map(|nonce| {
                        let raw = alloy::hex::encode_prefixed(sign(&signer, transfer(CHAIN_ID, nonce)));
                        json!({"jsonrpc": "2.0", "id": nonce, "method": "eth_sendRawTransaction", "params": [raw]})
                    })
                    .collect();
                let count = json!([signer.address(), "pending"]);
                calls.push(json!({"jsonrpc": "2.0", "id": 20, "method": "eth_getTransactionCount", "params": count}));
                let replies = world.client.exchange(&calls.into());
                let ids: Vec<_> = (0..=20).map(|at| replies[at]["id"].as_u64()).collect();
                world.mine();
                let nonce = world.client.nonce(signer.address(), "latest");
                format!("ids in order: {}; mined {nonce}", ids == (0..=20).map(Some).collect::<Vec<_>>())
            },
            devnet: "ids in order: true; mined 20",
            anvil: Same,
        },
        Case {
            name: "a higher tip comes first in a block",
            run: |world| {
                let hashes = [("tip low", 1), ("tip high", 30), ("tip middle", 5)]
                    .map(|(name, tip)| world.accepted(&world.rich(name), priced(0, 100, tip)));
                world.mine();
                let [low, high, middle] = hashes.map(|hash| number(&world.client.receipt(hash)["transactionIndex"]));
                format!("low at {low}, high at {high}, middle at {middle}")
            },
            devnet: "low at 2, high at 0, middle at 1",
            anvil: Differs("low at 0, high at 1, middle at 2"),
        },
        Case {
            name: "a sender's own order is by nonce, whatever the tips",
            run: |world| {
                let signer = world.rich("nonce order");
                let first = world.accepted(&signer, priced(0, 100, 1));
                let second = world.accepted(&signer, priced(1, 100, 50));
                world.mine();
                let index = |hash| number(&world.client.receipt(hash)["transactionIndex"]);
                format!("{} then {}", index(first), index(second))
            },
            devnet: "0 then 1",
            anvil: Same,
        },
    ]
}

fn funds() -> Vec<Case> {
    /// Cost of the kit's transfer: one wei and 21,000 gas at 100 gwei.
    const COST: u64 = 21_000 * 100 * 1_000_000_000 + 1;
    vec![
        Case {
            name: "a transaction that its sender cannot pay is refused",
            run: |world| {
                let signer = world.account("poor", U256::from(COST - 1));
                verdict(world.client.send(&sign(&signer, transfer(CHAIN_ID, 0))))
            },
            devnet: "-32000 insufficient funds for gas * price + value: balance 2100000000000000, tx cost 2100000000000001, overshot 1",
            anvil: Differs("-32003 Insufficient funds for gas * price + value"),
        },
        Case {
            name: "transactions that are payable only one by one are refused together",
            run: |world| {
                let signer = world.account("overdraft", U256::from(COST + COST / 2));
                world.accepted(&signer, transfer(CHAIN_ID, 0));
                let verdict = verdict(world.client.send(&sign(&signer, transfer(CHAIN_ID, 1))));
                world.mine();
                verdict
            },
            devnet: "-32000 insufficient funds for gas * price + value: balance 3150000000000001, queued cost 2100000000000001, tx cost 2100000000000001, overshot 1050000000000001",
            anvil: Differs("ok"),
        },
        Case {
            name: "a transaction that can no longer be paid leaves the pool",
            run: |world| {
                let signer = world.account("emptied", U256::from(3 * COST));
                world.accepted(&signer, TxEip1559 { value: U256::from(COST), ..transfer(CHAIN_ID, 0) });
                world.set_balance(signer.address(), U256::from(1));
                world.mine();
                format!(
                    "nonce {}, pending {}",
                    world.client.nonce(signer.address(), "latest"),
                    world.client.nonce(signer.address(), "pending")
                )
            },
            devnet: "nonce 0, pending 0",
            anvil: Same,
        },
    ]
}

fn shapes() -> Vec<Case> {
    vec![
        Case {
            name: "gas below the intrinsic cost is refused",
            run: |world| refusal(world, "little gas", |tx| tx.gas_limit = 20_999),
            devnet: "-32000 intrinsic gas too low: gas 20999, minimum needed 21000",
            anvil: Differs("-32000 intrinsic gas too low"),
        },
        Case {
            name: "gas below the floor of its data is refused",
            run: |world| {
                refusal(world, "floor", |tx| {
                    tx.gas_limit = 40_000;
                    tx.input = Bytes::from(vec![1; 1_000]);
                })
            },
            devnet: "-32000 insufficient gas for floor data gas cost: gas 40000, minimum needed 61000",
            anvil: Differs("ok"),
        },
        Case {
            name: "gas above the block's limit is refused",
            run: |world| refusal(world, "much gas", |tx| tx.gas_limit = GAS_LIMIT + 1),
            devnet: "-32000 exceeds block gas limit",
            anvil: Differs("-32000 intrinsic gas too high -- tx.gas_limit > env.block.gas_limit"),
        },
        Case {
            name: "gas above the protocol's limit of EIP-7825 is refused",
            run: |world| refusal(world, "too much gas", |tx| tx.gas_limit = (1 << 24) + 1),
            devnet: "-32000 transaction gas limit too high (cap: 16777216, tx: 16777217)",
            anvil: Differs("-32000 intrinsic gas too high -- tx.gas_limit > env.block.gas_limit"),
        },
        Case {
            name: "init code above the limit is refused",
            run: |world| {
                refusal(world, "init code", |tx| {
                    tx.to = TxKind::Create;
                    tx.gas_limit = 5_000_000;
                    tx.input = Bytes::from(vec![0; 49_153]);
                })
            },
            devnet: "-32000 max initcode size exceeded: code size 49153 limit 49152",
            anvil: Differs("-32003 max initcode size exceeded"),
        },
        Case {
            name: "bytes that are no transaction are refused",
            run: |world| {
                let code = |raw: &[u8]| world.client.send(raw).map_or_else(|error| error.code, |_| 0);
                format!("cut short {}, unknown type {}, nothing {}", code(&[0x02, 0xc0]), code(&[0x7f, 0xc0]), code(&[]))
            },
            devnet: "cut short -32000, unknown type -32000, nothing -32000",
            anvil: Differs("cut short -32602, unknown type -32602, nothing -32602"),
        },
        Case {
            name: "a blob transaction without its blobs is refused",
            run: |world| {
                let tx = TxEip4844 {
                    chain_id: CHAIN_ID,
                    gas_limit: 21_000,
                    max_fee_per_gas: 100 * GWEI,
                    max_priority_fee_per_gas: GWEI,
                    max_fee_per_blob_gas: GWEI,
                    blob_versioned_hashes: vec![B256::with_last_byte(1)],
                    ..TxEip4844::default()
                };
                verdict(world.client.send(&sign(&world.rich("blobs"), tx)))
            },
            devnet: "-32000 missing sidecar in blob transaction",
            anvil: Differs("-32003 eip4844 tx variant without sidecar being used for verification."),
        },
        Case {
            name: "a set-code transaction without authorizations is refused",
            run: |world| {
                let tx = TxEip7702 {
                    chain_id: CHAIN_ID,
                    gas_limit: 100_000,
                    max_fee_per_gas: 100 * GWEI,
                    max_priority_fee_per_gas: GWEI,
                    access_list: AccessList::default(),
                    ..TxEip7702::default()
                };
                let verdict = verdict(world.client.send(&sign(&world.rich("no authorizations"), tx)));
                world.mine();
                verdict
            },
            devnet: "-32000 set code tx must have at least one authorization tuple",
            anvil: Differs("ok"),
        },
    ]
}
