//! `FieldPartitioner`: values of the record's fields, `country=DE/city=Berlin`.
//!
//! A null field is its schema's default, as upstream's `Struct.get` has it; without a default it is `name=null`, as is a field inside a null.
//! [`NullPolicy`] is our way to ask for something else. Schemaless JSON is taken too (upstream cannot).

use arrow::array::Array;
use chrono::{DateTime, Utc};
use lakehead_formats::column::Reject;

use super::coded::Coded;
use super::source::Source;
use super::value::reject_all;
use super::{Partitioner, Paths, directory_delim, field_names, invalid, values};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::ConfigError;

/// What a null names: `lakehead.partition.field.null`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NullPolicy {
    /// The schema's default where there is one, else `null`.
    Default,
    /// This text.
    Text(String),
    /// Nothing: the record is rejected.
    Reject,
}

impl NullPolicy {
    /// Reads the setting.
    pub(super) fn from_props(props: &Props) -> Result<Self, ConfigError> {
        const KEY: &str = "lakehead.partition.field.null";
        let text = values(props).text(KEY);
        match (text, text.strip_prefix("text:")) {
            ("default", _) => Ok(Self::Default),
            ("null", _) => Ok(Self::Text("null".to_owned())),
            ("reject", _) => Ok(Self::Reject),
            (_, Some(own)) if !own.is_empty() => Ok(Self::Text(own.to_owned())),
            _ => Err(invalid(KEY, text, "use default, null, reject, or text:<what stands for a null>")),
        }
    }

    /// The texts of a source's rows, nulls decided; or why no row has one. `what` names the source in the reason of a rejected row.
    pub(super) fn texts(&self, source: &Source, what: &str, batch: &Batch, rejects: &mut Vec<Reject>) -> Result<Coded<String>, String> {
        let coded = source.code(batch, *self == Self::Default, rejects)?;
        let null = match self {
            Self::Default => "null",
            Self::Text(text) => text,
            Self::Reject => {
                let is_null: Vec<bool> = coded.texts.iter().map(Option::is_none).collect();
                let rows = coded.codes.iter().enumerate().filter(|(_, code)| is_null.get(**code as usize).copied().unwrap_or(false));
                rejects.extend(rows.map(|(row, _)| Reject { row, reason: format!("Error encoding partition: '{what}' is null") }));
                ""
            }
        };
        Ok(coded.map(|text| text.unwrap_or_else(|| null.to_owned())))
    }
}

/// Rejects of the rows whose value is null.
pub(super) fn reject_tombstones(batch: &Batch, rejects: &mut Vec<Reject>) {
    if let Some(nulls) = batch.value.array.logical_nulls() {
        let reason = "Error encoding partition: value is null, it has no fields to partition by";
        // before the others, so that this is the reason that a row with several keeps
        let rows = (0..batch.len()).filter(|row| nulls.is_null(*row));
        let found: Vec<_> = rows.map(|row| Reject { row, reason: reason.to_owned() }).collect();
        rejects.splice(0..0, found);
    }
}

/// One directory level for each named field.
#[derive(Debug)]
struct ByField {
    delim: String,
    null: NullPolicy,
    fields: Vec<(String, Source)>,
}

/// Builds it from `partition.field.name`, `directory.delim` and the policy for nulls.
pub(super) fn build(props: &Props) -> Result<Box<dyn Partitioner>, Vec<ConfigError>> {
    let names = field_names(props);
    let mut errors = Vec::new();
    if names.is_empty() {
        let message = "Partition field name cannot be null or empty when using FieldPartitioner.";
        errors.push(ConfigError::new("partition.field.name", message));
    }
    let fields = names.into_iter().map(|name| (name.to_owned(), Source::value(name))).collect();
    match NullPolicy::from_props(props) {
        Ok(null) if errors.is_empty() => Ok(Box::new(ByField { delim: directory_delim(props).to_owned(), null, fields })),
        Ok(_) => Err(errors),
        Err(error) => Err(errors.into_iter().chain([error]).collect()),
    }
}

