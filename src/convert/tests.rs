//! The stage, read as a specification, over converters that take short texts.

use std::ops::Range;

use arrow::array::{Array, BinaryArray, Int64Array, ListArray, StringArray, TimestampMillisecondArray};
use arrow::datatypes::Int32Type;
use lakehead_formats::wire::{RegisteredSchema, SchemaId};
use proptest::prelude::*;

use super::*;
use crate::batch::TopicPartition;

/// Takes payloads of a schema's letter and a text; `!` is poison. A new letter is a new schema.
#[derive(Debug)]
struct Letters;

impl Converter for Letters {
    fn missing(&self, _: &BinaryArray) -> Vec<SchemaId> {
        Vec::new()
    }

    fn learn(&mut self, _: SchemaId, _: Result<&RegisteredSchema, &str>) -> Result<(), ConvertError> {
        Ok(())
    }

    fn forget(&mut self, _: SchemaId) {}

    fn decode(&mut self, _: &str, payloads: &BinaryArray) -> Result<Decoded, ConvertError> {
        let letter = |row: usize| payloads.is_valid(row).then(|| payloads.value(row)[0]).filter(|letter| *letter != b'!');
        let mut decoded = Decoded::default();
        let mut start = 0;
        for row in 0..payloads.len() {
            if payloads.is_valid(row) && payloads.value(row)[0] == b'!' {
                decoded.rejects.push(Reject { row, reason: "poison".to_owned() });
            }
            let last = row + 1 == payloads.len();
            if last || letter(row + 1) != letter(start) {
                decoded.spans.push((start..row + 1, column(payloads, start..row + 1, letter(start))));
                start = row + 1;
            }
        }
        Ok(decoded)
    }
}

fn column(payloads: &BinaryArray, rows: Range<usize>, letter: Option<u8>) -> Column {
    let texts: StringArray = rows.map(|row| payloads.is_valid(row).then(|| String::from_utf8_lossy(payloads.value(row)).into_owned())).collect();
    Column::new(FieldRef::new(Field::new(letter.map_or("none".to_owned(), |l| char::from(l).to_string()), DataType::Utf8, true)), Arc::new(texts))
}

fn raw(keys: &[Option<&str>], values: &[Option<&str>]) -> RawBatch {
    let n = i64::try_from(keys.len()).unwrap();
    let bytes = |texts: &[Option<&str>]| texts.iter().map(|text| text.map(str::as_bytes)).collect::<BinaryArray>();
    RawBatch {
        from: TopicPartition::new("t", 0),
        span: OffsetRange { start: 100, end: 110 + 2 * n },
        offsets: Int64Array::from_iter_values((0..n).map(|i| 105 + 2 * i)),
        timestamps: TimestampMillisecondArray::from_iter_values(0..n),
        keys: bytes(keys),
        values: bytes(values),
        headers: Some(ListArray::from_iter_primitive::<Int32Type, _, _>((0..keys.len()).map(|_| Some(vec![Some(1)])))),
    }
}

fn decode(raw: &RawBatch) -> (Vec<Batch>, Vec<Unconverted>) {
    Stage::new(Box::new(Letters), Box::new(Letters), None, None).decode(raw).unwrap()
}

fn spans(batches: &[Batch]) -> Vec<(i64, i64, Vec<i64>)> {
    batches.iter().map(|batch| (batch.span.start, batch.span.end, batch.offsets.values().to_vec())).collect()
}

#[test]
fn batches_end_where_either_schema_changes() {
    let keys = [Some("a1"), Some("a2"), Some("b3"), Some("b4")];
    let values = [Some("x1"), Some("x2"), Some("x3"), Some("y4")];
    let (batches, rejects) = decode(&raw(&keys, &values));
    assert_eq!(spans(&batches), [(100, 109, vec![105, 107]), (109, 111, vec![109]), (111, 118, vec![111])]);
    assert_eq!(rejects, []);
    assert_eq!(batches[1].value.array.as_string::<i32>().value(0), "x3");
}

#[test]
fn rejected_rows_are_left_out_and_their_offsets_stay_in_the_span() {
    let keys = [Some("a1"), Some("a2"), None, Some("!4")];
    let values = [Some("x1"), Some("!2"), Some("x3"), Some("!4")];
    let (batches, rejects) = decode(&raw(&keys, &values));
    let failed = |row, half| Unconverted { row, half, reason: "poison".to_owned() };
    assert_eq!(rejects, [failed(1, Half::Value), failed(3, Half::Key)]);
    assert_eq!(batches.iter().flat_map(|batch| batch.offsets.values().to_vec()).collect::<Vec<_>>(), [105, 109]);
    assert_eq!((batches[0].span.start, batches.last().unwrap().span.end), (100, 118));
}

