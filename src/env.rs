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

/// Parts of a world in which only a folder is real, for the tests of tasks.
#[cfg(test)]
pub(crate) mod fakes {
    use std::path::PathBuf;

    use super::{Arc, Kafka, Stores};
    use crate::connect::{Health, Props};
    use crate::kafka::{Consumer, KafkaError, Subscription};
    use crate::store::urls::{self, StoreKind};
    use crate::store::{ObjectSink, StoreError};

    /// Tasks have no consumers of their own.
    #[derive(Debug)]
    pub(crate) struct NoKafka;

    impl Kafka for NoKafka {
        fn consumer(&self, _config: &Props, _subscription: &Subscription) -> Result<Box<dyn Consumer>, KafkaError> {
            unreachable!("a task has no consumer of its own")
        }
    }

    /// Every store is this folder; a bucket that S3's keys name is a folder in it where `buckets` says so.
    #[derive(Debug)]
    pub(crate) struct Folder {
        pub(crate) root: PathBuf,
        pub(crate) buckets: bool,
    }

    impl Stores for Folder {
        fn open(&self, _kind: StoreKind, props: &Props, health: Health) -> Result<Arc<dyn ObjectSink>, StoreError> {
            let folder = if self.buckets { self.root.join(&props["s3.bucket.name"]) } else { self.root.clone() };
            urls::open(StoreKind::Url, &Props::from([("lakehead.store.url".to_owned(), folder.display().to_string())]), health)
        }
    }
}
