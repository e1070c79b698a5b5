//! What millrace remembers: the records, the families they are kept in, the store, and the submission writer.
//!
//! ```text
//!            shards (engine)                                        readers (engine, API)
//!   Commit { ticket, epoch, [Record] }                                       │
//!        │  bounded, lock-free, one link a shard                             │ transaction(id), by_key(key),
//!        ▼                                                                   │ bound(address, …), head(number), …
//!   ┌─────────┐  one turn = one group commit                                 ▼
//!   │ Writer  │── append(expected, [Record]) ──┐                        ┌──────────┐
//!   └─────────┘                                ▼                        │   read   │ typed, decoded
//!        │ Ack { ticket, epoch, outcome }   ┌───────┐  get, scan        └──────────┘
//!        │ and a ring                       │ Store │◄──────────────────────┘
//!        ▼                                  └───────┘
//!      shards                                  │ project(record): a pure function
//!                                              ▼
//!                        one WriteBatch over the families, one fsync
//!    transactions  attempts  by_address  by_hash  idempotency  heads  receipts  failures  rivals  meta
//! ```
//!
//! * [`record`]: what is appended, and the rows that are kept. [`Record::Bound`] is the heart: request, nonce, price, signed bytes and
//!   hash in one record, so that one fsync is the acknowledgement and the permission to send.
//! * [`keys`], [`codec`], [`project()`]: how records become keys and values. `SCHEMA.md` is the page to read first.
//! * [`store`]: the seam. [`RocksStore`] behind it in production, a store in memory in the simulator.
//! * [`writer()`], [`link`], [`run()`]: group commit, the links to the shards, and the thread.
//! * [`read`]: typed reads; [`feed`]: those of the endings that receipt listeners are told of.
//! * [`sabotage`]: mistakes on purpose, for the simulator; nothing without the feature of that name.
//!
//! **Promises.** What was answered [`Outcome::Durable`] is on disk and survives kill -9 and power loss (as far as the disk keeps what
//! it has synced). All records of one commit are there or none. Commits of one shard become durable in the order of their submission.
//!
//! **How it fails.** A failed append is unknown until the store has been opened again and told; [`writer`](mod@writer) says what
//! happens meanwhile. A read that fails says whether to retry ([`StoreError::Closed`]), to look at the disk ([`StoreError::Io`]), or
//! that a value is damaged ([`StoreError::Corrupt`]). A directory in use, or one of a newer version, is an [`OpenError`].

mod batch;
pub mod codec;
pub mod feed;
pub mod keys;
pub mod link;
pub mod options;
pub mod project;
pub mod read;
pub mod record;
pub mod rocks;
pub mod run;
pub mod sabotage;
pub mod store;
pub mod writer;

pub use link::{Ack, Commit, Outcome, ShardLink, Wake};
pub use options::{Options, OptionsError};
pub use project::{Scratch, project, project_all};
pub use record::{
    AbiRow, AttemptFees, AttemptRow, Authorization, Dependency, DependentRow, EndingsRow, Extras, FailureRow, Fees, GenerationRow,
    HEADS_PRUNED_PER_BLOCK, HeadRow, ListenerRow, Place, ReceiptRow, Record, Request, RivalRow, SidecarRow, Timeline, TransactionRow,
};
pub use rocks::{OpenError, RocksStore};
pub use run::run;
pub use store::{Append, Direction, Family, Pair, Puts, Store, StoreError};
pub use writer::{AppendLimits, Turn, Writer, WriterState, writer};
