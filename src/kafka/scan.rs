//! Every record that a topic holds now, for commands that look at it: no group, nothing committed.
//!
//! The calls wait for the broker, so they belong on a thread that may wait.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as RdError;
use rdkafka::message::Headers as _;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use super::{KafkaError, KafkaErrorKind, Props, errors, properties};

/// How long a request, or the next record, is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A record as it lies in its topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scanned {
    /// Its partition.
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its timestamp in ms.
    pub timestamp: Option<i64>,
    /// Its key's bytes.
    pub key: Option<Vec<u8>>,
    /// Its value's bytes.
    pub value: Option<Vec<u8>>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// Shows every record of a topic that is there when it begins, partition by partition in order, until `each` has seen enough. `java` is a consumer's configuration in
/// Java's spelling.
///
/// # Errors
/// [`KafkaError`] when the topic is not there or cannot be read.
pub fn scan(java: &Props, topic: &str, each: &mut dyn FnMut(Scanned) -> ControlFlow<()>) -> Result<(), KafkaError> {
    let doing = format!("reading topic {topic}");
    let explain = |error: RdError| errors::explain(&error, &doing, "");
    let mut client = ClientConfig::new();
    for (key, value) in properties::consumer(java)? {
        client.set(key, value);
    }
    client.set("group.id", "lakehead-dlq").set("enable.auto.commit", "false").set("allow.auto.create.topics", "false").set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = client.create().map_err(explain)?;
    let found = consumer.fetch_metadata(Some(topic), PATIENCE).map_err(explain)?;
    let partitions: Vec<i32> = found.topics().iter().filter(|t| t.error().is_none()).flat_map(|t| t.partitions()).map(|p| p.id()).collect();
    if partitions.is_empty() {
        return Err(KafkaError::new(KafkaErrorKind::Config, format!("{doing}: there is no such topic")));
    }
    let (mut ends, mut list) = (BTreeMap::new(), TopicPartitionList::new());
    for partition in partitions {
        let (start, end) = consumer.fetch_watermarks(topic, partition, PATIENCE).map_err(explain)?;
        if start < end {
            ends.insert(partition, end);
            list.add_partition_offset(topic, partition, Offset::Offset(start)).map_err(explain)?;
        }
    }
    consumer.assign(&list).map_err(explain)?;
    let mut last_progress = Instant::now();
    while !ends.is_empty() {
        if last_progress.elapsed() > PATIENCE {
            return Err(KafkaError::new(KafkaErrorKind::Transient, format!("{doing}: no record came for {} s", PATIENCE.as_secs())));
        }
        // What transactions leave behind has offsets and no records: the position tells that the end is reached.
        let passed = |consumer: &BaseConsumer| consumer.position().map(|list| list.to_topic_map()).unwrap_or_default();
        match consumer.poll(Duration::from_millis(200)) {
            None => {
                let positions = passed(&consumer);
                ends.retain(|partition, end| !matches!(positions.get(&(topic.to_owned(), *partition)), Some(Offset::Offset(at)) if at >= end));
            }
            Some(Err(error)) => {
                let explained = explain(error);
                if explained.kind != KafkaErrorKind::Transient {
                    return Err(explained);
                }
            }
            Some(Ok(message)) => {
                last_progress = Instant::now();
                let Some(end) = ends.get(&message.partition()).copied() else { continue };
                let (partition, offset) = (message.partition(), message.offset());
                if offset + 1 >= end {
                    ends.remove(&partition);
                }
                let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
                let scanned = Scanned {
                    partition,
                    offset,
                    timestamp: message.timestamp().to_millis().filter(|timestamp| *timestamp >= 0),
                    key: message.key().map(<[u8]>::to_vec),
                    value: message.payload().map(<[u8]>::to_vec),
                    headers: headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect(),
                };
                if offset < end && each(scanned).is_break() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}
