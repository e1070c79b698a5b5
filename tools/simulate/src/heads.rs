//! Heads by WebSocket, as a node tells of them.

use std::pin::pin;
use std::rc::Rc;

use async_tungstenite::tungstenite::Message;
use futures_util::StreamExt;
use futures_util::future::{Either, select};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio_util::compat::TokioAsyncReadCompatExt;

use crate::executor::Executor;
use crate::node::{Node, WORLD};

/// The id of every subscription.
const ID: &str = "0x5e";

/// Serves one subscriber, until it goes or heads are cut.
pub(crate) fn serve(executor: &Executor, node: &Rc<Node>, stream: DuplexStream) {
    let node = Rc::clone(node);
    executor.spawn(WORLD, async move {
        let Some(heads) = node.listen() else { return };
        // Whatever fails on the way is the subscriber's end.
        let Ok(mut socket) = async_tungstenite::accept_async(stream.compat()).await else { return };
        let Some(Ok(Message::Text(_))) = socket.next().await else { return };
        let mut next = json!({"jsonrpc": "2.0", "id": 0, "result": ID}).to_string();
        loop {
            if socket.send(Message::text(next)).await.is_err() {
                return;
            }
            next = loop {
                match select(pin!(heads.recv_async()), pin!(socket.next())).await {
                    Either::Left((Ok(head), _)) => break notification(&head),
                    // A ping: the socket has answered it.
                    Either::Right((Some(Ok(_)), _)) => {}
                    Either::Left((Err(_), _)) | Either::Right(_) => return,
                }
            };
        }
    });
}

fn notification(head: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"eth_subscription","params":{{"subscription":"{ID}","result":{head}}}}}"#)
}