impl Partitioner for ByField {
    fn paths(&self, batch: &Batch, _now: DateTime<Utc>) -> Paths {
        let rows = batch.len();
        let mut path: Option<Coded<String>> = None;
        let mut rejects = Vec::new();
        for (name, source) in &self.fields {
            let level = match self.null.texts(source, name, batch, &mut rejects) {
                Ok(texts) => texts.map(|text| format!("{name}={text}")),
                Err(reason) => return Paths { codes: vec![Paths::REJECTED; rows], rejects: reject_all(rows, &reason), ..Paths::default() },
            };
            path = Some(match path {
                Some(outer) => outer.join(&level, &self.delim),
                None => level,
            });
        }
        reject_tombstones(batch, &mut rejects);
        path.unwrap_or_default().into_paths(rejects)
    }

    fn is_deterministic(&self) -> bool {
        true
    }

    fn is_time_based(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, BooleanArray, Date32Array, DictionaryArray, Float64Array, Int8Array, Int32Array, StringArray, StructArray};
    use arrow::datatypes::{DataType, Field as ArrowField, Int32Type};
    use proptest::prelude::*;

    use super::super::from_props;
    use super::super::tests::{batch_of, json_column, path_of_rows, struct_column};
    use super::*;
    use crate::connect::Props;

    fn partitioner(names: &str) -> Box<dyn Partitioner> {
        let props = [("partitioner.class", "FieldPartitioner"), ("partition.field.name", names)];
        from_props(&props.map(|(key, value)| (key.to_owned(), value.to_owned())).into()).unwrap()
    }

    fn paths(names: &str, batch: &Batch) -> Vec<Result<String, String>> {
        path_of_rows(&partitioner(names).paths(batch, DateTime::UNIX_EPOCH))
    }

    fn ok(texts: &[&str]) -> Vec<Result<String, String>> {
        texts.iter().map(|text| Ok((*text).to_owned())).collect()
    }

    #[test]
    fn a_field_that_an_inferred_schema_lacks_is_null() {
        let declared = struct_column(&[("country", Arc::new(StringArray::from(vec!["es", "de"])) as ArrayRef)]);
        let inferred = HashMap::from([(lakehead_formats::schema::INFERRED.to_owned(), "true".to_owned())]);
        let field = declared.field.as_ref().clone().with_metadata(inferred);
        let inferred = lakehead_formats::column::Column { field: Arc::new(field), array: Arc::clone(&declared.array) };
        let batch = batch_of(&inferred, &[None; 2]);
        assert_eq!(paths("region", &batch), ok(&["region=null", "region=null"]));
        assert_eq!(paths("country,user.city", &batch), ok(&["country=es/user.city=null", "country=de/user.city=null"]));
    }

