//! Batches of changes. What becomes of one alone is told by the vectors of Debezium's own class (`tests/conformance/debezium-vectors.json`).

use arrow::array::StringArray;
use lakehead_formats::headers::{Own, written};
use lakehead_formats::payload;
use proptest::prelude::*;

use super::super::configure;
use super::super::side::tests::{apply_all, json_batch, schema_batch};
use super::*;

const CLASS: &str = "io.debezium.transforms.ExtractNewRecordState";
const ENVELOPE: &str = r#"{"type":"struct","optional":true,"name":"s.t.Envelope","fields":[
    {"field":"before","type":"struct","optional":true,"name":"s.t.Value","fields":[{"field":"id","type":"int32"},{"field":"topic","type":"string","optional":true}]},
    {"field":"after","type":"struct","optional":true,"name":"s.t.Value","fields":[{"field":"id","type":"int32"},{"field":"topic","type":"string","optional":true}]},
    {"field":"source","type":"struct","fields":[{"field":"lsn","type":"int64","optional":true}]},
    {"field":"op","type":"string"}]}"#;
const CREATE: &str = r#"{"before":null,"after":{"id":1,"topic":"a"},"source":{"lsn":5},"op":"c"}"#;
const UPDATE: &str = r#"{"before":{"id":1,"topic":"a"},"after":{"id":2,"topic":null},"source":{"lsn":null},"op":"u"}"#;
const DELETE: &str = r#"{"before":{"id":3,"topic":"b"},"after":null,"source":{"lsn":7},"op":"d"}"#;
const TRUNCATE: &str = r#"{"before":null,"after":null,"source":{"lsn":8},"op":"t"}"#;

/// Offset, topic, headers and value of each record.
type Rows = Vec<(i64, String, String, String)>;

fn text(column: &Column) -> Vec<String> {
    let mut writer = (payload::find("json").unwrap().build)(&[("schemas.enable".to_owned(), "false".to_owned())].into()).unwrap();
    // A null among rows stands in their column, required or not.
    let optional = column.field.as_ref().clone().with_nullable(true);
    let payloads = writer.write(&Column::new(Arc::new(optional), Arc::clone(&column.array)));
    assert!(payloads.rejects.is_empty());
    payloads.payloads.iter().map(|payload| String::from_utf8_lossy(payload.unwrap_or(b"null")).into_owned()).collect()
}

fn headers_of(batch: &Batch) -> Vec<String> {
    let Some(list) = &batch.headers else { return vec![String::new(); batch.len()] };
    let mut writer = (payload::find_for_headers("simple").unwrap().build)(&payload::Options::new()).unwrap();
    let (list, _) = written(list, Own::Bytes, writer.as_mut()).unwrap();
    let entry = |names: &StringArray, values: &arrow::array::BinaryArray, at: usize| {
        let value = values.is_valid(at).then(|| String::from_utf8_lossy(values.value(at)));
        format!("{}={}", names.value(at), value.as_deref().unwrap_or("null"))
    };
    let row = |row: usize| {
        let entries = list.value(row);
        let (names, values) = (entries.as_struct().column(0).as_string::<i32>(), entries.as_struct().column(1).as_binary::<i32>());
        (0..entries.len()).map(|at| entry(names, values, at)).collect::<Vec<_>>().join(" ")
    };
    (0..list.len()).map(row).collect()
}

/// What comes out, what is left out, and how many batches it is.
fn apply(settings: &[(&str, &str)], batch: Batch) -> (Rows, Vec<Reject>, usize) {
    let (mut next, end) = (batch.span.start, batch.span.end);
    let (out, rejects) = apply_all(CLASS, settings, batch);
    let mut rows = Vec::new();
    for batch in &out {
        assert_eq!(batch.span.start, next);
        next = batch.span.end;
        let records = batch.offsets.values().iter().zip(headers_of(batch)).zip(text(&batch.value));
        rows.extend(records.map(|((offset, headers), value)| (*offset, batch.topic.to_string(), headers, value)));
    }
    assert_eq!(next, end);
    (rows, rejects, out.len())
}

