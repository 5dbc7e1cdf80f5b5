//! `ExtractField`: one field in the place of the struct or map that it is in.
//!
//! Upstream: `org.apache.kafka.connect.transforms.ExtractField$Key` and `$Value`. A field that a schema lacks fails; one that a map lacks is null.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, FieldRef};
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schemaless::{Dynamic, Kind};

use super::fields::{masked, named, with_default};
use super::path::{FieldPath, Syntax, VERSION};
use super::side::{Refusal, Rewrite, Rewritten, Sided, map_required, not_maps, struct_required};
use super::{Built, Side};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "field",
        kind: Type::String,
        default: None,
        required: true,
        importance: Importance::Medium,
        group: "",
        doc: "The field that takes the place of the whole.",
        check: Check::Any,
    },
    VERSION,
    super::fields::REPLACE_NULL_WITH_DEFAULT,
];

const PURPOSE: &str = "field extraction";
const NESTED: &str = "nested field access";

#[derive(Debug)]
struct ExtractField {
    path: FieldPath,
    text: String,
    defaults: bool,
}

/// Builds it.
pub(super) fn build(side: Side, props: &Props) -> Built {
    let values = Values { tables: &[KEYS], props };
    let text = values.text("field");
    let path = FieldPath::parse(text, Syntax::of(values.text("field.syntax.version"))).map_err(|message| vec![ConfigError::new("field", message)])?;
    Ok(Sided::boxed(side, ExtractField { path, text: text.to_owned(), defaults: values.boolean("replace.null.with.default") }))
}

impl ExtractField {
    /// The names of the structs on the way, and that of the field.
    fn steps(&self) -> Result<(&[String], &String), Refusal> {
        let (last, before) = self.path.steps().split_last().ok_or_else(|| Refusal("Index -1 out of bounds for length 0".to_owned()))?;
        Ok((before, last))
    }

    /// The field, and its values where the structs around it are there.
    fn step(&self, field: &FieldRef, array: &ArrayRef, name: &str, defaults: bool) -> Result<(FieldRef, ArrayRef), Refusal> {
        let DataType::Struct(fields) = field.data_type() else { return Err(Refusal("Cannot look up fields on non-struct type".to_owned())) };
        let Some((at, child)) = fields.find(name) else { return Err(Refusal(format!("Unknown field: {}", self.text))) };
        let values = array.as_struct().column(at);
        let values = if defaults { with_default(child, values)? } else { Arc::clone(values) };
        Ok((Arc::clone(child), masked(&values, array.nulls())?))
    }
}

impl Rewrite for ExtractField {
    const PASSES_NULLS: bool = false;
    const KEEPS_NULLS: bool = true;

    fn schemaless(&mut self, _batch: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        let mut rejects = not_maps(values, PURPOSE, false);
        let (before, last) = self.steps()?;
        let absent = || Dynamic::none(Kind::Absent, values.len());
        let mut inner = values.clone();
        for step in before {
            inner = inner.member(step).unwrap_or_else(absent);
            let kinds = (0..inner.len()).map(|row| inner.kind(row)).enumerate();
            let wrong = kinds.filter(|(_, kind)| *kind > Kind::Null && *kind != Kind::Map);
            rejects.extend(wrong.map(|(row, kind)| Reject { row, reason: map_required(NESTED, kind.class_name()) }));
        }
        Ok(Rewritten { values: inner.member(last).unwrap_or_else(absent).or_null(), rejects })
    }

