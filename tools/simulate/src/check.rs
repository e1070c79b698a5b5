//! What must hold at the end of a run.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use engine::view::{Status, TransactionView};
use storage::{Store, read};

use crate::load::{Book, Plan, recipient};
use crate::node::Node;

/// Every promise, checked against the simulated chain and the store; the first one broken, in words.
pub(crate) fn invariants(book: &Book, plan: &Plan, node: &Node, store: &impl Store, required_confirmations: u64) -> Result<(), String> {
    if let Some(broken) = book.broken.first() {
        return Err(broken.clone());
    }
    let mined = executions(node);
    for number in 0..plan.transactions {
        let times = mined.get(&recipient(number)).map_or(0, Vec::len);
        match book.accepted.get(&number) {
            Some(id) if times > 1 => return Err(format!("number {number} ({id}) was executed {times} times")),
            None => return Err(format!("number {number} was never accepted")),
            Some(_) => {}
        }
    }
    // A transfer to oneself closes a nonce; nothing else may be there that nobody asked for.
    let asked_for = |to: &Address| plan.addresses.contains(to) || (0..plan.transactions).any(|number| recipient(number) == *to);
    let strangers = mined.keys().filter(|to| !asked_for(to)).count();
    if strangers > 0 {
        return Err(format!("{strangers} recipients on chain that nobody asked for"));
    }
    for address in &plan.addresses {
        let before = plan.used_before.get(address).copied().unwrap_or(0);
        let expected = before + (0..plan.transactions).filter(|number| plan.request(*number).from == *address).count() as u64;
        if node.nonce(address) != expected {
            return Err(format!(
                "{address} has nonce {} on chain after {expected} transactions, {before} of them older than the run",
                node.nonce(address)
            ));
        }
    }
    statuses(book, plan, node, &mined, store, required_confirmations)
}

/// Recipient → block and hash of each time it was reached.
fn executions(node: &Node) -> BTreeMap<Address, Vec<(u64, B256, B256)>> {
    let mut mined: BTreeMap<Address, Vec<(u64, B256, B256)>> = BTreeMap::new();
    for (number, block) in (0_u64..).zip(node.blocks()) {
        for known in block.transactions {
            mined.entry(known.to.unwrap_or_default()).or_default().push((number, block.hash, known.hash));
        }
    }
    mined
}

/// What the store reports is what the chain holds, and nothing is left to do.
fn statuses(
    book: &Book,
    plan: &Plan,
    node: &Node,
    mined: &BTreeMap<Address, Vec<(u64, B256, B256)>>,
    store: &impl Store,
    required_confirmations: u64,
) -> Result<(), String> {
    for (number, id) in &book.accepted {
        let receipt = read::receipt(store, *id).map_err(|error| error.to_string())?;
        let Some(receipt) = receipt else { return Err(format!("number {number} ({id}) has no receipt in the store")) };
        let view = TransactionView::read(store, *id, required_confirmations).map_err(|error| error.to_string())?;
        let status = view.map(|view| view.status());
        // Executed and confirmed; or called invalid by the node, and its nonce closed by a transfer to oneself.
        let executed = mined.get(&recipient(*number)).map(|times| times[0]);
        let closed =
            || mined.get(&plan.request(*number).from).and_then(|times| times.iter().find(|(_, _, hash)| *hash == receipt.transaction_hash));
        let (actual, expected) = match executed {
            Some(actual) => (Some(actual), Status::Confirmed),
            None if node.refused(&recipient(*number)) => (closed().copied(), Status::FatalError),
            None => {
                return Err(format!(
                    "number {number} ({id}) is reported as {status:?}; it was never executed, and the node never called it invalid"
                ));
            }
        };
        let reported = (receipt.block_number, receipt.block_hash, receipt.transaction_hash);
        if status != Some(expected) || Some(reported) != actual {
            return Err(format!(
                "number {number} ({id}) is reported as {status:?} in {reported:?} and is {expected:?} in {actual:?} on chain"
            ));
        }
    }
    for recovered in engine::recover::addresses(store, 1).map_err(|error| error.to_string())?.into_iter().flatten() {
        if recovered.waiting_count > 0 || recovered.bound.iter().any(|bound| bound.receipt.is_none()) {
            return Err(format!("work is left for {}: {} wait", recovered.address, recovered.waiting_count));
        }
    }
    Ok(())
}
