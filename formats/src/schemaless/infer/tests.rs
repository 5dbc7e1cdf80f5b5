//! What is inferred of values is what is inferred of their JSON, however the rows are cut; and kinds that JSON lacks have types of their own.

use arrow::array::{BinaryArray, StringArray};
use arrow::compute::concat;
use arrow::datatypes::TimeUnit;
use proptest::prelude::*;

use super::super::{Builder, Value, read_json};
use super::*;
use crate::schema::{adapt, is_inferred};
use crate::wire::{self, Want};

fn read(rows: &[&str]) -> Dynamic {
    read_json(&StringArray::from(rows.to_vec())).expect("rows").values
}

/// Batches one after the other: the last schema, all rows under it, and which were rejected, numbered through all.
fn inferred(batches: &[&[&str]]) -> (FieldRef, ArrayRef, Vec<(usize, String)>) {
    let (mut inference, mut parts, mut rejects, mut first) = (Inference::new("value"), Vec::new(), Vec::new(), 0);
    for batch in batches {
        let (column, found) = inference.columns(&read(batch)).expect("columns");
        assert!(is_inferred(&column.field) && column.len() == batch.len());
        rejects.extend(found.into_iter().map(|reject| (reject.row + first, reject.reason)));
        first += batch.len();
        parts.push(column);
    }
    let field = Arc::clone(&inference.held);
    let arrays: Vec<ArrayRef> = parts.iter().map(|part| adapt(&part.array, &part.field, &field).expect("a wider schema")).collect();
    let all = concat(&arrays.iter().map(AsRef::as_ref).collect::<Vec<&dyn Array>>()).expect("one type");
    (field, all, rejects)
}

fn described(data_type: &DataType) -> String {
    match data_type {
        DataType::Struct(fields) => {
            format!("{{{}}}", fields.iter().map(|f| format!("{}:{}", f.name(), described(f.data_type()))).collect::<Vec<_>>().join(" "))
        }
        DataType::List(item) => format!("[{}]", described(item.data_type())),
        other => other.to_string(),
    }
}

