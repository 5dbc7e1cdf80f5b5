//! Reading Protobuf's wire format from a payload, and what can be wrong with one.
//!
//! Parts: [`Cursor`], which takes values off the front of the bytes; [`Wire`], how a field is encoded; [`Fault`], why a message cannot be decoded.
//!
//! Guarantee: no input panics, and groups of unknown fields nest no deeper than [`DEEPEST`].

use std::fmt;

use super::super::values::{Full, TooLong};

/// Groups within groups that are skipped at most, as upstream.
const DEEPEST: usize = 100;

/// The bytes that have not been read.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

/// How a field's value is encoded (the lowest three bits of its tag).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    Varint,
    Fixed64,
    Bytes,
    Group,
    EndGroup,
    Fixed32,
}

/// Why a payload cannot be decoded, and in which field.
pub(super) type Fault = super::super::fault::Fault<Cause>;

/// What is wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cause {
    /// The payload ends inside a value.
    End,
    /// A varint has more bytes than 64 bits need.
    Varint,
    /// A tag has the field number 0 or an encoding that does not exist.
    Tag(u64),
    /// A group ends that did not begin, or does not end.
    Group,
    /// Unknown groups nest too deep.
    Depth,
    /// A string is not UTF-8.
    Utf8,
    /// A value that its logical type does not have.
    Unfit(String),
    /// A field without which the message is none.
    Required,
    /// More items than one batch of columns can number.
    Items,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the payload ends inside a value"),
            Self::Varint => f.write_str("an integer has too many bytes"),
            Self::Tag(tag) => write!(f, "\"{tag}\" is no tag of a field"),
            Self::Group => f.write_str("a group has no beginning or no end"),
            Self::Depth => write!(f, "unknown groups nest deeper than {DEEPEST} levels"),
            Self::Utf8 => f.write_str("a string is not UTF-8"),
            Self::Unfit(what) => f.write_str(what),
            Self::Required => f.write_str("a required field is missing"),
            Self::Items => f.write_str("a batch would hold more items than columns can number; make consumer.max.poll.records smaller"),
        }
    }
}

impl From<Full> for Fault {
    #[cold]
    fn from(_: Full) -> Self {
        Cause::Items.into()
    }
}

impl From<TooLong> for Fault {
    #[cold]
    fn from(_: TooLong) -> Self {
        Cause::Unfit("a decimal has more digits than its column".to_owned()).into()
    }
}

impl<'a> Cursor<'a> {
    /// At the start of some bytes.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Everything that was not read.
    pub(super) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Takes that byte, if it is next.
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((first, rest)) if *first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    #[inline]
    fn byte(&mut self) -> Result<u8, Fault> {
        let (first, rest) = self.rest.split_first().ok_or(Cause::End)?;
        self.rest = rest;
        Ok(*first)
    }

    #[inline]
    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(Cause::End)?;
        self.rest = rest;
        Ok(*taken)
    }

    #[inline]
    pub(super) fn fixed32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    #[inline]
    pub(super) fn fixed64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }

    /// Seven bits a byte, least significant first; bits above the 64th are dropped, as upstream.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64, Fault> {
        let first = self.byte()?;
        if first < 0x80 {
            return Ok(u64::from(first));
        }
        let mut value = u64::from(first & 0x7f);
        for shift in (7..70).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Cause::Varint.into())
    }

    /// A varint whose lowest bit is the sign.
    pub(super) fn zigzag(&mut self) -> Result<i64, Fault> {
        self.varint().map(unzigzag)
    }

    /// Length and bytes.
    #[inline]
    pub(super) fn prefixed(&mut self) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(self.varint()?).map_err(|_| Cause::End)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(Cause::End)?;
        self.rest = rest;
        Ok(taken)
    }

    /// A field's number and encoding.
    #[inline]
    pub(super) fn tag(&mut self) -> Result<(u32, Wire), Fault> {
        // Like other readers, a tag is read as 32 bits.
        let tag = self.varint()? & 0xffff_ffff;
        let wire = match tag & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Bytes,
            3 => Wire::Group,
            4 => Wire::EndGroup,
            5 => Wire::Fixed32,
            _ => return Err(Cause::Tag(tag).into()),
        };
        match u32::try_from(tag >> 3) {
            Ok(number) if number > 0 => Ok((number, wire)),
            _ => Err(Cause::Tag(tag).into()),
        }
    }

    /// Moves over the value of a field that nobody knows.
    pub(super) fn skip(&mut self, number: u32, wire: Wire) -> Result<(), Fault> {
        self.skip_below(number, wire, 0)
    }

    fn skip_below(&mut self, number: u32, wire: Wire, depth: usize) -> Result<(), Fault> {
        match wire {
            Wire::Varint => self.varint().map(drop),
            Wire::Fixed64 => self.fixed64().map(drop),
            Wire::Fixed32 => self.fixed32().map(drop),
            Wire::Bytes => self.prefixed().map(drop),
            Wire::EndGroup => Err(Cause::Group.into()),
            Wire::Group if depth == DEEPEST => Err(Cause::Depth.into()),
            Wire::Group => loop {
                match self.tag()? {
                    (end, Wire::EndGroup) if end == number => return Ok(()),
                    (inner, wire) => self.skip_below(inner, wire, depth + 1)?,
                }
            },
        }
    }
}

/// An integer whose lowest bit is its sign.
#[inline]
pub(super) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_and_their_bytes() {
        let table: [(&[u8], Result<u64, &str>); 6] = [
            (&[0], Ok(0)),
            (&[0x96, 0x01], Ok(150)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Ok(u64::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f], Ok(u64::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0x00], Err("an integer has too many bytes")),
            (&[0x80], Err("the payload ends inside a value")),
        ];
        for (bytes, want) in table {
            assert_eq!(Cursor::new(bytes).varint().map_err(|fault| fault.to_string()), want.map_err(str::to_owned), "{bytes:?}");
        }
    }

    #[test]
    fn tags_and_unknown_fields() {
        let skip = |bytes: &[u8]| {
            let mut cursor = Cursor::new(bytes);
            let (number, wire) = cursor.tag()?;
            cursor.skip(number, wire).map(|()| cursor.is_empty())
        };
        let nested: Vec<u8> = std::iter::repeat_n(0x0b, 102).chain(std::iter::repeat_n(0x0c, 102)).collect();
        let table: [(&[u8], Result<bool, &str>); 9] = [
            (&[0x08, 0x01], Ok(true)),
            (&[0x09, 0, 0, 0, 0, 0, 0, 0, 0], Ok(true)),
            (&[0x0a, 2, 7, 7], Ok(true)),
            (&[0x0b, 0x10, 1, 0x13, 0x14, 0x0c], Ok(true)),
            (&[0x0b, 0x14], Err("a group has no beginning or no end")),
            (&[0x0d, 0, 0, 0, 0], Ok(true)),
            (&[0x0e], Err("\"14\" is no tag of a field")),
            (&[0x02, 0], Err("\"2\" is no tag of a field")),
            (&nested, Err("unknown groups nest deeper than 100 levels")),
        ];
        for (bytes, want) in table {
            assert_eq!(skip(bytes).map_err(|fault| fault.to_string()), want.map_err(str::to_owned), "{bytes:?}");
        }
    }
}
