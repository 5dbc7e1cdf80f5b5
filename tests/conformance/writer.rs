//! Kinds `writer` and `fault`: which objects there are after these `put`s, and what may be committed; also when the store fails.

use std::collections::{BTreeMap, BTreeSet};

use lakehead::connect::{ErrorKind, Props};
use serde_json::{Value, json};

use super::bucket;
use super::files;
use super::play::{Played, Script, Seen, connector, play, still};
use super::records::{Reading, Record};
use super::store::{Fault, Object, Recorder, Request};
use super::vectors::{Mismatch, Outcome, Part, Vector};

/// Noon of 2025-06-01, UTC: where clocks stand that a vector does not set.
pub(crate) const NOON: i64 = 1_748_779_200_000;

pub(crate) fn writer(vector: &Vector) -> Outcome {
    vector.understood(&["files", "precommit", "error", "reported_to_dlq_offsets"])?;
    let script = script(vector)?;
    let store = Recorder::default();
    let played = still(play(&script, &store, false))?;
    let mut found = compare(vector, &script, &played, &store.objects())?;
    let note = vector.form["note"].as_str().unwrap_or("");
    if note.contains("twice") && found.is_empty() {
        let again = still(play(&script, &store, false))?;
        found.extend(compare(vector, &script, &again, &store.objects())?);
    }
    Ok(found)
}

/// The vector as a script.
fn script(vector: &Vector) -> Result<Script, String> {
    let (form, props) = (&vector.form, vector.props()?);
    let open_at_ms = ["open_at_ms", "now_ms"].iter().find_map(|key| form[*key].as_i64()).unwrap_or(NOON);
    let looked_at = looked_at(&props);
    let infers = connector(&props).is_ok_and(|connector| connector.want(&props) == lakehead_formats::wire::Want::Columns);
    let says_structs = form["note"].as_str().is_some_and(|note| note.contains("struct"));
    let reading = Reading { schemas: vector.schemas.clone(), marks: true, looked_at, infers: says_structs && infers, default_value: json!({"n": 1}) };
    let mut steps = Vec::new();
    match form["steps"].as_array() {
        Some(forms) => {
            for step in forms {
                let members = step.as_object().ok_or("a step is no object")?;
                if let Some(strange) = members.keys().find(|key| !["now_ms", "records", "note"].contains(&key.as_str())) {
                    return Err(format!("a step's {strange} is not understood"));
                }
                steps.push((step["now_ms"].as_i64().unwrap_or(open_at_ms), records(&step["records"], &reading)?));
            }
        }
        None => steps.push((open_at_ms, records(&form["records"], &reading)?)),
    }
    let named = form["assignment"].as_array().into_iter().flatten().filter_map(|name| {
        let (topic, partition) = name.as_str()?.rsplit_once('-')?;
        Some(lakehead::batch::TopicPartition::new(topic, partition.parse().ok()?))
    });
    let mut assignment: BTreeSet<_> = named.collect();
    if assignment.is_empty() {
        assignment = steps.iter().flat_map(|(_, records)| records).map(|record| record.from.clone()).collect();
    }
    let tolerates = form["errant_record_reporter"] == true;
    Ok(Script { props, open_at_ms, assignment: assignment.into_iter().collect(), tolerates, steps })
}

fn records(forms: &Value, reading: &Reading) -> Result<Vec<Record>, String> {
    forms.as_array().into_iter().flatten().enumerate().map(|(index, form)| reading.record(form, index)).collect()
}

/// The members of values that partitioners read.
fn looked_at(props: &Props) -> Vec<String> {
    let of = |key: &str, default: &str| props.get(key).map_or_else(|| default.to_owned(), Clone::clone);
    let fields = format!("{},{}", of("partition.field.name", ""), of("timestamp.field", "timestamp"));
    fields.split(',').filter_map(|path| path.trim().split('.').next()).map(str::to_owned).collect()
}

/// Everything that a vector expects, against what came.
fn compare(vector: &Vector, script: &Script, played: &Played, objects: &BTreeMap<String, Object>) -> Outcome {
    let expected = vector.expected();
    let mut found = Vec::new();
    found.extend(compare_error(expected.get("error").filter(|error| !error.is_null()), played.error.as_ref(), &expected["context_offset"])?);
    if let Some(files) = expected.get("files") {
        found.extend(compare_files(files, script, objects)?);
    }
    if let Some(reported) = expected.get("reported_to_dlq_offsets").filter(|reported| *reported != &json!(played.rejected)) {
        found.push(Mismatch::new(Part::Rejected, "given back", reported.clone(), json!(played.rejected)));
    }
    match expected.get("precommit") {
        Some(Value::Array(steps)) => {
            for step in steps {
                let number = step["after_step"].as_u64().and_then(|number| usize::try_from(number).ok()).ok_or("after_step is no number")?;
                let commits = played.commits.get(number).cloned().unwrap_or_default();
                if step["offsets"] != json!(commits) {
                    found.push(Mismatch::new(Part::Commits, format!("committed after step {number}"), step["offsets"].clone(), json!(commits)));
                }
            }
        }
        Some(last) if last.is_object() => {
            let commits: BTreeMap<&String, &i64> = played.commits.iter().flatten().collect();
            if last != &json!(commits) {
                found.push(Mismatch::new(Part::Commits, "committed", last.clone(), json!(commits)));
            }
        }
        Some(other) => return Err(format!("precommit {other} is not understood")),
        None => {}
    }
    Ok(found)
}

