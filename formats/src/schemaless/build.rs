//! Values, one after the other → a dynamic column; and JSON text, which is read so.
//!
//! The values of one place in all rows are a node: its kinds, and a store for each kind that has come. A node is as long as the last row that had something
//! there; what lies between is filled in when the next value comes, so that a key that most rows lack costs nothing but its kinds. Rows have no columnar form
//! before they are read, so this is a loop over them; nothing is allocated for a row once every key has been seen.
//!
//! What a row has put where is written down until the next row begins, so that taking it back costs no more than putting it there did. A row that names members in
//! another order than the rows before it gets ranks (see [`super::order`]).
//!
//! Numbers are what Connect's `JsonConverter` makes of them without a schema: those without point and exponent are longs, of which the low 64 bits count,
//! all others doubles. Of members of one name the last counts, in the place of the first.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, BooleanArray, ListArray, PrimitiveArray, StringArray, StructArray, TimestampMillisecondArray, UInt32Array};
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
    /// The rows that it shares with others: those of the batch, or the items of one list.
    domain: usize,
    /// Its rank in rows that have one.
    ranks: Vec<u32>,
    map: OpenMap,
}

/// What is known of the members of the map that is being read, and of those before it in the same row of the batch.
#[derive(Debug, Default)]
struct OpenMap {
    /// The row of the batch.
    of: usize,
    /// Own row and member, in the order in which they came.
    log: Vec<(usize, usize)>,
    /// How many members the map has so far.
    count: u32,
    /// The member after the last one that came in the order of the columns.
    next: usize,
    /// A member came out of order: all of this map have ranks.
    is_ranked: bool,
}

