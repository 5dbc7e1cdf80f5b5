//! Values, one after the other → a dynamic column; and JSON text, which is read so.
//!
//! The values of one place in all rows are a node: its kinds, and a store for each kind that has come. A node is as long as the last row that had something
//! there; what lies between is filled in when the next value comes, so that a key that most rows lack costs nothing but its kinds. Rows have no columnar form
//! before they are read, so this is a loop over them; nothing is allocated for a row once every key has been seen.
//!
//! Numbers are what Connect's `JsonConverter` makes of them without a schema: those without point and exponent are longs, of which the low 64 bits count,
//! all others doubles. Of members of one name the last counts, in the place of the first.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray, ListArray, PrimitiveArray, StringArray, StructArray, TimestampMillisecondArray};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, Field, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;

use super::{Dynamic, Kind};
use crate::column::Reject;
use crate::schema::connect::MAX_DEPTH;
use crate::wire::json::{Events, Quoted, read};

/// A value that has no others in it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `Boolean`.
    Boolean(bool),
    /// `Byte`.
    Int8(i8),
    /// `Short`.
    Int16(i16),
    /// `Integer`.
    Int32(i32),
    /// `Long`.
    Int64(i64),
    /// `Float`.
    Float32(f32),
    /// `Double`.
    Float64(f64),
    /// `String`.
    String(&'a str),
    /// `byte[]`.
    Bytes(&'a [u8]),
    /// `java.util.Date`: ms since the epoch.
    Date(i64),
    /// `BigDecimal`: its digits.
    Decimal(&'a str),
    /// `BigInteger`: its digits.
    BigInteger(&'a str),
}

/// The values of one kind in one place.
#[derive(Debug)]
enum Store {
    Boolean(Vec<bool>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    /// Ends and bytes of texts and byte arrays.
    Bytes(Vec<i32>, Vec<u8>),
}

/// One place: the root, a member, or the items of a list.
#[derive(Debug, Default)]
struct Node {
    kinds: Vec<u8>,
    stores: Vec<(Kind, Store)>,
    /// Ends of lists in the items.
    ends: Vec<i32>,
    item: Option<usize>,
    /// Members, in the order in which they came.
    members: Vec<(Arc<str>, usize)>,
    places: HashMap<Arc<str>, usize>,
    /// The member that is likely to be named next.
    next: usize,
    has_maps: bool,
    /// The rows that it shares with others: those of the batch, or the items of one list.
    domain: usize,
}

/// A container that is open: its node, its row there, and whether it is a map.
#[derive(Debug, Clone, Copy)]
struct Frame {
    node: usize,
    row: usize,
    is_map: bool,
}

/// Grows a dynamic column, value by value.
#[derive(Debug)]
pub struct Builder {
    nodes: Vec<Node>,
    /// How many nodes share the rows of each list's items, and of the batch; and the node that tells how many rows there are.
    domains: Vec<(usize, usize)>,
    open: Vec<Frame>,
    /// Node and row of the value that comes next.
    target: (usize, usize),
    rows: usize,
    /// Unescaped names and texts.
    text: Vec<u8>,
    /// Why the row that is being read cannot be taken.
    fault: Option<&'static str>,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

const DEEP: &str = "nests deeper than the 100 levels that columns have";
const FULL: &str = "does not fit: the column holds 2 GiB already; let the consumer fetch less at once";

impl Builder {
    /// No rows.
    #[must_use]
    pub fn new() -> Self {
        Self { nodes: vec![Node::default()], domains: vec![(1, 0)], open: Vec::new(), target: (0, 0), rows: 0, text: Vec::new(), fault: None }
    }

    /// Adds a value: a row, a member's value after its key, or an item.
    pub fn value(&mut self, value: Value<'_>) {
        if self.fault.is_some() {
            return self.end();
        }
        let (node, row) = self.begin();
        let Some(node) = self.nodes.get_mut(node) else { return };
        if !node.put(row, value) {
            self.fault = Some(FULL);
        }
        self.end();
    }

    /// A map begins; keys and values follow.
    pub fn open_map(&mut self) {
        self.open(true);
    }

    /// A list begins; items follow.
    pub fn open_list(&mut self) {
        self.open(false);
    }

    /// Names the member of which the value follows.
    pub fn key(&mut self, name: &str) {
        if self.fault.is_none()
            && let Some(frame) = self.open.last().copied()
        {
            let member = self.member(frame.node, name);
            self.truncate(member, frame.row);
            self.target = (member, frame.row);
        }
    }

    /// The innermost map or list ends.
    pub fn close(&mut self) {
        let Some(frame) = self.open.pop() else { return };
        if !frame.is_map && self.fault.is_none() {
            let items = self.nodes.get(frame.node).and_then(|node| node.item).and_then(|item| self.nodes.get(item)).map_or(0, |item| item.kinds.len());
            match (self.nodes.get_mut(frame.node), i32::try_from(items)) {
                (Some(node), Ok(end)) => node.ends.push(end),
                _ => self.fault = Some(FULL),
            }
        }
        self.end();
    }

    /// Node and row of the value that comes now.
    fn begin(&mut self) -> (usize, usize) {
        match self.open.last() {
            Some(frame) if !frame.is_map => {
                let item = self.nodes.get(frame.node).and_then(|node| node.item).unwrap_or_default();
                (item, self.nodes.get(item).map_or(0, |node| node.kinds.len()))
            }
            _ => self.target,
        }
    }

    fn open(&mut self, is_map: bool) {
        if self.open.len() >= MAX_DEPTH {
            self.fault = Some(DEEP);
        }
        if self.fault.is_some() {
            return self.open.push(Frame { node: 0, row: 0, is_map });
        }
        let (at, row) = self.begin();
        if let Some(node) = self.nodes.get_mut(at) {
            node.pad(row);
            node.kinds.push(if is_map { Kind::Map } else { Kind::List } as u8);
            node.has_maps |= is_map;
            node.next = 0;
            if !is_map {
                let last = node.ends.last().copied().unwrap_or(0);
                node.ends.resize(row, last);
            }
        }
        if !is_map && self.nodes.get(at).is_some_and(|node| node.item.is_none()) {
            let item = self.nodes.len();
            self.domains.push((1, item));
            self.nodes.push(Node { domain: self.domains.len() - 1, ..Node::default() });
            if let Some(node) = self.nodes.get_mut(at) {
                node.item = Some(item);
            }
        }
        self.open.push(Frame { node: at, row, is_map });
    }

    /// A value is complete.
    fn end(&mut self) {
        if self.open.is_empty() {
            self.rows += 1;
            self.target = (0, self.rows);
        }
    }

    /// The node of a member.
    fn member(&mut self, parent: usize, name: &str) -> usize {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(parent) else { return 0 };
        let at = match node.members.get(node.next) {
            Some((known, _)) if **known == *name => node.next,
            _ => match node.places.get(name) {
                Some(at) => *at,
                None => {
                    let name: Arc<str> = Arc::from(name);
                    node.members.push((Arc::clone(&name), new));
                    node.places.insert(name, node.members.len() - 1);
                    let domain = node.domain;
                    node.next = node.members.len();
                    if let Some(shared) = self.domains.get_mut(domain) {
                        shared.0 += 1;
                    }
                    self.nodes.push(Node { domain, ..Node::default() });
                    return new;
                }
            },
        };
        node.next = at + 1;
        node.members.get(at).map_or(0, |member| member.1)
    }

    /// Takes rows from `row` on back out of a node, and what is in them.
    fn truncate(&mut self, at: usize, row: usize) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        if node.kinds.len() <= row {
            return;
        }
        node.truncate(row);
        let items = node.ends.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
        let (item, members): (_, Vec<usize>) = (node.item, node.members.iter().map(|member| member.1).collect());
        if let Some(item) = item {
            self.truncate(item, items);
        }
        members.into_iter().for_each(|member| self.truncate(member, row));
    }

    /// Ends what is open, and replaces the row that was begun by a null, with the reason why.
    fn take_back(&mut self) -> Option<&'static str> {
        self.open.clear();
        let fault = self.fault.take();
        if let Some(row) = self.rows.checked_sub(1).filter(|_| fault.is_some()) {
            self.give_up(row);
        }
        fault
    }

    /// Makes a row null, and drops what came after it.
    fn give_up(&mut self, row: usize) {
        self.open.clear();
        self.truncate(0, row);
        (self.rows, self.target) = (row, (0, row));
        self.value(Value::Null);
    }

    /// Kinds that the column has by now, values beside them not counted.
    fn cells(&self) -> usize {
        let rows = |node: usize| self.nodes.get(node).map_or(0, |node| node.kinds.len() + 1);
        self.domains.iter().map(|(nodes, first)| nodes.saturating_mul(rows(*first))).sum()
    }

    /// The rows as a column.
    ///
    /// # Errors
    /// When what was given is no series of values, such as a key without a map.
    pub fn finish(mut self) -> Result<Dynamic, ArrowError> {
        let rows = self.rows;
        self.finish_node(0, rows)
    }

    fn finish_node(&mut self, at: usize, rows: usize) -> Result<Dynamic, ArrowError> {
        let Some(mut node) = self.nodes.get_mut(at).map(std::mem::take) else { return Ok(Dynamic::none(Kind::Null, rows)) };
        node.pad(rows);
        let kinds = std::mem::take(&mut node.kinds);
        let mut lanes: Vec<(Kind, ArrayRef)> = Vec::with_capacity(node.stores.len() + 1);
        for (kind, store) in node.stores {
            let valid = BooleanBuffer::collect_bool(rows, |row| kinds.get(row) == Some(&(kind as u8)));
            lanes.push((kind, store.finish(kind, rows, NullBuffer::new(valid))?));
        }
        if let Some(item) = node.item {
            let items = node.ends.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
            let item = self.finish_node(item, items)?.0;
            node.ends.resize(rows, node.ends.last().copied().unwrap_or(0));
            let offsets = OffsetBuffer::new(ScalarBuffer::from_iter(std::iter::once(0).chain(node.ends)));
            let field = Arc::new(Field::new("item", item.data_type().clone(), false));
            lanes.push((Kind::List, Arc::new(ListArray::try_new(field, offsets, Arc::new(item), None)?)));
        }
        if node.has_maps {
            let mut fields = Vec::with_capacity(node.members.len());
            let mut columns: Vec<ArrayRef> = Vec::with_capacity(node.members.len());
            for (name, member) in node.members {
                let member = self.finish_node(member, rows)?.0;
                fields.push(Field::new(name.as_ref(), member.data_type().clone(), false));
                columns.push(Arc::new(member));
            }
            lanes.push((Kind::Map, Arc::new(StructArray::try_new_with_length(Fields::from(fields), columns, None, rows)?)));
        }
        Ok(Dynamic::assemble(kinds, lanes))
    }
}

impl Node {
    /// Rows up to this one are absent where nothing came.
    fn pad(&mut self, rows: usize) {
        self.kinds.resize(rows, Kind::Absent as u8);
    }

    /// Sets a row behind the last; false when there is no more room.
    fn put(&mut self, row: usize, value: Value<'_>) -> bool {
        self.pad(row);
        let kind = value.kind();
        self.kinds.push(kind as u8);
        if kind == Kind::Null {
            return true;
        }
        let at = self.stores.iter().position(|(known, _)| *known == kind).unwrap_or_else(|| {
            self.stores.push((kind, Store::new(kind)));
            self.stores.len() - 1
        });
        self.stores.get_mut(at).is_none_or(|(_, store)| store.put(row, value))
    }

    fn truncate(&mut self, row: usize) {
        self.kinds.truncate(row);
        self.ends.truncate(row);
        self.stores.iter_mut().for_each(|(_, store)| store.truncate(row));
    }
}

impl Value<'_> {
    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Boolean(_) => Kind::Boolean,
            Self::Int8(_) => Kind::Int8,
            Self::Int16(_) => Kind::Int16,
            Self::Int32(_) => Kind::Int32,
            Self::Int64(_) => Kind::Int64,
            Self::Float32(_) => Kind::Float32,
            Self::Float64(_) => Kind::Float64,
            Self::String(_) => Kind::String,
            Self::Bytes(_) => Kind::Bytes,
            Self::Date(_) => Kind::Date,
            Self::Decimal(_) => Kind::Decimal,
            Self::BigInteger(_) => Kind::BigInteger,
        }
    }
}

