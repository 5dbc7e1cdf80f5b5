//! Kind `row_format`: the bytes, schemas and errors of single records in each format, keys and headers files included.

use lakehead::batch::TopicPartition;
use lakehead::connect::Props;
use lakehead_formats::wire::Want;
use serde_json::{Value, json};

use super::files::{self, Contents};
use super::play::{Played, Script, connector, play, still};
use super::records::{Reading, Record, hex, sample};
use super::store::{Object, Recorder};
use super::vectors::{Mismatch, Outcome, Part, Vector};
use super::writer::{NOON, compare_error};
use super::{avro, shorthand};

pub(crate) fn row_format(vector: &Vector) -> Outcome {
    let expected = vector.expected().as_object().ok_or("expected is no object")?;
    let records = records(vector)?;
    let mut props = defaults(&records);
    props.extend(vector.props()?);
    let error = expected.get("error").filter(|error| !error.is_null());
    let routing = error.and_then(|error| error["routing"].as_str());
    let script = Script { props, open_at_ms: NOON, assignment: vec![TopicPartition::new("t", 0)], tolerates: routing.is_some(), steps: vec![(NOON, records)] };
    let store = Recorder::default();
    let played = still(play(&script, &store, false))?;
    let objects = store.objects();
    if let Some(error) = error {
        return compare_failure(error, routing.is_some_and(is_given_back), &script, &played, objects.len());
    }
    if let Some(seen) = &played.error {
        return Ok(vec![Mismatch::new(Part::Error, "error", Value::Null, json!({"kind": format!("{:?}", seen.kind), "message": seen.message}))]);
    }
    let by_meaning = vector.form["record"]["schema"].is_null() && vector.form["record"]["connect_schema"].is_null() || says_json(vector);
    let mut found = Vec::new();
    for (member, wanted) in expected.iter().filter(|(member, _)| !["note", "error", "comment"].contains(&member.as_str())) {
        let (which, what) =
            ["keys", "headers"].iter().find_map(|which| Some((*which, member.strip_prefix(which)?.trim_start_matches("_file")))).unwrap_or(("", member));
        let named = |key: &str| (key.contains(".keys."), key.contains(".headers."));
        let object = objects.iter().find(|(key, _)| named(key) == (which == "keys", which == "headers"));
        let Some((key, object)) = object else {
            found.push(Mismatch::new(Part::Files, member, "a file", json!(objects.keys().collect::<Vec<_>>())));
            continue;
        };
        found.extend(compare_contents(what.trim_start_matches('_'), wanted, key, object, by_meaning)?);
    }
    Ok(found)
}

fn says_json(vector: &Vector) -> bool {
    vector.expected()["note"].as_str().or_else(|| vector.form["note"].as_str()).is_some_and(|note| note.contains("as JSON"))
}

