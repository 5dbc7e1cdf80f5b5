//! Values without a schema, as columns: what Java holds in maps, lists and boxed numbers.
//!
//! A [`Dynamic`] is n rows of which each is of some [`Kind`]. The kinds are a column of their own; beside it there is a *lane* for each kind that occurs, an
//! Arrow array of n rows that is null where a row is of another kind. So a kernel over a lane is a kernel over a column. Nested values are dynamic themselves:
//!
//! ```text
//!            kind    int64   string   list              map
//! 7          int64   7
//! "x"        string          "x"
//! [1, "y"]   list                     0..2 of Dynamic
//! {"a": 1}   map                                        a: Dynamic of n rows
//! {}         map                                        a: absent
//! null       null
//! ```
//!
//! The members of maps are named columns of n rows; where a row is no map, or a map without that key, the member is [`Kind::Absent`], which is not
//! [`Kind::Null`]. Everything is held in one [`StructArray`], without null buffers on the way down, so that Arrow's own kernels slice, filter and concatenate
//! it; under a field that is marked with [`EXTENSION`] it travels as a [`Column`] between the transforms of a chain.
//!
//! Each row's map has an order of its own, as a `LinkedHashMap` has: that of the columns, unless a member has a *rank* in that row (one more lane, which is
//! there only where rows name their members in different orders). So what a row becomes never depends on its neighbours.
//!
//! Parts: this file, the representation; [`build`] makes it of JSON or of values, [`typed`] of columns under a schema, [`render`] writes it as JSON,
//! [`order`] has the order of members, [`members`] changes maps, [`unify`] brings two columns under one type, [`infer`] makes typed columns of one.
//!
//! Guarantee: a key that occurs once in a column is a column; whoever reads JSON bounds that ([`read_json`] stops before a batch of many keys takes too much room).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, StructArray, UInt8Array, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::{filter, nullif};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, TimeUnit, UInt8Type, UInt32Type};
use arrow::error::ArrowError;

use crate::column::Column;
use crate::schema::EXTENSION_NAME;

mod build;
mod infer;
mod members;
mod order;
mod render;
mod typed;
mod unify;

pub use build::{Builder, Read, Value, read_json, read_json_within};
pub use infer::Inference;
pub use members::Members;
pub use order::Order;
pub use typed::{Wanted, map_cells};

/// The extension name of a dynamic column's field.
pub const EXTENSION: &str = "lakehead.dynamic";

const KINDS: &str = "kind";
const RANK: &str = "rank";

/// What a row is: a class of Java's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The map above it has no such key, or there is no map above it.
    Absent,
    /// `null`.
    Null,
    /// `Boolean`.
    Boolean,
    /// `Byte`.
    Int8,
    /// `Short`.
    Int16,
    /// `Integer`.
    Int32,
    /// `Long`.
    Int64,
    /// `Float`.
    Float32,
    /// `Double`.
    Float64,
    /// `String`.
    String,
    /// `byte[]`.
    Bytes,
    /// `java.util.Date`: ms since the epoch.
    Date,
    /// `BigDecimal`, as its text.
    Decimal,
    /// `BigInteger`, as its text.
    BigInteger,
    /// `List`.
    List,
    /// `Map` with strings as keys.
    Map,
}

impl Kind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 16] = [
        Self::Absent,
        Self::Null,
        Self::Boolean,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Float32,
        Self::Float64,
        Self::String,
        Self::Bytes,
        Self::Date,
        Self::Decimal,
        Self::BigInteger,
        Self::List,
        Self::Map,
    ];

    /// The name of its lane.
    const fn lane(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int8 => "int8",
            Self::Int16 => "int16",
            Self::Int32 => "int32",
            Self::Int64 => "int64",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Date => "date",
            Self::Decimal => "decimal",
            Self::BigInteger => "biginteger",
            Self::List => "list",
            Self::Map => "map",
        }
    }

    /// The Arrow type of the lane; none for kinds without values, and for those that are made of others.
    #[must_use]
    pub fn data_type(self) -> Option<DataType> {
        Some(match self {
            Self::Absent | Self::Null | Self::List | Self::Map => return None,
            Self::Boolean => DataType::Boolean,
            Self::Int8 => DataType::Int8,
            Self::Int16 => DataType::Int16,
            Self::Int32 => DataType::Int32,
            Self::Int64 => DataType::Int64,
            Self::Float32 => DataType::Float32,
            Self::Float64 => DataType::Float64,
            Self::String | Self::Decimal | Self::BigInteger => DataType::Utf8,
            Self::Bytes => DataType::Binary,
            Self::Date => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        })
    }

    /// The name of its class, as `Object.getClass().getName()` gives it; `null` for what is none.
    #[must_use]
    pub const fn class_name(self) -> &'static str {
        match self {
            Self::Absent | Self::Null => "null",
            Self::Boolean => "java.lang.Boolean",
            Self::Int8 => "java.lang.Byte",
            Self::Int16 => "java.lang.Short",
            Self::Int32 => "java.lang.Integer",
            Self::Int64 => "java.lang.Long",
            Self::Float32 => "java.lang.Float",
            Self::Float64 => "java.lang.Double",
            Self::String => "java.lang.String",
            Self::Bytes => "[B",
            Self::Date => "java.util.Date",
            Self::Decimal => "java.math.BigDecimal",
            Self::BigInteger => "java.math.BigInteger",
            Self::List => "java.util.ArrayList",
            Self::Map => "java.util.HashMap",
        }
    }

    fn of(number: u8) -> Self {
        Self::ALL.get(usize::from(number)).copied().unwrap_or(Self::Null)
    }
}

