//! How transactions ended, for whoever follows the feed in this process (row E1).

use storage::Store;
use tokio::sync::watch;

use super::{Engine, RETRY_AFTER_MS, SubmitError};
use crate::feed::Page;

impl<S: Store> Engine<S> {
    /// A page of how transactions ended, above a sequence: 0 for the beginning, and then [`Page::covered`] of the page before. Whoever notes
    /// that number after a page has been dealt with misses none, and can tell a repeat by its sequence.
    ///
    /// # Errors
    /// The disk cannot be read now: try again.
    pub async fn endings(&self, above: u64) -> Result<Page, SubmitError> {
        let required = self.required_confirmations();
        match self.readers().run(move |store| Page::read(store, above, u64::MAX, required)).await {
            Ok(Ok(page)) => Ok(page),
            Ok(Err(_)) | Err(_) => Err(SubmitError::Busy { retry_after_ms: RETRY_AFTER_MS }),
        }
    }

    /// Hears when there may be more to [`Engine::endings`] than before; to be had before the page is read.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<()> {
        self.inner.parts.news.listen()
    }

    /// Depth at which a transaction counts as confirmed; 1 is its own block.
    pub(crate) fn required_confirmations(&self) -> u64 {
        self.inner.parts.required_confirmations
    }

    /// A new id, of the kind that transactions have, and the time, µs since the Unix epoch.
    pub(crate) fn new_id(&self) -> (uuid::Uuid, u64) {
        let now = (self.inner.parts.clock)();
        (self.inner.parts.ids.next(now), u64::try_from(now.as_micros()).unwrap_or(u64::MAX))
    }
}
