//! The feed: endings have sequences that grow and are never given twice, whatever becomes of blocks, of appends and of the process.

use millrace_storage::{Append, EndingsRow, FailureRow, ListenerRow, Options, ReceiptRow, Record, RocksStore, Store, feed};
use uuid::Uuid;

use crate::kit::{address, head, id, open, receipt, tiny};

fn block(number: u64, mined: &[u64]) -> Record {
    let receipts = mined.iter().map(|number| (id(*number), receipt(*number, *number))).collect();
    Record::Block { number, head: head(number), receipts, rivals: Vec::new(), floors: Vec::new(), prune_heads_below: None }
}

fn failed(number: u64) -> Record {
    let failure = FailureRow { reason: "no".into(), failed_at: 1 };
    Record::Failed { id: id(number), from: address(0), accepted: None, queue_number: None, depends_on: Vec::new(), failure }
}

fn rewind(from: u64, to: u64, orphans: Vec<(Uuid, ReceiptRow)>) -> Record {
    Record::Rewind { to, head: head(to), from, highest: from, orphans, rivals: Vec::new() }
}

fn append(store: &impl Store, records: &[Record]) {
    let expected = store.sequence().unwrap();
    assert!(matches!(store.append(expected, records), Append::Durable { .. }));
}

/// Every row above this sequence: its first sequence, its block, and what ended.
fn rows(store: &impl Store, above: u64) -> Vec<(u64, EndingsRow)> {
    feed::endings(store, above, 100).unwrap()
}

fn row(block: Option<u64>, ended: &[u64]) -> EndingsRow {
    EndingsRow { block, ids: ended.iter().map(|number| id(*number)).collect() }
}

#[test]
fn an_append_adds_a_row_for_its_block_and_one_for_all_that_have_failed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert_eq!(feed::last_ending(&store).unwrap(), 0);
    append(&store, &[failed(1), block(7, &[2, 3]), failed(4)]);
    append(&store, &[block(8, &[])]);
    append(&store, &[failed(5)]);
    let expected = [(1, row(Some(7), &[2, 3])), (3, row(None, &[1, 4])), (5, row(None, &[5]))];
    assert_eq!(rows(&store, 0), expected);
    assert_eq!(rows(&store, 1), expected, "the next one stands in the middle of a row");
    assert_eq!(rows(&store, 2), expected[1..]);
    assert_eq!((rows(&store, 5), rows(&store, u64::MAX)), (Vec::new(), Vec::new()));
    assert_eq!(feed::endings(&store, 2, 1).unwrap(), expected[1..2]);
    assert_eq!(feed::last_ending(&store).unwrap(), 5);
}

#[test]
fn the_row_of_a_block_that_left_the_chain_never_counts_again() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    append(&store, &[block(7, &[1])]);
    append(&store, &[block(8, &[2])]);
    assert!(feed::counts(&store, 2, 8).unwrap());
    append(&store, &[rewind(8, 7, vec![(id(2), receipt(2, 2))])]);
    assert!(!feed::counts(&store, 2, 8).unwrap() && feed::counts(&store, 1, 7).unwrap());
    append(&store, &[block(8, &[2])]);
    assert!(!feed::counts(&store, 2, 8).unwrap() && feed::counts(&store, 3, 8).unwrap());
}

#[test]
fn sequences_go_on_after_a_restart_and_after_a_reopening_also_where_their_rows_are_void() {
    for options in [Options::default(), tiny()] {
        let directory = tempfile::tempdir().unwrap();
        let mut given = Vec::new();
        for round in 0..5_u64 {
            let store = RocksStore::open(directory.path(), &options).unwrap();
            append(&store, &[block(round, &[round])]);
            append(&store, &[rewind(round, round.saturating_sub(1), Vec::new()), failed(100 + round)]);
            store.reopen().unwrap();
            append(&store, &[failed(200 + round)]);
            given.push(feed::last_ending(&store).unwrap());
        }
        assert_eq!(given, [3, 6, 9, 12, 15]);
        let firsts: Vec<_> = rows(&RocksStore::open(directory.path(), &options).unwrap(), 0).iter().map(|(first, _)| *first).collect();
        assert_eq!(firsts, (1..=15).collect::<Vec<_>>());
    }
}

#[test]
fn a_refused_append_gives_no_sequences() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert!(matches!(store.append(9, &[failed(1)]), Append::Refused(_)));
    append(&store, &[failed(2)]);
    assert_eq!(rows(&store, 0), [(1, row(None, &[2]))]);
}

#[test]
fn listeners_are_kept_by_name_until_they_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let listener = |checkpoint| ListenerRow { created_at: 1, started: true, above: 0, public_only: false, checkpoint };
    let set = |name: &str, row| Record::Listener { name: name.to_owned(), row };
    append(&store, &[set("b", Some(listener(1))), set("a", Some(listener(2))), set("b", Some(listener(3)))]);
    drop(store);
    let store = open(directory.path());
    assert_eq!(feed::listeners(&store, 10).unwrap(), [("a".to_owned(), listener(2)), ("b".to_owned(), listener(3))]);
    assert_eq!(feed::listener(&store, "b").unwrap(), Some(listener(3)));
    append(&store, &[set("a", None)]);
    assert_eq!((feed::listener(&store, "a").unwrap(), feed::listeners(&store, 10).unwrap().len()), (None, 1));
}
