//! Somebody who changes his mind: cancels, suspends, resumes and updates accepted transactions at random moments.
//!
//! What he was told is written into the book, and held against the chain and the store at the end.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use alloy::primitives::U256;
use engine::SubmitError;
use engine::txmgr::order::{Change, Done};
use engine::view::{Status, TransactionView};
use storage::{Fees, read};
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::chain::BLOB_SPIKE;
use crate::executor::Executor;
use crate::load::{Book, Plan, Present, Running};
use crate::node::WORLD;
use crate::store::MemoryStore;

/// Longest time between two orders.
const PAUSE: Duration = Duration::from_millis(600);
/// Prices that an update fixes: what every base fee stays below.
const PRICE: u128 = 60_000_000_000;

/// What was ordered, and what was said of it, by number.
#[derive(Default)]
pub(crate) struct Orders {
    /// A cancel was ordered; the last certain answer.
    pub(crate) cancelled: BTreeMap<u64, Option<Done>>,
    /// Values that were ever asked for by an update.
    pub(crate) values: BTreeMap<u64, BTreeSet<U256>>,
    /// Updates that are on disk.
    pub(crate) updated: BTreeMap<u64, u16>,
    /// Suspended for certain, and nobody has ordered a resumption since.
    suspended: BTreeSet<u64>,
    /// A suspension was ordered, and no resumption was certain since.
    to_resume: BTreeSet<u64>,
}

/// One order.
#[derive(Clone, Debug)]
enum Order {
    Cancel,
    Suspend,
    Resume,
    Update(Change),
}

impl Order {
    fn draw(executor: &Executor, orders: &Orders, number: u64) -> Self {
        match executor.below(8) {
            0 => Self::Cancel,
            1 | 2 => Self::Suspend,
            3 | 4 => Self::Resume,
            _ => Self::Update(change(executor, orders, number)),
        }
    }

    async fn give(self, executor: &Executor, running: &Running, id: Uuid) -> Result<Done, SubmitError> {
        let engine = running.engine.clone();
        let answer = running.ask(executor, async move {
            match self {
                Self::Cancel => engine.cancel(id).await,
                Self::Suspend => engine.suspend(id).await,
                Self::Resume => engine.resume_transaction(id).await,
                Self::Update(change) => engine.update(id, change).await,
            }
        });
        answer.await.unwrap_or(Err(SubmitError::Unknown))
    }
}

/// Another value, or a price, or what was asked for at first.
fn change(executor: &Executor, orders: &Orders, number: u64) -> Change {
    let next = orders.values.get(&number).map_or(0, BTreeSet::len) as u64;
    let fees = match executor.below(5) {
        0 => Some(Fees::Market),
        1 => Some(Fees::Legacy { gas_price: PRICE + u128::from(executor.below(10)) * PRICE / 10 }),
        2 => Some(Fees::Dynamic { max_fee_per_gas: 2 * PRICE, max_priority_fee_per_gas: u128::from(executor.below(20)) * 1_000_000_000 }),
        // Refused where there are no blobs, as the other prices are where there are some.
        3 => Some(Fees::Blob {
            max_fee_per_gas: 4 * PRICE,
            max_priority_fee_per_gas: u128::from(executor.below(20)) * 1_000_000_000,
            max_fee_per_blob_gas: 2 * BLOB_SPIKE * (executor.below(20) + 1),
        }),
        _ => None,
    };
    match executor.below(4) {
        0 => Change { generation: Some(0), ..Change::default() },
        1 => Change { fees: fees.or(Some(Fees::Market)), ..Change::default() },
        _ => Change { value: Some(U256::from(10 + next)), gas: (executor.below(3) > 0).then_some(21_000), fees, ..Change::default() },
    }
}

/// Gives orders for as long as there is trouble, then resumes everything.
pub(crate) async fn meddler(
    executor: Executor,
    present: Present,
    book: Rc<RefCell<Book>>,
    plan: Rc<Plan>,
    store: MemoryStore,
    calm: Rc<Cell<bool>>,
) {
    // One seed in four has nobody of the kind.
    let meddles = executor.below(4) > 0;
    while meddles && !calm.get() {
        executor.sleep(executor.between(Duration::ZERO, PAUSE)).await;
        let Some(running) = present.borrow().clone() else { continue };
        let number = executor.below(plan.transactions);
        let Some(id) = book.borrow().accepted.get(&number).copied() else { continue };
        let order = Order::draw(&executor, &book.borrow().orders, number);
        // Now and then the same twice, at the same time.
        let again = (executor.below(4) == 0).then(|| {
            let (done, other) = oneshot::channel();
            let (running, order, executor) = (running.clone(), order.clone(), executor.clone());
            executor.clone().spawn(WORLD, async move {
                executor.sleep(executor.between(Duration::ZERO, Duration::from_millis(5))).await;
                // Who waits for it waits to the end of the run.
                let _ = done.send(order.give(&executor, &running, id).await);
            });
            other
        });
        order_one(&executor, &running, &book, &store, number, id, order).await;
        if let Some(again) = again {
            // What it says is what the other one says, or was said already.
            let _ = again.await;
        }
    }
    while let Some(number) = { book.borrow().orders.to_resume.iter().next().copied() } {
        let running = present.borrow().clone();
        let id = book.borrow().accepted.get(&number).copied();
        if let (Some(running), Some(id)) = (running, id) {
            order_one(&executor, &running, &book, &store, number, id, Order::Resume).await;
        }
        executor.sleep(Duration::from_millis(50)).await;
    }
    book.borrow_mut().done += 1;
}

