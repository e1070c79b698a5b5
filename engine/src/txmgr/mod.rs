//! Public transactions: from a request to a nonce, a price, signed bytes, a place in a block.
//!
//! | room | what it decides |
//! |---|---|
//! | [`check`] | what is refused at the door |
//! | [`stage`] | the next stage of a transaction (row A5) |
//! | [`orchestrator`] | one address: its nonces and its queue (rows A1, A4) |
//! | [`transaction`] | one bound transaction: attempts and generations |
//! | [`gas_price`], [`increase`] | prices and higher prices (rows A7, A8) |
//! | [`outcome`] | what a node's answer means (row A12) |
//! | [`manager`] | all of it for the addresses of a shard, as `handle(event, now) -> actions` |
//! | [`event`] | those events and actions |
//! | [`census`] | how many are in each stage, for who asks |
//!
//! Nothing here opens a socket, reads a clock or waits: the shard does that, and the simulator in its place.

pub mod census;
pub mod check;
pub mod event;
pub mod gas_price;
pub mod increase;
pub mod manager;
pub mod orchestrator;
pub mod outcome;
pub mod stage;
pub mod transaction;

pub use census::{ByStage, Census};
pub use event::{
    Accept, Action, BlockEffects, BoundRow, Counted, Event, Now, Recovered, ReplyTo, SeenBlock, SeenReceipt, SendEnd, SignJob, Signed,
    Slot, Waiter,
};
pub use manager::{Manager, Settings};
