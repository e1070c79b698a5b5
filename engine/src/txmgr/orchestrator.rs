//! One signing address: its nonces, what it has bound, and what waits behind that.
//!
//! ```text
//!            queue on disk                         in flight (gapless from `base`)
//!   unread ──► buffer ──► bind ──► [signing][persisting][sending][tracking]…[included] ──► archived
//!                          takes nonce base + len            oldest leaves first, base moves up
//! ```
//!
//! The nonce of an element is its place plus `base`, so the sequence cannot have a gap by construction; what is not on disk
//! yet is always the tail, so that discarding it gives the nonces back in order (row A4).

pub mod state;
pub mod window;

use std::collections::VecDeque;
use std::time::Duration;

use alloy::primitives::{Address, B256};

use self::state::State;
use self::window::Window;
use super::balance::Balance;
use super::event::Waiter;
use super::manager::Refusals;
use super::pool::Standing;
use super::transaction::{Ending, InFlight};
use crate::sabotage::{self, Sabotage};

/// Most transactions with blobs of an address that pools hold (geth's `maxTxsPerAccount` of its blob pool; reth's and Nethermind's too).
const BLOBS_IN_FLIGHT_MAX: usize = 16;

/// What is known of an address's nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NonceState {
    /// The chain has to be asked before the first bind.
    Unknown,
    /// The chain is being asked.
    Asking,
    /// `base` plus what is in flight is the next nonce.
    Known,
    /// The chain is ahead of everything in flight: nothing is bound until that has drained, then the sequence goes on at
    /// the chain's nonce.
    Ahead(u64),
}

/// The queue of an address: on disk but for a buffer.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    /// Number the next one to wait gets.
    pub next_number: u64,
    /// Read from disk, in order.
    pub buffer: VecDeque<Waiter>,
    /// Highest number read into the buffer so far.
    pub read_up_to: Option<u64>,
    /// On disk and not read yet.
    pub unread: u64,
    /// Accepted into the queue and not on disk yet.
    pub unsaved: u64,
    /// So many orders about its entries are on their way to the disk: it is not read meanwhile.
    pub changing: u32,
    /// A read is under way: how much was unread when it began, and behind which number it reads.
    pub loading: Option<(u64, Option<u64>)>,
    /// Gas limit of the buffer's front, once estimated.
    pub estimate: Option<u64>,
    /// A gas estimate of the buffer's front is under way.
    pub estimating: bool,
    /// How often the estimate of the buffer's front has reverted.
    pub estimate_failures: u32,
    /// How often the node has put the estimate of the buffer's front off.
    pub estimate_waits: u32,
}

impl Waiting {
    /// Nothing waits, on disk or on its way there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.unread == 0 && self.unsaved == 0
    }

    /// Takes the front; what was found out about it is forgotten.
    pub fn pop(&mut self) -> Option<Waiter> {
        self.forget_front();
        self.buffer.pop_front()
    }

    /// Takes the one with this queue number out of the buffer, if it has been read.
    pub fn take(&mut self, queue_number: u64) -> Option<Waiter> {
        let place = self.buffer.iter().position(|waiter| waiter.queue_number == queue_number)?;
        if place == 0 {
            self.forget_front();
        }
        self.buffer.remove(place)
    }

    /// An entry with this number was read, and is not read again before the buffer is unloaded.
    #[must_use]
    pub fn has_read(&self, queue_number: u64) -> bool {
        self.read_up_to.is_some_and(|read| queue_number <= read)
    }

    /// Puts one back that was taken: where it would be read again, the disk has it.
    pub fn give_back(&mut self, waiter: Waiter) {
        if self.has_read(waiter.queue_number) {
            self.put_back(waiter);
        } else {
            self.unread += 1;
        }
    }

    /// Puts one back into its place; what was found out about the front is forgotten, for it may be another one now.
    pub fn put_back(&mut self, waiter: Waiter) {
        self.forget_front();
        let place = self.buffer.partition_point(|other| other.queue_number < waiter.queue_number);
        self.buffer.insert(place, waiter);
    }

    /// Forgets what was read: the disk has it.
    pub fn unload(&mut self) {
        self.forget_front();
        if let Some(front) = self.buffer.front() {
            // From this one on it is read again; what came before it has left the disk, or is about to.
            self.read_up_to = front.queue_number.checked_sub(1);
            self.unread += self.buffer.len() as u64;
        }
        self.buffer = VecDeque::new();
    }

    /// How many wait, on disk or on their way there.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buffer.len() as u64 + self.unread + self.unsaved
    }

    fn forget_front(&mut self) {
        self.estimate = None;
        self.estimating = false;
        self.estimate_failures = 0;
        self.estimate_waits = 0;
    }
}

