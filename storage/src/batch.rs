//! What one append puts and deletes, handed to RocksDB family by family in the order of keys.
//!
//! A memtable remembers where it inserted last, and a key that comes right behind is put there without a search. Several shards' records
//! meet in one append, each in an order of its own, so that without this hardly a key would come right behind another.

use std::ops::Range;

use rocksdb::{ColumnFamily, WriteBatch};

use crate::store::{Family, Puts};

/// Puts and deletes of one append; used again for the next, so that its memory is.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    families: [Vec<Change>; Family::ALL.len()],
    /// Keys and values, one behind the other.
    bytes: Vec<u8>,
}

/// One put or delete, as places in the bytes.
#[derive(Debug)]
struct Change {
    key: Range<usize>,
    /// `None` to delete.
    value: Option<Range<usize>>,
}

impl Batch {
    /// Writes everything to `out`, and is empty again. Changes of one key stay in the order in which they came.
    pub(crate) fn drain_to<'a>(&mut self, handle: impl Fn(Family) -> &'a ColumnFamily, out: &mut WriteBatch) {
        let bytes = &self.bytes;
        for (family, changes) in Family::ALL.into_iter().zip(&mut self.families) {
            if changes.is_empty() {
                continue;
            }
            changes.sort_by(|a, b| bytes[a.key.clone()].cmp(&bytes[b.key.clone()]));
            let family = handle(family);
            for change in changes.drain(..) {
                match change.value {
                    Some(value) => out.put_cf(family, &bytes[change.key], &bytes[value]),
                    None => out.delete_cf(family, &bytes[change.key]),
                }
            }
        }
        self.bytes.clear();
    }

    fn keep(&mut self, part: &[u8]) -> Range<usize> {
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(part);
        begin..self.bytes.len()
    }
}

impl Puts for Batch {
    fn put(&mut self, family: Family, key: &[u8], value: &[u8]) {
        let (key, value) = (self.keep(key), self.keep(value));
        self.families[family as usize].push(Change { key, value: Some(value) });
    }

    fn delete(&mut self, family: Family, key: &[u8]) {
        let key = self.keep(key);
        self.families[family as usize].push(Change { key, value: None });
    }
}
