//! A JSON text as a series of events, for whoever writes the values on in another form.
//!
//! Numbers are what Jackson makes of them in a tree without a schema: those without point and exponent are 64-bit integers, all others are doubles. An
//! integer that is beyond 64 bits is a double, unless the taker reads its digits.
//!
//! Guarantee: nothing recurses, and nothing is allocated while nesting stays below 64 levels.

use std::borrow::Cow;

use super::scan::{Cursor, Nesting, Syntax, Text, Wrong};
use super::text::{unescape_lossy, without_duplicates};

/// Takes the values of a text, in order.
pub(crate) trait Events {
    /// `null`.
    fn null(&mut self);
    /// `true` or `false`.
    fn boolean(&mut self, value: bool);
    /// A number without point and exponent.
    fn integer(&mut self, value: i64);
    /// A number without point and exponent that is beyond 64 bits: its digits, and the nearest double.
    fn wide_integer(&mut self, digits: &[u8], nearest: f64) {
        let _ = digits;
        self.double(nearest);
    }
    /// Any other number; past the largest it is infinite.
    fn double(&mut self, value: f64);
    /// A string.
    fn string(&mut self, text: Quoted<'_>);
    /// The name of an object's member; its value follows.
    fn key(&mut self, name: Quoted<'_>);
    /// An object or array begins.
    fn open(&mut self, object: bool);
    /// The innermost object or array, whichever it is, ends.
    fn close(&mut self, object: bool);
}

/// A string as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quoted<'a>(Text<'a>);

impl<'a> Quoted<'a> {
    /// It, where nothing in it is escaped.
    pub(crate) fn plain(self) -> Option<&'a [u8]> {
        (!self.0.escaped).then_some(self.0.raw)
    }

    /// Appends it with its escapes undone; half of a surrogate pair becomes `?`, as where Java encodes it.
    pub(crate) fn push_to(self, out: &mut Vec<u8>) {
        unescape_lossy(self.0, out);
    }
}

/// Reads a text.
///
/// # Errors
/// What is wrong with it, and where; the events before that were given.
pub(crate) fn read(text: &[u8], events: &mut impl Events) -> Result<(), String> {
    values(text, events).map_err(|syntax| syntax.to_string())
}

/// The text with only the last of each object's members of one name.
///
/// # Errors
/// What is wrong with it, and where.
pub(crate) fn last_members(text: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    without_duplicates(text).map_err(|syntax| syntax.to_string())
}

fn values(text: &[u8], events: &mut impl Events) -> Result<(), Syntax> {
    let mut cursor = Cursor::new(text);
    let mut nesting = Nesting::default();
    cursor.skip_whitespace();
    loop {
        if let Some(object) = scalar_or_open(&mut cursor, events)? {
            nesting.push(object);
            cursor.open()?;
            cursor.skip_whitespace();
            if !cursor.eat(if object { b'}' } else { b']' }) {
                if object {
                    events.key(Quoted(cursor.key()?));
                }
                continue;
            }
            nesting.pop();
            cursor.depth -= 1;
            events.close(object);
        }
        loop {
            let Some(object) = nesting.top() else { return cursor.end() };
            if if object { cursor.next_key()? } else { cursor.next_item()? } {
                if object {
                    events.key(Quoted(cursor.key()?));
                }
                break;
            }
            nesting.pop();
            cursor.depth -= 1;
            events.close(object);
        }
    }
}

/// Gives a scalar, or eats an opening bracket: then true for an object.
fn scalar_or_open(cursor: &mut Cursor<'_>, events: &mut impl Events) -> Result<Option<bool>, Syntax> {
    match cursor.peek() {
        Some(b'"') => events.string(Quoted(cursor.string()?)),
        Some(b'-' | b'0'..=b'9') => {
            let number = cursor.number()?;
            match number.integral.then(|| number.to_i64()).flatten() {
                Some(integer) => events.integer(integer),
                None => {
                    let double = number.to_f64().unwrap_or(if number.negative { f64::NEG_INFINITY } else { f64::INFINITY });
                    if number.integral { events.wide_integer(number.text, double) } else { events.double(double) }
                }
            }
        }
        Some(open @ (b'{' | b'[')) => {
            cursor.advance(1);
            events.open(open == b'{');
            return Ok(Some(open == b'{'));
        }
        Some(b't') => {
            cursor.literal(b"true")?;
            events.boolean(true);
        }
        Some(b'f') => {
            cursor.literal(b"false")?;
            events.boolean(false);
        }
        Some(b'n') => {
            cursor.literal(b"null")?;
            events.null();
        }
        Some(b'a'..=b'z' | b'A'..=b'Z') => return Err(cursor.wrong(Wrong::Literal)),
        _ => return Err(cursor.wrong(Wrong::Value)),
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events as a text.
    #[derive(Default)]
    struct Trace(Vec<String>);

    impl Events for Trace {
        fn null(&mut self) {
            self.0.push("null".to_owned());
        }
        fn boolean(&mut self, value: bool) {
            self.0.push(value.to_string());
        }
        fn integer(&mut self, value: i64) {
            self.0.push(value.to_string());
        }
        fn double(&mut self, value: f64) {
            self.0.push(format!("{value:?}"));
        }
        fn string(&mut self, text: Quoted<'_>) {
            let mut out = Vec::new();
            text.push_to(&mut out);
            self.0.push(format!("'{}'", String::from_utf8_lossy(&out)));
        }
        fn key(&mut self, name: Quoted<'_>) {
            self.string(name);
            self.0.push(":".to_owned());
        }
        fn open(&mut self, object: bool) {
            self.0.push(if object { "{" } else { "[" }.to_owned());
        }
        fn close(&mut self, object: bool) {
            self.0.push(if object { "}" } else { "]" }.to_owned());
        }
    }

    #[test]
    fn a_text_is_its_values_in_order() {
        for (text, expected) in [
            (" 7 ", "7"),
            ("-0", "0"),
            ("9223372036854775807", "9223372036854775807"),
            ("9223372036854775808", "9.223372036854776e18"),
            ("1.0", "1.0"),
            ("1e400", "inf"),
            ("-1e400", "-inf"),
            (r#"{"a":[1,{"b":null}],"c":{},"d":[]}"#, "{ 'a' : [ 1 { 'b' : null } ] 'c' : { } 'd' : [ ] }"),
            (r#"[true,false,"\u0041\ud83d\ude00\ud83dx\n"]"#, "[ true false 'A\u{1f600}?x\n' ]"),
        ] {
            let mut trace = Trace::default();
            assert_eq!(read(text.as_bytes(), &mut trace), Ok(()));
            assert_eq!(trace.0.join(" "), expected, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_json_is_refused_as_everywhere() {
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        for text in ["", "[1", "[1,]", "{\"a\"}", "{1:2}", "nul", "01", "1 2", "\"\t\"", "[1}", &deep(1001)] {
            assert_eq!(
                read(text.as_bytes(), &mut Trace::default()).err(),
                super::super::scan::validate(text.as_bytes()).err().map(|e| e.to_string()),
                "{text}"
            );
        }
        assert_eq!(read(deep(1000).as_bytes(), &mut Trace::default()), Ok(()));
    }
}
