//! How many bytes the heap of a test holds.

// To count what the heap holds takes an allocator, and that trait is unsafe to implement.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout};
use std::sync::atomic::{AtomicIsize, Ordering};

/// Counts the bytes that are allocated, and leaves the rest to mimalloc.
struct Counting;

/// Bytes that Rust code has allocated and not freed.
pub(crate) static HELD: AtomicIsize = AtomicIsize::new(0);

fn count(bytes: usize, sign: isize) {
    HELD.fetch_add(sign * isize::try_from(bytes).expect("a layout fits isize"), Ordering::Relaxed);
}

// SAFETY: every call goes to mimalloc with the layout it came with.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: see above.
        unsafe { mimalloc::MiMalloc.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: see above.
        unsafe { mimalloc::MiMalloc.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
