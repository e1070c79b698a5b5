//! The simulated node: one chain behind two machines, HTTP that fails in every way it can, heads by WebSocket, and a price oracle.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use alloy::primitives::{Address, B256};
use engine::keys::Keyring;
use engine::txmgr::{ByStage, Census};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::DuplexStream;

use crate::chain::{BASE_FEE, BLOB_SPIKE, Block, Chain, hex};
use crate::executor::{Executor, Process};
use crate::faults::{Fault, Tally};
use crate::signer::Signatures;

/// Whose tasks outlive the engine's crashes.
pub(crate) const WORLD: Process = Process(0);
/// Another chain's id.
const OTHER_CHAIN_ID: u64 = 4242;

/// By which host name the node is spoken to: the same chain and pool, seen through two machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    /// Its head is the chain's.
    First,
    /// Its head is some blocks behind, or it is a machine of another chain.
    Second,
    /// Not the node: a price oracle.
    Oracle,
}

/// The node.
pub(crate) struct Node {
    executor: Executor,
    /// The keys of the engine, which others have too.
    keys: Keyring,
    takes_batches: bool,
    chain: RefCell<Chain>,
    down_until: Cell<Duration>,
    second_down_until: Cell<Duration>,
    /// The first machine takes no WebSocket.
    heads_cut_until: Cell<Duration>,
    oracle_fails_until: Cell<Duration>,
    /// Who hears of new heads.
    listeners: RefCell<Vec<flume::Sender<String>>>,
    /// Blocks that the second door's head is behind.
    second_lag: usize,
    second_is_of_another_chain: bool,
    faults: RefCell<Vec<Fault>>,
    tally: RefCell<Tally>,
    /// Stages of the engine that runs now.
    census: RefCell<Option<Arc<Census>>>,
    /// How often somebody has sent a transaction.
    pub(crate) sends: Cell<u64>,
    /// No block is sealed.
    pub(crate) rests: Cell<bool>,
    /// Most blocks that leave the chain at once: what is deeper is final.
    pub(crate) reorg_depth_max: Cell<u64>,
}

impl Node {
    /// A node with a first block.
    pub(crate) fn new(executor: Executor, keys: Keyring, signatures: Signatures) -> Self {
        let old = executor.below(8) == 0;
        let takes_batches = executor.below(8) != 0;
        let second_lag = usize::try_from(executor.below(6)).unwrap_or(0);
        let second_is_of_another_chain = executor.below(8) == 0;
        Self {
            keys,
            takes_batches,
            executor,
            chain: RefCell::new(Chain::new(old, signatures)),
            down_until: Cell::default(),
            second_down_until: Cell::default(),
            heads_cut_until: Cell::default(),
            oracle_fails_until: Cell::default(),
            listeners: RefCell::default(),
            second_lag,
            second_is_of_another_chain,
            faults: RefCell::default(),
            tally: RefCell::default(),
            census: RefCell::default(),
            sends: Cell::default(),
            rests: Cell::default(),
            reorg_depth_max: Cell::new(1),
        }
    }

    /// Blocks at random times, about one a second, for ever.
    pub(crate) async fn mine(self: Rc<Self>) {
        loop {
            let pause = self.executor.between(Duration::from_millis(300), Duration::from_millis(1500));
            self.executor.sleep(pause).await;
            if self.rests.get() {
                continue;
            }
            self.chain.borrow_mut().mine(&self.executor);
            self.tell_head();
        }
    }

    /// Tells of the newest block; now and then not.
    fn tell_head(&self) {
        if self.executor.below(16) == 0 {
            return;
        }
        let (chain, mut listeners) = (self.chain.borrow(), self.listeners.borrow_mut());
        let (number, hash) = (chain.head(), chain.blocks.last().map(|block| block.hash));
        let head = json!({"number": hex(number), "hash": hash}).to_string();
        listeners.retain(|listener| listener.send(head.clone()).is_ok());
    }

