//! JSON-RPC over HTTP/1.1: what is asked, over one ordered connection, and what each question came to.
//!
//! ```text
//!  Calls ──► Lane::exchange ─────────────────────────────────────────────────► Exchange { ends, retry_after }
//!              │                                                                  ▲
//!              │ run of calls: all of them, or as many as the node takes at once  │
//!              ▼                                                                  │
//!    gate ─► wait out the backoff ─► dial if not connected ─► write, read, decode ┤
//!      │                               │                        │                 │
//!      └ BeforeSend                    └ BeforeSend             ├ Answered ───────┤
//!                                                               └ Ambiguous ──────┘
//! ```
//!
//! How it fails, and what it does next:
//!
//! | what happened | the calls of that request | the lane |
//! |---|---|---|
//! | no connection in time, or a certificate that is not trusted | `BeforeSend` | waits before it dials again: longer each time, up to a bound |
//! | an idle connection was found closed | nothing: they go out on a new one | dials again once, silently |
//! | cut, or no reply in time, after the request was handed to the socket | `Ambiguous` | drops the connection, waits |
//! | no connection, cuts or no replies, too often in a row, on the lanes of one [`Gate`] | `BeforeSend`, at once | nothing is dialled until a pause is over and one request has found the node back ([`Breaker`]) |
//! | HTTP 429, or a rate limit in JSON-RPC's words | `Ambiguous` | keeps the connection; the caller gets `Retry-After`, at most [`BreakerLimits::retry_after_max`] where there is a gate, and until then all lanes of the [`Gate`] end `BeforeSend` |
//! | another HTTP error without a JSON-RPC answer | `Ambiguous` | keeps the connection |
//! | a reply that is not JSON-RPC, or leaves a call out | `Ambiguous` | keeps the connection |
//! | a reply above its limit | `Ambiguous` | drops the connection |
//! | the batch as such is refused | nothing: none was executed | remembers: half the size if too large, else one by one |
//!
//! Where calls go out in several requests, the first request that leaves one of its calls in doubt is the last one: the calls behind
//! it are `BeforeSend`, so nothing overtakes what is in doubt.

mod backoff;
mod breaker;
mod calls;
pub(crate) mod connection;
mod counts;
mod end;
mod gate;
mod lane;
mod limits;
mod reply;
pub(crate) mod spare;

pub use breaker::{Admission, Breaker, BreakerLimits, Outcome, Phase};
pub use calls::Calls;
pub use counts::{Count, Counts};
pub use end::{CallError, End, Exchange, Fault, RpcError};
pub use gate::{Gate, Standing};
pub use lane::{Lane, read_reply};
pub use limits::Limits;

pub use crate::wire::{Endpoint, EndpointError};
