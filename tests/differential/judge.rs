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
        (Some(java), Some(ours)) if !says(&without_aliases(&ours["message"]), &java["message"]) => {
            return vec![difference(0, "text of refusal", &java["message"], &ours["message"])];
        }
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
                if !says(&our["message"], &java["message"]) {
                    found.push(difference(at, "text of error", &java["message"], &our["message"]));
                }
                let knows_stage = ours.get("stage").is_some();
                if knows_stage && !same(&without_prefix(&outcome_stage(java_outcomes, at)), &without_prefix(&ours["stage"])) {
                    found.push(difference(at, "failing transform", &outcome_stage(java_outcomes, at), &ours["stage"]));
                }
            }
            (None, None) => found.extend(outcome(case, java, ours).into_iter().map(|(what, java, ours)| Difference { at, what, java, ours })),
            _ => found.push(difference(at, "failure", java, ours)),
        }
    }
    found
}

/// Whether our words have Java's in them: we may say more, never less.
fn says(ours: &Value, java: &Value) -> bool {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    text(ours).contains(&text(java))
}

/// A message with the keys as a plugin knows them.
fn without_aliases(message: &Value) -> Value {
    let mut text = message.as_str().unwrap_or_default().to_owned();
    for alias in
        ["transforms.t0.", "transforms.t1.", "transforms.t2.", "transforms.t3.", "predicates.p0.", "predicates.p1.", "predicates.p2.", "predicates.p3."]
    {
        text = text.replace(alias, "");
    }
    text.into()
}

fn outcome_stage(outcomes: &[Value], at: usize) -> Value {
    outcomes[at]["stage"].clone()
}

fn without_prefix(class: &Value) -> Value {
    class.as_str().map_or(Value::Null, |class| class.trim_start_matches("org.apache.kafka.connect.transforms.").into())
}

/// Two values in one normal form; texts, so that 0.0 is not -0.0.
fn same(java: &Value, ours: &Value) -> bool {
    let text = |value: &Value| normal_floats(&tagged::normal(value)).to_string();
    text(java) == text(ours)
}

/// A float by the 32 bits that its text stands for: Java before 19 prints some with a digit too many, or another last one (JDK-4511638).
fn normal_floats(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(normal_floats).collect(),
        Value::Object(members) => {
            let one = |(key, value): (&String, &Value)| (key.clone(), if key == "float32" { single(value) } else { normal_floats(value) });
            Value::Object(members.iter().map(one).collect())
        }
        other => other.clone(),
    }
}

fn single(number: &Value) -> Value {
    number.as_f64().map_or_else(|| number.clone(), |number| (number as f32).to_bits().into())
}

/// Two schemas; defaults that are floats are compared as such.
fn same_schema(java: &Value, ours: &Value) -> bool {
    schema_normal(java) == schema_normal(ours)
}

fn schema_normal(schema: &Value) -> Value {
    let Value::Object(members) = schema else { return schema.clone() };
    let one = |(key, value): (&String, &Value)| {
        let value = match key.as_str() {
            "items" | "keys" | "values" => schema_normal(value),
            "fields" => value.as_array().into_iter().flatten().map(schema_normal).collect(),
            "default" => default_normal(schema, value),
            _ => value.clone(),
        };
        (key.clone(), value)
    };
    Value::Object(members.iter().map(one).collect())
}

fn default_normal(schema: &Value, value: &Value) -> Value {
    match (schema["type"].as_str(), value) {
        (Some("float"), number) => single(number),
        (Some("array"), Value::Array(items)) => items.iter().map(|item| default_normal(&schema["items"], item)).collect(),
        (Some("map"), Value::Object(members)) => {
            Value::Object(members.iter().map(|(key, value)| (key.clone(), default_normal(&schema["values"], value))).collect())
        }
        (Some("map"), Value::Array(pairs)) => {
            let mut pairs: Vec<Value> = pairs.iter().map(|pair| Value::from(vec![pair[0].clone(), default_normal(&schema["values"], &pair[1])])).collect();
            pairs.sort_by_key(ToString::to_string);
            pairs.into()
        }
        (Some("struct"), Value::Object(members)) => {
            let field = |name: &str| schema["fields"].as_array().into_iter().flatten().find(|field| field["field"] == name).cloned().unwrap_or_default();
            Value::Object(members.iter().map(|(key, value)| (key.clone(), default_normal(&field(key), value))).collect())
        }
        (_, other) => other.clone(),
    }
}

