//! What becomes of each call: answered here, or passed on, perhaps as another one, and its answer edited.
//!
//! Pure: what it must know of the chain it says first ([`Needs`]) and is then given ([`Facts`]).

use std::collections::{BTreeSet, HashMap};

use alloy::primitives::Address;
use serde_json::{Value, value::RawValue};

use super::{
    Status,
    edit::{Asked, Edit, hex, lag_block, lag_filter},
    replacements::{Replacements, Sent},
};
use crate::{
    error::RpcError,
    faults::Strike,
    json::{self, Object},
    rpc::{self, Call, Params},
    tricks::{Done, SocketErrand, Tricks},
};

/// Methods of the proxy and of the dev chain that control it.
const CONTROL_PREFIX: &str = "devnet_";

/// Methods with a block among their parameters, and where it is.
const BLOCK_PARAMETERS: [(&str, usize); 12] = [
    ("eth_call", 1),
    ("eth_createAccessList", 1),
    ("eth_estimateGas", 1),
    ("eth_feeHistory", 1),
    ("eth_getBalance", 1),
    ("eth_getBlockByNumber", 0),
    ("eth_getBlockReceipts", 0),
    ("eth_getBlockTransactionCountByNumber", 0),
    ("eth_getCode", 1),
    ("eth_getProof", 2),
    ("eth_getStorageAt", 2),
    ("eth_getTransactionCount", 1),
];
/// Further methods that show whether a block is there.
const OTHER_LAGGED: [&str; 5] =
    ["eth_blockNumber", "eth_getBlockByHash", "eth_getLogs", "eth_getTransactionByHash", "eth_getTransactionReceipt"];
const RECEIPT_METHODS: [&str; 2] = ["eth_getBlockReceipts", "eth_getTransactionReceipt"];

/// A call of a request.
pub(super) struct Item<'a> {
    /// Its JSON.
    pub(super) raw: &'a RawValue,
    pub(super) call: Call<'a>,
    /// The transaction it carries, where something depends on it.
    sent: Option<Sent>,
}

impl<'a> Item<'a> {
    pub(super) fn parse(raw: &'a RawValue) -> Option<Self> {
        Some(Self { raw, call: serde_json::from_str(raw.get()).ok()?, sent: None })
    }
}

/// What must be known of the chain before calls can be planned.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The number of the head.
    pub(super) head: bool,
    /// The nonces of these senders in the head's state.
    pub(super) nonces: BTreeSet<Address>,
}

/// What is known of the chain.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) head: Option<u64>,
    pub(super) nonces: HashMap<Address, u64>,
}

/// What becomes of a call.
#[derive(Debug)]
pub(super) enum Plan {
    /// This is its reply; empty for a notification.
    Answer(Vec<u8>),
    /// It is passed on, with other parameters if any are given.
    Forward { params: Option<Value>, edit: Edit },
}

/// What is to be done to calls, and what was.
#[derive(Debug, Default)]
pub(super) struct Machine {
    pub(super) tricks: Tricks,
    pub(super) head_lag: u64,
    pub(super) replacements: Replacements,
    requests: u64,
}

impl Machine {
    /// A request with these methods has come; says what happens to it as a whole.
    pub(super) fn arrive(&mut self, methods: &[&str]) -> Option<Strike> {
        if methods.iter().any(|method| !method.starts_with(CONTROL_PREFIX)) {
            self.requests += 1;
        }
        self.tricks.strike(methods)
    }

    /// Forgets faults, lies, refusals and the head's lag.
    pub(super) fn clear(&mut self) -> usize {
        self.head_lag = 0;
        self.tricks.clear()
    }

    pub(super) fn status(&self) -> Status {
        Status {
            requests: self.requests,
            calls: self.tricks.counts.by_method().clone(),
            faults_waiting: self.tricks.faults.waiting(),
            faults_struck: self.tricks.faults.struck(),
        }
    }

