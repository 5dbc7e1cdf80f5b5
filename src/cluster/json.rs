//! JSON as upstream's converter writes and reads it in the internal topics: without an envelope, compact, escapes and numbers as Jackson and Java spell them.

use std::io;

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{CharEscape, Formatter};

use lakehead_formats::file::json::push_f64;

/// The bytes of a value. Strings, booleans, whole numbers and maps of them come out as upstream's bytes; members keep their order.
pub(super) fn to_bytes(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    let written = value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, Jackson));
    debug_assert!(written.is_ok(), "memory takes every byte, and the keys of all maps are strings: {written:?}");
    out
}

/// What a record's value says; no bytes are null, as in upstream's converter. What follows the first JSON value is not looked at.
pub(super) fn parse(bytes: Option<&[u8]>) -> Result<Value, serde_json::Error> {
    bytes.and_then(|bytes| serde_json::Deserializer::from_slice(bytes).into_iter().next()).unwrap_or(Ok(Value::Null))
}

/// What a value is, for messages.
pub(super) fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None => "nothing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "a boolean",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a string",
        Some(Value::Array(_)) => "an array",
        Some(Value::Object(_)) => "an object",
    }
}

/// Jackson's spelling where it is not `serde_json`'s.
struct Jackson;

impl Formatter for Jackson {
    fn write_f64<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: f64) -> io::Result<()> {
        let mut text = Vec::with_capacity(24);
        push_f64(value, &mut text);
        writer.write_all(&text)
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04X}"),
            CharEscape::Quote => writer.write_all(b"\\\""),
            CharEscape::ReverseSolidus => writer.write_all(b"\\\\"),
            CharEscape::Solidus => writer.write_all(b"\\/"),
            CharEscape::Backspace => writer.write_all(b"\\b"),
            CharEscape::FormFeed => writer.write_all(b"\\f"),
            CharEscape::LineFeed => writer.write_all(b"\\n"),
            CharEscape::CarriageReturn => writer.write_all(b"\\r"),
            CharEscape::Tab => writer.write_all(b"\\t"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn text(value: &Value) -> String {
        String::from_utf8(to_bytes(value)).expect("text")
    }

    #[test]
    fn values_are_spelled_as_jackson_spells_them() {
        for (value, expected) in [
            (json!({"b": 1, "a": [true, null]}), r#"{"b":1,"a":[true,null]}"#),
            (json!("/é\u{1f600}\u{7f}"), "\"/é\u{1f600}\u{7f}\""),
            (json!("\u{1b}\u{0}\"\\\n\t\r\u{8}\u{c}"), r#""\u001B\u0000\"\\\n\t\r\b\f""#),
            (json!(1e10), "1.0E10"),
            (json!(0.5), "0.5"),
            (json!(i64::MIN), "-9223372036854775808"),
        ] {
            assert_eq!(text(&value), expected);
        }
    }

    #[test]
    fn no_bytes_are_null_and_what_follows_is_not_looked_at() {
        for (bytes, expected) in [(None, json!(null)), (Some(&b""[..]), json!(null)), (Some(b" "), json!(null)), (Some(b"{\"a\":1}x"), json!({"a": 1}))] {
            assert_eq!(parse(bytes).expect("JSON"), expected);
        }
        assert!(parse(Some(b"{\"a\":")).is_err() && parse(Some(b"x")).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(key in "\\PC*", text in ".*", number: i64, double in -1e300..1e300) {
            let value = json!({ key: text, "number": number, "double": double });
            prop_assert_eq!(parse(Some(&to_bytes(&value))).expect("JSON"), value);
        }
    }
}
