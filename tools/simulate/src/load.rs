//! Callers: each submits through the production front, repeats what it did not hear, and remembers what it was told.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::OnceLock;
use std::time::Duration;

use alloy::primitives::{Address, Bytes, U256};
use engine::blobs::{Blobs, GivenBlobs, Sidecar};
use engine::{Engine, Submission, SubmitError};
use storage::{Extras, Fees, Request};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::chain::BLOB_SPIKE;
use crate::executor::{Executor, Process};
use crate::feed::Follower;
use crate::meddler::Orders;
use crate::node::WORLD;
use crate::store::MemoryStore;

/// Longest pause of a caller between two batches: submissions go on for as long as faults do.
const PAUSE: Duration = Duration::from_millis(1200);
/// Longest time between two orders to pause or to resume.
const BETWEEN_PAUSES: Duration = Duration::from_secs(2);

/// The engine that runs now; none while it is down.
pub(crate) type Present = Rc<RefCell<Option<Running>>>;

/// An engine and the process it is.
#[derive(Clone)]
pub(crate) struct Running {
    /// The handle.
    pub(crate) engine: Engine<MemoryStore>,
    /// Whose end takes all answers along that have not been given.
    pub(crate) process: Process,
}

impl Running {
    /// Asks as somebody outside does: when the process ends, the connection to it does too, and no answer comes.
    pub(crate) async fn ask<T: 'static>(&self, executor: &Executor, answer: impl Future<Output = T> + 'static) -> Option<T> {
        let (sender, given) = oneshot::channel();
        executor.spawn(self.process, async move {
            // Whoever waits does so until this task ends.
            let _ = sender.send(answer.await);
        });
        given.await.ok()
    }

    async fn submit(&self, executor: &Executor, submissions: Vec<Submission>) -> Vec<Result<Uuid, SubmitError>> {
        let (count, engine) = (submissions.len(), self.engine.clone());
        let ends = self.ask(executor, async move { engine.submit(submissions).await }).await;
        ends.unwrap_or_else(|| vec![Err(SubmitError::Unknown); count])
    }

    /// Pauses an address, for a while or until it is resumed.
    async fn pause(&self, executor: &Executor, address: Address, until: Option<u64>) -> Result<(), SubmitError> {
        let engine = self.engine.clone();
        let paused = self.ask(executor, async move { engine.pause(address, until).await.map(drop) }).await;
        paused.unwrap_or(Err(SubmitError::Unknown))
    }

    async fn resume(&self, executor: &Executor, address: Address) -> Result<(), SubmitError> {
        let engine = self.engine.clone();
        let resumed = self.ask(executor, async move { engine.resume(address).await.map(drop) }).await;
        resumed.unwrap_or(Err(SubmitError::Unknown))
    }
}

/// What callers were told.
#[derive(Default)]
pub(crate) struct Book {
    /// Ids of accepted transactions, by their number.
    pub(crate) accepted: BTreeMap<u64, Uuid>,
    /// Numbers whose key has come with two bodies in one list: whichever of the two got it, the other is a conflict for ever.
    contested: BTreeSet<u64>,
    /// What each number depends on: ids of others, chosen when it is submitted first.
    pub(crate) depends_on: BTreeMap<u64, Vec<Uuid>>,
    /// Orders about accepted transactions.
    pub(crate) orders: Orders,
    /// Who follows the feed of endings.
    pub(crate) follower: Follower,
    /// A promise that was broken, in words.
    pub(crate) broken: Vec<String>,
    /// Callers that are done, who pauses, who changes his mind, and who follows the feed.
    pub(crate) done: usize,
}

/// Transactions of one seed.
pub(crate) struct Plan {
    /// Signers.
    pub(crate) addresses: Vec<Address>,
    /// How many transactions.
    pub(crate) transactions: u64,
    /// Nonces that were used before the run.
    pub(crate) used_before: BTreeMap<Address, u64>,
    /// Blobs that some of them carry; in seeds without there are none.
    pub(crate) blobs: Option<Sidecar>,
}

impl Plan {
    /// Transaction number `number`: its recipient tells its number, so that the chain can be read without the engine.
    pub(crate) fn request(&self, number: u64) -> Request {
        let place = usize::try_from(number % self.addresses.len() as u64).unwrap_or(0);
        let fees = match number % 11 {
            3 => Fees::Legacy { gas_price: 60_000_000_000 },
            7 => Fees::Dynamic { max_fee_per_gas: 90_000_000_000, max_priority_fee_per_gas: 2_000_000_000 },
            _ => Fees::Market,
        };
        let fees = match fees {
            // What every price of blobs stays below.
            Fees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } if self.carries(number).is_some() => {
                Fees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas: 10 * BLOB_SPIKE }
            }
            Fees::Legacy { .. } if self.carries(number).is_some() => Fees::Market,
            fees => fees,
        };
        let gas = (number % 13 != 5).then_some(21_000);
        Request {
            from: self.addresses[place],
            to: Some(recipient(number)),
            value: U256::ONE,
            data: Bytes::new(),
            gas,
            fees,
            extras: self.carries(number).map(|sidecar| Box::new(Extras { blob_hashes: sidecar.hashes().to_vec(), ..Extras::default() })),
        }
    }

    /// The blobs of a transaction. They come in rows: each change of kind costs an address as many blocks as are final at once.
    pub(crate) fn carries(&self, number: u64) -> Option<&Sidecar> {
        self.blobs.as_ref().filter(|_| (number / 20) % 5 == 2)
    }
}

