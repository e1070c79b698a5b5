//! Callers that wait: answers are gathered by batch and given once all of a batch have one.
//!
//! An answer can be *unknown* first and certain later (row A15). The caller hears the first; the idempotency key stays reserved
//! until the second.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy::primitives::map::FbBuildHasher;
use flume::Sender;
use uuid::Uuid;

use super::mailbox::{Answers, SubmitBatch};
use crate::engine::{Reservations, SubmitError};
use crate::txmgr::{Accept, ReplyTo};

struct Batch {
    reply: Option<Sender<Answers>>,
    answers: Vec<Option<Result<Uuid, SubmitError>>>,
    keys: Vec<Option<String>>,
    unanswered: usize,
    uncertain: usize,
}

/// All callers that wait for this shard.
pub(super) struct Batches {
    waiting: HashMap<u64, Batch, FbBuildHasher<8>>,
    next: u64,
    reservations: Arc<Reservations>,
    held: Arc<AtomicUsize>,
}

impl Batches {
    pub(super) fn new(reservations: Arc<Reservations>, held: Arc<AtomicUsize>) -> Self {
        Self { waiting: HashMap::default(), next: 0, reservations, held }
    }

    /// Takes a batch in; gives back its items with the names under which they are answered.
    pub(super) fn open(&mut self, batch: SubmitBatch) -> impl Iterator<Item = (Accept, ReplyTo)> + use<> {
        let number = self.next;
        self.next += 1;
        let count = batch.items.len();
        let keys = batch.items.iter().map(|item| item.row.idempotency_key.clone()).collect();
        let waiting = Batch { reply: Some(batch.reply), answers: vec![None; count], keys, unanswered: count, uncertain: count };
        self.waiting.insert(number, waiting);
        (0_u32..).zip(batch.items).map(move |(index, item)| (item, ReplyTo { batch: number, index }))
    }

    /// Answers one submission; `last` if that is certain.
    pub(super) fn answer(&mut self, to: ReplyTo, result: Result<Uuid, SubmitError>, last: bool) {
        let Some(batch) = self.waiting.get_mut(&to.batch) else { return };
        let index = to.index as usize;
        if last {
            batch.uncertain -= 1;
            self.held.fetch_sub(1, Ordering::AcqRel);
            if let Some(key) = batch.keys[index].take() {
                self.reservations.release(&key, &result);
            }
        }
        if !last && let Some(key) = &batch.keys[index] {
            self.reservations.unknown(key);
        }
        // Once the caller has been told there is no answer to keep.
        if let Some(answer) = batch.answers.get_mut(index).filter(|answer| answer.is_none()) {
            *answer = Some(result);
            batch.unanswered -= 1;
        }
        if batch.unanswered == 0
            && let Some(reply) = batch.reply.take()
        {
            // A caller that has gone away has its transactions all the same.
            let _ = reply.send(batch.answers.drain(..).flatten().collect());
        }
        if batch.uncertain == 0 {
            self.waiting.remove(&to.batch);
        }
    }
}
