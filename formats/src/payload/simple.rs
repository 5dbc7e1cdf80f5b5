//! `SimpleHeaderConverter`, which is for headers alone: texts as they are, other values as `Values.convertToString` writes them.
//!
//! | value | text |
//! |---|---|
//! | string | itself; in arrays and maps in quotes, with `\` before quotes and backslashes |
//! | boolean, number, decimal | as Java prints it |
//! | bytes | base64, in quotes likewise |
//! | date, time, timestamp | ISO, by what the instant is ([`mod@crate::instant`]) |
//! | list | `[1,2]` |
//! | map, struct | `{"a":1}`; a map in the order of a `HashMap` |
//! | schemaless JSON | the same, of what it holds |
//! | null | none: a header without a value; inside of others `null` |
//!
//! Source: `org.apache.kafka.connect.storage.SimpleHeaderConverter`.

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder};
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, Time32MillisecondType, TimestampMillisecondType};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::text::{JavaText, hash_of, in_hash_order, push_json_number};
use super::{PayloadWriter, Payloads, Writer};
use crate::column::Column;
use crate::file::json::unsupported;
use crate::instant;
use crate::schema::is_json_text;
use crate::wire::json::default_value;

/// Registration.
pub(super) const WRITER: Writer = Writer {
    name: "simple",
    aliases: &["org.apache.kafka.connect.storage.SimpleHeaderConverter", "SimpleHeaderConverter", "Simple"],
    registry: false,
    build: |_| Ok(Box::new(Simple)),
};

#[derive(Debug)]
struct Simple;

impl PayloadWriter for Simple {
    fn write(&mut self, column: &Column) -> Payloads {
        if let Some(what) = unsupported(&column.field) {
            return Payloads::none(column.len(), &format!("SimpleHeaderConverter has no text for {what}"));
        }
        let (mut payloads, mut text) = (BinaryBuilder::new(), Vec::new());
        for row in 0..column.len() {
            // The rows are texts of different lengths: there is no kernel for them.
            text.clear();
            let is_null = column.array.is_null(row) || column.field.data_type() == &DataType::Null;
            payloads.append_option((!is_null).then(|| {
                push(&column.array, &column.field, row, false, &mut text);
                text.as_slice()
            }));
        }
        Payloads { payloads: payloads.finish(), rejects: Vec::new() }
    }
}

/// Appends a value; `embedded` in an array, a map or a struct.
fn push(array: &ArrayRef, field: &FieldRef, row: usize, embedded: bool, out: &mut Vec<u8>) {
    if array.is_null(row) {
        return out.extend_from_slice(b"null");
    }
    match field.data_type() {
        DataType::Utf8 if is_json_text(field) => match serde_json::from_str(array.as_string::<i32>().value(row)) {
            Ok(value) => push_json(&value, embedded, out),
            Err(_) => push_text(array.as_string::<i32>().value(row), embedded, out),
        },
        DataType::Utf8 => push_text(array.as_string::<i32>().value(row), embedded, out),
        DataType::Binary => push_text(&STANDARD.encode(array.as_binary::<i32>().value(row)), embedded, out),
        DataType::Date32 => instant::push(i64::from(array.as_primitive::<Date32Type>().value(row)) * 86_400_000, out),
        DataType::Time32(_) => instant::push(i64::from(array.as_primitive::<Time32MillisecondType>().value(row)), out),
        DataType::Timestamp(..) => instant::push(array.as_primitive::<TimestampMillisecondType>().value(row), out),
        DataType::List(item) => {
            let items = array.as_list::<i32>().value(row);
            joined(b"[]", 0..items.len(), out, |at, out| push(&items, item, at, true, out));
        }
        DataType::Map(entries, _) => push_map(array, entries, row, out),
        DataType::Struct(fields) => {
            let members = fields.iter().zip(array.as_struct().columns());
            joined(b"{}", members, out, |(field, column), out| {
                push_text(field.name(), true, out);
                out.push(b':');
                match default_value(field).filter(|_| column.is_null(row)) {
                    Some(default) => push(&default, field, 0, true, out),
                    None => push(column, field, row, true, out),
                }
            });
        }
        _ => {
            if let Ok(text) = JavaText::new(array, field) {
                text.print(row, out);
            }
        }
    }
}

fn push_map(array: &ArrayRef, entries: &Field, row: usize, out: &mut Vec<u8>) {
    let entry = array.as_map().value(row);
    let (DataType::Struct(fields), [keys, values]) = (entries.data_type(), entry.columns()) else { return };
    let [key, value] = fields.as_ref() else { return };
    let hash = |at: usize| JavaText::new(keys, key).map_or(0, |text| text.hash(at));
    let order = in_hash_order((0..entry.len()).map(|at| (hash(at), at)).collect());
    joined(b"{}", order.into_iter(), out, |at, out| {
        push(keys, key, at, true, out);
        out.push(b':');
        push(values, value, at, true, out);
    });
}

