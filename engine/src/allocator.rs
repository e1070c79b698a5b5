//! A setting of mimalloc, for a process that has it as its global allocator. The binary does; whoever embeds the engine may.
#![expect(unsafe_code, reason = "mimalloc has no safe way to change an option")]

use std::ffi::c_long;

use libmimalloc_sys::{mi_option_set_default, mi_option_t};

/// `mi_option_purge_delay` of mimalloc 3.3, which its bindings do not name.
const PURGE_DELAY: mi_option_t = 15;

/// How long mimalloc keeps what was freed before it gives the pages back to the system.
///
/// A block's receipts, and lists as long as a block, are made once a block and freed again. With mimalloc's second, and blocks a second
/// apart, the same pages were given back and cleared by the kernel over and over: a tenth of all CPU. Ten seconds are more
/// than most chains' block time, and soon enough for an operator who wants to see memory go down after a burst.
const PURGE_DELAY_MS: c_long = 10_000;

/// Has mimalloc keep freed pages for ten seconds in place of one. The environment variable `MIMALLOC_PURGE_DELAY` (in milliseconds) wins.
/// Call it first thing in `main`. Without effect on any other allocator.
pub fn keep_pages() {
    // SAFETY: mimalloc allows it at any time as long as no other thread sets options, and the number is one of its options.
    unsafe { mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) };
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    #[test]
    fn the_option_is_the_delay_of_purges() {
        // SAFETY: only reads.
        let read = || unsafe { mi_option_get(PURGE_DELAY) };
        if std::env::var_os("MIMALLOC_PURGE_DELAY").is_some() {
            return;
        }
        // Of mimalloc's options, this one alone is 1000 from the start.
        assert_eq!(read(), 1000);
        keep_pages();
        assert_eq!(read(), PURGE_DELAY_MS);
    }
}
