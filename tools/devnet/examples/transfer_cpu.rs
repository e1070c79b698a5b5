//! What a transfer costs the dev chain, as a ratio to recovering its sender, which no node can avoid.
//!
//! Two regimes, both on pre-signed transfers and with the CPU clock of the chain's thread alone:
//!
//! - *in process*: admission, sealing, and the block's receipts written once;
//! - *over HTTP*: the same, sent in JSON-RPC batches of 200, with the system's share for the socket.
//!
//! `cargo run --release --example transfer_cpu [TRANSFERS]`

use std::{error::Error, fs, net::SocketAddr, thread, time::Duration};

use alloy::{
    consensus::{SignableTransaction, TxEip1559, TxEnvelope, crypto::secp256k1::recover_signer},
    eips::{Decodable2718, Encodable2718},
    hex,
    primitives::{Address, TxKind, U256},
    signers::{SignerSync, local::PrivateKeySigner},
};
use bytes::Bytes;
use devnet::{Config, Mnemonic, Node, accounts};
use http_body_util::{BodyExt, Full};
use hyper::{Request, client::conn::http1};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{net::TcpStream, runtime::Builder, sync::oneshot};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Failure = Box<dyn Error + Send + Sync>;

/// Enough that the clock's grain and the start do not show.
const TRANSFERS: usize = 20_000;
/// As many senders as a small deployment has.
const SENDERS: u32 = 64;
/// Transfers between two blocks of the run in process: a second at a few thousand a second.
const TRANSFERS_PER_BLOCK: usize = 2_000;
/// Chains that the run over HTTP starts one after the other, with recoveries between them.
const ROUNDS: usize = 5;
/// Calls of an HTTP batch.
const BATCH: usize = 200;

fn main() -> Result<(), Failure> {
    let transfers = std::env::args().nth(1).map_or(Ok(TRANSFERS), |count| count.parse())?;
    let signers = accounts::derive(&Mnemonic::new(accounts::TEST_MNEMONIC), SENDERS)?;
    let raw = signed(&signers, transfers)?;
    println!("                    transfer   recovery   ratio");
    let report = |name: &str, us: f64, recovery_us: f64| {
        println!("{name:18} {us:6.2} us  {recovery_us:6.2} us   {:5.2}", us / recovery_us);
    };
    let (us, recovery_us) = in_process(&raw)?;
    report("in process", us, recovery_us);
    let (us, recovery_us) = rounds_over_http(&raw[..transfers / ROUNDS])?;
    report("over HTTP", us, recovery_us);
    Ok(())
}

fn config() -> Config {
    // Blocks stay less than half full, so that the base fee falls and every transfer is included.
    Config { accounts: SENDERS, gas_limit: 2_000_000_000, block_time: Duration::from_millis(200), ..Config::default() }
}

fn signed(signers: &[PrivateKeySigner], transfers: usize) -> Result<Vec<Vec<u8>>, Failure> {
    (0..transfers)
        .map(|number| {
            let tx = TxEip1559 {
                chain_id: Config::default().chain_id,
                nonce: (number / signers.len()) as u64,
                gas_limit: 21_000,
                max_fee_per_gas: 10_000_000_000,
                max_priority_fee_per_gas: 1_000_000_000,
                to: TxKind::Call(Address::repeat_byte(0x42)),
                value: U256::from(1),
                ..TxEip1559::default()
            };
            let signature = signers[number % signers.len()].sign_hash_sync(&tx.signature_hash())?;
            Ok(TxEnvelope::from(tx.into_signed(signature)).encoded_2718())
        })
        .collect()
}

/// CPU time this thread has used, from the scheduler's account.
fn thread_cpu() -> Result<Duration, Failure> {
    let account = fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns = account.split_whitespace().next().ok_or("the scheduler's account is empty")?;
    Ok(Duration::from_nanos(ns.parse()?))
}

fn us_each(start: Duration, end: Duration, count: usize) -> f64 {
    (end - start).as_secs_f64() * 1e6 / count as f64
}

/// CPU of recovering a sender in microseconds, with everything else done beforehand.
fn recovery(raw: &[Vec<u8>]) -> Result<f64, Failure> {
    let mut signed = Vec::with_capacity(raw.len());
    for raw in raw {
        let tx = TxEnvelope::decode_2718(&mut raw.as_slice())?;
        signed.push((*tx.signature(), tx.signature_hash()));
    }
    let start = thread_cpu()?;
    for (signature, hash) in &signed {
        std::hint::black_box(recover_signer(signature, *hash)?);
    }
    Ok(us_each(start, thread_cpu()?, signed.len()))
}

