//! `java.math.BigDecimal` as far as texts need it: any number of digits and a scale, read and printed as Java does.
//!
//! Guarantee: reading never takes more room than the text, whatever its exponent says.

use std::cmp::Ordering;

/// A decimal number of any size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BigDecimal {
    negative: bool,
    /// Of the unscaled integer, most significant first, without leading zeros; `0` when it is zero.
    digits: String,
    /// The number is the integer × 10^-scale.
    scale: i32,
}

impl BigDecimal {
    /// Reads a text as `new BigDecimal(String)`; `None` where that throws.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let (mantissa, power) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, power)) => (mantissa, exponent(power)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_number(whole) || !is_number(fraction) {
            return None;
        }
        let digits: String = whole.chars().chain(fraction.chars()).skip_while(|digit| *digit == '0').collect();
        let scale = i32::try_from(i64::try_from(fraction.len()).ok()? - power).ok()?;
        let is_zero = digits.is_empty();
        Some(Self { negative: text.starts_with('-') && !is_zero, digits: if is_zero { "0".to_owned() } else { digits }, scale })
    }

    /// The integer × 10^-scale, from the integer's text.
    #[must_use]
    pub fn new(unscaled: &str, scale: i32) -> Self {
        let digits = unscaled.strip_prefix('-').unwrap_or(unscaled);
        Self { negative: digits.len() < unscaled.len(), digits: digits.to_owned(), scale }
    }

    /// The scale.
    #[must_use]
    pub fn scale(&self) -> i32 {
        self.scale
    }

    /// The digits of the unscaled integer, with its sign.
    #[must_use]
    pub fn unscaled(&self) -> String {
        let sign = if self.negative { "-" } else { "" };
        format!("{sign}{}", self.digits)
    }

    /// `longValue`: the whole part, of which only the low 64 bits count.
    #[must_use]
    pub fn long(&self) -> i64 {
        if self.scale <= -64 {
            return 0; // 10^64 is a multiple of 2^64
        }
        let zeros = usize::try_from(-i64::from(self.scale)).unwrap_or(0);
        let cut = usize::try_from(self.scale).unwrap_or(0);
        let whole = self.digits.len().saturating_sub(cut);
        let digits = self.digits.bytes().take(whole).map(|digit| u64::from(digit - b'0')).chain(std::iter::repeat_n(0, zeros));
        let value = digits.fold(0_u64, |value, digit| value.wrapping_mul(10).wrapping_add(digit)).cast_signed();
        if self.negative { value.wrapping_neg() } else { value }
    }

    /// The exact whole number; `None` when it has a fraction or is beyond 64 bits.
    #[must_use]
    pub fn exact_long(&self) -> Option<i64> {
        let trailing = self.digits.len() - self.digits.trim_end_matches('0').len();
        let is_whole = self.digits == "0" || usize::try_from(self.scale).map_or(true, |scale| trailing >= scale);
        // More digits than this are out of range, unless they are zeros that the scale cuts off.
        let length = i64::try_from(self.digits.len()).ok()? - i64::from(self.scale);
        if !is_whole || (length > 19 && self.digits != "0") {
            return None;
        }
        if self.digits == "0" {
            return Some(0);
        }
        let zeros = usize::try_from(-i64::from(self.scale)).unwrap_or(0);
        let whole = self.digits.len().saturating_sub(usize::try_from(self.scale).unwrap_or(0));
        let text = format!("{}{}{}", if self.negative { "-" } else { "" }, self.digits.get(..whole)?, "0".repeat(zeros));
        text.parse().ok()
    }

    /// `doubleValue`: the nearest, which may be infinite.
    #[must_use]
    pub fn double(&self) -> f64 {
        self.exponential().parse().unwrap_or(f64::NAN)
    }

    /// `floatValue`.
    #[must_use]
    pub fn float(&self) -> f32 {
        self.exponential().parse().unwrap_or(f32::NAN)
    }

    fn exponential(&self) -> String {
        format!("{}E{}", self.unscaled(), -i64::from(self.scale))
    }

    /// `compareTo`: by number, whatever the scales.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Ordering {
        let sign = |number: &Self| if number.digits == "0" { 0 } else { 1 - 2 * i32::from(number.negative) };
        let (own, its) = (sign(self), sign(other));
        if own != its || own == 0 {
            return own.cmp(&its);
        }
        // Without leading zeros, the one with more digits before the point is larger; else the first digits that differ tell.
        let point = |number: &Self| i64::try_from(number.digits.len()).unwrap_or(i64::MAX) - i64::from(number.scale);
        let digits = |number: &Self| number.digits.trim_end_matches('0').to_owned();
        let by_size = point(self).cmp(&point(other)).then_with(|| digits(self).cmp(&digits(other)));
        if own < 0 { by_size.reverse() } else { by_size }
    }

    /// The unscaled integer at another scale, where that loses no digit.
    #[must_use]
    pub fn rescaled(&self, scale: i8) -> Option<String> {
        if self.digits == "0" {
            return Some("0".to_owned());
        }
        let shift = i64::from(scale) - i64::from(self.scale);
        let sign = if self.negative { "-" } else { "" };
        if shift >= 0 {
            // More than any column holds.
            let zeros = usize::try_from(shift).ok().filter(|zeros| *zeros <= 100)?;
            return Some(format!("{sign}{}{}", self.digits, "0".repeat(zeros)));
        }
        let cut = usize::try_from(-shift).ok()?;
        let (kept, lost) = self.digits.split_at_checked(self.digits.len().checked_sub(cut)?)?;
        (!kept.is_empty() && lost.bytes().all(|digit| digit == b'0')).then(|| format!("{sign}{kept}"))
    }
}

