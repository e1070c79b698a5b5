//! A proxy with faults in front of any node: what it is asked it passes on, except where it was told to do worse.
//!
//! ```text
//!            ┌────────────────────────────────────────────┐
//! client ───►│ faults ─► plan ─► forward ─► edit ─► reply │──► any node, HTTP or WebSocket
//!            │ cut, hold  refuse,           lies          │
//!            │ 429        lag                             │
//!            └────────────────────────────────────────────┘
//! ```
//!
//! Faults strike a request as a whole and are the very same code as the dev chain's. Lies and refusals act call by call, also inside
//! a batch (`machine` decides, and has no socket in it). A request that no lie meets is passed on byte by byte. Control methods have
//! the prefix `devnet_` and are answered here; those that the proxy does not know go on to the node, which may be a dev chain.
//!
//! On a WebSocket the requests of one connection are passed on one after the other; what a node tells its subscribers goes through
//! in between.
//!
//! # How it fails
//!
//! A node that cannot be reached is answered with HTTP 502, or with the end of the WebSocket. A reply of the node that is no JSON-RPC
//! is passed on as it is, and no lie is told about it.
//!
//! # Example
//!
//! ```
//! use devnet::{Action, Rule, proxy};
//!
//! let node = devnet::start(devnet::Config::default())?;
//! let proxy = proxy::start(proxy::ProxyConfig::new(node.url()))?;
//! proxy.add_fault(Rule::new("eth_sendRawTransaction", Action::Cut).after_effect()).expect("room for one more");
//! assert!(proxy.url().starts_with("http://127.0.0.1:"));
//! proxy.stop();
//! # Ok::<(), devnet::StartError>(())
//! ```

mod edit;
mod front;
mod line;
mod machine;
mod replacements;
mod upstream;

use std::{
    collections::BTreeMap,
    fmt,
    net::SocketAddr,
    rc::Rc,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{net::TcpListener, runtime::Builder, task::LocalSet};

use self::{front::Front, machine::Machine, upstream::Upstream};
use crate::{
    Handle, Refusal, RpcError, Rule, StartError,
    server::{self, service::Sockets},
    tricks::SocketErrand,
};

/// The settings of a proxy.
#[derive(Clone)]
pub struct ProxyConfig {
    /// Where to listen. Port 0 takes a free port.
    pub listen: SocketAddr,
    /// The node: `http://HOST:PORT`, with a path or without. Its WebSocket is at the same place. A path may be an access key and never
    /// shows in `Debug` output or errors.
    pub upstream: String,
    /// Largest request body or message in bytes; more than any node takes, so that the node's own limit is met.
    pub max_body_bytes: usize,
}

impl ProxyConfig {
    /// A proxy on a free port of the loopback interface in front of the node at `upstream`.
    pub fn new(upstream: impl Into<String>) -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), upstream: upstream.into(), max_body_bytes: 64 * 1024 * 1024 }
    }
}

impl fmt::Debug for ProxyConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ProxyConfig").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// What a proxy was asked and what waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// HTTP requests and WebSocket messages, those that only control the proxy not counted.
    pub requests: u64,
    /// JSON-RPC calls in them, by method. Names beyond 256 are counted together under `(others)`.
    pub calls: BTreeMap<String, u64>,
    /// Faults that wait for a request.
    pub faults_waiting: usize,
    /// Requests that a fault has struck.
    pub faults_struck: u64,
}

/// What the proxy's thread and its owner share. The lock is held for a decision only, never while anything waits.
#[derive(Debug, Default)]
struct State {
    machine: Mutex<Machine>,
    sockets: Sockets,
}

