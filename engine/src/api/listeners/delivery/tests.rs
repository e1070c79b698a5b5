use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use super::*;

const A: Uuid = Uuid::from_u128(1);
const B: Uuid = Uuid::from_u128(2);

fn found(last: u64) -> Event {
    Event::Read(Some(Found { last: Some(last), covered: last, more: true }))
}

fn nothing(covered: u64, more: bool) -> Event {
    Event::Read(Some(Found { last: None, covered, more }))
}

fn reading(above: u64) -> Option<Action> {
    Some(Action::Read { above, through: u64::MAX })
}

/// A listener with this checkpoint, whose batch up to `last` is in flight to A.
fn in_flight(checkpoint: u64, last: u64) -> Delivery {
    let mut delivery = Delivery::new(true, checkpoint);
    assert_eq!(delivery.handle(Event::Joined(A)), reading(checkpoint));
    assert_eq!(delivery.handle(found(last)), Some(Action::Send(A)));
    delivery
}

#[test]
fn a_batch_is_followed_by_the_next_one_once_its_acknowledgement_is_on_disk() {
    let mut delivery = in_flight(0, 7);
    assert_eq!(delivery.handle(Event::News(20)), None, "one batch at a time");
    assert_eq!(delivery.ack(A, Some(7)), Ok(Action::Save(7)));
    assert_eq!(delivery.handle(Event::News(20)), None);
    assert_eq!(delivery.handle(Event::Saved(true)), reading(7));
    assert_eq!(delivery.handle(nothing(7, false)), None);
    assert_eq!(delivery.handle(Event::News(7)), None, "a block in which nothing ended is not worth a look at the disk");
    assert_eq!(delivery.handle(Event::News(20)), reading(7));
    // Nothing of it is deep enough: with each block from now on it may be.
    assert_eq!(delivery.handle(nothing(7, false)), None);
    assert_eq!(delivery.handle(Event::News(20)), reading(7));
}

#[test]
fn an_acknowledgement_that_is_not_on_disk_can_be_given_again() {
    let mut delivery = in_flight(0, 7);
    assert_eq!(delivery.ack(A, None), Ok(Action::Save(7)));
    assert_eq!(delivery.ack(A, None), Err(Refusal::BeingSaved(7)));
    assert_eq!(delivery.handle(Event::Saved(false)), None);
    assert_eq!(delivery.ack(A, Some(7)), Ok(Action::Save(7)));
}

#[test]
fn an_acknowledgement_holds_for_what_is_in_flight_alone() {
    let mut delivery = Delivery::new(true, 0);
    assert_eq!(delivery.ack(A, None), Err(Refusal::InLine), "nobody has subscribed");
    let mut delivery = in_flight(0, 7);
    assert_eq!(delivery.handle(Event::Joined(B)), None);
    assert_eq!(delivery.ack(B, Some(7)), Err(Refusal::InLine));
    assert_eq!(delivery.ack(A, Some(6)), Err(Refusal::OtherBatch { given: 6, in_flight: 7 }));
    assert_eq!(delivery.nack(A, Some(8)), Err(Refusal::OtherBatch { given: 8, in_flight: 7 }));
    assert_eq!(delivery.ack(A, Some(7)), Ok(Action::Save(7)));
    delivery.handle(Event::Saved(true));
    assert_eq!(delivery.ack(A, Some(7)), Err(Refusal::NothingInFlight), "the same one twice");
    assert_eq!(delivery.nack(A, None), Err(Refusal::NothingInFlight));
}

#[test]
fn a_refused_batch_comes_again_as_it_was_after_pauses_that_grow_to_a_limit() {
    let mut delivery = in_flight(3, 7);
    let mut pauses = Vec::new();
    for _ in 0..12 {
        let Ok(Action::Rest(pause)) = delivery.nack(A, None) else { panic!("a rest") };
        pauses.push(pause);
        assert_eq!(delivery.handle(Event::News(20)), None, "it rests");
        assert_eq!(delivery.nack(A, None), Err(Refusal::NothingInFlight));
        assert_eq!(delivery.handle(Event::Tick), Some(Action::Read { above: 3, through: 7 }));
        assert_eq!(delivery.handle(found(7)), Some(Action::Send(A)));
    }
    assert_eq!((pauses[0], pauses[1], pauses[11]), (REST_MIN, 2 * REST_MIN, REST_MAX));
    delivery.ack(A, None).expect("in flight");
    assert_eq!(delivery.handle(Event::Saved(true)), reading(7));
    delivery.handle(found(9));
    assert_eq!(delivery.nack(A, None), Ok(Action::Rest(REST_MIN)), "it begins anew");
}

