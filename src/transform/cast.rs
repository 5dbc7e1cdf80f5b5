//! `Cast`: fields, or the whole key or value, as other types.
//!
//! Upstream: `org.apache.kafka.connect.transforms.Cast`; what values become is [`lakehead_formats::value::cast`]. Fields at the top alone, as there.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::FieldRef;
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schema::DEFAULT;
use lakehead_formats::schemaless::{Dynamic, Kind};
use lakehead_formats::value::Made;
use lakehead_formats::value::cast::{Keep, Target, cast, field};

use super::fields::{REPLACE_NULL_WITH_DEFAULT, as_struct, masked, rebuilt, with_default};
use super::schemaless_kinds::{field_of, get, joined, put, rejected};
use super::side::{Refusal, Rewrite, Rewritten, Sided, not_maps, struct_required};
use super::{Built, Side};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

const PURPOSE: &str = "cast types";
const OF_STRUCT: &str =
    "Cast transformation does not support casting from STRUCT; supported types are [INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING, BYTES]";

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "spec",
        kind: Type::List,
        default: None,
        required: true,
        importance: Importance::High,
        group: "Transforms",
        doc: "Fields and their new types, field1:type,field2:type, or one type for the whole: int8, int16, int32, int64, float32, float64, boolean, string.",
        check: Check::Any,
    },
    REPLACE_NULL_WITH_DEFAULT,
];

#[derive(Debug)]
enum Spec {
    Whole(Target),
    Fields(Vec<(Arc<str>, Target)>),
}

#[derive(Debug)]
struct Cast {
    spec: Spec,
    replaces_nulls: bool,
}

/// Builds it.
pub(super) fn build(side: Side, props: &Props) -> Built {
    let values = Values { tables: &[KEYS], props };
    let spec = spec(&values.list("spec")).map_err(|message| vec![ConfigError::new("spec", message)])?;
    Ok(Sided::boxed(side, Cast { spec, replaces_nulls: values.boolean("replace.null.with.default") }))
}

fn spec(mappings: &[&str]) -> Result<Spec, String> {
    if mappings.is_empty() {
        return Err("Must specify at least one field to cast.".to_owned());
    }
    let (mut whole, mut fields): (_, Vec<(Arc<str>, Target)>) = (None, Vec::new());
    for mapping in mappings {
        let parts: Vec<&str> = mapping.trim_end_matches(':').split(':').map(str::trim).collect();
        match parts[..] {
            [kind] => whole = Some(target(kind)?),
            [name, kind] => {
                let target = target(kind)?;
                fields.retain(|(known, _)| **known != *name);
                fields.push((Arc::from(name), target));
            }
            _ => return Err(format!("Invalid value [{}] for configuration renames: Invalid rename mapping: {mapping}", mappings.join(", "))),
        }
    }
    match whole {
        Some(_) if mappings.len() > 1 => {
            Err("Cast transformations that specify a type to cast the entire value to may only specify a single cast in their spec".to_owned())
        }
        Some(target) => Ok(Spec::Whole(target)),
        None => Ok(Spec::Fields(fields)),
    }
}

fn target(kind: &str) -> Result<Target, String> {
    let name = kind.to_uppercase();
    Ok(match name.as_str() {
        "INT8" => Target::Int8,
        "INT16" => Target::Int16,
        "INT32" => Target::Int32,
        "INT64" => Target::Int64,
        "FLOAT32" => Target::Float32,
        "FLOAT64" => Target::Float64,
        "BOOLEAN" => Target::Boolean,
        "STRING" => Target::String,
        "BYTES" | "ARRAY" | "MAP" | "STRUCT" => {
            let supported = "[INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING]";
            return Err(format!("Cast transformation does not support casting to {name}; supported types are {supported}"));
        }
        _ => {
            let unknown = format!("java.lang.IllegalArgumentException: No enum constant org.apache.kafka.connect.data.Schema.Type.{name}");
            return Err(format!("Invalid value {unknown} for configuration Invalid type found in casting spec: {kind}"));
        }
    })
}

fn kind(target: Target) -> Kind {
    match target {
        Target::Int8 => Kind::Int8,
        Target::Int16 => Kind::Int16,
        Target::Int32 => Kind::Int32,
        Target::Int64 => Kind::Int64,
        Target::Float32 => Kind::Float32,
        Target::Float64 => Kind::Float64,
        Target::Boolean => Kind::Boolean,
        Target::String => Kind::String,
    }
}

impl Rewrite for Cast {
    const PASSES_NULLS: bool = true;

