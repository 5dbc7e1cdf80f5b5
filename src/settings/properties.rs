//! `java.util.Properties`: the format of worker and connector files.
//!
//! Comments (`#`, `!`), separators (`=`, `:`, blanks), continuation lines and escapes as in the documentation of `Properties.load`. Java reads
//! the bytes as ISO-8859-1; files are usually written as UTF-8 today, so bytes that are valid UTF-8 are read as such, others as ISO-8859-1.
//! Where a key appears twice, the last one holds, as in Java.

use std::fmt;

use crate::connect::Props;

/// A `\u` escape that is not four hexadecimal digits, the one thing that Java refuses too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadEscape {
    /// Line number in the file, from 1.
    pub line: usize,
}

impl fmt::Display for BadEscape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: malformed \\uXXXX escape (four hexadecimal digits follow \\u; write \\\\ for a backslash)", self.line)
    }
}

impl std::error::Error for BadEscape {}

/// Reads a whole file.
///
/// # Errors
/// [`BadEscape`] with the line where a `\u` escape is malformed.
pub fn parse(bytes: &[u8]) -> Result<Props, BadEscape> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&b| char::from(b)).collect(),
    };
    let mut props = Props::new();
    for (line, logical) in logical_lines(&text) {
        let (key, value) = split(&logical);
        let unescaped = |raw: &str| unescape(raw).ok_or(BadEscape { line });
        props.insert(unescaped(key)?, unescaped(value)?);
    }
    Ok(props)
}

/// Lines without comments and blank lines, continuation lines joined, each with the number of its first line.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n").replace('\r', "\n");
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (i, natural) in text.split('\n').enumerate() {
        let natural = natural.trim_start_matches(is_blank);
        let (number, mut logical) = match open.take() {
            Some(open) => open,
            None if natural.is_empty() || natural.starts_with(['#', '!']) => continue,
            None => (i + 1, String::new()),
        };
        let backslashes = natural.bytes().rev().take_while(|&b| b == b'\\').count();
        if backslashes % 2 == 1 {
            logical.push_str(&natural[..natural.len() - 1]);
            open = Some((number, logical));
        } else {
            logical.push_str(natural);
            lines.push((number, logical));
        }
    }
    lines.extend(open);
    lines.retain(|(_, logical)| !logical.is_empty());
    lines
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Key and value of a logical line, still escaped: the key ends at the first unescaped `=`, `:` or blank.
fn split(line: &str) -> (&str, &str) {
    let mut escaped = false;
    let mut end = line.len();
    for (i, c) in line.char_indices() {
        match c {
            '\\' => escaped = !escaped,
            '=' | ':' | ' ' | '\t' | '\u{c}' if !escaped => {
                end = i;
                break;
            }
            _ => escaped = false,
        }
    }
    let (key, rest) = line.split_at(end);
    let rest = rest.trim_start_matches(is_blank);
    let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
    (key, rest.trim_start_matches(is_blank))
}

/// Undoes the escapes; `None` when a `\u` escape is malformed. A backslash before any other character means that character.
fn unescape(raw: &str) -> Option<String> {
    let mut units: Vec<u16> = Vec::new();
    let mut out = String::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(c) = chars.next() {
        let c = match (c, c == '\\') {
            (c, false) => c,
            (_, true) => match chars.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('f') => '\u{c}',
                Some('u') => {
                    let digits: String = chars.by_ref().take(4).collect();
                    if digits.len() != 4 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                        return None;
                    }
                    units.push(u16::from_str_radix(&digits, 16).ok()?);
                    continue;
                }
                Some(other) => other,
                None => break,
            },
        };
        flush(&mut units, &mut out);
        out.push(c);
    }
    flush(&mut units, &mut out);
    Some(out)
}

/// Appends a run of `\u` escapes: they are UTF-16, two of them may make one character.
fn flush(units: &mut Vec<u16>, out: &mut String) {
    out.extend(char::decode_utf16(units.drain(..)).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
    }

    #[test]
    fn reads_what_java_reads() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("a=b", &[("a", "b")]),
            ("  a  =  b  ", &[("a", "b  ")]),
            ("a: b", &[("a", "b")]),
            ("a b", &[("a", "b")]),
            ("a = = b", &[("a", "= b")]),
            ("a\tb:c", &[("a", "b:c")]),
            ("a", &[("a", "")]),
            ("a=", &[("a", "")]),
            ("=b", &[("", "b")]),
            ("# a=b\n! c=d\n\n  # e\nf=g", &[("f", "g")]),
            ("a=b # no comment", &[("a", "b # no comment")]),
            ("a=one,\\\n    two,\\\r\n\tthree", &[("a", "one,two,three")]),
            ("a=x\\\n# not a comment", &[("a", "x# not a comment")]),
            ("a=x\\\\\nb=y", &[("a", "x\\"), ("b", "y")]),
            ("a\\=b\\:c\\ d=e", &[("a=b:c d", "e")]),
            ("a=\\t\\n\\r\\f\\q", &[("a", "\t\n\r\u{c}q")]),
            ("a=\\u00e9\\u20AC \\ud83d\\ude00", &[("a", "é€ 😀")]),
            ("a=é", &[("a", "é")]),
            ("a=1\na=2", &[("a", "2")]),
            ("path=C:\\\\tmp", &[("path", "C:\\tmp")]),
            ("a=b\\", &[("a", "b")]),
            ("\u{feff}a=b", &[("a", "b")]),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text.as_bytes()).unwrap(), props(expected), "{text:?}");
        }
        assert_eq!(parse(b"a=\xe9").unwrap(), props(&[("a", "é")]), "bytes that are no UTF-8 are ISO-8859-1");
    }

    #[test]
    fn a_malformed_unicode_escape_names_its_line() {
        for text in ["x=1\na=\\u12", "x=1\na=\\uzzzz", "x=1\na=\\u+123"] {
            assert_eq!(parse(text.as_bytes()), Err(BadEscape { line: 2 }), "{text:?}");
        }
    }

    /// As `Properties.store` writes a key or a value.
    fn stored(text: &str) -> String {
        text.chars()
            .map(|c| match c {
                ' ' | '=' | ':' | '#' | '!' | '\\' => format!("\\{c}"),
                '\t' => "\\t".to_owned(),
                '\n' => "\\n".to_owned(),
                '\r' => "\\r".to_owned(),
                '\u{c}' => "\\f".to_owned(),
                c => c.to_string(),
            })
            .collect()
    }

    proptest! {
        #[test]
        fn what_was_stored_is_read_back(key in "\\PC{1,20}", value in any::<String>()) {
            let text = format!("{}={}\n", stored(&key), stored(&value));
            prop_assert_eq!(parse(text.as_bytes()).unwrap(), props(&[(&key, &value)]));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            parse(&bytes).ok();
        }
    }
}
