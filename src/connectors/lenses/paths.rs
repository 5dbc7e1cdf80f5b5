//! `PARTITIONBY`: the directory of each record.
//!
//! The terms are a template of the `TemplatePartitioner`, around which [`Rows`] refuses the records that upstream refuses: those without the key, the header or
//! the value that a term asks for. A field that is not there prints `[missing]`, as upstream.

use arrow::array::{Array, AsArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use chrono::{DateTime, Utc};
use lakehead_formats::column::Reject;
use lakehead_formats::schema::is_json_text;

use super::format::Format;
use super::kcql::PartitionBy;
use crate::batch::Batch;
use crate::connect::Props;
use crate::connectors::cloud_storage::intake::refuse;
use crate::partition::{self, Partitioner, Paths};

/// Where the padded Kafka partition goes.
pub(super) const PARTITION: char = '\u{1}';
/// A path that is empty.
pub(super) const NOTHING: char = '\u{2}';

/// Letters of Java's date patterns that mean the same in Joda's, in which the partitioners print.
const DATE_LETTERS: &str = "yMdDEaHhkKmsS";

/// What the terms of a statement ask records for.
#[derive(Debug, Default)]
struct Asked {
    key: bool,
    headers: Vec<String>,
}

/// The paths of a statement.
#[derive(Debug)]
pub(super) struct Rows {
    template: Box<dyn Partitioner>,
    asked: Asked,
    /// What the rows are written in.
    format: Format,
    /// The key that has null values left out.
    skip: String,
}

impl Rows {
    /// The paths of `PARTITIONBY` and its kin, with or without `name=` in front of each value.
    ///
    /// # Errors
    /// The term that cannot be honoured, in upstream's words where it has some.
    pub(super) fn new(by: &PartitionBy, has_names: bool, format: Format, skip: String) -> Result<Self, String> {
        let mut asked = Asked::default();
        let template = template(by, has_names, &mut asked)?;
        Ok(Self { template: partitioner(&template)?, asked, format, skip })
    }

    /// Rows without what is asked of them; a row may be there more than once.
    fn unusable(&self, batch: &Batch) -> Vec<Reject> {
        let mut rejects = Vec::new();
        if self.format != Format::Bytes
            && let Some(nulls) = batch.value.array.logical_nulls()
        {
            let reason = format!("Value is null: set {}=true to have such records left out", self.skip);
            rejects.extend((0..batch.len()).filter(|row| nulls.is_null(*row)).map(|row| Reject { row, reason: reason.clone() }));
        }
        if self.format.has_columns() && is_json_text(&batch.value.field) {
            let reason =
                "Schema-less data is not supported for Avro/Parquet where another statement stores JSON, TEXT or BYTES: give each a connector".to_owned();
            rejects.extend((0..batch.len()).map(|row| Reject { row, reason: reason.clone() }));
        }
        if self.asked.key
            && let Some(nulls) = batch.key.array.logical_nulls()
        {
            rejects.extend((0..batch.len()).filter(|row| nulls.is_null(*row)).map(|row| Reject { row, reason: "Key is null.".to_owned() }));
        }
        for name in &self.asked.headers {
            let found = header(batch, name);
            let reason = |state| match state {
                Header::Absent => Some(format!("Header '{name}' not found in message")),
                Header::Null => Some(format!("Header '{name}' is null.")),
                Header::There => None,
            };
            rejects.extend(found.into_iter().enumerate().filter_map(|(row, state)| Some(Reject { row, reason: reason(state)? })));
        }
        rejects
    }
}

impl Partitioner for Rows {
    fn paths(&self, batch: &Batch, now: DateTime<Utc>) -> Paths {
        let mut paths = self.template.paths(batch, now);
        let mut unusable = self.unusable(batch);
        unusable.sort_by_key(|reject| reject.row);
        unusable.dedup_by_key(|reject| reject.row); // the first reason stays
        for known in &mut paths.rejects {
            if let Ok(at) = unusable.binary_search_by_key(&known.row, |reject| reject.row)
                && let Some(reject) = unusable.get(at)
            {
                known.reason.clone_from(&reject.reason);
            }
        }
        refuse(&mut paths, unusable);
        paths
    }

    fn is_deterministic(&self) -> bool {
        self.template.is_deterministic()
    }

    fn is_time_based(&self) -> bool {
        self.template.is_time_based()
    }
}

/// What a record has under a header's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Header {
    Absent,
    Null,
    There,
}

