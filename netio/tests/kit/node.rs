//! A node for tests: a real HTTP server, plain or under TLS, on a thread of its own, whose answers the test writes.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::stream;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

use super::tls::{Server, accept};

/// What the node does with one request.
pub enum Act {
    /// Replies with this status, headers and body.
    Reply(u16, Vec<(&'static str, String)>, String),
    /// Closes the connection, having read the request.
    Cut,
    /// Closes the connection in the middle of a reply that begins like this.
    CutMidway(String),
    /// Replies in pieces, without announcing their length.
    Pieces(Vec<String>),
    /// Never replies.
    Silence,
}

impl Act {
    pub fn json(body: &Value) -> Self {
        Self::Reply(200, Vec::new(), body.to_string())
    }

    pub fn status(status: u16, body: &str) -> Self {
        Self::Reply(status, Vec::new(), body.to_owned())
    }
}

/// A request as the node saw it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Counted from 0 over all connections.
    pub number: usize,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl Asked {
    /// The calls in it, one or many.
    pub fn calls(&self) -> Vec<Value> {
        match &self.body {
            Value::Array(calls) => calls.clone(),
            one => vec![one.clone()],
        }
    }

    pub fn is_batch(&self) -> bool {
        self.body.is_array()
    }

    /// The reply of a node that does what it is asked: each result is the call's params.
    pub fn echo(&self) -> Act {
        let answers: Vec<Value> = self.calls().iter().map(answer).collect();
        if self.is_batch() { Act::json(&Value::Array(answers)) } else { Act::json(&answers[0]) }
    }
}

/// The answer to one call: its params.
pub fn answer(call: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": call["id"], "result": call["params"]})
}

type Script = Arc<Mutex<dyn FnMut(&Asked) -> Act + Send>>;

#[derive(Default)]
struct Seen {
    asked: Mutex<Vec<Asked>>,
    connects: AtomicUsize,
}

/// The running server. It stops, and closes its connections, when dropped.
pub struct Node {
    address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Seen>,
    orders: Option<mpsc::UnboundedSender<std::sync::mpsc::Sender<()>>>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    /// Serves on a free port of 127.0.0.1.
    pub fn start(script: impl FnMut(&Asked) -> Act + Send + 'static) -> Self {
        Self::start_at(0, script)
    }

    pub fn start_at(port: u16, script: impl FnMut(&Asked) -> Act + Send + 'static) -> Self {
        Self::start_with(port, None, script)
    }

    /// Serves https with this certificate.
    pub fn start_tls(tls: Server, script: impl FnMut(&Asked) -> Act + Send + 'static) -> Self {
        Self::start_with(0, Some(tls), script)
    }

    fn start_with(port: u16, tls: Option<Server>, script: impl FnMut(&Asked) -> Act + Send + 'static) -> Self {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Seen::default());
        let (orders, taken) = mpsc::unbounded_channel();
        let thread = {
            let seen = Arc::clone(&seen);
            thread::spawn(move || serve(listener, tls, &seen, taken, Arc::new(Mutex::new(script))))
        };
        Self { address, scheme, seen, orders: Some(orders), thread: Some(thread) }
    }

    /// A node that does what it is asked.
    pub fn echo() -> Self {
        Self::start(Asked::echo)
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    pub fn url(&self) -> String {
        format!("{}://{}/rpc/KEY", self.scheme, self.address)
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.seen.asked.lock().unwrap().clone()
    }

    pub fn connects(&self) -> usize {
        self.seen.connects.load(Ordering::SeqCst)
    }

    /// Closes all connections without a word, and returns when they are closed.
    pub fn hang_up(&self) {
        let (done, is_done) = std::sync::mpsc::channel();
        self.orders.as_ref().unwrap().send(done).unwrap();
        is_done.recv().unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A failed test must show its own panic, not this one's.
            let _ = thread.join();
        }
    }
}

/// A port on which nobody listens.
pub fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn serve(
    listener: TcpListener,
    tls: Option<Server>,
    seen: &Arc<Seen>,
    mut orders: mpsc::UnboundedReceiver<std::sync::mpsc::Sender<()>>,
    script: Script,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let (hang_up, _) = watch::channel(());
    LocalSet::new().block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            match select(pin!(listener.accept()), pin!(orders.recv())).await {
                Either::Left((accepted, _)) => {
                    let (stream, _) = accepted.unwrap();
                    seen.connects.fetch_add(1, Ordering::SeqCst);
                    let mut hung_up = hang_up.subscribe();
                    let (seen, script, tls) = (Arc::clone(seen), Arc::clone(&script), tls.clone());
                    tokio::task::spawn_local(async move {
                        let talk = async {
                            // A client that does not trust the certificate goes away.
                            if let Ok(stream) = accept(stream, tls).await {
                                converse(TokioIo::new(stream), seen, script).await;
                            }
                        };
                        select(pin!(talk), pin!(hung_up.changed())).await;
                    });
                }
                Either::Right((Some(done), _)) => {
                    hang_up.send_replace(());
                    while hang_up.receiver_count() > 0 {
                        tokio::task::yield_now().await;
                    }
                    done.send(()).unwrap();
                }
                Either::Right((None, _)) => return,
            }
        }
    });
}

/// Serves one connection, over whatever bytes travel.
async fn converse<S: hyper::rt::Read + hyper::rt::Write + Unpin>(stream: S, seen: Arc<Seen>, script: Script) {
    let service = service_fn(|request: Request<Incoming>| {
        let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
        async move {
            let asked = read(request, &seen).await;
            let act = (script.lock().unwrap())(&asked);
            perform(act).await
        }
    });
    // A cut is an error of the service, and of the connection.
    let _ = http1::Builder::new().serve_connection(stream, service).await;
}

async fn read(request: Request<Incoming>, seen: &Seen) -> Asked {
    let method = request.method().to_string();
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
        .chain([("target".to_owned(), request.uri().to_string()), ("method".to_owned(), method)])
        .collect();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut list = seen.asked.lock().unwrap();
    // A GET has no body.
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    let asked = Asked { number: list.len(), headers, body };
    list.push(asked.clone());
    asked
}

async fn perform(act: Act) -> io::Result<Response<BoxBody<Bytes, io::Error>>> {
    let cut = || io::Error::other("cut, as the test asked");
    match act {
        Act::Reply(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            let body = Full::new(Bytes::from(body)).map_err(|never: Infallible| match never {});
            Ok(response.body(BoxBody::new(body)).unwrap())
        }
        Act::Cut => Err(cut()),
        Act::CutMidway(beginning) => {
            let frames = [Ok(Frame::data(Bytes::from(beginning))), Err(cut())];
            Ok(Response::new(BoxBody::new(StreamBody::new(stream::iter(frames)))))
        }
        Act::Pieces(pieces) => {
            let frames = pieces.into_iter().map(|piece| Ok(Frame::data(Bytes::from(piece))));
            Ok(Response::new(BoxBody::new(StreamBody::new(stream::iter(frames)))))
        }
        Act::Silence => std::future::pending().await,
    }
}

/// One end of an in-memory stream whose other end a node serves that does what it is asked. `spawn` runs the node's side.
pub fn in_memory(spawn: impl FnOnce(std::pin::Pin<Box<dyn Future<Output = ()>>>)) -> TokioIo<tokio::io::DuplexStream> {
    let (ours, theirs) = tokio::io::duplex(64); // small, so that every message takes many reads and writes
    let script: Script = Arc::new(Mutex::new(Asked::echo));
    spawn(Box::pin(converse(TokioIo::new(theirs), Arc::default(), script)));
    TokioIo::new(ours)
}
