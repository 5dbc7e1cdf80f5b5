//! Where CPU work runs: on a pool of its own, so that the async threads stay free, or inline, so that a simulation is deterministic.

use std::sync::Arc;
use tokio::sync::Semaphore;

/// A handle to the CPU pool; cheap to clone.
#[derive(Debug, Clone)]
pub enum Compute {
    /// On the caller's thread.
    Inline,
    /// On blocking threads, at most as many at once as the semaphore has permits (one per core).
    Pool(Arc<Semaphore>),
}

impl Compute {
    /// A pool with that many jobs at once.
    #[must_use]
    pub fn pool(threads: usize) -> Self {
        Self::Pool(Arc::new(Semaphore::new(threads.max(1))))
    }

    /// Runs `job` and waits for it. A panic of the job is resumed in the caller. Not cancel-safe: a job that has started runs to its end.
    #[expect(clippy::disallowed_methods, reason = "the one place where CPU work leaves the async threads")]
    pub async fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        match self {
            Self::Inline => job(),
            Self::Pool(slots) => {
                // The semaphore is never closed, so a missing permit cannot happen; running without one would be harmless.
                let slot = Arc::clone(slots).acquire_owned().await.ok();
                let done = tokio::task::spawn_blocking(move || {
                    let _slot = slot;
                    job()
                });
                match done.await {
                    Ok(value) => value,
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                }
            }
        }
    }
}
