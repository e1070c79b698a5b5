//! WebSocket (RFC 6455): requests as messages, several at once, and notifications between the replies.
//!
//! ```text
//! message ─► UnderWay ─► Service::hear ─► reply ─┐
//!            bounded                             ├─► socket: one writer, which waits for the client
//! outbox (bounded) ──────────────────────────────┘
//! ```
//!
//! **How it fails.** A client that does not read is waited for, so nothing more is read from it and what fills its outbox waits too; after
//! [`STALLED`] it is cut off. One that says nothing is pinged, and cut off if it does not answer. A message that is too long ends the connection.

use std::rc::Rc;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use async_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http_body_util::Full;
use hyper::header::{CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::http::{Reply, STALLED};
use super::{Outgoing, Service};

/// Messages of one connection that are being answered at once; further ones wait in the socket.
const CALLS_MAX: usize = 64;
/// Bytes of the messages of one connection that are being answered at once: as many as the longest one has.
const CALLS_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
/// Notifications of one connection that wait to be written.
const OUTBOX: usize = 64;
/// The longest message, in bytes, where bodies may be longer: each connection can hold one in memory.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// A client that was not heard for so long is pinged, and after as long again cut off.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes read at once.
const READ_BYTES: usize = 8 * 1024;

/// The messages of one connection that are being answered, and the one that waits for its turn.
#[derive(Default)]
struct UnderWay {
    messages: usize,
    bytes: usize,
    next: Option<Bytes>,
}

impl UnderWay {
    /// Whether another message may be read.
    fn may_read(&self) -> bool {
        self.next.is_none() && self.messages < CALLS_MAX
    }

    /// The message that waits, if there is room for it. One has always room by itself, since none is longer than all may be.
    fn start(&mut self) -> Option<Bytes> {
        let bytes = self.bytes;
        let message = self.next.take_if(|next| bytes + next.len() <= CALLS_BYTES_MAX)?;
        self.messages += 1;
        self.bytes += message.len();
        Some(message)
    }

    fn answered(&mut self, bytes: usize) {
        self.messages -= 1;
        self.bytes -= bytes;
    }
}

type Socket = WebSocketStream<Compat<TokioIo<Upgraded>>>;

/// Whether a request asks for a WebSocket.
pub(super) fn is_asked_for(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// The answer that grants it.
///
/// # Errors
/// What the request lacks.
pub(super) fn accepted(headers: &HeaderMap) -> Result<Reply, String> {
    if headers.get(SEC_WEBSOCKET_VERSION).map(HeaderValue::as_bytes) != Some(b"13") {
        return Err("Sec-WebSocket-Version must be 13".to_owned());
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).ok_or("Sec-WebSocket-Key is missing")?;
    let accept = HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|error| error.to_string())?;
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    Ok(reply)
}

/// Serves one connection to its end.
pub(super) async fn converse<V: Service>(service: &Rc<V>, stream: Upgraded, mut stop: watch::Receiver<bool>) {
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = READ_BYTES;
    config.write_buffer_size = 0;
    let longest = service.limits().body_bytes.min(MESSAGE_BYTES_MAX);
    config.max_message_size = Some(longest);
    config.max_frame_size = Some(longest);
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(stream).compat(), Role::Server, Some(config)).await;
    let (outbox, outgoing) = flume::bounded(OUTBOX);
    let session = service.open(outbox);
    let mut calls = FuturesUnordered::new();
    let mut silence = interval(SILENCE);
    silence.set_missed_tick_behavior(MissedTickBehavior::Delay);
    silence.reset();
    let mut pinged = false;
    let mut under_way = UnderWay::default();
    loop {
        if let Some(message) = under_way.start() {
            calls.push(hear(&**service, &session, message));
        }
        // In this order: a reply goes out before the notifications that follow from it.
        let said = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some((bytes, reply)) = calls.next(), if !calls.is_empty() => {
                under_way.answered(bytes);
                reply
            }
            Ok(outgoing) = outgoing.recv_async() => match outgoing {
                Outgoing::Say(notification) => notification,
                Outgoing::End => break,
            },
            heard = socket.next(), if under_way.may_read() => {
                pinged = false;
                silence.reset();
                match heard {
                    Some(Ok(Message::Text(text))) => under_way.next = Some(text.into()),
                    Some(Ok(Message::Binary(bytes))) => under_way.next = Some(bytes),
                    Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                }
                continue;
            }
            _ = silence.tick() => {
                if std::mem::replace(&mut pinged, true) || !say(&mut socket, Message::Ping(Bytes::new())).await {
                    break;
                }
                continue;
            }
        };
        // Nothing is said to notifications.
        if !said.is_empty() && !say(&mut socket, text(said)).await {
            break;
        }
    }
    // Best effort: the client may be gone.
    let _ = timeout(Duration::from_secs(1), socket.close(None)).await;
}

/// The length of the message, and the reply to it.
async fn hear<V: Service>(service: &V, session: &V::Session, message: Bytes) -> (usize, Vec<u8>) {
    (message.len(), service.hear(session, &message).await)
}

fn text(said: Vec<u8>) -> Message {
    Message::Text(Utf8Bytes::try_from(said).expect("JSON is UTF-8"))
}

/// False if the client is gone, or does not read.
async fn say(socket: &mut Socket, message: Message) -> bool {
    timeout(STALLED, socket.send(message)).await.is_ok_and(|sent| sent.is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_being_answered_are_bounded_in_bytes_and_in_number() {
        let message = |bytes: usize| Some(Bytes::from(vec![b' '; bytes]));
        let mut under_way = UnderWay { next: message(CALLS_BYTES_MAX), ..UnderWay::default() };
        assert!(under_way.start().is_some(), "the longest one has room by itself");
        under_way.next = message(1);
        assert!(under_way.start().is_none() && !under_way.may_read(), "what waits keeps the socket from being read");
        under_way.answered(CALLS_BYTES_MAX);
        assert_eq!(under_way.start().map(|message| message.len()), Some(1));
        for _ in 1..CALLS_MAX {
            assert!(under_way.may_read());
            under_way.next = message(1);
            assert!(under_way.start().is_some());
        }
        assert!(!under_way.may_read());
        under_way.answered(1);
        assert!(under_way.may_read());
    }
}
