//! A dynamic column → a typed one, under a schema that is inferred from the rows.
//!
//! | a row is | its type |
//! |---|---|
//! | `Byte`, `Short`, `Integer`, `Long`; `Float`, `Double` | int8 to int64; float32, float64 |
//! | `String`, `Boolean`, `byte[]` | string, boolean, bytes |
//! | `Date` | timestamp |
//! | `BigDecimal`, `BigInteger` | string: their digits |
//! | a list | list of what all its items have in common |
//! | a map | struct, its fields in the row's order |
//! | null, and containers of nothing else | none yet |
//!
//! The rules are those by which JSON becomes columns (`wire::json::infer`): what two rows say is joined by [`crate::schema::merge`], row by row in their order; a row
//! that has no type in common with those before it is rejected; a value without a type fits everywhere. So what came of a row is the same, however the rows
//! are cut into batches; only a container without content is null as long as no row has shown its column.
//!
//! Everything here is a kernel over a column but one thing: a row that the schema does not take yet is looked at by itself. In a topic whose schema is known
//! there is none.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, ListArray, StructArray, new_null_array};
use arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, UInt8Type};
use arrow::error::ArrowError;

use super::{Dynamic, Kind, Order, narrowed};
use crate::column::{Column, Reject};
use crate::schema::widen::{TOO_MANY_COLUMNS, has_too_many_columns};
use crate::schema::{INFERRED, NAME, TIMESTAMP, VERSION, merge};

/// Characters of an offending value that are shown.
const EXCERPT: usize = 60;
/// Rows that are looked at before the schema that they made is tried on all others; twice as many each time.
const FIRST_LOOK: usize = 64;

/// The schema that the values of one topic have shown so far.
#[derive(Debug)]
pub struct Inference {
    held: FieldRef,
}

impl Inference {
    /// Nothing is known yet of the column of that name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let nothing = DataType::Struct(Fields::empty());
        Self { held: Arc::new(Field::new(name, nothing, true).with_metadata([(INFERRED, "true")])) }
    }

    /// The rows as a column under the schema that suits them and all before them; rows that have none in common with those are null in it, and rejected.
    ///
    /// # Errors
    /// When the arrays cannot be put together, which is a defect.
    pub fn columns(&mut self, values: &Dynamic) -> Result<(Column, Vec<Reject>), ArrowError> {
        let own = narrowed(&(Arc::new(values.0.clone()) as ArrayRef))?;
        let place = Place::of(own.as_struct());
        let mut rejects = Vec::new();
        let (mut settled, mut look) = (0, FIRST_LOOK);
        while settled < values.len() {
            let Some(unfit) = place.unfit(Some(self.held.data_type())) else { break };
            let unfit: Vec<usize> = unfit.set_indices().filter(|row| *row >= settled).take(look).collect();
            for row in &unfit {
                if let Err(reason) = self.widen(&place, *row) {
                    rejects.push(Reject { row: *row, reason });
                }
            }
            settled = if unfit.len() < look { values.len() } else { unfit.last().map_or(values.len(), |row| row + 1) };
            look *= 2;
        }
        let array = place.array(self.held.data_type())?;
        Ok((Column::new(Arc::clone(&self.held), without(&array, &rejects)?), rejects))
    }

    /// Takes a row into the schema, or says why that cannot be.
    fn widen(&mut self, place: &Place<'_>, row: usize) -> Result<(), String> {
        if place.kind(row) != Kind::Map {
            return Err(format!("{} is no object, and columns are made of objects", place.excerpt(row)));
        }
        let comes = place.data_type(row).map_err(|misfit| misfit.to_string())?.unwrap_or_else(|| DataType::Struct(Fields::empty()));
        let comes = Field::new(self.held.name(), comes, true);
        let wider = merge(&self.held, &comes).map_err(|conflict| {
            let reason = format!("{} is {}, but the records before it have {}", place.value_at(row, &conflict.path), conflict.comes, conflict.held);
            Misfit { path: vec![conflict.path], reason }.to_string()
        })?;
        if has_too_many_columns(wider.data_type()) {
            return Err(TOO_MANY_COLUMNS.to_owned());
        }
        if wider != *self.held {
            self.held = Arc::new(wider);
        }
        Ok(())
    }
}

/// The column without the rejected rows.
fn without(array: &ArrayRef, rejects: &[Reject]) -> Result<ArrayRef, ArrowError> {
    let Some(rows) = array.as_struct_opt().filter(|_| !rejects.is_empty()) else { return Ok(Arc::clone(array)) };
    let mut valid = vec![true; rows.len()];
    rejects.iter().for_each(|reject| valid.get_mut(reject.row).into_iter().for_each(|valid| *valid = false));
    let nulls = NullBuffer::union(rows.nulls(), Some(&NullBuffer::from(valid)));
    Ok(Arc::new(StructArray::try_new_with_length(rows.fields().clone(), rows.columns().to_vec(), nulls, rows.len())?))
}

/// A value that has no type in common with others of its row.
struct Misfit {
    /// Steps to it, innermost first: a name, or `[index]`.
    path: Vec<String>,
    reason: String,
}

