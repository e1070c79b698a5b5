//! Typed reads over any [`Store`]: keys built, values decoded.
//!
//! All are blocking and may touch the disk, so they belong on reader threads or into the start, never on a shard. What they return
//! was durable when they ran. Missing things are `None` or an empty list; a value that cannot be decoded is
//! [`StoreError::Corrupt`] with its family and key.
//!
//! Lists are bounded by the caller's `limit`; go on after the last one returned.

use std::ops::Bound;

use alloy::primitives::{Address, B256};
use uuid::Uuid;

use crate::{
    codec::{self, CodecError, HashEntry, Row},
    keys::{self, Tag},
    record::{
        AbiRow, AttemptRow, DependentRow, FailureRow, GenerationRow, HeadRow, Place, ReceiptRow, RivalRow, SidecarRow, TransactionRow,
    },
    store::{Direction, Family, Pair, Store, StoreError},
};

/// Attempts read for one transaction: more than resubmission makes in a day at one a minute; bounds one answer.
pub const ATTEMPTS_LIMIT: usize = 2_000;

/// The transaction of `id`.
///
/// # Errors
/// See [`StoreError`].
pub fn transaction(store: &impl Store, id: Uuid) -> Result<Option<TransactionRow>, StoreError> {
    row(store, id.as_bytes())
}

/// The transactions of `ids`, in their order.
///
/// # Errors
/// See [`StoreError`].
pub fn transactions(store: &impl Store, ids: &[Uuid]) -> Result<Vec<Option<TransactionRow>>, StoreError> {
    rows(store, ids)
}

/// Transactions in the order of their ids, which is the order of their making.
///
/// `from` and `to` bound the ids whatever the direction: going on backward is `to = Bound::Excluded(last one returned)`.
///
/// # Errors
/// See [`StoreError`].
pub fn transactions_by_id(
    store: &impl Store,
    from: Bound<Uuid>,
    to: Bound<Uuid>,
    direction: Direction,
    limit: usize,
) -> Result<Vec<(Uuid, TransactionRow)>, StoreError> {
    let from = match &from {
        Bound::Included(id) => id.as_bytes().to_vec(),
        Bound::Excluded(id) => keys::after(id.as_bytes()),
        Bound::Unbounded => Vec::new(),
    };
    let to = match &to {
        Bound::Included(id) => keys::after(id.as_bytes()),
        Bound::Excluded(id) => id.as_bytes().to_vec(),
        Bound::Unbounded => keys::after(Uuid::max().as_bytes()),
    };
    let pairs = store.scan(Family::Transactions, &from, &to, direction, limit)?;
    pairs
        .iter()
        .map(|(key, value)| {
            let id = split(Family::Transactions, key, keys::split_id)?;
            Ok((id, decode(Family::Transactions, key, value, codec::decode)?))
        })
        .collect()
}

/// All attempts of `id`, by generation and number; at most [`ATTEMPTS_LIMIT`].
///
/// # Errors
/// See [`StoreError`].
pub fn attempts(store: &impl Store, id: Uuid) -> Result<Vec<AttemptRow>, StoreError> {
    let from = keys::attempt(id, 0, 0);
    let to = keys::after(&keys::attempt(id, u16::MAX, u16::MAX));
    let pairs = store.scan(Family::Attempts, &from, &to, Direction::Forward, ATTEMPTS_LIMIT)?;
    pairs.iter().map(|(key, value)| decode(Family::Attempts, key, value, codec::decode)).collect()
}

/// All attempts of each of `ids`, in their order.
///
/// # Errors
/// See [`StoreError`].
pub fn attempts_of(store: &impl Store, ids: &[Uuid]) -> Result<Vec<Vec<AttemptRow>>, StoreError> {
    ids.iter().map(|id| attempts(store, *id)).collect()
}

/// The attempts with these ids, generations and numbers, in their order.
///
/// # Errors
/// See [`StoreError`].
pub fn attempts_at(store: &impl Store, which: impl Iterator<Item = (Uuid, u16, u16)>) -> Result<Vec<Option<AttemptRow>>, StoreError> {
    let keys: Vec<Vec<u8>> = which.map(|(id, generation, attempt)| keys::attempt(id, generation, attempt).to_vec()).collect();
    many(store, &keys)
}

