//! The state of all accounts, with an undo log for each of the newest blocks.
//!
//! There is no trie: the head's state is three hash maps. Before a block changes a value for the first time, the old
//! value goes into the block's undo log. Taking a block back applies its log; reading at an older block looks for the
//! first log after that block that has the value. Both are bounded by the number of logs kept.

use std::{collections::VecDeque, convert::Infallible};

use alloy::primitives::{
    Address, B256, KECCAK256_EMPTY, U256,
    map::{AddressMap, B256Map, HashMap},
};
use revm::{
    Database, DatabaseCommit, DatabaseRef,
    bytecode::Bytecode,
    state::{Account, AccountInfo},
};

/// Blocks whose hash the EVM's `BLOCKHASH` can see.
const BLOCK_HASHES: u64 = 256;

/// What a block's changes replaced. `None`: the account did not exist.
#[derive(Debug, Default)]
struct Undo {
    accounts: AddressMap<Option<AccountInfo>>,
    storage: HashMap<(Address, U256), U256>,
}

/// The state at the head, and the way back.
#[derive(Debug)]
pub(crate) struct State {
    accounts: AddressMap<AccountInfo>,
    storage: HashMap<(Address, U256), U256>,
    codes: B256Map<Bytecode>,
    block_hashes: HashMap<u64, B256>,
    /// Changes since the head was sealed.
    open: Undo,
    /// One log for each of the newest blocks, the head's last.
    closed: VecDeque<Undo>,
    head: u64,
    history_blocks: usize,
}

impl State {
    pub(crate) fn new(history_blocks: usize) -> Self {
        Self {
            accounts: AddressMap::default(),
            storage: HashMap::default(),
            codes: B256Map::default(),
            block_hashes: HashMap::default(),
            open: Undo::default(),
            closed: VecDeque::new(),
            head: 0,
            history_blocks,
        }
    }

    pub(crate) fn account(&self, address: &Address) -> Option<&AccountInfo> {
        self.accounts.get(address)
    }

    pub(crate) fn nonce_and_balance(&self, address: &Address) -> (u64, U256) {
        self.accounts.get(address).map_or((0, U256::ZERO), |account| (account.nonce, account.balance))
    }

    /// Sets a balance outside of any block; a reorg of the head takes it back.
    pub(crate) fn set_balance(&mut self, address: Address, balance: U256) {
        let mut info = self.accounts.get(&address).cloned().unwrap_or_default();
        info.balance = balance;
        self.replace(address, Some(info));
    }

    /// Ends a block: what changed since the last one becomes its undo log. Returns the accounts that changed.
    pub(crate) fn close_block(&mut self, number: u64, hash: B256) -> Vec<Address> {
        self.head = number;
        self.block_hashes.insert(number, hash);
        // As many more as a reorg may take back, so that the new branch still sees all of its own.
        let kept = BLOCK_HASHES + self.history_blocks as u64;
        self.block_hashes.remove(&number.wrapping_sub(kept));
        let undo = std::mem::take(&mut self.open);
        let changed = undo.accounts.keys().copied().collect();
        self.closed.push_back(undo);
        if self.closed.len() > self.history_blocks {
            self.closed.pop_front();
        }
        changed
    }

    /// How many blocks can be taken back. The genesis stays.
    pub(crate) fn depth(&self) -> u64 {
        (self.closed.len() as u64).min(self.head)
    }

    /// Takes the head block back, together with what changed after it.
    pub(crate) fn open_block(&mut self) {
        let open = std::mem::take(&mut self.open);
        self.apply(open);
        if let Some(undo) = self.closed.pop_back() {
            self.apply(undo);
        }
        self.block_hashes.remove(&self.head);
        self.head -= 1;
    }

    /// The state after a block; `None` if its undo logs are gone.
    pub(crate) fn at(&self, block: u64) -> Option<StateAt<'_>> {
        let behind = self.head.checked_sub(block)?;
        (behind <= self.closed.len() as u64).then_some(StateAt { state: self, block })
    }

    fn apply(&mut self, undo: Undo) {
        for (address, old) in undo.accounts {
            match old {
                Some(info) => self.accounts.insert(address, info),
                None => self.accounts.remove(&address),
            };
        }
        for (slot, old) in undo.storage {
            self.set_slot(slot, old);
        }
    }

    fn replace(&mut self, address: Address, info: Option<AccountInfo>) {
        let old = match info {
            Some(info) => self.accounts.insert(address, info),
            None => self.accounts.remove(&address),
        };
        self.open.accounts.entry(address).or_insert(old);
    }

    fn set_slot(&mut self, slot: (Address, U256), value: U256) -> U256 {
        let old = if value.is_zero() { self.storage.remove(&slot) } else { self.storage.insert(slot, value) };
        old.unwrap_or_default()
    }

    fn commit_account(&mut self, address: Address, mut account: Account) {
        if !account.is_touched() {
            return;
        }
        if account.is_selfdestructed() || account.info.is_empty() {
            // EIP-6780: only an account created by the same transaction goes, so it has no stored slots. EIP-161: an
            // empty account that was touched goes too.
            if self.accounts.contains_key(&address) {
                self.replace(address, None);
            }
            return;
        }
        if let Some(code) = account.info.code.take()
            && account.info.code_hash != KECCAK256_EMPTY
        {
            self.codes.entry(account.info.code_hash).or_insert(code);
        }
        for (key, slot) in account.storage {
            if slot.is_changed() {
                let old = self.set_slot((address, key), slot.present_value);
                self.open.storage.entry((address, key)).or_insert(old);
            }
        }
        self.replace(address, Some(account.info));
    }

    fn code(&self, hash: &B256) -> Bytecode {
        self.codes.get(hash).cloned().unwrap_or_default()
    }
}

