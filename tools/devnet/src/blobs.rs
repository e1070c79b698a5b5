//! Transactions with blobs (EIP-4844, EIP-7594): taken with what proves them, kept and mined without.
//!
//! Fails with geth's words (`validateBlobTx` in its `core/txpool/validation.go`): no blobs beside the transaction, others than it names, or
//! ones that their proofs do not prove. Proofs of whole blobs are taken too, as geth does by turning them into proofs of cells.

use alloy::{
    consensus::{Signed, Transaction, TxEip4844, TxEip4844Variant, TxEnvelope},
    eips::{
        Decodable2718,
        eip4844::{c_kzg::ethereum_kzg_settings, kzg_to_versioned_hash},
        eip7594::BlobTransactionSidecarVariant,
        eip7840::BlobParams,
    },
};

use crate::{error::RpcError, tx::Envelope};

/// Type byte of a blob transaction (EIP-4844).
pub(crate) const BLOB_TYPE: u8 = 3;
/// What blobs cost and how many there may be: Osaka's rules.
pub(crate) const PARAMS: BlobParams = BlobParams::osaka();
/// Most transactions with blobs of an account in the pool (geth's `maxTxsPerAccount` of its blob pool).
pub(crate) const ACCOUNT_MAX: usize = 16;
/// Increase that a replacement takes, percent (geth's `PriceBump` of its blob pool).
pub(crate) const BUMP_PERCENT: u64 = 100;
/// Largest transaction with its blobs, bytes: as many blobs as there may be, with their proofs.
pub(crate) const SIZE_MAX_BYTES: usize = 1024 * 1024;

/// Reads a transaction with its blobs, and gives it as it stands in a block. All bytes must be used.
pub(crate) fn decode(raw: &[u8]) -> Result<Envelope, RpcError> {
    let mut rest = raw;
    let envelope = TxEnvelope::decode_2718(&mut rest).map_err(RpcError::rlp)?;
    if !rest.is_empty() {
        return Err(RpcError::rlp("input contains more than one value"));
    }
    let TxEnvelope::Eip4844(signed) = envelope else { return Err(RpcError::type_not_supported(BLOB_TYPE)) };
    let (variant, signature, hash) = signed.into_parts();
    let TxEip4844Variant::TxEip4844WithSidecar(whole) = variant else {
        return Err(RpcError::server("missing sidecar in blob transaction"));
    };
    let (tx, sidecar) = whole.into_parts();
    check(&tx, &sidecar)?;
    Ok(Envelope::Eip4844(Signed::new_unchecked(tx, signature, hash)))
}

fn check(tx: &TxEip4844, sidecar: &BlobTransactionSidecarVariant) -> Result<(), RpcError> {
    let hashes = &tx.blob_versioned_hashes;
    if hashes.is_empty() {
        return Err(RpcError::server("blobless blob transaction"));
    }
    if hashes.len() as u64 > PARAMS.max_blobs_per_tx {
        let (have, most) = (hashes.len(), PARAMS.max_blobs_per_tx);
        return Err(RpcError::server(format!("transaction blob limit exceeded: blob count {have}, limit {most}")));
    }
    if sidecar.blobs().len() != hashes.len() || sidecar.commitments().len() != hashes.len() {
        let (blobs, named) = (sidecar.blobs().len(), hashes.len());
        return Err(RpcError::server(format!("invalid number of {blobs} blobs compared to {named} blob hashes")));
    }
    for (place, (hash, commitment)) in hashes.iter().zip(sidecar.commitments()).enumerate() {
        let computed = kzg_to_versioned_hash(commitment.as_slice());
        if computed != *hash {
            return Err(RpcError::server(format!("blob {place}: computed hash {computed} mismatches transaction one {hash}")));
        }
    }
    sidecar.validate(hashes, ethereum_kzg_settings(0)).map_err(|error| RpcError::server(format!("invalid blob proof: {error}")))
}

/// What a unit of blob gas costs where so much is in excess, wei.
pub(crate) fn price(excess_blob_gas: u64) -> u128 {
    PARAMS.calc_blob_fee(excess_blob_gas)
}

/// Gas of its blobs; 0 for nearly all.
pub(crate) fn gas(envelope: &Envelope) -> u64 {
    envelope.blob_gas_used().unwrap_or_default()
}