#[test]
fn a_refused_batch_of_which_all_has_become_void_gives_way_to_what_stands_behind_it() {
    let mut delivery = in_flight(3, 7);
    delivery.nack(A, None).expect("in flight");
    delivery.handle(Event::Tick);
    assert_eq!(delivery.handle(nothing(7, false)), reading(7));
}

#[test]
fn what_was_in_flight_to_one_that_leaves_goes_to_the_next_in_line() {
    let mut delivery = in_flight(0, 7);
    assert_eq!(delivery.handle(Event::Joined(B)), None);
    assert_eq!(delivery.handle(Event::Left(A)), reading(0));
    assert_eq!(delivery.handle(found(9)), Some(Action::Send(B)));
    // One that was not delivered to leaves without consequences.
    delivery.handle(Event::Joined(A));
    assert_eq!(delivery.handle(Event::Left(A)), None);
    assert_eq!(delivery.ack(B, Some(9)), Ok(Action::Save(9)));
    assert_eq!(delivery.handle(Event::Left(B)), None, "its acknowledgement holds all the same");
    assert_eq!(delivery.handle(Event::Saved(true)), None, "nobody is there");
    assert_eq!(delivery.handle(Event::Joined(A)), reading(9));
}

#[test]
fn a_stopped_listener_is_read_no_further_and_what_is_in_flight_can_be_acknowledged() {
    let mut delivery = in_flight(0, 7);
    assert_eq!(delivery.handle(Event::Stopped), None);
    assert_eq!(delivery.ack(A, None), Ok(Action::Save(7)));
    assert_eq!(delivery.handle(Event::Saved(true)), None);
    assert_eq!(delivery.handle(Event::News(20)), None);
    assert_eq!(delivery.handle(Event::Started), reading(7));
    assert_eq!(delivery.handle(Event::Stopped), None);
    assert_eq!(delivery.handle(found(9)), None, "it was stopped while it was read");
    assert_eq!(delivery.handle(Event::Started), reading(7), "and what was read then is not lost");
}

#[test]
fn a_feed_that_cannot_be_read_is_read_again_after_a_rest() {
    let mut delivery = Delivery::new(true, 0);
    delivery.handle(Event::Joined(A));
    assert_eq!(delivery.handle(Event::Read(None)), Some(Action::Rest(REST_MIN)));
    assert_eq!(delivery.handle(Event::Tick), reading(0));
    assert_eq!(delivery.handle(nothing(5, true)), reading(5), "there is more");
    delivery.handle(Event::News(20));
    assert_eq!(delivery.handle(nothing(6, false)), reading(6), "there has come more");
}

/// A feed, a listener and its subscribers, and what they can do in any order.
struct Model {
    random: StdRng,
    delivery: Delivery,
    /// What there is to deliver.
    feed: BTreeSet<u64>,
    newest: u64,
    line: VecDeque<Uuid>,
    next: u128,
    started: bool,
    reading: Option<(u64, u64)>,
    /// Rests that are not over; what was cut short ends them late, and that must do no harm.
    rests: u32,
    saving: Option<u64>,
    /// To whom, and what.
    in_flight: Option<(Uuid, Vec<u64>)>,
    checkpoint: u64,
    /// Everything whose acknowledgement is on disk.
    kept: Vec<u64>,
}