    #[test]
    fn fields_of_structs() {
        let city = StringArray::from(vec![Some("x"), Some("Riga"), Some("y")]);
        let user_type = vec![ArrowField::new("city", DataType::Utf8, true)];
        let user = StructArray::new(user_type.into(), vec![Arc::new(city)], Some(vec![false, true, true].into()));
        let dictionary: DictionaryArray<Int32Type> = vec!["a", "b", "a"].into_iter().collect();
        let value = struct_column(&[
            ("country", Arc::new(StringArray::from(vec![Some("es"), None, Some("u/k")])) as ArrayRef),
            ("n", Arc::new(Int32Array::from(vec![1, -2, 1]))),
            ("tiny", Arc::new(Int8Array::from(vec![Some(7), None, Some(7)]))),
            ("flag", Arc::new(BooleanArray::from(vec![true, false, true]))),
            ("enum", Arc::new(dictionary)),
            ("user", Arc::new(user)),
            ("ratio", Arc::new(Float64Array::from(vec![1.0; 3]))),
            ("day", Arc::new(Date32Array::from(vec![1; 3]))),
        ]);
        let batch = batch_of(&value, &[None; 3]);
        for (names, wanted) in [
            ("country", ok(&["country=es", "country=null", "country=u/k"])),
            ("n", ok(&["n=1", "n=-2", "n=1"])),
            ("tiny", ok(&["tiny=7", "tiny=null", "tiny=7"])),
            ("flag", ok(&["flag=true", "flag=false", "flag=true"])),
            ("enum", ok(&["enum=a", "enum=b", "enum=a"])),
            ("user.city", ok(&["user.city=null", "user.city=Riga", "user.city=y"])),
            ("country, n", ok(&["country=es/n=1", "country=null/n=-2", "country=u/k/n=1"])),
        ] {
            assert_eq!(paths(names, &batch), wanted, "{names}");
        }
        for (names, reason) in [
            ("zzz", "Field 'zzz' is not present in the schema."),
            ("user.zip", "Field 'user.zip' is not present in the schema."),
            ("n.x", "Field 'n.x' is not present in the schema."),
            ("n,ratio", "field 'ratio' is of type Float64"),
            ("day", "field 'day' is of type Date32"),
            ("user", "field 'user' is of type Struct"),
        ] {
            let rows = paths(names, &batch);
            assert!(rows.iter().all(|row| row.as_ref().is_err_and(|found| found.contains(reason))), "{names}: {rows:?}");
        }
    }

