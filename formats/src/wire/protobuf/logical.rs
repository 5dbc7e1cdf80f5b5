//! Messages that are one value to Connect: timestamps, dates, times of day, decimals.
//!
//! A message of parts is gathered as any other message, in any order and merged; its end makes the value. What is no such value (a 30th of February, a
//! decimal with more digits after the point than its column) rejects the row, as upstream's calendar and formats do.

use arrow::array::ArrayRef;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Date32Type, Int64Type, Time32MillisecondType, TimestampMillisecondType, i256};
use prost_reflect::MessageDescriptor;

use super::super::values::{Decimals, Flaw, extend, mismatch, take};
use super::cursor::{Cause, Cursor, Fault, Wire};
use super::node::primitive;
use crate::schema::hybrid;

/// `0001-01-01T00:00:00Z` and `9999-12-31T23:59:59Z` in seconds.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const NANOS: std::ops::RangeInclusive<i64> = 0..=999_999_999;

/// A column of such values.
#[derive(Debug)]
pub(super) struct Logical {
    /// The number of each part's field.
    fields: Vec<u32>,
    /// The parts of the open value that are integers.
    parts: [i64; 4],
    /// The part that is bytes.
    bytes: Vec<u8>,
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// seconds, nanos
    Timestamp(Vec<i64>),
    /// year, month, day
    Date(Vec<i32>),
    /// hours, minutes, seconds, nanos
    Time(Vec<i32>),
    /// value, precision, scale
    Decimal { values: Decimals, digits: u8, scale: i8 },
}

fn fields(message: &MessageDescriptor, names: &[&str]) -> Vec<u32> {
    names.iter().map(|name| message.get_field_by_name(name).map_or(0, |field| field.number())).collect()
}

impl Logical {
    fn new(fields: Vec<u32>, values: Values) -> Self {
        Self { fields, parts: [0; 4], bytes: Vec::new(), values }
    }

    pub(super) fn timestamp(message: &MessageDescriptor) -> Self {
        Self::new(fields(message, &["seconds", "nanos"]), Values::Timestamp(Vec::new()))
    }

    pub(super) fn date(message: &MessageDescriptor) -> Self {
        Self::new(fields(message, &["year", "month", "day"]), Values::Date(Vec::new()))
    }

    pub(super) fn time(message: &MessageDescriptor) -> Self {
        Self::new(fields(message, &["hours", "minutes", "seconds", "nanos"]), Values::Time(Vec::new()))
    }

    pub(super) fn decimal(message: &MessageDescriptor, data_type: &DataType) -> Self {
        let (values, digits, scale) = match data_type {
            DataType::Decimal256(digits, scale) => (Decimals::Wide(Vec::new()), *digits, *scale),
            DataType::Decimal128(digits, scale) => (Decimals::Narrow(Vec::new()), *digits, *scale),
            _ => (Decimals::Narrow(Vec::new()), 38, 0),
        };
        Self::new(fields(message, &["value", "precision", "scale"]), Values::Decimal { values, digits, scale })
    }