impl Model {
    fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            delivery: Delivery::new(true, 0),
            feed: BTreeSet::new(),
            newest: 0,
            line: VecDeque::new(),
            next: 100,
            started: true,
            reading: None,
            rests: 0,
            saving: None,
            in_flight: None,
            checkpoint: 0,
            kept: Vec::new(),
        }
    }

    fn carry_out(&mut self, action: Option<Action>) {
        match action {
            None => {}
            Some(Action::Read { above, through }) => {
                assert!(self.started && !self.line.is_empty() && self.in_flight.is_none() && self.saving.is_none());
                assert!(above >= self.checkpoint);
                assert_eq!(self.reading.replace((above, through)), None);
            }
            Some(Action::Send(_)) => panic!("only what was read is sent"),
            Some(Action::Rest(_)) => self.rests += 1,
            Some(Action::Save(last)) => self.saving = Some(last),
        }
    }

    fn tell(&mut self, event: Event) {
        let action = self.delivery.handle(event);
        self.carry_out(action);
    }

    fn read(&mut self) {
        let Some((above, through)) = self.reading.take() else { return };
        if self.random.random_ratio(1, 10) {
            return self.tell(Event::Read(None));
        }
        let room = self.random.random_range(1..4);
        let mut batch: Vec<u64> = self.feed.iter().copied().filter(|at| *at > above && *at <= through).collect();
        let more = batch.len() > room;
        batch.truncate(room);
        let covered = if more { batch[room - 1] } else { self.newest.min(through).max(above) };
        let last = batch.last().copied();
        match self.delivery.handle(Event::Read(Some(Found { last, covered, more }))) {
            Some(Action::Send(to)) => {
                assert_eq!(Some(&to), self.line.front());
                assert!(self.started && self.in_flight.is_none());
                // Nothing between the checkpoint and the batch is passed over.
                assert_eq!(self.feed.range(self.checkpoint + 1..).next(), batch.first());
                self.in_flight = Some((to, batch));
            }
            other => self.carry_out(other),
        }
    }

    fn saved(&mut self, saved: bool) {
        let Some(last) = self.saving.take() else { return };
        if saved {
            self.checkpoint = last;
            let (_, batch) = self.in_flight.take().expect("what was acknowledged was in flight");
            self.kept.extend(batch);
        } else if self.in_flight.as_ref().is_some_and(|(to, _)| Some(to) != self.line.front()) {
            self.in_flight = None;
        }
        self.tell(Event::Saved(saved));
    }

    fn leave(&mut self, place: usize) {
        let Some(left) = self.line.remove(place) else { return };
        if self.saving.is_none() && self.in_flight.as_ref().is_some_and(|(to, _)| *to == left) {
            self.in_flight = None;
        }
        self.tell(Event::Left(left));
    }

    fn answer(&mut self, accept: bool) {
        let holder = self.in_flight.as_ref().map(|(to, batch)| (*to, batch.last().copied()));
        let Some((to, last)) = holder.filter(|_| self.saving.is_none()) else {
            let anybody = self.line.front().copied().unwrap_or(A);
            assert!(self.delivery.ack(anybody, None).is_err(), "nothing to acknowledge");
            return;
        };
        if accept {
            let action = self.delivery.ack(to, last).expect("in flight");
            self.carry_out(Some(action));
        } else {
            let action = self.delivery.nack(to, last).expect("in flight");
            self.in_flight = None;
            self.carry_out(Some(action));
        }
    }

    fn step(&mut self) {
        match self.random.random_range(0..14) {
            0 | 1 => {
                self.newest += self.random.random_range(1..3);
                self.feed.insert(self.newest);
                self.tell(Event::News(self.newest));
            }
            2 => {
                // What a consumer holds, or has acknowledged, may become void too; of the rest nobody hears.
                let held = self.in_flight.as_ref().and_then(|(_, batch)| batch.last().copied()).unwrap_or(self.checkpoint);
                let void = self.feed.range(held + 1..).next().copied();
                self.feed.retain(|at| Some(*at) != void);
            }
            3 => {
                let subscription = Uuid::from_u128(self.next);
                self.next += 1;
                self.line.push_back(subscription);
                self.tell(Event::Joined(subscription));
            }
            4 if !self.line.is_empty() => {
                let place = self.random.random_range(0..self.line.len());
                self.leave(place);
            }
            5 => {
                self.started = !self.started;
                self.tell(if self.started { Event::Started } else { Event::Stopped });
            }
            6 => self.answer(false),
            7 | 8 => self.answer(true),
            9 => self.saved(false),
            10 => self.saved(true),
            11 if self.rests > 0 => {
                self.rests -= 1;
                self.tell(Event::Tick);
            }
            _ => self.read(),
        }
    }
}

#[test]
fn whatever_happens_in_any_order_nothing_is_passed_over_and_everything_arrives() {
    for seed in 0..3000 {
        let mut model = Model::new(seed);
        for _ in 0..200 {
            model.step();
        }
        // Then somebody is there who takes everything.
        model.started = true;
        model.tell(Event::Started);
        model.line.push_back(A);
        model.tell(Event::Joined(A));
        for _ in 0..2000 {
            model.tell(Event::Tick);
            model.read();
            model.answer_if_any();
            model.saved(true);
        }
        let left: Vec<_> = model.feed.range(model.checkpoint + 1..).collect();
        assert!(left.is_empty(), "seed {seed}: {left:?} were not delivered: {:?}", model.delivery);
        assert!(model.kept.is_sorted_by(|a, b| a < b), "seed {seed}: {:?}", model.kept);
        assert!(model.feed.iter().all(|at| model.kept.contains(at)), "seed {seed}: something was passed over");
    }
}

impl Model {
    fn answer_if_any(&mut self) {
        if self.in_flight.is_some() && self.saving.is_none() {
            self.answer(true);
        }
    }
}
