//! The values of a column: one variant for each kind of value that a field can hold.
//!
//! Parts: [`Node`], which reads a value, ends it, fills a gap, cuts back, and becomes an array; [`Integers`] and [`Enum`], its larger kinds.

use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, PrimitiveArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, FieldRef, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use prost_reflect::{Kind, Value};

use super::super::values::{Flaw, Texts, index, last, mismatch, strings, take, take_offsets};
use super::columns::{Absent, List, Message, Slot, Union};
use super::cursor::{Cause, Cursor, Fault, Wire, unzigzag};
use super::logical::Logical;
use super::map::Map;

/// The values of a column.
#[derive(Debug)]
pub(super) enum Node {
    Boolean(BooleanBufferBuilder),
    Integer {
        kind: Kind,
        values: Integers,
    },
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    String(Texts),
    Bytes(Texts),
    Enum(Box<Enum>),
    Logical(Box<Logical>),
    /// A message that stands for the value of one of its fields.
    Wrapper {
        number: u32,
        value: Box<Slot>,
    },
    Message(Box<Message>),
    Union(Box<Union>),
    List(Box<List>),
    Map(Box<Map>),
}

/// Integers in the width of their column.
#[derive(Debug)]
pub(super) enum Integers {
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
}

/// The values of an enum, by name or by number.
#[derive(Debug)]
pub(super) struct Enum {
    name: String,
    /// In the order of numbers.
    symbols: Vec<(i32, String)>,
    closed: bool,
    values: Symbols,
}

#[derive(Debug)]
enum Symbols {
    Names(Texts),
    Numbers(Vec<i32>),
}

/// A map's key, to be compared.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Key<'a> {
    Integer(i64),
    Text(&'a [u8]),
}

impl Enum {
    /// Adds the value of that number; false when the enum is closed and has none.
    fn push(&mut self, number: i32, replaced: Option<usize>) -> Result<bool, Fault> {
        let symbol = self.symbols.binary_search_by_key(&number, |(number, _)| *number).ok().and_then(|at| self.symbols.get(at));
        if symbol.is_none() && self.closed {
            return Ok(false);
        }
        match &mut self.values {
            Symbols::Names(texts) => {
                replaced.into_iter().for_each(|to| texts.truncate(to));
                match symbol {
                    Some((_, name)) => texts.push(name.as_bytes())?,
                    None => texts.push(format!("UNKNOWN_ENUM_VALUE_{}_{number}", self.name).as_bytes())?,
                }
            }
            Symbols::Numbers(numbers) => {
                replaced.into_iter().for_each(|to| numbers.truncate(to));
                numbers.push(number);
            }
        }
        Ok(true)
    }
}

impl Integers {
    fn push(&mut self, value: i64) -> Result<(), Fault> {
        let range = |bits: u8| Fault::from(Cause::Unfit(format!("integer \"{value}\" is out of the range of int{bits}")));
        match self {
            Self::Int8(values) => values.push(i8::try_from(value).map_err(|_| range(8))?),
            Self::Int16(values) => values.push(i16::try_from(value).map_err(|_| range(16))?),
            Self::Int32(values) => values.push(i32::try_from(value).map_err(|_| range(32))?),
            Self::Int64(values) => values.push(value),
        }
        Ok(())
    }

    pub(super) fn truncate(&mut self, to: usize) {
        match self {
            Self::Int8(values) => values.truncate(to),
            Self::Int16(values) => values.truncate(to),
            Self::Int32(values) => values.truncate(to),
            Self::Int64(values) => values.truncate(to),
        }
    }
}

/// The integer of an encoding; 32-bit ones keep their lowest 32 bits, and unsigned ones of 64 bits are taken as signed, as upstream.
#[inline]
fn integer(kind: &Kind, cursor: &mut Cursor<'_>) -> Result<i64, Fault> {
    let low = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(0);
    Ok(match kind {
        Kind::Int64 | Kind::Uint64 => cursor.varint()?.cast_signed(),
        Kind::Sint64 => cursor.zigzag()?,
        Kind::Uint32 => i64::from(low(cursor.varint()?)),
        Kind::Sint32 => i64::from(low(unzigzag(u64::from(low(cursor.varint()?))).cast_unsigned()).cast_signed()),
        Kind::Fixed32 => i64::from(cursor.fixed32()?),
        Kind::Sfixed32 => i64::from(cursor.fixed32()?.cast_signed()),
        Kind::Fixed64 | Kind::Sfixed64 => cursor.fixed64()?.cast_signed(),
        _ => i64::from(low(cursor.varint()?).cast_signed()),
    })
}

