//! What goes wrong, and how often it did.

use std::fmt;

use crate::executor::Executor;

macro_rules! faults {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// One kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Fault {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Fault {
            /// All kinds.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)+];

            const fn text(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

faults! {
    /// The engine ends between two steps.
    Crash = "crash",
    /// The engine ends while a commit is being written, which is on disk or not.
    CrashInCommit = "crash in commit",
    /// A commit fails and is found on disk.
    CommitUnknownThere = "commit unknown, on disk",
    /// A commit fails and is not on disk.
    CommitUnknownGone = "commit unknown, not on disk",
    /// The connection is cut before a request takes effect.
    CutBefore = "cut before effect",
    /// The connection is cut after a request took effect.
    CutAfter = "cut after effect",
    /// A reply comes after its time limit.
    Late = "late reply",
    /// A request takes effect twice.
    Twice = "request repeated",
    /// The node asks for fewer requests.
    Throttle = "throttled",
    /// The pool drops one transaction.
    DropOne = "pool drops one",
    /// The pool drops everything.
    DropAll = "pool drops all",
    /// Receipts are not known for a while after their block.
    ReceiptsLag = "receipts lag",
    /// The node cannot be reached for a while.
    NodeDown = "node down",
    /// The second machine cannot be reached for a while.
    SecondDown = "second node down",
    /// The node tells no price for a while.
    PriceUnknown = "price unknown",
    /// The node lists fewer receipts than the block has transactions, for a while.
    ReceiptsShort = "receipts short",
    /// The node says of one transaction that it can never be mined.
    Invalid = "called invalid",
    /// Blocks leave the chain; their transactions go back to the pool.
    Reorg = "reorg",
    /// Blocks leave the chain; their transactions are gone.
    ReorgLoses = "reorg, pool empty",
    /// The money of an address is gone for a while.
    FundsDrained = "funds drained",
    /// The signer does not answer for one key, for a while.
    SignerHangs = "signer hangs",
    /// The signer refuses for one key, for a while.
    SignerFails = "signer fails",
    /// The base fee rises above what was bid, for a while.
    FeeSpike = "fee spike",
}

/// How often each kind took effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally([u64; Fault::ALL.len()]);

impl Tally {
    /// It happened.
    pub(crate) fn note(&mut self, fault: Fault) {
        self.0[fault as usize] += 1;
    }

    /// Faults of all kinds.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Sums.
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine += theirs;
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, count) in Fault::ALL.iter().zip(self.0) {
            writeln!(f, "  {:<26} {count:>9}", fault.text())?;
        }
        Ok(())
    }
}

/// One kind, drawn from the seed.
pub(crate) fn draw(executor: &Executor) -> Fault {
    let place = usize::try_from(executor.below(Fault::ALL.len() as u64)).unwrap_or(0);
    Fault::ALL[place]
}
