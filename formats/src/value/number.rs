//! Texts → numbers, as Java's `parseInt` and `parseDouble` read them.
//!
//! Differences: digits of other scripts are no digits here, and the hexadecimal form of floating point numbers (`0x1p3`) is not read.

use std::str::FromStr;

/// A whole number as `Byte.parseByte` to `Long.parseLong` read it: a sign and digits, nothing around them.
#[must_use]
pub(crate) fn whole<T: FromStr>(text: &str) -> Option<T> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

/// A floating point number as `Float.parseFloat` and `Double.parseDouble` read it: with spaces around it, `NaN`, `Infinity`, and a type's letter at the end.
#[must_use]
pub(crate) fn floating<T: FromStr>(text: &str) -> Option<T> {
    let text = text.trim_matches(|c| c <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return text.parse().ok();
    }
    if !unsigned.bytes().any(|byte| byte.is_ascii_digit()) || unsigned.starts_with(|c: char| c.is_alphabetic()) {
        return None;
    }
    // Rust's grammar is Java's without these letters; its names of what is no number begin with a letter.
    text.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(text).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers() {
        for (text, expected) in [
            ("12", Some(12_i8)),
            ("+12", Some(12)),
            ("-128", Some(-128)),
            ("007", Some(7)),
            ("128", None),
            ("", None),
            ("-", None),
            (" 1", None),
            ("1.0", None),
            ("1e1", None),
        ] {
            assert_eq!(whole::<i8>(text), expected, "{text}");
        }
    }

    #[test]
    fn floating_point_numbers() {
        for (text, expected) in [
            ("1.5", Some(1.5)),
            (" \t1.5\n", Some(1.5)),
            ("1e10", Some(1e10)),
            ("-.5", Some(-0.5)),
            ("5.", Some(5.0)),
            ("1f", Some(1.0)),
            ("1.5D", Some(1.5)),
            ("Infinity", Some(f64::INFINITY)),
            ("-Infinity", Some(f64::NEG_INFINITY)),
            ("1e400", Some(f64::INFINITY)),
            ("inf", None),
            ("nan", None),
            ("infinity", None),
            ("1ff", None),
            ("f", None),
            ("1 f", None),
            ("0x1p3", None),
            ("", None),
            (".", None),
            ("1e", None),
        ] {
            assert_eq!(floating::<f64>(text), expected, "{text}");
        }
        assert!(floating::<f64>("+NaN").is_some_and(f64::is_nan));
    }
}
