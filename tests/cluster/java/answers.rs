//! The same requests to two Java workers and to two of ours: answers of the same status and the same shape.
//!
//! `requests.json` is a list in an order in which each builds on those before it. A request goes to the worker that leads unless `to` says `follower`; before
//! it, `await` (a connector, its state and those of its tasks) is waited for. Where the answers of the two sides are known to be different, `differs` says why.

use serde_json::{Map, Value};

use super::{Group, Kind, LONG, Member, is_too_early, path};
use crate::broker::Topic;
use crate::world::worker::{await_some, block_on};

/// What came back.
#[derive(Debug, PartialEq)]
struct Answer {
    status: u16,
    content_type: Option<String>,
    location: Option<String>,
    body: Value,
}

/// Members whose values are the same on both sides.
const LITERAL: [&str; 14] = [
    "error_code",
    "message",
    "state",
    "type",
    "connector",
    "task",
    "id",
    "name",
    "level",
    "kafka_offset",
    "kafka_partition",
    "position",
    "error_count",
    "tasks",
];

/// The shape of a body: members and kinds; texts only below members whose texts count. Workers' names and versions do not.
fn shape(value: &Value, is_literal: bool) -> Value {
    match value {
        Value::Object(members) => {
            let of = |(name, value): (&String, &Value)| (name.clone(), shape(value, LITERAL.contains(&name.as_str()) && !value.is_object()));
            Value::Object(members.iter().filter(|(name, _)| !["lakehead", "version"].contains(&name.as_str())).map(of).collect::<Map<_, _>>())
        }
        Value::Array(values) => Value::Array(values.iter().map(|value| shape(value, is_literal)).collect()),
        Value::String(_) if !is_literal => "text".into(),
        Value::Number(_) if !is_literal => "number".into(),
        other => other.clone(),
    }
}

fn send(member: &Member, request: &Value, texts: &[(&str, &str)]) -> Answer {
    let replaced = |text: String| texts.iter().fold(text, |text, (name, value)| text.replace(name, value));
    let text = |key: &str| replaced(request[key].as_str().unwrap_or_default().to_owned());
    let mut call = reqwest::Client::new().request(text("method").parse().expect("a method"), format!("{}{}", member.url, text("path")));
    let body = request.get("body").map(|body| replaced(body.to_string())).or_else(|| request.get("raw").map(|_| text("raw")));
    if let Some(body) = body {
        call = call.body(body).header("Content-Type", request["content_type"].as_str().unwrap_or("application/json"));
    }
    for (name, value) in request["headers"].as_object().into_iter().flatten() {
        call = call.header(name, value.as_str().expect("a text"));
    }
    block_on(async {
        let answer = call.send().await.expect("an answer");
        let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().expect("text").replace(&member.id, "WORKER"));
        let (status, content_type, location) = (answer.status().as_u16(), header("content-type"), header("location"));
        let body = answer.text().await.expect("a body");
        Answer { status, content_type, location, body: serde_json::from_str(&body).unwrap_or(Value::String(body)) }
    })
}

/// Sends all requests to a pair of workers.
fn play(kind: Kind, requests: &[Value]) -> Vec<Answer> {
    let name = if kind == Kind::Java { "answers-java" } else { "answers-ours" };
    let (group, incoming, outgoing) = (Group::new(name), Topic::create(name, 1), Topic::create(&format!("{name}-out"), 1));
    let (input, output) = (path(&format!("{name}-input")), path(&format!("{name}-output")));
    std::fs::write(&input, "one\ntwo\n").expect("a file");
    incoming.send((0..5).map(|i| (0, Some(format!("line {i}").into_bytes()))));
    let [leader, follower] = group.pair(kind);
    assert!(leader.leads() && !follower.leads());
    let texts = [("$IN", incoming.name.as_str()), ("$OUT", outgoing.name.as_str()), ("$FILE", &input), ("$SUNK", &output)];
    let mut answers = Vec::new();
    for request in requests {
        let member = if request["to"] == "follower" { &follower } else { &leader };
        if let Some([name, state, tasks]) = request["await"].as_array().map(Vec::as_slice) {
            let tasks: Vec<&str> = tasks.as_array().expect("states").iter().filter_map(Value::as_str).collect();
            member.await_states(name.as_str().expect("a name"), state.as_str().expect("a state"), &tasks);
        }
        if let Some(offsets) = request["offsets"].as_array() {
            let get = || member.get(&format!("/connectors/{}/offsets", offsets[0].as_str().expect("a name")));
            let there = || (get()["offsets"][0]["offset"].as_object()?.values().next()? == &offsets[1]).then_some(());
            await_some(LONG, there, || format!("{kind:?}: {}", get()));
        }
        let settled = || {
            let answer = send(member, request, &texts);
            let is_stale = is_too_early(answer.status, &answer.body);
            (!is_stale || request["conflict"] == true).then_some(answer)
        };
        let mut answer = await_some(LONG, settled, || format!("{kind:?}: {request} comes too early"));
        let mut text = answer.body.to_string();
        for (stands_for, name) in texts.iter().rev() {
            text = text.replace(name, stands_for);
        }
        answer.body = serde_json::from_str(&text).expect("JSON");
        answers.push(answer);
    }
    follower.stop();
    leader.stop();
    answers
}

#[test]
fn two_of_ours_answer_as_two_of_java() {
    let requests: Vec<Value> = serde_json::from_str(include_str!("requests.json")).expect("a list of requests");
    let (java, ours) = (play(Kind::Java, &requests), play(Kind::Lakehead, &requests));
    let mut wrong = Vec::new();
    for ((request, java), ours) in requests.iter().zip(&java).zip(&ours) {
        let same = (java.status, &java.content_type, &java.location) == (ours.status, &ours.content_type, &ours.location)
            && shape(&java.body, true) == shape(&ours.body, true);
        if same != request.get("differs").is_none() {
            let short = |answer: &Answer| format!("{answer:?}").chars().take(900).collect::<String>();
            wrong.push(format!("{request}\n  Java: {}\n  ours: {}", short(java), short(ours)));
        }
    }
    assert!(wrong.is_empty(), "{} of {} are not as expected:\n{}", wrong.len(), requests.len(), wrong.join("\n"));
}
