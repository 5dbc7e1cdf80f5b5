//! Numbers, straight from their digits.
//!
//! A [`Number`] is read once, digit by digit; what it becomes is decided by the column: int64, float64 (correctly rounded: by one exact
//! division where mantissa and power of ten are exact, by the standard library otherwise) or a decimal of a given scale.
//!
//! Guarantee: no value is rounded, cut or wrapped into an integer or decimal column; what does not fit is `None`.

use arrow::datatypes::i256;

use super::scan::{Cursor, Syntax, Wrong};

/// A number as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Number<'a> {
    /// All of it, sign to exponent.
    pub(super) text: &'a [u8],
    pub(super) negative: bool,
    /// The digits before and after the point, as one integer; `None` past 19 digits.
    mantissa: Option<u64>,
    /// Power of ten that the mantissa is to be multiplied with.
    exponent: i32,
    /// True when there is neither point nor exponent.
    pub(super) integral: bool,
}

/// Powers of ten that a float64 holds exactly.
const EXACT_POWERS: [f64; 23] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22];

impl<'a> Cursor<'a> {
    /// The number that starts here.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number<'a>, Syntax> {
        let start = self.at();
        let negative = self.eat(b'-');
        let (mut mantissa, mut digits) = (0, 0);
        if self.eat(b'0') {
            digits = 1;
        } else if self.digits_into(&mut mantissa, &mut digits) == 0 {
            return Err(self.wrong(Wrong::Number));
        }
        let (mut exponent, mut integral) = (0, true);
        if self.eat(b'.') {
            integral = false;
            let fraction = self.digits_into(&mut mantissa, &mut digits);
            if fraction == 0 {
                return Err(self.wrong(Wrong::Number));
            }
            exponent = -i32::try_from(fraction).unwrap_or(i32::MAX);
        }
        if let Some(b'e' | b'E') = self.peek() {
            integral = false;
            self.advance(1);
            exponent = self.power()?.saturating_add(exponent);
        }
        Ok(Number { text: self.since(start), negative, mantissa: (digits <= 19).then_some(mantissa), exponent, integral })
    }

    /// Adds the digits that follow to the mantissa (which wraps past 19 of them) and returns their number.
    #[inline]
    fn digits_into(&mut self, mantissa: &mut u64, digits: &mut usize) -> usize {
        let rest = self.rest();
        let mut count = 0;
        while let Some(eight) = rest.get(count..).and_then(|r| r.first_chunk::<8>()).and_then(|c| eight_digits(*c)) {
            *mantissa = mantissa.wrapping_mul(100_000_000).wrapping_add(eight);
            count += 8;
        }
        while let Some(digit @ b'0'..=b'9') = rest.get(count) {
            *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            count += 1;
        }
        self.advance(count);
        *digits += count;
        count
    }

    /// The signed digits of an exponent; saturates.
    fn power(&mut self) -> Result<i32, Syntax> {
        let negative = self.eat(b'-');
        if !negative {
            self.eat(b'+');
        }
        let (mut power, mut count) = (0_i32, 0);
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            power = power.saturating_mul(10).saturating_add(i32::from(digit - b'0'));
            count += 1;
            self.advance(1);
        }
        if count == 0 {
            return Err(self.wrong(Wrong::Number));
        }
        Ok(if negative { -power } else { power })
    }
}

