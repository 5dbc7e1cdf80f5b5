//! `ReplaceField`: leaves out fields, keeps only some, or renames them.
//!
//! Upstream: `org.apache.kafka.connect.transforms.ReplaceField$Key` and `$Value`. What upstream read until 3.x as `blacklist` and `whitelist` acts here, with a
//! warning: `exclude` and `include` are their names now, and count where both are given.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::DataType;
use lakehead_formats::column::Column;
use lakehead_formats::schemaless::Dynamic;

use super::fields::{as_struct, named, rebuilt, unique, with_default};
use super::side::{Refusal, Rewrite, Rewritten, Sided, not_maps, struct_required};
use super::{Built, Side};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    list("exclude", Importance::Medium, "Fields that are left out, also those that are in include."),
    list("include", Importance::Medium, "Fields that are kept; every one when there is none."),
    list("renames", Importance::Medium, "New names of fields: old:new, separated by commas."),
    super::fields::REPLACE_NULL_WITH_DEFAULT,
];

/// Names that upstream has given up: they act, and forms do not show them.
static FORMER: &[ConfigKey] = &[list("blacklist", Importance::Low, "Former name of exclude."), list("whitelist", Importance::Low, "Former name of include.")];

const fn list(name: &'static str, importance: Importance, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind: Type::List, default: Some(""), required: false, importance, group: "", doc, check: Check::Any }
}

const PURPOSE: &str = "field replacement";

#[derive(Debug)]
struct ReplaceField {
    exclude: BTreeSet<String>,
    include: BTreeSet<String>,
    renames: BTreeMap<String, String>,
    /// Old names by new ones.
    former: BTreeMap<String, String>,
    defaults: bool,
}

/// Builds it.
pub(super) fn build(side: Side, props: &Props) -> Built {
    let values = Values { tables: &[KEYS, FORMER], props };
    let names = |name: &str, former: &str| -> BTreeSet<String> {
        let used = if !props.contains_key(name) && props.contains_key(former) { former } else { name };
        if props.contains_key(former) {
            tracing::warn!("ReplaceField: {former} is deprecated, write {name} instead");
        }
        values.list(used).into_iter().map(str::to_owned).collect()
    };
    let (exclude, include) = (names("exclude", "blacklist"), names("include", "whitelist"));
    let renames = renames(&values.list("renames")).map_err(|error| vec![error])?;
    let former = renames.iter().map(|(old, new)| (new.clone(), old.clone())).collect();
    let defaults = values.boolean("replace.null.with.default");
    Ok(Sided::boxed(side, ReplaceField { exclude, include, renames, former, defaults }))
}

/// Reads `old:new` as Java splits it: colons at the end count for nothing.
fn renames(mappings: &[&str]) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut renames = BTreeMap::new();
    for mapping in mappings {
        match mapping.trim_end_matches(':').split(':').collect::<Vec<_>>()[..] {
            [old, new] => drop(renames.insert(old.to_owned(), new.to_owned())),
            _ => {
                let all = mappings.join(", ");
                return Err(ConfigError::new("renames", format!("Invalid value [{all}] for configuration renames: Invalid rename mapping: {mapping}")));
            }
        }
    }
    Ok(renames)
}

impl ReplaceField {
    fn keeps(&self, name: &str) -> bool {
        !self.exclude.contains(name) && (self.include.is_empty() || self.include.contains(name))
    }

    fn renamed<'a>(&'a self, name: &'a str) -> &'a str {
        self.renames.get(name).map_or(name, String::as_str)
    }

    /// The field that a new one has its values from. As upstream, a name that something is renamed to has them from there, also where a field of that name
    /// was there before.
    fn source(&self, places: &HashMap<&str, usize>, new: &str) -> Result<usize, Refusal> {
        let old = self.former.get(new).map_or(new, String::as_str);
        places.get(old).copied().ok_or_else(|| Refusal(format!("{old} is not a valid field name")))
    }
}

impl Rewrite for ReplaceField {
    const PASSES_NULLS: bool = true;

    fn schemaless(&mut self, _batch: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        let kept = values.members().filter(|(name, _)| self.keeps(name));
        let members: Vec<(Arc<str>, Dynamic)> =
            kept.map(|(name, member)| (self.renames.get(&*name).map_or(name, |new| Arc::from(new.as_str())), member)).collect();
        Ok(Rewritten { values: values.with_all(members)?, rejects: not_maps(values, PURPOSE, false) })
    }