impl std::fmt::Display for BigDecimal {
    /// `BigDecimal.toString`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { negative, digits, scale } = self;
        f.write_str(if *negative { "-" } else { "" })?;
        if *scale == 0 {
            return f.write_str(digits);
        }
        let length = i64::try_from(digits.len()).unwrap_or(i64::MAX);
        let point = length - i64::from(*scale);
        if *scale > 0 && point >= -5 {
            let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
            let zeros = "0".repeat(usize::try_from(-point).unwrap_or(0));
            return write!(f, "{}.{zeros}{fraction}", if whole.is_empty() { "0" } else { whole });
        }
        let (first, rest) = digits.split_at(1);
        let separator = if rest.is_empty() { "" } else { "." };
        write!(f, "{first}{separator}{rest}")?;
        match point - 1 {
            0 => Ok(()),
            power => write!(f, "E{power:+}"),
        }
    }
}

/// At most ten digits after a sign, as Java takes them.
fn exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let significant = digits.trim_start_matches('0');
    if digits.is_empty() || significant.len() > 10 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let power: i64 = if significant.is_empty() { 0 } else { significant.parse().ok()? };
    Some(if text.starts_with('-') { -power } else { power })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_read_and_printed_as_by_java() {
        for (text, printed) in [
            ("0", Some("0")),
            ("-0", Some("0")),
            ("+5", Some("5")),
            ("007", Some("7")),
            ("1.50", Some("1.50")),
            (".5", Some("0.5")),
            ("5.", Some("5")),
            ("1e3", Some("1E+3")),
            ("-1.25E-9", Some("-1.25E-9")),
            ("0.0000001", Some("1E-7")),
            ("0.000001", Some("0.000001")),
            ("12e-1", Some("1.2")),
            ("1e2147483647", Some("1E+2147483647")),
            ("1e2147483649", None),
            ("", None),
            ("+", None),
            (".", None),
            ("e5", None),
            ("1e", None),
            ("1e+", None),
            ("1 ", None),
            ("0x10", None),
            ("1_0", None),
            ("--1", None),
            ("NaN", None),
        ] {
            assert_eq!(BigDecimal::parse(text).map(|decimal| decimal.to_string()), printed.map(str::to_owned), "{text}");
        }
    }

    #[test]
    fn whole_parts_wrap_and_exact_ones_do_not() {
        for (text, long, exact) in [
            ("300", 300, Some(300)),
            ("-2.99", -2, None),
            ("2.00", 2, Some(2)),
            ("1e3", 1000, Some(1000)),
            ("9223372036854775807", i64::MAX, Some(i64::MAX)),
            ("9223372036854775808", i64::MIN, None),
            ("-9223372036854775808", i64::MIN, Some(i64::MIN)),
            ("18446744073709551617", 1, None),
            ("0.9", 0, None),
            ("0e999999999", 0, Some(0)),
            ("1e999999999", 0, None),
            ("1e-999999999", 0, None),
            ("1000000000000000000000e-20", 10, Some(10)),
        ] {
            let decimal = BigDecimal::parse(text).expect(text);
            assert_eq!((decimal.long(), decimal.exact_long()), (long, exact), "{text}");
        }
    }

    #[test]
    fn another_scale_loses_no_digit() {
        for (text, scale, expected) in
            [("1.5", 2, Some("150")), ("-1.50", 1, Some("-15")), ("1.55", 1, None), ("0", -5, Some("0")), ("1e200", 0, None), ("0.1", 0, None)]
        {
            assert_eq!(BigDecimal::parse(text).expect(text).rescaled(scale), expected.map(str::to_owned), "{text} at {scale}");
        }
    }

    proptest! {
        #[test]
        fn numbers_compare_whatever_their_scales(a: i64, b: i64, zeros in 0_usize..5, scale in -9_i32..9) {
            let longer = |number: i64| BigDecimal::new(&format!("{number}{}", if number == 0 { String::new() } else { "0".repeat(zeros) }), scale + i32::try_from(zeros).unwrap());
            prop_assert_eq!(BigDecimal::new(&a.to_string(), scale).compare(&longer(b)), a.cmp(&b));
        }

        #[test]
        fn what_is_printed_is_read_again(unscaled: i128, scale in -1000_i32..1000) {
            let decimal = BigDecimal::new(&unscaled.to_string(), scale);
            prop_assert_eq!(BigDecimal::parse(&decimal.to_string()), Some(decimal));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+]?[0-9.]{0,12}([eE][-+]?[0-9]{0,12})?", other: String) {
            if let Some(decimal) = BigDecimal::parse(&text) {
                prop_assert_eq!(decimal.exact_long().unwrap_or(decimal.long()), decimal.long());
            }
            drop(BigDecimal::parse(&other));
        }
    }
}
