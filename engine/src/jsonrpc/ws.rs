//! WebSocket (RFC 6455): requests as messages, several at once, and notifications between the replies.
//!
//! ```text
//! message ─► Service::hear ─► reply ─┐
//!            at most CALLS_MAX       ├─► socket: one writer, which waits for the client
//! outbox (bounded) ──────────────────┘
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

/// Requests of one connection that are under way at once; further ones wait in the socket.
const CALLS_MAX: usize = 64;
/// Notifications of one connection that wait to be written.
const OUTBOX: usize = 64;
/// The longest message, in bytes, where bodies may be longer: each connection can hold one in memory.
const MESSAGE_BYTES_MAX: usize = 1024 * 1024;
/// A client that was not heard for so long is pinged, and after as long again cut off.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes read at once.
const READ_BYTES: usize = 8 * 1024;

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
    loop {
        // In this order: a reply goes out before the notifications that follow from it.
        let said = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            Some(reply) = calls.next(), if !calls.is_empty() => reply,
            Ok(outgoing) = outgoing.recv_async() => match outgoing {
                Outgoing::Say(notification) => notification,
                Outgoing::End => break,
            },
            heard = socket.next(), if calls.len() < CALLS_MAX => {
                pinged = false;
                silence.reset();
                match heard {
                    Some(Ok(Message::Text(text))) => calls.push(hear(&**service, &session, text.into())),
                    Some(Ok(Message::Binary(bytes))) => calls.push(hear(&**service, &session, bytes)),
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

async fn hear<V: Service>(service: &V, session: &V::Session, message: Bytes) -> Vec<u8> {
    service.hear(session, &message).await
}

fn text(said: Vec<u8>) -> Message {
    Message::Text(Utf8Bytes::try_from(said).expect("JSON is UTF-8"))
}

/// False if the client is gone, or does not read.
async fn say(socket: &mut Socket, message: Message) -> bool {
    timeout(STALLED, socket.send(message)).await.is_ok_and(|sent| sent.is_ok())
}
