//! A lane is one ordered connection to a node.
//!
//! `&mut self` lets one request be under way at a time, so whatever is put on a lane reaches the node in that order; a second
//! order needs a second lane. How each failure ends is in the table of [the module](super).

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::backoff::Backoff;
use super::breaker::Outcome;
use super::calls::Calls;
use super::connection::{Broken, Connection, HttpReply};
use super::counts::Counts;
use super::end::{CallError, End, Exchange, Fault};
use super::gate::{Gate, Pass};
use super::limits::Limits;
use super::reply::{Answer, Verdict, judge, result};
use crate::room::Room;
use crate::wire::Endpoint;

/// One ordered connection to a node, opened when it is first needed and again when it broke.
pub struct Lane<R: Room> {
    room: R,
    endpoint: Arc<Endpoint>,
    limits: Limits,
    counts: Arc<Counts>,
    connection: Option<Connection<R>>,
    backoff: Backoff,
    /// What the lanes of this endpoint share, if they do.
    gate: Option<Gate>,
    /// Calls that the node takes in one request, as far as it has let us know.
    calls_max: usize,
}

/// A request without a reply.
enum Failure {
    BeforeSend(Fault),
    Ambiguous(Fault),
}

impl<R: Room> Lane<R> {
    /// A lane that is not connected yet. The numbers in `limits` hold for its whole life.
    pub fn new(room: R, endpoint: Arc<Endpoint>, limits: Limits, counts: Arc<Counts>) -> Self {
        let calls_max = limits.batch_calls.max(1);
        Self { room, endpoint, limits, counts, connection: None, backoff: Backoff::default(), gate: None, calls_max }
    }

    /// A lane that shares `gate` with the other lanes of this endpoint in this room. While the endpoint is left alone, because it failed
    /// too often ([`Fault::Open`]) or asked for it ([`Fault::Throttled`]), calls end at once as [`End::BeforeSend`], and nothing is dialled.
    pub fn guarded(room: R, endpoint: Arc<Endpoint>, limits: Limits, counts: Arc<Counts>, gate: Gate) -> Self {
        Self { gate: Some(gate), ..Self::new(room, endpoint, limits, counts) }
    }

    /// The node it leads to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Calls that go out in one request at most: [`Limits::batch_calls`], or fewer once the node has refused as many.
    pub fn calls_max(&self) -> usize {
        self.calls_max
    }

