//! Numbers as Java prints them.
//!
//! Source: `Double.toString`, `Float.toString` (JDK 19 and later: the shortest digits that read back equal) and `BigDecimal.toString`, through
//! which Jackson writes numbers. `1.0` keeps its fraction, `1.0E21` its exponent; what is no number is a string.

use arrow::datatypes::i256;

/// Appends a float64, as Jackson writes Java's `double`.
pub fn push_f64(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return push_not_finite(value.is_nan(), value > 0.0, out);
    }
    let magnitude = value.abs();
    push_digits(ryu::Buffer::new().format_finite(value), magnitude == 0.0 || (1e-3..1e7).contains(&magnitude), out);
}

/// Appends a float32.
pub(crate) fn push_f32(value: f32, out: &mut Vec<u8>) {
    if !value.is_finite() {
        return push_not_finite(value.is_nan(), value > 0.0, out);
    }
    let magnitude = value.abs();
    push_digits(ryu::Buffer::new().format_finite(value), magnitude == 0.0 || (1e-3..1e7).contains(&magnitude), out);
}

fn push_not_finite(nan: bool, positive: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(match (nan, positive) {
        (true, _) => b"\"NaN\"",
        (_, true) => b"\"Infinity\"",
        (_, false) => b"\"-Infinity\"",
    });
}

