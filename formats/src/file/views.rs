//! What the files of keys and of headers hold, beside the file of values.
//!
//! Source: `io.confluent.connect.s3.format.RecordViews`. A key is written as it is, or inside a record `RecordKey { key }` where the format needs a
//! record ([`FileFormat::envelops`]); headers are a list of `{ key, value }`, or that list inside a record `RecordHeaders { headers }`.
//!
//! A header's value is its bytes as UTF-8 text, each part that is none becoming U+FFFD.
//!
//! Guarantee: row `i` of a view belongs to row `i` of the records.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, ListArray, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};

use super::FileFormat;
use crate::column::{Column, Reject};
use crate::schema::NAME;

/// A part of the records that has files of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// The keys: `.keys` in the object's name.
    Keys,
    /// The headers: `.headers` in the object's name.
    Headers,
}

/// The column of a file of keys.
#[must_use]
pub fn keys_view(format: &dyn FileFormat, key: &Column) -> Column {
    if !format.envelops(View::Keys) {
        return key.clone();
    }
    let field = key.field.as_ref().clone().with_name("key");
    wrapped("RecordKey", field.into(), Arc::clone(&key.array))
}

/// The column of a file of headers; `headers` has items `{ key: utf8, value: binary }`. A header without a value is written as an empty text, and a row
/// without headers as an empty list: upstream writes neither, see [`unusable_headers`].
#[must_use]
pub fn headers_view(format: &dyn FileFormat, headers: &ListArray) -> Column {
    let fields = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, false)]);
    let (keys, values) = match headers.values().as_struct_opt().map(StructArray::columns) {
        Some([keys, values]) => (keys.as_string_opt::<i32>().cloned(), values.as_binary_opt::<i32>().map(texts)),
        _ => (None, None),
    };
    let item = FieldRef::new(Field::new("item", DataType::Struct(fields.clone()), false));
    let field = FieldRef::new(Field::new("headers", DataType::List(Arc::clone(&item)), false));
    let list = keys.zip(values).and_then(|(keys, values)| {
        let items = StructArray::try_new(fields, vec![Arc::new(keys), Arc::new(values)], None).ok()?;
        ListArray::try_new(Arc::clone(&item), headers.offsets().clone(), Arc::new(items), None).ok()
    });
    // Headers of any other type hold no header: as many rows, all empty.
    let empty =
        || ListArray::new(Arc::clone(&item), arrow::buffer::OffsetBuffer::new_zeroed(headers.len()), arrow::array::new_empty_array(item.data_type()), None);
    let list: ArrayRef = Arc::new(list.unwrap_or_else(empty));
    if format.envelops(View::Headers) { wrapped("RecordHeaders", field, list) } else { Column::new(field, list) }
}

/// The rows that a file of headers cannot hold, as upstream: those without headers, and those with a header that has no value. A record is to be left out
/// of every file before any of them has it, so that the rows of values, keys and headers stay side by side.
#[must_use]
pub fn unusable_headers(headers: &ListArray) -> Vec<Reject> {
    let entries = headers.values().as_struct_opt().filter(|entries| entries.num_columns() == 2);
    let mut rejects = Vec::new();
    for (row, ends) in headers.offsets().windows(2).enumerate() {
        let at = |offset: i32| usize::try_from(offset).unwrap_or(0);
        let range = at(ends[0])..at(ends[1]);
        if headers.is_null(row) || range.is_empty() {
            rejects.push(Reject { row, reason: "the record has no headers, store.kafka.headers=true needs some".to_owned() });
        } else if let Some(entries) = entries
            && entries.column(1).null_count() > 0
            && let Some(entry) = range.clone().find(|entry| entries.column(1).is_null(*entry))
        {
            let name = entries.column(0).as_string_opt::<i32>().map_or("", |names| names.value(entry));
            rejects.push(Reject { row, reason: format!("header \"{name}\" has no value, store.kafka.headers=true needs one") });
        }
    }
    rejects
}

/// Texts without nulls; over the same memory where they are UTF-8.
fn texts(values: &BinaryArray) -> StringArray {
    if values.null_count() == 0
        && let Ok(texts) = StringArray::try_new(values.offsets().clone(), values.values().clone(), None)
    {
        return texts;
    }
    StringArray::from_iter_values(values.iter().map(|value| String::from_utf8_lossy(value.unwrap_or_default())))
}

/// A column inside a record of that name.
fn wrapped(name: &str, field: FieldRef, array: ArrayRef) -> Column {
    let rows = StructArray::new(Fields::from(vec![Arc::clone(&field)]), vec![array], None);
    let metadata = HashMap::from([(NAME.to_owned(), name.to_owned())]);
    let record = Field::new(field.name(), rows.data_type().clone(), false).with_metadata(metadata);
    Column::new(record.into(), Arc::new(rows))
}

#[cfg(test)]
mod tests {
    use arrow::array::BinaryBuilder;
    use arrow::array::{Int64Array, ListBuilder, StringBuilder, StructBuilder};

    use super::super::{Options, find};
    use super::*;

