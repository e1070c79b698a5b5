//! Who may open a directory, and what an append may follow.

use millrace_storage::{Append, Family, OpenError, Options, RocksStore, Store, StoreError, keys};

use crate::kit::{append_numbered, check_numbered, numbered, open, tiny};

/// A family's bytes as RocksDB has them, past the crate.
fn raw(dir: &std::path::Path) -> rocksdb::DB {
    let options = rocksdb::Options::default();
    let families = rocksdb::DB::list_cf(&options, dir).unwrap();
    rocksdb::DB::open_cf(&options, dir, families).unwrap()
}

fn set_schema(dir: &std::path::Path, version: u32) {
    let db = raw(dir);
    let meta = db.cf_handle(Family::Meta.name()).unwrap();
    db.put_cf(meta, keys::META_SCHEMA, version.to_be_bytes()).unwrap();
}

#[test]
fn reopening_loses_nothing() {
    for options in [Options::default(), tiny()] {
        let directory = tempfile::tempdir().unwrap();
        let mut sequence = 0;
        for _ in 0..4 {
            let store = RocksStore::open(directory.path(), &options).unwrap();
            assert_eq!(check_numbered(&store), sequence);
            for _ in 0..60 {
                sequence = append_numbered(&store, sequence);
            }
        }
        let store = RocksStore::open(directory.path(), &options).unwrap();
        assert_eq!(check_numbered(&store), 240);
        assert_eq!(store.reopen().unwrap(), 240);
        assert_eq!(check_numbered(&store), 240);
    }
}

#[test]
fn a_directory_is_opened_once_in_a_process_too() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let error = RocksStore::open(directory.path(), &Options::default()).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    drop(store);
    open(directory.path());
}

#[test]
fn a_directory_of_a_newer_version_is_refused_with_both_versions_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    append_numbered(&open(directory.path()), 0);
    set_schema(directory.path(), 7);
    let mut db = raw(directory.path());
    db.create_cf("a_family_to_come", &rocksdb::Options::default()).unwrap();
    db.drop_cf("failures").unwrap();
    drop(db);
    let error = RocksStore::open(directory.path(), &Options::default()).err().unwrap();
    assert!(matches!(error, OpenError::NewerVersion { found: 7, supported: 3, .. }), "{error}");
    assert!(error.to_string().contains("schema version 7"), "{error}");
    assert!(raw(directory.path()).cf_handle("failures").is_none(), "nothing was created");
    raw(directory.path()).drop_cf("a_family_to_come").unwrap();
    set_schema(directory.path(), 2);
    assert_eq!(check_numbered(&open(directory.path())), 1);
}

#[test]
fn a_database_of_somebody_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = rocksdb::Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    drop(rocksdb::DB::open_cf(&options, directory.path(), ["default", "books"]).unwrap());
    let error = RocksStore::open(directory.path(), &Options::default()).err().unwrap();
    assert!(matches!(&error, OpenError::Foreign { family, .. } if family == "books"), "{error}");
    let families = rocksdb::DB::list_cf(&options, directory.path()).unwrap();
    assert_eq!(families, ["default", "books"]);
}

#[test]
fn a_directory_that_cannot_be_made_is_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "in the way").unwrap();
    let error = RocksStore::open(&file, &Options::default()).err().unwrap();
    assert!(matches!(error, OpenError::Io { .. }), "{error}");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
}

#[test]
fn an_append_that_expects_another_sequence_is_refused_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    append_numbered(&store, 0);
    for expected in [0, 2, u64::MAX] {
        match store.append(expected, &numbered(2)) {
            Append::Refused(StoreError::Sequence { expected: named, found: 1 }) => {
                assert_eq!(named, expected);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(check_numbered(&store), 1);
    assert_eq!(append_numbered(&store, 1), 2);
}
