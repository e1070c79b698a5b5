//! What millrace decides: shards, the transaction manager, the chain follower and the API.
//!
//! ```text
//!    callers                                                                              Ethereum node
//!      │ JSON-RPC (api, facade) or in process                                                 ▲   │
//!      ▼                                                                                      │   │ heads, receipts
//!   ┌────────┐ by signer ┌───────────────────────── shard (one a core) ───────────────────┐   │   │
//!   │ engine ├──────────►│ mailbox ─► txmgr: gas ─► sign ─► persist ─► submit ─► confirm  ├───┘   │
//!   │ handle │           └───────▲──────────────────────┬──────────────────────▲──────────┘       │
//!   └───┬────┘                   │ acknowledged         │ records              │ receipts          │
//!       │ reads                  │                      ▼                      │                   │
//!       │            ┌───────────┴──────────── submission writer ───┐   ┌──────┴─────┐             │
//!       └─ readers ─►│ one WriteBatch, one fsync, for all shards    │◄──┤  chain     │◄────────────┘
//!                    └──────────────────────────────────────────────┘   └────────────┘ one follower, on shard 0
//! ```
//!
//! Every decision is a state machine without I/O, clock or lock: [`txmgr`] and [`chain::Follower`]. [`shard`] feeds them and
//! carries out what they ask, on any [`netio::Room`]; so the same code runs on io_uring, on epoll and under the simulator.
//! [`api`] and [`facade`] stand on `jsonrpc`, which serves HTTP and WebSocket: millrace's own methods, and those of an Ethereum node.
//! [`sequencer`] has the tables and the dependencies of private transactions, which nothing walks yet. [`feed`] tells how transactions ended, in one order. [`blobs`] proves what a transaction of type 3 carries. [`doctor`] looks at the machine before any of that. [`recover`] reads what is open when the engine starts, [`readers`] what others ask later. [`sabotage`] and [`point`] serve the
//! simulator and are nothing without the features of those names.

pub mod allocator;
pub mod api;
pub mod blobs;
pub mod chain;
pub mod config;
pub mod doctor;
pub mod engine;
pub mod facade;
pub mod feed;
mod jsonrpc;
pub mod keys;
pub mod metrics;
pub mod point;
pub mod query;
pub mod readers;
pub mod recover;
pub mod sabotage;
pub mod sequencer;
pub mod shard;
pub mod txmgr;
pub mod view;

pub use config::Config;
pub use engine::{Engine, Running, Submission, SubmitError, start};
pub use storage::{Fees, Request};
