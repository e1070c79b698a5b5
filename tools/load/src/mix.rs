//! A weighted mix of scenarios: `transfer=8,erc20=2`.
//!
//! Which scenario a transaction is depends on the seed and its number alone, so that verification and a resumed run find the same
//! without having been told.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::scenario::Scenario;

/// Heaviest weight: sums of all stay far below the range of the draw.
const WEIGHT_MAX: u64 = 1_000_000;

/// Scenarios with their weights; at least one weight is above zero.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<String, u64>", into = "BTreeMap<String, u64>")]
pub(crate) struct Mix(Vec<(Scenario, u64)>);

impl Mix {
    /// Nothing but `scenario`.
    pub(crate) fn only(scenario: Scenario) -> Self {
        Self(vec![(scenario, 1)])
    }

    fn new(weights: Vec<(Scenario, u64)>) -> Result<Self, String> {
        if let Some((scenario, weight)) = weights.iter().find(|(_, weight)| *weight > WEIGHT_MAX) {
            return Err(format!("weight {weight} of `{}` is above {WEIGHT_MAX}; weights are relative, take smaller ones", scenario.name()));
        }
        let mut weights: Vec<_> = weights.into_iter().filter(|(_, weight)| *weight > 0).collect();
        // The draw depends on the order: it must be the same from the command line, from a file and from a record.
        weights.sort_unstable();
        if weights.is_empty() {
            return Err("a mix needs a scenario with a weight above 0; write for example transfer=8,erc20=2".to_owned());
        }
        Ok(Self(weights))
    }

    /// The scenarios in the mix.
    pub(crate) fn scenarios(&self) -> impl Iterator<Item = Scenario> {
        self.0.iter().map(|(scenario, _)| *scenario)
    }

    /// The scenario of transaction `number`.
    pub(crate) fn pick(&self, seed: u64, number: u64) -> Scenario {
        let total: u64 = self.0.iter().map(|(_, weight)| weight).sum();
        let mut drawn = scatter(seed, number) % total;
        for (scenario, weight) in &self.0 {
            if drawn < *weight {
                return *scenario;
            }
            drawn -= weight;
        }
        unreachable!("what is drawn is below the sum of the weights")
    }
}

/// A number that looks random and depends on both alone (the mixing steps of SplitMix64, Steele and others 2014).
pub(crate) fn scatter(seed: u64, number: u64) -> u64 {
    let mut z = seed.wrapping_mul(0xD134_2543_DE82_EF95).wrapping_add(number.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut weights = BTreeMap::new();
        for part in text.split(',') {
            let (name, weight) = part.split_once('=').unwrap_or((part, "1"));
            let scenario: Scenario = name.trim().parse()?;
            let weight = weight.trim();
            let weight = weight.parse().map_err(|_| format!("weight `{weight}` of `{}` is not a whole number", scenario.name()))?;
            if weights.insert(scenario, weight).is_some() {
                return Err(format!("`{}` is in the mix twice; give it one weight", scenario.name()));
            }
        }
        Self::new(weights.into_iter().collect())
    }
}

impl TryFrom<BTreeMap<String, u64>> for Mix {
    type Error = String;

    fn try_from(table: BTreeMap<String, u64>) -> Result<Self, Self::Error> {
        let weights = table.iter().map(|(name, weight)| Ok((name.parse()?, *weight))).collect::<Result<Vec<_>, String>>()?;
        Self::new(weights)
    }
}

impl From<Mix> for BTreeMap<String, u64> {
    fn from(mix: Mix) -> Self {
        mix.0.into_iter().map(|(scenario, weight)| (scenario.name().to_owned(), weight)).collect()
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (scenario, weight)) in self.0.iter().enumerate() {
            write!(f, "{}{}={weight}", if index > 0 { "," } else { "" }, scenario.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_mix_is_drawn_in_proportion_to_its_weights_and_always_the_same() {
        let mix: Mix = "transfer=8,erc20=2".parse().unwrap();
        let tokens = (0..10_000).filter(|number| mix.pick(7, *number) == Scenario::Erc20).count();
        assert!((1_800..2_200).contains(&tokens), "{tokens} of 10000 at a weight of 2 in 10");
        assert_eq!(mix.pick(7, 123), mix.pick(7, 123));
        assert!((0..100).any(|number| mix.pick(7, number) != mix.pick(8, number)), "another seed draws otherwise");
    }

    #[test]
    fn a_name_alone_has_the_weight_one() {
        assert_eq!("deploy".parse(), Ok(Mix::only(Scenario::Deploy)));
        assert_eq!("deploy, storage = 3".parse::<Mix>().unwrap().to_string(), "deploy=1,storage=3");
    }

    #[test]
    fn what_cannot_be_a_mix_is_refused_with_its_value() {
        for (text, part) in [
            ("transfer=x", "weight `x` of `transfer`"),
            ("transfer=1,transfer=2", "twice"),
            ("transfer=0", "a weight above 0"),
            ("swap=1", "unknown scenario `swap`"),
            ("transfer=-1", "weight `-1`"),
            ("transfer=9999999", "9999999"),
            ("", "unknown scenario ``"),
        ] {
            let message = text.parse::<Mix>().unwrap_err();
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn a_mix_survives_json() {
        let mix: Mix = "transfer=8,storage=1,calldata=2,deploy=1".parse().unwrap();
        assert_eq!(serde_json::from_str::<Mix>(&serde_json::to_string(&mix).unwrap()).unwrap(), mix);
    }
}
