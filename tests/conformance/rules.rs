//! The intended differences, by rule: a row of `docs/compatibility.md`, and what it predicts.
//!
//! A vector differs on purpose only when every single thing that is not as expected is what a rule predicts for a vector of its kind.

use serde_json::Value;

use super::vectors::{Mismatch, Part, Vector};

const DOCS: &str = include_str!("../../docs/compatibility.md");

/// One intended difference.
pub(crate) struct Rule {
    /// The beginning of its row: what upstream does.
    pub(crate) row: &'static str,
    /// True when the rule is about this vector, and predicts this of it.
    predicts: fn(&Vector, &Mismatch) -> bool,
}

impl Rule {
    /// True when the documentation lists it.
    fn is_listed(&self) -> bool {
        DOCS.lines().any(|line| line.starts_with(&format!("| {}", self.row)))
    }
}

/// The rule that predicts it, if the documentation lists it.
pub(crate) fn explain(vector: &Vector, mismatch: &Mismatch) -> Option<&'static Rule> {
    RULES.iter().find(|rule| (rule.predicts)(vector, mismatch) && rule.is_listed())
}

/// Rules whose row is not in the documentation: they explain nothing.
pub(crate) fn unlisted() -> Vec<&'static str> {
    RULES.iter().filter(|rule| !rule.is_listed()).map(|rule| rule.row).collect()
}

