//! What is read is written again; lanes, members and rows are where they are said to be.

use arrow::array::{Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use serde_json::Value as Json;

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
fn rows_that_are_no_json_leave_no_columns_behind() {
    let deep = format!("{{\"b\":{}1{}}}", "[".repeat(110), "]".repeat(110));
    let read = read_json(&StringArray::from(vec![r#"{"a":1}"#, r#"{"b":[{"c":1}]"#, &deep, r#"[{"d":1}"#])).expect("rows");
    assert_eq!((read.values.members().map(|(name, _)| name.to_string()).collect::<Vec<_>>(), read.values.list().is_none()), (vec!["a".to_owned()], true));
    assert_eq!((read.rejects.len(), texts(&read.values)), (3, [r#"{"a":1}"#, "-", "-", "-"].map(str::to_owned).to_vec()));
}

#[test]
fn a_batch_of_many_keys_is_read_in_parts() {
    let rows: Vec<String> = (0..100).map(|row| format!("{{\"k{row}\":[{{\"x\":1,\"y\":2}}]}}")).collect();
    let rows = StringArray::from(rows);
    let (mut from, mut parts) = (0, 0);
    while from < rows.len() {
        let read = read_json_within(&rows.slice(from, rows.len() - from), 50_000).expect("rows");
        assert!(!read.values.is_empty() && read.values.len() < 40, "{}", read.values.len());
        assert_eq!(read.values.json().expect("texts"), rows.slice(from, read.values.len()));
        from += read.values.len();
        parts += 1;
    }
    assert!(parts > 3);
}

/// Places of a column, nested ones counted, times their rows.
fn cells(values: &Dynamic) -> usize {
    let items = values.list().map_or(0, |(_, items)| cells(&items));
    values.len() + items + values.members().map(|(_, member)| cells(&member)).sum::<usize>()
}

#[test]
fn a_part_holds_no_more_than_it_may() {
    let row = |row: usize| format!("{{{}}}", (0..100).map(|key| format!("\"k{}\":[{key}]", row * 100 + key)).collect::<Vec<_>>().join(","));
    let rows: Vec<String> = (0..500).map(row).collect();
    let rows = StringArray::from(rows);
    let (mut from, mut most, room) = (0, 0, 1 << 20);
    while from < rows.len() {
        let read = read_json_within(&rows.slice(from, rows.len() - from), room).expect("rows");
        most = most.max(cells(&read.values));
        from += read.values.len();
    }
    assert!(most * 10 < room * 11 / 10, "{most} cells of {} in all", 500 * 500 * 100);
}

#[test]
fn each_row_keeps_its_own_order() {
    let rows = [
        r#"{"a":1,"b":2,"c":3}"#,
        r#"{"c":1,"b":{"y":1,"x":2},"a":[{"p":1,"q":2},{"q":1,"p":2}]}"#,
        r#"{"b":{"x":1,"y":2}}"#,
        r#"{"d":0,"a":1}"#,
        r#"{"a":1,"d":0}"#,
        r#"{"d":null,"c":1,"a":1,"b":7}"#,
    ];
    let values = read(&rows);
    assert_eq!(texts(&values), rows);
    assert_eq!(texts(&values.slice(3, 3)), rows[3..]);
    // The last of one name counts, in the place of the first.
    assert_eq!(texts(&read(&[r#"{"a":1,"b":1}"#, r#"{"b":1,"a":{"x":1},"b":{"y":2,"x":1},"a":2}"#])), [r#"{"a":1,"b":1}"#, r#"{"b":{"y":2,"x":1},"a":2}"#]);
    // Rows that could not be read leave no order behind.
    let broken =
        read_json(&StringArray::from(vec![r#"[{"a":1,"b":2}]"#, r#"[{"b":1,"a":2},{"b":1,"a":2},"#, r#"[{"a":1,"b":2},{"a":3,"b":4}]"#])).expect("rows");
    assert_eq!((texts(&broken.values), broken.rejects.len()), ([r#"[{"a":1,"b":2}]"#, "-", r#"[{"a":1,"b":2},{"a":3,"b":4}]"#].map(str::to_owned).to_vec(), 1));
}

#[test]
fn a_key_that_is_put_keeps_its_place_and_a_new_one_comes_last() {
    let rows = [r#"{"a":1,"b":2}"#, r#"{"b":2,"c":3}"#, "null", "{}", r#"{"c":3,"a":1}"#, "[1]"];
    let column = |rows: &[&str]| read(rows).member("v").expect("a member");
    let b = column(&[r#"{"v":"B"}"#, r#"{"v":"B"}"#, r#"{"v":"B"}"#, r#"{"v":"B"}"#, r#"{"v":"B"}"#, r#"{"v":"B"}"#]);
    let a = column(&["{}", r#"{"v":"A"}"#, "{}", r#"{"v":"A"}"#, r#"{"v":null}"#, "{}"]);
    for (puts, expected) in [
        (vec![("b", &b)], [r#"{"a":1,"b":"B"}"#, r#"{"b":"B","c":3}"#, "-", r#"{"b":"B"}"#, r#"{"c":3,"a":1,"b":"B"}"#, "[1]"]),
        (
            vec![("z", &b), ("a", &a)],
            [r#"{"a":1,"b":2,"z":"B"}"#, r#"{"b":2,"c":3,"z":"B","a":"A"}"#, "-", r#"{"z":"B","a":"A"}"#, r#"{"c":3,"a":null,"z":"B"}"#, "[1]"],
        ),
        (
            vec![("b", &b), ("a", &a), ("y", &b)],
            [
                r#"{"a":1,"b":"B","y":"B"}"#,
                r#"{"b":"B","c":3,"a":"A","y":"B"}"#,
                "-",
                r#"{"b":"B","a":"A","y":"B"}"#,
                r#"{"c":3,"a":null,"b":"B","y":"B"}"#,
                "[1]",
            ],
        ),
    ] {
        let put = |values: &Dynamic, at: usize, length: usize| {
            let mut members = Members::of(values);
            puts.iter().for_each(|(name, value)| members.put(&Arc::from(*name), &value.slice(at, length)).expect("rows"));
            texts(&members.into_maps(values).expect("maps"))
        };
        assert_eq!(put(&read(&rows), 0, rows.len()), expected);
        (0..rows.len()).for_each(|row| assert_eq!(put(&read(&rows[row..=row]), row, 1), [expected[row]], "alone"));
    }
}

#[test]
fn of_members_that_get_one_name_the_last_of_each_row_counts() {
    let rows = [r#"{"a":1,"b":2,"c":3}"#, r#"{"b":2,"c":3,"a":1}"#, r#"{"c":3,"b":2}"#, r#"{"a":1}"#, "7"];
    let expected = [r#"{"x":2,"c":3}"#, r#"{"x":1,"c":3}"#, r#"{"c":3,"x":2}"#, r#"{"x":1}"#, "7"];
    let renamed = |rows: &[&str]| {
        let values = read(rows);
        let name = |name: Arc<str>| if &*name == "c" { name } else { Arc::from("x") };
        texts(&values.with_all(values.members().map(|(member, value)| (name(member), value)).collect()).expect("maps"))
    };
    assert_eq!(renamed(&rows), expected);
    (0..rows.len()).for_each(|row| assert_eq!(renamed(&rows[row..=row]), [expected[row]], "alone"));
}

#[test]
fn taking_back_costs_what_putting_did() {
    let keys = |keys: std::ops::Range<usize>, value: &str| keys.map(|key| format!("\"k{key}\":{value}")).collect::<Vec<_>>().join(",");
    let many = 10_000;
    // A value of many members that comes again and again, and a row of as many that is no JSON in the end.
    let repeated = format!("{{{},{}}}", format_args!("\"a\":{{{}}}", keys(0..many, "1")), vec!["\"a\":{}"; many].join(","));
    let broken = format!("{{{}", keys(0..many, "[1]"));
    let mut builder = Builder::new();
    let rows = [repeated.as_str(), &broken, &repeated];
    let rejected = rows.iter().enumerate().filter(|(row, text)| !builder.read_row(*row, text).is_ok_and(|fault| fault.is_none())).count();
    assert_eq!((rejected, builder.taken_back < 8 * many), (1, true), "{} places were looked at", builder.taken_back);
    assert_eq!(texts(&builder.finish().expect("rows")), [r#"{"a":{}}"#, "-", r#"{"a":{}}"#]);
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

/// Maps that name the same few members in any order, in maps and lists of such.
fn shuffled() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["1", "\"x\"", "null", "true"]).prop_map(str::to_owned);
    let any = leaf.prop_recursive(3, 24, 4, |inner| {
        let members = Just(["a", "b", "c", "d"].to_vec()).prop_shuffle().prop_flat_map(move |names| (Just(names), prop::collection::vec(inner.clone(), 0..4)));
        let map = members.prop_map(|(names, values)| {
            let members: Vec<String> = names.iter().zip(values).map(|(name, value)| format!("\"{name}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        });
        prop_oneof![3 => map.clone(), 1 => prop::collection::vec(map, 0..3).prop_map(|items| format!("[{}]", items.join(",")))]
    });
    any.prop_map(|text| if text == "null" { "{}".to_owned() } else { text })
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
    fn a_row_is_written_as_if_it_were_alone(rows in prop::collection::vec((shuffled(), shuffled(), any::<bool>()), 1..10)) {
        let (a, b): (Vec<&str>, Vec<&str>) = rows.iter().map(|(a, b, _)| (a.as_str(), b.as_str())).unzip();
        prop_assert_eq!(texts(&read(&a)), a.clone());
        let picks: Vec<(usize, usize)> = rows.iter().enumerate().map(|(row, (_, _, second))| (usize::from(*second), row)).collect();
        let expected: Vec<&str> = rows.iter().map(|(a, b, second)| if *second { b.as_str() } else { a.as_str() }).collect();
        prop_assert_eq!(texts(&Dynamic::interleave(&[read(&a), read(&b)], &picks).expect("rows")), expected);
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