    /// Gives back the memory that is kept for another reply as long as the last one, where nobody knows whether one will come.
    pub fn rest(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.rest();
        }
    }

    /// Sends all calls, in order: as one JSON-RPC batch, or as one plain object if there is one. A node that refuses batches, or
    /// large ones, is remembered and gets several requests. The ends are in call order and as many as the calls.
    ///
    /// It lasts as long as the node takes, within [`Limits::request_timeout`] for each request; before that perhaps the
    /// rest of a backoff and [`Limits::connect_timeout`]. A dropped future drops the connection: its calls are then
    /// as ambiguous as after a cut.
    pub async fn exchange(&mut self, calls: &Calls) -> Exchange {
        let mut exchange = Exchange { ends: Vec::with_capacity(calls.len()), retry_after: None };
        while exchange.ends.len() < calls.len() {
            let begin = exchange.ends.len();
            let run = begin..calls.len().min(begin + self.calls_max);
            let reply = match self.request(calls, run.clone()).await {
                Ok(reply) => reply,
                Err(failure) => {
                    exchange.retry_after = failure.fault().retry_after().or(exchange.retry_after);
                    exchange.stop(run, calls.len(), failure);
                    break;
                }
            };
            exchange.retry_after = reply.retry_after.or(exchange.retry_after);
            match judge(&reply, run.clone()) {
                Verdict::Answers(answers) => {
                    exchange.ends.extend(answers.into_iter().map(End::from));
                    if let Some(fault) = exchange.doubt(begin) {
                        self.counts.faults.add(1);
                        exchange.stop(run, calls.len(), Failure::BeforeSend(fault));
                    }
                }
                Verdict::Doubt(fault) => {
                    let fault = self.doubt(fault, reply.retry_after);
                    exchange.stop(run, calls.len(), Failure::Ambiguous(fault));
                }
                Verdict::TooLarge(words) => self.learn(run.len() / 2, &words),
                Verdict::NoBatches(words) => self.learn(1, &words),
            }
        }
        exchange
    }

    /// Asks one call and decodes its result straight from the reply.
    ///
    /// # Errors
    /// The node refuses it, no answer comes, or its result is not a `T`.
    pub async fn call<T: DeserializeOwned>(&mut self, method: &str, params: &impl Serialize) -> Result<T, CallError> {
        let mut calls = Calls::new();
        calls.push(method, params);
        let reply = match self.request(&calls, 0..1).await {
            Ok(reply) => reply,
            Err(Failure::BeforeSend(fault) | Failure::Ambiguous(fault)) => {
                let retry_after = fault.retry_after();
                return Err(CallError::unanswered(method, &self.endpoint, fault, retry_after));
            }
        };
        if let Some(result) = result(&reply, 0) {
            return Ok(result);
        }
        let unanswered = |fault| CallError::unanswered(method, &self.endpoint, fault, reply.retry_after);
        match judge(&reply, 0..1) {
            Verdict::Answers(mut answers) => match answers.remove(0) {
                Answer::Result(result) => {
                    serde_json::from_str(result.get()).map_err(|error| CallError::unreadable(method, &self.endpoint, &error))
                }
                Answer::Error(error) => Err(CallError::rejected(method, &self.endpoint, error)),
                Answer::Missing(fault) => {
                    self.counts.faults.add(1);
                    Err(unanswered(fault))
                }
            },
            Verdict::Doubt(fault) => Err(unanswered(self.doubt(fault, reply.retry_after))),
            // Only batches are refused as such; a single call is not one.
            Verdict::TooLarge(words) | Verdict::NoBatches(words) => Err(unanswered(Fault::Malformed(words))),
        }
    }

    /// One HTTP request with the calls of `run`.
    async fn request(&mut self, calls: &Calls, run: Range<usize>) -> Result<HttpReply, Failure> {
        let pass = self.enter().await.map_err(Failure::BeforeSend)?;
        let (outcome, mut result) = self.attempt(calls, run).await;
        if let Some(pass) = pass {
            pass.report(outcome, self.room.now());
        }
        if let (Some(gate), Ok(reply)) = (&self.gate, &mut result) {
            reply.retry_after = reply.retry_after.map(|wait| gate.heeded(wait));
        }
        result
    }

    /// Waits until this lane may dial, if it has to, and asks the gate.
    async fn enter(&self) -> Result<Option<Pass>, Fault> {
        let gate = self.gate.as_ref();
        let pass = gate.map(|gate| gate.enter(self.room.now())).transpose()?;
        let wait = self.backoff.remainder(self.room.now());
        // The probe has waited with the gate.
        if self.connection.is_some() || wait.is_zero() || pass.as_ref().is_some_and(Pass::is_probe) {
            return Ok(pass);
        }
        drop(pass);
        self.room.sleep(wait).await;
        // Meanwhile another lane may have found out that there is no use in it.
        gate.map(|gate| gate.enter(self.room.now())).transpose()
    }

    async fn attempt(&mut self, calls: &Calls, run: Range<usize>) -> (Outcome, Result<HttpReply, Failure>) {
        loop {
            // Taken out: if this future is dropped while a reply is outstanding, so is the connection.
            let kept = self.connection.take();
            let idle = kept.is_some();
            let mut connection = match kept {
                Some(connection) => connection,
                None => match self.dial().await {
                    Ok(connection) => connection,
                    Err(fault) => return (Outcome::Failed, Err(Failure::BeforeSend(fault))),
                },
            };
            let body = calls.body(run.clone());
            let bytes = body.len();
            let outcome = connection.post(&self.limits, body).await;
            if matches!(outcome, Err(Broken::NotSent)) && idle {
                continue; // the node closed it while it was idle, which is its right
            }
            if !matches!(outcome, Err(Broken::NotSent)) {
                self.counts.http_requests.add(1);
                self.counts.rpc_calls.add(run.len());
                self.counts.bytes_sent.add(bytes);
            }
            return match outcome {
                Ok(reply) => {
                    self.counts.bytes_received.add(reply.body.len());
                    self.backoff.succeed();
                    self.connection = Some(connection);
                    (Outcome::Replied, Ok(reply))
                }
                // The node is there; only its reply is not wanted.
                Err(broken @ Broken::TooLarge(_)) => (Outcome::Replied, Err(self.broke(broken))),
                Err(broken) => (Outcome::Failed, Err(self.broke(broken))),
            };
        }
    }

    async fn dial(&mut self) -> Result<Connection<R>, Fault> {
        let opened = Connection::open(&self.room, &self.endpoint, &self.limits).await;
        match &opened {
            Ok(_) => self.counts.connects.add(1),
            Err(_) => self.fail(),
        }
        opened
    }

    fn broke(&mut self, broken: Broken) -> Failure {
        self.fail();
        match broken {
            Broken::NotSent => Failure::BeforeSend(broken.into_fault()),
            broken => Failure::Ambiguous(broken.into_fault()),
        }
    }

    fn fail(&mut self) {
        self.counts.faults.add(1);
        self.backoff.fail(self.room.now(), self.limits.backoff_min, self.limits.backoff_max);
    }

    /// A reply answers nothing. If it names a time until the next request, all lanes of the endpoint heed it.
    fn doubt(&self, fault: Fault, retry_after: Option<Duration>) -> Fault {
        self.counts.faults.add(1);
        if let (Some(gate), Some(wait)) = (&self.gate, retry_after) {
            gate.quiet(wait, self.room.now());
        }
        fault.concealing(&self.endpoint)
    }

    fn learn(&mut self, calls_max: usize, words: &str) {
        self.calls_max = calls_max.max(1);
        tracing::info!("{} refuses the batch ({words}): from now on {} calls a request", self.endpoint, self.calls_max);
    }
}

