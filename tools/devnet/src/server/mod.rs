//! The sockets of a node: HTTP and WebSocket on one port, blocks by interval, all on one thread.
//!
//! A request is read, answered and written without a lock or a channel, because nothing else runs meanwhile. Sealing a
//! block runs on the same thread between requests; a block of ten thousand transfers keeps them waiting for about ten
//! milliseconds.
//!
//! Fails at the start only: a port that is taken, a mnemonic that is none, a gas limit of nothing, no thread. A broken connection ends alone.

pub(crate) mod http;
pub(crate) mod service;
mod shared;
pub(crate) mod ws;

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use alloy::signers::local::LocalSignerError;
use tokio::{
    net::TcpListener,
    runtime::Builder,
    sync::{Semaphore, oneshot},
    task::{LocalSet, spawn_local},
    time::sleep,
};

use self::{service::Service, shared::Shared};
use crate::{Config, Node};

/// Open connections at a time; more wait to be accepted. Clients that open one for each request and keep it come to a thousand and more.
/// Where the process may not open as many descriptors, the next connection waits for one.
const CONNECTIONS_MAX: usize = 4096;
/// Wait after an accept that failed for lack of descriptors: no event tells when one is free.
const ACCEPT_RETRY: Duration = Duration::from_millis(10);

/// Why a dev chain or a proxy could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}; choose another address, or port 0 for a free port")]
    Listen {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The mnemonic is no BIP-39 phrase.
    #[error("the mnemonic is not valid: {0}; give an English BIP-39 phrase")]
    Mnemonic(#[from] LocalSignerError),
    /// The gas limit is too small for any block.
    #[error("a gas limit of {0} is below the least, 5000; choose a higher one")]
    GasLimit(u64),
    /// No thread or event loop could be had.
    #[error("cannot start the server's thread: {0}")]
    Thread(io::Error),
    /// The upstream of a proxy is not an address of a node.
    #[error("the upstream is not of the form http://HOST:PORT or http://HOST:PORT/PATH")]
    Upstream,
    /// The thread ended before it listened.
    #[error("the server's thread ended before it listened")]
    Ended,
}

/// A dev chain or a proxy that runs in a thread of this process. Dropping it stops it.
#[derive(Debug)]
pub struct Handle {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Handle {
    /// The address it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its URL for HTTP.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Its URL for WebSocket.
    pub fn ws_url(&self) -> String {
        format!("ws://{}", self.addr)
    }

    /// Stops it and waits until its thread has ended.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the server was printed by its thread; there is nothing to add here.
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end();
    }
}

/// Starts a dev chain in a thread of its own and returns when it listens.
///
/// # Errors
///
/// When it cannot listen, the mnemonic is not valid, or no thread can be had.
pub fn start(config: Config) -> Result<Handle, StartError> {
    in_thread("devnet", move |ready, stop| serve(&config, ready, stop))
}

/// What a server calls once, with the address it listens on.
pub(crate) type Ready = Box<dyn FnOnce(SocketAddr)>;
/// Ready when a server is to end.
pub(crate) type Stop = Pin<Box<dyn Future<Output = ()>>>;

/// Runs a server in a thread of its own and returns when it listens.
pub(crate) fn in_thread(
    name: &str,
    run: impl FnOnce(Ready, Stop) -> Result<(), StartError> + Send + 'static,
) -> Result<Handle, StartError> {
    let (stop, stopped) = oneshot::channel::<()>();
    let (started, listening) = mpsc::channel();
    let thread = thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            let ready = started.clone();
            let stopped = async {
                // Sent or dropped, both mean stop.
                let _ = stopped.await;
            };
            let result = run(Box::new(move |addr| drop(ready.send(Ok(addr)))), Box::pin(stopped));
            if let Err(error) = result {
                // Nobody listens any more when `start` was answered already.
                let _ = started.send(Err(error));
            }
        })
        .map_err(StartError::Thread)?;
    let addr = listening.recv().map_err(|_| StartError::Ended)??;
    Ok(Handle { addr, stop: Some(stop), thread: Some(thread) })
}

/// Runs a dev chain on this thread until `stop` is ready. `ready` is called once with the address it listens on.
///
/// # Errors
///
/// As `start`.
pub fn serve(config: &Config, ready: impl FnOnce(SocketAddr), stop: impl Future<Output = ()>) -> Result<(), StartError> {
    let runtime = Builder::new_current_thread().enable_all().build().map_err(StartError::Thread)?;
    LocalSet::new().block_on(&runtime, async {
        let failed = |source| StartError::Listen { addr: config.listen, source };
        let listener = TcpListener::bind(config.listen).await.map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let shared = Rc::new(Shared::new(Node::new(config)?, config));
        ready(addr);
        tokio::select! {
            () = accept(listener, &shared) => {}
            () = shared.seal_by_time() => {}
            () = stop => {}
        }
        Ok(())
    })
}

/// Accepts connections for ever.
pub(crate) async fn accept<S: Service>(listener: TcpListener, service: &Rc<S>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await.expect("the semaphore is never closed");
        match listener.accept().await {
            Ok((stream, _)) => {
                // Without it small replies wait for the peer's delayed acknowledgement. If it fails they are only slow.
                let _ = stream.set_nodelay(true);
                let service = Rc::clone(service);
                spawn_local(async move {
                    http::serve(stream, service).await;
                    drop(permit);
                });
            }
            Err(_) => sleep(ACCEPT_RETRY).await,
        }
    }
}
