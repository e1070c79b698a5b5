//! The simulated node: a pool with a real pool's rules, blocks, receipts, and HTTP that fails in every way it can.
//!
//! It executes nothing: a transaction in a block took its nonce and reached its recipient, and that is all that is asked of it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use alloy::consensus::transaction::SignerRecoverable;
use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::Decodable2718;
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use engine::txmgr::{ByStage, Census};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::DuplexStream;

use crate::executor::{Executor, Process};
use crate::faults::{Fault, Tally};

/// Whose tasks outlive the engine's crashes.
pub(crate) const WORLD: Process = Process(0);
/// The chain's id.
pub(crate) const CHAIN_ID: u64 = 1337;
/// The base fee in quiet times, wei.
const BASE_FEE: u128 = 1_000_000_000;
/// What every address holds at first, wei.
const FIRST_BALANCE: u128 = 1_000_000_000_000_000_000;

/// Another chain's id.
const OTHER_CHAIN_ID: u64 = 4242;

/// By which host name the node is spoken to: the same chain and pool, seen through two machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Its head is the chain's.
    First,
    /// Its head is some blocks behind, or it is a machine of another chain.
    Second,
}

/// A transaction in the pool or in a block.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// Its hash.
    pub(crate) hash: B256,
    /// Sender.
    pub(crate) from: Address,
    /// Recipient.
    pub(crate) to: Option<Address>,
    /// Nonce.
    pub(crate) nonce: u64,
    max_fee: u128,
    tip: u128,
    /// Gas at its highest price, and value, wei.
    cost: U256,
}

/// A block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    /// Its hash.
    pub(crate) hash: B256,
    parent: B256,
    /// Its transactions.
    pub(crate) transactions: Vec<Known>,
    receipts_from: Duration,
}

struct Chain {
    blocks: Vec<Block>,
    pool: BTreeMap<(Address, u64), Known>,
    nonces: BTreeMap<Address, u64>,
    base_fee: u128,
    spike: u128,
    spike_until: Duration,
    receipts_lag: Duration,
    receipts_lag_until: Duration,
    price_unknown_until: Duration,
    receipts_short_until: Duration,
    /// Whose money is somewhere else, and until when.
    drained: Option<(Address, Duration)>,
    refuse_next: bool,
    /// Recipients of what the node has called invalid: it says so each time.
    refused: BTreeSet<Address>,
    highest: u64,
    /// Has no `eth_getBlockReceipts`.
    old: bool,
}

/// The node.
pub(crate) struct Node {
    executor: Executor,
    takes_batches: bool,
    chain: RefCell<Chain>,
    down_until: Cell<Duration>,
    second_down_until: Cell<Duration>,
    /// Blocks that the second door's head is behind.
    second_lag: usize,
    second_is_of_another_chain: bool,
    faults: RefCell<Vec<Fault>>,
    tally: RefCell<Tally>,
    /// Stages of the engine that runs now.
    census: RefCell<Option<Arc<Census>>>,
    /// Most blocks that leave the chain at once: what is deeper is final.
    pub(crate) reorg_depth_max: Cell<u64>,
}

impl Node {
    /// A node with a first block.
    pub(crate) fn new(executor: Executor) -> Self {
        let old = executor.below(8) == 0;
        let takes_batches = executor.below(8) != 0;
        let second_lag = usize::try_from(executor.below(6)).unwrap_or(0);
        let second_is_of_another_chain = executor.below(8) == 0;
        let genesis = Block { hash: keccak256("genesis"), parent: B256::ZERO, transactions: Vec::new(), receipts_from: Duration::ZERO };
        let chain = Chain {
            blocks: vec![genesis],
            pool: BTreeMap::new(),
            nonces: BTreeMap::new(),
            base_fee: BASE_FEE,
            spike: 0,
            spike_until: Duration::ZERO,
            receipts_lag: Duration::ZERO,
            receipts_lag_until: Duration::ZERO,
            price_unknown_until: Duration::ZERO,
            receipts_short_until: Duration::ZERO,
            drained: None,
            refuse_next: false,
            refused: BTreeSet::new(),
            highest: 0,
            old,
        };
        Self {
            takes_batches,
            executor,
            chain: RefCell::new(chain),
            down_until: Cell::default(),
            second_down_until: Cell::default(),
            second_lag,
            second_is_of_another_chain,
            faults: RefCell::default(),
            tally: RefCell::default(),
            census: RefCell::default(),
            reorg_depth_max: Cell::new(1),
        }
    }

