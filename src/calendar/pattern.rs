//! Date patterns, compiled once and printed often.
//!
//! Two dialects share the printer: [`Pattern::joda`] (`path.format`, Joda's `DateTimeFormat`) and [`Pattern::java`] (`timestamp.format`, the JDK's
//! `SimpleDateFormat`, in UTC). Letters of the same name mean different things in them: `S` is a fraction in Joda and a number of milliseconds in Java,
//! `Y` the year in Joda and the week-based year in Java.
//!
//! Names of months and days are printed in English; a pattern that needs them under another locale is refused, as are zone names: they differ
//! between versions of Java.

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike};

use super::{DAY_MS, Zone};

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    items: Vec<Item>,
    /// Days before 1582-10-15 are counted by the Julian calendar, as `GregorianCalendar` does and Joda's ISO chronology does not.
    has_julian_days: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Literal(String),
    /// Zero-padded to at least that many digits.
    Number(Field, usize),
    /// Exactly two digits, the year's last ones.
    TwoDigits(Field),
    /// That many digits after the decimal point of the second.
    Fraction(usize),
    Name(Name),
    Offset {
        has_colon: bool,
    },
    ZoneId,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Field {
    Year,
    /// Joda's ISO chronology: the year without its sign.
    YearOfEra,
    /// Java: 1 BC is year 1 of its era.
    EraYear,
    Century,
    WeekYear,
    Week,
    /// Java's week-based year where weeks start on Sunday and the first week is the one with 1 January (US).
    UsWeekYear,
    UsWeek,
    UsWeekOfMonth,
    WeekdayInMonth,
    Month,
    Day,
    DayOfYear,
    Weekday,
    Hour,
    /// 1 to 24.
    ClockHour,
    /// 0 to 11.
    HalfdayHour,
    /// 1 to 12.
    HalfdayClockHour,
    Minute,
    Second,
    Millisecond,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Name {
    Month,
    MonthShort,
    Day,
    DayShort,
    Halfday,
    Era,
}

const MONTHS: [&str; 12] = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Pattern {
    /// Compiles a Joda pattern (`DateTimeFormat.forPattern`). `locale` is a language tag; it matters only to patterns with names in them.
    ///
    /// # Errors
    /// What is wrong with the pattern, quoting the letters.
    pub fn joda(pattern: &str, locale: &str) -> Result<Self, String> {
        let mut items = Vec::new();
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            if first.is_ascii_alphabetic() {
                let run = leading_run(rest, first);
                items.push(joda_letters(first, run.len()).ok_or_else(|| refused_letters(run))?);
                rest = rest.get(run.len()..).unwrap_or("");
            } else {
                let (text, length) = joda_literal(rest);
                items.push(Item::Literal(text));
                rest = rest.get(length..).unwrap_or("");
            }
        }
        if items.is_empty() {
            return Err("Invalid pattern specification".to_owned());
        }
        let is_english = locale.split(['-', '_']).next().is_some_and(|language| language.eq_ignore_ascii_case("en"));
        if !is_english && items.iter().any(|item| matches!(item, Item::Name(_))) {
            return Err(format!(
                "it prints names of months, days or halves of the day, which are known for locale \"en\" only, not for \"{locale}\"; use numbers"
            ));
        }
        Ok(Self { items, has_julian_days: false })
    }

    /// Compiles a Java pattern (`SimpleDateFormat`), to be printed in UTC, names in English, weeks as in the US.
    ///
    /// # Errors
    /// What is wrong with the pattern, in Java's words.
    pub fn java(pattern: &str) -> Result<Self, String> {
        let mut items = Vec::new();
        let mut rest = pattern;
        while let Some(first) = rest.chars().next() {
            let length = if first == '\'' {
                let (text, length) = java_quoted(rest)?;
                items.push(Item::Literal(text));
                length
            } else if first.is_ascii_alphabetic() {
                let run = leading_run(rest, first);
                items.push(java_letters(first, run.len())?);
                run.len()
            } else {
                let length = rest.find(|c: char| c == '\'' || c.is_ascii_alphabetic()).unwrap_or(rest.len());
                items.push(Item::Literal(rest.get(..length).unwrap_or("").to_owned()));
                length
            };
            rest = rest.get(length..).unwrap_or("");
        }
        Ok(Self { items, has_julian_days: true })
    }

    /// Prints an instant as a clock of `zone` shows it, appending to `out`. `None` (and `out` as it was) when the local time is beyond 64 bits.
    #[must_use]
    pub fn push(&self, utc_ms: i64, zone: Zone, out: &mut String) -> Option<()> {
        let offset_ms = zone.offset_ms(utc_ms);
        let local_ms = utc_ms.checked_add(offset_ms)?;
        let local = if self.has_julian_days && local_ms < CUTOVER_MS { Local::julian(local_ms)? } else { Local::new(local_ms)? };
        for item in &self.items {
            match item {
                Item::Literal(text) => out.push_str(text),
                Item::Number(field, width) => push_number(out, number(*field, &local), *width),
                Item::TwoDigits(field) => push_number(out, number(*field, &local).abs() % 100, 2),
                Item::Fraction(digits) => push_fraction(out, number(Field::Millisecond, &local), *digits),
                Item::Name(which) => out.push_str(name(*which, &local)),
                Item::Offset { has_colon } => push_offset(out, offset_ms / 60_000 * 60_000, *has_colon),
                Item::ZoneId => out.push_str(&zone.id()),
            }
        }
        Some(())
    }

    /// For how many ms the printed text stays the same in UTC: a day, an hour, a minute, a second or a millisecond; intervals of that length are aligned
    /// to the epoch.
    #[must_use]
    pub fn granularity_ms(&self) -> i64 {
        let of_item = |item: &Item| match item {
            Item::Number(Field::Hour | Field::ClockHour | Field::HalfdayHour | Field::HalfdayClockHour, _) | Item::Name(Name::Halfday) => 3_600_000,
            Item::Number(Field::Minute, _) => 60_000,
            Item::Number(Field::Second, _) => 1000,
            Item::Number(Field::Millisecond, _) | Item::Fraction(_) => 1,
            Item::Number(..) | Item::TwoDigits(_) | Item::Name(_) | Item::Literal(_) | Item::Offset { .. } | Item::ZoneId => DAY_MS,
        };
        self.items.iter().map(of_item).min().unwrap_or(DAY_MS)
    }
}

