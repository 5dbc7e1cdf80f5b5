//! A JSON value → one more value of a column.
//!
//! | column | takes |
//! |---|---|
//! | boolean | `true`, `false` |
//! | int8 to int64, date, time, timestamp | a number that is an integer of that size (declared: `1.0` and `1e3` too); time: 0 to 86400000 |
//! | float32, float64 | any number up to the largest; declared: also `"NaN"`, `"Infinity"`, `"-Infinity"`, as Jackson writes them |
//! | string | a string |
//! | bytes | a string of base64 |
//! | decimal | a string of base64 (the unscaled value, big endian) or a number that needs no more digits than the scale has, whatever `decimal.format` says |
//! | list, struct | an array; an object |
//! | map | with string keys an object, otherwise an array of `[key, value]` |
//! | any | `null`, or nothing in a struct: the schema's default, else null, else the row is rejected |
//!
//! The source is `org.apache.kafka.connect.json.JsonConverter#convertToConnect`, with one difference: where Jackson's coercions make a value up
//! (0 for the string `"x"`, the low bits of a number that is too large, an empty list for a number), the row is rejected instead.
//!
//! Guarantee: a value is stored exactly (floats: to the nearest) or not at all.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType, i256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::column::{Bytes, Ends, Node, Values};
use super::fault::Fault;
use super::infer;
use super::number::Unscaled;
use super::scan::{Cursor, Text, Wrong};
use super::text::{LoneSurrogate, unescape};
use crate::schema::widen::type_name;

/// How values are taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The schema was inferred: nothing is coerced, unknown keys stop the row, and a container without content fits everywhere as null.
    pub(super) inferred: bool,
    /// How maps are written whose keys are no strings.
    pub(super) entries: Entries,
}

/// The entries of a map in an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entries {
    /// `[key, value]`
    Pairs,
    /// `{"key": …, "value": …}`; maps whose keys are strings may be written so, too.
    Objects,
}

const MILLIS_PER_DAY: i32 = 86_400_000;
const FULL: &str = "does not fit: the column holds 2 GiB already; let the consumer fetch less at once";

impl Node {
    /// Adds the value that starts here. After an error the node may hold part of it, until the row is rolled back.
    #[inline]
    pub(super) fn decode(&mut self, cursor: &mut Cursor<'_>, rules: Rules) -> Result<(), Fault> {
        match cursor.peek() {
            Some(b'n') => {
                cursor.literal(b"null")?;
                return self.append_absent(rules, "is null");
            }
            Some(byte @ (b'{' | b'[')) if rules.inferred && !self.values.takes(byte) && infer::skip_typeless(cursor)? => {
                self.append_null();
                return Ok(());
            }
            _ => {}
        }
        self.values.decode(cursor, rules, self.field.data_type())?;
        self.nulls.append_non_null();
        Ok(())
    }

    /// Adds what stands for no value: the default, or a null.
    pub(super) fn append_absent(&mut self, rules: Rules, how: &str) -> Result<(), Fault> {
        if let Some(default) = self.default.as_ref().map(Arc::clone) {
            self.values.decode(&mut Cursor::new(&default), rules, self.field.data_type())?;
            self.nulls.append_non_null();
        } else if self.field.is_nullable() {
            self.append_null();
        } else {
            let reason = format!("a required {} without default {how}", type_name(self.field.data_type()));
            return Err(Fault::absent(reason));
        }
        Ok(())
    }
}

impl Values {
    /// True when a container of that opening bracket belongs in this column.
    fn takes(&self, bracket: u8) -> bool {
        matches!((self, bracket), (Self::List { .. }, b'[') | (Self::Struct(_), b'{'))
    }

