//! What must hold at the end of a run.

use std::collections::{BTreeMap, BTreeSet};

use alloy::primitives::{Address, B256, U256};
use engine::config::{Displaced, TxmgrConfig};
use engine::txmgr::order::CANCELLED;
use engine::view::{Status, TransactionView};
use storage::read;
use uuid::Uuid;

use crate::chain::STRANGER;
use crate::feed::feed;
use crate::load::{Book, Plan, recipient};
use crate::meddler::{kept, nothing_blocked};
use crate::node::Node;
use crate::store::MemoryStore;

/// Every promise, checked against the simulated chain and the store; the first one broken, in words.
pub(crate) fn invariants(book: &Book, plan: &Plan, node: &Node, store: &MemoryStore, txmgr: &TxmgrConfig) -> Result<(), String> {
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
    nothing_blocked(store)?;
    feed(book, store, txmgr.required_confirmations)?;
    statuses(book, plan, node, &mined, store, txmgr)
}

/// Recipient → block (number and hash), transaction hash and wei of each time it was reached.
type Executions = BTreeMap<Address, Vec<(u64, B256, B256, U256)>>;

fn executions(node: &Node) -> Executions {
    let mut mined = Executions::new();
    for (number, block) in (0_u64..).zip(node.blocks()) {
        for known in block.transactions {
            mined.entry(known.to.unwrap_or_default()).or_default().push((number, block.hash, known.hash, known.value));
        }
    }
    mined
}

/// What the store reports is what the chain holds, and nothing is left to do.
fn statuses(book: &Book, plan: &Plan, node: &Node, mined: &Executions, store: &MemoryStore, txmgr: &TxmgrConfig) -> Result<(), String> {
    for (number, id) in &book.accepted {
        let receipt = read::receipt(store, *id).map_err(|error| error.to_string())?;
        let view = TransactionView::read(store, *id, txmgr.required_confirmations).map_err(|error| error.to_string())?;
        let status = view.as_ref().map(TransactionView::status);
        let reported = receipt.map(|receipt| (receipt.block_number, receipt.block_hash, receipt.transaction_hash));
        let executed = mined.get(&recipient(*number)).map(|times| times[0]);
        kept(&book.orders, store, *number, *id, executed.map(|executed| executed.3))?;
        if let Some((block, hash, transaction, _)) = executed {
            let executed = (block, hash, transaction);
            if status != Some(Status::Confirmed) || reported != Some(executed) {
                return Err(format!("number {number} ({id}) is reported as {status:?} in {reported:?} and is confirmed in {executed:?}"));
            }
            continue;
        }
        // Not executed: the node called it invalid, or it was displaced and that is to end it. Its nonce went to a transfer to oneself or
        // to the other wallet.
        let holds = |to: &Address, hash: &B256| mined.get(to).is_some_and(|times| times.iter().any(|(_, _, mined, _)| mined == hash));
        let closed = reported.is_some_and(|(_, _, hash)| holds(&plan.request(*number).from, &hash));
        let rivals = read::rivals(store, *id).map_err(|error| error.to_string())?;
        let displaced = rivals.last().is_some_and(|rival| holds(&STRANGER, &rival.transaction_hash));
        let invalid = node.refused(&recipient(*number));
        let reason = view.as_ref().and_then(|view| view.failure.as_ref()).map_or("", |failure| failure.reason.as_str());
        let bound = view.as_ref().is_some_and(|view| !view.attempts.is_empty());
        // Cancelled by order, and then either never bound, or its nonce is with something else.
        let cancelled = book.orders.cancelled.contains_key(number) && reason == CANCELLED && (!bound || closed || displaced);
        // One of those that it depends on has failed, and is named.
        let depends_on = book.depends_on.get(number).into_iter().flatten();
        let mut named = depends_on.filter(|dependency| reason.contains(&dependency.to_string()));
        let cascaded = named.any(|dependency| failed(store, *dependency)) && !bound;
        let allowed = cancelled || cascaded || invalid && (closed || displaced) || displaced && txmgr.displaced == Displaced::Fail;
        if status != Some(Status::FatalError) || !allowed {
            return Err(format!(
                "number {number} ({id}) is reported as {status:?} and was never executed; called invalid: {invalid}, closed: {closed}, displaced: {displaced}, cancelled: {cancelled}, cascaded: {cascaded} ({reason}); {}",
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

/// This one has ended without being mined.
fn failed(store: &MemoryStore, id: Uuid) -> bool {
    read::failures(store, &[id]).is_ok_and(|failures| failures.iter().any(Option::is_some))
}

/// Who holds the nonces of a request on chain.
fn holders(node: &Node, store: &MemoryStore, id: Uuid, from: &Address) -> String {
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
