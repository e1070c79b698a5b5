//! What a subscription to heads promises, checked in a room on each executor against a real WebSocket server.

#![allow(clippy::unwrap_used)]

mod kit;

use std::sync::Arc;
use std::time::Duration;

use kit::feed::{Feed, ID, Step, head};
use kit::node::{Act, Node, free_port};
use kit::tls::Authority;
use netio::{Endpoint, Fault, Heads, Limits, Room, subscribe_heads, within};
use serde_json::{Value, json};

const MS: Duration = Duration::from_millis(1);

/// Longer than any test should wait for a head that is on its way.
const LONG: Duration = Duration::from_secs(10);

async fn subscribe<R: Room>(room: &R, endpoint: Endpoint) -> Result<Heads<R>, Fault> {
    let limits = Limits { connect_timeout: 2000 * MS, request_timeout: 500 * MS, reply_bytes_max: 64 * 1024, ..Limits::default() };
    subscribe_heads(room, &Arc::new(endpoint), &limits).await
}

async fn refused<R: Room>(room: &R, url: &str) -> Fault {
    subscribe(room, url.parse().unwrap()).await.err().expect("no subscription")
}

async fn next<R: Room>(heads: &mut Heads<R>, silence: Duration) -> Result<Value, Fault> {
    heads.next(silence).await.map(|header| serde_json::from_str(header.get()).unwrap())
}

/// A node, with and without TLS, that does the same.
struct Both {
    plain: Feed,
    sealed: Feed,
    authority: Authority,
}

impl Both {
    fn start(steps: &[Step]) -> Self {
        let authority = Authority::new();
        let plain = Feed::start(None, steps.to_vec());
        Self { plain, sealed: Feed::start(Some(authority.server("127.0.0.1")), steps.to_vec()), authority }
    }

    fn feeds(&self) -> [(&Feed, Endpoint); 2] {
        [(&self.plain, self.plain.url().parse().unwrap()), (&self.sealed, self.authority.trusted(&self.sealed.url()))]
    }
}

behaviour!(heads_arrive_in_order_and_as_they_were_sent(
    room,
    both: Both = Both::start(&[vec![Step::Accept], (1..=50).map(Step::Head).collect(), vec![Step::Freeze]].concat())
) {
    for (feed, endpoint) in both.feeds() {
        let mut heads = subscribe(&room, endpoint).await.unwrap();
        for number in 1..=50 {
            assert_eq!(next(&mut heads, LONG).await.unwrap(), head(number));
        }
        let asked: Value = serde_json::from_str(&feed.heard()[0]).unwrap();
        assert_eq!((&asked["method"], &asked["params"]), (&json!("eth_subscribe"), &json!(["newHeads"])));
    }
});

behaviour!(a_connection_without_a_sign_of_life_ends_after_the_silence(
    room,
    both: Both = Both::start(&[Step::Accept, Step::Head(1), Step::Freeze])
) {
    for (_, endpoint) in both.feeds() {
        let mut heads = subscribe(&room, endpoint).await.unwrap();
        assert_eq!(next(&mut heads, LONG).await.unwrap(), head(1));
        let before = room.now();
        assert_eq!(next(&mut heads, 200 * MS).await, Err(Fault::TimedOut));
        let waited = room.now() - before;
        assert!(waited >= 190 * MS && waited < 1000 * MS, "{waited:?}");
    }
});

behaviour!(a_ping_keeps_an_idle_subscription_alive(
    room,
    both: Both = Both::start(&[Step::Accept, Step::Idle(700 * MS), Step::Head(7), Step::Freeze])
) {
    for (feed, endpoint) in both.feeds() {
        let mut heads = subscribe(&room, endpoint).await.unwrap();
        let before = room.now();
        assert_eq!(next(&mut heads, 300 * MS).await.unwrap(), head(7));
        assert!(room.now() - before >= 600 * MS, "the node was idle for more than the silence");
        assert!((2..=5).contains(&feed.pings()), "{} pings", feed.pings());
    }
});

behaviour!(a_ping_of_the_node_is_answered(
    room,
    feed: Feed = Feed::start(None, vec![Step::Accept, Step::Ping, Step::Idle(100 * MS), Step::Head(1), Step::Freeze])
) {
    let mut heads = subscribe(&room, feed.url().parse().unwrap()).await.unwrap();
    assert_eq!(next(&mut heads, LONG).await.unwrap(), head(1));
    assert!(feed.heard().contains(&"are you there".to_owned()), "{:?}", feed.heard());
});

behaviour!(a_cut_or_closed_connection_ends_the_subscription_at_once(
    room,
    cut: Both = Both::start(&[Step::Accept, Step::Head(1)]),
    closed: Both = Both::start(&[Step::Accept, Step::Head(1), Step::Close])
) {
    for (_, endpoint) in cut.feeds().into_iter().chain(closed.feeds()) {
        let mut heads = subscribe(&room, endpoint).await.unwrap();
        assert_eq!(next(&mut heads, LONG).await.unwrap(), head(1));
        let before = room.now();
        assert_eq!(next(&mut heads, LONG).await, Err(Fault::Closed));
        assert!(room.now() - before < LONG / 4);
    }
});

