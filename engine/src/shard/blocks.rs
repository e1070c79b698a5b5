//! The follower's way to all shards, to the store and to what is stored.

use alloy::primitives::{Address, B256};
use flume::Sender;
use netio::Room;
use storage::{ReceiptRow, Record, Store, StoreError, read};
use uuid::Uuid;

use super::inbox::Inbox;
use super::mailbox::{Mail, Mailbox};
use super::run::Home;
use crate::chain::BlockStore;
use crate::readers::{ReadError, Readers};
use crate::txmgr::{BlockEffects, Event, SeenBlock, SeenNonce};

/// Pause before a read that failed or found the readers busy is tried again.
const READ_AGAIN: std::time::Duration = std::time::Duration::from_millis(50);

/// The follower's way to all shards and to the store.
pub(super) struct Blocks<R: Room, S: Store> {
    pub(super) mailboxes: Vec<Mailbox>,
    pub(super) home: Inbox<Home<R>>,
    pub(super) readers: Readers<S>,
    pub(super) room: R,
}

impl<R: Room, S: Store> Blocks<R, S> {
    /// Hands every shard its mail and gathers what they answer; `None` when one is gone.
    async fn ask(&self, mails: impl Iterator<Item = impl FnOnce(Sender<BlockEffects>) -> Mail>) -> Option<Vec<BlockEffects>> {
        let mut replies = Vec::with_capacity(self.mailboxes.len());
        for (mailbox, mail) in self.mailboxes.iter().zip(mails) {
            let (reply, effects) = flume::bounded(1);
            if !mailbox.send(mail(reply)).await {
                return None;
            }
            replies.push(effects);
        }
        let mut all = Vec::with_capacity(replies.len());
        for effects in replies {
            all.push(effects.recv_async().await.ok()?);
        }
        Some(all)
    }

    /// Reads until a reader has an answer; `None` when they are gone.
    async fn read<T: Send + 'static>(&self, work: impl Fn(&S) -> Result<T, StoreError> + Clone + Send + 'static) -> Option<T> {
        loop {
            match self.readers.run(work.clone()).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::error!(%error, "a block of the store cannot be read; trying again"),
                Err(ReadError::Busy) => {}
                Err(ReadError::Closed) => return None,
            }
            self.room.sleep(READ_AGAIN).await;
        }
    }
}

impl<R: Room, S: Store> BlockStore for Blocks<R, S> {
    fn shards(&self) -> usize {
        self.mailboxes.len()
    }

    fn shard_of(&self, address: &Address) -> usize {
        super::shard_of(address, self.mailboxes.len())
    }

    async fn effects(&self, parts: Vec<SeenBlock>) -> Option<Vec<BlockEffects>> {
        self.ask(parts.into_iter().map(|part| |reply| Mail::Block(part, reply))).await
    }

    async fn rivals(&self, number: u64, hash: B256, taken: Vec<SeenNonce>) -> Option<Vec<BlockEffects>> {
        let mut parts = vec![Vec::new(); self.shards()];
        for seen in taken {
            parts[self.shard_of(&seen.address)].push(seen);
        }
        self.ask(parts.into_iter().map(|part| move |reply| Mail::Rivals(number, hash, part, reply))).await
    }

    async fn rewind(&self, to: u64) -> Option<Vec<BlockEffects>> {
        self.ask(self.mailboxes.iter().map(|_| |reply| Mail::Rewind(to, reply))).await
    }

    async fn head(&self, number: u64) -> Option<Option<B256>> {
        self.read(move |store| Ok(read::head(store, number)?.map(|head| head.hash))).await
    }

    async fn receipts(&self, ids: Vec<Uuid>) -> Option<Vec<(Uuid, ReceiptRow)>> {
        let read = move |store: &S| {
            let rows = read::receipts(store, &ids)?;
            Ok(ids.iter().zip(rows).filter_map(|(id, row)| Some((*id, row?))).collect())
        };
        self.read(read).await
    }

    async fn store(&self, record: Record) -> Option<()> {
        let (done, stored) = flume::bounded(1);
        self.home.push(Home::StoreBlock(record, done));
        stored.recv_async().await.ok()
    }

    async fn tell(&self, event: impl Fn() -> Event) {
        for mailbox in &self.mailboxes {
            // A shard that is gone ends the engine; nobody else has to hear of it.
            let _ = mailbox.send(Mail::Tell(Box::new(event()))).await;
        }
    }
}