    fn with_schema(&mut self, _batch: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal> {
        let (Some(array), DataType::Struct(old)) = (as_struct(column), column.field.data_type()) else { return Err(struct_required(PURPOSE, column)) };
        let fields: Vec<_> = old.iter().filter(|field| self.keeps(field.name())).map(|field| named(field, self.renamed(field.name()))).collect();
        unique(&fields)?;
        let places: HashMap<&str, usize> = old.iter().enumerate().map(|(at, field)| (field.name().as_str(), at)).collect();
        let mut columns = Vec::with_capacity(fields.len());
        for new in &fields {
            let source = self.source(&places, new.name())?;
            let values = array.column(source);
            if values.data_type() != new.data_type() {
                return Err(Refusal(format!("Invalid Java object for schema of field \"{}\": its values are those of another field", new.name())));
            }
            let values = match (self.defaults, old.get(source)) {
                (true, Some(field)) => with_default(field, values)?,
                _ => Arc::clone(values),
            };
            columns.push(values);
        }
        Ok(rebuilt(&column.field, fields, columns, array.nulls(), array.len())?.into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::side::tests::{apply_json, apply_schema, schema};
    use super::*;

    #[test]
    fn fields_of_maps() {
        let row = r#"{"a":1,"b":"x","c":{"a":2}}"#;
        for (settings, row, expected) in [
            (vec![], row, row),
            (vec![("exclude", "a, zz")], row, r#"{"b":"x","c":{"a":2}}"#),
            (vec![("include", "a,b")], row, r#"{"a":1,"b":"x"}"#),
            (vec![("include", "a,b"), ("exclude", "a")], row, r#"{"b":"x"}"#),
            (vec![("renames", "a:z,c:b2")], row, r#"{"z":1,"b":"x","b2":{"a":2}}"#),
            (vec![("renames", "a:b")], row, r#"{"b":"x","c":{"a":2}}"#),
            (vec![("renames", "b:a")], r#"{"b":"x"}"#, r#"{"a":"x"}"#),
            (vec![("blacklist", "a")], row, r#"{"b":"x","c":{"a":2}}"#),
            (vec![("whitelist", "a")], row, r#"{"a":1}"#),
            (vec![("blacklist", "a"), ("exclude", "b")], row, r#"{"a":1,"c":{"a":2}}"#),
            (vec![("include", "zz")], row, "{}"),
            (vec![("exclude", "a")], "null", "null"),
        ] {
            assert_eq!(apply_json("ReplaceField$Value", &settings, &[row]), [Ok(expected.to_owned())], "{settings:?}");
        }
        let wrong = apply_json("ReplaceField$Value", &[], &["[1]"]);
        assert_eq!(wrong, [Err("Only Map objects supported in absence of schema for [field replacement], found: java.util.ArrayList".to_owned())]);
    }

    const ORDER: &str = r#"{"type":"struct","name":"o","version":2,"optional":true,"fields":[
        {"field":"a","type":"int32","optional":true,"default":42},{"field":"b","type":"string"}]}"#;

    #[test]
    fn fields_of_structs() {
        let rows = [r#"{"a":null,"b":"x"}"#, "null", r#"{"a":7,"b":"y"}"#];
        let shown = apply_schema("ReplaceField$Value", &[("renames", "a:z")], ORDER, &rows);
        let expected =
            r#"{"type":"struct","name":"o","version":2,"fields":[{"field":"z","type":"int32","optional":true,"default":42},{"field":"b","type":"string"}]}"#;
        assert_eq!((shown.schema, shown.rows), (schema(expected), [r#"{"z":42,"b":"x"}"#, "null", r#"{"z":7,"b":"y"}"#].map(str::to_owned).to_vec()));
        let shown = apply_schema("ReplaceField$Value", &[("include", "a"), ("replace.null.with.default", "false")], ORDER, &rows);
        assert_eq!(shown.rows, [r#"{"a":null}"#, "null", r#"{"a":7}"#]);
        for (settings, reason) in [
            (vec![("renames", "a:b")], "Cannot create field because of field name duplication b"),
            (vec![("renames", "a:b"), ("exclude", "a")], "Invalid Java object for schema of field \"b\": its values are those of another field"),
            (vec![("renames", "zz:b")], "zz is not a valid field name"),
        ] {
            let shown = apply_schema("ReplaceField$Value", &settings, ORDER, &rows);
            assert_eq!((shown.rows, shown.rejects.len(), shown.rejects[0].reason.as_str()), (vec!["null".to_owned()], 2, reason));
        }
    }

    #[test]
    fn renames_are_pairs() {
        for (text, message) in [
            ("a", "Invalid value [a] for configuration renames: Invalid rename mapping: a"),
            ("x:y,a:b:c", "Invalid value [x:y, a:b:c] for configuration renames: Invalid rename mapping: a:b:c"),
            ("a:", "Invalid value [a:] for configuration renames: Invalid rename mapping: a:"),
        ] {
            let errors = build(Side::Value, &[("renames".to_owned(), text.to_owned())].into()).unwrap_err();
            assert_eq!((errors[0].key.as_str(), errors[0].message.as_str()), ("renames", message));
        }
        assert!(renames(&["a:b:", ":c"]).is_ok());
    }
}