    #[inline]
    fn decode(&mut self, cursor: &mut Cursor<'_>, rules: Rules, data_type: &DataType) -> Result<(), Fault> {
        match self {
            Self::Utf8(bytes) => return string(bytes, cursor, data_type),
            Self::Int64(values) => values.push(integer(cursor, rules, data_type)?),
            Self::Float64(values) => values.push(float64(cursor, rules)?),
            Self::Boolean(values) => values.append(boolean(cursor)?),
            Self::Struct(members) => {
                if !cursor.eat(b'{') {
                    return Err(mismatch(cursor, "struct"));
                }
                return members.decode(cursor, rules);
            }
            Self::List { ends, item } => return list(ends, item, cursor, rules),
            Self::Int8(values) => values.push(narrow(cursor, rules, data_type)?),
            Self::Int16(values) => values.push(narrow(cursor, rules, data_type)?),
            Self::Int32(values) | Self::Date(values) => values.push(narrow(cursor, rules, data_type)?),
            Self::Timestamp(values) => values.push(integer(cursor, rules, data_type)?),
            Self::Time(values) => {
                let start = cursor.at();
                let time = narrow(cursor, rules, data_type)?;
                if !(0..=MILLIS_PER_DAY).contains(&time) {
                    return Err(Fault::unfit(cursor, start, "is no time: milliseconds since midnight are 0 to 86400000"));
                }
                values.push(time);
            }
            Self::Float32(values) => values.push(float32(cursor, rules)?),
            Self::Binary(bytes) => return binary(bytes, cursor),
            Self::Decimal128(values) => values.push(decimal::<i128>(cursor, data_type)?),
            Self::Decimal256(values) => values.push(decimal::<i256>(cursor, data_type)?),
            Self::Map { ends, key, value } => return map(ends, key, value, cursor, rules),
            Self::Union(union) => return union.decode(cursor, rules),
        }
        Ok(())
    }
}

/// The value that starts here has another JSON type than the column takes.
#[cold]
#[inline(never)]
fn mismatch(cursor: &mut Cursor<'_>, wanted: &str) -> Fault {
    let start = cursor.at();
    let kind = match cursor.peek() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b't' | b'f') => "a boolean",
        _ => "a number",
    };
    match cursor.skip_value() {
        Ok(()) => Fault::unfit(cursor, start, format!("is {kind}, not {wanted}")),
        Err(syntax) => Fault::Syntax(syntax),
    }
}

#[inline]
fn starts_number(cursor: &Cursor<'_>) -> bool {
    matches!(cursor.peek(), Some(b'-' | b'0'..=b'9'))
}

#[inline]
fn boolean(cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    match cursor.peek() {
        Some(b't') => cursor.literal(b"true").map(|()| true).map_err(Fault::Syntax),
        Some(b'f') => cursor.literal(b"false").map(|()| false).map_err(Fault::Syntax),
        _ => Err(mismatch(cursor, "boolean")),
    }
}

#[inline]
fn integer(cursor: &mut Cursor<'_>, rules: Rules, data_type: &DataType) -> Result<i64, Fault> {
    if !starts_number(cursor) {
        return Err(mismatch(cursor, &type_name(data_type)));
    }
    let start = cursor.at();
    let number = cursor.number()?;
    match number.to_i64() {
        Some(value) if number.integral || !rules.inferred => Ok(value),
        _ => Err(Fault::unfit(cursor, start, format!("does not fit {}", type_name(data_type)))),
    }
}

fn narrow<T: TryFrom<i64>>(cursor: &mut Cursor<'_>, rules: Rules, data_type: &DataType) -> Result<T, Fault> {
    let start = cursor.at();
    let value = integer(cursor, rules, data_type)?;
    T::try_from(value).map_err(|_| Fault::unfit(cursor, start, format!("does not fit {}", type_name(data_type))))
}

#[inline]
fn float64(cursor: &mut Cursor<'_>, rules: Rules) -> Result<f64, Fault> {
    if !starts_number(cursor) {
        return not_finite(cursor, rules, "float64");
    }
    let start = cursor.at();
    let number = cursor.number()?;
    number.to_f64().ok_or_else(|| Fault::unfit(cursor, start, "does not fit float64"))
}

fn float32(cursor: &mut Cursor<'_>, rules: Rules) -> Result<f32, Fault> {
    if !starts_number(cursor) {
        return not_finite(cursor, rules, "float32").map(|value| value as f32);
    }
    let start = cursor.at();
    let number = cursor.number()?;
    number.to_f32().ok_or_else(|| Fault::unfit(cursor, start, "does not fit float32"))
}

/// The names that Jackson gives to values without digits.
#[inline(never)]
fn not_finite(cursor: &mut Cursor<'_>, rules: Rules, wanted: &str) -> Result<f64, Fault> {
    for (name, value) in [(&b"\"NaN\""[..], f64::NAN), (b"\"Infinity\"", f64::INFINITY), (b"\"-Infinity\"", f64::NEG_INFINITY)] {
        if !rules.inferred && cursor.rest().starts_with(name) {
            cursor.advance(name.len());
            return Ok(value);
        }
    }
    Err(mismatch(cursor, wanted))
}

