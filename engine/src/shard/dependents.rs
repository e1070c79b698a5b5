//! From shard to shard: who depends on what (row A17). A dependent may live on another shard than what it depends on.
//!
//! What is told may be lost with the process and nothing else: a start reads from disk who is blocked, and by what.

use alloy::primitives::Address;
use netio::Room;
use storage::{Store, read};
use uuid::Uuid;

use super::mailbox::{Mail, Mailbox};
use super::shard_of;
use crate::readers::{ReadError, Readers};
use crate::sabotage::{self, Sabotage};
use crate::txmgr::Event;
use crate::txmgr::order::Command;

/// Dependents read at once.
const PAGE: usize = 256;
/// Pause before a read that failed or found the readers busy is tried again.
const READ_AGAIN: std::time::Duration = std::time::Duration::from_millis(50);

/// The way of a shard to all shards, itself among them.
pub(super) struct Neighbours<R: Room, S: Store> {
    room: R,
    readers: Readers<S>,
    mailboxes: Vec<Mailbox>,
}

impl<R: Room, S: Store> Neighbours<R, S> {
    pub(super) const fn new(room: R, readers: Readers<S>, mailboxes: Vec<Mailbox>) -> Self {
        Self { room, readers, mailboxes }
    }

    /// Tells the shard of an address, once there is room in its mailbox.
    pub(super) fn tell(&self, address: &Address, event: Box<Event>) {
        let mailbox = self.mailboxes[shard_of(address, self.mailboxes.len())].clone();
        self.room.spawn(async move {
            // A shard that is gone is gone with the process.
            let _ = mailbox.send(Mail::Tell(event)).await;
        });
    }

    /// A transaction has an outcome on disk: everything that depends on it is checked, wherever it lives. `None`: everything that depends on
    /// anything, page by page, for at a start nobody knows what it missed.
    pub(super) fn check_dependents(&self, dependency: Option<Uuid>) {
        if dependency.is_some() && sabotage::on(Sabotage::FailureNotTold) {
            return;
        }
        let (room, readers, mailboxes) = (self.room.clone(), self.readers.clone(), self.mailboxes.clone());
        self.room.spawn(async move {
            let mut after = None;
            loop {
                let page = match readers.run(move |store| read::dependents(store, dependency, after, PAGE)).await {
                    Ok(Ok(page)) => page,
                    Err(ReadError::Closed) => return,
                    Ok(Err(_)) | Err(ReadError::Busy) => {
                        room.sleep(READ_AGAIN).await;
                        continue;
                    }
                };
                let Some(last) = page.last() else { return };
                after = Some((last.dependency, last.id));
                for dependent in page {
                    let from = dependent.row.from;
                    let check = Event::Order { id: dependent.id, from, command: Command::Check, ask: None };
                    if !mailboxes[shard_of(&from, mailboxes.len())].send(Mail::Tell(Box::new(check))).await {
                        return;
                    }
                }
            }
        });
    }
}
