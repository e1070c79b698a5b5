//! The transfer that every bench speaks of: no data, 1 wei, EIP-1559, with an idempotency key.

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use engine::keys::Keyring;
use engine::txmgr::{Accept, SignJob, Signed, Slot};
use storage::{AttemptFees, Fees, Request, TransactionRow};
use uuid::Uuid;

/// A keyring of `count` addresses.
///
/// # Panics
/// Never: the secrets are digests, far below the group order.
#[must_use]
pub fn keyring(count: u64) -> Keyring {
    Keyring::from_secrets((1..=count).map(|number| keccak256(number.to_be_bytes())).collect::<Vec<B256>>()).expect("digests are keys")
}

/// Addresses nobody has a key of: for what does not sign.
#[must_use]
pub fn addresses(count: u64) -> Vec<Address> {
    (0..count).map(|number| Address::left_padding_from(&number.to_be_bytes())).collect()
}

/// The price of every transfer here.
pub const FEES: AttemptFees = AttemptFees::Dynamic { max_fee_per_gas: 3_000_000_000, max_priority_fee_per_gas: 1_000_000_000 };

/// What signing one transfer takes in.
#[must_use]
pub fn sign_job(from: Address, nonce: u64) -> SignJob {
    SignJob {
        number: nonce,
        slot: Slot { address: 0, nonce },
        id: Uuid::from_u128(u128::from(nonce)),
        from,
        chain_id: 31_337,
        to: Some(Address::repeat_byte(0xbb)),
        value: U256::ONE,
        data: Bytes::new(),
        gas: 21_000,
        fees: FEES,
        closing: false,
        extras: None,
    }
}

/// A transfer to accept.
#[must_use]
pub fn accept(from: Address, number: u64) -> Accept {
    let AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } = FEES else { unreachable!("the price above is dynamic") };
    let fees = Fees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas };
    let request =
        Request { from, to: Some(Address::repeat_byte(0xbb)), value: U256::ONE, data: Bytes::new(), gas: Some(21_000), fees, extras: None };
    let row = TransactionRow::new(request, Some(format!("bench-{number:012}")), 1);
    Accept { id: Uuid::from_u128(u128::from(number)), row, body_hash: B256::ZERO }
}

/// Answers a job without signing: the id in place of the signed bytes, for what does not look into them.
#[must_use]
pub fn unsigned(job: &SignJob) -> Signed {
    let raw = Bytes::copy_from_slice(job.id.as_bytes());
    let hash = keccak256(&raw);
    job.answer(Ok((raw, hash)))
}