/// The receipt of `id`.
///
/// # Errors
/// See [`StoreError`].
pub fn receipt(store: &impl Store, id: Uuid) -> Result<Option<ReceiptRow>, StoreError> {
    row(store, id.as_bytes())
}

/// Receipts of `id` whose blocks have left the chain; at most [`ATTEMPTS_LIMIT`].
///
/// # Errors
/// See [`StoreError`].
pub fn orphans(store: &impl Store, id: Uuid) -> Result<Vec<ReceiptRow>, StoreError> {
    let (from, to) = (keys::orphan(id, &B256::ZERO), keys::after(&keys::orphan(id, &B256::repeat_byte(0xff))));
    let pairs = store.scan(Family::Receipts, &from, &to, Direction::Forward, ATTEMPTS_LIMIT)?;
    pairs.iter().map(|(key, value)| decode(Family::Receipts, key, value, codec::decode)).collect()
}

/// The receipts of `ids`, in their order.
///
/// # Errors
/// See [`StoreError`].
pub fn receipts(store: &impl Store, ids: &[Uuid]) -> Result<Vec<Option<ReceiptRow>>, StoreError> {
    rows(store, ids)
}

/// Transactions of others that took a nonce `id` was bound to, by nonce.
///
/// # Errors
/// See [`StoreError`].
pub fn rivals(store: &impl Store, id: Uuid) -> Result<Vec<RivalRow>, StoreError> {
    let (from, to) = (keys::rival(id, 0), keys::after(&keys::rival(id, u64::MAX)));
    let pairs = store.scan(Family::Rivals, &from, &to, Direction::Forward, ATTEMPTS_LIMIT)?;
    pairs.iter().map(|(key, value)| decode(Family::Rivals, key, value, codec::decode)).collect()
}

/// Earlier generations of `id` and what they asked for, oldest first. One that is missing asked for what the next one asks for; at most
/// [`ATTEMPTS_LIMIT`].
///
/// # Errors
/// See [`StoreError`].
pub fn generations(store: &impl Store, id: Uuid) -> Result<Vec<(u16, GenerationRow)>, StoreError> {
    let (from, to) = (keys::generation(id, 0), keys::after(&keys::generation(id, u16::MAX)));
    let pairs = store.scan(Family::Generations, &from, &to, Direction::Forward, ATTEMPTS_LIMIT)?;
    pairs
        .iter()
        .map(|(key, value)| {
            let generation = split(Family::Generations, key, keys::split_generation)?;
            Ok((generation, decode(Family::Generations, key, value, codec::decode)?))
        })
        .collect()
}

/// One that depends on another, as an entry of `dependents` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependent {
    /// What it depends on.
    pub dependency: Uuid,
    /// Its id.
    pub id: Uuid,
    /// The addresses of both.
    pub row: DependentRow,
}

/// What depends on others and has neither been released nor ended, by dependency and id; only behind the pair `after`, and with
/// `dependency` only what depends on that one.
///
/// # Errors
/// See [`StoreError`].
pub fn dependents(
    store: &impl Store,
    dependency: Option<Uuid>,
    after: Option<(Uuid, Uuid)>,
    limit: usize,
) -> Result<Vec<Dependent>, StoreError> {
    let from = match after {
        Some((dependency, id)) => keys::after(&keys::dependent(dependency, id)),
        None => keys::dependent(dependency.unwrap_or_default(), Uuid::nil()).to_vec(),
    };
    let to = keys::after(&keys::dependent(dependency.unwrap_or(Uuid::max()), Uuid::max()));
    let pairs = store.scan(Family::Dependents, &from, &to, Direction::Forward, limit)?;
    pairs
        .iter()
        .map(|(key, value)| {
            let (dependency, id) = split(Family::Dependents, key, keys::split_dependent)?;
            Ok(Dependent { dependency, id, row: decode(Family::Dependents, key, value, codec::decode)? })
        })
        .collect()
}

/// True if `id` depends on `dependency` and has neither been released nor ended.
///
/// # Errors
/// See [`StoreError`].
pub fn depends(store: &impl Store, dependency: Uuid, id: Uuid) -> Result<bool, StoreError> {
    Ok(store.get(Family::Dependents, &keys::dependent(dependency, id))?.is_some())
}

