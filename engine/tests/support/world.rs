//! An engine, its chain, and a load of transfers whose outcome can be read off the chain.
//!
//! Each transfer has its own recipient and value: a transfer that is missing or mined twice shows in the blocks.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::node::{Node, quantity, text};
use super::{LIMIT, Millrace, Place, any_port, http};

/// Pause between two looks at what can only be asked for.
pub(crate) const POLL: Duration = Duration::from_millis(20);
/// The first three accounts of the test mnemonic.
pub(crate) const SIGNERS: [&str; 3] = [
    "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266",
    "0x70997970c51812dc3a010c7d01b50e0d17dc79c8",
    "0x3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
];
/// Transfers of a load: enough for several requests on every lane.
pub(crate) const LOAD: u64 = 60;
/// Blocks of a chain under load.
pub(crate) const BLOCK_TIME_MS: u64 = 200;

/// An engine and its chain.
pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) config: PathBuf,
    pub(crate) place: Place,
    millrace: Option<Millrace>,
    _chain: Option<devnet::Handle>,
}

impl World {
    /// An engine on this executor and a dev chain, whose blocks come when they are asked for, both ready. `None` where the system does not
    /// allow the executor.
    pub(crate) fn start(executor: &str, more: &str) -> Option<Self> {
        let chain = quiet_chain();
        let node = Node::new(chain.addr());
        Self::with_node(node, &node.url(), executor, more, Some(chain))
    }

    /// As [`World::start`] with a node of its own, which the engine knows under another address.
    pub(crate) fn with_node(node: Node, seen_as: &str, executor: &str, more: &str, chain: Option<devnet::Handle>) -> Option<Self> {
        if executor == "io_uring" && netio::choose(netio::Executor::IoUring).is_err() {
            return None;
        }
        Some(Self::in_place(Place::new(), node, seen_as, executor, more, chain))
    }

    /// An engine in this place, ready, on an executor that the system allows.
    pub(crate) fn in_place(place: Place, node: Node, seen_as: &str, executor: &str, more: &str, chain: Option<devnet::Handle>) -> Self {
        let config = place.hasty_config(seen_as, executor, more);
        let mut world = Self { node, config, place, millrace: None, _chain: chain };
        world.restart();
        world
    }

    /// Starts the engine on its directory and waits until it is ready.
    pub(crate) fn restart(&mut self) {
        self.millrace = Some(Millrace::start(&self.place, &self.config));
        let start = Instant::now();
        loop {
            let (status, reasons) = self.millrace().get("/readyz");
            if status == 200 {
                return;
            }
            assert!(start.elapsed() < LIMIT, "never ready: {reasons}");
            std::thread::sleep(POLL);
        }
    }

    /// Starts the engine where it is about to crash; whether it came to listen before that.
    pub(crate) fn start_to_die(&mut self) -> bool {
        match Millrace::try_start(&self.place, &self.config) {
            Ok(millrace) => self.millrace = Some(millrace),
            Err(status) => assert!(was_killed(status), "{status}"),
        }
        self.millrace.is_some()
    }

    /// Waits until the engine has crashed, if it has not yet.
    pub(crate) fn wait_for_its_crash(&mut self) {
        if let Some(millrace) = self.millrace.take() {
            let (status, said) = millrace.end();
            assert!(was_killed(status), "{status}: {said}");
        }
    }

    pub(crate) fn millrace(&self) -> &Millrace {
        self.millrace.as_ref().expect("the engine runs")
    }

    /// Where the facade listens.
    pub(crate) fn facade(&self) -> SocketAddr {
        let file = self.place.data_dir().join("facade.addr");
        std::fs::read_to_string(file).expect("the facade's address file").trim().parse().expect("an address")
    }

    /// A call to the facade; gives the whole reply.
    pub(crate) fn eth(&self, method: &str, params: &Value) -> Value {
        let request = http::post("Content-Type: application/json\r\n", &http::call(method, params));
        let (_, reply) = http::exchange(self.facade(), request.as_bytes()).expect("the facade answers");
        serde_json::from_str(&reply).unwrap_or_else(|error| panic!("{error}: {reply}"))
    }

    pub(crate) fn kill(&mut self) {
        self.millrace.take().expect("the engine runs").kill();
    }

    /// Stops the engine cleanly; gives its exit code.
    pub(crate) fn stop(&mut self) -> Option<i32> {
        self.millrace.take().expect("the engine runs").stop().code()
    }

    /// Blocks come by the clock from now on.
    pub(crate) fn flow(&self) {
        self.node.ask("devnet_setBlockTime", &json!([BLOCK_TIME_MS]));
    }

    /// Seals so many blocks and waits until the engine has read them.
    pub(crate) fn mine(&self, blocks: u64) {
        self.node.ask("devnet_mine", &json!([blocks]));
        let head = self.node.head();
        self.wait_until("the engine reads the block", || self.metric("millrace_head_block_number") >= head);
    }

    pub(crate) fn fault(&self, fault: &Value) {
        self.node.ask("devnet_addFault", &json!([fault]));
    }

    /// Waits for something that only shows when asked for.
    pub(crate) fn wait_until(&self, what: &str, mut reached: impl FnMut() -> bool) {
        let start = Instant::now();
        while !reached() {
            assert!(start.elapsed() < LIMIT, "waited in vain until {what}; transactions: {:#}", self.transactions());
            std::thread::sleep(POLL);
        }
    }

