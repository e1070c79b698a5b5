//! The `millrace` command.
//!
//! `run` reads the settings, takes the port, starts the engine, and serves on the control thread until it is told to stop:
//!
//! ```text
//! settings ─► log ─► port ─► engine (store, writer, shards, readers) ─► api.addr ─► serve … SIGTERM ─► finish requests ─► stop the engine
//! ```
//!
//! **How it fails.** What is wrong at start ends the process with exit code 1 and one clear line: settings, port taken, data directory
//! in use or of a newer version, bad keys. A node that is away does not: the process waits for it, is not ready, and says so. If a thread of
//! the engine dies, the process stops with exit code 1; what was acknowledged is on disk and goes on at the next start.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, Parser, Subcommand};
use engine::api::{self, Api};
use engine::config::{Config, LogConfig, LogFormat};
use engine::doctor;
use engine::engine::{Engine, Running};
use engine::facade::{self, Facade};
use engine::keys::Keyring;
use engine::metrics::Metrics;
use metrics_exporter_prometheus::PrometheusHandle;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use storage::RocksStore;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};
use tracing_subscriber::EnvFilter;

#[cfg(not(feature = "system-allocator"))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How often the control thread looks after the engine: readiness for the log, threads that died, histograms to fold.
const HOUSEKEEPING: Duration = Duration::from_secs(1);
/// Holds the bound address, in the data directory, while the process runs.
const ADDRESS_FILE: &str = "api.addr";
/// The same for the facade.
const FACADE_ADDRESS_FILE: &str = "facade.addr";

/// Takes Ethereum transactions and gets each one mined exactly once.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the engine until SIGTERM or SIGINT.
    Run(Settings),
    /// Check the settings and the keys, show all settings that are in effect, and start nothing.
    CheckConfig(Settings),
    /// Look at this machine as the engine would find it, and say what to change. Exit code 1 if something keeps it from running well.
    Doctor(DoctorOptions),
}

#[derive(Args)]
struct DoctorOptions {
    #[command(flatten)]
    settings: Settings,
    /// Print JSON in place of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Settings {
    /// TOML file with the settings.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// One setting; wins over file and environment (MILLRACE_SECTION__KEY). Repeatable.
    #[arg(long, value_name = "SECTION.KEY=VALUE")]
    set: Vec<String>,
}

