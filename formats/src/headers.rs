//! The headers of records: a list of names and values for each row.
//!
//! A header's value is the bytes that came with it until something reads it, and most never are: then headers cost what their bytes cost. What a transform
//! adds is a value with a schema. Both stand in one list: its values are then a dense union, whose first member is what was there before, and whose others
//! are columns, one for each header that was added, under their own fields:
//!
//! ```text
//! list<struct<key: utf8, value: binary>>                         as it came
//! list<struct<key: utf8, value: union<0: binary, 1: int64, …>>>  with what transforms added
//! ```
//!
//! So to add a column as a header is to put the column into a union: no value is copied. Arrow's kernels filter and take such lists as any others. Where bytes
//! are wanted (files, a producer), [`written`] turns the union back into bytes.
//!
//! Parts: [`literal`], texts as values, which is what `SimpleHeaderConverter` reads; `tokens`, its tokens; this file, the lists.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, BooleanArray, ListArray, StringArray, StructArray, UnionArray, new_empty_array};
use arrow::buffer::{BooleanBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{filter, interleave};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, UnionFields, UnionMode};
use arrow::error::ArrowError;

use crate::column::{Column, Reject};
use crate::payload::{PayloadWriter, Payloads};
use crate::schema::json_text;
use crate::wire::{self, Want};

pub mod literal;
mod tokens;

/// The value of a header that is added.
#[derive(Debug, Clone, Copy)]
pub enum Added<'a> {
    /// A value for each row.
    Each(&'a Column),
    /// The one value of this column, for every row.
    Same(&'a Column),
}

/// What the values of a list are that is not a union, and the first member of one that is.
pub enum Own<'a> {
    /// Bytes as they came off the wire: they stay what they are.
    Bytes,
    /// Bytes that a converter reads, and that are written again.
    Read(&'a mut dyn FnMut(&BinaryArray) -> Payloads),
    /// A connector's values, which are written as all others.
    Values,
}

impl std::fmt::Debug for Own<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes => "Bytes",
            Self::Read(_) => "Read",
            Self::Values => "Values",
        })
    }
}

/// Entries of a list, without those that no row has.
struct Entries {
    offsets: Vec<usize>,
    names: ArrayRef,
    values: ArrayRef,
    field: FieldRef,
}

impl Entries {
    fn of(headers: &ListArray) -> Result<Self, ArrowError> {
        let wrong = || ArrowError::InvalidArgumentError(format!("headers are lists of names and values, not {}", headers.data_type()));
        let at = |offset: i32| usize::try_from(offset).unwrap_or(0);
        let (first, last) = (at(headers.value_offsets()[0]), at(headers.value_offsets()[headers.len()]));
        let entries = headers.values().as_struct_opt().ok_or_else(wrong)?.slice(first, last - first);
        let ([names, values], [_, field]) = (entries.columns(), entries.fields().as_ref()) else { return Err(wrong()) };
        let offsets = headers.value_offsets().iter().map(|offset| at(*offset) - first).collect();
        Ok(Self { offsets, names: Arc::clone(names), values: Arc::clone(values), field: Arc::clone(field) })
    }

    /// No entry, for so many rows.
    fn none(rows: usize) -> Self {
        Self {
            offsets: vec![0; rows + 1],
            names: new_empty_array(&DataType::Utf8),
            values: new_empty_array(&DataType::Binary),
            field: Arc::new(Field::new("value", DataType::Binary, true)),
        }
    }

    /// The members of the union that the values are, or become: their numbers, fields and arrays; and for each entry the number and the place.
    fn members(&self) -> (Vec<(i8, FieldRef, ArrayRef)>, Vec<i8>, Vec<i32>) {
        let (DataType::Union(fields, UnionMode::Dense), Some(union)) = (self.values.data_type(), self.values.as_any().downcast_ref::<UnionArray>()) else {
            let places = (0..).take(self.values.len()).collect();
            return (vec![(0, Arc::clone(&self.field), Arc::clone(&self.values))], vec![0; self.values.len()], places);
        };
        let members = fields.iter().map(|(id, field)| (id, Arc::clone(field), Arc::clone(union.child(id)))).collect();
        let places = union.offsets().map(|offsets| offsets.to_vec()).unwrap_or_default();
        (members, union.type_ids().to_vec(), places)
    }
}

