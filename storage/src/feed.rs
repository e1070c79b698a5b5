//! Reads of the feed: endings of transactions in the order of their sequences, and the listeners that follow it.
//!
//! ```text
//! endings    17: block 41, [a b c]    20: failed, [d]    21: block 41, [a c]    23: block 42, [b]
//!                        └ void: 41 was read again         ▲
//! ended_in   41 → 21, 42 → 23 ─────────────────────────────┘
//! ```
//!
//! A row of a block counts while `ended_in` names it. A reorg deletes the entries of the blocks that leave the chain, and a block that is
//! stored again names its new row, so a row that was once void never counts again.
//!
//! Blocking, as everything in [`read`](crate::read).

use crate::{
    codec, keys,
    read::{decode, row, split},
    record::{EndingsRow, ListenerRow},
    store::{Direction, Family, Pair, Store, StoreError},
};

/// Rows of endings from the one that holds the first sequence above `above`, each with the sequence of its first ending; at most `limit`.
///
/// # Errors
/// See [`StoreError`].
pub fn endings(store: &impl Store, above: u64, limit: usize) -> Result<Vec<(u64, EndingsRow)>, StoreError> {
    let Some(next) = above.checked_add(1) else { return Ok(Vec::new()) };
    // The next ending may stand in the middle of a row.
    let holds = store.scan(Family::Endings, &keys::endings(0), &keys::after(&keys::endings(next)), Direction::Backward, 1)?;
    let mut from = keys::endings(next);
    if let Some(pair) = holds.first() {
        let (first, row) = endings_row(pair)?;
        if first + row.ids.len() as u64 > next {
            from = keys::endings(first);
        }
    }
    let pairs = store.scan(Family::Endings, &from, &keys::after(&keys::endings(u64::MAX)), Direction::Forward, limit)?;
    pairs.iter().map(endings_row).collect()
}

fn endings_row((key, value): &Pair) -> Result<(u64, EndingsRow), StoreError> {
    Ok((split(Family::Endings, key, keys::split_number)?, decode(Family::Endings, key, value, codec::decode)?))
}

/// True while the row of endings that begins with `first` is the one of this block.
///
/// # Errors
/// See [`StoreError`].
pub fn counts(store: &impl Store, first: u64, block: u64) -> Result<bool, StoreError> {
    let key = keys::ended_in(block);
    let value = store.get(Family::EndedIn, &key)?;
    let named = value.map(|value| decode(Family::EndedIn, &key, &value, codec::decode_number)).transpose()?;
    Ok(named == Some(first))
}

/// Sequence of the last ending; 0 before the first.
///
/// # Errors
/// See [`StoreError`].
pub fn last_ending(store: &impl Store) -> Result<u64, StoreError> {
    let Some(value) = store.get(Family::Meta, keys::META_ENDINGS)? else { return Ok(0) };
    let bytes = value.as_slice().try_into().map_err(|_| StoreError::corrupt(Family::Meta, keys::META_ENDINGS, "it is not 8 bytes"))?;
    Ok(u64::from_be_bytes(bytes))
}

/// The listener of this name.
///
/// # Errors
/// See [`StoreError`].
pub fn listener(store: &impl Store, name: &str) -> Result<Option<ListenerRow>, StoreError> {
    row(store, name.as_bytes())
}

/// Listeners by name, at most `limit`.
///
/// # Errors
/// See [`StoreError`].
pub fn listeners(store: &impl Store, limit: usize) -> Result<Vec<(String, ListenerRow)>, StoreError> {
    // 0xff occurs in no UTF-8 text.
    let pairs = store.scan(Family::Listeners, &[], &[0xff], Direction::Forward, limit)?;
    pairs
        .iter()
        .map(|(key, value)| {
            let name = String::from_utf8(key.to_vec()).map_err(|error| StoreError::corrupt(Family::Listeners, key, error))?;
            Ok((name, decode(Family::Listeners, key, value, codec::decode)?))
        })
        .collect()
}
