//! Who depends on whom among a coordinator's transactions (row C12).
//!
//! ```text
//!   a makes s1 ──► b spends s1, makes s2 ──► c spends s2        states that nobody has mined yet
//!   d names a  ──► (explicit)
//! ```
//!
//! A transaction depends on those that made the states it spends or reads, and on those it names. Spending locks a state for one transaction;
//! any number may read it, until one spends it. What goes takes with it all that was assembled upon it, the furthest first, so that nothing
//! is ever left on states that will not exist; but for what has passed its own point of no return: that ends on the chain. What was being
//! assembled upon a state meanwhile is not here yet: whoever waits for it has to remember what has gone since it was asked for.
//!
//! Every operation costs what it touches: a chain of 10,000 is built, dispatched and confirmed in 10,000 steps.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use alloy::primitives::B256;
use thiserror::Error;
use uuid::Uuid;

/// Id of a state: the hash of its content.
pub type StateId = B256;

/// What an assembly spends, reads and makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Assembly {
    /// States that it spends.
    pub inputs: Vec<StateId>,
    /// States that must be there and stay.
    pub reads: Vec<StateId>,
    /// States that it makes.
    pub outputs: Vec<StateId>,
}

/// Why an assembly cannot stand beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Conflict {
    /// Another transaction spends the state.
    #[error("state {state} is spent by {by} already; assemble it with another one")]
    Spent {
        /// The state.
        state: StateId,
        /// Who spends it.
        by: Uuid,
    },
    /// Another transaction makes a state of the same content.
    #[error("state {state} is made by {by} already; what tells states apart is a salt in their content")]
    Made {
        /// The state.
        state: StateId,
        /// Who makes it.
        by: Uuid,
    },
    /// The assembly names a state twice among what it spends.
    #[error("the assembly spends state {state} twice")]
    Twice {
        /// The state.
        state: StateId,
    },
    /// The transaction is assembled already; it has to be taken back first.
    #[error("{id} is assembled already")]
    Assembled {
        /// The transaction.
        id: Uuid,
    },
}

#[derive(Clone, Debug, Default)]
struct Node {
    assembly: Assembly,
    /// Those it depends on that are not confirmed.
    needs: BTreeSet<Uuid>,
    /// Those that depend on it.
    needed_by: BTreeSet<Uuid>,
    /// Of those it needs, how many are not ready to be dispatched.
    unready: usize,
    ready: bool,
}

/// The assembled transactions of a coordinator that are not confirmed, and what ties them.
#[derive(Clone, Debug, Default)]
pub struct Dependencies {
    nodes: HashMap<Uuid, Node>,
    /// In order, for what is shown of them must not depend on chance: a seed has to give the same run again.
    makers: BTreeMap<StateId, Uuid>,
    spenders: HashMap<StateId, Uuid>,
    readers: HashMap<StateId, BTreeSet<Uuid>>,
}

impl Dependencies {
    /// Takes an assembly in, with those among `named` that are assembled too. It changes nothing when it is refused.
    ///
    /// # Errors
    /// A [`Conflict`] with what is here.
    pub fn assembled(&mut self, id: Uuid, assembly: Assembly, named: &[Uuid]) -> Result<(), Conflict> {
        self.check(id, &assembly)?;
        let made_here = |state: &StateId| self.makers.get(state).copied();
        let mut needs: BTreeSet<Uuid> = assembly.inputs.iter().chain(&assembly.reads).filter_map(made_here).collect();
        needs.extend(named.iter().copied().filter(|other| self.nodes.contains_key(other)));
        // Who spends what others read comes behind them: mined first, it would take it from under them.
        let readers = assembly.inputs.iter().filter_map(|state| self.readers.get(state)).flatten().copied();
        needs.extend(readers);
        needs.remove(&id);
        let mut unready = 0;
        for other in &needs {
            let node = self.nodes.get_mut(other).expect("what is needed is here");
            node.needed_by.insert(id);
            unready += usize::from(!node.ready);
        }
        self.makers.extend(assembly.outputs.iter().map(|state| (*state, id)));
        self.spenders.extend(assembly.inputs.iter().map(|state| (*state, id)));
        for state in &assembly.reads {
            self.readers.entry(*state).or_default().insert(id);
        }
        self.nodes.insert(id, Node { assembly, needs, unready, ..Node::default() });
        Ok(())
    }

