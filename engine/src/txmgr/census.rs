//! How many open transactions are in each stage: counted by the shards when somebody asks, so that it costs nothing otherwise.
//!
//! A shard looks at one flag at the end of a run and counts only if it is set. What is read is what each shard counted last.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::stage::Stage;

/// Open transactions by stage, in the order of [`Stage::ALL`].
pub type ByStage = [u64; Stage::ALL.len()];

/// One shard's part.
#[derive(Debug, Default)]
struct Part {
    wanted: AtomicBool,
    counts: [AtomicU64; Stage::ALL.len()],
}

/// The counts of all shards.
#[derive(Debug)]
pub struct Census {
    parts: Box<[Part]>,
    current: AtomicBool,
}

impl Census {
    /// A census of that many shards, none of which has counted yet.
    #[must_use]
    pub fn new(shards: usize) -> Self {
        Self { parts: (0..shards).map(|_| Part::default()).collect(), current: AtomicBool::new(false) }
    }

    /// Every shard counts at the end of every run from now on. For who needs to know the stages at each moment.
    pub fn keep_current(&self) {
        self.current.store(true, Ordering::Relaxed);
    }

    /// Every shard counts once, at the end of its next run; wake it if it may sleep.
    pub fn ask(&self) {
        self.parts.iter().for_each(|part| part.wanted.store(true, Ordering::Relaxed));
    }

    /// What the shards counted last.
    #[must_use]
    pub fn by_stage(&self) -> ByStage {
        let mut sums = ByStage::default();
        for part in &self.parts {
            for (sum, count) in sums.iter_mut().zip(&part.counts) {
                *sum += count.load(Ordering::Relaxed);
            }
        }
        sums
    }

    /// A run of the shard has ended: counts, if somebody wants to know.
    pub fn run_ended(&self, shard: usize, count: impl FnOnce() -> ByStage) {
        let part = &self.parts[shard];
        let wanted = part.wanted.load(Ordering::Relaxed) && part.wanted.swap(false, Ordering::Relaxed);
        if !wanted && !self.current.load(Ordering::Relaxed) {
            return;
        }
        for (slot, count) in part.counts.iter().zip(count()) {
            slot.store(count, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_counts_once_when_asked_and_the_sum_is_of_all_shards() {
        let census = Census::new(2);
        census.run_ended(0, || panic!("nobody has asked"));
        census.ask();
        census.run_ended(0, || [1; 7]);
        census.run_ended(1, || [2; 7]);
        census.run_ended(1, || panic!("it has counted already"));
        assert_eq!(census.by_stage(), [3; 7]);
    }
}
