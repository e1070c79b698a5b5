//! Which block comes next: the pure part of following the chain.

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

/// Where the follower stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct Follower {
    stored: Option<Stored>,
    head: u64,
}

impl Follower {
    /// Goes on behind the checkpoint, or starts at the node's head if there is none: nothing of ours can be older.
    #[must_use]
    pub const fn new(stored: Option<Stored>) -> Self {
        Self { stored, head: 0 }
    }

    /// The node's head. A lower one than before is a node that lags, and changes nothing.
    pub fn head(&mut self, number: u64) {
        self.head = self.head.max(number);
    }

    /// The block to read next, if the node has one.
    #[must_use]
    pub fn next(&self) -> Option<u64> {
        match self.stored {
            None => Some(self.head),
            Some(stored) => (stored.number < self.head).then_some(stored.number + 1),
        }
    }

    /// Whether a block that was read continues the stored chain.
    #[must_use]
    pub fn joins(&self, header: &Header) -> Joined {
        match self.stored {
            Some(stored) if stored.hash != header.parent_hash && !sabotage::on(Sabotage::ReorgUnseen) => Joined::No,
            _ => Joined::Yes,
        }
    }

    /// The stored block.
    #[must_use]
    pub const fn checkpoint(&self) -> Option<Stored> {
        self.stored
    }

    /// The chain goes on behind this block; what was stored above it is undone on disk.
    pub const fn rewound(&mut self, to: Stored) {
        self.stored = Some(to);
    }

    /// The block and its effects are on disk. True if the node has no newer one.
    pub fn stored(&mut self, block: Stored) -> bool {
        self.stored = Some(block);
        block.number >= self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(number: u64, hash: u8, parent: u8) -> Header {
        Header { number, hash: B256::repeat_byte(hash), parent_hash: B256::repeat_byte(parent), timestamp: 0, transactions: Vec::new() }
    }

    #[test]
    fn the_first_block_is_the_nodes_head_and_then_each_is_read_once_in_order() {
        let mut follower = Follower::new(None);
        follower.head(7);
        assert_eq!(follower.next(), Some(7));
        assert!(follower.stored(Stored { number: 7, hash: B256::repeat_byte(7) }));
        assert_eq!(follower.next(), None);
        follower.head(9);
        assert_eq!(follower.next(), Some(8));
        assert!(!follower.stored(Stored { number: 8, hash: B256::repeat_byte(8) }));
        assert_eq!(follower.next(), Some(9));
    }

    #[test]
    fn a_node_that_lags_changes_nothing() {
        let mut follower = Follower::new(Some(Stored { number: 9, hash: B256::ZERO }));
        follower.head(12);
        follower.head(3);
        assert_eq!(follower.next(), Some(10));
    }

    #[test]
    fn a_block_with_another_parent_does_not_join() {
        let mut follower = Follower::new(Some(Stored { number: 1, hash: B256::repeat_byte(1) }));
        assert_eq!(follower.joins(&header(2, 2, 1)), Joined::Yes);
        assert_eq!(follower.joins(&header(2, 2, 9)), Joined::No);
        follower.rewound(Stored { number: 0, hash: B256::repeat_byte(9) });
        follower.head(2);
        assert_eq!((follower.next(), follower.joins(&header(1, 3, 9))), (Some(1), Joined::Yes));
    }
}
