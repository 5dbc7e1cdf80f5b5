//! Avro bodies → columns: a tree of growing columns in the shape of the schema, filled in one pass over the bytes.
//!
//! Parts: [`Rows`], the rows of one schema; [`Node`], one column of the tree.
//!
//! Guarantee: a body that cannot be decoded leaves no trace. Every node can be cut back to a number of rows, so a fault costs its own row only.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, Int64Array, ListArray, MapArray, NullBufferBuilder, PrimitiveArray, StructArray,
    TimestampMillisecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DECIMAL128_MAX_PRECISION, DataType, Date32Type, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Time32MillisecondType, i256,
};

use super::super::values::{Decimals, Flaw, Texts, index, last, mismatch, strings, take, take_offsets};
use super::cursor::{Cause, Cursor, Fault};
use crate::schema::avro::{Kind, Schema, is_logical, map_entry};

/// Growing rows under one schema. Any row can be null, whatever the schema says: a tombstone, or a row that failed.
#[derive(Debug)]
pub(super) struct Rows {
    root: Node,
    len: usize,
    /// True when the whole body is the value: upstream writes a top-level `bytes` without a length.
    raw: bool,
    /// True when every string is checked as it is read, so that the row with the fault is known; otherwise all of them are checked at the end, at a tenth of the cost.
    check_strings: bool,
    field: FieldRef,
}

impl Rows {
    /// No rows of that schema, whose field is `field`.
    pub(super) fn new(schema: &Schema, field: FieldRef) -> Self {
        let inner = Node::new(schema, field.data_type());
        let root = match inner {
            Node::Optional { .. } | Node::Union { .. } => inner,
            other => other.nullable(),
        };
        Self { root, len: 0, raw: schema.kind == Kind::Bytes, check_strings: false, field }
    }

    /// Adds a row; a body with a fault adds none.
    pub(super) fn push(&mut self, body: &[u8]) -> Result<(), Fault> {
        let mut cursor = Cursor::new(body);
        let pushed = match &mut self.root {
            Node::Member { validity, inner } if self.raw => {
                validity.append_non_null();
                inner.set_bytes(cursor.take_rest())
            }
            root => root.read(&mut cursor, self.check_strings),
        };
        match pushed {
            Ok(()) => self.len += 1,
            Err(_) => self.root.truncate(self.len),
        }
        pushed
    }

    /// Adds null rows.
    pub(super) fn push_nulls(&mut self, count: usize) {
        self.root.nulls(count);
        self.len += count;
    }

    /// The rows as an array of the field's type; none are left.
    ///
    /// # Errors
    /// [`Flaw::Utf8`] when a string is not UTF-8: give the rows again, after [`check_strings`](Self::check_strings).
    pub(super) fn finish(&mut self) -> Result<ArrayRef, Flaw> {
        let len = std::mem::take(&mut self.len);
        let rows = self.root.finish(self.field.data_type(), None, len);
        if rows.is_err() {
            self.root.truncate(0);
        }
        rows
    }

    /// From now on each string is checked as it is read, or no longer is.
    pub(super) fn check_strings(&mut self, each: bool) {
        self.check_strings = each;
    }

    /// The field of the rows.
    pub(super) fn field(&self) -> &FieldRef {
        &self.field
    }
}

#[derive(Debug)]
enum Node {
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    /// Also dates and times.
    Int32(Vec<i32>),
    /// Also timestamps.
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Bytes(Texts),
    String(Texts),
    Enum {
        symbols: Vec<String>,
        texts: Texts,
    },
    Fixed {
        size: usize,
        texts: Texts,
    },
    Decimal {
        size: Option<usize>,
        digits: u8,
        values: Decimals,
    },
    List {
        offsets: Vec<i32>,
        least: usize,
        item: Box<Self>,
    },
    Map {
        offsets: Vec<i32>,
        least: usize,
        keys: Texts,
        values: Box<Self>,
    },
    /// A map whose entries are the records of an array.
    Entries {
        offsets: Vec<i32>,
        least: usize,
        entry: Box<Self>,
    },
    Struct {
        names: Vec<String>,
        children: Vec<Self>,
        len: usize,
    },
    /// One nullable member for each branch but null.
    Union {
        branches: Vec<Option<usize>>,
        names: Vec<String>,
        members: Vec<Self>,
        validity: NullBufferBuilder,
    },
    /// A union of null and one type.
    Optional {
        null: u8,
        validity: NullBufferBuilder,
        inner: Box<Self>,
    },
    /// May be null without saying so in the bytes: a union's member, or the root.
    Member {
        validity: NullBufferBuilder,
        inner: Box<Self>,
    },
}