    fn with_schema(&mut self, _batch: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal> {
        if !matches!(column.field.data_type(), DataType::Struct(_)) {
            return Err(struct_required(PURPOSE, column));
        }
        let (before, last) = self.steps()?;
        let (mut field, mut array) = (Arc::clone(&column.field), Arc::clone(&column.array));
        for step in before {
            (field, array) = self.step(&field, &array, step, true)?;
        }
        let (field, array) = self.step(&field, &array, last, self.defaults)?;
        Ok(Column::new(named(&field, column.field.name()), array).into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::side::tests::{Shown, apply_json, apply_schema, schema};
    use super::*;

    #[test]
    fn a_field_of_maps() {
        for (settings, row, expected) in [
            (vec![("field", "a")], r#"{"a":{"b":1},"c":2}"#, Ok(r#"{"b":1}"#)),
            (vec![("field", "zz")], r#"{"a":1}"#, Ok("null")),
            (vec![("field", "a")], "null", Ok("null")),
            (vec![("field", "a.b")], r#"{"a":{"b":1},"a.b":2}"#, Ok("2")),
            (vec![("field", "a.b"), ("field.syntax.version", "v2")], r#"{"a":{"b":1},"a.b":2}"#, Ok("1")),
            (vec![("field", "`a.b`"), ("field.syntax.version", "V2")], r#"{"a":{"b":1},"a.b":2}"#, Ok("2")),
            (vec![("field", "a.b"), ("field.syntax.version", "V2")], r#"{"a":null}"#, Ok("null")),
            (
                vec![("field", "a.b"), ("field.syntax.version", "V2")],
                r#"{"a":7}"#,
                Err("Only Map objects supported in absence of schema for [nested field access], found: java.lang.Long"),
            ),
            (vec![("field", "a")], "\"x\"", Err("Only Map objects supported in absence of schema for [field extraction], found: java.lang.String")),
        ] {
            assert_eq!(apply_json("ExtractField$Value", &settings, &[row]), [expected.map(str::to_owned).map_err(str::to_owned)], "{settings:?} {row}");
        }
    }

    #[test]
    fn bad_rows_leave_their_neighbours() {
        let rows = apply_json("ExtractField$Key", &[("field", "a")], &["1", r#"{"a":1}"#, "[]", "null", r#"{"a":[2]}"#]);
        assert_eq!(rows.iter().map(|row| row.as_deref().ok()).collect::<Vec<_>>(), [None, Some("1"), None, Some("null"), Some("[2]")]);
    }

    const NESTED_SCHEMA: &str = r#"{"type":"struct","fields":[{"field":"s","type":"struct","optional":true,"fields":[
        {"field":"d","type":"int32","optional":true,"default":42},{"field":"n","type":"string","optional":true}]}]}"#;

    #[test]
    fn a_field_of_structs_is_null_where_the_struct_is() {
        let rows = [r#"{"s":{"d":1,"n":"x"}}"#, r#"{"s":null}"#, r#"{"s":{"d":null,"n":null}}"#, "null"];
        let extract = |settings: &[(&str, &str)]| apply_schema("ExtractField$Value", settings, NESTED_SCHEMA, &rows);
        let v2 = ("field.syntax.version", "V2");
        let Shown { schema: found, rows, .. } = extract(&[("field", "s.d"), v2]);
        assert_eq!(found, schema(r#"{"type":"int32","optional":true,"default":42}"#));
        assert_eq!(rows, ["1", "null", "42", "null"]);
        assert_eq!(extract(&[("field", "s.d"), v2, ("replace.null.with.default", "false")]).rows, ["1", "null", "null", "null"]);
        assert_eq!(extract(&[("field", "s.n"), v2]).rows, ["\"x\"", "null", "null", "null"]);
        for (field, reason) in
            [("s.zz", "Unknown field: s.zz"), ("s.d.x", "Cannot look up fields on non-struct type"), ("", "Index -1 out of bounds for length 0")]
        {
            let shown = extract(&[("field", field), v2]);
            assert_eq!((shown.rows.len(), shown.rejects.len(), shown.rejects[0].reason.as_str()), (1, 3, reason)); // the tombstone goes on;
        }
    }

    #[test]
    fn what_is_no_struct_has_no_fields() {
        let shown = apply_schema("ExtractField$Key", &[("field", "a")], r#"{"type":"int64"}"#, &["7"]);
        assert_eq!(shown.rejects[0].reason, "Only Struct objects supported for [field extraction], found: java.lang.Long");
    }

    #[test]
    fn a_path_that_does_not_end_is_refused() {
        let settings = [("field", "`a"), ("field.syntax.version", "V2")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert!(build(Side::Key, &settings.into()).unwrap_err()[0].message.starts_with("Incomplete backtick pair"));
    }
}
