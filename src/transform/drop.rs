//! `Drop`: the key or the value becomes null.
//!
//! Upstream: Confluent's `connect-transforms`, `io.confluent.connect.transforms.Drop$Key` and `$Value`; `schema.behavior` says what becomes of the schema.

use std::sync::Arc;

use arrow::array::new_null_array;
use arrow::datatypes::{DataType, Field, FieldRef};
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schema::is_json_text;
use lakehead_formats::schemaless::is_dynamic;

use super::drop_headers::refused;
use super::{Built, Side, Transform};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigKey, Importance, Type, Values};

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[ConfigKey {
    name: "schema.behavior",
    kind: Type::String,
    default: Some("nullify"),
    required: false,
    importance: Importance::Medium,
    group: "",
    doc: "What becomes of the schema: nullify drops it, retain keeps it, validate keeps it and fails when it is not optional, force_optional makes it optional.",
    check: Check::OneOfIgnoreCase(&["nullify", "retain", "validate", "force_optional"]),
}];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Schema {
    Nullify,
    Retain,
    Validate,
    ForceOptional,
}

#[derive(Debug)]
struct Drop {
    side: Side,
    schema: Schema,
}

/// Builds it.
pub(super) fn build(side: Side, props: &Props) -> Built {
    let schema = match (Values { tables: &[KEYS], props }).text("schema.behavior").to_ascii_lowercase().as_str() {
        "retain" => Schema::Retain,
        "validate" => Schema::Validate,
        "force_optional" => Schema::ForceOptional,
        _ => Schema::Nullify,
    };
    Ok(Box::new(Drop { side, schema }))
}

impl Transform for Drop {
    fn apply(&mut self, mut batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let old = &self.side.of(&batch).field;
        let without = || Arc::new(Field::new(self.side.name(), DataType::Null, true));
        let field: FieldRef = match self.schema {
            Schema::Nullify => without(),
            _ if is_dynamic(old) || is_json_text(old) || old.data_type() == &DataType::Null => without(),
            Schema::ForceOptional => Arc::new(old.as_ref().clone().with_nullable(true)),
            Schema::Validate if !old.is_nullable() => {
                let name = self.side.name();
                let reason = format!("the {name} is to be dropped, but its schema is not optional: set schema.behavior to nullify, retain or force_optional");
                return refused(&batch, &reason, out);
            }
            Schema::Retain | Schema::Validate => Arc::clone(old),
        };
        let array = new_null_array(field.data_type(), batch.len());
        self.side.put(&mut batch, Column::new(field, array));
        out.push(batch);
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::configure;
    use super::super::side::tests::{apply_all, apply_schema, json_batch, schema, schema_batch};
    use super::*;

    #[test]
    fn the_schema_is_dropped_kept_or_made_optional() {
        let (required, optional) = (r#"{"type":"int32"}"#, r#"{"type":"int32","optional":true}"#);
        for (behavior, given, left) in [
            ("retain", required, Some(required)),
            ("retain", optional, Some(optional)),
            ("validate", optional, Some(optional)),
            ("validate", required, None),
            ("force_optional", required, Some(optional)),
            ("FORCE_OPTIONAL", optional, Some(optional)),
        ] {
            for class in ["Drop$Key", "Drop$Value"] {
                let shown = apply_schema(class, &[("schema.behavior", behavior)], given, &["1", "2"]);
                match left {
                    Some(left) => assert_eq!((shown.schema, shown.rows), (schema(left), vec!["null".to_owned(); 2]), "{class} {behavior} {given}"),
                    None => assert!(shown.rejects.len() == 2 && shown.rejects[0].reason.contains("is not optional"), "{:?}", shown.rejects),
                }
            }
        }
        let (out, _) = apply_all("Drop$Value", &[], schema_batch(required, &["1"]));
        assert_eq!(out[0].value.field.data_type(), &DataType::Null);
    }

    #[test]
    fn a_value_without_a_schema_is_null_without_one() {
        for behavior in ["nullify", "retain", "validate", "force_optional"] {
            let mut out = Vec::new();
            let props = [("schema.behavior".to_owned(), behavior.to_owned())].into();
            assert!(configure("io.confluent.connect.transforms.Drop$Value", &props).unwrap().apply(json_batch(&["1"]), &mut out).is_empty());
            assert_eq!((out[0].value.field.data_type(), out[0].key.field.data_type()), (&DataType::Null, &DataType::Utf8));
        }
    }
}
