//! The sign stage: transaction, digest, signature, bytes, hash. A pure function of the job and the key.

use alloy::consensus::{SignableTransaction, TxEip1559, TxLegacy};
use alloy::eips::Encodable2718;
use alloy::primitives::{B256, Bytes, TxKind};
use storage::AttemptFees;

use crate::keys::Keyring;
use crate::txmgr::{SignJob, Signed};

/// Signs one job with the key of its address.
#[must_use]
pub fn sign(job: &SignJob, keys: &Keyring) -> Signed {
    let result = bytes_and_hash(job, keys);
    Signed { slot: job.slot, id: job.id, fees: job.fees, gas: job.gas, closing: job.closing, result }
}

fn bytes_and_hash(job: &SignJob, keys: &Keyring) -> Result<(Bytes, B256), String> {
    let to = job.to.map_or(TxKind::Create, TxKind::Call);
    match job.fees {
        AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => finish(
            TxEip1559 {
                chain_id: job.chain_id,
                nonce: job.slot.nonce,
                gas_limit: job.gas,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to,
                value: job.value,
                access_list: Default::default(),
                input: job.data.clone(),
            },
            job,
            keys,
        ),
        AttemptFees::Legacy { gas_price } => finish(
            TxLegacy {
                chain_id: Some(job.chain_id),
                nonce: job.slot.nonce,
                gas_price,
                gas_limit: job.gas,
                to,
                value: job.value,
                input: job.data.clone(),
            },
            job,
            keys,
        ),
    }
}

fn finish<T>(transaction: T, job: &SignJob, keys: &Keyring) -> Result<(Bytes, B256), String>
where
    T: SignableTransaction<alloy::primitives::Signature> + alloy::consensus::transaction::RlpEcdsaEncodableTx,
{
    let digest = transaction.signature_hash();
    let signature = keys.sign(&job.from, &digest).map_err(|error| error.to_string())?;
    let signed = transaction.into_signed(signature);
    let mut raw = Vec::with_capacity(signed.encode_2718_len());
    signed.encode_2718(&mut raw);
    // The hash of a typed transaction is that of the very bytes that are sent (EIP-2718).
    let hash = alloy::primitives::keccak256(&raw);
    Ok((raw.into(), hash))
}
