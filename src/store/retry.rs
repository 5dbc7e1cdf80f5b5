//! Trying again for as long as it takes: back-off, and the health text that says so.
//!
//! A [`Retry`] belongs to one sink. [`Retry::run`] repeats an attempt until it succeeds or fails in a way that a person must mend, waiting longer each
//! time. While any operation of the sink fails, the task's health shows the one that has failed for longest; it is cleared when none does any more,
//! also when the failing operation is given up.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{StoreError, StoreErrorKind};
use crate::connect::Health;

/// How long to wait between attempts: doubling from `first` to `most`, each wait shortened by up to half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Wait after the first failure.
    pub first: Duration,
    /// Longest wait.
    pub most: Duration,
    /// Where the shortening comes from: the same seed gives the same waits. Processes should differ, so that they do not return all at once.
    pub seed: u64,
}

impl Default for Backoff {
    /// 100 ms to 5 s, seed 0.
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(5), seed: 0 }
    }
}

impl Backoff {
    /// No wait is longer, whatever is configured: a store that is back must not have to wait for us.
    pub const LONGEST: Duration = Duration::from_secs(8);

    /// The wait of `operation` (any number that tells operations apart) after its `attempt`th failure, counted from 1: between half and all of
    /// `min(most, first · 2^(attempt-1))`.
    #[must_use]
    pub fn wait(&self, operation: u64, attempt: u32) -> Duration {
        let whole = self.first.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX)).min(self.most);
        let half = whole / 2;
        let share = mix(self.seed ^ mix(operation) ^ u64::from(attempt)) >> 40; // 24 random bits: exact in f64
        half + (whole - half).mul_f64(share as f64 / f64::from(1_u32 << 24))
    }
}

/// SplitMix64's finaliser (Steele, Lea, Flood 2014): every input bit moves about half of the output bits.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Why an attempt did not succeed.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Time may heal it; the text says what went wrong.
    ForNow(String),
    /// Trying again does not help.
    ForGood(StoreError),
}

/// The retry loop of one sink, and what of it is waiting; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Retry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    backoff: Backoff,
    health: Health,
    operations: AtomicU64,
    /// Number of each operation that is failing now → its text. Numbers grow, so the first entry is the one that began first.
    failing: Mutex<BTreeMap<u64, String>>,
}

impl Retry {
    /// A loop that waits as `backoff` says and reports to `health` under `store`.
    pub(crate) fn new(backoff: Backoff, health: Health) -> Self {
        Self(Arc::new(Inner { backoff, health, operations: AtomicU64::new(0), failing: Mutex::default() }))
    }

    /// Repeats `attempt` (given its number, from 1) until it succeeds or fails for good. `what` names the operation and the object in health and log.
    /// Cancel-safe: dropping it gives the operation up. When `given_up` is cancelled, the attempt under way ends, and there is no other.
    ///
    /// # Errors
    /// What failed for good; [`StoreErrorKind::Vanished`] when it was given up.
    pub(crate) async fn run<T, F>(&self, what: impl fmt::Display, given_up: &CancellationToken, mut attempt: impl FnMut(u32) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, Failed>>,
    {
        let operation = self.0.operations.fetch_add(1, Ordering::Relaxed);
        let trouble = Trouble { retry: self, operation };
        let mut failing_since = None;
        for number in 1_u32.. {
            if given_up.is_cancelled() {
                break;
            }
            let began = Instant::now();
            let error = match attempt(number).await {
                Ok(done) => {
                    if failing_since.is_some() {
                        info!(%what, attempts = number, "the store answers again");
                    }
                    return Ok(done);
                }
                Err(Failed::ForGood(error)) => return Err(error),
                Err(Failed::ForNow(error)) => error,
            };
            if given_up.is_cancelled() {
                break;
            }
            if failing_since.is_none() {
                warn!(%what, %error, "the store does not take it; retrying until it does");
            }
            let since = *failing_since.get_or_insert(began);
            trouble.report(format!("{what}: {error}; retrying, {number} attempts in {} s", since.elapsed().as_secs()));
            tokio::select! {
                () = tokio::time::sleep(self.0.backoff.wait(operation, number)) => {}
                () = given_up.cancelled() => break,
            }
        }
        Err(StoreError { kind: StoreErrorKind::Vanished, message: format!("{what}: given up") })
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<u64, String>)) {
        let mut failing = self.0.failing.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut failing);
        self.0.health.set("store", failing.values().next().cloned());
    }
}