fn outcome(case: &Value, java: &Value, ours: &Value) -> Vec<(&'static str, Value, Value)> {
    let mut found = Vec::new();
    let mut compare = |what: &'static str, java: &Value, ours: &Value, same: bool| {
        if !same {
            found.push((what, java.clone(), ours.clone()));
        }
    };
    if java.get("dropped").is_some() || ours.get("dropped").is_some() {
        compare("dropped", java, ours, java == ours);
    } else if java.get("bytes").is_some() {
        compare("bytes", &java["bytes"], &ours["bytes"], java["bytes"] == ours["bytes"] || same_text_of(case, &java["bytes"], &ours["bytes"]));
    } else if java.get("topic").is_some() {
        compare("topic", &java["topic"], &ours["topic"], java["topic"] == ours["topic"]);
        compare("timestamp", &java["timestamp"], &ours["timestamp"], java["timestamp"] == ours["timestamp"]);
        for (schema, value, json) in [("keySchema", "key", "keyJson"), ("valueSchema", "value", "valueJson")] {
            // A null has no schema of its own: it stands in the column of its neighbours, under theirs.
            let is_null = java[value].is_null() && ours[value].is_null();
            compare(schema, &java[schema], &ours[schema], is_null || same_schema(&java[schema], &ours[schema]));
            let is_same = match (java.get(json), ours.get(json)) {
                (Some(Value::String(java)), Some(Value::String(ours))) if case["way"] == "chain" => same_text(java, ours),
                (Some(Value::Object(_)), _) if case["way"] == "chain" => true, // no connector can write it
                _ => same(&java[value], &ours[value]),
            };
            compare(value, &java[value], &ours[value], is_same);
        }
        compare("headers", &java["headers"], &ours["headers"], same_headers(&java["headers"], &ours["headers"]));
    } else {
        let is_null = java["value"].is_null() && ours["value"].is_null();
        compare("schema", &java["schema"], &ours["schema"], is_null || same_schema(&java["schema"], &ours["schema"]));
        compare("value", &java["value"], &ours["value"], same(&java["value"], &ours["value"]));
    }
    found
}

fn same_headers(java: &Value, ours: &Value) -> bool {
    let (Some(java), Some(ours)) = (java.as_array(), ours.as_array()) else { return false };
    // What has no schema is text once it is a header: of numbers, only what they are counts.
    let text = |value: &Value| widened(&tagged::normal(value)).to_string();
    let same_one = |java: &Value, ours: &Value| {
        let is_same = if java[1].is_null() {
            text(&java[2]) == text(&ours[2])
        } else {
            same(&java[2], &ours[2]) && (same_schema(&java[1], &ours[1]) || (java[2].is_null() && ours[2].is_null()))
        };
        java[0] == ours[0] && is_same
    };
    java.len() == ours.len() && java.iter().zip(ours).all(|(java, ours)| same_one(java, ours))
}

/// Values of schemaless JSON: numbers of whatever class, bytes as base64.
fn widened(value: &Value) -> Value {
    match (tagged::tag(value), value) {
        (Some(("int8" | "int16" | "int32" | "int64" | "float32" | "float64", inner)), _) => single(inner),
        (Some(("decimal" | "bigint", Value::String(text))), _) => text.parse::<f32>().map_or_else(|_| value.clone(), |number| number.to_bits().into()),
        (Some(("bytes", inner)), _) => widened(&Value::Object([("string".to_owned(), inner.clone())].into_iter().collect())),
        (_, Value::Array(items)) => items.iter().map(widened).collect(),
        (_, Value::Object(members)) => Value::Object(members.iter().map(|(key, value)| (key.clone(), widened(value))).collect()),
        (_, other) => other.clone(),
    }
}

/// Payloads of text that are the same but for the order of keys of maps, which Java takes from its hash tables, and for how numbers are written where they are
/// another's text (schemaless JSON), or floats (see [`normal_floats`]), of which Java before 19 prints some with a digit too many.
fn same_text_of(case: &Value, java: &Value, ours: &Value) -> bool {
    let text = |bytes: &Value| bytes.as_str().and_then(|text| STANDARD.decode(text).ok()).and_then(|bytes| String::from_utf8(bytes).ok());
    let schema = case["schema"].to_string();
    let is_loose = ["\"float\"", "\"double\"", "\"map\""].iter().any(|name| schema.contains(name));
    match (text(java), text(ours)) {
        (Some(java), Some(ours)) => (is_loose || java.len() == ours.len() || case["schema"].is_null()) && same_text(&java, &ours),
        _ => false,
    }
}

/// Texts that are the same when every number with a point or an exponent is one of 32 bits.
fn same_singles(java: &str, ours: &str) -> bool {
    let parts = |text: &str| {
        let is_of_number = |c: char| c.is_ascii_digit() || ".-+Ee".contains(c);
        let mut parts: Vec<String> = Vec::new();
        for c in text.chars() {
            match parts.last_mut() {
                Some(last) if last.chars().all(is_of_number) == is_of_number(c) => last.push(c),
                _ => parts.push(c.to_string()),
            }
        }
        let single = |part: String| part.parse::<f32>().ok().filter(|_| part.contains(['.', 'e', 'E'])).map_or(part, |number| number.to_bits().to_string());
        parts.into_iter().map(single).collect::<Vec<_>>()
    };
    parts(java) == parts(ours)
}

fn same_text(java: &str, ours: &str) -> bool {
    let read = |text: &str| serde_json::from_str::<Value>(text).ok().map(|value| sorted(&value).to_string());
    java == ours
        || same_singles(java, ours)
        || read(java).is_some_and(|java| Some(java) == read(ours))
        || read(java).zip(read(ours)).is_some_and(|(java, ours)| same_singles(&java, &ours))
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => {
            let mut items: Vec<Value> = items.iter().map(sorted).collect();
            // The entries of a map whose keys are no strings have no order.
            if items.iter().all(|item| item.as_array().is_some_and(|pair| pair.len() == 2)) {
                items.sort_by_key(ToString::to_string);
            }
            items.into()
        }
        Value::Object(members) => {
            let mut members: Vec<(String, Value)> = members.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect())
        }
        other => other.clone(),
    }
}
