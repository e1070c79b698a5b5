//! What must hold at the end of a run.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256};
use engine::config::{Displaced, TxmgrConfig};
use engine::view::{Status, TransactionView};
use storage::{Store, read};

use crate::chain::STRANGER;
use crate::load::{Book, Plan, recipient};
use crate::node::Node;

/// Every promise, checked against the simulated chain and the store; the first one broken, in words.
pub(crate) fn invariants(book: &Book, plan: &Plan, node: &Node, store: &impl Store, txmgr: &TxmgrConfig) -> Result<(), String> {
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
    // A transfer to oneself closes a nonce; nothing else may be there that nobody asked for, but for the other wallet's.
    let asked_for: BTreeSet<Address> =
        (0..plan.transactions).map(recipient).chain(plan.addresses.iter().copied()).chain([STRANGER]).collect();
    let strangers = mined.keys().filter(|to| !asked_for.contains(*to)).count();
    if strangers > 0 {
        return Err(format!("{strangers} recipients on chain that nobody asked for"));
    }
    for address in &plan.addresses {
        // Every nonce was used for a request, by the other wallet, or to close what could not be mined or was left open.
        let own = |number: &u64| plan.request(*number).from == *address;
        let ended = |number: &u64| !mined.contains_key(&recipient(*number));
        let closed = mined.get(address).map_or(0, Vec::len) as u64;
        let may_be_closed = (0..plan.transactions).filter(own).filter(ended).count() as u64 + node.opened_again(address);
        if closed > may_be_closed {
            return Err(format!("{address} has {closed} transfers to itself on chain, where {may_be_closed} nonces may have needed one"));
        }
    }
    statuses(book, plan, node, &mined, store, txmgr)
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
    txmgr: &TxmgrConfig,
) -> Result<(), String> {
    for (number, id) in &book.accepted {
        let receipt = read::receipt(store, *id).map_err(|error| error.to_string())?;
        let view = TransactionView::read(store, *id, txmgr.required_confirmations).map_err(|error| error.to_string())?;
        let status = view.map(|view| view.status());
        let reported = receipt.map(|receipt| (receipt.block_number, receipt.block_hash, receipt.transaction_hash));
        if let Some(executed) = mined.get(&recipient(*number)).map(|times| times[0]) {
            if status != Some(Status::Confirmed) || reported != Some(executed) {
                return Err(format!("number {number} ({id}) is reported as {status:?} in {reported:?} and is confirmed in {executed:?}"));
            }
            continue;
        }
        // Not executed: the node called it invalid, or it was displaced and that is to end it. Its nonce went to a transfer to oneself or
        // to the other wallet.
        let holds = |to: &Address, hash: &B256| mined.get(to).is_some_and(|times| times.iter().any(|(_, _, mined)| mined == hash));
        let closed = reported.is_some_and(|(_, _, hash)| holds(&plan.request(*number).from, &hash));
        let rivals = read::rivals(store, *id).map_err(|error| error.to_string())?;
        let displaced = rivals.last().is_some_and(|rival| holds(&STRANGER, &rival.transaction_hash));
        let invalid = node.refused(&recipient(*number));
        let allowed = invalid && (closed || displaced) || displaced && txmgr.displaced == Displaced::Fail;
        if status != Some(Status::FatalError) || !allowed {
            return Err(format!(
                "number {number} ({id}) is reported as {status:?} and was never executed; called invalid: {invalid}, closed: {closed}, displaced: {displaced}; {}",
                holders(node, store, *id, &plan.request(*number).from)
            ));
        }
    }
    for recovered in engine::recover::addresses(store, 1).map_err(|error| error.to_string())?.into_iter().flatten() {
        if recovered.waiting_count > 0 || recovered.bound.iter().any(|bound| bound.receipt.is_none() && !bound.ended) {
            let open = recovered.bound.iter().find(|bound| bound.receipt.is_none() && !bound.ended);
            let open =
                open.map_or_else(String::new, |bound| format!(", {} {}", bound.id, holders(node, store, bound.id, &recovered.address)));
            return Err(format!("work is left for {}: {} wait{open}", recovered.address, recovered.waiting_count));
        }
    }
    Ok(())
}

/// Who holds the nonces of a request on chain.
fn holders(node: &Node, store: &impl Store, id: uuid::Uuid, from: &Address) -> String {
    let attempts = read::attempts(store, id).unwrap_or_default();
    let nonces: BTreeSet<u64> = attempts.iter().map(|attempt| attempt.nonce).collect();
    let blocks = node.blocks();
    let holder = |nonce: u64| {
        let mut all = (0_u64..).zip(&blocks).flat_map(|(number, block)| block.transactions.iter().map(move |known| (number, known)));
        match all.find(|(_, known)| known.takes().any(|taken| taken == (*from, nonce))) {
            Some((number, known)) => format!("nonce {nonce} is held by {} to {:?} in block {number}", known.hash, known.to),
            None => format!("nonce {nonce} is open"),
        }
    };
    let held: Vec<String> = nonces.into_iter().map(holder).collect();
    format!("of {from}: {}", held.join(", "))
}
