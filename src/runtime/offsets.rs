//! Offsets of connectors, seen and changed through the REST API (KIP-875): upstream's `SinkUtils` and its part of `Worker`.
//!
//! Those of a sink are the committed offsets of its consumer group, so they can be seen at any time, and changed while nobody is in the group. Those of a source
//! are in the worker's store, and are the business of [`source`].

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::batch::{Commits, TopicPartition};
use crate::connect::{Connector, Kind, Props};
use crate::kafka::{Group, Kafka, KafkaError, KafkaErrorKind, OffsetChanges};
use crate::runtime::HerderError;
use crate::runtime::connector_offsets::SourceStores;
use crate::settings::{self, Settings};

const TOPIC: &str = "kafka_topic";
const PARTITION: &str = "kafka_partition";
const OFFSET: &str = "kafka_offset";

/// A partition and an offset, as requests bring them and answers show them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectorOffset {
    /// Which partition.
    #[serde(default)]
    pub partition: Option<Map<String, Value>>,
    /// Where it is to go on; `None`: as if nothing had been committed.
    #[serde(default)]
    pub offset: Option<Map<String, Value>>,
}

/// What is to be done to a connector's offsets.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// These partitions change, others stay.
    Alter(Vec<ConnectorOffset>),
    /// Nothing stays.
    Reset,
}

impl Change {
    /// As messages name it once it is done.
    fn done(&self) -> &'static str {
        match self {
            Self::Alter(_) => "altered",
            Self::Reset => "reset",
        }
    }
}

/// Why the offsets of a connector that is not stopped stay as they are.
pub(super) fn not_stopped(connector: &str) -> HerderError {
    HerderError::BadRequest(format!(
        "Connectors must be in the STOPPED state before their offsets can be modified. This can be done for the specified connector by issuing a 'PUT' request \
         to the '/connectors/{connector}/stop' endpoint"
    ))
}

/// As Java's `String.valueOf` writes it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The changes that a request asks for.
fn parse(offsets: &[ConnectorOffset]) -> Result<OffsetChanges, HerderError> {
    let wrong = |message: String| Err(HerderError::BadRequest(message));
    let mut changes = OffsetChanges::new();
    for ConnectorOffset { partition, offset } in offsets {
        let Some(partition) = partition else { return wrong("The partition for a sink connector offset cannot be null or missing".to_owned()) };
        let (Some(topic), Some(number)) = (partition.get(TOPIC), partition.get(PARTITION)) else {
            return wrong(format!("The partition for a sink connector offset must contain the keys '{TOPIC}' and '{PARTITION}'"));
        };
        let number = text(number);
        let Ok(partition) = number.parse::<i32>() else {
            return wrong(format!(
                "Failed to parse the following Kafka partition value in the provided offsets: '{number}'. Partition values for sink connectors need to be integers."
            ));
        };
        let offset = match offset {
            None => None,
            Some(offset) => {
                let Some(value) = offset.get(OFFSET).map(text) else {
                    return wrong(format!("The offset for a sink connector should either be null or contain the key '{OFFSET}'"));
                };
                let Ok(offset) = value.parse::<i64>() else {
                    return wrong(format!(
                        "Failed to parse the following Kafka offset value in the provided offsets: '{value}'. Offset values for sink connectors need to be integers."
                    ));
                };
                Some(offset)
            }
        };
        changes.insert(TopicPartition::new(text(topic).as_str(), partition), offset);
    }
    Ok(changes)
}

mod source;

/// The offsets of a connector.
#[derive(Debug)]
pub(super) enum Offsets {
    /// Of a sink.
    Sink(GroupOffsets),
    /// Of a source.
    Source(source::SourceOffsets),
}

impl Offsets {
    /// Those of a connector with that configuration.
    pub(super) fn new(
        kafka: &Arc<dyn Kafka>,
        worker: &Settings,
        stores: &SourceStores,
        connector: &Arc<str>,
        class: &'static dyn Connector,
        config: &Props,
    ) -> Result<Self, HerderError> {
        let config = worker.providers.resolve(config).map_err(|errors| {
            let lines: Vec<String> = errors.into_iter().map(|error| error.message).collect();
            HerderError::Internal(lines.join("\n"))
        })?;
        Ok(match class.kind() {
            Kind::Sink => Self::Sink(GroupOffsets::new(kafka.as_ref(), worker, connector, &config)?),
            Kind::Source => Self::Source(source::SourceOffsets::new(kafka, worker, stores, connector, class, config)),
        })
    }

