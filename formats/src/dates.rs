//! Dates as texts, as `java.text.SimpleDateFormat` parses them: leniently, in UTC unless the text has a zone.
//!
//! What lenient means is upstream's, and users have data that lives on it:
//! - what follows the pattern in the text is not looked at;
//! - fields roll over: month 13 is January, `SSS` of `123456` is two minutes and more;
//! - a field may have fewer digits than letters, and, unless another number follows at once, more;
//! - spaces and tabs before a field are skipped.
//!
//! What a text leaves out is that of 1970-01-01T00:00. Days before 1582-10-15 are those of the Julian calendar. A year of two digits under `yy` is in the
//! hundred years that begin 80 years before the instant that the format was made at.
//!
//! Differences: weeks (`Y`, `w`, `W`, `F`) are not read; of zones by name (`z`) those of `ZONES`, which mean a fixed offset.

mod civil;
mod read;

use civil::Civil;
use read::{Input, Zone};

/// A compiled pattern.
#[derive(Debug, Clone)]
pub struct DateFormat {
    items: Vec<Item>,
    /// The year 80 years before the format was made, and the instant.
    century: (i64, i64),
}

#[derive(Debug, Clone, PartialEq)]
enum Item {
    Literal(String),
    Field(Letter, usize),
}

/// The letters that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Letter {
    Era,
    Year,
    Month,
    Day,
    DayOfYear,
    /// Its name; the other fields say which day it is.
    Weekday,
    /// 1 to 7, likewise.
    WeekdayNumber,
    HalfDay,
    Hour,
    ClockHour,
    HalfDayHour,
    HalfDayClockHour,
    Minute,
    Second,
    Millisecond,
    /// `z`, `Z`.
    Zone,
    /// `X`.
    IsoZone,
}

impl Letter {
    fn of(letter: char) -> Result<Option<Self>, String> {
        Ok(Some(match letter {
            'G' => Self::Era,
            'y' => Self::Year,
            'M' | 'L' => Self::Month,
            'd' => Self::Day,
            'D' => Self::DayOfYear,
            'E' => Self::Weekday,
            'u' => Self::WeekdayNumber,
            'a' => Self::HalfDay,
            'H' => Self::Hour,
            'k' => Self::ClockHour,
            'K' => Self::HalfDayHour,
            'h' => Self::HalfDayClockHour,
            'm' => Self::Minute,
            's' => Self::Second,
            'S' => Self::Millisecond,
            'z' | 'Z' => Self::Zone,
            'X' => Self::IsoZone,
            'Y' | 'w' | 'W' | 'F' => return Ok(None),
            _ => return Err(format!("Illegal pattern character '{letter}'")),
        }))
    }

    /// True for fields that are numbers when they are written with so many letters: the field before them stops at its own number of letters.
    fn ends_digits(self, count: usize) -> bool {
        match self {
            Self::Month => count <= 2,
            Self::Era | Self::Weekday | Self::HalfDay | Self::Zone | Self::IsoZone => false,
            _ => true,
        }
    }
}

impl DateFormat {
    /// Compiles a pattern; `made_ms` is the instant that years of two digits are near to. `Ok(None)` for patterns with weeks, which print and do not parse here.
    ///
    /// # Errors
    /// What is wrong with the pattern, in Java's words.
    pub fn compile(pattern: &str, made_ms: i64) -> Result<Option<Self>, String> {
        let mut items: Vec<Item> = Vec::new();
        let mut is_readable = true;
        let mut rest = pattern.chars().peekable();
        while let Some(first) = rest.next() {
            if first == '\'' {
                push_literal(&mut items, &quoted(&mut rest)?);
            } else if first.is_ascii_alphabetic() {
                let mut count = 1;
                while rest.next_if_eq(&first).is_some() {
                    count += 1;
                }
                if first == 'X' && count > 3 {
                    return Err(format!("invalid ISO 8601 format: length={count}"));
                }
                match Letter::of(first)? {
                    Some(letter) => items.push(Item::Field(letter, count)),
                    None => is_readable = false,
                }
            } else {
                push_literal(&mut items, first.encode_utf8(&mut [0; 4]));
            }
        }
        let start = Civil::of(made_ms).years_before(80);
        Ok(is_readable.then_some(Self { items, century: (start.year, start.to_ms()) }))
    }

    /// Milliseconds since the epoch; `None` when the text does not begin with the pattern.
    #[must_use]
    pub fn parse(&self, text: &str) -> Option<i64> {
        let mut input = Input::new(text);
        let mut fields = Fields::default();
        for (at, item) in self.items.iter().enumerate() {
            match item {
                Item::Literal(literal) => input.literal(literal)?,
                Item::Field(letter, count) => {
                    let next_is_number = matches!(self.items.get(at + 1), Some(Item::Field(next, count)) if next.ends_digits(*count));
                    self.field(*letter, *count, next_is_number, &mut input, &mut fields)?;
                }
            }
        }
        let ms = fields.to_ms(0);
        let is_too_early = fields.is_ambiguous && ms < self.century.1;
        Some(if is_too_early { fields.to_ms(100) } else { ms })
    }

