//! Kinds `aiven` and `lenses`: the other storage sinks' configurations, names and contents.

use std::collections::BTreeSet;

use lakehead::connect::Props;
use lakehead_formats::wire::Want;
use serde_json::{Value, json};

use super::files::Contents;
use super::play::{Script, connector, play, still};
use super::records::Reading;
use super::row_format::compare_contents;
use super::store::{Object, Recorder};
use super::vectors::{Mismatch, Outcome, Part, Vector};
use super::writer::{NOON, compare_error, compare_files};

/// Longer than any interval after which a file ends by default: a minute for one of them, an hour for the other.
const WAITS_MS: [i64; 2] = [61_000, 3_700_000];

pub(crate) fn aiven(vector: &Vector) -> Outcome {
    let props = vector.props()?;
    let format = props.get("format.output.type").or_else(|| props.get("output_type")).map_or("csv", String::as_str);
    let default_value = if format == "csv" { json!({"$bytes_utf8": "v"}) } else { json!({"a": 1}) };
    run(vector, props, "t", default_value)
}

pub(crate) fn lenses(vector: &Vector) -> Outcome {
    let mut props = vector.props()?;
    let class = props.entry("connector.class".to_owned()).or_insert_with(|| "io.lenses.streamreactor.connect.aws.s3.sink.S3SinkConnector".to_owned());
    let prefix = [("gcp", "connect.gcpstorage"), ("datalake", "connect.datalake")].iter().find_map(|(part, prefix)| class.contains(part).then_some(*prefix));
    let kcql = vector.form["kcql"].as_str().or_else(|| vector.form["input"].as_str());
    if let Some(kcql) = kcql {
        props.insert(format!("{}.kcql", prefix.unwrap_or("connect.s3")), kcql.to_owned());
    }
    let topic = kcql.and_then(|kcql| kcql.split_whitespace().skip_while(|word| !word.eq_ignore_ascii_case("from")).nth(1));
    let topic = topic.map(|topic| topic.trim_matches(['`', ';'])).filter(|topic| *topic != "*").unwrap_or("t").to_owned();
    let holds = |format: &str| kcql.is_some_and(|kcql| kcql.to_ascii_uppercase().contains(format));
    let default_value = if holds("BYTES") { json!({"$bytes_utf8": "v"}) } else { json!({"a": 1}) };
    run(vector, props, &topic, default_value)
}

fn run(vector: &Vector, props: Props, topic: &str, default_value: Value) -> Outcome {
    let expected = vector.expected().as_object().ok_or("expected is no object")?;
    let infers = connector(&props)?.want(&props) == Want::Columns;
    let reading = Reading { schemas: vector.schemas.clone(), infers, default_value, ..Reading::default() };
    let forms = vector.form["records"].as_array().map_or(&[][..], Vec::as_slice);
    let mut records = Vec::new();
    for (index, form) in forms.iter().enumerate() {
        let mut form = form.clone();
        if form.get("topic").is_none() {
            form["topic"] = topic.into();
        }
        records.push(reading.record(&form, index)?);
    }
    let assignment: BTreeSet<_> = records.iter().map(|record| record.from.clone()).collect();
    let now = ["now_ms", "open_at_ms", "wallclock_ms"].iter().find_map(|key| vector.form[*key].as_i64()).unwrap_or(NOON);
    let waits = WAITS_MS.iter().map(|wait| (now + wait, Vec::new()));
    let steps = std::iter::once((now, records)).chain(waits).collect();
    let script =
        Script { props, open_at_ms: now, assignment: assignment.into_iter().collect(), tolerates: vector.form["errant_record_reporter"] == true, steps };
    let store = Recorder::default();
    let played = still(play(&script, &store, false))?;
    let objects = store.objects();
    let mut found = compare_error(expected.get("error").filter(|error| !error.is_null()), played.error.as_ref(), &Value::Null)?;
    for (member, wanted) in expected {
        found.extend(match member.as_str() {
            "on" | "error" | "note" => Vec::new(),
            "files" => compare_files(wanted, &script, &objects)?,
            "file_bytes_utf8" | "file_json" => compare_text(wanted, objects.values())?,
            _ => match objects.first_key_value() {
                Some((key, object)) => compare_contents(member, wanted, key, object, true)?,
                None => vec![Mismatch::new(Part::Files, member, "a file", "none")],
            },
        });
    }
    Ok(found)
}

/// The text of the one file; JSON by what it means, since upstream's order of members is that of a hash table.
fn compare_text<'a>(wanted: &Value, mut objects: impl Iterator<Item = &'a Object>) -> Outcome {
    let mismatch = |found: Value| Ok(vec![Mismatch::new(Part::Contents, "the file", wanted.clone(), found)]);
    let (Some(object), None) = (objects.next(), objects.next()) else { return mismatch("not one file".into()) };
    let Contents::Text(found) = Contents::read(&object.bytes)? else { return mismatch("a file of another format".into()) };
    let meaning =
        |text: &str| text.lines().map(|line| serde_json::from_str::<Value>(line.trim_end_matches(',')).unwrap_or_else(|_| line.into())).collect::<Vec<_>>();
    let same = match wanted {
        Value::String(text) => text == &found || (text.ends_with('\n') == found.ends_with('\n') && meaning(text) == meaning(&found)),
        other => serde_json::from_str::<Value>(&found).is_ok_and(|found| *other == found),
    };
    if same { Ok(Vec::new()) } else { mismatch(found.into()) }
}
