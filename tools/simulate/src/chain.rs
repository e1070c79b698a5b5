//! The simulated chain: a pool with a real pool's rules, blocks, receipts, reorgs, and what a node tells of them.
//!
//! It executes nothing: a transaction in a block took its nonce and reached its recipient, and that is all that is asked of it.

mod authorized;
mod blobs;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::Decodable2718;
use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use serde_json::{Value, json};

use self::authorized::Authorized;
use crate::executor::Executor;
use crate::signer::Signatures;

/// The chain's id.
pub(crate) const CHAIN_ID: u64 = 1337;
/// The base fee in quiet times, wei.
pub(crate) const BASE_FEE: u128 = 1_000_000_000;
/// What every address holds at first, wei.
const FIRST_BALANCE: u128 = 1_000_000_000_000_000_000;
/// Whom another wallet that has the keys pays.
pub(crate) const STRANGER: Address = Address::repeat_byte(0x99);
/// What a unit of blob gas costs at most, wei: in quiet times it stays below a fifth of the cap that some seeds set.
pub(crate) const BLOB_SPIKE: u64 = 100_000;
/// The price that the other wallet bids, wei: above everything.
const STRANGERS_PRICE: u128 = 10_000_000_000_000;

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
    /// Wei that it moves.
    pub(crate) value: U256,
    max_fee: u128,
    tip: u128,
    /// Most that it pays for a unit of blob gas, wei, where it carries blobs.
    blobs: Option<u128>,
    /// Gas at its highest price, and value, wei.
    cost: U256,
    authorized: Vec<Authorized>,
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

/// The chain and its pool.
pub(crate) struct Chain {
    pub(crate) blocks: Vec<Block>,
    pub(crate) pool: BTreeMap<(Address, u64), Known>,
    pub(crate) nonces: BTreeMap<Address, u64>,
    pub(crate) base_fee: u128,
    pub(crate) spike: u128,
    pub(crate) spike_until: Duration,
    /// What a unit of blob gas costs, wei; more while it spikes.
    blob_base_fee: u64,
    pub(crate) blob_spike: u64,
    /// Nobody else sends blobs any more: they cost the least there is. A bid that may not double is only mined where they become cheaper.
    pub(crate) blobs_calm: bool,
    /// What should not have been sent, in words.
    pub(crate) broken: Vec<String>,
    pub(crate) receipts_lag: Duration,
    pub(crate) receipts_lag_until: Duration,
    pub(crate) price_unknown_until: Duration,
    pub(crate) receipts_short_until: Duration,
    /// Whose money is somewhere else, and until when.
    pub(crate) drained: Option<(Address, Duration)>,
    pub(crate) refuse_next: bool,
    /// Recipients of what the node has called invalid: it says so each time.
    pub(crate) refused: BTreeSet<Address>,
    /// Nonces that others used and that left the chain again, by address.
    pub(crate) opened_again: BTreeMap<Address, u64>,
    highest: u64,
    /// Has no `eth_getBlockReceipts`.
    old: bool,
    signatures: Signatures,
}

/// A quantity as JSON-RPC writes it.
pub(crate) fn hex(number: impl Into<u128>) -> String {
    format!("0x{:x}", number.into())
}

/// The first parameter, a hash.
fn hash(params: &Value) -> Result<B256, (i64, String)> {
    serde_json::from_value(params[0].clone()).map_err(|error| (-32602, error.to_string()))
}

impl Chain {
    /// A chain of one block; an `old` one has no `eth_getBlockReceipts`.
    pub(crate) fn new(old: bool, signatures: Signatures) -> Self {
        let genesis = Block { hash: keccak256("genesis"), parent: B256::ZERO, transactions: Vec::new(), receipts_from: Duration::ZERO };
        Self {
            blocks: vec![genesis],
            pool: BTreeMap::new(),
            nonces: BTreeMap::new(),
            base_fee: BASE_FEE,
            spike: 0,
            spike_until: Duration::ZERO,
            blob_base_fee: 1,
            blob_spike: 0,
            blobs_calm: false,
            broken: Vec::new(),
            receipts_lag: Duration::ZERO,
            receipts_lag_until: Duration::ZERO,
            price_unknown_until: Duration::ZERO,
            receipts_short_until: Duration::ZERO,
            drained: None,
            refuse_next: false,
            refused: BTreeSet::new(),
            opened_again: BTreeMap::new(),
            highest: 0,
            old,
            signatures,
        }
    }

    /// Another wallet that has the key sends at the next `count` nonces of an address, at prices that nobody can outbid.
    pub(crate) fn strangers(&mut self, from: Address, count: u64, salt: u64) {
        let next = self.next(&from);
        for nonce in next..next + count {
            let hash = keccak256([from.as_slice(), &nonce.to_be_bytes(), &salt.to_be_bytes()].concat());
            let (max_fee, tip) = (STRANGERS_PRICE, STRANGERS_PRICE);
            self.pool.insert(
                (from, nonce),
                Known {
                    hash,
                    from,
                    to: Some(STRANGER),
                    nonce,
                    value: U256::ZERO,
                    max_fee,
                    tip,
                    blobs: None,
                    cost: U256::ZERO,
                    authorized: Vec::new(),
                },
            );
        }
    }