/// Rows for which memory is set aside at first.
const CAPACITY: usize = 1024;

impl Node {
    /// An empty node for a schema that [`crate::schema::avro::field`] gave that type.
    fn new(schema: &Schema, data_type: &DataType) -> Self {
        if let Some((inner, null)) = schema.optional() {
            return Self::Optional { null, validity: NullBufferBuilder::new(CAPACITY), inner: Box::new(Self::new(inner, data_type)) };
        }
        match (&schema.kind, data_type) {
            (Kind::Boolean, _) => Self::Boolean(BooleanBufferBuilder::new(CAPACITY)),
            (Kind::Int, DataType::Int8) => Self::Int8(Vec::new()),
            (Kind::Int, DataType::Int16) => Self::Int16(Vec::new()),
            (Kind::Int, _) => Self::Int32(Vec::new()),
            (Kind::Long, _) => Self::Int64(Vec::new()),
            (Kind::Float, _) => Self::Float32(Vec::new()),
            (Kind::Double, _) => Self::Float64(Vec::new()),
            (Kind::Bytes, _) if is_logical(schema, "decimal") => Self::decimal(None, data_type),
            (Kind::Fixed { size, .. }, _) if is_logical(schema, "decimal") => Self::decimal(Some(*size), data_type),
            (Kind::Fixed { size, .. }, _) => Self::Fixed { size: *size, texts: Texts::new() },
            (Kind::Bytes, _) => Self::Bytes(Texts::new()),
            // `field` refuses a null that stands alone.
            (Kind::String | Kind::Null, _) => Self::String(Texts::new()),
            (Kind::Enum { symbols, .. }, _) => Self::Enum { symbols: symbols.clone(), texts: Texts::new() },
            (Kind::Array(items), DataType::Map(entries, _)) if map_entry(items).is_some() => Self::entries(items, entries),
            (Kind::Array(items), _) => {
                let item = Self::new(items, &child_type(data_type, 0));
                Self::List { offsets: vec![0], least: item.least(), item: Box::new(item) }
            }
            (Kind::Map(values), _) => {
                let values = Self::new(values, &child_type(data_type, 1));
                Self::Map { offsets: vec![0], least: 1 + values.least(), keys: Texts::new(), values: Box::new(values) }
            }
            (Kind::Record { fields, .. }, _) => Self::Struct {
                names: fields.iter().map(|field| field.name.clone()).collect(),
                children: fields.iter().enumerate().map(|(i, field)| Self::new(&field.schema, &child_type(data_type, i))).collect(),
                len: 0,
            },
            (Kind::Union(branches), _) => Self::union(branches, data_type),
        }
    }

    fn decimal(size: Option<usize>, data_type: &DataType) -> Self {
        match data_type {
            DataType::Decimal256(digits, _) => Self::Decimal { size, digits: *digits, values: Decimals::Wide(Vec::new()) },
            DataType::Decimal128(digits, _) => Self::Decimal { size, digits: *digits, values: Decimals::Narrow(Vec::new()) },
            _ => Self::Decimal { size, digits: DECIMAL128_MAX_PRECISION, values: Decimals::Narrow(Vec::new()) },
        }
    }

    fn entries(items: &Schema, entries: &FieldRef) -> Self {
        let entry = Self::new(items, entries.data_type());
        Self::Entries { offsets: vec![0], least: entry.least(), entry: Box::new(entry) }
    }

    fn union(branches: &[Schema], data_type: &DataType) -> Self {
        let mut members = Vec::new();
        let mut names = Vec::new();
        let mut numbers = Vec::new();
        for branch in branches {
            if branch.kind == Kind::Null {
                numbers.push(None);
                continue;
            }
            numbers.push(Some(members.len()));
            if let DataType::Struct(fields) = data_type {
                names.extend(fields.get(members.len()).map(|field| field.name().clone()));
            }
            members.push(Self::new(branch, &child_type(data_type, members.len())).nullable());
        }
        Self::Union { branches: numbers, names, members, validity: NullBufferBuilder::new(CAPACITY) }
    }

    fn nullable(self) -> Self {
        Self::Member { validity: NullBufferBuilder::new(CAPACITY), inner: Box::new(self) }
    }