behaviour!(a_next_that_is_dropped_loses_no_head(
    room,
    feed: Feed = Feed::start(None, vec![Step::Accept, Step::Idle(150 * MS), Step::Head(1), Step::Idle(50 * MS), Step::Head(2), Step::Freeze])
) {
    let mut heads = subscribe(&room, feed.url().parse().unwrap()).await.unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        if let Some(header) = within(&room, 3 * MS, next(&mut heads, LONG)).await {
            seen.push(header.unwrap());
        }
    }
    assert_eq!(seen, [head(1), head(2)]);
});

behaviour!(what_is_not_of_this_subscription_is_passed_over(
    room,
    feed: Feed = Feed::start(None, vec![
        Step::Accept,
        Step::Say(json!({"method": "eth_subscription", "params": {"subscription": "0x1", "result": head(9)}}).to_string()),
        Step::Say(json!({"method": "eth_subscription", "params": {"subscription": ID, "result": head(3)}}).to_string()),
        Step::Freeze,
    ])
) {
    let mut heads = subscribe(&room, feed.url().parse().unwrap()).await.unwrap();
    assert_eq!(next(&mut heads, LONG).await.unwrap(), head(3));
});

behaviour!(what_is_malformed_or_too_long_ends_the_subscription(
    room,
    nonsense: Feed = Feed::start(None, vec![Step::Accept, Step::Say("{".to_owned()), Step::Freeze]),
    flood: Feed = Feed::start(None, vec![Step::Accept, Step::Flood(65 * 1024), Step::Freeze])
) {
    let mut heads = subscribe(&room, nonsense.url().parse().unwrap()).await.unwrap();
    assert!(matches!(next(&mut heads, LONG).await, Err(Fault::Malformed(_))));
    let mut heads = subscribe(&room, flood.url().parse().unwrap()).await.unwrap();
    assert!(matches!(next(&mut heads, LONG).await, Err(Fault::TooLarge(_))));
});

behaviour!(a_node_without_subscriptions_is_quoted(
    room,
    feed: Feed = Feed::start(None, vec![
        Step::Say(json!({"jsonrpc": "2.0", "id": 0, "error": {"code": -32601, "message": "no such thing"}}).to_string()),
        Step::Freeze,
    ])
) {
    let fault = refused(&room, &feed.url()).await;
    assert_eq!(fault, Fault::Refused { code: -32601, message: "no such thing".to_owned() });
});

behaviour!(a_node_that_does_not_answer_the_subscription_is_given_up(room, feed: Feed = Feed::start(None, vec![Step::Freeze])) {
    assert_eq!(refused(&room, &feed.url()).await, Fault::TimedOut);
});

/// Servers like to repeat a path they do not know.
fn knows_no_web_socket() -> Node {
    Node::start(|asked| match asked.number {
        0 => Act::status(405, "Cannot GET /rpc/KEY"),
        1 => Act::Reply(429, vec![("retry-after", "3".to_owned())], String::new()),
        2 => Act::Reply(101, vec![("upgrade", "websocket".to_owned()), ("connection", "upgrade".to_owned())], String::new()),
        _ => Act::Cut,
    })
}

behaviour!(an_upgrade_that_is_refused_says_why_and_shows_no_path(room, node: Node = knows_no_web_socket()) {
    let url = node.url().replace("http://", "ws://");
    let Fault::Http { status: 405, detail } = refused(&room, &url).await else { panic!("not refused") };
    assert_eq!(detail, "Cannot GET /…");
    assert_eq!(refused(&room, &url).await, Fault::Throttled { retry_after: Some(Duration::from_secs(3)) });
    let Fault::Malformed(words) = refused(&room, &url).await else { panic!("granted by who knows no key") };
    assert!(words.contains("key"), "{words}");
    assert_eq!(refused(&room, &url).await, Fault::Closed);
});

behaviour!(heads_are_refused_where_they_cannot_come_from(room, pair: (u16, Both) = (free_port(), Both::start(&[Step::Accept]))) {
    let (port, both) = pair;
    assert!(matches!(refused(&room, &format!("ws://127.0.0.1:{port}")).await, Fault::Connect(_)));
    let Fault::Connect(words) = refused(&room, "https://127.0.0.1:1/KEY").await else { panic!("not refused") };
    assert!(words.contains("wss://") && !words.contains("KEY"), "{words}");
    let stranger = Authority::named("a stranger").trusted(&both.sealed.url());
    let Some(Fault::Connect(words)) = subscribe(&room, stranger).await.err() else { panic!("not refused") };
    assert!(words.contains("is not trusted"), "{words}");
});
