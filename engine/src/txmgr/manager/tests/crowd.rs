//! A hundred thousand addresses with work, and a few slots: all progress, the one that has waited longest first (row A2).

use std::collections::VecDeque;

use super::super::super::event::Waiter;
use super::*;

const ADDRESSES: u32 = 100_000;
const SLOTS: usize = 64;
/// Most in flight for one address: what it can do in one turn.
const WINDOW: u64 = 2;

/// What an address had to do at first: five turns of work for one in a thousand, a turn and a half for all others.
const fn work(number: u32) -> u64 {
    if number.is_multiple_of(1000) { 5 * WINDOW } else { WINDOW + 1 }
}

fn address(number: u32) -> Address {
    let mut address = Address::repeat_byte(0x11);
    address[16..].copy_from_slice(&number.to_be_bytes());
    address
}

fn number(address: &Address) -> u32 {
    u32::from_be_bytes(address[16..].try_into().expect("four bytes"))
}

/// The shard, the disk, the node and the chain of all of them.
struct Crowd {
    desk: Desk,
    todo: VecDeque<Action>,
    /// Queue numbers that are bound, by address: the next one, and so the chain's count too.
    bound: Vec<u64>,
    /// Who has bound something since the newest block, in order.
    turns: Vec<u32>,
    /// The block before which an address last did.
    turn_at: Vec<Option<u64>>,
    pooled: Vec<SeenReceipt>,
    block: u64,
}

impl Crowd {
    fn new() -> Self {
        let mut desk = Desk::ready(TxmgrConfig { max_orchestrators: SLOTS, max_in_flight: WINDOW as usize, ..TxmgrConfig::default() });
        let mut todo = VecDeque::new();
        for number in 0..ADDRESSES {
            let (from, waiting_count) = (address(number), work(number));
            let last_queue_number = Some(waiting_count - 1);
            let recovered = Recovered { address: from, floor: 0, bound: Vec::new(), paused_until: None, last_queue_number, waiting_count };
            todo.extend(desk.run([Event::Recovered(recovered)]));
        }
        Self {
            desk,
            todo,
            bound: vec![0; ADDRESSES as usize],
            turns: Vec::new(),
            turn_at: vec![None; ADDRESSES as usize],
            pooled: Vec::new(),
            block: 11,
        }
    }

    /// Answers everything that is asked for until nothing is.
    fn settle(&mut self) {
        while let Some(action) = self.todo.pop_front() {
            let event = match action {
                Action::FetchNonce(from, _) => Event::ChainNonce(from, Some(self.bound[number(&from) as usize])),
                Action::Load { address: from, after, .. } => {
                    let first = after.map_or(0, |after| after + 1);
                    let waiter = |queue_number: u64| {
                        let id = Uuid::from_u128(u128::from(number(&from)) << 64 | u128::from(queue_number + 1));
                        let mut row = accept(0).row;
                        row.request.from = from;
                        Waiter { queue_number, id, row }
                    };
                    Event::Loaded(from, Some((first..work(number(&from))).map(waiter).collect()))
                }
                Action::Commit { ticket, records } => {
                    for record in &records {
                        let Record::Bound { from, queue_number: Some(queue_number), .. } = record else { panic!("{record:?}") };
                        let bound = &mut self.bound[number(from) as usize];
                        assert_eq!(*bound, *queue_number, "in the order of the queue");
                        *bound += 1;
                        if self.turn_at[number(from) as usize].replace(self.block) != Some(self.block) {
                            self.turns.push(number(from));
                        }
                    }
                    Event::Durable { ticket }
                }
                Action::Send { lane, attempts } => {
                    let took = |(slot, raw): (super::super::Slot, Bytes)| {
                        let from = self.desk.manager.address(slot).expect("known");
                        self.pooled.push(SeenReceipt { from, ..receipt(alloy::primitives::keccak256(&raw)) });
                        (slot, SendEnd::Answered(Outcome::SubmittedNew, String::new()))
                    };
                    Event::Sent { lane, ends: attempts.into_iter().map(took).collect(), pause: None }
                }
                _ => continue,
            };
            self.todo.extend(self.desk.run([event]));
        }
        assert!(self.desk.manager.pool.holders().count() <= SLOTS, "never more than there are slots");
    }

    /// A block with everything that was sent.
    fn seal(&mut self) {
        let (number, receipts) = (self.block, std::mem::take(&mut self.pooled));
        self.block += 1;
        let block = SeenBlock { number, hash: B256::ZERO, seen_at: 9, receipts, authorizations: Vec::new() };
        self.todo.extend(self.desk.run([Event::Block(block)]));
        self.todo.extend(self.desk.run([Event::BlockStored { number, newest: true }]));
    }
}

#[test]
fn each_of_a_hundred_thousand_addresses_is_let_in_once_a_round_of_the_line() {
    let mut crowd = Crowd::new();
    for round in 0.. {
        let with_work: Vec<u32> = (0..ADDRESSES).filter(|number| crowd.bound[*number as usize] < work(*number)).collect();
        if with_work.is_empty() {
            assert_eq!(round, 5, "as many as the longest work takes");
            break;
        }
        crowd.settle();
        // They came into the line in this order, at the start and with each block. Only the last ones to have had a slot may have come into
        // it earlier: their slots are taken from them when the block comes, one for each of the first ones that enter.
        let turns = std::mem::take(&mut crowd.turns);
        let mut places = vec![None; ADDRESSES as usize];
        for (place, number) in turns.iter().enumerate() {
            places[*number as usize] = Some(place);
        }
        assert_eq!(turns.len(), with_work.len(), "round {round}: as many turns as have work");
        let earlier = if round == 0 { 0 } else { SLOTS };
        for (before, number) in with_work.iter().enumerate() {
            let place = places[*number as usize].expect("it had work and a turn");
            assert!(place <= before + earlier, "round {round}: {number} stood behind {before} and was number {place} to have a turn");
        }
        crowd.seal();
    }
}
