//! What a user would write instead: an alloy provider with the fillers it recommends, that sends a transaction and waits for its
//! receipt, so many at a time.
//!
//! The fillers ask the node for gas and price of each transaction. In place of the default nonce filler, which asks for the nonce
//! each time and gives one nonce to two transactions of an address that are sent at once, stands alloy's own cached one.

use std::path::PathBuf;
use std::rc::Rc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alloy::network::{EthereumWallet, TransactionBuilder as _};
use alloy::providers::{Provider, ProviderBuilder};
use alloy::rpc::types::TransactionRequest;
use anyhow::{Context, ensure};
use clap::Args;
use serde::Serialize;
use tokio::task::LocalSet;

use crate::clock::process_cpu_us;
use crate::transfers::{Transfers, signers};

/// How long one transaction may take until its receipt.
const PATIENCE: Duration = Duration::from_secs(20);

/// Options of `end_to_end alloy`.
#[derive(Args, Debug)]
pub(crate) struct AlloyOptions {
    /// HTTP JSON-RPC address of the node.
    #[arg(long)]
    node: String,
    /// Key file written by `load fund`.
    #[arg(long)]
    keys: PathBuf,
    /// Transactions at a time.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,
    /// How long new ones are begun.
    #[arg(long)]
    seconds: f64,
}

/// What `end_to_end alloy` prints.
#[derive(Debug, Default, Serialize)]
struct Alloy {
    concurrency: u16,
    /// Transactions with a good receipt.
    confirmed: u64,
    /// Transactions without one.
    failed: u64,
    /// From the first send to the last receipt, s.
    seconds: f64,
    /// CPU time of all threads in that time, µs.
    cpu_us: f64,
    /// Why the first one failed.
    error: Option<String>,
}

/// What the tasks share.
struct Work<P> {
    provider: P,
    transfers: Transfers,
    next: AtomicU64,
    end: Instant,
    /// The failure that came first: those after it are often its consequence.
    error: OnceLock<String>,
}

impl<P: Provider> Work<P> {
    /// Sends one after the other until the time is over, or one fails: the nonces behind it would wait for ever.
    async fn send_all(&self) -> (u64, bool) {
        let mut confirmed = 0;
        while Instant::now() < self.end {
            let sent = tokio::time::timeout(PATIENCE, self.send(self.next.fetch_add(1, Ordering::Relaxed)));
            match sent.await.unwrap_or_else(|_| Err(anyhow::anyhow!("no receipt within {} s", PATIENCE.as_secs()))) {
                Ok(()) => confirmed += 1,
                Err(error) => {
                    // Whether it was the first does not matter here.
                    let _ = self.error.set(format!("{error:#}"));
                    return (confirmed, true);
                }
            }
        }
        (confirmed, false)
    }

    async fn send(&self, number: u64) -> anyhow::Result<()> {
        let (from, to, value) = self.transfers.parts(number);
        let transaction = TransactionRequest::default().with_from(from).with_to(to).with_value(value);
        let receipt = self.provider.send_transaction(transaction).await?.get_receipt().await?;
        ensure!(receipt.status(), "{} has failed", receipt.transaction_hash);
        Ok(())
    }
}

/// Carries out `end_to_end alloy`.
pub(crate) async fn alloy(options: &AlloyOptions) -> anyhow::Result<String> {
    let mut wallet = EthereumWallet::default();
    let mut senders = Vec::new();
    for signer in signers(&options.keys)? {
        senders.push(signer.address());
        wallet.register_signer(signer);
    }
    let url = options.node.parse().with_context(|| format!("`{}` is not an address", options.node))?;
    let provider = ProviderBuilder::new()
        .disable_recommended_fillers()
        .with_gas_estimation()
        .with_blob_gas_estimation()
        .with_cached_nonce_management()
        .fetch_chain_id()
        .wallet(wallet)
        .connect_http(url);
    let (cpu_us, began) = (process_cpu_us(), Instant::now());
    let end = began + Duration::try_from_secs_f64(options.seconds).context("--seconds is no length of time")?;
    let work = Work { provider, transfers: Transfers::new(senders), next: AtomicU64::new(0), end, error: OnceLock::new() };
    let work = Rc::new(work);
    let local = LocalSet::new();
    let tasks: Vec<_> = (0..options.concurrency)
        .map(|_| {
            let work = Rc::clone(&work);
            local.spawn_local(async move { work.send_all().await })
        })
        .collect();
    local.await;
    let mut result = Alloy { concurrency: options.concurrency, ..Alloy::default() };
    for task in tasks {
        let (confirmed, has_failed) = task.await.context("a task failed")?;
        result.confirmed += confirmed;
        result.failed += u64::from(has_failed);
    }
    result.error = work.error.get().cloned();
    (result.seconds, result.cpu_us) = (began.elapsed().as_secs_f64(), process_cpu_us() - cpu_us);
    Ok(serde_json::to_string(&result)?)
}
