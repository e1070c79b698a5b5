//! The plan of a run: what transaction number `n` is, and which number a transaction seen on the chain has.
//!
//! Number `n` comes from address `n mod addresses`, carries `n + 1` wei, and goes to one of a few recipients that belong to the
//! seed. The value alone makes it unique, so a transaction is recognised on the chain without a word from the engine. The
//! recipients are few because a dev chain hashes all its accounts for each block.

use alloy::primitives::{Address, U256, keccak256};

/// Recipients of one seed. Enough that no account is hot, few enough that the chain's state stays small.
const RECIPIENTS: u64 = 256;

/// Gas of a plain transfer (yellow paper, G_transaction).
pub(crate) const TRANSFER_GAS: u64 = 21_000;

/// What each transaction of a run is.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    seed: u64,
    transactions: u64,
    senders: Vec<Address>,
    recipients: Vec<Address>,
}

/// The parts of a transaction by which the chain and the plan know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Transfer {
    /// Signing address.
    pub(crate) from: Address,
    /// Recipient.
    pub(crate) to: Address,
    /// Value in wei.
    pub(crate) value: U256,
}

impl Plan {
    /// A plan of `transactions` transfers over `senders`, which must not be empty.
    pub(crate) fn new(seed: u64, transactions: u64, senders: Vec<Address>) -> Self {
        assert!(!senders.is_empty(), "a plan needs a sender");
        let recipients = (0..RECIPIENTS)
            .map(|index| {
                let mut material = b"millrace load recipient".to_vec();
                material.extend_from_slice(&seed.to_be_bytes());
                material.extend_from_slice(&index.to_be_bytes());
                Address::from_word(keccak256(material))
            })
            .collect();
        Self { seed, transactions, senders, recipients }
    }

    /// How many transactions the plan has; their numbers are `0..transactions`.
    pub(crate) fn transactions(&self) -> u64 {
        self.transactions
    }

    /// The signing addresses, in the order of the key file.
    pub(crate) fn senders(&self) -> &[Address] {
        &self.senders
    }

    /// Transaction `number`.
    pub(crate) fn transfer(&self, number: u64) -> Transfer {
        Transfer {
            from: self.senders[pick(number, self.senders.len())],
            to: self.recipients[pick(number, self.recipients.len())],
            value: U256::from(number) + U256::ONE,
        }
    }

    /// The number of a transfer seen on the chain; `None` if it is not of this plan.
    pub(crate) fn number_of(&self, seen: &Transfer) -> Option<u64> {
        let number = u64::try_from(seen.value).ok()?.checked_sub(1)?;
        (number < self.transactions && self.transfer(number) == *seen).then_some(number)
    }

    /// What all idempotency keys of the run start with.
    pub(crate) fn key_prefix(&self) -> String {
        format!("load-{}-", self.seed)
    }

    /// Idempotency key of transaction `number`; padded, so that the keys sort by number.
    pub(crate) fn key(&self, number: u64) -> String {
        format!("load-{}-{number:010}", self.seed)
    }

    /// The number behind an idempotency key; `None` if the key is not of this plan.
    pub(crate) fn number_of_key(&self, key: &str) -> Option<u64> {
        let number = key.strip_prefix(&self.key_prefix())?.parse().ok()?;
        (number < self.transactions && self.key(number) == key).then_some(number)
    }

    /// Body of the `ptx_sendTransactions` request that offers `numbers`, written by hand because the load shares two cores with
    /// what it measures.
    pub(crate) fn request(&self, numbers: &[u64]) -> Vec<u8> {
        use std::io::Write as _;
        let mut body = Vec::with_capacity(80 + numbers.len() * 220);
        body.extend_from_slice(br#"{"jsonrpc":"2.0","id":1,"method":"ptx_sendTransactions","params":[["#);
        for (index, &number) in numbers.iter().enumerate() {
            if index > 0 {
                body.push(b',');
            }
            let Transfer { from, to, value } = self.transfer(number);
            let key = self.key(number);
            write!(
                body,
                r#"{{"from":"{from:#x}","to":"{to:#x}","value":"{value:#x}","gas":"{TRANSFER_GAS:#x}","idempotencyKey":"{key}"}}"#
            )
            .expect("writing to a Vec cannot fail");
        }
        body.extend_from_slice(b"]]}");
        body
    }
}

/// `number mod len` as an index.
fn pick(number: u64, len: usize) -> usize {
    usize::try_from(number % len as u64).expect("a remainder below a length fits an index")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn plan() -> Plan {
        Plan::new(42, 1000, vec![Address::repeat_byte(1), Address::repeat_byte(2), Address::repeat_byte(3)])
    }

    #[test]
    fn every_number_is_found_again_from_its_transfer() {
        let plan = plan();
        for number in [0, 1, 2, 3, 255, 256, 999] {
            assert_eq!(plan.number_of(&plan.transfer(number)), Some(number));
        }
    }

    #[test]
    fn a_transfer_that_differs_in_one_part_is_not_of_the_plan() {
        let plan = plan();
        let transfer = plan.transfer(10);
        assert_eq!(plan.number_of(&Transfer { from: Address::repeat_byte(1), ..plan.transfer(11) }), None);
        assert_eq!(plan.number_of(&Transfer { to: Address::repeat_byte(9), ..transfer }), None);
        assert_eq!(plan.number_of(&Transfer { value: U256::ZERO, ..transfer }), None);
        assert_eq!(plan.number_of(&Transfer { value: U256::MAX, ..transfer }), None);
        assert_eq!(plan.number_of(&Transfer { value: U256::from(1001), ..transfer }), None, "beyond the plan's end");
    }

    #[test]
    fn senders_take_turns() {
        let plan = plan();
        assert_eq!(plan.transfer(0).from, plan.transfer(3).from);
        assert_ne!(plan.transfer(0).from, plan.transfer(1).from);
    }

    #[test]
    fn keys_lead_back_to_their_numbers() {
        let plan = plan();
        assert_eq!(plan.key(7), "load-42-0000000007");
        assert_eq!(plan.number_of_key(&plan.key(7)), Some(7));
        assert_eq!(plan.number_of_key("load-42-7"), None);
        assert_eq!(plan.number_of_key("load-43-0000000007"), None);
        assert_eq!(plan.number_of_key("load-42-0000001000"), None);
    }

    #[test]
    fn a_request_is_json_with_one_element_for_each_number() {
        let body: serde_json::Value = serde_json::from_slice(&plan().request(&[4, 9])).unwrap();
        let elements = body["params"][0].as_array().unwrap();
        assert_eq!(body["method"], "ptx_sendTransactions");
        assert_eq!(elements.len(), 2);
        assert_eq!(elements[1]["value"], "0xa");
        assert_eq!(elements[1]["gas"], "0x5208");
        assert_eq!(elements[1]["idempotencyKey"], "load-42-0000000009");
    }
}
