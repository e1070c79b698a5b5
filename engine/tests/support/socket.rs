//! A WebSocket to the interface that waits: calls are answered, and what comes in between is kept.

use std::collections::VecDeque;
use std::net::SocketAddr;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::Message;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::{LIMIT, error_of};

/// A client's end.
pub(crate) struct Socket {
    runtime: Runtime,
    stream: WebSocketStream<Compat<TcpStream>>,
    /// Notifications that came before an answer.
    told: VecDeque<Value>,
    next: u64,
}

impl Socket {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let stream = runtime.block_on(async {
            let stream = TcpStream::connect(address).await.expect("a connection");
            async_tungstenite::client_async(format!("ws://{address}/"), stream.compat()).await.expect("a WebSocket").0
        });
        Self { runtime, stream, told: VecDeque::new(), next: 1 }
    }

    fn hear(&mut self) -> Value {
        let stream = &mut self.stream;
        let next = async {
            loop {
                if let Message::Text(text) = stream.next().await.expect("it is open").expect("a message") {
                    return serde_json::from_str(&text).expect("JSON");
                }
            }
        };
        self.runtime.block_on(async { tokio::time::timeout(LIMIT, next).await.expect("a message in time") })
    }

    /// Calls a method; gives the whole reply.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        let id = self.next;
        self.next += 1;
        let request = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        let stream = &mut self.stream;
        self.runtime.block_on(async { stream.send(Message::text(request)).await.expect("sent") });
        loop {
            let heard = self.hear();
            if heard["id"] == id {
                return heard;
            }
            assert!(heard.get("id").is_none(), "an answer to nothing: {heard}");
            self.told.push_back(heard);
        }
    }

    /// Calls a method that must fail; gives code and message.
    pub(crate) fn error(&mut self, method: &str, params: &Value) -> (i64, String) {
        error_of(&self.call(method, params))
    }

    /// The next notification.
    pub(crate) fn notification(&mut self) -> Value {
        match self.told.pop_front() {
            Some(told) => told,
            None => {
                let heard = self.hear();
                assert!(heard.get("method").is_some(), "no notification: {heard}");
                heard
            }
        }
    }

    /// How many notifications have come and were not taken.
    pub(crate) fn untaken(&self) -> usize {
        self.told.len()
    }
}
