//! Faults against the real binary and a real chain, on both executors: whatever happens to the node, the connection or the process, each
//! accepted transaction is mined exactly once and no nonce is left out.
//!
//! | module | what goes wrong |
//! |---|---|
//! | `node` | the pool forgets, replies are lost, late or refused, receipts lag, methods are missing |
//! | `price` | the base fee rises above what was bid |
//! | `request` | requests that race, that revert, or that no node can take |
//! | `restart` | the process is killed or told to stop in the middle |

#![allow(clippy::expect_used, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod node;
mod price;
mod request;
mod restart;

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