impl Misfit {
    fn within(mut self, step: String) -> Self {
        self.path.push(step);
        self
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("field \"")?;
        for (index, step) in self.path.iter().rev().enumerate() {
            let dot = if index == 0 || step.starts_with('[') { "" } else { "." };
            write!(f, "{dot}{step}")?;
        }
        write!(f, "\": {}", self.reason)
    }
}

/// The values of one place in all rows, taken apart once.
struct Place<'a> {
    rows: &'a StructArray,
    kinds: &'a [u8],
    members: Vec<(&'a str, Self)>,
    list: Option<(&'a OffsetBuffer<i32>, Box<Self>)>,
    order: Order<'a>,
}

impl<'a> Place<'a> {
    fn of(rows: &'a StructArray) -> Self {
        let map = rows.column_by_name(Kind::Map.lane()).and_then(|map| map.as_struct_opt());
        let members = map.into_iter().flat_map(|map| map.fields().iter().zip(map.columns()));
        let list = rows.column_by_name(Kind::List.lane()).and_then(|list| list.as_list_opt::<i32>());
        Self {
            rows,
            kinds: rows.column(0).as_primitive::<UInt8Type>().values(),
            members: members.map(|(field, column)| (field.name().as_str(), Self::of(column.as_struct()))).collect(),
            list: list.map(|list| (list.offsets(), Box::new(Self::of(list.values().as_struct())))),
            order: Order::of(map),
        }
    }

    fn kind(&self, row: usize) -> Kind {
        self.kinds.get(row).map_or(Kind::Absent, |kind| Kind::of(*kind))
    }

    fn has(&self, kind: Kind) -> bool {
        self.kinds.contains(&(kind as u8))
    }

    fn are(&self, kind: Kind) -> BooleanBuffer {
        BooleanBuffer::collect_bool(self.kinds.len(), |row| self.kinds.get(row) == Some(&(kind as u8)))
    }

    fn items(&self, row: usize) -> std::ops::Range<usize> {
        let end = |row: usize| self.list.as_ref().and_then(|(offsets, _)| offsets.get(row)).and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
        end(row)..end(row + 1)
    }

    /// The rows that a column of this type, or none, cannot take; none when it takes all. Where there is no column, every value that has a type is one.
    fn unfit(&self, held: Option<&DataType>) -> Option<BooleanBuffer> {
        let mut unfit: Option<BooleanBuffer> = None;
        let mut add = |rows: BooleanBuffer| {
            unfit = Some(match unfit.take() {
                Some(others) => &others | &rows,
                None => rows,
            });
        };
        for kind in Kind::ALL.into_iter().filter(|kind| kind.data_type().is_some() && self.has(*kind)) {
            if !held.is_some_and(|held| takes(held, kind)) {
                add(self.are(kind));
            }
        }
        if self.has(Kind::Map) {
            let fields: HashMap<&str, &FieldRef> = match held {
                Some(DataType::Struct(fields)) => fields.iter().map(|field| (field.name().as_str(), field)).collect(),
                _ => HashMap::new(),
            };
            let members = self.members.iter().filter_map(|(name, member)| member.unfit(fields.get(name).map(|field| field.data_type())));
            members.for_each(&mut add);
        }
        if let Some((_, items)) = self.list.as_ref().filter(|_| self.has(Kind::List)) {
            let held = if let Some(DataType::List(item)) = held { Some(item.data_type()) } else { None };
            if let Some(unfit) = items.unfit(held) {
                let is_unfit = |row: usize| self.kind(row) == Kind::List && self.items(row).any(|item| unfit.value(item));
                add(BooleanBuffer::collect_bool(self.kinds.len(), is_unfit));
            }
        }
        unfit.filter(|rows| rows.count_set_bits() > 0)
    }

    /// The type of one row; none when it has none.
    fn data_type(&self, row: usize) -> Result<Option<DataType>, Misfit> {
        Ok(match self.kind(row) {
            Kind::Absent | Kind::Null => None,
            Kind::Decimal | Kind::BigInteger => Some(DataType::Utf8),
            Kind::List => self.list_type(row)?,
            Kind::Map => self.struct_type(row)?,
            scalar => scalar.data_type(),
        })
    }

    fn list_type(&self, row: usize) -> Result<Option<DataType>, Misfit> {
        let Some((_, items)) = &self.list else { return Ok(None) };
        let mut item: Option<Field> = None;
        for (index, at) in self.items(row).enumerate() {
            let within = |misfit: Misfit| misfit.within(format!("[{index}]"));
            let Some(data_type) = items.data_type(at).map_err(within)? else { continue };
            let next = field("item", data_type);
            item = Some(match item {
                None => next,
                Some(held) => merge(&held, &next).map_err(|conflict| {
                    let there = if conflict.path.is_empty() { String::new() } else { format!(" (at {:?})", conflict.path) };
                    let reason = format!("{} is {}{there}, but the items before it are {}", items.excerpt(at), conflict.comes, conflict.held);
                    within(Misfit { path: Vec::new(), reason })
                })?,
            });
        }
        Ok(item.map(|item| DataType::List(Arc::new(item))))
    }

    fn struct_type(&self, row: usize) -> Result<Option<DataType>, Misfit> {
        let (mut fields, mut misfit) = (Vec::new(), None);
        self.order.each(row, |at| {
            let Some((name, member)) = self.members.get(at).filter(|_| misfit.is_none()) else { return };
            match member.data_type(row) {
                Ok(data_type) => fields.extend(data_type.map(|data_type| field(name, data_type))),
                Err(found) => misfit = Some(found.within((*name).to_owned())),
            }
        });
        match misfit {
            Some(misfit) => Err(misfit),
            None => Ok((!fields.is_empty()).then(|| DataType::Struct(fields.into()))),
        }
    }

    /// The rows as an array of this type: null where they have no value that it takes.
    fn array(&self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        Ok(match data_type {
            DataType::Struct(fields) => {
                let places: HashMap<&str, &Self> = self.members.iter().map(|(name, member)| (*name, member)).collect();
                let column = |field: &FieldRef| match places.get(field.name().as_str()) {
                    Some(member) => member.array(field.data_type()),
                    None => Ok(new_null_array(field.data_type(), self.kinds.len())),
                };
                let columns = fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), columns, self.only(Kind::Map), self.kinds.len())?)
            }
            DataType::List(item) => match &self.list {
                Some((offsets, items)) => {
                    Arc::new(ListArray::try_new(Arc::clone(item), (*offsets).clone(), items.array(item.data_type())?, self.only(Kind::List))?)
                }
                None => new_null_array(data_type, self.kinds.len()),
            },
            _ => self.scalars(data_type)?,
        })
    }

    /// A null buffer that leaves the rows of one kind.
    fn only(&self, kind: Kind) -> Option<NullBuffer> {
        Some(NullBuffer::new(self.are(kind))).filter(|nulls| nulls.null_count() > 0)
    }

    /// The lanes that go into a column, in one.
    fn scalars(&self, data_type: &DataType) -> Result<ArrayRef, ArrowError> {
        let mut whole: Option<ArrayRef> = None;
        for kind in Kind::ALL.into_iter().filter(|kind| takes(data_type, *kind) && self.has(*kind)) {
            let Some(lane) = self.rows.column_by_name(kind.lane()) else { continue };
            let lane = cast(lane, data_type)?;
            whole = Some(match whole {
                None => lane,
                Some(others) => zip(&BooleanArray::new(self.are(kind), None), &lane, &others)?,
            });
        }
        Ok(whole.unwrap_or_else(|| new_null_array(data_type, self.kinds.len())))
    }

    /// The beginning of a row's text.
    fn excerpt(&self, row: usize) -> String {
        let text = Dynamic(self.rows.slice(row, 1)).json().ok().filter(|text| !text.is_empty() && text.is_valid(0));
        let text = text.as_ref().map_or("null", |text| text.value(0));
        match text.char_indices().nth(EXCERPT) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
            None => text.to_owned(),
        }
    }

    /// The value at a dotted path; that of the innermost map around it where a list is on the way.
    fn value_at(&self, row: usize, path: &str) -> String {
        let inner = self.members.iter().filter(|(_, member)| member.kind(row) != Kind::Absent).find_map(|(name, member)| {
            let rest = path.strip_prefix(name)?;
            if rest.is_empty() { Some((member, rest)) } else { Some((member, rest.strip_prefix('.')?)) }
        });
        match inner {
            Some((member, rest)) if !rest.is_empty() && member.kind(row) == Kind::Map => member.value_at(row, rest),
            Some((member, _)) => member.excerpt(row),
            None => self.excerpt(row),
        }
    }
}