    /// Blocks at random times, about one a second, for ever.
    pub(crate) async fn mine(self: Rc<Self>) {
        loop {
            let pause = self.executor.between(Duration::from_millis(300), Duration::from_millis(1500));
            self.executor.sleep(pause).await;
            self.chain.borrow_mut().mine(&self.executor);
        }
    }

    /// A fault of the node or of the way to it; those of a request hit the next one.
    pub(crate) fn fault(&self, fault: Fault) {
        let now = self.executor.now();
        let mut chain = self.chain.borrow_mut();
        match fault {
            Fault::DropOne => {
                let place = usize::try_from(self.executor.below(chain.pool.len() as u64)).unwrap_or(0);
                let Some(key) = chain.pool.keys().nth(place).copied() else { return };
                chain.pool.remove(&key);
            }
            Fault::DropAll if chain.pool.is_empty() => return,
            Fault::DropAll => chain.pool.clear(),
            Fault::ReceiptsLag => {
                // From five looks of the follower on.
                chain.receipts_lag = self.executor.between(Duration::from_millis(500), Duration::from_secs(3));
                chain.receipts_lag_until = now + Duration::from_secs(4);
            }
            Fault::NodeDown => self.down_until.set(now + self.executor.between(Duration::from_millis(100), Duration::from_secs(4))),
            Fault::SecondDown => {
                self.second_down_until.set(now + self.executor.between(Duration::from_millis(100), Duration::from_secs(4)));
            }
            Fault::NodeRestarts => {
                self.down_until.set(now + self.executor.between(Duration::from_millis(20), Duration::from_millis(500)));
                chain.pool.clear();
            }
            Fault::Reorg | Fault::ReorgLoses => {
                let most = self.reorg_depth_max.get();
                let depth = self.executor.below(most) + 1;
                let length = self.executor.below(depth + 2);
                if !chain.reorganise(depth, length, most, fault == Fault::Reorg, &self.executor) {
                    return;
                }
            }
            Fault::FeeRises => chain.base_fee = BASE_FEE * u128::from(self.executor.below(8) + 2),
            Fault::FeeSpike => {
                chain.spike = BASE_FEE * u128::from(self.executor.below(70) + 30);
                chain.spike_until = now + self.executor.between(Duration::from_secs(1), Duration::from_secs(15));
            }
            Fault::PriceUnknown => {
                chain.price_unknown_until = now + self.executor.between(Duration::from_millis(500), Duration::from_secs(5));
            }
            Fault::ReceiptsShort => {
                chain.receipts_short_until = now + self.executor.between(Duration::from_millis(500), Duration::from_secs(3));
            }
            Fault::FundsDrained => {
                let place = usize::try_from(self.executor.below(chain.nonces.len() as u64)).unwrap_or(0);
                let Some(address) = chain.nonces.keys().nth(place).copied() else { return };
                chain.drained = Some((address, now + self.executor.between(Duration::from_millis(500), Duration::from_secs(8))));
            }
            Fault::Invalid => {
                // Counted when it meets a transaction.
                chain.refuse_next = true;
                return;
            }
            request => {
                self.faults.borrow_mut().push(request);
                return;
            }
        }
        self.note(fault);
    }

    /// No more faults.
    pub(crate) fn calm(&self) {
        self.faults.borrow_mut().clear();
        self.down_until.set(Duration::ZERO);
        self.second_down_until.set(Duration::ZERO);
        let mut chain = self.chain.borrow_mut();
        chain.spike_until = Duration::ZERO;
        chain.receipts_lag_until = Duration::ZERO;
        chain.price_unknown_until = Duration::ZERO;
        chain.receipts_short_until = Duration::ZERO;
        chain.drained = None;
        chain.refuse_next = false;
    }

    /// Counts a fault that happens now.
    pub(crate) fn note(&self, fault: Fault) {
        self.tally.borrow_mut().note(fault, self.stages());
    }

    /// Whose stages faults meet from now on; `None` while no engine runs.
    pub(crate) fn watch(&self, census: Option<Arc<Census>>) {
        *self.census.borrow_mut() = census;
    }

    /// Transactions of the running engine, by stage.
    pub(crate) fn stages(&self) -> ByStage {
        self.census.borrow().as_ref().map(|census| census.by_stage()).unwrap_or_default()
    }

    /// The address has sent that many transactions before the first block.
    pub(crate) fn used_before(&self, address: Address, count: u64) {
        self.chain.borrow_mut().nonces.insert(address, count);
    }

    /// The node called a transaction to this recipient invalid.
    pub(crate) fn refused(&self, recipient: &Address) -> bool {
        self.chain.borrow().refused.contains(recipient)
    }

