//! A node in front of the node that lacks a method.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::header::CONTENT_TYPE;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use crate::support::any_port;

/// A running proxy; it ends when it is dropped.
pub(crate) struct Proxy {
    address: SocketAddr,
    refused: Arc<AtomicU64>,
    /// Its end is the proxy's.
    _stop: oneshot::Sender<()>,
}

impl Proxy {
    /// Answers calls of `method` as a node does that never heard of it, and passes all others on.
    pub(crate) fn without(method: &'static str, node: SocketAddr) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(any_port())).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let refused = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&refused);
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, method, node, counter) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, refused, _stop: stop }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How often the method was asked for.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

async fn accept(listener: TcpListener, method: &'static str, node: SocketAddr, refused: Arc<AtomicU64>) {
    while let Ok((stream, _)) = listener.accept().await {
        let refused = Arc::clone(&refused);
        let service = service_fn(move |request| {
            let refused = Arc::clone(&refused);
            async move { Ok::<_, Infallible>(reply(request, method, node, &refused).await) }
        });
        tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn reply(request: Request<Incoming>, method: &str, node: SocketAddr, refused: &AtomicU64) -> Response<Full<Bytes>> {
    let body = request.into_body().collect().await.expect("a body").to_bytes();
    let calls: Value = serde_json::from_slice(&body).expect("JSON");
    let replies = match calls {
        Value::Array(calls) => {
            let mut replies = Vec::with_capacity(calls.len());
            for call in calls {
                replies.push(answer(call, method, node, refused).await);
            }
            Value::Array(replies)
        }
        call => answer(call, method, node, refused).await,
    };
    let mut response = Response::new(Full::from(replies.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("a header"));
    response
}

async fn answer(call: Value, method: &str, node: SocketAddr, refused: &AtomicU64) -> Value {
    if call["method"] == method {
        refused.fetch_add(1, Ordering::Relaxed);
        let message = format!("the method {method} does not exist/is not available");
        return json!({"jsonrpc": "2.0", "id": call["id"], "error": {"code": -32601, "message": message}});
    }
    let stream = TcpStream::connect(node).await.expect("the node listens");
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    let request = Request::post("/").header("Host", "node").header(CONTENT_TYPE, "application/json");
    let request = request.body(Full::<Bytes>::from(call.to_string())).expect("a request");
    let response = sender.send_request(request).await.expect("a response");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}
