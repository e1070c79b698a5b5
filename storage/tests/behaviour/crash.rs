//! A process that appends is killed, or its disk refuses a write: what it was told is durable is there afterwards.
//!
//! The process is this test binary again, running one of the `child_…` tests below, which do nothing unless such a
//! test has started them.

use std::{
    env,
    io::{BufRead, BufReader, Lines, Write, stdin, stdout},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

use millrace_storage::{Append, OpenError, Options, RocksStore, Store};

use crate::kit::{append_numbered, check_numbered, numbered, open, tiny};

/// Tells the child which directory to use.
const DIRECTORY: &str = "MILLRACE_TEST_DIRECTORY";
/// Rounds of append, kill, open.
const ROUNDS: usize = 6;

/// A child process that is killed when the test ends early.
struct Running {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    fn start(mut command: Command, test: &str, dir: &Path) -> Self {
        let mut child = command
            .args(["--exact", test, "--nocapture"])
            .env(DIRECTORY, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The number of the next line that begins with `word`; `None` when the child's output ends.
    fn next(&mut self, word: &str) -> Option<u64> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| {
            // The test harness may print in front of the first line.
            let (_, number) = line.split_once(word)?;
            number.trim().parse().ok()
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error means that it has ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn this_binary() -> Command {
    Command::new(env::current_exe().unwrap())
}

/// The directory to work on, in a process that another test has started.
fn directory() -> Option<PathBuf> {
    env::var_os(DIRECTORY).map(Into::into)
}

fn say(word: &str, number: u64) {
    let mut out = stdout().lock();
    writeln!(out, "{word} {number}").unwrap();
    out.flush().unwrap();
}

#[test]
fn child_appends_until_it_is_killed() {
    let Some(directory) = directory() else { return };
    let store = RocksStore::open(&directory, &tiny()).unwrap();
    let mut sequence = store.sequence().unwrap();
    loop {
        sequence = append_numbered(&store, sequence);
        say("acknowledged", sequence);
    }
}

#[test]
fn child_holds_the_directory_until_its_input_ends() {
    let Some(directory) = directory() else { return };
    let store = open(&directory);
    say("holding", store.sequence().unwrap());
    stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn child_appends_until_a_write_fails_and_goes_on() {
    let Some(directory) = directory() else { return };
    let store = RocksStore::open(&directory, &Options::default()).unwrap();
    let mut known = store.sequence().unwrap();
    let found = loop {
        match store.append(known, &numbered(known + 1)) {
            Append::Durable { sequence } => {
                known = sequence;
                say("acknowledged", known);
            }
            Append::Unknown(_) => {
                assert!(matches!(store.append(known, &[]), Append::Refused(_)));
                break store.reopen().unwrap();
            }
            Append::Refused(error) => panic!("refused: {error}"),
        }
    };
    assert!(found == known || found == known + 1, "{found} after {known}");
    say("resolved", found);
    say("acknowledged", append_numbered(&store, found));
}

#[test]
fn everything_acknowledged_survives_kill_9_in_every_round() {
    let directory = tempfile::tempdir().unwrap();
    let mut last = 0;
    for round in 1..=ROUNDS {
        let test = "crash::child_appends_until_it_is_killed";
        let mut running = Running::start(this_binary(), test, directory.path());
        // Another number of appends in each round, so that kills fall on flushes, compactions and recycled logs too.
        for _ in 0..round * 67 {
            last = running.next("acknowledged").expect("the child appends until it is killed");
        }
        running.child.kill().unwrap();
        while let Some(sequence) = running.next("acknowledged") {
            last = sequence;
        }
        drop(running);
        let store = RocksStore::open(directory.path(), &tiny()).unwrap();
        let found = check_numbered(&store);
        assert!(found == last || found == last + 1, "round {round}: {found} after {last}");
        last = found;
    }
}

#[test]
fn a_second_process_is_told_that_the_directory_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let test = "crash::child_holds_the_directory_until_its_input_ends";
    let mut running = Running::start(this_binary(), test, directory.path());
    running.next("holding").expect("the child opens the directory");
    let error = RocksStore::open(directory.path(), &Options::default()).err().unwrap();
    assert!(matches!(error, OpenError::InUse { .. }), "{error}");
    assert!(error.to_string().contains("in use by another process; stop"), "{error}");
    drop(running.child.stdin.take());
    assert!(running.child.wait().unwrap().success());
    open(directory.path());
}

#[test]
fn a_write_that_the_disk_refuses_is_unknown_and_resolved_by_opening_again() {
    let directory = tempfile::tempdir().unwrap();
    // No file of the child may be longer than 1 MiB (blocks of 512 bytes), and it hears of it by an error, not by a signal.
    let mut limited = Command::new("sh");
    limited.args(["-c", r#"trap "" XFSZ; ulimit -f 2048; exec "$0" "$@""#]).arg(env::current_exe().unwrap());
    let test = "crash::child_appends_until_a_write_fails_and_goes_on";
    let mut running = Running::start(limited, test, directory.path());
    let resolved = running.next("resolved").expect("a write fails and the store opens again");
    let last = running.next("acknowledged").expect("and goes on");
    assert!(running.child.wait().unwrap().success());
    assert_eq!(last, resolved + 1);
    assert_eq!(check_numbered(&open(directory.path())), last);
}
