//! What a run's event stream says when it is read back: for verification, for the report, and to go on after a crash.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::event::{Answer, Batch, Begin, BlockSeen, Event, FORMAT, Sample};

/// A run as its events tell it.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    /// How it began.
    pub(crate) begin: Begin,
    /// Batches that were handed out, by first number.
    pub(crate) batches: Vec<Batch>,
    /// When each number was accepted, µs since the Unix epoch; 0 if it was not.
    pub(crate) accepted_us: Vec<u64>,
    /// Refused numbers with the reasons, in order.
    pub(crate) refused: Vec<(u64, String)>,
    /// Numbers of batches that were answered at least once.
    pub(crate) sent: u64,
    /// Answers that left something to offer again.
    pub(crate) repeated: u64,
    /// Blocks in the order in which they were seen.
    pub(crate) blocks: Vec<BlockSeen>,
    /// Samples in order.
    pub(crate) samples: Vec<Sample>,
    /// When the run was resumed, µs since the Unix epoch.
    pub(crate) resumed_us: Vec<u64>,
    /// When all was done, µs since the Unix epoch; `None` if the run ended early.
    pub(crate) settled_us: Option<u64>,
    /// Bytes of the file that are whole lines.
    pub(crate) whole_bytes: u64,
}

impl Record {
    /// Reads `path`.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("reading the run's record {}", path.display()))?;
        Self::parse(&bytes).with_context(|| format!("{} is no good record of `load run`", path.display()))
    }

    /// Reads lines. What follows the last line break was being written when the process ended, and does not count.
    pub(crate) fn parse(bytes: &[u8]) -> anyhow::Result<Self> {
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut lines = (1..).zip(bytes[..whole].split(|byte| *byte == b'\n')).filter(|(_, line)| !line.is_empty());
        let read = |number: usize, line: &[u8]| serde_json::from_slice::<Event>(line).with_context(|| format!("line {number}"));
        let begin = match lines.next().map(|(number, line)| read(number, line)).transpose()? {
            Some(Event::Begin(begin)) => begin,
            _ => bail!("it does not start with the event `begin`"),
        };
        ensure!(begin.format == FORMAT, "it has format {} and this `load` reads {FORMAT}; use the one that wrote it", begin.format);
        let transactions = begin.stages.iter().map(|stage| stage.transactions).sum::<u64>();
        let mut record = Self {
            begin,
            batches: Vec::new(),
            accepted_us: vec![0; usize::try_from(transactions)?],
            refused: Vec::new(),
            sent: 0,
            repeated: 0,
            blocks: Vec::new(),
            samples: Vec::new(),
            resumed_us: Vec::new(),
            settled_us: None,
            whole_bytes: whole as u64,
        };
        let mut answered = HashMap::new();
        for (number, line) in lines {
            record.take(read(number, line)?, &mut answered).with_context(|| format!("line {number}"))?;
        }
        record.batches.sort_unstable_by_key(|batch| batch.first);
        record.batches.dedup_by_key(|batch| batch.first);
        record.refused.sort();
        record.sent = record.batches.iter().filter(|batch| answered.contains_key(&batch.first)).map(|batch| batch.count).sum();
        Ok(record)
    }

    fn take(&mut self, event: Event, answered: &mut HashMap<u64, ()>) -> anyhow::Result<()> {
        match event {
            Event::Begin(_) => bail!("a second `begin`"),
            Event::Resumed { at_us } => self.resumed_us.push(at_us),
            Event::Batch(batch) => self.batches.push(batch),
            Event::Answer(answer) => {
                answered.insert(answer.first, ());
                self.take_answer(answer)?;
            }
            Event::Block(block) => self.blocks.push(block),
            Event::Sample(sample) => self.samples.push(sample),
            Event::Settled { at_us } => self.settled_us = Some(at_us),
        }
        Ok(())
    }

    fn take_answer(&mut self, answer: Answer) -> anyhow::Result<()> {
        for (first, count) in answer.accepted {
            let end = first.checked_add(count).filter(|end| *end <= self.transactions());
            let end = end.with_context(|| format!("numbers {first} and {count} more are not of this run"))?;
            self.accepted_us[usize::try_from(first)?..usize::try_from(end)?].fill(answer.at_us);
        }
        self.refused.extend(answer.refused);
        self.repeated += u64::from(answer.again > 0);
        Ok(())
    }

    /// Transactions of the plan.
    pub(crate) fn transactions(&self) -> u64 {
        self.accepted_us.len() as u64
    }

    /// Transactions that were handed out: all, unless the run ended early.
    pub(crate) fn offered(&self) -> u64 {
        self.batches.last().map_or(0, |batch| batch.first + batch.count)
    }

    /// When transaction `number` was due, µs since the Unix epoch.
    pub(crate) fn intended_us(&self, number: u64) -> Option<u64> {
        let after = self.batches.partition_point(|batch| batch.first <= number);
        let batch = self.batches.get(after.checked_sub(1)?)?;
        (number < batch.first + batch.count).then_some(batch.intended_us)
    }

    /// When transaction `number` was accepted, µs since the Unix epoch.
    pub(crate) fn accepted_us(&self, number: u64) -> Option<u64> {
        self.accepted_us.get(usize::try_from(number).ok()?).copied().filter(|at_us| *at_us > 0)
    }

    /// What was handed out and neither accepted nor refused, batch by batch.
    pub(crate) fn unanswered(&self) -> Vec<(Batch, Vec<u64>)> {
        let refused: std::collections::HashSet<u64> = self.refused.iter().map(|(number, _)| *number).collect();
        let open = |batch: &Batch| {
            (batch.first..batch.first + batch.count)
                .filter(|number| self.accepted_us(*number).is_none() && !refused.contains(number))
                .collect::<Vec<_>>()
        };
        self.batches.iter().map(|batch| (*batch, open(batch))).filter(|(_, open)| !open.is_empty()).collect()
    }

    /// When the run ended or was last heard of, µs since the Unix epoch.
    pub(crate) fn end_us(&self) -> u64 {
        let last = [self.samples.last().map(|sample| sample.at_us), self.blocks.last().map(|block| block.seen_us)];
        self.settled_us.or(last.into_iter().flatten().max()).unwrap_or(self.begin.at_us)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::mix::Mix;
    use crate::scenario::Scenario;
    use crate::stage::{Stage, StagePace};

    /// Lines of a run of `transactions` in one closed stage, begun at 1 s, with `events` after the first.
    pub(crate) fn lines(transactions: u64, events: &[Event]) -> Vec<u8> {
        let stage = Stage::of("all".into(), StagePace::Closed(5), transactions, Mix::only(Scenario::Transfer)).unwrap();
        let begin = Begin {
            format: FORMAT,
            at_us: 1_000_000,
            seed: 1,
            stages: vec![stage],
            batch: 2,
            connections: 1,
            first_block: 0,
            base_nonces: vec![0],
            direct: None,
        };
        let all = std::iter::once(Event::Begin(begin)).chain(events.iter().cloned());
        all.flat_map(|event| [serde_json::to_vec(&event).unwrap(), vec![b'\n']].concat()).collect()
    }

    pub(crate) fn batch(first: u64, count: u64) -> Event {
        Event::Batch(Batch { first, count, intended_us: 1_000_000 + first })
    }

    pub(crate) fn accepted(first: u64, count: u64) -> Event {
        Event::Answer(Answer { at_us: 2_000_000, first, accepted: vec![(first, count)], ..Answer::default() })
    }

    #[test]
    fn what_was_handed_out_and_not_answered_is_offered_again() {
        let partly = Answer { at_us: 2_000_000, first: 2, accepted: vec![(2, 1)], refused: vec![(3, "no".into())], again: 2 };
        let record = Record::parse(&lines(10, &[batch(4, 4), batch(0, 2), accepted(0, 2), batch(2, 2), Event::Answer(partly)])).unwrap();
        assert_eq!(record.unanswered(), vec![(Batch { first: 4, count: 4, intended_us: 1_000_004 }, vec![4, 5, 6, 7])]);
        assert_eq!((record.offered(), record.sent, record.repeated, record.settled_us), (8, 4, 1, None));
        assert_eq!((record.intended_us(5), record.intended_us(8), record.accepted_us(1)), (Some(1_000_004), None, Some(2_000_000)));
        assert_eq!(record.refused, [(3, "no".to_owned())]);
    }

    #[test]
    fn a_line_that_was_being_written_does_not_count() {
        let mut bytes = lines(10, &[batch(0, 2)]);
        let whole = bytes.len() as u64;
        bytes.extend_from_slice(br#"{"event":"bat"#);
        let record = Record::parse(&bytes).unwrap();
        assert_eq!((record.offered(), record.whole_bytes), (2, whole));
    }

    #[test]
    fn what_is_no_record_is_an_error_that_names_the_line() {
        assert!(Record::parse(b"").is_err());
        assert!(Record::parse(b"{\"event\":\"settled\",\"at_us\":1}\n").unwrap_err().to_string().contains("begin"));
        let mut bytes = lines(10, &[batch(0, 2)]);
        bytes.extend_from_slice(b"hello\n");
        assert!(format!("{:#}", Record::parse(&bytes).unwrap_err()).contains("line 3"));
        let message = format!("{:#}", Record::parse(&lines(10, &[accepted(9, 2)])).unwrap_err());
        assert!(message.contains("line 2") && message.contains("not of this run"), "{message}");
    }

    #[test]
    fn a_run_that_reached_its_end_says_when() {
        let record = Record::parse(&lines(2, &[batch(0, 2), accepted(0, 2), Event::Settled { at_us: 9 }])).unwrap();
        assert_eq!((record.settled_us, record.end_us(), record.unanswered()), (Some(9), 9, Vec::new()));
    }
}
