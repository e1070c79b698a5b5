//! Connections: accepted up to a bound, read with time limits, routed.
//!
//! A connection costs bounded memory whatever its client does: headers and bodies have a size and a time limit, bodies of all connections
//! together have a budget, and a client that stops reading is cut off by the kernel after [`STALLED`].
//!
//! A connection that asks for it becomes a WebSocket ([`ws`]) and keeps its place among the connections.
//!
//! Browsers are not served: a page on any site could otherwise send transactions through a visitor's loopback interface. They
//! name their origin and cannot set `Content-Type: application/json` without asking first, so both are looked at.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderValue, ORIGIN};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::error::{INVALID_REQUEST, READ_RETRY_MS, RpcError};
use super::reply::error_reply;
use super::{Service, ws};

/// How long a client may take for the headers of a request, and so also how long a connection may be idle.
const HEADERS: Duration = Duration::from_secs(60);
/// How long a client may take for a body.
const BODY: Duration = Duration::from_secs(30);
/// How long a client may leave sent bytes unacknowledged.
pub(super) const STALLED: Duration = Duration::from_secs(30);
/// How long requests that are under way may take once the process stops.
const GRACE: Duration = Duration::from_secs(5);
/// Pause when the system refuses a new connection (file handles, memory): there is no event to wait for.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Read and write buffer of a connection, in bytes; also bounds its headers.
const BUFFER_BYTES: usize = 64 * 1024;
/// Bodies of the longest kind that can be in memory at once.
const LONGEST_BODIES: usize = 8;

pub(crate) type Reply = Response<Full<Bytes>>;

/// Serves until `stop` holds `true` or its sender is gone, then lets requests under way finish within five seconds.
///
/// Must run inside a [`tokio::task::LocalSet`] with timers and I/O enabled.
pub(crate) async fn serve<V: Service>(listener: TcpListener, service: Rc<V>, mut stop: watch::Receiver<bool>) {
    let slots = std::sync::Arc::new(Semaphore::new(service.limits().connections));
    let bodies = Rc::new(Semaphore::new(LONGEST_BODIES * service.limits().body_bytes));
    let mut open = JoinSet::new();
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await.expect("nobody closes this semaphore");
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accepted => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = connection(service.clone(), bodies.clone(), stream, slot, stop.clone());
                open.spawn_local(connection);
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
        // Forgets the connections that have ended.
        while open.try_join_next().is_some() {}
    }
    drop(listener);
    if timeout(GRACE, async { while open.join_next().await.is_some() {} }).await.is_err() {
        tracing::warn!(connections = open.len(), "requests under way were cut off");
    }
}

async fn connection<V: Service>(
    service: Rc<V>,
    bodies: Rc<Semaphore>,
    stream: TcpStream,
    _slot: OwnedSemaphorePermit,
    mut stop: watch::Receiver<bool>,
) {
    // Best effort: without them the connection works, only slower or for longer.
    let _ = stream.set_nodelay(true);
    let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(STALLED));
    let metrics = service.metrics();
    metrics.api_connections.increment(1.0);
    let upgrade = RefCell::new(None);
    let respond = service_fn(|request| async { Ok::<_, Infallible>(route(&*service, &bodies, &upgrade, request).await) });
    let serve = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), respond)
        .with_upgrades();
    // In a block: it borrows what is looked at afterwards.
    let ended = {
        let mut serve = std::pin::pin!(serve);
        tokio::select! {
            ended = serve.as_mut() => ended,
            _ = stop.wait_for(|stop| *stop) => {
                serve.as_mut().graceful_shutdown();
                serve.await
            }
        }
    };
    if let Err(error) = ended {
        // The client's doing: cut off, too slow, or not HTTP.
        tracing::debug!(%error, "a connection ended early");
    }
    if let Some(upgrade) = upgrade.take() {
        match upgrade.await {
            Ok(stream) => ws::converse(&service, stream, stop).await,
            Err(error) => tracing::debug!(%error, "a connection ended before it became a WebSocket"),
        }
    }
    metrics.api_connections.decrement(1.0);
}

async fn route<V: Service>(service: &V, bodies: &Semaphore, upgrade: &RefCell<Option<OnUpgrade>>, request: Request<Incoming>) -> Reply {
    service.metrics().api_http_requests.increment(1);
    let (path, method) = (request.uri().path(), request.method());
    if path == "/" {
        if *method == Method::POST {
            return rpc(service, bodies, request).await;
        }
        if *method == Method::GET && ws::is_asked_for(request.headers()) {
            return web_socket(upgrade, request);
        }
        return not_allowed("POST", "JSON-RPC is called with POST, or over WebSocket\n");
    }
    if *method == Method::GET {
        return service.page(path).unwrap_or_else(|| not_found(V::PAGES));
    }
    if V::PAGES.contains(&path) { not_allowed("GET", "this is read with GET\n") } else { not_found(V::PAGES) }
}

