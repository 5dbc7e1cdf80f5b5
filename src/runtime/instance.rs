//! A connector that runs: what goes on beside its tasks, and whether that has failed (upstream's `WorkerConnector`).

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::AbortHandle;

use crate::connect::{Connector, Props};

/// A running connector; what goes on ends with it.
#[derive(Debug, Default)]
pub(super) struct Instance {
    failure: Arc<Mutex<Option<String>>>,
    running: Option<AbortHandle>,
    is_started: bool,
}

impl Instance {
    /// Starts a connector of that name and class.
    pub(super) fn start(name: &Arc<str>, class: &'static dyn Connector, props: &Props) -> Self {
        let failure: Arc<Mutex<Option<String>>> = Arc::default();
        let running = class.run(props).map(|ends| {
            let (name, failure) = (Arc::clone(name), Arc::clone(&failure));
            let watch = tokio::spawn(async move {
                let trace = ends.await;
                tracing::error!(connector = %name, "connector failed: {trace}");
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(trace);
            });
            watch.abort_handle()
        });
        Self { failure, running, is_started: true }
    }

    /// True for one that was started, whether or not it has failed since.
    pub(super) fn is_started(&self) -> bool {
        self.is_started
    }

    /// Why it has failed, if it has.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(running) = &self.running {
            running.abort();
        }
    }
}
