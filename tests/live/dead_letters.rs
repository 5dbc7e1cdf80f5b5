//! Records that fail at every stage: each of them is a dead letter with its original bytes, and every good record is in a file once.
//!
//! One partition has a single bad record, the others 1 %, 10 % and 50 %. `make poison` is the same with a hundred thousand good records in each.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::Command;
use std::time::Duration;

use lakehead::quickstart::orders;
use rdkafka::Message as _;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, Headers as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

use crate::broker::Topic;
use crate::bucket::{Bucket, assert_orders, files_below};
use crate::servers::{S3_KEY, S3_SECRET};
use crate::worker::{Connector, JOB, SOON, Worker, await_some};

/// A record as it is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sent {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    /// Milliseconds; -1: none.
    timestamp: i64,
}

/// 2026, as every order.
const NOW: i64 = 1_780_000_000_000;

fn json(i: u64) -> Vec<u8> {
    let mut text = Vec::new();
    orders::write_json(&mut text, i);
    text
}

fn good(value: Vec<u8>) -> Sent {
    Sent { key: Some(b"1".to_vec()), value: Some(value), timestamp: NOW }
}

/// Sends records with a header each, in order, and returns when the broker has them.
fn send(topic: &Topic, records: impl IntoIterator<Item = (i32, Sent)>) {
    let producer: BaseProducer = topic.client().set("enable.idempotence", "true").set("linger.ms", "5").create().expect("a producer");
    for (partition, Sent { key, value, timestamp }) in records {
        let headers = OwnedHeaders::new().insert(Header { key: "trace", value: Some(b"\xff\x01") }).insert(Header::<&[u8]> { key: "none", value: None });
        let mut record = BaseRecord::<[u8], [u8]>::to(&topic.name).partition(partition).timestamp(timestamp).headers(headers);
        record.key = key.as_deref();
        record.payload = value.as_deref();
        while let Err((error, again)) = producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            producer.poll(Duration::from_millis(20));
            record = again;
        }
    }
    producer.flush(SOON).expect("the broker takes the records");
}

/// A dead letter as it lies in the queue.
#[derive(Debug)]
struct Letter {
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    timestamp: Option<i64>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Letter {
    fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(known, _)| known == name).and_then(|(_, value)| value.clone());
        String::from_utf8(found.unwrap_or_default()).expect("text")
    }

    /// Partition and offset that it came from.
    fn from(&self) -> (i32, i64) {
        let number = |name| self.header(name).parse::<i64>().expect("a number");
        (i32::try_from(number("__connect.errors.partition")).expect("a partition"), number("__connect.errors.offset"))
    }
}

fn letters(topic: &Topic) -> Vec<Letter> {
    let mut all = Vec::new();
    topic.each_record(|record| {
        let headers = record.headers().map(|headers| headers.iter().map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec))).collect());
        all.push(Letter {
            key: record.key().map(<[u8]>::to_vec),
            value: record.payload().map(<[u8]>::to_vec),
            timestamp: record.timestamp().to_millis(),
            headers: headers.unwrap_or_default(),
        });
    });
    all
}

/// The dead letter queue of a topic's sink, which the sink makes.
fn queue(topic: &Topic) -> Topic {
    topic.sibling(&format!("{}-dead", topic.name), 1)
}

/// A sink that tolerates bad records, and has such a queue.
fn tolerant(sink: Connector, topic: &Topic) -> Connector {
    sink.with("errors.tolerance", "all")
        .with("errors.deadletterqueue.topic.name", &queue(topic).name)
        .with("errors.deadletterqueue.topic.replication.factor", "1")
        .with("errors.deadletterqueue.context.headers.enable", "true")
}

/// What goes wrong, and where.
struct Stage {
    name: &'static str,
    format: &'static str,
    settings: &'static [(&'static str, &'static str)],
    good: fn(u64) -> Sent,
    bad: fn(u64) -> Sent,
}

const JSON: &str = "org.apache.kafka.connect.json.JsonConverter";
const ENVELOPE: (&str, &str) = ("value.converter.schemas.enable", "true");

