//! The offsets of a source connector, seen and changed: `Worker.modifySourceConnectorOffsets`. Where tasks deliver exactly once, a change is a transaction
//! under the first task's `transactional.id`, so that no such task can write at the same time.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Change, ConnectorOffset};
use crate::connect::source::{Fields, OffsetChange, OffsetError, OffsetStore};
use crate::connect::{Connector, Props};
use crate::kafka::{Kafka, KafkaError, KafkaErrorKind, NotQueued, OutgoingRecord, Producer};
use crate::runtime::HerderError;
use crate::runtime::connector_offsets::{ConnectorOffsets, SourceStores, Transactional as _};
use crate::settings::{self, ExactlyOnce, Settings, clients};

/// How long one step of a transaction may take.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
/// How often a commit is tried.
const COMMITS: u32 = 3;

/// What a connector has in the store.
#[derive(Debug)]
pub(in crate::runtime) struct SourceOffsets {
    store: Arc<dyn OffsetStore>,
    connector: Arc<str>,
    class: &'static dyn Connector,
    config: Props,
}

impl SourceOffsets {
    /// `config` has its references resolved.
    pub(super) fn new(
        kafka: &Arc<dyn Kafka>,
        worker: &Settings,
        stores: &SourceStores,
        connector: &Arc<str>,
        class: &'static dyn Connector,
        config: Props,
    ) -> Self {
        let store: Arc<dyn OffsetStore> = match stores {
            SourceStores::Topics(topics) if worker.exactly_once == ExactlyOnce::Enabled => Arc::new(InTransactions {
                offsets: topics.of(connector, &config),
                kafka: Arc::clone(kafka),
                producer: settings::producer_props(&worker.props, connector, &config, 0),
                transactional_id: clients::transactional_id(&worker.props, connector, 0),
            }),
            stores => stores.of(connector, &config),
        };
        Self { store, connector: Arc::clone(connector), class, config }
    }

    pub(super) async fn read(&self) -> Result<Vec<ConnectorOffset>, HerderError> {
        let failed = |error: OffsetError| {
            tracing::error!(connector = %self.connector, %error, "offsets not read");
            HerderError::Internal(format!("Failed to retrieve offsets for source connector {}", self.connector))
        };
        let found = self.store.list(&self.connector).await.map_err(failed)?;
        Ok(found.into_iter().map(|(partition, offset)| ConnectorOffset { partition: Some(partition), offset: Some(offset) }).collect())
    }

    pub(super) async fn change(&self, change: &Change) -> Result<String, HerderError> {
        let connector = &self.connector;
        let failed = |error: OffsetError| {
            tracing::error!(%connector, %error, "offsets not {}", change.done());
            HerderError::Internal(format!("Failed to modify offsets for source connector {connector}"))
        };
        let wanted: Vec<OffsetChange> = match change {
            Change::Alter(offsets) => offsets.iter().map(|ConnectorOffset { partition, offset }| (partition.clone(), offset.clone())).collect(),
            Change::Reset => self.store.list(connector).await.map_err(failed)?.into_iter().map(|(partition, _)| (Some(partition), None)).collect(),
        };
        for (partition, offset) in &wanted {
            for fields in [partition, offset].into_iter().flatten() {
                check_format(fields)?;
            }
        }
        let is_complete = self.class.alter_offsets(&self.config, &wanted).map_err(HerderError::Internal)?;
        let mut changes: Vec<(Fields, Option<Fields>)> = Vec::with_capacity(wanted.len());
        for (partition, offset) in wanted {
            let missing = || HerderError::Internal(format!("Failed to modify offsets for source connector {connector}"));
            changes.push((partition.ok_or_else(missing)?, offset));
        }
        if !changes.is_empty() {
            self.store.set(connector, &changes).await.map_err(failed)?;
        }
        for (partition, offset) in &changes {
            let shown = |fields: &Fields| serde_json::Value::Object(fields.clone()).to_string();
            tracing::info!(%connector, partition = shown(partition), to = offset.as_ref().map_or_else(|| "none".to_owned(), shown), "offset changed on request");
        }
        let done = change.done();
        Ok(if is_complete {
            format!("The offsets for this connector have been {done} successfully")
        } else {
            format!(
                "The Connect framework-managed offsets for this connector have been {done} successfully. However, if this connector manages offsets externally, \
                 they will need to be manually {done} in the system that the connector uses."
            )
        })
    }
}

/// Offsets that change in transactions.
#[derive(Debug)]
struct InTransactions {
    offsets: ConnectorOffsets,
    kafka: Arc<dyn Kafka>,
    producer: crate::kafka::Props,
    transactional_id: String,
}

impl InTransactions {
    async fn write(&self, producer: &mut dyn Producer, records: &[crate::cluster::Record]) -> Result<(), KafkaError> {
        producer.init_transactions(PATIENCE).await?;
        producer.begin_transaction()?;
        for (token, record) in records.iter().enumerate() {
            let partition = self.offsets.partition(record).await.map_err(|error| KafkaError::new(KafkaErrorKind::Transient, error.0))?;
            let out = OutgoingRecord {
                topic: self.offsets.topic(),
                partition: Some(partition),
                timestamp: None,
                key: Some(&record.key),
                value: record.value.as_deref(),
                headers: &[],
            };
            while let Err(refused) = producer.send(token, out) {
                match refused {
                    NotQueued::Full => drop(producer.settled().await),
                    NotQueued::Refused(error) => return Err(error),
                }
            }
        }
        let mut tries = 0;
        while let Err(error) = producer.commit_transaction(PATIENCE).await {
            tries += 1;
            if error.kind != KafkaErrorKind::Transient || tries == COMMITS {
                return Err(error);
            }
            tracing::warn!(%error, "committing changed offsets again");
        }
        Ok(())
    }
}

#[async_trait]
impl OffsetStore for InTransactions {
    async fn list(&self, connector: &str) -> Result<Vec<(Fields, Fields)>, OffsetError> {
        self.offsets.list(connector).await
    }

    async fn get(&self, connector: &str, partition: &Fields) -> Result<Option<Fields>, OffsetError> {
        self.offsets.get(connector, partition).await
    }

    async fn set(&self, connector: &str, changes: &[(Fields, Option<Fields>)]) -> Result<(), OffsetError> {
        let failed = |error: KafkaError| OffsetError(error.message);
        // Known texts of partitions are deleted and written under their own bytes.
        drop(self.offsets.list(connector).await?);
        let records = self.offsets.records(connector, changes).await?;
        self.offsets.before(&records).await?;
        let mut producer = self.kafka.transactional_producer(&self.producer, &self.transactional_id).map_err(failed)?;
        let written = self.write(producer.as_mut(), &records).await;
        producer.close().await;
        written.map_err(failed)?;
        self.offsets.after(records).await;
        Ok(())
    }
}

/// `OffsetUtils.validateFormat`.
fn check_format(fields: &Fields) -> Result<(), HerderError> {
    match fields.iter().find(|(_, value)| value.is_object() || value.is_array()) {
        None => Ok(()),
        Some((name, value)) => {
            let kind = if value.is_array() { "ARRAY" } else { "MAP" };
            Err(HerderError::Internal(format!("Offsets may only contain primitive types as values, but field {name} contains {kind}")))
        }
    }
}
