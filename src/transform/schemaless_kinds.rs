//! Kernels over the lanes of schemaless values: each kind's rows are a plain column, and what a kernel makes of them goes back to their rows.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, new_null_array};
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use lakehead_formats::column::Reject;
use lakehead_formats::schemaless::{Dynamic, Kind, Members};
use lakehead_formats::value::Made;

/// The field of a kind's lane: optional, without a name of its own.
pub(super) fn field_of(lane: &ArrayRef) -> Field {
    Field::new("value", lane.data_type().clone(), true)
}

/// Rows of some kinds are rejected for the reason that is given for their kind; nulls and holes never are.
pub(super) fn rejected(values: &Dynamic, reason: impl Fn(Kind) -> Option<String>) -> Vec<Reject> {
    let refused: Vec<(Kind, String)> = Kind::ALL.into_iter().filter(|kind| *kind > Kind::Null).filter_map(|kind| Some((kind, reason(kind)?))).collect();
    let mut rejects = Vec::new();
    for (kind, reason) in refused.iter().filter(|(kind, _)| values.has(*kind)) {
        rejects.extend(values.are(*kind).set_indices().map(|row| Reject { row, reason: reason.clone() }));
    }
    rejects
}

/// Brings what kernels made of several lanes together into one column of a type: a row has its value from the lane that it is in.
pub(super) fn joined(parts: impl IntoIterator<Item = Made>, data_type: &DataType, rows: usize) -> Result<Made, ArrowError> {
    let (mut whole, mut rejects): (Option<ArrayRef>, _) = (None, Vec::new());
    for Made { array, rejects: more } in parts {
        rejects.extend(more);
        whole = Some(match whole {
            None => array,
            Some(before) => {
                let is_here = array.logical_nulls().map_or_else(|| BooleanArray::from(vec![true; rows]), |nulls| BooleanArray::new(nulls.into_inner(), None));
                zip(&is_here, &array, &before)?
            }
        });
    }
    Ok(Made { array: whole.unwrap_or_else(|| new_null_array(data_type, rows)), rejects })
}

/// The maps with these put into them: what is absent is put as a null, as `Map.put` of what `Map.get` gave.
///
/// # Errors
/// When one has another number of rows.
pub(super) fn put(values: &Dynamic, changed: Vec<(Arc<str>, Dynamic)>) -> Result<Dynamic, ArrowError> {
    let mut members = Members::of(values);
    for (name, value) in changed {
        members.put(&name, &value.or_null())?;
    }
    members.into_maps(values)
}

/// A member as `Map.get` gives it: null where it is absent.
pub(super) fn get(values: &Dynamic, name: &str) -> Dynamic {
    values.member(name).map_or_else(|| Dynamic::none(Kind::Null, values.len()), Dynamic::or_null)
}
