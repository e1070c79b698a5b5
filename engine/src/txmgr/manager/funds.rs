//! Funds: who may bind, who has to wait for money, and how an address goes on when it comes (row A11).
//!
//! | what happens | what follows |
//! |---|---|
//! | the next to bind costs more than is left | the balance is read; if that is so, the address waits |
//! | the node refuses bound bytes for want of funds | they are held; the balance is read; the same bytes go out when it suffices |
//! | a higher price costs more than is left | the increase is held, the earlier bytes stay; signed when the balance suffices |
//! | a new head | the balances of all that wait are read, in full batches |
//! | the node does not tell a balance | what `txmgr.balance_unavailable` says |
//!
//! [`Manager::settle_funds`] is the one place where an address begins and ends to wait for money.

use std::time::Duration;

use alloy::primitives::{Address, U256};

use super::super::balance::Unavailable;
use super::super::event::{Action, Counted, Now, SeenReceipt, Slot};
use super::super::transaction::{Held, Short};
use super::Manager;
use crate::sabotage::{self, Sabotage};

/// An address that has had nothing to do for a while has its balance read anew if it is older than this.
const TRUSTED_FOR: Duration = Duration::from_secs(60);

impl Manager {
    /// How long a balance is trusted to be too low on a chain that makes no blocks.
    const fn still(&self) -> Duration {
        Duration::from_millis(self.settings.txmgr.stage_retry_ms)
    }

    /// Asks for the balance of an address, if there may be something new.
    pub(super) fn ask_balance(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        let (head, still) = (self.head, self.still());
        let open = self.node_healthy && self.caught_up;
        let address = self.at(number);
        if open && address.balance.may_ask(head, now.elapsed, still) {
            address.balance.asked();
            actions.push(Action::FetchBalance(address.address));
        }
    }

    /// With the first question for a nonce goes the one for the balance, unless gas costs nothing here. What is known already is read
    /// again when it does not suffice, when a node says so, or when it is old: another wallet may have used it.
    pub(super) fn ask_balance_with_nonce(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        if self.settings.gas.max_fee_per_gas != Some(0) && !self.addresses[number as usize].balance.is_recent(now.elapsed, TRUSTED_FOR) {
            self.ask_balance(number, now, actions);
        }
    }

    /// True if what costs this much can be bound now.
    pub(super) fn covers(&self, number: u32, cost: U256) -> bool {
        let balance = &self.addresses[number as usize].balance;
        let untold = balance.failures() > 0 && self.settings.txmgr.balance_unavailable == Unavailable::Continue;
        balance.covers(cost) || (untold && cost < U256::MAX)
    }

    /// As [`Self::covers`] for the front of the queue: where it is not covered the address waits, and the balance is read.
    pub(super) fn covers_front(&mut self, number: u32, cost: U256, now: Now, actions: &mut Vec<Action>) -> bool {
        let covered = self.covers(number, cost);
        if !covered {
            self.ask_balance(number, now, actions);
        }
        let balance = &mut self.at(number).balance;
        // Until the first answer is there nothing is known to be missing.
        let short = !covered && (balance.known().is_some() || balance.failures() > 0);
        balance.wants(short.then_some(cost));
        if short {
            self.wake_to_ask(number, now);
        }
        self.settle_funds(number, now, actions);
        covered
    }

    /// The queue is empty: nothing is next, so nothing is missing for it.
    pub(super) fn nothing_is_next(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        let address = self.at(number);
        address.other_kind = false;
        address.balance.wants(None);
        self.settle_funds(number, now, actions);
    }

    /// Where an address begins and ends to wait for money: told once, with the reason.
    fn settle_funds(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        // Who waits does not come to the front of its queue again by itself: what was next is looked at here.
        let next = self.addresses[number as usize].balance.next();
        if next.is_some_and(|cost| self.covers(number, cost)) {
            self.at(number).balance.wants(None);
        }
        let address = &mut self.addresses[number as usize];
        let (from, news) = (address.address, address.balance.news());
        match news {
            None => {}
            Some(Some(shortage)) => {
                self.unfunded.insert(number);
                tracing::warn!(%from, %shortage, "the address waits for funds; it goes on by itself when they suffice");
                actions.push(Action::Count(Counted::WaitingForFunds(1)));
                self.lacks_funds(number, now);
            }
            Some(None) => {
                self.unfunded.remove(&number);
                tracing::info!(%from, "the address no longer waits for funds");
                actions.push(Action::Count(Counted::WaitingForFunds(-1)));
                self.funded(number, now, actions);
            }
        }
    }