    /// What happened.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    /// Nobody can connect, and connections end.
    pub(crate) fn is_down(&self, door: Door) -> bool {
        let until = match door {
            Door::First => &self.down_until,
            Door::Second => &self.second_down_until,
        };
        self.executor.now() < until.get()
    }

    /// All blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        self.chain.borrow().blocks.clone()
    }

    /// Transactions of an address that a block holds.
    pub(crate) fn nonce(&self, address: &Address) -> u64 {
        self.chain.borrow().nonces.get(address).copied().unwrap_or(0)
    }

    /// Serves one connection until it ends.
    pub(crate) fn serve(self: &Rc<Self>, door: Door, stream: DuplexStream) {
        let node = Rc::clone(self);
        self.executor.spawn(WORLD, async move {
            let service = hyper::service::service_fn(|request| node.answer(door, request));
            // A connection that is cut ends with an error, as it should.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }

    async fn answer(&self, door: Door, request: Request<Incoming>) -> Result<Response<Full<bytes::Bytes>>, Cut> {
        let body = request.into_body().collect().await.map_err(|_| Cut)?.to_bytes();
        self.executor.sleep(self.executor.between(Duration::ZERO, Duration::from_millis(5))).await;
        if self.is_down(door) {
            return Err(Cut);
        }
        let fault = self.faults.borrow_mut().pop();
        if let Some(fault) = fault {
            self.note(fault);
        }
        match fault {
            Some(Fault::CutBefore) => return Err(Cut),
            Some(Fault::Throttle) => {
                let throttled = Response::builder().status(429).header("retry-after", "1").body(Full::default());
                return throttled.map_err(|_| Cut);
            }
            Some(Fault::Twice) => drop(self.calls(door, &body)),
            _ => {}
        }
        let reply = self.calls(door, &body);
        match fault {
            Some(Fault::CutAfter) => return Err(Cut),
            Some(Fault::Late) => self.executor.sleep(Duration::from_secs(3)).await,
            _ => self.executor.sleep(self.executor.between(Duration::ZERO, Duration::from_millis(5))).await,
        }
        Ok(Response::new(Full::from(reply)))
    }

    fn calls(&self, door: Door, body: &[u8]) -> String {
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Array(_)) if !self.takes_batches => {
                json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "batch requests are not supported"}}).to_string()
            }
            Ok(Value::Array(calls)) => Value::Array(calls.iter().map(|call| self.call(door, call)).collect()).to_string(),
            Ok(call) => self.call(door, &call).to_string(),
            Err(error) => json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": error.to_string()}}).to_string(),
        }
    }

    fn call(&self, door: Door, call: &Value) -> Value {
        let params = &call["params"];
        let refused = self.chain.borrow().refused.len();
        let (now, method) = (self.executor.now(), call["method"].as_str().unwrap_or_default());
        let lag = if door == Door::Second { self.second_lag } else { 0 };
        let result = match method {
            "eth_chainId" if door == Door::Second && self.second_is_of_another_chain => Ok(json!(hex(OTHER_CHAIN_ID))),
            method => self.chain.borrow_mut().seen_behind(lag, method, params, now),
        };
        if self.chain.borrow().refused.len() > refused {
            self.note(Fault::Invalid);
        }
        match result {
            Ok(result) => json!({"jsonrpc": "2.0", "id": call["id"], "result": result}),
            Err((code, message)) => json!({"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}),
        }
    }
}

/// The connection is cut.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn hex(number: impl Into<u128>) -> String {
    format!("0x{:x}", number.into())
}

