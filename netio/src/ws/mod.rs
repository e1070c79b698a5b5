//! New heads over WebSocket, told by the node instead of asked for.
//!
//! ```text
//!   subscribe_heads:  dial ─► HTTP upgrade ─► eth_subscribe ["newHeads"] ─► its id ─► Heads
//!                                                                                      │
//!   Heads::next:      header ◄── eth_subscription of that id ◄─────────────────────────┤
//!                     a frame of any kind is a sign of life (Pulse) ◄──────────────────┤
//!                     none for half of the silence: a ping; none for all of it: Err ◄──┘
//! ```
//!
//! A [`Link`] is the same connection for whatever else is said over one: its messages are the caller's affair.
//!
//! | what happened | how it ends |
//! |---|---|
//! | no connection, TLS refused | `Connect` |
//! | the upgrade is refused | `Http` with its status, `Throttled` for 429 |
//! | `eth_subscribe` is answered with an error | `Refused` with the node's words |
//! | cut, or closed by the node | `Closed` |
//! | no sign of life, ping included | `TimedOut` |
//! | a frame longer than [`Limits::reply_bytes_max`](crate::Limits::reply_bytes_max) | `TooLarge` |
//! | not WebSocket, not JSON-RPC | `Malformed` |
//!
//! After any of these the subscription is over. To connect again is the caller's affair, and so is what it missed meanwhile: heads say
//! that there is news, the chain is read over HTTP.

mod heads;
mod link;
mod message;
mod pulse;
mod upgrade;

pub use heads::{Heads, subscribe_heads};
pub use link::Link;
