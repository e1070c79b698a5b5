//! The way of a request through the proxy.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Response, StatusCode, upgrade::Upgraded};
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use super::{
    State,
    edit::Edit,
    line::Line,
    machine::{Facts, Item, Needs, Plan},
    upstream::{Unreachable, Upstream},
};
use crate::{
    rpc,
    server::{
        service::{Outcome, Service, Sockets},
        ws,
    },
    tricks::SocketErrand,
};

/// How a request goes on to the node.
pub(super) enum Way<'a> {
    Http,
    WebSocket(&'a mut Line),
}

/// The proxy behind its sockets. Belongs to one thread.
pub(super) struct Front {
    state: Arc<State>,
    pub(super) upstream: Upstream,
    max_body_bytes: usize,
}

impl Service for Front {
    fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    fn sockets(&self) -> &Sockets {
        &self.state.sockets
    }

    async fn answer(&self, body: Bytes) -> Outcome {
        self.process(body, Way::Http).await
    }

    async fn converse(self: Rc<Self>, upgraded: Upgraded) {
        let client = ws::socket(upgraded, self.max_body_bytes).await;
        // Without the node the client sees its socket close, and however a conversation ends.
        if let Ok(node) = self.upstream.websocket().await {
            let _ = Line::new(client, node).converse(&self).await;
        }
    }
}

impl Front {
    pub(super) fn new(state: Arc<State>, upstream: Upstream, max_body_bytes: usize) -> Self {
        Self { state, upstream, max_body_bytes }
    }

    /// By how many blocks the head that is shown lags.
    pub(super) fn head_lag(&self) -> u64 {
        self.state.machine().head_lag
    }

    /// Answers a request, unless a fault strikes it.
    pub(super) async fn process(&self, body: Bytes, way: Way<'_>) -> Outcome {
        let methods = rpc::methods(&body);
        let methods: Vec<&str> = methods.iter().map(AsRef::as_ref).collect();
        let strike = self.state.machine().arrive(&methods);
        let effect = async { self.carry(body.clone(), way).await.unwrap_or_else(|outcome| outcome) };
        self.state.sockets.pass(strike, effect).await
    }

    /// Plans the calls, passes on what is to be passed on, and puts the replies together.
    async fn carry(&self, body: Bytes, mut way: Way<'_>) -> Result<Outcome, Outcome> {
        let Some(mut request) = Request::parse(&body) else {
            return self.forward(body.clone(), &mut way, true).await.map(Outcome::Json);
        };
        let needs = self.state.machine().read(&mut request.items);
        let facts = self.learn(&needs).await.map_err(|error| Outcome::Foreign(Box::new(error.response())))?;
        let mut errand = SocketErrand::default();
        let plans: Vec<Plan> = {
            let mut machine = self.state.machine();
            request.items.iter().map(|item| machine.plan(item, &facts, &mut errand)).collect()
        };
        self.state.sockets.run(errand);
        let wants_reply = |(item, plan): &(&Item<'_>, &Plan)| matches!(plan, Plan::Forward { .. }) && item.call.id.is_some();
        let wants_reply = request.items.iter().zip(&plans).any(|both| wants_reply(&both));
        let untouched = |plan: &Plan| matches!(plan, Plan::Forward { params: None, edit: Edit::None });
        if plans.iter().all(untouched) {
            return self.forward(body.clone(), &mut way, wants_reply).await.map(Outcome::Json);
        }
        let reply = match request.forwarded(&plans) {
            Some(forwarded) => self.forward(forwarded.into(), &mut way, wants_reply).await?,
            None => Bytes::new(),
        };
        let Some(replies) = Replies::parse(&reply) else { return Ok(Outcome::Json(reply)) };
        Ok(Outcome::Json(self.join(&request, plans, replies).into()))
    }

    /// Asks the node for what must be known.
    async fn learn(&self, needs: &Needs) -> Result<Facts, Unreachable> {
        let mut facts = Facts::default();
        if needs.head {
            facts.head = Some(self.upstream.head().await?);
        }
        for sender in &needs.nonces {
            facts.nonces.insert(*sender, self.upstream.nonce(*sender).await?);
        }
        Ok(facts)
    }

    /// Passes a body on and gives the JSON that comes back.
    async fn forward(&self, body: Bytes, way: &mut Way<'_>, wants_reply: bool) -> Result<Bytes, Outcome> {
        match way {
            Way::WebSocket(line) => line.exchange(body, wants_reply, self).await.map_err(|_| Outcome::Cut),
            Way::Http => {
                let foreign = |response| Outcome::Foreign(Box::new(response));
                let response = self.upstream.post(body).await.map_err(|error| foreign(error.response()))?;
                if response.status() == StatusCode::OK {
                    return Ok(response.into_body());
                }
                let (mut head, body) = response.into_parts();
                // They are about the node's connection and not about the client's.
                head.headers.remove(hyper::header::TRANSFER_ENCODING);
                head.headers.remove(hyper::header::CONNECTION);
                Err(foreign(Response::from_parts(head, Full::new(body))))
            }
        }
    }

    /// The reply to a request: answers of the proxy and edited ones of the node, in the order of the calls.
    fn join(&self, request: &Request<'_>, plans: Vec<Plan>, mut replies: Replies<'_>) -> Vec<u8> {
        let mut joined: Vec<Vec<u8>> = Vec::with_capacity(plans.len());
        for (item, plan) in request.items.iter().zip(plans) {
            match plan {
                Plan::Answer(reply) => joined.push(reply),
                Plan::Forward { edit, .. } => {
                    if let Some(raw) = item.call.id.and_then(|id| replies.take(id)) {
                        joined.push(self.edit(raw, edit));
                    }
                }
            }
        }
        joined.extend(replies.rest());
        joined.retain(|reply| !reply.is_empty());
        if request.is_batch && !joined.is_empty() { [b"[", joined.join(&b","[..]).as_slice(), b"]"].concat() } else { joined.concat() }
    }

    fn edit(&self, raw: &RawValue, edit: Edit) -> Vec<u8> {
        let unchanged = || raw.get().as_bytes().to_vec();
        if edit == Edit::None {
            return unchanged();
        }
        let Ok(mut reply) = serde_json::from_str::<Value>(raw.get()) else { return unchanged() };
        let Some(result) = reply.get_mut("result") else { return unchanged() };
        if let Edit::Taken(sent) = edit {
            self.state.machine().replacements.taken(sent);
            return unchanged();
        }
        edit.apply(result);
        reply.to_string().into_bytes()
    }
}

/// A request or a batch, taken apart.
struct Request<'a> {
    items: Vec<Item<'a>>,
    is_batch: bool,
}

