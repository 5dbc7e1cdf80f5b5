//! `InsertField`: topic, partition, offset, timestamp or a fixed text as fields.
//!
//! Upstream: `org.apache.kafka.connect.transforms.InsertField$Key` and `$Value`. A name that ends in `!` is a required field, one that ends in `?` or in
//! neither an optional one. What a record does not have is null under a schema, and no key of a map. The topic is the one that the record goes to by then.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Array, Int64Array, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, TimeUnit};
use arrow::error::ArrowError;
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schema::{NAME, TIMESTAMP, VERSION};
use lakehead_formats::schemaless::{Dynamic, Kind, Members};

use super::fields::{as_struct, rebuilt, with_default};
use super::side::{Refusal, Rewrite, Rewritten, Sided, not_maps, struct_required};
use super::{Built, Side};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    key("topic.field", "Name of the field for the topic; with ! behind it required, with ? or nothing optional."),
    key("partition.field", "Name of the field for the partition; with ! behind it required, with ? or nothing optional."),
    key("offset.field", "Name of the field for the offset, in sinks; with ! behind it required, with ? or nothing optional."),
    key("timestamp.field", "Name of the field for the record's timestamp; with ! behind it required, with ? or nothing optional."),
    key("static.field", "Name of the field for static.value; with ! behind it required, with ? or nothing optional."),
    key("static.value", "The text of the static field."),
    super::fields::REPLACE_NULL_WITH_DEFAULT,
];

const fn key(name: &'static str, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind: Type::String, default: None, required: false, importance: Importance::Medium, group: "", doc, check: Check::Any }
}

const PURPOSE: &str = "field insertion";

/// Where a field's values come from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Static(String),
}

/// A field to insert.
#[derive(Debug)]
struct Insertion {
    name: Arc<str>,
    optional: bool,
    source: Source,
}

#[derive(Debug)]
struct InsertField {
    insertions: Vec<Insertion>,
    defaults: bool,
    of_source: bool,
}

/// Builds it.
pub(super) fn build(side: Side, props: &Props) -> Built {
    let values = Values { tables: &[KEYS], props };
    let sources = [
        ("topic.field", Source::Topic),
        ("partition.field", Source::Partition),
        ("offset.field", Source::Offset),
        ("timestamp.field", Source::Timestamp),
        ("static.field", Source::Static(values.text("static.value").to_owned())),
    ];
    let insertions: Vec<Insertion> = sources
        .into_iter()
        .filter(|(key, _)| props.contains_key(*key))
        .map(|(key, source)| {
            let text = values.text(key);
            let (name, optional) = match (text.strip_suffix('?'), text.strip_suffix('!')) {
                (Some(name), _) => (name, true),
                (_, Some(name)) => (name, false),
                _ => (text, true),
            };
            Insertion { name: Arc::from(name), optional, source }
        })
        .collect();
    if insertions.is_empty() {
        return Err(vec![ConfigError::new("topic.field", "No field insertion configured")]);
    }
    if props.contains_key("static.field") && !props.contains_key("static.value") {
        let message = format!("Invalid value null for configuration static.value: No value specified for static field: {}", values.text("static.field"));
        return Err(vec![ConfigError::new("static.value", message)]);
    }
    Ok(Sided::boxed(side, InsertField { insertions, defaults: values.boolean("replace.null.with.default"), of_source: false }))
}

impl Insertion {
    /// The field; a timestamp is one of Connect's under a schema.
    fn field(&self) -> Field {
        let field = |data_type| Field::new(self.name.as_ref(), data_type, self.optional);
        match self.source {
            Source::Topic | Source::Static(_) => field(DataType::Utf8),
            Source::Partition => field(DataType::Int32),
            Source::Offset => field(DataType::Int64),
            Source::Timestamp => {
                let metadata = [(NAME.to_owned(), TIMESTAMP.to_owned()), (VERSION.to_owned(), "1".to_owned())];
                field(DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()))).with_metadata(metadata)
            }
        }
    }

    /// The values of all records; null where a record has none.
    fn values(&self, batch: &Batch) -> Result<ArrayRef, ArrowError> {
        let rows = batch.len();
        Ok(match &self.source {
            Source::Topic => repeated(&batch.topic, rows)?,
            Source::Static(text) => repeated(text, rows)?,
            Source::Partition if batch.from.partition < 0 => Arc::new(Int32Array::new_null(rows)), // the producer chooses it
            Source::Partition => Arc::new(Int32Array::from_value(batch.from.partition, rows)),
            Source::Offset => Arc::new(batch.offsets.clone()),
            Source::Timestamp => Arc::new(batch.timestamps.clone().with_timezone("UTC")),
        })
    }

    /// The same without a schema: a timestamp is a number then, and what a record has not is no key.
    fn dynamic(&self, batch: &Batch) -> Result<Dynamic, ArrowError> {
        let (kind, values): (Kind, ArrayRef) = match self.source {
            Source::Topic | Source::Static(_) => (Kind::String, self.values(batch)?),
            Source::Partition => (Kind::Int32, self.values(batch)?),
            Source::Offset => (Kind::Int64, self.values(batch)?),
            Source::Timestamp => (Kind::Int64, Arc::new(Int64Array::new(batch.timestamps.values().clone(), batch.timestamps.nulls().cloned()))),
        };
        let values = Dynamic::scalar(kind, values).unwrap_or_else(|| Dynamic::none(Kind::Null, batch.len()));
        values.only(&!&values.are(Kind::Null))
    }
}

