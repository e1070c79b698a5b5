//! Authorizations that requests carry (EIP-7702), as the chain's types have them.

use alloy::eips::eip7702;
use alloy::eips::eip7702::SignedAuthorization;
use alloy::primitives::Bytes;
use storage::{Authorization, Request};

/// Begins the code of an account that has delegated it (EIP-7702).
const DELEGATION: [u8; 3] = [0xef, 0x01, 0x00];

/// What a request carries; nothing, without an allocation, for nearly all.
#[must_use]
pub fn authorizations(request: &Request) -> Vec<SignedAuthorization> {
    signed(request.authorizations())
}

/// Stored authorizations as the chain's.
#[must_use]
pub fn signed(authorizations: &[Authorization]) -> Vec<SignedAuthorization> {
    authorizations.iter().map(signed_one).collect()
}

fn signed_one(authorization: &Authorization) -> SignedAuthorization {
    let Authorization { chain_id, address, nonce, y_parity, r, s } = *authorization;
    SignedAuthorization::new_unchecked(eip7702::Authorization { chain_id, address, nonce }, y_parity, r, s)
}

/// True for the code of an account that has delegated it.
#[must_use]
pub fn is_delegation(code: &Bytes) -> bool {
    code.starts_with(&DELEGATION)
}
