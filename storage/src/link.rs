//! The two ends of one shard's way to the writer and back.
//!
//! ```text
//!   shard ── submit(Commit) ──► commits (bounded, lock-free) ──► writer
//!   shard ◄── next_ack() ────── acks    (bounded, lock-free) ◄── writer, which then rings the shard's wake
//! ```
//!
//! The number of tickets in the air is bounded by the capacity, so an ack always has room: the writer never waits for a shard.
//! A full link is back-pressure: `submit` hands the commit back, and nothing of it was taken.
//!
//! **Epochs.** A shard's later records build on its earlier ones (the next nonce, the next place in a line). So when one commit is
//! refused, every later one that was submitted before the shard heard of it must be refused too. Each link has an epoch. A refusal
//! moves it on, the refusing [`Ack`] carries the new one, and the writer refuses every commit that names an older epoch. The shard, at
//! the first `Ack` with an epoch greater than its own: discards what it has submitted and not heard `Durable` of (each such
//! ticket still gets its own `Refused`), takes the new epoch, and submits with that from now on.

use std::{
    cell::Cell,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use crossbeam::queue::ArrayQueue;

use crate::record::Record;

/// Records that belong together: durable together or not at all, and never before what the same shard submitted earlier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The shard's own number for this commit; comes back in the [`Ack`].
    pub ticket: u64,
    /// The epoch the shard lives in: 0 at first, then the greatest it has seen in an [`Ack`].
    pub epoch: u32,
    /// What to append.
    pub records: Vec<Record>,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Ticket of the commit.
    pub ticket: u64,
    /// The link's epoch now. Greater than the shard's own after a refusal: see the module's docs.
    pub epoch: u32,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On disk.
    Durable,
    /// Not on disk, nor will it be.
    Refused,
}

/// Wakes somebody: a shard, or the writer.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// What the two ends of a link share.
pub(crate) struct Lane {
    pub(crate) commits: ArrayQueue<Commit>,
    pub(crate) acks: ArrayQueue<Ack>,
    /// Set when the shard's end is gone: nobody submits any more.
    pub(crate) left: AtomicBool,
}

impl Lane {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { commits: ArrayQueue::new(capacity), acks: ArrayQueue::new(capacity), left: AtomicBool::new(false) }
    }
}

/// The shard's end. Moves to the shard's thread and stays there.
pub struct ShardLink {
    lane: Arc<Lane>,
    bell: Arc<OnceLock<Wake>>,
    in_the_air: Cell<usize>,
}

impl ShardLink {
    pub(crate) fn new(lane: Arc<Lane>, bell: Arc<OnceLock<Wake>>) -> Self {
        Self { lane, bell, in_the_air: Cell::new(0) }
    }

    /// Hands a commit to the writer and wakes it.
    ///
    /// # Errors
    /// The commit itself when the link is full. Nothing was taken: try again after the next ack, or tell the caller to come back.
    pub fn submit(&self, commit: Commit) -> Result<(), Commit> {
        if self.in_the_air.get() == self.capacity() {
            return Err(commit);
        }
        self.lane.commits.push(commit)?;
        self.in_the_air.set(self.in_the_air.get() + 1);
        self.ring();
        Ok(())
    }

    /// The next answer, if there is one. Answers of one link come in the order of its commits.
    pub fn next_ack(&self) -> Option<Ack> {
        let ack = self.lane.acks.pop()?;
        self.in_the_air.set(self.in_the_air.get() - 1);
        Some(ack)
    }

    /// Tickets submitted whose answer has not been taken by [`ShardLink::next_ack`] yet.
    #[must_use]
    pub fn in_the_air(&self) -> usize {
        self.in_the_air.get()
    }

    /// Most tickets in the air.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.lane.commits.capacity()
    }

    fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            bell();
        }
    }
}

impl Drop for ShardLink {
    /// A writer whose last shard has left ends, so it must hear of it.
    fn drop(&mut self) {
        self.lane.left.store(true, Ordering::Release);
        self.ring();
    }
}