/// Grants a WebSocket, or says why not.
fn web_socket(upgrade: &RefCell<Option<OnUpgrade>>, request: Request<Incoming>) -> Reply {
    if let Some(refusal) = unwelcome(request.headers()) {
        return refusal;
    }
    match ws::accepted(request.headers()) {
        Ok(reply) => {
            *upgrade.borrow_mut() = Some(hyper::upgrade::on(request));
            reply
        }
        Err(message) => refusal(StatusCode::BAD_REQUEST, &RpcError::new(INVALID_REQUEST, message)),
    }
}

fn not_found(pages: &[&str]) -> Reply {
    let and = if pages.is_empty() { String::new() } else { format!(", and GET {}", pages.join(", ")) };
    text(StatusCode::NOT_FOUND, format!("there are POST / for JSON-RPC, the same over WebSocket{and}\n"))
}

async fn rpc<V: Service>(service: &V, bodies: &Semaphore, request: Request<Incoming>) -> Reply {
    if let Some(reply) = unacceptable(request.headers()) {
        return reply;
    }
    let limit = service.limits().body_bytes;
    match timeout(BODY, read_body(request.into_body(), limit, bodies)).await {
        Ok(Ok((body, _room))) => json(StatusCode::OK, service.answer(&body).await),
        Ok(Err(NoBody::TooLong)) => {
            let message = format!("the body is over the limit of {limit} bytes (api.max_body_bytes): send smaller batches");
            refusal(StatusCode::PAYLOAD_TOO_LARGE, &RpcError::new(INVALID_REQUEST, message))
        }
        Ok(Err(NoBody::NoRoom)) => {
            let message = "too many long bodies at once; nothing was accepted: try again later";
            refusal(StatusCode::SERVICE_UNAVAILABLE, &RpcError::busy(message, READ_RETRY_MS))
        }
        Ok(Err(NoBody::Broken(error))) => {
            let message = format!("the body did not arrive: {error}");
            refusal(StatusCode::BAD_REQUEST, &RpcError::new(INVALID_REQUEST, message))
        }
        Err(_) => {
            let message = format!("the body took longer than {} s", BODY.as_secs());
            refusal(StatusCode::REQUEST_TIMEOUT, &RpcError::new(INVALID_REQUEST, message))
        }
    }
}

/// The answer to a web page.
fn unwelcome(headers: &HeaderMap) -> Option<Reply> {
    let origin = headers.get(ORIGIN)?;
    let message = format!("calls from web pages are refused (Origin: {origin:?}); call from a program");
    Some(refusal(StatusCode::FORBIDDEN, &RpcError::new(INVALID_REQUEST, message)))
}

/// The answer to what cannot be a program's JSON-RPC call, or is a web page's.
fn unacceptable(headers: &HeaderMap) -> Option<Reply> {
    if let Some(refusal) = unwelcome(headers) {
        return Some(refusal);
    }
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return None;
    }
    let message = format!("Content-Type is \"{kind}\"; set it to application/json");
    Some(refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, &RpcError::new(INVALID_REQUEST, message)))
}

enum NoBody {
    TooLong,
    NoRoom,
    Broken(hyper::Error),
}

/// Reads a body of at most `limit` bytes. One that is too long is read on for as much again, since a client that is still
/// writing would not see the answer.
async fn read_body<'a>(mut body: Incoming, limit: usize, bodies: &'a Semaphore) -> Result<(Vec<u8>, Option<SemaphorePermit<'a>>), NoBody> {
    // Grows with what has arrived and has its room: an announced length costs nothing yet.
    let mut kept = Vec::new();
    let mut room: Option<SemaphorePermit<'a>> = None;
    let mut length = 0_usize;
    while let Some(frame) = body.frame().await {
        let Ok(chunk) = frame.map_err(NoBody::Broken)?.into_data() else { continue };
        length = length.saturating_add(chunk.len());
        if length > limit {
            kept = Vec::new();
            if length > limit.saturating_mul(2) {
                break;
            }
            continue;
        }
        // A chunk is no longer than the buffer of a connection.
        let more = u32::try_from(chunk.len()).map_err(|_| NoBody::TooLong)?;
        let more = bodies.try_acquire_many(more).map_err(|_| NoBody::NoRoom)?;
        match &mut room {
            Some(room) => room.merge(more),
            None => room = Some(more),
        }
        kept.extend_from_slice(&chunk);
    }
    if length > limit { Err(NoBody::TooLong) } else { Ok((kept, room)) }
}

fn reply(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

/// A page of plain text.
pub(crate) fn text(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    reply(status, "text/plain; charset=utf-8", body)
}

fn json(status: StatusCode, body: Vec<u8>) -> Reply {
    reply(status, "application/json", body)
}

/// An error before any call was read; the connection ends, since the rest of the body may still be on its way.
fn refusal(status: StatusCode, error: &RpcError) -> Reply {
    let mut reply = json(status, error_reply(error));
    reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    reply
}

fn not_allowed(allowed: &'static str, message: &'static str) -> Reply {
    let mut reply = text(StatusCode::METHOD_NOT_ALLOWED, message);
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    reply
}
