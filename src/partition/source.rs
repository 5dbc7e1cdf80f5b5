//! Where a piece of a path comes from: a field of the value or the key, the whole of them, a header, the topic, the Kafka partition.
//!
//! Integers, booleans and texts can name a directory; everything else is rejected, never guessed. Schemaless JSON gives its numbers as they are written,
//! and a missing field is null.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;

use arrow::array::{Array, AsArray, ListArray, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type};
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schema::DEFAULT;

use super::coded::Coded;
use super::json_path::{Path, Token};
use super::value::{Found, Leaf, find};
use crate::batch::Batch;

/// Where a piece of a path comes from.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Source {
    /// A field of the record's value, by its dotted name; the whole value when the name is empty.
    Value(String, Path),
    /// A field of the record's key, or the whole key.
    Key(String, Path),
    /// The last header of that name, as text.
    Header(String),
    /// The topic that the record goes to.
    Topic,
    /// The Kafka partition.
    Partition,
}

impl Source {
    /// A field of the value; all of it when the name is empty.
    pub(super) fn value(name: &str) -> Self {
        Self::Value(name.to_owned(), Path::new(name))
    }

    /// A field of the key; all of it when the name is empty.
    pub(super) fn key(name: &str) -> Self {
        Self::Key(name.to_owned(), Path::new(name))
    }

    /// The text of each row; rows that have none although they should go to `rejects`. The error says why no row has one. Where `has_defaults`, a null field
    /// is its schema's default.
    pub(super) fn code(&self, batch: &Batch, has_defaults: bool, rejects: &mut Vec<Reject>) -> Result<Coded, String> {
        match self {
            Self::Value(name, path) => code_column(&batch.value, "value", name, path, has_defaults, rejects),
            Self::Key(name, path) => code_column(&batch.key, "key", name, path, has_defaults, rejects),
            Self::Header(name) => code_header(batch, name, rejects),
            Self::Topic => Ok(Coded::constant(batch.len(), Some(batch.topic.to_string()))),
            Self::Partition => Ok(Coded::constant(batch.len(), Some(batch.from.partition.to_string()))),
        }
    }
}

/// Codes a field of a column, or the whole column.
fn code_column(column: &Column, side: &str, name: &str, path: &Path, has_defaults: bool, rejects: &mut Vec<Reject>) -> Result<Coded, String> {
    match find(column, path) {
        Found::Leaf(leaf) => code_leaf(side, name, &leaf, has_defaults, rejects),
        Found::Text(texts) => Ok(code_texts(side, name, path, texts, rejects)),
        Found::NoField => Err(format!("Field '{name}' is not present in the schema{}.", if side == "key" { " of the key" } else { "" })),
        Found::NoStruct => Err(format!("Error encoding partition: {side} is of type {}, it has no field '{name}'", column.field.data_type())),
    }
}

/// A field for messages: the value's by its name alone, as upstream says it.
fn described(side: &str, name: &str) -> String {
    match (side, name) {
        (side, "") => format!("the {side}"),
        ("value", name) => format!("field '{name}'"),
        (side, name) => format!("field '{name}' of the {side}"),
    }
}

/// A value of a row, by which rows are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Cell<T> {
    Null,
    Default,
    Value(T),
}

fn code_cells<T: Clone + Eq + std::hash::Hash + fmt::Display>(values: impl Iterator<Item = T>, leaf: &Leaf, default: Option<&str>) -> Coded {
    let cell = |(row, value)| match (&leaf.nulls, &leaf.around) {
        (Some(nulls), around) if nulls.is_null(row) => {
            let is_inside = around.as_ref().is_none_or(|around| around.is_valid(row));
            if is_inside && default.is_some() { Cell::Default } else { Cell::Null }
        }
        _ => Cell::Value(value),
    };
    Coded::by_key(values.enumerate().map(cell), |cell| match cell {
        Cell::Null => None,
        Cell::Default => default.map(str::to_owned),
        Cell::Value(value) => Some(value.to_string()),
    })
}

/// The default of a field's schema, as text, when it is one that can name a directory.
fn default_of(field: &Field) -> Option<String> {
    let text = field.metadata().get(DEFAULT)?;
    match Path::whole().find(text)? {
        Token::String(text) => Some(text.into_owned()),
        Token::Number(number) => Some(number.to_owned()),
        Token::Boolean(value) => Some(value.to_string()),
        Token::Missing | Token::Null | Token::Composite => None,
    }
}

