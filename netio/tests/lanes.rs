//! What a lane makes of everything a node may do, checked in a room on each executor against a real HTTP server.

#![allow(clippy::unwrap_used)]

mod kit;

use std::future::{Future, ready};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use kit::node::{Act, Asked, Node, answer, free_port, in_memory};
use netio::{CallError, Calls, Counts, End, Endpoint, Exchange, Fault, Lane, Limits, Room, within};
use serde_json::{Value, json};

const MS: Duration = Duration::from_millis(1);

fn limits() -> Limits {
    Limits {
        request_timeout: 200 * MS,
        connect_timeout: Duration::from_secs(2),
        backoff_min: 20 * MS,
        backoff_max: 40 * MS,
        reply_bytes_max: 64 * 1024,
        ..Limits::default()
    }
}

fn lane<R: Room>(room: &R, url: &str) -> Lane<R> {
    lane_with(room, url, limits())
}

fn lane_with<R: Room>(room: &R, url: &str, limits: Limits) -> Lane<R> {
    let endpoint: Endpoint = url.parse().unwrap();
    Lane::new(room.clone(), Arc::new(endpoint), limits, Arc::new(Counts::new()))
}

/// `n` calls whose params are `[index]`.
fn calls(n: usize) -> Calls {
    let mut calls = Calls::new();
    for index in 0..n {
        calls.push("eth_test", &[index]);
    }
    calls
}

/// The ends in short: the result's JSON, or who is to blame.
fn short(exchange: &Exchange) -> Vec<String> {
    exchange
        .ends
        .iter()
        .map(|end| match end {
            End::Answered(Ok(result)) => result.get().to_owned(),
            End::Answered(Err(error)) => format!("error {}", error.code),
            End::BeforeSend(_) => "before send".to_owned(),
            End::Ambiguous(_) => "ambiguous".to_owned(),
        })
        .collect()
}

fn echoed(n: usize) -> Vec<String> {
    (0..n).map(|index| format!("[{index}]")).collect()
}

behaviour!(many_calls_are_one_request_and_one_call_is_an_object(room, node: Node = Node::echo()) {
    let mut lane = lane(&room, &node.url());
    assert_eq!(short(&lane.exchange(&calls(100)).await), echoed(100));
    assert_eq!(short(&lane.exchange(&calls(1)).await), echoed(1));
    assert_eq!(short(&lane.exchange(&calls(0)).await), echoed(0));
    let asked = node.asked();
    assert_eq!((asked.len(), node.connects()), (2, 1));
    assert!(asked[0].is_batch() && !asked[1].is_batch());
});

behaviour!(a_request_is_what_http_and_json_rpc_ask_for(room, node: Node = Node::echo()) {
    lane(&room, &node.url()).exchange(&calls(1)).await;
    let asked = &node.asked()[0];
    for (name, value) in [
        ("target", "/rpc/KEY".to_owned()),
        ("host", format!("127.0.0.1:{}", node.port())),
        ("content-type", "application/json".to_owned()),
        ("content-length", asked.body.to_string().len().to_string()),
    ] {
        assert!(asked.headers.contains(&(name.to_owned(), value)), "{name}: {:?}", asked.headers);
    }
    assert_eq!(asked.body, json!({"jsonrpc": "2.0", "id": 0, "method": "eth_test", "params": [0]}));
});

behaviour!(answers_in_any_order_come_back_in_call_order(
    room,
    node: Node = Node::start(|asked| {
        let answers: Vec<Value> = asked.calls().iter().rev().map(answer).collect();
        Act::json(&json!(answers))
    })
) {
    assert_eq!(short(&lane(&room, &node.url()).exchange(&calls(10)).await), echoed(10));
});

behaviour!(a_call_without_an_answer_is_ambiguous_and_the_others_are_not(
    room,
    node: Node = Node::start(|asked| {
        let answers: Vec<Value> = asked.calls().iter().filter(|call| call["id"] != 1).map(answer).collect();
        Act::json(&json!(answers))
    })
) {
    assert_eq!(short(&lane(&room, &node.url()).exchange(&calls(3)).await), ["[0]", "ambiguous", "[2]"]);
});

