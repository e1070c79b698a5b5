//! From an address to a byte stream: plain, or under TLS. Nothing here knows HTTP or WebSocket.
//!
//! ```text
//!   Endpoint ─► room.connect ─► http, ws ───────────────────────────────► Wire::Plain
//!   scheme, host, port       └► https, wss ─► TLS handshake, checked ───► Wire::Tls
//!                                             against Tls: the machine's
//!                                             authorities and extra ones
//! ```
//!
//! How it fails: no stream, with words for the user. Name look-up, TCP and the TLS handshake share one time limit, and no byte of
//! a request is written before all three are done, so every failure here is before send.

mod endpoint;
mod stream;
mod tls;

use std::io;
use std::time::Duration;

pub use endpoint::{Endpoint, EndpointError, Scheme};
pub(crate) use stream::Wire;
pub use tls::{Tls, TlsError};

use crate::room::{Room, within};

/// Opens a stream to `endpoint` within `limit`.
///
/// # Errors
/// Words for the user that begin with the address without its path.
pub(crate) async fn dial<R: Room>(room: &R, endpoint: &Endpoint, limit: Duration) -> Result<Wire<R::Stream>, String> {
    // Before the clock starts: the first time, the machine's authorities are read from its disk.
    let tls = if endpoint.scheme().is_encrypted() { Some(endpoint.tls().map_err(|error| format!("{endpoint}: {error}"))?) } else { None };
    let dialled = room.connect(endpoint.host(), endpoint.port());
    let work = async {
        let stream = dialled.await.map_err(|error: io::Error| error.to_string())?;
        match tls {
            None => Ok(Wire::Plain(stream)),
            Some(tls) => Wire::handshake(stream, &tls, endpoint.host()).await,
        }
    };
    let outcome = within(room, limit, work).await.unwrap_or_else(|| Err(format!("no connection within {limit:?}")));
    outcome.map_err(|reason| format!("{endpoint}: {reason}"))
}