async fn order_one(executor: &Executor, running: &Running, book: &RefCell<Book>, store: &MemoryStore, number: u64, id: Uuid, order: Order) {
    before(book, store, number, id, &order);
    let end = order.clone().give(executor, running, id).await;
    let mut book = book.borrow_mut();
    let Book { orders, broken, .. } = &mut *book;
    match (&order, end) {
        (_, Err(SubmitError::Busy { .. } | SubmitError::Unknown | SubmitError::Closed)) => {}
        (Order::Cancel, Ok(done @ (Done::Cancelled | Done::Cancelling))) => {
            orders.cancelled.insert(number, Some(done));
        }
        (Order::Suspend, Ok(Done::Suspended)) => {
            orders.suspended.insert(number);
        }
        (Order::Suspend, Err(SubmitError::Invalid(_))) | (Order::Resume, Ok(Done::Resumed) | Err(SubmitError::Invalid(_))) => {
            orders.to_resume.remove(&number);
        }
        (Order::Update(_), Ok(Done::Updated(generation))) => {
            orders.updated.insert(number, generation);
        }
        (Order::Cancel | Order::Update(_), Err(SubmitError::Invalid(_))) => {}
        (order, end) => broken.push(format!("number {number} ({id}): {order:?} was answered with {end:?}")),
    }
}

/// What is true from the moment at which an order is given, whatever is said of it.
fn before(book: &RefCell<Book>, store: &MemoryStore, number: u64, id: Uuid, order: &Order) {
    let mut book = book.borrow_mut();
    let Book { orders, broken, .. } = &mut *book;
    match order {
        Order::Cancel => {
            orders.cancelled.entry(number).or_default();
        }
        Order::Suspend => {
            orders.to_resume.insert(number);
        }
        Order::Resume => {
            // A store that cannot be read now tells nothing.
            let view = TransactionView::read(store, id, 1).ok().flatten();
            let bound = view.is_some_and(|view| !matches!(view.status(), Status::Unstarted | Status::FatalError));
            if orders.suspended.remove(&number) && bound {
                broken.push(format!("number {number} ({id}) was suspended, and was bound before it was resumed"));
            }
        }
        Order::Update(change) => {
            orders.values.entry(number).or_default().extend(change.value);
        }
    }
}

/// What was said of orders is so; `executed` by the chain.
pub(crate) fn kept(orders: &Orders, store: &MemoryStore, number: u64, id: Uuid, executed: Option<U256>) -> Result<(), String> {
    let view = TransactionView::read(store, id, 1).map_err(|error| error.to_string())?;
    let Some(view) = view else { return Err(format!("number {number} ({id}) was accepted and is not stored")) };
    match orders.cancelled.get(&number) {
        Some(Some(Done::Cancelled)) if executed.is_some() => {
            return Err(format!("number {number} ({id}) was cancelled and was executed"));
        }
        Some(Some(Done::Cancelling)) if !view.attempts.iter().any(|attempt| attempt.closing.is_some()) => {
            return Err(format!("number {number} ({id}) is being cancelled, and nothing on disk bids for its nonce"));
        }
        _ => {}
    }
    if let Some(generation) = orders.updated.get(&number).filter(|generation| view.transaction.generation < **generation) {
        return Err(format!("number {number} ({id}) has generation {generation}, and the disk has {}", view.transaction.generation));
    }
    let (Some(value), Some(receipt)) = (executed, &view.receipt) else { return Ok(()) };
    // What the generation that the receipt names asked for.
    let earlier = view.generations.iter().find(|(generation, _)| *generation >= receipt.generation);
    let asked = earlier.map_or(view.transaction.request.value, |(_, row)| row.request.value);
    if asked != value {
        return Err(format!(
            "number {number} ({id}): its receipt names generation {}, which asked for {asked} wei, and {value} were mined",
            receipt.generation
        ));
    }
    let known = orders.values.get(&number);
    if value > U256::from(2) && known.is_none_or(|values| !values.contains(&value)) {
        return Err(format!("number {number} ({id}): {value} wei were mined, and nobody asked for that"));
    }
    Ok(())
}

/// Nothing waits for anything any more.
pub(crate) fn nothing_blocked(store: &MemoryStore) -> Result<(), String> {
    match read::dependents(store, None, None, 1).map_err(|error| error.to_string())?.first() {
        Some(left) => {
            let shown =
                |id| TransactionView::read(store, id, 1).ok().flatten().map(|view| (view.status(), view.transaction.place, view.receipt));
            let (dependent, dependency) = (shown(left.id), shown(left.dependency));
            Err(format!("{} ({dependent:?}) is still registered as dependent on {} ({dependency:?})", left.id, left.dependency))
        }
        None => Ok(()),
    }
}
