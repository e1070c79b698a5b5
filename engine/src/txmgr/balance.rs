//! Money of one address: what it holds, and what its transactions may take of it (row A11).
//!
//! ```text
//!   read ──► known ── less what its own transactions really cost, as blocks hold them
//!   bind ──► reserved: (max fee × gas + max blob fee × blob gas + value) of all that is bound and in no block; the dearest attempt counts
//!   reserved + cost of the next ≤ known? ── yes ──► bind
//!                                        └─ no ───► read again, once per head; the address waits and says why
//! ```
//!
//! **How it fails.** A balance that was read before a block whose costs were deducted since, or after one that has not been, is
//! too low here, never too high for longer than a read is under way: an address may wait a little too long, and the next read sets it
//! right. Money that somebody else takes shows as a node's refusal, which has the balance read again.

use std::fmt;
use std::time::Duration;

use alloy::eips::eip4844::DATA_GAS_PER_BLOB;
use alloy::primitives::U256;
use serde::{Deserialize, Serialize};
use storage::AttemptFees;

use super::increase::{blob_cap, fee_cap};

/// What an address does while the node does not tell its balance (seed 003, `unavailableBalanceHandlingStrategy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unavailable {
    /// It waits; the node is asked again, with backoff and at each head.
    Wait,
    /// It stops until it is resumed by hand, or the process starts again.
    Stop,
    /// It goes on as if the balance sufficed.
    Continue,
}

/// Most that a transaction can take, wei; `U256::MAX` if it is more than that. 0 if gas costs nothing: such a chain keeps no balances
/// that matter, and all of this is skipped. `blobs`: how many it carries, each of which takes [`DATA_GAS_PER_BLOB`].
#[must_use]
pub fn cost(fees: &AttemptFees, gas: u64, value: U256, blobs: usize) -> U256 {
    match fee_cap(fees) {
        0 => U256::ZERO,
        // 128 and 64 bits fit.
        fee => {
            let cost = (U256::from(fee) * U256::from(gas)).saturating_add(value);
            // Hardly any carries blobs.
            if blobs == 0 { cost } else { cost.saturating_add(blob_cost(fees, blobs)) }
        }
    }
}

/// Most that the gas of this many blobs can take, wei.
fn blob_cost(fees: &AttemptFees, blobs: usize) -> U256 {
    U256::from(blob_cap(fees)) * U256::from(DATA_GAS_PER_BLOB) * U256::from(blobs)
}

/// Why an address waits for money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What is bound and what is next may take, wei; `U256::MAX` stands for more than there can be.
    pub needed: U256,
    /// What the address holds as far as is known, wei; `None` if the node has not told.
    pub available: Option<U256>,
    /// It stopped because the node did not tell, and goes on when it is resumed.
    pub stopped: bool,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { needed, .. } = self;
        if *needed == U256::MAX {
            return f.write_str("needs more than 2^256 - 1 wei, which no address can hold: lower the value, the gas or the price");
        }
        match self.available {
            Some(available) => write!(f, "insufficient funds: needs {needed} wei, has {available} wei"),
            None => write!(f, "needs {needed} wei, and the node does not tell the balance"),
        }?;
        if self.stopped {
            f.write_str("; stopped until it is resumed, as txmgr.balance_unavailable = \"stop\" says")?;
        }
        Ok(())
    }
}

/// When the balance was last read.
#[derive(Clone, Copy, Debug)]
struct Read {
    head: u64,
    at: Duration,
}

/// Money of one address.
#[derive(Clone, Debug, Default)]
pub struct Balance {
    known: Option<U256>,
    reserved: U256,
    asking: bool,
    spent_while_asking: U256,
    read: Option<Read>,
    failures: u32,
    ask_again_at: Duration,
    stopped: bool,
    /// Bound transactions that wait for money.
    held: u32,
    /// What the next to bind costs, if the balance does not cover it.
    next: Option<U256>,
    /// Told as a shortage.
    said: bool,
}

impl Balance {
    /// Reserved by what is bound and in no block, wei.
    #[must_use]
    pub const fn reserved(&self) -> U256 {
        self.reserved
    }

    /// What the address holds as far as is known, wei.
    #[must_use]
    pub const fn known(&self) -> Option<U256> {
        self.known
    }

    /// It is being asked for, and nothing is known of it yet.
    #[must_use]
    pub const fn is_first_asked(&self) -> bool {
        self.asking && self.known.is_none()
    }

