//! A real anvil or geth whose blocks come when they are asked for, and what can be done to it.
//!
//! | | anvil | geth |
//! |---|---|---|
//! | a block | `evm_mine` | `testing_commitBlockV1` |
//! | a shorter chain | `anvil_rollback` | `debug_setHead` |
//! | what that takes away | is gone | is gone |
//! | after a restart | the chain is there, the pool is empty | the same, if its journal is removed |
//! | a higher base fee | is set | follows from full blocks |
//! | losing a pending transaction | is asked for | no method: only by a restart |

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alloy::consensus::{SignableTransaction, TxEip1559, TxEnvelope};
use alloy::eips::Encodable2718;
use alloy::hex;
use alloy::primitives::{Address, Bytes, TxKind, U256};
use alloy::signers::SignerSync;
use alloy::signers::local::coins_bip39::English;
use alloy::signers::local::{MnemonicBuilder, PrivateKeySigner};
use nodes::{Running, anvil, geth};
use serde_json::{Value, json};

use super::LIMIT;
use super::node::{Node, quantity, text};
use super::world::{BLOCK_TIME_MS, POLL};

pub(crate) const GWEI: u128 = 1_000_000_000;
/// Bid by transactions of others: more than any of ours.
const FOREIGN_FEE: u128 = 500 * GWEI;
/// Gas of a transaction that only burns it; four fill a block of geth's.
const BURN_GAS: u64 = 15_000_000;
const BURNS: u64 = 4;
/// The account that burns gas and gives money. The engine has none of its keys.
pub(crate) const BANK: u32 = 9;

/// Which program the node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Anvil,
    Geth,
}

/// A running node and its clock.
pub(crate) struct Chain {
    /// Ends before the node does.
    clock: Option<Clock>,
    pub(crate) kind: Kind,
    pub(crate) node: Node,
    process: Running,
}

impl Chain {
    pub(crate) fn start(kind: Kind) -> Self {
        let started = match kind {
            Kind::Anvil => anvil::start(&anvil::Config::default()),
            Kind::Geth => geth::start(&geth::Config { blocks: geth::Blocks::OnDemand, ..geth::Config::default() }),
        };
        let process = started.unwrap_or_else(|error| panic!("{error}"));
        let chain = Self { kind, node: Node::new(process.address()), process, clock: None };
        chain.quiet(0);
        chain
    }

    /// From here on blocks come when they are asked for. anvil starts with a clock of its own; geth's rings once when it starts.
    fn quiet(&self, head: u64) {
        match self.kind {
            Kind::Anvil => drop(self.node.ask("evm_setIntervalMining", &json!([0]))),
            Kind::Geth => {
                let start = Instant::now();
                while self.node.head() == head {
                    assert!(start.elapsed() < LIMIT, "geth makes a block when it starts");
                    std::thread::sleep(POLL);
                }
            }
        }
    }

    /// Its JSON-RPC over HTTP.
    pub(crate) fn url(&self) -> String {
        self.process.url()
    }

    /// Makes so many blocks.
    pub(crate) fn mine(&self, blocks: u64) {
        for _ in 0..blocks {
            mine_one(self.kind, self.node);
        }
    }

    /// Blocks come by the clock from now on.
    pub(crate) fn flow(&mut self) {
        self.clock = Some(Clock::start(self.kind, self.node));
    }

    /// No further block comes by the clock.
    pub(crate) fn halt(&mut self) {
        self.clock = None;
    }

    /// The process ends and starts again with its chain and without its pool.
    pub(crate) fn restart_without_its_pool(&mut self) {
        let head = self.node.head();
        let forget = |directory: &std::path::Path| match self.kind {
            Kind::Anvil => Ok(()),
            Kind::Geth => geth::forget_pool(directory),
        };
        self.process.restart(forget).unwrap_or_else(|error| panic!("{error}"));
        self.quiet(head);
        assert!(self.node.head() >= head, "the chain is still there");
    }

    /// Takes the newest blocks away, and all that was in them.
    pub(crate) fn set_back(&self, blocks: u64) {
        let head = self.node.head() - blocks;
        match self.kind {
            Kind::Anvil => self.node.ask("anvil_rollback", &json!([blocks])),
            Kind::Geth => self.node.ask("debug_setHead", &json!([format!("{head:#x}")])),
        };
        assert_eq!(self.node.head(), head);
    }

    /// Transactions of this address in the blocks so far.
    pub(crate) fn nonce(&self, address: &str) -> u64 {
        quantity(&self.node.ask("eth_getTransactionCount", &json!([address, "latest"])))
    }

    pub(crate) fn balance(&self, address: &str) -> U256 {
        let balance = self.node.ask("eth_getBalance", &json!([address, "latest"]));
        balance.as_str().and_then(|balance| balance.parse().ok()).expect("a balance")
    }

    pub(crate) fn base_fee(&self) -> u64 {
        quantity(&self.node.ask("eth_getBlockByNumber", &json!(["latest", false]))["baseFeePerGas"])
    }

