//! A core: its loop, its mailbox, and which addresses live there.
//!
//! ```text
//!   callers ─► mailbox (bounded) ─┐                                  ┌─► link ─► writer (one fsync for all shards)
//!   writer ──► acks ──────────────┤   one run:                       ├─► lanes ─► node
//!   lanes, asks ─► local events ──┼─► manager.handle … sign … flush ─┼─► asks ─► node
//!   follower ─► blocks ───────────┘                                  └─► replies ─► callers
//! ```
//!
//! A shard sleeps until its bell is rung; whoever puts something into one of its queues rings it. Work is done in bounded
//! runs: what a run accepts is signed together, committed together and sent together.
//!
//! Nothing here decides anything about a transaction; that is [`txmgr`](crate::txmgr)'s. The same loop runs on both executors
//! and under the simulator.

mod asks;
mod batches;
mod blocks;
mod copies;
mod dependents;
mod ended;
mod follow;
mod inbox;
mod keep;
pub mod mailbox;
mod placement;
mod price;
mod questions;
mod run;
mod send;
mod sign;
mod signing;
mod watches;

pub use follow::FollowParts;
pub use keep::KeepOrder;
pub use mailbox::{Mail, SubmitBatch};
pub use placement::shard_of;
pub use price::PriceDesk;
pub use questions::{PauseOrder, Question, TransactionOrder};
pub use run::{Shard, ShardParts};
pub use sign::{Unsigned, sign};
pub use watches::Watch;