    /// A metric without labels, rounded down.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let (_, metrics) = self.millrace().get("/metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value: f64 = line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no metric {name}: {metrics}"));
        value as u64
    }

    /// Submits the transfers `numbers` in lists of ten, as one caller would; gives their ids.
    pub(crate) fn submit(&self, numbers: impl Iterator<Item = u64>) -> Vec<String> {
        let transfers: Vec<Value> = numbers.map(transfer).collect();
        transfers.chunks(10).flat_map(|list| self.submit_list(list)).collect()
    }

    fn submit_list(&self, list: &[Value]) -> Vec<String> {
        let reply = self.millrace().call("ptx_sendTransactions", &json!([list]));
        let ends = reply["result"].as_array().unwrap_or_else(|| panic!("{reply}"));
        ends.iter().map(|end| end["id"].as_str().unwrap_or_else(|| panic!("not accepted: {end}")).to_owned()).collect()
    }

    /// Submits one transaction; gives its id.
    pub(crate) fn send(&self, transaction: &Value) -> String {
        let reply = self.millrace().call("ptx_sendTransaction", &json!([transaction]));
        reply["result"].as_str().unwrap_or_else(|| panic!("not accepted: {reply}")).to_owned()
    }

    pub(crate) fn full(&self, id: &str) -> Value {
        self.millrace().call("ptx_getTransactionFull", &json!([id]))["result"].clone()
    }

    /// Waits until it has this status; gives the whole object.
    pub(crate) fn wait_for_status(&self, id: &str, status: &str) -> Value {
        let start = Instant::now();
        loop {
            let full = self.full(id);
            if full["status"] == status {
                return full;
            }
            assert!(start.elapsed() < LIMIT, "never {status}: {full:#}");
            std::thread::sleep(POLL);
        }
    }

    /// Everything the engine knows.
    pub(crate) fn transactions(&self) -> Value {
        self.millrace().call("ptx_queryTransactions", &json!([{"limit": 1000}]))["result"]["transactions"].clone()
    }

    /// Waits until every one of these is confirmed.
    pub(crate) fn wait_for_confirmed(&self, ids: &[String]) {
        let wanted: BTreeSet<_> = ids.iter().cloned().collect();
        self.wait_until("all are confirmed", || {
            let transactions = self.transactions();
            let transactions = transactions.as_array().expect("transactions");
            assert!(transactions.iter().all(|transaction| transaction["status"] != "fatal_error"), "{transactions:#?}");
            let confirmed = transactions.iter().filter(|transaction| transaction["status"] == "confirmed");
            confirmed.filter(|transaction| wanted.contains(&text(&transaction["id"]))).count() == wanted.len()
        });
    }

    /// Waits until these are confirmed, whatever becomes of others.
    pub(crate) fn wait_for_confirmed_among(&self, ids: &[String]) {
        for id in ids {
            self.wait_for_status(id, "confirmed");
        }
    }

    /// The promise: all transfers of the load are confirmed, each is on the chain exactly once, nothing else of our addresses is, and no nonce
    /// is left out.
    pub(crate) fn exactly_once(&self, ids: &[String]) {
        self.exactly_once_beside(ids, &BTreeSet::new());
    }

    /// As [`World::exactly_once`], where transactions with these hashes are on the chain too: others have signed them with our keys.
    pub(crate) fn exactly_once_beside(&self, ids: &[String], foreign: &BTreeSet<String>) {
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "an id for each transfer");
        self.wait_for_confirmed(ids);
        let hashes = self.node.gapless();
        let mined = self.node.mined();
        let ours =
            SIGNERS.iter().filter_map(|signer| mined.get(*signer)).flatten().filter(|mined| !foreign.contains(&text(&mined["hash"])));
        let mut paid: Vec<_> = ours.map(|mined| (text(&mined["to"]), quantity(&mined["value"]))).collect();
        paid.sort();
        let mut asked: Vec<_> = (0..ids.len() as u64).map(|number| (recipient(number), number + 1)).collect();
        asked.sort();
        assert_eq!(paid, asked, "every transfer once, and no other");
        for transaction in self.transactions().as_array().expect("transactions") {
            assert!(hashes.contains(&text(&transaction["receipt"]["transactionHash"])), "{transaction:#}");
        }
    }
}

/// Whether a process ended as a crash ends one.
fn was_killed(status: ExitStatus) -> bool {
    status.signal() == Some(Signal::SIGKILL as i32)
}

/// A dev chain whose blocks come when they are asked for.
pub(crate) fn quiet_chain() -> devnet::Handle {
    let config = devnet::Config { listen: any_port(), block_time: Duration::ZERO, ..devnet::Config::default() };
    devnet::start(config).expect("a dev chain")
}

/// Who gets the transfer with this number, and no other one.
pub(crate) fn recipient(number: u64) -> String {
    format!("0x{:040x}", 0x1000_0000 + number)
}

/// The transfer with this number: sender, recipient, value and idempotency key follow from it.
pub(crate) fn transfer(number: u64) -> Value {
    let from = SIGNERS[usize::try_from(number).expect("a small number") % SIGNERS.len()];
    json!({"from": from, "to": recipient(number), "value": number + 1, "gas": 21000, "idempotencyKey": key(number)})
}

pub(crate) fn key(number: u64) -> String {
    format!("load-{number:03}")
}
