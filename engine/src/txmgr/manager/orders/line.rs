//! Orders about what is not bound: in line, suspended, or blocked.

use std::time::Duration;

use storage::{FailureRow, GenerationRow, Place, Record, Request, TransactionRow};
use uuid::Uuid;

use super::super::super::event::{Action, Now, Waiter};
use super::super::super::order::{CANCELLED, Case, Change, Command, Done, Refusal};
use super::super::Manager;
use super::{Decision, Ordered, Until, kept_in_line};

/// Most times that a transaction can be changed: all its generations and attempts are read at once, whenever somebody asks for it.
const GENERATIONS_MAX: u16 = 100;

/// How an order changes what is in memory of a queue, once it is on disk.
#[derive(Debug)]
pub(super) enum Moves {
    /// Not at all.
    No,
    /// One joins the line.
    Joins,
    /// One has left the line; what of it had been read.
    Leaves(Option<Box<Waiter>>),
    /// One stays in line with another content: as it was and as it is, where it had been read.
    Stays(Option<Box<(Waiter, Waiter)>>),
}

/// A case whose transaction is not bound, and who asks.
struct Parked<'a> {
    id: Uuid,
    address: u32,
    case: &'a Case,
    now: Now,
}

impl Parked<'_> {
    /// It ends here. `left`: its queue number, if it stood in line.
    fn ends(&self, reason: &str, end: Result<Done, Refusal>, left: Option<u64>, moves: Moves) -> Decision {
        let row = &self.case.row;
        let depends_on = row.depends_on.clone();
        let failure = FailureRow { reason: reason.to_owned(), failed_at: self.now.unix_us };
        let record = Record::Failed { id: self.id, from: row.request.from, accepted: None, queue_number: left, depends_on, failure };
        // Each of those that it waited for had counted it.
        let free = if self.case.dependencies.is_empty() { Vec::new() } else { row.depends_on.clone() };
        Decision::Write(Box::new((record, Ordered { id: self.id, address: self.address, end, moves, free, ended: true })))
    }

    /// It has this place from now on.
    fn moves(&self, place: Place, done: Done, left: Option<u64>, moves: Moves) -> Decision {
        let transaction = TransactionRow { place, ..self.case.row.clone() };
        let released = matches!(place, Place::Line(_)) && !self.case.dependencies.is_empty();
        let free = if released { transaction.depends_on.clone() } else { Vec::new() };
        let record = Record::Changed { id: self.id, transaction, left, replaced: None };
        Decision::Write(Box::new((record, Ordered { id: self.id, address: self.address, end: Ok(done), moves, free, ended: false })))
    }

    /// It asks for something else from now on, at the same place.
    fn updates(&self, request: Request, place: Place, moves: Moves) -> Decision {
        let (row, replaced) = next_generation(&self.case.row, request, place, self.now);
        let end = Ok(Done::Updated(row.generation));
        let record = Record::Changed { id: self.id, transaction: row, left: None, replaced: Some(replaced) };
        Decision::Write(Box::new((record, Ordered { id: self.id, address: self.address, end, moves, free: Vec::new(), ended: false })))
    }
}

/// The row of the next generation, and what it takes the place of.
pub(super) fn next_generation(row: &TransactionRow, request: Request, place: Place, now: Now) -> (TransactionRow, (u16, GenerationRow)) {
    let replaced = GenerationRow { request: row.request.clone(), replaced_at: now.unix_us };
    let next = TransactionRow { generation: row.generation + 1, request, place, ..row.clone() };
    (next, (row.generation, replaced))
}

/// The content that an update asks for, if it is another one.
pub(super) fn changed(change: &Change, case: &Case) -> Result<Option<Request>, Refusal> {
    if case.row.generation >= GENERATIONS_MAX {
        let message = format!("it has been changed {GENERATIONS_MAX} times, and that is the most: cancel it, and send another one");
        return Err(Refusal::Content(message));
    }
    let request = change.apply(case)?;
    Ok((request != case.row.request).then_some(request))
}

