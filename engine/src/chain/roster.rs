//! The nodes by configuration, and what all threads have to know of them: which one is used now, and which ones are healthy.
//!
//! Written by shard 0 alone ([`Watch`](super::Watch)), read by every shard before each request and by whoever shows it. A shard that has to
//! leave a node alone for long says so here, and shard 0 looks for another one.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use netio::{Bell, BreakerLimits, Counts, Endpoint, Gate, Lane, Limits, Room, Standing, within};
use parking_lot::Mutex;

use super::nodes::{FAILING_FOR, Health};

/// Where a node takes requests, and where it tells of heads, if it does.
pub type Doors = (Arc<Endpoint>, Option<Arc<Endpoint>>);

/// The breakers of one room, one for each node: the room's lanes to a node share its. Clones are the same ones.
#[derive(Clone, Debug)]
pub struct Gates(Rc<[Gate]>);

/// How to reach the nodes. Clones are the same roster.
#[derive(Clone, Debug)]
pub struct Roster {
    endpoints: Arc<[Doors]>,
    limits: Limits,
    breaker: BreakerLimits,
    counts: Arc<Counts>,
    /// How each node's breakers stand, over all rooms.
    standings: Arc<[Arc<Standing>]>,
    board: Arc<Board>,
}

#[derive(Debug)]
struct Board {
    current: AtomicUsize,
    switches: AtomicU64,
    subscribed: AtomicBool,
    heads: AtomicU64,
    cuts: AtomicU64,
    health: Mutex<Vec<Health>>,
    /// Rung when another node is used, by whoever waits for that. Nobody waits while all is well.
    resting: Mutex<BTreeMap<u64, Bell>>,
    rests: AtomicU64,
    /// How long shards leave each node alone, as told since shard 0 looked; zero for none.
    shunned: Mutex<Vec<Duration>>,
    /// Wakes shard 0's follower.
    listener: Mutex<Option<Bell>>,
}

/// Somebody who waits for another node.
struct Resting<'a> {
    board: &'a Board,
    number: u64,
    bell: Bell,
}

impl Drop for Resting<'_> {
    fn drop(&mut self) {
        self.board.resting.lock().remove(&self.number);
    }
}

impl Roster {
    /// These nodes, in order of priority: where each takes requests, and where it tells of heads. The first one is the current one.
    #[must_use]
    pub fn new(endpoints: Vec<Doors>, limits: Limits, breaker: BreakerLimits, counts: Arc<Counts>) -> Self {
        let board = Board {
            current: AtomicUsize::new(0),
            switches: AtomicU64::new(0),
            subscribed: AtomicBool::new(false),
            heads: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            health: Mutex::new(vec![Health::Unknown; endpoints.len()]),
            resting: Mutex::default(),
            rests: AtomicU64::new(0),
            shunned: Mutex::new(vec![Duration::ZERO; endpoints.len()]),
            listener: Mutex::default(),
        };
        let standings = endpoints.iter().map(|_| Arc::default()).collect();
        Self { endpoints: endpoints.into(), limits, breaker, counts, standings, board: Arc::new(board) }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.endpoints.len()
    }