/// An order with its schema, of that version.
fn envelope(version: u32, i: u64) -> Vec<u8> {
    let schema = orders::CONNECT_SCHEMA.strip_suffix('}').expect("an object");
    format!(r#"{{"schema":{schema},"version":{version}}},"payload":{}}}"#, String::from_utf8(json(i)).expect("text")).into_bytes()
}

const STAGES: [(&str, Stage); 6] = [
    (
        "key",
        Stage {
            name: "KEY_CONVERTER",
            format: "parquet",
            settings: &[
                ("key.converter", JSON),
                ("key.converter.schemas.enable", "false"),
                ("value.converter", JSON),
                ("value.converter.schemas.enable", "false"),
            ],
            good: |i| good(json(i)),
            bad: |i| Sent { key: Some(b"{\"k\":".to_vec()), ..good(json(i)) },
        },
    ),
    (
        "value",
        Stage {
            name: "VALUE_CONVERTER",
            format: "parquet",
            settings: &[],
            good: |i| good(json(i)),
            bad: |i| good(format!(r#"{{"id":{i},"ts": oops}}"#).into_bytes()),
        },
    ),
    (
        "transform",
        Stage {
            name: "TRANSFORMATION",
            format: "parquet",
            settings: &[
                ("transforms", "route"),
                ("transforms.route.type", "org.apache.kafka.connect.transforms.TimestampRouter"),
                ("transforms.route.topic.format", "${topic}"),
            ],
            good: |i| good(json(i)),
            bad: |i| Sent { timestamp: -1, ..good(json(i)) },
        },
    ),
    (
        "path",
        Stage {
            name: "TASK_PUT",
            format: "json",
            settings: &[
                ("partitioner.class", "io.confluent.connect.storage.partitioner.TimeBasedPartitioner"),
                ("path.format", "YYYY"),
                ("partition.duration.ms", "3600000"),
                ("locale", "en-US"),
                ("timezone", "UTC"),
                ("timestamp.extractor", "RecordField"),
                ("timestamp.field", "ts"),
            ],
            good: |i| good(json(i)),
            bad: |i| good(format!(r#"{{"id":{i},"ts":"never"}}"#).into_bytes()),
        },
    ),
    (
        "schema",
        Stage {
            name: "TASK_PUT",
            format: "avro",
            settings: &[("value.converter", JSON), ENVELOPE, ("schema.compatibility", "BACKWARD")],
            good: |i| good(envelope(2, i)),
            // Without a version it cannot be told whether it is older than what the open file has.
            bad: |i| good(format!(r#"{{"schema":{},"payload":{}}}"#, orders::CONNECT_SCHEMA, String::from_utf8(json(i)).expect("text")).into_bytes()),
        },
    ),
    (
        "format",
        Stage {
            name: "TASK_PUT",
            format: "parquet",
            settings: &[("value.converter", JSON), ENVELOPE],
            good: |i| good(envelope(2, i)),
            bad: |i| good(format!(r#"{{"schema":{{"type":"int32"}},"payload":{i}}}"#).into_bytes()),
        },
    ),
];

/// The records of a partition: good ones with bad ones between them, the first and the last are good.
fn mixed(stage: &Stage, partition: u64, goods: u64) -> Vec<(bool, Sent)> {
    let mut records = Vec::new();
    for n in 0..goods {
        let i = partition * goods + n;
        records.push((false, (stage.good)(i)));
        let is_poisoned = match partition {
            0 => n == goods / 2,
            1 => n % 99 == 98,
            2 => n % 9 == 8,
            _ => true,
        };
        if is_poisoned && n + 1 < goods {
            records.push((true, (stage.bad)(i)));
        }
    }
    records
}

#[test]
fn whatever_fails_at_any_stage_is_a_dead_letter_and_the_rest_is_in_files_once() {
    poison(600);
}

/// One in a hundred thousand, too.
#[test]
#[ignore = "takes minutes: make poison"]
fn a_hundred_thousand_records_at_each_stage() {
    poison(100_000);
}

fn poison(goods: u64) {
    let flush = goods.to_string();
    let jobs = STAGES.map(|(name, stage)| {
        let (topic, bucket) = (Topic::create(&format!("poison-{name}"), 4), Bucket::create());
        let mut sent = BTreeMap::new();
        for partition in 0..4_u64 {
            let number = i32::try_from(partition).expect("a small number");
            let records = mixed(&stage, partition, goods);
            send(&topic, records.iter().map(|(_, record)| (number, record.clone())));
            let bad = (0_i64..).zip(records).filter(|(_, (is_bad, _))| *is_bad).map(|(offset, (_, record))| ((number, offset), record));
            sent.extend(bad);
        }
        // A file ends with a partition's last record, whatever the clock says.
        let sink = tolerant(Connector::s3_sink(&topic, &bucket, stage.format), &topic).with("flush.size", &flush);
        let sink = stage.settings.iter().fold(sink, |sink, (key, value)| sink.with(key, value));
        (stage, topic, bucket, sent, sink)
    });
    let sinks: Vec<&Connector> = jobs.iter().map(|(.., sink)| sink).collect();
    let worker = Worker::start(&sinks);
    for (stage, topic, bucket, bad, sink) in &jobs {
        worker.await_end(sink, topic, JOB);
        let status = worker.status(sink);
        assert_eq!(status["tasks"][0]["lakehead"]["rejected"], Value::from(bad.len()), "{status}");
        let found = letters(&queue(topic));
        assert_eq!(found.len(), bad.len(), "{}", topic.name);
        for letter in &found {
            let sent = &bad[&letter.from()];
            assert_eq!((&letter.key, &letter.value), (&sent.key, &sent.value));
            assert!(sent.timestamp == -1 || letter.timestamp == Some(sent.timestamp));
            assert_eq!(letter.headers[..2], [("trace".to_owned(), Some(b"\xff\x01".to_vec())), ("none".to_owned(), None)]);
            let header = |name: &str| letter.header(&format!("__connect.errors.{name}"));
            assert_eq!(
                [header("topic"), header("connector.name"), header("task.id"), header("stage")],
                [&topic.name, &sink.name, "0", stage.name].map(str::to_owned)
            );
            assert!(!header("class.name").is_empty() && !header("exception.message").is_empty());
            assert!(header("exception.stacktrace").starts_with(&header("exception.class.name")));
        }
        let distinct: std::collections::BTreeSet<_> = found.iter().map(Letter::from).collect();
        assert_eq!(distinct.len(), bad.len(), "each once");
        assert_orders(&bucket.folder, stage.format, 0..4 * goods);
    }
    worker.terminate();
}

/// Orders of a range with a bad record after every ninth.
fn tenth_bad(range: Range<u64>) -> Vec<Sent> {
    let bad = |i: u64| good(format!("bad {i}").into_bytes());
    range.flat_map(|i| [Some(good(json(i))), (i % 9 == 8).then(|| bad(i))]).flatten().collect()
}

#[test]
fn no_dead_letter_is_lost_when_workers_are_killed() {
    const ORDERS: u64 = 18_000;
    let (topic, bucket) = (Topic::create("killed-letters", 1), Bucket::create());
    let records = tenth_bad(0..ORDERS);
    let bad: Vec<i64> = (0_i64..).zip(&records).filter(|(_, record)| record.value.as_deref().is_some_and(|v| v.starts_with(b"bad"))).map(|(o, _)| o).collect();
    // Little by little, so that there is something left to kill.
    let (first, rest) = records.split_at(records.len() / 4);
    let sink = tolerant(Connector::s3_sink(&topic, &bucket, "parquet"), &topic);
    let sink = sink.with("flush.size", "700").with("rotate.schedule.interval.ms", "1000").with("timezone", "UTC");
    send(&topic, first.iter().map(|record| (0, record.clone())));
    let queue = queue(&topic);
    let mut seen = 0;
    for part in rest.chunks(rest.len() / 3 + 1) {
        let worker = Worker::start(&[&sink]);
        // Letters are on their way when it is killed.
        seen = await_some(SOON, || Some(queue.end_offset_or_none()).filter(|end| *end > seen), || worker.status(&sink).to_string());
        send(&topic, part.iter().map(|record| (0, record.clone())));
        worker.kill();
    }
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, JOB);
    worker.terminate();
    let found: std::collections::BTreeSet<i64> = letters(&queue).iter().map(|letter| letter.from().1).collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), bad);
    assert_orders(&bucket.folder, "parquet", 0..ORDERS);
}

fn dlq(arguments: &[&str]) -> (String, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_lakehead")).arg("dlq").args(arguments).output().expect("the binary runs");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (format!("{said}{}", String::from_utf8_lossy(&output.stderr)), output.status.code())
}

#[test]
fn dead_letters_in_files_and_in_a_topic_are_counted_and_sent_again() {
    let (topic, bucket) = (Topic::create("letters-in-files", 2), Bucket::create());
    let records = tenth_bad(0..90);
    send(&topic, (0..2).flat_map(|partition| records.iter().map(move |record| (partition, record.clone()))));
    let url = format!("s3://{}/dead%20letters/x", bucket.name);
    let sink = tolerant(Connector::s3_sink(&topic, &bucket, "json"), &topic).with("errors.deadletterqueue.url", &url).with("flush.size", "90");
    // The last record of a partition is bad: a file and a commit are waited for, and then its letter.
    let sink = sink.with("rotate.schedule.interval.ms", "1000").with("timezone", "UTC");
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, SOON);
    worker.terminate();
    let folder = bucket.folder.join("dead letters/x");
    let files = files_below(&folder);
    assert!(files.iter().all(|file| file.starts_with(&topic.name) && file.ends_with(".jsonl")) && files.len() >= 2, "{files:?}");

    let broker = topic.client().get("bootstrap.servers").expect("a broker").to_owned();
    let at_url = ["--url", folder.to_str().expect("a path")];
    let queue = queue(&topic);
    let in_topic = ["--topic", &queue.name, "--bootstrap-servers", &broker];
    for place in [&at_url[..], &in_topic] {
        let (said, code) = dlq(&[&["list", "--json"], place].concat());
        let counts: Value = serde_json::from_str(&said).expect("JSON");
        assert_eq!((code, &counts["total"], counts["groups"][0]["stage"].as_str()), (Some(0), &Value::from(20), Some("VALUE_CONVERTER")), "{said}");
        let (said, code) = dlq(&[&["list", "--stage", "TASK_PUT"], place].concat());
        assert_eq!((said.as_str(), code), ("0 dead letters\n", Some(0)));
        let (said, _) = dlq(&[&["list", "--records", "--limit", "3"], place].concat());
        assert_eq!(said.matches(&format!("{}-", topic.name)).count(), if place == in_topic { 6 } else { 3 }, "{said}");
    }

    // To a topic of their own, as they came; and to the one that they came from.
    let again = Topic::create("letters-again", 1);
    for (arguments, target) in [(vec!["--to", again.name.as_str()], &again), (vec!["--from", topic.name.as_str()], &topic)] {
        let before: i64 = target.end_offsets().values().sum();
        let (said, code) = dlq(&[&["replay", "--dry-run"], &in_topic[..], &arguments].concat());
        assert_eq!((said.lines().next(), code), (Some("20 dead letters would be sent"), Some(0)), "{said}");
        for place in [&at_url[..], &in_topic] {
            let brokers = if place == in_topic { vec![] } else { vec!["--bootstrap-servers", broker.as_str()] };
            let (said, code) = dlq(&[&["replay"], place, &brokers, &arguments].concat());
            assert_eq!((said, code), (format!("20 dead letters sent\n        20  to {}\n", target.name), Some(0)));
        }
        assert_eq!(target.end_offsets().values().sum::<i64>() - before, 40);
    }
    for letter in letters(&again) {
        assert!(letter.value.as_deref().is_some_and(|value| value.starts_with(b"bad ")));
        assert_eq!((letter.key.as_deref(), letter.timestamp), (Some(&b"1"[..]), Some(NOW)));
        assert_eq!(letter.headers, [("trace".to_owned(), Some(b"\xff\x01".to_vec())), ("none".to_owned(), None)]);
    }
    let (said, code) = dlq(&["list", "--topic", "there-is-none", "--bootstrap-servers", &broker]);
    assert!(code == Some(3) && said.contains("there-is-none"), "{said}");
}

#[test]
fn a_queue_that_does_not_answer_holds_the_commits_and_nothing_else() {
    let (topic, bucket) = (Topic::create("deaf-queue", 2), Bucket::create());
    // Partition 0 is poisoned from its third record on, partition 1 is not.
    send(&topic, (0..15_000).map(|i| (0, if i < 2 { good(json(i)) } else { good(b"bad".to_vec()) })));
    send(&topic, (0..100).map(|i| (1, good(json(i)))));
    let sink = tolerant(Connector::s3_sink(&topic, &bucket, "json"), &topic);
    let sink = sink.with("producer.override.bootstrap.servers", "127.0.0.1:1").with("rotate.schedule.interval.ms", "1000").with("timezone", "UTC");
    let worker = Worker::start(&[&sink]);
    let trace = worker.await_trouble(&sink, "dead letters are not confirmed");
    assert!(topic.committed_offsets(&sink.name)[&0] <= 2, "{trace}");
    // It is a member of its group still, and goes when it is told to.
    let (status, _) = worker.rest("PUT", &format!("/connectors/{}/stop", sink.name), None);
    assert_eq!(status, 204);
    await_some(SOON, || worker.status(&sink)["tasks"].as_array().is_some_and(Vec::is_empty).then_some(()), || worker.status(&sink).to_string());
    assert!(topic.committed_offsets(&sink.name)[&0] <= 2);
    worker.terminate();
    // With a queue that answers, everything comes.
    let healthy = sink.with("producer.override.bootstrap.servers", topic.client().get("bootstrap.servers").expect("a broker"));
    let worker = Worker::start(&[&healthy]);
    worker.await_end(&healthy, &topic, JOB);
    worker.terminate();
    let found: std::collections::BTreeSet<_> = letters(&queue(&topic)).iter().map(Letter::from).collect();
    assert_eq!((found.len(), found.first()), (14_998, Some(&(0, 2))));
}

#[test]
fn a_partition_with_too_many_bad_records_waits_for_somebody_and_no_other_does() {
    let (topic, bucket) = (Topic::create("breaker", 2), Bucket::create());
    send(&topic, (0..500).map(|_| (0, good(b"bad".to_vec()))));
    send(&topic, (0..100).map(|i| (1, good(json(i)))));
    let sink = tolerant(Connector::s3_sink(&topic, &bucket, "json"), &topic).with("lakehead.errors.breaker.share", "0.5");
    let sink = sink.with("lakehead.errors.breaker.records", "200").with("rotate.schedule.interval.ms", "500").with("timezone", "UTC");
    let worker = Worker::start(&[&sink]);
    let trace = worker.await_trouble(&sink, "is not read on");
    for part in [&format!("{}-0", topic.name), "VALUE_CONVERTER", "/resume"] {
        assert!(trace.contains(part), "{part}: {trace}");
    }
    let held = topic.end_offsets()[&0];
    send(&topic, (100..200).map(|i| (0, good(json(i)))));
    send(&topic, (200..300).map(|i| (1, good(json(i)))));
    let committed = || topic.committed_offsets(&sink.name);
    await_some(SOON, || (committed()[&1] == 200).then_some(()), || worker.status(&sink).to_string());
    assert!(committed()[&0] <= held);
    let (status, _) = worker.rest("PUT", &format!("/connectors/{}/resume", sink.name), None);
    assert_eq!(status, 202);
    worker.await_end(&sink, &topic, SOON);
    let (state, trace) = worker.task(&sink);
    assert_eq!((state.as_str(), trace.as_str()), ("RUNNING", ""));
    worker.terminate();
    assert_eq!(letters(&queue(&topic)).len(), 500);
    assert_orders(&bucket.folder, "json", 0..300);
}

/// As upstream, a bad record that ends the task is a dead letter too.
#[test]
fn a_bad_record_that_is_not_tolerated_is_told_before_the_task_fails() {
    let (topic, bucket) = (Topic::create("intolerant", 1), Bucket::create());
    send(&topic, [(0, good(json(0))), (0, good(b"bad".to_vec())), (0, good(json(1))), (0, good(b"worse".to_vec()))]);
    let sink = tolerant(Connector::s3_sink(&topic, &bucket, "json"), &topic).with("errors.tolerance", "none").with("errors.log.enable", "true");
    let worker = Worker::start(&[]);
    worker.run(&sink.with("errors.log.include.messages", "true").with("aws.access.key.id", S3_KEY).with("aws.secret.access.key", S3_SECRET));
    let name = format!("sink-{}", topic.name);
    let failed = || {
        let status = worker.rest("GET", &format!("/connectors/{name}/status"), None).1;
        (status["tasks"][0]["state"] == "FAILED").then(|| status["tasks"][0]["trace"].as_str().unwrap_or_default().to_owned())
    };
    let trace = await_some(SOON, failed, || worker.log());
    assert!(trace.contains("offset=1"), "{trace}");
    let found = letters(&queue(&topic));
    assert_eq!(found.iter().map(|letter| (letter.from(), letter.value.as_deref())).collect::<Vec<_>>(), [((0, 1), Some(&b"bad"[..]))]);
    let line = format!(
        "Error encountered in task {name}-0. Executing stage 'VALUE_CONVERTER' with class 'org.apache.kafka.connect.json.JsonConverter', where consumed record is \
         {{topic='{}', partition=0, offset=1, timestamp={NOW}}}.",
        topic.name
    );
    assert!(worker.whole_log().contains(&line), "{}", worker.log());
}