#[inline]
fn string(bytes: &mut Bytes, cursor: &mut Cursor<'_>, data_type: &DataType) -> Result<(), Fault> {
    let start = cursor.at();
    if cursor.peek() != Some(b'"') {
        return Err(mismatch(cursor, &type_name(data_type)));
    }
    let text = cursor.string()?;
    if unescape(text, &mut bytes.data) == Err(LoneSurrogate) {
        return Err(Fault::unfit(cursor, start, "holds half of a surrogate pair, which is no character"));
    }
    if bytes.end() { Ok(()) } else { Err(Fault::unfit(cursor, start, FULL)) }
}

fn binary(bytes: &mut Bytes, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
    let start = cursor.at();
    if cursor.peek() != Some(b'"') {
        return Err(mismatch(cursor, "bytes"));
    }
    let text = cursor.string()?;
    if !base64(text, &mut bytes.data) {
        return Err(Fault::unfit(cursor, start, "is no base64"));
    }
    if bytes.end() { Ok(()) } else { Err(Fault::unfit(cursor, start, FULL)) }
}

/// Appends the decoded bytes; false when the text is no base64. Whitespace in it is ignored, as by Jackson's default variant.
fn base64(text: Text<'_>, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    if !text.escaped && STANDARD.decode_vec(text.raw, out).is_ok() {
        return true;
    }
    out.truncate(start);
    let mut plain = Vec::new();
    if unescape(text, &mut plain).is_err() {
        return false;
    }
    plain.retain(|byte| *byte > b' ');
    STANDARD.decode_vec(plain, out).is_ok()
}

/// An unscaled value of the column's precision and scale.
fn decimal<T: Unscaled + Bounded>(cursor: &mut Cursor<'_>, data_type: &DataType) -> Result<T, Fault> {
    let (DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) = data_type else { return Err(mismatch(cursor, "decimal")) };
    let start = cursor.at();
    let value = if starts_number(cursor) {
        cursor.number()?.to_decimal(*scale)
    } else if cursor.peek() == Some(b'"') {
        let text = cursor.string()?;
        let mut bytes = Vec::new();
        if !base64(text, &mut bytes) || bytes.is_empty() {
            return Err(Fault::unfit(cursor, start, "is no base64 of a decimal's bytes"));
        }
        let sign = if bytes.first().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let extra = bytes.len().saturating_sub(T::WIDTH);
        let value = T::from_be_bytes(bytes.get(extra..).unwrap_or_default());
        (bytes.iter().take(extra).all(|b| *b == sign) && value.is_negative() == (sign == 0xff)).then_some(value)
    } else {
        return Err(mismatch(cursor, "decimal"));
    };
    value
        .filter(|value| value.fits(*precision))
        .ok_or_else(|| Fault::unfit(cursor, start, format!("does not fit a decimal of {precision} digits, {scale} of them after the point")))
}

/// What Arrow bounds a decimal with.
trait Bounded {
    /// True when the value has no more digits than that.
    fn fits(&self, precision: u8) -> bool;
    /// True below zero.
    fn is_negative(&self) -> bool;
}

impl Bounded for i128 {
    fn fits(&self, precision: u8) -> bool {
        Decimal128Type::is_valid_decimal_precision(*self, precision)
    }

    fn is_negative(&self) -> bool {
        *self < 0
    }
}

impl Bounded for i256 {
    fn fits(&self, precision: u8) -> bool {
        Decimal256Type::is_valid_decimal_precision(*self, precision)
    }

    fn is_negative(&self) -> bool {
        Self::is_negative(*self)
    }
}

fn list(ends: &mut Ends, item: &mut Node, cursor: &mut Cursor<'_>, rules: Rules) -> Result<(), Fault> {
    let start = cursor.at();
    if !cursor.eat(b'[') {
        return Err(mismatch(cursor, "array"));
    }
    cursor.open()?;
    cursor.skip_whitespace();
    let mut more = !cursor.eat(b']');
    let first = item.len();
    while more {
        if let Err(fault) = item.decode(cursor, rules) {
            return Err(fault.within(|| format!("[{}]", item.len() - first)));
        }
        more = cursor.next_item()?;
    }
    cursor.depth -= 1;
    if ends.push(item.len()) { Ok(()) } else { Err(Fault::unfit(cursor, start, FULL)) }
}