impl Node {
    /// Integers of that encoding in that column.
    pub(super) fn integer(kind: &Kind, data_type: &DataType) -> Self {
        let values = match data_type {
            DataType::Int8 => Integers::Int8(Vec::new()),
            DataType::Int16 => Integers::Int16(Vec::new()),
            DataType::Int32 => Integers::Int32(Vec::new()),
            _ => Integers::Int64(Vec::new()),
        };
        Self::Integer { kind: kind.clone(), values }
    }

    pub(super) fn boolean() -> Self {
        Self::Boolean(BooleanBufferBuilder::new(0))
    }

    /// An enum; of symbols with one number the first counts.
    pub(super) fn enumeration(name: &str, symbols: impl Iterator<Item = (i32, String)>, closed: bool, numbers: bool) -> Self {
        let mut symbols: Vec<(i32, String)> = symbols.collect();
        symbols.sort_by_key(|(number, _)| *number);
        symbols.dedup_by_key(|(number, _)| *number);
        let values = if numbers { Symbols::Numbers(Vec::new()) } else { Symbols::Names(Texts::new()) };
        Self::Enum(Box::new(Enum { name: name.to_owned(), symbols, closed, values }))
    }

    /// Lists of such values.
    pub(super) fn list(item: Self, group: bool) -> Self {
        let mut item = Slot::new("", item, true, Absent::Default);
        item.set_group(group);
        Self::List(Box::new(List::new(item)))
    }

    pub(super) fn wire(&self) -> Wire {
        match self {
            Self::Integer { kind: Kind::Fixed32 | Kind::Sfixed32, .. } | Self::Float32(_) => Wire::Fixed32,
            Self::Integer { kind: Kind::Fixed64 | Kind::Sfixed64, .. } | Self::Float64(_) => Wire::Fixed64,
            Self::Integer { .. } | Self::Boolean(_) | Self::Enum(_) => Wire::Varint,
            _ => Wire::Bytes,
        }
    }

    /// True when repeated values may come in one piece.
    pub(super) fn packable(&self) -> bool {
        self.wire() != Wire::Bytes
    }

