//! The load's own signing keys: derived from a seed, written for the engine, read back for their addresses.
//!
//! The keys are worth nothing outside a dev chain, yet they are handled as keys: the file is readable by its owner only, and
//! neither a key nor a line of the file appears in an error.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use alloy::primitives::{Address, B256, keccak256};
use alloy::signers::local::Secp256k1Signer;
use anyhow::{Context, bail};

/// Key number `index` of `seed`: the Keccak-256 of a label, the seed and the index.
///
/// A hash is a valid secp256k1 key unless it is zero or beyond the group order, which happens once in 2^128.
pub(crate) fn derive(seed: u64, index: u64) -> anyhow::Result<(B256, Secp256k1Signer)> {
    let mut material = b"millrace load key".to_vec();
    material.extend_from_slice(&seed.to_be_bytes());
    material.extend_from_slice(&index.to_be_bytes());
    let key = keccak256(material);
    let signer =
        Secp256k1Signer::from_bytes(&key).with_context(|| format!("key {index} of seed {seed} is not on the curve; take another seed"))?;
    Ok((key, signer))
}

/// Writes the first `count` keys of `seed`, one a line, to a file that only its owner reads, and returns their addresses in order.
pub(crate) fn write(path: &Path, seed: u64, count: u64) -> anyhow::Result<Vec<Address>> {
    let mut text = format!("# {count} keys of load seed {seed}; worth nothing outside a dev chain\n");
    let mut addresses = Vec::new();
    for index in 0..count {
        let (key, signer) = derive(seed, index)?;
        writeln!(text, "{key:#x}").expect("writing to a String cannot fail");
        addresses.push(signer.address());
    }
    // Removed first, so that the file has the mode below even where an older one was more open.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("replacing the key file {}", path.display()));
        }
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("creating the key file {}", path.display()))?;
    file.write_all(text.as_bytes()).with_context(|| format!("writing the key file {}", path.display()))?;
    Ok(addresses)
}

/// The addresses of a key file, in its order.
pub(crate) fn addresses(path: &Path) -> anyhow::Result<Vec<Address>> {
    Ok(signers(path)?.iter().map(Secp256k1Signer::address).collect())
}

/// The keys of a key file, in its order. Empty lines and lines that start with `#` are skipped.
pub(crate) fn signers(path: &Path) -> anyhow::Result<Vec<Secp256k1Signer>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading the key file {}", path.display()))?;
    let mut signers = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key: B256 =
            line.parse().map_err(|_| anyhow::anyhow!("{}, line {}: not a private key of 32 bytes in hex", path.display(), index + 1))?;
        let signer = Secp256k1Signer::from_bytes(&key)
            .map_err(|_| anyhow::anyhow!("{}, line {}: not a key of the secp256k1 group", path.display(), index + 1))?;
        signers.push(signer);
    }
    if signers.is_empty() {
        bail!("the key file {} holds no key; write one with `load fund`", path.display());
    }
    Ok(signers)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_addresses_and_another_seed_gives_others() {
        let address = |seed, index| derive(seed, index).unwrap().1.address();
        assert_eq!(address(7, 3), address(7, 3));
        assert_ne!(address(7, 3), address(8, 3));
        assert_ne!(address(7, 3), address(7, 4));
    }

    #[test]
    fn a_key_file_is_private_and_gives_its_addresses_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.txt");
        let written = write(&path, 5, 3).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(addresses(&path).unwrap(), written);
        assert_eq!(write(&path, 6, 1).unwrap().len(), 1, "an older file is replaced");
    }

    #[test]
    fn an_error_in_a_key_file_names_the_line_and_not_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.txt");
        std::fs::write(&path, "# head\n0xnotakeybutsecret\n").unwrap();
        let message = format!("{:#}", addresses(&path).unwrap_err());
        assert!(message.contains("line 2") && !message.contains("secret"), "{message}");
    }
}