/// One text for all rows.
fn repeated(text: &str, rows: usize) -> Result<ArrayRef, ArrowError> {
    i32::try_from(text.len().saturating_mul(rows)).map_err(|_| ArrowError::OffsetOverflowError(rows))?;
    let offsets = OffsetBuffer::<i32>::from_repeated_length(text.len(), rows);
    Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(text.repeat(rows).into_bytes()), None)?))
}

impl InsertField {
    fn check(&self) -> Result<(), Refusal> {
        if self.of_source && self.insertions.iter().any(|insertion| insertion.source == Source::Offset) {
            let found = "org.apache.kafka.connect.source.SourceRecord";
            return Err(Refusal(format!("Only SinkRecord supported for [{PURPOSE}], found: {found}")));
        }
        Ok(())
    }
}

impl Rewrite for InsertField {
    const PASSES_NULLS: bool = true;

    fn schemaless(&mut self, batch: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        let rejects = not_maps(values, PURPOSE, false);
        if rejects.len() == values.len() {
            return Ok(Rewritten { values: values.clone(), rejects });
        }
        self.check()?;
        let mut members = Members::of(values);
        for insertion in &self.insertions {
            members.put(&insertion.name, &insertion.dynamic(batch)?)?;
        }
        Ok(Rewritten { values: members.into_maps(values)?, rejects })
    }

    fn with_schema(&mut self, batch: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal> {
        let (Some(array), DataType::Struct(old)) = (as_struct(column), column.field.data_type()) else { return Err(struct_required(PURPOSE, column)) };
        self.check()?;
        let mut columns = array.columns().to_vec();
        if self.defaults {
            columns = old.iter().zip(&columns).map(|(field, values)| with_default(field, values)).collect::<Result<_, _>>()?;
        }
        let mut fields: Vec<_> = old.iter().map(Arc::clone).collect();
        let mut rejects = Vec::new();
        for insertion in &self.insertions {
            let (mut field, values) = (insertion.field(), insertion.values(batch)?);
            if !insertion.optional && values.null_count() > 0 {
                // The schema asks for it: the records that do not have it go no further.
                let reason = format!("Invalid value: null used for required field: \"{}\", schema type: {}", insertion.name, schema_type(&field));
                let missing = (0..values.len()).filter(|row| values.is_null(*row) && array.is_valid(*row));
                rejects.extend(missing.map(|row| Reject { row, reason: reason.clone() }));
                field.set_nullable(true);
            }
            fields.push(Arc::new(field));
            columns.push(values);
        }
        let mut done = rebuilt(&column.field, fields, columns, array.nulls(), array.len())?;
        if !rejects.is_empty() {
            done = self.required_again(done, array)?;
        }
        Ok(Rewritten { values: done, rejects })
    }

    fn of_source(&mut self) {
        self.of_source = true;
    }
}

impl InsertField {
    /// The column with its required fields as such; rows that lack one are null, and are left out by the caller.
    fn required_again(&self, column: Column, old: &arrow::array::StructArray) -> Result<Column, Refusal> {
        let Some(array) = as_struct(&column) else { return Ok(column) };
        let (mut fields, mut nulls) = (Vec::new(), old.nulls().cloned());
        for (at, field) in array.fields().iter().enumerate() {
            match at.checked_sub(old.num_columns()).and_then(|at| self.insertions.get(at)) {
                Some(insertion) => {
                    fields.push(Arc::new(insertion.field()));
                    if !insertion.optional {
                        nulls = arrow::buffer::NullBuffer::union(nulls.as_ref(), array.column(at).nulls());
                    }
                }
                None => fields.push(Arc::clone(field)),
            }
        }
        rebuilt(&column.field, fields, array.columns().to_vec(), nulls.as_ref(), array.len())
    }
}

/// The type as Java's messages have it.
fn schema_type(field: &Field) -> &'static str {
    match field.data_type() {
        DataType::Int32 => "INT32",
        DataType::Int64 | DataType::Timestamp(..) => "INT64",
        _ => "STRING",
    }
}

