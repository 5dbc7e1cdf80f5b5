//! Topics, records and offsets, through a client of the harness's own.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lakehead::quickstart::orders;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Message, Offset, TopicPartitionList};

use super::servers::Kafka;
use super::worker::{await_some, block_on};

/// How long the broker may take for one request.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a topic is read whose end goes away as it is read.
const ENDLESS: Duration = Duration::from_secs(5);

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
        topic.make().expect("a new topic");
        topic
    }

    /// Another topic of the same broker, whoever makes it.
    pub(crate) fn sibling(&self, name: &str, partitions: i32) -> Self {
        Self { bootstrap: self.bootstrap.clone(), name: name.to_owned(), partitions }
    }

    /// End offset of the first partition, 0 while there is no such topic.
    pub(crate) fn end_offset_or_none(&self) -> i64 {
        let consumer: BaseConsumer = self.client().create().expect("a client");
        consumer.fetch_watermarks(&self.name, 0, PATIENCE).map_or(0, |(_, end)| end)
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    fn make(&self) -> Result<(), RDKafkaErrorCode> {
        let new = NewTopic::new(&self.name, self.partitions, TopicReplication::Fixed(1)).set("max.message.bytes", "16777216");
        let made = block_on(self.admin().create_topics([&new], &AdminOptions::new().operation_timeout(Some(PATIENCE)))).expect("an answer");
        made.into_iter().try_for_each(|made| made.map(drop).map_err(|(_, code)| code))
    }

    /// Deletes the topic, and makes one of the same name.
    pub(crate) fn make_again(&self) {
        self.remove();
        let made = || match self.make() {
            Ok(()) => Some(()),
            Err(RDKafkaErrorCode::TopicAlreadyExists) => None, // it is still going away
            Err(code) => panic!("the topic cannot be made again: {code}"),
        };
        await_some(PATIENCE, made, || "the topic is not deleted".to_owned());
    }

    /// Deletes the records of a partition that lie below an offset.
    pub(crate) fn delete_records_below(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).expect("an offset");
        let done = block_on(self.admin().delete_records(&list, &AdminOptions::new().operation_timeout(Some(PATIENCE)))).expect("an answer");
        done.elements().iter().for_each(|element| element.error().expect("records less"));
    }

    /// Sends the orders of `range` in a transaction that is open until it is [committed](Producer::commit_transaction).
    pub(crate) fn send_in_transaction(&self, range: std::ops::Range<u64>) -> BaseProducer {
        let producer: BaseProducer = self.client().set("transactional.id", format!("open-{}", self.name)).create().expect("a producer");
        producer.init_transactions(PATIENCE).expect("a transactional producer");
        producer.begin_transaction().expect("a transaction");
        for order in range {
            let mut value = Vec::with_capacity(400);
            orders::write_json(&mut value, order);
            producer.send(BaseRecord::<[u8], [u8]>::to(&self.name).partition(0).payload(&value)).map_err(|(error, _)| error).expect("room");
        }
        producer.flush(PATIENCE).expect("the broker takes them");
        producer
    }

    /// Commits an offset for the group of connector `connector`, which has no member.
    pub(crate) fn commit(&self, connector: &str, partition: i32, offset: i64) {
        let consumer: BaseConsumer = self.client().set("group.id", format!("connect-{connector}")).create().expect("a client");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).expect("an offset");
        consumer.commit(&list, CommitMode::Sync).expect("the coordinator takes it");
    }

    /// The values of committed records, which are numbers as text.
    pub(crate) fn committed_numbers(&self) -> Vec<u64> {
        let number = |(_, value): (Vec<u8>, Vec<u8>)| String::from_utf8_lossy(&value).parse().expect("a number");
        seen(&self.name, &self.client(), "read_committed").into_iter().map(number).collect()
    }

    /// Settings of a client of the topic's broker.
    pub(crate) fn client(&self) -> ClientConfig {
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
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        for removed in block_on(self.admin().delete_topics(&[&self.name], &options)).expect("an answer") {
            removed.expect("a topic that was there");
        }
    }

    /// Looks at every record that is there now, partition by partition as they come.
    pub(crate) fn each_record(&self, mut look: impl FnMut(&BorrowedMessage<'_>)) {
        let mut list = TopicPartitionList::new();
        for partition in 0..self.partitions {
            list.add_partition_offset(&self.name, partition, Offset::Beginning).expect("an offset");
        }
        let consumer: BaseConsumer = self.client().set("group.id", "nobody").set("enable.partition.eof", "true").create().expect("a client");
        consumer.assign(&list).expect("an assignment");
        let mut ends = 0;
        while ends < self.partitions {
            match consumer.poll(PATIENCE).expect("an answer of the broker") {
                Ok(message) => look(&message),
                Err(KafkaError::PartitionEOF(_)) => ends += 1,
                Err(error) => panic!("{} cannot be read: {error}", self.name),
            }
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

/// What a consumer sees in a topic: with `read_committed`, up to where a transaction is open; a beginning of it while somebody writes.
pub(crate) fn seen(topic: &str, client: &ClientConfig, isolation: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut config = client.clone();
    config.set("group.id", "nobody").set("isolation.level", isolation).set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().expect("a client");
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).expect("metadata");
    let mut list = TopicPartitionList::new();
    for partition in metadata.topics()[0].partitions() {
        list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("an offset");
    }
    consumer.assign(&list).expect("an assignment");
    let (mut records, mut open) = (Vec::new(), list.count());
    let deadline = Instant::now() + ENDLESS;
    while open > 0 && Instant::now() < deadline {
        let Some(polled) = consumer.poll(Duration::from_millis(200)) else { continue };
        match polled {
            Ok(record) => records.push((record.key().unwrap_or_default().to_vec(), record.payload().unwrap_or_default().to_vec())),
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{error}"),
        }
    }
    records
}
