//! Authorizations (EIP-7702): whoever has our keys signs them, somebody's transaction carries them, and each that is valid in its turn
//! takes a nonce of ours.
//!
//! They delegate to nothing, so that no account gets code: what is looked at here is the nonces.

use alloy::eips::eip7702::{Authorization, SignedAuthorization};
use alloy::primitives::{Address, U256, keccak256};
use engine::keys::Keyring;
use serde_json::{Value, json};

use super::{CHAIN_ID, Chain, Known, STRANGER, STRANGERS_PRICE};
use crate::executor::Executor;

/// Who carries other people's authorizations: one whose transactions come first in a block, and one whose come last.
const CARRIERS: [Address; 2] = [Address::repeat_byte(0x01), Address::repeat_byte(0xfe)];

/// One authorization in a transaction.
#[derive(Clone, Debug)]
pub(crate) struct Authorized {
    signer: Address,
    signed: SignedAuthorization,
    /// It was valid when its block was sealed.
    took: bool,
}

impl Known {
    /// Whose nonces it took in its block: one each.
    pub(crate) fn takes(&self) -> impl Iterator<Item = (Address, u64)> + '_ {
        let authorized = self.authorized.iter().filter(|authorized| authorized.took);
        std::iter::once((self.from, self.nonce)).chain(authorized.map(|authorized| (authorized.signer, authorized.signed.nonce)))
    }

    /// It carries authorizations.
    pub(super) fn carries(&self) -> bool {
        !self.authorized.is_empty()
    }

    /// An authorization of this account is in it.
    pub(super) fn names(&self, signer: &Address) -> bool {
        self.authorized.iter().any(|authorized| authorized.signer == *signer)
    }

    /// Its authorizations, as a node tells them.
    pub(super) fn list(&self) -> Value {
        self.authorized.iter().map(|authorized| json!(authorized.signed)).collect()
    }

    /// It is in no block any more.
    pub(super) fn undone(mut self) -> Self {
        self.authorized.iter_mut().for_each(|authorized| authorized.took = false);
        self
    }
}

impl Chain {
    /// A transaction with authorizations of one account is in the pool: of a stranger, or of the account itself, as when a wallet
    /// delegates its own account. They name its next nonces, or ones behind what it has in the pool. In `vain` means that none of them
    /// is valid: made for another chain, or for a nonce that is used or whose turn it is not.
    pub(crate) fn authorize(&mut self, keys: &Keyring, signer: Address, vain: bool, executor: &Executor) {
        let next = self.next(&signer);
        let itself = executor.below(3) == 0;
        let from = if itself { signer } else { CARRIERS[usize::try_from(executor.below(2)).unwrap_or(0)] };
        let pooled = self.pool.range((signer, next)..=(signer, u64::MAX)).count() as u64;
        let first = if itself { next + 1 } else { next + executor.below(2) * executor.below(pooled + 1) };
        let mut authorized = Vec::new();
        let mut add = |chain_id: u64, nonce: u64| {
            let authorization = Authorization { chain_id: U256::from(chain_id), address: Address::ZERO, nonce };
            let Ok(signature) = keys.sign(&signer, &authorization.signature_hash()) else { return };
            authorized.push(Authorized { signer, signed: authorization.into_signed(signature), took: false });
        };
        for place in 0..executor.below(3) + 1 {
            if vain || executor.below(4) == 0 {
                match executor.below(3) {
                    0 => add(CHAIN_ID + 1, first + place),
                    // Far enough that it is nobody's turn in this block.
                    1 => add(CHAIN_ID, first + place + 1000),
                    _ => add(CHAIN_ID, next.saturating_sub(1)),
                }
            }
            if !vain {
                add(CHAIN_ID * executor.below(2), first + place);
            }
        }
        let nonce = self.next(&from);
        let hash = keccak256([from.as_slice(), &nonce.to_be_bytes(), &executor.below(u64::MAX).to_be_bytes()].concat());
        let (max_fee, tip) = (STRANGERS_PRICE, STRANGERS_PRICE);
        self.pool.insert(
            (from, nonce),
            Known { hash, from, to: Some(STRANGER), nonce, value: U256::ZERO, max_fee, tip, blobs: None, cost: U256::ZERO, authorized },
        );
    }

    /// Its authorizations, one after the other, when it is executed: each that is valid takes the nonce it names.
    pub(super) fn apply(&mut self, known: &mut Known) {
        for authorized in &mut known.authorized {
            let authorization = &authorized.signed;
            let next = self.nonces.entry(authorized.signer).or_default();
            let ours = authorization.chain_id.is_zero() || authorization.chain_id == U256::from(CHAIN_ID);
            authorized.took = ours && authorization.nonce == *next;
            *next += u64::from(authorized.took);
        }
    }

    /// geth's limit for an account of which an authorization is in the pool: one executable transaction, which may be replaced.
    pub(super) fn check_delegated(&self, from: &Address, nonce: u64) -> Result<(), String> {
        if !self.pool.values().any(|known| known.names(from)) {
            return Ok(());
        }
        let next = self.next(from);
        match self.pool.contains_key(&(*from, next)) {
            false if nonce != next => Err("gapped-nonce tx from delegated accounts".into()),
            true if !self.pool.contains_key(&(*from, nonce)) => Err("in-flight transaction limit reached for delegated accounts".into()),
            _ => Ok(()),
        }
    }
}
