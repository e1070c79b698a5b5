//! The plug point for whatever signs: keys in memory, a key manager on another machine, a device.
//!
//! ```text
//! shard ── address, digest ──► Signer ──► Now: at once, in the shard's own run      (keys in memory)
//!                                     └─► Later: a future, awaited by nobody's turn (everything else)
//! ```
//!
//! **How it fails.** A signer may refuse, hang, or sign with another key. A refusal is tried again, with backoff and a limit; a hanging one
//! counts as refusing after `keys.sign_timeout_ms`; a signature that is not the address's is found out before anything is stored.

use std::pin::Pin;
use std::time::Duration;

use alloy::primitives::{Address, B256, Signature};
use thiserror::Error;

use super::{KeyError, Keyring};

/// Why there is no signature.
#[derive(Debug, Error)]
pub enum SignError {
    /// The keys here cannot sign it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The signer said no; its words, without anything secret.
    #[error("the signer refused: {0}")]
    Refused(String),
    /// The signer did not answer in time.
    #[error("the signer did not answer within {} ms (keys.sign_timeout_ms)", .0.as_millis())]
    TimedOut(Duration),
    /// The signature is another key's.
    #[error("the signer signed with another key than that of {expected}: check which key it has for the address")]
    Stranger {
        /// The address asked for.
        expected: Address,
    },
}

/// A signature that is still being made.
pub type Promise = Pin<Box<dyn Future<Output = Result<Signature, SignError>> + Send>>;

/// What a signer answers.
pub enum Answer {
    /// Done. Trusted to be the address's.
    Now(Result<Signature, SignError>),
    /// Under way. Checked against the address when it comes.
    Later(Promise),
}

/// Signs digests for addresses.
pub trait Signer: Send + Sync {
    /// Signs a 32-byte digest with the key of `address`; low `s` (EIP-2). Must not block: what takes time is promised.
    fn sign(&self, address: &Address, digest: &B256) -> Answer;
}

impl Signer for Keyring {
    fn sign(&self, address: &Address, digest: &B256) -> Answer {
        Answer::Now(Self::sign(self, address, digest).map_err(SignError::Key))
    }
}
