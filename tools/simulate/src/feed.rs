//! Who follows the feed of endings, and loses his place now and then; and what must hold of it (row E1): every ending that is on disk is told
//! exactly once since its last withdrawal, in growing sequences, over restarts and crashes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use engine::feed::{End, Ending, Page};
use engine::view::{Status, TransactionView};
use storage::read;
use uuid::Uuid;

use crate::executor::Executor;
use crate::load::{Book, Present};
use crate::store::MemoryStore;

/// Longest pause between two pages.
const PAUSE: Duration = Duration::from_millis(800);

/// What the follower knows, and keeps whatever happens to the engine.
#[derive(Default)]
pub(crate) struct Follower {
    /// What has been dealt with; a page that was read and not noted here comes again.
    checkpoint: u64,
    told: BTreeMap<u64, Ending>,
    newest: BTreeMap<Uuid, u64>,
}

impl Follower {
    /// Takes an ending in.
    ///
    /// # Errors
    /// What about it cannot be.
    fn hear(&mut self, ending: &Ending, store: &MemoryStore) -> Result<(), String> {
        let (sequence, id) = (ending.sequence, ending.id);
        if let End::Mined(receipt) = &ending.end
            && !store.was_deep(id, receipt.block_hash)
        {
            return Err(format!(
                "{id} was told as ended (sequence {sequence}) in block {}, which was never deep enough",
                receipt.block_number
            ));
        }
        if let Some(earlier) = self.told.insert(sequence, ending.clone()).filter(|earlier| earlier != ending) {
            return Err(format!("sequence {sequence} was told as {earlier:?} and as {ending:?}"));
        }
        let earlier = self.newest.get(&id).copied().filter(|earlier| *earlier != sequence);
        match earlier.and_then(|earlier| self.told.get(&earlier)) {
            Some(earlier) if earlier.sequence > sequence => {
                Err(format!("{id} was told at sequence {} and then at {sequence}", earlier.sequence))
            }
            Some(Ending { end: End::Failed(failure), .. }) => {
                Err(format!("{id} was told as failed ({}), and then at sequence {sequence} as {ending:?}", failure.reason))
            }
            _ => {
                self.newest.insert(id, sequence);
                Ok(())
            }
        }
    }
}

/// Reads page after page from the engine that runs now; a page is noted, or forgotten as by a crash before the acknowledgement.
pub(crate) async fn follower(executor: Executor, present: Present, book: Rc<RefCell<Book>>, store: MemoryStore, calm: Rc<Cell<bool>>) {
    while !calm.get() {
        executor.sleep(executor.between(Duration::ZERO, PAUSE)).await;
        let Some(running) = present.borrow().clone() else { continue };
        let (engine, above) = (running.engine.clone(), book.borrow().follower.checkpoint);
        let page = running.ask(&executor, async move { engine.endings(above).await }).await;
        let Some(Ok(page)) = page else { continue };
        let mut book = book.borrow_mut();
        for ending in page.endings {
            if let Err(broken) = book.follower.hear(&ending, &store) {
                book.broken.push(broken);
            }
        }
        if executor.below(2) == 0 {
            book.follower.checkpoint = page.covered;
        }
    }
    book.borrow_mut().done += 1;
}

/// The feed at the end of a run, from its beginning, and what the follower has heard with the rest of it.
///
/// # Errors
/// What was told too often, or not at all, or as something else than it is.
pub(crate) fn feed(book: &Book, store: &MemoryStore, required: u64) -> Result<(), String> {
    let mut all = BTreeMap::new();
    for ending in behind(store, 0, required)? {
        if let Some(earlier) = all.insert(ending.id, ending.clone()) {
            return Err(format!("{} is twice in the feed, at {} and at {}", ending.id, earlier.sequence, ending.sequence));
        }
    }
    let mut heard: BTreeMap<Uuid, Ending> = book.follower.told.values().map(|ending| (ending.id, ending.clone())).collect();
    heard.extend(behind(store, book.follower.checkpoint, required)?.into_iter().map(|ending| (ending.id, ending)));
    for id in book.accepted.values() {
        let view = TransactionView::read(store, *id, required).map_err(|error| error.to_string())?;
        let view = view.ok_or_else(|| format!("{id} is not on disk"))?;
        let expected = match view.status() {
            Status::Confirmed => view.receipt.map(|row| End::Mined(Box::new(row))),
            Status::FatalError => view.failure.map(End::Failed),
            Status::Unstarted | Status::InProgress | Status::Unconfirmed => None,
        };
        for (who, told) in [("the feed", all.remove(id)), ("the follower", heard.remove(id))] {
            if told.as_ref().map(|ending| &ending.end) != expected.as_ref() {
                return Err(format!("{id} ended as {expected:?}, and {who} knows of {told:?}"));
            }
        }
    }
    // What is left are the engine's own transfers to oneself, which fill nonces that opened again.
    for (id, ending) in all {
        let row = read::transaction(store, id).map_err(|error| error.to_string())?;
        if !row.is_some_and(|row| row.idempotency_key.is_none() && row.request.to == Some(row.request.from)) {
            return Err(format!("{ending:?} is in the feed, and nobody sent it"));
        }
    }
    Ok(())
}

fn behind(store: &MemoryStore, mut above: u64, required: u64) -> Result<Vec<Ending>, String> {
    let mut endings: Vec<Ending> = Vec::new();
    loop {
        let page = Page::read(store, above, u64::MAX, required).map_err(|error| error.to_string())?;
        endings.extend(page.endings);
        if !page.more {
            return if endings.is_sorted_by(|a, b| a.sequence < b.sequence) {
                Ok(endings)
            } else {
                Err(format!("not in order: {endings:?}"))
            };
        }
        above = page.covered;
    }
}
