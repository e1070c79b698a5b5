//! The engine seen from the outside: one keep-alive HTTP/1.1 connection, its JSON-RPC replies, and its gauges.
//!
//! A call fails in one of two ways. Either the connection or the HTTP exchange broke, and nobody knows what the engine did
//! ([`Client::post`] returns an error; ask again with the same idempotency keys). Or the engine answered, and [`judge`] says for
//! each transaction whether it is accepted, should be offered again, or is refused for good.

use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::net::TcpStream;

/// A reply later than this counts as lost; the engine's own limits are far below.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// JSON-RPC error code: busy, nothing was accepted.
const CODE_BUSY: i64 = -32010;
/// JSON-RPC error code: the outcome is unknown, ask by idempotency key.
const CODE_UNKNOWN: i64 = -32011;

/// An HTTP reply.
#[derive(Debug)]
pub(crate) struct Reply {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Body.
    pub(crate) body: Bytes,
}

/// One connection to the engine, opened when it is first needed and again after it broke.
pub(crate) struct Client {
    authority: String,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    /// A client of the engine at `url`, such as `http://127.0.0.1:7545`. Nothing is connected yet.
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("`{url}` is not an address"))?;
        if uri.scheme_str() != Some("http") {
            bail!("`{url}` is not an http:// address; the engine's API is plain HTTP on the loopback interface");
        }
        let host = uri.host().with_context(|| format!("`{url}` names no host"))?;
        let port = uri.port_u16().unwrap_or(80);
        Ok(Self { authority: format!("{host}:{port}"), connection: None })
    }

    /// Opens the connection if it is not open.
    pub(crate) async fn connect(&mut self) -> anyhow::Result<()> {
        if let Some(connection) = &mut self.connection {
            if connection.ready().await.is_ok() {
                return Ok(());
            }
            self.connection = None;
        }
        let stream = TcpStream::connect(&self.authority).await.with_context(|| format!("connecting to {}", self.authority))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.with_context(|| format!("HTTP to {}", self.authority))?;
        // The task ends with the connection: when the peer closes it, or when the sender above is dropped.
        tokio::spawn(connection);
        self.connection = Some(sender);
        Ok(())
    }

    /// Posts a JSON-RPC body. After an error the connection is gone and the outcome unknown.
    pub(crate) async fn post(&mut self, body: Bytes) -> anyhow::Result<Reply> {
        self.call(Method::POST, "/", body).await
    }

    /// Gets `path`.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Reply> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    async fn call(&mut self, method: Method, path: &str, body: Bytes) -> anyhow::Result<Reply> {
        self.connect().await?;
        // Taken out until the reply is complete: a call that fails or is dropped half-way must not leave its reply to the next.
        let mut connection = self.connection.take().context("the connection was closed")?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.authority)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let exchange = async {
            let response = connection.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            Ok::<_, hyper::Error>(Reply { status, body })
        };
        let reply = tokio::time::timeout(REPLY_TIMEOUT, exchange)
            .await
            .with_context(|| format!("no reply from {} within {} s", self.authority, REPLY_TIMEOUT.as_secs()))?
            .with_context(|| format!("HTTP exchange with {}", self.authority))?;
        self.connection = Some(connection);
        Ok(reply)
    }
}

/// What the engine said of one offered transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// On disk.
    Accepted,
    /// Offer it again with the same key, not before this delay where the engine names one.
    Again(Option<Duration>),
    /// Never: the reason in the engine's words.
    Refused(String),
}

#[derive(Deserialize)]
struct SendReply {
    result: Option<Vec<SendElement>>,
    error: Option<RpcError>,
}

#[derive(Deserialize)]
struct SendElement {
    id: Option<IgnoredAny>,
    error: Option<RpcError>,
}

