//! ECDSA over secp256k1, as quick as libsecp256k1 makes it: the one place that calls into C.
//!
//! Signing is the largest part of a transaction's cost, and a sixth of a signature is SHA-256: the nonce of RFC 6979 hashes some twenty
//! blocks. libsecp256k1 hashes in portable C unless it is told of something better, which its Rust bindings cannot do yet. So this
//! file tells it of `sha2`'s compression function, which uses the processor's SHA instructions where there are any, and signs with a
//! context of its own: the bindings' `sign_ecdsa_recoverable` blinds the context anew at every signature, which doubles its cost.
//! Here it is blinded once, with fresh randomness, when keys are loaded. The bytes of a signature are the same either way.
//!
//! **How it fails.** Not: every key is a valid one by its type, and any 32 bytes are a digest. libsecp256k1 tries the compression function
//! on known input before it takes it, and ends the process if that goes wrong, before anything is signed.
#![expect(unsafe_code, reason = "libsecp256k1's bindings have no safe way to set its SHA-256, nor to sign with a context that is kept")]

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::slice;

use alloy::primitives::{B256, Signature};
use rand::Rng;
use secp256k1::ecdsa::RecoverableSignature;
use secp256k1::ffi::recovery::{RecoverableSignature as RawSignature, secp256k1_ecdsa_sign_recoverable};
use secp256k1::ffi::{Context, secp256k1_nonce_function_rfc6979};
use secp256k1::{Secp256k1, SecretKey, SignOnly};

/// `secp256k1_sha256_compression_function` of libsecp256k1 0.8.
type Compress = unsafe extern "C" fn(state: *mut u32, blocks: *const u8, count: usize);

unsafe extern "C" {
    /// `secp256k1_context_set_sha256_compression`, as the bindings rename it. Another version of them does not link.
    #[link_name = "rustsecp256k1_v0_14_context_set_sha256_compression"]
    fn set_sha256_compression(context: NonNull<Context>, compress: Compress);
}

/// What signs: libsecp256k1's context. Shared by all shards and never changed once made.
pub(super) struct Signing(Secp256k1<SignOnly>);

impl Signing {
    /// A context that is blinded and hashes with the processor's instructions.
    pub(super) fn new() -> Self {
        let mut context = Secp256k1::signing_only();
        context.seeded_randomize(&rand::rng().random());
        // SAFETY: the context is valid and nobody else has it yet; `compress` keeps what the header asks of it.
        unsafe { set_sha256_compression(context.ctx(), compress) };
        Self(context)
    }

    /// Signs a digest: deterministic nonce (RFC 6979), low `s` (EIP-2).
    pub(super) fn sign(&self, key: &SecretKey, digest: &B256) -> Signature {
        let mut signature = RawSignature::new();
        // SAFETY: context, digest (32 bytes) and key (32 bytes, valid by its type) are alive for the call and only read; the signature
        // is ours alone. Signing with one context on several threads is what libsecp256k1 promises to allow.
        let signed = unsafe {
            secp256k1_ecdsa_sign_recoverable(
                self.0.ctx().as_ptr(),
                &mut signature,
                digest.as_ptr(),
                key.as_secret_bytes().as_ptr(),
                secp256k1_nonce_function_rfc6979,
                ptr::null::<c_void>(),
            )
        };
        assert_eq!(signed, 1, "a valid key signs every digest");
        let (recovery, bytes) = RecoverableSignature::from(signature).serialize_compact();
        Signature::from_bytes_and_parity(&bytes, u8::from(recovery) & 1 == 1)
    }
}

/// SHA-256's compression function for libsecp256k1: `count` blocks of 64 bytes into the eight words of `state`.
unsafe extern "C" fn compress(state: *mut u32, blocks: *const u8, count: usize) {
    // SAFETY: libsecp256k1 gives eight words that it does not touch meanwhile, and `count` whole blocks.
    let (state, blocks) = unsafe { (&mut *state.cast::<[u32; 8]>(), slice::from_raw_parts(blocks.cast::<[u8; 64]>(), count)) };
    sha2::block_api::compress256(state, blocks);
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{B256, U256, keccak256};
    use alloy::signers::SignerSync;
    use alloy::signers::local::PrivateKeySigner;

    use super::*;

    #[test]
    fn it_signs_as_another_implementation_does() {
        let signing = Signing::new();
        for number in 1_u64..400 {
            // Small keys and large ones, ordinary digests and odd ones. Not above the group order: there implementations of RFC 6979 differ.
            let secret = if number % 3 == 0 { B256::from(U256::from(number)) } else { keccak256(number.to_be_bytes()) };
            let digest = match number % 50 {
                0 => B256::ZERO,
                1 => B256::repeat_byte(0xfe),
                _ => keccak256(secret),
            };
            let key = SecretKey::from_secret_bytes(secret.0).expect("a key");
            let other = PrivateKeySigner::from_bytes(&secret).expect("a key");
            assert_eq!(signing.sign(&key, &digest), other.sign_hash_sync(&digest).expect("a signature"), "key {secret}, digest {digest}");
        }
    }
}
