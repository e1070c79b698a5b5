//! Typed reads: what was appended is found by every way that leads to it.

use std::ops::Bound;

use alloy::primitives::{Address, B256};
use millrace_storage::{
    Append, AttemptRow, Dependency, Direction, FailureRow, Family, GenerationRow, HEADS_PRUNED_PER_BLOCK, Place, Record, RivalRow,
    RocksStore, Store, StoreError, TransactionRow, codec::HashEntry, keys, read,
};

use crate::kit::{accepted, address, attempt, bound, hash, head, id, key, open, receipt, transaction};

fn append(store: &RocksStore, records: &[Record]) {
    let expected = store.sequence().unwrap();
    assert!(matches!(store.append(expected, records), Append::Durable { .. }));
}

fn block(number: u64) -> Record {
    Record::Block { number, head: head(number), receipts: Vec::new(), rivals: Vec::new(), floors: Vec::new(), prune_heads_below: None }
}

#[test]
fn a_transaction_is_found_by_id_key_hash_and_nonce() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let from = address(1);
    append(&store, &[bound(from, 5, 12)]);
    let again = AttemptRow { attempt: 1, hash: hash(6), ..attempt(5, 12) };
    append(&store, &[Record::Attempt { id: id(5), attempt: again.clone() }]);

    assert_eq!(read::transaction(&store, id(5)).unwrap(), Some(transaction(from, 5)));
    assert_eq!(read::attempts(&store, id(5)).unwrap(), [attempt(5, 12), again]);
    assert_eq!(read::by_key(&store, &key(5)).unwrap(), Some((id(5), hash(5))));
    let entry = HashEntry { id: id(5), generation: 0, attempt: 1 };
    assert_eq!(read::by_hash(&store, &hash(6)).unwrap(), Some(entry));
    assert_eq!(read::bound(&store, &from, 0, 10).unwrap(), [(12, id(5))]);

    assert_eq!(read::transaction(&store, id(6)).unwrap(), None);
    assert_eq!(read::by_key(&store, &key(6)).unwrap(), None);
    assert_eq!(read::by_hash(&store, &hash(7)).unwrap(), None);
    assert_eq!(read::bound(&store, &from, 13, 10).unwrap(), []);
}

#[test]
fn what_waits_is_listed_in_order_until_it_is_bound_or_failed() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let from = address(1);
    let line: Vec<Record> = (0..5).map(|n| accepted(from, n, n + 10)).collect();
    append(&store, &line);
    let failure = FailureRow { reason: "reverts".to_owned(), failed_at: 3 };
    append(
        &store,
        &[
            Record::Bound { id: id(0), from, accepted: None, queue_number: Some(10), attempt: attempt(0, 0) },
            Record::Failed { id: id(4), from, accepted: None, queue_number: Some(14), depends_on: Vec::new(), failure: failure.clone() },
        ],
    );
    let all = read::waiting(&store, &from, None, 10).unwrap();
    assert_eq!(all, [(11, id(1)), (12, id(2)), (13, id(3))]);
    assert_eq!(read::waiting(&store, &from, Some(11), 1).unwrap(), [(12, id(2))]);
    assert_eq!(read::waiting(&store, &from, Some(u64::MAX), 1).unwrap(), []);
    assert_eq!(read::failures(&store, &[id(3), id(4)]).unwrap(), [None, Some(failure)]);
    let fourth = TransactionRow { place: Place::Line(14), ..transaction(from, 4) };
    assert_eq!(read::transaction(&store, id(4)).unwrap(), Some(fourth.clone()));
    assert_eq!(read::place_in_line(&store, id(4), &fourth).unwrap(), None, "a number whose entry has gone says nothing");
    for place in [Place::Line(12), Place::Nowhere] {
        let row = TransactionRow { place, ..transaction(from, 2) };
        assert_eq!(read::place_in_line(&store, id(2), &row).unwrap(), Some(12), "{place:?}");
    }
}

#[test]
fn what_depends_on_others_is_found_by_them_until_it_stands_in_line_or_has_ended() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (from, other) = (address(1), address(2));
    let on = |number| Dependency { id: id(number), from: other };
    let row = |number, place| TransactionRow { place, depends_on: vec![on(10), on(11)], ..transaction(from, number) };
    let blocked = |number| Record::Accepted { id: id(number), transaction: row(number, Place::Blocked), body_hash: hash(number) };
    append(&store, &[blocked(1), blocked(2)]);
    let found = |dependency| {
        let found = read::dependents(&store, dependency, None, 10).unwrap();
        found.into_iter().map(|dependent| (dependent.dependency, dependent.id)).collect::<Vec<_>>()
    };
    assert_eq!(found(Some(id(10))), [(id(10), id(1)), (id(10), id(2))]);
    assert_eq!(found(None).len(), 4);
    assert_eq!(read::waiting(&store, &from, None, 10).unwrap(), []);
    let change = |transaction, replaced| Record::Changed { id: id(1), transaction, left: None, replaced };
    append(&store, &[change(row(1, Place::Suspended), None)]);
    assert!(read::depends(&store, id(11), id(1)).unwrap(), "it is still registered");
    append(&store, &[change(row(1, Place::Line(7)), None)]);
    assert_eq!(found(None), [(id(10), id(2)), (id(11), id(2))]);
    assert_eq!(read::waiting(&store, &from, None, 10).unwrap(), [(7, id(1))]);
    let failure = FailureRow { reason: "cancelled".to_owned(), failed_at: 3 };
    let depends_on = vec![on(10), on(11)];
    append(&store, &[Record::Failed { id: id(2), from, accepted: None, queue_number: None, depends_on, failure }]);
    assert_eq!(found(None), []);
    let earlier = GenerationRow { request: transaction(from, 1).request, replaced_at: 5 };
    append(&store, &[change(TransactionRow { generation: 1, ..row(1, Place::Line(7)) }, Some((0, earlier.clone())))]);
    assert_eq!(read::generations(&store, id(1)).unwrap(), [(0, earlier)]);
}

