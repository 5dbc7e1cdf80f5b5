//! Records and settings that are wrong: the message that users get, and that nothing is lost once they have acted on it.

use lakehead::quickstart::orders;
use serde_json::{Value, json};

use crate::broker::{Encoding, Topic};
use crate::bucket::{Bucket, assert_orders};
use crate::servers::Registry;
use crate::worker::{Connector, SOON, Worker};

/// Order `i` as JSON text.
fn order(i: u64) -> Vec<u8> {
    let mut text = Vec::new();
    orders::write_json(&mut text, i);
    text
}

/// A sink whose files end every second, so that every record gets into one.
fn prompt(connector: Connector) -> Connector {
    connector.with("flush.size", "100").with("rotate.schedule.interval.ms", "1000").with("timezone", "UTC")
}

#[track_caller]
fn assert_says(message: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "the message does not say \"{part}\": {message}");
    }
}

/// Changes the configuration as an operator would, after which the task runs again.
fn reconfigure(worker: &Worker, connector: &Connector, key: &str, value: &str) {
    let path = format!("/connectors/{}/config", connector.name);
    let (_, mut config) = worker.rest("GET", &path, None);
    config[key] = json!(value);
    let (status, body) = worker.rest("PUT", &path, Some(&config));
    assert_eq!(status, 200, "{body}");
}