/// Answers single calls only.
fn no_batches(asked: &Asked) -> Act {
    if asked.is_batch() {
        return Act::json(&json!({
            "jsonrpc": "2.0",
            "error": {"code": -32005, "message": "Batched requests are not supported by this server"},
            "id": null,
        }));
    }
    asked.echo()
}

behaviour!(a_node_that_refuses_batches_gets_single_calls_in_order_from_then_on(
    room,
    node: Node = Node::start(no_batches)
) {
    let mut lane = lane(&room, &node.url());
    assert_eq!(short(&lane.exchange(&calls(3)).await), echoed(3));
    assert_eq!(short(&lane.exchange(&calls(2)).await), echoed(2));
    let asked = node.asked();
    assert!(asked[0].is_batch() && !asked[1..].iter().any(Asked::is_batch));
    let order: Vec<_> = asked[1..].iter().map(|asked| asked.body["params"][0].clone()).collect();
    assert_eq!(json!(order), json!([0, 1, 2, 0, 1]));
    assert_eq!((lane.calls_max(), node.connects()), (1, 1));
});

behaviour!(a_batch_that_is_too_large_is_halved_until_it_fits_and_the_size_is_remembered(
    room,
    node: Node = Node::start(|asked| {
        if asked.calls().len() > 3 { Act::status(413, "") } else { asked.echo() }
    })
) {
    let mut lane = lane(&room, &node.url());
    assert_eq!(short(&lane.exchange(&calls(10)).await), echoed(10));
    assert_eq!(lane.calls_max(), 2);
    assert_eq!(short(&lane.exchange(&calls(4)).await), echoed(4));
    let sizes: Vec<_> = node.asked().iter().map(|asked| asked.calls().len()).collect();
    assert_eq!(sizes, [10, 5, 2, 2, 2, 2, 2, 2, 2]);
});

behaviour!(more_calls_than_the_limit_go_out_in_several_requests(room, node: Node = Node::echo()) {
    let mut lane = lane_with(&room, &node.url(), Limits { batch_calls: 4, ..limits() });
    assert_eq!(short(&lane.exchange(&calls(9)).await), echoed(9));
    let sizes: Vec<_> = node.asked().iter().map(|asked| asked.calls().len()).collect();
    assert_eq!(sizes, [4, 4, 1]);
});

behaviour!(a_throttled_batch_is_ambiguous_and_says_when_to_come_back(
    room,
    node: Node = Node::start(|asked| match asked.number {
        0 => Act::Reply(429, vec![("retry-after", "7".to_owned())], "slow down".to_owned()),
        _ => asked.echo(),
    })
) {
    let mut lane = lane(&room, &node.url());
    let throttled = lane.exchange(&calls(2)).await;
    assert_eq!(throttled.retry_after, Some(Duration::from_secs(7)));
    assert!(matches!(
        throttled.ends[1],
        End::Ambiguous(Fault::Throttled { retry_after: Some(_) })
    ));
    assert_eq!(short(&lane.exchange(&calls(2)).await), echoed(2));
    assert_eq!(node.connects(), 1, "the connection was good");
});

behaviour!(a_fault_stops_what_is_behind_it_and_that_was_not_sent(
    room,
    node: Node = Node::start(|asked| match asked.number {
        1 => Act::status(502, "bad gateway"),
        _ => asked.echo(),
    })
) {
    let mut lane = lane_with(&room, &node.url(), Limits { batch_calls: 1, ..limits() });
    let ends = short(&lane.exchange(&calls(4)).await);
    assert_eq!(ends, ["[0]", "ambiguous", "before send", "before send"]);
    assert_eq!(node.asked().len(), 2);
});

