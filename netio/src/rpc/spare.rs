//! The memory of long replies that a connection keeps from one to the next.
//!
//! A block's receipts are megabytes, and fresh pages for them cost more than to copy them, so the memory of one is kept for the next. What a
//! single long reply left behind is given back: at once above a bound, and otherwise with the first reply after some time without another long one.

use std::time::Duration;

use bytes::{Bytes, BytesMut};

/// Memory that is kept for the next long reply; that of a longer one is given back at once.
const KEPT_BYTES_MAX: usize = 32 << 20;
/// So much is always kept: it is what a batch's answers take.
const ALWAYS_BYTES: usize = 1 << 20;
/// How long more than that is kept without being used: many times what lies between two blocks.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// What is kept.
#[derive(Debug, Default)]
pub(crate) struct Spare {
    /// Empty between replies. It takes its memory back as soon as nobody has the earlier reply any more.
    pub(crate) bytes: BytesMut,
    /// Of the longest reply in it.
    longest: usize,
    /// When a reply last needed the better part of it, by the clock of the room.
    needed_at: Duration,
}

impl Spare {
    /// A whole reply is taken out of it.
    pub(crate) fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }

    /// A reply has come, of which so many bytes were put into it; `now` is asked only where there is something to give back.
    pub(crate) fn settle(&mut self, bytes: usize, now: impl FnOnce() -> Duration) {
        self.longest = self.longest.max(bytes);
        if self.longest <= ALWAYS_BYTES {
            return;
        }
        let now = now();
        if bytes > self.longest / 4 {
            self.needed_at = now;
        }
        if self.longest > KEPT_BYTES_MAX || now.saturating_sub(self.needed_at) > KEPT_FOR {
            *self = Self::default();
        }
    }

    /// Gives back all that is more than is always kept: nothing tells when the next reply will come.
    pub(crate) fn give_back(&mut self) {
        if self.longest > ALWAYS_BYTES {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes in a reply at a second; tells where its memory is.
    fn reply(spare: &mut Spare, bytes: usize, second: u64) -> *const u8 {
        spare.bytes.reserve(bytes);
        spare.bytes.resize(bytes, 7);
        let whole = spare.take();
        spare.settle(bytes, || Duration::from_secs(second));
        whole.as_ptr()
    }

    #[test]
    fn memory_is_used_again_while_long_replies_come_and_given_back_a_minute_after_the_last_one() {
        let mut spare = Spare::default();
        let first = reply(&mut spare, 5 << 20, 0);
        for block in 1..20 {
            assert_eq!(reply(&mut spare, 4 << 20, 12 * block), first, "a block every 12 s needs no new memory");
            // What is asked in between is short, and put nowhere.
            spare.settle(0, || Duration::from_secs(12 * block + 6));
        }
        spare.settle(0, || Duration::from_secs(12 * 19 + 60));
        assert_eq!(spare.longest, 5 << 20);
        spare.settle(0, || Duration::from_secs(12 * 19 + 61));
        assert_eq!((spare.longest, spare.bytes.capacity()), (0, 0));
    }

    #[test]
    fn what_is_too_long_is_given_back_at_once_and_what_is_short_is_kept_without_a_look_at_the_clock() {
        let mut spare = Spare::default();
        reply(&mut spare, KEPT_BYTES_MAX + 1, 0);
        assert_eq!(spare.longest, 0);
        let first = reply(&mut spare, 100_000, 0);
        for _ in 0..10 {
            spare.settle(0, || unreachable!("nothing to give back"));
            spare.give_back();
        }
        assert_eq!(reply(&mut spare, 100_000, 1_000_000), first);
        reply(&mut spare, ALWAYS_BYTES + 1, 1_000_000);
        spare.give_back();
        assert_eq!((spare.longest, spare.bytes.capacity()), (0, 0), "by order");
    }
}
