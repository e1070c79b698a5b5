//! A node that tells of heads over WebSocket, plain or under TLS, on a thread of its own. The test writes what each connection does.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::{Bytes, Message};
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::tls::{Duplex, Server, accept};

/// The id of every subscription.
pub const ID: &str = "0x9ce59a13059e417087c02d3236a0b1cc";

/// What the node does next on a connection.
#[derive(Clone, Debug)]
pub enum Step {
    /// Reads the request and answers it with the subscription's id.
    Accept,
    /// Tells of a head of this number.
    Head(u64),
    /// Sends this text.
    Say(String),
    /// Sends so many bytes of text in one frame.
    Flood(usize),
    /// Sends a ping.
    Ping,
    /// Reads and answers pings for this long.
    Idle(Duration),
    /// Neither reads nor writes any more.
    Freeze,
    /// Says goodbye.
    Close,
}

/// The notification of a head of this number.
pub fn head(number: u64) -> Value {
    json!({"number": format!("{number:#x}"), "hash": format!("{number:#066x}")})
}

/// The running node. It stops, and cuts its connections, when dropped.
pub struct Feed {
    address: SocketAddr,
    scheme: &'static str,
    heard: Arc<Mutex<Vec<String>>>,
    pings: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Feed {
    /// Takes each connection through `steps` and cuts it after the last one.
    pub fn start(tls: Option<Server>, steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let scheme = if tls.is_some() { "wss" } else { "ws" };
        let (heard, pings) = (Arc::default(), Arc::default());
        let talk = Talk { heard: Arc::clone(&heard), pings: Arc::clone(&pings), steps };
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || serve(listener, tls, talk, stopped));
        Self { address, scheme, heard, pings, stop: Some(stop), thread: Some(thread) }
    }

    pub fn url(&self) -> String {
        format!("{}://{}/ws/KEY", self.scheme, self.address)
    }

    /// The texts it was sent.
    pub fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }

    /// The pings it was sent.
    pub fn pings(&self) -> usize {
        self.pings.load(Ordering::SeqCst)
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A failed test must show its own panic, not this one's.
            let _ = thread.join();
        }
    }
}

#[derive(Clone)]
struct Talk {
    heard: Arc<Mutex<Vec<String>>>,
    pings: Arc<AtomicUsize>,
    steps: Vec<Step>,
}

type Socket = WebSocketStream<Compat<Box<dyn Duplex>>>;

fn serve(listener: TcpListener, tls: Option<Server>, talk: Talk, mut stopped: oneshot::Receiver<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    LocalSet::new().block_on(&runtime, async move {
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        loop {
            let accepted = match select(pin!(listener.accept()), &mut stopped).await {
                Either::Left((accepted, _)) => accepted.unwrap().0,
                Either::Right(_) => return,
            };
            let (tls, talk) = (tls.clone(), talk.clone());
            tokio::task::spawn_local(async move {
                let Ok(stream) = accept(accepted, tls).await else { return };
                if let Ok(socket) = async_tungstenite::accept_async(stream.compat()).await {
                    talk.run(socket).await;
                }
            });
        }
    });
}

impl Talk {
    /// Whatever fails here fails because the client has gone, and the client's side is what is tested.
    async fn run(self, mut socket: Socket) {
        for step in self.steps.clone() {
            let sent = match step {
                Step::Accept => {
                    let asked = socket.next().await;
                    if let Some(Ok(Message::Text(text))) = asked {
                        self.heard.lock().unwrap().push(text.to_string());
                    }
                    socket.send(Message::text(json!({"jsonrpc": "2.0", "id": 0, "result": ID}).to_string())).await
                }
                Step::Head(number) => {
                    let params = json!({"subscription": ID, "result": head(number)});
                    let text = json!({"jsonrpc": "2.0", "method": "eth_subscription", "params": params}).to_string();
                    socket.send(Message::text(text)).await
                }
                Step::Say(text) => socket.send(Message::text(text)).await,
                Step::Flood(bytes) => socket.send(Message::text("x".repeat(bytes))).await,
                Step::Ping => socket.send(Message::Ping(Bytes::from_static(b"are you there"))).await,
                Step::Idle(time) => {
                    // The library answers pings while it is read from.
                    let _ = tokio::time::timeout(time, self.listen(&mut socket)).await;
                    Ok(())
                }
                Step::Freeze => std::future::pending().await,
                Step::Close => socket.close(None).await,
            };
            if sent.is_err() {
                return;
            }
        }
    }

    async fn listen(&self, socket: &mut Socket) {
        while let Some(Ok(message)) = socket.next().await {
            match message {
                Message::Ping(_) => drop(self.pings.fetch_add(1, Ordering::SeqCst)),
                Message::Pong(bytes) => self.heard.lock().unwrap().push(String::from_utf8_lossy(&bytes).into_owned()),
                _ => {}
            }
        }
    }
}
