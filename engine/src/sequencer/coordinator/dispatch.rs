//! From an assembly to the chain: endorsements, the originator's word, the hand-over, and what the chain did (rows C9, C11, C14).

use std::time::Duration;

use uuid::Uuid;

use super::super::messages::{Node, Try};
use super::state;
use super::transaction::{Event as Change, Mined, State as Stage};
use super::{Action, Coordinator};

impl Coordinator {
    pub(super) fn endorsed(&mut self, from: Node, which: Try, answer: &Result<(), String>, now: Duration, actions: &mut Vec<Action>) {
        if !self.is(which, Stage::EndorsementGathering) {
            return;
        }
        let Some(transaction) = self.transactions.get_mut(&which.id) else { return };
        let asked = transaction.assembled.as_ref().is_some_and(|assembled| assembled.attestation.endorsers.contains(&from));
        match answer {
            _ if !asked => {}
            Ok(()) => {
                transaction.endorsed_by.insert(from);
                self.goes_on(which.id, now, actions);
            }
            Err(_) => self.take_back(which.id, Change::EndorsedRejected, now),
        }
    }

    /// Looks whether a transaction is endorsed, and asks for its originator's word if nothing holds it up.
    pub(super) fn goes_on(&mut self, id: Uuid, now: Duration, actions: &mut Vec<Action>) {
        if self.change(id, Change::Endorsed) {
            self.ask(id, now, actions);
        }
    }

    pub(super) fn answered(&mut self, from: &Node, which: Try, agrees: bool, now: Duration, actions: &mut Vec<Action>) {
        if !self.is(which, Stage::ConfirmingDispatch) || self.transactions[&which.id].originator != *from {
            return;
        }
        if !agrees {
            self.take_back(which.id, Change::DispatchConfirmationRejected, now);
            return;
        }
        self.change(which.id, Change::DispatchConfirmed);
        let assembled = self.transactions[&which.id].assembled.clone().expect("what is ready is assembled");
        actions.push(Action::Dispatch(which, assembled));
        for other in self.dependencies.ready(which.id) {
            if self.change(other, Change::DependencyReady) {
                self.ask(other, now, actions);
            }
        }
    }

    pub(super) fn told(&mut self, which: Try, change: Change) {
        if self.transactions.get(&which.id).is_some_and(|transaction| transaction.tries == which.number) {
            self.change(which.id, change);
        }
    }

    pub(super) fn mined(&mut self, which: Try, mined: Mined, now: Duration, actions: &mut Vec<Action>) {
        let id = which.id;
        let Some(transaction) = self.transactions.get_mut(&id) else { return };
        let stage = transaction.stage;
        if transaction.tries != which.number || !stage.is_ready() {
            if mined == Mined::Success {
                // An earlier try, of another coordinator or of a former process: the intent is done.
                self.enter(id, Stage::Final);
                self.gone(id);
            }
            return;
        }
        transaction.mined = mined;
        self.change(id, Change::Collected);
        if mined == Mined::Success {
            self.change(id, Change::Confirmed);
            for other in self.dependencies.confirmed(id) {
                if self.change(other, Change::DependencyReady) {
                    self.ask(other, now, actions);
                }
            }
            self.moves(state::Event::TransactionConfirmed);
        } else {
            self.take_back(id, Change::Confirmed, now);
        }
    }
}
