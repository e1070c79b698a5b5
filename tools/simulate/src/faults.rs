//! What goes wrong, how often it did, and in which stages it found transactions.

use std::fmt;

use engine::txmgr::ByStage;
use engine::txmgr::stage::Stage;

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
    /// The engine ends when a transaction has its nonce, in memory.
    CrashNonceTaken = "crash, nonce taken",
    /// The engine ends when a run is signed.
    CrashSigned = "crash, signed",
    /// The engine ends when a record is on disk and nobody has been told.
    CrashPersisted = "crash, persisted",
    /// The engine ends when a connection has signed bytes and no reply has come.
    CrashSent = "crash, sent without reply",
    /// The engine ends when the reply is there and has not been acted upon.
    CrashReplied = "crash, replied unsaved",
    /// The engine ends when a block has been read and not been stored.
    CrashMinedUnseen = "crash, mined unseen",
    /// The engine ends while a commit is being written, which is on disk or not. There is nothing between: a commit is one record
    /// of RocksDB's log, and one that is torn is dropped whole when the log is read; and the writer never has two of them under way.
    CrashInCommit = "crash in commit",
    /// A commit fails and is found on disk.
    CommitUnknownThere = "commit unknown, on disk",
    /// A commit fails and is not on disk.
    CommitUnknownGone = "commit unknown, not on disk",
    /// Several commits in a row fail, on disk or not, and the store cannot be opened again for a while.
    DiskFails = "disk fails for a while",
    /// A commit takes seconds.
    DiskSlow = "disk slow",
    /// The wall clock jumps, forwards or back.
    ClockJumps = "wall clock jumps",
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
    /// The node cannot be reached for a moment, and its pool is empty afterwards.
    NodeRestarts = "node restarts, pool empty",
    /// The node tells no price for a while.
    PriceUnknown = "price unknown",
    /// The node lists fewer receipts than the block has transactions, for a while.
    ReceiptsShort = "receipts short",
    /// The node says of one request that it can never be mined, each time it comes.
    Invalid = "called invalid",
    /// Blocks leave the chain; their transactions go back to the pool.
    Reorg = "reorg",
    /// Blocks leave the chain; their transactions are gone.
    ReorgLoses = "reorg, pool empty",
    /// Blocks leave the chain that are final: it is another chain.
    ReorgFinal = "reorg past finality",
    /// Two reorgs, of which neither goes past finality alone: it is another chain.
    ReorgsFinal = "two reorgs past finality",
    /// Another wallet has a key and uses the next nonces of its address.
    Rival = "another wallet has the key",
    /// Authorizations of an address take its next nonces.
    Authorized = "authorizations take nonces",
    /// Authorizations of an address are in a block and none of them is valid.
    AuthorizedInVain = "authorizations in vain",
    /// Heads by WebSocket end, and cannot be had for up to twenty blocks.
    HeadsCut = "heads by WebSocket cut",
    /// The price oracle answers nonsense for a while.
    OracleFails = "oracle fails",
    /// The money of an address is gone for a while.
    FundsDrained = "funds drained",
    /// The signer does not answer for one key, for a while.
    SignerHangs = "signer hangs",
    /// The signer refuses for one key, for a while.
    SignerFails = "signer fails",
    /// The base fee rises, not above any cap, and stays there.
    FeeRises = "fee rises below the cap",
    /// The base fee rises above every cap, for a while.
    FeeSpike = "fee spike above the cap",
}

impl Fault {
    /// The point at which the engine ends.
    pub(crate) const fn point(self) -> Option<engine::point::Point> {
        use engine::point::Point;
        match self {
            Self::CrashNonceTaken => Some(Point::NonceTaken),
            Self::CrashSigned => Some(Point::Signed),
            Self::CrashPersisted => Some(Point::Persisted),
            Self::CrashSent => Some(Point::Sent),
            Self::CrashReplied => Some(Point::Replied),
            Self::CrashMinedUnseen => Some(Point::MinedUnseen),
            _ => None,
        }
    }

    /// Nothing comes after it: only the end of a run has it.
    pub(crate) const fn is_last(self) -> bool {
        matches!(self, Self::ReorgFinal | Self::ReorgsFinal)
    }

    /// Whether this build has it: points are behind a feature.
    const fn is_here(self) -> bool {
        self.point().is_none() || cfg!(feature = "points")
    }
}

/// Cells of the matrix that cannot be met, and why.
const IMPOSSIBLE: &[(Fault, Stage, &str)] = &[];

/// How often each kind took effect, and how often it found a transaction in each stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tally([Row; Fault::ALL.len()]);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Row {
    times: u64,
    met: ByStage,
}

impl Default for Tally {
    fn default() -> Self {
        Self([Row::default(); Fault::ALL.len()])
    }
}

impl Tally {
    /// It happened, while that many transactions were in each stage.
    pub(crate) fn note(&mut self, fault: Fault, stages: ByStage) {
        let row = &mut self.0[fault as usize];
        row.times += 1;
        for (met, open) in row.met.iter_mut().zip(stages) {
            *met += u64::from(open > 0);
        }
    }

    /// Faults of all kinds.
    pub(crate) fn total(&self) -> u64 {
        self.0.iter().map(|row| row.times).sum()
    }

    /// Sums.
    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            mine.times += theirs.times;
            for (mine, theirs) in mine.met.iter_mut().zip(theirs.met) {
                *mine += theirs;
            }
        }
    }

    /// Faults that never met a transaction in a stage, although they can.
    pub(crate) fn unmet(&self) -> Vec<String> {
        let impossible = |fault: Fault, stage: Stage| IMPOSSIBLE.iter().any(|cell| (cell.0, cell.1) == (fault, stage));
        let mut unmet = Vec::new();
        for (fault, row) in Fault::ALL.iter().zip(self.0).filter(|(fault, _)| fault.is_here()) {
            for (stage, met) in Stage::ALL.iter().zip(row.met) {
                if met == 0 && !impossible(*fault, *stage) {
                    unmet.push(format!("{} × {}", fault.text(), stage.name()));
                }
            }
        }
        unmet
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<26} {:>9} ", "fault", "times")?;
        for stage in Stage::ALL {
            write!(f, " {:>16}", stage.name())?;
        }
        writeln!(f)?;
        for (fault, row) in Fault::ALL.iter().zip(self.0).filter(|(fault, _)| fault.is_here()) {
            write!(f, "  {:<26} {:>9} ", fault.text(), row.times)?;
            for met in row.met {
                write!(f, " {met:>16}")?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// One kind, drawn from the seed.
pub(crate) fn draw(executor: &Executor) -> Fault {
    loop {
        let place = usize::try_from(executor.below(Fault::ALL.len() as u64)).unwrap_or(0);
        if Fault::ALL[place].is_here() && !Fault::ALL[place].is_last() {
            return Fault::ALL[place];
        }
    }
}