/// A JSON-RPC error.
#[derive(Deserialize)]
pub(crate) struct RpcError {
    /// Code.
    pub(crate) code: i64,
    /// Words.
    pub(crate) message: String,
    data: Option<ErrorData>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ErrorData {
    #[serde(rename_all = "camelCase")]
    Retry {
        retry_after_ms: u64,
    },
    Other(IgnoredAny),
}

impl RpcError {
    fn verdict(self) -> Verdict {
        match self.code {
            CODE_BUSY | CODE_UNKNOWN => Verdict::Again(match self.data {
                Some(ErrorData::Retry { retry_after_ms }) => Some(Duration::from_millis(retry_after_ms)),
                Some(ErrorData::Other(_)) | None => None,
            }),
            code => Verdict::Refused(format!("{} ({code})", self.message)),
        }
    }
}

/// Reads the reply to a `ptx_sendTransactions` of `count` transactions: one verdict for each, in order.
///
/// An error means that the reply makes no sense; that is a fault of the engine and not worth a retry.
pub(crate) fn judge(reply: &Reply, count: usize) -> anyhow::Result<Vec<Verdict>> {
    if let Some(verdict) = judge_status(reply) {
        return Ok(vec![verdict; count]);
    }
    let parsed: SendReply =
        serde_json::from_slice(&reply.body).with_context(|| format!("the engine's reply is not JSON-RPC: {}", excerpt(&reply.body)))?;
    if let Some(error) = parsed.error {
        return Ok(vec![error.verdict(); count]);
    }
    let elements = parsed.result.with_context(|| format!("the engine's reply has neither result nor error: {}", excerpt(&reply.body)))?;
    if elements.len() != count {
        bail!("the engine answered {} of {count} transactions in one request", elements.len());
    }
    elements
        .into_iter()
        .map(|element| match (element.id, element.error) {
            (Some(_), None) => Ok(Verdict::Accepted),
            (_, Some(error)) => Ok(error.verdict()),
            (None, None) => bail!("the engine's reply has an element with neither id nor error"),
        })
        .collect()
}

/// What an HTTP status alone says of all transactions of a request; `None` where the body must be read.
pub(crate) fn judge_status(reply: &Reply) -> Option<Verdict> {
    if reply.status.is_server_error() || reply.status == StatusCode::TOO_MANY_REQUESTS {
        Some(Verdict::Again(None))
    } else if reply.status.is_success() {
        None
    } else {
        Some(Verdict::Refused(format!("HTTP {}: {}", reply.status, excerpt(&reply.body))))
    }
}

/// The start of a body, for an error message.
pub(crate) fn excerpt(body: &[u8]) -> String {
    /// Characters that are enough to recognise a reply.
    const LENGTH: usize = 200;
    String::from_utf8_lossy(body).chars().take(LENGTH).collect()
}

/// The value of metric `name` in Prometheus text, summed over its labels; `None` if it is not there.
pub(crate) fn metric(text: &str, name: &str) -> Option<f64> {
    metric_where(text, name, "")
}

/// The value of metric `name` in Prometheus text, summed over those of its series whose labels contain `label`.
pub(crate) fn metric_where(text: &str, name: &str, label: &str) -> Option<f64> {
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix(name) else {
            continue;
        };
        let (labels, value) = match rest.as_bytes().first() {
            Some(b' ') => ("", rest),
            Some(b'{') => rest.rsplit_once('}').unwrap_or_default(),
            _ => continue,
        };
        if !labels.contains(label) {
            continue;
        }
        if let Some(value) = value.split_whitespace().next().and_then(|value| value.parse::<f64>().ok()) {
            sum = Some(sum.unwrap_or(0.0) + value);
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn reply(status: u16, body: &str) -> Reply {
        Reply { status: StatusCode::from_u16(status).unwrap(), body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    #[test]
    fn each_element_of_a_reply_gets_its_own_verdict() {
        let body = r#"{"jsonrpc":"2.0","id":1,"result":[{"id":"a"},
            {"error":{"code":-32010,"message":"busy","data":{"retryAfterMs":25}}},
            {"error":{"code":-32011,"message":"unknown"}},
            {"error":{"code":-32602,"message":"unknown signer","data":"0x1"}}]}"#;
        let verdicts = judge(&reply(200, body), 4).unwrap();
        assert_eq!(
            verdicts,
            [
                Verdict::Accepted,
                Verdict::Again(Some(Duration::from_millis(25))),
                Verdict::Again(None),
                Verdict::Refused("unknown signer (-32602)".into())
            ]
        );
    }

    #[test]
    fn an_error_of_the_whole_request_is_the_verdict_of_all() {
        let busy = reply(200, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32010,"message":"busy","data":{"retryAfterMs":5}}}"#);
        assert_eq!(judge(&busy, 2).unwrap(), vec![Verdict::Again(Some(Duration::from_millis(5))); 2]);
    }

    #[test]
    fn server_errors_and_429_are_tried_again_and_other_statuses_are_final() {
        assert_eq!(judge(&reply(503, "no"), 1).unwrap(), [Verdict::Again(None)]);
        assert_eq!(judge(&reply(429, "slow down"), 1).unwrap(), [Verdict::Again(None)]);
        assert!(matches!(&judge(&reply(413, "too big"), 1).unwrap()[0], Verdict::Refused(reason) if reason.contains("413")));
    }

    #[test]
    fn a_reply_that_makes_no_sense_is_an_error() {
        assert!(judge(&reply(200, "hello"), 1).is_err());
        assert!(judge(&reply(200, r#"{"result":[{"id":"a"}]}"#), 2).is_err());
        assert!(judge(&reply(200, r#"{"result":[{}]}"#), 1).is_err());
        assert!(judge(&reply(200, "{}"), 1).is_err());
    }

    #[test]
    fn a_metric_is_read_with_and_without_labels() {
        let text = "# HELP open x\nopen_total 9\nopen 12\nby_shard{shard=\"0\"} 3\nby_shard{shard=\"1\"} 4.5\n";
        assert_eq!(metric(text, "open"), Some(12.0));
        assert_eq!(metric(text, "by_shard"), Some(7.5));
        assert_eq!(metric(text, "by"), None);
        assert_eq!(metric_where(text, "by_shard", "shard=\"1\""), Some(4.5));
        assert_eq!(metric_where(text, "by_shard", "shard=\"2\""), None);
    }

    #[test]
    fn only_plain_http_is_taken() {
        assert!(Client::new("https://127.0.0.1:1").is_err());
        assert!(Client::new("http://127.0.0.1:7545").is_ok());
    }
}
