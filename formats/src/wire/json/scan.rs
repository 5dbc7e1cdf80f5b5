//! A cursor over one JSON text: whitespace, strings, literals, and whole values to be skipped.
//!
//! The grammar is RFC 8259's, to the letter, over bytes that the caller has found to be UTF-8. Nothing allocates while nesting stays
//! below 64 levels, and nothing recurses.
//!
//! Guarantee: any bytes are either one value or a [`Syntax`] error with its position; nesting ends at [`MAX_DEPTH`], where Jackson's does
//! (`StreamReadConstraints`).

use std::fmt;

/// Containers within containers that are read at most.
pub(super) const MAX_DEPTH: usize = 1000;

/// What the grammar wanted, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Syntax {
    /// Byte position in the text, from 0.
    pub(super) at: u32,
    /// What is wrong there.
    pub(super) what: Wrong,
}

/// The ways in which a text can be no JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    Value,
    End,
    Trailing,
    Key,
    Colon,
    CommaOrBrace,
    CommaOrBracket,
    Number,
    Literal,
    Escape,
    Control,
    Depth,
    Utf8,
    Surrogate,
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.what {
            Wrong::Value => "a value is expected",
            Wrong::End => "the text ends too early",
            Wrong::Trailing => "there is more after the value",
            Wrong::Key => "a key in double quotes is expected",
            Wrong::Colon => "a colon is expected",
            Wrong::CommaOrBrace => "a comma or } is expected",
            Wrong::CommaOrBracket => "a comma or ] is expected",
            Wrong::Number => "the number is not complete",
            Wrong::Literal => "only true, false and null may stand without quotes",
            Wrong::Escape => "the escape sequence is unknown",
            Wrong::Control => "a control character stands unescaped in a string",
            Wrong::Depth => "it nests deeper than 1000 levels",
            Wrong::Utf8 => "it is no valid utf-8",
            Wrong::Surrogate => "the escape is half of a surrogate pair, no character",
        };
        write!(f, "malformed json at byte {}: {what}", self.at)
    }
}

/// A string between its quotes, as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'a> {
    pub(super) raw: &'a [u8],
    /// True when there is a backslash in it.
    pub(super) escaped: bool,
}

