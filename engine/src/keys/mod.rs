//! Signing keys: where they come from, and the one place that signs.
//!
//! ```text
//! keys.file ── one 0x… key a line ─┐
//!           └─ one mnemonic line ──┼─► secrets ─► Keyring: address → key ─► sign(address, digest)
//! keys.mnemonic (environment) ─────┘              shared by all shards, never changed
//! ```
//!
//! **How it fails.** Loading fails at start, naming file and line. Signing fails only for an address that has no key here.
//! No error, log line or `Debug` output repeats a secret; secrets are overwritten in memory when the last owner drops them.

mod ecdsa;
mod signer;
mod source;

pub use signer::{Answer, Promise, SignError, Signer};

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use alloy::primitives::map::AddressHashMap;
use alloy::primitives::{Address, B256, Signature};
use secp256k1::SecretKey;
use thiserror::Error;

use crate::config::KeysConfig;
use ecdsa::Signing;

/// Why keys cannot be loaded, or a digest cannot be signed.
#[derive(Debug, Error)]
pub enum KeyError {
    /// The key file cannot be read.
    #[error("cannot read keys.file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line of the key file is no key.
    #[error("{}:{line}: {reason} (the line is not repeated here, it may be a secret)", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The words are no BIP-39 mnemonic.
    #[error("the mnemonic in {origin} is not valid BIP-39: check its words, their number and their order")]
    Mnemonic {
        /// Where it was given.
        origin: String,
    },
    /// 32 bytes that are no secp256k1 key: zero, or not below the group order.
    #[error("secret number {position} is no secp256k1 private key")]
    Secret {
        /// Which one, from 1.
        position: usize,
    },
    /// Two secrets have the same address.
    #[error("the key of {address} is given twice: remove one")]
    Twice {
        /// Its address.
        address: Address,
    },
    /// There is nothing to sign with.
    #[error("no signing keys in {origin}: add a private key or a mnemonic")]
    None {
        /// Where keys were looked for.
        origin: String,
    },
    /// The address has no key here.
    #[error("no signing key for {address}: add its key, or send from one of the configured addresses")]
    Unknown {
        /// The address asked for.
        address: Address,
    },
}

/// Every signing key of the process, by address. A clone shares them.
#[derive(Clone)]
pub struct Keyring(Arc<Keys>);

struct Keys {
    by_address: AddressHashMap<SecretKey>,
    /// In the order in which they were given, so that lists of them are stable.
    order: Vec<Address>,
    signing: Signing,
}

impl Drop for Keys {
    fn drop(&mut self) {
        for key in self.by_address.values_mut() {
            key.non_secure_erase();
        }
    }
}

impl Keyring {
    /// Reads the keys that the settings name. Errors name the file and line, or the mnemonic's origin.
    pub fn load(config: &KeysConfig) -> Result<Self, KeyError> {
        let (origin, secrets) = source::read(config)?;
        if secrets.is_empty() {
            return Err(KeyError::None { origin });
        }
        Self::from_secrets(secrets)
    }

    /// A keyring of these private keys. Fails on a secret that is no key, and on one given twice.
    pub fn from_secrets(secrets: Vec<B256>) -> Result<Self, KeyError> {
        let mut by_address = AddressHashMap::default();
        by_address.reserve(secrets.len());
        let mut order = Vec::with_capacity(secrets.len());
        for (index, mut secret) in secrets.into_iter().enumerate() {
            let key = SecretKey::from_secret_bytes(secret.0);
            secret.0.fill(0);
            let key = key.map_err(|_| KeyError::Secret { position: index + 1 })?;
            let address = address_of(&key);
            if by_address.insert(address, key).is_some() {
                return Err(KeyError::Twice { address });
            }
            order.push(address);
        }
        Ok(Self(Arc::new(Keys { by_address, order, signing: Signing::new() })))
    }

    /// Whether this process can sign for the address.
    pub fn contains(&self, address: &Address) -> bool {
        self.0.by_address.contains_key(address)
    }

    /// All addresses, in the order in which their keys were given.
    pub fn addresses(&self) -> impl Iterator<Item = Address> + '_ {
        self.0.order.iter().copied()
    }

    /// Signs a 32-byte digest: deterministic nonce (RFC 6979), low `s` (EIP-2).
    pub fn sign(&self, address: &Address, digest: &B256) -> Result<Signature, KeyError> {
        let key = self.0.by_address.get(address).ok_or(KeyError::Unknown { address: *address })?;
        Ok(self.0.signing.sign(key, digest))
    }
}

/// Shows how many keys there are, nothing more.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring").field("addresses", &self.0.order.len()).finish_non_exhaustive()
    }
}

fn address_of(key: &SecretKey) -> Address {
    let uncompressed = key.public_key().serialize_uncompressed();
    // The first byte is the format (4); an address is made of the two coordinates.
    Address::from_raw_public_key(&uncompressed[1..])
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{address, b256, keccak256};

    use super::*;

    const SECRET: B256 = b256!("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80");
    const ADDRESS: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");

    #[test]
    fn a_signature_recovers_to_its_address_has_a_low_s_and_repeats_exactly() {
        let keyring = Keyring::from_secrets(vec![SECRET]).expect("a key");
        for text in ["one", "two", "three", "four", "five", "six", "seven", "eight"] {
            let digest = keccak256(text);
            let signature = keyring.sign(&ADDRESS, &digest).expect("a signature");
            assert_eq!(signature.recover_address_from_prehash(&digest).expect("an address"), ADDRESS);
            assert!(signature.normalize_s().is_none(), "s is already low");
            assert_eq!(keyring.sign(&ADDRESS, &digest).expect("a signature"), signature);
        }
    }

    #[test]
    fn an_address_without_a_key_is_named() {
        let keyring = Keyring::from_secrets(vec![SECRET]).expect("a key");
        let stranger = Address::repeat_byte(7);
        let error = keyring.sign(&stranger, &B256::ZERO).expect_err("no key").to_string();
        assert!(error.contains(&stranger.to_string()), "{error}");
        assert!(keyring.contains(&ADDRESS) && !keyring.contains(&stranger));
    }

    #[test]
    fn zero_is_no_key_and_a_key_given_twice_is_refused() {
        assert!(matches!(Keyring::from_secrets(vec![SECRET, B256::ZERO]), Err(KeyError::Secret { position: 2 })));
        assert!(matches!(Keyring::from_secrets(vec![SECRET, SECRET]), Err(KeyError::Twice { address: ADDRESS })));
    }

    #[test]
    fn debug_and_errors_show_no_secret() {
        let keyring = Keyring::from_secrets(vec![SECRET]).expect("a key");
        let twice = Keyring::from_secrets(vec![SECRET, SECRET]).expect_err("twice");
        let shown = format!("{keyring:?} {keyring:#?} {twice:?} {twice}").to_lowercase();
        assert!(!shown.contains("ac0974be"), "{shown}");
    }
}
