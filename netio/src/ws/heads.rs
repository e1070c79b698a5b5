//! A subscription to new heads.
//!
//! How it fails is in the table of [the module](super).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_tungstenite::tungstenite::{self, Message};
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::value::RawValue;

use super::message::{self, SUBSCRIBE};
use super::pulse::{Next, Pulse};
use super::upgrade::{Socket, upgrade};
use crate::room::{Room, within};
use crate::rpc::{Fault, Limits};
use crate::wire::{Endpoint, Wire, dial};

/// The heads a node tells of, in the order in which it does. Dropping it closes the connection.
pub struct Heads<R: Room> {
    room: R,
    socket: Socket<R>,
    /// The subscription's id as the node writes it.
    id: Box<RawValue>,
    pulse: Pulse,
}

/// Connects to `endpoint`, an address of scheme ws or wss, asks for new heads and waits for the subscription's id. It lasts
/// [`Limits::connect_timeout`] and [`Limits::request_timeout`] at most.
///
/// # Errors
/// See the table of [the module](super).
pub async fn subscribe_heads<R: Room>(room: &R, endpoint: &Arc<Endpoint>, limits: &Limits) -> Result<Heads<R>, Fault> {
    let wire = connect(room, endpoint, limits).await?;
    let work = async {
        let mut socket = upgrade(room, wire, endpoint, limits).await?;
        socket.send(Message::text(SUBSCRIBE)).await.map_err(fault)?;
        loop {
            if let Some(text) = hear::<R>(&mut socket).await?
                && let Some(id) = message::subscription(&text)?
            {
                return Ok(Heads { room: room.clone(), socket, id, pulse: Pulse::new(room.now()) });
            }
        }
    };
    // On the heap: the caller's future would carry all of this for ever.
    within(room, limits.request_timeout, Box::pin(work)).await.unwrap_or(Err(Fault::TimedOut))
}

impl<R: Room> Heads<R> {
    /// The next header's JSON as the node sent it. Where there is none for half of `silence` a ping goes out, and any frame counts as
    /// a sign of life, so an idle chain does not end the subscription. A dropped future loses nothing: the next one goes on where it was.
    ///
    /// # Errors
    /// The connection is lost, closed, malformed or silent; the subscription is then over. See the table of [the module](super).
    pub async fn next(&mut self, silence: Duration) -> Result<Box<RawValue>, Fault> {
        loop {
            match self.pulse.next(self.room.now(), silence) {
                Next::GiveUp => return Err(Fault::TimedOut),
                Next::Ask => {
                    // First, so that a node that takes nothing in cannot hold this up for ever.
                    self.pulse.ask(self.room.now());
                    let asked = self.socket.send(Message::Ping(Bytes::new()));
                    within(&self.room, silence / 2, asked)
                        .await
                        .unwrap_or(Err(tungstenite::Error::Io(io::ErrorKind::TimedOut.into())))
                        .map_err(fault)?;
                }
                Next::Listen(limit) => {
                    let Some(heard) = within(&self.room, limit, hear::<R>(&mut self.socket)).await else { continue };
                    self.pulse.hear(self.room.now());
                    if let Some(text) = heard?
                        && let Some(header) = message::header(&text, &self.id)?
                    {
                        return Ok(header);
                    }
                }
            }
        }
    }
}

/// A stream to an endpoint that speaks WebSocket.
pub(super) async fn connect<R: Room>(room: &R, endpoint: &Arc<Endpoint>, limits: &Limits) -> Result<Wire<R::Stream>, Fault> {
    let scheme = endpoint.scheme();
    if !scheme.is_web_socket() {
        let reason = format!("{endpoint}: heads come over WebSocket, and this is {}://: write ws:// or wss://", scheme.as_str());
        return Err(Fault::Connect(reason));
    }
    dial(room, endpoint, limits.connect_timeout).await.map_err(Fault::Connect)
}

/// The next message's text; nothing for a frame without one. Pings are answered below.
pub(super) async fn hear<R: Room>(socket: &mut Socket<R>) -> Result<Option<tungstenite::Utf8Bytes>, Fault> {
    match socket.next().await {
        Some(Ok(Message::Text(text))) => Ok(Some(text)),
        Some(Ok(Message::Binary(bytes))) => {
            let text = bytes.try_into().map_err(|_| Fault::Malformed("a message is not UTF-8".to_owned()))?;
            Ok(Some(text))
        }
        Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => Ok(None),
        Some(Ok(Message::Close(_))) | None => Err(Fault::Closed),
        Some(Err(error)) => Err(fault(error)),
    }
}

pub(super) fn fault(error: tungstenite::Error) -> Fault {
    use tungstenite::Error;
    use tungstenite::error::ProtocolError;
    match error {
        Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => Fault::TimedOut,
        Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            Fault::Closed
        }
        Error::Capacity(error) => Fault::TooLarge(error.to_string()),
        other => Fault::Malformed(other.to_string()),
    }
}
