//! Managers to measure, and what drives them: a node and a store that always say yes.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256, Bytes, U256, keccak256};
use engine::config::{GasConfig, TxmgrConfig};
use engine::txmgr::outcome::Outcome;
use engine::txmgr::{
    Accept, Action, Event, Manager, Now, Recovered, ReplyTo, SeenBlock, SeenReceipt, SendEnd, Settings, SignJob, Signed, Waiter,
};
use storage::{Place, Record};

use crate::transfer::accept;

/// A manager that can bind at once for each of the addresses, with slots for so many of them (`None`: the default).
#[must_use]
pub fn manager(addresses: &[Address], slots: Option<usize>) -> Manager {
    let default = TxmgrConfig::default();
    let txmgr = TxmgrConfig { finality_depth: 1, max_orchestrators: slots.unwrap_or(default.max_orchestrators), ..default };
    let mut manager = ready(txmgr);
    let mut actions = Vec::new();
    for address in addresses {
        manager.handle(Event::Balance(*address, Some(U256::MAX)), Now::default(), &mut actions);
        manager.handle(Event::ChainNonce(*address, Some(0)), Now::default(), &mut actions);
    }
    manager
}

/// A manager whose node answers and whose chain has been read.
fn ready(txmgr: TxmgrConfig) -> Manager {
    let settings = Settings { gas: GasConfig::default(), txmgr, lanes: 4, batch_calls: 200, batch_bytes: 1 << 20 };
    let mut manager = Manager::new(settings);
    let mut actions = Vec::new();
    let now = Now::default();
    manager.handle(Event::Node { healthy: true, chain_id: Some(31_337) }, now, &mut actions);
    manager.handle(Event::BlockStored { number: 1, newest: true }, now, &mut actions);
    manager
}

/// A manager whose store holds `each` waiting transfers for each of the addresses; all but `slots` of them stand in line, and each
/// may have one transfer in flight. Also what it asks for first.
#[must_use]
pub fn crowd(addresses: &[Address], each: u64, slots: usize) -> (Manager, Vec<Action>) {
    let mut manager = ready(TxmgrConfig { finality_depth: 1, max_orchestrators: slots, max_in_flight: 1, ..TxmgrConfig::default() });
    let mut actions = Vec::new();
    for address in addresses {
        let last_queue_number = Some(each - 1);
        let recovered =
            Recovered { address: *address, floor: 0, bound: Vec::new(), paused_until: None, last_queue_number, waiting_count: each };
        manager.handle(Event::Recovered(recovered), Now::default(), &mut actions);
        manager.handle(Event::Balance(*address, Some(U256::MAX)), Now::default(), &mut actions);
        // A chain that every one of them has a transaction count on already.
        manager.handle(Event::ChainNonce(*address, Some(0)), Now::default(), &mut actions);
    }
    (manager, actions)
}

/// Answers everything the manager has asked for, to the end of one turn of everyone with a slot: read one transfer, bind it, send it, and
/// see it in block number `block`. With their windows full they make room for the next in line, and stand behind it.
pub fn turn(manager: &mut Manager, actions: &mut Vec<Action>, block: u64, sign: impl Fn(&SignJob) -> Signed) -> usize {
    let now = Now::default();
    let mut receipts = Vec::new();
    // Read, commit, send, answer: after that everyone with a slot has sent, and the next ones read.
    for _ in 0..3 {
        for action in std::mem::take(actions) {
            let event = match action {
                Action::Load { address, after, .. } => {
                    let number = after.map_or(0, |after| after + 1);
                    let accept = accept(address, number);
                    // A full page says that there may be more.
                    let waiters = (0..256).map(|more| Waiter { queue_number: number + more, id: accept.id, row: accept.row.clone() });
                    Event::Loaded(address, Some(waiters.collect()))
                }
                Action::Commit { ticket, .. } => Event::Durable { ticket },
                Action::Send { lane, attempts } => {
                    receipts.extend(attempts.iter().filter_map(|(slot, raw)| Some(receipt(manager.address(*slot)?, raw))));
                    let took = SendEnd::Answered(Outcome::SubmittedNew, String::new());
                    Event::Sent { lane, ends: attempts.into_iter().map(|(slot, _)| (slot, took.clone())).collect(), pause: None }
                }
                _ => continue,
            };
            manager.handle(event, now, actions);
        }
        let jobs = manager.sign();
        manager.handle(Event::Signed(jobs.iter().map(&sign).collect()), now, actions);
        manager.flush(now, actions);
    }
    let mined = receipts.len();
    manager.handle(
        Event::Block(SeenBlock { number: block, hash: B256::ZERO, seen_at: 1, receipts, authorizations: Vec::new() }),
        now,
        actions,
    );
    manager.handle(Event::BlockStored { number: block, newest: true }, now, actions);
    mined
}

