//! One connection's work: take a batch, offer it until the engine has answered for every transaction in it.
//!
//! What is not answered for good is offered again with the same idempotency key, after a delay that doubles up to a limit and is
//! spread by jitter. The worker never gives up by itself: the run does, when nothing moves for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::api::{Client, Verdict, judge};
use crate::pace::Pace;
use crate::plan::Plan;

/// First delay before a batch is offered again.
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
/// Longest delay, so that an engine that comes back is found soon.
const BACKOFF_LONGEST: Duration = Duration::from_secs(1);

/// What the connections have done so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Transactions whose request was handed to a live connection at least once.
    pub(crate) sent: AtomicU64,
    /// Transactions the engine has accepted.
    pub(crate) accepted: AtomicU64,
    /// Requests that had to be repeated, in whole or in part.
    pub(crate) repeated: AtomicU64,
    /// Refused transactions with the engine's reason, in the order of its answers.
    pub(crate) refused: Mutex<Vec<(u64, String)>>,
}

impl Tally {
    /// How many transactions were refused, and the first of them with its reason, for a person; `None` if none was.
    pub(crate) fn refusals(&self) -> Option<String> {
        let refused = self.refused.lock();
        let (number, reason) = refused.first()?;
        Some(format!("{} refused, the first was transaction {number}: {reason}", refused.len()))
    }
}

/// Doubling delays with jitter.
struct Backoff {
    next: Duration,
    random: StdRng,
}

impl Backoff {
    fn new(seed: u64) -> Self {
        Self { next: BACKOFF_FIRST, random: StdRng::seed_from_u64(seed) }
    }

    /// The delay to take now: at least `at_least`, else between half and all of the current step.
    fn step(&mut self, at_least: Option<Duration>) -> Duration {
        let jittered = self.next.mul_f64(self.random.random_range(0.5..=1.0));
        self.next = (self.next * 2).min(BACKOFF_LONGEST);
        at_least.unwrap_or_default().max(jittered)
    }

    fn reset(&mut self) {
        self.next = BACKOFF_FIRST;
    }
}

/// Offers batches over one connection until none is left.
pub(crate) async fn work(mut client: Client, plan: Arc<Plan>, pace: Arc<Pace>, tally: Arc<Tally>, jitter_seed: u64) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(jitter_seed);
    while let Some(job) = pace.take().await {
        let mut open: Vec<u64> = (job.first..job.first + job.count).collect();
        let mut sent = false;
        loop {
            let (refused, at_least) = offer(&mut client, &plan, &tally, &mut open, &mut sent).await?;
            if refused > 0 {
                pace.add_refused(refused);
            }
            if open.is_empty() {
                backoff.reset();
                break;
            }
            tally.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(backoff.step(at_least)).await;
        }
    }
    Ok(())
}

/// Offers what is open once, and leaves in `open` what must be offered again. Returns how many were refused, and the delay the
/// engine asks for.
async fn offer(
    client: &mut Client,
    plan: &Plan,
    tally: &Tally,
    open: &mut Vec<u64>,
    sent: &mut bool,
) -> anyhow::Result<(u64, Option<Duration>)> {
    if client.connect().await.is_err() {
        return Ok((0, None));
    }
    if !*sent {
        *sent = true;
        tally.sent.fetch_add(open.len() as u64, Ordering::Relaxed);
    }
    let Ok(reply) = client.post(Bytes::from(plan.request(open))).await else {
        return Ok((0, None));
    };
    let verdicts = judge(&reply, open.len())?;
    let mut at_least = None;
    let mut again = Vec::new();
    let (mut accepted, mut refused) = (0, 0);
    for (number, verdict) in open.drain(..).zip(verdicts) {
        match verdict {
            Verdict::Accepted => accepted += 1,
            Verdict::Again(delay) => {
                at_least = at_least.max(delay);
                again.push(number);
            }
            Verdict::Refused(reason) => {
                refused += 1;
                tally.refused.lock().push((number, reason));
            }
        }
    }
    tally.accepted.fetch_add(accepted, Ordering::Relaxed);
    *open = again;
    Ok((refused, at_least))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;

    use alloy::primitives::Address;
    use http_body_util::Full;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::net::TcpListener;

    use super::*;
    use crate::pace::{Clock, Regime};

    /// A server that refuses whatever it is offered, on the one connection it takes.
    async fn refuse_all(listener: TcpListener) {
        let body = r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32602,"message":"unknown signer"}}"#;
        let answer = service_fn(|_| async move { Ok::<_, Infallible>(hyper::Response::new(Full::new(Bytes::from(body)))) });
        let (stream, _) = listener.accept().await.unwrap();
        // An error is the client's hanging up, which ends the test.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
    }

    #[tokio::test]
    async fn a_closed_loop_against_an_engine_that_refuses_everything_comes_to_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(refuse_all(listener));
        let plan = Arc::new(Plan::new(1, 6, vec![Address::repeat_byte(1)]));
        let pace = Arc::new(Pace::new(Regime::Closed(2), 6, 2, Clock::start()));
        let tally = Arc::new(Tally::default());
        assert_eq!(tally.refusals(), None);
        let work = work(client, plan, pace.clone(), tally.clone(), 1);
        tokio::time::timeout(Duration::from_secs(30), work).await.expect("the loop has stopped moving").unwrap();
        assert_eq!((pace.handed_out(), pace.refused()), (6, 6));
        assert_eq!(tally.refusals().unwrap(), "6 refused, the first was transaction 0: unknown signer (-32602)");
    }

    #[test]
    fn delays_double_up_to_the_limit_and_start_again_after_success() {
        let mut backoff = Backoff::new(1);
        assert!(backoff.step(None) <= BACKOFF_FIRST);
        for _ in 0..20 {
            assert!(backoff.step(None) <= BACKOFF_LONGEST);
        }
        assert!(backoff.step(None) >= BACKOFF_LONGEST / 2);
        backoff.reset();
        assert!(backoff.step(None) <= BACKOFF_FIRST);
    }

    #[test]
    fn the_delay_the_engine_asks_for_is_kept() {
        let asked = Duration::from_millis(300);
        assert!(Backoff::new(1).step(Some(asked)) >= asked);
    }
}