    /// One of the keys of a map.
    pub(super) fn key(&self, at: usize) -> Key<'_> {
        match self {
            Self::Boolean(values) => Key::Integer(i64::from(at < values.len() && values.get_bit(at))),
            Self::Integer { values: Integers::Int32(values), .. } => Key::Integer(values.get(at).map_or(0, |value| i64::from(*value))),
            Self::Integer { values: Integers::Int64(values), .. } => Key::Integer(values.get(at).copied().unwrap_or(0)),
            Self::Integer { values: Integers::Int16(values), .. } => Key::Integer(values.get(at).map_or(0, |value| i64::from(*value))),
            Self::Integer { values: Integers::Int8(values), .. } => Key::Integer(values.get(at).map_or(0, |value| i64::from(*value))),
            Self::String(texts) => Key::Text(texts.value(at)),
            _ => Key::Integer(0),
        }
    }

    /// Reads the fields of a message into the open one.
    pub(super) fn merge(&mut self, cursor: &mut Cursor<'_>, check: bool) -> Result<(), Fault> {
        match self {
            Self::Message(columns) => columns.merge(cursor, None, check),
            Self::Logical(logical) => logical.merge(cursor),
            Self::Wrapper { number: own, value } => {
                while !cursor.is_empty() {
                    let (number, wire) = cursor.tag()?;
                    if number == *own && value.accepts(wire) {
                        let rows = value.validity.len();
                        value.read(number, wire, cursor, rows, check)?;
                    } else {
                        cursor.skip(number, wire)?;
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Reads a value in place of the one with the number `replaced`, if there is one.
    #[inline]
    pub(super) fn read_scalar(&mut self, cursor: &mut Cursor<'_>, replaced: Option<usize>, check: bool) -> Result<bool, Fault> {
        if let Self::Enum(of) = self {
            let number = integer(&Kind::Int32, cursor)?;
            return of.push(i32::try_from(number).unwrap_or(0), replaced);
        }
        if let Some(to) = replaced {
            self.truncate(to);
        }
        match self {
            Self::Integer { kind, values } => values.push(integer(kind, cursor)?)?,
            Self::String(texts) => {
                let text = cursor.prefixed()?;
                if check && std::str::from_utf8(text).is_err() {
                    return Err(Cause::Utf8.into());
                }
                texts.push(text)?;
            }
            Self::Bytes(texts) => texts.push(cursor.prefixed()?)?,
            Self::Float64(values) => values.push(f64::from_bits(cursor.fixed64()?)),
            Self::Float32(values) => values.push(f32::from_bits(cursor.fixed32()?)),
            Self::Boolean(values) => values.append(cursor.varint()? != 0),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Ends the open value.
    pub(super) fn close(&mut self, whole: bool) -> Result<(), Fault> {
        match self {
            Self::Logical(logical) => logical.close(),
            Self::Wrapper { value, .. } => value.close(whole),
            Self::Message(columns) => columns.close(whole),
            Self::Union(union) => {
                union.rows += 1;
                union.set = None;
                union.members.iter_mut().try_for_each(|member| member.close(whole))
            }
            Self::List(list) => list.end(),
            Self::Map(map) => map.end(),
            _ => Ok(()),
        }
    }

    /// Adds what a message has where nothing was set.
    pub(super) fn push_default(&mut self, default: Option<&Value>) -> Result<(), Fault> {
        match (self, default) {
            (Self::Enum(of), default) => {
                let first = default.and_then(Value::as_enum_number).unwrap_or(0);
                if !of.push(first, None)? {
                    return Err(Cause::Unfit(format!("enum \"{}\" has no value to begin with", of.name)).into());
                }
            }
            (Self::Integer { values, .. }, Some(default)) => {
                let signed = default.as_i32().map(i64::from).or_else(|| default.as_i64());
                let unsigned = || default.as_u32().map(i64::from).or_else(|| default.as_u64().map(u64::cast_signed));
                values.push(signed.or_else(unsigned).unwrap_or(0))?;
            }
            (Self::Float32(values), Some(default)) => values.push(default.as_f32().unwrap_or(0.0)),
            (Self::Float64(values), Some(default)) => values.push(default.as_f64().unwrap_or(0.0)),
            (Self::Boolean(values), Some(default)) => values.append(default.as_bool().unwrap_or(false)),
            (Self::String(texts), Some(default)) => texts.push(default.as_str().unwrap_or_default().as_bytes())?,
            (Self::Bytes(texts), Some(default)) => texts.push(default.as_bytes().map_or(&[][..], |bytes| bytes.as_ref()))?,
            // An open value in which nothing was set; nothing is required of it.
            (node @ (Self::Logical(_) | Self::Wrapper { .. } | Self::Message(_) | Self::Union(_) | Self::List(_) | Self::Map(_)), _) => node.close(false)?,
            (scalar, None) => scalar.push_nothing(),
        }
        Ok(())
    }

    /// Adds a placeholder for a value that a parent says is null.
    pub(super) fn push_nothing(&mut self) {
        match self {
            Self::Boolean(values) => values.append(false),
            Self::Integer { values: Integers::Int8(values), .. } => values.push(0),
            Self::Integer { values: Integers::Int16(values), .. } => values.push(0),
            Self::Integer { values: Integers::Int32(values), .. } => values.push(0),
            Self::Integer { values: Integers::Int64(values), .. } => values.push(0),
            Self::Float32(values) => values.push(0.0),
            Self::Float64(values) => values.push(0.0),
            Self::String(texts) | Self::Bytes(texts) => texts.nulls(1),
            Self::Enum(of) => match &mut of.values {
                Symbols::Names(texts) => texts.nulls(1),
                Symbols::Numbers(numbers) => numbers.push(0),
            },
            Self::Logical(logical) => logical.push_nothing(),
            Self::Wrapper { value, .. } => value.placeholder(),
            Self::Message(columns) => {
                columns.rows += 1;
                columns.slots.iter_mut().for_each(Slot::placeholder);
            }
            Self::Union(union) => {
                union.rows += 1;
                union.members.iter_mut().for_each(Slot::placeholder);
            }
            Self::List(list) => {
                let end = last(&list.offsets);
                list.offsets.push(end);
            }
            Self::Map(map) => map.push_nothing(),
        }
    }

    /// Cuts back to `to` values and forgets the open one; what a fault left shorter than its siblings stays as it is.
    pub(super) fn truncate(&mut self, to: usize) {
        match self {
            Self::Boolean(values) if values.len() > to => values.truncate(to),
            Self::Boolean(_) => {}
            Self::Integer { values, .. } => values.truncate(to),
            Self::Float32(values) => values.truncate(to),
            Self::Float64(values) => values.truncate(to),
            Self::String(texts) | Self::Bytes(texts) => texts.truncate(to),
            Self::Enum(of) => match &mut of.values {
                Symbols::Names(texts) => texts.truncate(to),
                Symbols::Numbers(numbers) => numbers.truncate(to),
            },
            Self::Logical(logical) => logical.truncate(to),
            Self::Wrapper { value, .. } => value.truncate(to),
            Self::Message(columns) => {
                columns.rows = columns.rows.min(to);
                columns.set.fill(None);
                columns.slots.iter_mut().for_each(|slot| slot.truncate(to));
            }
            Self::Union(union) => {
                union.rows = union.rows.min(to);
                union.set = None;
                union.members.iter_mut().for_each(|member| member.truncate(to));
            }
            Self::List(list) => {
                list.offsets.truncate(to + 1);
                list.items = index(last(&list.offsets));
                list.item.truncate(list.items);
            }
            Self::Map(map) => map.truncate(to),
        }
    }

    /// The values as an array of that type; none are left.
    pub(super) fn finish(&mut self, data_type: &DataType, nulls: Option<NullBuffer>, len: usize) -> Result<ArrayRef, Flaw> {
        Ok(match self {
            Self::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Self::Integer { values: Integers::Int8(values), .. } => primitive::<Int8Type>(values, nulls)?,
            Self::Integer { values: Integers::Int16(values), .. } => primitive::<Int16Type>(values, nulls)?,
            Self::Integer { values: Integers::Int32(values), .. } => primitive::<Int32Type>(values, nulls)?,
            Self::Integer { values: Integers::Int64(values), .. } => primitive::<Int64Type>(values, nulls)?,
            Self::Float32(values) => primitive::<Float32Type>(values, nulls)?,
            Self::Float64(values) => primitive::<Float64Type>(values, nulls)?,
            Self::String(texts) => strings(texts, nulls)?,
            Self::Bytes(texts) => {
                let (offsets, bytes) = texts.take();
                Arc::new(BinaryArray::try_new(offsets, bytes, nulls)?)
            }
            Self::Enum(of) => match &mut of.values {
                Symbols::Names(texts) => strings(texts, nulls)?,
                Symbols::Numbers(numbers) => primitive::<Int32Type>(numbers, nulls)?,
            },
            Self::Logical(logical) => logical.finish(data_type, nulls)?,
            Self::Wrapper { value, .. } => {
                value.validity.finish();
                value.node.finish(data_type, nulls, len)?
            }
            Self::Message(columns) => {
                columns.rows = 0;
                structs(&mut columns.slots, data_type, nulls, len)?
            }
            Self::Union(union) => {
                union.rows = 0;
                structs(&mut union.members, data_type, nulls, len)?
            }
            Self::List(list) => {
                let DataType::List(field) = data_type else { return Err(mismatch(data_type)) };
                let items = std::mem::take(&mut list.items);
                let offsets = take_offsets(&mut list.offsets);
                Arc::new(ListArray::try_new(FieldRef::clone(field), offsets, list.item.finish(field.data_type(), items)?, nulls)?)
            }
            Self::Map(map) => map.finish(data_type, nulls)?,
        })
    }
}

pub(super) fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>) -> Result<ArrayRef, Flaw> {
    Ok(Arc::new(PrimitiveArray::<T>::try_new(take(values).into(), nulls)?))
}

fn structs(slots: &mut [Slot], data_type: &DataType, nulls: Option<NullBuffer>, len: usize) -> Result<ArrayRef, Flaw> {
    let DataType::Struct(fields) = data_type else { return Err(mismatch(data_type)) };
    let arrays = slots.iter_mut().zip(fields).map(|(slot, field)| slot.finish(field.data_type(), len)).collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls, len)?))
}
