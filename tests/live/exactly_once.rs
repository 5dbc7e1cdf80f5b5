//! Sources that deliver exactly once: records and offsets in one transaction, whoever is killed, stopped, or takes over.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::broker::{Topic, seen};
use crate::bucket::Bucket;
use crate::worker::{Connector, JOB, SOON, Worker, await_some, signal};

const ENABLED: (&str, &str) = ("exactly.once.source.support", "enabled");

fn file(name: &str) -> PathBuf {
    let folder = Bucket::create().folder;
    fs::create_dir_all(&folder).expect("a folder");
    folder.join(name)
}

fn source(topic: &str, file: &Path) -> Connector {
    Connector::of_class(&format!("source-{topic}"), "org.apache.kafka.connect.file.FileStreamSourceConnector")
        .with("file", &file.display().to_string())
        .with("topic", topic)
        .with("batch.size", "100")
        .with("value.converter", "org.apache.kafka.connect.storage.StringConverter")
        .with("exactly.once.support", "required")
}

fn append(file: &Path, range: std::ops::Range<u64>) {
    let lines: String = range.map(|number| format!("{number}\n")).collect();
    File::options().create(true).append(true).open(file).and_then(|mut file| file.write_all(lines.as_bytes())).expect("a file of ours");
}

#[track_caller]
fn await_all(topic: &Topic, count: u64, worker: &Worker) {
    let has_all = || (topic.committed_numbers().len() as u64 >= count).then_some(());
    await_some(JOB, has_all, || format!("{} of {count} lines\n{}", topic.committed_numbers().len(), worker.log()));
    assert!(topic.committed_numbers().into_iter().eq(0..count), "lines are missing, doubled or out of order in {}", topic.name);
}

#[track_caller]
fn await_running(worker: &Worker, connector: &Connector, on: &Worker) {
    let runs = || {
        let status = worker.status(connector);
        let task = &status["tasks"][0];
        (task["state"] == "RUNNING" && on.url().ends_with(task["worker_id"].as_str().unwrap_or("nobody"))).then_some(())
    };
    await_some(JOB, runs, || format!("{}\n{}", worker.status(connector), worker.log()));
}