fn set<T: Copy + Default>(values: &mut Vec<T>, row: usize, value: T) {
    values.resize(row, T::default());
    values.push(value);
}

fn primitive<T: ArrowPrimitiveType>(mut values: Vec<T::Native>, rows: usize, nulls: NullBuffer) -> Result<ArrayRef, ArrowError> {
    values.resize(rows, T::Native::default());
    Ok(Arc::new(PrimitiveArray::<T>::try_new(values.into(), Some(nulls))?))
}

impl Store {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Boolean => Self::Boolean(Vec::new()),
            Kind::Int8 => Self::Int8(Vec::new()),
            Kind::Int16 => Self::Int16(Vec::new()),
            Kind::Int32 => Self::Int32(Vec::new()),
            Kind::Int64 | Kind::Date => Self::Int64(Vec::new()),
            Kind::Float32 => Self::Float32(Vec::new()),
            Kind::Float64 => Self::Float64(Vec::new()),
            _ => Self::Bytes(Vec::new(), Vec::new()),
        }
    }

    fn put(&mut self, row: usize, value: Value<'_>) -> bool {
        match (self, value) {
            (Self::Boolean(values), Value::Boolean(value)) => set(values, row, value),
            (Self::Int8(values), Value::Int8(value)) => set(values, row, value),
            (Self::Int16(values), Value::Int16(value)) => set(values, row, value),
            (Self::Int32(values), Value::Int32(value)) => set(values, row, value),
            (Self::Int64(values), Value::Int64(value) | Value::Date(value)) => set(values, row, value),
            (Self::Float32(values), Value::Float32(value)) => set(values, row, value),
            (Self::Float64(values), Value::Float64(value)) => set(values, row, value),
            (Self::Bytes(ends, data), Value::String(text) | Value::Decimal(text) | Value::BigInteger(text)) => {
                return put_bytes(ends, data, row, text.as_bytes());
            }
            (Self::Bytes(ends, data), Value::Bytes(bytes)) => return put_bytes(ends, data, row, bytes),
            _ => {}
        }
        true
    }

    fn truncate(&mut self, row: usize) {
        match self {
            Self::Boolean(values) => values.truncate(row),
            Self::Int8(values) => values.truncate(row),
            Self::Int16(values) => values.truncate(row),
            Self::Int32(values) => values.truncate(row),
            Self::Int64(values) => values.truncate(row),
            Self::Float32(values) => values.truncate(row),
            Self::Float64(values) => values.truncate(row),
            Self::Bytes(ends, data) => {
                ends.truncate(row);
                data.truncate(ends.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0));
            }
        }
    }

    fn finish(self, kind: Kind, rows: usize, nulls: NullBuffer) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Boolean(mut values) => {
                values.resize(rows, false);
                Ok(Arc::new(BooleanArray::new(BooleanBuffer::from(values), Some(nulls))))
            }
            Self::Int8(values) => primitive::<Int8Type>(values, rows, nulls),
            Self::Int16(values) => primitive::<Int16Type>(values, rows, nulls),
            Self::Int32(values) => primitive::<Int32Type>(values, rows, nulls),
            Self::Int64(mut values) if kind == Kind::Date => {
                values.resize(rows, 0);
                Ok(Arc::new(TimestampMillisecondArray::try_new(values.into(), Some(nulls))?.with_timezone("UTC")))
            }
            Self::Int64(values) => primitive::<Int64Type>(values, rows, nulls),
            Self::Float32(values) => primitive::<Float32Type>(values, rows, nulls),
            Self::Float64(values) => primitive::<Float64Type>(values, rows, nulls),
            Self::Bytes(mut ends, data) => {
                ends.resize(rows, ends.last().copied().unwrap_or(0));
                let offsets = OffsetBuffer::new(ScalarBuffer::from_iter(std::iter::once(0).chain(ends)));
                let data = Buffer::from_vec(data);
                Ok(match kind {
                    Kind::Bytes => Arc::new(BinaryArray::try_new(offsets, data, Some(nulls))?),
                    _ => Arc::new(StringArray::try_new(offsets, data, Some(nulls))?),
                })
            }
        }
    }
}

