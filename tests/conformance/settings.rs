//! Kinds `config` and `next_scheduled_rotation`: what a configuration is told, and when a schedule ends files.

use lakehead::calendar::Zone;
use lakehead::roll::Schedule;
use serde_json::{Value, json};

use super::play::connector;
use super::vectors::{Mismatch, Outcome, Part, Vector};

pub(crate) fn config(vector: &Vector) -> Outcome {
    vector.understood(&["stage", "errors"])?;
    let props = vector.props()?;
    let problems = connector(&props)?.validate(&props).errors;
    let found: Vec<(String, String)> = problems.into_iter().map(|problem| (problem.key, problem.message)).collect();
    let expected = vector.expected()["errors"].as_object().ok_or("expected.errors is no object")?;
    let mut is_right = !expected.is_empty() || found.is_empty();
    for (key, text) in expected {
        let texts: Vec<&str> = match text {
            Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
            other => vec![other.as_str().ok_or("an expected message is no text")?],
        };
        // Upstream stops at the first problem and says some of them late; here all are said, so others are allowed where one was expected.
        is_right &= texts.iter().all(|text| found.iter().any(|(of, message)| (key == "*" || of == key) && message.contains(text)));
    }
    Ok(if is_right { Vec::new() } else { vec![Mismatch::new(Part::Config, "errors", vector.expected()["errors"].clone(), json!(found))] })
}

pub(crate) fn next_scheduled_rotation(vector: &Vector) -> Outcome {
    vector.understood(&["next_ms"])?;
    let input = &vector.form["input"];
    let number = |key: &str| input[key].as_i64().ok_or_else(|| format!("input.{key} is no number"));
    let zone = Zone::parse(input["timezone"].as_str().unwrap_or("UTC")).map_err(|error| format!("timezone: {error}"))?;
    let next = Schedule { period_ms: number("period_ms")?, zone }.next_after(number("now_ms")?);
    let expected = &vector.expected()["next_ms"];
    Ok(if expected == &json!(next) { Vec::new() } else { vec![Mismatch::new(Part::Instant, "next rotation", expected.clone(), next)] })
}
