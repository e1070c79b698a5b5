//! A page of the feed, read from disk.

use std::ops::ControlFlow;

use storage::{AttemptRow, EndingsRow, FailureRow, ReceiptRow, Store, StoreError, feed, read};
use uuid::Uuid;

use crate::sabotage::{self, Sabotage};

/// Most endings on a page.
pub const PAGE_MAX: usize = 100;
/// A page ends when its endings take about this many bytes as JSON; one that is longer stands alone.
pub const PAGE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of an ending as JSON, beside the words of a failure.
const ENDING_BYTES: usize = 600;
/// Rows that one page reads: reorgs can leave many that are void.
const ROWS_MAX: usize = 64;

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// Its place in the feed.
    pub sequence: u64,
    /// Which transaction.
    pub id: Uuid,
    /// How.
    pub end: End,
}

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// In a block of the required depth.
    Mined(Box<ReceiptRow>),
    /// Without being mined.
    Failed(FailureRow),
}

/// A part of the feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The endings, by sequence; sequences that are missing between them are of what has become void.
    pub endings: Vec<Ending>,
    /// Up to here there is nothing else: the next page begins above it.
    pub covered: u64,
    /// There may be more behind it now; otherwise with the next [`News`](super::News).
    pub more: bool,
}

impl Page {
    /// What stands above `above`, and not above `through`. `required`: the depth that counts as confirmed; 1 is a transaction's own block.
    ///
    /// # Errors
    /// The store's.
    pub fn read(store: &impl Store, above: u64, through: u64, required: u64) -> Result<Self, StoreError> {
        let head = read::last_head(store)?.map(|(number, _)| number);
        let mut reading = Reading { page: Self { endings: Vec::new(), covered: above, more: false }, bytes: 0, through, required, head };
        // A block's row may fill the page, and one of failures is short: the first read is of one row, and each further one of twice as many.
        let (mut next, mut rows, mut left) = (above, 1, ROWS_MAX);
        while left > 0 {
            let found = feed::endings(store, next, rows)?;
            let Some((first, row)) = found.last() else { return Ok(reading.page) };
            next = first + row.ids.len() as u64 - 1;
            let all = found.len() < rows;
            left -= found.len();
            for (first, row) in found {
                if reading.row(store, first, &row)?.is_break() {
                    return Ok(reading.page);
                }
            }
            if all {
                return Ok(reading.page);
            }
            rows = (2 * rows).min(left);
        }
        reading.page.more = true;
        Ok(reading.page)
    }
}

/// A page as it fills.
struct Reading {
    page: Page,
    /// What its endings take so far.
    bytes: usize,
    through: u64,
    required: u64,
    /// Highest block that is stored.
    head: Option<u64>,
}