/// The queue number at which `id` waits now; `None` if it does not.
///
/// One look-up, but for what was accepted before rows had places: then the line of its address is read through.
///
/// # Errors
/// See [`StoreError`].
pub fn place_in_line(store: &impl Store, id: Uuid, row: &TransactionRow) -> Result<Option<u64>, StoreError> {
    let address = &row.request.from;
    match row.place {
        Place::Line(number) => {
            let key = keys::by_address(address, Tag::Waiting, number);
            let value = store.get(Family::ByAddress, &key)?;
            let there = value.map(|value| decode(Family::ByAddress, &key, &value, codec::decode_id)).transpose()?;
            Ok((there == Some(id)).then_some(number))
        }
        Place::Nowhere => {
            let mut after = None;
            loop {
                let page = waiting(store, address, after, ATTEMPTS_LIMIT)?;
                let Some((last, _)) = page.last() else { return Ok(None) };
                after = Some(*last);
                if let Some((number, _)) = page.iter().find(|(_, waits)| *waits == id) {
                    return Ok(Some(*number));
                }
            }
        }
        Place::Suspended | Place::Blocked => Ok(None),
    }
}

/// The blobs of `id` and their proofs; `None` if it has none, or its nonce is final.
///
/// # Errors
/// See [`StoreError`].
pub fn sidecar(store: &impl Store, id: Uuid) -> Result<Option<SidecarRow>, StoreError> {
    row(store, id.as_bytes())
}

/// Transactions whose blobs are kept, greater than `after`, without the blobs.
///
/// # Errors
/// See [`StoreError`].
pub fn with_sidecars(store: &impl Store, after: Option<Uuid>, limit: usize) -> Result<Vec<Uuid>, StoreError> {
    let from = after.map_or_else(Vec::new, |id| keys::after(id.as_bytes()));
    let found = store.scan_keys(Family::Sidecars, &from, &keys::after(Uuid::max().as_bytes()), limit)?;
    found.iter().map(|key| split(Family::Sidecars, key, keys::split_id)).collect()
}

/// The failures of `ids`, in their order.
///
/// # Errors
/// See [`StoreError`].
pub fn failures(store: &impl Store, ids: &[Uuid]) -> Result<Vec<Option<FailureRow>>, StoreError> {
    rows(store, ids)
}

/// The transaction that `key` made, and the digest of the body it came with.
///
/// # Errors
/// See [`StoreError`].
pub fn by_key(store: &impl Store, key: &str) -> Result<Option<(Uuid, B256)>, StoreError> {
    let key = key.as_bytes();
    store.get(Family::Idempotency, key)?.map(|value| decode(Family::Idempotency, key, &value, codec::decode_key_entry)).transpose()
}

/// [`by_key`] for each of `keys`, in their order.
///
/// # Errors
/// See [`StoreError`].
pub fn by_keys(store: &impl Store, keys: &[Vec<u8>]) -> Result<Vec<Option<(Uuid, B256)>>, StoreError> {
    let values = store.get_many(Family::Idempotency, keys)?;
    decode_many(Family::Idempotency, keys, &values, codec::decode_key_entry)
}

/// The greatest idempotency key that begins with `prefix`, and the transaction it belongs to.
///
/// # Errors
/// See [`StoreError`].
pub fn last_key_with_prefix(store: &impl Store, prefix: &str) -> Result<Option<(String, Uuid)>, StoreError> {
    let mut to = prefix.as_bytes().to_vec();
    // 0xff occurs in no UTF-8 text.
    to.push(0xff);
    let pairs = store.scan(Family::Idempotency, prefix.as_bytes(), &to, Direction::Backward, 1)?;
    pairs.first().map(key_entry).transpose()
}

