//! A Java worker and ours in one group: whichever leads, clients may ask either of them, work moves to the one that is left, and the topics hold the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use serde_json::{Map, Value, json};

use super::{Group, Kind, LONG, Member, file_sink, file_source, mock_sink, path};
use crate::broker::Topic;
use crate::world::worker::await_some;

/// Connectors and tasks that there are most of the time.
const PARTS: [&str; 7] = ["mock", "mock-0", "sink", "sink-0", "sink-1", "source", "source-0"];

/// Waits until all of that runs, both workers say so, and all of these have some of it.
#[track_caller]
fn await_shared(asked: &[&Member], owners: &[&Member]) {
    let expected: BTreeSet<&str> = owners.iter().map(|member| member.id.as_str()).collect();
    let shared = || {
        let mut told: Vec<_> = asked.iter().map(|member| member.owners()).collect::<Option<_>>()?;
        let first: BTreeMap<String, String> = told.pop()?;
        let are_those = first.values().map(String::as_str).collect::<BTreeSet<_>>() == expected;
        (are_those && first.keys().eq(PARTS.iter()) && told.iter().all(|other| *other == first)).then_some(())
    };
    let explain = || {
        let told: Vec<_> = asked.iter().map(|member| (member.kind, member.get("/connectors?expand=status"))).collect();
        format!("not shared out among {expected:?}: {told:#?}")
    };
    await_some(LONG, shared, explain)
}

/// Both answer what the connectors and their configurations are.
#[track_caller]
fn await_agreement(members: &[Member; 2]) {
    let told = |member: &Member| {
        let all = member.get("/connectors?expand=info");
        let parts = all.as_object().cloned().unwrap_or_default().into_iter();
        parts.map(|(name, of)| (name, (of["info"]["config"].clone(), of["info"]["tasks"].as_array().map(Vec::len)))).collect::<BTreeMap<_, _>>()
    };
    let explain = || format!("{:#?}", members.iter().map(told).collect::<Vec<_>>());
    await_some(LONG, || (told(&members[0]) == told(&members[1])).then_some(()), explain);
}

/// Everything that clients do, through each of the two.
fn use_both(members: &[Member; 2], topic: &str) {
    for (number, member) in members.iter().enumerate() {
        let other = &members[1 - number];
        member.ask("PUT", "/connectors/sink/pause", None, 202);
        other.await_states("sink", "PAUSED", &["PAUSED", "PAUSED"]);
        member.ask("PUT", "/connectors/sink/resume", None, 202);
        other.await_states("sink", "RUNNING", &["RUNNING", "RUNNING"]);

        for name in ["sink", "source", "mock"] {
            member.ask("POST", &format!("/connectors/{name}/restart"), None, 204);
            member.ask("POST", &format!("/connectors/{name}/tasks/0/restart"), None, 204);
            let plan = member.ask("POST", &format!("/connectors/{name}/restart?includeTasks=true"), None, 202);
            assert_eq!(plan["connector"]["state"], "RESTARTING", "{plan}");
        }
        await_shared(&[member, other], &[member, other]);

        member.ask("PUT", "/connectors/mock/stop", None, 204);
        other.await_states("mock", "STOPPED", &[]);
        member.ask("PUT", "/connectors/mock/resume", None, 202);
        other.await_states("mock", "RUNNING", &["RUNNING"]);

        // Whoever has the connector says what its tasks are, and the leader takes it from him.
        for name in ["sink", "source", "mock"] {
            let key = format!("asked.of.{number}");
            member.ask("PATCH", &format!("/connectors/{name}/config"), Some(&json!({&key: "x"})), 200);
            let are_new = || {
                let tasks = other.get(&format!("/connectors/{name}/tasks"));
                tasks.as_array().is_some_and(|tasks| !tasks.is_empty() && tasks.iter().all(|task| task["config"][&key] == "x")).then_some(())
            };
            await_some(LONG, are_new, || format!("{name}: {}", other.get(&format!("/connectors/{name}/tasks"))));
        }

        let extra = format!("extra-{number}");
        member.create(&extra, &mock_sink(topic), None);
        other.await_states(&extra, "RUNNING", &["RUNNING"]);
        let config = json!({"connector.class": "MockSink", "topics": topic, "tasks.max": "2"});
        let again = json!({"name": extra, "config": config});
        member.ask("POST", "/connectors", Some(&again), 409);
        member.ask("PUT", &format!("/connectors/{extra}/config"), Some(&config), 200);
        let is_new = || (other.get(&format!("/connectors/{extra}/tasks"))[0]["config"]["tasks.max"] == "2").then_some(());
        await_some(LONG, is_new, || format!("{extra}: {}", other.get(&format!("/connectors/{extra}/tasks"))));
        other.await_states(&extra, "RUNNING", &["RUNNING"]); // a mock has one task
        member.ask("DELETE", &format!("/connectors/{extra}"), None, 204);
        let gone = || (other.rest("GET", &format!("/connectors/{extra}"), None).0 == 404).then_some(());
        await_some(LONG, gone, || format!("{extra} is there"));

        let unsigned = member.ask("POST", "/connectors/sink/tasks", Some(&json!([])), 400);
        assert_eq!(unsigned["message"], "Internal request missing required signature");
        await_shared(&[member, other], &[member, other]);
    }
}

