//! The feed: how transactions ended, in one order, for whoever keeps something else up to date with it (row E1).
//!
//! ```text
//! block stored, failure on disk ─► storage: rows of endings ─► page: what is deep enough, above a sequence ─► a consumer
//!                     └──────────► news: there may be more ──────────────────────────────────────────────────────┘
//! ```
//!
//! Every ending has a sequence. A transaction has ended when its block has the required depth, or when it has failed. Blocks and failures
//! stand in the order in which they got to disk, and none is told before those in front of it: a failure behind a block that is not deep
//! enough yet waits for that.
//!
//! **A reorg** that takes back an ending makes it void: it is not told any more. When the transaction ends again, it does with a new
//! sequence, greater than all before. So a consumer that hears of an id with a greater sequence knows that the earlier word does not hold any more,
//! and one that hears of a sequence for the second time knows that it is a repeat.
//!
//! **What it costs.** A row for each block and for each append with failures, whether anybody listens or not, and no memory.

mod news;
mod page;

pub use news::News;
pub use page::{End, Ending, PAGE_BYTES_MAX, PAGE_MAX, Page};
