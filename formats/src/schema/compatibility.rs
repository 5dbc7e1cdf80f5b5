//! `schema.compatibility`: whether a record goes into the file that is open, as it is or projected to the file's schema, or into the next file.
//!
//! | mode | the schemas are equal | they differ |
//! |---|---|---|
//! | NONE | same file | next file |
//! | BACKWARD, FULL | same file | projected, unless the structure does not allow it or the record's version is newer than the file's |
//! | FORWARD | same file | projected, unless the structure does not allow it or the record's version is older than the file's |
//!
//! The structure allows a projection when, in every field that both have, at any depth: the type is the same or a number that widens
//! (int8 < int16 < int32 < int64 < float32 < float64); the name is the same; the parameters are the same, those that only document left out
//! (of enums: the file knows every symbol of the record); a value may be absent only where it may in the file, or the file's schema has a default;
//! and the record has every field that the file requires without a default. Versions count at the top only.
//!
//! The rules are those of `StorageSchemaCompatibility` (storage-common 12.0.6). Values are compared, not objects: equal schemas need no version.
//! A schema that was inferred has no version: callers widen it ([`super::merge`]) before they ask here.
//!
//! Beside upstream's modes, [`unite`] makes one schema of two versions: files then take the rows of both, in any order.
//!
//! Guarantee: what [`verdict`] answers with [`Verdict::Project`], [`project`] can do.

use std::borrow::Cow;
use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Fields};

use super::{DATE, DECIMAL, NAME, PARAMETERS, TIME, TIMESTAMP, VERSION, is_json_text};

pub(super) mod constant;
mod project;
#[cfg(test)]
mod tests;
mod union;

pub use project::project;
pub use union::{is_alike, unite};

/// A value of `schema.compatibility`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compatibility {
    /// Any other schema begins another file.
    #[default]
    None,
    /// Files have the newest schema so far; older records are projected up.
    Backward,
    /// Files have the oldest schema; newer records are projected down.
    Forward,
    /// As [`Self::Backward`].
    Full,
}

/// What becomes of a record while a file is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes into the file as it is.
    Same,
    /// It goes into the file, projected to the file's schema with [`project`].
    Project,
    /// The file ends, and the record is the first of the next.
    Rotate,
}

/// A schema that the mode can only compare by its version has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the {whose} schema has no version, and schema.compatibility={mode} orders schemas by version; \
     use a converter that sets one (schema registry), or schema.compatibility=NONE"
)]
pub struct NoVersion {
    /// The mode, as it is written in the configuration.
    pub mode: Compatibility,
    whose: &'static str,
}

impl std::fmt::Display for Compatibility {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "NONE",
            Self::Backward => "BACKWARD",
            Self::Forward => "FORWARD",
            Self::Full => "FULL",
        })
    }
}

impl Compatibility {
    /// Every mode, in the order of the documentation.
    pub const ALL: [Self; 4] = [Self::None, Self::Backward, Self::Forward, Self::Full];

    /// Reads the setting. Any text but the four words, in capitals, means NONE, as upstream; then there is a warning to show.
    #[must_use]
    pub fn parse(text: &str) -> (Self, Option<String>) {
        if let Some(mode) = Self::ALL.into_iter().find(|mode| mode.to_string() == text) {
            return (mode, None);
        }
        let warning = format!("schema.compatibility is {text:?}, which means NONE: the modes are NONE, BACKWARD, FORWARD and FULL, in capitals");
        (Self::None, Some(warning))
    }
}

/// Says what becomes of records with the schema `record` while a file with the schema `file` is open.
///
/// # Errors
/// [`NoVersion`] when the schemas differ and the mode needs a version that one of them lacks.
pub fn verdict(mode: Compatibility, record: &Field, file: &Field) -> Result<Verdict, NoVersion> {
    if same(record, file) {
        return Ok(Verdict::Same);
    }
    // Text without a schema and values with one never share a file, in any mode.
    if mode == Compatibility::None || is_json_text(record) != is_json_text(file) {
        return Ok(Verdict::Rotate);
    }
    let of = |field, whose| version(field).ok_or(NoVersion { mode, whose });
    let (new, held) = (of(record, "record's")?, of(file, "file's")?);
    let ordered = if mode == Compatibility::Forward { new >= held } else { new <= held };
    Ok(if ordered && projects(record, file).is_ok() { Verdict::Project } else { Verdict::Rotate })
}

/// Equality of schemas: everything but the name of the column.
fn same(a: &Field, b: &Field) -> bool {
    a.is_nullable() == b.is_nullable() && a.metadata() == b.metadata() && a.data_type() == b.data_type()
}

fn version(field: &Field) -> Option<i32> {
    field.metadata().get(VERSION)?.parse().ok()
}

/// Why values of one schema cannot be projected to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Incompatible {
    Type,
    Name,
    Parameters,
    Optionality,
    MissingField,
}

