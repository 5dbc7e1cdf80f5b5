//! What the REST API shows and changes of a running sink: its offsets in Kafka, the topics that it reads, what its worker logs.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use serde_json::{Value, json};

use crate::broker::{Encoding, Topic};
use crate::bucket::{Bucket, assert_orders};
use crate::worker::{Connector, SOON, Worker, await_some};

/// As tests/servers/kafka.sh formats the broker's folder.
const KAFKA_CLUSTER_ID: &str = "bGFrZWhlYWQtdGVzdHMhIQ";

fn entry(topic: &Topic, partition: i32, offset: Option<i64>) -> Value {
    json!({"partition": {"kafka_topic": topic.name, "kafka_partition": partition}, "offset": offset.map(|offset| json!({"kafka_offset": offset}))})
}

/// The offsets that the REST API shows, by partition.
fn shown(worker: &Worker, path: &str) -> Vec<(i64, i64)> {
    let (status, body) = worker.rest("GET", path, None);
    assert_eq!(status, 200, "{body}");
    let number = |value: &Value| value.as_i64().expect("a number");
    let offsets = body["offsets"].as_array().expect("a list").iter();
    offsets.map(|entry| (number(&entry["partition"]["kafka_partition"]), number(&entry["offset"]["kafka_offset"]))).collect()
}

#[test]
fn offsets_are_shown_altered_and_reset_in_kafka() {
    let topic = Topic::create("managed", 3);
    let sink = Connector::folder_sink(&topic, &Bucket::create().folder, "json").with("flush.size", "500");
    let sink = sink.with("rotate.schedule.interval.ms", "1000").with("timezone", "UTC");
    topic.send_orders(0..3000, Encoding::Json);
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, SOON);
    let of = |path: &str| format!("/connectors/{}/{path}", sink.name);
    let offsets = of("offsets");
    let ends: Vec<(i64, i64)> = topic.committed_offsets(&sink.name).into_iter().map(|(partition, offset)| (partition.into(), offset)).collect();
    assert_eq!(shown(&worker, &offsets), ends);
    assert_eq!(worker.rest("GET", &of("topics"), None).1, json!({ sink.name.as_str(): { "topics": [topic.name] } }));

    let alter = |entries: &[Value]| worker.rest("PATCH", &offsets, Some(&json!({ "offsets": entries })));
    assert_eq!(alter(&[entry(&topic, 0, Some(1))]).0, 400, "it runs");
    assert_eq!(worker.rest("PUT", &of("stop"), None).0, 204);
    assert_eq!(alter(&[entry(&topic, 0, Some(100))]), (200, json!({"message": "The offsets for this connector have been altered successfully"})));
    assert_eq!(shown(&worker, &offsets), [(0, 100), ends[1], ends[2]]);
    assert_eq!(alter(&[entry(&topic, 1, None), entry(&topic, 2, Some(7))]).0, 200);
    assert_eq!(shown(&worker, &offsets), [(0, 100), (2, 7)], "one is forgotten, one is altered, one stays");
    assert_eq!(alter(&[entry(&topic, 0, Some(5)), entry(&topic, 100, Some(1))]).0, 500, "there is no such partition");
    assert_eq!(shown(&worker, &offsets), [(0, 100), (2, 7)]);

    // Somebody else is in the group.
    let mut config = topic.client();
    config.set("group.id", format!("connect-{}", sink.name)).set("session.timeout.ms", "6000");
    let member: BaseConsumer = config.create().expect("a consumer");
    member.subscribe(&[&topic.name]).expect("a subscription");
    let joined = || {
        drop(member.poll(Duration::from_millis(100)));
        Some(()).filter(|()| member.assignment().is_ok_and(|partitions| partitions.count() == 3))
    };
    await_some(SOON, joined, || "the group gives out no partitions".to_owned());
    for (status, body) in [alter(&[entry(&topic, 0, Some(5))]), alter(&[entry(&topic, 0, None)]), worker.rest("DELETE", &offsets, None)] {
        let message = body["message"].as_str().unwrap_or_default();
        assert!(status == 500 && message.contains("either because its tasks haven't stopped completely yet"), "{status} {message}");
    }
    member.unsubscribe();
    drop(member);

    let reset = await_some(SOON, || Some(worker.rest("DELETE", &offsets, None)).filter(|(status, _)| *status == 200), || "the group stays".to_owned());
    assert_eq!(reset.1, json!({"message": "The offsets for this connector have been reset successfully"}));
    assert_eq!(shown(&worker, &offsets), []);
    assert_eq!(worker.rest("DELETE", &offsets, None).0, 200, "what is gone can be reset again");
    assert_eq!(worker.rest("PUT", &of("resume"), None).0, 202);
    worker.await_end(&sink, &topic, SOON);
    worker.terminate();
}

#[test]
fn the_level_of_a_logger_acts_on_the_log() {
    let worker = Worker::start(&[]);
    let set = |logger: &str, level: &str| worker.rest("PUT", &format!("/admin/loggers/{logger}"), Some(&json!({ "level": level })));
    assert_eq!(set("lakehead.telemetry", "WARN"), (200, json!(["lakehead.telemetry"])));
    assert_eq!(set("org.apache.kafka.connect", "ERROR").0, 200);
    assert!(!worker.log().contains("level of logger"), "{}", worker.log());
    assert_eq!(set("root", "INFO").0, 200);
    await_some(SOON, || Some(()).filter(|()| worker.log().contains("the level of logger root is INFO now")), || worker.log());
    worker.terminate();
}

#[test]
fn the_kafka_cluster_is_named() {
    for worker in [Worker::start(&[]), Worker::join("named", &[])] {
        let id = || worker.rest("GET", "/", None).1["kafka_cluster_id"].as_str().map(str::to_owned);
        assert_eq!(await_some(SOON, id, || worker.log()), KAFKA_CLUSTER_ID);
        worker.terminate();
    }
}

#[test]
fn a_paused_sink_leaves_its_group_once_it_has_nothing_in_hand_and_goes_on_where_it_was() {
    let topic = Topic::create("resting", 2);
    let bucket = Bucket::create();
    let sink = Connector::folder_sink(&topic, &bucket.folder, "json").with("flush.size", "500");
    topic.send_orders(0..2_000, Encoding::Json);
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, SOON);
    let pause = |verb: &str| assert_eq!(worker.rest("PUT", &format!("/connectors/{}/{verb}", sink.name), None).0, 202);
    let client: BaseConsumer = topic.client().create().expect("a client");
    let members = || {
        let groups = client.fetch_group_list(Some(&format!("connect-{}", sink.name)), SOON).expect("the group");
        groups.groups().first().map_or(0, |group| group.members().len())
    };
    assert_eq!(members(), 1);
    pause("pause");
    await_some(SOON, || (members() == 0).then_some(()), || format!("it stays in its group\n{}", worker.log()));
    assert_eq!(worker.task(&sink).0, "PAUSED");
    topic.send_orders(2_000..4_000, Encoding::Json);
    pause("resume");
    worker.await_end(&sink, &topic, SOON);
    assert_orders(&bucket.folder, "json", 0..4_000);

    worker.terminate();
}