/// A place in a text.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Containers that are open around this place.
    pub(super) depth: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, depth: 0 }
    }

    #[inline]
    pub(super) fn at(&self) -> usize {
        self.at
    }

    #[inline]
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The text from an earlier position up to here.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Moves on by bytes that were seen in [`rest`](Self::rest).
    #[inline]
    pub(super) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    pub(super) fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn wrong(&self, what: Wrong) -> Syntax {
        let what = if self.at >= self.bytes.len() && what != Wrong::Depth { Wrong::End } else { what };
        Syntax { at: u32::try_from(self.at).unwrap_or(u32::MAX), what }
    }

    /// The rest must be whitespace.
    #[inline]
    pub(super) fn end(&mut self) -> Result<(), Syntax> {
        self.skip_whitespace();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.wrong(Wrong::Trailing)) }
    }

    /// One level deeper, after an opening bracket was eaten.
    #[inline]
    pub(super) fn open(&mut self) -> Result<(), Syntax> {
        self.depth += 1;
        if self.depth > MAX_DEPTH { Err(self.wrong(Wrong::Depth)) } else { Ok(()) }
    }

    /// `true`, `false` or `null`, in full.
    #[inline]
    pub(super) fn literal(&mut self, word: &[u8]) -> Result<(), Syntax> {
        if !self.rest().starts_with(word) {
            return Err(self.wrong(Wrong::Literal));
        }
        self.at += word.len();
        Ok(())
    }

    /// The string whose opening quote is next.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text<'a>, Syntax> {
        self.at += 1;
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain(self.rest());
            match self.peek() {
                Some(b'"') => {
                    let raw = self.since(start);
                    self.at += 1;
                    return Ok(Text { raw, escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(self.wrong(Wrong::Control)),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Syntax> {
        let length = match self.rest() {
            [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [_, b'u', hex @ ..] if hex.len() >= 4 && hex.iter().take(4).all(u8::is_ascii_hexdigit) => 6,
            _ => return Err(self.wrong(Wrong::Escape)),
        };
        self.at += length;
        Ok(())
    }

    /// A key, its colon, and the whitespace around them.
    #[inline]
    pub(super) fn key(&mut self) -> Result<Text<'a>, Syntax> {
        self.skip_whitespace();
        if self.peek() != Some(b'"') {
            return Err(self.wrong(Wrong::Key));
        }
        let key = self.string()?;
        self.skip_whitespace();
        if !self.eat(b':') {
            return Err(self.wrong(Wrong::Colon));
        }
        self.skip_whitespace();
        Ok(key)
    }

    /// After a value in an object: true when another key follows, false when the object has ended.
    #[inline]
    pub(super) fn next_key(&mut self) -> Result<bool, Syntax> {
        self.more(b'}', Wrong::CommaOrBrace)
    }

    /// After a value in an array: true when another value follows, false when the array has ended.
    #[inline]
    pub(super) fn next_item(&mut self) -> Result<bool, Syntax> {
        self.more(b']', Wrong::CommaOrBracket)
    }

    #[inline]
    fn more(&mut self, close: u8, what: Wrong) -> Result<bool, Syntax> {
        self.skip_whitespace();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_whitespace();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.wrong(what)),
        }
    }

    /// Moves over the value that starts here, of any kind, and checks all of it.
    pub(super) fn skip_value(&mut self) -> Result<(), Syntax> {
        let mut nesting = Nesting::default();
        let outer = self.depth;
        loop {
            if let Some(object) = self.skip_scalar_or_open()? {
                nesting.push(object);
                self.depth = outer + nesting.depth;
                if self.depth > MAX_DEPTH {
                    return Err(self.wrong(Wrong::Depth));
                }
                self.skip_whitespace();
                if !self.eat(if object { b'}' } else { b']' }) {
                    if object {
                        self.key()?;
                    }
                    continue;
                }
                nesting.pop();
            }
            loop {
                let Some(object) = nesting.top() else {
                    self.depth = outer;
                    return Ok(());
                };
                if if object { self.next_key()? } else { self.next_item()? } {
                    if object {
                        self.key()?;
                    }
                    break;
                }
                nesting.pop();
            }
        }
    }

    /// Eats a scalar, or an opening bracket: then true for an object.
    #[inline]
    fn skip_scalar_or_open(&mut self) -> Result<Option<bool>, Syntax> {
        match self.peek() {
            Some(b'"') => {
                self.string()?;
            }
            Some(b'-' | b'0'..=b'9') => self.skip_number()?,
            Some(open @ (b'{' | b'[')) => {
                self.at += 1;
                return Ok(Some(open == b'{'));
            }
            Some(b't') => self.literal(b"true")?,
            Some(b'f') => self.literal(b"false")?,
            Some(b'n') => self.literal(b"null")?,
            Some(b'a'..=b'z' | b'A'..=b'Z') => return Err(self.wrong(Wrong::Literal)),
            _ => return Err(self.wrong(Wrong::Value)),
        }
        Ok(None)
    }

    pub(super) fn skip_number(&mut self) -> Result<(), Syntax> {
        self.eat(b'-');
        if !self.eat(b'0') {
            self.digits()?;
        }
        if self.eat(b'.') {
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if !self.eat(b'-') {
                self.eat(b'+');
            }
            self.digits()?;
        }
        Ok(())
    }

    /// One digit or more.
    #[inline]
    fn digits(&mut self) -> Result<(), Syntax> {
        let count = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        if count == 0 { Err(self.wrong(Wrong::Number)) } else { Ok(()) }
    }
}

/// Checks that the bytes are exactly one JSON value, in UTF-8, with nothing but whitespace around it.
pub(super) fn validate(bytes: &[u8]) -> Result<(), Syntax> {
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(Syntax { at: u32::try_from(error.valid_up_to()).unwrap_or(u32::MAX), what: Wrong::Utf8 });
    }
    validate_utf8(bytes)
}

/// As [`validate`], for bytes that are known to be UTF-8.
pub(super) fn validate_utf8(bytes: &[u8]) -> Result<(), Syntax> {
    let mut cursor = Cursor::new(bytes);
    cursor.skip_whitespace();
    cursor.skip_value()?;
    cursor.end()
}

