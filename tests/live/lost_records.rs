//! Records that are not in the log any more when they are to be read: named, and gone on behind, or waited for a person, as `lakehead.lost.records` says.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rdkafka::producer::Producer;
use serde_json::{Value, json};

use crate::broker::{Encoding, Topic};
use crate::bucket::{Bucket, assert_orders, files_below};
use crate::servers::Kafka;
use crate::worker::{Connector, SOON, Worker, await_some, signal};

/// What the status says of the first task's losses.
fn losses(worker: &Worker, sink: &Connector) -> Vec<Value> {
    worker.status(sink)["tasks"][0]["lakehead"]["lost"].as_array().cloned().unwrap_or_default()
}

fn sink(topic: &Topic) -> (Connector, PathBuf) {
    let folder = Bucket::create().folder;
    let sink = Connector::folder_sink(topic, &folder, "json").with("flush.size", "500");
    (sink.with("rotate.schedule.interval.ms", "1000").with("timezone", "UTC"), folder)
}

/// Rows of all files.
fn rows(folder: &std::path::Path) -> usize {
    let count = |key: &String| std::fs::read_to_string(folder.join(key)).expect("a file").lines().count();
    files_below(folder).iter().filter(|key| key.ends_with(".json")).map(count).sum()
}

#[test]
fn records_that_are_deleted_unread_are_named_and_halt_the_task_where_that_is_asked_for() {
    let topic = Topic::create("deleted", 1);
    let (sink, folder) = sink(&topic);
    topic.send_orders(0..1000, Encoding::Json);
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, SOON);
    worker.terminate();
    topic.send_orders(1000..3000, Encoding::Json);
    topic.delete_records_below(0, 2500);

    let worker = Worker::start(&[&sink.clone().with("lakehead.lost.records", "halt")]);
    let trace = worker.await_failure(&sink);
    for part in [&format!("{}-0 1000..2500", topic.name), "1500 records", "lakehead.lost.records=halt", "reset the connector's offsets"] {
        assert!(trace.contains(part), "the trace does not say '{part}': {trace}");
    }
    assert_eq!(topic.committed_total(&sink.name), 1000, "it stands where it was, for a person to decide");
    worker.terminate();

    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, SOON);
    let expected = json!({ "topic": topic.name, "partition": 0, "from": 1000, "to": 2500, "cause": "deleted" });
    assert_eq!(losses(&worker, &sink), [expected], "once, in numbers");
    let (state, trace) = worker.task(&sink);
    assert!(state == "RUNNING" && trace.contains("1000..2500") && trace.contains("goes on at offset 2500"), "{state}: {trace}");
    assert!(worker.log().contains("ERROR") && worker.log().contains("records=1500"), "{}", worker.log());
    worker.terminate();
    assert_eq!(rows(&folder), 1500, "the first thousand, and what is left of the rest");
}

#[test]
fn records_that_are_deleted_before_a_worker_that_lags_reads_them_are_named() {
    let topic = Topic::create("overtaken", 1);
    let (sink, folder) = sink(&topic);
    topic.send_orders(0..1000, Encoding::Json);
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, SOON);
    signal(&worker.pid().to_string(), "STOP");
    std::thread::sleep(Duration::from_secs(1)); // the broker answers what it was asked before
    topic.send_orders(1000..3000, Encoding::Json);
    topic.delete_records_below(0, 2500);
    signal(&worker.pid().to_string(), "CONT");
    worker.await_end(&sink, &topic, SOON);
    let expected = json!({ "topic": topic.name, "partition": 0, "from": 1000, "to": 2500, "cause": "deleted" });
    assert_eq!(losses(&worker, &sink), [expected]);
    assert_eq!(worker.status(&sink)["tasks"][0]["lakehead"]["lost_records"], 1500);
    worker.terminate();
    assert_eq!(rows(&folder), 1500);
}

#[test]
fn a_topic_that_is_made_again_is_read_from_its_start_and_named() {
    for is_running in [true, false] {
        let topic = Topic::create("again", 1);
        let (sink, folder) = sink(&topic);
        topic.send_orders(0..1000, Encoding::Json);
        let mut worker = Worker::start(&[&sink]);
        worker.await_end(&sink, &topic, SOON);
        if !is_running {
            worker.terminate();
            topic.make_again();
            topic.send_orders(0..20, Encoding::Json);
            // As a tool would that keeps a group's offsets beside the cluster; the broker itself forgets them with the topic.
            topic.commit(&sink.name, 0, 1000);
            worker = Worker::start(&[&sink]);
        } else {
            topic.make_again();
            topic.send_orders(0..20, Encoding::Json);
        }
        let named = || Some(losses(&worker, &sink)).filter(|losses| !losses.is_empty());
        let losses = await_some(Duration::from_secs(60), named, || worker.status(&sink).to_string() + &worker.log());
        let causes: Vec<&str> = losses.iter().filter_map(|loss| loss["cause"].as_str()).collect();
        // A running member may be told of the topic's end first.
        assert!(causes == ["truncated"] || (is_running && causes == ["offsets-went-back"]), "{losses:?}");
        worker.await_end(&sink, &topic, SOON);
        worker.terminate();
        let first = format!("topics/{0}/partition=0/{0}+0+0000000000.json", topic.name);
        let ids = std::fs::read_to_string(folder.join(first)).expect("the new topic's first file");
        assert_eq!(ids.lines().count(), 20, "{ids}");
    }
}

