//! The contracts that scenarios call, written by hand in EVM code, and where they are.
//!
//! They belong to one key that everybody can derive, at its nonces 0 and 1, so their addresses are the same on every chain and a
//! run needs not be told where they are.

use alloy::primitives::{Address, Bytes, U256, keccak256};
use alloy::signers::local::Secp256k1Signer;
use anyhow::Context;

/// Gas limit of a deployment; the token takes 80,000 and the storage contract 60,000.
pub(crate) const DEPLOY_GAS: u64 = 200_000;

/// `transfer(address,uint256)` (ERC-20).
pub(crate) const SELECTOR_TRANSFER: [u8; 4] = [0xa9, 0x05, 0x9c, 0xbb];

/// A token in which everybody begins with 2^128 units. The slot of an account is its address and holds what came in less what
/// went out, so that no account has to be given any before a run. `transfer` checks the balance, writes both slots and logs
/// `Transfer`; `balanceOf` answers; everything else reverts.
const TOKEN: &str = concat!(
    "5f3560e01c",             // selector
    "8063a9059cbb14601b57",   // transfer at 1b
    "6370a0823114606c57",     // balanceOf at 6c
    "5f5ffd",                 // revert
    "5b602435",               // 1b: the amount
    "33548181600160801b0110", // what the caller has < amount?
    "607d57",                 // revert at 7d
    "8190033355",             // the caller's slot less the amount
    "600435805482018155",     // the recipient's slot plus the amount
    "905f52",                 // the amount in memory, for the event
    "337fddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef",
    "60205fa3",                           // Transfer(caller, recipient, amount)
    "60015f5260205ff3",                   // true
    "5b60043554600160801b015f5260205ff3", // 6c: balance
    "5b5f5ffd",                           // 7d: revert
);

/// Writes the word of its input into the four slots that begin at 256 times that word.
const STORAGE: &str = concat!("5f35", "8060081b", "818155", "600101818155", "600101818155", "600101818155", "00");

/// What each contract is, in the order of the deployer's nonces.
pub(crate) fn init_codes() -> [Bytes; 2] {
    [TOKEN, STORAGE].map(|code| init_code(&alloy::hex::decode(code).expect("the code is constant and in hex")).into())
}

/// Code that deploys `runtime`.
pub(crate) fn init_code(runtime: &[u8]) -> Vec<u8> {
    let length = u16::try_from(runtime.len()).expect("a runtime is shorter than 64 KiB").to_be_bytes();
    // push the length, copy the runtime from behind these ten bytes, return it
    let mut code = vec![0x61, length[0], length[1], 0x80, 0x60, 0x0a, 0x5f, 0x39, 0x5f, 0xf3];
    code.extend_from_slice(runtime);
    code
}

/// The key that deploys.
pub(crate) fn deployer() -> anyhow::Result<Secp256k1Signer> {
    Secp256k1Signer::from_bytes(&keccak256(b"millrace load deployer")).context("the deployer's key is not on the curve")
}

/// Where the contracts are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contracts {
    /// The token.
    pub(crate) token: Address,
    /// The contract that writes storage.
    pub(crate) storage: Address,
}

impl Contracts {
    /// The same on every chain.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let deployer = deployer()?.address();
        Ok(Self { token: deployer.create(0), storage: deployer.create(1) })
    }
}

/// Input of a token transfer.
pub(crate) fn token_transfer(to: Address, amount: U256) -> Bytes {
    let mut input = SELECTOR_TRANSFER.to_vec();
    input.extend_from_slice(to.into_word().as_slice());
    input.extend_from_slice(&amount.to_be_bytes::<32>());
    input.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_of_the_token_land_on_jump_destinations() {
        let code = alloy::hex::decode(TOKEN).expect("hex");
        assert_eq!(code.len(), 0x81);
        assert_eq!([code[0x1b], code[0x6c], code[0x7d]], [0x5b; 3]);
    }

    #[test]
    fn the_events_topic_is_the_hash_of_its_signature() {
        let topic = alloy::hex::encode(keccak256(b"Transfer(address,address,uint256)"));
        assert!(TOKEN.contains(&topic));
        assert_eq!(keccak256(b"transfer(address,uint256)")[..4], SELECTOR_TRANSFER);
    }

    #[test]
    fn the_contracts_are_always_at_the_same_place() {
        let contracts = Contracts::new().expect("the key is good");
        assert_eq!(contracts, Contracts::new().expect("the key is good"));
        assert_ne!(contracts.token, contracts.storage);
    }
}