/// The form of a value: members in their order, and what they are; properties and traces in their kinds only.
fn form(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| match name.as_str() {
                "properties" => (name.clone(), "properties".into()),
                "trace" | "version" => (name.clone(), "text or null".into()),
                "state.v2" | "include-tasks" | "only-failed" | "algorithm" => (name.clone(), value.clone()),
                _ => (name.clone(), form(value)),
            };
            Value::Object(members.iter().map(member).collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.iter().map(form).collect()),
        Value::Null => "null".into(),
        Value::Bool(_) => "boolean".into(),
        Value::Number(_) => "number".into(),
        Value::String(_) => "text".into(),
    }
}

/// The forms of all records of a group's topics, and the keys and values of its tasks' properties.
fn forms(group: &Group, names: &[(&str, &str)]) -> BTreeSet<String> {
    let mut forms = BTreeSet::new();
    for purpose in ["configs", "offsets", "statuses"] {
        for (key, value) in group.records(purpose) {
            let key = names.iter().fold(key, |key, (name, stands_for)| key.replace(name, stands_for));
            let value = value.map(|value| serde_json::from_str::<Value>(&value).expect("JSON"));
            let form = value.as_ref().map_or_else(|| "deleted".to_owned(), |value| form(value).to_string());
            if key.starts_with("task-")
                && let Some(properties) = value.as_ref().and_then(|value| value["properties"].as_object())
            {
                let mut properties: Vec<_> = properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
                properties.sort();
                let properties = names.iter().fold(properties.join(" "), |text, (name, stands_for)| text.replace(name, stands_for));
                forms.insert(format!("{purpose} {key} has {properties}"));
            }
            forms.insert(format!("{purpose} {key} {form}"));
        }
    }
    forms
}

/// A group which a worker of `leads` leads, with one of `follows` beside it. Returns the forms of what it wrote down, and how long things took.
fn play(name: &'static str, leads: Kind, follows: Kind) -> (BTreeSet<String>, Vec<String>) {
    let (group, incoming, outgoing) = (Group::new(name), Topic::create(name, 2), Topic::create(&format!("{name}-out"), 1));
    let (input, output) = (path(&format!("{name}-input")), path(&format!("{name}-output")));
    std::fs::write(&input, "one\ntwo\n").expect("a file");
    let started = Instant::now();
    let [leader, follower] = [leads, follows].map(|kind| group.start(kind));
    let mut times = vec![format!("{leads:?} and {follows:?} are members after {:?}", started.elapsed())];
    assert!(leader.leads() && !follower.leads());
    leader.create("sink", &file_sink(&incoming.name, &output, "2"), None);
    follower.create("source", &file_source(&outgoing.name, &input), None);
    follower.create("mock", &mock_sink(&incoming.name), None);
    let mut members = [leader, follower];
    let [a, b] = &members;
    await_shared(&[a, b], &[a, b]);
    use_both(&members, &incoming.name);
    await_agreement(&members);
    assert!(members[0].leads());
    let end = || (outgoing.end_offsets()[&0] == 2).then_some(());
    await_some(LONG, end, || format!("{:?}: lines were sent more than once, or not at all", outgoing.end_offsets()));
    let names = [(outgoing.name.as_str(), "OUT"), (incoming.name.as_str(), "IN"), (input.as_str(), "INPUT"), (output.as_str(), "OUTPUT")];
    let forms = forms(&group, &names);

    // Each is killed in turn, and comes back.
    for _ in 0..2 {
        let [leader, other] = members;
        let (killed, since) = (leader.kind, Instant::now());
        leader.kill();
        await_shared(&[&other], &[&other]);
        times.push(format!("{killed:?}, which led, is killed: {:?} has all after {:?}", other.kind, since.elapsed()));
        assert!(other.leads());
        let back = group.start(killed);
        await_shared(&[&other, &back], &[&other, &back]);
        assert!(other.leads() && !back.leads());
        members = [other, back];
    }
    let [first, second] = members;
    second.stop();
    await_shared(&[&first], &[&first]);
    first.stop();
    (forms, times)
}

#[test]
fn a_java_worker_and_ours_are_one_group_whoever_leads() {
    let (java, times) = play("mixed-java", Kind::Java, Kind::Lakehead);
    let (ours, more) = play("mixed-ours", Kind::Lakehead, Kind::Java);
    println!("{}", [times, more].concat().join("\n"));
    let (only_java, only_ours): (Vec<_>, Vec<_>) = (java.difference(&ours).collect(), ours.difference(&java).collect());
    assert!(only_java.is_empty() && only_ours.is_empty(), "only where Java leads: {only_java:#?}\nonly where Lakehead leads: {only_ours:#?}");
}