/// Appends `+05:30` or `+0530`; seconds and milliseconds only where the offset has them and colons are asked for.
pub(super) fn push_offset(out: &mut String, offset_ms: i64, has_colon: bool) {
    let (hours, minutes) = (offset_ms.abs() / 3_600_000, offset_ms.abs() / 60_000 % 60);
    out.push(if offset_ms < 0 { '-' } else { '+' });
    push_number(out, hours, 2);
    out.push_str(if has_colon { ":" } else { "" });
    push_number(out, minutes, 2);
    let (seconds, ms) = (offset_ms.abs() / 1000 % 60, offset_ms.abs() % 1000);
    if has_colon && (seconds, ms) != (0, 0) {
        out.push(':');
        push_number(out, seconds, 2);
        if ms != 0 {
            out.push('.');
            push_number(out, ms, 3);
        }
    }
}

/// The letters at the front that equal `first`.
fn leading_run(text: &str, first: char) -> &str {
    text.get(..text.find(|c| c != first).unwrap_or(text.len())).unwrap_or(text)
}

fn refused_letters(run: &str) -> String {
    match run.as_bytes().first() {
        Some(b'z') => format!("Illegal pattern component: {run}: zone names are not printed, use ZZ (an offset) or ZZZ (the zone's id)"),
        _ => format!("Illegal pattern component: {run}"),
    }
}

