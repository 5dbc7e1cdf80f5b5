//! Calendars as upstream's date libraries read them: time zones, date patterns, ISO date-times.
//!
//! Parts: [`Zone`] (here), [`pattern`] (a compiled `path.format` or `timestamp.format`), [`iso`] (date-time texts → milliseconds).
//! Instants are `i64` milliseconds since 1970-01-01T00:00:00Z everywhere.
//!
//! Guarantee: pure and total. Where two answers are possible (a local time that a clock shows twice or never), the answer is the one that
//! Joda-Time gives, because paths and rotation instants of running deployments were made by it.

use std::borrow::Cow;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

pub mod iso;
pub mod pattern;

/// Milliseconds of a day without a clock change.
pub const DAY_MS: i64 = 86_400_000;

/// A time zone: a name of the IANA database, or a fixed offset from UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Offset from UTC in ms; positive is east.
    Fixed(i64),
    /// A zone with rules.
    Named(Tz),
}

impl Zone {
    /// UTC.
    pub const UTC: Self = Self::Named(Tz::UTC);

    /// Reads a zone id as Joda's `DateTimeZone.forID`: `UTC`, a long name (`America/Los_Angeles`), `[+-]hh:mm`, or an offset after `UTC`, `GMT` or `UT`.
    ///
    /// # Errors
    /// A text that quotes the id and says what is accepted.
    pub fn parse(id: &str) -> Result<Self, String> {
        if let Ok(tz) = Tz::from_str(id) {
            return Ok(Self::Named(tz));
        }
        let offset = ["UTC", "GMT", "UT"].iter().find_map(|prefix| id.strip_prefix(prefix)).unwrap_or(id);
        match iso::parse_offset(offset.as_bytes()) {
            Some((0, length)) if length == offset.len() => Ok(Self::UTC),
            Some((ms, length)) if length == offset.len() => Ok(Self::Fixed(ms)),
            _ => Err(format!(
                "The datetime zone id '{id}' is not recognised; use a long name such as America/Los_Angeles or Europe/Paris, UTC, or an offset [+-]hh:mm"
            )),
        }
    }

    /// The id, as pattern letters `ZZZ` print it.
    #[must_use]
    pub fn id(self) -> Cow<'static, str> {
        match self {
            Self::Named(tz) => Cow::Borrowed(tz.name()),
            Self::Fixed(ms) => {
                let mut text = String::new();
                pattern::push_offset(&mut text, ms, true);
                Cow::Owned(text)
            }
        }
    }

    /// Local time minus UTC, in ms, at an instant. The rules of the year 2099 stay in force after it; before a zone's first rule its local mean time counts.
    #[must_use]
    pub fn offset_ms(self, utc_ms: i64) -> i64 {
        match self {
            Self::Fixed(ms) => ms,
            Self::Named(Tz::UTC) => 0,
            Self::Named(tz) => {
                let known = if utc_ms < TABLE_END_MS { utc_ms } else { same_day_in_table(utc_ms) };
                let instant = DateTime::from_timestamp_millis(known).map_or(NaiveDateTime::MIN, |at| at.naive_utc());
                i64::from(tz.offset_from_utc_datetime(&instant).fix().local_minus_utc()) * 1000
            }
        }
    }

    /// The instant at which a clock of this zone shows `local_ms` (as if that were UTC). A local time that the clock shows twice is the earlier one
    /// west of Greenwich and the later one east of it; one that it skips is moved past the gap: Joda's `convertLocalToUTC`, lenient.
    #[must_use]
    pub fn to_utc(self, local_ms: i64) -> i64 {
        let first = self.offset_ms(local_ms);
        let second = self.offset_ms(local_ms.saturating_sub(first));
        let is_gap_in_the_west = first != second && first < 0 && self.offset_ms(local_ms.saturating_sub(second)) != second;
        local_ms.saturating_sub(if is_gap_in_the_west { first } else { second })
    }

    /// As [`to_utc`](Self::to_utc), but stays at the offset of `near` where the clock shows `local_ms` at that offset.
    fn to_utc_near(self, local_ms: i64, near: i64) -> i64 {
        let offset = self.offset_ms(near);
        let instant = local_ms.saturating_sub(offset);
        if self.offset_ms(instant) == offset { instant } else { self.to_utc(local_ms) }
    }

    /// The first instant of the local day that `utc_ms` is in.
    #[must_use]
    pub fn start_of_day(self, utc_ms: i64) -> i64 {
        const THREE_HOURS: i64 = 3 * 3_600_000;
        let local = utc_ms.saturating_add(self.offset_ms(utc_ms));
        let midnight = local.div_euclid(DAY_MS).saturating_mul(DAY_MS);
        let morning = self.to_utc(midnight.saturating_add(2 * THREE_HOURS));
        let start = self.to_utc_near(midnight, morning);
        let earlier_offset = self.offset_ms(start.saturating_sub(THREE_HOURS));
        let earlier = midnight.saturating_sub(earlier_offset);
        if earlier < start && self.offset_ms(earlier) == earlier_offset { earlier } else { start }
    }

    /// The same local time, one day later.
    #[must_use]
    pub fn next_day(self, utc_ms: i64) -> i64 {
        let local = utc_ms.saturating_add(self.offset_ms(utc_ms));
        self.to_utc_near(local.saturating_add(DAY_MS), utc_ms)
    }
}

