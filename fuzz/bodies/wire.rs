//! Payloads of records: every converter.
//!
//! An input is a schema's text, a zero byte, and payloads with a length before each. Laws: the columns cover the rows, and are sound; a row is refused or taken whatever its
//! neighbours are; a column is written to every file format that takes its type; what a converter writes of it, it reads as the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, BinaryArray};
use arrow::datatypes::{DataType, Field, Fields};
use lakehead::spill::rows;
use lakehead_formats::column::Column;
use lakehead_formats::file;
use lakehead_formats::payload::{self, Registration};
use lakehead_formats::schema::is_inferred;
use lakehead_formats::wire::{self, ConvertError, Converter, Decoded, RegisteredSchema, SchemaKind, Want};

use super::{pieces, split};

const TOPIC: &str = "orders";
const ID: u32 = 7;
/// A schema that is longer has nothing to show that a shorter one has not.
const MOST: usize = 4096;

type Options<'a> = &'a [(&'a str, &'a str)];

fn options(given: Options<'_>) -> BTreeMap<String, String> {
    given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A converter that knows the schema, if there is one; none where the schema is none.
fn converter(name: &str, given: Options<'_>, want: Want, schema: Option<&RegisteredSchema>) -> Option<Box<dyn Converter>> {
    let wire = wire::find(name).expect("a converter of that name");
    let mut converter = (wire.build)(&options(given), false, want).expect("settings that it takes");
    if let Some(schema) = schema {
        converter.learn(ID, Ok(schema)).ok()?;
    }
    Some(converter)
}

fn decode(converter: &mut dyn Converter, payloads: &BinaryArray) -> Option<Decoded> {
    match converter.decode(TOPIC, payloads) {
        Ok(decoded) => Some(decoded),
        Err(ConvertError::Arrow(error)) => panic!("Arrow refused what was built: {error}"),
        Err(_) => None,
    }
}

/// The columns are those of the rows, and Arrow finds nothing wrong with them.
fn check_columns(decoded: &Decoded, rows: usize) {
    let mut next = 0;
    for (range, column) in &decoded.spans {
        assert_eq!((range.start, range.len()), (next, column.len()), "the spans are not one after the other");
        assert_eq!(column.field.data_type(), column.array.data_type());
        column.array.to_data().validate_full().expect("a sound array");
        next = range.end;
    }
    assert_eq!(next, rows, "rows are in no span");
    assert!(decoded.rejects.is_sorted_by(|a, b| a.row < b.row) && decoded.rejects.iter().all(|reject| reject.row < rows && !reject.reason.is_empty()));
}

/// A column without the rows that were refused.
fn taken(decoded: &Decoded) -> Vec<Column> {
    let bad: BTreeSet<usize> = decoded.rejects.iter().map(|reject| reject.row).collect();
    let without = |(range, column): &(std::ops::Range<usize>, Column)| {
        let keep: arrow::array::BooleanArray = range.clone().map(|row| Some(!bad.contains(&row))).collect();
        let array = arrow::compute::filter(&column.array, &keep).expect("rows of a column");
        Column::new(Arc::clone(&column.field), array)
    };
    decoded.spans.iter().map(without).filter(|column| !column.is_empty()).collect()
}

/// Every format takes the values of a column, or says of its type that it does not. Tombstones are no values.
fn check_files(column: &Column) {
    let values = arrow::compute::is_not_null(&column.array).and_then(|there| arrow::compute::filter(&column.array, &there)).expect("rows of a column");
    for name in ["json", "avro", "parquet"] {
        let format = (file::find(name).expect("a format of that name").build)(&file::Options::new()).expect("settings that it takes");
        let Ok(mut encoder) = format.encoder(&column.field) else { continue };
        encoder.write(&values).unwrap_or_else(|error| panic!("{name} does not take {:?}: {error}", column.field));
        let (_, stats) = encoder.finish(&[]).unwrap_or_else(|error| panic!("{name} does not end: {error}"));
        assert_eq!(stats.rows, values.len() as u64);
    }
}

/// Payloads of a column, and the schema that they have been written under; none where one row is not written.
fn written(name: &str, given: Options<'_>, column: &Column) -> Option<(BinaryArray, Option<RegisteredSchema>)> {
    let mut writer = (payload::find(name).expect("a writer of that name").build)(&options(given)).expect("settings that it takes");
    let wanted = writer.missing(TOPIC, column);
    if let Some(wanted) = &wanted {
        writer.learn(wanted, Ok(&Registration { id: ID, schema: None }));
    }
    let payloads = writer.write_to(TOPIC, column);
    assert_eq!(payloads.payloads.len(), column.len());
    payloads.payloads.to_data().validate_full().expect("a sound array");
    payloads.rejects.is_empty().then(|| (payloads.payloads, wanted.map(|wanted| RegisteredSchema::new(wanted.kind, wanted.text))))
}

/// What is written of a column is read, and written again as it was.
fn check_round_trip(name: &str, reads: Options<'_>, writes: Options<'_>, column: &Column) {
    let Some((once, schema)) = written(name, writes, column) else { return };
    let mut reader = converter(name, reads, Want::Columns, schema.as_ref()).unwrap_or_else(|| panic!("its own schema is not read: {schema:?}"));
    let decoded = decode(reader.as_mut(), &once).expect("its own payloads");
    assert_eq!(decoded.rejects, [], "its own payloads are refused: {schema:?} {once:?}");
    let mut at = 0;
    for (_, column) in &decoded.spans {
        let (twice, _) = written(name, writes, column).unwrap_or_else(|| panic!("what it has read is not written: {:?}", column.field));
        assert_eq!(twice, once.slice(at, column.len()), "{:?} from {schema:?}", column.field);
        at += column.len();
    }
}

/// All laws of a converter, for these payloads.
fn check(name: &str, make: &dyn Fn() -> Option<Box<dyn Converter>>, payloads: &BinaryArray) -> Vec<Column> {
    let Some(mut converter) = make() else { return Vec::new() };
    let Some(decoded) = decode(converter.as_mut(), payloads) else { return Vec::new() };
    check_columns(&decoded, payloads.len());
    let refused: BTreeSet<usize> = decoded.rejects.iter().map(|reject| reject.row).collect();
    // Columns that are inferred are those of all rows.
    let is_free = decoded.spans.iter().all(|(_, column)| !is_inferred(&column.field));
    for row in (0..payloads.len()).filter(|_| is_free) {
        let mut alone = make().expect("it was made before");
        let Some(of_one) = decode(alone.as_mut(), &payloads.slice(row, 1)) else { continue };
        assert_eq!(
            !of_one.rejects.is_empty(),
            refused.contains(&row),
            "{name}: row {row} depends on its neighbours: {:?} {:?}",
            decoded.rejects,
            of_one.rejects
        );
    }
    let columns = taken(&decoded);
    columns.iter().for_each(check_files);
    columns
}

/// Payloads of Confluent's framing, and some that are not.
fn framed(data: &[u8]) -> BinaryArray {
    let mut payloads: Vec<Option<Vec<u8>>> = Vec::new();
    for piece in pieces(data).into_iter().take(8) {
        payloads.push(match piece.split_first() {
            Some((0xff, [])) => None,
            Some((0xff, rest)) => Some(rest.to_vec()),
            _ => Some([&[0], &ID.to_be_bytes()[..], piece].concat()),
        });
    }
    payloads.iter().map(|payload| payload.as_deref()).collect()
}

fn registered(name: &str, kind: SchemaKind, data: &[u8]) {
    let (text, rest) = split(data);
    let Some(text) = std::str::from_utf8(text).ok().filter(|text| text.len() <= MOST) else { return };
    let schema = RegisteredSchema::new(kind, text);
    let make = || converter(name, &[], Want::Columns, Some(&schema));
    for column in check(name, &make, &framed(rest)) {
        check_round_trip(name, &[], &[], &column);
    }
}

/// Avro schemas and values.
pub(crate) fn avro(data: &[u8]) {
    registered("avro", SchemaKind::Avro, data);
}

/// JSON Schemas and values.
pub(crate) fn json_schema(data: &[u8]) {
    registered("jsonschema", SchemaKind::JsonSchema, data);
}

/// Protobuf's schemas and messages.
pub(crate) fn protobuf(data: &[u8]) {
    registered("protobuf", SchemaKind::Protobuf, data);
}

fn lines(data: &[u8]) -> BinaryArray {
    data.split(|byte| *byte == b'\n').take(8).map(|line| (!line.is_empty()).then_some(line)).collect()
}

/// JsonConverter with schemas: a value in its envelope on each line.
pub(crate) fn json_envelope(data: &[u8]) {
    let enveloped = [("schemas.enable", "true")];
    let make = || converter("json", &enveloped, Want::Columns, None);
    for column in check("json", &make, &lines(data)) {
        if !is_inferred(&column.field) {
            check_round_trip("json", &enveloped, &enveloped, &column);
        }
    }
}

/// JsonConverter without: as text, and as columns.
pub(crate) fn json_schemaless(data: &[u8]) {
    let (bare, payloads) = ([("schemas.enable", "false")], lines(data));
    for want in [Want::Any, Want::Columns] {
        let make = || converter("json", &bare, want, None);
        check("json", &make, &payloads);
    }
}

/// Strings, bytes, numbers and booleans: what is read of a payload is written as that payload.
pub(crate) fn primitives(data: &[u8]) {
    let payloads: BinaryArray = pieces(data).into_iter().take(8).map(Some).collect();
    for name in ["string", "bytes", "boolean", "short", "integer", "long", "float", "double"] {
        let make = || converter(name, &[], Want::Any, None);
        let Some(decoded) = make().and_then(|mut converter| decode(converter.as_mut(), &payloads)) else { continue };
        check(name, &make, &payloads);
        let is_replaced = |row: usize| name == "string" && std::str::from_utf8(payloads.value(row)).is_err();
        for (range, column) in &decoded.spans {
            let Some((again, _)) = written(name, &[], column) else { continue };
            for row in range.clone().filter(|row| decoded.rejects.iter().all(|reject| reject.row != *row) && !is_replaced(*row)) {
                let (at, own) = (row - range.start, payloads.value(row));
                // Any byte but 0 and 1 is refused; every NaN stays itself.
                assert!(again.is_valid(at) && again.value(at) == own, "{name}: {own:?} is written as {:?}", again.value(at));
            }
        }
    }
}

/// Rows that have waited on disk.
pub(crate) fn spilled_rows(data: &[u8]) {
    let members = vec![
        Field::new("n", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("l", DataType::List(Arc::new(Field::new("item", DataType::Int32, true))), true),
    ];
    let field = Arc::new(Field::new("value", DataType::Struct(Fields::from(members)), true));
    // Nobody comes past the checksum by chance.
    let Some((first, body)) = data.split_first_chunk::<4>() else { return };
    let words = u64::from(u32::from_le_bytes(*first)) | u64::from(crc32fast::hash(body)) << 32;
    for bytes in [data.to_vec(), [&words.to_le_bytes(), body].concat()] {
        if let Ok(rows) = rows::read(&field, bytes) {
            rows.to_data().validate_full().expect("a sound array");
        }
    }
}
