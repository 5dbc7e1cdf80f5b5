//! Requests and the answers that Apache Kafka Connect gave to them, in the order in which they were recorded: each builds on those before it.

use serde_json::Value;

use crate::world::World;

/// `got` is what was recorded: texts in angle brackets stand for any text, `<int>` for any number, the member `lakehead` is ours, and the order of members does not count.
fn same(recorded: &Value, got: &Value) -> bool {
    match (recorded, got) {
        (Value::String(pattern), Value::String(text)) => match (pattern.find('<'), pattern.ends_with('>')) {
            (Some(cut), true) => text.starts_with(&pattern[..cut]),
            _ => pattern == text,
        },
        (Value::String(pattern), Value::Number(_)) => pattern == "<int>",
        (Value::Object(recorded), Value::Object(got)) => {
            let theirs = got.iter().filter(|(key, _)| key.as_str() != "lakehead");
            recorded.len() == theirs.clone().count() && theirs.into_iter().all(|(key, got)| recorded.get(key).is_some_and(|recorded| same(recorded, got)))
        }
        (Value::Array(recorded), Value::Array(got)) => recorded.len() == got.len() && recorded.iter().zip(got).all(|(recorded, got)| same(recorded, got)),
        _ => recorded == got,
    }
}

/// True when the headers are there, and those of which null was recorded are not.
fn has_headers(recorded: &Value, got: &reqwest::header::HeaderMap) -> bool {
    let value = |name: &str| got.get(name).and_then(|value| value.to_str().ok());
    recorded.as_object().into_iter().flatten().all(|(name, recorded)| recorded.as_str() == value(name))
}

/// Sends the requests of a file one after the other, and compares the answers with those that were recorded.
async fn play(world: &World, recorded: &str) {
    let cases: Vec<Value> = serde_json::from_str(recorded).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let (request, expect) = (&case["request"], &case["expect"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let headers: Vec<(String, String)> = request["headers"].as_object().into_iter().flatten().map(|(name, value)| (name.clone(), text(value))).collect();
        let mut headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let body = match (request.get("body"), request.get("body_raw")) {
            (Some(body), _) => Some(body.to_string()),
            (None, raw) => raw.map(text),
        };
        if body.is_some() && !headers.iter().any(|(name, _)| *name == "Content-Type") {
            headers.push(("Content-Type", "application/json"));
        }
        let answer = world.send(&text(&request["method"]), &text(&request["path"]), &headers, body).await;
        let location = answer.headers.get("location").map(|value| value.to_str().unwrap().replace(&world.address.to_string(), "worker-s:8083"));
        let body_is_right = expect.get("body").is_none_or(|body| if body.is_null() { answer.text.is_empty() } else { same(body, &answer.json()) });
        let location_is_right = expect.get("location").is_none_or(|expected| Some(text(expected)) == location);
        let kind = answer.headers.get("content-type").map(|value| value.to_str().unwrap());
        let kind_is_right = expect.get("content_type").is_none_or(|expected| expected.as_str() == kind);
        let headers_are_right = has_headers(&expect["headers"], &answer.headers);
        if expect["status"] != answer.status || !body_is_right || !location_is_right || !kind_is_right || !headers_are_right {
            wrong.push(format!("{}: {} {kind:?} {location:?} {}\n  recorded: {expect}", case["id"], answer.status, answer.text));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[tokio::test]
async fn answers_are_those_that_were_recorded() {
    let world = World::start(&[]).await;
    play(&world, include_str!("recorded.json")).await;
    world.stop().await;
}

#[tokio::test]
async fn levels_of_loggers_are_shown_and_set() {
    let world = World::start(&[]).await;
    play(&world, include_str!("recorded_loggers.json")).await;
    let all = world.call("GET", "/admin/loggers").await.json();
    let names: Vec<&String> = all.as_object().unwrap().keys().collect();
    assert!(names.is_sorted() && all["root"]["level"] == "ERROR" && all["librdkafka"]["last_modified"].is_i64(), "{all}");
    world.stop().await;
}

#[tokio::test]
async fn offsets_of_a_sink_are_shown_and_changed() {
    let world = World::start(&[]).await;
    world.kafka.commit("connect-sk", &[("t1", 0, 25, "a plan")]);
    play(&world, include_str!("recorded_offsets.json")).await;
    world.stop().await;
}

#[tokio::test]
async fn browsers_and_headers_are_as_the_settings_ask_for() {
    let settings = [
        ("admin.listeners", ""),
        ("access.control.allow.origin", "http://example.com"),
        ("access.control.allow.methods", "POST,GET"),
        ("response.http.headers.config", "add X-Test: abc"),
    ];
    let world = World::start(&settings).await;
    play(&world, include_str!("recorded_browsers.json")).await;
    world.stop().await;
}