    /// A new head: every address that waits for money has its balance read.
    pub(super) fn funds_at_head(&mut self, now: Now, actions: &mut Vec<Action>) {
        for number in self.unfunded.clone() {
            if sabotage::on(Sabotage::FundsNotLookedAtAgain) {
                continue;
            }
            self.at(number).balance.new_head();
            self.ask_balance(number, now, actions);
        }
    }

    /// What is bound and waits for money has the balance read, if it is time.
    pub(super) fn funds_again(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        let balance = &self.at(number).balance;
        if (balance.held() > 0 || balance.next().is_some()) && !sabotage::on(Sabotage::FundsNotLookedAtAgain) {
            self.ask_balance(number, now, actions);
            self.wake_to_ask(number, now);
        }
    }

    fn wake_to_ask(&mut self, number: u32, now: Now) {
        let still = self.still();
        if let Some(at) = self.at(number).balance.ask_at(now.elapsed, still) {
            self.wake(number, at);
        }
    }

    /// The node has told a balance, in wei, or has not.
    pub(super) fn balance_read(&mut self, address: Address, wei: Option<U256>, now: Now, actions: &mut Vec<Action>) {
        let number = self.number(address);
        match wei {
            Some(wei) => {
                let head = self.head;
                self.at(number).balance.told(wei, head, now.elapsed);
                self.recount(number);
                self.release_funds_held(number, false, now, actions);
            }
            None => self.balance_untold(number, now, actions),
        }
        self.settle_funds(number, now, actions);
        self.chain_answered(number, now, actions);
        self.pump(number, now, actions);
    }

    fn balance_untold(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        let config = &self.settings.txmgr;
        let (policy, tries) = (config.balance_unavailable, config.submit_tries);
        let failures = self.at(number).balance.failures() + 1;
        let again_at = now.elapsed + self.backoff(failures, u64::from(number));
        let address = self.at(number);
        address.balance.untold(again_at);
        let from = address.address;
        if failures.is_power_of_two() {
            tracing::warn!(%from, failures, ?policy, "the node does not tell the balance of the address; it is asked again");
        }
        match policy {
            Unavailable::Stop if failures >= tries => {
                address.balance.stop();
                tracing::error!(%from, failures, "the address stops, because its balance cannot be read; resume it by hand");
            }
            Unavailable::Continue => self.release_funds_held(number, true, now, actions),
            Unavailable::Stop | Unavailable::Wait => {}
        }
        self.wake(number, again_at);
    }

    /// Counts anew what is reserved and what is held.
    pub(super) fn recount(&mut self, number: u32) {
        let address = self.at(number);
        let open = || address.in_flight.iter().filter(|tx| !tx.taken());
        let reserved = open().fold(U256::ZERO, |sum, tx| sum.saturating_add(tx.cost));
        let held = open().filter(|tx| tx.short != Short::No).count();
        address.balance.recount(reserved, u32::try_from(held).unwrap_or(u32::MAX));
    }

    /// Lets go what the balance covers now, lowest nonce first; all of it where balances are not to be waited for.
    fn release_funds_held(&mut self, number: u32, all: bool, now: Now, actions: &mut Vec<Action>) {
        let address = self.at(number);
        if address.balance.held() == 0 || address.balance.shortage().is_some_and(|shortage| shortage.stopped) {
            return;
        }
        let (mut before, mut free, base) = (U256::ZERO, Vec::new(), address.base);
        let known = address.balance.known().unwrap_or_default();
        for (nonce, tx) in (base..).zip(&mut address.in_flight).filter(|(_, tx)| !tx.taken()) {
            before = before.saturating_add(tx.cost);
            let go = match tx.short {
                Short::No => continue,
                Short::Send => before <= known,
                Short::Increase(more) => address.balance.fits(more),
            };
            if go || all {
                // The market may have changed meanwhile: the increase is looked at anew.
                tx.resubmit_due |= matches!(tx.short, Short::Increase(_));
                tx.short = Short::No;
                tx.held = tx.held.take().filter(|held| !matches!(**held, Held::Funds { .. }));
                free.push(Slot { address: number, nonce });
            }
        }
        self.recount(number);
        for slot in free {
            self.advance(slot, now, actions);
        }
    }