fn push_json(value: &Value, embedded: bool, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Number(number) => push_json_number(number, out),
        Value::String(text) => push_text(text, embedded, out),
        Value::Array(items) => joined(b"[]", items.iter(), out, |item, out| push_json(item, true, out)),
        Value::Object(members) => {
            let members = in_hash_order(members.iter().map(|member| (hash_of(member.0), member)).collect());
            joined(b"{}", members.into_iter(), out, |(name, value), out| {
                push_text(name, true, out);
                out.push(b':');
                push_json(value, true, out);
            });
        }
    }
}

/// A text; embedded in quotes, where quotes and backslashes are all that is escaped.
fn push_text(text: &str, embedded: bool, out: &mut Vec<u8>) {
    if !embedded {
        return out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
    for byte in text.bytes() {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn joined<T>(around: &[u8; 2], items: impl Iterator<Item = T>, out: &mut Vec<u8>, push: impl Fn(T, &mut Vec<u8>)) {
    out.push(around[0]);
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        push(item, out);
    }
    out.push(around[1]);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, ListArray, MapBuilder, NullArray, StringArray, StringBuilder,
        StructArray, TimestampMillisecondArray,
    };
    use arrow::datatypes::Int64Type;

    use super::*;
    use crate::schema::json_text;

    fn written(column: &Column) -> Vec<Option<String>> {
        let Payloads { payloads, rejects } = Simple.write(column);
        assert!(rejects.is_empty());
        payloads.iter().map(|bytes| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned())).collect()
    }

    fn plain(array: ArrayRef) -> Column {
        Column::new(Arc::new(Field::new("header", array.data_type().clone(), true)), array)
    }

    fn maps() -> ArrayRef {
        let mut maps = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
        for (key, value) in [("b", "x\"y"), ("a", "\\")] {
            maps.keys().append_value(key);
            maps.values().append_value(value);
        }
        maps.append(true).expect("one key for one value");
        Arc::new(maps.finish())
    }

    #[test]
    fn headers_are_texts_as_upstream_writes_them() {
        let inner: ArrayRef = Arc::new(Int64Array::from(vec![None]));
        let record = StructArray::from(vec![(
            Arc::new(Field::new("a", DataType::Int64, true).with_metadata([(crate::schema::DEFAULT.to_owned(), "7".to_owned())])),
            inner,
        )]);
        let cases: [(ArrayRef, Option<&str>); 14] = [
            (Arc::new(StringArray::from(vec!["007 \"x\""])), Some("007 \"x\"")),
            (Arc::new(Int64Array::from(vec![-7])), Some("-7")),
            (Arc::new(BooleanArray::from(vec![true])), Some("true")),
            (Arc::new(Float64Array::from(vec![1e10])), Some("1.0E10")),
            (Arc::new(Decimal128Array::from(vec![150]).with_precision_and_scale(38, 2).expect("digits")), Some("1.50")),
            (Arc::new(BinaryArray::from(vec![&b"\xff"[..]])), Some("/w==")),
            (Arc::new(Date32Array::from(vec![18_131])), Some("2019-08-23")),
            (Arc::new(TimestampMillisecondArray::from(vec![1_566_570_894_346])), Some("2019-08-23T14:34:54.346Z")),
            (Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(vec![Some(1), None])])), Some("[1,null]")),
            (maps(), Some("{\"a\":\"\\\\\",\"b\":\"x\\\"y\"}")),
            (Arc::new(record), Some("{\"a\":7}")),
            (Arc::new(Int64Array::new_null(1)), None),
            (Arc::new(NullArray::new(1)), None),
            (Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(vec![Some(Vec::<Option<i64>>::new())])), Some("[]")),
        ];
        for (array, expected) in cases {
            let kind = array.data_type().clone();
            assert_eq!(written(&plain(array)), vec![expected.map(str::to_owned)], "{kind}");
        }
    }

    #[test]
    fn schemaless_values_are_written_like_others() {
        let texts: StringArray = ["\"a\"", "1.5", "1e2", "{\"b\":[1,\"x\"],\"a\":null}", "true"].into_iter().map(Some).chain([None]).collect();
        let found = written(&Column::new(json_text("header"), Arc::new(texts)));
        let expected = ["a", "1.5", "100.0", "{\"a\":null,\"b\":[1,\"x\"]}", "true"].map(|text| Some(text.to_owned()));
        assert_eq!(found, expected.into_iter().chain([None]).collect::<Vec<_>>());
    }
}