    /// True for those of a source.
    pub(super) fn are_of_source(&self) -> bool {
        matches!(self, Self::Source(_))
    }

    /// Where the connector goes on.
    pub(super) async fn read(&self) -> Result<Vec<ConnectorOffset>, HerderError> {
        match self {
            Self::Sink(group) => Ok(shown(&group.read().await?)),
            Self::Source(source) => source.read().await,
        }
    }

    /// Does what is asked for; the connector has no tasks. Returns what to tell who asked.
    pub(super) async fn change(&self, change: &Change) -> Result<String, HerderError> {
        match self {
            Self::Sink(group) => group.change(change).await,
            Self::Source(source) => source.change(change).await,
        }
    }
}

/// A connector's consumer group.
#[derive(Debug)]
pub(super) struct GroupOffsets {
    connector: Arc<str>,
    group: Box<dyn Group>,
    group_id: String,
}

impl GroupOffsets {
    /// The group of a connector with that configuration, as its tasks join it.
    fn new(kafka: &dyn Kafka, worker: &Settings, connector: &Arc<str>, config: &Props) -> Result<Self, HerderError> {
        let consumer = settings::consumer_props(&worker.props, connector, config, 0);
        let group_id = consumer.get("group.id").cloned().unwrap_or_default();
        let group = kafka.group(&consumer).map_err(|error| HerderError::Internal(error.message))?;
        Ok(Self { connector: Arc::clone(connector), group, group_id })
    }

    /// What the group has committed.
    async fn read(&self) -> Result<BTreeMap<TopicPartition, i64>, HerderError> {
        let failed = |error: KafkaError| {
            tracing::error!(connector = %self.connector, %error, "offsets not read");
            HerderError::Internal(format!("Failed to retrieve consumer group offsets for sink connector {}", self.connector))
        };
        Ok(self.group.committed().await.map_err(failed)?.into_iter().map(|(tp, committed)| (tp, committed.offset)).collect())
    }

    /// Does what is asked for; the group has no members. Returns what to tell who asked.
    async fn change(&self, change: &Change) -> Result<String, HerderError> {
        let changes = match change {
            Change::Alter(offsets) => parse(offsets)?,
            Change::Reset => OffsetChanges::new(),
        };
        let failed = |error: KafkaError, message: String| {
            tracing::error!(connector = %self.connector, group = self.group_id, %error, "offsets not {}", change.done());
            HerderError::Internal(message)
        };
        let connector = &self.connector;
        if changes.iter().any(|(tp, offset)| tp.partition < 0 || offset.is_some_and(|offset| offset < 0)) {
            return Err(HerderError::Internal(format!("Failed to modify offsets for sink connector {connector}")));
        }
        let before = self.group.committed().await.map_err(|error| {
            let what = if *change == Change::Reset { "list offsets prior to resetting offsets" } else { "modify offsets" };
            failed(error, format!("Failed to {what} for sink connector {connector}"))
        })?;
        let (done, verb) = match change {
            Change::Alter(_) => (self.group.alter(&changes).await, "alter"),
            Change::Reset => (self.group.delete().await, "reset"),
        };
        done.map_err(|error| {
            let message = match (error.kind, change) {
                (KafkaErrorKind::Active, _) => format!(
                    "Failed to {verb} consumer group offsets for connector {connector} either because its tasks haven't stopped completely yet or the connector \
                     was resumed before the request to {verb} its offsets could be successfully completed. If the connector is in a stopped state, this operation \
                     can be safely retried. If it doesn't eventually succeed, the Connect cluster may need to be restarted to get rid of the zombie sink tasks."
                ),
                (_, Change::Alter(_)) => format!("Failed to alter consumer group offsets for connector {connector}"),
                (_, Change::Reset) => format!("Failed to reset consumer group offsets for sink connector {connector}"),
            };
            failed(error, message)
        })?;
        self.tell(change, &changes, &before);
        Ok(format!("The offsets for this connector have been {} successfully", change.done()))
    }