behaviour!(a_call_left_out_stops_the_requests_behind_it_too(
    room,
    node: Node = Node::start(|asked| Act::json(&json!([answer(&asked.calls()[0])])))
) {
    let mut lane = lane_with(&room, &node.url(), Limits { batch_calls: 2, ..limits() });
    let ends = short(&lane.exchange(&calls(5)).await);
    assert_eq!(ends, ["[0]", "ambiguous", "before send", "before send", "before send"]);
    assert_eq!(node.asked().len(), 1);
});

behaviour!(nobody_at_the_port_is_before_send_and_a_lane_comes_back_after_its_backoff(
    room,
    port: u16 = free_port()
) {
    let mut lane = lane(&room, &format!("http://127.0.0.1:{port}"));
    let refused = lane.exchange(&calls(2)).await;
    let End::BeforeSend(Fault::Connect(reason)) = &refused.ends[1] else {
        panic!("{refused:?}");
    };
    assert!(reason.contains(&format!("http://127.0.0.1:{port}")), "{reason}");

    let node = Node::start_at(port, Asked::echo);
    let before = room.now();
    assert_eq!(short(&lane.exchange(&calls(2)).await), echoed(2));
    let waited = room.now() - before;
    assert!(waited >= limits().backoff_min / 2, "dialled again after {waited:?}");
    drop(node);
});

behaviour!(a_cut_after_the_request_was_read_is_ambiguous_and_the_next_request_gets_a_new_connection(
    room,
    node: Node = Node::start(|asked| match asked.number {
        0 => Act::Cut,
        1 => Act::CutMidway("[{\"id\":0,".to_owned()),
        _ => asked.echo(),
    })
) {
    let mut lane = lane(&room, &node.url());
    for _ in 0..2 {
        let cut = lane.exchange(&calls(2)).await;
        assert!(matches!(cut.ends[..], [End::Ambiguous(Fault::Closed), End::Ambiguous(Fault::Closed)]), "{cut:?}");
    }
    assert_eq!(short(&lane.exchange(&calls(2)).await), echoed(2));
    assert_eq!(node.connects(), 3);
});

behaviour!(a_connection_closed_while_idle_is_replaced_without_a_word(room, node: Node = Node::echo()) {
    let mut lane = lane(&room, &node.url());
    assert_eq!(short(&lane.exchange(&calls(2)).await), echoed(2));
    node.hang_up();
    room.sleep(20 * MS).await; // the room learns of it as of any event: when it next sleeps
    assert_eq!(short(&lane.exchange(&calls(2)).await), echoed(2));
    assert_eq!((node.connects(), node.asked().len()), (2, 2));
});

behaviour!(no_reply_in_time_is_ambiguous_and_a_late_one_reaches_nobody(
    room,
    node: Node = Node::start(|asked| match asked.number {
        0 => Act::Silence,
        _ => asked.echo(),
    })
) {
    let mut lane = lane(&room, &node.url());
    let before = room.now();
    let silent = lane.exchange(&calls(2)).await;
    assert!(room.now() - before >= limits().request_timeout);
    assert!(matches!(silent.ends[0], End::Ambiguous(Fault::TimedOut)), "{silent:?}");
    assert_eq!(short(&lane.exchange(&calls(2)).await), echoed(2));
    assert_eq!(node.connects(), 2);
});

behaviour!(an_exchange_that_is_dropped_takes_its_connection_along(
    room,
    node: Node = Node::start(|asked| match asked.number {
        0 => Act::Silence,
        _ => asked.echo(),
    })
) {
    let mut lane = lane(&room, &node.url());
    assert!(within(&room, 50 * MS, lane.exchange(&calls(1))).await.is_none());
    assert_eq!(short(&lane.exchange(&calls(2)).await), echoed(2));
    assert_eq!(node.connects(), 2);
});

