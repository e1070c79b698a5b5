//! Which shard an address lives on. Nothing that is stored depends on it, so the number of shards can change at any start.

use alloy::primitives::Address;

/// An odd constant near 2^64 divided by the golden ratio: spreads what vanity addresses leave alike.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The shard of an address, below `shards`.
#[must_use]
pub fn shard_of(address: &Address, shards: usize) -> usize {
    let word = |at: usize| u64::from_be_bytes(address[at..at + 8].try_into().expect("eight bytes"));
    let mixed = (word(0) ^ word(8).rotate_left(21) ^ word(12)).wrapping_mul(SPREAD);
    usize::try_from((mixed >> 32) % shards.max(1) as u64).expect("below the number of shards")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_spread_evenly_even_when_they_are_much_alike() {
        let mut count = [0_usize; 4];
        for number in 0..4000_u64 {
            let mut address = Address::ZERO;
            address[12..].copy_from_slice(&number.to_be_bytes());
            count[shard_of(&address, 4)] += 1;
        }
        assert!(count.iter().all(|shard| (800..1200).contains(shard)), "{count:?}");
    }
}
