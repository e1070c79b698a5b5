//! A node of its own as the engine sees it: the same chain, perhaps some blocks behind, down, or under another chain id.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

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

/// A running view; it ends when it is dropped.
pub(crate) struct View {
    address: SocketAddr,
    state: Arc<State>,
    /// Its end is the view's.
    _stop: oneshot::Sender<()>,
}

struct State {
    node: SocketAddr,
    down: AtomicBool,
    /// Blocks that it is behind.
    lag: AtomicU64,
    /// The chain id it names; 0 for the node's own.
    chain_id: AtomicU64,
    requests: AtomicU64,
    calls: AtomicU64,
    raw_transactions: AtomicU64,
}

impl View {
    pub(crate) fn of(node: SocketAddr) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind(any_port())).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(State {
            node,
            down: AtomicBool::default(),
            lag: AtomicU64::default(),
            chain_id: AtomicU64::default(),
            requests: AtomicU64::default(),
            calls: AtomicU64::default(),
            raw_transactions: AtomicU64::default(),
        });
        let shared = Arc::clone(&state);
        let (stop, stopped) = oneshot::channel();
        std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, state, _stop: stop }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Connections end without an answer, or no longer do.
    pub(crate) fn set_down(&self, down: bool) {
        self.state.down.store(down, Ordering::Release);
    }

    pub(crate) fn set_lag(&self, blocks: u64) {
        self.state.lag.store(blocks, Ordering::Release);
    }

    pub(crate) fn set_chain_id(&self, id: u64) {
        self.state.chain_id.store(id, Ordering::Release);
    }

    /// Requests that came, answered or not.
    pub(crate) fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Acquire)
    }

    /// Calls that were answered.
    pub(crate) fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::Acquire)
    }

    /// Transactions that were handed to it.
    pub(crate) fn raw_transactions(&self) -> u64 {
        self.state.raw_transactions.load(Ordering::Acquire)
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        let service = service_fn(move |request| reply(request, Arc::clone(&state)));
        tokio::spawn(server::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

/// The connection is cut.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

async fn reply(request: Request<Incoming>, state: Arc<State>) -> Result<Response<Full<Bytes>>, Cut> {
    let body = request.into_body().collect().await.map_err(|_| Cut)?.to_bytes();
    state.requests.fetch_add(1, Ordering::AcqRel);
    if state.down.load(Ordering::Acquire) {
        return Err(Cut);
    }
    let replies = match serde_json::from_slice(&body).expect("JSON") {
        Value::Array(calls) => {
            let mut replies = Vec::with_capacity(calls.len());
            for call in calls {
                replies.push(answer(call, &state).await);
            }
            Value::Array(replies)
        }
        call => answer(call, &state).await,
    };
    let mut response = Response::new(Full::from(replies.to_string()));
    response.headers_mut().insert(CONTENT_TYPE, "application/json".parse().expect("a header"));
    Ok(response)
}

async fn answer(mut call: Value, state: &State) -> Value {
    state.calls.fetch_add(1, Ordering::AcqRel);
    let reply = |result: Value| json!({"jsonrpc": "2.0", "id": call["id"], "result": result});
    let (lag, chain_id) = (state.lag.load(Ordering::Acquire), state.chain_id.load(Ordering::Acquire));
    match call["method"].as_str().expect("a method") {
        "eth_chainId" if chain_id != 0 => return reply(json!(format!("{chain_id:#x}"))),
        "eth_sendRawTransaction" => {
            state.raw_transactions.fetch_add(1, Ordering::AcqRel);
        }
        _ if lag == 0 => {}
        "eth_blockNumber" => return reply(json!(format!("{:#x}", head(state, lag).await))),
        "eth_getBlockByNumber" | "eth_getTransactionByBlockNumberAndIndex" => {
            let number = call["params"][0].as_str().and_then(|text| u64::from_str_radix(text.trim_start_matches("0x"), 16).ok());
            if let Some(number) = number
                && number > head(state, lag).await
            {
                return reply(Value::Null);
            }
        }
        "eth_getTransactionCount" => call["params"][1] = json!(format!("{:#x}", head(state, lag).await)),
        _ => {}
    }
    forward(state.node, &call).await
}

/// The head as it is seen here.
async fn head(state: &State, lag: u64) -> u64 {
    let reply = forward(state.node, &json!({"jsonrpc": "2.0", "id": 1, "method": "eth_blockNumber", "params": []})).await;
    crate::support::node::quantity(&reply["result"]).saturating_sub(lag)
}

async fn forward(node: SocketAddr, call: &Value) -> Value {
    let stream = TcpStream::connect(node).await.expect("the node listens");
    let (mut sender, connection) = client::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    let request = Request::post("/").header("Host", "node").header(CONTENT_TYPE, "application/json");
    let request = request.body(Full::<Bytes>::from(call.to_string())).expect("a request");
    let response = sender.send_request(request).await.expect("a response");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    serde_json::from_slice(&body).expect("JSON")
}
