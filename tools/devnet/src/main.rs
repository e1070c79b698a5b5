//! The dev chain and the proxy as a program: settings from the command line, one line when it listens, a clean end on SIGTERM.

use std::{
    cell::RefCell,
    fs,
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use alloy::primitives::{U256, utils::Unit};
use clap::Parser;
use devnet::{Config, Mnemonic, accounts::TEST_MNEMONIC, proxy::ProxyConfig};
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An Ethereum dev chain in memory: JSON-RPC over HTTP and WebSocket on one port.
#[derive(Parser)]
#[command(name = "devnet", version, args_conflicts_with_subcommands = true)]
struct Args {
    #[command(subcommand)]
    command: Option<Subcommand>,
    #[command(flatten)]
    chain: ChainArgs,
}

#[derive(clap::Subcommand)]
enum Subcommand {
    /// A proxy with faults in front of any node, in place of a chain.
    Proxy(ProxyArgs),
}

#[derive(clap::Args)]
struct ProxyArgs {
    /// Address to listen on; port 0 takes a free port.
    #[arg(long, default_value = "127.0.0.1:8546")]
    listen: SocketAddr,
    /// The node, as http://HOST:PORT; its WebSocket is at the same place.
    #[arg(long, env = "DEVNET_UPSTREAM", hide_env_values = true)]
    upstream: String,
    /// File to write the address to once it listens.
    #[arg(long)]
    addr_file: Option<PathBuf>,
}

#[derive(clap::Args)]
struct ChainArgs {
    /// Address to listen on; port 0 takes a free port.
    #[arg(long, default_value = "127.0.0.1:8545")]
    listen: SocketAddr,
    /// Time between blocks in milliseconds; 0 seals only on `devnet_mine`.
    #[arg(long, default_value_t = 1_000)]
    block_time_ms: u64,
    /// Chain id.
    #[arg(long, default_value_t = Config::default().chain_id)]
    chain_id: u64,
    /// Gas limit of a block.
    #[arg(long, default_value_t = Config::default().gas_limit)]
    gas_limit: u64,
    /// Base fee of the genesis block in wei.
    #[arg(long, default_value_t = Config::default().base_fee_wei)]
    base_fee_wei: u64,
    /// Phrase of the dev accounts; the default is the public test phrase.
    #[arg(long, default_value = TEST_MNEMONIC, hide_default_value = true)]
    mnemonic: String,
    /// Number of dev accounts.
    #[arg(long, default_value_t = Config::default().accounts)]
    accounts: u32,
    /// Balance of each dev account in ether.
    #[arg(long, default_value_t = 1_000_000)]
    balance_ether: u64,
    /// Executable transactions an account keeps for sure when the pool is over `--global-slots`.
    #[arg(long, default_value_t = Config::default().account_slots)]
    account_slots: usize,
    /// Transactions behind a nonce gap that an account may have.
    #[arg(long, default_value_t = Config::default().account_queue)]
    account_queue: usize,
    /// Executable transactions in the pool before the busiest accounts are cut.
    #[arg(long, default_value_t = Config::default().global_slots)]
    global_slots: usize,
    /// Mined transactions kept in memory.
    #[arg(long, default_value_t = Config::default().history_transactions)]
    history_transactions: usize,
    /// Largest JSON-RPC batch.
    #[arg(long, default_value_t = Config::default().max_batch)]
    max_batch: usize,
    /// Largest request body in bytes.
    #[arg(long, default_value_t = Config::default().max_body_bytes)]
    max_body_bytes: usize,
    /// File to write the address to once it listens.
    #[arg(long)]
    addr_file: Option<PathBuf>,
}

impl ChainArgs {
    fn config(&self) -> Config {
        Config {
            listen: self.listen,
            block_time: Duration::from_millis(self.block_time_ms),
            chain_id: self.chain_id,
            gas_limit: self.gas_limit,
            base_fee_wei: self.base_fee_wei,
            mnemonic: Mnemonic::new(self.mnemonic.as_str()),
            accounts: self.accounts,
            balance_wei: U256::from(self.balance_ether) * Unit::ETHER.wei(),
            account_slots: self.account_slots,
            account_queue: self.account_queue,
            global_slots: self.global_slots,
            history_transactions: self.history_transactions,
            max_batch: self.max_batch,
            max_body_bytes: self.max_body_bytes,
            ..Config::default()
        }
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    let addr_file = match &args.command {
        None => args.chain.addr_file.as_deref(),
        Some(Subcommand::Proxy(proxy)) => proxy.addr_file.as_deref(),
    };
    let unheard = RefCell::new(None);
    let ready = |addr| *unheard.borrow_mut() = announce(addr, addr_file).err();
    let stop = async {
        // A node that nobody can find is of no use.
        if unheard.borrow().is_none() {
            stop_signal().await;
        }
    };
    let result = match &args.command {
        None => devnet::serve(&args.chain.config(), ready, stop),
        Some(Subcommand::Proxy(proxy)) => {
            let config = ProxyConfig { listen: proxy.listen, ..ProxyConfig::new(proxy.upstream.as_str()) };
            devnet::proxy::serve(&config, ready, stop)
        }
    };
    let failure = match (result, unheard.take()) {
        (Ok(()), None) => return ExitCode::SUCCESS,
        (Err(error), _) => error.to_string(),
        (Ok(()), Some(error)) => format!("cannot say where it listens: {error}"),
    };
    // Nothing can be done when even this cannot be written.
    let _ = writeln!(io::stderr(), "devnet: {failure}");
    ExitCode::FAILURE
}

/// Says where it listens: in the file first, so that it is there for whoever reads the line.
fn announce(addr: SocketAddr, file: Option<&Path>) -> io::Result<()> {
    file.map_or(Ok(()), |file| fs::write(file, addr.to_string()))?;
    let mut stdout = io::stdout();
    writeln!(stdout, "listening on {addr}")?;
    stdout.flush()
}

/// Ready when the process is asked to end.
async fn stop_signal() {
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                // Without a handler for it, the system ends the process.
                _ = ctrl_c() => {}
            }
        }
        Err(_) => drop(ctrl_c().await),
    }
}