/// 2099-01-01T00:00:00Z: the time zones' tables are followed up to here.
const TABLE_END_MS: i64 = 4_070_908_800_000;

/// An instant of 2071 to 2098, of the same day and time in a year that begins on the same weekday and is as long as that of `utc_ms`: what rules such as "the
/// last Sunday in October" say is the same in both.
fn same_day_in_table(utc_ms: i64) -> i64 {
    const CYCLE_MS: i64 = 146_097 * DAY_MS;
    // the calendar repeats every 400 years: 1970 to 2369 stand for all
    let in_cycle = utc_ms.rem_euclid(CYCLE_MS);
    let Some(at) = DateTime::from_timestamp_millis(in_cycle) else { return utc_ms };
    let year_start = |year: i32| NaiveDate::from_yo_opt(year, 1);
    let Some(start) = year_start(at.year()) else { return utc_ms };
    let same = |year: &NaiveDate| year.weekday() == start.weekday() && year.leap_year() == start.leap_year();
    let Some(known) = (2071..2099).filter_map(year_start).find(same) else { return utc_ms };
    let days = i64::from(known.to_epoch_days()) - i64::from(start.to_epoch_days());
    in_cycle.saturating_add(days * DAY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ISO text → instant.
    fn at(text: &str) -> i64 {
        iso::parse_date_time(text).unwrap()
    }

    fn zone(id: &str) -> Zone {
        Zone::parse(id).unwrap()
    }

    #[test]
    fn zone_ids() {
        for (id, offset_ms) in [
            ("UTC", 0),
            ("GMT", 0),
            ("Etc/UTC", 0),
            ("+00:00", 0),
            ("+05:30", 19_800_000),
            ("-0800", -28_800_000),
            ("+01", 3_600_000),
            ("UTC+02:00", 7_200_000),
            ("Asia/Kolkata", 19_800_000),
            ("America/Los_Angeles", -28_800_000),
        ] {
            assert_eq!(zone(id).offset_ms(0), offset_ms, "{id}");
        }
        for id in ["Mars/Olympus", "utc", "+25:00", "+05:30x", "", "PST"] {
            let message = Zone::parse(id).unwrap_err();
            assert!(message.contains(&format!("'{id}'")) && message.contains("[+-]hh:mm"), "{message}");
        }
        assert_eq!((zone("+05:30").id(), zone("Europe/Paris").id(), zone("-00:00").id()), ("+05:30".into(), "Europe/Paris".into(), "UTC".into()));
    }

    #[test]
    fn local_times_that_a_clock_skips_or_shows_twice() {
        for (id, local, utc) in [
            ("America/Los_Angeles", "2025-03-09T02:30:00Z", "2025-03-09T10:30:00Z"), // skipped: as 03:30 PDT
            ("America/Los_Angeles", "2025-11-02T01:30:00Z", "2025-11-02T08:30:00Z"), // twice: the earlier, PDT
            ("Europe/Berlin", "2025-03-30T02:30:00Z", "2025-03-30T01:30:00Z"),       // skipped: as 03:30 CEST
            ("Europe/Berlin", "2025-10-26T02:30:00Z", "2025-10-26T01:30:00Z"),       // twice: the later, CET
            ("Asia/Kolkata", "2025-06-01T18:00:00Z", "2025-06-01T12:30:00Z"),
        ] {
            assert_eq!(zone(id).to_utc(at(local)), at(utc), "{id} {local}");
        }
    }

    #[test]
    fn days_start_where_the_clock_starts_them() {
        for (id, instant, start, next) in [
            ("UTC", "2025-06-01T12:00:00Z", "2025-06-01T00:00:00Z", "2025-06-02T00:00:00Z"),
            ("America/Los_Angeles", "2019-11-04T06:00:00Z", "2019-11-03T07:00:00Z", "2019-11-04T08:00:00Z"), // 25 hours
            ("America/Los_Angeles", "2019-03-10T20:00:00Z", "2019-03-10T08:00:00Z", "2019-03-11T07:00:00Z"), // 23 hours
            ("America/Santiago", "2024-09-08T12:00:00Z", "2024-09-08T04:00:00Z", "2024-09-09T04:00:00Z"),    // midnight is skipped
            ("America/Havana", "2024-11-03T12:00:00Z", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z"),      // midnight comes twice
        ] {
            let begin = zone(id).start_of_day(at(instant));
            assert_eq!((begin, zone(id).next_day(begin)), (at(start), at(next)), "{id} {instant}");
        }
    }

    #[test]
    fn rules_reach_past_2037() {
        for (id, instant, hours) in [
            ("America/Los_Angeles", "2060-07-01T00:00:00Z", -7),
            ("America/Los_Angeles", "2150-07-01T00:00:00Z", -7),
            ("America/Los_Angeles", "2150-12-01T00:00:00Z", -8),
            ("Europe/Berlin", "2400-03-26T00:59:59Z", 1), // the last Sunday of March
            ("Europe/Berlin", "2400-03-26T01:00:00Z", 2),
            ("Europe/Berlin", "12000-07-01T00:00:00Z", 2),
            ("Asia/Tokyo", "12000-07-01T00:00:00Z", 9),
        ] {
            assert_eq!(zone(id).offset_ms(at(instant)), hours * 3_600_000, "{id} {instant}");
        }
        assert_eq!(zone("America/Los_Angeles").offset_ms(at("1800-01-01T00:00:00Z")), -(7 * 3600 + 52 * 60 + 58) * 1000, "local mean time");
    }
}
