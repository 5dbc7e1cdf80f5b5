//! Values of variable length and decimals as they are gathered, and how they become arrays.

use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal128Array, Decimal256Array, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, DecimalType, i256};
use arrow::error::ArrowError;

/// More bytes than the offsets of one column can count.
#[derive(Debug)]
pub(super) struct Full;

/// Why rows did not become an array.
#[derive(Debug)]
pub(super) enum Flaw {
    /// A string is not UTF-8.
    Utf8,
    /// A defect of this module.
    Arrow(ArrowError),
}

impl From<ArrowError> for Flaw {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

#[cold]
pub(super) fn mismatch(data_type: &DataType) -> Flaw {
    Flaw::Arrow(ArrowError::SchemaError(format!("values do not become {data_type}")))
}

/// Values of variable length.
#[derive(Debug)]
pub(super) struct Texts {
    offsets: Vec<i32>,
    bytes: Vec<u8>,
}

impl Texts {
    pub(super) fn new() -> Self {
        Self { offsets: vec![0], bytes: Vec::new() }
    }

    #[inline]
    pub(super) fn push(&mut self, value: &[u8]) -> Result<(), Full> {
        self.bytes.extend_from_slice(value);
        self.offsets.push(i32::try_from(self.bytes.len()).map_err(|_| Full)?);
        Ok(())
    }

    /// One value.
    pub(super) fn value(&self, at: usize) -> &[u8] {
        let end = |at: usize| self.offsets.get(at).map_or(0, |end| index(*end));
        self.bytes.get(end(at)..end(at + 1)).unwrap_or_default()
    }

    pub(super) fn nulls(&mut self, count: usize) {
        let last = last(&self.offsets);
        self.offsets.resize(self.offsets.len() + count, last);
    }

    pub(super) fn truncate(&mut self, len: usize) {
        self.offsets.truncate(len + 1);
        self.bytes.truncate(index(last(&self.offsets)));
    }

    /// Takes offsets and bytes out and makes room for as many again.
    pub(super) fn take(&mut self) -> (OffsetBuffer<i32>, Buffer) {
        let bytes = take(&mut self.bytes);
        (take_offsets(&mut self.offsets), bytes.into())
    }
}

pub(super) fn last(offsets: &[i32]) -> i32 {
    offsets.last().copied().unwrap_or(0)
}

pub(super) fn index(offset: i32) -> usize {
    usize::try_from(offset).unwrap_or(0)
}

pub(super) fn take_offsets(offsets: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let mut next = Vec::with_capacity(offsets.len());
    next.push(0);
    OffsetBuffer::new(ScalarBuffer::from(std::mem::replace(offsets, next)))
}

pub(super) fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let capacity = values.len();
    std::mem::replace(values, Vec::with_capacity(capacity))
}

/// A decimal has more digits than its column.
#[derive(Debug)]
pub(super) struct TooLong;

/// Unscaled decimals.
#[derive(Debug)]
pub(super) enum Decimals {
    Narrow(Vec<i128>),
    Wide(Vec<i256>),
}

impl Decimals {
    /// Adds a two's complement integer, most significant byte first.
    pub(super) fn push(&mut self, bytes: &[u8], digits: u8) -> Result<(), TooLong> {
        match self {
            Self::Narrow(values) => {
                let value = extend::<16>(bytes).map(i128::from_be_bytes).filter(|value| Decimal128Type::is_valid_decimal_precision(*value, digits));
                values.push(value.ok_or(TooLong)?);
            }
            Self::Wide(values) => {
                let value = extend::<32>(bytes).map(i256::from_be_bytes).filter(|value| Decimal256Type::is_valid_decimal_precision(*value, digits));
                values.push(value.ok_or(TooLong)?);
            }
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, data_type: &DataType, nulls: Option<NullBuffer>) -> Result<ArrayRef, Flaw> {
        Ok(match (self, data_type) {
            (Self::Narrow(values), DataType::Decimal128(digits, scale)) => {
                Arc::new(Decimal128Array::try_new(take(values).into(), nulls)?.with_precision_and_scale(*digits, *scale)?)
            }
            (Self::Wide(values), DataType::Decimal256(digits, scale)) => {
                Arc::new(Decimal256Array::try_new(take(values).into(), nulls)?.with_precision_and_scale(*digits, *scale)?)
            }
            _ => return Err(mismatch(data_type)),
        })
    }
}

/// A two's complement integer in N bytes; `None` when it needs more.
pub(super) fn extend<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { 0xff } else { 0 };
    let significant = bytes.iter().position(|byte| *byte != sign).map_or(&[][..], |at| &bytes[at..]);
    let mut whole = [sign; N];
    let start = N.checked_sub(significant.len())?;
    whole[start..].copy_from_slice(significant);
    // The sign bit must still say the same.
    ((whole[0] >= 0x80) == (sign == 0xff)).then_some(whole)
}

pub(super) fn strings(texts: &mut Texts, nulls: Option<NullBuffer>) -> Result<ArrayRef, Flaw> {
    let (offsets, bytes) = texts.take();
    // Offsets and lengths are right by construction, so UTF-8 is all that can be refused.
    StringArray::try_new(offsets, bytes, nulls).map(|array| Arc::new(array) as ArrayRef).map_err(|_| Flaw::Utf8)
}