#[test]
fn the_schema_is_that_of_the_rows_so_far() {
    let mut inference = Inference::new("value");
    for (rows, schema, rejected) in [
        (vec!["null", "{}", r#"{"x":null,"y":[],"z":{"w":[null]}}"#], "{}", vec![]),
        (vec![r#"{"b":1,"a":"x"}"#, r#"{"a":"y"}"#], "{b:Int64 a:Utf8}", vec![]),
        (vec![r#"{"b":2}"#, r#"{"c":[true],"b":2.5}"#, r#"{"b":3,"c":[]}"#], "{b:Float64 a:Utf8 c:[Boolean]}", vec![]),
        (
            vec![r#"{"a":7}"#, r#"{"a":"ok","b":{}}"#, "[1]", "7", r#"{"new":1,"a":{"n":1}}"#],
            "{b:Float64 a:Utf8 c:[Boolean]}",
            vec![
                (0, r#"field "a": 7 is int64, but the records before it have string"#),
                (2, "[1] is no object, and columns are made of objects"),
                (3, "7 is no object, and columns are made of objects"),
                (4, r#"field "a": {"n":1} is struct, but the records before it have string"#),
            ],
        ),
        (
            vec![r#"{"d":{"e":[{"f":1}]}}"#, r#"{"d":{"e":[{"g":"x"},{"f":true}]}}"#, r#"{"d":{"e":[1,"x"]}}"#, r#"{"d":{"e":[{"g":"x"}]}}"#],
            "{b:Float64 a:Utf8 c:[Boolean] d:{e:[{f:Int64 g:Utf8}]}}",
            vec![
                (1, r#"field "d.e.f": [{"g":"x"},{"f":true}] is boolean, but the records before it have int64"#),
                (2, r#"field "d.e[1]": "x" is string, but the items before it are int64"#),
            ],
        ),
    ] {
        let (column, rejects) = inference.columns(&read(&rows)).expect("columns");
        assert_eq!(described(column.field.data_type()), schema);
        let rejects: Vec<(usize, &str)> = rejects.iter().map(|reject| (reject.row, reject.reason.as_str())).collect();
        assert_eq!(rejects, rejected);
        rejected.iter().for_each(|(row, _)| assert!(column.array.is_null(*row)));
    }
}

#[test]
fn kinds_that_json_lacks_have_types_of_their_own() {
    let mut builder = Builder::new();
    let members = [
        ("byte", Value::Int8(1)),
        ("integer", Value::Int32(3)),
        ("float", Value::Float32(0.5)),
        ("bytes", Value::Bytes(b"raw")),
        ("date", Value::Date(-5)),
        ("decimal", Value::Decimal("1.20")),
    ];
    builder.open_map();
    for (name, value) in members {
        builder.key(name);
        builder.value(value);
    }
    builder.close();
    let values = builder.finish().expect("a row");
    let (column, rejects) = Inference::new("value").columns(&values).expect("columns");
    let timestamp = DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
    let expected = [DataType::Int8, DataType::Int32, DataType::Float32, DataType::Binary, timestamp, DataType::Utf8];
    let rows = column.array.as_struct();
    assert_eq!(rows.fields().iter().map(|field| field.data_type().clone()).collect::<Vec<_>>(), expected);
    assert_eq!((rows.fields()[4].metadata().get(NAME).map(String::as_str), rejects), (Some(TIMESTAMP), vec![]));
    assert!(rows.columns().iter().all(|column| column.null_count() == 0));
}

#[test]
fn keys_without_end_do_not_become_columns_without_end() {
    let rows: Vec<String> = (0..2100).map(|i| format!("{{\"k{i}\":1}}")).collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let (field, _, rejects) = inferred(&rows.chunks(300).collect::<Vec<_>>());
    let DataType::Struct(fields) = field.data_type() else { panic!("a struct") };
    assert_eq!((fields.len(), rejects.len(), rejects[0].1.contains("declare a schema in value.schema")), (2000, 100, true));
}

/// Rows whose members meet under other types now and then, in any order.
#[test]
fn a_slice_has_no_items_of_its_neighbours() {
    let all = read(&[r#"{"l":[1,2]}"#, r#"{"l":[3,4.5,5]}"#, r#"{"l":[]}"#]);
    let (mut inference, mut items) = (Inference::new("value"), Vec::new());
    for row in 0..3 {
        let (column, _) = inference.columns(&all.slice(row, 1)).expect("columns");
        items.push(column.array.as_struct().column(0).as_list::<i32>().values().len());
    }
    assert_eq!(items, [2, 3, 0]);
}

fn row() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec!["null", "1", "-7", "2.5", "\"x\"", "true", "{}", "[]", "9007199254740993"]).prop_map(str::to_owned);
    let value = leaf.prop_recursive(3, 16, 3, |inner| {
        prop_oneof![object(inner.clone()), prop::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(",")))]
    });
    prop_oneof![12 => object(value.clone()), 1 => value]
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let names = Just(["a", "b", "c"].to_vec()).prop_shuffle();
    (names, prop::collection::vec(value, 0..4)).prop_map(|(names, values)| {
        let members: Vec<String> = names.iter().zip(values).map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

proptest! {
    #[test]
    fn values_have_the_columns_of_their_json(rows in prop::collection::vec(row(), 1..24), cut in 0..24_usize) {
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let (before, after) = rows.split_at(cut.min(rows.len()));
        let options = [("schemas.enable".to_owned(), "false".to_owned())].into();
        let mut converter = (wire::find("json").expect("registered").build)(&options, false, Want::Columns).expect("valid");
        let mut inference = Inference::new("value");
        for batch in [before, after] {
            let (column, rejects) = inference.columns(&read(batch)).expect("columns");
            let decoded = converter.decode("t", &BinaryArray::from_iter_values(batch)).expect("no defect");
            prop_assert_eq!(&column.field, &decoded.spans[0].1.field);
            prop_assert_eq!(&column.array, &decoded.spans[0].1.array);
            prop_assert_eq!(rejects.iter().map(|reject| reject.row).collect::<Vec<_>>(), decoded.rejects.iter().map(|reject| reject.row).collect::<Vec<_>>());
        }
    }

    #[test]
    fn schemas_and_rejects_do_not_depend_on_where_rows_are_cut(rows in prop::collection::vec(row(), 1..24), cut in 0..24_usize) {
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        let (before, after) = rows.split_at(cut.min(rows.len()));
        let ((field, _, rejects), (as_whole, _, of_whole)) = (inferred(&[before, after]), inferred(&[&rows]));
        prop_assert_eq!((field, rejects), (as_whole, of_whole));
    }
}
