//! One budget of bytes for the process: `lakehead.memory.limit`.
//!
//! Whoever holds data holds a [`Permit`] for its bytes. Taking a permit never waits and never fails, so that work which *frees* memory
//! (encoding, uploading) cannot be blocked by the lack of it; only the intake waits, in [`Budget::room`], before it accepts more records.
//! The budget may thus be overdrawn by what was already accepted: one set of batches per task.
//!
//! What is being delivered, encoders and bytes on their way to a store, is a [part](Budget::deliveries) of the budget that is also counted by itself: half of it.
//! Whoever begins such work takes a [turn](Turns::next) first. Rows that do not fit into the budget and can wait go to [`Budget::spill`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::spill::Spill;

/// What a process needs beside its budget, however small that is.
const APART_BYTES: u64 = 64 << 20;
/// What one unit of a turn stands for.
const TURN_UNIT: u64 = 64 << 10;

/// The process's budget, or its part for deliveries; cheap to clone.
#[derive(Debug, Clone)]
pub struct Budget {
    inner: Arc<Inner>,
    is_part: bool,
}

#[derive(Debug)]
struct Inner {
    whole: Count,
    deliveries: Count,
    freed: Notify,
    turns: Arc<Semaphore>,
    all_turns: u32,
    spill: Spill,
}

#[derive(Debug, Default)]
struct Count {
    limit: u64,
    used: AtomicU64,
    peak: AtomicU64,
}

impl Count {
    fn of(limit: u64) -> Self {
        Self { limit, ..Self::default() }
    }

    fn add(&self, bytes: u64) {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.peak.fetch_max(used, Ordering::Relaxed);
    }
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self::build(limit, Spill::off())
    }

    fn build(limit: u64, spill: Spill) -> Self {
        let all_turns = u32::try_from((limit / 4 / TURN_UNIT).clamp(1, 1 << 20)).unwrap_or(1);
        let (whole, deliveries, turns) = (Count::of(limit), Count::of(limit / 2), Arc::new(Semaphore::new(all_turns as usize)));
        Self { inner: Arc::new(Inner { whole, deliveries, freed: Notify::new(), turns, all_turns, spill }), is_part: false }
    }

    /// The budget of a process that may have `limit` bytes resident: half of them, and less where a half would leave less than [`APART_BYTES`]. The rest is for what
    /// holds no permit: the program, the encoders' and decoders' working memory, the Kafka client's queues, batches that are on their way, and what the
    /// allocator keeps.
    #[must_use]
    pub fn of_process(limit: u64) -> Self {
        Self::new(limit.saturating_sub(APART_BYTES).clamp(limit / 4, limit / 2))
    }

    /// A budget of as many bytes, with a place for what does not fit.
    #[must_use]
    pub fn spilling_to(&self, spill: Spill) -> Self {
        Self::build(self.limit(), spill)
    }

    /// The part for deliveries: what is taken from it counts in the whole too. Its limit, half of the whole, is for its holders to heed.
    #[must_use]
    pub fn deliveries(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), is_part: true }
    }

    /// Where rows go that can wait and for which there is no memory.
    #[must_use]
    pub fn spill(&self) -> &Spill {
        &self.inner.spill
    }

    fn count(&self) -> &Count {
        if self.is_part { &self.inner.deliveries } else { &self.inner.whole }
    }

    /// Bytes that may be held.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.count().limit
    }

    /// Bytes that are held.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.count().used.load(Ordering::Relaxed)
    }

    /// The most that was held at once.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.count().peak.load(Ordering::Relaxed)
    }

    /// True when no more may be accepted. Where nothing can be spilled that is so at half of the limit: what open files become when they end has to go beside them,
    /// because their rows lie in arrays that they share.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        let (used, limit) = (self.used(), self.limit());
        let half = if self.is_part { limit } else { (limit / 2).max(1) };
        used >= limit || (used >= half && !self.inner.spill.is_on())
    }

    /// Takes `bytes` from the budget, overdrawing it if need be.
    pub fn take(&self, bytes: u64) -> Permit {
        self.add(bytes);
        Permit { budget: self.clone(), bytes }
    }

    fn add(&self, bytes: u64) {
        self.inner.whole.add(bytes);
        if self.is_part {
            self.inner.deliveries.add(bytes);
        }
    }

    fn subtract(&self, bytes: u64) {
        if self.is_part {
            self.inner.deliveries.used.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.inner.whole.used.fetch_sub(bytes, Ordering::Relaxed);
        self.inner.freed.notify_waiters();
    }

    /// Waits while it is [used up](Self::is_used_up). Cancel-safe.
    pub async fn room(&self) {
        loop {
            let freed = self.inner.freed.notified();
            if !self.is_used_up() {
                return;
            }
            freed.await;
        }
    }

    /// Turns for one task, whose work waits for one store.
    #[must_use]
    pub fn turns(&self) -> Turns {
        Turns { shared: Arc::clone(&self.inner.turns), all: self.inner.all_turns, own: Arc::new(Semaphore::new(1)) }
    }
}