/// n values without a schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Dynamic(StructArray);

/// The array with the items of its own lists and maps alone: a slice has those of its neighbours too.
///
/// # Errors
/// When the arrays cannot be put together, which is a defect.
pub(crate) fn narrowed(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let within = |offsets: &OffsetBuffer<i32>, items: &dyn Array| {
        let (first, last) = (offsets.first(), offsets.last());
        let at = |offset: i32| usize::try_from(offset).unwrap_or(0);
        let own = narrowed(&items.slice(at(first), at(last) - at(first)))?;
        let offsets = if first == 0 { offsets.clone() } else { OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect()) };
        Ok::<_, ArrowError>((offsets, own))
    };
    Ok(match array.data_type() {
        DataType::Struct(fields) => {
            let rows = array.as_struct();
            let columns = rows.columns().iter().map(narrowed).collect::<Result<_, _>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, rows.nulls().cloned(), rows.len())?)
        }
        DataType::List(item) => {
            let list = array.as_list::<i32>();
            let (offsets, items) = within(list.offsets(), list.values())?;
            Arc::new(ListArray::try_new(Arc::clone(item), offsets, items, list.nulls().cloned())?)
        }
        DataType::Map(entry, is_sorted) => {
            let map = array.as_map();
            let (offsets, entries) = within(map.offsets(), map.entries())?;
            Arc::new(MapArray::try_new(Arc::clone(entry), offsets, entries.as_struct().clone(), map.nulls().cloned(), *is_sorted)?)
        }
        _ => Arc::clone(array),
    })
}

impl Dynamic {
    /// The values of a column that [`into_column`](Self::into_column) made.
    #[must_use]
    pub fn of_column(column: &Column) -> Option<Self> {
        is_dynamic(&column.field).then(|| column.array.as_struct_opt().cloned().map(Self)).flatten()
    }

    /// A column that only [`of_column`](Self::of_column) understands.
    #[must_use]
    pub fn into_column(self, name: &str) -> Column {
        let metadata = HashMap::from([(EXTENSION_NAME.to_owned(), EXTENSION.to_owned())]);
        let field = Field::new(name, self.0.data_type().clone(), true).with_metadata(metadata);
        Column::new(Arc::new(field), Arc::new(self.0))
    }

    /// Rows that are all of one kind without a value: [`Kind::Null`] or [`Kind::Absent`].
    #[must_use]
    pub fn none(kind: Kind, len: usize) -> Self {
        Self::assemble(vec![kind as u8; len], Vec::new())
    }

    /// Rows of one kind, which has that array as its lane; where it is null, the row is null. None when the array is not of the kind's type.
    #[must_use]
    pub fn scalar(kind: Kind, lane: ArrayRef) -> Option<Self> {
        if kind.data_type().as_ref() != Some(lane.data_type()) {
            return None;
        }
        let kinds = match lane.logical_nulls() {
            None => vec![kind as u8; lane.len()],
            Some(nulls) => nulls.iter().map(|valid| if valid { kind } else { Kind::Null } as u8).collect(),
        };
        Some(Self::assemble(kinds, vec![(kind, lane)]))
    }

    /// Rows that are all maps, with these members of `len` rows each.
    ///
    /// # Errors
    /// When a member has another number of rows.
    pub fn map(members: Vec<(Arc<str>, Self)>, len: usize) -> Result<Self, ArrowError> {
        Self::none(Kind::Map, len).with_members(members)
    }