/// `plain`: Java, too, prints a number of this size without exponent.
fn push_digits(shortest: &str, plain: bool, out: &mut Vec<u8>) {
    if plain {
        out.extend_from_slice(shortest.as_bytes());
        return;
    }
    let unsigned = match shortest.strip_prefix('-') {
        Some(unsigned) => {
            out.push(b'-');
            unsigned
        }
        None => shortest,
    };
    let (mantissa, exponent) = unsigned.split_once('e').unwrap_or((unsigned, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let zeros = fraction.len() - fraction.trim_start_matches('0').len();
    let places = |digits: usize| i32::try_from(digits).unwrap_or(i32::MAX);
    let power = exponent + if whole == "0" { -places(zeros) - 1 } else { places(whole.len()) - 1 };
    let mut digits = whole.bytes().chain(fraction.bytes()).skip_while(|digit| *digit == b'0');
    out.push(digits.next().unwrap_or(b'0'));
    out.push(b'.');
    let start = out.len();
    out.extend(digits);
    while out.len() > start && out.last() == Some(&b'0') {
        out.pop();
    }
    if out.len() == start {
        out.push(b'0');
    }
    out.push(b'E');
    out.extend_from_slice(itoa::Buffer::new().format(power).as_bytes());
}

/// Appends a decimal that is given as its unscaled integer's digits.
pub(super) fn push_decimal(unscaled: &str, scale: i8, out: &mut Vec<u8>) {
    let digits = unscaled.strip_prefix('-').unwrap_or(unscaled);
    if digits.len() < unscaled.len() {
        out.push(b'-');
    }
    let digits = digits.as_bytes();
    if scale == 0 {
        out.extend_from_slice(digits);
        return;
    }
    let length = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let point = length - i32::from(scale);
    let (first, rest) = digits.split_at(digits.len().min(1));
    if scale > 0 && point >= -5 {
        let (whole, fraction) = digits.split_at(usize::try_from(point).unwrap_or(0));
        out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
        out.push(b'.');
        out.extend((point..0).map(|_| b'0'));
        out.extend_from_slice(fraction);
        return;
    }
    out.extend_from_slice(first);
    if !rest.is_empty() {
        out.push(b'.');
        out.extend_from_slice(rest);
    }
    if point != 1 {
        out.push(b'E');
        if point > 1 {
            out.push(b'+');
        }
        out.extend_from_slice(itoa::Buffer::new().format(point - 1).as_bytes());
    }
}

/// The unscaled integer of a decimal.
pub(super) trait Unscaled: Copy {
    /// Appends it as a decimal of that scale.
    fn push(self, scale: i8, out: &mut Vec<u8>);
    /// Its two's complement, big endian, shortest form, as `BigInteger.toByteArray` gives it; the buffer lends the room.
    fn minimal(self, buffer: &mut [u8; 32]) -> &[u8];
}

impl Unscaled for i128 {
    fn push(self, scale: i8, out: &mut Vec<u8>) {
        push_decimal(itoa::Buffer::new().format(self), scale, out);
    }

    fn minimal(self, buffer: &mut [u8; 32]) -> &[u8] {
        i256::from_i128(self).minimal(buffer)
    }
}

impl Unscaled for i256 {
    fn push(self, scale: i8, out: &mut Vec<u8>) {
        push_decimal(&self.to_string(), scale, out);
    }

    fn minimal(self, buffer: &mut [u8; 32]) -> &[u8] {
        *buffer = self.to_be_bytes();
        let sign = if self.is_negative() { 0xff } else { 0 };
        let extra = buffer.windows(2).take_while(|pair| pair[0] == sign && (pair[0] ^ pair[1]) & 0x80 == 0).count();
        &buffer[extra..]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(push: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        push(&mut out);
        String::from_utf8(out).expect("ascii")
    }

    #[test]
    fn doubles_are_printed_as_by_java() {
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (-12.5, "-12.5"),
            (0.001, "0.001"),
            (0.000_999, "9.99E-4"),
            (1e-7, "1.0E-7"),
            (9_999_999.0, "9999999.0"),
            (1e7, "1.0E7"),
            (123_456_789.0, "1.23456789E8"),
            (1.234_567_89e21, "1.23456789E21"),
            (-1e21, "-1.0E21"),
            (f64::MAX, "1.7976931348623157E308"),
            (2.2e-308, "2.2E-308"),
            (f64::NAN, "\"NaN\""),
            (f64::INFINITY, "\"Infinity\""),
            (f64::NEG_INFINITY, "\"-Infinity\""),
        ] {
            assert_eq!(text(|out| push_f64(value, out)), expected);
        }
        for (value, expected) in [(0.1_f32, "0.1"), (1e10, "1.0E10"), (3.402_823_5e38, "3.4028235E38"), (16_777_216.0, "1.6777216E7")] {
            assert_eq!(text(|out| push_f32(value, out)), expected);
        }
    }

    #[test]
    fn decimals_are_printed_as_by_java() {
        for (unscaled, scale, expected) in [
            (0_i128, 0, "0"),
            (0, 2, "0.00"),
            (123, 2, "1.23"),
            (-123, 2, "-1.23"),
            (-5, 2, "-0.05"),
            (123, -3, "1.23E+5"),
            (5, -1, "5E+1"),
            (1, 6, "0.000001"),
            (1, 7, "1E-7"),
            (12, 8, "1.2E-7"),
            (-12, 30, "-1.2E-29"),
            (0, 7, "0E-7"),
        ] {
            assert_eq!(text(|out| unscaled.push(scale, out)), expected, "{unscaled} at {scale}");
            assert_eq!(text(|out| i256::from_i128(unscaled).push(scale, out)), expected, "{unscaled} at {scale}");
        }
    }

    #[test]
    fn unscaled_bytes_are_as_few_as_carry_the_sign() {
        for (value, expected) in
            [(0_i128, &[0][..]), (127, &[0x7f]), (128, &[0, 0x80]), (-1, &[0xff]), (-128, &[0x80]), (-129, &[0xff, 0x7f]), (150, &[0, 0x96])]
        {
            assert_eq!(value.minimal(&mut [0; 32]), expected, "{value}");
        }
    }

    proptest! {
        #[test]
        fn every_float_reads_back_equal(bits in any::<u64>()) {
            let (double, float) = (f64::from_bits(bits), f32::from_bits(bits as u32));
            if double.is_finite() {
                prop_assert_eq!(text(|out| push_f64(double, out)).parse::<f64>().map(f64::to_bits), Ok(double.to_bits()));
            }
            if float.is_finite() {
                prop_assert_eq!(text(|out| push_f32(float, out)).parse::<f32>().map(f32::to_bits), Ok(float.to_bits()));
            }
        }
    }
}
