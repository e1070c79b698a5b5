//! Reading secrets from a key file or a mnemonic.
//!
//! A key file has one `0x…` private key a line, or a single line with a mnemonic; `#` starts a comment.
//! Errors name file and line and never repeat what stands there.

use std::path::Path;

use alloy::hex;
use alloy::primitives::B256;
use alloy::signers::k256::ecdsa::SigningKey;
use alloy::signers::local::coins_bip39::{English, Mnemonic};

use super::KeyError;
use crate::config::KeysConfig;

/// How many addresses a mnemonic gives where `keys.count` does not say; development nodes make as many.
const DEFAULT_COUNT: u32 = 10;
/// The path of Ethereum accounts (BIP-44, SLIP-44 coin 60), without the last index.
const ACCOUNTS_PATH: &str = "m/44'/60'/0'/0";

/// The secrets that the settings name, and what to call their origin.
pub(super) fn read(config: &KeysConfig) -> Result<(String, Vec<B256>), KeyError> {
    let count = config.count.unwrap_or(DEFAULT_COUNT);
    if let Some(phrase) = &config.mnemonic {
        let origin = "keys.mnemonic".to_owned();
        let secrets = derive(phrase, count, &origin)?;
        return Ok((origin, secrets));
    }
    let Some(path) = &config.file else {
        return Ok(("keys.file or keys.mnemonic".into(), Vec::new()));
    };
    let text = std::fs::read_to_string(path).map_err(|source| KeyError::Read { path: path.clone(), source })?;
    warn_if_others_can_read(path);
    Ok((format!("keys.file {}", path.display()), parse(path, &text, count)?))
}

fn parse(path: &Path, text: &str, count: u32) -> Result<Vec<B256>, KeyError> {
    let fail = |line: usize, reason| KeyError::Line { path: path.to_owned(), line, reason };
    let mut secrets = Vec::new();
    let mut phrase_line = None;
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        let content = line.split('#').next().unwrap_or_default().trim();
        if content.is_empty() {
            continue;
        }
        if phrase_line.is_some() {
            return Err(fail(number, "a key file with a mnemonic holds nothing else: remove this line"));
        }
        if content.contains(char::is_whitespace) {
            if !secrets.is_empty() {
                return Err(fail(number, "several words among private keys: give the mnemonic a file of its own"));
            }
            secrets = derive(content, count, &format!("{}:{number}", path.display()))?;
            phrase_line = Some(number);
        } else {
            secrets.push(private_key(content).ok_or_else(|| fail(number, "is not a private key: write 0x and 64 hexadecimal digits"))?);
        }
    }
    Ok(secrets)
}

fn private_key(text: &str) -> Option<B256> {
    let mut secret = B256::ZERO;
    hex::decode_to_slice(text.strip_prefix("0x")?, &mut secret.0).ok()?;
    // Checked here, where the line is still known.
    secp256k1::SecretKey::from_secret_bytes(secret.0).ok()?;
    Some(secret)
}

/// The first `count` accounts of a mnemonic. The slow part (2048 rounds of PBKDF2) is done once for all of them.
fn derive(phrase: &str, count: u32, origin: &str) -> Result<Vec<B256>, KeyError> {
    let invalid = || KeyError::Mnemonic { origin: origin.to_owned() };
    let words = phrase.split_whitespace().collect::<Vec<_>>().join(" ");
    let mnemonic = Mnemonic::<English>::new_from_phrase(&words).map_err(|_| invalid())?;
    let accounts = mnemonic.derive_key(ACCOUNTS_PATH, None).map_err(|_| invalid())?;
    (0..count)
        .map(|index| {
            let account = accounts.derive_path(&[index][..]).map_err(|_| invalid())?;
            let key: &SigningKey = account.as_ref();
            Ok(B256::from_slice(&key.to_bytes()))
        })
        .collect()
}

fn warn_if_others_can_read(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(metadata) = std::fs::metadata(path) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        let mode = format!("{mode:o}");
        tracing::warn!(file = %path.display(), mode, "other users can read the key file: chmod 600 it");
    }
}

#[cfg(test)]
mod tests {
    use alloy::primitives::{Address, address};

    use super::super::Keyring;
    use super::*;

    const PHRASE: &str = "test test test test test test test test test test test junk";
    const FIRST: Address = address!("f39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
    const SECOND: Address = address!("70997970C51812dc3A010C7d01b50e0d17dc79C8");
    const KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

    fn load(text: &str) -> Result<Keyring, KeyError> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("a writable file");
        Keyring::load(&KeysConfig { file: Some(file.path().to_owned()), ..KeysConfig::default() })
    }

    #[test]
    fn a_mnemonic_gives_the_accounts_that_every_wallet_derives() {
        let config = KeysConfig { mnemonic: Some(PHRASE.into()), count: Some(2), ..KeysConfig::default() };
        let addresses: Vec<_> = Keyring::load(&config).expect("keys").addresses().collect();
        assert_eq!(addresses, [FIRST, SECOND]);
    }

    #[test]
    fn a_file_holds_private_keys_and_comments_or_one_mnemonic() {
        let text = format!("# of the test chain\n\n{KEY} # first\n");
        let addresses: Vec<_> = load(&text).expect("keys").addresses().collect();
        assert_eq!(addresses, [FIRST]);
        let addresses: Vec<_> = load(&format!("{PHRASE}\n")).expect("keys").addresses().collect();
        assert_eq!(addresses.len(), DEFAULT_COUNT as usize);
        assert_eq!(addresses[..2], [FIRST, SECOND]);
    }

    #[test]
    fn a_bad_line_is_named_by_number_and_not_repeated() {
        for bad in ["0xac0974bec39a", "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80", "junk"] {
            let error = load(&format!("{KEY}\n{bad}\n")).expect_err("a bad line").to_string();
            assert!(error.contains(":2: ") && !error.contains(bad), "{error}");
        }
        let zero = format!("0x{}", "0".repeat(64));
        assert!(load(&zero).expect_err("zero is no key").to_string().contains(":1: "));
    }

    #[test]
    fn wrong_words_are_refused_without_repeating_them() {
        let wrong = PHRASE.replace("junk", "ability");
        let error = load(&wrong).expect_err("a wrong checksum").to_string();
        assert!(error.contains(":1") && !error.contains("ability"), "{error}");
        assert!(load(&format!("{PHRASE}\n{KEY}\n")).is_err());
        assert!(load(&format!("{KEY}\n{PHRASE}\n")).is_err());
    }

    #[test]
    fn a_file_without_keys_or_no_file_is_an_error_that_names_it() {
        assert!(load("# nothing\n").expect_err("no keys").to_string().contains("no signing keys"));
        let config = KeysConfig { file: Some("/nonexistent/keys.txt".into()), ..KeysConfig::default() };
        let error = Keyring::load(&config).expect_err("no file").to_string();
        assert!(error.contains("/nonexistent/keys.txt"), "{error}");
    }
}