    /// Looks at the calls of a request and says what must be known to plan them.
    pub(super) fn read(&self, items: &mut [Item<'_>]) -> Needs {
        let mut needs = Needs::default();
        for item in items {
            let method: &str = &item.call.method;
            let lagged = BLOCK_PARAMETERS.iter().map(|(name, _)| name).chain(&OTHER_LAGGED).any(|name| *name == method);
            needs.head |= self.head_lag > 0 && lagged;
            needs.head |= self.tricks.lies.lags_receipts() && RECEIPT_METHODS.contains(&method);
            if method == "eth_sendRawTransaction" && (self.replacements.is_enforced() || self.tricks.lies.asks_for_sender(method)) {
                let transaction = Params::parse(item.call.params).ok().and_then(|params| params.raw_transaction());
                item.sent = transaction.map(|(envelope, sender)| Sent::new(&envelope, sender));
                if let Some(sent) = item.sent.filter(|sent| self.replacements.would_replace(sent)) {
                    needs.nonces.insert(sent.sender);
                }
            }
        }
        needs
    }

    /// What becomes of a call.
    pub(super) fn plan(&mut self, item: &Item<'_>, facts: &Facts, errand: &mut SocketErrand) -> Plan {
        let (method, id): (&str, _) = (&item.call.method, item.call.id);
        let params = match Params::parse(item.call.params) {
            Ok(params) => params,
            // The node has its own words for that.
            Err(_) => return Plan::Forward { params: None, edit: Edit::None },
        };
        if let Some(answer) = self.control(method, &params, errand) {
            return Plan::Answer(reply(id, answer));
        }
        if !method.starts_with(CONTROL_PREFIX) {
            self.tricks.counts.count(method);
        }
        if let Some(error) = self.tricks.lies.refused(method, item.sent.map(|sent| sent.sender)) {
            return Plan::Answer(reply(id, Err(error)));
        }
        if let Some(sent) = item.sent.filter(|_| self.replacements.is_enforced()) {
            let nonce = facts.nonces.get(&sent.sender).copied().unwrap_or(0);
            if !self.replacements.allows(&sent, nonce) {
                return Plan::Answer(reply(id, Err(RpcError::underpriced_replacement())));
            }
            return Plan::Forward { params: None, edit: Edit::Taken(sent) };
        }
        self.plan_reading(method, item, facts)
    }

    /// As [`Self::plan`], for a call that changes nothing.
    fn plan_reading(&mut self, method: &str, item: &Item<'_>, facts: &Facts) -> Plan {
        let lagging = facts.head.filter(|_| self.head_lag > 0).map(|head| head.saturating_sub(self.head_lag));
        let mut changed = None;
        if let Some(head) = lagging {
            if method == "eth_blockNumber" {
                return Plan::Answer(reply(item.call.id, Ok(hex(head).to_string().into_bytes())));
            }
            match self.lag_parameters(method, item, head) {
                Ok(params) => changed = params,
                Err(answer) => return Plan::Answer(reply(item.call.id, answer)),
            }
        }
        let until = lagging.map(signed);
        let edit = match (method, until) {
            ("eth_getTransactionCount", _) => match self.tricks.lies.nonce_skew() {
                0 => Edit::None,
                delta => Edit::Skew(delta),
            },
            ("eth_getBlockReceipts" | "eth_getTransactionReceipt", _) => self.receipts(method, until, facts),
            ("eth_getBlockByHash" | "eth_getBlockByNumber", Some(until)) => Edit::Block { until },
            ("eth_getTransactionByHash", Some(until)) => Edit::Transaction { until },
            _ => Edit::None,
        };
        Plan::Forward { params: changed, edit }
    }

    fn receipts(&mut self, method: &str, until: Option<i64>, facts: &Facts) -> Edit {
        let short = method == "eth_getBlockReceipts" && self.tricks.lies.is_short();
        // Taken off its count also where the head could not be learned.
        let lag = self.tricks.lies.receipt_lag();
        let by_lag = facts.head.filter(|_| lag > 0).map(|head| signed(head).saturating_sub(signed(lag)).max(-1));
        let until = [until, by_lag].into_iter().flatten().min();
        if until.is_none() && !short { Edit::None } else { Edit::Receipts { until, short } }
    }

    /// The parameters of a call about the chain as it is shown, if they are others; or the answer, if there is nothing to ask the node.
    #[allow(clippy::type_complexity, reason = "both sides are what the caller goes on with")]
    fn lag_parameters(&self, method: &str, item: &Item<'_>, head: u64) -> Result<Option<Value>, Result<Vec<u8>, RpcError>> {
        let text = item.call.params.map_or("[]", RawValue::get);
        let mut params: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
        if method == "eth_getLogs" {
            if let Some(filter) = params.first_mut() {
                lag_filter(filter, head);
            }
            return Ok(Some(Value::Array(params)));
        }
        let Some((_, at)) = BLOCK_PARAMETERS.iter().find(|(name, _)| *name == method) else { return Ok(None) };
        match lag_block(&mut params, *at, head, method == "eth_getTransactionCount") {
            Asked::There => Ok(Some(Value::Array(params))),
            Asked::NotThereYet if *at == 0 => Err(Ok(b"null".to_vec())),
            Asked::NotThereYet => Err(Err(RpcError::server("header not found"))),
        }
    }

    /// The answer to a control method of the proxy, as JSON.
    fn control(&mut self, method: &str, params: &Params<'_>, errand: &mut SocketErrand) -> Option<Result<Vec<u8>, RpcError>> {
        if !method.starts_with(CONTROL_PREFIX) {
            return None;
        }
        let done = match method {
            "devnet_status" => return Some(Ok(self.status_json())),
            "devnet_lagHead" => params.required(0).map(|blocks| self.head_lag = blocks),
            "devnet_enforceReplacementRule" => params.optional(0).map(|enforced| self.replacements.enforce(enforced.unwrap_or(true))),
            _ => {
                if method == "devnet_clearFaults" {
                    self.head_lag = 0;
                }
                match self.tricks.control(method, params, errand)? {
                    Ok(Done::Count(count)) => {
                        let mut out = Vec::new();
                        json::quantity(&mut out, count);
                        return Some(Ok(out));
                    }
                    Ok(Done::Plain) => Ok(()),
                    Err(error) => Err(error),
                }
            }
        };
        Some(done.map(|()| b"true".to_vec()))
    }

    fn status_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut object = Object::begin(&mut out);
        object.quantity("requests", self.requests);
        object.quantity("calls", self.tricks.counts.by_method().values().sum());
        self.tricks.counts.write(object.name("callsByMethod"));
        object.quantity("faultsWaiting", self.tricks.faults.waiting() as u64);
        object.quantity("faultsStruck", self.tricks.faults.struck());
        object.end();
        out
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A reply with a result in JSON or an error; nothing to a notification.
fn reply(id: Option<&RawValue>, answer: Result<Vec<u8>, RpcError>) -> Vec<u8> {
    let mut out = Vec::new();
    if id.is_none() {
        return out;
    }
    match answer {
        Ok(result) => {
            rpc::begin(&mut out, id);
            out.extend_from_slice(b"\"result\":");
            out.extend_from_slice(&result);
            out.push(b'}');
        }
        Err(error) => rpc::write_error(&mut out, id, &error),
    }
    out
}
