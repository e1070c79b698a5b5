//! What waits to be assembled: a line for each originator, the longest waiting first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use uuid::Uuid;

use super::super::messages::Node;

/// A place in a line: not before which time, and after how many others.
pub(super) type Turn = (Duration, u64, Uuid);

/// The lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    lines: BTreeMap<Node, BTreeSet<Turn>>,
    count: u64,
}

impl Pool {
    /// Puts a transaction at the end of its originator's line; it is not assembled before `not_before`.
    pub(super) fn enter(&mut self, originator: &Node, not_before: Duration, id: Uuid) -> Turn {
        self.count += 1;
        let turn = (not_before, self.count, id);
        self.lines.entry(originator.clone()).or_default().insert(turn);
        turn
    }

    /// Takes a transaction out of its line, if it stands there.
    pub(super) fn leave(&mut self, originator: &Node, turn: Option<Turn>) {
        let (Some(turn), Some(line)) = (turn, self.lines.get_mut(originator)) else { return };
        line.remove(&turn);
        if line.is_empty() {
            self.lines.remove(originator);
        }
    }

    /// The originator whose first transaction has waited longest, and the first `most` of those of its line that may be assembled now.
    pub(super) fn next(&self, most: usize, now: Duration) -> Option<(Node, Vec<Uuid>)> {
        let firsts = self.lines.iter().filter_map(|(node, line)| Some((line.first()?, node, line)));
        let (first, node, line) = firsts.min_by_key(|(first, ..)| **first)?;
        if first.0 > now {
            return None;
        }
        let due = line.iter().take_while(|turn| turn.0 <= now).take(most);
        Some((node.clone(), due.map(|turn| turn.2).collect()))
    }
}
