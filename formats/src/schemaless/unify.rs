//! Several dynamic columns under one type: lanes and members that one lacks are added, empty or absent. Then Arrow's kernels take rows of all of them.
//! Where the columns have their members in different orders, their rows get ranks, so that each keeps its own.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, UInt32Array, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::compute::interleave;
use arrow::error::ArrowError;

use super::members::rank_all;
use super::{Dynamic, Kind};

impl Dynamic {
    /// The same columns under one type, in which every member and every lane of each has a place.
    ///
    /// # Errors
    /// When the arrays cannot be put together, which is a defect.
    pub fn unify(columns: &[Self]) -> Result<Vec<Self>, ArrowError> {
        let same = columns.windows(2).all(|pair| matches!(pair, [a, b] if a.0.data_type() == b.0.data_type()));
        if same {
            return Ok(columns.to_vec());
        }
        let mut lanes: Vec<Vec<(Kind, ArrayRef)>> = columns.iter().map(|_| Vec::new()).collect();
        for kind in Kind::ALL.into_iter().filter(|kind| columns.iter().any(|column| column.lane(*kind).is_some())) {
            let unified = match kind {
                Kind::Map => maps(columns)?,
                Kind::List => lists(columns)?,
                _ => {
                    let Some(data_type) = kind.data_type() else { continue };
                    columns.iter().map(|column| column.lane(kind).map_or_else(|| new_null_array(&data_type, column.len()), Arc::clone)).collect()
                }
            };
            lanes.iter_mut().zip(unified).for_each(|(lanes, lane)| lanes.push((kind, lane)));
        }
        let is_ranked = columns.iter().any(|column| column.rank().is_some());
        let ranks = |column: &Self| is_ranked.then(|| column.rank().cloned().unwrap_or_else(|| UInt32Array::new_null(column.len())));
        Ok(columns.iter().zip(lanes).map(|(column, lanes)| Self::assemble(column.kinds().to_vec(), lanes).with_rank(ranks(column))).collect())
    }

    /// Rows of several columns, each named by its column and its row there.
    ///
    /// # Errors
    /// When a row is not there.
    pub fn interleave(columns: &[Self], rows: &[(usize, usize)]) -> Result<Self, ArrowError> {
        let unified = Self::unify(columns)?;
        let arrays: Vec<&dyn Array> = unified.iter().map(|column| &column.0 as &dyn Array).collect();
        Ok(Self(interleave(&arrays, rows)?.as_struct().clone()))
    }

    /// These rows, and the other column's where that is not absent: what `Map.put` leaves.
    ///
    /// # Errors
    /// When the columns have different lengths.
    pub fn overlaid(&self, over: &Self) -> Result<Self, ArrowError> {
        let puts = over.are(Kind::Absent);
        let rows: Vec<(usize, usize)> = puts.iter().enumerate().map(|(row, absent)| (usize::from(!absent), row)).collect();
        Self::interleave(&[self.clone(), over.clone()], &rows)
    }
}

fn maps(columns: &[Dynamic]) -> Result<Vec<ArrayRef>, ArrowError> {
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut places: HashMap<Arc<str>, usize> = HashMap::new();
    let mut unified: Vec<Vec<Option<Dynamic>>> = Vec::with_capacity(columns.len());
    for column in columns {
        let mut members: Vec<(Arc<str>, Dynamic)> = column.members().collect();
        let mut at = Vec::with_capacity(members.len());
        for (name, _) in &members {
            at.push(*places.entry(Arc::clone(name)).or_insert_with(|| {
                names.push(Arc::clone(name));
                names.len() - 1
            }));
        }
        if !at.is_sorted() {
            rank_all(&mut members, column.len());
        }
        let mut own: Vec<Option<Dynamic>> = Vec::new();
        own.resize_with(names.len(), || None);
        for (place, (_, member)) in at.into_iter().zip(members) {
            own.get_mut(place).into_iter().for_each(|slot| *slot = Some(member.clone()));
        }
        unified.push(own);
    }
    let mut members: Vec<Vec<(Arc<str>, Dynamic)>> = columns.iter().map(|_| Vec::with_capacity(names.len())).collect();
    for (place, name) in names.into_iter().enumerate() {
        let of_column = |(column, own): (&Dynamic, &mut Vec<Option<Dynamic>>)| {
            own.get_mut(place).and_then(Option::take).unwrap_or_else(|| Dynamic::none(Kind::Absent, column.len()))
        };
        let of_all: Vec<Dynamic> = columns.iter().zip(&mut unified).map(of_column).collect();
        members.iter_mut().zip(Dynamic::unify(&of_all)?).for_each(|(members, member)| members.push((Arc::clone(&name), member)));
    }
    let lanes = columns.iter().zip(members).map(|(column, members)| Ok(Dynamic::map(members, column.len())?.lane(Kind::Map).cloned()));
    Ok(lanes.collect::<Result<Vec<_>, ArrowError>>()?.into_iter().flatten().collect())
}

fn lists(columns: &[Dynamic]) -> Result<Vec<ArrayRef>, ArrowError> {
    let parts: Vec<(OffsetBuffer<i32>, Dynamic)> = columns
        .iter()
        .map(|column| match column.list() {
            Some((offsets, items)) => (offsets.clone(), items),
            None => (OffsetBuffer::new_zeroed(column.len()), Dynamic::none(Kind::Null, 0)),
        })
        .collect();
    let items = Dynamic::unify(&parts.iter().map(|(_, items)| items.clone()).collect::<Vec<_>>())?;
    let lists = parts.into_iter().zip(items).map(|((offsets, _), items)| {
        let field = Arc::new(arrow::datatypes::Field::new("item", items.0.data_type().clone(), false));
        Ok(Arc::new(ListArray::try_new(field, offsets, Arc::new(items.0), None)?) as ArrayRef)
    });
    lists.collect()
}