/// A field of an inferred schema; what Connect calls a timestamp says so.
fn field(name: &str, data_type: DataType) -> Field {
    let is_timestamp = matches!(data_type, DataType::Timestamp(..));
    let field = Field::new(name, data_type, true);
    if is_timestamp { field.with_metadata([(NAME, TIMESTAMP), (VERSION, "1")]) } else { field }
}

/// Whether values of a kind go into a column of a type, by the table of [`crate::schema::widen`].
fn takes(held: &DataType, kind: Kind) -> bool {
    use DataType as T;
    use Kind as K;
    match held {
        T::Boolean => kind == K::Boolean,
        T::Int8 => kind == K::Int8,
        T::Int16 => matches!(kind, K::Int8 | K::Int16),
        T::Int32 => matches!(kind, K::Int8 | K::Int16 | K::Int32),
        T::Int64 => matches!(kind, K::Int8 | K::Int16 | K::Int32 | K::Int64),
        T::Float32 => kind == K::Float32,
        T::Float64 => matches!(kind, K::Int8 | K::Int16 | K::Int32 | K::Int64 | K::Float32 | K::Float64),
        T::Utf8 => matches!(kind, K::String | K::Decimal | K::BigInteger),
        T::Binary => kind == K::Bytes,
        T::Timestamp(..) => kind == K::Date,
        _ => false,
    }
}

#[cfg(test)]
mod tests;
