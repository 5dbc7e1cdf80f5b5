//! What the converter writes, as Kafka's does.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, Float64Array, Int32Array, Int64Array, NullArray, StringArray, StructArray};
use arrow::datatypes::{Field, Fields};
use proptest::prelude::*;

use super::*;
use crate::schema::json_text;
use crate::wire::{self, Want};

fn options(pairs: &[(&str, &str)]) -> Options {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn column(array: ArrayRef, is_optional: bool) -> Column {
    Column::new(Arc::new(Field::new("value", array.data_type().clone(), is_optional)), array)
}

fn written(settings: &[(&str, &str)], column: &Column) -> (Vec<Option<String>>, usize) {
    let Payloads { payloads, rejects } = Json::new(&options(settings)).expect("settings").write(column);
    (payloads.iter().map(|bytes| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())).collect(), rejects.len())
}

fn struct_column() -> Column {
    let fields = Fields::from(vec![Field::new("id", DataType::Int32, false), Field::new("x", DataType::Float64, true)]);
    let array = StructArray::new(fields, vec![Arc::new(Int32Array::from(vec![1])), Arc::new(Float64Array::from(vec![None]))], None);
    column(Arc::new(array), false)
}

#[test]
fn values_are_written_with_and_without_their_schema() {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("a\"é\n"), None]));
    let json: ArrayRef = Arc::new(StringArray::from(vec![Some("{\"a\":1.0}"), None]));
    let schemaless = Column::new(json_text("value"), json);
    let some = |texts: &[Option<&str>]| texts.iter().map(|text| text.map(str::to_owned)).collect::<Vec<_>>();
    for (enable, column, expected, rejects) in [
        (
            "true",
            column(Arc::clone(&texts), true),
            some(&[
                Some(r#"{"schema":{"type":"string","optional":true},"payload":"a\"é\n"}"#),
                Some(r#"{"schema":{"type":"string","optional":true},"payload":null}"#),
            ]),
            0,
        ),
        ("false", column(Arc::clone(&texts), true), some(&[Some(r#""a\"é\n""#), Some("null")]), 0),
        ("false", column(texts, false), some(&[Some(r#""a\"é\n""#), None]), 1),
        ("true", schemaless.clone(), some(&[Some(r#"{"schema":null,"payload":{"a":1.0}}"#), None]), 0),
        ("false", schemaless, some(&[Some(r#"{"a":1.0}"#), None]), 0),
        ("true", column(Arc::new(NullArray::new(1)), true), some(&[None]), 0),
        ("false", column(Arc::new(Int64Array::from(vec![i64::MIN])), false), some(&[Some("-9223372036854775808")]), 0),
        ("false", column(Arc::new(BinaryArray::from(vec![&b"\xff\x00"[..]])), false), some(&[Some("\"/wA=\"")]), 0),
        ("false", struct_column(), some(&[Some(r#"{"id":1,"x":null}"#)]), 0),
        (
            "true",
            struct_column(),
            some(&[Some(
                r#"{"schema":{"type":"struct","fields":[{"type":"int32","optional":false,"field":"id"},{"type":"double","optional":true,"field":"x"}],"optional":false},"payload":{"id":1,"x":null}}"#,
            )]),
            0,
        ),
    ] {
        assert_eq!(written(&[("schemas.enable", enable)], &column), (expected, rejects), "{enable} {:?}", column.field);
    }
}

#[test]
fn settings_that_do_not_act_are_refused_by_name() {
    for (key, value, message) in [
        ("schemas.enable", "yes", "schemas.enable: \"yes\" is not a boolean; values taken: true, false"),
        ("decimal.format", "TEXT", "decimal.format: \"TEXT\" is unknown; values taken: BASE64, NUMERIC"),
    ] {
        assert_eq!(Json::new(&options(&[(key, value)])).expect_err(key).to_string(), message);
    }
    assert!(Json::new(&options(&[("replace.null.with.default", "x")])).is_err());
}

#[test]
fn nulls_are_written_as_their_defaults_or_as_they_are() {
    let field = Field::new("value", DataType::Int32, true).with_metadata([(DEFAULT.to_owned(), "7".to_owned())]);
    let whole = Column::new(Arc::new(field.clone()), Arc::new(Int32Array::from(vec![None])));
    let fields = Fields::from(vec![field.with_name("a")]);
    let inside = column(Arc::new(StructArray::new(fields, vec![Arc::clone(&whole.array)], None)), false);
    for (replaces, of_whole, of_inside) in [("true", "7", r#"{"a":7}"#), ("false", "null", r#"{"a":null}"#)] {
        let settings = [("schemas.enable", "false"), ("replace.null.with.default", replaces), ("schema.content", "{}")];
        assert_eq!(written(&settings, &whole), (vec![Some(of_whole.to_owned())], 0));
        assert_eq!(written(&settings, &inside), (vec![Some(of_inside.to_owned())], 0));
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(numbers in prop::collection::vec(prop::option::of(any::<i64>()), 1..5), texts in prop::collection::vec(".*", 5)) {
        let rows = numbers.len();
        let fields = Fields::from(vec![Field::new("n", DataType::Int64, true), Field::new("t", DataType::Utf8, false)]);
        let arrays: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(numbers)), Arc::new(StringArray::from(texts).slice(0, rows))];
        let column = column(Arc::new(StructArray::new(fields, arrays, None)), true);
        let written = Json::new(&Options::new()).expect("no settings").write(&column);
        prop_assert!(written.rejects.is_empty());
        let mut reader = (wire::find("json").expect("the reader").build)(&Options::new(), false, Want::Any).expect("no settings");
        let decoded = reader.decode("t", &written.payloads).expect("payloads");
        prop_assert!(decoded.rejects.is_empty() && decoded.spans.len() == 1);
        prop_assert_eq!(decoded.spans[0].1.array.as_ref(), column.array.as_ref());
    }
}