fn values(settings: &[(&str, &str)], rows: &[&str]) -> (Vec<(i64, String)>, usize) {
    let (rows, rejects, batches) = apply(settings, schema_batch(ENVELOPE, rows));
    assert!(rejects.is_empty(), "{rejects:?}");
    (rows.into_iter().map(|row| (row.0, row.3)).collect(), batches)
}

#[test]
fn records_of_all_fates_stay_one_batch_in_order() {
    let rows = [CREATE, DELETE, "null", UPDATE, TRUNCATE];
    for (mode, expected) in [
        ("drop", vec![(100, r#"{"id":1,"topic":"a"}"#), (103, r#"{"id":2,"topic":null}"#)]),
        ("tombstone", vec![(100, r#"{"id":1,"topic":"a"}"#), (101, "null"), (103, r#"{"id":2,"topic":null}"#)]),
        ("delete-to-tombstone", vec![(100, r#"{"id":1,"topic":"a"}"#), (101, "null"), (103, r#"{"id":2,"topic":null}"#)]),
        (
            "rewrite",
            vec![
                (100, r#"{"id":1,"topic":"a","__deleted":"false"}"#),
                (101, r#"{"id":3,"topic":"b","__deleted":"true"}"#),
                (103, r#"{"id":2,"topic":null,"__deleted":"false"}"#),
            ],
        ),
        (
            "rewrite-with-tombstone",
            vec![
                (100, r#"{"id":1,"topic":"a","__deleted":"false"}"#),
                (101, r#"{"id":3,"topic":"b","__deleted":"true"}"#),
                (102, "null"),
                (103, r#"{"id":2,"topic":null,"__deleted":"false"}"#),
            ],
        ),
    ] {
        let (found, batches) = values(&[("delete.tombstone.handling.mode", mode)], &rows);
        assert_eq!((found, batches), (expected.into_iter().map(|(offset, value)| (offset, value.to_owned())).collect(), 1), "{mode}");
    }
}

#[test]
fn fields_and_headers_are_added() {
    let settings = [("add.fields", "op,source.lsn:lsn"), ("add.headers", "op"), ("delete.tombstone.handling.mode", "rewrite-with-tombstone")];
    let (found, rejects, _) = apply(&settings, schema_batch(ENVELOPE, &[CREATE, DELETE, "null"]));
    let shown: Vec<_> = found.iter().map(|row| (row.2.as_str(), row.3.as_str())).collect();
    assert!(rejects.is_empty());
    assert_eq!(
        shown,
        [
            ("__op=c", r#"{"id":1,"topic":"a","__deleted":"false","__op":"c","__lsn":5}"#),
            ("__op=d", r#"{"id":3,"topic":"b","__deleted":"true","__op":"d","__lsn":7}"#),
            ("__op=d", "null"),
        ]
    );
}

#[test]
fn rows_go_to_the_topics_that_they_name() {
    let (found, _, batches) = apply(&[("route.by.field", "topic")], schema_batch(ENVELOPE, &[CREATE, UPDATE, CREATE, DELETE]));
    assert_eq!((found.iter().map(|row| row.1.as_str()).collect::<Vec<_>>(), batches), (vec!["a", "orders", "a", "b"], 4));
}

#[test]
fn what_is_no_envelope_goes_on() {
    for settings in [vec![], vec![("add.fields", "op")], vec![("delete.tombstone.handling.mode", "rewrite")]] {
        let (found, rejects, _) = apply(&settings, json_batch(&["1", "null", r#"{"op":"c","after":{}}"#]));
        assert_eq!((found.iter().map(|row| row.0).collect::<Vec<_>>(), rejects.len()), (vec![100, 102], 0));
        let other = schema_batch(&ENVELOPE.replace("s.t.Envelope", "s.t.Other"), &[CREATE]);
        assert_eq!(apply(&settings, other.clone()).0[0].3, text(&other.value)[0]);
    }
}

#[test]
fn what_is_wrong_is_told_of_the_records_that_it_is_wrong_of() {
    for (settings, rows, rejected, part) in [
        (vec![("add.fields", "transaction.id")], [CREATE, "null"], vec![0], "\"transaction\", which the envelope does not have"),
        (vec![("add.fields", "op,op")], [CREATE, DELETE], vec![0], "Cannot create field because of field name duplication __op"),
        (vec![("route.by.field", "zz")], [CREATE, DELETE], vec![0, 1], "zz is not a valid field name"),
        (vec![("route.by.field", "id")], [CREATE, TRUNCATE], vec![0], "Field 'id' is not of type STRING"),
    ] {
        let (_, rejects, _) = apply(&settings, schema_batch(ENVELOPE, &rows));
        assert_eq!(rejects.iter().map(|reject| reject.row).collect::<Vec<_>>(), rejected, "{settings:?}");
        assert!(rejects[0].reason.contains(part), "{settings:?}: {rejects:?}");
    }
    for (key, value) in [("add.fields", "a:b:c"), ("add.headers", "."), ("delete.tombstone.handling.mode", "keep"), ("delete.handling.mode", "x")] {
        assert_eq!(configure(CLASS, &[(key.to_owned(), value.to_owned())].into()).unwrap_err()[0].key, key);
    }
}

fn with_list(names: &str) -> Batch {
    let value = Column::new(Arc::new(Field::new("h", DataType::Utf8, false)), Arc::new(StringArray::from(vec![names])));
    let mut batch = schema_batch(ENVELOPE, &[CREATE, UPDATE]);
    batch.headers = Some(headers::with(None, 2, "gone", Added::Same(&value)).unwrap());
    batch
}

#[test]
fn a_header_says_which_fields_are_left_out() {
    let drop = ("drop.fields.header.name", "gone");
    for (settings, names, expected) in [
        (vec![drop], r#"["topic","id"]"#, r#"{"id":1}"#),
        (vec![drop, ("drop.fields.keep.schema.compatible", "false")], r#"["topic","id"]"#, "{}"),
        (vec![drop], "[]", r#"{"id":1,"topic":"a"}"#),
        (vec![("drop.fields.header.name", "other")], r#"["topic"]"#, r#"{"id":1,"topic":"a"}"#),
    ] {
        let (found, rejects, batches) = apply(&settings, with_list(names));
        assert_eq!((found[0].3.as_str(), rejects.len(), batches), (expected, 0, 1), "{settings:?} {names}");
    }
    let (_, rejects, _) = apply(&[drop], with_list("topic"));
    assert_eq!(rejects[0].reason, "header \"gone\" (drop.fields.header.name) is no list of names but topic");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_batch_is_its_rows(
        rows in prop::collection::vec(prop::sample::select(vec![CREATE, UPDATE, DELETE, TRUNCATE, "null"]), 1..10),
        mode in prop::sample::select(MODES.to_vec()),
        more in prop::sample::select(vec![vec![], vec![("add.fields", "op,lsn")], vec![("add.headers", "op,lsn")], vec![("route.by.field", "topic")], vec![("add.fields", "id,op")]]),
    ) {
        let settings: Vec<_> = more.into_iter().chain([("delete.tombstone.handling.mode", mode)]).collect();
        let batch = schema_batch(ENVELOPE, &rows);
        let (whole, rejects, _) = apply(&settings, batch.clone());
        let (mut single, mut single_rejects) = (Vec::new(), Vec::new());
        for row in 0..batch.len() {
            let (found, bad, _) = apply(&settings, rows::between(&batch, row, row + 1));
            single.extend(found);
            single_rejects.extend(bad.into_iter().map(|reject| Reject { row, ..reject }));
        }
        prop_assert_eq!(whole, single);
        prop_assert_eq!(rejects, single_rejects);
    }
}
