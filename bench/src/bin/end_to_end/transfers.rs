//! The transfers of a run: from each address in turn, to one of a few recipients, each with a value of its own by which it is
//! recognised on the chain. The same form as the load's, so that all systems do the same work.

use std::path::Path;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use alloy::signers::local::PrivateKeySigner;
use anyhow::{Context, ensure};
use engine::Submission;
use storage::{Fees, Request};

/// Gas of a plain transfer.
pub(crate) const TRANSFER_GAS: u64 = 21_000;
/// Accounts that are paid.
const RECIPIENTS: u64 = 256;

/// The transfers of a run, by number from 0.
#[derive(Clone, Debug)]
pub(crate) struct Transfers {
    senders: Vec<Address>,
    recipients: Vec<Address>,
}

impl Transfers {
    /// Transfers from `senders`.
    pub(crate) fn new(senders: Vec<Address>) -> Self {
        let recipient = |index: u64| Address::from_word(keccak256([b"end to end recipient".as_slice(), &index.to_be_bytes()].concat()));
        Self { senders, recipients: (0..RECIPIENTS).map(recipient).collect() }
    }

    /// The signing addresses.
    pub(crate) fn senders(&self) -> &[Address] {
        &self.senders
    }

    /// Sender, recipient and value of a transfer.
    pub(crate) fn parts(&self, number: u64) -> (Address, Address, U256) {
        let pick = |from: &[Address]| from[usize::try_from(number % from.len() as u64).expect("a remainder below a length fits an index")];
        (pick(&self.senders), pick(&self.recipients), U256::from(number) + U256::ONE)
    }

    /// The number of the transfer with these parts, if it is one.
    pub(crate) fn number_of(&self, from: Address, to: Option<Address>, value: U256) -> Option<u64> {
        let number = u64::try_from(value).ok()?.checked_sub(1)?;
        (self.parts(number) == (from, to?, value)).then_some(number)
    }

    /// What the engine is asked for.
    pub(crate) fn submission(&self, number: u64) -> Submission {
        let (from, to, value) = self.parts(number);
        let request = Request { from, to: Some(to), value, data: Bytes::new(), gas: Some(TRANSFER_GAS), fees: Fees::Market, extras: None };
        Submission {
            request,
            chain_id: None,
            idempotency_key: Some(format!("end-to-end-{number:010}")),
            depends_on: Vec::new(),
            blobs: None,
        }
    }
}

/// The keys of a file that `load fund` has written.
pub(crate) fn signers(path: &Path) -> anyhow::Result<Vec<PrivateKeySigner>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("reading the key file {}", path.display()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    // The text of the error stays out: it may hold the key.
    let signer = |line: &str| line.parse::<B256>().ok().and_then(|key| PrivateKeySigner::from_bytes(&key).ok());
    let signers: Option<Vec<_>> = lines.map(signer).collect();
    let signers = signers.with_context(|| format!("{} holds a line that is no private key", path.display()))?;
    ensure!(!signers.is_empty(), "{} holds no key", path.display());
    Ok(signers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transfers() -> Transfers {
        Transfers::new([1, 2, 3].map(Address::repeat_byte).to_vec())
    }

    #[test]
    fn a_transfer_is_recognised_by_its_parts_and_by_all_of_them() {
        let transfers = transfers();
        for number in [0, 1, 255, 256, 1000] {
            let (from, to, value) = transfers.parts(number);
            assert_eq!(transfers.number_of(from, Some(to), value), Some(number));
            assert_eq!(transfers.number_of(from, None, value), None);
            assert_eq!(transfers.number_of(from, Some(from), value), None);
            assert_eq!(transfers.number_of(from, Some(to), value + U256::ONE), None);
        }
        assert_eq!(transfers.number_of(Address::repeat_byte(1), Some(Address::ZERO), U256::ZERO), None);
    }

    #[test]
    fn each_submission_has_a_key_of_its_own() {
        let (first, second) = (transfers().submission(0), transfers().submission(1));
        assert_ne!(first.idempotency_key, second.idempotency_key);
        assert_eq!((first.request.gas, first.request.from), (Some(21_000), Address::repeat_byte(1)));
    }
}