    /// True if there is no node at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.endpoints.is_empty()
    }

    /// The number of the node that is used now.
    #[must_use]
    pub fn current(&self) -> usize {
        self.board.current.load(Ordering::Acquire)
    }

    /// Where a node is.
    #[must_use]
    pub fn endpoint(&self, node: usize) -> &Arc<Endpoint> {
        &self.endpoints[node].0
    }

    /// Where a node tells of heads, if it does.
    #[must_use]
    pub fn heads(&self, node: usize) -> Option<&Arc<Endpoint>> {
        self.endpoints[node].1.as_ref()
    }

    /// Whether heads come by WebSocket.
    #[must_use]
    pub fn subscribed(&self) -> bool {
        self.board.subscribed.load(Ordering::Acquire)
    }

    /// Heads that came by WebSocket, and ends of subscriptions.
    #[must_use]
    pub fn heads_and_cuts(&self) -> (u64, u64) {
        (self.board.heads.load(Ordering::Relaxed), self.board.cuts.load(Ordering::Relaxed))
    }

    /// Bounds of a request.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the connections count.
    #[must_use]
    pub const fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Closed breakers for a room.
    #[must_use]
    pub fn gates(&self) -> Gates {
        Gates(self.standings.iter().map(|standing| Gate::new(self.breaker, Arc::clone(standing))).collect())
    }

    /// How each node's breakers stand, over all rooms.
    pub fn standings(&self) -> impl Iterator<Item = &Standing> {
        self.standings.iter().map(AsRef::as_ref)
    }

    /// A connection of its own to a node, behind the breaker that the room has for it. While that is open, whatever is asked ends at once,
    /// unsent, with the time to wait.
    pub fn lane<R: Room>(&self, room: R, gates: &Gates, node: usize) -> Lane<R> {
        Lane::guarded(room, Arc::clone(&self.endpoints[node].0), self.limits, Arc::clone(&self.counts), gates.0[node].clone())
    }

    /// Waits as long as `node` wants or has to be left alone, unless another one is used by then.
    pub async fn rest<R: Room>(&self, room: &R, node: usize, pause: Duration) {
        self.shun(node, pause);
        let until = room.now() + pause;
        // Before the look, so that no change falls in between.
        let resting = self.resting();
        while self.current() == node {
            let left = until.saturating_sub(room.now());
            if left.is_zero() || within(room, left, resting.bell.wait()).await.is_none() {
                break;
            }
        }
    }

    /// A shard leaves `node` alone for so long: its own breaker is open, or the node asked it for that. Nobody else hears of it otherwise.
    /// Where there is another node, a long pause is a reason to use that one; a short one is not worth a change.
    pub fn shun(&self, node: usize, pause: Duration) {
        if self.len() < 2 || pause < FAILING_FOR {
            return;
        }
        let mut shunned = self.board.shunned.lock();
        shunned[node] = shunned[node].max(pause);
        drop(shunned);
        if let Some(bell) = &*self.board.listener.lock() {
            bell.ring();
        }
    }

    /// Nodes that were shunned since the last look, and for how long.
    pub(super) fn take_shunned(&self) -> Vec<(usize, Duration)> {
        let mut shunned = self.board.shunned.lock();
        let told = shunned.iter_mut().map(std::mem::take).enumerate();
        told.filter(|(_, pause)| !pause.is_zero()).collect()
    }

    /// Rings when a node is shunned.
    pub(super) fn listen(&self, bell: Bell) {
        *self.board.listener.lock() = Some(bell);
    }

    fn resting(&self) -> Resting<'_> {
        let (board, bell) = (&*self.board, Bell::new());
        let number = board.rests.fetch_add(1, Ordering::Relaxed);
        board.resting.lock().insert(number, bell.clone());
        Resting { board, number, bell }
    }

    /// How often another node has become the current one.
    #[must_use]
    pub fn switches(&self) -> u64 {
        self.board.switches.load(Ordering::Relaxed)
    }

    /// Whether another node has become the current one since `seen` was brought up to date, which it is by this. To look at which one is used
    /// would not do: it can be the same again, and what was sent in between is with another one.
    #[must_use]
    pub(super) fn switched_since(&self, seen: &mut u64) -> bool {
        let switches = self.switches();
        std::mem::replace(seen, switches) != switches
    }

    /// Healthy nodes, and ones of another chain.
    #[must_use]
    pub fn tally(&self) -> (usize, usize) {
        let health = self.board.health.lock();
        let healthy = health.iter().filter(|health| **health == Health::Healthy).count();
        (healthy, health.iter().filter(|health| matches!(health, Health::Quarantined(_))).count())
    }

    /// The healthy ones apart from `node`.
    #[must_use]
    pub fn healthy_besides(&self, node: usize) -> Vec<usize> {
        let health = self.board.health.lock();
        (0..health.len()).filter(|other| *other != node && health[*other] == Health::Healthy).collect()
    }

    /// What an operator should know of the nodes, a line each: those of another chain.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let health = self.board.health.lock();
        let told = |(node, health): (usize, &Health)| match health {
            Health::Quarantined(id) => Some(format!(
                "{} is on chain {id}, which is not this engine's: it is not used; correct node.endpoints",
                self.endpoints[node].0
            )),
            Health::Unknown | Health::Healthy | Health::Failing | Health::Lagging => None,
        };
        health.iter().enumerate().filter_map(told).collect()
    }

    pub(super) fn set_current(&self, node: usize) {
        self.board.current.store(node, Ordering::Release);
        self.board.switches.fetch_add(1, Ordering::Relaxed);
        self.board.resting.lock().values().for_each(Bell::ring);
    }

    pub(super) fn set_subscribed(&self, subscribed: bool) {
        self.board.subscribed.store(subscribed, Ordering::Release);
    }

    pub(super) fn note_head(&self) {
        self.board.heads.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn note_cut(&self) {
        self.board.cuts.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn set_health(&self, node: usize, health: Health) {
        self.board.health.lock()[node] = health;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn roster() -> Roster {
        let door = || (Arc::new("http://node".parse().expect("an endpoint")), None);
        Roster::new(vec![door(), door()], Limits::default(), BreakerLimits::default(), Arc::default())
    }

    #[test]
    fn a_change_to_another_node_and_back_is_a_change() {
        let roster = roster();
        let mut seen = roster.switches();
        assert!(!roster.switched_since(&mut seen));
        roster.set_current(1);
        roster.set_current(0);
        assert!(roster.switched_since(&mut seen), "what was sent in between is with the other one");
        assert!(!roster.switched_since(&mut seen), "told once");
    }

    #[test]
    fn a_long_pause_of_any_shard_is_told_to_the_follower_once() {
        let (roster, bell) = (roster(), Bell::new());
        roster.listen(bell.clone());
        let mut context = Context::from_waker(Waker::noop());
        let mut rung = || pin!(bell.wait()).poll(&mut context).is_ready();
        roster.shun(1, FAILING_FOR - Duration::from_millis(1));
        assert!(!rung() && roster.take_shunned().is_empty(), "not worth a change");
        let long = FAILING_FOR * 2;
        [FAILING_FOR, long, FAILING_FOR].iter().for_each(|pause| roster.shun(1, *pause));
        assert!(rung());
        assert_eq!((roster.take_shunned(), roster.take_shunned()), (vec![(1, long)], Vec::new()));
    }

    #[test]
    fn whoever_waits_for_another_node_is_woken_by_it_and_then_forgotten() {
        let roster = roster();
        let resting = roster.resting();
        let mut context = Context::from_waker(Waker::noop());
        let mut rung = || pin!(resting.bell.wait()).poll(&mut context).is_ready();
        assert!(!rung());
        roster.set_current(1);
        assert!(rung());
        drop(resting);
        assert!(roster.board.resting.lock().is_empty());
    }
}
