//! `docs/schemas.md` is what the sinks do: each row is a change of a schema, played through the real converter and the real sink into real files, which are read back.
//!
//! Records of the two versions alternate: first, second, first, second. A cell says which of them share a file, and what they hold.
//! `LAKEHEAD_REWRITE_DOCS=1 cargo test --test keys schemas` writes the document anew.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use arrow::array::{Array as _, RecordBatch, StructArray};
use arrow::util::display::array_value_to_string;
use bytes::Bytes;
use lakehead::batch::TopicPartition;
use lakehead::connect::Props;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};

use crate::play::{Played, Script, connector, play, still};
use crate::played::{AVRO, HOUR, JSON, NOON, PARQUET};
use crate::records::{Reading, Record};
use crate::store::Recorder;

const FORMATS: [(&str, &str); 3] = [("Parquet", PARQUET), ("Avro", AVRO), ("JSON", JSON)];
const MERGE: (&str, &str) = ("lakehead.schema.merge", "true");
const MODES: [(&str, (&str, &str)); 5] = [
    ("NONE", ("schema.compatibility", "NONE")),
    ("BACKWARD", ("schema.compatibility", "BACKWARD")),
    ("FORWARD", ("schema.compatibility", "FORWARD")),
    ("FULL", ("schema.compatibility", "FULL")),
    ("lakehead.schema.merge=true", MERGE),
];