/// A worker that says more.
fn talkative(sink: &Connector) -> Worker {
    Worker::start_with(Kafka::shared(), &[sink], &[], |binary| {
        let mut command = Command::new(binary);
        command.env("LAKEHEAD_LOG", "info,lakehead::runtime=debug");
        command
    })
}

#[test]
fn a_topic_that_is_made_again_and_has_grown_past_what_was_read_is_named_too() {
    let topic = Topic::create("grown", 1);
    let (sink, folder) = sink(&topic);
    topic.send_orders(0..1000, Encoding::Json);
    let worker = talkative(&sink);
    worker.await_end(&sink, &topic, SOON);
    let known = || worker.log().contains("which topics there are").then_some(());
    await_some(SOON, known, || worker.log());
    // It sees nothing of the time in which the new log is shorter.
    signal(&worker.pid().to_string(), "STOP");
    topic.make_again();
    topic.send_orders(0..3000, Encoding::Json);
    signal(&worker.pid().to_string(), "CONT");
    let named = || Some(losses(&worker, &sink)).filter(|losses| !losses.is_empty());
    let losses = await_some(SOON, named, || worker.status(&sink).to_string() + &worker.log());
    assert!(losses.iter().all(|loss| loss["cause"] == "truncated" && loss["from"] == 0), "{losses:?}");
    worker.await_end(&sink, &topic, SOON);
    worker.terminate();
    assert_orders(&folder, "json", 0..3000);
}

#[test]
fn what_lies_behind_an_open_transaction_is_not_taken_for_lost() {
    let topic = Topic::create("transaction", 1);
    let (sink, folder) = sink(&topic);
    topic.send_orders(0..1000, Encoding::Json);
    let transaction = topic.send_in_transaction(1000..1010);
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, SOON);
    worker.terminate();

    // What is committed lies behind all that can be read, until the transaction ends.
    let reader = sink.clone().with("consumer.override.isolation.level", "read_committed");
    let worker = talkative(&reader);
    await_some(SOON, || worker.log().contains("what the logs hold").then_some(()), || worker.log());
    transaction.commit_transaction(SOON).expect("a transaction that ends");
    topic.send_orders(1010..1500, Encoding::Json);
    worker.await_end(&sink, &topic, SOON);
    assert_eq!(losses(&worker, &sink), Vec::<Value>::new());
    worker.terminate();
    assert_orders(&folder, "json", 0..1500);
}

/// A file of 500 orders that a worker has published and not committed: its topic, connector, folder and key.
fn killed_between_publishing_and_committing() -> (Topic, Connector, PathBuf, String) {
    // An offset that nothing waits for is committed a second after the plan, at the latest: a harness that is slower tries again.
    let attempts = (0..10).find_map(|_| {
        let topic = Topic::create("planned", 1);
        let (sink, folder) = sink(&topic);
        topic.send_orders(0..500, Encoding::Json);
        let worker = Worker::start_with(Kafka::shared(), &[&sink], &[("offset.flush.interval.ms", "60000")], |binary| Command::new(binary));
        let key = format!("topics/{0}/partition=0/{0}+0+0000000000.json", topic.name);
        await_some(SOON, || folder.join(&key).try_exists().expect("a folder").then_some(()), || worker.log());
        worker.kill();
        (topic.committed_total(&sink.name) == 0).then_some((topic, sink, folder, key))
    });
    attempts.expect("a worker that is killed in time")
}

#[test]
fn a_file_that_a_killed_worker_has_published_outlives_its_records() {
    for was_published in [true, false] {
        let (topic, sink, folder, first) = killed_between_publishing_and_committing();
        if !was_published {
            std::fs::remove_file(folder.join(&first)).expect("it was there");
        }
        topic.delete_records_below(0, 300);

        let worker = Worker::start(&[&sink]);
        worker.await_end(&sink, &topic, SOON);
        assert_eq!(losses(&worker, &sink), [json!({ "topic": topic.name, "partition": 0, "from": 0, "to": 300, "cause": "deleted" })]);
        assert_eq!(worker.log().contains("left as it is"), was_published, "{}", worker.log());
        worker.terminate();
        let left = if was_published { 0..500 } else { 300..500 };
        assert_orders(&folder, "json", left);
    }
}