    /// The smallest number of bytes that a value takes.
    fn least(&self) -> usize {
        match self {
            Self::Float32(_) => 4,
            Self::Float64(_) => 8,
            Self::Fixed { size, .. } | Self::Decimal { size: Some(size), .. } => *size,
            Self::Struct { children, .. } => children.iter().map(Self::least).fold(0, usize::saturating_add),
            Self::Member { inner, .. } => inner.least(),
            _ => 1,
        }
    }

    /// Reads one value. After a fault the node is longer than before by a part of it; [`truncate`](Self::truncate) mends that.
    fn read(&mut self, cursor: &mut Cursor<'_>, check: bool) -> Result<(), Fault> {
        match self {
            Self::Int32(values) => values.push(cursor.int()?),
            Self::Int64(values) => values.push(cursor.long()?),
            Self::String(texts) => {
                let text = cursor.prefixed()?;
                if check && std::str::from_utf8(text).is_err() {
                    return Err(Cause::Utf8.into());
                }
                texts.push(text)?;
            }
            Self::Float64(values) => values.push(f64::from_le_bytes(cursor.array()?)),
            Self::Float32(values) => values.push(f32::from_le_bytes(cursor.array()?)),
            Self::Boolean(values) => match cursor.byte()? {
                0 => values.append(false),
                1 => values.append(true),
                other => return Err(Cause::Boolean(other).into()),
            },
            Self::Optional { null, validity, inner } => {
                let branch = cursor.long()?;
                if branch == i64::from(*null) {
                    validity.append_null();
                    inner.nulls(1);
                } else if branch == 1 - i64::from(*null) {
                    validity.append_non_null();
                    inner.read(cursor, check)?;
                } else {
                    return Err(Cause::Branch(branch, 2).into());
                }
            }
            Self::Struct { names, children, len } => {
                for (i, child) in children.iter_mut().enumerate() {
                    if let Err(fault) = child.read(cursor, check) {
                        return Err(fault.below(names.get(i).map_or("", String::as_str)));
                    }
                }
                *len += 1;
            }
            Self::Member { validity, inner } => {
                validity.append_non_null();
                inner.read(cursor, check)?;
            }
            _ => return self.read_rarer(cursor, check),
        }
        Ok(())
    }

    fn read_rarer(&mut self, cursor: &mut Cursor<'_>, check: bool) -> Result<(), Fault> {
        match self {
            Self::Int8(values) => {
                let value = cursor.long()?;
                values.push(i8::try_from(value).map_err(|_| Cause::Range(value))?);
            }
            Self::Int16(values) => {
                let value = cursor.long()?;
                values.push(i16::try_from(value).map_err(|_| Cause::Range(value))?);
            }
            Self::Bytes(texts) => texts.push(cursor.prefixed()?)?,
            Self::Fixed { size, texts } => texts.push(cursor.bytes(*size)?)?,
            Self::Enum { symbols, texts } => {
                let number = cursor.long()?;
                let symbol = usize::try_from(number).ok().and_then(|number| symbols.get(number)).ok_or(Cause::Symbol(number, symbols.len()))?;
                texts.push(symbol.as_bytes())?;
            }
            Self::Decimal { size, digits, values } => {
                let bytes = match size {
                    Some(size) => cursor.bytes(*size)?,
                    None => cursor.prefixed()?,
                };
                values.push(bytes, *digits).map_err(|_| Cause::Digits(*digits))?;
            }
            Self::List { offsets, least, item } => read_blocks(offsets, *least, cursor, |cursor| item.read(cursor, check))?,
            Self::Entries { offsets, least, entry } => read_blocks(offsets, *least, cursor, |cursor| entry.read(cursor, check))?,
            Self::Map { offsets, least, keys, values } => read_blocks(offsets, *least, cursor, |cursor| {
                let key = cursor.prefixed()?;
                if check && std::str::from_utf8(key).is_err() {
                    return Err(Cause::Utf8.into());
                }
                keys.push(key)?;
                values.read(cursor, check)
            })?,
            Self::Union { branches, names, members, validity } => {
                let number = cursor.long()?;
                let branch = usize::try_from(number).ok().and_then(|number| branches.get(number)).ok_or(Cause::Branch(number, branches.len()))?;
                validity.append(branch.is_some());
                for (i, member) in members.iter_mut().enumerate() {
                    if *branch == Some(i) {
                        member.read(cursor, check).map_err(|fault| fault.below(names.get(i).map_or("", String::as_str)))?;
                    } else {
                        member.nulls(1);
                    }
                }
            }
            // The others are in `read`.
            _ => {}
        }
        Ok(())
    }

