//! Columns while they grow, one value at a time, straight from JSON text.
//!
//! A [`Node`] is one field of the schema with the buffers of its column; structs, lists and maps own the nodes of their children. What makes a
//! value part of a node is in `value` and `object`; this file holds the shape, nulls, rollback and the way to Arrow.
//!
//! Guarantee: after every row, whole or rolled back, all columns of a node have the length that the row count says, and no null stands in a
//! child that is not nullable.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array, ListArray, MapArray, PrimitiveArray, StringArray,
    StructArray, Time32MillisecondArray, TimestampMillisecondArray,
};
use arrow::array::{BooleanBufferBuilder, NullBufferBuilder};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, FieldRef, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, i256};
use arrow::error::ArrowError;

use super::object::Members;
use super::union::Union;
use crate::schema;

/// One field of the schema and the values that it has so far.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) field: FieldRef,
    /// The default value's JSON text, where the schema has one and nulls are to be replaced by it.
    pub(super) default: Option<Arc<[u8]>>,
    pub(super) nulls: NullBufferBuilder,
    pub(super) values: Values,
}

/// The buffers of a column, by the type of the field.
#[derive(Debug)]
pub(super) enum Values {
    Boolean(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Date(Vec<i32>),
    Time(Vec<i32>),
    Timestamp(Vec<i64>),
    Decimal128(Vec<i128>),
    Decimal256(Vec<i256>),
    Utf8(Bytes),
    Binary(Bytes),
    List { ends: Ends, item: Box<Node> },
    Map { ends: Ends, key: Box<Node>, value: Box<Node> },
    Struct(Members),
    Union(Union),
}

/// How the columns of a schema are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Make {
    /// Nulls become the schema's default values.
    pub(super) defaults: bool,
    /// Structs that stand for unions in Confluent's JSON Schema take the value of one of their members.
    pub(super) unions: bool,
}

/// Offsets into something: 0, then the end of each value.
#[derive(Debug)]
pub(super) struct Ends(Vec<i32>);

/// Values of variable length, one after the other.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    pub(super) data: Vec<u8>,
    ends: Ends,
}

impl Default for Ends {
    fn default() -> Self {
        Self(vec![0])
    }
}

impl Ends {
    /// Ends a value there; false when offsets cannot count so far.
    #[inline]
    pub(super) fn push(&mut self, end: usize) -> bool {
        let fits = i32::try_from(end);
        self.0.push(fits.unwrap_or(0));
        fits.is_ok()
    }

    fn repeat_last(&mut self) {
        self.0.push(self.last());
    }

    /// The end of the last value, the length of what is counted.
    pub(super) fn last(&self) -> i32 {
        self.0.last().copied().unwrap_or(0)
    }

    /// Keeps the first values; returns the length of what they count.
    fn truncate(&mut self, values: usize) -> usize {
        self.0.truncate(values + 1);
        usize::try_from(self.last()).unwrap_or(0)
    }

    fn finish(&mut self) -> OffsetBuffer<i32> {
        let next = Self(Vec::with_capacity(self.0.len()));
        let ends = std::mem::replace(self, next);
        self.0.push(0);
        OffsetBuffer::new(ScalarBuffer::from(ends.0))
    }
}

impl Bytes {
    /// Ends the value that was appended to `data`; false when the column is full.
    #[inline]
    pub(super) fn end(&mut self) -> bool {
        self.ends.push(self.data.len())
    }

    /// One value, as its bytes.
    pub(super) fn value(&self, index: usize) -> &[u8] {
        let end = |i: usize| self.ends.0.get(i).and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
        self.data.get(end(index)..end(index + 1)).unwrap_or_default()
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let data = take(&mut self.data);
        (self.ends.finish(), Buffer::from_vec(data))
    }
}

/// The vector's content; an empty one of about the same size stays behind, since the next batch is likely as large, and growing would double it.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let next = Vec::with_capacity(values.len() + values.len() / 16);
    std::mem::replace(values, next)
}

