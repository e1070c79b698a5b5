//! The subscriptions of one WebSocket, and the calls about listeners.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;
use serde_json::value::RawValue;
use storage::Store;
use uuid::Uuid;

use super::render::{CreateParams, New, QueryParams, ended, name};
use super::{Listeners, say};
use crate::api::params;
use crate::jsonrpc::Outbox;
use crate::jsonrpc::error::{METHOD_NOT_FOUND, RpcError};
use crate::jsonrpc::quantity::{Text, shortened};

/// Most subscriptions of one connection: each can hold a batch for a client that does not read.
const SUBSCRIPTIONS_MAX: usize = 16;

/// What a WebSocket has; its subscriptions end with it.
pub(crate) struct Session<S: Store> {
    listeners: Rc<Listeners<S>>,
    outbox: Outbox,
    subscriptions: Subscriptions,
}

/// The subscriptions of a WebSocket: each, and the listener it is to.
type Subscriptions = Rc<RefCell<Vec<(Uuid, String)>>>;

/// A subscription as its listener knows it.
pub(super) struct Subscriber {
    pub(super) outbox: Outbox,
    /// All that its connection has.
    among: Subscriptions,
    /// It has been answered, and is delivered to.
    pub(super) joined: bool,
}

impl Subscriber {
    /// Its listener has been deleted.
    pub(super) fn end(self, id: Uuid, listener: &str) {
        self.among.borrow_mut().retain(|(other, _)| *other != id);
        // One that its client does not know of yet is told behind its answer.
        if self.joined {
            tell_end(&self.outbox, id, listener);
        }
    }
}

fn tell_end(outbox: &Outbox, id: Uuid, listener: &str) {
    say(outbox, ended(id, format!("the listener \"{listener}\" has been deleted")));
}

/// One message of a WebSocket: what it subscribes to is delivered once it has been answered, behind that answer.
pub(in crate::api) struct Message<'a, S: Store> {
    session: &'a Session<S>,
    subscribed: RefCell<Vec<(Uuid, String)>>,
}

impl<S: Store> Session<S> {
    pub(in crate::api) fn new(listeners: Rc<Listeners<S>>, outbox: Outbox) -> Self {
        Self { listeners, outbox, subscriptions: Subscriptions::default() }
    }

    /// A message has come.
    pub(in crate::api) const fn message(&self) -> Message<'_, S> {
        Message { session: self, subscribed: RefCell::new(Vec::new()) }
    }

    async fn subscribe(&self, listener: &str) -> Result<Uuid, RpcError> {
        if self.subscriptions.borrow().len() >= SUBSCRIPTIONS_MAX {
            return Err(RpcError::params(format!(
                "this connection has {SUBSCRIPTIONS_MAX} subscriptions, which is the limit: end one, or open another connection"
            )));
        }
        let id = self.listeners.new_id();
        // It counts from now on, and ends with the session.
        self.subscriptions.borrow_mut().push((id, listener.to_owned()));
        let subscriber = Subscriber { outbox: self.outbox.clone(), among: Rc::clone(&self.subscriptions), joined: false };
        let entered = self.listeners.subscribe(listener, id, subscriber).await;
        if entered.is_err() {
            self.subscriptions.borrow_mut().retain(|(other, _)| *other != id);
        }
        entered.map(|()| id)
    }

    /// True if there was one.
    fn unsubscribe(&self, id: Uuid) -> bool {
        let mut subscriptions = self.subscriptions.borrow_mut();
        let Some(place) = subscriptions.iter().position(|(other, _)| *other == id) else { return false };
        let (_, listener) = subscriptions.swap_remove(place);
        self.listeners.leave(&listener, id);
        true
    }

    /// The listener that a subscription is to.
    fn listener(&self, id: Uuid) -> Result<String, RpcError> {
        let subscriptions = self.subscriptions.borrow();
        let found = subscriptions.iter().find(|(other, _)| *other == id);
        found.map(|(_, listener)| listener.clone()).ok_or_else(|| {
            RpcError::params(format!(
                "subscription: {id} is none of this connection, or has ended with its listener; give what ptx_subscribe returned on it"
            ))
        })
    }
}

impl<S: Store> Drop for Session<S> {
    fn drop(&mut self) {
        for (id, listener) in self.subscriptions.borrow_mut().drain(..) {
            self.listeners.leave(&listener, id);
        }
    }
}

impl<S: Store> Message<'_, S> {
    async fn subscribe(&self, listener: String) -> Result<Uuid, RpcError> {
        let id = self.session.subscribe(&listener).await?;
        self.subscribed.borrow_mut().push((id, listener));
        Ok(id)
    }

    /// The answer is there: what was subscribed to is delivered from now on.
    pub(in crate::api) fn answered(self) {
        for (id, listener) in self.subscribed.into_inner() {
            if self.session.listener(id).is_ok() {
                self.session.listeners.join(&listener, id);
            } else {
                tell_end(&self.session.outbox, id, &listener);
            }
        }
    }
}