/// What changes; the first version's schema and value; the second's. An empty schema is none, an empty value a tombstone.
type Change = (&'static str, (&'static str, &'static str), (&'static str, &'static str));

const CHANGES: &[Change] = &[
    ("nothing but the version", ("struct R v1 { n: int64 }", r#"{"n":1}"#), ("struct R v2 { n: int64 }", r#"{"n":2}"#)),
    ("a field more, with a default", ("struct R v1 { n: int64 }", r#"{"n":1}"#), ("struct R v2 { n: int64, x: int64 default 7 }", r#"{"n":2,"x":5}"#)),
    ("a field more, optional", ("struct R v1 { n: int64 }", r#"{"n":1}"#), ("struct R v2 { n: int64, x: optional string }", r#"{"n":2,"x":"a"}"#)),
    ("a field more, required", ("struct R v1 { n: int64 }", r#"{"n":1}"#), ("struct R v2 { n: int64, x: string }", r#"{"n":2,"x":"a"}"#)),
    ("a field less, which was required", ("struct R v1 { n: int64, x: string }", r#"{"n":1,"x":"a"}"#), ("struct R v2 { n: int64 }", r#"{"n":2}"#)),
    ("a field less, which was optional", ("struct R v1 { n: int64, x: optional string }", r#"{"n":1,"x":"a"}"#), ("struct R v2 { n: int64 }", r#"{"n":2}"#)),
    (
        "a field renamed",
        ("struct R v1 { n: int64, old: optional string }", r#"{"n":1,"old":"a"}"#),
        ("struct R v2 { n: int64, new: optional string }", r#"{"n":2,"new":"b"}"#),
    ),
    ("fields in another order", ("struct R v1 { n: int64, s: string }", r#"{"n":1,"s":"a"}"#), ("struct R v2 { s: string, n: int64 }", r#"{"s":"b","n":2}"#)),
    ("int32 to int64", ("struct R v1 { n: int32 }", r#"{"n":1}"#), ("struct R v2 { n: int64 }", r#"{"n":3000000000}"#)),
    ("int64 to int32", ("struct R v1 { n: int64 }", r#"{"n":3000000000}"#), ("struct R v2 { n: int32 }", r#"{"n":2}"#)),
    ("int32 to float64", ("struct R v1 { n: int32 }", r#"{"n":1}"#), ("struct R v2 { n: float64 }", r#"{"n":2.5}"#)),
    ("int64 to float64", ("struct R v1 { n: int64 }", r#"{"n":9007199254740993}"#), ("struct R v2 { n: float64 }", r#"{"n":2.5}"#)),
    ("float32 to float64", ("struct R v1 { n: float32 }", r#"{"n":1.5}"#), ("struct R v2 { n: float64 }", r#"{"n":2.25}"#)),
    ("int64 to string", ("struct R v1 { n: int64 }", r#"{"n":1}"#), ("struct R v2 { n: string }", r#"{"n":"two"}"#)),
    ("optional to required", ("struct R v1 { n: optional int64 }", r#"{"n":null}"#), ("struct R v2 { n: int64 }", r#"{"n":2}"#)),
    ("required to optional", ("struct R v1 { n: int64 }", r#"{"n":1}"#), ("struct R v2 { n: optional int64 }", r#"{"n":null}"#)),
    ("another default", ("struct R v1 { n: int64 default 1 }", r#"{"n":1}"#), ("struct R v2 { n: int64 default 2 }", r#"{"n":2}"#)),
    (
        "another documentation",
        (r#"{"type":"struct","name":"R","version":1,"doc":"old","fields":[{"field":"n","type":"int64"}]}"#, r#"{"n":1}"#),
        (r#"{"type":"struct","name":"R","version":2,"doc":"new","fields":[{"field":"n","type":"int64"}]}"#, r#"{"n":2}"#),
    ),
    (
        "another value of a parameter",
        (r#"{"type":"struct","name":"R","version":1,"fields":[{"field":"n","type":"int64","parameters":{"unit":"m"}}]}"#, r#"{"n":1}"#),
        (r#"{"type":"struct","name":"R","version":2,"fields":[{"field":"n","type":"int64","parameters":{"unit":"km"}}]}"#, r#"{"n":2}"#),
    ),
    ("another record name", ("struct R v1 { n: int64 }", r#"{"n":1}"#), ("struct S v2 { n: int64 }", r#"{"n":2}"#)),
    ("an enum's symbol added", ("struct R v1 { e: enum E {A} }", r#"{"e":"A"}"#), ("struct R v2 { e: enum E {A, B} }", r#"{"e":"B"}"#)),
    ("an enum's symbol removed", ("struct R v1 { e: enum E {A, B} }", r#"{"e":"B"}"#), ("struct R v2 { e: enum E {A} }", r#"{"e":"A"}"#)),
    (
        "a field more in a nested struct",
        ("struct R v1 { in: struct I { n: int64 } }", r#"{"in":{"n":1}}"#),
        ("struct R v2 { in: struct I { n: int64, x: optional string } }", r#"{"in":{"n":2,"x":"a"}}"#),
    ),
    ("a list's items: int32 to int64", ("struct R v1 { l: array<int32> }", r#"{"l":[1]}"#), ("struct R v2 { l: array<int64> }", r#"{"l":[3000000000]}"#)),
    (
        "a map's values: required to optional",
        ("struct R v1 { m: map<string, int64> }", r#"{"m":{"a":1}}"#),
        ("struct R v2 { m: map<string, optional int64> }", r#"{"m":{"b":null}}"#),
    ),
    ("int64 to timestamp", ("struct R v1 { t: int64 }", r#"{"t":1}"#), ("struct R v2 { t: Timestamp }", r#"{"t":1748779200000}"#)),
    ("decimal: another scale", ("struct R v1 { d: Decimal(scale=2) }", r#"{"d":"1.25"}"#), ("struct R v2 { d: Decimal(scale=3) }", r#"{"d":"1.125"}"#)),
    (
        "decimal: another precision",
        ("struct R v1 { d: Decimal(scale=2, precision=9) }", r#"{"d":"1.25"}"#),
        ("struct R v2 { d: Decimal(scale=2, precision=18) }", r#"{"d":"2.50"}"#),
    ),
    ("a tombstone in between (behavior.on.null.values=ignore)", ("struct R v1 { n: int64 }", r#"{"n":1}"#), ("", "")),
    ("schemas without a version", ("struct R { n: int64 }", r#"{"n":1}"#), ("struct R { n: int64, x: optional string }", r#"{"n":2,"x":"a"}"#)),
    ("JSON without a schema (Parquet and JSON alone)", ("struct R v1 { n: int64 }", r#"{"n":1}"#), ("", r#"{"n":2}"#)),
];

fn record(offset: i64, schema: &str, value: &str) -> Record {
    let mut form = json!({"offset": offset, "timestamp": NOON});
    if !schema.is_empty() {
        form["schema"] = serde_json::from_str(schema).unwrap_or_else(|_| schema.into());
    }
    form["value"] = if value.is_empty() { Value::Null } else { serde_json::from_str(value).expect("a value in JSON") };
    Reading::default().record(&form, 0).expect("a record")
}

fn sink(settings: &[(&str, &str)]) -> Props {
    let start = [
        ("connector.class", "io.confluent.connect.s3.S3SinkConnector"),
        ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
        ("s3.bucket.name", "lake"),
        ("topics", "t"),
        ("flush.size", "100"),
        ("rotate.schedule.interval.ms", "1800000"),
        ("timezone", "UTC"),
        ("behavior.on.null.values", "ignore"),
        ("json.decimal.format", "NUMERIC"),
        ("parquet.codec", "none"),
    ];
    start.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Puts records one step at a time, then lets an hour pass, which ends what is open; what became of them, and the objects by their first offset.
fn run(records: &[Record], settings: &[(&str, &str)], tolerates: bool) -> (Played, BTreeMap<String, Bytes>) {
    let store = Recorder::default();
    let mut steps: Vec<_> = records.iter().map(|record| (NOON, vec![record.clone()])).collect();
    steps.push((NOON + HOUR, Vec::new()));
    let script = Script { props: sink(settings), open_at_ms: NOON, assignment: vec![TopicPartition::new("t", 0)], tolerates, steps };
    let played = still(play(&script, &store, false)).expect("it ends");
    (played, store.objects().into_iter().map(|(key, object)| (key, object.bytes.into())).collect())
}

/// A file's rows as text, whatever the format.
fn rows(key: &str, bytes: &Bytes) -> Vec<String> {
    let batches: Vec<RecordBatch> = if key.ends_with(".parquet") {
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).and_then(ParquetRecordBatchReaderBuilder::build).expect("a Parquet file");
        reader.map(|batch| batch.expect("rows")).collect()
    } else if key.ends_with(".avro") {
        let reader = arrow_avro::reader::ReaderBuilder::new().build(std::io::Cursor::new(bytes.clone())).expect("an Avro file");
        reader.map(|batch| batch.expect("rows")).collect()
    } else {
        let text = std::str::from_utf8(bytes).expect("UTF-8");
        return text.lines().map(|line| shown(&serde_json::from_str(line).expect("JSON"))).collect();
    };
    let of = |batch: RecordBatch| {
        let rows = StructArray::from(batch);
        (0..rows.len()).map(|row| array_value_to_string(&rows, row).expect("printable")).collect::<Vec<_>>()
    };
    batches.into_iter().flat_map(of).collect()
}

/// JSON as Arrow prints its values.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(", ")),
        Value::Object(members) => format!("{{{}}}", members.iter().map(|(name, value)| format!("{name}: {}", shown(value))).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

/// What becomes of the four records: which share a file, and what each file's rows read as.
fn outcome((_, first, second): &Change, format: &str, mode: (&str, &str)) -> (String, String) {
    let records: Vec<Record> = (0..4).map(|i| if i % 2 == 0 { record(i, first.0, first.1) } else { record(i, second.0, second.1) }).collect();
    let settings = [("format.class", format), mode];
    let (played, objects) = run(&records, &settings, true);
    assert!(played.error.is_none(), "{settings:?}: {:?}", played.error);
    let mut starts: Vec<(i64, Vec<String>)> = Vec::new();
    for (key, bytes) in &objects {
        let start = key.rsplit('+').next().and_then(|end| end.split('.').next()).and_then(|digits| digits.parse().ok()).expect("an offset in the name");
        starts.push((start, rows(key, bytes)));
    }
    starts.sort();
    let (mut files, mut contents, mut at) = (Vec::new(), Vec::new(), 0);
    let is_left_out = |offset: i64| played.rejected.contains(&offset) || records[usize::try_from(offset).expect("small")].value.bytes.is_none();
    for (start, rows) in starts {
        let offsets: Vec<i64> = (start..4).filter(|offset| !is_left_out(*offset)).take(rows.len()).collect();
        assert!(start >= at && offsets.len() == rows.len(), "{settings:?}: {rows:?} from {start}");
        at = offsets.last().map_or(at, |last| last + 1);
        files.push(offsets.iter().map(|offset| if offset % 2 == 0 { "1" } else { "2" }).collect::<Vec<_>>().join(" "));
        contents.push(rows.join(" "));
    }
    let mut files = files.join(" / ");
    let is_null = |offset: &&i64| records[usize::try_from(**offset).expect("small")].value.bytes.is_none();
    if let Some(offset) = played.rejected.iter().find(|offset| !is_null(offset)) {
        let (strict, _) = run(&records, &settings, false);
        let reason = strict.error.expect("what is rejected fails the task where nothing is tolerated").message;
        let reason = reason.split("; ").next().unwrap_or_default().split(" (").next().unwrap_or_default();
        write!(files, "; {} to the dead letters: {reason}", if offset % 2 == 0 { "1" } else { "2" }).expect("room");
    }
    (files, contents.join(" / "))
}

/// One text where the formats agree, else one for each.
fn agreed(texts: &[(&str, String)]) -> String {
    let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
    for (format, text) in texts {
        match groups.iter_mut().find(|(known, _)| known == text) {
            Some((_, formats)) => formats.push(format),
            None => groups.push((text, vec![format])),
        }
    }
    let cell = match groups.as_slice() {
        [(text, _)] => format!("`{text}`"),
        groups => groups.iter().map(|(text, formats)| format!("{}: `{text}`", formats.join(", "))).collect::<Vec<_>>().join("; "),
    };
    cell.replace('|', "\\|")
}

const INTRODUCTION: &str = "# Schemas that change

What a storage sink does when records of two schemas come in turn. Each cell is what the program did: a test plays four records, of the first schema, the second, the
first and the second, through the converter and the sink into files, and reads these back. `1 / 2 1 2` are two files: the first record, and then three that share a
file. Upstream's modes do as upstream's (`StorageSchemaCompatibility`): they go by the version, and BACKWARD and FULL are the same.

- **Same file**: rows are written under the file's schema; those of another version are *projected* to it: fields that they lack have the default, or are null;
  fields that the file does not have are dropped; numbers are widened.
- **Next file**: the file ends before the record, and with it the others of its topic partition (or path: `lakehead.rotation.scope`).
- **Dead letters**: the record is a bad one (`errors.tolerance=all`, `errors.deadletterqueue.topic.name`); without tolerance it fails the task, with the same reason.

## lakehead.schema.merge=true

Where producers of two versions write at once, upstream's modes end files as often as the versions alternate (NONE), or drop what the newer version has (FORWARD).
With `lakehead.schema.merge=true` a file takes every version, in any order, and its schema is their union:

- Fields of all versions, in the order in which they came. Those that a version lacks have their default in its rows; without a default they are nullable, and null. In JSON,
  which has no schema, a line is its record as it came: with the fields of its own version, and its own numbers.
- A value may be absent where any version allows it. A null stays null.
- Numbers are widened where no value is lost: int8 to int64; float32 to float64; int8, int16 and int32 with a float become float64; decimals of one scale have the larger
  precision. Enums have the symbols of both; structs, lists and maps are merged at any depth. Keys (`store.kafka.keys`) are merged as values are.
- Version, documentation and default of a field are those of the version of which the first record came into the file, also where a later one says something else, or is the first
  to say anything. So what a file holds follows from the records that are in it and from their order, and not from the moment at which its encoding began.
- **What has no union begins the next file**: another record name, another type (text for a number, int64 for a float), another scale, another parameter that says
  what the values are, values without a schema. No record is rejected for its schema.

Rows wait as columns until `lakehead.row.group.bytes` of them have come; the schema of a Parquet or Avro file stands from then on, since Avro writes it first, and the pages of a Parquet
row group are of its columns. A record that would widen it later begins the next file, one that it takes already goes on in it; so versions that both come within a row group never split a
file, and a run of one version that is longer than that splits a file once, when the first record of the next version comes. To wait for a file's end instead would keep all its rows in memory,
several times what they are encoded, or write them to the spill folder and read them back, for every file and not only for the few during which a schema changes. Where that boundary lies also
depends on memory (when it is short, row groups are encoded earlier) and on how records were fetched; which records there are does not, and what stands for a field
that a record's version lacks (no column, or its default) follows from the file that it is in. A larger
`lakehead.row.group.bytes` moves it. JSON files are never split for a version. An object's name does not depend on any of this, since it has the first offset only; files that a stopped worker has
planned are written again with the same rows, since they then wait for their whole schema.

`lakehead.schema.merge` cannot be set together with `schema.compatibility` BACKWARD, FORWARD or FULL. Schemas that are inferred (`lakehead.inferred` in the file's
metadata) widen in every mode.

This file is written by `LAKEHEAD_REWRITE_DOCS=1 cargo test --test keys schemas`.
";

/// What happens, and what the files hold, in each mode.
fn cells(change: &Change) -> Vec<(String, String)> {
    let cell = |(_, mode): &(&str, (&str, &str))| {
        // Schemaless values are of a recursive type in Avro, which the reader of this test does not know.
        let is_read = |format: &&(&str, &str)| format.1 != AVRO || !change.0.contains("JSON alone");
        let outcomes: Vec<_> = FORMATS.iter().filter(is_read).map(|(name, class)| (*name, outcome(change, class, *mode))).collect();
        let of = |part: fn(&(String, String)) -> &String| agreed(&outcomes.iter().map(|(name, outcome)| (*name, part(outcome).clone())).collect::<Vec<_>>());
        (of(|outcome| &outcome.0), of(|outcome| &outcome.1))
    };
    MODES.iter().map(cell).collect()
}

/// The cells of each change, on two threads.
fn all_cells() -> Vec<Vec<(String, String)>> {
    let (first, second) = CHANGES.split_at(CHANGES.len() / 2);
    let of = |changes: &[Change]| changes.iter().map(cells).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| of(second));
        let mut all = of(first);
        all.extend(other.join().expect("the other half"));
        all
    })
}

fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    text.push_str("\n## Which records share a file\n\nOf Parquet, Avro and JSON, where nothing else is said.\n\n| change |");
    MODES.iter().for_each(|(name, _)| write!(text, " {name} |").expect("room"));
    text.push_str("\n|---|---|---|---|---|---|\n");
    let mut contents = String::from(
        "\n## What they hold\n\nThe rows of the same files, as they read back; nothing stands where a value is null.\n\n| change | BACKWARD, FULL | FORWARD | lakehead.schema.merge=true |\n|---|---|---|---|\n",
    );
    for (change, cells) in CHANGES.iter().zip(all_cells()) {
        writeln!(text, "| {} | {} |", change.0, cells.iter().map(|cell| cell.0.as_str()).collect::<Vec<_>>().join(" | ")).expect("room");
        assert_eq!(cells[1].1, cells[3].1, "FULL is BACKWARD: {}", change.0);
        writeln!(contents, "| {} | {} | {} | {} |", change.0, cells[1].1, cells[2].1, cells[4].1).expect("room");
    }
    text + &contents
}

#[test]
fn the_schemas_in_the_docs_become_what_the_files_show() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schemas.md");
    let expected = document();
    if std::env::var_os("LAKEHEAD_REWRITE_DOCS").is_some() {
        fs::write(&path, &expected).expect("docs/schemas.md can be written");
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
    assert!(found == expected, "docs/schemas.md is not what the sinks do; LAKEHEAD_REWRITE_DOCS=1 writes it anew; first: {differs:?}");
}

/// Rows of each file, when the first record is so large that its row group is encoded at once, and its version comes again after the second's.
fn after_a_row_group(format: &str, first: &str, second: (&str, &str)) -> Vec<usize> {
    let large = format!(r#"{{"s":"{}"}}"#, "x".repeat(2 << 20));
    let records = [record(0, first, &large), record(1, second.0, second.1), record(2, first, r#"{"s":"c"}"#)];
    let settings = [("format.class", format), ("lakehead.row.group.bytes", "1048576"), MERGE];
    let (played, objects) = run(&records, &settings, false);
    assert!(played.error.is_none(), "{format}: {:?}", played.error);
    objects.iter().map(|(key, bytes)| rows(key, bytes).len()).collect()
}

#[test]
fn a_wider_schema_ends_a_file_whose_schema_stands_and_none_in_json() {
    const FIRST: &str = "struct R v1 { s: string }";
    let wider = ("struct R v2 { s: string, x: optional int64 }", r#"{"s":"b","x":5}"#);
    assert_eq!(after_a_row_group(PARQUET, FIRST, wider), [1, 2]);
    assert_eq!(after_a_row_group(AVRO, FIRST, wider), [1, 2]);
    assert_eq!(after_a_row_group(JSON, FIRST, wider), [3]);
    // A version that is not wider ends nothing.
    for (_, format) in FORMATS {
        assert_eq!(after_a_row_group(format, FIRST, ("struct R v2 { s: string }", r#"{"s":"b"}"#)), [3], "{format}");
    }
}

#[test]
fn two_words_for_what_becomes_of_other_schemas_are_refused() {
    for (mode, is_refused) in [("NONE", false), ("none", false), ("BACKWARD", true), ("FORWARD", true), ("FULL", true)] {
        let report = connector(&sink(&[])).expect("the S3 sink").validate(&sink(&[("format.class", JSON), MERGE, ("schema.compatibility", mode)]));
        let is_told = report.errors.iter().any(|error| error.key == MERGE.0 && error.message.contains(&format!("schema.compatibility is {mode}")));
        assert_eq!((is_told, report.errors.is_empty()), (is_refused, !is_refused), "{mode}: {:?}", report.errors);
    }
}
