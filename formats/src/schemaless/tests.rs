//! What is read is written again; lanes, members and rows are where they are said to be.

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use serde_json::Value as Json;

use super::build::read_bounded;
use super::*;

fn read(rows: &[&str]) -> Dynamic {
    let read = read_json(&StringArray::from(rows.to_vec())).expect("rows");
    assert!(read.rejects.is_empty(), "{:?}", read.rejects);
    read.values
}

fn written(values: &Dynamic) -> Vec<Option<String>> {
    values.json().expect("texts").iter().map(|text| text.map(str::to_owned)).collect()
}

fn texts(values: &Dynamic) -> Vec<String> {
    written(values).into_iter().map(|text| text.unwrap_or_else(|| "-".to_owned())).collect()
}

#[test]
fn json_is_written_as_it_was_read() {
    for (row, expected) in [
        (r#"{"a":1,"b":[1,"x",null,{"c":[]}],"d":{},"e":null}"#, None),
        ("7", None),
        ("\"a \\\"b\\\" \u{e9}\"", None),
        ("true", None),
        ("[]", None),
        ("[[1],[],[[2,3]]]", None),
        (" { \"a\" : 1e3 } ", Some(r#"{"a":1000.0}"#)),
        (r#"{"\u0061":"\u0041\n"}"#, Some(r#"{"a":"A\n"}"#)),
        (r#"{"a":1,"b":2,"a":{"x":[1]},"a":3}"#, Some(r#"{"a":3,"b":2}"#)),
        ("1e400", Some("\"Infinity\"")),
        ("null", Some("-")),
        // As `BigInteger.longValue`.
        ("9223372036854775808", Some("-9223372036854775808")),
        ("-9223372036854775809", Some("9223372036854775807")),
        ("18446744073709551616", Some("0")),
    ] {
        assert_eq!(texts(&read(&[row])), [expected.unwrap_or(row)], "{row}");
    }
}

#[test]
fn kinds_and_lanes_are_of_each_row() {
    let values = read(&["7", "\"x\"", r#"{"a":1}"#, "null", "[1,2]", r#"{"a":null}"#, "{}", "8"]);
    use Kind::{Absent, Int64, List, Map, Null, String};
    let kinds = |values: &Dynamic| (0..values.len()).map(|row| values.kind(row)).collect::<Vec<_>>();
    assert_eq!(kinds(&values), [Int64, String, Map, Null, List, Map, Map, Int64]);
    let longs = Int64Array::from(vec![Some(7), None, None, None, None, None, None, Some(8)]);
    assert_eq!(values.lane(Int64).map(|lane| lane.as_primitive::<Int64Type>()), Some(&longs));
    let member = values.member("a").expect("a member");
    assert_eq!(kinds(&member), [Absent, Absent, Int64, Absent, Absent, Null, Absent, Absent]);
    assert_eq!((values.member("b").is_none(), values.lane(Kind::Float64).is_none(), member.list().is_none()), (true, true, true));
    let (offsets, items) = values.list().expect("lists");
    assert_eq!((offsets.as_ref(), texts(&items)), (&[0, 0, 0, 0, 0, 2, 2, 2, 2][..], vec!["1".to_owned(), "2".to_owned()]));
    assert_eq!(texts(&member.or_null()), ["-", "-", "1", "-", "-", "-", "-", "-"]);
}

#[test]
fn rows_that_are_no_json_leave_nothing_behind() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let rows = [r#"{"a":[1,2]}"#, r#"{"a":[3,{"b":1}"#, r#"{"a":[4]}"#, &deep(101), &format!("{{\"a\":{}}}", deep(100)), &deep(100), r#"{"a":[{"b":5}]}"#];
    let read = read_json(&StringArray::from(rows.to_vec())).expect("rows");
    assert_eq!(texts(&read.values), [rows[0], "-", rows[2], "-", "-", rows[5], rows[6]]);
    assert_eq!(read.rejects.iter().map(|reject| reject.row).collect::<Vec<_>>(), [1, 3, 4]);
    assert!(read.rejects[0].reason.contains("malformed json") && read.rejects[1].reason == "the value nests deeper than the 100 levels that columns have");
}

#[test]
fn a_batch_of_many_keys_is_read_in_parts() {
    let rows: Vec<String> = (0..100).map(|row| format!("{{\"k{row}\":[{{\"x\":1,\"y\":2}}]}}")).collect();
    let rows = StringArray::from(rows);
    let (mut from, mut parts) = (0, 0);
    while from < rows.len() {
        let read = read_bounded(&rows.slice(from, rows.len() - from), 1000).expect("rows");
        assert!(!read.values.is_empty() && read.values.len() < 40, "{}", read.values.len());
        assert_eq!(read.values.json().expect("texts"), rows.slice(from, read.values.len()));
        from += read.values.len();
        parts += 1;
    }
    assert!(parts > 3);
}

#[test]
fn values_of_every_class_are_written_as_jackson_writes_them() {
    let mut builder = Builder::new();
    builder.open_map();
    for (name, value) in [
        ("boolean", Value::Boolean(false)),
        ("int8", Value::Int8(-1)),
        ("int16", Value::Int16(2)),
        ("int32", Value::Int32(3)),
        ("int64", Value::Int64(4)),
        ("float32", Value::Float32(0.5)),
        ("float64", Value::Float64(f64::NAN)),
        ("string", Value::String("é")),
        ("bytes", Value::Bytes(b"raw")),
        ("date", Value::Date(-5)),
        ("decimal", Value::Decimal("1.20")),
        ("integer", Value::BigInteger("99999999999999999999")),
        ("null", Value::Null),
    ] {
        builder.key(name);
        builder.value(value);
    }
    builder.close();
    let values = builder.finish().expect("a row");
    let expected = r#"{"boolean":false,"int8":-1,"int16":2,"int32":3,"int64":4,"float32":0.5,"float64":"NaN","string":"é","bytes":"cmF3","date":-5,"decimal":1.20,"integer":99999999999999999999,"null":null}"#;
    assert_eq!(texts(&values), [expected]);
    for (name, member) in values.members() {
        let kind = member.kind(0);
        assert_eq!(kind.data_type().as_ref(), member.lane(kind).map(|lane| lane.data_type()), "{name}");
    }
}

#[test]
fn it_travels_as_a_column() {
    let values = read(&[r#"{"a":1}"#, "null"]);
    let column = values.clone().into_column("value");
    assert_eq!((Dynamic::of_column(&column), column.field.name().as_str(), column.len()), (Some(values.clone()), "value", 2));
    let json = values.into_json_column("value").expect("texts");
    assert!(Dynamic::of_column(&json).is_none() && crate::schema::is_json_text(&json.field));
}

#[test]
fn members_are_replaced_and_rows_left_out() {
    let values = read(&[r#"{"a":1,"b":"x"}"#, "null", r#"{"b":"y"}"#, "5"]);
    let renamed: Vec<_> = values.members().map(|(name, member)| (Arc::from(format!("{name}{name}")), member)).collect();
    assert_eq!(texts(&values.with_members(renamed).expect("members")), [r#"{"aa":1,"bb":"x"}"#, "-", r#"{"bb":"y"}"#, "5"]);
    assert_eq!(texts(&values.filter(&vec![true, false, true, true].into()).expect("rows")), [r#"{"a":1,"b":"x"}"#, r#"{"b":"y"}"#, "5"]);
    assert_eq!(texts(&values.slice(2, 2)), [r#"{"b":"y"}"#, "5"]);
    let only = values.only(&vec![true, true, false, false].into()).expect("rows");
    assert_eq!((texts(&only), only.kind(2), only.kind(3)), (["{\"a\":1,\"b\":\"x\"}", "-", "-", "-"].map(str::to_owned).to_vec(), Kind::Absent, Kind::Absent));
    assert_eq!((0..4).map(|row| only.member("b").map(|b| b.kind(row))).collect::<Vec<_>>()[2], Some(Kind::Absent));
    let hoisted = Dynamic::map(vec![(Arc::from("v"), values.clone())], 4).expect("maps");
    assert_eq!(texts(&hoisted), [r#"{"v":{"a":1,"b":"x"}}"#, r#"{"v":null}"#, r#"{"v":{"b":"y"}}"#, r#"{"v":5}"#]);
}

#[test]
fn a_put_replaces_what_is_there() {
    let (under, over) = (read(&["1", "2", "3"]), read(&[r#"{"a":"x"}"#, r#"{"b":1}"#, r#"{"a":null}"#]).member("a").expect("a member"));
    assert_eq!(texts(&under.overlaid(&over).expect("rows")), ["\"x\"", "2", "-"]);
}

/// JSON of few keys, so that rows meet in the same places with other kinds.
fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (-1e12..1e12_f64).prop_map(Json::from),
        "[a-c\"\\\\é\n]{0,4}".prop_map(Json::from)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let pairs = prop::collection::vec(("[abc]", inner.clone()), 0..4);
        prop_oneof![prop::collection::vec(inner, 0..4).prop_map(Json::from), pairs.prop_map(|pairs| Json::Object(pairs.into_iter().collect()))]
    })
}

fn parsed(text: Option<&str>) -> Json {
    text.map_or(Json::Null, |text| serde_json::from_str(text).expect("json"))
}

fn of(rows: &[Json]) -> Dynamic {
    let rows: Vec<String> = rows.iter().map(ToString::to_string).collect();
    read(&rows.iter().map(String::as_str).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn reading_and_writing_loses_nothing(rows in prop::collection::vec(json(), 0..12)) {
        let texts = of(&rows).json().expect("texts");
        prop_assert_eq!(texts.iter().map(parsed).collect::<Vec<_>>(), rows);
    }

    #[test]
    fn rows_of_two_columns_stay_what_they_were(rows in prop::collection::vec((json(), json(), any::<bool>()), 1..10)) {
        let (a, b): (Vec<Json>, Vec<Json>) = rows.iter().map(|(a, b, _)| (a.clone(), b.clone())).unzip();
        let picks: Vec<(usize, usize)> = rows.iter().enumerate().map(|(row, (_, _, second))| (usize::from(*second), row)).collect();
        let expected: Vec<Json> = rows.into_iter().map(|(a, b, second)| if second { b } else { a }).collect();
        let mixed = Dynamic::interleave(&[of(&a), of(&b)], &picks).expect("rows");
        prop_assert_eq!(mixed.json().expect("texts").iter().map(parsed).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[\\[\\]{}:,\"a1e.\\-nul \\\\]{0,24}") {
        let read = read_json(&StringArray::from(vec!["[1]", &text, "{\"a\":2}"])).expect("rows");
        prop_assert_eq!(read.rejects.is_empty(), crate::wire::json::read(text.as_bytes(), &mut Builder::new()).is_ok());
        prop_assert_eq!(texts(&read.values.slice(2, 1)), ["{\"a\":2}"]);
    }
}