/// A run of Joda's pattern letters.
fn joda_letters(letter: char, count: usize) -> Option<Item> {
    let field = match letter {
        'y' => Field::Year,
        'Y' => Field::YearOfEra,
        'x' => Field::WeekYear,
        'C' => Field::Century,
        'w' => Field::Week,
        'e' => Field::Weekday,
        'D' => Field::DayOfYear,
        'S' => return Some(Item::Fraction(count)),
        'G' => return Some(Item::Name(Name::Era)),
        'Z' if count <= 2 => return Some(Item::Offset { has_colon: count == 2 }),
        'Z' => return Some(Item::ZoneId),
        _ => return common_letters(letter, count),
    };
    Some(if count == 2 && matches!(letter, 'y' | 'Y' | 'x') { Item::TwoDigits(field) } else { Item::Number(field, count) })
}

/// Letters that mean the same in both dialects.
fn common_letters(letter: char, count: usize) -> Option<Item> {
    let field = match letter {
        'M' if count == 3 => return Some(Item::Name(Name::MonthShort)),
        'M' if count > 3 => return Some(Item::Name(Name::Month)),
        'M' => Field::Month,
        'E' if count > 3 => return Some(Item::Name(Name::Day)),
        'E' => return Some(Item::Name(Name::DayShort)),
        'a' => return Some(Item::Name(Name::Halfday)),
        'd' => Field::Day,
        'D' => Field::DayOfYear,
        'H' => Field::Hour,
        'k' => Field::ClockHour,
        'K' => Field::HalfdayHour,
        'h' => Field::HalfdayClockHour,
        'm' => Field::Minute,
        's' => Field::Second,
        _ => return None,
    };
    Some(Item::Number(field, count))
}

/// A run of Java's pattern letters.
fn java_letters(letter: char, count: usize) -> Result<Item, String> {
    let literal = |text: &str| Ok(Item::Literal(text.to_owned()));
    let field = match letter {
        'y' if count == 2 => return Ok(Item::TwoDigits(Field::EraYear)),
        'Y' if count == 2 => return Ok(Item::TwoDigits(Field::UsWeekYear)),
        'y' => Field::EraYear,
        'Y' => Field::UsWeekYear,
        'w' => Field::UsWeek,
        'W' => Field::UsWeekOfMonth,
        'F' => Field::WeekdayInMonth,
        'u' => Field::Weekday,
        'S' => Field::Millisecond,
        'G' => return Ok(Item::Name(Name::Era)),
        'z' => return literal(if count > 3 { "Coordinated Universal Time" } else { "UTC" }),
        'Z' => return literal("+0000"),
        'X' if count <= 3 => return literal("Z"),
        'X' => return Err(format!("invalid ISO 8601 format: length={count}")),
        'L' => return common_letters('M', count).ok_or_else(String::new),
        _ => return common_letters(letter, count).ok_or_else(|| format!("Illegal pattern character '{letter}'")),
    };
    Ok(Item::Number(field, count))
}

/// Joda: everything up to the next letter outside quotes; `''` is a quote, and a quote that stays open closes at the end.
fn joda_literal(rest: &str) -> (String, usize) {
    let mut text = String::new();
    let mut is_quoted = false;
    let mut chars = rest.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                text.push('\'');
                chars.next();
            }
            '\'' => is_quoted = !is_quoted,
            c if !is_quoted && c.is_ascii_alphabetic() => return (text, at),
            c => text.push(c),
        }
    }
    (text, rest.len())
}

/// Java: one quoted text, or `''` for a quote.
fn java_quoted(rest: &str) -> Result<(String, usize), String> {
    if rest.starts_with("''") {
        return Ok(("'".to_owned(), 2));
    }
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\'' if chars.peek().is_some_and(|(_, next)| *next == '\'') => {
                text.push('\'');
                chars.next();
            }
            '\'' => return Ok((text, at + 1)),
            c => text.push(c),
        }
    }
    Err("Unterminated quote".to_owned())
}

/// 1582-10-15, the first day of the Gregorian calendar.
const CUTOVER_MS: i64 = -141_427 * DAY_MS;

/// A local time of any year: the calendar repeats every 400 years.
struct Local {
    /// In the years 1970 to 2369.
    at: NaiveDateTime,
    /// What its year lacks.
    years: i64,
}

