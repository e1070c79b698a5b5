//! HTTP/1.1: one POST is one JSON-RPC request or batch; an upgrade becomes a WebSocket.

use std::{fmt, rc::Rc};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, CONTENT_TYPE, HeaderValue, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, task::spawn_local};

use super::service::{Outcome, Reply, Service};

/// The connection ends without a reply, by a fault or because its peer went away.
#[derive(Debug)]
struct Cut;

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the connection is cut")
    }
}

impl std::error::Error for Cut {}

/// Serves a connection until it ends.
pub(super) async fn serve<S: Service>(stream: TcpStream, service: Rc<S>) {
    let service = service_fn(move |request| handle(Rc::clone(&service), request));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades();
    // A connection that breaks is its peer's to notice.
    let _ = connection.await;
}

async fn handle<S: Service>(service: Rc<S>, request: Request<Incoming>) -> Result<Reply, Cut> {
    if request.headers().contains_key(UPGRADE) {
        return Ok(upgrade(service, request));
    }
    if request.method() != Method::POST {
        return Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "JSON-RPC takes POST, or an upgrade to WebSocket\n"));
    }
    let limit = service.max_body_bytes();
    let body = match Limited::new(request.into_body(), limit).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, &format!("content length too large (limit {limit})\n")));
        }
        Err(_) => return Err(Cut),
    };
    match service.answer(body).await {
        Outcome::Json(reply) => Ok(json(reply)),
        Outcome::Foreign(reply) => Ok(*reply),
        Outcome::Cut => Err(Cut),
        Outcome::TooManyRequests(seconds) => {
            let mut reply = plain(StatusCode::TOO_MANY_REQUESTS, "too many requests\n");
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            Ok(reply)
        }
    }
}

fn upgrade<S: Service>(service: Rc<S>, mut request: Request<Incoming>) -> Reply {
    let headers = request.headers();
    let websocket = headers.get(UPGRADE).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let Some(key) = headers.get(SEC_WEBSOCKET_KEY).filter(|_| websocket) else {
        return plain(StatusCode::BAD_REQUEST, "only an upgrade to WebSocket is possible\n");
    };
    if !service.sockets().takes_websockets() {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "WebSockets are cut until devnet_allowWebSockets\n");
    }
    let accept = async_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
    let accept = HeaderValue::try_from(accept).expect("base64 is a valid header value");
    let upgraded = hyper::upgrade::on(&mut request);
    spawn_local(async move {
        if let Ok(upgraded) = upgraded.await {
            tokio::select! {
                () = Rc::clone(&service).converse(upgraded) => {}
                () = service.sockets().websockets_cut() => {}
            }
        }
    });
    let mut reply = Response::new(Full::default());
    *reply.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = reply.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    reply
}

fn json(body: Bytes) -> Reply {
    let mut reply = Response::new(Full::from(body));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply
}

/// A response of plain text.
pub(crate) fn plain(status: StatusCode, text: &str) -> Reply {
    let mut reply = Response::new(Full::from(text.to_owned()));
    *reply.status_mut() = status;
    reply
}
