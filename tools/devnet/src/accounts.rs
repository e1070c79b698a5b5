//! The dev accounts: keys derived from a mnemonic, rich at genesis.

use alloy::signers::local::{LocalSignerError, MnemonicBuilder, PrivateKeySigner, coins_bip39::English};

use crate::config::Mnemonic;

/// The mnemonic that every Ethereum dev tool knows. Its keys are public: never use them on a chain with value.
pub const TEST_MNEMONIC: &str = "test test test test test test test test test test test junk";

/// The first `count` signers of a mnemonic at `m/44'/60'/0'/0/i`.
///
/// # Errors
///
/// When the phrase is no BIP-39 phrase in English.
pub fn derive(mnemonic: &Mnemonic, count: u32) -> Result<Vec<PrivateKeySigner>, LocalSignerError> {
    let builder = MnemonicBuilder::<English>::default().phrase(mnemonic.0.as_str());
    (0..count).map(|index| builder.clone().index(index)?.build()).collect()
}

#[cfg(test)]
mod tests {
    use alloy::primitives::address;

    use super::*;

    #[test]
    fn the_test_mnemonic_gives_the_known_addresses() {
        let signers = derive(&Mnemonic::new(TEST_MNEMONIC), 2).expect("the phrase is valid");
        assert_eq!(signers[0].address(), address!("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"));
        assert_eq!(signers[1].address(), address!("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"));
    }

    #[test]
    fn a_phrase_that_is_none_is_an_error() {
        assert!(derive(&Mnemonic::new("not a phrase"), 1).is_err());
    }
}
