//! What strings say once their escapes are undone, and objects once their repeated keys are.
//!
//! Guarantee: [`unescape`] yields UTF-8 or an error; [`without_duplicates`] keeps every byte of a text whose keys do not repeat.

use std::borrow::Cow;
use std::collections::HashMap;

use super::scan::{Cursor, Syntax, Text, Wrong};
use crate::schema::connect::MAX_DEPTH;

/// Half of a surrogate pair without its other half: there is no such character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LoneSurrogate;

/// Appends the string to `out` with its escapes undone. The escapes are known to be well formed.
#[inline]
pub(super) fn unescape(text: Text<'_>, out: &mut Vec<u8>) -> Result<(), LoneSurrogate> {
    if !text.escaped {
        out.extend_from_slice(text.raw);
        return Ok(());
    }
    unescape_slowly(text.raw, out)
}

/// As [`unescape`], with `?` in place of half a surrogate pair.
pub(super) fn unescape_lossy(text: Text<'_>, out: &mut Vec<u8>) {
    if !text.escaped {
        return out.extend_from_slice(text.raw);
    }
    let mut raw = text.raw;
    while let Some(escape) = unescape_until(raw, out) {
        out.push(b'?');
        raw = escape.get(6..).unwrap_or_default();
    }
}

fn unescape_slowly(raw: &[u8], out: &mut Vec<u8>) -> Result<(), LoneSurrogate> {
    unescape_until(raw, out).map_or(Ok(()), |_| Err(LoneSurrogate))
}

/// Appends the string up to half a surrogate pair, which it returns with what follows; none when there is none.
fn unescape_until<'a>(mut raw: &'a [u8], out: &mut Vec<u8>) -> Option<&'a [u8]> {
    while let Some(backslash) = raw.iter().position(|&b| b == b'\\') {
        let (plain, escape) = raw.split_at(backslash);
        out.extend_from_slice(plain);
        let (byte, rest) = match escape {
            [_, b'u', rest @ ..] => {
                let Some((character, rest)) = character(rest) else { return Some(escape) };
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                raw = rest;
                continue;
            }
            [_, b'b', rest @ ..] => (0x08, rest),
            [_, b'f', rest @ ..] => (0x0c, rest),
            [_, b'n', rest @ ..] => (b'\n', rest),
            [_, b'r', rest @ ..] => (b'\r', rest),
            [_, b't', rest @ ..] => (b'\t', rest),
            [_, other, rest @ ..] => (*other, rest),
            _ => return None,
        };
        out.push(byte);
        raw = rest;
    }
    out.extend_from_slice(raw);
    None
}

/// The character after `\u`, which may take a second escape, and the rest.
fn character(hex: &[u8]) -> Option<(char, &[u8])> {
    let (first, rest) = unit(hex)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, rest));
    }
    let (second, rest) = unit(rest.strip_prefix(b"\\u")?)?;
    let pair = [u16::try_from(first).ok()?, u16::try_from(second).ok()?];
    let character = char::decode_utf16(pair).next()?.ok()?;
    Some((character, rest))
}

fn unit(hex: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = hex.split_at_checked(4)?;
    let unit = digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))?;
    Some((unit, rest))
}

/// The string as a key: borrowed where it has no escape.
pub(super) fn key(text: Text<'_>) -> Result<Cow<'_, [u8]>, LoneSurrogate> {
    if !text.escaped {
        return Ok(Cow::Borrowed(text.raw));
    }
    let mut key = Vec::with_capacity(text.raw.len());
    unescape_slowly(text.raw, &mut key)?;
    Ok(Cow::Owned(key))
}

/// The value with only the last of each object's members of one name, in the place of the first: what Jackson's tree keeps. At every depth that
/// a schema can reach; deeper values are copied.
///
/// # Errors
/// [`Syntax`] when the bytes are not exactly one value, or a key is no Unicode.
pub(super) fn without_duplicates(bytes: &[u8]) -> Result<Cow<'_, [u8]>, Syntax> {
    super::scan::validate(bytes)?;
    let mut cursor = Cursor::new(bytes);
    cursor.skip_whitespace();
    let mut kept = Vec::with_capacity(bytes.len());
    let repeated = value_without_duplicates(&mut cursor, &mut kept, 0)?;
    Ok(if repeated { Cow::Owned(kept) } else { Cow::Borrowed(bytes) })
}

