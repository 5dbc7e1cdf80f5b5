//! The source offsets of one connector: in the worker's store, or in a topic of its own beside it (upstream's `ConnectorOffsetBackingStore`).
//!
//! What is in a topic of its own hides what is in the worker's, which gets a copy of everything, in case that the connector loses its own. What is deleted is
//! deleted in the worker's first, or the worker's would show it again. A connector whose clients are told of another cluster has its offsets there.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use crate::clock::Clock;
use crate::cluster::Record;
use crate::cluster::source_offsets::{Writes, merged, order_of_writes};
use crate::connect::Props;
use crate::connect::source::{Fields, OffsetError, OffsetStore};
use crate::runtime::offset_topic::{Clients, OffsetTopic};
use crate::settings::clients;

/// The key of a connector that names its own topic.
const OWN_TOPIC: &str = "offsets.storage.topic";

/// Where a worker keeps source offsets.
#[derive(Debug, Clone)]
pub enum SourceStores {
    /// In a store of its own, whatever connectors ask for.
    Worker(Arc<dyn OffsetStore>),
    /// In the group's topic, and connectors may have others.
    Topics(Arc<OffsetTopics>),
}

impl SourceStores {
    /// The store of a connector that delivers at least once. `props` are the connector's, references resolved.
    #[must_use]
    pub fn of(&self, connector: &str, props: &Props) -> Arc<dyn OffsetStore> {
        match self {
            Self::Worker(store) => Arc::clone(store),
            Self::Topics(topics) if own_topic(props).is_none() => Arc::clone(&topics.worker) as Arc<dyn OffsetStore>,
            Self::Topics(topics) => Arc::new(topics.of(connector, props)),
        }
    }
}

/// The topic that a connector asks for.
fn own_topic(props: &Props) -> Option<&str> {
    props.get(OWN_TOPIC).map(|topic| topic.trim()).filter(|topic| !topic.is_empty())
}

/// The group's topic, and what is needed for others.
#[derive(Debug)]
pub struct OffsetTopics {
    worker: Arc<OffsetTopic>,
    props: Props,
    clock: Clock,
}

impl OffsetTopics {
    /// Creates the group's topic if it is not there, and begins to read it.
    ///
    /// # Errors
    /// What a person must mend; trouble with brokers is waited for.
    pub async fn open(props: &Props, clock: Clock) -> Result<Self, crate::kafka::KafkaError> {
        Ok(Self { worker: Arc::new(OffsetTopic::open(props, clock).await?), props: props.clone(), clock })
    }

    /// The offsets of a connector whose configuration is `props`, references resolved. Its own topic is opened when it is first needed.
    #[must_use]
    pub fn of(&self, connector: &str, props: &Props) -> ConnectorOffsets {
        let clients = Clients {
            consumer: clients::offsets_props(&self.props, connector, props),
            producer: clients::producer_props(&self.props, connector, props, 0),
            admin: clients::admin_props(&self.props, connector, props, 0),
        };
        let servers = |props: &Props| props.get("bootstrap.servers").map(|servers| servers.trim().to_owned());
        let name = own_topic(props).unwrap_or(self.worker.name());
        let is_workers = name == self.worker.name() && servers(&clients.producer) == servers(&self.props);
        let own = (!is_workers).then(|| Own { name: name.to_owned(), worker: self.props.clone(), clients, clock: self.clock, topic: OnceCell::new() });
        ConnectorOffsets { worker: Arc::clone(&self.worker), own }
    }
}

/// A topic of the connector's own.
#[derive(Debug)]
struct Own {
    name: String,
    /// How it is made.
    worker: Props,
    /// How it is reached.
    clients: Clients,
    clock: Clock,
    topic: OnceCell<OffsetTopic>,
}

impl Own {
    async fn topic(&self) -> Result<&OffsetTopic, OffsetError> {
        let open = || OffsetTopic::open_own(&self.name, &self.worker, &self.clients, self.clock);
        self.topic.get_or_try_init(open).await.map_err(|error| OffsetError(format!("{OWN_TOPIC}={}: {error}", self.name)))
    }
}