impl Manager {
    /// Of what is suspended or blocked nothing is in memory.
    pub(super) fn decide_parked(&mut self, id: Uuid, number: u32, case: &Case, command: &Command, now: Now) -> Decision {
        let parked = Parked { id, address: number, case, now };
        let (place, present) = (case.row.place, case.row.generation);
        let failed = case.failed_dependency();
        match (command, failed) {
            (Command::Cancel, _) => parked.ends(CANCELLED, Ok(Done::Cancelled), None, Moves::No),
            (Command::Check | Command::Resume, Some(reason)) => {
                parked.ends(reason, Err(Refusal::Dependency(reason.to_owned())), None, Moves::No)
            }
            (Command::Suspend, _) if place == Place::Suspended => Decision::Answer(Ok(Done::Suspended)),
            (Command::Suspend, _) => parked.moves(Place::Suspended, Done::Suspended, None, Moves::No),
            (Command::Check, None) if place == Place::Suspended => Decision::Answer(Ok(Done::Suspended)),
            (Command::Resume | Command::Check, None) if case.is_free() => {
                let waiting = &mut self.at(number).waiting;
                let queue_number = waiting.next_number;
                waiting.next_number += 1;
                waiting.unsaved += 1;
                parked.moves(Place::Line(queue_number), Done::Resumed, None, Moves::Joins)
            }
            (Command::Resume, None) if place == Place::Suspended => parked.moves(Place::Blocked, Done::Resumed, None, Moves::No),
            (Command::Resume | Command::Check, None) => Decision::Answer(Ok(Done::Resumed)),
            (Command::Update(change), _) => match changed(change, case) {
                Ok(Some(request)) => parked.updates(request, place, Moves::No),
                Ok(None) => Decision::Answer(Ok(Done::Updated(present))),
                Err(refusal) => Decision::Answer(Err(refusal)),
            },
        }
    }

    /// What stands in line is in the buffer of its address, or on disk only.
    #[allow(clippy::too_many_arguments)] // a case, and where it was found
    pub(super) fn decide_waiting(
        &mut self,
        id: Uuid,
        number: u32,
        queue_number: u64,
        case: &Case,
        command: &Command,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Decision {
        let request = match command {
            Command::Check | Command::Resume => return Decision::Answer(Ok(Done::Resumed)),
            Command::Update(change) => match changed(change, case) {
                Ok(Some(request)) => Some(request),
                Ok(None) => return Decision::Answer(Ok(Done::Updated(case.row.generation))),
                Err(refusal) => return Decision::Answer(Err(refusal)),
            },
            Command::Cancel | Command::Suspend => None,
        };
        let waiting = &mut self.at(number).waiting;
        if waiting.loading.is_some() {
            // What is being read may hold it or not.
            return Decision::Wait(Until::Loaded(number));
        }
        let waiter = waiting.take(queue_number);
        if waiter.is_none() && waiting.has_read(queue_number) {
            // It has just left the buffer: it is about to be bound, or to end.
            return Decision::Wait(Until::Time(now.elapsed + Duration::from_millis(self.settings.txmgr.retry_min_ms)));
        }
        waiting.changing += 1;
        // What was found out about the next to bind may have been about this one.
        let parked = Parked { id, address: number, case, now };
        let decision = match (request, command) {
            (Some(request), _) => {
                waiting.unsaved += u64::from(waiter.is_some());
                let moves = Moves::Stays(waiter.map(|old| {
                    let (row, _) = next_generation(&old.row, request.clone(), Place::Line(queue_number), now);
                    Box::new((old.clone(), Waiter { row, ..old }))
                }));
                parked.updates(request, Place::Line(queue_number), moves)
            }
            (None, command) => {
                waiting.unread -= u64::from(waiter.is_none() && waiting.unread > 0);
                let ended = *command == Command::Cancel;
                if let Some(waiter) = waiter.clone().filter(|_| kept_in_line(ended)) {
                    waiting.put_back(waiter);
                }
                let moves = Moves::Leaves(waiter.map(Box::new));
                if ended {
                    parked.ends(CANCELLED, Ok(Done::Cancelled), Some(queue_number), moves)
                } else {
                    parked.moves(Place::Suspended, Done::Suspended, Some(queue_number), moves)
                }
            }
        };
        self.nothing_is_next(number, now, actions);
        decision
    }

    /// What an order has changed about a queue is on disk; how many more are open.
    pub(super) fn moved(&mut self, number: u32, moves: Moves) -> i64 {
        let waiting = &mut self.at(number).waiting;
        match moves {
            Moves::No => 0,
            Moves::Joins => {
                waiting.unsaved -= 1;
                waiting.unread += 1;
                1
            }
            Moves::Leaves(_) => {
                waiting.changing -= 1;
                -1
            }
            Moves::Stays(read) => {
                waiting.changing -= 1;
                if let Some(read) = read {
                    waiting.unsaved -= 1;
                    waiting.give_back(read.1);
                }
                0
            }
        }
    }

    /// The disk has refused it: all is as it was.
    pub(super) fn not_moved(&mut self, number: u32, moves: Moves) {
        let waiting = &mut self.at(number).waiting;
        match moves {
            Moves::No => {}
            Moves::Joins => waiting.unsaved -= 1,
            Moves::Leaves(read) => {
                waiting.changing -= 1;
                match read {
                    Some(waiter) => waiting.give_back(*waiter),
                    None => waiting.unread += 1,
                }
            }
            Moves::Stays(read) => {
                waiting.changing -= 1;
                if let Some(read) = read {
                    waiting.unsaved -= 1;
                    waiting.give_back(read.0);
                }
            }
        }
    }
}