const RULES: &[Rule] = &[
    Rule {
        row: "a record without the partition field fails the task, whatever the tolerance",
        predicts: |vector, mismatch| {
            let is_about = vector.form["errant_record_reporter"] == true && expects(vector, "is not present in the schema");
            is_about && given_back_instead(vector, mismatch)
        },
    },
    Rule {
        row: "a renamed topic (`RegexRouter`, `TimestampRouter`) fails the storage sink",
        predicts: |vector, mismatch| expects(vector, "No writer found for topic partition") && mismatch.part == Part::Error && mismatch.found.is_null(),
    },
    Rule {
        row: "a text that is no instant in `timestamp.field` fails the task, whatever the tolerance",
        predicts: |vector, mismatch| {
            let is_about = vector.form["errant_record_reporter"] == true && vector.config("timestamp.extractor") == "RecordField";
            is_about && vector.expected()["error"]["class"] == "IllegalArgumentException" && given_back_instead(vector, mismatch)
        },
    },
    Rule { row: "the offset after skipped records is committed with a later record", predicts: skipped_records_pass },
    Rule {
        row: "a store that is down fails the task after `s3.part.retries`",
        predicts: |vector, mismatch| {
            let fault = vector.form["fault"].as_str().and_then(|text| super::store::Fault::parse(text).ok());
            let waits = fault.is_some_and(|fault| fault.is_transient) && vector.kind == "fault";
            let is_empty = |value: &Value| value.as_object().is_none_or(serde_json::Map::is_empty);
            // Tried again until it works: no error, and files where upstream has none.
            waits
                && match mismatch.part {
                    Part::Error => mismatch.found.is_null(),
                    Part::Files | Part::Commits => is_empty(&mismatch.expected) && !is_empty(&mismatch.found),
                    _ => false,
                }
        },
    },
    Rule {
        row: "JSON without a schema to Parquet fails the task",
        predicts: |vector, mismatch| {
            let record = &vector.form["record"];
            let is_about = vector.config("format.class").contains("Parquet") && record["schema"].is_null() && record["value"].is_object();
            is_about && mismatch.part == Part::Error && mismatch.found["error"].is_null() && mismatch.found["files"] == 1
        },
    },
    Rule {
        row: "JSON without a schema is refused by `FieldPartitioner`",
        predicts: |vector, mismatch| {
            let is_schemaless = records(vector).all(|record| record["schema"].is_null());
            let error = &vector.expected()["error"];
            let refuses = error["class"] == "PartitionException" || (error.is_null() && vector.expected()["reported_to_dlq_offsets"].is_array());
            let is_about = vector.kind == "writer" && vector.config("partitioner.class").contains("FieldPartitioner") && is_schemaless && refuses;
            is_about && (mismatch.part != Part::Error || mismatch.found.is_null())
        },
    },
    Rule {
        row: "an optional struct fails the task with Parquet",
        predicts: |vector, mismatch| {
            let is_about = vector.config("format.class").contains("Parquet") && expects(vector, "Avro schema must be a record.");
            is_about && mismatch.part == Part::Error && mismatch.found["error"].is_null() && mismatch.found["files"] == 1
        },
    },
    Rule {
        row: "a value that is no struct fails the task with Parquet, whatever the tolerance",
        predicts: |vector, mismatch| {
            let is_about = vector.config("format.class").contains("Parquet") && expects(vector, "Avro schema must be a record.");
            let given_back = mismatch.found["given back"].as_array().is_some_and(|offsets| !offsets.is_empty());
            is_about && mismatch.part == Part::Error && given_back && mismatch.found["files"] == 0
        },
    },
    Rule { row: "Parquet decimals of undeclared precision have 64 digits", predicts: |_, mismatch| decimals(mismatch, true) },
    Rule { row: "Parquet decimals are byte arrays of any length", predicts: |_, mismatch| decimals(mismatch, false) },
    Rule {
        row: "Aiven `format.output.type` avro and parquet",
        predicts: |vector, mismatch| {
            let is_about = vector.kind == "aiven" && ["avro", "parquet"].contains(&vector.config("format.output.type"));
            is_about && (mismatch.part != Part::Error || mismatch.found.to_string().contains("format.output.type"))
        },
    },
    Rule {
        row: "`parquet.codec=lzo`",
        predicts: |vector, mismatch| vector.config("parquet.codec") == "lzo" && mismatch.part != Part::Contents && mismatch.part != Part::Rejected,
    },
    Rule {
        row: "a topic or a path with `tombstone.encoded.partition` in its name fails the task",
        predicts: |vector, mismatch| expects(vector, "writer not configured") && (mismatch.part != Part::Error || mismatch.found.is_null()),
    },
    Rule {
        row: "a rejected first record without a schema commits offset 0",
        predicts: |_, mismatch| {
            let is_zero = |commits: &Value| commits.as_object().is_some_and(|commits| commits.values().any(|offset| offset == 0));
            mismatch.part == Part::Commits && is_zero(&mismatch.expected) && !is_zero(&mismatch.found)
        },
    },
    Rule {
        row: "a header without a value leaves the file of headers a row short",
        predicts: |vector, mismatch| {
            let is_null = |header: &Value| header.get(1).or_else(|| header.get("value")).is_none_or(Value::is_null);
            let is_about = records(vector).any(|record| record["headers"].as_array().is_some_and(|headers| headers.iter().any(is_null)));
            is_about && vector.config("store.kafka.headers") == "true" && (mismatch.part != Part::Files || are_aligned(&mismatch.found))
        },
    },
    Rule {
        row: "Lenses `NOPARTITION` writes two slashes behind the prefix",
        predicts: |vector, mismatch| {
            let one_slash = |key: &str| key.replace("//", "/").trim_start_matches('/').to_owned();
            let expected = mismatch.expected.as_object().map(|files| files.iter().map(|(key, offsets)| (one_slash(key), offsets.clone())).collect());
            is_kcql_with(vector, "NOPARTITION") && mismatch.part == Part::Files && expected.map(Value::Object).as_ref() == Some(&mismatch.found)
        },
    },
    Rule {
        row: "Lenses `RightPad` fills up with zeros",
        predicts: |vector, mismatch| {
            let is_empty = mismatch.found.as_object().is_some_and(serde_json::Map::is_empty);
            let is_refused = mismatch.found.to_string().contains("several offsets one name");
            is_kcql_with(vector, "RIGHTPAD") && ((mismatch.part == Part::Files && is_empty) || (mismatch.part == Part::Error && is_refused))
        },
    },
];

/// A configuration of Lenses' with that word, in upper case, in its statements or settings.
fn is_kcql_with(vector: &Vector, word: &str) -> bool {
    vector.kind == "lenses" && vector.form.to_string().to_ascii_uppercase().contains(word)
}