    /// The same rows, their maps with other members. A member must be absent where the row is no map (see [`only`](Self::only)).
    ///
    /// # Errors
    /// When a member has another number of rows.
    pub fn with_members(&self, members: Vec<(Arc<str>, Self)>) -> Result<Self, ArrowError> {
        let fields: Fields = members.iter().map(|(name, value)| Field::new(name.as_ref(), value.0.data_type().clone(), false)).collect();
        let columns: Vec<ArrayRef> = members.into_iter().map(|(_, value)| Arc::new(value.0) as ArrayRef).collect();
        let map = StructArray::try_new_with_length(fields, columns, None, self.len())?;
        let mut lanes: Vec<(Kind, ArrayRef)> = self.lanes().map(|(kind, lane)| (kind, Arc::clone(lane))).filter(|(kind, _)| *kind != Kind::Map).collect();
        lanes.push((Kind::Map, Arc::new(map)));
        Ok(Self::assemble(self.kinds().to_vec(), lanes).in_place_of(self))
    }

    /// Puts lanes beside kinds; all have the same length.
    fn assemble(kinds: Vec<u8>, lanes: Vec<(Kind, ArrayRef)>) -> Self {
        let mut fields = vec![Arc::new(Field::new(KINDS, DataType::UInt8, false))];
        let mut columns: Vec<ArrayRef> = vec![Arc::new(UInt8Array::from(kinds))];
        for (kind, lane) in lanes {
            fields.push(Arc::new(Field::new(kind.lane(), lane.data_type().clone(), !matches!(kind, Kind::List | Kind::Map))));
            columns.push(lane);
        }
        Self(StructArray::new(fields.into(), columns, None))
    }

    /// Where the rows stand among the members of the maps that they are in; null where their column tells.
    fn rank(&self) -> Option<&UInt32Array> {
        self.0.column_by_name(RANK).map(|ranks| ranks.as_primitive::<UInt32Type>())
    }

    fn with_rank(self, ranks: Option<UInt32Array>) -> Self {
        if ranks.is_none() && self.rank().is_none() {
            return self;
        }
        let lanes = self.0.fields().iter().zip(self.0.columns()).filter(|(field, _)| field.name() != RANK);
        let (mut fields, mut columns): (Vec<FieldRef>, Vec<ArrayRef>) = lanes.map(|(field, lane)| (Arc::clone(field), Arc::clone(lane))).unzip();
        if let Some(ranks) = ranks {
            fields.push(Arc::new(Field::new(RANK, DataType::UInt32, true)));
            columns.push(Arc::new(ranks));
        }
        Self(StructArray::new(fields.into(), columns, None))
    }

    /// The same rows in the order in which another member came.
    fn in_place_of(self, other: &Self) -> Self {
        let ranks = other.rank().cloned();
        self.with_rank(ranks)
    }

    /// Number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True when there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of each row's kind.
    #[must_use]
    pub fn kinds(&self) -> &ScalarBuffer<u8> {
        self.0.column(0).as_primitive::<UInt8Type>().values()
    }

    /// The kind of a row.
    #[must_use]
    pub fn kind(&self, row: usize) -> Kind {
        self.kinds().get(row).map_or(Kind::Absent, |number| Kind::of(*number))
    }

    /// Where rows are of a kind.
    #[must_use]
    pub fn are(&self, kind: Kind) -> BooleanBuffer {
        let kinds = self.kinds();
        BooleanBuffer::collect_bool(kinds.len(), |row| kinds.get(row) == Some(&(kind as u8)))
    }

    /// True when a row is of that kind.
    #[must_use]
    pub fn has(&self, kind: Kind) -> bool {
        self.kinds().contains(&(kind as u8))
    }

    /// The values of one kind, null where rows are of another; none when there is no such lane. A lane without any row of its kind may be there.
    #[must_use]
    pub fn lane(&self, kind: Kind) -> Option<&ArrayRef> {
        self.0.column_by_name(kind.lane())
    }

    /// Every lane.
    pub fn lanes(&self) -> impl Iterator<Item = (Kind, &ArrayRef)> {
        let kind_of = |field: &FieldRef| Kind::ALL.into_iter().find(|kind| kind.lane() == field.name());
        let (fields, columns) = (self.0.fields().iter().skip(1), self.0.columns().iter().skip(1));
        fields.zip(columns).filter_map(move |(field, column)| Some((kind_of(field)?, column)))
    }

    /// The same rows with another lane of one kind: the values of the rows that are of that kind now.
    ///
    /// # Errors
    /// When the lane has another length or a type that is not the kind's.
    pub fn with_lane(&self, kind: Kind, lane: ArrayRef) -> Result<Self, ArrowError> {
        if lane.len() != self.len() || kind.data_type().as_ref() != Some(lane.data_type()) {
            return Err(ArrowError::InvalidArgumentError(format!("{} rows of {} are no lane of {kind:?}", lane.len(), lane.data_type())));
        }
        let mut lanes: Vec<(Kind, ArrayRef)> = self.lanes().map(|(kind, lane)| (kind, Arc::clone(lane))).filter(|(known, _)| *known != kind).collect();
        lanes.push((kind, lane));
        Ok(Self::assemble(self.kinds().to_vec(), lanes).in_place_of(self))
    }

