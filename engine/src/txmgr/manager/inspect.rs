//! Answers to people's questions; nothing here changes anything.

use alloy::primitives::Address;

use super::super::inspect::{AddressView, Asked, LiveTransaction};
use super::super::orchestrator::state::State;
use super::super::orchestrator::{NonceState, Orchestrator};
use super::super::stage::Stage;
use super::Manager;
use super::pause::NO_END;
use super::slots::Blocked;

impl Manager {
    /// What is known of an address; one that nothing was ever asked of is `stopped`.
    #[must_use]
    pub fn inspect_address(&self, address: Address) -> AddressView {
        let number = self.numbers.get(&address).copied();
        let max_in_flight = self.settings.txmgr.max_in_flight_of(&address);
        let fresh = Orchestrator::new(address, 0, max_in_flight);
        let known = number.map_or(&fresh, |number| &self.addresses[number as usize]);
        AddressView {
            address,
            state: known.state,
            reason: number.and_then(|number| self.reason(number)),
            paused_until: known.paused_until,
            has_slot: known.standing.has_slot(),
            place_in_line: self.pool.place(&known.standing),
            next_nonce: matches!(known.nonce, NonceState::Known).then(|| known.next_nonce()),
            next_nonce_at_least: known.next_nonce(),
            window: known.window_size(),
            max_in_flight,
            in_flight: known.unconfirmed,
            waiting: known.waiting.count(),
        }
    }

    /// What is known of an open transaction; `None` if the shard has it no longer.
    #[must_use]
    pub fn inspect_transaction(&self, asked: &Asked) -> Option<LiveTransaction> {
        let number = *self.numbers.get(&asked.from)?;
        let address = &self.addresses[number as usize];
        let tail = || address.in_flight.iter().rev().take_while(|tx| !tx.is_bound()).find(|tx| tx.id == asked.id).map(Box::as_ref);
        let bound = asked.nonce.and_then(|nonce| address.get(nonce)).filter(|tx| tx.id == asked.id);
        if let Some(tx) = bound.or_else(tail) {
            return Some(LiveTransaction {
                stage: tx.live_stage(),
                held: tx.held.as_ref().map(ToString::to_string),
                answered: tx.sent_at > 0,
                broadcast: tx.attempts.iter().filter(|mark| mark.broadcast).map(|mark| mark.hash).collect(),
            });
        }
        if asked.nonce.is_some() {
            return None;
        }
        let front = address.waiting.buffer.front().is_some_and(|front| front.id == asked.id);
        let stage = if front && self.price_waiters.contains(&number) { Stage::RetrieveGasPrice } else { Stage::Queued };
        let held = self.reason(number).filter(|_| self.blocked(number).is_some() || !self.binds());
        Some(LiveTransaction { stage, held, answered: false, broadcast: Vec::new() })
    }

    /// Nothing keeps all addresses from binding.
    const fn binds(&self) -> bool {
        self.node_healthy && self.caught_up && self.store_healthy
    }

    /// Why an address with work binds nothing now.
    fn reason(&self, number: u32) -> Option<String> {
        let address = &self.addresses[number as usize];
        let bound = address.unconfirmed;
        let own = self.blocked(number).map(|blocked| match blocked {
            Blocked::Paused => match address.paused_until {
                Some(NO_END) | None => "paused by hand, until it is resumed".to_owned(),
                Some(until) => format!("paused by hand until {} ms after the Unix epoch", until / 1000),
            },
            Blocked::Funds => "its balance does not cover what is next; add funds to it".to_owned(),
            Blocked::Stale => "stale: it was tried for stale_timeout_ms and nothing went on; it is tried again".to_owned(),
            Blocked::Displaced(nonce) => format!("nonce {nonce} was used on chain by no transaction of ours; another wallet has the key"),
            Blocked::ChainAhead => "the chain's nonce is ahead of ours; what is bound has to end first".to_owned(),
            Blocked::Signer => "there is no signature for what is next; it is tried again".to_owned(),
            Blocked::OtherKind if address.blobs => {
                "what is next has no blobs, and what is in flight has: it is bound when all of that is final; addresses of their own for blobs wait for nothing".to_owned()
            }
            Blocked::OtherKind => {
                "what is next has blobs, and what is in flight has none: it is bound when all of that is final; addresses of their own for blobs wait for nothing".to_owned()
            }
            Blocked::WindowFull => format!("its window is full: {bound} are bound and in no block"),
        });
        if own.is_some() {
            return own;
        }
        if address.state == State::Stale {
            return Some("stale: nothing was bound, answered or mined for stale_timeout_ms".to_owned());
        }
        if address.waiting.is_empty() {
            return None;
        }
        if !self.store_healthy {
            return Some("the store cannot be written now".to_owned());
        }
        if !self.node_healthy {
            return Some("the node does not answer".to_owned());
        }
        if !self.caught_up {
            return Some("the chain has not been read up to its head yet".to_owned());
        }
        if address.standing.in_line() {
            return Some(format!("waits for one of {} slots (txmgr.max_orchestrators)", self.settings.txmgr.max_orchestrators));
        }
        if self.price_waiters.contains(&number) {
            return Some("waits for the node's gas price".to_owned());
        }
        (address.nonce != NonceState::Known).then(|| "waits for its transaction count from the node".to_owned())
    }
}
