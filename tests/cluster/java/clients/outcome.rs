//! What counts of what a client made of an answer.

use serde_json::{Map, Value};

/// Plugins that both have; each has others beside them.
const SHARED: [&str; 17] = [
    "org.apache.kafka.connect.converters.BooleanConverter",
    "org.apache.kafka.connect.converters.ByteArrayConverter",
    "org.apache.kafka.connect.converters.DoubleConverter",
    "org.apache.kafka.connect.converters.FloatConverter",
    "org.apache.kafka.connect.converters.IntegerConverter",
    "org.apache.kafka.connect.converters.LongConverter",
    "org.apache.kafka.connect.converters.ShortConverter",
    "org.apache.kafka.connect.file.FileStreamSinkConnector",
    "org.apache.kafka.connect.file.FileStreamSourceConnector",
    "org.apache.kafka.connect.tools.MockSinkConnector",
    "org.apache.kafka.connect.tools.MockSourceConnector",
    "org.apache.kafka.connect.tools.SchemaSourceConnector",
    "org.apache.kafka.connect.tools.VerifiableSinkConnector",
    "org.apache.kafka.connect.tools.VerifiableSourceConnector",
    "org.apache.kafka.connect.json.JsonConverter",
    "org.apache.kafka.connect.storage.SimpleHeaderConverter",
    "org.apache.kafka.connect.storage.StringConverter",
];

/// Members whose texts each side has its own of; that there is one counts.
const OWN: [&str; 4] = ["commit", "documentation", "trace", "version"];

/// What a call that waits for a group, or for tasks that are about to end, is answered with.
const TOO_EARLY: [&str; 6] =
    ["\"code\":409", "\"status\":409", "409 Client Error", "response status: 409", "because a rebalance is expected", "tasks haven't stopped completely yet"];

/// True where a call is to be made again.
pub(super) fn is_too_early(outcome: &Value) -> bool {
    let text = outcome.to_string();
    TOO_EARLY.iter().any(|part| text.contains(part))
}

/// The same with what a client printed as the value that it is, where it is JSON.
pub(super) fn parsed(mut outcome: Value) -> Value {
    if let Some(json) = outcome["printed"].as_str().and_then(|printed| serde_json::from_str(printed).ok()) {
        outcome["printed"] = json;
    }
    outcome
}

/// What both sides must have in common.
pub(super) fn plain(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, _)| *name != "lakehead");
            let mut plain: Map<String, Value> = kept.map(|(name, value)| (name.clone(), of_member(name, value))).collect();
            if members.get("name").and_then(Value::as_str).is_some_and(|name| name.ends_with(".plugin.version")) {
                plain.values_mut().for_each(hide_version);
            }
            Value::Object(plain)
        }
        Value::Array(values) => {
            let mut plain: Vec<Value> = values.iter().filter(|value| is_shared(value)).map(plain).collect();
            plain.sort_by_key(|value| value["connector"].as_str().map(str::to_owned)); // connectors come in no order
            Value::Array(plain)
        }
        other => other.clone(),
    }
}

fn of_member(name: &str, value: &Value) -> Value {
    match value.as_str() {
        Some(text) if !text.is_empty() && OWN.contains(&name) => "text".into(),
        Some(text) if ["printed", "complained"].contains(&name) => lines(text),
        _ => plain(value),
    }
}

/// The same but for states, which are on their way.
pub(super) fn without_states(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let kept = members.iter().filter(|(name, _)| !["state", "trace", "version"].contains(&name.as_str()));
            Value::Object(kept.map(|(name, value)| (name.clone(), without_states(value))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(without_states).collect()),
        other => other.clone(),
    }
}

/// Lines that tell of connectors come in no order, and some begin with the time.
fn lines(text: &str) -> Value {
    let time = regex::Regex::new(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}").expect("a pattern");
    let mut lines: Vec<_> = text.lines().map(|line| time.replace(line, "TIME")).collect();
    lines.sort();
    lines.join("\n").into()
}

/// Each side has its own version of every plugin.
fn hide_version(value: &mut Value) {
    let is_version = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    match value {
        Value::String(text) if is_version(text) => *text = "version".to_owned(),
        Value::Array(values) => values.iter_mut().for_each(hide_version),
        _ => {}
    }
}

/// False for what one side alone has: other connectors and converters, and keys of ours.
fn is_shared(value: &Value) -> bool {
    let class = value.get("class").or_else(|| value.get("className")).unwrap_or(value).as_str();
    let key = value["value"]["name"].as_str().unwrap_or_default();
    let is_plugin = |class: &str| class.contains('.') && ["Connector", "Converter"].iter().any(|kind| class.ends_with(kind));
    !class.is_some_and(|class| (value.is_object() || is_plugin(class)) && !SHARED.contains(&class))
        && !key.starts_with("lakehead.")
        && key != "errors.deadletterqueue.url"
}

/// The places where two outcomes are not the same.
pub(super) fn difference(java: &Value, ours: &Value) -> String {
    let mut lines = Vec::new();
    differences("", java, ours, &mut lines);
    if lines.is_empty() { format!("  both: {}", short(java)) } else { lines.join("\n") }
}

fn differences(at: &str, java: &Value, ours: &Value, lines: &mut Vec<String>) {
    match (java, ours) {
        _ if java == ours => {}
        (Value::Object(java), Value::Object(ours)) => {
            let absent = Value::from("(absent)");
            let names = java.keys().chain(ours.keys().filter(|name| !java.contains_key(*name)));
            names.for_each(|name| differences(&format!("{at}.{name}"), java.get(name).unwrap_or(&absent), ours.get(name).unwrap_or(&absent), lines));
        }
        (Value::Array(java), Value::Array(ours)) if java.len() == ours.len() => {
            (0..).zip(java.iter().zip(ours)).for_each(|(i, (java, ours))| differences(&format!("{at}[{i}]"), java, ours, lines));
        }
        _ => lines.push(format!("  {at}\n    Java: {}\n    ours: {}", short(java), short(ours))),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(900).collect()
}