/// Turns to do something that takes memory while it goes on: for all tasks together as many at once as take a quarter of the budget, and beyond that one for each
/// task, so that those whose store does not answer do not hold up the others.
#[derive(Debug, Clone)]
pub struct Turns {
    shared: Arc<Semaphore>,
    all: u32,
    own: Arc<Semaphore>,
}

impl Turns {
    /// Waits for a turn to do something that takes about so many bytes; in the order of asking. What takes more than a quarter of the budget has all of it. Cancel-safe.
    pub async fn next(&self, bytes: u64) -> Turn {
        let units = u32::try_from(bytes / TURN_UNIT).unwrap_or(u32::MAX).clamp(1, self.all);
        // The semaphores are never closed.
        tokio::select! {
            biased;
            own = Arc::clone(&self.own).acquire_owned() => Turn(own.ok()),
            shared = Arc::clone(&self.shared).acquire_many_owned(units) => Turn(shared.ok()),
        }
    }
}

/// Leave to do something that takes memory; over when it is dropped.
#[derive(Debug)]
#[must_use = "the turn is over when it is dropped"]
pub struct Turn(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

/// Bytes taken from a [`Budget`]; dropping it gives them back.
#[derive(Debug)]
#[must_use = "dropping it gives the bytes back"]
pub struct Permit {
    budget: Budget,
    bytes: u64,
}

impl Permit {
    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds `bytes` from now on instead.
    pub fn resize(&mut self, bytes: u64) {
        if bytes >= self.bytes {
            self.budget.add(bytes - self.bytes);
        } else {
            self.budget.subtract(self.bytes - bytes);
        }
        self.bytes = bytes;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.subtract(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_count_what_is_held() {
        let budget = Budget::new(100);
        let mut a = budget.take(60);
        let b = budget.take(70);
        assert_eq!((budget.used(), budget.peak()), (130, 130), "taking never waits");
        a.resize(10);
        assert_eq!(budget.used(), 80);
        a.resize(25);
        assert_eq!(budget.used(), 95);
        drop(b);
        assert_eq!((budget.used(), budget.peak()), (25, 130));
        drop(a);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn half_of_a_process_is_its_budget_unless_the_other_half_is_too_little() {
        const MIB: u64 = 1 << 20;
        for (limit, budget) in [(512, 256), (128, 64), (96, 32), (64, 16), (4, 1)] {
            assert_eq!(Budget::of_process(limit * MIB).limit(), budget * MIB, "{limit}");
        }
    }

    #[test]
    fn what_deliveries_hold_counts_in_the_whole() {
        let budget = Budget::new(200);
        let (of_deliveries, of_whole) = (budget.deliveries().take(100), budget.take(40));
        assert_eq!((budget.deliveries().used(), budget.deliveries().is_used_up(), budget.used()), (100, true, 140));
        drop(of_deliveries);
        assert_eq!((budget.deliveries().used(), budget.deliveries().peak(), budget.used(), budget.peak()), (0, 100, 40, 140));
        drop(of_whole);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn half_of_it_is_all_where_nothing_can_be_spilled() {
        let folder = tempfile::tempdir().unwrap();
        for (spill, expected) in [(Spill::off(), [false, true, true]), (Spill::below(folder.path()), [false, false, true])] {
            let budget = Budget::new(100).spilling_to(spill);
            let found = [49, 50, 100].map(|bytes| {
                let _held = budget.take(bytes);
                budget.is_used_up()
            });
            assert_eq!(found, expected);
        }
        assert!(!Budget::new(1).is_used_up(), "nothing is held");
    }

    #[tokio::test]
    async fn turns_are_given_in_order_for_a_quarter_of_the_budget_and_what_is_larger_goes_alone() {
        let turns = Budget::new(40 * TURN_UNIT).turns();
        let turn = |units: u64| {
            let turns = turns.clone();
            tokio::spawn(async move { turns.next(units * TURN_UNIT).await })
        };
        let own = turn(1000).await.unwrap();
        let (six, four) = (turn(6).await.unwrap(), turn(4).await.unwrap());
        let (alone, after) = (turn(1000), turn(1));
        tokio::task::yield_now().await;
        drop(six);
        tokio::task::yield_now().await;
        assert!(!alone.is_finished() && !after.is_finished());
        drop(four);
        let alone = alone.await.unwrap();
        tokio::task::yield_now().await;
        assert!(!after.is_finished());
        drop(alone);
        drop((after.await.unwrap(), own));
    }

    #[tokio::test]
    async fn a_task_has_a_turn_however_many_another_holds() {
        let budget = Budget::new(40 * TURN_UNIT);
        let (stuck, healthy) = (budget.turns(), budget.turns());
        let _all = (stuck.next(TURN_UNIT).await, stuck.next(10 * TURN_UNIT).await);
        for _ in 0..3 {
            drop(healthy.next(1000 * TURN_UNIT).await);
        }
    }

    #[tokio::test]
    async fn intake_waits_until_something_was_freed() {
        let budget = Budget::new(100);
        let held = budget.take(100);
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.room().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(held);
        waiting.await.unwrap();
    }
}
