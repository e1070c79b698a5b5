//! Price of a resubmission (row A8).
//!
//! From the highest of every earlier attempt and the market: at least the configured percentage on both fields, rounded
//! up, then capped. Where the cap leaves less than a pool's replacement minimum the transaction is held, never dropped.

use storage::AttemptFees;

use crate::sabotage::{self, Sabotage};

/// A pool takes a replacement only from this increase on, percent (geth, reth; EIP-1559 transactions on both fields).
pub const REPLACEMENT_PERCENT: u32 = 10;

/// The next price, or why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Increase {
    /// Sign a new attempt at this price.
    Price(AttemptFees),
    /// The cap, in wei, is below what a replacement needs, in wei: wait for the market to fall.
    Held {
        /// What a replacement would have to pay.
        needed: u128,
        /// The configured cap.
        cap: u128,
    },
}

/// How a price rises: by a percentage, or by a fixed step where that is more than a pool's minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// By this percentage.
    Percent(u32),
    /// By this many wei.
    Step(u128),
}

impl Strategy {
    /// The next price of a field; never below the pool's minimum.
    const fn next(self, amount: u128) -> u128 {
        let least = raised(amount, REPLACEMENT_PERCENT);
        let wanted = match self {
            Self::Percent(percent) => raised(amount, percent),
            Self::Step(step) => amount.saturating_add(step),
        };
        if wanted > least { wanted } else { least }
    }
}

/// `amount` raised by `percent`, rounded up, and by at least 1 wei.
const fn raised(amount: u128, percent: u32) -> u128 {
    let step = amount.saturating_mul(percent as u128).div_ceil(100);
    amount.saturating_add(if step == 0 { 1 } else { step })
}

/// The least that a pool takes as a replacement of all these attempts, wei per gas: in all, and for the block's producer.
#[must_use]
pub fn replacement_minimum(earlier: &[AttemptFees]) -> (u128, u128) {
    let highest = |pick: fn(&AttemptFees) -> u128| earlier.iter().map(pick).max().unwrap_or(0);
    (raised(highest(fee_cap), REPLACEMENT_PERCENT), raised(highest(tip_cap), REPLACEMENT_PERCENT))
}

/// The price of the next attempt after `earlier` ones (at least one), at the given market price.
#[must_use]
pub fn increase(earlier: &[AttemptFees], market: Option<AttemptFees>, strategy: Strategy, cap: Option<u128>) -> Increase {
    let highest = |pick: fn(&AttemptFees) -> u128| earlier.iter().map(pick).max().unwrap_or(0);
    let market_of = |pick: fn(&AttemptFees) -> u128| market.as_ref().map_or(0, pick);
    let (max_fee, tip) = (highest(fee_cap), highest(tip_cap));
    let needed = raised(max_fee, REPLACEMENT_PERCENT);
    let wanted = strategy.next(max_fee).max(market_of(fee_cap));
    if sabotage::on(Sabotage::ReplacementTooLow) {
        let next = |amount: u128| raised(amount, REPLACEMENT_PERCENT);
        let (max_fee_per_gas, max_priority_fee_per_gas) = (next(fee_cap(&earlier[0])), next(tip_cap(&earlier[0])));
        return Increase::Price(AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas });
    }
    let cap = cap.unwrap_or(u128::MAX);
    if needed > cap {
        return Increase::Held { needed, cap };
    }
    let max_fee_per_gas = wanted.min(cap);
    let legacy = earlier.iter().all(|fees| matches!(fees, AttemptFees::Legacy { .. }));
    if legacy {
        return Increase::Price(AttemptFees::Legacy { gas_price: max_fee_per_gas });
    }
    let max_priority_fee_per_gas = strategy.next(tip).max(market_of(tip_cap)).min(max_fee_per_gas);
    if max_priority_fee_per_gas < raised(tip, REPLACEMENT_PERCENT) {
        return Increase::Held { needed: raised(tip, REPLACEMENT_PERCENT), cap };
    }
    Increase::Price(AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas })
}

/// The price, with no field above the cap.
#[must_use]
pub fn capped(fees: AttemptFees, cap: Option<u128>) -> AttemptFees {
    let below = |wei: u128| wei.min(cap.unwrap_or(u128::MAX));
    match fees {
        AttemptFees::Legacy { gas_price } => AttemptFees::Legacy { gas_price: below(gas_price) },
        AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => {
            AttemptFees::Dynamic { max_fee_per_gas: below(max_fee_per_gas), max_priority_fee_per_gas: below(max_priority_fee_per_gas) }
        }
    }
}

/// Most that is paid for a unit of gas, wei.
#[must_use]
pub const fn fee_cap(fees: &AttemptFees) -> u128 {
    match fees {
        AttemptFees::Legacy { gas_price } => *gas_price,
        AttemptFees::Dynamic { max_fee_per_gas, .. } => *max_fee_per_gas,
    }
}

/// Most that is paid to the block's producer for a unit of gas, wei.
#[must_use]
pub const fn tip_cap(fees: &AttemptFees) -> u128 {
    match fees {
        AttemptFees::Legacy { gas_price } => *gas_price,
        AttemptFees::Dynamic { max_priority_fee_per_gas, .. } => *max_priority_fee_per_gas,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn dynamic(max_fee_per_gas: u128, max_priority_fee_per_gas: u128) -> AttemptFees {
        AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas }
    }

    #[test]
    fn both_fields_rise_by_the_percentage_rounded_up() {
        assert_eq!(increase(&[dynamic(101, 11)], None, Strategy::Percent(10), None), Increase::Price(dynamic(112, 13)));
        assert_eq!(increase(&[dynamic(0, 0)], None, Strategy::Percent(10), None), Increase::Price(dynamic(1, 1)));
    }

    #[test]
    fn the_highest_of_every_earlier_attempt_and_the_market_is_the_base() {
        let earlier = [dynamic(200, 5), dynamic(100, 50)];
        assert_eq!(increase(&earlier, None, Strategy::Percent(10), None), Increase::Price(dynamic(220, 55)));
        assert_eq!(increase(&earlier, Some(dynamic(900, 3)), Strategy::Percent(10), None), Increase::Price(dynamic(900, 55)));
    }

    #[test]
    fn at_the_cap_it_is_held_and_below_it_the_replacement_minimum_is_kept() {
        assert_eq!(increase(&[dynamic(100, 1)], Some(dynamic(500, 1)), Strategy::Percent(50), Some(115)), Increase::Price(dynamic(115, 2)));
        assert_eq!(increase(&[dynamic(100, 1)], None, Strategy::Percent(10), Some(109)), Increase::Held { needed: 110, cap: 109 });
    }

    #[test]
    fn a_legacy_transaction_stays_legacy() {
        let legacy = AttemptFees::Legacy { gas_price: 10 };
        assert_eq!(
            increase(&[legacy], Some(dynamic(30, 2)), Strategy::Percent(10), None),
            Increase::Price(AttemptFees::Legacy { gas_price: 30 })
        );
    }

    #[test]
    fn a_fixed_step_is_taken_where_it_is_more_than_the_replacement_minimum() {
        assert_eq!(increase(&[dynamic(100, 10)], None, Strategy::Step(30), None), Increase::Price(dynamic(130, 40)));
        assert_eq!(increase(&[dynamic(1000, 10)], None, Strategy::Step(30), None), Increase::Price(dynamic(1100, 40)));
    }

    #[test]
    fn a_first_price_is_capped_too() {
        assert_eq!(capped(dynamic(300, 20), Some(100)), dynamic(100, 20));
    }
}