    /// The heads from now on; `None` while WebSockets are cut.
    pub(crate) fn listen(&self) -> Option<flume::Receiver<String>> {
        if self.executor.now() < self.heads_cut_until.get() || self.is_down(Door::First) {
            return None;
        }
        let (sender, receiver) = flume::unbounded();
        self.listeners.borrow_mut().push(sender);
        Some(receiver)
    }

    /// A fault of the node or of the way to it; those of a request hit the next one.
    pub(crate) fn fault(&self, fault: Fault) {
        let now = self.executor.now();
        let mut chain = self.chain.borrow_mut();
        match fault {
            Fault::DropOne => {
                let place = usize::try_from(self.executor.below(chain.pool.len() as u64)).unwrap_or(0);
                let Some(key) = chain.pool.keys().nth(place).copied() else { return };
                chain.pool.remove(&key);
            }
            Fault::DropAll if chain.pool.is_empty() => return,
            Fault::DropAll => chain.pool.clear(),
            Fault::ReceiptsLag => {
                // From five looks of the follower on.
                chain.receipts_lag = self.executor.between(Duration::from_millis(500), Duration::from_secs(3));
                chain.receipts_lag_until = now + Duration::from_secs(4);
            }
            Fault::NodeDown => {
                self.down_until.set(now + self.executor.between(Duration::from_millis(100), Duration::from_secs(4)));
                self.listeners.borrow_mut().clear();
            }
            Fault::SecondDown => {
                self.second_down_until.set(now + self.executor.between(Duration::from_millis(100), Duration::from_secs(4)));
            }
            Fault::NodeRestarts => {
                self.down_until.set(now + self.executor.between(Duration::from_millis(20), Duration::from_millis(500)));
                self.listeners.borrow_mut().clear();
                chain.pool.clear();
            }
            Fault::Reorg | Fault::ReorgLoses => {
                let most = self.reorg_depth_max.get();
                let depth = self.executor.below(most) + 1;
                let length = self.executor.below(depth + 2);
                drop(chain);
                if !self.reorganise(depth, length, most, fault == Fault::Reorg) {
                    return;
                }
            }
            Fault::Rival => {
                let Some(address) = self.address() else { return };
                let (count, salt) = (self.executor.below(3) + 1, self.executor.below(u64::MAX));
                chain.strangers(address, count, salt);
            }
            Fault::Authorized | Fault::AuthorizedInVain => {
                let Some(address) = self.address() else { return };
                chain.authorize(&self.keys, address, fault == Fault::AuthorizedInVain, &self.executor);
            }
            Fault::HeadsCut => {
                // Up to twenty blocks.
                self.heads_cut_until.set(now + self.executor.between(Duration::from_millis(500), Duration::from_secs(20)));
                self.listeners.borrow_mut().clear();
            }
            Fault::OracleFails => {
                self.oracle_fails_until.set(now + self.executor.between(Duration::from_millis(500), Duration::from_secs(6)));
            }
            Fault::FeeRises => chain.base_fee = BASE_FEE * u128::from(self.executor.below(8) + 2),
            Fault::FeeSpike => {
                chain.spike = BASE_FEE * u128::from(self.executor.below(70) + 30);
                chain.blob_spike = BLOB_SPIKE * (self.executor.below(2));
                chain.spike_until = now + self.executor.between(Duration::from_secs(1), Duration::from_secs(15));
            }
            Fault::PriceUnknown => {
                chain.price_unknown_until = now + self.executor.between(Duration::from_millis(500), Duration::from_secs(5));
            }
            Fault::ReceiptsShort => {
                chain.receipts_short_until = now + self.executor.between(Duration::from_millis(500), Duration::from_secs(3));
            }
            Fault::FundsDrained => {
                let Some(address) = self.address() else { return };
                chain.drained = Some((address, now + self.executor.between(Duration::from_millis(500), Duration::from_secs(8))));
            }
            Fault::Invalid => {
                // Counted when it meets a transaction.
                chain.refuse_next = true;
                return;
            }
            request => {
                self.faults.borrow_mut().push(request);
                return;
            }
        }
        self.note(fault);
    }

