//! From a connected stream to a WebSocket: the HTTP upgrade of RFC 6455, section 4.
//!
//! hyper speaks it, because the WebSocket library would write the whole request into its log, and its path may be a key.
//!
//! How it fails: whatever the node answers but `101 Switching Protocols` for this request is a [`Fault`], with its status and the beginning
//! of its body.

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::handshake::client::generate_key;
use async_tungstenite::tungstenite::handshake::derive_accept_key;
use async_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use bytes::Bytes;
use futures_util::future::try_join;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE};
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use crate::room::Room;
use crate::rpc::connection::{self, Broken};
use crate::rpc::spare::Spare;
use crate::rpc::{Fault, Limits};
use crate::wire::{Endpoint, Wire};

/// A WebSocket over a room's stream.
pub(super) type Socket<R> = WebSocketStream<Compat<TokioIo<Wire<<R as Room>::Stream>>>>;

/// Bytes read at once: a head has about 2 KiB.
const READ_BYTES: usize = 8 * 1024;

/// Asks for the upgrade and checks that it was granted. Nothing here limits its time.
pub(super) async fn upgrade<R: Room>(room: &R, wire: Wire<R::Stream>, endpoint: &Endpoint, limits: &Limits) -> Result<Socket<R>, Fault> {
    let broken = |error: hyper::Error| connection::broken(&error).into_fault();
    let (mut sender, connection) = http1::handshake(wire).await.map_err(broken)?;
    let key = generate_key();
    let request = request(endpoint, &key)?;
    let unix_time = room.unix_time();
    let granted = async move {
        let response = sender.send_request(request).await.map_err(broken)?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return accepted(&response, &key);
        }
        // The sender lives on until the body is read: hyper ends the connection with it.
        let reply = connection::read(response, limits.reply_bytes_max, unix_time, &mut Spare::default(), || room.now()).await;
        drop(sender);
        Err(reply.map_err(Broken::into_fault)?.refusal().concealing(endpoint))
    };
    let handed_over = async { connection.without_shutdown().await.map_err(broken) };
    let ((), parts) = try_join(granted, handed_over).await?;
    let mut config = WebSocketConfig::default();
    config.read_buffer_size = READ_BYTES;
    config.write_buffer_size = 0;
    config.max_message_size = Some(limits.reply_bytes_max);
    config.max_frame_size = Some(limits.reply_bytes_max);
    let stream = TokioIo::new(parts.io).compat();
    // The first frames may have come with the answer.
    Ok(WebSocketStream::from_partially_read(stream, parts.read_buf.to_vec(), Role::Client, Some(config)).await)
}

fn request(endpoint: &Endpoint, key: &str) -> Result<hyper::Request<http_body_util::Full<Bytes>>, Fault> {
    let mut request = connection::get(endpoint, Bytes::new());
    let key = HeaderValue::from_str(key).map_err(|error| Fault::Malformed(error.to_string()))?;
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(SEC_WEBSOCKET_KEY, key);
    Ok(request)
}

/// A server that does not know WebSocket cannot know this answer to the key.
fn accepted<B>(response: &Response<B>, key: &str) -> Result<(), Fault> {
    let expected = derive_accept_key(key.as_bytes());
    match response.headers().get(SEC_WEBSOCKET_ACCEPT) {
        Some(accept) if accept.as_bytes() == expected.as_bytes() => Ok(()),
        _ => Err(Fault::Malformed("the upgrade to WebSocket was granted without the answer to its key".to_owned())),
    }
}
