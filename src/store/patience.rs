//! How long one request may take before it is given up and made again.
//!
//! A store that is slow must be waited for, and a connection on which nobody will ever answer must not be. Both look the same, so the limit follows what
//! the store shows: it begins at what a request of that size should need at worst, doubles when it was too short, and follows the slowest of late.
//! One [`Patience`] belongs to one store, so that what one request has found out the next need not; beside it each operation doubles its own limit
//! ([`counted`]), which the quick answers to other requests do not shorten.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Longest expected time until a store begins to answer.
const ANSWER: Duration = Duration::from_secs(40);

/// Slowest expected transfer, in bytes a second.
const RATE: u64 = 512 << 10;

/// No request is waited for longer than this, or than is expected of its size.
const MOST: Duration = Duration::from_secs(12 * 60);

/// The unit of [`Patience::times`]: limits are kept as multiples of what is expected, in hundredths.
const ONCE: u32 = 100;

tokio::task_local! {
    static HUNG: Arc<AtomicU32>;
}

/// Makes the requests of `call`, an attempt of an operation that has hung as often as `hung` counts.
pub(super) async fn counted<F: Future>(hung: Arc<AtomicU32>, call: F) -> F::Output {
    HUNG.scope(hung, call).await
}

/// What is known of a store's slowness.
#[derive(Debug)]
pub(super) struct Patience {
    /// Limit by expectation, in hundredths.
    times: AtomicU32,
}

/// The limit was reached.
#[derive(Debug, thiserror::Error)]
#[error("no answer within {} s", .0.as_secs())]
pub(super) struct NoAnswer(pub(super) Duration);

impl Default for Patience {
    fn default() -> Self {
        Self { times: AtomicU32::new(ONCE) }
    }
}

impl Patience {
    /// The longest that any request which carries `bytes` is waited for.
    pub(super) fn longest(bytes: u64) -> Duration {
        expected(bytes).max(MOST)
    }

    /// The longest that one is waited for now.
    pub(super) fn limit(&self, bytes: u64) -> Duration {
        let hung = HUNG.try_with(|hung| hung.load(Ordering::Relaxed)).unwrap_or(0);
        let times = self.times.load(Ordering::Relaxed).max(ONCE.saturating_mul(1 << hung.min(16)));
        (expected(bytes) * times / ONCE).min(Self::longest(bytes))
    }

    /// Waits for an exchange whose request carries `bytes`, and learns from how long it took. An answer that is an error teaches as much as any.
    ///
    /// # Errors
    /// [`NoAnswer`] when the limit was reached; the exchange is ended.
    pub(super) async fn wait<T>(&self, bytes: u64, exchange: impl Future<Output = T>) -> Result<T, NoAnswer> {
        let (began, limit) = (Instant::now(), self.limit(bytes));
        if let Ok(answer) = tokio::time::timeout(limit, exchange).await {
            // Twice of what it took is enough for the next; what is held beyond that is halved with each answer.
            let needed = ratio(began.elapsed() * 2, bytes);
            self.change(|times| needed.max(times / 2));
            return Ok(answer);
        }
        // Requests that hang together double the limit once, not each.
        let doubled = ratio(limit * 2, bytes);
        self.change(|times| times.max(doubled));
        HUNG.try_with(|hung| hung.fetch_add(1, Ordering::Relaxed)).ok(); // outside of an operation nobody counts
        Err(NoAnswer(limit))
    }

    fn change(&self, change: impl Fn(u32) -> u32) {
        let longest = ratio(MOST, 0);
        let changed = |times| Some(change(times).clamp(ONCE, longest));
        self.times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed).ok(); // it always changes
    }
}

fn expected(bytes: u64) -> Duration {
    ANSWER + Duration::from_millis(bytes.saturating_mul(1000) / RATE)
}

/// `time` by what is expected of `bytes`, in hundredths.
fn ratio(time: Duration, bytes: u64) -> u32 {
    u32::try_from(time.as_millis() * u128::from(ONCE) / expected(bytes).as_millis().max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: u64 = 8 << 20;

    async fn exchange(patience: &Patience, bytes: u64, takes: u64) -> Result<(), u64> {
        let taking = async { tokio::time::sleep(Duration::from_secs(takes)).await };
        patience.wait(bytes, taking).await.map_err(|NoAnswer(limit)| limit.as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_takes_30_s_a_request_is_never_cut_off() {
        let patience = Patience::default();
        for bytes in [0, 1000, PART, 1 << 30] {
            for _ in 0..20 {
                assert_eq!(exchange(&patience, bytes, 30).await, Ok(()), "{bytes}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn limits_grow_until_the_store_is_slower_no_more_and_are_kept_while_it_is_slow() {
        let patience = Patience::default();
        let tries = [(10, Ok(())), (300, Err(40)), (300, Err(80)), (300, Err(160)), (300, Ok(())), (300, Ok(())), (300, Ok(())), (300, Ok(()))];
        for (at, (takes, expected)) in tries.into_iter().enumerate() {
            assert_eq!(exchange(&patience, 0, takes).await, expected, "{at}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_for_ever_is_given_up_each_time_and_forgotten_with_quick_answers() {
        let patience = Patience::default();
        let hung: Vec<_> = (0..8).map(|_| exchange(&patience, 0, u64::from(u32::MAX))).collect();
        assert_eq!(futures::future::join_all(hung).await, [Err(40); 8]);
        assert_eq!(patience.limit(0).as_secs(), 80, "they hung together: doubled once");
        let mut limits = Vec::new();
        for _ in 0..7 {
            limits.push(exchange(&patience, 0, u64::from(u32::MAX)).await.unwrap_err());
        }
        assert_eq!(limits, [80, 160, 320, 640, 720, 720, 720]);
        for _ in 0..5 {
            exchange(&patience, 0, 1).await.unwrap();
        }
        assert_eq!(patience.limit(0), ANSWER);
    }

    #[tokio::test(start_paused = true)]
    async fn an_operation_is_given_more_time_whatever_others_need() {
        let (patience, hung) = (Patience::default(), Arc::new(AtomicU32::new(0)));
        let mut found = Vec::new();
        for _ in 0..4 {
            found.push(counted(Arc::clone(&hung), exchange(&patience, 0, 300)).await);
            for _ in 0..5 {
                exchange(&patience, 0, 1).await.unwrap();
            }
        }
        assert_eq!(found, [Err(40), Err(80), Err(160), Ok(())]);
    }

    #[test]
    fn limits_follow_size() {
        let patience = Patience::default();
        for (bytes, seconds) in [(0, 40), (PART, 56), (100 << 20, 240), (1 << 30, 2088)] {
            assert_eq!(patience.limit(bytes).as_secs(), seconds, "{bytes}");
        }
    }
}