    /// The body as it is, for a top-level `bytes`.
    fn set_bytes(&mut self, body: &[u8]) -> Result<(), Fault> {
        match self {
            Self::Decimal { digits, values, .. } => Ok(values.push(body, *digits).map_err(|_| Cause::Digits(*digits))?),
            Self::Bytes(texts) => Ok(texts.push(body)?),
            _ => Ok(()),
        }
    }

    /// Adds placeholders for `count` values that a parent says are null.
    fn nulls(&mut self, count: usize) {
        match self {
            Self::Boolean(values) => values.append_n(count, false),
            Self::Int8(values) => values.resize(values.len() + count, 0),
            Self::Int16(values) => values.resize(values.len() + count, 0),
            Self::Int32(values) => values.resize(values.len() + count, 0),
            Self::Int64(values) => values.resize(values.len() + count, 0),
            Self::Float32(values) => values.resize(values.len() + count, 0.0),
            Self::Float64(values) => values.resize(values.len() + count, 0.0),
            Self::Bytes(texts) | Self::String(texts) | Self::Enum { texts, .. } | Self::Fixed { texts, .. } => texts.nulls(count),
            Self::Decimal { values: Decimals::Narrow(values), .. } => values.resize(values.len() + count, 0),
            Self::Decimal { values: Decimals::Wide(values), .. } => values.resize(values.len() + count, i256::ZERO),
            Self::List { offsets, .. } | Self::Map { offsets, .. } | Self::Entries { offsets, .. } => offsets.resize(offsets.len() + count, last(offsets)),
            Self::Struct { children, len, .. } => {
                children.iter_mut().for_each(|child| child.nulls(count));
                *len += count;
            }
            Self::Union { members, validity, .. } => {
                validity.append_n_nulls(count);
                members.iter_mut().for_each(|member| member.nulls(count));
            }
            Self::Optional { validity, inner, .. } | Self::Member { validity, inner } => {
                validity.append_n_nulls(count);
                inner.nulls(count);
            }
        }
    }

    /// Cuts back to `to` values; nodes that a fault left shorter than their siblings stay as they are.
    fn truncate(&mut self, to: usize) {
        match self {
            Self::Boolean(values) => values.truncate(to),
            Self::Int8(values) => values.truncate(to),
            Self::Int16(values) => values.truncate(to),
            Self::Int32(values) => values.truncate(to),
            Self::Int64(values) => values.truncate(to),
            Self::Float32(values) => values.truncate(to),
            Self::Float64(values) => values.truncate(to),
            Self::Bytes(texts) | Self::String(texts) | Self::Enum { texts, .. } | Self::Fixed { texts, .. } => texts.truncate(to),
            Self::Decimal { values: Decimals::Narrow(values), .. } => values.truncate(to),
            Self::Decimal { values: Decimals::Wide(values), .. } => values.truncate(to),
            Self::List { offsets, item, .. } | Self::Entries { offsets, entry: item, .. } => {
                offsets.truncate(to + 1);
                item.truncate(index(last(offsets)));
            }
            Self::Map { offsets, keys, values, .. } => {
                offsets.truncate(to + 1);
                keys.truncate(index(last(offsets)));
                values.truncate(index(last(offsets)));
            }
            Self::Struct { children, len, .. } => {
                children.iter_mut().for_each(|child| child.truncate(to));
                *len = (*len).min(to);
            }
            Self::Union { members, validity, .. } => {
                validity.truncate(to);
                members.iter_mut().for_each(|member| member.truncate(to));
            }
            Self::Optional { validity, inner, .. } | Self::Member { validity, inner } => {
                validity.truncate(to);
                inner.truncate(to);
            }
        }
    }

