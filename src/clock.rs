//! Time as a value: wall time that follows tokio's clock, so that pausing tokio pauses the program.

use chrono::{DateTime, TimeDelta, Utc};

/// The wall clock. Sleeping is `tokio::time`; nothing else reads the time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    epoch: DateTime<Utc>,
    started: tokio::time::Instant,
}

impl Clock {
    /// The system's wall clock, from here on.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place where the program reads the system's clock")]
    pub fn system() -> Self {
        Self::starting_at(Utc::now())
    }

    /// A clock that shows `epoch` now and goes on with tokio's time.
    #[must_use]
    pub fn starting_at(epoch: DateTime<Utc>) -> Self {
        Self { epoch, started: tokio::time::Instant::now() }
    }

    /// The wall clock now.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.epoch + TimeDelta::from_std(self.started.elapsed()).unwrap_or(TimeDelta::MAX)
    }
}
