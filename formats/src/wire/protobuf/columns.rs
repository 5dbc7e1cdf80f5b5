//! Messages → columns: a tree of growing columns in the shape of the message, filled in one pass over the bytes.
//!
//! Fields come in any order, more than once, and in parts. So each column of a message has at most one open value: what comes again replaces it
//! (scalars), is added to it (lists, maps) or is merged into it (messages); the end of the message closes it, and gives a value to what did not come.
//!
//! Parts: [`Rows`], the rows of one message; [`Slot`], a column in a message; [`Message`], [`Union`] and [`List`], what holds columns. `node` has the values.
//!
//! Guarantee: a message that cannot be decoded leaves no trace. Every node can be cut back to a number of values, so a fault costs its own row only.

use arrow::array::{ArrayRef, NullBufferBuilder};
use arrow::datatypes::{DataType, FieldRef};
use prost_reflect::{MessageDescriptor, Value};

use super::super::values::Flaw;
use super::cursor::{Cause, Cursor, Fault, Wire};
use super::field::{self, Mapping};
use super::node::Node;

/// Growing rows of one message. Any row can be null: a tombstone, or a row that failed.
#[derive(Debug)]
pub(super) struct Rows {
    root: Slot,
    len: usize,
    /// True when every string is checked as it is read, so that the row with the fault is known; otherwise all of them are checked at the end, at a tenth of the cost.
    check_strings: bool,
    field: FieldRef,
}

impl Rows {
    /// No rows of that message.
    ///
    /// # Errors
    /// Why it has no columns.
    pub(super) fn new(message: &MessageDescriptor, name: &str, mapping: Mapping) -> Result<Self, String> {
        let (field, root) = field::root(message, name, mapping)?;
        Ok(Self { root, len: 0, check_strings: false, field: FieldRef::new(field) })
    }

    /// The field of the rows.
    pub(super) fn field(&self) -> &FieldRef {
        &self.field
    }

    /// Adds a row; a message with a fault adds none.
    pub(super) fn push(&mut self, message: &[u8]) -> Result<(), Fault> {
        let mut cursor = Cursor::new(message);
        let read = match &mut self.root.node {
            Node::Message(columns) => columns.merge(&mut cursor, None, self.check_strings),
            node => node.merge(&mut cursor, self.check_strings),
        };
        let pushed = read.and_then(|()| self.root.node.close(true));
        match pushed {
            Ok(()) => {
                self.root.validity.append_non_null();
                self.len += 1;
            }
            Err(_) => self.root.truncate(self.len),
        }
        pushed
    }

    /// Adds a null row.
    pub(super) fn push_null(&mut self) {
        self.root.placeholder();
        self.len += 1;
    }

    /// The rows as an array of the field's type; none are left.
    ///
    /// # Errors
    /// [`Flaw::Utf8`] when a string is not UTF-8: give the rows again, after [`check_strings`](Self::check_strings).
    pub(super) fn finish(&mut self) -> Result<ArrayRef, Flaw> {
        let len = std::mem::take(&mut self.len);
        let rows = self.root.finish(self.field.data_type(), len);
        if rows.is_err() {
            self.root.truncate(0);
        }
        rows
    }

    /// From now on each string is checked as it is read, or no longer is.
    pub(super) fn check_strings(&mut self, each: bool) {
        self.check_strings = each;
    }
}

/// What a column gets when its message ends without a value for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    Null,
    Default,
    /// The message is none without it.
    Required,
    /// It would be null, which the settings rule out.
    Forbidden,
}

/// A column of a message.
#[derive(Debug)]
pub(super) struct Slot {
    /// Empty for the items of a list, which have no name in a fault's path.
    name: String,
    pub(super) node: Node,
    nullable: bool,
    absent: Absent,
    group: bool,
    default: Option<Value>,
    pub(super) validity: NullBufferBuilder,
    /// True when the open message has a value for it.
    seen: bool,
}

/// The columns of a message, in the order of Connect's fields.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) slots: Vec<Slot>,
    /// Where each field goes, by its number.
    places: Vec<(u32, Place)>,
    /// For small field numbers the index in `places`, plus one.
    dense: Vec<u16>,
    /// For each oneof whose members are columns of their own the one that is set.
    pub(super) set: Vec<Option<usize>>,
    pub(super) rows: usize,
}

/// Where a field goes.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Place {
    pub(super) slot: usize,
    /// In the struct of a oneof: which member.
    pub(super) member: Option<usize>,
    /// Which oneof the column belongs to, where members are columns of their own.
    pub(super) oneof: Option<usize>,
}

