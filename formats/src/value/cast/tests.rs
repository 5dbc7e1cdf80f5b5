//! `Cast`'s table, as tests: value | type → value.

use arrow::array::{
    BinaryArray, Date32Array, Decimal128Array, Decimal256Array, Float32Array, Float64Array, Int8Array, Int32Array, Int64Array, ListArray, NullArray,
    Time32MillisecondArray, TimestampMillisecondArray,
};
use arrow::util::display::array_value_to_string;
use proptest::prelude::*;

use super::*;
use crate::schema::{NAME, TIMESTAMP, from_connect_json};

const ALL: [Target; 8] = [Target::Int8, Target::Int16, Target::Int32, Target::Int64, Target::Float32, Target::Float64, Target::Boolean, Target::String];

fn run(array: &ArrayRef, to: Target) -> Made {
    let field = Field::new("v", array.data_type().clone(), true);
    let made = cast(array, &field, to);
    assert_eq!((made.array.data_type(), made.array.len()), (&to.data_type(), array.len()));
    made
}

/// The first value as Arrow prints it, or why there is none.
fn one(array: ArrayRef, to: Target) -> String {
    let Made { array, rejects } = run(&array, to);
    match rejects.first() {
        Some(reject) => {
            assert!(array.is_null(0) && reject.row == 0);
            reject.reason.clone()
        }
        None => array_value_to_string(&array, 0).expect("a value"),
    }
}

fn doubles(value: f64) -> ArrayRef {
    Arc::new(Float64Array::from(vec![value]))
}

fn longs(value: i64) -> ArrayRef {
    Arc::new(Int64Array::from(vec![value]))
}

fn text(value: &str) -> ArrayRef {
    Arc::new(StringArray::from(vec![value]))
}

fn decimals(value: i128, scale: i8) -> ArrayRef {
    Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(38, scale).expect("38 digits"))
}

#[test]
fn numbers_narrow_as_in_java() {
    for (array, to, expected) in [
        (longs(300), Target::Int8, "44"),
        (longs(-129), Target::Int8, "127"),
        (longs(1 << 32), Target::Int32, "0"),
        (longs(70_000), Target::Int16, "4464"),
        (longs(i64::MAX), Target::Float32, "9.223372e18"),
        (longs(1 << 32), Target::Boolean, "true"),
        (doubles(3.99), Target::Int32, "3"),
        (doubles(-3.99), Target::Int64, "-3"),
        (doubles(1e20), Target::Int32, "2147483647"),
        (doubles(1e20), Target::Int8, "-1"),
        (doubles(-1e20), Target::Int16, "0"),
        (doubles(1e20), Target::Int64, "9223372036854775807"),
        (doubles(f64::NAN), Target::Int32, "0"),
        (doubles(0.5), Target::Boolean, "false"),
        (doubles(f64::NAN), Target::Boolean, "false"),
        (doubles(1e300), Target::Float32, "inf"),
        (Arc::new(Float32Array::from(vec![300.7])), Target::Int8, "44"),
        (Arc::new(BooleanArray::from(vec![true])), Target::Float64, "1.0"),
        (Arc::new(BooleanArray::from(vec![false])), Target::Int8, "0"),
        (decimals(2_147_483_648, 0), Target::Int32, "-2147483648"),
        (decimals(-1999, 2), Target::Int64, "-19"),
        (decimals(3, -2), Target::Int16, "300"),
        (decimals(1, -70), Target::Int64, "0"),
        (decimals(99, 38), Target::Int64, "0"),
        (decimals(15, 1), Target::Float64, "1.5"),
        (decimals(5, 1), Target::Boolean, "false"),
        (Arc::new(Decimal256Array::from(vec![i256::from_i128(-1999)]).with_precision_and_scale(76, 2).expect("76 digits")), Target::Int8, "-19"),
        (Arc::new(Date32Array::from(vec![1])), Target::Int32, "1"),
        (Arc::new(Time32MillisecondArray::from(vec![1])), Target::Int64, "1"),
        (Arc::new(TimestampMillisecondArray::from(vec![i64::MAX])), Target::Float64, "9.223372036854776e18"),
    ] {
        let from = array.data_type().clone();
        assert_eq!(one(array, to), expected, "{from} to {to:?}");
    }
}

#[test]
fn texts_are_read_or_refused() {
    for (given, to, expected) in [
        ("42", Target::Int8, "42"),
        ("128", Target::Int8, "Value (128) was out of range for requested data type"),
        ("4.2", Target::Int32, "Value (4.2) was out of range for requested data type"),
        (" 42", Target::Int64, "Value ( 42) was out of range for requested data type"),
        (" 4.5f ", Target::Float64, "4.5"),
        ("x", Target::Float32, "Value (x) was out of range for requested data type"),
        ("TRUE", Target::Boolean, "true"),
        ("1", Target::Boolean, "false"),
        ("é", Target::String, "é"),
    ] {
        assert_eq!(one(text(given), to), expected, "{given} to {to:?}");
    }
}

