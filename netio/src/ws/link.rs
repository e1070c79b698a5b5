//! A WebSocket to a node, for whoever has more to say over it than a subscription to heads.
//!
//! How it fails is in the table of [the module](super).

use std::sync::Arc;

use async_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::heads::{connect, fault, hear};
use super::upgrade::{Socket, upgrade};
use crate::room::{Room, within};
use crate::rpc::{Fault, Limits};
use crate::wire::Endpoint;

/// An open WebSocket to a node. Dropping it closes the connection.
pub struct Link<R: Room> {
    room: R,
    socket: Socket<R>,
    limits: Limits,
}

impl<R: Room> Link<R> {
    /// Connects to `endpoint`, an address of scheme ws or wss. It lasts [`Limits::connect_timeout`] and [`Limits::request_timeout`] at most.
    ///
    /// # Errors
    /// See the table of [the module](super).
    pub async fn open(room: &R, endpoint: &Arc<Endpoint>, limits: &Limits) -> Result<Self, Fault> {
        let wire = connect(room, endpoint, limits).await?;
        let upgraded = within(room, limits.request_timeout, Box::pin(upgrade(room, wire, endpoint, limits))).await;
        let socket = upgraded.unwrap_or(Err(Fault::TimedOut))?;
        Ok(Self { room: room.clone(), socket, limits: *limits })
    }

    /// Sends a message. It lasts [`Limits::request_timeout`] at most.
    ///
    /// # Errors
    /// The connection is lost, or takes nothing in; it is then over.
    pub async fn say(&mut self, text: String) -> Result<(), Fault> {
        match within(&self.room, self.limits.request_timeout, self.socket.send(Message::text(text))).await {
            Some(sent) => sent.map_err(fault),
            None => Err(Fault::TimedOut),
        }
    }

    /// The next message. A dropped future loses nothing.
    ///
    /// # Errors
    /// The connection is lost, closed or malformed; it is then over.
    pub async fn next(&mut self) -> Result<Utf8Bytes, Fault> {
        loop {
            if let Some(text) = hear::<R>(&mut self.socket).await? {
                return Ok(text);
            }
        }
    }
}
