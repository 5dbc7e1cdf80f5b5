//! Reading Avro's binary encoding from a payload, and what can be wrong with one.
//!
//! Parts: [`Cursor`], which takes values off the front of the bytes; [`Fault`], why it could not.

use std::fmt;

use super::super::values::Full;

/// The bytes of a payload that have not been read.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

/// Why a payload cannot be decoded, and in which field.
pub(super) type Fault = super::super::fault::Fault<Cause>;

/// What is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cause {
    /// The payload ends inside a value.
    End,
    /// An integer has more bytes than its type allows.
    Varint,
    /// An int is outside 32 bits, or outside 8 or 16 where `connect.type` says so.
    Range(i64),
    /// A length is negative.
    Length(i64),
    /// A boolean is neither 0 nor 1.
    Boolean(u8),
    /// A union has no such branch.
    Branch(i64, usize),
    /// An enum has no such symbol.
    Symbol(i64, usize),
    /// A decimal has more digits than its type.
    Digits(u8),
    /// A string is not UTF-8.
    Utf8,
    /// More items than one batch of columns can number.
    Items,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the payload ends inside a value"),
            Self::Varint => f.write_str("an integer has too many bytes"),
            Self::Range(value) => write!(f, "integer \"{value}\" is out of the type's range"),
            Self::Length(value) => write!(f, "length \"{value}\" is negative"),
            Self::Boolean(value) => write!(f, "boolean \"{value}\" is neither 0 nor 1"),
            Self::Branch(value, count) => write!(f, "union branch \"{value}\" is not one of 0 to {}", count.saturating_sub(1)),
            Self::Symbol(value, count) => write!(f, "enum symbol \"{value}\" is not one of 0 to {}", count.saturating_sub(1)),
            Self::Digits(digits) => write!(f, "a decimal has more than {digits} digits"),
            Self::Utf8 => f.write_str("a string is not UTF-8"),
            Self::Items => f.write_str("a batch would hold more items than columns can number; make consumer.max.poll.records smaller"),
        }
    }
}

impl From<Full> for Fault {
    fn from(_: Full) -> Self {
        Cause::Items.into()
    }
}

impl<'a> Cursor<'a> {
    /// At the start of a payload.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Everything that was not read.
    pub(super) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        let (first, rest) = self.rest.split_first().ok_or(Cause::End)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Cause::End)?;
        self.rest = rest;
        Ok(taken)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Cause::End)?;
        self.rest = rest;
        Ok(*taken)
    }

    /// A `long`: zigzag, seven bits a byte, least significant first.
    #[inline]
    pub(super) fn long(&mut self) -> Result<i64, Fault> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(zigzag(u64::from(first)));
        }
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.byte()?;
            // The tenth byte holds one bit.
            if shift == 63 && byte > 1 {
                return Err(Cause::Varint.into());
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(zigzag(value));
            }
            shift += 7;
        }
    }

    /// An `int`.
    #[inline]
    pub(super) fn int(&mut self) -> Result<i32, Fault> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| Cause::Range(value).into())
    }

    /// The length of bytes or a string.
    #[inline]
    pub(super) fn length(&mut self) -> Result<usize, Fault> {
        let value = self.long()?;
        usize::try_from(value).map_err(|_| Cause::Length(value).into())
    }

    /// Length and bytes.
    #[inline]
    pub(super) fn prefixed(&mut self) -> Result<&'a [u8], Fault> {
        let length = self.length()?;
        self.bytes(length)
    }

    /// The number of items in the next block of an array or map; 0 ends it. `least` is the smallest number of bytes that an item takes.
    pub(super) fn block(&mut self, least: usize) -> Result<usize, Fault> {
        /// Items without bytes that one block may hold.
        const MOST_EMPTY_ITEMS: usize = 1 << 20;
        let mut count = self.long()?;
        if count < 0 {
            self.length()?;
            count = count.checked_neg().ok_or(Cause::Length(count))?;
        }
        let count = usize::try_from(count).map_err(|_| Cause::Length(count))?;
        let most = self.rest.len().checked_div(least).unwrap_or(MOST_EMPTY_ITEMS);
        if count > most { Err(Cause::End.into()) } else { Ok(count) }
    }
}

#[inline]
fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longs_and_their_bytes() {
        let table: [(&[u8], Result<i64, &str>); 8] = [
            (&[0], Ok(0)),
            (&[1], Ok(-1)),
            (&[2], Ok(1)),
            (&[0x80, 0x01], Ok(64)),
            (&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Ok(i64::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Ok(i64::MIN)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02], Err("an integer has too many bytes")),
            (&[0x80], Err("the payload ends inside a value")),
        ];
        for (bytes, want) in table {
            assert_eq!(Cursor::new(bytes).long().map_err(|fault| fault.to_string()), want.map_err(str::to_owned), "{bytes:?}");
        }
    }

    #[test]
    fn a_block_cannot_promise_more_items_than_bytes() {
        assert_eq!(Cursor::new(&[4, 0, 0]).block(1).unwrap(), 2);
        assert!(Cursor::new(&[6, 0, 0]).block(1).is_err());
        assert!(Cursor::new(&[0xfe, 0xff, 0xff, 0xff, 0x0f]).block(0).is_err());
    }
}
