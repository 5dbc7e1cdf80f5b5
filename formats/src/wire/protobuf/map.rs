//! Maps: messages of a key and a value, of which the last one of a key counts.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::filter;
use arrow::datatypes::{DataType, FieldRef};

use super::super::values::{Flaw, index, last, mismatch, take_offsets};
use super::columns::Slot;
use super::cursor::{Cause, Cursor, Fault};

/// A column of maps.
#[derive(Debug)]
pub(super) struct Map {
    offsets: Vec<i32>,
    keys: Slot,
    values: Slot,
    entries: usize,
    /// Entries whose key comes again in their map, ascending.
    replaced: Vec<usize>,
}

impl Map {
    /// No maps of such keys and values; neither is null where a message leaves it out.
    pub(super) fn new(keys: Slot, values: Slot) -> Self {
        Self { offsets: vec![0], keys, values, entries: 0, replaced: Vec::new() }
    }

    /// Adds an entry to the open map.
    pub(super) fn entry(&mut self, cursor: &mut Cursor<'_>, check: bool) -> Result<(), Fault> {
        while !cursor.is_empty() {
            let (number, wire) = cursor.tag()?;
            match number {
                1 if self.keys.accepts(wire) => self.keys.read(number, wire, cursor, self.entries, check).map(drop)?,
                2 if self.values.accepts(wire) => self.values.read(number, wire, cursor, self.entries, check).map(drop)?,
                _ => cursor.skip(number, wire)?,
            }
        }
        // An entry without a value has its type's default, in which nothing is required.
        self.keys.close(false)?;
        self.values.close(false)?;
        self.entries += 1;
        Ok(())
    }

    /// Ends the open map.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        let first = index(last(&self.offsets));
        if self.entries > first + 1 {
            let mut known = HashSet::with_capacity(self.entries - first);
            let before = self.replaced.len();
            let again = (first..self.entries).rev().filter(|entry| !known.insert(self.keys.node.key(*entry)));
            self.replaced.extend(again);
            if let Some(own) = self.replaced.get_mut(before..) {
                own.reverse();
            }
        }
        self.offsets.push(i32::try_from(self.entries).map_err(|_| Cause::Items)?);
        Ok(())
    }

    /// Adds a placeholder.
    pub(super) fn push_nothing(&mut self) {
        let end = last(&self.offsets);
        self.offsets.push(end);
    }

    /// Cuts back to `to` maps and forgets the open one.
    pub(super) fn truncate(&mut self, to: usize) {
        self.offsets.truncate(to + 1);
        self.entries = index(last(&self.offsets));
        self.keys.truncate(self.entries);
        self.values.truncate(self.entries);
        self.replaced.truncate(self.replaced.partition_point(|entry| *entry < self.entries));
    }

    /// The maps as an array of that type; none are left.
    pub(super) fn finish(&mut self, data_type: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef, Flaw> {
        let DataType::Map(field, ordered) = data_type else { return Err(mismatch(data_type)) };
        let DataType::Struct(fields) = field.data_type() else { return Err(mismatch(data_type)) };
        let [key, value] = fields.as_ref() else { return Err(mismatch(data_type)) };
        let entries = std::mem::take(&mut self.entries);
        let mut offsets = take_offsets(&mut self.offsets);
        let replaced = std::mem::take(&mut self.replaced);
        let columns = vec![self.keys.finish(key.data_type(), entries)?, self.values.finish(value.data_type(), entries)?];
        let mut array = StructArray::try_new_with_length(fields.clone(), columns, None, entries)?;
        if !replaced.is_empty() {
            let keep: BooleanArray = (0..entries).map(|entry| Some(replaced.binary_search(&entry).is_err())).collect();
            array = filter(&array, &keep)?.as_struct().clone();
            let lengths = offsets.windows(2).map(|bounds| {
                let within = |bound: i32| replaced.partition_point(|entry| *entry < index(bound));
                let (start, end) = (bounds.first().copied().unwrap_or(0), bounds.last().copied().unwrap_or(0));
                index(end) - index(start) - (within(end) - within(start))
            });
            offsets = OffsetBuffer::from_lengths(lengths.collect::<Vec<_>>());
        }
        Ok(Arc::new(MapArray::try_new(FieldRef::clone(field), offsets, array, nulls, *ordered)?))
    }
}