/// One signing address.
#[derive(Clone, Debug)]
pub struct Orchestrator {
    /// The address.
    pub address: Address,
    /// Connection that carries its transactions: one order for an address.
    pub lane: usize,
    /// Its state (row A1); only [`Manager`](super::Manager) changes it, by the table.
    pub state: State,
    /// Its slot, or its place in line (row A2).
    pub standing: Standing,
    /// Its slot goes to another as soon as nothing is bound but unsent.
    pub leaving: bool,
    /// How many of what is bound no node has answered for yet.
    pub unsent: usize,
    /// How much may be bound and in no block (row A3).
    pub window: Window,
    /// Its account has delegated code (EIP-7702), of which pools take one transaction at a time.
    pub delegated: bool,
    /// What is in flight carries blobs; otherwise nothing of it does. Pools hold one kind of an address at a time (row A10).
    pub blobs: bool,
    /// What is next is of the other kind than what is in flight: it waits until all of that is final.
    pub other_kind: bool,
    /// Paused by hand until then, µs since the epoch; `u64::MAX` without an end.
    pub paused_until: Option<u64>,
    /// When it last bound, was answered or was included.
    pub progress_at: Duration,
    /// Block at which its oldest transaction is looked at again.
    pub resend_due: Option<u64>,
    /// Nonce of the first in flight.
    pub base: u64,
    /// What is known of the next nonce.
    pub nonce: NonceState,
    /// Bound, or about to be, by nonce. Boxed, so that a queue that grows moves pointers: whole transactions would be copied again and
    /// again, into memory touched for the first time.
    pub in_flight: VecDeque<Box<InFlight>>,
    /// How many of them no block holds.
    pub unconfirmed: usize,
    /// What waits.
    pub waiting: Waiting,
    /// When it has to be looked at again.
    pub wake_at: Option<Duration>,
    /// When it last had something to do.
    pub active_at: Duration,
    /// `base` has moved and is not on disk.
    pub floor_moved: bool,
    /// What of it the signer does not sign.
    pub refusals: Refusals,
    /// What it can pay for.
    pub balance: Balance,
    /// The node calls this nonce used, and no block holds one of our hashes for it: somebody else has used it. Nothing more is
    /// bound until a block shows otherwise.
    pub displaced: Option<u64>,
    /// Another wallet's transaction, seen in this block, makes the chain's transaction count at least this.
    pub chain_at_least: Option<(u64, u64)>,
    /// The chain's count when it last was below `base` although everything below is accounted for.
    pub hole_seen: Option<u64>,
    /// First nonce of a hole below `base`, once two answers have shown it.
    pub hole_from: Option<u64>,
}

impl Orchestrator {
    /// An address that has never been seen.
    #[must_use]
    pub fn new(address: Address, lane: usize, max_in_flight: usize) -> Self {
        Self {
            address,
            lane,
            state: State::Stopped,
            standing: Standing::default(),
            leaving: false,
            unsent: 0,
            window: Window::new(max_in_flight),
            delegated: false,
            blobs: false,
            other_kind: false,
            paused_until: None,
            progress_at: Duration::ZERO,
            resend_due: None,
            base: 0,
            nonce: NonceState::Unknown,
            in_flight: VecDeque::new(),
            unconfirmed: 0,
            waiting: Waiting::default(),
            wake_at: None,
            active_at: Duration::ZERO,
            floor_moved: false,
            refusals: Refusals::default(),
            balance: Balance::default(),
            displaced: None,
            chain_at_least: None,
            hole_seen: None,
            hole_from: None,
        }
    }

    /// How much may be bound and in no block, now.
    #[must_use]
    pub const fn window_size(&self) -> usize {
        match (self.delegated, self.blobs) {
            (true, _) => 1,
            (false, false) => self.window.size(),
            (false, true) if self.window.size() > BLOBS_IN_FLIGHT_MAX => BLOBS_IN_FLIGHT_MAX,
            (false, true) => self.window.size(),
        }
    }

    /// The nonce that the next bind takes.
    #[must_use]
    pub fn next_nonce(&self) -> u64 {
        self.base + self.in_flight.len() as u64
    }

