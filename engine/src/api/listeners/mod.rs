//! Receipt listeners: named places in the feed, kept on disk, and their delivery over WebSockets (row E1).
//!
//! ```text
//! create, start, stop, delete ─► a row on disk                        nobody subscribes: that row is all there is
//! subscribe ─► Delivery ─► feed::Page, by a reader ─► outbox ─► ptx_subscription
//!                 ▲ ▲                                               │
//!        News ────┘ └── ptx_ack: checkpoint on disk, then Ok ◄──────┘
//! ```
//!
//! What is delivered when is decided in [`delivery`]; here is its I/O, all of it on the control thread. A listener that somebody subscribes to
//! takes a few hundred bytes and one batch, which is read when it is to be sent. So one that is never acknowledged costs its row.
//!
//! **Promises.** Every ending above a listener's beginning is delivered until it has been acknowledged: after a crash of either side, after
//! `ptx_nack`, and to the next subscription when one ends. In the order of sequences, and a sequence that comes for the second time is a repeat. An
//! acknowledgement that was answered is on disk. An ending that a reorg takes back before it was delivered is not delivered; one that was
//! delivered before comes again with a new sequence once it has ended again. A subscription whose listener is deleted is told so, and ends.
//!
//! **How it fails.** A mistake is an error that changes nothing. A checkpoint that could not be saved leaves its batch in flight: acknowledge
//! it again. A reader that is busy is asked again after a rest. A client that does not read is cut off by its connection.

mod batch;
mod delivery;
mod render;
mod session;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use netio::EpollRoom;
use storage::{ListenerRow, Record, Store, feed};
use tokio::sync::RwLock;
use tokio::task::spawn_local;
use tokio::time::sleep;
use uuid::Uuid;

use self::batch::Read;
use self::delivery::{Action, Delivery, Event};
use self::render::New;
pub(super) use self::render::{Batch, CreateParams, Ended, Listener, QueryParams};
use self::session::Subscriber;
pub(super) use self::session::{Call, Message, Session};
use crate::engine::Engine;
use crate::jsonrpc::error::RpcError;
use crate::jsonrpc::upstream::Upstream;
use crate::jsonrpc::{Outbox, Outgoing};
use crate::metrics::Metrics;

/// Most listeners: each is looked at when the metrics are.
const LISTENERS_MAX: usize = 1000;
/// Most names that the metrics tell the lag of, deleted ones included, until the process ends.
const GAUGES_MAX: usize = 2 * LISTENERS_MAX;
/// Most subscriptions to one listener: one is delivered to, the others stand in line.
const LINE_MAX: usize = 16;

/// The listeners that somebody subscribes to, and the way to all.
pub(super) struct Listeners<S: Store> {
    engine: Engine<S>,
    upstream: Rc<Upstream<EpollRoom>>,
    metrics: Metrics,
    open: RefCell<BTreeMap<String, Open>>,
    /// Shared by acknowledgements, which write the row of an open listener; held alone by what reads a row to write another one.
    order: RwLock<()>,
    opened: Cell<u64>,
    listening: Cell<bool>,
    /// Names that have a gauge: one that has been shown once stays.
    measured: RefCell<BTreeSet<String>>,
}

/// A listener that somebody subscribes to.
struct Open {
    /// Tells it from one that had the same name before.
    number: u64,
    delivery: Delivery,
    subscribers: BTreeMap<Uuid, Subscriber>,
    saving: bool,
}

impl<S: Store> Listeners<S> {
    pub(super) fn new(engine: Engine<S>, upstream: Rc<Upstream<EpollRoom>>, metrics: Metrics) -> Rc<Self> {
        Rc::new(Self {
            engine,
            upstream,
            metrics,
            open: RefCell::default(),
            order: RwLock::default(),
            opened: Cell::default(),
            listening: Cell::default(),
            measured: RefCell::default(),
        })
    }

    fn new_id(&self) -> Uuid {
        self.engine.new_id().0
    }