impl Node {
    /// An empty column for the field.
    ///
    /// # Errors
    /// When a type has no JSON form here; the message names the field.
    pub(super) fn new(field: &FieldRef, make: Make) -> Result<Self, String> {
        let values = match field.data_type() {
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Values::Int8(Vec::new()),
            DataType::Int16 => Values::Int16(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Time32(TimeUnit::Millisecond) => Values::Time(Vec::new()),
            DataType::Timestamp(TimeUnit::Millisecond, _) => Values::Timestamp(Vec::new()),
            DataType::Decimal128(..) => Values::Decimal128(Vec::new()),
            DataType::Decimal256(..) => Values::Decimal256(Vec::new()),
            DataType::Utf8 => Values::Utf8(Bytes::default()),
            DataType::Binary => Values::Binary(Bytes::default()),
            DataType::List(item) => Values::List { ends: Ends::default(), item: Box::new(Self::new(item, make)?) },
            DataType::Struct(fields) if make.unions && schema::is_union(field) => Values::Union(Union::new(fields, make)?),
            DataType::Struct(fields) => Values::Struct(Members::new(fields, make)?),
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(entry) if entry.len() == 2 => {
                    let (key, value) = (Self::new(&entry[0], make)?, Self::new(&entry[1], make)?);
                    Values::Map { ends: Ends::default(), key: Box::new(key), value: Box::new(value) }
                }
                other => return Err(format!("field \"{}\": a map of {other} has no json form", field.name())),
            },
            other => return Err(format!("field \"{}\": {other} has no json form", field.name())),
        };
        let default = field.metadata().get(schema::DEFAULT).filter(|_| make.defaults).map(|text| text.as_bytes().into());
        Ok(Self { field: Arc::clone(field), default, nulls: NullBufferBuilder::new(0), values })
    }

    /// Number of values.
    pub(super) fn len(&self) -> usize {
        self.nulls.len()
    }

    /// Adds a null, whatever the field says: for a whole row that is a tombstone or rejected.
    pub(super) fn append_null(&mut self) {
        self.nulls.append_null();
        self.values.append_nothing();
    }

    /// Adds something below a null: a null, or zero where the field is not nullable.
    pub(super) fn append_nothing(&mut self) {
        self.nulls.append(!self.field.is_nullable());
        self.values.append_nothing();
    }

    /// Forgets all values but the first ones.
    pub(super) fn truncate(&mut self, len: usize) {
        if self.nulls.len() > len {
            self.nulls.truncate(len);
        }
        self.values.truncate(len);
    }

    /// The values as an array of the field's type; the node is empty after it.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        let (len, nulls) = (self.nulls.len(), self.nulls.finish());
        self.values.finish(self.field.data_type(), len, nulls)
    }
}

impl Values {
    /// One more value that nobody will read.
    fn append_nothing(&mut self) {
        match self {
            Self::Boolean(values) => values.append(false),
            Self::Int8(values) => values.push(0),
            Self::Int16(values) => values.push(0),
            Self::Int32(values) | Self::Date(values) | Self::Time(values) => values.push(0),
            Self::Int64(values) | Self::Timestamp(values) => values.push(0),
            Self::Float32(values) => values.push(0.0),
            Self::Float64(values) => values.push(0.0),
            Self::Decimal128(values) => values.push(0),
            Self::Decimal256(values) => values.push(i256::ZERO),
            Self::Utf8(values) | Self::Binary(values) => values.ends.repeat_last(),
            Self::List { ends, .. } | Self::Map { ends, .. } => ends.repeat_last(),
            Self::Struct(members) => members.children_mut().for_each(Node::append_nothing),
            Self::Union(union) => union.members_mut().for_each(Node::append_nothing),
        }
    }

