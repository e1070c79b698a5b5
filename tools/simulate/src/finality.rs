//! The end of some runs: blocks leave the chain that the engine holds for final, at once or by two reorgs one after the other (row B1).
//!
//! From there on nothing can be promised about what is in those blocks, so the engine has to stop: not ready, with the reason, nothing
//! sent, nothing that it has stored taken back; also after a restart. The other promises are not looked at in such a run.

use std::rc::Rc;
use std::time::Duration;

use alloy::primitives::B256;
use engine::txmgr::stage::Stage;
use netio::within;
use storage::read;

use crate::faults::Fault;
use crate::world::{AIM, World};

/// Between two looks at whether the engine follows the chain.
const STEP: Duration = Duration::from_millis(5);
/// Longest wait for the engine to follow the first of two reorgs. No block is sealed meanwhile.
const FIRST: Duration = Duration::from_secs(10);
/// Between two looks at what the engine says and does.
const LOOK: Duration = Duration::from_millis(50);
/// For so long without a break it must have stopped: a machine that lags has shown its blocks by then.
const STOPPED: Duration = Duration::from_secs(15);
/// By then it must have.
const LIMIT: Duration = Duration::from_secs(60);
/// What the engine says of another chain.
const WORDS: &str = "which is final";

/// Where the engine stands, if it is ready and what it has stored is on the chain: its newest block, and the highest it ever had.
pub(crate) fn follows(world: &World) -> Option<(u64, u64)> {
    if !world.present.borrow().as_ref()?.engine.not_ready().is_empty() {
        return None;
    }
    let (number, head) = read::last_head(&world.store).ok().flatten()?;
    let highest = read::highest_head(&world.store).ok()?.max(number);
    // The last block that may not change has to be stored, above the first one of all: of what was before the engine's first block nothing
    // is known.
    let last_final = highest.checked_sub(world.config.txmgr.finality_depth)? + 1;
    let kept = read::head(&world.store, last_final).ok().flatten();
    (kept.is_some() && world.node.hash(number) == Some(head.hash)).then_some((number, highest))
}

/// The chain changes below what is final to the engine, which follows it: see [`follows`].
pub(crate) fn strike(world: &World, fault: Fault) {
    let Some((number, highest)) = follows(world) else { return };
    let Some(hash) = world.node.hash(number) else { return };
    world.stands_at.set(Some((number, hash)));
    let deeper = if fault == Fault::ReorgFinal { world.executor.below(3) } else { 0 };
    let common = (highest - world.config.txmgr.finality_depth).saturating_sub(deeper);
    let depth = world.node.head() - common;
    let length = world.executor.below(depth + 2) + 1;
    world.node.note(fault);
    world.node.reorganise(depth, length, u64::MAX / 2, world.executor.below(2) == 0);
}

/// Brings the end about, and judges it.
pub(crate) async fn end(world: Rc<World>) {
    let stage = world.stage();
    until_follows(&world).await;
    let fault = if world.executor.below(2) == 0 && first_of_two(&world).await { Fault::ReorgsFinal } else { Fault::ReorgFinal };
    aim(&world, stage, fault).await;
    world.node.rests.set(false);
    let verdict = match world.stands_at.get() {
        Some(newest) => judge(&world, newest).await,
        None => Err("the reorg past finality has not come about".into()),
    };
    *world.verdict.borrow_mut() = Some(verdict);
}

async fn until_follows(world: &World) {
    while follows(world).is_none() {
        world.executor.sleep(STEP).await;
    }
}

/// A reorg that leaves the chain shorter than it was, and is followed; the next one starts from there. False if there was none.
async fn first_of_two(world: &Rc<World>) -> bool {
    let finality = world.config.txmgr.finality_depth;
    if finality < 3 {
        // One that is not past finality leaves no room for a second.
        return false;
    }
    let depth = world.executor.below(finality - 2) + 2;
    let length = world.executor.below(depth - 1) + 1;
    if !world.node.reorganise(depth, length, finality - 1, world.executor.below(2) == 0) {
        return false;
    }
    world.node.rests.set(true);
    if world.executor.below(2) == 0 {
        world.crash(Some(Fault::Crash));
    }
    let room = world.room();
    let followed = within(&room, FIRST, async {
        while follows(world).is_none_or(|(number, _)| number != world.node.head()) {
            world.executor.sleep(STEP).await;
        }
    });
    let followed = followed.await.is_some();
    // What remains to be taken back must be less than what is final.
    let second = followed && follows(world).is_some_and(|(number, highest)| number < highest);
    // A machine that lags shows the first one only when there are blocks on top.
    world.node.rests.set(second);
    second
}

/// The fault strikes while a transaction is in this stage, if that comes about soon.
async fn aim(world: &Rc<World>, stage: Stage, fault: Fault) {
    world.lead_to(stage);
    world.aimed.set(Some((stage, fault)));
    let struck = within(&world.room(), AIM, world.struck.wait()).await;
    world.aimed.set(None);
    if struck.is_none() {
        until_follows(world).await;
        world.strike(fault);
    }
}

/// The engine has to stop for good.
async fn judge(world: &Rc<World>, (number, hash): (u64, B256)) -> Result<(), String> {
    let struck = world.executor.now();
    let mut crash_at = (world.executor.below(2) == 0).then(|| struck + world.executor.between(Duration::ZERO, STOPPED));
    let mut stopped: Option<(Duration, u64)> = None;
    loop {
        world.executor.sleep(LOOK).await;
        let now = world.executor.now();
        if crash_at.take_if(|at| *at <= now).is_some() {
            world.crash(Some(Fault::Crash));
        }
        let reasons = world.present.borrow().as_ref().map(|running| running.engine.not_ready());
        let says = reasons.as_ref().is_some_and(|reasons| reasons.iter().any(|reason| reason.contains(WORDS)));
        // A block that had been read before may come on top.
        if !stored(world, number, hash) {
            return Err(format!("a reorg past finality was followed: block {number} of the chain before it is not stored any more"));
        }
        let sends = world.node.sends.get();
        stopped = stopped.filter(|stopped| says && stopped.1 == sends).or_else(|| says.then_some((now, sends)));
        if stopped.is_some_and(|(since, _)| now - since >= STOPPED) {
            return Ok(());
        }
        if now - struck >= LIMIT {
            return Err(format!(
                "{LIMIT:?} after a reorg past finality the engine has not stopped: it says {reasons:?}, and {sends} sends came"
            ));
        }
    }
}

/// Whether this block is stored, and nothing below it is the newest.
fn stored(world: &World, number: u64, hash: B256) -> bool {
    let newest = read::last_head(&world.store).ok().flatten();
    let there = read::head(&world.store, number).ok().flatten();
    newest.is_some_and(|newest| newest.0 >= number) && there.is_some_and(|there| there.hash == hash)
}
