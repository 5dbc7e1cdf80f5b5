//! The source offsets of a group: `offset.storage.topic`, in the bytes of Java's workers (upstream's `KafkaOffsetBackingStore`).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::cluster::Record;
use crate::cluster::broker::Network;
use crate::cluster::log::{Entry, Isolation, Log, Purpose, Topic};
use crate::cluster::source_offsets::SourceOffsets;
use crate::connect::source::{Fields, OffsetError, OffsetStore};
use crate::kafka::{KafkaError, Props};

/// How long reading the topic to its end may take.
const READING: Duration = Duration::from_secs(30);

/// The topic, and what it says.
#[derive(Debug)]
pub struct OffsetTopic {
    log: Log,
    offsets: Arc<Mutex<SourceOffsets>>,
}

fn locked(offsets: &Mutex<SourceOffsets>) -> MutexGuard<'_, SourceOffsets> {
    offsets.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OffsetTopic {
    /// Creates the topic if it is not there, and begins to read it.
    ///
    /// # Errors
    /// What a person must mend; trouble with brokers is waited for.
    pub async fn open(props: &Props, clock: Clock) -> Result<Self, KafkaError> {
        let group = props.get("group.id").map_or("", String::as_str);
        let network = Arc::new(Network::new(props, &format!("{group}-offsets"), clock)?);
        let offsets = Arc::new(Mutex::new(SourceOffsets::new()));
        let read = Arc::clone(&offsets);
        let apply = move |entry: Entry| {
            if let Err(why) = locked(&read).apply(entry.key.as_deref(), entry.value.as_deref()) {
                tracing::warn!("{why}");
            }
        };
        let log = Log::open(&network, Topic::from_props(props, Purpose::Offsets)?, Isolation::Committed, apply).await?;
        Ok(Self { log, offsets })
    }

    async fn read(&self) -> Result<MutexGuard<'_, SourceOffsets>, OffsetError> {
        self.log.read_to_end(READING).await.map_err(|error| OffsetError(format!("offset.storage.topic: {error}")))?;
        Ok(locked(&self.offsets))
    }
}

#[async_trait]
impl OffsetStore for OffsetTopic {
    async fn list(&self, connector: &str) -> Result<Vec<(Fields, Fields)>, OffsetError> {
        let offsets = self.read().await?;
        Ok(offsets.partitions(connector).map(|(partition, offset)| (partition.clone(), offset.clone())).collect())
    }

    async fn get(&self, connector: &str, partition: &Fields) -> Result<Option<Fields>, OffsetError> {
        Ok(self.read().await?.get(connector, partition).cloned())
    }

    async fn set(&self, connector: &str, changes: &[(Fields, Option<Fields>)]) -> Result<(), OffsetError> {
        let records: Vec<Record> = {
            let offsets = locked(&self.offsets);
            let records = changes.iter().map(|(partition, offset)| offsets.records(connector, partition, offset.as_ref()));
            records.collect::<Result<Vec<_>, _>>().map_err(OffsetError)?.into_iter().flatten().collect()
        };
        self.log.write(&records).await.map_err(|error| OffsetError(format!("offset.storage.topic: {error}")))
    }
}
