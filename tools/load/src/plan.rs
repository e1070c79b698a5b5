//! The plan of a run: what transaction number `n` is, and which number a transaction seen on the chain has.
//!
//! Number `n` comes from address `n mod addresses`, belongs to the stage that covers it, and is of the scenario that the stage's mix
//! draws for it. A plain transfer carries `n + 1` wei, everything else `n + 1` in the last 32 bytes of its input, so a transaction
//! is recognised on the chain without a word from the engine. Recipients are few because a dev chain hashes all its accounts for
//! each block.

use alloy::primitives::{Address, Bytes, U256, keccak256};

use crate::contracts::{Contracts, init_code, token_transfer};
use crate::mix::scatter;
use crate::scenario::{CALLDATA_BYTES, Scenario};
use crate::stage::Stage;

/// Recipients of one seed. Enough that no account is hot, few enough that the chain's state stays small.
const RECIPIENTS: u64 = 256;
/// Bytes of the word that carries the number.
const WORD: usize = 32;

/// What each transaction of a run is.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    seed: u64,
    /// Each stage with its first number.
    stages: Vec<(u64, Stage)>,
    transactions: u64,
    senders: Vec<Address>,
    recipients: Vec<Address>,
    contracts: Contracts,
}

/// The parts of a transaction by which the chain and the plan know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Signing address.
    pub(crate) from: Address,
    /// Recipient; `None` creates a contract.
    pub(crate) to: Option<Address>,
    /// Value in wei.
    pub(crate) value: U256,
    /// Input.
    pub(crate) input: Bytes,
}

impl Plan {
    /// A plan of `stages` over `senders`; neither may be empty.
    pub(crate) fn new(seed: u64, stages: Vec<Stage>, senders: Vec<Address>) -> anyhow::Result<Self> {
        assert!(!senders.is_empty() && !stages.is_empty(), "a plan needs a sender and a stage");
        let recipients = (0..RECIPIENTS)
            .map(|index| {
                let mut material = b"millrace load recipient".to_vec();
                material.extend_from_slice(&seed.to_be_bytes());
                material.extend_from_slice(&index.to_be_bytes());
                Address::from_word(keccak256(material))
            })
            .collect();
        let mut transactions = 0;
        let stages = stages
            .into_iter()
            .map(|stage| {
                let first = transactions;
                transactions += stage.transactions;
                (first, stage)
            })
            .collect();
        Ok(Self { seed, stages, transactions, senders, recipients, contracts: Contracts::new()? })
    }

    /// How many transactions the plan has; their numbers are `0..transactions`.
    pub(crate) fn transactions(&self) -> u64 {
        self.transactions
    }

    /// The signing addresses, in the order of the key file.
    pub(crate) fn senders(&self) -> &[Address] {
        &self.senders
    }

    /// The stages, each with its first number.
    pub(crate) fn stages(&self) -> &[(u64, Stage)] {
        &self.stages
    }

    /// Whether some stage calls a contract that must be there before.
    pub(crate) fn needs_contracts(&self) -> bool {
        self.stages.iter().any(|(_, stage)| stage.mix.scenarios().any(Scenario::needs_contract))
    }

    /// Where the contracts are.
    pub(crate) fn contracts(&self) -> Contracts {
        self.contracts
    }

    /// The index of the stage of transaction `number`.
    pub(crate) fn stage_of(&self, number: u64) -> usize {
        self.stages.partition_point(|(first, _)| *first <= number).saturating_sub(1)
    }

    /// The scenario of transaction `number`.
    pub(crate) fn scenario(&self, number: u64) -> Scenario {
        self.stages[self.stage_of(number)].1.mix.pick(self.seed, number)
    }

    /// The place of the sender of transaction `number` in [`Self::senders`], and how many of its transactions come before.
    pub(crate) fn place(&self, number: u64) -> (usize, u64) {
        (pick(number, self.senders.len()), number / self.senders.len() as u64)
    }

    /// Transaction `number`.
    pub(crate) fn call(&self, number: u64) -> Call {
        let from = self.senders[pick(number, self.senders.len())];
        let recipient = self.recipients[pick(number, self.recipients.len())];
        let mark = U256::from(number) + U256::ONE;
        let word = mark.to_be_bytes::<WORD>();
        let (to, value, input) = match self.scenario(number) {
            Scenario::Transfer => (Some(recipient), mark, Bytes::new()),
            Scenario::Erc20 => (Some(self.contracts.token), U256::ZERO, token_transfer(recipient, mark)),
            Scenario::Deploy => {
                // A runtime that begins with STOP, so that it is never taken for one with a format of its own.
                let mut runtime = vec![0];
                runtime.extend_from_slice(&word);
                (None, U256::ZERO, init_code(&runtime).into())
            }
            Scenario::Calldata => (Some(recipient), U256::ZERO, self.filled(number, &word)),
            Scenario::Storage => (Some(self.contracts.storage), U256::ZERO, Bytes::copy_from_slice(&word)),
        };
        Call { from, to, value, input }
    }

    /// Input that no compression shortens, with the number at its end.
    fn filled(&self, number: u64, word: &[u8; WORD]) -> Bytes {
        let mut input = Vec::with_capacity(CALLDATA_BYTES + size_of::<u64>());
        let mut filler = scatter(self.seed, number);
        while input.len() < CALLDATA_BYTES - WORD {
            filler = scatter(filler, number);
            input.extend_from_slice(&filler.to_be_bytes());
        }
        input.truncate(CALLDATA_BYTES - WORD);
        input.extend_from_slice(word);
        input.into()
    }

