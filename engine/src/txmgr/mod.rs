//! Public transactions: from a request to a nonce, a price, signed bytes, a place in a block.
//!
//! | room | what it decides |
//! |---|---|
//! | [`authorization`] | authorizations that requests carry (row A10) |
//! | [`extras`] | what only some types of transactions carry (row A10) |
//! | [`check`] | what is refused at the door |
//! | [`stage`] | the next stage of a transaction (row A5) |
//! | [`orchestrator`] | one address: its state, its window, its nonces and its queue (rows A1, A3, A4) |
//! | [`pool`] | whose turn it is to bind and send (row A2) |
//! | [`transaction`] | one bound transaction: attempts and generations |
//! | [`balance`] | what an address can pay for (row A11) |
//! | [`gas_price`], [`increase`] | prices and higher prices (rows A7, A8) |
//! | [`patience`] | when a price counts as too low after a restart |
//! | [`outcome`] | what a node's answer to a submission means (row A12) |
//! | [`estimate`], [`revert`] | why a node gives no gas estimate (row A9) |
//! | [`manager`] | all of it for the addresses of a shard, as `handle(event, now) -> actions` |
//! | [`order`] | cancel, suspend, resume, update (rows A6, A17) |
//! | [`inspect`] | what it tells people |
//! | [`event`] | those events and actions |
//! | [`census`] | how many are in each stage, for who asks |
//!
//! Nothing here opens a socket, reads a clock or waits: the shard does that, and the simulator in its place.

pub mod authorization;
pub mod balance;
pub mod census;
pub mod check;
pub mod estimate;
pub mod event;
pub mod extras;
pub mod gas_price;
pub mod increase;
pub mod inspect;
pub mod manager;
pub mod oracle;
pub mod orchestrator;
pub mod order;
pub mod outcome;
pub mod patience;
pub mod pool;
pub mod revert;
pub mod stage;
pub mod transaction;

pub use census::{ByStage, Census};
pub use event::{
    Accept, Action, BlockEffects, BoundRow, Counted, Event, Now, Recovered, ReplyTo, SeenBlock, SeenNonce, SeenReceipt, SendEnd, SignJob,
    Signed, Slot, Waiter,
};
pub use manager::{Manager, Settings};
