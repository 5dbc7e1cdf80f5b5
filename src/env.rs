//! The world as values. Built once, in `main` or in a test; whoever needs a part of it receives it.

use std::sync::Arc;

use crate::clock::Clock;
use crate::compute::Compute;
use crate::kafka::Kafka;
use crate::memory::Budget;
use crate::store::Stores;

/// Live components; cheap to clone. Settings (numbers and texts) never live here.
#[derive(Debug, Clone)]
pub struct Env {
    /// Wall clock.
    pub clock: Clock,
    /// Kafka clients.
    pub kafka: Arc<dyn Kafka>,
    /// CPU pool.
    pub compute: Compute,
    /// Memory.
    pub memory: Budget,
    /// Object stores.
    pub stores: Arc<dyn Stores>,
}
