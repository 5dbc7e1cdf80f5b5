//! `Flatten`: the fields of nested structs and maps side by side, under names that tell the way to them.
//!
//! Upstream: `org.apache.kafka.connect.transforms.Flatten$Key` and `$Value`. Lists stay as they are. A map under a schema fails. A field is optional where
//! anything around it is, and has the default that those around it have for it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef, Fields};
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schema::DEFAULT;
use lakehead_formats::schemaless::{Dynamic, Kind, Order};
use serde_json::Value as Json;

use super::fields::{as_struct, basics, masked, rebuilt, with_default};
use super::side::{Refusal, Rewrite, Rewritten, Sided, not_maps, struct_required};
use super::{Built, Side};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigKey, Importance, Type, Values};

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[ConfigKey {
    name: "delimiter",
    kind: Type::String,
    default: Some("."),
    required: false,
    importance: Importance::Medium,
    group: "",
    doc: "What stands between the names of a field and of those around it.",
    check: Check::Any,
}];

const PURPOSE: &str = "flattening";

#[derive(Debug)]
struct Flatten {
    delimiter: String,
}

/// Builds it.
pub(super) fn build(side: Side, props: &Props) -> Built {
    let delimiter = Values { tables: &[KEYS], props }.text("delimiter").to_owned();
    Ok(Sided::boxed(side, Flatten { delimiter }))
}

/// Structs around a field: their names, whether one of them is optional, the default that they have for their fields, and where one of them is null.
struct Around<'a> {
    name: &'a str,
    optional: bool,
    default: Option<Json>,
    nulls: Option<NullBuffer>,
}

/// Flat fields, and their values.
#[derive(Default)]
struct Flat {
    fields: Vec<FieldRef>,
    columns: Vec<ArrayRef>,
}

/// Members of flat maps, and the rows that cannot be flattened.
#[derive(Default)]
struct FlatMap {
    members: Vec<(Arc<str>, Dynamic)>,
    rejects: Vec<Reject>,
}

impl Flatten {
    fn name(&self, prefix: &str, name: &str) -> String {
        if prefix.is_empty() { name.to_owned() } else { format!("{prefix}{}{name}", self.delimiter) }
    }

    fn structs(&self, fields: &Fields, columns: &[ArrayRef], around: &Around<'_>, flat: &mut Flat) -> Result<(), Refusal> {
        for (field, values) in fields.iter().zip(columns) {
            let name = self.name(around.name, field.name());
            let optional = around.optional || field.is_nullable();
            let own = field.metadata().get(DEFAULT).and_then(|text| serde_json::from_str(text).ok());
            let inherited = || around.default.as_ref().and_then(|default| default.get(field.name())).filter(|value| !value.is_null()).cloned();
            let default: Option<Json> = own.or_else(inherited);
            match field.data_type() {
                DataType::Struct(inner) => {
                    let values = values.as_struct();
                    let nulls = NullBuffer::union(around.nulls.as_ref(), values.nulls());
                    self.structs(inner, values.columns(), &Around { name: &name, optional, default, nulls }, flat)?;
                }
                DataType::Map(..) => {
                    return Err(Refusal(format!("Flatten transformation does not support MAP for record with schemas (for field {name}).")));
                }
                data_type => {
                    let mut flattened = basics(field, data_type.clone()).with_name(name).with_nullable(optional);
                    flattened.metadata_mut().extend(default.map(|default| (DEFAULT.to_owned(), default.to_string())));
                    flat.fields.push(Arc::new(flattened));
                    flat.columns.push(masked(&with_default(field, values)?, around.nulls.as_ref())?);
                }
            }
        }
        Ok(())
    }