/// How many bytes go by before a quote, a backslash or a control character.
#[inline]
pub(crate) fn plain(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let (chunks, tail) = bytes.as_chunks::<8>();
    for (index, chunk) in chunks.iter().enumerate() {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        // A subtraction borrows out of every byte that is too small; a borrow can only make a byte above a true hit look like one.
        let hits = (word.wrapping_sub(ONES * 0x20) & !word) | (quote.wrapping_sub(ONES) & !quote) | (backslash.wrapping_sub(ONES) & !backslash);
        if hits & HIGH != 0 {
            return index * 8 + (hits & HIGH).trailing_zeros() as usize / 8;
        }
    }
    chunks.len() * 8 + tail.iter().take_while(|&&b| b >= 0x20 && b != b'"' && b != b'\\').count()
}

/// The kinds of the containers around a place, innermost last; a bit each.
#[derive(Default)]
pub(super) struct Nesting {
    /// The innermost 64, the innermost lowest; 1 is an object.
    word: u64,
    depth: usize,
    /// The words of the outer levels.
    outer: Vec<u64>,
}

impl Nesting {
    #[inline]
    pub(super) fn push(&mut self, object: bool) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.word);
        }
        self.word = self.word << 1 | u64::from(object);
        self.depth += 1;
    }

    #[inline]
    pub(super) fn top(&self) -> Option<bool> {
        (self.depth > 0).then_some(self.word & 1 == 1)
    }

    #[inline]
    pub(super) fn pop(&mut self) {
        self.depth -= 1;
        self.word >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.word = self.outer.pop().unwrap_or_default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_value_or_says_where_it_is_not() {
        for (text, reason) in [
            (r#"{"a":[1,-0.5e+7,"x\u00e9\n",true,false,null,{},[]]}"#, ""),
            (" \t\r\n7 ", ""),
            ("", "malformed json at byte 0: the text ends too early"),
            ("{\"a\":1", "malformed json at byte 6: the text ends too early"),
            ("{\"a\":1,}", "malformed json at byte 7: a key in double quotes is expected"),
            ("{a:1}", "malformed json at byte 1: a key in double quotes is expected"),
            ("{\"a\" 1}", "malformed json at byte 5: a colon is expected"),
            ("{\"a\":1 \"b\":2}", "malformed json at byte 7: a comma or } is expected"),
            ("[1 2]", "malformed json at byte 3: a comma or ] is expected"),
            ("[1,]", "malformed json at byte 3: a value is expected"),
            ("[1}", "malformed json at byte 2: a comma or ] is expected"),
            ("007", "malformed json at byte 1: there is more after the value"),
            ("1.", "malformed json at byte 2: the text ends too early"),
            ("[1.x]", "malformed json at byte 3: the number is not complete"),
            ("NaN", "malformed json at byte 0: only true, false and null may stand without quotes"),
            ("nul", "malformed json at byte 0: only true, false and null may stand without quotes"),
            ("{} {}", "malformed json at byte 3: there is more after the value"),
            ("\"a\tb\"", "malformed json at byte 2: a control character stands unescaped in a string"),
            ("\"\\x\"", "malformed json at byte 1: the escape sequence is unknown"),
            ("\"\\u12g4\"", "malformed json at byte 1: the escape sequence is unknown"),
        ] {
            assert_eq!(validate(text.as_bytes()).err().map_or(String::new(), |e| e.to_string()), reason, "{text:?}");
        }
        assert_eq!(validate(b"\"a\xff\"").expect_err("no utf-8").to_string(), "malformed json at byte 2: it is no valid utf-8");
    }

    #[test]
    fn nesting_is_read_up_to_a_thousand_levels() {
        for (depth, whole) in [(63, true), (64, true), (65, true), (129, true), (1000, true), (1001, false), (1_000_000, false)] {
            let mixed: String = (0..depth).map(|i| if i % 3 == 0 { "[" } else { "{\"k\":" }).collect();
            let closing: String = (0..depth).rev().map(|i| if i % 3 == 0 { "]" } else { "}" }).collect();
            assert_eq!(validate(format!("{mixed}1{closing}").as_bytes()).is_ok(), whole, "{depth}");
        }
    }

    #[test]
    fn the_end_of_plain_text_is_found_wherever_it_is() {
        for stop in [b'"', b'\\', 0x00, 0x1f] {
            for length in 0..40 {
                for filler in [b'a', b' ', b'!', b'#', 0x7f, 0x80, 0xff, b'[', b']'] {
                    let mut text = vec![filler; length];
                    assert_eq!(plain(&text), length);
                    text.push(stop);
                    text.extend_from_slice(b"\"\\aaaaaaaaaaaa");
                    assert_eq!(plain(&text), length, "{stop:#x} after {length} of {filler:#x}");
                }
            }
        }
    }
}
