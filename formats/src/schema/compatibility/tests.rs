//! The rules as tables, and the law that projecting does not depend on how rows were batched.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray, new_empty_array, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Float64Type, Int32Type, Int64Type};
use proptest::prelude::*;

use super::Incompatible as I;
use super::*;
use crate::schema::from_connect_json;

fn schema(text: &str) -> Field {
    from_connect_json("value", text.as_bytes()).expect(text)
}

/// An int32 called `a` of that version, with more members.
fn a(version: i32, more: &str) -> Field {
    schema(&format!(r#"{{"type":"int32","name":"a","version":{version}{more}}}"#))
}

/// A struct called `b` with five fields and more.
fn b(version: i32, more: &str, fields: &str) -> Field {
    schema(&format!(
        r#"{{"type":"struct","name":"b","version":{version}{more},"fields":[
            {{"field":"b","type":"boolean"}},{{"field":"i","type":"int32"}},{{"field":"d","type":"double"}},
            {{"field":"s","type":"string","optional":true}},
            {{"field":"x","type":"struct","fields":[{{"field":"inner1","type":"boolean"}}]}}{fields}]}}"#
    ))
}

/// The members of an enum's schema, as one of the converters writes it.
fn symbols(marker: &str, symbols: &[&str]) -> String {
    let symbols: String = symbols.iter().map(|symbol| format!(r#","{marker}.{symbol}":"{symbol}""#)).collect();
    format!(r#""type":"string","name":"color","version":1,"parameters":{{"{marker}":"color"{symbols}}}"#)
}

/// A struct with one field.
fn with(field: &str) -> Field {
    schema(&format!(r#"{{"type":"struct","name":"s","version":1,"fields":[{{"field":"f",{field}}}]}}"#))
}

const MODES: [Compatibility; 3] = [Compatibility::Backward, Compatibility::Forward, Compatibility::Full];

#[test]
fn only_the_four_words_are_modes() {
    for (text, expected) in
        [("NONE", Compatibility::None), ("BACKWARD", Compatibility::Backward), ("FORWARD", Compatibility::Forward), ("FULL", Compatibility::Full)]
    {
        assert_eq!(Compatibility::parse(text), (expected, None));
    }
    for text in ["backward", "Full", "", " FULL", "TRANSITIVE"] {
        let (mode, warning) = Compatibility::parse(text);
        assert_eq!(mode, Compatibility::None, "{text:?}");
        assert!(warning.expect("a warning").contains(&format!("{text:?}")), "{text:?}");
    }
}

#[test]
fn versions_order_the_schemas() {
    use Compatibility::{Backward, Forward, Full, None};
    use Verdict::{Project, Rotate, Same};
    for (mode, same, record_older, record_newer) in
        [(None, Same, Rotate, Rotate), (Backward, Same, Project, Rotate), (Full, Same, Project, Rotate), (Forward, Same, Rotate, Project)]
    {
        for of in [|version| a(version, ""), |version| b(version, "", "")] {
            assert_eq!(verdict(mode, &of(2), &of(2)), Ok(same), "{mode}");
            assert_eq!(verdict(mode, &of(1), &of(2)), Ok(record_older), "{mode}");
            assert_eq!(verdict(mode, &of(2), &of(1)), Ok(record_newer), "{mode}");
        }
    }
}

#[test]
fn none_takes_only_equal_schemas() {
    let renamed = schema(r#"{"type":"int32","name":"b","version":2}"#);
    let nameless = |more: &str| schema(&format!(r#"{{"type":"int32"{more}}}"#));
    for (record, file, expected) in [
        (a(2, ""), a(2, ""), Verdict::Same),
        (nameless(""), nameless(""), Verdict::Same),
        (a(2, ""), renamed, Verdict::Rotate),
        (a(2, ""), a(2, r#","doc":"d""#), Verdict::Rotate),
        (a(2, ""), a(2, r#","optional":true"#), Verdict::Rotate),
        (a(2, ""), a(2, r#","default":1"#), Verdict::Rotate),
        (a(2, ""), a(2, r#","parameters":{"x":"y"}"#), Verdict::Rotate),
        (nameless(""), nameless(r#","version":1"#), Verdict::Rotate),
        (b(2, "", ""), b(2, "", r#",{"field":"e","type":"string","optional":true}"#), Verdict::Rotate),
    ] {
        assert_eq!(verdict(Compatibility::None, &record, &file), Ok(expected), "{record} into {file}");
    }
}

#[test]
fn the_structure_decides_alike_in_the_three_modes() {
    let avro = |list: &[&str]| symbols("io.confluent.connect.avro.Enum", list);
    let protobuf = |list: &[&str]| symbols("io.confluent.connect.protobuf.Enum", list);
    let general = |list: &[&str]| symbols("org.apache.kafka.connect.data.Enum", list);
    let (two, three): (&[&str], &[&str]) = (&["RED", "GREEN"], &["RED", "GREEN", "BLUE"]);
    let nested = |inner: &str| format!(r#""type":"struct","name":"in","fields":[{{"field":"e",{inner}}}]"#);
    let array = |inner: &str| format!(r#""type":"array","items":{{{}}}"#, nested(inner));
    let map = |inner: &str| format!(r#""type":"map","keys":{{"type":"string"}},"values":{{{}}}"#, nested(inner));
    let field = |field: &str| b(2, "", &format!(r#",{{"field":"extra",{field}}}"#));
    let decimal = |scale: u8| format!(r#""type":"bytes","name":"{DECIMAL}","parameters":{{"scale":"{scale}"}}"#);
    let int = r#""type":"int32""#;
    for (record, file, expected) in [
        (a(2, ""), schema(r#"{"type":"int32","name":"b","version":2}"#), Err(I::Name)),
        (a(2, ""), schema(r#"{"type":"string","name":"a","version":2}"#), Err(I::Type)),
        (b(2, "", ""), schema(r#"{"type":"string","name":"b","version":2}"#), Err(I::Type)),
        (a(2, ""), a(2, r#","parameters":{"x":"y"}"#), Err(I::Parameters)),
        (a(2, ""), a(2, r#","parameters":{"connect.record.doc":"d","connect.record.aliases":"l","connect.record.namespace":"n"}"#), Ok(())),
        (a(2, ""), a(2, r#","doc":"d""#), Ok(())),
        (b(2, "", ""), b(2, r#","doc":"d""#, ""), Ok(())),
        // Optionality: one way only, unless the file has a default.
        (a(2, ""), a(2, r#","optional":true"#), Ok(())),
        (b(2, "", ""), b(2, r#","optional":true"#, ""), Ok(())),
        (a(2, r#","optional":true"#), a(2, ""), Err(I::Optionality)),
        (b(2, r#","optional":true"#, ""), b(2, "", ""), Err(I::Optionality)),
        (a(2, r#","optional":true"#), a(2, r#","default":0"#), Ok(())),
        (with(r#""type":"array","items":{"type":"int32","optional":true}"#), with(r#""type":"array","items":{"type":"int32"}"#), Err(I::Optionality)),
        // Fields.
        (b(2, "", ""), field(r#""type":"string","optional":true"#), Ok(())),
        (b(2, "", ""), field(r#""type":"string","default":"fallback""#), Ok(())),
        (b(2, "", ""), field(r#""type":"string""#), Err(I::MissingField)),
        (b(2, "", ""), field(r#""type":"int32","default":"no number""#), Err(I::MissingField)),
        (field(r#""type":"string","optional":true"#), b(2, "", ""), Ok(())),
        (field(r#""type":"string""#), b(2, "", ""), Ok(())),
        // Enums: the file knows what the record can say.
        (with(&avro(three)), with(&avro(two)), Err(I::Parameters)),
        (with(&avro(two)), with(&avro(three)), Ok(())),
        (with(&protobuf(three)), with(&protobuf(two)), Err(I::Parameters)),
        (with(&protobuf(two)), with(&protobuf(three)), Ok(())),
        (with(&general(three)), with(&general(two)), Err(I::Parameters)),
        (with(&general(two)), with(&general(three)), Ok(())),
        (with(&nested(&avro(three))), with(&nested(&avro(two))), Err(I::Parameters)),
        (with(&array(&avro(three))), with(&array(&avro(two))), Err(I::Parameters)),
        (with(&map(&avro(three))), with(&map(&avro(two))), Err(I::Parameters)),
        (with(&map(&avro(two))), with(&map(&avro(three))), Ok(())),
        // Types, at any depth.
        (with(int), with(r#""type":"int64""#), Ok(())),
        (with(r#""type":"int64""#), with(r#""type":"float""#), Ok(())),
        (with(r#""type":"int8""#), with(r#""type":"double""#), Ok(())),
        (with(r#""type":"int64""#), with(int), Err(I::Type)),
        (with(r#""type":"double""#), with(r#""type":"float""#), Err(I::Type)),
        (with(r#""type":"string""#), with(int), Err(I::Type)),
        (with(int), with(r#""type":"string""#), Err(I::Type)),
        (with(r#""type":"boolean""#), with(r#""type":"int8""#), Err(I::Type)),
        (with(&map(int)), with(&map(r#""type":"int64""#)), Ok(())),
        (with(&array(r#""type":"int64""#)), with(&array(int)), Err(I::Type)),
        // Logical types.
        (with(&format!(r#""type":"int32","name":"{DATE}""#)), with(r#""type":"int64""#), Err(I::Name)),
        (with(int), with(&format!(r#""type":"int64","name":"{TIMESTAMP}""#)), Err(I::Name)),
        (with(&decimal(2)), with(&decimal(3)), Err(I::Parameters)),
        (with(r#""type":"string","parameters":{"io.confluent.connect.avro.field.doc.name":"d"}"#), with(r#""type":"string""#), Ok(())),
    ] {
        assert_eq!(projects(&record, &file), expected, "{record} into {file}");
        for mode in MODES {
            let verdict = verdict(mode, &record, &file).expect("versions");
            assert_eq!(verdict == Verdict::Rotate, expected.is_err(), "{mode}: {record} into {file}");
            assert!(expected.is_err() || project(&new_empty_array(record.data_type()), &record, &file).is_ok(), "{record} into {file}");
        }
    }
}

#[test]
fn schemas_that_differ_need_versions() {
    let (none, one) = (schema(r#"{"type":"int32"}"#), schema(r#"{"type":"int32","version":1}"#));
    for mode in MODES {
        assert_eq!(verdict(mode, &none, &none), Ok(Verdict::Same));
        let error = verdict(mode, &none, &one).expect_err("no version").to_string();
        assert!(error.contains("the record's schema has no version") && error.contains(&format!("schema.compatibility={mode}")), "{error}");
        assert!(verdict(mode, &one, &none).expect_err("no version").to_string().contains("the file's schema"));
        // Text without a schema ends a file of values, and the other way round, without any version.
        let text = crate::schema::json_text("value");
        assert_eq!((verdict(mode, &text, &one), verdict(mode, &one, &text)), (Ok(Verdict::Rotate), Ok(Verdict::Rotate)));
    }
}

fn fields(field: &Field) -> Fields {
    let DataType::Struct(fields) = field.data_type() else { panic!("{field} is no struct") };
    fields.clone()
}

#[test]
fn records_take_the_shape_of_the_file() {
    let from = schema(
        r#"{"type":"struct","fields":[{"field":"gone","type":"string"},{"field":"n","type":"int32","optional":true},
            {"field":"in","type":"struct","optional":true,"fields":[{"field":"x","type":"int32"}]}]}"#,
    );
    let to = schema(
        r#"{"type":"struct","fields":[
            {"field":"in","type":"struct","optional":true,"fields":[{"field":"x","type":"double"},{"field":"y","type":"string","default":"why"}]},
            {"field":"n","type":"int64","default":-1},{"field":"late","type":"string","optional":true},
            {"field":"tags","type":"array","items":{"type":"string"},"default":["a","b"]}]}"#,
    );
    let members = fields(&from);
    let inside = StructArray::new(fields(&members[2]), vec![Arc::new(Int32Array::from(vec![7, 0, 9]))], Some(NullBuffer::from(vec![true, false, true])));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(vec!["a", "b", "c"])), Arc::new(Int32Array::from(vec![Some(1), None, Some(3)])), Arc::new(inside)];
    let rows: ArrayRef = Arc::new(StructArray::new(members, columns, Some(NullBuffer::from(vec![true, true, false]))));

    let out = project(&rows, &from, &to).expect("a projection");
    assert_eq!(out.data_type(), to.data_type());
    assert_eq!(out.nulls(), rows.nulls(), "a tombstone stays one");
    let out = out.as_struct();
    let inside = out.column(0).as_struct();
    assert_eq!(inside.column(0).as_primitive::<Float64Type>().value(0), 7.0);
    assert_eq!(inside.column(1).as_string::<i32>().value(0), "why");
    assert!(inside.is_null(1));
    assert_eq!(out.column(1).as_primitive::<Int64Type>(), &Int64Array::from(vec![1, -1, 3]));
    assert_eq!(out.column(2).null_count(), 3);
    let tags = out.column(3).as_list::<i32>();
    assert_eq!(tags.value(1).as_string::<i32>(), &StringArray::from(vec!["a", "b"]));
}

#[test]
fn an_optional_item_takes_the_default_only_where_the_file_requires_one() {
    let of = |item: &str| schema(&format!(r#"{{"type":"array","items":{{{item}}}}}"#));
    let from = of(r#""type":"int32","optional":true"#);
    let DataType::List(item) = from.data_type() else { panic!("a list") };
    let items = Arc::new(Int32Array::from(vec![Some(1), None]));
    let list: ArrayRef = Arc::new(ListArray::new(Arc::clone(item), OffsetBuffer::from_lengths([2]), items, None));
    for (to, expected) in [(r#""type":"int64","default":5"#, vec![Some(1), Some(5)]), (r#""type":"int64","optional":true,"default":5"#, vec![Some(1), None])] {
        let out = project(&list, &from, &of(to)).expect("a projection");
        assert_eq!(out.as_list::<i32>().values().as_primitive::<Int64Type>(), &Int64Array::from(expected), "{to}");
    }
}

#[test]
fn every_type_has_its_default() {
    let decimal =
        |scale: u8, precision: u8| format!(r#""type":"bytes","name":"{DECIMAL}","parameters":{{"scale":"{scale}","connect.decimal.precision":"{precision}"}}"#);
    for (field, default, shown) in [
        (r#""type":"boolean""#.to_owned(), "true", Some("true")),
        (r#""type":"int8""#.to_owned(), "-128", Some("-128")),
        (r#""type":"int8""#.to_owned(), "128", None),
        (r#""type":"int16""#.to_owned(), "7", Some("7")),
        (r#""type":"int64""#.to_owned(), "9223372036854775807", Some("9223372036854775807")),
        (r#""type":"int64""#.to_owned(), "1.5", None),
        (r#""type":"float""#.to_owned(), "1.5", Some("1.5")),
        (r#""type":"double""#.to_owned(), "\"NaN\"", Some("NaN")),
        (r#""type":"string""#.to_owned(), "\"\"", Some("")),
        (r#""type":"bytes""#.to_owned(), "\"AQI=\"", Some("0102")),
        (r#""type":"bytes""#.to_owned(), "\"?\"", None),
        (decimal(2, 9), "\"/4U=\"", Some("-1.23")),
        (decimal(2, 9), "1.5", Some("1.50")),
        (decimal(2, 64), "\"AQAAAAAAAAAAAAAAAAAAAAA=\"", Some("3402823669209384634633746074317682114.56")),
        (format!(r#""type":"int32","name":"{DATE}""#), "1", Some("1970-01-02")),
        (format!(r#""type":"int32","name":"{TIME}""#), "1000", Some("00:00:01")),
        (format!(r#""type":"int64","name":"{TIMESTAMP}""#), "1000", Some("1970-01-01T00:00:01Z")),
        (r#""type":"array","items":{"type":"int32","optional":true}"#.to_owned(), "[1,null]", Some("[1, ]")),
        (r#""type":"array","items":{"type":"int32"}"#.to_owned(), "[1,null]", None),
        (r#""type":"array","items":{"type":"int32"}"#.to_owned(), "[]", Some("[]")),
        (r#""type":"map","keys":{"type":"string"},"values":{"type":"int32"}"#.to_owned(), r#"{"a":1}"#, Some("{a: 1}")),
        (r#""type":"map","keys":{"type":"int32"},"values":{"type":"int32"}"#.to_owned(), "[[1,2]]", Some("{1: 2}")),
        (
            r#""type":"struct","fields":[{"field":"x","type":"int32","default":3},{"field":"y","type":"string","optional":true}]"#.to_owned(),
            "{}",
            Some("{x: 3, y: }"),
        ),
    ] {
        let field = with(&format!(r#"{field},"default":{default}"#));
        let constant = constant::default_value(&fields(&field)[0]);
        let text = constant.map(|array| arrow::util::display::array_value_to_string(&array, 0).expect("printable"));
        assert_eq!(text.as_deref(), shown, "{field} {default}");
    }
}

#[test]
fn what_a_file_cannot_take_is_an_error_and_not_a_null() {
    let from = with(r#""type":"int64""#);
    for to in [with(r#""type":"int32""#), with(r#""type":"string""#), schema(r#"{"type":"struct","fields":[{"field":"new","type":"string"}]}"#)] {
        let rows = new_null_array(from.data_type(), 1);
        assert!(project(&rows, &from, &to).is_err(), "{to}");
    }
}

/// A struct of a number, a list of structs and a map; with `None`s where they may be.
type Row = (Option<i32>, Option<Vec<Option<i32>>>, Vec<(i32, i32)>);

const OLD: &str = r#"{"type":"struct","fields":[{"field":"n","type":"int32","optional":true},
    {"field":"l","type":"array","optional":true,"items":{"type":"struct","optional":true,"fields":[{"field":"x","type":"int32"}]}},
    {"field":"m","type":"map","keys":{"type":"int32"},"values":{"type":"int32"}}]}"#;
const NEW: &str = r#"{"type":"struct","fields":[{"field":"n","type":"int64","default":4},
    {"field":"l","type":"array","optional":true,"items":{"type":"struct","default":{"x":2.5,"y":"d"},"fields":[{"field":"x","type":"double"},
        {"field":"y","type":"string","default":"y"}]}},
    {"field":"m","type":"map","keys":{"type":"int64"},"values":{"type":"float"}},{"field":"late","type":"bytes","default":"AQ=="}]}"#;

fn rows(schema: &Field, rows: &[Row]) -> ArrayRef {
    let members = fields(schema);
    let DataType::List(item) = members[1].data_type() else { panic!("a list") };
    let DataType::Map(entries, _) = members[2].data_type() else { panic!("a map") };
    let items: Vec<Option<i32>> = rows.iter().flat_map(|row| row.1.iter().flatten().copied()).collect();
    let present: NullBuffer = items.iter().map(Option::is_some).collect::<Vec<_>>().into();
    let values = Int32Array::from_iter_values(items.iter().map(|item| item.unwrap_or_default()));
    let items = StructArray::new(fields(item), vec![Arc::new(values)], Some(present));
    let lists: NullBuffer = rows.iter().map(|row| row.1.is_some()).collect::<Vec<_>>().into();
    let lengths = OffsetBuffer::from_lengths(rows.iter().map(|row| row.1.as_ref().map_or(0, Vec::len)));
    let list = ListArray::new(Arc::clone(item), lengths, Arc::new(items), Some(lists));
    let pairs = || rows.iter().flat_map(|row| row.2.iter());
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from_iter_values(pairs().map(|p| p.0))), Arc::new(Int32Array::from_iter_values(pairs().map(|p| p.1)))];
    let entry = StructArray::new(fields(entries), columns, None);
    let map = MapArray::new(Arc::clone(entries), OffsetBuffer::from_lengths(rows.iter().map(|row| row.2.len())), entry, None, false);
    let numbers: Int32Array = rows.iter().map(|row| row.0).collect();
    Arc::new(StructArray::try_new_with_length(members, vec![Arc::new(numbers), Arc::new(list), Arc::new(map)], None, rows.len()).expect("columns"))
}

proptest! {
    /// Batches do not matter: a whole projected is its parts projected, and a slice projected is a slice of the whole.
    #[test]
    fn projection_distributes_over_concatenation(
        all in prop::collection::vec((any::<Option<i32>>(), any::<Option<Vec<Option<i32>>>>(), any::<Vec<(i32, i32)>>()), 0..12), at in 0..12_usize
    ) {
        let (from, to) = (schema(OLD), schema(NEW));
        let whole = rows(&from, &all);
        let at = at.min(all.len());
        let projected = project(&whole, &from, &to).expect("a projection");
        prop_assert_eq!(projected.data_type(), to.data_type());
        let parts = [whole.slice(0, at), whole.slice(at, all.len() - at)].map(|part| project(&part, &from, &to).expect("a projection"));
        prop_assert_eq!(&concat(&[parts[0].as_ref(), parts[1].as_ref()]).expect("one type"), &projected);
        prop_assert_eq!(&parts[1], &projected.slice(at, all.len() - at));
        let numbers = projected.as_struct().column(0).as_primitive::<Int64Type>().clone();
        let expected: Int64Array = all.iter().map(|row| Some(row.0.map_or(4, i64::from))).collect();
        prop_assert_eq!(numbers, expected);
        prop_assert_eq!(whole.as_struct().column(0).as_primitive::<Int32Type>().len(), all.len());
    }
}
