//! Keys: fixed layouts, numbers big-endian, so that the order of bytes is the order of things.
//!
//! `SCHEMA.md` lists them. Ids are version 7 UUIDs, which begin with the time, so rows by id are put in order. Everything here is
//! total: building a key cannot fail, and splitting one says `None` when its length is wrong.

use alloy::primitives::{Address, B256};
use uuid::Uuid;

/// Length of a key in `attempts`: id, generation, attempt.
pub const ATTEMPT_LEN: usize = 16 + 2 + 2;
/// Length of a key in `by_address`: address, tag, number.
pub const ADDRESS_LEN: usize = 20 + 1 + 8;

/// Length of a key of an orphaned receipt: id, block hash.
pub const ORPHAN_LEN: usize = 16 + 32;

/// Length of a key of a rival: id, nonce.
pub const RIVAL_LEN: usize = 16 + 8;

/// Length of a key of a dependent: id of the dependency, id of the dependent.
pub const DEPENDENT_LEN: usize = 16 + 16;

/// Length of a key of a generation: id, generation.
pub const GENERATION_LEN: usize = 16 + 2;

/// `meta`: version of the schema, u32 big-endian. Stays readable for every version to come.
pub const META_SCHEMA: &[u8] = b"schema";
/// `meta`: sequence of the last append, u64 big-endian. In every batch.
pub const META_SEQUENCE: &[u8] = b"sequence";
/// `meta`: the highest block that was stored before the newest reorg, u64 big-endian.
pub const META_HIGHEST: &[u8] = b"highest";

/// `meta`: sequence of the last ending, u64 big-endian. In every batch that has endings.
pub const META_ENDINGS: &[u8] = b"endings";

/// `by_address`, tag 0: number of the entry of a pause. A program that does not know it steps over it.
pub const PAUSED: u64 = 1;

/// What a number in `by_address` counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Tag {
    /// Number 0 → the first nonce that is not archived. Number [`PAUSED`] → until when the address is paused.
    Floor = 0,
    /// Nonce → id bound to it.
    Bound = 1,
    /// Queue number → id that waits.
    Waiting = 2,
}

/// Key of one attempt.
#[must_use]
pub fn attempt(id: Uuid, generation: u16, attempt: u16) -> [u8; ATTEMPT_LEN] {
    let mut key = [0; ATTEMPT_LEN];
    key[..16].copy_from_slice(id.as_bytes());
    key[16..18].copy_from_slice(&generation.to_be_bytes());
    key[18..].copy_from_slice(&attempt.to_be_bytes());
    key
}

/// Key of a receipt whose block has left the chain: right behind the transaction's own in `receipts`.
#[must_use]
pub fn orphan(id: Uuid, block_hash: &B256) -> [u8; ORPHAN_LEN] {
    let mut key = [0; ORPHAN_LEN];
    key[..16].copy_from_slice(id.as_bytes());
    key[16..].copy_from_slice(block_hash.as_slice());
    key
}

/// Key of a rival: the transaction that was bound, and the nonce it lost.
#[must_use]
pub fn rival(id: Uuid, nonce: u64) -> [u8; RIVAL_LEN] {
    let mut key = [0; RIVAL_LEN];
    key[..16].copy_from_slice(id.as_bytes());
    key[16..].copy_from_slice(&nonce.to_be_bytes());
    key
}

/// Key of one that depends on another.
#[must_use]
pub fn dependent(dependency: Uuid, dependent: Uuid) -> [u8; DEPENDENT_LEN] {
    let mut key = [0; DEPENDENT_LEN];
    key[..16].copy_from_slice(dependency.as_bytes());
    key[16..].copy_from_slice(dependent.as_bytes());
    key
}

/// Key of an earlier generation.
#[must_use]
pub fn generation(id: Uuid, generation: u16) -> [u8; GENERATION_LEN] {
    let mut key = [0; GENERATION_LEN];
    key[..16].copy_from_slice(id.as_bytes());
    key[16..].copy_from_slice(&generation.to_be_bytes());
    key
}

