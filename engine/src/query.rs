//! Finding transactions: by hash, by the beginning of an idempotency key, or by reading through them in the order of their making.
//!
//! ```text
//! hash ────────────────────► by_hash ─────► one id ─┐
//! idempotencyKeyPrefix ────► idempotency ─► ids ────┼─► views ─► filters (from, status) ─► page, cursor
//! otherwise ───────────────► transactions ─► rows ──┘
//! ```
//!
//! One page reads a bounded number of rows and bytes, so a query that finds little comes back short, or empty, **with** a cursor:
//! the caller goes on from there. No cursor: there is nothing more. Ids and keys never change, so a transaction that moves between two
//! pages is neither skipped nor repeated.

use std::fmt;
use std::ops::Bound;
use std::str::FromStr;

use alloy::hex;
use alloy::primitives::{Address, B256};
use storage::{Direction, Store, StoreError, TransactionRow, read};
use thiserror::Error;
use uuid::Uuid;

use crate::view::{Status, TransactionView};

/// Transactions on a page unless the caller says otherwise.
pub const DEFAULT_PAGE: usize = 100;
/// Most transactions on a page.
pub const MAX_PAGE: usize = 1000;
/// Rows that one page reads at most: some tens of milliseconds of a reader.
const MAX_SCANNED: usize = 10_000;
/// Rows read in one go while a filter throws some of them away.
const RUN: usize = 256;
/// A page ends when the payloads on it have this many bytes.
const MAX_PAGE_BYTES: usize = 4 * 1024 * 1024;

/// What to find, and in what order.
#[derive(Clone, Debug)]
pub struct Query {
    /// Only of this signing address.
    pub from: Option<Address>,
    /// Only with this status.
    pub status: Option<Status>,
    /// Only those that are neither confirmed nor failed.
    pub pending: bool,
    /// Only the one with an attempt of this hash.
    pub hash: Option<B256>,
    /// Only those whose idempotency key begins so, by key.
    pub idempotency_key_prefix: Option<String>,
    /// Oldest first or newest first. A query by key prefix is by key, ascending.
    pub sort: Direction,
    /// Most transactions on the page.
    pub limit: usize,
    /// Where the page before ended.
    pub cursor: Option<Cursor>,
}

/// Part of the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// What was found.
    pub transactions: Vec<TransactionView>,
    /// Where to go on; `None`: there is nothing more.
    pub cursor: Option<Cursor>,
}

/// The last transaction that a page looked at. To callers it is a text without meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// In the order of ids.
    Id(Uuid),
    /// In the order of idempotency keys.
    Key(String),
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "i{}", id.simple()),
            Self::Key(key) => write!(f, "k{}", hex::encode(key)),
        }
    }
}

impl FromStr for Cursor {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        let id = || Some(Self::Id(Uuid::try_parse(text.strip_prefix('i')?).ok()?));
        let key = || {
            let bytes = hex::decode(text.strip_prefix('k')?).ok()?;
            Some(Self::Key(String::from_utf8(bytes).ok()?))
        };
        id().or_else(key).ok_or(QueryError::Cursor)
    }
}

