//! Price of a resubmission (row A8).
//!
//! From the highest of every earlier attempt and the market: at least the configured percentage on both fields, and 100 % on all
//! three of a transaction with blobs, rounded up, then capped. Where the cap leaves less than a pool's replacement minimum the transaction is held, never dropped.
//!
//! A replacement raises every field, so the first field that may not rise ends it for all of them. The last bid for which a cap leaves
//! room is therefore all that the caps allow, in each field: what is held then is held by the market being above a cap, and by nothing else.
//! The caps are what is paid at most; what is paid is the base fee and the tip, as before.

use storage::AttemptFees;

use crate::config::GasConfig;
use crate::sabotage::{self, Sabotage};

/// A pool takes a replacement only from this increase on, percent (geth, reth; EIP-1559 transactions on both fields).
pub const REPLACEMENT_PERCENT: u32 = 10;
/// The same of a transaction with blobs, on all three fields (geth's blob pool, reth).
pub const BLOB_REPLACEMENT_PERCENT: u32 = 100;
/// How much more the last bid for which one cap leaves room takes in a field without a cap: as much as four more replacements would.
const UNCAPPED_FACTOR: u32 = 16;

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
    /// The same of a blob's gas.
    HeldBlob {
        /// What a replacement would have to pay.
        needed: u64,
        /// The configured cap.
        cap: u64,
    },
}

/// What a price must not go above, by configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caps {
    /// Wei per gas.
    pub max_fee_per_gas: Option<u128>,
    /// Wei per blob gas.
    pub max_fee_per_blob_gas: Option<u64>,
}

impl From<&GasConfig> for Caps {
    fn from(gas: &GasConfig) -> Self {
        Self { max_fee_per_gas: gas.cap_max_fee_per_gas, max_fee_per_blob_gas: gas.cap_max_fee_per_blob_gas }
    }
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
    /// The next price of a field; never below the pool's minimum, in percent.
    const fn next(self, amount: u128, minimum: u32) -> u128 {
        let least = raised(amount, minimum);
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

/// From which increase on a pool takes a replacement of these, percent.
fn minimum(earlier: &[AttemptFees]) -> u32 {
    let blobs = earlier.iter().any(|fees| matches!(fees, AttemptFees::Blob { .. }));
    if blobs && !sabotage::on(Sabotage::BlobReplacementTooLow) { BLOB_REPLACEMENT_PERCENT } else { REPLACEMENT_PERCENT }
}

fn highest(earlier: &[AttemptFees], pick: fn(&AttemptFees) -> u128) -> u128 {
    earlier.iter().map(pick).max().unwrap_or(0)
}

fn wide_blob_cap(fees: &AttemptFees) -> u128 {
    u128::from(blob_cap(fees))
}

fn narrow(wei: u128) -> u64 {
    u64::try_from(wei).unwrap_or(u64::MAX)
}

/// The least that a pool takes as a replacement of all these attempts, wei per gas: in all, for the block's producer, and for a blob's gas.
#[must_use]
pub fn replacement_minimum(earlier: &[AttemptFees]) -> (u128, u128, u64) {
    let minimum = minimum(earlier);
    let least = |pick: fn(&AttemptFees) -> u128| raised(highest(earlier, pick), minimum);
    (least(fee_cap), least(tip_cap), narrow(least(wide_blob_cap)))
}

/// The price of the next attempt after `earlier` ones (at least one), at the given market price.
#[must_use]
pub fn increase(earlier: &[AttemptFees], market: Option<AttemptFees>, strategy: Strategy, caps: Caps) -> Increase {
    let market_of = |pick: fn(&AttemptFees) -> u128| market.as_ref().map_or(0, pick);
    let (max_fee, tip) = (highest(earlier, fee_cap), highest(earlier, tip_cap));
    let minimum = minimum(earlier);
    let needed = raised(max_fee, minimum);
    let wanted = strategy.next(max_fee, minimum).max(market_of(fee_cap));
    if sabotage::on(Sabotage::ReplacementTooLow) {
        let next = |amount: u128| raised(amount, REPLACEMENT_PERCENT);
        let (max_fee_per_gas, max_priority_fee_per_gas) = (next(fee_cap(&earlier[0])), next(tip_cap(&earlier[0])));
        return Increase::Price(AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas });
    }
    let cap = caps.max_fee_per_gas.unwrap_or(u128::MAX);
    if needed > cap {
        return Increase::Held { needed, cap };
    }
    let max_fee_per_gas = wanted.min(cap);
    let legacy = earlier.iter().all(|fees| matches!(fees, AttemptFees::Legacy { .. }));
    if legacy {
        return Increase::Price(last_bid(AttemptFees::Legacy { gas_price: max_fee_per_gas }, caps));
    }
    let max_priority_fee_per_gas = strategy.next(tip, minimum).max(market_of(tip_cap)).min(max_fee_per_gas);
    if max_priority_fee_per_gas < raised(tip, minimum) {
        return Increase::Held { needed: raised(tip, minimum), cap };
    }
    if !earlier.iter().any(|fees| matches!(fees, AttemptFees::Blob { .. })) {
        return Increase::Price(last_bid(AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas }, caps));
    }
    let blob = highest(earlier, wide_blob_cap);
    let (needed, blob_cap) = (narrow(raised(blob, minimum)), caps.max_fee_per_blob_gas.unwrap_or(u64::MAX));
    if needed > blob_cap {
        return Increase::HeldBlob { needed, cap: blob_cap };
    }
    let wanted = narrow(raised(blob, minimum).max(market_of(wide_blob_cap)));
    let fees = AttemptFees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas: wanted.min(blob_cap) };
    Increase::Price(last_bid(fees, caps))
}

