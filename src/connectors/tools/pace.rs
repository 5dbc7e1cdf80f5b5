//! How fast records are to come: so many a second, or as fast as they are taken.

use std::time::Duration;

use tokio::time::Instant;

/// Records that are given at once when there is no other limit.
const MOST: u64 = 500;

/// A number of records a second, from a moment on.
#[derive(Debug)]
pub(super) struct Pace {
    /// Negative: as fast as they are taken; 0: none.
    per_second: i64,
    started: Instant,
    given: u64,
}

impl Pace {
    /// From now on.
    pub(super) fn new(per_second: i64) -> Self {
        Self { per_second, started: Instant::now(), given: 0 }
    }

    /// Waits until a record is due, and tells how many are. Cancel-safe.
    pub(super) async fn due(&self) -> u64 {
        loop {
            let Ok(per_second) = u64::try_from(self.per_second) else { return MOST };
            if per_second == 0 {
                std::future::pending::<()>().await;
            }
            let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let due = (millis.saturating_mul(per_second) / 1000 + 1).saturating_sub(self.given);
            if due > 0 {
                return due.min(MOST);
            }
            let next = self.given.saturating_mul(1000).div_ceil(per_second);
            tokio::time::sleep_until(self.started + Duration::from_millis(next)).await;
        }
    }

    /// So many were given.
    pub(super) fn give(&mut self, records: u64) {
        self.given += records;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn records_are_due_at_their_times() {
        let mut pace = Pace::new(10);
        let mut times = Vec::new();
        for _ in 0..4 {
            assert_eq!(pace.due().await, 1);
            pace.give(1);
            times.push(pace.started.elapsed().as_millis());
        }
        assert_eq!(times, [0, 100, 200, 300]);
        tokio::time::advance(Duration::from_millis(250)).await;
        assert_eq!(pace.due().await, 2, "those that are late come at once");
    }

    #[tokio::test(start_paused = true)]
    async fn no_limit_and_no_records() {
        assert_eq!(Pace::new(-1).due().await, MOST);
        assert!(tokio::time::timeout(Duration::from_secs(99), Pace::new(0).due()).await.is_err());
    }
}
