//! `StringConverter`: payloads as strings, in UTF-8 or another charset.
//!
//! Source: `org.apache.kafka.connect.storage.StringConverter`, whose schema is optional string. Bytes that are no UTF-8 become U+FFFD exactly as
//! Java's `new String(bytes, UTF_8)` puts it: one for each maximal part of a character, one for a whole encoded surrogate.
//!
//! Guarantee: no row is rejected, and no byte is copied where the payloads are UTF-8.

use std::sync::Arc;

use arrow::array::{Array, BinaryArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;

use super::charset::Charset;
use super::{ConvertError, Converter, Decoded, Options, RegisteredSchema, SchemaId, Want, Wire};
use crate::column::Column;

/// Registration.
pub(super) const WIRE: Wire = Wire {
    name: "string",
    aliases: &["org.apache.kafka.connect.storage.StringConverter", "StringConverter", "String"],
    doc: "Reads payloads as UTF-8 strings: optional string.",
    registry: false,
    build,
};

fn build(options: &Options, is_key: bool, _want: Want) -> Result<Box<dyn Converter>, ConvertError> {
    const KEY: &str = "converter.encoding";
    let charset = Charset::of(options.get(KEY).map_or("UTF-8", |charset| charset.trim()));
    let charset = charset.map_err(|message| ConvertError::Config { key: KEY.to_owned(), message })?;
    let field = Field::new(super::json::column_name(is_key), DataType::Utf8, true);
    Ok(Box::new(StringConverter { field: Arc::new(field), charset }))
}

#[derive(Debug)]
struct StringConverter {
    field: FieldRef,
    charset: Charset,
}

impl Converter for StringConverter {
    fn missing(&self, _payloads: &BinaryArray) -> Vec<SchemaId> {
        Vec::new()
    }

    fn learn(&mut self, _id: SchemaId, _schema: Result<&RegisteredSchema, &str>) -> Result<(), ConvertError> {
        Ok(())
    }

    fn forget(&mut self, _id: SchemaId) {}

    fn decode(&mut self, _topic: &str, payloads: &BinaryArray) -> Result<Decoded, ConvertError> {
        let strings = match (self.charset, share(payloads)) {
            (Charset::Utf8, Ok(strings)) => strings,
            (Charset::Utf8, Err(_)) => replaced(payloads)?,
            (charset, _) => payloads.iter().map(|payload| payload.map(|payload| charset.decode(payload))).collect(),
        };
        let column = Column::new(FieldRef::clone(&self.field), Arc::new(strings));
        Ok(Decoded { spans: vec![(0..payloads.len(), column)], rejects: Vec::new() })
    }
}

/// The payloads as strings over the same memory.
///
/// # Errors
/// When a payload is no UTF-8.
pub(super) fn share(payloads: &BinaryArray) -> Result<StringArray, ArrowError> {
    let offsets = payloads.offsets();
    let (first, last) = (offsets.first(), offsets.last());
    let start = usize::try_from(first).unwrap_or(0);
    let values = payloads.values().slice_with_length(start, usize::try_from(last - first).unwrap_or(0));
    let offsets = match first {
        0 => offsets.clone(),
        _ => OffsetBuffer::new(offsets.iter().map(|o| o - first).collect::<ScalarBuffer<i32>>()),
    };
    StringArray::try_new(offsets, values, payloads.nulls().cloned())
}

/// The payloads with U+FFFD in place of what is no UTF-8.
fn replaced(payloads: &BinaryArray) -> Result<StringArray, ArrowError> {
    let mut values = Vec::with_capacity(payloads.value_data().len());
    let mut offsets = Vec::with_capacity(payloads.len() + 1);
    offsets.push(0);
    for payload in payloads {
        push_lossy(payload.unwrap_or_default(), &mut values);
        let end = i32::try_from(values.len()).map_err(|_| ArrowError::OffsetOverflowError(values.len()))?;
        offsets.push(end);
    }
    StringArray::try_new(OffsetBuffer::new(ScalarBuffer::from(offsets)), Buffer::from_vec(values), payloads.nulls().cloned())
}

fn push_lossy(mut bytes: &[u8], out: &mut Vec<u8>) {
    while let Err(error) = std::str::from_utf8(bytes) {
        let (valid, rest) = bytes.split_at(error.valid_up_to());
        out.extend_from_slice(valid);
        out.extend_from_slice("\u{fffd}".as_bytes());
        let bad = match rest {
            [0xed, 0xa0..=0xbf, 0x80..=0xbf, ..] => 3, // an encoded surrogate
            _ => error.error_len().unwrap_or(rest.len()),
        };
        bytes = rest.get(bad..).unwrap_or_default();
    }
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(payloads: &BinaryArray) -> Column {
        let mut converter = (WIRE.build)(&Options::new(), false, Want::Any).expect("no settings");
        let mut decoded = converter.decode("t", payloads).expect("any bytes");
        assert!(decoded.rejects.is_empty());
        decoded.spans.remove(0).1
    }

    #[test]
    fn bytes_become_strings_as_in_java() {
        for (payload, expected) in [
            (&b"plain"[..], "plain"),
            ("gr\u{fc}n \u{1f600}".as_bytes(), "gr\u{fc}n \u{1f600}"),
            (b"", ""),
            (b"\xff", "\u{fffd}"),
            (b"a\xc3", "a\u{fffd}"),
            (b"a\xe2\x82b", "a\u{fffd}b"),
            (b"\xed\xa0\x80x", "\u{fffd}x"),
            (b"\xf0\x9f\x98", "\u{fffd}"),
            (b"\xc0\x80", "\u{fffd}\u{fffd}"),
        ] {
            let column = decode(&BinaryArray::from(vec![Some(payload), None]));
            let expected = StringArray::from(vec![Some(expected), None]);
            assert_eq!(column.array.as_ref(), &expected as &dyn Array, "{payload:?}");
        }
    }

    #[test]
    fn a_slice_shares_the_memory_of_its_rows() {
        let payloads = BinaryArray::from(vec![Some(&b"\xff"[..]), Some(b"b"), None, Some(b"ccc")]).slice(1, 3);
        let column = decode(&payloads);
        assert_eq!(column.array.as_ref(), &StringArray::from(vec![Some("b"), None, Some("ccc")]) as &dyn Array);
        assert!(column.field.metadata().is_empty());
    }

    #[test]
    fn a_charset_that_is_not_known_is_refused() {
        let options = |charset: &str| Options::from([("converter.encoding".to_owned(), charset.to_owned())]);
        let mut latin = build(&options("ISO-8859-1"), false, Want::Any).expect("a charset");
        let decoded = latin.decode("t", &BinaryArray::from(vec![Some(&b"\xe9"[..]), None])).expect("any bytes");
        assert_eq!(decoded.spans[0].1.array.as_ref(), &StringArray::from(vec![Some("é"), None]) as &dyn Array);
        let error = build(&options("EBCDIC"), false, Want::Any).expect_err("another charset");
        assert!(error.to_string().starts_with("converter.encoding: charset \"EBCDIC\" is not supported"), "{error}");
    }
}