/// A first bid: this price, with no field above its cap; all that the caps allow where they leave no room for a second one.
#[must_use]
pub fn first_bid(fees: AttemptFees, caps: Caps) -> AttemptFees {
    let below = |wei: u128| wei.min(caps.max_fee_per_gas.unwrap_or(u128::MAX));
    match fees {
        // Its price is what is paid, also where less would do.
        AttemptFees::Legacy { gas_price } => AttemptFees::Legacy { gas_price: below(gas_price) },
        AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => last_bid(
            AttemptFees::Dynamic { max_fee_per_gas: below(max_fee_per_gas), max_priority_fee_per_gas: below(max_priority_fee_per_gas) },
            caps,
        ),
        AttemptFees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas } => last_bid(
            AttemptFees::Blob {
                max_fee_per_gas: below(max_fee_per_gas),
                max_priority_fee_per_gas: below(max_priority_fee_per_gas),
                max_fee_per_blob_gas: max_fee_per_blob_gas.min(caps.max_fee_per_blob_gas.unwrap_or(u64::MAX)),
            },
            caps,
        ),
    }
}

/// A bid within the caps, raised to them if they leave no room for another one.
fn last_bid(fees: AttemptFees, caps: Caps) -> AttemptFees {
    let (cap, blob_cap) = (caps.max_fee_per_gas, caps.max_fee_per_blob_gas.map(u128::from));
    let ends = |wei: u128, cap: Option<u128>| cap.is_some_and(|cap| raised(wei, minimum(&[fees])) > cap);
    let is_last = ends(fee_cap(&fees), cap) || ends(wide_blob_cap(&fees), blob_cap);
    if !is_last {
        return fees;
    }
    let all = |wei: u128, cap: Option<u128>| cap.unwrap_or_else(|| wei.saturating_mul(UNCAPPED_FACTOR.into()));
    match fees {
        AttemptFees::Legacy { gas_price } => AttemptFees::Legacy { gas_price: all(gas_price, cap) },
        AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas } => {
            AttemptFees::Dynamic { max_fee_per_gas: all(max_fee_per_gas, cap), max_priority_fee_per_gas }
        }
        AttemptFees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas } => AttemptFees::Blob {
            max_fee_per_gas: all(max_fee_per_gas, cap),
            max_priority_fee_per_gas,
            max_fee_per_blob_gas: narrow(all(max_fee_per_blob_gas.into(), blob_cap)),
        },
    }
}