    /// The node says that the address cannot pay for these bytes: they are held until the balance, read again, suffices.
    pub(super) fn refused_for_funds(&mut self, slot: Slot, message: &str, now: Now, actions: &mut Vec<Action>) {
        self.hold(slot, Short::Send, message.to_owned());
        // Once; after that the heads are what brings news.
        if self.get_mut(slot).is_some_and(|tx| tx.failures == 1) {
            self.at(slot.address).balance.doubt();
        }
        self.funds_again(slot.address, now, actions);
        self.settle_funds(slot.address, now, actions);
    }

    fn hold(&mut self, slot: Slot, why: Short, message: String) {
        let address = self.at(slot.address);
        let Some(tx) = address.get_mut(slot.nonce) else { return };
        tx.held = Some(Box::new(Held::Funds { message }));
        if std::mem::replace(&mut tx.short, why) == Short::No {
            address.balance.hold();
        }
    }

    /// Reserves for an attempt at a higher price, which costs this much at most. False if the balance does not cover it: the increase is held until it does.
    pub(super) fn raise(&mut self, slot: Slot, cost: U256, now: Now, actions: &mut Vec<Action>) -> bool {
        let continues = self.settings.txmgr.balance_unavailable == Unavailable::Continue;
        let address = self.at(slot.address);
        let Some(tx) = address.in_flight.get_mut(usize::try_from(slot.nonce - address.base).expect("in memory")) else { return false };
        let more = cost.saturating_sub(tx.cost);
        let balance = &mut address.balance;
        if more.is_zero() || balance.fits(more) || (continues && balance.failures() > 0) {
            tx.cost = tx.cost.saturating_add(more);
            balance.reserve(more);
            if std::mem::replace(&mut tx.short, Short::No) != Short::No {
                self.recount(slot.address);
            }
            return true;
        }
        let (id, available) = (tx.id, balance.known());
        let needed = balance.reserved().saturating_add(more);
        tracing::warn!(%id, nonce = slot.nonce, %needed, ?available, "held: the balance does not cover a higher price; the earlier one stays");
        let has = available.map_or_else(|| "an unknown balance".to_owned(), |wei| format!("{wei} wei"));
        self.hold(slot, Short::Increase(more), format!("a higher price needs {needed} wei and it has {has}"));
        self.funds_again(slot.address, now, actions);
        self.settle_funds(slot.address, now, actions);
        false
    }

    /// A block holds the transaction, which moves this much: what it really cost is gone, what was reserved for it is free.
    pub(super) fn paid(&mut self, slot: Slot, value: U256, receipt: &SeenReceipt) {
        let address = &mut self.addresses[slot.address as usize];
        let Some(tx) = address.in_flight.get_mut(usize::try_from(slot.nonce - address.base).expect("in memory")) else { return };
        let value = if receipt.success { value } else { U256::ZERO };
        let gas = U256::from(receipt.effective_gas_price) * U256::from(receipt.gas_used);
        let balance = &mut address.balance;
        // What blobs cost stands in no receipt that is read: all that was reserved counts as gone until the balance is read again.
        balance.spent(if address.blobs { tx.cost } else { gas.saturating_add(value) });
        balance.release(tx.cost);
        if address.blobs {
            balance.doubt();
        }
        if std::mem::replace(&mut tx.short, Short::No) != Short::No {
            self.recount(slot.address);
        }
    }

    /// Blocks have left the chain, and what they took with them: the balance has to be read.
    pub(super) fn unpaid(&mut self, number: u32, now: Now, actions: &mut Vec<Action>) {
        self.at(number).balance.forget();
        self.recount(number);
        self.ask_balance(number, now, actions);
    }
}