    /// Reads parts into the open value.
    pub(super) fn merge(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Fault> {
        while !cursor.is_empty() {
            let (number, wire) = cursor.tag()?;
            let part = self.fields.iter().position(|field| *field == number);
            match (part, wire, &self.values) {
                (Some(0), Wire::Bytes, Values::Decimal { .. }) => {
                    self.bytes.clear();
                    self.bytes.extend_from_slice(cursor.prefixed()?);
                }
                (Some(0), _, Values::Decimal { .. }) => cursor.skip(number, wire)?,
                (Some(part), Wire::Varint, values) => {
                    let value = cursor.varint()?;
                    let long = part == 0 && matches!(values, Values::Timestamp(_));
                    // The others are 32-bit integers.
                    let low = u32::try_from(value & 0xffff_ffff).unwrap_or(0).cast_signed();
                    if let Some(place) = self.parts.get_mut(part) {
                        *place = if long { value.cast_signed() } else { i64::from(low) };
                    }
                }
                _ => cursor.skip(number, wire)?,
            }
        }
        Ok(())
    }

    /// Ends the open value.
    pub(super) fn close(&mut self) -> Result<(), Fault> {
        let parts = std::mem::take(&mut self.parts);
        match &mut self.values {
            Values::Timestamp(values) => values.push(timestamp(parts)?),
            Values::Date(values) => values.push(date(parts)?),
            Values::Time(values) => values.push(time(parts)?),
            Values::Decimal { values, digits, scale } => {
                let pushed = push_decimal(values, &self.bytes, (parts[1], parts[2]), (*digits, *scale));
                self.bytes.clear();
                pushed?;
            }
        }
        Ok(())
    }

    /// Adds a placeholder.
    pub(super) fn push_nothing(&mut self) {
        match &mut self.values {
            Values::Timestamp(values) => values.push(0),
            Values::Date(values) | Values::Time(values) => values.push(0),
            Values::Decimal { values: Decimals::Narrow(values), .. } => values.push(0),
            Values::Decimal { values: Decimals::Wide(values), .. } => values.push(i256::ZERO),
        }
    }

    /// Cuts back to `to` values and forgets the open one.
    pub(super) fn truncate(&mut self, to: usize) {
        self.parts = [0; 4];
        self.bytes.clear();
        match &mut self.values {
            Values::Timestamp(values) => values.truncate(to),
            Values::Date(values) | Values::Time(values) => values.truncate(to),
            Values::Decimal { values: Decimals::Narrow(values), .. } => values.truncate(to),
            Values::Decimal { values: Decimals::Wide(values), .. } => values.truncate(to),
        }
    }

    pub(super) fn finish(&mut self, data_type: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef, Flaw> {
        match (&mut self.values, data_type) {
            (Values::Timestamp(values), DataType::Timestamp(_, zone)) => {
                let array = arrow::array::PrimitiveArray::<TimestampMillisecondType>::try_new(take(values).into(), nulls)?;
                Ok(std::sync::Arc::new(array.with_timezone_opt(zone.clone())))
            }
            (Values::Timestamp(values), DataType::Int64) => primitive::<Int64Type>(values, nulls),
            (Values::Date(values), DataType::Date32) => primitive::<Date32Type>(values, nulls),
            (Values::Time(values), DataType::Time32(_)) => primitive::<Time32MillisecondType>(values, nulls),
            (Values::Decimal { values, .. }, _) => values.finish(data_type, nulls),
            _ => Err(mismatch(data_type)),
        }
    }
}

#[cold]
fn unfit(what: String) -> Fault {
    Cause::Unfit(what).into()
}

/// Milliseconds since the epoch, cut below.
fn timestamp([seconds, nanos, ..]: [i64; 4]) -> Result<i64, Fault> {
    if SECONDS.contains(&seconds) && NANOS.contains(&nanos) {
        Ok(seconds * 1000 + nanos / 1_000_000)
    } else {
        Err(unfit(format!("\"{seconds}\" seconds and \"{nanos}\" nanos are no timestamp: years are 1 to 9999, nanos 0 to 999999999")))
    }
}

/// Days since the epoch.
fn date([year, month, day, _]: [i64; 4]) -> Result<i32, Fault> {
    let found =
        i32::try_from(year).ok().filter(|year| *year > 0).and_then(|year| hybrid::from_date(year, u32::try_from(month).ok()?, u32::try_from(day).ok()?));
    found.ok_or_else(|| unfit(format!("year \"{year}\", month \"{month}\", day \"{day}\" are no date")))
}

/// Milliseconds since midnight, cut.
fn time([hours, minutes, seconds, nanos]: [i64; 4]) -> Result<i32, Fault> {
    let refused = || unfit(format!("\"{hours}\" hours, \"{minutes}\" minutes, \"{seconds}\" seconds, \"{nanos}\" nanos are no time of a day"));
    if (0..24).contains(&hours) && (0..60).contains(&minutes) && (0..60).contains(&seconds) && NANOS.contains(&nanos) {
        i32::try_from(((hours * 60 + minutes) * 60 + seconds) * 1000 + nanos / 1_000_000).map_err(|_| refused())
    } else {
        Err(refused())
    }
}

/// Adds a two's complement integer, most significant byte first, of some precision (0: any) and scale to decimals of another.
fn push_decimal(values: &mut Decimals, bytes: &[u8], (precision, own): (i64, i64), (digits, scale): (u8, i8)) -> Result<(), Fault> {
    if bytes.is_empty() {
        return Err(unfit("a decimal has no value".to_owned()));
    }
    if precision == 0 && own == i64::from(scale) {
        return Ok(values.push(bytes, digits)?);
    }
    let too_long = || unfit(format!("a decimal of scale \"{own}\" does not fit its column, which has {digits} digits, {scale} of them after the point"));
    let value = extend::<32>(bytes).map(i256::from_be_bytes).ok_or_else(too_long)?;
    let power = |exponent: u64| u32::try_from(exponent).ok().and_then(|exponent| i256::from_i128(10).checked_pow(exponent));
    if let Some(limit) = u64::try_from(precision).ok().filter(|precision| *precision > 0).and_then(power)
        && (value >= limit || value <= limit.wrapping_neg())
    {
        return Err(unfit(format!("a decimal has more digits than its precision \"{precision}\"")));
    }
    let shift = i64::from(scale) - own;
    let scaled = match power(shift.unsigned_abs()) {
        _ if value == i256::ZERO => Some(value),
        Some(factor) if shift >= 0 => value.checked_mul(factor),
        Some(factor) => value.checked_div(factor).filter(|quotient| quotient.checked_mul(factor) == Some(value)),
        None => None,
    };
    Ok(values.push(&scaled.ok_or_else(too_long)?.to_be_bytes(), digits)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_their_values() {
        let say = |fault: Fault| fault.to_string();
        assert_eq!(timestamp([1, 999_999, 0, 0]).map_err(say), Ok(1000));
        assert_eq!(timestamp([-1, 1_000_000, 0, 0]).map_err(say), Ok(-999));
        assert!(timestamp([0, 1_000_000_000, 0, 0]).is_err() && timestamp([253_402_300_800, 0, 0, 0]).is_err());
        assert_eq!(date([1970, 1, 2, 0]).map_err(say), Ok(1));
        assert_eq!(date([2024, 2, 29, 0]).map_err(say), Ok(19_782));
        assert_eq!(date([2023, 2, 29, 0]).map_err(say), Err("year \"2023\", month \"2\", day \"29\" are no date".to_owned()));
        assert!(date([0, 0, 0, 0]).is_err());
        assert_eq!(time([23, 59, 59, 999_999_999]).map_err(say), Ok(86_399_999));
        assert!(time([24, 0, 0, 0]).is_err() && time([0, 0, -1, 0]).is_err());
    }

    #[test]
    fn decimals_are_moved_to_their_columns_scale_or_refused() {
        let table: [(&[u8], i64, i64, Result<i128, &str>); 9] = [
            (&[0x01, 0x00], 0, 2, Ok(256)),
            (&[0xff], 0, 2, Ok(-1)),
            (&[5], 1, 0, Ok(500)),
            (&[5], 1, 1, Ok(50)),
            (&[50], 0, 3, Ok(5)),
            (&[51], 0, 3, Err("a decimal of scale \"3\" does not fit its column, which has 9 digits, 2 of them after the point")),
            (&[0x7f, 0xff, 0xff, 0xff, 0xff], 0, 2, Err("a decimal has more digits than its column")),
            (&[100], 2, 2, Err("a decimal has more digits than its precision \"2\"")),
            (&[], 0, 0, Err("a decimal has no value")),
        ];
        for (bytes, precision, scale, want) in table {
            let mut values = Decimals::Narrow(Vec::new());
            let pushed = push_decimal(&mut values, bytes, (precision, scale), (9, 2)).map_err(|fault| fault.to_string());
            let Decimals::Narrow(values) = values else { panic!() };
            assert_eq!(pushed.map(|()| values[0]), want.map_err(str::to_owned), "{bytes:?}");
        }
    }
}
