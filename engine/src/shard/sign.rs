//! The sign stage: transaction, digest, signature, bytes, hash. A pure function of the job and the key.

use alloy::consensus::transaction::RlpEcdsaEncodableTx;
use alloy::consensus::{SignableTransaction, TxEip1559, TxEip2930, TxEip4844, TxEip7702, TxLegacy};
use alloy::eips::Encodable2718;
use alloy::primitives::{B256, Bytes, Signature, TxKind};
use storage::{AttemptFees, Extras};

use crate::keys::{Keyring, SignError};
use crate::txmgr::authorization::signed;
use crate::txmgr::increase::{blob_cap, fee_cap, tip_cap};
use crate::txmgr::{SignJob, Signed};

/// Signs one job with the key of its address.
#[must_use]
pub fn sign(job: &SignJob, keys: &Keyring) -> Signed {
    let unsigned = Unsigned::of(job);
    let signature = keys.sign(&job.from, &unsigned.digest()).map_err(SignError::Key);
    result(job, signature.map(|signature| unsigned.encode(signature)))
}

/// A job's end.
pub(super) fn result(job: &SignJob, result: Result<(Bytes, B256), SignError>) -> Signed {
    job.answer(result.map_err(|error| error.to_string()))
}

/// A transaction that wants a signature.
#[derive(Clone, Debug)]
pub enum Unsigned {
    /// EIP-1559.
    Dynamic(TxEip1559),
    /// With one price.
    Legacy(TxLegacy),
    /// EIP-2930.
    Listed(Box<TxEip2930>),
    /// EIP-4844.
    Blob(Box<TxEip4844>),
    /// EIP-7702.
    SetCode(TxEip7702),
}

impl Unsigned {
    /// What a job asks to be signed: of type 0 or 2, and of another one for what hardly any job has with it.
    #[must_use]
    pub fn of(job: &SignJob) -> Self {
        let extras = job.extras.as_deref();
        match (extras, job.fees) {
            (Some(extras), _) if !extras.blob_hashes.is_empty() => Self::blob(job, extras),
            (Some(extras), _) if !extras.authorizations.is_empty() => Self::set_code(job, extras),
            (Some(extras), AttemptFees::Legacy { gas_price }) => Self::listed(job, extras, gas_price),
            (None, AttemptFees::Legacy { gas_price }) => Self::Legacy(TxLegacy {
                chain_id: Some(job.chain_id),
                nonce: job.slot.nonce,
                gas_price,
                gas_limit: job.gas,
                to: kind(job),
                value: job.value,
                input: job.data.clone(),
            }),
            (
                extras,
                AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas }
                | AttemptFees::Blob { max_fee_per_gas, max_priority_fee_per_gas, .. },
            ) => Self::Dynamic(TxEip1559 {
                chain_id: job.chain_id,
                nonce: job.slot.nonce,
                gas_limit: job.gas,
                max_fee_per_gas,
                max_priority_fee_per_gas,
                to: kind(job),
                value: job.value,
                access_list: extras.map(|extras| extras.access_list.clone()).unwrap_or_default(),
                input: job.data.clone(),
            }),
        }
    }

    #[cold]
    fn listed(job: &SignJob, extras: &Extras, gas_price: u128) -> Self {
        Self::Listed(Box::new(TxEip2930 {
            chain_id: job.chain_id,
            nonce: job.slot.nonce,
            gas_price,
            gas_limit: job.gas,
            to: kind(job),
            value: job.value,
            access_list: extras.access_list.clone(),
            input: job.data.clone(),
        }))
    }

    /// On a chain that knows one price only, that is both.
    #[cold]
    fn blob(job: &SignJob, extras: &Extras) -> Self {
        Self::Blob(Box::new(TxEip4844 {
            chain_id: job.chain_id,
            nonce: job.slot.nonce,
            gas_limit: job.gas,
            max_fee_per_gas: fee_cap(&job.fees),
            max_priority_fee_per_gas: tip_cap(&job.fees),
            to: job.to.unwrap_or_default(),
            value: job.value,
            access_list: extras.access_list.clone(),
            blob_versioned_hashes: extras.blob_hashes.clone(),
            max_fee_per_blob_gas: u128::from(blob_cap(&job.fees)),
            input: job.data.clone(),
        }))
    }

    /// As with blobs, one price may be both.
    #[cold]
    fn set_code(job: &SignJob, extras: &Extras) -> Self {
        Self::SetCode(TxEip7702 {
            chain_id: job.chain_id,
            nonce: job.slot.nonce,
            gas_limit: job.gas,
            max_fee_per_gas: fee_cap(&job.fees),
            max_priority_fee_per_gas: tip_cap(&job.fees),
            to: job.to.unwrap_or_default(),
            value: job.value,
            access_list: extras.access_list.clone(),
            authorization_list: signed(&extras.authorizations),
            input: job.data.clone(),
        })
    }

    /// What is signed.
    #[must_use]
    pub fn digest(&self) -> B256 {
        match self {
            Self::Dynamic(transaction) => transaction.signature_hash(),
            Self::Legacy(transaction) => transaction.signature_hash(),
            Self::Listed(transaction) => transaction.signature_hash(),
            Self::Blob(transaction) => transaction.signature_hash(),
            Self::SetCode(transaction) => transaction.signature_hash(),
        }
    }

    /// EIP-2718 bytes and hash.
    #[must_use]
    pub fn encode(self, signature: Signature) -> (Bytes, B256) {
        match self {
            Self::Dynamic(transaction) => encode(transaction, signature),
            Self::Legacy(transaction) => encode(transaction, signature),
            Self::Listed(transaction) => encode(*transaction, signature),
            Self::Blob(transaction) => encode(*transaction, signature),
            Self::SetCode(transaction) => encode(transaction, signature),
        }
    }
}

fn kind(job: &SignJob) -> TxKind {
    job.to.map_or(TxKind::Create, TxKind::Call)
}

fn encode<T: SignableTransaction<Signature> + RlpEcdsaEncodableTx>(transaction: T, signature: Signature) -> (Bytes, B256) {
    let signed = transaction.into_signed(signature);
    let mut raw = Vec::with_capacity(signed.encode_2718_len());
    signed.encode_2718(&mut raw);
    // The hash of a typed transaction is that of the very bytes that are sent (EIP-2718).
    let hash = alloy::primitives::keccak256(&raw);
    (raw.into(), hash)
}
