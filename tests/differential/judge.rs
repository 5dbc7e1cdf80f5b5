//! What is not the same in two answers to a case.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::tagged;

/// Something that Java's and our answer do not agree about.
#[derive(Debug, Clone)]
pub(crate) struct Difference {
    /// The record, payload or value.
    pub(crate) at: usize,
    /// Of what.
    pub(crate) what: &'static str,
    pub(crate) java: Value,
    pub(crate) ours: Value,
}

/// Every difference; none when the answers agree.
pub(crate) fn differences(case: &Value, java: &Value, ours: &Value) -> Vec<Difference> {
    let difference = |at, what, java: &Value, ours: &Value| Difference { at, what, java: java.clone(), ours: ours.clone() };
    let of_all = |what| vec![difference(0, what, java, ours)];
    match (java.get("refused"), ours.get("refused")) {
        (Some(java), Some(ours)) if java["message"] != ours["message"] => return vec![difference(0, "text of refusal", &java["message"], &ours["message"])],
        (Some(_), Some(_)) => return Vec::new(),
        (None, None) => {}
        _ => return of_all("refusal"),
    }
    let (Some(java_outcomes), Some(our_outcomes)) = (java["outcomes"].as_array(), ours["outcomes"].as_array()) else { return of_all("answer") };
    if java_outcomes.len() != our_outcomes.len() {
        return of_all("number of outcomes");
    }
    let mut found = Vec::new();
    for (at, (java, ours)) in java_outcomes.iter().zip(our_outcomes).enumerate() {
        match (java.get("error"), ours.get("error")) {
            (Some(java), Some(our)) => {
                if java["message"] != our["message"] {
                    found.push(difference(at, "text of error", &java["message"], &our["message"]));
                }
                let knows_stage = ours.get("stage").is_some();
                if knows_stage && !same(&without_prefix(&outcome_stage(java_outcomes, at)), &without_prefix(&ours["stage"])) {
                    found.push(difference(at, "failing transform", &outcome_stage(java_outcomes, at), &ours["stage"]));
                }
            }
            (None, None) => found.extend(outcome(case, java_outcomes.len(), java, ours).into_iter().map(|(what, java, ours)| Difference { at, what, java, ours })),
            _ => found.push(difference(at, "failure", java, ours)),
        }
    }
    found
}

fn outcome_stage(outcomes: &[Value], at: usize) -> Value {
    outcomes[at]["stage"].clone()
}

fn without_prefix(class: &Value) -> Value {
    class.as_str().map_or(Value::Null, |class| class.trim_start_matches("org.apache.kafka.connect.transforms.").into())
}

/// Two values in one normal form; texts, so that 0.0 is not -0.0.
fn same(java: &Value, ours: &Value) -> bool {
    tagged::normal(java).to_string() == tagged::normal(ours).to_string()
}

fn outcome(case: &Value, records: usize, java: &Value, ours: &Value) -> Vec<(&'static str, Value, Value)> {
    let mut found = Vec::new();
    let mut compare = |what: &'static str, java: &Value, ours: &Value, same: bool| {
        if !same {
            found.push((what, java.clone(), ours.clone()));
        }
    };
    if java.get("dropped").is_some() || ours.get("dropped").is_some() {
        compare("dropped", java, ours, java == ours);
    } else if java.get("bytes").is_some() {
        let is_json = case["class"].as_str().is_some_and(|class| class.ends_with("JsonConverter"));
        compare("bytes", &java["bytes"], &ours["bytes"], java["bytes"] == ours["bytes"] || (is_json && same_json(&java["bytes"], &ours["bytes"])));
    } else if java.get("topic").is_some() {
        compare("topic", &java["topic"], &ours["topic"], java["topic"] == ours["topic"]);
        compare("timestamp", &java["timestamp"], &ours["timestamp"], java["timestamp"] == ours["timestamp"]);
        for (schema, value, json) in [("keySchema", "key", "keyJson"), ("valueSchema", "value", "valueJson")] {
            // Of several records, a null stands in the column of its neighbours, under their schema.
            let is_null = records > 1 && java[value].is_null() && ours[value].is_null();
            compare(schema, &java[schema], &ours[schema], is_null || java[schema] == ours[schema]);
            let is_same = match (java.get(json), ours.get(json)) {
                (Some(Value::String(java)), Some(Value::String(ours))) if case["way"] == "chain" => same_text(java, ours),
                (Some(Value::Object(_)), _) if case["way"] == "chain" => true, // no connector can write it
                _ => same(&java[value], &ours[value]),
            };
            compare(value, &java[value], &ours[value], is_same);
        }
        compare("headers", &java["headers"], &ours["headers"], same_headers(&java["headers"], &ours["headers"]));
    } else {
        let is_null = records > 1 && java["value"].is_null() && ours["value"].is_null();
        compare("schema", &java["schema"], &ours["schema"], is_null || java["schema"] == ours["schema"]);
        compare("value", &java["value"], &ours["value"], same(&java["value"], &ours["value"]));
    }
    found
}

fn same_headers(java: &Value, ours: &Value) -> bool {
    let (Some(java), Some(ours)) = (java.as_array(), ours.as_array()) else { return false };
    // A header without a value has no schema that a reader of its text could see.
    let same_one = |java: &Value, ours: &Value| java[0] == ours[0] && same(&java[2], &ours[2]) && java[1] == ours[1];
    java.len() == ours.len() && java.iter().zip(ours).all(|(java, ours)| same_one(java, ours))
}

/// Payloads that are the same but for the order of keys of maps, which Java takes from its hash tables.
fn same_json(java: &Value, ours: &Value) -> bool {
    let text = |bytes: &Value| bytes.as_str().and_then(|text| STANDARD.decode(text).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
    match (text(java), text(ours)) {
        (Some(java), Some(ours)) => java.len() == ours.len() && same_text(&java, &ours),
        _ => false,
    }
}

fn same_text(java: &str, ours: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok().map(|value| sorted(&value).to_string());
    java == ours || read(java).is_some_and(|java| Some(java) == read(ours))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect())
        }
        other => other.clone(),
    }
}
