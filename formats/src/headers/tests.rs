//! Lists of headers: adding, leaving out, writing.

use arrow::array::{BinaryBuilder, Int32Array, Int64Array, ListBuilder, StringBuilder, StructBuilder};
use arrow::compute::take;
use proptest::prelude::*;

use super::*;
use crate::payload;

type Row<'a> = &'a [(&'a str, Option<&'a [u8]>)];

fn came(rows: &[Row<'_>]) -> ListArray {
    let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)];
    let mut list = ListBuilder::new(StructBuilder::new(fields, vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())]));
    for row in rows {
        for (key, value) in *row {
            let entries = list.values();
            entries.field_builder::<StringBuilder>(0).expect("keys").append_value(key);
            entries.field_builder::<BinaryBuilder>(1).expect("values").append_option(*value);
            entries.append(true);
        }
        list.append(true);
    }
    list.finish()
}

fn three() -> ListArray {
    came(&[&[("a", Some(b"\xff")), ("b", None)], &[], &[("a", Some(b"1.0"))]])
}

fn longs(values: Vec<Option<i64>>) -> Column {
    Column::new(Arc::new(Field::new("n", DataType::Int64, true)), Arc::new(Int64Array::from(values)))
}

/// `name=bytes` of each row, as that converter writes them.
fn shown(headers: &ListArray, own: Own<'_>, converter: &str) -> Vec<String> {
    let mut writer = (payload::find_for_headers(converter).expect(converter).build)(&Default::default()).expect("no settings");
    let (list, rejects) = written(headers, own, writer.as_mut()).expect("headers");
    let text = |row: usize| {
        let entries = list.value(row);
        let entries = entries.as_struct();
        let (names, values) = (entries.column(0).as_string::<i32>(), entries.column(1).as_binary::<i32>());
        let one = |at: usize| format!("{}={}", names.value(at), if values.is_null(at) { "null".into() } else { values.value(at).escape_ascii().to_string() });
        (0..entries.len()).map(one).collect::<Vec<_>>().join(" ")
    };
    (0..list.len()).map(|row| rejects.iter().find(|reject| reject.row == row).map_or_else(|| text(row), |reject| reject.reason.clone())).collect()
}

#[test]
fn what_came_stays_as_it_is_and_what_is_added_is_written() {
    let one = with(Some(&three()), 3, "n", Added::Each(&longs(vec![Some(1), Some(2), None]))).expect("a column");
    let two = with(Some(&one), 3, "a", Added::Same(&literal_column("[1, 300]"))).expect("a literal");
    assert_eq!(shown(&two, Own::Bytes, "SimpleHeaderConverter"), [r"a=\xff b=null n=1 a=[1,300]", "n=2 a=[1,300]", "a=1.0 n=null a=[1,300]"]);
    let kept = without(&two, &["a".to_owned()]).expect("names");
    assert_eq!(shown(&kept, Own::Bytes, "SimpleHeaderConverter"), ["b=null n=1", "n=2", "n=null"]);
    assert_eq!(shown(&without(&two, &["x".to_owned()]).expect("names"), Own::Bytes, "simple"), shown(&two, Own::Bytes, "simple"));
}

#[test]
fn records_without_headers_get_some() {
    let list = with(None, 2, "h", Added::Same(&literal_column("3.5"))).expect("a literal");
    assert_eq!(shown(&list, Own::Bytes, "SimpleHeaderConverter"), ["h=3.5", "h=3.5"]);
    assert_eq!(shown(&with(None, 0, "h", Added::Same(&literal_column("x"))).expect("no rows"), Own::Bytes, "simple"), Vec::<String>::new());
    assert!(with(None, 2, "h", Added::Each(&longs(vec![Some(1)]))).is_err());
}

#[test]
fn a_header_that_cannot_be_written_is_a_bad_record() {
    let list = with(None, 2, "n", Added::Each(&longs(vec![Some(1), None]))).expect("a column");
    let list = with(Some(&list), 2, "m", Added::Same(&longs(vec![Some(258)]))).expect("a column");
    assert_eq!(shown(&list, Own::Bytes, "LongConverter")[1], r"n=null m=\x00\x00\x00\x00\x00\x00\x01\x02");
    assert_eq!(shown(&list, Own::Bytes, "IntegerConverter"), ["failed to serialize to integer: the header is of type Int64"; 2]);
}

#[test]
fn a_connectors_own_values_are_written_too() {
    let binary = came(&[&[("a", Some(b"\x01"))]]);
    assert_eq!(shown(&binary, Own::Values, "SimpleHeaderConverter"), ["a=AQ=="]);
    assert_eq!(shown(&binary, Own::Bytes, "SimpleHeaderConverter"), [r"a=\x01"]);
    let more = with(Some(&binary), 1, "b", Added::Same(&literal_column("x"))).expect("a literal");
    assert_eq!(shown(&more, Own::Values, "SimpleHeaderConverter"), ["a=AQ== b=x"]);
}

#[test]
fn literals_have_the_schema_that_upstream_infers() {
    for (text, kind) in [
        ("1", DataType::Int8),
        ("3.5", DataType::Float32),
        ("40000", DataType::Int32),
        ("x", DataType::Utf8),
        ("", DataType::Utf8),
        ("2019-08-23", DataType::Date32),
        ("9223372036854775808", DataType::Decimal128(38, 0)),
    ] {
        let column = literal_column(text);
        assert_eq!((column.field.data_type(), column.field.is_nullable(), column.len()), (&kind, false, 1), "{text}");
    }
    for text in ["null", "[1,\"four\"]", "{}", "1e400"] {
        assert!(literal_column(text).field.data_type() == &DataType::Utf8, "{text} has no schema of a column");
    }
}

proptest! {
    /// Arrow's kernels do to such lists what they do to others.
    #[test]
    fn kernels_take_rows_with_all_their_headers(rows in prop::collection::vec(0_usize..3, 0..6), keep in prop::collection::vec(any::<bool>(), 3), from in 0_usize..3) {
        let list = with(Some(&three()), 3, "n", Added::Each(&longs(vec![Some(1), Some(2), None]))).expect("a column");
        let all = shown(&list, Own::Bytes, "simple");
        let taken = take(&list, &rows.iter().map(|row| i32::try_from(*row).ok()).collect::<Int32Array>(), None).expect("rows");
        prop_assert_eq!(shown(taken.as_list(), Own::Bytes, "simple"), rows.iter().map(|row| all[*row].clone()).collect::<Vec<_>>());
        let filtered = filter(&list, &BooleanArray::from(keep.clone())).expect("rows");
        let wanted: Vec<String> = all.iter().zip(&keep).filter(|(_, keep)| **keep).map(|(text, _)| text.clone()).collect();
        prop_assert_eq!(shown(filtered.as_list(), Own::Bytes, "simple"), wanted);
        let piece = list.slice(from, 3 - from);
        let more = with(Some(&piece), 3 - from, "z", Added::Same(&literal_column("1"))).expect("a literal");
        prop_assert_eq!(shown(&more, Own::Bytes, "simple").len(), 3 - from);
        prop_assert_eq!(shown(&piece, Own::Bytes, "simple"), all[from..].to_vec());
    }
}
