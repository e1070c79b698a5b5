//! Mistakes made on purpose, so that the simulator can prove that it would see them.
//!
//! Each is one line in production code, `if sabotage::on(…)`, at the place where somebody could really get it wrong. Without the
//! feature `sabotage` that is a constant `false` and nothing of it is compiled in. With it, at most one is on, in the whole process.

/// Declares a crate's sabotages: the enum, their names, and the switch.
#[macro_export]
macro_rules! sabotages {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// A mistake made on purpose.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sabotage {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Sabotage {
            /// All of this crate.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name on a command line.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }

        /// The one that is on, by its place in the enum, counted from 1; 0 for none.
        #[cfg(feature = "sabotage")]
        static CHOSEN: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

        /// Makes this mistake from now on, and no other of this crate; `None` for none.
        #[cfg(feature = "sabotage")]
        pub fn choose(sabotage: Option<Sabotage>) {
            CHOSEN.store(sabotage.map_or(0, |sabotage| sabotage as usize + 1), std::sync::atomic::Ordering::SeqCst);
        }

        /// Whether this mistake is to be made.
        #[cfg(feature = "sabotage")]
        #[must_use]
        pub fn on(sabotage: Sabotage) -> bool {
            CHOSEN.load(std::sync::atomic::Ordering::Relaxed) == sabotage as usize + 1
        }

        /// Never: the feature `sabotage` is off.
        #[cfg(not(feature = "sabotage"))]
        #[must_use]
        pub const fn on(_: Sabotage) -> bool {
            false
        }
    };
}

sabotages! {
    /// A failed append is acknowledged before the disk has been asked.
    UnknownAcknowledged = "unknown-acknowledged",
    /// After a failed append the store is opened again, but its sequence is not looked at: it counts as written.
    UnknownIsDurable = "unknown-is-durable",
    /// After a failed append the store is opened again, but its sequence is not looked at: it counts as not written.
    UnknownIsRefused = "unknown-is-refused",
    /// What a shard queued behind a refused commit is written all the same.
    StaleCommitWritten = "stale-commit-written",
    /// A waiting transaction that is bound stays in its queue on disk.
    QueueEntryKept = "queue-entry-kept",
    /// The receipt of a block that left the chain stays.
    OrphanReceiptKept = "orphan-receipt-kept",
    /// What has failed is not among the endings that listeners are told of.
    FailureNotInFeed = "failure-not-in-feed",
    /// The endings of a block that left the chain stay.
    EndingsKeptAfterReorg = "endings-kept-after-reorg",
    /// After a restart endings get sequences that others had.
    EndingsCountedAnew = "endings-counted-anew",
}
