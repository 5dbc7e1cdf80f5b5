//! One value out of a JSON text, without parsing the rest of it.
//!
//! [`Path`] walks the text once, steps over what it is not looking for, stops at the value and returns its bytes where they are. Nothing is
//! allocated unless a key on the way is written with escapes. The text is expected to be JSON (the converter has read it); a text that is not never
//! panics, but what is found in it means nothing. Of keys that occur twice the first counts.

use std::borrow::Cow;

/// Names of nested fields, outermost first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path(Vec<String>);

/// What stands at a path.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token<'a> {
    /// No such field, or something on the way is not an object.
    Missing,
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number as it is written.
    Number(&'a str),
    /// A text, unescaped.
    String(Cow<'a, str>),
    /// `{…}` or `[…]`.
    Composite,
}

impl Path {
    /// The path that a dotted name stands for, as upstream splits it: `a.b.c`; dots at the end do not count. The empty name is the whole text.
    pub(super) fn new(dotted: &str) -> Self {
        if dotted.is_empty() {
            return Self::whole();
        }
        Self(dotted.trim_end_matches('.').split('.').map(str::to_owned).collect())
    }

    /// The path to the text itself, whatever it is.
    pub(super) fn whole() -> Self {
        Self(Vec::new())
    }

    /// True when it leads to the text itself.
    pub(super) fn is_whole(&self) -> bool {
        self.0.is_empty()
    }

    /// The names.
    pub(super) fn segments(&self) -> &[String] {
        &self.0
    }

    /// The value at this path; `None` when the text is not a JSON object (or, for the path to the whole, no JSON).
    pub(super) fn find<'a>(&self, text: &'a str) -> Option<Token<'a>> {
        let mut scanner = Scanner { text, at: 0 };
        scanner.skip_space();
        if !self.is_whole() && scanner.peek() != Some(b'{') {
            return None;
        }
        for name in &self.0 {
            if scanner.peek() != Some(b'{') || !scanner.enter(name)? {
                return Some(Token::Missing);
            }
        }
        scanner.token()
    }
}

/// A position in the text.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or(&[])
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    /// At `{`: moves to the value of the field `name`; false when the object has no such field.
    fn enter(&mut self, name: &str) -> Option<bool> {
        self.at += 1;
        loop {
            self.skip_space();
            match self.peek()? {
                b'}' => return Some(false),
                b',' => self.at += 1,
                b'"' => {
                    let (key, has_escapes) = self.string()?;
                    self.skip_space();
                    self.at += usize::from(self.peek()? == b':');
                    self.skip_space();
                    if key == name || (has_escapes && unescape(key).is_some_and(|key| key == name)) {
                        return Some(true);
                    }
                    self.skip_value()?;
                }
                _ => return None,
            }
        }
    }

    /// At `"`: moves past the text; its inside, and whether there are escapes in it.
    fn string(&mut self) -> Option<(&'a str, bool)> {
        let start = self.at + 1;
        let mut at = start;
        let bytes = self.text.as_bytes();
        let mut has_escapes = false;
        loop {
            match bytes.get(at)? {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        self.at = at + 1;
        Some((self.text.get(start..at)?, has_escapes))
    }

    /// Moves past one value.
    fn skip_value(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(|_| ()),
            b'{' | b'[' => self.skip_composite(),
            _ => self.scalar().map(|_| ()),
        }
    }

    /// At `{` or `[`: moves past its end.
    fn skip_composite(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// At a number or a literal: moves past it.
    fn scalar(&mut self) -> Option<&'a str> {
        let start = self.at;
        let length = self.rest().iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b' ' | b'\n' | b'\r' | b'\t')).unwrap_or(self.rest().len());
        self.at += length;
        self.text.get(start..self.at).filter(|text| !text.is_empty())
    }

    /// The value here.
    fn token(&mut self) -> Option<Token<'a>> {
        Some(match self.peek()? {
            b'"' => match self.string()? {
                (text, false) => Token::String(Cow::Borrowed(text)),
                (text, true) => Token::String(Cow::Owned(unescape(text)?)),
            },
            b'{' | b'[' => Token::Composite,
            _ => match self.scalar()? {
                "null" => Token::Null,
                "true" => Token::Boolean(true),
                "false" => Token::Boolean(false),
                number => Token::Number(number),
            },
        })
    }
}

/// The text that the inside of a JSON string stands for.
fn unescape(inside: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{inside}\"")).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn find<'a>(path: &str, text: &'a str) -> Option<Token<'a>> {
        Path::new(path).find(text)
    }

    #[test]
    fn values_at_paths() {
        let text = r#" { "a" : 1 , "b":{"c":[{"a":2},"x]"],"d":"q\"\u00e4\\"},"e":null,"f":true,"g":-1.50e3,"h":"plain","a.b":9,"\u0069":7} "#;
        for (path, token) in [
            ("a", Token::Number("1")),
            ("b", Token::Composite),
            ("b.c", Token::Composite),
            ("b.d", Token::String(Cow::Borrowed("q\"ä\\"))),
            ("e", Token::Null),
            ("f", Token::Boolean(true)),
            ("g", Token::Number("-1.50e3")),
            ("h", Token::String(Cow::Borrowed("plain"))),
            ("h.", Token::String(Cow::Borrowed("plain"))),
            ("i", Token::Number("7")),
            ("z", Token::Missing),
            ("a.b", Token::Missing),
            ("e.x", Token::Missing),
            ("b.c.a", Token::Missing),
        ] {
            assert_eq!(find(path, text), Some(token), "{path}");
        }
    }

    #[test]
    fn the_first_of_two_equal_keys_counts() {
        assert_eq!(find("a", r#"{"a":1,"a":2}"#), Some(Token::Number("1")));
    }

    #[test]
    fn texts_that_are_no_objects() {
        for text in ["", "1", "[1]", "\"a\"", "null", "{", "{\"a", "{\"a\":", "{a:1}", "{\"b\":[1"] {
            assert_eq!(find("a", text), None, "{text}");
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,6}|[\"\\\\{}\\[\\],:a]{0,6}".prop_map(Value::from),
        ];
        let inner = leaf.prop_recursive(4, 32, 5, |element| {
            prop_oneof![
                prop::collection::vec(element.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[ab\"\\\\]{1,2}", element, 0..5).prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        });
        prop::collection::btree_map("[ab\"\\\\]{1,2}", inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn finds_what_a_full_parser_finds(value in json(), path in "[ab]{1,2}(\\.[ab]{1,2}){0,2}", pretty in any::<bool>()) {
            let text = if pretty { serde_json::to_string_pretty(&value).unwrap() } else { value.to_string() };
            let wanted = path.split('.').try_fold(&value, |at, name| at.as_object().and_then(|fields| fields.get(name)));
            let wanted = match wanted {
                None => Token::Missing,
                Some(Value::Null) => Token::Null,
                Some(Value::Bool(b)) => Token::Boolean(*b),
                Some(Value::String(s)) => Token::String(Cow::Borrowed(s)),
                Some(Value::Array(_) | Value::Object(_)) => Token::Composite,
                Some(number @ Value::Number(_)) => {
                    prop_assert_eq!(find(&path, &text), Some(Token::Number(&number.to_string())));
                    return Ok(());
                }
            };
            prop_assert_eq!(find(&path, &text), Some(wanted));
        }

        #[test]
        fn no_text_panics(text in "[{}\\[\\]\":,a\\\\ 1é]{0,24}") {
            let is_object = text.trim_start().starts_with('{');
            prop_assert!(is_object || find("a.a", &text).is_none());
        }
    }
}