    /// Where the items of each row begin and end, and the items; none when no row is a list.
    #[must_use]
    pub fn list(&self) -> Option<(&OffsetBuffer<i32>, Self)> {
        let list: &ListArray = self.lane(Kind::List)?.as_list();
        Some((list.offsets(), Self(list.values().as_struct().clone())))
    }

    /// The members of maps, with their order; [`order`](Self::order) tells in which a row has them.
    pub fn members(&self) -> impl Iterator<Item = (Arc<str>, Self)> {
        let map = self.lane(Kind::Map).map(|lane| lane.as_struct());
        let members = map.into_iter().flat_map(|map| map.fields().iter().zip(map.columns()));
        members.map(|(field, column)| (Arc::from(field.name().as_str()), Self(column.as_struct().clone())))
    }

    /// One member of the maps, as a value of its own; none when no row has it.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<Self> {
        Some(Self(self.lane(Kind::Map)?.as_struct().column_by_name(name)?.as_struct().clone()).with_rank(None))
    }

    /// In which order each row's map has its members.
    #[must_use]
    pub fn order(&self) -> Order<'_> {
        Order::of(self.lane(Kind::Map).and_then(|map| map.as_struct_opt()))
    }

    /// The rows as values of their own: what is absent is null.
    #[must_use]
    pub fn or_null(self) -> Self {
        if !self.has(Kind::Absent) {
            return self;
        }
        let kinds = self.kinds().iter().map(|kind| (*kind).max(Kind::Null as u8)).collect();
        Self::assemble(kinds, self.lanes().map(|(kind, lane)| (kind, Arc::clone(lane))).collect()).in_place_of(&self)
    }

    /// The rows where the mask is true; the others are absent.
    ///
    /// # Errors
    /// When the mask has another length.
    pub fn only(&self, mask: &BooleanBuffer) -> Result<Self, ArrowError> {
        if mask.len() != self.len() {
            return Err(ArrowError::InvalidArgumentError(format!("a mask of {} rows for {}", mask.len(), self.len())));
        }
        if mask.count_set_bits() == mask.len() {
            return Ok(self.clone());
        }
        let others = BooleanArray::new(!mask, None);
        let kinds = self.kinds().iter().zip(mask).map(|(kind, is_in)| if is_in { *kind } else { Kind::Absent as u8 }).collect();
        let mut lanes = Vec::new();
        for (kind, lane) in self.lanes() {
            lanes.push((
                kind,
                match kind {
                    Kind::Map => self.map_lane(mask)?,
                    Kind::List => Arc::clone(lane), // the items of a row that is no list now are nobody's
                    _ => nullif(lane, &others)?,
                },
            ));
        }
        Ok(Self::assemble(kinds, lanes).in_place_of(self))
    }

    fn map_lane(&self, mask: &BooleanBuffer) -> Result<ArrayRef, ArrowError> {
        let members: Vec<(Arc<str>, Self)> = self.members().map(|(name, member)| Ok((name, member.only(mask)?))).collect::<Result<_, ArrowError>>()?;
        let fields: Fields = members.iter().map(|(name, value)| Field::new(name.as_ref(), value.0.data_type().clone(), false)).collect();
        let columns = members.into_iter().map(|(_, value)| Arc::new(value.0) as ArrayRef).collect();
        Ok(Arc::new(StructArray::try_new_with_length(fields, columns, None, self.len())?))
    }

    /// Rows `offset .. offset + length`, without a copy.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self(self.0.slice(offset, length))
    }

    /// The rows for which `keep` is true.
    ///
    /// # Errors
    /// When `keep` has another length.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        Ok(Self(filter(&self.0, keep)?.as_struct().clone()))
    }

    /// The rows that are no null and no hole, as a null buffer.
    #[must_use]
    pub fn nulls(&self) -> NullBuffer {
        let kinds = self.kinds();
        NullBuffer::new(BooleanBuffer::collect_bool(kinds.len(), |row| kinds.get(row).is_some_and(|kind| *kind > Kind::Null as u8)))
    }
}

/// True for the field of a dynamic column.
#[must_use]
pub fn is_dynamic(field: &Field) -> bool {
    field.metadata().get(EXTENSION_NAME).is_some_and(|name| name == EXTENSION)
}

#[cfg(test)]
mod tests;
