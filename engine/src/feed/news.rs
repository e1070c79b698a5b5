//! The event that there may be more in the feed.

use tokio::sync::watch;

/// Rung by the shards when endings have got to disk, and when a block has. Clones are the same one.
#[derive(Clone, Debug)]
pub struct News(watch::Sender<()>);

impl Default for News {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl News {
    /// There may be more.
    pub fn ring(&self) {
        self.0.send_replace(());
    }

    /// Hears of what is rung from now on: several times at once are heard as one.
    #[must_use]
    pub fn listen(&self) -> watch::Receiver<()> {
        self.0.subscribe()
    }
}
