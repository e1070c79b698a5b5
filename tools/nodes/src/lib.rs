//! The nodes that others have written, and the clients ([`clients`]), for tests and demos: where their programs are, how they are set up, and a process that
//! ends with whoever started it.
//!
//! ```text
//! anvil::program / geth::program ─► prepare (geth: a genesis) ─► command ─► Running: killed when dropped
//! ```
//!
//! Both nodes hold the accounts of the public test mnemonic, rich, and have the chain id of the project's dev chain, so that a
//! test can be run on either. What finds no program says which one it wanted, where it looked and what to do; it never goes on
//! without.

pub mod anvil;
pub mod clients;
mod error;
pub mod geth;
mod running;

use std::path::PathBuf;

pub use error::NodeError;
pub use running::Running;

/// Where the set-up keeps what is not in the checkout: `$XDG_CACHE_HOME/millrace`, in `~/.cache` if that is not set.
fn cache() -> Result<PathBuf, NodeError> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(cache.ok_or(NodeError::NoCache)?.join("millrace"))
}

/// Chain id of every node started here, as of the project's dev chain.
pub const CHAIN_ID: u64 = 31_337;

/// The public mnemonic whose accounts are rich on every node. Its keys are known to everybody.
pub const MNEMONIC: &str = "test test test test test test test test test test test junk";

/// The first ten accounts of [`MNEMONIC`] at `m/44'/60'/0'/0/i`, in lower case.
pub const ACCOUNTS: [&str; 10] = [
    "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
    "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
    "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
    "0x90f79bf6eb2c4f870365e785982e1f101e93b906",
    "0x15d34aaf54267db7d7c367839aaf71a00a2c6a65",
    "0x9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
    "0x976ea74026e726554db657fa54763abd0c3a0aa9",
    "0x14dc79964da2c08b23698b3d3cc7ca32193d9955",
    "0x23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f",
    "0xa0ee7a142d267c1f36714e4a8f75612f20a79720",
];
