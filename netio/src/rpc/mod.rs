//! JSON-RPC over HTTP/1.1: what is asked, over one ordered connection, and what each question came to.
//!
//! ```text
//!  Calls ──► Lane::exchange ─────────────────────────────────────────────────► Exchange { ends, retry_after }
//!              │                                                                  ▲
//!              │ run of calls: all of them, or as many as the node takes at once  │
//!              ▼                                                                  │
//!            wait out the backoff ─► dial if not connected ─► write, read, decode ┤
//!                                      │                        │                 │
//!                                      └ BeforeSend             ├ Answered ───────┤
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
//! | HTTP 429, or a rate limit in JSON-RPC's words | `Ambiguous` | keeps the connection; the caller gets `Retry-After` |
//! | another HTTP error without a JSON-RPC answer | `Ambiguous` | keeps the connection |
//! | a reply that is not JSON-RPC, or leaves a call out | `Ambiguous` | keeps the connection |
//! | a reply above its limit | `Ambiguous` | drops the connection |
//! | the batch as such is refused | nothing: none was executed | remembers: half the size if too large, else one by one |
//!
//! Where calls go out in several requests, the first request that leaves one of its calls in doubt is the last one: the calls behind
//! it are `BeforeSend`, so nothing overtakes what is in doubt.

mod backoff;
mod calls;
pub(crate) mod connection;
mod counts;
mod end;
mod lane;
mod limits;
mod reply;

pub use calls::Calls;
pub use counts::{Count, Counts};
pub use end::{CallError, End, Exchange, Fault, RpcError};
pub use lane::Lane;
pub use limits::Limits;

pub use crate::wire::{Endpoint, EndpointError};