impl Failure {
    fn fault(&self) -> &Fault {
        match self {
            Self::BeforeSend(fault) | Self::Ambiguous(fault) => fault,
        }
    }
}

impl Exchange {
    /// What is in doubt among the ends from `begin` on.
    fn doubt(&self, begin: usize) -> Option<Fault> {
        self.ends[begin..].iter().find_map(|end| match end {
            End::Ambiguous(fault) => Some(fault.clone()),
            End::Answered(_) | End::BeforeSend(_) => None,
        })
    }

    /// The calls of `run` failed, unless they have their ends, and those behind them up to `len` were not sent.
    fn stop(&mut self, run: Range<usize>, len: usize, failure: Failure) {
        let fault = match failure {
            Failure::BeforeSend(fault) => fault,
            Failure::Ambiguous(fault) => {
                self.ends.extend(run.map(|_| End::Ambiguous(fault.clone())));
                fault
            }
        };
        while self.ends.len() < len {
            self.ends.push(End::BeforeSend(fault.clone()));
        }
    }
}

/// The end of each of `calls` calls by a reply of status 200 with this body, as a lane reads it; a reply that says nothing about single
/// calls leaves them all in doubt. For whoever looks at the decoder without a connection: benches and fuzzers.
pub fn read_reply(body: Bytes, calls: usize) -> Vec<End> {
    let reply = HttpReply { status: StatusCode::OK, retry_after: None, body };
    match judge(&reply, 0..calls) {
        Verdict::Answers(answers) => answers.into_iter().map(End::from).collect(),
        Verdict::Doubt(fault) => (0..calls).map(|_| End::Ambiguous(fault.clone())).collect(),
        Verdict::TooLarge(words) | Verdict::NoBatches(words) => {
            (0..calls).map(|_| End::BeforeSend(Fault::Malformed(words.clone()))).collect()
        }
    }
}

impl From<Answer<'_>> for End {
    fn from(answer: Answer<'_>) -> Self {
        match answer {
            Answer::Result(result) => Self::Answered(Ok(result.to_owned())),
            Answer::Error(error) => Self::Answered(Err(error)),
            Answer::Missing(fault) => Self::Ambiguous(fault),
        }
    }
}
