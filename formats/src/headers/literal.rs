//! A text → a value with a schema, as `org.apache.kafka.connect.data.Values.parseString` reads it: what a header says, and `InsertHeader`'s literal.
//!
//! | text | becomes |
//! |---|---|
//! | `null`, blanks around it or not | no value |
//! | `true`, `false` | boolean |
//! | `5`, `1.0`, `1e3` | the smallest of int8 to int64 that holds it: `1.0` is 1 |
//! | `1.5`, `3.4e39` | float32 where it is finite there, else float64 |
//! | `9223372036854775808`, `1e400` | decimal |
//! | `2019-08-23`, `14:34:54.346Z`, `2019-08-23T14:34:54.346Z` | date, time, timestamp; colons may be escaped |
//! | `[1, 300]`, `{"a": 1}` | array, map; their numbers widen to a common type, strings in them are quoted |
//! | anything else, quoted texts too | string, as it is |
//!
//! The tokens and the way back from a text that begins like an array and is none are upstream's: some texts are only what they are because of it.
//!
//! Difference: arrays and maps nested deeper than [`MAX_DEPTH`] are strings; upstream's stack ends later.
//!
//! Guarantee: no text panics or overflows the stack.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::tokens::Tokens;
use crate::dates::DateFormat;
use crate::value::decimal::BigDecimal;

/// Arrays and maps are read down to here.
pub const MAX_DEPTH: usize = 100;

/// A value that a text stood for.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `null`.
    Null,
    /// boolean
    Boolean(bool),
    /// int8
    Int8(i8),
    /// int16
    Int16(i16),
    /// int32
    Int32(i32),
    /// int64
    Int64(i64),
    /// float32
    Float32(f32),
    /// float64
    Float64(f64),
    /// A decimal of its own scale.
    Decimal(BigDecimal),
    /// string
    String(String),
    /// An instant at midnight UTC, in ms since the epoch.
    Date(i64),
    /// ms since midnight.
    Time(i64),
    /// ms since the epoch.
    Timestamp(i64),
    /// Items, of one type where `schema` says so.
    Array(Vec<Self>),
    /// Keys and values in the order in which they stood there.
    Map(Vec<(Self, Self)>),
}

/// The schema of a literal. It is never optional.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Type {
    /// boolean
    Boolean,
    /// int8
    Int8,
    /// int16
    Int16,
    /// int32
    Int32,
    /// int64
    Int64,
    /// float32
    Float32,
    /// float64
    Float64,
    /// Decimal of that scale.
    Decimal(i32),
    /// string
    String,
    /// Date
    Date,
    /// Time
    Time,
    /// Timestamp
    Timestamp,
    /// Array; none where its items have no common type, or there are none.
    Array(Option<Box<Self>>),
    /// Map; none likewise.
    Map(Option<Box<Self>>, Option<Box<Self>>),
}

impl Type {
    /// Where a number's type is in the order of widening.
    fn rank(&self) -> Option<u8> {
        Some(match self {
            Self::Int8 => 0,
            Self::Int16 => 1,
            Self::Int32 | Self::Date | Self::Time => 2,
            Self::Int64 | Self::Timestamp => 3,
            Self::Float32 => 4,
            Self::Float64 => 5,
            _ => return None,
        })
    }

    /// `Schema.Type`: logical types are what they are made of.
    fn is_same_kind(&self, other: &Self) -> bool {
        match (self.rank(), other.rank()) {
            (Some(a), Some(b)) => a == b,
            (None, None) => std::mem::discriminant(self) == std::mem::discriminant(other),
            _ => false,
        }
    }

    /// The type that holds values of both; none when there is none. Of two types of one kind it is the later one, whatever is in them.
    fn merge(self, later: &Self) -> Option<Self> {
        if self.is_same_kind(later) {
            return Some(later.clone());
        }
        match (self.rank()?, later.rank()?) {
            (a, b) if a < b => Some(later.clone()),
            _ => Some(self),
        }
    }
}

