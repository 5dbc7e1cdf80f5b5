//! `HoistField`: the whole as the one field of a struct or map.
//!
//! Upstream: `org.apache.kafka.connect.transforms.HoistField$Key` and `$Value`. A null is wrapped, too. Where it stands among values of a required schema, the
//! field is optional: upstream has no schema for that null, and wraps it in a map.

use std::sync::Arc;

use arrow::array::{Array, StructArray};
use arrow::datatypes::{DataType, Field, Fields};
use lakehead_formats::column::Column;
use lakehead_formats::schemaless::Dynamic;

use super::fields::named;
use super::side::{Refusal, Rewrite, Rewritten, Sided};
use super::{Built, Side};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigKey, Importance, Type, Values};

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[ConfigKey {
    name: "field",
    kind: Type::String,
    default: None,
    required: true,
    importance: Importance::Medium,
    group: "",
    doc: "The name of the field that the whole becomes.",
    check: Check::Any,
}];

#[derive(Debug)]
struct HoistField {
    name: Arc<str>,
}

/// Builds it.
pub(super) fn build(side: Side, props: &Props) -> Built {
    Ok(Sided::boxed(side, HoistField { name: Arc::from(Values { tables: &[KEYS], props }.text("field")) }))
}

impl Rewrite for HoistField {
    const PASSES_NULLS: bool = false;

    fn schemaless(&mut self, _batch: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        Ok(Dynamic::map(vec![(Arc::clone(&self.name), values.clone())], values.len())?.into())
    }

    fn with_schema(&mut self, _batch: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal> {
        let mut inner = named(&column.field, &self.name);
        if !inner.is_nullable() && column.array.logical_null_count() > 0 {
            inner = Arc::new(inner.as_ref().clone().with_nullable(true));
        }
        let fields = Fields::from(vec![inner]);
        let array = StructArray::try_new(fields.clone(), vec![Arc::clone(&column.array)], None)?;
        Ok(Column::new(Arc::new(Field::new(column.field.name(), DataType::Struct(fields), false)), Arc::new(array)).into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::side::tests::{apply_json, apply_schema, schema};

    #[test]
    fn every_value_becomes_a_field() {
        let rows = apply_json("HoistField$Value", &[("field", "v")], &["7", "null", r#"{"v":[1]}"#, "\"x\""]);
        let expected = [r#"{"v":7}"#, r#"{"v":null}"#, r#"{"v":{"v":[1]}}"#, r#"{"v":"x"}"#];
        assert_eq!(rows.into_iter().map(Result::unwrap).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_schema_is_that_of_the_field() {
        let hoisted = |optional: bool| format!(r#"{{"type":"struct","fields":[{{"field":"v","type":"int32","optional":{optional}}}]}}"#);
        let shown = apply_schema("HoistField$Key", &[("field", "v")], r#"{"type":"int32"}"#, &["7", "8"]);
        assert_eq!((shown.schema, shown.rows), (schema(&hoisted(false)), vec![r#"{"v":7}"#.to_owned(), r#"{"v":8}"#.to_owned()]));
        let shown = apply_schema("HoistField$Key", &[("field", "v")], r#"{"type":"int32"}"#, &["7", "null"]);
        assert_eq!((shown.schema, shown.rows), (schema(&hoisted(true)), vec![r#"{"v":7}"#.to_owned(), r#"{"v":null}"#.to_owned()]));
    }
}