/// One blob, with proofs of its cells or of all of it. To prove one takes as long as a seed, so all seeds have the same.
pub(crate) fn sidecar(cells: bool) -> Sidecar {
    static PROVEN: [OnceLock<Sidecar>; 2] = [OnceLock::new(), OnceLock::new()];
    let proven = PROVEN[usize::from(cells)].get_or_init(|| {
        let mut blob = vec![0; 131_072];
        blob[1..8].copy_from_slice(b"a blob.");
        let given = GivenBlobs { blobs: vec![blob.into()], ..GivenBlobs::default() };
        Sidecar::prove(&given, cells).expect("one whole blob of field elements")
    });
    proven.clone()
}

/// The recipient that stands for a number.
pub(crate) fn recipient(number: u64) -> Address {
    let mut address = Address::repeat_byte(0x77);
    address[12..].copy_from_slice(&number.to_be_bytes());
    address
}

/// One caller: submits its numbers in batches of random size, each until it is accepted.
pub(crate) async fn caller(executor: Executor, present: Present, book: Rc<RefCell<Book>>, plan: Rc<Plan>, mut numbers: Vec<u64>) {
    while !numbers.is_empty() {
        executor.sleep(executor.between(Duration::ZERO, PAUSE)).await;
        let Some(running) = present.borrow().clone() else { continue };
        let size = usize::try_from(executor.below(6) + 1).unwrap_or(1).min(numbers.len());
        let batch: Vec<u64> = numbers.drain(..size).collect();
        choose_dependencies(&executor, &book, &batch);
        if executor.below(4) == 0 {
            race(&executor, &running, &book, &plan, &batch);
        }
        let list = list(&executor, &book, &batch);
        let body = |entry: &(u64, bool)| if entry.1 { other_body(&plan, &book, entry.0) } else { submission(&plan, &book, entry.0) };
        let ends = running.submit(&executor, list.iter().map(body).collect()).await;
        if ends.len() != list.len() {
            book.borrow_mut().broken.push(format!("{} answers to {} submissions", ends.len(), list.len()));
        }
        both_taken(&book, &list, &ends);
        let mut open: BTreeSet<u64> = batch.into_iter().collect();
        for ((number, _), end) in list.into_iter().zip(ends) {
            if note(&book, number, end) {
                open.remove(&number);
            }
        }
        numbers.extend(open);
        repeat(&executor, &running, &book, &plan).await;
    }
    book.borrow_mut().done += 1;
}

/// The batch as one list, `true` for another body; now and then one of its keys comes twice, with the same body or with another one, in
/// any order.
fn list(executor: &Executor, book: &RefCell<Book>, batch: &[u64]) -> Vec<(u64, bool)> {
    let mut list: Vec<(u64, bool)> = batch.iter().map(|number| (*number, false)).collect();
    let place = |end: usize| usize::try_from(executor.below(end as u64)).unwrap_or(0);
    if executor.below(4) == 0 {
        let (number, other) = (batch[place(batch.len())], executor.below(2) == 0);
        list.insert(place(list.len() + 1), (number, other));
        if other {
            book.borrow_mut().contested.insert(number);
        }
    }
    list
}

/// Two bodies under one key must not both be taken.
fn both_taken(book: &RefCell<Book>, list: &[(u64, bool)], ends: &[Result<Uuid, SubmitError>]) {
    let taken: Vec<(u64, bool)> = list.iter().zip(ends).filter(|(_, end)| end.is_ok()).map(|(entry, _)| *entry).collect();
    for (number, _) in taken.iter().filter(|(number, other)| *other && taken.contains(&(*number, false))) {
        book.borrow_mut().broken.push(format!("the key of number {number} was accepted with two bodies in one list"));
    }
}

/// Somebody submits the same at the same time, with the same keys: one id for each must come of it (row A16).
fn race(executor: &Executor, running: &Running, book: &Rc<RefCell<Book>>, plan: &Plan, batch: &[u64]) {
    let (running, book, batch) = (running.clone(), Rc::clone(book), batch.to_vec());
    let submissions: Vec<Submission> = batch.iter().map(|number| submission(plan, &book, *number)).collect();
    let executor = executor.clone();
    executor.clone().spawn(WORLD, async move {
        executor.sleep(executor.between(Duration::ZERO, Duration::from_millis(5))).await;
        for (number, end) in batch.into_iter().zip(running.submit(&executor, submissions).await) {
            // What has to be asked again is asked again by the caller.
            note(&book, number, end);
        }
    });
}