impl Reading {
    /// Takes in the row that begins with the sequence `first`; a break says that the page is done.
    fn row(&mut self, store: &impl Store, first: u64, row: &EndingsRow) -> Result<ControlFlow<()>, StoreError> {
        let page = &mut self.page;
        if first > self.through {
            return Ok(ControlFlow::Break(()));
        }
        let last = first + row.ids.len() as u64 - 1;
        if let Some(block) = row.block {
            if !feed::counts(store, first, block)? {
                page.covered = last.min(self.through);
                return Ok(ControlFlow::Continue(()));
            }
            let deep = self.head.is_some_and(|head| head + 1 >= block.saturating_add(self.required));
            if !deep && !sabotage::on(Sabotage::ToldBeforeDeep) {
                return Ok(ControlFlow::Break(()));
            }
        }
        let from = first.max(page.covered + 1);
        let room = PAGE_MAX - page.endings.len();
        let wanted = |at: u64| (from..=self.through).contains(&at);
        let ids: Vec<Uuid> = (first..).zip(&row.ids).filter(|(at, _)| wanted(*at)).map(|(_, id)| *id).take(room).collect();
        let ends = if row.block.is_some() { mined(store, &ids)? } else { failed(store, &ids)? };
        // What was read belongs to the block only if that has not left the chain meanwhile.
        if let Some(block) = row.block
            && !feed::counts(store, first, block)?
        {
            page.covered = last.min(self.through);
            return Ok(ControlFlow::Continue(()));
        }
        for ((sequence, id), end) in (from..).zip(ids).zip(ends) {
            if let Some(end) = end {
                self.bytes += ENDING_BYTES + if let End::Failed(failure) = &end { failure.reason.len() } else { 0 };
                if self.bytes > PAGE_BYTES_MAX && !page.endings.is_empty() {
                    page.more = true;
                    return Ok(ControlFlow::Break(()));
                }
                page.endings.push(Ending { sequence, id, end });
            }
            page.covered = sequence;
        }
        page.more = page.covered < last || page.endings.len() == PAGE_MAX;
        Ok(if page.more { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }
}

/// The receipts of these; none where what was mined only closes a nonce: that is followed by a failure.
fn mined(store: &impl Store, ids: &[Uuid]) -> Result<Vec<Option<End>>, StoreError> {
    let receipts = read::receipts(store, ids)?;
    let attempts = ids.iter().zip(&receipts).filter_map(|(id, receipt)| receipt.as_ref().map(|row| (*id, row.generation, row.attempt)));
    let mut attempts = read::attempts_at(store, attempts)?.into_iter();
    let closing = |attempt: Option<AttemptRow>| attempt.is_some_and(|attempt| attempt.closing.is_some());
    Ok(receipts.into_iter().map(|row| row.filter(|_| !closing(attempts.next().flatten())).map(|row| End::Mined(Box::new(row)))).collect())
}

fn failed(store: &impl Store, ids: &[Uuid]) -> Result<Vec<Option<End>>, StoreError> {
    Ok(read::failures(store, ids)?.into_iter().map(|row| row.map(End::Failed)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::testing::{CountedStore, History};

    fn all(history: &History, required: u64) -> Vec<(u64, Uuid)> {
        let (mut told, mut covered) = (Vec::new(), 0);
        loop {
            let page = Page::read(history.store(), covered, u64::MAX, required).expect("a read");
            assert!(page.endings.len() <= PAGE_MAX && page.covered >= covered);
            told.extend(page.endings.iter().map(|ending| (ending.sequence, ending.id)));
            covered = page.covered;
            if !page.more {
                return told;
            }
        }
    }

    #[test]
    fn endings_are_told_once_deep_enough_and_none_before_those_in_front_of_it() {
        let mut history = History::new();
        let (a, b) = (history.bound(1, 0, None), history.bound(1, 1, None));
        history.block(10, &[a, b]);
        let c = history.failed(1, "no");
        assert_eq!(all(&history, 1), [(1, a), (2, b), (3, c)]);
        assert_eq!(all(&history, 2), []);
        history.block(11, &[]);
        assert_eq!(all(&history, 2), [(1, a), (2, b), (3, c)]);
        let second = Page::read(history.store(), 1, 2, 2).expect("a read");
        assert_eq!(second.endings.iter().map(|ending| ending.sequence).collect::<Vec<_>>(), [2]);
        assert_eq!((second.covered, second.more), (2, false), "what stands behind was not asked for");
    }

    #[test]
    fn a_page_reads_what_fills_it_and_not_the_blocks_behind() {
        let mut history = History::new();
        let ids = history.many_bound(1, 10 * PAGE_MAX);
        let per_page = |history: &History| {
            let store = CountedStore::new(history.store());
            let page = Page::read(&store, 0, u64::MAX, 1).expect("a read");
            assert_eq!((page.endings.len(), page.more), (PAGE_MAX, true));
            store.bytes_read()
        };
        let (first, others) = ids.split_at(PAGE_MAX + 1);
        history.block(10, first);
        let alone = per_page(&history);
        for (number, ids) in (11..).zip(others.chunks(PAGE_MAX)) {
            history.block(number, ids);
        }
        assert!(per_page(&history) <= alone + 200, "a greater height at most");
    }

    #[test]
    fn what_a_reorg_takes_back_is_void_and_comes_again_with_a_new_sequence() {
        let mut history = History::new();
        let (a, b) = (history.bound(1, 0, None), history.bound(1, 1, None));
        history.block(10, &[a]);
        history.block(11, &[b]);
        history.rewind(11, 10, &[b]);
        assert_eq!(all(&history, 1), [(1, a)]);
        history.block(11, &[]);
        assert_eq!(all(&history, 1), [(1, a)], "an empty block in its place changes nothing");
        history.block(12, &[b]);
        assert_eq!(all(&history, 1), [(1, a), (3, b)]);
        // The same height again, and the same transaction.
        history.rewind(12, 11, &[b]);
        history.block(12, &[b]);
        assert_eq!(all(&history, 1), [(1, a), (4, b)]);
    }

    #[test]
    fn a_page_is_bounded_in_number_in_bytes_and_in_rows_and_says_that_there_is_more() {
        let mut history = History::new();
        let ids = history.many_bound(1, 2 * PAGE_MAX + 7);
        history.block(10, &ids);
        let page = Page::read(history.store(), 0, u64::MAX, 1).expect("a read");
        assert_eq!((page.endings.len(), page.covered, page.more), (PAGE_MAX, PAGE_MAX as u64, true));
        assert_eq!(all(&history, 1).into_iter().map(|(_, id)| id).collect::<Vec<_>>(), ids);
        let mut history = History::new();
        let long = "x".repeat(PAGE_BYTES_MAX / 2);
        let failed: Vec<_> = (0..4).map(|_| history.failed(1, &long)).collect();
        let page = Page::read(history.store(), 0, u64::MAX, 1).expect("a read");
        assert_eq!((page.endings.len(), page.more), (1, true), "two would be too long");
        assert_eq!(all(&history, 1).into_iter().map(|(_, id)| id).collect::<Vec<_>>(), failed);
        let mut history = History::new();
        let id = history.bound(1, 0, None);
        for _ in 0..3 * ROWS_MAX {
            history.block(10, &[id]);
            history.rewind(10, 9, &[id]);
        }
        let page = Page::read(history.store(), 0, u64::MAX, 1).expect("a read");
        assert_eq!((page.endings.len(), page.covered, page.more), (0, ROWS_MAX as u64, true));
        assert_eq!(all(&history, 1), []);
    }
}