    /// It is known, and was read no longer ago than this.
    #[must_use]
    pub fn is_recent(&self, now: Duration, limit: Duration) -> bool {
        self.known.is_some() && self.read.is_some_and(|read| now.saturating_sub(read.at) <= limit)
    }

    /// Bound transactions that wait for money.
    #[must_use]
    pub const fn held(&self) -> u32 {
        self.held
    }

    /// Why the address waits for money, if it does.
    #[must_use]
    pub fn shortage(&self) -> Option<Shortage> {
        let needed = self.reserved.saturating_add(self.next.unwrap_or_default());
        (self.next.is_some() || self.held > 0 || self.stopped).then_some(Shortage { needed, available: self.known, stopped: self.stopped })
    }

    /// True if this much more can be reserved. Nothing goes past what is bound and waits for money.
    #[must_use]
    pub fn covers(&self, cost: U256) -> bool {
        cost.is_zero() || (self.held == 0 && !self.stopped && self.fits(cost))
    }

    /// True if the balance, as far as is known, suffices for what is reserved and this much more.
    #[must_use]
    pub fn fits(&self, cost: U256) -> bool {
        let needed = self.reserved.checked_add(cost).filter(|needed| *needed < U256::MAX);
        needed.is_some_and(|needed| self.known.is_some_and(|known| needed <= known))
    }

    /// Reserves.
    pub const fn reserve(&mut self, cost: U256) {
        self.reserved = self.reserved.saturating_add(cost);
    }

    /// Gives back what was reserved.
    pub const fn release(&mut self, cost: U256) {
        self.reserved = self.reserved.saturating_sub(cost);
    }

    /// What is reserved and held, counted anew: whatever was lost or added since heals.
    pub const fn recount(&mut self, reserved: U256, held: u32) {
        self.reserved = reserved;
        self.held = held;
    }

    /// A transaction of the address really cost this much.
    pub fn spent(&mut self, wei: U256) {
        self.known = self.known.map(|known| known.saturating_sub(wei));
        if self.asking {
            self.spent_while_asking = self.spent_while_asking.saturating_add(wei);
        }
    }

    /// Nothing is known any more: what it was derived from has left the chain.
    pub const fn forget(&mut self) {
        self.known = None;
        self.read = None;
    }

    /// A bound transaction begins to wait for money.
    pub const fn hold(&mut self) {
        self.held += 1;
    }

    /// What the next to bind costs, if the balance did not cover it when it was looked at last.
    #[must_use]
    pub const fn next(&self) -> Option<U256> {
        self.next
    }

    /// The next to bind costs this much, and the balance does not cover it; `None` if it does.
    pub const fn wants(&mut self, next: Option<U256>) {
        self.next = next;
    }

    /// True if the node has to be asked: nobody does, and there may be something new. `still` is the time after which even a chain
    /// that stands still is asked again.
    #[must_use]
    pub fn may_ask(&self, head: u64, now: Duration, still: Duration) -> bool {
        let new = self.read.is_none_or(|read| head != read.head || now >= read.at + still);
        !self.asking && !self.stopped && new && now >= self.ask_again_at
    }

    /// When [`Self::may_ask`] turns true without a new head; `None` if that is now, or never before something else happens.
    #[must_use]
    pub fn ask_at(&self, now: Duration, still: Duration) -> Option<Duration> {
        let at = self.read.map_or(self.ask_again_at, |read| self.ask_again_at.max(read.at + still));
        (at > now && !self.asking && !self.stopped).then_some(at)
    }

    /// A node contradicts what was read: to be read again, whatever the head.
    pub const fn doubt(&mut self) {
        self.read = None;
    }

    /// A new head: a pause after failures is over.
    pub const fn new_head(&mut self) {
        self.ask_again_at = Duration::ZERO;
    }

    /// The node is being asked.
    pub const fn asked(&mut self) {
        self.asking = true;
        self.spent_while_asking = U256::ZERO;
    }

    /// The node has told. What was spent since it was asked may be in it or not: the lower one counts.
    pub const fn told(&mut self, wei: U256, head: u64, now: Duration) {
        self.asking = false;
        self.known = Some(wei.saturating_sub(self.spent_while_asking));
        self.read = Some(Read { head, at: now });
        self.failures = 0;
        self.ask_again_at = Duration::ZERO;
    }

    /// The node has not told; not to be asked again before this time. Gives how often in a row.
    pub const fn untold(&mut self, again_at: Duration) -> u32 {
        self.asking = false;
        self.read = None;
        self.failures += 1;
        self.ask_again_at = again_at;
        self.failures
    }

