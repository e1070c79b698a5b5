//! One HTTP/1.1 connection: a request out, a whole reply in.
//!
//! hyper frames and parses; its connection task runs in the room until the sender is dropped or the node closes. Nothing here knows
//! JSON-RPC.
//!
//! How it fails ([`Broken`]): after any failure the connection is finished and must be dropped, because a reply may still come that
//! belongs to nobody.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};

use super::end::Fault;
use super::endpoint::Endpoint;
use super::limits::Limits;
use crate::room::{Room, within};

/// An open connection.
pub(super) struct Connection<R: Room> {
    room: R,
    endpoint: Arc<Endpoint>,
    sender: SendRequest<Full<Bytes>>,
}

/// A reply whose body is complete.
pub(super) struct HttpReply {
    pub(super) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) body: Bytes,
}

/// Why there is no reply.
pub(super) enum Broken {
    /// The connection was closed before it took the request: no byte of it was written.
    NotSent,
    /// Cut, after the connection had taken the request.
    Cut,
    /// No complete reply within the time limit.
    TimedOut,
    /// What came is not HTTP.
    Unreadable(String),
    /// The reply's body is longer than allowed.
    TooLarge(String),
}

impl<R: Room> Connection<R> {
    /// Connects, and leaves hyper's task to the room.
    pub(super) async fn open(room: &R, endpoint: &Arc<Endpoint>, limits: &Limits) -> Result<Self, Fault> {
        let failed = |reason: String| Fault::Connect(format!("{endpoint}: {reason}"));
        let dialled = room.connect(endpoint.host(), endpoint.port());
        let stream = within(room, limits.connect_timeout, dialled)
            .await
            .ok_or_else(|| failed(format!("no connection within {:?}", limits.connect_timeout)))?
            .map_err(|error| failed(error.to_string()))?;
        let (sender, connection) = http1::handshake(stream).await.map_err(|error| failed(error.to_string()))?;
        let node = Arc::clone(endpoint);
        room.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("the connection to {node} ended: {error}");
            }
        });
        Ok(Self { room: room.clone(), endpoint: Arc::clone(endpoint), sender })
    }

    /// Posts `body` and reads the whole reply.
    pub(super) async fn exchange(&mut self, limits: &Limits, body: Bytes) -> Result<HttpReply, Broken> {
        let ready = within(&self.room, limits.request_timeout, self.sender.ready()).await;
        if !matches!(ready, Some(Ok(()))) {
            return Err(Broken::NotSent);
        }
        #[cfg(feature = "points")]
        let copy = body.clone();
        let request = post(&self.endpoint, body);
        let sent = self.sender.try_send_request(request);
        #[cfg(feature = "points")]
        crate::points::handed_over(&copy).await;
        let unix_time = self.room.unix_time();
        let work = async move {
            let response = sent.await.map_err(|mut error| {
                // hyper hands the request back if and only if its connection never took it.
                match error.take_message() {
                    Some(_) => Broken::NotSent,
                    None => broken(error.error()),
                }
            })?;
            read(response, limits.reply_bytes_max, unix_time).await
        };
        within(&self.room, limits.request_timeout, work).await.unwrap_or(Err(Broken::TimedOut))
    }
}

fn post(endpoint: &Endpoint, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = endpoint.target().clone();
    let headers = request.headers_mut();
    headers.insert(HOST, endpoint.authority().clone());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

fn broken(error: &hyper::Error) -> Broken {
    if error.is_parse() { Broken::Unreadable(error.to_string()) } else { Broken::Cut }
}

/// Takes the body in. One that comes in a single piece is not copied, and a longer one is copied once.
async fn read(response: Response<Incoming>, bytes_max: usize, unix_time: Duration) -> Result<HttpReply, Broken> {
    let (head, mut body) = response.into_parts();
    let too_large = |bytes: u64| Broken::TooLarge(format!("a reply of {bytes} bytes or more, and {bytes_max} are allowed"));
    let announced = body.size_hint().lower();
    if announced > bytes_max as u64 {
        return Err(too_large(announced));
    }
    let mut whole = Bytes::new();
    let mut joined = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(piece) = frame.into_data() else {
            continue; // trailers say nothing to JSON-RPC
        };
        let bytes = whole.len().max(joined.len()) + piece.len();
        if bytes > bytes_max {
            return Err(too_large(bytes as u64));
        }
        if bytes == piece.len() {
            whole = piece;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(bytes.max(announced as usize));
            joined.extend_from_slice(&whole);
        }
        joined.extend_from_slice(&piece);
    }
    Ok(HttpReply {
        status: head.status,
        retry_after: retry_after(&head.headers, unix_time),
        body: if joined.is_empty() { whole } else { joined.into() },
    })
}

/// `Retry-After`, which is a number of seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap, unix_time: Duration) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(value).ok()?;
    let date = date.duration_since(UNIX_EPOCH).ok()?;
    Some(date.saturating_sub(unix_time))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(value: &'static str, unix_secs: u64) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, HeaderValue::from_static(value));
        retry_after(&headers, Duration::from_secs(unix_secs))
    }

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        assert_eq!(asked("7", 0), Some(Duration::from_secs(7)));
        let date = "Sun, 06 Nov 1994 08:49:37 GMT"; // 784,111,777 s, the example of RFC 9110
        assert_eq!(asked(date, 784_111_770), Some(Duration::from_secs(7)));
        assert_eq!(asked(date, 784_111_780), Some(Duration::ZERO));
        assert_eq!(asked("soon", 0), None);
        assert_eq!(retry_after(&HeaderMap::new(), Duration::ZERO), None);
    }
}