#[test]
fn values_are_printed_as_by_java() {
    for (array, expected) in [
        (doubles(1e10), "1.0E10"),
        (doubles(f64::NAN), "NaN"),
        (longs(-7), "-7"),
        (Arc::new(BooleanArray::from(vec![true])) as ArrayRef, "true"),
        (decimals(1982, 0), "1982"),
        (decimals(150, 2), "1.50"),
        (Arc::new(BinaryArray::from(vec![&b"\x01\x02"[..]])), "AQI="),
        (Arc::new(Date32Array::from(vec![1])), "1970-01-02"),
        (Arc::new(Date32Array::from(vec![0])), "00:00:00.000Z"),
        (Arc::new(Time32MillisecondArray::from(vec![3_600_000])), "01:00:00.000Z"),
        (Arc::new(TimestampMillisecondArray::from(vec![1_700_000_000_123])), "2023-11-14T22:13:20.123Z"),
    ] {
        let from = array.data_type().clone();
        assert_eq!(one(array, Target::String), expected, "{from}");
    }
}

#[test]
fn what_has_no_such_form_is_a_reject_and_its_neighbours_are_not() {
    let made = run(&(Arc::new(StringArray::from(vec![Some("1"), None, Some("x"), Some("2")])) as ArrayRef), Target::Int32);
    assert_eq!(made.array.as_primitive::<Int32Type>(), &Int32Array::from(vec![Some(1), None, None, Some(2)]));
    assert_eq!(made.rejects.iter().map(|reject| reject.row).collect::<Vec<_>>(), [2]);
    let bytes: ArrayRef = Arc::new(BinaryArray::from(vec![Some(&b"x"[..]), None]));
    let made = run(&bytes, Target::Int8);
    assert_eq!(made.rejects, [Reject { row: 0, reason: "Unexpected type in Cast transformation: class [B".to_owned() }]);
    let lists: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![None, Some(vec![Some(1)])]));
    let made = run(&lists, Target::String);
    assert!(
        made.rejects.len() == 1 && made.rejects[0].reason.starts_with("Cast transformation does not support casting from ARRAY; supported types are [INT8,")
    );
    assert_eq!(run(&(Arc::new(NullArray::new(2)) as ArrayRef), Target::Int8).array.null_count(), 2);
}

#[test]
fn a_schema_keeps_what_it_may() {
    let field = |schema: &str, to, keep| field(&from_connect_json("v", schema.as_bytes()).expect(schema), to, keep);
    let timestamp = format!(r#"{{"type":"int64","optional":true,"name":"{TIMESTAMP}","version":1,"default":7}}"#);
    let member = field(&timestamp, Target::Int32, Keep::Nothing).expect("a default that is cast");
    assert_eq!(member, Field::new("v", DataType::Int32, true).with_metadata([(DEFAULT, "7")]));
    let whole = field(&timestamp, Target::String, Keep::Metadata).expect("a default that is cast");
    assert_eq!(
        (whole.metadata().get(NAME).map(String::as_str), whole.metadata().get(DEFAULT).map(String::as_str)),
        (Some(TIMESTAMP), Some("\"00:00:00.007Z\""))
    );
    let float = field(r#"{"type":"float","default":-42.125}"#, Target::Int32, Keep::Metadata).expect("a default that is cast");
    assert_eq!((float.is_nullable(), float.metadata().get(DEFAULT).map(String::as_str)), (false, Some("-42")));
    let refused = field(r#"{"type":"string","default":"x"}"#, Target::Int8, Keep::Nothing).expect_err("no number");
    assert_eq!(refused, "Value (x) was out of range for requested data type");
}

proptest! {
    #[test]
    fn a_column_is_cast_as_its_rows_are(values in prop::collection::vec(prop::option::of(any::<i64>()), 0..20), texts in prop::collection::vec(prop::option::of("[0-9.eE+-]{0,4}"), 0..20)) {
        let columns: [ArrayRef; 3] = [
            Arc::new(Int64Array::from(values.clone())),
            Arc::new(values.iter().map(|value| value.map(|value| f64::from_bits(value.cast_unsigned()))).collect::<Float64Array>()),
            Arc::new(StringArray::from(texts)),
        ];
        for (column, to) in columns.iter().flat_map(|column| ALL.map(|to| (column, to))) {
            let whole = run(column, to);
            for row in 0..column.len() {
                let alone = run(&column.slice(row, 1), to);
                prop_assert_eq!(&alone.array, &whole.array.slice(row, 1));
                prop_assert_eq!(alone.rejects.len(), whole.rejects.iter().filter(|reject| reject.row == row).count());
            }
        }
    }

    #[test]
    fn an_integer_survives_every_wider_type(value: i8) {
        let array: ArrayRef = Arc::new(Int8Array::from(vec![value]));
        for to in [Target::Int16, Target::Int32, Target::Int64, Target::Float32, Target::Float64, Target::String] {
            let there = run(&array, to).array;
            let back = run(&there, Target::Int8);
            // A float's text is no text of a whole number, and no text here is.
            prop_assert_eq!(&back.array, &array);
        }
    }
}
