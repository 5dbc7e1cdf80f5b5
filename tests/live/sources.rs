//! Source connectors: a file through a topic into a file, workers that are killed on the way, offsets seen and changed, failures that are asked for.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::broker::Topic;
use crate::bucket::Bucket;
use crate::servers::Kafka;
use crate::worker::{Connector, JOB, SOON, Worker, await_some};

const STRING: &str = "org.apache.kafka.connect.storage.StringConverter";
const FILES: &str = "org.apache.kafka.connect.file.FileStream";

fn source(topic: &str, file: &Path) -> Connector {
    let source = Connector::of_class(&format!("source-{topic}"), &format!("{FILES}SourceConnector"));
    source.with("file", &file.display().to_string()).with("topic", topic).with("value.converter", STRING)
}

fn sink(topic: &str, file: &Path) -> Connector {
    let sink = Connector::of_class(&format!("sink-{topic}"), &format!("{FILES}SinkConnector"));
    sink.with("file", &file.display().to_string()).with("topics", topic).with("value.converter", STRING)
}

/// A worker whose source offsets are in that file.
fn worker(offsets: &Path, connectors: &[&Connector]) -> Worker {
    let settings = [("offset.storage.file.filename", offsets.display().to_string())];
    let settings: Vec<(&str, &str)> = settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
    Worker::start_with(Kafka::shared(), connectors, &settings, |binary| Command::new(binary))
}

fn lines(range: std::ops::Range<u64>) -> String {
    range.map(|n| format!("line {n} \u{e9}\n")).collect()
}

fn append(file: &Path, text: &str) {
    File::options().create(true).append(true).open(file).and_then(|mut file| file.write_all(text.as_bytes())).expect("a file of ours");
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

#[track_caller]
fn await_text(worker: &Worker, file: &Path, expected: &str) {
    let explain = || format!("{} of {} bytes\n{}", read(file).len(), expected.len(), worker.log());
    await_some(JOB, || (read(file).len() >= expected.len()).then_some(()), explain);
    assert!(read(file) == expected, "other lines than those that were sent");
}

struct Folder {
    input: PathBuf,
    output: PathBuf,
    offsets: PathBuf,
}

fn folder() -> Folder {
    let folder = Bucket::create().folder;
    fs::create_dir_all(&folder).expect("a folder");
    Folder { input: folder.join("in.txt"), output: folder.join("out.txt"), offsets: folder.join("connect.offsets") }
}

#[test]
fn a_file_goes_through_a_topic_that_is_made_for_it_into_a_file() {
    let Folder { input, output, offsets } = folder();
    let topic = format!("lines-{}", std::process::id());
    let source = source(&topic, &input).with("topic.creation.default.partitions", "1").with("topic.creation.default.replication.factor", "-1");
    let source = source.with("topic.creation.default.retention.ms", "86400000");
    append(&input, &lines(0..6000));
    let first = worker(&offsets, &[&source, &sink(&topic, &output)]);
    await_text(&first, &output, &lines(0..6000));
    append(&input, &lines(6000..10_000));
    await_text(&first, &output, &lines(0..10_000));
    let (_, shown) = first.rest("GET", &format!("/connectors/{}/topics", source.name), None);
    assert_eq!(shown, json!({ source.name.as_str(): { "topics": [topic] } }));
    first.terminate();

    // What a worker has stopped with is where the next one goes on: nothing comes twice.
    append(&input, "the last line\n");
    let second = worker(&offsets, &[&source, &sink(&topic, &output)]);
    await_text(&second, &output, &format!("{}the last line\n", lines(0..10_000)));
    let (_, shown) = second.rest("GET", &format!("/connectors/{}/offsets", source.name), None);
    let position = read(&input).len();
    let at = |shown: &Value| shown["offsets"][0]["offset"]["position"].as_u64();
    await_some(
        SOON,
        || (at(&second.rest("GET", &format!("/connectors/{}/offsets", source.name), None).1) == Some(position as u64)).then_some(()),
        || shown.to_string(),
    );
    assert_eq!(shown["offsets"][0]["partition"], json!({"filename": input.display().to_string()}));
    second.terminate();
    let file = fs::read(&offsets).expect("the offset file");
    assert!(file.starts_with(b"\xac\xed\x00\x05sr\x00\x11java.util.HashMap"), "it is in Java's format");
}

#[test]
fn workers_that_are_killed_lose_no_line() {
    let Folder { input, output, offsets } = folder();
    let topic = Topic::create("killed-lines", 1);
    let source = source(&topic.name, &input).with("batch.size", "100");
    let mut written = 0;
    for _ in 0..4 {
        append(&input, &lines(written..written + 20_000));
        written += 20_000;
        let before = topic.end_offsets()[&0];
        let worker = worker(&offsets, &[&source]);
        await_some(SOON, || (topic.end_offsets()[&0] > before + 5000).then_some(()), || worker.log());
        worker.kill();
    }
    let last = worker(&offsets, &[&source, &sink(&topic.name, &output)]);
    append(&input, "end\n");
    await_some(JOB, || read(&output).ends_with("end\n").then_some(()), || last.log());
    last.terminate();
    let received = read(&output);
    let mut next = 0;
    for line in received.lines() {
        // Lines may come again, from some line on; none is left out.
        let Some(number) = line.strip_prefix("line ").and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok()) else { continue };
        assert!(number <= next, "line {next} is missing before {line}");
        next = next.max(number + 1);
    }
    assert_eq!(next, written);
}