    fn schemaless(&mut self, _: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        match &self.spec {
            Spec::Whole(target) => cast_dynamic(values, *target),
            Spec::Fields(fields) => {
                let (mut rejects, mut changed) = (not_maps(values, PURPOSE, false), Vec::new());
                for (name, target) in fields {
                    let done = cast_dynamic(&get(values, name), *target)?;
                    rejects.extend(done.rejects);
                    changed.push((Arc::clone(name), done.values));
                }
                Ok(Rewritten { values: put(values, changed)?, rejects })
            }
        }
    }

    fn with_schema(&mut self, _: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal> {
        match &self.spec {
            Spec::Whole(target) => {
                let new_field = field(&column.field, *target, Keep::Metadata).map_err(Refusal)?;
                let Made { array, rejects } = cast(&column.array, &column.field, *target);
                Ok(Rewritten { values: Column::new(Arc::new(new_field), array), rejects })
            }
            Spec::Fields(fields) => self.cast_fields(column, fields),
        }
    }
}

impl Cast {
    fn cast_fields(&self, column: &Column, casts: &[(Arc<str>, Target)]) -> Result<Rewritten<Column>, Refusal> {
        let rows = as_struct(column).ok_or_else(|| struct_required(PURPOSE, column))?;
        if column.field.metadata().contains_key(DEFAULT) {
            return Err(Refusal(OF_STRUCT.to_owned())); // upstream casts the default of a struct too
        }
        let (mut fields, mut columns, mut rejects): (Vec<FieldRef>, Vec<ArrayRef>, Vec<Reject>) = Default::default();
        for (old, values) in rows.fields().iter().zip(rows.columns()) {
            let values = if self.replaces_nulls { with_default(old, values)? } else { Arc::clone(values) };
            let Some((_, target)) = casts.iter().find(|(name, _)| **name == **old.name()) else {
                fields.push(Arc::clone(old));
                columns.push(values);
                continue;
            };
            let made = cast(&masked(&values, rows.nulls())?, old, *target);
            fields.push(Arc::new(field(old, *target, Keep::Nothing).map_err(Refusal)?));
            columns.push(made.array);
            rejects.extend(made.rejects);
        }
        let nulls = without_rejected(rows.nulls(), &rejects, rows.len());
        let values = rebuilt(&column.field, fields, columns, nulls.as_ref(), rows.len())?;
        Ok(Rewritten { values: optional_as(&column.field, values), rejects })
    }
}

/// A struct without its rejected rows: what is required in it may be missing there.
pub(super) fn without_rejected(nulls: Option<&NullBuffer>, rejects: &[Reject], rows: usize) -> Option<NullBuffer> {
    if rejects.is_empty() {
        return nulls.cloned();
    }
    let mut valid = vec![true; rows];
    rejects.iter().for_each(|reject| valid.get_mut(reject.row).into_iter().for_each(|valid| *valid = false));
    NullBuffer::union(nulls, Some(&NullBuffer::new(BooleanBuffer::from(valid))))
}

/// The column, optional where the old schema was.
pub(super) fn optional_as(old: &FieldRef, column: Column) -> Column {
    let new_field = column.field.as_ref().clone().with_nullable(old.is_nullable());
    Column::new(Arc::new(new_field), column.array)
}

fn cast_dynamic(values: &Dynamic, target: Target) -> Result<Rewritten<Dynamic>, Refusal> {
    let unsupported = "supported types are [INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING, BYTES]";
    let mut rejects = rejected(values, |kind| match kind {
        // Upstream knows no schema of these classes.
        Kind::Date | Kind::Decimal | Kind::BigInteger => {
            let class = kind.class_name();
            Some(format!("Cast transformation was passed a value of type class {class} which is not supported by Connect's data API"))
        }
        Kind::List => Some(format!("Cast transformation does not support casting from ARRAY; {unsupported}")),
        Kind::Map => Some(format!("Cast transformation does not support casting from MAP; {unsupported}")),
        _ => None,
    });
    let is_cast = |kind: Kind| kind.data_type().is_some() && !matches!(kind, Kind::Date | Kind::Decimal | Kind::BigInteger);
    let lanes = values.lanes().filter(|(kind, _)| is_cast(*kind)).map(|(_, lane)| cast(lane, &field_of(lane), target));
    let made = joined(lanes, &target.data_type(), values.len())?;
    rejects.extend(made.rejects);
    let done = Dynamic::scalar(kind(target), made.array).ok_or_else(|| Refusal("values of another type came out of a cast".to_owned()))?;
    Ok(Rewritten { values: done, rejects })
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int32Array, StringArray, StructArray};
    use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};

    use super::super::rows::tests::batch;
    use super::super::{Transform, configure};
    use super::*;

    fn transform(spec: &str) -> Result<Box<dyn Transform>, String> {
        let props = [("spec".to_owned(), spec.to_owned())].into_iter().collect();
        configure("org.apache.kafka.connect.transforms.Cast$Value", &props).map_err(|errors| errors[0].message.clone())
    }

    /// The values as JSON, and why others were left out.
    fn schemaless(spec: &str, values: &[&str]) -> (Vec<String>, Vec<(usize, String)>) {
        let rows: Vec<(i64, Option<i64>)> = (0..values.len()).map(|row| (11 + row as i64, None)).collect();
        let mut given = batch(&rows);
        given.value = Column::new(lakehead_formats::schema::json_text("value"), Arc::new(StringArray::from(values.to_vec())));
        let mut out = Vec::new();
        let rejects = transform(spec).unwrap().apply(given, &mut out);
        let texts = out.iter().flat_map(|batch| {
            let json = Dynamic::of_column(&batch.value).unwrap().json().unwrap();
            json.iter().map(|text| text.unwrap_or("null").to_owned()).collect::<Vec<_>>()
        });
        (texts.collect(), rejects.into_iter().map(|reject| (reject.row, reject.reason)).collect())
    }

    #[test]
    fn schemaless_values() {
        assert_eq!(schemaless("string", &["1", "1.5", "\"x\"", "true", "null", "1e10"]).0, ["\"1\"", "\"1.5\"", "\"x\"", "\"true\"", "null", "\"1.0E10\""]);
        let (values, rejects) = schemaless("a:int8,b:string", &["{\"a\":300}", "{\"a\":\"x\",\"b\":1}", "7", "{\"a\":[1]}", "{\"a\":null,\"b\":false}"]);
        assert_eq!(values, ["{\"a\":44,\"b\":null}", "{\"a\":null,\"b\":\"false\"}"]);
        assert_eq!(rejects.iter().map(|(row, _)| *row).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(rejects[0].1, "Value (x) was out of range for requested data type");
        assert_eq!(rejects[1].1, "Only Map objects supported in absence of schema for [cast types], found: java.lang.Long");
        assert!(rejects[2].1.starts_with("Cast transformation does not support casting from ARRAY; supported types are [INT8"));
    }

    #[test]
    fn a_bad_value_takes_its_own_row_along_only_also_where_the_field_is_required() {
        let texts = StringArray::from(vec!["1", "x", "3"]);
        let fields = vec![Field::new("a", DataType::Utf8, false), Field::new("n", DataType::Int32, false)];
        let rows = StructArray::new(fields.into(), vec![Arc::new(texts), Arc::new(Int32Array::from(vec![1, 2, 3]))], None);
        let mut given = batch(&[(11, None), (12, None), (13, None)]);
        given.value = Column::new(Arc::new(Field::new("value", rows.data_type().clone(), false)), Arc::new(rows));
        let mut out = Vec::new();
        let rejects = transform("a:int64").unwrap().apply(given, &mut out);
        assert_eq!((rejects.len(), rejects[0].row, out.len(), out[0].offsets.values().to_vec()), (1, 1, 1, vec![11, 13]));
        let rows = out[0].value.array.as_struct();
        assert_eq!(
            (rows.column(0).as_primitive::<Int64Type>().values().to_vec(), rows.column(1).as_primitive::<Int32Type>().values().to_vec()),
            (vec![1, 3], vec![1, 3])
        );
        assert!(!rows.fields()[0].is_nullable() && !out[0].value.field.is_nullable());
    }

    #[test]
    fn what_is_no_type_is_named_as_upstream_names_it() {
        for (spec, message) in [
            ("", "Must specify at least one field to cast."),
            (
                "array",
                "Cast transformation does not support casting to ARRAY; supported types are [INT8, INT16, INT32, INT64, FLOAT32, FLOAT64, BOOLEAN, STRING]",
            ),
            (
                "foo:faketype",
                "Invalid value java.lang.IllegalArgumentException: No enum constant org.apache.kafka.connect.data.Schema.Type.FAKETYPE for configuration Invalid type found in casting spec: faketype",
            ),
            ("foo:int8,int32", "Cast transformations that specify a type to cast the entire value to may only specify a single cast in their spec"),
            ("a:b:c", "Invalid value [a:b:c] for configuration renames: Invalid rename mapping: a:b:c"),
        ] {
            assert_eq!(transform(spec).err().as_deref(), Some(message), "{spec}");
        }
    }
}