/// Takes transfers from accept to archive through the manager: signed by `sign`, answered by a node and a store that always
/// say yes. `block` is the number of the block that holds them.
pub fn walk(manager: &mut Manager, accepts: Vec<Accept>, block: u64, sign: impl Fn(&SignJob) -> Signed) {
    let now = Now::default();
    let count = accepts.len();
    let mut actions = Vec::new();
    let mut queued: BTreeMap<Address, Vec<Waiter>> = BTreeMap::new();
    for (index, accept) in (0_u32..).zip(accepts) {
        manager.handle(Event::Submit(accept, ReplyTo { batch: block, index }), now, &mut actions);
    }
    let jobs = manager.sign();
    manager.handle(Event::Signed(jobs.iter().map(&sign).collect()), now, &mut actions);
    manager.flush(now, &mut actions);
    let mut receipts = Vec::new();
    while !actions.is_empty() {
        for action in std::mem::take(&mut actions) {
            match action {
                Action::Commit { ticket, records } => {
                    for record in records {
                        if let Record::Accepted { id, transaction: row, .. } = record
                            && let Place::Line(queue_number) = row.place
                        {
                            queued.entry(row.request.from).or_default().push(Waiter { queue_number, id, row });
                        }
                    }
                    manager.handle(Event::Durable { ticket }, now, &mut actions);
                }
                Action::Load { address, .. } => {
                    let waiters = queued.remove(&address).unwrap_or_default();
                    manager.handle(Event::Loaded(address, Some(waiters)), now, &mut actions);
                }
                Action::Send { lane, attempts } => {
                    receipts.extend(attempts.iter().filter_map(|(slot, raw)| Some(receipt(manager.address(*slot)?, raw))));
                    let took = SendEnd::Answered(Outcome::SubmittedNew, String::new());
                    let ends = attempts.into_iter().map(|(slot, _)| (slot, took.clone())).collect();
                    manager.handle(Event::Sent { lane, ends, pause: None }, now, &mut actions);
                }
                _ => {}
            }
        }
        let jobs = manager.sign();
        manager.handle(Event::Signed(jobs.iter().map(&sign).collect()), now, &mut actions);
        manager.flush(now, &mut actions);
        actions.retain(|action| matches!(action, Action::Commit { .. } | Action::Send { .. } | Action::Load { .. }));
    }
    assert_eq!(receipts.len(), count, "each was bound and sent");
    manager.handle(
        Event::Block(SeenBlock { number: block, hash: B256::ZERO, seen_at: 1, receipts, authorizations: Vec::new() }),
        now,
        &mut actions,
    );
    manager.handle(Event::BlockStored { number: block, newest: true }, now, &mut actions);
}

/// The receipt of the attempt `raw`, mined.
#[must_use]
pub fn receipt(from: Address, raw: &Bytes) -> SeenReceipt {
    SeenReceipt {
        from,
        transaction_hash: keccak256(raw),
        transaction_index: 0,
        success: true,
        gas_used: 21_000,
        effective_gas_price: 1,
        contract_address: None,
        authorizes: false,
    }
}
