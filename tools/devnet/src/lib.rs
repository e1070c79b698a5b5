//! An embedded dev chain: a real EVM behind JSON-RPC with the rules of a real pool and faults on request.
//!
//! # The path of a transaction
//!
//! ```text
//! HTTP or WebSocket ─► server ─► faults ─► rpc ─► pool ──(block time)──► chain ─► newHeads
//!                      bytes     cut,      JSON   admitted once:         EVM,
//!                                hold,            sender recovered,      receipts,
//!                                429              rules of geth          undo log
//! ```
//!
//! 1. `server` reads a request (one thread serves everything, so a request never waits for a lock).
//! 2. `faults` decides whether the request is refused, held or cut, before or after it takes effect.
//! 3. `rpc` takes the JSON apart and runs the calls of a batch in order.
//! 4. `pool` decodes a raw transaction, recovers its sender **once**, and applies geth's rules in geth's order.
//! 5. Every block time, the best executable transactions are run by revm and become a block with true receipts.
//!    Nothing is recovered or checked twice, and nothing is written to a trie of the state.
//! 6. The block's undo log makes older states readable and lets `devnet_reorg` take blocks back.
//!
//! Faults, lies and refusals (`tricks`) are also those of [`proxy`], which stands in front of any other node.
//!
//! # How it fails
//!
//! A refused transaction is answered with geth's code and message and leaves no trace. A request for state or blocks
//! older than the bounded history is answered with an error or `null`, never with another block's data. The chain lives
//! in memory: when the process ends it is gone.
//!
//! # Example
//!
//! ```
//! let node = devnet::start(devnet::Config::default())?;
//! assert!(node.url().starts_with("http://127.0.0.1:"));
//! node.stop();
//! # Ok::<(), devnet::StartError>(())
//! ```

pub mod accounts;
mod blobs;
mod chain;
mod config;
mod error;
mod faults;
mod json;
mod lies;
mod node;
mod pool;
pub mod proxy;
mod rpc;
mod server;
mod tricks;
mod tx;

pub use config::{Config, Mnemonic};
pub use error::RpcError;
pub use faults::{Action, Rule, When};
pub use lies::Refusal;
pub use node::Node;
pub use server::{Handle, StartError, serve, start};
