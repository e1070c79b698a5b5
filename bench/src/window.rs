//! An address whose window is full: each transfer that is mined makes room for one that waits.

use std::collections::VecDeque;

use alloy::primitives::{Address, B256};
use engine::config::TxmgrConfig;
use engine::txmgr::outcome::Outcome;
use engine::txmgr::{Action, Event, Manager, Now, ReplyTo, SeenBlock, SeenReceipt, SendEnd, Waiter};
use storage::{Place, Record};

use crate::manager::{manager, receipt};
use crate::transfer::{accept, unsigned};

/// Transfers that wait behind the window: more than one page of reading.
const BACKLOG: u64 = 512;

/// Transfers of one step: half a window, so that none stays in flight for so many blocks that it is sent again.
pub const STEP: u64 = 250;

/// One address with as many transfers in flight as it may have, and a line behind them.
pub struct FullWindow {
    manager: Manager,
    from: Address,
    actions: Vec<Action>,
    waiting: VecDeque<Waiter>,
    in_flight: VecDeque<SeenReceipt>,
    number: u64,
    block: u64,
}

impl FullWindow {
    /// A window of the default size, full.
    ///
    /// # Panics
    /// If the window does not fill.
    #[must_use]
    pub fn new() -> Self {
        let from = Address::repeat_byte(0xaa);
        let manager = manager(&[from], None);
        let (actions, waiting, in_flight) = (Vec::new(), VecDeque::new(), VecDeque::new());
        let mut window = Self { manager, from, actions, waiting, in_flight, number: 0, block: 1 };
        let size = TxmgrConfig::default().max_in_flight;
        for _ in 0..size as u64 + BACKLOG {
            window.submit();
        }
        window.settle();
        assert_eq!(window.in_flight.len(), size, "the window is full");
        window
    }

    /// A block: [`STEP`] transfers in, as many mined and archived, as many bound and sent.
    ///
    /// # Panics
    /// If the window does not stay full.
    pub fn step(&mut self) {
        let before = self.in_flight.len();
        for _ in 0..STEP {
            self.submit();
        }
        self.block += 1;
        let receipts = self.in_flight.drain(..STEP as usize).collect();
        let seen = SeenBlock { number: self.block, hash: B256::ZERO, seen_at: 1, receipts, authorizations: Vec::new() };
        self.tell(Event::Block(seen));
        self.tell(Event::BlockStored { number: self.block, newest: true });
        self.settle();
        assert_eq!(self.in_flight.len(), before, "the window stays full");
    }

    fn tell(&mut self, event: Event) {
        self.manager.handle(event, Now::default(), &mut self.actions);
    }

    fn submit(&mut self) {
        let reply_to = ReplyTo { batch: self.number, index: 0 };
        self.tell(Event::Submit(accept(self.from, self.number), reply_to));
        self.number += 1;
    }

    /// Carries out all that is asked for.
    fn settle(&mut self) {
        loop {
            let jobs = self.manager.sign();
            self.tell(Event::Signed(jobs.iter().map(unsigned).collect()));
            self.manager.flush(Now::default(), &mut self.actions);
            if self.actions.is_empty() {
                return;
            }
            for action in std::mem::take(&mut self.actions) {
                self.carry_out(action);
            }
        }
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Commit { ticket, records } => {
                for record in records {
                    if let Record::Accepted { id, transaction: row, .. } = record
                        && let Place::Line(queue_number) = row.place
                    {
                        self.waiting.push_back(Waiter { queue_number, id, row });
                    }
                }
                self.tell(Event::Durable { ticket });
            }
            Action::Load { address, limit, .. } => {
                let page = self.waiting.drain(..limit.min(self.waiting.len())).collect();
                self.tell(Event::Loaded(address, Some(page)));
            }
            Action::Send { lane, attempts } => {
                let receipts = attempts.iter().filter_map(|(slot, raw)| Some(receipt(self.manager.address(*slot)?, raw)));
                self.in_flight.extend(receipts);
                let took = SendEnd::Answered(Outcome::SubmittedNew, String::new());
                let ends = attempts.into_iter().map(|(slot, _)| (slot, took.clone())).collect();
                self.tell(Event::Sent { lane, ends, pause: None });
            }
            _ => {}
        }
    }
}

impl Default for FullWindow {
    fn default() -> Self {
        Self::new()
    }
}
