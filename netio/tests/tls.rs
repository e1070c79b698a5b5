//! What TLS promises, checked in a room on each executor against real servers with certificates made here.

#![allow(clippy::unwrap_used)]

mod kit;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use futures_rustls::rustls::{ServerConnection, StreamOwned};
use kit::node::{Act, Asked, Node};
use kit::tls::Authority;
use netio::{Calls, Counts, End, Endpoint, Exchange, Fault, Lane, Limits, Room};

const MS: Duration = Duration::from_millis(1);

fn lane<R: Room>(room: &R, endpoint: Endpoint) -> Lane<R> {
    let limits =
        Limits { connect_timeout: 1000 * MS, request_timeout: 1000 * MS, backoff_min: 5 * MS, backoff_max: 10 * MS, ..Limits::default() };
    Lane::new(room.clone(), Arc::new(endpoint), limits, Arc::new(Counts::new()))
}

async fn ask<R: Room>(lane: &mut Lane<R>, n: usize) -> Exchange {
    let mut calls = Calls::new();
    for index in 0..n {
        calls.push("eth_test", &[index]);
    }
    lane.exchange(&calls).await
}

fn is_answered(exchange: &Exchange) -> bool {
    exchange.ends.iter().enumerate().all(|(index, end)| matches!(end, End::Answered(Ok(result)) if result.get() == format!("[{index}]")))
}

/// Why no call was sent, in the fault's words.
fn refusal(exchange: &Exchange) -> String {
    match &exchange.ends[0] {
        End::BeforeSend(fault @ Fault::Connect(_)) => fault.to_string(),
        end => panic!("not before send: {end:?}"),
    }
}

/// An authority and a node that shows a certificate of it.
struct Pair {
    authority: Authority,
    node: Node,
}

impl Pair {
    fn start(name: &str, script: impl FnMut(&Asked) -> Act + Send + 'static) -> Self {
        let authority = Authority::new();
        let node = Node::start_tls(authority.server(name), script);
        Self { authority, node }
    }

    fn endpoint(&self) -> Endpoint {
        self.authority.trusted(&self.node.url())
    }
}

behaviour!(a_node_whose_authority_is_given_is_spoken_to_over_one_connection(room, pair: Pair = Pair::start("127.0.0.1", Asked::echo)) {
    let mut lane = lane(&room, pair.endpoint());
    for n in [1, 100, 1] {
        assert!(is_answered(&ask(&mut lane, n).await));
    }
    assert_eq!((pair.node.connects(), pair.node.asked().len()), (1, 3));
});

behaviour!(a_node_is_known_by_its_name_too(room, pair: Pair = Pair::start("localhost", Asked::echo)) {
    let url = pair.node.url().replace("127.0.0.1", "localhost");
    assert!(is_answered(&ask(&mut lane(&room, pair.authority.trusted(&url)), 2).await));
});

behaviour!(large_requests_and_replies_arrive_whole_under_tls(room, pair: Pair = Pair::start("127.0.0.1", Asked::echo)) {
    let mut calls = Calls::new();
    for _ in 0..100 {
        calls.push_raw_transaction(&[0xab; 4000]);
    }
    let exchange = lane(&room, pair.endpoint()).exchange(&calls).await;
    let expected = format!("[\"0x{}\"]", "ab".repeat(4000));
    assert_eq!(exchange.ends.len(), 100);
    assert!(exchange.ends.iter().all(|end| matches!(end, End::Answered(Ok(result)) if result.get() == expected)));
});

behaviour!(a_certificate_that_is_not_trusted_is_refused_before_send(room, pair: Pair = Pair::start("127.0.0.1", Asked::echo)) {
    // Known here beside those of the machine: another authority, and one of the same name with another key.
    for stranger in [Authority::named("a stranger"), Authority::new()] {
        let words = refusal(&ask(&mut lane(&room, stranger.trusted(&pair.node.url())), 1).await);
        assert!(words.contains("is not trusted") && words.contains("give the certificate of its authority"), "{words}");
        assert!(words.contains(&format!("https://127.0.0.1:{}", pair.node.port())) && !words.contains("KEY"), "{words}");
    }
    assert!(pair.node.asked().is_empty());
});