fn put_bytes(ends: &mut Vec<i32>, data: &mut Vec<u8>, row: usize, bytes: &[u8]) -> bool {
    let last = ends.last().copied().unwrap_or(0);
    ends.resize(row, last);
    let Ok(end) = i32::try_from(data.len().saturating_add(bytes.len())) else {
        ends.push(last);
        return false;
    };
    data.extend_from_slice(bytes);
    ends.push(end);
    true
}

impl Events for Builder {
    fn null(&mut self) {
        self.value(Value::Null);
    }

    fn boolean(&mut self, value: bool) {
        self.value(Value::Boolean(value));
    }

    fn integer(&mut self, value: i64) {
        self.value(Value::Int64(value));
    }

    fn wide_integer(&mut self, digits: &[u8], _nearest: f64) {
        self.value(Value::Int64(low_half(digits)));
    }

    fn double(&mut self, value: f64) {
        self.value(Value::Float64(value));
    }

    fn string(&mut self, text: Quoted<'_>) {
        let mut own = std::mem::take(&mut self.text);
        match text.plain().and_then(|plain| std::str::from_utf8(plain).ok()) {
            Some(plain) => self.value(Value::String(plain)),
            None => {
                own.clear();
                text.push_to(&mut own);
                self.value(Value::String(&String::from_utf8_lossy(&own)));
            }
        }
        self.text = own;
    }