fn map(ends: &mut Ends, key: &mut Node, value: &mut Node, cursor: &mut Cursor<'_>, rules: Rules) -> Result<(), Fault> {
    let start = cursor.at();
    let first = key.len();
    match &mut key.values {
        Values::Utf8(_) if cursor.eat(b'{') => object_entries(key, value, cursor, rules)?,
        _ if rules.entries == Entries::Objects && cursor.eat(b'[') => object_pairs(key, value, cursor, rules)?,
        Values::Utf8(_) => return Err(mismatch(cursor, "map, which is an object where keys are strings")),
        _ if cursor.eat(b'[') => pair_entries(key, value, cursor, rules)?,
        _ => return Err(mismatch(cursor, "map, which is an array of pairs where keys are no strings")),
    }
    if let Values::Utf8(keys) = &key.values {
        let mut names = HashSet::new();
        if key.len() > first + 1 && !(first..key.len()).all(|entry| names.insert(keys.value(entry))) {
            return Err(Fault::Duplicate);
        }
    }
    if ends.push(key.len()) { Ok(()) } else { Err(Fault::unfit(cursor, start, FULL)) }
}

/// `"key":value, …}`
fn object_entries(key: &mut Node, value: &mut Node, cursor: &mut Cursor<'_>, rules: Rules) -> Result<(), Fault> {
    cursor.open()?;
    cursor.skip_whitespace();
    let mut more = !cursor.eat(b'}');
    while more {
        let text = cursor.key()?;
        if let Values::Utf8(keys) = &mut key.values {
            unescape(text, &mut keys.data).map_err(|LoneSurrogate| cursor.wrong(Wrong::Surrogate))?;
            if !keys.end() {
                return Err(Fault::unfit(cursor, cursor.at(), FULL));
            }
        }
        key.nulls.append_non_null();
        value.decode(cursor, rules).map_err(|fault| fault.within(|| String::from_utf8_lossy(text.raw).into_owned()))?;
        more = cursor.next_key()?;
    }
    cursor.depth -= 1;
    Ok(())
}

/// `{"key":key,"value":value}, …]`
fn object_pairs(key: &mut Node, value: &mut Node, cursor: &mut Cursor<'_>, rules: Rules) -> Result<(), Fault> {
    cursor.open()?;
    cursor.skip_whitespace();
    let mut more = !cursor.eat(b']');
    while more {
        let start = cursor.at();
        let before = key.len();
        if !cursor.eat(b'{') {
            return Err(mismatch(cursor, "a map's entry, which is an object of key and value"));
        }
        cursor.open()?;
        cursor.skip_whitespace();
        let mut another = !cursor.eat(b'}');
        while another {
            let name = cursor.key()?;
            match name.raw {
                b"key" if key.len() == before => key.decode(cursor, rules).map_err(|fault| fault.within(|| "key".to_owned()))?,
                b"value" if value.len() == before => value.decode(cursor, rules).map_err(|fault| fault.within(|| "value".to_owned()))?,
                b"key" | b"value" => return Err(Fault::Duplicate),
                _ => cursor.skip_value()?,
            }
            another = cursor.next_key()?;
        }
        if key.len() == before || value.len() == before {
            return Err(Fault::unfit(cursor, start, "is no map entry, which is an object of key and value"));
        }
        cursor.depth -= 1;
        more = cursor.next_item()?;
    }
    cursor.depth -= 1;
    Ok(())
}

/// `[key,value], …]`
fn pair_entries(key: &mut Node, value: &mut Node, cursor: &mut Cursor<'_>, rules: Rules) -> Result<(), Fault> {
    cursor.open()?;
    cursor.skip_whitespace();
    let mut more = !cursor.eat(b']');
    while more {
        let start = cursor.at();
        if !cursor.eat(b'[') {
            return Err(mismatch(cursor, "a map's entry, which is an array of key and value"));
        }
        cursor.open()?;
        cursor.skip_whitespace();
        let mut items = 0;
        let mut another = !cursor.eat(b']');
        while another {
            match items {
                0 => key.decode(cursor, rules).map_err(|fault| fault.within(|| "key".to_owned()))?,
                1 => value.decode(cursor, rules).map_err(|fault| fault.within(|| "value".to_owned()))?,
                _ => cursor.skip_value()?,
            }
            items += 1;
            another = cursor.next_item()?;
        }
        if items != 2 {
            return Err(Fault::unfit(cursor, start, "is no map entry, which is an array of key and value"));
        }
        cursor.depth -= 1;
        more = cursor.next_item()?;
    }
    cursor.depth -= 1;
    Ok(())
}