    async fn row(&self, name: &str) -> Result<ListenerRow, RpcError> {
        let wanted = name.to_owned();
        let row = self.engine.readers().run(move |store| feed::listener(store, &wanted)).await??;
        row.ok_or_else(|| RpcError::params(format!("there is no listener \"{name}\": ptx_queryReceiptListeners lists them")))
    }

    /// Puts a row on disk, or takes it away.
    async fn keep(&self, name: &str, row: Option<ListenerRow>) -> Result<(), RpcError> {
        Ok(self.engine.keep(Record::Listener { name: name.to_owned(), row }).await?)
    }

    async fn create(self: &Rc<Self>, new: New) -> Result<(), RpcError> {
        let this = Rc::clone(self);
        by_itself(async move {
            let New { name, started, above, public_only } = new;
            let _alone = this.order.write().await;
            let wanted = name.clone();
            let read = move |store: &S| {
                Ok::<_, storage::StoreError>((feed::listener(store, &wanted)?, feed::listeners(store, LISTENERS_MAX)?.len()))
            };
            let (taken, count) = this.engine.readers().run(read).await??;
            if taken.is_some() {
                return Err(RpcError::params(format!("the name \"{name}\" is taken: choose another one, or delete that listener first")));
            }
            if count >= LISTENERS_MAX {
                return Err(RpcError::params(format!("there are {count} listeners, which is the limit: delete one that nobody needs")));
            }
            let (_, now) = this.engine.new_id();
            this.keep(&name, Some(ListenerRow { created_at: now, started, above, public_only, checkpoint: above })).await
        })
        .await
    }

    async fn start(self: &Rc<Self>, name: &str, started: bool) -> Result<(), RpcError> {
        let (this, name) = (Rc::clone(self), name.to_owned());
        by_itself(async move {
            let _alone = this.order.write().await;
            let row = ListenerRow { started, ..this.row(&name).await? };
            this.keep(&name, Some(row)).await?;
            this.with(&name, None, |open| open.delivery.handle(if started { Event::Started } else { Event::Stopped }));
            Ok(())
        })
        .await
    }

    async fn delete(self: &Rc<Self>, name: &str) -> Result<(), RpcError> {
        let (this, name) = (Rc::clone(self), name.to_owned());
        by_itself(async move {
            let _alone = this.order.write().await;
            this.row(&name).await?;
            this.keep(&name, None).await?;
            let ended = this.open.borrow_mut().remove(&name);
            for (id, subscriber) in ended.into_iter().flat_map(|open| open.subscribers) {
                subscriber.end(id, &name);
            }
            if this.measured.borrow().contains(&name) {
                this.metrics.listener_lag.of(&name).set(0.0);
            }
            Ok(())
        })
        .await
    }

    async fn get(&self, name: &str) -> Result<Listener, RpcError> {
        let row = self.row(name).await?;
        let newest = self.engine.readers().run(|store| feed::last_ending(store)).await??;
        Ok(self.shown(name, row, newest))
    }

    async fn query(&self, query: &QueryParams) -> Result<Vec<Listener>, RpcError> {
        let limit = query.checked_limit(LISTENERS_MAX)?;
        let read = |store: &S| Ok::<_, storage::StoreError>((feed::listeners(store, LISTENERS_MAX)?, feed::last_ending(store)?));
        let (rows, newest) = self.engine.readers().run(read).await??;
        let wanted = rows.into_iter().filter(|(_, row)| query.wants(row)).take(limit);
        Ok(wanted.map(|(name, row)| self.shown(&name, row, newest)).collect())
    }

    fn shown(&self, name: &str, row: ListenerRow, newest: u64) -> Listener {
        let subscriptions = self.open.borrow().get(name).map_or(0, |open| open.subscribers.len());
        Listener::new(name, row, newest, subscriptions)
    }

    /// A new subscription, which is delivered to once it has [joined](Self::join).
    async fn subscribe(self: &Rc<Self>, name: &str, id: Uuid, subscriber: Subscriber) -> Result<(), RpcError> {
        let (this, name) = (Rc::clone(self), name.to_owned());
        by_itself(async move {
            // Alone: an acknowledgement under way would make the row that is read an old one.
            let _alone = this.order.write().await;
            let row = this.row(&name).await?;
            if subscriber.outbox.is_disconnected() {
                return Err(RpcError::internal("the connection has ended"));
            }
            this.enter(&name, row, id, subscriber)
        })
        .await
    }

