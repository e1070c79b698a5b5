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
//! Each look at the head also asks for the node's hash at our newest height. Where the node's chain is another one than the stored
//! one, at whatever height, the follower goes back to the block that both share, at most as deep as finality, and everything that
//! came behind it is taken back and sent again (rows B1, B5). A deeper difference stops it: not ready. A node whose head is an
//! ancestor of ours lags: it changes nothing. Of a node whose chain has only become shorter that cannot be told apart, until it
//! names another block at one of our heights.
//!
//! Where there are several nodes, one is used at a time ([`Nodes`]); the others are probed. When another one takes over, its chain has
//! to join the stored one as after any look at the head, and all that is unconfirmed is sent to it (row B8).
//!
//! A node that keeps failing is left alone by each shard for a while ([`Gates`], row A14). Whoever has something for it waits, or goes
//! to the node that takes over; nothing that was refused so counts as an answer.

mod canonical;
mod decode;
mod follow;
mod follower;
mod heads;
mod nodes;
mod rivals;
mod roster;
mod status;
mod tags;
mod watch;

pub use decode::{Header, receipts_from_json};
pub use follow::{BlockStore, Follow, route};
pub use follower::{Follower, Joined, Step, Stored, Word};
pub use heads::{Subscription, Told};
pub use nodes::{Health, NodeAction, NodeEvent, Nodes};
pub use rivals::Untold;
pub use roster::{Doors, Gates, Roster};
pub use status::ChainStatus;
pub use tags::Tags;
pub use watch::Watch;