/// Codes a typed column.
fn code_leaf(side: &str, name: &str, leaf: &Leaf, has_defaults: bool, rejects: &mut Vec<Reject>) -> Result<Coded, String> {
    let what = || described(side, name);
    let refused = || format!("Error encoding partition: {} is of type {}; integers, strings and booleans can name a directory", what(), leaf.field.data_type());
    let default = if has_defaults { default_of(&leaf.field) } else { None };
    let default = default.as_deref();
    match leaf.array.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => {
            let longs = cast(&leaf.array, &DataType::Int64).map_err(|_| refused())?;
            let longs = longs.as_primitive_opt::<Int64Type>().ok_or_else(refused)?;
            Ok(code_cells(longs.values().iter().copied(), leaf, default))
        }
        DataType::Boolean => Ok(code_cells(leaf.array.as_boolean_opt().ok_or_else(refused)?.values().iter(), leaf, default)),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(_, _) => {
            let is_text = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
            if let DataType::Dictionary(_, values) = leaf.array.data_type()
                && !is_text(values)
            {
                return Err(refused());
            }
            code_strings(leaf, default).ok_or_else(refused)
        }
        DataType::Binary | DataType::LargeBinary if side == "key" && name.is_empty() => {
            let texts = cast(&leaf.array, &DataType::Utf8).map_err(|_| refused())?;
            let is_lost = |row: &usize| texts.is_null(*row) && leaf.array.is_valid(*row);
            let reason = || "Error encoding partition: the key's bytes are no UTF-8 text".to_owned();
            rejects.extend((0..texts.len()).filter(is_lost).map(|row| Reject { row, reason: reason() }));
            code_strings(&Leaf { array: texts, ..leaf.clone() }, None).ok_or_else(refused)
        }
        DataType::Null => Ok(Coded::constant(leaf.array.len(), None)),
        _ => Err(refused()),
    }
}

fn code_strings(leaf: &Leaf, default: Option<&str>) -> Option<Coded> {
    let texts = cast(&leaf.array, &DataType::Utf8).ok()?;
    let texts = texts.as_string_opt::<i32>()?;
    Some(code_cells((0..texts.len()).map(|row| if texts.is_null(row) { "" } else { texts.value(row) }), leaf, default))
}

/// Codes a field of JSON texts.
fn code_texts(side: &str, name: &str, path: &Path, texts: &StringArray, rejects: &mut Vec<Reject>) -> Coded {
    let values = texts.iter().enumerate().map(|(row, text)| -> Option<Cow<'_, str>> {
        let found = match text.map(|text| path.find(text)) {
            None => return None, // a tombstone, or a record without a key: for the caller to decide
            Some(Some(token)) => token,
            Some(None) => {
                rejects.push(Reject { row, reason: format!("Error encoding partition: {side} is not a JSON object, it has no field '{name}'") });
                return None;
            }
        };
        match found {
            Token::Missing | Token::Null => None,
            Token::Boolean(value) => Some(Cow::Borrowed(if value { "true" } else { "false" })),
            Token::Number(text) => Some(Cow::Borrowed(text)),
            Token::String(text) => Some(text),
            Token::Composite => {
                let what = described(side, name);
                let reason = format!("Error encoding partition: {what} is an object or an array; numbers, strings and booleans can name a directory");
                rejects.push(Reject { row, reason });
                None
            }
        }
    });
    Coded::by_key(values, |value| value.as_ref().map(|value| value.as_ref().to_owned()))
}

/// Codes the last header of a name.
fn code_header(batch: &Batch, name: &str, rejects: &mut Vec<Reject>) -> Result<Coded, String> {
    let Some(headers) = &batch.headers else { return Ok(Coded::constant(batch.len(), None)) };
    let values = header_values(headers, name).ok_or("Error encoding partition: the headers are not lists of names and values")?;
    let mut texts: HashMap<usize, &str> = HashMap::new();
    for (row, value) in values.iter().enumerate().filter_map(|(row, value)| Some((row, (*value)?))) {
        match std::str::from_utf8(value) {
            Ok(text) => {
                texts.insert(row, text);
            }
            Err(_) => rejects.push(Reject { row, reason: format!("Error encoding partition: the value of header '{name}' is no UTF-8 text") }),
        }
    }
    Ok(Coded::by_key((0..batch.len()).map(|row| texts.get(&row).copied()), |text| text.map(str::to_owned)))
}

/// The bytes of each row's last header of that name.
fn header_values<'a>(headers: &'a ListArray, name: &str) -> Option<Vec<Option<&'a [u8]>>> {
    let entries = headers.values().as_struct_opt()?;
    let (names, values) = (entries.columns().first()?.as_string_opt::<i32>()?, entries.columns().get(1)?.as_binary_opt::<i32>()?);
    let of_row = |(row, bounds): (usize, &[i32])| {
        let [from, to] = bounds else { return None };
        let range = usize::try_from(*from).ok()?..usize::try_from(*to).ok()?;
        let at = range.rev().find(|at| headers.is_valid(row) && names.value(*at) == name)?;
        values.is_valid(at).then(|| values.value(at))
    };
    Some(headers.value_offsets().windows(2).enumerate().map(of_row).collect())
}