behaviour!(what_is_not_json_rpc_is_ambiguous_and_the_lane_goes_on(
    room,
    node: Node = Node::start(|asked| match asked.number {
        0 => Act::status(200, "[{\"id\":0,"),
        1 => Act::status(500, "<html>\n<b>Internal Server Error at /rpc/KEY</b>"),
        _ => asked.echo(),
    })
) {
    let mut lane = lane(&room, &node.url());
    let broken = lane.exchange(&calls(2)).await;
    assert!(matches!(broken.ends[1], End::Ambiguous(Fault::Malformed(_))), "{broken:?}");
    let failed = lane.exchange(&calls(2)).await;
    let End::Ambiguous(Fault::Http { status: 500, detail }) = &failed.ends[0] else {
        panic!("{failed:?}");
    };
    assert_eq!(detail, "<html> <b>Internal Server Error at /…</b>", "a path may be a key");
    assert_eq!(short(&lane.exchange(&calls(2)).await), echoed(2));
    assert_eq!(node.connects(), 1);
});

behaviour!(what_is_not_http_is_ambiguous(room, listener: std::net::TcpListener = std::net::TcpListener::bind("127.0.0.1:0").unwrap()) {
    let url = format!("http://{}", listener.local_addr().unwrap());
    let talker = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).unwrap() > 0);
        stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n\r\n").unwrap();
    });
    let spoken = lane(&room, &url).exchange(&calls(1)).await;
    assert!(matches!(spoken.ends[0], End::Ambiguous(Fault::Malformed(_))), "{spoken:?}");
    talker.join().unwrap();
});

behaviour!(a_reply_above_its_limit_is_not_taken_in(
    room,
    node: Node = Node::start(|asked| match asked.number {
        0 => Act::json(&json!({"id": 0, "result": "x".repeat(100_000)})),
        1 => Act::Pieces(vec!["x".repeat(10_000); 10]),
        _ => asked.echo(),
    })
) {
    let mut lane = lane(&room, &node.url());
    for _ in 0..2 {
        let large = lane.exchange(&calls(1)).await;
        assert!(matches!(large.ends[0], End::Ambiguous(Fault::TooLarge(_))), "{large:?}");
    }
    assert_eq!(short(&lane.exchange(&calls(1)).await), echoed(1));
});

behaviour!(a_reply_in_pieces_is_put_together(
    room,
    node: Node = Node::start(|_| {
        Act::Pieces(["[{\"id\":1,\"res", "ult\":11},", "{\"id\":0,\"result\":10}", "]"].map(str::to_owned).to_vec())
    })
) {
    assert_eq!(short(&lane(&room, &node.url()).exchange(&calls(2)).await), ["10", "11"]);
});

behaviour!(large_requests_and_replies_arrive_whole(room, node: Node = Node::echo()) {
    let limits = Limits { reply_bytes_max: 16 << 20, request_timeout: Duration::from_secs(10), ..limits() };
    let mut lane = lane_with(&room, &node.url(), limits);
    let raw = [0xab; 2000];
    let mut calls = Calls::new();
    while calls.fits(2 * raw.len() + 100, &limits) {
        calls.push_raw_transaction(&raw);
    }
    assert!(calls.len() > 200 && calls.bytes() <= limits.batch_bytes);
    let exchange = lane.exchange(&calls).await;
    let expected = format!("[\"0x{}\"]", "ab".repeat(raw.len()));
    for end in &exchange.ends {
        assert!(matches!(end, End::Answered(Ok(result)) if result.get() == expected));
    }
    assert_eq!(exchange.ends.len(), calls.len());
});