/// Transactions whose idempotency key begins with `prefix`, by key, greater than `after` where it is given.
///
/// # Errors
/// See [`StoreError`].
pub fn by_key_prefix(store: &impl Store, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Uuid)>, StoreError> {
    let from = match after {
        Some(key) if key >= prefix => keys::after(key.as_bytes()),
        _ => prefix.as_bytes().to_vec(),
    };
    // 0xff occurs in no UTF-8 text, so this is greater than every key with the prefix.
    let mut to = prefix.as_bytes().to_vec();
    to.push(0xff);
    let pairs = store.scan(Family::Idempotency, &from, &to, Direction::Forward, limit)?;
    pairs.iter().map(key_entry).collect()
}

fn key_entry((key, value): &Pair) -> Result<(String, Uuid), StoreError> {
    let text = String::from_utf8(key.to_vec()).map_err(|error| StoreError::corrupt(Family::Idempotency, key, error))?;
    let (id, _) = decode(Family::Idempotency, key, value, codec::decode_key_entry)?;
    Ok((text, id))
}

/// The attempt whose transaction hash is `hash`.
///
/// # Errors
/// See [`StoreError`].
pub fn by_hash(store: &impl Store, hash: &B256) -> Result<Option<HashEntry>, StoreError> {
    let key = hash.as_slice();
    store.get(Family::ByHash, key)?.map(|value| decode(Family::ByHash, key, &value, HashEntry::decode)).transpose()
}

/// Items of stored ABIs of this kind (see [`keys`]) with this selector.
///
/// # Errors
/// See [`StoreError`].
pub fn abi_items(store: &impl Store, kind: u8, selector: &[u8], limit: usize) -> Result<Vec<AbiRow>, StoreError> {
    let (from, to) = (keys::abi_item(kind, selector, &B256::ZERO), keys::after(&keys::abi_item(kind, selector, &B256::repeat_byte(0xff))));
    let pairs = store.scan(Family::Abis, &from, &to, Direction::Forward, limit)?;
    // Selectors of one kind have one length, so every key here has this one.
    pairs.iter().map(|(key, value)| decode(Family::Abis, key, value, codec::decode)).collect()
}

/// The head with `number`.
///
/// # Errors
/// See [`StoreError`].
pub fn head(store: &impl Store, number: u64) -> Result<Option<HeadRow>, StoreError> {
    row(store, &keys::head(number))
}

/// The greatest head: the follower's checkpoint.
///
/// # Errors
/// See [`StoreError`].
pub fn last_head(store: &impl Store) -> Result<Option<(u64, HeadRow)>, StoreError> {
    let to = keys::after(&keys::head(u64::MAX));
    let pairs = store.scan(Family::Heads, &keys::head(0), &to, Direction::Backward, 1)?;
    let Some((key, value)) = pairs.first() else { return Ok(None) };
    let number = split(Family::Heads, key, keys::split_number)?;
    Ok(Some((number, decode(Family::Heads, key, value, codec::decode)?)))
}

/// The highest block that was stored before the newest reorg; 0 if there was none.
///
/// # Errors
/// See [`StoreError`].
pub fn highest_head(store: &impl Store) -> Result<u64, StoreError> {
    let value = store.get(Family::Meta, keys::META_HIGHEST)?;
    value.map_or(Ok(0), |value| {
        let bytes = value.as_slice().try_into().map_err(|_| StoreError::corrupt(Family::Meta, keys::META_HIGHEST, "it is not 8 bytes"))?;
        Ok(u64::from_be_bytes(bytes))
    })
}

/// Ids bound to nonces of `address`, from `from_nonce` up.
///
/// # Errors
/// See [`StoreError`].
pub fn bound(store: &impl Store, address: &Address, from_nonce: u64, limit: usize) -> Result<Vec<(u64, Uuid)>, StoreError> {
    entries(store, address, Tag::Bound, from_nonce, limit)
}

/// Ids of `address` that wait, in their order, behind `after_queue_number` (`None`: from the first).
///
/// # Errors
/// See [`StoreError`].
pub fn waiting(
    store: &impl Store,
    address: &Address,
    after_queue_number: Option<u64>,
    limit: usize,
) -> Result<Vec<(u64, Uuid)>, StoreError> {
    let Some(from) = after_queue_number.map_or(Some(0), |number| number.checked_add(1)) else {
        return Ok(Vec::new());
    };
    entries(store, address, Tag::Waiting, from, limit)
}

