//! What benches share: the transfer they all speak of, managers to drive, records and bodies.
//!
//! | bench | measures | run it |
//! |---|---|---|
//! | `stages` | time of one stage, by criterion | `cargo bench --workspace --bench stages [-- NAME]` |
//! | `counts` | instructions of one stage, by gungraun under valgrind | `cargo xtask bench --counts` |
//! | `end_to_end` | the whole, beside what a user would otherwise do | `cargo xtask bench --end-to-end` |
//!
//! Names are `group/function/parameter`, and each bench says which regime it measures. Times are for ratios in one run; instruction
//! counts repeat, so they have limits that are committed. The allocator is the engine's.

pub mod manager;
pub mod record;
pub mod store;
pub mod transfer;
pub mod window;
pub mod wire;

/// The engine's own: an allocation must cost here what it costs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
