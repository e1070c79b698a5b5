//! Both interfaces over WebSocket: requests several at once, subscriptions, and clients that misbehave.

#![allow(clippy::expect_used, clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use async_tungstenite::WebSocketStream;
use async_tungstenite::tungstenite::client::IntoClientRequest;
use async_tungstenite::tungstenite::{Error, Message};
use futures_util::StreamExt;
use serde_json::{Value, json};
use support::LIMIT;
use support::node::{quantity, text};
use support::world::{World, quiet_chain, transfer};
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

type Socket = WebSocketStream<Compat<TcpStream>>;

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { tokio::time::timeout(LIMIT, work).await.expect("in time") })
}

async fn connect(address: SocketAddr, origin: Option<&str>) -> Result<Socket, Error> {
    let mut request = format!("ws://{address}/").into_client_request()?;
    if let Some(origin) = origin {
        request.headers_mut().insert("Origin", origin.parse().expect("a header"));
    }
    let stream = TcpStream::connect(address).await?;
    async_tungstenite::client_async(request, stream.compat()).await.map(|(socket, _)| socket)
}

async fn say(socket: &mut Socket, message: &Value) {
    socket.send(Message::text(message.to_string())).await.expect("sent");
}

/// The next message, over pings.
async fn hear(socket: &mut Socket) -> Value {
    loop {
        if let Message::Text(text) = socket.next().await.expect("open").expect("a message") {
            return serde_json::from_str(&text).expect("JSON");
        }
    }
}

