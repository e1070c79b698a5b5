//! Faults against the real binary and the nodes that others have written: whatever happens to the node, the chain, the connection, the
//! money or the disk, each accepted transaction is mined exactly once and no nonce is left out. Fails where anvil or geth is not installed.
//!
//! | module | what goes wrong |
//! |---|---|
//! | `blobs` | nothing: transactions with blobs, which stay out, are cancelled, updated and mixed with others (EIP-4844); access lists |
//! | `disk` | the disk is full for a while |
//! | `foreign` | somebody else signs with our keys |
//! | `funds` | the money of an address is gone for a while |
//! | `heads` | the WebSocket that tells of heads is cut for twenty blocks |
//! | `listeners` | who listens to receipts crashes, and so does the engine |
//! | `orders` | its caller cancels or updates what is in the pool |
//! | `pool` | the pool forgets one transaction, or all, or its process starts again without it |
//! | `price` | the base fee rises above what was bid, and above the cap |
//! | `reorg` | blocks are taken away, and others with rivals of ours come in their place |
//! | `storm` | several of these at once, and kill -9 |
//! | `types` | contracts are created, and accounts get code (EIP-7702) |
//! | `view` | a second node is five blocks behind; receipts come too late |

#![allow(clippy::expect_used, clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod blobs;
mod disk;
mod foreign;
mod funds;
mod heads;
mod listeners;
mod orders;
mod pool;
mod price;
mod reorg;
mod storm;
mod types;
mod view;

use support::chain::{Chain, Kind};
use support::world::{LOAD, World};

/// Each scenario is a test on either node.
macro_rules! on_anvil_and_geth {
    ($($scenario:ident),+ $(,)?) => {
        mod on_anvil {
            $(#[test] fn $scenario() { super::$scenario(crate::support::chain::Kind::Anvil); })+
        }
        mod on_geth {
            $(#[test] fn $scenario() { super::$scenario(crate::support::chain::Kind::Geth); })+
        }
    };
}
pub(crate) use on_anvil_and_geth;

/// A node without blocks, and an engine that is ready and uses it directly.
fn start(kind: Kind, more: &str) -> (Chain, World) {
    let chain = Chain::start(kind);
    let world = engine_on(&chain, &chain.url(), more);
    (chain, world)
}

/// The whole load is in the pool; no block has come.
fn loaded(kind: Kind) -> (Chain, World, Vec<String>) {
    let (chain, world) = start(kind, "");
    let ids = world.submit(0..LOAD);
    chain.node.wait_for_pending(LOAD);
    (chain, world, ids)
}

/// An engine that is ready and knows the node under this address.
fn engine_on(chain: &Chain, seen_as: &str, more: &str) -> World {
    World::with_node(chain.node, seen_as, "auto", more, None).expect("auto runs anywhere")
}

/// Blocks come until the engine has read the newest one.
fn mine(chain: &Chain, world: &World, blocks: u64) {
    chain.mine(blocks);
    let head = chain.node.head();
    world.wait_until("the engine reads the block", || world.metric("millrace_head_block_number") >= head);
}

/// Waits until the engine has read a block above this height: what it knew of other blocks up to there it has then taken back. A chain
/// that has only become shorter could be that of a node that lags, and what was confirmed stays so until then.
fn read_beyond(world: &World, height: u64) {
    world.wait_until("the engine reads the new chain", || world.metric("millrace_head_block_number") > height);
}
