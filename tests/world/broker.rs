//! Topics, records and offsets, through a client of the harness's own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lakehead::quickstart::orders;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::servers::Kafka;
use super::worker::block_on;

/// How long the broker may take for one request.
const PATIENCE: Duration = Duration::from_secs(60);

/// A topic of one test.
#[derive(Debug)]
pub(crate) struct Topic {
    bootstrap: String,
    /// Its name, unlike any other test's.
    pub(crate) name: String,
    /// Number of partitions.
    pub(crate) partitions: i32,
}

/// What a record's value is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Encoding {
    /// JSON without a schema.
    Json,
    /// JSON with its schema.
    Envelope,
    /// Avro, framed with the id of a schema.
    Avro(u32),
}

impl Topic {
    /// Creates a topic on the shared broker.
    pub(crate) fn create(name: &str, partitions: i32) -> Self {
        Self::create_at(Kafka::shared(), name, partitions)
    }

    /// Creates a topic on that broker. Messages of up to 16 MiB fit.
    pub(crate) fn create_at(kafka: &Kafka, name: &str, partitions: i32) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let topic = Self { bootstrap: kafka.bootstrap(), name: format!("{name}-{}", NUMBER.fetch_add(1, Ordering::Relaxed)), partitions };
        let admin: AdminClient<DefaultClientContext> = topic.client().create().expect("an admin client");
        let new = NewTopic::new(&topic.name, partitions, TopicReplication::Fixed(1)).set("max.message.bytes", "16777216");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        for created in block_on(admin.create_topics([&new], &options)).expect("an answer") {
            created.expect("a new topic");
        }
        topic
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        config
    }

    /// Writes these values, each to its partition; `None` is a tombstone. Returns when the broker has them all.
    pub(crate) fn send(&self, records: impl IntoIterator<Item = (i32, Option<Vec<u8>>)>) {
        let mut config = self.client();
        config.set("enable.idempotence", "true").set("compression.type", "lz4").set("message.max.bytes", "16777216").set("linger.ms", "5");
        let producer: BaseProducer = config.create().expect("a producer");
        for (partition, value) in records {
            let mut record = BaseRecord::<(), [u8]>::to(&self.name).partition(partition);
            if let Some(value) = &value {
                record = record.payload(value);
            }
            while let Err((error, again)) = producer.send(record) {
                assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
                producer.poll(Duration::from_millis(20));
                record = again;
            }
        }
        producer.flush(PATIENCE).expect("the broker takes the records");
    }

    /// Writes the orders of that range: order `i` to partition `i % partitions`.
    pub(crate) fn send_orders(&self, range: std::ops::Range<u64>, encoding: Encoding) {
        let partitions = u64::try_from(self.partitions).expect("a positive number");
        self.send(range.map(|i| {
            let mut value = Vec::with_capacity(400);
            match encoding {
                Encoding::Json => orders::write_json(&mut value, i),
                Encoding::Envelope => orders::write_envelope(&mut value, i),
                Encoding::Avro(id) => orders::write_framed_avro(&mut value, id, i),
            }
            (i32::try_from(i % partitions).expect("a small number"), Some(value))
        }));
    }

    /// Removes the topic with its records.
    pub(crate) fn remove(&self) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("an admin client");
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        for removed in block_on(admin.delete_topics(&[&self.name], &options)).expect("an answer") {
            removed.expect("a topic that was there");
        }
    }

    /// End offset of each partition.
    pub(crate) fn end_offsets(&self) -> BTreeMap<i32, i64> {
        let consumer: BaseConsumer = self.client().create().expect("a client");
        let end = |partition| consumer.fetch_watermarks(&self.name, partition, PATIENCE).expect("watermarks").1;
        (0..self.partitions).map(|partition| (partition, end(partition))).collect()
    }

    /// Committed offset of each partition in the group of connector `connector`; 0 where nothing was committed.
    pub(crate) fn committed_offsets(&self, connector: &str) -> BTreeMap<i32, i64> {
        let consumer: BaseConsumer = self.client().set("group.id", format!("connect-{connector}")).create().expect("a client");
        let mut asked = TopicPartitionList::new();
        for partition in 0..self.partitions {
            asked.add_partition(&self.name, partition);
        }
        let Ok(committed) = consumer.committed_offsets(asked, PATIENCE) else { return BTreeMap::new() };
        let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        committed.elements().iter().map(|element| (element.partition(), offset(element.offset()))).collect()
    }

    /// Sum of the committed offsets: the records that are durable, as far as the group knows.
    pub(crate) fn committed_total(&self, connector: &str) -> i64 {
        self.committed_offsets(connector).values().sum()
    }
}
