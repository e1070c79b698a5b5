//! The chain: sealed blocks, the state, and the way back.
//!
//! ```text
//! pool.best ─► Filler (revm on the state) ─► Body ─► header, roots, hash ─► blocks, index, undo log closed
//!                                                     reorg: undo log applied, block kept as an orphan ◄─┘
//! ```
//!
//! Blocks and the index are bounded; the oldest are forgotten first and then answered with `null`. Orphans can be had by
//! hash until newer ones push them out, as on a real node.

mod block;
mod call;
mod executor;
mod fees;
mod roots;
mod state;

use std::{
    collections::VecDeque,
    rc::Rc,
    time::{SystemTime, UNIX_EPOCH},
};

use alloy::{
    consensus::{Header, constants::EMPTY_WITHDRAWALS},
    eips::{eip1559::BaseFeeParams, eip7685::EMPTY_REQUESTS_HASH},
    primitives::{Address, B64, B256, Bytes, U256, map::B256Map},
};
use alloy_evm::EvmEnv;
use revm::{
    context::{BlockEnv, CfgEnv},
    context_interface::block::BlobExcessGasAndPrice,
    primitives::hardfork::SpecId,
};

use self::executor::Body;
pub(crate) use self::{
    block::{Block, Receipt, SharedBlock},
    call::CallRequest,
    executor::{Filler, Offer},
    state::{State, StateAt},
};
use crate::{blobs::PARAMS, config::Config, tx::SharedTx};

/// The rules of the chain: Ethereum's newest active hard fork.
pub(crate) const SPEC: SpecId = SpecId::OSAKA;

/// Smallest gas limit of a block (geth's `MinGasLimit`).
pub(crate) const GAS_LIMIT_MIN: u64 = 5_000;

/// Abandoned blocks that can still be had by hash.
const ORPHANS_MAX: usize = 256;

/// Where a transaction was mined.
#[derive(Clone, Debug)]
pub(crate) struct Mined {
    pub(crate) block: SharedBlock,
    pub(crate) index: usize,
}

/// A branch of blocks from genesis to the head, with the head's state.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) state: State,
    /// Canonical blocks, the head last. Never empty.
    blocks: VecDeque<SharedBlock>,
    orphans: VecDeque<B256>,
    by_hash: B256Map<SharedBlock>,
    /// Block number and position of each mined transaction.
    index: B256Map<(u64, usize)>,
    txs_held: usize,
    txs_max: usize,
    blocks_max: usize,
    chain_id: u64,
    gas_limit: u64,
    suggested_tip_wei: u128,
    safe_depth: u64,
    finalized_depth: u64,
    /// Base fees of the next blocks, set by request; when none is left the rule of EIP-1559 goes on.
    next_base_fees: VecDeque<u64>,
    /// Counts reorgs. It is part of each header, so that no block of a new branch has the hash of an old one.
    branch: u64,
}

impl Chain {
    /// A chain with a genesis block in which each of `rich` has `config.balance_wei`.
    pub(crate) fn new(config: &Config, rich: impl IntoIterator<Item = Address>) -> Self {
        let mut chain = Self {
            state: State::new(config.state_history_blocks),
            blocks: VecDeque::new(),
            orphans: VecDeque::new(),
            by_hash: B256Map::default(),
            index: B256Map::default(),
            txs_held: 0,
            txs_max: config.history_transactions,
            blocks_max: config.history_blocks.max(1),
            chain_id: config.chain_id,
            gas_limit: config.gas_limit,
            suggested_tip_wei: config.suggested_tip_wei,
            safe_depth: config.safe_depth,
            finalized_depth: config.finalized_depth,
            next_base_fees: VecDeque::new(),
            branch: 0,
        };
        for address in rich {
            chain.state.set_balance(address, config.balance_wei);
        }
        let genesis = Header {
            gas_limit: config.gas_limit,
            timestamp: unix_seconds(),
            base_fee_per_gas: Some(config.base_fee_wei),
            ..header_template()
        };
        chain.append(Block::new(genesis, Vec::new(), Vec::new()));
        chain
    }

