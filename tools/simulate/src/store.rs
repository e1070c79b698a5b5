//! A store in memory with the guarantees of a real one, and its faults: commits that end unknown, on disk or not, that take long,
//! and a disk that cannot be opened for a while.

use std::collections::BTreeMap;
use std::sync::Arc;

use alloy::primitives::B256;
use parking_lot::Mutex;
use storage::{Append, Direction, Family, Pair, Puts, Record, Scratch, Store, StoreError, keys, project_all};
use uuid::Uuid;

use crate::faults::Fault;
use crate::order::Order;

type Families = [BTreeMap<Vec<u8>, Vec<u8>>; Family::ALL.len()];

#[derive(Default)]
struct Disk {
    families: Families,
    sequence: u64,
    closed: bool,
    dead: bool,
    next: Option<DiskFault>,
    /// The store cannot be opened again this many times.
    shut: u32,
    happened: Vec<Fault>,
    order: Order,
}

/// What the next append meets.
#[derive(Clone, Copy)]
pub(crate) struct DiskFault {
    /// Which fault.
    pub(crate) fault: Fault,
    /// Whether a commit whose outcome nobody hears is on disk.
    pub(crate) written: bool,
    /// Appends in a row that fail; they are on disk and not on disk in turn.
    pub(crate) times: u32,
    /// It has been counted already.
    pub(crate) again: bool,
    /// How often the store cannot be opened again after each.
    pub(crate) shut: u32,
}

/// The disk outlives the processes that use it. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct MemoryStore(Arc<Mutex<Disk>>);

impl MemoryStore {
    /// The next append meets this fault; `None`: from now on nothing fails.
    pub(crate) fn arm(&self, fault: Option<DiskFault>) {
        let mut disk = self.0.lock();
        disk.next = fault;
        disk.shut = 0;
    }

    /// True once, if the next append is to be slow.
    pub(crate) fn take_slow(&self) -> bool {
        let mut disk = self.0.lock();
        let slow = disk.next.is_some_and(|next| next.fault == Fault::DiskSlow);
        if slow {
            disk.next = None;
            disk.happened.push(Fault::DiskSlow);
        }
        slow
    }

    /// The next append fails.
    pub(crate) fn will_fail(&self) -> bool {
        self.0.lock().next.is_some_and(|next| next.fault != Fault::DiskSlow)
    }

    /// Faults that took effect since the last call.
    pub(crate) fn take_happened(&self) -> Vec<Fault> {
        std::mem::take(&mut self.0.lock().happened)
    }

    /// True once, after a process has died in an append.
    pub(crate) fn take_death(&self) -> bool {
        std::mem::take(&mut self.0.lock().dead)
    }

    /// From now on it is looked at whether anything is bound before what it depends on has succeeded at the depth `required`, and whether
    /// blobs are there until the depth `finality`.
    pub(crate) fn watch(&self, required: u64, finality: u64) {
        let mut disk = self.0.lock();
        disk.order.required = required;
        disk.order.finality = finality;
    }

    /// Whether this transaction's block has ever been deep enough.
    pub(crate) fn was_deep(&self, id: Uuid, block: B256) -> bool {
        self.0.lock().order.was_deep(id, block)
    }

    /// What was bound too early, or paid too little, since the last call.
    pub(crate) fn take_broken(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().order.broken)
    }

    /// A new process opens the disk.
    pub(crate) fn open_again(&self) {
        let mut disk = self.0.lock();
        disk.closed = false;
        disk.dead = false;
        disk.next = None;
        disk.shut = 0;
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
        for record in records {
            self.order.see(record);
        }
        let last_ending = self.families[Family::Meta as usize].get(keys::META_ENDINGS);
        let last_ending = last_ending.and_then(|value| value.as_slice().try_into().ok()).map_or(0, u64::from_be_bytes);
        project_all(records, last_ending, &mut Scratch::default(), &mut Apply(&mut self.families));
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

    fn scan_keys(&self, family: Family, from: &[u8], to: &[u8], limit: usize) -> Result<Vec<Box<[u8]>>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let disk = self.0.lock();
        let range = disk.open()?.families[family as usize].range(from.to_vec()..to.to_vec());
        Ok(range.take(limit).map(|(key, _)| key.clone().into_boxed_slice()).collect())
    }

    fn append(&self, expected: u64, records: &[Record]) -> Append {
        let mut disk = self.0.lock();
        if disk.closed {
            return Append::Refused(StoreError::Closed);
        }
        if disk.sequence != expected {
            return Append::Refused(StoreError::Sequence { expected, found: disk.sequence });
        }
        let Some(next) = disk.next.take().filter(|next| next.fault != Fault::DiskSlow) else {
            disk.write(records);
            return Append::Durable { sequence: disk.sequence };
        };
        if !next.again {
            disk.happened.push(next.fault);
        }
        if next.written {
            disk.write(records);
        }
        disk.closed = true;
        disk.dead = next.fault == Fault::CrashInCommit;
        disk.shut = next.shut;
        disk.next = (next.times > 1).then_some(DiskFault { times: next.times - 1, written: !next.written, again: true, ..next });
        Append::Unknown(failed())
    }

    fn reopen(&self) -> Result<u64, StoreError> {
        let mut disk = self.0.lock();
        if disk.dead {
            return Err(StoreError::Closed);
        }
        if disk.shut > 0 {
            disk.shut -= 1;
            return Err(failed());
        }
        disk.closed = false;
        Ok(disk.sequence)
    }

    fn sequence(&self) -> Result<u64, StoreError> {
        Ok(self.0.lock().open()?.sequence)
    }
}
