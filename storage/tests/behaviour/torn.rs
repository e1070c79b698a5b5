//! The end of the newest log is damaged as a power loss may leave it: whole appends remain, and the torn one is gone as a whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::kit::{append_numbered, check_numbered, open};

/// Appends before the log is torn.
const APPENDS: u64 = 20;

/// A closed directory whose log holds [`APPENDS`] appends, and the bytes of the last one.
fn written() -> (tempfile::TempDir, u64) {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mut before = 0;
    for expected in 0..APPENDS {
        before = store.log_bytes_total();
        append_numbered(&store, expected);
    }
    let bytes = store.log_bytes_total() - before;
    (directory, bytes)
}

/// The log with the greatest number: RocksDB names them so.
fn newest_log(dir: &Path) -> PathBuf {
    let files = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|end| end == "log")).max().unwrap()
}

fn log(dir: &Path) -> (File, u64) {
    let file = OpenOptions::new().write(true).open(newest_log(dir)).unwrap();
    let length = file.metadata().unwrap().len();
    (file, length)
}

#[test]
fn a_log_that_is_cut_short_loses_the_torn_append_as_a_whole_and_no_other() {
    for part in [1, 2, 3, 4] {
        let (directory, bytes) = written();
        let (file, length) = log(directory.path());
        // From one byte to all but a few of the last append.
        file.set_len(length - 1 - (bytes - 8) * (part - 1) / 3).unwrap();
        assert_eq!(check_numbered(&open(directory.path())), APPENDS - 1, "part {part}");
    }
}

#[test]
fn a_log_cut_within_the_last_append_but_one_loses_two() {
    let (directory, bytes) = written();
    let (file, length) = log(directory.path());
    file.set_len(length - bytes - bytes / 2).unwrap();
    assert_eq!(check_numbered(&open(directory.path())), APPENDS - 2);
}

#[test]
fn a_log_whose_last_blocks_are_zeros_loses_the_torn_append_as_a_whole() {
    let (directory, bytes) = written();
    let (mut file, length) = log(directory.path());
    let zeros = bytes / 2;
    file.seek(SeekFrom::Start(length - zeros)).unwrap();
    file.write_all(&vec![0; zeros as usize]).unwrap();
    assert_eq!(check_numbered(&open(directory.path())), APPENDS - 1);
}

#[test]
fn after_a_torn_log_appends_go_on_from_the_sequence_found() {
    let (directory, _) = written();
    let (file, length) = log(directory.path());
    file.set_len(length - 1).unwrap();
    let store = open(directory.path());
    assert_eq!(append_numbered(&store, APPENDS - 1), APPENDS);
    drop(store);
    assert_eq!(check_numbered(&open(directory.path())), APPENDS);
}