impl Local {
    fn new(local_ms: i64) -> Option<Self> {
        const CYCLE_MS: i64 = 146_097 * DAY_MS;
        let at = DateTime::from_timestamp_millis(local_ms.rem_euclid(CYCLE_MS))?.naive_utc();
        Some(Self { at, years: local_ms.div_euclid(CYCLE_MS) * 400 })
    }

    /// By the Julian calendar, which repeats every 28 years and which the years 1972 to 1999 are like: 1972 began on a Saturday, as its year 1984 did.
    fn julian(local_ms: i64) -> Option<Self> {
        const CYCLE_MS: i64 = 7 * 1461 * DAY_MS;
        const OF_1972: i64 = 730 * DAY_MS;
        const OF_JULIAN_1984: i64 = 5126 * DAY_MS;
        let since = local_ms.checked_sub(OF_JULIAN_1984)?;
        let at = DateTime::from_timestamp_millis(OF_1972 + since.rem_euclid(CYCLE_MS))?.naive_utc();
        Some(Self { at, years: since.div_euclid(CYCLE_MS) * 28 + 12 })
    }

    fn year(&self) -> i64 {
        i64::from(self.at.year()) + self.years
    }
}

fn number(field: Field, local: &Local) -> i64 {
    let (year, at) = (local.year(), &local.at);
    let sunday = |day: i64| (day + i64::from(at.weekday().num_days_from_sunday())).rem_euclid(7);
    let value = match field {
        Field::Year => return year,
        Field::YearOfEra => return year.abs(),
        Field::EraYear => return if year > 0 { year } else { 1 - year },
        Field::Century => return year.abs() / 100,
        Field::WeekYear => return i64::from(at.iso_week().year()) + local.years,
        Field::UsWeekYear => return year + i64::from(is_in_next_us_year(at)),
        Field::UsWeek if is_in_next_us_year(at) => return 1,
        Field::UsWeek => return (i64::from(at.ordinal0()) + sunday(-i64::from(at.ordinal0()))) / 7 + 1,
        Field::UsWeekOfMonth => return (i64::from(at.day0()) + sunday(-i64::from(at.day0()))) / 7 + 1,
        Field::WeekdayInMonth => at.day0() / 7 + 1,
        Field::Week => at.iso_week().week(),
        Field::Month => at.month(),
        Field::Day => at.day(),
        Field::DayOfYear => at.ordinal(),
        Field::Weekday => at.weekday().number_from_monday(),
        Field::Hour => at.hour(),
        Field::ClockHour => (at.hour() + 23) % 24 + 1,
        Field::HalfdayHour => at.hour() % 12,
        Field::HalfdayClockHour => (at.hour() + 11) % 12 + 1,
        Field::Minute => at.minute(),
        Field::Second => at.second(),
        Field::Millisecond => at.nanosecond() / 1_000_000,
    };
    i64::from(value)
}

/// True from the Sunday on or before 1 January of the next year.
fn is_in_next_us_year(at: &NaiveDateTime) -> bool {
    at.month() == 12 && at.day() + (6 - at.weekday().num_days_from_sunday()) > 31
}

fn name(which: Name, local: &Local) -> &'static str {
    let at = &local.at;
    let month = MONTHS.get(at.month0() as usize).copied().unwrap_or("");
    let day = DAYS.get(at.weekday().num_days_from_monday() as usize).copied().unwrap_or("");
    match which {
        Name::Month => month,
        Name::MonthShort => month.get(..3).unwrap_or(""),
        Name::Day => day,
        Name::DayShort => day.get(..3).unwrap_or(""),
        Name::Halfday if at.hour() < 12 => "AM",
        Name::Halfday => "PM",
        Name::Era if local.year() > 0 => "AD",
        Name::Era => "BC",
    }
}