    fn key(&mut self, name: Quoted<'_>) {
        let mut own = std::mem::take(&mut self.text);
        match name.plain().and_then(|plain| std::str::from_utf8(plain).ok()) {
            Some(plain) => self.key(plain),
            None => {
                own.clear();
                name.push_to(&mut own);
                self.key(&String::from_utf8_lossy(&own));
            }
        }
        self.text = own;
    }

    fn open(&mut self, object: bool) {
        self.open(object);
    }

    fn close(&mut self, _object: bool) {
        self.close();
    }
}

/// The low 64 bits of an integer, as `BigInteger.longValue` gives them.
fn low_half(digits: &[u8]) -> i64 {
    let magnitude = digits.iter().filter(|byte| byte.is_ascii_digit()).fold(0_i64, |value, digit| value.wrapping_mul(10).wrapping_add(i64::from(digit - b'0')));
    if digits.first() == Some(&b'-') { magnitude.wrapping_neg() } else { magnitude }
}

/// What [`read_json`] made of some rows.
#[derive(Debug)]
pub struct Read {
    /// The rows that were read: the first ones. A rejected row is null in it.
    pub values: Dynamic,
    /// Rows that are no JSON, or nest too deep; ascending.
    pub rejects: Vec<Reject>,
}

/// Cells that a column takes at most, one for each row and place in it: 10,000 rows of 200 keys.
const MOST_CELLS: usize = 2_000_000;

/// Reads JSON texts; a null among them is a null. Reads one row, or as many as there are until the column would become large by their many keys: the caller
/// goes on with the others.
///
/// # Errors
/// When the arrays cannot be put together, which is a defect.
pub fn read_json(texts: &StringArray) -> Result<Read, ArrowError> {
    read_bounded(texts, MOST_CELLS)
}

pub(super) fn read_bounded(texts: &StringArray, most_cells: usize) -> Result<Read, ArrowError> {
    let mut builder = Builder::new();
    let mut rejects = Vec::new();
    for row in 0..texts.len() {
        if row > 0 && builder.cells() > most_cells {
            break;
        }
        if texts.is_null(row) {
            builder.value(Value::Null);
            continue;
        }
        if let Err(reason) = read(texts.value(row).as_bytes(), &mut builder) {
            builder.fault = None;
            builder.give_up(row);
            rejects.push(Reject { row, reason });
        } else if let Some(fault) = builder.take_back() {
            rejects.push(Reject { row, reason: format!("the value {fault}") });
        }
    }
    Ok(Read { values: builder.finish()?, rejects })
}