/// The offsets of one connector, in topics.
#[derive(Debug)]
pub struct ConnectorOffsets {
    worker: Arc<OffsetTopic>,
    own: Option<Own>,
}

/// Offsets that can be written by a producer's transaction.
#[async_trait]
pub trait Transactional: OffsetStore {
    /// The topic that a transaction writes them to.
    fn topic(&self) -> &str;

    /// The records that make these changes.
    ///
    /// # Errors
    /// [`OffsetError`] where they cannot be written.
    async fn records(&self, connector: &str, changes: &[(Fields, Option<Fields>)]) -> Result<Vec<Record>, OffsetError>;

    /// The topic's partition that has such a record, as all who write it agree.
    ///
    /// # Errors
    /// [`OffsetError`] where the topic cannot be opened.
    async fn partition(&self, record: &Record) -> Result<i32, OffsetError>;

    /// To be called before a transaction with these records: what is deleted is deleted elsewhere first.
    ///
    /// # Errors
    /// [`OffsetError`]; then the transaction must not be.
    async fn before(&self, records: &[Record]) -> Result<(), OffsetError>;

    /// To be called after it: a copy is kept elsewhere. What fails is only logged.
    async fn after(&self, records: Vec<Record>);
}

impl ConnectorOffsets {
    /// The topic that counts.
    async fn primary(&self) -> Result<&OffsetTopic, OffsetError> {
        match &self.own {
            Some(own) => own.topic().await,
            None => Ok(&self.worker),
        }
    }
}

#[async_trait]
impl OffsetStore for ConnectorOffsets {
    async fn list(&self, connector: &str) -> Result<Vec<(Fields, Fields)>, OffsetError> {
        let owned = |(partition, offset): (&Fields, &Fields)| (partition.clone(), offset.clone());
        let Some(own) = &self.own else { return self.worker.list(connector).await };
        let own = own.topic().await?;
        let worker = self.worker.read().await?.clone();
        let own = own.read().await?;
        Ok(merged(&worker, &own, connector).into_iter().map(owned).collect())
    }

    /// For tasks, which wait for as long as it takes.
    async fn get(&self, connector: &str, partition: &Fields) -> Result<Option<Fields>, OffsetError> {
        if let Some(own) = &self.own {
            let found = own.topic().await?.read_at_last().await.get(connector, partition).cloned();
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(self.worker.read_at_last().await.get(connector, partition).cloned())
    }

    async fn set(&self, connector: &str, changes: &[(Fields, Option<Fields>)]) -> Result<(), OffsetError> {
        let records = self.records(connector, changes).await?;
        self.before(&records).await?;
        self.primary().await?.write(&records).await?;
        self.after(records).await;
        Ok(())
    }
}

#[async_trait]
impl Transactional for ConnectorOffsets {
    fn topic(&self) -> &str {
        self.own.as_ref().map_or(self.worker.name(), |own| &own.name)
    }

    async fn records(&self, connector: &str, changes: &[(Fields, Option<Fields>)]) -> Result<Vec<Record>, OffsetError> {
        self.primary().await?.records(connector, changes)
    }

    async fn partition(&self, record: &Record) -> Result<i32, OffsetError> {
        Ok(self.primary().await?.partition_of(record))
    }

    async fn before(&self, records: &[Record]) -> Result<(), OffsetError> {
        if self.own.is_some() {
            let Writes { worker_first, .. } = order_of_writes(records.to_vec());
            self.worker.write(&worker_first).await?;
        }
        Ok(())
    }

    async fn after(&self, records: Vec<Record>) {
        if self.own.is_some() {
            let Writes { worker_last, .. } = order_of_writes(records);
            if let Err(error) = self.worker.write(&worker_last).await {
                tracing::warn!(%error, "the worker's offsets topic did not take a copy of the connector's offsets");
            }
        }
    }
}