    #[test]
    fn fields_of_json_texts() {
        let rows = [
            Some(r#"{"country":"es","user":{"zip":1.50}}"#),
            Some(r#"{"country":null}"#),
            Some("{}"),
            Some(r#"{"country":"null"}"#),
            Some(r#"{"country":"q\"\u00e4","user":1}"#),
            Some(r#"{"country":true}"#),
            Some(r#"{"country":[1]}"#),
            Some("17"),
            None,
        ];
        let batch = batch_of(&json_column(&rows), &[None; 9]);
        let found = paths("country", &batch);
        assert_eq!(found[..6], ok(&["country=es", "country=null", "country=null", "country=null", "country=q\"ä", "country=true"]));
        for (row, part) in [(6, "is an object or an array"), (7, "not a JSON object"), (8, "value is null")] {
            assert!(found[row].as_ref().is_err_and(|reason| reason.contains(part)), "{found:?}");
        }
        assert_eq!(paths("user.zip", &batch)[..2], ok(&["user.zip=1.50", "user.zip=null"]));
    }

    #[test]
    fn a_null_and_the_text_null_share_a_directory() {
        let value = struct_column(&[("c", Arc::new(StringArray::from(vec![None, Some("null"), Some("a")])) as ArrayRef)]);
        let found = partitioner("c").paths(&batch_of(&value, &[None; 3]), DateTime::UNIX_EPOCH);
        assert_eq!((found.codes.as_slice(), found.distinct.len()), ([0, 0, 1].as_slice(), 2));
    }

    #[test]
    fn tombstones_and_values_without_fields_are_rejected() {
        let mut value = struct_column(&[("c", Arc::new(StringArray::from(vec!["a", "b"])) as ArrayRef)]);
        let fields = value.array.as_struct().clone();
        value.array = Arc::new(StructArray::new(fields.fields().clone(), fields.columns().to_vec(), Some(vec![true, false].into())));
        let found = paths("c", &batch_of(&value, &[None; 2]));
        assert!(found[0] == Ok("c=a".to_owned()) && found[1].as_ref().is_err_and(|reason| reason.contains("value is null")), "{found:?}");

        let text: ArrayRef = Arc::new(StringArray::from(vec!["notstruct"]));
        let column = lakehead_formats::column::Column::new(Arc::new(ArrowField::new("value", DataType::Utf8, true)), text);
        let found = paths("c", &batch_of(&column, &[None]));
        assert!(found[0].as_ref().is_err_and(|reason| reason.contains("value is of type Utf8")), "{found:?}");
    }

    #[test]
    fn what_a_null_names() {
        let with_default = |name: &str, kind: DataType, default: &str| {
            ArrowField::new(name, kind, true).with_metadata(HashMap::from([("connect.default".to_owned(), default.to_owned())]))
        };
        let fields = vec![
            with_default("c", DataType::Utf8, "\"xx\""),
            with_default("n", DataType::Int32, "42"),
            ArrowField::new("plain", DataType::Utf8, true),
            ArrowField::new("in", DataType::Struct(vec![with_default("c", DataType::Utf8, "\"yy\"")].into()), true),
        ];
        let inner = StructArray::new(
            vec![with_default("c", DataType::Utf8, "\"yy\"")].into(),
            vec![Arc::new(StringArray::new_null(2))],
            Some(vec![true, false].into()),
        );
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringArray::from(vec![None, Some("xx")])),
            Arc::new(Int32Array::from(vec![None, Some(1)])),
            Arc::new(StringArray::new_null(2)),
            Arc::new(inner),
        ];
        let array = StructArray::new(fields.into(), columns, None);
        let field = Arc::new(ArrowField::new("value", array.data_type().clone(), true));
        let batch = batch_of(&lakehead_formats::column::Column::new(field, Arc::new(array)), &[None; 2]);
        let paths = |policy: &str, names: &str| {
            let props = [("partitioner.class", "FieldPartitioner"), ("partition.field.name", names), ("lakehead.partition.field.null", policy)];
            let props = props.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            path_of_rows(&from_props(&props).unwrap().paths(&batch, DateTime::UNIX_EPOCH))
        };
        assert_eq!(paths("default", "c,n"), ok(&["c=xx/n=42", "c=xx/n=1"]));
        assert_eq!(paths("default", "plain,in.c"), ok(&["plain=null/in.c=yy", "plain=null/in.c=null"]), "a field inside a null has no default");
        assert_eq!(paths("null", "c,n"), ok(&["c=null/n=null", "c=xx/n=1"]));
        assert_eq!(paths("text:__HIVE_DEFAULT_PARTITION__", "c"), ok(&["c=__HIVE_DEFAULT_PARTITION__", "c=xx"]));
        let rejected = paths("reject", "c,n");
        assert!(rejected[0].as_ref().is_err_and(|reason| reason.contains("'c' is null")) && rejected[1] == Ok("c=xx/n=1".to_owned()), "{rejected:?}");
    }

    #[test]
    fn names_are_checked() {
        for (names, part) in [("", "cannot be null or empty"), ("a..b", "empty or whitespace-only path segment"), ("a,,b", "cannot be null or empty")] {
            let props: Props = [("partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner"), ("partition.field.name", names)]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into();
            let errors = from_props(&props).unwrap_err();
            assert!(errors.len() == 1 && errors[0].key == "partition.field.name" && errors[0].message.contains(part), "{names}: {errors:?}");
        }
    }

    proptest! {
        #[test]
        fn each_row_gets_its_own_values(rows in prop::collection::vec((prop::option::of("[ab/]{0,2}|null"), prop::option::of(-2_i32..3)), 0..60)) {
            let (texts, numbers): (Vec<_>, Vec<_>) = rows.iter().cloned().unzip();
            let value = struct_column(&[("t", Arc::new(StringArray::from(texts)) as ArrayRef), ("n", Arc::new(Int32Array::from(numbers)))]);
            let found = partitioner("t,n").paths(&batch_of(&value, &vec![None; rows.len()]), DateTime::UNIX_EPOCH);
            for (row, (text, n)) in rows.iter().enumerate() {
                let n = n.map_or_else(|| "null".to_owned(), |n| n.to_string());
                let wanted = format!("t={}/n={n}", text.as_deref().unwrap_or("null"));
                prop_assert_eq!(&*found.distinct[found.codes[row] as usize], wanted.as_str());
            }
            let mut unique = found.distinct.clone();
            unique.sort();
            unique.dedup();
            prop_assert_eq!(unique.len(), found.distinct.len());
        }
    }
}
