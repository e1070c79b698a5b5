//! Scenarios: the kinds of transactions a load is made of, and the gas each is given.
//!
//! Every transaction carries its number, so that the chain alone tells which one it is: a plain transfer in its value, all others
//! in the last 32 bytes of their input.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Gas of a plain transfer (yellow paper, G_transaction).
pub(crate) const TRANSFER_GAS: u64 = 21_000;
/// Bytes of the calldata scenario's input: as much as a small rollup batch or a signed order takes.
pub(crate) const CALLDATA_BYTES: usize = 1024;
/// Gas of one byte of input that is not zero, at its dearest (EIP-7623, floor).
const GAS_PER_BYTE: u64 = 40;

/// A kind of transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Scenario {
    /// Plain value transfer.
    Transfer,
    /// `transfer(address,uint256)` of a token with balances and a `Transfer` event.
    Erc20,
    /// Creation of a small contract.
    Deploy,
    /// A kilobyte of input to an address without code.
    Calldata,
    /// Four storage slots written for the first time.
    Storage,
}

impl Scenario {
    /// All scenarios.
    pub(crate) const ALL: [Self; 5] = [Self::Transfer, Self::Erc20, Self::Deploy, Self::Calldata, Self::Storage];

    /// Its name on the command line, in files and in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Transfer => "transfer",
            Self::Erc20 => "erc20",
            Self::Deploy => "deploy",
            Self::Calldata => "calldata",
            Self::Storage => "storage",
        }
    }

    /// Gas limit of one transaction, with room above what devnet, anvil and geth use.
    pub(crate) const fn gas(self) -> u64 {
        match self {
            Self::Transfer => TRANSFER_GAS,
            Self::Erc20 => 80_000,
            Self::Deploy => 90_000,
            Self::Calldata => TRANSFER_GAS + CALLDATA_BYTES as u64 * GAS_PER_BYTE,
            Self::Storage => 140_000,
        }
    }

    /// Whether it calls a contract that `load fund --contracts` deploys.
    pub(crate) const fn needs_contract(self) -> bool {
        matches!(self, Self::Erc20 | Self::Storage)
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        if let Some(scenario) = Self::ALL.into_iter().find(|scenario| scenario.name() == name) {
            return Ok(scenario);
        }
        let known = Self::ALL.map(Self::name).join(", ");
        Err(match name {
            "blob" => format!("scenario `blob`: millrace takes no blob transactions; leave it out; there are {known}"),
            "private" => format!("scenario `private`: millrace has no private transfers; leave it out; there are {known}"),
            _ => format!("unknown scenario `{name}`; there are {known}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_found_by_its_name() {
        for scenario in Scenario::ALL {
            assert_eq!(scenario.name().parse(), Ok(scenario));
        }
    }

    #[test]
    fn an_unknown_scenario_is_named_with_the_ones_there_are() {
        let message = "swap".parse::<Scenario>().expect_err("there is none");
        assert!(message.contains("`swap`") && message.contains("transfer, erc20, deploy, calldata, storage"), "{message}");
        assert!("blob".parse::<Scenario>().expect_err("not taken").contains("no blob transactions"));
    }
}
