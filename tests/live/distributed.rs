//! Workers of one group: they share connectors and tasks out, answer for each other, take over from those who are gone, and begin again with what is written down.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::json;

use crate::broker::{Encoding, Topic};
use crate::bucket::{Bucket, assert_orders};
use crate::worker::{Connector, JOB, Worker, await_some};

const ORDERS: u64 = 240_000;

/// States of the connector and its tasks, as this worker shows them, and the workers that they are on.
fn states(worker: &Worker, connector: &Connector) -> (Vec<String>, BTreeSet<String>) {
    let status = worker.status(connector);
    let parts = || std::iter::once(&status["connector"]).chain(status["tasks"].as_array().into_iter().flatten());
    let text = |key: &str| parts().map(|part| part[key].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    (text("state"), text("worker_id").into_iter().collect())
}

/// Waits until this worker shows the connector and this many tasks in that state, on so many workers.
#[track_caller]
fn await_states(worker: &Worker, connector: &Connector, state: &str, tasks: usize, workers: usize) {
    let seen = || {
        let (states, on) = states(worker, connector);
        (states == vec![state; tasks + 1] && on.len() == workers).then_some(())
    };
    await_some(JOB, seen, || format!("{state} with {tasks} tasks on {workers} workers: {}\n{}", worker.status(connector), worker.log()));
}

#[test]
fn what_a_killed_worker_did_another_does() {
    let (topic, bucket) = (Topic::create("shared", 4), Bucket::create());
    let sink = Connector::s3_sink(&topic, &bucket, "parquet").with("flush.size", "5000").with("tasks.max", "4");
    let (one, two) = (Worker::join("shared", &[]), Worker::join("shared", &[]));
    two.run(&sink);
    for worker in [&one, &two] {
        await_states(worker, &sink, "RUNNING", 4, 2);
    }
    topic.send_orders(0..ORDERS, Encoding::Json);
    await_some(JOB, || (bucket.count() >= 8).then_some(()), || one.log());
    // The one that has the connector's instance.
    let owner = two.status(&sink)["connector"]["worker_id"].as_str().unwrap_or_default().to_owned();
    let (owner, other) = if one.url().ends_with(&owner) { (one, two) } else { (two, one) };
    owner.kill();
    await_states(&other, &sink, "RUNNING", 4, 1);
    other.await_end(&sink, &topic, JOB);
    other.terminate();
    assert_orders(&bucket.folder, "parquet", 0..ORDERS);
}

#[test]
fn any_worker_answers_and_all_of_them_see_the_same() {
    let (topic, bucket) = (Topic::create("answers", 2), Bucket::create());
    let workers = [Worker::join("answers", &[]), Worker::join("answers", &[])];
    for (worker, other) in [(&workers[0], &workers[1]), (&workers[1], &workers[0])] {
        let sink = Connector::s3_sink(&topic, &bucket, "json").with("flush.size", "10").with("tasks.max", "2").with("timezone", "UTC");
        let path = |rest: &str| format!("/connectors/{}{rest}", sink.name);
        worker.run(&sink);
        assert_eq!(worker.create(&sink).0, 409);
        await_states(other, &sink, "RUNNING", 2, 2);
        assert_eq!(other.rest("PUT", &path("/pause"), None).0, 202);
        await_states(worker, &sink, "PAUSED", 2, 2);
        assert_eq!(worker.rest("PUT", &path("/resume"), None).0, 202);
        await_states(other, &sink, "RUNNING", 2, 2);
        for task in ["0", "1"] {
            assert_eq!(worker.rest("POST", &path(&format!("/tasks/{task}/restart")), None).0, 204);
        }
        assert_eq!(other.rest("POST", &path("/restart"), None).0, 204);
        let (status, plan) = worker.rest("POST", &path("/restart?includeTasks=true&onlyFailed=true"), None);
        assert_eq!((status, plan["tasks"].as_array().map(Vec::len)), (202, Some(2)), "{plan}");
        // Three tasks, all of the connector's configuration.
        let (status, info) = other.rest("PATCH", &path("/config"), Some(&json!({"tasks.max": "3", "timezone": null})));
        assert_eq!((status, info["config"]["tasks.max"].as_str(), info["config"].get("timezone")), (200, Some("3"), None), "{info}");
        await_states(worker, &sink, "RUNNING", 3, 2);
        let (_, tasks) = worker.rest("GET", &path("/tasks"), None);
        let configs: BTreeSet<String> = tasks.as_array().into_iter().flatten().map(|task| task["config"].to_string()).collect();
        assert_eq!(configs.len(), 1, "{tasks}");
        assert_eq!(tasks[2]["config"]["task.class"], "io.confluent.connect.s3.S3SinkTask");
        assert_eq!(other.rest("PUT", &path("/stop"), None).0, 204);
        await_states(worker, &sink, "STOPPED", 0, 1);
        // A consumer that was stopped while it joined is a member of its group for a little while longer.
        let reset = || (other.rest("DELETE", &path("/offsets"), None).0 == 200).then_some(());
        await_some(JOB, reset, || other.log());
        assert_eq!(other.rest("DELETE", &path(""), None).0, 204);
        await_some(JOB, || (worker.rest("GET", "/connectors", None).1 == json!([])).then_some(()), || worker.log());
        await_some(JOB, || (worker.status(&sink)["error_code"] == 404).then_some(()), || worker.status(&sink).to_string());
        assert_eq!(worker.rest("DELETE", &path(""), None).0, 404);
    }
    workers.into_iter().for_each(Worker::terminate);
}

#[test]
fn a_group_that_begins_again_is_as_it_was() {
    let (topic, bucket) = (Topic::create("again", 2), Bucket::create());
    let sink = |kind: &str| {
        let mut sink = Connector::s3_sink(&topic, &bucket, "json").with("flush.size", "10");
        sink.name.push_str(kind);
        sink
    };
    let (running, paused, stopped) = (sink("-running"), sink("-paused"), sink("-stopped"));
    let before = Worker::join("again", &[]);
    for connector in [&running, &paused, &stopped] {
        before.run(connector);
        await_states(&before, connector, "RUNNING", 1, 1);
    }
    before.rest("PUT", &format!("/connectors/{}/pause", paused.name), None);
    before.rest("PUT", &format!("/connectors/{}/stop", stopped.name), None);
    topic.send_orders(0..100, Encoding::Json);
    let used = || before.rest("GET", &format!("/connectors/{}/topics", running.name), None).1;
    await_some(JOB, || (used()[&running.name]["topics"] == json!([topic.name])).then_some(()), || used().to_string());
    let configs = |worker: &Worker| worker.rest("GET", "/connectors?expand=info", None).1;
    let known = configs(&before);
    before.terminate();
    let after = Worker::join("again", &[]);
    await_states(&after, &running, "RUNNING", 1, 1);
    await_states(&after, &paused, "PAUSED", 1, 1);
    await_states(&after, &stopped, "STOPPED", 0, 1);
    assert_eq!(configs(&after), known);
    assert_eq!(after.rest("GET", &format!("/connectors/{}/topics", running.name), None).1[&running.name]["topics"], json!([topic.name]));
    // What begins paused takes no place in its group before it is resumed.
    let assigned = || after.whole_log().lines().any(|line| line.contains("assigned") && line.contains(&paused.name));
    assert!(!assigned(), "{}", after.log());
    assert_eq!(after.rest("PUT", &format!("/connectors/{}/resume", paused.name), None).0, 202);
    after.await_end(&paused, &topic, JOB);
    assert!(assigned(), "{}", after.log());
    after.terminate();
}

/// The offsets of sources are the group's: whoever takes a task over goes on where it was.
#[test]
fn a_source_goes_on_at_another_worker() {
    let folder = Bucket::create().folder;
    fs::create_dir_all(&folder).expect("a folder");
    let (input, output) = (folder.join("in.txt"), folder.join("out.txt"));
    let string = "org.apache.kafka.connect.storage.StringConverter";
    let topic = format!("moved-{}", std::process::id());
    let connector = |kind: &str, file: &Path, key: &str| {
        let class = format!("org.apache.kafka.connect.file.FileStream{kind}Connector");
        Connector::of_class(&format!("{kind}-{topic}"), &class).with("file", &file.display().to_string()).with(key, &topic).with("value.converter", string)
    };
    let source = connector("Source", &input, "topic").with("topic.creation.default.partitions", "1").with("topic.creation.default.replication.factor", "-1");
    let sink = connector("Sink", &output, "topics");
    let lines = |range: std::ops::Range<u32>| range.map(|number| format!("line {number}\n")).collect::<String>();
    fs::write(&input, lines(0..5_000)).expect("a file of ours");
    let (one, two) = (Worker::join("moved", &[]), Worker::join("moved", &[]));
    one.run(&source);
    two.run(&sink);
    let written = || fs::read_to_string(&output).unwrap_or_default();
    await_some(JOB, || (written() == lines(0..5_000)).then_some(()), || one.log());
    let offsets = |worker: &Worker| worker.rest("GET", &format!("/connectors/{}/offsets", source.name), None).1["offsets"][0]["offset"]["position"].clone();
    await_some(JOB, || (offsets(&two) == json!(lines(0..5_000).len())).then_some(()), || offsets(&two).to_string());
    let has_source = one.url().ends_with(two.status(&source)["tasks"][0]["worker_id"].as_str().unwrap_or("nobody"));
    let (stays, goes) = if has_source { (two, one) } else { (one, two) };
    goes.terminate();
    fs::write(&input, lines(0..9_000)).expect("a file of ours");
    await_some(JOB, || (written() == lines(0..9_000)).then_some(()), || stays.log());
    stays.terminate();
}
