//! From the pool to an assembly: runs, replies and what comes of them (row C13).

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::messages::{Message, Node, Outcome, Try};
use super::transaction::{Event as Change, Facts, State as Stage};
use super::{Action, Coordinator, Run};

impl Coordinator {
    /// Has the next run assembled, if none is under way: transactions of the originator whose turn it is, in the order in which they came.
    pub(super) fn select(&mut self, now: Duration, actions: &mut Vec<Action>) {
        if self.run.is_some() || !self.state.assembles() {
            return;
        }
        let Some((originator, chosen)) = self.pool.next(self.settings.run_max, now) else { return };
        let mut tries = Vec::with_capacity(chosen.len());
        for id in chosen {
            self.change(id, Change::AssembleRequestSent);
            if let Some(transaction) = self.transactions.get_mut(&id) {
                transaction.tries += 1;
                tries.push(transaction.newest(id));
            }
        }
        self.runs += 1;
        let run = Run { number: self.runs, originator, tries, since: now, asked_at: now };
        actions.push(self.request(&run));
        self.run = Some(run);
    }

    fn request(&self, run: &Run) -> Action {
        let pending = self.dependencies.available().map(|(state, _)| state).collect();
        let spent = self.dependencies.spent().collect();
        let request = Message::AssembleRequest { run: run.number, tries: run.tries.clone(), spent, pending };
        Action::Send(run.originator.clone(), request)
    }

    /// Asks again for the run under way, or gives it up.
    pub(super) fn assemble_again(&mut self, now: Duration, actions: &mut Vec<Action>) {
        let (request_timeout, assemble_timeout) = (self.settings.request_timeout, self.settings.assemble_timeout);
        let Some(run) = self.run.take_if(|run| now.saturating_sub(run.asked_at) >= request_timeout) else { return };
        let assemble_timed_out = now.saturating_sub(run.since) >= assemble_timeout;
        for which in &run.tries {
            if assemble_timed_out {
                // An originator that is gone shall not have every other run.
                self.pause(which.id, now);
            }
            let facts = Facts { assemble_timed_out, ..self.facts(which.id) };
            self.change_with(which.id, Change::RequestTimeoutInterval, facts);
        }
        if !assemble_timed_out {
            let run = Run { asked_at: now, ..run };
            actions.push(self.request(&run));
            self.run = Some(run);
        }
    }

    pub(super) fn replied(&mut self, from: &Node, run: u64, outcomes: Vec<(Try, Outcome)>, now: Duration, actions: &mut Vec<Action>) {
        let Some(run) = self.run.take_if(|known| known.number == run && known.originator == *from) else { return };
        let mut outcomes: BTreeMap<Try, Outcome> = outcomes.into_iter().collect();
        for which in run.tries {
            if self.is(which, Stage::Assembling) {
                // What the originator left out it does not have any more, or not in a state to be assembled: it delegates it again.
                let outcome = outcomes.remove(&which).unwrap_or_else(|| Outcome::Error("not answered".to_owned()));
                self.came(which, outcome, now, actions);
            }
        }
    }

    fn came(&mut self, which: Try, outcome: Outcome, now: Duration, actions: &mut Vec<Action>) {
        let id = which.id;
        match outcome {
            Outcome::Assembled(assembled) => {
                let names = self.transactions[&id].names.clone();
                if self.dependencies.assembled(id, assembled.assembly.clone(), &names).is_err() {
                    // Assembled upon something that has gone meanwhile.
                    self.take_back(id, Change::AssembleErrorResponse, now);
                    return;
                }
                if let Some(transaction) = self.transactions.get_mut(&id) {
                    transaction.assembled = Some(Box::new(assembled));
                }
                self.change(id, Change::AssembleSuccess);
                let naming = self.naming(id);
                for other in naming {
                    self.change(other, Change::DependencyAssembled);
                }
                self.ask(id, now, actions);
                // With nobody to ask it is endorsed already.
                self.goes_on(id, now, actions);
            }
            Outcome::Revert(_) => self.take_back(id, Change::AssembleRevertResponse, now),
            Outcome::Park => self.take_back(id, Change::AssembleParkResponse, now),
            Outcome::Error(_) => self.take_back(id, Change::AssembleErrorResponse, now),
        }
    }
}