#[test]
fn whoever_is_killed_in_the_middle_each_line_comes_once() {
    let group = "exact-killed";
    let (poll, interval) = (Topic::create("exact-poll", 1), Topic::create("exact-interval", 1));
    let (one, two) = (file("poll.txt"), file("interval.txt"));
    let own = format!("own-{}", interval.name);
    let by_batch = source(&poll.name, &one);
    let by_time = source(&interval.name, &two).with("transaction.boundary", "interval").with("transaction.boundary.interval.ms", "300");
    let by_time = by_time.with("offsets.storage.topic", &own);
    let settings = [ENABLED, ("offset.storage.partitions", "2")];
    let mut written = 0;
    let mut worker = Worker::join(group, &settings);
    worker.run(&by_batch);
    worker.run(&by_time);
    for _ in 0..2 {
        let before = [poll.end_offsets()[&0], interval.end_offsets()[&0]];
        for input in [&one, &two] {
            append(input, written..written + 6_000);
        }
        written += 6_000;
        let moves = || (poll.end_offsets()[&0] > before[0] + 800 && interval.end_offsets()[&0] > before[1] + 800).then_some(());
        await_some(JOB, moves, || worker.log());
        worker.kill();
        worker = Worker::join(group, &settings);
    }
    for topic in [&poll, &interval] {
        await_all(topic, written, &worker);
    }

    // Its offsets are in its own topic, and a copy in the group's.
    let length = fs::read(&two).expect("the file").len();
    let key = json!([by_time.name, { "filename": two.display().to_string() }]).to_string();
    for topic in [&own, &format!("{group}-offset")] {
        let last = || {
            let records = seen(topic, &interval.client(), "read_committed");
            let value = records.into_iter().rev().find(|(found, _)| *found == key.as_bytes()).map(|(_, value)| value)?;
            (serde_json::from_slice::<Value>(&value).ok()? == json!({ "position": length })).then_some(())
        };
        await_some(SOON, last, || format!("{topic} does not have the offset of {key}"));
    }
    // The leader wrote down how many tasks have producers.
    let configs = seen(&format!("{group}-config"), &interval.client(), "read_committed");
    let fencing = configs.iter().rfind(|(key, _)| *key == format!("tasks-fencing-{}", by_time.name).into_bytes()).map(|(_, value)| value.as_slice());
    assert_eq!(fencing, Some(br#"{"task-count":1}"#.as_slice()));

    offsets_change_while_it_is_stopped(&worker, &by_time, &two, &interval, written);
    worker.terminate();
}

/// Offsets are altered and reset in transactions; the connector goes on there.
fn offsets_change_while_it_is_stopped(worker: &Worker, source: &Connector, input: &Path, topic: &Topic, written: u64) {
    let of = |path: &str| format!("/connectors/{}/{path}", source.name);
    assert_eq!(worker.rest("PUT", &of("stop"), None).0, 204);
    let entry = |offset: Value| json!({ "partition": { "filename": input.display().to_string() }, "offset": offset });
    let length = fs::read(input).expect("the file").len();
    let last = format!("{}\n", written - 1).len();
    let alter = || worker.rest("PATCH", &of("offsets"), Some(&json!({ "offsets": [entry(json!({ "position": length - last }))] })));
    await_some(SOON, || (alter().0 == 200).then_some(()), || format!("{:?}\n{}", alter(), worker.log()));
    assert_eq!(worker.rest("GET", &of("offsets"), None).1, json!({ "offsets": [entry(json!({ "position": length - last }))] }));
    assert_eq!(worker.rest("PUT", &of("resume"), None).0, 202);
    let expected: Vec<u64> = (0..written).chain([written - 1]).collect();
    await_some(JOB, || (topic.committed_numbers() == expected).then_some(()), || worker.log());
    assert_eq!(worker.rest("PUT", &of("stop"), None).0, 204);
    let (status, body) = worker.rest("DELETE", &of("offsets"), None);
    assert_eq!(status, 200, "{body}\n{}", worker.log());
    assert_eq!(worker.rest("GET", &of("offsets"), None), (200, json!({ "offsets": [] })));
}

#[test]
fn a_worker_that_was_stopped_for_too_long_writes_nothing_more() {
    let topic = Topic::create("exact-zombie", 1);
    let input = file("zombie.txt");
    let source = source(&topic.name, &input).with("transaction.boundary", "interval").with("transaction.boundary.interval.ms", "1000");
    let (first, second) = (Worker::join("exact-zombie", &[ENABLED]), Worker::join("exact-zombie", &[ENABLED]));
    first.run(&source);
    append(&input, 0..2_000);
    await_all(&topic, 2_000, &first);
    let owner = first.status(&source)["tasks"][0]["worker_id"].as_str().unwrap_or_default().to_owned();
    let (zombie, heir) = if first.url().ends_with(&owner) { (first, second) } else { (second, first) };
    // It stops with a transaction that is open.
    let before = topic.end_offsets()[&0];
    append(&input, 2_000..4_000);
    await_some(SOON, || (topic.end_offsets()[&0] > before).then_some(()), || zombie.log());
    let pid = zombie.pid().to_string();
    signal(&pid, "STOP");
    await_running(&heir, &source, &heir);
    await_all(&topic, 4_000, &heir);
    append(&input, 4_000..6_000);
    signal(&pid, "CONT");
    await_all(&topic, 6_000, &heir);
    // It is back when it answers as a member; the lines are still what they are.
    await_some(JOB, || (zombie.status(&source)["tasks"][0]["state"] == "RUNNING").then_some(()), || zombie.log());
    append(&input, 6_000..7_000);
    await_all(&topic, 7_000, &heir);
    zombie.terminate();
    heir.terminate();
}

#[test]
fn what_cannot_be_exactly_once_is_refused_and_fencing_answers() {
    let topic = Topic::create("exact-refused", 1);
    let input = file("refused.txt");
    // Requests between these workers are not signed.
    let worker = Worker::join("exact-refused", &[ENABLED, ("connect.protocol", "compatible")]);
    let verifiable = Connector::of_class("verifiable", "org.apache.kafka.connect.tools.VerifiableSourceConnector").with("topic", &topic.name);
    let fine = source(&topic.name, &input);
    for (connector, says) in [
        (verifiable.clone().with("exactly.once.support", "required"), "does not implement the API required for preflight validation"),
        (fine.clone().with("file", ""), "does not support exactly-once semantics with the provided configuration"),
        (fine.clone().with("transaction.boundary", "connector"), "does not support connector-defined transaction boundaries"),
        (fine.clone().with("exactly.once.support", "perhaps"), "exactly.once.support"),
    ] {
        let (status, body) = worker.create(&connector);
        assert!(status == 400 && body.to_string().contains(says), "{says}: {status} {body}");
    }
    let sink = Connector::of_class("sink", "org.apache.kafka.connect.tools.MockSinkConnector").with("topics", &topic.name);
    // The user's id does not count.
    worker.run(&fine.clone().with("producer.override.transactional.id", "mine"));
    worker.run(&sink);
    let answers: BTreeMap<&str, u16> =
        [fine.name.as_str(), "sink", "nobody"].map(|name| (name, worker.rest("PUT", &format!("/connectors/{name}/fence"), None).0)).into();
    assert_eq!(answers, BTreeMap::from([(fine.name.as_str(), 204), ("sink", 400), ("nobody", 404)]));
    append(&input, 0..100);
    await_all(&topic, 100, &worker);
    worker.terminate();

    let signing = Worker::join("exact-signed", &[ENABLED]);
    let (status, body) = signing.rest("PUT", "/connectors/anything/fence", None);
    assert_eq!((status, body["message"].as_str()), (400, Some("Internal request missing required signature")));
    signing.terminate();
}