#[test]
fn offsets_of_a_source_are_altered_and_reset_while_it_is_stopped() {
    let Folder { input, output, offsets } = folder();
    let topic = Topic::create("altered-lines", 1);
    append(&input, "one\ntwo\n");
    let source = source(&topic.name, &input);
    let worker = worker(&offsets, &[&source, &sink(&topic.name, &output)]);
    await_text(&worker, &output, "one\ntwo\n");
    let of = |path: &str| format!("/connectors/{}/{path}", source.name);
    let entry = |position: Value| json!({"partition": {"filename": input.display().to_string()}, "offset": position});
    let alter = |position: Value| worker.rest("PATCH", &of("offsets"), Some(&json!({"offsets": [entry(position)]})));
    assert_eq!(alter(json!({"position": 4})).0, 400, "it runs");
    assert_eq!(worker.rest("PUT", &of("stop"), None).0, 204);
    assert_eq!(worker.rest("GET", &of("offsets"), None), (200, json!({"offsets": [entry(json!({"position": 8}))]})));
    assert_eq!(alter(json!({"position": 4})), (200, json!({"message": "The offsets for this connector have been altered successfully"})));
    let (status, body) = alter(json!({"line": 4}));
    assert_eq!((status, body["message"].as_str()), (500, Some("Offset objects should either be null or contain the key 'position'")));
    assert_eq!(worker.rest("PUT", &of("resume"), None).0, 202);
    await_text(&worker, &output, "one\ntwo\ntwo\n");
    assert_eq!(worker.rest("PUT", &of("stop"), None).0, 204);
    assert_eq!(worker.rest("DELETE", &of("offsets"), None), (200, json!({"message": "The offsets for this connector have been reset successfully"})));
    assert_eq!(worker.rest("GET", &of("offsets"), None), (200, json!({"offsets": []})));
    assert_eq!(worker.rest("PUT", &of("resume"), None).0, 202);
    await_text(&worker, &output, "one\ntwo\ntwo\none\ntwo\n");
    worker.terminate();
}