/// The last header of that name, of each row.
fn header(batch: &Batch, name: &str) -> Vec<Header> {
    let mut found = vec![Header::Absent; batch.len()];
    let Some(headers) = &batch.headers else { return found };
    let entries = headers.values().as_struct();
    let (Some(names), Some(values)) = (entries.columns().first(), entries.columns().get(1)) else { return found };
    let names: StringArray = cast(names, &DataType::Utf8).map_or_else(|_| StringArray::new_null(names.len()), |names| names.as_string::<i32>().clone());
    for (state, range) in found.iter_mut().zip(headers.offsets().windows(2)) {
        let &[start, end] = range else { continue };
        let (start, end) = (usize::try_from(start).unwrap_or(0), usize::try_from(end).unwrap_or(0));
        if let Some(at) = (start..end).rev().find(|at| names.is_valid(*at) && names.value(*at) == name) {
            *state = if values.is_null(at) { Header::Null } else { Header::There };
        }
    }
    found
}

/// The paths of a statement as a template of the `TemplatePartitioner`.
fn template(by: &PartitionBy, has_names: bool, asked: &mut Asked) -> Result<String, String> {
    let named = |name: &str, text: String| if has_names { format!("{}={text}", escaped(name)) } else { text };
    let fields = match by {
        PartitionBy::Nothing => return Ok(NOTHING.to_string()),
        PartitionBy::Default => return Ok(format!("{}/{}", named("topic", "{topic}".to_owned()), named("partition", PARTITION.to_string()))),
        PartitionBy::Fields(fields) => fields,
    };
    let levels = fields.iter().map(|field| level(field, &named, asked)).collect::<Result<Vec<_>, _>>()?;
    Ok(levels.join("/"))
}

fn level(field: &[String], named: &impl Fn(&str, String) -> String, asked: &mut Asked) -> Result<String, String> {
    let (specifier, path) = match field.split_first() {
        Some((first, rest)) if ["_key", "_value", "_header", "_topic", "_partition", "_date"].contains(&first.as_str()) => (first.as_str(), rest),
        _ => ("_value", field),
    };
    if path.iter().any(|name| name.contains(['/', '\\', '{', '}', '.'])) && specifier != "_date" && specifier != "_header" {
        return Err(format!("PARTITIONBY {}: a name with a slash, a brace or a dot in it is not supported", field.join(".")));
    }
    let dotted = path.join(".");
    let wants = |what: &str| Err(format!("cannot partition by {specifier} partition field without {what}"));
    asked.key |= specifier == "_key";
    match (specifier, path) {
        ("_topic", []) => Ok(named("topic", "{topic}".to_owned())),
        ("_partition", []) => Ok(named("partition", PARTITION.to_string())),
        ("_topic" | "_partition", _) => Err(format!("partitioning by {} requires no path", &specifier[1..])),
        ("_key", []) => Ok(named("key", "{key}".to_owned())),
        ("_key", _) => Ok(named(&dotted, format!("{{key.{dotted}}}"))),
        ("_header", []) => wants("path"),
        ("_header", [name]) if !name.contains(['{', '}']) => {
            asked.headers.push(name.clone());
            Ok(named(name, format!("{{header.{name}}}")))
        }
        ("_header", _) => Err(format!("PARTITIONBY _header.{dotted}: fields inside of headers are not supported")),
        ("_date", []) => wants("format"),
        ("_date", [format]) => Ok(named("date", format!("{{time:{}}}", date(format)?))),
        ("_date", _) => Err("only one format should be provided for date".to_owned()),
        (_, []) => wants("path"),
        _ => Ok(named(&dotted, format!("{{value.{dotted}}}"))),
    }
}

/// A pattern of Java's `DateTimeFormatter` as one of Joda's.
fn date(pattern: &str) -> Result<String, String> {
    let mut is_quoted = false;
    let letter = |c: char| {
        is_quoted ^= c == '\'';
        match c {
            'u' if !is_quoted => Ok('y'),
            'L' if !is_quoted => Ok('M'),
            '{' | '}' | '[' | ']' | '#' => Err(format!("PARTITIONBY _date.{pattern}: '{c}' is not supported in a pattern")),
            c if !is_quoted && c.is_ascii_alphabetic() && !DATE_LETTERS.contains(c) => {
                Err(format!("PARTITIONBY _date.{pattern}: the letter '{c}' is not supported in a pattern; letters that are: u, L and {DATE_LETTERS}"))
            }
            c => Ok(c),
        }
    };
    pattern.chars().map(letter).collect()
}

fn escaped(text: &str) -> String {
    text.replace('{', "{{").replace('}', "}}")
}

fn partitioner(template: &str) -> Result<Box<dyn Partitioner>, String> {
    let settings = [
        ("partitioner.class", "TemplatePartitioner"),
        ("lakehead.path.template", template),
        ("directory.delim", "\u{5}"),
        ("timezone", "UTC"),
        ("timestamp.extractor", "Record"),
        ("lakehead.partition.field.null", "text:[missing]"),
    ];
    let built = partition::from_props(&settings.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect::<Props>());
    built.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
}
