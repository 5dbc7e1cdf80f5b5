//! ISO date-time texts → milliseconds.
//!
//! The syntax is that of Joda's `ISODateTimeFormat.dateTimeParser()`, which `timestamp.field` texts meet upstream:
//!
//! ```text
//! datetime     = 'T' time [offset] | date ['T' [time] [offset]]
//! date         = year ['-' MM ['-' dd]] | year '-' DDD | year '-W' ww ['-' e]
//! time         = HH [fraction | ':' mm [fraction | ':' ss [fraction]]]
//! fraction     = ('.' | ',') 1 to 9 digits
//! offset       = 'Z' | ('+' | '-') HH [[':'] mm [[':'] ss [['.'] SSS]]]
//! ```
//!
//! As there, fields may have fewer digits than the letters say, `t` and `z` may be small, and what a text leaves out is the field's first value.
//! A text without an offset is in UTC (upstream: in the JVM's default zone).

use chrono::{NaiveDate, Weekday};

use super::DAY_MS;

/// ms since the epoch, or `None` when the text is not of the syntax or names a day or time that does not exist.
#[must_use]
pub fn parse_date_time(text: &str) -> Option<i64> {
    let mut rest = Cursor(text.as_bytes());
    let has_date = !matches!(rest.0.first(), Some(b'T' | b't'));
    let day = if has_date { rest.date()? } else { 0 };
    let (mut time_ms, mut offset_ms) = (0, 0);
    if rest.take_any(b"Tt") {
        if rest.0.first().is_some_and(u8::is_ascii_digit) {
            time_ms = rest.time()?;
        } else if !has_date {
            return None;
        }
        offset_ms = rest.offset()?;
    }
    rest.0.is_empty().then_some(())?;
    day.checked_mul(DAY_MS)?.checked_add(time_ms)?.checked_sub(offset_ms)
}

/// Offset from UTC in ms at the start of `text`, and how many bytes it takes. `Z` is not taken here.
#[must_use]
pub fn parse_offset(text: &[u8]) -> Option<(i64, usize)> {
    let mut rest = Cursor(text);
    let sign = if rest.take_any(b"-") {
        -1
    } else if rest.take_any(b"+") {
        1
    } else {
        return None;
    };
    let mut ms = rest.exactly(2).filter(|hours| *hours <= 23)? * 3_600_000;
    let has_separators = rest.0.first() == Some(&b':');
    for (separator, digits, most, unit) in [(b":", 2, 59, 60_000), (b":", 2, 59, 1000), (b".", 3, 999, 1)] {
        let goes_on =
            if has_separators { rest.take_any(separator) || (unit == 1 && rest.take_any(b",")) } else { rest.0.first().is_some_and(u8::is_ascii_digit) };
        if !goes_on {
            break;
        }
        ms += rest.exactly(digits).filter(|value| *value <= most)? * unit;
    }
    Some((sign * ms, text.len() - rest.0.len()))
}

/// What is left of the text.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    /// Takes one byte if it is one of these.
    fn take_any(&mut self, bytes: &[u8]) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if bytes.contains(first) => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    /// Number of digits at the front.
    fn digits(&self) -> usize {
        self.0.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    /// Takes 1 to `most` digits (at most 9, so that the value fits).
    fn number(&mut self, most: usize) -> Option<i64> {
        let count = self.digits().min(most);
        let (digits, rest) = self.0.split_at_checked(count).filter(|_| count > 0)?;
        self.0 = rest;
        Some(digits.iter().fold(0, |value, digit| value * 10 + i64::from(digit - b'0')))
    }

    /// Takes exactly `count` digits.
    fn exactly(&mut self, count: usize) -> Option<i64> {
        if self.digits() < count { None } else { self.number(count) }
    }

    /// date → days since the epoch.
    fn date(&mut self) -> Option<i64> {
        let is_negative = self.take_any(b"-");
        if !is_negative {
            self.take_any(b"+");
        }
        let year = i32::try_from(self.number(9)?).ok()?;
        let year = if is_negative { -year } else { year };
        let date = if self.0.starts_with(b"-W") || self.0.starts_with(b"-w") {
            self.0 = self.0.get(2..)?;
            let week = u32::try_from(self.number(2)?).ok()?;
            let day = if self.take_any(b"-") { self.number(1)? } else { 1 };
            NaiveDate::from_isoywd_opt(year, week, weekday(day)?)?
        } else if self.take_any(b"-") {
            if self.digits() >= 3 {
                NaiveDate::from_yo_opt(year, u32::try_from(self.number(3)?).ok()?)?
            } else {
                let month = u32::try_from(self.number(2)?).ok()?;
                let day = if self.take_any(b"-") { u32::try_from(self.number(2)?).ok()? } else { 1 };
                NaiveDate::from_ymd_opt(year, month, day)?
            }
        } else {
            NaiveDate::from_ymd_opt(year, 1, 1)?
        };
        Some(i64::from(date.to_epoch_days()))
    }

    /// time → ms of the day.
    fn time(&mut self) -> Option<i64> {
        let mut ms = 0;
        for (most, unit) in [(23, 3_600_000), (59, 60_000), (59, 1000)] {
            ms += self.number(2).filter(|value| *value <= most)? * unit;
            if self.take_any(b".,") {
                return Some(ms + self.fraction(unit)?);
            }
            if unit == 1000 || !self.take_any(b":") {
                break;
            }
        }
        Some(ms)
    }

    /// 1 to 9 digits as a fraction of `unit` ms, cut off below a ms.
    fn fraction(&mut self, unit: i64) -> Option<i64> {
        let count = self.digits().min(9);
        let digits = self.number(9)?;
        let scale = 10_i64.pow(u32::try_from(count).ok()?);
        Some(digits * unit / scale)
    }

    /// [offset] → ms; 0 when there is none.
    fn offset(&mut self) -> Option<i64> {
        if self.0.is_empty() || self.take_any(b"Zz") {
            return Some(0);
        }
        let (ms, length) = parse_offset(self.0)?;
        self.0 = self.0.get(length..)?;
        Some(ms)
    }
}