/// Key of an entry of an address.
#[must_use]
pub fn by_address(address: &Address, tag: Tag, number: u64) -> [u8; ADDRESS_LEN] {
    let mut key = [0; ADDRESS_LEN];
    key[..20].copy_from_slice(address.as_slice());
    key[20] = tag as u8;
    key[21..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Kind of an ABI's item in `abis`: a function, whose selector has 4 bytes.
pub const FUNCTION: u8 = 1;
/// An event, whose selector has 32 bytes.
pub const EVENT: u8 = 2;
/// An error, whose selector has 4 bytes.
pub const ERROR: u8 = 3;

/// Key of an item of an ABI. Items with the same selector stand together, told apart by the digest of what they say.
#[must_use]
pub fn abi_item(kind: u8, selector: &[u8], digest: &B256) -> Vec<u8> {
    [&[kind], selector, digest.as_slice()].concat()
}

/// Key of a head.
#[must_use]
pub fn head(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// Key of a row of endings: the sequence of its first.
#[must_use]
pub fn endings(first: u64) -> [u8; 8] {
    first.to_be_bytes()
}

/// Key of a block in `ended_in`.
#[must_use]
pub fn ended_in(number: u64) -> [u8; 8] {
    number.to_be_bytes()
}

/// The smallest key greater than `key`: the exclusive end of a scan that includes `key`.
#[must_use]
pub fn after(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// The address and number of a key in `by_address`.
#[must_use]
pub fn split_by_address(key: &[u8]) -> Option<(Address, u64)> {
    let key: &[u8; ADDRESS_LEN] = key.try_into().ok()?;
    let (address, rest) = key.split_at(20);
    Some((Address::from_slice(address), u64::from_be_bytes(rest[1..].try_into().ok()?)))
}

/// The number of a key in `heads`, or the sequence of one in `endings`.
#[must_use]
pub fn split_number(key: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(key.try_into().ok()?))
}

/// The dependency and the dependent of a key in `dependents`.
#[must_use]
pub fn split_dependent(key: &[u8]) -> Option<(Uuid, Uuid)> {
    let key: &[u8; DEPENDENT_LEN] = key.try_into().ok()?;
    let (dependency, dependent) = key.split_at(16);
    Some((Uuid::from_slice(dependency).ok()?, Uuid::from_slice(dependent).ok()?))
}

/// The generation of a key in `generations`.
#[must_use]
pub fn split_generation(key: &[u8]) -> Option<u16> {
    let key: &[u8; GENERATION_LEN] = key.try_into().ok()?;
    Some(u16::from_be_bytes([key[16], key[17]]))
}

/// The id of a key in `transactions`, `receipts` or `failures`.
#[must_use]
pub fn split_id(key: &[u8]) -> Option<Uuid> {
    Uuid::from_slice(key).ok()
}

/// The hash of a key in `by_hash`.
#[must_use]
pub fn split_hash(key: &[u8]) -> Option<B256> {
    B256::try_from(key).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_an_address_sort_by_tag_then_number_and_split_again() {
        let address = Address::repeat_byte(7);
        let keys = [
            by_address(&address, Tag::Floor, 0),
            by_address(&address, Tag::Bound, 255),
            by_address(&address, Tag::Bound, 256),
            by_address(&address, Tag::Waiting, 0),
            by_address(&address, Tag::Waiting, u64::MAX),
        ];
        assert!(keys.is_sorted());
        assert_eq!(split_by_address(&keys[2]), Some((address, 256)));
        assert_eq!(split_by_address(&keys[2][1..]), None);
    }

    #[test]
    fn attempts_of_an_id_sort_by_generation_then_attempt() {
        let id = Uuid::from_u128(1);
        let keys = [attempt(id, 0, 1), attempt(id, 0, 256), attempt(id, 1, 0)];
        assert!(keys.is_sorted());
        assert!(after(&keys[0]).as_slice() > keys[0].as_slice());
        assert!(after(&keys[0]).as_slice() < keys[1].as_slice());
    }
}