/// Which of our kinds an upstream exception is.
fn fits(class: &str, kind: ErrorKind) -> Result<bool, String> {
    Ok(match class.rsplit('.').next().unwrap_or(class) {
        "DataException" | "PartitionException" | "SchemaProjectorException" | "InvalidRecordException" | "SerializationException" => {
            kind == ErrorKind::BadRecord
        }
        "IllegalArgumentException" => matches!(kind, ErrorKind::BadRecord | ErrorKind::BadConfig),
        "ConfigException" => kind == ErrorKind::BadConfig,
        "FileExistsException" | "RetriableException" => kind == ErrorKind::Rewind,
        "ConnectException" | "NullPointerException" | "RuntimeException" => !matches!(kind, ErrorKind::Rewind | ErrorKind::Fenced),
        other => return Err(format!("error class {other} is not understood")),
    })
}

/// Compares how a vector ended. `rewind` is where upstream goes back to, or null.
pub(crate) fn compare_error(expected: Option<&Value>, found: Option<&Seen>, rewind: &Value) -> Outcome {
    let shown = found.map(|seen| json!({"kind": format!("{:?}", seen.kind), "message": seen.message, "step": seen.step, "rewind": seen.rewind}));
    let is_right = match (expected, found) {
        (None, None) => true,
        (None, Some(_)) | (Some(_), None) => false,
        (Some(Value::String(text)), Some(seen)) => seen.message.contains(text),
        (Some(error), Some(seen)) => {
            let is_class = error["class"].as_str().map_or(Ok(true), |class| fits(class, seen.kind))?;
            let says = error["message_contains"].as_str().is_none_or(|text| seen.message.contains(text));
            let at = error["at_step"].as_u64().is_none_or(|step| u64::try_from(seen.step) == Ok(step));
            is_class && says && at && (rewind.is_null() || rewind == &json!(seen.rewind))
        }
    };
    let mut wanted = expected.cloned().unwrap_or_default();
    if let (false, true) = (rewind.is_null(), wanted.is_object()) {
        wanted["rewind"] = rewind.clone();
    }
    Ok(if is_right { Vec::new() } else { vec![Mismatch::new(Part::Error, "error", wanted, shown.unwrap_or_default())] })
}

/// Compares the objects that the connector made: names, the offsets in each, and tags where the vector says some.
pub(crate) fn compare_files(expected: &Value, script: &Script, objects: &BTreeMap<String, Object>) -> Outcome {
    let mut mismatches = Vec::new();
    let delivered = |object: &Object| {
        let all = script.steps.iter().flat_map(|(_, records)| records);
        let topic = object.attributes.get("lakehead-topic");
        let partition = object.attributes.get("lakehead-partition");
        let is_of =
            |record: &&Record| topic.is_none_or(|topic| **topic == *record.from.topic) && partition.is_none_or(|p| *p == record.from.partition.to_string());
        all.filter(is_of).map(|record| record.offset).collect::<BTreeSet<i64>>().into_iter().collect::<Vec<_>>()
    };
    let made = objects.iter().filter(|(_, object)| !object.foreign);
    let found: BTreeMap<&String, Value> =
        made.map(|(key, object)| (key, files::offsets(object, &delivered(object)).map_or_else(|problem| json!(problem), |offsets| json!(offsets)))).collect();
    let mut wanted = BTreeMap::new();
    for file in expected.as_array().ok_or("files is no list")? {
        let key = file.as_str().or_else(|| file["key"].as_str()).ok_or("a file has no key")?;
        // A file of which only the name is given may hold anything.
        let offsets = file.get("offsets").or_else(|| found.iter().find(|(of, _)| of.as_str() == key).map(|(_, offsets)| offsets));
        wanted.insert(key, offsets.cloned().unwrap_or_default());
        let Some(object) = objects.get(key) else { continue };
        let tags = json!(object.tags);
        if let Some(wanted) = file.get("tags").filter(|wanted| **wanted != tags) {
            mismatches.push(Mismatch::new(Part::Contents, format!("tags of {key}"), wanted.clone(), tags));
        }
        if let Some(content) = file["content"].as_str() {
            mismatches.extend(compare_content(key, content, &object.bytes)?);
        }
    }
    if json!(wanted) != json!(found) {
        mismatches.push(Mismatch::new(Part::Files, "files", json!(wanted), json!(found)));
    }
    Ok(mismatches)
}

