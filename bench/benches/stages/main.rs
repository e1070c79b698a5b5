//! One stage a bench, one noun a file. Unless a bench says otherwise, instruction caches are warm, nothing waits and one thread works:
//! these are the costs that add up on a shard's thread.

mod api;
mod block;
mod commit;
mod orchestrator;
mod pool;
mod queue;
mod record;
mod rpc;
mod sequencer;
mod sign;
mod stage;
mod transaction;

use criterion::{criterion_group, criterion_main};

criterion_group!(
    benches,
    stage::next,
    sign::sign,
    sign::encode,
    orchestrator::step,
    orchestrator::idle,
    pool::turn,
    transaction::whole,
    record::project_puts,
    record::rows,
    rpc::calls,
    rpc::replies,
    block::receipts,
    block::route,
    api::bodies,
    queue::mailbox,
    queue::link,
    commit::group,
    sequencer::dependencies
);
criterion_main!(benches);
