//! What upstream's S3 sink wraps around a partitioner: a directory for the schema's name, and one for tombstones.
//!
//! Both are functions over [`Paths`], and they are applied in this order: first [`Affix::affixed`], then [`with_tombstones`], so that a tombstone's directory
//! has no schema's name in it. A batch is under one schema, so an affix changes the distinct paths only; no row is looked at.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::Array;
use lakehead_formats::column::Reject;

use super::Paths;
use crate::batch::Batch;

/// Where the directory `schema_name=<name of the value's schema>` goes: `s3.schema.partition.affix.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Affix {
    /// Nowhere.
    #[default]
    None,
    /// Before the encoded partition.
    Prefix,
    /// After the encoded partition.
    Suffix,
}

impl Affix {
    /// What the setting takes, in upstream's order and case.
    pub const NAMES: &'static [&'static str] = &["SUFFIX", "PREFIX", "NONE"];

    /// Reads the setting's text, case-sensitive as upstream.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "NONE" => Some(Self::None),
            "PREFIX" => Some(Self::Prefix),
            "SUFFIX" => Some(Self::Suffix),
            _ => None,
        }
    }

    /// The paths with the directory of the schema that all rows are under; `schema_name=null` when there is no schema or it has no name.
    #[must_use]
    pub fn affixed(self, mut paths: Paths, schema_name: Option<&str>, delim: &str) -> Paths {
        let name = schema_name.unwrap_or("null");
        for path in &mut paths.distinct {
            *path = match self {
                Self::None => return paths,
                Self::Prefix => Arc::from(format!("schema_name={name}{delim}{path}")),
                Self::Suffix => Arc::from(format!("{path}{delim}schema_name={name}")),
            };
        }
        paths
    }
}

/// The paths with the rows whose value is null sent to `directory` (`tombstone.encoded.partition`), whatever the partitioner said about them. Their time is
/// that of the Kafka record, if it has one. They have a code of their own, also when the directory's name is another path's: the two are never one file.
#[must_use]
pub fn with_tombstones(mut paths: Paths, batch: &Batch, directory: &str) -> Paths {
    let Some(nulls) = batch.value.array.logical_nulls().filter(|nulls| nulls.null_count() > 0) else { return paths };
    let Ok(code) = u32::try_from(paths.distinct.len()) else { return paths };
    paths.distinct.push(Arc::from(directory));
    paths.tombstones = Some(code);
    let is_time_based = !paths.timestamps.is_empty();
    let mut rejects: BTreeMap<usize, Reject> = std::mem::take(&mut paths.rejects).into_iter().map(|reject| (reject.row, reject)).collect();
    for (row, of_row) in paths.codes.iter_mut().enumerate().filter(|(row, _)| nulls.is_null(*row)) {
        rejects.remove(&row);
        *of_row = code;
        if !is_time_based {
            continue;
        }
        if let Some(time) = paths.timestamps.get_mut(row) {
            *time = if batch.timestamps.is_null(row) { Paths::NO_TIME } else { batch.timestamps.value(row) };
        }
    }
    paths.rejects = rejects.into_values().collect();
    paths
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::super::from_props;
    use super::super::tests::{batch_of, json_column, path_of_rows};
    use super::*;

    fn paths(settings: &[(&str, &str)], batch: &Batch) -> Paths {
        from_props(&settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()).unwrap().paths(batch, DateTime::UNIX_EPOCH)
    }

    const FIELD: &[(&str, &str)] = &[("partitioner.class", "FieldPartitioner"), ("partition.field.name", "c")];

    #[test]
    fn the_schemas_name_goes_before_or_after_the_path() {
        let batch = batch_of(&json_column(&[Some(r#"{"c":1}"#), Some(r#"{"c":2}"#)]), &[None; 2]);
        for (affix, name, delim, wanted) in [
            ("NONE", Some("com.acme.Order"), "/", ["c=1", "c=2"]),
            ("PREFIX", Some("com.acme.Order"), "/", ["schema_name=com.acme.Order/c=1", "schema_name=com.acme.Order/c=2"]),
            ("SUFFIX", Some("Order"), "_", ["c=1_schema_name=Order", "c=2_schema_name=Order"]),
            ("PREFIX", None, "/", ["schema_name=null/c=1", "schema_name=null/c=2"]),
        ] {
            assert!(Affix::NAMES.contains(&affix));
            let found = Affix::parse(affix).unwrap().affixed(paths(FIELD, &batch), name, delim);
            assert_eq!(found.distinct.iter().map(|path| &**path).collect::<Vec<_>>(), wanted, "{affix} {name:?}");
        }
        assert_eq!((Affix::parse("prefix"), Affix::parse("")), (None, None));
    }

    #[test]
    fn tombstones_have_a_directory_whatever_the_partitioner_says() {
        let rows = [Some(r#"{"c":1}"#), None, Some("17"), Some(r#"{"c":"tombstone"}"#), None];
        let batch = batch_of(&json_column(&rows), &[None; 5]);
        let affixed = Affix::Prefix.affixed(paths(FIELD, &batch), Some("S"), "/");
        let found = path_of_rows(&with_tombstones(affixed, &batch, "tombstone"));
        assert_eq!(found[0], Ok("schema_name=S/c=1".to_owned()));
        assert_eq!((&found[1], &found[4]), (&Ok("tombstone".to_owned()), &Ok("tombstone".to_owned())), "no schema's name");
        assert!(found[2].as_ref().is_err_and(|reason| reason.contains("not a JSON object")), "other rejects stay: {found:?}");
        assert_eq!(found[3], Ok("schema_name=S/c=tombstone".to_owned()));
    }

    #[test]
    fn a_directory_of_the_same_name_is_kept_apart() {
        let batch = batch_of(&json_column(&[None, Some("{}")]), &[None; 2]);
        let found = with_tombstones(paths(&[], &batch), &batch, "partition=3");
        assert_eq!((found.codes.as_slice(), found.tombstones), ([1, 0].as_slice(), Some(1)));
        assert_eq!(found.distinct[0], found.distinct[1]);
    }

    #[test]
    fn the_time_of_a_tombstone_is_that_of_its_record() {
        let by_field = [("partitioner.class", "DailyPartitioner"), ("locale", "en"), ("timezone", "UTC"), ("timestamp.extractor", "RecordField")];
        let rows = [Some(r#"{"timestamp":86400000}"#), None, None, Some(r#"{"timestamp":5}"#)];
        let batch = batch_of(&json_column(&rows), &[Some(1), Some(7), None, Some(2)]);
        let found = with_tombstones(paths(&by_field, &batch), &batch, "gone");
        assert_eq!(found.timestamps, [86_400_000, 7, Paths::NO_TIME, 5]);
        let found = path_of_rows(&found);
        assert_eq!((found[0].as_deref(), found[1].as_deref()), (Ok("year=1970/month=01/day=02"), Ok("gone")));
        assert_eq!(found[2].as_deref(), Ok("gone"), "without a time: it ends no file");
    }
}
