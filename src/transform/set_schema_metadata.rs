//! `SetSchemaMetadata`: another name or version for the schema.
//!
//! Upstream: `org.apache.kafka.connect.transforms.SetSchemaMetadata$Key` and `$Value`. What has no schema fails, unless it is null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StructArray};
use arrow::datatypes::DataType;
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schema::{NAME, VERSION};
use lakehead_formats::schemaless::{Dynamic, Kind};

use super::fields::{as_struct, with_default};
use super::side::{Refusal, Rewrite, Rewritten, Sided};
use super::{Built, Side};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    key("schema.name", Type::String, "The name that the schema gets."),
    key("schema.version", Type::Int, "The version that the schema gets."),
    super::fields::REPLACE_NULL_WITH_DEFAULT,
];

const fn key(name: &'static str, kind: Type, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default: None, required: false, importance: Importance::High, group: "", doc, check: Check::Any }
}

#[derive(Debug)]
struct SetSchemaMetadata {
    name: Option<String>,
    version: Option<i64>,
    defaults: bool,
}

/// Builds it.
pub(super) fn build(side: Side, props: &Props) -> Built {
    let values = Values { tables: &[KEYS], props };
    let name = props.contains_key("schema.name").then(|| values.text("schema.name").to_owned());
    let version = values.long("schema.version");
    if name.is_none() && version.is_none() {
        return Err(vec![ConfigError::new("schema.name", "Neither schema name nor version configured")]);
    }
    Ok(Sided::boxed(side, SetSchemaMetadata { name, version, defaults: values.boolean("replace.null.with.default") }))
}

impl Rewrite for SetSchemaMetadata {
    const PASSES_NULLS: bool = false;
    const KEEPS_NULLS: bool = true;

    fn schemaless(&mut self, _batch: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        let rows = (0..values.len()).filter(|row| values.kind(*row) > Kind::Null);
        let rejects = rows.map(|row| Reject { row, reason: "Schema required for [updating schema metadata]".to_owned() }).collect();
        Ok(Rewritten { values: values.clone(), rejects })
    }

    fn with_schema(&mut self, _batch: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal> {
        let mut field = column.field.as_ref().clone();
        let metadata = field.metadata_mut();
        metadata.extend(self.name.clone().map(|name| (NAME.to_owned(), name)));
        metadata.extend(self.version.map(|version| (VERSION.to_owned(), version.to_string())));
        let array = match (as_struct(column), field.data_type()) {
            // The struct is put together anew, and its fields are read with their defaults.
            (Some(array), DataType::Struct(fields)) if self.defaults => {
                let columns = fields.iter().zip(array.columns()).map(|(field, values)| with_default(field, values)).collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len())?) as ArrayRef
            }
            _ => Arc::clone(&column.array),
        };
        Ok(Column::new(Arc::new(field), array).into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::side::tests::{apply_json, apply_schema, schema};
    use super::*;

    #[test]
    fn name_and_version_are_set() {
        for (settings, old, new) in [
            (vec![("schema.name", "foo")], r#"{"type":"int32","name":"x","version":3,"doc":"d"}"#, r#"{"type":"int32","name":"foo","version":3,"doc":"d"}"#),
            (vec![("schema.version", "42")], r#"{"type":"int32","name":"x"}"#, r#"{"type":"int32","name":"x","version":42}"#),
            (
                vec![("schema.name", "foo"), ("schema.version", "1")],
                r#"{"type":"array","items":{"type":"int8"}}"#,
                r#"{"type":"array","items":{"type":"int8"},"name":"foo","version":1}"#,
            ),
        ] {
            assert_eq!(apply_schema("SetSchemaMetadata$Value", &settings, old, &["null"]).schema, schema(new));
        }
    }

    #[test]
    fn fields_are_read_with_their_defaults() {
        let value = r#"{"type":"struct","fields":[{"field":"a","type":"int32","optional":true,"default":42}]}"#;
        for (defaults, expected) in [("true", r#"{"a":42}"#), ("false", r#"{"a":null}"#)] {
            let shown =
                apply_schema("SetSchemaMetadata$Key", &[("schema.name", "foo"), ("replace.null.with.default", defaults)], value, &[r#"{"a":null}"#, "null"]);
            assert_eq!(shown.rows, [expected, "null"]);
        }
    }

    #[test]
    fn what_has_no_schema_fails_unless_it_is_null() {
        let rows = apply_json("SetSchemaMetadata$Value", &[("schema.name", "foo")], &["1", "null"]);
        assert_eq!(rows, [Err("Schema required for [updating schema metadata]".to_owned()), Ok("null".to_owned())]);
        assert_eq!(build(Side::Key, &Props::new()).unwrap_err()[0].message, "Neither schema name nor version configured");
    }
}
