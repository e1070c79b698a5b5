//! What a GET promises, checked in a room on each executor against real servers.

#![allow(clippy::unwrap_used)]

mod kit;

use std::sync::Arc;
use std::time::Duration;

use kit::node::{Act, Asked, Node, free_port};
use kit::tls::Authority;
use netio::{Endpoint, Fault, Limits, Room, get};

const MS: Duration = Duration::from_millis(1);

async fn fetch<R: Room>(room: &R, endpoint: Endpoint) -> Result<String, Fault> {
    let limits = Limits { connect_timeout: 2000 * MS, request_timeout: 200 * MS, reply_bytes_max: 64 * 1024, ..Limits::default() };
    get(room, &Arc::new(endpoint), &limits).await.map(|body| String::from_utf8(body.to_vec()).unwrap())
}

/// An oracle, plain and under TLS.
struct Both {
    plain: Node,
    sealed: Node,
    authority: Authority,
}

impl Both {
    fn start(script: fn(&Asked) -> Act) -> Self {
        let authority = Authority::new();
        Self { plain: Node::start(script), sealed: Node::start_tls(authority.server("127.0.0.1"), script), authority }
    }

    fn oracles(&self) -> [(&Node, Endpoint); 2] {
        [(&self.plain, self.plain.url().parse().unwrap()), (&self.sealed, self.authority.trusted(&self.sealed.url()))]
    }
}

behaviour!(the_body_of_what_is_there_comes_back_over_http_and_https(
    room,
    both: Both = Both::start(|_| Act::status(200, "{\"fast\": 17}"))
) {
    for (node, endpoint) in both.oracles() {
        assert_eq!(fetch(&room, endpoint).await.unwrap(), "{\"fast\": 17}");
        let headers = &node.asked()[0].headers;
        for (name, value) in [("method", "GET"), ("target", "/rpc/KEY")] {
            assert!(headers.contains(&(name.to_owned(), value.to_owned())), "{headers:?}");
        }
        assert!(!headers.iter().any(|(name, _)| name == "content-length"), "{headers:?}");
    }
});

behaviour!(any_status_but_success_is_a_fault_without_the_path(
    room,
    both: Both = Both::start(|asked| match asked.number {
        0 => Act::status(404, "no /rpc/KEY here"),
        1 => Act::Reply(302, vec![("location", "http://elsewhere.example/".to_owned())], String::new()),
        _ => Act::Reply(429, vec![("retry-after", "5".to_owned())], String::new()),
    })
) {
    for (_, endpoint) in both.oracles() {
        assert_eq!(fetch(&room, endpoint.clone()).await, Err(Fault::Http { status: 404, detail: "no /… here".to_owned() }));
        assert_eq!(fetch(&room, endpoint.clone()).await, Err(Fault::Http { status: 302, detail: String::new() }));
        assert_eq!(fetch(&room, endpoint).await, Err(Fault::Throttled { retry_after: Some(Duration::from_secs(5)) }));
    }
});

behaviour!(a_body_that_is_too_long_cut_or_late_is_a_fault(
    room,
    both: Both = Both::start(|asked| match asked.number {
        0 => Act::Pieces(vec!["x".repeat(10_000); 10]),
        1 => Act::CutMidway("{\"fast\"".to_owned()),
        _ => Act::Silence,
    }),
    port: u16 = free_port()
) {
    for (_, endpoint) in both.oracles() {
        assert!(matches!(fetch(&room, endpoint.clone()).await, Err(Fault::TooLarge(_))));
        assert_eq!(fetch(&room, endpoint.clone()).await, Err(Fault::Closed));
        assert_eq!(fetch(&room, endpoint).await, Err(Fault::TimedOut));
    }
    assert!(matches!(fetch(&room, format!("http://127.0.0.1:{port}").parse().unwrap()).await, Err(Fault::Connect(_))));
});