/// Why a query has no answer.
#[derive(Debug, Error)]
pub enum QueryError {
    /// The cursor is not from a page of such a query.
    #[error("cursor: not from an earlier page of this query; leave it out to begin anew")]
    Cursor,
    /// Keys are listed in one direction.
    #[error("sort: a query by idempotencyKeyPrefix is sorted by key, ascending; leave sort out")]
    KeysDescending,
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Query {
    /// One page of the answer. `required_confirmations` as for [`TransactionView::read`].
    pub fn run(&self, store: &impl Store, required_confirmations: u64) -> Result<Page, QueryError> {
        if let Some(hash) = &self.hash {
            return Ok(self.by_hash(store, hash, required_confirmations)?);
        }
        let mut page = Gathering { query: self, page: Page::default(), bytes: 0 };
        match (&self.idempotency_key_prefix, &self.cursor) {
            (Some(_), _) if self.sort == Direction::Backward => return Err(QueryError::KeysDescending),
            (Some(prefix), None) => page.by_key(store, prefix, None, required_confirmations)?,
            (Some(prefix), Some(Cursor::Key(after))) => {
                page.by_key(store, prefix, Some(after.clone()), required_confirmations)?;
            }
            (None, None) => page.by_id(store, None, required_confirmations)?,
            (None, Some(Cursor::Id(after))) => page.by_id(store, Some(*after), required_confirmations)?,
            (Some(_), Some(Cursor::Id(_))) | (None, Some(Cursor::Key(_))) => return Err(QueryError::Cursor),
        }
        Ok(page.page)
    }

    fn by_hash(&self, store: &impl Store, hash: &B256, required: u64) -> Result<Page, StoreError> {
        let Some(entry) = read::by_hash(store, hash)? else { return Ok(Page::default()) };
        let view = TransactionView::read(store, entry.id, required)?;
        let prefix = self.idempotency_key_prefix.as_deref().unwrap_or_default();
        let transactions = view
            .into_iter()
            .filter(|view| self.wants_row(&view.transaction) && self.wants_status(view))
            .filter(|view| view.transaction.idempotency_key.as_deref().unwrap_or_default().starts_with(prefix))
            .collect();
        Ok(Page { transactions, cursor: None })
    }

    fn wants_row(&self, row: &TransactionRow) -> bool {
        self.from.is_none_or(|from| row.request.from == from)
    }

    fn wants_status(&self, view: &TransactionView) -> bool {
        let pending = || !matches!(view.status(), Status::Confirmed | Status::FatalError);
        self.status.is_none_or(|status| view.status() == status) && (!self.pending || pending())
    }

    /// Rows to read in one go when `found` are on the page already.
    fn run_length(&self, found: usize) -> usize {
        let filtered = self.from.is_some() || self.status.is_some() || self.pending;
        if filtered { RUN } else { RUN.min(self.limit - found) }
    }
}

/// A page that is being filled.
struct Gathering<'a> {
    query: &'a Query,
    page: Page,
    bytes: usize,
}