    /// Makes blocks, without anything of the pool if that bids less, until the base fee is as high as this.
    pub(crate) fn raise_base_fee(&self, wei: u64) {
        if self.kind == Kind::Anvil {
            self.node.ask("anvil_setNextBlockBaseFeePerGas", &json!([format!("{wei:#x}")]));
            return self.mine(1);
        }
        let bank = key(BANK);
        while self.base_fee() < wei {
            let nonce = self.nonce(&format!("{:#x}", bank.address()));
            // INVALID as init code takes all the gas there is.
            let burn = TxEip1559 { to: TxKind::Create, input: Bytes::from_static(&[0xfe]), gas_limit: BURN_GAS, ..foreign(nonce) };
            let raws: Vec<_> = (0..BURNS).map(|more| sign(&bank, TxEip1559 { nonce: nonce + more, ..burn.clone() })).collect();
            commit(self.node, &json!(raws));
        }
    }

    /// Somebody else's transfer from an account of the mnemonic: at this nonce, above all prices of ours. Its hash.
    pub(crate) fn send_foreign(&self, account: u32, nonce: u64, to: Address, wei: U256) -> Result<String, String> {
        let raw = foreign_transfer(account, nonce, to, wei);
        self.node.try_ask("eth_sendRawTransaction", &json!([raw])).map(|hash| text(&hash))
    }

    /// Foreign transfers of nothing at the next nonces of an account, mined. Their hashes.
    pub(crate) fn use_nonces(&self, account: u32, count: u64) -> BTreeSet<String> {
        let nonce = self.nonce(&format!("{:#x}", key(account).address()));
        let send = |nonce| self.send_foreign(account, nonce, Address::repeat_byte(0x77), U256::ZERO).expect("a node that takes it");
        let hashes: BTreeSet<_> = (nonce..nonce + count).map(send).collect();
        self.mine_until("foreign transactions are mined", || hashes.iter().all(|hash| self.is_mined(hash)));
        hashes
    }

    pub(crate) fn is_mined(&self, hash: &str) -> bool {
        !self.node.ask("eth_getTransactionReceipt", &json!([hash])).is_null()
    }

    /// Makes blocks until this is so: what was just sent may be too late for the first one.
    pub(crate) fn mine_until(&self, what: &str, reached: impl Fn() -> bool) {
        let start = Instant::now();
        while !reached() {
            assert!(start.elapsed() < LIMIT, "waited in vain until {what}");
            self.mine(1);
            std::thread::sleep(POLL);
        }
    }
}

/// A key of the mnemonic whose accounts are rich.
pub(crate) fn key(account: u32) -> PrivateKeySigner {
    let builder = MnemonicBuilder::<English>::default().phrase(nodes::MNEMONIC).index(account).expect("an index");
    builder.build().expect("a key")
}

/// The signed bytes of somebody else's transfer from an account of the mnemonic, above all prices of ours.
pub(crate) fn foreign_transfer(account: u32, nonce: u64, to: Address, wei: U256) -> String {
    sign(&key(account), TxEip1559 { to: TxKind::Call(to), value: wei, ..foreign(nonce) })
}

fn foreign(nonce: u64) -> TxEip1559 {
    TxEip1559 {
        chain_id: nodes::CHAIN_ID,
        nonce,
        gas_limit: 21_000,
        max_fee_per_gas: FOREIGN_FEE,
        max_priority_fee_per_gas: 50 * GWEI,
        ..TxEip1559::default()
    }
}

fn sign(signer: &PrivateKeySigner, transaction: TxEip1559) -> String {
    let signature = signer.sign_hash_sync(&transaction.signature_hash()).expect("a signature");
    hex::encode_prefixed(TxEnvelope::from(transaction.into_signed(signature)).encoded_2718())
}

fn mine_one(kind: Kind, node: Node) {
    match kind {
        Kind::Anvil => drop(node.ask("evm_mine", &json!([]))),
        Kind::Geth => commit(node, &Value::Null),
    }
}

/// Has geth make a block of these transactions, or of the pool's. Once more where it has made one of its own meanwhile, as it does when
/// it starts again.
fn commit(node: Node, transactions: &Value) {
    let zero = format!("0x{}", "0".repeat(64));
    let start = Instant::now();
    loop {
        let head = node.ask("eth_getBlockByNumber", &json!(["latest", false]));
        let attributes = json!({
            "timestamp": format!("{:#x}", quantity(&head["timestamp"]) + 1), "prevRandao": zero, "parentBeaconBlockRoot": zero,
            "suggestedFeeRecipient": Address::repeat_byte(0xfe), "withdrawals": [],
        });
        match node.try_ask("testing_commitBlockV1", &json!([attributes, transactions, null])) {
            Ok(_) => return,
            Err(error) => assert!(error.contains("invalid timestamp") && start.elapsed() < LIMIT, "{error}"),
        }
    }
}

/// A thread that makes a block at every beat until it is dropped.
struct Clock {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Clock {
    fn start(kind: Kind, node: Node) -> Self {
        let stop = Arc::new(AtomicBool::default());
        let stopped = Arc::clone(&stop);
        let beat = move || {
            while !stopped.load(Ordering::Acquire) {
                mine_one(kind, node);
                std::thread::park_timeout(Duration::from_millis(BLOCK_TIME_MS));
            }
        };
        Self { stop, thread: Some(std::thread::spawn(beat)) }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // Its panic has been shown where it happened.
            let _ = thread.join();
        }
    }
}