    /// The next nonce of an address.
    fn next(&self, address: &Address) -> u64 {
        self.nonces.get(address).copied().unwrap_or(0)
    }

    /// Number of the newest block.
    pub(crate) fn head(&self) -> u64 {
        self.blocks.len() as u64 - 1
    }

    /// The result at a machine that does not know the newest `lag` blocks yet.
    pub(crate) fn seen_behind(&mut self, lag: usize, method: &str, params: &Value, now: Duration) -> Result<Value, (i64, String)> {
        let newest = self.blocks.split_off(self.blocks.len().saturating_sub(lag).max(1));
        let taken = |chain: &mut Self, change: fn(&mut u64)| {
            for (address, _) in newest.iter().flat_map(|block| &block.transactions).flat_map(Known::takes) {
                change(chain.nonces.entry(address).or_default());
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
                "baseFeePerBlobGas": [hex(self.blob_price(now)), hex(self.blob_price(now))],
            }),
            "eth_getTransactionCount" => {
                let address: Address = serde_json::from_value(params[0].clone()).map_err(|error| (-32602, error.to_string()))?;
                let above = match params[1].as_str().and_then(|tag| u64::from_str_radix(tag.trim_start_matches("0x"), 16).ok()) {
                    Some(number) if number > self.head() => return Err((-32000, "header not found".into())),
                    Some(number) => usize::try_from(number + 1).unwrap_or(usize::MAX),
                    None => self.blocks.len(),
                };
                let later = self.blocks[above..].iter().flat_map(|block| &block.transactions).flat_map(Known::takes);
                json!(hex(self.next(&address) - later.filter(|taken| taken.0 == address).count() as u64))
            }
            "eth_getBalance" => {
                let address: Address = serde_json::from_value(params[0].clone()).map_err(|error| (-32602, error.to_string()))?;
                json!(self.balance(&address, now))
            }
            "eth_estimateGas" => json!(hex(21_000_u64)),
            "eth_getBlockByNumber" => self.block(params[0].as_str().unwrap_or_default()),
            "eth_getTransactionByBlockNumberAndIndex" => self.transaction(params),
            "eth_getTransactionByHash" => self.by_hash(hash(params)?),
            "eth_getTransactionReceipt" => self.receipt(hash(params)?, now),
            "eth_getBlockReceipts" if !self.old => self.receipts(hash(params)?, now),
            "eth_sendRawTransaction" => json!(self.send(params[0].as_str().unwrap_or_default(), now).map_err(|message| (-32000, message))?),
            other => return Err((-32601, format!("the method {other} does not exist/is not available"))),
        })
    }

    /// The base fee now, wei.
    pub(crate) fn price(&self, now: Duration) -> u128 {
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

    fn by_hash(&self, hash: B256) -> Value {
        let mined = (0_u64..).zip(&self.blocks).find_map(|(number, block)| {
            let known = block.transactions.iter().find(|known| known.hash == hash)?;
            Some((known, json!(block.hash), json!(hex(number))))
        });
        let pooled = || self.pool.values().find(|known| known.hash == hash).map(|known| (known, Value::Null, Value::Null));
        let Some((known, block, number)) = mined.or_else(pooled) else { return Value::Null };
        json!({"hash": known.hash, "from": known.from, "nonce": hex(known.nonce), "blockHash": block, "blockNumber": number, "authorizationList": known.list()})
    }

    /// Receipts of the block of this hash; null while they are not known.
    fn receipts(&self, hash: B256, now: Duration) -> Value {
        let Some(place) = self.blocks.iter().position(|block| block.hash == hash) else { return Value::Null };
        self.listed(place, now).map_or(Value::Null, |listed| (0..listed).map(|index| self.told(place, index)).collect())
    }

    fn receipt(&self, hash: B256, now: Duration) -> Value {
        let within = |block: &Block| block.transactions.iter().position(|known| known.hash == hash);
        let found = self.blocks.iter().enumerate().find_map(|(place, block)| Some((place, within(block)?)));
        let known = found.filter(|(place, index)| self.listed(*place, now).is_some_and(|listed| *index < listed));
        known.map_or(Value::Null, |(place, index)| self.told(place, index))
    }

    /// How many receipts of a block are known; `None` while its index has none.
    fn listed(&self, place: usize, now: Duration) -> Option<usize> {
        let block = &self.blocks[place];
        let short = usize::from(now < self.receipts_short_until);
        (now >= block.receipts_from).then(|| block.transactions.len().saturating_sub(short))
    }

    fn told(&self, place: usize, index: usize) -> Value {
        let block = &self.blocks[place];
        let known = &block.transactions[index];
        json!({
            "transactionHash": known.hash, "transactionIndex": hex(index as u64), "blockHash": block.hash, "blockNumber": hex(place as u64),
            "from": known.from, "to": known.to, "status": "0x1", "gasUsed": "0x5208", "effectiveGasPrice": hex(known.max_fee),
            "contractAddress": null, "type": if known.carries() { "0x4" } else if known.blobs.is_some() { "0x3" } else { "0x2" },
        })
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
        let from = self.signatures.sender(&envelope).map_err(|_| "invalid sender".to_owned())?;
        let tip = envelope.max_priority_fee_per_gas().unwrap_or_else(|| envelope.max_fee_per_gas());
        let max_fee = envelope.max_fee_per_gas();
        let blobs = blobs::checked(&envelope)?;
        let blob_cost = U256::from(blobs.unwrap_or_default()) * U256::from(envelope.blob_gas_used().unwrap_or_default());
        let cost = U256::from(max_fee) * U256::from(envelope.gas_limit()) + envelope.value() + blob_cost;
        let known = Known {
            // Of the transaction as it stands in a block: without blobs.
            hash: *envelope.tx_hash(),
            from,
            to: envelope.to(),
            nonce: envelope.nonce(),
            value: envelope.value(),
            max_fee,
            tip,
            blobs,
            cost,
            authorized: Vec::new(),
        };
        if let Some(to) = known.to.filter(|to| *to != from) {
            if std::mem::take(&mut self.refuse_next) {
                self.refused.insert(to);
            }
            if self.refused.contains(&to) {
                return Err("exceeds block gas limit".into());
            }
        }
        let next = self.next(&from);
        if known.nonce < next {
            return Err(format!("nonce too low: next nonce {next}, tx nonce {}", known.nonce));
        }
        if let Some(pooled) = self.pool.get(&(from, known.nonce)) {
            if pooled.hash == known.hash {
                return Err("already known".into());
            }
            let least = if known.blobs.is_some() { 200 } else { 110 };
            let enough = |old: u128, new: u128| new * 100 >= old * least;
            let blobs = enough(pooled.blobs.unwrap_or_default(), known.blobs.unwrap_or_default());
            if !enough(pooled.max_fee, known.max_fee) || !enough(pooled.tip, known.tip) || !blobs {
                return Err("replacement transaction underpriced".into());
            }
        }
        self.check_delegated(&from, known.nonce)?;
        self.check_kind(&known)?;
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
    pub(crate) fn reorganise(&mut self, depth: u64, length: u64, most: u64, requeue: bool, executor: &Executor) -> bool {
        self.highest = self.highest.max(self.head());
        if depth > self.head() || self.head() - depth + most < self.highest {
            return false;
        }
        for _ in 0..depth {
            let transactions = self.blocks.pop().map(|block| block.transactions).unwrap_or_default();
            for known in transactions {
                let strange = known.to == Some(STRANGER);
                for (address, _) in known.takes() {
                    *self.nonces.entry(address).or_default() -= 1;
                    *self.opened_again.entry(address).or_default() += u64::from(strange);
                }
                // The other wallet has often changed its mind by then.
                if requeue && !(strange && executor.below(2) == 0) && !self.is_reserved(&known) {
                    self.pool.insert((known.from, known.nonce), known.undone());
                }
            }
        }
        for _ in 0..length {
            self.mine(executor);
        }
        true
    }

    /// Seals a block.
    pub(crate) fn mine(&mut self, executor: &Executor) {
        self.move_blob_price(executor);
        self.forget_gapped(executor);
        let (most, base_fee, blob_price) = (executor.below(60) + 1, self.price(executor.now()), self.blob_price(executor.now()));
        let mut transactions = Vec::new();
        let senders: BTreeSet<Address> = self.pool.keys().map(|key| key.0).collect();
        for from in senders {
            let mut balance = self.balance(&from, executor.now());
            // As geth does at each head: what cannot be paid for leaves the pool.
            self.pool.retain(|key, known| key.0 != from || known.cost <= balance);
            while (transactions.len() as u64) < most {
                let key = (from, self.next(&from));
                let payable = |known: &&Known| {
                    let blobs = known.blobs.is_none_or(|most| most >= u128::from(blob_price));
                    known.max_fee >= base_fee && blobs && known.cost <= balance
                };
                if self.pool.get(&key).filter(payable).is_none() {
                    break;
                }
                let Some(mut known) = self.pool.remove(&key) else { break };
                balance -= known.cost;
                *self.nonces.entry(from).or_default() += 1;
                self.apply(&mut known);
                transactions.push(known);
            }
        }
        // What an authorization took the nonce of can never be mined.
        let nonces = &self.nonces;
        self.pool.retain(|key, _| nonces.get(&key.0).is_none_or(|next| key.1 >= *next));
        let parent = self.blocks.last().map_or(B256::ZERO, |block| block.hash);
        let content: Vec<u8> = transactions.iter().flat_map(|known: &Known| known.hash.0).collect();
        let hash = keccak256([parent.as_slice(), &executor.now().as_nanos().to_be_bytes(), &content].concat());
        let lag = if executor.now() < self.receipts_lag_until { self.receipts_lag } else { Duration::ZERO };
        let receipts_from = executor.now() + lag;
        self.blocks.push(Block { hash, parent, transactions, receipts_from });
    }
}
