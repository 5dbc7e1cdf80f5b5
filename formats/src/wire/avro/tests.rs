//! The Avro converter, read as a specification: payloads in, columns and rejects out.

use arrow::array::{Array, AsArray, BinaryArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use proptest::prelude::*;

use super::super::{Decoded, SchemaId};
use super::*;
use crate::column::Column;

const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"id","type":"long"},
    {"name":"customer","type":"string"},
    {"name":"tags","type":["null",{"type":"array","items":"string"}],"default":null}]}"#;

fn converter(schemas: &[(SchemaId, Result<&str, &str>)]) -> Box<dyn Converter> {
    let mut converter = build(&Options::new(), false, Want::Any).unwrap();
    for (id, text) in schemas {
        converter.learn(*id, text.map(|text| RegisteredSchema::new(SchemaKind::Avro, text)).as_ref().map_err(|reason| *reason)).ok();
    }
    converter
}

fn framed(id: u8, body: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 0, id], body].concat()
}

fn payloads(rows: &[Option<Vec<u8>>]) -> BinaryArray {
    rows.iter().map(Option::as_deref).collect()
}

/// id 1, customer "ann", tags ["x", "y"].
fn order() -> Vec<u8> {
    framed(1, &[2, 6, b'a', b'n', b'n', 2, 4, 2, b'x', 2, b'y', 0])
}

/// As [`order`], cut short inside its tags.
fn cut() -> Vec<u8> {
    let mut order = order();
    order.truncate(order.len() - 2);
    order
}

fn ids(column: &Column) -> Vec<Option<i64>> {
    let rows = column.array.as_struct();
    (0..rows.len()).map(|row| rows.is_valid(row).then(|| rows.column(0).as_primitive::<Int64Type>().value(row))).collect()
}

fn reasons(decoded: &Decoded) -> Vec<(usize, &str)> {
    decoded.rejects.iter().map(|reject| (reject.row, reject.reason.as_str())).collect()
}

#[test]
fn a_poison_record_does_not_fail_its_neighbours() {
    let mut bad_text = order();
    bad_text[7] = 0xff;
    let rows = [Some(order()), Some(cut()), None, Some(order()), Some(bad_text), Some(order()), Some(vec![7, 1, 2]), Some(vec![0, 1]), Some(vec![])];
    let decoded = converter(&[(1, Ok(ORDER))]).decode("t", &payloads(&rows)).unwrap();
    assert_eq!(decoded.spans.len(), 1);
    let (range, column) = &decoded.spans[0];
    assert_eq!((range.clone(), ids(column)), (0..9, vec![Some(1), None, None, Some(1), None, Some(1), None, None, None]));
    let tags = column.array.as_struct().column(2).as_list::<i32>().value(5);
    assert_eq!(tags.as_string::<i32>().iter().flatten().collect::<Vec<_>>(), ["x", "y"]);
    assert_eq!(
        reasons(&decoded),
        [
            (1, "schema id \"1\": field \"tags\": the payload ends inside a value"),
            (4, "schema id \"1\": field \"customer\": a string is not UTF-8"),
            (6, "magic byte \"7\" is not 0: the payload is not in Confluent's Avro format"),
            (7, "the payload has \"2\" bytes, too few for a magic byte and a schema id"),
            (8, "the payload is empty, Avro starts with a magic byte and a schema id"),
        ]
    );
}