    /// The transaction at a nonce.
    #[must_use]
    pub fn get(&self, nonce: u64) -> Option<&InFlight> {
        self.in_flight.get(usize::try_from(nonce.checked_sub(self.base)?).ok()?).map(Box::as_ref)
    }

    /// The transaction at a nonce.
    pub fn get_mut(&mut self, nonce: u64) -> Option<&mut InFlight> {
        self.in_flight.get_mut(usize::try_from(nonce.checked_sub(self.base)?).ok()?).map(Box::as_mut)
    }

    /// Finds the nonce whose attempts include this hash, whichever attempt it is (row A18). Blocks hold an address's
    /// transactions in nonce order, so the first that no block holds yet is nearly always the one.
    #[must_use]
    pub fn find(&self, hash: &B256) -> Option<u64> {
        let most = if sabotage::on(Sabotage::FirstHashOnly) { 1 } else { usize::MAX };
        let has = |tx: &InFlight| tx.attempts.iter().take(most).any(|mark| mark.hash == *hash);
        let first = self.in_flight.len() - self.unconfirmed;
        if self.in_flight.get(first).is_some_and(|tx| has(tx)) {
            return Some(self.base + first as u64);
        }
        self.in_flight.iter().position(|tx| has(tx)).map(|place| self.base + place as u64)
    }

    /// The first nonce that no block holds.
    #[must_use]
    pub fn oldest_unconfirmed(&self) -> Option<u64> {
        let place = self.in_flight.iter().position(|tx| !tx.taken())?;
        Some(self.base + place as u64)
    }

    /// One that carries `blobs` could be in flight beside what is.
    #[must_use]
    pub fn fits_kind(&self, blobs: usize) -> bool {
        self.in_flight.is_empty() || self.blobs == (blobs > 0) || sabotage::on(Sabotage::KindsMixed)
    }

    /// Forgets the next nonce where a block has shown it to be used.
    pub fn doubt_used_nonce(&mut self) {
        let used = self.chain_at_least.is_some_and(|(count, _)| self.next_nonce() < count);
        if used && self.nonce == NonceState::Known {
            self.nonce = NonceState::Unknown;
        }
    }

    /// The chain's transaction count at the head. Never moves the sequence back: a node may lag (row A4), also behind a block that
    /// showed a nonce of ours with another wallet's transaction.
    pub fn chain_nonce(&mut self, count: u64) {
        if sabotage::on(Sabotage::NonceFollowsNode) {
            self.base = count.saturating_sub(self.in_flight.len() as u64);
        }
        let next = self.next_nonce();
        let count = count.max(self.chain_at_least.map_or(0, |(count, _)| count));
        self.nonce = if count <= next {
            NonceState::Known
        } else if self.in_flight.is_empty() {
            self.base = count;
            NonceState::Known
        } else {
            NonceState::Ahead(count)
        };
    }

    /// Takes what is final from the front. Returns how many left.
    pub fn archive(&mut self, head: u64, finality_depth: u64) -> usize {
        let finality_depth = if sabotage::on(Sabotage::ArchivedBeforeFinal) { 1 } else { finality_depth };
        let mut archived = 0;
        while let Some(front) = self.in_flight.front() {
            let is_final = front.taken_in().is_some_and(|block| block + finality_depth <= head + 1);
            if !is_final || (front.needs_ending() && front.ending != Ending::Done) {
                break;
            }
            self.in_flight.pop_front();
            self.base += 1;
            archived += 1;
        }
        self.floor_moved |= archived > 0;
        if let (NonceState::Ahead(count), true) = (self.nonce, self.in_flight.is_empty()) {
            self.base = self.base.max(count);
            self.nonce = NonceState::Known;
            self.floor_moved = true;
        }
        archived
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lagging_node_never_moves_the_nonce_back() {
        let mut address = Orchestrator::new(Address::ZERO, 0, 1);
        address.base = 9;
        address.chain_nonce(4);
        assert_eq!((address.next_nonce(), address.nonce), (9, NonceState::Known));
    }

    #[test]
    fn an_idle_address_resyncs_when_the_chain_is_ahead() {
        let mut address = Orchestrator::new(Address::ZERO, 0, 1);
        address.chain_nonce(12);
        assert_eq!((address.next_nonce(), address.nonce), (12, NonceState::Known));
    }
}
