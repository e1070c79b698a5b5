//! How many transactions of an address may be bound and not in a block (row A3).
//!
//! ```text
//!   limit ── the node is full ──► half (at least 1; once per head) ── each inclusion ──► +1 ──► … ──► limit
//! ```
//!
//! Halving and growing by one is what keeps a sender at the edge of what a shared queue takes (RFC 5681, section 3.1).

/// The window of one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// By configuration.
    limit: u32,
    /// Now; from 1 to `limit`.
    size: u32,
    /// Head at which it shrank last: one block's refusals count once.
    shrunk_at: Option<u64>,
}

impl Window {
    /// A window of `limit` transactions, at least 1.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        let limit = u32::try_from(limit).unwrap_or(u32::MAX).max(1);
        Self { limit, size: limit, shrunk_at: None }
    }

    /// Most transactions that may be bound and in no block.
    #[must_use]
    pub const fn size(self) -> usize {
        self.size as usize
    }

    /// By configuration.
    #[must_use]
    pub const fn limit(self) -> usize {
        self.limit as usize
    }

    /// A node had no room for a transaction; `unconfirmed` are bound. True if the window shrank.
    pub fn shrink(&mut self, unconfirmed: usize, head: u64) -> bool {
        if self.shrunk_at == Some(head) {
            return false;
        }
        self.shrunk_at = Some(head);
        // What is bound is what was too much, however wide the window is.
        let bound = u32::try_from(unconfirmed).unwrap_or(u32::MAX).min(self.size);
        self.size = (bound / 2).max(1);
        true
    }

    /// A block holds one more.
    pub const fn grow(&mut self) {
        if self.size < self.limit {
            self.size += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pool_halves_the_window_once_per_head_and_never_below_one() {
        let mut window = Window::new(500);
        assert!(window.shrink(64, 9));
        assert!(!window.shrink(64, 9), "the same block's refusals count once");
        assert_eq!(window.size(), 32);
        for head in 10..20 {
            window.shrink(32, head);
        }
        assert_eq!(window.size(), 1);
    }

    #[test]
    fn inclusions_give_back_what_a_full_pool_took_and_no_more() {
        let mut window = Window::new(4);
        window.shrink(4, 1);
        assert_eq!(window.size(), 2);
        for _ in 0..9 {
            window.grow();
        }
        assert_eq!((window.size(), window.limit()), (4, 4));
    }
}