impl Gathering<'_> {
    fn by_id(&mut self, store: &impl Store, mut after: Option<Uuid>, required: u64) -> Result<(), StoreError> {
        let mut scanned = 0;
        while scanned < MAX_SCANNED {
            let length = self.query.run_length(self.page.transactions.len());
            let past = after.map_or(Bound::Unbounded, Bound::Excluded);
            let (from, to) = match self.query.sort {
                Direction::Forward => (past, Bound::Unbounded),
                Direction::Backward => (Bound::Unbounded, past),
            };
            let rows = read::transactions_by_id(store, from, to, self.query.sort, length)?;
            scanned += rows.len();
            let at_end = rows.len() < length;
            let last = rows.last().map(|(id, _)| *id);
            let wanted = rows.into_iter().filter(|(_, row)| self.query.wants_row(row)).collect();
            for view in TransactionView::complete(store, wanted, required)? {
                let cursor = Cursor::Id(view.id);
                if self.add(view, cursor) {
                    return Ok(());
                }
            }
            if at_end {
                self.page.cursor = None;
                return Ok(());
            }
            after = last.or(after);
            self.page.cursor = after.map(Cursor::Id);
        }
        Ok(())
    }

    fn by_key(&mut self, store: &impl Store, prefix: &str, mut after: Option<String>, required: u64) -> Result<(), StoreError> {
        let mut scanned = 0;
        while scanned < MAX_SCANNED {
            let length = self.query.run_length(self.page.transactions.len());
            let keys = read::by_key_prefix(store, prefix, after.as_deref(), length)?;
            scanned += keys.len();
            let at_end = keys.len() < length;
            let ids: Vec<_> = keys.iter().map(|(_, id)| *id).collect();
            for view in TransactionView::read_many(store, &ids, required)? {
                // A transaction keeps the key that it was found by.
                let Some(key) = view.transaction.idempotency_key.clone() else { continue };
                if self.query.wants_row(&view.transaction) && self.add(view, Cursor::Key(key)) {
                    return Ok(());
                }
            }
            if at_end {
                self.page.cursor = None;
                return Ok(());
            }
            after = keys.into_iter().next_back().map(|(key, _)| key).or(after);
            self.page.cursor = after.clone().map(Cursor::Key);
        }
        Ok(())
    }

    /// Takes the transaction if it is wanted. `true`: the page is full, and the next one begins behind `cursor`.
    fn add(&mut self, view: TransactionView, cursor: Cursor) -> bool {
        if !self.query.wants_status(&view) {
            return false;
        }
        self.bytes += view.transaction.request.data.len();
        self.page.transactions.push(view);
        let full = self.page.transactions.len() >= self.query.limit || self.bytes >= MAX_PAGE_BYTES;
        if full {
            self.page.cursor = Some(cursor);
        }
        full
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::testing::History;

    fn all() -> Query {
        Query {
            from: None,
            status: None,
            pending: false,
            hash: None,
            idempotency_key_prefix: None,
            sort: Direction::Forward,
            limit: 2,
            cursor: None,
        }
    }

    /// The ids on all pages; a cursor goes through its text, as callers send it back.
    fn pages(history: &History, mut query: Query) -> Vec<Uuid> {
        let mut ids = Vec::new();
        for _ in 0..100 {
            let page = query.run(history.store(), 1).expect("a page");
            assert!(page.transactions.len() <= query.limit);
            ids.extend(page.transactions.iter().map(|view| view.id));
            match page.cursor {
                Some(cursor) => query.cursor = Some(cursor.to_string().parse().expect("a cursor")),
                None => return ids,
            }
        }
        panic!("the pages have no end");
    }

    #[test]
    fn pages_give_every_transaction_once_in_either_order() {
        let mut history = History::new();
        let mut ids: Vec<_> = (0..7).map(|nonce| history.bound(1, nonce, None)).collect();
        assert_eq!(pages(&history, all()), ids);
        ids.reverse();
        assert_eq!(pages(&history, Query { sort: Direction::Backward, ..all() }), ids);
    }

    #[test]
    fn filters_keep_what_they_name() {
        let mut history = History::new();
        let mined = history.bound(1, 0, None);
        let pending = history.bound(2, 0, None);
        let waiting = history.waiting(1, None);
        let failed = history.failed(2, "no");
        history.block(1, &[mined]);
        let by_status = |status| pages(&history, Query { status: Some(status), ..all() });
        assert_eq!(by_status(Status::Confirmed), [mined]);
        assert_eq!(by_status(Status::Unconfirmed), [pending]);
        assert_eq!(by_status(Status::Unstarted), [waiting]);
        assert_eq!(by_status(Status::FatalError), [failed]);
        assert!(by_status(Status::InProgress).is_empty());
        assert_eq!(pages(&history, Query { pending: true, ..all() }), [pending, waiting]);
        let from = Some(History::address(1));
        assert_eq!(pages(&history, Query { from, ..all() }), [mined, waiting]);
        assert_eq!(pages(&history, Query { from, status: Some(Status::Unstarted), ..all() }), [waiting]);
    }

    #[test]
    fn a_hash_finds_its_transaction_and_no_other() {
        let mut history = History::new();
        let id = history.bound(1, 0, None);
        history.bound(1, 1, None);
        let hash = history.view(id, 1).attempts[0].hash;
        assert_eq!(pages(&history, Query { hash: Some(hash), ..all() }), [id]);
        let other_address = Query { hash: Some(hash), from: Some(History::address(2)), ..all() };
        assert!(pages(&history, other_address).is_empty());
        assert!(pages(&history, Query { hash: Some(B256::repeat_byte(9)), ..all() }).is_empty());
    }

    #[test]
    fn a_key_prefix_finds_its_transactions_by_key() {
        let mut history = History::new();
        let second = history.bound(1, 0, Some("run-2"));
        let first = history.waiting(1, Some("run-1"));
        let third = history.bound(1, 1, Some("run-3"));
        history.bound(1, 2, Some("rum"));
        history.bound(1, 3, Some("s"));
        let prefix = || Some("run".to_owned());
        let query = Query { idempotency_key_prefix: prefix(), ..all() };
        assert_eq!(pages(&history, query.clone()), [first, second, third]);
        let descending = Query { sort: Direction::Backward, ..query.clone() };
        assert!(matches!(descending.run(history.store(), 1), Err(QueryError::KeysDescending)));
        let wrong_cursor = Query { cursor: Some(Cursor::Id(first)), ..query };
        assert!(matches!(wrong_cursor.run(history.store(), 1), Err(QueryError::Cursor)));
    }

    #[test]
    fn a_page_reads_a_bounded_number_of_rows_and_says_where_to_go_on() {
        let mut history = History::new();
        let ids = history.many_bound(1, MAX_SCANNED + RUN);
        history.waiting(2, None);
        let query = Query { from: Some(History::address(2)), ..all() };
        let page = query.run(history.store(), 1).expect("a page");
        assert_eq!(page.transactions, []);
        let Some(Cursor::Id(cursor)) = page.cursor else { panic!("there is more to look at") };
        assert!(ids.contains(&cursor));
        assert_eq!(pages(&history, query).len(), 1);
    }

    #[test]
    fn a_text_that_is_no_cursor_is_refused() {
        for text in ["", "i", "k1", "kff", "x00", "i0190"] {
            assert!(matches!(text.parse::<Cursor>(), Err(QueryError::Cursor)), "{text}");
        }
    }
}