/// What a text is: a value and its schema; none for `null`.
pub type Parsed = Option<(Type, Literal)>;

/// Reads a text.
#[must_use]
pub fn parse(text: &str) -> Parsed {
    let string = || Some((Type::String, Literal::String(text.to_owned())));
    if text.is_empty() {
        return string();
    }
    Reader { tokens: Tokens::new(text), depth: 0 }.value(false).unwrap_or_else(|Failed| string())
}

/// What upstream throws where an array or a map is none.
#[derive(Debug)]
struct Failed;

struct Reader<'a> {
    tokens: Tokens<'a>,
    depth: usize,
}

impl Reader<'_> {
    fn value(&mut self, embedded: bool) -> Result<Parsed, Failed> {
        if !self.tokens.has_next() {
            return Ok(None);
        }
        if embedded && self.tokens.consume("\"") {
            return Ok(Some(self.quoted()));
        }
        if self.single_token(embedded, "null") {
            return Ok(None);
        }
        for (token, value) in [("true", true), ("false", false)] {
            if self.single_token(embedded, token) {
                return Ok(Some((Type::Boolean, Literal::Boolean(value))));
            }
        }
        let start = self.tokens.mark();
        if let Some(nested) = self.nested() {
            match nested {
                Ok(found) => return Ok(Some(found)),
                Err(Failed) => self.tokens.rewind(start),
            }
        }
        let token = self.tokens.next().to_owned();
        if is_blank(&token) {
            return Ok(Some((Type::String, Literal::String(token))));
        }
        self.plain(embedded, trimmed(&token))
    }

    /// An array or a map that begins here; none when nothing of the kind does.
    fn nested(&mut self) -> Option<Result<(Type, Literal), Failed>> {
        let is_array = self.tokens.consume("[");
        if !is_array && !self.tokens.consume("{") {
            return None;
        }
        if self.depth >= MAX_DEPTH {
            return Some(Err(Failed));
        }
        self.depth += 1;
        let found = if is_array { self.array() } else { self.map() };
        self.depth -= 1;
        Some(found)
    }

    fn single_token(&mut self, embedded: bool, token: &str) -> bool {
        let start = self.tokens.mark();
        if self.tokens.consume(token) && (embedded || !self.tokens.has_next()) {
            return true;
        }
        self.tokens.rewind(start);
        false
    }

    fn plain(&mut self, embedded: bool, token: &str) -> Result<Parsed, Failed> {
        let is_digit = token.starts_with(|c: char| c.is_ascii_digit());
        if is_digit && let Some(found) = self.split_temporal(token) {
            return Ok(Some(found));
        }
        if (is_digit || token.starts_with(['+', '-']))
            && let Some(number) = BigDecimal::parse(token)
        {
            return Ok(Some(of_number(number)));
        }
        if embedded { Err(Failed) } else { Ok(Some((Type::String, Literal::String(self.tokens.text().to_owned())))) }
    }

    /// A time or a timestamp, whose colons are tokens of their own, or what one token is.
    fn split_temporal(&mut self, token: &str) -> Option<(Type, Literal)> {
        let position = self.tokens.mark();
        if let Some(rest) = self.tokens.take(4)
            && let Some(found) = temporal(&format!("{token}{rest}"))
        {
            return Some(found);
        }
        self.tokens.rewind(position);
        temporal(token)
    }

    fn quoted(&mut self) -> (Type, Literal) {
        let mut text = String::new();
        while self.tokens.has_next() && !self.tokens.consume("\"") {
            text.push_str(self.tokens.next());
        }
        temporal(&text).unwrap_or((Type::String, Literal::String(text)))
    }

    fn array(&mut self) -> Result<(Type, Literal), Failed> {
        let (mut items, mut common) = (Vec::new(), Common::default());
        while self.tokens.has_next() {
            if self.tokens.consume("]") {
                let kind = common.0.flatten();
                let items = aligned(items, kind.as_ref())?;
                return Ok((Type::Array(kind.map(Box::new)), Literal::Array(items)));
            }
            if self.tokens.consume(",") {
                return Err(Failed);
            }
            let item = self.value(true)?;
            items.push(common.merge(item));
            let position = self.tokens.mark();
            if self.tokens.consume("]") {
                self.tokens.rewind(position);
            } else if !self.tokens.consume(",") {
                return Err(Failed);
            }
        }
        Err(Failed)
    }

    fn map(&mut self) -> Result<(Type, Literal), Failed> {
        let (mut entries, mut keys, mut values) = (Entries::default(), Common::default(), Common::default());
        while self.tokens.has_next() {
            if self.tokens.consume("}") {
                return of_map(entries, keys.0.flatten(), values.0.flatten());
            }
            if self.tokens.consume(",") {
                return Err(Failed);
            }
            let key = self.value(true)?;
            if key.is_none() || !self.tokens.consume(":") {
                return Err(Failed);
            }
            let value = self.value(true)?;
            self.tokens.consume(",");
            entries.put(keys.merge(key), values.merge(value));
        }
        Err(Failed)
    }
}