#[test]
fn offsets_without_records_are_a_batch_without_rows() {
    let (batches, rejects) = decode(&raw(&[], &[]));
    assert_eq!((spans(&batches), rejects), (vec![(100, 110, vec![])], vec![]));
}

proptest! {
    /// Every row is in one batch or among the rejects, in order; the spans are consecutive and cover the whole.
    #[test]
    fn no_row_is_lost(rows in prop::collection::vec(("[ab!]|", "[xy!]|"), 0..40)) {
        let side = |text: &'static str| Some(text).filter(|text| !text.is_empty());
        let pick = |text: &str| match text { "a" => "a", "b" => "b", "x" => "x", "y" => "y", "!" => "!", _ => "" };
        let keys: Vec<Option<&str>> = rows.iter().map(|row| side(pick(&row.0))).collect();
        let values: Vec<Option<&str>> = rows.iter().map(|row| side(pick(&row.1))).collect();
        let raw = raw(&keys, &values);
        let (batches, rejects) = decode(&raw);
        let mut next = raw.span.start;
        let mut seen: Vec<i64> = rejects.iter().map(|reject| raw.offsets.value(reject.row)).collect();
        for batch in &batches {
            prop_assert_eq!(batch.span.start, next);
            next = batch.span.end;
            prop_assert!(batch.offsets.values().iter().all(|offset| (batch.span.start..batch.span.end).contains(offset)));
            for n in [batch.key.len(), batch.value.len(), batch.timestamps.len(), batch.headers.as_ref().unwrap().len()] {
                prop_assert_eq!(n, batch.len());
            }
            seen.extend(batch.offsets.values());
        }
        prop_assert_eq!(next, raw.span.end);
        seen.sort_unstable();
        prop_assert_eq!(seen, raw.offsets.values().to_vec());
        for (row, (key, value)) in rows.iter().enumerate() {
            prop_assert_eq!(rejects.iter().any(|reject| reject.row == row), key == "!" || value == "!");
        }
    }
}

fn props(pairs: &[(&str, &str)]) -> Props {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn converters_come_from_the_connector_or_the_worker_with_the_settings_beside_them() {
    const AVRO: &str = "io.confluent.connect.avro.AvroConverter";
    let worker = props(&[
        ("key.converter", AVRO),
        ("key.converter.schema.registry.url", "http://k"),
        ("value.converter", AVRO),
        ("value.converter.schema.registry.url", "http://w"),
    ]);
    let urls = |stage: &Stage| [&stage.key, &stage.value].map(|side| side.registry.as_ref().map(ToString::to_string).unwrap_or_default());
    let stage = build(&props(&[]), &worker, Want::Columns).unwrap();
    assert_eq!(urls(&stage), ["http://k", "http://w"]);
    let stage = build(&props(&[("value.converter.schema.registry.url", "http://ignored")]), &worker, Want::Columns).unwrap();
    assert_eq!(urls(&stage), ["http://k", "http://w"]);
    let stage = build(&props(&[("value.converter", "avro"), ("value.converter.schema.registry.url", "http://c")]), &worker, Want::Columns).unwrap();
    assert_eq!(urls(&stage), ["http://k", "http://c"]);
}

#[test]
fn problems_name_the_key_where_it_was_written() {
    let errors = build(&props(&[("value.converter", "avro"), ("value.converter.connect.meta.data", "x")]), &props(&[]), Want::Any).unwrap_err();
    let shown: Vec<String> = errors.iter().map(|error| format!("{}: {}", error.key, error.message)).collect();
    assert_eq!(
        shown,
        [
            "key.converter: Missing required configuration \"key.converter\" which has no default value.",
            "value.converter.connect.meta.data: \"x\" is not a boolean; values taken: true, false",
            "value.converter.schema.registry.url: Missing required configuration \"schema.registry.url\" which has no default value.",
        ]
    );
    let errors = build(&props(&[("key.converter", "com.acme.X"), ("value.converter", "com.acme.X")]), &props(&[]), Want::Any).unwrap_err();
    assert!(
        errors[0].message.starts_with("Invalid value com.acme.X for configuration key.converter: Class com.acme.X could not be found; available: "),
        "{errors:?}"
    );
    assert!(errors[0].message.contains("io.confluent.connect.avro.AvroConverter"), "{errors:?}");
}
