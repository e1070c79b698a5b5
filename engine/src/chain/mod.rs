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
//! Where a block does not join the stored chain, the follower goes back to the block that both chains share, at most as deep as
//! finality, and everything that came behind it is taken back and sent again (row B5). A deeper difference stops it: not ready.

mod decode;
mod follow;
mod follower;
mod rivals;
mod status;

pub use decode::{Header, receipts_from_json};
pub use follow::{BlockStore, Follow};
pub use follower::{Follower, Joined, Stored};
pub use status::ChainStatus;
