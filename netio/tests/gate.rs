//! What lanes that share a gate promise, checked in a room on each executor against real servers.

#![allow(clippy::unwrap_used)]

mod kit;

use std::io::ErrorKind;
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use futures_util::future::join;
use kit::node::{Act, Asked, Node};
use netio::{BreakerLimits, CallError, Calls, Counts, End, Exchange, Fault, Gate, Lane, Limits, Room, Standing, within};

const MS: Duration = Duration::from_millis(1);

const FAILURES_MAX: usize = 3;

/// Pauses long enough to be seen on a loaded machine.
const LIMITS: BreakerLimits = BreakerLimits {
    failures_max: FAILURES_MAX as u32,
    pause_min: Duration::from_millis(400),
    pause_max: Duration::from_millis(400),
    retry_after_max: Duration::from_secs(10),
};

fn gate() -> Gate {
    Gate::new(LIMITS, Arc::default())
}

fn lane<R: Room>(room: &R, url: &str, gate: &Gate) -> Lane<R> {
    let limits = Limits { connect_timeout: 2000 * MS, request_timeout: 300 * MS, backoff_min: MS, backoff_max: MS, ..Limits::default() };
    Lane::guarded(room.clone(), Arc::new(url.parse().unwrap()), limits, Arc::new(Counts::new()), gate.clone())
}

async fn ask<R: Room>(lane: &mut Lane<R>) -> Exchange {
    let mut calls = Calls::new();
    calls.push("eth_test", &[0]);
    calls.push("eth_test", &[1]);
    lane.exchange(&calls).await
}

fn is_answered(exchange: &Exchange) -> bool {
    exchange.ends.iter().all(|end| matches!(end, End::Answered(Ok(_))))
}

/// What is left of the pause, where all calls were refused because of it.
fn pause(exchange: &Exchange) -> Option<Duration> {
    match exchange.ends[..] {
        [End::BeforeSend(Fault::Open { wait }), End::BeforeSend(Fault::Open { .. })] => Some(wait),
        _ => None,
    }
}

/// Closes every connection at once, and counts them.
struct Door {
    url: String,
    dials: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Door {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (dials, stop) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (dials, stop) = (Arc::clone(&dials), Arc::clone(&stop));
            thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    dials.fetch_add(1, Ordering::SeqCst);
                    drop(stream);
                }
            })
        };
        Self { url: format!("http://{address}"), dials, stop, thread: Some(thread) }
    }

    fn dials(&self) -> usize {
        self.dials.load(Ordering::SeqCst)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes it, so that it sees the word.
        let woken = std::net::TcpStream::connect(self.url.trim_start_matches("http://"));
        assert!(woken.is_ok() || woken.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused));
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

behaviour!(after_failures_in_a_row_nothing_is_dialled_until_the_pause_is_over(room, door: Door = Door::start()) {
    let gate = gate();
    let (mut one, mut other) = (lane(&room, &door.url, &gate), lane(&room, &door.url, &gate));
    for failure in 0..FAILURES_MAX {
        assert!(!gate.is_open());
        let failed = ask(if failure % 2 == 0 { &mut one } else { &mut other }).await;
        assert!(matches!(failed.ends[0], End::BeforeSend(Fault::Closed) | End::Ambiguous(Fault::Closed)), "{failed:?}");
    }
    assert!(gate.is_open());
    let opened = room.now();
    for _ in 0..20 {
        for lane in [&mut one, &mut other] {
            let left = pause(&ask(lane).await).expect("refused");
            assert!(left > Duration::ZERO && left <= 400 * MS);
        }
    }
    let refused = one.call::<u64>("eth_test", &()).await.unwrap_err();
    assert!(matches!(refused, CallError::Unanswered { fault: Fault::Open { .. }, .. }), "{refused}");
    assert!(room.now() - opened < 200 * MS, "refusals wait for nothing");
    assert_eq!(door.dials(), FAILURES_MAX);

    room.sleep(pause(&ask(&mut one).await).expect("refused")).await;
    let (probe, behind_it) = join(ask(&mut one), ask(&mut other)).await;
    assert!(pause(&probe).is_none(), "{probe:?}");
    assert_eq!(pause(&behind_it), Some(Duration::ZERO), "one probe, and it is out");
    assert_eq!(door.dials(), FAILURES_MAX + 1);
    assert!(pause(&ask(&mut other).await).expect("refused again") > Duration::ZERO);
});

behaviour!(silence_opens_it_and_a_node_that_is_back_is_found_by_one_probe(
    room,
    node: Node = Node::start(|asked| if asked.number < FAILURES_MAX { Act::Silence } else { asked.echo() })
) {
    let gate = gate();
    let mut lane = lane(&room, &node.url(), &gate);
    for _ in 0..FAILURES_MAX {
        assert!(matches!(ask(&mut lane).await.ends[0], End::Ambiguous(Fault::TimedOut)));
    }
    room.sleep(pause(&ask(&mut lane).await).expect("refused")).await;
    assert!(is_answered(&ask(&mut lane).await));
    assert!(!gate.is_open());
    assert!(is_answered(&ask(&mut lane).await));
});