/// No rank.
const NONE: u32 = u32::MAX;

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
    /// How many nodes share the rows of each list's items, and of the batch; and how many rows those are.
    domains: Vec<(usize, usize)>,
    /// Bytes that the nodes have taken, about.
    bytes: usize,
    open: Vec<Frame>,
    /// Node and row of the value that comes next.
    target: (usize, usize),
    rows: usize,
    /// Unescaped names and texts.
    text: Vec<u8>,
    /// Why the row that is being read cannot be taken.
    fault: Option<&'static str>,
    /// Places that were looked at to take something back.
    #[cfg(test)]
    pub(super) taken_back: usize,
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
        Self {
            nodes: vec![Node::default()],
            domains: vec![(1, 0)],
            bytes: 0,
            open: Vec::new(),
            target: (0, 0),
            rows: 0,
            text: Vec::new(),
            fault: None,
            #[cfg(test)]
            taken_back: 0,
        }
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
            let (at, member) = self.member(frame.node, name);
            let again = self.nodes.get(member).filter(|node| node.kinds.len() > frame.row).map(|node| node.ranks.get(frame.row).copied());
            match again {
                None => self.put_in_order(frame, at, member),
                Some(rank) => {
                    self.truncate(member, frame.row, self.rows);
                    self.rank(member, frame.row, rank.unwrap_or(NONE));
                }
            }
            self.target = (member, frame.row);
        }
    }

    /// A member comes for the first time in its map: writes down that it did, and ranks the map's members where they are not in the order of the columns.
    fn put_in_order(&mut self, Frame { node, row, .. }: Frame, at: usize, member: usize) {
        let rows = self.rows;
        let Some(Node { map, members, .. }) = self.nodes.get_mut(node) else { return };
        if map.of != rows {
            map.log.clear();
            map.of = rows;
        }
        let rank = map.count;
        map.count += 1;
        map.log.push((row, at));
        if map.is_ranked {
            return self.rank(member, row, rank);
        }
        if at >= map.next {
            map.next = at + 1;
            return;
        }
        map.is_ranked = true;
        let before = map.log.iter().rev().take_while(|(own, _)| *own == row);
        let ranks = (0..=rank).rev().zip(before).filter_map(|(rank, (_, at))| Some((rank, members.get(*at)?.1)));
        let ranks: Vec<(u32, usize)> = ranks.collect();
        ranks.into_iter().for_each(|(rank, member)| self.rank(member, row, rank));
    }

    fn rank(&mut self, member: usize, row: usize, rank: u32) {
        if let Some(node) = self.nodes.get_mut(member).filter(|_| rank != NONE) {
            node.ranks.resize(row, NONE);
            node.ranks.push(rank);
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
                let (row, domain) = self.nodes.get(item).map_or((0, 0), |node| (node.kinds.len(), node.domain));
                self.another_row(domain);
                (item, row)
            }
            _ => self.target,
        }
    }

    fn another_row(&mut self, domain: usize) {
        if let Some((nodes, rows)) = self.domains.get_mut(domain) {
            *rows += 1;
            self.bytes = self.bytes.saturating_add(nodes.saturating_mul(CELL_BYTES));
        }
    }

    fn another_node(&mut self, domain: usize) {
        if let Some((nodes, rows)) = self.domains.get_mut(domain) {
            *nodes += 1;
            self.bytes = self.bytes.saturating_add(NODE_BYTES + rows.saturating_mul(CELL_BYTES));
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
            node.next = 0;
            (node.map.count, node.map.next, node.map.is_ranked) = (0, 0, false);
            if !is_map {
                let last = node.ends.last().copied().unwrap_or(0);
                node.ends.resize(row, last);
            }
        }
        if !is_map && self.nodes.get(at).is_some_and(|node| node.item.is_none()) {
            let item = self.nodes.len();
            self.domains.push((0, 0));
            self.another_node(self.domains.len() - 1);
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
            self.another_row(0);
        }
    }

    /// The number of a member among those of its parent, and its node.
    fn member(&mut self, parent: usize, name: &str) -> (usize, usize) {
        let new = self.nodes.len();
        let Some(node) = self.nodes.get_mut(parent) else { return (0, 0) };
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
                    let at = node.members.len() - 1;
                    self.another_node(domain);
                    self.nodes.push(Node { domain, ..Node::default() });
                    return (at, new);
                }
            },
        };
        node.next = at + 1;
        (at, node.members.get(at).map_or(0, |member| member.1))
    }

    /// Takes rows from `row` on back out of a node, and what is in them: all of it was put there while the row `of` of the batch was read.
    fn truncate(&mut self, at: usize, row: usize, of: usize) {
        #[cfg(test)]
        {
            self.taken_back += 1;
        }
        let Some(node) = self.nodes.get_mut(at) else { return };
        node.ranks.truncate(row);
        if node.kinds.len() <= row {
            return;
        }
        node.truncate(row);
        let items = node.ends.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
        let kept = if node.map.of == of { node.map.log.partition_point(|(own, _)| *own < row) } else { node.map.log.len() };
        let taken: Vec<usize> = node.map.log.drain(kept..).filter_map(|(_, member)| Some(node.members.get(member)?.1)).collect();
        if let Some(item) = node.item {
            self.truncate(item, items, of);
        }
        taken.into_iter().for_each(|member| self.truncate(member, row, of));
    }

    /// Reads the next row; one that cannot be read, or not be taken, is null.
    pub(super) fn read_row(&mut self, row: usize, text: &str) -> Result<Option<&'static str>, String> {
        if let Err(reason) = read(text.as_bytes(), self) {
            self.fault = None;
            self.give_up(row);
            return Err(reason);
        }
        Ok(self.take_back())
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
        self.truncate(0, row, row);
        (self.rows, self.target) = (row, (0, row));
        self.value(Value::Null);
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
        // What only rows that were taken back had leaves nothing behind.
        if let Some(item) = node.item.filter(|_| kinds.contains(&(Kind::List as u8))) {
            let items = node.ends.last().and_then(|end| usize::try_from(*end).ok()).unwrap_or(0);
            let item = self.finish_node(item, items)?.0;
            node.ends.resize(rows, node.ends.last().copied().unwrap_or(0));
            let offsets = OffsetBuffer::new(ScalarBuffer::from_iter(std::iter::once(0).chain(node.ends)));
            let field = Arc::new(Field::new("item", item.data_type().clone(), false));
            lanes.push((Kind::List, Arc::new(ListArray::try_new(field, offsets, Arc::new(item), None)?)));
        }
        if kinds.contains(&(Kind::Map as u8)) {
            let mut fields = Vec::with_capacity(node.members.len());
            let mut columns: Vec<ArrayRef> = Vec::with_capacity(node.members.len());
            for (name, member) in node.members {
                if self.nodes.get(member).is_none_or(|node| node.kinds.iter().all(|kind| *kind == Kind::Absent as u8)) {
                    continue;
                }
                let member = self.finish_node(member, rows)?.0;
                fields.push(Field::new(name.as_ref(), member.data_type().clone(), false));
                columns.push(Arc::new(member));
            }
            lanes.push((Kind::Map, Arc::new(StructArray::try_new_with_length(Fields::from(fields), columns, None, rows)?)));
        }
        let ranks = (!node.ranks.is_empty()).then(|| {
            node.ranks.resize(rows, NONE);
            node.ranks.iter().map(|rank| Some(*rank).filter(|rank| *rank != NONE)).collect::<UInt32Array>()
        });
        Ok(Dynamic::assemble(kinds, lanes).with_rank(ranks))
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

/// What a place costs beside its rows: the arrays and the field that it becomes.
const NODE_BYTES: usize = 1 << 10;
/// What a place costs in each row: its kind, a number, the bit that says whether it is there.
const CELL_BYTES: usize = 10;
/// Bytes that a column takes at most, texts beside them not counted: 10,000 rows of 200 keys.
const MOST_BYTES: usize = 20 << 20;

/// Reads JSON texts; a null among them is a null. Reads one row, or as many as there are until the column would become large by their many keys: the caller
/// goes on with the others.
///
/// # Errors
/// When the arrays cannot be put together, which is a defect.
pub fn read_json(texts: &StringArray) -> Result<Read, ArrowError> {
    read_json_within(texts, MOST_BYTES)
}

/// The same with another measure of what is large, in bytes.
///
/// # Errors
/// As [`read_json`].
pub fn read_json_within(texts: &StringArray, most_bytes: usize) -> Result<Read, ArrowError> {
    let mut builder = Builder::new();
    let mut rejects = Vec::new();
    for row in 0..texts.len() {
        if row > 0 && builder.bytes > most_bytes {
            break;
        }
        if texts.is_null(row) {
            builder.value(Value::Null);
            continue;
        }
        match builder.read_row(row, texts.value(row)) {
            Ok(None) => {}
            Ok(Some(fault)) => rejects.push(Reject { row, reason: format!("the value {fault}") }),
            Err(reason) => rejects.push(Reject { row, reason }),
        }
    }
    Ok(Read { values: builder.finish()?, rejects })
}
