//! `FieldPartitioner`: values of the record's fields, `country=DE/city=Berlin`.
//!
//! Rows are coded a column at a time: equal neighbours share a code at the cost of one comparison, other rows go through a hash map whose keys borrow from
//! the column. Only distinct values become text. Integers, booleans and texts are taken; a null, and a field inside a null, is `name=null`.
//! Schemaless JSON is taken too (upstream cannot): numbers as they are written, and a missing field is `name=null`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use ahash::RandomState;
use arrow::array::{Array, AsArray, StringArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use chrono::{DateTime, Utc};
use lakehead_formats::column::Reject;

use super::json_path::{Path, Token};
use super::value::{Found, Leaf, find, reject_all};
use super::{Partitioner, Paths, directory_delim, field_names};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::ConfigError;

/// One directory level for each named field.
#[derive(Debug)]
struct ByField {
    delim: String,
    fields: Vec<(String, Path)>,
}

/// Builds it from `partition.field.name` and `directory.delim`.
pub(super) fn build(props: &Props) -> Result<Box<dyn Partitioner>, Vec<ConfigError>> {
    let names = field_names(props);
    if names.is_empty() {
        let message = "Partition field name cannot be null or empty when using FieldPartitioner.";
        return Err(vec![ConfigError::new("partition.field.name", message)]);
    }
    let fields = names.into_iter().map(|name| (name.to_owned(), Path::new(name))).collect();
    Ok(Box::new(ByField { delim: directory_delim(props).to_owned(), fields }))
}

impl Partitioner for ByField {
    fn paths(&self, batch: &Batch, _now: DateTime<Utc>) -> Paths {
        let rows = batch.len();
        let mut levels = Vec::with_capacity(self.fields.len());
        let mut rejects = Vec::new();
        for (name, path) in &self.fields {
            match self.level(batch, name, path, &mut rejects) {
                Ok(level) => levels.push(level),
                Err(reason) => return Paths { codes: vec![Paths::REJECTED; rows], rejects: reject_all(rows, &reason), ..Paths::default() },
            }
        }
        if let Some(nulls) = batch.value.array.logical_nulls() {
            let is_tombstone = |row: &usize| nulls.is_null(*row);
            let reason = "Error encoding partition: value is null, it has no fields to partition by";
            rejects.extend((0..rows).filter(is_tombstone).map(|row| Reject { row, reason: reason.to_owned() }));
        }
        rejects.sort_by_key(|reject| reject.row);
        rejects.dedup_by_key(|reject| reject.row);
        let mut levels = levels.into_iter();
        let first = levels.next().unwrap_or_default();
        levels.fold(first, |outer, inner| outer.join(&inner, &self.delim)).into_paths(rejects)
    }

    fn is_deterministic(&self) -> bool {
        true
    }

    fn is_time_based(&self) -> bool {
        false
    }
}

impl ByField {
    /// The directory level of one field, for every row; or why no row has one.
    fn level(&self, batch: &Batch, name: &str, path: &Path, rejects: &mut Vec<Reject>) -> Result<Coded, String> {
        match find(&batch.value, path) {
            Found::Leaf(leaf) => code_leaf(name, &leaf),
            Found::Text(texts) => Ok(code_texts(name, path, texts, rejects)),
            Found::NoField => Err(format!("Field '{name}' is not present in the schema.")),
            Found::NoStruct => Err(format!("Error encoding partition: value is of type {}, it has no field '{name}'", batch.value.field.data_type())),
        }
    }
}

/// Rows by their text. Texts may repeat until [`Coded::into_paths`].
#[derive(Debug, Default)]
struct Coded {
    codes: Vec<u32>,
    texts: Vec<String>,
}

impl Coded {
    /// Gives equal keys equal codes; a key's text is asked for once.
    fn by_key<K: Clone + Eq + Hash>(keys: impl Iterator<Item = K>, mut text: impl FnMut(&K) -> String) -> Self {
        let mut codes = Vec::with_capacity(keys.size_hint().0);
        let mut texts = Vec::new();
        let mut known: HashMap<K, u32, RandomState> = HashMap::default();
        let mut last: Option<(K, u32)> = None;
        for key in keys {
            let code = match &last {
                Some((same, code)) if *same == key => *code,
                _ => {
                    let code = *known.entry(key.clone()).or_insert_with_key(|key| {
                        texts.push(text(key));
                        u32::try_from(texts.len() - 1).unwrap_or(Paths::REJECTED)
                    });
                    last = Some((key, code));
                    code
                }
            };
            codes.push(code);
        }
        Self { codes, texts }
    }

    /// Two directory levels as one.
    fn join(self, inner: &Self, delim: &str) -> Self {
        let text = |code: u32, texts: &[String]| texts.get(code as usize).cloned().unwrap_or_default();
        let pairs = self.codes.iter().copied().zip(inner.codes.iter().copied());
        Self::by_key(pairs, |(a, b)| format!("{}{delim}{}", text(*a, &self.texts), text(*b, &inner.texts)))
    }

    /// Makes texts unique (a null and the text `null` are the same directory) and takes the rejected rows out.
    fn into_paths(self, rejects: Vec<Reject>) -> Paths {
        let Self { mut codes, texts } = self;
        let mut known: HashMap<Arc<str>, u32, RandomState> = HashMap::default();
        let mut distinct = Vec::with_capacity(texts.len());
        let unique: Vec<u32> = texts
            .into_iter()
            .map(|text| {
                *known.entry(Arc::from(text)).or_insert_with_key(|text| {
                    distinct.push(Arc::clone(text));
                    u32::try_from(distinct.len() - 1).unwrap_or(Paths::REJECTED)
                })
            })
            .collect();
        if distinct.len() < unique.len() {
            codes.iter_mut().for_each(|code| *code = unique.get(*code as usize).copied().unwrap_or(Paths::REJECTED));
        }
        for reject in &rejects {
            if let Some(code) = codes.get_mut(reject.row) {
                *code = Paths::REJECTED;
            }
        }
        Paths { codes, distinct, timestamps: Vec::new(), rejects }
    }
}

/// Values, `None` where `nulls` says null.
fn optional<'a, T: 'a>(values: impl Iterator<Item = T> + 'a, nulls: Option<&'a NullBuffer>) -> impl Iterator<Item = Option<T>> + 'a {
    values.enumerate().map(move |(row, value)| nulls.is_none_or(|nulls| nulls.is_valid(row)).then_some(value))
}