/// The schema is upstream's, but for how decimals are stored, and how many digits those of undeclared precision have.
fn decimals(mismatch: &Mismatch, undeclared: bool) -> bool {
    let (Some(expected), Some(found)) = (mismatch.expected.as_str(), mismatch.found.as_str()) else { return false };
    if mismatch.part != Part::Contents || undeclared != expected.contains("DECIMAL(64,") {
        return false;
    }
    let found = super::files::normal(found);
    // The physical type stands before the name: `required fixed_len_byte_array(16) d (DECIMAL(38,2));`
    let mut words: Vec<&str> = found.split(' ').collect();
    for at in 2..words.len() {
        if words[at].starts_with("(DECIMAL(") && (words[at - 2].starts_with("fixed_len_byte_array(") || words[at - 2] == "int64" || words[at - 2] == "int32") {
            words[at - 2] = "binary";
        }
    }
    words.join(" ") == super::files::normal(&expected.replace("DECIMAL(64,", "DECIMAL(38,"))
}

/// Files of one stem hold the same records.
fn are_aligned(files: &Value) -> bool {
    let stem = |key: &str| key.rsplit_once('/').map_or(key, |(_, name)| name).split('.').next().unwrap_or("").to_owned();
    let Some(files) = files.as_object() else { return false };
    files.iter().all(|(key, offsets)| files.iter().all(|(other, others)| stem(key) != stem(other) || offsets == others))
}

fn expects(vector: &Vector, message: &str) -> bool {
    vector.expected()["error"]["message_contains"].as_str().is_some_and(|text| text.contains(message))
}

/// Every record of every step.
fn records(vector: &Vector) -> impl Iterator<Item = &Value> {
    let steps = vector.form["steps"].as_array().into_iter().flatten();
    let all = steps.map(|step| &step["records"]).chain([&vector.form["records"]]);
    all.filter_map(Value::as_array).flatten()
}

/// The record that upstream fails for is given back, and those around it are written.
fn given_back_instead(vector: &Vector, mismatch: &Mismatch) -> bool {
    match mismatch.part {
        Part::Error => mismatch.found.is_null(),
        Part::Rejected => {
            mismatch.found.as_array().is_some_and(|offsets| offsets.iter().all(|offset| records(vector).any(|record| &record["offset"] == offset)))
        }
        Part::Commits => mismatch.expected.as_object().is_some_and(serde_json::Map::is_empty),
        Part::Files => mismatch.expected.as_object().is_some_and(|files| files.iter().all(|(key, offsets)| &mismatch.found[key] == offsets)),
        _ => false,
    }
}

/// The offset is further than upstream's, and all that it went past was left out: given back, or a null that is ignored.
fn skipped_records_pass(vector: &Vector, mismatch: &Mismatch) -> bool {
    let (Some(expected), Some(found)) = (mismatch.expected.as_object(), mismatch.found.as_object()) else { return false };
    if mismatch.part != Part::Commits {
        return false;
    }
    let reported = vector.expected()["reported_to_dlq_offsets"].as_array().map_or(&[][..], Vec::as_slice);
    let ignores = vector.config("behavior.on.null.values").eq_ignore_ascii_case("ignore");
    let is_skipped = |record: &Value| reported.contains(&record["offset"]) || (ignores && record["value"].is_null());
    let wrote: Vec<i64> =
        vector.expected()["files"].as_array().into_iter().flatten().filter_map(|file| file["offsets"].as_array()).flatten().filter_map(Value::as_i64).collect();
    let covers_expected = expected.iter().all(|(from, offset)| found.get(from).and_then(Value::as_i64) >= offset.as_i64());
    covers_expected
        && found.values().filter_map(Value::as_i64).all(|end| {
            let passed = records(vector).filter(|record| record["offset"].as_i64().is_some_and(|offset| offset < end));
            passed.into_iter().all(|record| is_skipped(record) || record["offset"].as_i64().is_some_and(|offset| wrote.contains(&offset)))
        })
}
