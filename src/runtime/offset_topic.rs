//! The source offsets of a group: `offset.storage.topic`, in the bytes of Java's workers (upstream's `KafkaOffsetBackingStore`).
//!
//! Only what was committed counts, and the topic is read to its last record: another task's transaction that is open may stand before an offset of this
//! connector, which must not be missed. So reading waits for such transactions to end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use crate::clock::Clock;
use crate::cluster::Record;
use crate::cluster::broker::Network;
use crate::cluster::log::{Entry, Isolation, Log, Networks, Purpose, Topic};
use crate::cluster::source_offsets::{SourceOffsets, topic_partition};
use crate::connect::source::{Fields, OffsetError, OffsetStore};
use crate::kafka::{KafkaError, Props};

/// How long reading the topic to its end may take.
const READING: Duration = Duration::from_secs(30);

/// The properties of who uses a connector's own topic: the clients that the connector's tasks have.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Of who reads it.
    pub consumer: Props,
    /// Of who writes it, outside of tasks' transactions.
    pub producer: Props,
    /// Of who creates it.
    pub admin: Props,
}

/// The topic, and what it says.
#[derive(Debug)]
pub struct OffsetTopic {
    log: Log,
    /// The key that names the topic, for messages.
    key: &'static str,
    name: String,
    offsets: Arc<Mutex<SourceOffsets>>,
}

fn locked(offsets: &Mutex<SourceOffsets>) -> MutexGuard<'_, SourceOffsets> {
    offsets.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OffsetTopic {
    /// The partition that has records of that key, as Java's producers choose it.
    #[must_use]
    pub fn partition_of(&self, record: &Record) -> i32 {
        topic_partition(&record.key, self.log.partitions()).cast_signed()
    }

    /// The worker's: creates the topic if it is not there, and begins to read it.
    ///
    /// # Errors
    /// What a person must mend; trouble with brokers is waited for.
    pub async fn open(props: &Props, clock: Clock) -> Result<Self, KafkaError> {
        let group = props.get("group.id").map_or("", String::as_str);
        let network = Arc::new(Network::new(props, &format!("{group}-offsets"), clock)?);
        Self::of(&network, Topic::from_props(props, Purpose::Offsets)?, "offset.storage.topic").await
    }

    /// A connector's own, which is made as the worker's properties say of theirs.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_own(name: &str, worker: &Props, clients: &Clients, clock: Clock) -> Result<Self, KafkaError> {
        let network = |props: &Props| Network::new(props, props.get("client.id").map_or("", String::as_str), clock).map(Arc::new);
        let networks = Networks { reads: network(&clients.consumer)?, writes: network(&clients.producer)?, creates: network(&clients.admin)? };
        let topic = Topic { name: name.to_owned(), ..Topic::from_props(worker, Purpose::Offsets)? };
        Self::of(networks, topic, "offsets.storage.topic").await
    }

    async fn of(networks: impl Into<Networks>, topic: Topic, key: &'static str) -> Result<Self, KafkaError> {
        let name = topic.name.clone();
        let offsets = Arc::new(Mutex::new(SourceOffsets::new()));
        let read = Arc::clone(&offsets);
        let apply = move |entry: Entry| {
            if let Err(why) = locked(&read).apply(entry.key.as_deref(), entry.value.as_deref()) {
                tracing::warn!("{why}");
            }
        };
        let log = Log::open(networks, topic, Isolation::Settled, apply).await?;
        Ok(Self { log, key, name, offsets })
    }

    /// The topic's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn failed(&self, error: &KafkaError) -> OffsetError {
        OffsetError(format!("{}: {error}", self.key))
    }

    /// What the topic says, read to its end.
    ///
    /// # Errors
    /// [`OffsetError`] when that takes too long.
    pub async fn read(&self) -> Result<MutexGuard<'_, SourceOffsets>, OffsetError> {
        self.log.read_to_end(READING).await.map_err(|error| self.failed(&error))?;
        Ok(locked(&self.offsets))
    }

    /// Waits until the topic is read to its end, however long that takes.
    pub async fn read_at_last(&self) -> MutexGuard<'_, SourceOffsets> {
        while let Err(error) = self.log.read_to_end(READING).await {
            tracing::warn!(topic = self.name, %error, "waiting for the offsets topic: a transaction may be open in it");
        }
        locked(&self.offsets)
    }

    /// The records that make these changes.
    ///
    /// # Errors
    /// [`OffsetError`] where they cannot be written.
    pub fn records(&self, connector: &str, changes: &[(Fields, Option<Fields>)]) -> Result<Vec<Record>, OffsetError> {
        let offsets = locked(&self.offsets);
        let records = changes.iter().map(|(partition, offset)| offsets.records(connector, partition, offset.as_ref()));
        Ok(records.collect::<Result<Vec<_>, _>>().map_err(OffsetError)?.into_iter().flatten().collect())
    }

    /// Writes records.
    ///
    /// # Errors
    /// [`OffsetError`].
    pub async fn write(&self, records: &[Record]) -> Result<(), OffsetError> {
        self.log.write(records).await.map_err(|error| self.failed(&error))
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
        let records = self.records(connector, changes)?;
        self.write(&records).await
    }
}
