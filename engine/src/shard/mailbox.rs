//! What other threads may put before a shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::B256;
use flume::{Receiver, Sender};
use netio::Bell;
use uuid::Uuid;

use super::keep::KeepOrder;
use super::questions::{PauseOrder, Question, TransactionOrder};
use super::watches::Watch;
use crate::engine::SubmitError;
use crate::txmgr::{Accept, BlockEffects, Event, SeenBlock, SeenNonce};

/// Answers to a batch, in its order.
pub type Answers = Vec<Result<Uuid, SubmitError>>;

/// Submissions that arrived together for one shard.
#[derive(Debug)]
pub struct SubmitBatch {
    /// The submissions.
    pub items: Vec<Accept>,
    /// Where the answers go, once each has one.
    pub reply: Sender<Answers>,
}

/// A message to a shard.
#[derive(Debug)]
pub enum Mail {
    /// Submissions.
    Submit(SubmitBatch),
    /// The shard's part of a block, and where its effects go.
    Block(SeenBlock, Sender<BlockEffects>),
    /// Nonces that others' transactions took in the block told last (number, hash), and where the effects go.
    Rivals(u64, B256, Vec<SeenNonce>, Sender<BlockEffects>),
    /// Blocks above this number have left the chain; where what that undoes goes.
    Rewind(u64, Sender<BlockEffects>),
    /// Something to be told from memory.
    Question(Question),
    /// Somebody waits for a transaction.
    Watch(Watch),
    /// A pause, or its end.
    Pause(PauseOrder),
    /// Something to be put on disk.
    Keep(Box<KeepOrder>),
    /// An order about an accepted transaction.
    Order(TransactionOrder),
    /// Something that the follower tells every shard, or one shard another.
    Tell(Box<Event>),
}

/// The sending end of a shard's mailbox.
#[derive(Clone, Debug)]
pub struct Mailbox {
    sender: Sender<Mail>,
    bell: Bell,
    held: Arc<AtomicUsize>,
    limit: usize,
}

impl Mailbox {
    /// A mailbox that admits `limit` submissions that are not answered yet; and its other end, with the count of those.
    #[must_use]
    pub fn new(bell: Bell, limit: usize) -> (Self, Receiver<Mail>, Arc<AtomicUsize>) {
        // Each submission may come alone, and the follower adds a few messages of its own.
        let (sender, receiver) = flume::bounded(limit + 64);
        let held = Arc::new(AtomicUsize::new(0));
        (Self { sender, bell, held: Arc::clone(&held), limit }, receiver, held)
    }

    /// Has the shard look around, even if nothing was put before it.
    pub fn wake(&self) {
        self.bell.ring();
    }

    /// Hands submissions over; gives them back if the shard holds as many as it may.
    ///
    /// # Errors
    /// The batch, of which nothing was taken.
    pub fn submit(&self, batch: SubmitBatch) -> Result<(), SubmitBatch> {
        let count = batch.items.len();
        let before = self.held.fetch_add(count, Ordering::AcqRel);
        // A batch larger than the whole limit still gets through when nothing else is held.
        if before > 0 && before + count > self.limit {
            self.held.fetch_sub(count, Ordering::AcqRel);
            return Err(batch);
        }
        match self.sender.try_send(Mail::Submit(batch)) {
            Ok(()) => {
                self.bell.ring();
                Ok(())
            }
            Err(flume::TrySendError::Full(mail) | flume::TrySendError::Disconnected(mail)) => {
                self.held.fetch_sub(count, Ordering::AcqRel);
                match mail {
                    Mail::Submit(batch) => Err(batch),
                    _ => unreachable!("a submission was sent"),
                }
            }
        }
    }

    /// Hands over a question or an order; false if there is no room for it now, or the shard is gone.
    pub fn ask(&self, mail: Mail) -> bool {
        let sent = self.sender.try_send(mail).is_ok();
        self.bell.ring();
        sent
    }

    /// Hands over a message of the follower or of the owner; waits for room. False if the shard is gone.
    pub async fn send(&self, mail: Mail) -> bool {
        let sent = self.sender.send_async(mail).await.is_ok();
        self.bell.ring();
        sent
    }
}
