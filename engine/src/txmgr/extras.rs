//! What makes a transaction one of a type that hardly anybody sends, between the chain's types and the stored ones (row A10).

use alloy::consensus::{Transaction, TxEnvelope};
use alloy::eips::eip7702::SignedAuthorization;
use storage::{Authorization, Extras};

use crate::blobs::EMPTY_BLOB;

/// What a signed transaction carries; nothing, without an allocation, for nearly all.
#[must_use]
pub fn extras(signed: &TxEnvelope) -> Option<Box<Extras>> {
    let authorizations = signed.authorization_list().map_or_else(Vec::new, |list| list.iter().map(stored).collect());
    let access_list = signed.access_list().cloned().unwrap_or_default();
    let blob_hashes = signed.blob_versioned_hashes().map_or_else(Vec::new, <[_]>::to_vec);
    Extras { authorizations, access_list, blob_hashes }.boxed()
}

/// What closes a nonce among transactions of this kind: a blob transaction can only be replaced by another one (EIP-4844).
#[must_use]
pub fn closing(blobs: bool) -> Option<Box<Extras>> {
    blobs.then(|| Box::new(Extras { blob_hashes: vec![*EMPTY_BLOB], ..Extras::default() }))
}

fn stored(signed: &SignedAuthorization) -> Authorization {
    Authorization {
        chain_id: signed.chain_id,
        address: signed.address,
        nonce: signed.nonce,
        y_parity: signed.y_parity(),
        r: signed.r(),
        s: signed.s(),
    }
}