#[test]
fn a_block_brings_its_head_receipts_rivals_and_floors_and_prunes_old_heads() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let count = HEADS_PRUNED_PER_BLOCK + 3;
    append(&store, &(0..count).map(block).collect::<Vec<_>>());
    let rival = RivalRow { nonce: 7, transaction_hash: B256::repeat_byte(9), block_number: count, block_hash: head(count).hash };
    append(
        &store,
        &[Record::Block {
            number: count,
            head: head(count),
            receipts: vec![(id(1), receipt(1, 0)), (id(2), receipt(2, 1))],
            rivals: vec![(id(3), rival)],
            floors: vec![(address(1), 2)],
            prune_heads_below: Some(count - 1),
        }],
    );
    assert_eq!(read::last_head(&store).unwrap(), Some((count, head(count))));
    // Two are older than one block prunes.
    let left: Vec<u64> = (0..=count).filter(|number| read::head(&store, *number).unwrap() == Some(head(*number))).collect();
    assert_eq!(left, [0, 1, count - 1, count]);
    assert_eq!(read::head(&store, 2).unwrap(), None);
    assert_eq!(read::receipt(&store, id(2)).unwrap(), Some(receipt(2, 1)));
    let receipts = read::receipts(&store, &[id(3), id(1)]).unwrap();
    assert_eq!(receipts, [None, Some(receipt(1, 0))]);
    assert_eq!(read::rivals(&store, id(3)).unwrap(), [rival]);
    assert_eq!(read::rivals(&store, id(1)).unwrap(), []);
    assert_eq!(read::floor(&store, &address(1)).unwrap(), Some(2));
    assert_eq!(read::floor(&store, &address(2)).unwrap(), None);
}

#[test]
fn every_address_is_listed_once_in_pages() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let last = Address::repeat_byte(0xff);
    let mut expected: Vec<Address> = (0..7).map(address).collect();
    let mut records: Vec<Record> = (0..20).map(|n| bound(address(n % 7), n, n)).collect();
    records.push(accepted(last, 100, 0));
    append(&store, &records);
    expected.push(last);
    expected.sort_unstable();
    let mut found = Vec::new();
    loop {
        let page = read::addresses(&store, found.last().copied(), 3).unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found, expected);
}

#[test]
fn transactions_are_listed_by_id_both_ways_and_go_on_after_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    append(&store, &(0..6).map(|n| bound(address(0), n, n)).collect::<Vec<_>>());
    let list = |from, to, direction| -> Vec<_> {
        let rows = read::transactions_by_id(&store, from, to, direction, 3).unwrap();
        rows.into_iter().map(|(id, _)| id).collect()
    };
    let (forward, backward) = (Direction::Forward, Direction::Backward);
    assert_eq!(list(Bound::Unbounded, Bound::Unbounded, forward), [id(0), id(1), id(2)]);
    assert_eq!(list(Bound::Excluded(id(2)), Bound::Unbounded, forward), [id(3), id(4), id(5)]);
    assert_eq!(list(Bound::Unbounded, Bound::Unbounded, backward), [id(5), id(4), id(3)]);
    assert_eq!(list(Bound::Unbounded, Bound::Excluded(id(3)), backward), [id(2), id(1), id(0)]);
    assert_eq!(list(Bound::Included(id(1)), Bound::Included(id(2)), forward), [id(1), id(2)]);
}

#[test]
fn idempotency_keys_are_listed_by_prefix() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    append(&store, &[9, 10, 11].map(|n| bound(address(0), n, n)));
    let all = read::by_key_prefix(&store, "key-0000001", None, 10).unwrap();
    assert_eq!(all, [(key(10), id(10)), (key(11), id(11))]);
    let rest = read::by_key_prefix(&store, "key-0000001", Some(&key(10)), 10).unwrap();
    assert_eq!(rest, [(key(11), id(11))]);
}

#[test]
fn a_damaged_value_is_an_error_with_family_and_key() {
    let directory = tempfile::tempdir().unwrap();
    append(&open(directory.path()), &[bound(address(0), 1, 1)]);
    let families = Family::ALL.map(Family::name);
    let db = rocksdb::DB::open_cf(&rocksdb::Options::default(), directory.path(), families).unwrap();
    db.put_cf(db.cf_handle("transactions").unwrap(), id(1).as_bytes(), [1, 2, 3]).unwrap();
    let floor = keys::by_address(&address(0), keys::Tag::Floor, 0);
    db.put_cf(db.cf_handle("by_address").unwrap(), floor, [9; 9]).unwrap();
    drop(db);
    let store = open(directory.path());
    let error = read::transaction(&store, id(1)).unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { family: Family::Transactions, .. }), "{error}");
    assert!(error.to_string().contains(&format!("transactions/{}", id(1).simple())), "{error}");
    let error = read::floor(&store, &address(0)).unwrap_err();
    assert!(error.to_string().contains("it has version 9"), "{error}");
}