/// What a vector of this kind leaves out of its configuration.
fn defaults(records: &[Record]) -> Props {
    let count = records.len().max(1).to_string();
    let all = [
        ("connector.class", "io.confluent.connect.s3.S3SinkConnector"),
        ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
        ("s3.bucket.name", "bkt"),
        ("flush.size", &count),
    ];
    all.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// One record, or several values under one schema; a schema alone stands for a value of it.
fn records(vector: &Vector) -> Result<Vec<Record>, String> {
    let form = &vector.form["record"];
    let form = if form.is_null() { &vector.form } else { form };
    let props = vector.props()?;
    let is_typed = connector(&defaults(&[])).is_ok_and(|connector| connector.want(&props) == Want::Columns);
    let mut default_value = json!({"n": 1});
    let schema = ["connect_schema", "schema", "valueSchema", "value_schema"].iter().find_map(|key| form.get(*key)).filter(|schema| !schema.is_null());
    if let (Some(schema), None) = (schema, form.get("value")) {
        default_value = sample(&shorthand::schema(schema, &vector.schemas)?);
    }
    // A vector about keys or headers does not say what its values are.
    let infers = is_typed && schema.is_none() && form.get("value").is_none();
    let reading = Reading { schemas: vector.schemas.clone(), default_value, infers, ..Reading::default() };
    let values = ["records", "values"].iter().find_map(|key| form[*key].as_array());
    let Some(values) = values else { return Ok(vec![reading.record(form, 0)?]) };
    let record = |(index, value): (usize, &Value)| {
        let mut one = if value.get("value").is_some() { value.clone() } else { json!({"value": value}) };
        if let (Some(schema), true) = (schema, one.get("schema").is_none()) {
            one["schema"] = schema.clone();
        }
        reading.record(&one, index)
    };
    values.iter().enumerate().map(record).collect()
}

pub(crate) fn compare_contents(what: &str, wanted: &Value, key: &str, object: &Object, by_meaning: bool) -> Outcome {
    let mismatch = |found: Value| Ok(vec![Mismatch::new(Part::Contents, format!("{what} of {key}"), wanted.clone(), found)]);
    let contents = Contents::read(&object.bytes)?;
    let text = wanted.as_str();
    match (what, &contents) {
        ("file_bytes_utf8" | "bytes_utf8" | "utf8" | "file_utf8", Contents::Text(found)) => {
            let same = text == Some(found) || (by_meaning && lines(text.unwrap_or("")).is_some_and(|wanted| Some(wanted) == lines(found)));
            if same { Ok(Vec::new()) } else { mismatch(found.as_str().into()) }
        }
        ("file_json" | "json" | "file_json_lines", Contents::Text(found)) => {
            let rows = lines(found).unwrap_or_default();
            let one = rows.first().cloned().unwrap_or_default();
            if wanted == &json!(rows) || (rows.len() == 1 && wanted == &one) { Ok(Vec::new()) } else { mismatch(json!(rows)) }
        }
        ("file_bytes_hex" | "bytes_hex" | "hex", _) => {
            let wanted_bytes = text.and_then(hex).ok_or_else(|| format!("{wanted} is not hexadecimal"))?;
            if wanted_bytes == object.bytes { Ok(Vec::new()) } else { mismatch(format!("{:02x?}", object.bytes).into()) }
        }
        ("parquet_schema", Contents::Parquet { schema, .. }) => {
            let same = text.is_some_and(|text| files::normal(text) == files::normal(schema));
            if same { Ok(Vec::new()) } else { mismatch(schema.as_str().into()) }
        }
        ("footer_keys", Contents::Parquet { footer, .. }) => {
            let all_there = wanted.as_array().is_some_and(|keys| keys.iter().all(|key| footer.iter().any(|found| key == found.as_str())));
            if all_there { Ok(Vec::new()) } else { mismatch(json!(footer)) }
        }
        ("avro_schema", Contents::Avro(file)) => {
            let (wanted, found) = (avro::normal(wanted, ""), avro::normal(&file.schema, ""));
            if wanted == found || (covers(&found, &wanted) && !more_than_names(&wanted)) { Ok(Vec::new()) } else { mismatch(file.schema.clone()) }
        }
        ("avro_field", Contents::Avro(file)) => {
            let of = file.schema["fields"].as_array().into_iter().flatten().find(|field| field["name"] == wanted["name"]);
            let space = file.schema["namespace"].as_str().unwrap_or("");
            let same = of.is_some_and(|field| avro::normal(field, space) == avro::normal(wanted, space));
            if same { Ok(Vec::new()) } else { mismatch(of.cloned().unwrap_or_else(|| file.schema.clone())) }
        }
        ("avro_type" | "avro_field_type", Contents::Avro(file)) => {
            let field = &file.schema["fields"][0]["type"];
            let same = [&file.schema, field].iter().any(|found| avro::normal(found, "") == avro::normal(wanted, ""));
            if same { Ok(Vec::new()) } else { mismatch(file.schema.clone()) }
        }
        ("avro_value" | "avro_values" | "avro_row" | "avro_rows", Contents::Avro(file)) => {
            let same = wanted == &json!(file.rows) || file.rows.first() == Some(wanted);
            if same { Ok(Vec::new()) } else { mismatch(json!(file.rows)) }
        }
        ("avro_schema_name" | "avro_record_name" | "avro_name", Contents::Avro(file)) => {
            let named = avro::normal(&file.schema, "");
            if &named["name"] == wanted { Ok(Vec::new()) } else { mismatch(named["name"].clone()) }
        }
        ("extension" | "key_suffix", _) => {
            if text.is_some_and(|text| key.ends_with(text)) {
                Ok(Vec::new())
            } else {
                mismatch(key.into())
            }
        }
        _ if KNOWN.contains(&what) => mismatch("a file of another format".into()),
        _ => Err(format!("expected.{what} is not understood")),
    }
}

const KNOWN: &[&str] = &["file_bytes_utf8", "bytes_utf8", "utf8", "parquet_schema", "footer_keys", "avro_schema", "avro_field", "avro_type"];

/// Every line as JSON; none when one is not.
fn lines(text: &str) -> Option<Vec<Value>> {
    text.lines().map(|line| serde_json::from_str(line).ok()).collect()
}

/// True when everything in `wanted` is in `found`; lists are of one length.
fn covers(found: &Value, wanted: &Value) -> bool {
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => wanted.iter().all(|(key, part)| found.get(key).is_some_and(|found| covers(found, part))),
        (Value::Array(found), Value::Array(wanted)) => found.len() == wanted.len() && found.iter().zip(wanted).all(|(found, wanted)| covers(found, wanted)),
        // What an expectation writes as a plain type may carry Connect's properties in the file.
        (Value::Object(found), Value::String(_)) => found.get("type") == Some(wanted),
        _ => found == wanted,
    }
}

