//! Values as Java's `String.valueOf` prints what Connect holds in memory: what `FileStreamSink` writes and `StringConverter` sends.
//!
//! | value | text |
//! |---|---|
//! | null | `null` |
//! | numbers, booleans, strings | as Java prints them, strings without quotes |
//! | struct | `Struct{a=1,b=x}`, nulls left out |
//! | list, map, schemaless object | `[1, 2]`, `{k=v, l=w}` in the order of a `HashMap` |
//! | decimal | `BigDecimal.toString` |
//! | date, time, timestamp | `java.util.Date.toString`, in UTC |
//! | bytes | the bytes themselves where they are the whole value, else base64: Java prints where they are in memory |

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Date32Type, Field, Float32Type, Float64Type, Int64Type, Time32MillisecondType, TimestampMillisecondType};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use serde_json::{Number, Value};

use crate::file::json::{DecimalFormat, Printer, push_f32, push_f64, unsupported};
use crate::schema::is_json_text;

/// A column, ready to be printed.
pub struct JavaText<'a> {
    array: &'a ArrayRef,
    kind: Kind<'a>,
}

impl std::fmt::Debug for JavaText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JavaText").field("type", self.array.data_type()).finish_non_exhaustive()
    }
}

enum Kind<'a> {
    /// Printed in JSON as in Java.
    AsJson(Printer<'a>),
    Null,
    Float32,
    Float64,
    String,
    JsonText,
    Bytes {
        whole: bool,
    },
    Date,
    Time,
    Timestamp,
    List(Box<JavaText<'a>>),
    Map(Box<JavaText<'a>>, Box<JavaText<'a>>),
    Struct(Vec<(&'a str, JavaText<'a>)>),
}

impl<'a> JavaText<'a> {
    /// For the values of a column.
    ///
    /// # Errors
    /// When it has a type that Connect does not.
    pub fn new(array: &'a ArrayRef, field: &'a Field) -> Result<Self, String> {
        match unsupported(field) {
            Some(what) => Err(format!("there is no text for {what}")),
            None => Ok(Self::of(array, field, true)),
        }
    }

    fn of(array: &'a ArrayRef, field: &'a Field, whole: bool) -> Self {
        let kind = match field.data_type() {
            DataType::Null => Kind::Null,
            DataType::Float32 => Kind::Float32,
            DataType::Float64 => Kind::Float64,
            DataType::Utf8 if is_json_text(field) => Kind::JsonText,
            DataType::Utf8 => Kind::String,
            DataType::Binary => Kind::Bytes { whole },
            DataType::Date32 => Kind::Date,
            DataType::Time32(_) => Kind::Time,
            DataType::Timestamp(..) => Kind::Timestamp,
            DataType::List(item) => Kind::List(Box::new(Self::of(array.as_list::<i32>().values(), item, false))),
            DataType::Map(entries, _) => {
                let map = array.as_map();
                match entries.data_type() {
                    DataType::Struct(entry) => match entry.as_ref() {
                        [key, value] => Kind::Map(Box::new(Self::of(map.keys(), key, false)), Box::new(Self::of(map.values(), value, false))),
                        _ => Kind::Null,
                    },
                    _ => Kind::Null,
                }
            }
            DataType::Struct(fields) => {
                let columns = array.as_struct().columns();
                Kind::Struct(fields.iter().zip(columns).map(|(field, column)| (field.name().as_str(), Self::of(column, field, false))).collect())
            }
            _ => Kind::AsJson(Printer::new(array, field, DecimalFormat::Numeric)),
        };
        Self { array, kind }
    }

    /// Appends the value of a row.
    pub fn print(&self, row: usize, out: &mut Vec<u8>) {
        if self.array.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.kind {
            Kind::AsJson(printer) => printer.print(row, out),
            Kind::Null => out.extend_from_slice(b"null"),
            Kind::Float32 => push_double(|out| push_f32(self.array.as_primitive::<Float32Type>().value(row), out), out),
            Kind::Float64 => push_double(|out| push_f64(self.array.as_primitive::<Float64Type>().value(row), out), out),
            Kind::String => out.extend_from_slice(self.array.as_string::<i32>().value(row).as_bytes()),
            Kind::JsonText => print_json(self.array.as_string::<i32>().value(row), out),
            Kind::Bytes { whole: true } => out.extend_from_slice(self.array.as_binary::<i32>().value(row)),
            Kind::Bytes { whole: false } => out.extend_from_slice(STANDARD.encode(self.array.as_binary::<i32>().value(row)).as_bytes()),
            Kind::Date => push_date(i64::from(self.array.as_primitive::<Date32Type>().value(row)) * 86_400_000, out),
            Kind::Time => push_date(i64::from(self.array.as_primitive::<Time32MillisecondType>().value(row)), out),
            Kind::Timestamp => push_date(self.array.as_primitive::<TimestampMillisecondType>().value(row), out),
            Kind::List(item) => {
                let list = self.array.as_list::<i32>();
                let offsets = list.value_offsets();
                push_joined(b'[', rows(offsets, row), b']', |row, out| item.print(row, out), out);
            }
            Kind::Map(key, value) => {
                let offsets = self.array.as_map().value_offsets();
                let entries = in_hash_order(rows(offsets, row).map(|entry| (key.hash(entry), entry)).collect());
                let print = |entry: usize, out: &mut Vec<u8>| {
                    key.print(entry, out);
                    out.push(b'=');
                    value.print(entry, out);
                };
                push_joined(b'{', entries.into_iter(), b'}', print, out);
            }
            Kind::Struct(fields) => print_struct(fields, row, out),
        }
    }

    /// `hashCode` of a map's key; the same for all keys of other types than strings and whole numbers, which keeps them in their order.
    pub(super) fn hash(&self, row: usize) -> i32 {
        if self.array.is_null(row) {
            return 0;
        }
        match (&self.kind, self.array.data_type()) {
            (Kind::String, _) => hash_of(self.array.as_string::<i32>().value(row)),
            (_, DataType::Int64) => {
                let value = self.array.as_primitive::<Int64Type>().value(row);
                low_half(value ^ (value.cast_unsigned() >> 32).cast_signed())
            }
            (_, DataType::Int8 | DataType::Int16 | DataType::Int32) => {
                let mut text = Vec::new();
                self.print(row, &mut text);
                std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
            }
            _ => 0,
        }
    }
}

fn print_struct(fields: &[(&str, JavaText<'_>)], row: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(b"Struct{");
    let mut is_first = true;
    for (name, text) in fields {
        if text.array.is_null(row) || matches!(text.kind, Kind::Null) {
            continue;
        }
        if !is_first {
            out.push(b',');
        }
        is_first = false;
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        text.print(row, out);
    }
    out.push(b'}');
}

fn rows(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    let at = |row: usize| offsets.get(row).and_then(|at| usize::try_from(*at).ok()).unwrap_or(0);
    at(row)..at(row + 1)
}

fn push_joined<T>(open: u8, items: impl Iterator<Item = T>, close: u8, print: impl Fn(T, &mut Vec<u8>), out: &mut Vec<u8>) {
    out.push(open);
    for (at, item) in items.enumerate() {
        if at > 0 {
            out.extend_from_slice(b", ");
        }
        print(item, out);
    }
    out.push(close);
}

/// What JSON writes in quotes because it is no number, Java prints without.
fn push_double(print: impl Fn(&mut Vec<u8>), out: &mut Vec<u8>) {
    let start = out.len();
    print(out);
    if out.get(start) == Some(&b'"') {
        out.remove(start);
        out.pop();
    }
}

fn push_date(millis: i64, out: &mut Vec<u8>) {
    match DateTime::from_timestamp_millis(millis) {
        Some(time) => out.extend_from_slice(time.format("%a %b %d %H:%M:%S UTC %Y").to_string().as_bytes()),
        None => out.extend_from_slice(millis.to_string().as_bytes()),
    }
}

/// Schemaless JSON, as the Java objects that it becomes: `HashMap`, `ArrayList`, `Long`, `Double`.
fn print_json(text: &str, out: &mut Vec<u8>) {
    match serde_json::from_str(text) {
        Ok(value) => print_value(&value, out),
        Err(_) => out.extend_from_slice(text.as_bytes()),
    }
}

fn print_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Number(number) => push_json_number(number, out),
        Value::String(text) => out.extend_from_slice(text.as_bytes()),
        Value::Array(items) => push_joined(b'[', items.iter(), b']', print_value, out),
        Value::Object(members) => {
            let members = in_hash_order(members.iter().map(|member| (hash_of(member.0), member)).collect());
            let print = |(name, value): (&String, &Value), out: &mut Vec<u8>| {
                out.extend_from_slice(name.as_bytes());
                out.push(b'=');
                print_value(value, out);
            };
            push_joined(b'{', members.into_iter(), b'}', print, out);
        }
    }
}

/// A number without a schema: whole ones are `Long`, all others `Double`.
pub(super) fn push_json_number(number: &Number, out: &mut Vec<u8>) {
    match number.as_i64() {
        Some(whole) => out.extend_from_slice(whole.to_string().as_bytes()),
        None => push_double(|out| push_f64(number.as_f64().unwrap_or(f64::NAN), out), out),
    }
}

/// The order in which a `HashMap` that these were put into gives them out: by bucket, and in one bucket as they came.
pub(super) fn in_hash_order<T>(mut entries: Vec<(i32, T)>) -> Vec<T> {
    let mut buckets = 16_usize;
    while entries.len() > buckets / 4 * 3 {
        buckets *= 2;
    }
    let bucket = |hash: i32| {
        let hash = hash.cast_unsigned();
        usize::try_from(hash ^ (hash >> 16)).unwrap_or(0) & (buckets - 1)
    };
    entries.sort_by_key(|(hash, _)| bucket(*hash));
    entries.into_iter().map(|(_, entry)| entry).collect()
}

/// `String.hashCode`.
pub(super) fn hash_of(text: &str) -> i32 {
    text.encode_utf16().fold(0, |hash: i32, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)))
}