#[cfg(test)]
mod tests {
    use super::super::side::tests::{apply_json, apply_schema, json_batch, schema};
    use super::*;

    #[test]
    fn maps_get_keys() {
        let all =
            [("topic.field", "t!"), ("partition.field", "p"), ("offset.field", "o?"), ("timestamp.field", "ts"), ("static.field", "s"), ("static.value", "x")];
        // The batch is of orders-3, from offset 100 on; the second of its records has no timestamp.
        let found = apply_json("InsertField$Value", &all, &[r#"{"a":1}"#, r#"{"t":null}"#, "null", "7"]);
        let expected = [
            Ok(r#"{"a":1,"t":"orders","p":3,"o":100,"ts":1000,"s":"x"}"#.to_owned()),
            Ok(r#"{"t":"orders","p":3,"o":101,"s":"x"}"#.to_owned()),
            Ok("null".to_owned()),
            Err("Only Map objects supported in absence of schema for [field insertion], found: java.lang.Long".to_owned()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn structs_get_fields() {
        let value = r#"{"type":"struct","name":"n","version":1,"optional":true,"fields":[{"field":"a","type":"int64","optional":true,"default":4}]}"#;
        let all = [("topic.field", "t!"), ("partition.field", "p"), ("timestamp.field", "ts"), ("static.field", "s?"), ("static.value", "x")];
        let shown = apply_schema("InsertField$Value", &all, value, &[r#"{"a":1}"#, r#"{"a":null}"#, "null"]);
        let expected = r#"{"type":"struct","name":"n","version":1,"fields":[{"field":"a","type":"int64","optional":true,"default":4},{"field":"t","type":"string"},
            {"field":"p","type":"int32","optional":true},{"field":"ts","type":"int64","optional":true,"name":"org.apache.kafka.connect.data.Timestamp","version":1},
            {"field":"s","type":"string","optional":true}]}"#;
        assert_eq!(shown.schema, schema(expected));
        assert_eq!(shown.rows, [r#"{"a":1,"t":"orders","p":3,"ts":1000,"s":"x"}"#, r#"{"a":4,"t":"orders","p":3,"ts":null,"s":"x"}"#, "null"]);
    }

    #[test]
    fn records_without_a_required_timestamp_are_left_out() {
        let value = r#"{"type":"struct","fields":[{"field":"a","type":"int64"}]}"#;
        let shown = apply_schema(
            "InsertField$Value",
            &[("timestamp.field", "ts!"), ("offset.field", "o!")],
            value,
            &[r#"{"a":1}"#, r#"{"a":2}"#, "null", r#"{"a":3}"#],
        );
        assert_eq!(shown.rows, [r#"{"a":1,"o":100,"ts":1000}"#, "null", r#"{"a":3,"o":103,"ts":1003}"#]);
        assert_eq!((shown.rejects.len(), shown.rejects[0].row), (1, 1));
        assert_eq!(shown.rejects[0].reason, "Invalid value: null used for required field: \"ts\", schema type: INT64");
        let twice = apply_schema("InsertField$Value", &[("offset.field", "a")], value, &[r#"{"a":1}"#]);
        assert_eq!(twice.rejects[0].reason, "Cannot create field because of field name duplication a");
    }

    #[test]
    fn a_sources_records_have_no_offset() {
        let props: Props = [("offset.field".to_owned(), "o".to_owned())].into();
        let mut transform = build(Side::Value, &props).unwrap();
        transform.of_source();
        let rejects = transform.apply(json_batch(&["{}", "null"]), &mut Vec::new());
        assert_eq!(rejects.len(), 1);
        assert_eq!(rejects[0].reason, "Only SinkRecord supported for [field insertion], found: org.apache.kafka.connect.source.SourceRecord");
    }

    #[test]
    fn something_must_be_inserted() {
        let message = |settings: &[(&str, &str)]| {
            build(Side::Key, &settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()).unwrap_err()[0].message.clone()
        };
        assert_eq!(message(&[]), "No field insertion configured");
        assert!(message(&[("static.field", "a")]).contains("No value specified for static field: a"));
    }
}