/// One operation's line in the health text; dropping it takes the line out.
struct Trouble<'a> {
    retry: &'a Retry,
    operation: u64,
}

impl Trouble<'_> {
    fn report(&self, text: String) {
        self.retry.change(|failing| drop(failing.insert(self.operation, text)));
    }
}

impl Drop for Trouble<'_> {
    fn drop(&mut self) {
        let is_failing = self.retry.0.failing.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&self.operation);
        if is_failing {
            self.retry.change(|failing| drop(failing.remove(&self.operation)));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn retry() -> (Retry, Health) {
        let health = Health::default();
        (Retry::new(Backoff::default(), health.clone()), health)
    }

    proptest! {
        #[test]
        fn waits_lie_between_half_and_all_of_a_capped_doubling(seed: u64, operation: u64, attempt in 1_u32..200) {
            let backoff = Backoff { seed, ..Backoff::default() };
            let whole = backoff.most.min(Duration::from_millis(100).saturating_mul(2_u32.saturating_pow(attempt - 1)));
            let wait = backoff.wait(operation, attempt);
            prop_assert!(whole / 2 <= wait && wait <= whole, "{:?} of {:?}", wait, whole);
            prop_assert_eq!(wait, backoff.wait(operation, attempt));
        }
    }

    #[test]
    fn operations_and_seeds_wait_differently() {
        let backoff = Backoff::default();
        assert_ne!(backoff.wait(1, 5), backoff.wait(2, 5));
        assert_ne!(backoff.wait(1, 5), Backoff { seed: 1, ..backoff }.wait(1, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn transient_failures_are_repeated_and_shown_until_they_heal() {
        let (retry, health) = retry();
        let seen = health.clone();
        let result = retry
            .run("put of s3://b/k", &CancellationToken::new(), |number| {
                let seen = seen.clone();
                async move {
                    if number <= 20 {
                        assert_eq!(seen.trouble().is_some(), number > 1, "attempt {number}");
                        return Err(Failed::ForNow("503 SlowDown".to_owned()));
                    }
                    let text = seen.trouble().unwrap();
                    assert!(text.starts_with("put of s3://b/k: 503 SlowDown; retrying, 20 attempts in "), "{text}");
                    Ok(number)
                }
            })
            .await;
        assert_eq!(result.unwrap(), 21);
        assert_eq!(health.trouble(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn health_shows_the_oldest_trouble_and_stays_until_the_last_is_over() {
        let (retry, health) = retry();
        let never = CancellationToken::new();
        let first = {
            let (retry, never) = (retry.clone(), never.clone());
            tokio::spawn(async move { retry.run("first", &never, |_| async { Err::<(), _>(Failed::ForNow("down".to_owned())) }).await })
        };
        tokio::time::sleep(Duration::from_millis(10)).await;
        let second = retry.run("second", &never, |number| async move { if number < 4 { Err(Failed::ForNow("slow".to_owned())) } else { Ok(()) } });
        second.await.unwrap();
        assert!(health.trouble().unwrap().starts_with("first: down"), "the second's success must not hide the first's trouble");
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert_eq!(health.trouble(), None, "given up by being dropped");
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_for_good_is_tried_once_and_what_is_given_up_ends() {
        let (retry, health) = retry();
        let denied = StoreError { kind: StoreErrorKind::Denied, message: "no".to_owned() };
        let mut tries = 0;
        let error = retry
            .run("x", &CancellationToken::new(), |_| {
                tries += 1;
                std::future::ready(Err::<(), _>(Failed::ForGood(denied.clone())))
            })
            .await
            .unwrap_err();
        assert_eq!((error.kind, error.message.as_str(), tries), (StoreErrorKind::Denied, "no", 1));
        let given_up = CancellationToken::new();
        let give_up_and_fail = |_| {
            given_up.cancel();
            std::future::ready(Err::<(), _>(Failed::ForNow("down".to_owned())))
        };
        let error = retry.run("x", &given_up, give_up_and_fail).await.unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (StoreErrorKind::Vanished, "x: given up"));
        let error = retry.run::<(), std::future::Ready<_>>("x", &given_up, |_| panic!("tried though it was given up before")).await.unwrap_err();
        assert_eq!(error.message, "x: given up");
        assert_eq!(health.trouble(), None);
    }
}