/// The members of a oneof, of which one is set.
#[derive(Debug)]
pub(super) struct Union {
    pub(super) members: Vec<Slot>,
    pub(super) set: Option<usize>,
    pub(super) rows: usize,
}

/// Repeated values.
#[derive(Debug)]
pub(super) struct List {
    pub(super) offsets: Vec<i32>,
    pub(super) item: Slot,
    pub(super) items: usize,
}

impl Slot {
    pub(super) fn new(name: &str, node: Node, nullable: bool, absent: Absent) -> Self {
        Self { name: name.to_owned(), node, nullable, absent, group: false, default: None, validity: NullBufferBuilder::new(0), seen: false }
    }

    /// Says that the field is a group.
    pub(super) fn set_group(&mut self, group: bool) {
        self.group = group;
    }

    pub(super) fn set_absent(&mut self, absent: Absent) {
        self.absent = absent;
    }

    /// Says what the default of a scalar is, where it is not zero.
    pub(super) fn set_default(&mut self, default: Value) {
        self.default = Some(default);
    }

    /// True when a field with this encoding is one of this column; others are unknown fields.
    #[inline]
    pub(super) fn accepts(&self, wire: Wire) -> bool {
        match &self.node {
            Node::Message(_) if self.group => wire == Wire::Group,
            Node::List(list) => list.item.accepts(wire) || wire == Wire::Bytes && list.item.node.packable(),
            node => wire == node.wire(),
        }
    }

    /// Reads a value into the open one, of which there may be none yet; `rows` values are closed. False when it was no value after all.
    /// After a fault the column is longer than before by a part of it; [`truncate`](Self::truncate) mends that.
    #[inline]
    pub(super) fn read(&mut self, number: u32, wire: Wire, cursor: &mut Cursor<'_>, rows: usize, check: bool) -> Result<bool, Fault> {
        let replaced = self.seen.then_some(rows);
        let read = match &mut self.node {
            Node::Message(columns) if wire == Wire::Group => columns.merge(cursor, Some(number), check).map(|()| true),
            Node::Message(_) | Node::Logical(_) | Node::Wrapper { .. } => {
                cursor.prefixed().and_then(|bytes| self.node.merge(&mut Cursor::new(bytes), check)).map(|()| true)
            }
            Node::List(list) => list.read(number, wire, cursor, check).map(|()| true),
            Node::Map(map) => cursor.prefixed().and_then(|bytes| map.entry(&mut Cursor::new(bytes), check)).map(|()| true),
            node => node.read_scalar(cursor, replaced, check),
        };
        match read {
            Ok(value) => {
                self.seen |= value;
                Ok(value)
            }
            Err(fault) => Err(self.below(fault)),
        }
    }

    /// Ends the open value, or says that there is none. `whole`: what is required must be there.
    pub(super) fn close(&mut self, whole: bool) -> Result<(), Fault> {
        let seen = std::mem::take(&mut self.seen);
        let closed = match self.absent {
            _ if seen => self.node.close(whole),
            Absent::Null => {
                self.placeholder();
                return Ok(());
            }
            Absent::Default => self.node.push_default(self.default.as_ref()),
            Absent::Required if whole => Err(Cause::Required.into()),
            Absent::Required => self.node.push_default(self.default.as_ref()),
            Absent::Forbidden if whole => {
                let what = "it is not set, but the settings make it required: see optional.for.nullables and wrapper.for.nullables";
                Err(Cause::Unfit(what.to_owned()).into())
            }
            Absent::Forbidden => self.node.push_default(self.default.as_ref()),
        };
        self.validity.append_non_null();
        closed.map_err(|fault| self.below(fault))
    }

    #[cold]
    fn below(&self, fault: Fault) -> Fault {
        if self.name.is_empty() { fault } else { fault.below(&self.name) }
    }

    /// Adds a null, or what stands below one where the column has none.
    pub(super) fn placeholder(&mut self) {
        self.validity.append(!self.nullable);
        self.node.push_nothing();
    }

    /// Cuts back to `to` values, the open one included.
    pub(super) fn truncate(&mut self, to: usize) {
        self.seen = false;
        if self.validity.len() > to {
            self.validity.truncate(to);
        }
        self.node.truncate(to);
    }

    pub(super) fn finish(&mut self, data_type: &DataType, len: usize) -> Result<ArrayRef, Flaw> {
        let nulls = self.validity.finish();
        self.node.finish(data_type, nulls, len)
    }
}

