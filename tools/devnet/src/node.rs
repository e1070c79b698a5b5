//! A node: the chain, its pool, and the faults, without any socket.

use std::rc::Rc;

use alloy::primitives::{Address, B256, U256};

use crate::{
    StartError, accounts,
    chain::{Chain, GAS_LIMIT_MIN, Offer, SharedBlock},
    config::Config,
    error::RpcError,
    faults::Strike,
    pool::Pool,
    rpc::{self, Session},
    tricks::{SocketErrand, Tricks},
};

/// Counts of what a node has done.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) calls: u64,
    pub(crate) admitted: u64,
    pub(crate) refused: u64,
    pub(crate) included: u64,
    pub(crate) reorgs: u64,
}

/// A dev chain in this process: everything but the sockets. It belongs to one thread.
#[derive(Debug)]
pub struct Node {
    pub(crate) chain: Chain,
    pub(crate) pool: Pool,
    pub(crate) tricks: Tricks,
    pub(crate) counts: Counts,
    pub(crate) dev_accounts: Vec<Address>,
    pub(crate) chain_id: u64,
    pub(crate) max_batch: usize,
    /// Blocks nobody was told of yet.
    news: Vec<SharedBlock>,
    /// What the server does after the request in hand.
    pub(crate) errands: Errands,
}

/// What a `devnet_*` call asks of the server.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Errands {
    /// New time between blocks in milliseconds; zero stops sealing.
    pub(crate) block_time_ms: Option<u64>,
    /// What the sockets are to do.
    pub(crate) sockets: SocketErrand,
}

impl Node {
    /// A node with a genesis block.
    ///
    /// # Errors
    ///
    /// When the mnemonic is no BIP-39 phrase, or the gas limit is below 5,000.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        if config.gas_limit < GAS_LIMIT_MIN {
            return Err(StartError::GasLimit(config.gas_limit));
        }
        let signers = accounts::derive(&config.mnemonic, config.accounts)?;
        let dev_accounts: Vec<Address> = signers.iter().map(|signer| signer.address()).collect();
        Ok(Self {
            chain: Chain::new(config, dev_accounts.iter().copied()),
            pool: Pool::new(config),
            tricks: Tricks::default(),
            counts: Counts::default(),
            dev_accounts,
            chain_id: config.chain_id,
            max_batch: config.max_batch,
            news: Vec::new(),
            errands: Errands::default(),
        })
    }

    /// Admits a transaction in its EIP-2718 encoding and returns its hash.
    ///
    /// # Errors
    ///
    /// geth's code and message for the first rule of the pool that it breaks.
    pub fn send_raw(&mut self, raw: &[u8]) -> Result<B256, RpcError> {
        let result = self.pool.add(raw, &self.chain.state, self.chain.gas_limit());
        match &result {
            Ok(_) => self.counts.admitted += 1,
            Err(_) => self.counts.refused += 1,
        }
        result
    }

    /// Seals a block from the pool and returns how many transactions it took.
    pub fn seal(&mut self) -> usize {
        let mut best = self.pool.best(self.chain.next_base_fee());
        let (block, changed) = self.chain.seal(|filler| {
            while let Some(tx) = best.peek().filter(|_| !filler.is_full()) {
                match filler.offer(tx) {
                    Offer::Taken => best.advance(),
                    Offer::NoRoom | Offer::Refused => best.skip_sender(),
                }
            }
        });
        drop(best);
        self.pool.follow(changed, &self.chain.state, self.chain.gas_limit());
        self.counts.included += block.txs.len() as u64;
        let taken = block.txs.len();
        self.news.push(block);
        taken
    }

    /// Answers a JSON-RPC request or batch; no reply to a request made of notifications only.
    pub fn respond(&mut self, body: &[u8]) -> Option<Vec<u8>> {
        rpc::respond(self, body, None)
    }

    /// As `respond`, for a connection that can have subscriptions.
    pub(crate) fn respond_in(&mut self, body: &[u8], session: &mut Session) -> Option<Vec<u8>> {
        rpc::respond(self, body, Some(session))
    }

    /// What happens to this request, if a fault waits for it.
    pub(crate) fn strike(&mut self, body: &[u8]) -> Option<Strike> {
        self.counts.requests += 1;
        if self.tricks.faults.is_empty() {
            return None;
        }
        let methods = rpc::methods(body);
        let methods: Vec<&str> = methods.iter().map(AsRef::as_ref).collect();
        self.tricks.strike(&methods)
    }

    /// Blocks sealed since the last time this was asked.
    pub(crate) fn take_news(&mut self) -> Vec<SharedBlock> {
        std::mem::take(&mut self.news)
    }

    /// Replaces the newest `depth` blocks by `length` others.
    ///
    /// With `requeue` the transactions of the old blocks go back to the pool; with `include` the new blocks take from the
    /// pool, otherwise they are empty.
    pub(crate) fn reorg(&mut self, depth: u64, length: u64, requeue: bool, include: bool) -> Result<(), RpcError> {
        let most = self.chain.reorg_depth_max();
        if depth == 0 || depth > most {
            return Err(RpcError::params(format!("a reorg of {depth} blocks is not possible: 1 to {most} are")));
        }
        let abandoned = self.chain.rewind(depth);
        self.counts.reorgs += 1;
        let gas_limit = self.chain.gas_limit();
        self.pool.follow_all(&self.chain.state, gas_limit);
        if requeue {
            self.pool.readmit(abandoned, &self.chain.state);
        }
        for _ in 0..length {
            if include {
                self.seal();
            } else {
                let (block, changed) = self.chain.seal(|_| {});
                self.pool.follow(changed, &self.chain.state, gas_limit);
                self.news.push(block);
            }
        }
        Ok(())
    }

    /// Sets a balance at once, outside of any block.
    pub(crate) fn set_balance(&mut self, address: Address, balance: U256) {
        self.chain.state.set_balance(address, balance);
        self.pool.follow([address], &self.chain.state, self.chain.gas_limit());
    }

    /// Sets the gas limit of the next blocks.
    pub(crate) fn set_gas_limit(&mut self, gas_limit: u64) -> Result<(), RpcError> {
        if gas_limit < GAS_LIMIT_MIN {
            return Err(RpcError::params(format!("a gas limit of {gas_limit} is below the least, {GAS_LIMIT_MIN}")));
        }
        self.chain.set_gas_limit(gas_limit);
        self.pool.follow_all(&self.chain.state, gas_limit);
        Ok(())
    }

    /// The newest block whose receipts the call in hand sees, if any: the lag hides newer ones.
    pub(crate) fn receipts_until(&mut self) -> Option<u64> {
        self.chain.head().number().checked_sub(self.tricks.lies.receipt_lag())
    }

    /// A block by hash, shared so that a reply can be written from it.
    pub(crate) fn block_by_hash(&self, hash: &B256) -> Option<SharedBlock> {
        self.chain.block_by_hash(hash).map(Rc::clone)
    }
}
