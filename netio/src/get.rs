//! One HTTP GET, for what is not JSON-RPC: gas price oracles.
//!
//! A connection is opened for it and dropped: an oracle is asked every few seconds at most. Redirections are not followed, so that the
//! answer comes from whoever the configuration names.
//!
//! How it fails: as one request of a [`Lane`](crate::Lane) does, and with any status but 2xx. Nothing is tried twice.

use std::sync::Arc;

use bytes::Bytes;

use crate::room::Room;
use crate::rpc::connection::Connection;
use crate::rpc::{Fault, Limits};
use crate::wire::Endpoint;

/// The body of what is at `endpoint`, an address of scheme http or https, of [`Limits::reply_bytes_max`] bytes at most. It lasts
/// [`Limits::connect_timeout`] and [`Limits::request_timeout`] at most.
///
/// # Errors
/// No connection, no whole reply in time, a reply that is too long, or a status other than 2xx ([`Fault::Http`]; 429 is
/// [`Fault::Throttled`]).
pub async fn get<R: Room>(room: &R, endpoint: &Arc<Endpoint>, limits: &Limits) -> Result<Bytes, Fault> {
    let mut connection = Connection::open(room, endpoint, limits).await?;
    let reply = connection.get(limits).await.map_err(|broken| broken.into_fault())?;
    if reply.status.is_success() { Ok(reply.body) } else { Err(reply.refusal().concealing(endpoint)) }
}