    fn truncate(&mut self, len: usize) {
        match self {
            Self::Boolean(values) if values.len() > len => values.truncate(len),
            Self::Boolean(_) => {}
            Self::Int8(values) => values.truncate(len),
            Self::Int16(values) => values.truncate(len),
            Self::Int32(values) | Self::Date(values) | Self::Time(values) => values.truncate(len),
            Self::Int64(values) | Self::Timestamp(values) => values.truncate(len),
            Self::Float32(values) => values.truncate(len),
            Self::Float64(values) => values.truncate(len),
            Self::Decimal128(values) => values.truncate(len),
            Self::Decimal256(values) => values.truncate(len),
            Self::Utf8(values) | Self::Binary(values) => {
                let end = values.ends.truncate(len);
                values.data.truncate(end);
            }
            Self::List { ends, item } => item.truncate(ends.truncate(len)),
            Self::Map { ends, key, value } => {
                let entries = ends.truncate(len);
                key.truncate(entries);
                value.truncate(entries);
            }
            Self::Struct(members) => members.children_mut().for_each(|child| child.truncate(len)),
            Self::Union(union) => union.members_mut().for_each(|member| member.truncate(len)),
        }
    }

    fn finish(&mut self, data_type: &DataType, len: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Boolean(values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Self::Int8(values) => primitive::<Int8Type>(values, nulls)?,
            Self::Int16(values) => primitive::<Int16Type>(values, nulls)?,
            Self::Int32(values) => primitive::<Int32Type>(values, nulls)?,
            Self::Int64(values) => primitive::<Int64Type>(values, nulls)?,
            Self::Float32(values) => primitive::<Float32Type>(values, nulls)?,
            Self::Float64(values) => primitive::<Float64Type>(values, nulls)?,
            Self::Date(values) => Arc::new(Date32Array::try_new(take(values).into(), nulls)?),
            Self::Time(values) => Arc::new(Time32MillisecondArray::try_new(take(values).into(), nulls)?),
            Self::Timestamp(values) => Arc::new(TimestampMillisecondArray::try_new(take(values).into(), nulls)?.with_data_type(data_type.clone())),
            Self::Decimal128(values) => Arc::new(Decimal128Array::try_new(take(values).into(), nulls)?.with_data_type(data_type.clone())),
            Self::Decimal256(values) => Arc::new(Decimal256Array::try_new(take(values).into(), nulls)?.with_data_type(data_type.clone())),
            Self::Utf8(values) => {
                let (ends, data) = values.finish();
                Arc::new(StringArray::try_new(ends, data, nulls)?)
            }
            Self::Binary(values) => {
                let (ends, data) = values.finish();
                Arc::new(BinaryArray::try_new(ends, data, nulls)?)
            }
            Self::List { ends, item } => {
                let field = Arc::clone(&item.field);
                Arc::new(ListArray::try_new(field, ends.finish(), item.finish()?, nulls)?)
            }
            Self::Map { ends, key, value } => {
                let fields = Fields::from([Arc::clone(&key.field), Arc::clone(&value.field)].to_vec());
                let entries = StructArray::try_new(fields, vec![key.finish()?, value.finish()?], None)?;
                let DataType::Map(field, ordered) = data_type else { return Err(ArrowError::SchemaError(format!("{data_type} is no map"))) };
                Arc::new(MapArray::try_new(Arc::clone(field), ends.finish(), entries, nulls, *ordered)?)
            }
            Self::Struct(members) => structs(members.children_mut(), len, nulls)?,
            Self::Union(union) => structs(union.members_mut(), len, nulls)?,
        })
    }
}

fn primitive<T: ArrowPrimitiveType>(values: &mut Vec<T::Native>, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(PrimitiveArray::<T>::try_new(ScalarBuffer::from(take(values)), nulls)?))
}

fn structs<'a>(children: impl Iterator<Item = &'a mut Node>, len: usize, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for child in children {
        fields.push(Arc::clone(&child.field));
        arrays.push(child.finish()?);
    }
    Ok(Arc::new(StructArray::try_new_with_length(fields.into(), arrays, nulls, len)?))
}
