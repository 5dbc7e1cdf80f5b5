//! `ValueToKey`: a key made of fields of the value.
//!
//! Upstream: `org.apache.kafka.connect.transforms.ValueToKey`. A record without a value fails. A field that a schema lacks fails; one that a map lacks is null.

use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{DataType, Field};
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schemaless::{Dynamic, Kind};

use super::fields::{as_struct, masked, rebuilt, with_default};
use super::side::{Refusal, Rewrite, Rewritten, Sided, map_required, not_maps, struct_required};
use super::{Built, Side};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "fields",
        kind: Type::List,
        default: None,
        required: true,
        importance: Importance::High,
        group: "",
        doc: "Fields of the value that the key is made of.",
        check: Check::Any,
    },
    super::fields::REPLACE_NULL_WITH_DEFAULT,
];

const PURPOSE: &str = "copying fields from value to key";

#[derive(Debug)]
struct ValueToKey {
    names: Vec<String>,
    defaults: bool,
}

/// Builds it.
pub(super) fn build(props: &Props) -> Built {
    let values = Values { tables: &[KEYS], props };
    let mut names: Vec<String> = Vec::new();
    for name in values.list("fields") {
        // What is there twice counts once.
        if names.iter().all(|known| known != name) {
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        return Err(vec![ConfigError::new("fields", "Invalid value [] for configuration fields: Empty list")]);
    }
    let rewrite = ValueToKey { names, defaults: values.boolean("replace.null.with.default") };
    Ok(Box::new(Sided { reads: Side::Value, writes: Side::Key, rewrite }))
}

impl Rewrite for ValueToKey {
    const PASSES_NULLS: bool = false;

    fn schemaless(&mut self, _batch: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        let mut members: Vec<(Arc<str>, Dynamic)> = Vec::with_capacity(self.names.len());
        for name in &self.names {
            members.push((Arc::from(name.as_str()), values.member(name).unwrap_or_else(|| Dynamic::none(Kind::Null, values.len())).or_null()));
        }
        Ok(Rewritten { values: Dynamic::map(members, values.len())?, rejects: not_maps(values, PURPOSE, true) })
    }

    fn with_schema(&mut self, _batch: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal> {
        let (Some(array), DataType::Struct(old)) = (as_struct(column), column.field.data_type()) else { return Err(struct_required(PURPOSE, column)) };
        // A record without a value has no schema either.
        let missing = array.nulls().into_iter().flat_map(|nulls| nulls.iter().enumerate().filter(|(_, valid)| !valid));
        let rejects: Vec<Reject> = missing.map(|(row, _)| Reject { row, reason: map_required(PURPOSE, Kind::Null.class_name()) }).collect();
        let (mut fields, mut columns) = (Vec::new(), Vec::new());
        for name in &self.names {
            let Some((at, field)) = old.find(name) else { return Err(Refusal(format!("Field does not exist: {name}"))) };
            let values = if self.defaults { with_default(field, array.column(at))? } else { Arc::clone(array.column(at)) };
            fields.push(Arc::clone(field));
            columns.push(masked(&values, array.nulls())?);
        }
        let key = Field::new(Side::Key.name(), DataType::Null, false);
        Ok(Rewritten { values: rebuilt(&key, fields, columns, array.nulls(), array.len())?, rejects })
    }
}

#[cfg(test)]
mod tests {
    use super::super::side::tests::{apply_json, apply_schema, schema};
    use super::*;

    #[test]
    fn keys_of_maps() {
        for (fields, row, expected) in [
            ("a", r#"{"a":1,"b":2}"#, Ok(r#"{"a":1}"#)),
            ("b,zz", r#"{"a":1,"b":{"c":2}}"#, Ok(r#"{"b":{"c":2},"zz":null}"#)),
            ("a,a", r#"{"a":1}"#, Ok(r#"{"a":1}"#)),
            ("a", "null", Err("Only Map objects supported in absence of schema for [copying fields from value to key], found: null")),
            ("a", "true", Err("Only Map objects supported in absence of schema for [copying fields from value to key], found: java.lang.Boolean")),
        ] {
            assert_eq!(apply_json("ValueToKey", &[("fields", fields)], &[row]), [expected.map(str::to_owned).map_err(str::to_owned)], "{row}");
        }
    }

    #[test]
    fn keys_of_structs() {
        let value = r#"{"type":"struct","fields":[{"field":"a","type":"int32","optional":true,"default":42},{"field":"b","type":"string"}]}"#;
        let rows = [r#"{"a":null,"b":"x"}"#, "null", r#"{"a":7,"b":"y"}"#];
        let shown = apply_schema("ValueToKey", &[("fields", "b,a")], value, &rows);
        let key = r#"{"type":"struct","fields":[{"field":"b","type":"string"},{"field":"a","type":"int32","optional":true,"default":42}]}"#;
        assert_eq!((shown.schema, shown.rows), (schema(key), [r#"{"b":"x","a":42}"#, r#"{"b":"y","a":7}"#].map(str::to_owned).to_vec()));
        assert_eq!(shown.rejects.iter().map(|reject| reject.row).collect::<Vec<_>>(), [1]);
        let shown = apply_schema("ValueToKey", &[("fields", "a"), ("replace.null.with.default", "false")], value, &rows);
        assert_eq!(shown.rows, [r#"{"a":null}"#, r#"{"a":7}"#]);
        assert_eq!(apply_schema("ValueToKey", &[("fields", "zz")], value, &rows).rejects[0].reason, "Field does not exist: zz");
        assert_eq!(build(&[("fields".to_owned(), " ".to_owned())].into()).unwrap_err()[0].message, "Invalid value [] for configuration fields: Empty list");
    }
}