impl<'a> Request<'a> {
    /// `None` when something in it is no call: the node has its own words for that.
    fn parse(body: &'a [u8]) -> Option<Self> {
        if body.trim_ascii_start().first() != Some(&b'[') {
            let item = Item::parse(serde_json::from_slice(body).ok()?)?;
            return Some(Self { items: vec![item], is_batch: false });
        }
        let raw: Vec<&RawValue> = serde_json::from_slice(body).ok()?;
        let items: Vec<_> = raw.into_iter().map(Item::parse).collect::<Option<_>>()?;
        (!items.is_empty()).then_some(Self { items, is_batch: true })
    }

    /// What goes on to the node; `None` when nothing does.
    fn forwarded(&self, plans: &[Plan]) -> Option<String> {
        let calls = self.items.iter().zip(plans).filter_map(|(item, plan)| match plan {
            Plan::Answer(_) => None,
            Plan::Forward { params: None, .. } => Some(item.raw.get().to_owned()),
            Plan::Forward { params: Some(params), .. } => Some(with_params(item, params)),
        });
        let calls: Vec<String> = calls.collect();
        match calls.as_slice() {
            [] => None,
            [call] if !self.is_batch => Some(call.clone()),
            calls => Some(format!("[{}]", calls.join(","))),
        }
    }
}

/// A call with other parameters.
fn with_params(item: &Item<'_>, params: &Value) -> String {
    let method = Value::from(item.call.method.as_ref());
    let id = item.call.id.map_or_else(String::new, |id| format!("\"id\":{},", id.get()));
    format!("{{\"jsonrpc\":\"2.0\",{id}\"method\":{method},\"params\":{params}}}")
}

/// The node's replies, by id.
struct Replies<'a>(Vec<Option<(&'a RawValue, &'a RawValue)>>);

#[derive(Deserialize)]
struct Identified<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
}

impl<'a> Replies<'a> {
    /// `None` when it is something else. An empty body holds none.
    fn parse(body: &'a [u8]) -> Option<Self> {
        let raw: Vec<&RawValue> = match body.trim_ascii_start().first() {
            None => Vec::new(),
            Some(b'[') => serde_json::from_slice(body).ok()?,
            Some(_) => vec![serde_json::from_slice(body).ok()?],
        };
        let identified = raw.into_iter().map(|raw| serde_json::from_str::<Identified<'a>>(raw.get()).map(|reply| Some((reply.id, raw))));
        identified.collect::<Result<_, _>>().ok().map(Self)
    }

    /// The reply with this id. Ids that occur twice are taken in the order of the replies.
    fn take(&mut self, id: &RawValue) -> Option<&'a RawValue> {
        let position = self.0.iter().position(|reply| reply.is_some_and(|(known, _)| known.get() == id.get()))?;
        self.0[position].take().map(|(_, raw)| raw)
    }

    /// What nobody asked for by its id: an error about a batch as a whole.
    fn rest(self) -> impl Iterator<Item = Vec<u8>> + use<'a> {
        self.0.into_iter().flatten().map(|(_, raw)| raw.get().as_bytes().to_vec())
    }
}
