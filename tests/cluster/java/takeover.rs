//! A Java worker's topics are taken over by ours, and given back: what one has written, the other reads, both ways.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;

use serde_json::{Value, json};

use super::{Group, Kind, LONG, Member, file_sink, file_source, lines, mock_sink, path};
use crate::broker::Topic;
use crate::world::worker::await_some;

/// What a worker answers about its connectors, but for who runs them and in which version.
fn seen(member: &Member) -> Value {
    let mut names: Vec<String> = serde_json::from_value(member.get("/connectors")).expect("names");
    names.sort();
    let of = |name: &String| {
        let get = |what: &str| member.get(&format!("/connectors/{name}{what}"));
        let (mut info, mut offsets) = (get(""), get("/offsets"));
        if let Some(offsets) = offsets["offsets"].as_array_mut() {
            offsets.sort_by_key(Value::to_string); // Java lists them as its maps do
        }
        if let Some(tasks) = info["tasks"].as_array_mut() {
            tasks.sort_by_key(|task| task["task"].as_i64());
        }
        let status = json!({"states": member.states(name), "type": get("/status")["type"]});
        let parts = json!({
            "info": info, "config": get("/config"), "tasks": get("/tasks"), "status": status, "topics": get("/topics"), "offsets": offsets
        });
        (name.clone(), parts)
    };
    Value::Object(names.iter().map(of).collect())
}

/// Waits until a worker answers what another one did.
#[track_caller]
fn await_seen(member: &Member, expected: &Value) {
    let same = || (seen(member) == *expected).then_some(());
    await_some(LONG, same, || format!("{:?} answers {:#}\nand not {expected:#}", member.kind, seen(member)));
}

/// Waits until a connector's offsets add up.
#[track_caller]
fn await_offsets(member: &Member, name: &str, expected: i64) {
    let get = || member.get(&format!("/connectors/{name}/offsets"));
    let sum = |all: &Value| -> i64 {
        let numbers = all["offsets"].as_array().into_iter().flatten().flat_map(|one| one["offset"].as_object().into_iter().flat_map(|fields| fields.values()));
        numbers.filter_map(Value::as_i64).sum()
    };
    await_some(LONG, || (sum(&get()) == expected).then_some(()), || format!("{:?}: {} and not {expected}", member.kind, get()));
}

fn append(file: &str, text: &str) {
    let mut file = fs::File::options().create(true).append(true).open(file).expect("a file");
    file.write_all(text.as_bytes()).expect("room");
}

#[test]
fn what_java_has_written_is_gone_on_with_and_given_back() {
    let (group, incoming, outgoing) = (Group::new("takeover"), Topic::create("takeover-in", 2), Topic::create("takeover-out", 1));
    let (input, output) = (path("takeover-input"), path("takeover-output"));
    incoming.send((0..10).map(|i| (i % 2, Some(format!("line {i}").into_bytes()))));
    append(&input, "one\ntwo\n");

    // Java creates connectors in all states.
    let java = group.start(Kind::Java);
    java.create("sink", &file_sink(&incoming.name, &output, "2"), None);
    java.create("source", &file_source(&outgoing.name, &input), None);
    java.create("paused", &mock_sink(&incoming.name), Some("PAUSED"));
    java.create("held", &mock_sink(&incoming.name), Some("STOPPED"));
    java.create("gone", &mock_sink(&incoming.name), None);
    java.ask("DELETE", "/connectors/gone", None, 204);
    let level = json!({"level": "DEBUG"});
    java.ask("PUT", "/admin/loggers/org.example.taken.over?scope=cluster", Some(&level), 204);
    java.await_states("sink", "RUNNING", &["RUNNING", "RUNNING"]);
    java.await_states("source", "RUNNING", &["RUNNING"]);
    java.await_states("paused", "PAUSED", &[]);
    java.await_states("held", "STOPPED", &[]);
    await_offsets(&java, "sink", 10);
    await_offsets(&java, "source", 8);
    let before = seen(&java);
    java.stop();

    // Ours goes on.
    let ours = group.start(Kind::Lakehead);
    await_seen(&ours, &before);
    append(&input, "three\n");
    incoming.send((10..14).map(|i| (i % 2, Some(format!("line {i}").into_bytes()))));
    await_offsets(&ours, "source", 14);
    await_offsets(&ours, "sink", 14);
    assert_eq!(outgoing.end_offsets(), BTreeMap::from([(0, 3)]), "each line was sent once");

    // And changes things.
    ours.ask("PUT", "/connectors/sink/stop", None, 204);
    ours.ask("PUT", "/connectors/held/resume", None, 202);
    ours.ask("PATCH", "/connectors/source/config", Some(&json!({"batch.size": "7"})), 200);
    ours.ask("DELETE", "/connectors/paused", None, 204);
    ours.create("new", &mock_sink(&incoming.name), Some("PAUSED"));
    ours.await_states("sink", "STOPPED", &[]);
    ours.await_states("held", "RUNNING", &["RUNNING"]);
    await_offsets(&ours, "held", 14); // or it would commit them when it stops, after what is compared was asked for
    await_some(LONG, || (ours.get("/connectors/held/topics")["held"]["topics"] == json!([incoming.name])).then_some(()), || String::from("held has no topic"));
    ours.await_states("source", "RUNNING", &["RUNNING"]);
    ours.await_states("new", "PAUSED", &[]);
    let reset = json!({"offsets": [{"partition": {"kafka_topic": incoming.name, "kafka_partition": 0}, "offset": {"kafka_offset": 0}}]});
    ours.ask("PATCH", "/connectors/sink/offsets", Some(&reset), 200);
    ours.ask("PUT", "/admin/loggers/org.example.given.back?scope=cluster", Some(&level), 204);
    let tasks = || (ours.get("/connectors/source/tasks")[0]["config"]["batch.size"] == "7").then_some(());
    await_some(LONG, tasks, || format!("{}", ours.get("/connectors/source/tasks")));
    let changed = seen(&ours);
    ours.stop();

    // Java reads it.
    let java = group.start(Kind::Java);
    await_seen(&java, &changed);
    append(&input, "four\n");
    await_offsets(&java, "source", 19);
    assert_eq!(outgoing.end_offsets(), BTreeMap::from([(0, 4)]));
    java.ask("PUT", "/connectors/sink/resume", None, 202);
    await_offsets(&java, "sink", 14);
    // The seven records of the partition whose offset was set back are there twice.
    let (mut expected, there) = ((0..14).chain((0..14).step_by(2)).map(|i| format!("line {i}")).collect::<Vec<_>>(), || lines(&output));
    expected.sort();
    await_some(LONG, || (there() == expected).then_some(()), || format!("{:?}", there()));
    let keys: Vec<_> = group.records("configs").into_iter().filter(|(key, _)| key == "session-key").collect();
    assert_eq!(keys.len(), 1, "whoever leads goes on with the key that is there: {keys:?}");
    java.stop();
}
