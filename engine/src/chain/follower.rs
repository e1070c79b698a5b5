//! Which block comes next, and what the node's word about a height means: the pure part of following the chain (row B1).
//!
//! The node's canonical chain is the truth. A word is the hash that the node names at a height:
//!
//! | the node's head is | its word there | meaning |
//! |---|---|---|
//! | above ours | - | read the next block; if that does not join, compare downwards |
//! | at or below ours | ours | the same head, or a node that lags: changes nothing |
//! | at or below ours | another | a reorg, sideways or down: compare downwards |
//!
//! Comparing ends at the first height where both agree: everything of ours above it is taken back. Deeper than `finality_depth` below the
//! highest block that was ever stored, or below the block that the node called finalized, it is not a reorg but another chain.

use alloy::primitives::B256;

use super::decode::Header;
use crate::sabotage::{self, Sabotage};

/// A block that is on disk with its effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub number: u64,
    /// Its hash.
    pub hash: B256,
}

/// Whether a block continues what is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// It does, or it is the first one.
    Yes,
    /// Its parent is not the stored block: the chain was reorganised, or the node is of another chain.
    No,
}

/// What to ask the node for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// This block, to store it.
    Read(u64),
    /// Its hash at this height, to compare it with the stored one.
    Compare(u64),
}

/// What a word of the node means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Nothing new: both chains are the same up to there, or more has to be compared.
    GoOn,
    /// The node's chain has left ours above this height.
    Common(u64),
    /// The two chains differ down to this height, below which nothing may change.
    Final(u64),
}

/// Where the follower stands.
#[derive(Clone, Copy, Debug)]
pub struct Follower {
    stored: Option<Stored>,
    /// The highest block that was ever stored: finality is counted from there, or reorgs one after another could go as deep as they like.
    highest: u64,
    head: u64,
    finality_depth: u64,
    finalized: u64,
    compare: Option<u64>,
    /// A difference has been seen: the next height where both agree is where they parted.
    parted: bool,
}

impl Follower {
    /// Goes on behind the checkpoint, or starts at the node's head if there is none: nothing of ours can be older. `highest` is the highest
    /// block that was ever stored, if it is above the checkpoint.
    #[must_use]
    pub fn new(stored: Option<Stored>, highest: u64, finality_depth: u64) -> Self {
        let highest = highest.max(stored.map_or(0, |stored| stored.number));
        Self { stored, highest, head: 0, finality_depth, finalized: 0, compare: None, parted: false }
    }

    /// The highest block that was ever stored.
    #[must_use]
    pub const fn highest(&self) -> u64 {
        self.highest
    }

    /// The node's head. One at or below ours has to be compared: it is ours, or one that lags, or one of another branch.
    pub fn head(&mut self, number: u64) {
        self.head = number;
        self.parted = false;
        self.compare = self.stored.filter(|stored| number <= stored.number).map(|_| number);
    }

    /// The node names another block at our newest height, whatever its head is.
    pub fn doubt(&mut self) {
        self.compare = self.stored.map(|stored| stored.number);
    }

    /// The block that the node calls finalized: nothing at or below it may change any more.
    pub fn finalized(&mut self, number: u64) {
        self.finalized = self.finalized.max(number);
    }

    /// What to ask the node for, if there is anything.
    #[must_use]
    pub fn next(&self) -> Option<Step> {
        if let Some(number) = self.compare {
            return Some(Step::Compare(number));
        }
        match self.stored {
            None => Some(Step::Read(self.head)),
            Some(stored) => (stored.number < self.head).then_some(Step::Read(stored.number + 1)),
        }
    }

    /// Whether a block that was read continues the stored chain. If not, the chains are compared from our newest block down.
    pub fn joins(&mut self, header: &Header) -> Joined {
        match self.stored {
            Some(stored) if stored.hash != header.parent_hash && !sabotage::on(Sabotage::ReorgUnseen) => {
                self.doubt();
                Joined::No
            }
            _ => Joined::Yes,
        }
    }

    /// The lowest block that both chains may share when ours is taken back.
    #[must_use]
    pub fn lowest(&self) -> u64 {
        let newest = self.stored.map_or(0, |stored| stored.number);
        let highest = if sabotage::on(Sabotage::FinalityMovesDown) { newest } else { self.highest };
        (highest + 1).saturating_sub(self.finality_depth).max(self.finalized).min(newest)
    }

    /// The node's hash at a height, and the stored one; `None` if that block is older than all that are kept.
    pub fn word(&mut self, number: u64, node: B256, stored: Option<B256>) -> Word {
        self.compare = None;
        let lowest = self.lowest();
        if stored == Some(node) {
            return if self.parted { Word::Common(number) } else { Word::GoOn };
        }
        if stored.is_none() {
            // A node that lags that far says nothing. But below the first block that was ever read it may have been replaced too, and
            // hold what was sent since: from as far back as a chain may change.
            if !self.parted {
                return Word::GoOn;
            }
            if number == lowest {
                return Word::Common(number);
            }
        }
        if number <= lowest && !sabotage::on(Sabotage::FinalityNotHeld) {
            return Word::Final(lowest);
        }
        self.parted = true;
        self.compare = Some(number - 1);
        Word::GoOn
    }

    /// The stored block.
    #[must_use]
    pub const fn checkpoint(&self) -> Option<Stored> {
        self.stored
    }

    /// The chain goes on behind this block; what was stored above it is undone on disk.
    pub const fn rewound(&mut self, to: Stored) {
        self.stored = Some(to);
        self.compare = None;
        self.parted = false;
    }

