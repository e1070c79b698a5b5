//! How millrace talks to Ethereum nodes: the runtime room and the JSON-RPC client.
//!
//! ```text
//!   writer, readers, other shards            a shard thread, pinned or not
//!  ───────────────────────────────    ┌──────────────────────────────────────────────┐
//!   any thread ── Bell::ring ────────►│ room: clock · sleep · spawn · wake · connect │
//!                                     │  on glommio (io_uring), on tokio's           │
//!                                     │  current-thread runtime (epoll), or on       │
//!                                     │  whatever a simulator brings                 │
//!                                     │                                              │
//!                                     │ tenant (the shard's loop)                    │
//!                                     │   │ Calls: JSON written once, one buffer     │
//!                                     │   ▼                                          │
//!                                     │ Lane: one connection, one request at a time, │      ┌──────┐
//!                                     │   │   so one order for what is put on it ────┼─────►│ node │
//!                                     │   │                          HTTP/1.1        │◄─────┤      │
//!                                     │   ▼             keep-alive, plain or TLS     │      └──────┘
//!                                     │ End, one for each call, in call order:       │
//!                                     │   Answered    the node's word                │
//!                                     │   BeforeSend  no byte reached a socket       │
//!                                     │   Ambiguous   it may have taken effect       │
//!                                     └──────────────────────────────────────────────┘
//! ```
//!
//! Two nouns: a [`Room`] is everything a shard may ask of its surroundings, and a [`Lane`] is one ordered connection to a
//! node. A lane needs nothing but a room, so the client that runs in production is the client that a simulator tests. Beside the lane,
//! over the same streams ([`wire`]: plain, or under TLS): new heads as a node tells of them ([`ws`]), and a plain [`get()`] for oracles.
//!
//! How it fails: a machine without io_uring is told which setting to change, or gets the other executor ([`choose`]). A node that
//! is away, slow, cut off, throttling or talking nonsense never loses the difference between *not sent* and *perhaps sent*
//! ([`End`]); a node whose certificate is not trusted gets no byte of a request ([`Tls`]); after a broken connection a lane waits longer each time before it dials again ([`Limits`]),
//! and a node that keeps failing, or asks for it, is left alone by all lanes that share a [`Gate`].

pub mod bell;
mod get;
#[cfg(feature = "points")]
pub mod points;
pub mod room;
pub mod rpc;
pub mod wire;
pub mod ws;

pub use bell::Bell;
pub use get::get;
pub use room::{Chosen, EpollRoom, Executor, Room, RoomError, Tenant, choose, open, processors, within};
pub use rpc::{BreakerLimits, CallError, Calls, Count, Counts, End, Exchange, Fault, Gate, Lane, Limits, RpcError, Standing};
pub use wire::{Endpoint, EndpointError, Scheme, Tls, TlsError};
pub use ws::{Heads, Link, subscribe_heads};
