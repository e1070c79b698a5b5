//! Starting and stopping: the store first, then what it remembers, then the threads.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alloy::primitives::Address;
use anyhow::{Context, anyhow};
use netio::{Bell, BreakerLimits, Chosen, Counts, Endpoint, Limits, Room, Tenant, Tls};
use storage::{RocksStore, Store, Wake, WriterState, writer};

use super::blobs::PROOFS_WAITING;
use super::{Clock, Engine, EngineParts, Ids, Reservations};
use crate::chain::{ChainStatus, Nodes, Roster};
use crate::config::{BlobProofs, Config, EndpointConfig, NodeConfig, Pin};
use crate::feed::News;
use crate::keys::{Keyring, Signer};
use crate::metrics::Metrics;
use crate::readers::Readers;
use crate::recover::{self, Blocked};
use crate::shard::mailbox::Mailbox;
use crate::shard::{FollowParts, PriceDesk, Shard, ShardParts};
use crate::txmgr::{Census, Recovered, Settings};

/// The threads of a running engine.
pub struct Running {
    stop_shards: Arc<AtomicBool>,
    bells: Vec<Bell>,
    shards: Vec<JoinHandle<anyhow::Result<()>>>,
    /// Readers and provers, each with its way to be ended.
    readers: Vec<(Readers<RocksStore>, JoinHandle<()>)>,
    writer: JoinHandle<()>,
    writer_state: Arc<WriterState>,
    stop: Arc<AtomicBool>,
}

impl Running {
    /// A thread that has ended although nobody stopped it.
    #[must_use]
    pub fn died(&self) -> Option<String> {
        if self.readers.iter().any(|(_, thread)| thread.is_finished()) {
            return Some("a reader has ended".into());
        }
        if self.writer.is_finished() {
            return Some("the submission writer has ended".into());
        }
        let shard = self.shards.iter().position(JoinHandle::is_finished)?;
        Some(format!("shard {shard} has ended"))
    }

    /// Ends the shards, then the readers and the writer; what was handed over is on disk afterwards, and no thread uses the
    /// database any more: one that did while the process exits would find RocksDB's own state gone.
    ///
    /// # Errors
    /// What made a thread end early.
    pub fn stop(self) -> anyhow::Result<()> {
        self.stop_shards.store(true, Ordering::Release);
        self.bells.iter().for_each(Bell::ring);
        let shards: Vec<_> = self.shards.into_iter().map(|shard| shard.join().map_err(|_| anyhow!("a shard panicked"))).collect();
        self.readers.iter().for_each(|(readers, _)| readers.end_one());
        for (_, reader) in self.readers {
            reader.join().map_err(|_| anyhow!("a reader panicked"))?;
        }
        self.stop.store(true, Ordering::Release);
        self.writer_state.wake();
        self.writer.join().map_err(|_| anyhow!("the submission writer panicked"))?;
        shards.into_iter().try_for_each(|shard| shard?)
    }
}

/// Everything of an engine but its threads: the same for production and the simulator.
pub struct Assembly<S: Store> {
    /// The handle.
    pub engine: Engine<S>,
    /// One for each shard, in order.
    pub shards: Vec<ShardParts<S>>,
    /// The writer, to be turned.
    pub writer: storage::Writer<S>,
    /// Set to end the shards; then each of the bells is rung.
    pub stop: Arc<AtomicBool>,
    /// Wakes the shards.
    pub bells: Vec<Bell>,
}

/// What an assembly is made with.
pub struct Surroundings<S: Store> {
    /// The store.
    pub store: S,
    /// Who reads it.
    pub readers: Readers<S>,
    /// Who proves blobs.
    pub provers: Readers<S>,
    /// Keys: whose addresses there are.
    pub keys: Keyring,
    /// What signs with them.
    pub signer: Arc<dyn Signer>,
    /// The wall clock.
    pub clock: Clock,
    /// Tells this process's ids from those of another.
    pub salt: u32,
    /// What is counted.
    pub metrics: Metrics,
}