    fn field(&self, letter: Letter, count: usize, obeys: bool, input: &mut Input<'_>, fields: &mut Fields) -> Option<()> {
        input.begin_field()?;
        let limit = obeys.then_some(count);
        match letter {
            Letter::Era => fields.is_bc = input.name(&["BC", "AD"])? == 0,
            Letter::Year => {
                let (year, is_two_digits) = input.year(limit)?;
                fields.year = Some(if count <= 2 && is_two_digits { self.near(year, fields) } else { year });
            }
            Letter::Month if count > 2 => {
                fields.month = i64::try_from(input.name(&read::MONTHS).or_else(|| input.name(&read::MONTHS.map(|name| name.get(..3).unwrap_or(name))))?).ok();
                fields.day_of_year = None;
            }
            Letter::Month => {
                fields.month = Some(input.number(limit)?.saturating_sub(1));
                fields.day_of_year = None;
            }
            Letter::Day => {
                fields.day = Some(input.number(limit)?);
                fields.day_of_year = None;
            }
            Letter::DayOfYear => fields.day_of_year = Some(input.number(limit)?),
            Letter::Weekday => drop(input.name(&read::DAYS).or_else(|| input.name(&read::DAYS.map(|name| name.get(..3).unwrap_or(name))))?),
            Letter::WeekdayNumber => drop(input.number(limit)?),
            Letter::HalfDay => {
                fields.afternoon = Some(input.name(&["AM", "PM"])? == 1);
                fields.hour_is_of_day = false;
            }
            Letter::Hour | Letter::ClockHour => {
                let hour = input.number(limit)?;
                fields.hour = Some(if letter == Letter::ClockHour && hour == 24 { 0 } else { hour });
                fields.hour_is_of_day = true;
            }
            Letter::HalfDayHour | Letter::HalfDayClockHour => {
                let hour = input.number(limit)?;
                fields.half_day_hour = Some(if letter == Letter::HalfDayClockHour && hour == 12 { 0 } else { hour });
                fields.hour_is_of_day = false;
            }
            Letter::Minute => fields.minute = input.number(limit)?,
            Letter::Second => fields.second = input.number(limit)?,
            Letter::Millisecond => fields.millisecond = input.number(limit)?,
            Letter::Zone => fields.zone_ms = input.zone(Zone::NamedOrRfc)?,
            Letter::IsoZone => fields.zone_ms = input.zone(Zone::Iso(count))?,
        }
        Some(())
    }

    /// The year of two digits within the century of this format.
    fn near(&self, two_digits: i64, fields: &mut Fields) -> i64 {
        let (start, _) = self.century;
        let of_start = start.rem_euclid(100);
        fields.is_ambiguous = two_digits == of_start;
        start.div_euclid(100) * 100 + two_digits + if two_digits < of_start { 100 } else { 0 }
    }
}

/// What a text said.
#[derive(Debug, Default)]
struct Fields {
    year: Option<i64>,
    is_bc: bool,
    is_ambiguous: bool,
    /// From 0.
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    afternoon: Option<bool>,
    hour: Option<i64>,
    half_day_hour: Option<i64>,
    /// Which of the two hours came last: it counts, but half a day's without its half never does beside the other.
    hour_is_of_day: bool,
    minute: i64,
    second: i64,
    millisecond: i64,
    zone_ms: i64,
}

impl Fields {
    fn to_ms(&self, more_years: i64) -> i64 {
        let year = self.year.unwrap_or(1970) + more_years;
        let year = if self.is_bc { 1 - year } else { year };
        let (month, day) = match self.day_of_year {
            Some(day) => (0, day),
            None => (self.month.unwrap_or(0), self.day.unwrap_or(1)),
        };
        let days = civil::lenient_day(year, month, day);
        let is_halved = self.half_day_hour.is_some() && self.afternoon.is_some();
        let hour = match self.hour {
            Some(hour) if self.hour_is_of_day || !is_halved => hour,
            _ => self.half_day_hour.unwrap_or(0) + if self.afternoon == Some(true) { 12 } else { 0 },
        };
        let parts = [(days, 86_400_000), (hour, 3_600_000), (self.minute, 60_000), (self.second, 1000), (self.millisecond, 1), (self.zone_ms, -1)];
        parts.into_iter().fold(0_i64, |ms, (value, unit)| ms.wrapping_add(value.wrapping_mul(unit)))
    }
}

fn push_literal(items: &mut Vec<Item>, text: &str) {
    match items.last_mut() {
        Some(Item::Literal(literal)) => literal.push_str(text),
        _ => items.push(Item::Literal(text.to_owned())),
    }
}

/// After an opening quote: `''` is a quote, inside and outside.
fn quoted(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    if rest.next_if_eq(&'\'').is_some() {
        return Ok("'".to_owned());
    }
    let mut text = String::new();
    while let Some(c) = rest.next() {
        if c != '\'' {
            text.push(c);
        } else if rest.next_if_eq(&'\'').is_some() {
            text.push('\'');
        } else {
            return Ok(text);
        }
    }
    Err("Unterminated quote".to_owned())
}

#[cfg(test)]
mod tests;