fn main() -> ExitCode {
    engine::allocator::keep_pages();
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(settings) => run(&settings).map(|()| true),
        Command::CheckConfig(settings) => check_config(&settings).map(|()| true),
        Command::Doctor(options) => examine(&options),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(io::stderr(), "millrace: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn check_config(settings: &Settings) -> anyhow::Result<()> {
    let config = Config::load(&settings.config, &settings.set)?;
    log_filter(&config.log)?;
    let keys = Keyring::load(&config.keys)?;
    let addresses = keys.addresses().count();
    writeln!(
        io::stdout(),
        "the settings are good: {addresses} signing addresses, node chain id {}",
        match config.node.chain_id {
            Some(id) => id.to_string(),
            None => "as the node says".into(),
        }
    )?;
    writeln!(io::stdout(), "\n# in effect, from the profile, the file, the environment and --set:\n\n{}", config.shown()?)?;
    Ok(())
}

/// `false` if something is wrong with the machine.
fn examine(options: &DoctorOptions) -> anyhow::Result<bool> {
    let config = Config::load(&options.settings.config, &options.settings.set)?;
    let report = doctor::examine(&config);
    if options.json {
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        writeln!(io::stdout(), "{report}")?;
    }
    Ok(!report.has_problem())
}

fn run(settings: &Settings) -> anyhow::Result<()> {
    keep_memory_private().context("cannot keep keys out of core files")?;
    let config = Config::load(&settings.config, &settings.set)?;
    start_log(&config.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let listener = runtime.block_on(listen("api.listen", &config.api.listen))?;
    let address = listener.local_addr()?;
    let facade_listener = config.facade.listen.as_ref().map(|address| runtime.block_on(listen("facade.listen", address))).transpose()?;
    let facade_address = facade_listener.as_ref().map(TcpListener::local_addr).transpose()?;
    let (metrics, prometheus) = Metrics::install()?;
    let (engine, running) = engine::engine::start(&config, metrics.clone())?;
    let (address_file, facade_file) = (config.data_dir.join(ADDRESS_FILE), config.data_dir.join(FACADE_ADDRESS_FILE));
    write_address(&address_file, address)?;
    if let Some(address) = facade_address {
        write_address(&facade_file, address)?;
        tracing::info!(%address, "the facade listens");
    }
    tracing::info!(%address, data_dir = %config.data_dir.display(), "listening");

    let api = Api::new(&config, engine.clone(), metrics.clone(), prometheus.clone());
    let control = async {
        let (stop, stopped) = watch::channel(false);
        let facade = facade_listener.map(|listener| {
            let facade = Facade::new(&config, engine.clone(), metrics);
            tokio::task::spawn_local(facade::serve(listener, facade, stopped.clone()))
        });
        let server = tokio::task::spawn_local(api::serve(listener, api, stopped));
        let ended = watch_over(&engine, &running, &prometheus).await;
        // Nobody receives it only if the server has ended already.
        let _ = stop.send(true);
        server.await.context("the API server panicked")?;
        if let Some(facade) = facade {
            facade.await.context("the facade panicked")?;
        }
        ended
    };
    let ended = LocalSet::new().block_on(&runtime, control);
    drop(engine);
    let stopped = running.stop();
    // Gone already, or left behind: the next start writes them anew.
    let _ = std::fs::remove_file(&address_file);
    let _ = std::fs::remove_file(&facade_file);
    tracing::info!("stopped");
    match (ended, stopped) {
        // The thread's own reason, behind what was seen of it from outside.
        (Err(ended), Err(reason)) => Err(reason.context(ended.to_string())),
        (ended, stopped) => ended.and(stopped),
    }
}

/// Returns when the process should stop: `Err` if it has to.
async fn watch_over(engine: &Engine<RocksStore>, running: &Running, prometheus: &PrometheusHandle) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut housekeeping = interval(HOUSEKEEPING);
    housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reasons_told = vec!["starting".to_owned()];
    loop {
        tokio::select! {
            _ = terminate.recv() => return told("SIGTERM"),
            _ = interrupt.recv() => return told("SIGINT"),
            _ = housekeeping.tick() => {
                prometheus.run_upkeep();
                if let Some(reason) = running.died() {
                    return Err(anyhow!("{reason}; start again: what was acknowledged is on disk"));
                }
                let reasons = engine.not_ready();
                if reasons != reasons_told {
                    tell_readiness(&reasons);
                    reasons_told = reasons;
                }
            }
        }
    }
}

fn told(signal: &str) -> anyhow::Result<()> {
    tracing::info!(signal, "stopping");
    Ok(())
}

fn tell_readiness(reasons: &[String]) {
    if reasons.is_empty() {
        tracing::info!("ready");
    } else {
        tracing::warn!(reasons = reasons.join("; "), "not ready");
    }
}

/// Takes a port; `key` is the setting that names it.
async fn listen(key: &str, address: &str) -> anyhow::Result<TcpListener> {
    let address: SocketAddr = address.parse()?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "{key} is open to other machines and asks for no password: whoever reaches it can send from every signing address"
        );
    }
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address} ({key}): stop the process that has the port, or choose another one"))
}

/// Written whole or not at all: whoever waits for the file must not read half an address.
fn write_address(file: &Path, address: SocketAddr) -> anyhow::Result<()> {
    let unfinished = file.with_extension("addr.new");
    let written = std::fs::write(&unfinished, format!("{address}\n")).and_then(|()| std::fs::rename(&unfinished, file));
    written.with_context(|| format!("cannot write {}", file.display()))
}

fn log_filter(log: &LogConfig) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(&log.filter)
        .with_context(|| format!("log.filter = \"{}\" is no filter: write a level, or target=level pairs after commas", log.filter))
}

fn start_log(log: &LogConfig) -> anyhow::Result<()> {
    let builder = tracing_subscriber::fmt().with_env_filter(log_filter(log)?).with_writer(io::stderr);
    let started = match log.format {
        LogFormat::Human => builder.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    started.map_err(|error| anyhow!("cannot start the log: {error}"))
}

/// Signing keys are in this process's memory: no core file, and no other process of the user may read it.
fn keep_memory_private() -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0)?;
    prctl::set_dumpable(false)
}