/// ISO's day number: 1 = Monday.
fn weekday(number: i64) -> Option<Weekday> {
    Weekday::try_from(u8::try_from(number.checked_sub(1)?).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, SecondsFormat};
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_that_are_date_times() {
        for (text, same_as) in [
            ("2015-04-02T01:00:00Z", "2015-04-02T01:00:00+00:00"),
            ("2015-04-02T01:00:00.123Z", "2015-04-02T01:00:00.123+00:00"),
            ("2015-04-02T01:00:00,123456789Z", "2015-04-02T01:00:00.123+00:00"),
            ("2015-04-02T01:00:00.5+05:30", "2015-04-01T19:30:00.500+00:00"),
            ("2015-04-02T01:00:00-0800", "2015-04-02T09:00:00+00:00"),
            ("2015-04-02T01:00:00+01", "2015-04-02T00:00:00+00:00"),
            ("2015-04-02T01:00", "2015-04-02T01:00:00+00:00"),
            ("2015-04-02T01.5", "2015-04-02T01:30:00+00:00"),
            ("2015-04-02T01:30.5", "2015-04-02T01:30:30+00:00"),
            ("2015-04-02t1:2:3z", "2015-04-02T01:02:03+00:00"),
            ("2015-04-02T", "2015-04-02T00:00:00+00:00"),
            ("2015-04-02TZ", "2015-04-02T00:00:00+00:00"),
            ("2015-04-02", "2015-04-02T00:00:00+00:00"),
            ("2015-4-2", "2015-04-02T00:00:00+00:00"),
            ("2015-04", "2015-04-01T00:00:00+00:00"),
            ("2015", "2015-01-01T00:00:00+00:00"),
            ("2015-092", "2015-04-02T00:00:00+00:00"),
            ("2015-W14-4", "2015-04-02T00:00:00+00:00"),
            ("2015-W14", "2015-03-30T00:00:00+00:00"),
            ("T10:20", "1970-01-01T10:20:00+00:00"),
            ("-0001-01-01", "-0001-01-01T00:00:00+00:00"),
        ] {
            let wanted = DateTime::parse_from_rfc3339(same_as).map_or_else(|_| -62_198_755_200_000, |at| at.timestamp_millis());
            assert_eq!(parse_date_time(text), Some(wanted), "{text}");
        }
    }

    #[test]
    fn texts_that_are_not() {
        for text in [
            "",
            " 2015",
            "2015 ",
            "yesterday",
            "T",
            "TZ",
            "2015-13-01",
            "2015-02-29",
            "2015-04-02T24:00",
            "2015-04-02T00:60",
            "2015-04-02T00:00:60",
            "2015-04-02 01:00:00",
            "2015-04-02Z",
            "2015-04-02T01:00:00.Z",
            "2015-04-02T01:00:00.1234567890Z",
            "2015-04-02T01:00:00+24:00",
            "2015-04-02T01:00:00+05:3",
            "2015-W54-1",
            "2015-W14-8",
            "2015-000",
            "2015-366",
            "2015-04-",
            "9999999999-01-01",
            "２０１５-04-02",
        ] {
            assert_eq!(parse_date_time(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_rfc_3339_prints_is_read_back(ms in -62_135_596_800_000_i64..253_402_300_800_000) {
            let text = DateTime::from_timestamp_millis(ms).unwrap().to_rfc3339_opts(SecondsFormat::Millis, true);
            prop_assert_eq!(parse_date_time(&text), Some(ms));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9TtZzWw:.,]{0,30}") {
            let time = parse_date_time(&text);
            prop_assert!(time.is_none() || text.contains(['T', 't']) || text.starts_with(['-', '+', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']));
        }
    }
}