/// Structs and numbers, as JSON with and without their schemas, as Java prints them, and as their bytes.
#[test]
fn records_of_a_source_are_written_as_its_converters_say() {
    let Folder { output, offsets, .. } = folder();
    let (topic, bare, bytes) = (Topic::create("structs", 1), Topic::create("numbers", 1), Topic::create("longs", 1));
    let tools = |name: &str, topic: &Topic| Connector::of_class(&format!("{name}-{}", topic.name), &format!("org.apache.kafka.connect.tools.{name}Connector"));
    let json = "org.apache.kafka.connect.json.JsonConverter";
    let structs = tools("SchemaSource", &topic).with("topic", &topic.name).with("throughput", "-1").with("num.messages", "2").with("value.converter", json);
    let numbers = tools("VerifiableSource", &bare).with("topic", &bare.name).with("throughput", "5").with("value.converter", json);
    let long = ("value.converter", "org.apache.kafka.connect.converters.LongConverter");
    let longs = tools("VerifiableSource", &bytes).with("topic", &bytes.name).with("throughput", "5").with(long.0, long.1);
    let written = output.with_extension("longs");
    let of_longs = sink(&bytes.name, &written).with(long.0, long.1);
    let sink = sink(&topic.name, &output).with("value.converter", json);
    let counted = tools("VerifiableSink", &bare).with("topics", &bare.name).with("value.converter", json).with("key.converter", STRING);
    let worker = worker(&offsets, &[&structs, &numbers, &sink, &counted, &longs, &of_longs]);
    let line = |seqno: u64| format!("Struct{{boolean=true,int=12,long=12,float=12.2,double=12.2,partitioning=0,id=0,seqno={seqno}}}\n");
    await_text(&worker, &output, &format!("{}{}", line(0), line(1)));
    let told = |what: &str| await_some(SOON, || worker.whole_log().contains(what).then_some(()), || worker.log());
    told("{\"committed\":true,\"task\":0,\"seqno\":1,");
    told("{\"task\":\"0\",\"seqno\":1,\"offset\":1,");
    told("\"flushed\":true}");
    await_some(SOON, || read(&written).starts_with("0\n1\n").then_some(()), || worker.log());
    worker.terminate();
}

#[test]
fn connectors_and_tasks_that_fail_are_told_and_restarted() {
    let Folder { offsets, .. } = folder();
    let worker = worker(&offsets, &[]);
    let topic = Topic::create("mock", 1);
    for (kind, mode) in [("Source", "connector-failure"), ("Source", "task-failure"), ("Sink", "task-failure")] {
        let mock = Connector::of_class(&format!("mock-{kind}-{mode}").to_lowercase(), &format!("org.apache.kafka.connect.tools.Mock{kind}Connector"));
        let mock = mock.with("mock_mode", mode).with("delay_ms", "300").with("tasks.max", "3");
        let mock = if kind == "Sink" { mock.with("topics", &topic.name) } else { mock };
        assert_eq!(worker.create(&mock).0, 201);
        let (of_connector, of_task) = if mode == "connector-failure" { ("FAILED", "RUNNING") } else { ("RUNNING", "FAILED") };
        let is = |connector: &str, task: &str| {
            let status = worker.status(&mock);
            let tasks = status["tasks"].as_array().expect("tasks");
            (status["connector"]["state"] == connector && tasks.len() == 1 && tasks[0]["state"] == task).then_some(())
        };
        await_some(SOON, || is(of_connector, of_task), || worker.status(&mock).to_string());
        assert!(worker.status(&mock).to_string().contains(&format!("mock_mode={mode}")), "the trace says why");
        let restart = format!("/connectors/{}/restart?includeTasks=true&onlyFailed=true", mock.name);
        assert_eq!(worker.rest("POST", &restart, None).0, 202);
        await_some(SOON, || is("RUNNING", "RUNNING"), || worker.status(&mock).to_string());
        await_some(SOON, || is(of_connector, of_task), || worker.status(&mock).to_string());
        assert_eq!(worker.rest("DELETE", &format!("/connectors/{}", mock.name), None).0, 204);
    }
    worker.terminate();
}

#[test]
fn what_a_source_cannot_do_is_refused_by_name() {
    let Folder { input, offsets, .. } = folder();
    let worker = worker(&offsets, &[]);
    for (key, value) in [("topic.creation.default.partitions", "1"), ("producer.override.transactional.id", "mine")] {
        let (status, body) = worker.create(&source("refused", &input).with(key, value));
        assert!(status == 400 && body.to_string().contains(key.strip_suffix("partitions").unwrap_or(key)), "{key}: {status} {body}");
    }
    let (status, body) = worker.create(&source("refused", &input).with("exactly.once.support", "required"));
    assert!(status == 400 && body.to_string().contains("This worker does not have exactly-once source support enabled."), "{status} {body}");
    let paused = source("paused", &input);
    assert_eq!(worker.create(&paused).0, 201);
    assert_eq!(worker.rest("PUT", &format!("/connectors/{}/pause", paused.name), None).0, 202);
    await_some(Duration::from_secs(10), || (worker.status(&paused)["tasks"][0]["state"] == "PAUSED").then_some(()), || worker.status(&paused).to_string());
    worker.terminate();
}
