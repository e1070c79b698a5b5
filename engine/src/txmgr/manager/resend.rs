//! Which addresses have an oldest transaction that blocks keep leaving out: looked at by the block it falls due, not by going through all.

use super::super::event::Slot;
use super::super::transaction::Work;
use super::Manager;

impl Manager {
    /// A transaction of the address is with a node since this head: its oldest is looked at some blocks later.
    pub(super) fn resend_later(&mut self, number: u32, head: u64) {
        self.resend_at(number, head + self.settings.txmgr.resend_after_blocks);
    }

    fn resend_at(&mut self, number: u32, due: u64) {
        let address = self.at(number);
        if address.resend_due.is_none() {
            address.resend_due = Some(due);
            self.resends.entry(due).or_default().push(number);
        }
    }

    /// The oldest unconfirmed transactions that are overdue at the present head.
    pub(super) fn overdue(&mut self) -> Vec<Slot> {
        let (head, after) = (self.head, self.settings.txmgr.resend_after_blocks);
        let later = self.resends.split_off(&(head + 1));
        let due = std::mem::replace(&mut self.resends, later);
        let mut slots = Vec::new();
        for number in due.into_values().flatten() {
            let address = self.at(number);
            address.resend_due = None;
            let Some(nonce) = address.oldest_unconfirmed() else { continue };
            // One that is not with a node comes here again once it is.
            let Some(tx) = address.get(nonce) else { continue };
            let Some(since) = tx.sent_before_block else { continue };
            let at_rest = tx.submitted && tx.work == Work::None;
            if !at_rest {
                self.resend_at(number, head + 1);
            } else if head >= since + after {
                slots.push(Slot { address: number, nonce });
                self.resend_later(number, head);
            } else {
                self.resend_later(number, since);
            }
        }
        slots
    }

    /// The chain is shorter: what would fall due above its new end falls due as if sent there.
    pub(super) fn resend_rewound(&mut self, to: u64) {
        let latest = to + self.settings.txmgr.resend_after_blocks;
        let moved: Vec<u32> = self.resends.split_off(&(latest + 1)).into_values().flatten().collect();
        for number in &moved {
            self.at(*number).resend_due = Some(latest);
        }
        if !moved.is_empty() {
            self.resends.entry(latest).or_default().extend(moved);
        }
    }
}
