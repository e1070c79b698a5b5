//! What the disk holds of a transaction when an order about it is decided.

use storage::{GenerationRow, ReceiptRow, Store, StoreError, TransactionRow, read};
use uuid::Uuid;

use crate::sabotage::{self, Sabotage};
use crate::view::{Status, TransactionView};

/// What has become of a transaction on which another one depends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is open, or its outcome is not deep enough.
    Open,
    /// It succeeded, at `txmgr.required_confirmations`.
    Succeeded,
    /// It failed for good, in words.
    Failed(String),
}

/// A transaction as the disk has it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its row.
    pub row: TransactionRow,
    /// The queue number at which it waits.
    pub in_line: Option<u64>,
    /// Its present generation has signed bytes.
    pub bound: bool,
    /// Its receipt.
    pub receipt: Option<ReceiptRow>,
    /// Why it has ended without being mined.
    pub failure: Option<String>,
    /// What has become of what it depends on, where it has not been released.
    pub dependencies: Vec<Verdict>,
    /// Earlier generations.
    pub generations: Vec<(u16, GenerationRow)>,
}

impl Case {
    /// Reads it; `None` for an unknown id. `required`: the depth at which a success counts; `finality`: the depth at which a revert does.
    ///
    /// # Errors
    /// The store's.
    pub fn read(store: &impl Store, id: Uuid, required: u64, finality: u64) -> Result<Option<Self>, StoreError> {
        let Some(view) = TransactionView::read(store, id, required)? else { return Ok(None) };
        let bound = view.attempts.last().is_some_and(|attempt| attempt.generation == view.transaction.generation);
        let failure = view.failure.map(|failure| failure.reason);
        let in_line = if bound || failure.is_some() { None } else { read::place_in_line(store, id, &view.transaction)? };
        let mut dependencies = Vec::new();
        for dependency in &view.transaction.depends_on {
            // Once it was released it stays so: a dependency that leaves the chain later does not hold it up again.
            if read::depends(store, dependency.id, id)? {
                dependencies.push(verdict(store, dependency.id, required, finality)?);
            }
        }
        let generations = view.generations;
        Ok(Some(Self { row: view.transaction, in_line, bound, receipt: view.receipt, failure, dependencies, generations }))
    }

    /// The first dependency that has failed for good, in words.
    #[must_use]
    pub fn failed_dependency(&self) -> Option<&str> {
        self.dependencies.iter().find_map(|verdict| if let Verdict::Failed(reason) = verdict { Some(reason.as_str()) } else { None })
    }

    /// Nothing that it depends on is outstanding.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.dependencies.iter().all(|verdict| *verdict == Verdict::Succeeded)
    }
}

/// How the words for a dependency that has failed begin, and what stands behind its id.
const NAMED: &str = "transaction ";
const LINK: &str = ", on which it depends, ";

/// Of the reason of one that failed because of another one, and so on, the part about the first that failed: the words for the last
/// one of a long chain are no longer than those for the second.
fn root(reason: &str) -> &str {
    let first = reason.rfind(LINK).and_then(|link| reason[..link].rfind(NAMED));
    first.map_or(reason, |start| &reason[start..])
}

/// What has become of a dependency, as the disk has it.
fn verdict(store: &impl Store, id: Uuid, required: u64, finality: u64) -> Result<Verdict, StoreError> {
    let Some(view) = TransactionView::read(store, id, required)? else { return Ok(Verdict::Open) };
    if let Some(failure) = &view.failure {
        return Ok(Verdict::Failed(format!("{NAMED}{id}{LINK}has failed: {}", root(&failure.reason))));
    }
    if sabotage::on(Sabotage::ReleasedEarly) && !view.attempts.is_empty() {
        return Ok(Verdict::Succeeded);
    }
    let Some(receipt) = view.receipt.as_ref().filter(|_| !view.is_closed()) else { return Ok(Verdict::Open) };
    // What was final once stays so, also while blocks on top of it have left the chain; nobody tells of it again.
    let head = read::last_head(store)?.map_or(0, |(number, _)| number).max(read::highest_head(store)?);
    let is_final = receipt.block_number.saturating_add(finality) <= head.saturating_add(1);
    Ok(match receipt.success {
        true if is_final || view.status() == Status::Confirmed => Verdict::Succeeded,
        false if is_final => Verdict::Failed(format!("{NAMED}{id}{LINK}was reverted in block {}", receipt.block_number)),
        true | false => Verdict::Open,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::testing::History;

    #[test]
    fn a_success_counts_at_the_required_depth_and_what_was_final_once_stays_so() {
        let mut history = History::new();
        let id = history.bound(1, 0, None);
        let verdict = |history: &History, required, finality| verdict(history.store(), id, required, finality).expect("a read");
        assert_eq!(verdict(&history, 1, 12), Verdict::Open);
        history.block(8, &[id]);
        assert_eq!((verdict(&history, 1, 12), verdict(&history, 2, 12)), (Verdict::Succeeded, Verdict::Open));
        history.block(9, &[]);
        assert_eq!(verdict(&history, 2, 2), Verdict::Succeeded);
        history.rewind(9, 8, &[]);
        assert_eq!((verdict(&history, 2, 3), verdict(&history, 2, 2)), (Verdict::Open, Verdict::Succeeded));
    }

    #[test]
    fn a_failure_is_one_for_good_and_names_itself() {
        let mut history = History::new();
        let id = history.failed(1, "no gas");
        let Verdict::Failed(reason) = verdict(history.store(), id, 1, 2).expect("a read") else { panic!("it has failed") };
        assert!(reason.contains(&id.to_string()) && reason.contains("no gas"), "{reason}");
    }

    #[test]
    fn a_chain_of_failures_names_the_next_and_the_first_and_no_more() {
        let mut history = History::new();
        let (mut reason, mut lengths) = ("no gas".to_owned(), Vec::new());
        for number in 1..6 {
            let id = history.failed(number, &reason);
            let Verdict::Failed(next) = verdict(history.store(), id, 1, 2).expect("a read") else { panic!("it has failed") };
            assert!(next.contains(&id.to_string()) && next.ends_with("no gas"), "{next}");
            lengths.push(next.len());
            reason = next;
        }
        assert_eq!(lengths[1], lengths[4], "{reason}");
    }
}
