//! Private transactions of one contract: who assembles them, who orders them, and what they wait for.
//!
//! ```text
//!   caller ─► originator ── delegate ──►  coordinator ── assemble, endorse, confirm ──► dispatch ─► txmgr ─► chain
//!                ▲   └── assembled, signed ──►  │  which states each spends: dependencies                    │
//!                └────────────── heartbeats ◄───┘ ◄───────────────────── confirmed, reverted ◄───────────────┘
//! ```
//!
//! Here are the two things that all of this rests on. Every transition of both sides stands in a table ([`originator`], [`coordinator`]), so
//! that each can be laid beside the diagrams of seed 001: a row is a state, an event, a guard and the next state, and what has no row changes
//! nothing. [`dependencies`] knows what spends, reads and makes which states. Guards are predicates over facts that the caller gives:
//! nothing here reads a clock, a disk or a socket.

pub mod coordinator;
pub mod dependencies;
pub mod originator;

/// One way from a state to another: from where (`None`: from nowhere, the diagram's `[*]`), why, under which condition, to where.
pub type Row<S, E, G> = (Option<S>, E, G, S);

/// Where the first row leads that is for this state and event, and whose guard holds; `None` if there is none.
fn next<S: Copy + PartialEq, E: Copy + PartialEq, G: Copy>(
    table: &[Row<S, E, G>],
    from: Option<S>,
    event: E,
    holds: impl Fn(G) -> bool,
) -> Option<S> {
    table.iter().find(|row| row.0 == from && row.1 == event && holds(row.2)).map(|row| row.3)
}

/// The diagrams of seed 001, for the tests that hold the tables against them.
#[cfg(test)]
pub(crate) mod diagram {
    use std::fmt::Debug;

    use super::Row;

    /// Each row is taken when its guard holds, and no two for the same state and event hold at once.
    pub(crate) fn assert_rows<S, E, G>(table: &[Row<S, E, G>], holds: impl Fn(G) -> bool, next: impl Fn(Option<S>, E) -> Option<S>)
    where
        S: Copy + Debug + PartialEq,
        E: Copy + Debug + PartialEq,
        G: Copy + Debug,
    {
        for (from, event, guard, to) in table.iter().filter(|row| holds(row.2)) {
            assert_eq!(next(*from, *event), Some(*to), "{from:?} {event:?} {guard:?}");
            let rows = table.iter().filter(|row| (row.0, row.1) == (*from, *event) && holds(row.2));
            assert_eq!(rows.count(), 1, "{from:?} {event:?}");
        }
    }

    /// The lines of a diagram without what only lays it out: spaces and underscores.
    pub(crate) fn lines(diagram: &str) -> Vec<String> {
        diagram.trim().lines().map(|line| line.trim().replace([' ', '_'], "")).collect()
    }

    /// The same of rows of a table.
    pub(crate) fn of<S: Debug, E: Debug, G>(table: &[Row<S, E, G>]) -> Vec<String> {
        let from = |state: &Option<S>| state.as_ref().map_or_else(|| "[*]".to_owned(), |state| format!("{state:?}"));
        table.iter().map(|(state, event, _, to)| format!("{}-->{to:?}:{event:?}", from(state))).collect()
    }
}
