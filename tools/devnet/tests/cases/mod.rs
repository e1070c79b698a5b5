//! Fifty cases of a pool, of receipts and of errors, the same for every node.
//!
//! A case acts on a node through JSON-RPC and returns one line: what it saw. The table beside it says what devnet shows,
//! and where anvil shows something else, what that is; what geth shows otherwise is in a list of its own, which is short. Blocks come only when a case mines one, so that every line is the
//! same in every run. Each case has an account of its own.

#![allow(dead_code, reason = "each node's test uses its own column and commands")]

#[path = "../kit/mod.rs"]
pub(crate) mod kit;

mod errors;
mod pool;
mod receipts;

use alloy::{
    consensus::TxEip1559,
    primitives::{Address, B256, U256},
    signers::local::PrivateKeySigner,
};
use serde_json::json;

use kit::{CallError, Client};

/// Gas limit of a block for the cases: below the limit of EIP-7825, so that a transaction can exceed it.
pub(crate) const GAS_LIMIT: u64 = 10_000_000;
/// Chain id of all nodes.
pub(crate) const CHAIN_ID: u64 = 31_337;

/// How to command a node beyond the standard methods.
pub(crate) trait Commands {
    /// Seals a block from the pool.
    fn mine(&self, client: &Client);
    /// Sets the balance of an account.
    fn set_balance(&self, client: &Client, address: Address, wei: U256);
}

/// A node with a method for each command.
pub(crate) struct Methods {
    pub(crate) mine: &'static str,
    pub(crate) set_balance: &'static str,
}

impl Commands for Methods {
    fn mine(&self, client: &Client) {
        client.ask(self.mine, json!([]));
    }

    fn set_balance(&self, client: &Client, address: Address, wei: U256) {
        client.ask(self.set_balance, json!([address, wei]));
    }
}

/// A node under test.
pub(crate) struct World {
    pub(crate) client: Client,
    pub(crate) commands: Box<dyn Commands>,
}

impl World {
    pub(crate) fn mine(&self) {
        self.commands.mine(&self.client);
    }

    pub(crate) fn set_balance(&self, address: Address, wei: U256) {
        self.commands.set_balance(&self.client, address, wei);
    }

    /// A new account with a thousand ether, or as many wei as said.
    pub(crate) fn account(&self, name: &str, balance_wei: U256) -> PrivateKeySigner {
        let signer = kit::signer(name);
        self.set_balance(signer.address(), balance_wei);
        signer
    }

    pub(crate) fn rich(&self, name: &str) -> PrivateKeySigner {
        self.account(name, U256::from(10).pow(U256::from(21)))
    }

    /// Sends a transaction that must be accepted.
    pub(crate) fn accepted(&self, signer: &PrivateKeySigner, tx: TxEip1559) -> B256 {
        self.client.send(&kit::sign(signer, tx)).expect("the transaction is accepted")
    }

    /// Base fee of the head block in wei.
    pub(crate) fn base_fee(&self) -> u128 {
        u128::from(kit::number(&self.client.ask("eth_getBlockByNumber", json!(["latest", false]))["baseFeePerGas"]))
    }

    pub(crate) fn is_mined(&self, hash: B256) -> bool {
        !self.client.receipt(hash).is_null()
    }
}

/// `ok`, or the code and message of the error.
pub(crate) fn verdict<T>(result: Result<T, CallError>) -> String {
    result.map_or_else(|error| error.to_string(), |_| "ok".to_owned())
}

/// An address in the form of JSON replies.
pub(crate) fn lower(address: Address) -> String {
    format!("{address:#x}")
}

/// What anvil shows.
pub(crate) enum Anvil {
    /// The same as devnet.
    Same,
    /// Another line.
    Differs(&'static str),
}

/// One case.
pub(crate) struct Case {
    /// What it is about, as a sentence.
    pub(crate) name: &'static str,
    pub(crate) run: fn(&World) -> String,
    pub(crate) devnet: &'static str,
    pub(crate) anvil: Anvil,
}

/// What geth shows where it is not what devnet shows: the name of the case, and the line.
pub(crate) const GETH_DIFFERS: &[(&str, &str)] = &[];

/// All cases.
pub(crate) fn all() -> Vec<Case> {
    [pool::cases(), receipts::cases(), errors::cases()].into_iter().flatten().collect()
}

/// Runs all cases and fails with every line that is not the expected one.
pub(crate) fn run(world: &World, expected: impl Fn(&Case) -> &'static str) {
    let mut wrong = Vec::new();
    for case in all() {
        let seen = (case.run)(world);
        let expected = expected(&case);
        if seen != expected {
            wrong.push(format!("{}\n  expected: {expected}\n  seen:     {seen}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} cases differ:\n{}", wrong.len(), wrong.join("\n"));
}
