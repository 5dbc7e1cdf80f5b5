//! One budget of bytes for the process: `lakehead.memory.limit`.
//!
//! Whoever holds data holds a [`Permit`] for its bytes. Taking a permit never waits and never fails, so that work which *frees* memory
//! (encoding, uploading) cannot be blocked by the lack of it; only the intake waits, in [`Budget::room`], before it accepts more records.
//! The budget may thus be overdrawn by what was already accepted: one set of batches per task.
//!
//! A [`part`](Budget::part) of a budget counts by itself what some of the holders hold; their bytes count in the whole too. What does not fit into
//! the budget and can wait goes to [`Budget::spill`].

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use crate::spill::Spill;

/// What a process needs beside its budget, however small that is.
const APART_BYTES: u64 = 64 << 20;

/// The process's budget; cheap to clone.
#[derive(Debug, Clone)]
pub struct Budget(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: u64,
    used: AtomicU64,
    peak: AtomicU64,
    freed: Notify,
    /// The budget that this one is a part of.
    whole: Option<Budget>,
    spill: Spill,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: u64) -> Self {
        Self::build(limit, None, Spill::off())
    }

    fn build(limit: u64, whole: Option<Self>, spill: Spill) -> Self {
        Self(Arc::new(Inner { limit, used: AtomicU64::new(0), peak: AtomicU64::new(0), freed: Notify::new(), whole, spill }))
    }

    /// A budget of as many bytes, with a place for what does not fit.
    #[must_use]
    pub fn spilling_to(&self, spill: Spill) -> Self {
        Self::build(self.limit(), None, spill)
    }

    /// A part of this budget that counts for itself what is taken from it; `limit` is for its holders to heed.
    #[must_use]
    pub fn part(&self, limit: u64) -> Self {
        Self::build(limit, Some(self.clone()), self.0.spill.clone())
    }

    /// Where rows go that can wait and for which there is no memory.
    #[must_use]
    pub fn spill(&self) -> &Spill {
        &self.0.spill
    }

    /// The budget of a process that may have `limit` bytes resident: half of them, and less where a half would be less than [`APART_BYTES`]. The rest is for what
    /// holds no permit: the program, the encoders' and decoders' working memory, the Kafka client's queues, batches that are on their way, and what the
    /// allocator keeps.
    #[must_use]
    pub fn of_process(limit: u64) -> Self {
        Self::new(limit.saturating_sub(APART_BYTES).clamp(limit / 4, limit / 2))
    }

    /// Bytes that may be held.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.0.limit
    }

    /// Bytes that are held.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// The most that was held at once.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// Takes `bytes` from the budget, overdrawing it if need be.
    pub fn take(&self, bytes: u64) -> Permit {
        self.add(bytes);
        Permit { budget: self.clone(), bytes }
    }

    fn add(&self, bytes: u64) {
        let used = self.0.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.0.peak.fetch_max(used, Ordering::Relaxed);
        if let Some(whole) = &self.0.whole {
            whole.add(bytes);
        }
    }

    fn subtract(&self, bytes: u64) {
        self.0.used.fetch_sub(bytes, Ordering::Relaxed);
        self.0.freed.notify_waiters();
        if let Some(whole) = &self.0.whole {
            whole.subtract(bytes);
        }
    }

    /// True when no more may be accepted.
    #[must_use]
    pub fn is_used_up(&self) -> bool {
        self.used() >= self.limit()
    }

    /// Waits until less than the limit is held. Cancel-safe.
    pub async fn room(&self) {
        loop {
            let freed = self.0.freed.notified();
            if self.used() < self.limit() {
                return;
            }
            freed.await;
        }
    }
}

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
    fn what_a_part_holds_counts_in_the_whole() {
        let budget = Budget::new(100);
        let part = budget.part(30);
        let (of_part, of_whole) = (part.take(40), budget.take(50));
        assert_eq!((part.used(), part.is_used_up(), budget.used(), budget.is_used_up()), (40, true, 90, false));
        drop(of_part);
        assert_eq!((part.used(), part.peak(), budget.used(), budget.peak()), (0, 40, 50, 90));
        drop(of_whole);
        assert_eq!(budget.used(), 0);
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
