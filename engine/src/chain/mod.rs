//! Following the chain: each block is read once, on shard 0, and its receipts go to the shards by sender.
//!
//! ```text
//!   poll ─► head ─► next block ─► receipts by block hash ─► each shard's part ─► effects ─┐
//!            ▲                                                                            ▼
//!            └──────────── stored: shards move on ◄── one write: block + everyone's effects
//! ```
//!
//! The stored block is the checkpoint: after a start the blocks behind it are read again, so nothing that was mined meanwhile
//! is missed. What the node does not know yet (a null, an error) is asked again later and never taken for an answer (row B4).
//! A block that does not join the stored chain is not read: the engine says so and is not ready.

mod decode;
mod follow;
mod follower;
mod status;

pub use decode::{Header, receipts_from_json};
pub use follow::{BlockStore, Follow};
pub use follower::{Follower, Joined, Stored};
pub use status::ChainStatus;