/// Most that is paid for a unit of gas, wei.
#[must_use]
pub const fn fee_cap(fees: &AttemptFees) -> u128 {
    match fees {
        AttemptFees::Legacy { gas_price } => *gas_price,
        AttemptFees::Dynamic { max_fee_per_gas, .. } | AttemptFees::Blob { max_fee_per_gas, .. } => *max_fee_per_gas,
    }
}

/// Most that is paid to the block's producer for a unit of gas, wei.
#[must_use]
pub const fn tip_cap(fees: &AttemptFees) -> u128 {
    match fees {
        AttemptFees::Legacy { gas_price } => *gas_price,
        AttemptFees::Dynamic { max_priority_fee_per_gas, .. } | AttemptFees::Blob { max_priority_fee_per_gas, .. } => {
            *max_priority_fee_per_gas
        }
    }
}

/// Most that is paid for a unit of blob gas, wei; 0 where there is none.
#[must_use]
pub const fn blob_cap(fees: &AttemptFees) -> u64 {
    match fees {
        AttemptFees::Blob { max_fee_per_blob_gas, .. } => *max_fee_per_blob_gas,
        AttemptFees::Legacy { .. } | AttemptFees::Dynamic { .. } => 0,
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};

    use super::*;

    const fn dynamic(max_fee_per_gas: u128, max_priority_fee_per_gas: u128) -> AttemptFees {
        AttemptFees::Dynamic { max_fee_per_gas, max_priority_fee_per_gas }
    }

    const fn blob(max_fee_per_gas: u128, max_priority_fee_per_gas: u128, max_fee_per_blob_gas: u64) -> AttemptFees {
        AttemptFees::Blob { max_fee_per_gas, max_priority_fee_per_gas, max_fee_per_blob_gas }
    }

    fn under(cap: u128) -> Caps {
        Caps { max_fee_per_gas: Some(cap), ..Caps::default() }
    }

    #[test]
    fn all_three_fields_of_a_blob_transaction_double_at_least() {
        let earlier = [blob(101, 11, 0), blob(50, 20, 7)];
        assert_eq!(increase(&earlier, None, Strategy::Percent(10), Caps::default()), Increase::Price(blob(202, 40, 14)));
        assert_eq!(increase(&earlier, Some(blob(90, 3, 99)), Strategy::Step(500), Caps::default()), Increase::Price(blob(601, 520, 99)));
        assert_eq!(replacement_minimum(&earlier), (202, 40, 14));
    }

    #[test]
    fn a_blob_transaction_is_held_at_either_cap() {
        let cap = |wei| Caps { max_fee_per_gas: None, max_fee_per_blob_gas: Some(wei) };
        assert_eq!(increase(&[blob(1, 1, 7)], None, Strategy::Percent(10), cap(13)), Increase::HeldBlob { needed: 14, cap: 13 });
        assert_eq!(increase(&[blob(1, 1, 7)], Some(blob(1, 1, 90)), Strategy::Percent(10), cap(20)), Increase::Price(blob(32, 2, 20)));
        assert_eq!(increase(&[blob(100, 1, 7)], None, Strategy::Percent(10), under(199)), Increase::Held { needed: 200, cap: 199 });
        assert_eq!(first_bid(blob(9, 8, 7), Caps { max_fee_per_gas: Some(5), max_fee_per_blob_gas: Some(6) }), blob(5, 5, 6));
    }

    #[test]
    fn both_fields_rise_by_the_percentage_rounded_up() {
        assert_eq!(increase(&[dynamic(101, 11)], None, Strategy::Percent(10), Caps::default()), Increase::Price(dynamic(112, 13)));
        assert_eq!(increase(&[dynamic(0, 0)], None, Strategy::Percent(10), Caps::default()), Increase::Price(dynamic(1, 1)));
    }

    #[test]
    fn the_highest_of_every_earlier_attempt_and_the_market_is_the_base() {
        let earlier = [dynamic(200, 5), dynamic(100, 50)];
        assert_eq!(increase(&earlier, None, Strategy::Percent(10), Caps::default()), Increase::Price(dynamic(220, 55)));
        assert_eq!(increase(&earlier, Some(dynamic(900, 3)), Strategy::Percent(10), Caps::default()), Increase::Price(dynamic(900, 55)));
    }

    #[test]
    fn at_the_cap_it_is_held_and_below_it_the_replacement_minimum_is_kept() {
        assert_eq!(
            increase(&[dynamic(100, 1)], Some(dynamic(500, 1)), Strategy::Percent(50), under(115)),
            Increase::Price(dynamic(115, 2))
        );
        assert_eq!(increase(&[dynamic(100, 1)], None, Strategy::Percent(10), under(109)), Increase::Held { needed: 110, cap: 109 });
    }

    #[test]
    fn a_legacy_transaction_stays_legacy() {
        let legacy = AttemptFees::Legacy { gas_price: 10 };
        assert_eq!(
            increase(&[legacy], Some(dynamic(30, 2)), Strategy::Percent(10), Caps::default()),
            Increase::Price(AttemptFees::Legacy { gas_price: 30 })
        );
    }

    #[test]
    fn a_fixed_step_is_taken_where_it_is_more_than_the_replacement_minimum() {
        assert_eq!(increase(&[dynamic(100, 10)], None, Strategy::Step(30), Caps::default()), Increase::Price(dynamic(130, 40)));
        assert_eq!(increase(&[dynamic(1000, 10)], None, Strategy::Step(30), Caps::default()), Increase::Price(dynamic(1100, 40)));
    }

    #[test]
    fn a_first_price_is_capped_too() {
        assert_eq!(first_bid(dynamic(300, 20), under(100)), dynamic(100, 20));
    }

    /// Blobs that bid all their cap allows while their gas was cheap could never follow gas that became dear, below its own cap.
    #[test]
    fn whatever_the_market_did_before_what_is_held_is_mined_once_the_market_is_below_the_caps() {
        let mut random = StdRng::seed_from_u64(1);
        let caps = Caps { max_fee_per_gas: Some(20_000), max_fee_per_blob_gas: Some(20_000) };
        let kinds: [fn(u128, u128, u64) -> AttemptFees; 2] = [|gas, tip, _| dynamic(gas, tip), blob];
        for run in 0..20_000 {
            let kind = kinds[run % 2];
            let mut market = || {
                let max_fee = random.random_range(1..30_000);
                kind(max_fee, random.random_range(1..=max_fee.min(9)), random.random_range(1..30_000))
            };
            let mut attempts = vec![first_bid(market(), caps)];
            for _ in 0..200 {
                match increase(&attempts, Some(market()), Strategy::Percent(10), caps) {
                    Increase::Price(fees) => attempts.push(fees),
                    Increase::Held { .. } | Increase::HeldBlob { .. } => break,
                }
            }
            let bids = |pick: fn(&AttemptFees) -> u128| highest(&attempts, pick);
            let blobs = if run % 2 == 0 { 0 } else { 20_000 };
            assert_eq!((bids(fee_cap), bids(wide_blob_cap)), (20_000, blobs), "{attempts:?}");
        }
    }

    #[test]
    fn a_bid_that_leaves_no_room_for_another_is_all_that_the_caps_allow() {
        let caps = Caps { max_fee_per_gas: Some(20), max_fee_per_blob_gas: Some(20_000) };
        assert_eq!(first_bid(blob(3, 1, 100_000), caps), blob(20, 1, 20_000));
        assert_eq!(first_bid(blob(3, 1, 10_000), caps), blob(3, 1, 10_000), "these blobs may double once more");
        assert_eq!(first_bid(dynamic(19, 1), caps), dynamic(20, 1));
        assert_eq!(
            first_bid(AttemptFees::Legacy { gas_price: 19 }, caps),
            AttemptFees::Legacy { gas_price: 19 },
            "all of it would be paid"
        );
        assert_eq!(first_bid(blob(11, 1, 5), under(20)), blob(20, 1, 80), "what has no cap leaves room for four more");
    }
}