    fn check(&self, id: Uuid, assembly: &Assembly) -> Result<(), Conflict> {
        if self.nodes.contains_key(&id) {
            return Err(Conflict::Assembled { id });
        }
        let mut seen = BTreeSet::new();
        for state in &assembly.inputs {
            if !seen.insert(*state) {
                return Err(Conflict::Twice { state: *state });
            }
        }
        for state in assembly.inputs.iter().chain(&assembly.reads) {
            if let Some(by) = self.spenders.get(state) {
                return Err(Conflict::Spent { state: *state, by: *by });
            }
        }
        for state in &assembly.outputs {
            if let Some(by) = self.makers.get(state) {
                return Err(Conflict::Made { state: *state, by: *by });
            }
        }
        Ok(())
    }

    /// It is here: assembled and not confirmed.
    #[must_use]
    pub fn contains(&self, id: Uuid) -> bool {
        self.nodes.contains_key(&id)
    }

    /// How many are here.
    #[must_use]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// None is here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Who spends a state.
    #[must_use]
    pub fn spender(&self, state: &StateId) -> Option<Uuid> {
        self.spenders.get(state).copied()
    }

    /// States that transactions here will make and none of them spends: what an assembly may spend beside what the chain has.
    pub fn available(&self) -> impl Iterator<Item = (StateId, Uuid)> + '_ {
        self.makers.iter().filter(|(state, _)| !self.spenders.contains_key(*state)).map(|(state, id)| (*state, *id))
    }

    /// Everything that it depends on is ready to be dispatched; true of one that is not here.
    #[must_use]
    pub fn may_be_dispatched(&self, id: Uuid) -> bool {
        self.nodes.get(&id).is_none_or(|node| node.unready == 0)
    }

    /// It is ready to be dispatched. Returns those whose last dependency this was.
    pub fn ready(&mut self, id: Uuid) -> Vec<Uuid> {
        let Some(node) = self.nodes.get_mut(&id).filter(|node| !node.ready) else { return Vec::new() };
        node.ready = true;
        let dependants: Vec<Uuid> = node.needed_by.iter().copied().collect();
        let mut released = Vec::new();
        for other in dependants {
            let node = self.nodes.get_mut(&other).expect("what depends on it is here");
            node.unready -= 1;
            if node.unready == 0 {
                released.push(other);
            }
        }
        released
    }

    /// The chain has it: its states are the chain's from now on. Returns those whose last dependency this was, if it had not been ready.
    pub fn confirmed(&mut self, id: Uuid) -> Vec<Uuid> {
        let released = self.ready(id);
        if let Some(node) = self.remove(id) {
            for other in &node.needed_by {
                self.nodes.get_mut(other).expect("what depends on it is here").needs.remove(&id);
            }
        }
        released
    }

    /// It will not be mined as it was assembled. Returns it with all that was assembled upon it and may still be called back, the furthest
    /// first; none of them is here any more. Nothing if it is not here.
    pub fn take_back(&mut self, id: Uuid) -> Vec<Uuid> {
        let order = self.upon(id);
        for gone in &order {
            let Some(node) = self.remove(*gone) else { continue };
            for other in &node.needs {
                if let Some(other) = self.nodes.get_mut(other) {
                    other.needed_by.remove(gone);
                }
            }
            // What is ready stays; its transaction is mined or reverts by itself.
            for other in &node.needed_by {
                if let Some(other) = self.nodes.get_mut(other) {
                    other.needs.remove(gone);
                    other.unready -= usize::from(!node.ready);
                }
            }
        }
        order
    }

    /// The transaction, and those not ready that were assembled upon it: each behind all that was assembled upon it.
    fn upon(&self, id: Uuid) -> Vec<Uuid> {
        let (mut order, mut seen) = (Vec::new(), BTreeSet::from([id]));
        // Depth first, and without recursion: a chain may be long.
        let mut path: Vec<(Uuid, bool)> = self.nodes.contains_key(&id).then_some((id, false)).into_iter().collect();
        while let Some((next, is_done)) = path.pop() {
            if is_done {
                order.push(next);
                continue;
            }
            path.push((next, true));
            let dependants = self.nodes[&next].needed_by.iter().copied().filter(|other| !self.nodes[other].ready && seen.insert(*other));
            path.extend(dependants.map(|other| (other, false)));
        }
        order
    }

    fn remove(&mut self, id: Uuid) -> Option<Node> {
        let node = self.nodes.remove(&id)?;
        for state in &node.assembly.outputs {
            self.makers.remove(state);
        }
        for state in &node.assembly.inputs {
            self.spenders.remove(state);
        }
        for state in &node.assembly.reads {
            if let Some(readers) = self.readers.get_mut(state) {
                readers.remove(&id);
                if readers.is_empty() {
                    self.readers.remove(state);
                }
            }
        }
        Some(node)
    }
}

#[cfg(test)]
mod tests;