    fn maps(&self, values: Dynamic, prefix: &str, flat: &mut FlatMap) -> Result<Nested, Refusal> {
        let mut children = Vec::new();
        for (name, member) in values.members() {
            let name = self.name(prefix, &name);
            let kinds = member.kinds().iter().enumerate();
            for kind in [Kind::Date, Kind::Decimal, Kind::BigInteger].into_iter().filter(|kind| member.has(*kind)) {
                let reason =
                    format!("Flatten transformation was passed a value of type class {} which is not supported by Connect's data API", kind.class_name());
                flat.rejects.extend(kinds.clone().filter(|(_, found)| **found == kind as u8).map(|(row, _)| Reject { row, reason: reason.clone() }));
            }
            let leaves = member.only(&!&member.are(Kind::Map))?;
            let leaf = leaves.kinds().iter().any(|kind| *kind != Kind::Absent as u8).then_some(flat.members.len());
            if leaf.is_some() {
                flat.members.push((Arc::from(name.as_str()), leaves));
            }
            let inner = self.maps(member, &name, flat)?;
            children.push((leaf, inner));
        }
        Ok(Nested { values, children })
    }
}

/// The maps of one place, and for each of their members the flat member that its values become, and the maps in it.
struct Nested {
    values: Dynamic,
    children: Vec<(Option<usize>, Self)>,
}

impl Nested {
    fn walk(&self) -> Walk<'_> {
        Walk { values: &self.values, order: self.values.order(), children: self.children.iter().map(|(leaf, inner)| (*leaf, inner.walk())).collect() }
    }
}

/// The way through the maps of a row.
struct Walk<'a> {
    values: &'a Dynamic,
    order: Order<'a>,
    children: Vec<(Option<usize>, Self)>,
}

impl Walk<'_> {
    fn has_ranks(&self) -> bool {
        self.order.has_ranks() || self.children.iter().any(|(_, inner)| inner.has_ranks())
    }

    /// Ranks what a row's maps hold, in the row's order. That is another one in each row, so it has no columnar form.
    fn rank(&self, row: usize, next: &mut u32, ranks: &mut [Vec<u32>]) {
        self.order.each(row, |at| {
            let Some((leaf, inner)) = self.children.get(at) else { return };
            if inner.values.kind(row) == Kind::Map {
                return inner.rank(row, next, ranks);
            }
            if let Some(rank) = leaf.and_then(|leaf| ranks.get_mut(leaf)).and_then(|ranks| ranks.get_mut(row)) {
                *rank = *next;
                *next += 1;
            }
        });
    }
}

impl Rewrite for Flatten {
    const PASSES_NULLS: bool = true;

    fn schemaless(&mut self, _batch: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        let mut flat = FlatMap { members: Vec::new(), rejects: not_maps(values, PURPOSE, false) };
        let nested = self.maps(values.clone(), "", &mut flat)?;
        let walk = nested.walk();
        if walk.has_ranks() {
            let mut ranks = vec![vec![0; values.len()]; flat.members.len()];
            (0..values.len()).for_each(|row| walk.rank(row, &mut 0, &mut ranks));
            flat.members = flat.members.into_iter().zip(ranks).map(|((name, member), ranks)| (name, member.ranked(ranks))).collect();
        }
        Ok(Rewritten { values: values.with_all(flat.members)?, rejects: flat.rejects })
    }

