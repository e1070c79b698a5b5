//! Ids of transactions: UUIDs of version 7 (RFC 9562), so that the newest sorts last and a put by id is a put in order.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use uuid::{Builder, Uuid};

/// A source of ids: the millisecond, a counter, and what tells this process from an earlier one.
#[derive(Debug)]
pub struct Ids {
    salt: u32,
    counter: AtomicU64,
    /// Ids never go back, even if the clock does.
    newest_ms: AtomicU64,
}

impl Ids {
    /// Ids of one process. `salt` must differ between processes that share a data directory: two starts within the same
    /// millisecond would otherwise give the same ids.
    #[must_use]
    pub const fn new(salt: u32) -> Self {
        Self { salt, counter: AtomicU64::new(0), newest_ms: AtomicU64::new(0) }
    }

    /// A new id at `now`, time since the Unix epoch.
    pub fn next(&self, now: Duration) -> Uuid {
        let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let ms = self.newest_ms.fetch_max(now_ms, Ordering::Relaxed).max(now_ms);
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        // Version and variant take the first bits of bytes 0 and 2, so the counter begins at byte 3; 40 bits are a
        // trillion ids, after which they still differ by their millisecond.
        let mut random = [0_u8; 10];
        random[3..8].copy_from_slice(&count.to_be_bytes()[3..]);
        random[8..10].copy_from_slice(&self.salt.to_be_bytes()[2..]);
        random[0..2].copy_from_slice(&self.salt.to_be_bytes()[..2]);
        Builder::from_unix_timestamp_millis(ms, &random).into_uuid()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_even_when_the_clock_goes_back() {
        let ids = Ids::new(7);
        let made: Vec<Uuid> = [5, 5, 9, 3, 10].iter().map(|ms| ids.next(Duration::from_millis(*ms))).collect();
        assert!(made.is_sorted() && made.windows(2).all(|pair| pair[0] != pair[1]), "{made:?}");
        assert!(made.iter().all(|id| id.get_version_num() == 7));
    }
}