fn call(id: u64, method: &str, params: &Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

fn world(more: &str) -> World {
    World::start("epoll", &format!("facade.listen = \"127.0.0.1:0\"\n{more}")).expect("epoll runs anywhere")
}

#[test]
fn requests_are_answered_several_at_once_and_mistakes_by_themselves() {
    let world = world("");
    world.flow();
    run(async {
        let mut socket = connect(world.millrace().address(), None).await.expect("a WebSocket");
        say(&mut socket, &call(1, "ptx_sendTransaction", &json!([transfer(0)]))).await;
        say(&mut socket, &call(2, "nothing", &json!([]))).await;
        say(&mut socket, &json!({"jsonrpc": "2.0", "method": "ptx_clearGasPriceCache"})).await;
        say(&mut socket, &json!([call(3, "rpc.discover", &json!([]))])).await;
        socket.send(Message::text("{")).await.expect("sent");
        let mut answers = BTreeMap::new();
        for _ in 0..4 {
            let mut answer = hear(&mut socket).await;
            if answer.is_array() {
                answer = answer[0].take();
            }
            answers.insert(answer["id"].as_u64().unwrap_or(0), answer);
        }
        assert!(answers[&1]["result"].is_string(), "{answers:?}");
        assert_eq!(answers[&2]["error"]["code"], -32601);
        assert_eq!(answers[&3]["result"]["openrpc"], "1.3.2");
        assert_eq!(answers[&0]["error"]["code"], -32700, "what is no JSON is answered to nobody in particular");
    });
}

#[test]
fn web_pages_and_endless_messages_are_refused_and_others_go_on() {
    let world = world("");
    for address in [world.millrace().address(), world.facade()] {
        run(async {
            match connect(address, Some("https://page.example")).await {
                Err(Error::Http(reply)) => assert_eq!(reply.status(), 403),
                other => panic!("a page got in: {:?}", other.map(drop)),
            }
            let mut good = connect(address, None).await.expect("a WebSocket");
            let mut greedy = connect(address, None).await.expect("a WebSocket");
            // Over the limit of a message, which may end before all of it is taken in.
            let _ = greedy.send(Message::text(" ".repeat(2 * 1024 * 1024))).await;
            let ended = loop {
                match greedy.next().await {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => break true,
                    Some(Ok(Message::Text(_))) => break false,
                    Some(Ok(_)) => {}
                }
            };
            assert!(ended, "its connection ends");
            say(&mut good, &call(1, "nothing", &json!([]))).await;
            assert_eq!(hear(&mut good).await["id"], 1);
        });
    }
}

#[test]
fn a_client_that_does_not_read_holds_up_nobody_else() {
    let world = world("");
    run(async {
        let mut deaf = connect(world.millrace().address(), None).await.expect("a WebSocket");
        // Answers of some 30 KB each: its socket is full long before all are written.
        for id in 0..400 {
            let asked =
                tokio::time::timeout(Duration::from_secs(1), deaf.send(Message::text(call(id, "rpc.discover", &json!([])).to_string())));
            if asked.await.is_err() {
                break;
            }
        }
        let mut good = connect(world.millrace().address(), None).await.expect("a WebSocket");
        say(&mut good, &call(1, "ptx_queryTransactions", &json!([]))).await;
        assert_eq!(hear(&mut good).await["id"], 1);
    });
}

#[test]
fn blocks_are_told_to_who_subscribes_until_it_unsubscribes() {
    let chain = quiet_chain();
    let node = support::node::Node::new(chain.addr());
    let more = format!("facade.listen = \"127.0.0.1:0\"\nnode.ws_url = \"ws://{}\"\n", chain.addr());
    let world = World::with_node(node, &node.url(), "epoll", &more, Some(chain)).expect("epoll runs anywhere");
    run(async {
        let mut socket = connect(world.facade(), None).await.expect("a WebSocket");
        say(&mut socket, &call(1, "eth_subscribe", &json!(["newHeads"]))).await;
        let subscription = hear(&mut socket).await["result"].clone();
        assert!(subscription.is_string(), "{subscription}");
        world.node.ask("devnet_mine", &json!([1]));
        let told = hear(&mut socket).await;
        assert_eq!((&told["method"], &told["params"]["subscription"]), (&json!("eth_subscription"), &subscription));
        assert_eq!(quantity(&told["params"]["result"]["number"]), world.node.head());
        // Other calls go on beside it, under the client's own ids.
        say(&mut socket, &call(77, "eth_chainId", &json!([]))).await;
        assert_eq!(hear(&mut socket).await, json!({"jsonrpc": "2.0", "id": 77, "result": "0x7a69"}));
        say(&mut socket, &call(2, "eth_unsubscribe", &json!([subscription]))).await;
        assert_eq!(hear(&mut socket).await, json!({"jsonrpc": "2.0", "id": 2, "result": true}));
        world.node.ask("devnet_mine", &json!([1]));
        say(&mut socket, &call(3, "eth_subscribe", &json!(["nonsense"]))).await;
        let refused = hear(&mut socket).await;
        assert!(refused["id"] == 3 && refused["error"]["message"].is_string(), "no head comes in between: {refused}");
    });
}

#[test]
fn so_many_clients_have_subscriptions_as_may_and_one_that_goes_makes_room() {
    let chain = quiet_chain();
    let node = support::node::Node::new(chain.addr());
    let more = format!("facade.listen = \"127.0.0.1:0\"\nfacade.subscribers = 2\nnode.ws_url = \"ws://{}\"\n", chain.addr());
    let world = World::with_node(node, &node.url(), "epoll", &more, Some(chain)).expect("epoll runs anywhere");
    run(async {
        let subscribe = call(1, "eth_subscribe", &json!(["newHeads"]));
        let mut sockets = Vec::new();
        for _ in 0..3 {
            sockets.push(connect(world.facade(), None).await.expect("a WebSocket"));
        }
        for socket in &mut sockets[..2] {
            for _ in 0..2 {
                say(socket, &subscribe).await;
                assert!(hear(socket).await["result"].is_string(), "a second one of the same client goes over the same connection");
            }
        }
        say(&mut sockets[2], &subscribe).await;
        let refused = hear(&mut sockets[2]).await;
        assert_eq!(refused["error"]["code"], -32010, "{refused}");
        assert!(text(&refused["error"]["message"]).contains("facade.subscribers"), "{refused}");
        say(&mut sockets[2], &call(2, "eth_chainId", &json!([]))).await;
        assert_eq!(hear(&mut sockets[2]).await["result"], "0x7a69", "all else goes on");
        drop(sockets.remove(0));
        loop {
            say(&mut sockets[1], &subscribe).await;
            if hear(&mut sockets[1]).await["result"].is_string() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn without_a_web_socket_of_the_node_a_subscription_is_refused_with_the_setting() {
    let world = world("");
    run(async {
        let mut socket = connect(world.facade(), None).await.expect("a WebSocket");
        say(&mut socket, &call(1, "eth_subscribe", &json!(["newHeads"]))).await;
        let refused = hear(&mut socket).await;
        assert!(text(&refused["error"]["message"]).contains("node.ws_url"), "{refused}");
    });
}
