//! The ledger of a run: what the chain executed, held against what was offered. Pure; fed with blocks in order.
//!
//! A transaction of one of our addresses is exactly one of: the plan's number `n` for the first time, number `n` again (a
//! duplicate), or a stranger. Each address's nonces must go up by one from where they stood before the run; what is skipped is a
//! gap. Transactions with a nonce below that are older than the run and are passed over.

use std::collections::HashMap;

use alloy::primitives::{Address, B256};

use crate::chain::Mined;
use crate::plan::Plan;

/// How many problems are told in words; the rest is only counted.
const PROBLEMS_TOLD: usize = 20;

/// Counts of what the chain executed, and the first problems in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Numbers found at least once.
    pub(crate) included: u64,
    /// Executions of a number beyond its first.
    pub(crate) duplicated: u64,
    /// Numbers whose receipt says that they failed.
    pub(crate) failed: u64,
    /// Transactions of our addresses that are not of the plan.
    pub(crate) strangers: u64,
    /// Nonces out of step.
    pub(crate) gaps: u64,
    /// The first problems, for a person.
    pub(crate) problems: Vec<String>,
}

impl Findings {
    /// Adds a problem in words, up to a limit.
    pub(crate) fn tell(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_TOLD {
            self.problems.push(problem);
        }
    }

    /// Puts a problem before all others, because it may be the cause of them.
    pub(crate) fn tell_first(&mut self, problem: String) {
        self.problems.truncate(PROBLEMS_TOLD - 1);
        self.problems.insert(0, problem);
    }
}

/// How a number was executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Execution {
    /// Hash of its first execution.
    pub(crate) hash: B256,
    /// Block of its first execution.
    pub(crate) block: u64,
    /// Whether it was executed once only, and succeeded.
    pub(crate) clean: bool,
}

/// One account's expected nonce.
struct Account {
    base: u64,
    next: u64,
}

/// Reads blocks, keeps score.
pub(crate) struct Ledger<'a> {
    plan: &'a Plan,
    accounts: HashMap<Address, Account>,
    executed: Vec<Option<Execution>>,
    findings: Findings,
}

impl<'a> Ledger<'a> {
    /// A ledger of `plan` whose addresses had `base_nonces` before the run, in the plan's order.
    pub(crate) fn new(plan: &'a Plan, base_nonces: &[u64]) -> Self {
        let accounts = plan.senders().iter().zip(base_nonces).map(|(address, &base)| (*address, Account { base, next: base })).collect();
        let executed = vec![None; usize::try_from(plan.transactions()).expect("the plan fits memory")];
        Self { plan, accounts, executed, findings: Findings::default() }
    }

    /// Enters the transactions of block `number`, in their order.
    pub(crate) fn enter(&mut self, number: u64, transactions: &[Mined]) {
        for mined in transactions {
            let Some(account) = self.accounts.get_mut(&mined.call.from) else {
                continue;
            };
            if mined.nonce < account.base {
                continue;
            }
            if mined.nonce != account.next {
                self.findings.gaps += 1;
                self.findings.tell(format!(
                    "block {number}: {} has nonce {}, expected {} of {}",
                    mined.hash, mined.nonce, account.next, mined.call.from
                ));
            }
            account.next = mined.nonce + 1;
            self.enter_execution(number, mined);
        }
    }

    fn enter_execution(&mut self, block: u64, mined: &Mined) {
        let Some(number) = self.plan.number_of(&mined.call) else {
            self.findings.strangers += 1;
            self.findings.tell(format!("block {block}: {} of {} is not of this run", mined.hash, mined.call.from));
            return;
        };
        let slot = &mut self.executed[usize::try_from(number).expect("a number of the plan is an index")];
        if let Some(first) = slot {
            first.clean = false;
            self.findings.duplicated += 1;
            self.findings.tell(format!("block {block}: {} executes transaction {number} again, first was {}", mined.hash, first.hash));
            return;
        }
        *slot = Some(Execution { hash: mined.hash, block, clean: mined.success });
        self.findings.included += 1;
        if !mined.success {
            self.findings.failed += 1;
            self.findings.tell(format!("block {block}: {} (transaction {number}) was executed and failed", mined.hash));
        }
    }

