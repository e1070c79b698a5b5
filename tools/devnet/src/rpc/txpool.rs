//! `txpool_*`: what waits for a block.

use alloy::primitives::Address;

use super::{params::Params, write};
use crate::{error::RpcError, json::Object, node::Node, pool::Sender, tx::SharedTx};

/// Runs a method of the namespace.
pub(super) fn run(node: &Node, method: &str, params: &Params<'_>, out: &mut Vec<u8>) -> Result<(), RpcError> {
    match method {
        "txpool_status" => {
            let mut object = Object::begin(out);
            object.quantity("pending", node.pool.executable_count() as u64);
            object.quantity("queued", node.pool.queued_count() as u64);
            object.end();
        }
        "txpool_content" => {
            let mut object = Object::begin(out);
            by_sender(node, object.name("pending"), Sender::executable);
            by_sender(node, object.name("queued"), Sender::queued);
            object.end();
        }
        "txpool_contentFrom" => {
            let sender = node.pool.sender(&params.required::<Address>(0)?);
            let mut object = Object::begin(out);
            by_nonce(object.name("pending"), sender.into_iter().flat_map(Sender::executable));
            by_nonce(object.name("queued"), sender.into_iter().flat_map(Sender::queued));
            object.end();
        }
        _ => return Err(RpcError::method_not_found(method)),
    }
    Ok(())
}

fn by_sender<'a, I>(node: &'a Node, out: &mut Vec<u8>, choose: impl Fn(&'a Sender) -> I)
where
    I: Iterator<Item = &'a SharedTx>,
{
    let mut object = Object::begin(out);
    for (address, sender) in node.pool.senders() {
        let mut txs = choose(sender).peekable();
        if txs.peek().is_some() {
            by_nonce(object.name(&address.to_checksum(None)), txs);
        }
    }
    object.end();
}

fn by_nonce<'a>(out: &mut Vec<u8>, txs: impl Iterator<Item = &'a SharedTx>) {
    let mut object = Object::begin(out);
    for tx in txs {
        write::transaction(object.name(&tx.nonce.to_string()), tx, None);
    }
    object.end();
}
