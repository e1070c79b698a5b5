//! The tables of refusals against what running nodes say: each is made to refuse, and the engine's reading is compared.
//!
//! A row that the table marks as run must have been said by its client here.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::collections::HashSet;
use std::time::Instant;

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy};
use alloy::eips::Encodable2718;
use alloy::hex;
use alloy::primitives::{Address, Bytes, Signature, TxKind, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::coins_bip39::English;
use alloy::signers::local::{MnemonicBuilder, PrivateKeySigner};
use engine::txmgr::estimate::NoEstimate;
use engine::txmgr::outcome::Reason;
use engine::txmgr::outcome::table::{ROWS, Seen};
use engine::txmgr::outcome::{classify, row};
use serde_json::{Value, json};
use support::LIMIT;
use support::node::{Node, quantity};
use support::world::POLL;

const GWEI: u128 = 1_000_000_000;
/// More than any base fee of a chain that has just begun.
const FEE: u128 = 20 * GWEI;

fn raw<T>(signer: &PrivateKeySigner, tx: T) -> Vec<u8>
where
    T: SignableTransaction<Signature>,
    TxEnvelope: From<alloy::consensus::Signed<T>>,
{
    let signature = signer.sign_hash_sync(&tx.signature_hash()).expect("a signature");
    TxEnvelope::from(tx.into_signed(signature)).encoded_2718()
}

/// A node, a rich key, and what the node has said.
struct Desk {
    client: &'static str,
    node: Node,
    chain_id: u64,
    rich: PrivateKeySigner,
    said: HashSet<&'static str>,
}

impl Desk {
    fn new(client: &'static str, node: Node) -> Self {
        let rich = MnemonicBuilder::<English>::default().phrase(nodes::MNEMONIC).build().expect("the nodes' mnemonic");
        let chain_id = quantity(&node.ask("eth_chainId", &json!([])));
        Self { client, node, chain_id, rich, said: HashSet::new() }
    }

    /// A transfer that the node would take, but for its nonce.
    fn transfer(&self, nonce: u64) -> TxEip1559 {
        TxEip1559 {
            chain_id: self.chain_id,
            nonce,
            gas_limit: 21_000,
            max_fee_per_gas: FEE,
            max_priority_fee_per_gas: GWEI,
            to: TxKind::Call(Address::repeat_byte(0x42)),
            ..TxEip1559::default()
        }
    }

    fn send(&self, raw: &[u8]) -> Result<Value, (i64, String)> {
        self.node.try_ask("eth_sendRawTransaction", &json!([hex::encode_prefixed(raw)])).map_err(|reply| {
            let (code, message, _) = error(&reply);
            (code, message)
        })
    }

    fn taken(&self, tx: TxEip1559) {
        self.send(&raw(&self.rich, tx)).expect("the node takes it");
    }

    fn refuses(&mut self, what: &str, tx: TxEip1559, reason: Reason) {
        let raw = raw(&self.rich, tx);
        self.refuses_raw(what, &raw, reason);
    }

    fn refuses_raw(&mut self, what: &str, raw: &[u8], reason: Reason) {
        let (code, message) = self.send(raw).expect_err(what);
        println!("{}: {what}: {code} {message}", self.client);
        assert_eq!(classify(&message, code), reason, "{what}: {code} {message}");
        self.said.extend(row(&message, code).map(|row| row.words));
    }

    /// What both nodes can be made to say.
    fn common(&mut self) {
        let first = self.transfer(0);
        self.taken(first.clone());
        let start = Instant::now();
        while quantity(&self.node.ask("eth_getTransactionCount", &json!([self.rich.address(), "latest"]))) == 0 {
            assert!(start.elapsed() < LIMIT, "it is not mined");
            std::thread::sleep(POLL);
        }
        self.refuses("a used nonce", TxEip1559 { value: U256::from(1), ..first }, Reason::NonceTooLow);
        // Behind a gap, so that no block takes it away.
        let gapped = self.transfer(5);
        self.taken(gapped.clone());
        self.refuses("the same bytes", gapped.clone(), Reason::KnownTransaction);
        self.refuses("a replacement for nothing", TxEip1559 { value: U256::from(1), ..gapped }, Reason::Underpriced);
        let next = self.transfer(1);
        self.refuses(
            "more than there is",
            TxEip1559 { value: U256::from(10).pow(U256::from(24)), ..next.clone() },
            Reason::InsufficientFunds,
        );
        let poor = PrivateKeySigner::from_slice(&[8; 32]).expect("a key");
        self.refuses_raw("an account with nothing", &raw(&poor, self.transfer(0)), Reason::InsufficientFunds);
        self.refuses("too little gas", TxEip1559 { gas_limit: 20_999, ..next.clone() }, Reason::InvalidInputs);
        self.refuses("another chain", TxEip1559 { chain_id: 5, ..next.clone() }, Reason::DownstreamDown);
        let init_code = Bytes::from(vec![0; 50_000]);
        let creation = TxEip1559 { to: TxKind::Create, input: init_code, gas_limit: 10_000_000, ..next };
        self.refuses("too much init code", creation, Reason::InvalidInputs);
        self.refuses_raw("no transaction", &hex!("c3010203"), Reason::InvalidInputs);
        self.estimates();
    }

    /// Every row that is marked as run by this client was said.
    fn all_said(&self) {
        let marked = ROWS.iter().filter(|row| row.seen == Seen::Run && row.source.client == self.client);
        let unsaid: Vec<_> = marked.map(|row| row.words).filter(|words| !self.said.contains(words)).collect();
        assert!(unsaid.is_empty(), "{} did not say {unsaid:?}", self.client);
    }

    /// Asks for an estimate of a contract creation; why there is none.
    fn estimate(&self, from: Address, init_code: &[u8], value: u64) -> NoEstimate {
        let call = json!([{"from": from, "input": hex::encode_prefixed(init_code), "value": format!("{value:#x}")}]);
        let reply = self.node.try_ask("eth_estimateGas", &call).expect_err("no estimate");
        let (code, message, data) = error(&reply);
        println!("{}: estimate: {code} {message} {data:?}", self.client);
        NoEstimate::of(code, &message, data.as_deref())
    }

    fn estimates(&self) {
        let from = self.rich.address();
        let word = |number: u8| format!("{number:064x}");
        let no_entry = format!("08c379a0{}{}{:0<64}", word(32), word(8), hex::encode("no entry"));
        for (returned, reason) in [
            (no_entry, "execution reverted: no entry"),
            (format!("4e487b71{}", word(0x11)), "execution reverted: panic 0x11: arithmetic underflow or overflow"),
            (
                "cf479181".to_owned() + &word(42),
                "execution reverted: custom error 0xcf479181 with 0x000000000000000000000000000000000000000000000000000000000000002a",
            ),
            (String::new(), "execution reverted: without a reason"),
        ] {
            let init_code = reverting(&hex::decode(returned).expect("hex"));
            assert_eq!(self.estimate(from, &init_code, 0), NoEstimate::Fails(reason.to_owned()), "{}", self.client);
        }
        // INVALID, and a loop without an end.
        for init_code in [&hex!("fe")[..], &hex!("5b600056")] {
            assert!(matches!(self.estimate(from, init_code, 0), NoEstimate::Fails(_)), "{}", hex::encode(init_code));
        }
        let poor = Address::repeat_byte(0x99);
        assert!(matches!(self.estimate(poor, &[], 1), NoEstimate::InsufficientFunds(_)), "{}", self.client);
    }
}

/// Code, message and the JSON of the data of an error reply.
fn error(reply: &str) -> (i64, String, Option<String>) {
    let reply: Value = serde_json::from_str(reply).unwrap_or_else(|_| panic!("no answer: {reply}"));
    let error = &reply["error"];
    let data = error.get("data").map(Value::to_string);
    (error["code"].as_i64().expect("a code"), error["message"].as_str().expect("a message").to_owned(), data)
}

/// Init code that reverts with these bytes.
fn reverting(returned: &[u8]) -> Vec<u8> {
    let length = u8::try_from(returned.len()).expect("short");
    // codecopy(0, 12, length); revert(0, length)
    [&[0x60, length, 0x60, 12, 0x60, 0, 0x39, 0x60, length, 0x60, 0, 0xfd], returned].concat()
}

#[test]
fn anvil_says_what_the_table_says_it_does() {
    let anvil = nodes::anvil::start(&nodes::anvil::Config::default()).unwrap_or_else(|error| panic!("{error}"));
    let mut desk = Desk::new("anvil", Node::new(anvil.address()));
    desk.common();
    let next = desk.transfer(1);
    desk.refuses("below the base fee", TxEip1559 { max_fee_per_gas: 1, max_priority_fee_per_gas: 1, ..next.clone() }, Reason::Underpriced);
    desk.refuses("above the block's gas", TxEip1559 { gas_limit: 40_000_000, ..next }, Reason::InvalidInputs);
    desk.refuses_raw("nothing", &[], Reason::InvalidInputs);
    desk.all_said();
}

#[test]
fn geth_says_what_the_table_says_it_does() {
    let config = nodes::geth::Config { fee_cap: true, gas_limit: 11_500_000, ..nodes::geth::Config::default() };
    let geth = nodes::geth::start(&config).unwrap_or_else(|error| panic!("{error}"));
    let mut desk = Desk::new("geth", Node::new(geth.address()));
    desk.common();
    let next = desk.transfer(1);
    let block_gas = quantity(&desk.node.ask("eth_getBlockByNumber", &json!(["latest", false]))["gasLimit"]);
    desk.refuses("no tip", TxEip1559 { max_priority_fee_per_gas: 0, ..next.clone() }, Reason::Underpriced);
    desk.refuses("a tip above the fee", TxEip1559 { max_priority_fee_per_gas: FEE + 1, ..next.clone() }, Reason::InvalidInputs);
    desk.refuses("above the block's gas", TxEip1559 { gas_limit: block_gas + 1_000_000, ..next.clone() }, Reason::InvalidInputs);
    desk.refuses("above EIP-7825's gas", TxEip1559 { gas_limit: (1 << 24) + 1, ..next.clone() }, Reason::InvalidInputs);
    let data = Bytes::from(vec![1; 1000]);
    desk.refuses("below the floor of EIP-7623", TxEip1559 { input: data, gas_limit: 40_000, ..next.clone() }, Reason::InvalidInputs);
    let data = Bytes::from(vec![0; 140_000]);
    desk.refuses("too much data", TxEip1559 { input: data, gas_limit: 10_000_000, ..next.clone() }, Reason::InvalidInputs);
    let dear = TxEip1559 { max_fee_per_gas: 1000 * GWEI, gas_limit: 10_000_000, ..next };
    desk.refuses("a fee above the node's cap", dear, Reason::NodeLimit);
    let legacy =
        TxLegacy { chain_id: None, nonce: 1, gas_price: FEE, gas_limit: 21_000, to: TxKind::Call(Address::ZERO), ..TxLegacy::default() };
    let unprotected = raw(&desk.rich, legacy);
    desk.refuses_raw("no chain", &unprotected, Reason::NodeLimit);
    desk.refuses_raw("an unknown type", &hex!("7ec3010203"), Reason::NodeLimit);
    desk.refuses_raw("a type alone", &hex!("02"), Reason::InvalidInputs);
    desk.all_said();
}
