//! How deep the brackets of a schema's text nest, found out before it is compiled: the compiler goes down one call for each level and would run out of
//! stack.
//!
//! Guarantee: the compiler never sees more levels than are counted here. What it might take to end elsewhere (strings and comments that are broken, which
//! it refuses as well) is refused.

/// Levels that a text may have.
const DEEPEST: usize = 64;

/// Checks a text: a file, or the value of an option.
///
/// # Errors
/// The line and what is wrong there, for a person.
pub(super) fn check(text: &str) -> Result<(), String> {
    let mut open = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let next = match (first, after) {
            (b'#', _) | (b'/', [b'/', ..]) => Ok(line(after)),
            (b'/', [b'*', inside @ ..]) => comment(inside),
            (b'"' | b'\'', _) => string(*first, after),
            (bracket, _) => {
                match bracket {
                    b'{' => open.push(b'}'),
                    b'[' => open.push(b']'),
                    b'<' => open.push(b'>'),
                    // One that closes nothing leaves open what is: the compiler may pass it over.
                    _ if open.last() == Some(bracket) => drop(open.pop()),
                    _ => {}
                }
                if open.len() > DEEPEST { Err("brackets nest deeper than 64 levels") } else { Ok(after) }
            }
        };
        rest = next.map_err(|what| {
            let before = text.as_bytes().iter().take(text.len() - rest.len());
            format!("line {}: {what}", before.filter(|byte| **byte == b'\n').count() + 1)
        })?;
    }
    Ok(())
}

/// What comes after the line.
fn line(text: &[u8]) -> &[u8] {
    text.iter().position(|byte| *byte == b'\n').and_then(|end| text.get(end..)).unwrap_or_default()
}

/// What comes after a comment.
fn comment(mut text: &[u8]) -> Result<&[u8], &'static str> {
    loop {
        text = match text {
            [b'*', b'/', after @ ..] => return Ok(after),
            [b'/', b'*', ..] => return Err("a comment contains a comment"),
            [_, after @ ..] => after,
            [] => return Err("a comment has no end"),
        };
    }
}

/// What comes after a string.
fn string(quote: u8, mut text: &[u8]) -> Result<&[u8], &'static str> {
    loop {
        text = match text {
            [byte, after @ ..] if *byte == quote => return Ok(after),
            [] | [b'\n', ..] => return Err("a string has no end"),
            [b'\\', b'x' | b'X', hex, after @ ..] if hex.is_ascii_hexdigit() => after,
            [b'\\', b'u' | b'U', hex, after @ ..] if hex.is_ascii_hexdigit() => after,
            [b'\\', b'0'..=b'7' | b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'?' | b'\\' | b'\'' | b'"', after @ ..] => after,
            [b'\\', ..] => return Err("a string has an escape that Protobuf does not know"),
            [_, after @ ..] => after,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(open: &str, levels: usize, close: &str) -> String {
        open.repeat(levels) + &close.repeat(levels)
    }

    #[test]
    fn levels_are_counted_outside_of_strings_and_comments() {
        let fits = [
            deep("message M {", DEEPEST, "}"),
            deep("a { b: [ c <", DEEPEST / 3, "> ] }"),
            "message M { map<string, int32> x = 1; }".repeat(200),
            format!("\"{}\"", "{".repeat(200)),
            format!("'it\\'s \\\\ \\x7b \\173 \\u007b \" {}'", "{".repeat(200)),
            format!("// it's {}\n# \" {}\n", "{".repeat(200), "{".repeat(200)),
            format!("/*/ it's {} **/", "{\n".repeat(200)),
            "\u{1f980} {}".repeat(200),
            String::new(),
        ];
        for text in fits {
            assert_eq!(check(&text), Ok(()), "{text}");
        }
        let level = "brackets nest deeper than 64 levels";
        let refused = [
            (deep("message M {", DEEPEST + 1, "}"), 1, level),
            (deep("\n{", 200, "}"), DEEPEST + 2, level),
            (deep("a [", 200, "]"), 1, level),
            (deep("a <", 200, ">"), 1, level),
            ("{ > ) ]".repeat(200), 1, level),
            (format!("'\"' {}", "{".repeat(200)), 1, level),
            (format!("/* ' */ // \"\n {}", "{".repeat(200)), 2, level),
            ("\n'".to_owned(), 2, "a string has no end"),
            ("'\n'".to_owned(), 1, "a string has no end"),
            ("'\\".to_owned(), 1, "a string has an escape that Protobuf does not know"),
            ("'\\x' '".to_owned(), 1, "a string has an escape that Protobuf does not know"),
            ("'\\\n'".to_owned(), 1, "a string has an escape that Protobuf does not know"),
            ("/* *".to_owned(), 1, "a comment has no end"),
            ("/* /* */ */".to_owned(), 1, "a comment contains a comment"),
        ];
        for (text, line, what) in refused {
            assert_eq!(check(&text), Err(format!("line {line}: {what}")), "{text}");
        }
    }
}