    fn enter(self: &Rc<Self>, name: &str, row: ListenerRow, id: Uuid, subscriber: Subscriber) -> Result<(), RpcError> {
        let mut all = self.open.borrow_mut();
        let open = all.entry(name.to_owned()).or_insert_with(|| {
            self.opened.set(self.opened.get() + 1);
            let delivery = Delivery::new(row.started, row.checkpoint);
            Open { number: self.opened.get(), delivery, subscribers: BTreeMap::new(), saving: false }
        });
        if open.subscribers.len() >= LINE_MAX {
            return Err(RpcError::params(format!(
                "\"{name}\" has {LINE_MAX} subscriptions, which is the limit: one is delivered to, and the others stand in line"
            )));
        }
        open.subscribers.insert(id, subscriber);
        drop(all);
        self.listen();
        Ok(())
    }

    fn join(self: &Rc<Self>, name: &str, id: Uuid) {
        self.with(name, None, |open| {
            open.subscribers.get_mut(&id)?.joined = true;
            open.delivery.handle(Event::Joined(id))
        });
    }

    /// A subscription ends.
    fn leave(self: &Rc<Self>, name: &str, id: Uuid) {
        self.with(name, None, |open| {
            open.subscribers.remove(&id)?;
            open.delivery.handle(Event::Left(id))
        });
        self.close_unused(name);
    }

    /// Answered once it is on disk.
    async fn ack(self: &Rc<Self>, name: &str, id: Uuid, batch: Option<u64>) -> Result<(), RpcError> {
        let (number, action) = {
            let mut all = self.open.borrow_mut();
            let open = all.get_mut(name).filter(|open| open.subscribers.contains_key(&id)).ok_or_else(|| deleted(name))?;
            let action = open.delivery.ack(id, batch).map_err(|refusal| refused(name, refusal))?;
            open.saving = true;
            (open.number, action)
        };
        let Action::Save(checkpoint) = action else { return Ok(()) };
        let (this, name) = (Rc::clone(self), name.to_owned());
        by_itself(async move {
            let kept = this.save(&name, number, checkpoint).await;
            this.with(&name, Some(number), |open| {
                open.saving = false;
                open.delivery.handle(Event::Saved(kept.is_ok()))
            });
            this.close_unused(&name);
            kept
        })
        .await
    }

    async fn save(&self, name: &str, number: u64, checkpoint: u64) -> Result<(), RpcError> {
        let _shared = self.order.read().await;
        if self.open.borrow().get(name).is_none_or(|open| open.number != number) {
            return Err(deleted(name));
        }
        // From disk: an order whose caller did not hear how it ended may have changed it.
        let row = ListenerRow { checkpoint, ..self.row(name).await? };
        self.keep(name, Some(row)).await
    }

    fn nack(self: &Rc<Self>, name: &str, id: Uuid, batch: Option<u64>) -> Result<(), RpcError> {
        let mut nacked = Err(deleted(name));
        self.with(name, None, |open| {
            open.subscribers.get(&id)?;
            let action = open.delivery.nack(id, batch);
            nacked = action.map(drop).map_err(|refusal| refused(name, refusal));
            action.ok()
        });
        nacked
    }

    /// Does something with an open listener (with `number`, only if it is that one), and what follows from it.
    fn with(self: &Rc<Self>, name: &str, number: Option<u64>, work: impl FnOnce(&mut Open) -> Option<Action>) {
        let follows = {
            let mut all = self.open.borrow_mut();
            let Some(open) = all.get_mut(name).filter(|open| number.is_none_or(|number| open.number == number)) else { return };
            work(open).map(|action| (open.number, action))
        };
        if let Some((number, action)) = follows {
            self.carry_out(name, number, action);
        }
    }