    /// One of our addresses, from the seed.
    fn address(&self) -> Option<Address> {
        let place = usize::try_from(self.executor.below(self.keys.addresses().count() as u64)).unwrap_or(0);
        self.keys.addresses().nth(place)
    }

    /// See [`Chain::reorganise`].
    pub(crate) fn reorganise(&self, depth: u64, length: u64, most: u64, requeue: bool) -> bool {
        let done = self.chain.borrow_mut().reorganise(depth, length, most, requeue, &self.executor);
        if done {
            self.tell_head();
        }
        done
    }

    /// Number of the newest block.
    pub(crate) fn head(&self) -> u64 {
        self.chain.borrow().head()
    }

    /// The hash of a block.
    pub(crate) fn hash(&self, number: u64) -> Option<B256> {
        let place = usize::try_from(number).ok()?;
        Some(self.chain.borrow().blocks.get(place)?.hash)
    }

    /// No more faults.
    pub(crate) fn calm(&self) {
        self.faults.borrow_mut().clear();
        self.down_until.set(Duration::ZERO);
        self.second_down_until.set(Duration::ZERO);
        self.heads_cut_until.set(Duration::ZERO);
        self.oracle_fails_until.set(Duration::ZERO);
        let mut chain = self.chain.borrow_mut();
        chain.spike_until = Duration::ZERO;
        chain.blobs_calm = true;
        chain.receipts_lag_until = Duration::ZERO;
        chain.price_unknown_until = Duration::ZERO;
        chain.receipts_short_until = Duration::ZERO;
        chain.drained = None;
        chain.refuse_next = false;
    }

    /// Counts a fault that happens now.
    pub(crate) fn note(&self, fault: Fault) {
        self.tally.borrow_mut().note(fault, self.stages());
    }

    /// Whose stages faults meet from now on; `None` while no engine runs.
    pub(crate) fn watch(&self, census: Option<Arc<Census>>) {
        *self.census.borrow_mut() = census;
    }

    /// Transactions of the running engine, by stage.
    pub(crate) fn stages(&self) -> ByStage {
        self.census.borrow().as_ref().map(|census| census.by_stage()).unwrap_or_default()
    }

    /// The address has sent that many transactions before the first block.
    pub(crate) fn used_before(&self, address: Address, count: u64) {
        self.chain.borrow_mut().nonces.insert(address, count);
    }

    /// The node called a transaction to this recipient invalid.
    pub(crate) fn refused(&self, recipient: &Address) -> bool {
        self.chain.borrow().refused.contains(recipient)
    }

    /// What the pool was sent and should not have been, in words, since the last call.
    pub(crate) fn take_broken(&self) -> Vec<String> {
        std::mem::take(&mut self.chain.borrow_mut().broken)
    }

    /// What happened.
    pub(crate) fn tally(&self) -> Tally {
        self.tally.borrow().clone()
    }

    /// Nobody can connect, and connections end.
    pub(crate) fn is_down(&self, door: Door) -> bool {
        let until = match door {
            Door::First => &self.down_until,
            Door::Second => &self.second_down_until,
            Door::Oracle => return false,
        };
        self.executor.now() < until.get()
    }