/// Puts an engine together from what its store holds.
///
/// # Errors
/// The store's, and a node URL that cannot be used.
pub fn assemble<S: Store>(config: &Config, shards: usize, surroundings: Surroundings<S>) -> anyhow::Result<Assembly<S>> {
    let Surroundings { store, readers, provers, keys, signer, clock, salt, metrics } = surroundings;
    let recovered = recover::addresses(&store, shards).context("cannot read what is open from the store")?;
    let blocked = recover::blocked(&store, shards).context("cannot read what depends on what from the store")?;
    keys_of_open_work(&recovered, &blocked, &keys)?;
    let stale_blobs = recover::stale_blobs(&store, config.txmgr.finality_depth).context("cannot read whose blobs the store holds")?;
    let blob_cells = config.txmgr.blob_proofs == BlobProofs::Cells;
    let stored = recover::checkpoint(&store).context("cannot read the checkpoint from the store")?;
    let highest = storage::read::highest_head(&store).context("cannot read the highest block from the store")?;
    let roster = roster(config)?;
    let settings = settings(config);
    let bells: Vec<Bell> = (0..shards).map(|_| Bell::new()).collect();
    let wakes = bells.iter().cloned().map(|bell| Arc::new(move || bell.ring()) as Wake).collect();
    let (writer, links) = writer(store, wakes, config.writer.commits_in_flight).context("cannot start the submission writer")?;
    let writer = writer.with_limits(config.writer.limits());
    let boxes: Vec<_> = bells.iter().map(|bell| Mailbox::new(bell.clone(), config.shards.mailbox)).collect();
    let mailboxes: Vec<Mailbox> = boxes.iter().map(|(mailbox, _, _)| mailbox.clone()).collect();
    let stop = Arc::new(AtomicBool::new(false));
    let reservations = Arc::new(Reservations::default());
    let status = Arc::new(ChainStatus::new());
    let probe_interval = Duration::from_millis(config.node.probe_interval_ms);
    let prices = PriceDesk::default();
    let census = Arc::new(Census::new(shards));
    let news = News::default();
    crate::point::watch_requests();
    let mut stale_blobs = Some(stale_blobs);
    let mut follow = Some(FollowParts {
        oracle: config.gas.oracle().transpose().map_err(|error| anyhow!("gas.oracle_url: {error}"))?.map(Arc::new),
        mailboxes: mailboxes.clone(),
        status: Arc::clone(&status),
        nodes: Nodes::new(roster.len(), config.node.chain_id, config.node.max_lag_blocks, probe_interval),
        poll_interval: Duration::from_millis(config.node.poll_interval_ms),
        ws_poll_interval: Duration::from_millis(config.node.ws_poll_interval_ms),
        probe_interval,
        stored,
        highest,
    });
    let parts = boxes.into_iter().zip(bells.clone()).zip(links).zip(recovered).zip(blocked.watched).enumerate();
    let shards = parts
        .map(|(number, (((((_, mailbox, held), bell), link), recovered), watched))| ShardParts {
            census: (number, Arc::clone(&census)),
            mailbox,
            bell,
            link,
            signer: Arc::clone(&signer),
            sign_timeout: Duration::from_millis(config.keys.sign_timeout_ms),
            readers: readers.clone(),
            settings: settings.clone(),
            run: config.shards.run,
            roster: roster.clone(),
            send_to_all: config.node.send_to_all,
            prices: prices.clone(),
            metrics: metrics.clone(),
            reservations: Arc::clone(&reservations),
            held,
            writer: writer.state(),
            stop: Arc::clone(&stop),
            blob_cells,
            // One shard is as good as another.
            stale_blobs: stale_blobs.take().unwrap_or_default(),
            recovered,
            watched,
            mailboxes: mailboxes.clone(),
            follow: follow.take(),
            news: news.clone(),
        })
        .collect();
    let engine = Engine::new(EngineParts {
        mailboxes,
        readers,
        provers,
        reservations,
        ids: Ids::new(salt),
        keys,
        signer,
        sign_timeout: Duration::from_millis(config.keys.sign_timeout_ms),
        status,
        chain_id: config.node.chain_id,
        writer: writer.state(),
        roster,
        metrics,
        clock,
        census,
        news,
        required_confirmations: config.txmgr.required_confirmations,
        blob_cells,
    });
    Ok(Assembly { engine, shards, writer, stop, bells })
}

/// A request must not fail because the wrong key file was given: nothing is started without the keys of what is open.
fn keys_of_open_work(recovered: &[Vec<Recovered>], blocked: &Blocked, keys: &Keyring) -> anyhow::Result<()> {
    let open = |address: &&Recovered| address.waiting_count > 0 || address.bound.iter().any(|bound| bound.receipt.is_none());
    let recovered = recovered.iter().flatten().filter(open).map(|address| &address.address);
    // What is blocked stands in no queue yet, and will.
    let missing = recovered.chain(&blocked.signers).filter(|address| !keys.contains(address));
    let missing: BTreeSet<&Address> = missing.collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let more = missing.len() - 1;
    Err(anyhow!(
        "no signing key for {first} (and {more} more addresses), which has transactions that are not mined yet: give the keys that were used before (keys.file, keys.mnemonic, keys.count)"
    ))
}