    /// The block and its effects are on disk. True if the node has no newer one.
    pub fn stored(&mut self, block: Stored) -> bool {
        self.stored = Some(block);
        self.highest = self.highest.max(block.number);
        block.number >= self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEPTH: u64 = 4;

    fn header(number: u64, hash: u8, parent: u8) -> Header {
        Header { number, hash: hashed(hash), parent_hash: hashed(parent), timestamp: 0, transactions: Vec::new() }
    }

    fn hashed(byte: u8) -> B256 {
        B256::repeat_byte(byte)
    }

    /// A follower whose newest block is 9, with hash 9; older ones alike.
    fn at_nine() -> Follower {
        Follower::new(Some(Stored { number: 9, hash: hashed(9) }), 9, DEPTH)
    }

    /// Compares until it ends: the node's chain is ours up to `shared`.
    fn compare(follower: &mut Follower, shared: u64, kept_from: u64) -> Word {
        loop {
            let Some(Step::Compare(number)) = follower.next() else { return Word::GoOn };
            let ours = hashed(u8::try_from(number).expect("small"));
            let node = if number <= shared { ours } else { hashed(99) };
            match follower.word(number, node, (number >= kept_from).then_some(ours)) {
                Word::GoOn => {}
                end => return end,
            }
        }
    }

    #[test]
    fn the_first_block_is_the_nodes_head_and_then_each_is_read_once_in_order() {
        let mut follower = Follower::new(None, 0, DEPTH);
        follower.head(7);
        assert_eq!(follower.next(), Some(Step::Read(7)));
        assert!(follower.stored(Stored { number: 7, hash: hashed(7) }));
        assert_eq!(follower.next(), None);
        follower.head(9);
        assert_eq!(follower.next(), Some(Step::Read(8)));
        assert!(!follower.stored(Stored { number: 8, hash: hashed(8) }));
        assert_eq!(follower.next(), Some(Step::Read(9)));
    }

    #[test]
    fn a_node_that_lags_changes_nothing() {
        for head in [9, 8, 3, 0] {
            let mut follower = at_nine();
            follower.head(head);
            assert_eq!(compare(&mut follower, 9, 0), Word::GoOn, "{head}");
            assert_eq!((follower.next(), follower.checkpoint()), (None, at_nine().checkpoint()));
        }
    }

    #[test]
    fn a_node_that_lags_behind_all_that_is_kept_changes_nothing() {
        let mut follower = at_nine();
        follower.head(2);
        assert_eq!(compare(&mut follower, 0, 5), Word::GoOn);
        assert_eq!(follower.next(), None);
    }

    #[test]
    fn another_hash_at_our_height_is_a_reorg_sideways() {
        let mut follower = at_nine();
        follower.head(9);
        assert_eq!(compare(&mut follower, 7, 0), Word::Common(7));
        follower.rewound(Stored { number: 7, hash: hashed(7) });
        assert_eq!(follower.next(), Some(Step::Read(8)));
    }

    #[test]
    fn another_hash_below_our_height_is_a_reorg_down() {
        let mut follower = at_nine();
        follower.head(8);
        assert_eq!(compare(&mut follower, 7, 0), Word::Common(7));
        follower.rewound(Stored { number: 7, hash: hashed(7) });
        assert_eq!(follower.next(), Some(Step::Read(8)));
        assert!(follower.stored(Stored { number: 8, hash: hashed(99) }), "the node's chain ends there");
    }

    #[test]
    fn a_block_with_another_parent_is_a_reorg() {
        let mut follower = at_nine();
        follower.head(10);
        assert_eq!(follower.joins(&header(10, 10, 9)), Joined::Yes);
        assert_eq!(follower.joins(&header(10, 10, 98)), Joined::No);
        assert_eq!(compare(&mut follower, 6, 0), Word::Common(6));
    }

    #[test]
    fn a_difference_as_deep_as_finality_is_another_chain() {
        let mut follower = at_nine();
        follower.head(9);
        assert_eq!(compare(&mut follower, 5, 0), Word::Final(6));
        follower.head(3);
        assert_eq!(compare(&mut follower, 2, 0), Word::Final(6));
    }

    #[test]
    fn a_difference_below_the_finalized_block_is_another_chain() {
        let mut follower = at_nine();
        follower.finalized(8);
        follower.head(9);
        assert_eq!(compare(&mut follower, 8, 0), Word::Common(8));
        follower.head(9);
        assert_eq!(compare(&mut follower, 7, 0), Word::Final(8));
    }

    #[test]
    fn a_reorg_below_the_first_block_ever_read_goes_back_as_far_as_a_chain_may_change() {
        let mut follower = at_nine();
        follower.head(9);
        assert_eq!(compare(&mut follower, 0, 8), Word::Common(6));
    }

    #[test]
    fn reorgs_one_after_another_go_no_deeper_than_the_finality_depth_below_the_highest_block_also_after_a_restart() {
        let mut follower = at_nine();
        follower.head(9);
        assert_eq!(compare(&mut follower, 7, 0), Word::Common(7));
        follower.rewound(Stored { number: 7, hash: hashed(7) });
        let mut restarted = Follower::new(follower.checkpoint(), follower.highest(), DEPTH);
        for follower in [&mut follower, &mut restarted] {
            follower.head(7);
            // 6 and what is below may have been archived when 9 was the newest block.
            assert_eq!(follower.lowest(), 6);
            assert_eq!(compare(follower, 5, 0), Word::Final(6));
        }
    }
}