impl State {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A proxy that runs in a thread of this process. Dropping it stops it.
#[derive(Debug)]
pub struct Proxy {
    handle: Handle,
    state: Arc<State>,
}

/// Starts a proxy in a thread of its own and returns when it listens. The node need not be there yet.
///
/// # Errors
///
/// When it cannot listen, the upstream is no address of a node, or no thread can be had.
pub fn start(config: ProxyConfig) -> Result<Proxy, StartError> {
    let state = Arc::new(State::default());
    let shared = Arc::clone(&state);
    let handle = server::in_thread("devnet-proxy", move |ready, stop| run(&config, shared, ready, stop))?;
    Ok(Proxy { handle, state })
}

/// Runs a proxy on this thread until `stop` is ready. `ready` is called once with the address it listens on.
///
/// # Errors
///
/// As `start`.
pub fn serve(config: &ProxyConfig, ready: impl FnOnce(SocketAddr), stop: impl Future<Output = ()>) -> Result<(), StartError> {
    run(config, Arc::default(), ready, stop)
}

fn run(config: &ProxyConfig, state: Arc<State>, ready: impl FnOnce(SocketAddr), stop: impl Future<Output = ()>) -> Result<(), StartError> {
    let upstream = Upstream::new(&config.upstream).ok_or(StartError::Upstream)?;
    let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    LocalSet::new().block_on(&runtime, async {
        let failed = |source| StartError::Listen { addr: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let front = Rc::new(Front::new(state, upstream, config.max_body_bytes));
        ready(addr);
        tokio::select! {
            () = server::accept(listener, &front) => {}
            () = stop => {}
        }
        Ok(())
    })
}

impl Proxy {
    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.handle.addr()
    }

    /// Its URL for HTTP.
    pub fn url(&self) -> String {
        self.handle.url()
    }

    /// Its URL for WebSocket.
    pub fn ws_url(&self) -> String {
        self.handle.ws_url()
    }

    /// Stops it and waits until its thread has ended.
    pub fn stop(self) {
        self.handle.stop();
    }

    /// Adds a fault to come.
    ///
    /// # Errors
    ///
    /// When too many wait already.
    pub fn add_fault(&self, fault: Rule) -> Result<(), RpcError> {
        self.state.machine().tricks.add_fault(fault)
    }

    /// Adds calls that are answered with an error in place of being passed on.
    ///
    /// # Errors
    ///
    /// When too many wait already.
    pub fn fail(&self, refusal: Refusal) -> Result<(), RpcError> {
        self.state.machine().tricks.lies.refuse(refusal)
    }

    /// Lets held replies go.
    pub fn release_held(&self) {
        self.state.sockets.run(SocketErrand { release_held: true, websockets: None });
    }

    /// Forgets faults, lies, refusals and the lag of the head, and releases what is held. Says how many faults and refusals there were.
    pub fn clear_faults(&self) -> usize {
        let cleared = self.state.machine().clear();
        self.release_held();
        cleared
    }

    /// Receipts of the newest `blocks` blocks are `null`, for so many calls or until cleared.
    pub fn set_receipt_lag(&self, blocks: u64, calls: Option<u64>) {
        self.state.machine().tricks.lies.set_receipt_lag(blocks, calls);
    }

    /// `eth_getBlockReceipts` leaves the last receipt out, for so many calls or until cleared.
    pub fn shorten_receipts(&self, calls: Option<u64>) {
        self.state.machine().tricks.lies.set_short_receipts(calls);
    }

    /// `eth_getTransactionCount` is wrong by `delta` but never below zero, for so many calls or until cleared.
    pub fn skew_nonces(&self, delta: i64, calls: Option<u64>) {
        self.state.machine().tricks.lies.set_nonce_skew(delta, calls);
    }

    /// The newest `blocks` blocks are not there yet.
    pub fn lag_head(&self, blocks: u64) {
        self.state.machine().head_lag = blocks;
    }

    /// Whether a replacement of a transaction that was passed on from now on needs 10 % more of both fees, as geth's pool wants it.
    pub fn enforce_replacement_rule(&self, enforced: bool) {
        self.state.machine().replacements.enforce(enforced);
    }

    /// Ends the open WebSockets and takes no new ones.
    pub fn cut_websockets(&self) {
        self.state.sockets.run(SocketErrand { release_held: false, websockets: Some(false) });
    }

    /// Takes WebSockets again.
    pub fn allow_websockets(&self) {
        self.state.sockets.run(SocketErrand { release_held: false, websockets: Some(true) });
    }

    /// What it was asked so far.
    pub fn status(&self) -> Status {
        self.state.machine().status()
    }
}