    /// All blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        self.chain.borrow().blocks.clone()
    }

    /// Nonces of an address that others used and that left the chain again.
    pub(crate) fn opened_again(&self, address: &Address) -> u64 {
        self.chain.borrow().opened_again.get(address).copied().unwrap_or(0)
    }

    /// Serves one connection until it ends.
    pub(crate) fn serve(self: &Rc<Self>, door: Door, stream: DuplexStream) {
        let node = Rc::clone(self);
        self.executor.spawn(WORLD, async move {
            let service = hyper::service::service_fn(|request| node.answer(door, request));
            // A connection that is cut ends with an error, as it should.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }

    /// The oracle's answer: its price in gwei, or a failure.
    fn oracle(&self) -> Response<Full<bytes::Bytes>> {
        let (now, chain) = (self.executor.now(), self.chain.borrow());
        if now < self.oracle_fails_until.get() || now < chain.price_unknown_until {
            let nonsense = ["", "null", r#"{"fast": "none"}"#, r#"{"fast": -1, "tip": 0}"#];
            let text = nonsense[usize::try_from(self.executor.below(nonsense.len() as u64)).unwrap_or(0)];
            return Response::new(Full::from(text));
        }
        let price = 2 * chain.price(now) / BASE_FEE + 1;
        Response::new(Full::from(json!({"fast": price, "tip": 1}).to_string()))
    }

    async fn answer(&self, door: Door, request: Request<Incoming>) -> Result<Response<Full<bytes::Bytes>>, Cut> {
        let body = request.into_body().collect().await.map_err(|_| Cut)?.to_bytes();
        self.executor.sleep(self.executor.between(Duration::ZERO, Duration::from_millis(5))).await;
        if self.is_down(door) {
            return Err(Cut);
        }
        if door == Door::Oracle {
            return Ok(self.oracle());
        }
        let fault = self.faults.borrow_mut().pop();
        if let Some(fault) = fault {
            self.note(fault);
        }
        match fault {
            Some(Fault::CutBefore) => return Err(Cut),
            Some(Fault::Throttle) => {
                let throttled = Response::builder().status(429).header("retry-after", "1").body(Full::default());
                return throttled.map_err(|_| Cut);
            }
            Some(Fault::Twice) => drop(self.calls(door, &body)),
            _ => {}
        }
        let reply = self.calls(door, &body);
        match fault {
            Some(Fault::CutAfter) => return Err(Cut),
            Some(Fault::Late) => self.executor.sleep(Duration::from_secs(3)).await,
            _ => self.executor.sleep(self.executor.between(Duration::ZERO, Duration::from_millis(5))).await,
        }
        Ok(Response::new(Full::from(reply)))
    }

    fn calls(&self, door: Door, body: &[u8]) -> String {
        match serde_json::from_slice::<Value>(body) {
            Ok(Value::Array(_)) if !self.takes_batches => {
                json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "batch requests are not supported"}}).to_string()
            }
            Ok(Value::Array(calls)) => Value::Array(calls.iter().map(|call| self.call(door, call)).collect()).to_string(),
            Ok(call) => self.call(door, &call).to_string(),
            Err(error) => json!({"jsonrpc": "2.0", "id": null, "error": {"code": -32700, "message": error.to_string()}}).to_string(),
        }
    }

    fn call(&self, door: Door, call: &Value) -> Value {
        let params = &call["params"];
        let refused = self.chain.borrow().refused.len();
        let (now, method) = (self.executor.now(), call["method"].as_str().unwrap_or_default());
        self.sends.set(self.sends.get() + u64::from(method == "eth_sendRawTransaction"));
        let lag = if door == Door::Second { self.second_lag } else { 0 };
        let result = match method {
            "eth_chainId" if door == Door::Second && self.second_is_of_another_chain => Ok(json!(hex(OTHER_CHAIN_ID))),
            method => self.chain.borrow_mut().seen_behind(lag, method, params, now),
        };
        if self.chain.borrow().refused.len() > refused {
            self.note(Fault::Invalid);
        }
        match result {
            Ok(result) => json!({"jsonrpc": "2.0", "id": call["id"], "result": result}),
            Err((code, message)) => json!({"jsonrpc": "2.0", "id": call["id"], "error": {"code": code, "message": message}}),
        }
    }
}

/// The connection is cut.
#[derive(Debug)]
struct Cut;

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut")
    }
}

impl std::error::Error for Cut {}

impl From<Infallible> for Cut {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