    /// How often in a row the node has not told.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        self.failures
    }

    /// Stops the address: the node does not tell, and that is what the settings ask for.
    pub const fn stop(&mut self) {
        self.stopped = true;
    }

    /// Resumes it by hand: the node is asked again.
    pub const fn resume(&mut self) {
        self.stopped = false;
        self.failures = 0;
        self.ask_again_at = Duration::ZERO;
    }

    /// True if a shortage has been told, and not its end.
    #[must_use]
    pub const fn is_said(&self) -> bool {
        self.said
    }

    /// The shortage, whenever there has come to be one; the inner `None` when it is over.
    pub fn news(&mut self) -> Option<Option<Shortage>> {
        let shortage = self.shortage();
        let was = std::mem::replace(&mut self.said, shortage.is_some());
        (was != shortage.is_some()).then_some(shortage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn wei(amount: u64) -> U256 {
        U256::from(amount)
    }

    fn holding(amount: u64) -> Balance {
        let mut balance = Balance::default();
        balance.asked();
        balance.told(wei(amount), 1, SECOND);
        balance
    }

    #[test]
    fn the_cost_is_the_highest_price_of_all_gas_and_the_value() {
        let fees = AttemptFees::Dynamic { max_fee_per_gas: 7, max_priority_fee_per_gas: 1 };
        assert_eq!(cost(&fees, 21_000, wei(5), 0), wei(147_005));
        assert_eq!(cost(&AttemptFees::Legacy { gas_price: 3 }, 2, wei(0), 0), wei(6));
    }

    #[test]
    fn where_gas_costs_nothing_nothing_is_reserved() {
        assert_eq!(cost(&AttemptFees::Legacy { gas_price: 0 }, 21_000, wei(5), 0), U256::ZERO);
        assert!(Balance::default().covers(U256::ZERO), "and nothing is read");
    }

    #[test]
    fn a_requirement_beyond_any_balance_saturates_is_never_covered_and_says_so() {
        let most = cost(&AttemptFees::Legacy { gas_price: 1 }, 21_000, U256::MAX, 0);
        assert_eq!(most, U256::MAX);
        let mut balance = Balance::default();
        balance.asked();
        balance.told(U256::MAX, 1, SECOND);
        assert!(!balance.covers(most));
        balance.wants(Some(most));
        assert!(balance.shortage().is_some_and(|shortage| shortage.to_string().contains("2^256")));
    }

    #[test]
    fn all_that_is_bound_is_reserved_and_the_last_wei_can_be_spent() {
        let mut balance = holding(100);
        balance.reserve(wei(60));
        assert!(balance.covers(wei(40)) && !balance.covers(wei(41)));
        balance.release(wei(60));
        balance.spent(wei(30));
        assert!(balance.covers(wei(70)) && !balance.covers(wei(71)));
    }

    #[test]
    fn what_was_spent_while_the_node_was_asked_is_deducted_and_the_next_read_heals_it() {
        let mut balance = holding(100);
        balance.asked();
        balance.spent(wei(30));
        balance.told(wei(70), 2, SECOND);
        assert_eq!(balance.known(), Some(wei(40)), "too low rather than too high");
        balance.asked();
        balance.told(wei(70), 3, SECOND);
        assert_eq!(balance.known(), Some(wei(70)));
    }

    #[test]
    fn the_node_is_asked_once_per_head_and_on_a_chain_that_stands_still_after_a_while() {
        let mut balance = holding(0);
        let still = 10 * SECOND;
        assert!(!balance.may_ask(1, 2 * SECOND, still) && balance.may_ask(2, 2 * SECOND, still));
        assert!(balance.may_ask(1, 11 * SECOND, still));
        balance.asked();
        assert!(!balance.may_ask(2, 2 * SECOND, still), "one question at a time");
    }

    #[test]
    fn a_shortage_is_told_once_with_what_is_needed_and_what_there_is() {
        let mut balance = holding(100);
        balance.reserve(wei(90));
        balance.wants(Some(wei(11)));
        let told = balance.news().flatten().map(|shortage| shortage.to_string());
        assert_eq!(told.as_deref(), Some("insufficient funds: needs 101 wei, has 100 wei"));
        assert!(balance.news().is_none());
        balance.wants(None);
        assert_eq!(balance.news(), Some(None));
    }

    #[test]
    fn nothing_is_bound_past_what_is_bound_and_waits_for_money() {
        let mut balance = holding(100);
        balance.hold();
        assert!(!balance.covers(wei(1)));
    }
}