fn roster(config: &Config) -> anyhow::Result<Roster> {
    let tls = authorities(&config.node)?;
    let parsed = |key: String, url: &str| -> anyhow::Result<Arc<Endpoint>> {
        let endpoint: Endpoint = url.parse().map_err(|error| anyhow!("{key}: {error}"))?;
        Ok(Arc::new(match &tls {
            Some(tls) => endpoint.with_tls(tls.clone()),
            None => endpoint,
        }))
    };
    let endpoint = |(key, node): (String, EndpointConfig)| -> anyhow::Result<_> {
        let heads = node.ws_url.as_ref().map(|url| parsed(format!("{key}ws_url"), url)).transpose()?;
        Ok((parsed(format!("{key}url"), &node.url)?, heads))
    };
    let endpoints = config.node.nodes().into_iter().map(endpoint).collect::<Result<Vec<_>, _>>()?;
    let limits = Limits {
        batch_calls: config.node.batch_calls,
        batch_bytes: config.node.batch_bytes,
        request_timeout: Duration::from_millis(config.node.request_timeout_ms),
        ..Limits::default()
    };
    let breaker = BreakerLimits {
        failures_max: config.node.breaker_failures,
        pause_min: Duration::from_millis(config.node.breaker_pause_min_ms),
        pause_max: Duration::from_millis(config.node.breaker_pause_max_ms),
        retry_after_max: Duration::from_millis(config.node.retry_after_max_ms),
    };
    Ok(Roster::new(endpoints, limits, breaker, Arc::new(Counts::new())))
}

/// Whom to trust besides this machine's authorities (`node.ca_file`).
fn authorities(node: &NodeConfig) -> anyhow::Result<Option<Tls>> {
    let Some(file) = &node.ca_file else { return Ok(None) };
    let pem = std::fs::read(file).with_context(|| format!("cannot read node.ca_file {}", file.display()))?;
    Ok(Some(Tls::with_ca(&pem).with_context(|| format!("node.ca_file {}", file.display()))?))
}

fn settings(config: &Config) -> Settings {
    Settings {
        gas: config.gas.clone(),
        txmgr: config.txmgr.clone(),
        lanes: config.node.connections,
        batch_calls: config.node.batch_calls,
        // A raw transaction takes two digits for a byte, and less than 100 around them.
        batch_bytes: config.node.batch_bytes / 2,
    }
}

/// Opens the store, reads what it remembers and starts the threads.
///
/// # Errors
/// A data directory in use or of a newer version, keys that cannot be read, an executor that cannot start: each says what to do.
pub fn start(config: &Config, metrics: Metrics) -> anyhow::Result<(Engine<RocksStore>, Running)> {
    let keys = Keyring::load(&config.keys)?;
    let executor = netio::choose(config.shards.executor)?;
    let processors = netio::processors();
    if config.shards.pin == Pin::Always && processors.is_empty() {
        return Err(anyhow!("shards.pin = true, and the system does not tell which processors this process may use: set it to false"));
    }
    let store = RocksStore::open(Path::new(&config.data_dir), &config.storage)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let shards = config.shards.count_on(cores);
    let (readers, reader_threads) =
        Readers::threads("reader", store.clone(), config.api.readers, config.api.reader_queue).context("cannot start readers")?;
    // One: proofs are work for the processor alone, and the shards need it too.
    let (provers, prover_threads) = Readers::threads("prover", store.clone(), 1, PROOFS_WAITING).context("cannot start the prover")?;
    let clock: Clock = Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    // Two starts of one directory cannot overlap, so the low bits of the clock are enough.
    let salt = clock().subsec_nanos() ^ std::process::id();
    let ends = |readers: &Readers<RocksStore>, threads: Vec<JoinHandle<()>>| -> Vec<_> {
        threads.into_iter().map(|thread| (readers.clone(), thread)).collect()
    };
    let threads = [ends(&readers, reader_threads), ends(&provers, prover_threads)].into_iter().flatten().collect();
    let surroundings = Surroundings { store, readers, provers, signer: Arc::new(keys.clone()), keys, clock, salt, metrics };
    let Assembly { engine, shards, writer, stop: stop_shards, bells } = assemble(config, shards, surroundings)?;
    let writer_state = writer.state();
    let stop = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&stop);
    let persist_retry = Duration::from_millis(config.txmgr.persist_retry_ms);
    let writer = std::thread::Builder::new().name("writer".into()).spawn(move || storage::run(writer, flag, persist_retry))?;
    let pin = config.shards.pin.on(processors.len());
    let shards = shards
        .into_iter()
        .enumerate()
        .map(|(number, parts)| shard_thread(number, executor, pin.then(|| processors[number % processors.len()]), parts))
        .collect::<Result<Vec<_>, _>>()?;
    tracing::info!(shards = shards.len(), ?executor, pinned = pin, profile = config.profile, "running");
    Ok((engine, Running { stop_shards, bells, shards, readers: threads, writer, writer_state, stop }))
}

fn shard_thread<S: Store>(
    number: usize,
    executor: Chosen,
    cpu: Option<usize>,
    parts: ShardParts<S>,
) -> std::io::Result<JoinHandle<anyhow::Result<()>>> {
    std::thread::Builder::new()
        .name(format!("shard-{number}"))
        .spawn(move || netio::open(executor, cpu, Resident(parts)).map_err(|error| anyhow!("shard {number}: {error}")))
}

struct Resident<S: Store>(ShardParts<S>);

impl<S: Store> Tenant for Resident<S> {
    async fn live<R: Room>(self, room: R) {
        Shard::run(room, self.0).await;
    }
}
