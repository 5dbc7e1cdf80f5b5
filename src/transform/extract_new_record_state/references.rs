//! `add.fields` and `add.headers`: what is taken from the envelope, and under which name.
//!
//! ```text
//! op              the envelope's own op                    __op
//! table           source.table                             __table
//! source.ts_ms    source.ts_ms                             __source_ts_ms
//! lsn:position    source.lsn                               __position
//! ```
//!
//! What is not where it should be is looked for in the envelope itself, and left out when it is not there either.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use lakehead_formats::column::Column;

use super::super::fields::{basics, masked};
use super::super::side::Refusal;

/// A field of the envelope, or of a struct in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    pub(super) within: Option<String>,
    pub(super) field: String,
    /// Its name where it is added.
    pub(super) name: String,
}

impl Reference {
    /// Reads a list of them.
    ///
    /// # Errors
    /// Which one is none, and why.
    pub(super) fn list(prefix: &str, list: &str) -> Result<Vec<Self>, String> {
        if list.is_empty() {
            return Ok(Vec::new());
        }
        list.split(',').map(|text| Self::parse(prefix, text.trim())).collect()
    }

    fn parse(prefix: &str, text: &str) -> Result<Self, String> {
        // Separators at the end count for nothing, as Java splits.
        let trimmed = text.trim_end_matches(':');
        let (place, renamed) = match trimmed.split(':').collect::<Vec<_>>()[..] {
            [place] => (place, None),
            [place, name] => (place, Some(name)),
            _ => return Err(format!("Unexpected field name: {text}")),
        };
        let steps: Vec<&str> = place.trim_end_matches('.').split('.').collect();
        let (within, field, name) = match steps[..] {
            [""] if !place.is_empty() => return Err(format!("Unexpected field name: {text}")),
            [field] => (usual(field).map(str::to_owned), field, field.to_owned()),
            [within, field, ..] => (Some(within.to_owned()), field, format!("{within}_{field}")),
            [] => return Err(format!("Unexpected field name: {text}")),
        };
        Ok(Self { within, field: field.to_owned(), name: format!("{prefix}{}", renamed.unwrap_or(&name)) })
    }

    /// The field where it is found, and its values.
    fn find<'a>(&self, envelope: &'a StructArray) -> Result<Option<(&'a FieldRef, ArrayRef)>, Refusal> {
        let own = || envelope.fields().find(&self.field).map(|(at, field)| (field, Arc::clone(envelope.column(at))));
        let Some(within) = &self.within else { return Ok(own()) };
        let (at, parent) = envelope.fields().find(within).ok_or_else(|| self.missing(within))?;
        let Some(rows) = envelope.column(at).as_struct_opt() else { return Err(Refusal("Cannot look up fields on non-struct type".to_owned())) };
        let DataType::Struct(fields) = parent.data_type() else { return Ok(None) };
        let inner = fields.find(&self.field).map(|(at, field)| (field, Arc::clone(rows.column(at))));
        match inner.or_else(own) {
            Some((field, values)) => Ok(Some((field, masked(&values, rows.nulls())?))),
            None => Ok(None),
        }
    }

    /// Rows in which a whole struct or map would have to be added: upstream copies its schema without what is in it, and no value is one of that.
    pub(super) fn lost(&self, envelope: &StructArray) -> Option<BooleanBuffer> {
        let (field, values) = self.find(envelope).ok()??;
        let is_whole = matches!(field.data_type(), DataType::Struct(_) | DataType::Map(..));
        let there = || values.logical_nulls().map_or_else(|| BooleanBuffer::new_set(values.len()), NullBuffer::into_inner);
        Some(there()).filter(|there| is_whole && there.count_set_bits() > 0)
    }

    /// Why such rows are left out.
    pub(super) fn is_whole(&self) -> Refusal {
        Refusal(format!("field \"{}\" is a struct or a map, which cannot be added as a whole: name a field in it, as source.ts_ms", self.field))
    }

    /// The field as it is added; none when the envelope has no such field.
    ///
    /// # Errors
    /// When the struct that it should be in is not in the envelope, or is none.
    pub(super) fn of(&self, envelope: &StructArray) -> Result<Option<Column>, Refusal> {
        let Some((field, values)) = self.find(envelope)? else { return Ok(None) };
        // What is left of a struct's schema has no fields, and every row is null.
        let empty = DataType::Struct(Fields::empty());
        let (data_type, values) = match field.data_type() {
            DataType::Struct(_) => (empty.clone(), new_null_array(&empty, values.len())),
            other => (other.clone(), values),
        };
        let added: Field = basics(field, data_type).with_nullable(true).with_name(&self.name);
        Ok(Some(Column::new(Arc::new(added), values)))
    }

    fn missing(&self, within: &str) -> Refusal {
        Refusal(format!(
            "field \"{}\" is to be added from \"{within}\", which the envelope does not have: name the struct that it is in, as source.{}",
            self.field, self.field
        ))
    }
}

/// The struct that a field without one is in.
fn usual(field: &str) -> Option<&'static str> {
    match field {
        "id" | "data_collection_order" | "total_order" => Some("transaction"),
        "op" | "ts_ms" | "ts_us" | "ts_ns" => None,
        "updateDescription" => Some("updateDescription"),
        _ => Some("source"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_where_fields_are_and_how_they_are_called() {
        for (text, within, field, name) in [
            ("op", None, "op", "__op"),
            ("ts_ms", None, "ts_ms", "__ts_ms"),
            ("table", Some("source"), "table", "__table"),
            ("source.ts_ms", Some("source"), "ts_ms", "__source_ts_ms"),
            ("transaction.id", Some("transaction"), "id", "__transaction_id"),
            ("id", Some("transaction"), "id", "__id"),
            ("op:operation", None, "op", "__operation"),
            ("source.lsn:lsn", Some("source"), "lsn", "__lsn"),
            ("op:", None, "op", "__op"),
            ("a.b.c", Some("a"), "b", "__a_b"),
        ] {
            let expected = Reference { within: within.map(str::to_owned), field: field.to_owned(), name: name.to_owned() };
            assert_eq!(Reference::list("__", text), Ok(vec![expected]), "{text}");
        }
        assert_eq!(Reference::list("x", "op , table").unwrap().iter().map(|reference| reference.name.as_str()).collect::<Vec<_>>(), ["xop", "xtable"]);
        assert_eq!(Reference::list("__", ""), Ok(vec![]));
        for text in ["a:b:c", ".", "op,.."] {
            assert!(Reference::list("__", text).unwrap_err().starts_with("Unexpected field name: "), "{text}");
        }
    }
}