/// Copies the value that starts here; true when a member was left out.
fn value_without_duplicates(cursor: &mut Cursor<'_>, out: &mut Vec<u8>, depth: usize) -> Result<bool, Syntax> {
    match cursor.peek() {
        Some(b'{') if depth <= MAX_DEPTH => object_without_duplicates(cursor, out, depth),
        Some(b'[') if depth <= MAX_DEPTH => {
            let mut repeated = false;
            out.push(b'[');
            cursor.advance(1);
            cursor.skip_whitespace();
            let mut more = !cursor.eat(b']');
            while more {
                repeated |= value_without_duplicates(cursor, out, depth + 1)?;
                more = cursor.next_item()?;
                if more {
                    out.push(b',');
                }
            }
            out.push(b']');
            Ok(repeated)
        }
        _ => {
            let start = cursor.at();
            cursor.skip_value()?;
            out.extend_from_slice(cursor.since(start));
            Ok(false)
        }
    }
}

fn object_without_duplicates(cursor: &mut Cursor<'_>, out: &mut Vec<u8>, depth: usize) -> Result<bool, Syntax> {
    cursor.advance(1);
    cursor.skip_whitespace();
    let mut repeated = false;
    let mut members: Vec<(Text<'_>, Cursor<'_>)> = Vec::new();
    let mut places: HashMap<Cow<'_, [u8]>, usize> = HashMap::new();
    let mut more = !cursor.eat(b'}');
    while more {
        let text = cursor.key()?;
        let name = key(text).map_err(|LoneSurrogate| cursor.wrong(Wrong::Surrogate))?;
        let value = cursor.clone();
        match places.get(&name) {
            Some(&place) => {
                repeated = true;
                members[place].1 = value;
            }
            None => {
                places.insert(name, members.len());
                members.push((text, value));
            }
        }
        cursor.skip_value()?;
        more = cursor.next_key()?;
    }
    out.push(b'{');
    for (index, (name, mut value)) in members.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.push(b'"');
        out.extend_from_slice(name.raw);
        out.extend_from_slice(b"\":");
        repeated |= value_without_duplicates(&mut value, out, depth + 1)?;
    }
    out.push(b'}');
    Ok(repeated)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_characters() {
        for (raw, expected) in [
            (r"plain", Some("plain")),
            (r#"\"\\\/\b\f\n\r\t"#, Some("\"\\/\u{8}\u{c}\n\r\t")),
            (r"\u0041\u00e9\u20AC", Some("A\u{e9}\u{20ac}")),
            (r"x\ud83d\ude00y", Some("x\u{1f600}y")),
            (r"\ud83d", None),
            (r"\ud83dx", None),
            (r"\ud83d\u0041", None),
            (r"\ude00", None),
        ] {
            let mut out = Vec::new();
            let result = unescape(Text { raw: raw.as_bytes(), escaped: raw.contains('\\') }, &mut out);
            assert_eq!(result.is_ok().then_some(out.as_slice()), expected.map(str::as_bytes), "{raw}");
        }
    }

    #[test]
    fn the_last_of_repeated_members_stays_in_the_place_of_the_first() {
        for (text, expected) in [
            (r#"{"a":1,"b":2}"#, r#"{"a":1,"b":2}"#),
            (r#" { "a" : 1 } "#, r#" { "a" : 1 } "#),
            (r#"{"a":1,"b":2,"a":[3]}"#, r#"{"a":[3],"b":2}"#),
            (r#"{"a":1,"\u0061":2}"#, r#"{"a":2}"#),
            (r#"[{"x":{"y":1,"y":{"z":1,"z":2}}} , 7]"#, r#"[{"x":{"y":{"z":2}}},7]"#),
            (r#"{"a":{"b":1,"b":2},"a":3}"#, r#"{"a":3}"#),
        ] {
            assert_eq!(without_duplicates(text.as_bytes()), Ok(Cow::Borrowed(expected.as_bytes())), "{text}");
        }
        assert!(without_duplicates(br#"{"a":1,"a":}"#).is_err());
    }
}