    /// The number of a transaction seen on the chain; `None` if it is not of this plan.
    pub(crate) fn number_of(&self, seen: &Call) -> Option<u64> {
        let mark = match seen.input.len() {
            0 => seen.value,
            length => U256::from_be_slice(&seen.input[length.checked_sub(WORD)?..]),
        };
        let number = u64::try_from(mark).ok()?.checked_sub(1)?;
        (number < self.transactions && self.call(number) == *seen).then_some(number)
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
            let Call { from, to, value, input } = self.call(number);
            let gas = self.scenario(number).gas();
            let key = self.key(number);
            write!(body, r#"{{"from":"{from:#x}","value":"{value:#x}","gas":"{gas:#x}","idempotencyKey":"{key}""#)
                .expect("writing to a Vec cannot fail");
            if let Some(to) = to {
                write!(body, r#","to":"{to:#x}""#).expect("writing to a Vec cannot fail");
            }
            if !input.is_empty() {
                write!(body, r#","data":"{input:#x}""#).expect("writing to a Vec cannot fail");
            }
            body.push(b'}');
        }
        body.extend_from_slice(b"]]}");
        body
    }
}

/// `number mod len` as an index.
fn pick(number: u64, len: usize) -> usize {
    usize::try_from(number % len as u64).expect("a remainder below a length fits an index")
}

/// A plan of plain transfers in one closed stage, for tests.
#[cfg(test)]
pub(crate) fn transfers(seed: u64, transactions: u64, senders: Vec<Address>) -> Plan {
    use crate::mix::Mix;
    use crate::stage::StagePace;
    let stage = Stage::of("all".into(), StagePace::Closed(1), transactions, Mix::only(Scenario::Transfer)).expect("the stage is good");
    Plan::new(seed, vec![stage], senders).expect("the plan is good")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::stage::StagePace;

    fn senders() -> Vec<Address> {
        [1, 2, 3].map(Address::repeat_byte).to_vec()
    }

    fn plan() -> Plan {
        transfers(42, 1000, senders())
    }

    fn mixed() -> Plan {
        let stage = |mix: &str, transactions| Stage::of(mix.into(), StagePace::Rate(5.0), transactions, mix.parse().unwrap()).unwrap();
        Plan::new(9, vec![stage("deploy", 10), stage("transfer,erc20,deploy,calldata,storage", 200)], senders()).unwrap()
    }

    #[test]
    fn every_number_is_found_again_from_its_call_whatever_the_scenario() {
        for plan in [plan(), mixed()] {
            for number in 0..plan.transactions() {
                assert_eq!(plan.number_of(&plan.call(number)), Some(number), "{:?}", plan.scenario(number));
            }
        }
    }

    #[test]
    fn a_number_belongs_to_the_stage_that_covers_it() {
        let plan = mixed();
        assert_eq!([0, 9, 10, 209].map(|number| plan.stage_of(number)), [0, 0, 1, 1]);
        assert!((0..10).all(|number| plan.scenario(number) == Scenario::Deploy));
        assert!(Scenario::ALL.into_iter().all(|scenario| (10..210).any(|number| plan.scenario(number) == scenario)));
    }

    #[test]
    fn a_call_that_differs_in_one_part_is_not_of_the_plan() {
        let plan = plan();
        let call = plan.call(10);
        assert_eq!(plan.number_of(&Call { from: Address::repeat_byte(1), ..plan.call(11) }), None);
        assert_eq!(plan.number_of(&Call { to: Some(Address::repeat_byte(9)), ..call.clone() }), None);
        assert_eq!(plan.number_of(&Call { to: None, ..call.clone() }), None);
        assert_eq!(plan.number_of(&Call { value: U256::ZERO, ..call.clone() }), None);
        assert_eq!(plan.number_of(&Call { value: U256::MAX, ..call.clone() }), None);
        assert_eq!(plan.number_of(&Call { value: U256::from(1001), ..call.clone() }), None, "beyond the plan's end");
        assert_eq!(plan.number_of(&Call { input: Bytes::from_static(&[1]), ..call }), None, "too short for a number");
        let filled = (10..210).find(|number| mixed().scenario(*number) == Scenario::Calldata).unwrap();
        let mut changed = mixed().call(filled);
        changed.input = [&[0], &changed.input[1..]].concat().into();
        assert_eq!(mixed().number_of(&changed), None);
    }

    #[test]
    fn senders_take_turns() {
        let plan = plan();
        assert_eq!(plan.call(0).from, plan.call(3).from);
        assert_ne!(plan.call(0).from, plan.call(1).from);
        assert_eq!([0, 2, 3, 8].map(|number| plan.place(number)), [(0, 0), (2, 0), (0, 1), (2, 2)]);
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

    #[test]
    fn a_deployment_has_input_and_no_recipient() {
        let body: serde_json::Value = serde_json::from_slice(&mixed().request(&[3])).unwrap();
        let element = &body["params"][0][0];
        assert!(element.get("to").is_none() && element["data"].as_str().unwrap().ends_with("04"));
    }
}
