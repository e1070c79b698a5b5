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

use crate::api::{Client, Verdict};
use crate::event::{Answer, Event, Journal};
use crate::pace::{Clock, Job, Pace};
use crate::record::Record;
use crate::target::Target;

/// First delay before a batch is offered again.
const BACKOFF_FIRST: Duration = Duration::from_millis(20);
/// Longest delay, so that an engine that comes back is found soon.
const BACKOFF_LONGEST: Duration = Duration::from_secs(1);

/// What the connections have done so far.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Transactions whose request was handed to a live connection at least once.
    pub(crate) sent: AtomicU64,
    /// Transactions that were accepted.
    pub(crate) accepted: AtomicU64,
    /// Requests that had to be repeated, in whole or in part.
    pub(crate) repeated: AtomicU64,
    /// Connections that wait for an answer now.
    pub(crate) waiting: AtomicU64,
    /// Refused transactions with the reasons, in the order of the answers.
    pub(crate) refused: Mutex<Vec<(u64, String)>>,
}

impl Tally {
    /// Goes on where a record ends.
    pub(crate) fn resume(record: &Record) -> Self {
        Self {
            sent: AtomicU64::new(record.sent),
            accepted: AtomicU64::new(record.accepted_us.iter().filter(|at_us| **at_us > 0).count() as u64),
            repeated: AtomicU64::new(record.repeated),
            waiting: AtomicU64::new(0),
            refused: Mutex::new(record.refused.clone()),
        }
    }

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

/// What all connections of a run share.
pub(crate) struct Common {
    /// Whom the run drives.
    pub(crate) target: Target,
    /// Where batches come from.
    pub(crate) pace: Arc<Pace>,
    /// What has been done.
    pub(crate) tally: Arc<Tally>,
    /// Where answers are written down.
    pub(crate) journal: Arc<Journal>,
    /// The clock of the run.
    pub(crate) clock: Clock,
}

/// Offers batches over one connection until none is left.
pub(crate) async fn work(mut client: Client, common: Arc<Common>, jitter_seed: u64) -> anyhow::Result<()> {
    let mut backoff = Backoff::new(jitter_seed);
    while let Some(mut job) = common.pace.take().await? {
        // Of a batch that was answered in part before a crash, the record counts all as sent.
        let mut is_counted = (job.open.len() as u64) < job.batch.count;
        loop {
            let at_least = offer(&mut client, &common, &mut job, &mut is_counted).await?;
            if job.open.is_empty() {
                backoff.reset();
                break;
            }
            common.tally.repeated.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(backoff.step(at_least)).await;
        }
    }
    Ok(())
}

/// Offers what is open once, and leaves in the job what must be offered again. Returns the delay that the other side asks for.
async fn offer(client: &mut Client, common: &Common, job: &mut Job, is_counted: &mut bool) -> anyhow::Result<Option<Duration>> {
    if client.connect().await.is_err() {
        return Ok(None);
    }
    let tally = &common.tally;
    if !std::mem::replace(is_counted, true) {
        tally.sent.fetch_add(job.open.len() as u64, Ordering::Relaxed);
    }
    let body = Bytes::from(common.target.request(&job.open)?);
    tally.waiting.fetch_add(1, Ordering::Relaxed);
    let reply = client.post(body).await;
    tally.waiting.fetch_sub(1, Ordering::Relaxed);
    let is_repeated = std::mem::replace(&mut job.is_repeated, true);
    let Ok(reply) = reply else {
        return Ok(None);
    };
    let verdicts = common.target.judge(&reply, job.open.len(), is_repeated)?;
    let (answer, again, at_least) = sort(job, verdicts, common.clock.now_us());
    let refused = answer.refused.len() as u64;
    tally.accepted.fetch_add(answer.accepted.iter().map(|(_, count)| count).sum(), Ordering::Relaxed);
    tally.refused.lock().extend(answer.refused.iter().cloned());
    common.journal.write(&Event::Answer(answer))?;
    if refused > 0 {
        common.pace.add_refused(refused);
    }
    job.open = again;
    Ok(at_least)
}

/// Sorts the verdicts on the open numbers of a job: what the record is told, what is offered again, and not before which delay.
fn sort(job: &Job, verdicts: Vec<Verdict>, at_us: u64) -> (Answer, Vec<u64>, Option<Duration>) {
    let mut answer = Answer { at_us, first: job.batch.first, ..Answer::default() };
    let (mut again, mut at_least) = (Vec::new(), None);
    for (&number, verdict) in job.open.iter().zip(verdicts) {
        match verdict {
            Verdict::Accepted => match answer.accepted.last_mut() {
                Some((first, count)) if *first + *count == number => *count += 1,
                _ => answer.accepted.push((number, 1)),
            },
            Verdict::Again(delay) => {
                at_least = at_least.max(delay);
                again.push(number);
            }
            Verdict::Refused(reason) => answer.refused.push((number, reason)),
        }
    }
    answer.again = again.len() as u64;
    (answer, again, at_least)
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
    use crate::event::Batch;
    use crate::plan::transfers;

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
        let dir = tempfile::tempdir().unwrap();
        let journal = Arc::new(Journal::create(&dir.path().join("record")).unwrap());
        let plan = Arc::new(transfers(1, 6, vec![Address::repeat_byte(1)]));
        let clock = Clock::start();
        let pace = Arc::new(Pace::new(plan.clone(), 2, clock, journal.clone()));
        let tally = Arc::new(Tally::default());
        assert_eq!(tally.refusals(), None);
        let common = Common { target: Target::Engine(plan), pace: pace.clone(), tally: tally.clone(), journal, clock };
        let work = work(client, Arc::new(common), 1);
        tokio::time::timeout(Duration::from_secs(30), work).await.expect("the loop has stopped moving").unwrap();
        assert_eq!((pace.handed_out(), pace.refused()), (6, 6));
        assert_eq!(tally.refusals().unwrap(), "6 refused, the first was transaction 0: unknown signer (-32602)");
        let record = Record::read(&dir.path().join("record"));
        assert!(format!("{:#}", record.unwrap_err()).contains("`begin`"), "a run writes that line, its connections do not");
    }

    #[test]
    fn verdicts_are_sorted_into_runs_of_numbers() {
        let batch = Batch { first: 10, count: 6, intended_us: 1 };
        let job = Job { batch, open: (10..16).collect(), is_repeated: false };
        let delay = Duration::from_millis(7);
        let verdicts = vec![
            Verdict::Accepted,
            Verdict::Accepted,
            Verdict::Again(Some(delay)),
            Verdict::Accepted,
            Verdict::Refused("no".into()),
            Verdict::Again(None),
        ];
        let (answer, again, at_least) = sort(&job, verdicts, 9);
        let expected = Answer { at_us: 9, first: 10, accepted: vec![(10, 2), (13, 1)], refused: vec![(14, "no".into())], again: 2 };
        assert_eq!((answer, again, at_least), (expected, vec![12, 15], Some(delay)));
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