#[test]
fn rows_with_another_schema_are_another_span() {
    let int = |value: u8| Some(framed(2, &[value]));
    let rows = payloads(&[None, Some(order()), int(2), None, int(4), Some(framed(9, &[])), Some(order()), Some(framed(3, &[]))]);
    let mut converter = converter(&[(1, Ok(ORDER)), (2, Ok("\"int\"")), (3, Err("the registry does not know it"))]);
    assert_eq!(converter.missing(&rows), [9]);
    let recursive = RegisteredSchema::new(SchemaKind::Avro, r#"{"type":"record","name":"R","fields":[{"name":"r","type":"R"}]}"#);
    converter.learn(9, Ok(&recursive)).unwrap_err();
    assert_eq!(converter.missing(&rows), [0; 0]);
    let decoded = converter.decode("t", &rows).unwrap();
    assert_eq!(decoded.spans.iter().map(|(rows, _)| rows.clone()).collect::<Vec<_>>(), [0..2, 2..6, 6..8]);
    assert_eq!(decoded.spans[1].1.array.as_primitive::<Int32Type>().iter().collect::<Vec<_>>(), [Some(1), None, Some(2), None]);
    assert_eq!(
        reasons(&decoded),
        [(5, "schema id \"9\": type \"R\" contains itself, which columns cannot hold"), (7, "schema id \"3\": the registry does not know it")]
    );
}

#[test]
fn rows_that_are_all_null_keep_the_last_schema() {
    let mut converter = converter(&[(1, Ok(ORDER))]);
    let types = |converter: &mut Box<dyn Converter>, rows: &[Option<Vec<u8>>]| {
        let decoded = converter.decode("t", &payloads(rows)).unwrap();
        decoded.spans.iter().map(|(_, column)| matches!(column.field.data_type(), DataType::Struct(_))).collect::<Vec<_>>()
    };
    assert_eq!(types(&mut converter, &[]), [false; 0]);
    assert_eq!(types(&mut converter, &[None, None]), [false]);
    assert_eq!(types(&mut converter, &[Some(order())]), [true]);
    assert_eq!(types(&mut converter, &[None, None]), [true]);
}

#[test]
fn the_field_carries_the_avro_schema() {
    let decoded = converter(&[(1, Ok(ORDER))]).decode("t", &payloads(&[Some(order())])).unwrap();
    let field = &decoded.spans[0].1.field;
    assert_eq!((field.name().as_str(), field.is_nullable()), ("value", false));
    assert_eq!(field.metadata().get(crate::schema::NAME).map(String::as_str), Some("shop.Order"));
    assert_eq!(field.metadata().get(SCHEMA_TEXT).map(String::as_str), Some(ORDER));
}

#[test]
fn one_value_of_every_type() {
    let table: [(&str, &[u8], &str); 14] = [
        ("\"boolean\"", &[1], "true"),
        (r#"{"type":"int","connect.type":"int8"}"#, &[3], "-2"),
        (r#"{"type":"int","connect.type":"int16"}"#, &[0xd0, 0x0f], "1000"),
        ("\"float\"", &[0, 0, 0xc0, 0x3f], "1.5"),
        ("\"double\"", &[0, 0, 0, 0, 0, 0, 4, 0x40], "2.5"),
        (r#"{"type":"int","logicalType":"date"}"#, &[4], "1970-01-03"),
        (r#"{"type":"int","logicalType":"time-millis"}"#, &[0xd0, 0x0f], "00:00:01"),
        (r#"{"type":"long","logicalType":"timestamp-millis"}"#, &[0xd0, 0x0f], "1970-01-01T00:00:01Z"),
        ("\"bytes\"", b"raw", "726177"),
        (r#"{"type":"fixed","name":"F","size":2}"#, &[1, 2], "0102"),
        (r#"{"type":"fixed","name":"F","size":2,"logicalType":"decimal","precision":4,"scale":2}"#, &[0xff, 0x38], "-2.00"),
        (r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, &[2], "B"),
        (r#"{"type":"map","values":"int"}"#, &[2, 2, b'k', 2, 0], "{k: 1}"),
        (r#"["null","int",{"type":"array","items":"string"}]"#, &[4, 2, 2, b'x', 0], "{int: , array: [x]}"),
    ];
    for (schema, body, want) in table {
        let decoded = converter(&[(1, Ok(schema))]).decode("t", &payloads(&[Some(framed(1, body)), None])).unwrap();
        assert_eq!(reasons(&decoded), [], "{schema}");
        let array = &decoded.spans[0].1.array;
        assert_eq!(arrow::util::display::array_value_to_string(array, 0).unwrap(), want, "{schema}");
        assert!(array.is_null(1), "{schema}");
    }
}

#[test]
fn values_outside_their_type_are_rejects() {
    let table: [(&str, &[u8], &str); 8] = [
        ("\"boolean\"", &[2], "boolean \"2\" is neither 0 nor 1"),
        ("\"int\"", &[0x80, 0x80, 0x80, 0x80, 0x10], "integer \"2147483648\" is out of the type's range"),
        (r#"["null","int"]"#, &[4], "union branch \"2\" is not one of 0 to 1"),
        (r#"["int","string"]"#, &[1], "union branch \"-1\" is not one of 0 to 1"),
        (r#"{"type":"enum","name":"E","symbols":["A"]}"#, &[2], "enum symbol \"1\" is not one of 0 to 0"),
        ("\"string\"", &[1], "length \"-1\" is negative"),
        (r#"{"type":"fixed","name":"F","size":2,"logicalType":"decimal","precision":2}"#, &[1, 0], "a decimal has more than 2 digits"),
        (r#"{"type":"array","items":{"type":"record","name":"E","fields":[]}}"#, &[0xfe, 0xff, 0xff, 0xff, 0x7f], "the payload ends inside a value"),
    ];
    for (schema, body, want) in table {
        let decoded = converter(&[(1, Ok(schema))]).decode("t", &payloads(&[Some(framed(1, body))])).unwrap();
        assert_eq!(reasons(&decoded), [(0, format!("schema id \"1\": {want}").as_str())], "{schema}");
    }
}

#[test]
fn settings_are_taken_or_refused_by_name() {
    let of = |key: &str, value: &str| build(&Options::from([(key.to_owned(), value.to_owned())]), false, Want::Any).map(|_| ()).map_err(|e| e.to_string());
    assert_eq!(of("schema.registry.url", "http://r:8081"), Ok(()));
    assert_eq!(of("enhanced.avro.schema.support", "true"), Ok(()));
    assert_eq!(of("connect.meta.data", "yes"), Err("connect.meta.data: \"yes\" is not a boolean; values taken: true, false".to_owned()));
    assert!(of("generalized.sum.type.support", "true").is_err_and(|error| error.starts_with("generalized.sum.type.support: true is not supported yet")));
}

proptest! {
    /// Whatever the bytes are, each row is decoded or rejected, and good rows are not touched.
    #[test]
    fn any_bytes_are_rows_or_rejects(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..24), 1..20)) {
        let all = r#"{"type":"record","name":"A","fields":[
            {"name":"u","type":["null","int",{"type":"record","name":"B","fields":[{"name":"s","type":["null","string"]},{"name":"e","type":{"type":"enum","name":"E","symbols":["X","Y"]}}]}]},
            {"name":"l","type":{"type":"array","items":["null",{"type":"map","values":"B"}]}},
            {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":50,"scale":1}}]}"#;
        let good = framed(1, &[2, 14, 0, 2, 10]);
        let mut rows = vec![Some(good.clone())];
        for body in &bodies {
            rows.push(Some(framed(1, body)));
            rows.push(Some(good.clone()));
        }
        let decoded = converter(&[(1, Ok(all))]).decode("t", &payloads(&rows)).unwrap();
        let column = &decoded.spans[0].1;
        prop_assert_eq!(column.len(), rows.len());
        for row in (0..rows.len()).step_by(2) {
            prop_assert_eq!(arrow::util::display::array_value_to_string(&column.array, row).unwrap(), "{u: {int: 7, B: }, l: [], d: 1.0}");
        }
        for reject in &decoded.rejects {
            prop_assert!(reject.row % 2 == 1 && column.array.is_null(reject.row));
        }
    }
}
