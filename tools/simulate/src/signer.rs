//! The simulated signer: signs with the production keyring, at once or a little later, and hangs or refuses for one key when told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alloy::consensus::TxEnvelope;
use alloy::consensus::crypto::RecoveryError;
use alloy::consensus::transaction::SignerRecoverable;
use alloy::primitives::map::B256HashMap;
use alloy::primitives::{Address, B256, Signature};
use engine::keys::{Answer, Keyring, SignError, Signer};
use parking_lot::Mutex;

use crate::executor::Executor;
use crate::faults::Fault;

/// Signature and signer of each digest.
type Made = B256HashMap<(Signature, Address)>;

/// Who made which signature of which digest. Clones are the same.
///
/// To recover a sender takes a quarter of a seed's time, and a digest and a signature that were seen together at the signer have one
/// answer only. Everything else is recovered, and in some seeds all is, so that what the keys sign is looked at too.
#[derive(Clone, Default)]
pub(crate) struct Signatures(Option<Arc<Mutex<Made>>>);

impl Signatures {
    /// Remembers signatures, or none.
    pub(crate) fn new(remembers: bool) -> Self {
        Self(remembers.then(Arc::default))
    }

    fn note(&self, digest: B256, signature: Signature, address: Address) {
        if let Some(made) = &self.0 {
            made.lock().insert(digest, (signature, address));
        }
    }

    /// The sender of a transaction.
    pub(crate) fn sender(&self, envelope: &TxEnvelope) -> Result<Address, RecoveryError> {
        let made = self.0.as_ref().and_then(|made| made.lock().get(&envelope.signature_hash()).copied());
        match made.filter(|made| made.0 == *envelope.signature()) {
            Some((_, address)) => Ok(address),
            None => envelope.recover_signer(),
        }
    }
}

/// A promised signature, and who waits for it.
type Promised = (Result<Signature, SignError>, flume::Sender<Result<Signature, SignError>>);

/// What is wrong with one key, until when, µs.
#[derive(Clone, Copy)]
struct Trouble {
    address: Address,
    fault: Fault,
    until_us: u64,
    /// It has met a signature.
    met: bool,
}

/// The signer of a seed; it outlives the engine's crashes.
pub(crate) struct SimSigner {
    keys: Keyring,
    made: Signatures,
    clock_us: Arc<AtomicU64>,
    /// Where signatures wait that come later; none if all come at once, as from keys in memory.
    later: Option<flume::Sender<Promised>>,
    trouble: Mutex<Option<Trouble>>,
    happened: Mutex<Vec<Fault>>,
}

impl SimSigner {
    /// A signer, and, if it is to be slow, what it has to deliver.
    pub(crate) fn new(keys: Keyring, made: Signatures, clock_us: Arc<AtomicU64>, slow: bool) -> (Self, Option<flume::Receiver<Promised>>) {
        let (later, deliver) = if slow { Some(flume::unbounded()).unzip() } else { (None, None) };
        (Self { keys, made, clock_us, later, trouble: Mutex::default(), happened: Mutex::default() }, deliver)
    }

    /// One key hangs or is refused for so long.
    pub(crate) fn arm(&self, fault: Fault, address: Address, time: Duration) {
        let until_us = self.clock_us.load(Ordering::Relaxed) + u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        *self.trouble.lock() = Some(Trouble { address, fault, until_us, met: false });
    }

    /// No more trouble.
    pub(crate) fn calm(&self) {
        *self.trouble.lock() = None;
    }

    /// Faults that met a signature since the last look; each once.
    pub(crate) fn take_happened(&self) -> Vec<Fault> {
        std::mem::take(&mut self.happened.lock())
    }

    fn troubled(&self, address: &Address) -> Option<Fault> {
        let now_us = self.clock_us.load(Ordering::Relaxed);
        let mut trouble = self.trouble.lock();
        let trouble = trouble.as_mut().filter(|trouble| trouble.address == *address && now_us < trouble.until_us)?;
        if !std::mem::replace(&mut trouble.met, true) {
            self.happened.lock().push(trouble.fault);
        }
        Some(trouble.fault)
    }
}

impl Signer for SimSigner {
    fn sign(&self, address: &Address, digest: &B256) -> Answer {
        match self.troubled(address) {
            Some(Fault::SignerHangs) => return Answer::Later(Box::pin(std::future::pending())),
            Some(_) => return Answer::Later(Box::pin(async { Err(SignError::Refused("away for a while".into())) })),
            None => {}
        }
        let signed = self.keys.sign(address, digest).map_err(SignError::Key);
        if let Ok(signature) = &signed {
            self.made.note(*digest, *signature, *address);
        }
        let Some(later) = &self.later else { return Answer::Now(signed) };
        let (tell, told) = flume::bounded(1);
        // The world outlives every engine.
        let _ = later.send((signed, tell));
        Answer::Later(Box::pin(async move { told.recv_async().await.unwrap_or_else(|_| Err(SignError::Refused("gone".into()))) }))
    }
}

/// Delivers signatures, each after a time of its own: later ones overtake earlier ones.
pub(crate) async fn deliver(executor: Executor, promised: flume::Receiver<Promised>) {
    while let Ok((signed, tell)) = promised.recv_async().await {
        // Now and then longer than it is waited for.
        let longest = if executor.below(16) == 0 { Duration::from_millis(1500) } else { Duration::from_millis(60) };
        let delay = executor.between(Duration::ZERO, longest);
        let sleep = executor.sleep(delay);
        executor.spawn(crate::node::WORLD, async move {
            sleep.await;
            // The engine may have crashed meanwhile.
            let _ = tell.send(signed);
        });
    }
}