#[test]
fn malformed_json_stops_the_task_at_its_offset_and_can_be_skipped() {
    let (topic, bucket) = (Topic::create("malformed", 1), Bucket::create());
    topic.send((0..250).map(|i| (0, Some(order(i)))));
    topic.send([(0, Some(br#"{"id": 17, "ts": oops}"#.to_vec()))]);
    topic.send((250..500).map(|i| (0, Some(order(i)))));
    let sink = prompt(Connector::s3_sink(&topic, &bucket, "parquet"));

    let worker = Worker::start(&[]);
    worker.run(&sink);
    let trace = worker.await_failure(&sink);
    assert_says(&trace, &[&topic.name, "250"]);
    assert!(topic.committed_offsets(&sink.name)[&0] <= 250, "nothing at or past the bad record is committed");

    reconfigure(&worker, &sink, "errors.tolerance", "all");
    worker.await_end(&sink, &topic, SOON);
    assert_orders(&bucket.folder, "parquet", 0..500);
}

#[test]
fn an_unknown_schema_id_stops_the_task_and_names_the_id() {
    let (topic, bucket, registry) = (Topic::create("unknown-id", 1), Bucket::create(), Registry::shared());
    let id = registry.register(&topic.name, orders::AVRO_SCHEMA);
    topic.send_orders(0..100, Encoding::Avro(id));
    topic.send_orders(100..101, Encoding::Avro(99_999_999));
    let sink = prompt(Connector::s3_sink(&topic, &bucket, "avro")).with_registry(&registry.url());
    let worker = Worker::start(&[]);
    worker.run(&sink);
    assert_says(&worker.await_failure(&sink), &[&topic.name, "100", "99999999"]);
    reconfigure(&worker, &sink, "errors.tolerance", "all");
    worker.await_end(&sink, &topic, SOON);
    assert_orders(&bucket.folder, "avro", 0..100);
}

/// Where a schema says which fields there are, a name that is not among them is a mistake; without a schema it is a record that lacks it.
#[test]
fn a_missing_partition_field_is_named_or_is_null() {
    let registry = Registry::shared();
    let by_region = |connector: Connector| {
        let partitioner = "io.confluent.connect.storage.partitioner.FieldPartitioner";
        prompt(connector).with("partitioner.class", partitioner).with("partition.field.name", "region")
    };
    let worker = Worker::start(&[]);

    let (topic, bucket) = (Topic::create("no-field-avro", 1), Bucket::create());
    topic.send_orders(0..100, Encoding::Avro(registry.register(&topic.name, orders::AVRO_SCHEMA)));
    let sink = by_region(Connector::s3_sink(&topic, &bucket, "parquet")).with_registry(&registry.url());
    worker.run(&sink);
    assert_says(&worker.await_failure(&sink), &[&topic.name, "region"]);
    reconfigure(&worker, &sink, "partition.field.name", "country");
    worker.await_end(&sink, &topic, SOON);
    assert_orders(&bucket.folder, "parquet", 0..100);

    let (topic, bucket) = (Topic::create("no-field-json", 1), Bucket::create());
    topic.send_orders(0..100, Encoding::Json);
    let sink = by_region(Connector::s3_sink(&topic, &bucket, "parquet"));
    worker.run(&sink);
    worker.await_end(&sink, &topic, SOON);
    assert!(bucket.keys().iter().all(|key| key.contains("/region=null/")), "{:?}", bucket.keys());
    assert_orders(&bucket.folder, "parquet", 0..100);
}

#[test]
fn a_tombstone_stops_the_task_unless_it_is_to_be_ignored() {
    let (topic, bucket) = (Topic::create("tombstone", 1), Bucket::create());
    topic.send((0..150).map(|i| (0, Some(order(i)))));
    topic.send([(0, None)]);
    topic.send((150..300).map(|i| (0, Some(order(i)))));
    let sink = prompt(Connector::s3_sink(&topic, &bucket, "json"));
    let worker = Worker::start(&[]);
    worker.run(&sink);
    assert_says(&worker.await_failure(&sink), &[&topic.name, "150", "behavior.on.null.values"]);
    reconfigure(&worker, &sink, "behavior.on.null.values", "ignore");
    worker.await_end(&sink, &topic, SOON);
    assert_orders(&bucket.folder, "json", 0..300);
}

/// Five times the bytes that a fetch asks for from one partition: Kafka hands such a record over by itself (KIP-74), and it gets through.
#[test]
fn a_record_over_the_fetch_limit_gets_through() {
    let (topic, bucket) = (Topic::create("large", 1), Bucket::create());
    let large = |i| {
        let text = order(i);
        let mut spaced = vec![b' '; 5 * 1024 * 1024];
        spaced.splice(0..0, text[..1].iter().copied());
        spaced.extend_from_slice(&text[1..]);
        spaced
    };
    topic.send((0..30).map(|i| (0, Some(if i % 10 == 5 { large(i) } else { order(i) }))));
    let sink = prompt(Connector::s3_sink(&topic, &bucket, "parquet"));
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, SOON);
    assert_orders(&bucket.folder, "parquet", 0..30);
}

/// Settings that cannot work are refused when the connector is made, with upstream's status and the key's name.
#[test]
fn wrong_settings_are_refused_by_name() {
    let (topic, bucket) = (Topic::create("settings", 1), Bucket::create());
    let by_time = |connector: Connector| {
        let partitioner = "io.confluent.connect.storage.partitioner.TimeBasedPartitioner";
        connector.with("partitioner.class", partitioner).with("locale", "en").with("partition.duration.ms", "3600000").with("timezone", "UTC")
    };
    let worker = Worker::start(&[]);
    let sink = || Connector::s3_sink(&topic, &bucket, "parquet");
    for (connector, parts) in [
        (by_time(sink()).with("path.format", "YYYY").with("timezone", "Mars/Olympus"), ["timezone", "Mars/Olympus"]),
        (by_time(sink()).with("path.format", "YYYY").with("rotate.interval.ms", "often"), ["rotate.interval.ms", "often"]),
        (sink().with("flush.size", "many"), ["flush.size", "many"]),
        (sink().with("parquet.codec", "zip"), ["parquet.codec", "zip"]),
        (sink().with("format.class", "com.example.Xml"), ["format.class", "com.example.Xml"]),
        (sink().with("behavior.on.null.values", "shrug"), ["behavior.on.null.values", "shrug"]),
    ] {
        let (status, body) = worker.create(&connector);
        assert_eq!((status, &body["error_code"]), (400, &json!(400)), "{body}");
        assert_says(body["message"].as_str().unwrap_or_default(), &parts);
    }
    assert_eq!(worker.rest("GET", "/connectors", None), (200, Value::Array(Vec::new())), "a refused connector is not there");
}
