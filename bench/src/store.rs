//! A store that keeps nothing: for what is measured without a disk.

use storage::store::Pair;
use storage::{Append, Direction, Family, Record, Store, StoreError};

/// Says that everything is durable, and never has anything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Forgetful;

impl Store for Forgetful {
    fn get(&self, _family: Family, _key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(None)
    }

    fn get_many(&self, _family: Family, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        Ok(vec![None; keys.len()])
    }

    fn scan(&self, _: Family, _: &[u8], _: &[u8], _: Direction, _: usize) -> Result<Vec<Pair>, StoreError> {
        Ok(Vec::new())
    }

    fn scan_keys(&self, _: Family, _: &[u8], _: &[u8], _: usize) -> Result<Vec<Box<[u8]>>, StoreError> {
        Ok(Vec::new())
    }

    fn append(&self, expected: u64, _records: &[Record]) -> Append {
        Append::Durable { sequence: expected + 1 }
    }

    fn reopen(&self) -> Result<u64, StoreError> {
        Ok(0)
    }

    fn sequence(&self) -> Result<u64, StoreError> {
        Ok(0)
    }
}