impl Message {
    /// Adds a column and the numbers of the fields that go there.
    pub(super) fn add(&mut self, slot: Slot, fields: &[(u32, Place)]) {
        /// Numbers below this are found without a search.
        const DENSE: usize = 512;
        for (number, place) in fields {
            self.places.push((*number, Place { slot: self.slots.len(), ..*place }));
            if let Some(oneof) = place.oneof {
                self.set.resize(self.set.len().max(oneof + 1), None);
            }
        }
        self.slots.push(slot);
        self.places.sort_by_key(|(number, _)| *number);
        self.dense.clear();
        for (at, (number, _)) in self.places.iter().enumerate() {
            let number = usize::try_from(*number).unwrap_or(DENSE);
            if let (true, Ok(at)) = (number < DENSE, u16::try_from(at + 1)) {
                self.dense.resize(self.dense.len().max(number + 1), 0);
                self.dense[number] = at;
            }
        }
    }

    #[inline]
    fn place(&self, number: u32) -> Option<Place> {
        let dense = usize::try_from(number).ok().and_then(|number| self.dense.get(number)).copied().unwrap_or(0);
        let at = match usize::from(dense).checked_sub(1) {
            Some(at) => at,
            None => self.places.binary_search_by_key(&number, |(number, _)| *number).ok()?,
        };
        self.places.get(at).map(|(_, place)| *place)
    }

    /// Reads fields into the open message, up to the end of the bytes or of the group.
    pub(super) fn merge(&mut self, cursor: &mut Cursor<'_>, group: Option<u32>, check: bool) -> Result<(), Fault> {
        while !cursor.is_empty() {
            let (number, wire) = cursor.tag()?;
            if wire == Wire::EndGroup {
                return if group == Some(number) { Ok(()) } else { Err(Cause::Group.into()) };
            }
            let rows = self.rows;
            let Some((place, slot)) = self.place(number).and_then(|place| self.slots.get_mut(place.slot).map(|slot| (place, slot))) else {
                cursor.skip(number, wire)?;
                continue;
            };
            if let (Some(member), Node::Union(union)) = (place.member, &mut slot.node) {
                union.read(member, number, wire, cursor, check)?;
                slot.seen = union.set.is_some();
            } else if !slot.accepts(wire) {
                cursor.skip(number, wire)?;
            } else if slot.read(number, wire, cursor, rows, check)?
                && let Some(set) = place.oneof.and_then(|oneof| self.set.get_mut(oneof))
                && let Some(before) = set.replace(place.slot)
                && before != place.slot
                && let Some(slot) = self.slots.get_mut(before)
            {
                slot.truncate(rows);
            }
        }
        if group.is_some() { Err(Cause::Group.into()) } else { Ok(()) }
    }

    pub(super) fn close(&mut self, whole: bool) -> Result<(), Fault> {
        self.rows += 1;
        self.set.fill(None);
        self.slots.iter_mut().try_for_each(|slot| slot.close(whole))
    }
}

impl Union {
    pub(super) fn new(members: Vec<Slot>) -> Self {
        Self { members, set: None, rows: 0 }
    }

    fn read(&mut self, member: usize, number: u32, wire: Wire, cursor: &mut Cursor<'_>, check: bool) -> Result<(), Fault> {
        let rows = self.rows;
        let Some(slot) = self.members.get_mut(member).filter(|slot| slot.accepts(wire)) else { return cursor.skip(number, wire) };
        if slot.read(number, wire, cursor, rows, check)?
            && let Some(before) = self.set.replace(member)
            && before != member
            && let Some(slot) = self.members.get_mut(before)
        {
            slot.truncate(rows);
        }
        Ok(())
    }
}

impl List {
    pub(super) fn new(item: Slot) -> Self {
        Self { offsets: vec![0], item, items: 0 }
    }

    fn read(&mut self, number: u32, wire: Wire, cursor: &mut Cursor<'_>, check: bool) -> Result<(), Fault> {
        if wire == Wire::Bytes && self.item.node.packable() {
            let mut packed = Cursor::new(cursor.prefixed()?);
            while !packed.is_empty() {
                self.item(number, wire, &mut packed, check)?;
            }
            return Ok(());
        }
        self.item(number, wire, cursor, check)
    }

    fn item(&mut self, number: u32, wire: Wire, cursor: &mut Cursor<'_>, check: bool) -> Result<(), Fault> {
        if self.item.read(number, wire, cursor, self.items, check)? {
            self.item.close(true)?;
            self.items += 1;
        }
        Ok(())
    }

    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.offsets.push(i32::try_from(self.items).map_err(|_| Cause::Items)?);
        Ok(())
    }
}
