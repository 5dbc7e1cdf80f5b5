//! Key or value, with a schema or without: what a transform is asked of is settled here once for all of them.
//!
//! A [`Rewrite`] is a function over one side of a batch's records. [`Sided`] makes a [`Transform`] of it: it takes the side, tells schemaless values (null, or
//! what was JSON, which the chain has read; what a transform leaves stays a [`Dynamic`] for the next) from those under a schema, passes on what is null where upstream does,
//! and leaves out the rows that the rewrite refuses.
//!
//! A null has no schema of its own here: it stands in the column of its neighbours. So of nulls and values in one batch, the nulls come under the schema
//! that the values get, also where upstream would leave the null's own.

use arrow::array::{Array, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schema::is_json_text;
use lakehead_formats::schemaless::{Dynamic, Kind, read_json};

use super::{Transform, rows};
use crate::batch::Batch;

/// One side of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The key.
    Key,
    /// The value.
    Value,
}

impl Side {
    /// That side of a batch.
    #[must_use]
    pub fn of(self, batch: &Batch) -> &Column {
        match self {
            Self::Key => &batch.key,
            Self::Value => &batch.value,
        }
    }

    pub(super) fn put(self, batch: &mut Batch, column: Column) {
        match self {
            Self::Key => batch.key = column,
            Self::Value => batch.value = column,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
        }
    }
}

/// Why no row with a value can be rewritten.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) String);

impl From<ArrowError> for Refusal {
    fn from(error: ArrowError) -> Self {
        Self(format!("the values cannot be put together: {error}"))
    }
}

/// Rows in their new form, and those of which there is none.
#[derive(Debug)]
pub(super) struct Rewritten<T> {
    pub(super) values: T,
    pub(super) rejects: Vec<Reject>,
}

impl<T> From<T> for Rewritten<T> {
    fn from(values: T) -> Self {
        Self { values, rejects: Vec::new() }
    }
}

/// A function over one side of the records of a batch. Both forms give as many rows as they are given, also for rows that they reject.
pub(super) trait Rewrite: std::fmt::Debug + Send {
    /// Whether a record goes on as it is when the side is null. Otherwise the rewrite is given nulls, and says what becomes of them.
    const PASSES_NULLS: bool;

    /// Whether a null goes on as it is where no row with a value can be rewritten.
    const KEEPS_NULLS: bool = Self::PASSES_NULLS;

    /// Values without a schema.
    fn schemaless(&mut self, batch: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal>;

    /// Values under a schema.
    fn with_schema(&mut self, batch: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal>;

    /// As [`Transform::of_source`].
    fn of_source(&mut self) {}
}

/// A transform that reads one side and replaces one, most often the same.
#[derive(Debug)]
pub(super) struct Sided<R> {
    pub(super) reads: Side,
    pub(super) writes: Side,
    pub(super) rewrite: R,
}

impl<R: Rewrite + 'static> Sided<R> {
    /// The transform of one side.
    pub(super) fn boxed(side: Side, rewrite: R) -> Box<dyn Transform> {
        Box::new(Self { reads: side, writes: side, rewrite })
    }
}

impl<R: Rewrite> Transform for Sided<R> {
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let column = self.reads.of(&batch);
        let nulls = null_rows(column);
        if batch.is_empty() || (R::PASSES_NULLS && nulls.as_ref().is_some_and(|nulls| nulls.null_count() == nulls.len())) {
            out.push(batch);
            return Vec::new();
        }
        if column.field.data_type() == &DataType::Null {
            let values = Dynamic::none(Kind::Null, batch.len());
            return self.schemaless(batch, &values, Vec::new(), out);
        }
        if let Some(values) = Dynamic::of_column(column) {
            return self.schemaless(batch, &values, Vec::new(), out);
        }
        if is_json_text(&column.field) {
            return self.json(&batch, out);
        }
        let outcome = self.rewrite.with_schema(&batch, column);
        self.settle(batch, outcome, Vec::new(), out)
    }

    fn reads(&self) -> Option<Side> {
        Some(self.reads)
    }

    fn of_source(&mut self) {
        self.rewrite.of_source();
    }
}

impl<R: Rewrite> Sided<R> {
    /// Reads JSON, a part of the batch at a time where its keys are many.
    fn json(&mut self, batch: &Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let texts = self.reads.of(batch).array.as_string::<i32>();
        let (mut rejects, mut from) = (Vec::new(), 0);
        while from < batch.len() {
            let read = match read_json(&texts.slice(from, texts.len() - from)) {
                Ok(read) if !read.values.is_empty() => read,
                Ok(_) => return rejects,
                Err(error) => {
                    let rest = rows::between(batch, from, batch.len());
                    rejects.extend(all(&rest, None, &error.to_string()).into_iter().map(|reject| Reject { row: reject.row + from, ..reject }));
                    out.push(rows::without_rows(&rest));
                    return rejects;
                }
            };
            let end = from + read.values.len();
            let part = if end - from == batch.len() { batch.clone() } else { rows::between(batch, from, end) };
            let found = self.schemaless(part, &read.values, read.rejects, out);
            rejects.extend(found.into_iter().map(|reject| Reject { row: reject.row + from, ..reject }));
            from = end;
        }
        rejects
    }