/// The common type of what was merged: none yet, or none at all (`Some(None)`).
#[derive(Default)]
struct Common(Option<Option<Type>>);

impl Common {
    fn merge(&mut self, parsed: Parsed) -> Literal {
        let Some((kind, literal)) = parsed else { return Literal::Null };
        self.0 = Some(match self.0.take() {
            None => Some(kind),
            Some(common) => common.and_then(|common| common.merge(&kind)),
        });
        literal
    }
}

/// A map's entries; a key that is there already keeps its place and has the later value.
#[derive(Default)]
struct Entries {
    all: Vec<(Literal, Literal)>,
    /// Where each key is, by all that it says of itself.
    places: HashMap<String, usize>,
}

impl Entries {
    fn put(&mut self, key: Literal, value: Literal) {
        match self.places.entry(format!("{key:?}")) {
            Entry::Occupied(place) => {
                if let Some(entry) = self.all.get_mut(*place.get()) {
                    entry.1 = value;
                }
            }
            Entry::Vacant(place) => {
                place.insert(self.all.len());
                self.all.push((key, value));
            }
        }
    }
}

fn of_map(entries: Entries, keys: Option<Type>, values: Option<Type>) -> Result<(Type, Literal), Failed> {
    // Values alone have no schema: upstream has none for a map without one for its keys.
    let values = if keys.is_some() { values } else { None };
    let mut aligned = Entries::default();
    for (key, value) in entries.all {
        aligned.put(convert_or_same(key, keys.as_ref())?, convert_or_same(value, values.as_ref())?);
    }
    Ok((Type::Map(keys.map(Box::new), values.map(Box::new)), Literal::Map(aligned.all)))
}

fn aligned(items: Vec<Literal>, kind: Option<&Type>) -> Result<Vec<Literal>, Failed> {
    items.into_iter().map(|item| convert_or_same(item, kind)).collect()
}

fn convert_or_same(literal: Literal, kind: Option<&Type>) -> Result<Literal, Failed> {
    match kind {
        Some(kind) => convert(literal, kind),
        None => Ok(literal),
    }
}

/// `Values.convertTo` between the types that merge; a null has no place where there is a type.
fn convert(literal: Literal, kind: &Type) -> Result<Literal, Failed> {
    Ok(match (kind, literal) {
        (_, Literal::Null) => return Err(Failed),
        (Type::Int8, literal) => Literal::Int8(long(&literal)? as i8),
        (Type::Int16, literal) => Literal::Int16(long(&literal)? as i16),
        (Type::Int32, literal) => Literal::Int32(long(&literal)? as i32),
        (Type::Int64, literal) => Literal::Int64(long(&literal)?),
        (Type::Float32, Literal::Float32(value)) => Literal::Float32(value),
        (Type::Float32, literal) => Literal::Float32(double(&literal)? as f32),
        (Type::Float64, literal) => Literal::Float64(double(&literal)?),
        (Type::Date, Literal::Int32(days)) => Literal::Date(i64::from(days) * 86_400_000),
        (Type::Date, literal) => Literal::Date(instant(&literal).map_or_else(|| long(&literal).map(|days| i64::from(days as i32) * 86_400_000), Ok)?),
        (Type::Time, literal) => Literal::Time(instant(&literal).map_or_else(|| time_of(&literal), Ok)?),
        (Type::Timestamp, literal) => Literal::Timestamp(instant(&literal).map_or_else(|| long(&literal), Ok)?),
        (_, literal) => literal,
    })
}