/// A call about listeners.
#[derive(Debug)]
pub(in crate::api) enum Call {
    Create(New),
    Start(String),
    Stop(String),
    Delete(String),
    Get(String),
    Query(QueryParams),
    Subscribe(String),
    Unsubscribe(Uuid),
    Ack(Uuid, Option<u64>),
    Nack(Uuid, Option<u64>),
}

impl Call {
    /// `[listener]`, to be created.
    pub(in crate::api) fn create(given: Option<&RawValue>) -> Result<Self, RpcError> {
        const USAGE: &str = "[{name, started?, filters?: {sequenceAbove?, type?}}]";
        params::single::<CreateParams<'_>>(given, USAGE)?.checked().map(Self::Create)
    }

    /// `[name]`.
    pub(in crate::api) fn name(given: Option<&RawValue>) -> Result<String, RpcError> {
        name(params::single::<Text<'_>>(given, "[name]")?)
    }

    /// `[{…}]`, or nothing for all.
    pub(in crate::api) fn query(given: Option<&RawValue>) -> Result<Self, RpcError> {
        let query = match given.map(RawValue::get).map(str::trim) {
            None | Some("[]") => QueryParams::default(),
            Some(_) => params::single(given, "[{started?, limit?}]")?,
        };
        Ok(Self::Query(query))
    }

    /// `["receipts", name]`.
    pub(in crate::api) fn subscribe(given: Option<&RawValue>) -> Result<Self, RpcError> {
        let (what, listener) = params::elements::<(Text<'_>, Text<'_>)>(given, "[\"receipts\", name]")?;
        if what.0 != "receipts" {
            return Err(RpcError::params(format!("type: \"{}\" cannot be subscribed to; write \"receipts\"", shortened(&what.0))));
        }
        name(listener).map(Self::Subscribe)
    }

    /// `[subscription]`.
    pub(in crate::api) fn unsubscribe(given: Option<&RawValue>) -> Result<Self, RpcError> {
        subscription(&params::single::<Text<'_>>(given, "[subscription]")?).map(Self::Unsubscribe)
    }

    /// `[subscription, batchId?]`.
    pub(in crate::api) fn batch(given: Option<&RawValue>) -> Result<(Uuid, Option<u64>), RpcError> {
        const USAGE: &str = "[subscription, batchId?]";
        match params::parse::<Vec<&RawValue>>(params::given(given, USAGE)?).as_deref() {
            Ok([_]) => Ok((subscription(&params::single::<Text<'_>>(given, USAGE)?)?, None)),
            _ => {
                let (text, batch) = params::elements::<(Text<'_>, Option<u64>)>(given, USAGE)?;
                Ok((subscription(&text)?, batch))
            }
        }
    }

    /// The answer, as JSON. `message`: the one of a WebSocket that it came in.
    pub(in crate::api) async fn answer<S: Store>(
        self,
        listeners: &Rc<Listeners<S>>,
        message: Option<&Message<'_, S>>,
    ) -> Result<Box<RawValue>, RpcError> {
        let message = || {
            message
                .ok_or_else(|| RpcError::new(METHOD_NOT_FOUND, "subscriptions work over a WebSocket only: connect with ws:// to this port"))
        };
        let session = || message().map(|message| message.session);
        match self {
            Self::Create(new) => listeners.create(new).await?,
            Self::Start(name) => listeners.start(&name, true).await?,
            Self::Stop(name) => listeners.start(&name, false).await?,
            Self::Delete(name) => listeners.delete(&name).await?,
            Self::Get(name) => return json(listeners.get(&name).await?),
            Self::Query(query) => return json(listeners.query(&query).await?),
            Self::Subscribe(name) => return json(message()?.subscribe(name).await?),
            Self::Unsubscribe(id) => return json(session()?.unsubscribe(id)),
            Self::Ack(id, batch) => listeners.ack(&session()?.listener(id)?, id, batch).await?,
            Self::Nack(id, batch) => listeners.nack(&session()?.listener(id)?, id, batch)?,
        }
        json(true)
    }
}

fn subscription(text: &Text<'_>) -> Result<Uuid, RpcError> {
    Uuid::try_parse(&text.0)
        .map_err(|_| RpcError::params(format!("subscription: \"{}\" is no UUID; give what ptx_subscribe returned", shortened(&text.0))))
}

fn json(value: impl Serialize) -> Result<Box<RawValue>, RpcError> {
    serde_json::value::to_raw_value(&value).map_err(RpcError::internal)
}