    fn schemaless(&mut self, mut batch: Batch, values: &Dynamic, rejects: Vec<Reject>, out: &mut Vec<Batch>) -> Vec<Reject> {
        self.reads.put(&mut batch, values.clone().into_column(self.reads.name())); // what was read stays so for what comes next
        let outcome = self.rewrite.schemaless(&batch, values);
        let outcome = outcome.map(|done| Rewritten { values: done.values.into_column(self.writes.name()), rejects: done.rejects });
        self.settle(batch, outcome, rejects, out)
    }

    /// Puts the new column in the place of the old one, without the rows that have none.
    fn settle(&mut self, mut batch: Batch, outcome: Result<Rewritten<Column>, Refusal>, mut rejects: Vec<Reject>, out: &mut Vec<Batch>) -> Vec<Reject> {
        let nulls = if R::KEEPS_NULLS { null_rows(self.reads.of(&batch)) } else { None };
        match outcome {
            Ok(Rewritten { values, rejects: more }) => {
                self.writes.put(&mut batch, values);
                rejects.extend(more);
            }
            Err(Refusal(reason)) => rejects.extend(all(&batch, nulls.as_ref(), &reason)),
        }
        rejects.sort_by_key(|reject| reject.row);
        rejects.dedup_by_key(|reject| reject.row);
        match rows::without(&batch, &rejects) {
            Ok(kept) => out.push(kept),
            Err(error) => {
                rejects = all(&batch, None, &Refusal::from(error).0);
                out.push(rows::without_rows(&batch));
            }
        }
        rejects
    }
}

/// Every row that is no null, rejected for one reason.
fn all(batch: &Batch, nulls: Option<&NullBuffer>, reason: &str) -> Vec<Reject> {
    let rows = (0..batch.len()).filter(|row| nulls.is_none_or(|nulls| nulls.is_valid(*row)));
    rows.map(|row| Reject { row, reason: reason.to_owned() }).collect()
}

/// Which rows of a side are null: tombstones, missing keys; none when none is.
pub(super) fn null_rows(column: &Column) -> Option<NullBuffer> {
    match Dynamic::of_column(column) {
        Some(values) => Some(values.nulls()).filter(|nulls| nulls.null_count() > 0),
        None => column.array.logical_nulls().filter(|nulls| nulls.null_count() > 0),
    }
}

/// Rejects the rows that are no map, as `Requirements.requireMap`; nulls are rejected only where `nulls` says so.
pub(super) fn not_maps(values: &Dynamic, purpose: &str, nulls: bool) -> Vec<Reject> {
    let is_wrong = |kind: Kind| kind != Kind::Map && (nulls || kind > Kind::Null);
    let kinds = (0..values.len()).map(|row| values.kind(row));
    let wrong = kinds.enumerate().filter(|(_, kind)| is_wrong(*kind));
    wrong.map(|(row, kind)| Reject { row, reason: map_required(purpose, kind.class_name()) }).collect()
}

pub(super) fn map_required(purpose: &str, found: &str) -> String {
    format!("Only Map objects supported in absence of schema for [{purpose}], found: {found}")
}

/// True for structs under a schema.
pub(super) fn is_struct(column: &Column) -> bool {
    matches!(column.field.data_type(), DataType::Struct(_)) && Dynamic::of_column(column).is_none()
}

/// As `Requirements.requireStruct`.
pub(super) fn struct_required(purpose: &str, column: &Column) -> Refusal {
    Refusal(format!("Only Struct objects supported for [{purpose}], found: {}", class_of(&column.field)))
}

/// The class of Java's values under a schema.
pub(super) fn class_of(field: &Field) -> &'static str {
    match field.data_type() {
        DataType::Boolean => "java.lang.Boolean",
        DataType::Int8 => "java.lang.Byte",
        DataType::Int16 => "java.lang.Short",
        DataType::Int32 => "java.lang.Integer",
        DataType::Int64 => "java.lang.Long",
        DataType::Float32 => "java.lang.Float",
        DataType::Float64 => "java.lang.Double",
        DataType::Binary => "[B",
        DataType::Decimal128(..) | DataType::Decimal256(..) => "java.math.BigDecimal",
        DataType::Date32 | DataType::Time32(_) | DataType::Timestamp(..) => "java.util.Date",
        DataType::List(_) => "java.util.ArrayList",
        DataType::Map(..) => "java.util.HashMap",
        DataType::Struct(_) => "org.apache.kafka.connect.data.Struct",
        DataType::Null => "null",
        _ => "java.lang.String",
    }
}

/// Characters of a value that are shown.
const EXCERPT: usize = 60;

/// The beginning of a text, for what people read: a letter that carries a whole value as its reason could be more than brokers take.
pub(super) fn excerpt(text: &str) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(EXCERPT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    }
}

#[cfg(test)]
pub(super) mod tests;