/// The value of eight ASCII digits; `None` when one of the bytes is no digit.
#[inline]
fn eight_digits(chunk: [u8; 8]) -> Option<u64> {
    let word = u64::from_le_bytes(chunk);
    // A digit is 0x30 to 0x39: its high half is 3, and stays 3 when 6 is added.
    let is_digits = (word & 0xf0f0_f0f0_f0f0_f0f0) | ((word.wrapping_add(0x0606_0606_0606_0606) & 0xf0f0_f0f0_f0f0_f0f0) >> 4);
    if is_digits != 0x3333_3333_3333_3333 {
        return None;
    }
    let digits = word & 0x0f0f_0f0f_0f0f_0f0f;
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

impl Number<'_> {
    /// The exact integer, `1.0` and `1e3` included; `None` when it is a fraction or beyond 64 bits.
    #[inline]
    pub(super) fn to_i64(self) -> Option<i64> {
        if !self.integral {
            return self.to_decimal::<i128>(0).and_then(|v| i64::try_from(v).ok());
        }
        let mantissa = self.mantissa?;
        if self.negative { 0_i64.checked_sub_unsigned(mantissa) } else { i64::try_from(mantissa).ok() }
    }

    /// The nearest float64; `None` past the largest.
    #[inline]
    pub(super) fn to_f64(self) -> Option<f64> {
        if let Some(mantissa @ 0..0x20_0000_0000_0000) = self.mantissa
            && let Some(power) = EXACT_POWERS.get(self.exponent.unsigned_abs() as usize)
        {
            let mantissa = mantissa as f64;
            let value = if self.exponent < 0 { mantissa / power } else { mantissa * power };
            return Some(if self.negative { -value } else { value });
        }
        std::str::from_utf8(self.text).ok()?.parse().ok().filter(|v: &f64| v.is_finite())
    }

    /// The nearest float32; `None` past the largest.
    pub(super) fn to_f32(self) -> Option<f32> {
        std::str::from_utf8(self.text).ok()?.parse().ok().filter(|v: &f32| v.is_finite())
    }

    /// The number times 10^scale, when that is an integer of the type; `None` when digits would be lost.
    pub(super) fn to_decimal<T: Unscaled>(self, scale: i8) -> Option<T> {
        let digits = self.text.iter().skip(usize::from(self.negative)).take_while(|b| !matches!(b, b'e' | b'E')).filter(|&&b| b != b'.');
        let mut shift = i64::from(self.exponent) + i64::from(scale);
        let (mut value, mut zeros) = (T::ZERO, 0_i64); // zeros: held back, because trailing ones may be cut
        for digit in digits {
            if *digit == b'0' {
                zeros += 1;
                continue;
            }
            if value != T::ZERO {
                value = value.times_ten(zeros + 1)?;
            }
            value = value.plus(digit - b'0')?;
            zeros = 0;
        }
        if value == T::ZERO {
            return Some(value);
        }
        shift += zeros;
        if shift < 0 {
            return None;
        }
        let value = value.times_ten(shift)?;
        if self.negative { value.negated() } else { Some(value) }
    }
}

/// The integer behind a decimal.
pub(super) trait Unscaled: Copy + PartialEq {
    /// Nothing.
    const ZERO: Self;
    /// Bytes of it.
    const WIDTH: usize;
    /// Itself × 10^n.
    fn times_ten(self, n: i64) -> Option<Self>;
    /// Itself + a digit.
    fn plus(self, digit: u8) -> Option<Self>;
    /// Itself × -1.
    fn negated(self) -> Option<Self>;
    /// From a big-endian two's complement of at most [`WIDTH`](Self::WIDTH) bytes.
    fn from_be_bytes(bytes: &[u8]) -> Self;
}

impl Unscaled for i128 {
    const ZERO: Self = 0;
    const WIDTH: usize = 16;

    fn times_ten(self, n: i64) -> Option<Self> {
        self.checked_mul(10_i128.checked_pow(u32::try_from(n).ok()?)?)
    }

    fn plus(self, digit: u8) -> Option<Self> {
        self.checked_add(Self::from(digit))
    }

    fn negated(self) -> Option<Self> {
        self.checked_neg()
    }

    fn from_be_bytes(bytes: &[u8]) -> Self {
        let sign = if bytes.first().is_some_and(|b| b & 0x80 != 0) { -1 } else { 0 };
        bytes.iter().fold(sign, |value, byte| value << 8 | Self::from(*byte))
    }
}

impl Unscaled for i256 {
    const ZERO: Self = Self::ZERO;
    const WIDTH: usize = 32;