/// `Time.toLogical`: a day has so many ms.
fn time_of(literal: &Literal) -> Result<i64, Failed> {
    Some(i64::from(long(literal)? as i32)).filter(|ms| (0..=86_400_000).contains(ms)).ok_or(Failed)
}

fn instant(literal: &Literal) -> Option<i64> {
    match literal {
        Literal::Date(ms) | Literal::Time(ms) | Literal::Timestamp(ms) => Some(*ms),
        _ => None,
    }
}

fn long(literal: &Literal) -> Result<i64, Failed> {
    Ok(match literal {
        Literal::Int8(value) => i64::from(*value),
        Literal::Int16(value) => i64::from(*value),
        Literal::Int32(value) => i64::from(*value),
        Literal::Int64(value) => *value,
        Literal::Float32(value) => *value as i64,
        Literal::Float64(value) => *value as i64,
        Literal::Decimal(value) => value.long(),
        _ => return Err(Failed),
    })
}

fn double(literal: &Literal) -> Result<f64, Failed> {
    Ok(match literal {
        Literal::Float32(value) => f64::from(*value),
        Literal::Float64(value) => *value,
        Literal::Decimal(value) => value.double(),
        other => long(other)? as f64,
    })
}

/// The smallest type that holds a number.
fn of_number(number: BigDecimal) -> (Type, Literal) {
    if let Some(value) = number.exact_long() {
        return if let Ok(value) = i8::try_from(value) {
            (Type::Int8, Literal::Int8(value))
        } else if let Ok(value) = i16::try_from(value) {
            (Type::Int16, Literal::Int16(value))
        } else if let Ok(value) = i32::try_from(value) {
            (Type::Int32, Literal::Int32(value))
        } else {
            (Type::Int64, Literal::Int64(value))
        };
    }
    let (float, double) = (number.float(), number.double());
    match number.scale() {
        0 => (Type::Decimal(0), Literal::Decimal(number)),
        _ if float.is_finite() => (Type::Float32, Literal::Float32(float)),
        _ if double.is_finite() => (Type::Float64, Literal::Float64(double)),
        scale => (Type::Decimal(scale), Literal::Decimal(number)),
    }
}

/// A text that is as long as a date, a time or a timestamp and parses as one, leniently.
fn temporal(text: &str) -> Option<(Type, Literal)> {
    let text = text.replace("\\:", ":");
    // Upstream counts UTF-16 units; what parses is ASCII up to where the pattern ends, and the pattern is as long as the text.
    let (pattern, of): (&str, fn(i64) -> (Type, Literal)) = match text.encode_utf16().count() {
        10 => ("yyyy-MM-dd", |ms| (Type::Date, Literal::Date(ms))),
        13 => ("HH:mm:ss.SSS'Z'", |ms| (Type::Time, Literal::Time(ms))),
        24 => ("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", |ms| (Type::Timestamp, Literal::Timestamp(ms))),
        _ => return None,
    };
    DateFormat::compile(pattern, 0).ok()??.parse(&text).map(of)
}

/// `Utils.isBlank`.
pub(super) fn is_blank(text: &str) -> bool {
    trimmed(text).is_empty()
}

/// `String.trim`.
pub(super) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

mod print;
#[cfg(test)]
mod tests;
