//! `converter.encoding`: the charsets that every Java has, both ways.
//!
//! | charset | bytes of a character | what it does not have |
//! |---|---|---|
//! | UTF-8 | 1 to 4 | nothing |
//! | UTF-16 | 2 or 4, big endian, after a byte order mark; read by its mark, without one big endian | nothing |
//! | UTF-16BE, UTF-16LE | 2 or 4, without a mark | nothing |
//! | ISO-8859-1, US-ASCII | 1 | is written as `?` |
//!
//! Bytes that are no character are read as U+FFFD.

use std::borrow::Cow;

/// A charset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Charset {
    Utf8,
    Utf16,
    Utf16Be,
    Utf16Le,
    Latin1,
    Ascii,
}

impl Charset {
    /// By one of the names that Java has for it, in any case.
    ///
    /// # Errors
    /// What is known, for a person.
    pub(crate) fn of(name: &str) -> Result<Self, String> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" => Self::Utf8,
            "UTF-16" | "UTF16" | "UTF_16" | "UNICODE" => Self::Utf16,
            "UTF-16BE" | "UTF_16BE" | "UNICODEBIGUNMARKED" => Self::Utf16Be,
            "UTF-16LE" | "UTF_16LE" | "UNICODELITTLEUNMARKED" => Self::Utf16Le,
            "ISO-8859-1" | "ISO8859-1" | "ISO8859_1" | "ISO_8859-1" | "ISO_8859_1" | "LATIN1" | "L1" => Self::Latin1,
            "US-ASCII" | "ASCII" | "ISO646-US" => Self::Ascii,
            _ => return Err(format!("charset {name:?} is not supported; values taken: UTF-8, UTF-16, UTF-16BE, UTF-16LE, ISO-8859-1, US-ASCII")),
        })
    }

    /// The text of bytes that are not UTF-8's.
    pub(crate) fn decode(self, bytes: &[u8]) -> Cow<'_, str> {
        let utf16 = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
            let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
            let mut text: String = char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
            text.extend((bytes.len() % 2 == 1).then_some(char::REPLACEMENT_CHARACTER));
            Cow::Owned(text)
        };
        match (self, bytes) {
            (Self::Utf8, _) => String::from_utf8_lossy(bytes),
            (Self::Utf16, [0xff, 0xfe, rest @ ..]) => utf16(rest, u16::from_le_bytes),
            (Self::Utf16, [0xfe, 0xff, rest @ ..]) => utf16(rest, u16::from_be_bytes),
            (Self::Utf16 | Self::Utf16Be, _) => utf16(bytes, u16::from_be_bytes),
            (Self::Utf16Le, _) => utf16(bytes, u16::from_le_bytes),
            (Self::Latin1, _) => bytes.iter().map(|byte| char::from(*byte)).collect(),
            (Self::Ascii, _) => bytes.iter().map(|byte| if byte.is_ascii() { char::from(*byte) } else { char::REPLACEMENT_CHARACTER }).collect(),
        }
    }

    /// The bytes of a text.
    pub(crate) fn encode(self, text: &str) -> Cow<'_, [u8]> {
        let narrow = |most: u32| Cow::Owned(text.chars().map(|c| u8::try_from(u32::from(c)).ok().filter(|b| u32::from(*b) <= most).unwrap_or(b'?')).collect());
        match self {
            Self::Utf8 => Cow::Borrowed(text.as_bytes()),
            // An empty text has no mark either.
            Self::Utf16 if text.is_empty() => Cow::Borrowed(&[]),
            Self::Utf16 => [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect(),
            Self::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
            Self::Latin1 => narrow(0xff),
            Self::Ascii => narrow(0x7f),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_have_the_bytes_that_java_gives_them() {
        for (name, text, bytes) in [
            ("UTF-16", "aé", &b"\xfe\xff\0a\0\xe9"[..]),
            ("UTF-16", "", b""),
            ("utf-16be", "a\u{1f600}", b"\0a\xd8\x3d\xde\0"),
            ("UTF-16LE", "a", b"a\0"),
            ("ISO-8859-1", "é\u{20ac}", b"\xe9?"),
            ("US-ASCII", "aé", b"a?"),
            ("UTF8", "é", b"\xc3\xa9"),
        ] {
            assert_eq!(Charset::of(name).expect(name).encode(text).as_ref(), bytes, "{name}");
        }
    }

    #[test]
    fn bytes_are_read_as_java_reads_them() {
        for (name, bytes, text) in [
            ("UTF-16", &b"\xff\xfea\0"[..], "a"),
            ("UTF-16", b"\0a", "a"),
            ("UTF-16", b"\0a\0", "a\u{fffd}"),
            ("UTF-16BE", b"\xd8\x3d\0a", "\u{fffd}a"),
            ("ISO-8859-1", b"\xe9", "é"),
            ("US-ASCII", b"a\xe9", "a\u{fffd}"),
        ] {
            assert_eq!(Charset::of(name).expect(name).decode(bytes), text, "{name}");
        }
        assert!(Charset::of("EBCDIC").expect_err("unknown").starts_with("charset \"EBCDIC\" is not supported; values taken: UTF-8, UTF-16,"));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text: String, bytes: Vec<u8>) {
            for charset in [Charset::Utf8, Charset::Utf16Be, Charset::Utf16Le] {
                prop_assert_eq!(charset.decode(&charset.encode(&text)).into_owned(), text.clone());
            }
            for charset in [Charset::Utf16, Charset::Latin1, Charset::Ascii] {
                prop_assert!(charset.decode(&bytes).chars().count() <= bytes.len());
            }
        }
    }
}