    /// The score, and how each number was executed.
    pub(crate) fn close(self) -> (Findings, Vec<Option<Execution>>) {
        (self.findings, self.executed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::transfers;

    const SENDERS: u64 = 2;

    fn plan() -> Plan {
        transfers(1, 6, vec![Address::repeat_byte(1), Address::repeat_byte(2)])
    }

    /// Transaction `number` as the chain would show it at the right nonce, from a base of 10.
    fn mined(plan: &Plan, number: u64) -> Mined {
        Mined { hash: B256::with_last_byte(number as u8 + 1), nonce: 10 + number / SENDERS, call: plan.call(number), success: true }
    }

    fn score(blocks: &[Vec<Mined>]) -> Findings {
        let plan = plan();
        let mut ledger = Ledger::new(&plan, &[10, 10]);
        for (number, block) in blocks.iter().enumerate() {
            ledger.enter(number as u64, block);
        }
        ledger.close().0
    }

    #[test]
    fn a_run_in_which_everything_is_mined_once_has_no_problem() {
        let plan = plan();
        let findings = score(&[(0..3).map(|n| mined(&plan, n)).collect(), (3..6).map(|n| mined(&plan, n)).collect()]);
        assert_eq!(findings, Findings { included: 6, ..Findings::default() });
    }

    #[test]
    fn what_never_reached_a_block_is_missing() {
        let plan = plan();
        assert_eq!(score(&[vec![mined(&plan, 0), mined(&plan, 1)]]).included, 2);
    }

    #[test]
    fn a_second_execution_is_a_duplicate_and_does_not_count_as_included() {
        let plan = plan();
        let again = Mined { nonce: 11, hash: B256::repeat_byte(7), ..mined(&plan, 0) };
        let findings = score(&[vec![mined(&plan, 0), again]]);
        assert_eq!((findings.included, findings.duplicated, findings.gaps), (1, 1, 0));
        assert!(findings.problems[0].contains("transaction 0 again"));
    }

    #[test]
    fn an_execution_is_clean_if_it_is_the_only_one_and_succeeded() {
        let plan = plan();
        let mut ledger = Ledger::new(&plan, &[10, 10]);
        let failed = Mined { success: false, ..mined(&plan, 1) };
        ledger.enter(1, &[mined(&plan, 0), failed, mined(&plan, 2)]);
        ledger.enter(2, &[Mined { nonce: 12, ..mined(&plan, 2) }]);
        let executed = ledger.close().1;
        let clean: Vec<_> = executed.iter().map(|execution| execution.map(|execution| execution.clean)).collect();
        assert_eq!(clean, [Some(true), Some(false), Some(false), None, None, None]);
    }

    #[test]
    fn a_skipped_nonce_is_a_gap() {
        let plan = plan();
        let findings = score(&[vec![mined(&plan, 0), mined(&plan, 4)]]);
        assert_eq!((findings.included, findings.gaps), (2, 1));
    }

    #[test]
    fn a_transaction_of_ours_that_nobody_offered_is_a_stranger() {
        let plan = plan();
        let mut stranger = mined(&plan, 0);
        stranger.call.to = None;
        let findings = score(&[vec![stranger]]);
        assert_eq!((findings.included, findings.strangers), (0, 1));
    }

    #[test]
    fn other_peoples_transactions_and_older_ones_of_ours_are_passed_over() {
        let plan = plan();
        let mut other = mined(&plan, 0);
        other.call.from = Address::repeat_byte(9);
        let older = Mined { nonce: 9, ..mined(&plan, 0) };
        assert_eq!(score(&[vec![other, older]]), Findings::default());
    }

    #[test]
    fn a_failed_execution_is_told() {
        let plan = plan();
        let findings = score(&[vec![Mined { success: false, ..mined(&plan, 0) }]]);
        assert_eq!((findings.included, findings.failed), (1, 1));
    }

    #[test]
    fn many_problems_are_counted_but_not_all_told() {
        let plan = plan();
        let again: Vec<_> = (0..100).map(|n| Mined { nonce: 10 + n, ..mined(&plan, 0) }).collect();
        let findings = score(&[again]);
        assert_eq!((findings.duplicated, findings.problems.len()), (99, PROBLEMS_TOLD));
    }
}