/// The first nonce of `address` that is not archived; `None` when nothing of it was ever archived.
///
/// # Errors
/// See [`StoreError`].
pub fn floor(store: &impl Store, address: &Address) -> Result<Option<u64>, StoreError> {
    let key = keys::by_address(address, Tag::Floor, 0);
    store.get(Family::ByAddress, &key)?.map(|value| decode(Family::ByAddress, &key, &value, codec::decode_number)).transpose()
}

/// Until when `address` is paused, µs since the Unix epoch; `u64::MAX` without an end; `None` when it is not paused.
///
/// # Errors
/// See [`StoreError`].
pub fn paused_until(store: &impl Store, address: &Address) -> Result<Option<u64>, StoreError> {
    let key = keys::by_address(address, Tag::Floor, keys::PAUSED);
    store.get(Family::ByAddress, &key)?.map(|value| decode(Family::ByAddress, &key, &value, codec::decode_number)).transpose()
}

/// Addresses that have a floor, a pause, something bound or something waiting, greater than `after`. One seek each, however much they have.
///
/// # Errors
/// See [`StoreError`].
pub fn addresses(store: &impl Store, after: Option<Address>, limit: usize) -> Result<Vec<Address>, StoreError> {
    let past = |address: &Address| keys::after(&keys::by_address(address, Tag::Waiting, u64::MAX));
    let to = past(&Address::repeat_byte(0xff));
    let mut from = after.map_or_else(Vec::new, |address| past(&address));
    let mut found = Vec::new();
    while found.len() < limit {
        let pairs = store.scan(Family::ByAddress, &from, &to, Direction::Forward, 1)?;
        let Some((key, _)) = pairs.first() else { break };
        let (address, _) = split(Family::ByAddress, key, keys::split_by_address)?;
        from = past(&address);
        found.push(address);
    }
    Ok(found)
}

fn entries(store: &impl Store, address: &Address, tag: Tag, from: u64, limit: usize) -> Result<Vec<(u64, Uuid)>, StoreError> {
    let to = keys::after(&keys::by_address(address, tag, u64::MAX));
    let from = keys::by_address(address, tag, from);
    let pairs: Vec<Pair> = store.scan(Family::ByAddress, &from, &to, Direction::Forward, limit)?;
    pairs
        .iter()
        .map(|(key, value)| {
            let (_, number) = split(Family::ByAddress, key, keys::split_by_address)?;
            Ok((number, decode(Family::ByAddress, key, value, codec::decode_id)?))
        })
        .collect()
}

pub(crate) fn row<R: Row>(store: &impl Store, key: &[u8]) -> Result<Option<R>, StoreError> {
    store.get(R::FAMILY, key)?.map(|value| decode(R::FAMILY, key, &value, codec::decode)).transpose()
}

fn rows<R: Row>(store: &impl Store, ids: &[Uuid]) -> Result<Vec<Option<R>>, StoreError> {
    let keys: Vec<Vec<u8>> = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
    many(store, &keys)
}

fn many<R: Row>(store: &impl Store, keys: &[Vec<u8>]) -> Result<Vec<Option<R>>, StoreError> {
    let values = store.get_many(R::FAMILY, keys)?;
    decode_many(R::FAMILY, keys, &values, codec::decode)
}

fn decode_many<T>(
    family: Family,
    keys: &[Vec<u8>],
    values: &[Option<Vec<u8>>],
    decoder: impl Fn(&[u8]) -> Result<T, CodecError>,
) -> Result<Vec<Option<T>>, StoreError> {
    keys.iter().zip(values).map(|(key, value)| value.as_ref().map(|value| decode(family, key, value, &decoder)).transpose()).collect()
}

pub(crate) fn decode<T>(
    family: Family,
    key: &[u8],
    value: &[u8],
    decoder: impl Fn(&[u8]) -> Result<T, CodecError>,
) -> Result<T, StoreError> {
    decoder(value).map_err(|error| StoreError::corrupt(family, key, error))
}

pub(crate) fn split<T>(family: Family, key: &[u8], splitter: impl Fn(&[u8]) -> Option<T>) -> Result<T, StoreError> {
    splitter(key).ok_or_else(|| StoreError::corrupt(family, key, "its key has the wrong length"))
}
