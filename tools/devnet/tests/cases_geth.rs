//! The cases against a real geth. Fails when there is none.
//!
//! geth has no method that sets a balance and none that mines. Blocks come by `testing_commitBlockV1`; an account gets its balance by a
//! transfer that goes into a block of its own past the pool, and loses it when the chain is set back to before that block.

use std::{
    thread,
    time::{Duration, Instant},
};

use alloy::{
    consensus::TxEip1559,
    hex,
    primitives::{Address, TxKind, U256},
    signers::local::PrivateKeySigner,
};
use devnet::{Config, accounts};
use nodes::geth::{self, Blocks};
use serde_json::{Value, json};

mod cases;

use cases::{
    CHAIN_ID, Commands, GAS_LIMIT, GETH_DIFFERS, World,
    kit::{ANSWER_MAX, Client, GWEI, number, sign, transfer},
};

/// How often to ask whether the pool has followed the chain, which it does a moment after the block is there and without a sign.
const POLL: Duration = Duration::from_millis(2);

/// geth's commands, with a rich account that pays.
struct Geth {
    bank: PrivateKeySigner,
}

impl Commands for Geth {
    fn mine(&self, client: &Client) {
        commit(client, &Value::Null);
        let mined = client.ask("eth_getBlockByNumber", json!(["latest", false]))["transactions"].clone();
        let mined: Vec<&str> = mined.as_array().expect("hashes").iter().filter_map(Value::as_str).collect();
        wait_until("the pool lets go of what is mined", || {
            let pool = client.ask("txpool_content", json!([])).to_string();
            !mined.iter().any(|hash| pool.contains(hash))
        });
    }

    fn set_balance(&self, client: &Client, address: Address, wei: U256) {
        if balance(client, address, client.head()) > wei {
            let mut before = client.head();
            while !balance(client, address, before).is_zero() {
                before -= 1;
            }
            client.ask("debug_setHead", json!([format!("{before:#x}")]));
            self.wait_for_pool(client);
        }
        let missing = wei - balance(client, address, client.head());
        let nonce = client.nonce(self.bank.address(), "latest");
        let fees = TxEip1559 { max_fee_per_gas: 100 * GWEI, ..transfer(CHAIN_ID, nonce) };
        let raw = sign(&self.bank, TxEip1559 { to: TxKind::Call(address), value: missing, ..fees });
        commit(client, &json!([hex::encode_prefixed(raw)]));
        self.wait_for_pool(client);
        assert_eq!(balance(client, address, client.head()), wei);
    }
}

impl Geth {
    /// The bank never sends through the pool, so that the nonce the pool gives it is that of the block the pool stands on.
    fn wait_for_pool(&self, client: &Client) {
        let bank = self.bank.address();
        wait_until("the pool follows the chain", || client.nonce(bank, "pending") == client.nonce(bank, "latest"));
    }
}

/// Makes a block of these transactions, or of the pool's.
fn commit(client: &Client, transactions: &Value) {
    let head = client.ask("eth_getBlockByNumber", json!(["latest", false]));
    let zero = format!("0x{}", "0".repeat(64));
    let attributes = json!({
        "timestamp": format!("{:#x}", number(&head["timestamp"]) + 1), "prevRandao": zero, "parentBeaconBlockRoot": zero,
        "suggestedFeeRecipient": Address::repeat_byte(0xfe), "withdrawals": [],
    });
    client.ask("testing_commitBlockV1", json!([attributes, transactions, null]));
}

fn balance(client: &Client, address: Address, block: u64) -> U256 {
    let text = client.ask("eth_getBalance", json!([address, format!("{block:#x}")]));
    text.as_str().and_then(|text| text.parse().ok()).expect("a balance")
}

fn wait_until(what: &str, reached: impl Fn() -> bool) {
    let start = Instant::now();
    while !reached() {
        assert!(start.elapsed() < ANSWER_MAX, "waited in vain until {what}");
        thread::sleep(POLL);
    }
}

#[test]
fn every_case_shows_what_the_table_says() {
    let config = geth::Config { blocks: Blocks::OnDemand, gas_limit: GAS_LIMIT, ..geth::Config::default() };
    let node = geth::start(&config).unwrap_or_else(|error| panic!("{error}"));
    let bank = accounts::derive(&Config::default().mnemonic, 10).expect("the test phrase").swap_remove(9);
    let world = World { client: Client::new(&node.url()), commands: Box::new(Geth { bank }) };
    cases::run(&world, |case| GETH_DIFFERS.iter().find(|(name, _)| *name == case.name).map_or(case.devnet, |(_, seen)| *seen));
}

#[test]
fn the_accounts_of_foreign_nodes_are_those_of_the_test_mnemonic() {
    let derived = accounts::derive(&Config::default().mnemonic, 10).expect("the test phrase");
    let derived: Vec<String> = derived.iter().map(|signer| format!("{:#x}", signer.address())).collect();
    assert_eq!(derived, nodes::ACCOUNTS);
    assert_eq!(accounts::TEST_MNEMONIC, nodes::MNEMONIC);
}
