//! Signatures over what is no transaction: messages (EIP-191) and typed data (EIP-712).
//!
//! **How it fails.** A message or typed data that cannot be read is an error that says where; so is an address without a key here, and
//! typed data of another chain, or of any while this engine's is not known. What cannot be a signature over a transaction is all that is signed here: EIP-191's prefix sees to that.

use std::borrow::Cow;

use alloy::hex;
use alloy::primitives::{Address, B256, Bytes, U256, eip191_hash_message};
use alloy_dyn_abi::TypedData;
use serde_json::value::RawValue;
use storage::Store;

use super::{Facade, typed};
use crate::api::params::{address, given, parse};
use crate::jsonrpc::error::RpcError;
use crate::jsonrpc::quantity::Text;

impl<S: Store> Facade<S> {
    /// `personal_sign([message, address])`: the message in hexadecimal, or any text that is not.
    pub(super) async fn personal_sign(&self, params: Option<&RawValue>) -> Result<Bytes, RpcError> {
        const USAGE: &str = "[message, address]";
        // Some clients add a password, which there is none of here.
        let mut texts = parse::<Vec<Text<'_>>>(given(params, USAGE)?).map_err(|error| usage(&error, USAGE))?.into_iter();
        let (Some(message), Some(signer)) = (texts.next(), texts.next()) else { return Err(usage("too few", USAGE)) };
        let signer = address("address", &signer.0)?;
        self.signs_for(&signer)?;
        let digest = eip191_hash_message(message_bytes(&message.0));
        self.signature(&signer, &digest).await
    }

    /// `eth_signTypedData_v4([address, typedData])`: the typed data as an object, or as its text.
    pub(super) async fn sign_typed_data(&self, params: Option<&RawValue>) -> Result<Bytes, RpcError> {
        const USAGE: &str = "[address, typedData]";
        let (signer, data) = parse::<(Text<'_>, &RawValue)>(given(params, USAGE)?).map_err(|error| usage(&error, USAGE))?;
        let signer = address("address", &signer.0)?;
        // Before any work on what may be large.
        self.signs_for(&signer)?;
        let text: Cow<'_, str> = if data.get().starts_with('"') {
            parse::<Text<'_>>(data.get()).map_err(|error| usage(&error, USAGE))?.0
        } else {
            data.get().into()
        };
        let data: TypedData =
            serde_json::from_str(&text).map_err(|error| RpcError::params(format!("typedData: {error}; write it as EIP-712 has it")))?;
        of_chain(data.domain.chain_id, || self.chain_id())?;
        let digest = typed::signing_hash(&data).map_err(|error| RpcError::params(format!("typedData: {error}")))?;
        self.signature(&signer, &digest).await
    }

    fn signs_for(&self, signer: &Address) -> Result<(), RpcError> {
        if self.engine.signs_for(signer) {
            return Ok(());
        }
        Err(RpcError::params(format!("unknown signer {signer}: no key of this engine signs for it; eth_accounts lists those it has")))
    }

    async fn signature(&self, signer: &Address, digest: &B256) -> Result<Bytes, RpcError> {
        let signature = self.engine.sign(signer, digest).await.map_err(RpcError::internal)?;
        Ok(Bytes::from(signature.as_bytes().to_vec()))
    }
}

fn usage(error: &str, usage: &str) -> RpcError {
    RpcError::params(format!("params: {error}; write {usage}"))
}

/// Typed data that names a chain is for that one only, so it waits until this engine's is known.
fn of_chain(asked: Option<U256>, chain: impl FnOnce() -> Result<u64, RpcError>) -> Result<(), RpcError> {
    let Some(asked) = asked else { return Ok(()) };
    let chain = chain()?;
    if asked == U256::from(chain) {
        return Ok(());
    }
    Err(RpcError::params(format!("typedData: domain.chainId {asked} is not this engine's chain {chain}: sign it there")))
}

/// Hexadecimal means its bytes, and anything else itself.
fn message_bytes(text: &str) -> Vec<u8> {
    text.strip_prefix("0x").and_then(|digits| hex::decode(digits).ok()).unwrap_or_else(|| text.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_hexadecimal_or_itself() {
        assert_eq!(message_bytes("0x00ff"), [0, 0xff]);
        assert_eq!(message_bytes("0x0"), b"0x0");
        assert_eq!(message_bytes("hello"), b"hello");
    }

    #[test]
    fn typed_data_of_a_chain_is_not_signed_before_ours_is_known() {
        let unknown = || Err(RpcError::busy("not known", 1));
        assert!(of_chain(Some(U256::from(5)), unknown).is_err());
        assert!(of_chain(None, unknown).is_ok(), "it names none");
        assert!(of_chain(Some(U256::from(5)), || Ok(5)).is_ok());
        let error = of_chain(Some(U256::from(5)), || Ok(6)).expect_err("another chain");
        assert!(error.message.contains("domain.chainId 5"), "{}", error.message);
    }
}
