//! One HTTP/1.1 connection, plain or under TLS: a request out, a whole reply in.
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
use hyper::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};

use super::end::Fault;
use super::limits::Limits;
use super::spare::Spare;
use crate::room::{Room, within};
use crate::wire::{Endpoint, dial};

/// What requests say of their sender; some gateways refuse those that say nothing.
const AGENT: &str = concat!("millrace/", env!("CARGO_PKG_VERSION"));

/// Bytes of a body that an error message repeats.
const DETAIL_BYTES_MAX: usize = 200;

/// An open connection.
pub(crate) struct Connection<R: Room> {
    room: R,
    endpoint: Arc<Endpoint>,
    sender: SendRequest<Full<Bytes>>,
    spare: Spare,
}

/// A reply whose body is complete.
pub(crate) struct HttpReply {
    pub(crate) status: StatusCode,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) body: Bytes,
}

/// Why there is no reply.
pub(crate) enum Broken {
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
    pub(crate) async fn open(room: &R, endpoint: &Arc<Endpoint>, limits: &Limits) -> Result<Self, Fault> {
        let scheme = endpoint.scheme();
        if scheme.is_web_socket() {
            let reason = format!("{endpoint}: requests go over HTTP, and {}:// is for heads: write http:// or https://", scheme.as_str());
            return Err(Fault::Connect(reason));
        }
        let wire = dial(room, endpoint, limits.connect_timeout).await.map_err(Fault::Connect)?;
        let handshake = http1::handshake(wire).await;
        let (sender, connection) = handshake.map_err(|error| Fault::Connect(format!("{endpoint}: {error}")))?;
        let node = Arc::clone(endpoint);
        room.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("the connection to {node} ended: {error}");
            }
        });
        Ok(Self { room: room.clone(), endpoint: Arc::clone(endpoint), sender, spare: Spare::default() })
    }

    /// Keeps no memory for another reply as long as the last one.
    pub(crate) fn rest(&mut self) {
        self.spare.give_back();
    }

    /// Posts `body` and reads the whole reply.
    pub(crate) async fn post(&mut self, limits: &Limits, body: Bytes) -> Result<HttpReply, Broken> {
        self.exchange(limits, post(&self.endpoint, body)).await
    }

    /// Gets what is at the endpoint's target and reads the whole reply.
    pub(crate) async fn get(&mut self, limits: &Limits) -> Result<HttpReply, Broken> {
        self.exchange(limits, get(&self.endpoint, Bytes::new())).await
    }

    async fn exchange(&mut self, limits: &Limits, request: Request<Full<Bytes>>) -> Result<HttpReply, Broken> {
        let ready = within(&self.room, limits.request_timeout, self.sender.ready()).await;
        if !matches!(ready, Some(Ok(()))) {
            return Err(Broken::NotSent);
        }
        #[cfg(feature = "points")]
        let body = request.body().clone();
        let sent = self.sender.try_send_request(request);
        #[cfg(feature = "points")]
        crate::points::handed_over(body).await;
        let unix_time = self.room.unix_time();
        let (room, spare) = (&self.room, &mut self.spare);
        let work = async move {
            let response = sent.await.map_err(|mut error| {
                // hyper hands the request back if and only if its connection never took it.
                match error.take_message() {
                    Some(_) => Broken::NotSent,
                    None => broken(error.error()),
                }
            })?;
            read(response, limits.reply_bytes_max, unix_time, spare, || room.now()).await
        };
        within(room, limits.request_timeout, work).await.unwrap_or(Err(Broken::TimedOut))
    }
}

/// A request for the endpoint's target. Without a body it has no content length.
pub(crate) fn get(endpoint: &Endpoint, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.uri_mut() = endpoint.target().clone();
    let headers = request.headers_mut();
    headers.insert(HOST, endpoint.authority().clone());
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    request
}

fn post(endpoint: &Endpoint, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = get(endpoint, body);
    *request.method_mut() = Method::POST;
    request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

pub(crate) fn broken(error: &hyper::Error) -> Broken {
    if error.is_parse() { Broken::Unreadable(error.to_string()) } else { Broken::Cut }
}

impl Broken {
    /// In the words for users.
    pub(crate) fn into_fault(self) -> Fault {
        match self {
            Self::NotSent | Self::Cut => Fault::Closed,
            Self::TimedOut => Fault::TimedOut,
            Self::Unreadable(reason) => Fault::Malformed(reason),
            Self::TooLarge(reason) => Fault::TooLarge(reason),
        }
    }
}

impl HttpReply {
    /// What a status means that is not the one asked for.
    pub(crate) fn refusal(&self) -> Fault {
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            return Fault::Throttled { retry_after: self.retry_after };
        }
        Fault::Http { status: self.status.as_u16(), detail: self.detail() }
    }

    /// The beginning of the body, fit for a log line.
    pub(crate) fn detail(&self) -> String {
        let beginning = &self.body[..self.body.len().min(DETAIL_BYTES_MAX)];
        String::from_utf8_lossy(beginning).split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Takes the body in. One that comes in a single piece is not copied, and a longer one is copied once, into `spare`. `now`: the room's clock.
pub(crate) async fn read(
    response: Response<Incoming>,
    bytes_max: usize,
    unix_time: Duration,
    spare: &mut Spare,
    now: impl FnOnce() -> Duration,
) -> Result<HttpReply, Broken> {
    let (head, mut body) = response.into_parts();
    let too_large = |bytes: u64| Broken::TooLarge(format!("a reply of {bytes} bytes or more, and {bytes_max} are allowed"));
    let announced = body.size_hint().lower();
    if announced > bytes_max as u64 {
        return Err(too_large(announced));
    }
    let mut whole = Bytes::new();
    let room = &mut spare.bytes;
    room.clear();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| broken(&error))?;
        let Ok(piece) = frame.into_data() else {
            continue; // trailers say nothing to JSON-RPC
        };
        let bytes = whole.len().max(room.len()) + piece.len();
        if bytes > bytes_max {
            return Err(too_large(bytes as u64));
        }
        if bytes == piece.len() {
            whole = piece;
            continue;
        }
        if room.is_empty() {
            room.reserve(bytes.max(announced as usize));
            room.extend_from_slice(&whole);
        }
        room.extend_from_slice(&piece);
    }
    let copied = room.len();
    if copied > 0 {
        whole = spare.take();
    }
    spare.settle(copied, now);
    Ok(HttpReply { status: head.status, retry_after: retry_after(&head.headers, unix_time), body: whole })
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

    #[test]
    fn a_long_body_is_quoted_in_part_and_on_one_line() {
        let reply = HttpReply { status: StatusCode::OK, retry_after: None, body: b"a line\n".repeat(100).into() };
        let quoted = reply.detail();
        assert!(quoted.len() <= DETAIL_BYTES_MAX && !quoted.contains('\n'));
    }
}
