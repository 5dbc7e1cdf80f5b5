//! The parts of a date's text: numbers, names and zones at the front of what is left.

pub(super) const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
pub(super) const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Zones by the names that texts give them, with their offsets in minutes; a longer name comes before a shorter one that it begins with.
const ZONES: &[(&str, i64)] = &[
    ("Coordinated Universal Time", 0),
    ("Greenwich Mean Time", 0),
    ("UTC", 0),
    ("UCT", 0),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
    ("AKST", -540),
    ("AKDT", -480),
    ("HST", -600),
    ("WET", 0),
    ("WEST", 60),
    ("CET", 60),
    ("CEST", 120),
    ("EET", 120),
    ("EEST", 180),
    ("MSK", 180),
    ("JST", 540),
    ("KST", 540),
];

/// How a zone is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Zone {
    /// A name, `GMT+hh:mm`, or `+hhmm`.
    NamedOrRfc,
    /// `Z`, or an offset by so many letters: `+hh`, `+hhmm`, `+hh:mm`.
    Iso(usize),
}

/// What is left of a text.
#[derive(Debug)]
pub(super) struct Input<'a> {
    rest: &'a str,
    /// Blanks that were skipped before the field: a limit on digits counts them.
    skipped: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { rest: text, skipped: 0 }
    }

    fn take(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or("");
    }

    pub(super) fn literal(&mut self, literal: &str) -> Option<()> {
        self.rest = self.rest.strip_prefix(literal)?;
        Some(())
    }

    /// Skips blanks; `None` at the end of the text.
    pub(super) fn begin_field(&mut self) -> Option<()> {
        let trimmed = self.rest.trim_start_matches([' ', '\t']);
        self.skipped = self.rest.len() - trimmed.len();
        self.rest = trimmed;
        (!trimmed.is_empty()).then_some(())
    }

    /// A whole number with as many digits as there are, or as the pattern has letters. One that is beyond 64 bits is the last of them, of which 32 bits count.
    pub(super) fn number(&mut self, limit: Option<usize>) -> Option<i64> {
        let room = match limit {
            Some(limit) if self.skipped + self.rest.len() < limit => return None,
            Some(limit) => limit.checked_sub(self.skipped)?,
            None => self.rest.len(),
        };
        let is_negative = self.rest.starts_with('-');
        let sign = usize::from(is_negative);
        let digits = self.rest.bytes().skip(sign).take(room.checked_sub(sign)?).take_while(u8::is_ascii_digit);
        let (mut value, mut count) = (0_i64, 0);
        for digit in digits {
            value = value.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
            count += 1;
        }
        if count == 0 {
            return None;
        }
        self.take(sign + count);
        Some(i64::from((if is_negative { -value } else { value }) as i32))
    }

    /// A year, and whether it was written with exactly two digits.
    pub(super) fn year(&mut self, limit: Option<usize>) -> Option<(i64, bool)> {
        let before = self.rest;
        let year = self.number(limit)?;
        let taken = before.get(..before.len() - self.rest.len())?;
        Some((year, taken.len() == 2 && !taken.starts_with('-')))
    }

    /// The longest of these names, in any case.
    pub(super) fn name(&mut self, names: &[&str]) -> Option<usize> {
        let begins = |name: &str| self.rest.get(..name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name));
        let (at, name) = names.iter().enumerate().filter(|(_, name)| begins(name)).max_by_key(|(_, name)| name.len())?;
        self.take(name.len());
        Some(at)
    }

    /// Offset from UTC in ms.
    pub(super) fn zone(&mut self, zone: Zone) -> Option<i64> {
        let (hours_only, has_colon) = match zone {
            Zone::Iso(_) if self.rest.starts_with('Z') => {
                self.take(1);
                return Some(0);
            }
            Zone::Iso(count) => (count == 1, count == 3),
            Zone::NamedOrRfc if self.rest.starts_with(['+', '-']) => (false, false),
            Zone::NamedOrRfc => return self.named_zone(),
        };
        let sign = self.sign()?;
        self.offset(hours_only, has_colon, true).map(|minutes| sign * minutes * 60_000)
    }

    fn named_zone(&mut self) -> Option<i64> {
        if self.name(&["GMT"]).is_some() {
            let Some(sign) = self.sign() else { return Some(0) };
            return self.offset(false, true, false).map(|minutes| sign * minutes * 60_000);
        }
        let names: Vec<&str> = ZONES.iter().map(|(name, _)| *name).collect();
        let at = self.name(&names)?;
        ZONES.get(at).map(|(_, minutes)| minutes * 60_000)
    }

    fn sign(&mut self) -> Option<i64> {
        let sign = match self.rest.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        self.take(1);
        Some(sign)
    }

    /// Hours and minutes after the sign, in minutes.
    fn offset(&mut self, hours_only: bool, has_colon: bool, two_digits: bool) -> Option<i64> {
        let mut hours = self.digit()?;
        match self.digit() {
            Some(second) => hours = hours * 10 + second,
            None if two_digits => return None,
            None => {}
        }
        if hours > 23 {
            return None;
        }
        if hours_only {
            return Some(hours * 60);
        }
        if has_colon {
            self.literal(":")?;
        }
        let minutes = self.digit()? * 10 + self.digit()?;
        (minutes <= 59).then_some(hours * 60 + minutes)
    }

    fn digit(&mut self) -> Option<i64> {
        let digit = self.rest.bytes().next().filter(u8::is_ascii_digit)?;
        self.take(1);
        Some(i64::from(digit - b'0'))
    }
}