/// Content is a compression's name, or the text that the file holds.
fn compare_content(key: &str, content: &str, bytes: &[u8]) -> Outcome {
    let compression = match bytes {
        [0x1f, 0x8b, ..] => "gzip",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
        [0xff, 0x06, 0x00, 0x00, b's', ..] | [0x82, b'S', b'N', b'A', ..] => "snappy",
        _ => "none",
    };
    let is_name = ["gzip", "zstd", "snappy", "none"].contains(&content);
    let found = match files::Contents::read(bytes)? {
        files::Contents::Text(text) if !is_name => text,
        _ => compression.to_owned(),
    };
    Ok(if found == content { Vec::new() } else { vec![Mismatch::new(Part::Contents, format!("content of {key}"), content, found)] })
}

pub(crate) fn fault(vector: &Vector) -> Outcome {
    vector.understood(&[
        "files",
        "precommit",
        "error",
        "context_offset",
        "reported_to_dlq_offsets",
        "complete_multipart_has_if_none_match",
        "upstream_behaviour",
        "required_behaviour",
        "required_behaviour_for_exactly_once",
    ])?;
    let script = script(vector)?;
    let store = Recorder::default();
    for key in vector.form["preexisting_objects"].as_array().into_iter().flatten() {
        store.put_foreign(key.as_str().ok_or("a name in preexisting_objects is no text")?);
    }
    for text in texts(&vector.form["fault"])? {
        let fault = Fault::parse(text)?;
        if fault.request == Request::HeadBucket {
            let seen = bucket::start(&script.props, fault.status)?;
            return compare_error(vector.expected().get("error").filter(|error| !error.is_null()), seen.as_ref(), &Value::Null);
        }
        store.fail(fault);
    }
    let expects_error = vector.expected().get("error").is_some_and(|error| !error.is_null());
    let played = still(play(&script, &store, !expects_error))?;
    let objects = store.objects();
    let mut found = compare(vector, &script, &played, &objects)?;
    if let Some(wanted) = vector.expected().get("complete_multipart_has_if_none_match") {
        let conditional = objects.values().filter(|object| !object.foreign).any(|object| object.conditional);
        if wanted != &json!(conditional) {
            found.push(Mismatch::new(Part::Contents, "published on the condition that nothing is there", wanted.clone(), conditional));
        }
    }
    if let Some(behaviour) = vector.expected().get("upstream_behaviour") {
        found.extend(mended(behaviour, &script, &played, &objects)?);
    }
    Ok(found)
}

fn texts(form: &Value) -> Result<Vec<&str>, String> {
    match form {
        Value::Null => Ok(Vec::new()),
        Value::String(text) => Ok(vec![text]),
        Value::Array(list) => list.iter().map(|text| text.as_str().ok_or_else(|| format!("fault {text} is no text"))).collect(),
        other => Err(format!("fault {other} is not understood")),
    }
}

/// Where upstream loses or duplicates records: here no record is in two files, each below what may be committed is in one or was given back, and what was
/// visible first is there still, under the same name.
fn mended(behaviour: &Value, script: &Script, played: &Played, objects: &BTreeMap<String, Object>) -> Outcome {
    let mut found = Vec::new();
    let all: Vec<i64> = script.steps.iter().flat_map(|(_, records)| records).map(|record| record.offset).collect();
    let mut held: Vec<i64> = Vec::new();
    for object in objects.values().filter(|object| !object.foreign) {
        held.extend(files::offsets(object, &all)?);
    }
    held.sort_unstable();
    let durable = played.commits.iter().flatten().map(|(_, offset)| *offset).max();
    let is_due = |offset: &i64| durable.is_some_and(|end| *offset < end) && !played.rejected.contains(offset);
    let mut wanted: Vec<i64> = all.iter().copied().filter(|offset| is_due(offset) || held.contains(offset)).collect();
    wanted.sort_unstable();
    if held != wanted {
        found.push(Mismatch::new(Part::Files, "each record once", json!(wanted), json!(held)));
    }
    if let Some(key) = behaviour["committed_first"]["key"].as_str() {
        if durable.is_none() || played.rewinds == 0 {
            found.push(Mismatch::new(Part::Error, "read again, then committed", true, false));
        }
        let offsets = objects.get(key).map(|object| files::offsets(object, &all)).transpose()?;
        if json!(offsets) != behaviour["committed_first"]["offsets"] {
            found.push(Mismatch::new(Part::Files, key, behaviour["committed_first"]["offsets"].clone(), json!(offsets)));
        }
    }
    Ok(found)
}
