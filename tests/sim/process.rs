//! Processes that are stopped, woken and killed at any moment.
//!
//! A process here is a set of futures. Stopping it (SIGSTOP) has two sides: its own futures are not polled, and whatever it has spawned gets no further than
//! its next call to the world, which waits at the process's gate. What the world has already accepted goes on without it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Condition {
    Running,
    Frozen,
    Dead,
}

/// One process; clones are the same one.
#[derive(Clone)]
pub(crate) struct Process(Arc<Inner>);

struct Inner {
    name: String,
    condition: Mutex<(Condition, Vec<Waker>)>,
    woken: Notify,
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:?})", self.0.name, self.locked().0)
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}

impl Process {
    /// A running process.
    pub(crate) fn start(name: String) -> Self {
        Self(Arc::new(Inner { name, condition: Mutex::new((Condition::Running, Vec::new())), woken: Notify::new() }))
    }

    fn locked(&self) -> MutexGuard<'_, (Condition, Vec<Waker>)> {
        self.0.condition.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, next: Condition) {
        let mut state = self.locked();
        if state.0 == Condition::Dead {
            return;
        }
        state.0 = next;
        let wakers = if next == Condition::Running { std::mem::take(&mut state.1) } else { Vec::new() };
        drop(state);
        if next == Condition::Running {
            self.0.woken.notify_waiters();
            wakers.into_iter().for_each(Waker::wake);
        }
    }

    /// SIGSTOP.
    pub(crate) fn freeze(&self) {
        self.turn(Condition::Frozen);
    }

    /// SIGCONT.
    pub(crate) fn wake(&self) {
        self.turn(Condition::Running);
    }

    /// SIGKILL: nothing of it goes on, except what the world has accepted.
    pub(crate) fn kill(&self) {
        self.turn(Condition::Dead);
    }

    /// True when it was killed.
    pub(crate) fn is_dead(&self) -> bool {
        self.locked().0 == Condition::Dead
    }

    /// True while it is neither stopped nor dead.
    pub(crate) fn is_running(&self) -> bool {
        self.locked().0 == Condition::Running
    }

    /// Waits while the process is stopped; for ever when it is dead. Cancel-safe.
    pub(crate) async fn gate(&self) {
        loop {
            let woken = self.0.woken.notified();
            if self.is_running() {
                return;
            }
            woken.await;
        }
    }

    /// A future that is polled only while the process runs.
    pub(crate) fn run<F: Future>(&self, work: F) -> Inside<F> {
        Inside { process: self.clone(), work: Box::pin(work) }
    }
}

/// A future inside a process.
pub(crate) struct Inside<F> {
    process: Process,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Inside<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut state = self.process.locked();
        if state.0 != Condition::Running {
            if !state.1.iter().any(|known| known.will_wake(cx.waker())) {
                state.1.push(cx.waker().clone());
            }
            return Poll::Pending;
        }
        drop(state);
        self.work.as_mut().poll(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_process_does_nothing_until_it_wakes_and_a_dead_one_never() {
    use std::time::Duration;
    let process = Process::start("p".to_owned());
    let steps = Arc::new(Mutex::new(0));
    let worker = tokio::spawn({
        let (inside, steps) = (process.clone(), Arc::clone(&steps));
        process.run(async move {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                inside.gate().await;
                *steps.lock().unwrap() += 1;
            }
        })
    });
    let seconds = async |n: u64| tokio::time::sleep(Duration::from_millis(n * 1000 + 500)).await;
    seconds(2).await;
    process.freeze();
    seconds(60).await;
    assert_eq!(*steps.lock().unwrap(), 2);
    process.wake();
    seconds(0).await;
    assert_eq!(*steps.lock().unwrap(), 3, "the timer that ran out meanwhile");
    process.kill();
    process.wake();
    seconds(60).await;
    assert_eq!(*steps.lock().unwrap(), 3);
    worker.abort();
}