    fn carry_out(self: &Rc<Self>, name: &str, number: u64, action: Action) {
        let (this, name) = (Rc::clone(self), name.to_owned());
        match action {
            Action::Read { above, through } => {
                spawn_local(async move {
                    let read = batch::read(&this.engine, &this.upstream, above, through).await;
                    this.came(&name, number, read);
                });
            }
            Action::Rest(pause) => {
                spawn_local(async move {
                    sleep(pause).await;
                    this.with(&name, Some(number), |open| open.delivery.handle(Event::Tick));
                });
            }
            // What was read is sent where it has come, and what is saved where it was acknowledged.
            Action::Send(_) | Action::Save(_) => {}
        }
    }

    /// A batch was read: it goes out if it is still wanted, and is forgotten.
    fn came(self: &Rc<Self>, name: &str, number: u64, read: Option<Read>) {
        let (found, receipts) = read.unzip();
        self.with(name, Some(number), |open| {
            let action = open.delivery.handle(Event::Read(found));
            let Some(Action::Send(to)) = action else { return action };
            if let (Some(subscriber), Some(receipts), Some(last)) =
                (open.subscribers.get(&to), receipts, found.and_then(|found| found.last))
            {
                say(&subscriber.outbox, render::notification(to, last, &receipts));
            }
            None
        });
    }

    /// One that nobody subscribes to is its row alone.
    fn close_unused(&self, name: &str) {
        let mut all = self.open.borrow_mut();
        if all.get(name).is_some_and(|open| open.subscribers.is_empty() && !open.saving) {
            all.remove(name);
        }
    }

    /// Tells every open listener when there may be more, for as long as there is one.
    fn listen(self: &Rc<Self>) {
        if self.listening.replace(true) {
            return;
        }
        let (listeners, mut news) = (Rc::downgrade(self), self.engine.news());
        spawn_local(async move {
            while news.changed().await.is_ok() {
                let Some(this) = listeners.upgrade() else { return };
                if this.open.borrow().is_empty() {
                    this.listening.set(false);
                    return;
                }
                // One look for all of them. Where the reader is busy each looks for itself.
                let newest =
                    this.engine.readers().run(|store| feed::last_ending(store)).await.ok().and_then(Result::ok).unwrap_or(u64::MAX);
                let names: Vec<String> = this.open.borrow().keys().cloned().collect();
                for name in names {
                    this.with(&name, None, |open| open.delivery.handle(Event::News(newest)));
                }
            }
        });
    }

    /// Has the lag of all listeners looked up; it is shown with the metrics from then on.
    pub(super) fn measure(self: &Rc<Self>) {
        let this = Rc::clone(self);
        spawn_local(async move {
            let read = |store: &S| Ok::<_, storage::StoreError>((feed::listeners(store, LISTENERS_MAX)?, feed::last_ending(store)?));
            // A reader that is busy leaves them as they were.
            let Ok(Ok((rows, newest))) = this.engine.readers().run(read).await else { return };
            let mut measured = this.measured.borrow_mut();
            for (name, row) in rows {
                if measured.len() >= GAUGES_MAX && !measured.contains(&name) {
                    continue;
                }
                measured.insert(name.clone());
                this.metrics.listener_lag.of(&name).set(newest.saturating_sub(row.checkpoint) as f64);
            }
        });
    }
}

/// Carries out in a task of its own what nobody else may do meanwhile: neither a caller that goes away nor a connection that does not read
/// holds it up.
async fn by_itself<T: 'static>(work: impl Future<Output = Result<T, RpcError>> + 'static) -> Result<T, RpcError> {
    spawn_local(work).await.map_err(RpcError::internal)?
}

/// Puts a message behind what the connection is told already.
fn say(outbox: &Outbox, said: Vec<u8>) {
    let outbox = outbox.clone();
    spawn_local(async move {
        // A connection that has ended takes its subscriptions along.
        let _ = outbox.send_async(Outgoing::Say(said)).await;
    });
}

fn deleted(name: &str) -> RpcError {
    RpcError::params(format!("the listener \"{name}\" has been deleted, and the subscription with it"))
}

fn refused(name: &str, refusal: delivery::Refusal) -> RpcError {
    RpcError::params(format!("listener \"{name}\": {refusal}"))
}