behaviour!(a_certificate_for_another_name_is_refused_and_both_names_are_said(room, pair: Pair = Pair::start("node.example", Asked::echo)) {
    let words = refusal(&ask(&mut lane(&room, pair.endpoint()), 1).await);
    assert!(words.contains("not for 127.0.0.1") && words.contains("node.example"), "{words}");
    assert!(pair.node.asked().is_empty());
});

fn expired() -> Pair {
    let authority = Authority::new();
    let node = Node::start_tls(authority.expired_server("127.0.0.1"), Asked::echo);
    Pair { authority, node }
}

behaviour!(a_certificate_that_has_expired_is_refused(room, pair: Pair = expired()) {
    let words = refusal(&ask(&mut lane(&room, pair.endpoint()), 1).await);
    assert!(words.contains("has expired") && words.contains("renew"), "{words}");
    assert!(pair.node.asked().is_empty());
});

behaviour!(https_to_a_plain_port_says_so(room, node: Node = Node::echo()) {
    let endpoint = Authority::new().trusted(&node.url().replace("http://", "https://"));
    let words = refusal(&ask(&mut lane(&room, endpoint), 1).await);
    assert!(words.contains("does not speak TLS") && words.contains("http://"), "{words}");
});

behaviour!(a_lane_does_not_dial_a_web_socket(room) {
    let words = refusal(&ask(&mut lane(&room, "ws://127.0.0.1:1/KEY".parse().unwrap()), 1).await);
    assert!(words.contains("https://") && !words.contains("KEY"), "{words}");
});

behaviour!(a_cut_in_the_middle_of_a_reply_under_tls_is_ambiguous(
    room,
    pair: Pair = Pair::start("127.0.0.1", |asked| match asked.number {
        0 => Act::Cut,
        1 => Act::CutMidway("[{\"id\":0,".to_owned()),
        _ => asked.echo(),
    })
) {
    let mut lane = lane(&room, pair.endpoint());
    for _ in 0..2 {
        let cut = ask(&mut lane, 2).await;
        assert!(matches!(cut.ends[..], [End::Ambiguous(Fault::Closed), End::Ambiguous(Fault::Closed)]), "{cut:?}");
    }
    assert!(is_answered(&ask(&mut lane, 2).await));
    assert_eq!(pair.node.connects(), 3);
});

// Whoever sits on the wire can end TCP but cannot forge the end of TLS.
behaviour!(a_reply_without_a_length_that_ends_without_the_word_of_tls_is_not_believed(
    room,
    listener: TcpListener = TcpListener::bind("127.0.0.1:0").unwrap()
) {
    let authority = Authority::new();
    let endpoint = authority.trusted(&format!("https://{}", listener.local_addr().unwrap()));
    let server = authority.server("127.0.0.1");
    let talker = thread::spawn(move || {
        for says_so in [false, true] {
            let (stream, _) = listener.accept().unwrap();
            let mut stream = StreamOwned::new(ServerConnection::new(Arc::clone(&server)).unwrap(), stream);
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n{\"id\":0,\"result\":[0]}").unwrap();
            if says_so {
                stream.conn.send_close_notify();
            }
            stream.flush().unwrap();
        }
    });
    let mut lane = lane(&room, endpoint);
    let cut = ask(&mut lane, 1).await;
    assert!(matches!(cut.ends[0], End::Ambiguous(Fault::Closed)), "{cut:?}");
    assert!(is_answered(&ask(&mut lane, 1).await), "the same reply, ended as TLS asks");
    talker.join().unwrap();
});

behaviour!(a_cut_or_silence_in_the_handshake_is_before_send(room, listener: TcpListener = TcpListener::bind("127.0.0.1:0").unwrap()) {
    let endpoint = Authority::new().trusted(&format!("https://{}", listener.local_addr().unwrap()));
    let talker = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 16]).unwrap() > 0, "the client says hello");
        drop(stream);
        listener.accept().unwrap().0
    });
    let mut lane = lane(&room, endpoint);
    let words = refusal(&ask(&mut lane, 1).await);
    assert!(words.contains("TLS handshake"), "{words}");
    let before = room.now();
    let words = refusal(&ask(&mut lane, 1).await);
    assert!(words.contains("no connection within 1s") && room.now() - before >= 1000 * MS, "{words}");
    drop(talker.join().unwrap());
});