    /// Writes down what was and what is, and what went with the offsets that are gone: the texts in which tasks name the files that they are about to publish.
    fn tell(&self, change: &Change, changes: &OffsetChanges, before: &Commits) {
        let is_gone = |tp: &TopicPartition| *change == Change::Reset || changes.contains_key(tp);
        for (tp, committed) in before.iter().filter(|(tp, _)| is_gone(tp)) {
            let to = changes.get(tp).copied().flatten().map_or_else(|| "none".to_owned(), |offset| offset.to_string());
            let (connector, from) = (&self.connector, committed.offset);
            if committed.metadata.is_empty() {
                tracing::info!(%connector, partition = %tp, from, to, "offset changed on request");
            } else {
                tracing::warn!(
                    %connector, partition = %tp, from, to, plan = committed.metadata,
                    "offset changed on request; the files that were planned behind it are void: those that are not published yet never will be, those that are stay"
                );
            }
        }
    }
}

/// Partitions and offsets of a group as the REST API shows them.
fn shown(offsets: &BTreeMap<TopicPartition, i64>) -> Vec<ConnectorOffset> {
    let fields = |members: [(&str, Value); 2]| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>();
    let entry = |(tp, offset): (&TopicPartition, &i64)| ConnectorOffset {
        partition: Some(fields([(PARTITION, tp.partition.into()), (TOPIC, tp.topic.as_ref().into())])),
        offset: Some(Map::from_iter([(OFFSET.to_owned(), Value::from(*offset))])),
    };
    offsets.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn parsed(body: Value) -> Result<OffsetChanges, String> {
        parse(&serde_json::from_value::<Vec<ConnectorOffset>>(body).unwrap()).map_err(|error| error.to_string())
    }

    #[test]
    fn offsets_are_read_as_upstream_reads_them() {
        let one = |offset| Ok(OffsetChanges::from([(TopicPartition::new("t", 0), offset)]));
        let wrong = |message: &str| Err(message.to_owned());
        let keys = "The partition for a sink connector offset must contain the keys 'kafka_topic' and 'kafka_partition'";
        for (entry, expected) in [
            (json!({"partition": {"kafka_topic": "t", "kafka_partition": 0}, "offset": {"kafka_offset": 5}}), one(Some(5))),
            (json!({"partition": {"kafka_topic": "t", "kafka_partition": "0", "x": 1}, "offset": {"kafka_offset": "+5"}}), one(Some(5))),
            (json!({"partition": {"kafka_topic": "t", "kafka_partition": 0}, "offset": null}), one(None)),
            (json!({"partition": {"kafka_topic": "t", "kafka_partition": 0}}), one(None)),
            (json!({"offset": {"kafka_offset": 5}}), wrong("The partition for a sink connector offset cannot be null or missing")),
            (json!({"partition": {"kafka_topic": "t"}, "offset": null}), wrong(keys)),
            (json!({"partition": {"kafka_partition": 0}, "offset": null}), wrong(keys)),
            (
                json!({"partition": {"kafka_topic": "t", "kafka_partition": "zz"}, "offset": null}),
                wrong(
                    "Failed to parse the following Kafka partition value in the provided offsets: 'zz'. Partition values for sink connectors need to be integers.",
                ),
            ),
            (
                json!({"partition": {"kafka_topic": "t", "kafka_partition": 0}, "offset": {"zz": 1}}),
                wrong("The offset for a sink connector should either be null or contain the key 'kafka_offset'"),
            ),
            (
                json!({"partition": {"kafka_topic": "t", "kafka_partition": 0}, "offset": {"kafka_offset": 1.5}}),
                wrong(
                    "Failed to parse the following Kafka offset value in the provided offsets: '1.5'. Offset values for sink connectors need to be integers.",
                ),
            ),
        ] {
            assert_eq!(parsed(json!([entry])), expected, "{entry}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_can_be_given_back(offsets in proptest::collection::btree_map(("[a-z.]{1,5}", 0..9_i32), 0..i64::MAX, 0..5)) {
            let offsets: BTreeMap<_, _> = offsets.into_iter().map(|((topic, partition), offset)| (TopicPartition::new(topic.as_str(), partition), offset)).collect();
            let changes = parsed(serde_json::to_value(shown(&offsets)).unwrap()).unwrap();
            prop_assert_eq!(changes, offsets.into_iter().map(|(tp, offset)| (tp, Some(offset))).collect::<OffsetChanges>());
        }
    }
}