/// Codes a struct's field.
fn code_leaf(name: &str, leaf: &Leaf) -> Result<Coded, String> {
    let refused =
        || format!("Error encoding partition: field '{name}' is of type {}; integers, strings and booleans can name a directory", leaf.field.data_type());
    let nulls = leaf.nulls.as_ref();
    match leaf.array.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            let longs = cast(&leaf.array, &DataType::Int64).map_err(|_| refused())?;
            let longs = longs.as_primitive_opt::<Int64Type>().ok_or_else(refused)?;
            Ok(Coded::by_key(optional(longs.values().iter().copied(), nulls), |value| label(name, value.as_ref())))
        }
        DataType::Boolean => {
            let booleans = leaf.array.as_boolean_opt().ok_or_else(refused)?;
            Ok(Coded::by_key(optional(booleans.values().iter(), nulls), |value| label(name, value.as_ref())))
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(_, _) => {
            let is_text = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            if let DataType::Dictionary(_, values) = leaf.array.data_type()
                && !is_text(values)
            {
                return Err(refused());
            }
            let texts = cast(&leaf.array, &DataType::Utf8).map_err(|_| refused())?;
            let texts = texts.as_string_opt::<i32>().ok_or_else(refused)?;
            let values = (0..texts.len()).map(|row| if texts.is_null(row) { "" } else { texts.value(row) });
            Ok(Coded::by_key(optional(values, nulls), |value| label(name, value.as_ref())))
        }
        DataType::Null => Ok(Coded { codes: vec![0; leaf.array.len()], texts: vec![format!("{name}=null")] }),
        _ => Err(refused()),
    }
}

/// Codes a field of JSON texts.
fn code_texts(name: &str, path: &Path, texts: &StringArray, rejects: &mut Vec<Reject>) -> Coded {
    let values = texts.iter().enumerate().map(|(row, text)| -> Option<Cow<'_, str>> {
        let found = match text.map(|text| path.find(text)) {
            None => return None, // a tombstone: rejected by the caller
            Some(Some(token)) => token,
            Some(None) => {
                rejects.push(Reject { row, reason: format!("Error encoding partition: value is not a JSON object, it has no field '{name}'") });
                return None;
            }
        };
        match found {
            Token::Missing | Token::Null => None,
            Token::Boolean(value) => Some(Cow::Borrowed(if value { "true" } else { "false" })),
            Token::Number(text) => Some(Cow::Borrowed(text)),
            Token::String(text) => Some(text),
            Token::Composite => {
                let reason = format!("Error encoding partition: field '{name}' is an object or an array; numbers, strings and booleans can name a directory");
                rejects.push(Reject { row, reason });
                None
            }
        }
    });
    Coded::by_key(values, |value| label(name, value.as_ref()))
}

fn label(name: &str, value: Option<&impl std::fmt::Display>) -> String {
    value.map_or_else(|| format!("{name}=null"), |value| format!("{name}={value}"))
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, BooleanArray, Date32Array, DictionaryArray, Float64Array, Int8Array, Int32Array, StringArray, StructArray};
    use arrow::datatypes::{Field as ArrowField, Int32Type};
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
