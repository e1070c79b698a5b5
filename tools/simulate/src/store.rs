//! A store in memory with the guarantees of a real one, and its faults: commits that end unknown, on disk or not.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::faults::Fault;
use parking_lot::Mutex;
use storage::{Append, Direction, Family, Pair, Puts, Record, Scratch, Store, StoreError, project};

type Families = [BTreeMap<Vec<u8>, Vec<u8>>; Family::ALL.len()];

#[derive(Default)]
struct Disk {
    families: Families,
    sequence: u64,
    closed: bool,
    dead: bool,
    next: Option<Fault>,
    /// A commit that dies is on disk in half of all cases.
    written: bool,
    happened: Vec<Fault>,
}

/// The disk outlives the processes that use it. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct MemoryStore(Arc<Mutex<Disk>>);

impl MemoryStore {
    /// The next append meets this fault; `written` says whether a commit that the process dies in is on disk.
    pub(crate) fn arm(&self, fault: Option<Fault>, written: bool) {
        let mut disk = self.0.lock();
        disk.next = fault;
        disk.written = written;
    }

    /// Faults that took effect since the last call.
    pub(crate) fn take_happened(&self) -> Vec<Fault> {
        std::mem::take(&mut self.0.lock().happened)
    }

    /// True once, after a process has died in an append.
    pub(crate) fn take_death(&self) -> bool {
        std::mem::take(&mut self.0.lock().dead)
    }

    /// A new process opens the disk.
    pub(crate) fn open_again(&self) {
        let mut disk = self.0.lock();
        disk.closed = false;
        disk.dead = false;
        disk.next = None;
    }
}

struct Apply<'a>(&'a mut Families);

impl Puts for Apply<'_> {
    fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        self.0[family as usize].insert(key.to_vec(), value.to_vec());
    }

    fn delete(&mut self, family: Family, key: &[u8]) {
        self.0[family as usize].remove(key);
    }
}

impl Disk {
    fn write(&mut self, records: &[Record]) {
        let mut scratch = Scratch::default();
        for record in records {
            project(record, &mut scratch, &mut Apply(&mut self.families));
        }
        self.sequence += 1;
    }

    fn open(&self) -> Result<&Self, StoreError> {
        if self.closed { Err(StoreError::Closed) } else { Ok(self) }
    }
}

fn failed() -> StoreError {
    StoreError::Io { action: "sync the log", reason: "simulated".into() }
}

impl Store for MemoryStore {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().open()?.families[family as usize].get(key).cloned())
    }

    fn get_many(&self, family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        keys.iter().map(|key| self.get(family, key)).collect()
    }

    fn scan(&self, family: Family, from: &[u8], to: &[u8], direction: Direction, limit: usize) -> Result<Vec<Pair>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let disk = self.0.lock();
        let range = disk.open()?.families[family as usize].range(from.to_vec()..to.to_vec());
        let pair = |(key, value): (&Vec<u8>, &Vec<u8>)| (key.clone().into_boxed_slice(), value.clone().into_boxed_slice());
        Ok(match direction {
            Direction::Forward => range.map(pair).take(limit).collect(),
            Direction::Backward => range.rev().map(pair).take(limit).collect(),
        })
    }

    fn append(&self, expected: u64, records: &[Record]) -> Append {
        let mut disk = self.0.lock();
        if disk.closed {
            return Append::Refused(StoreError::Closed);
        }
        if disk.sequence != expected {
            return Append::Refused(StoreError::Sequence { expected, found: disk.sequence });
        }
        let Some(fault) = disk.next.take() else {
            disk.write(records);
            return Append::Durable { sequence: disk.sequence };
        };
        disk.happened.push(fault);
        if fault == Fault::CommitUnknownThere || (fault == Fault::CrashInCommit && disk.written) {
            disk.write(records);
        }
        disk.closed = true;
        disk.dead = fault == Fault::CrashInCommit;
        Append::Unknown(failed())
    }

    fn reopen(&self) -> Result<u64, StoreError> {
        let mut disk = self.0.lock();
        if disk.dead {
            return Err(StoreError::Closed);
        }
        disk.closed = false;
        Ok(disk.sequence)
    }

    fn sequence(&self) -> Result<u64, StoreError> {
        Ok(self.0.lock().open()?.sequence)
    }
}