impl Database for State {
    type Error = Infallible;

    fn basic(&mut self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.accounts.get(&address).cloned())
    }

    fn code_by_hash(&mut self, hash: B256) -> Result<Bytecode, Infallible> {
        Ok(self.code(&hash))
    }

    fn storage(&mut self, address: Address, key: U256) -> Result<U256, Infallible> {
        Ok(self.storage.get(&(address, key)).copied().unwrap_or_default())
    }

    fn block_hash(&mut self, number: u64) -> Result<B256, Infallible> {
        Ok(self.block_hashes.get(&number).copied().unwrap_or_default())
    }
}

impl DatabaseCommit for State {
    fn commit(&mut self, changes: AddressMap<Account>) {
        for (address, account) in changes {
            self.commit_account(address, account);
        }
    }
}

/// The state after one block, read-only.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StateAt<'a> {
    state: &'a State,
    block: u64,
}

impl StateAt<'_> {
    pub(crate) fn account(&self, address: &Address) -> Option<AccountInfo> {
        match self.logs_after().find_map(|undo| undo.accounts.get(address)) {
            Some(old) => old.clone(),
            None => self.state.accounts.get(address).cloned(),
        }
    }

    pub(crate) fn slot(&self, address: Address, key: U256) -> U256 {
        let slot = (address, key);
        let old = self.logs_after().find_map(|undo| undo.storage.get(&slot));
        old.or_else(|| self.state.storage.get(&slot)).copied().unwrap_or_default()
    }

    pub(crate) fn code(&self, hash: &B256) -> Bytecode {
        self.state.code(hash)
    }

    /// The logs of the later blocks, the oldest first. The head's state includes what changed since it was sealed.
    fn logs_after(&self) -> impl Iterator<Item = &Undo> {
        let behind = usize::try_from(self.state.head - self.block).expect("bounded by the logs in memory");
        let first = self.state.closed.len() - behind;
        let open = (behind > 0).then_some(&self.state.open);
        self.state.closed.range(first..).chain(open)
    }
}

impl DatabaseRef for StateAt<'_> {
    type Error = Infallible;

    fn basic_ref(&self, address: Address) -> Result<Option<AccountInfo>, Infallible> {
        Ok(self.account(&address))
    }

    fn code_by_hash_ref(&self, hash: B256) -> Result<Bytecode, Infallible> {
        Ok(self.code(&hash))
    }

    fn storage_ref(&self, address: Address, key: U256) -> Result<U256, Infallible> {
        Ok(self.slot(address, key))
    }

    fn block_hash_ref(&self, number: u64) -> Result<B256, Infallible> {
        let known = number <= self.block;
        Ok(self.state.block_hashes.get(&number).filter(|_| known).copied().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: Address = Address::repeat_byte(0xa1);

    fn balance(state: &State, block: u64) -> Option<U256> {
        Some(state.at(block)?.account(&ALICE).map_or(U256::ZERO, |account| account.balance))
    }

    fn state_with_blocks(count: u64, history_blocks: usize) -> State {
        let mut state = State::new(history_blocks);
        for number in 0..count {
            state.set_balance(ALICE, U256::from(100 + number));
            state.close_block(number, B256::with_last_byte(1));
        }
        state
    }

    #[test]
    fn older_blocks_show_the_state_they_had() {
        let state = state_with_blocks(4, 10);
        for number in 0..4 {
            assert_eq!(balance(&state, number), Some(U256::from(100 + number)));
        }
        assert_eq!(balance(&state, 4), None, "the future has no state");
    }

    #[test]
    fn state_beyond_the_history_is_gone_and_not_wrong() {
        let state = state_with_blocks(6, 2);
        assert_eq!(balance(&state, 3), Some(U256::from(103)));
        assert_eq!(balance(&state, 2), None);
        assert_eq!(state.depth(), 2);
    }

    #[test]
    fn taking_a_block_back_restores_what_was_before_it() {
        let mut state = state_with_blocks(3, 10);
        state.set_balance(ALICE, U256::from(7));
        state.open_block();
        assert_eq!(state.nonce_and_balance(&ALICE).1, U256::from(101));
        assert_eq!(balance(&state, 0), Some(U256::from(100)));
    }
}
