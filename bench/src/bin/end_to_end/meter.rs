//! Counts of the engine that somebody in this process waits for, in place of a recorder.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use metrics::{Counter, CounterFn, Gauge, GaugeFn};
use tokio::sync::Notify;

/// A count of whole things that one task can wait for. Threads of the engine change it; what that costs them is one addition and one
/// comparison.
#[derive(Debug)]
pub(crate) struct Meter {
    count: AtomicI64,
    /// The task that waits wants the count to be in `least..=most`.
    least: AtomicI64,
    most: AtomicI64,
    changed: Notify,
}

impl Meter {
    /// A count of zero.
    pub(crate) fn new() -> Arc<Self> {
        // Nobody waits: no count is wanted.
        Arc::new(Self { count: AtomicI64::new(0), least: AtomicI64::new(i64::MAX), most: AtomicI64::new(i64::MIN), changed: Notify::new() })
    }

    /// A counter of the engine that counts here.
    pub(crate) fn counter(self: &Arc<Self>) -> Counter {
        Counter::from_arc(Arc::clone(self))
    }

    /// A gauge of the engine that counts here.
    pub(crate) fn gauge(self: &Arc<Self>) -> Gauge {
        Gauge::from_arc(Arc::clone(self))
    }

    /// The count.
    pub(crate) fn count(&self) -> i64 {
        self.count.load(Ordering::SeqCst)
    }

    /// Waits until the count is at least `least`. One task at a time may wait for a meter.
    pub(crate) async fn at_least(&self, least: i64) {
        self.within(least, i64::MAX).await;
    }

    /// Waits until the count is at most `most`. One task at a time may wait for a meter.
    pub(crate) async fn at_most(&self, most: i64) {
        self.within(i64::MIN, most).await;
    }

    async fn within(&self, least: i64, most: i64) {
        loop {
            // A change between the look at the count and the wait leaves a permit, which ends the wait.
            self.most.store(most, Ordering::SeqCst);
            self.least.store(least, Ordering::SeqCst);
            if (least..=most).contains(&self.count()) {
                break;
            }
            self.changed.notified().await;
        }
        self.least.store(i64::MAX, Ordering::SeqCst);
        self.most.store(i64::MIN, Ordering::SeqCst);
    }

    fn add(&self, change: i64) {
        let now = self.count.fetch_add(change, Ordering::SeqCst) + change;
        if self.least.load(Ordering::SeqCst) <= now && now <= self.most.load(Ordering::SeqCst) {
            self.changed.notify_one();
        }
    }
}

impl CounterFn for Meter {
    fn increment(&self, value: u64) {
        self.add(i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn absolute(&self, value: u64) {
        self.count.fetch_max(i64::try_from(value).unwrap_or(i64::MAX), Ordering::SeqCst);
    }
}

impl GaugeFn for Meter {
    fn increment(&self, value: f64) {
        self.add(value as i64);
    }

    fn decrement(&self, value: f64) {
        self.add(-(value as i64));
    }

    fn set(&self, value: f64) {
        self.add(value as i64 - self.count());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn soon(wait: impl Future<Output = ()>) {
        tokio::time::timeout(Duration::from_secs(30), wait).await.expect("nobody woke the task that waits");
    }

    #[test]
    fn a_task_is_woken_by_the_count_it_waits_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime starts");
        let meter = Meter::new();
        let (counter, gauge) = (meter.counter(), meter.gauge());
        let up = std::thread::spawn(move || (0..10_000).for_each(|_| counter.increment(1)));
        runtime.block_on(soon(meter.at_least(5_000)));
        runtime.block_on(soon(meter.at_least(10_000)));
        assert_eq!((up.join().is_ok(), meter.count()), (true, 10_000));
        let down = std::thread::spawn(move || (0..5_000).for_each(|_| gauge.increment(-2.0)));
        runtime.block_on(soon(meter.at_most(0)));
        assert_eq!((down.join().is_ok(), meter.count()), (true, 0));
    }
}