impl Chain {
    fn head(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    /// The result at a machine that does not know the newest `lag` blocks yet.
    fn seen_behind(&mut self, lag: usize, method: &str, params: &Value, now: Duration) -> Result<Value, (i64, String)> {
        let newest = self.blocks.split_off(self.blocks.len().saturating_sub(lag).max(1));
        let taken = |chain: &mut Self, change: fn(&mut u64)| {
            for known in newest.iter().flat_map(|block| &block.transactions) {
                change(chain.nonces.entry(known.from).or_default());
            }
        };
        // What is sent goes to the pool of the newest machine, which knows what is used.
        let sends = method == "eth_sendRawTransaction";
        if !sends {
            taken(self, |nonce| *nonce -= 1);
        }
        let result = self.result(method, params, now);
        if !sends {
            taken(self, |nonce| *nonce += 1);
        }
        self.blocks.extend(newest);
        result
    }

    fn result(&mut self, method: &str, params: &Value, now: Duration) -> Result<Value, (i64, String)> {
        Ok(match method {
            "eth_chainId" => json!(hex(CHAIN_ID)),
            "eth_blockNumber" => json!(hex(self.head())),
            "eth_gasPrice" | "eth_feeHistory" if now < self.price_unknown_until => return Err((-32000, "no price".into())),
            "eth_gasPrice" => json!(hex(self.price(now) + 1_000_000_000)),
            "eth_feeHistory" => json!({
                "oldestBlock": hex(self.head()),
                "baseFeePerGas": [hex(self.price(now)), hex(self.price(now))],
                "gasUsedRatio": [0.5],
                "reward": [[hex(1_000_000_000_u64)]],
            }),
            "eth_getTransactionCount" => {
                let address: Address = serde_json::from_value(params[0].clone()).map_err(|error| (-32602, error.to_string()))?;
                json!(hex(self.nonces.get(&address).copied().unwrap_or(0)))
            }
            "eth_getBalance" => {
                let address: Address = serde_json::from_value(params[0].clone()).map_err(|error| (-32602, error.to_string()))?;
                json!(self.balance(&address, now))
            }
            "eth_estimateGas" => json!(hex(21_000_u64)),
            "eth_getBlockByNumber" => self.block(params[0].as_str().unwrap_or_default()),
            "eth_getTransactionByBlockNumberAndIndex" => self.transaction(params),
            "eth_getTransactionReceipt" => self.receipt(params[0].as_str().unwrap_or_default(), now),
            "eth_getBlockReceipts" if !self.old => self.receipts(params[0].as_str().unwrap_or_default(), now),
            "eth_sendRawTransaction" => json!(self.send(params[0].as_str().unwrap_or_default(), now).map_err(|message| (-32000, message))?),
            other => return Err((-32601, format!("the method {other} does not exist/is not available"))),
        })
    }

    /// The base fee now, wei.
    fn price(&self, now: Duration) -> u128 {
        if now < self.spike_until { self.spike.max(self.base_fee) } else { self.base_fee }
    }

    fn block(&self, number: &str) -> Value {
        let place = u64::from_str_radix(number.trim_start_matches("0x"), 16).ok().and_then(|number| usize::try_from(number).ok());
        let Some((place, block)) = place.and_then(|place| Some((place, self.blocks.get(place)?))) else { return Value::Null };
        json!({
            "number": hex(place as u64), "hash": block.hash, "parentHash": block.parent, "timestamp": hex(place as u64),
            "transactions": block.transactions.iter().map(|known| known.hash).collect::<Vec<_>>(),
        })
    }

    fn transaction(&self, params: &Value) -> Value {
        let place = |param: &Value| {
            let digits = param.as_str()?.trim_start_matches("0x");
            usize::try_from(u64::from_str_radix(digits, 16).ok()?).ok()
        };
        let found = place(&params[0]).and_then(|number| {
            let block = self.blocks.get(number)?;
            Some((number, block, block.transactions.get(place(&params[1])?)?))
        });
        let Some((number, block, known)) = found else { return Value::Null };
        json!({"hash": known.hash, "blockHash": block.hash, "blockNumber": hex(number as u64)})
    }

    fn receipts(&self, hash: &str, now: Duration) -> Value {
        let Some(place) = self.blocks.iter().position(|block| block.hash.to_string() == hash) else { return Value::Null };
        let block = &self.blocks[place];
        if now < block.receipts_from {
            return Value::Null;
        }
        let receipt = |(index, known): (usize, &Known)| {
            json!({
                "transactionHash": known.hash, "transactionIndex": hex(index as u64), "blockHash": block.hash, "blockNumber": hex(place as u64),
                "from": known.from, "to": known.to, "status": "0x1", "gasUsed": "0x5208", "effectiveGasPrice": hex(known.max_fee),
                "contractAddress": null,
            })
        };
        let short = usize::from(now < self.receipts_short_until);
        let listed = block.transactions.len().saturating_sub(short);
        Value::Array(block.transactions.iter().enumerate().take(listed).map(receipt).collect())
    }

    fn receipt(&self, hash: &str, now: Duration) -> Value {
        let block = self.blocks.iter().find(|block| block.transactions.iter().any(|known| known.hash.to_string() == hash));
        let receipts = block.map(|block| self.receipts(&block.hash.to_string(), now));
        let Some(Value::Array(receipts)) = receipts else { return Value::Null };
        receipts.into_iter().find(|receipt| receipt["transactionHash"] == hash).unwrap_or(Value::Null)
    }

    /// What an address holds at the head, wei.
    fn balance(&self, address: &Address, now: Duration) -> U256 {
        if self.drained.is_some_and(|(drained, until)| drained == *address && now < until) {
            return U256::ZERO;
        }
        let own = self.blocks.iter().flat_map(|block| &block.transactions).filter(|known| known.from == *address);
        let spent: U256 = own.map(|known| known.cost).sum();
        U256::from(FIRST_BALANCE).saturating_sub(spent)
    }

    /// The pool's rules, in geth's words.
    fn send(&mut self, raw: &str, now: Duration) -> Result<B256, String> {
        let raw: Bytes = raw.parse().map_err(|_| "rlp: cannot decode".to_owned())?;
        let envelope = TxEnvelope::decode_2718(&mut raw.as_ref()).map_err(|error| format!("rlp: {error}"))?;
        let from = envelope.recover_signer().map_err(|_| "invalid sender".to_owned())?;
        let tip = envelope.max_priority_fee_per_gas().unwrap_or_else(|| envelope.max_fee_per_gas());
        let max_fee = envelope.max_fee_per_gas();
        let cost = U256::from(max_fee) * U256::from(envelope.gas_limit()) + envelope.value();
        let known = Known { hash: keccak256(&raw), from, to: envelope.to(), nonce: envelope.nonce(), max_fee, tip, cost };
        if let Some(to) = known.to.filter(|to| *to != from) {
            if std::mem::take(&mut self.refuse_next) {
                self.refused.insert(to);
            }
            if self.refused.contains(&to) {
                return Err("exceeds block gas limit".into());
            }
        }
        let next = self.nonces.get(&from).copied().unwrap_or(0);
        if known.nonce < next {
            return Err(format!("nonce too low: next nonce {next}, tx nonce {}", known.nonce));
        }
        if let Some(pooled) = self.pool.get(&(from, known.nonce)) {
            if pooled.hash == known.hash {
                return Err("already known".into());
            }
            let enough = |old: u128, new: u128| new * 100 >= old * 110;
            if !enough(pooled.max_fee, known.max_fee) || !enough(pooled.tip, known.tip) {
                return Err("replacement transaction underpriced".into());
            }
        }
        let balance = self.balance(&from, now);
        let others = self.pool.iter().filter(|((address, nonce), _)| *address == from && *nonce != known.nonce);
        let queued: U256 = others.map(|(_, other)| other.cost).sum();
        if known.cost + queued > balance {
            let (cost, overshot) = (known.cost, known.cost + queued - balance);
            return Err(format!(
                "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}, overshot {overshot}"
            ));
        }
        let hash = known.hash;
        self.pool.insert((from, known.nonce), known);
        Ok(hash)
    }

    /// Takes the newest blocks off the chain and seals `length` others at once: as many make a reorg sideways, fewer one down. False if
    /// there are too few, or if one of them is `most` below the highest block that there ever was: that is final.
    fn reorganise(&mut self, depth: u64, length: u64, most: u64, requeue: bool, executor: &Executor) -> bool {
        self.highest = self.highest.max(self.head());
        if depth > self.head() || self.head() - depth + most < self.highest {
            return false;
        }
        for _ in 0..depth {
            let transactions = self.blocks.pop().map(|block| block.transactions).unwrap_or_default();
            for known in transactions {
                *self.nonces.entry(known.from).or_default() -= 1;
                if requeue {
                    self.pool.insert((known.from, known.nonce), known);
                }
            }
        }
        for _ in 0..length {
            self.mine(executor);
        }
        true
    }

    fn mine(&mut self, executor: &Executor) {
        let (most, base_fee) = (executor.below(60) + 1, self.price(executor.now()));
        let mut transactions = Vec::new();
        let senders: BTreeSet<Address> = self.pool.keys().map(|key| key.0).collect();
        for from in senders {
            let mut balance = self.balance(&from, executor.now());
            // As geth does at each head: what cannot be paid for leaves the pool.
            self.pool.retain(|key, known| key.0 != from || known.cost <= balance);
            let next = self.nonces.entry(from).or_default();
            while (transactions.len() as u64) < most
                && self.pool.get(&(from, *next)).is_some_and(|known| known.max_fee >= base_fee && known.cost <= balance)
            {
                balance -= self.pool[&(from, *next)].cost;
                transactions.extend(self.pool.remove(&(from, *next)));
                *next += 1;
            }
        }
        let parent = self.blocks.last().map_or(B256::ZERO, |block| block.hash);
        let content: Vec<u8> = transactions.iter().flat_map(|known: &Known| known.hash.0).collect();
        let hash = keccak256([parent.as_slice(), &executor.now().as_nanos().to_be_bytes(), &content].concat());
        let lag = if executor.now() < self.receipts_lag_until { self.receipts_lag } else { Duration::ZERO };
        let receipts_from = executor.now() + lag;
        self.blocks.push(Block { hash, parent, transactions, receipts_from });
    }
}
