//! A million records in each format, read back by other people's readers: every value, and the committed offsets.

use lakehead::quickstart::orders;

use crate::broker::{Encoding, Topic};
use crate::bucket::{Bucket, assert_orders, keys_by_size};
use crate::servers::Registry;
use crate::worker::{Connector, JOB, Worker};

const ORDERS: u64 = 1_000_000;
const PARTITIONS: i32 = 6;

/// Settings that end files by size, and what is left (a million is no multiple of six) by the clock.
fn large_files(connector: Connector) -> Connector {
    connector.with("flush.size", "50000").with("rotate.schedule.interval.ms", "5000").with("timezone", "UTC").with("tasks.max", "2")
}

#[test]
fn a_million_json_records_become_parquet() {
    let (topic, bucket) = (Topic::create("json-parquet", PARTITIONS), Bucket::create());
    topic.send_orders(0..ORDERS, Encoding::Json);
    let sink = large_files(Connector::s3_sink(&topic, &bucket, "parquet"));
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, JOB);
    worker.terminate();
    assert!(bucket.keys().iter().all(|key| key.ends_with(".snappy.parquet")), "{:?}", bucket.keys());
    assert_orders(&bucket.folder, "parquet", 0..ORDERS);
}

#[test]
fn a_million_enveloped_records_become_gzipped_json_by_the_hour() {
    let (topic, bucket) = (Topic::create("envelope-json", PARTITIONS), Bucket::create());
    topic.send_orders(0..ORDERS, Encoding::Envelope);
    let sink = large_files(Connector::s3_sink(&topic, &bucket, "json"))
        .with("value.converter", "org.apache.kafka.connect.json.JsonConverter")
        .with("value.converter.schemas.enable", "true")
        .with("s3.compression.type", "gzip")
        .with("partitioner.class", "io.confluent.connect.storage.partitioner.HourlyPartitioner")
        .with("locale", "en-US")
        .with("timestamp.extractor", "RecordField")
        .with("timestamp.field", "ts");
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, JOB);
    worker.terminate();
    let hours: std::collections::BTreeSet<_> = bucket.keys().iter().map(|key| key.rsplit_once('/').expect("a folder").0.to_owned()).collect();
    let hour = |hour| format!("topics/{}/year=2026/month=06/day=01/hour={hour}", topic.name);
    assert_eq!(hours, ["00", "01"].map(hour).into(), "a million orders at 7 ms span less than two hours");
    assert_orders(&bucket.folder, "json", 0..ORDERS);
}

#[test]
fn a_million_avro_records_become_avro_files() {
    let (topic, bucket, registry) = (Topic::create("avro-avro", PARTITIONS), Bucket::create(), Registry::shared());
    let id = registry.register(&topic.name, orders::AVRO_SCHEMA);
    topic.send_orders(0..ORDERS, Encoding::Avro(id));
    let sink = large_files(Connector::s3_sink(&topic, &bucket, "avro")).with_registry(&registry.url()).with("avro.codec", "snappy");
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, JOB);
    worker.terminate();
    assert_orders(&bucket.folder, "avro", 0..ORDERS);
}

/// The names are Confluent's: a reader of an old bucket finds its way in the new one.
#[test]
fn files_by_size_have_the_names_that_upstream_gives_them() {
    for (format, extension) in [("parquet", ".snappy.parquet"), ("json", ".json")] {
        let (topic, bucket) = (Topic::create("names", 3), Bucket::create());
        topic.send_orders(0..30_000, Encoding::Json);
        let sink = Connector::s3_sink(&topic, &bucket, format).with("flush.size", "2500");
        let worker = Worker::start(&[&sink]);
        worker.await_end(&sink, &topic, JOB);
        worker.terminate();
        assert_eq!(bucket.keys(), keys_by_size(&topic, 2_500, extension));
        assert_orders(&bucket.folder, format, 0..30_000);
    }
}

#[test]
fn avro_records_become_parquet_with_a_field_in_the_path() {
    let (topic, bucket, registry) = (Topic::create("avro-parquet", 2), Bucket::create(), Registry::shared());
    let id = registry.register(&topic.name, orders::AVRO_SCHEMA);
    topic.send_orders(0..20_000, Encoding::Avro(id));
    let sink = large_files(Connector::s3_sink(&topic, &bucket, "parquet"))
        .with_registry(&registry.url())
        .with("parquet.codec", "zstd")
        .with("partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner")
        .with("partition.field.name", "country,status");
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, JOB);
    worker.terminate();
    assert!(bucket.keys().iter().any(|key| key.starts_with(&format!("topics/{}/country=DE/status=PAID/", topic.name))), "{:?}", bucket.keys());
    assert_orders(&bucket.folder, "parquet", 0..20_000);
}