/// True for a schema without a single `connect.*` property: then there must be none in the file either.
fn more_than_names(wanted: &Value) -> bool {
    !wanted.to_string().contains("\"connect.")
}

/// True for the words of a vector that say that upstream sends a record to its dead-letter queue.
fn is_given_back(routing: &str) -> bool {
    let routing = routing.to_ascii_lowercase();
    routing.contains("dlq") && !["not dlq", "not sent", "never", "not routed", "no dlq", "instead of dlq"].iter().any(|no| routing.contains(no))
}

/// A record that cannot be written: given back, and without tolerance the end of the task; or the end of the task in any case.
fn compare_failure(error: &Value, is_given_back: bool, script: &Script, played: &Played, files: usize) -> Outcome {
    let shown = json!({"given back": played.rejected, "files": files, "error": played.error.as_ref().map(|seen| seen.message.clone())});
    if is_given_back {
        let right = !played.rejected.is_empty() && played.error.is_none() && files == 0;
        if !right {
            return Ok(vec![Mismatch::new(Part::Rejected, "given back", error.clone(), shown)]);
        }
        let strict = Script { tolerates: false, ..script.clone() };
        let failed = still(play(&strict, &Recorder::default(), false))?;
        return compare_error(Some(error), failed.error.as_ref(), &Value::Null);
    }
    let mut found = compare_error(Some(error), played.error.as_ref(), &Value::Null)?;
    if let Some(first) = found.first_mut() {
        first.found = shown;
    }
    Ok(found)
}

pub(crate) fn schemas_are_compared_by_what_is_expected() {
    let found = json!({"type": "record", "name": "r", "fields": [{"name": "x", "type": {"type": "int", "connect.type": "int8"}}], "connect.name": "r"});
    assert!(covers(&found, &json!({"type": "record", "name": "r", "fields": [{"name": "x", "type": "int"}]})));
    assert!(!covers(&found, &json!({"type": "record", "name": "r", "fields": []})));
    assert!(!covers(&found, &json!({"type": "record", "name": "s"})));
}