behaviour!(a_single_call_decodes_its_result_or_tells_why_there_is_none(
    room,
    node: Node = Node::start(|asked| match asked.number {
        0 => asked.echo(),
        1 => Act::json(&json!({"id": 0, "result": null})),
        2 => Act::json(&json!({
            "id": 0,
            "error": {"code": 3, "message": "execution reverted", "data": "0x08c379a0"},
        })),
        3 => Act::json(&json!({"id": 0, "result": "seven"})),
        4 => Act::Reply(429, vec![("retry-after", "2".to_owned())], String::new()),
        _ => Act::Cut,
    })
) {
    let mut lane = lane(&room, &node.url());
    let echo: Vec<u64> = lane.call("eth_test", &(1, 2)).await.unwrap();
    assert_eq!(echo, [1, 2]);
    let receipt: Option<u64> = lane.call("eth_getTransactionReceipt", &["0x00"]).await.unwrap();
    assert_eq!(receipt, None);

    let Err(CallError::Rejected { method, endpoint, error }) = lane.call::<u64>("eth_call", &()).await else {
        panic!("not rejected");
    };
    assert_eq!((method.as_str(), endpoint), ("eth_call", format!("http://127.0.0.1:{}", node.port())));
    assert_eq!((error.code, error.message.as_str()), (3, "execution reverted"));
    assert_eq!(error.data.unwrap().get(), "\"0x08c379a0\"");

    let unreadable = lane.call::<u64>("eth_blockNumber", &()).await.unwrap_err();
    assert!(matches!(unreadable, CallError::Unreadable { .. }), "{unreadable}");
    let throttled = lane.call::<u64>("eth_blockNumber", &()).await.unwrap_err();
    assert!(matches!(
        throttled,
        CallError::Unanswered { retry_after: Some(wait), .. } if wait == Duration::from_secs(2)
    ), "{throttled}");
    let cut = lane.call::<u64>("eth_blockNumber", &()).await.unwrap_err();
    assert!(matches!(cut, CallError::Unanswered { fault: Fault::Closed, .. }), "{cut}");
    assert!(!format!("{cut} {cut:?}").contains("KEY"), "a path may be a key");
});

behaviour!(counts_say_what_went_over_the_wire(
    room,
    node: Node = Node::start(|asked| match asked.number {
        1 => Act::Cut,
        _ => asked.echo(),
    })
) {
    let counts = Arc::new(Counts::new());
    let endpoint: Endpoint = node.url().parse().unwrap();
    let mut lane = Lane::new(room.clone(), Arc::new(endpoint), limits(), Arc::clone(&counts));
    let asked = calls(5);
    let received: usize = {
        let exchange = lane.exchange(&asked).await;
        assert_eq!(short(&exchange), echoed(5));
        let answers: Vec<_> = node.asked()[0].calls().iter().map(answer).collect();
        json!(answers).to_string().len()
    };
    lane.exchange(&asked).await; // cut
    lane.exchange(&asked).await;
    assert_eq!(counts.http_requests.get(), 3);
    assert_eq!(counts.rpc_calls.get(), 15);
    assert_eq!(counts.bytes_sent.get(), 3 * asked.bytes() as u64);
    assert_eq!(counts.bytes_received.get(), 2 * received as u64);
    assert_eq!((counts.connects.get(), counts.faults.get()), (2, 1));
});

/// A room whose connections stay in memory: all else is the room it stands in.
#[derive(Clone)]
struct InMemory<R>(R);

impl<R: Room> Room for InMemory<R> {
    type Stream = hyper_util::rt::TokioIo<tokio::io::DuplexStream>;

    fn now(&self) -> Duration {
        self.0.now()
    }

    fn unix_time(&self) -> Duration {
        self.0.unix_time()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + 'static {
        self.0.sleep(duration)
    }

    fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.spawn(task);
    }

    fn connect(&self, _host: &str, _port: u16) -> impl Future<Output = io::Result<Self::Stream>> + 'static {
        ready(Ok(in_memory(|node| self.0.spawn(node))))
    }
}

behaviour!(a_lane_works_over_any_stream_a_room_can_open(room) {
    let mut lane = lane(&InMemory(room.clone()), "http://nowhere.invalid:1");
    assert_eq!(short(&lane.exchange(&calls(50)).await), echoed(50));
    assert_eq!(short(&lane.exchange(&calls(1)).await), echoed(1));
});