    fn format(name: &str) -> Box<dyn FileFormat> {
        (find(name).expect("registered").build)(&Options::new()).expect("defaults")
    }

    type Headers<'a> = &'a [(&'a str, Option<&'a [u8]>)];

    fn headers(rows: &[Option<Headers<'_>>]) -> ListArray {
        let fields = vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Binary, true)];
        let entries = StructBuilder::new(fields, vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())]);
        let mut builder = ListBuilder::new(entries);
        for row in rows {
            for (key, value) in row.unwrap_or_default() {
                let entries = builder.values();
                entries.field_builder::<StringBuilder>(0).expect("keys").append_value(key);
                entries.field_builder::<BinaryBuilder>(1).expect("values").append_option(*value);
                entries.append(true);
            }
            builder.append(row.is_some());
        }
        builder.finish()
    }

    fn written(format: &dyn FileFormat, column: &Column) -> String {
        let mut encoder = format.encoder(&column.field).expect("a supported type");
        encoder.write(&column.array).expect("rows");
        String::from_utf8(encoder.finish(&[]).expect("the end").0.concat()).expect("text")
    }

    #[test]
    fn a_format_that_needs_records_gets_records() {
        let key = Column::new(Field::new("key", DataType::Int64, true).into(), Arc::new(Int64Array::from(vec![Some(7), None])));
        let list = headers(&[Some(&[("h", Some(b"v"))])]);
        for (name, key_record, header_record) in [("parquet", true, true), ("json", false, true), ("avro", false, false), ("bytes", false, false)] {
            let format = format(name);
            let (keys, headers) = (keys_view(format.as_ref(), &key), headers_view(format.as_ref(), &list));
            let named = |column: &Column| column.field.metadata().get(NAME).cloned().unwrap_or_default();
            assert_eq!(
                (named(&keys).as_str(), named(&headers).as_str()),
                (if key_record { "RecordKey" } else { "" }, if header_record { "RecordHeaders" } else { "" })
            );
            assert_eq!(keys.len(), 2);
            if key_record {
                assert_eq!(keys.field.data_type(), &DataType::Struct(vec![Field::new("key", DataType::Int64, true)].into()));
            } else {
                assert_eq!(keys.field, key.field);
            }
        }
    }

    #[test]
    fn json_files_of_headers_are_objects_of_texts() {
        let rows: [Option<Headers<'_>>; 4] =
            [Some(&[("s", Some(b"s")), ("int", Some(b"12")), ("boolean", Some(b"false"))]), Some(&[("s", Some(b"\xff")), ("s", None)]), None, Some(&[])];
        let all = headers(&rows);
        let json = format("json");
        let lines = [
            r#"{"headers":[{"key":"s","value":"s"},{"key":"int","value":"12"},{"key":"boolean","value":"false"}]}"#,
            "{\"headers\":[{\"key\":\"s\",\"value\":\"\u{fffd}\"},{\"key\":\"s\",\"value\":\"\"}]}",
            r#"{"headers":[]}"#,
            r#"{"headers":[]}"#,
        ];
        assert_eq!(written(json.as_ref(), &headers_view(json.as_ref(), &all)), lines.join("\n") + "\n");
        assert_eq!(written(json.as_ref(), &headers_view(json.as_ref(), &all.slice(1, 2))), lines[1..3].join("\n") + "\n");
    }

    #[test]
    fn rows_without_headers_or_with_a_header_without_a_value_are_named() {
        let rows: [Option<Headers<'_>>; 4] = [Some(&[("a", Some(b""))]), Some(&[("a", Some(b"1")), ("b", None)]), None, Some(&[])];
        let rejects: Vec<(usize, String)> = unusable_headers(&headers(&rows)).into_iter().map(|reject| (reject.row, reject.reason)).collect();
        let none = "the record has no headers, store.kafka.headers=true needs some".to_owned();
        assert_eq!(rejects, [(1, "header \"b\" has no value, store.kafka.headers=true needs one".to_owned()), (2, none.clone()), (3, none)]);
    }

    #[test]
    fn headers_go_into_avro_as_a_list_and_not_into_bytes() {
        let list = headers(&[Some(&[("h", Some(b"v"))])]);
        let avro = format("avro");
        let column = headers_view(avro.as_ref(), &list);
        let mut encoder = avro.encoder(&column.field).expect("a list");
        encoder.write(&column.array).expect("rows");
        let file = encoder.finish(&[]).expect("the end").0.concat();
        assert!(file.windows(7).any(|row| row == [2, 2, b'h', 2, b'v', 0, file[file.len() - 16]]), "one entry in one block");
        let bytes = format("bytes");
        assert!(bytes.encoder(&headers_view(bytes.as_ref(), &list).field).is_err());
        let other = ListArray::from_iter_primitive::<arrow::datatypes::Int32Type, _, _>(vec![Some(vec![Some(1)])]);
        assert_eq!(headers_view(avro.as_ref(), &other).array.as_list::<i32>().value_length(0), 0);
    }
}