/// The structural rules at this level and below.
fn projects(record: &Field, file: &Field) -> Result<(), Incompatible> {
    if !types_project(record.data_type(), file.data_type()) {
        return Err(Incompatible::Type);
    }
    if name(record) != name(file) {
        return Err(Incompatible::Name);
    }
    if !parameters_project(record, file) {
        return Err(Incompatible::Parameters);
    }
    if record.is_nullable() && !file.is_nullable() && constant::default_value(file).is_none() {
        return Err(Incompatible::Optionality);
    }
    match (record.data_type(), file.data_type()) {
        (DataType::Struct(record), DataType::Struct(file)) => members_project(record, file),
        (DataType::List(record), DataType::List(file)) => projects(record, file),
        (DataType::Map(record, _), DataType::Map(file, _)) => match (record.data_type(), file.data_type()) {
            (DataType::Struct(record), DataType::Struct(file)) => record.iter().zip(file).try_for_each(|(record, file)| projects(record, file)),
            _ => Err(Incompatible::Type),
        },
        _ => Ok(()),
    }
}

fn members_project(record: &Fields, file: &Fields) -> Result<(), Incompatible> {
    for field in record {
        if let Some((_, held)) = file.find(field.name()) {
            projects(field, held)?;
        }
    }
    let required = |field: &&_| !Field::is_nullable(field) && constant::default_value(field).is_none();
    match file.iter().find(|field| record.find(field.name()).is_none() && required(&field.as_ref())) {
        Some(_) => Err(Incompatible::MissingField),
        None => Ok(()),
    }
}

/// True when Connect's type of the record is the file's, or a number that widens to it.
fn types_project(record: &DataType, file: &DataType) -> bool {
    let (record, file) = (Kind::of(record), Kind::of(file));
    record.is_some() && (record == file || matches!((record, file), (Some(Kind::Number(a)), Some(Kind::Number(b))) if a <= b))
}

/// Connect's type of an Arrow type; a number has its place in the order of widening.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Number(u8),
    Boolean,
    String,
    Bytes,
    Array,
    Map,
    Struct,
}

impl Kind {
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Int8 => Self::Number(0),
            DataType::Int16 => Self::Number(1),
            DataType::Int32 | DataType::Date32 | DataType::Time32(_) => Self::Number(2),
            DataType::Int64 | DataType::Timestamp(..) => Self::Number(3),
            DataType::Float32 => Self::Number(4),
            DataType::Float64 => Self::Number(5),
            DataType::Boolean => Self::Boolean,
            DataType::Utf8 => Self::String,
            DataType::Binary | DataType::Decimal128(..) | DataType::Decimal256(..) => Self::Bytes,
            DataType::List(_) => Self::Array,
            DataType::Map(..) => Self::Map,
            DataType::Struct(_) => Self::Struct,
            _ => return None,
        })
    }
}

/// The schema's name; a logical type has its own also where nothing states it.
fn name(field: &Field) -> Option<&str> {
    let implied = match field.data_type() {
        DataType::Date32 => Some(DATE),
        DataType::Time32(_) => Some(TIME),
        DataType::Timestamp(..) => Some(TIMESTAMP),
        DataType::Decimal128(..) | DataType::Decimal256(..) => Some(DECIMAL),
        _ => None,
    };
    field.metadata().get(NAME).map(String::as_str).or(implied)
}

/// Parameters whose presence makes a schema an enum, by converter: Connect's own, Avro's, Protobuf's.
const ENUMS: [&str; 3] = ["org.apache.kafka.connect.data.Enum", "io.confluent.connect.avro.Enum", "io.confluent.connect.protobuf.Enum"];

/// Parameters that only document.
const DOCUMENTATION: [&str; 3] = ["connect.record.doc", "connect.record.aliases", "connect.record.namespace"];
const FIELD_DOCUMENTATION: &str = "io.confluent.connect.avro.field.doc.";

fn parameters_project(record: &Field, file: &Field) -> bool {
    let (record, file) = (parameters(record), parameters(file));
    let is_enum = |parameters: &BTreeMap<&str, Cow<'_, str>>| ENUMS.iter().any(|name| parameters.contains_key(name));
    if is_enum(&record) && is_enum(&file) {
        return record.iter().all(|(name, value)| file.get(name) == Some(value));
    }
    record == file
}

/// The schema's parameters without those that only document; a decimal has its scale also where nothing states it.
fn parameters(field: &Field) -> BTreeMap<&str, Cow<'_, str>> {
    let stated = field.metadata().iter().filter_map(|(key, value)| Some((key.strip_prefix(PARAMETERS)?, Cow::Borrowed(value.as_str()))));
    let mut parameters: BTreeMap<_, _> = stated.filter(|(name, _)| !DOCUMENTATION.contains(name) && !name.starts_with(FIELD_DOCUMENTATION)).collect();
    if let DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) = field.data_type() {
        parameters.entry("scale").or_insert_with(|| Cow::Owned(scale.to_string()));
    }
    parameters
}