/// Appends a number, with zeros before it up to `width` digits.
fn push_number(out: &mut String, value: i64, width: usize) {
    let digits = value.unsigned_abs();
    out.push_str(if value < 0 { "-" } else { "" });
    match (width, digits) {
        (2, 0..100) => push_pair(out, digits),
        (4, 0..10_000) => {
            push_pair(out, digits / 100);
            push_pair(out, digits % 100);
        }
        _ => {
            let length = digits.checked_ilog10().unwrap_or(0);
            out.extend((length as usize + 1..width).map(|_| '0'));
            out.extend((0..=length).rev().map(|exponent| digit(digits / 10_u64.pow(exponent))));
        }
    }
}

fn push_pair(out: &mut String, below_100: u64) {
    out.push(digit(below_100 / 10));
    out.push(digit(below_100));
}

/// The last decimal digit.
fn digit(of: u64) -> char {
    char::from(b'0' + u8::try_from(of % 10).unwrap_or_default())
}

/// The first `digits` digits of a second's fraction; a millisecond has three of them.
fn push_fraction(out: &mut String, ms: i64, digits: usize) {
    match digits {
        0 => {}
        1 => push_number(out, ms / 100, 1),
        2 => push_number(out, ms / 10, 2),
        _ => {
            push_number(out, ms, 3);
            out.extend((3..digits).map(|_| '0'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::iso::parse_date_time;
    use super::*;

    fn joda(pattern: &str, zone: &str, instant: &str) -> String {
        let mut out = String::new();
        let zone = Zone::parse(zone).unwrap();
        Pattern::joda(pattern, "en").unwrap().push(parse_date_time(instant).unwrap(), zone, &mut out).unwrap();
        out
    }

    fn java(pattern: &str, instant: &str) -> String {
        let mut out = String::new();
        Pattern::java(pattern).unwrap().push(parse_date_time(instant).unwrap(), Zone::UTC, &mut out).unwrap();
        out
    }

    #[test]
    fn joda_patterns() {
        let instant = "2015-04-02T08:05:09.047Z"; // a Thursday; 01:05 in Los Angeles
        for (pattern, printed) in [
            ("'year'=YYYY/'month'=MM/'day'=dd/'hour'=HH", "year=2015/month=04/day=02/hour=01"),
            ("'year'=YYYY/'month'=M/'day'=d/'hour'=H", "year=2015/month=4/day=2/hour=1"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSS", "2015-04-02T01:05:09.047"),
            ("y YY yy yyyyy", "2015 15 15 02015"),
            ("MMM MMMM EEE EEEE a", "Apr April Thu Thursday AM"),
            ("DDD/D/e", "092/92/4"),
            ("xxxx-'W'ww", "2015-W14"),
            ("C G", "20 AD"),
            ("kk KK hh k K h", "01 01 01 1 1 1"),
            ("S SS SSSS", "0 04 0470"),
            ("Z ZZ ZZZ", "-0700 -07:00 America/Los_Angeles"),
            ("'o''clock' ''HH''", "o'clock '01'"),
            ("HH 'open", "01 open"),
            ("dt=20.1/HH", ""), // `t` is not a pattern letter
        ] {
            if printed.is_empty() {
                assert!(Pattern::joda(pattern, "en").unwrap_err().contains("Illegal pattern component: t"), "{pattern}");
            } else {
                assert_eq!(joda(pattern, "America/Los_Angeles", instant), printed, "{pattern}");
            }
        }
    }

    #[test]
    fn hours_of_the_clock() {
        for (instant, printed) in [("2025-01-01T00:30Z", "24 0 12 0 AM"), ("2025-01-01T12:30Z", "12 0 12 12 PM"), ("2025-01-01T23:30Z", "23 11 11 23 PM")] {
            assert_eq!(joda("k K h H a", "UTC", instant), printed);
        }
    }

    #[test]
    fn years_that_are_not_the_weeks() {
        assert_eq!(joda("xxxx-'W'ww-e", "UTC", "2021-01-03T00:00Z"), "2020-W53-7");
        assert_eq!(joda("YYYY-'W'ww", "UTC", "2024-12-31T00:00Z"), "2024-W01"); // Joda's Y is the calendar year
        assert_eq!(joda("YYYY yyyy G", "UTC", "-0005-01-01"), "0005 -0005 BC");
    }

    #[test]
    fn joda_patterns_that_are_refused() {
        for (pattern, locale, part) in [
            ("YYYY-bb", "en", "Illegal pattern component: bb"),
            ("YYYY z", "en", "zone names"),
            ("", "en", "Invalid pattern"),
            ("YYYY/MMM", "fr", "\"fr\""),
            ("hh a", "de-DE", "\"de-DE\""),
        ] {
            let message = Pattern::joda(pattern, locale).unwrap_err();
            assert!(message.contains(part), "{pattern}: {message}");
        }
        assert!(Pattern::joda("YYYY/MM", "fr").is_ok(), "numbers need no locale");
        assert!(Pattern::joda("YYYY/MMM", "en-US").is_ok() && Pattern::joda("YYYY/MMM", "en_GB").is_ok());
    }

    #[test]
    fn java_patterns() {
        for (pattern, instant, printed) in [
            ("yyyyMMdd", "2017-01-03T06:30:01.864Z", "20170103"),
            ("yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "2017-01-03T06:30:01.064Z", "2017-01-03T06:30:01.064Z"),
            ("S SS SSSSS", "2017-01-03T06:30:01.064Z", "64 64 00064"),
            ("yy y yyy yyyyy", "2017-01-03", "17 2017 2017 02017"),
            ("MMM LLLL EEE u", "2017-01-03", "Jan January Tue 2"),
            ("YYYY-'W'ww W F", "2017-01-01", "2017-W01 1 1"),
            ("YYYY-'W'ww W F", "2017-12-31", "2018-W01 6 5"),
            ("YYYY-'W'ww W F", "2016-12-31", "2016-W53 5 5"),
            ("YYYY-'W'ww W F", "2017-09-14", "2017-W37 3 2"),
            ("z zzzz Z X", "2017-01-01", "UTC Coordinated Universal Time +0000 Z"),
            ("'it''s' ''yyyy", "2017-01-01", "it's '2017"),
            ("yyyy_MM.dd", "2017-01-01", "2017_01.01"),
        ] {
            assert_eq!(java(pattern, instant), printed, "{pattern}");
        }
        for (pattern, message) in [("yyyy'x", "Unterminated quote"), ("b", "Illegal pattern character 'b'"), ("XXXX", "invalid ISO 8601 format: length=4")] {
            assert_eq!(Pattern::java(pattern).unwrap_err(), message);
        }
    }

    #[test]
    fn text_that_is_constant_for_a_while() {
        for (pattern, ms) in
            [("yyyyMMdd", DAY_MS), ("yyyyMMddHH", 3_600_000), ("hh a", 3_600_000), ("HHmm", 60_000), ("HHmmss", 1000), ("SSS", 1), ("''", DAY_MS)]
        {
            assert_eq!(Pattern::java(pattern).unwrap().granularity_ms(), ms, "{pattern}");
        }
    }

    #[test]
    fn far_years() {
        for (ms, printed) in [
            (i64::MAX, "292278994-08-17 292278994-W33-7"),
            (i64::MIN, "-292275055-05-16 -292275055-W19-7"),
            (253_402_300_800_000, "10000-01-01 9999-W52-6"),
            (-62_135_596_800_001, "0000-12-31 0000-W52-7"),
            (-62_167_219_200_001, "-0001-12-31 -0001-W52-5"),
        ] {
            let mut out = String::new();
            Pattern::joda("yyyy-MM-dd xxxx-'W'ww-e", "en").unwrap().push(ms, Zone::UTC, &mut out).unwrap();
            assert_eq!(out, printed, "{ms}");
        }
    }

    #[test]
    fn local_times_beyond_64_bits() {
        let mut out = String::from("before");
        assert_eq!(Pattern::java("yyyy").unwrap().push(i64::MAX, Zone::Fixed(1), &mut out), None);
        assert_eq!(out, "before");
    }
}