fn submission(plan: &Plan, book: &RefCell<Book>, number: u64) -> Submission {
    let depends_on = book.borrow().depends_on.get(&number).cloned().unwrap_or_default();
    let blobs = plan.carries(number).map(|sidecar| Box::new(Blobs::Proven(sidecar.clone())));
    Submission { request: plan.request(number), chain_id: None, idempotency_key: Some(format!("key-{number}")), depends_on, blobs }
}

/// Some of a batch depend on some of what is accepted by then, on other addresses and shards too; the choice is made once.
fn choose_dependencies(executor: &Executor, book: &RefCell<Book>, batch: &[u64]) {
    let mut book = book.borrow_mut();
    for number in batch.iter().filter(|number| **number % 7 == 2) {
        let known: Vec<Uuid> = book.accepted.values().copied().collect();
        if book.depends_on.contains_key(number) {
            continue;
        }
        let count = if known.is_empty() { 0 } else { executor.below(3) + 1 };
        let any = || known[usize::try_from(executor.below(known.len() as u64)).unwrap_or(0)];
        let ids = (0..count).map(|_| any()).collect();
        book.depends_on.insert(*number, ids);
    }
}

/// The same key with another body.
fn other_body(plan: &Plan, book: &RefCell<Book>, number: u64) -> Submission {
    let mut other = submission(plan, book, number);
    other.request.value = U256::from(2);
    other
}

/// Writes an answer down. False if it has to be asked again.
fn note(book: &RefCell<Book>, number: u64, end: Result<Uuid, SubmitError>) -> bool {
    let mut book = book.borrow_mut();
    match end {
        // The other body has the key: that is this number's transaction then.
        Err(SubmitError::Conflict { existing: id }) if book.contested.contains(&number) => noted(&mut book, number, id),
        Ok(id) => noted(&mut book, number, id),
        Err(SubmitError::Busy { .. } | SubmitError::Unknown | SubmitError::Closed) => false,
        Err(error) => {
            book.broken.push(format!("number {number} was refused: {error}"));
            true
        }
    }
}

/// Writes an id down: each number has one.
fn noted(book: &mut Book, number: u64, id: Uuid) -> bool {
    if let Some(earlier) = book.accepted.insert(number, id).filter(|earlier| *earlier != id) {
        book.broken.push(format!("number {number} was accepted as {earlier} and as {id}"));
    }
    true
}

/// Pauses and resumes addresses at random moments, for a while or without an end, for as long as there is trouble; then resumes them all.
pub(crate) async fn pauser(executor: Executor, present: Present, book: Rc<RefCell<Book>>, plan: Rc<Plan>, calm: Rc<Cell<bool>>) {
    while !calm.get() {
        executor.sleep(executor.between(Duration::ZERO, BETWEEN_PAUSES)).await;
        let Some(running) = present.borrow().clone() else { continue };
        let address = plan.addresses[usize::try_from(executor.below(plan.addresses.len() as u64)).unwrap_or(0)];
        let end = match executor.below(3) {
            0 => running.resume(&executor, address).await,
            1 => running.pause(&executor, address, None).await,
            _ => {
                let now = u64::try_from(executor.unix_time().as_micros()).unwrap_or(u64::MAX);
                running.pause(&executor, address, Some(now + 1_000 * (executor.below(3000) + 500))).await
            }
        };
        if let Err(error @ (SubmitError::Invalid(_) | SubmitError::Conflict { .. })) = end {
            book.borrow_mut().broken.push(format!("a pause of {address} was refused: {error}"));
        }
    }
    let mut paused = plan.addresses.clone();
    while let Some(address) = paused.pop() {
        let running = present.borrow().clone();
        let done = match running {
            Some(running) => running.resume(&executor, address).await.is_ok(),
            None => false,
        };
        if !done {
            paused.push(address);
            executor.sleep(Duration::from_millis(50)).await;
        }
    }
    book.borrow_mut().done += 1;
}

/// Now and then: the same key again, with the same body (the same id must come) or with another (a conflict must come).
async fn repeat(executor: &Executor, running: &Running, book: &Rc<RefCell<Book>>, plan: &Plan) {
    let known: Vec<(u64, Uuid)> = {
        // Which body a contested key has is known to the engine alone.
        let book = book.borrow();
        book.accepted.iter().filter(|(number, _)| !book.contested.contains(*number)).map(|(number, id)| (*number, *id)).collect()
    };
    if known.is_empty() || executor.below(4) > 0 {
        return;
    }
    let (number, id) = known[usize::try_from(executor.below(known.len() as u64)).unwrap_or(0)];
    let other = executor.below(2) == 0;
    let again = if other { other_body(plan, book, number) } else { submission(plan, book, number) };
    let end = running.submit(executor, vec![again]).await.pop();
    let kept = match (&end, other) {
        (Some(Ok(same)), false) => *same == id,
        (Some(Err(SubmitError::Conflict { existing })), true) => *existing == id,
        (Some(Err(SubmitError::Busy { .. } | SubmitError::Unknown | SubmitError::Closed)), _) => true,
        _ => false,
    };
    if !kept {
        book.borrow_mut().broken.push(format!("key of number {number} ({id}) again, other body {other}: {end:?}"));
    }
}
