//! Faults against the real binary and a real chain, on both executors: whatever happens to the node, the connection or the process, each
//! accepted transaction is mined exactly once and no nonce is left out.
//!
//! | module | what goes wrong |
//! |---|---|
//! | `blobs` | the process, or the block, of transactions with blobs goes |
//! | `breaker` | a node fails so often that it is left alone for a while |
//! | `guarantees` | what seed 002 guarantees, a test for each |
//! | `funds` | the money of an address is gone for a while |
//! | `heads` | the WebSocket that tells of heads is cut |
//! | `node` | the pool forgets, replies are lost, late or refused, receipts lag, methods are missing |
//! | `nodes` | one of several nodes fails, lags, or is of another chain |
//! | `oracle` | sources of gas prices fail |
//! | `orders` | transactions are cancelled, suspended, updated, or depend on others, and the process is killed in between |
//! | `price` | the base fee rises above what was bid |
//! | `reorg` | the node's chain becomes another one, also at the same height and at a lower one |
//! | `request` | requests that race, that revert, or that no node can take |
//! | `restart` | the process is killed or told to stop in the middle |

#![allow(clippy::expect_used, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod blobs;
mod breaker;
mod funds;
mod guarantees;
mod heads;
mod node;
mod nodes;
mod oracle;
mod orders;
mod price;
mod reorg;
mod request;
mod restart;
mod view;

/// Each scenario is a test on either executor. Where the system does not allow io_uring, that one has nothing to run on and ends at once:
/// the scenario gets no world.
macro_rules! on_both_executors {
    ($($scenario:ident),+ $(,)?) => {
        mod epoll {
            $(#[test] fn $scenario() { super::$scenario("epoll"); })+
        }
        mod io_uring {
            $(#[test] fn $scenario() { super::$scenario("io_uring"); })+
        }
    };
}
pub(crate) use on_both_executors;