    pub(crate) fn head(&self) -> &SharedBlock {
        self.blocks.back().expect("the genesis block is never taken away")
    }

    pub(crate) fn gas_limit(&self) -> u64 {
        self.gas_limit
    }

    pub(crate) fn set_gas_limit(&mut self, gas_limit: u64) {
        self.gas_limit = gas_limit;
    }

    /// Canonical block by number, if it is still in memory.
    pub(crate) fn block(&self, number: u64) -> Option<&SharedBlock> {
        let first = self.blocks.front()?.number();
        self.blocks.get(usize::try_from(number.checked_sub(first)?).ok()?)
    }

    /// Block by hash, orphans too.
    pub(crate) fn block_by_hash(&self, hash: &B256) -> Option<&SharedBlock> {
        self.by_hash.get(hash)
    }

    /// Whether the block is on the branch of the head.
    pub(crate) fn is_canonical(&self, block: &Block) -> bool {
        self.block(block.number()).is_some_and(|canonical| canonical.hash == block.hash)
    }

    pub(crate) fn safe_number(&self) -> u64 {
        self.head().number().saturating_sub(self.safe_depth)
    }

    pub(crate) fn finalized_number(&self) -> u64 {
        self.head().number().saturating_sub(self.finalized_depth)
    }

    /// The oldest block in memory.
    pub(crate) fn earliest_number(&self) -> u64 {
        self.blocks.front().map_or(0, |block| block.number())
    }

    /// Where a transaction was mined on the branch of the head.
    pub(crate) fn mined(&self, hash: &B256) -> Option<Mined> {
        let (number, index) = *self.index.get(hash)?;
        Some(Mined { block: Rc::clone(self.block(number)?), index })
    }

    pub(crate) fn set_next_base_fees(&mut self, fees: impl IntoIterator<Item = u64>) {
        self.next_base_fees = fees.into_iter().collect();
    }

    /// Base fee of the next block in wei.
    pub(crate) fn next_base_fee(&self) -> u64 {
        match self.next_base_fees.front() {
            Some(fee) => *fee,
            None => self.head().header.next_block_base_fee(BaseFeeParams::ethereum()).expect("every block here has a base fee"),
        }
    }

    /// Blob gas in excess of the target before the next block (EIP-4844, EIP-7918).
    pub(crate) fn next_excess_blob_gas(&self) -> u64 {
        let header = &self.head().header;
        let (excess, used) = (header.excess_blob_gas.unwrap_or_default(), header.blob_gas_used.unwrap_or_default());
        PARAMS.next_block_excess_blob_gas_osaka(excess, used, self.head().base_fee())
    }