fn list(offsets: &[usize], names: ArrayRef, values: ArrayRef, value: Field) -> Result<ListArray, ArrowError> {
    let ends = offsets.iter().map(|offset| i32::try_from(*offset).map_err(|_| ArrowError::OffsetOverflowError(*offset)));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(ends.collect::<Result<Vec<_>, _>>()?));
    let fields = Fields::from(vec![Field::new("key", DataType::Utf8, false), value]);
    let entries = StructArray::try_new(fields.clone(), vec![names, values], None)?;
    ListArray::try_new(Arc::new(Field::new("item", DataType::Struct(fields), false)), offsets, Arc::new(entries), None)
}

/// The headers with one more in each row, after those that are there.
///
/// # Errors
/// When the columns do not fit, or 127 headers were added already.
pub fn with(headers: Option<&ListArray>, rows: usize, name: &str, added: Added<'_>) -> Result<ListArray, ArrowError> {
    let old = headers.map_or_else(|| Ok(Entries::none(rows)), Entries::of)?;
    let (mut members, old_ids, old_places) = old.members();
    let (Added::Each(column) | Added::Same(column)) = added;
    let wanted = if matches!(added, Added::Each(_)) { rows } else { 1 };
    if old.offsets.len() != rows + 1 || (column.len() != wanted && rows > 0) {
        return Err(ArrowError::InvalidArgumentError(format!("a header of {} values for {rows} rows", column.len())));
    }
    let id = members.iter().map(|(id, ..)| *id).max().unwrap_or(0).checked_add(1);
    let id = id.ok_or_else(|| ArrowError::InvalidArgumentError("no more than 127 headers can be added to a record".to_owned()))?;
    members.push((id, Arc::clone(&column.field), Arc::clone(&column.array)));
    let total = old_ids.len() + rows;
    let (mut ids, mut places, mut names, mut offsets) = (Vec::with_capacity(total), Vec::with_capacity(total), Vec::with_capacity(total), vec![0]);
    // Each row has another number of headers: their places are copied, not their values.
    for (row, ends) in old.offsets.windows(2).enumerate() {
        ids.extend_from_slice(&old_ids[ends[0]..ends[1]]);
        places.extend_from_slice(&old_places[ends[0]..ends[1]]);
        names.extend((ends[0]..ends[1]).map(|entry| (0, entry)));
        ids.push(id);
        places.push(if let Added::Each(_) = added { i32::try_from(row).unwrap_or(i32::MAX) } else { 0 });
        names.push((1, 0));
        offsets.push(ids.len());
    }
    let names = interleave(&[old.names.as_ref(), &StringArray::from(vec![name])], &names)?;
    let fields = UnionFields::try_new(members.iter().map(|(id, ..)| *id), members.iter().map(|(_, field, _)| Arc::clone(field)))?;
    let children = members.into_iter().map(|(_, _, child)| child).collect();
    let union = UnionArray::try_new(fields.clone(), ids.into(), Some(places.into()), children)?;
    list(&offsets, names, Arc::new(union), Field::new("value", DataType::Union(fields, UnionMode::Dense), true))
}

/// The headers without those of these names.
///
/// # Errors
/// When they are no headers.
pub fn without(headers: &ListArray, names: &[String]) -> Result<ListArray, ArrowError> {
    let old = Entries::of(headers)?;
    let found = old.names.as_string_opt::<i32>().ok_or_else(|| ArrowError::InvalidArgumentError("names of headers are no strings".to_owned()))?;
    let keep = BooleanBuffer::collect_bool(found.len(), |entry| !names.iter().any(|name| name == found.value(entry)));
    if keep.count_set_bits() == keep.len() {
        return Ok(headers.clone());
    }
    let offsets: Vec<usize> = old.offsets.iter().map(|end| keep.slice(0, *end).count_set_bits()).collect();
    let keep = BooleanArray::new(keep, None);
    list(&offsets, filter(&old.names, &keep)?, filter(&old.values, &keep)?, old.field.as_ref().clone())
}