    fn with_schema(&mut self, _batch: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal> {
        let (Some(array), DataType::Struct(fields)) = (as_struct(column), column.field.data_type()) else { return Err(struct_required(PURPOSE, column)) };
        let default = column.field.metadata().get(DEFAULT).and_then(|text| serde_json::from_str(text).ok());
        let mut flat = Flat::default();
        self.structs(fields, array.columns(), &Around { name: "", optional: column.field.is_nullable(), default, nulls: None }, &mut flat)?;
        Ok(rebuilt(&column.field, flat.fields, flat.columns, array.nulls(), array.len())?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::side::tests::{apply_json, apply_schema, schema};

    #[test]
    fn maps_are_flattened() {
        for (settings, row, expected) in [
            (vec![], r#"{"a":{"b":{"c":1},"d":null},"e":[{"f":2}]}"#, r#"{"a.b.c":1,"a.d":null,"e":[{"f":2}]}"#),
            (vec![("delimiter", "_")], r#"{"a":{"b":1}}"#, r#"{"a_b":1}"#),
            (vec![], r#"{"a":{},"b":1}"#, r#"{"b":1}"#),
            (vec![], r#"{"a":{"b":1},"a.b":2}"#, r#"{"a.b":2}"#),
            (vec![], "null", "null"),
        ] {
            assert_eq!(apply_json("Flatten$Value", &settings, &[row]), [Ok(expected.to_owned())], "{row}");
        }
        let rows = [r#"{"a":{"b":1}}"#, r#"{"a":7}"#, "[]", r#"{"a":null}"#];
        let found = apply_json("Flatten$Key", &[], &rows);
        let wrong = "Only Map objects supported in absence of schema for [flattening], found: java.util.ArrayList".to_owned();
        assert_eq!(found, [Ok(r#"{"a.b":1}"#.to_owned()), Ok(r#"{"a":7}"#.to_owned()), Err(wrong), Ok(r#"{"a":null}"#.to_owned())]);
    }

    #[test]
    fn structs_are_flattened_with_what_their_schemas_say() {
        let value = r#"{"type":"struct","name":"n","fields":[{"field":"a","type":"int8"},
            {"field":"s","type":"struct","optional":true,"default":{"x":5,"y":null},"fields":[{"field":"x","type":"int32"},{"field":"y","type":"string","optional":true,"default":"d"}]},
            {"field":"l","type":"array","items":{"type":"int16"},"doc":"durk"}]}"#;
        let rows = [r#"{"a":1,"s":{"x":2,"y":"z"},"l":[3]}"#, r#"{"a":1,"s":{"x":2,"y":null},"l":[]}"#, "null"];
        let shown = apply_schema("Flatten$Value", &[], value, &rows);
        let flat = r#"{"type":"struct","name":"n","fields":[{"field":"a","type":"int8"},{"field":"s.x","type":"int32","optional":true,"default":5},
            {"field":"s.y","type":"string","optional":true,"default":"d"},{"field":"l","type":"array","items":{"type":"int16"},"doc":"durk"}]}"#;
        assert_eq!((shown.schema, shown.rejects.len()), (schema(flat), 0));
        assert_eq!(shown.rows, [r#"{"a":1,"s.x":2,"s.y":"z","l":[3]}"#, r#"{"a":1,"s.x":2,"s.y":"d","l":[]}"#, "null"]);
    }

    #[test]
    fn a_struct_that_is_missing_leaves_nulls() {
        let value = r#"{"type":"struct","fields":[{"field":"b","type":"struct","optional":true,"fields":[{"field":"c","type":"int32"}]}]}"#;
        let shown = apply_schema("Flatten$Value", &[], value, &[r#"{"b":null}"#, r#"{"b":{"c":1}}"#]);
        assert_eq!(shown.schema, schema(r#"{"type":"struct","fields":[{"field":"b.c","type":"int32","optional":true}]}"#));
        assert_eq!(shown.rows, [r#"{"b.c":null}"#, r#"{"b.c":1}"#]);
    }

    #[test]
    fn what_cannot_be_flattened_is_refused() {
        for (value, row, reason) in [
            (r#"{"type":"int32"}"#, "1", "Only Struct objects supported for [flattening], found: java.lang.Integer"),
            (
                r#"{"type":"struct","fields":[{"field":"m","type":"map","keys":{"type":"string"},"values":{"type":"int8"}}]}"#,
                r#"{"m":{}}"#,
                "Flatten transformation does not support MAP for record with schemas (for field m).",
            ),
        ] {
            assert_eq!(apply_schema("Flatten$Value", &[], value, &[row]).rejects[0].reason, reason);
        }
    }
}