    /// The values as an array of that type, null where `nulls` says so; none are left.
    fn finish(&mut self, data_type: &DataType, nulls: Option<NullBuffer>, len: usize) -> Result<ArrayRef, Flaw> {
        Ok(match self {
            Self::Optional { validity, inner, .. } | Self::Member { validity, inner } => {
                let own = validity.finish();
                return inner.finish(data_type, NullBuffer::union(nulls.as_ref(), own.as_ref()), len);
            }
            Self::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Self::Int8(values) => primitive::<Int8Type>(take(values), nulls)?,
            Self::Int16(values) => primitive::<Int16Type>(take(values), nulls)?,
            Self::Int32(values) => match data_type {
                DataType::Date32 => primitive::<Date32Type>(take(values), nulls)?,
                DataType::Time32(_) => primitive::<Time32MillisecondType>(take(values), nulls)?,
                _ => primitive::<Int32Type>(take(values), nulls)?,
            },
            Self::Int64(values) => longs(take(values), nulls, data_type)?,
            Self::Float32(values) => primitive::<Float32Type>(take(values), nulls)?,
            Self::Float64(values) => primitive::<Float64Type>(take(values), nulls)?,
            Self::Bytes(texts) | Self::Fixed { texts, .. } => {
                let (offsets, bytes) = texts.take();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
            Self::String(texts) | Self::Enum { texts, .. } => strings(texts, nulls)?,
            Self::Decimal { values, .. } => values.finish(data_type, nulls)?,
            Self::List { offsets, item, .. } => {
                let (offsets, DataType::List(field)) = (take_offsets(offsets), data_type) else { return Err(mismatch(data_type)) };
                let values = item.finish(field.data_type(), None, index(last(&offsets)))?;
                Arc::new(ListArray::try_new(FieldRef::clone(field), offsets, values, nulls)?)
            }
            Self::Map { .. } | Self::Entries { .. } => self.finish_map(data_type, nulls)?,
            Self::Struct { children, len: rows, .. } => {
                *rows = 0;
                structs(children, data_type, nulls, len)?
            }
            Self::Union { members, validity, .. } => {
                let own = validity.finish();
                structs(members, data_type, NullBuffer::union(nulls.as_ref(), own.as_ref()), len)?
            }
        })
    }

    fn finish_map(&mut self, data_type: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef, Flaw> {
        let DataType::Map(field, ordered) = data_type else { return Err(mismatch(data_type)) };
        let (offsets, entries) = match self {
            Self::Map { offsets, keys, values, .. } => {
                let offsets = take_offsets(offsets);
                let DataType::Struct(fields) = field.data_type() else { return Err(mismatch(data_type)) };
                let values = values.finish(&child_type(data_type, 1), None, index(last(&offsets)))?;
                (offsets, StructArray::try_new(fields.clone(), vec![strings(keys, None)?, values], None)?)
            }
            Self::Entries { offsets, entry, .. } => {
                let offsets = take_offsets(offsets);
                let entries = entry.finish(field.data_type(), None, index(last(&offsets)))?;
                (offsets, arrow::array::AsArray::as_struct(&entries).clone())
            }
            _ => return Err(mismatch(data_type)),
        };
        Ok(Arc::new(MapArray::try_new(FieldRef::clone(field), offsets, entries, nulls, *ordered)?))
    }
}

fn read_blocks(offsets: &mut Vec<i32>, least: usize, cursor: &mut Cursor<'_>, mut read: impl FnMut(&mut Cursor<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut end = last(offsets);
    loop {
        let count = cursor.block(least)?;
        if count == 0 {
            offsets.push(end);
            return Ok(());
        }
        end = i32::try_from(count).ok().and_then(|count| end.checked_add(count)).ok_or(Cause::Items)?;
        for _ in 0..count {
            read(cursor)?;
        }
    }
}

/// The type of a type's n-th part.
fn child_type(data_type: &DataType, n: usize) -> DataType {
    match data_type {
        DataType::List(field) => field.data_type().clone(),
        DataType::Map(entries, _) => child_type(entries.data_type(), n),
        DataType::Struct(fields) => fields.get(n).map_or(DataType::Null, |field| field.data_type().clone()),
        _ => DataType::Null,
    }
}

fn primitive<T: ArrowPrimitiveType>(values: Vec<T::Native>, nulls: Option<NullBuffer>) -> Result<ArrayRef, Flaw> {
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), nulls)?))
}

fn longs(values: Vec<i64>, nulls: Option<NullBuffer>, data_type: &DataType) -> Result<ArrayRef, Flaw> {
    Ok(match data_type {
        DataType::Timestamp(_, zone) => Arc::new(TimestampMillisecondArray::try_new(values.into(), nulls)?.with_timezone_opt(zone.clone())),
        _ => Arc::new(Int64Array::try_new(values.into(), nulls)?),
    })
}

fn structs(children: &mut [Node], data_type: &DataType, nulls: Option<NullBuffer>, len: usize) -> Result<ArrayRef, Flaw> {
    let DataType::Struct(fields) = data_type else { return Err(mismatch(data_type)) };
    let arrays = children.iter_mut().zip(fields).map(|(child, field)| child.finish(field.data_type(), None, len)).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls, len)?))
}