/// The headers with bytes as values, and the rows with a header that the writer has no bytes for.
///
/// # Errors
/// When they are no headers.
pub fn written(headers: &ListArray, mut own: Own<'_>, writer: &mut dyn PayloadWriter) -> Result<(ListArray, Vec<Reject>), ArrowError> {
    let old = Entries::of(headers)?;
    if matches!(own, Own::Bytes) && old.values.data_type() == &DataType::Binary {
        return Ok((headers.clone(), Vec::new()));
    }
    let (members, ids, places) = old.members();
    let (mut bytes, mut bad): (Vec<BinaryArray>, Vec<Vec<Option<String>>>) = (Vec::new(), Vec::new());
    for (id, field, child) in &members {
        let mut reasons = vec![None; child.len()];
        let payloads = match (child.as_binary_opt::<i32>().filter(|_| *id == 0), &mut own) {
            (Some(binary), Own::Bytes) => Payloads { payloads: binary.clone(), rejects: Vec::new() },
            (Some(binary), Own::Read(read)) => read(binary),
            _ => writer.write(&Column::new(Arc::new(field.as_ref().clone().with_name("header")), Arc::clone(child))),
        };
        for reject in payloads.rejects {
            reasons.get_mut(reject.row).into_iter().for_each(|reason| *reason = Some(reject.reason.clone()));
        }
        bytes.push(payloads.payloads);
        bad.push(reasons);
    }
    let member_of = |id: i8| members.iter().position(|(known, ..)| *known == id).unwrap_or(0);
    let entries: Vec<(usize, usize)> = ids.iter().zip(&places).map(|(id, place)| (member_of(*id), usize::try_from(*place).unwrap_or(0))).collect();
    let arrays: Vec<&dyn Array> = bytes.iter().map(|array| array as &dyn Array).collect();
    let values = if entries.is_empty() { new_empty_array(&DataType::Binary) } else { interleave(&arrays, &entries)? };
    let mut rejects = Vec::new();
    for (row, ends) in old.offsets.windows(2).enumerate() {
        let reason = entries[ends[0]..ends[1]].iter().find_map(|(member, place)| bad.get(*member)?.get(*place)?.clone());
        rejects.extend(reason.map(|reason| Reject { row, reason }));
    }
    Ok((list(&old.offsets, old.names, values, Field::new("value", DataType::Binary, true))?, rejects))
}

/// A literal as a column of one row: under its schema where it has one, else as JSON text; null for `null`.
#[must_use]
pub fn literal_column(text: &str) -> Column {
    let Some((kind, literal)) = literal::parse(text) else {
        return Column::new(json_text("header"), Arc::new(StringArray::new_null(1)));
    };
    let typed = kind.json().and_then(|schema| declared(&schema.to_string(), &literal.json()));
    let as_text = |field: FieldRef, text: String| Column::new(field, Arc::new(StringArray::from(vec![text])));
    typed.unwrap_or_else(|| match literal {
        // A decimal that no column holds.
        literal::Literal::Decimal(decimal) => as_text(Arc::new(Field::new("header", DataType::Utf8, false)), decimal.to_string()),
        other => as_text(json_text("header"), other.json()),
    })
}

/// One value of JSON under a schema; none when it does not fit.
fn declared(schema: &str, value: &str) -> Option<Column> {
    let options = wire::Options::from([("schema.content".to_owned(), schema.to_owned())]);
    let mut converter = (wire::find("json")?.build)(&options, false, Want::Any).ok()?;
    let decoded = converter.decode("", &BinaryArray::from(vec![value.as_bytes()])).ok()?;
    let [(_, column)] = &decoded.spans[..] else { return None };
    (decoded.rejects.is_empty() && column.array.is_valid(0)).then(|| column.clone())
}

#[cfg(test)]
mod tests;