    /// Seals a block; `fill` offers transactions to it. Returns it with the accounts it changed.
    pub(crate) fn seal(&mut self, fill: impl FnOnce(&mut Filler<'_>)) -> (SharedBlock, Vec<Address>) {
        let header = self.next_header();
        let env = env_of(&header, self.chain_id);
        let mut filler = Filler::new(&mut self.state, env);
        fill(&mut filler);
        let body = filler.finish();
        self.next_base_fees.pop_front();
        let block = self.sealed(header, body);
        let changed = self.append(block);
        (Rc::clone(self.head()), changed)
    }

    /// How many blocks a reorg can take back: what the undo logs and the blocks in memory allow.
    pub(crate) fn reorg_depth_max(&self) -> u64 {
        self.state.depth().min(self.blocks.len() as u64 - 1)
    }

    /// Takes `depth` blocks back and returns their transactions, in the order they were mined.
    ///
    /// # Panics
    ///
    /// When `depth` is more than `reorg_depth_max()`.
    pub(crate) fn rewind(&mut self, depth: u64) -> Vec<SharedTx> {
        assert!(depth <= self.reorg_depth_max(), "the caller checks the depth");
        self.branch += 1;
        let mut abandoned = Vec::new();
        for _ in 0..depth {
            let block = self.blocks.pop_back().expect("bounded by the depth");
            self.state.open_block();
            for tx in &block.txs {
                self.index.remove(&tx.hash);
            }
            self.txs_held -= block.txs.len();
            self.orphans.push_back(block.hash);
            abandoned.push(block);
        }
        while self.orphans.len() > ORPHANS_MAX {
            if let Some(hash) = self.orphans.pop_front() {
                self.by_hash.remove(&hash);
            }
        }
        abandoned.iter().rev().flat_map(|block| block.txs.iter().cloned()).collect()
    }

    /// The environment of a call in a block.
    pub(crate) fn env(&self, block: &Block) -> EvmEnv {
        env_of(&block.header, self.chain_id)
    }

    fn next_header(&self) -> Header {
        let parent = self.head();
        let number = parent.number() + 1;
        Header {
            parent_hash: parent.hash,
            number,
            gas_limit: self.gas_limit,
            // Blocks faster than one a second share a timestamp rather than run ahead of the clock.
            timestamp: unix_seconds().max(parent.header.timestamp),
            base_fee_per_gas: Some(self.next_base_fee()),
            excess_blob_gas: Some(self.next_excess_blob_gas()),
            mix_hash: roots::randomness(parent.hash, self.branch),
            extra_data: Bytes::copy_from_slice(&self.branch.to_be_bytes()),
            ..header_template()
        }
    }

    fn sealed(&self, mut header: Header, body: Body) -> Block {
        header.gas_used = body.gas_used;
        header.blob_gas_used = Some(body.blob_gas_used);
        header.logs_bloom = body.bloom;
        header.transactions_root = roots::transactions(&body.txs);
        header.receipts_root = roots::receipts(&body.txs, &body.receipts);
        header.state_root = roots::state(self.head(), &[header.transactions_root, header.receipts_root]);
        Block::new(header, body.txs, body.receipts)
    }

    fn append(&mut self, block: Block) -> Vec<Address> {
        let changed = self.state.close_block(block.number(), block.hash);
        for (position, tx) in block.txs.iter().enumerate() {
            self.index.insert(tx.hash, (block.number(), position));
        }
        self.txs_held += block.txs.len();
        let block = Rc::new(block);
        self.by_hash.insert(block.hash, Rc::clone(&block));
        self.blocks.push_back(block);
        self.forget_old();
        changed
    }

    fn forget_old(&mut self) {
        while self.blocks.len() > 1 && (self.txs_held > self.txs_max || self.blocks.len() > self.blocks_max) {
            let Some(block) = self.blocks.pop_front() else { return };
            self.txs_held -= block.txs.len();
            self.by_hash.remove(&block.hash);
            for tx in &block.txs {
                self.index.remove(&tx.hash);
            }
        }
    }
}

/// The fields that are the same in every header.
fn header_template() -> Header {
    Header {
        difficulty: U256::ZERO,
        nonce: B64::ZERO,
        withdrawals_root: Some(EMPTY_WITHDRAWALS),
        blob_gas_used: Some(0),
        excess_blob_gas: Some(0),
        parent_beacon_block_root: Some(B256::ZERO),
        requests_hash: Some(EMPTY_REQUESTS_HASH),
        ..Header::default()
    }
}

fn env_of(header: &Header, chain_id: u64) -> EvmEnv {
    let cfg_env = CfgEnv::new_with_spec(SPEC).with_chain_id(chain_id);
    let block_env = BlockEnv {
        number: U256::from(header.number),
        beneficiary: header.beneficiary,
        timestamp: U256::from(header.timestamp),
        gas_limit: header.gas_limit,
        basefee: header.base_fee_per_gas.expect("every block here has a base fee"),
        prevrandao: Some(header.mix_hash),
        blob_excess_gas_and_price: header.excess_blob_gas.map(|excess| BlobExcessGasAndPrice::new_with_spec(excess, SPEC)),
        ..BlockEnv::default()
    };
    EvmEnv::new(cfg_env, block_env)
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
