//! `devnet_*`: time, faults and the rest that a test asks of its chain.

use alloy::primitives::{Address, B256, U64, U256};
use serde::Deserialize;

use super::params::Params;
use crate::{
    error::RpcError,
    json::{self, Object},
    node::Node,
    tricks::Done,
};

/// Blocks that one request may seal: a longer run would keep all others waiting.
const BLOCKS_MAX: u64 = 1_000;

/// The parameter of `devnet_reorg`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Reorg {
    /// Blocks taken back.
    depth: u64,
    /// Blocks of the new branch; as many as were taken back if not said.
    length: Option<u64>,
    /// Whether the abandoned transactions go back to the pool.
    #[serde(default = "yes")]
    requeue: bool,
    /// Whether the new blocks take transactions from the pool; otherwise they are empty.
    #[serde(default)]
    include: bool,
}

const fn yes() -> bool {
    true
}

/// Runs a method of the namespace.
pub(super) fn run(node: &mut Node, method: &str, params: &Params<'_>, out: &mut Vec<u8>) -> Result<(), RpcError> {
    match node.tricks.control(method, params, &mut node.errands.sockets) {
        Some(Ok(Done::Plain)) => {
            json::quantity(out, node.chain.head().number());
            return Ok(());
        }
        Some(Ok(Done::Count(count))) => {
            json::quantity(out, count);
            return Ok(());
        }
        Some(Err(error)) => return Err(error),
        None => {}
    }
    match method {
        "devnet_mine" => mine(node, params)?,
        "devnet_setBlockTime" => node.errands.block_time_ms = Some(params.required(0)?),
        "devnet_reorg" => reorg(node, &params.required(0)?)?,
        "devnet_dropTransaction" => {
            let dropped = node.pool.remove(&params.required::<B256>(0)?).is_some();
            out.extend_from_slice(if dropped { b"true" } else { b"false" });
            return Ok(());
        }
        "devnet_setNextBaseFees" => {
            let fees: Vec<U64> = params.required(0)?;
            node.chain.set_next_base_fees(fees.into_iter().map(|fee| fee.to()));
        }
        "devnet_setGasLimit" => node.set_gas_limit(params.required::<U64>(0)?.to())?,
        "devnet_setMaxBatch" => node.max_batch = params.required(0)?,
        "devnet_setBalance" => node.set_balance(params.required::<Address>(0)?, params.required::<U256>(1)?),
        "devnet_status" => {
            status(node, out);
            return Ok(());
        }
        _ => return Err(RpcError::method_not_found(method)),
    }
    // The number of the head tells a test where it stands after what it asked for.
    json::quantity(out, node.chain.head().number());
    Ok(())
}

fn mine(node: &mut Node, params: &Params<'_>) -> Result<(), RpcError> {
    let blocks: u64 = params.optional(0)?.unwrap_or(1);
    bounded(blocks)?;
    for _ in 0..blocks {
        node.seal();
    }
    Ok(())
}

fn reorg(node: &mut Node, request: &Reorg) -> Result<(), RpcError> {
    let length = request.length.unwrap_or(request.depth);
    bounded(length)?;
    node.reorg(request.depth, length, request.requeue, request.include)
}

fn bounded(blocks: u64) -> Result<(), RpcError> {
    if blocks > BLOCKS_MAX {
        return Err(RpcError::params(format!("{blocks} blocks at once are too many: at most {BLOCKS_MAX}")));
    }
    Ok(())
}

fn status(node: &Node, out: &mut Vec<u8>) {
    let counts = node.counts;
    let mut object = Object::begin(out);
    object.quantity("blockNumber", node.chain.head().number());
    object.quantity("nextBaseFeePerGas", node.chain.next_base_fee());
    object.quantity("pending", node.pool.executable_count() as u64);
    object.quantity("queued", node.pool.queued_count() as u64);
    object.quantity("requests", counts.requests);
    object.quantity("calls", counts.calls);
    object.quantity("admitted", counts.admitted);
    object.quantity("refused", counts.refused);
    object.quantity("included", counts.included);
    object.quantity("reorgs", counts.reorgs);
    object.quantity("faultsWaiting", node.tricks.faults.waiting() as u64);
    object.quantity("faultsStruck", node.tricks.faults.struck());
    node.tricks.counts.write(object.name("callsByMethod"));
    object.end();
}