fn low_half(value: i64) -> i32 {
    let [.., a, b, c, d] = value.to_be_bytes();
    i32::from_be_bytes([a, b, c, d])
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryArray, BooleanArray, Float32Array, Float64Array, Int32Array, NullArray, StringArray, StructArray};
    use arrow::datatypes::{FieldRef, Fields};

    use super::*;
    use crate::column::Column;
    use crate::schema::json_text;
    use crate::wire::{self, Options, Want};

    fn printed(column: &Column) -> Vec<String> {
        let text = JavaText::new(&column.array, &column.field).expect("a type of Connect");
        let print = |row| {
            let mut out = Vec::new();
            text.print(row, &mut out);
            String::from_utf8(out).expect("text")
        };
        (0..column.len()).map(print).collect()
    }

    fn plain(array: ArrayRef) -> Vec<String> {
        printed(&Column::new(FieldRef::new(Field::new("v", array.data_type().clone(), true)), array))
    }

    #[test]
    fn values_are_printed_as_java_prints_them() {
        assert_eq!(plain(Arc::new(StringArray::from(vec![Some("a \"b\""), None]))), ["a \"b\"", "null"]);
        assert_eq!(plain(Arc::new(Int32Array::from(vec![-1]))), ["-1"]);
        assert_eq!(plain(Arc::new(BooleanArray::from(vec![true]))), ["true"]);
        assert_eq!(plain(Arc::new(Float64Array::from(vec![1.0, 1e10, f64::NAN, f64::NEG_INFINITY]))), ["1.0", "1.0E10", "NaN", "-Infinity"]);
        assert_eq!(plain(Arc::new(Float32Array::from(vec![12.2]))), ["12.2"]);
        assert_eq!(plain(Arc::new(BinaryArray::from(vec![&b"raw"[..]]))), ["raw"]);
        assert_eq!(plain(Arc::new(NullArray::new(1))), ["null"]);
        let fields =
            Fields::from(vec![Field::new("id", DataType::Int32, false), Field::new("gone", DataType::Utf8, true), Field::new("name", DataType::Utf8, true)]);
        let arrays: Vec<ArrayRef> =
            vec![Arc::new(Int32Array::from(vec![7])), Arc::new(StringArray::from(vec![None::<&str>])), Arc::new(StringArray::from(vec!["x"]))];
        assert_eq!(plain(Arc::new(StructArray::new(fields, arrays, None))), ["Struct{id=7,name=x}"]);
    }

    /// The orders are those of Java's `HashMap`, of which the texts on the right are.
    #[test]
    fn schemaless_json_is_printed_as_the_maps_that_java_reads_it_into() {
        for (json, expected) in [
            (r#"{"foo":1,"bar":"x"}"#, "{bar=x, foo=1}"),
            (r#"{"b":1,"a":null,"c":[1,2.0,{"k":true}]}"#, "{a=null, b=1, c=[1, 2.0, {k=true}]}"),
            (r#"{"seqno":1,"name":"n","topic":"t","time_ms":2,"task":0}"#, "{task=0, seqno=1, time_ms=2, name=n, topic=t}"),
            ("\"text\"", "text"),
            ("[]", "[]"),
            ("1e3", "1000.0"),
        ] {
            let column = Column::new(json_text("v"), Arc::new(StringArray::from(vec![json])));
            assert_eq!(printed(&column), [expected], "{json}");
        }
    }

    #[test]
    fn nested_values_under_a_schema_are_printed() {
        let schema = r#"{"type":"struct","fields":[
            {"type":"array","items":{"type":"int32"},"field":"l"},
            {"type":"map","keys":{"type":"string"},"values":{"type":"bytes"},"field":"m"},
            {"type":"int64","name":"org.apache.kafka.connect.data.Timestamp","version":1,"field":"t"},
            {"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","version":1,"parameters":{"scale":"2"},"field":"d"}]}"#;
        let payload = format!(r#"{{"schema":{schema},"payload":{{"l":[1,2],"m":{{"b":"eA==","a":"eQ=="}},"t":0,"d":"AIY="}}}}"#);
        let mut reader = (wire::find("json").expect("the reader").build)(&Options::new(), false, Want::Any).expect("no settings");
        let decoded = reader.decode("t", &BinaryArray::from(vec![payload.as_bytes()])).expect("an envelope");
        assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
        assert_eq!(printed(&decoded.spans[0].1), ["Struct{l=[1, 2],m={a=eQ==, b=eA==},t=Thu Jan 01 00:00:00 UTC 1970,d=1.34}"]);
    }

    #[test]
    fn hashes_are_javas() {
        for (text, hash) in [("", 0), ("a", 97), ("filename", -734_768_633), ("é", 233), ("\u{1f600}", 1_772_899)] {
            assert_eq!(hash_of(text), hash, "{text}");
        }
        assert_eq!(low_half(0x1_0000_0002), 2);
    }
}