behaviour!(a_probe_whose_caller_has_gone_leaves_room_for_another(
    room,
    node: Node = Node::start(|asked| if asked.number <= FAILURES_MAX { Act::Silence } else { asked.echo() })
) {
    let gate = gate();
    let (mut one, mut other) = (lane(&room, &node.url(), &gate), lane(&room, &node.url(), &gate));
    for _ in 0..FAILURES_MAX {
        ask(&mut one).await;
    }
    room.sleep(pause(&ask(&mut one).await).expect("refused")).await;
    assert!(within(&room, 50 * MS, ask(&mut one)).await.is_none());
    while node.asked().len() <= FAILURES_MAX {
        room.sleep(MS).await; // the node has not read the probe yet
    }
    assert!(is_answered(&ask(&mut other).await));
});

behaviour!(when_a_node_asks_for_fewer_requests_all_lanes_wait_and_keep_their_connections(
    room,
    node: Node = Node::start(|asked: &Asked| match asked.number {
        2 => Act::Reply(429, vec![("retry-after", "1".to_owned())], String::new()),
        _ => asked.echo(),
    })
) {
    let gate = gate();
    let (mut one, mut other) = (lane(&room, &node.url(), &gate), lane(&room, &node.url(), &gate));
    assert!(is_answered(&ask(&mut one).await) && is_answered(&ask(&mut other).await));
    let throttled = ask(&mut one).await;
    assert!(matches!(throttled.ends[0], End::Ambiguous(Fault::Throttled { .. })), "{throttled:?}");
    assert_eq!(throttled.retry_after, Some(1000 * MS));
    let mut left = Duration::ZERO;
    for lane in [&mut one, &mut other] {
        let quiet = ask(lane).await;
        assert!(matches!(quiet.ends[..], [End::BeforeSend(Fault::Throttled { .. }), End::BeforeSend(Fault::Throttled { .. })]), "{quiet:?}");
        left = quiet.retry_after.expect("the rest of the wait");
        assert!(left > 500 * MS && left <= 1000 * MS, "{left:?}");
    }
    assert!(!gate.is_open(), "a node that asks is there");
    room.sleep(left).await;
    assert!(is_answered(&ask(&mut one).await) && is_answered(&ask(&mut other).await));
    assert_eq!((node.connects(), node.asked().len()), (2, 5));
});

behaviour!(whoever_shows_it_sees_where_a_gate_stands_until_it_has_gone(
    room,
    node: Node = Node::start(|asked| if asked.number <= FAILURES_MAX { Act::Silence } else { asked.echo() })
) {
    let standing = Arc::new(Standing::default());
    let seen = || (standing.open(), standing.half_open(), standing.opened());
    let gate = Gate::new(LIMITS, Arc::clone(&standing));
    let (mut one, mut other) = (lane(&room, &node.url(), &gate), lane(&room, &node.url(), &gate));
    for _ in 0..FAILURES_MAX {
        assert_eq!(seen(), (0, 0, 0));
        ask(&mut one).await;
    }
    assert_eq!(seen(), (1, 0, 1));
    let refused = ask(&mut one).await;
    assert!(refused.is_put_off());
    assert_eq!(refused.retry_after, pause(&refused));
    room.sleep(refused.retry_after.expect("a pause")).await;
    let (probe, behind_it) = join(ask(&mut one), async {
        assert_eq!(seen(), (0, 1, 1), "a probe is out");
        ask(&mut other).await
    }).await;
    assert!(behind_it.is_put_off() && behind_it.retry_after > Some(Duration::ZERO), "nobody asks again at once");
    assert!(!probe.is_put_off() && matches!(probe.ends[0], End::Ambiguous(Fault::TimedOut)), "{probe:?}");
    assert_eq!(seen(), (1, 0, 1), "the same outage");
    drop((one, other, gate));
    assert_eq!(seen(), (0, 0, 1));
});

behaviour!(a_node_that_asks_for_a_day_is_asked_again_after_the_longest_wait(
    room,
    node: Node = Node::start(|_| Act::Reply(429, vec![("retry-after", "86400".to_owned())], String::new()))
) {
    let mut lane = lane(&room, &node.url(), &gate());
    assert_eq!(ask(&mut lane).await.retry_after, Some(LIMITS.retry_after_max));
    let refused = lane.call::<u64>("eth_test", &()).await.unwrap_err();
    let CallError::Unanswered { retry_after: Some(wait), .. } = refused else { panic!("{refused}") };
    assert!(wait <= LIMITS.retry_after_max);
});