    fn times_ten(self, n: i64) -> Option<Self> {
        let ten = Self::from_i128(10);
        if n > 77 { None } else { self.checked_mul(ten.checked_pow(u32::try_from(n).ok()?)?) }
    }

    fn plus(self, digit: u8) -> Option<Self> {
        self.checked_add(Self::from_i128(i128::from(digit)))
    }

    fn negated(self) -> Option<Self> {
        self.checked_neg()
    }

    fn from_be_bytes(bytes: &[u8]) -> Self {
        let fill = if bytes.first().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let mut whole = [fill; 32];
        if let Some(low) = whole.get_mut(32 - bytes.len().min(32)..) {
            low.copy_from_slice(&bytes[bytes.len() - low.len()..]);
        }
        Self::from_be_bytes(whole)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Number<'_> {
        Cursor::new(text.as_bytes()).number().expect("a number")
    }

    #[test]
    fn integers_are_exact_or_nothing() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("12345678", Some(12_345_678)),
            ("1234567890123", Some(1_234_567_890_123)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("18446744073709551616", None),
            ("100000000000000000000000000000000000000000", None),
            ("1.0", Some(1)),
            ("-2.50e1", Some(-25)),
            ("1e3", Some(1000)),
            ("1.5", None),
            ("1e400", None),
            ("1e-400", None),
            ("0e999999999999", Some(0)),
        ] {
            assert_eq!(read(text).to_i64(), expected, "{text}");
        }
    }

    #[test]
    fn decimals_keep_every_digit_or_are_nothing() {
        for (text, scale, expected) in [
            ("1.5", 2, Some(150)),
            ("-0.01", 2, Some(-1)),
            ("1.505", 2, None),
            ("1.500", 2, Some(150)),
            ("1500", -2, Some(15)),
            ("15", -2, None),
            ("1e2", 2, Some(10_000)),
            ("12345678901234567890123456789012345678", 0, Some(12_345_678_901_234_567_890_123_456_789_012_345_678)),
            ("1e40", 0, None),
        ] {
            assert_eq!(read(text).to_decimal::<i128>(scale), expected, "{text} at scale {scale}");
            assert_eq!(read(text).to_decimal::<i256>(scale).and_then(i256::to_i128).filter(|_| text != "1e40"), expected, "{text} at scale {scale}");
        }
    }

    #[test]
    fn unscaled_bytes_are_signed_and_big_endian() {
        for (bytes, expected) in [(&[0x7f][..], 127), (&[0xff], -1), (&[0x00, 0xff], 255), (&[0xfe, 0x0c], -500)] {
            assert_eq!(<i128 as Unscaled>::from_be_bytes(bytes), expected);
            assert_eq!(<i256 as Unscaled>::from_be_bytes(bytes), i256::from_i128(expected));
        }
    }

    proptest! {
        #[test]
        fn floats_are_what_the_standard_library_reads(mantissa in any::<i64>(), point in 0_usize..18, power in -330_i32..330) {
            let digits = mantissa.unsigned_abs().to_string();
            let point = point.min(digits.len() - 1);
            let fraction = &digits[digits.len() - point..];
            let sign = if mantissa < 0 { "-" } else { "" };
            let whole = &digits[..digits.len() - point];
            let number = if point == 0 { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") };
            for text in [number.clone(), format!("{number}e{power}"), format!("{number}E+{}", power.abs())] {
                let expected: f64 = text.parse().expect("a float");
                prop_assert_eq!(read(&text).to_f64().map(f64::to_bits), expected.is_finite().then_some(expected.to_bits()), "{}", text);
            }
        }

        #[test]
        fn every_double_reads_back(value in any::<f64>().prop_filter("finite", |v| v.is_finite())) {
            let text = format!("{value:e}");
            prop_assert_eq!(read(&text).to_f64().map(f64::to_bits), Some(value.to_bits()));
        }

        #[test]
        fn every_integer_reads_back(value in any::<i64>()) {
            prop_assert_eq!(read(&value.to_string()).to_i64(), Some(value));
        }
    }
}