/// CPU of a transfer and of a recovery in microseconds. They take turns, so that both see the same machine.
fn in_process(raw: &[Vec<u8>]) -> Result<(f64, f64), Failure> {
    let mut node = Node::new(&config())?;
    let (mut spent_us, mut recovery_us) = (0.0, 0.0);
    for batch in raw.chunks(TRANSFERS_PER_BLOCK) {
        let share = batch.len() as f64 / raw.len() as f64;
        recovery_us += recovery(batch)? * share;
        let start = thread_cpu()?;
        for raw in batch {
            node.send_raw(raw)?;
        }
        let taken = node.seal();
        assert_eq!(taken, batch.len(), "every transfer is included");
        let request = br#"{"jsonrpc":"2.0","id":1,"method":"eth_getBlockReceipts","params":["latest"]}"#;
        std::hint::black_box(node.respond(request));
        spent_us += us_each(start, thread_cpu()?, batch.len()) * share;
    }
    Ok((spent_us, recovery_us))
}

/// CPU of a transfer and of a recovery in microseconds, each the mean over the rounds.
fn rounds_over_http(raw: &[Vec<u8>]) -> Result<(f64, f64), Failure> {
    let (mut spent_us, mut recovery_us) = (0.0, 0.0);
    for _ in 0..ROUNDS {
        recovery_us += recovery(raw)? / ROUNDS as f64;
        spent_us += over_http(raw)? / ROUNDS as f64;
    }
    Ok((spent_us, recovery_us))
}

fn over_http(raw: &[Vec<u8>]) -> Result<f64, Failure> {
    let bodies: Vec<Bytes> = raw.chunks(BATCH).map(batch_body).collect();
    let (stop, stopped) = oneshot::channel::<()>();
    let (mut start, mut client) = (Ok(Duration::ZERO), None);
    let transfers = raw.len();
    devnet::serve(
        &config(),
        |addr| {
            client = Some(thread::spawn(move || {
                let result = Builder::new_current_thread().enable_all().build().map_err(Failure::from);
                let result = result.and_then(|runtime| runtime.block_on(blast(addr, bodies, transfers)));
                drop(stop);
                result
            }));
            start = thread_cpu();
        },
        async {
            // The client drops its end when it has seen all receipts.
            let _ = stopped.await;
        },
    )?;
    let end = thread_cpu()?;
    client.ok_or("the server never listened")?.join().map_err(|_| "the client panicked")??;
    Ok(us_each(start?, end, transfers))
}

fn batch_body(batch: &[Vec<u8>]) -> Bytes {
    let calls: Vec<Value> = batch
        .iter()
        .enumerate()
        .map(|(id, raw)| {
            let params = [hex::encode_prefixed(raw)];
            json!({"jsonrpc": "2.0", "id": id, "method": "eth_sendRawTransaction", "params": params})
        })
        .collect();
    Value::from(calls).to_string().into()
}

/// Sends all batches over one connection, then reads each block's receipts once.
async fn blast(addr: SocketAddr, bodies: Vec<Bytes>, transfers: usize) -> Result<(), Failure> {
    let stream = TcpStream::connect(addr).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut post = async |body: Bytes| -> Result<Bytes, Failure> {
        let request = Request::post("/").header("host", "devnet").body(Full::new(body))?;
        Ok(sender.send_request(request).await?.into_body().collect().await?.to_bytes())
    };
    for body in bodies {
        let reply = post(body).await?;
        assert!(!reply.windows(7).any(|part| part == b"\"error\""), "{}", String::from_utf8_lossy(&reply));
    }
    let (mut seen, mut block) = (0, 1_u64);
    while seen < transfers {
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_getBlockReceipts", "params": [format!("{block:#x}")]});
        let reply: Value = serde_json::from_slice(&post(call.to_string().into()).await?)?;
        match reply["result"].as_array() {
            Some(receipts) => (seen, block) = (seen + receipts.len(), block + 1),
            // Not sealed yet: blocks come by the clock.
            None => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    drop(sender);
    connection.await??;
    Ok(())
}
